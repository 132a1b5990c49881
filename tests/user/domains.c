/*
 * Trust domains as system calls: numbers, errors, who may change what, what fork and exec keep (docs/trust.md). What a
 * switch pays is tests/user/trust.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/user/lib/domains.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { USER = 1000 };

/* A number that is used again means its new members: who trusted the old ones trusts nobody of them. */
static void number_reused(void) {
    test_needs_penumbra();
    const int own = (int)CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    pid_t partner = partner_start(true);
    const int peer = partner_domain();
    CHECK_OK(domain_call(PR_ASI_TRUST, peer, 1));
    domain_set_trust(peer, own, true);
    CHECK_EQ(domain_call(PR_ASI_TRUSTS, peer, 0), ASI_TRUSTS_PEER | ASI_TRUSTS_US);
    partner_end(partner);
    CHECK_ERRNO(domain_call(PR_ASI_TRUSTS, peer, 0), ENOENT);
    partner = partner_start(true);
    CHECK_EQ(partner_domain(), peer);
    CHECK_EQ(domain_call(PR_ASI_TRUSTS, peer, 0), 0);
    partner_end(partner);
}

static void kept_over_exec(void) {
    test_needs_penumbra();
    const char *number = getenv("TRUST_DOMAIN");
    if (number != NULL) {
        CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), atoi(number));
        return;
    }
    char word[32];
    snprintf(word, sizeof(word), "TRUST_DOMAIN=%d", (int)CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0)));
    char *const arguments[] = {"domains", "kept-over-exec", NULL}, *const environment[] = {word, NULL};
    CHECK_OK(execve("/tests/domains", arguments, environment));
}

/* --- Rights and errors -------------------------------------------------------------------------------------------- */

static void bad_arguments(void) {
    test_needs_penumbra();
    struct asi_trust_change change = {1, 2, 2};
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), 0);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, 1, 1), EINVAL); /* a private process has no trust to give */
    CHECK_ERRNO(domain_call(PR_ASI_TRUSTS, 1, 0), EINVAL);
    const int own = (int)CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    CHECK(own > 0 && own < ASI_DOMAINS);
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), own);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, 0, 1), EINVAL);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, own, 1), EINVAL);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, ASI_DOMAINS, 1), EINVAL);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, -1, 1), EINVAL);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, 0x100000001, 1), EINVAL);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, own + 1, 1), ENOENT);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, own + 1, 2), EINVAL);
    CHECK_ERRNO(domain_call(PR_ASI_TRUSTS, ASI_DOMAINS, 0), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_TRUST, 0, &change, sizeof(change)), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_TRUST, 0, &change, sizeof(change) - 1), EINVAL);
    CHECK_ERRNO(penumbra_call(ASI_OP_MOVE, 0, NULL, sizeof(struct asi_move)), EFAULT);
    CHECK_ERRNO(domain_move(0, ASI_DOMAINS), EINVAL);
    CHECK_ERRNO(domain_move(0, own + 1), ENOENT);
    CHECK_ERRNO(domain_move(0x7fffffff, own), ESRCH);
    CHECK_OK(domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0));
    CHECK_OK(domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0));
    CHECK_ERRNO(domain_move(0, own), ENOENT); /* its last member has left */
}

/* Gives up being the superuser, by which it leaves its domain, and is moved back into it by a child that has not. */
static void become_user_in(int domain) {
    int ends[2];
    char byte;
    CHECK_OK(pipe(ends));
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        CHECK_OK(domain_move(getppid(), domain));
        _exit(0);
    }
    CHECK_OK(setuid(USER));
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EXITED(test_wait(child));
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), domain);
    CHECK_OK(close(ends[0]));
    CHECK_OK(close(ends[1]));
}

/* Membership is no right to give the domain's trust away; nor may anybody join. */
static void unprivileged(void *partner) {
    const int peer = partner_domain(), own = domain_call(PR_ASI_DOMAIN_GET, 0, 0);
    struct asi_trust_change change = {(uint32_t)peer, (uint32_t)own, 1};
    CHECK(own > 0);
    become_user_in(own);
    CHECK_ERRNO(domain_call(PR_ASI_TRUST, peer, 1), EPERM);
    CHECK_ERRNO(penumbra_call(ASI_OP_TRUST, 0, &change, sizeof(change)), EPERM);
    CHECK_ERRNO(domain_move(0, peer), EPERM);
    CHECK_ERRNO(domain_move(*(pid_t *)partner, 0), EPERM);
    CHECK(CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0)) != own);
    CHECK_OK(domain_call(PR_ASI_TRUST, peer, 1));
    CHECK_EQ(domain_call(PR_ASI_TRUSTS, peer, 0), ASI_TRUSTS_PEER);
    CHECK_EQ(domain_call(PR_ASI_TRUSTS, own, 0), 0);
    CHECK_OK(domain_call(PR_ASI_TRUST, peer, 0));
    CHECK_OK(domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0));
}

static void rights(void) {
    test_needs_penumbra();
    CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0));
    pid_t partner = partner_start(true);
    CHECK_EXITED(test_run_child(unprivileged, &partner));
    partner_end(partner);
}

/* Numbers run out, and come back. */
static void all_numbers(void) {
    test_needs_penumbra();
    struct asi_domain domains[ASI_DOMAINS];
    pid_t keepers[ASI_DOMAINS + 1];
    int ends[2], made = 0;
    char byte;
    CHECK_OK(pipe(ends));
    const long before = CHECK_OK(penumbra_call(ASI_OP_DOMAINS, 0, domains, sizeof(domains)));
    while (domain_call(PR_ASI_DOMAIN_NEW, 0, 0) >= 0) {
        CHECK(made < ASI_DOMAINS);
        keepers[made] = (pid_t)CHECK_OK(fork());
        if (keepers[made++] == 0) { /* keeps the number */
            CHECK_OK(close(ends[1]));
            _exit(read(ends[0], &byte, 1) == 0 ? 0 : TEST_FAILED);
        }
        CHECK_OK(domain_call(PR_ASI_DOMAIN_LEAVE, 0, 0));
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(before + made, ASI_DOMAINS - 1);
    CHECK_EQ(penumbra_call(ASI_OP_DOMAINS, 0, domains, sizeof(domains)), ASI_DOMAINS - 1);
    for (int i = 0; i < ASI_DOMAINS - 1; i++) {
        CHECK_EQ(domains[i].number, i + 1);
        CHECK(domains[i].members > 0);
        CHECK_EQ(domains[i].trusts >> domains[i].number & 1, 0);
    }
    CHECK_OK(close(ends[1]));
    for (int i = 0; i < made; i++) {
        CHECK_EXITED(test_wait(keepers[i]));
    }
    CHECK_EQ(penumbra_call(ASI_OP_DOMAINS, 0, domains, sizeof(domains)), before);
}

/* asictl's exit status: 0 done, 1 refused, 2 wrong usage. */
static void check_asictl(int status, const char *const *words) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        execv("/bin/asictl", (char *const *)words);
        _exit(TEST_FAILED + 100);
    }
    CHECK_EXITED_WITH(test_wait(pid), status);
}

#define CHECK_ASICTL(status, ...) check_asictl((status), (const char *const[]){"asictl", __VA_ARGS__, NULL})

static void control_program(void) {
    test_needs_penumbra();
    char own[8], peer[8], pid[16];
    snprintf(own, sizeof(own), "%d", (int)CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0)));
    pid_t partner = partner_start(true);
    snprintf(peer, sizeof(peer), "%d", partner_domain());
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    CHECK_ASICTL(0, "trust", own, peer, "on");
    CHECK_EQ(domain_call(PR_ASI_TRUSTS, partner_domain(), 0), ASI_TRUSTS_PEER);
    CHECK_ASICTL(0, "domain");
    CHECK_ASICTL(0, "domain", "new", "--", "/bin/asictl", "domain");
    CHECK_ASICTL(0, "trust", own, peer, "off");
    CHECK_EQ(domain_call(PR_ASI_TRUSTS, partner_domain(), 0), 0);
    CHECK_ASICTL(0, "domain", pid, peer);
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), partner_domain());
    CHECK_ASICTL(0, "domain", pid, "0");
    CHECK_EQ(domain_call(PR_ASI_DOMAIN_GET, 0, 0), 0);
    CHECK_ASICTL(1, "trust", peer, peer, "on");
    CHECK_ASICTL(1, "domain", pid, "63");
    CHECK_ASICTL(2, "trust", own, "64", "on");
    CHECK_ASICTL(2, "domain", "x", "1");
    CHECK_ASICTL(2, "domain", "new", "--");
    partner_end(partner);
}

static const struct test_case cases[] = {
    {"number-reused", number_reused}, {"kept-over-exec", kept_over_exec},
    {"bad-arguments", bad_arguments}, {"rights", rights},
    {"all-numbers", all_numbers},     {"control-program", control_program},
};
TEST_MAIN(cases)
