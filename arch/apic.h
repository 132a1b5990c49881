/*
 * The local APIC (by MSRs where the CPU has x2APIC, else memory-mapped) with its timer and the interrupts between CPUs,
 * the I/O APIC for devices' lines, and the 8259s silenced.
 */
#ifndef ARCH_APIC_H
#define ARCH_APIC_H

#include <stdbool.h>
#include <stdint.h>

struct acpi_line;
struct acpi_machine;

#define VECTOR_TIMER        0x20
#define VECTOR_DEVICE_FIRST 0x30 /* kernel/interrupt.c gives them out, up to but without the next */
#define VECTOR_DEVICE_END   0xf0
#define VECTOR_RESCHEDULE   0xf0
#define VECTOR_SHOOTDOWN    0xf1
#define VECTOR_STOP         0xf2
#define VECTOR_SPURIOUS     0xff

/* The highest id that can be sent to: 254 without x2APIC, where 255 means everyone. Needs only CPUID. */
uint32_t apic_id_max(void);

/* The calling CPU's id as CPUID gives it. Before apic_init_cpu(), which asks the APIC itself. */
uint32_t apic_id_by_cpuid(void);

/*
 * Maps and enables the boot CPU's APIC and maps the I/O APIC. Boot CPU, interrupts off, after mm is up. Panics with
 * one line where there is no local APIC.
 */
void apic_init(const struct acpi_machine *machine);

/* Enables the calling CPU's APIC and notes its id in struct cpu. After apic_init(), interrupts off. */
void apic_init_cpu(void);

/*
 * Interrupts CPU `cpu` (an index of cpus[]; it may be the caller) with one of the vectors above. What the caller has
 * written before is seen by the handler. Any context but NMI.
 */
void apic_send(unsigned cpu, unsigned vector);

/* The same, by NMI. */
void apic_send_nmi(unsigned cpu);

/* Resets a CPU, which then waits for apic_send_start(): it begins in real mode at physical address `page` < 1 MiB. */
void apic_send_init(unsigned cpu);
void apic_send_start(unsigned cpu, uint64_t page);

/*
 * An interrupt line, as kernel/interrupt.h has it. False: no such line. Constant after apic_init().
 */
bool io_apic_find(uint64_t line, struct acpi_line *out);
/* Has a line interrupt the boot CPU at `vector`; masks it or not. One caller at a time, interrupts off. */
void io_apic_connect(const struct acpi_line *line, unsigned vector);
void io_apic_mask(const struct acpi_line *line, bool masked);

/* Where a device writes a vector to interrupt the boot CPU with it. False: its id is too large for that. */
bool apic_message_address(uint64_t *address);

/* Acknowledges the interrupt in service. Interrupts off. */
void apic_end_of_interrupt(void);

/* Calibrates the timer, once for all CPUs: to be called around a wait of `ms` milliseconds. */
void apic_timer_calibrate_begin(void);
void apic_timer_calibrate_end(unsigned ms);

/* One interrupt of this CPU at VECTOR_TIMER after `ns` nanoseconds (at least one timer tick); 0 stops it. */
void apic_timer_arm(uint64_t ns);

#endif
