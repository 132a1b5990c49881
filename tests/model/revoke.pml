/*
 * Windows and their end: close and truncate against the reuse of the frame, on two CPUs. REVOKE.
 *
 * One object with one page in one frame; two processes, each with a thread for each CPU, that open, read, close,
 * truncate and extend it. The TLBs fill by themselves whenever an entry is there to be walked. No PCID: a CR3 write
 * empties the TLB.
 *
 * The protocol of several CPUs; with one, `shoot_down` and the masks that it reads are not there (marked SMP below).
 *
 * -D NAME builds one mistake in: see tests/model/run.
 */
#define P 0 /* processes */
#define Q 1

/* Owner of the frame, in its order of life (mm/frame.h). */
mtype = {IN_OBJECT, ON_ITS_WAY_OUT, FREE, SECRET_OF_ANOTHER};
mtype owner = IN_OBJECT;

/* The CPUs. */
byte root[2];      /* CR3: whose */
bit window_tlb[2]; /* the TLB has the window of `root` on the frame */
bit scratch_tlb[2]; /* … a scratch view on a page table of the other process */
bit irq_on[2];
bit request[2]; /* a shootdown IPI and its acknowledgement, SMP */

/* The processes. */
bit open_handle[2]; /* struct object_view_set: one open or none (mm/view_set.c) */
bit window[2];      /* the page-table entry (mm/ephmap.c: ephmap_map_window) */
byte cpu_mask[2];   /* bit per CPU that may have the root loaded, SMP */

bit object_lock, views_lock;

inline lock(which) { atomic { !which -> which = 1 } }
inline unlock(which) { which = 0 }

#define revoked(p) (!(window_tlb[0] && root[0] == p) && !(window_tlb[1] && root[1] == p))
#define nowhere_mapped (!window_tlb[0] && !window_tlb[1])

/* The page walk: at any time, without being asked. */
active proctype hardware() {
end:
    do
    :: atomic { window[root[0]] && !window_tlb[0] -> window_tlb[0] = 1 }
    :: atomic { window[root[1]] && !window_tlb[1] -> window_tlb[1] = 1 }
    od
}

/* The IPI's handler, SMP. */
proctype receiver(byte c) {
end:
    do
    :: atomic { request[c] && irq_on[c] -> window_tlb[c] = 0 };
        request[c] = 0
    od
}

/* SMP: the CPUs of `mask` but this one forget the window; returns when they have. It waits with locks held, so those
 * who wait for the locks must take IPIs: views_lock and the object's are never awaited with interrupts off. */
inline shoot_down(c, mask) {
#ifdef NO_SHOOTDOWN
    skip
#else
    if
    :: (mask) & (1 << (1 - c)) -> request[1 - c] = 1; !request[1 - c]
    :: else
    fi
#endif
}

/* kernel/sched.c: switch_to(), arch/transition.asm: context_switch. Interrupts off. */
inline switch_to_process(c, to) {
    irq_on[c] = 0;
    from = root[c];
#ifndef MASK_SET_AFTER_LOAD
    cpu_mask[to] = cpu_mask[to] | (1 << c);
#endif
    d_step { root[c] = to; window_tlb[c] = 0; scratch_tlb[c] = 0 };
#ifdef MASK_SET_AFTER_LOAD
    cpu_mask[to] = cpu_mask[to] | (1 << c);
#endif
    cpu_mask[from] = cpu_mask[from] & ~(1 << c);
    d_step { irq_on[c] = 1; from = 0 }
}

/* mm/object.c: object_read(), read_page(); mm/ephmap.h: ephmap_window(). The handle was looked up (kernel/handles.c:
 * handle_get()) and may be closed since: then a scratch view serves, flushed as it is put. */
inline read(c, p) {
    lock(object_lock);
    if
    :: owner == IN_OBJECT ->
        if
        :: window[p] -> held = 1
        :: !window[p] ->
            lock(views_lock);
            if
            :: open_handle[p] -> d_step { window[p] = 1; held = 1 }
            :: else
            fi;
            unlock(views_lock)
        :: else
        fi;
        if
        :: held ->
            assert(window[p] || window_tlb[c]); /* else the copy faults where nothing resolves it */
            assert(owner == IN_OBJECT);
            held = 0
        :: else
        fi
    :: else
    fi;
    unlock(object_lock)
}

/* mm/view_set.c: ephmap_open(), by way of handle_install() */
inline open(c, p) {
#ifdef LOCK_AWAITED_WITH_INTERRUPTS_OFF
    irq_on[c] = 0;
#endif
    lock(views_lock);
    open_handle[p] = 1;
    unlock(views_lock);
    irq_on[c] = 1
}

/* mm/view_set.c: ephmap_close(); mm/ephmap.c: view_set_revoke(). SMP: the object's lock, which whoever copies holds;
 * else the window of a call in progress on the other CPU goes while it is used. */
inline close(c, p) {
#ifndef CLOSE_WITHOUT_OBJECT_LOCK
    lock(object_lock);
#endif
    lock(views_lock);
    open_handle[p] = 0;
#ifdef FLUSHED_BEFORE_CLEARED
    window_tlb[c] = 0;
    shoot_down(c, cpu_mask[p]);
    window[p] = 0;
#else
    window[p] = 0;
    window_tlb[c] = 0; /* tlb_forget */
    shoot_down(c, cpu_mask[p]);
#endif
    d_step {
        assert(revoked(p) || open_handle[p]); /* REVOKE: once the operation returns */
        views_lock = 0
    };
#ifndef CLOSE_WITHOUT_OBJECT_LOCK
    unlock(object_lock)
#endif
}

/* mm/object.c: object_resize(), drop_page(); mm/ephmap.c: ephmap_revoke_frame(), clear_foreign_window(); mm/gather.c:
 * gather_flush(). A page that leaves the object: all windows, all CPUs, then the scrub, then the free list. */
inline truncate(c, p) {
    lock(object_lock);
    if
    :: owner == IN_OBJECT ->
        owner = ON_ITS_WAY_OUT;
        lock(views_lock);
        window[p] = 0;
        window_tlb[c] = 0;
        if
        :: window[1 - p] ->
            scratch_tlb[c] = 1; /* the other's page table, seen from here */
            window[1 - p] = 0;
#ifndef SCRATCH_FLUSHED_LATE
            scratch_tlb[c] = 0 /* SMP: ephmap_flush() before the lock is let go */
#endif
        :: else
        fi;
        unlock(views_lock);
#ifdef FREED_BEFORE_SHOOTDOWN
        owner = FREE;
        shoot_down(c, cpu_mask[P] | cpu_mask[Q]);
#else
        shoot_down(c, cpu_mask[P] | cpu_mask[Q]);
        owner = FREE; /* scrubbed by now, through a scratch view that is flushed */
#endif
        scratch_tlb[c] = 0
    :: else
    fi;
    unlock(object_lock)
}

/* mm/object.c: add_page(), frame_alloc(); or the frame becomes another object's, a process's, a page table. */
inline reuse(c) {
    if
    :: atomic { owner == FREE -> assert(nowhere_mapped); owner = SECRET_OF_ANOTHER } /* REVOKE: before the frame is reused */
    :: atomic { owner == SECRET_OF_ANOTHER -> owner = FREE }
    :: lock(object_lock);
        if
        :: atomic { owner == FREE -> assert(nowhere_mapped); owner = IN_OBJECT }
        :: else
        fi;
        unlock(object_lock)
    :: else
    fi
}

/* kernel/exit.c: take_process_down(), of a process whose threads have all left: its page tables go to the free list. */
inline free_tables() {
    lock(views_lock);
    assert(!scratch_tlb[0] && !scratch_tlb[1]);
    unlock(views_lock)
}

proctype cpu(byte c) {
    bit held = 0, from = 0;
end:
    do
    :: switch_to_process(c, 1 - root[c])
    :: read(c, root[c])
    :: open(c, root[c])
    :: open_handle[root[c]] -> close(c, root[c])
    :: truncate(c, root[c])
    :: reuse(c)
    :: free_tables()
    od
}

init {
    d_step {
        root[0] = P; root[1] = Q;
        cpu_mask[P] = 1; cpu_mask[Q] = 2;
        irq_on[0] = 1; irq_on[1] = 1
    };
    atomic { run receiver(0); run receiver(1); run cpu(0); run cpu(1) }
}
