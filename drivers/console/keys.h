/*
 * From what a keyboard sends to what a terminal's keys send: scan codes of set 1, US layout. Knows no ports
 * (tests/host/vt_test.c).
 */
#ifndef DRIVERS_CONSOLE_KEYS_H
#define DRIVERS_CONSOLE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_BYTES_MAX 8U

/* What is held down, and what has begun to come. All zero at first. */
struct keys {
    bool left_shift, right_shift, left_control, right_control, left_alt, right_alt, caps_lock;
    bool extended;   /* 0xe0 came */
    uint8_t skipped; /* bytes of the pause key that are to come */
};

/*
 * A byte came from the keyboard. What the key sends goes to `to` (KEYS_BYTES_MAX bytes); returns how many.
 * `application`: arrows as programs may ask for them (struct vt, application_keys).
 */
size_t keys_scan(struct keys *keys, uint8_t code, bool application, char *to);

#endif
