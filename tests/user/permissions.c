/*
 * Conformance: who may do what. Owner, group and others on every step of a path, on opening, changing and running; by
 * children that have become somebody else. And that a file which may only be written shows nothing else of itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { OWNER = 1001, GROUP = 2001, OTHER = 1002, OTHER_GROUP = 2002 };

static const char *const directory = "/tmp/permissions";

static void become(uid_t uid, gid_t gid) {
    CHECK_OK(setgid(gid));
    CHECK_OK(setuid(uid));
}

/* Runs `body` as somebody else. */
static void as(uid_t uid, gid_t gid, void (*body)(void)) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        become(uid, gid);
        body();
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
}

static void enter(mode_t mode) {
    umask(0);
    CHECK_OK(mkdir(directory, 0700));
    CHECK_OK(chown(directory, OWNER, GROUP));
    CHECK_OK(chmod(directory, mode));
    CHECK_OK(chdir(directory));
}

static void leave(void) {
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(directory));
}

static void make(const char *name, mode_t mode) {
    CHECK_OK(close((int)CHECK_OK(open(name, O_WRONLY | O_CREAT | O_EXCL, mode))));
    CHECK_OK(chown(name, OWNER, GROUP));
    CHECK_OK(chmod(name, mode));
}

/* --- The matrix: each mode, as each of four, against what the bits say -------------------------------------------- */

static unsigned expected; /* of R 4, W 2, X 1 */

static void check_file(void) {
    static const struct {
        int flags;
        unsigned needs;
    } ways[] = {{O_RDONLY, 4}, {O_WRONLY, 2}, {O_RDWR, 6}, {O_RDONLY | O_TRUNC, 6}};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        int fd = open("file", ways[i].flags);
        bool allowed = (ways[i].needs & ~expected) == 0;
        if ((fd >= 0) != allowed || (fd < 0 && errno != EACCES)) {
            test_fail(__FILE__, __LINE__, "flags %#x with %o: %d, errno %d", ways[i].flags, expected, fd, errno);
        }
        close(fd);
    }
    for (unsigned mask = 1; mask < 8; mask++) {
        int result = access("file", (int)mask);
        if ((result == 0) != ((mask & ~expected) == 0)) {
            test_fail(__FILE__, __LINE__, "access %o with %o: %d", mask, expected, result);
        }
    }
}

static void files(void) {
    static const unsigned modes[] = {0000, 0777, 0700, 0070, 0007, 0400, 0200, 0640, 0604, 0711, 0066, 0521};
    enter(0755);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        unsigned mode = modes[i];
        make("file", mode);
        expected = mode >> 6;
        as(OWNER, OTHER_GROUP, check_file);
        expected = mode >> 3 & 7;
        as(OTHER, GROUP, check_file);
        expected = mode & 7;
        as(OTHER, OTHER_GROUP, check_file);
        expected = 6 | (mode & 0111 ? 1 : 0);
        check_file(); /* the superuser */
        CHECK_OK(unlink("file"));
    }
    leave();
}

/* --- Directories -------------------------------------------------------------------------------------------------- */

static void no_search(void) {
    struct stat status;
    CHECK_ERRNO(stat("d/file", &status), EACCES);
    CHECK_ERRNO(open("d/file", O_RDONLY), EACCES);
    CHECK_ERRNO(stat("d/missing", &status), EACCES);
    CHECK_ERRNO(chdir("d"), EACCES);
    CHECK_ERRNO(open("d/new", O_CREAT | O_WRONLY, 0600), EACCES);
    CHECK_ERRNO(access("d/file", F_OK), EACCES);
    CHECK_ERRNO(open("d", O_RDONLY), EACCES);
}

static void only_search(void) {
    struct stat status;
    CHECK_OK(stat("d/file", &status));
    CHECK_OK(chdir("d"));
    CHECK_ERRNO(open(".", O_RDONLY), EACCES);
    CHECK_ERRNO(mkdir("new", 0700), EACCES);
    CHECK_ERRNO(unlink("file"), EACCES);
    CHECK_ERRNO(rename("file", "other"), EACCES);
    CHECK(link("file", "other") < 0 && (errno == EACCES || errno == EPERM)); /* Linux may protect hard links besides */
    CHECK_ERRNO(symlink("file", "other"), EACCES);
    CHECK_ERRNO(open("other", O_CREAT | O_WRONLY, 0600), EACCES);
    CHECK_OK(close((int)CHECK_OK(open("file", O_CREAT | O_RDONLY, 0600)))); /* it exists */
}

static void may_change(void) {
    struct stat status;
    CHECK_OK(mkdir("d/new", 0700));
    CHECK_OK(stat("d/new", &status));
    CHECK_EQ(status.st_uid, getuid());
    CHECK_EQ(status.st_gid, getgid());
    CHECK_OK(rmdir("d/new"));
    CHECK_OK(rename("d/file", "d/other"));
    CHECK_OK(rename("d/other", "d/file"));
}

static void directories(void) {
    enter(0755);
    CHECK_OK(mkdir("d", 0700));
    make("d/file", 0644);
    as(OTHER, OTHER_GROUP, no_search);
    CHECK_OK(chmod("d", 0711));
    as(OTHER, OTHER_GROUP, only_search);
    CHECK_OK(chmod("d", 0733));
    as(OTHER, OTHER_GROUP, may_change);
    CHECK_OK(unlink("d/file"));
    CHECK_OK(rmdir("d"));
    leave();
}

static void not_my_files(void) {
    CHECK_ERRNO(unlink("d/theirs"), EPERM);
    CHECK_ERRNO(rename("d/theirs", "d/x"), EPERM);
    CHECK_OK(close((int)CHECK_OK(open("d/mine", O_CREAT | O_WRONLY, 0600))));
    CHECK_ERRNO(rename("d/mine", "d/theirs"), EPERM);
    CHECK_OK(rename("d/mine", "d/still-mine"));
    CHECK_OK(unlink("d/still-mine"));
}

static void unlink_theirs(void) { CHECK_OK(unlink("d/theirs")); }

static void sticky(void) {
    enter(0755);
    CHECK_OK(mkdir("d", 01777));
    make("d/theirs", 0666);
    as(OTHER, OTHER_GROUP, not_my_files);
    as(OWNER, GROUP, unlink_theirs);
    make("d/theirs", 0666);
    CHECK_OK(unlink("d/theirs"));
    CHECK_OK(rmdir("d"));
    leave();
}

static void move_foreign(void) { CHECK_ERRNO(rename("d/sub", "e/sub"), EACCES); }

/* A directory that moves gets another "..": that needs write permission on it. */
static void moving_directories(void) {
    enter(0777);
    CHECK_OK(mkdir("d", 0777));
    CHECK_OK(mkdir("e", 0777));
    CHECK_OK(mkdir("d/sub", 0755));
    as(OTHER, OTHER_GROUP, move_foreign);
    CHECK_OK(rename("d/sub", "e/sub"));
    CHECK_OK(rmdir("e/sub"));
    CHECK_OK(rmdir("d"));
    CHECK_OK(rmdir("e"));
    leave();
}

/* --- Attributes --------------------------------------------------------------------------------------------------- */

static void as_a_stranger(void) {
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    CHECK_ERRNO(chmod("file", 0777), EPERM);
    CHECK_ERRNO(chown("file", OTHER, (gid_t)-1), EPERM);
    CHECK_ERRNO(utimensat(AT_FDCWD, "file", times, 0), EPERM);
    CHECK_ERRNO(utimensat(AT_FDCWD, "file", NULL, 0), EACCES);
    CHECK_ERRNO(truncate("file", 0), EACCES);
}

static void as_the_owner(void) {
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    CHECK_OK(chmod("file", 0640));
    CHECK_ERRNO(chown("file", OTHER, (gid_t)-1), EPERM);
    CHECK_ERRNO(chown("file", (uid_t)-1, OTHER_GROUP), EPERM);
    CHECK_OK(chown("file", OWNER, GROUP));
    CHECK_OK(utimensat(AT_FDCWD, "file", times, 0));
    CHECK_OK(truncate("file", 10));
    CHECK_ERRNO(setuid(0), EPERM);
}

static void as_a_writer(void) {
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    CHECK_OK(utimensat(AT_FDCWD, "file", NULL, 0));
    CHECK_ERRNO(utimensat(AT_FDCWD, "file", times, 0), EPERM);
    CHECK_OK(truncate("file", 5));
    CHECK_ERRNO(chmod("file", 0666), EPERM);
}

static void attributes(void) {
    struct stat status;
    enter(0755);
    make("file", 0644);
    as(OTHER, OTHER_GROUP, as_a_stranger);
    as(OWNER, GROUP, as_the_owner);
    CHECK_OK(chmod("file", 0622));
    as(OTHER, OTHER_GROUP, as_a_writer);
    CHECK_OK(chmod("file", 06755));
    CHECK_OK(chown("file", OTHER, (gid_t)-1));
    CHECK_OK(stat("file", &status));
    CHECK_EQ(status.st_mode & 07777, 0755); /* another owner's program does not keep its set-id bits */
    CHECK_OK(unlink("file"));
    leave();
}

/* --- Running ------------------------------------------------------------------------------------------------------ */

static void may_run(void) { CHECK_OK(execl("program", "program", (char *)NULL)); }

static void may_not_run(void) { CHECK_ERRNO(execl("program", "program", (char *)NULL), EACCES); }

static void copy_program(const char *from, const char *to) {
    static char buffer[65536];
    int in = (int)CHECK_OK(open(from, O_RDONLY)), out = (int)CHECK_OK(open(to, O_WRONLY | O_CREAT, 0700));
    ssize_t count;
    while ((count = read(in, buffer, sizeof(buffer))) > 0) {
        CHECK_EQ(write(out, buffer, (size_t)count), count);
    }
    CHECK_OK(close(in));
    CHECK_OK(close(out));
}

static void running(void) {
    enter(0755);
    copy_program("/bin/true", "program");
    CHECK_OK(chown("program", OWNER, GROUP));
    CHECK_OK(chmod("program", 0750));
    as(OWNER, GROUP, may_run);
    as(OTHER, GROUP, may_run);
    as(OTHER, OTHER_GROUP, may_not_run);
    CHECK_OK(chmod("program", 0644));
    as(OWNER, GROUP, may_not_run);
    may_not_run();
    CHECK_OK(chmod("program", 0001)); /* somebody may: then the superuser may */
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        may_run();
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(unlink("program"));
    leave();
}

/* --- LOGICAL ACCESS ----------------------------------------------------------------------------------------------- */

static void write_unseen(void) {
    int fd = (int)CHECK_OK(open("secret", O_WRONLY));
    CHECK_EQ(pwrite(fd, "xyz", 3, 100), 3);
    CHECK_ERRNO(mmap(NULL, TEST_PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0, EACCES);
    CHECK_ERRNO(open("/proc/self/fd/3", O_RDONLY) >= 0 && fd == 3 ? 0 : -1, EACCES);
    if (on_penumbra() && penumbra_state().mode == ASI_MODE_ASI) {
        struct asi_counters before = penumbra_counters(0);
        CHECK_EQ(pwrite(fd, "xyz", 3, 100), 3);
        struct asi_counters after = penumbra_counters(0);
        /* No window on it: the kernel leaves the restricted space instead. */
        CHECK(after.exits[ASI_CAUSE_FILE] > before.exits[ASI_CAUSE_FILE]);
    }
    CHECK_OK(ftruncate(fd, 500));
    CHECK_OK(close(fd));
}

static void write_seen(void) {
    int fd = (int)CHECK_OK(open("secret", O_WRONLY));
    CHECK_EQ(pwrite(fd, "xyz", 3, 100), 3);
    if (on_penumbra() && penumbra_state().mode == ASI_MODE_ASI) {
        struct asi_counters before = penumbra_counters(0);
        CHECK_EQ(pwrite(fd, "xyz", 3, 100), 3);
        struct asi_counters after = penumbra_counters(0);
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
    }
    CHECK_OK(close(fd));
}

static void writing_unseen(void) {
    char text[4] = "";
    enter(0755);
    make("secret", 0622);
    CHECK_OK(truncate("secret", 3 * TEST_PAGE));
    as(OTHER, OTHER_GROUP, write_unseen);
    as(OWNER, GROUP, write_seen);
    write_seen();
    int fd = (int)CHECK_OK(open("secret", O_RDONLY));
    CHECK_EQ(pread(fd, text, 3, 100), 3);
    CHECK(strcmp(text, "xyz") == 0);
    CHECK_OK(close(fd));
    CHECK_OK(unlink("secret"));
    leave();
}

/* Descriptors keep what they were opened with. */
static void keeps_open(void) {
    enter(0755);
    make("file", 0600);
    int fd = (int)CHECK_OK(open("file", O_RDWR));
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        char text[4] = "";
        become(OTHER, OTHER_GROUP);
        CHECK_EQ(write(fd, "abc", 3), 3);
        CHECK_EQ(pread(fd, text, 3, 0), 3);
        CHECK(strcmp(text, "abc") == 0);
        CHECK_ERRNO(open("file", O_RDONLY), EACCES);
        _exit(0);
    }
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(close(fd));
    CHECK_OK(unlink("file"));
    leave();
}

static const struct test_case cases[] = {
    {"files", files},           {"directories", directories},
    {"sticky", sticky},         {"moving-directories", moving_directories},
    {"attributes", attributes}, {"running", running},
    {"keeps-open", keeps_open}, {"writing-unseen", writing_unseen},
};

TEST_MAIN(cases)
