/*
 * The audit: the invariants REACH, CLEAN and GATE checked over the whole machine, from the page tables themselves.
 */
#ifndef ASI_AUDIT_H
#define ASI_AUDIT_H

#include "asi/abi.h"
#include "kernel/status.h"

/*
 * Leaves the restricted space (cause debug), walks every process's restricted root, every free frame and the kernel's
 * text. All other CPUs stand still (kernel/stop.h). May be called by system calls only.
 */
void asi_audit(struct asi_audit_report *report);

/* Stops the other CPUs, breaks an invariant on purpose, audits, mends. ERR_INVALID, ERR_NO_MEMORY. For tests. */
MUST_USE enum status asi_audit_broken(enum asi_break what, struct asi_audit_report *report);

#endif
