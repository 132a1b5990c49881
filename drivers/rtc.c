/*
 * MC146818 real-time clock. Owns the ports 0x70 and 0x71. Used at boot only, so without a lock.
 */
#include "drivers/rtc.h"

#include <stdbool.h>

#include "arch/io.h"
#include "kernel/string.h"

enum { PORT_INDEX = 0x70, PORT_DATA = 0x71 };
enum { SECONDS = 0x00, MINUTES = 0x02, HOURS = 0x04, DAY = 0x07, MONTH = 0x08, YEAR = 0x09, STATUS_A = 0x0a, STATUS_B };
enum { UPDATE_IN_PROGRESS = 0x80, MODE_24_HOURS = 0x02, MODE_BINARY = 0x04, HOUR_PM = 0x80 };
enum { PATIENCE = 100000, READINGS_MAX = 8, CENTURY = 2000 };

struct reading {
    uint8_t seconds, minutes, hours, day, month, year;
};

static uint8_t read_register(uint8_t index) {
    io_write8(PORT_INDEX, index);
    return io_read8(PORT_DATA);
}

static struct reading read_once(void) {
    for (unsigned i = 0; i < PATIENCE && (read_register(STATUS_A) & UPDATE_IN_PROGRESS); i++)
        cpu_relax();
    return (struct reading){read_register(SECONDS), read_register(MINUTES), read_register(HOURS),
                            read_register(DAY),     read_register(MONTH),   read_register(YEAR)};
}

/* An update may begin between two registers: only two equal readings in a row are a time. */
static struct reading read_stable(void) {
    struct reading last = read_once();

    for (unsigned i = 0; i < READINGS_MAX; i++) {
        struct reading next = read_once();

        if (memcmp(&next, &last, sizeof(next)) == 0)
            break;
        last = next;
    }
    return last;
}

static unsigned decode(uint8_t value, bool binary) { return binary ? value : (value >> 4) * 10U + (value & 0x0fU); }

static unsigned decode_hours(uint8_t value, uint8_t mode) {
    unsigned hours = decode(value & (mode & MODE_24_HOURS ? 0xff : (uint8_t)~HOUR_PM), mode & MODE_BINARY);

    if (mode & MODE_24_HOURS)
        return hours;
    return hours % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Days from 1970-01-01. Years begin in March here, so that the leap day is the last of a year. */
static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day) {
    unsigned march_year = month <= 2 ? year - 1 : year;
    unsigned march_month = (month + 9) % 12;
    uint64_t days = 365UL * march_year + march_year / 4 - march_year / 100 + march_year / 400;

    days += (153 * march_month + 2) / 5 + day - 1;
    return days - 719468; /* the same sum for 1970-01-01 */
}

uint64_t rtc_read_unix_seconds(void) {
    struct reading now = read_stable();
    uint8_t mode = read_register(STATUS_B);
    bool binary = mode & MODE_BINARY;
    uint64_t days =
        days_since_1970(CENTURY + decode(now.year, binary), decode(now.month, binary), decode(now.day, binary));

    return ((days * 24 + decode_hours(now.hours, mode)) * 60 + decode(now.minutes, binary)) * 60 +
           decode(now.seconds, binary);
}
