/*
 * What the steps of the torture are made of: numbers, failures, processes, memory; and the loop of a lane. See
 * torture.h.
 *
 * Invariant: a lane's numbers depend on seed, lane and step alone. Memory, pids and times may end a step early; they
 * never choose what a step does.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct torture_shared *torture;
static const char *chosen_kinds;

/* The weights are about what makes a second full of everything: a tree of processes takes a hundred times a poll. */
const struct torture_kind torture_kinds[] = {
    {"fork-tree", step_fork_tree, 4},
    {"exec", step_exec, 4},
    {"exec-in-thread", step_exec_in_thread, 2},
    {"vfork", step_vfork, 3},
    {"kill-tree", step_kill_tree, 2},
    {"copy-on-write", step_cow, 5},
    {"map", step_anonymous, 10},
    {"shared-memory", step_shared_memory, 4},
    {"pressure", step_pressure, 1},
    {"affinity", step_affinity, 8},
    {"registers", step_registers, 6},
    {"stale-pages", step_stale_pages, 6},
    {"stale-file", step_stale_file, 4},
    {"map-storm", step_map_storm, 3},
    {"file", step_file, 14},
    {"names", step_names, 8},
    {"shared-file", step_shared_file, 16},
    {"clock", step_clock, 8},
    {"pipe", step_pipe, 8},
    {"poll", step_poll, 8},
    {"futex", step_futex, 5},
    {"threads", step_threads, 4},
    {"sleep", step_sleep, 5},
    {"signal-threads", step_signal_threads, 4},
    {"signal-processes", step_signal_processes, 3},
    {"timer", step_timer, 4},
};
const unsigned torture_kind_count = sizeof(torture_kinds) / sizeof(torture_kinds[0]);

const struct torture_kind torture_mode_kinds[] = {
    {"mode", step_mode, 20},
    {"flush", step_flush, 6},
    {"audit", step_audit, 1},
};
const unsigned torture_mode_kind_count = sizeof(torture_mode_kinds) / sizeof(torture_mode_kinds[0]);

/* --- Numbers --------------------------------------------------------------------------------------------------- */

/* The finaliser of splitmix64: neighbours become strangers. */
uint64_t torture_mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

uint64_t step_random(struct step *step) {
    step->random += 0x9e3779b97f4a7c15;
    return torture_mix(step->random);
}

uint64_t step_below(struct step *step, uint64_t limit) { return step_random(step) % limit; }

uint64_t step_between(struct step *step, uint64_t low, uint64_t high) { return low + step_below(step, high - low + 1); }

struct step step_split(struct step *step) {
    struct step other = *step;
    other.random = step_random(step);
    return other;
}

/* --- Failures -------------------------------------------------------------------------------------------------- */

void step_fail(const struct step *step, const char *file, int line, const char *format, ...) {
    char text[400];
    int error = errno;
    const char *base = strrchr(file, '/');
    int used = snprintf(text, sizeof(text), "torture: FAIL lane %u step %llu %s: %s:%d: ", step->lane_number,
                        (unsigned long long)step->number, step->kind, base == NULL ? file : base + 1, line);
    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(text + used, sizeof(text) - (size_t)used, format, arguments);
    va_end(arguments);
    if (used < (int)sizeof(text)) {
        used += snprintf(text + used, sizeof(text) - (size_t)used, " (errno %d, pid %d)\n", error, (int)getpid());
    }
    atomic_store(&torture->failed, 1);
    atomic_store(&torture->stop, 1);
    if (write(STDERR_FILENO, text, used < (int)sizeof(text) ? (size_t)used : sizeof(text) - 1) < 0) {
        _exit(TORTURE_FAILED);
    }
    _exit(TORTURE_FAILED);
}

/* True when the error says that something ran out, which is no failure but counted. */
static bool refused(struct step *step) {
    if (errno != ENOMEM && errno != EAGAIN) {
        return false;
    }
    atomic_fetch_add(&step->lane->refused, 1);
    return true;
}

/* --- Processes, threads, memory -------------------------------------------------------------------------------- */

pid_t step_fork(struct step *step) {
    pid_t pid = fork();
    if (pid < 0 && !refused(step)) {
        step_fail(step, __FILE__, __LINE__, "fork");
    }
    return pid;
}

void *step_map(struct step *step, size_t bytes, int flags) {
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (start != MAP_FAILED) {
        return start;
    }
    if (!refused(step)) {
        step_fail(step, __FILE__, __LINE__, "mmap of %zu bytes", bytes);
    }
    return NULL;
}

bool step_thread(struct step *step, void *(*body)(void *), void *argument, unsigned long *thread) {
    pthread_t made;
    errno = pthread_create(&made, NULL, body, argument);
    if (errno != 0 && !refused(step)) {
        step_fail(step, __FILE__, __LINE__, "pthread_create");
    }
    *thread = (unsigned long)made;
    return errno == 0;
}

void step_unmap(struct step *step, void *start, size_t bytes) { STEP_CHECK_EQ(step, munmap(start, bytes), 0); }

int step_wait(struct step *step, pid_t pid) {
    int status = 0;
    pid_t reaped;
    do {
        reaped = waitpid(pid, &status, 0);
    } while (reaped < 0 && errno == EINTR);
    STEP_CHECK_EQ(step, reaped, pid);
    return status;
}

void step_reap(struct step *step, pid_t pid, int status) {
    int ended = step_wait(step, pid);
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == TORTURE_FAILED) {
        _exit(TORTURE_FAILED); /* it has said why */
    }
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != status) {
        step_fail(step, __FILE__, __LINE__, "child %d has wait status %#x, want exit %d", (int)pid, ended, status);
    }
}

void step_in_own_process(struct step *step, void (*body)(struct step *)) {
    struct step own = step_split(step);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        body(&own);
        _exit(0);
    }
    if (pid > 0) {
        step_reap(step, pid, 0);
    }
}

void step_nap(struct step *step, unsigned least_us, unsigned most_us) {
    uint64_t ns = step_between(step, least_us, most_us) * 1000;
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

void step_pipe_open(struct step *step, int ends[2]) { STEP_CHECK_EQ(step, pipe2(ends, O_CLOEXEC), 0); }

void step_path(const struct step *step, unsigned number, char path[64]) {
    snprintf(path, 64, TORTURE_DIRECTORY "/l%u/f%u", step->lane_number, number);
}

uint64_t torture_now_ns(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- A lane ---------------------------------------------------------------------------------------------------- */

void torture_choose_kinds(const char *names) { chosen_kinds = names; }

static bool is_chosen(const char *name) {
    size_t length = strlen(name);
    if (chosen_kinds == NULL) {
        return true;
    }
    for (const char *at = strstr(chosen_kinds, name); at != NULL; at = strstr(at + 1, name)) {
        if ((at == chosen_kinds || at[-1] == ',') && (at[length] == '\0' || at[length] == ',')) {
            return true;
        }
    }
    return false;
}

static unsigned pick(struct step *step, const struct torture_kind *kinds, unsigned count) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        sum += kinds[i].weight;
    }
    uint64_t left = step_below(step, sum);
    for (unsigned i = 0; i < count; i++) {
        if (left < kinds[i].weight) {
            return i;
        }
        left -= kinds[i].weight;
    }
    return 0;
}

void torture_run_lane(unsigned number, uint64_t first, uint64_t last) {
    struct torture_lane *lane = &torture->lane[number];
    const struct torture_kind *kinds = number == 0 ? torture_mode_kinds : torture_kinds;
    unsigned count = number == 0 ? torture_mode_kind_count : torture_kind_count;
    for (uint64_t i = first; i < last && !atomic_load(&torture->stop); i++) {
        struct step step = {.lane = lane, .lane_number = number, .number = i, .random = torture_mix(lane->seed + i)};
        unsigned kind = pick(&step, kinds, count);
        step.kind = kinds[kind].name;
        if (!is_chosen(step.kind)) {
            continue;
        }
        atomic_store(&lane->step, i);
        atomic_store(&lane->kind, (int)kind);
        kinds[kind].run(&step);
        atomic_fetch_add(&lane->done[kind], 1);
        atomic_fetch_add(&torture->ended_on[(unsigned)sched_getcpu() % 64], 1);
    }
    atomic_store(&lane->kind, -1);
}
