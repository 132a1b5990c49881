/*
 * A seed from a device reaches every process's generator at once, so that nobody has to leave his restricted space for
 * it when he draws.
 *
 * Generators are LOCAL: the one who brings the seed may not see them. So this runs unrestricted, with the other CPUs
 * standing still where they hold nothing: no generator is in the middle of a draw. Children get their keys from their
 * parents. Invariants: REACH, RESIDUE – seed and generators are touched through PHYSMAP and on this thread's stack
 * only.
 */
#include "asi/asi.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/random.h"
#include "kernel/stop.h"
#include "kernel/string.h"
#include "mm/ephmap.h"

/* The process's struct local as PHYSMAP has it, or NULL: it is about to die, or not made yet. */
static struct local *find_local(const struct process *process) {
    frame_t table = process->roots.restricted;
    for (unsigned level = 4; level > 0; level--) {
        if (frame_is_none(table))
            return NULL;
        const pte_t entry = ((const pte_t *)physmap(table))[table_index(LOCAL_BASE, level)];
        if (!pte_present(entry))
            return NULL;
        table = pte_frame(entry);
    }
    return physmap(table);
}

void random_seed(const uint8_t seed[RANDOM_SEED_BYTES]) {
    uint32_t words[RANDOM_SEED_BYTES / sizeof(uint32_t)];
    memcpy(words, seed, sizeof words);
    stop_others();
    asi_exit(ASI_CAUSE_OTHER);
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);
        struct local *local = find_local(process);
        if (local != NULL)
            random_stir(&local->random, words, process->id);
    }
    resume_others(NULL);
    memset(words, 0, sizeof words);
}
