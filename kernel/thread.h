/*
 * A thread, class GLOBAL: what the scheduler and other processes need to know of it. Its saved registers lie on its
 * kernel stack, its FPU state and user pointers in `local` (LOCAL).
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/cpu.h"
#include "arch/trap_frame.h"
#include "kernel/call.h"
#include "kernel/list.h"
#include "kernel/signal_queue.h"
#include "kernel/status.h"
#include "kernel/wait.h"
#include "mm/frame.h"

struct process;

enum thread_state { THREAD_NEW, THREAD_RUNNABLE, THREAD_RUNNING, THREAD_SLEEPING, THREAD_DEAD };

/* Why the way back to user code must be the slow one. Bits of thread.work; atomic. */
enum thread_work {
    WORK_RESCHEDULE = 1, /* time slice used, or a wake-up of someone else */
    WORK_SIGNAL = 2,     /* a signal may be deliverable, or the process is being killed */
    WORK_SPACE = 4,      /* the loaded space or the flushes owed are not what user code may run with */
    WORK_STOP = 8,       /* another CPU wants this one to stand still (kernel/stop.h) */
};

/* LOCAL: what only the thread's own process may see. Allocated by local_alloc. Guarded by: the thread itself. */
struct thread_local {
    uint64_t fs_base, gs_base; /* of user code; valid while the thread is not running */
    uint64_t clear_child_tid;  /* user address or 0: cleared and woken at exit */
    uint64_t set_child_tid;    /* user address or 0: the new thread stores its id there on its first run */
    uint64_t robust_list;      /* user address or 0 */
    uint64_t alternate_stack, alternate_stack_size; /* sigaltstack */
    uint32_t alternate_stack_flags;
    uint32_t fault_error; /* of the last synchronous fault, for siginfo */
    uint64_t fault_address;
    void *fpu; /* XSAVE area, 64-byte aligned, LOCAL */
};

struct thread {
    /* Assembly knows these by generated offsets. */
    uint64_t stack_pointer; /* while not running. Guarded by the run queue's lock */
    uint32_t work;          /* enum thread_work bits. Atomic */
    uint8_t space;          /* enum space to resume in, while not running */
    uint8_t stack_dirty;    /* bit SPACE_RESTRICTED / SPACE_UNRESTRICTED: the frames of that stack hold something */
    uint64_t stack_top;     /* virtual, constant */

    uint32_t id;                /* tid; the first thread's is the process id. Constant */
    struct process *process;    /* constant */
    struct thread_local *local; /* LOCAL address, constant */
    uint64_t stack_slot;        /* index in the process's STACK region. Constant */

    struct wait_node wait_nodes[WAIT_NODES]; /* Guarded by the thread itself while not in a queue */
    uint32_t wait_nodes_used;                /* bit per node */

    enum thread_state state; /* Guarded by the run queue's lock */
    bool interruptible;      /* the sleep ends when a signal arrives. Guarded by the run queue's lock */
    bool wake_pending;       /* woken since wait_begin. Guarded by the run queue's lock */
    bool timed_out;          /* the deadline woke it */
    bool in_vfork;           /* waits for a vfork child. Cleared by the child (release) */
    bool waiting;            /* between wait_begin and the end of the sleep. Guarded by the thread itself */
    uint64_t deadline;       /* nanoseconds; WAIT_FOREVER. Guarded by rank TIMER */
    struct list run_link, timer_link, process_link;
    uint32_t cpu;                      /* whose run queue. Changed under that queue's lock */
    uint32_t fpu_cpu;                  /* whose registers had its FPU state last. Guarded by the CPU it runs on */
    int8_t nice;                       /* as its process wants it. Protected by ipc_lock */
    uint8_t policy, realtime_priority; /* kernel/sys_sched_policy.c. Likewise, and by processes_lock */
    bool reset_on_fork;                /* what it makes has none of its urgency. Protected by processes_lock */
    uint8_t own_level;                 /* how urgent it is by itself. Protected by ipc_lock */
    uint8_t level;                     /* how urgent it is, donations included. Written with ipc_lock, too */
    uint8_t pi_boost;             /* READY_LEVELS less its level by PI mutexes of its; 0: none. Protected by ipc_lock */
    bool pi_closed;               /* it ends, and owns none any more. Protected by futex_lock */
    struct list pi_owned;         /* of struct pi_mutex.owner_link (kernel/futex_pi.c). Likewise */
    struct pi_waiter *pi_waiting; /* for such a mutex, or NULL. Likewise */
    uint64_t affinity;            /* the CPUs it may run on: a bit each. Guarded by the run queue's lock */
    uint64_t slice_end;           /* time_monotonic() at which it has had its share */
    uint64_t slice_left;          /* ns of it, while it waits because somebody more urgent came; 0: a whole one is next.
                                     Guarded by the run queue's lock */
    uint64_t cpu_time, started_at; /* nanoseconds used; when it was last put on a CPU */
    uint64_t slept_at_cpu_time;    /* what it had used when it last slept */

    struct call call;                     /* that it makes, while it waits for the answer */
    struct reception reception;           /* that it waits in, or what the last one brought */
    uint64_t unanswered;                  /* token of the call it received last, or 0. Guarded by the thread itself */
    struct message_buffer *spare_message; /* empty, or NULL. Guarded by the thread itself */

    uint64_t signal_mask; /* blocked. Written by the thread itself; read by senders under rank SIGNAL */
    uint64_t saved_mask;  /* for sigsuspend/ppoll: restored after the handler */
    bool restore_mask;
    bool by_real_ids;            /* access(): permissions are those of the real ids. Guarded by the thread itself */
    uint64_t pending;            /* signals for this thread alone. Protected by rank SIGNAL */
    struct signal_queue signals; /* what is known of them. Likewise */
    uint64_t call_deadline;      /* of a timed wait that was interrupted, for when it is started again; 0: none. Guarded
                                    by the thread itself */
    bool drops_files;            /* that were on their way (kernel/socket_flight.c). Guarded by the thread itself */
    bool exiting;                /* must not return to user code again */
    void (*kernel_entry)(void);  /* what it begins with instead of user code, or NULL. Constant */

    frame_t stack_frames[2][STACK_PAGES]; /* [enum space]; LOCAL(process). Constant */
};

/*
 * Makes a thread in `process` (the current one, or a child being built that has no threads yet). It will start in user
 * mode with the registers in `frame`; it is not yet runnable. FPU state and local fields are copied from the caller's.
 * ERR_NO_MEMORY, ERR_AGAIN (too many).
 */
MUST_USE enum status thread_create(struct process *process, const struct trap_frame *frame, struct thread **out);

/* Puts a new thread on a run queue. */
void thread_start(struct thread *thread);

/* The registers with which the calling thread entered from user code. */
static inline struct trap_frame *thread_user_frame(void) {
    return (struct trap_frame *)(thread_current()->stack_top - sizeof(struct trap_frame));
}

/* How urgent it is by itself from now on, of which the rest follows (kernel/donation.h). processes_lock held. */
void thread_set_policy(struct thread *thread, unsigned policy, unsigned priority, int nice);

/* Threads by id, for signals and affinity. Returns NULL when there is none. Processes lock (rank PROCESSES) held. */
struct thread *thread_find(uint32_t id);

#endif
