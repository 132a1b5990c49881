/*
 * asirun: what isolation costs a command: runs it in each mode, several times in turn, and says what differed.
 *
 * Exit status: that of the command (128 + signal when killed); 2 wrong usage, 125 asirun itself failed, 126 the command
 * cannot be run, 127 it is not there; with --check 3 when mode asi left the restricted space, or a run wrote or ended
 * otherwise than the first.
 */
#include "user/lib/run.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_USAGE = 2, STATUS_CHECK = 3, STATUS_FAILED = 125, STATUS_NOT_RUN = 126, STATUS_NOT_FOUND = 127 };

static struct run_report report = {.output = -1};

static const char help[] =
    "usage: asirun [OPTION…] COMMAND [ARGUMENT…]\n"
    "\n"
    "Runs COMMAND in each mode of the isolation, the modes taking turns, and prints for each mode: ticks and their "
    "ratio to\n"
    "the first mode, exits from the restricted space by cause and by kernel symbol, CR3 writes, flushes, switches, and "
    "how\n"
    "many pages its kernel's space maps. Setting modes needs uid 0. The mode and flush of before are set again at the "
    "end.\n"
    "\n"
    "  -m, --modes=LIST    modes in this order, the first being what the others are compared with\n"
    "                      [none,classic,naive,asi]\n"
    "  -n, --rounds=N      measured rounds, 1 to 101 [3]; ticks are the median\n"
    "  -w, --warm=N        rounds before these, not measured [1]; 0: nor are pages counted\n"
    "  -f, --flush=WHAT    price of flushes: auto, off or cost:IBPB,VERW,CR3 (docs/benchmark.md) [as it is set]\n"
    "  -b, --before=LINE   a line for /bin/sh before each run, not measured: puts right what the command changes\n"
    "  -i, --input=FILE    its standard input [/dev/null]\n"
    "  -o, --output=WHAT   first: what the first run wrote is shown, all others are compared with it [first]\n"
    "                      none: compared, not shown    terminal: each run writes where asirun does\n"
    "  -c, --csv           print CSV after the table\n"
    "  -N, --name=NAME     what the command is called in table and CSV [its first word]\n"
    "      --check         end with 3 when mode asi has exits, or when a run wrote or ended otherwise than the first\n"
    "  -h, --help          this\n"
    "\n"
    "Ticks are the machine's: under QEMU's TCG they are the host's time, and noisy; with ICOUNT=1 instructions "
    "(tools/run).\n";

static int usage(const char *text, const char *word) {
    fprintf(stderr, "asirun: %s%s%s\nTry asirun --help.\n", text, word ? ": " : "", word ? word : "");
    return STATUS_USAGE;
}

static bool add_mode(struct run_plan *plan, const char *name) {
    enum asi_mode mode;
    if (!asi_parse_mode(name, &mode)) {
        return false;
    }
    for (unsigned i = 0; i < plan->mode_count; i++) {
        if (plan->modes[i] == mode) {
            return false;
        }
    }
    plan->modes[plan->mode_count++] = mode;
    return true;
}

static bool parse_modes(struct run_plan *plan, const char *text) {
    char *list = strdup(text);
    bool valid = list != NULL;
    plan->mode_count = 0;
    for (char *name = valid ? strtok(list, ",") : NULL; name != NULL && valid; name = strtok(NULL, ",")) {
        valid = add_mode(plan, name);
    }
    free(list);
    return valid && plan->mode_count > 0;
}

static bool parse_number(const char *text, unsigned least, unsigned most, unsigned *number) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *number = (unsigned)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value >= least && value <= most;
}

static bool parse_output(const char *text, enum run_output *output) {
    static const char *const names[] = {"first", "none", "terminal"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *output = i;
            return true;
        }
    }
    return false;
}

struct options {
    struct asi_flush flush;
    bool set_flush, csv, check;
};

static bool parse_option(int letter, struct run_plan *plan, struct options *options) {
    switch (letter) {
    case 'm':
        return parse_modes(plan, optarg);
    case 'n':
        return parse_number(optarg, 1, RUN_MAX_ROUNDS, &plan->rounds);
    case 'w':
        return parse_number(optarg, 0, RUN_MAX_ROUNDS, &plan->warm_rounds);
    case 'f':
        return options->set_flush = asi_parse_flush(optarg, &options->flush);
    case 'b':
        plan->before = optarg;
        return true;
    case 'i':
        plan->input = optarg;
        return true;
    case 'o':
        return parse_output(optarg, &plan->output);
    case 'c':
        return options->csv = true;
    case 'N':
        plan->name = optarg;
        return strpbrk(optarg, ",\n") == NULL;
    default:
        return options->check = true;
    }
}

/* Returns 0, or the status to end with; -1: that of success. */
static int parse(int argc, char **argv, struct run_plan *plan, struct options *options) {
    static const struct option names[] = {
        {"modes", required_argument, NULL, 'm'},  {"rounds", required_argument, NULL, 'n'},
        {"warm", required_argument, NULL, 'w'},   {"flush", required_argument, NULL, 'f'},
        {"before", required_argument, NULL, 'b'}, {"input", required_argument, NULL, 'i'},
        {"output", required_argument, NULL, 'o'}, {"csv", no_argument, NULL, 'c'},
        {"name", required_argument, NULL, 'N'},   {"check", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "+:m:n:w:f:b:i:o:cN:h", names, NULL)) != -1) {
        if (letter == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (letter == '?' || letter == ':') {
            return usage(letter == '?' ? "no such option" : "an option without its value", argv[optind - 1]);
        }
        if (!parse_option(letter, plan, options)) {
            return usage("no such value", optarg);
        }
    }
    plan->command = &argv[optind];
    if (plan->command[0] == NULL) {
        return usage("no command", NULL);
    }
    if (plan->name == NULL) {
        char *slash = strrchr(plan->command[0], '/');
        plan->name = slash != NULL ? slash + 1 : plan->command[0];
    }
    return 0;
}

static void restore(void) {
    asi_set_mode(report.state.mode);
    asi_set_flush(&report.state.flush);
}

/* Ctrl-C must not leave the machine in the mode that happened to be measured. */
static void restore_and_end(int signal_number) {
    restore();
    _exit(128 + signal_number);
}

/* Says now what would fail later: another kernel, another user. */
static bool begin(const struct options *options) {
    if (asi_get_state(&report.state) < 0) {
        fprintf(stderr, errno == ENOSYS ? "asirun: this kernel is not Penumbra\n" : "asirun: state: %m\n");
        return false;
    }
    if (asi_set_mode(report.state.mode) < 0 || (options->set_flush && asi_set_flush(&options->flush) < 0)) {
        fprintf(stderr, "asirun: setting modes and flushes needs uid 0 (this is uid %u): %m\n", (unsigned)getuid());
        return false;
    }
    signal(SIGINT, restore_and_end);
    signal(SIGTERM, restore_and_end);
    return true;
}

static void show_output(const struct run_plan *plan) {
    static char text[65536];
    ssize_t count;
    if (plan->output != RUN_OUTPUT_FIRST || report.output < 0) {
        return;
    }
    lseek(report.output, 0, SEEK_SET);
    while ((count = read(report.output, text, sizeof text)) > 0) {
        fwrite(text, 1, (size_t)count, stdout);
    }
    if (report.output_bytes > 0) {
        puts("");
    }
}

static bool passes_check(void) {
    return asi_total_exits(&report.results[ASI_MODE_ASI].counters) == 0 && !report.output_differs &&
           !report.status_differs;
}

int main(int argc, char **argv) {
    struct run_plan plan = {.input = "/dev/null",
                            .modes = {ASI_MODE_NONE, ASI_MODE_CLASSIC, ASI_MODE_NAIVE, ASI_MODE_ASI},
                            .mode_count = ASI_MODES,
                            .rounds = 3,
                            .warm_rounds = 1};
    struct options options = {0};
    int ended = parse(argc, argv, &plan, &options);
    if (ended != 0) {
        return ended < 0 ? 0 : ended;
    }
    if (!begin(&options)) {
        return STATUS_FAILED;
    }
    errno = 0;
    if (!run_all(&plan, &report)) {
        int reason = errno;
        restore();
        return reason == ENOENT                        ? STATUS_NOT_FOUND
               : reason == EACCES || reason == ENOEXEC ? STATUS_NOT_RUN
                                                       : STATUS_FAILED;
    }
    show_output(&plan);
    run_print_table(&plan, &report);
    if (options.csv) {
        run_print_csv(&plan, &report);
    }
    restore();
    if (options.check && !passes_check()) {
        return STATUS_CHECK;
    }
    return WIFSIGNALED(report.status) ? 128 + WTERMSIG(report.status) : WEXITSTATUS(report.status);
}
