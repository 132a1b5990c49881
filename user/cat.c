/*
 * cat: copies files, or standard input ("-" or no argument), to standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool write_all(const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, count);
        if (written < 0) {
            return false;
        }
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

static bool copy(int file) {
    static char buffer[65536];
    ssize_t count;
    while ((count = read(file, buffer, sizeof buffer)) > 0) {
        if (!write_all(buffer, (size_t)count)) {
            return false;
        }
    }
    return count == 0;
}

static bool copy_named(const char *name) {
    if (strcmp(name, "-") == 0) {
        return copy(STDIN_FILENO);
    }
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    bool copied = copy(file);
    int saved = errno;
    close(file);
    errno = saved;
    return copied;
}

int main(int argc, char **argv) {
    int status = 0;
    if (argc == 1 && !copy_named("-")) {
        perror("cat");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        if (!copy_named(argv[i])) {
            fprintf(stderr, "cat: %s: %s\n", argv[i], strerror(errno));
            status = 1;
        }
    }
    return status;
}
