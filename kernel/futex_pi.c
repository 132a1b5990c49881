/*
 * Owns: mutexes with priority inheritance, while somebody waits for them: who owns each, and who waits.
 *
 * The word is the truth about a mutex that nobody waits for, and user code changes it alone. With the first waiter it
 * gets FUTEX_WAITERS, by which its owner knows that he has to call to unlock, and a struct pi_mutex. Whoever unlocks
 * makes the next owner and says so in the word; if the owner died instead, the next one says it himself, and until then
 * the pi_mutex stays for those who come meanwhile.
 *
 * Invariant: a thread's pi_boost is the urgency of the most urgent that waits for a mutex of its, and changes are
 * followed along a chain of mutexes for DEPTH_MAX threads. (What a waiter is donated while it waits, by a call or a
 * nice value, is passed on with the next change.)
 * Locks: futex_lock for all here, and for pi_owned, pi_waiting and pi_closed of every thread; ipc_lock inside for
 * pi_boost. Class GLOBAL. Any space; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/donation.h"
#include "kernel/endpoint_queues.h"
#include "kernel/futex_key.h"
#include "kernel/process.h"
#include "kernel/ready_queue.h"
#include "kernel/signal.h"
#include "kernel/wait.h"
#include "mm/heap.h"

enum { BUCKETS = 256, DEPTH_MAX = 64 };

struct pi_mutex {
    struct list link; /* in its bucket */
    struct futex_key key;
    struct thread *owner;
    struct list owner_link; /* in owner->pi_owned */
    struct list waiters;    /* of struct pi_waiter, first come first */
    unsigned users;         /* waiters, and owners that have not said so in the word yet: it stays for these */
};

struct pi_waiter {
    struct list link;
    struct thread *thread;
    struct pi_mutex *mutex;
    bool granted;            /* it is in no list any more, and the owner */
    bool told;               /* the word says so, and the mutex is not its to keep */
    struct wait_queue queue; /* of one */
};

static struct list buckets[BUCKETS]; /* of struct pi_mutex.link. Protected by futex_lock */

void futex_pi_init(void) {
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
}

/* Everything below up to the calls themselves: futex_lock held. */

static struct pi_mutex *find(struct futex_key key) {
    list_for_each(link, &buckets[futex_key_hash(key)]) {
        struct pi_mutex *mutex = container_of(link, struct pi_mutex, link);
        if (futex_key_same(mutex->key, key))
            return mutex;
    }
    return NULL;
}

/* --- Inheritance -------------------------------------------------------------------------------------------------- */

static uint8_t boost_of(const struct thread *owner) {
    unsigned level = READY_LEVELS;

    list_for_each(link, &owner->pi_owned) {
        const struct pi_mutex *mutex = container_of(link, struct pi_mutex, owner_link);
        list_for_each(waiting, &mutex->waiters) {
            const struct thread *thread = container_of(waiting, struct pi_waiter, link)->thread;
            if (thread->level < level)
                level = thread->level;
        }
    }
    return (uint8_t)(READY_LEVELS - level);
}

static bool set_boost(struct thread *owner, uint8_t boost) {
    bool irq = spin_lock_irq(&ipc_lock);
    const bool changes = owner->pi_boost != boost;

    owner->pi_boost = boost;
    if (changes)
        donation_update(owner);
    spin_unlock_irq(&ipc_lock, irq);
    return changes;
}

/* Who waits for a mutex of the owner's has changed. */
static void update_boost(struct thread *owner) {
    for (unsigned depth = 0; depth < DEPTH_MAX && set_boost(owner, boost_of(owner)); depth++) {
        const struct pi_waiter *waits = owner->pi_waiting;
        if (waits == NULL)
            return;
        owner = waits->mutex->owner;
    }
}

/* Whether the owner waits, by way of others, for the calling thread. */
static bool would_deadlock(const struct thread *owner) {
    for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
        if (owner == thread_current())
            return true;
        if (owner->pi_waiting == NULL)
            return false;
        owner = owner->pi_waiting->mutex->owner;
    }
    return false;
}

/* --- Owners ------------------------------------------------------------------------------------------------------- */

static void set_owner(struct pi_mutex *mutex, struct thread *owner) {
    if (mutex->owner != NULL)
        list_remove(&mutex->owner_link);
    mutex->owner = owner;
    list_push_back(&owner->pi_owned, &mutex->owner_link);
}

/* One that kept it does no longer. */
static void let_go(struct pi_mutex *mutex) {
    struct thread *owner = mutex->owner;

    if (--mutex->users == 0) {
        list_remove(&mutex->link);
        list_remove(&mutex->owner_link);
        global_free(mutex, sizeof(*mutex));
    }
    update_boost(owner);
}

/* The first of the most urgent. There is one. */
static struct pi_waiter *choose(const struct pi_mutex *mutex) {
    struct pi_waiter *best = NULL;

    list_for_each(link, &mutex->waiters) {
        struct pi_waiter *waiter = container_of(link, struct pi_waiter, link);
        if (best == NULL || waiter->thread->level < best->thread->level)
            best = waiter;
    }
    return best;
}

/* The mutex passes to one of those who wait. `told`: the word says so already. */
static void grant(struct pi_mutex *mutex, struct pi_waiter *waiter, bool told) {
    struct thread *before = mutex->owner;

    list_remove(&waiter->link);
    waiter->thread->pi_waiting = NULL;
    set_owner(mutex, waiter->thread);
    update_boost(before);
    update_boost(waiter->thread);
    if (told)
        let_go(mutex);
    waiter->told = told;
    waiter->granted = true;
    wake_all(&waiter->queue);
}

/* The thread that a word names. It does not end as long as futex_lock is held. */
static enum status find_owner(uint32_t id, struct thread **out) {
    bool irq = spin_lock_irq(&processes_lock);
    struct thread *thread = thread_find(id);
    enum status status = thread == NULL || thread->pi_closed ? ERR_NO_PROCESS : OK;

    if (status == OK && (thread->process == &kernel_process || process_is_kernels(thread->process)))
        status = ERR_NOT_PERMITTED;
    spin_unlock_irq(&processes_lock, irq);
    *out = thread;
    return status;
}

/* --- Locking ------------------------------------------------------------------------------------------------------ */

/* A lock call in progress. */
struct attempt {
    vaddr_t word;
    struct futex_key key;
    struct pi_waiter *waiter;
    struct pi_mutex *fresh; /* for the first who waits; NULL once used */
    bool only;              /* does not wait */
    bool waits;             /* is in a mutex's list */
};

static enum status enqueue(struct attempt *attempt, struct pi_mutex *mutex) {
    struct pi_waiter *waiter = attempt->waiter;

    if (attempt->only)
        return ERR_WOULD_BLOCK;
    if (would_deadlock(mutex->owner))
        return ERR_DEADLOCK;
    waiter->thread = thread_current();
    waiter->mutex = mutex;
    list_push_back(&mutex->waiters, &waiter->link);
    mutex->users++;
    thread_current()->pi_waiting = waiter;
    update_boost(mutex->owner);
    attempt->waits = true;
    return OK;
}

/* The first who waits: tells the owner by the word that somebody does. */
static enum status enqueue_first(struct attempt *attempt, uint32_t value) {
    struct pi_mutex *mutex = attempt->fresh;
    struct thread *owner;
    uint32_t old;
    enum status status;

    if (attempt->only)
        return ERR_WOULD_BLOCK;
    if ((status = futex_exchange_held(attempt->word, value, value | FUTEX_WAITERS, &old)) != OK)
        return status;
    if (old != value)
        return ERR_AGAIN;
    if ((status = find_owner(value & FUTEX_OWNER_MASK, &owner)) != OK)
        return status;
    if (would_deadlock(owner))
        return ERR_DEADLOCK;
    attempt->fresh = NULL;
    mutex->key = attempt->key;
    list_init(&mutex->waiters);
    list_push_back(&buckets[futex_key_hash(mutex->key)], &mutex->link);
    set_owner(mutex, owner);
    return enqueue(attempt, mutex);
}

/* OK: it is the caller's, or he is in the list. ERR_AGAIN: the word has changed. ERR_FAULT: its page is to be there. */
static enum status try_locked(struct attempt *attempt) {
    const uint32_t self = thread_current()->id;
    struct pi_mutex *mutex = find(attempt->key);
    uint32_t value, old;

    if (mutex != NULL)
        return enqueue(attempt, mutex);
    enum status status = futex_load_held(attempt->word, &value);
    if (status != OK)
        return status;
    if ((value & FUTEX_OWNER_MASK) == self)
        return ERR_DEADLOCK;
    if ((value & FUTEX_OWNER_MASK) != 0)
        return enqueue_first(attempt, value);
    status = futex_exchange_held(attempt->word, value, self | (value & FUTEX_OWNER_DIED), &old);
    return status == OK && old != value ? ERR_AGAIN : status;
}

static enum status try_lock(struct attempt *attempt) {
    for (;;) {
        spin_lock(&futex_lock);
        enum status status = try_locked(attempt);
        spin_unlock(&futex_lock);
        if (status == ERR_FAULT && (status = user_fault_in(attempt->word, true)) == OK)
            continue;
        if (status != ERR_AGAIN)
            return status;
    }
}

static bool is_granted(const struct pi_waiter *waiter) {
    spin_lock(&futex_lock);
    bool granted = waiter->granted;
    spin_unlock(&futex_lock);
    return granted;
}

/* The mutex is the caller's, whose owner died: says so in the word. */
static enum status take_over(vaddr_t word) {
    const uint32_t self = thread_current()->id;
    uint32_t value, old;
    enum status status = user_load32(word, &value);

    while (status == OK) {
        status = user_compare_exchange32(word, value, self | FUTEX_WAITERS | (value & FUTEX_OWNER_DIED), &old);
        if (status == OK && old == value)
            break;
        value = old;
    }
    return status;
}

static enum status wait_for_grant(const struct attempt *attempt, uint64_t deadline) {
    struct pi_waiter *waiter = attempt->waiter;
    struct waiter self;
    enum status status = OK;

    wait_begin(&waiter->queue, &self);
    while ((status == OK || (status == ERR_RESTART && !signal_pending())) && !is_granted(waiter))
        status = wait_sleep(deadline);
    wait_end(&self);
    spin_lock(&futex_lock);
    if (!waiter->granted) {
        list_remove(&waiter->link);
        thread_current()->pi_waiting = NULL;
        let_go(waiter->mutex);
        spin_unlock(&futex_lock);
        return status;
    }
    spin_unlock(&futex_lock);
    if (waiter->told)
        return OK;
    status = take_over(attempt->word);
    spin_lock(&futex_lock);
    let_go(waiter->mutex);
    spin_unlock(&futex_lock);
    return status;
}

enum status futex_lock_pi(vaddr_t word, bool private, uint64_t deadline, bool only) {
    struct attempt attempt = {.word = word, .only = only};
    struct memory_object *object;
    enum status status = futex_key_get(word, private, &attempt.key, &object);

    if (status == OK) {
        attempt.waiter = global_alloc(sizeof(*attempt.waiter));
        attempt.fresh = global_alloc(sizeof(*attempt.fresh));
        status = attempt.waiter != NULL && attempt.fresh != NULL ? OK : ERR_NO_MEMORY;
    }
    if (status == OK) {
        wait_queue_init(&attempt.waiter->queue);
        status = try_lock(&attempt);
    }
    if (status == OK && attempt.waits)
        status = wait_for_grant(&attempt, deadline);
    global_free(attempt.waiter, sizeof(*attempt.waiter));
    global_free(attempt.fresh, sizeof(*attempt.fresh));
    futex_key_put(object);
    return status;
}

/* --- Unlocking ---------------------------------------------------------------------------------------------------- */

/* As try_locked(). */
static enum status unlock_locked(vaddr_t word, struct futex_key key) {
    struct pi_mutex *mutex = find(key);
    uint32_t value, old, next = 0;
    enum status status = futex_load_held(word, &value);

    if (status != OK)
        return status;
    if ((value & FUTEX_OWNER_MASK) != thread_current()->id)
        return ERR_NOT_PERMITTED;
    if (mutex != NULL && mutex->owner != thread_current())
        return ERR_INVALID; /* somebody has written to the word who should not */
    struct pi_waiter *waiter = mutex != NULL ? choose(mutex) : NULL;
    if (waiter != NULL)
        next = waiter->thread->id | FUTEX_WAITERS;
    status = futex_exchange_held(word, value, next, &old);
    if (status != OK || old != value)
        return status != OK ? status : ERR_AGAIN;
    if (waiter != NULL)
        grant(mutex, waiter, true);
    return OK;
}

enum status futex_unlock_pi(vaddr_t word, bool private) {
    struct memory_object *object;
    struct futex_key key;
    uint32_t value;
    enum status status = user_load32(word, &value);

    if (status == OK && (value & FUTEX_OWNER_MASK) != thread_current()->id)
        status = ERR_NOT_PERMITTED;
    if (status == OK)
        status = futex_key_get(word, private, &key, &object);
    if (status != OK)
        return status;
    for (;;) {
        spin_lock(&futex_lock);
        enum status tried = unlock_locked(word, key);
        spin_unlock(&futex_lock);
        status = tried == ERR_FAULT ? user_fault_in(word, true) : tried;
        if (tried != ERR_AGAIN && (tried != ERR_FAULT || status != OK))
            break;
    }
    futex_key_put(object);
    return status;
}

void futex_pi_exit(void) {
    struct thread *self = thread_current();

    if (list_empty(&self->pi_owned) && !self->exiting)
        return;
    spin_lock(&futex_lock);
    self->pi_closed = self->exiting;
    while (!list_empty(&self->pi_owned)) {
        struct pi_mutex *mutex = container_of(self->pi_owned.next, struct pi_mutex, owner_link);
        grant(mutex, choose(mutex), false); /* a mutex is here for those who wait: the caller has said what he has */
    }
    spin_unlock(&futex_lock);
}
