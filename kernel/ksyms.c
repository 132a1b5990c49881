/*
 * Looks kernel addresses up in the symbol table that tools/ksyms makes from the linked kernel and that is linked in by
 * a second pass. The table is read-only data in .ksyms, behind all code, so that putting it in moves no function.
 */
#include "kernel/ksyms.h"

#include "kernel/ksyms_table.h"
#include "kernel/string.h"

extern const char text_start[], text_end[];

bool ksym_lookup(uint64_t address, const char **name, uint64_t *offset) {
    uint64_t base = (uint64_t)text_start;
    uint32_t low = 0, high = ksyms_count;

    if (address < base || address >= (uint64_t)text_end || ksyms_count == 0 || address - base < ksyms[0].offset)
        return false;
    while (high - low > 1) { /* ksyms[low] begins at or before the address, ksyms[high] behind it */
        uint32_t middle = low + (high - low) / 2;

        if (ksyms[middle].offset <= address - base)
            low = middle;
        else
            high = middle;
    }
    *name = ksyms_names + ksyms[low].name;
    *offset = address - base - ksyms[low].offset;
    return true;
}

bool ksym_find(const char *name, uint64_t *address) {
    for (uint32_t i = 0; i < ksyms_count; i++) {
        if (strcmp(ksyms_names + ksyms[i].name, name) == 0) {
            *address = (uint64_t)text_start + ksyms[i].offset;
            return true;
        }
    }
    return false;
}
