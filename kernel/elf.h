/*
 * ELF64 programs: from a file's bytes to a list of segments that are safe to map. Everything in the file is hostile.
 */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include <stdbool.h>

#include "kernel/status.h"
#include "mm/types.h"

struct memory_object;

#define ELF_HEADER_BYTES 64U
#define ELF_SEGMENTS_MAX 16

/* One PT_LOAD. Of a position-independent image, addresses count from 0 until elf_place(). */
struct elf_segment {
    vaddr_t address;     /* page-aligned */
    uint64_t bytes;      /* whole pages */
    uint64_t offset;     /* in the file, page-aligned */
    uint64_t file_bytes; /* from `address`: what comes from the file; behind it zeros. 0: all zeros */
    unsigned protection; /* enum vm_protection */
};

/*
 * Checked: segments ascend, do not share pages, lie in the user half below the stack; their file bytes are in the
 * file.
 */
struct elf_image {
    struct elf_segment segments[ELF_SEGMENTS_MAX];
    unsigned count;     /* at least 1 */
    bool movable;       /* position-independent, and not placed yet */
    uint64_t alignment; /* that a segment asks for: a power of two, at least a page */
    vaddr_t entry;
    vaddr_t end;             /* page-aligned: behind the last segment */
    vaddr_t bias;            /* what elf_place() added to each address */
    vaddr_t program_headers; /* where they are mapped; 0: nowhere */
    unsigned program_header_count;
    bool executable_stack;       /* it asks for one (PT_GNU_STACK) */
    bool writable_code;          /* a segment is writable and executable, or the stack */
    uint64_t interpreter_offset; /* in the file: the path of the program's interpreter */
    uint64_t interpreter_bytes;  /* with its terminator; 0: it has none */
};

/*
 * Reads and checks the headers. ERR_NOT_EXECUTABLE (not an x86-64 ELF64 program, or malformed), ERR_NO_MEMORY.
 * The calling process has the object open. May sleep.
 */
MUST_USE enum status elf_read(struct memory_object *object, struct elf_image *image);

/*
 * Reads the interpreter's path, of ELF_INTERPRETER_MAX bytes at most. ERR_NOT_EXECUTABLE (too long, not terminated),
 * ERR_IO (not in the file), ERR_NO_MEMORY. May sleep.
 */
#define ELF_INTERPRETER_MAX 4096UL
MUST_USE enum status elf_read_interpreter(struct memory_object *object, const struct elf_image *image, char *path);

/* Bytes from the first segment's page to the end. */
uint64_t elf_span(const struct elf_image *image);

/*
 * Moves a movable image so that it begins at the highest place not above `base` that has its alignment.
 * ERR_NO_MEMORY: it would not lie in the user half below the stack.
 */
MUST_USE enum status elf_place(struct elf_image *image, vaddr_t base);

/* Maps the segments into the caller's user half, where nothing else is. ERR_NO_MEMORY, ERR_EXISTS, … May sleep. */
MUST_USE enum status elf_map(struct memory_object *object, const struct elf_image *image);

#endif
