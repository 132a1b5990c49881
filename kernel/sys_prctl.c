/*
 * prctl: the few operations that programs at hand use. Any space; may sleep.
 *
 * The name set by PR_SET_NAME becomes the process's, GLOBAL: by this very call the program publishes it, as Linux does
 * in /proc. The kernel has one name for all threads of a process.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "asi/trust.h"
#include "kernel/process.h"
#include "kernel/signal_abi.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"

enum prctl_operation {
    PR_SET_PDEATHSIG = 1,
    PR_GET_PDEATHSIG = 2,
    PR_GET_DUMPABLE = 3,
    PR_SET_DUMPABLE = 4,
    PR_SET_NAME = 15,
    PR_GET_NAME = 16,
    PR_SET_TIMERSLACK = 29,
    PR_SET_NO_NEW_PRIVS = 38,
    PR_GET_NO_NEW_PRIVS = 39,
};

static enum status set_name(vaddr_t from) {
    char name[PROCESS_NAME_SIZE];
    size_t length;
    enum status status = copy_string_from_user(name, from, sizeof(name), &length);

    if (status == ERR_NAME_TOO_LONG) /* all of it was copied but a terminator */
        name[sizeof(name) - 1] = '\0';
    else if (status != OK)
        return status;
    strlcpy(process_current()->name, name, PROCESS_NAME_SIZE);
    return OK;
}

static enum status get_name(vaddr_t to) {
    char name[PROCESS_NAME_SIZE] = {0};

    strlcpy(name, process_current()->name, sizeof(name));
    return copy_to_user(to, name, sizeof(name));
}

static enum status new_domain(struct syscall *call) {
    uint32_t number;
    enum status status = trust_new_domain(&number);

    call->result = number;
    return status;
}

static enum status change_trust(struct syscall *call) {
    const uint64_t peer = call->arg[1], trusts = call->arg[2];

    if (peer >= ASI_DOMAINS || trusts > 1)
        return ERR_INVALID;
    return trust_set(process_current()->domain, (uint32_t)peer, trusts);
}

static enum status query_trust(struct syscall *call) {
    return call->arg[1] < ASI_DOMAINS ? trust_query((uint32_t)call->arg[1], &call->result) : ERR_INVALID;
}

enum status sys_prctl(struct syscall *call) {
    const int none = 0;

    switch ((uint32_t)call->arg[0]) {
    case PR_SET_NAME:
        return set_name(call->arg[1]);
    case PR_GET_NAME:
        return get_name(call->arg[1]);
    case PR_SET_PDEATHSIG: /* accepted: the signal is not sent */
        return call->arg[1] <= SIGNAL_MAX ? OK : ERR_INVALID;
    case PR_GET_PDEATHSIG:
        return copy_to_user(call->arg[1], &none, sizeof(none));
    case PR_GET_DUMPABLE:
    case PR_GET_NO_NEW_PRIVS:
        return OK;
    case PR_SET_DUMPABLE:
        return call->arg[1] <= 1 ? OK : ERR_INVALID;
    case PR_SET_TIMERSLACK:
        return OK;
    case PR_SET_NO_NEW_PRIVS: /* no program gains any */
        return call->arg[1] == 1 ? OK : ERR_INVALID;
    case PR_ASI_DOMAIN_NEW:
        return new_domain(call);
    case PR_ASI_DOMAIN_GET:
        call->result = process_current()->domain;
        return OK;
    case PR_ASI_DOMAIN_LEAVE:
        trust_leave_domain();
        return OK;
    case PR_ASI_TRUST:
        return change_trust(call);
    case PR_ASI_TRUSTS:
        return query_trust(call);
    default:
        return ERR_INVALID;
    }
}
