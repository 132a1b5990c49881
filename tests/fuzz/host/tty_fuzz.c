/*
 * Keys, settings, reads and writes at random on the line discipline of the console (drivers/console), as users and
 * programs might have them at once. What it says of itself must be true: no more bytes than were asked for, positions
 * in order, no queue fuller than it is.
 *
 * usage: tty_fuzz [steps] [seed]
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/console/size_query.h"
#include "drivers/lib/tty.h"

static uint64_t state, step;
static struct tty tty;

static uint64_t next(void) {
    uint64_t value = state += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

static uint64_t below(uint64_t limit) { return next() % limit; }

static void check(bool condition, const char *what) {
    if (!condition) {
        printf("FAIL tty step %llu: %s\n", (unsigned long long)step, what);
        abort();
    }
}

static void type(void) {
    static const uint8_t special[] = {3,  4,  8,  10, 13,  15, 17,  18, 19,   21,  22,
                                      23, 26, 27, 28, 127, 0,  255, 9,  0xc3, 0xa4};
    for (uint64_t i = below(below(20) == 0 ? 9000 : 40); i > 0; i--) {
        tty_input(&tty, below(3) == 0 ? special[below(sizeof special)] : (uint8_t)next(), step * 1000);
    }
}

static void set(void) {
    static const uint32_t commands[] = {0x5402, 0x5403, 0x5404, 0x5406, 0x5407, 0x5408,     0x5409,     0x540a,
                                        0x540b, 0x5411, 0x5414, 0x541b, 0x5425, 0x402c542b, 0x402c542c, 0x402c542d};
    uint8_t bytes[256];
    uint64_t result;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(below(3) == 0 ? next() : 0);
    }
    if (below(2) == 0) { /* nearly what is set */
        memcpy(bytes, &tty.settings, sizeof tty.settings);
        bytes[below(sizeof tty.settings)] ^= (uint8_t)(1u << below(8));
    }
    uint32_t command = below(10) == 0 ? (uint32_t)next() : commands[below(sizeof commands / sizeof *commands)];
    (void)!tty_control(&tty, command, below(2) == 0 ? below(5) : next(), bytes,
                       below(4) == 0 ? below(64) : sizeof bytes, &result);
}

static void get(void) {
    uint8_t *bytes;
    size_t room = below(5) == 0 ? below(6000) : below(100), count = 0;
    uint64_t wait;
    bytes = malloc(room + 1);
    enum tty_result result =
        tty_read(&tty, bytes, room, below(3) * 100000000, below(2) == 0, step * 1000, &count, &wait);
    check(result != TTY_DONE || count <= room, "a read gives more than there is room for");
    free(bytes);
}

static void put(void) {
    uint8_t bytes[6000];
    size_t count = below(4) == 0 ? below(sizeof bytes) : below(100);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(below(4) == 0 ? (uint64_t) "\n\r\t\b\033"[below(5)] : next());
    }
    check(tty_write(&tty, bytes, count) <= count, "more is written than there was");
}

static void send(void) {
    const uint8_t *bytes;
    size_t count = tty_output_span(&tty, &bytes);
    check(count <= TTY_OUTPUT, "more is to be sent than fits");
    check(count == 0 || (bytes >= tty.output.bytes && bytes + count <= tty.output.bytes + TTY_OUTPUT),
          "what is to be sent lies outside the queue");
    if (count > 0) {
        tty_output_sent(&tty, 1 + below(count));
    }
}

int main(int argc, char **argv) {
    uint64_t steps = argc > 1 ? strtoull(argv[1], NULL, 0) : 200000, seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    state = seed;
    tty_init(&tty);
    for (step = 0; step < steps; step++) {
        switch (below(7)) {
        case 0:
        case 1:
            type();
            break;
        case 2:
            set();
            break;
        case 3:
            get();
            break;
        case 4:
            put();
            break;
        default:
            send();
            break;
        }
        (void)tty_events(&tty);
        check(tty.input.line_end - tty.input.read_at <= TTY_INPUT &&
                  tty.input.write_at - tty.input.line_end <= TTY_INPUT,
              "positions of the input are not in order");
        check(tty.output.to - tty.output.from <= TTY_OUTPUT, "positions of the output are not in order");
        if (below(5000) == 0) {
            tty_init(&tty);
        }
    }
    printf("terminal: %llu steps, seed %llu\n", (unsigned long long)steps, (unsigned long long)seed);
    return 0;
}
