/*
 * The torture's step without a model: threads map, unmap, move, protect, touch and fork over the same few pages at
 * once. Nobody knows what a touch will find, but for one thing: it is a fault, or a page of this process, every word of
 * which is 0 or was written here. See torture.h.
 */
#include "torture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STORM_THREADS = 3, STORM_PAGES = 12, STORM_DEEDS = 60 };

/* What is written: nothing else in the machine looks like it, but what another storm writes. */
#define STORM_MARK 0x5707a5707a000000u

static char *field;
static _Atomic unsigned waiting; /* until all stacks are mapped: a hole in the field must not become one */
static _Thread_local sigjmp_buf storm_fault;

static void on_fault(int signal) { siglongjmp(storm_fault, signal); }

static void touch(struct step *step, volatile uint64_t *word, bool write) {
    uint64_t mark = STORM_MARK | (uint64_t)getpid();
    if (sigsetjmp(storm_fault, 1) != 0) {
        return;
    }
    uint64_t found = *word;
    if (found != 0 && found != mark) {
        step_fail(step, __FILE__, __LINE__, "a page of somebody else: %#llx", (unsigned long long)found);
    }
    if (write) {
        *word = mark;
    }
}

static void fork_and_touch(struct step *step, volatile uint64_t *word) {
    pid_t pid = fork();
    if (pid == 0) {
        if (sigsetjmp(storm_fault, 1) == 0) {
            *word = 0; /* the child's own copy, whatever the threads do with theirs */
        }
        _exit(0);
    }
    if (pid > 0) {
        step_reap(step, pid, 0);
    }
}

/* Results are not looked at: the others may have taken away what a call names. */
static void storm_deed(struct step *step) {
    unsigned first = (unsigned)step_below(step, STORM_PAGES);
    size_t bytes = step_between(step, 1, STORM_PAGES - first) * TORTURE_PAGE;
    char *start = field + first * TORTURE_PAGE;
    volatile uint64_t *word = (volatile uint64_t *)(void *)(start + step_below(step, 512) * 8);
    unsigned to = (unsigned)step_below(step, STORM_PAGES);
    switch (step_below(step, 12)) {
    case 0:
        munmap(start, bytes);
        break;
    case 1:
    case 2:
        mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        break;
    case 3:
        mprotect(start, bytes, step_below(step, 2) ? PROT_READ : PROT_READ | PROT_WRITE);
        break;
    case 4:
        madvise(start, bytes, MADV_DONTNEED);
        break;
    case 5:
        if (to * TORTURE_PAGE + bytes <= STORM_PAGES * TORTURE_PAGE) {
            mremap(start, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, field + to * TORTURE_PAGE);
        }
        break;
    case 6:
        fork_and_touch(step, word);
        break;
    default:
        touch(step, word, step_below(step, 2) == 0);
        break;
    }
}

static void *storm(void *argument) {
    struct step *step = argument;
    while (atomic_load(&waiting) != 0) {
        sched_yield();
    }
    for (int i = 0; i < STORM_DEEDS; i++) {
        storm_deed(step);
    }
    return argument;
}

static void map_storm(struct step *step) {
    struct sigaction action = {.sa_handler = on_fault};
    struct step own[STORM_THREADS];
    unsigned long threads[STORM_THREADS];
    unsigned count = 0;
    STEP_CHECK_EQ(step, sigaction(SIGSEGV, &action, NULL), 0);
    field = step_map(step, STORM_PAGES * TORTURE_PAGE, MAP_PRIVATE);
    atomic_store(&waiting, 1);
    while (field != NULL && count < STORM_THREADS) {
        own[count] = step_split(step);
        if (!step_thread(step, storm, &own[count], &threads[count])) {
            break;
        }
        count++;
    }
    atomic_store(&waiting, 0);
    for (unsigned i = 0; i < count; i++) {
        pthread_join((pthread_t)threads[i], NULL);
    }
}

void step_map_storm(struct step *step) { step_in_own_process(step, map_storm); }
