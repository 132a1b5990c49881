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
    PR_GET_KEEPCAPS = 7,
    PR_SET_KEEPCAPS = 8,
    PR_SET_NAME = 15,
    PR_GET_NAME = 16,
    PR_CAPBSET_READ = 23,
    PR_CAPBSET_DROP = 24,
    PR_GET_SECUREBITS = 27,
    PR_SET_TIMERSLACK = 29,
    PR_GET_TIMERSLACK = 30,
    PR_SET_CHILD_SUBREAPER = 36,
    PR_GET_CHILD_SUBREAPER = 37,
    PR_SET_NO_NEW_PRIVS = 38,
    PR_GET_NO_NEW_PRIVS = 39,
    PR_SET_THP_DISABLE = 41,
    PR_GET_THP_DISABLE = 42,
    PR_CAP_AMBIENT = 47,
    PR_SET_MDWE = 65,
    PR_GET_MDWE = 66,
};
enum { PR_MDWE_REFUSE_EXEC_GAIN = 1 };
enum { PR_CAP_AMBIENT_IS_SET = 1, PR_CAP_AMBIENT_CLEAR_ALL = 4 };
enum { CAP_LAST_CAP = 40, TIMER_SLACK_NS = 50000 };

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
    struct process *self = process_current();
    int number;

    switch ((uint32_t)call->arg[0]) {
    case PR_SET_NAME:
        return set_name(call->arg[1]);
    case PR_GET_NAME:
        return get_name(call->arg[1]);
    case PR_SET_PDEATHSIG:
        if (call->arg[1] > SIGNAL_MAX)
            return ERR_INVALID;
        self->death_signal = (uint8_t)call->arg[1];
        return OK;
    case PR_GET_PDEATHSIG:
        number = self->death_signal;
        return copy_to_user(call->arg[1], &number, sizeof(number));
    case PR_SET_CHILD_SUBREAPER:
        self->is_subreaper = call->arg[1] != 0;
        return OK;
    case PR_GET_CHILD_SUBREAPER:
        number = self->is_subreaper;
        return copy_to_user(call->arg[1], &number, sizeof(number));
    case PR_GET_DUMPABLE:
        call->result = !self->no_core;
        return OK;
    case PR_SET_DUMPABLE:
        if (call->arg[1] > 1)
            return ERR_INVALID;
        self->no_core = call->arg[1] == 0;
        return OK;
    case PR_CAPBSET_READ: /* root's are all, and stay */
        call->result = 1;
        return call->arg[1] <= CAP_LAST_CAP ? OK : ERR_INVALID;
    case PR_CAPBSET_DROP:
        if (!identity_is_root())
            return ERR_NOT_PERMITTED;
        return call->arg[1] <= CAP_LAST_CAP ? OK : ERR_INVALID;
    case PR_CAP_AMBIENT: /* there are none */
        if (call->arg[1] == PR_CAP_AMBIENT_IS_SET)
            return call->arg[2] <= CAP_LAST_CAP ? OK : ERR_INVALID;
        return call->arg[1] == PR_CAP_AMBIENT_CLEAR_ALL ? OK : ERR_NOT_PERMITTED;
    case PR_GET_KEEPCAPS:
    case PR_GET_SECUREBITS:
    case PR_GET_THP_DISABLE:
    case PR_SET_THP_DISABLE:
    case PR_SET_TIMERSLACK:
        return OK;
    case PR_SET_KEEPCAPS:
        return call->arg[1] <= 1 ? OK : ERR_INVALID;
    case PR_GET_TIMERSLACK:
        call->result = TIMER_SLACK_NS;
        return OK;
    case PR_GET_NO_NEW_PRIVS:
        call->result = self->no_new_privileges;
        return OK;
    case PR_SET_MDWE: /* Linux 6.3: for good, for its children and for the programs that they become */
        if (call->arg[1] & ~(uint64_t)PR_MDWE_REFUSE_EXEC_GAIN || call->arg[2] != 0 || call->arg[3] != 0 ||
            call->arg[4] != 0)
            return ERR_INVALID;
        if (call->arg[1] == 0)
            return self->refuses_exec_gain ? ERR_NOT_PERMITTED : OK;
        self->refuses_exec_gain = true;
        return OK;
    case PR_GET_MDWE:
        if (call->arg[1] != 0 || call->arg[2] != 0 || call->arg[3] != 0 || call->arg[4] != 0)
            return ERR_INVALID;
        call->result = self->refuses_exec_gain ? PR_MDWE_REFUSE_EXEC_GAIN : 0;
        return OK;
    case PR_SET_NO_NEW_PRIVS: /* for good, and for its children */
        if (call->arg[1] != 1 || call->arg[2] != 0 || call->arg[3] != 0 || call->arg[4] != 0)
            return ERR_INVALID;
        self->no_new_privileges = true;
        return OK;
    case PR_ASI_DOMAIN_NEW:
        return new_domain(call);
    case PR_ASI_DOMAIN_GET:
        call->result = self->domain;
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
