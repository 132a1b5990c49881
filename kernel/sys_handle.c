/*
 * System calls on handles themselves: close, dup, fcntl, ioctl, pipe.
 *
 * Locks: see handles.c. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/file_abi.h"
#include "kernel/memfd.h"
#include "kernel/open_file.h"
#include "kernel/pipe.h"
#include "kernel/record_lock.h"
#include "kernel/syscall_table.h"

#define FLAGS_CHANGEABLE    (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME) /* by F_SETFL */
#define CLOSE_RANGE_CLOEXEC 4U

enum status sys_close(struct syscall *call) { return handle_close((int)call->arg[0]); }

enum status sys_close_range(struct syscall *call) {
    unsigned first = (unsigned)call->arg[0], last = (unsigned)call->arg[1];
    if (first > last || (call->arg[2] & ~(uint64_t)CLOSE_RANGE_CLOEXEC))
        return ERR_INVALID;
    if (call->arg[2] & CLOSE_RANGE_CLOEXEC)
        handles_mark_range(first, last);
    else
        handles_close_range(first, last);
    return OK;
}

static enum status duplicate(int from, unsigned minimum, bool close_on_exec, int64_t *result) {
    struct file *file;
    int fd = 0;
    enum status status = handle_get(from, &file);
    if (status != OK)
        return status;
    status = handle_install(file, minimum, close_on_exec, &fd);
    file_unref(file);
    *result = fd;
    return status;
}

enum status sys_dup(struct syscall *call) { return duplicate((int)call->arg[0], 0, false, &call->result); }

static enum status duplicate_to(int from, int to, bool close_on_exec, int64_t *result) {
    struct file *file;
    enum status status = handle_get(from, &file);
    if (status != OK)
        return status;
    if (from != to)
        status = handle_replace(to, file, close_on_exec);
    file_unref(file);
    *result = to;
    return status;
}

enum status sys_dup2(struct syscall *call) {
    return duplicate_to((int)call->arg[0], (int)call->arg[1], false, &call->result);
}

enum status sys_dup3(struct syscall *call) {
    unsigned flags = (unsigned)call->arg[2];
    if ((flags & ~O_CLOEXEC) || (int)call->arg[0] == (int)call->arg[1])
        return ERR_INVALID;
    return duplicate_to((int)call->arg[0], (int)call->arg[1], flags & O_CLOEXEC, &call->result);
}

/* Of `which` flags those in `flags` are on afterwards; the others stay what someone else makes them. */
static void set_flags(struct file *file, uint32_t which, uint32_t flags) {
    uint32_t before = __atomic_load_n(&file->flags, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&file->flags, &before, (before & ~which) | (flags & which), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

/* The commands that concern the open file; those on the handle are done. */
static enum status control_file(struct file *file, int command, uint64_t argument, int64_t *result) {
    switch (command) {
    case F_GETFL:
        *result = file->flags | (file->flags & O_PATH ? 0 : O_LARGEFILE);
        return OK;
    case F_SETFL:
        if (file->flags & O_PATH)
            return ERR_BAD_HANDLE;
        set_flags(file, FLAGS_CHANGEABLE, (uint32_t)argument);
        return OK;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
        return file->flags & O_PATH ? ERR_BAD_HANDLE : record_lock_control(file, command, argument);
    case F_SETPIPE_SZ:
        return pipe_set_capacity(file, argument, result);
    case F_GETPIPE_SZ:
        return pipe_capacity(file, result);
    case F_ADD_SEALS:
        return memfd_add_seals(file, argument);
    case F_GET_SEALS:
        return memfd_seals(file, result);
    default:
        return ERR_INVALID;
    }
}

enum status sys_fcntl(struct syscall *call) {
    int fd = (int)call->arg[0], command = (int)call->arg[1];
    bool close_on_exec = false;
    struct file *file;
    enum status status;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
        int64_t minimum = (int32_t)call->arg[2];
        status = handle_get_close_on_exec(fd, &close_on_exec);
        if (status == OK && (minimum < 0 || (uint64_t)minimum >= handles_limit()))
            status = ERR_INVALID;
        return status == OK ? duplicate(fd, (unsigned)minimum, command == F_DUPFD_CLOEXEC, &call->result) : status;
    }
    case F_GETFD:
        status = handle_get_close_on_exec(fd, &close_on_exec);
        call->result = close_on_exec ? FD_CLOEXEC : 0;
        return status;
    case F_SETFD:
        return handle_set_close_on_exec(fd, call->arg[2] & FD_CLOEXEC);
    default:
        status = handle_get(fd, &file);
        if (status != OK)
            return status;
        status = control_file(file, command, call->arg[2], &call->result);
        file_unref(file);
        return status;
    }
}

static enum status set_nonblocking(struct file *file, vaddr_t address) {
    int32_t on;
    enum status status = copy_from_user(&on, address, sizeof(on));
    if (status == OK)
        set_flags(file, O_NONBLOCK, on ? O_NONBLOCK : 0);
    return status;
}

enum status sys_ioctl(struct syscall *call) {
    uint32_t command = (uint32_t)call->arg[1];
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (file->flags & O_PATH)
        status = ERR_BAD_HANDLE;
    else if (command == FIOCLEX || command == FIONCLEX)
        status = handle_set_close_on_exec((int)call->arg[0], command == FIOCLEX);
    else if (command == FIONBIO)
        status = set_nonblocking(file, call->arg[2]);
    else if (file->operations->control != NULL)
        status = file->operations->control(file, command, call->arg[2], &call->result);
    else
        status = ERR_NOT_TERMINAL;
    file_unref(file);
    return status;
}

/* One end of a pipe: a file with a handle. */
static enum status add_end(struct inode *inode, uint32_t access, uint32_t flags, int *fd) {
    struct file *file;
    enum status status = file_create(inode, access | (flags & (O_NONBLOCK | O_DIRECT)), &file);
    if (status != OK)
        return status;
    status = handle_install(file, 0, flags & O_CLOEXEC, fd);
    file_unref(file);
    return status;
}

static void take_back(int fd) {
    if (handle_close(fd) != OK)
        return; /* another thread has closed what it was not told of yet */
}

static enum status make_pipe(vaddr_t address, uint32_t flags) {
    struct inode *inode;
    int32_t ends[2];
    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return ERR_INVALID;
    enum status status = pipe_create(&inode);
    if (status != OK)
        return status;
    status = add_end(inode, O_RDONLY, flags, &ends[0]);
    if (status == OK) {
        status = add_end(inode, O_WRONLY, flags, &ends[1]);
        if (status == OK) {
            status = copy_to_user(address, ends, sizeof(ends));
            if (status != OK)
                take_back(ends[1]);
        }
        if (status != OK)
            take_back(ends[0]);
    }
    inode_unref(inode);
    return status;
}

enum status sys_pipe(struct syscall *call) { return make_pipe(call->arg[0], 0); }
enum status sys_pipe2(struct syscall *call) { return make_pipe(call->arg[0], (uint32_t)call->arg[1]); }
