/*
 * The torture's steps on the isolation itself: the mode and the flushes change under everything, and audits look at
 * the whole machine. Lane 0 does these and nothing else. See torture.h.
 */
#include "torture.h"

#include "penumbra.h"

#include <errno.h>

/* All four, asi as often as the others together. */
void step_mode(struct step *step) {
    uint64_t choice = step_below(step, 2 * (ASI_MODES - 1));
    enum asi_mode mode = choice < ASI_MODES - 1 ? (enum asi_mode)choice : ASI_MODE_ASI;
    STEP_CHECK_EQ(step, penumbra_call(ASI_OP_SET_MODE, mode, NULL, 0), 0);
    step_nap(step, 1000, 60000);
}

void step_flush(struct step *step) {
    struct asi_flush flush = {.kind = (uint32_t)step_below(step, 3)};
    if (flush.kind == ASI_FLUSH_COST) {
        flush.ibpb_ticks = (uint32_t)step_below(step, 3000);
        flush.verw_ticks = (uint32_t)step_below(step, 500);
        flush.cr3_ticks = (uint32_t)step_below(step, 500);
    }
    STEP_CHECK_EQ(step, penumbra_call(ASI_OP_SET_FLUSH, 0, &flush, sizeof(flush)), 0);
    step_nap(step, 1000, 20000);
}

void step_audit(struct step *step) {
    struct asi_audit_report report = {0};
    STEP_CHECK_EQ(step, penumbra_call(ASI_OP_AUDIT, ASI_BREAK_NOTHING, &report, sizeof(report)), 0);
    atomic_fetch_add(&torture->audits, 1);
    atomic_fetch_add(&torture->audit_spaces, report.spaces_walked);
    atomic_fetch_add(&torture->audit_leaves, report.leaves_checked);
    if (penumbra_violations(&report) != 0) {
        step_fail(step, __FILE__, __LINE__, "audit: %llu violations: %s", penumbra_violations(&report), report.first);
    }
    step_nap(step, 1000, 20000);
}
