/*
 * The PCI functions that the machine has, as the PCI server finds them.
 */
#ifndef DRIVERS_PCI_FUNCTIONS_H
#define DRIVERS_PCI_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUNCTIONS_MAX = 256, BARS = 6 };

struct bar {
    bool known, memory;
    uint64_t address, bytes; /* 0 bytes: there is none */
};

struct function {
    uint32_t address;       /* bus << 8 | device << 3 | function */
    uint32_t device_vendor; /* device << 16 | vendor */
    uint32_t class;         /* class << 8 | subclass */
    struct bar bars[BARS];
    volatile uint32_t *msix; /* its MSI-X table once it is mapped, or NULL */
    unsigned msix_entries;
};

extern struct function functions[FUNCTIONS_MAX];
extern size_t function_count;

/* The handle by which configuration space is reached; to be set before everything else. */
extern int devices_authority;

/* Finds all functions, on all buses. */
void functions_find(void);

uint32_t config_read(const struct function *function, uint32_t offset, uint32_t width);
void config_write(const struct function *function, uint32_t offset, uint32_t width, uint32_t value);

/* The offset of the first capability of that kind behind offset `after` (0: of all), or 0. */
uint32_t function_capability(const struct function *function, uint32_t capability, uint32_t after);

/*
 * Learns what is behind a BAR and has the function answer there. 0 or an errno: ENODEV (nothing is), EBUSY (it cannot
 * be learned while the function runs).
 */
int function_bar(struct function *function, unsigned index, const struct bar **out);

#endif
