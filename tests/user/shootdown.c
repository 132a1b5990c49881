/*
 * REVOKE and memory on several CPUs: what is taken away is gone on every CPU when the call returns, and a process that
 * has run on one CPU sends no interrupt for it. With one CPU there is nothing to show but the second half.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { ROUNDS = 40, FILE_PAGES = 8 };

static int cpus(void) { return on_penumbra() ? (int)penumbra_state().cpus : 1; }

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    CHECK_OK(sched_setaffinity(0, sizeof set, &set));
    CHECK_EQ(sched_getcpu(), cpu);
}

/* --- A reader on another CPU, which reads one byte again and again and counts the faults. ------------------------- */

static volatile char *volatile shared_page;
static atomic_int reads, faults, stop_reading;
static __thread sigjmp_buf after_fault;

static void on_fault(int number) {
    (void)number;
    atomic_fetch_add(&faults, 1);
    siglongjmp(after_fault, 1);
}

static void *reader(void *argument) {
    pin(*(int *)argument);
    while (!stop_reading) {
        if (sigsetjmp(after_fault, 1) == 0) {
            (void)*shared_page;
            atomic_fetch_add(&reads, 1);
        }
    }
    return NULL;
}

static void wait_for_reads(void) {
    for (int before = reads; reads < before + 3;) {
        sched_yield();
    }
}

/* Takes the page from the reader by `take` and gives it back by `give`: in between every read faults. */
static void alternate(void (*take)(void), void (*give)(void)) {
    pthread_t thread;
    int cpu = 1;
    signal(SIGSEGV, on_fault);
    shared_page = (volatile char *)mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(shared_page != MAP_FAILED);
    *shared_page = 1;
    pin(0);
    CHECK_EQ(pthread_create(&thread, NULL, reader, &cpu), 0);
    for (int round = 0; round < ROUNDS; round++) {
        wait_for_reads();
        take();
        int faults_before = faults;
        /* One read may have been counted late: it was done before the call returned. */
        int reads_before = reads;
        while (faults < faults_before + 3) {
            sched_yield();
        }
        CHECK(reads - reads_before <= 1);
        give();
    }
    stop_reading = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void unmap(void) { CHECK_OK(munmap((void *)shared_page, TEST_PAGE)); }
static void map_again(void) {
    void *at =
        mmap((void *)shared_page, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(at == (void *)shared_page);
}
static void forbid(void) { CHECK_OK(mprotect((void *)shared_page, TEST_PAGE, PROT_NONE)); }
static void allow(void) { CHECK_OK(mprotect((void *)shared_page, TEST_PAGE, PROT_READ)); }

static void unmapped_on_every_cpu(void) {
    if (cpus() > 1)
        alternate(unmap, map_again);
}

static void forbidden_on_every_cpu(void) {
    if (cpus() > 1)
        alternate(forbid, allow);
}

/* --- A writer on another CPU while the process forks: the child's copy does not change. --------------------------- */

static atomic_int stop_writing;
static volatile unsigned *counter_page;

static void *writer(void *argument) {
    pin(*(int *)argument);
    while (!stop_writing) {
        ++*counter_page;
    }
    return NULL;
}

static void child_sees_no_later_writes(void) {
    pthread_t thread;
    int cpu = cpus() - 1;
    counter_page = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(counter_page != MAP_FAILED);
    CHECK_EQ(pthread_create(&thread, NULL, writer, &cpu), 0);
    for (int round = 0; round < ROUNDS / 4; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            unsigned first = *counter_page;
            for (int i = 0; i < 20; i++) {
                sched_yield();
                if (*counter_page != first)
                    _exit(1);
            }
            _exit(0);
        }
        CHECK(pid > 0);
        CHECK_EXITED(test_wait(pid));
    }
    stop_writing = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* --- A thread on another CPU writes to pages that are given back: the next owner gets them clean. ----------------- */

static volatile char *volatile scribble;
static atomic_int stop_scribbling;

static void *scribbler(void *argument) {
    pin(*(int *)argument);
    while (!stop_scribbling) {
        if (sigsetjmp(after_fault, 1) == 0)
            for (;;) {
                if (stop_scribbling)
                    break;
                memset((char *)scribble, 0x5a, TEST_PAGE);
            }
    }
    return NULL;
}

static void freed_pages_are_clean(void) {
    pthread_t thread;
    int cpu = cpus() - 1;
    if (cpus() == 1)
        return;
    signal(SIGSEGV, on_fault);
    scribble = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(scribble != MAP_FAILED);
    CHECK_EQ(pthread_create(&thread, NULL, scribbler, &cpu), 0);
    for (int round = 0; round < ROUNDS; round++) {
        while (scribble[TEST_PAGE - 1] != 0x5a) /* it is being written to */
            sched_yield();
        CHECK_OK(munmap((void *)scribble, TEST_PAGE));
        /* Frames come back last in, first out: these are likely to get the one that was just freed. */
        char *fresh = mmap(NULL, 4 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(fresh != MAP_FAILED && fresh != scribble);
        for (int page = 0; page < 4; page++) {
            fresh[page * TEST_PAGE] = 0;
            for (int i = 0; i < (int)TEST_PAGE; i++)
                CHECK_EQ(fresh[page * TEST_PAGE + i], 0);
        }
        CHECK_OK(munmap(fresh, 4 * TEST_PAGE));
        void *at =
            mmap((void *)scribble, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        CHECK(at == (void *)scribble);
    }
    stop_scribbling = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* --- Windows: a file that one process reads and another cuts. ----------------------------------------------------- */

static void cut_while_read(void) {
    static const char path[] = "/tmp/shootdown-cut";
    char page[TEST_PAGE];
    memset(page, 'x', sizeof page);
    int fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    pid_t pid = fork();
    if (pid == 0) {
        pin(cpus() - 1);
        for (;;) { /* a short read, zeros behind a hole, or the letters: nothing else, and never an error */
            ssize_t got = pread(fd, page, sizeof page, 0);
            if (got < 0)
                _exit(1);
            for (ssize_t i = 0; i < got; i++)
                if (page[i] != 'x' && page[i] != 0)
                    _exit(2);
        }
    }
    CHECK(pid > 0);
    pin(0);
    for (int round = 0; round < 4 * ROUNDS; round++) {
        for (int i = 0; i < FILE_PAGES; i++)
            CHECK_EQ(pwrite(fd, page, sizeof page, i * TEST_PAGE), TEST_PAGE);
        CHECK_OK(ftruncate(fd, 0));
        char *other = mmap(NULL, FILE_PAGES * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(other != MAP_FAILED);
        memset(other, 'y', FILE_PAGES * TEST_PAGE); /* the frames that the file had, likely */
        CHECK_OK(munmap(other, FILE_PAGES * TEST_PAGE));
    }
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
}

static void bus_error(int number) { _exit(number == SIGBUS ? 7 : 8); }

/* A page that is cut off a file is gone from the mapping of another process, on whatever CPU it runs. */
static void cut_while_mapped(void) {
    static const char path[] = "/tmp/shootdown-mapped";
    for (int private = 0; private < 2; private ++) {
        int ready[2], fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
        CHECK_OK(ftruncate(fd, 3 * TEST_PAGE));
        CHECK_OK(pipe(ready));
        pid_t pid = fork();
        if (pid == 0) {
            pin(cpus() - 1);
            signal(SIGBUS, bus_error);
            volatile char *pages = mmap(NULL, 3 * TEST_PAGE, PROT_READ, private ? MAP_PRIVATE : MAP_SHARED, fd, 0);
            CHECK(pages != MAP_FAILED);
            CHECK_EQ(pages[0] + pages[TEST_PAGE] + pages[2 * TEST_PAGE], 0);
            CHECK_EQ(write(ready[1], "", 1), 1);
            for (;;) { /* the first page stays, the second goes */
                if (pages[0] != 0)
                    _exit(1);
                (void)pages[TEST_PAGE];
            }
        }
        char byte;
        CHECK(pid > 0);
        pin(0);
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        CHECK_OK(ftruncate(fd, TEST_PAGE));
        CHECK_EXITED_WITH(test_wait(pid), 7);
        CHECK_OK(close(ready[0]));
        CHECK_OK(close(ready[1]));
        CHECK_OK(close(fd));
    }
    CHECK_OK(unlink(path));
}

/* --- What it costs ------------------------------------------------------------------------------------------------ */

/* Closing, cutting and unmapping in a process that has run on one CPU only. */
static void alone_no_interrupts(void) {
    test_needs_penumbra();
    char page[TEST_PAGE] = {1};
    pin(0);
    pid_t pid = fork(); /* born where it stays */
    if (pid == 0) {
        struct asi_counters before = penumbra_counters(0);
        for (int round = 0; round < ROUNDS; round++) {
            int fd = (int)CHECK_OK(open("/tmp/shootdown-alone", O_RDWR | O_CREAT, 0600));
            CHECK_EQ(pwrite(fd, page, sizeof page, 0), TEST_PAGE);
            CHECK_EQ(pread(fd, page, sizeof page, 0), TEST_PAGE);
            CHECK_OK(ftruncate(fd, 0));
            CHECK_OK(close(fd));
            char *memory = mmap(NULL, 4 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHECK(memory != MAP_FAILED);
            memset(memory, 1, 4 * TEST_PAGE);
            CHECK_OK(munmap(memory, 4 * TEST_PAGE));
        }
        struct asi_counters after = penumbra_counters(0);
        CHECK_OK(unlink("/tmp/shootdown-alone"));
        /* The GLOBAL heap is everyone's: its pages go 32 at a time, at most one for each round's index. */
        _exit(after.ipis_sent - before.ipis_sent <= (uint64_t)(ROUNDS / 16 + 1) * (uint64_t)(cpus() - 1) ? 0 : 1);
    }
    CHECK(pid > 0);
    CHECK_EXITED(test_wait(pid));
}

/*
 * A close by a process whose threads run on two CPUs: one request for all the windows, one interrupt; none only when
 * the other CPU happened to run somebody else.
 */
static void shared_one_request(void) {
    test_needs_penumbra();
    if (cpus() == 1 || penumbra_state().mode != ASI_MODE_ASI)
        return;
    char page[TEST_PAGE] = {1};
    uint64_t interrupts = 0;
    pthread_t thread;
    int cpu = 1;
    pin(0);
    shared_page = page;
    CHECK_EQ(pthread_create(&thread, NULL, reader, &cpu), 0);
    int fd = (int)CHECK_OK(open("/tmp/shootdown-shared", O_RDWR | O_CREAT, 0600));
    for (int i = 0; i < FILE_PAGES; i++)
        CHECK_EQ(pwrite(fd, page, sizeof page, i * TEST_PAGE), TEST_PAGE);
    CHECK_OK(close(fd));
    for (int round = 0; round < ROUNDS; round++) {
        fd = (int)CHECK_OK(open("/tmp/shootdown-shared", O_RDONLY));
        for (int i = 0; i < FILE_PAGES; i++)
            CHECK_EQ(pread(fd, page, sizeof page, i * TEST_PAGE), TEST_PAGE);
        wait_for_reads();
        struct asi_counters before = penumbra_counters(0);
        CHECK_OK(close(fd));
        struct asi_counters after = penumbra_counters(0);
        CHECK(after.views_revoked - before.views_revoked >= FILE_PAGES);
        CHECK(after.ipis_sent - before.ipis_sent <= 2);
        interrupts += after.ipis_sent - before.ipis_sent;
    }
    CHECK(interrupts >= 1);
    stop_reading = 1;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(unlink("/tmp/shootdown-shared"));
}

/* --- Affinity ----------------------------------------------------------------------------------------------------- */

static void threads_go_where_they_are_told(void) {
    for (int round = 0; round < ROUNDS; round++)
        pin(round % cpus());
}

static const struct test_case cases[] = {
    {"unmapped", unmapped_on_every_cpu},
    {"forbidden", forbidden_on_every_cpu},
    {"fork-writer", child_sees_no_later_writes},
    {"freed-clean", freed_pages_are_clean},
    {"cut-while-read", cut_while_read},
    {"cut-while-mapped", cut_while_mapped},
    {"alone", alone_no_interrupts},
    {"shared", shared_one_request},
    {"affinity", threads_go_where_they_are_told},
};
TEST_MAIN(cases)
