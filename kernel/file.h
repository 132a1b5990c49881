/*
 * Open files and handles (file descriptors).
 *
 * struct file (GLOBAL) is what open() makes and dup and fork share: position, flags, what it is open on. A process's
 * table of handles is LOCAL. A file on a memory object counts as an open of the object by each process that has a
 * handle on it (ephmap_open/close): LOGICAL ACCESS and REVOKE hang on that.
 */
#ifndef KERNEL_FILE_H
#define KERNEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"

struct file;
struct inode;
struct memory_object;
struct process;

#define HANDLES_MAX     4096U /* of one process, whatever its limit says (RLIMIT_NOFILE's hard limit) */
#define HANDLES_DEFAULT 1024U /* RLIMIT_NOFILE's soft limit at first */
#define HANDLE_BLOCK    64U   /* handles that are allocated together: one bit each in a word */
#define HANDLE_BLOCKS   (HANDLES_MAX / HANDLE_BLOCK)

/*
 * LOCAL; in struct local, copied with it at fork. Protected by process.handle_lock, but for the members said otherwise.
 */
struct handle_table {
    struct file **blocks[HANDLE_BLOCKS];   /* local_alloc; of HANDLE_BLOCK files. Never freed while the process lives */
    uint64_t used[HANDLE_BLOCKS];          /* a bit per handle: it is open */
    uint64_t close_on_exec[HANDLE_BLOCKS]; /* likewise, only of handles that are used */
    uint32_t first_free_block;             /* no block before it has a free handle */
    uint32_t umask;                        /* atomic */
    /* With references. Written with names_lock and handle_lock, read with either. */
    struct inode *working_directory;
    struct inode *root_directory; /* chroot()'s; NULL: the machine's */
    char *executable;             /* absolute path of the running program, or NULL. Protected by names_lock */
    uint32_t executable_size;     /* what was allocated for it */
};

/* RLIMIT_NOFILE of the calling process: at most HANDLES_MAX. */
uint64_t handles_limit(void);

/* The file behind a descriptor, with a reference (file_unref). ERR_BAD_HANDLE. */
MUST_USE enum status handle_get(int fd, struct file **out);

void file_ref(struct file *file);
void file_unref(struct file *file);

/*
 * For mmap: the object, and whether the file is open for reading and writing. ERR_NO_DEVICE when it cannot be mapped.
 */
MUST_USE enum status file_mappable(struct file *file, struct memory_object **object, bool *readable, bool *writable);

/*
 * For execve: opens a path, relative ones from `dirfd`, for execution: its object (with a reference and an ephmap_open
 * of the calling process) and its last path component. ERR_NO_ENTRY, ERR_ACCESS, ERR_NOT_DIRECTORY, …
 */
struct program_owner;
MUST_USE enum status file_open_executable(int dirfd, const char *path, bool follow, struct memory_object **object,
                                          char name[16], struct program_owner *owner);
/* The same of a handle that may be read: a memory object, or a regular file that may be executed. ERR_BAD_HANDLE,
 * ERR_ACCESS. */
MUST_USE enum status file_executable(int fd, struct memory_object **object, struct program_owner *owner);
/* What both do with the object, to be undone by its ephmap_close(), object_end_run() and object_unref(). ERR_NO_MEMORY,
 * ERR_TEXT_BUSY. */
MUST_USE enum status file_open_to_run(struct memory_object *object);
/* Remembers the absolute path for /proc/self/exe; "": there is none. Called by exec when it cannot fail any more. */
void file_set_executable_path(const char *path);

/*
 * Fork: the child's LOCAL copy of the table is in place; takes what the copy stands for on behalf of the child:
 * references on files, working and root directory, opens of their objects and of the program's. Runs in the parent.
 * Takes no lock: the caller holds handle_lock from before the copy until here, so that they agree. ERR_NO_MEMORY:
 * nothing is left behind. _undo: of one that succeeded, while the lock is still held.
 */
MUST_USE enum status handles_fork(struct process *child);
void handles_fork_undo(struct process *child);
/* exec: closes what is marked so. exit: closes everything. */
void handles_close_on_exec(void);
void handles_close_all(void);
/* The first process: standard handles on the console, working directory "/". */
MUST_USE enum status handles_init(void);

/* Boot: makes the kernel's own names: /dev, /proc, /sys. */
MUST_USE enum status names_init(void);

#endif
