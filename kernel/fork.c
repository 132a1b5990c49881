/*
 * Owns: fork and vfork: how a process comes from another.
 *
 * The child is built by the parent, in the parent's restricted space: LOCAL is copied page by page, page tables are
 * written through scratch views. Everything that can fail is done before the child is linked into the tree.
 * Other threads of the parent go on meanwhile. What is copied together agrees because it is locked together: areas and
 * user tables by the parent's user_space->lock, the handle table and the references that it stands for by handle_lock,
 * the rest of LOCAL by the locks that mm/local.c takes. Space: restricted.
 */
#include "asi/asi.h"
#include "kernel/assert.h"
#include "kernel/command_line.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/process_life.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/string.h"
#include "kernel/thread_create.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/local.h"
#include "mm/roots.h"
#include "mm/tags.h"
#include "mm/vm.h"

static enum status give_user_half(struct process *child, bool share) {
    struct process *parent = process_current();
    if (share) {
        child->user_space = parent->user_space;
        __atomic_fetch_add(&child->user_space->refs, 1, __ATOMIC_RELAXED);
        roots_share_user_half(&parent->roots, &child->roots);
        vm_lend();
        tags_lend(parent);
        return OK;
    }
    child->user_space = user_space_create(child->id);
    if (child->user_space == NULL)
        return ERR_NO_MEMORY;
    enum status status = vm_fork(child);
    if (status != OK)
        global_free(child->user_space, sizeof *child->user_space);
    return status;
}

static void take_user_half_back(struct process *child, bool share) {
    if (share) {
        vm_lend_undo();
        __atomic_fetch_sub(&child->user_space->refs, 1, __ATOMIC_RELAXED);
    } else {
        vm_fork_undo(child);
        global_free(child->user_space, sizeof *child->user_space);
    }
}

/* LOCAL, what its handles stand for, and a thread. On failure all of it is undone. */
static enum status give_kernel_half(struct process *child, struct thread_local *local, const struct trap_frame *frame,
                                    struct thread **thread) {
    struct spinlock *handle_lock = &process_current()->handle_lock;
    spin_lock(handle_lock);
    enum status status = local_fork(child);
    if (status == OK) {
        status = handles_fork(child);
        if (status == OK) {
            status = thread_create_with(child, local, frame, thread);
            if (status != OK)
                handles_fork_undo(child);
        }
    }
    if (status != OK)
        local_fork_undo(child);
    spin_unlock(handle_lock);
    return status;
}

/* Copies everything; on failure everything is undone but the child itself. The parent's user half is locked. */
static enum status copy_process(struct process *child, const struct trap_frame *frame, bool share,
                                struct thread **thread) {
    enum status status = give_user_half(child, share);
    if (status != OK)
        return status;
    status = give_kernel_half(child, thread_local_for_child(), frame, thread);
    if (status != OK)
        take_user_half_back(child, share);
    return status;
}

/* The child may be dead and gone when this ends: it says so to the thread that waits. */
static void wait_for_release(void) {
    struct process *parent = process_current();
    const struct thread *self = thread_current();
    for (;;) {
        struct waiter waiter;
        wait_begin(&parent->vfork_released, &waiter);
        bool waits = __atomic_load_n(&self->in_vfork, __ATOMIC_ACQUIRE);
        if (waits)
            wait_sleep_uninterruptible();
        wait_end(&waiter);
        if (!waits)
            return;
    }
}

enum status process_fork(unsigned flags, vaddr_t stack, uint32_t exit_signal, uint32_t *child_id) {
    struct process *parent = process_current();
    const bool share = flags & FORK_SHARE_VM;
    struct trap_frame frame = *thread_user_frame();
    struct process *child;
    struct thread *thread;

    frame.rax = 0;
    if (stack != 0)
        frame.rsp = stack;
    enum status status = process_allocate(&child);
    if (status != OK)
        return status;
    mutex_lock(&parent->user_space->lock);
    /* First of all: from here on a signal for the group, or a kill of the child, finds it. */
    status = process_link_into_tree(child, parent);
    if (status == OK) {
        status = copy_process(child, &frame, share, &thread);
        if (status != OK)
            process_unlink_from_tree(child);
    }
    mutex_unlock(&parent->user_space->lock);
    if (status != OK) {
        process_free(child);
        return status;
    }

    child->exit_signal = exit_signal;
    command_line_inherit(child);
    *child_id = child->id;
    if (flags & FORK_VFORK) {
        child->vfork_parent = thread_current();
        thread_current()->in_vfork = true;
        thread_start(thread);
        wait_for_release();
        if (share)
            vm_rejoin();
    } else {
        thread_start(thread);
    }
    return OK;
}

enum status process_create_kernel(const char *name, void (*entry)(void), struct process **out) {
    struct process *process;
    struct thread *thread;
    enum status status = process_allocate(&process);
    if (status != OK)
        return status;
    process->user_space = user_space_create(process->id);
    status = process->user_space == NULL ? ERR_NO_MEMORY : local_create_for(process);
    if (status == OK)
        status = thread_create_kernel(process, entry, &thread);
    if (status == OK)
        status = process_link_into_tree(process, &kernel_process);
    if (status != OK)
        return status; /* start-up only: the caller panics */
    strlcpy(process->name, name, sizeof process->name);
    process->group = process->session = process->id;
    thread_start(thread);
    *out = process;
    return OK;
}
