/*
 * The fuzzer of system calls (fuzz.h): rounds of families in mode asi and mode naive in turn, each eighth as root, and
 * after each round what must hold (judge.c). On Penumbra only.
 *
 *     fuzz [--calls=100000] [--seed=1] [--first=0] [--families=N] [--per-lane=N] [--at-once=N] [--round=calls]
 *          [--what=calls|served|elf|messages] [--modes=asi,naive] [--root=0|1|2] [--only=read,mmap] [--trace=1]
 *          [--go-on=1]
 *
 * `what`: families in directories of their own, or in those of file servers that answer as they like (server.c); or
 * programs with fields changed (elf.c), each for 20 calls; or messages to servers (messages.c). `first`, `families`:
 * these families alone, as a run with this seed had them. `root`: never, each eighth round, always. `go-on`: a loss
 * does not end the run. `only`: these calls. `trace`: each call is printed before it is made. From the kernel's command
 * line as fuzz.calls=100000 (user/init/main.c).
 *
 * A line `fuzz: round …` for each round; the last line is `fuzz: PASS …` or `fuzz: FAIL …`. Exit status 0; 1 something
 * was lost or violated; 2 wrong usage; 3 a process that cannot be killed.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { ROOT_NEVER, ROOT_SOMETIMES, ROOT_ALWAYS, ROOT_EACH = 8, ATTEMPTS = 5, CALLS_SHOWN = 12, PROGRAM_CALLS = 20 };

struct fuzz_shared *fuzz;
struct fuzz_settings settings = {.seed = 1, .calls = 100000, .per_lane = 800, .modes = "asi,naive"};
static uint64_t round_calls = 20000, root_rounds = ROOT_SOMETIMES, go_on, lost;
static uint64_t began_ns, programs_done, messages_done;
static enum { WHAT_CALLS, WHAT_SERVED, WHAT_ELF, WHAT_MESSAGES } what;

static int kind_of_run(const char *name) {
    static const char *const names[] = {"calls", "served", "elf", "messages"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return WHAT_CALLS;
}

static bool parse(const char *argument) {
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"--calls=", &settings.calls}, {"--seed=", &settings.seed},         {"--first=", &settings.first},
                   {"--round=", &round_calls},    {"--families=", &settings.families}, {"--root=", &root_rounds},
                   {"--go-on=", &go_on}};
    const char *value = strchr(argument, '=');
    if (value++ == NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strncmp(argument, numbers[i].name, strlen(numbers[i].name)) == 0) {
            *numbers[i].value = strtoull(value, NULL, 0);
            return true;
        }
    }
    if (strncmp(argument, "--per-lane=", 11) == 0) {
        settings.per_lane = (unsigned)strtoul(value, NULL, 0);
    } else if (strncmp(argument, "--at-once=", 10) == 0) {
        settings.at_once = (unsigned)strtoul(value, NULL, 0);
    } else if (strncmp(argument, "--trace=", 8) == 0) {
        settings.trace = *value == '1';
    } else if (strncmp(argument, "--modes=", 8) == 0) {
        settings.modes = value;
    } else if (strncmp(argument, "--what=", 7) == 0) {
        what = kind_of_run(value);
        settings.served = what == WHAT_SERVED;
    } else if (strncmp(argument, "--only=", 7) == 0) {
        settings.only_calls = value;
    } else {
        return false;
    }
    return true;
}

/* The modes that were named, in turn. */
static void set_mode(uint64_t round) {
    unsigned chosen[ASI_MODES], count = 0;
    for (unsigned mode = 0; mode < ASI_MODES; mode++) {
        if (strstr(settings.modes, penumbra_mode_names[mode]) != NULL) {
            chosen[count++] = mode;
        }
    }
    if (count > 0) {
        penumbra_set_mode(chosen[round % count]);
    }
}

static bool as_root(uint64_t round) {
    return root_rounds == ROOT_ALWAYS || (root_rounds == ROOT_SOMETIMES && round % ROOT_EACH == ROOT_EACH - 1);
}

/* Families, or programs: from `first` on, and before `end`; returns the number behind the last. */
static uint64_t run_share(uint64_t first, uint64_t end, uint64_t calls, bool root) {
    if (what == WHAT_CALLS || what == WHAT_SERVED) {
        return fuzz_run_families(first, end, calls, root);
    }
    uint64_t next = first;
    if (what == WHAT_MESSAGES) {
        uint64_t count = end - first < calls ? end - first : calls;
        if (!fuzz_messages(first, count, settings.seed)) {
            exit(1);
        }
        messages_done += count;
        return first + count;
    }
    while (next < end && next - first < calls / PROGRAM_CALLS + 1) {
        if (!fuzz_elf(next++, settings.seed)) {
            exit(3);
        }
        programs_done++;
    }
    return next;
}

static uint64_t calls_done(void) { return fuzz_calls_done() + programs_done * PROGRAM_CALLS + messages_done; }

/*
 * One round, and what must hold after it. What the kernel keeps on first use is not lost: a round that seems to have
 * lost something is run again, and only what is lost each time is.
 */
static bool run_round(uint64_t round, uint64_t *next, uint64_t end, uint64_t calls) {
    char words[400] = "";
    uint64_t first = *next;
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct asi_memory before;
        set_mode(round);
        fuzz_take_stock(&before);
        mkdir(FUZZ_DIRECTORY, 0755);
        *next = run_share(first, attempt == 0 ? end : *next, attempt == 0 ? calls : UINT64_MAX, as_root(round));
        bool clean = fuzz_audit_is_clean(words, sizeof words); /* while some are still ending */
        fuzz_remove_tree(FUZZ_DIRECTORY);
        if (clean && fuzz_stock_is_as(&before, words, sizeof words)) {
            clean = fuzz_audit_is_clean(words, sizeof words);
            if (clean) {
                return true;
            }
        }
        printf("fuzz: %s %llu, families %llu–%llu: %s\n", clean ? "again, round" : "FAIL round",
               (unsigned long long)round, (unsigned long long)first, (unsigned long long)*next - 1, words);
        if (!clean) {
            return false;
        }
    }
    printf("fuzz: FAIL round %llu: each time %s\n", (unsigned long long)round, words);
    lost++;
    return go_on;
}

static void report_round(uint64_t round, uint64_t first, uint64_t next) {
    double seconds = (double)(test_now_ns() - began_ns) / 1e9;
    printf("fuzz: round %llu, mode %s%s, families %llu–%llu, %llu calls, %.0f a second\n", (unsigned long long)round,
           penumbra_mode_names[penumbra_state().mode], as_root(round) ? ", root" : "", (unsigned long long)first,
           (unsigned long long)next - 1, (unsigned long long)calls_done(), (double)calls_done() / seconds);
}

/* How much of it came to anything: a fuzzer all of whose calls fail tests little. */
static void report_calls(void) {
    uint64_t all = 0, useful = 0, numbers = 0, numbers_useful = 0;
    for (unsigned number = 0; number < FUZZ_CALLS; number++) {
        all += fuzz->done[number];
        useful += fuzz->useful[number];
        numbers += fuzz->done[number] > 0;
        numbers_useful += fuzz->useful[number] > 0;
    }
    printf("fuzz: %llu calls, %llu%% without an error; %llu numbers, of which %llu succeeded at least once; never:",
           (unsigned long long)all, (unsigned long long)(all > 0 ? useful * 100 / all : 0), (unsigned long long)numbers,
           (unsigned long long)numbers_useful);
    for (unsigned number = 0; number < FUZZ_CALLS; number++) {
        if (fuzz->done[number] > 0 && fuzz->useful[number] == 0 && strcmp(fuzz_call_name(number), "unknown") != 0) {
            printf(" %s", fuzz_call_name(number));
        }
    }
    printf("\nfuzz: errors:");
    for (unsigned i = 0; i < CALLS_SHOWN; i++) {
        unsigned most = 1;
        for (unsigned error = 1; error < 256; error++) {
            most = fuzz->errors[error] > fuzz->errors[most] ? error : most;
        }
        printf(" %s %llu,", strerror((int)most), (unsigned long long)fuzz->errors[most]);
        fuzz->errors[most] = 0;
    }
    printf("\n");
}

static bool run(void) {
    uint64_t next = settings.first, end = settings.families != 0 ? settings.first + settings.families : UINT64_MAX;
    for (uint64_t round = 0; calls_done() < settings.calls && next < end; round++) {
        uint64_t first = next, left = settings.calls - calls_done();
        if (!run_round(round, &next, end, left < round_calls ? left : round_calls)) {
            return false;
        }
        report_round(round, first, next);
    }
    return lost == 0;
}

int main(int argc, char **argv) {
    cpu_set_t set;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (!parse(argv[i])) {
            fprintf(stderr, "fuzz: no such option: %s\n", argv[i]);
            return 2;
        }
    }
    if (!on_penumbra() || !fuzz_calls_start(settings.only_calls)) {
        fprintf(stderr, "fuzz: %s\n", on_penumbra() ? "no such call" : "on Penumbra only");
        return 2;
    }
    fuzz = mmap((void *)FUZZ_SHARED_AT, sizeof *fuzz, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
                -1, 0);
    CHECK(fuzz != MAP_FAILED);
    if (settings.at_once == 0) {
        settings.at_once = 2 + 2 * (sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set));
    }
    settings.at_once = settings.at_once > FUZZ_FAMILIES ? FUZZ_FAMILIES : settings.at_once;
    began_ns = test_now_ns();
    printf("fuzz: seed %llu, %llu calls, %u families at once\n", (unsigned long long)settings.seed,
           (unsigned long long)settings.calls, settings.at_once);
    bool good = run();
    if (what == WHAT_CALLS || what == WHAT_SERVED) {
        report_calls();
    }
    printf("fuzz: %s seed %llu, %llu calls in %.0f s\n", good ? "PASS" : "FAIL", (unsigned long long)settings.seed,
           (unsigned long long)calls_done(), (double)(test_now_ns() - began_ns) / 1e9);
    return good ? 0 : 1;
}
