/*
 * Which kernel instructions leave the restricted space, and how often.
 */
#ifndef ASI_SITES_H
#define ASI_SITES_H

#include "asi/abi.h"

/* What a cause is called, by enum asi_cause. */
extern const char *const asi_cause_names[ASI_CAUSES];

/* Counts one exit. Interrupts off. */
void asi_site_record(uint64_t address, enum asi_cause cause);

/* The `count` most frequent, in falling order; returns how many there are to give. */
unsigned asi_sites_top(struct asi_site *out, unsigned count);

void asi_sites_reset(void);

#endif
