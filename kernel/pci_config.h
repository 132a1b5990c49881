/*
 * PCI configuration space, by the ports that every PC has for it (0xcf8, 0xcfc): 256 bytes of each function.
 *
 * A function's address is bus << 8 | device << 3 | function. The bus-master bit of every function that is no bridge is
 * the kernel's: with it the function reaches memory, and interrupts CPUs.
 */
#ifndef KERNEL_PCI_CONFIG_H
#define KERNEL_PCI_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_ADDRESS_MAX  0xffffU
#define PCI_CONFIG_BYTES 256U

/* Width 1, 2 or 4 bytes, offset a multiple of it. What no function answers to reads as ones. Any context but NMI. */
uint32_t pci_config_read(uint32_t address, uint32_t offset, uint32_t width);
/* Leaves the bus-master bit as it is, but for bridges: they reach nothing of their own accord. */
void pci_config_write(uint32_t address, uint32_t offset, uint32_t width, uint32_t value);

bool pci_function_exists(uint32_t address);

/*
 * Sets the bit. Switching off returns when the function has done with what it had begun: the read back comes behind
 * its last write to memory.
 */
void pci_set_bus_master(uint32_t address, bool on);

/*
 * Has the function forget what it was doing, where it can be told to (Function Level Reset), and puts back where its
 * registers are. What it had begun with memory has ended when this returns true; false: it cannot be told.
 */
bool pci_reset_function(uint32_t address);

/* Cuts off every function that firmware has left with access to memory. Start-up. */
void pci_cut_off_all(void);

#endif
