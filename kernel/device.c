/*
 * /dev: null, zero, full, random, urandom and the console under its names.
 *
 * Class discipline: random bytes pass through the caller's kernel stack only; nothing written here is kept.
 * Locks: none. Runs in the caller's space.
 */
#include "kernel/device.h"

#include "arch/uaccess.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/pty.h"
#include "kernel/random.h"
#include "kernel/string.h"
#include "kernel/terminal.h"

#define RANDOM_AT_ONCE 256U

static enum status read_nothing(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    (void)file, (void)to, (void)bytes, (void)offset, (void)done;
    return OK;
}

static enum status write_away(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    (void)file, (void)from, (void)offset;
    *done = bytes;
    return OK;
}

static enum status write_away_kernel(struct file *file, const void *from, size_t bytes, uint64_t *offset,
                                     size_t *done) {
    (void)file, (void)from, (void)offset;
    *done = bytes;
    return OK;
}

static enum status write_full(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    (void)file, (void)from, (void)offset, (void)done;
    return bytes > 0 ? ERR_NO_SPACE : OK;
}

/* Page by page, so that what is said to be done is done when memory ends midway. */
static enum status read_zeros(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    enum status status = OK;
    (void)file, (void)offset;
    while (*done < bytes && status == OK) {
        size_t part = PAGE_SIZE - page_offset(to + *done);
        if (part > bytes - *done)
            part = bytes - *done;
        status = clear_user(to + *done, part);
        if (status == OK)
            *done += part;
    }
    return status;
}

static enum status read_random(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    char chunk[RANDOM_AT_ONCE];
    enum status status = OK;
    (void)file, (void)offset;
    while (*done < bytes && status == OK) {
        size_t part = bytes - *done < sizeof(chunk) ? bytes - *done : sizeof(chunk);
        random_bytes(chunk, part);
        status = copy_to_user(to + *done, chunk, part);
        if (status == OK)
            *done += part;
    }
    memset(chunk, 0, sizeof(chunk));
    return status;
}

static const struct file_operations null_operations = {
    .seekable = true, .read = read_nothing, .write = write_away, .write_kernel = write_away_kernel};
static const struct file_operations zero_operations = {
    .seekable = true, .read = read_zeros, .write = write_away, .write_kernel = write_away_kernel};
static const struct file_operations full_operations = {.seekable = true, .read = read_zeros, .write = write_full};
static const struct file_operations random_operations = {
    .seekable = true, .read = read_random, .write = write_away, .write_kernel = write_away_kernel};

/* Linux's numbers. */
static const struct {
    const char *path;
    uint32_t mode;
    struct special_file special;
} devices[] = {
    {"/dev/null", 0666, {.operations = &null_operations, .major = 1, .minor = 3}},
    {"/dev/zero", 0666, {.operations = &zero_operations, .major = 1, .minor = 5}},
    {"/dev/full", 0666, {.operations = &full_operations, .major = 1, .minor = 7}},
    {"/dev/random", 0666, {.operations = &random_operations, .major = 1, .minor = 8}},
    {"/dev/urandom", 0666, {.operations = &random_operations, .major = 1, .minor = 9}},
    {"/dev/tty", 0666, {.operations = &terminal_operations, .major = 5, .minor = 0}},
    {"/dev/console", 0600, {.operations = &terminal_operations, .major = 5, .minor = 1}},
    {"/dev/ttyS0", 0600, {.operations = &terminal_operations, .major = 4, .minor = 64}},
    {"/dev/ptmx", 0666, {.operations = &pty_master_operations, .major = 5, .minor = 2}},
    {"/dev/pts/ptmx", 0666, {.operations = &pty_master_operations, .major = 5, .minor = 2}},
};

static const struct {
    const char *path, *target;
} links[] = {
    {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
    {"/dev/fd", "/proc/self/fd"},
    /* A directory of the root's own, which can be written to. */
    {"/dev/shm", "/run/shm"},
};

enum status devices_init(void) {
    terminal_init();
    enum status status = names_make_directories("/dev/pts");
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]) && status == OK; i++)
        status = names_make_special(devices[i].path, S_IFCHR | devices[i].mode, &devices[i].special);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]) && status == OK; i++)
        status = names_make_symlink(links[i].path, links[i].target);
    if (status == OK)
        status = pty_init();
    return status;
}
