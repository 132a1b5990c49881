/*
 * ELF64 programs: from a file's bytes to a list of segments that are safe to map. Everything in the file is hostile.
 */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include "kernel/status.h"
#include "mm/types.h"

struct memory_object;

#define ELF_SEGMENTS_MAX 16

/* One PT_LOAD. Addresses are final (bias added). */
struct elf_segment {
    vaddr_t address;     /* page-aligned */
    uint64_t bytes;      /* whole pages */
    uint64_t offset;     /* in the file, page-aligned */
    uint64_t file_bytes; /* from `address`: what comes from the file; behind it zeros. 0: all zeros */
    unsigned protection; /* enum vm_protection; never write and execute */
};

/*
 * Checked: segments ascend, do not share pages, lie in the user half below the stack; their file bytes are in the
 * file.
 */
struct elf_image {
    struct elf_segment segments[ELF_SEGMENTS_MAX];
    unsigned count; /* at least 1 */
    vaddr_t entry;
    vaddr_t end;             /* page-aligned: behind the last segment */
    vaddr_t program_headers; /* where they are mapped; 0: nowhere */
    unsigned program_header_count;
};

/*
 * Reads and checks the headers. ERR_NOT_EXECUTABLE (not a static x86-64 ELF64 program, or malformed), ERR_NO_MEMORY.
 * The calling process has the object open. Does not sleep.
 */
MUST_USE enum status elf_read(struct memory_object *object, struct elf_image *image);

/* Maps the segments into the caller's empty user half. ERR_NO_MEMORY, … May sleep. */
MUST_USE enum status elf_map(struct memory_object *object, const struct elf_image *image);

#endif
