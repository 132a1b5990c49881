/*
 * /proc: directories of processes, threads and handles, links, what is told to whom, and what happens when a process is
 * gone. What does not say otherwise holds on Linux as well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { MAX_TEXT = 65536 };

static char text[MAX_TEXT];

/* The whole file, `piece` bytes at a time; returns its length, or -1 with errno. */
static ssize_t read_in_pieces(const char *path, size_t piece) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t count;
    if (fd < 0) {
        return -1;
    }
    while ((count = read(fd, text + length, piece < MAX_TEXT - 1 - length ? piece : MAX_TEXT - 1 - length)) > 0) {
        length += (size_t)count;
    }
    int reason = errno;
    close(fd);
    errno = reason;
    text[length] = '\0';
    return count < 0 ? -1 : (ssize_t)length;
}

static ssize_t read_text(const char *path) { return read_in_pieces(path, MAX_TEXT); }

static const char *path_of(pid_t pid, const char *name) {
    static char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    return path;
}

/* Whether the directory lists this name. */
static bool lists(const char *path, const char *name) {
    DIR *directory = opendir(path);
    bool found = false;
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        found |= strcmp(entry->d_name, name) == 0;
    }
    closedir(directory);
    return found;
}

static long field(const char *name) {
    const char *line = strstr(text, name);
    if (line != NULL) {
        return strtol(line + strlen(name), NULL, 10);
    }
    test_fail(__FILE__, __LINE__, "no \"%s\" in: %.300s", name, text);
}

static void self(void) {
    char link[64], number[16], inside[64];
    snprintf(number, sizeof(number), "%d", (int)getpid());
    ssize_t length = CHECK_OK(readlink("/proc/self", link, sizeof(link)));
    CHECK(length == (ssize_t)strlen(number) && memcmp(link, number, strlen(number)) == 0);
    length = CHECK_OK(readlink("/proc/thread-self", link, sizeof(link) - 1));
    link[length] = '\0';
    snprintf(inside, sizeof(inside), "%s/task/%d", number, (int)syscall(SYS_gettid));
    CHECK(strcmp(link, inside) == 0);
    struct stat by_link, by_number;
    CHECK_OK(stat("/proc/self", &by_link));
    CHECK_OK(stat(path_of(getpid(), ""), &by_number));
    CHECK(S_ISDIR(by_link.st_mode) && by_link.st_ino == by_number.st_ino);
    CHECK(lists("/proc", number) && lists("/proc", "self"));
    CHECK_OK(chdir("/proc/self"));
    CHECK(read_text("comm") == 7 && strcmp(text, "procfs\n") == 0);
    CHECK_OK(chdir("/"));
    length = CHECK_OK(readlink("/proc/self/cwd", link, sizeof(link)));
    CHECK(length == 1 && link[0] == '/');
    CHECK_OK(readlink("/proc/self/exe", link, sizeof(link)));
    CHECK_ERRNO(open("/proc/self/exe/x", O_RDONLY), ENOTDIR);
}

/* Formats as programs take them apart. */
static void formats(void) {
    int id, parent, group, session;
    char name[32], state;
    CHECK(read_text("/proc/self/stat") > 0);
    CHECK_EQ(sscanf(text, "%d (%31[^)]) %c %d %d %d", &id, name, &state, &parent, &group, &session), 6);
    CHECK(id == getpid() && strcmp(name, "procfs") == 0 && state == 'R' && parent == getppid());
    CHECK(group == getpgrp() && session == getsid(0));
    unsigned fields = 0;
    for (const char *at = strchr(text, ')'); *at != '\0'; at++) {
        fields += *at == ' ';
    }
    CHECK_EQ(fields + 2, 52);
    CHECK(read_text("/proc/self/status") > 0);
    CHECK(field("Pid:\t") == getpid() && field("PPid:\t") == getppid() && field("Tgid:\t") == getpid());
    CHECK(field("Uid:\t") == (long)getuid() && field("Threads:\t") == 1 && field("VmRSS:") > 0);
    CHECK(strstr(text, "State:\tR (running)") != NULL);
    long size, resident;
    CHECK(read_text("/proc/self/statm") > 0 && sscanf(text, "%ld %ld", &size, &resident) == 2);
    CHECK(size >= resident && resident > 0);
    CHECK(read_text("/proc/meminfo") > 0 && field("MemTotal:") >= field("MemFree:") && field("MemFree:") > 0);
    CHECK(read_text("/proc/stat") > 0 && strncmp(text, "cpu ", 4) == 0 && field("btime ") > 0);
    double up, idle;
    CHECK(read_text("/proc/uptime") > 0 && sscanf(text, "%lf %lf", &up, &idle) == 2 && up > 0);
    CHECK(read_text("/proc/self/limits") > 0 && strstr(text, "Max open files ") != NULL);
    CHECK(read_text("/proc/self/mountinfo") > 0 && strstr(text, " / / ") != NULL);
    CHECK(read_text("/proc/sys/kernel/ostype") > 0 && strcmp(text, "Linux\n") == 0);
    CHECK(read_text("/proc/sys/kernel/pid_max") > 0 && atol(text) > 1000);
    CHECK(read_text("/sys/devices/system/cpu/online") > 0 && text[0] == '0');
}

static void identifiers(void) {
    char first[64], boot[64];
    CHECK_EQ(read_text("/proc/sys/kernel/random/uuid"), 37);
    strcpy(first, text);
    CHECK(first[8] == '-' && first[13] == '-' && first[14] == '4' && first[18] == '-' && first[23] == '-');
    CHECK_EQ(read_text("/proc/sys/kernel/random/uuid"), 37);
    CHECK(strcmp(first, text) != 0);
    CHECK_EQ(read_text("/proc/sys/kernel/random/boot_id"), 37);
    strcpy(boot, text);
    CHECK_EQ(read_text("/proc/sys/kernel/random/boot_id"), 37);
    CHECK(strcmp(boot, text) == 0);
}

/* What lies in memory, as the process itself sees it. */
static void own_memory(void) {
    static int in_data;
    CHECK(read_text("/proc/self/cmdline") > 0 && strstr(text, "procfs") != NULL);
    CHECK(read_text("/proc/self/environ") >= 0);
    CHECK(read_text("/proc/self/auxv") >= 32 && text[0] != 0);
    CHECK(read_text("/proc/self/maps") > 0 && strstr(text, "[stack]") != NULL);
    char *whole = strdup(text);
    CHECK(whole != NULL);
    bool found = false;
    unsigned long vdso = 0;
    for (char *line = strtok(whole, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned long start, end;
        char rights[5];
        CHECK_EQ(sscanf(line, "%lx-%lx %4s", &start, &end, rights), 3);
        CHECK(start < end && start % TEST_PAGE == 0);
        if ((unsigned long)&in_data >= start && (unsigned long)&in_data < end) {
            CHECK(strcmp(rights, "rw-p") == 0);
            found = true;
        }
        if (strstr(line, "[vdso]") != NULL) { /* anonymous, as debuggers take it */
            CHECK(strstr(line, " 00000000 00:00 0 ") != NULL && strcmp(rights, "r-xp") == 0);
            vdso = start;
        }
    }
    CHECK(found);
    CHECK_EQ(vdso, getauxval(AT_SYSINFO_EHDR));
    free(whole);
    ssize_t length = read_in_pieces("/proc/self/maps", 7);
    CHECK(length > 0 && text[length - 1] == '\n');
}

static void handles(void) {
    char link[64], path[64];
    int ends[2];
    struct stat by_link, by_handle;
    CHECK_OK(pipe(ends));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    snprintf(link, sizeof(link), "%d", ends[0]);
    CHECK(lists("/proc/self/fd", link) && lists("/proc/self/fdinfo", link));
    ssize_t length = CHECK_OK(readlink(path, link, sizeof(link) - 1));
    link[length] = '\0';
    CHECK(strncmp(link, "pipe:[", 6) == 0);
    CHECK_OK(stat(path, &by_link));
    CHECK_OK(fstat(ends[0], &by_handle));
    CHECK(S_ISFIFO(by_link.st_mode) && by_link.st_ino == by_handle.st_ino);
    CHECK_OK(lstat(path, &by_link));
    CHECK(S_ISLNK(by_link.st_mode));
    CHECK_ERRNO(open(path, O_RDONLY | O_NOFOLLOW), ELOOP);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ends[0]);
    CHECK(read_text(path) > 0 && field("pos:\t") == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    CHECK_OK(close(ends[0]));
    CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
    CHECK_ERRNO(stat(path, &by_link), ENOENT);
    CHECK_ERRNO(stat("/proc/self/fd/01", &by_link), ENOENT);
    CHECK_ERRNO(stat("/proc/self/fd/99999999999", &by_link), ENOENT);
    const char *name = test_path("kept");
    int file = test_file(name, 100);
    CHECK_OK(lseek(file, 42, SEEK_SET));
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", file);
    CHECK(read_text(path) > 0 && field("pos:\t") == 42);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    CHECK_EQ(read_text(path), 100); /* opened anew: from its start */
    CHECK_OK(unlink(name));
}

/* Another process: what everybody may know of it, and that it goes. */
static void another(void) {
    int wake[2];
    struct stat status;
    char state, number[16];
    CHECK_OK(pipe(wake));
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(wake[1]);
        _exit(read(wake[0], &byte, 1) == 0 ? 7 : 1);
    }
    CHECK_OK(child);
    snprintf(number, sizeof(number), "%d", (int)child);
    CHECK(lists("/proc", number));
    for (state = 'R'; state == 'R'; test_sleep_ms(2)) {
        CHECK(read_text(path_of(child, "stat")) > 0);
        CHECK_EQ(sscanf(text, "%*d (%*[^)]) %c", &state), 1);
    }
    CHECK_EQ(state, 'S');
    CHECK(read_text(path_of(child, "status")) > 0 && field("PPid:\t") == getpid());
    int kept = (int)CHECK_OK(open(path_of(child, ""), O_RDONLY | O_DIRECTORY));
    CHECK_OK(kill(child, SIGSTOP));
    for (; state != 'T'; test_sleep_ms(2)) {
        CHECK(read_text(path_of(child, "stat")) > 0 && sscanf(text, "%*d (%*[^)]) %c", &state) == 1);
    }
    CHECK_OK(kill(child, SIGCONT));
    close(wake[0]);
    close(wake[1]);
    siginfo_t info;
    CHECK_OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
    CHECK(read_text(path_of(child, "stat")) > 0);
    CHECK(sscanf(text, "%*d (%*[^)]) %c", &state) == 1 && state == 'Z');
    CHECK_EXITED_WITH(test_wait(child), 7);
    CHECK_ERRNO(stat(path_of(child, ""), &status), ENOENT);
    CHECK_ERRNO(open(path_of(child, "stat"), O_RDONLY), ENOENT);
    CHECK(!lists("/proc", number));
    CHECK(openat(kept, "stat", O_RDONLY) < 0); /* ESRCH there, ENOENT here */
    CHECK_OK(close(kept));
}

static void *wait_in_thread(void *argument) {
    char byte;
    *((pid_t **)argument)[1] = (pid_t)syscall(SYS_gettid);
    (void)!read((int)(intptr_t)((void **)argument)[0], &byte, 1);
    return NULL;
}

static void threads(void) {
    int wake[2];
    volatile pid_t id = 0;
    char number[16], path[64];
    pthread_t thread;
    CHECK_OK(pipe(wake));
    void *argument[2] = {(void *)(intptr_t)wake[0], (void *)(uintptr_t)&id};
    CHECK_EQ(pthread_create(&thread, NULL, wait_in_thread, argument), 0);
    while (id == 0) {
        test_sleep_ms(1);
    }
    snprintf(number, sizeof(number), "%d", (int)id);
    CHECK(lists("/proc/self/task", number));
    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)id);
    CHECK(read_text(path) > 0 && field("Pid:\t") == id && field("Tgid:\t") == getpid() && field("Threads:\t") == 2);
    close(wake[1]);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 1000 && lists("/proc/self/task", number); i++) {
        test_sleep_ms(1); /* it is joined a moment before it is gone */
    }
    CHECK(!lists("/proc/self/task", number));
}

static void settings(void) {
    int fd = (int)CHECK_OK(open("/proc/self/coredump_filter", O_RDWR));
    CHECK_EQ(write(fd, "0x33\n", 5), 5);
    CHECK_ERRNO(write(fd, "nonsense", 8), EINVAL);
    CHECK_OK(close(fd));
    CHECK(read_text("/proc/self/oom_score_adj") > 0);
    struct stat status;
    CHECK_OK(stat("/proc/self/loginuid", &status));
    CHECK_EQ(unlink("/proc/self/stat"), -1);
}

/* --- Command lines of others ---------------------------------------------------------------------------------- */

enum { SOMEBODY = 1077, ANOTHER = 1078, LONG = 9000 };

static char long_argument[LONG + 1];

/* This program, which is to list its cases: it stops at the first, as nobody takes what it writes. */
static pid_t start_listing(uid_t user) {
    int ends[2];
    static char fill[4096], path[256];
    char *const arguments[] = {"/renamed", "--list", "two words", "", long_argument, NULL};
    memset(long_argument, 'x', LONG);
    CHECK_OK(pipe(ends));
    CHECK(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
    CHECK_OK(fcntl(ends[1], F_SETFL, O_NONBLOCK));
    while (write(ends[1], fill, sizeof(fill)) > 0) {
    }
    while (write(ends[1], fill, 1) > 0) {
    }
    CHECK_OK(fcntl(ends[1], F_SETFL, 0));
    CHECK_OK(fcntl(ends[0], F_SETFD, 0)); /* it reads none, but is no broken pipe */
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(setgid(user));
        CHECK_OK(setuid(user));
        CHECK_OK(dup2(ends[1], 1));
        execv(path, arguments);
        _exit(9);
    }
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void check_listing(pid_t pid) {
    static const char begin[] = "/renamed\0--list\0two words\0";
    ssize_t length = 0;
    for (int i = 0; i < 2000 && (length < 10 || memcmp(text, begin, 9) != 0); i++) {
        test_sleep_ms(1);
        length = read_text(path_of(pid, "cmdline"));
    }
    CHECK_EQ(length, sizeof(begin) + LONG + 1);
    CHECK(memcmp(text, begin, sizeof(begin)) == 0 && memcmp(text + sizeof(begin), long_argument, LONG + 1) == 0);
    CHECK(read_in_pieces(path_of(pid, "cmdline"), 7) == length && memcmp(text, begin, sizeof(begin)) == 0);
}

static void look_at(void *pid) {
    char own[512];
    CHECK_OK(setgid(SOMEBODY));
    CHECK_OK(setuid(SOMEBODY));
    check_listing(*(const pid_t *)pid);
    ssize_t length = read_text("/proc/self/cmdline"); /* a child begins with its parent's */
    CHECK(length > 0 && (size_t)length < sizeof(own));
    memcpy(own, text, (size_t)length);
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_EQ(read_text(path_of(getppid(), "cmdline")), length);
        CHECK(memcmp(own, text, (size_t)length) == 0);
        pause();
    }
    CHECK_EQ(read_text(path_of(child, "cmdline")), length);
    CHECK(memcmp(own, text, (size_t)length) == 0);
    CHECK_OK(kill(child, SIGKILL));
    CHECK_SIGNALED(test_wait(child), SIGKILL);
}

static void command_lines(void) {
    if (setgid(0) != 0 || getuid() != 0) {
        test_skip("needs root");
    }
    pid_t pid = start_listing(SOMEBODY);
    check_listing(pid); /* root may */
    CHECK_EXITED(test_run_child(look_at, &pid));
    CHECK(read_text(path_of(pid, "limits")) > 0 && strstr(text, "Max open files") != NULL);
    int fd = (int)CHECK_OK(open(path_of(pid, "cmdline"), O_RDONLY));
    CHECK_OK(kill(pid, SIGKILL));
    siginfo_t ended;
    CHECK_OK(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT));
    CHECK_EQ(read_text(path_of(pid, "cmdline")), 0); /* a zombie has none */
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK(pread(fd, text, 10, 0) <= 0);
    close(fd);
}

static void may_not_look(void *pid) {
    CHECK_OK(setgid(ANOTHER));
    CHECK_OK(setuid(ANOTHER));
    CHECK_ERRNO(open(path_of(*(const pid_t *)pid, "cmdline"), O_RDONLY), EACCES);
    CHECK_ERRNO(open("/proc/1/cmdline", O_RDONLY), EACCES);
}

struct inherited {
    int fd;
    pid_t pid;
};

static void may_look_no_more(void *argument) {
    const struct inherited *inherited = argument;
    char byte;
    CHECK_EQ(pread(inherited->fd, &byte, 1, 0), 1);
    CHECK_OK(setgid(ANOTHER));
    CHECK_OK(setuid(ANOTHER));
    CHECK_ERRNO(pread(inherited->fd, &byte, 1, 0), EACCES);
}

/* Linux shows them to everybody, unless it is told not to. */
static void command_lines_of_strangers(void) {
    test_needs_penumbra();
    pid_t pid = start_listing(SOMEBODY);
    check_listing(pid);
    CHECK_EXITED(test_run_child(may_not_look, &pid));
    struct inherited inherited = {(int)CHECK_OK(open(path_of(pid, "cmdline"), O_RDONLY)), pid};
    CHECK_EXITED(test_run_child(may_look_no_more, &inherited));
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

static void load(void) {
    double one, five, fifteen;
    int running, all, last;
    CHECK(read_text("/proc/loadavg") > 0);
    CHECK_EQ(sscanf(text, "%lf %lf %lf %d/%d %d\n", &one, &five, &fifteen, &running, &all, &last), 6);
    CHECK(one >= 0 && five >= 0 && fifteen >= 0 && running >= 1 && all >= running);
    test_needs_penumbra(); /* here nobody else works */
    const uint64_t end = test_now_ns() + 60000000000UL;
    do { /* a sample is taken each five seconds */
        const uint64_t until = test_now_ns() + 200000000;
        while (test_now_ns() < until) {
        }
        CHECK(read_text("/proc/loadavg") > 0 && sscanf(text, "%lf", &one) == 1);
    } while (one < 0.08 && test_now_ns() < end);
    CHECK(one >= 0.08);
}

/* --- Penumbra's own: who is told what ----------------------------------------------------------------------------- */

static void check_closed(pid_t pid) {
    static const char *const names[] = {"environ", "auxv", "maps"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CHECK_ERRNO(open(path_of(pid, names[i]), O_RDONLY), EACCES);
    }
    char link[8];
    CHECK_ERRNO(readlink(path_of(pid, "exe"), link, sizeof(link)), ENOENT);
    CHECK_ERRNO(readlink(path_of(pid, "cwd"), link, sizeof(link)), ENOENT);
    CHECK_ERRNO(open(path_of(pid, "fd/0"), O_RDONLY), ENOENT);
}

static void read_inherited(void *argument) {
    char byte;
    CHECK_ERRNO(pread(*(int *)argument, &byte, 1, 0), EACCES);
}

/* What is in a process's memory, and where, is told to nobody else, by no way: user 0 asks here. */
static void privacy(void) {
    test_needs_penumbra();
    check_closed(1);
    int own = (int)CHECK_OK(open("/proc/self/maps", O_RDONLY));
    char byte;
    CHECK_EQ(pread(own, &byte, 1, 0), 1);
    CHECK_EXITED(test_run_child(read_inherited, &own));
    CHECK(read_text("/proc/1/stat") > 0 && strstr(text, "(init)") != NULL);
    CHECK(strstr(text, " 0 0 0 0 0 ") != NULL); /* code, stack: not said */
}

static void isolation(void) {
    test_needs_penumbra();
    static const char *const modes[] = {"none\n", "classic\n", "naive\n", "asi\n"};
    CHECK(read_text("/proc/asi/mode") > 0 && strcmp(text, modes[penumbra_state().mode]) == 0);
    CHECK(read_text("/proc/asi/counters") > 0 && field("cr3_writes ") > 0 && field("exits_file ") >= 0);
    CHECK(read_text("/proc/asi/memory") > 0 && field("total ") == (long)penumbra_memory().frames_total);
    CHECK(read_text("/proc/asi/processes") > 0 && strstr(text, " init\n") != NULL && strstr(text, " procfs\n") != NULL);
    CHECK(read_text("/proc/self/asi") > 0 && field("page_faults ") > 0 && field("resident ") > 0);
    CHECK(read_text("/proc/asi/sites") >= 0 && read_text("/proc/asi/domains") > 0 && read_text("/proc/asi/flush") > 0);
}

/* Everything here, in mode asi, without leaving the restricted space. */
static void no_exit(void) {
    test_needs_penumbra();
    if (penumbra_state().mode != ASI_MODE_ASI) {
        return;
    }
    static const char *const paths[] = {"/proc/self/stat", "/proc/self/maps", "/proc/self/cmdline",
                                        "/proc/self/fd/0", "/proc/1/status",  "/proc/asi/counters",
                                        "/proc/meminfo",   "/proc/1/cmdline", "/proc/loadavg"};
    struct asi_counters before = penumbra_counters(0);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct stat status;
        CHECK_OK(stat(paths[i], &status));
        if (S_ISREG(status.st_mode)) {
            CHECK(read_text(paths[i]) > 0);
        }
    }
    CHECK(lists("/proc", "1") && lists("/proc/self/fd", "0"));
    struct asi_counters after = penumbra_counters(0);
    CHECK_EQ(penumbra_exits(&after), penumbra_exits(&before));
}

enum { MANY = 200 };

/* Names of processes that come and go while they are listed leave nothing behind. */
static void many(void) {
    for (int round = 0; round < MANY; round++) {
        struct stat status;
        pid_t child = fork();
        if (child == 0) {
            (void)!stat("/proc/self/task", &status);
            _exit(0);
        }
        CHECK_OK(child);
        (void)!stat(path_of(child, "fd"), &status);
        if (round % 16 == 0) {
            CHECK(lists("/proc", "self"));
        }
        CHECK_EXITED(test_wait(child));
        CHECK_ERRNO(stat(path_of(child, ""), &status), ENOENT);
    }
}

static const struct test_case cases[] = {
    {"self", self},
    {"formats", formats},
    {"identifiers", identifiers},
    {"own-memory", own_memory},
    {"handles", handles},
    {"another", another},
    {"threads", threads},
    {"settings", settings},
    {"privacy", privacy},
    {"isolation", isolation},
    {"no-exit", no_exit},
    {"many", many},
    {"command-lines", command_lines},
    {"command-lines-of-strangers", command_lines_of_strangers},
    {"load", load},
};
TEST_MAIN(cases)
