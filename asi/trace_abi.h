/*
 * The trace as it lies in memory: what the kernel writes and tools/trace reads, from outside, by this header's names
 * (out of the kernel's debug information, so nothing of it is copied by hand).
 */
#ifndef ASI_TRACE_ABI_H
#define ASI_TRACE_ABI_H

#include <stdint.h>

#include "arch/cpu.h"

/*
 * What happened. `cause`, `address` and `value` by kind; what is not named is 0. A kernel address is one of text or of
 * an object; a frame is its physical address. A kind that has an _END is a span of the thread's time.
 */
enum trace_kind {
    TRACE_NONE,        /* no record yet */
    TRACE_SYSCALL,     /* value: number, or TRACE_UNKNOWN */
    TRACE_SYSCALL_END, /* likewise */
    TRACE_TRAP,        /* cause: vector; address: of the interrupted kernel instruction, 0: user code was */
    TRACE_TRAP_END,    /* cause: vector */
    TRACE_EXIT,        /* cause: enum asi_cause; address: the kernel instruction; value: number of the frame, or 0 */
    TRACE_EXIT_END,    /* out: the unrestricted root is loaded */
    TRACE_ENTER,       /* the way back begins: all of it lies before the thread's next user instruction */
    TRACE_SWITCH,      /* cause: enum trace_switch; value: the thread that is left. The record is the next one's */
    TRACE_RESUME,      /* the thread runs again, or for the first time */
    TRACE_FLUSH,       /* cause: enum trace_flush bits: what is executed here */
    TRACE_MAP,         /* cause: enum trace_view; address: the frame; value: number of the scratch slot */
    TRACE_REUSE,       /* likewise: a window that is there already */
    TRACE_UNMAP,       /* likewise; address 0: a scratch view, which the slot tells */
    TRACE_REVOKE,      /* address: the memory object; value: how many windows went */
    TRACE_COPY,        /* cause: 0 to user memory, 1 from it; value: bytes. While a view is held */
    TRACE_COPY_END,    /* likewise; value: bytes not copied */
    TRACE_CALL,        /* a message is sent; cause: 1 in registers; address: the endpoint; value: bytes */
    TRACE_CALL_END,    /* the answer is there; address: the call's token; value: enum status, or TRACE_NOT_DIRECT */
    TRACE_RECEIVE,     /* address: the call's token, 0: a notification */
    TRACE_REPLY,       /* cause: 1 in registers; address: the call's token; value: enum status, or TRACE_NOT_DIRECT */
    TRACE_NAME,        /* address: eight bytes of the process's name, from byte `cause` on */
    TRACE_KINDS
};

enum trace_switch { TRACE_GIVES_WAY, TRACE_SLEEPS, TRACE_ENDS, TRACE_WAS_IDLE };
enum trace_flush { TRACE_CR3 = 1, TRACE_IBPB = 2, TRACE_VERW = 4 };
enum trace_view { TRACE_WINDOW, TRACE_SCRATCH, TRACE_SCRUB, TRACE_COPIED_FROM, TRACE_COPIED_TO };

#define TRACE_UNKNOWN    UINT32_MAX /* no system call's number */
#define TRACE_NOT_DIRECT UINT32_MAX /* it could not cross in registers: the long way follows */

struct trace_record {
    uint64_t time; /* TSC */
    uint64_t address;
    uint32_t value;
    uint32_t thread;  /* id; 0: an idle thread */
    uint32_t process; /* id; 0: the kernel's own */
    uint8_t kind;     /* enum trace_kind */
    uint8_t cause;
    uint8_t space; /* enum space that is loaded */
    uint8_t lap;   /* 1 + how often the ring has gone round, modulo 256: written last */
};
_Static_assert(sizeof(struct trace_record) == 32, "two in a cache line");

/* One for each CPU. Guarded by: the CPU; `next` is moved by one instruction, which no NMI divides. */
struct trace_ring {
    uint64_t next; /* records begun since the start; more than there is room for are lost, oldest first */
    struct trace_record *records; /* GLOBAL, zero at first; NULL: not yet. Constant once set */
    struct cpu_counters before;   /* the CPU's at the first record: what is counted since must be in the trace, too */
} __attribute__((aligned(64)));

/* What the trace says of itself. Constant after trace_init(). */
struct trace_info {
    uint64_t records; /* in each ring: a power of two; 0: there is no trace */
    uint64_t sites;   /* branches that were redirected */
    uint64_t ticks;   /* of one record, as measured at start-up */
    uint64_t begin;   /* TSC at which it began */
};

extern struct trace_ring trace_rings[CPU_MAX];
extern struct trace_info trace_info;

#endif
