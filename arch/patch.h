/*
 * Code patched once at start-up, and the switch for global pages.
 */
#ifndef ARCH_PATCH_H
#define ARCH_PATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Turns the SMAP sites into stac/clac. `writable` gives a writable alias of a kernel text address. Before user code
 * runs. */
void smap_patch(void *(*writable)(void *));

/*
 * Makes a branch that leads to `from` lead to `to`. `displacement`: the address of its last four bytes, in text, and
 * `alias`, where that can be written. Ensures that the branch is what the caller takes it for. One CPU, before user
 * code runs.
 */
void patch_branch(const void *displacement, void *alias, uint64_t from, uint64_t to);

/* CR4.PGE of this CPU: off in mode classic, where no kernel translation may outlive the switch to the user root. */
void cpu_set_global_pages(bool on);

#endif
