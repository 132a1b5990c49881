/*
 * Shared by the files of the signal code alone.
 */
#ifndef KERNEL_SIGNAL_INTERNAL_H
#define KERNEL_SIGNAL_INTERNAL_H

#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/signal_abi.h"

/* rt_sigaction's flags. */
#define SA_NOCLDSTOP 0x1UL
#define SA_NOCLDWAIT 0x2UL
#define SA_SIGINFO   0x4UL
#define SA_RESTORER  0x04000000UL
#define SA_ONSTACK   0x08000000UL
#define SA_RESTART   0x10000000UL
#define SA_NODEFER   0x40000000UL
#define SA_RESETHAND 0x80000000UL

/* sigaltstack's flags; what the kernel keeps in thread_local.alternate_stack_flags. */
#define SS_ONSTACK    1U
#define SS_DISABLE    2U
#define SS_AUTODISARM (1U << 31)
#define MINSIGSTKSZ   2048U

struct user_stack { /* stack_t */
    uint64_t base;
    uint32_t flags, padding;
    uint64_t size;
};

/* The sets that the default action of a signal puts it in. */
#define SIGNALS_IGNORED_BY_DEFAULT                                                                                     \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH))
#define SIGNALS_STOPPING (SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))

/* Linux's siginfo_t: what of it the kernel fills. */
struct signal_info {
    int32_t number, error, code, reserved;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
            int32_t status;
            int32_t padding;
            int64_t user_time, system_time;
        } sender;
        struct {
            int32_t pid;
            uint32_t uid;
            uint64_t value;
        } queued; /* of sigqueue and timers: pid and uid, or timer and overruns */
        uint64_t fault_address;
        uint8_t size[112];
    };
};
_Static_assert(sizeof(struct signal_info) == 128, "siginfo_t");

/* One signal as it leaves the pending sets. */
struct signal_delivery {
    int number; /* 0: none */
    struct signal_origin origin;
    bool fault;              /* synchronous: cannot be ignored */
    bool has_info;           /* its sender gave `info` */
    uint64_t fault_address;  /* a user address, or 0 */
    struct signal_info info; /* user bytes: on the stack of the process that gets it */
};

/* Takes the most urgent pending signal in `set` out of the calling thread's or its process's set. */
struct signal_delivery signal_take(uint64_t set);

/* The signal is now ignored: it is no longer pending anywhere in the calling process. What was queued of it comes into
 * `entries`, for queued_signals_free(). processes_lock and signal_lock held. */
void signal_forget_pending(int number, struct list *entries);

/* Changes one action of the calling process and the GLOBAL copies. signal_lock held. */
void signal_action_set(int number, const struct signal_action *action);

void signal_info_fill(struct signal_info *info, const struct signal_delivery *delivery);

/*
 * Has the handler of `action` run when the frame is returned to: pushes Linux's rt_sigframe. `mask` is what sigreturn
 * will restore. ERR_FAULT: the stack cannot take it; then nothing is changed.
 */
MUST_USE enum status signal_frame_push(struct trap_frame *frame, const struct signal_action *action,
                                       const struct signal_delivery *delivery, uint64_t mask);

/* Whether the calling thread runs on its alternate stack, its user stack pointer being `rsp`. */
bool signal_on_alternate_stack(uint64_t rsp);

#endif
