/*
 * Owns: the short way of calls and answers.
 *
 * Does to the records of both sides what kernel/call.c does, at once and with both of them in hand: the partner sleeps,
 * its run queue is locked. LOGICAL ACCESS: the words are in the CPU's registers while neither side's memory is mapped,
 * and in no memory but the two frames, LOCAL to their processes.
 * Locks: ipc_lock, given up before the switch; the run queue's from sched_claim() on. Space: any.
 */
#include "kernel/call_direct.h"

#include "arch/cpu.h"
#include "kernel/donation.h"
#include "kernel/endpoint_queues.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/thread.h"

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static void begin_call(struct call *call, struct endpoint *endpoint, struct reception *reception, uint64_t badge) {
    struct thread *self = thread_current(), *receiver = container_of(reception, struct thread, reception);
    list_remove(&reception->link);
    reception->waiting = false;
    reception->status = OK;
    reception->token = ++call_last_token;
    reception->badge = badge;
    call->state = CALL_RECEIVED;
    call->in_frame = true;
    call->room = 0;
    call->token = call_last_token;
    call->badge = badge;
    call->endpoint = endpoint;
    call->worker = receiver;
    list_push_front(&receiver->process->calls, &call->link);
    endpoint->last_received = call;
    if (self->level < receiver->level)
        receiver->level = self->level; /* kernel/donation.h: it has no other donor, and waits for nobody */
}

bool call_directly(struct endpoint *endpoint, uint64_t badge, struct trap_frame *frame) {
    struct thread *self = thread_current();
    irq_disable();
    spin_lock(&ipc_lock);
    wait_begin_alone();
    if (!list_empty(&endpoint->receivers)) {
        struct reception *reception = container_of(endpoint->receivers.next, struct reception, link);
        struct thread *receiver = container_of(reception, struct thread, reception);
        if (reception->in_frame && sched_claim(receiver, self->level)) {
            begin_call(&self->call, endpoint, reception, badge);
            spin_unlock(&ipc_lock);
            sched_switch_to_claimed(receiver, frame);
            irq_enable();
            return true;
        }
    }
    wait_end_alone();
    spin_unlock(&ipc_lock);
    irq_enable();
    return false;
}

bool call_directly_answered(void) {
    struct call *call = &thread_current()->call;
    if (call->state != CALL_ANSWERED || call->status != OK || call->parcel.buffer != NULL)
        return false;
    call->state = CALL_NONE; /* nobody else knows it any more */
    wait_end_alone();
    return true;
}

/* --- Answers ------------------------------------------------------------------------------------------------------ */

/* The call to be answered, if that can be done so; or NULL. */
static struct call *answerable(const struct endpoint *endpoint) {
    const struct thread *self = thread_current();
    const struct list *calls = &self->process->calls;
    if (list_empty(calls) || endpoint->bits != 0 || !list_empty(&endpoint->calls) || endpoint->receive_files == 0)
        return NULL;
    struct call *call = container_of(calls->next, struct call, link);
    if (call->token != self->unanswered || call->worker != self || !call->in_frame)
        return NULL;
    const bool has_other_donors = calls->next != calls->previous && self->level != level_without_calls(self);
    return has_other_donors ? NULL : call;
}

static void end_call(struct call *call, struct endpoint *endpoint) {
    struct thread *self = thread_current();
    struct reception *reception = &self->reception;
    list_remove(&call->link);
    if (call->endpoint->last_received == call)
        call->endpoint->last_received = NULL;
    call->worker = NULL;
    call->state = CALL_ANSWERED;
    call->status = OK;
    if (self->process->calls.next == &self->process->calls)
        self->level = level_without_calls(self); /* the last donation was the caller's */
    self->unanswered = 0;
    reception->waiting = true;
    reception->in_frame = true;
    reception->room = 0;
    reception->bits = 0;
    reception->parcel.buffer = NULL;
    reception->parcel.file_count = 0;
    list_push_front(&endpoint->receivers, &reception->link);
}

bool call_answer_directly(struct endpoint *endpoint, struct trap_frame *frame) {
    irq_disable();
    spin_lock(&ipc_lock);
    wait_begin_alone();
    struct call *call = answerable(endpoint);
    if (call != NULL) {
        struct thread *caller = container_of(call, struct thread, call);
        if (sched_claim(caller, caller->level)) {
            end_call(call, endpoint);
            spin_unlock(&ipc_lock);
            sched_switch_to_claimed(caller, frame);
            irq_enable();
            return true;
        }
    }
    wait_end_alone();
    spin_unlock(&ipc_lock);
    irq_enable();
    return false;
}

bool call_directly_received(void) {
    const struct reception *reception = &thread_current()->reception;
    if (reception->waiting || reception->status != OK || reception->bits != 0 || reception->parcel.buffer != NULL)
        return false;
    wait_end_alone();
    return true;
}
