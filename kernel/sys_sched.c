/*
 * Scheduling as far as programs see it. There is one class and no priorities: what would change them is accepted and
 * changes nothing. No state. Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/smp.h"
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/syscall_table.h"

enum { PRIO_USER = 2, NICE_ZERO = 20 }; /* getpriority returns 20 - nice */
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

enum status sys_getpriority(struct syscall *call) {
    if ((uint32_t)call->arg[0] > PRIO_USER)
        return ERR_INVALID;
    call->result = NICE_ZERO;
    return OK;
}

enum status sys_setpriority(struct syscall *call) { return (uint32_t)call->arg[0] > PRIO_USER ? ERR_INVALID : OK; }
