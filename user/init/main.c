/*
 * init: process 1. Runs what the kernel command line asks for, takes in orphans, and ends with the status of what it
 * ran, which is how the machine powers off.
 *
 *     run=bench (default) | lebench | prog | tests | shell | torture | fuzz | scale | views | demo
 *     bench=WORD[,WORD…]   table (default), or options of asibench without their dashes: csv, check
 *     bench.NAME=VALUE     passed to asibench as --NAME=VALUE; torture.…, fuzz.…, scale.… likewise
 *     prompt=1             a shell afterwards
 *     gui=1                the console's driver draws the screen, with a status line, and takes the keyboard
 *     services=0|1         without servers and drivers but those of the root (default for what measures and tests), or
 *                          with them; a prompt has them, unless 0
 *     disk=PATH            where the first disk is mounted [/mnt]
 *
 * run=prog takes the arguments from /etc/penumbra/argv, one a line, the first being the path. Words given to init
 * itself come after those of /proc/cmdline and win, as with Linux.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "user/init/console.h"
#include "user/init/services.h"
#include "user/lib/native.h"

enum { MAX_ARGUMENTS = 256, MAX_TEXT = 65536, STATUS_NOT_STARTED = 127, AUTHORITY_OF_TESTS = 1000 };

static char cmdline[4096]; /* words separated by blanks */
static char *arguments[MAX_ARGUMENTS + 1];
static unsigned argument_count;

/* Standard input, output and error are the console even when the kernel started init with nothing open. */
static void open_console(void) {
    while (fcntl(STDERR_FILENO, F_GETFD) < 0) {
        int console = open("/dev/console", O_RDWR);
        if (console < 0 || console > STDERR_FILENO) {
            break;
        }
    }
}

static ssize_t read_file(const char *name, char *text, size_t size) {
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -1;
    }
    size_t length = 0;
    ssize_t count;
    while (length + 1 < size && (count = read(file, text + length, size - 1 - length)) > 0) {
        length += (size_t)count;
    }
    close(file);
    text[length] = '\0';
    return (ssize_t)length;
}

static void read_cmdline(char **own_words) {
    if (read_file("/proc/cmdline", cmdline, sizeof cmdline) < 0) {
        cmdline[0] = '\0';
    }
    for (; *own_words != NULL; own_words++) {
        size_t length = strlen(cmdline);
        snprintf(cmdline + length, sizeof cmdline - length, " %s", *own_words);
    }
}

/* Calls visit(word) for each word of the command line. */
static void for_each_word(void (*visit)(const char *word)) {
    static char copy[sizeof cmdline];
    char *rest;
    strcpy(copy, cmdline);
    for (char *word = strtok_r(copy, " \t\n", &rest); word != NULL; word = strtok_r(NULL, " \t\n", &rest)) {
        visit(word);
    }
}

static char run[32] = "bench", bench[128] = "table", prompt[8] = "0", services[8] = "", disk[128] = "/mnt";
static bool with_services, gui;

static void note_setting(const char *word) {
    if (strncmp(word, "run=", 4) == 0) {
        snprintf(run, sizeof run, "%s", word + 4);
    } else if (strncmp(word, "bench=", 6) == 0) {
        snprintf(bench, sizeof bench, "%s", word + 6);
    } else if (strncmp(word, "prompt=", 7) == 0) {
        snprintf(prompt, sizeof prompt, "%s", word + 7);
    } else if (strncmp(word, "services=", 9) == 0) {
        snprintf(services, sizeof services, "%s", word + 9);
    } else if (strncmp(word, "disk=", 5) == 0) {
        snprintf(disk, sizeof disk, "%s", word + 5);
    } else if (strncmp(word, "gui=", 4) == 0) {
        gui = strcmp(word + 4, "0") != 0;
    }
}

static bool is_measurement(void) {
    static const char *const names[] = {"bench", "lebench", "scale", "views"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(run, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void add_argument(const char *text) {
    if (argument_count < MAX_ARGUMENTS) {
        arguments[argument_count++] = strdup(text);
        arguments[argument_count] = NULL;
    }
}

static void add_option(const char *name) {
    char option[256];
    snprintf(option, sizeof option, "--%s", name);
    add_argument(option);
}

/* RUN.NAME=VALUE becomes --NAME=VALUE for the program that run=RUN names. */
static void add_option_of_run(const char *word) {
    size_t length = strlen(run);
    if (strncmp(word, run, length) == 0 && word[length] == '.') {
        add_option(word + length + 1);
    }
}

static void plan_bench(void) {
    char *rest;
    add_argument("/bin/asibench");
    for (char *word = strtok_r(bench, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (strcmp(word, "table") != 0) {
            add_option(word);
        }
    }
    for_each_word(add_option_of_run);
}

static void plan_with_options(const char *program) {
    add_argument(program);
    for_each_word(add_option_of_run);
}

/* One argument a line; an empty line is an empty argument. */
static bool plan_program(void) {
    static char text[MAX_TEXT];
    const char *name = "/etc/penumbra/argv";
    errno = 0;
    if (read_file(name, text, sizeof text) <= 0) {
        console_say("init: %s: %s\n", name, errno ? strerror(errno) : "empty");
        return false;
    }
    for (char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        bool last = line[length] == '\0';
        line[length] = '\0';
        add_argument(line);
        line += length + !last;
    }
    return true;
}

/* Tests of drivers and mounts need what only process 1 gets: they have it as this descriptor. */
static void give_tests_authority(void) {
    int handle = authority();
    if (handle >= 0) {
        dup2(handle, AUTHORITY_OF_TESTS);
        close(handle);
    }
}

static bool plan(void) {
    if (strcmp(run, "bench") == 0) {
        plan_bench();
    } else if (strcmp(run, "prog") == 0) {
        return plan_program();
    } else if (strcmp(run, "tests") == 0) {
        add_argument("/tests/runner");
        give_tests_authority();
    } else if (strcmp(run, "shell") == 0) {
        add_argument("/bin/sh");
    } else if (strcmp(run, "torture") == 0) {
        plan_with_options("/tests/torture");
    } else if (strcmp(run, "fuzz") == 0) {
        plan_with_options("/tests/fuzzer");
        give_tests_authority();
    } else if (strcmp(run, "lebench") == 0) {
        plan_with_options("/bin/lebench");
    } else if (strcmp(run, "scale") == 0) {
        plan_with_options("/bin/asiscale");
    } else if (strcmp(run, "views") == 0) {
        plan_with_options("/bin/asiviews");
    } else if (strcmp(run, "demo") == 0) {
        plan_with_options("/sbin/demo");
    } else {
        console_say("init: run=%s is none of bench, lebench, prog, tests, shell, torture, fuzz, scale, views, demo\n",
                    run);
        return false;
    }
    return true;
}

/* Makes `group` the one that Ctrl-C reaches. Without a terminal this fails, and nothing is lost. */
static void give_terminal(pid_t group) { ioctl(STDIN_FILENO, TIOCSPGRP, &group); }

static _Noreturn void become(char **words) {
    services_leave();
    setpgid(0, 0);
    give_terminal(getpid());
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGTTOU, SIG_DFL);
    execv(words[0], words);
    fprintf(stderr, "init: %s: %s\n", words[0], strerror(errno));
    _exit(STATUS_NOT_STARTED);
}

/*
 * Waits for `child`. The console's driver is started again; whatever else ends meanwhile is an orphan, only reaped.
 */
static int wait_and_reap(pid_t child) {
    int status;
    for (;;) {
        pid_t ended = waitpid(-1, &status, 0);
        if (ended == child) {
            return status;
        }
        console_note_end(ended);
        if (ended < 0 && errno != EINTR) {
            console_say("init: wait: %s\n", strerror(errno));
            return STATUS_NOT_STARTED << 8;
        }
    }
}

static int describe_end(const char *name, int status) {
    if (WIFSIGNALED(status)) {
        console_say("init: %s killed by signal %d\n", name, WTERMSIG(status));
        return 128 + WTERMSIG(status);
    }
    if (WEXITSTATUS(status) != 0) {
        console_say("init: %s ended with status %d\n", name, WEXITSTATUS(status));
    }
    return WEXITSTATUS(status);
}

static int run_program(char **words) {
    pid_t child = fork();
    if (child == 0) {
        become(words);
    }
    if (child < 0) {
        console_say("init: fork: %s\n", strerror(errno));
        return STATUS_NOT_STARTED;
    }
    setpgid(child, child);
    give_terminal(child);
    int status = with_services ? services_wait_for(child) : wait_and_reap(child);
    give_terminal(getpgrp());
    return describe_end(words[0], status);
}

/* What measures and tests has the machine for itself, and starts what it needs. */
static bool services_wanted(void) {
    if (services[0] != '\0') {
        return strcmp(services, "0") != 0;
    }
    return strcmp(run, "shell") == 0 || strcmp(run, "prog") == 0;
}

int main(int argc, char **argv) {
    static char *shell[] = {"/bin/sh", NULL};
    (void)argc;
    open_console();
    if (getpid() == 1) {
        setsid();
        ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    }
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
    setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
    setenv("HOME", "/", 1);
    setenv("ENV", "/etc/shrc", 1);
    read_cmdline(argv + 1);
    for_each_word(note_setting);
    setenv("TERM", gui ? "linux" : "vt100", 0);
    if (is_measurement()) {
        personality(ADDR_NO_RANDOMIZE); /* what is measured lies at the same addresses in every run */
    }
    const bool first = getpid() == 1;
    with_services = first && services_start_root();
    if (first && !with_services) {
        console_say("init: the root's file server does not come\n");
        return STATUS_NOT_STARTED;
    }
    bool console_serves = first && console_start(strcmp(prompt, "1") == 0 || strcmp(run, "shell") == 0, gui);
    bool all_services = services_wanted() && services_start(disk);
    int status = plan() ? run_program(arguments) : STATUS_NOT_STARTED;
    if (strcmp(prompt, "1") == 0) {
        personality(PER_LINUX);
        if (!all_services && strcmp(services, "0") != 0) {
            all_services = services_start(disk); /* not before: what was measured was measured alone */
        }
        run_program(shell);
    }
    if (with_services) {
        services_end();
    }
    if (console_serves) {
        tcdrain(STDOUT_FILENO); /* the machine is about to be switched off */
    }
    return status;
}
