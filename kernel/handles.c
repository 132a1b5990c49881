/*
 * The handle table of the calling process: descriptors to open files.
 *
 * Invariant: LOGICAL ACCESS, REVOKE – a process has a file's object open (ephmap_open) exactly as often as it has
 * handles on it; the open comes before the handle and the close after it. Locks: process.handle_lock. The table is
 * LOCAL: only its owner can touch it. Runs in the caller's space.
 */
#include "kernel/assert.h"
#include "kernel/ipc_abi.h"
#include "kernel/local.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/record_lock.h"
#include "mm/ephmap.h"
#include "mm/grant.h"

static struct handle_table *table(void) { return &LOCAL->handles; }
static void lock(void) { spin_lock(&process_current()->handle_lock); }
static void unlock(void) { spin_unlock(&process_current()->handle_lock); }

/* The place of an open handle, or NULL. Handle lock held. */
static struct file **find(unsigned fd) {
    if (fd >= HANDLES_MAX || !(table()->used[fd / HANDLE_BLOCK] >> fd % HANDLE_BLOCK & 1))
        return NULL;
    return &table()->blocks[fd / HANDLE_BLOCK][fd % HANDLE_BLOCK];
}

enum status handle_get(int fd, struct file **out) {
    lock();
    struct file **place = find((unsigned)fd);
    if (place == NULL) {
        unlock();
        return ERR_BAD_HANDLE;
    }
    struct file *file = *place;
    file_ref(file);
    unlock();
    *out = file;
    return OK;
}

const struct file *handle_borrow(int fd) {
    lock();
    struct file **place = find((unsigned)fd);
    if (place != NULL)
        return *place;
    unlock();
    return NULL;
}

void handle_give_back(void) { unlock(); }

/* The lowest free number ≥ minimum and below the limit, or the limit. Handle lock held. */
static unsigned find_free(unsigned minimum) {
    unsigned first = minimum / HANDLE_BLOCK;
    uint64_t below = ((uint64_t)1 << minimum % HANDLE_BLOCK) - 1; /* count as used */
    if (first < table()->first_free_block) {
        first = table()->first_free_block;
        below = 0;
    }
    for (unsigned block = first; block * HANDLE_BLOCK < (unsigned)handles_limit(); block++, below = 0) {
        uint64_t free = ~(table()->used[block] | below);
        if (free != 0) {
            unsigned fd = block * HANDLE_BLOCK + (unsigned)__builtin_ctzl(free);
            return fd < (unsigned)handles_limit() ? fd : (unsigned)handles_limit();
        }
        if (minimum == 0)
            table()->first_free_block = block + 1;
    }
    return (unsigned)handles_limit();
}

/* Makes the block of `fd` exist. Handle lock held. */
static enum status ensure_block(unsigned fd) {
    struct file ***block = &table()->blocks[fd / HANDLE_BLOCK];
    if (*block == NULL)
        *block = local_alloc(HANDLE_BLOCK * sizeof(struct file *));
    return *block != NULL ? OK : ERR_NO_MEMORY;
}

static void mark(unsigned fd, bool used, bool close_on_exec) {
    uint64_t bit = (uint64_t)1 << fd % HANDLE_BLOCK;
    uint64_t *used_word = &table()->used[fd / HANDLE_BLOCK], *exec_word = &table()->close_on_exec[fd / HANDLE_BLOCK];
    *used_word = used ? *used_word | bit : *used_word & ~bit;
    *exec_word = used && close_on_exec ? *exec_word | bit : *exec_word & ~bit;
    if (!used && fd / HANDLE_BLOCK < table()->first_free_block)
        table()->first_free_block = fd / HANDLE_BLOCK;
}

static enum status open_object(const struct file *file) {
    const struct grant *grant = grant_of(file);
    if (grant != NULL && !(file->rights & RIGHT_READ))
        process_current()->moves_pages = true;
    if (grant != NULL && grant_direction(grant) == GRANT_STORE)
        process_current()->stores_pages = true;
    return file->object != NULL ? ephmap_open(file->object) : OK;
}

/* A handle was taken out of the table: gives back what it stood for. No lock held. */
static void let_go(struct file *file) {
    if (file->operations->handle_closed != NULL)
        file->operations->handle_closed(file);
    if (file->inode->locks != NULL)
        record_locks_drop(file->inode, process_current()->id);
    if (file->object != NULL)
        ephmap_close(file->object);
    file_unref(file);
}

bool handles_exhausted(void) {
    lock();
    bool exhausted = find_free(0) >= (unsigned)handles_limit();
    unlock();
    return exhausted;
}

enum status handle_install(struct file *file, unsigned minimum, bool close_on_exec, int *fd) {
    if (minimum >= (unsigned)handles_limit())
        return minimum == 0 ? ERR_TOO_MANY_HANDLES : ERR_INVALID;
    enum status status = open_object(file);
    if (status != OK)
        return status;
    lock();
    unsigned number = find_free(minimum);
    status = number < (unsigned)handles_limit() ? ensure_block(number) : ERR_TOO_MANY_HANDLES;
    if (status == OK) {
        file_ref(file);
        table()->blocks[number / HANDLE_BLOCK][number % HANDLE_BLOCK] = file;
        mark(number, true, close_on_exec);
        *fd = (int)number;
    }
    unlock();
    if (status != OK && file->object != NULL)
        ephmap_close(file->object);
    return status;
}

enum status handle_replace(int fd, struct file *file, bool close_on_exec) {
    unsigned number = (unsigned)fd;
    struct file *old = NULL;
    if (number >= (unsigned)handles_limit())
        return ERR_BAD_HANDLE;
    enum status status = open_object(file);
    if (status != OK)
        return status;
    lock();
    status = ensure_block(number);
    if (status == OK) {
        struct file **place = find(number);
        if (place != NULL)
            old = *place;
        file_ref(file);
        table()->blocks[number / HANDLE_BLOCK][number % HANDLE_BLOCK] = file;
        mark(number, true, close_on_exec);
    }
    unlock();
    if (status != OK && file->object != NULL)
        ephmap_close(file->object);
    if (old != NULL)
        let_go(old);
    return status;
}

enum status handle_close(int fd) {
    lock();
    struct file **place = find((unsigned)fd);
    if (place == NULL) {
        unlock();
        return ERR_BAD_HANDLE;
    }
    struct file *file = *place;
    *place = NULL;
    mark((unsigned)fd, false, false);
    unlock();
    let_go(file);
    return OK;
}

enum status handle_get_close_on_exec(int fd, bool *close_on_exec) {
    unsigned number = (unsigned)fd;
    lock();
    bool found = find(number) != NULL;
    if (found)
        *close_on_exec = table()->close_on_exec[number / HANDLE_BLOCK] >> number % HANDLE_BLOCK & 1;
    unlock();
    return found ? OK : ERR_BAD_HANDLE;
}

enum status handle_set_close_on_exec(int fd, bool close_on_exec) {
    lock();
    bool found = find((unsigned)fd) != NULL;
    if (found)
        mark((unsigned)fd, true, close_on_exec);
    unlock();
    return found ? OK : ERR_BAD_HANDLE;
}

void handles_close_range(unsigned first, unsigned last) {
    for (unsigned block = first / HANDLE_BLOCK; block < HANDLE_BLOCKS && block * HANDLE_BLOCK <= last; block++) {
        for (uint64_t left = table()->used[block]; left != 0; left &= left - 1) {
            unsigned fd = block * HANDLE_BLOCK + (unsigned)__builtin_ctzl(left);
            if (fd >= first && fd <= last && handle_close((int)fd) != OK)
                continue; /* another thread was faster */
        }
    }
}

void handles_mark_range(unsigned first, unsigned last) {
    for (unsigned fd = first; fd <= last && fd < HANDLES_MAX; fd++) {
        if (handle_set_close_on_exec((int)fd, true) != OK)
            continue; /* not open */
    }
}

void handles_close_on_exec(void) {
    for (unsigned block = 0; block < HANDLE_BLOCKS; block++) {
        for (uint64_t left = table()->close_on_exec[block]; left != 0; left &= left - 1) {
            if (handle_close((int)(block * HANDLE_BLOCK + (unsigned)__builtin_ctzl(left))) != OK)
                continue; /* cannot be: the program has one thread by now */
        }
    }
}

static bool any_handle(const struct inode *inode, bool readable) {
    bool found = false;
    lock();
    for (unsigned block = 0; block < HANDLE_BLOCKS && !found; block++) {
        for (uint64_t left = table()->used[block]; left != 0 && !found; left &= left - 1) {
            const struct file *file = table()->blocks[block][__builtin_ctzl(left)];
            found = file->inode == inode && (file->readable || !readable);
        }
    }
    unlock();
    return found;
}

bool handles_refer_to(const struct inode *inode) { return any_handle(inode, false); }
bool handles_can_read(const struct inode *inode) { return any_handle(inode, true); }

static struct inode *replace_directory(struct inode **place, struct inode *directory) {
    spin_lock(&names_lock);
    lock();
    struct inode *before = *place;
    *place = directory;
    unlock();
    spin_unlock(&names_lock);
    return before;
}

struct inode *handles_set_directory(struct inode *directory) {
    return replace_directory(&table()->working_directory, directory);
}

struct inode *handles_set_root(struct inode *directory) {
    return replace_directory(&table()->root_directory, directory);
}

/* --- Fork: handle_lock held by the caller ------------------------------------------------------------------------- */

enum status handles_fork(struct process *child) {
    child->moves_pages = process_current()->moves_pages;
    child->watches_signals = process_current()->watches_signals;
    struct memory_object *executable = LOCAL->vm.executable;
    enum status status = executable != NULL ? ephmap_open_for(child, executable) : OK;
    for (unsigned block = 0; block < HANDLE_BLOCKS && status == OK; block++) {
        for (uint64_t left = table()->used[block]; left != 0 && status == OK; left &= left - 1) {
            const struct file *file = table()->blocks[block][__builtin_ctzl(left)];
            if (file->object != NULL)
                status = ephmap_open_for(child, file->object);
        }
    }
    if (status != OK) {
        ephmap_forget_process(child);
        return status;
    }
    for (unsigned block = 0; block < HANDLE_BLOCKS; block++) {
        for (uint64_t left = table()->used[block]; left != 0; left &= left - 1)
            file_ref(table()->blocks[block][__builtin_ctzl(left)]);
    }
    if (table()->working_directory != NULL)
        inode_ref(table()->working_directory);
    if (table()->root_directory != NULL)
        inode_ref(table()->root_directory);
    return OK;
}

/* No reference is the last one: the caller's own table has its own. */
void handles_fork_undo(struct process *child) {
    ephmap_forget_process(child);
    for (unsigned block = 0; block < HANDLE_BLOCKS; block++) {
        for (uint64_t left = table()->used[block]; left != 0; left &= left - 1)
            file_unref(table()->blocks[block][__builtin_ctzl(left)]);
    }
    if (table()->working_directory != NULL)
        inode_unref(table()->working_directory);
    if (table()->root_directory != NULL)
        inode_unref(table()->root_directory);
}

uint64_t handles_limit(void) { return process_current()->limits.of[RLIMIT_NOFILE].current; }
