/*
 * asibench rows on files: pread and pwrite at random in one big file, warm and cold, open+close and stat of a small
 * one, and of names that the kernel has to ask a file server for.
 *
 * The files live in /tmp, or where --files= says, are made by whichever mode comes first, are shared by all modes and
 * go at the end.
 */
#include "user/lib/bench.h"
#include "user/lib/native.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { EXT4_MAGIC = 0xef53, MEBIBYTE = 1 << 20, BIG_FILE_BYTES = 64 * MEBIBYTE, SMALLEST_BIG_FILE = 4 * MEBIBYTE };

static char small_file_name[96] = "/tmp/asibench.small", many_files_name[96] = "/tmp/asibench.many";
static char big_file_name[96] = "/tmp/asibench.big";
static uint64_t big_file_wanted = BIG_FILE_BYTES;
static int big_file = -1;
static uint64_t big_file_bytes;
static bool big_file_warm;
static char *buffer; /* what is read into or written from; mapped while a row that needs it runs */
static uint64_t random_state = 0x9e3779b97f4a7c15;

uint64_t bench_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

int bench_big_file(void) { return big_file; }

uint64_t bench_big_file_bytes(void) { return big_file_bytes; }

/* Writes until the file has its size or the file system is full; then half of what fitted is given back to the other
 * rows. */
static int fill_big_file(int file, uint64_t *size) {
    static char chunk[16 * BENCH_PAGE];
    memset(chunk, 0x5a, sizeof chunk);
    uint64_t done = 0;
    while (done < big_file_wanted) {
        ssize_t written = pwrite(file, chunk, sizeof chunk, (off_t)done);
        if (written <= 0) {
            break;
        }
        done += (uint64_t)written;
    }
    if (done < big_file_wanted) {
        done = done / 2 / MEBIBYTE * MEBIBYTE;
        if (ftruncate(file, (off_t)done) < 0) {
            return -1;
        }
    }
    *size = done;
    return 0;
}

void bench_big_file_choose(unsigned number, uint64_t bytes) {
    snprintf(big_file_name, sizeof big_file_name, "/tmp/asibench.big.%u", number);
    big_file_wanted = bytes;
}

void bench_files_in(const char *directory) {
    snprintf(big_file_name, sizeof big_file_name, "%s/asibench.big", directory);
    snprintf(small_file_name, sizeof small_file_name, "%s/asibench.small", directory);
    snprintf(many_files_name, sizeof many_files_name, "%s/asibench.many", directory);
}

bool bench_files_on_disk(void) {
    struct statfs info;
    char directory[sizeof big_file_name];
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(big_file_name, '/') - big_file_name), big_file_name);
    return statfs(directory, &info) == 0 && info.f_type == EXT4_MAGIC;
}

int bench_big_file_open(void) {
    struct stat info;
    if (big_file >= 0) {
        return 0;
    }
    int file = open(big_file_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) {
        return -1;
    }
    if (fstat(file, &info) < 0) {
        goto failed;
    }
    uint64_t size = (uint64_t)info.st_size;
    if (size != big_file_bytes && size != big_file_wanted) {
        size = 0;
    }
    if (size == 0 && fill_big_file(file, &size) < 0) {
        goto failed;
    }
    if (size < SMALLEST_BIG_FILE) {
        errno = ENOSPC;
        goto failed;
    }
    big_file = file;
    big_file_bytes = size;
    big_file_warm = false;
    return 0;

failed:;
    int reason = errno;
    close(file);
    errno = reason;
    return -1;
}

int bench_big_file_warm(void) {
    uint64_t word;
    for (uint64_t offset = 0; !big_file_warm && offset < big_file_bytes; offset += BENCH_PAGE) {
        if (pread(big_file, &word, sizeof word, (off_t)offset) != (ssize_t)sizeof word) {
            return -1;
        }
    }
    big_file_warm = true;
    return 0;
}

void bench_big_file_close(void) {
    if (big_file >= 0) {
        close(big_file);
        big_file = -1;
    }
}

void bench_remove_files(void) {
    bench_big_file_close();
    unlink(big_file_name);
    unlink(small_file_name);
}

static int map_buffer(void) {
    char *mapped = mmap(NULL, MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return -1;
    }
    buffer = mapped;
    memset(buffer, 0x5a, MEBIBYTE);
    return 0;
}

static int data_setup(void) {
    return bench_big_file_open() < 0 || bench_big_file_warm() < 0 || map_buffer() < 0 ? -1 : 0;
}

static void data_teardown(void) {
    if (buffer != NULL) {
        munmap(buffer, MEBIBYTE);
        buffer = NULL;
    }
}

/* A transfer that comes short is an error: the figure would be of something else. */
static int transferred(ssize_t result, size_t size) {
    if (result >= 0 && (size_t)result != size) {
        errno = EIO;
    }
    return result == (ssize_t)size ? 0 : -1;
}

static inline int read_at_random(unsigned count, size_t size) {
    uint64_t slots = big_file_bytes / size;
    for (unsigned i = 0; i < count; i++) {
        if (transferred(pread(big_file, buffer, size, (off_t)(bench_random() % slots * size)), size) < 0) {
            return -1;
        }
    }
    return 0;
}

static int pread4k_run(unsigned count) { return read_at_random(count, BENCH_PAGE); }

static int pread64_run(unsigned count) { return read_at_random(count, 64); }

static int pread64k_run(unsigned count) { return read_at_random(count, 65536); }

static int pread1m_run(unsigned count) { return read_at_random(count, MEBIBYTE); }

static int pwrite4k_run(unsigned count) {
    uint64_t slots = big_file_bytes / BENCH_PAGE;
    for (unsigned i = 0; i < count; i++) {
        off_t offset = (off_t)(bench_random() % slots * BENCH_PAGE);
        if (transferred(pwrite(big_file, buffer, BENCH_PAGE, offset), BENCH_PAGE) < 0) {
            return -1;
        }
    }
    return 0;
}

/* --- Cold, on a disk: the kernel has forgotten the file's pages before each sample -------------------------------- */

static uint64_t next_cold_page; /* each sample reads on where the one before it ended */

static int cold_setup(void) { return bench_big_file_open() < 0 || map_buffer() < 0 ? -1 : 0; }

static int cold_prepare(unsigned count) {
    (void)count;
    big_file_warm = false;
    return fsync(big_file) < 0 ? -1 : (cache_drop(), 0); /* on Linux, and for others than the superuser, nothing is */
}

static int coldnext_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        off_t offset = (off_t)(next_cold_page++ * BENCH_PAGE % big_file_bytes);
        if (transferred(pread(big_file, buffer, BENCH_PAGE, offset), BENCH_PAGE) < 0) {
            return -1;
        }
    }
    return 0;
}

static int coldrandom_run(unsigned count) { return read_at_random(count, BENCH_PAGE); }

static int fsync_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (pwrite4k_run(1) < 0 || fsync(big_file) < 0) {
            return -1;
        }
    }
    return 0;
}

#define COLD_ROW(name, words, repetitions)                                                                             \
    const struct bench_row bench_##name = {                                                                            \
        .slug = #name,                                                                                                 \
        .title = words,                                                                                                \
        .count = repetitions,                                                                                          \
        .uses_file = true,                                                                                             \
        .needs_disk = true,                                                                                            \
        .trust = BENCH_SOME_FRIENDS, /* the file server and the driver */                                              \
        .setup = cold_setup,                                                                                           \
        .prepare = cold_prepare,                                                                                       \
        .run = name##_run,                                                                                             \
        .teardown = data_teardown,                                                                                     \
    }

COLD_ROW(coldnext, "read 4K, cold, next", 256);
COLD_ROW(coldrandom, "read 4K, cold, random", 32);
COLD_ROW(fsync, "pwrite 4K + fsync", 8);

/* --- Names -------------------------------------------------------------------------------------------------------- */

static int small_setup(void) {
    int file = open(small_file_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) {
        return -1;
    }
    int result = transferred(pwrite(file, "asibench", 8, 0), 8);
    close(file);
    return result;
}

static int openclose_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        int file = open(small_file_name, O_RDONLY);
        if (file < 0 || close(file) < 0) {
            return -1;
        }
    }
    return 0;
}

static int stat_run(unsigned count) {
    struct stat info;
    for (unsigned i = 0; i < count; i++) {
        if (stat(small_file_name, &info) < 0) {
            return -1;
        }
    }
    return 0;
}

#define DATA_ROW(name, words, repetitions)                                                                             \
    const struct bench_row bench_##name = {                                                                            \
        .slug = #name,                                                                                                 \
        .title = words,                                                                                                \
        .count = repetitions,                                                                                          \
        .uses_file = true,                                                                                             \
        .setup = data_setup,                                                                                           \
        .run = name##_run,                                                                                             \
        .teardown = data_teardown,                                                                                     \
    }

DATA_ROW(pread4k, "pread 4K, random", 1000);
DATA_ROW(pread64, "pread 64 B, random", 1500);
DATA_ROW(pread64k, "pread 64K, random", 60);
DATA_ROW(pread1m, "pread 1M, random", 4);
DATA_ROW(pwrite4k, "pwrite 4K, random", 1000);

const struct bench_row bench_openclose = {
    .slug = "openclose", .title = "open + close", .count = 800, .setup = small_setup, .run = openclose_run};
const struct bench_row bench_stat = {
    .slug = "stat", .title = "stat", .count = 800, .setup = small_setup, .run = stat_run};

/* --- Names that are not cached: each is used once, after the kernel has forgotten all ----------------------------- */

static unsigned many_files; /* there are so many, 0 … */

static const char *many_name(unsigned number) {
    static char name[sizeof many_files_name + 16];
    snprintf(name, sizeof name, "%s/%06u", many_files_name, number);
    return name;
}

static int many_setup(void) { return mkdir(many_files_name, 0700); }

static int many_prepare(unsigned count) {
    for (; many_files < count; many_files++) {
        int file = open(many_name(many_files), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0) {
            return -1;
        }
        close(file);
    }
    cache_drop(); /* on Linux, and for others than the superuser, names stay cached */
    struct stat info;
    return stat(many_files_name, &info);
}

static void many_teardown(void) {
    while (many_files > 0) {
        unlink(many_name(--many_files));
    }
    rmdir(many_files_name);
}

static int openmiss_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        int file = open(many_name(i), O_RDONLY);
        if (file < 0 || close(file) < 0) {
            return -1;
        }
    }
    return 0;
}

static int statmiss_run(unsigned count) {
    struct stat info;
    for (unsigned i = 0; i < count; i++) {
        if (stat(many_name(i), &info) < 0) {
            return -1;
        }
    }
    return 0;
}

#define MISS_ROW(name, words)                                                                                          \
    const struct bench_row bench_##name = {                                                                            \
        .slug = #name,                                                                                                 \
        .title = words,                                                                                                \
        .count = 100,                                                                                                  \
        .trust = BENCH_SOME_FRIENDS, /* the file server asks others */                                                 \
        .setup = many_setup,                                                                                           \
        .prepare = many_prepare,                                                                                       \
        .run = name##_run,                                                                                             \
        .teardown = many_teardown,                                                                                     \
    }

MISS_ROW(openmiss, "open + close, missed");
MISS_ROW(statmiss, "stat, missed");
