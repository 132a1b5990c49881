/*
 * Running a program: execve, and the first program of all.
 */
#ifndef KERNEL_EXEC_H
#define KERNEL_EXEC_H

#include "kernel/status.h"

/*
 * Makes the calling kernel-born thread, alone in a process with an empty user half, enter `path` when it returns to
 * user code. Once, for pid 1. Errors as execve's.
 */
MUST_USE enum status exec_first(const char *path);

#endif
