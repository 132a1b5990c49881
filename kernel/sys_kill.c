/*
 * System calls that send signals to others. The targets are found and kept alive by processes_lock. Any space.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/jobs.h"
#include "kernel/message.h"
#include "kernel/signal_internal.h"
#include "kernel/syscall_table.h"

static bool number_ok(uint64_t number) { return number <= SIGNAL_MAX; }

/* One may continue everybody of one's session. processes_lock held. */
static bool may_signal(const struct process *target, int number) {
    const bool continues = number == SIGCONT && target->session == process_current()->session;
    return (identity_may_signal(target) || continues) && !process_is_kernels(target);
}

static struct signal_origin origin_of_caller(int code) {
    const struct process *self = process_current();

    return (struct signal_origin){.code = code, .pid = self->id, .uid = self->user.real};
}

static enum status kill_one(struct process *target, int number) {
    struct signal_origin origin = origin_of_caller(SI_USER);

    if (target == NULL)
        return ERR_NO_PROCESS;
    if (!may_signal(target, number))
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

/* processes_lock held. */
static void send_to_thread(struct thread *thread, int number, const struct signal_origin *origin) {
    if (number == SIGKILL) { /* ends the whole process */
        signal_send_process_locked(thread->process, number, origin);
        return;
    }
    jobs_before_signal(thread->process, number);
    signal_send_thread(thread, number, origin);
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
    else if (!may_signal(thread->process, (int)number))
        status = ERR_NOT_PERMITTED;
    else
        send_to_thread(thread, (int)number, &origin);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

enum status sys_tkill(struct syscall *call) { return kill_thread(0, (int32_t)call->arg[0], (uint32_t)call->arg[1]); }

enum status sys_tgkill(struct syscall *call) {
    if ((int32_t)call->arg[0] <= 0)
        return ERR_INVALID;
    return kill_thread((int32_t)call->arg[0], (int32_t)call->arg[1], (uint32_t)call->arg[2]);
}

/* --- With what the sender says ------------------------------------------------------------------------------------ */

/* To the thread `thread` (0: to any) of a process. */
struct target {
    int32_t process, thread;
};

/* Signals that others may take back while they are pending (kernel/jobs.c), or that stay: those say who sent them. */
static bool carries_info(int number) {
    return !((SIGNALS_STOPPING | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGKILL)) & SIGNAL_BIT(number));
}

/* An entry with a message that is the caller's so far. */
static enum status create_entry(int number, const struct signal_info *info, struct queued_signal **out) {
    struct queued_signal *entry;
    enum status status = queued_signal_create(number, &entry);
    if (status != OK)
        return status;
    entry->origin = (struct signal_origin){.code = info->code};
    status = message_alloc(sizeof(*info), &entry->info);
    const struct message_words no_words = {0};
    const struct message_place from = {.kernel = (char *)(uintptr_t)info};
    if (status == OK)
        status = message_write(entry->info, &no_words, from);
    if (status != OK) {
        queued_signal_free(entry);
        return status;
    }
    message_settle();
    *out = entry;
    return OK;
}

/* The thread, or the first one of the process; NULL. processes_lock held. */
static struct process *find_target(const struct target *target, struct thread **thread) {
    *thread = NULL;
    if (target->thread == 0)
        return process_find((uint32_t)target->process);
    *thread = thread_find((uint32_t)target->thread);
    return *thread != NULL && (*thread)->process->id == (uint32_t)target->process ? (*thread)->process : NULL;
}

/* True: the entry is the target's now. processes_lock held. */
static bool queue_to(struct process *process, struct thread *thread, struct queued_signal *entry) {
    return thread != NULL ? signal_queue_to_thread(thread, entry) : signal_queue_to_process(process, entry);
}

static enum status send_queued(const struct target *target, int number, const struct signal_info *info,
                               struct queued_signal **entry) {
    const struct signal_origin origin = origin_of_caller(info->code);
    struct thread *thread;
    struct process *process = find_target(target, &thread);
    if (process == NULL)
        return ERR_NO_PROCESS;
    if (!may_signal(process, number))
        return ERR_NOT_PERMITTED;
    if (number == 0)
        return OK;
    const struct signal_queue *queue = thread != NULL ? &thread->signals : &process->signals;
    if (*entry != NULL && queue->count >= process->limits.of[RLIMIT_SIGPENDING].current && number >= SIGNAL_REALTIME)
        return ERR_AGAIN;
    if (*entry == NULL && thread != NULL)
        send_to_thread(thread, number, &origin);
    else if (*entry == NULL)
        signal_send_process_locked(process, number, &origin);
    else if (queue_to(process, thread, *entry))
        *entry = NULL;
    return OK;
}

static enum status queue_info(const struct target *target, uint64_t signal, vaddr_t info_at) {
    const int number = (int)signal;
    struct queued_signal *entry = NULL;
    struct signal_info info;
    enum status status = copy_from_user(&info, info_at, sizeof(info));
    if (status != OK)
        return status;
    /* Nobody says of others' behalf what the kernel, or kill(), would say. */
    if ((info.code >= 0 || info.code == SI_TKILL) && target->process != (int32_t)process_current()->id)
        return ERR_NOT_PERMITTED;
    if (!number_ok((uint32_t)signal))
        return ERR_INVALID;
    if (number != 0 && carries_info(number) && (status = create_entry(number, &info, &entry)) != OK)
        return status;
    bool irq = spin_lock_irq(&processes_lock);
    status = send_queued(target, number, &info, &entry);
    spin_unlock_irq(&processes_lock, irq);
    if (entry != NULL)
        queued_signal_free(entry);
    return status;
}

enum status sys_rt_sigqueueinfo(struct syscall *call) {
    const struct target target = {.process = (int32_t)call->arg[0]};
    return target.process <= 0 ? ERR_NO_PROCESS : queue_info(&target, call->arg[1], call->arg[2]);
}

enum status sys_rt_tgsigqueueinfo(struct syscall *call) {
    const struct target target = {.process = (int32_t)call->arg[0], .thread = (int32_t)call->arg[1]};
    if (target.process <= 0 || target.thread <= 0)
        return ERR_INVALID;
    return queue_info(&target, call->arg[2], call->arg[3]);
}
