/*
 * The test runner: every case of every program in /tests, in every mode, and what must hold after each of them.
 *
 *     runner [WORD…]     words as on the kernel's command line, which is read first:
 *     tests=A,B          programs (files) or cases (files/pread); all
 *     modes=none,asi     all four; one pass called `linux` where there is no SYS_ASI
 *     limit=SECONDS      for one case; 60
 *     dir=PATH           where the programs are; /tests
 *     after=MODE/PROGRAM/CASE   leave out everything up to and with this (tests/run goes on so when a case stopped the
 * kernel) verbose=1          the cases write to the console instead of being quoted when they fail
 *
 * A line for each case: `ok MODE/PROGRAM/CASE`, `skip …: reason` or `FAIL …: reason`; lines that start with `#` tell
 * what begins. At the end `tests: N passed, N failed`, and exit status 0 or 1.
 *
 * After each case: the audit is clean; processes, threads, frames and kernel heap are as before; and what the case
 * printed is what it printed in the first mode (SAME). Before memory is counted, what the kernel caches of files and
 * names is dropped; what servers have taken meanwhile (SYS_ASI tells) is theirs. The kernel may keep what it caches on
 * first use (the pages of a program that was never run; a table for the runner's views of a part of memory where it
 * had none): a case that seems to have lost memory runs again, and only what it loses every time is lost.
 */
#include "tests/user/lib/run_program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { MAX_CASES = 600, MODE_LINUX = ASI_MODES, ATTEMPTS = 8 };

struct settings {
    char text[4096];
    const char *tests, *modes, *after, *directory; /* `after`: NULL once it has been passed */
    int limit_ms;
    bool verbose;
};

struct known_case {
    char program[32], name[48];
    uint64_t printed; /* hash of what it printed in the first mode in which it passed */
    bool has_printed;
};

static struct settings settings = {.directory = "/tests", .limit_ms = 60000};
static struct known_case cases[MAX_CASES];
static int case_count, passed, failed, skipped, settled;
static bool penumbra;

/* --- Settings -------------------------------------------------------------------------------------------------- */

static void note_word(char *word) {
    if (strncmp(word, "tests=", 6) == 0) {
        settings.tests = word + 6;
    } else if (strncmp(word, "modes=", 6) == 0) {
        settings.modes = word + 6;
    } else if (strncmp(word, "after=", 6) == 0) {
        settings.after = word + 6;
    } else if (strncmp(word, "dir=", 4) == 0) {
        settings.directory = word + 4;
    } else if (strncmp(word, "limit=", 6) == 0) {
        settings.limit_ms = atoi(word + 6) * 1000;
    } else if (strncmp(word, "verbose=", 8) == 0) {
        settings.verbose = atoi(word + 8) != 0;
    }
}

static void read_settings(char **words) {
    if (penumbra) {
        int fd = open("/proc/cmdline", O_RDONLY);
        ssize_t length = fd < 0 ? 0 : read(fd, settings.text, sizeof(settings.text) - 1);
        settings.text[length < 0 ? 0 : length] = '\0';
        close(fd);
    }
    for (char *word = strtok(settings.text, " \n"); word != NULL; word = strtok(NULL, " \n")) {
        note_word(word);
    }
    for (; *words != NULL; words++) {
        note_word(*words);
    }
}

/* `list`: comma-separated; NULL has everything. An entry may be the whole name or its part before a slash. */
static bool in_list(const char *list, const char *name) {
    if (list == NULL) {
        return true;
    }
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        if (strncmp(list, name, length) == 0 && (name[length] == '\0' || name[length] == '/')) {
            return true;
        }
        list += length + (list[length] == ',');
    }
    return false;
}

/* --- Which cases there are ------------------------------------------------------------------------------------- */

static void add_cases_of(const char *program) {
    char path[128], full[96];
    snprintf(path, sizeof(path), "%s/%s", settings.directory, program);
    struct run_result result;
    run_program(path, "--list", settings.limit_ms, false, &result);
    if (result.status != 0) {
        printf("FAIL %s: --list: %s\n", program, result.reason);
        failed++;
        return;
    }
    for (char *name = strtok(result.output, "\n"); name != NULL && case_count < MAX_CASES; name = strtok(NULL, "\n")) {
        snprintf(full, sizeof(full), "%s/%s", program, name);
        if (in_list(settings.tests, full)) {
            struct known_case *added = &cases[case_count++];
            snprintf(added->program, sizeof(added->program), "%s", program);
            snprintf(added->name, sizeof(added->name), "%s", name);
        }
    }
}

static bool is_test_program(const char *name) {
    return name[0] != '.' && strcmp(name, "runner") != 0 && strcmp(name, "boottime") != 0 &&
           strcmp(name, "torture") != 0 && strcmp(name, "fuzzer") != 0;
}

/* A filter by program saves asking the others what they have. */
static bool program_wanted(const char *program) {
    size_t length = strlen(program);
    for (const char *at = settings.tests; at != NULL && (at = strstr(at, program)) != NULL; at++) {
        bool starts = at == settings.tests || at[-1] == ',';
        if (starts && (at[length] == '\0' || at[length] == ',' || at[length] == '/')) {
            return true;
        }
    }
    return settings.tests == NULL;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void find_cases(void) {
    char *programs[128];
    size_t count = 0;
    DIR *directory = opendir(settings.directory);
    if (directory == NULL) {
        printf("FAIL runner: %s cannot be listed: %s\n", settings.directory, strerror(errno));
        failed++;
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL && count < 128) {
        if (is_test_program(entry->d_name) && program_wanted(entry->d_name)) {
            programs[count++] = strdup(entry->d_name);
        }
    }
    closedir(directory);
    qsort(programs, count, sizeof(programs[0]), by_text);
    for (size_t i = 0; i < count; i++) {
        add_cases_of(programs[i]);
    }
}

/* --- One case -------------------------------------------------------------------------------------------------- */

/* What is reclaimed asynchronously gets a moment. Returns false, with the difference in words, when it stays. */
static bool memory_returned(const struct asi_memory *before, char *words, size_t size) {
    enum { SPREAD = 4 };
    struct asi_memory now;
    for (int attempt = 0; attempt < 50; attempt++) {
        cache_drop();
        now = penumbra_memory();
        if (penumbra_memory_is_as(&now, before, SPREAD)) {
            return true;
        }
        test_sleep_ms(attempt < 10 ? 1 : 5);
    }
    snprintf(words, size,
             "not returned: %+lld frames, of the heap %+lld frames and %+lld bytes, %+lld processes, %+lld threads",
             (long long)(penumbra_frames_accounted(&now) - penumbra_frames_accounted(before)),
             (long long)(now.frames_global - before->frames_global),
             (long long)(penumbra_heap_accounted(&now) - penumbra_heap_accounted(before)),
             (long long)(now.processes - before->processes), (long long)(now.threads - before->threads));
    return false;
}

static void check_audit(struct run_result *result) {
    struct asi_audit_report report;
    if (penumbra_call(ASI_OP_AUDIT, ASI_BREAK_NOTHING, &report, sizeof(report)) < 0) {
        snprintf(result->reason, sizeof(result->reason), "the audit failed: %s", strerror(errno));
        result->status = -1;
    } else if (penumbra_violations(&report) != 0) {
        snprintf(result->reason, sizeof(result->reason), "audit: %llu violations: %s", penumbra_violations(&report),
                 report.first);
        result->status = -1;
    }
}

/* Runs it until memory is as before, or ATTEMPTS times. */
static void run_case(const struct known_case *test, struct run_result *result) {
    char path[128], words[160];
    snprintf(path, sizeof(path), "%s/%s", settings.directory, test->program);
    for (int attempt = 1; attempt <= ATTEMPTS; attempt++) {
        struct asi_memory before = {0};
        if (penumbra) {
            cache_drop();
            before = penumbra_memory();
        }
        run_program(path, test->name, settings.limit_ms, settings.verbose, result);
        if (!penumbra) {
            return;
        }
        bool returned = memory_returned(&before, words, sizeof(words));
        if (result->status == TEST_PASSED || result->status == TEST_SKIPPED) {
            check_audit(result);
        }
        if (returned || (result->status != TEST_PASSED && result->status != TEST_SKIPPED)) {
            settled += attempt > 1;
            return;
        }
    }
    snprintf(result->reason, sizeof(result->reason), "%s", words);
    result->status = -1;
}

static void check_same(struct known_case *test, struct run_result *result) {
    if (settings.verbose || result->status != TEST_PASSED) {
        return;
    }
    if (!test->has_printed) {
        test->has_printed = true;
        test->printed = result->printed;
    } else if (test->printed != result->printed) {
        snprintf(result->reason, sizeof(result->reason), "printed something else than in the first mode");
        result->status = -1;
    }
}

static void report_case(const char *mode, struct known_case *test) {
    static struct run_result result;
    printf("# %s/%s/%s\n", mode, test->program, test->name);
    run_case(test, &result);
    check_same(test, &result);
    if (result.status == TEST_PASSED) {
        passed++;
        printf("ok %s/%s/%s\n", mode, test->program, test->name);
    } else if (result.status == TEST_SKIPPED) {
        skipped++;
        printf("skip %s/%s/%s: %s\n", mode, test->program, test->name, result.reason);
    } else {
        failed++;
        printf("FAIL %s/%s/%s: %s\n", mode, test->program, test->name, result.reason);
    }
}

/* True for what comes before `after`, and for itself. */
static bool left_out(const char *mode, const struct known_case *test) {
    char name[128];
    if (settings.after == NULL) {
        return false;
    }
    snprintf(name, sizeof(name), "%s/%s/%s", mode, test->program, test->name);
    if (strcmp(name, settings.after) == 0) {
        settings.after = NULL;
    }
    return true;
}

static void run_mode(unsigned mode) {
    const char *name = mode == MODE_LINUX ? "linux" : penumbra_mode_names[mode];
    if (mode != MODE_LINUX && !in_list(settings.modes, name)) {
        return;
    }
    for (int i = 0; i < case_count; i++) {
        if (left_out(name, &cases[i])) {
            continue;
        }
        if (mode != MODE_LINUX && penumbra_call(ASI_OP_SET_MODE, mode, NULL, 0) < 0) {
            printf("FAIL %s: the mode cannot be set: %s\n", name, strerror(errno));
            failed++;
            return;
        }
        report_case(name, &cases[i]);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    setvbuf(stdout, NULL, _IOLBF, 0);
    penumbra = on_penumbra();
    read_settings(argv + 1);
    find_cases();
    for (unsigned mode = penumbra ? 0 : MODE_LINUX; mode < (penumbra ? MODE_LINUX : MODE_LINUX + 1); mode++) {
        run_mode(mode);
    }
    if (settled > 0) {
        printf("# %d cases had memory back only when they ran again\n", settled);
    }
    if (skipped > 0) {
        printf("# %d skipped\n", skipped);
    }
    printf("tests: %d passed, %d failed\n", passed, failed);
    return passed > 0 && failed == 0 ? TEST_PASSED : TEST_FAILED;
}
