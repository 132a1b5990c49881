/* Conformance: resource limits, what they keep a process from, and what was used. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { USER = 1077 };

static volatile int count;

static void count_signal(int signal) {
    (void)signal;
    count++;
}

static void in_child(void (*body)(void *)) { CHECK_EXITED(test_run_child(body, NULL)); }

static void limit(int resource, rlim_t current, rlim_t maximum) {
    const struct rlimit set = {current, maximum};
    CHECK_OK(setrlimit(resource, &set));
}

static struct rlimit get(int resource) {
    struct rlimit now;
    CHECK_OK(getrlimit(resource, &now));
    return now;
}

/* --- Setting ------------------------------------------------------------------------------------------------------ */

static void lower_for_good(void *unused) {
    struct rlimit set;
    (void)unused;
    limit(RLIMIT_CORE, 1000, 5000);
    CHECK_OK(setuid(USER));
    limit(RLIMIT_CORE, 5000, 5000);
    limit(RLIMIT_CORE, 10, 100);
    CHECK_EQ(get(RLIMIT_CORE).rlim_cur, 10);
    CHECK_EQ(get(RLIMIT_CORE).rlim_max, 100);
    set = (struct rlimit){10, 101};
    CHECK_ERRNO(setrlimit(RLIMIT_CORE, &set), EPERM);
    CHECK_ERRNO(syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, NULL, &set), EPERM); /* root's */
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_EQ(get(RLIMIT_CORE).rlim_max, 100);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static void settings(void) {
    struct rlimit set = {2, 1}, before;
    CHECK_ERRNO(setrlimit(RLIMIT_CORE, &set), EINVAL);
    CHECK_ERRNO(setrlimit(77, &set), EINVAL);
    CHECK_ERRNO(getrlimit(77, &set), EINVAL);
    CHECK_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_CORE, 8, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_prlimit64, 0x3ffffff, RLIMIT_CORE, NULL, &before), ESRCH);
    CHECK(get(RLIMIT_STACK).rlim_cur > 0);
    CHECK(get(RLIMIT_NOFILE).rlim_cur >= 256);
    in_child(lower_for_good);
    pid_t pid = (pid_t)CHECK_OK(fork()); /* another's */
    if (pid == 0) {
        while (get(RLIMIT_FSIZE).rlim_cur != 4711)
            test_sleep_ms(1);
        _exit(0);
    }
    set = (struct rlimit){4711, RLIM_INFINITY};
    CHECK_OK(syscall(SYS_prlimit64, pid, RLIMIT_FSIZE, &set, &before));
    CHECK_EQ(before.rlim_cur, RLIM_INFINITY);
    CHECK_EXITED(test_wait(pid));
}

/* --- Files -------------------------------------------------------------------------------------------------------- */

static void file_size(void *unused) {
    static char bytes[3000];
    (void)unused;
    int fd = (int)CHECK_OK(open(test_path("limits-size"), O_RDWR | O_CREAT | O_TRUNC, 0600));
    signal(SIGXFSZ, count_signal);
    limit(RLIMIT_FSIZE, 5000, RLIM_INFINITY);
    CHECK_EQ(write(fd, bytes, 3000), 3000);
    CHECK_EQ(write(fd, bytes, 3000), 2000); /* as much as may be */
    CHECK_EQ(count, 0);
    CHECK_ERRNO(write(fd, bytes, 3000), EFBIG);
    CHECK_EQ(count, 1);
    CHECK_ERRNO(pwrite(fd, bytes, 1, 5000), EFBIG);
    CHECK_ERRNO(ftruncate(fd, 5001), EFBIG);
    CHECK_EQ(count, 3);
    CHECK_OK(ftruncate(fd, 5000));
    CHECK_EQ(pwrite(fd, bytes, 3000, 0), 3000);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 5000);
    signal(SIGXFSZ, SIG_DFL);
    unlink(test_path("limits-size"));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        (void)!write(fd, bytes, 1);
        _exit(0);
    }
    CHECK_EQ(WTERMSIG(test_wait(pid)), SIGXFSZ);
}

static void open_files(void *unused) {
    int fds[20], made = 0, ends[2];
    (void)unused;
    limit(RLIMIT_NOFILE, 10, 20);
    while (made < 20 && (fds[made] = open("/dev/null", O_RDONLY)) >= 0)
        CHECK(fds[made++] < 10);
    CHECK_EQ(errno, EMFILE);
    CHECK_ERRNO(pipe(ends), EMFILE);
    CHECK_ERRNO(dup2(0, 10), EBADF);
    CHECK_ERRNO(fcntl(0, F_DUPFD, 10), EINVAL);
    limit(RLIMIT_NOFILE, 12, 20);
    CHECK_OK(dup2(0, 11));
    limit(RLIMIT_NOFILE, 5, 20);
    CHECK_OK(fcntl(11, F_GETFD)); /* what is open stays */
}

static void files(void) {
    in_child(file_size);
    in_child(open_files);
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

static void *map(size_t bytes, int protection, int flags) {
    return mmap(NULL, bytes, protection, flags | MAP_ANONYMOUS, -1, 0);
}

static void address_space(void *unused) {
    (void)unused;
    limit(RLIMIT_AS, 64 << 20, RLIM_INFINITY);
    void *some = map(16 << 20, PROT_READ, MAP_PRIVATE);
    CHECK(some != MAP_FAILED);
    CHECK(map(100 << 20, PROT_READ, MAP_PRIVATE) == MAP_FAILED);
    CHECK_EQ(errno, ENOMEM);
    CHECK(map(100 << 20, PROT_NONE, MAP_SHARED) == MAP_FAILED);
    CHECK(mremap(some, 16 << 20, 100 << 20, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK_EQ(errno, ENOMEM);
    CHECK_OK(munmap(some, 16 << 20));
    limit(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
    CHECK(map(100 << 20, PROT_READ, MAP_PRIVATE) != MAP_FAILED);
}

static void data(void *unused) {
    (void)unused;
    limit(RLIMIT_DATA, 8 << 20, RLIM_INFINITY);
    CHECK(map(32 << 20, PROT_READ, MAP_PRIVATE) != MAP_FAILED); /* no data */
    CHECK(map(32 << 20, PROT_READ | PROT_WRITE, MAP_SHARED) != MAP_FAILED);
    CHECK(map(32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED);
    CHECK_EQ(errno, ENOMEM);
    char *end = (char *)syscall(SYS_brk, 0);
    CHECK(syscall(SYS_brk, end + (32 << 20)) == (long)end);
    CHECK(syscall(SYS_brk, end + (1 << 20)) == (long)(end + (1 << 20)));
}

static void memory(void) {
    in_child(address_space);
    in_child(data);
}

/* --- Processes, signals, time ------------------------------------------------------------------------------------- */

static void *nothing(void *argument) { return argument; }

static void processes(void *unused) {
    pthread_t thread;
    (void)unused;
    limit(RLIMIT_NPROC, 1, 100);
    pid_t pid = fork(); /* not the superuser */
    if (pid == 0)
        _exit(0);
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(setuid(USER));
    CHECK_ERRNO(fork(), EAGAIN);
    CHECK_EQ(pthread_create(&thread, NULL, nothing, NULL), EAGAIN);
    limit(RLIMIT_NPROC, 3, 100);
    pid = (pid_t)CHECK_OK(fork());
    if (pid == 0)
        _exit(0);
    CHECK_EXITED(test_wait(pid));
}

static void pending(void *unused) {
    sigset_t set;
    (void)unused;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    limit(RLIMIT_SIGPENDING, 0, 100);
    CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}), EAGAIN);
    CHECK_OK(kill(getpid(), SIGRTMIN)); /* comes all the same */
    CHECK_EQ(CHECK_OK(sigwaitinfo(&set, NULL)), SIGRTMIN);
}

static void use_time(void *unused) {
    (void)unused;
    signal(SIGXCPU, count_signal);
    limit(RLIMIT_CPU, 1, 3);
    while (count == 0)
        __asm__ volatile("pause");
    struct rusage usage;
    CHECK_OK(getrusage(RUSAGE_SELF, &usage));
    CHECK(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec >= 1 || /* Linux counts ticks for the one, time for the other */
          usage.ru_utime.tv_usec + usage.ru_stime.tv_usec >= 500000);
    signal(SIGXCPU, SIG_IGN);
    for (;;)
        __asm__ volatile("pause");
}

static void others(void) {
    in_child(processes);
    in_child(pending);
}

static void cpu_time(void) { CHECK_SIGNALED(test_run_child(use_time, NULL), SIGKILL); }

/* --- Use ---------------------------------------------------------------------------------------------------------- */

static void touch(void *unused) {
    (void)unused;
    char *memory = map(8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memset(memory, 1, 8 << 20);
    struct rusage usage;
    CHECK_OK(getrusage(RUSAGE_SELF, &usage));
    CHECK(usage.ru_maxrss >= 8 << 10);
    CHECK_OK(munmap(memory, 8 << 20));
    CHECK_OK(getrusage(RUSAGE_SELF, &usage));
    CHECK(usage.ru_maxrss >= 8 << 10); /* the most there was */
    for (volatile int i = 0; i < 30000000; i++) {
    }
}

static void use(void) {
    struct rusage before, after, of_child;
    CHECK_ERRNO(getrusage(77, &before), EINVAL);
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &before));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        touch(NULL);
        _exit(0);
    }
    int status;
    CHECK_EQ(CHECK_OK(wait4(pid, &status, 0, &of_child)), pid);
    CHECK_EXITED(status);
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &after));
    CHECK(of_child.ru_maxrss >= 8 << 10);
    CHECK(after.ru_maxrss >= of_child.ru_maxrss);
    CHECK(of_child.ru_minflt > 0);
    const long used =
        (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_usec;
    CHECK(used > 0);
    CHECK_OK(getrusage(RUSAGE_THREAD, &after));
}

/* --- The stack ---------------------------------------------------------------------------------------------------- */

/* Uses so many KiB of it, and something. */
static __attribute__((noinline)) int deep(int kib) {
    volatile char frame[1024];
    frame[0] = (char)kib;
    return kib == 0 ? 0 : deep(kib - 1) + (frame[0] - (char)kib);
}

static void stack_of_32_mib(void *unused) {
    (void)unused;
    limit(RLIMIT_STACK, 32 << 20, RLIM_INFINITY);
    CHECK_EQ(deep(24 << 10), 0); /* without another exec */
}

/* What becomes of a program that uses so much with that limit. */
static int run_deep(rlim_t stack, const char *kib) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        limit(RLIMIT_STACK, stack, RLIM_INFINITY);
        execl("/proc/self/exe", "limits", "--deep", kib, NULL);
        _exit(99);
    }
    return test_wait(pid);
}

static void many_words(void *unused) {
    static char word[100 << 10];
    char *arguments[] = {"limits", "--deep", "1", word, word, NULL};
    (void)unused;
    memset(word, 'w', sizeof(word) - 1);
    limit(RLIMIT_STACK, 512 << 10, RLIM_INFINITY);
    CHECK_ERRNO(execv("/proc/self/exe", arguments), E2BIG); /* a quarter of it, and 128 KiB in any case */
    limit(RLIMIT_STACK, 8 << 20, RLIM_INFINITY);
    execv("/proc/self/exe", arguments);
    test_fail(__FILE__, __LINE__, "not executed");
}

static void stack(void) {
    in_child(stack_of_32_mib);
    CHECK_EXITED(run_deep(512 << 10, "256"));
    CHECK_EQ(WTERMSIG(run_deep(512 << 10, "1024")), SIGSEGV);
    CHECK_EXITED(run_deep(64 << 20, "50000"));
    in_child(many_words);
}

static const struct test_case cases[] = {
    {"settings", settings}, {"files", files}, {"memory", memory}, {"others", others},
    {"cpu-time", cpu_time}, {"use", use},     {"stack", stack},
};

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "--deep") == 0) {
        return deep(atoi(argv[2]));
    }
    return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
