/*
 * poll, ppoll, select, pselect6.
 *
 * What is asked for is user memory: it is copied once, to the stack or LOCAL memory, and the answer at the end.
 * Locks: none. May sleep. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/open_file.h"
#include "kernel/poll.h"
#include "kernel/signal.h"
#include "kernel/syscall_table.h"
#include "kernel/time.h"
#include "kernel/timespec.h"
#include "mm/heap.h"

#define POLLFDS_FEW 16U /* that many stay on the stack */

struct linux_pollfd {
    int32_t fd;
    uint16_t events, revents;
};

/* Time limits. */

static enum status to_nanoseconds(int64_t seconds, int64_t fraction, uint64_t unit, uint64_t *nanoseconds) {
    if (seconds < 0 || fraction < 0 || (uint64_t)fraction >= NS_PER_SECOND / unit)
        return ERR_INVALID;
    if ((uint64_t)seconds > WAIT_FOREVER / NS_PER_SECOND - 1)
        *nanoseconds = WAIT_FOREVER;
    else
        *nanoseconds = (uint64_t)seconds * NS_PER_SECOND + (uint64_t)fraction * unit;
    return OK;
}

/* Reads a timespec (unit 1) or timeval (unit 1000) at `address`; 0: no limit. */
static enum status load_deadline(vaddr_t address, uint64_t unit, uint64_t *deadline) {
    struct linux_timespec time;
    uint64_t nanoseconds;
    *deadline = WAIT_FOREVER;
    if (address == 0)
        return OK;
    enum status status = copy_from_user(&time, address, sizeof(time));
    if (status == OK)
        status = to_nanoseconds(time.seconds, time.nanoseconds, unit, &nanoseconds);
    if (status == OK)
        *deadline = deadline_after(nanoseconds);
    return status;
}

/* Tells how much time is left, as Linux does. A read-only timeout is no error. */
static void store_remaining(vaddr_t address, uint64_t unit, uint64_t deadline) {
    uint64_t now = time_monotonic(), left = deadline > now ? deadline - now : 0;
    struct linux_timespec time = {(int64_t)(left / NS_PER_SECOND), (int64_t)(left % NS_PER_SECOND / unit)};
    if (address != 0 && copy_to_user(address, &time, sizeof(time)) != OK)
        return;
}

/* Other signals than usual are blocked until the call is over. `mask` at `address`, or 0: none. */
static enum status set_mask(vaddr_t address, uint64_t size) {
    uint64_t mask;
    if (address == 0)
        return OK;
    if (size != sizeof(mask))
        return ERR_INVALID;
    enum status status = copy_from_user(&mask, address, sizeof(mask));
    if (status == OK)
        signal_mask_set_for_call(mask);
    return status;
}

/*
 * A wait's end as the call's: time out is an answer. (A handler ends the call whatever SA_RESTART says, as
 * signal_deliver.c knows. Without one it goes on: poll() with its deadline, the others with what they say is left.)
 */
static enum status end_of_wait(enum status status) { return status == ERR_TIMED_OUT ? OK : status; }

/* poll */

/* One look at all descriptors. Nothing here sleeps: a wake-up between a look and the sleep must not be lost. */
static int64_t poll_round(struct poll_table *table, struct linux_pollfd *fds, unsigned count) {
    int64_t ready = 0;
    poll_round_begin(table);
    for (unsigned i = 0; i < count; i++) {
        fds[i].revents = fds[i].fd >= 0 ? (uint16_t)poll_ask(table, i, fds[i].events) : 0;
        ready += fds[i].revents != 0;
    }
    return ready;
}

static enum status poll_files(struct linux_pollfd *fds, unsigned count, uint64_t deadline, int64_t *ready) {
    struct poll_entry few[POLL_FEW];
    struct poll_table table;
    enum status status = poll_table_begin(&table, few, count);
    if (status != OK)
        return status;
    for (unsigned i = 0; i < count; i++)
        poll_table_add(&table, fds[i].fd);
    while (status == OK) {
        *ready = poll_round(&table, fds, count);
        if (*ready > 0)
            break;
        status = time_monotonic() >= deadline ? ERR_TIMED_OUT : wait_sleep(deadline);
    }
    poll_table_end(&table);
    return end_of_wait(status);
}

static enum status store_events(vaddr_t to, const struct linux_pollfd *fds, unsigned count) {
    enum status status = OK;
    for (unsigned i = 0; i < count && status == OK; i++)
        status = copy_to_user(to + i * sizeof(*fds) + offsetof(struct linux_pollfd, revents), &fds[i].revents,
                              sizeof(fds[i].revents));
    return status;
}

static enum status poll_until(vaddr_t address, uint64_t count, uint64_t deadline, int64_t *ready) {
    struct linux_pollfd few[POLLFDS_FEW], *fds = few;
    size_t bytes = count * sizeof(*fds);
    if (count > handles_limit())
        return ERR_INVALID;
    if (count > POLLFDS_FEW)
        fds = local_alloc(bytes);
    if (fds == NULL)
        return ERR_NO_MEMORY;
    enum status status = copy_from_user(fds, address, bytes);
    if (status == OK)
        status = poll_files(fds, (unsigned)count, deadline, ready);
    if (status == OK)
        status = store_events(address, fds, (unsigned)count);
    if (fds != few)
        local_free(fds, bytes);
    return status;
}

enum status sys_poll(struct syscall *call) {
    int32_t milliseconds = (int32_t)call->arg[2];
    uint64_t deadline = milliseconds < 0 ? WAIT_FOREVER : deadline_of_call((uint64_t)milliseconds * 1000000);
    return deadline_keep(poll_until(call->arg[0], (uint32_t)call->arg[1], deadline, &call->result), deadline);
}

enum status sys_ppoll(struct syscall *call) {
    uint64_t deadline;
    enum status status = load_deadline(call->arg[2], 1, &deadline);
    if (status == OK)
        status = set_mask(call->arg[3], call->arg[4]);
    if (status != OK)
        return status;
    status = poll_until(call->arg[0], (uint32_t)call->arg[1], deadline, &call->result);
    if (deadline != WAIT_FOREVER)
        store_remaining(call->arg[2], 1, deadline);
    return status;
}

/* select */

#define SET_WORDS (HANDLES_MAX / 64)
enum set { SET_READ, SET_WRITE, SET_EXCEPT, SETS };

/* LOCAL: what the caller asked for and what is to be answered. */
struct select_sets {
    uint64_t asked[SETS][SET_WORDS];
    uint64_t ready[SETS][SET_WORDS];
};

static const uint32_t set_events[SETS] = {
    [SET_READ] = POLLIN | POLLRDNORM | POLLHUP | POLLERR,
    [SET_WRITE] = POLLOUT | POLLWRNORM | POLLERR,
    [SET_EXCEPT] = POLLPRI,
};

static bool bit(const uint64_t *words, unsigned n) { return words[n / 64] >> n % 64 & 1; }

static size_t set_bytes(unsigned count) { return (count + 63) / 64 * 8; }

static enum status load_sets(struct select_sets *sets, const vaddr_t addresses[SETS], unsigned count) {
    enum status status = OK;
    for (unsigned s = 0; s < SETS && status == OK; s++) {
        if (addresses[s] != 0)
            status = copy_from_user(sets->asked[s], addresses[s], set_bytes(count));
    }
    return status;
}

static enum status store_sets(const struct select_sets *sets, const vaddr_t addresses[SETS], unsigned count) {
    enum status status = OK;
    for (unsigned s = 0; s < SETS && status == OK; s++) {
        if (addresses[s] != 0)
            status = copy_to_user(addresses[s], sets->ready[s], set_bytes(count));
    }
    return status;
}

static bool asked_for(const struct select_sets *sets, unsigned fd) {
    return bit(sets->asked[SET_READ], fd) || bit(sets->asked[SET_WRITE], fd) || bit(sets->asked[SET_EXCEPT], fd);
}

static enum status add_asked(struct poll_table *table, const struct select_sets *sets, unsigned count) {
    for (unsigned fd = 0; fd < count; fd++) {
        if (!asked_for(sets, fd))
            continue;
        poll_table_add(table, (int)fd);
        if (table->entries[table->count - 1].file == NULL)
            return ERR_BAD_HANDLE;
    }
    return OK;
}

/* As poll_round(). */
static int64_t select_round(struct poll_table *table, struct select_sets *sets, unsigned count) {
    unsigned entry = 0;
    int64_t ready = 0;
    poll_round_begin(table);
    for (unsigned fd = 0; fd < count; fd++) {
        uint32_t wanted = 0;
        if (!asked_for(sets, fd))
            continue;
        for (unsigned s = 0; s < SETS; s++)
            wanted |= bit(sets->asked[s], fd) ? set_events[s] : 0;
        uint32_t events = poll_ask(table, entry++, wanted);
        for (unsigned s = 0; s < SETS; s++) {
            if (bit(sets->asked[s], fd) && (events & set_events[s])) {
                sets->ready[s][fd / 64] |= 1UL << fd % 64;
                ready++;
            }
        }
    }
    return ready;
}

static enum status select_until(struct select_sets *sets, unsigned count, uint64_t deadline, int64_t *ready) {
    struct poll_entry few[POLL_FEW];
    struct poll_table table;
    unsigned asked = 0;
    for (unsigned fd = 0; fd < count; fd++)
        asked += asked_for(sets, fd);
    enum status status = poll_table_begin(&table, few, asked);
    if (status != OK)
        return status;
    status = add_asked(&table, sets, count);
    while (status == OK) {
        *ready = select_round(&table, sets, count);
        if (*ready > 0)
            break;
        status = time_monotonic() >= deadline ? ERR_TIMED_OUT : wait_sleep(deadline);
    }
    poll_table_end(&table);
    return end_of_wait(status);
}

static enum status select_common(struct syscall *call, uint64_t deadline) {
    const vaddr_t addresses[SETS] = {call->arg[1], call->arg[2], call->arg[3]};
    int32_t asked = (int32_t)call->arg[0];
    if (asked < 0)
        return ERR_INVALID;
    unsigned count = asked < (int32_t)HANDLES_MAX ? (unsigned)asked : HANDLES_MAX;
    _Static_assert(sizeof(struct select_sets) <= PAGE_SIZE, "what local_alloc gives");
    struct select_sets *sets = local_alloc(sizeof(*sets));
    if (sets == NULL)
        return ERR_NO_MEMORY;
    enum status status = load_sets(sets, addresses, count);
    if (status == OK)
        status = select_until(sets, count, deadline, &call->result);
    if (status == OK)
        status = store_sets(sets, addresses, count);
    local_free(sets, sizeof(*sets));
    return status;
}

enum status sys_select(struct syscall *call) {
    struct linux_timespec limit; /* a timeval here: microseconds may be more than a second's */
    uint64_t deadline = WAIT_FOREVER, nanoseconds;
    if (call->arg[4] != 0) {
        enum status status = copy_from_user(&limit, call->arg[4], sizeof(limit));
        if (status == OK && (limit.seconds < 0 || limit.nanoseconds < 0))
            status = ERR_INVALID;
        if (status == OK && limit.seconds < INT32_MAX)
            limit.seconds += limit.nanoseconds / 1000000;
        if (status == OK)
            status = to_nanoseconds(limit.seconds, limit.nanoseconds % 1000000, 1000, &nanoseconds);
        if (status != OK)
            return status;
        deadline = deadline_after(nanoseconds);
    }
    enum status status = select_common(call, deadline);
    if (deadline != WAIT_FOREVER)
        store_remaining(call->arg[4], 1000, deadline);
    return status;
}

enum status sys_pselect6(struct syscall *call) {
    uint64_t deadline, mask[2] = {0, 0}; /* address and size */
    enum status status = load_deadline(call->arg[4], 1, &deadline);
    if (status == OK && call->arg[5] != 0)
        status = copy_from_user(mask, call->arg[5], sizeof(mask));
    if (status == OK)
        status = set_mask(mask[0], mask[1]);
    if (status != OK)
        return status;
    status = select_common(call, deadline);
    if (deadline != WAIT_FOREVER)
        store_remaining(call->arg[4], 1, deadline);
    return status;
}
