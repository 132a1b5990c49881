/*
 * Owns: the table of exit sites: a fixed hash table, GLOBAL, of addresses and counts. When it is full, further sites
 * are counted under address 0.
 * Locks: entries are claimed and counted atomically. Space: any; no allocation, so it may be called on the way out.
 */
#include "asi/sites.h"

#include <stdbool.h>

#define SITES 256

static struct asi_site sites[SITES]; /* address 0 and count 0: free. The last one: overflow */

static bool claim(struct asi_site *site, uint64_t address, enum asi_cause cause) {
    uint64_t nobody = 0;
    if (__atomic_load_n(&site->address, __ATOMIC_ACQUIRE) == address)
        return site->cause == cause;
    if (!__atomic_compare_exchange_n(&site->address, &nobody, address, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return false;
    site->cause = cause;
    return true;
}

void asi_site_record(uint64_t address, enum asi_cause cause) {
    unsigned start = (unsigned)((address ^ address >> 8) * 31 + cause) % (SITES - 1);
    for (unsigned i = 0; i < SITES - 1; i++) {
        struct asi_site *site = &sites[(start + i) % (SITES - 1)];
        if (claim(site, address, cause)) {
            __atomic_fetch_add(&site->count, 1, __ATOMIC_RELAXED);
            return;
        }
    }
    __atomic_fetch_add(&sites[SITES - 1].count, 1, __ATOMIC_RELAXED);
}

unsigned asi_sites_top(struct asi_site *out, unsigned count) {
    unsigned used = 0;
    for (unsigned i = 0; i < SITES; i++) {
        if (sites[i].count == 0)
            continue;
        /* Insertion into what is kept, most frequent first. */
        unsigned place = used < count ? used : count;
        while (place > 0 && out[place - 1].count < sites[i].count) {
            if (place < count)
                out[place] = out[place - 1];
            place--;
        }
        if (place < count)
            out[place] = sites[i];
        if (used < count)
            used++;
    }
    return used;
}

void asi_sites_reset(void) {
    for (unsigned i = 0; i < SITES; i++)
        __atomic_store_n(&sites[i].count, 0, __ATOMIC_RELAXED);
}
