/*
 * ls: lists directories and files, sorted by name. -a shows dot-files, -l type, permissions, links and size.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool show_all, show_long;

static int complain(const char *name) {
    fprintf(stderr, "ls: %s: %s\n", name, strerror(errno));
    return 1;
}

static char type_letter(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return 'd';
    case S_IFLNK:
        return 'l';
    case S_IFCHR:
        return 'c';
    case S_IFBLK:
        return 'b';
    case S_IFIFO:
        return 'p';
    case S_IFSOCK:
        return 's';
    default:
        return '-';
    }
}

static int show_entry(const char *path, const char *name) {
    struct stat info;
    if (!show_long) {
        puts(name);
        return 0;
    }
    if (lstat(path, &info) < 0) {
        return complain(path);
    }
    char permissions[10] = "rwxrwxrwx";
    for (int bit = 0; bit < 9; bit++) {
        if (!(info.st_mode & (0400u >> bit))) {
            permissions[bit] = '-';
        }
    }
    printf("%c%s %3lu %10lld  %s\n", type_letter(info.st_mode), permissions, (unsigned long)info.st_nlink,
           (long long)info.st_size, name);
    return 0;
}

static int wanted(const struct dirent *entry) { return show_all || entry->d_name[0] != '.'; }

static int show_directory(const char *directory) {
    struct dirent **entries;
    int status = 0, count = scandir(directory, &entries, wanted, alphasort);
    if (count < 0) {
        return complain(directory);
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        status |= show_entry(path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static int show(const char *name) {
    struct stat info;
    if (stat(name, &info) < 0 && lstat(name, &info) < 0) {
        return complain(name);
    }
    return S_ISDIR(info.st_mode) ? show_directory(name) : show_entry(name, name);
}

int main(int argc, char **argv) {
    int option, status = 0;
    while ((option = getopt(argc, argv, "al1")) != -1) {
        if (option == '?') {
            fputs("usage: ls [-al1] [NAME…]\n", stderr);
            return 2;
        }
        show_all |= option == 'a';
        show_long |= option == 'l';
    }
    if (optind == argc) {
        return show(".");
    }
    for (int i = optind; i < argc; i++) {
        if (argc - optind > 1) {
            printf("%s%s:\n", i > optind ? "\n" : "", argv[i]);
        }
        status |= show(argv[i]);
    }
    return status;
}
