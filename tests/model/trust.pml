/*
 * Trust: a CPU's history, by the numbers of domains, against what truly happened, while trust changes. FLUSH-CONTROL,
 * or FLUSH-DATA with -D DATA.
 *
 * Two CPUs; processes 0 and 1 of domain 1, process 2 of domain 2, on either CPU. At any time they switch and give
 * trust, and take it back; or, with -D MEMBERS, process 2 leaves its domain, makes one, exits and is forked again.
 * `truth` is whose code ran (whose data was used) on a CPU since the last flush, by process; `history` is what the
 * kernel knows. A step is what another CPU can see apart from the next. docs/model.md has the whole; transition.pml
 * the crossings, where everybody distrusts everybody.
 *
 * -D NAME builds one mistake in: see tests/model/run.
 */
#define PROCESSES 3
#define PRIVATE 0
#define bit_of(n) (1 << (n))
#define PAST(d) bit_of(PROCESSES + (d)) /* in truth: processes of domain d that are gone; d = 0: of nobody's */

/* struct process, struct domain (asi/trust.c). The sets have the domain itself in them; the private one's are empty. */
byte domain[PROCESSES];
bit alive[PROCESSES], work[PROCESSES]; /* WORK_SPACE */
byte trusts[3], trusted_by[3];
bit lock; /* processes_lock */

/* struct cpu: */
byte loaded[2];
byte history[2];
bit stale[2]; /* its generation is not the present one */
bit kick[2];  /* an interrupt is on its way to it */

byte truth[2];
/* What is there by right for who is loaded, or was when the switch to it began, though it would not be now: of a domain
 * that has lost its last member, of a process that has moved. To whoever comes next it is owed. */
byte excused[2], late[2];
bit switching[2];

#ifdef ONE_WAY_PAYS_NOTHING
#define owed_set(d) (trusts[d] | trusted_by[d])
#elif defined(DATA)
#define owed_set(d) trusted_by[d]
#else
#define owed_set(d) trusts[d]
#endif
#ifdef DATA
#define accepts(d, other) (trusts[other] & bit_of(d)) /* the other trusts d */
#else
#define accepts(d, other) (trusts[d] & bit_of(other))
#endif

#define related(p, d) (domain[p] != PRIVATE && (d) != PRIVATE && accepts(domain[p], d))
#define fine(c, p, q) (!(truth[c] & bit_of(q)) || (p) == (q) || related(p, domain[q]))
#define fine_past(c, p, d) (!(truth[c] & PAST(d)) || related(p, d))

/* A process runs with nobody's training, and nobody's data is in its reach, but those that trust says. While a change
 * is being made, or the interrupt that tells of it is on its way, the old order may hold. */
inline check_user(c, p) {
    assert(lock || kick[c] || (truth[c] & ~excused[c]) == 0 ||
           (((excused[c] & 1) || fine(c, p, 0)) && ((excused[c] & 2) || fine(c, p, 1)) &&
            ((excused[c] & 4) || fine(c, p, 2)) && !(truth[c] & ~excused[c] & PAST(0)) &&
            ((excused[c] & PAST(1)) || fine_past(c, p, 1)) && ((excused[c] & PAST(2)) || fine_past(c, p, 2))))
}

/* asi/trust.c: begin_generation() */
inline new_generation(c) {
#ifdef CHANGE_SEEN_HERE_ONLY
    stale[c] = 1
#else
    d_step { stale[0] = 1; stale[1] = 1 }
#endif
}

/* asi/trust.c: send_through_gate(); kernel/sched.c: sched_kick(). The own thread passes it on its way back. */
inline gate(c, p) {
#ifndef NOBODY_SENT_THROUGH_GATE
    work[p] = 1;
    if :: loaded[1 - c] == p || switching[1 - c] -> kick[1 - c] = 1 :: else fi
#else
    skip
#endif
}

inline forget_names(set) {
    if :: set != 0 -> set = set | bit_of(PRIVATE) :: else fi
}

/* asi/trust.c: trust_debts(); `left` is 0 where nobody is left. What it decides on is read before the generation. */
inline debts(c, p) {
#ifdef GENERATION_READ_FIRST
    now = stale[c];
    allowed = owed_set(domain[p]);
#else
    allowed = owed_set(domain[p]);
    now = stale[c];
#endif
    d_step {
        met = history[c] | left;
        if
        :: now -> stale[c] = 0; forget_names(history[c]); forget_names(met)
        :: else
        fi;
        flush = ((met & ~allowed) != 0);
        met = 0; allowed = 0; now = 0
    }
}

inline excuse(c, what) {
    excused[c] = excused[c] | (what);
    if :: switching[c] -> late[c] = late[c] | (what) :: else fi
}

inline forget_domain(c, d) {
    if
    :: truth[c] & PAST(d) -> truth[c] = (truth[c] & ~PAST(d)) | PAST(0); excuse(c, PAST(0))
    :: else
    fi
}

inline collected(c, d) {
    if
    :: truth[c] & bit_of(2) ->
        truth[c] = (truth[c] & ~bit_of(2)) | PAST(d);
        if :: excused[c] & bit_of(2) -> excused[c] = (excused[c] & ~bit_of(2)) | PAST(d) :: else fi
    :: else
    fi
}

/* A domain that has lost its last member. asi/trust.c: leave(), free_domain() */
inline leave_domain(d) {
    if
    :: d != PRIVATE && domain[0] != d && domain[1] != d && domain[2] != d ->
        trusts[3 - d] = trusts[3 - d] & ~bit_of(d);
        trusted_by[3 - d] = trusted_by[3 - d] & ~bit_of(d);
        trusts[d] = 0; trusted_by[d] = 0;
        forget_domain(0, d);
        forget_domain(1, d)
    :: else
    fi
}

/* asi/trust.c: trust_new_domain(), move(). Lock held. */
inline move(c, p, d) {
    if
    :: trusts[d] == 0 && d != PRIVATE -> /* a free number */
#ifndef NUMBER_REUSED_UNNOTICED
        new_generation(c);
#endif
        d_step { trusts[d] = bit_of(d); trusted_by[d] = bit_of(d) }
    :: else
    fi;
    d_step {
        old = domain[p];
        domain[p] = d;
        if :: loaded[0] != p -> excuse(0, truth[0] & bit_of(p)) :: else fi;
        if :: loaded[1] != p -> excuse(1, truth[1] & bit_of(p)) :: else fi
    };
#ifndef NUMBER_REUSED_UNNOTICED
    new_generation(c);
#endif
    d_step { leave_domain(old); gate(c, p); old = 0 }
}

inline take_lock() { atomic { !lock -> lock = 1 } }

inline take_trust_back(c, d) {
    d_step { trusts[d] = trusts[d] & ~bit_of(3 - d); trusted_by[3 - d] = trusted_by[3 - d] & ~bit_of(d) };
    new_generation(c);
    d_step {
        if :: domain[0] != PRIVATE -> gate(c, 0) :: else fi;
        if :: domain[1] != PRIVATE -> gate(c, 1) :: else fi;
        if :: domain[2] != PRIVATE -> gate(c, 2) :: else fi;
        lock = 0
    }
}

proctype cpu(byte c) {
    byte self = 0, next = 0, left = 0, met = 0, allowed = 0, old = 0;
    bit flush = 0, now = 0;
    self = c;

user: skip; /* ring 3, and then the kernel: a system call, or an interrupt */
    d_step { check_user(c, self); truth[c] = truth[c] | bit_of(self); kick[c] = 0 };
    if
    :: goto back
    :: /* kernel/sched.c: switch_to() */
        atomic {
            if
            :: alive[0] && loaded[0] != 0 && loaded[1] != 0 -> next = 0
            :: alive[1] && loaded[0] != 1 && loaded[1] != 1 -> next = 1
            :: alive[2] && loaded[0] != 2 && loaded[1] != 2 -> next = 2
            fi;
            switching[c] = 1;
#ifdef MEMBERS
            late[c] = (lock -> bit_of(2) : 0); /* it may read what is half changed */
#endif
            loaded[c] = next; /* so that the other CPU does not take it; `self` is what CR3 says */
        };
        left = bit_of(domain[self]);
        debts(c, next);
        d_step {
#ifndef HISTORY_FORGOTTEN
            history[c] = history[c] | bit_of(domain[self]);
#endif
            if :: flush -> history[c] = 0; truth[c] = 0 :: else fi;
            excused[c] = late[c] & truth[c];
            late[c] = 0;
            switching[c] = 0;
            self = next; next = 0; left = 0; flush = 0
        }
#ifdef MEMBERS
    :: d_step { /* a child of its domain, in the slot of one that is gone: kernel/fork.c, trust_inherit() */
            !lock && !alive[2] -> alive[2] = 1; domain[2] = domain[self]; work[2] = 1
        }
    :: d_step { /* a dead one is collected: trust_forget_process(). No new generation. */
            !lock && alive[2] && loaded[0] != 2 && loaded[1] != 2 && !switching[1 - c] ->
            alive[2] = 0; old = domain[2]; domain[2] = PRIVATE; work[2] = 0;
            collected(0, old);
            collected(1, old);
            leave_domain(old);
            old = 0
        }
    :: self == 2 -> /* a domain of its own, if a number is free; or none */
        take_lock();
        if
        :: trusts[2] == 0 -> move(c, self, 2)
        :: domain[2] != PRIVATE -> move(c, self, PRIVATE)
        :: else
        fi;
        lock = 0
#else
    :: take_lock(); take_trust_back(c, 1)
    :: take_lock(); take_trust_back(c, 2)
    :: d_step { !lock && trusts[1] != 0 && trusts[2] != 0 -> trusts[2] = trusts[2] | 2; trusted_by[1] = trusted_by[1] | 4 }
#endif
    :: d_step { !lock && trusts[1] != 0 && trusts[2] != 0 -> trusts[1] = trusts[1] | 4; trusted_by[2] = trusted_by[2] | 2 }
    fi;

back: /* kernel/return.c; asi/asi.c: asi_prepare_return(), pay_after_change(). Interrupts are off: a kick waits. */
    if
    :: d_step { !work[self] || !stale[c] -> work[self] = 0 }
    :: d_step { work[self] && stale[c] -> work[self] = 0 };
        debts(c, self);
        d_step { if :: flush -> history[c] = 0; truth[c] = 0; excused[c] = 0 :: else fi; flush = 0 }
    fi;
    goto user
}

init {
    d_step {
        alive[0] = 1; alive[1] = 1; alive[2] = 1;
        domain[0] = 1; domain[1] = 1; domain[2] = 2;
        trusts[1] = bit_of(1); trusts[2] = bit_of(2);
        trusted_by[1] = bit_of(1); trusted_by[2] = bit_of(2);
        loaded[0] = 0; loaded[1] = 1
    };
    atomic { run cpu(0); run cpu(1) }
}
