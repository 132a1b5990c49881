/*
 * Owns: whose terminal it is, and who is in the foreground: sessions, groups, and what they are told by signals.
 *
 * A terminal belongs to a session, which its leader gives it to and takes it from. Locks: terminal->lock for `session`
 * and `foreground` of one, terminals_lock (kernel/terminal.c) to find it; signals are sent with neither. Runs in the
 * caller's space.
 */
#include "arch/cpu.h"
#include "kernel/jobs.h"
#include "kernel/process.h"
#include "kernel/signal.h"
#include "kernel/signal_abi.h"
#include "kernel/terminal.h"

/* --- Foreground and background ------------------------------------------------------------------------------------ */

bool terminal_is_own(const struct terminal *terminal) {
    const struct process *self = process_current();
    return terminal->session != 0 && terminal->session == self->session && !self->no_terminal;
}

static bool group_is_orphaned(uint32_t group) {
    bool irq = spin_lock_irq(&processes_lock);
    const bool orphaned = jobs_is_orphaned(group, NULL);
    spin_unlock_irq(&processes_lock, irq);
    return orphaned;
}

enum status terminal_check_background(const struct terminal *terminal, int number) {
    const struct process *self = process_current();
    const uint64_t bit = SIGNAL_BIT(number);
    const uint32_t foreground = terminal->foreground, group = self->group;
    if (!terminal_is_own(terminal) || foreground == 0 || group == foreground)
        return OK;
    if ((thread_current()->signal_mask | self->ignored) & bit)
        return number == SIGTTIN ? ERR_IO : OK;
    if (group_is_orphaned(group))
        return ERR_IO;
    return signal_send_group(group, number, NULL) == OK ? ERR_RESTART : ERR_IO;
}

static void signal_group(uint32_t group, int number) {
    if (group != 0 && signal_send_group(group, number, NULL) != OK)
        return; /* it has ended */
}

void terminal_signal(struct terminal *terminal, int number) { signal_group(terminal->foreground, number); }

/* ERR_NO_PROCESS: there is no such group; ERR_NOT_PERMITTED: in another session. */
static enum status check_group(uint32_t group) {
    enum status status = ERR_NO_PROCESS;
    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);
        if (process->group != group)
            continue;
        status = process->session == process_current()->session ? OK : ERR_NOT_PERMITTED;
        break;
    }
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

enum status terminal_set_foreground(struct terminal *terminal, int32_t group) {
    enum status status = terminal_check_background(terminal, SIGTTOU);
    if (status != OK)
        return status == ERR_IO ? ERR_NOT_TERMINAL : status;
    if (group < 0)
        return ERR_INVALID;
    if (!terminal_is_own(terminal))
        return ERR_NOT_TERMINAL;
    if ((status = check_group((uint32_t)group)) != OK)
        return status;
    spin_lock(&terminal->lock);
    terminal->foreground = (uint32_t)group;
    spin_unlock(&terminal->lock);
    return OK;
}

/* --- Sessions ----------------------------------------------------------------------------------------------------- */

static bool leads_session(const struct process *process) { return process->session == process->id; }

static bool has_terminal(void) {
    struct terminal *own = terminal_of_caller();
    if (own != NULL)
        terminal_unref(own);
    return own != NULL;
}

enum status terminal_take_over(struct terminal *terminal, bool steal) {
    struct process *self = process_current();
    enum status status = OK;
    if (leads_session(self) && terminal_is_own(terminal))
        return OK;
    if (!leads_session(self) || has_terminal())
        return ERR_NOT_PERMITTED;
    spin_lock(&terminal->lock);
    if (terminal->session != 0 && !steal) {
        status = ERR_NOT_PERMITTED;
    } else {
        terminal->session = self->session;
        terminal->foreground = self->group;
        self->no_terminal = false;
    }
    spin_unlock(&terminal->lock);
    return status;
}

/* The session has no terminal any more; returns who was in the foreground. */
static uint32_t part(struct terminal *terminal) {
    spin_lock(&terminal->lock);
    const uint32_t foreground = terminal->foreground;
    terminal->foreground = terminal->session = 0;
    spin_unlock(&terminal->lock);
    return foreground;
}

enum status terminal_give_up(struct terminal *terminal) {
    struct process *self = process_current();
    if (!terminal_is_own(terminal))
        return ERR_NOT_TERMINAL;
    if (!leads_session(self)) {
        self->no_terminal = true;
        return OK;
    }
    const uint32_t foreground = part(terminal);
    signal_group(foreground, SIGHUP);
    signal_group(foreground, SIGCONT);
    return OK;
}

void terminal_leader_ends(void) {
    struct terminal *terminal = leads_session(process_current()) ? terminal_of_caller() : NULL;
    if (terminal == NULL)
        return;
    const uint32_t foreground = part(terminal);
    signal_group(foreground, SIGHUP);
    signal_group(foreground, SIGCONT);
    terminal_unref(terminal);
}

void terminal_hang_up_session(struct terminal *terminal) {
    const uint32_t session = terminal->session, foreground = part(terminal);
    bool irq = spin_lock_irq(&processes_lock);
    struct process *leader = session != 0 ? process_find(session) : NULL;
    if (leader != NULL) {
        signal_send_process_locked(leader, SIGHUP, NULL);
        signal_send_process_locked(leader, SIGCONT, NULL);
    }
    spin_unlock_irq(&processes_lock, irq);
    if (foreground == session)
        return;
    signal_group(foreground, SIGHUP);
    signal_group(foreground, SIGCONT);
}
