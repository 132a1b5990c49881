/*
 * syslog(): the kernel's messages for programs (dmesg). Differs from Linux: a read does not wait for messages.
 *
 * What is read is metadata, so everybody may, as with Linux' dmesg_restrict=0; what changes something is root's.
 * Locks: the log's. Runs in the caller's space without leaving it.
 */
#include "arch/uaccess.h"
#include "kernel/identity.h"
#include "kernel/log.h"
#include "kernel/syscall_table.h"

#define CHUNK 128U

enum action {
    ACTION_CLOSE = 0,
    ACTION_OPEN = 1,
    ACTION_READ = 2,       /* what nobody has read in this way yet */
    ACTION_READ_ALL = 3,   /* the last bytes since they were cleared */
    ACTION_READ_CLEAR = 4, /* likewise, and clears them */
    ACTION_CLEAR = 5,
    ACTION_CONSOLE_OFF = 6,
    ACTION_CONSOLE_ON = 7,
    ACTION_CONSOLE_LEVEL = 8,
    ACTION_SIZE_UNREAD = 9,
    ACTION_SIZE_BUFFER = 10,
};

static uint64_t read_up_to, cleared_up_to; /* positions. Atomic; readers at the same time may get the same bytes */

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

static enum status read_from(uint64_t *position, struct syscall *call, size_t room) {
    char text[CHUNK];
    size_t done = 0;
    enum status status = OK;
    while (done < room && status == OK) {
        size_t count = log_read(position, text, room - done < CHUNK ? room - done : CHUNK);
        if (count == 0)
            break;
        status = copy_to_user(call->arg[1] + done, text, count);
        done += count;
    }
    call->result = (int64_t)done;
    return status;
}

static enum status read_unread(struct syscall *call, size_t room) {
    uint64_t position = __atomic_load_n(&read_up_to, __ATOMIC_RELAXED);
    enum status status = read_from(&position, call, room);
    if (status == OK)
        __atomic_store_n(&read_up_to, position, __ATOMIC_RELAXED);
    return status;
}

static enum status read_all(struct syscall *call, size_t room) {
    const uint64_t end = log_end();
    uint64_t position = later(__atomic_load_n(&cleared_up_to, __ATOMIC_RELAXED), log_begin());
    if (end > position + room)
        position = end - room;
    enum status status = read_from(&position, call, room);
    if (status == OK && call->arg[0] == ACTION_READ_CLEAR)
        __atomic_store_n(&cleared_up_to, position, __ATOMIC_RELAXED);
    return status;
}

enum status sys_syslog(struct syscall *call) {
    const uint64_t action = call->arg[0];
    const int64_t room = (int32_t)call->arg[2];
    if (action != ACTION_READ_ALL && action != ACTION_SIZE_BUFFER && !identity_is_root())
        return ERR_NOT_PERMITTED;
    if (action >= ACTION_READ && action <= ACTION_READ_CLEAR && (call->arg[1] == 0 || room < 0))
        return ERR_INVALID;
    switch (action) {
    case ACTION_READ:
        return read_unread(call, (size_t)room);
    case ACTION_READ_ALL:
    case ACTION_READ_CLEAR:
        return read_all(call, (size_t)room);
    case ACTION_CLEAR:
        __atomic_store_n(&cleared_up_to, log_end(), __ATOMIC_RELAXED);
        return OK;
    case ACTION_SIZE_UNREAD:
        call->result = (int64_t)(log_end() - later(__atomic_load_n(&read_up_to, __ATOMIC_RELAXED), log_begin()));
        return OK;
    case ACTION_SIZE_BUFFER:
        call->result = LOG_BYTES;
        return OK;
    case ACTION_CLOSE:
    case ACTION_OPEN:
    case ACTION_CONSOLE_OFF: /* all messages go to the console, always */
    case ACTION_CONSOLE_ON:
    case ACTION_CONSOLE_LEVEL:
        return OK;
    default:
        return ERR_INVALID;
    }
}
