/*
 * Names and attributes as a cache of what a file server says: which calls make no message, what the server may take
 * back, what becomes of changes, lies, slowness and death. The server is this program's child
 * (tests/user/lib/file_server.h), which counts what it is asked. Penumbra's own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/file_server.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { LONG_MS = 20000, SHORT_MS = 300 };

/* A mounted tree: file, dir/inner, link → dir/inner. */
static struct served *small_tree(const char *name, uint32_t timeout_ms) {
    struct served *served = served_create();
    served_add(served, SERVED_ROOT, "file", S_IFREG | 0644, NULL);
    uint64_t directory = served_add(served, SERVED_ROOT, "dir", S_IFDIR | 0755, NULL);
    served_add(served, directory, "inner", S_IFREG | 0644, NULL);
    served_add(served, SERVED_ROOT, "link", S_IFLNK | 0777, "dir/inner");
    served_mount(served, name, MOUNT_MEMORY, timeout_ms);
    return served;
}

static bool exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

/* Opens, stats and so on what is there and what is not. */
static void look_everywhere(const struct served *served) {
    struct stat status;
    char target[64];
    CHECK_OK(close((int)CHECK_OK(open(served_path(served, "file"), O_RDONLY))));
    CHECK_OK(stat(served_path(served, "dir/inner"), &status));
    CHECK_OK(access(served_path(served, "dir/inner"), R_OK | W_OK));
    CHECK_EQ(readlink(served_path(served, "link"), target, sizeof(target)), 9);
    CHECK_OK(stat(served_path(served, "link"), &status));
    CHECK(S_ISREG(status.st_mode));
    CHECK_ERRNO(stat(served_path(served, "missing"), &status), ENOENT);
    CHECK_ERRNO(open(served_path(served, "dir/missing/behind"), O_RDONLY), ENOENT);
}

/* --- What is cached ----------------------------------------------------------------------------------------------- */

static void cached(void) {
    struct served *served = small_tree("served-cached", LONG_MS);
    unsigned before = served_calls(served);
    look_everywhere(served);
    CHECK_EQ(served->calls[FS_LOOKUP], 6); /* file, dir, dir/inner, link, missing, dir/missing */
    CHECK_EQ(served->calls[FS_READLINK], 1);
    CHECK_EQ(served_calls(served) - before, 7);
    for (int i = 0; i < 10; i++) {
        look_everywhere(served);
    }
    CHECK_EQ(served_calls(served) - before, 7);
    served_end(served);
}

static void no_exits(void) {
    struct served *served = small_tree("served-exits", LONG_MS);
    look_everywhere(served);
    struct asi_counters before = penumbra_counters(0);
    look_everywhere(served);
    struct asi_counters after = penumbra_counters(0);
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
    }
    served_end(served);
}

static void mount_table_tells(void) {
    struct served *served = small_tree("served-table", LONG_MS);
    struct mount_state state = {0};
    look_everywhere(served);
    unsigned index = 0;
    while (mount_table(index, &state) == 0 && strcmp(state.path, served->path) != 0) {
        index++;
    }
    CHECK(strcmp(state.path, served->path) == 0 && strcmp(state.type, "testfs") == 0);
    CHECK_EQ(state.attached, 1);
    CHECK_EQ(state.calls, served_calls(served));
    CHECK_EQ(state.names, 4);
    CHECK_EQ(state.negative_names, 2);
    CHECK(state.hits > 0 && state.misses >= 6);
    served_end(served);
    CHECK_ERRNO(mount_table(1000, &state), ENOENT);
}

static void not_to_be_cached(void) {
    struct served *served = small_tree("served-uncached", LONG_MS);
    served->no_cache = 1;
    for (unsigned i = 1; i <= 3; i++) {
        look_everywhere(served);
        /* link twice, and dir and inner for each of the ways there */
        CHECK_EQ(served->calls[FS_LOOKUP], i * 12);
        CHECK_EQ(served->calls[FS_READLINK], i * 2);
    }
    int fd = (int)CHECK_OK(open(served_path(served, "new"), O_RDWR | O_CREAT | O_EXCL, 0600));
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_OK(close(fd));
    CHECK_OK(rename(served_path(served, "new"), served_path(served, "dir/new")));
    CHECK_OK(unlink(served_path(served, "dir/new")));
    CHECK(!exists(served_path(served, "dir/new")));
    served_end(served);
}

static void taken_back(void) {
    struct served *served = small_tree("served-revoked", LONG_MS);
    struct stat status;
    look_everywhere(served);
    unsigned before = served_calls(served);

    /* A name: another file behind it. */
    CHECK_OK(mount_forget(served->mount, SERVED_ROOT, "file"));
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_EQ(served_calls(served) - before, 1);
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_EQ(served_calls(served) - before, 1);

    /* A negative one. */
    served_add(served, SERVED_ROOT, "missing", S_IFREG | 0600, NULL);
    CHECK(!exists(served_path(served, "missing")));
    CHECK_OK(mount_forget(served->mount, SERVED_ROOT, "missing"));
    CHECK(exists(served_path(served, "missing")));

    /* Attributes. */
    uint64_t number = status.st_ino;
    served->nodes[number - SERVED_ROOT].attributes.mode = S_IFREG | 0640;
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_EQ(status.st_mode & 07777, 0644);
    CHECK_OK(mount_forget(served->mount, number, NULL));
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_EQ(status.st_mode & 07777, 0640);

    /* All names of a directory. */
    CHECK_OK(stat(served_path(served, "dir"), &status));
    before = served_calls(served);
    CHECK_OK(mount_forget(served->mount, status.st_ino, NULL));
    CHECK(exists(served_path(served, "dir/inner")));
    CHECK_EQ(served_calls(served) - before, 2); /* dir, inner */
    CHECK_ERRNO(mount_forget(0, SERVED_ROOT, NULL), EINVAL);
    served_end(served);
}

static void *stat_slowly(void *path) {
    struct stat status;
    CHECK_OK(stat(path, &status));
    return NULL;
}

/* What was taken back while its answer was on the way is not kept. */
static void taken_back_in_flight(void) {
    struct served *served = small_tree("served-in-flight", LONG_MS);
    char path[128];
    pthread_t thread;
    snprintf(path, sizeof(path), "%s", served_path(served, "file"));
    served->hold = FS_LOOKUP;
    CHECK_EQ(pthread_create(&thread, NULL, stat_slowly, path), 0);
    while (!served->held) {
        test_sleep_ms(1);
    }
    CHECK_OK(mount_forget(served->mount, SERVED_ROOT, "file"));
    served->hold = 0;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(served->calls[FS_LOOKUP], 1);
    CHECK(exists(path));
    CHECK_EQ(served->calls[FS_LOOKUP], 2);
    CHECK(exists(path));
    CHECK_EQ(served->calls[FS_LOOKUP], 2);
    served_end(served);
}

static void dropped(void) {
    struct served *served = small_tree("served-dropped", LONG_MS);
    look_everywhere(served);
    unsigned lookups = served->calls[FS_LOOKUP];
    CHECK_OK(cache_drop());
    look_everywhere(served);
    CHECK_EQ(served->calls[FS_LOOKUP], lookups + 6);
    CHECK_EQ(served->bad_forgets, 0);
    served_end(served);
}

/* --- Changes ------------------------------------------------------------------------------------------------------ */

static void changes(void) {
    struct served *served = small_tree("served-changes", LONG_MS);
    struct stat status;
    char text[16] = "";
    const char *made = served_path(served, "made"), *other = served_path(served, "dir/other");

    CHECK(!exists(made));
    int fd = (int)CHECK_OK(open(made, O_RDWR | O_CREAT | O_EXCL, 0640));
    unsigned lookups = served->calls[FS_LOOKUP];
    CHECK_ERRNO(open(made, O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    CHECK_OK(stat(made, &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0640);
    CHECK_EQ(served->calls[FS_LOOKUP], lookups); /* creating it made it known */
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, 5);

    CHECK_OK(link(made, other));
    CHECK_OK(stat(other, &status));
    CHECK_EQ(status.st_nlink, 2);
    CHECK_OK(unlink(made));
    CHECK(!exists(made));
    CHECK_OK(rename(other, made));
    CHECK(exists(made) && !exists(other));
    CHECK_OK(rename(made, served_path(served, "file"))); /* replaces */
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_EQ(status.st_size, 5);
    CHECK_EQ(status.st_nlink, 1);
    CHECK_EQ(pread(fd, text, sizeof(text), 0), 5);
    CHECK(strcmp(text, "hello") == 0);
    CHECK_OK(unlink(served_path(served, "file")));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_nlink, 0);
    CHECK_EQ(pread(fd, text, sizeof(text), 0), 5); /* unlinked, but open */
    CHECK_OK(close(fd));
    CHECK_OK(cache_drop());
    CHECK_EQ(served->calls[FS_FORGET], 2); /* the one that was replaced, and this */
    CHECK_EQ(served->bad_forgets, 0);
    served_end(served);
}

static void directories(void) {
    struct served *served = small_tree("served-directories", LONG_MS);
    struct stat status;
    char place[256];
    CHECK_OK(mkdir(served_path(served, "a"), 0755));
    CHECK_OK(mkdir(served_path(served, "a/b"), 0700));
    CHECK_ERRNO(mkdir(served_path(served, "a/b"), 0700), EEXIST);
    CHECK_ERRNO(rmdir(served_path(served, "a")), ENOTEMPTY);
    CHECK_OK(chdir(served_path(served, "a/b")));
    CHECK(getcwd(place, sizeof(place)) != NULL && strcmp(place, served_path(served, "a/b")) == 0);
    CHECK_OK(rename(served_path(served, "a/b"), served_path(served, "dir/c")));
    CHECK(getcwd(place, sizeof(place)) != NULL && strcmp(place, served_path(served, "dir/c")) == 0);
    CHECK_OK(stat("../inner", &status));
    CHECK_ERRNO(rename(served_path(served, "dir"), served_path(served, "dir/c/d")), EINVAL);
    CHECK(getcwd(place, sizeof(place)) != NULL);
    CHECK_OK(stat("../../../..", &status));
    CHECK_OK(chdir("../../.."));
    CHECK(getcwd(place, sizeof(place)) != NULL && strcmp(place, "/tmp") == 0);
    CHECK_OK(rmdir(served_path(served, "a")));
    CHECK_OK(chdir(served_path(served, "dir/c")));
    CHECK_OK(rmdir(served_path(served, "dir/c")));
    CHECK_ERRNO(open("file", O_CREAT | O_WRONLY, 0600), ENOENT);
    CHECK(getcwd(place, sizeof(place)) == NULL && errno == ENOENT);
    CHECK_OK(chdir("/"));
    CHECK_ERRNO(rename(served_path(served, "file"), "/tmp/elsewhere"), EXDEV);
    CHECK_ERRNO(link(served_path(served, "file"), "/tmp/elsewhere"), EXDEV);
    CHECK_ERRNO(rmdir(served->path), EBUSY);
    CHECK_ERRNO(rename(served->path, "/tmp/moved"), EBUSY);
    CHECK_ERRNO(unlink(served_path(served, "dir")), EISDIR);
    CHECK_ERRNO(rmdir(served_path(served, "file")), ENOTDIR);
    CHECK_OK(cache_drop());
    CHECK_EQ(served->bad_forgets, 0);
    served_end(served);
}

static void links_across(void) {
    struct served *served = small_tree("served-links", LONG_MS);
    struct stat status;
    CHECK_OK(symlink("/tmp/served-links/dir", "/tmp/into"));
    CHECK_OK(symlink("../into/inner", served_path(served, "out")));
    CHECK_OK(stat(served_path(served, "out"), &status));
    CHECK_OK(stat("/tmp/into/inner", &status));
    CHECK_OK(symlink("round", served_path(served, "round")));
    CHECK_ERRNO(stat(served_path(served, "round"), &status), ELOOP);
    CHECK_OK(symlink("/dev/null", served_path(served, "null")));
    int fd = (int)CHECK_OK(open(served_path(served, "null"), O_WRONLY));
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_OK(close(fd));
    CHECK_OK(unlink("/tmp/into"));
    served_end(served);
}

static void attributes(void) {
    struct served *served = small_tree("served-attributes", LONG_MS);
    struct stat status;
    struct statfs space;
    const struct timespec times[2] = {{.tv_sec = 1000, .tv_nsec = 5}, {.tv_sec = 2000, .tv_nsec = 6}};
    const char *file = served_path(served, "file");
    CHECK_OK(chmod(file, 0604));
    CHECK_OK(chown(file, 7, 8));
    CHECK_OK(utimensat(AT_FDCWD, file, times, 0));
    CHECK_OK(truncate(file, 10000));
    CHECK_OK(stat(file, &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0604);
    CHECK_EQ(status.st_uid, 7);
    CHECK_EQ(status.st_gid, 8);
    CHECK_EQ(status.st_atim.tv_sec, 1000);
    CHECK_EQ(status.st_atim.tv_nsec, 5);
    CHECK_EQ(status.st_size, 10000);
    CHECK_EQ(served->calls[FS_SETATTR], 4); /* each at once */
    CHECK_EQ(served->nodes[status.st_ino - SERVED_ROOT].attributes.size, 10000);

    int fd = (int)CHECK_OK(open(file, O_WRONLY | O_APPEND));
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(write(fd, "0123456789", 10), 10);
    }
    CHECK_EQ(served->calls[FS_SETATTR], 4); /* the size of what is written is the kernel's business */
    CHECK_OK(stat(file, &status));
    CHECK_EQ(status.st_size, 11000);
    CHECK_OK(close(fd));
    CHECK_OK(statfs(file, &space));
    CHECK_EQ(space.f_type, 0x7e57);
    CHECK_EQ(space.f_bavail, 500);
    served_end(served);
}

/* Pages of a memory file have no other home: they outlive every name in the cache. */
static void memory_stays(void) {
    struct served *served = small_tree("served-memory", LONG_MS);
    static char data[3 * TEST_PAGE], back[3 * TEST_PAGE];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (char)test_byte(i);
    }
    int fd = (int)CHECK_OK(open(served_path(served, "file"), O_RDWR));
    CHECK_EQ(write(fd, data, sizeof(data)), sizeof(data));
    CHECK_OK(close(fd));
    CHECK_OK(cache_drop());
    fd = (int)CHECK_OK(open(served_path(served, "file"), O_RDONLY));
    CHECK_EQ(read(fd, back, sizeof(back)), sizeof(back));
    CHECK(memcmp(data, back, sizeof(back)) == 0);
    char *mapped = mmap(NULL, sizeof(back), PROT_READ, MAP_SHARED, fd, 0);
    CHECK(mapped != MAP_FAILED);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(served_path(served, "file")));
    CHECK(memcmp(data, mapped, sizeof(back)) == 0); /* mapped, though neither named nor open */
    CHECK_OK(munmap(mapped, sizeof(back)));
    CHECK_OK(cache_drop());
    CHECK_EQ(served->calls[FS_FORGET], 1);
    served_end(served);
}

static void adopts(void) {
    struct served *served = small_tree("served-adopts", LONG_MS);
    static char data[2 * TEST_PAGE], back[2 * TEST_PAGE];
    struct stat status;
    memset(data, 'p', sizeof(data));
    int object = (int)CHECK_OK(syscall(SYS_OBJECT_CREATE, sizeof(data), -1L, 0L));
    CHECK_EQ(pwrite(object, data, sizeof(data), 0), sizeof(data));
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_OK(mount_adopt(served->mount, status.st_ino, object, 5000));
    CHECK_ERRNO(mount_adopt(served->mount, status.st_ino, object, 5000), EEXIST);
    CHECK_ERRNO(mount_adopt(served->mount, SERVED_ROOT, object, 5000), EEXIST);
    CHECK_OK(close(object));
    int fd = (int)CHECK_OK(open(served_path(served, "file"), O_RDONLY));
    CHECK_EQ(read(fd, back, sizeof(back)), 5000);
    CHECK(memcmp(data, back, 5000) == 0);
    CHECK_OK(close(fd));
    served_end(served);
}

/* --- Files whose pages the server has ----------------------------------------------------------------------------- */

static struct served *paged_tree(const char *name, uint64_t size) {
    struct served *served = served_create();
    uint64_t number = served_add(served, SERVED_ROOT, "file", S_IFREG | 0644, NULL);
    served->nodes[number - SERVED_ROOT].attributes.size = size;
    served_mount(served, name, 0, LONG_MS);
    return served;
}

static void check_content(const uint8_t *bytes, size_t count, size_t offset) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != test_byte(offset + i)) {
            test_fail(__FILE__, __LINE__, "byte %zu is %u, want %u", offset + i, bytes[i], test_byte(offset + i));
        }
    }
}

static void paged(void) {
    enum { SIZE = 40 * TEST_PAGE + 100 };
    static uint8_t bytes[SIZE + 100];
    struct served *served = paged_tree("served-paged", SIZE);
    struct stat status;
    const char *file = served_path(served, "file");
    int fd = (int)CHECK_OK(open(file, O_RDWR));
    CHECK_EQ(served->fills, 0);
    CHECK_EQ(read(fd, bytes, sizeof(bytes)), SIZE);
    check_content(bytes, SIZE, 0);
    unsigned fills = served->fills;
    CHECK(fills > 0);
    CHECK_EQ(pread(fd, bytes, sizeof(bytes), 0), SIZE);
    CHECK_EQ(served->fills, fills); /* warm */

    /* Written: the size is told after the pages, both by fsync, which ends with FS_SYNC. */
    CHECK_EQ(pwrite(fd, "x", 1, SIZE + 9), 1);
    CHECK_EQ(served->calls[FS_SETATTR], 0);
    CHECK_OK(fsync(fd));
    CHECK_EQ(served->calls[FS_SETATTR], 1);
    CHECK_EQ(served->calls[FS_SYNC], 1);
    CHECK(served->stores == 1 && served->stored_pages == 1);
    CHECK_OK(stat(file, &status));
    CHECK_EQ(served->nodes[status.st_ino - SERVED_ROOT].attributes.size, SIZE + 10);
    CHECK_OK(fsync(fd));
    CHECK_EQ(served->calls[FS_SETATTR], 1); /* nothing new */

    /* Written and closed: told before the node is dropped. */
    CHECK_EQ(pwrite(fd, "y", 1, SIZE + 19), 1);
    CHECK_OK(close(fd));
    for (int i = 0; i < 1000 && served->calls[FS_SETATTR] < 2; i++) {
        CHECK_OK(cache_drop()); /* not what is just being stored in the background */
        test_sleep_ms(1);
    }
    CHECK_EQ(served->calls[FS_SETATTR], 2);
    CHECK_EQ(served->stores, 2);
    CHECK_EQ(served->nodes[status.st_ino - SERVED_ROOT].attributes.size, SIZE + 20);
    fd = (int)CHECK_OK(open(file, O_RDWR));
    CHECK_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, SIZE + 20);
    CHECK_EQ(pread(fd, bytes, 10, 0), 10);
    CHECK(served->fills > fills); /* its pages were dropped with it */

    /* Removed while written to: nothing of it is stored any more. */
    CHECK_EQ(pwrite(fd, "z", 1, 0), 1);
    CHECK_OK(unlink(file));
    CHECK_OK(close(fd));
    CHECK_OK(cache_drop());
    CHECK_EQ(served->calls[FS_FORGET], 1);
    CHECK_EQ(served->stores, 2);
    served_end(served);
}

static void paged_and_mapped(void) {
    enum { SIZE = 4 * TEST_PAGE };
    struct served *served = paged_tree("served-mapped", SIZE);
    const char *file = served_path(served, "file");
    int fd = (int)CHECK_OK(open(file, O_RDWR));
    uint8_t *mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(mapped != MAP_FAILED);
    CHECK_OK(close(fd));
    check_content(mapped, SIZE, 0);
    mapped[0] = 'm';
    CHECK_OK(cache_drop());
    uint8_t byte = 0;
    fd = (int)CHECK_OK(open(file, O_RDONLY)); /* the same object as is mapped */
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'm');
    CHECK_OK(close(fd));
    CHECK_OK(unlink(file));
    CHECK_OK(cache_drop());
    CHECK_EQ(served->calls[FS_FORGET], 0); /* still mapped */
    check_content(mapped + TEST_PAGE, SIZE - TEST_PAGE, TEST_PAGE);
    CHECK_OK(munmap(mapped, SIZE));
    CHECK_OK(cache_drop());
    CHECK_EQ(served->calls[FS_FORGET], 1);
    CHECK_EQ(served->bad_forgets, 0);
    served_end(served);
}

/* --- Races -------------------------------------------------------------------------------------------------------- */

enum { RACERS = 4, RACE_ROUNDS = 150 };

struct racer {
    struct served *served;
    unsigned seed;
};

static bool allowed(int error) { return error == ENOENT || error == EEXIST || error == ENOTEMPTY || error == EISDIR; }

/* All of them at the same few names; each call succeeds or says why not. */
static void *race(void *argument) {
    struct racer *racer = argument;
    static const char *const names[] = {"a", "b", "dir/a", "dir/b"};
    char from[128], to[128];
    struct stat status;
    for (int i = 0; i < RACE_ROUNDS; i++) {
        unsigned random = (unsigned)rand_r(&racer->seed);
        snprintf(from, sizeof(from), "%s/%s", racer->served->path, names[random % 4]);
        snprintf(to, sizeof(to), "%s/%s", racer->served->path, names[random / 4 % 4]);
        int result = 0;
        switch (random / 16 % 6) {
        case 0:
            result = open(from, O_CREAT | O_RDWR, 0600);
            if (result >= 0) {
                CHECK_EQ(write(result, "r", 1), 1);
                CHECK_OK(close(result));
            }
            break;
        case 1:
            result = unlink(from);
            break;
        case 2:
            result = rename(from, to);
            break;
        case 3:
            result = link(from, to);
            break;
        case 4:
            result = stat(from, &status);
            break;
        default:
            result = mount_forget(racer->served->mount, SERVED_ROOT, random & 1 ? "a" : NULL);
            break;
        }
        if (result < 0 && !allowed(errno)) {
            test_fail(__FILE__, __LINE__, "%u on %s, %s: errno %d", random / 16 % 6, from, to, errno);
        }
    }
    return NULL;
}

static void races(void) {
    struct served *served = small_tree("served-races", LONG_MS);
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    static const char *const names[] = {"a", "b", "dir/a", "dir/b"};
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.served = served, .seed = 77 + (unsigned)i};
        CHECK_EQ(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    /* The cache says what the server says. */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct stat cached = {0}, asked = {0};
        int before = stat(served_path(served, names[i]), &cached);
        CHECK_OK(cache_drop());
        int after = stat(served_path(served, names[i]), &asked);
        CHECK(before == after && cached.st_ino == asked.st_ino && cached.st_nlink == asked.st_nlink);
        if (after == 0) {
            CHECK_OK(unlink(served_path(served, names[i])));
        }
    }
    CHECK_OK(cache_drop());
    CHECK_EQ(served->bad_forgets, 0);
    int left = 0;
    for (int i = 0; i < SERVED_NODES; i++) {
        left += served->nodes[i].attributes.node != 0;
    }
    CHECK_EQ(left, 5); /* the tree as it was: what was unlinked has been forgotten */
    served_end(served);
}

/* --- Listing ------------------------------------------------------------------------------------------------------ */

static unsigned count_entries(const char *path, bool *repeated) {
    static uint8_t seen[200000];
    struct dirent *entry;
    unsigned count = 0;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    memset(seen, 0, sizeof(seen));
    *repeated = false;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_ino >= SERVED_MANY_FIRST && entry->d_ino < SERVED_MANY_FIRST + sizeof(seen)) {
            *repeated |= seen[entry->d_ino - SERVED_MANY_FIRST]++ != 0;
        }
        count++;
    }
    CHECK_OK(closedir(directory));
    return count;
}

static void many_entries(void) {
    struct served *served = small_tree("served-many", LONG_MS);
    bool repeated;
    char name[32];
    struct stat status;
    served_add(served, SERVED_ROOT, "many", S_IFDIR | 0755, NULL);
    served->many = 100000;
    CHECK_EQ(count_entries(served->path, &repeated), 6); /* ".", "..", file, dir, link, many */
    CHECK_EQ(count_entries(served_path(served, "many"), &repeated), 100002);
    CHECK(!repeated);
    /* More names than the cache has room for, each found; then the first again. */
    unsigned room = (unsigned)(penumbra_memory().frames_total / 4);
    for (unsigned i = 0; i < room + 500; i++) {
        snprintf(name, sizeof(name), "many/f%06u", i);
        if (stat(served_path(served, name), &status) != 0 || status.st_ino != SERVED_MANY_FIRST + i) {
            test_fail(__FILE__, __LINE__, "%s is not there", name);
        }
    }
    CHECK_OK(stat(served_path(served, "many/f000000"), &status));
    struct mount_state state = {0};
    for (unsigned index = 0; mount_table(index, &state) == 0 && strcmp(state.path, served->path) != 0;) {
        index++;
    }
    CHECK(state.names <= room + 20 && state.misses > room + 500);
    served_end(served);
}

/* Reads on to the end in pieces that hold an entry or two; returns how many entries there were. */
static unsigned read_in_small_pieces(int fd) {
    char piece[64];
    long bytes;
    unsigned count = 0;
    while ((bytes = CHECK_OK(syscall(SYS_getdents64, fd, piece, sizeof(piece)))) > 0) {
        for (long at = 0; at < bytes; count++) {
            uint16_t length;
            memcpy(&length, piece + at + 16, sizeof(length));
            at += length;
        }
    }
    return count;
}

/* However small the pieces are, a list is a message for each answer, and one for the end where none has said so. */
static void listing_messages(void) {
    struct served *served = small_tree("served-listing", LONG_MS);
    for (unsigned tells_end = 0; tells_end < 2; tells_end++) {
        served->tells_end = tells_end;
        CHECK_OK(cache_drop()); /* what is kept of a list: tests/user/listings.c */
        const unsigned before = served->calls[FS_READDIR], each = tells_end ? 1 : 2;
        int fd = (int)CHECK_OK(open(served->path, O_RDONLY | O_DIRECTORY));
        CHECK_EQ(read_in_small_pieces(fd), 5 + tells_end);
        CHECK_EQ(served->calls[FS_READDIR], before + each);
        CHECK_EQ(read_in_small_pieces(fd), 0); /* the end is known */
        CHECK_EQ(served->calls[FS_READDIR], before + each);
        CHECK_OK(close(open(served_path(served, tells_end ? "new2" : "new1"), O_CREAT | O_WRONLY, 0600)));
        CHECK_OK(lseek(fd, 0, SEEK_SET)); /* from the beginning: what is there now */
        CHECK_EQ(read_in_small_pieces(fd), 6 + tells_end);
        CHECK_EQ(served->calls[FS_READDIR], before + 2 * each);
        CHECK_OK(close(fd));
    }
    served_end(served);
}

static void seek_in_directory(void) {
    struct served *served = small_tree("served-seek", LONG_MS);
    DIR *directory = opendir(served->path);
    char names[8][256];
    long positions[8];
    int count = 0;
    struct dirent *entry;
    CHECK(directory != NULL);
    for (positions[0] = telldir(directory); (entry = readdir(directory)) != NULL && count < 7;) {
        snprintf(names[count], sizeof(names[0]), "%s", entry->d_name);
        positions[++count] = telldir(directory);
    }
    CHECK_EQ(count, 5);
    for (int i = count - 1; i >= 0; i--) {
        seekdir(directory, positions[i]);
        entry = readdir(directory);
        CHECK(entry != NULL && strcmp(entry->d_name, names[i]) == 0);
    }
    CHECK_OK(closedir(directory));
    served_end(served);
}

/* --- Servers that misbehave --------------------------------------------------------------------------------------- */

static void lies(void) {
    struct served *served = small_tree("served-lies", LONG_MS);
    char target[64];
    struct stat status;
    bool repeated;
    for (unsigned lie = 1; lie < LIES; lie++) {
        CHECK_OK(mount_forget(served->mount, SERVED_ROOT, NULL));
        CHECK_OK(cache_drop());
        served->lie = lie;
        /* Whatever comes of it: an errno or a name; the kernel stays. */
        int found = stat(served_path(served, "dir/inner"), &status);
        CHECK(found == 0 || errno == EIO || errno == ENOTDIR);
        found = (int)readlink(served_path(served, "link"), target, sizeof(target));
        CHECK(found > 0 || errno == EIO || errno == EINVAL);
        found = open(served_path(served, "made"), O_CREAT | O_RDWR, 0600);
        CHECK(found >= 0 || errno == EIO || errno == EISDIR);
        if (found >= 0) {
            close(found);
        }
        unlink(served_path(served, "made"));
        int directory = open(served->path, O_RDONLY | O_DIRECTORY);
        if (directory >= 0) {
            char entries[4096];
            long got = syscall(SYS_getdents64, directory, entries, sizeof(entries));
            CHECK(got > 0 || errno == EIO);
            CHECK_OK(close(directory));
        }
        rename(served_path(served, "file"), served_path(served, "file2"));
        rename(served_path(served, "file2"), served_path(served, "file"));
        chmod(served_path(served, "file"), 0644);
        served->lie = LIE_NONE;
        CHECK_OK(mount_forget(served->mount, SERVED_ROOT, NULL));
        if (found < 0) {
            unlink(served_path(served, "made"));
        }
    }
    CHECK_OK(cache_drop());
    look_everywhere(served);
    CHECK_EQ(count_entries(served->path, &repeated), 5);
    served_end(served);
}

/* Each lie about a name is EIO for who asked, and nothing is kept of it. */
static void lies_are_errors(void) {
    struct served *served = small_tree("served-lie", LONG_MS);
    static const unsigned about_names[] = {LIE_SHORT_REPLY, LIE_LONG_REPLY, LIE_COUNT, LIE_NODE_ZERO,
                                           LIE_TYPE_NONE,   LIE_MODE_BITS,  LIE_SIZE,  LIE_NO_LINKS,
                                           LIE_ERRNO,       LIE_ROOT_BELOW};
    struct stat status;
    for (size_t i = 0; i < sizeof(about_names) / sizeof(about_names[0]); i++) {
        served->lie = about_names[i];
        CHECK_ERRNO(stat(served_path(served, "dir"), &status), EIO);
        served->lie = LIE_NONE;
        CHECK_OK(stat(served_path(served, "dir"), &status));
        CHECK_OK(cache_drop());
    }
    served_end(served);
}

static void too_slow(void) {
    struct served *served = small_tree("served-slow", SHORT_MS);
    struct stat status;
    CHECK_OK(stat(served_path(served, "dir"), &status));
    served->hold = FS_LOOKUP;
    CHECK_ERRNO(stat(served_path(served, "file"), &status), EIO);
    CHECK_OK(stat(served_path(served, "dir"), &status)); /* what is known does not need it */
    served->hold = 0;
    CHECK_OK(stat(served_path(served, "file"), &status));
    served_end(served);
}

/* Starts change(path) in a child and kills it when the server has done the change and not answered yet. */
static pid_t kill_in_change(struct served *served, enum fs_op op, void (*change)(const char *path), const char *path) {
    served->held = 0;
    served->hold = op;
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        change(path);
        _exit(0);
    }
    while (!served->held) {
        test_sleep_ms(1);
    }
    CHECK_OK(kill(child, SIGKILL));
    return child;
}

static void make(const char *path) { CHECK_OK(mkdir(path, 0700)); }
static void remove_directory(const char *path) { CHECK_OK(rmdir(path)); }

/* Who is killed while his change is on the way is gone when the change is known. */
static void killed_while_changing(void) {
    struct served *served = small_tree("served-killed", LONG_MS);
    const char *path = served_path(served, "new");
    for (int i = 0; i < 3; i++) {
        CHECK(!exists(path)); /* and this is cached */
        pid_t child = kill_in_change(served, FS_CREATE, make, path);
        test_sleep_ms(20);
        CHECK_EQ(waitpid(child, NULL, WNOHANG), 0); /* it waits for the server */
        served->hold = 0;
        CHECK_EQ(WTERMSIG(test_wait(child)), SIGKILL);
        CHECK(exists(path));
        child = kill_in_change(served, FS_RMDIR, remove_directory, path);
        served->hold = 0;
        CHECK_EQ(WTERMSIG(test_wait(child)), SIGKILL);
        CHECK(!exists(path));
    }
    served_end(served);
}

/* … and the server, too: what became of the change only the next one knows. */
static void both_killed_while_changing(void) {
    struct served *served = small_tree("served-both-killed", LONG_MS);
    const char *path = served_path(served, "new");
    CHECK(!exists(path));
    pid_t child = kill_in_change(served, FS_CREATE, make, path);
    CHECK_OK(kill(served->pid, SIGKILL));
    CHECK_EQ(WTERMSIG(test_wait(child)), SIGKILL);
    served->hold = 0;
    CHECK_EQ(WTERMSIG(test_wait(served->pid)), SIGKILL);
    served_restart(served);
    CHECK(exists(path));
    served_end(served);
}

/* The server dies at each operation, before or after it has done it; a new one answers instead. */
static void dies_and_comes_back(void) {
    struct served *served = small_tree("served-dies", LONG_MS);
    struct stat status;
    for (unsigned op = FS_LOOKUP; op <= FS_STATFS; op++) {
        for (int after = 0; after < 2; after++) {
            int fd = (int)CHECK_OK(open(served_path(served, "kept"), O_CREAT | O_RDWR, 0600));
            CHECK_OK(close(fd));
            CHECK_OK(cache_drop());
            *(after ? &served->die_after : &served->die_before) = op;
            pid_t worker = (pid_t)CHECK_OK(fork());
            if (worker == 0) {
                struct statfs space;
                char target[64];
                CHECK_OK(stat(served_path(served, "file"), &status));
                CHECK_OK(chmod(served_path(served, "file"), 0600));
                CHECK_EQ(readlink(served_path(served, "link"), target, sizeof(target)), 9);
                CHECK_OK(mkdir(served_path(served, "d"), 0755));
                CHECK_OK(link(served_path(served, "kept"), served_path(served, "d/l")));
                CHECK_OK(rename(served_path(served, "d/l"), served_path(served, "m")));
                CHECK_OK(unlink(served_path(served, "m")));
                CHECK_OK(rmdir(served_path(served, "d")));
                CHECK_OK(unlink(served_path(served, "kept")));
                CHECK_OK(statfs(served->path, &space));
                int directory = (int)CHECK_OK(open(served->path, O_RDONLY | O_DIRECTORY));
                char entries[4096];
                CHECK(syscall(SYS_getdents64, directory, entries, sizeof(entries)) > 0);
                CHECK_OK(fstat(directory, &status));
                _exit(0);
            }
            /* FS_SYNC is not asked of a memory file system; what is left of FS_FORGET may come after the worker. */
            int ended;
            bool dies = op != FS_SYNC;
            if (dies) {
                CHECK_EQ(waitpid(served->pid, &ended, 0), served->pid);
                served_restart(served);
            }
            CHECK_EXITED(test_wait(worker));
            served->die_before = served->die_after = 0;
            CHECK(!exists(served_path(served, "kept")));
        }
    }
    CHECK_OK(cache_drop());
    CHECK_EQ(served->bad_forgets, 0);
    served_end(served);
}

static void stays_dead(void) {
    struct served *served = small_tree("served-dead", SHORT_MS);
    struct stat status;
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_OK(kill(served->pid, SIGKILL));
    CHECK_SIGNALED(test_wait(served->pid), SIGKILL);
    CHECK_OK(stat(served_path(served, "file"), &status));
    CHECK_ERRNO(stat(served_path(served, "dir"), &status), EIO);
    CHECK_ERRNO(mkdir(served_path(served, "new"), 0700), EIO);
    served_restart(served);
    CHECK_OK(stat(served_path(served, "dir"), &status));
    served_end(served);
}

/* --- Taking it out ------------------------------------------------------------------------------------------------ */

static void in_use(void) {
    struct served *served = small_tree("served-busy", LONG_MS);
    look_everywhere(served);
    int fd = (int)CHECK_OK(open(served_path(served, "dir/inner"), O_RDWR));
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_ERRNO(mount_forget(served->mount, 0, NULL), EBUSY);
    CHECK_OK(close(fd));
    CHECK_OK(unlink(served_path(served, "dir/inner")));
    CHECK_OK(mount_forget(served->mount, 0, NULL));
    CHECK_OK(chdir(served_path(served, "dir")));
    CHECK_ERRNO(mount_forget(served->mount, 0, NULL), EBUSY);
    CHECK_OK(chdir("/"));
    CHECK_OK(mount_forget(served->mount, 0, NULL));
    served_end(served);
}

/* Taken out all the same: what is open says EIO. */
static void taken_out_in_use(void) {
    struct served *served = small_tree("served-gone", LONG_MS);
    char text[8] = "";
    struct stat status;
    int fd = (int)CHECK_OK(open(served_path(served, "file"), O_RDWR));
    CHECK_EQ(write(fd, "still", 5), 5);
    int directory = (int)CHECK_OK(open(served_path(served, "dir"), O_RDONLY | O_DIRECTORY));
    CHECK_OK(fchdir(directory));
    served_end(served);
    CHECK_EQ(pread(fd, text, 5, 0), 5);
    CHECK(strcmp(text, "still") == 0);
    CHECK_ERRNO(fstatat(directory, "inner", &status, 0), EIO);
    CHECK_ERRNO(mkdir("below", 0700), EIO);
    CHECK_OK(chdir("/"));
    CHECK_OK(close(directory));
    CHECK_OK(close(fd));
}

static void bad_mounts(void) {
    struct served *served = small_tree("served-bad", LONG_MS);
    struct mount_options options = {.root = SERVED_ROOT, .flags = MOUNT_MEMORY};
    int endpoint = (int)CHECK_OK(endpoint_create());
    CHECK_ERRNO(mount_server(TEST_AUTHORITY, "/tmp/no-such", endpoint, &options), ENOENT);
    CHECK_ERRNO(mount_server(TEST_AUTHORITY, "/dev/null", endpoint, &options), ENOTDIR);
    CHECK_ERRNO(mount_server(TEST_AUTHORITY, "/tmp", 0, &options), EINVAL);
    CHECK_ERRNO(mount_server(TEST_AUTHORITY, "/tmp", endpoint, NULL), EFAULT);
    CHECK_ERRNO(mount_server(endpoint, "/tmp", endpoint, &options), EINVAL);
    int weak = (int)CHECK_OK(handle_mint(TEST_AUTHORITY, RIGHT_DEVICES, 0));
    CHECK_ERRNO(mount_server(weak, "/tmp", endpoint, &options), EPERM);
    options.root = 0;
    CHECK_ERRNO(mount_server(TEST_AUTHORITY, "/tmp", endpoint, &options), EINVAL);
    options.root = SERVED_ROOT;
    options.flags = 0x1000;
    CHECK_ERRNO(mount_server(TEST_AUTHORITY, "/tmp", endpoint, &options), EINVAL);
    CHECK_OK(close(endpoint));
    CHECK_OK(close(weak));
    served_end(served);
}

/* What the kernel itself has, seen in the root of whatever is mounted there. */
static void kernels_own(void) {
    struct stat status, root;
    bool repeated;
    char place[64];
    test_needs_penumbra();
    CHECK_ERRNO(mkdir("/dev/new", 0700), EROFS);
    CHECK_ERRNO(open("/proc/new", O_CREAT | O_WRONLY, 0600), EROFS);
    CHECK_ERRNO(unlink("/dev/null"), EROFS);
    CHECK_ERRNO(symlink("x", "/proc/self/x"), EROFS);
    CHECK_ERRNO(rename("/dev/null", "/dev/zero"), EROFS);
    CHECK_ERRNO(rename("/dev/null", "/tmp/null"), EXDEV);
    CHECK_ERRNO(rmdir("/dev"), EBUSY);
    CHECK_ERRNO(mkdir("/dev", 0700), EEXIST);
    CHECK_OK(stat("/", &root));
    CHECK_OK(stat("/dev/..", &status));
    CHECK(status.st_ino == root.st_ino && status.st_dev == root.st_dev);
    CHECK_OK(stat("/dev/../tmp/../proc/self/../../tests", &status));
    char own[32];
    snprintf(own, sizeof(own), "/proc/%d", (int)getpid());
    CHECK_OK(chdir("/proc/self"));
    CHECK(getcwd(place, sizeof(place)) != NULL && strcmp(place, own) == 0);
    CHECK_OK(chdir("../.."));
    CHECK(getcwd(place, sizeof(place)) != NULL && strcmp(place, "/") == 0);
    CHECK(count_entries("/", &repeated) >= 8); /* . .. dev proc sys bin sbin tests tmp */
}

static void read_only(void) {
    struct served *served = served_create();
    struct stat status;
    served_add(served, SERVED_ROOT, "file", S_IFREG | 0666, NULL);
    served_mount(served, "served-read-only", MOUNT_MEMORY | MOUNT_READ_ONLY, LONG_MS);
    const char *file = served_path(served, "file");
    CHECK_ERRNO(open(file, O_WRONLY), EROFS);
    CHECK_ERRNO(open(served_path(served, "new"), O_WRONLY | O_CREAT, 0600), EROFS);
    CHECK_ERRNO(mkdir(served_path(served, "new"), 0700), EROFS);
    CHECK_ERRNO(unlink(file), EROFS);
    CHECK_ERRNO(rename(file, served_path(served, "new")), EROFS);
    CHECK_ERRNO(chmod(file, 0600), EROFS);
    CHECK_ERRNO(truncate(file, 0), EROFS);
    CHECK_ERRNO(access(file, W_OK), EROFS);
    CHECK_OK(stat(file, &status));
    CHECK_OK(close((int)CHECK_OK(open(file, O_RDONLY))));
    served_end(served);
}

/* Appends pages until there is an error; returns how many went. */
static unsigned fill_file(int fd) {
    static char page[TEST_PAGE];
    unsigned pages = 0;
    ssize_t written;
    CHECK_OK(lseek(fd, 0, SEEK_END));
    while ((written = write(fd, page, sizeof(page))) == (ssize_t)sizeof(page)) {
        pages++;
    }
    CHECK_EQ(written, -1);
    CHECK_EQ(errno, ENOSPC);
    return pages;
}

/* A disk that is full says so when it is written to, though the pages would be stored much later. */
static void full_disk(void) {
    static char pages[64 * TEST_PAGE];
    struct served *served = paged_tree("served-full", TEST_PAGE);
    served->room = 300;
    int fd = (int)CHECK_OK(open(served_path(served, "full"), O_RDWR | O_CREAT, 0600));
    unsigned filled = fill_file(fd);
    CHECK(filled > 250 && filled < 300); /* some are for the file system itself */
    CHECK(served->calls[FS_STATFS] < 30);
    CHECK_EQ(served->stored_pages, filled); /* before it was said that there is no room */
    served->room += 64;                     /* for it takes room for what is stored again, too */
    CHECK_EQ(pwrite(fd, pages, sizeof(pages), 0), sizeof(pages));
    CHECK_OK(fsync(fd));
    CHECK_EQ(served->stored_pages, filled + 64);
    CHECK_EQ(fill_file(fd), 0);
    CHECK_ERRNO(write(fd, pages, 1), ENOSPC);
    int other = (int)CHECK_OK(open(served_path(served, "other"), O_RDWR | O_CREAT, 0600));
    CHECK_ERRNO(write(other, pages, 1), ENOSPC);
    served->room += 100; /* somebody has removed something */
    CHECK_EQ(write(other, pages, 10), 10);
    CHECK_EQ(write(other, pages, TEST_PAGE - 10), TEST_PAGE - 10);
    filled = fill_file(fd);
    CHECK_EQ(filled, 99);
    served->room += 40;
    ssize_t part = pwrite(other, pages, sizeof(pages), TEST_PAGE);
    CHECK(part >= 20 * TEST_PAGE && part < 50 * TEST_PAGE && part % TEST_PAGE == 0); /* as much as fits */
    CHECK_OK(ftruncate(fd, 1 << 30));                                                /* a hole needs none */
    CHECK_OK(close(other));
    CHECK_OK(close(fd));
    served_end(served);
}

static const struct test_case cases[] = {
    {"cached", cached},
    {"no-exits", no_exits},
    {"mount-table", mount_table_tells},
    {"not-to-be-cached", not_to_be_cached},
    {"taken-back", taken_back},
    {"taken-back-in-flight", taken_back_in_flight},
    {"dropped", dropped},
    {"changes", changes},
    {"directories", directories},
    {"links-across", links_across},
    {"attributes", attributes},
    {"memory-stays", memory_stays},
    {"adopts", adopts},
    {"paged", paged},
    {"paged-and-mapped", paged_and_mapped},
    {"races", races},
    {"many-entries", many_entries},
    {"seek-in-directory", seek_in_directory},
    {"listing-messages", listing_messages},
    {"lies", lies},
    {"lies-are-errors", lies_are_errors},
    {"too-slow", too_slow},
    {"killed-while-changing", killed_while_changing},
    {"both-killed-while-changing", both_killed_while_changing},
    {"dies-and-comes-back", dies_and_comes_back},
    {"stays-dead", stays_dead},
    {"in-use", in_use},
    {"taken-out-in-use", taken_out_in_use},
    {"bad-mounts", bad_mounts},
    {"read-only", read_only},
    {"kernels-own", kernels_own},
    {"full-disk", full_disk},
};

TEST_MAIN(cases)
