/* Running one test program. See run_program.h. Output goes to two files, so that a broken pipe breaks only the tests of
 * pipes. */
#include "tests/user/lib/run_program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/test.h"

#define OUTPUT_FILE "/tmp/runner-output"
#define ERRORS_FILE "/tmp/runner-errors"

enum { LEFT_OVER_MAX = 5000 };

static void redirect(const char *path, int target) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    if (fd >= 0 && fd != target) {
        dup2(fd, target);
        close(fd);
    }
}

static _Noreturn void become(const char *path, const char *argument, bool loud) {
    char *argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)argument, NULL};
    char *envp[] = {NULL};
    setsid();
    if (!loud) {
        redirect(OUTPUT_FILE, STDOUT_FILENO);
        redirect(ERRORS_FILE, STDERR_FILENO);
    }
    execve(path, argv, envp);
    dprintf(STDERR_FILENO, "%s cannot be executed: %s\n", path, strerror(errno));
    _exit(TEST_FAILED);
}

static bool wait_within(pid_t pid, int limit_ms, int *status) {
    uint64_t deadline = test_now_ns() + (uint64_t)limit_ms * 1000000;
    int pause_ms = 1;
    for (;;) {
        pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid || (ended < 0 && errno != EINTR)) {
            return true;
        }
        if (test_now_ns() > deadline) {
            return false;
        }
        test_sleep_ms(pause_ms);
        pause_ms = pause_ms < 20 ? pause_ms + 1 : 20;
    }
}

/* Reads up to `size` - 1 bytes from the start of a file, ends them with a zero byte; hashes all of it (FNV-1a). */
static uint64_t read_whole(const char *path, char *start, size_t size) {
    static char block[4096];
    uint64_t hash = 0xcbf29ce484222325;
    size_t kept = 0;
    ssize_t length;
    int fd = open(path, O_RDONLY);
    while (fd >= 0 && (length = read(fd, block, sizeof(block))) > 0) {
        for (ssize_t i = 0; i < length; i++) {
            hash = (hash ^ (uint8_t)block[i]) * 0x100000001b3;
        }
        size_t part = (size_t)length < size - 1 - kept ? (size_t)length : size - 1 - kept;
        memcpy(start + kept, block, part);
        kept += part;
    }
    start[kept] = '\0';
    close(fd);
    return hash;
}

/* The first line that a test wrote to standard error is its own; what follows comes of it. */
static void explain(int wait_status, bool in_time, int limit_ms, struct run_result *result) {
    size_t length = strcspn(result->reason, "\n");
    result->reason[length] = '\0';
    size_t left = sizeof(result->reason) - length;
    const char *gap = length > 0 ? "; " : "";
    if (!in_time) {
        snprintf(result->reason + length, left, "%sno end after %d s", gap, limit_ms / 1000);
    } else if (WIFSIGNALED(wait_status)) {
        snprintf(result->reason + length, left, "%skilled by signal %d", gap, WTERMSIG(wait_status));
    } else if (length == 0) {
        snprintf(result->reason, left, "exit status %d", WEXITSTATUS(wait_status));
    }
}

/* Removes a directory tree, or a file. */
static void remove_tree(const char *path, int depth) {
    char inner[512];
    struct dirent *entry;
    if (unlink(path) == 0 || depth > 8) {
        return;
    }
    DIR *directory = opendir(path);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
            remove_tree(inner, depth + 1);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
    rmdir(path);
}

static void clean_up(bool passed) {
    char path[300];
    struct dirent *entry;
    unlink(OUTPUT_FILE);
    unlink(ERRORS_FILE);
    DIR *directory = passed ? NULL : opendir("/tmp");
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, "test-", 5) == 0) {
            snprintf(path, sizeof(path), "/tmp/%s", entry->d_name);
            remove_tree(path, 0);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
}

/* Whether a process of the session was there to be killed. */
static bool kill_one_of(pid_t session) {
    char path[300], line[512];
    bool found = false;
    struct dirent *entry;
    DIR *directory = opendir("/proc");
    while (!found && directory != NULL && (entry = readdir(directory)) != NULL) {
        int pid = atoi(entry->d_name), of = 0;
        char state = 'Z';
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *stat = pid > 1 ? fopen(path, "r") : NULL;
        if (stat != NULL && fgets(line, sizeof(line), stat) != NULL && strrchr(line, ')') != NULL) {
            sscanf(strrchr(line, ')'), ") %c %*d %*d %d", &state, &of);
        }
        if (stat != NULL) {
            fclose(stat);
        }
        found = of == session && state != 'Z' && kill(pid, SIGKILL) == 0;
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return found;
}

/* Whatever a test left running, in other process groups too: a fork bomb that has lost its parent, say. */
static void kill_session(pid_t session) {
    for (int round = 0; round < LEFT_OVER_MAX && kill_one_of(session); round++) {
    }
}

void run_program(const char *path, const char *argument, int limit_ms, bool loud, struct run_result *result) {
    int wait_status = 0;
    memset(result, 0, sizeof(*result));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        become(path, argument, loud);
    }
    if (pid < 0) {
        result->status = -1;
        snprintf(result->reason, sizeof(result->reason), "fork: %s", strerror(errno));
        return;
    }
    bool in_time = wait_within(pid, limit_ms, &wait_status);
    kill(-pid, SIGKILL); /* whatever it left running */
    if (!in_time) {
        kill(pid, SIGKILL);
        waitpid(pid, &wait_status, 0);
    }
    if (!loud) {
        result->printed = read_whole(OUTPUT_FILE, result->output, sizeof(result->output));
        read_whole(ERRORS_FILE, result->reason, sizeof(result->reason));
    }
    result->status = in_time && WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    if (result->status != TEST_PASSED) {
        explain(wait_status, in_time, limit_ms, result);
        kill_session(pid);
    }
    clean_up(result->status == TEST_PASSED);
}
