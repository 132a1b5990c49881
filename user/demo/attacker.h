/*
 * The attacker: a process with a user id of its own and no rights, which has the gadget, a clock, and patience. Each
 * attack is a process of its own, which tells what it has got by a pipe.
 */
#ifndef USER_DEMO_ATTACKER_H
#define USER_DEMO_ATTACKER_H

#include <stdint.h>
#include <sys/types.h>

#include "asi/demo_abi.h"
#include "user/demo/victim.h"

#define ATTACKER_UID 1002

enum attack {
    ATTACK_OWN,     /* the gadget on its own memory: that it works at all */
    ATTACK_SCAN,    /* it looks for the marker itself, at the start of each page of the direct map, then reads on */
    ATTACK_TOLD,    /* the gadget on SECRET_BYTES from `address` on */
    ATTACK_BRANCH,  /* it trains the predictor, the victim branches */
    ATTACK_TRAINED, /* likewise, but its own system call branches, outside, with `address` in a register */
    ATTACK_BUFFER,  /* the victim uses its secret, it samples */
    ATTACK_RESIDUE, /* its own system call loads the line at `address` outside, it samples */
    ATTACK_SPECTRE, /* the CPU's own speculation, on SECRET_BYTES from `address` on */
};

struct attack_plan {
    enum attack attack;
    uint64_t address; /* a kernel address */
    uint64_t pages;   /* to scan */
    const struct victim *victim;
};

/* What it says, in this order: REPORT_SCANNED where it scans, a REPORT_BYTE for each byte, REPORT_WALK, REPORT_END. */
enum report_kind { REPORT_SCANNED, REPORT_BYTE, REPORT_WALK, REPORT_END };
struct attack_report {
    enum report_kind kind;
    int value;             /* REPORT_BYTE: the byte, or -1. REPORT_END: how many bytes were right, for ATTACK_OWN */
    uint64_t reads;        /* REPORT_SCANNED: how often it ran the gadget */
    uint64_t address;      /* … and where the secret is; 0: no line was ever touched but by chance */
    struct demo_walk walk; /* REPORT_WALK: of plan.address */
};

/* Starts it; reports come from the descriptor until REPORT_END. */
pid_t attack_start(const struct attack_plan *plan, int *reports);

#endif
