/*
 * The stack that a new program starts on: strings, auxiliary vector, envp, argv, argc (System V ABI for x86-64).
 */
#ifndef KERNEL_EXEC_STACK_H
#define KERNEL_EXEC_STACK_H

#include "kernel/elf.h"
#include "kernel/exec_arguments.h"

/*
 * Maps the stack in the caller's user half and fills it; *rsp gets the initial stack pointer. `path` becomes AT_EXECFN.
 * ERR_NO_MEMORY, ERR_FAULT. May sleep.
 */
MUST_USE enum status exec_stack_build(const struct exec_arguments *arguments, const struct elf_image *image,
                                      const char *path, vaddr_t *rsp);

#endif
