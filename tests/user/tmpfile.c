/*
 * Conformance: files that begin without a name (O_TMPFILE): what they are, who may make them, and names that they get
 * by linkat, from the descriptor itself or by way of /proc.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

static const char *const place = "/tmp/tmpfile-test";

static int make(int flags, mode_t mode) { return (int)CHECK_OK(open(place, O_TMPFILE | flags, mode)); }

static nlink_t links(int fd) {
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    return status.st_nlink;
}

static int entries(void) {
    int count = 0;
    DIR *directory = opendir(place);
    CHECK(directory != NULL);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static int link_handle(int fd, const char *to) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, AT_FDCWD, to, AT_SYMLINK_FOLLOW);
}

static void check_content(const char *path, const char *expected) {
    char text[64] = "";
    int fd = (int)CHECK_OK(open(path, O_RDONLY));
    CHECK_EQ(read(fd, text, sizeof(text)), strlen(expected));
    CHECK_EQ(strcmp(text, expected), 0);
    CHECK_OK(close(fd));
}

static void nameless(void) {
    struct stat status;
    char text[8] = "";
    umask(027);
    CHECK_OK(mkdir(place, 0755));
    int fd = make(O_RDWR, 0666), other = make(O_WRONLY, 0600);
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0640);
    CHECK_EQ(status.st_nlink, 0);
    CHECK_EQ(status.st_size, 0);
    CHECK_EQ(write(fd, "hidden", 6), 6);
    CHECK_EQ(pread(fd, text, 8, 0), 6);
    CHECK_EQ(strcmp(text, "hidden"), 0);
    CHECK_ERRNO(read(other, text, 1), EBADF);
    CHECK_OK(fstat(other, &status));
    CHECK_EQ(status.st_size, 0);
    CHECK_EQ(entries(), 0);
    CHECK_OK(ftruncate(fd, 100000));
    CHECK_OK(fchmod(fd, 0600));
    CHECK_OK(close(other));
    CHECK_OK(rmdir(place)); /* nothing is in it */
    CHECK_EQ(pread(fd, text, 8, 99999), 1);
    CHECK_OK(close(fd));
}

static void named_later(void) {
    CHECK_OK(mkdir(place, 0755));
    CHECK_OK(chdir(place));
    int fd = make(O_RDWR, 0644);
    CHECK_EQ(write(fd, "content", 7), 7);
    CHECK_OK(link_handle(fd, "first"));
    CHECK_EQ(links(fd), 1);
    check_content("first", "content");
    CHECK_OK(link("first", "second"));
    CHECK_OK(linkat(fd, "", AT_FDCWD, "third", AT_EMPTY_PATH));
    CHECK_EQ(links(fd), 3);
    CHECK_EQ(entries(), 3);
    CHECK_OK(close(fd));
    check_content("third", "content");
    fd = make(O_WRONLY, 0644);
    CHECK_EQ(write(fd, "more", 4), 4);
    CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "first", AT_EMPTY_PATH), EEXIST);
    CHECK_EQ(links(fd), 0);
    CHECK_OK(unlink("first"));
    CHECK_OK(linkat(fd, "", AT_FDCWD, "first", AT_EMPTY_PATH));
    CHECK_OK(close(fd));
    check_content("first", "more");
    CHECK_OK(unlink("first"));
    CHECK_OK(unlink("second"));
    CHECK_OK(unlink("third"));
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(place));
}

/* Who says O_EXCL wants none for it; and what has lost its last name gets none. */
static void never_named(void) {
    CHECK_OK(mkdir(place, 0755));
    CHECK_OK(chdir(place));
    int fd = make(O_RDWR | O_EXCL, 0600);
    CHECK_ERRNO(link_handle(fd, "name"), ENOENT);
    CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "name", AT_EMPTY_PATH), ENOENT);
    CHECK_OK(close(fd));
    fd = (int)CHECK_OK(open("once", O_RDWR | O_CREAT, 0600));
    CHECK_OK(unlink("once"));
    CHECK_ERRNO(link_handle(fd, "name"), ENOENT);
    CHECK_OK(close(fd));
    fd = make(O_RDWR, 0600);
    CHECK_OK(link_handle(fd, "name"));
    CHECK_OK(unlink("name"));
    CHECK_ERRNO(link_handle(fd, "name"), ENOENT);
    CHECK_OK(close(fd));
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(place));
}

static void try_as_other(void *unused) {
    (void)unused;
    CHECK_OK(setuid(1001));
    CHECK_ERRNO(open(place, O_TMPFILE | O_RDWR, 0600), EACCES);
}

static void refused(void) {
    CHECK_ERRNO(open(place, O_TMPFILE | O_RDWR, 0600), ENOENT);
    CHECK_OK(mkdir(place, 0755));
    CHECK_ERRNO(open(place, O_TMPFILE | O_RDONLY, 0600), EINVAL);
    CHECK_ERRNO(open(place, O_TMPFILE | O_RDWR | O_CREAT, 0600), EINVAL);
    CHECK_ERRNO(open(place, (O_TMPFILE & ~O_DIRECTORY) | O_RDWR, 0600), EINVAL);
    CHECK_OK(symlink(place, "/tmp/tmpfile-link"));
    CHECK_OK(close((int)CHECK_OK(open("/tmp/tmpfile-link", O_TMPFILE | O_RDWR, 0600))));
    CHECK_OK(unlink("/tmp/tmpfile-link"));
    const char *file = test_path("file");
    CHECK_OK(close(test_file(file, 1)));
    CHECK_ERRNO(open(file, O_TMPFILE | O_RDWR, 0600), ENOTDIR);
    CHECK_OK(unlink(file));
    int status = test_run_child(try_as_other, NULL);
    CHECK_OK(rmdir(place));
    CHECK_EXITED(status);
}

/* From another process: a name in a directory of its own, for a moment. Its status: whether there was one. */
static pid_t name_and_unname(int fd, int which) {
    char path[64];
    snprintf(path, sizeof(path), "%s/%d/name", place, which);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid != 0)
        return pid;
    if (link_handle(fd, path) != 0)
        _exit(errno == ENOENT ? 1 : 2);
    _exit(unlink(path) == 0 ? 0 : 3);
}

/* Two who give it its first name at the same time: what one has taken away again the other does not bring back. */
static void named_twice(void) {
    enum { ROUNDS = 60 };
    CHECK_OK(mkdir(place, 0755));
    CHECK_OK(mkdir("/tmp/tmpfile-test/0", 0755));
    CHECK_OK(mkdir("/tmp/tmpfile-test/1", 0755));
    for (int i = 0; i < ROUNDS; i++) {
        int fd = make(O_RDWR, 0600), named = 0;
        pid_t pids[2] = {name_and_unname(fd, 0), name_and_unname(fd, 1)};
        for (int which = 0; which < 2; which++) {
            int status = test_wait(pids[which]);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
            named += WEXITSTATUS(status) == 0;
        }
        CHECK(named >= 1);
        CHECK_EQ(links(fd), 0);
        CHECK_ERRNO(link_handle(fd, "/tmp/tmpfile-test/name"), ENOENT);
        CHECK_OK(close(fd));
    }
    CHECK_OK(rmdir("/tmp/tmpfile-test/0"));
    CHECK_OK(rmdir("/tmp/tmpfile-test/1"));
    CHECK_OK(rmdir(place));
}

static const struct test_case cases[] = {{"nameless", nameless},
                                         {"named-later", named_later},
                                         {"never-named", never_named},
                                         {"named-twice", named_twice},
                                         {"refused", refused}};
TEST_MAIN(cases)
