/*
 * Load averages: how many threads ran or wanted to, over a minute, five and fifteen. Metadata.
 */
#ifndef KERNEL_LOAD_H
#define KERNEL_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define LOAD_SHIFT 11 /* of its fraction */

/* Whether it is time for a sample: so cheap that each timer interrupt asks. */
bool load_is_due(uint64_t now);

/* Takes one, unless another CPU has. `runnable`: how many threads are now. Any context. */
void load_sample(uint64_t now, unsigned runnable);

/* The three averages, fixed point. */
void load_averages(uint64_t averages[3]);

#endif
