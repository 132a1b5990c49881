/*
 * Owns: what is done on the way back to user code when thread.work says that something is.
 * Space: the thread's; the last step names the root that user code must run with (GATE).
 */
#include "arch/return.h"
#include "arch/cpu.h"
#include "asi/asi.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/thread.h"

struct return_action return_to_user_work(struct trap_frame *frame) {
    struct thread *self = thread_current();
    for (;;) {
        uint32_t work = __atomic_load_n(&self->work, __ATOMIC_RELAXED);
        if (!(work & (WORK_RESCHEDULE | WORK_SIGNAL)))
            break;
        __atomic_and_fetch(&self->work, ~(WORK_RESCHEDULE | WORK_SIGNAL), __ATOMIC_RELAXED);
        irq_enable();
        if (work & WORK_RESCHEDULE)
            sched_yield();
        if (work & WORK_SIGNAL)
            signal_deliver(frame);
        irq_disable();
    }
    struct return_action action;
    uint32_t flags;
    action.root = asi_prepare_return(&flags);
    action.flags = flags;
    __atomic_and_fetch(&self->work, ~WORK_SPACE, __ATOMIC_RELAXED); /* also what asi_leave has set */
    return action;
}
