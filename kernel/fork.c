/*
 * Owns: fork and vfork: how a process comes from another.
 *
 * The child is built by the parent, in the parent's restricted space: LOCAL is copied page by page, page tables are
 * written through scratch views. Everything that can fail is done before the child is linked into the tree.
 * Locks: the parent's user_space->lock across the copy. Space: restricted.
 */
#include "asi/asi.h"
#include "kernel/assert.h"
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
#include "mm/vm.h"

static enum status give_user_half(struct process *child, bool share) {
    struct process *parent = process_current();
    if (share) {
        child->user_space = parent->user_space;
        __atomic_fetch_add(&child->user_space->refs, 1, __ATOMIC_RELAXED);
        roots_share_user_half(&parent->roots, &child->roots);
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
        __atomic_fetch_sub(&child->user_space->refs, 1, __ATOMIC_RELAXED);
    } else {
        vm_fork_undo(child);
        global_free(child->user_space, sizeof *child->user_space);
    }
}

/* Copies everything; on failure everything is undone but the child itself. */
static enum status copy_process(struct process *child, struct thread_local *local, const struct trap_frame *frame,
                                bool share, struct thread **thread) {
    enum status status = ephmap_fork(child);
    if (status != OK)
        return status;
    LOCAL->random.owner = 0; /* both seed anew: neither may know what the other draws */
    status = local_fork(child);
    if (status == OK) {
        status = give_user_half(child, share);
        if (status == OK) {
            status = thread_create_with(child, local, frame, thread);
            if (status != OK)
                take_user_half_back(child, share);
        }
    }
    if (status != OK) {
        local_fork_undo(child);
        ephmap_forget_process(child);
    }
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
    /* A signal for the group that came before the child is in it must not miss it: deliver first, then fork. */
    status = signal_pending() ? ERR_RESTART : copy_process(child, thread_local_for_child(), &frame, share, &thread);
    mutex_unlock(&parent->user_space->lock);
    if (status != OK) {
        process_free(child);
        return status;
    }

    handles_fork(child);
    child->exit_signal = exit_signal;
    child->ignored = parent->ignored;
    child->caught = parent->caught;
    process_link_into_tree(child, parent);
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
    if (status != OK)
        return status; /* start-up only: the caller panics */
    process_link_into_tree(process, &kernel_process);
    strlcpy(process->name, name, sizeof process->name);
    process->group = process->session = process->id;
    thread_start(thread);
    *out = process;
    return OK;
}
