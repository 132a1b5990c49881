/*
 * What the tests of trust domains share: the calls (docs/trust.md), and a partner that takes turns with the caller.
 */
#ifndef TESTS_USER_LIB_DOMAINS_H
#define TESTS_USER_LIB_DOMAINS_H

#include <stdbool.h>
#include <sys/types.h>

/* prctl() with an operation PR_ASI_* (asi/abi.h): its result, or -1 with errno. */
int domain_call(int operation, long first, long second);

/* As uid 0: whether `domain` trusts `peer`; fails the case when the call fails. */
void domain_set_trust(int domain, int peer, bool trusts);

/* Puts a process (0: the caller) into a domain; 0 or -1 with errno. */
long domain_move(int pid, int domain);

/* The calling thread runs on the first CPU only, and so do its children. */
void pin_to_first_cpu(void);

/* Gives the CPU away this often. */
void take_turns(int count);

/*
 * A child that takes turns with the caller, on the first CPU, until partner_end(). It is in a domain of its own, whose
 * number partner_domain() gives, or of the caller's.
 */
pid_t partner_start(bool own_domain);
int partner_domain(void);
void partner_end(pid_t pid);

#endif
