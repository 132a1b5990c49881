/*
 * What ACPI's MADT says about processors and interrupt controllers.
 */
#ifndef ARCH_ACPI_H
#define ARCH_ACPI_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/cpu.h"

struct boot_info;

/* An input of an I/O APIC ("global system interrupt") and how the line behaves that ends there. */
struct acpi_line {
    uint32_t input;
    bool active_low, level;
};

struct acpi_machine {
    unsigned processor_count;     /* entries of apic_ids */
    unsigned processors_left_out; /* for which there was no room */
    uint32_t apic_ids[CPU_MAX];   /* each once */
    struct acpi_line serial;      /* ISA interrupt 4 */
    uint32_t io_apic;             /* physical address of the I/O APIC that `serial` ends at */
    uint32_t io_apic_first_input;
};

/*
 * Fills `machine` from the MADT; what that does not say is as on every PC: one I/O APIC at the usual place, ISA lines
 * on inputs of the same number. False where there is no MADT or a table is malformed: then no processors are listed.
 * Early space, interrupts off.
 */
bool acpi_read(const struct boot_info *info, struct acpi_machine *machine);

#endif
