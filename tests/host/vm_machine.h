/*
 * A machine for host tests of mm/vm*.c, mm/fault.c and mm/object*.c: RAM, page tables and a TLB that keeps what it has
 * seen until it is told to forget, so that a missing flush shows as a wrong byte or as a frame freed while still
 * reachable.
 */
#ifndef TESTS_HOST_VM_MACHINE_H
#define TESTS_HOST_VM_MACHINE_H

#include <stdio.h>
#include <stdlib.h>

#include "kernel/local.h"
#include "kernel/process.h"
#include "mm/object.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Sets up RAM and the first process, which runs. */
void machine_start(void);

/* Makes a process, a copy of the running one by vm_fork(); NULL when that fails. `share`: as by vfork. */
struct process *machine_fork(bool share);
void machine_switch(struct process *process);
/* The running process has let go of its user half; another runs now. */
void machine_end_process(struct process *next);

/* What user code does: NULL where it gets a signal, and *status says which. Resolves faults. */
uint64_t *machine_touch(vaddr_t address, bool write, enum status *status, int *si_code);

/* From now on the nth allocation of memory fails, once. 0: none does. */
void machine_fail_after(unsigned allocations);

/* Nothing is in use: all frames are free and clean, all heap memory is back. */
void machine_check_all_free(void);

#endif
