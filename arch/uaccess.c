/*
 * User memory, in C: range checks before, faults resolved after. The copying itself is arch/uaccess.asm.
 * No locks; either space.
 */
#include "arch/uaccess.h"

#include "arch/cpu.h"
#include "kernel/assert.h"

/* An exit from here is its caller's (arch/traps.c). */
#define COPY_TEXT __attribute__((section(".text.copy")))

size_t user_copy(void *to, const void *from, size_t bytes);
size_t user_clear(void *to, size_t bytes);
int user_load32_raw(const void *from, uint32_t *value);
int user_cmpxchg32_raw(void *at, uint32_t expected, uint32_t desired, uint32_t *old);

/* While no view is held a fault inside these is resolved by the page-fault handler (arch/traps.c). */
COPY_TEXT enum status copy_from_user(void *to, vaddr_t from, size_t bytes) {
    assert(this_cpu->views_held == 0);
    if (!user_range_ok(from, bytes))
        return ERR_FAULT;
    return user_copy(to, (const void *)from, bytes) == 0 ? OK : ERR_FAULT;
}

COPY_TEXT enum status copy_to_user(vaddr_t to, const void *from, size_t bytes) {
    assert(this_cpu->views_held == 0);
    if (!user_range_ok(to, bytes))
        return ERR_FAULT;
    return user_copy((void *)to, from, bytes) == 0 ? OK : ERR_FAULT;
}

COPY_TEXT enum status clear_user(vaddr_t to, size_t bytes) {
    assert(this_cpu->views_held == 0);
    if (!user_range_ok(to, bytes))
        return ERR_FAULT;
    return user_clear((void *)to, bytes) == 0 ? OK : ERR_FAULT;
}

COPY_TEXT size_t copy_from_user_held(void *to, vaddr_t from, size_t bytes) {
    return user_range_ok(from, bytes) ? user_copy(to, (const void *)from, bytes) : bytes;
}

COPY_TEXT size_t copy_to_user_held(vaddr_t to, const void *from, size_t bytes) {
    return user_range_ok(to, bytes) ? user_copy((void *)to, from, bytes) : bytes;
}

COPY_TEXT size_t clear_user_held(vaddr_t to, size_t bytes) {
    return user_range_ok(to, bytes) ? user_clear((void *)to, bytes) : bytes;
}

enum status copy_string_from_user(char *to, vaddr_t from, size_t size, size_t *length) {
    size_t done = 0;
    while (done < size) {
        /* Not over the end of a page: the next one may not be there, and the string may end before it. */
        size_t piece = PAGE_SIZE - page_offset(from + done);
        piece = piece < size - done ? piece : size - done;
        piece = piece < 64 ? piece : 64; /* names are short: do not copy what follows them */
        enum status status = copy_from_user(to + done, from + done, piece);
        if (status != OK)
            return status;
        for (size_t i = done; i < done + piece; i++) {
            if (to[i] == '\0') {
                *length = i;
                return OK;
            }
        }
        done += piece;
    }
    return ERR_NAME_TOO_LONG;
}

enum status user_load32(vaddr_t address, uint32_t *value) {
    if (!user_range_ok(address, sizeof *value))
        return ERR_FAULT;
    return user_load32_raw((const void *)address, value) == 0 ? OK : ERR_FAULT;
}

enum status user_compare_exchange32(vaddr_t address, uint32_t expected, uint32_t desired, uint32_t *old) {
    if (!user_range_ok(address, sizeof *old))
        return ERR_FAULT;
    return user_cmpxchg32_raw((void *)address, expected, desired, old) == 0 ? OK : ERR_FAULT;
}

enum status check_user_zeros(vaddr_t from, vaddr_t end) {
    uint8_t byte = 0;
    enum status status = OK;

    for (; from < end && status == OK && byte == 0; from++)
        status = copy_from_user(&byte, from, 1);
    return status == OK && byte != 0 ? ERR_TOO_BIG : status;
}
