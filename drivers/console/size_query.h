/*
 * Asking whoever is at the other end of the line how large its window is: the cursor is sent beyond the corner, and
 * where it got to is asked. The answer comes among what is typed, and is taken out of it.
 */
#ifndef DRIVERS_CONSOLE_SIZE_QUERY_H
#define DRIVERS_CONSOLE_SIZE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Save the cursor, go far, ask, come back. */
#define SIZE_QUESTION   "\0337\033[999;999H\033[6n\0338"
#define SIZE_ANSWER_MAX 12U /* ESC [ 999 ; 999 R, and some */

struct size_query {
    bool waiting;                  /* for an answer */
    uint16_t rows, columns;        /* the answer, or 0 */
    uint8_t held[SIZE_ANSWER_MAX]; /* what may be the beginning of one */
    size_t count;
};

/*
 * A byte came. What belongs to no answer goes to `through` (SIZE_ANSWER_MAX bytes); returns how many. With the answer
 * `rows` and `columns` are set and the waiting is over.
 */
size_t size_query_input(struct size_query *query, uint8_t byte, uint8_t *through);

/* Nothing more is expected: what was held back goes to `through`. */
size_t size_query_give_up(struct size_query *query, uint8_t *through);

#endif
