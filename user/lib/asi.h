/*
 * Typed wrappers of the ASI system call (asi/abi.h), with the names that its enumerations have on a command line.
 *
 * Every function that returns int returns 0, or -1 with errno set; on Linux that is always ENOSYS.
 */
#ifndef USER_LIB_ASI_H
#define USER_LIB_ASI_H

#include "asi/abi.h"

#include <stdbool.h>
#include <stddef.h>

int asi_get_state(struct asi_state *state);
int asi_set_mode(enum asi_mode mode);
int asi_set_flush(const struct asi_flush *flush);

/* scope: ASI_SCOPE_ALL, ASI_SCOPE_CPU(n), or a process id (0: the caller). */
int asi_set_views(enum asi_views design);
int asi_get_counters(long scope, struct asi_counters *counters);

/* Fills up to `max` sites, most frequent first; returns how many, or -1 with errno. */
long asi_get_sites(struct asi_site *sites, size_t max);

/* Writes "name+0xoffset" for a kernel address, or the bare address when the kernel has no name for it. */
void asi_symbolise(uint64_t address, char *text, size_t size);

int asi_run_audit(enum asi_break deliberate, struct asi_audit_report *report);
int asi_get_memory(struct asi_memory *memory);
int asi_reset_counters(void);

/* The count of what the restricted spaces of processes map that end meanwhile. */
int asi_begin_tally(void);
int asi_end_tally(struct asi_tally *tally);

/* Leaves the restricted space once, on purpose. */
int asi_force_exit(void);

/* Trust (docs/trust.md). Fills up to `max` domains; returns how many, or -1 with errno. */
long asi_get_domains(struct asi_domain *domains, size_t max);
int asi_set_trust(uint32_t domain, uint32_t peer, bool trusts);
int asi_move_process(uint32_t pid, uint32_t domain);

/* The caller's own domain: a new one with it in it, or none. Both return the number, or -1 with errno. */
int asi_new_domain(void);
int asi_leave_domain(void);

/* Names; "?" for a value out of range. */
const char *asi_mode_name(enum asi_mode mode);
const char *asi_cause_name(enum asi_cause cause);
const char *asi_break_name(enum asi_break deliberate);

/* False when `text` names nothing; then the output is unchanged. */
bool asi_parse_mode(const char *text, enum asi_mode *mode);
bool asi_parse_break(const char *text, enum asi_break *deliberate);

/* "auto", "off" or "cost:IBPB,VERW,CR3" (TSC ticks). `separator` stands between the figures: ',' or, in CSV, '/'. */
bool asi_parse_flush(const char *text, struct asi_flush *flush);
void asi_format_flush(const struct asi_flush *flush, char separator, char *text, size_t size);

/* Field by field: after - before; sum += more; value -= less, not below 0; least = the smaller of both. */
struct asi_counters asi_counters_difference(const struct asi_counters *after, const struct asi_counters *before);
void asi_counters_add(struct asi_counters *sum, const struct asi_counters *more);
void asi_counters_reduce(struct asi_counters *value, const struct asi_counters *less);
void asi_counters_least(struct asi_counters *least, const struct asi_counters *other);

/* All causes together. */
uint64_t asi_total_exits(const struct asi_counters *counters);

#endif
