/*
 * Owns: making threads and their kernel stacks.
 *
 * Invariants: RESIDUE, CLEAN – a stack has frames of its own in each space, clean when the thread begins and cleared by
 * it when it ends (context_die), so they may be used again or freed as they are.
 * Locks: processes_lock for the lists and stack slots. Space: restricted; a child's stack is written through a scratch
 * view.
 */
#include "kernel/thread.h"

#include "arch/cpu.h"
#include "arch/fpu.h"
#include "arch/selectors.h"
#include "arch/uaccess.h"
#include "arch/user_segments.h"
#include "asi/asi.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/ready_queue.h"
#include "kernel/sched.h"
#include "kernel/sched_abi.h"
#include "kernel/string.h"
#include "kernel/thread_create.h"
#include "kernel/time.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/roots.h"
#include "mm/vm.h"

/* What context_switch() pops, then the address it returns to. */
struct switch_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t return_address;
    struct trap_frame frame;
};

extern const char return_to_new_thread[]; /* arch/entry.asm */

/* --- LOCAL part --------------------------------------------------------------------------------------------------- */

struct thread_local *thread_local_create(void) {
    struct thread_local *local = local_alloc(sizeof *local);
    void *fpu = local_alloc(fpu_area_size());
    if (local == NULL || fpu == NULL) {
        local_free(local, sizeof *local);
        local_free(fpu, fpu_area_size());
        return NULL;
    }
    local->fpu = fpu;
    fpu_reset(fpu);
    return local;
}

static struct thread_local *thread_local_clone(void) {
    struct thread_local *copy = thread_local_create();
    if (copy == NULL)
        return NULL;
    const struct thread_local *own = thread_current()->local;
    void *fpu = copy->fpu;
    *copy = *own;
    copy->fpu = fpu;
    fpu_save(fpu);
    copy->fs_base = user_fs_get();
    copy->gs_base = user_gs_get();
    return copy;
}

/* local_fork() copies it to the same address in the child, so what is in the registers has to be there, and no more. */
struct thread_local *thread_local_for_child(void) {
    struct thread_local *own = thread_current()->local;
    fpu_save(own->fpu);
    own->fs_base = user_fs_get();
    own->gs_base = user_gs_get();
    return own;
}

void thread_local_free(struct thread_local *local) {
    if (local == NULL)
        return;
    memset(local->fpu, 0, fpu_area_size());
    local_free(local->fpu, fpu_area_size());
    memset(local, 0, sizeof *local);
    local_free(local, sizeof *local);
}

/* --- Stacks ------------------------------------------------------------------------------------------------------- */

static bool take_slot(struct process *process, uint64_t *slot) {
    bool found = false;
    bool irq = spin_lock_irq(&processes_lock);
    for (unsigned word = 0; word < PROCESS_THREADS_MAX / 64 && !found; word++) {
        if (~process->stack_slots[word] == 0)
            continue;
        unsigned bit = (unsigned)__builtin_ctzl(~process->stack_slots[word]);
        process->stack_slots[word] |= 1UL << bit;
        *slot = word * 64 + bit;
        found = true;
    }
    spin_unlock_irq(&processes_lock, irq);
    return found;
}

static enum status alloc_stack(struct process *process, struct thread *thread) {
    if (!take_slot(process, &thread->stack_slot))
        return ERR_AGAIN;
    thread->stack_top = stack_bottom(thread->stack_slot) + STACK_SIZE;
    enum status status = roots_ensure_stack_tables(&process->roots, process->id, thread->stack_slot);
    for (unsigned space = 0; space < 2 && status == OK; space++) {
        for (unsigned i = 0; i < STACK_PAGES && status == OK; i++)
            status = frame_alloc(FRAME_LOCAL, process->id, &thread->stack_frames[space][i]);
    }
    for (unsigned space = 0; space < 2 && status == OK; space++)
        roots_set_stack(&process->roots, space, thread->stack_slot, thread->stack_frames[space]);
    return status;
}

void thread_free(struct thread *thread) {
    for (unsigned space = 0; space < 2; space++)
        for (unsigned i = 0; i < STACK_PAGES; i++)
            if (!frame_is_none(thread->stack_frames[space][i]))
                frame_free_clean(thread->stack_frames[space][i]);
    global_free(thread, sizeof *thread);
}

static struct thread *reuse_dead(struct process *process) {
    struct thread *thread = NULL;
    bool irq = spin_lock_irq(&processes_lock);
    if (!list_empty(&process->dead_threads)) {
        thread = container_of(process->dead_threads.next, struct thread, process_link);
        list_remove(&thread->process_link);
    }
    spin_unlock_irq(&processes_lock, irq);
    return thread;
}

static struct thread *obtain(struct process *process, enum status *status) {
    if (thread_count() >= THREADS_MAX) {
        *status = ERR_AGAIN;
        return NULL;
    }
    struct thread *thread = reuse_dead(process);
    if (thread != NULL) {
        struct thread fresh = {.stack_slot = thread->stack_slot, .stack_top = thread->stack_top};
        memcpy(fresh.stack_frames, thread->stack_frames, sizeof fresh.stack_frames);
        *thread = fresh;
        *status = OK;
        return thread;
    }
    thread = global_alloc(sizeof *thread);
    if (thread == NULL) {
        *status = ERR_NO_MEMORY;
        return NULL;
    }
    *status = alloc_stack(process, thread);
    if (*status != OK) {
        thread_give_back(process, thread); /* a slot once taken stays with the struct, or is lost with the process */
        return NULL;
    }
    return thread;
}

void thread_give_back(struct process *process, struct thread *thread) {
    bool has_stack = !frame_is_none(thread->stack_frames[1][STACK_PAGES - 1]); /* the last to be allocated */
    bool irq = spin_lock_irq(&processes_lock);
    if (has_stack)
        list_push_back(&process->dead_threads, &thread->process_link);
    else if (thread->stack_top != 0)
        process->stack_slots[thread->stack_slot / 64] &= ~(1UL << (thread->stack_slot % 64));
    spin_unlock_irq(&processes_lock, irq);
    if (!has_stack)
        thread_free(thread);
}

/* --- Making one --------------------------------------------------------------------------------------------------- */

static void write_first_frame(struct thread *thread, const struct trap_frame *frame) {
    enum space home = asi_home_space();
    asi_expect(ASI_CAUSE_FORK);
    char *page = ephmap_scratch(thread->stack_frames[home][STACK_PAGES - 1]);
    struct switch_frame *top = (struct switch_frame *)(void *)(page + PAGE_SIZE - sizeof *top);
    top->return_address = (uint64_t)return_to_new_thread;
    top->frame = *frame;
    top->frame.vector = frame_vector(frame); /* FLUSH-CONTROL: the maker's mark is not the new thread's */
    ephmap_scratch_put(page);
    ephmap_flush();
    thread->stack_pointer = thread->stack_top - sizeof *top;
    thread->space = (uint8_t)home;
    thread->stack_dirty = (uint8_t)(1 << home);
    thread->work = WORK_SPACE; /* the mode may change before it first runs */
}

static void inherit_urgency(struct thread *thread, const struct thread *maker) {
    const bool resets = maker->reset_on_fork;
    const bool is_realtime = maker->policy == SCHED_FIFO || maker->policy == SCHED_RR;
    thread->policy = resets && is_realtime ? SCHED_OTHER : maker->policy;
    thread->realtime_priority = resets ? 0 : maker->realtime_priority;
    thread->nice = resets && (is_realtime || maker->nice < 0) ? 0 : maker->nice;
    thread->own_level = resets && maker->own_level < level_of_nice(0) ? level_of_nice(0) : maker->own_level;
    thread->level = thread->own_level;
}

enum status thread_create_with(struct process *process, struct thread_local *local, const struct trap_frame *frame,
                               struct thread **out) {
    enum status status;
    struct thread *thread = obtain(process, &status);
    if (thread == NULL)
        return status;
    write_first_frame(thread, frame);
    thread->process = process;
    thread->local = local;
    thread->state = THREAD_NEW;
    thread->cpu = this_cpu->index;
    thread->fpu_cpu = UINT32_MAX; /* a CPU may remember a dead thread that this struct was */
    thread->affinity = thread_current()->process == &kernel_process ? UINT64_MAX : thread_current()->affinity;
    inherit_urgency(thread, thread_current());
    thread->deadline = WAIT_FOREVER;
    thread->signal_mask = thread_current()->signal_mask;
    signal_queue_init(&thread->signals);
    list_init(&thread->run_link);
    list_init(&thread->timer_link);
    list_init(&thread->pi_owned);
    process_add_thread(process, thread);
    *out = thread;
    return OK;
}

enum status thread_create(struct process *process, const struct trap_frame *frame, struct thread **out) {
    ensure(process == process_current());
    struct thread_local *local = thread_local_clone();
    if (local == NULL)
        return ERR_NO_MEMORY;
    enum status status = thread_create_with(process, local, frame, out);
    if (status != OK)
        thread_local_free(local);
    return status;
}

enum status thread_create_kernel(struct process *process, void (*entry)(void), struct thread **out) {
    const struct trap_frame frame = {.cs = USER_CS, .ss = USER_DS, .rflags = 0x202};
    enum status status = thread_create_with(process, NULL, &frame, out);
    if (status == OK)
        (*out)->kernel_entry = entry;
    return status;
}

void thread_start(struct thread *thread) { sched_wake(thread); }

/* From arch/entry.asm, interrupts off: the new thread's first steps; then it returns to user code. */
void thread_first_run(struct trap_frame *frame) {
    (void)frame;
    sched_first_run();
    irq_enable();
    struct thread *self = thread_current();
    if (self->kernel_entry != NULL) {
        self->kernel_entry();
        return;
    }
    vm_settle_fork();
    if (self->local->set_child_tid != 0) {
        vaddr_t address = self->local->set_child_tid;
        self->local->set_child_tid = 0;
        if (copy_to_user(address, &self->id, sizeof self->id) != OK)
            return; /* as Linux: a bad pointer is the program's loss */
    }
}

struct thread *thread_find(uint32_t id) {
    list_for_each(process_link, &all_processes) {
        struct process *process = container_of(process_link, struct process, all_link);
        list_for_each(link, &process->threads) {
            struct thread *thread = container_of(link, struct thread, process_link);
            if (thread->id == id)
                return thread;
        }
    }
    return NULL;
}
