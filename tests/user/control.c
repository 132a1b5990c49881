/* Conformance: what a process says of itself: prctl, capabilities, scheduling policies, names of the machine. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { USER = 1001 };

static void in_child(void (*body)(void *)) { CHECK_EXITED(test_run_child(body, NULL)); }

/* --- prctl -------------------------------------------------------------------------------------------------------- */

static void death_signal(void) {
    int number = 0, ends[2], told[2];
    char byte;
    CHECK_OK(pipe(told));
    CHECK_OK(prctl(PR_GET_PDEATHSIG, &number));
    CHECK_EQ(number, 0);
    CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
    CHECK_OK(pipe(ends));
    pid_t middle = (pid_t)CHECK_OK(fork());
    if (middle == 0) {
        CHECK_OK(close(ends[0]));
        if (CHECK_OK(fork()) == 0) {
            CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGTERM));
            CHECK_OK(prctl(PR_GET_PDEATHSIG, &number));
            CHECK_EQ(number, SIGTERM);
            CHECK_EQ(write(ends[1], "x", 1), 1);
            CHECK_EQ(write(told[1], "x", 1), 1);
            for (;;)
                pause();
        }
        CHECK_EQ(read(told[0], &byte, 1), 1);
        _exit(0);
    }
    CHECK_OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EXITED(test_wait(middle));
    CHECK_EQ(read(ends[0], &byte, 1), 0); /* it has ended with its parent */
    CHECK_OK(close(ends[0]));
}

static void reaper(void) {
    int number = -1, status;
    CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &number));
    CHECK_EQ(number, 0);
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &number));
    CHECK_EQ(number, 1);
    const pid_t self = getpid();
    pid_t middle = (pid_t)CHECK_OK(fork());
    if (middle == 0) {
        number = -1;
        CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &number)); /* a child is none */
        CHECK_EQ(number, 0);
        if (CHECK_OK(fork()) == 0) {
            while (getppid() != self)
                test_sleep_ms(1);
            _exit(9);
        }
        _exit(8);
    }
    int sum = 0;
    for (int i = 0; i < 2; i++) {
        CHECK(CHECK_OK(wait(&status)) > 0);
        sum += WEXITSTATUS(status);
    }
    CHECK_EQ(sum, 17);
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void words(void) {
    char name[16] = "";
    CHECK_OK(prctl(PR_SET_NAME, "a name that is too long"));
    CHECK_OK(prctl(PR_GET_NAME, name));
    CHECK_EQ(strcmp(name, "a name that is "), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 3), EINVAL);
    CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
    CHECK_EQ(prctl(PR_CAPBSET_READ, 0), 1);
    CHECK_ERRNO(prctl(PR_CAPBSET_READ, 1000), EINVAL);
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 50000);
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
    CHECK_ERRNO(prctl(0x7777), EINVAL);
}

/* --- Capabilities ------------------------------------------------------------------------------------------------- */

struct header {
    unsigned version;
    int pid;
};

static void none(void *unused) {
    struct header header = {0x20080522, 0};
    unsigned data[6];
    (void)unused;
    CHECK_OK(setuid(USER));
    memset(data, 0xff, sizeof(data));
    CHECK_OK(syscall(SYS_capget, &header, data));
    for (int i = 0; i < 6; i++)
        CHECK_EQ(data[i], 0);
    CHECK_OK(syscall(SYS_capset, &header, data));
    data[1] = 1;
    CHECK_ERRNO(syscall(SYS_capset, &header, data), EPERM);
    CHECK_ERRNO(sethostname("x", 1), EPERM);
}

static void capabilities(void) {
    struct header header = {0x20080522, 0};
    unsigned data[6];
    CHECK_OK(syscall(SYS_capget, &header, data));
    CHECK(data[0] != 0 && data[1] != 0); /* the superuser */
    header.pid = getppid() > 1 ? getppid() : getpid();
    CHECK_OK(syscall(SYS_capget, &header, data));
    header.pid = 0x3ffffff;
    CHECK_ERRNO(syscall(SYS_capget, &header, data), ESRCH);
    header.pid = -1;
    CHECK_ERRNO(syscall(SYS_capget, &header, data), EINVAL);
    header = (struct header){7, 0};
    CHECK_ERRNO(syscall(SYS_capget, &header, data), EINVAL);
    CHECK_EQ(header.version, 0x20080522);
    header.version = 7;
    CHECK_OK(syscall(SYS_capget, &header, NULL)); /* what is there? */
    CHECK_ERRNO(syscall(SYS_capget, 8, NULL), EFAULT);
    in_child(none);
}

/* --- Policies ----------------------------------------------------------------------------------------------------- */

static int policy_of(pid_t pid) { return (int)syscall(SYS_sched_getscheduler, pid); }

static long set_policy(pid_t pid, int policy, int priority) {
    return syscall(SYS_sched_setscheduler, pid, policy, &priority);
}

static void unprivileged_policies(void *unused) {
    int priority = 0;
    (void)unused;
    CHECK_OK(setuid(USER));
    CHECK_ERRNO(set_policy(0, SCHED_FIFO, 1), EPERM);
    CHECK_OK(set_policy(0, SCHED_BATCH, 0));
    CHECK_EQ(policy_of(0), SCHED_BATCH);
    CHECK_OK(set_policy(0, SCHED_OTHER, 0));
    CHECK_OK(syscall(SYS_sched_setparam, 0, &priority));
    CHECK_ERRNO(set_policy(getppid(), SCHED_BATCH, 0), EPERM);
}

static void inherited(void *unused) {
    (void)unused;
    CHECK_EQ(policy_of(0), SCHED_FIFO);
}

static void policies(void) {
    int priority = -1;
    struct timespec slice;
    CHECK_EQ(policy_of(0), SCHED_OTHER);
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_FIFO), 99);
    CHECK_EQ(syscall(SYS_sched_get_priority_min, SCHED_RR), 1);
    CHECK_EQ(syscall(SYS_sched_get_priority_max, SCHED_OTHER), 0);
    CHECK_ERRNO(syscall(SYS_sched_get_priority_max, 77), EINVAL);
    CHECK_OK(syscall(SYS_sched_getparam, 0, &priority));
    CHECK_EQ(priority, 0);
    CHECK_ERRNO(set_policy(0, SCHED_FIFO, 0), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_FIFO, 100), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_OTHER, 1), EINVAL);
    CHECK_ERRNO(set_policy(0, 77, 0), EINVAL);
    CHECK_ERRNO(set_policy(0x3ffffff, SCHED_OTHER, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getparam, 0, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getscheduler, -1), EINVAL);
    CHECK_OK(syscall(SYS_sched_rr_get_interval, 0, &slice));
    in_child(unprivileged_policies);
    if (set_policy(0, SCHED_FIFO, 30) != 0) {
        CHECK_EQ(errno, EPERM); /* Linux in a group of processes that may not */
        return;
    }
    CHECK_EQ(policy_of(0), SCHED_FIFO);
    CHECK_OK(syscall(SYS_sched_getparam, 0, &priority));
    CHECK_EQ(priority, 30);
    priority = 40;
    CHECK_OK(syscall(SYS_sched_setparam, 0, &priority));
    in_child(inherited);
    CHECK_OK(set_policy(0, SCHED_OTHER, 0));
    CHECK_EQ(policy_of(0), SCHED_OTHER);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

/* /proc/sys/kernel/`name` is a line that says `value`. */
static void check_kernel_name(const char *name, const char *value) {
    char path[64], text[128];
    snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
    int fd = (int)CHECK_OK(open(path, O_RDONLY));
    size_t length = strlen(value);
    CHECK_EQ(read(fd, text, sizeof(text)), length + 1);
    CHECK_OK(close(fd));
    CHECK(memcmp(text, value, length) == 0 && text[length] == '\n');
}

static void check_names(void) {
    struct utsname now;
    CHECK_OK(uname(&now));
    check_kernel_name("hostname", now.nodename);
    check_kernel_name("domainname", now.domainname);
    check_kernel_name("ostype", now.sysname);
    check_kernel_name("osrelease", now.release);
    check_kernel_name("version", now.version);
}

static void machine_names(void) {
    struct utsname before, now;
    check_names();
    CHECK_ERRNO(sethostname("x", (size_t)-1), EINVAL);
    CHECK_ERRNO(sethostname("x", 65), EINVAL);
    CHECK_ERRNO(syscall(SYS_setdomainname, 8, 3), EFAULT);
    test_needs_penumbra(); /* somebody else's machine keeps its name */
    CHECK_OK(uname(&before));
    CHECK_OK(sethostname("another", 7));
    CHECK_OK(uname(&now));
    CHECK_EQ(strcmp(now.nodename, "another"), 0);
    CHECK_OK(setdomainname("some.where", 10));
    check_names();
    CHECK_OK(setdomainname(before.domainname, strlen(before.domainname)));
    CHECK_OK(sethostname(before.nodename, strlen(before.nodename)));
    CHECK_OK(uname(&now));
    CHECK_EQ(strcmp(now.nodename, before.nodename), 0);
}

static const struct test_case cases[] = {
    {"death-signal", death_signal}, {"reaper", reaper},     {"words", words},
    {"capabilities", capabilities}, {"policies", policies}, {"machine-names", machine_names},
};
TEST_MAIN(cases)
