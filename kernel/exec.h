/*
 * Running a program: execve, and the first program of all.
 */
#ifndef KERNEL_EXEC_H
#define KERNEL_EXEC_H

#include "kernel/status.h"

/*
 * Makes the calling kernel-born thread, alone in a process with an empty user half, enter `path` when it returns to
 * user code. Once, for pid 1. `program`: what is to be run, if it is no file (the reference passes), or NULL. Errors as
 * execve's.
 */
struct memory_object;
MUST_USE enum status exec_first(const char *path, struct memory_object *program);

#endif
