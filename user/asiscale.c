/*
 * asiscale: rows of the benchmark with 1, 2 and 4 workers at once, each on a CPU of its own, and how much more they do
 * together than one alone. In mode none, where nothing is isolated, and in mode asi.
 *
 *     asiscale [--rows=A,B…] [--modes=A,B…] [--samples=N] [--scale=X]
 *
 * A worker is a process: its own memory, its own pipe with a partner on the same CPU. Row pread4k reads one file for
 * all, whose pages one lock guards; in row pread4k-own each worker has a file. What counts
 * is all operations of all workers over the time from the first one's start to the last one's end; of several samples
 * the fastest, for whatever else the machine does only slows it. The CSV at the end is what tools/scale reads.
 *
 * Exit status: 0; 1 a row failed; 2 wrong usage.
 */
#include "user/lib/bench.h"
#include "user/lib/ticks.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_WORKERS = 4, MOST_SAMPLES = 20, OWN_FILE_BYTES = 8 << 20 };

static const unsigned worker_counts[] = {1, 2, 4};
enum { COUNTS = sizeof worker_counts / sizeof worker_counts[0] };

/* What workers and their parent share. */
static struct meeting {
    _Atomic unsigned ready, go, done, leave, failed;
    struct {
        uint64_t start, end;
    } time[MOST_WORKERS];
} * meeting;

static struct plan {
    const char *rows, *modes;
    unsigned samples;
    double scale;
} plan = {"pread4k,pread4k-own,anonfault,forkexit,pipe", "none,asi", 5, 10};

struct outcome {
    bool measured;
    uint64_t operations;
    uint64_t ticks;
    struct asi_counters counters;
};

static bool in_list(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = strstr(list, name); at != NULL; at = strstr(at + 1, name)) {
        if ((at == list || at[-1] == ',') && (at[length] == '\0' || at[length] == ',')) {
            return true;
        }
    }
    return false;
}

static void pin_to(unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0) {
        atomic_store(&meeting->failed, 1);
    }
}

static unsigned cpus_online(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

/* Without a system call: what follows must begin on all CPUs at once. */
static void wait_for(_Atomic unsigned *flag, unsigned value) {
    while (atomic_load(flag) < value && !atomic_load(&meeting->failed)) {
        __builtin_ia32_pause();
    }
}

/* A worker's whole life: one sample. Its rows' memory is its own, for it is a process. */
static _Noreturn void work(const struct bench_row *row, bool own_file, unsigned number, unsigned count) {
    pin_to(number);
    if (own_file) {
        bench_big_file_choose(number, OWN_FILE_BYTES);
    }
    bool ready = (row->setup == NULL || row->setup() == 0) && (row->prepare == NULL || row->prepare(count) == 0);
    if (!ready) {
        atomic_store(&meeting->failed, 1);
    }
    atomic_fetch_add(&meeting->ready, 1);
    wait_for(&meeting->go, 1);
    meeting->time[number].start = ticks_now();
    if (ready && row->run(count) < 0) {
        atomic_store(&meeting->failed, 1);
    }
    meeting->time[number].end = ticks_now();
    atomic_fetch_add(&meeting->done, 1);
    wait_for(&meeting->leave, 1);
    if (row->restore != NULL) {
        row->restore(count);
    }
    if (row->teardown != NULL) {
        row->teardown();
    }
    if (own_file) {
        bench_remove_files();
    }
    _exit(0);
}

/* The parent must not hold a CPU that a worker has. */
static void sleep_until(_Atomic unsigned *flag, unsigned value) {
    const struct timespec nap = {.tv_nsec = 2000000};
    while (atomic_load(flag) < value && !atomic_load(&meeting->failed)) {
        nanosleep(&nap, NULL);
    }
}

static uint64_t span_of(unsigned workers) {
    uint64_t first = UINT64_MAX, last = 0;
    for (unsigned i = 0; i < workers; i++) {
        first = meeting->time[i].start < first ? meeting->time[i].start : first;
        last = meeting->time[i].end > last ? meeting->time[i].end : last;
    }
    return last - first;
}

/* One sample of `workers` at once. False when it failed. */
static bool sample(const struct bench_row *row, bool own_file, unsigned workers, unsigned count, struct outcome *best) {
    struct asi_counters before = {0}, after = {0};
    memset(meeting, 0, sizeof *meeting);
    for (unsigned i = 0; i < workers; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            work(row, own_file, i, count);
        }
        if (pid < 0) {
            atomic_store(&meeting->failed, 1);
        }
    }
    sleep_until(&meeting->ready, workers);
    asi_get_counters(ASI_SCOPE_ALL, &before);
    atomic_store(&meeting->go, 1);
    sleep_until(&meeting->done, workers);
    asi_get_counters(ASI_SCOPE_ALL, &after);
    atomic_store(&meeting->leave, 1);
    while (wait(NULL) > 0 || errno == EINTR) {
    }
    uint64_t ticks = span_of(workers);
    if (!atomic_load(&meeting->failed) && (!best->measured || ticks < best->ticks)) {
        best->measured = true;
        best->ticks = ticks;
        best->operations = (uint64_t)workers * count * (row->operations_each ? row->operations_each : 1);
        best->counters = asi_counters_difference(&after, &before);
    }
    return !atomic_load(&meeting->failed);
}

static struct outcome measure(const struct bench_row *row, bool own_file, unsigned workers) {
    struct outcome best = {0};
    unsigned count = (unsigned)(row->count * plan.scale + 0.5);
    for (unsigned i = 0; i < plan.samples; i++) {
        if (!sample(row, own_file, workers, count ? count : 1, &best)) {
            best.measured = false;
            break;
        }
    }
    return best;
}

static double rate(const struct outcome *outcome) { return (double)outcome->operations / (double)outcome->ticks; }

static double each(uint64_t count, const struct outcome *outcome) {
    return (double)count / (double)outcome->operations;
}

/* One line of the table and the CSV lines that belong to it. */
static bool report_row(enum asi_mode mode, const struct bench_row *row, bool own_file, unsigned cpus, FILE *csv) {
    struct outcome one = {0};
    printf("%-8s %-17s%-9s", asi_mode_name(mode), row->title, own_file ? ", own" : "");
    for (unsigned i = 0; i < COUNTS && worker_counts[i] <= cpus; i++) {
        struct outcome now = measure(row, own_file, worker_counts[i]);
        if (!now.measured) {
            printf(" failed\n");
            return false;
        }
        if (i == 0) {
            one = now;
            printf(" %9.0f", 1 / rate(&one));
        } else {
            printf("   x%5.2f", rate(&now) / rate(&one));
        }
        fprintf(csv, "%s,%s%s,%u,%" PRIu64 ",%" PRIu64 ",%.3f,%.4f,%.4f,%.4f\n", asi_mode_name(mode), row->slug,
                own_file ? "-own" : "", worker_counts[i], now.operations, now.ticks, rate(&now) / rate(&one),
                each(asi_total_exits(&now.counters), &now), each(now.counters.tlb_flushes, &now),
                each(now.counters.ipis_sent, &now));
        fflush(stdout);
    }
    printf("\n");
    return true;
}

static bool report_mode(enum asi_mode mode, unsigned cpus, FILE *csv) {
    bool good = asi_set_mode(mode) == 0;
    for (unsigned row = 0; row < bench_row_count && good; row++) {
        char own[32];
        snprintf(own, sizeof own, "%s-own", bench_rows[row]->slug);
        if (in_list(plan.rows, bench_rows[row]->slug)) {
            good = report_row(mode, bench_rows[row], false, cpus, csv);
        }
        if (good && in_list(plan.rows, own)) {
            good = report_row(mode, bench_rows[row], true, cpus, csv);
        }
    }
    return good;
}

static bool parse(const char *argument) {
    const char *value = strchr(argument, '=');
    if (value++ == NULL) {
        return false;
    }
    if (strncmp(argument, "--rows=", 7) == 0) {
        plan.rows = value;
    } else if (strncmp(argument, "--modes=", 8) == 0) {
        plan.modes = value;
    } else if (strncmp(argument, "--samples=", 10) == 0) {
        plan.samples = (unsigned)strtoul(value, NULL, 10);
        return plan.samples >= 1 && plan.samples <= MOST_SAMPLES;
    } else if (strncmp(argument, "--scale=", 8) == 0) {
        plan.scale = strtod(value, NULL);
        return plan.scale > 0;
    } else {
        return false;
    }
    return true;
}

static void print_csv(FILE *csv) {
    char line[256];
    printf("-----BEGIN CSV-----\nmode,row,workers,ops,ticks,ratio,exits,tlb_flushes,ipis\n");
    rewind(csv);
    while (fgets(line, sizeof line, csv) != NULL) {
        fputs(line, stdout);
    }
    printf("-----END CSV-----\n");
}

int main(int argc, char **argv) {
    struct asi_state state;
    for (int i = 1; i < argc; i++) {
        if (!parse(argv[i])) {
            fprintf(stderr, "usage: asiscale [--rows=A,B] [--modes=A,B] [--samples=N] [--scale=X]\n");
            return 2;
        }
    }
    meeting = mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FILE *csv = tmpfile();
    if (meeting == MAP_FAILED || csv == NULL || asi_get_state(&state) < 0) {
        fprintf(stderr, "asiscale: %s\n", strerror(errno));
        return 1;
    }
    bench_set_program(argv[0]);
    unsigned cpus = cpus_online();
    bool good = bench_big_file_open() == 0;
    bench_big_file_close();
    printf("asiscale: %u CPUs; ticks of one operation with one worker, then how much more 2 and 4 workers do\n", cpus);
    for (unsigned mode = 0; mode < ASI_MODES && good; mode++) {
        good = !in_list(plan.modes, asi_mode_name(mode)) || report_mode(mode, cpus, csv);
    }
    asi_set_mode(state.mode);
    bench_remove_files();
    print_csv(csv);
    return good ? 0 : 1;
}
