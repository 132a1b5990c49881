/*
 * The string functions that the compiler and the kernel need. Plain memory only: user memory goes through
 * arch/uaccess.h.
 */
#ifndef KERNEL_STRING_H
#define KERNEL_STRING_H

#include <stdbool.h>
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t bytes);

/* Copies with truncation; always terminates (size > 0). Returns strlen(from). */
size_t strlcpy(char *to, const char *from, size_t size);

/* Whether all bytes are zero. bytes must be a multiple of 8, memory aligned to 8. */
bool memory_is_zero(const void *memory, size_t bytes);

#endif
