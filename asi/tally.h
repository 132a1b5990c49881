/*
 * What a program's kernel can reach: the pages mapped in the restricted space of each process that ends while somebody
 * counts (asirun).
 */
#ifndef ASI_TALLY_H
#define ASI_TALLY_H

#include "asi/abi.h"

/* Begins anew. */
void tally_begin(void);

/* Ends, and gives what was counted since it began. */
void tally_end(struct asi_tally *out);

/* The calling process is about to take itself down: counts, if asked to. No lock held, one thread left. */
void tally_process(void);

#endif
