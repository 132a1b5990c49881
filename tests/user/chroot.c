/*
 * Conformance: chroot. Where absolute paths and links begin, where ".." ends, what children and threads have of it,
 * what getcwd says outside, programs in it, and who may.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static const char *const place = "/tmp/chroot-test";

static void make_file(const char *name) { CHECK_OK(close((int)CHECK_OK(open(name, O_WRONLY | O_CREAT, 0644)))); }

/* place/{inside, in/deep, link → /inside, up → ../../../../inside} */
static void make_place(void) {
    CHECK_OK(mkdir(place, 0755));
    CHECK_OK(chdir(place));
    make_file("inside");
    CHECK_OK(mkdir("in", 0755));
    make_file("in/deep");
    CHECK_OK(symlink("/inside", "link"));
    CHECK_OK(symlink("../../../../inside", "up"));
    CHECK_OK(chdir("/"));
}

static void remove_place(void) {
    CHECK_OK(chdir(place));
    CHECK_OK(unlink("up"));
    CHECK_OK(unlink("link"));
    CHECK_OK(unlink("in/deep"));
    CHECK_OK(rmdir("in"));
    CHECK_OK(unlink("inside"));
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(place));
}

/* In a child, with the place as its root. */
static void within(void (*body)(void *)) {
    make_place();
    int status = test_run_child(body, NULL);
    remove_place();
    CHECK_EXITED(status);
}

static void check_cwd(const char *expected) {
    char text[256] = "";
    CHECK_EQ(syscall(SYS_getcwd, text, sizeof(text)), strlen(expected) + 1);
    CHECK_EQ(strcmp(text, expected), 0);
}

static bool same_file(const char *a, const char *b) {
    struct stat first, second;
    CHECK_OK(stat(a, &first));
    CHECK_OK(stat(b, &second));
    return first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

static void look_around(void *unused) {
    (void)unused;
    CHECK_OK(chroot(place));
    CHECK_OK(chdir("/"));
    check_cwd("/");
    CHECK_OK(access("/inside", F_OK));
    CHECK_OK(access("/link", F_OK));
    CHECK_OK(access("/up", F_OK));
    CHECK_ERRNO(access(place, F_OK), ENOENT);
    CHECK(same_file("/", "/.."));
    CHECK(same_file("/", "/in/../../.."));
    CHECK(same_file("..", "/"));
    CHECK_OK(chdir("in"));
    check_cwd("/in");
    CHECK_OK(access("../../inside", F_OK));
    CHECK_OK(access("/in/../../in/deep", F_OK));
    CHECK_OK(rename("/in/deep", "/in/deeper"));
    CHECK_OK(rename("../in/deeper", "deep"));
    CHECK_ERRNO(rmdir("/"), EBUSY);
}

static void paths(void) { within(look_around); }

static void nested(void *unused) {
    (void)unused;
    CHECK_OK(chroot(place));
    CHECK_OK(chroot("/in"));
    CHECK_OK(chdir("/"));
    CHECK_OK(access("/deep", F_OK));
    CHECK_ERRNO(access("/../inside", F_OK), ENOENT);
    CHECK_OK(chroot("/.."));
    CHECK_ERRNO(access("/inside", F_OK), ENOENT);
}

static void again(void) { within(nested); }

/* The working directory stays where it was: outside, and from there everything can be reached. */
static void stay_outside(void *unused) {
    char text[300], expected[300];
    (void)unused;
    CHECK_OK(chdir("/tmp"));
    int outside = (int)CHECK_OK(open("/", O_RDONLY | O_DIRECTORY));
    CHECK_OK(chroot(place));
    check_cwd("(unreachable)/tmp");
    CHECK_ERRNO(syscall(SYS_getcwd, text, 5), ERANGE);
    CHECK_OK(access("chroot-test/inside", F_OK));
    CHECK_OK(chdir(".."));
    check_cwd("(unreachable)/");
    CHECK_OK(chdir("/"));
    check_cwd("/");
    snprintf(expected, sizeof(expected), "%s/inside", place + 1);
    CHECK_OK(faccessat(outside, expected, F_OK, 0));
    CHECK_OK(fchdir(outside));
    CHECK_OK(chroot("."));
    CHECK_OK(access(place, F_OK));
    check_cwd("/");
}

static void outside(void) { within(stay_outside); }

static void *enter(void *unused) {
    (void)unused;
    CHECK_OK(chroot(place));
    return NULL;
}

static void check_inside(void *unused) {
    (void)unused;
    CHECK_OK(access("/inside", F_OK));
    CHECK_OK(chroot("/in"));
    CHECK_OK(access("/deep", F_OK));
}

/* A thread's is its process's; a child has its parent's, and changes its own. */
static void pass_on(void *unused) {
    pthread_t thread;
    (void)unused;
    CHECK_EQ(pthread_create(&thread, NULL, enter, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_OK(access("/inside", F_OK));
    CHECK_EXITED(test_run_child(check_inside, NULL));
    CHECK_OK(access("/inside", F_OK));
}

static void inherited(void) { within(pass_on); }

static void be_nobody(void *unused) {
    (void)unused;
    CHECK_OK(setuid(1001));
    CHECK_ERRNO(chroot(place), EPERM);
    CHECK_ERRNO(chroot("/tmp/no-such"), ENOENT);
    CHECK_ERRNO(chroot("/tmp/chroot-test/inside"), ENOTDIR);
    CHECK_ERRNO(chroot("/tmp/chroot-test/in"), EACCES);
    CHECK_ERRNO(chroot((const char *)8), EFAULT);
    CHECK_OK(access("/tmp", F_OK));
}

static void refuse(void *unused) {
    (void)unused;
    CHECK_ERRNO(chroot("/tmp/chroot-test/inside"), ENOTDIR);
    CHECK_ERRNO(chroot("/tmp/chroot-test/no-such"), ENOENT);
    CHECK_ERRNO(chroot(""), ENOENT);
    CHECK_OK(chmod("/tmp/chroot-test/in", 0700));
    be_nobody(unused);
}

static void refused(void) { within(refuse); }

/* Links to a root that is gone: the directory stays as long as it is somebody's root. */
static void lose(void *unused) {
    (void)unused;
    CHECK_OK(mkdir("/tmp/chroot-test/gone", 0755));
    CHECK_OK(chdir("/tmp/chroot-test"));
    CHECK_OK(chroot("gone"));
    CHECK_OK(rmdir("gone"));
    CHECK_ERRNO(access("/inside", F_OK), ENOENT);
    CHECK_ERRNO(open("/new", O_WRONLY | O_CREAT, 0644), ENOENT);
    CHECK_OK(access("/..", F_OK));
}

static void removed(void) { within(lose); }

static const char *program_path(void) { return (const char *)getauxval(AT_EXECFN); }

static void copy_program(const char *to) {
    char buffer[4096];
    ssize_t bytes;
    int from = (int)CHECK_OK(open(program_path(), O_RDONLY)), fd = (int)CHECK_OK(open(to, O_WRONLY | O_CREAT, 0755));
    while ((bytes = CHECK_OK(read(from, buffer, sizeof(buffer)))) > 0)
        CHECK_EQ(write(fd, buffer, (size_t)bytes), bytes);
    CHECK_OK(close(from));
    CHECK_OK(close(fd));
}

static void run_within(void *unused) {
    char *argv[] = {"/program", "child-inside", NULL}, *envp[] = {NULL};
    (void)unused;
    copy_program("/tmp/chroot-test/program");
    CHECK_OK(chroot(place));
    CHECK_OK(chdir("/"));
    CHECK_OK(execve("/program", argv, envp));
}

static void run(void) {
    make_place();
    int status = test_run_child(run_within, NULL);
    CHECK_OK(unlink("/tmp/chroot-test/program"));
    remove_place();
    CHECK_EXITED(status);
}

static void child_inside(void) {
    CHECK_EQ(strcmp(program_path(), "/program"), 0);
    CHECK_OK(access("/inside", F_OK));
    check_cwd("/");
}

static const struct test_case cases[] = {
    {"paths", paths},     {"again", again},     {"outside", outside}, {"inherited", inherited},
    {"refused", refused}, {"removed", removed}, {"programs", run},
};

static const struct test_case child_cases[] = {{"child-inside", child_inside}};

int main(int argc, char **argv) {
    if (argc > 1 && strncmp(argv[1], "child-", 6) == 0)
        return test_main(2, argv, child_cases, 1);
    return test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
