/*
 * User and group identity. A process has one user and one group id: real, effective and saved are the same.
 *
 * Written by the process itself; others read them for permission checks, either value being right. No locks. Any space.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"

enum { GROUPS_MAX = 65536 };
#define ID_UNCHANGED UINT32_MAX

enum status sys_getuid(struct syscall *call) {
    call->result = process_current()->uid;
    return OK;
}

enum status sys_geteuid(struct syscall *call) { return sys_getuid(call); }

enum status sys_getgid(struct syscall *call) {
    call->result = process_current()->gid;
    return OK;
}

enum status sys_getegid(struct syscall *call) { return sys_getgid(call); }

/* Root may become anyone, others only what they are. */
static enum status change(uint32_t *id, uint32_t wanted) {
    if (wanted == ID_UNCHANGED)
        return ERR_INVALID;
    if (process_current()->uid != 0 && wanted != *id)
        return ERR_NOT_PERMITTED;
    *id = wanted;
    return OK;
}

/* There is one id to set: the effective one, or else whichever is given. Dropping privilege is for good. */
static enum status change_three(uint32_t *id, const uint64_t wanted[3]) {
    uint32_t chosen = *id;
    bool root = process_current()->uid == 0;

    for (int i = 0; i < 3; i++) {
        if ((uint32_t)wanted[i] != ID_UNCHANGED && (uint32_t)wanted[i] != *id && !root)
            return ERR_NOT_PERMITTED;
    }
    static const int order[3] = {2, 0, 1}; /* saved, real, effective: the last one given counts */
    for (int i = 0; i < 3; i++) {
        if ((uint32_t)wanted[order[i]] != ID_UNCHANGED)
            chosen = (uint32_t)wanted[order[i]];
    }
    *id = chosen;
    return OK;
}

static enum status copy_three(const uint64_t to[3], uint32_t id) {
    for (int i = 0; i < 3; i++) {
        enum status status = copy_to_user(to[i], &id, sizeof(id));
        if (status != OK)
            return status;
    }
    return OK;
}

enum status sys_setuid(struct syscall *call) { return change(&process_current()->uid, (uint32_t)call->arg[0]); }

enum status sys_setgid(struct syscall *call) { return change(&process_current()->gid, (uint32_t)call->arg[0]); }

enum status sys_setresuid(struct syscall *call) { return change_three(&process_current()->uid, call->arg); }

enum status sys_setresgid(struct syscall *call) { return change_three(&process_current()->gid, call->arg); }

enum status sys_getresuid(struct syscall *call) { return copy_three(call->arg, process_current()->uid); }

enum status sys_getresgid(struct syscall *call) { return copy_three(call->arg, process_current()->gid); }

/* Supplementary groups: always none. */
enum status sys_getgroups(struct syscall *call) { return (int32_t)call->arg[0] < 0 ? ERR_INVALID : OK; }

enum status sys_setgroups(struct syscall *call) {
    if (process_current()->uid != 0)
        return ERR_NOT_PERMITTED;
    return call->arg[0] > GROUPS_MAX ? ERR_INVALID : OK;
}
