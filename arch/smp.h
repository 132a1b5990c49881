/*
 * The other CPUs: finding them in ACPI's MADT and starting them. docs/smp.md tells how.
 */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include <stdint.h>

struct boot_info;

/* How many CPUs run: cpus[0] to cpus[cpu_count - 1]. One until smp_start() adds to it; constant after start-up. */
extern unsigned cpu_count;

/* How many were found, at most CPU_MAX: so many have stacks. Set by smp_find_cpus(), constant afterwards. */
extern unsigned cpus_found;

/*
 * Counts the CPUs that the MADT says can be used, the boot CPU first, and notes their APIC ids and the I/O APIC.
 * Without ACPI there is one. Before mm_init(), on the boot CPU: early space, interrupts off.
 */
void smp_find_cpus(const struct boot_info *info);

/* What ACPI says of the machine. After smp_find_cpus(). */
struct acpi_machine;
const struct acpi_machine *smp_machine(void);

/* Sets up the boot CPU's APIC and the I/O APIC as found. Interrupts off, after mm is up. */
void smp_init_apic(void);

/*
 * Starts the others one after the other; each ends in sched_idle(). One that does not answer is reported and left out.
 * Boot CPU, once, unrestricted, interrupts off, after the APIC and time are set up, before the first process is made.
 */
void smp_start(const struct boot_info *info);

/* A set with one bit for each running CPU. */
static inline uint64_t cpus_running(void) { return cpu_count >= 64 ? UINT64_MAX : (1UL << cpu_count) - 1; }

#endif
