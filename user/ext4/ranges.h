/*
 * A growing list of block ranges: what was freed, what is reserved. Guard: the volume's lock.
 */
#ifndef USER_EXT4_RANGES_H
#define USER_EXT4_RANGES_H

#include <stdint.h>

struct range {
    uint64_t start, count;
};

struct ranges {
    struct range *range;
    unsigned count, room;
};

/* Joins the range that was added last where they are neighbours. 0 or ENOMEM. */
int ranges_add(struct ranges *ranges, uint64_t start, uint64_t count);
/* Takes out one that was added just so. */
void ranges_remove(struct ranges *ranges, uint64_t start, uint64_t count);
/* Adds all of `from`, and empties that. */
int ranges_move(struct ranges *ranges, struct ranges *from);
void ranges_destroy(struct ranges *ranges);

#endif
