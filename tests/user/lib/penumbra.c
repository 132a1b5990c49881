/* The tests' wrappers of SYS_ASI. See penumbra.h. */
#include "penumbra.h"

#include <errno.h>
#include <unistd.h>

#include "test.h"

const char *const penumbra_mode_names[ASI_MODES] = {"none", "classic", "naive", "asi"};

long penumbra_call(long op, long argument, void *buffer, size_t size) {
    return syscall(SYS_ASI, op, argument, buffer, size);
}

bool on_penumbra(void) {
    struct asi_state state;
    return penumbra_call(ASI_OP_STATE, 0, &state, sizeof(state)) >= 0;
}

struct asi_state penumbra_state(void) {
    struct asi_state state = {0};
    CHECK_OK(penumbra_call(ASI_OP_STATE, 0, &state, sizeof(state)));
    return state;
}

struct asi_memory penumbra_memory(void) {
    struct asi_memory memory = {0};
    CHECK_OK(penumbra_call(ASI_OP_MEMORY, 0, &memory, sizeof(memory)));
    return memory;
}

struct asi_counters penumbra_counters(long scope) {
    struct asi_counters counters = {0};
    CHECK_OK(penumbra_call(ASI_OP_COUNTERS, scope, &counters, sizeof(counters)));
    return counters;
}

struct asi_audit_report penumbra_audit(enum asi_break broken) {
    struct asi_audit_report report = {0};
    CHECK_OK(penumbra_call(ASI_OP_AUDIT, broken, &report, sizeof(report)));
    return report;
}

void penumbra_set_mode(enum asi_mode mode) { CHECK_OK(penumbra_call(ASI_OP_SET_MODE, mode, NULL, 0)); }

uint64_t penumbra_frames_accounted(const struct asi_memory *memory) {
    return memory->frames_free + memory->frames_of_others + memory->frames_of_views + memory->frames_of_spares +
           memory->frames_global;
}

uint64_t penumbra_heap_accounted(const struct asi_memory *memory) {
    return memory->global_heap_bytes - memory->heap_of_spares;
}

uint64_t penumbra_frames_kept(const struct asi_memory *now, const struct asi_memory *before) {
    return now->frames_of_spares > before->frames_of_spares ? now->frames_of_spares - before->frames_of_spares : 0;
}

bool penumbra_memory_is_as(const struct asi_memory *now, const struct asi_memory *before, uint64_t spread) {
    return penumbra_frames_accounted(now) == penumbra_frames_accounted(before) &&
           now->frames_global <= before->frames_global + spread &&
           penumbra_heap_accounted(now) == penumbra_heap_accounted(before) && now->processes == before->processes &&
           now->threads == before->threads;
}

unsigned long long penumbra_exits(const struct asi_counters *counters) {
    unsigned long long total = 0;
    for (int cause = 0; cause < ASI_CAUSES; cause++) {
        total += counters->exits[cause];
    }
    return total;
}

unsigned long long penumbra_violations(const struct asi_audit_report *report) {
    return report->reach_violations + report->clean_violations + report->gate_violations;
}
