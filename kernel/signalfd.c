/*
 * signalfd, signalfd4: pending signals that are read. Who reads or polls sees its own, as on Linux.
 *
 * The descriptor holds a set of signals and nothing of them: metadata. One queue for all such descriptors, woken by
 * signals of processes that ever had one (process.watches_signals): then no queue is a process's, which may go away
 * while another one's epoll watches. Locks: the queue's own. Runs in the caller's space.
 */
#include "kernel/signalfd.h"

#include "arch/uaccess.h"
#include "kernel/file_abi.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/poll.h"
#include "kernel/signal_internal.h"
#include "kernel/syscall_table.h"
#include "mm/heap.h"

#define SIGNAL_SET_BYTES 8UL

struct signal_file {
    uint64_t set; /* atomic */
};

struct signal_record { /* struct signalfd_siginfo */
    uint32_t number;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t timer, band, overrun, trap;
    int32_t status, value;
    uint64_t pointer, user_time, system_time, address;
    uint8_t unused[48];
};
_Static_assert(sizeof(struct signal_record) == 128, "what programs read");

static struct wait_queue arrived = WAIT_QUEUE_INIT(arrived);

void signalfd_tell(struct process *process) {
    if (process->watches_signals)
        wake_all(&arrived);
}

static uint64_t set_of(const struct file *file) {
    const struct signal_file *signals = file->target;
    return __atomic_load_n(&signals->set, __ATOMIC_RELAXED);
}

/* Waits for a signal of the set. */
static enum status next_signal(const struct file *file, struct signal_delivery *delivery) {
    enum status status = OK;
    for (;;) {
        struct waiter waiter;
        wait_begin(&arrived, &waiter);
        *delivery = signal_take(set_of(file));
        if (delivery->number == 0)
            status = file->flags & O_NONBLOCK ? ERR_WOULD_BLOCK : wait_sleep(WAIT_FOREVER);
        wait_end(&waiter);
        if (delivery->number != 0 || status != OK)
            return status;
    }
}

static enum status put_record(vaddr_t to, const struct signal_delivery *delivery) {
    struct signal_info info;
    signal_info_fill(&info, delivery);
    struct signal_record record = {
        .number = (uint32_t)info.number,
        .code = info.code,
        .pid = (uint32_t)info.sender.pid,
        .uid = info.sender.uid,
        .address = delivery->fault_address,
    };
    if (delivery->has_info) {
        record.value = (int32_t)info.queued.value;
        record.pointer = info.queued.value;
    } else if (info.code == SI_TIMER) {
        record.timer = (uint32_t)info.queued.pid;
        record.overrun = info.queued.uid;
        record.value = (int32_t)info.queued.value;
        record.pointer = info.queued.value;
    } else {
        record.status = info.sender.status;
    }
    return copy_to_user(to, &record, sizeof(record));
}

static enum status signal_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    struct signal_delivery delivery;
    (void)offset;
    if (bytes < sizeof(struct signal_record))
        return ERR_INVALID;
    enum status status = next_signal(file, &delivery);
    while (status == OK && delivery.number != 0) {
        status = put_record(to + *done, &delivery);
        if (status != OK)
            break;
        *done += sizeof(struct signal_record);
        if (bytes - *done < sizeof(struct signal_record))
            break;
        delivery = signal_take(set_of(file));
    }
    return *done > 0 ? OK : status;
}

static uint32_t signal_poll(struct file *file, struct poll_table *table) {
    const struct thread *thread = thread_current();
    thread->process->watches_signals = true;
    poll_wait(table, &arrived);
    return (thread->pending | thread->process->pending) & set_of(file) ? POLLIN : 0;
}

static void signal_release(struct file *file) { global_free(file->target, sizeof(struct signal_file)); }

static const struct file_operations signal_operations = {
    .release = signal_release,
    .read = signal_read,
    .poll = signal_poll,
};

static enum status make(uint64_t set, uint32_t flags, int64_t *fd) {
    struct file *file;
    struct signal_file *signals = global_alloc(sizeof(*signals));
    if (signals == NULL)
        return ERR_NO_MEMORY;
    signals->set = set;
    enum status status = file_create_on(&signal_operations, signals, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &file);
    if (status != OK) {
        global_free(signals, sizeof(*signals));
        return status;
    }
    process_current()->watches_signals = true;
    return handle_publish_as(file, flags, fd);
}

static enum status change(int fd, uint64_t set) {
    struct file *file;
    enum status status = handle_get_kind(fd, &signal_operations, 0, &file);
    if (status != OK)
        return status;
    struct signal_file *signals = file->target;
    __atomic_store_n(&signals->set, set, __ATOMIC_RELAXED);
    wake_all(&arrived);
    file_unref(file);
    return OK;
}

static enum status signalfd(const struct syscall *call, uint32_t flags, int64_t *result) {
    const int fd = (int)call->arg[0];
    uint64_t set;
    if (call->arg[2] != SIGNAL_SET_BYTES || (flags & ~(O_CLOEXEC | O_NONBLOCK)))
        return ERR_INVALID;
    enum status status = copy_from_user(&set, call->arg[1], sizeof(set));
    if (status != OK)
        return status;
    set &= ~SIGNALS_UNBLOCKABLE;
    if (fd == -1)
        return make(set, flags, result);
    *result = fd;
    return change(fd, set);
}

enum status sys_signalfd(struct syscall *call) { return signalfd(call, 0, &call->result); }

enum status sys_signalfd4(struct syscall *call) { return signalfd(call, (uint32_t)call->arg[3], &call->result); }
