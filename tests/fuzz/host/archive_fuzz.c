/*
 * Damaged boot archives: a real one with bytes changed where they matter, or bytes of no archive, given to the kernel's
 * reader (kernel/archive.c) and to the file server's (user/lib/cpio.c, user/memfs/archive.c), which make what they find
 * into a tree. Whatever they say of it, nothing outside the archive is read, and no name is made that no path can have.
 *
 * usage: archive_fuzz [archives] [seed] [first]      Archive n of a seed is always the same.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/archive.h"
#include "user/lib/cpio.h"
#include "user/memfs/archive.h"
#include "user/memfs/tree.h"

enum { ROOM = 16384, CELLS = 4096, LOG_BYTES = 32768, STEPS = 2000 };

static uint64_t state;
static uint64_t number;
static struct state tree;
static uint8_t *memory;

static uint64_t next(void) {
    uint64_t value = state += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

static uint64_t below(uint64_t limit) { return next() % limit; }

static void fail(const char *what) {
    printf("FAIL archive %llu: %s\n", (unsigned long long)number, what);
    abort();
}

/* What kernel/archive.c wants of a kernel. */
void kprintf(const char *format, ...);
void kprintf(const char *format, ...) { (void)format; }

static bool size_to(struct state *of, uint64_t from, uint64_t to) {
    (void)of;
    memset(memory + (from < to ? from : to), 0, from < to ? to - from : from - to);
    return true;
}

/* --- An archive --------------------------------------------------------------------------------------------------- */

static const char *name_of_entry(char *text) {
    static const char *const names[] = {"bin/program", "a",    "a/b/c",      "./x",    ".",  "..",
                                        "a/../b",      "/abs", "a//b",       "a/./b",  "",   "tmp",
                                        "a/..",        "b/.",  "TRAILER!!!", "./../x", "./."};
    switch (below(8)) {
    case 0: /* long names, of long parts */
        memset(text, 'n', 5000);
        for (uint64_t at = below(300); at < 5000; at += 1 + below(300)) {
            text[at] = '/';
        }
        text[below(5000)] = '\0';
        text[5000] = '\0';
        return text;
    case 1:
        snprintf(text, 64, "dir%u/file%u", (unsigned)below(3), (unsigned)below(9));
        return text;
    default:
        return names[below(sizeof names / sizeof *names)];
    }
}

static size_t add(uint8_t *bytes, size_t at, const char *name, uint32_t mode, size_t content) {
    size_t length = strlen(name) + 1, head = at;
    if (at + 110 + length + content + 16 > ROOM) {
        return at;
    }
    at += (size_t)sprintf((char *)bytes + at, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", 1u, mode,
                          0u, 0u, 1u, 1u, content, 0u, 0u, 0u, 0u, length, 0u);
    memcpy(bytes + at, name, length);
    at = head + ((110 + length + 3) & ~(size_t)3);
    memset(bytes + at, 'c', content);
    return at + ((content + 3) & ~(size_t)3);
}

static size_t make(uint8_t *bytes) {
    static const uint32_t modes[] = {S_IFREG | 0755, S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777, S_IFCHR | 0600, 0,
                                     0xffffffff};
    char text[5001];
    size_t at = 0;
    memset(bytes, 0, ROOM);
    for (uint64_t i = below(10); i > 0; i--) {
        const char *name = name_of_entry(text);
        at = add(bytes, at, name, modes[below(below(3) == 0 ? 7 : 4)], below(below(4) == 0 ? 5000 : 40));
    }
    at = add(bytes, at, "TRAILER!!!", 0, 0);
    for (uint64_t i = below(3) == 0 ? 0 : below(6); i > 0; i--) { /* digits often: they are what lengths are made of */
        uint64_t place = below(at);
        bytes[place] = below(3) == 0 ? (uint8_t)next() : (uint8_t) "0123456789abcdefABCDEFxX/."[below(26)];
    }
    return below(6) == 0 ? below(at + 1) : at;
}

/* --- Those who read it -------------------------------------------------------------------------------------------- */

/* In memory of its own size: the sanitizer sees a byte behind it being read. */
static void read_as_kernel(const uint8_t *bytes, size_t size) {
    static struct archive_entry entry;
    const char *reason;
    size_t offset = 0, length;
    const void *content;
    uint8_t *exact = malloc(size + 1) /* malloc(0) may be NULL */;
    memcpy(exact, bytes, size);
    for (unsigned step = 0;; step++) {
        if (archive_next(exact, size, &offset, &entry, &reason) != OK || entry.mode == 0) {
            break;
        }
        const uint8_t *from = entry.content;
        if (from < exact || from > exact + size || entry.bytes > (size_t)(exact + size - from)) {
            fail("the kernel's reader gives content outside the archive");
        }
        if (entry.path[0] != '/' || strstr(entry.path, "//") != NULL || strstr(entry.path, "/../") != NULL) {
            fail("the kernel's reader gives a path that is none");
        }
        if (step > STEPS) {
            fail("the kernel's reader does not come to an end");
        }
    }
    (void)!archive_find(exact, size, "/bin/program", &content, &length);
    free(exact);
}

static void check_names(void) {
    for (uint64_t cell = 1; cell < tree.ready; cell++) {
        const union cell *found = state_cell(&tree, cell, CELL_ENTRY);
        if (found == NULL) {
            continue;
        }
        const struct entry *entry = &found->entry;
        size_t in_entry = entry->length < NAME_IN_ENTRY ? entry->length : NAME_IN_ENTRY;
        bool dots =
            (entry->length == 1 && entry->name[0] == '.') || (entry->length == 2 && memcmp(entry->name, "..", 2) == 0);
        if (entry->length == 0 || entry->length > FS_NAME_MAX || dots || memchr(entry->name, '/', in_entry) != NULL) {
            fail("the file server makes a name that no path can have");
        }
    }
}

static void read_as_memfs(int file, const uint8_t *bytes, size_t size) {
    if (ftruncate(file, 0) != 0 || pwrite(file, bytes, size, 0) != (ssize_t)size) {
        fail("the archive cannot be written");
    }
    memset(memory, 0, state_size(CELLS) + LOG_BYTES);
    if (!state_open(&tree, memory, CELLS, 12345, size_to, -1)) {
        fail("no memory");
    }
    if (archive_make_names(&tree, file) == 0) {
        (void)!archive_give_pages(&tree, file, -1); /* there are no memory objects here: to the first of them */
    }
    check_names();
    if (!state_open(&tree, memory, CELLS, 99, size_to, -1)) { /* as after a restart */
        fail("what was made cannot be opened again");
    }
}

int main(int argc, char **argv) {
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000, seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    uint64_t first = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    static uint8_t bytes[ROOM];
    int file = memfd_create("archive", 0);
    memory = calloc(1, state_size(CELLS) + LOG_BYTES);
    if (file < 0 || memory == NULL || freopen("/dev/null", "w", stderr) == NULL) {
        return 2;
    }
    alarm(600);
    for (number = first; number < first + count; number++) {
        state = seed * 0x2545f4914f6cdd1d ^ number * 0x9e3779b97f4a7c15;
        size_t size = below(50) == 0 ? below(ROOM) : make(bytes);
        read_as_kernel(bytes, size);
        read_as_memfs(file, bytes, size);
    }
    printf("archives: %llu, seed %llu\n", (unsigned long long)count, (unsigned long long)seed);
    return 0;
}
