/*
 * What `make demo` attacks: a gadget that reads a byte of any kernel address as a mispredicted branch would, made on
 * purpose, with models in software of the cache, the branch predictor and the fill buffer around it (docs/demo.md).
 * Compiled only into the kernel of the demonstration (MUTANT=demo): the ordinary one has not a byte of it.
 */
#ifndef ASI_DEMO_H
#define ASI_DEMO_H

#include "kernel/status.h"
#include "kernel/syscall.h"

#ifdef MUTANT_demo
/* An operation of asi/demo_abi.h. ERR_INVALID: it is none. */
MUST_USE enum status demo_call(struct syscall *call);
#else
static inline enum status demo_call(struct syscall *call) {
    (void)call;
    return ERR_INVALID;
}
#endif

#endif
