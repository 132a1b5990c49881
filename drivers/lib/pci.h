/*
 * The PCI server from a driver's side (drivers/pci_abi.h). All return -1 with errno on failure.
 */
#ifndef DRIVERS_LIB_PCI_H
#define DRIVERS_LIB_PCI_H

#include <stddef.h>
#include <stdint.h>

/* A handle on the function that comes behind `skip` others of this kind; PCI_ANY for what does not matter. */
int pci_find(int server, uint32_t device_vendor, uint32_t class_subclass, uint32_t skip);

/* The value, or -1. */
int64_t pci_read(int function, uint32_t offset, uint32_t width);
int pci_write(int function, uint32_t offset, uint32_t width, uint32_t value);

/* The offset of a capability behind `after` (0: the first), or -1 with ENOENT. */
int pci_capability(int function, uint32_t capability, uint32_t after);

/* Maps a BAR for good; *bytes gets its size. NULL: errno. */
volatile void *pci_map(int function, unsigned bar, size_t *bytes);

/* Entry `entry` of the MSI-X table notifies `endpoint` with `bits`: a handle, which ends it when closed. */
int pci_interrupt(int function, unsigned entry, int endpoint, uint64_t bits);

/* The function's DMA object. */
int pci_dma(int function);

#endif
