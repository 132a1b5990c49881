/*
 * Owns the counters as they were at the last look. What it says is what /proc/asi says to everybody, by the call that
 * asistat uses: to open files this driver might have to wait for a server that waits for it.
 */
#include "drivers/console/status.h"

#include <stdio.h>
#include <sys/sysinfo.h>

#include "user/lib/asi.h"

#define SECOND_NS 1000000000.0
enum { CAUSES_SHOWN = 2, RED = 52, GREY = 238, BROWN = 94, GREEN = 22 };

static struct asi_counters before;
static uint64_t before_ns;

static double per_second(uint64_t count, uint64_t ns) { return ns > 0 ? (double)count * SECOND_NS / (double)ns : 0; }

static size_t append(char *text, size_t size, size_t length, int count) {
    (void)text;
    return count > 0 && length + (size_t)count < size ? length + (size_t)count : size - 1;
}

/* In which spaces the kernel has run since the last look. */
static const char *space_of(enum asi_mode mode, uint64_t exits) {
    if (mode == ASI_MODE_NONE || mode == ASI_MODE_CLASSIC) {
        return mode == ASI_MODE_NONE ? "the only one" : "the only one, split from users";
    }
    return exits == 0 ? "restricted" : "restricted, unrestricted";
}

static size_t say_causes(char *text, size_t size, size_t length, const struct asi_counters *passed, uint64_t ns) {
    struct asi_counters left = *passed;
    for (unsigned shown = 0; shown < CAUSES_SHOWN; shown++) {
        unsigned most = 0;
        for (unsigned cause = 1; cause < ASI_CAUSES; cause++) {
            most = left.exits[cause] > left.exits[most] ? cause : most;
        }
        if (left.exits[most] == 0) {
            break;
        }
        length = append(text, size, length,
                        snprintf(text + length, size - length, "%s%s %.0f", shown == 0 ? " (" : ", ",
                                 asi_cause_name(most), per_second(left.exits[most], ns)));
        left.exits[most] = 0;
    }
    if (asi_total_exits(passed) > 0) {
        length = append(text, size, length, snprintf(text + length, size - length, ")"));
    }
    return length;
}

static size_t say_machine(char *text, size_t size, size_t length, const struct asi_counters *passed, uint64_t ns,
                          unsigned cpus) {
    struct sysinfo info = {0};
    sysinfo(&info);
    const double idle = per_second(passed->idle_ns, ns) / SECOND_NS / cpus;
    const double busy = idle < 1 ? 100 * (1 - idle) : 0;
    return append(text, size, length,
                  snprintf(text + length, size - length, " | CPU %.0f%% of %u | %u processes | %lu:%02lu", busy, cpus,
                           info.procs, (unsigned long)info.uptime / 60, (unsigned long)info.uptime % 60));
}

uint8_t status_line(char *text, size_t size, uint64_t now) {
    static const uint8_t papers[ASI_MODES] = {RED, GREY, BROWN, GREEN};
    struct asi_state state = {0};
    struct asi_counters counters = before;
    asi_get_state(&state);
    asi_get_counters(ASI_SCOPE_ALL, &counters);
    struct asi_counters passed = counters;
    asi_counters_reduce(&passed, &before); /* they may have been set to zero meanwhile */
    const uint64_t ns = before_ns != 0 ? now - before_ns : 0, exits = asi_total_exits(&passed);
    before = counters;
    before_ns = now;

    size_t length = append(text, size, 0,
                           snprintf(text, size, " mode %s | space: %s | %.0f exits/s", asi_mode_name(state.mode),
                                    space_of(state.mode, exits), per_second(exits, ns)));
    length = say_causes(text, size, length, &passed, ns);
    length = append(text, size, length,
                    snprintf(text + length, size - length, " | %.0f CR3 writes/s", per_second(passed.cr3_writes, ns)));
    say_machine(text, size, length, &passed, ns, state.cpus > 0 ? state.cpus : 1);
    return state.mode < ASI_MODES ? papers[state.mode] : GREY;
}
