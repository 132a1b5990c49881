/*
 * Who a process is: user and group, each real, effective, saved and for files, and supplementary groups. Metadata,
 * class GLOBAL.
 *
 * Written by the process itself, one word at a time; others read them for permission checks, either value being right.
 * User 0 may do what Linux' capabilities would let it: there are no others.
 */
#ifndef KERNEL_IDENTITY_H
#define KERNEL_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"

struct process;

#define GROUPS_MAX 65536U

struct identity {
    uint32_t real, effective, saved;
    uint32_t file; /* by which files are judged: the effective one but for setfsuid() */
};

/* Supplementary groups: never changed, shared by who inherited them. */
struct groups {
    uint32_t refs; /* protected by processes_lock */
    uint32_t count;
    uint32_t ids[];
};

/* Of an executable: whose it is, and what it says of who runs it. */
struct program_owner {
    uint32_t mode, uid, gid;
};

/* Whether the calling process may do what only the superuser may. */
bool identity_is_root(void);

/* Whether the calling process is in the group, its one for files (or, `real`, its real one) included. */
bool identity_in_group(uint32_t gid, bool real);

/* A child has its parent's. processes_lock held. */
void identity_inherit(struct process *child, const struct process *parent);
/* It needs its groups no more. Takes processes_lock. */
void identity_forget(struct process *process);

/*
 * The calling process has become another: who is somebody else than the members of its domain of trust took it for is
 * private (kernel/sys_identity.c, exec). `before`: its effective user until now.
 */
void identity_changed(uint32_t before);

/* exec, when it can be undone no longer: set-user-id and set-group-id bits. True: AT_SECURE. */
bool identity_exec(const struct program_owner *owner);

/* setgroups, getgroups. ERR_FAULT, ERR_NO_MEMORY, ERR_INVALID. */
MUST_USE enum status identity_set_groups(vaddr_t from, uint32_t count);
MUST_USE enum status identity_get_groups(vaddr_t to, uint32_t room, int64_t *count);

/* Whether the calling process may send a signal to another (SIGCONT apart). processes_lock held. */
bool identity_may_signal(const struct process *target);
/* Whether all of another's ids are the caller's real ones, or the caller is root: for its limits. */
bool identity_is_same(const struct process *target);

#endif
