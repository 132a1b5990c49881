/*
 * What belongs to one CPU. Class GLOBAL: no user data is kept here but for the instant of a system call's entry, when
 * `user_rsp` holds the stack pointer of the thread that is running (a register value of its own, overwritten by the
 * next).
 *
 * One page per CPU, in .entry.data, because mode `classic` maps it (and no other data) in the user root.
 */
#ifndef ARCH_CPU_H
#define ARCH_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "asi/abi.h"
#include "mm/addrmap.h"

#define CPU_MAX 64

struct thread;
struct process;

/* Which of the roots is loaded. (Classic's user root never is while C code runs.) */
enum space { SPACE_RESTRICTED, SPACE_UNRESTRICTED };

/* Taints: what has happened since the last flush. See asi/asi.c for which crossing they make pay. */
enum taint {
    TAINT_DATA_KERNEL = 4, /* unrestricted kernel code left data in the buffers */
};

struct cpu_counters {
    uint64_t exits[ASI_CAUSES];
    uint64_t enters, cr3_writes, control_flushes, data_flushes;
    uint64_t process_switches, thread_switches, idle_switches;
    uint64_t syscalls_unknown, page_faults, views_mapped, views_revoked, tlb_flushes, page_flushes;
    uint64_t tag_hits;              /* CR3 writes that kept translations */
    uint64_t shootdowns, ipis_sent; /* requests to other CPUs; interrupts that they took */
};

/* For counters that several CPUs add to: a process's. Those of a CPU are its own. */
static inline void counter_add(uint64_t *counter, uint64_t n) { __atomic_fetch_add(counter, n, __ATOMIC_RELAXED); }

struct cpu {
    struct cpu *self;
    /* Entry code's own. Guarded by: this CPU with interrupts off. */
    uint64_t user_rsp;      /* system-call entry: the user's stack pointer for a moment */
    uint64_t stack_top;     /* of the running thread's kernel stack */
    uint64_t kernel_root;   /* CR3 value for kernel code when `split` (mode classic) */
    uint64_t user_root;     /* CR3 value for user code when `split` */
    uint64_t root_keep;     /* what user_root becomes by being loaded: ROOT_KEEP, or 0 where there is no PCID */
    uint64_t scratch;       /* split return: one register, for five instructions */
    uint8_t split;          /* mode classic: kernel entry and exit switch roots */
    uint8_t space;          /* enum space that is loaded */
    uint8_t taints;         /* enum taint bits */
    uint8_t expected_cause; /* enum asi_cause of a PHYSMAP fault, should one come */
    uint32_t index;
    uint64_t loaded_root; /* the value last written to CR3 */
    /* Guarded by: this CPU, interrupts off to change. */
    struct thread *current;
    struct thread *idle;
    struct thread *dead_thread; /* left for good by the switch under way */
    struct thread *moving;      /* left by the switch under way, and not to run here again */
    struct thread *fpu_owner;   /* whose FPU state the registers hold */
    struct process *loaded;     /* whose tables CR3 has */
    struct process *left;       /* whose tables it had before the switch under way, or NULL */
    uint64_t views_held;        /* user memory may not be faulted in while > 0 */
    uint64_t scratch_held;      /* bit per scratch slot in use */
    uint64_t scratch_pending;   /* bit per scratch slot put since its translation was flushed */
    void *overflow_view;        /* a scratch view that stands in for a window, or NULL */
    uint32_t switch_flags;      /* CROSS_* flags of the last switch between threads */
    uint64_t locks_held;        /* bit per rank, debug builds */
    uint64_t control_history;   /* trust domains that ran here since the last IBPB, but the loaded process */
    uint64_t data_history;      /* … whose data was used here since the last VERW (asi/trust.c) */
    uint64_t trust_generation;  /* of the relation by which the histories are read */
    uint64_t apic_id;
    uint64_t home_root;       /* CR3 value that ring 3 must be entered from: the loaded process's, by the mode */
    uint64_t gate_checks;     /* arrivals from ring 3 whose root was compared */
    uint64_t gate_violations; /* … and was not the one the mode demands */
    struct cpu_counters counters;
    /* Descriptor tables: hardware formats, see arch/descriptors.c. */
    uint64_t gdt[9];
    uint8_t tss[104] __attribute__((aligned(16)));
    uint64_t entry_stack[64] __attribute__((aligned(16))); /* split mode: the CPU pushes here, entry code moves it on */
} __attribute__((aligned(PAGE_SIZE)));
_Static_assert(sizeof(struct cpu) == PAGE_SIZE, "one page: classic's user root maps exactly this");

extern struct cpu cpus[CPU_MAX];

/* The running CPU, as a %gs-relative object: `this_cpu->current` is one instruction. */
#define this_cpu ((__seg_gs struct cpu *)0)

/* Its plain address, for passing on. Stable only while the thread cannot move: kernel code is not preempted. */
static inline struct cpu *cpu_self(void) { return this_cpu->self; }
static inline struct thread *thread_current(void) { return this_cpu->current; }

/* Sets up descriptor tables, control registers, MSRs and per-CPU state of the CPU that calls. Interrupts off. */
void cpu_init(unsigned index);

/* Interrupt flag. irq_save returns whether they were on. Any context. */
static inline void irq_enable(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void irq_disable(void) { __asm__ volatile("cli" ::: "memory"); }
static inline bool irq_save(void) {
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags)::"memory");
    return flags & 0x200;
}
static inline void irq_restore(bool on) {
    if (on)
        irq_enable();
}

/* Waits for an NMI: for good. */
static inline void cpu_halt(void) { __asm__ volatile("cli; hlt" ::: "memory"); }

/*
 * RESIDUE: what the thread before has left in the registers that calls may change goes. For idle, before it turns
 * interrupts on: they push all registers, and its stack is GLOBAL.
 */
void cpu_forget_registers(void);

/* Waits for an interrupt with interrupts on; returns with them off. */
static inline void cpu_idle_wait(void) {
    cpu_forget_registers();
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

#endif
