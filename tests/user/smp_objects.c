/*
 * Every kind of kernel object, used from several CPUs at once. Each case lets threads or processes that are pinned to
 * different CPUs do a bounded number of rounds on one object, and then checks what a lost update, a torn step or a
 * lost wake-up would have broken: totals, sums, contents, what is still open. On one CPU the threads take turns, and
 * the same holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { WORKERS = 4, HANDLES_SEEN = 64, LIMIT_MS = 20000 };

static pthread_barrier_t line;
static atomic_bool over;

/* --- Workers ------------------------------------------------------------------------------------------------------ */

static cpu_set_t all_cpus;
static pthread_once_t cpus_known = PTHREAD_ONCE_INIT;

static void find_cpus(void) { CHECK_OK(sched_getaffinity(0, sizeof(all_cpus), &all_cpus)); }

/* The caller runs on the nth CPU of those that there are, counted round. */
static void pin(int n) {
    cpu_set_t one;
    CHECK_EQ(pthread_once(&cpus_known, find_cpus), 0); /* before anyone was pinned */
    n %= CPU_COUNT(&all_cpus);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all_cpus) && n-- == 0)
            CPU_SET(cpu, &one);
    }
    CHECK_OK(sched_setaffinity(0, sizeof(one), &one));
}

struct worker {
    pthread_t thread;
    int number;
    void (*body)(int number);
};

static void *work(void *argument) {
    const struct worker *worker = argument;
    pin(worker->number);
    pthread_barrier_wait(&line);
    worker->body(worker->number);
    return NULL;
}

static void start(struct worker *workers, int count, void (*body)(int)) {
    for (int i = 0; i < count; i++) {
        workers[i].number = i;
        workers[i].body = body;
        CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

static void join(struct worker *workers, int count) {
    for (int i = 0; i < count; i++)
        CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
}

/* `body` by threads 0 to WORKERS - 1, together. */
static void run_threads(void (*body)(int)) {
    struct worker workers[WORKERS];
    CHECK_EQ(pthread_barrier_init(&line, NULL, WORKERS), 0);
    start(workers, WORKERS, body);
    join(workers, WORKERS);
}

static pid_t fork_worker(void (*body)(int), int number) {
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        pin(number);
        body(number);
        _exit(0);
    }
    return child;
}

static void run_processes(void (*body)(int), int count) {
    pid_t children[WORKERS];
    pin(0);
    for (int i = 0; i < count; i++)
        children[i] = fork_worker(body, i);
    for (int i = 0; i < count; i++)
        CHECK_EXITED(test_wait(children[i]));
}

static void *shared_memory(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* --- Handles ------------------------------------------------------------------------------------------------------ */

static const char *file_path;

static int open_handles(void) {
    int count = 0;
    for (int fd = 0; fd < HANDLES_SEEN; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static void open_and_close(int number) {
    for (int round = 0; round < 150; round++) {
        int ends[2], file = (int)CHECK_OK(open(file_path, O_RDONLY));
        char byte;
        CHECK_EQ(pread(file, &byte, 1, 10), 1);
        CHECK_EQ((uint8_t)byte, test_byte(10));
        int copy = (int)CHECK_OK(dup(file));
        CHECK_OK(pipe(ends));
        CHECK_OK(close(file));
        CHECK_EQ(write(ends[1], "x", 1), 1);
        CHECK_EQ(pread(copy, &byte, 1, 20), 1);
        CHECK_EQ((uint8_t)byte, test_byte(20));
        CHECK_OK(close(ends[1]));
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        CHECK_OK(close(ends[0]));
        CHECK_OK(close(copy));
    }
    (void)number;
}

/* In a child: each handle works, and can be closed. The kernel checks its own counts as they go. */
static void use_every_handle(void) {
    struct stat stat;
    char byte;
    for (int fd = 3; fd < HANDLES_SEEN; fd++) {
        if (fcntl(fd, F_GETFD) == -1)
            continue;
        CHECK_OK(fstat(fd, &stat));
        if (S_ISREG(stat.st_mode))
            CHECK_EQ(pread(fd, &byte, 1, 0), 1);
        CHECK_OK(close(fd));
    }
    CHECK(open_handles() <= 3);
    int again = (int)CHECK_OK(open(file_path, O_RDONLY));
    CHECK_EQ(pread(again, &byte, 1, 0), 1);
    CHECK_OK(close(again));
}

static void handles_or_fork(int number) {
    if (number != 0) {
        open_and_close(number);
        return;
    }
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        CHECK(child != -1);
        if (child == 0) {
            use_every_handle();
            _exit(0);
        }
        CHECK_EXITED(test_wait(child));
    }
}

static void handles_and_fork(void) {
    file_path = test_path("handles");
    int file = test_file(file_path, 100), before = open_handles();
    run_threads(handles_or_fork);
    CHECK_EQ(open_handles(), before);
    CHECK_OK(close(file));
    CHECK_OK(unlink(file_path));
}

/* One handle that comes and goes under a reader: it gets the bytes or EBADF, and the last close takes the window. */
static int flickering = 40;

static void read_or_close(int number) {
    char buffer[64];
    if (number == 0) {
        for (int round = 0; round < 400; round++) {
            int file = (int)CHECK_OK(open(file_path, O_RDONLY));
            CHECK_EQ(dup2(file, flickering), flickering);
            CHECK_OK(close(file));
            CHECK_OK(close(flickering));
        }
        over = true;
        return;
    }
    while (!over) {
        ssize_t got = pread(flickering, buffer, sizeof(buffer), 4096);
        if (got == -1) {
            CHECK_EQ(errno, EBADF);
            continue;
        }
        CHECK_EQ(got, sizeof(buffer));
        CHECK_EQ((uint8_t)buffer[63], test_byte(4096 + 63));
    }
}

static void close_while_reading(void) {
    file_path = test_path("flicker");
    CHECK_OK(close(test_file(file_path, 8192)));
    over = false;
    run_threads(read_or_close);
    CHECK_OK(unlink(file_path));
}

/* --- Files -------------------------------------------------------------------------------------------------------- */

enum { RECORD = 100, RECORDS = 200 };

static int appended;

static void fill_record(char record[RECORD], int number) { memset(record, 'a' + number, RECORD); }

static void append(int number) {
    char record[RECORD];
    fill_record(record, number);
    int own = number % 2 == 0 ? appended : (int)CHECK_OK(open(file_path, O_WRONLY | O_APPEND));
    for (int i = 0; i < RECORDS; i++)
        CHECK_EQ(write(own, record, RECORD), RECORD);
}

/* So many whole records of each worker, in any order. */
static void check_records(int file, int workers) {
    int counts[WORKERS] = {0};
    char record[RECORD], expected[RECORD];
    struct stat stat;
    CHECK_OK(fstat(file, &stat));
    CHECK_EQ(stat.st_size, (long)RECORD * RECORDS * workers);
    for (int i = 0; i < workers * RECORDS; i++) {
        CHECK_EQ(pread(file, record, RECORD, (long)i * RECORD), RECORD);
        int number = record[0] - 'a';
        CHECK(number >= 0 && number < workers);
        fill_record(expected, number);
        CHECK(memcmp(record, expected, RECORD) == 0);
        counts[number]++;
    }
    for (int i = 0; i < workers; i++)
        CHECK_EQ(counts[i], RECORDS);
}

static void append_writers(void) {
    file_path = test_path("append");
    appended = (int)CHECK_OK(open(file_path, O_RDWR | O_CREAT | O_APPEND, 0600));
    run_processes(append, WORKERS);
    check_records(appended, WORKERS);
    CHECK_OK(close(appended));
    CHECK_OK(unlink(file_path));
}

static void write_shared(int number) {
    char record[RECORD];
    fill_record(record, number);
    for (int i = 0; i < RECORDS; i++)
        CHECK_EQ(write(appended, record, RECORD), RECORD);
}

static void shared_position(void) {
    file_path = test_path("position");
    appended = (int)CHECK_OK(open(file_path, O_RDWR | O_CREAT, 0600));
    run_threads(write_shared);
    check_records(appended, WORKERS);
    CHECK_OK(close(appended));
    CHECK_OK(unlink(file_path));
}

/* Readers see zeros or the writer's byte, whatever is cut off and grown meanwhile; never anything else. */
static void write_cut_read(int number) {
    char page[TEST_PAGE];
    int file = (int)CHECK_OK(open(file_path, O_RDWR));
    for (int round = 0; round < 150; round++) {
        memset(page, 'w', sizeof(page));
        if (number == 0) {
            CHECK_EQ(pwrite(file, page, sizeof(page), TEST_PAGE), TEST_PAGE);
        } else if (number == 1) {
            CHECK_OK(ftruncate(file, round % 2 == 0 ? 100 : 3 * TEST_PAGE));
        } else {
            ssize_t got = pread(file, page, sizeof(page), TEST_PAGE);
            CHECK(got >= 0);
            for (ssize_t i = 0; i < got; i++)
                CHECK(page[i] == 0 || page[i] == 'w');
        }
    }
    CHECK_OK(close(file));
}

static void truncate_and_write(void) {
    file_path = test_path("cut");
    CHECK_OK(close((int)CHECK_OK(open(file_path, O_RDWR | O_CREAT, 0600))));
    run_threads(write_cut_read);
    CHECK_OK(unlink(file_path));
}

static void count_under_lock(int number) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    int file = (int)CHECK_OK(open(file_path, O_RDWR)), value;
    for (int i = 0; i < 50; i++) {
        CHECK_OK(fcntl(file, F_SETLKW, &lock));
        CHECK_EQ(pread(file, &value, sizeof(value), 0), sizeof(value));
        value++;
        CHECK_EQ(pwrite(file, &value, sizeof(value), 0), sizeof(value));
        CHECK_OK(fcntl(file, F_SETLK, &unlock));
    }
    (void)number;
}

static void record_locks(void) {
    int zero = 0, value;
    file_path = test_path("locked");
    int file = (int)CHECK_OK(open(file_path, O_RDWR | O_CREAT, 0600));
    CHECK_EQ(write(file, &zero, sizeof(zero)), sizeof(zero));
    run_processes(count_under_lock, WORKERS);
    CHECK_EQ(pread(file, &value, sizeof(value), 0), sizeof(value));
    CHECK_EQ(value, WORKERS * 50);
    CHECK_OK(close(file));
    CHECK_OK(unlink(file_path));
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

/* An operation on a name that others change, too: done, or one of the errors that this allows. */
static bool done_unless(long result, int error, int other_error) {
    CHECK(result != -1 || errno == error || errno == other_error);
    return result != -1;
}

static void change_names(int number) {
    for (int round = 0; round < 120; round++) {
        struct stat stat;
        int file = open("a", O_RDWR | O_CREAT, 0600);
        if (done_unless(file, ENOENT, EMFILE)) {
            CHECK_OK(fstat(file, &stat));
            CHECK(stat.st_nlink <= 4);
            CHECK_OK(close(file));
        }
        switch ((round + number) % 4) {
        case 0:
            done_unless(rename("a", "b"), ENOENT, ENOENT);
            break;
        case 1:
            done_unless(link("b", "d/c"), ENOENT, EEXIST);
            break;
        case 2:
            done_unless(unlink("b"), ENOENT, ENOENT);
            done_unless(unlink("d/c"), ENOENT, ENOENT);
            break;
        default:
            done_unless(rename("d", "e"), ENOENT, ENOTEMPTY);
            done_unless(rename("e", "d"), ENOENT, ENOTEMPTY);
            done_unless(mkdir("d", 0700), EEXIST, EEXIST);
        }
    }
}

static void unlink_all(const char *const names[], int count) {
    for (int i = 0; i < count; i++)
        done_unless(unlink(names[i]), ENOENT, ENOENT);
}

static void name_storm(void) {
    static const char *const files[] = {"a", "b", "d/c", "e/c"};
    const char *directory = test_path("names");
    struct stat stat;
    CHECK_OK(mkdir(directory, 0700));
    CHECK_OK(chdir(directory));
    CHECK_OK(mkdir("d", 0700));
    run_processes(change_names, WORKERS);
    run_threads(change_names);
    unlink_all(files, 4);
    done_unless(rmdir("d"), ENOENT, ENOENT);
    done_unless(rmdir("e"), ENOENT, ENOENT);
    CHECK_OK(fstatat(AT_FDCWD, ".", &stat, 0));
    CHECK_EQ(stat.st_nlink, 2);
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(directory));
}

static void change_directory(int number) {
    for (int round = 0; round < 200; round++) {
        char name[16];
        snprintf(name, sizeof(name), "/tmp/cd%d", number);
        CHECK_OK(mkdir(name, 0700));
        CHECK_OK(chdir(name));
        CHECK_OK(rmdir(name)); /* the last name: what is left of it is the working directory's */
        if (number == 0 && round % 8 == 0) {
            pid_t child = fork();
            CHECK(child != -1);
            if (child == 0)
                _exit(chdir("..") == 0 ? 0 : 1);
            CHECK_EXITED(test_wait(child));
        }
    }
}

static void working_directory(void) {
    run_threads(change_directory);
    CHECK_OK(chdir("/"));
}

/* --- Pipes -------------------------------------------------------------------------------------------------------- */

enum { PIPE_BYTES = 30000 };

static int ends[2];
static atomic_long *sums; /* written, read, bytes read */

static void write_and_sum(int number) {
    unsigned char buffer[700];
    long sum = 0;
    for (int done = 0; done < PIPE_BYTES;) {
        size_t part = (size_t)(PIPE_BYTES - done) < sizeof(buffer) ? (size_t)(PIPE_BYTES - done) : sizeof(buffer);
        part = part > 1 && done % 3 == 0 ? part / 2 : part;
        for (size_t i = 0; i < part; i++)
            sum += buffer[i] = (unsigned char)(done + number + (int)i);
        CHECK_EQ(write(ends[1], buffer, part), part);
        done += (int)part;
    }
    atomic_fetch_add(&sums[0], sum);
}

static void read_and_sum(void) {
    unsigned char buffer[900];
    ssize_t got;
    long sum = 0;
    while ((got = read(ends[0], buffer, sizeof(buffer))) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum += buffer[i];
        atomic_fetch_add(&sums[2], got);
    }
    CHECK_EQ(got, 0);
    atomic_fetch_add(&sums[1], sum);
}

/* Even numbers write, odd ones read; the last writer's end is the end of the readers. */
static void talk(int number) {
    if (number % 2 == 0) {
        CHECK_OK(close(ends[0]));
        write_and_sum(number);
    } else {
        CHECK_OK(close(ends[1]));
        read_and_sum();
    }
}

static void check_sums(int writers) {
    CHECK_EQ(sums[0], sums[1]);
    CHECK_EQ(sums[2], (long)writers * PIPE_BYTES);
}

static void pipe_processes(void) {
    pid_t children[WORKERS];
    sums = shared_memory(TEST_PAGE);
    CHECK_OK(pipe(ends));
    for (int i = 0; i < WORKERS; i++)
        children[i] = fork_worker(talk, i);
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
    for (int i = 0; i < WORKERS; i++)
        CHECK_EXITED(test_wait(children[i]));
    check_sums(WORKERS / 2);
}

static atomic_int writers_left;

static void talk_in_one_process(int number) {
    if (number % 2 != 0) {
        read_and_sum();
        return;
    }
    write_and_sum(number);
    if (atomic_fetch_sub(&writers_left, 1) == 1)
        CHECK_OK(close(ends[1]));
}

static void pipe_threads(void) {
    sums = shared_memory(TEST_PAGE);
    writers_left = WORKERS / 2;
    CHECK_OK(pipe(ends));
    run_threads(talk_in_one_process);
    CHECK_OK(close(ends[0]));
    check_sums(WORKERS / 2);
}

/* A token goes round; each waits for its own with poll() among others that stay silent. */
static int ring[WORKERS][2];

static void pass_token(int number) {
    struct pollfd asked[2] = {{.fd = ring[(number + 2) % WORKERS][1], .events = 0},
                              {.fd = ring[number][0], .events = POLLIN}};
    char token;
    for (int round = 0; round < 150; round++) {
        CHECK_EQ(poll(asked, 2, LIMIT_MS), 1);
        CHECK_EQ(asked[1].revents, POLLIN);
        CHECK_EQ(read(ring[number][0], &token, 1), 1);
        CHECK_EQ(write(ring[(number + 1) % WORKERS][1], &token, 1), 1);
    }
}

static void poll_wakes(void) {
    char token = 't';
    for (int i = 0; i < WORKERS; i++)
        CHECK_OK(pipe(ring[i]));
    CHECK_EQ(write(ring[0][1], &token, 1), 1);
    run_threads(pass_token);
    CHECK_EQ(read(ring[0][0], &token, 1), 1);
    for (int i = 0; i < WORKERS; i++) {
        CHECK_OK(close(ring[i][0]));
        CHECK_OK(close(ring[i][1]));
    }
}

/* --- Futexes ------------------------------------------------------------------------------------------------------ */

struct counted {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    long value, turns;
};

static struct counted *counted;

static void count(int number) {
    for (int i = 0; i < 1500; i++) {
        CHECK_EQ(pthread_mutex_lock(&counted->mutex), 0);
        counted->value++;
        CHECK_EQ(pthread_mutex_unlock(&counted->mutex), 0);
    }
    (void)number;
}

static void make_counted(bool between_processes) {
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;
    counted = shared_memory(sizeof(*counted));
    CHECK_EQ(pthread_mutexattr_init(&mutex), 0);
    CHECK_EQ(pthread_condattr_init(&condition), 0);
    CHECK_EQ(pthread_mutexattr_setpshared(&mutex, between_processes), 0);
    CHECK_EQ(pthread_condattr_setpshared(&condition, between_processes), 0);
    CHECK_EQ(pthread_mutex_init(&counted->mutex, &mutex), 0);
    CHECK_EQ(pthread_cond_init(&counted->changed, &condition), 0);
}

static void futex_counter(void) {
    make_counted(false);
    run_threads(count);
    CHECK_EQ(counted->value, WORKERS * 1500);
    make_counted(true);
    run_processes(count, WORKERS);
    CHECK_EQ(counted->value, WORKERS * 1500);
}

/* Each waits for its turn: a broadcast requeues those who wait. */
static void take_turns(int number) {
    for (int round = 0; round < 100; round++) {
        CHECK_EQ(pthread_mutex_lock(&counted->mutex), 0);
        while (counted->turns % WORKERS != number)
            CHECK_EQ(pthread_cond_wait(&counted->changed, &counted->mutex), 0);
        counted->turns++;
        CHECK_EQ(pthread_cond_broadcast(&counted->changed), 0);
        CHECK_EQ(pthread_mutex_unlock(&counted->mutex), 0);
    }
}

static void futex_turns(void) {
    make_counted(false);
    run_threads(take_turns);
    CHECK_EQ(counted->turns, WORKERS * 100);
}

/* --- Signals ------------------------------------------------------------------------------------------------------ */

static atomic_int arrived;

static void note_signal(int number) {
    (void)number;
    arrived++;
}

static void handle(int number) {
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    CHECK_OK(sigaction(number, &action, NULL));
}

static void spin(int number) {
    (void)number;
    while (!over)
        continue;
}

static void wait_for_arrival(int wanted) {
    uint64_t limit = test_now_ns() + LIMIT_MS * 1000000ULL;
    while (arrived < wanted) {
        CHECK(test_now_ns() < limit);
        sched_yield();
    }
}

static void *spin_on_last(void *argument) {
    pin(1);
    spin(0);
    return argument;
}

/* The thread makes no system call: the CPU that it has to itself must be made to look. */
static void signal_spinning_thread(void) {
    pthread_t thread;
    over = false;
    arrived = 0;
    handle(SIGUSR1);
    pin(0);
    CHECK_EQ(pthread_create(&thread, NULL, spin_on_last, NULL), 0);
    for (int i = 1; i <= 50; i++) {
        CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
        wait_for_arrival(i);
    }
    over = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* One that comes just as the thread goes to sleep ends the sleep. */
static void wait_for_signals(int number) {
    sigset_t none;
    CHECK_OK(sigemptyset(&none));
    (void)number;
    while (arrived < 200)
        CHECK_ERRNO(sigsuspend(&none), EINTR);
}

static void signal_sleeping_process(void) {
    sigset_t set;
    arrived = 0;
    handle(SIGUSR1);
    CHECK_OK(sigemptyset(&set));
    CHECK_OK(sigaddset(&set, SIGUSR1));
    CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    pid_t child = fork_worker(wait_for_signals, 1);
    pin(0);
    while (waitpid(child, NULL, WNOHANG) == 0) {
        CHECK(kill(child, SIGUSR1) == 0);
        sched_yield();
    }
}

/* Of signals to the process none is lost by a thread that blocks it just as it was chosen. */
static void block_and_unblock(int number) {
    sigset_t set;
    CHECK_OK(sigemptyset(&set));
    CHECK_OK(sigaddset(&set, SIGUSR2));
    if (number != 0) {
        while (!over) {
            CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
            CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
        }
        return;
    }
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (int i = 1; i <= 100; i++) {
        CHECK_OK(kill(getpid(), SIGUSR2));
        wait_for_arrival(i);
    }
    over = true;
}

static void signal_changing_masks(void) {
    over = false;
    arrived = 0;
    handle(SIGUSR2);
    run_threads(block_and_unblock);
    CHECK_EQ(arrived, 100);
}

/* --- Life and death ----------------------------------------------------------------------------------------------- */

static void fork_and_wait(int number) {
    for (int round = 0; round < 12; round++) {
        pid_t child = fork();
        CHECK(child != -1);
        if (child == 0)
            _exit(number * 20 + round);
        CHECK_EXITED_WITH(test_wait(child), number * 20 + round);
    }
}

static void forks_together(void) { run_threads(fork_and_wait); }

static void touch_memory(void) {
    for (;;) {
        char *memory = mmap(NULL, 16 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        for (int page = 0; page < 16; page++)
            memory[page * TEST_PAGE] = 1;
        CHECK_OK(munmap(memory, 16 * TEST_PAGE));
    }
}

static void touch_until_the_end(int number) {
    (void)number;
    touch_memory();
}

static void busy_threads(void) {
    static struct worker workers[WORKERS];
    CHECK_EQ(pthread_barrier_init(&line, NULL, WORKERS + 1), 0);
    start(workers, WORKERS, touch_until_the_end);
    pthread_barrier_wait(&line);
    usleep(2000);
}

static void exit_among_threads(void *argument) {
    (void)argument;
    busy_threads();
    _exit(5);
}

static void exec_among_threads(void *argument) {
    const char *path = (const char *)getauxval(AT_EXECFN);
    char *argv[] = {(char *)(uintptr_t)path, "--list", NULL}, *envp[] = {NULL};
    (void)argument;
    CHECK_OK(dup2((int)CHECK_OK(open("/dev/null", O_WRONLY)), STDOUT_FILENO));
    busy_threads();
    execve(path, argv, envp);
    test_fail(__FILE__, __LINE__, "execve returned");
}

static void fault_in_the_end(void *argument) {
    (void)argument;
    busy_threads();
    for (;;)
        pause();
}

static void end_while_others_run(void) {
    for (int round = 0; round < 5; round++) {
        bool late;
        CHECK_EXITED_WITH(test_run_child_within(exit_among_threads, NULL, LIMIT_MS, &late), 5);
        CHECK_EXITED(test_run_child_within(exec_among_threads, NULL, LIMIT_MS, &late));
    }
}

static void kill_while_others_run(void) {
    for (int round = 0; round < 5; round++) {
        bool late;
        CHECK_SIGNALED(test_run_child_within(fault_in_the_end, NULL, 20, &late), SIGKILL);
        CHECK(late);
    }
}

static const struct test_case cases[] = {
    {"handles-and-fork", handles_and_fork},
    {"close-while-reading", close_while_reading},
    {"append-writers", append_writers},
    {"shared-position", shared_position},
    {"truncate-and-write", truncate_and_write},
    {"record-locks", record_locks},
    {"name-storm", name_storm},
    {"working-directory", working_directory},
    {"pipe-processes", pipe_processes},
    {"pipe-threads", pipe_threads},
    {"poll-wakes", poll_wakes},
    {"futex-counter", futex_counter},
    {"futex-turns", futex_turns},
    {"signal-spinning-thread", signal_spinning_thread},
    {"signal-sleeping-process", signal_sleeping_process},
    {"signal-changing-masks", signal_changing_masks},
    {"forks-together", forks_together},
    {"end-while-others-run", end_while_others_run},
    {"kill-while-others-run", kill_while_others_run},
};

TEST_MAIN(cases)
