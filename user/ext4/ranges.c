/*
 * Lists of block ranges. See ranges.h.
 */
#include "user/ext4/ranges.h"

#include <errno.h>
#include <stdlib.h>

static int append(struct ranges *ranges, struct range range) {
    if (ranges->count == ranges->room) {
        unsigned room = ranges->room * 2 + 16;
        struct range *larger = realloc(ranges->range, room * sizeof *larger);
        if (larger == NULL) {
            return ENOMEM;
        }
        ranges->range = larger;
        ranges->room = room;
    }
    ranges->range[ranges->count++] = range;
    return 0;
}

int ranges_add(struct ranges *ranges, uint64_t start, uint64_t count) {
    struct range *last = ranges->count > 0 ? &ranges->range[ranges->count - 1] : NULL;
    if (last != NULL && last->start + last->count == start) {
        last->count += count;
        return 0;
    }
    return append(ranges, (struct range){start, count});
}

void ranges_remove(struct ranges *ranges, uint64_t start, uint64_t count) {
    for (unsigned i = 0; i < ranges->count; i++) {
        if (ranges->range[i].start == start && ranges->range[i].count == count) {
            ranges->range[i] = ranges->range[--ranges->count];
            return;
        }
    }
}

int ranges_move(struct ranges *ranges, struct ranges *from) {
    for (unsigned i = 0; i < from->count; i++) {
        if (append(ranges, from->range[i]) != 0) {
            return ENOMEM;
        }
    }
    from->count = 0;
    return 0;
}

void ranges_destroy(struct ranges *ranges) {
    free(ranges->range);
    *ranges = (struct ranges){0};
}
