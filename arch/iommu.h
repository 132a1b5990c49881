/*
 * IOMMUs: a function reaches the pages that its domain maps and nothing else. A function without a domain reaches
 * nothing. Where the machine has no IOMMU every function whose bus-master bit is set reaches all of memory.
 */
#ifndef ARCH_IOMMU_H
#define ARCH_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"

struct acpi_machine;
struct iommu_domain;

/* The addresses a device may be given: whole pages from 0 up to but without this. */
#define IOMMU_ADDRESS_END (256UL << 20)

/* Switches translation on with everything forbidden. Start-up, after mm and heap; once. */
void iommu_init(const struct acpi_machine *machine);

bool iommu_is_present(void);

/*
 * A domain for one function (a PCI address), which maps nothing yet. ERR_NO_MEMORY, ERR_NO_SPACE. The caller sees to it
 * that a function has one domain at a time, and that calls on one domain do not overlap.
 */
MUST_USE enum status iommu_domain_create(uint32_t function, struct iommu_domain **out);
/* The function reaches nothing any more when this returns. */
void iommu_domain_destroy(struct iommu_domain *domain);

/* Maps one page for the device, which was not mapped. ERR_NO_MEMORY: nothing has changed. */
MUST_USE enum status iommu_map(struct iommu_domain *domain, uint64_t address, frame_t frame, bool read, bool write);

/* Takes `pages` pages out, mapped or not. When it returns the device reaches them no more. */
void iommu_unmap(struct iommu_domain *domain, uint64_t address, unsigned pages);

/* How many accesses of the domain's function the hardware has reported as forbidden (it reports them one at a time). */
uint64_t iommu_faults(struct iommu_domain *domain);

#endif
