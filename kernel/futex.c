/*
 * Futexes: a hash table of sleepers.
 *
 * A sleeper enters its bucket before it reads the word, so a waker that changed the word before it looked into the
 * bucket either is seen by the read or sees the sleeper. All is GLOBAL: user addresses are keys here, the words' values
 * never leave the caller's stack.
 *
 * Lock: futex_lock (rank FUTEX) guards the table and `key` and `woken` of all sleepers; one for all, because a requeue
 * needs two buckets at once. User memory is touched without it, but for futex_requeue's check. Any space.
 */
#include "kernel/futex.h"

#include "arch/cpu.h"
#include "arch/spinlock.h"
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/wait.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/vm.h"

enum { BUCKETS = 256 };

struct futex_key {
    const void *space; /* struct user_space or struct memory_object; the sleeper keeps it from going away */
    uint64_t offset;   /* user address or offset in the object */
};

struct sleeper {
    struct list link;
    struct futex_key key;
    uint32_t bits;           /* constant */
    bool woken;              /* and in no list any more */
    struct wait_queue queue; /* of one */
    struct waiter waiter;
};

static struct spinlock futex_lock = SPINLOCK_INIT(RANK_FUTEX);
static struct list buckets[BUCKETS]; /* struct sleeper.link, first come first */

void futex_init(void) {
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&buckets[i]);
}

static struct list *bucket_of(struct futex_key key) {
    uint64_t hash = ((uint64_t)key.space >> 4 ^ key.offset >> 2) * 0x9e3779b97f4a7c15;

    return &buckets[hash >> 56];
}
_Static_assert(BUCKETS == 256, "bucket_of takes 8 bits");

static bool same(struct futex_key a, struct futex_key b) { return a.space == b.space && a.offset == b.offset; }

/*
 * *object: NULL, or a reference that keeps the key meaningful, to be dropped by key_put().
 */
static enum status key_get(vaddr_t word, bool private, struct futex_key *key, struct memory_object **object) {
    *object = NULL;
    if (word % sizeof(uint32_t) != 0)
        return ERR_INVALID;
    if (!user_range_ok(word, sizeof(uint32_t)))
        return ERR_FAULT;
    *key = (struct futex_key){.space = process_current()->user_space, .offset = word};
    if (private)
        return OK;

    uint64_t offset;
    enum status status = vm_futex_key(word, object, &offset);
    if (status == OK && *object != NULL)
        *key = (struct futex_key){.space = *object, .offset = offset};
    return status;
}

static void key_put(struct memory_object *object) {
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
    wake_all(&sleeper->queue);
}

static enum status sleep_queued(struct sleeper *sleeper, uint64_t deadline) {
    enum status status = OK;

    wait_begin(&sleeper->queue, &sleeper->waiter);
    while (status == OK && !is_woken(sleeper))
        status = wait_sleep(deadline);
    wait_end(&sleeper->waiter);
    return status;
}

static enum status wait_on_key(struct futex_key key, vaddr_t word, uint32_t expected, uint64_t deadline,
                               uint32_t bits) {
    struct sleeper *sleeper = global_alloc(sizeof(*sleeper));
    uint32_t value;

    if (sleeper == NULL)
        return ERR_NO_MEMORY;
    sleeper->bits = bits;
    wait_queue_init(&sleeper->queue);
    enqueue(sleeper, key);
    enum status status = user_load32(word, &value);
    if (status == OK && value != expected)
        status = ERR_WOULD_BLOCK;
    if (status == OK)
        status = sleep_queued(sleeper, deadline);
    if (dequeue(sleeper))
        status = OK; /* a wake that was spent on this sleeper must count */
    global_free(sleeper, sizeof(*sleeper));
    return status;
}

enum status futex_wait(vaddr_t word, bool private, uint32_t expected, uint64_t deadline, uint32_t bits) {
    struct memory_object *object;
    struct futex_key key;
    enum status status = key_get(word, private, &key, &object);

    if (status == OK)
        status = wait_on_key(key, word, expected, deadline, bits);
    key_put(object);
    return status;
}

/* futex_lock held. */
static unsigned wake_key(struct futex_key key, unsigned count, uint32_t bits) {
    unsigned woken = 0;

    list_for_each_safe(link, bucket_of(key)) {
        struct sleeper *sleeper = container_of(link, struct sleeper, link);

        if (woken == count)
            break;
        if (same(sleeper->key, key) && (sleeper->bits & bits)) {
            wake(sleeper);
            woken++;
        }
    }
    return woken;
}

enum status futex_wake(vaddr_t word, bool private, unsigned count, uint32_t bits, unsigned *woken) {
    struct memory_object *object;
    struct futex_key key;
    enum status status = key_get(word, private, &key, &object);

    *woken = 0;
    if (status == OK) {
        spin_lock(&futex_lock);
        *woken = wake_key(key, count, bits);
        spin_unlock(&futex_lock);
    }
    key_put(object);
    return status;
}

/*
 * futex_lock held. A moved sleeper's key may outlive its object: at worst it is woken for nothing, which futexes
 * allow.
 */
static unsigned move_sleepers(struct futex_key from, struct futex_key to, unsigned count) {
    unsigned moved = 0;

    if (same(from, to))
        return 0;
    list_for_each_safe(link, bucket_of(from)) {
        struct sleeper *sleeper = container_of(link, struct sleeper, link);

        if (moved == count)
            break;
        if (!same(sleeper->key, from))
            continue;
        list_remove(&sleeper->link);
        sleeper->key = to;
        list_push_back(bucket_of(to), &sleeper->link);
        moved++;
    }
    return moved;
}

/* Reads the word with futex_lock held: faults in nothing. */
static bool load_held(vaddr_t word, uint32_t *value) {
    this_cpu->views_held++;
    size_t left = copy_from_user_held(value, word, sizeof(*value));
    this_cpu->views_held--;
    return left == 0;
}

static enum status requeue_keys(vaddr_t word, struct futex_key from, struct futex_key to, unsigned count, unsigned move,
                                const uint32_t *expected, unsigned *affected) {
    uint32_t value;

    spin_lock(&futex_lock);
    while (expected != NULL && !load_held(word, &value)) {
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
    enum status status = key_get(from, private, &from_key, &from_object);

    *affected = 0;
    if (status == OK)
        status = key_get(to, private, &to_key, &to_object);
    if (status == OK)
        status = requeue_keys(from, from_key, to_key, count, move, expected, affected);
    key_put(to_object);
    key_put(from_object);
    return status;
}
