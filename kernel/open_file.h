/*
 * Open files from the inside: what the system calls, the file types and the handle table share.
 */
#ifndef KERNEL_OPEN_FILE_H
#define KERNEL_OPEN_FILE_H

#include "kernel/file.h"
#include "kernel/inode.h"
#include "kernel/wait.h"

struct poll_table;

/* Class GLOBAL. */
struct file {
    uint32_t refs;           /* atomic */
    uint32_t flags;          /* O_*: fcntl() changes O_APPEND, O_NONBLOCK …, the rest is constant. Atomic */
    bool readable, writable; /* constant */
    uint32_t rights;         /* enum handle_right; constant */
    uint64_t badge; /* of a handle on an endpoint; of a FIFO's reader: pipe.writers_came when it came first. Constant */
    void *target;   /* the kernel object of a file that is not opened by name, of its operations' type; constant */
    const struct file_operations *operations; /* constant */
    struct inode *inode;                      /* with a reference; constant */
    struct memory_object *object;       /* of which each handle counts as an open (LOGICAL ACCESS), or NULL; constant */
    struct list watchers;               /* struct epoll_item.file_link. Protected by epoll_links_lock */
    struct mutex position_lock;         /* held across reads and writes that use the position */
    uint64_t position;                  /* bytes; a directory: 2 + slot. Protected by position_lock */
    char *content;                      /* the text of a /proc file, GLOBAL: metadata. Constant */
    size_t content_bytes, content_size; /* constant: length; what was allocated */
    /* A served directory's. Protected by position_lock. */
    struct list_piece *piece; /* what its server listed last, with a reference; NULL: all of it was taken */
    uint64_t piece_position;  /* where the part that was not taken yet begins; 0: nothing is known */
    size_t piece_used;        /* bytes of it that were taken */
    bool piece_is_last;       /* nothing is behind it */
};

/*
 * What a type of file can do. A NULL member: it cannot (EINVAL; reading a directory EISDIR).
 *
 * Bytes go between the file and user memory that is within the user half but may fault. *done (0 before) counts bytes,
 * also when an error follows them. *offset is where to begin, and moves to behind what was done; types with `seekable`
 * unset ignore it. All may sleep. Callers have checked the access mode.
 */
struct file_operations {
    bool seekable;
    bool memory; /* its content is file->object: it can be mapped, and has the object's size */
    /* Called once when the file is made, before anyone else knows it. May replace file->object. */
    enum status (*open)(struct file *file);
    /* The last reference is gone. */
    void (*release)(struct file *file);
    /* Takes a reference on file->target, for one more file on it. NULL: it cannot be minted from. */
    void (*reference)(struct file *file);
    /* A process closed a handle; it may have others, and calls in progress. Before its open of file->object is given
     * back. */
    void (*handle_closed)(struct file *file);
    enum status (*read)(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done);
    enum status (*write)(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done);
    /* The same from the caller's LOCAL memory or stack. */
    enum status (*write_kernel)(struct file *file, const void *from, size_t bytes, uint64_t *offset, size_t *done);
    /* Instead of one vector after the other: all at once. `vectors` in kernel memory, of checked user addresses. */
    enum status (*vectors)(struct file *file, bool write, const struct linux_iovec *vectors, unsigned count,
                           size_t bytes, size_t *done);
    /* POLL* bits that hold now; with `table`, also puts the caller on the queues that say when they change. NULL:
     * always ready. */
    uint32_t (*poll)(struct file *file, struct poll_table *table);
    /* ioctl; ERR_NOT_TERMINAL for what is not known. */
    enum status (*control)(struct file *file, uint32_t command, uint64_t argument, int64_t *result);
};

/* The memory of a file whose operations say `memory`. It counts as opened only by who may read it. */
static inline struct memory_object *file_memory(const struct file *file) {
    if (file->object != NULL)
        return file->object;
    return file->target != NULL ? file->target : file->inode->object;
}

/*
 * A file open on `inode` (takes a reference of its own) as O_* in `flags` say. One reference. ERR_NO_MEMORY,
 * ERR_TOO_MANY_FILES, what the type's open says.
 */
MUST_USE enum status file_create(struct inode *inode, uint32_t flags, struct file **out);

/*
 * A file on a kernel object (endpoint, grant, interrupt …) that has no name: `operations` say which kind it is, their
 * release gives back the reference on `target`, which passes. One reference. ERR_NO_MEMORY, ERR_TOO_MANY_FILES.
 */
MUST_USE enum status file_create_on(const struct file_operations *operations, void *target, uint32_t rights,
                                    struct file **out);

/* The same object by another file, with its own rights and badge: for file_operations.duplicate. */
MUST_USE enum status file_create_like(const struct file *file, uint32_t rights, uint64_t badge, struct file **out);

/*
 * The file of that kind behind a descriptor, with a reference, if it has all of `rights`. ERR_BAD_HANDLE, ERR_INVALID
 * (another kind), ERR_ACCESS.
 */
MUST_USE enum status handle_get_kind(int fd, const struct file_operations *kind, uint32_t rights, struct file **out);

/* The check in it: of the wanted kind, with all of `rights`. On error the caller's reference is given back. */
MUST_USE enum status file_expect(struct file *file, bool of_kind, uint32_t rights);

/*
 * The file behind a descriptor, which stays because the handle table is locked until handle_give_back(); NULL: there is
 * none, and the table is not locked.
 */
const struct file *handle_borrow(int fd);
void handle_give_back(void);

/* A new descriptor, close-on-exec, for a file whose one reference passes to it; gone also on error. */
MUST_USE enum status handle_publish(struct file *file, int64_t *fd);

/* The same, close-on-exec and non-blocking as O_CLOEXEC and O_NONBLOCK in `flags` say. */
MUST_USE enum status handle_publish_as(struct file *file, uint32_t flags, int64_t *fd);

/* Handles of the calling process. */

/* Whether not one more handle can be had: asked before open() makes anything. */
bool handles_exhausted(void);

/*
 * Installs `file` at the lowest free number ≥ minimum; the handle takes a reference of its own. ERR_TOO_MANY_HANDLES,
 * ERR_INVALID (minimum beyond the limit), ERR_NO_MEMORY.
 */
MUST_USE enum status handle_install(struct file *file, unsigned minimum, bool close_on_exec, int *fd);

/* Installs it at `fd`, closing what was there. ERR_BAD_HANDLE (beyond the limit), ERR_NO_MEMORY. */
MUST_USE enum status handle_replace(int fd, struct file *file, bool close_on_exec);

/* ERR_BAD_HANDLE. */
MUST_USE enum status handle_close(int fd);
MUST_USE enum status handle_get_close_on_exec(int fd, bool *close_on_exec);
MUST_USE enum status handle_set_close_on_exec(int fd, bool close_on_exec);

/* Closes, or marks close-on-exec, all handles from first to last. */
void handles_close_range(unsigned first, unsigned last);
void handles_mark_range(unsigned first, unsigned last);

/* Whether the process has a handle on `inode`; one by which it may read it. Take handle_lock. */
bool handles_refer_to(const struct inode *inode);
bool handles_can_read(const struct inode *inode);

/* Sets the working or the root directory and returns the one before (a root: NULL, the machine's); the references pass.
 * Takes names_lock and handle_lock. */
struct inode *handles_set_directory(struct inode *directory);
struct inode *handles_set_root(struct inode *directory);

#endif
