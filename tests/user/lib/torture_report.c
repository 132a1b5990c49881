/*
 * What the torture prints at its end, and what must be as before: free frames, kernel heap, processes and threads,
 * exactly; and a last audit. See torture.h.
 */
#include "torture_report.h"

#include <stdio.h>

#include "penumbra.h"
#include "test.h"
#include "user/lib/native.h"

enum { SETTLE_MS = 3000 };

uint64_t torture_steps_done(void) {
    uint64_t sum = 0;
    for (unsigned lane = 0; lane < torture->lanes; lane++) {
        for (unsigned kind = 0; kind < TORTURE_KINDS; kind++) {
            sum += torture->lane[lane].done[kind];
        }
    }
    return sum;
}

static void print_kinds(const struct torture_kind *kinds, unsigned count, unsigned first, unsigned last,
                        double seconds) {
    for (unsigned kind = 0; kind < count; kind++) {
        uint64_t done = 0;
        for (unsigned lane = first; lane < last; lane++) {
            done += torture->lane[lane].done[kind];
        }
        printf("torture: %-18s %9llu %9.1f\n", kinds[kind].name, (unsigned long long)done, (double)done / seconds);
    }
}

void torture_print_table(double seconds) {
    uint64_t refused = 0;
    printf("torture: %-18s %9s %9s\n", "kind of step", "steps", "a second");
    print_kinds(torture_kinds, torture_kind_count, 1, torture->lanes, seconds);
    if (torture->penumbra) {
        print_kinds(torture_mode_kinds, torture_mode_kind_count, 0, 1, seconds);
    }
    printf("torture: steps by CPU:");
    for (unsigned cpu = 0; cpu < torture->cpus; cpu++) {
        printf(" %llu", (unsigned long long)torture->ended_on[cpu]);
    }
    printf("\n");
    for (unsigned lane = 0; lane < torture->lanes; lane++) {
        refused += torture->lane[lane].refused;
    }
    printf("torture: %-18s %9llu %9.1f; %llu refused for want of memory\n", "all",
           (unsigned long long)torture_steps_done(), (double)torture_steps_done() / seconds,
           (unsigned long long)refused);
}

static bool as_before(const struct asi_memory *now, const struct asi_memory *before) {
    enum { SPREAD = 4 };
    return penumbra_memory_is_as(now, before, SPREAD + penumbra_frames_kept(now, before));
}

/* What is freed asynchronously gets a moment. */
static struct asi_memory settled_memory(const struct asi_memory *expected) {
    struct asi_memory now = penumbra_memory();
    for (int waited = 0; waited < SETTLE_MS && !as_before(&now, expected); waited += 10) {
        test_sleep_ms(10);
        cache_drop();
        now = penumbra_memory();
    }
    return now;
}

bool torture_account(const struct asi_memory *before) {
    struct asi_memory now = settled_memory(before);
    bool whole = as_before(&now, before);
    printf("torture: %sframes free %llu → %llu, heap bytes %llu → %llu, processes %llu → %llu, threads %llu → %llu\n",
           whole ? "" : "FAIL something is lost: ", (unsigned long long)before->frames_free,
           (unsigned long long)now.frames_free, (unsigned long long)before->global_heap_bytes,
           (unsigned long long)now.global_heap_bytes, (unsigned long long)before->processes,
           (unsigned long long)now.processes, (unsigned long long)before->threads, (unsigned long long)now.threads);
    if (!whole) {
        printf(
            "torture: class by class: global %+lld, local %+lld, user %+lld, secret %+lld frames; of other processes "
            "%+lld, windows of this one %+lld, spare messages %+lld\n",
            (long long)(now.frames_global - before->frames_global),
            (long long)(now.frames_local - before->frames_local), (long long)(now.frames_user - before->frames_user),
            (long long)(now.frames_secret - before->frames_secret),
            (long long)(now.frames_of_others - before->frames_of_others),
            (long long)(now.frames_of_views - before->frames_of_views),
            (long long)(now.frames_of_spares - before->frames_of_spares));
    }
    return whole;
}

bool torture_final_audit(void) {
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    printf("torture: %llu audits during the run, %llu spaces, %llu pages; the last: %llu violations%s%s\n",
           (unsigned long long)torture->audits, (unsigned long long)torture->audit_spaces,
           (unsigned long long)torture->audit_leaves, penumbra_violations(&report), report.first[0] ? ": " : "",
           report.first);
    return penumbra_violations(&report) == 0;
}

/* What the machine did meanwhile, to see that it was no easy time. */
void torture_print_counters(const struct asi_counters *before) {
    struct asi_counters now = penumbra_counters(ASI_SCOPE_ALL);
    printf("torture: %llu process switches, %llu thread switches, %llu page faults, %llu exits, %llu CR3 writes\n",
           (unsigned long long)(now.process_switches - before->process_switches),
           (unsigned long long)(now.thread_switches - before->thread_switches),
           (unsigned long long)(now.page_faults - before->page_faults), penumbra_exits(&now) - penumbra_exits(before),
           (unsigned long long)(now.cr3_writes - before->cr3_writes));
    printf("torture: %llu windows made, %llu revoked, %llu TLB flushes, %llu shootdowns by %llu IPIs\n",
           (unsigned long long)(now.views_mapped - before->views_mapped),
           (unsigned long long)(now.views_revoked - before->views_revoked),
           (unsigned long long)(now.tlb_flushes - before->tlb_flushes),
           (unsigned long long)(now.shootdowns - before->shootdowns),
           (unsigned long long)(now.ipis_sent - before->ipis_sent));
}
