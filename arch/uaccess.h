/*
 * User memory: the only functions that touch it. A bad address is an error, never a panic.
 *
 * Runs in either space (the user half is mapped in both). While a view is held (ephmap_*), only the _held form may be
 * used: it does not resolve page faults but stops, so that the caller can put the view, call user_fault_in() and try
 * again.
 */
#ifndef ARCH_UACCESS_H
#define ARCH_UACCESS_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/status.h"
#include "mm/types.h"

/*
 * Copies whole or fails with ERR_FAULT (bytes before the fault may have been copied). May sleep: resolves page
 * faults.
 */
MUST_USE enum status copy_from_user(void *to, vaddr_t from, size_t bytes);
MUST_USE enum status copy_to_user(vaddr_t to, const void *from, size_t bytes);

/* Copies a terminated string of at most size-1 bytes. ERR_FAULT, ERR_NAME_TOO_LONG. *length excludes the terminator. */
MUST_USE enum status copy_string_from_user(char *to, vaddr_t from, size_t size, size_t *length);

/* Clears user memory. */
MUST_USE enum status clear_user(vaddr_t to, size_t bytes);

/*
 * The forms for use while a view is held: return how many bytes were NOT copied (0: all). Never sleep, resolve no
 * fault.
 */
MUST_USE size_t copy_from_user_held(void *to, vaddr_t from, size_t bytes);
MUST_USE size_t copy_to_user_held(vaddr_t to, const void *from, size_t bytes);
MUST_USE size_t clear_user_held(vaddr_t to, size_t bytes);

/*
 * How many of the `places` addresses from `from` on begin a word of 8 bytes that is masked ^ mask; the first goes to
 * *first if there is one. `from` may be in either half; it ends at a user page that cannot be read. For asi/scan.c.
 */
uint64_t memory_scan(vaddr_t from, uint64_t places, uint64_t masked, uint64_t mask, uint64_t *first);

/*
 * Makes the page of `address` present for reading or writing. ERR_FAULT, ERR_NO_MEMORY. May sleep; no view may be
 * held.
 */
MUST_USE enum status user_fault_in(vaddr_t address, bool write);

/* Whether the user's bytes in [from, end) are zero: what is longer than the kernel knows. ERR_TOO_BIG, ERR_FAULT. */
MUST_USE enum status check_user_zeros(vaddr_t from, vaddr_t end);

/* Whether [address, address+bytes) lies in the user half. */
static inline bool user_range_ok(vaddr_t address, size_t bytes) {
    return bytes <= USER_END && address <= USER_END - bytes;
}

/* Atomic compare-and-exchange on an aligned user word (futexes, clear_child_tid). ERR_FAULT. May sleep. */
MUST_USE enum status user_compare_exchange32(vaddr_t address, uint32_t expected, uint32_t desired, uint32_t *old);
MUST_USE enum status user_load32(vaddr_t address, uint32_t *value);

#endif
