/* Conformance: descriptors of processes, and clone3. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { OPEN = 434, SEND = 424, CLONE3 = 435, CLONE_PIDFD_FLAG = 0x1000 };

static pid_t start(void) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

static int ready(int fd) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, 0) == 1 ? entry.revents : 0;
}

static void open_and_send(void) {
    siginfo_t info = {0};
    pid_t pid = start();
    int fd = (int)CHECK_OK(syscall(OPEN, pid, 0));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(ready(fd), 0);
    CHECK_OK(syscall(SEND, fd, 0, NULL, 0));
    CHECK_ERRNO(syscall(SEND, fd, 0, NULL, 0x100), EINVAL);
    CHECK_ERRNO(syscall(SEND, fd, 65, NULL, 0), EINVAL);
    info.si_signo = SIGUSR1;
    CHECK_ERRNO(syscall(SEND, fd, SIGTERM, &info, 0), EINVAL);
    CHECK_OK(syscall(SEND, fd, SIGTERM, NULL, 0));
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&entry, 1, 10000), 1); /* it tells of the end */
    CHECK_EQ(entry.revents, POLLIN);
    memset(&info, 0, sizeof(info));
    CHECK_OK(waitid((idtype_t)3, (id_t)fd, &info, WEXITED | WNOWAIT));
    CHECK_EQ(info.si_pid, pid);
    CHECK_OK(waitid((idtype_t)3, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_status, SIGTERM);
    CHECK_ERRNO(syscall(SEND, fd, SIGTERM, NULL, 0), ESRCH); /* whoever has the number then */
    CHECK_ERRNO(waitid((idtype_t)3, (id_t)fd, &info, WEXITED), ECHILD);
    CHECK_EQ(ready(fd) & POLLIN, POLLIN);
    CHECK_OK(close(fd));
}

static void errors(void) {
    siginfo_t info;
    CHECK_ERRNO(syscall(OPEN, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(OPEN, -1, 0), EINVAL);
    CHECK_ERRNO(syscall(OPEN, getpid(), 1), EINVAL);
    CHECK_ERRNO(syscall(OPEN, 0x3ffffff, 0), ESRCH);
    CHECK_ERRNO(syscall(SEND, 999, 0, NULL, 0), EBADF);
    CHECK_ERRNO(syscall(SEND, 0, 0, NULL, 0), EBADF);
    CHECK_ERRNO(waitid((idtype_t)3, 999, &info, WEXITED), EBADF);
    CHECK_ERRNO(waitid((idtype_t)3, (id_t)-1, &info, WEXITED), EINVAL);
    pid_t pid = start();
    int fd = (int)CHECK_OK(syscall(OPEN, pid, O_NONBLOCK));
    CHECK_ERRNO(waitid((idtype_t)3, (id_t)fd, &info, WEXITED), EAGAIN);
    CHECK_OK(waitid((idtype_t)3, (id_t)fd, &info, WEXITED | WNOHANG));
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_OK(close(fd));
}

struct arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static void by_clone3(void) {
    int fd = -1, tid = -1;
    struct arguments arguments = {.flags = CLONE_PIDFD_FLAG | 0x100000 /* CLONE_PARENT_SETTID */,
                                  .pidfd = (uintptr_t)&fd,
                                  .parent_tid = (uintptr_t)&tid,
                                  .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)CHECK_OK(syscall(CLONE3, &arguments, sizeof(arguments)));
    if (pid == 0)
        _exit(5);
    CHECK_EQ(tid, pid);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    siginfo_t info = {0};
    CHECK_OK(waitid((idtype_t)3, (id_t)fd, &info, WEXITED));
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 5);
    CHECK_OK(close(fd));
    pid = (pid_t)CHECK_OK(syscall(CLONE3, &arguments, 64)); /* as it was at first */
    if (pid == 0)
        _exit(6);
    CHECK_EXITED_WITH(test_wait(pid), 6);
    CHECK_OK(close(fd));
}

static void clone3_errors(void) {
    struct {
        struct arguments known;
        uint64_t more;
    } arguments = {.known = {.exit_signal = SIGCHLD}};
    CHECK_ERRNO(syscall(CLONE3, &arguments, 63), EINVAL);
    CHECK_ERRNO(syscall(CLONE3, &arguments, 100000), E2BIG);
    CHECK_ERRNO(syscall(CLONE3, 8, sizeof(struct arguments)), EFAULT);
    arguments.more = 1;
    CHECK_ERRNO(syscall(CLONE3, &arguments, sizeof(arguments)), E2BIG);
    arguments.known.flags = SIGCHLD;
    CHECK_ERRNO(syscall(CLONE3, &arguments, sizeof(struct arguments)), EINVAL);
    arguments.known = (struct arguments){.exit_signal = 65};
    CHECK_ERRNO(syscall(CLONE3, &arguments, sizeof(struct arguments)), EINVAL);
    arguments.known = (struct arguments){.exit_signal = SIGCHLD, .stack = 4096};
    CHECK_ERRNO(syscall(CLONE3, &arguments, sizeof(struct arguments)), EINVAL);
    arguments.known = (struct arguments){.exit_signal = SIGCHLD, .stack_size = 4096};
    CHECK_ERRNO(syscall(CLONE3, &arguments, sizeof(struct arguments)), EINVAL);
}

/* A program found from a directory's descriptor, and by its own. */
static void from_directory(void) {
    char *const arguments[] = {"true", NULL}, *const environment[] = {NULL};
    int directory = (int)CHECK_OK(open("/bin", O_RDONLY | O_DIRECTORY));
    int file = (int)CHECK_OK(open("/bin/true", O_RDONLY | O_CLOEXEC));
    CHECK_ERRNO(syscall(SYS_execveat, directory, "not-there", arguments, environment, 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_execveat, 999, "true", arguments, environment, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_execveat, file, "true", arguments, environment, 0), ENOTDIR);
    for (int i = 0; i < 3; i++) {
        pid_t pid = (pid_t)CHECK_OK(fork());
        if (pid == 0) {
            CHECK_OK(chdir("/"));
            if (i == 0)
                syscall(SYS_execveat, directory, "true", arguments, environment, 0);
            else if (i == 1)
                syscall(SYS_execveat, 999, "/bin/true", arguments, environment, 0);
            else
                syscall(SYS_execveat, file, "", arguments, environment, 0x1000 /* AT_EMPTY_PATH */);
            _exit(9);
        }
        CHECK_EXITED(test_wait(pid));
    }
}

static const struct test_case cases[] = {{"open-and-send", open_and_send},
                                         {"errors", errors},
                                         {"clone3", by_clone3},
                                         {"clone3-errors", clone3_errors},
                                         {"execveat", from_directory}};
TEST_MAIN(cases)
