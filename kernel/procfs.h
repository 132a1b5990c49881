/*
 * /proc from the inside: texts (proc_text.c), the directories whose names come and go with processes and handles
 * (proc_names.c), and the files, which are each a function that writes a text.
 *
 * Class discipline: a text that is GLOBAL holds metadata. What is content, or says where something lies in an address
 * space, is told to the process itself alone, by own_text_operations, whose texts are LOCAL.
 */
#ifndef KERNEL_PROCFS_H
#define KERNEL_PROCFS_H

#include "kernel/inode.h"

struct process;

/* A text being written. Counts on where there is no room, so that its writer can be called anew with more. */
struct text {
    char *to;
    size_t size, used;
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, const char *bytes, size_t count);

/* Files whose text is made when they are opened, GLOBAL. */
extern const struct file_operations text_operations;
/* The same, and a number may be written, which changes nothing here: what it would tune does not exist. */
extern const struct file_operations setting_operations;
/* Files that only the process may read that they tell of: the text is made anew at each read, LOCAL. */
extern const struct file_operations own_text_operations;
/* The same for those as well who may see the process's command line, which is what it tells. */
extern const struct file_operations shown_text_operations;
/* The same for everybody: each read makes what is its reader's alone. */
extern const struct file_operations fresh_text_operations;

/* --- Names -------------------------------------------------------------------------------------------------------- */

/* Directories of /proc that are not as boot left them. In struct directory. */
enum live_directory {
    LIVE_NOT,
    LIVE_PROCESSES, /* /proc: a name for each process */
    LIVE_PROCESS,   /* /proc/N: what is known of one */
    LIVE_HANDLES,   /* /proc/N/fd and fdinfo: the caller's own */
    LIVE_THREADS,   /* /proc/N/task */
    LIVE_THREAD,    /* /proc/N/task/M */
};

/* Links that lead where the caller is concerned. In inode.part. */
enum live_link { LINK_SELF, LINK_THREAD_SELF, LINK_EXECUTABLE, LINK_WORKING_DIRECTORY, LINK_ROOT };

/*
 * Before a name is looked for in a live directory, or all are listed (name NULL): makes it so that what should be there
 * is. Memory may be short: then it is not. names_lock held.
 */
void live_prepare(struct inode *directory, const char *name, size_t length);

/* Where a link without a text of its own leads; "" nowhere. names_lock held; the answer is good as long as it is. */
const char *live_link_target(const struct inode *link);

/* Takes out what tells of processes that are gone. Takes names_lock. */
void live_forget(void);

/* Makes the roots of all that. Once, at boot, names_lock not held. */
MUST_USE enum status live_init(void);

/* /proc/N/fd/M: a link, opened anew by what it means (handle_file.c). */
extern const struct file_operations handle_file_operations;
static inline bool is_handle_link(const struct inode *inode) { return inode->operations == &handle_file_operations; }
/* The inode behind one, with a reference. ERR_NO_ENTRY: it is not the caller's, or closed. */
MUST_USE enum status handle_link_follow(const struct inode *link, struct inode **out);
/* What readlink says of it; returns the length, 0: nothing. names_lock held. */
size_t handle_link_text(const struct inode *link, char *to, size_t size);

/* --- Files -------------------------------------------------------------------------------------------------------- */

/* The process that a file tells of, if it is there still; NULL: it is not. processes_lock held. */
struct process *live_process(const struct inode *inode);
/* Whether that is the calling one. */
bool live_is_caller(const struct inode *inode);

/* What the directory of a process has, ended by a NULL name (proc_process.c, proc_own.c). */
struct live_file {
    const char *name;
    uint32_t mode;
    struct special_file special;
};
extern const struct live_file process_files[], own_files[];
extern const struct special_file handle_information; /* of fdinfo/M */

void mounts_text(struct text *text, const struct inode *inode);
void mount_information_text(struct text *text, const struct inode *inode);
void limits_text(struct text *text, const struct inode *inode); /* sys_resource.c */

/* Makes /proc/asi (proc_asi.c). Likewise at boot. */
MUST_USE enum status proc_asi_init(void);

#endif
