/*
 * Exceptions and interrupts, from the frame that arch/entry.asm built.
 *
 * Owns: who handles which vector. A fault of user code becomes a signal; a fault of kernel code is either one of the
 * three that are foreseen (user memory, PHYSMAP from the restricted space, a copy's landing) or the kernel's end.
 * Invariants: GATE (each arrival from ring 3 by interrupt compares the root), NEST. Interrupts are off on arrival.
 */
#include "arch/traps.h"
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/fpu.h"
#include "arch/msr.h"
#include "arch/spinlock.h"
#include "arch/trap_frame.h"
#include "asi/asi.h"
#include "asi/gate.h"
#include "asi/mutant.h"
#include "asi/nest.h"
#include "kernel/interrupt.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/signal.h"
#include "kernel/stop.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "mm/tlb.h"
#include "mm/vm.h"

enum { EXCEPTIONS = 32, NMI = 2, DEBUG_TRAP = 1, PAGE_FAULT = 14, X87_ERROR = 16, SIMD_ERROR = 19 };
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_RESERVED = 8, PF_EXECUTE = 16 };
enum { SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9, SIGSEGV = 11 };
enum {
    SI_KERNEL = 0x80,
    FPE_INTDIV = 1,
    ILL_ILLOPN = 2,
    TRAP_BRKPT = 1,
    TRAP_TRACE = 2,
    BUS_ADRALN = 1,
    BUS_ADRERR = 2
};

static const struct {
    uint8_t signal;
    uint8_t code;
    const char *name;
} exceptions[EXCEPTIONS] = {
    [0] = {SIGFPE, FPE_INTDIV, "divide error"},
    [1] = {SIGTRAP, TRAP_TRACE, "debug"},
    [2] = {0, 0, "non-maskable interrupt"},
    [3] = {SIGTRAP, SI_KERNEL, "breakpoint"},
    [4] = {SIGSEGV, SI_KERNEL, "overflow"},
    [5] = {SIGSEGV, SI_KERNEL, "bound range"},
    [6] = {SIGILL, ILL_ILLOPN, "invalid opcode"},
    [7] = {SIGSEGV, SI_KERNEL, "no FPU"},
    [8] = {0, 0, "double fault"},
    [10] = {SIGSEGV, SI_KERNEL, "invalid TSS"},
    [11] = {SIGBUS, SI_KERNEL, "segment not present"},
    [12] = {SIGBUS, SI_KERNEL, "stack fault"},
    [13] = {SIGSEGV, SI_KERNEL, "general protection"},
    [14] = {SIGSEGV, 0, "page fault"},
    [16] = {SIGFPE, 0, "x87 error"},
    [17] = {SIGBUS, BUS_ADRALN, "alignment check"},
    [18] = {0, 0, "machine check"},
    [19] = {SIGFPE, 0, "SIMD error"},
    [21] = {SIGSEGV, SI_KERNEL, "control protection"},
};

struct exception_table_entry {
    uint64_t first, last, landing;
};
extern const struct exception_table_entry __extable_start[], __extable_end[];

extern const char syscall_entry[], syscall_on_stack[], sysret_off_stack[], syscall_split[];

static bool go_to_landing(struct trap_frame *frame) {
    for (const struct exception_table_entry *entry = __extable_start; entry < __extable_end; entry++) {
        if (frame->rip >= entry->first && frame->rip < entry->last) {
            frame->rip = entry->landing;
            return true;
        }
    }
    return false;
}

static uint64_t fault_address(void) {
    uint64_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    return address;
}

static void user_page_fault(uint64_t address, uint64_t error) {
    int code = 1;
    enum status status = vm_fault(address, error & PF_WRITE, error & PF_EXECUTE, &code);
    if (status == OK || status == ERR_RESTART) /* to be killed: on the way back */
        return;
    if (status == ERR_NO_MEMORY)
        signal_fault(SIGKILL, SI_KERNEL, address);
    else if (status == ERR_IO)
        signal_fault(SIGBUS, BUS_ADRERR, address);
    else
        signal_fault(SIGSEGV, mutant(fault_code_by_mode) && asi_mode == ASI_MODE_ASI ? VM_NOT_MAPPED : code, address);
}

/* Kernel code that touches user memory does so only inside a copy; what it may do depends on whether a view is held. */
static void kernel_page_fault_on_user(struct trap_frame *frame, uint64_t address, uint64_t error) {
    int code;
    bool may_resolve = this_cpu->views_held == 0 && (frame->rflags & RFLAGS_INTERRUPT);
    if (may_resolve) {
        irq_enable();
        enum status status = vm_fault(address, error & PF_WRITE, false, &code);
        irq_disable();
        if (status == OK)
            return;
    }
    if (!go_to_landing(frame))
        panic_with_frame(frame, "kernel touched user memory at %#lx outside a copy", (unsigned long)address);
}

extern const char copy_text_start[], copy_text_end[]; /* linker.ld */

/*
 * Who touched PHYSMAP: the instruction, or, where that is in a function that only copies or clears (.text.copy), the
 * first caller that is not. Of these functions those with the string instructions push nothing, the others keep rbp.
 */
static uint64_t physmap_toucher(const struct trap_frame *frame) {
    const uint64_t start = (uint64_t)copy_text_start, end = (uint64_t)copy_text_end;
    uint64_t site = frame->rip;
    if (site - start >= end - start)
        return site;
    site = *(const uint64_t *)frame->rsp;
    for (const uint64_t *caller = (const uint64_t *)frame->rbp; site - start < end - start;
         caller = (const uint64_t *)caller[0])
        site = caller[1];
    return site;
}

static void page_fault(struct trap_frame *frame) {
    uint64_t address = fault_address();
    uint64_t error = frame->error;
    this_cpu->counters.page_faults++;
    if (frame_from_user(frame) || address < USER_END)
        counter_add(&process_current()->counters.page_faults, 1);
    if (frame_from_user(frame)) {
        irq_enable();
        user_page_fault(address, error);
        irq_disable();
        return;
    }
    if (address < USER_END) {
        kernel_page_fault_on_user(frame, address, error);
        return;
    }
    bool in_physmap = address >= PHYSMAP_BASE && address < PHYSMAP_END;
    if (in_physmap && !(error & PF_PRESENT) && this_cpu->space == SPACE_RESTRICTED) {
        asi_physmap_fault(address, physmap_toucher(frame));
        return;
    }
    panic_with_frame(frame, "kernel page fault: %s %#lx (error %#lx)", error & PF_WRITE ? "write to" : "read of",
                     (unsigned long)address, (unsigned long)error);
}

static void exception(struct trap_frame *frame) {
    unsigned vector = frame_vector(frame);
    if (nest_watching && frame_from_user(frame) && nest_strike_user(frame))
        return;
    if (vector == NMI) { /* nobody's here but a panic's; what comes from user code arrives on this way */
        panic_join();
        return;
    }
    if (frame_from_user(frame) && exceptions[vector].signal != 0) {
        int code = exceptions[vector].code;
        if (vector == X87_ERROR || vector == SIMD_ERROR)
            code = fpu_exception_code(vector == SIMD_ERROR); /* before another thread's registers are in the FPU */
        irq_enable();
        bool names_instruction =
            vector == 0 || vector == DEBUG_TRAP || vector == 6 || vector == X87_ERROR || vector == SIMD_ERROR;
        signal_fault(exceptions[vector].signal, code, names_instruction ? frame->rip : 0);
        irq_disable();
        return;
    }
    if (!frame_from_user(frame) && go_to_landing(frame)) /* a non-canonical user address faults as #GP or #SS */
        return;
    panic_with_frame(frame, "%s in kernel code (error %#lx)",
                     exceptions[vector].name ? exceptions[vector].name : "exception", (unsigned long)frame->error);
}

/* What comes from outside, at any instruction that has interrupts on. A fault is part of what the code does that takes
 * it, so its locks count there. */
static void interrupt(unsigned vector, bool from_user) {
    uint64_t ranks = lock_ranks_put_aside();
    switch (vector) {
    case VECTOR_TIMER:
        apic_end_of_interrupt();
        sched_tick();
        break;
    case VECTOR_RESCHEDULE:
        apic_end_of_interrupt();
        sched_rescheduled();
        break;
    case VECTOR_SHOOTDOWN:
        apic_end_of_interrupt();
        tlb_serve();
        break;
    case VECTOR_STOP:
        apic_end_of_interrupt();
        stop_interrupt(from_user || thread_current() == this_cpu->idle);
        break;
    case VECTOR_SPURIOUS:
        break;
    case VECTOR_DEVICE_FIRST ... VECTOR_DEVICE_END - 1:
        interrupt_arrived(vector);
        break;
    default:
        kprintf("spurious interrupt, vector %u\n", vector);
    }
    lock_ranks_restore(ranks);
}

void trap_dispatch(struct trap_frame *frame) {
    unsigned vector = frame_vector(frame);
    if (frame_from_user(frame))
        gate_check();
    if (vector == PAGE_FAULT)
        page_fault(frame);
    else if (vector < EXCEPTIONS)
        exception(frame);
    else
        interrupt(vector, frame_from_user(frame));
}

/*
 * RESIDUE: iretq leaves what it takes on the stack that it takes it from, and a CPU's stack is mapped in every process.
 * Where system-call entry and exit were met with the user's rsp, those words hold it; so they are taken from the
 * thread's stack, on which nothing is at those instructions. In classic the user root has no such stack, nor processes
 * anything to hide by it.
 */
static struct trap_frame *leave_from(struct trap_frame *frame, uint64_t user_root) {
    const uint64_t rip = frame->rip;
    const bool user_rsp = (rip >= (uint64_t)syscall_entry && rip < (uint64_t)syscall_on_stack) ||
                          (rip >= (uint64_t)sysret_off_stack && rip < (uint64_t)syscall_split);
    if (!user_rsp || user_root != 0 || mutant(nested_rsp_stays))
        return frame;
    struct trap_frame *own = thread_user_frame();
    *own = *frame;
    memset(frame, 0, sizeof *frame);
    return own;
}

struct trap_frame *trap_dispatch_nested(struct trap_frame *frame, uint64_t user_root, uint64_t gs_base) {
    if (nest_watching && nest_strike(frame, user_root, gs_base))
        return leave_from(frame, user_root);
    switch (frame_vector(frame)) {
    case NMI: /* ignored, and without a word: the code below may be the one that prints */
        panic_join();
        break;
    case DEBUG_TRAP:
        frame->rflags &= ~RFLAGS_TRAP; /* nobody single-steps the kernel */
        break;
    default:
        panic_with_frame(frame, "%s", exceptions[frame_vector(frame)].name);
    }
    return leave_from(frame, user_root);
}
