/*
 * Finds ESC [ rows ; columns R in what is typed. A few bytes of state; no locks.
 */
#include "drivers/console/size_query.h"

#include <string.h>

#define ESCAPE  0x1b
#define LARGEST 1000U /* rows or columns: the question goes to 999 */

static bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

static size_t release(struct size_query *query, uint8_t *through) {
    size_t count = query->count;
    memcpy(through, query->held, count);
    query->count = 0;
    return count;
}

size_t size_query_give_up(struct size_query *query, uint8_t *through) {
    query->waiting = false;
    return release(query, through);
}

/* A number from *at on, which moves behind it; 0 for none and for what cannot be. */
static uint16_t number(const struct size_query *query, size_t *at) {
    unsigned value = 0;
    for (; *at < query->count && is_digit(query->held[*at]) && value < LARGEST; ++*at) {
        value = value * 10 + (unsigned)(query->held[*at] - '0');
    }
    return value < LARGEST ? (uint16_t)value : 0;
}

/* All but the last byte is there, which is an R. */
static bool understand(struct size_query *query) {
    size_t at = 2;
    uint16_t rows = number(query, &at);
    bool separated = at < query->count && query->held[at] == ';';
    at++;
    uint16_t columns = separated ? number(query, &at) : 0;
    if (rows == 0 || columns == 0 || at != query->count) {
        return false;
    }
    query->rows = rows;
    query->columns = columns;
    query->waiting = false;
    memset(query->held, 0, sizeof query->held);
    query->count = 0;
    return true;
}

static bool continues(const struct size_query *query, uint8_t byte) {
    if (query->count == 1) {
        return byte == '[';
    }
    return query->count > 1 && query->count < SIZE_ANSWER_MAX - 1 && (is_digit(byte) || byte == ';');
}

size_t size_query_input(struct size_query *query, uint8_t byte, uint8_t *through) {
    if (!query->waiting) {
        *through = byte;
        return 1;
    }
    if (continues(query, byte)) {
        query->held[query->count++] = byte;
        return 0;
    }
    if (byte == 'R' && query->count > 2 && understand(query)) {
        return 0;
    }
    size_t count = release(query, through);
    if (byte == ESCAPE) {
        query->held[query->count++] = byte;
    } else {
        through[count++] = byte;
    }
    return count;
}
