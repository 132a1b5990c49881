/*
 * Owns: calls under way, from call_send() to its return.
 *
 * A parcel has one holder: the caller until its call is queued and after it has ended, the call itself while it is
 * queued or answered, the receiver from when it is handed over. So nobody clears or frees a message that he could not
 * read, and none is in two hands when either side dies.
 * Locks: ipc_lock. Threads are woken under it, so that neither they nor their calls go away meanwhile. Space: any;
 * nothing here is more than metadata.
 */
#include "kernel/call.h"

#include "arch/cpu.h"
#include "kernel/assert.h"
#include "kernel/donation.h"
#include "kernel/endpoint_queues.h"
#include "kernel/process.h"
#include "kernel/ready_queue.h"
#include "kernel/sched.h"
#include "kernel/sched_abi.h"
#include "kernel/thread.h"

struct spinlock ipc_lock = SPINLOCK_INIT(RANK_IPC);

uint64_t call_last_token;

static struct thread *caller_of(struct call *call) { return container_of(call, struct thread, call); }
static struct thread *receiver_of(struct reception *reception) {
    return container_of(reception, struct thread, reception);
}

/* `successor`: the calling thread is about to wait. */
static void wake(struct thread *thread, bool successor) {
    if (thread == thread_current()) /* or interrupted: it may have looked already, and be about to sleep */
        thread->wake_pending = true;
    else if (successor)
        sched_wake_successor(thread);
    else
        sched_wake(thread);
}

/* --- With ipc_lock held ------------------------------------------------------------------------------------------- */

/* The call is in no list any more. */
static void take_out(struct call *call) {
    list_remove(&call->link);
    donation_end(call);
}

static void end_call_then(struct call *call, enum status status, bool waits_next) {
    take_out(call);
    call->state = CALL_ANSWERED;
    call->status = status;
    wake(caller_of(call), waits_next);
}

static void end_call(struct call *call, enum status status) { end_call_then(call, status, false); }

static void end_reception(struct reception *reception, enum status status, bool waits_next) {
    list_remove(&reception->link);
    reception->waiting = false;
    reception->status = status;
    wake(receiver_of(reception), waits_next);
}

static void hand_over(struct call *call, struct reception *reception) {
    struct thread *receiver = receiver_of(reception);
    list_remove(&call->link);
    list_push_front(&receiver->process->calls, &call->link);
    call->state = CALL_RECEIVED;
    call->worker = receiver;
    call->endpoint->last_received = call;
    donation_begin(call);
    call->token = ++call_last_token;
    reception->token = call->token;
    reception->badge = call->badge;
    reception->parcel = call->parcel;
    call->parcel = (struct parcel){0};
    end_reception(reception, OK, caller_of(call) == thread_current());
}

void endpoint_match(struct endpoint *endpoint) {
    while (!list_empty(&endpoint->receivers)) {
        struct reception *reception = container_of(endpoint->receivers.next, struct reception, link);
        if (endpoint->bits != 0) {
            reception->bits = endpoint->bits;
            endpoint->bits = 0;
            end_reception(reception, OK, false);
            continue;
        }
        if (list_empty(&endpoint->calls))
            return;
        struct call *call = container_of(endpoint->calls.next, struct call, link);
        if (call->parcel.buffer->length > reception->room)
            end_call(call, ERR_MESSAGE_SIZE);
        else
            hand_over(call, reception);
    }
}

void endpoint_end_waits(struct endpoint *endpoint) {
    while (!list_empty(&endpoint->calls))
        end_call(container_of(endpoint->calls.next, struct call, link), ERR_BROKEN_PIPE);
    while (!list_empty(&endpoint->receivers))
        end_reception(container_of(endpoint->receivers.next, struct reception, link), ERR_BROKEN_PIPE, false);
}

/* The call of that token among those that the calling process received, or NULL. */
static struct call *find_received(uint64_t token) {
    list_for_each(link, &process_current()->calls) {
        struct call *call = container_of(link, struct call, link);
        if (call->token == token)
            return call;
    }
    return NULL;
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static enum status sleep(const struct call_terms *terms) {
    return terms->only_killed ? wait_sleep_killable(terms->deadline) : wait_sleep(terms->deadline);
}

static enum status sleep_in_call(const struct call *call, const struct call_terms *terms) {
    if (terms->binding && __atomic_load_n(&call->state, __ATOMIC_RELAXED) == CALL_RECEIVED)
        return wait_sleep_unkillable(terms->deadline);
    return sleep(terms);
}

/* A second call of the same thread would use the same record: its wait takes no page faults and calls nobody. */
enum status call_send(struct endpoint *endpoint, uint64_t badge, struct parcel *parcel,
                      const struct call_terms *terms) {
    struct call *call = &thread_current()->call;
    ensure(call->state == CALL_NONE);
    message_settle();
    bool irq = spin_lock_irq(&ipc_lock);
    if (endpoint->receive_files == 0) {
        spin_unlock_irq(&ipc_lock, irq);
        return ERR_BROKEN_PIPE;
    }
    *call = (struct call){.state = CALL_QUEUED,
                          .in_frame = terms->in_frame,
                          .room = terms->room,
                          .badge = badge,
                          .endpoint = endpoint,
                          .parcel = *parcel};
    *parcel = (struct parcel){0};
    list_push_back(&endpoint->calls, &call->link);
    wait_begin_alone();
    endpoint_match(endpoint);
    if (call->state == CALL_QUEUED)
        donation_begin(call);
    spin_unlock_irq(&ipc_lock, irq);
    return call_wait(parcel, terms);
}

/* Takes ipc_lock when the wait has ended. */
static enum status wait_and_lock(const struct call *call, const struct call_terms *terms, bool *irq) {
    enum status status;
    bool bound;
    do {
        status = OK;
        while (status == OK && __atomic_load_n(&call->state, __ATOMIC_RELAXED) != CALL_ANSWERED)
            status = sleep_in_call(call, terms);
        *irq = spin_lock_irq(&ipc_lock);
        bound = status == ERR_RESTART && terms->binding && call->state == CALL_RECEIVED; /* since we looked */
        if (bound)
            spin_unlock_irq(&ipc_lock, *irq);
    } while (bound);
    return status;
}

enum status call_wait(struct parcel *parcel, const struct call_terms *terms) {
    struct call *call = &thread_current()->call;
    bool irq;
    enum status status = wait_and_lock(call, terms, &irq);
    wait_end_alone();
    if (call->state == CALL_ANSWERED)
        status = call->status;
    else
        take_out(call); /* whoever has received it answers nobody */
    call->state = CALL_NONE;
    *parcel = call->parcel;
    call->parcel = (struct parcel){0};
    spin_unlock_irq(&ipc_lock, irq);
    return status;
}

enum status call_receive(struct endpoint *endpoint, const struct call_terms *terms) {
    struct reception *reception = &thread_current()->reception;
    bool irq = spin_lock_irq(&ipc_lock);
    if (endpoint->receive_files == 0) {
        spin_unlock_irq(&ipc_lock, irq);
        return ERR_BROKEN_PIPE;
    }
    *reception = (struct reception){.waiting = true, .in_frame = terms->in_frame, .room = terms->room};
    list_push_front(&endpoint->receivers, &reception->link);
    wait_begin_alone();
    endpoint_match(endpoint);
    spin_unlock_irq(&ipc_lock, irq);
    return call_receive_wait(terms);
}

enum status call_receive_wait(const struct call_terms *terms) {
    struct reception *reception = &thread_current()->reception;
    enum status status = OK;
    while (status == OK && __atomic_load_n(&reception->waiting, __ATOMIC_RELAXED))
        status = sleep(terms);
    wait_end_alone();
    bool irq = spin_lock_irq(&ipc_lock);
    if (reception->waiting) {
        list_remove(&reception->link);
        reception->waiting = false;
    } else {
        status = reception->status;
    }
    spin_unlock_irq(&ipc_lock, irq);
    return status;
}

/* --- Ending a call that was received ------------------------------------------------------------------------------ */

static bool has_work(const struct endpoint *endpoint) { return endpoint->bits != 0 || !list_empty(&endpoint->calls); }

enum status call_answer(uint64_t token, struct parcel *parcel, const struct endpoint *receives_next) {
    enum status status = OK;
    message_settle();
    bool irq = spin_lock_irq(&ipc_lock);
    struct call *call = find_received(token);
    if (call == NULL) {
        status = ERR_NO_ENTRY;
    } else if (parcel->buffer->length > call->room) {
        status = ERR_MESSAGE_SIZE;
    } else {
        call->parcel = *parcel;
        *parcel = (struct parcel){0};
        end_call_then(call, OK, receives_next != NULL && !has_work(receives_next));
    }
    spin_unlock_irq(&ipc_lock, irq);
    return status;
}

void call_put_back(uint64_t token, struct parcel *parcel) {
    message_settle();
    bool irq = spin_lock_irq(&ipc_lock);
    struct call *call = find_received(token);
    if (call != NULL) {
        struct endpoint *endpoint = call->endpoint;
        call->parcel = *parcel;
        *parcel = (struct parcel){0};
        take_out(call);
        list_push_front(&endpoint->calls, &call->link);
        call->state = CALL_QUEUED;
        if (endpoint->receive_files == 0)
            end_call(call, ERR_BROKEN_PIPE);
        else
            endpoint_match(endpoint);
    }
    spin_unlock_irq(&ipc_lock, irq);
    parcel_drop(parcel); /* empty, unless the caller has gone */
}

void call_refuse(uint64_t token, enum status status) {
    bool irq = spin_lock_irq(&ipc_lock);
    struct call *call = find_received(token);
    if (call != NULL)
        end_call(call, status);
    spin_unlock_irq(&ipc_lock, irq);
}

void calls_abandon(void) {
    struct list *calls = &process_current()->calls;
    bool irq = spin_lock_irq(&ipc_lock);
    while (!list_empty(calls))
        end_call(container_of(calls->next, struct call, link), ERR_BROKEN_PIPE);
    spin_unlock_irq(&ipc_lock, irq);
}

void calls_forget_worker(void) {
    bool irq = spin_lock_irq(&ipc_lock);
    donation_forget_worker();
    spin_unlock_irq(&ipc_lock, irq);
}

void thread_set_policy(struct thread *thread, unsigned policy, unsigned priority, int nice) {
    bool irq = spin_lock_irq(&ipc_lock);
    thread->policy = (uint8_t)policy;
    thread->realtime_priority = (uint8_t)priority;
    thread->nice = (int8_t)nice;
    thread->own_level = priority != 0          ? level_of_priority(priority)
                        : policy == SCHED_IDLE ? (uint8_t)LEVEL_OF_IDLERS
                                               : level_of_nice(nice);
    donation_update(thread);
    spin_unlock_irq(&ipc_lock, irq);
}
