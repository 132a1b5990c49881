/*
 * Owns: supplementary groups, and what a change of identity means.
 *
 * Locks: processes_lock for the groups' references, and for looking at them, since another thread of the process may
 * replace them. Runs in the caller's space.
 */
#include "kernel/identity.h"

#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "asi/trust.h"
#include "kernel/file_abi.h"
#include "kernel/process.h"
#include "mm/heap.h"

static size_t pages_of(uint32_t count) {
    return bytes_to_pages(sizeof(struct groups) + (size_t)count * sizeof(uint32_t));
}

bool identity_is_root(void) { return process_current()->user.effective == 0; }

/* --- Groups ------------------------------------------------------------------------------------------------------- */

static bool contains(const struct groups *groups, uint32_t gid) {
    for (uint32_t i = 0; i < groups->count; i++) {
        if (groups->ids[i] == gid)
            return true;
    }
    return false;
}

bool identity_in_group(uint32_t gid, bool real) {
    const struct process *self = process_current();
    if (gid == (real ? self->group_id.real : self->group_id.file))
        return true;
    if (self->groups == NULL)
        return false;
    bool irq = spin_lock_irq(&processes_lock);
    const bool found = self->groups != NULL && contains(self->groups, gid);
    spin_unlock_irq(&processes_lock, irq);
    return found;
}

/* Returns what is to be freed when the lock is given up, or NULL. processes_lock held. */
static struct groups *drop(struct groups *groups) { return groups != NULL && --groups->refs == 0 ? groups : NULL; }

static void free_groups(struct groups *groups) {
    if (groups != NULL)
        global_free_pages(groups, pages_of(groups->count));
}

static void replace(struct process *process, struct groups *with) {
    bool irq = spin_lock_irq(&processes_lock);
    struct groups *unused = drop(process->groups);
    process->groups = with;
    spin_unlock_irq(&processes_lock, irq);
    free_groups(unused);
}

void identity_forget(struct process *process) { replace(process, NULL); }

enum status identity_set_groups(vaddr_t from, uint32_t count) {
    struct groups *groups = NULL;
    if (count > 0) {
        groups = global_alloc_pages(pages_of(count));
        if (groups == NULL)
            return ERR_NO_MEMORY;
        groups->refs = 1;
        groups->count = count;
        enum status status = copy_from_user(groups->ids, from, count * sizeof(uint32_t));
        if (status != OK) {
            free_groups(groups);
            return status;
        }
    }
    replace(process_current(), groups);
    return OK;
}

/* A reference keeps them while user memory is written. */
static struct groups *borrow(struct process *process) {
    bool irq = spin_lock_irq(&processes_lock);
    struct groups *groups = process->groups;
    if (groups != NULL)
        groups->refs++;
    spin_unlock_irq(&processes_lock, irq);
    return groups;
}

static void give_back(struct groups *groups) {
    bool irq = spin_lock_irq(&processes_lock);
    struct groups *unused = drop(groups);
    spin_unlock_irq(&processes_lock, irq);
    free_groups(unused);
}

enum status identity_get_groups(vaddr_t to, uint32_t room, int64_t *count) {
    struct groups *groups = borrow(process_current());
    enum status status = OK;
    *count = groups != NULL ? groups->count : 0;
    if (room != 0 && (int64_t)room < *count)
        status = ERR_INVALID;
    else if (room != 0 && groups != NULL)
        status = copy_to_user(to, groups->ids, groups->count * sizeof(uint32_t));
    give_back(groups);
    return status;
}

void identity_inherit(struct process *child, const struct process *parent) {
    child->user = parent->user;
    child->group_id = parent->group_id;
    child->no_new_privileges = parent->no_new_privileges;
    child->refuses_exec_gain = parent->refuses_exec_gain;
    child->groups = parent->groups;
    if (child->groups != NULL)
        child->groups->refs++;
}

/* --- Becoming somebody else --------------------------------------------------------------------------------------- */

void identity_changed(uint32_t before) {
    struct process *self = process_current();
    if (self->user.effective != before && __atomic_load_n(&self->domain, __ATOMIC_RELAXED) != 0)
        trust_leave_domain();
}

bool identity_exec(const struct program_owner *owner) {
    struct process *self = process_current();
    const uint32_t user_before = self->user.effective, group_before = self->group_id.effective;
    uint32_t user = user_before, group = group_before;
    if (!self->no_new_privileges) {
        if (owner->mode & S_SET_USER)
            user = owner->uid;
        if ((owner->mode & (S_SET_GROUP | S_RUN_GROUP)) == (S_SET_GROUP | S_RUN_GROUP))
            group = owner->gid;
    }
    self->user.effective = self->user.saved = self->user.file = user;
    self->group_id.effective = self->group_id.saved = self->group_id.file = group;
    identity_changed(user_before);
    if (user != user_before || group != group_before) {
        self->death_signal = 0;
        self->no_core = true;
    }
    if (group != group_before && self->domain != 0)
        trust_leave_domain();
    return user != self->user.real || group != self->group_id.real;
}

/* --- Others ------------------------------------------------------------------------------------------------------- */

bool identity_may_signal(const struct process *target) {
    const struct identity *own = &process_current()->user, *theirs = &target->user;
    return own->effective == 0 || own->effective == theirs->saved || own->effective == theirs->real ||
           own->real == theirs->saved || own->real == theirs->real;
}

static bool all_are(const struct identity *identity, uint32_t id) {
    return identity->real == id && identity->effective == id && identity->saved == id;
}

bool identity_is_same(const struct process *target) {
    const struct process *self = process_current();
    return self->user.effective == 0 ||
           (all_are(&target->user, self->user.real) && all_are(&target->group_id, self->group_id.real));
}
