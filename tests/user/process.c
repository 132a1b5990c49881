/* Conformance: processes. fork, vfork, clone, wait4, exit statuses, zombies, orphans, copy-on-write. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

enum { PAGE = TEST_PAGE };

static void fork_returns_twice(void) {
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(getpid() != parent);
        CHECK_EQ(getppid(), parent);
        CHECK_EQ(syscall(SYS_gettid), getpid());
        _exit(42);
    }
    CHECK(pid > 0);
    int status = test_wait(pid);
    CHECK_EXITED_WITH(status, 42);
    CHECK_EQ(status, 42 << 8);
    CHECK_ERRNO(waitpid(pid, &status, 0), ECHILD);
    CHECK_ERRNO(kill(pid, 0), ESRCH);
}

static void exit_with(void *argument) { _exit((int)(intptr_t)argument); }

static void die_by(void *argument) {
    raise((int)(intptr_t)argument);
    pause();
}

static void wait_statuses(void) {
    CHECK_EXITED_WITH(test_run_child(exit_with, (void *)0), 0);
    CHECK_EXITED_WITH(test_run_child(exit_with, (void *)255), 255);
    CHECK_EXITED_WITH(test_run_child(exit_with, (void *)0x1234), 0x34);
    CHECK_EXITED_WITH(test_run_child(exit_with, (void *)-1), 255);
    CHECK_SIGNALED(test_run_child(die_by, (void *)SIGKILL), SIGKILL);
    CHECK_SIGNALED(test_run_child(die_by, (void *)SIGTERM), SIGTERM);
    CHECK_SIGNALED(test_run_child(die_by, (void *)SIGINT), SIGINT);
    int status = test_run_child(die_by, (void *)SIGPIPE);
    CHECK_EQ(status & 0xff7f, SIGPIPE);
}

static void wait_choices(void) {
    int ends[2], status;
    CHECK_ERRNO(waitpid(-1, &status, 0), ECHILD);
    CHECK_OK(pipe(ends));
    pid_t first = fork();
    if (first == 0) {
        char byte;
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 1 : 9);
    }
    pid_t second = fork();
    if (second == 0) {
        _exit(2);
    }
    CHECK_EQ(waitpid(first, &status, WNOHANG), 0);
    CHECK_EQ(waitpid(-1, &status, 0), second);
    CHECK_EQ(WEXITSTATUS(status), 2);
    CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
    CHECK_ERRNO(waitpid(second, &status, 0), ECHILD);
    CHECK_ERRNO(waitpid(getpid(), &status, 0), ECHILD);
    CHECK_ERRNO(waitpid(first, &status, 0x40000), EINVAL);
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
    struct rusage usage;
    CHECK_EQ(wait4(0, &status, 0, &usage), first);
    CHECK_EQ(WEXITSTATUS(status), 1);
}

static void many_zombies(void) {
    enum { CHILDREN = 50 };
    pid_t pids[CHILDREN];
    int sum = 0;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            _exit(i);
        }
        CHECK(pids[i] > 0);
    }
    test_sleep_ms(20);
    for (int i = 0; i < CHILDREN; i++) {
        CHECK_OK(kill(pids[i], 0)); /* a zombie is still there */
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        CHECK(waitpid(-1, &status, 0) > 0);
        sum += WEXITSTATUS(status);
    }
    CHECK_EQ(sum, CHILDREN * (CHILDREN - 1) / 2);
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
}

static void ignored_children_are_reaped(void) {
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        CHECK(pid > 0);
    }
    CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD); /* it waits for the last one all the same */
}

/* A process whose parent ends is handed on, and its end leaves nothing (the runner counts processes). */
static void orphan_is_adopted(void) {
    int ends[2];
    pid_t new_parent = 0;
    CHECK_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        pid_t middle = getpid();
        if (fork() == 0) {
            while (getppid() == middle) {
                test_sleep_ms(1);
            }
            new_parent = getppid();
            _exit(write(ends[1], &new_parent, sizeof(new_parent)) == sizeof(new_parent) ? 0 : 1);
        }
        _exit(0);
    }
    CHECK_OK(close(ends[1]));
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(read(ends[0], &new_parent, sizeof(new_parent)), sizeof(new_parent));
    CHECK(new_parent != pid && new_parent > 0);
    CHECK_EQ(read(ends[0], &new_parent, 1), 0);
}

static void copy_on_write(void) {
    enum { PAGES = 64 };
    uint8_t *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)memory != MAP_FAILED);
    for (int i = 0; i < PAGES; i++) {
        memset(memory + i * PAGE, i, PAGE);
    }
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < PAGES; i++) {
            CHECK_EQ(memory[i * PAGE + 9], i);
            memory[i * PAGE] = 0xcc;
            CHECK_EQ(memory[i * PAGE + PAGE - 1], i); /* the rest of the page came along */
        }
        pid_t grandchild = fork();
        if (grandchild == 0) {
            memory[0] = 1;
            _exit(memory[PAGE]);
        }
        CHECK_EXITED_WITH(test_wait(grandchild), 0xcc);
        CHECK_EQ(memory[0], 0xcc);
        _exit(0);
    }
    for (int i = 0; i < PAGES; i += 2) {
        memory[i * PAGE + 1] = 0xdd;
    }
    CHECK_EXITED(test_wait(pid));
    for (int i = 0; i < PAGES; i++) {
        CHECK_EQ(memory[i * PAGE], i);
        CHECK_EQ(memory[i * PAGE + 1], i % 2 == 0 ? 0xdd : i);
    }
}

static void vfork_shares_memory(void) {
    static volatile int shared;
    shared = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        shared = 5;
        _exit(6);
    }
    CHECK_EQ(shared, 5); /* the parent stood still until the child was done */
    CHECK_EXITED_WITH(test_wait(pid), 6);
}

static int clone_child(void *argument) {
    *(volatile int *)argument = 7;
    return 8;
}

/* What make does: clone(VM|VFORK) on a stack of its own. */
static void clone_vm_vfork(void) {
    static uint8_t stack[16 * PAGE] __attribute__((aligned(16)));
    static volatile int shared;
    shared = 0;
    int pid = clone(clone_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&shared);
    CHECK(pid > 0);
    CHECK_EQ(shared, 7);
    CHECK_EXITED_WITH(test_wait(pid), 8);
}

static void clone_flags(void) {
    CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    pid_t parent_tid = 0;
    static pid_t child_tid;
    long pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &parent_tid, &child_tid, 0);
    if (pid == 0) {
        _exit(child_tid == syscall(SYS_gettid) ? 0 : 1);
    }
    CHECK_EQ(parent_tid, pid);
    CHECK_EQ(child_tid, 0); /* set in the child's copy */
    CHECK_EXITED(test_wait((pid_t)pid));
}

static void ids(void) {
    uid_t real, effective, saved;
    CHECK_EQ(getuid(), geteuid());
    CHECK_EQ(getgid(), getegid());
    CHECK_OK(setuid(getuid()));
    CHECK_OK(setgid(getgid()));
    CHECK_OK(getresuid(&real, &effective, &saved));
    CHECK_EQ(saved, getuid());
    CHECK(getppid() > 0);
    umask(027);
    CHECK_EQ(umask(022), 027);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(setsid(), getpid());
        CHECK_EQ(getpgid(0), getpid());
        CHECK_EQ(getsid(0), getpid());
        CHECK_ERRNO(setsid(), EPERM);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static void many_forks(void) {
    for (int i = 0; i < 200; i++) {
        CHECK_EXITED_WITH(test_run_child(exit_with, (void *)(intptr_t)(i & 127)), i & 127);
    }
}

static const struct test_case cases[] = {
    {"fork", fork_returns_twice},
    {"wait-statuses", wait_statuses},
    {"wait-choices", wait_choices},
    {"zombies", many_zombies},
    {"ignored-children", ignored_children_are_reaped},
    {"orphan", orphan_is_adopted},
    {"copy-on-write", copy_on_write},
    {"vfork", vfork_shares_memory},
    {"clone-vm-vfork", clone_vm_vfork},
    {"clone-flags", clone_flags},
    {"ids", ids},
    {"fork-200", many_forks},
};
TEST_MAIN(cases)
