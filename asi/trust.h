/*
 * Trust between processes: who pays which flush at a process switch. The relation and its table: docs/trust.md.
 *
 * A process is private (domain 0: trusts nobody, nobody trusts it, another private process neither) or a member of one
 * of 63 labelled domains, whose members trust each other. "X trusts Y" means: Y may see X's data, and train the
 * predictors that X's code runs with. Metadata all of it, class GLOBAL.
 */
#ifndef ASI_TRUST_H
#define ASI_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "asi/abi.h"
#include "kernel/status.h"

struct process;

/*
 * CROSS_* flush flags that `to` owes before it may run on this CPU, by whose code ran and whose data was used here
 * since the last flush of either kind. `from`: the process that is being left, or NULL when `to` is loaded already.
 * Interrupts off.
 */
uint32_t trust_debts(const struct process *from, const struct process *to);

/* Notes that `from` has been left for another process: what it did here is history now. Interrupts off. */
void trust_note_left(const struct process *from);

/* Trust or membership has changed since this CPU last looked, so the loaded process may owe a flush. Interrupts off. */
bool trust_has_changed(void);

/* What every CPU knows of its history is void: each owes all there may be. The mode, or `flush=`, has changed. */
void trust_forget_histories(void);

/* Makes a domain and moves the calling process into it. ERR_AGAIN: none is left. */
MUST_USE enum status trust_new_domain(uint32_t *number);

/* Makes the calling process private. */
void trust_leave_domain(void);

/*
 * Moves a process, given by its id, to a domain that has members, or to 0. ERR_INVALID: no domain's number,
 * ERR_NO_ENTRY: no such domain, ERR_NO_PROCESS. The caller checks rights.
 */
MUST_USE enum status trust_move(uint32_t id, uint32_t number);

/*
 * Says whether `domain` trusts `peer`. ERR_INVALID: not two different labels, ERR_NO_ENTRY: one has no members,
 * ERR_NOT_PERMITTED: the caller is neither uid 0 nor a member of `domain` with its owner's uid.
 */
MUST_USE enum status trust_set(uint32_t domain, uint32_t peer, bool trusts);

/* ASI_TRUSTS_* between the caller's domain and `peer`. Errors as trust_set(). */
MUST_USE enum status trust_query(uint32_t peer, int64_t *result);

/* Describes domain `number`, 1 to 63; false when it has no members. */
bool trust_describe(uint32_t number, struct asi_domain *out);

/* A child is of its parent's domain; a process that is freed, of none. processes_lock held. */
void trust_inherit(struct process *child, const struct process *parent);
void trust_forget_process(const struct process *process);

#endif
