/*
 * The FS and GS bases of user code, as the running thread has them in the registers.
 */
#ifndef ARCH_USER_SEGMENTS_H
#define ARCH_USER_SEGMENTS_H

#include <stdint.h>

/* The value must be a user address (checked by the caller). Interrupts on or off. */
void user_fs_set(uint64_t base);
uint64_t user_fs_get(void);
void user_gs_set(uint64_t base);
uint64_t user_gs_get(void);

#endif
