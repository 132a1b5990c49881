/*
 * The torture's steps on waiting and waking: pipes whose bytes are counted and checked, poll, futexes between processes
 * and between threads, sleep. A wake-up that is lost is a step that never ends, which the supervisor sees. See
 * torture.h.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 9000, PIPES = 4, MEMBERS = 4, TURNS = 60, FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

/* --- A pipe's bytes come in order, all of them, once ------------------------------------------------------------ */

static uint8_t pipe_byte(uint64_t seed, uint64_t index) { return (uint8_t)((seed + index) * 0x9e3779b97f4a7c15 >> 37); }

static void write_stream(struct step *step, int fd, uint64_t seed, uint64_t total) {
    uint8_t chunk[CHUNK];
    for (uint64_t done = 0; done < total;) {
        uint64_t count = step_between(step, 1, CHUNK);
        count = count < total - done ? count : total - done;
        for (uint64_t i = 0; i < count; i++) {
            chunk[i] = pipe_byte(seed, done + i);
        }
        ssize_t written = write(fd, chunk, count);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            STEP_CHECK_EQ(step, poll(&room, 1, -1), 1);
            continue;
        }
        STEP_CHECK(step, written > 0);
        done += (uint64_t)written;
    }
}

static void read_stream(struct step *step, int fd, uint64_t seed, uint64_t total) {
    uint8_t chunk[CHUNK];
    uint64_t done = 0;
    ssize_t got;
    while ((got = read(fd, chunk, step_between(step, 1, CHUNK))) != 0) {
        if (got < 0 && errno == EAGAIN) {
            struct pollfd data = {.fd = fd, .events = POLLIN};
            STEP_CHECK_EQ(step, poll(&data, 1, -1), 1);
            continue;
        }
        STEP_CHECK(step, got > 0);
        for (ssize_t i = 0; i < got; i++) {
            STEP_CHECK_EQ(step, chunk[i], pipe_byte(seed, done + (uint64_t)i));
        }
        done += (uint64_t)got;
    }
    STEP_CHECK_EQ(step, done, total);
}

void step_pipe(struct step *step) {
    int ends[2];
    step_pipe_open(step, ends);
    uint64_t seed = step_random(step), total = step_between(step, 1, 150000);
    for (int i = 0; i < 2; i++) {
        if (step_below(step, 3) == 0) {
            STEP_CHECK_EQ(step, fcntl(ends[i], F_SETFL, O_NONBLOCK), 0);
        }
    }
    struct step own = step_split(step);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        close(ends[0]);
        write_stream(&own, ends[1], seed, total);
        _exit(0);
    }
    close(ends[1]);
    if (pid > 0) {
        read_stream(step, ends[0], seed, total);
        step_reap(step, pid, 0);
    }
    close(ends[0]);
}

/* --- poll: a child feeds one of several pipes at a time --------------------------------------------------------- */

static void feed(struct step *step, int (*pipes)[2], unsigned count, int *answer) {
    for (unsigned i = 0; i < count; i++) {
        unsigned which = (unsigned)step_below(step, PIPES);
        uint8_t byte = (uint8_t)which;
        if (step_below(step, 3) == 0) {
            step_nap(step, 0, 500);
        }
        STEP_CHECK_EQ(step, write(pipes[which][1], &byte, 1), 1);
        STEP_CHECK_EQ(step, read(answer[0], &byte, 1), 1);
        STEP_CHECK_EQ(step, byte, which);
    }
}

static void poll_and_answer(struct step *step, int (*pipes)[2], unsigned count, int *answer) {
    for (unsigned done = 0; done < count;) {
        struct pollfd events[PIPES];
        uint8_t byte;
        for (unsigned i = 0; i < PIPES; i++) {
            events[i] = (struct pollfd){.fd = pipes[i][0], .events = POLLIN};
        }
        int ready = poll(events, PIPES, done % 3 == 0 ? 1 : -1);
        STEP_CHECK(step, ready == 0 || ready == 1);
        for (unsigned i = 0; i < PIPES && ready == 1; i++) {
            if (events[i].revents != 0) {
                STEP_CHECK_EQ(step, events[i].revents, POLLIN);
                STEP_CHECK_EQ(step, read(pipes[i][0], &byte, 1), 1);
                STEP_CHECK_EQ(step, byte, i);
                STEP_CHECK_EQ(step, write(answer[1], &byte, 1), 1);
                done++;
            }
        }
    }
}

void step_poll(struct step *step) {
    int pipes[PIPES][2], answer[2];
    unsigned count = (unsigned)step_between(step, 5, 40);
    for (unsigned i = 0; i < PIPES; i++) {
        step_pipe_open(step, pipes[i]);
    }
    step_pipe_open(step, answer);
    struct step own = step_split(step);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        feed(&own, pipes, count, answer);
        _exit(0);
    }
    if (pid > 0) {
        poll_and_answer(step, pipes, count, answer);
        step_reap(step, pid, 0);
    }
    for (unsigned i = 0; i < PIPES; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    close(answer[0]);
    close(answer[1]);
}

/* --- futex: turns between two processes ------------------------------------------------------------------------- */

static void take_turns(struct step *step, _Atomic uint32_t *turn, uint32_t mine, uint32_t turns) {
    for (uint32_t i = mine; i < turns; i += 2) {
        uint32_t now;
        while ((now = atomic_load(turn)) != i) {
            const struct timespec limit = {.tv_sec = 600};
            long result = syscall(SYS_futex, turn, FUTEX_WAIT, now, &limit, NULL, 0);
            STEP_CHECK(step, result == 0 || errno == EAGAIN || errno == EINTR);
        }
        if (step_below(step, 8) == 0) {
            sched_yield();
        }
        atomic_store(turn, i + 1);
        STEP_CHECK(step, syscall(SYS_futex, turn, FUTEX_WAKE, 1, NULL, NULL, 0) >= 0);
    }
}

void step_futex(struct step *step) {
    _Atomic uint32_t *turn = step_map(step, TORTURE_PAGE, MAP_SHARED);
    uint32_t turns = 2 * (uint32_t)step_between(step, 5, 100);
    if (turn == NULL) {
        return;
    }
    struct step own = step_split(step);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        take_turns(&own, turn, 1, turns);
        _exit(0);
    }
    if (pid > 0) {
        take_turns(step, turn, 0, turns);
        step_reap(step, pid, 0);
        STEP_CHECK_EQ(step, *turn, turns);
    }
    step_unmap(step, turn, TORTURE_PAGE);
}

/* --- Threads: a lock, a condition, a barrier --------------------------------------------------------------------- */

struct team {
    struct step *step;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_barrier_t barrier;
    unsigned members, counter, next;
    _Atomic unsigned at_barrier;
};

static void *work(void *argument) {
    struct team *team = argument;
    pthread_mutex_lock(&team->mutex);
    unsigned mine = team->next++;
    while (team->counter < TURNS) {
        if (team->counter % team->members == mine) {
            team->counter++;
            pthread_cond_broadcast(&team->changed);
        } else {
            pthread_cond_wait(&team->changed, &team->mutex);
        }
    }
    pthread_mutex_unlock(&team->mutex);
    for (unsigned round = 1; round <= 3; round++) {
        atomic_fetch_add(&team->at_barrier, 1);
        pthread_barrier_wait(&team->barrier);
        STEP_CHECK(team->step, atomic_load(&team->at_barrier) >= round * team->members);
    }
    return argument;
}

static void run_team(struct step *step) {
    struct team team = {.step = step,
                        .mutex = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER,
                        .members = (unsigned)step_between(step, 2, MEMBERS)};
    unsigned long threads[MEMBERS];
    pthread_barrier_init(&team.barrier, NULL, team.members);
    for (unsigned i = 0; i < team.members; i++) {
        if (!step_thread(step, work, &team, &threads[i])) {
            _exit(0); /* the others wait for it in vain */
        }
    }
    for (unsigned i = 0; i < team.members; i++) {
        void *value = NULL;
        STEP_CHECK_EQ(step, pthread_join((pthread_t)threads[i], &value), 0);
        STEP_CHECK(step, value == &team);
    }
    STEP_CHECK_EQ(step, team.counter, TURNS);
}

void step_threads(struct step *step) {
    pid_t pid = step_fork(step);
    if (pid == 0) {
        run_team(step);
        _exit(0);
    }
    if (pid > 0) {
        step_reap(step, pid, 0);
    }
}

/* Not too early; how much too late is not said: others have the processors. */
void step_sleep(struct step *step) {
    uint64_t ns = step_between(step, 1000, 8000000), start = torture_now_ns();
    const struct timespec time = {.tv_nsec = (long)ns};
    int result = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
    STEP_CHECK(step, result == EINTR || torture_now_ns() - start >= ns);
}
