/*
 * Waiting for one of many files: the table behind poll and select.
 *
 * A round asks every file; as long as none is ready it also enters the file's wait queues, so that whatever happens
 * after the question wakes the caller, who must not sleep otherwise (user memory) between the round's beginning and
 * wait_sleep(). References keep files (and their queues) alive while it sleeps. Locks: none of its own. Class GLOBAL,
 * pointers only: descriptors and events stay in LOCAL memory or on the caller's stack.
 */
#include "kernel/poll.h"

#include "kernel/assert.h"
#include "kernel/open_file.h"
#include "mm/heap.h"

_Static_assert(2 * POLL_FEW + 1 < WAIT_NODES, "two waiters for each file on the stack, and the table's own");

#define ALWAYS_REPORTED (POLLERR | POLLHUP)
#define ALWAYS_READY    (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)

void poll_wait(struct poll_table *table, struct wait_queue *queue) {
    if (table == NULL || !table->registering)
        return;
    if (table->enter != NULL) {
        table->enter(table, queue);
        return;
    }
    struct poll_entry *entry = table->filling;
    assert(entry->waiting < 2);
    wait_begin(queue, &entry->waiters[entry->waiting++]);
}

static size_t pages_for(unsigned capacity) { return bytes_to_pages(capacity * sizeof(struct poll_entry)); }

enum status poll_table_begin(struct poll_table *table, struct poll_entry few[POLL_FEW], unsigned capacity) {
    *table = (struct poll_table){.entries = few, .capacity = capacity, .wanted = UINT32_MAX};
    wait_queue_init(&table->nobody);
    if (capacity <= POLL_FEW)
        return OK;
    table->entries = global_alloc_pages(pages_for(capacity));
    return table->entries != NULL ? OK : ERR_NO_MEMORY;
}

static void leave_queues(struct poll_table *table) {
    for (unsigned i = 0; i < table->count; i++) {
        struct poll_entry *entry = &table->entries[i];
        while (entry->waiting > 0)
            wait_end(&entry->waiters[--entry->waiting]);
    }
    if (table->in_round)
        wait_end(&table->waiter);
    table->in_round = false;
}

void poll_table_end(struct poll_table *table) {
    leave_queues(table);
    for (unsigned i = 0; i < table->count; i++) {
        if (table->entries[i].file != NULL)
            file_unref(table->entries[i].file);
    }
    if (table->capacity > POLL_FEW)
        global_free_pages(table->entries, pages_for(table->capacity));
}

void poll_table_add(struct poll_table *table, int fd) {
    struct poll_entry *entry = &table->entries[table->count++];
    entry->waiting = 0;
    if (handle_get(fd, &entry->file) != OK)
        entry->file = NULL;
}

void poll_round_begin(struct poll_table *table) {
    leave_queues(table);
    wait_begin(&table->nobody, &table->waiter);
    table->in_round = table->registering = true;
}

uint32_t poll_ask(struct poll_table *table, unsigned i, uint32_t events) {
    struct poll_entry *entry = &table->entries[i];
    uint32_t ready = POLLNVAL;
    table->filling = entry;
    if (entry->file != NULL && !(entry->file->flags & O_PATH)) {
        const struct file_operations *operations = entry->file->operations;
        ready = operations->poll != NULL ? operations->poll(entry->file, table) : ALWAYS_READY;
        ready &= events | ALWAYS_REPORTED;
    }
    if (ready != 0)
        table->registering = false;
    return ready;
}
