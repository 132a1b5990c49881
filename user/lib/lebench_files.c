/*
 * lebench rows on one file and its mappings, in four sizes. As in LEBench: read and write are of the whole file by one
 * call from its beginning; mmap is private; munmap is of a private mapping with each page written, and so copied; a
 * page fault is the first read of the first byte of a mapping. A read or write is the first since the file was opened,
 * when nobody else has it open: one to a sample.
 *
 * The file is there while its row is measured, and the buffer while a row needs it.
 */
#include "user/lib/lebench.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SMALL_PAGES = 1, MID_PAGES = 10, BIG_PAGES = 1000, HUGE_PAGES = 10000, MOST_AT_ONCE = 64 };

static const char file_name[] = "/tmp/lebench.data";
static size_t size;
static char *buffer;
static int files[MOST_AT_ONCE]; /* each for one call */
static char *mappings[MOST_AT_ONCE];
static unsigned opened, mapped;

static void drop_buffer(void) {
    if (buffer != NULL) {
        munmap(buffer, size);
        buffer = NULL;
    }
}

static int make_file(size_t pages) {
    size = pages * BENCH_PAGE;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    buffer = memset(memory, 'a', size);
    int file = open(file_name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    bool made = file >= 0 && write(file, buffer, size) == (ssize_t)size;
    if (file >= 0) {
        close(file);
    }
    return made ? 0 : -1;
}

static int make_file_alone(size_t pages) {
    int result = make_file(pages);
    drop_buffer();
    return result;
}

static void remove_file(void) {
    drop_buffer();
    unlink(file_name);
}

static int open_files(unsigned count) {
    if (count > MOST_AT_ONCE) {
        errno = E2BIG;
        return -1;
    }
    for (; opened < count; opened++) {
        files[opened] = open(file_name, O_RDWR);
        if (files[opened] < 0) {
            return -1;
        }
    }
    return 0;
}

static int close_files(unsigned count) {
    (void)count;
    while (opened > 0) {
        close(files[--opened]);
    }
    return 0;
}

static int read_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (read(files[i], buffer, size) != (ssize_t)size) {
            return -1;
        }
    }
    return 0;
}

static int write_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (write(files[i], buffer, size) != (ssize_t)size) {
            return -1;
        }
    }
    return 0;
}

static int map_each(unsigned count, int protection) {
    for (; mapped < count; mapped++) {
        mappings[mapped] = mmap(NULL, size, protection, MAP_PRIVATE, files[mapped], 0);
        if (mappings[mapped] == MAP_FAILED) {
            return -1;
        }
    }
    return 0;
}

static int mmap_run(unsigned count) { return map_each(count, PROT_READ); }

static int munmap_run(unsigned count) {
    (void)count;
    while (mapped > 0) {
        if (munmap(mappings[--mapped], size) < 0) {
            return -1;
        }
    }
    return 0;
}

static int fault_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        (void)*(volatile char *)mappings[i];
    }
    return 0;
}

static int map_files(unsigned count) { return open_files(count) < 0 ? -1 : map_each(count, PROT_READ); }

static int map_and_write(unsigned count) {
    if (open_files(count) < 0 || map_each(count, PROT_READ | PROT_WRITE) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < count; i++) {
        memset(mappings[i], 'b', size);
    }
    return 0;
}

static int unmap_and_close(unsigned count) {
    int result = munmap_run(count);
    close_files(count);
    return result;
}

/* The five rows of a size: `unmaps` calls of munmap in a sample. */
#define ROWS(word, pages, title, unmaps)                                                                               \
    static int word##_setup(void) { return make_file(pages); }                                                         \
    static int word##_setup_alone(void) { return make_file_alone(pages); }                                             \
    LEBENCH_ROW(word##write, "write, " title, 1, word##_setup, open_files, write_run, close_files, remove_file);       \
    LEBENCH_ROW(word##read, "read, " title, 1, word##_setup, open_files, read_run, close_files, remove_file);          \
    LEBENCH_ROW(word##mmap, "mmap, " title, MOST_AT_ONCE, word##_setup_alone, open_files, mmap_run, unmap_and_close,   \
                remove_file);                                                                                          \
    LEBENCH_ROW(word##munmap, "munmap, " title, unmaps, word##_setup_alone, map_and_write, munmap_run,                 \
                unmap_and_close, remove_file);                                                                         \
    LEBENCH_ROW(word##fault, "page fault, " title, MOST_AT_ONCE, word##_setup_alone, map_files, fault_run,             \
                unmap_and_close, remove_file)

ROWS(small, SMALL_PAGES, "small", 64);
ROWS(mid, MID_PAGES, "mid", 32);
ROWS(big, BIG_PAGES, "big", 2);
ROWS(huge, HUGE_PAGES, "huge", 1);
