/*
 * Owns: the table of exit sites: a fixed hash table, GLOBAL, of addresses and counts. When it is full, further sites
 * are counted under address 0.
 * Locks: entries are claimed and counted atomically. Space: any; no allocation, so it may be called on the way out.
 */
#include "asi/sites.h"

#include <stdbool.h>

#define SITES      256
#define CAUSE_BITS 8 /* a kernel address is the same without its upper bits, which are all one */
_Static_assert(ASI_CAUSES <= 1 << CAUSE_BITS, "a cause and an address in one word");

struct site {
    uint64_t key;   /* address and cause, claimed at one go; 0: free. Atomic */
    uint64_t count; /* atomic */
};

const char *const asi_cause_names[ASI_CAUSES] = {"file",  "zero",  "cow",  "ipc",   "fork", "exec",
                                                 "table", "death", "mode", "debug", "other"};

static struct site sites[SITES]; /* the last one: overflow */

static uint64_t key_of(uint64_t address, enum asi_cause cause) { return address << CAUSE_BITS | cause; }

static bool claim(struct site *site, uint64_t key) {
    uint64_t owner = __atomic_load_n(&site->key, __ATOMIC_RELAXED);
    if (owner == 0 && __atomic_compare_exchange_n(&site->key, &owner, key, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return true;
    return owner == key;
}

void asi_site_record(uint64_t address, enum asi_cause cause) {
    unsigned start = (unsigned)((address ^ address >> 8) * 31 + cause) % (SITES - 1);
    for (unsigned i = 0; i < SITES - 1; i++) {
        struct site *site = &sites[(start + i) % (SITES - 1)];
        if (claim(site, key_of(address, cause))) {
            __atomic_fetch_add(&site->count, 1, __ATOMIC_RELAXED);
            return;
        }
    }
    __atomic_fetch_add(&sites[SITES - 1].count, 1, __ATOMIC_RELAXED);
}

static struct asi_site report_of(const struct site *site) {
    uint64_t key = __atomic_load_n(&site->key, __ATOMIC_RELAXED);
    return (struct asi_site){
        .address = (uint64_t)((int64_t)key >> CAUSE_BITS),
        .cause = (uint32_t)(key & ((1U << CAUSE_BITS) - 1)),
        .count = __atomic_load_n(&site->count, __ATOMIC_RELAXED),
    };
}

unsigned asi_sites_top(struct asi_site *out, unsigned count) {
    unsigned used = 0;
    for (unsigned i = 0; i < SITES; i++) {
        const struct asi_site site = report_of(&sites[i]);
        if (site.count == 0)
            continue;
        /* Insertion into what is kept, most frequent first. */
        unsigned place = used < count ? used : count;
        while (place > 0 && out[place - 1].count < site.count) {
            if (place < count)
                out[place] = out[place - 1];
            place--;
        }
        if (place < count)
            out[place] = site;
        if (used < count)
            used++;
    }
    return used;
}

void asi_sites_reset(void) {
    for (unsigned i = 0; i < SITES; i++)
        __atomic_store_n(&sites[i].count, 0, __ATOMIC_RELAXED);
}
