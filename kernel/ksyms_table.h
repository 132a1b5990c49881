/*
 * The symbol table as tools/ksyms generates it.
 */
#ifndef KERNEL_KSYMS_TABLE_H
#define KERNEL_KSYMS_TABLE_H

#include <stdint.h>

#define KSYMS_SECTION __attribute__((section(".ksyms")))

/* Sorted by offset. */
struct ksym {
    uint32_t offset; /* of the function, from text_start */
    uint32_t name;   /* index into ksyms_names */
};

extern const uint32_t ksyms_count;
extern const struct ksym ksyms[];
extern const char ksyms_names[];

#endif
