/*
 * Not part of the kernel: compiled to assembly, from which the build takes the %define lines, so that assembler and C
 * share each constant and offset (style: generated, never copied).
 */
#include <stddef.h>

#include "arch/cpu.h"
#include "arch/cpu_stacks.h"
#include "arch/demo_gadget.h"
#include "arch/msr.h"
#include "arch/selectors.h"
#include "arch/trap_frame.h"
#include "asi/asi.h"
#include "asi/demo_abi.h"
#include "kernel/thread.h"
#include "mm/addrmap.h"

#define DEFINE(name, value) __asm__ volatile("\n%%define " #name " %0" ::"i"((long)(value)))
/* Not by way of DEFINE: there the name would be replaced by its value. */
#define CONSTANT(name) __asm__ volatile("\n%%define " #name " %0" ::"i"((long)(name)))

void offsets(void);

void offsets(void) {
    CONSTANT(KERNEL_CS);
    CONSTANT(KERNEL_DS);
    CONSTANT(USER_CS);
    CONSTANT(USER_DS);
    CONSTANT(FRAME_SYSCALL);
    CONSTANT(DEMO_ARRAY);
    CONSTANT(DEMO_STRIDE);
    CONSTANT(IMAGE_BASE);
    CONSTANT(SLOT_PHYSMAP);
    CONSTANT(SLOT_IMAGE);
    CONSTANT(TABLE_ENTRIES);
    CONSTANT(PAGE_TABLE_SPAN);
    CONSTANT(STACK_ALIAS_OFFSET);
    CONSTANT(STACK_SIZE);
    CONSTANT(USER_END);
    CONSTANT(MSR_PRED_CMD);
    CONSTANT(PRED_CMD_IBPB);
    CONSTANT(MSR_GS_BASE);
    CONSTANT(CROSS_CONTROL_FLUSH);
    CONSTANT(CROSS_DATA_FLUSH);
    CONSTANT(CROSS_UNRESTRICTED);
    CONSTANT(CROSS_SCRUB_ALIAS);
    CONSTANT(CROSS_MESSAGE);
    CONSTANT(SPACE_RESTRICTED);
    CONSTANT(SPACE_UNRESTRICTED);
    CONSTANT(CPU_STACK_SIZE);

    DEFINE(CPU_SELF, offsetof(struct cpu, self));
    DEFINE(CPU_USER_RSP, offsetof(struct cpu, user_rsp));
    DEFINE(CPU_STACK_TOP, offsetof(struct cpu, stack_top));
    DEFINE(CPU_KERNEL_ROOT, offsetof(struct cpu, kernel_root));
    DEFINE(CPU_USER_ROOT, offsetof(struct cpu, user_root));
    DEFINE(CPU_ROOT_KEEP, offsetof(struct cpu, root_keep));
    DEFINE(CPU_SCRATCH, offsetof(struct cpu, scratch));
    DEFINE(CPU_SPLIT, offsetof(struct cpu, split));
    DEFINE(CPU_SPACE, offsetof(struct cpu, space));
    DEFINE(CPU_LOADED_ROOT, offsetof(struct cpu, loaded_root));
    DEFINE(CPU_CURRENT, offsetof(struct cpu, current));
    DEFINE(CPU_CR3_WRITES, offsetof(struct cpu, counters.cr3_writes));
    DEFINE(CPU_DATA_FLUSHES, offsetof(struct cpu, counters.data_flushes));
    DEFINE(CPU_ENTRY_STACK_TOP, offsetof(struct cpu, entry_stack) + sizeof(((struct cpu *)0)->entry_stack));

    DEFINE(THREAD_STACK_POINTER, offsetof(struct thread, stack_pointer));
    DEFINE(THREAD_STACK_TOP, offsetof(struct thread, stack_top));
    DEFINE(THREAD_WORK, offsetof(struct thread, work));

    DEFINE(FRAME_RSI, offsetof(struct trap_frame, rsi));
    DEFINE(FRAME_RDX, offsetof(struct trap_frame, rdx));
    DEFINE(FRAME_R10, offsetof(struct trap_frame, r10));
    DEFINE(FRAME_R8, offsetof(struct trap_frame, r8));
    DEFINE(FRAME_VECTOR, offsetof(struct trap_frame, vector));
    DEFINE(FRAME_RIP, offsetof(struct trap_frame, rip));
    DEFINE(FRAME_CS, offsetof(struct trap_frame, cs));
    DEFINE(FRAME_RFLAGS, offsetof(struct trap_frame, rflags));
    DEFINE(FRAME_RSP, offsetof(struct trap_frame, rsp));
    DEFINE(FRAME_SS, offsetof(struct trap_frame, ss));
    DEFINE(FRAME_SIZE, sizeof(struct trap_frame));

    CONSTANT(ASI_FLUSH_OFF);
    DEFINE(FLUSH_KIND, offsetof(struct asi_flush, kind));
    DEFINE(FLUSH_IBPB_TICKS, offsetof(struct asi_flush, ibpb_ticks));
    DEFINE(FLUSH_VERW_TICKS, offsetof(struct asi_flush, verw_ticks));
    DEFINE(FLUSH_CR3_TICKS, offsetof(struct asi_flush, cr3_ticks));
}
