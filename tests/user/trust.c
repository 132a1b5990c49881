/*
 * Trust domains: who pays which flush at a process switch, and what a change of trust owes (docs/trust.md).
 *
 * The table: up to three processes on one CPU take turns by sched_yield(), which touches no secret in any mode, so each
 * flush that a process's counters have is a switch's. Every switch is accounted for: of each process the flushes are
 * exactly its share of the switches to it, or the case fails.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/user/lib/domains.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { ACTORS = 3, TURNS = 64, WARM_UP = 24, ATTEMPTS = 50 };
enum { NONE = 0, IBPB = 1, VERW = 2, BOTH = 3 };

static const char *const debt_names[] = {"nothing", "IBPB", "VERW", "IBPB+VERW"};

/* A row of the table: who takes turns, who trusts whom, and what the switch to each pays. */
struct row {
    const char *name;
    const char *domains; /* of each process a letter; '-': private, '=': its parent's */
    const char *trusts;  /* pairs: "ab" is a trusts b */
    const char *revoked; /* likewise: taken back after they have taken turns for a while */
    char leaves;         /* then becomes private */
    int debts[ACTORS];
};

/* Shared by the processes of a row. */
static struct stage {
    volatile int ready, go, stop;
    pid_t pid[ACTORS];
    int domain[128]; /* by letter */
} * stage;

/* What of the row's debts this mode pays at a switch and counts for the process. */
static int paid_in_this_mode(int debts) {
    switch (penumbra_state().mode) {
    case ASI_MODE_NONE:
        return NONE;
    case ASI_MODE_CLASSIC:
        return debts & IBPB; /* VERW at each return to user code, whoever ran */
    default:
        return debts;
    }
}

/* --- A row -------------------------------------------------------------------------------------------------------- */

static void apply_trust(const char *pairs, bool trusts) {
    for (; pairs != NULL && *pairs != '\0'; pairs += strspn(pairs + 2, " ") + 2) {
        domain_set_trust(stage->domain[(int)pairs[0]], stage->domain[(int)pairs[1]], trusts);
    }
}

static unsigned long long switches_here(void) { return penumbra_counters(ASI_SCOPE_CPU(0)).process_switches; }

/* One round. False when another process ran meanwhile: then its switches are in the figures. */
static bool measure(const struct row *row, size_t count) {
    struct asi_counters before[ACTORS], after[ACTORS];
    unsigned long long switches = 0;
    take_turns(WARM_UP);
    unsigned long long start = switches_here();
    for (size_t i = 0; i < count; i++) {
        before[i] = penumbra_counters(stage->pid[i]);
    }
    take_turns(TURNS);
    for (size_t i = 0; i < count; i++) {
        after[i] = penumbra_counters(stage->pid[i]);
        switches += after[i].process_switches - before[i].process_switches;
    }
    if (switches_here() - start != switches || switches < count * (TURNS - 1)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned long long own = after[i].process_switches - before[i].process_switches;
        unsigned long long ibpb = after[i].control_flushes - before[i].control_flushes;
        unsigned long long verw = after[i].data_flushes - before[i].data_flushes;
        int debts = paid_in_this_mode(row->debts[i]);
        if (ibpb != (debts & IBPB ? own : 0) || verw != (debts & VERW ? own : 0)) {
            test_fail(__FILE__, __LINE__, "%s: %llu switches to process %zu: %llu IBPB, %llu VERW, want %s each",
                      row->name, own, i, ibpb, verw, debt_names[debts]);
        }
    }
    return true;
}

static void act(const struct row *row, size_t self, size_t count) {
    const char letter = row->domains[self];
    const bool first = strchr(row->domains, letter) == row->domains + self;
    pin_to_first_cpu();
    if (letter == '-') {
        domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0);
    } else if (letter != '=' && first) {
        stage->domain[(int)letter] = (int)CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    }
    __atomic_add_fetch(&stage->ready, 1, __ATOMIC_SEQ_CST);
    while (!stage->go || (self != 0 && !stage->stop)) {
        sched_yield();
    }
    if (self != 0) {
        return;
    }
    take_turns(WARM_UP);
    apply_trust(row->revoked, false);
    if (row->leaves != 0) {
        CHECK_OK(domain_move(stage->pid[strchr(row->domains, row->leaves) - row->domains], 0));
    }
    int attempts = 0;
    while (!measure(row, count)) {
        if (++attempts == ATTEMPTS) {
            test_fail(__FILE__, __LINE__, "%s: other processes keep running on this CPU", row->name);
        }
    }
    stage->stop = 1;
}

static void give_domains(const struct row *row) {
    for (size_t i = 0; i < strlen(row->domains); i++) {
        const char letter = row->domains[i];
        if (letter != '-' && letter != '=') {
            CHECK_OK(domain_move(stage->pid[i], stage->domain[(int)letter]));
        }
    }
    apply_trust(row->trusts, true);
}

static void run_row(const struct row *row) {
    const size_t count = strlen(row->domains);
    stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(stage != MAP_FAILED);
    for (size_t i = 0; i < count; i++) {
        pid_t pid = (pid_t)CHECK_OK(fork());
        if (pid == 0) {
            act(row, i, count);
            _exit(0);
        }
        stage->pid[i] = pid;
    }
    while (stage->ready < (int)count) {
        test_sleep_ms(1);
    }
    give_domains(row);
    stage->go = 1;
    int status = test_wait(stage->pid[0]);
    stage->stop = 1;
    for (size_t i = 1; i < count; i++) {
        CHECK_EXITED(test_wait(stage->pid[i]));
    }
    CHECK_EXITED(status);
    CHECK_OK(munmap(stage, sizeof(*stage)));
    printf("%-44s", row->name);
    for (size_t i = 0; i < count; i++) {
        printf("  to %c: %-9s", "ABC"[i], debt_names[row->debts[i]]);
    }
    puts("");
}

static void need_flushes(void) {
    test_needs_penumbra();
    if (penumbra_state().flush.kind == ASI_FLUSH_OFF) {
        test_skip("flush=off");
    }
}

static const struct row rows[] = {
    {.name = "two private processes", .domains = "--", .debts = {BOTH, BOTH}},
    {.name = "A has a label, B has none", .domains = "a-", .debts = {BOTH, BOTH}},
    {.name = "one domain", .domains = "aa", .debts = {NONE, NONE}},
    {.name = "inherited: parent's domain", .domains = "==", .debts = {NONE, NONE}},
    {.name = "inherited, then B leaves", .domains = "=-", .debts = {BOTH, BOTH}},
    {.name = "two domains", .domains = "ab", .debts = {BOTH, BOTH}},
    {.name = "A trusts B, B trusts A", .domains = "ab", .trusts = "ab ba", .debts = {NONE, NONE}},
    {.name = "A trusts B", .domains = "ab", .trusts = "ab", .debts = {VERW, IBPB}},
    {.name = "B trusts A", .domains = "ab", .trusts = "ba", .debts = {IBPB, VERW}},
    {.name = "both, then A revokes", .domains = "ab", .trusts = "ab ba", .revoked = "ab", .debts = {IBPB, VERW}},
    {.name = "both, then both revoke", .domains = "ab", .trusts = "ab ba", .revoked = "ab ba", .debts = {BOTH, BOTH}},
    {.name = "one domain, then A leaves", .domains = "aa", .leaves = 'a', .debts = {BOTH, BOTH}},
    {.name = "A-B and B-C trust each other, A-C do not",
     .domains = "abc",
     .trusts = "ab ba bc cb",
     .debts = {BOTH, NONE, BOTH}},
    {.name = "A, B, C trust each other", .domains = "abc", .trusts = "ab ba bc cb ac ca", .debts = {NONE, NONE, NONE}},
    {.name = "A and B of a domain, C of another", .domains = "aac", .trusts = "ac ca", .debts = {NONE, NONE, NONE}},
};

static void who_pays_what(void) {
    need_flushes();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strchr(rows[i].domains, '=') != NULL) {
            CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
        }
        run_row(&rows[i]);
        CHECK_OK(domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0));
    }
}

static void *yield_a_lot(void *unused) {
    take_turns(TURNS);
    return unused;
}

/* A private process trusts itself. */
static void threads_pay_nothing(void) {
    need_flushes();
    pthread_t thread;
    pin_to_first_cpu();
    int error = pthread_create(&thread, NULL, yield_a_lot, NULL);
    CHECK_EQ(error, 0);
    struct asi_counters before = penumbra_counters(0);
    take_turns(TURNS);
    struct asi_counters after = penumbra_counters(0);
    pthread_join(thread, NULL);
    unsigned long long switches = after.process_switches - before.process_switches; /* the runner's wakes, if any */
    CHECK(after.control_flushes - before.control_flushes <= switches);
    CHECK(after.data_flushes - before.data_flushes <= switches);
    CHECK(switches < TURNS / 4);
}

/* --- Changes ------------------------------------------------------------------------------------------------------ */

enum { TRIES = 20 };

/*
 * The flushes that the caller has paid since `before`, when at least one of each is wanted. False: nothing is known,
 * since somebody else has run on this CPU.
 */
static bool check_paid(const struct asi_counters *before, int debts) {
    struct asi_counters after = penumbra_counters(0);
    if (after.process_switches != before->process_switches) {
        return false;
    }
    debts = paid_in_this_mode(debts);
    CHECK_EQ(after.control_flushes - before->control_flushes, (debts & IBPB) != 0);
    CHECK_EQ(after.data_flushes - before->data_flushes, (debts & VERW) != 0);
    return true;
}

/*
 * Takes turns with a trusted partner until none of the last ones was paid for: nobody else has run since. The partner
 * has just run, then, and no flush was paid. Returns the counters at that moment.
 */
static struct asi_counters take_quiet_turns(void) {
    for (int tries = 0; tries < TRIES; tries++) {
        struct asi_counters before = penumbra_counters(0);
        take_turns(WARM_UP);
        struct asi_counters after = penumbra_counters(0);
        if (after.control_flushes == before.control_flushes && after.data_flushes == before.data_flushes &&
            after.process_switches > before.process_switches) {
            return after;
        }
    }
    test_fail(__FILE__, __LINE__, "other processes keep running on this CPU");
}

static bool revoke_once(int peer) {
    CHECK_OK(domain_call(PR_ASI_TRUST, peer, 1));
    struct asi_counters before = take_quiet_turns();
    CHECK_OK(domain_call(PR_ASI_TRUST, peer, 0));
    if (!check_paid(&before, BOTH)) { /* a change makes the whole history a stranger's */
        return false;
    }
    before = penumbra_counters(0);
    CHECK_OK(domain_call(PR_ASI_TRUST, peer, 0));
    return check_paid(&before, NONE); /* there is no history left */
}

/* Who takes its trust back runs with the other's training: that is paid before its next instruction. */
static void revoking_pays_at_once(void) {
    need_flushes();
    CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    pid_t partner = partner_start(true);
    const int own = domain_call(PR_ASI_DOMAIN_GET, 0, 0), peer = partner_domain();
    domain_set_trust(own, peer, true);
    domain_set_trust(peer, own, true);
    for (int seen = 0, tries = 0; seen < 3; tries++) {
        CHECK(tries < TRIES);
        seen += revoke_once(peer);
    }
    partner_end(partner);
}

static bool leave_once(void) {
    CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    pid_t partner = partner_start(false); /* of this domain */
    struct asi_counters before = take_quiet_turns();
    CHECK_OK(domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0));
    const bool seen = check_paid(&before, BOTH);
    partner_end(partner);
    return seen;
}

static void leaving_pays_at_once(void) {
    int tries = 0;
    need_flushes();
    while (!leave_once()) {
        CHECK(++tries < TRIES);
    }
}

static bool turn_off_and_on_once(void) {
    const struct asi_flush flush = penumbra_state().flush, off = {.kind = ASI_FLUSH_OFF};
    CHECK_OK(penumbra_call(ASI_OP_SET_FLUSH, 0, (void *)&off, sizeof(off)));
    struct asi_counters before = penumbra_counters(0);
    take_turns(WARM_UP);
    struct asi_counters after = penumbra_counters(0);
    CHECK_OK(penumbra_call(ASI_OP_SET_FLUSH, 0, (void *)&flush, sizeof(flush)));
    const bool seen = check_paid(&after, BOTH);
    CHECK_EQ(after.control_flushes - before.control_flushes, 0);
    CHECK_EQ(after.data_flushes - before.data_flushes, 0);
    return seen;
}

static void turn_flush_off_and_on(void *unused) {
    (void)unused;
    pid_t partner = partner_start(false);
    int tries = 0;
    while (!turn_off_and_on_once()) {
        CHECK(++tries < TRIES);
    }
    partner_end(partner);
}

/* What went unpaid while flushes were off is owed when they are on again. */
static void flush_on_pays_at_once(void) {
    need_flushes();
    struct asi_flush flush = penumbra_state().flush;
    int status = test_run_child(turn_flush_off_and_on, NULL);
    CHECK_OK(penumbra_call(ASI_OP_SET_FLUSH, 0, &flush, sizeof(flush)));
    CHECK_EXITED(status);
}

static const struct test_case cases[] = {
    {"who-pays-what", who_pays_what},
    {"threads-pay-nothing", threads_pay_nothing},
    {"revoking-pays-at-once", revoking_pays_at_once},
    {"leaving-pays-at-once", leaving_pays_at_once},
    {"flush-on-pays-at-once", flush_on_pays_at_once},
};
TEST_MAIN(cases)
