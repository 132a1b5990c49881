/*
 * Process groups and sessions. Lock: processes_lock for `group` and `session` of all. Any space.
 */
#include "arch/cpu.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"

/* The process named by a pid argument, 0 being the caller. processes_lock held. */
static struct process *named(uint64_t id) {
    return (int32_t)id == 0 ? process_current() : (int32_t)id < 0 ? NULL : process_find((uint32_t)id);
}

/* Whether a group exists; if `session` is not 0, in that session. processes_lock held. */
static bool group_exists(uint32_t group, uint32_t session) {
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);

        if (process->group == group && (session == 0 || process->session == session))
            return true;
    }
    return false;
}

static enum status set_group(struct process *process, uint32_t group) {
    struct process *self = process_current();

    if (process == NULL || (process != self && process->parent != self))
        return ERR_NO_PROCESS;
    if (group == 0)
        group = process->id;
    if (process->session == process->id || process->session != self->session)
        return ERR_NOT_PERMITTED;
    if (group != process->id && !group_exists(group, self->session))
        return ERR_NOT_PERMITTED;
    process->group = group;
    return OK;
}

enum status sys_setpgid(struct syscall *call) {
    if ((int32_t)call->arg[1] < 0 || (int32_t)call->arg[0] < 0)
        return ERR_INVALID;
    bool irq = spin_lock_irq(&processes_lock);
    enum status status = set_group(named(call->arg[0]), (uint32_t)call->arg[1]);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

enum status sys_getpgid(struct syscall *call) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = named(call->arg[0]);
    if (process != NULL)
        call->result = process->group;
    spin_unlock_irq(&processes_lock, irq);
    return process != NULL ? OK : ERR_NO_PROCESS;
}

enum status sys_getpgrp(struct syscall *call) {
    call->result = process_current()->group;
    return OK;
}

enum status sys_getsid(struct syscall *call) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = named(call->arg[0]);
    if (process != NULL)
        call->result = process->session;
    spin_unlock_irq(&processes_lock, irq);
    return process != NULL ? OK : ERR_NO_PROCESS;
}

enum status sys_setsid(struct syscall *call) {
    struct process *self = process_current();
    enum status status = ERR_NOT_PERMITTED;

    bool irq = spin_lock_irq(&processes_lock);
    if (!group_exists(self->id, 0)) {
        self->session = self->group = self->id;
        self->no_terminal = false;
        call->result = self->id;
        status = OK;
    }
    spin_unlock_irq(&processes_lock, irq);
    return status;
}
