/*
 * asictl: show or set the isolation.
 *
 * Exit status: 0 done, 1 refused by the kernel or (audit) a violation was found, 2 wrong usage.
 */
#include "user/lib/asi.h"
#include "user/lib/ticks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int usage(void) {
    fputs("usage: asictl                             show the state\n"
          "       asictl mode [none|classic|naive|asi]\n"
          "       asictl flush auto|off|cost:IBPB,VERW,CR3\n"
          "       asictl audit [BREAK]               BREAK: reach-secret, reach-foreign, reach-view,\n"
          "                                          reach-filling, reach-moved, clean, gate\n"
          "       asictl reset                       zero the counters\n"
          "       asictl exit [N]                    measure N deliberate exits\n"
          "       asictl domain                      list the trust domains\n"
          "       asictl domain new -- COMMAND...    run a command in a domain of its own\n"
          "       asictl domain PID N                put a process into domain N; 0: into none\n"
          "       asictl trust A B on|off            whether domain A trusts domain B\n",
          stderr);
    return 2;
}

static int refused(const char *what) {
    if (errno == ENOSYS) {
        fputs("asictl: this kernel is not Penumbra\n", stderr);
    } else {
        fprintf(stderr, "asictl: %s: %s\n", what, strerror(errno));
    }
    return 1;
}

static const char *yes(uint32_t flag) { return flag ? "yes" : "no"; }

static int show_memory(void) {
    struct asi_memory memory;
    if (asi_get_memory(&memory) < 0) {
        return refused("memory");
    }
    printf("frames    %" PRIu64 " = free %" PRIu64 ", global %" PRIu64 ", local %" PRIu64 ", user %" PRIu64
           ", secret %" PRIu64 "\n",
           memory.frames_total, memory.frames_free, memory.frames_global, memory.frames_local, memory.frames_user,
           memory.frames_secret);
    printf("heap      %" PRIu64 " bytes of global objects\n", memory.global_heap_bytes);
    printf("running   %" PRIu64 " processes, %" PRIu64 " threads\n", memory.processes, memory.threads);
    return 0;
}

static int show_state(void) {
    struct asi_state state;
    char flush[64];
    if (asi_get_state(&state) < 0) {
        return refused("state");
    }
    asi_format_flush(&state.flush, ',', flush, sizeof flush);
    printf("mode      %s\n", asi_mode_name(state.mode));
    printf("flush     %s\n", flush);
    printf("cpus      %" PRIu32 "\n", state.cpus);
    printf("features  IBPB %s, MD_CLEAR %s, PCID %s, SMAP %s\n", yes(state.has_ibpb), yes(state.has_md_clear),
           yes(state.has_pcid), yes(state.has_smap));
    printf("clock     TSC at %.1f MHz\n", (double)state.tsc_hz / 1e6);
    if (state.tsc_hz != 0) {
        printf("boot      %.3f s from the kernel's first instruction to the first user instruction\n",
               (double)state.boot_to_user_ticks / (double)state.tsc_hz);
    }
    return show_memory();
}

/* Nothing else: for a shell's prompt. */
static int show_mode(void) {
    struct asi_state state;
    if (asi_get_state(&state) < 0) {
        return refused("state");
    }
    puts(asi_mode_name(state.mode));
    return 0;
}

static int set_mode(const char *name) {
    enum asi_mode mode;
    if (!asi_parse_mode(name, &mode)) {
        return usage();
    }
    return asi_set_mode(mode) < 0 ? refused(name) : 0;
}

static int set_flush(const char *text) {
    struct asi_flush flush;
    if (!asi_parse_flush(text, &flush)) {
        return usage();
    }
    return asi_set_flush(&flush) < 0 ? refused(text) : 0;
}

static int audit(const char *name) {
    enum asi_break deliberate = ASI_BREAK_NOTHING;
    struct asi_audit_report report;
    if (name != NULL && !asi_parse_break(name, &deliberate)) {
        return usage();
    }
    if (asi_run_audit(deliberate, &report) < 0) {
        return refused("audit");
    }
    uint64_t violations = report.reach_violations + report.clean_violations + report.gate_violations;
    printf("audit     %" PRIu64 " spaces, %" PRIu64 " mappings, %" PRIu64 " free frames\n", report.spaces_walked,
           report.leaves_checked, report.free_frames_checked);
    printf("violated  REACH %" PRIu64 ", CLEAN %" PRIu64 ", GATE %" PRIu64 "\n", report.reach_violations,
           report.clean_violations, report.gate_violations);
    if (violations != 0) {
        printf("first     %.*s\n", (int)sizeof report.first, report.first);
    }
    return violations != 0;
}

/* The price of one exit and of the enter that follows; getppid is the same call without them. */
static int measure_exit(const char *text) {
    long count = text == NULL ? 1000 : strtol(text, NULL, 10);
    if (count <= 0) {
        return usage();
    }
    uint64_t start = ticks_now();
    for (long i = 0; i < count; i++) {
        if (asi_force_exit() < 0) {
            return refused("exit");
        }
    }
    uint64_t middle = ticks_now();
    for (long i = 0; i < count; i++) {
        getppid();
    }
    uint64_t end = ticks_now();
    printf("exit      %.1f ticks each, %ld measured (getppid: %.1f)\n", (double)(middle - start) / (double)count, count,
           (double)(end - middle) / (double)count);
    return 0;
}

/* --- Trust -------------------------------------------------------------------------------------------------------- */

static bool parse_number(const char *text, uint32_t most, uint32_t *value) {
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || number > most) {
        return false;
    }
    *value = (uint32_t)number;
    return true;
}

static void show_domain(const struct asi_domain *domain) {
    printf("%6" PRIu32 "  %7" PRIu32 "  %5" PRIu32 "  ", domain->number, domain->members, domain->owner);
    for (unsigned peer = 1; peer < ASI_DOMAINS; peer++) {
        if (domain->trusts >> peer & 1) {
            printf("%u ", peer);
        }
    }
    puts(domain->trusts == 0 ? "nobody else" : "");
}

static int list_domains(void) {
    struct asi_domain domains[ASI_DOMAINS];
    long count = asi_get_domains(domains, ASI_DOMAINS);
    if (count < 0) {
        return refused("domain");
    }
    puts("domain  members  owner  trusts");
    for (long i = 0; i < count; i++) {
        show_domain(&domains[i]);
    }
    return 0;
}

static int run_in_new_domain(char **command) {
    if (asi_new_domain() < 0) {
        return refused("domain new");
    }
    execvp(command[0], command);
    return refused(command[0]);
}

static int domain(int count, char **words) {
    uint32_t pid, number;
    if (count == 0) {
        return list_domains();
    }
    if (count > 2 && strcmp(words[0], "new") == 0 && strcmp(words[1], "--") == 0) {
        return run_in_new_domain(words + 2);
    }
    if (count != 2 || !parse_number(words[0], INT32_MAX, &pid) || !parse_number(words[1], ASI_DOMAINS - 1, &number)) {
        return usage();
    }
    return asi_move_process(pid, number) < 0 ? refused("domain") : 0;
}

static int trust(int count, char **words) {
    uint32_t own, peer;
    if (count != 3 || !parse_number(words[0], ASI_DOMAINS - 1, &own) ||
        !parse_number(words[1], ASI_DOMAINS - 1, &peer)) {
        return usage();
    }
    bool on = strcmp(words[2], "on") == 0;
    if (!on && strcmp(words[2], "off") != 0) {
        return usage();
    }
    return asi_set_trust(own, peer, on) < 0 ? refused("trust") : 0;
}

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : NULL;
    const char *argument = argc > 2 ? argv[2] : NULL;
    if (verb != NULL && strcmp(verb, "domain") == 0) {
        return domain(argc - 2, argv + 2);
    }
    if (verb != NULL && strcmp(verb, "trust") == 0) {
        return trust(argc - 2, argv + 2);
    }
    if (argc > 3) {
        return usage();
    }
    if (verb == NULL) {
        return show_state();
    }
    if (strcmp(verb, "mode") == 0) {
        return argument != NULL ? set_mode(argument) : show_mode();
    }
    if (strcmp(verb, "flush") == 0 && argument != NULL) {
        return set_flush(argument);
    }
    if (strcmp(verb, "audit") == 0) {
        return audit(argument);
    }
    if (strcmp(verb, "exit") == 0) {
        return measure_exit(argument);
    }
    if (strcmp(verb, "reset") == 0 && argument == NULL) {
        return asi_reset_counters() < 0 ? refused("reset") : 0;
    }
    return usage();
}
