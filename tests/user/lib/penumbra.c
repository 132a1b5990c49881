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
