/*
 * What the PCI server is asked. Who has its own endpoint ("pci" at the name server) can look for functions; each one
 * that is found comes as a handle of its own, and with that only this function can be used. Plain C types only.
 *
 * Answer: label 0 or an errno.
 */
#ifndef DRIVERS_PCI_ABI_H
#define DRIVERS_PCI_ABI_H

#define PCI_ANY 0xffffffffU

enum pci_label {
    /* Words: device << 16 | vendor or PCI_ANY, class << 8 | subclass or PCI_ANY, how many to pass over. → words as
     * PCI_INFO; handle: the function. ENOENT: there are no more. */
    PCI_FIND = 0x400,

    /* The others need a function's handle: EACCES. */
    PCI_INFO,  /* → words: its address, device << 16 | vendor, class << 8 | subclass */
    PCI_READ,  /* words: offset, width 1, 2 or 4 → word: the value. EINVAL */
    PCI_WRITE, /* words: offset, width, value. Only behind the standard header, and not in MSI-X's capability: EPERM */
    PCI_REGION, /* word: BAR 0–5 → words: offset in the region, bytes; handle: the region, to be mapped. ENODEV: it has
                   none. EBUSY: its size is not known yet, and the function runs */
    PCI_CAPABILITY, /* words: capability, where the search goes on (0: begins) → word: its offset. ENOENT */
    PCI_INTERRUPT, /* words: entry of the MSI-X table, bits; handle: the endpoint to notify (RIGHT_NOTIFY) → handle: the
                       interrupt. ENODEV: no such entry */
    PCI_DMA,       /* → handle: the function's DMA object. EBUSY: another has it */
};

#endif
