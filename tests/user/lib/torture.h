/*
 * The torture: the same small deeds over and over, on all CPUs at once, each of which knows what must come of it.
 *
 * A *lane* is one sequence of steps, in a process of its own or in one of a process's threads. A *step* is one deed of
 * some *kind*. What a step does follows from the run's seed, the lane's number and the step's number, never from time
 * or from what other lanes do: the same three numbers are the same deed again. A step begins with nothing and leaves
 * nothing behind: no process, no file, no memory, no handler.
 */
#ifndef TESTS_USER_LIB_TORTURE_H
#define TESTS_USER_LIB_TORTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    TORTURE_LANES = 64,
    TORTURE_KINDS = 40,
    TORTURE_PAGE = 4096,
    TORTURE_FAILED = 101, /* exit status of a process that has found a failure and told it */
};

#define TORTURE_DIRECTORY "/tmp/torture"

/* One lane's record, which the supervisor watches. */
struct torture_lane {
    uint64_t seed;
    pid_t process;
    _Atomic uint64_t step; /* the one that runs */
    _Atomic int kind;      /* -1: none */
    _Atomic uint64_t done[TORTURE_KINDS];
    _Atomic uint64_t refused;                        /* steps given up because memory or processes ran out */
    _Atomic uint64_t block_started, block_completed; /* torture_shared.c: writes to the lane's block */
};

/* Shared by all processes of the torture (MAP_SHARED). */
struct torture_shared {
    _Atomic int stop, failed;
    _Atomic int pressure;       /* somebody holds much memory */
    _Atomic uint64_t latest_ns; /* the latest time that anybody has seen */
    _Atomic uint64_t audits, audit_spaces, audit_leaves;
    _Atomic uint64_t ended_on[64]; /* steps by the CPU on which they ended */
    uint64_t pressure_bytes;       /* how much that may be */
    unsigned cpus, lanes;
    unsigned first_in_threads; /* lanes from this on share their process with others */
    bool penumbra;
    char program[128]; /* what to execute: this program */
    struct torture_lane lane[TORTURE_LANES];
};

extern struct torture_shared *torture;

/* One step, in the process or thread that does it. A child of fork has its own copy. */
struct step {
    struct torture_lane *lane;
    unsigned lane_number;
    uint64_t number;
    uint64_t random; /* state of step_random() */
    const char *kind;
};

struct torture_kind {
    const char *name;
    void (*run)(struct step *step);
    unsigned weight;
};

/* All kinds, in the order of the table; the lane of the modes has its own. */
extern const struct torture_kind torture_kinds[], torture_mode_kinds[];
extern const unsigned torture_kind_count, torture_mode_kind_count;

/* torture_process.c */
void step_fork_tree(struct step *step);
void step_exec(struct step *step);
void step_exec_in_thread(struct step *step);
void step_vfork(struct step *step);
void step_kill_tree(struct step *step);
/* What the program does as `torture --child WORDS…`: ends with the status that step_exec expects of these words. */
int torture_child(int argc, char **argv);

/* torture_memory.c */
void step_anonymous(struct step *step);
void step_cow(struct step *step);
void step_shared_memory(struct step *step);
void step_pressure(struct step *step);
void step_affinity(struct step *step);
void step_registers(struct step *step);

/* torture_tlb.c */
void step_stale_pages(struct step *step);
void step_stale_file(struct step *step);
void step_map_storm(struct step *step); /* torture_storm.c */

/* torture_files.c */
void step_file(struct step *step);
void step_names(struct step *step);

/* torture_shared.c */
void step_shared_file(struct step *step);
void step_clock(struct step *step);
bool torture_shared_file_create(void);

/* torture_talk.c */
void step_pipe(struct step *step);
void step_poll(struct step *step);
void step_futex(struct step *step);
void step_threads(struct step *step);
void step_sleep(struct step *step);

/* torture_signals.c */
void step_signal_threads(struct step *step);
void step_timer(struct step *step);
void step_signal_processes(struct step *step);

/* torture_modes.c */
void step_mode(struct step *step);
void step_flush(struct step *step);
void step_audit(struct step *step);

/* --- torture.c: what steps are made of ------------------------------------------------------------------------- */

uint64_t torture_mix(uint64_t value);

/* The step's next number; one below `limit`, which is not 0; one from `low` to `high`. */
uint64_t step_random(struct step *step);
uint64_t step_below(struct step *step, uint64_t limit);
uint64_t step_between(struct step *step, uint64_t low, uint64_t high);

/* Gives a child or a thread numbers of its own. */
struct step step_split(struct step *step);

/* Tells which step of which lane it was and what is wrong, ends the whole run, ends this process. */
_Noreturn void step_fail(const struct step *step, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define STEP_CHECK(step, condition)                                                                                    \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            step_fail(step, __FILE__, __LINE__, "%s does not hold", #condition);                                       \
        }                                                                                                              \
    } while (0)

#define STEP_CHECK_EQ(step, got, want)                                                                                 \
    do {                                                                                                               \
        long long got_value = (long long)(got), want_value = (long long)(want);                                        \
        if (got_value != want_value) {                                                                                 \
            step_fail(step, __FILE__, __LINE__, "%s is %lld (%#llx), want %lld (%#llx)", #got, got_value,              \
                      (unsigned long long)got_value, want_value, (unsigned long long)want_value);                      \
        }                                                                                                              \
    } while (0)

/*
 * Each gives -1, NULL or false when there is no memory (or no process) left, which is counted, and fails the step for
 * any other reason.
 */
pid_t step_fork(struct step *step);
void *step_map(struct step *step, size_t bytes, int flags); /* read and write, anonymous; MAP_SHARED or MAP_PRIVATE */
bool step_thread(struct step *step, void *(*body)(void *), void *argument, unsigned long *thread);

void step_unmap(struct step *step, void *start, size_t bytes);
int step_wait(struct step *step, pid_t pid);              /* its wait status */
void step_reap(struct step *step, pid_t pid, int status); /* it ended with this exit status */
/* Runs it in a child, which must end with 0; threads that still stand in a system call end with it. */
void step_in_own_process(struct step *step, void (*body)(struct step *));
void step_nap(struct step *step, unsigned least_us, unsigned most_us);
void step_pipe_open(struct step *step, int ends[2]);

/* A name in the lane's own directory, `number` telling several apart. */
void step_path(const struct step *step, unsigned number, char path[64]);

uint64_t torture_now_ns(void);

/* Runs the lane's steps from `first` to the one before `last`, or until the run is stopped. */
void torture_run_lane(unsigned number, uint64_t first, uint64_t last);

/* Only these kinds, by name with commas; the other steps are passed over. NULL: all. */
void torture_choose_kinds(const char *names);

#endif
