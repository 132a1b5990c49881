/*
 * Futexes: a hash table of sleepers.
 *
 * A sleeper enters its bucket before it reads the word, so a waker that changed the word before it looked into the
 * bucket either is seen by the read or sees the sleeper. All is GLOBAL: user addresses are keys here, mixed with a
 * secret of their process, for where its memory lies is nobody else's business; the words' values never leave the
 * caller's stack.
 *
 * Lock: futex_lock (rank FUTEX) guards the table and `key` and `woken` of all sleepers; one for all, because a requeue
 * needs two buckets at once. User memory is touched without it, but for futex_requeue's check. Any space.
 */
#include "kernel/futex.h"

#include "arch/cpu.h"
#include "arch/spinlock.h"
#include "arch/uaccess.h"
#include "asi/mutant.h"
#include "kernel/futex_key.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/wait.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/vm.h"

enum { BUCKETS = 256 };

struct sleeper {
    struct list link;
    struct futex_key key;
    uint32_t bits;            /* constant */
    bool woken;               /* and in no list any more */
    struct wait_queue *queue; /* of one thread, which may have several sleepers */
};

struct spinlock futex_lock = SPINLOCK_INIT(RANK_FUTEX);
static struct list buckets[BUCKETS]; /* struct sleeper.link, first come first */

void futex_init(void) {
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
}

static struct list *bucket_of(struct futex_key key) { return &buckets[futex_key_hash(key)]; }
_Static_assert(BUCKETS == 256, "a hash has 8 bits");

enum status futex_key_get(vaddr_t word, bool private, struct futex_key *key, struct memory_object **object) {
    *object = NULL;
    if (word % sizeof(uint32_t) != 0)
        return ERR_INVALID;
    if (!user_range_ok(word, sizeof(uint32_t)))
        return ERR_FAULT;
    *key = (struct futex_key){.space = process_current()->user_space,
                              .offset = word ^ (mutant(address_as_key) ? 0 : LOCAL->vm.address_secret)};
    if (private)
        return OK;

    uint64_t offset;
    enum status status = vm_futex_key(word, object, &offset);
    if (status == OK && *object != NULL)
        *key = (struct futex_key){.space = *object, .offset = offset};
    return status;
}

void futex_key_put(struct memory_object *object) {
    if (object != NULL)
        object_unref(object);
}

static void enqueue(struct sleeper *sleeper, struct futex_key key) {
    sleeper->key = key;
    spin_lock(&futex_lock);
    list_push_back(bucket_of(key), &sleeper->link);
    spin_unlock(&futex_lock);
}

static bool is_woken(struct sleeper *sleeper) {
    spin_lock(&futex_lock);
    bool woken = sleeper->woken;
    spin_unlock(&futex_lock);
    return woken;
}

/* True when it had been woken. Afterwards nobody else knows it. */
static bool dequeue(struct sleeper *sleeper) {
    spin_lock(&futex_lock);
    bool woken = sleeper->woken;
    if (!woken)
        list_remove(&sleeper->link);
    spin_unlock(&futex_lock);
    return woken;
}

/* futex_lock held: a sleeper lives at least until its dequeue() gets that. */
static void wake(struct sleeper *sleeper) {
    list_remove(&sleeper->link);
    sleeper->woken = true;
    wake_all(sleeper->queue);
}

static enum status sleep_queued(struct sleeper *sleeper, uint64_t deadline) {
    struct waiter waiter;
    enum status status = OK;

    wait_begin(sleeper->queue, &waiter);
    while (status == OK && !is_woken(sleeper))
        status = wait_sleep(deadline);
    wait_end(&waiter);
    return status;
}

static enum status wait_on_key(struct futex_key key, vaddr_t word, uint32_t expected, uint64_t deadline,
                               uint32_t bits) {
    struct single {
        struct sleeper sleeper;
        struct wait_queue queue;
    } *single = global_alloc(sizeof(*single));
    uint32_t value;

    if (single == NULL)
        return ERR_NO_MEMORY;
    struct sleeper *sleeper = &single->sleeper;
    sleeper->bits = bits;
    sleeper->queue = &single->queue;
    wait_queue_init(sleeper->queue);
    enqueue(sleeper, key);
    enum status status = user_load32(word, &value);
    if (status == OK && value != expected)
        status = ERR_WOULD_BLOCK;
    if (status == OK)
        status = sleep_queued(sleeper, deadline);
    if (dequeue(sleeper))
        status = OK; /* a wake that was spent on this sleeper must count */
    global_free(single, sizeof(*single));
    return status;
}

enum status futex_wait(vaddr_t word, bool private, uint32_t expected, uint64_t deadline, uint32_t bits) {
    struct memory_object *object;
    struct futex_key key;
    enum status status = futex_key_get(word, private, &key, &object);

    if (status == OK)
        status = wait_on_key(key, word, expected, deadline, bits);
    futex_key_put(object);
    return status;
}

/* futex_lock held. */
static unsigned wake_key(struct futex_key key, unsigned count, uint32_t bits) {
    unsigned woken = 0;

    list_for_each_safe(link, bucket_of(key)) {
        struct sleeper *sleeper = container_of(link, struct sleeper, link);

        if (woken == count)
            break;
        if (futex_key_same(sleeper->key, key) && (sleeper->bits & bits)) {
            wake(sleeper);
            woken++;
        }
    }
    return woken;
}

enum status futex_wake(vaddr_t word, bool private, unsigned count, uint32_t bits, unsigned *woken) {
    struct memory_object *object;
    struct futex_key key;
    enum status status = futex_key_get(word, private, &key, &object);

    *woken = 0;
    if (status == OK) {
        spin_lock(&futex_lock);
        *woken = wake_key(key, count, bits);
        spin_unlock(&futex_lock);
    }
    futex_key_put(object);
    return status;
}

/*
 * futex_lock held. A moved sleeper's key may outlive its object: at worst it is woken for nothing, which futexes
 * allow.
 */
static unsigned move_sleepers(struct futex_key from, struct futex_key to, unsigned count) {
    unsigned moved = 0;

    if (futex_key_same(from, to))
        return 0;
    list_for_each_safe(link, bucket_of(from)) {
        struct sleeper *sleeper = container_of(link, struct sleeper, link);

        if (moved == count)
            break;
        if (!futex_key_same(sleeper->key, from))
            continue;
        list_remove(&sleeper->link);
        sleeper->key = to;
        list_push_back(bucket_of(to), &sleeper->link);
        moved++;
    }
    return moved;
}

enum status futex_load_held(vaddr_t word, uint32_t *value) {
    this_cpu->views_held++;
    enum status status = user_load32(word, value);
    this_cpu->views_held--;
    return status;
}

enum status futex_exchange_held(vaddr_t word, uint32_t expected, uint32_t desired, uint32_t *old) {
    this_cpu->views_held++;
    enum status status = user_compare_exchange32(word, expected, desired, old);
    this_cpu->views_held--;
    return status;
}

static enum status requeue_keys(vaddr_t word, struct futex_key from, struct futex_key to, unsigned count, unsigned move,
                                const uint32_t *expected, unsigned *affected) {
    uint32_t value;

    spin_lock(&futex_lock);
    while (expected != NULL && futex_load_held(word, &value) != OK) {
        spin_unlock(&futex_lock);
        enum status status = user_load32(word, &value);
        if (status != OK)
            return status;
        spin_lock(&futex_lock);
    }
    bool matches = expected == NULL || value == *expected;
    if (matches) {
        *affected = wake_key(from, count, FUTEX_ANY_BITS);
        *affected += move_sleepers(from, to, move);
    }
    spin_unlock(&futex_lock);
    return matches ? OK : ERR_WOULD_BLOCK;
}

enum status futex_requeue(vaddr_t from, vaddr_t to, bool private, unsigned count, unsigned move,
                          const uint32_t *expected, unsigned *affected) {
    struct memory_object *from_object = NULL, *to_object = NULL;
    struct futex_key from_key, to_key;
    enum status status = futex_key_get(from, private, &from_key, &from_object);

    *affected = 0;
    if (status == OK)
        status = futex_key_get(to, private, &to_key, &to_object);
    if (status == OK)
        status = requeue_keys(from, from_key, to_key, count, move, expected, affected);
    futex_key_put(to_object);
    futex_key_put(from_object);
    return status;
}

/* --- Several words at once ---------------------------------------------------------------------------------------- */

/* Class GLOBAL. */
struct futex_vector {
    struct wait_queue queue;
    unsigned count;
    struct {
        struct sleeper sleeper;
        struct memory_object *object; /* that keeps the key */
    } each[];
};

static size_t vector_bytes(unsigned count) {
    return sizeof(struct futex_vector) + count * sizeof(((struct futex_vector *)0)->each[0]);
}

/* All are queued before any word is read. On error those before are queued. */
static enum status enqueue_all(struct futex_vector *vector, const struct futex_wanted *wanted, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct sleeper *sleeper = &vector->each[i].sleeper;
        struct futex_key key;
        enum status status = futex_key_get(wanted[i].word, wanted[i].private, &key, &vector->each[i].object);

        if (status != OK) {
            futex_key_put(vector->each[i].object);
            return status;
        }
        sleeper->bits = FUTEX_ANY_BITS;
        sleeper->queue = &vector->queue;
        enqueue(sleeper, key);
        vector->count++;
    }
    return OK;
}

static enum status compare_all(const struct futex_wanted *wanted, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        uint32_t value;
        enum status status = user_load32(wanted[i].word, &value);

        if (status != OK)
            return status;
        if (value != wanted[i].value)
            return ERR_WOULD_BLOCK;
    }
    return OK;
}

static bool any_woken(struct futex_vector *vector) {
    bool woken = false;

    for (unsigned i = 0; i < vector->count && !woken; i++)
        woken = is_woken(&vector->each[i].sleeper);
    return woken;
}

static enum status sleep_for_any(struct futex_vector *vector, uint64_t deadline) {
    struct waiter waiter;
    enum status status = OK;

    wait_begin(&vector->queue, &waiter);
    while (status == OK && !any_woken(vector))
        status = wait_sleep(deadline);
    wait_end(&waiter);
    return status;
}

enum status futex_wait_any(const struct futex_wanted *wanted, unsigned count, uint64_t deadline, unsigned *woken) {
    struct futex_vector *vector = global_alloc(vector_bytes(count));

    if (vector == NULL)
        return ERR_NO_MEMORY;
    wait_queue_init(&vector->queue);
    enum status status = enqueue_all(vector, wanted, count);
    if (status == OK)
        status = compare_all(wanted, count);
    if (status == OK)
        status = sleep_for_any(vector, deadline);
    for (unsigned i = 0; i < vector->count; i++) {
        if (dequeue(&vector->each[i].sleeper)) {
            status = OK; /* a wake that was spent on it must count */
            *woken = i;
        }
        futex_key_put(vector->each[i].object);
    }
    global_free(vector, vector_bytes(count));
    return status;
}
