/*
 * Owns: descriptors of processes, and the calls on them.
 *
 * A descriptor keeps no process alive: it knows an id and when its process began, by which it tells that one from
 * whoever has the id later. Metadata, class GLOBAL. One queue for all who poll; a process that ends wakes it.
 * Locks: processes_lock to look a process up. Runs in the caller's space.
 */
#include "kernel/pidfd.h"

#include "arch/uaccess.h"
#include "kernel/file_abi.h"
#include "kernel/ipc_abi.h"
#include "kernel/jobs.h"
#include "kernel/open_file.h"
#include "kernel/poll.h"
#include "kernel/process.h"
#include "kernel/signal_internal.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

struct process_name {
    uint32_t id;
    uint64_t started; /* struct process.start_time */
};

static struct wait_queue ended = WAIT_QUEUE_INIT(ended);

void pidfd_tell_end(void) { wake_all(&ended); }

/* The process, or NULL when it has gone. processes_lock held. */
static struct process *find(const struct process_name *name) {
    struct process *process = process_find(name->id);
    return process != NULL && process->start_time == name->started ? process : NULL;
}

static uint32_t process_poll(struct file *file, struct poll_table *table) {
    poll_wait(table, &ended);
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = find(file->target);
    const bool over = process == NULL || process->zombie;
    spin_unlock_irq(&processes_lock, irq);
    return over ? POLLIN | POLLRDNORM : 0;
}

static void process_release(struct file *file) { global_free(file->target, sizeof(struct process_name)); }

static const struct file_operations process_operations = {.release = process_release, .poll = process_poll};

/* Of a process, not of a thread. */
static enum status name_process(uint32_t id, struct process_name *out) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = process_find(id);
    enum status status = process != NULL ? OK : thread_find(id) != NULL ? ERR_INVALID : ERR_NO_PROCESS;
    if (process != NULL)
        *out = (struct process_name){.id = id, .started = process->start_time};
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

enum status pidfd_create(uint32_t id, uint32_t flags, int64_t *fd) {
    struct file *file;
    struct process_name *name = global_alloc(sizeof(*name));
    if (name == NULL)
        return ERR_NO_MEMORY;
    enum status status = name_process(id, name);
    if (status == OK)
        status = file_create_on(&process_operations, name, RIGHT_READ | RIGHT_TRANSFER, &file);
    if (status != OK) {
        global_free(name, sizeof(*name));
        return status;
    }
    return handle_publish_as(file, (flags & O_NONBLOCK) | O_CLOEXEC, fd);
}

enum status pidfd_process(int fd, uint32_t *id, bool *nonblock) {
    struct file *file;
    enum status status = handle_get_kind(fd, &process_operations, 0, &file);
    if (status != OK)
        return ERR_BAD_HANDLE;
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = find(file->target);
    *id = process != NULL ? process->id : 0;
    spin_unlock_irq(&processes_lock, irq);
    *nonblock = file->flags & O_NONBLOCK;
    file_unref(file);
    return OK;
}

enum status sys_pidfd_open(struct syscall *call) {
    const uint32_t flags = (uint32_t)call->arg[1];
    if ((flags & ~O_NONBLOCK) || (int32_t)call->arg[0] <= 0)
        return ERR_INVALID;
    return pidfd_create((uint32_t)call->arg[0], flags, &call->result);
}

static enum status send(uint32_t id, int number) {
    const struct process *self = process_current();
    const struct signal_origin origin = {.code = SI_USER, .pid = self->id, .uid = self->user.real};
    bool irq = spin_lock_irq(&processes_lock);
    struct process *process = process_find(id);
    enum status status = process == NULL ? ERR_NO_PROCESS : OK;
    if (status == OK && (process_is_kernels(process) || !identity_may_signal(process)))
        status = ERR_NOT_PERMITTED;
    if (status == OK)
        signal_send_process_locked(process, number, &origin);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

/* With what the sender says, it is rt_sigqueueinfo() to the process. */
enum status sys_pidfd_send_signal(struct syscall *call) {
    uint32_t id;
    bool nonblock;
    struct signal_info info;
    if (call->arg[3] != 0)
        return ERR_INVALID;
    enum status status = pidfd_process((int)call->arg[0], &id, &nonblock);
    if (status == OK && call->arg[2] != 0)
        status = copy_from_user(&info, call->arg[2], sizeof(info));
    if (status == OK && (uint32_t)call->arg[1] > SIGNAL_MAX)
        status = ERR_INVALID;
    if (status == OK && call->arg[2] != 0 && info.number != (int32_t)call->arg[1])
        status = ERR_INVALID;
    if (status == OK && id == 0)
        status = ERR_NO_PROCESS;
    if (status != OK)
        return status;
    if (call->arg[2] == 0)
        return send(id, (int)call->arg[1]);
    call->arg[0] = id;
    return sys_rt_sigqueueinfo(call);
}
