/*
 * Lab 7: puts processes into the trust domains that /etc/policy names, lets each pair take turns, and compares the
 * flushes that they pay with those that they owe. A line for each direction; "leak" is a flush that is missing, "waste"
 * one that nobody needs. Exit status 1 if there is any.
 */
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/lib/asi.h"

enum { KEYS, TLS, WEB, LOG, GUEST, ROLES, TURNS = 60, DOMAINS_MAX = 8 };
static const char *const role_names[ROLES] = {"keys", "tls", "web", "log", "guest"};

/* What is true of them (docs/labs/7-trust.md): trusts[A][B]: A trusts B. */
static const bool trusts[ROLES][ROLES] = {
    [TLS] = {[KEYS] = true},
    [WEB] = {[LOG] = true, [TLS] = true},
    [LOG] = {[WEB] = true, [TLS] = true},
};

static struct domain {
    char name[32];
    int number;
} domains[DOMAINS_MAX];
static int domain_count, domain_of[ROLES];

/* Shared with all children. */
static volatile struct {
    int active[2]; /* roles that take turns */
    int round;     /* which pair it is */
    struct asi_counters before[ROLES], after[ROLES];
    int ready, done;
} * shared;

static _Noreturn void wrong(const char *what, const char *word) {
    printf("policy: %s %s\n", what, word);
    exit(1);
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static int role_named(const char *name) {
    for (int role = 0; role < ROLES; role++) {
        if (strcmp(role_names[role], name) == 0) {
            return role;
        }
    }
    wrong("no such process:", name);
}

static const struct domain *domain_named(const char *name) {
    for (int i = 0; i < domain_count; i++) {
        if (strcmp(domains[i].name, name) == 0) {
            return &domains[i];
        }
    }
    wrong("no such domain:", name);
}

/* A child is its first member, and stays, so that the number keeps its meaning. */
static int new_domain(void) {
    int ends[2], number;
    if (pipe(ends) < 0) {
        wrong("no pipe for a", "domain");
    }
    if (fork() == 0) {
        number = prctl(PR_ASI_DOMAIN_NEW, 0L, 0L, 0L, 0L);
        if (write(ends[1], &number, sizeof number) < 0) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    if (read(ends[0], &number, sizeof number) != sizeof number || number < 1) {
        wrong("no number for a", "domain");
    }
    return number;
}

static void take_domain(char *words) {
    char *rest, *name = strtok_r(words, " \t\n", &rest);
    if (name == NULL || domain_count == DOMAINS_MAX) {
        wrong("a domain without a name, or too many", "");
    }
    struct domain *domain = &domains[domain_count++];
    snprintf(domain->name, sizeof domain->name, "%s", name);
    domain->number = new_domain();
    for (char *word; (word = strtok_r(NULL, " \t\n", &rest)) != NULL;) {
        domain_of[role_named(word)] = domain->number;
    }
}

static void take_trust(char *words) {
    char *rest, *name = strtok_r(words, " \t\n", &rest), *other = strtok_r(NULL, " \t\n", &rest);
    if (name == NULL || other == NULL) {
        wrong("trust wants two", "domains");
    }
    if (asi_set_trust((uint32_t)domain_named(name)->number, (uint32_t)domain_named(other)->number, true) < 0) {
        wrong("the kernel refuses trust in", other);
    }
}

static void read_policy(void) {
    char line[256];
    FILE *file = fopen("/etc/policy", "r");
    if (file == NULL) {
        wrong("cannot open", "/etc/policy");
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "domain ", 7) == 0) {
            take_domain(line + 7);
        } else if (strncmp(line, "trust ", 6) == 0) {
            take_trust(line + 6);
        } else if (line[0] != '#' && line[0] != '\n') {
            wrong("what is this line?", line);
        }
    }
    fclose(file);
}

/* --- Taking turns ------------------------------------------------------------------------------------------------- */

static bool is_active(int role) { return shared->active[0] == role || shared->active[1] == role; }

/* Waits for its pair without running in between, by reading from its pipe; counts what the turns cost itself. */
static _Noreturn void be_role(int role, int go) {
    char byte;
    if (domain_of[role] != 0 && asi_move_process(0, (uint32_t)domain_of[role]) < 0) {
        wrong("cannot move", role_names[role]);
    }
    while (read(go, &byte, 1) == 1) {
        __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (shared->ready < 2) {
            sched_yield();
        }
        asi_get_counters(0, (struct asi_counters *)&shared->before[role]);
        for (int i = 0; i < TURNS; i++) {
            sched_yield();
        }
        asi_get_counters(0, (struct asi_counters *)&shared->after[role]);
        __atomic_add_fetch(&shared->done, 1, __ATOMIC_SEQ_CST);
    }
    _exit(0);
}

/* Whether `paid` of the turns are most of them. */
static bool most(uint64_t paid) { return paid > TURNS / 2; }

static int judge(const char *flush, int from, int to, bool paid, bool owed) {
    if (paid == owed) {
        return 0;
    }
    printf("%-5s  %s > %s: %s is %s\n", owed ? "leak" : "waste", role_names[from], role_names[to], flush,
           owed ? "owed, and not paid" : "paid, and nobody needs it");
    return 1;
}

/* At a switch A > B: IBPB unless B trusts A, VERW unless A trusts B. B counts them. */
static int judge_direction(int from, int to) {
    const uint64_t ibpb = shared->after[to].control_flushes - shared->before[to].control_flushes;
    const uint64_t verw = shared->after[to].data_flushes - shared->before[to].data_flushes;
    return judge("IBPB", from, to, most(ibpb), !trusts[to][from]) +
           judge("VERW", from, to, most(verw), !trusts[from][to]);
}

static int try_pair(int first, int second, const int go[ROLES]) {
    shared->ready = shared->done = 0;
    shared->active[0] = first;
    shared->active[1] = second;
    for (int role = 0; role < ROLES; role++) {
        if (is_active(role) && write(go[role], "", 1) != 1) {
            wrong("cannot start", role_names[role]);
        }
    }
    while (shared->done < 2) {
        usleep(20000);
    }
    return judge_direction(first, second) + judge_direction(second, first);
}

int main(void) {
    int go[ROLES], found = 0;
    cpu_set_t one_cpu;
    CPU_ZERO(&one_cpu);
    CPU_SET(0, &one_cpu);
    sched_setaffinity(0, sizeof one_cpu, &one_cpu);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ((void *)shared == MAP_FAILED) {
        wrong("no memory", "to share");
    }
    read_policy();
    for (int role = 0; role < ROLES; role++) {
        int ends[2];
        if (pipe(ends) < 0) {
            wrong("no pipe for", role_names[role]);
        }
        if (fork() == 0) {
            close(ends[1]);
            be_role(role, ends[0]);
        }
        go[role] = ends[1];
    }
    for (int first = 0; first < ROLES; first++) {
        for (int second = first + 1; second < ROLES; second++) {
            found += try_pair(first, second, go);
        }
    }
    printf("policy: %d flushes are not as they should be\n", found);
    return found != 0;
}
