/*
 * The strings that a new program gets: argv, then envp, one behind the other in LOCAL pages, until the new stack is
 * there.
 */
#ifndef KERNEL_EXEC_ARGUMENTS_H
#define KERNEL_EXEC_ARGUMENTS_H

#include <stddef.h>

#include "kernel/status.h"
#include "mm/types.h"

/* For one string, as on Linux; for all of them with their pointers a quarter of RLIMIT_STACK, between these. */
#define ARGUMENT_STRING_MAX (128 * 1024UL)
#define ARGUMENTS_LEAST     (128 * 1024UL)
#define ARGUMENTS_MAX       (2 * 1024 * 1024UL)

struct exec_arguments {
    char **pages; /* LOCAL, one page of pointers to pages of characters */
    size_t bytes; /* of strings, terminators included */
    unsigned argc, envc;
};

/* ERR_NO_MEMORY. */
MUST_USE enum status arguments_init(struct exec_arguments *arguments);
void arguments_free(struct exec_arguments *arguments);

/* Append one string; the caller counts it in argc or envc. ERR_TOO_BIG, ERR_NO_MEMORY; from user memory ERR_FAULT. */
MUST_USE enum status arguments_add(struct exec_arguments *arguments, const char *text);
MUST_USE enum status arguments_add_from_user(struct exec_arguments *arguments, vaddr_t text);

/*
 * Appends all strings of a user array that ends with NULL, leaving out the first `skip`; *count is raised by their
 * number. An array at 0 is empty.
 */
MUST_USE enum status arguments_add_array(struct exec_arguments *arguments, vaddr_t array, unsigned skip,
                                         unsigned *count);

/* Copies all strings to user memory at `to`. ERR_FAULT, ERR_NO_MEMORY. */
MUST_USE enum status arguments_copy_out(const struct exec_arguments *arguments, vaddr_t to);

/* Where the string behind the one at `offset` begins. */
size_t arguments_next(const struct exec_arguments *arguments, size_t offset);

#endif
