/*
 * Owns: the trust domains, and what a CPU owes by its history.
 *
 * Invariants: FLUSH-CONTROL, FLUSH-DATA. A CPU's history is two sets of domains: whose code ran since the last IBPB,
 * and whose data was used since the last VERW; the loaded process is not in them until it is left. While no change of
 * trust is outstanding, the loaded process trusts every domain of the first and is trusted by every one of the second.
 * Locks: processes_lock for every change. A switch reads without it, what it decides on first and the generation
 * last; each change is followed by a new generation, which makes a history that is not empty one of a private process.
 * Space: any.
 */
#include "asi/trust.h"

#include "arch/cpu.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/process.h"
#include "kernel/sched.h"

#define PRIVATE 0

/* Sets of domains, with the domain itself; empty for the private one, so that it owes whatever there is to owe. */
struct domain {
    uint64_t trusts;     /* whose training it runs with: atomic */
    uint64_t trusted_by; /* whose data it may see: atomic */
    uint32_t members;    /* processes, the dead that nobody has collected among them; 0: the number is free */
    uint32_t owner;      /* uid of its maker */
};

static struct domain domains[ASI_DOMAINS]; /* protected by processes_lock */
static uint64_t generation;                /* of the relation: atomic */

static uint64_t set_of(uint32_t number) { return 1UL << number; }

static uint32_t domain_of(const struct process *process) { return __atomic_load_n(&process->domain, __ATOMIC_RELAXED); }

/* --- At a switch -------------------------------------------------------------------------------------------------- */

bool trust_has_changed(void) { return __atomic_load_n(&generation, __ATOMIC_ACQUIRE) != this_cpu->trust_generation; }

/* Numbers may have changed their meaning: somebody was here, and nobody says who. An empty set has no numbers. */
static uint64_t forget_names(uint64_t history) { return history == 0 ? 0 : history | set_of(PRIVATE); }

uint32_t trust_debts(const struct process *from, const struct process *to) {
    struct cpu *cpu = cpu_self();
    const struct domain *domain = &domains[domain_of(to)];
    const uint64_t left = from == NULL ? 0 : set_of(domain_of(from));
    uint64_t trusts = __atomic_load_n(&domain->trusts, __ATOMIC_ACQUIRE);
    uint64_t trusted_by = __atomic_load_n(&domain->trusted_by, __ATOMIC_ACQUIRE);
    if (mutant(one_way_trust_pays_nothing))
        trusts = trusted_by = trusts | trusted_by;
    uint64_t trained = cpu->control_history | left;
    uint64_t seen = cpu->data_history | left;
    const uint64_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    if (now != cpu->trust_generation) {
        cpu->trust_generation = now;
        cpu->control_history = forget_names(cpu->control_history);
        cpu->data_history = forget_names(cpu->data_history);
        trained = forget_names(trained);
        seen = forget_names(seen);
    }
    return (trained & ~trusts ? CROSS_CONTROL_FLUSH : 0) | (seen & ~trusted_by ? CROSS_DATA_FLUSH : 0);
}

void trust_note_left(const struct process *from) {
    struct cpu *cpu = cpu_self();
    const uint64_t left = set_of(domain_of(from));
    if (mutant(history_forgotten))
        return;
    cpu->control_history |= left;
    cpu->data_history |= left;
}

/* --- Changes ------------------------------------------------------------------------------------------------------ */

static void begin_generation(void) {
    if (!mutant(trust_change_unnoticed))
        __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
}

void trust_forget_histories(void) { __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE); }

/* Its threads pay what they owe now before they run user code again. processes_lock held. */
static void send_through_gate(struct process *process) {
    list_for_each(link, &process->threads) {
        struct thread *thread = container_of(link, struct thread, process_link);
        __atomic_or_fetch(&thread->work, WORK_SPACE, __ATOMIC_RELEASE);
        sched_kick(thread);
    }
}

/* Frees the number of a domain that has lost its last member. What its members did is owed by everybody else. */
static void free_domain(uint32_t number) {
    for (uint32_t other = 1; other < ASI_DOMAINS; other++) {
        __atomic_and_fetch(&domains[other].trusts, ~set_of(number), __ATOMIC_RELAXED);
        __atomic_and_fetch(&domains[other].trusted_by, ~set_of(number), __ATOMIC_RELAXED);
    }
    __atomic_store_n(&domains[number].trusts, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&domains[number].trusted_by, 0, __ATOMIC_RELAXED);
}

static void enter(uint32_t number) {
    if (number != PRIVATE)
        domains[number].members++;
}

static void leave(uint32_t number) {
    if (number != PRIVATE && --domains[number].members == 0)
        free_domain(number);
}

void trust_inherit(struct process *child, const struct process *parent) {
    child->domain = parent->domain;
    enter(child->domain);
}

/* Its number stays in it: the CPU that it dies on may not have left it yet. */
void trust_forget_process(const struct process *process) { leave(process->domain); }

/* processes_lock held. */
static void move(struct process *process, uint32_t number) {
    const uint32_t old = process->domain;
    enter(number);
    __atomic_store_n(&process->domain, (uint8_t)number, __ATOMIC_RELEASE);
    begin_generation();
    leave(old);
    send_through_gate(process);
}

static uint32_t free_number(void) {
    uint32_t number = 1;
    while (number < ASI_DOMAINS && domains[number].members != 0)
        number++;
    return number;
}

enum status trust_new_domain(uint32_t *number) {
    struct process *process = process_current();
    bool irq = spin_lock_irq(&processes_lock);
    const uint32_t fresh = free_number();
    if (fresh < ASI_DOMAINS) {
        begin_generation(); /* before the number means somebody else */
        domains[fresh].owner = process->user.effective;
        __atomic_store_n(&domains[fresh].trusts, set_of(fresh), __ATOMIC_RELEASE);
        __atomic_store_n(&domains[fresh].trusted_by, set_of(fresh), __ATOMIC_RELEASE);
        move(process, fresh);
    }
    spin_unlock_irq(&processes_lock, irq);
    *number = fresh;
    return fresh < ASI_DOMAINS ? OK : ERR_AGAIN;
}

void trust_leave_domain(void) {
    bool irq = spin_lock_irq(&processes_lock);
    move(process_current(), PRIVATE);
    spin_unlock_irq(&processes_lock, irq);
}

enum status trust_move(uint32_t id, uint32_t number) {
    if (number >= ASI_DOMAINS)
        return ERR_INVALID;
    bool irq = spin_lock_irq(&processes_lock);
    struct process *process = id == 0 ? process_current() : process_find(id);
    enum status status = process == NULL ? ERR_NO_PROCESS : OK;
    if (status == OK && number != PRIVATE && domains[number].members == 0)
        status = ERR_NO_ENTRY;
    if (status == OK)
        move(process, number);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

/* --- Who trusts whom ---------------------------------------------------------------------------------------------- */

static bool is_label(uint32_t number) { return number != PRIVATE && number < ASI_DOMAINS; }

/* Two labels that have members. processes_lock held. */
static enum status check_pair(uint32_t domain, uint32_t peer) {
    if (!is_label(domain) || !is_label(peer) || domain == peer)
        return ERR_INVALID;
    return domains[domain].members == 0 || domains[peer].members == 0 ? ERR_NO_ENTRY : OK;
}

static bool may_change(uint32_t domain) {
    const struct process *self = process_current();
    return self->user.effective == 0 || (self->domain == domain && self->user.effective == domains[domain].owner);
}

static void begin_trust(uint32_t domain, uint32_t peer) {
    __atomic_or_fetch(&domains[domain].trusts, set_of(peer), __ATOMIC_RELEASE);
    __atomic_or_fetch(&domains[peer].trusted_by, set_of(domain), __ATOMIC_RELEASE);
}

/* The members may be running with the peer's training, the peer's with their data in the buffers. */
static void end_trust(uint32_t domain, uint32_t peer) {
    __atomic_and_fetch(&domains[domain].trusts, ~set_of(peer), __ATOMIC_RELAXED);
    __atomic_and_fetch(&domains[peer].trusted_by, ~set_of(domain), __ATOMIC_RELAXED);
    begin_generation();
    list_for_each(link, &all_processes) {
        struct process *process = container_of(link, struct process, all_link);
        if (process->domain == domain || process->domain == peer)
            send_through_gate(process);
    }
}

enum status trust_set(uint32_t domain, uint32_t peer, bool trusts) {
    bool irq = spin_lock_irq(&processes_lock);
    enum status status = check_pair(domain, peer);
    if (status == OK && !may_change(domain))
        status = ERR_NOT_PERMITTED;
    if (status == OK && trusts)
        begin_trust(domain, peer);
    else if (status == OK)
        end_trust(domain, peer);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

enum status trust_query(uint32_t peer, int64_t *result) {
    bool irq = spin_lock_irq(&processes_lock);
    const uint32_t own = process_current()->domain;
    enum status status = check_pair(own, peer);
    if (status == OK)
        *result = (domains[own].trusts & set_of(peer) ? ASI_TRUSTS_PEER : 0) |
                  (domains[own].trusted_by & set_of(peer) ? ASI_TRUSTS_US : 0);
    spin_unlock_irq(&processes_lock, irq);
    return status;
}

bool trust_describe(uint32_t number, struct asi_domain *out) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct domain *domain = &domains[number];
    *out = (struct asi_domain){
        .number = number,
        .members = domain->members,
        .owner = domain->owner,
        .trusts = domain->trusts & ~set_of(number),
    };
    spin_unlock_irq(&processes_lock, irq);
    return out->members != 0;
}
