/*
 * Ends, waits, and what a process knows of itself. Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "arch/user_segments.h"
#include "kernel/pidfd.h"
#include "kernel/process.h"
#include "kernel/rusage.h"
#include "kernel/signal_abi.h"
#include "kernel/signal_internal.h"
#include "kernel/syscall_table.h"

enum wait_flags {
    WNOHANG = 1,
    WUNTRACED = 2, /* WSTOPPED */
    WEXITED = 4,
    WCONTINUED = 8,
    WNOWAIT = 0x1000000,
};
#define WAIT_THREAD_FLAGS 0xe0000000U /* __WNOTHREAD, __WALL, __WCLONE */

enum { P_ALL, P_PID, P_PGID, P_PIDFD };

/* wait4's encoding of an exit. */
static int exit_status(uint64_t code) { return (int)(code & 0xff) << 8; }

enum status sys_exit(struct syscall *call) { thread_exit(exit_status(call->arg[0])); }

enum status sys_exit_group(struct syscall *call) { process_exit(exit_status(call->arg[0])); }

static enum status usage_to_user(vaddr_t to, const struct wait_result *result) {
    const struct usage usage = {
        .cpu_time = result->cpu_time, .pages = result->peak_resident, .faults = result->page_faults};
    return rusage_to_user(to, &usage);
}

enum status sys_wait4(struct syscall *call) {
    const uint32_t options = (uint32_t)call->arg[2];
    struct wait_result result = {0};

    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | WAIT_THREAD_FLAGS))
        return ERR_INVALID;
    if ((int32_t)call->arg[0] == INT32_MIN)
        return ERR_NO_PROCESS;
    const struct wait_request request = {.which = (int32_t)call->arg[0],
                                         .exited = true,
                                         .stopped = options & WUNTRACED,
                                         .continued = options & WCONTINUED,
                                         .no_hang = options & WNOHANG};
    enum status status = process_wait(&request, &result);
    if (status != OK)
        return status;
    call->result = result.pid;
    if (result.pid == 0)
        return OK;
    if (call->arg[1] != 0 && (status = copy_to_user(call->arg[1], &result.status, sizeof(int))) != OK)
        return status;
    return call->arg[3] != 0 ? usage_to_user(call->arg[3], &result) : OK;
}

/* process_wait's way to name children. */
static enum status which_children(uint64_t kind, int32_t id, int64_t *which) {
    switch ((uint32_t)kind) {
    case P_ALL:
        *which = -1;
        return OK;
    case P_PID:
        *which = id;
        return id > 0 ? OK : ERR_INVALID;
    case P_PGID:
        *which = -(int64_t)id;
        return id >= 0 && id != 1 ? OK : ERR_INVALID; /* -1 means any; init's group has no waiting parent */
    default:
        return ERR_INVALID;
    }
}

/* The child that a descriptor names; one that does not block says EAGAIN where another waits. */
static enum status which_child(uint64_t fd, struct wait_request *request, bool *answers_at_once) {
    uint32_t id;
    bool nonblock;
    if ((int32_t)fd < 0)
        return ERR_INVALID;
    enum status status = pidfd_process((int)fd, &id, &nonblock);
    if (status != OK)
        return status;
    if (id == 0)
        return ERR_NO_CHILD;
    *answers_at_once = nonblock && !request->no_hang;
    request->no_hang |= nonblock;
    request->which = id;
    return OK;
}

/* Linux's si_code and si_status for wait4's encoding. */
static void describe_end(int status, struct signal_info *info) {
    const int low = status & 0x7f;

    if (status == 0xffff) {
        info->code = CLD_CONTINUED;
        info->sender.status = SIGCONT;
    } else if ((status & 0xff) == 0x7f) {
        info->code = CLD_STOPPED;
        info->sender.status = status >> 8 & 0xff;
    } else {
        info->code = low != 0 ? CLD_KILLED : CLD_EXITED;
        info->sender.status = low != 0 ? low : status >> 8 & 0xff;
    }
}

static enum status child_info_to_user(vaddr_t to, const struct wait_result *result) {
    struct signal_info info = {0};

    if (result->pid != 0) {
        info.number = SIGCHLD;
        info.sender.pid = (int32_t)result->pid;
        info.sender.uid = result->uid;
        describe_end(result->status, &info);
    }
    return copy_to_user(to, &info, sizeof(info));
}

enum status sys_waitid(struct syscall *call) {
    const uint32_t options = (uint32_t)call->arg[3];
    struct wait_request request = {.exited = options & WEXITED,
                                   .stopped = options & WUNTRACED,
                                   .continued = options & WCONTINUED,
                                   .no_hang = options & WNOHANG,
                                   .leave = options & WNOWAIT};
    struct wait_result result = {0};
    enum status status;

    if ((options & ~(WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | WAIT_THREAD_FLAGS)) ||
        !(options & (WEXITED | WUNTRACED | WCONTINUED)))
        return ERR_INVALID;
    bool answers_at_once = false;
    if ((uint32_t)call->arg[0] == P_PIDFD)
        status = which_child(call->arg[1], &request, &answers_at_once);
    else
        status = which_children(call->arg[0], (int32_t)call->arg[1], &request.which);
    if (status != OK || (status = process_wait(&request, &result)) != OK)
        return status;
    if (answers_at_once && result.pid == 0)
        return ERR_WOULD_BLOCK;
    if (call->arg[4] != 0 && (status = usage_to_user(call->arg[4], &result)) != OK)
        return status;
    return call->arg[2] != 0 ? child_info_to_user(call->arg[2], &result) : OK;
}

enum status sys_getpid(struct syscall *call) {
    call->result = process_current()->id;
    return OK;
}

enum status sys_gettid(struct syscall *call) {
    call->result = thread_current()->id;
    return OK;
}

enum status sys_getppid(struct syscall *call) {
    const struct process *process = process_current();

    /* The parent may change, and go, but not while the lock is held. */
    bool irq = spin_lock_irq(&processes_lock);
    call->result = process->parent != NULL ? process->parent->id : 0;
    spin_unlock_irq(&processes_lock, irq);
    return OK;
}

enum status sys_set_tid_address(struct syscall *call) {
    thread_current()->local->clear_child_tid = call->arg[0];
    call->result = thread_current()->id;
    return OK;
}

enum arch_prctl_operation { ARCH_SET_GS = 0x1001, ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003, ARCH_GET_GS = 0x1004 };

enum status sys_arch_prctl(struct syscall *call) {
    uint32_t operation = (uint32_t)call->arg[0];
    uint64_t base = call->arg[1];

    switch (operation) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (base >= USER_END)
            return ERR_NOT_PERMITTED;
        if (operation == ARCH_SET_FS)
            user_fs_set(base);
        else
            user_gs_set(base);
        return OK;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        base = operation == ARCH_GET_FS ? user_fs_get() : user_gs_get();
        return copy_to_user(call->arg[1], &base, sizeof(base));
    default:
        return ERR_INVALID;
    }
}
