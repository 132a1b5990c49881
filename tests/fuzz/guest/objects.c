/*
 * What calls are pointed at: a window of pages of several kinds, descriptors of every kind that there is, and names.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "kernel/ipc_abi.h"

static uint64_t below(struct fuzz_thread *thread, uint64_t limit) { return fuzz_below(&thread->random, limit); }

/* --- Pages -------------------------------------------------------------------------------------------------------- */

/*
 * From the front: 24 pages of the process's own, a hole, 3 read-only, 3 without rights, 8 shared with the other process
 * of the family, 8 of a file shared, 8 of the file private (half of them behind its end), then holes.
 */
static void map_window(struct fuzz_process *process) {
    enum { OWN = 24, HOLE = 1, FEW = 3, SOME = 8 };
    const int fixed = MAP_FIXED;
    uint8_t *at =
        mmap((void *)FUZZ_WINDOW_AT, WINDOW_PAGES * FUZZ_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    int fd = open("window", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (at == MAP_FAILED) {
        _exit(1);
    }
    process->window = at;
    mmap(at, OWN * FUZZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    at += (OWN + HOLE) * FUZZ_PAGE;
    mmap(at, FEW * FUZZ_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    at += 2 * FEW * FUZZ_PAGE;
    mmap(at, SOME * FUZZ_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | fixed, -1, 0);
    at += SOME * FUZZ_PAGE;
    if (fd >= 0 && ftruncate(fd, SOME / 2 * FUZZ_PAGE + 100) == 0) {
        mmap(at, SOME * FUZZ_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | fixed, fd, 0);
        at += SOME * FUZZ_PAGE;
        mmap(at, SOME * FUZZ_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | fixed, fd, 0);
        at += SOME * FUZZ_PAGE;
    }
    munmap(at, (size_t)(process->window + WINDOW_PAGES * FUZZ_PAGE - at));
    munmap(process->window + OWN * FUZZ_PAGE, FUZZ_PAGE);
    close(fd);
}

void fuzz_process_prepare(struct fuzz_process *process) {
    map_window(process);
    for (unsigned i = 0; i < FUZZ_THREADS; i++) {
        process->scratch[i] = mmap((void *)(FUZZ_SCRATCH_AT + i * FUZZ_APART), SCRATCH_BYTES, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (process->scratch[i] == MAP_FAILED) {
            _exit(1);
        }
    }
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

/* Root's stay in its own directory. */
const char *fuzz_name(struct fuzz_thread *thread) {
    static const char *const names[] = {
        "a",
        "b",
        "c",
        "d",
        "d/a",
        "d/b",
        "d/d",
        "d/d/d",
        "link",
        "fifo",
        "a/",
        "./a",
        "d/./d/a",
        "",
        "socket",
        "window",
        ".",
        "long/name/that/is/not/there",
        "/proc/self/cmdline",
        "/proc/self",
        "/proc/meminfo",
        "/proc/self/maps",
        "/proc/self/fd/3",

        /* from here on not for root */
        "..",
        "d/..",
        "/",
        "/tmp",
        "/tmp/..",
        "/dev/null",
        "/dev/zero",
        "/dev/urandom",
        "/dev/tty",
        "/dev/console",
        "/dev/full",
        "/proc/mounts",
        "/proc/cmdline",
        "/bin/true",
        "/bin/false",
        "/bin",
        "/proc/1",
        "/proc/1/maps",
        "/tmp/fuzz",
        "/dev",
        "/proc",
        "/dev/fd/4",
        "/dev/ptmx",
        "/dev/pts/0",
        "/sys",
        "/proc/asi",
        "//bin///true",
        "/run",
        "/etc/passwd",
        "/proc/self/exe",
    };
    enum { ALL = sizeof names / sizeof *names, OF_ROOT = 23, LONG = 4200 };
    if (fuzz_one_in(&thread->random, 64)) { /* as long as a path may be, and longer */
        static char text[LONG + 1];
        memset(text, 'x', LONG);
        for (unsigned i = 200; i < LONG; i += 200) {
            text[i] = '/';
        }
        return text + (fuzz_one_in(&thread->random, 2) ? below(thread, LONG) : LONG - 250 - below(thread, 12));
    }
    return names[below(thread, thread->process->root ? OF_ROOT : fuzz_one_in(&thread->random, 3) ? ALL : OF_ROOT)];
}

/* --- Descriptors -------------------------------------------------------------------------------------------------- */

static long call(long number, long a, long b, long c, long d) {
    const long arguments[6] = {a, b, c, d, 0, 0};
    return fuzz_syscall(number, arguments);
}

static long open_file(struct fuzz_thread *thread) {
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/urandom",
                                          "/dev/full", "/dev/tty",  "/dev/ptmx"};
    switch (below(thread, 5)) {
    case 0:
        return call(SYS_open, (long)devices[below(thread, 6)], O_RDWR | O_NONBLOCK, 0, 0);
    case 1:
        call(SYS_mkdir, (long)"d", 0700, 0, 0);
        call(SYS_mkdir, (long)"d/d", 0700, 0, 0);
        return call(SYS_open, (long)"d", O_RDONLY | O_DIRECTORY, 0, 0);
    case 2:
        call(SYS_mknod, (long)"fifo", S_IFIFO | 0600, 0, 0);
        return call(SYS_open, (long)"fifo", O_RDWR | O_NONBLOCK, 0, 0);
    default:
        call(SYS_symlink, (long)"d/a", (long)"link", 0, 0);
        return call(SYS_open, (long)fuzz_name(thread), O_RDWR | O_CREAT, 0600, 0);
    }
}

static void make_pager(struct fuzz_thread *thread) {
    long endpoint = call(SYS_ENDPOINT_CREATE, 0, 0, 0, 0);
    long object = call(SYS_OBJECT_CREATE, 16 * FUZZ_PAGE, endpoint, (long)below(thread, 10), 0);
    /* A pager that does not answer is waited for: not for long. */
    call(SYS_PAGER_TIMEOUT, object, 2000000, 0, 0);
    call(SYS_GRANT_CREATE, object, (long)below(thread, 4), (long)below(thread, 4), GRANT_STORE);
    if (fuzz_one_in(&thread->random, 2)) {
        const long arguments[6] = {(long)thread->process->window + (long)below(thread, WINDOW_PAGES) * FUZZ_PAGE,
                                   4 * FUZZ_PAGE,
                                   PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_FIXED,
                                   object,
                                   0};
        fuzz_syscall(SYS_mmap, arguments);
    }
}

/* Both ends of a pseudo-terminal. */
static void open_pty(struct fuzz_thread *thread) {
    int *locked = (int *)(void *)thread->process->scratch[thread->index];
    long master = call(SYS_open, (long)"/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY, 0, 0);
    *locked = 0;
    call(SYS_ioctl, master, TIOCSPTLCK, (long)locked, 0);
    call(SYS_ioctl, master, TIOCGPTPEER, O_RDWR | O_NONBLOCK | (fuzz_one_in(&thread->random, 2) ? O_NOCTTY : 0), 0);
}

/* A watch on all that the family does in its directory. */
static void watch_directory(void) {
    long fd = call(SYS_inotify_init1, O_NONBLOCK, 0, 0, 0);
    call(SYS_inotify_add_watch, fd, (long)".", 0xfff, 0);
}

/* The lowest number that is free says about how many there are. */
static void note_top(struct fuzz_process *process) {
    long fd = call(SYS_dup, 0, 0, 0, 0);
    if (fd >= 0) {
        call(SYS_close, fd, 0, 0, 0);
        process->top = fd < 4 ? 4 : fd > FDS_KNOWN ? FDS_KNOWN : (unsigned)fd;
    }
}

void fuzz_make_object(struct fuzz_thread *thread) {
    int *pair = (int *)(void *)thread->process->scratch[thread->index];
    uint64_t set = ~(1ul << 13);
    switch (below(thread, 16)) {
    case 0:
        call(SYS_pipe2, (long)pair, O_NONBLOCK, 0, 0);
        break;
    case 1:
        call(SYS_pipe2, (long)pair, 0, 0, 0);
        break;
    case 2:
        call(SYS_socketpair, AF_UNIX, SOCK_STREAM | (long)below(thread, 2) * SOCK_NONBLOCK, 0, (long)pair);
        break;
    case 3:
        call(SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, (long)pair);
        break;
    case 4:
        call(SYS_eventfd2, (long)below(thread, 5), EFD_NONBLOCK, 0, 0);
        break;
    case 5:
        call(SYS_epoll_create1, 0, 0, 0, 0);
        break;
    case 6:
        call(SYS_timerfd_create, 1, TFD_NONBLOCK, 0, 0);
        break;
    case 7:
        call(SYS_signalfd4, -1, (long)&set, 8, SFD_NONBLOCK);
        break;
    case 8:
        make_pager(thread);
        break;
    case 9:
        call(SYS_OBJECT_CREATE, (long)below(thread, 16) * FUZZ_PAGE, -1, 0, 0);
        break;
    case 10:
        call(SYS_ENDPOINT_CREATE, 0, 0, 0, 0);
        break;
    case 11: {
        long terminal = call(SYS_TERMINAL_CREATE, -1, 0, 0, 0);
        call(SYS_TERMINAL_OPEN, terminal, 0, 0, 0);
        break;
    }
    case 12:
        call(SYS_memfd_create, (long)"m", 0, 0, 0);
        watch_directory();
        break;
    case 13:
        open_pty(thread);
        break;
    case 14:
        call(SYS_open, (long)".", O_TMPFILE | O_RDWR, 0600, 0);
        break;
    default:
        open_file(thread);
        break;
    }
    note_top(thread->process);
}
