/*
 * The system call that Penumbra has and Linux has not: how user space reads and sets the isolation.
 *
 * Shared by the kernel and user programs (asictl, asistat, asibench, tests), so it holds plain C types only.
 * On Linux the number is unassigned and the call fails with ENOSYS, which is how a program tells the two apart.
 *
 * Everything that it reports is metadata (counts, kernel addresses, names of kernel functions): nothing here is secret.
 */
#ifndef ASI_ABI_H
#define ASI_ABI_H

#include <stdint.h>

/* long asi(long op, long arg, void *buffer, size_t size); negative errno on failure. */
#define SYS_ASI 1000

/* Those that change something need uid 0. */
enum asi_op {
    ASI_OP_STATE = 0,     /* buffer: struct asi_state, out */
    ASI_OP_SET_MODE = 1,  /* arg: enum asi_mode. uid 0 */
    ASI_OP_SET_FLUSH = 2, /* buffer: struct asi_flush, in. uid 0 */
    ASI_OP_COUNTERS = 3,  /* arg: ASI_SCOPE_ALL, ASI_SCOPE_CPU(n) or a pid (0: the caller). buffer: asi_counters, out */
    ASI_OP_SITES = 4,     /* buffer: array of struct asi_site, out. Returns how many; most frequent first */
    ASI_OP_SYMBOL = 5,    /* arg: a kernel address. buffer: char[], out: "name+0xoffset". Returns its length */
    ASI_OP_AUDIT = 6,     /* arg: enum asi_break, what to break first. buffer: struct asi_audit_report, out. uid 0 */
    ASI_OP_MEMORY = 7,    /* buffer: struct asi_memory, out */
    ASI_OP_RESET = 8,     /* zero all counters and sites. uid 0 */
    ASI_OP_EXIT = 9,      /* leave the restricted space on purpose (cause `debug`), to measure what one exit costs */
    ASI_OP_SET_VIEWS = 15, /* arg: enum asi_views. uid 0 */
    ASI_OP_DOMAINS = 16,   /* buffer: array of struct asi_domain, out: those that have members. Returns how many */
    ASI_OP_TRUST = 17,     /* buffer: struct asi_trust_change, in. uid 0, or what PR_ASI_TRUST may do */
    ASI_OP_MOVE = 18,      /* buffer: struct asi_move, in: puts a process into a domain. uid 0 */
    ASI_OP_SCAN = 20,  /* buffer: struct asi_scan, in and out: look for a pattern in all that the caller maps. uid 0 */
    ASI_OP_TALLY = 19, /* arg 1: begin; 0: end. buffer for 0: struct asi_tally, out. uid 0 */
    /* Torture (docs/nest.md): uid 0, and the boot option torture=1. */
    ASI_OP_NEST = 21,        /* buffer: struct asi_nest, in: begin on this CPU; without a buffer: end */
    ASI_OP_NEST_REPORT = 22, /* buffer: struct asi_nest_report, out */
    ASI_OP_NMI_STORM = 23,   /* arg: a CPU. size: how many NMIs it is sent, with random pauses */
};

#define ASI_SCOPE_ALL    (-1L)
#define ASI_SCOPE_CPU(n) (-2L - (n))

enum asi_mode { ASI_MODE_NONE, ASI_MODE_CLASSIC, ASI_MODE_NAIVE, ASI_MODE_ASI, ASI_MODES };

/*
 * How mode `asi` gets at a file's page: by a view that lasts while the file is open, or by one for each use whose
 * translation is flushed in batches or at once. The first is the kernel's; the others are there to be compared with it.
 */
enum asi_views { ASI_VIEWS_OPEN, ASI_VIEWS_BATCH, ASI_VIEWS_EACH, ASI_VIEW_DESIGNS };

/* Why the restricted space was left. */
enum asi_cause {
    ASI_CAUSE_FILE,  /* page-cache page read or written */
    ASI_CAUSE_ZERO,  /* a frame cleared */
    ASI_CAUSE_COW,   /* a page copied */
    ASI_CAUSE_IPC,   /* pipe or message buffer */
    ASI_CAUSE_FORK,  /* a child built */
    ASI_CAUSE_EXEC,  /* a program image built */
    ASI_CAUSE_TABLE, /* another page table edited */
    ASI_CAUSE_DEATH, /* a process taken down */
    ASI_CAUSE_MODE,  /* a mode switch in progress */
    ASI_CAUSE_DEBUG, /* asked for: audit, asictl, tests, panic */
    ASI_CAUSE_OTHER, /* anything else that touched PHYSMAP */
    ASI_CAUSES
};

enum asi_flush_kind { ASI_FLUSH_OFF, ASI_FLUSH_AUTO, ASI_FLUSH_COST };

/* `cost`: TSC ticks charged where the instruction would stand. */
struct asi_flush {
    uint32_t kind; /* enum asi_flush_kind */
    uint32_t ibpb_ticks;
    uint32_t verw_ticks;
    uint32_t cr3_ticks;
};

struct asi_state {
    uint32_t mode; /* enum asi_mode */
    uint32_t cpus;
    struct asi_flush flush;
    uint32_t has_ibpb, has_md_clear, has_pcid, has_smap; /* 0 or 1: what CPUID reports */
    uint64_t tsc_hz;
    uint64_t boot_to_user_ticks; /* TSC ticks from the kernel's first instruction to the first user instruction */
};

struct asi_counters {
    uint64_t exits[ASI_CAUSES]; /* restricted → unrestricted */
    uint64_t enters;            /* unrestricted → restricted, on the way to user space */
    uint64_t cr3_writes;        /* all of them, whatever for */
    uint64_t control_flushes;   /* IBPB with return-stack stuffing, done or charged */
    uint64_t data_flushes;      /* VERW, done or charged */
    uint64_t process_switches;
    uint64_t thread_switches; /* within one process */
    uint64_t idle_switches;   /* to idle and from idle to the thread that last ran */
    uint64_t syscalls_unknown;
    uint64_t page_faults;
    uint64_t views_mapped;  /* EPHMAP entries written */
    uint64_t views_revoked; /* EPHMAP entries cleared because access was lost */
    uint64_t tlb_flushes;   /* of everything */
    uint64_t page_flushes;  /* of one page */
    uint64_t shootdowns;    /* requests to other CPUs to forget translations */
    uint64_t ipis_sent;     /* interrupts that those took: one for each CPU that may have them */
    uint64_t tag_hits;      /* CR3 writes that kept translations: docs/pcid.md */
    uint64_t idle_ns;       /* CPUs had nothing to run; a process's is 0. ASI_OP_RESET leaves it */
};

struct asi_site {
    uint64_t address; /* kernel instruction that left the restricted space */
    uint32_t cause;   /* enum asi_cause */
    uint32_t reserved;
    uint64_t count;
};

struct asi_memory {
    uint64_t frames_total;
    uint64_t frames_free;
    uint64_t frames_global;
    uint64_t frames_local;
    uint64_t frames_user;
    uint64_t frames_secret;
    /* What processes keep as long as they live, by no doing of the caller's. */
    uint64_t frames_of_others;  /* LOCAL and USER ones of all other processes */
    uint64_t frames_of_views;   /* LOCAL ones of the caller: its tables for windows */
    uint64_t frames_of_spares;  /* SECRET ones: each thread's empty message buffer */
    uint64_t heap_of_spares;    /* bytes: those buffers' records, and the records of windows that outgrew their sets */
    uint64_t global_heap_bytes; /* in use, all of them */
    uint64_t processes;
    uint64_t threads;
};

/*
 * Trust (docs/trust.md). Operations of prctl(), by numbers that Linux does not use: there they fail with EINVAL.
 * A domain is a number from 1 to 63; 0 is "private": no label.
 */
#define ASI_DOMAINS 64
enum asi_prctl {
    PR_ASI_DOMAIN_NEW = 0x50454e01,   /* makes a domain with the caller in it; returns its number. EAGAIN: none left */
    PR_ASI_DOMAIN_GET = 0x50454e02,   /* returns the caller's domain, or 0 */
    PR_ASI_DOMAIN_LEAVE = 0x50454e03, /* the caller becomes private */
    PR_ASI_TRUST = 0x50454e04,  /* (peer, on): whether the caller's domain trusts `peer`. Its owner's uid, or uid 0 */
    PR_ASI_TRUSTS = 0x50454e05, /* (peer): returns ASI_TRUSTS_* bits */
};
#define ASI_TRUSTS_PEER 1 /* the caller's domain trusts the peer */
#define ASI_TRUSTS_US   2 /* the peer trusts the caller's domain */

struct asi_domain {
    uint32_t number;
    uint32_t members; /* processes; those that have ended but were not waited for are counted */
    uint32_t owner;   /* uid of its maker */
    uint32_t reserved;
    uint64_t trusts; /* bit n: domain n may see its data and train its predictors */
};

struct asi_trust_change {
    uint32_t domain, peer; /* whether `domain` trusts `peer` */
    uint32_t trusts;       /* 0 or 1 */
};

struct asi_move {
    uint32_t pid;    /* 0: the caller */
    uint32_t domain; /* 0: none */
};

/*
 * Pages that were mapped in the restricted space of the process that had most of its own, of those that ended while the
 * count was on. By region, as the process left them: before its memory was taken down.
 */
struct asi_tally {
    uint64_t processes; /* that ended meanwhile */
    uint64_t user;      /* its own memory, and files that it maps */
    uint64_t windows;   /* views of secret pages that it may see (EPHMAP) */
    uint64_t local;     /* of its kernel objects and stacks, and the CPUs' stacks */
    uint64_t global;    /* metadata and the kernel's image: the same for everybody */
    char name[16];      /* of its program */
};

/* What an audit may break on purpose first (and mend after), to show that it is seen. */
enum asi_break {
    ASI_BREAK_NOTHING,
    ASI_BREAK_REACH_SECRET,  /* a secret frame mapped in the caller's LOCAL region */
    ASI_BREAK_REACH_FOREIGN, /* a LOCAL frame of another process mapped in the caller's */
    ASI_BREAK_REACH_VIEW,    /* an EPHMAP view of a file the caller has not open */
    ASI_BREAK_REACH_FILLING, /* a view of a page that a pager is being asked for */
    ASI_BREAK_REACH_MOVED,   /* a file's page in the user half of a process that moves pages and has it not open */
    ASI_BREAK_CLEAN,         /* a byte written into a free frame */
    ASI_BREAK_GATE,          /* the unrestricted root recorded at a return to ring 3 */
    ASI_BREAKS
};

struct asi_audit_report {
    uint64_t spaces_walked;
    uint64_t leaves_checked;
    uint64_t free_frames_checked;
    uint64_t reach_violations;
    uint64_t clean_violations;
    uint64_t gate_violations;
    char first[160]; /* the first violation in words, or "" */
};

/*
 * A pattern of 8 bytes, given with `mask` over it, so that neither the request nor a register of the kernel's holds it
 * in plain. The scan reads every byte that the caller's restricted root maps, but devices and, with
 * ASI_SCAN_KERNEL_HALF, the user half.
 */
enum asi_scan_flags { ASI_SCAN_KERNEL_HALF = 1 };
struct asi_scan {
    uint64_t masked, mask; /* in: the pattern is masked ^ mask, at any alignment */
    uint64_t flags;        /* in: enum asi_scan_flags */
    uint64_t bytes;        /* out: how many were read */
    uint64_t pages;        /* out */
    uint64_t found;        /* out: how many matches */
    uint64_t first;        /* out: the address of the first, or 0 */
};

/* What strikes, and where it begins. */
enum asi_strike {
    ASI_STRIKE_NMI = 1,           /* int 2 in the debug handler: an NMI nested in a debug exception */
    ASI_STRIKE_MACHINE_CHECK = 2, /* int 18 likewise */
    ASI_STRIKE_FAULT = 4,         /* a page fault in the debug handler, resolved by the exception table */
    ASI_STRIKE_NMI_HERE = 8,      /* an NMI delivered to the interrupted instruction itself, and its handler stepped */
    ASI_STRIKE_MACHINE_CHECK_HERE = 16,
    ASI_STRIKE_USER_HERE = 32, /* both of these on the way into user code */
};
#define ASI_NEST_STARTS 3
struct asi_nest {
    uint32_t strikes; /* enum asi_strike bits */
    uint32_t one_in;  /* instructions, on average, for a strike; 1: each */
    uint32_t through; /* step through C code, too */
    uint32_t reserved;
    uint64_t seed;
    char start[ASI_NEST_STARTS][32]; /* labels of arch/ where stepping begins: "syscall_entry", "stub 14" */
};
#define ASI_NEST_TEXT 16384 /* bytes: more than entry and transition code have */
struct asi_nest_report {
    uint64_t steps;                        /* instructions stepped over, of them */
    uint64_t covered_steps;                /* … in entry and transition code */
    uint64_t nmis, machine_checks, faults; /* that struck */
    uint64_t delivered;                    /* … of which to the interrupted instruction itself */
    uint64_t resumed;                      /* … of those, whose interrupted code was found as it had been left */
    uint64_t user_strikes;                 /* … of those, that met user code */
    uint64_t checks;                       /* of the CPU's state */
    uint64_t violations;
    char first[160];                    /* the first violation in words, or "" */
    uint64_t text;                      /* the address that bit 0 of these stands for; a bit for each byte */
    uint8_t stepped[ASI_NEST_TEXT / 8]; /* instructions that were stepped over */
    uint8_t struck[ASI_NEST_TEXT / 8];  /* … and at which a strike was delivered */
};

#endif
