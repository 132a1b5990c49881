/*
 * fork, vfork and clone: which of the two things there are (a thread, a process) the flags ask for.
 *
 * Three forms of clone, as musl and glibc use them; every other combination is ERR_INVALID. No state. Any space; may
 * sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "arch/user_segments.h"
#include "kernel/open_file.h"
#include "kernel/pidfd.h"
#include "kernel/process.h"
#include "kernel/signal_abi.h"
#include "kernel/syscall_table.h"

enum clone_flags {
    CLONE_VM = 0x100,
    CLONE_FS = 0x200,
    CLONE_FILES = 0x400,
    CLONE_SIGHAND = 0x800,
    CLONE_PIDFD = 0x1000,
    CLONE_VFORK = 0x4000,
    CLONE_THREAD = 0x10000,
    CLONE_SYSVSEM = 0x40000,
    CLONE_SETTLS = 0x80000,
    CLONE_PARENT_SETTID = 0x100000,
    CLONE_CHILD_CLEARTID = 0x200000,
    CLONE_DETACHED = 0x400000, /* long without a meaning, but musl sets it */
    CLONE_CHILD_SETTID = 0x1000000,
};

#define CLONE_SIGNAL 0xffUL
/* What makes a thread: all of it shared. */
#define THREAD_FLAGS ((uint64_t)CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define THREAD_OPTIONS                                                                                                 \
    ((uint64_t)CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED |            \
     CLONE_CHILD_SETTID)
#define PROCESS_OPTIONS                                                                                                \
    ((uint64_t)CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED)

struct clone_request {
    uint64_t flags;
    vaddr_t stack; /* 0: the caller's */
    vaddr_t parent_tid, child_tid, pidfd;
    uint64_t tls;
};

/* Writes a new id where the caller asked for it. As on Linux a bad address is no error. */
static void store_tid(vaddr_t to, uint32_t id) { (void)!copy_to_user(to, &id, sizeof(id)); }

/* The same of a descriptor. There was one left before the fork. */
static void store_pidfd(vaddr_t to, uint32_t id) {
    int64_t fd;
    if (pidfd_create(id, 0, &fd) == OK)
        store_tid(to, (uint32_t)fd);
}

static enum status clone_thread(const struct clone_request *request, struct syscall *call) {
    struct thread *self = thread_current(), *thread;
    struct trap_frame frame = *call->frame;
    enum status status;

    if ((request->flags & CLONE_SETTLS) && request->tls >= USER_END)
        return ERR_NOT_PERMITTED;
    if (!limits_permit_task())
        return ERR_AGAIN;
    frame.rax = 0;
    if (request->stack != 0)
        frame.rsp = request->stack;
    if ((status = thread_create(self->process, &frame, &thread)) != OK)
        return status;

    uint32_t id = thread->id; /* once it runs, it may be gone at any time */
    struct thread_local *local = thread->local;
    local->fs_base = request->flags & CLONE_SETTLS ? request->tls : user_fs_get();
    local->gs_base = user_gs_get();
    local->clear_child_tid = request->flags & CLONE_CHILD_CLEARTID ? request->child_tid : 0;
    local->set_child_tid = 0;
    local->robust_list = 0;
    local->alternate_stack = local->alternate_stack_size = 0;
    local->alternate_stack_flags = 0;
    local->fault_error = 0;
    thread->signal_mask = self->signal_mask;
    if (request->flags & CLONE_PARENT_SETTID)
        store_tid(request->parent_tid, id);
    if (request->flags & CLONE_CHILD_SETTID)
        store_tid(request->child_tid, id);
    thread_start(thread);
    call->result = id;
    return OK;
}

/*
 * The child's LOCAL region is a copy of the caller's, so what it is to find in its fields is put into the caller's own
 * for as long as the fork takes.
 */
static enum status clone_process(const struct clone_request *request, unsigned fork_flags, struct syscall *call) {
    struct thread_local *local = thread_current()->local;
    uint64_t clear_before = local->clear_child_tid, robust_before = local->robust_list;
    uint32_t id = 0;

    if (!limits_permit_task())
        return ERR_AGAIN;
    if ((request->flags & CLONE_PIDFD) && handles_exhausted())
        return ERR_TOO_MANY_HANDLES;
    local->clear_child_tid = request->flags & CLONE_CHILD_CLEARTID ? request->child_tid : 0;
    local->set_child_tid = request->flags & CLONE_CHILD_SETTID ? request->child_tid : 0;
    local->robust_list = 0;
    enum status status = process_fork(fork_flags, request->stack, request->flags & CLONE_SIGNAL, &id);
    local->clear_child_tid = clear_before;
    local->set_child_tid = 0;
    local->robust_list = robust_before;
    if (status != OK)
        return status;
    if (request->flags & CLONE_PARENT_SETTID)
        store_tid(request->parent_tid, id);
    if (request->flags & CLONE_PIDFD)
        store_pidfd(request->pidfd, id);
    call->result = id;
    return OK;
}

static enum status clone_as_asked(const struct clone_request *request, struct syscall *call) {
    const uint64_t kind = request->flags & ~CLONE_SIGNAL;

    if (request->stack >= USER_END || (request->flags & CLONE_SIGNAL) > SIGNAL_MAX)
        return ERR_INVALID;
    if ((kind & THREAD_FLAGS) == THREAD_FLAGS && !(kind & ~(THREAD_FLAGS | THREAD_OPTIONS)))
        return clone_thread(request, call);
    if ((kind & ~PROCESS_OPTIONS) == (CLONE_VM | CLONE_VFORK))
        return clone_process(request, FORK_VFORK | FORK_SHARE_VM, call);
    if ((kind & ~PROCESS_OPTIONS) == CLONE_VFORK)
        return clone_process(request, FORK_VFORK, call);
    if ((kind & ~PROCESS_OPTIONS) == 0)
        return clone_process(request, 0, call);
    return ERR_INVALID;
}

enum status sys_clone(struct syscall *call) {
    const struct clone_request request = {
        .flags = call->arg[0],
        .stack = call->arg[1],
        .parent_tid = call->arg[2],
        .child_tid = call->arg[3],
        .pidfd = call->arg[2], /* one place for both */
        .tls = call->arg[4],
    };

    if ((request.flags & CLONE_PIDFD) && (request.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)))
        return ERR_INVALID;
    return clone_as_asked(&request, call);
}

struct clone_arguments { /* struct clone_args */
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
#define CLONE_ARGUMENTS_FIRST 64U /* bytes of what it was at first */

/* What is longer than we know must be zero there. */
static enum status read_arguments(vaddr_t from, uint64_t bytes, struct clone_arguments *out) {
    *out = (struct clone_arguments){0};
    if (bytes > PAGE_SIZE)
        return ERR_TOO_BIG;
    if (bytes < CLONE_ARGUMENTS_FIRST)
        return ERR_INVALID;
    const uint64_t known = bytes < sizeof(*out) ? bytes : sizeof(*out);
    const enum status status = check_user_zeros(from + known, from + bytes);
    return status == OK ? copy_from_user(out, from, known) : status;
}

enum status sys_clone3(struct syscall *call) {
    struct clone_arguments arguments;
    enum status status = read_arguments(call->arg[0], call->arg[1], &arguments);

    if (status != OK)
        return status;
    if ((arguments.flags & (CLONE_SIGNAL | CLONE_DETACHED)) || arguments.exit_signal > SIGNAL_MAX ||
        arguments.set_tid_size != 0 || (arguments.stack == 0) != (arguments.stack_size == 0) ||
        ((arguments.flags & CLONE_THREAD) && arguments.exit_signal != 0) || arguments.stack_size >= USER_END ||
        arguments.stack >= USER_END)
        return ERR_INVALID;
    const struct clone_request request = {
        .flags = arguments.flags | arguments.exit_signal,
        .stack = arguments.stack + arguments.stack_size,
        .parent_tid = arguments.parent_tid,
        .child_tid = arguments.child_tid,
        .pidfd = arguments.pidfd,
        .tls = arguments.tls,
    };
    return clone_as_asked(&request, call);
}

enum status sys_fork(struct syscall *call) { return clone_process(&(struct clone_request){.flags = SIGCHLD}, 0, call); }

enum status sys_vfork(struct syscall *call) {
    return clone_process(&(struct clone_request){.flags = SIGCHLD}, FORK_VFORK | FORK_SHARE_VM, call);
}
