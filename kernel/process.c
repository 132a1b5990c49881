/*
 * Owns: the process tree, pids, creation and the collecting of the dead.
 * Locks: processes_lock (rank PROCESSES, interrupts off). Space: restricted.
 */
#include "kernel/process.h"

#include "arch/cpu.h"
#include "arch/io.h"
#include "asi/trust.h"
#include "kernel/assert.h"
#include "kernel/pidfd.h"
#include "kernel/process_life.h"
#include "kernel/reap.h"
#include "kernel/signal.h"
#include "kernel/string.h"
#include "kernel/thread_create.h"
#include "kernel/time.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/local.h"
#include "mm/pager.h"
#include "mm/roots.h"
#include "mm/tlb.h"

#define ID_MAX         32768U
#define PROCESSES_MAX  4096U
#define SHARE_FRAMES   96U  /* of RAM for each process that may be: a fork bomb meets this end before that of memory */
#define RESERVE_FRAMES 256U /* no process is made out of the last frames: the living need them to finish */

struct spinlock processes_lock = SPINLOCK_INIT(RANK_PROCESSES);
struct list all_processes = {&all_processes, &all_processes};
struct process *init_process;
struct process kernel_process;

/* Protected by processes_lock. */
static unsigned processes, threads;
static uint32_t last_id;
_Static_assert(THREADS_MAX + PROCESSES_MAX + 2 < ID_MAX, "there is always a free id");

unsigned process_count(void) { return processes; }
unsigned thread_count(void) { return threads; }

struct process *process_find(uint32_t id) {
    list_for_each(link, &all_processes) {
        struct process *process = container_of(link, struct process, all_link);
        if (process->id == id)
            return process;
    }
    return NULL;
}

/* A pid and thread id nobody has. processes_lock held. */
static uint32_t next_id(void) {
    static bool wrapped;
    for (;;) {
        if (++last_id == ID_MAX) {
            last_id = 2;
            wrapped = true;
        }
        if (!wrapped || (process_find(last_id) == NULL && thread_find(last_id) == NULL))
            return last_id;
    }
}

void process_init(struct process *process) {
    list_init(&process->children);
    list_init(&process->sibling_link);
    list_init(&process->all_link);
    list_init(&process->threads);
    list_init(&process->dead_threads);
    list_init(&process->view_sets);
    list_init(&process->calls);
    list_init(&process->sem_undos);
    list_init(&process->cpu_timers);
    wait_queue_init(&process->child_exited);
    wait_queue_init(&process->vfork_released);
    wait_queue_init(&process->thread_left);
    wait_queue_init(&process->continued);
    mutex_init(&process->timers_mutex);
    signal_queue_init(&process->signals);
    spin_init(&process->signal_lock, RANK_SIGNAL);
    spin_init(&process->local_lock, RANK_HEAP_LOCAL);
    spin_init(&process->handle_lock, RANK_HANDLES);
    process->exit_signal = 17; /* SIGCHLD */
    limits_init(&process->limits);
    process->start_time = time_monotonic();
}

struct user_space *user_space_create(uint32_t owner) {
    struct user_space *space = global_alloc(sizeof *space);
    if (space != NULL) {
        mutex_init(&space->lock);
        space->refs = 1;
        space->owner = owner;
    }
    return space;
}

/* Too many would take each other's memory: whoever faults when there is none is killed, a bystander as well. */
static bool too_many_processes(void) {
    const unsigned fit = frame_table_size() / SHARE_FRAMES;
    return processes >= (fit < PROCESSES_MAX ? fit : PROCESSES_MAX);
}

/* A process with roots and an id, in no list yet. */
enum status process_allocate(struct process **out) {
    if (too_many_processes())
        return ERR_AGAIN;
    if (frame_free_count() < RESERVE_FRAMES && !pager_make_free(RESERVE_FRAMES))
        return ERR_NO_MEMORY;
    struct process *process = global_alloc(sizeof *process);
    if (process == NULL)
        return ERR_NO_MEMORY;
    process_init(process);
    bool irq = spin_lock_irq(&processes_lock);
    process->id = next_id();
    spin_unlock_irq(&processes_lock, irq);
    enum status status = roots_create(&process->roots, process->id);
    if (status != OK) {
        global_free(process, sizeof *process);
        return status;
    }
    *out = process;
    return OK;
}

void process_add_thread(struct process *process, struct thread *thread) {
    const struct thread *self = thread_current();
    bool irq = spin_lock_irq(&processes_lock);
    thread->id = process->thread_count == 0 ? process->id : next_id();
    if (process == self->process && self->exiting) { /* whoever ends its threads has been through the list already */
        thread->exiting = true;
        thread->work |= WORK_SIGNAL;
    }
    if (process->pending != 0 || process->stop_signal != 0) /* sent to a child that had no thread yet */
        thread->work |= WORK_SIGNAL;
    list_push_back(&process->threads, &thread->process_link);
    process->thread_count++;
    threads++;
    spin_unlock_irq(&processes_lock, irq);
}

enum status process_link_into_tree(struct process *process, struct process *parent) {
    bool irq = spin_lock_irq(&processes_lock);
    if (parent == process_current() && parent != &kernel_process && signal_pending()) {
        spin_unlock_irq(&processes_lock, irq);
        return ERR_RESTART;
    }
    process->parent = parent;
    process->group = parent->group;
    process->session = parent->session;
    process->no_terminal = parent->no_terminal;
    identity_inherit(process, parent);
    process->limits = parent->limits;
    trust_inherit(process, parent);
    memcpy(process->name, parent->name, sizeof process->name);
    list_push_back(&parent->children, &process->sibling_link);
    list_push_back(&all_processes, &process->all_link);
    process->ignored = parent->ignored;
    process->caught = parent->caught;
    process->quiet_stops = parent->quiet_stops;
    process->no_zombies = parent->no_zombies;
    processes++;
    spin_unlock_irq(&processes_lock, irq);
    return OK;
}

/*
 * What remains of a process when its last thread has left: clean stacks, tables, two structs. Roots first: at no
 * instant does a restricted root lead to a free frame (REACH). Idle CPUs that have borrowed the space leave it before.
 */
void process_free(struct process *process) {
    tlb_expel(process);
    roots_destroy(&process->roots);
    while (!list_empty(&process->dead_threads)) {
        struct thread *thread = container_of(process->dead_threads.next, struct thread, process_link);
        list_remove(&thread->process_link);
        thread_free(thread);
    }
    global_free(process, sizeof *process);
}

void process_unlink_collected(struct process *process) {
    list_remove(&process->sibling_link);
    list_remove(&process->all_link);
    trust_forget_process(process);
    processes--;
}

void process_unlink_from_tree(struct process *process) {
    bool irq = spin_lock_irq(&processes_lock);
    process_unlink_collected(process);
    wake_all(&process->parent->child_exited); /* another thread may wait for a child, and have none any more */
    spin_unlock_irq(&processes_lock, irq);
}

/* --- The dead ----------------------------------------------------------------------------------------------------- */

/* The parent does not want to know: SIGCHLD ignored, or no parent that could ask. */
static bool nobody_waits(const struct process *process) {
    const uint64_t child_signal = 1UL << (17 - 1);
    return process->parent == NULL || process->parent->dying || (process->parent->ignored & child_signal) ||
           process->parent->no_zombies || process->parent == &kernel_process;
}

static struct signal_origin exit_origin(const struct process *process) {
    enum { CLD_EXITED = 1, CLD_KILLED = 2 };
    bool killed = process->exit_status & 0x7f;
    return (struct signal_origin){
        .code = killed ? CLD_KILLED : CLD_EXITED,
        .pid = process->id,
        .uid = process->user.real,
        .status = killed ? process->exit_status & 0x7f : process->exit_status >> 8 & 0xff,
    };
}

void process_tell_new_parent(struct process *zombie) {
    struct signal_origin origin = exit_origin(zombie);
    zombie->exit_signal = 17; /* SIGCHLD: what init expects */
    signal_send_process_locked(zombie->parent, (int)zombie->exit_signal, &origin);
    wake_all(&zombie->parent->child_exited);
}

/*
 * Tells the parent before the last thread has left its stack, so that the switch away may go straight to the parent.
 * Who collects the process waits for `left`, on another CPU a moment, on the same one never.
 */
void process_becomes_zombie(struct process *process) {
    struct signal_origin origin = exit_origin(process);
    if (process == init_process)
        init_has_exited(process->exit_status);
    bool irq = spin_lock_irq(&processes_lock); /* the parent stays while it is held */
    struct process *parent = process->parent;
    process->zombie = !nobody_waits(process);
    if (parent != NULL && !parent->dying && parent != &kernel_process) {
        if (process->exit_signal != 0)
            signal_send_process_locked(parent, (int)process->exit_signal, &origin);
        if (process->zombie)
            wake_all(&parent->child_exited);
    }
    if (process->zombie)
        pidfd_tell_end();
    spin_unlock_irq(&processes_lock, irq);
}

/* Its clean stack is kept for the next thread. */
void reap_thread(struct thread *thread) {
    struct process *process = thread->process;
    bool irq = spin_lock_irq(&processes_lock);
    list_push_back(&process->dead_threads, &thread->process_link);
    threads--;
    bool last = --process->thread_count == 0;
    bool free_now = last && !process->zombie;
    if (!last)
        wake_all(&process->thread_left);
    if (free_now) {
        process_unlink_collected(process);
        if (process->parent != NULL) /* which may wait for a child, and have none any more */
            wake_all(&process->parent->child_exited);
    }
    if (free_now)
        pidfd_tell_end();
    if (last)
        __atomic_store_n(&process->left, true, __ATOMIC_RELEASE); /* a zombie may be gone from here on */
    spin_unlock_irq(&processes_lock, irq);
    if (free_now)
        process_free(process);
}
