/*
 * Scheduling as far as programs see it, but policies (sys_sched_policy.c). No state. Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/smp.h"
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/ready_queue.h"
#include "kernel/sched.h"
#include "kernel/syscall_table.h"

_Static_assert(CPU_MAX <= 64, "a set of CPUs is one word");

enum status sys_sched_yield(struct syscall *call) {
    (void)call;
    sched_yield();
    return OK;
}

/* The thread that a call names, 0 being the caller. processes_lock held. */
static struct thread *find_thread(uint64_t id) {
    if ((int32_t)id == 0)
        return thread_current();
    return (int32_t)id > 0 ? thread_find((uint32_t)id) : NULL;
}

enum status sys_sched_getaffinity(struct syscall *call) {
    uint64_t set = 0;

    if (call->arg[1] < sizeof(set) || call->arg[1] % sizeof(set) != 0)
        return ERR_INVALID;
    bool irq = spin_lock_irq(&processes_lock);
    const struct thread *thread = find_thread(call->arg[0]);
    if (thread != NULL)
        set = thread->affinity & cpus_running();
    spin_unlock_irq(&processes_lock, irq);
    if (thread == NULL)
        return ERR_NO_PROCESS;
    call->result = sizeof(set);
    return copy_to_user(call->arg[2], &set, sizeof(set));
}

enum status sys_sched_setaffinity(struct syscall *call) {
    uint64_t set = 0;
    size_t bytes = call->arg[1] < sizeof(set) ? call->arg[1] : sizeof(set);
    enum status status = copy_from_user(&set, call->arg[2], bytes);

    if (status != OK)
        return status;
    set &= cpus_running();
    bool irq = spin_lock_irq(&processes_lock);
    struct thread *thread = find_thread(call->arg[0]);
    if (thread == NULL)
        status = ERR_NO_PROCESS;
    else if (set == 0)
        status = ERR_INVALID;
    else if (process_is_kernels(thread->process))
        status = ERR_NOT_PERMITTED;
    else
        sched_set_affinity(thread, set);
    spin_unlock_irq(&processes_lock, irq);
    if (status == OK && thread == thread_current() && !(set >> this_cpu->index & 1))
        sched_yield();
    return status;
}

enum status sys_getcpu(struct syscall *call) {
    uint32_t cpu = this_cpu->index, node = 0;
    enum status status = OK;

    if (call->arg[0] != 0)
        status = copy_to_user(call->arg[0], &cpu, sizeof(cpu));
    if (status == OK && call->arg[1] != 0)
        status = copy_to_user(call->arg[1], &node, sizeof(node));
    return status;
}

/* --- Nice values -------------------------------------------------------------------------------------------------- */

enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };

/* Whether a thread is one of those that a call names. processes_lock held. */
static bool is_named(const struct thread *thread, uint64_t which, uint32_t id) {
    if (process_is_kernels(thread->process))
        return false;
    switch (which) {
    case PRIO_PROCESS:
        return id == 0 ? thread == thread_current() : thread->id == id;
    case PRIO_PGRP:
        return thread->process->group == (id == 0 ? process_current()->group : id);
    default:
        return thread->process->user.real == (id == 0 ? process_current()->user.real : id);
    }
}

typedef enum status (*thread_visitor)(struct thread *thread, int *nice);

/* ERR_NO_PROCESS when there is none; else the last thing that a visit says but OK. */
static enum status visit_named(const struct syscall *call, thread_visitor visit, int *nice) {
    enum status result = ERR_NO_PROCESS;
    if ((uint32_t)call->arg[0] > PRIO_USER)
        return ERR_INVALID;
    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(process_link, &all_processes) {
        struct process *process = container_of(process_link, struct process, all_link);
        list_for_each(link, &process->threads) {
            struct thread *thread = container_of(link, struct thread, process_link);
            if (!is_named(thread, (uint32_t)call->arg[0], (uint32_t)call->arg[1]))
                continue;
            enum status status = visit(thread, nice);
            if (result == ERR_NO_PROCESS || status != OK)
                result = status;
        }
    }
    spin_unlock_irq(&processes_lock, irq);
    return result;
}

static enum status least(struct thread *thread, int *nice) {
    if (thread->nice < *nice)
        *nice = thread->nice;
    return OK;
}

/* As Linux: more urgent only for the superuser, and of others only one's own. */
static enum status set(struct thread *thread, int *nice) {
    const uint32_t uid = process_current()->user.effective;
    if (uid != 0 && uid != thread->process->user.real && uid != thread->process->user.effective)
        return ERR_NOT_PERMITTED;
    if (uid != 0 && *nice < thread->nice && !limits_permit_nice(thread->process, *nice))
        return ERR_ACCESS;
    thread_set_policy(thread, thread->policy, thread->realtime_priority, *nice);
    return OK;
}

enum status sys_getpriority(struct syscall *call) {
    int nice = NICE_MAX;
    enum status status = visit_named(call, least, &nice);
    call->result = 20 - nice; /* so that it is no errno */
    return status;
}

enum status sys_setpriority(struct syscall *call) {
    int nice = (int)call->arg[2];
    nice = nice < NICE_MIN ? NICE_MIN : nice > NICE_MAX ? NICE_MAX : nice;
    return visit_named(call, set, &nice);
}
