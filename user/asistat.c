/*
 * asistat: what the isolation did, since the counters were reset or while a command ran.
 *
 * With a command it ends with the command's status (128 + signal when killed), otherwise 0, 1 on error, 2 wrong usage.
 */
#include "user/lib/asi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_SITES = 256 };

struct snapshot {
    struct asi_counters counters;
    struct asi_site sites[MAX_SITES];
    long site_count;
};

static int usage(void) {
    fputs("usage: asistat [-c CPU | -p PID] [-n SITES] [COMMAND [ARGUMENT…]]\n"
          "  -c CPU   count this CPU only    -p PID   count this process only (exit addresses are always of all)\n"
          "  -n SITES how many exit addresses to show (default 20)\n",
          stderr);
    return 2;
}

static void take(struct snapshot *shot, long scope) {
    if (asi_get_counters(scope, &shot->counters) < 0) {
        if (errno == ENOSYS) {
            fputs("asistat: this kernel is not Penumbra\n", stderr);
        } else {
            perror("asistat: counters");
        }
        exit(1);
    }
    shot->site_count = asi_get_sites(shot->sites, MAX_SITES);
    if (shot->site_count < 0) {
        shot->site_count = 0;
    }
}

static void print_count(const char *name, uint64_t count) { printf("  %-22s %12" PRIu64 "\n", name, count); }

static void print_counters(const struct asi_counters *counters) {
    printf("exits\n");
    for (unsigned cause = 0; cause < ASI_CAUSES; cause++) {
        if (counters->exits[cause] != 0) {
            print_count(asi_cause_name(cause), counters->exits[cause]);
        }
    }
    print_count("all causes", asi_total_exits(counters));
    printf("transitions\n");
    print_count("enters", counters->enters);
    print_count("CR3 writes", counters->cr3_writes);
    print_count("that kept translations", counters->tag_hits);
    print_count("control flushes", counters->control_flushes);
    print_count("data flushes", counters->data_flushes);
    printf("switches\n");
    print_count("between processes", counters->process_switches);
    print_count("between threads", counters->thread_switches);
    print_count("to and from idle", counters->idle_switches);
    print_count("idle, microseconds", counters->idle_ns / 1000);
    printf("memory\n");
    print_count("page faults", counters->page_faults);
    print_count("views mapped", counters->views_mapped);
    print_count("views revoked", counters->views_revoked);
    print_count("TLB flushes of a page", counters->page_flushes);
    print_count("TLB flushes of all", counters->tlb_flushes);
    print_count("requests to other CPUs", counters->shootdowns);
    print_count("interrupts that they took", counters->ipis_sent);
    if (counters->syscalls_unknown != 0) {
        print_count("unknown system calls", counters->syscalls_unknown);
    }
}

static uint64_t count_before(const struct snapshot *before, const struct asi_site *site) {
    for (long i = 0; i < before->site_count; i++) {
        if (before->sites[i].address == site->address && before->sites[i].cause == site->cause) {
            return before->sites[i].count;
        }
    }
    return 0;
}

static int by_count(const void *left, const void *right) {
    uint64_t a = ((const struct asi_site *)left)->count, b = ((const struct asi_site *)right)->count;
    return (a < b) - (a > b);
}

/* Turns the counts of `after` into differences and prints the most frequent. */
static void print_sites(struct snapshot *after, const struct snapshot *before, long limit) {
    char symbol[128];
    for (long i = 0; i < after->site_count; i++) {
        after->sites[i].count -= count_before(before, &after->sites[i]);
    }
    qsort(after->sites, (size_t)after->site_count, sizeof after->sites[0], by_count);
    for (long i = 0; i < after->site_count && i < limit && after->sites[i].count != 0; i++) {
        const struct asi_site *site = &after->sites[i];
        if (i == 0) {
            printf("exits by kernel address\n");
        }
        asi_symbolise(site->address, symbol, sizeof symbol);
        printf("  %12" PRIu64 "  %-6s 0x%016" PRIx64 "  %s\n", site->count, asi_cause_name(site->cause), site->address,
               symbol);
    }
}

static int run_command(char **command) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        fprintf(stderr, "asistat: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("asistat");
        return 1;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    static struct snapshot before, after;
    long scope = ASI_SCOPE_ALL, limit = 20;
    int option, status = 0;
    while ((option = getopt(argc, argv, "+c:p:n:")) != -1) {
        long value = option == '?' ? -1 : strtol(optarg, NULL, 10);
        if (value < 0) {
            return usage();
        }
        if (option == 'n') {
            limit = value;
        } else {
            scope = option == 'c' ? ASI_SCOPE_CPU(value) : value;
        }
    }
    if (argv[optind] != NULL) {
        take(&before, scope);
        status = run_command(&argv[optind]);
    }
    take(&after, scope);
    struct asi_counters counters = asi_counters_difference(&after.counters, &before.counters);
    print_counters(&counters);
    print_sites(&after, &before, limit);
    return status;
}
