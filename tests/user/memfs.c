/*
 * The root's file server is killed while it is in use: each change to names is made once, nothing is lost, no call
 * fails, and the memory comes back. Penumbra's own.
 *
 * MEMFS_KILLS: how many kills under load in each case and mode [40].
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { WORKERS = 3, NAMES = 24, CONTENT = 5000, MEMORY_MAGIC = 0x01021994 };

/* What the workers have done, each a process with a directory of its own. Shared. */
static struct board {
    volatile bool stop;
    volatile unsigned done[WORKERS];
} * board;

static void needs_root_served(void) {
    test_needs_penumbra();
    if (access("/run/memfs.pid", R_OK) < 0) {
        test_skip("the root is not memfs'");
    }
}

/* --- One worker: changes at random, and what must be there then --------------------------------------------------- */

static char root[32];           /* the worker's directory */
static unsigned content[NAMES]; /* of the file of that name: which bytes; 0: there is no such file */
static unsigned links[NAMES];   /* 1: the name is a symbolic link's */
static unsigned next_content = 1;

static const char *path_of(unsigned name) {
    static char paths[4][64];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%u", root, name);
    return path;
}

static void fill(char *bytes, unsigned which) {
    for (unsigned i = 0; i < CONTENT; i++) {
        bytes[i] = (char)test_byte(which * 7919UL + i);
    }
}

static void write_file(unsigned name) {
    static char bytes[CONTENT];
    if (links[name]) {
        return;
    }
    int fd = (int)CHECK_OK(open(path_of(name), O_WRONLY | O_CREAT | (content[name] == 0 ? O_EXCL : O_TRUNC), 0644));
    content[name] = next_content++;
    fill(bytes, content[name]);
    CHECK_EQ(write(fd, bytes, CONTENT), CONTENT);
    CHECK_OK(close(fd));
}

static void remove_file(unsigned name) {
    if (content[name] == 0 && !links[name]) {
        CHECK_ERRNO(unlink(path_of(name)), ENOENT);
        return;
    }
    CHECK_OK(unlink(path_of(name)));
    content[name] = links[name] = 0;
}

static void rename_file(unsigned from, unsigned to) {
    if (content[from] == 0 && !links[from]) {
        CHECK_ERRNO(rename(path_of(from), path_of(to)), ENOENT);
    } else if (from != to) {
        CHECK_OK(rename(path_of(from), path_of(to)));
        content[to] = content[from];
        links[to] = links[from];
        content[from] = links[from] = 0;
    }
}

static void make_symlink(unsigned name) {
    if (content[name] != 0 || links[name]) {
        CHECK_ERRNO(symlink("nowhere", path_of(name)), EEXIST);
        return;
    }
    CHECK_OK(symlink("nowhere", path_of(name)));
    links[name] = 1;
}

/* A second name for a moment, and a directory. */
static void link_and_directory(unsigned name) {
    char other[64];
    struct stat status;
    if (content[name] != 0) {
        snprintf(other, sizeof other, "%s/other", root);
        CHECK_OK(link(path_of(name), other));
        CHECK_OK(stat(other, &status));
        CHECK_EQ(status.st_nlink, 2);
        CHECK_OK(chmod(other, 0600));
        CHECK_OK(unlink(path_of(name)));
        CHECK_OK(rename(other, path_of(name)));
    }
    snprintf(other, sizeof other, "%s/directory", root);
    CHECK_OK(mkdir(other, 0700));
    CHECK_ERRNO(mkdir(other, 0700), EEXIST);
    CHECK_OK(rmdir(other));
}

static void check_file(unsigned name) {
    static char bytes[CONTENT], wanted[CONTENT];
    struct stat status;
    if (content[name] == 0 && !links[name]) {
        CHECK_ERRNO(lstat(path_of(name), &status), ENOENT);
        return;
    }
    CHECK_OK(lstat(path_of(name), &status));
    CHECK_EQ(status.st_nlink, 1);
    CHECK(links[name] ? S_ISLNK(status.st_mode) : S_ISREG(status.st_mode));
    if (links[name]) {
        CHECK_EQ(readlink(path_of(name), bytes, sizeof bytes), 7);
        return;
    }
    int fd = (int)CHECK_OK(open(path_of(name), O_RDONLY));
    fill(wanted, content[name]);
    CHECK_EQ(read(fd, bytes, CONTENT), CONTENT);
    CHECK(memcmp(bytes, wanted, CONTENT) == 0);
    CHECK_OK(close(fd));
}

/* All that must be there, and nothing else. */
static void check_all(void) {
    unsigned expected = 0, found = 0;
    struct dirent *entry;
    for (unsigned name = 0; name < NAMES; name++) {
        check_file(name);
        expected += content[name] != 0 || links[name];
    }
    DIR *directory = opendir(root);
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        found += entry->d_name[0] != '.';
    }
    closedir(directory);
    CHECK_EQ(found, expected);
}

static void work(unsigned worker) {
    snprintf(root, sizeof root, "/tmp/memfs-%u", worker);
    CHECK_OK(mkdir(root, 0755));
    srand(worker + 1);
    while (!board->stop) {
        unsigned name = (unsigned)rand() % NAMES;
        switch (rand() % 6) {
        case 0:
        case 1:
            write_file(name);
            break;
        case 2:
            remove_file(name);
            break;
        case 3:
            rename_file(name, (unsigned)rand() % NAMES);
            break;
        case 4:
            make_symlink(name);
            break;
        default:
            link_and_directory(name);
            break;
        }
        board->done[worker]++;
    }
    check_all();
    CHECK_OK(cache_drop());
    check_all(); /* as the server has it */
    for (unsigned name = 0; name < NAMES; name++) {
        remove_file(name);
    }
    CHECK_OK(rmdir(root));
}

/* --- Kills -------------------------------------------------------------------------------------------------------- */

static pid_t server_pid(const char *service) {
    char path[64], text[16] = "";
    snprintf(path, sizeof path, "/run/%s.pid", service);
    int file = (int)CHECK_OK(open(path, O_RDONLY));
    CHECK(read(file, text, sizeof text - 1) >= 0);
    CHECK_OK(close(file));
    return (pid_t)atoi(text); /* 0: it is just being written */
}

/* Kills the one that was started since `last`, at some moment. */
static pid_t kill_again(const char *service, pid_t last) {
    pid_t pid;
    do {
        test_sleep_ms(rand() % 8);
        pid = server_pid(service);
    } while (pid <= 1 || pid == last);
    CHECK_OK(kill(pid, SIGKILL));
    return pid;
}

static void wait_for_progress(void) {
    struct board before = *board;
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        while (board->done[worker] == before.done[worker]) {
            test_sleep_ms(1);
        }
    }
}

static unsigned kills_wanted(void) {
    const char *text = getenv("MEMFS_KILLS");
    return text != NULL ? (unsigned)atoi(text) : 40;
}

static void kill_under_load(const char *service) {
    pid_t workers[WORKERS], last = 0;
    needs_root_served();
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        workers[worker] = (pid_t)CHECK_OK(fork());
        if (workers[worker] == 0) {
            work(worker);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < kills_wanted(); i++) {
        last = kill_again(service, last);
        if (i % 4 != 0) { /* each fourth one is killed before it has served anybody for long */
            wait_for_progress();
        }
    }
    wait_for_progress();
    board->stop = true;
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        CHECK_EXITED(test_wait(workers[worker]));
    }
    while (server_pid(service) == last) {
        test_sleep_ms(1); /* the last one is there: init has no child of its own under way */
    }
}

static void kill_memfs(void) { kill_under_load("memfs"); }
static void kill_names(void) { kill_under_load("names"); }

/* --- Without kills ------------------------------------------------------------------------------------------------ */

static void large_directory(void) {
    enum { FILES = 5000 };
    char path[64];
    unsigned found = 0;
    struct dirent *entry;
    needs_root_served();
    CHECK_OK(mkdir("/tmp/memfs-large", 0755));
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "/tmp/memfs-large/%u", i);
        CHECK_OK(close((int)CHECK_OK(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600))));
    }
    DIR *directory = opendir("/tmp/memfs-large");
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) { /* what was listed is removed meanwhile */
        if (entry->d_name[0] != '.') {
            CHECK_OK(unlinkat(dirfd(directory), entry->d_name, 0));
            found++;
        }
    }
    closedir(directory);
    CHECK_EQ(found, FILES);
    CHECK_OK(rmdir("/tmp/memfs-large"));
}

static void tells_space(void) {
    struct statfs before, after;
    static char bytes[1 << 20];
    needs_root_served();
    CHECK_OK(statfs("/tmp", &before));
    CHECK_EQ(before.f_type, MEMORY_MAGIC);
    int fd = (int)CHECK_OK(open("/tmp/memfs-space", O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK_EQ(write(fd, bytes, sizeof bytes), sizeof bytes);
    CHECK_OK(statfs("/tmp", &after));
    CHECK(after.f_files == before.f_files || after.f_ffree < before.f_ffree);
    CHECK(before.f_bfree >= after.f_bfree + sizeof bytes / (size_t)before.f_bsize);
    CHECK(after.f_blocks == before.f_blocks && after.f_bfree < after.f_blocks);
    CHECK_OK(close(fd));
    CHECK_OK(unlink("/tmp/memfs-space"));
}

/* In a directory with the bit all are of its group, and directories have it, too. */
static void group_of_directory(void) {
    struct stat status;
    needs_root_served();
    CHECK_OK(mkdir("/tmp/memfs-group", 0755));
    CHECK_OK(chown("/tmp/memfs-group", 0, 77));
    CHECK_OK(chmod("/tmp/memfs-group", 02755));
    CHECK_OK(mkdir("/tmp/memfs-group/below", 0755));
    CHECK_OK(stat("/tmp/memfs-group/below", &status));
    CHECK_EQ(status.st_gid, 77);
    CHECK_EQ(status.st_mode, S_IFDIR | 02755);
    CHECK_OK(rmdir("/tmp/memfs-group/below"));
    CHECK_OK(rmdir("/tmp/memfs-group"));
}

static const struct test_case cases[] = {
    {"large-directory", large_directory}, {"tells-space", tells_space}, {"group-of-directory", group_of_directory},
    {"kill-memfs", kill_memfs},           {"kill-names", kill_names},
};

TEST_MAIN(cases)
