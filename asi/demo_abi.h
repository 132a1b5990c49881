/*
 * Operations of SYS_ASI that only the kernel of `make demo` has (docs/demo.md); any other answers EINVAL. Plain C
 * types: shared by asi/demo.c and user/demo.
 */
#ifndef ASI_DEMO_ABI_H
#define ASI_DEMO_ABI_H

#include <stdint.h>

enum demo_op {
    DEMO_OP_FORGET = 100, /* the simulated cache holds no line of the probe array. With arg 1: the predictors, too */
    DEMO_OP_TIME = 101,   /* buffer: uint16_t[DEMO_LINES], out: what loading each line of the probe array takes */
    DEMO_OP_READ = 102,   /* arg: a kernel address. The gadget, as a mispredicted branch would run it */
    DEMO_OP_TRAIN = 103,  /* the caller takes a branch whose entry in the predictor others share, to the gadget */
    DEMO_OP_BRANCH = 104, /* arg: what is in a register at a branch of the kernel's. size: enum demo_flags */
    DEMO_OP_LOAD = 105,   /* arg: an address that kernel code loads a line from, rightly. size: enum demo_flags */
    DEMO_OP_SAMPLE = 106, /* arg: an offset in a line. A load of the caller's that is answered from a stale buffer */
    DEMO_OP_FIND = 107, /* buffer: struct demo_find, in and out: where in RAM the demonstration's secrets lie. uid 0 */
    DEMO_OP_WALK = 108, /* buffer: struct demo_walk, in and out: how far the loaded page tables lead */
    DEMO_OP_SPECTRE = 109, /* buffer: struct demo_spectre, in: a true bounds-check bypass, on the real CPU */
};

enum demo_flags { DEMO_OUTSIDE = 1 }; /* after leaving the restricted space, where there is one */

#define DEMO_LINES 256 /* of the probe array: one for each value of a byte */
#define DEMO_HIT   60  /* ticks: a line that is in the simulated cache */
#define DEMO_MISS  300
#define DEMO_FOUND 16

/* The pattern of 8 bytes is masked ^ mask, as in struct asi_scan: the request does not hold it in plain. */
struct demo_find {
    uint64_t masked, mask;
    uint32_t classes;              /* in: bits 1 << class of mm/frame.h: frames to look in */
    uint32_t count;                /* out: how many were found, DEMO_FOUND at most */
    uint64_t physical[DEMO_FOUND]; /* out */
};

struct demo_walk {
    uint64_t address;  /* in */
    uint32_t levels;   /* out: entries looked at; the last is a leaf, or not present */
    uint32_t mapped;   /* out: 0 or 1 */
    uint64_t entry[4]; /* out: from the PML4's on */
    uint32_t index[4]; /* out */
    /* The frame's entry in the frame table, when `address` is in the direct map; mapped or not. */
    uint32_t class, owner;
};

#define DEMO_STRIDE 1024 /* bytes of the caller's real probe array for each value */
struct demo_spectre {
    uint64_t address; /* that it is to read out of bounds */
    uint64_t probe;   /* DEMO_LINES * DEMO_STRIDE bytes of the caller's memory, present */
};

#endif
