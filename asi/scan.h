/*
 * RESIDUE and REACH, seen by an attacker: is a byte pattern anywhere in what the caller's restricted space maps?
 */
#ifndef ASI_SCAN_H
#define ASI_SCAN_H

#include "asi/abi.h"
#include "kernel/status.h"

/*
 * Reads every byte that the caller's restricted root maps, page tables included, and counts the pattern of `scan` at
 * any alignment; fills in its `out` fields. Other CPUs stand still meanwhile. ERR_NOT_SUPPORTED where kernel code of
 * the caller runs unrestricted (modes none and classic). From system calls only.
 */
MUST_USE enum status asi_scan(struct asi_scan *scan);

#endif
