/*
 * Owns: what a process learns of its children: ends, which are collected, stops and continuations.
 * Locks: processes_lock (rank PROCESSES, interrupts off). Space: restricted.
 */
#include "arch/cpu.h"
#include "arch/io.h"
#include "kernel/process.h"
#include "kernel/process_life.h"

#define STATUS_STOPPED   0x7f
#define STATUS_CONTINUED 0xffff

static bool matches(const struct process *child, int64_t which) {
    if (which == -1)
        return true;
    if (which == 0)
        return child->group == process_current()->group;
    return which > 0 ? child->id == which : child->group == -which;
}

static bool has_news(const struct process *child, const struct wait_request *request) {
    if (child->zombie)
        return request->exited;
    return (child->news == CHILD_STOPPED && request->stopped) || (child->news == CHILD_CONTINUED && request->continued);
}

/* The first child with news; *any says whether the caller has to expect some at all. processes_lock held. */
static struct process *find_child(const struct wait_request *request, bool *any) {
    *any = false;
    list_for_each(link, &process_current()->children) {
        struct process *child = container_of(link, struct process, sibling_link);
        if (!matches(child, request->which))
            continue;
        *any = true;
        if (has_news(child, request))
            return child;
    }
    return NULL;
}

static int status_of(const struct process *child) {
    if (child->zombie)
        return child->exit_status;
    return child->news == CHILD_STOPPED ? child->stop_signal << 8 | STATUS_STOPPED : STATUS_CONTINUED;
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Tells the caller of it, and nobody after that. True: it has ended, and is the caller's to free. */
static bool report(struct process *child, bool leave, struct wait_result *out) {
    *out = (struct wait_result){.pid = child->id,
                                .uid = child->user.real,
                                .status = status_of(child),
                                .cpu_time = child->cpu_time + child->children_cpu_time,
                                .peak_resident = larger(child->peak_resident, child->children_peak_resident),
                                .page_faults = child->counters.page_faults};
    if (leave)
        return false;
    if (!child->zombie) {
        child->news = CHILD_NO_NEWS;
        return false;
    }
    struct process *self = process_current();
    self->children_cpu_time += out->cpu_time;
    self->children_peak_resident = larger(self->children_peak_resident, out->peak_resident);
    process_unlink_collected(child);
    return true;
}

static bool collect(const struct wait_request *request, struct wait_result *out, bool *any) {
    bool irq = spin_lock_irq(&processes_lock);
    struct process *child = find_child(request, any);
    const bool free_it = child != NULL && report(child, request->leave, out);
    spin_unlock_irq(&processes_lock, irq);
    if (free_it) {
        while (!__atomic_load_n(&child->left, __ATOMIC_ACQUIRE))
            cpu_relax();
        process_free(child);
    }
    return child != NULL;
}

enum status process_wait(const struct wait_request *request, struct wait_result *out) {
    struct wait_queue *queue = &process_current()->child_exited;
    *out = (struct wait_result){0};
    for (;;) {
        struct waiter waiter;
        bool any;
        wait_begin(queue, &waiter);
        bool found = collect(request, out, &any);
        enum status status = found ? OK : !any ? ERR_NO_CHILD : request->no_hang ? OK : wait_sleep(WAIT_FOREVER);
        wait_end(&waiter);
        if (found || !any || request->no_hang || status != OK)
            return status;
    }
}
