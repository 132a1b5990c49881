/*
 * Typed wrappers of the ASI system call. Holds no state.
 */
#include "user/lib/asi.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The arithmetic walks the structure as an array. */
enum { COUNTER_FIELDS = sizeof(struct asi_counters) / sizeof(uint64_t) };
_Static_assert(sizeof(struct asi_counters) == (ASI_CAUSES + 17) * sizeof(uint64_t), "every counter is a uint64_t");

static const char *const mode_names[ASI_MODES] = {"none", "classic", "naive", "asi"};
static const char *const cause_names[ASI_CAUSES] = {"file",  "zero",  "cow",  "ipc",   "fork", "exec",
                                                    "table", "death", "mode", "debug", "other"};
static const char *const break_names[ASI_BREAKS] = {"nothing",       "reach-secret", "reach-foreign", "reach-view",
                                                    "reach-filling", "reach-moved",  "clean",         "gate"};

static long asi_call(enum asi_op op, long argument, void *buffer, size_t size) {
    return syscall(SYS_ASI, (long)op, argument, buffer, size);
}

static int asi_done(long result) { return result < 0 ? -1 : 0; }

int asi_get_state(struct asi_state *state) { return asi_done(asi_call(ASI_OP_STATE, 0, state, sizeof *state)); }

int asi_set_mode(enum asi_mode mode) { return asi_done(asi_call(ASI_OP_SET_MODE, (long)mode, NULL, 0)); }

int asi_set_flush(const struct asi_flush *flush) {
    struct asi_flush copy = *flush;
    return asi_done(asi_call(ASI_OP_SET_FLUSH, 0, &copy, sizeof copy));
}

int asi_set_views(enum asi_views design) { return asi_done(asi_call(ASI_OP_SET_VIEWS, (long)design, NULL, 0)); }

int asi_get_counters(long scope, struct asi_counters *counters) {
    return asi_done(asi_call(ASI_OP_COUNTERS, scope, counters, sizeof *counters));
}

long asi_get_sites(struct asi_site *sites, size_t max) { return asi_call(ASI_OP_SITES, 0, sites, max * sizeof *sites); }

void asi_symbolise(uint64_t address, char *text, size_t size) {
    long length = asi_call(ASI_OP_SYMBOL, (long)address, text, size - 1);
    if (length <= 0 || (size_t)length >= size) {
        snprintf(text, size, "0x%" PRIx64, address);
        return;
    }
    text[length] = '\0';
}

int asi_run_audit(enum asi_break deliberate, struct asi_audit_report *report) {
    return asi_done(asi_call(ASI_OP_AUDIT, (long)deliberate, report, sizeof *report));
}

int asi_get_memory(struct asi_memory *memory) { return asi_done(asi_call(ASI_OP_MEMORY, 0, memory, sizeof *memory)); }

int asi_reset_counters(void) { return asi_done(asi_call(ASI_OP_RESET, 0, NULL, 0)); }

int asi_begin_tally(void) { return asi_done(asi_call(ASI_OP_TALLY, 1, NULL, 0)); }

int asi_end_tally(struct asi_tally *tally) { return asi_done(asi_call(ASI_OP_TALLY, 0, tally, sizeof *tally)); }

int asi_force_exit(void) { return asi_done(asi_call(ASI_OP_EXIT, 0, NULL, 0)); }

long asi_get_domains(struct asi_domain *domains, size_t max) {
    return asi_call(ASI_OP_DOMAINS, 0, domains, max * sizeof *domains);
}

int asi_set_trust(uint32_t domain, uint32_t peer, bool trusts) {
    struct asi_trust_change change = {.domain = domain, .peer = peer, .trusts = trusts};
    return asi_done(asi_call(ASI_OP_TRUST, 0, &change, sizeof change));
}

int asi_move_process(uint32_t pid, uint32_t domain) {
    struct asi_move move = {.pid = pid, .domain = domain};
    return asi_done(asi_call(ASI_OP_MOVE, 0, &move, sizeof move));
}

int asi_new_domain(void) { return prctl(PR_ASI_DOMAIN_NEW, 0L, 0L, 0L, 0L); }

int asi_leave_domain(void) { return prctl(PR_ASI_DOMAIN_LEAVE, 0L, 0L, 0L, 0L); }

static const char *name_of(const char *const *names, unsigned count, unsigned value) {
    return value < count ? names[value] : "?";
}

static bool value_of(const char *const *names, unsigned count, const char *text, unsigned *value) {
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

const char *asi_mode_name(enum asi_mode mode) { return name_of(mode_names, ASI_MODES, mode); }

const char *asi_cause_name(enum asi_cause cause) { return name_of(cause_names, ASI_CAUSES, cause); }

const char *asi_break_name(enum asi_break deliberate) { return name_of(break_names, ASI_BREAKS, deliberate); }

bool asi_parse_mode(const char *text, enum asi_mode *mode) {
    unsigned value;
    if (!value_of(mode_names, ASI_MODES, text, &value)) {
        return false;
    }
    *mode = value;
    return true;
}

bool asi_parse_break(const char *text, enum asi_break *deliberate) {
    unsigned value;
    if (!value_of(break_names, ASI_BREAKS, text, &value)) {
        return false;
    }
    *deliberate = value;
    return true;
}

bool asi_parse_flush(const char *text, struct asi_flush *flush) {
    struct asi_flush parsed = {0};
    char rest;
    if (strcmp(text, "off") == 0) {
        parsed.kind = ASI_FLUSH_OFF;
    } else if (strcmp(text, "auto") == 0) {
        parsed.kind = ASI_FLUSH_AUTO;
    } else if (sscanf(text, "cost:%" SCNu32 ",%" SCNu32 ",%" SCNu32 "%c", &parsed.ibpb_ticks, &parsed.verw_ticks,
                      &parsed.cr3_ticks, &rest) == 3) {
        parsed.kind = ASI_FLUSH_COST;
    } else {
        return false;
    }
    *flush = parsed;
    return true;
}

void asi_format_flush(const struct asi_flush *flush, char separator, char *text, size_t size) {
    switch (flush->kind) {
    case ASI_FLUSH_OFF:
        snprintf(text, size, "off");
        break;
    case ASI_FLUSH_AUTO:
        snprintf(text, size, "auto");
        break;
    default:
        snprintf(text, size, "cost:%" PRIu32 "%c%" PRIu32 "%c%" PRIu32, flush->ibpb_ticks, separator, flush->verw_ticks,
                 separator, flush->cr3_ticks);
    }
}

struct asi_counters asi_counters_difference(const struct asi_counters *after, const struct asi_counters *before) {
    struct asi_counters result;
    const uint64_t *a = (const uint64_t *)after, *b = (const uint64_t *)before;
    for (unsigned i = 0; i < COUNTER_FIELDS; i++) {
        ((uint64_t *)&result)[i] = a[i] - b[i];
    }
    return result;
}

void asi_counters_add(struct asi_counters *sum, const struct asi_counters *more) {
    for (unsigned i = 0; i < COUNTER_FIELDS; i++) {
        ((uint64_t *)sum)[i] += ((const uint64_t *)more)[i];
    }
}

void asi_counters_reduce(struct asi_counters *value, const struct asi_counters *less) {
    uint64_t *v = (uint64_t *)value;
    const uint64_t *l = (const uint64_t *)less;
    for (unsigned i = 0; i < COUNTER_FIELDS; i++) {
        v[i] = v[i] > l[i] ? v[i] - l[i] : 0;
    }
}

void asi_counters_least(struct asi_counters *least, const struct asi_counters *other) {
    uint64_t *l = (uint64_t *)least;
    const uint64_t *o = (const uint64_t *)other;
    for (unsigned i = 0; i < COUNTER_FIELDS; i++) {
        l[i] = o[i] < l[i] ? o[i] : l[i];
    }
}

uint64_t asi_total_exits(const struct asi_counters *counters) {
    uint64_t total = 0;
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++) {
        total += counters->exits[cause];
    }
    return total;
}
