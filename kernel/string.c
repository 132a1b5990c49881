/*
 * Plain memory and strings. No state, no locks, any space, any context.
 *
 * memcpy and memset are compiled to the CPU's string instructions in place: "inline-all-stringops" makes the builtins
 * that, so that there is no assembly here and no call to themselves. O2 in every build: at O0 the builtins would be
 * such calls.
 */
#include "kernel/string.h"

#include <stdint.h>

#define STRING_INSTRUCTIONS __attribute__((target("inline-all-stringops"), optimize("O2"), section(".text.copy")))
/* A loop that the compiler must not turn into a call to the function that it is. */
#define PLAIN_LOOP __attribute__((optimize("O2", "no-tree-loop-distribute-patterns")))

STRING_INSTRUCTIONS void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    __builtin_memcpy(to, from, bytes);
    return to;
}

STRING_INSTRUCTIONS void *memset(void *to, int value, size_t bytes) {
    __builtin_memset(to, value, bytes);
    return to;
}

PLAIN_LOOP void *memmove(void *to, const void *from, size_t bytes) {
    uint8_t *target = to;
    const uint8_t *source = from;

    if ((uintptr_t)target - (uintptr_t)source >= bytes && (uintptr_t)source - (uintptr_t)target >= bytes)
        return memcpy(to, from, bytes);
    if (target <= source) {
        for (size_t i = 0; i < bytes; i++)
            target[i] = source[i];
    } else {
        for (size_t i = bytes; i > 0; i--)
            target[i - 1] = source[i - 1];
    }
    return to;
}

PLAIN_LOOP int memcmp(const void *a, const void *b, size_t bytes) {
    const uint8_t *left = a, *right = b;

    for (size_t i = 0; i < bytes; i++) {
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    }
    return 0;
}

PLAIN_LOOP size_t strlen(const char *text) {
    size_t length = 0;

    while (text[length] != '\0')
        length++;
    return length;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

PLAIN_LOOP int strncmp(const char *a, const char *b, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        uint8_t left = (uint8_t)a[i], right = (uint8_t)b[i];

        if (left != right)
            return left < right ? -1 : 1;
        if (left == 0)
            break;
    }
    return 0;
}

size_t strlcpy(char *to, const char *from, size_t size) {
    size_t length = strlen(from);
    size_t copied = length < size ? length : size - 1;

    memcpy(to, from, copied);
    to[copied] = '\0';
    return length;
}

bool memory_is_zero(const void *memory, size_t bytes) {
    const uint64_t *word = memory;
    size_t words = bytes / sizeof(*word), i = 0;

    for (; i + 4 <= words; i += 4) {
        if (word[i] | word[i + 1] | word[i + 2] | word[i + 3])
            return false;
    }
    for (; i < words; i++) {
        if (word[i] != 0)
            return false;
    }
    return true;
}
