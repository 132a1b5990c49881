/*
 * What ACPI's MADT says about processors and interrupt controllers, and its DMAR about IOMMUs.
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

#define ACPI_ISA_LINES  16
#define ACPI_ISA_SERIAL 4 /* index of the first serial port's */
#define ACPI_IOMMUS_MAX 8

struct acpi_machine {
    unsigned processor_count;     /* entries of apic_ids */
    unsigned processors_left_out; /* for which there was no room */
    uint32_t apic_ids[CPU_MAX];   /* each once */
    struct acpi_line isa[ACPI_ISA_LINES];
    uint32_t io_apic; /* physical address of the I/O APIC that the serial port's line ends at */
    uint32_t io_apic_first_input;
    unsigned iommu_count;             /* remapping units of VT-d */
    uint64_t iommus[ACPI_IOMMUS_MAX]; /* physical addresses of their registers */
};

/*
 * Fills `machine` from MADT and DMAR; what that does not say is as on every PC: one I/O APIC at the usual place, ISA
 * lines on inputs of the same number. False where there is no MADT or a table is malformed: then no processors are
 * listed. Early space, interrupts off.
 */
bool acpi_read(const struct boot_info *info, struct acpi_machine *machine);

#endif
