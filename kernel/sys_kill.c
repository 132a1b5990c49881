/*
 * System calls that send signals to others. The targets are found and kept alive by processes_lock. Any space.
 */
#include "arch/cpu.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/signal_abi.h"
#include "kernel/syscall_table.h"

static bool number_ok(uint64_t number) { return number <= SIGNAL_MAX; }

/* processes_lock held. */
static bool may_signal(const struct process *target) {
    const struct process *self = process_current();

    return (self->uid == 0 || self->uid == target->uid) && !process_is_kernels(target);
}

static struct signal_origin origin_of_caller(int code) {
    const struct process *self = process_current();

    return (struct signal_origin){.code = code, .pid = self->id, .uid = self->uid};
}

static enum status kill_one(struct process *target, int number) {
    struct signal_origin origin = origin_of_caller(SI_USER);

    if (target == NULL)
        return ERR_NO_PROCESS;
    if (!may_signal(target))
        return ERR_NOT_PERMITTED;
    signal_send_process_locked(target, number, &origin);
    return OK;
}

/* Every process of a group, or (group 0) every one but init and the caller. OK when one was reached. processes_lock
 * held. */
static enum status kill_many(uint32_t group, int number) {
    enum status result = ERR_NO_PROCESS;

    list_for_each(link, &all_processes) {
        struct process *process = container_of(link, struct process, all_link);

        if (group != 0 ? process->group != group : process == init_process || process == process_current())
            continue;
        enum status status = kill_one(process, number);
        if (result != OK)
            result = status;
    }
    return result;
}

enum status sys_kill(struct syscall *call) {
    int32_t which = (int32_t)call->arg[0];
    int number = (int)call->arg[1];
    enum status status;

    if (!number_ok((uint32_t)call->arg[1]))
        return ERR_INVALID;
    if (which == INT32_MIN)
        return ERR_NO_PROCESS;
    bool irq = spin_lock_irq(&processes_lock);
    if (which > 0)
        status = kill_one(process_find((uint32_t)which), number);
    else if (which == 0)
        status = kill_many(process_current()->group, number);
    else
        status = kill_many(which == -1 ? 0 : (uint32_t)-which, number);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

/* `process` 0: whatever process the thread is in. */
static enum status kill_thread(int32_t process, int32_t id, uint64_t number) {
    struct signal_origin origin = origin_of_caller(SI_TKILL);
    enum status status = OK;

    if (id <= 0 || process < 0 || !number_ok(number))
        return ERR_INVALID;
    bool irq = spin_lock_irq(&processes_lock);
    struct thread *thread = thread_find((uint32_t)id);
    if (thread == NULL || (process != 0 && thread->process->id != (uint32_t)process))
        status = ERR_NO_PROCESS;
    else if (!may_signal(thread->process))
        status = ERR_NOT_PERMITTED;
    else if (number == SIGKILL) /* ends the whole process */
        signal_send_process_locked(thread->process, (int)number, &origin);
    else
        signal_send_thread(thread, (int)number, &origin);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

enum status sys_tkill(struct syscall *call) { return kill_thread(0, (int32_t)call->arg[0], (uint32_t)call->arg[1]); }

enum status sys_tgkill(struct syscall *call) {
    if ((int32_t)call->arg[0] <= 0)
        return ERR_INVALID;
    return kill_thread((int32_t)call->arg[0], (int32_t)call->arg[1], (uint32_t)call->arg[2]);
}
