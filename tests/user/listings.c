/*
 * Listing directories: what is kept of lists, what makes it go, and that a list is right whatever happens meanwhile.
 * The first cases count messages at a file server of the test's own (tests/user/lib/file_server.h); the others hold on
 * Linux as well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/user/lib/file_server.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { LONG_MS = 20000, NAMES = 400 };

/* How often each of the names n000… is in a directory; `others` counts what else there is. */
struct list {
    unsigned seen[NAMES], others;
};

static void note(struct list *list, const char *name) {
    unsigned number;
    char rest;
    if (sscanf(name, "n%3u%c", &number, &rest) == 1 && number < NAMES) {
        list->seen[number]++;
    } else {
        list->others++;
    }
}

static struct list read_list(const char *path) {
    struct list list = {0};
    struct dirent *entry;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        note(&list, entry->d_name);
    }
    CHECK_OK(closedir(directory));
    return list;
}

/* --- Messages ----------------------------------------------------------------------------------------------------- */

static struct served *listed_tree(const char *name, uint64_t *directory) {
    struct served *served = served_create();
    *directory = served_add(served, SERVED_ROOT, "dir", S_IFDIR | 0755, NULL);
    served_add(served, *directory, "n000", S_IFREG | 0644, NULL);
    served_add(served, *directory, "n001", S_IFREG | 0644, NULL);
    served->tells_end = 1;
    served_mount(served, name, MOUNT_MEMORY, LONG_MS);
    return served;
}

/* Lists, and checks what of n000… is there ("01": the first two) and whether the server was asked. */
static void check_list(struct served *served, const char *names, unsigned messages) {
    const unsigned before = served->calls[FS_READDIR];
    struct list list = read_list(served_path(served, "dir"));
    for (unsigned i = 0; i < 10; i++) {
        CHECK_EQ(list.seen[i], strchr(names, (int)('0' + i)) != NULL);
    }
    CHECK_EQ(list.others, 2);
    CHECK_EQ(served->calls[FS_READDIR] - before, messages);
}

/* A list that was had once is had again without a message, until a name comes or goes. */
static void kept(void) {
    uint64_t directory;
    struct served *served = listed_tree("listed-kept", &directory);
    check_list(served, "01", 1);
    struct asi_counters before = penumbra_counters(0);
    check_list(served, "01", 0);
    struct asi_counters after = penumbra_counters(0);
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
    }
    CHECK_OK(close(open(served_path(served, "dir/n002"), O_CREAT | O_WRONLY, 0600)));
    check_list(served, "012", 1);
    check_list(served, "012", 0);
    CHECK_OK(unlink(served_path(served, "dir/n000")));
    check_list(served, "12", 1);
    CHECK_OK(rename(served_path(served, "dir/n001"), served_path(served, "dir/n003")));
    check_list(served, "23", 1);
    CHECK_OK(mkdir(served_path(served, "dir/n004"), 0700));
    check_list(served, "234", 1);
    CHECK_OK(rename(served_path(served, "dir/n004"), served_path(served, "n005")));
    check_list(served, "23", 1);
    CHECK_OK(link(served_path(served, "dir/n002"), served_path(served, "dir/n006")));
    check_list(served, "236", 1);
    CHECK_OK(symlink("nowhere", served_path(served, "dir/n007")));
    check_list(served, "2367", 1);
    CHECK_ERRNO(mkdir(served_path(served, "dir/n002"), 0700), EEXIST); /* nothing has changed */
    struct stat status;
    CHECK_OK(chmod(served_path(served, "dir/n002"), 0640));
    CHECK_OK(stat(served_path(served, "dir/n002"), &status));
    CHECK_EQ(stat(served_path(served, "dir/absent"), &status), -1);
    check_list(served, "2367", 0);
    CHECK_OK(cache_drop());
    check_list(served, "2367", 1);
    served_end(served);
}

/* What the server does not let be kept is asked for each time; what it takes back, once more. */
static void taken_back(void) {
    uint64_t directory;
    struct served *served = listed_tree("listed-revoked", &directory);
    check_list(served, "01", 1);
    served_add(served, directory, "n005", S_IFREG | 0644, NULL);
    check_list(served, "01", 0); /* it has not said so */
    CHECK_OK(mount_forget(served->mount, directory, "n005"));
    check_list(served, "015", 1);
    served_add(served, directory, "n006", S_IFREG | 0644, NULL);
    CHECK_OK(mount_forget(served->mount, directory, NULL));
    check_list(served, "0156", 1);
    check_list(served, "0156", 0);
    served->no_cache = 1;
    CHECK_OK(mount_forget(served->mount, directory, NULL));
    check_list(served, "0156", 1);
    check_list(served, "0156", 1);
    served_end(served);
}

static void *list_slowly(void *path) {
    struct list list = read_list(path);
    CHECK_EQ(list.seen[0] + list.seen[1], 2);
    return NULL;
}

/* An answer that is on its way when a name is taken back is used, and not kept. */
static void taken_back_in_flight(void) {
    uint64_t directory;
    struct served *served = listed_tree("listed-in-flight", &directory);
    char path[128];
    pthread_t thread;
    snprintf(path, sizeof(path), "%s", served_path(served, "dir"));
    served->hold = FS_READDIR;
    CHECK_EQ(pthread_create(&thread, NULL, list_slowly, path), 0);
    while (!served->held) {
        test_sleep_ms(1);
    }
    CHECK_OK(mount_forget(served->mount, directory, "n000"));
    served->hold = 0;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    check_list(served, "01", 1);
    check_list(served, "01", 0);
    served_end(served);
}

static unsigned count_names(const char *path) {
    unsigned count = 0;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) {
        count++;
    }
    CHECK_OK(closedir(directory));
    return count;
}

/* A long list in many pieces is kept, too, but for one that is too long; others give way to what is listed now. */
static void limited(void) {
    enum { SOME = 2000, TOO_MANY = 100000 };
    struct served *served = served_create();
    served_add(served, SERVED_ROOT, "many", S_IFDIR | 0755, NULL);
    served->tells_end = 1;
    served->many = SOME;
    served_mount(served, "listed-many", MOUNT_MEMORY, LONG_MS);
    const char *many = served_path(served, "many");
    CHECK_EQ(count_names(many), SOME + 2);
    unsigned messages = served->calls[FS_READDIR];
    CHECK(messages > 3);
    CHECK_EQ(count_names(many), SOME + 2);
    CHECK_EQ(served->calls[FS_READDIR], messages);
    served->many = TOO_MANY;
    CHECK_OK(cache_drop());
    struct asi_memory before = penumbra_memory();
    CHECK_EQ(count_names(many), TOO_MANY + 2);
    struct asi_memory after = penumbra_memory();
    CHECK(after.frames_global < before.frames_global + before.frames_total / 64 + 64);
    CHECK_EQ(count_names(many), TOO_MANY + 2);
    served_end(served);
}

/* --- On any system ------------------------------------------------------------------------------------------------ */

static const char *in(const char *directory, unsigned number) {
    static char path[160];
    snprintf(path, sizeof(path), "%s/n%03u", directory, number);
    return path;
}

static const char *make_full(const char *name) {
    const char *path = test_path(name);
    CHECK_OK(mkdir(path, 0755));
    for (unsigned i = 0; i < NAMES; i++) {
        CHECK_OK(close(open(in(path, i), O_CREAT | O_WRONLY, 0600)));
    }
    return path;
}

static void remove_full(const char *path) {
    for (unsigned i = 0; i < NAMES; i++) {
        unlink(in(path, i));
    }
    CHECK_OK(rmdir(path));
}

/* What stays is listed once, whatever comes and goes while the list is read; what has gone before, not at all. */
static void changed_meanwhile(void) {
    const char *path = make_full("listed-changed");
    struct list list = {0};
    struct dirent *entry;
    for (unsigned round = 0; round < 2; round++) { /* the second one with what the first left in a cache */
        memset(&list, 0, sizeof(list));
        DIR *directory = opendir(path);
        CHECK(directory != NULL);
        for (unsigned i = 0; i < 50 && (entry = readdir(directory)) != NULL; i++) {
            note(&list, entry->d_name);
        }
        for (unsigned i = round; i < NAMES; i += 8) {
            CHECK_OK(unlink(in(path, i)));
        }
        while ((entry = readdir(directory)) != NULL) {
            note(&list, entry->d_name);
        }
        for (unsigned i = 0; i < NAMES; i++) {
            if (i % 8 > round) {
                CHECK_EQ(list.seen[i], 1);
            } else {
                CHECK(list.seen[i] <= 1);
            }
        }
        CHECK_OK(closedir(directory));
        list = read_list(path);
        for (unsigned i = 0; i < NAMES; i++) {
            CHECK_EQ(list.seen[i], i % 8 > round);
        }
    }
    remove_full(path);
}

static void positions(void) {
    const char *path = make_full("listed-positions");
    static long places[NAMES + 2];
    static char names[NAMES + 2][256];
    struct dirent *entry;
    int count = 0;
    CHECK_EQ(read_list(path).others, 2); /* all of it is known */
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    for (places[0] = telldir(directory); (entry = readdir(directory)) != NULL; count++) {
        snprintf(names[count], sizeof(names[0]), "%s", entry->d_name);
        if (count + 1 < NAMES + 2) {
            places[count + 1] = telldir(directory);
        }
    }
    CHECK_EQ(count, NAMES + 2);
    for (int i = count - 1; i >= 0; i -= 7) {
        seekdir(directory, places[i]);
        entry = readdir(directory);
        CHECK(entry != NULL && strcmp(entry->d_name, names[i]) == 0);
    }
    rewinddir(directory);
    entry = readdir(directory);
    CHECK(entry != NULL && strcmp(entry->d_name, names[0]) == 0);
    CHECK_OK(closedir(directory));
    remove_full(path);
}

/* More than one answer of a file server holds. */
static void long_names(void) {
    enum { COUNT = 500 };
    static bool seen[COUNT];
    char name[256];
    struct dirent *entry;
    const char *path = test_path("listed-long");
    unsigned number, count = 0;
    CHECK_OK(mkdir(path, 0755));
    for (number = 0; number < COUNT; number++) {
        snprintf(name, sizeof(name), "%s/%0200u", path, number);
        CHECK_OK(close((int)CHECK_OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0600))));
    }
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        number = (unsigned)strtoul(entry->d_name, NULL, 10);
        CHECK(number < COUNT);
        CHECK(!seen[number % COUNT]);
        seen[number % COUNT] = true;
        count++;
    }
    CHECK_EQ(count, COUNT);
    CHECK_OK(closedir(directory));
    for (number = 0; number < COUNT; number++) {
        snprintf(name, sizeof(name), "%s/%0200u", path, number);
        CHECK_OK(unlink(name));
    }
    CHECK_OK(rmdir(path));
}

static const char *shared_directory;
static volatile bool stop;

/* Names with odd numbers come and go. */
static void *change_names(void *unused) {
    (void)unused;
    for (unsigned i = 1; !stop; i = (i + 2) % NAMES) {
        CHECK_OK(unlink(in(shared_directory, i)));
        CHECK_OK(close(open(in(shared_directory, i), O_CREAT | O_WRONLY, 0600)));
    }
    return NULL;
}

static void *read_names(void *unused) {
    (void)unused;
    for (unsigned round = 0; round < 60; round++) {
        struct list list = read_list(shared_directory);
        for (unsigned i = 0; i < NAMES; i++) {
            CHECK(i % 2 == 0 ? list.seen[i] == 1 : list.seen[i] <= 1);
        }
    }
    return NULL;
}

static void races(void) {
    pthread_t changer, readers[2];
    shared_directory = make_full("listed-races");
    stop = false;
    CHECK_EQ(pthread_create(&changer, NULL, change_names, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&readers[i], NULL, read_names, NULL), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(readers[i], NULL), 0);
    }
    stop = true;
    CHECK_EQ(pthread_join(changer, NULL), 0);
    struct list list = read_list(shared_directory);
    for (unsigned i = 0; i < NAMES; i++) {
        CHECK_EQ(list.seen[i], 1);
    }
    remove_full(shared_directory);
}

static const struct test_case cases[] = {
    {"kept", kept},
    {"taken-back", taken_back},
    {"taken-back-in-flight", taken_back_in_flight},
    {"limited", limited},
    {"changed-meanwhile", changed_meanwhile},
    {"positions", positions},
    {"long-names", long_names},
    {"races", races},
};
TEST_MAIN(cases)
