/*
 * The torture's steps on signals: to threads that compute and to threads that sleep, by a fast timer into everything,
 * to processes that wait for them. See torture.h. Each that sets a handler does so in a process of its own.
 */
#include "torture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TARGETS = 3, SIGNALS = 40 };

static _Atomic unsigned taken[TARGETS + 1];
static _Atomic pid_t thread_ids[TARGETS];
static _Atomic int finished;
static _Thread_local unsigned self = TARGETS;

/* Counts, and leaves other numbers in the vector registers than it found. */
static void count(int signal) {
    volatile double noise[8];
    for (int i = 0; i < 8; i++) {
        noise[i] = signal * 1.5 + i;
    }
    (void)noise;
    atomic_fetch_add(&taken[self], 1);
}

static void catch_signal(struct step *step, int signal, int flags) {
    struct sigaction action = {.sa_handler = count, .sa_flags = flags};
    STEP_CHECK_EQ(step, sigaction(signal, &action, NULL), 0);
}

struct target {
    struct step step;
    unsigned number;
};

/* A sum that comes out right only if no handler changes what it interrupts. */
static void compute(struct step *step) {
    double sum = 0;
    uint64_t product = 1;
    for (unsigned i = 1; i <= 20000; i++) {
        sum += i;
        product = product * 3 + i;
    }
    uint64_t again = 1;
    for (unsigned i = 1; i <= 20000; i++) {
        again = again * 3 + i;
    }
    STEP_CHECK_EQ(step, (uint64_t)sum, 20000ull * 20001 / 2);
    STEP_CHECK_EQ(step, product, again);
}

static void *be_target(void *argument) {
    struct target *target = argument;
    self = target->number;
    unsigned kind = (unsigned)step_below(&target->step, 3);
    atomic_store(&thread_ids[self], (pid_t)syscall(SYS_gettid));
    while (!atomic_load(&finished)) {
        if (kind == 0) {
            compute(&target->step);
        } else if (kind == 1) {
            const struct timespec nap = {.tv_nsec = 300000};
            nanosleep(&nap, NULL);
        } else {
            char byte[64];
            int ends[2];
            step_pipe_open(&target->step, ends);
            STEP_CHECK_EQ(&target->step, write(ends[1], "torture", 7), 7);
            STEP_CHECK_EQ(&target->step, read(ends[0], byte, sizeof(byte)), 7);
            close(ends[0]);
            close(ends[1]);
        }
    }
    return argument;
}

/* Signals of one kind that wait are one: at least one is taken, and not more than were sent. */
static void signal_threads(struct step *step) {
    struct target targets[TARGETS];
    unsigned long threads[TARGETS];
    unsigned sent[TARGETS] = {0}, started = 0;
    catch_signal(step, SIGUSR1, SA_RESTART);
    for (; started < TARGETS; started++) {
        targets[started] = (struct target){step_split(step), started};
        if (!step_thread(step, be_target, &targets[started], &threads[started])) {
            break;
        }
    }
    for (unsigned i = 0; i < started; i++) {
        while (atomic_load(&thread_ids[i]) == 0) {
            step_nap(step, 1, 100);
        }
    }
    for (unsigned i = 0; i < SIGNALS && started > 0; i++) {
        unsigned which = (unsigned)step_below(step, started);
        STEP_CHECK_EQ(step, syscall(SYS_tgkill, getpid(), atomic_load(&thread_ids[which]), SIGUSR1), 0);
        sent[which]++;
        if (step_below(step, 4) == 0) {
            step_nap(step, 1, 300);
        }
    }
    for (unsigned i = 0; i < started; i++) {
        while (sent[i] > 0 && atomic_load(&taken[i]) == 0) {
            step_nap(step, 50, 200);
        }
    }
    atomic_store(&finished, 1);
    for (unsigned i = 0; i < started; i++) {
        pthread_join((pthread_t)threads[i], NULL);
        STEP_CHECK(step, atomic_load(&taken[i]) <= sent[i]);
    }
}

void step_signal_threads(struct step *step) { step_in_own_process(step, signal_threads); }

/* --- A timer into everything ------------------------------------------------------------------------------------ */

static void work_under_timer(struct step *step) {
    int ends[2];
    uint64_t word = step_random(step), back = 0;
    step_pipe_open(step, ends);
    struct step own = step_split(step);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        compute(&own);
        _exit(write(ends[1], &word, sizeof(word)) == sizeof(word) ? 0 : 1);
    }
    compute(step);
    if (pid > 0) {
        STEP_CHECK_EQ(step, read(ends[0], &back, sizeof(back)), sizeof(back));
        STEP_CHECK_EQ(step, back, word);
        step_reap(step, pid, 0);
    }
    uint64_t *page = step_map(step, TORTURE_PAGE, MAP_PRIVATE);
    if (page != NULL) {
        STEP_CHECK_EQ(step, page[5], 0);
        page[5] = word;
        STEP_CHECK_EQ(step, page[5], word);
        step_unmap(step, page, TORTURE_PAGE);
    }
    close(ends[0]);
    close(ends[1]);
}

static void under_timer(struct step *step) {
    long period = (long)step_between(step, 200, 3000);
    struct itimerval timer = {{0, period}, {0, period}}, off = {{0, 0}, {0, 0}};
    catch_signal(step, SIGALRM, SA_RESTART);
    STEP_CHECK_EQ(step, setitimer(ITIMER_REAL, &timer, NULL), 0);
    for (int i = 0; i < 8 || atomic_load(&taken[self]) == 0; i++) {
        work_under_timer(step);
    }
    STEP_CHECK_EQ(step, setitimer(ITIMER_REAL, &off, NULL), 0);
}

void step_timer(struct step *step) { step_in_own_process(step, under_timer); }

/* --- Processes that wait for signals ----------------------------------------------------------------------------- */

/* Each signal is answered by one to the parent; the last one is SIGTERM, which nobody catches. */
static _Noreturn void answer_signals(struct step *step, pid_t parent) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    for (;;) {
        int signal = sigwaitinfo(&set, NULL);
        STEP_CHECK(step, signal == SIGUSR1 || (signal < 0 && errno == EINTR));
        STEP_CHECK_EQ(step, syscall(SYS_tgkill, parent, parent, SIGUSR2), 0);
    }
}

static void signal_processes(struct step *step) {
    sigset_t both, answers;
    pid_t parent = getpid();
    unsigned turns = (unsigned)step_between(step, 3, 25);
    sigemptyset(&answers);
    sigaddset(&answers, SIGUSR2);
    both = answers;
    sigaddset(&both, SIGUSR1);
    STEP_CHECK_EQ(step, sigprocmask(SIG_BLOCK, &both, NULL), 0);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        answer_signals(step, parent);
    }
    for (unsigned i = 0; i < turns && pid > 0; i++) {
        STEP_CHECK_EQ(step, kill(pid, SIGUSR1), 0);
        int signal;
        do {
            signal = sigwaitinfo(&answers, NULL);
        } while (signal < 0 && errno == EINTR);
        STEP_CHECK_EQ(step, signal, SIGUSR2);
    }
    if (pid > 0) {
        STEP_CHECK_EQ(step, kill(pid, SIGTERM), 0);
        int status = step_wait(step, pid);
        STEP_CHECK(step, WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    }
}

void step_signal_processes(struct step *step) { step_in_own_process(step, signal_processes); }
