/*
 * A process, class GLOBAL: identity, family, exit state, roots, counters. What must be seen by nobody else is in
 * `struct local` (kernel/local.h).
 */
#ifndef KERNEL_PROCESS_H
#define KERNEL_PROCESS_H

#include "arch/cpu.h"
#include "kernel/cpu_timer.h"
#include "kernel/identity.h"
#include "kernel/limits.h"
#include "kernel/list.h"
#include "kernel/signal_queue.h"
#include "kernel/thread.h"
#include "kernel/wait.h"
#include "mm/paging.h"

struct command_line;
struct posix_timer;

#define PROCESS_NAME_SIZE   16
#define PROCESS_THREADS_MAX (3 * 64)
#define THREADS_MAX         28000U /* of all processes: ids are left over for those that nobody has collected yet */

/* One user half. Shared by parent and child of a vfork until the child execs or exits. Class GLOBAL. */
struct user_space {
    struct mutex lock; /* VMAs and page tables of the user half */
    uint32_t refs;     /* processes that have it. Protected by rank PROCESSES */
    uint32_t owner; /* id of the process that keeps it: its tables are LOCAL to that one, also while lent. Constant */
    uint64_t resident; /* user pages present. Protected by lock */
    uint64_t peak;     /* the most there were when one was mapped. Likewise */
    bool is_locked;    /* mlock(): what it has mapped is not evicted. Atomic */
};

/* What a process has done that its parent has not been told of by wait4. */
enum child_news { CHILD_NO_NEWS, CHILD_STOPPED, CHILD_CONTINUED };

struct process {
    uint32_t id; /* constant */
    struct roots roots;
    struct user_space *user_space; /* replaced only by exec of a vfork child. Protected by rank PROCESSES */
    uint64_t cpus; /* a bit for each CPU that has a root of it loaded: mm/tlb.h. Atomic; unused with one CPU */

    /* Family and exit. Protected by processes_lock (rank PROCESSES). */
    struct process *parent;
    struct list children, sibling_link, all_link;
    struct list threads;      /* of struct thread.process_link */
    struct list dead_threads; /* likewise; left for good, their stacks clean: for reuse */
    struct list sem_undos;    /* of struct sem_undo.process_link. Protected by sysv_lock */
    struct list calls;        /* received and not answered: struct call.link. Protected by ipc_lock */
    unsigned thread_count;    /* those of `threads`, and those that are ending but not off their stacks yet */
    uint32_t group, session;
    bool no_terminal; /* it gave up its session's (TIOCNOTTY). Written by itself */
    bool dying;       /* its last thread has begun to take it down */
    bool zombie;      /* the parent may collect it, once `left` */
    bool left;        /* its last thread is off its stack: no CPU is in it. Set by the one that switched away */
    bool being_killed;
    int exit_status;                      /* wait4's encoding */
    struct wait_queue child_exited;       /* woken when a child of this process becomes a zombie */
    struct wait_queue vfork_released;     /* woken when a vfork child of this process execs or exits */
    struct thread *vfork_parent;          /* the thread that waits for this child's exec or exit, or NULL */
    struct wait_queue thread_left;        /* woken when one of its threads has gone */
    uint32_t exit_signal;                 /* sent to the parent; SIGCHLD or 0 */
    uint64_t cpu_time, children_cpu_time; /* nanoseconds */
    uint64_t start_time;

    /* Signals. Protected by signal_lock. */
    struct spinlock signal_lock; /* rank SIGNAL */
    uint64_t pending;            /* for any thread; bit n-1 is signal n */
    uint64_t ignored;            /* copy of what the LOCAL action table ignores, for senders */
    uint64_t caught;             /* likewise, has a handler */
    struct signal_queue signals; /* what is known of those in `pending` */
    bool quiet_stops;            /* its action for SIGCHLD says SA_NOCLDSTOP … */
    bool no_zombies;             /* … and SA_NOCLDWAIT */
    bool stop_taken;             /* a thread has taken a stop signal; no SIGCONT has come since */

    /* Stops: kernel/jobs.c. Protected by processes_lock. */
    int stop_signal;          /* 0: not stopped, nor about to be. Also read without the lock */
    bool stopped;             /* every thread stands */
    unsigned threads_stopped; /* threads that stand in jobs_stand() */
    enum child_news news;
    struct wait_queue continued; /* woken when stop_signal becomes 0 */

    struct mutex timers_mutex;         /* posix_timers and what is in it */
    struct posix_timer **posix_timers; /* by number (kernel/posix_timer.c); NULL: it never had any */

    struct list cpu_timers;   /* that go by its CPU time, anybody's: struct cpu_timer.link. Protected by … */
    unsigned cpu_timer_count; /* … processes_lock; how many: also read without */
    struct cpu_timer interval_timers[2]; /* its own ITIMER_VIRTUAL and ITIMER_PROF. Likewise */

    struct spinlock local_lock;  /* rank HEAP_LOCAL: the LOCAL heap */
    struct spinlock handle_lock; /* rank HANDLES: the LOCAL handle table */
    struct spinlock views_lock;  /* rank VIEWS */
    struct list view_sets;       /* objects it has open: struct object_view_set. Protected by the views lock */

    struct identity user, group_id; /* who it is: kernel/identity.h. Written by itself */
    struct groups *groups;          /* supplementary, or NULL. Protected by processes_lock */
    struct limits limits;
    uint64_t peak_resident;          /* of its user half, when it has ended: pages. Written by itself */
    uint64_t children_peak_resident; /* the largest of those that were waited for. Protected by processes_lock */
    uint8_t death_signal;            /* sent to it when its parent ends; 0: none. Protected by processes_lock */
    bool is_subreaper;               /* its descendants' orphans become its children. Likewise */
    bool no_core;                    /* PR_SET_DUMPABLE 0: kept, there are no core files. Written by itself */
    bool no_new_privileges;          /* set-id bits mean nothing to it. Written by itself */
    bool refuses_exec_gain;          /* PR_SET_MDWE: nothing it could write becomes code. Likewise */
    bool moves_pages;             /* has had a grant that does not let it see what it moves: the audit's rule for it */
    bool stores_pages;            /* has had a grant to store pages: it may use the reserve of frames */
    bool watches_signals;         /* has had a signalfd, or its parent had */
    uint32_t window_tables;       /* of its EPHMAP region, its own ones. Atomic */
    uint8_t domain;               /* of trust; 0: private. Written under processes_lock, atomic (asi/trust.c) */
    char name[PROCESS_NAME_SIZE]; /* of the program: metadata */
    struct command_line *command_line;              /* or NULL: kernel/command_line.h. Protected by processes_lock */
    uint64_t stack_slots[PROCESS_THREADS_MAX / 64]; /* bitmap of stack slots in use. Protected by processes_lock. */

    struct cpu_counters counters; /* this process's share. Updated by the CPU it runs on */
};

extern struct spinlock processes_lock; /* rank PROCESSES */
extern struct list all_processes;      /* struct process.all_link. Protected by processes_lock */
extern struct process *init_process;   /* pid 1. Constant once made */
extern struct process kernel_process;  /* id 0: idle threads */

/* Whether it runs no user code (pageout and its like): then nobody signals it or says where or how urgently it runs. */
static inline bool process_is_kernels(const struct process *process) {
    return process->parent == &kernel_process && process != init_process; /* processes_lock held */
}

static inline struct process *process_current(void) { return thread_current()->process; }

/* By id; NULL when there is none. processes_lock held. Zombies are found too. */
struct process *process_find(uint32_t id);

enum fork_flags {
    FORK_VFORK = 1,    /* the parent waits until the child execs or exits */
    FORK_SHARE_VM = 2, /* with FORK_VFORK only: share the user half meanwhile */
};

/*
 * Makes a child of the caller, a copy of it with one thread which returns 0 from the system call. *child_id gets its
 * pid. `stack`: new user stack pointer or 0. ERR_NO_MEMORY, ERR_AGAIN, ERR_RESTART (a signal is first). On error
 * nothing is left behind. May sleep.
 */
MUST_USE enum status process_fork(unsigned flags, vaddr_t stack, uint32_t exit_signal, uint32_t *child_id);

/* Ends the calling thread; when it is the last, the process, with wait4's `status`. */
_Noreturn void thread_exit(int status);
/* Ends the calling process: the other threads are told to die. `status` is wait4's encoding. */
_Noreturn void process_exit(int status);

/* What a wait asks for. */
struct wait_request {
    int64_t which;                   /* > 0 a pid, -1 any, 0 own group, < -1 a group */
    bool exited, stopped, continued; /* what is worth being told */
    bool no_hang;                    /* pid 0 when there is nothing to tell */
    bool leave;                      /* it can be asked for again */
};
struct wait_result {
    uint32_t pid, uid;
    int status; /* wait4's encoding */
    uint64_t cpu_time, peak_resident, page_faults;
};
/* wait4 and waitid. ERR_NO_CHILD, ERR_RESTART. A child that has ended is freed. May sleep. */
MUST_USE enum status process_wait(const struct wait_request *request, struct wait_result *out);

/*
 * Called by exec when it can be undone no longer: ends the other threads; the caller gets an empty user half of its
 * own. ERR_NO_MEMORY, ERR_RESTART (the caller itself is to end): nothing has changed.
 */
MUST_USE enum status process_begin_exec(void);
void process_release_vfork(void);

/* How many there are (for limits and statistics). */
unsigned process_count(void);
unsigned thread_count(void);

#endif
