/* Conformance: names. access, unlink, rename, mkdir, rmdir, link, symlink, readlink, getcwd, chdir, getdents64, *at. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

static bool exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

/* A fresh empty directory, which is also the working directory. */
static void enter_directory(const char *path) {
    CHECK_OK(mkdir(path, 0755));
    CHECK_OK(chdir(path));
}

static void leave_directory(const char *path) {
    CHECK_OK(chdir("/"));
    CHECK_OK(rmdir(path));
}

static void make(const char *path) { CHECK_OK(close((int)CHECK_OK(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644)))); }

static void access_checks(void) {
    const char *path = test_path("access");
    CHECK_ERRNO(access(path, F_OK), ENOENT);
    make(path);
    CHECK_OK(access(path, F_OK));
    CHECK_OK(access(path, R_OK | W_OK));
    CHECK_ERRNO(access(path, X_OK), EACCES);
    CHECK_OK(chmod(path, 0755));
    CHECK_OK(access(path, X_OK));
    CHECK_ERRNO(access(path, 64), EINVAL);
    CHECK_OK(faccessat(AT_FDCWD, path, R_OK, AT_EACCESS));
    CHECK_OK(unlink(path));
}

static void unlink_open_file(void) {
    const char *path = test_path("unlink");
    uint8_t data[100];
    struct stat status;
    int fd = test_file(path, 100);

    CHECK_OK(unlink(path));
    CHECK_ERRNO(unlink(path), ENOENT);
    CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_nlink, 0);
    CHECK_EQ(pread(fd, data, 100, 0), 100);
    CHECK_EQ(data[99], test_byte(99));
    make(path); /* another file of the same name */
    CHECK_EQ(pread(fd, data, 100, 0), 100);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(path));
    CHECK_ERRNO(unlink("/tmp"), EISDIR);
}

static void renames(void) {
    const char *directory = test_path("rename");
    enter_directory(directory);

    make("a");
    CHECK_OK(rename("a", "b"));
    CHECK(!exists("a") && exists("b"));
    make("c");
    CHECK_OK(rename("b", "c"));
    CHECK(!exists("b") && exists("c"));
    CHECK_OK(rename("c", "c"));
    CHECK_ERRNO(rename("a", "d"), ENOENT);
    CHECK_OK(mkdir("dir", 0755));
    CHECK_ERRNO(rename("c", "dir"), EISDIR);
    CHECK_ERRNO(rename("dir", "c"), ENOTDIR);
    CHECK_ERRNO(rename("dir", "dir/inside"), EINVAL);
    CHECK_OK(rename("c", "dir/c"));
    CHECK_OK(mkdir("empty", 0755));
    CHECK_ERRNO(rename("empty", "dir"), ENOTEMPTY);
    CHECK_OK(rename("dir", "empty"));
    CHECK(exists("empty/c") && !exists("dir"));
    CHECK_OK(unlink("empty/c"));
    CHECK_OK(rmdir("empty"));
    leave_directory(directory);
}

static void directories(void) {
    const char *directory = test_path("mkdir");
    struct stat status;

    CHECK_OK(mkdir(directory, 0700));
    CHECK_ERRNO(mkdir(directory, 0700), EEXIST);
    CHECK_OK(stat(directory, &status));
    CHECK(S_ISDIR(status.st_mode));
    CHECK_EQ(status.st_mode & 0777, 0700);
    CHECK_OK(chdir(directory));
    make("file");
    CHECK_ERRNO(mkdir("file", 0700), EEXIST);
    CHECK_ERRNO(mkdir("file/x", 0700), ENOTDIR);
    CHECK_ERRNO(mkdir("no/x", 0700), ENOENT);
    CHECK_ERRNO(rmdir("file"), ENOTDIR);
    CHECK_ERRNO(rmdir(directory), ENOTEMPTY);
    CHECK_ERRNO(rmdir("."), EINVAL);
    CHECK_OK(unlink("file"));
    CHECK_ERRNO(rmdir("no"), ENOENT);
    leave_directory(directory);
    CHECK(!exists(directory));
}

static void hard_links(void) {
    const char *directory = test_path("link");
    struct stat one, two;
    char byte;
    enter_directory(directory);

    make("one");
    CHECK_OK(link("one", "two"));
    CHECK_OK(stat("one", &one));
    CHECK_OK(stat("two", &two));
    CHECK_EQ(one.st_ino, two.st_ino);
    CHECK_EQ(one.st_nlink, 2);
    CHECK_ERRNO(link("one", "two"), EEXIST);
    CHECK_ERRNO(link("no", "three"), ENOENT);
    int fd = (int)CHECK_OK(open("one", O_WRONLY));
    CHECK_EQ(write(fd, "z", 1), 1);
    CHECK_OK(close(fd));
    CHECK_OK(unlink("one"));
    fd = (int)CHECK_OK(open("two", O_RDONLY));
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'z');
    CHECK_OK(close(fd));
    CHECK_OK(stat("two", &two));
    CHECK_EQ(two.st_nlink, 1);
    CHECK_OK(unlink("two"));
    leave_directory(directory);
}

static void symbolic_links(void) {
    const char *directory = test_path("symlink");
    struct stat status;
    char target[64];
    enter_directory(directory);

    CHECK_OK(symlink("target", "link"));
    CHECK_ERRNO(symlink("target", "link"), EEXIST);
    CHECK_EQ(readlink("link", target, sizeof(target)), 6);
    CHECK(memcmp(target, "target", 6) == 0);
    CHECK_EQ(readlink("link", target, 3), 3);
    CHECK_OK(lstat("link", &status));
    CHECK(S_ISLNK(status.st_mode));
    CHECK_EQ(status.st_size, 6);
    CHECK_ERRNO(stat("link", &status), ENOENT);
    make("target");
    CHECK_OK(stat("link", &status));
    CHECK(S_ISREG(status.st_mode));
    CHECK_ERRNO(readlink("target", target, sizeof(target)), EINVAL);
    CHECK_ERRNO(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(open("loop", O_RDONLY), ELOOP);
    CHECK_OK(mkdir("dir", 0755));
    CHECK_OK(symlink("../target", "dir/up"));
    CHECK_OK(stat("dir/up", &status));
    CHECK_OK(unlink("link")); /* the link, not its target */
    CHECK(exists("target"));
    CHECK_OK(unlink("dir/up"));
    CHECK_OK(rmdir("dir"));
    CHECK_OK(unlink("loop"));
    CHECK_OK(unlink("target"));
    leave_directory(directory);
}

static void working_directory(void) {
    const char *directory = test_path("cwd");
    char path[256], expected[256];

    CHECK_OK(chdir("/"));
    CHECK_OK(getcwd(path, sizeof(path)) == NULL ? -1 : 0);
    CHECK(strcmp(path, "/") == 0);
    enter_directory(directory);
    CHECK_OK(mkdir("sub", 0755));
    CHECK_OK(chdir("./sub/../sub//."));
    snprintf(expected, sizeof(expected), "%s/sub", directory);
    CHECK(getcwd(path, sizeof(path)) != NULL);
    CHECK(strcmp(path, expected) == 0);
    CHECK_EQ(syscall(SYS_getcwd, path, sizeof(path)), strlen(expected) + 1);
    CHECK_ERRNO(syscall(SYS_getcwd, path, 4), ERANGE);
    CHECK_ERRNO(chdir("no"), ENOENT);
    CHECK_OK(chdir(".."));
    int fd = (int)CHECK_OK(open(".", O_RDONLY | O_DIRECTORY));
    CHECK_OK(chdir("/"));
    CHECK_OK(fchdir(fd));
    CHECK(getcwd(path, sizeof(path)) != NULL);
    CHECK(strcmp(path, directory) == 0);
    CHECK_OK(close(fd));
    CHECK_OK(rmdir("sub"));
    leave_directory(directory);
}

static void relative_to_descriptor(void) {
    const char *directory = test_path("at");
    struct stat status;
    CHECK_OK(mkdir(directory, 0755));
    int at = (int)CHECK_OK(open(directory, O_RDONLY | O_DIRECTORY));

    int fd = (int)CHECK_OK(openat(at, "file", O_RDWR | O_CREAT, 0644));
    CHECK_OK(fstatat(at, "file", &status, 0));
    CHECK_OK(mkdirat(at, "sub", 0755));
    CHECK_OK(renameat(at, "file", at, "sub/file"));
    CHECK_ERRNO(fstatat(at, "file", &status, 0), ENOENT);
    CHECK_ERRNO(openat(fd, "x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(openat(-1, "x", O_RDONLY), EBADF);
    CHECK_OK(unlinkat(at, "sub/file", 0));
    CHECK_ERRNO(unlinkat(at, "sub", 0), EISDIR);
    CHECK_OK(unlinkat(at, "sub", AT_REMOVEDIR));
    CHECK_OK(close(fd));
    CHECK_OK(close(at));
    CHECK_OK(rmdir(directory));
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void directory_entries(void) {
    enum { FILES = 300 };
    const char *directory = test_path("getdents");
    char name[32], *names[FILES + 8];
    size_t count = 0;
    struct dirent *entry;
    enter_directory(directory);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "file-%03d", i);
        make(name);
    }

    DIR *stream = opendir(".");
    CHECK(stream != NULL);
    while ((entry = readdir(stream)) != NULL) {
        CHECK(count < FILES + 8);
        CHECK(entry->d_type == DT_UNKNOWN || entry->d_type == (entry->d_name[0] == '.' ? DT_DIR : DT_REG));
        names[count++] = strdup(entry->d_name);
    }
    CHECK_EQ(count, FILES + 2); /* with . and .. */
    rewinddir(stream);
    CHECK(readdir(stream) != NULL);
    closedir(stream);
    qsort(names, count, sizeof(names[0]), by_text);
    CHECK(strcmp(names[0], ".") == 0 && strcmp(names[1], "..") == 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "file-%03d", i);
        CHECK(strcmp(names[i + 2], name) == 0);
        CHECK_OK(unlink(name));
    }
    char small[8];
    int fd = (int)CHECK_OK(open(".", O_RDONLY | O_DIRECTORY));
    CHECK_ERRNO(syscall(SYS_getdents64, fd, small, sizeof(small)), EINVAL);
    CHECK_ERRNO(read(fd, small, sizeof(small)), EISDIR);
    CHECK_OK(close(fd));
    leave_directory(directory);
}

static void limits(void) {
    char name[300], path[5000];
    struct stat status;
    memset(name, 'n', sizeof(name));
    name[255] = 0;
    memcpy(path, "/tmp/", 5);
    memcpy(path + 5, name, 256);
    unlink(path);
    make(path);
    CHECK_OK(unlink(path));
    memset(path + 5, 'n', 256);
    path[261] = 0;
    CHECK_ERRNO(open(path, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG);
    memset(path, '/', sizeof(path));
    path[4095] = 0;
    CHECK_OK(stat(path, &status));
    path[4095] = '/';
    path[4999] = 0;
    CHECK_ERRNO(stat(path, &status), ENAMETOOLONG);
}

/* Lists directories and reads links, some of it at the same time: what the kernel keeps meanwhile is of many sizes. */
static void list_and_read(const char *link, unsigned round) {
    DIR *open_ones[4] = {NULL};
    char target[64];
    for (unsigned i = 0; i < 16; i++) {
        DIR **one = &open_ones[(i * 7 + round) % 4];
        if (*one != NULL) {
            CHECK_OK(closedir(*one));
            *one = NULL;
        } else {
            *one = opendir("/tmp");
            CHECK(*one != NULL && readdir(*one) != NULL);
        }
        CHECK_OK(symlink("nowhere", link));
        CHECK_EQ(readlink(link, target, sizeof(target)), 7);
        CHECK_OK(unlink(link));
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK(open_ones[i] == NULL || closedir(open_ones[i]) == 0);
    }
}

/* A process that lives long gets no larger inside the kernel. */
static void kernel_memory_stays(void) {
    enum { WARM = 20, ROUNDS = 120, SLACK = 8 };
    const char *link = test_path("link");
    test_needs_penumbra();
    uint64_t before = 0;
    for (unsigned round = 0; round < WARM + ROUNDS; round++) {
        if (round == WARM) {
            struct asi_memory memory = penumbra_memory();
            before = memory.frames_local - memory.frames_of_others;
        }
        list_and_read(link, round);
    }
    struct asi_memory memory = penumbra_memory();
    CHECK(memory.frames_local - memory.frames_of_others <= before + SLACK);
}

static const struct test_case cases[] = {
    {"access", access_checks},
    {"unlink", unlink_open_file},
    {"rename", renames},
    {"mkdir-rmdir", directories},
    {"link", hard_links},
    {"symlink-readlink", symbolic_links},
    {"getcwd-chdir", working_directory},
    {"openat", relative_to_descriptor},
    {"getdents64", directory_entries},
    {"name-limits", limits},
    {"kernel-memory-stays", kernel_memory_stays},
};
TEST_MAIN(cases)
