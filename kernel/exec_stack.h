/*
 * The stack that a new program starts on: strings, auxiliary vector, envp, argv, argc (System V ABI for x86-64).
 */
#ifndef KERNEL_EXEC_STACK_H
#define KERNEL_EXEC_STACK_H

#include "kernel/elf.h"
#include "kernel/exec_arguments.h"
#include "kernel/layout.h"

/* What the stack tells the program. */
struct exec_stack {
    const struct exec_arguments *arguments;
    const struct elf_image *image; /* the program's, placed */
    vaddr_t interpreter_bias;      /* AT_BASE; 0: no interpreter */
    const struct layout *layout;
    const char *path; /* AT_EXECFN */
    bool secure;      /* AT_SECURE */
};

/* Maps the stack in the caller's user half. ERR_NO_MEMORY. May sleep. */
MUST_USE enum status exec_stack_map(const struct layout *layout, bool executable);

/* Fills it; *rsp gets the initial stack pointer. ERR_NO_MEMORY, ERR_FAULT. May sleep. */
MUST_USE enum status exec_stack_fill(const struct exec_stack *stack, vaddr_t *rsp);

#endif
