/*
 * Conformance: who a process is. Real, effective, saved and file ids, groups, set-id programs, what each decides.
 * Cases need the superuser; they become others in children.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/domains.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { A = 1001, B = 1002, C = 1003, D = 1004, GROUP = 2001, OTHER_GROUP = 2002 };

static void in_child(void (*body)(void *), void *argument) { CHECK_EXITED(test_run_child(body, argument)); }

static void expect_user(uid_t real, uid_t effective, uid_t saved, uid_t file) {
    uid_t ids[3];
    CHECK_OK(syscall(SYS_getresuid, ids, ids + 1, ids + 2));
    CHECK_EQ(ids[0], real);
    CHECK_EQ(ids[1], effective);
    CHECK_EQ(ids[2], saved);
    CHECK_EQ(getuid(), real);
    CHECK_EQ(geteuid(), effective);
    CHECK_EQ(syscall(SYS_setfsuid, -1), file);
}

static void set_user(uid_t real, uid_t effective, uid_t saved) {
    CHECK_OK(syscall(SYS_setresuid, real, effective, saved));
}

/* --- The calls ---------------------------------------------------------------------------------------------------- */

static void as_root(void *unused) {
    (void)unused;
    expect_user(0, 0, 0, 0);
    CHECK_ERRNO(syscall(SYS_setuid, -1), EINVAL);
    CHECK_OK(syscall(SYS_setresuid, -1, -1, -1));
    expect_user(0, 0, 0, 0);
    set_user(A, (uid_t)-1, B); /* still the superuser, who may do anything */
    expect_user(A, 0, B, 0);
    CHECK_OK(syscall(SYS_setreuid, C, -1));
    expect_user(C, 0, 0, 0);
    CHECK_OK(syscall(SYS_setreuid, -1, D));
    expect_user(C, D, D, D);
    CHECK_ERRNO(syscall(SYS_setuid, 0), EPERM); /* and no more */
}

static void as_user(void *unused) {
    (void)unused;
    set_user(A, B, C);
    expect_user(A, B, C, B);
    CHECK_ERRNO(syscall(SYS_setuid, D), EPERM);
    CHECK_ERRNO(syscall(SYS_setuid, B), EPERM); /* neither real nor saved */
    CHECK_OK(syscall(SYS_setuid, C));
    expect_user(A, C, C, C);
    CHECK_OK(syscall(SYS_setuid, A));
    expect_user(A, A, C, A);
    CHECK_ERRNO(syscall(SYS_setresuid, -1, D, -1), EPERM);
    CHECK_ERRNO(syscall(SYS_setresuid, C, A, D), EPERM);
    expect_user(A, A, C, A); /* nothing of it was done */
    CHECK_OK(syscall(SYS_setresuid, C, A, C));
    expect_user(C, A, C, A);
    CHECK_OK(syscall(SYS_setreuid, A, C)); /* another effective id: saved, too */
    expect_user(A, C, C, C);
    CHECK_ERRNO(syscall(SYS_setreuid, D, -1), EPERM);
    CHECK_ERRNO(syscall(SYS_setreuid, -1, D), EPERM);
    CHECK_OK(syscall(SYS_setreuid, -1, A)); /* the real one: saved stays */
    expect_user(A, A, C, A);
    CHECK_ERRNO(syscall(SYS_setgid, GROUP), EPERM);
    CHECK_ERRNO(syscall(SYS_setregid, GROUP, GROUP), EPERM);
    CHECK_ERRNO(syscall(SYS_setresgid, GROUP, -1, -1), EPERM);
    CHECK_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
    CHECK_ERRNO(syscall(SYS_getresuid, 8, 8, 8), EFAULT);
}

static void drop_and_regain(void *unused) {
    (void)unused;
    set_user((uid_t)-1, A, (uid_t)-1);
    expect_user(0, A, 0, A);
    CHECK_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
    CHECK_OK(syscall(SYS_setuid, 0));
    expect_user(0, 0, 0, 0);
    CHECK_OK(syscall(SYS_setuid, A)); /* for good */
    expect_user(A, A, A, A);
    CHECK_ERRNO(syscall(SYS_setuid, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_setresuid, -1, 0, -1), EPERM);
}

static void groups_alike(void *unused) {
    gid_t ids[3];
    (void)unused;
    CHECK_OK(syscall(SYS_setresgid, A, B, C));
    CHECK_OK(syscall(SYS_getresgid, ids, ids + 1, ids + 2));
    CHECK_EQ(ids[0], A);
    CHECK_EQ(ids[1], B);
    CHECK_EQ(ids[2], C);
    CHECK_EQ(getgid(), A);
    CHECK_EQ(getegid(), B);
    CHECK_EQ(syscall(SYS_setfsgid, D), B);
    CHECK_EQ(syscall(SYS_setfsgid, -1), D);
    CHECK_OK(syscall(SYS_setregid, D, -1)); /* the effective user decides */
    set_user(A, A, A);
    CHECK_OK(syscall(SYS_setgid, D));
    CHECK_ERRNO(syscall(SYS_setgid, GROUP), EPERM);
}

static void ids(void) {
    in_child(as_root, NULL);
    in_child(as_user, NULL);
    in_child(drop_and_regain, NULL);
    in_child(groups_alike, NULL);
}

/* --- Supplementary groups ----------------------------------------------------------------------------------------- */

static void lists_of_groups(void *unused) {
    gid_t many[300], got[300];
    (void)unused;
    for (int i = 0; i < 300; i++)
        many[i] = 5000 + (gid_t)i;
    CHECK_OK(syscall(SYS_setgroups, 0, NULL));
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 0);
    CHECK_OK(syscall(SYS_setgroups, 300, many));
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 300);
    CHECK_ERRNO(syscall(SYS_getgroups, 299, got), EINVAL);
    CHECK_ERRNO(syscall(SYS_getgroups, -1, got), EINVAL);
    CHECK_ERRNO(syscall(SYS_getgroups, 300, 8), EFAULT);
    CHECK_EQ(syscall(SYS_getgroups, 300, got), 300);
    CHECK_EQ(memcmp(got, many, sizeof(got)), 0);
    CHECK_ERRNO(syscall(SYS_setgroups, 65537, many), EINVAL);
    CHECK_ERRNO(syscall(SYS_setgroups, 3, 8), EFAULT);
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 300);
    pid_t pid = fork(); /* inherited, and one's own */
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_getgroups, 300, got), 300);
        CHECK_OK(syscall(SYS_setgroups, 1, many));
        CHECK_EQ(syscall(SYS_getgroups, 300, got), 1);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_EQ(syscall(SYS_getgroups, 0, NULL), 300);
}

static const char *const file = "/tmp/identity-file";

static void make_file(uid_t uid, gid_t gid, mode_t mode) {
    unlink(file);
    CHECK_OK(close((int)CHECK_OK(open(file, O_WRONLY | O_CREAT | O_EXCL, 0600))));
    CHECK_OK(chown(file, uid, gid));
    CHECK_OK(chmod(file, mode));
}

static void by_groups(void *unused) {
    const gid_t mine[] = {7, GROUP, 9};
    (void)unused;
    CHECK_OK(syscall(SYS_setgroups, 3, mine));
    CHECK_OK(syscall(SYS_setgid, OTHER_GROUP));
    CHECK_OK(syscall(SYS_setuid, A));
    CHECK_OK(close((int)CHECK_OK(open(file, O_RDONLY))));
    CHECK_ERRNO(open(file, O_WRONLY), EACCES);
    CHECK_OK(access(file, R_OK));
    CHECK_ERRNO(chown(file, -1, 7), EPERM); /* not its owner */
}

static void group_of_owner(void *unused) {
    const gid_t mine[] = {GROUP};
    struct stat status;
    (void)unused;
    CHECK_OK(syscall(SYS_setgroups, 1, mine));
    CHECK_OK(syscall(SYS_setgid, OTHER_GROUP));
    CHECK_OK(syscall(SYS_setuid, A));
    CHECK_OK(chown(file, -1, OTHER_GROUP)); /* to a group that he is in */
    CHECK_OK(chown(file, -1, GROUP));
    CHECK_ERRNO(chown(file, -1, 7), EPERM);
    CHECK_OK(chmod(file, 02755));
    CHECK_OK(stat(file, &status));
    CHECK_EQ(status.st_mode & 07777, 02755);
}

static void groups(void) {
    in_child(lists_of_groups, NULL);
    make_file(B, GROUP, 0040);
    in_child(by_groups, NULL);
    make_file(A, GROUP, 0600);
    in_child(group_of_owner, NULL);
    unlink(file);
}

static void set_group_directory(void) {
    struct stat status;
    umask(022);
    rmdir("/tmp/identity-d/sub");
    unlink("/tmp/identity-d/file");
    rmdir("/tmp/identity-d");
    CHECK_OK(mkdir("/tmp/identity-d", 0777));
    CHECK_OK(chown("/tmp/identity-d", A, GROUP));
    CHECK_OK(chmod("/tmp/identity-d", 02777));
    CHECK_OK(mkdir("/tmp/identity-d/sub", 0700));
    CHECK_OK(stat("/tmp/identity-d/sub", &status));
    CHECK_EQ(status.st_gid, GROUP);
    CHECK_EQ(status.st_mode & 07777, 02700);
    CHECK_OK(close((int)CHECK_OK(open("/tmp/identity-d/file", O_CREAT | O_WRONLY, 0600))));
    CHECK_OK(stat("/tmp/identity-d/file", &status));
    CHECK_EQ(status.st_gid, GROUP);
    CHECK_EQ(status.st_uid, 0);
    CHECK_OK(unlink("/tmp/identity-d/file"));
    CHECK_OK(rmdir("/tmp/identity-d/sub"));
    CHECK_OK(rmdir("/tmp/identity-d"));
}

/* --- Which id decides --------------------------------------------------------------------------------------------- */

static void real_or_effective(void *unused) {
    (void)unused;
    set_user(B, A, B);
    CHECK_OK(close((int)CHECK_OK(open(file, O_RDONLY))));              /* effective */
    CHECK_ERRNO(access(file, R_OK), EACCES);                           /* real */
    CHECK_ERRNO(syscall(SYS_faccessat, AT_FDCWD, file, R_OK), EACCES); /* real */
    CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, file, R_OK, 0x200));    /* AT_EACCESS */
    CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, file, R_OK, 0), EACCES);
    CHECK_OK(close((int)CHECK_OK(open(file, O_RDONLY))));
}

static void by_file_id(void *unused) {
    struct stat status;
    (void)unused;
    CHECK_EQ(syscall(SYS_setfsuid, B), 0);
    CHECK_ERRNO(open(file, O_RDONLY), EACCES);
    CHECK_EQ(syscall(SYS_setfsuid, A), B);
    CHECK_OK(close((int)CHECK_OK(open(file, O_RDONLY))));
    CHECK_OK(close((int)CHECK_OK(open("/tmp/identity-made", O_CREAT | O_WRONLY, 0600))));
    CHECK_OK(stat("/tmp/identity-made", &status));
    CHECK_EQ(status.st_uid, A);
    CHECK_OK(unlink("/tmp/identity-made"));
    set_user(A, A, A);
    CHECK_EQ(syscall(SYS_setfsuid, B), A); /* refused, which only the next call tells */
    CHECK_EQ(syscall(SYS_setfsuid, -1), A);
}

static void deciding(void) {
    make_file(A, GROUP, 0400);
    in_child(real_or_effective, NULL);
    in_child(by_file_id, NULL);
    unlink(file);
}

/* --- Signals ------------------------------------------------------------------------------------------------------ */

/* A child with these ids. */
static pid_t start(uid_t real, uid_t effective, uid_t saved) {
    int ends[2];
    char byte;
    CHECK_OK(pipe(ends));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        set_user(real, effective, saved);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        for (;;)
            pause();
    }
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
    return pid;
}

static void may_signal(void *argument) {
    const pid_t target = *(pid_t *)argument;
    set_user(A, B, C);
    CHECK_OK(kill(target, 0));
}

static void may_not_signal(void *argument) {
    const pid_t target = *(pid_t *)argument;
    set_user(A, B, C);
    CHECK_ERRNO(kill(target, 0), EPERM);
    CHECK_ERRNO(kill(target, SIGTERM), EPERM);
    CHECK_OK(kill(target, SIGCONT)); /* of one's session everybody is continued */
    CHECK_OK(setsid());
    CHECK_ERRNO(kill(target, SIGCONT), EPERM);
}

static void signalling(void) {
    static const struct {
        uid_t real, effective, saved;
        bool allowed;
    } targets[] = {{A, D, D, true},  {D, D, A, true},  {B, D, D, true},  {D, D, B, true},
                   {D, A, D, false}, {D, B, D, false}, {C, C, C, false}, {0, A, 0, false}};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        pid_t target = start(targets[i].real, targets[i].effective, targets[i].saved);
        in_child(targets[i].allowed ? may_signal : may_not_signal, &target);
        CHECK_OK(kill(target, SIGKILL));
        CHECK_SIGNALED(test_wait(target), SIGKILL);
    }
}

/* --- Set-id programs ---------------------------------------------------------------------------------------------- */

static const char *const program = "/tmp/identity-program";

/* A copy of this program. */
static void make_program(uid_t uid, gid_t gid, mode_t mode) {
    static char bytes[65536];
    ssize_t count;
    unlink(program);
    int from = (int)CHECK_OK(open((const char *)getauxval(AT_EXECFN), O_RDONLY));
    int to = (int)CHECK_OK(open(program, O_WRONLY | O_CREAT | O_EXCL, 0700));
    while ((count = read(from, bytes, sizeof(bytes))) > 0)
        CHECK_EQ(write(to, bytes, (size_t)count), count);
    CHECK_OK(close(from));
    CHECK_OK(close(to));
    CHECK_OK(chown(program, uid, gid));
    CHECK_OK(chmod(program, mode));
}

/* Runs it as A, in GROUP; the case "child-ids" tells by its status what it is. */
struct run {
    bool no_new_privileges;
    const char *expected;
};

static void run_program(void *argument) {
    const struct run *run = argument;
    char *const arguments[] = {"identity", "child-ids", NULL};
    char *const environment[] = {(char *)(uintptr_t)run->expected, NULL};
    CHECK_OK(syscall(SYS_setgroups, 0, NULL));
    CHECK_OK(syscall(SYS_setgid, GROUP));
    CHECK_OK(syscall(SYS_setuid, A));
    if (run->no_new_privileges) {
        CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
        CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    }
    if (on_penumbra())
        CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    CHECK_OK(execve(program, arguments, environment));
}

static void child_ids(void) {
    char is[100];
    uid_t ids[3];
    gid_t gids[3];
    const char *expected = getenv("IDS");
    if (expected == NULL)
        return;
    CHECK_OK(syscall(SYS_getresuid, ids, ids + 1, ids + 2));
    CHECK_OK(syscall(SYS_getresgid, gids, gids + 1, gids + 2));
    snprintf(is, sizeof(is), "%u %u %u %u %u %u %u %u %lu", ids[0], ids[1], ids[2], (unsigned)syscall(SYS_setfsuid, -1),
             gids[0], gids[1], gids[2], (unsigned)syscall(SYS_setfsgid, -1), getauxval(AT_SECURE));
    if (strcmp(is, expected) != 0)
        test_fail(__FILE__, __LINE__, "ids are %s, want %s", is, expected);
    CHECK_EQ(getauxval(AT_UID), ids[0]);
    CHECK_EQ(getauxval(AT_EUID), ids[1]);
    CHECK_EQ(getauxval(AT_GID), gids[0]);
    CHECK_EQ(getauxval(AT_EGID), gids[1]);
    if (on_penumbra()) /* who runs as somebody else than his caller trusts nobody that trusted the caller */
        CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0) != 0, !getauxval(AT_SECURE));
}

static void expect_ids(uid_t uid, gid_t gid, mode_t mode, bool no_new_privileges, const char *expected) {
    struct run run = {no_new_privileges, expected};
    make_program(uid, gid, mode);
    in_child(run_program, &run);
}

static void set_id_programs(void) {
    expect_ids(0, 0, 0755, false, "IDS=1001 1001 1001 1001 2001 2001 2001 2001 0");
    expect_ids(0, 0, 04755, false, "IDS=1001 0 0 0 2001 2001 2001 2001 1");
    expect_ids(B, B, 04755, false, "IDS=1001 1002 1002 1002 2001 2001 2001 2001 1");
    expect_ids(B, C, 02755, false, "IDS=1001 1001 1001 1001 2001 1003 1003 1003 1");
    expect_ids(B, C, 06755, false, "IDS=1001 1002 1002 1002 2001 1003 1003 1003 1");
    expect_ids(B, C, 02745, false, "IDS=1001 1001 1001 1001 2001 2001 2001 2001 0"); /* no x for the group */
    expect_ids(A, GROUP, 06755, false, "IDS=1001 1001 1001 1001 2001 2001 2001 2001 0");
    expect_ids(0, 0, 06755, true, "IDS=1001 1001 1001 1001 2001 2001 2001 2001 0");
    unlink(program);
}

static void change_program(void *unused) {
    struct stat status;
    (void)unused;
    CHECK_OK(syscall(SYS_setgroups, 0, NULL));
    CHECK_OK(syscall(SYS_setgid, GROUP));
    CHECK_OK(syscall(SYS_setuid, A));
    int fd = (int)CHECK_OK(open(program, O_WRONLY));
    CHECK_EQ(write(fd, "x", 1), 1); /* nobody writes into a set-id program and leaves it one */
    CHECK_OK(close(fd));
    CHECK_OK(stat(program, &status));
    CHECK_EQ(status.st_mode & 07777, 0777);
}

static void truncate_program(void *unused) {
    struct stat status;
    (void)unused;
    CHECK_OK(syscall(SYS_setgid, GROUP));
    CHECK_OK(syscall(SYS_setuid, A));
    CHECK_OK(truncate(program, 10));
    CHECK_OK(stat(program, &status));
    CHECK_EQ(status.st_mode & 07777, 0777);
}

static void bits_go(void) {
    struct stat status;
    umask(0);
    make_program(B, C, 06777);
    in_child(change_program, NULL);
    make_program(B, C, 06777);
    in_child(truncate_program, NULL);
    make_program(B, C, 06777);
    CHECK_OK(chown(program, C, B));
    CHECK_OK(stat(program, &status));
    CHECK_EQ(status.st_mode & 07777, 0777);
    CHECK_OK(unlink(program));
}

/* --- Domains of trust --------------------------------------------------------------------------------------------- */

static void domain_is_left(void *unused) {
    (void)unused;
    CHECK(CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0)) > 0);
    set_user((uid_t)-1, (uid_t)-1, 0); /* nobody else */
    CHECK(domain_call(PR_ASI_DOMAIN_GET, 0, 0) > 0);
    set_user((uid_t)-1, A, (uid_t)-1);
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), 0);
    CHECK(CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0)) > 0);
    set_user((uid_t)-1, 0, (uid_t)-1); /* the superuser again: whom A trusted with itself does not have him */
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), 0);
}

static void domains(void) {
    test_needs_penumbra();
    in_child(domain_is_left, NULL);
}

static const struct test_case cases[] = {
    {"ids", ids},           {"groups", groups},         {"set-group-directory", set_group_directory},
    {"deciding", deciding}, {"signalling", signalling}, {"set-id-programs", set_id_programs},
    {"bits-go", bits_go},   {"domains", domains},       {"child-ids", child_ids},
};
TEST_MAIN(cases)
