/*
 * The crossings between address spaces, with everything that may interrupt them. GATE, FLUSH-CONTROL, FLUSH-DATA,
 * NEST.
 *
 * CPUS CPUs; process P with threads A and B (B comes by clone and goes by exit), process Q with thread C (comes by
 * fork, goes by exit), the kernel's process K. Any thread may resume on any CPU. Mode naive or asi, flush on. A step
 * is what an NMI can see apart from the next: a flush, a CR3 write, the bookkeeping beside it. C code that runs
 * between two of those with interrupts off is one step. Which element stands for which code is said at each;
 * docs/model.md has the whole.
 *
 * -D NAME builds one mistake in: see tests/model/run.
 */
#ifndef CPUS
#define CPUS 2
#endif

#define P 1 /* processes, as bits */
#define Q 2
#define K 4
#define PAST 8  /* trained: a process that is gone, whose bit was given to another */
#define ALL 16  /* buffers: what only an unrestricted root maps */

#define A 0 /* threads */
#define B 1
#define C 2
#define IDLE 3 /* one for each CPU */
#define process_of(thread) (thread == C -> Q : (thread == IDLE -> K : P))

#define RESTRICTED 0
#define UNRESTRICTED 1

#define CONTROL 1 /* CROSS_CONTROL_FLUSH, CROSS_DATA_FLUSH (asi/asi.h) */
#define DATA 2

/* The CPU itself. */
byte root_process[CPUS]; /* CR3 */
bit root_space[CPUS];
byte trained[CPUS]; /* whose user code has trained the predictors since the last IBPB */
byte buffers[CPUS]; /* whose secrets the fill and store buffers may hold */
bit ring3[CPUS], irq_on[CPUS], kernel_gs[CPUS];
bit in_irq[CPUS], in_nmi[CPUS];

/* struct cpu (arch/cpu.h) */
byte current[CPUS], loaded[CPUS];
bit space[CPUS];
bit control_other[CPUS], data_kernel[CPUS], data_other[CPUS]; /* taints */

/* struct thread, and its user frame (kernel/thread.h) */
bit on_cpu[3], exists[3], first_run[3];
bit thread_space[3], work_space[3];
bit mark[3];         /* FRAME_FLUSHED (asi/asi.c) */
bit away_flushed[3]; /* `flags` on the stack of switch_to() */
bit stack_dirty[3];  /* bit SPACE_UNRESTRICTED of it */

#ifdef MARK_FROM_SWITCH_AWAY
#define KEEPS_AWAY(flag) flag
#else
#define KEEPS_AWAY(flag) 0
#endif

#ifndef CHECK
#define CHECK 15
#endif
#define GATE 1
#define FLUSH_CONTROL 2
#define FLUSH_DATA 4
#define NEST 8

inline must(property, what) {
    assert(!(CHECK & property) || (what))
}

/* Holds wherever kernel code runs: no one else's training where there is something to reach, no one else's data where
 * it could be sampled. */
inline check_flushes(c) {
    must(FLUSH_CONTROL, trained[c] == 0 ||
         (root_space[c] == RESTRICTED && (trained[c] & ~root_process[c]) == 0));
    must(FLUSH_DATA, root_space[c] == UNRESTRICTED || (buffers[c] & ~root_process[c]) == 0)
}

/* arch/transition.inc: load_root. What a root maps may be in the buffers from then on. */
inline load_root(c, process, new_space) {
    d_step {
        root_process[c] = process;
        root_space[c] = new_space;
        buffers[c] = buffers[c] | (new_space == UNRESTRICTED -> ALL : process);
        check_flushes(c)
    }
}

/* arch/transition.asm: control_flush, data_flush */
inline control_flush(c) { trained[c] = 0 }
inline data_flush(c) { buffers[c] = 0 }

/* asi/asi.c: control_tainted() */
#ifdef DYING_IS_UNTAINTED
#define no_user_code(c) (dying[c])
#else
#define no_user_code(c) false
#endif
bit dying[CPUS]; /* thread_exit() has taken thread.local */
#define tainted(c) (control_other[c] || current[c] == IDLE || \
                    (!no_user_code(c) && !mark[current[c] % 3]))

/* asi/asi.c: asi_leave(), arch/transition.asm: transition_exit. Interrupts off. */
inline leave(c) {
    if
    :: space[c] == RESTRICTED ->
        if
        :: tainted(c) ->
            control_flush(c);
            d_step {
                control_other[c] = 0;
                if :: current[c] != IDLE -> mark[current[c]] = 1 :: else fi
            }
        :: else
        fi;
        d_step {
            data_kernel[c] = 1;
#ifndef WORK_SPACE_FORGOTTEN
            if :: current[c] != IDLE -> work_space[current[c]] = 1 :: else fi;
#endif
            if :: current[c] != IDLE -> stack_dirty[current[c]] = 1 :: else fi
        }
        load_root(c, loaded[c], UNRESTRICTED);
        space[c] = UNRESTRICTED
    :: else
    fi
}

/* kernel/sched.c: take_next(); any CPU's queue, as with balancing. */
inline choose_next(c) {
    if
    :: exists[A] && !on_cpu[A] -> next = A
    :: exists[B] && !on_cpu[B] -> next = B
    :: exists[C] && !on_cpu[C] -> next = C
    :: current[c] != IDLE -> next = IDLE
    fi
}

/* kernel/sched.c: space_for(), root_to_load(); asi/asi.c: asi_switch_flags(), asi_count_switch(); switch_to() up to the
 * assembly. Interrupts off, one step: an NMI has no use for any of it. */
inline prepare_switch(c) {
    to = (next != IDLE -> process_of(next) : (dying[c] && current[c] == C -> K : loaded[c]));
    wanted = (next == IDLE -> RESTRICTED : thread_space[next % 3]);
    flags = 0;
    changes_root = !(next == IDLE && to == loaded[c]) && !(to == root_process[c] && wanted == root_space[c]);
    if
    :: changes_root ->
#ifndef NO_CONTROL_FLUSH_AT_SWITCH
        if :: loaded[c] != to || (space[c] == RESTRICTED && wanted == UNRESTRICTED) -> flags = flags | CONTROL :: else fi;
#endif
        if :: loaded[c] != to || (space[c] == UNRESTRICTED && wanted == RESTRICTED) -> flags = flags | DATA :: else fi
    :: else
    fi;
    if
    :: current[c] != IDLE ->
        thread_space[current[c]] = space[c];
        away_flushed[current[c]] = KEEPS_AWAY(flags & CONTROL)
    :: else
    fi;
    if
    :: changes_root ->
        if
        :: flags & CONTROL -> control_other[c] = 0
        :: !(flags & CONTROL) && loaded[c] != to -> control_other[c] = 1
        :: else
        fi;
        if :: flags & DATA -> data_kernel[c] = 0; data_other[c] = 0
           :: !(flags & DATA) && loaded[c] != to -> data_other[c] = 1
           :: else fi;
#ifndef RESUMED_OUTSIDE_UNTAINTED
        if :: wanted == UNRESTRICTED -> data_kernel[c] = 1 :: else fi;
#endif
        loaded[c] = to
    :: else
    fi;
    previous = current[c];
    current[c] = next;
    if :: next != IDLE -> on_cpu[next] = 1 :: else fi
}

/* Whoever resumes does it with what was left of it when it stopped. kernel/sched.c: the end of switch_to(),
 * finish_switch() */
inline finish_switch(c) {
    if
    :: previous != IDLE && dying[c] ->
        exists[previous] = 0; /* kernel/exit.c: reap_thread(); the slot is free for another */
        on_cpu[previous] = 0
    :: previous != IDLE && !dying[c] -> on_cpu[previous] = 0
    :: else
    fi;
    dying[c] = 0;
    if
    :: current[c] != IDLE ->
#ifdef MARK_FROM_SWITCH_AWAY
        if :: !first_run[current[c]] && away_flushed[current[c]] -> mark[current[c]] = 1 :: else fi;
#else
        if :: !first_run[current[c]] -> mark[current[c]] = (flags & CONTROL) :: else fi; /* asi/asi.c: asi_mark_frame() */
#endif
        away_flushed[current[c]] = 0;
        first_run[current[c]] = 0
    :: else
    fi;
    previous = IDLE; next = IDLE; flags = 0; to = 0; wanted = 0; changes_root = 0
}

/* kernel/fork.c, kernel/thread.c: write_first_frame(). The frame is a copy of the maker's, but for the mark. */
inline make_thread(new, maker) {
    exists[new] = 1;
    first_run[new] = 1;
    thread_space[new] = RESTRICTED;
    work_space[new] = 1;
    stack_dirty[new] = 0;
    away_flushed[new] = 0;
#ifdef FIRST_FRAME_KEEPS_MARK
    mark[new] = mark[maker]
#else
    mark[new] = 0
#endif
}

/* A new process is nobody's heir. */
inline forget_bits(c) {
    if :: trained[c] & Q -> trained[c] = (trained[c] & ~Q) | PAST :: else fi;
    if :: buffers[c] & Q -> buffers[c] = (buffers[c] & ~Q) | ALL :: else fi
}

#ifdef QUIET
/* Of two CPUs one runs at a time, from one `rest` to the next: what they share is changed between two of those by one
 * of them. */
bit waits[2];
#define rest(c) if :: skip :: d_step { waits[c] = 1; waits[1 - c] = 0 } fi
#define interrupts_on(c) skip
proctype cpu(byte c) provided (!waits[c]) {
#else
#define rest(c) skip
#define interrupts_on(c) irq_on[c] = 1
proctype cpu(byte c) provided (!in_irq[c] && !in_nmi[c]) {
#endif
    byte next = IDLE, previous = IDLE, flags = 0, to = 0;
    bit wanted = 0, changes_root = 0, slow = 0;
    goto idle;

user: rest(c); /* Ring 3: what a process does with its own memory and branches. */
    d_step {
        kernel_gs[c] = 0; ring3[c] = 1;
        must(GATE, root_space[c] == RESTRICTED && root_process[c] == process_of(current[c]));
        check_flushes(c);
        trained[c] = trained[c] | process_of(current[c]);
        buffers[c] = buffers[c] | process_of(current[c])
    };
    /* arch/entry.asm: syscall_entry, interrupt_common, nested_common with move_frame. A fresh frame has no mark. */
    d_step { ring3[c] = 0; irq_on[c] = 0; slow = 0 };
    d_step { kernel_gs[c] = 1; mark[current[c]] = 0 };
    if
    :: interrupts_on(c) /* a system call; a fault that may sleep */
    :: skip             /* an interrupt, an NMI */
    fi;

body: rest(c); /* Kernel code for a thread: system call, fault, signal delivery, trap_dispatch() of what came from ring 3. */
    if
    :: irq_on[c] = 0; /* asi_exit(), or a fault on PHYSMAP: page_fault(), asi_physmap_fault() */
        leave(c);
        if :: interrupts_on(c) :: skip fi;
        goto body
    :: irq_on[c] = 0; /* sched_block(), sched_yield() */
        goto switch
    :: d_step { current[c] == A && !exists[B] -> make_thread(B, A) };
        goto body
    :: d_step {
            /* kernel/process.c: the roots of the last Q are free: nobody has them in CR3. cpu.loaded runs ahead of it. */
            current[c] == A && !exists[C] && loaded[0] != Q && loaded[CPUS - 1] != Q && root_process[0] != Q &&
            root_process[CPUS - 1] != Q ->
            forget_bits(0);
            if :: CPUS > 1 -> forget_bits(CPUS - 1) :: else fi;
            make_thread(C, A)
        };
        goto body
    :: current[c] != A -> goto die
    :: skip
    fi;

    /* arch/entry.asm: return_to_user, return_slow; kernel/return.c: return_to_user_work() */
#ifdef WORK_CHECKED_BEFORE_CLI
    slow = work_space[current[c]];
    irq_on[c] = 0;
#else
    irq_on[c] = 0;
    slow = work_space[current[c]];
#endif
    if
    :: slow ->
        d_step { /* asi/asi.c: asi_prepare_return() */
            work_space[current[c]] = 0;
            changes_root = (space[c] != RESTRICTED);
            flags = 0;
            if :: changes_root && (data_kernel[c] || data_other[c]) -> flags = DATA; data_kernel[c] = 0; data_other[c] = 0
               :: else fi
        };
        if
        :: changes_root -> /* arch/transition.asm: transition_enter */
#ifndef NO_DATA_FLUSH_AT_ENTER
            if :: flags & DATA -> data_flush(c) :: else fi;
#endif
            load_root(c, loaded[c], RESTRICTED);
            space[c] = RESTRICTED
        :: else
        fi;
        d_step { flags = 0; changes_root = 0 }
    :: else
    fi;
    d_step { slow = 0; kernel_gs[c] = 0 }; /* swapgs, then iretq or sysret */
    goto user;

switch: /* kernel/sched.c: switch_to() */
    if
    :: atomic { choose_next(c); prepare_switch(c) } /* queue lock */
    :: current[c] != IDLE -> goto body /* woken meanwhile: sched_block(); nobody else ready: sched_yield() */
    :: current[c] == IDLE -> goto idle /* the queue is empty */
    fi;
    if /* arch/transition.asm: context_switch */
    :: changes_root ->
        if :: flags & CONTROL -> control_flush(c) :: else fi;
        if :: flags & DATA -> data_flush(c) :: else fi;
        load_root(c, to, wanted);
        space[c] = wanted
    :: else
    fi;
resumed: skip;
    d_step { finish_switch(c) };
    if
    :: current[c] == IDLE -> goto idle
    :: current[c] != IDLE -> if :: interrupts_on(c) :: skip fi; goto body
    fi;

die: skip; /* kernel/exit.c: thread_exit(), leave(); kernel/sched.c: sched_leave(); arch/transition.asm: context_die */
    d_step { dying[c] = 1; irq_on[c] = 0 };
    if
    :: space[c] == RESTRICTED && stack_dirty[current[c]] -> leave(c)
    :: else
    fi;
    atomic { choose_next(c); prepare_switch(c) };
    if :: flags & CONTROL -> control_flush(c) :: else fi;
#ifdef STACK_CLEARED_AFTER_FLUSH
    if :: flags & DATA -> data_flush(c) :: else fi;
    buffers[c] = buffers[c] | process_of(previous);
#else
    buffers[c] = buffers[c] | process_of(previous); /* the writes bring in the lines they clear */
    if :: flags & DATA -> data_flush(c) :: else fi;
#endif
    if
    :: changes_root ->
        load_root(c, to, wanted);
        space[c] = wanted
    :: else
    fi;
    goto resumed;

idle:   /* kernel/sched.c: sched_idle(). Interrupts are on while it waits. */
    rest(c);
    interrupts_on(c);
    irq_on[c] = 0;
    if
    :: goto idle
    :: goto switch
    fi
}

/* An interrupt of kernel code. arch/entry.asm: interrupted_kernel; arch/traps.c: trap_dispatch(). Its handler may
 * touch PHYSMAP, which is a fault within it; it returns to what it interrupted, in whatever space that leaves. */
proctype irq(byte c) provided (!in_nmi[c]) {
end:
    do
    :: d_step { irq_on[c] && !ring3[c] && !in_irq[c] && space[c] == RESTRICTED -> in_irq[c] = 1; irq_on[c] = 0 };
        leave(c);
        d_step { in_irq[c] = 0; irq_on[c] = 1 }
    od
}

/* An NMI or machine check in kernel code, at any step. arch/entry.asm: nested_common; arch/traps.c:
 * trap_dispatch_nested(). One from ring 3 takes the way of any interrupt: see user. */
proctype nmi(byte c) {
    bit gs, root, found;
end:
    do
    :: d_step {
            !in_nmi[c] && !ring3[c] ->
            in_nmi[c] = 1;
            gs = kernel_gs[c];
            root = root_space[c];
            check_flushes(c)
        };
#ifndef NMI_TRUSTS_GS
        kernel_gs[c] = 1; /* by the CPU's address at the end of the stack it runs on */
#endif
        must(NEST, kernel_gs[c]); /* this_cpu is used here */
#ifdef NMI_TOUCHES_PHYSMAP
        if
        :: space[c] == RESTRICTED -> leave(c)
        :: else
        fi;
#endif
        d_step {
            kernel_gs[c] = gs;
            must(NEST, root_space[c] == root);
            in_nmi[c] = 0;
            gs = 0; root = 0
        }
    od
}

init {
    byte i;
    d_step {
        do
        :: i < CPUS && i < 2 ->
            root_process[i] = K; root_space[i] = RESTRICTED; space[i] = RESTRICTED;
            loaded[i] = K; current[i] = IDLE; kernel_gs[i] = 1; buffers[i] = K;
            i++
        :: else -> break
        od;
        i = 0;
#ifdef QUIET
        waits[1] = 1;
#endif
        exists[A] = 1; first_run[A] = 1; work_space[A] = 1
    };
    atomic {
        do
        :: i < CPUS -> 
            run cpu(i);
#ifndef QUIET
            run irq(i); run nmi(i);
#endif
            i++
        :: else -> break
        od
    }
}
