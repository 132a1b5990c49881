/*
 * System calls on who the caller is. The rules are Linux': the superuser becomes anyone, others one of those that they
 * are already. Locks: see kernel/identity.h. Any space.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/identity.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"

#define ID_UNCHANGED UINT32_MAX

static struct identity *user(void) { return &process_current()->user; }
static struct identity *group(void) { return &process_current()->group_id; }

enum status sys_getuid(struct syscall *call) {
    call->result = user()->real;
    return OK;
}

enum status sys_geteuid(struct syscall *call) {
    call->result = user()->effective;
    return OK;
}

enum status sys_getgid(struct syscall *call) {
    call->result = group()->real;
    return OK;
}

enum status sys_getegid(struct syscall *call) {
    call->result = group()->effective;
    return OK;
}

static bool is_one_of(const struct identity *identity, uint32_t id) {
    return id == identity->real || id == identity->effective || id == identity->saved;
}

/* All that was checked: `next` is what the caller is from now on. */
static void become(struct identity *identity, struct identity next) {
    const uint32_t before = user()->effective;
    next.file = next.effective;
    *identity = next;
    identity_changed(before);
}

static enum status set_one(struct identity *identity, uint32_t id) {
    struct identity next = *identity;

    if (id == ID_UNCHANGED)
        return ERR_INVALID;
    if (identity_is_root())
        next.real = next.saved = id;
    else if (id != identity->real && id != identity->saved)
        return ERR_NOT_PERMITTED;
    next.effective = id;
    become(identity, next);
    return OK;
}

static enum status set_two(struct identity *identity, uint32_t real, uint32_t effective) {
    struct identity next = *identity;
    const bool root = identity_is_root();

    if (real != ID_UNCHANGED) {
        if (!root && real != identity->real && real != identity->effective)
            return ERR_NOT_PERMITTED;
        next.real = real;
    }
    if (effective != ID_UNCHANGED) {
        if (!root && !is_one_of(identity, effective))
            return ERR_NOT_PERMITTED;
        next.effective = effective;
    }
    if (real != ID_UNCHANGED || (effective != ID_UNCHANGED && effective != identity->real))
        next.saved = next.effective;
    become(identity, next);
    return OK;
}

static enum status set_three(struct identity *identity, const uint64_t wanted[3]) {
    struct identity next = *identity;
    uint32_t *const fields[3] = {&next.real, &next.effective, &next.saved};

    for (int i = 0; i < 3; i++) {
        const uint32_t id = (uint32_t)wanted[i];
        if (id == ID_UNCHANGED)
            continue;
        if (!identity_is_root() && !is_one_of(identity, id))
            return ERR_NOT_PERMITTED;
        *fields[i] = id;
    }
    become(identity, next);
    return OK;
}

static enum status copy_three(const uint64_t to[3], const struct identity *identity) {
    const uint32_t ids[3] = {identity->real, identity->effective, identity->saved};

    for (int i = 0; i < 3; i++) {
        enum status status = copy_to_user(to[i], &ids[i], sizeof(ids[i]));
        if (status != OK)
            return status;
    }
    return OK;
}

/* Returns what it was; what may not be changes nothing, and is no error. */
static int64_t set_for_files(struct identity *identity, uint32_t id) {
    const uint32_t before = identity->file;

    if (id != ID_UNCHANGED && (identity_is_root() || is_one_of(identity, id) || id == before))
        identity->file = id;
    return before;
}

enum status sys_setuid(struct syscall *call) { return set_one(user(), (uint32_t)call->arg[0]); }

enum status sys_setgid(struct syscall *call) { return set_one(group(), (uint32_t)call->arg[0]); }

enum status sys_setreuid(struct syscall *call) {
    return set_two(user(), (uint32_t)call->arg[0], (uint32_t)call->arg[1]);
}

enum status sys_setregid(struct syscall *call) {
    return set_two(group(), (uint32_t)call->arg[0], (uint32_t)call->arg[1]);
}

enum status sys_setresuid(struct syscall *call) { return set_three(user(), call->arg); }

enum status sys_setresgid(struct syscall *call) { return set_three(group(), call->arg); }

enum status sys_getresuid(struct syscall *call) { return copy_three(call->arg, user()); }

enum status sys_getresgid(struct syscall *call) { return copy_three(call->arg, group()); }

enum status sys_setfsuid(struct syscall *call) {
    call->result = set_for_files(user(), (uint32_t)call->arg[0]);
    return OK;
}

enum status sys_setfsgid(struct syscall *call) {
    call->result = set_for_files(group(), (uint32_t)call->arg[0]);
    return OK;
}

enum status sys_getgroups(struct syscall *call) {
    if ((int32_t)call->arg[0] < 0)
        return ERR_INVALID;
    return identity_get_groups(call->arg[1], (uint32_t)call->arg[0], &call->result);
}

enum status sys_setgroups(struct syscall *call) {
    if (!identity_is_root())
        return ERR_NOT_PERMITTED;
    if ((uint32_t)call->arg[0] > GROUPS_MAX)
        return ERR_INVALID;
    return identity_set_groups(call->arg[1], (uint32_t)call->arg[0]);
}
