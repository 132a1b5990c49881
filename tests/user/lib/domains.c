/* Calls and partner of the tests of trust domains. See domains.h. */
#include "domains.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "penumbra.h"
#include "test.h"

static volatile struct { int ready, stop, domain; } * partner;

int domain_call(int operation, long first, long second) { return prctl(operation, first, second, 0L, 0L); }

void domain_set_trust(int domain, int peer, bool trusts) {
    struct asi_trust_change change = {(uint32_t)domain, (uint32_t)peer, trusts};
    CHECK_OK(penumbra_call(ASI_OP_TRUST, 0, &change, sizeof(change)));
}

long domain_move(int pid, int domain) {
    struct asi_move move = {(uint32_t)pid, (uint32_t)domain};
    return penumbra_call(ASI_OP_MOVE, 0, &move, sizeof(move));
}

void pin_to_first_cpu(void) {
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    CHECK_OK(sched_setaffinity(0, sizeof(first), &first));
}

void take_turns(int count) {
    for (int i = 0; i < count; i++) {
        sched_yield();
    }
}

pid_t partner_start(bool own_domain) {
    partner = mmap(NULL, sizeof(*partner), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)partner != MAP_FAILED);
    pin_to_first_cpu();
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        pin_to_first_cpu();
        partner->domain = own_domain ? (int)CHECK_OK(domain_call(PR_ASI_DOMAIN_NEW, 0, 0)) : 0;
        for (partner->ready = 1; !partner->stop;) {
            sched_yield();
        }
        _exit(0);
    }
    while (!partner->ready) {
        sched_yield();
    }
    return pid;
}

int partner_domain(void) { return partner->domain; }

void partner_end(pid_t pid) {
    partner->stop = 1;
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(munmap((void *)partner, sizeof(*partner)));
}
