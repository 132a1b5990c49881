/*
 * capget, capset: user 0 has all capabilities, others none, and none can be given away for a time. No state; no locks.
 * Any space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/identity.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"

#define VERSION_1    0x19980330U
#define VERSION_2    0x20071026U
#define VERSION_3    0x20080522U
#define CAPABILITIES 41U /* CAP_LAST_CAP + 1 */

struct capability_header {
    uint32_t version;
    int32_t process;
};

struct capability_data {
    uint32_t effective, permitted, inheritable;
};

/* How many words each set has, 1 or 2. For another version the one that there is is told, and that is no error when
 * nothing else was asked for. */
static enum status read_header(const struct syscall *call, struct capability_header *header, unsigned *words) {
    const uint32_t ours = VERSION_3;
    enum status status = copy_from_user(header, call->arg[0], sizeof(*header));
    *words = 2;
    if (status != OK)
        return status;
    if (header->version == VERSION_1)
        *words = 1;
    else if (header->version != VERSION_2 && header->version != VERSION_3)
        *words = 0;
    if (*words == 0 && (status = copy_to_user(call->arg[0], &ours, sizeof(ours))) == OK && call->arg[1] != 0)
        status = ERR_INVALID;
    return status;
}

static uint64_t capabilities_of(bool has) { return has ? (1UL << CAPABILITIES) - 1 : 0; }

/* What a process has: `effective` now, `permitted` when it wants. ERR_NO_PROCESS. */
static enum status look(int32_t id, uint64_t *effective, uint64_t *permitted) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = id == 0 ? process_current() : id > 0 ? process_find((uint32_t)id) : NULL;
    if (process != NULL) {
        const struct identity *user = &process->user;
        *effective = capabilities_of(user->effective == 0);
        *permitted = capabilities_of(user->effective == 0 || user->real == 0 || user->saved == 0);
    }
    spin_unlock_irq(&processes_lock, irq);
    return process != NULL ? OK : ERR_NO_PROCESS;
}

enum status sys_capget(struct syscall *call) {
    struct capability_header header;
    struct capability_data data[2];
    uint64_t effective, permitted;
    unsigned words;
    enum status status = read_header(call, &header, &words);
    if (status != OK || words == 0)
        return status;
    if (header.process < 0)
        return ERR_INVALID;
    if ((status = look(header.process, &effective, &permitted)) != OK)
        return status;
    for (unsigned i = 0; i < 2; i++)
        data[i] = (struct capability_data){.effective = (uint32_t)(effective >> 32 * i),
                                           .permitted = (uint32_t)(permitted >> 32 * i)};
    return call->arg[1] != 0 ? copy_to_user(call->arg[1], data, words * sizeof(data[0])) : OK;
}

enum status sys_capset(struct syscall *call) {
    struct capability_header header;
    struct capability_data data[2] = {{0}};
    uint64_t effective, permitted;
    unsigned words;
    enum status status = read_header(call, &header, &words);
    if (status != OK || words == 0)
        return status == OK ? ERR_INVALID : status;
    if (header.process != 0 && header.process != (int32_t)process_current()->id)
        return ERR_NOT_PERMITTED;
    if ((status = copy_from_user(data, call->arg[1], words * sizeof(data[0]))) != OK ||
        (status = look(0, &effective, &permitted)) != OK)
        return status;
    for (unsigned i = 0; i < words; i++) {
        const uint32_t may = (uint32_t)(permitted >> 32 * i);
        if ((data[i].permitted & ~may) || (data[i].effective & ~data[i].permitted) || (data[i].inheritable & ~may))
            return ERR_NOT_PERMITTED;
    }
    return OK;
}
