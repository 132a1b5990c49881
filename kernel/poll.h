/*
 * Waiting for one of many files. A type's poll operation names the queues that it wakes when its answer may change.
 */
#ifndef KERNEL_POLL_H
#define KERNEL_POLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/status.h"
#include "kernel/wait.h"

struct file;

/* One file that is waited for. Class GLOBAL: pointers only. */
struct poll_entry {
    struct file *file; /* with a reference; NULL: not open */
    struct waiter waiters[2];
    uint32_t waiting; /* of the waiters, in use */
};

struct poll_table {
    struct poll_entry *entries; /* one page or more of global memory, or the caller's stack */
    unsigned count, capacity;
    struct poll_entry *filling; /* whose poll operation is being asked */
    bool registering;           /* nothing is ready so far: enter the queues */
    bool in_round;              /* `waiter` is in use */
    uint32_t wanted;            /* POLL* bits that matter to who asks */
    /* Instead of putting the caller on a queue (kernel/epoll_item.c), or NULL. */
    void (*enter)(struct poll_table *table, struct wait_queue *queue);
    struct wait_queue nobody; /* never woken: with no other queue, only time and signals end the sleep */
    struct waiter waiter;
};

/* Called by poll operations, with the lock held under which the queue is woken. A NULL table: nobody waits. */
void poll_wait(struct poll_table *table, struct wait_queue *queue);

#define POLL_FEW 4U /* that many files are waited for without allocating */

/*
 * Prepares for `capacity` files; `few` is on the caller's stack. ERR_NO_MEMORY. poll_table_end() drops all
 * references.
 */
MUST_USE enum status poll_table_begin(struct poll_table *table, struct poll_entry few[POLL_FEW], unsigned capacity);
void poll_table_end(struct poll_table *table);

/* Adds the file behind `fd` (negative: none) as the next entry. */
void poll_table_add(struct poll_table *table, int fd);

/*
 * Before each round of questions: leaves all queues and begins to wait. After a round with nothing ready: wait_sleep().
 * Nothing that may sleep otherwise (user memory) comes between.
 */
void poll_round_begin(struct poll_table *table);

/* POLL* of entry `i`: of `events` and those always reported; POLLNVAL when it is not open. Stops entering queues when
 * not 0. */
uint32_t poll_ask(struct poll_table *table, unsigned i, uint32_t events);

#endif
