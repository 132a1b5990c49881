/*
 * The torture's steps on files of its own: a file against a plain model of its bytes, names against a model of a
 * directory. See torture.h.
 *
 * Each byte of a file follows from the numbers of the deed that wrote it; what was never written is 0. A byte of
 * another file, of an older deed, or of somebody's memory is seen.
 */
#include "torture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_BYTES = 12 * TORTURE_PAGE, PIECE = 3 * TORTURE_PAGE, FILE_DEEDS = 24, NAMES = 6, NAME_DEEDS = 20 };

struct file {
    struct step *step;
    int fd;
    unsigned name; /* which of the lane's paths it has */
    size_t size;
    uint8_t *model;  /* FILE_BYTES, 0 behind size */
    uint8_t *buffer; /* PIECE */
};

static void fill(struct file *file, uint8_t *bytes, size_t count) {
    uint64_t seed = step_random(file->step);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)((seed + i * 0x9e3779b97f4a7c15) >> 40 | 1);
    }
}

static void compare(const struct file *file, const uint8_t *bytes, size_t offset, size_t count) {
    if (memcmp(bytes, file->model + offset, count) == 0) {
        return;
    }
    size_t i = 0;
    while (bytes[i] == file->model[offset + i]) {
        i++;
    }
    step_fail(file->step, __FILE__, __LINE__, "byte %zu of a file of %zu is %#x, want %#x (piece of %zu at %zu)",
              offset + i, file->size, bytes[i], file->model[offset + i], count, offset);
}

static void write_piece(struct file *file) {
    size_t count = step_between(file->step, 1, PIECE), offset = step_below(file->step, FILE_BYTES - count);
    fill(file, file->buffer, count);
    if (step_below(file->step, 3) == 0) {
        size_t half = count / 2;
        struct iovec parts[] = {{file->buffer, half}, {file->buffer + half, count - half}};
        STEP_CHECK_EQ(file->step, pwritev(file->fd, parts, 2, (off_t)offset), count);
    } else {
        STEP_CHECK_EQ(file->step, pwrite(file->fd, file->buffer, count, (off_t)offset), count);
    }
    memcpy(file->model + offset, file->buffer, count);
    file->size = offset + count > file->size ? offset + count : file->size;
}

static void read_piece(struct file *file) {
    size_t count = step_between(file->step, 1, PIECE), offset = step_below(file->step, FILE_BYTES);
    size_t expected = offset >= file->size ? 0 : file->size - offset < count ? file->size - offset : count;
    memset(file->buffer, 0xee, PIECE);
    STEP_CHECK_EQ(file->step, pread(file->fd, file->buffer, count, (off_t)offset), expected);
    compare(file, file->buffer, offset, expected);
}

static void cut(struct file *file) {
    size_t size = step_below(file->step, FILE_BYTES);
    STEP_CHECK_EQ(file->step, ftruncate(file->fd, (off_t)size), 0);
    if (size < file->size) {
        memset(file->model + size, 0, file->size - size);
    }
    file->size = size;
}

/* Reads or writes through a mapping. */
static void map_file(struct file *file) {
    size_t pages = file->size / TORTURE_PAGE;
    if (pages == 0) {
        return;
    }
    size_t first = step_below(file->step, pages), count = step_between(file->step, 1, pages - first);
    bool shared = step_below(file->step, 2) == 0, writing = step_below(file->step, 2) == 0;
    uint8_t *start = mmap(NULL, count * TORTURE_PAGE, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE,
                          file->fd, (off_t)(first * TORTURE_PAGE));
    if (start == MAP_FAILED && errno == ENOMEM) {
        return;
    }
    STEP_CHECK(file->step, start != MAP_FAILED);
    compare(file, start, first * TORTURE_PAGE, count * TORTURE_PAGE);
    if (writing) {
        size_t offset = step_below(file->step, count) * TORTURE_PAGE + step_below(file->step, 2000);
        fill(file, start + offset, 1500);
        if (shared) {
            memcpy(file->model + first * TORTURE_PAGE + offset, start + offset, 1500);
        }
    }
    step_unmap(file->step, start, count * TORTURE_PAGE);
}

static void rename_file(struct file *file) {
    char old[64], new[64];
    struct stat info;
    step_path(file->step, file->name, old);
    file->name ^= 1;
    step_path(file->step, file->name, new);
    STEP_CHECK_EQ(file->step, rename(old, new), 0);
    STEP_CHECK(file->step, stat(old, &info) == -1 && errno == ENOENT);
    STEP_CHECK_EQ(file->step, stat(new, &info), 0);
    STEP_CHECK_EQ(file->step, info.st_size, file->size);
}

static void open_again(struct file *file) {
    char path[64];
    step_path(file->step, file->name, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    STEP_CHECK(file->step, fd >= 0);
    close(file->fd);
    file->fd = fd;
}

/* A child reads it by the handle that it has inherited. */
static void read_in_child(struct file *file) {
    struct step own = step_split(file->step);
    pid_t pid = step_fork(file->step);
    if (pid == 0) {
        *file->step = own;
        read_piece(file);
        read_piece(file);
        _exit(0);
    }
    if (pid > 0) {
        step_reap(file->step, pid, 0);
    }
}

/* From the file through the kernel into a pipe, and out of it. */
static void send_file(struct file *file) {
    int ends[2];
    size_t count = step_between(file->step, 1, PIECE), start = step_below(file->step, FILE_BYTES);
    size_t expected = start >= file->size ? 0 : file->size - start < count ? file->size - start : count;
    off_t offset = (off_t)start;
    step_pipe_open(file->step, ends);
    STEP_CHECK_EQ(file->step, sendfile(ends[1], file->fd, &offset, count), expected);
    close(ends[1]);
    for (size_t done = 0; done < expected;) {
        ssize_t got = read(ends[0], file->buffer, PIECE);
        STEP_CHECK(file->step, got > 0);
        compare(file, file->buffer, start + done, (size_t)got);
        done += (size_t)got;
    }
    close(ends[0]);
}

static void change_file(struct file *file) {
    switch (step_below(file->step, 12)) {
    case 0:
        cut(file);
        break;
    case 1:
        rename_file(file);
        break;
    case 2:
        open_again(file);
        break;
    case 3:
    case 4:
        map_file(file);
        break;
    case 5:
        send_file(file);
        break;
    case 6:
        if (step_below(file->step, 4) == 0) {
            read_in_child(file);
        }
        break;
    case 7:
    case 8:
        read_piece(file);
        break;
    default:
        write_piece(file);
        break;
    }
}

void step_file(struct step *step) {
    struct file file = {.step = step, .name = 0};
    char path[64];
    file.model = step_map(step, FILE_BYTES + PIECE, MAP_PRIVATE);
    if (file.model == NULL) {
        return;
    }
    file.buffer = file.model + FILE_BYTES;
    step_path(step, 0, path);
    file.fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    STEP_CHECK(step, file.fd >= 0);
    for (int i = 0; i < FILE_DEEDS; i++) {
        change_file(&file);
    }
    for (size_t offset = 0; offset < file.size; offset += PIECE) {
        size_t count = file.size - offset < PIECE ? file.size - offset : PIECE;
        STEP_CHECK_EQ(step, pread(file.fd, file.buffer, PIECE, (off_t)offset), count);
        compare(&file, file.buffer, offset, count);
    }
    step_path(step, file.name, path);
    STEP_CHECK_EQ(step, unlink(path), 0);
    read_piece(&file); /* it lives until it is closed */
    close(file.fd);
    step_unmap(step, file.model, FILE_BYTES + PIECE);
}

/* --- Names ----------------------------------------------------------------------------------------------------- */

enum what { NOTHING, PLAIN, FOLDER, LINK };

static void name_path(const struct step *step, unsigned which, char *path) {
    snprintf(path, 64, TORTURE_DIRECTORY "/l%u/names/n%u", step->lane_number, which);
}

static void make(struct step *step, unsigned which, enum what *names) {
    char path[64];
    enum what kind = (enum what)step_between(step, PLAIN, LINK);
    name_path(step, which, path);
    int result = kind == FOLDER ? mkdir(path, 0700) : kind == LINK ? symlink("aim", path) : 0;
    if (kind == PLAIN) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        result = fd < 0 ? -1 : close(fd);
    }
    STEP_CHECK_EQ(step, result, names[which] == NOTHING ? 0 : -1);
    STEP_CHECK(step, result == 0 || errno == EEXIST);
    names[which] = result == 0 ? kind : names[which];
}

static void take(struct step *step, unsigned which, enum what *names) {
    char path[64];
    name_path(step, which, path);
    int result = names[which] == FOLDER ? rmdir(path) : unlink(path);
    STEP_CHECK_EQ(step, result, names[which] == NOTHING ? -1 : 0);
    STEP_CHECK(step, result == 0 || errno == ENOENT);
    names[which] = NOTHING;
}

static void look(struct step *step, unsigned which, const enum what *names) {
    char path[64], aim[16];
    struct stat info;
    name_path(step, which, path);
    int result = lstat(path, &info);
    STEP_CHECK_EQ(step, result, names[which] == NOTHING ? -1 : 0);
    if (result == 0) {
        STEP_CHECK(step, S_ISREG(info.st_mode) == (names[which] == PLAIN));
        STEP_CHECK(step, S_ISDIR(info.st_mode) == (names[which] == FOLDER));
    }
    if (names[which] == LINK) {
        STEP_CHECK_EQ(step, readlink(path, aim, sizeof(aim)), 3);
        STEP_CHECK(step, memcmp(aim, "aim", 3) == 0);
    }
}

static void move_name(struct step *step, unsigned from, enum what *names) {
    char old[64], new[64];
    unsigned to = (unsigned)step_below(step, NAMES);
    name_path(step, from, old);
    name_path(step, to, new);
    bool fits = names[to] == NOTHING || (names[from] == FOLDER) == (names[to] == FOLDER);
    int result = rename(old, new);
    STEP_CHECK_EQ(step, result, names[from] != NOTHING && fits ? 0 : -1);
    if (result == 0 && from != to) {
        names[to] = names[from];
        names[from] = NOTHING;
    }
}

static void list(struct step *step, const char *directory, const enum what *names) {
    unsigned found = 0, expected = 0;
    struct dirent *entry;
    DIR *open_directory = opendir(directory);
    STEP_CHECK(step, open_directory != NULL);
    while ((entry = readdir(open_directory)) != NULL) {
        if (entry->d_name[0] == 'n') {
            STEP_CHECK(step, names[entry->d_name[1] - '0'] != NOTHING);
            found++;
        }
    }
    closedir(open_directory);
    for (unsigned i = 0; i < NAMES; i++) {
        expected += names[i] != NOTHING;
    }
    STEP_CHECK_EQ(step, found, expected);
}

void step_names(struct step *step) {
    enum what names[NAMES] = {NOTHING};
    char directory[64];
    snprintf(directory, sizeof(directory), TORTURE_DIRECTORY "/l%u/names", step->lane_number);
    STEP_CHECK_EQ(step, mkdir(directory, 0700), 0);
    for (int i = 0; i < NAME_DEEDS; i++) {
        static void (*const deeds[])(struct step *, unsigned, enum what *) = {make, make, take, move_name};
        unsigned which = (unsigned)step_below(step, NAMES);
        deeds[step_below(step, 4)](step, which, names);
        look(step, (unsigned)step_below(step, NAMES), names);
    }
    list(step, directory, names);
    for (unsigned i = 0; i < NAMES; i++) {
        if (names[i] != NOTHING) {
            take(step, i, names);
        }
    }
    STEP_CHECK_EQ(step, rmdir(directory), 0);
}
