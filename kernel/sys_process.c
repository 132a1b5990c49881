/*
 * Ends, waits, and what a process knows of itself. Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "arch/user_segments.h"
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

enum { P_ALL, P_PID, P_PGID };

/* wait4's encoding of an exit. */
static int exit_status(uint64_t code) { return (int)(code & 0xff) << 8; }

enum status sys_exit(struct syscall *call) { thread_exit(exit_status(call->arg[0])); }

enum status sys_exit_group(struct syscall *call) { process_exit(exit_status(call->arg[0])); }

enum status sys_wait4(struct syscall *call) {
    uint32_t options = (uint32_t)call->arg[2];
    struct wait_result result = {0};

    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | WAIT_THREAD_FLAGS))
        return ERR_INVALID;
    enum status status = process_wait((int32_t)call->arg[0], options & WNOHANG, false, &result);
    if (status != OK)
        return status;
    call->result = result.pid;
    if (result.pid == 0)
        return OK;
    if (call->arg[1] != 0 && (status = copy_to_user(call->arg[1], &result.status, sizeof(int))) != OK)
        return status;
    return call->arg[3] != 0 ? rusage_to_user(call->arg[3], result.cpu_time) : OK;
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

static enum status child_info_to_user(vaddr_t to, const struct wait_result *result) {
    struct signal_info info = {0};
    int terminated_by = result->status & 0x7f;

    if (result->pid != 0) {
        info.number = SIGCHLD;
        info.code = terminated_by != 0 ? CLD_KILLED : CLD_EXITED;
        info.sender.pid = (int32_t)result->pid;
        info.sender.status = terminated_by != 0 ? terminated_by : result->status >> 8 & 0xff;
    }
    return copy_to_user(to, &info, sizeof(info));
}

enum status sys_waitid(struct syscall *call) {
    uint32_t options = (uint32_t)call->arg[3];
    struct wait_result result = {0};
    int64_t which;
    enum status status;

    if ((options & ~(WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | WAIT_THREAD_FLAGS)) ||
        !(options & (WEXITED | WUNTRACED | WCONTINUED)))
        return ERR_INVALID;
    if ((status = which_children(call->arg[0], (int32_t)call->arg[1], &which)) != OK ||
        (status = process_wait(which, options & WNOHANG, options & WNOWAIT, &result)) != OK)
        return status;
    if (call->arg[4] != 0 && (status = rusage_to_user(call->arg[4], result.cpu_time)) != OK)
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
