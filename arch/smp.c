/*
 * Owns: how many CPUs there are, and the start of all but the first.
 *
 * They start one at a time: boot/ap.asm has one stack and one ticket. A CPU that does not come within its time is
 * reset, so that it cannot come later. Each goes from the early space straight to the kernel process's unrestricted
 * root, for start-up is in mode none; nothing it does before is seen by user code (GATE).
 * Locks: none; the boot CPU waits while another starts. Unrestricted, interrupts off.
 */
#include "arch/smp.h"

#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/io.h"
#include "arch/transition.h"
#include "asi/asi.h"
#include "boot/boot_info.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/ephmap.h"
#include "mm/heap.h"
#include "mm/roots.h"

#define NS_PER_MS        1000000UL
#define RESET_NS         (10 * NS_PER_MS) /* from INIT to the first start: Intel SDM volume 3, 9.4.4 */
#define SECOND_START_NS  200000UL
#define ANSWER_NS        (100 * NS_PER_MS)
#define IDLE_STACK_PAGES 2UL

unsigned cpu_count = 1;
unsigned cpus_found = 1;
static struct acpi_machine machine; /* constant after smp_find_cpus() */

/* The CPU that is being started: its index until it has come, its stack, and its index again when it is ready. */
unsigned ap_ticket;
static char *ap_idle_stack;
static unsigned ap_ready;

extern const char ap_start[], ap_start_end[]; /* physical addresses in .boot */

_Noreturn void ap_main(unsigned index);

void smp_find_cpus(const struct boot_info *info) {
    acpi_read(info, &machine);
    cpus[0].apic_id = apic_id_by_cpuid();
    for (unsigned i = 0; i < machine.processor_count; i++) {
        const uint32_t id = machine.apic_ids[i];
        if (id == cpus[0].apic_id)
            continue;
        if (id > apic_id_max() || cpus_found == CPU_MAX)
            machine.processors_left_out++;
        else
            cpus[cpus_found++].apic_id = id;
    }
}

const struct acpi_machine *smp_machine(void) { return &machine; }

void smp_init_apic(void) { apic_init(&machine); }

/* --- On the CPU that starts --------------------------------------------------------------------------------------- */

/* On the idle thread's stack. From the moment it is ready the first stack may be another's. */
static _Noreturn void run_idle(void) {
    apic_init_cpu();
    sched_init_cpu();
    __atomic_store_n(&ap_ready, this_cpu->index, __ATOMIC_RELEASE);
    sched_idle();
}

/* boot/ap.asm calls it, in the early space, on a stack that the kernel's root maps as well. */
_Noreturn void ap_main(unsigned index) {
    cpu_init(index);
    transition_load(roots_address(&kernel_process.roots, SPACE_UNRESTRICTED));
    this_cpu->loaded = &kernel_process;
    asi_note_roots(cpu_self(), &kernel_process);
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1"
                     :
                     : "r"(ap_idle_stack + IDLE_STACK_PAGES * PAGE_SIZE), "r"(run_idle)
                     : "memory");
    __builtin_unreachable();
}

/* --- On the boot CPU ---------------------------------------------------------------------------------------------- */

static void wait_until(uint64_t time) {
    while (time_monotonic() < time)
        cpu_relax();
}

/* Whether *flag has the value before `time`. */
static bool becomes(const unsigned *flag, unsigned value, uint64_t time) {
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) != value) {
        if (time_monotonic() >= time)
            return false;
        cpu_relax();
    }
    return true;
}

static bool is_ram(const struct boot_info *info, uint64_t page) {
    bool inside = false;
    for (uint32_t i = 0; i < info->range_count; i++) {
        const struct boot_range *range = &info->ranges[i];
        const uint64_t end = range->base + range->length;
        if (!range->usable && page < end && range->base < page + PAGE_SIZE)
            return false;
        inside = inside || (range->usable && page >= range->base && page + PAGE_SIZE <= end);
    }
    const bool in_module = page + PAGE_SIZE > info->module_base && page < info->module_base + info->module_size;
    return inside && !in_module;
}

/* A page of real mode's memory with the first instructions in it, or 0. The kernel uses none of that memory. */
static uint64_t place_start_code(const struct boot_info *info) {
    for (uint64_t page = AP_START_LOWEST; page < AP_START_END; page += PAGE_SIZE) {
        if (!is_ram(info, page))
            continue;
        memcpy(physmap_address(page), physmap_address((paddr_t)ap_start), (size_t)(ap_start_end - ap_start));
        return page;
    }
    return 0;
}

/* Starts cpus[index], which has been reset. Its idle stack stays with it, or goes to the next that is tried. */
static bool start(unsigned index, uint64_t page) {
    const uint64_t begin = time_monotonic();
    if (ap_idle_stack == NULL)
        ap_idle_stack = global_alloc_pages(IDLE_STACK_PAGES);
    if (ap_idle_stack == NULL)
        panic("too little memory for the stack of CPU %u", index);
    __atomic_store_n(&ap_ticket, index, __ATOMIC_RELEASE);
    apic_send_start(index, page);
    if (!becomes(&ap_ticket, 0, begin + SECOND_START_NS))
        apic_send_start(index, page);
    if (becomes(&ap_ready, index, begin + ANSWER_NS)) {
        ap_idle_stack = NULL;
        return true;
    }
    apic_send_init(index);
    __atomic_store_n(&ap_ticket, 0, __ATOMIC_RELEASE);
    kprintf("penumbra: the CPU with APIC id %lu does not answer; left out\n", (unsigned long)cpus[index].apic_id);
    return false;
}

void smp_start(const struct boot_info *info) {
    if (machine.processors_left_out > 0)
        kprintf("penumbra: %u CPUs more than can be used; left out\n", machine.processors_left_out);
    if (cpus_found == 1)
        return;
    const uint64_t page = place_start_code(info);
    if (page == 0) {
        kprintf("penumbra: no memory below 1 MiB to start other CPUs in; left out\n");
        return;
    }
    for (unsigned index = 1; index < cpus_found; index++)
        apic_send_init(index);
    wait_until(time_monotonic() + RESET_NS);
    for (unsigned next = 1; next < cpus_found; next++) {
        cpus[cpu_count].apic_id = cpus[next].apic_id; /* no gap where one was left out */
        if (start(cpu_count, page))
            cpu_count++;
    }
    kernel_process.cpus = cpus_running(); /* each has its root loaded: mm/tlb.h */
}
