/*
 * Hostile input: programs that take everything there is of something. They get an errno or are killed, the others live,
 * and the runner sees that the frames come back.
 *
 * On Linux they run as nobody and under small limits, so that they are safe there.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { MEGABYTE = 1 << 20, LIMIT_MS = 30000, NOBODY = 65534 };

struct shared {
    volatile int error;   /* errno of the first failure */
    volatile int reached; /* how far it got */
};

static struct shared *shared;

static void make_shared(void) {
    shared = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
}

static void set_limit(int resource, rlim_t value) {
    struct rlimit limit = {value, value};
    CHECK_OK(setrlimit(resource, &limit));
}

static void confine_on_linux(void) {
    if (on_penumbra()) {
        return;
    }
    set_limit(RLIMIT_AS, 256 * MEGABYTE);
    set_limit(RLIMIT_FSIZE, 16 * MEGABYTE);
    set_limit(RLIMIT_NPROC, 200);
    set_limit(RLIMIT_CPU, 20);
    signal(SIGXFSZ, SIG_IGN);
    if (getuid() == 0) {
        CHECK_OK(setgroups(0, NULL));
        CHECK_OK(setgid(NOBODY));
        CHECK_OK(setuid(NOBODY));
    }
}

static void nothing(void *argument) { (void)argument; }

/* The machine is as good as new: a child, a mapping, a file. */
static void check_alive(void) {
    CHECK_EXITED(test_run_child(nothing, NULL));
    uint8_t *memory = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)memory != MAP_FAILED);
    memset(memory, 1, MEGABYTE);
    CHECK_OK(munmap(memory, MEGABYTE));
    const char *path = test_path("alive");
    CHECK_OK(close(test_file(path, 65536)));
    CHECK_OK(unlink(path));
}

static void bomb(void *argument) {
    (void)argument;
    confine_on_linux();
    setpgid(0, 0);
    for (;;) {
        if (fork() < 0) {
            shared->error = errno;
            for (;;) {
                pause();
            }
        }
        __atomic_add_fetch(&shared->reached, 1, __ATOMIC_RELAXED);
    }
}

/* Every process forks for ever, its children too. The kernel refuses at some number; all of it can be killed. */
static void fork_bomb(void) {
    make_shared();
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* where there is such a thing; otherwise the orphans are init's to reap */
    pid_t group = fork();
    if (group == 0) {
        bomb(NULL);
    }
    setpgid(group, group);
    uint64_t deadline = test_now_ns() + LIMIT_MS * 1000000ul;
    while (shared->error == 0 && test_now_ns() < deadline) {
        test_sleep_ms(1);
    }
    for (int round = 0; round < 5000 && kill(-group, SIGKILL) == 0; round++) {
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        test_sleep_ms(1);
    }
    CHECK_ERRNO(kill(-group, 0), ESRCH);
    CHECK(shared->error == EAGAIN || shared->error == ENOMEM);
    CHECK(shared->reached >= 20);
    check_alive();
}

static void run_eater(void (*eater)(void *), void *argument) {
    bool timed_out;
    make_shared();
    int status = test_run_child_within(eater, argument, LIMIT_MS, &timed_out);
    CHECK(!timed_out);
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
        test_fail(__FILE__, __LINE__, "wait status %#x after %d steps", status, shared->reached);
    }
    check_alive();
}

/* Argument: the stride at which the memory is touched; a large one eats page tables. */
static void eat_memory(void *argument) {
    size_t stride = (size_t)argument, part = stride > MEGABYTE ? 16 * stride : MEGABYTE;
    confine_on_linux();
    for (;;) {
        uint8_t *memory = mmap(NULL, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if ((void *)memory == MAP_FAILED) {
            CHECK_EQ(errno, ENOMEM);
            return;
        }
        for (size_t i = 0; i < part; i += stride) {
            memory[i] = 1;
        }
        shared->reached++;
    }
}

static void memory_eater(void) {
    run_eater(eat_memory, (void *)TEST_PAGE);
    CHECK(shared->reached >= 16);
}

static void page_table_eater(void) { run_eater(eat_memory, (void *)(2ul * MEGABYTE)); }

static void several_memory_eaters(void) {
    enum { EATERS = 4 };
    pid_t pids[EATERS];
    make_shared();
    for (int i = 0; i < EATERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            eat_memory((void *)TEST_PAGE);
            _exit(0);
        }
    }
    for (int i = 0; i < EATERS; i++) {
        int status = test_wait(pids[i]);
        CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    }
    check_alive();
}

static void eat_brk(void *argument) {
    (void)argument;
    confine_on_linux();
    for (;;) {
        long old = syscall(SYS_brk, 0); /* musl's own brk() and sbrk() refuse */
        if (syscall(SYS_brk, old + MEGABYTE) != old + MEGABYTE) {
            return;
        }
        memset((void *)old, 1, MEGABYTE);
        shared->reached++;
    }
}

static void brk_eater(void) { run_eater(eat_brk, NULL); }

/* Fills a file until the file system says no. Returns with the file still there: memory is exhausted where files are
 * memory. */
static int fill_file(const char *path) {
    static uint8_t block[MEGABYTE];
    int fd = (int)CHECK_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    for (;;) {
        ssize_t written = write(fd, block, sizeof(block));
        if (written < 0) {
            CHECK(errno == ENOSPC || errno == ENOMEM || errno == EFBIG);
            return fd;
        }
        CHECK(written > 0);
        shared->reached++;
    }
}

static void try_everything(void *argument) {
    int ends[2], status;
    char *argv[] = {"exhaust", argument, NULL};
    for (int round = 0; round < 20; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            uint8_t *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if ((void *)memory != MAP_FAILED) {
                memset(memory, 1, 65536);
            }
            execve("/tests/exhaust", argv, argv + 2);
            _exit(0);
        }
        if (pid > 0) {
            status = test_wait(pid); /* whatever it came to */
        }
        if (pipe(ends) == 0) {
            status = (int)write(ends[1], argv, sizeof(argv));
            close(ends[0]);
            close(ends[1]);
        }
        int fd = open("/tmp/test-low", O_RDWR | O_CREAT, 0600);
        if (fd >= 0) {
            status = (int)pwrite(fd, argv, sizeof(argv), (off_t)round << 30);
            close(fd);
        }
        unlink("/tmp/test-low");
        if (mkdir("/tmp/test-low", 0700) == 0) {
            rmdir("/tmp/test-low");
        }
    }
    (void)status;
}

static void eat_file(void *argument) {
    confine_on_linux();
    int fd = fill_file("/tmp/test-eaten");
    bool timed_out;
    if (argument != NULL) {
        test_run_child_within(try_everything, "--list", LIMIT_MS / 2, &timed_out);
    }
    CHECK_OK(unlink("/tmp/test-eaten"));
    CHECK_OK(close(fd));
}

static void file_eater(void) {
    run_eater(eat_file, NULL);
    unlink("/tmp/test-eaten"); /* when it was killed */
    CHECK(shared->reached >= 4);
}

/* Everything that allocates, tried with no memory left: each fails in its own way and loses nothing. */
static void calls_without_memory(void) {
    run_eater(eat_file, "");
    unlink("/tmp/test-eaten");
}

static void *stay(void *argument) {
    for (;;) {
        pause();
    }
    return argument;
}

static void eat_threads(void *argument) {
    (void)argument;
    confine_on_linux();
    for (;;) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, stay, NULL);
        if (error != 0) {
            CHECK(error == EAGAIN || error == ENOMEM);
            return;
        }
        shared->reached++;
    }
}

static void thread_eater(void) {
    run_eater(eat_threads, NULL);
    CHECK(shared->reached >= 20);
}

/* Descriptors, and pipes full of data behind them. */
static void eat_pipes(void *argument) {
    static uint8_t data[65536];
    (void)argument;
    confine_on_linux();
    set_limit(RLIMIT_NOFILE, 1024);
    for (;;) {
        int ends[2];
        if (pipe2(ends, O_NONBLOCK) < 0) {
            CHECK(errno == EMFILE || errno == ENFILE || errno == ENOMEM);
            return;
        }
        ssize_t written = write(ends[1], data, sizeof(data));
        CHECK(written > 0 || errno == ENOMEM || errno == EAGAIN);
        shared->reached++;
    }
}

static void pipe_eater(void) {
    run_eater(eat_pipes, NULL);
    CHECK(shared->reached >= 20);
}

/* Mappings that cannot be merged: the kernel's own memory, not the program's. */
static void eat_mappings(void *argument) {
    (void)argument;
    confine_on_linux();
    for (int i = 0; i < 300000; i++) {
        int protection = i % 2 == 0 ? PROT_READ : PROT_READ | PROT_WRITE;
        if (mmap(NULL, TEST_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
            CHECK_EQ(errno, ENOMEM);
            return;
        }
        shared->reached++;
    }
}

static void mapping_eater(void) {
    run_eater(eat_mappings, NULL);
    CHECK(shared->reached >= 12000);
}

static const struct test_case cases[] = {
    {"fork-bomb", fork_bomb},
    {"memory-eater", memory_eater},
    {"page-table-eater", page_table_eater},
    {"several-memory-eaters", several_memory_eaters},
    {"brk-eater", brk_eater},
    {"file-eater", file_eater},
    {"calls-without-memory", calls_without_memory},
    {"thread-eater", thread_eater},
    {"pipe-eater", pipe_eater},
    {"mapping-eater", mapping_eater},
};
TEST_MAIN(cases)
