/*
 * Code patched once at start-up, and the switch for global pages.
 */
#ifndef ARCH_PATCH_H
#define ARCH_PATCH_H

#include <stdbool.h>

/* Turns the SMAP sites into stac/clac. `writable` gives a writable alias of a kernel text address. Before user code
 * runs. */
void smap_patch(void *(*writable)(void *));

/* CR4.PGE of this CPU: off in mode classic, where no kernel translation may outlive the switch to the user root. */
void cpu_set_global_pages(bool on);

#endif
