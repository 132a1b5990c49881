/*
 * The torture: for a given time, many lanes on all CPUs do what tests/user/lib/torture.h says, each step checking its
 * own outcome, while one lane changes the mode and the flushes and has the kernel audit itself. Afterwards everything
 * is gone: processes, threads, frames and kernel heap are as before.
 *
 *     torture [--seconds=60] [--seed=1] [--cpus=N] [--steps=N] [--kinds=A,B…] [--only=LANE:FIRST-LAST] [--warm=3]
 *
 * `steps`: each lane does that many and ends. `only`: these steps of one lane and nothing else, to look at a failure.
 * Options come from the kernel's command line as torture.seconds=60 (user/init.c). On Linux the lane of the modes and
 * the accounting are left out.
 *
 * A line `torture: beat …` each second says that the machine lives (tools/torture waits for it). The last line is
 * `torture: PASS …` or `torture: FAIL …`. Exit status 0; 1 a failure; 2 wrong usage; 3 a lane that stands still.
 */
#include "tests/user/lib/torture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "tests/user/lib/torture_report.h"
#include "user/lib/native.h"

enum { LANES_A_PROCESS = 3, STUCK = 3, STUCK_SECONDS = 40 };

struct settings {
    uint64_t seed, seconds, warm, first, last;
    unsigned cpus;
    int only; /* a lane, or -1 */
};

static struct settings settings = {.seed = 1, .seconds = 60, .warm = 3, .last = UINT64_MAX, .only = -1};
static uint64_t start_ns;

/* What the watch knows of a lane. */
static struct {
    uint64_t step, since_ns;
    int kind;
    bool ended;
} watched[TORTURE_LANES];

/* --- Settings -------------------------------------------------------------------------------------------------- */

static bool parse(const char *argument) {
    const char *value = strchr(argument, '=');
    if (strncmp(argument, "--", 2) != 0 || value++ == NULL) {
        return false;
    }
    if (strncmp(argument, "--seconds=", 10) == 0) {
        settings.seconds = strtoull(value, NULL, 0);
    } else if (strncmp(argument, "--seed=", 7) == 0) {
        settings.seed = strtoull(value, NULL, 0);
    } else if (strncmp(argument, "--cpus=", 7) == 0) {
        settings.cpus = (unsigned)strtoul(value, NULL, 0);
    } else if (strncmp(argument, "--steps=", 8) == 0) {
        settings.last = strtoull(value, NULL, 0);
    } else if (strncmp(argument, "--warm=", 7) == 0) {
        settings.warm = strtoull(value, NULL, 0);
    } else if (strncmp(argument, "--kinds=", 8) == 0) {
        torture_choose_kinds(value);
    } else if (strncmp(argument, "--only=", 7) == 0) {
        char *rest;
        settings.only = (int)strtoul(value, &rest, 0);
        settings.first = *rest == ':' ? strtoull(rest + 1, &rest, 0) : 0;
        settings.last = *rest == '-' ? strtoull(rest + 1, &rest, 0) + 1 : settings.first + 1;
        return *rest == '\0';
    } else {
        return false;
    }
    return true;
}

static unsigned online_cpus(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

/* --- The lanes ------------------------------------------------------------------------------------------------- */

/* Lane 0 is the lane of the modes. Then come lanes with a process each, then those that share one, three at a time. */
static unsigned lanes_alone(void) { return 3 + 2 * torture->cpus; }
static unsigned processes_shared(void) { return 1 + torture->cpus / 2; }

static void *run_in_thread(void *argument) {
    torture_run_lane((unsigned)(uintptr_t)argument, settings.first, settings.last);
    return argument;
}

static _Noreturn void run_lanes(unsigned first, unsigned count) {
    char path[64];
    unsigned long threads[LANES_A_PROCESS];
    struct step none = {.lane = &torture->lane[first], .lane_number = first, .kind = "start"};
    for (unsigned lane = first; lane < first + count; lane++) {
        snprintf(path, sizeof(path), TORTURE_DIRECTORY "/l%u", lane);
        STEP_CHECK_EQ(&none, mkdir(path, 0700), 0);
    }
    for (unsigned i = 1; i < count; i++) {
        STEP_CHECK(&none, step_thread(&none, run_in_thread, (void *)(uintptr_t)(first + i), &threads[i]));
    }
    torture_run_lane(first, settings.first, settings.last);
    for (unsigned i = 1; i < count; i++) {
        pthread_join((pthread_t)threads[i], NULL);
    }
    for (unsigned lane = first; lane < first + count; lane++) {
        snprintf(path, sizeof(path), TORTURE_DIRECTORY "/l%u", lane);
        STEP_CHECK_EQ(&none, rmdir(path), 0);
    }
    _exit(0);
}

static void start_lanes(unsigned first, unsigned count) {
    if (settings.only >= 0 && ((unsigned)settings.only < first || (unsigned)settings.only >= first + count)) {
        return;
    }
    if (settings.only >= 0) {
        first = (unsigned)settings.only;
        count = 1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        run_lanes(first, count);
    }
    CHECK(pid > 0);
    for (unsigned lane = first; lane < first + count; lane++) {
        torture->lane[lane].process = pid;
    }
}

/*
 * In a child: whoever touches pages of a file gets tables for its windows, which it keeps until it ends, and this
 * process is to have as much at the end as before.
 */
static void create_shared_file(void) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(torture_shared_file_create() ? 0 : 1);
    }
    CHECK(pid > 0);
    CHECK_EXITED(test_wait(pid));
}

static void start_all(uint64_t seed) {
    uint64_t now = torture_now_ns();
    memset(torture->lane, 0, sizeof(torture->lane));
    memset(watched, 0, sizeof(watched));
    memset(torture->ended_on, 0, sizeof(torture->ended_on));
    torture->stop = 0;
    CHECK_OK(mkdir(TORTURE_DIRECTORY, 0700));
    create_shared_file();
    for (unsigned lane = 0; lane < torture->lanes; lane++) {
        torture->lane[lane].seed = torture_mix(seed * TORTURE_LANES + lane);
        torture->lane[lane].kind = -1;
        watched[lane].since_ns = now;
    }
    unsigned next = 1;
    if (torture->penumbra) {
        start_lanes(0, 1);
    }
    for (; next <= lanes_alone(); next++) {
        start_lanes(next, 1);
    }
    for (unsigned i = 0; i < processes_shared(); i++, next += LANES_A_PROCESS) {
        start_lanes(next, LANES_A_PROCESS);
    }
}

/* --- Watching -------------------------------------------------------------------------------------------------- */

static void beat(uint64_t now) {
    static uint64_t last;
    if (now - last < 1000000000) {
        return;
    }
    last = now;
    printf("torture: beat %llu s, %llu steps", (unsigned long long)((now - start_ns) / 1000000000),
           (unsigned long long)torture_steps_done());
    if (torture->penumbra) {
        struct asi_memory memory = penumbra_memory();
        printf(", mode %s, %llu frames free, %llu global, %llu local, %llu user, %llu secret; %llu processes",
               penumbra_mode_names[penumbra_state().mode], (unsigned long long)memory.frames_free,
               (unsigned long long)memory.frames_global, (unsigned long long)memory.frames_local,
               (unsigned long long)memory.frames_user, (unsigned long long)memory.frames_secret,
               (unsigned long long)memory.processes);
    }
    printf("\n");
}

static const char *kind_name(unsigned lane, int kind) {
    if (kind < 0) {
        return "none";
    }
    return lane == 0 ? torture_mode_kinds[kind].name : torture_kinds[kind].name;
}

/* A lane that has been at one step for too long: a wake-up is lost, or something spins. */
static void look_for_stuck(uint64_t now) {
    bool stuck = false;
    for (unsigned lane = 0; lane < torture->lanes; lane++) {
        uint64_t step = torture->lane[lane].step;
        int kind = torture->lane[lane].kind;
        if (torture->lane[lane].process == 0 || watched[lane].ended || step != watched[lane].step ||
            kind != watched[lane].kind) {
            watched[lane].step = step;
            watched[lane].kind = kind;
            watched[lane].since_ns = now;
        } else if (now - watched[lane].since_ns > STUCK_SECONDS * 1000000000ull) {
            printf("torture: STUCK lane %u (process %d) step %llu %s\n", lane, (int)torture->lane[lane].process,
                   (unsigned long long)step, kind_name(lane, kind));
            stuck = true;
        }
    }
    if (stuck) {
        fflush(stdout);
        test_sleep_ms(5000); /* for whoever looks from outside at the machine as it is */
        exit(STUCK);
    }
}

/* Reaps lanes that have ended; returns how many processes are left. A bad end is a failure. */
static unsigned reap_lanes(void) {
    int status;
    pid_t pid;
    unsigned left = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned lane = 0; lane < torture->lanes; lane++) {
            watched[lane].ended |= torture->lane[lane].process == pid;
        }
        if (status != 0 && !torture->failed) {
            printf("torture: FAIL process %d of a lane ended with wait status %#x\n", (int)pid, (unsigned)status);
        }
        if (status != 0) {
            torture->failed = torture->stop = 1;
        }
    }
    for (unsigned lane = 0; lane < torture->lanes; lane++) {
        left += torture->lane[lane].process != 0 && !watched[lane].ended;
    }
    return left;
}

/* Runs the lanes for a while; false when something failed. */
static bool round_of(uint64_t seed, uint64_t seconds) {
    uint64_t end = torture_now_ns() + seconds * 1000000000;
    start_all(seed);
    while (reap_lanes() > 0 && !torture->failed) {
        uint64_t now = torture_now_ns();
        if (now >= end) {
            torture->stop = 1;
        }
        beat(now);
        look_for_stuck(now);
        test_sleep_ms(50);
    }
    return !torture->failed && unlink(TORTURE_DIRECTORY "/shared") == 0 && rmdir(TORTURE_DIRECTORY) == 0;
}

/* Pages that printing will need: where the stack begins, and so when it takes another, is drawn at each start. */
static void touch_stack(void) {
    volatile char deep[16 * TORTURE_PAGE];
    for (size_t at = 0; at < sizeof(deep); at += TORTURE_PAGE) {
        deep[at] = 0;
    }
}

static bool run(void) {
    struct asi_counters counters = {0};
    struct asi_memory before = {0};
    struct asi_state state = {0};
    if (torture->penumbra) {
        state = penumbra_state();
        torture->pressure_bytes = penumbra_memory().frames_free / 5 * TORTURE_PAGE;
    }
    /* The kernel keeps what it makes on first use: a short run first, so that the long one is accounted exactly. */
    if (settings.warm > 0 && !round_of(~settings.seed, settings.warm)) {
        return false;
    }
    if (torture->penumbra) {
        penumbra_set_mode(state.mode);
        test_sleep_ms(500);
        touch_stack();
        cache_drop();
        before = penumbra_memory();
        counters = penumbra_counters(ASI_SCOPE_ALL);
    }
    uint64_t began = torture_now_ns();
    bool good = round_of(settings.seed, settings.seconds);
    torture_print_table((double)(torture_now_ns() - began) / 1e9);
    if (good && torture->penumbra) {
        penumbra_set_mode(state.mode);
        CHECK_EQ(penumbra_call(ASI_OP_SET_FLUSH, 0, &state.flush, sizeof(state.flush)), 0);
        torture_print_counters(&counters);
        good = torture_account(&before);
        good = torture_final_audit() && good;
    }
    return good;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--child") == 0) {
        return torture_child(argc, argv);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (!parse(argv[i])) {
            fprintf(stderr, "torture: no such option: %s\n", argv[i]);
            return 2;
        }
    }
    torture = mmap(NULL, sizeof(*torture), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(torture != MAP_FAILED);
    start_ns = torture_now_ns();
    torture->cpus = settings.cpus != 0 ? settings.cpus : online_cpus();
    torture->penumbra = on_penumbra();
    torture->pressure_bytes = 32 << 20;
    torture->lanes = 1 + lanes_alone() + processes_shared() * LANES_A_PROCESS;
    torture->first_in_threads = 1 + lanes_alone();
    CHECK(torture->lanes <= TORTURE_LANES);
    CHECK(realpath("/proc/self/exe", torture->program) != NULL);
    printf("torture: seed %llu, %llu s, %u CPUs, %u lanes in %u processes\n", (unsigned long long)settings.seed,
           (unsigned long long)settings.seconds, torture->cpus, torture->lanes, 1 + lanes_alone() + processes_shared());
    bool good = run();
    printf("torture: %s, seed %llu\n", good ? "PASS" : "FAIL", (unsigned long long)settings.seed);
    return good ? 0 : 1;
}
