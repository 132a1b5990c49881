/*
 * The torture's steps on translations that must be gone: threads on several CPUs have used a page, one of them takes it
 * away, and from the moment that its call has returned nobody sees the old page, by any means. See torture.h.
 *
 * Each runs in a process of its own, which has a handler for SIGSEGV and SIGBUS.
 */
#include "torture.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READERS = 3, ROUNDS = 12, FAULTED = -1 };

/* What the readers are to do next. */
enum order { ORDER_READ, ORDER_WRITE, ORDER_END };

struct crew {
    struct step *step;
    volatile uint64_t *word; /* what everybody touches */
    volatile uint64_t value; /* what is written */
    enum order order;
    _Atomic unsigned round, ready;
    unsigned readers;
    _Atomic int64_t seen[READERS]; /* what each read, or FAULTED */
    _Atomic unsigned next;
};

static _Thread_local sigjmp_buf faulted;

static void on_fault(int signal) { siglongjmp(faulted, signal); }

static void catch_faults(struct step *step) {
    struct sigaction action = {.sa_handler = on_fault};
    STEP_CHECK_EQ(step, sigaction(SIGSEGV, &action, NULL), 0);
    STEP_CHECK_EQ(step, sigaction(SIGBUS, &action, NULL), 0);
}

static int64_t touch(struct crew *crew) {
    if (sigsetjmp(faulted, 1) != 0) {
        return FAULTED;
    }
    if (crew->order == ORDER_WRITE) {
        *crew->word = crew->value;
    }
    return (int64_t)*crew->word;
}

static void *obey(void *argument) {
    struct crew *crew = argument;
    unsigned mine = atomic_fetch_add(&crew->next, 1);
    for (unsigned round = 1;; round++) {
        while (atomic_load(&crew->round) < round) {
            sched_yield();
        }
        if (crew->order == ORDER_END) {
            return argument;
        }
        atomic_store(&crew->seen[mine], touch(crew));
        atomic_fetch_add(&crew->ready, 1);
    }
}

/* All readers do it, and all see this. */
static void command(struct crew *crew, enum order order, int64_t expected) {
    crew->order = order;
    atomic_store(&crew->ready, 0);
    atomic_fetch_add(&crew->round, 1);
    if (order == ORDER_END) {
        return;
    }
    while (atomic_load(&crew->ready) < crew->readers) {
        sched_yield();
    }
    for (unsigned i = 0; i < crew->readers; i++) {
        STEP_CHECK_EQ(crew->step, atomic_load(&crew->seen[i]), expected);
    }
    STEP_CHECK_EQ(crew->step, touch(crew), expected); /* and so does who gave the order */
}

static void command_write(struct crew *crew, uint64_t value) {
    crew->value = value;
    command(crew, ORDER_WRITE, (int64_t)value);
}

static void map_again(struct crew *crew, char *page, int rights) {
    STEP_CHECK(crew->step,
               mmap(page, TORTURE_PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)page);
}

/* What was written after the fork is not seen by the child, though every reader could write the page before. */
static void fork_under_readers(struct crew *crew, uint64_t value) {
    int ends[2];
    char byte;
    step_pipe_open(crew->step, ends);
    pid_t pid = step_fork(crew->step);
    if (pid == 0) {
        close(ends[1]);
        STEP_CHECK_EQ(crew->step, read(ends[0], &byte, 1), 0);
        STEP_CHECK_EQ(crew->step, *crew->word, value);
        _exit(0);
    }
    close(ends[0]);
    command_write(crew, value + 1);
    close(ends[1]);
    if (pid > 0) {
        step_reap(crew->step, pid, 0);
    }
}

/* The page is in use by all when this begins, with `value` in it, and is mapped for writing when it ends. */
static void take_away(struct crew *crew, char *page, char *elsewhere, uint64_t value) {
    struct step *step = crew->step;
    switch (step_below(step, 6)) {
    case 0: /* another page in its place */
        map_again(crew, page, PROT_READ | PROT_WRITE);
        command(crew, ORDER_READ, 0);
        break;
    case 1: /* none in its place */
        map_again(crew, page, PROT_NONE);
        command(crew, ORDER_READ, FAULTED);
        map_again(crew, page, PROT_READ | PROT_WRITE);
        break;
    case 2: /* fewer rights */
        STEP_CHECK_EQ(step, mprotect(page, TORTURE_PAGE, PROT_READ), 0);
        crew->value = value + 1;
        command(crew, ORDER_WRITE, FAULTED);
        command(crew, ORDER_READ, (int64_t)value);
        STEP_CHECK_EQ(step, mprotect(page, TORTURE_PAGE, PROT_READ | PROT_WRITE), 0);
        break;
    case 3:
        STEP_CHECK_EQ(step, madvise(page, TORTURE_PAGE, MADV_DONTNEED), 0);
        command(crew, ORDER_READ, 0);
        break;
    case 4: /* moved */
        STEP_CHECK(step, mremap(page, TORTURE_PAGE, TORTURE_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) ==
                             (void *)elsewhere);
        map_again(crew, page, PROT_READ | PROT_WRITE);
        command(crew, ORDER_READ, 0);
        crew->word += (elsewhere - page) / 8;
        command(crew, ORDER_READ, (int64_t)value);
        crew->word -= (elsewhere - page) / 8;
        break;
    default:
        fork_under_readers(crew, value);
        break;
    }
}

static unsigned start_readers(struct crew *crew, unsigned count) {
    unsigned long thread;
    while (crew->readers < count && step_thread(crew->step, obey, crew, &thread)) {
        crew->readers++;
    }
    return crew->readers;
}

static void stale_pages(struct step *step) {
    struct crew crew = {.step = step};
    catch_faults(step);
    char *pages = step_map(step, 4 * TORTURE_PAGE, MAP_PRIVATE);
    if (pages == NULL || start_readers(&crew, (unsigned)step_between(step, 1, READERS)) == 0) {
        return;
    }
    for (unsigned round = 1; round <= ROUNDS; round++) {
        char *page = pages + step_below(step, 2) * TORTURE_PAGE;
        uint64_t value = round * 2 + (step_random(step) & 0xffffff) * 1000;
        crew.word = (volatile uint64_t *)(void *)(page + step_below(step, 512) * 8);
        command_write(&crew, value);
        *crew.word = value;
        take_away(&crew, page, pages + 3 * TORTURE_PAGE, value);
    }
    command(&crew, ORDER_END, 0);
}

void step_stale_pages(struct step *step) { step_in_own_process(step, stale_pages); }

/* --- A file that is cut while threads and another process have it mapped ---------------------------------------- */

/* The other process: for each byte that comes it touches the mapping; 'f' is a fault expected, 'z' a zero, 'v' any. */
static _Noreturn void watch(struct step *step, struct crew *crew, int orders, int answers) {
    char order;
    crew->order = ORDER_READ;
    while (read(orders, &order, 1) == 1) {
        int64_t seen = touch(crew);
        STEP_CHECK(step, order != 'f' || seen == FAULTED);
        STEP_CHECK(step, order != 'z' || seen == 0);
        STEP_CHECK_EQ(step, write(answers, &order, 1), 1);
    }
    _exit(0);
}

static void ask(struct step *step, const int *to, const int *from, char order) {
    char answer = 0;
    STEP_CHECK_EQ(step, write(to[1], &order, 1), 1);
    STEP_CHECK_EQ(step, read(from[0], &answer, 1), 1);
    STEP_CHECK_EQ(step, answer, order);
}

static void cut_and_grow(struct crew *crew, int fd, const int *to, const int *from) {
    struct step *step = crew->step;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        uint64_t page = step_below(step, 4), word;
        off_t size = (off_t)(step_below(step, page + 1) * TORTURE_PAGE);
        STEP_CHECK_EQ(step, ftruncate(fd, 4 * TORTURE_PAGE), 0);
        crew->word += page * 512;
        command_write(crew, round);
        STEP_CHECK_EQ(step, pread(fd, &word, 8, (off_t)page * TORTURE_PAGE), 8);
        STEP_CHECK_EQ(step, word, round);
        STEP_CHECK_EQ(step, ftruncate(fd, size), 0);
        command(crew, ORDER_READ, FAULTED);
        crew->word -= page * 512;
        STEP_CHECK_EQ(step, pread(fd, &word, 8, size), 0);
        ask(step, to, from, size == 0 ? 'f' : 'v');
        STEP_CHECK_EQ(step, ftruncate(fd, 4 * TORTURE_PAGE), 0);
        ask(step, to, from, size == 0 ? 'z' : 'v');
        crew->word += page * 512;
        command(crew, ORDER_READ, 0);
        crew->word -= page * 512;
    }
}

static void stale_file(struct step *step) {
    struct crew crew = {.step = step};
    int to[2], from[2];
    char path[64];
    catch_faults(step);
    step_path(step, 80, path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    STEP_CHECK(step, fd >= 0);
    STEP_CHECK_EQ(step, unlink(path), 0);
    STEP_CHECK_EQ(step, ftruncate(fd, 4 * TORTURE_PAGE), 0);
    void *start = mmap(NULL, 4 * TORTURE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    STEP_CHECK(step, start != MAP_FAILED);
    crew.word = start;
    step_pipe_open(step, to);
    step_pipe_open(step, from);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        watch(step, &crew, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    if (pid > 0 && start_readers(&crew, (unsigned)step_between(step, 1, READERS)) > 0) {
        cut_and_grow(&crew, fd, to, from);
        command(&crew, ORDER_END, 0);
    }
    close(to[1]);
    if (pid > 0) {
        step_reap(step, pid, 0);
    }
}

void step_stale_file(struct step *step) { step_in_own_process(step, stale_file); }
