/*
 * Owns: what is done on the way back to user code when thread.work says that something is.
 * Space: the thread's; the last step names the root that user code must run with (GATE).
 */
#include "arch/return.h"
#include "arch/cpu.h"
#include "asi/asi.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/stop.h"
#include "kernel/thread.h"

#define WORK_HERE (uint32_t)(WORK_RESCHEDULE | WORK_SIGNAL | WORK_STOP)

struct return_action return_to_user_work(struct trap_frame *frame) {
    struct thread *self = thread_current();
    for (;;) {
        /* One step: what another CPU adds is seen now or in the next round. */
        uint32_t work = __atomic_fetch_and(&self->work, ~WORK_HERE, __ATOMIC_RELAXED) & WORK_HERE;
        if (work == 0)
            break;
        if (work & WORK_STOP)
            stop_here_if_asked();
        irq_enable();
        if (work & WORK_RESCHEDULE)
            sched_preempt();
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
