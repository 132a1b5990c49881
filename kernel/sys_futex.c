/*
 * The futex system call, robust lists, and what a thread's end does to futexes. No state of its own. Any space; may
 * sleep.
 *
 * Not there: requeueing to mutexes with priority inheritance (ENOSYS), which no C library of today asks for.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/futex.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/syscall_table.h"
#include "kernel/timespec.h"
#include "mm/heap.h"

enum futex_operation {
    FUTEX_WAIT = 0,
    FUTEX_WAKE = 1,
    FUTEX_REQUEUE = 3,
    FUTEX_CMP_REQUEUE = 4,
    FUTEX_WAKE_OP = 5,
    FUTEX_LOCK_PI = 6,
    FUTEX_UNLOCK_PI = 7,
    FUTEX_TRYLOCK_PI = 8,
    FUTEX_WAIT_BITSET = 9,
    FUTEX_WAKE_BITSET = 10,
    FUTEX_LOCK_PI2 = 13,
    FUTEX_PRIVATE_FLAG = 128,
    FUTEX_CLOCK_REALTIME = 256,
};

/* The list of robust mutexes that a thread holds. */
enum { ROBUST_LIST_MAX = 2048 };

struct robust_list_head {
    uint64_t first;
    int64_t word_offset; /* from an entry to its futex word */
    uint64_t pending;    /* entry that is being locked or unlocked */
};

/* The operation's deadline: relative for WAIT, absolute for WAIT_BITSET. Argument 3 is 0: none. */
static enum status read_deadline(const struct syscall *call, bool absolute, bool realtime, uint64_t *deadline) {
    uint64_t ns;

    *deadline = WAIT_FOREVER;
    if (call->arg[3] == 0)
        return OK;
    enum status status = timespec_from_user(call->arg[3], &ns);
    if (status != OK)
        return status;
    if (!absolute)
        *deadline = deadline_of_call(ns);
    else if (realtime)
        *deadline = deadline_at_realtime(ns);
    else if (ns < DURATION_MAX)
        *deadline = ns;
    return OK;
}

static enum status wait_operation(const struct syscall *call, bool private, bool bitset, bool realtime) {
    uint32_t bits = bitset ? (uint32_t)call->arg[5] : FUTEX_ANY_BITS;
    uint64_t deadline;
    enum status status;

    if (bits == 0)
        return ERR_INVALID;
    if ((status = read_deadline(call, bitset, realtime, &deadline)) != OK)
        return status;
    do
        status = futex_wait(call->arg[0], private, (uint32_t)call->arg[2], deadline, bits);
    while (status == ERR_RESTART && !signal_pending());
    return deadline_keep(status, deadline);
}

/* A count as Linux takes it: negative ones mean one for wakes. */
static unsigned wake_count(uint64_t argument) {
    int32_t count = (int32_t)argument;

    return count <= 0 ? 1 : (unsigned)count;
}

static enum status requeue_operation(struct syscall *call, bool private, bool compare) {
    int32_t count = (int32_t)call->arg[2], move = (int32_t)call->arg[3];
    uint32_t expected = (uint32_t)call->arg[5];
    unsigned affected;

    if (count < 0 || move < 0)
        return ERR_INVALID;
    enum status status = futex_requeue(call->arg[0], call->arg[4], private, (unsigned)count, (unsigned)move,
                                       compare ? &expected : NULL, &affected);
    call->result = affected;
    return status;
}

/* WAKE_OP's fifth argument: operation and comparison, with 12-bit signed operands. */
struct wake_operation {
    unsigned operation, comparison;
    int32_t operand, compared;
};

static struct wake_operation decode_wake_operation(uint32_t code) {
    struct wake_operation decoded = {.operation = code >> 28 & 7,
                                     .comparison = code >> 24 & 15,
                                     .operand = (int32_t)(code << 8) >> 20,
                                     .compared = (int32_t)(code << 20) >> 20};

    if (code >> 31) /* the operand is a shift */
        decoded.operand = (int32_t)(1U << (decoded.operand & 31));
    return decoded;
}

static enum status apply(const struct wake_operation *operation, uint32_t old, uint32_t *new) {
    uint32_t operand = (uint32_t)operation->operand;

    switch (operation->operation) {
    case 0:
        *new = operand;
        return OK;
    case 1:
        *new = old + operand;
        return OK;
    case 2:
        *new = old | operand;
        return OK;
    case 3:
        *new = old & ~operand;
        return OK;
    case 4:
        *new = old ^ operand;
        return OK;
    default:
        return ERR_NO_SYSCALL;
    }
}

static bool compare(const struct wake_operation *operation, int32_t old) {
    switch (operation->comparison) {
    case 0:
        return old == operation->compared;
    case 1:
        return old != operation->compared;
    case 2:
        return old < operation->compared;
    case 3:
        return old <= operation->compared;
    case 4:
        return old > operation->compared;
    default:
        return old >= operation->compared;
    }
}

static enum status wake_op_operation(struct syscall *call, bool private) {
    struct wake_operation operation = decode_wake_operation((uint32_t)call->arg[5]);
    vaddr_t second = call->arg[4];
    uint32_t expected, old, new;
    unsigned woken, more = 0;
    enum status status;

    if (operation.comparison > 5)
        return ERR_NO_SYSCALL;
    if (second % sizeof(uint32_t) != 0 || call->arg[0] % sizeof(uint32_t) != 0)
        return ERR_INVALID;
    if ((status = user_load32(second, &old)) != OK)
        return status;
    do {
        expected = old;
        if ((status = apply(&operation, expected, &new)) != OK ||
            (status = user_compare_exchange32(second, expected, new, &old)) != OK)
            return status;
    } while (old != expected);

    status = futex_wake(call->arg[0], private, wake_count(call->arg[2]), FUTEX_ANY_BITS, &woken);
    if (status == OK && compare(&operation, (int32_t)old))
        status = futex_wake(second, private, wake_count(call->arg[3]), FUTEX_ANY_BITS, &more);
    call->result = (int64_t)woken + more;
    return status;
}

static enum status wake_operation(struct syscall *call, bool private, uint32_t bits) {
    unsigned woken;

    if (bits == 0)
        return ERR_INVALID;
    enum status status = futex_wake(call->arg[0], private, wake_count(call->arg[2]), bits, &woken);
    call->result = woken;
    return status;
}

/* A LOCK_PI's time is on the wall clock, a LOCK_PI2's on the one it says. */
static enum status lock_pi_operation(const struct syscall *call, bool private, bool realtime) {
    uint64_t deadline;
    enum status status = read_deadline(call, true, realtime, &deadline);

    return status == OK ? futex_lock_pi(call->arg[0], private, deadline, false) : status;
}

enum status sys_futex(struct syscall *call) {
    uint32_t code = (uint32_t)call->arg[1];
    uint32_t operation = code & ~(uint32_t)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    bool private = code & FUTEX_PRIVATE_FLAG, realtime = code & FUTEX_CLOCK_REALTIME;

    if (realtime && operation != FUTEX_WAIT_BITSET && operation != FUTEX_WAIT && operation != FUTEX_LOCK_PI2)
        return ERR_NO_SYSCALL;
    switch (operation) {
    case FUTEX_WAIT:
        return wait_operation(call, private, false, false);
    case FUTEX_WAIT_BITSET:
        return wait_operation(call, private, true, realtime);
    case FUTEX_WAKE:
        return wake_operation(call, private, FUTEX_ANY_BITS);
    case FUTEX_WAKE_BITSET:
        return wake_operation(call, private, (uint32_t)call->arg[5]);
    case FUTEX_REQUEUE:
        return requeue_operation(call, private, false);
    case FUTEX_CMP_REQUEUE:
        return requeue_operation(call, private, true);
    case FUTEX_WAKE_OP:
        return wake_op_operation(call, private);
    case FUTEX_LOCK_PI:
        return lock_pi_operation(call, private, true);
    case FUTEX_LOCK_PI2:
        return lock_pi_operation(call, private, realtime);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(call->arg[0], private, WAIT_FOREVER, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(call->arg[0], private);
    default:
        return ERR_NO_SYSCALL;
    }
}

/* --- futex_waitv -------------------------------------------------------------------------------------------------- */

struct user_waitv {
    uint64_t value, word;
    uint32_t flags, reserved;
};
enum { FUTEX2_SIZE_U32 = 2, FUTEX2_PRIVATE = 128 };
enum { WAITV_CLOCK_REALTIME = 0, WAITV_CLOCK_MONOTONIC = 1 };

static enum status decode_waitv(const struct user_waitv *from, struct futex_wanted *out) {
    if (from->reserved != 0 || (from->flags & ~(uint32_t)FUTEX2_PRIVATE) != FUTEX2_SIZE_U32)
        return ERR_INVALID;
    *out = (struct futex_wanted){from->word, (uint32_t)from->value, from->flags & FUTEX2_PRIVATE};
    return OK;
}

static enum status read_waitv(vaddr_t from, struct futex_wanted *wanted, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct user_waitv each;
        enum status status = copy_from_user(&each, from + i * sizeof(each), sizeof(each));

        if (status == OK)
            status = decode_waitv(&each, &wanted[i]);
        if (status != OK)
            return status;
    }
    return OK;
}

enum status sys_futex_waitv(struct syscall *call) {
    const unsigned count = (unsigned)call->arg[1];
    const uint32_t clock = (uint32_t)call->arg[4];
    uint64_t deadline = WAIT_FOREVER;
    unsigned woken = 0;
    enum status status = OK;

    if (call->arg[2] != 0 || call->arg[1] == 0 || call->arg[1] > FUTEX_WAITV_MAX || call->arg[0] == 0)
        return ERR_INVALID;
    if (call->arg[3] != 0) {
        if (clock != WAITV_CLOCK_REALTIME && clock != WAITV_CLOCK_MONOTONIC)
            return ERR_INVALID;
        status = read_deadline(call, true, clock == WAITV_CLOCK_REALTIME, &deadline);
    }
    if (status != OK)
        return status;
    struct futex_wanted *wanted = local_alloc(count * sizeof(*wanted));
    if (wanted == NULL)
        return ERR_NO_MEMORY;
    status = read_waitv(call->arg[0], wanted, count);
    if (status == OK)
        status = futex_wait_any(wanted, count, deadline, &woken);
    local_free(wanted, count * sizeof(*wanted));
    call->result = woken;
    return status;
}

/* --- Robust lists ------------------------------------------------------------------------------------------------- */

enum status sys_set_robust_list(struct syscall *call) {
    if (call->arg[1] != sizeof(struct robust_list_head))
        return ERR_INVALID;
    thread_current()->local->robust_list = call->arg[0];
    return OK;
}

enum status sys_get_robust_list(struct syscall *call) {
    struct thread *thread = thread_current();
    uint64_t size = sizeof(struct robust_list_head);
    enum status status;

    /* Another thread's list is an address in LOCAL memory: of one's own only. */
    if (call->arg[0] != 0 && (uint32_t)call->arg[0] != thread->id)
        return ERR_NOT_PERMITTED;
    if ((status = copy_to_user(call->arg[1], &thread->local->robust_list, sizeof(uint64_t))) != OK)
        return status;
    return copy_to_user(call->arg[2], &size, sizeof(size));
}

/*
 * A mutex that the dying thread holds: the next owner learns of it from the word. Who waits for one with priority
 * inheritance gets it from futex_pi_exit().
 */
static void abandon_mutex(vaddr_t word, bool locking, bool inherits) {
    uint32_t self = thread_current()->id, value, old;
    unsigned woken;

    if (word % sizeof(uint32_t) != 0 || user_load32(word, &value) != OK)
        return;
    if (locking && !inherits && value == 0) { /* died between unlocking and waking */
        (void)!futex_wake(word, false, 1, FUTEX_ANY_BITS, &woken);
        return;
    }
    while ((value & FUTEX_OWNER_MASK) == self) {
        if (user_compare_exchange32(word, value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &old) != OK)
            return;
        if (old == value) {
            if (value & FUTEX_WAITERS && !inherits)
                (void)!futex_wake(word, false, 1, FUTEX_ANY_BITS, &woken);
            return;
        }
        value = old;
    }
}

/*
 * The list is in user memory and may be anything: at most ROBUST_LIST_MAX entries are followed. Bit 0 marks mutexes
 * with priority inheritance.
 */
static void abandon_robust_list(vaddr_t list) {
    struct robust_list_head head;

    if (copy_from_user(&head, list, sizeof(head)) != OK)
        return;
    uint64_t pending = head.pending & ~1UL, entry = head.first;
    for (unsigned i = 0; i < ROBUST_LIST_MAX && (entry & ~1UL) != list; i++) {
        uint64_t next;
        bool readable = copy_from_user(&next, entry & ~1UL, sizeof(next)) == OK;

        if ((entry & ~1UL) != pending)
            abandon_mutex((entry & ~1UL) + (uint64_t)head.word_offset, false, entry & 1);
        if (!readable)
            break;
        entry = next;
    }
    if (pending != 0)
        abandon_mutex(pending + (uint64_t)head.word_offset, true, head.pending & 1);
}

void futex_thread_exit(void) {
    struct thread *thread = thread_current();
    struct process *process = thread->process;
    struct thread_local *local = thread->local;
    unsigned woken;

    if (local == NULL) /* a thread of the kernel's */
        return;
    vaddr_t tid_word = local->clear_child_tid, list = local->robust_list;
    local->clear_child_tid = local->robust_list = 0;
    if (list != 0)
        abandon_robust_list(list);
    futex_pi_exit();
    /* Without another thread in the user half nobody can be waiting, and the page need not be copied. */
    if (tid_word == 0 || (process->thread_count == 1 && process->user_space->refs == 1))
        return;
    if (clear_user(tid_word, sizeof(uint32_t)) == OK)
        (void)!futex_wake(tid_word, false, 1, FUTEX_ANY_BITS, &woken);
}
