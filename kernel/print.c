/*
 * The kernel's own messages: formatting, and one line at a time to the console. Metadata only, so the buffer may be
 * anywhere.
 *
 * Lock: console_lock (rank CONSOLE, interrupts off), the last in the order: any code may print. The CPU that holds it
 * already (a panic inside the driver) prints without it. Any space.
 */
#include "kernel/print.h"

#include <stdint.h>

#include "arch/cpu.h"
#include "arch/spinlock.h"
#include "drivers/console.h"
#include "drivers/screen.h"
#include "kernel/log.h"
#include "kernel/string.h"

enum { LINE_SIZE = 320 };

static struct spinlock console_lock = SPINLOCK_INIT(RANK_CONSOLE);
static uint32_t printing_cpu; /* index + 1 of the CPU that holds console_lock. Atomic */

struct output {
    char *buffer;
    size_t size, length; /* length: what was needed so far */
};

static void put(struct output *output, char byte) {
    if (output->length + 1 < output->size)
        output->buffer[output->length] = byte;
    output->length++;
}

/* One conversion, as it is spelled. */
struct conversion {
    unsigned width;
    bool zero_padded, left, prefixed;
    unsigned longs; /* l and z */
};

/* Padding goes before the text; zeros go between a sign or "0x" and the digits. */
static void put_padded(struct output *output, const struct conversion *how, const char *text, size_t length,
                       const char *prefix) {
    size_t total = strlen(prefix) + length;
    size_t padding = how->width > total ? how->width - total : 0;

    if (!how->left && !how->zero_padded) {
        for (; padding > 0; padding--)
            put(output, ' ');
    }
    for (; *prefix != '\0'; prefix++)
        put(output, *prefix);
    if (!how->left) {
        for (; padding > 0; padding--)
            put(output, '0');
    }
    for (size_t i = 0; i < length; i++)
        put(output, text[i]);
    for (; padding > 0; padding--)
        put(output, ' ');
}

static void put_number(struct output *output, const struct conversion *how, uint64_t value, unsigned base,
                       const char *prefix) {
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    put_padded(output, how, digits + at, sizeof(digits) - at, prefix);
}

static const char *parse_conversion(const char *format, struct conversion *how) {
    *how = (struct conversion){0};
    for (;; format++) {
        if (*format == '0')
            how->zero_padded = true;
        else if (*format == '-')
            how->left = true;
        else if (*format == '#')
            how->prefixed = true;
        else
            break;
    }
    for (; *format >= '0' && *format <= '9'; format++)
        how->width = how->width * 10 + (unsigned)(*format - '0');
    for (; *format == 'l' || *format == 'z'; format++)
        how->longs++;
    return format;
}

size_t format_string_va(char *buffer, size_t size, const char *format, va_list arguments) {
    struct output output = {.buffer = buffer, .size = size};

    for (; *format != '\0'; format++) {
        struct conversion how;

        if (*format != '%') {
            put(&output, *format);
            continue;
        }
        format = parse_conversion(format + 1, &how);
        if (*format == '\0')
            break;
        switch (*format) {
        case 'd': {
            int64_t value = how.longs ? va_arg(arguments, long) : va_arg(arguments, int);
            uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
            put_number(&output, &how, magnitude, 10, value < 0 ? "-" : "");
            break;
        }
        case 'u':
            put_number(&output, &how, how.longs ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned), 10,
                       "");
            break;
        case 'x':
            put_number(&output, &how, how.longs ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned), 16,
                       how.prefixed ? "0x" : "");
            break;
        case 'p':
            put_number(&output, &how, (uintptr_t)va_arg(arguments, void *), 16, "0x");
            break;
        case 's': {
            const char *text = va_arg(arguments, const char *);
            if (text == NULL)
                text = "(null)";
            how.zero_padded = false;
            put_padded(&output, &how, text, strlen(text), "");
            break;
        }
        case 'c':
            put(&output, (char)va_arg(arguments, int));
            break;
        default:
            put(&output, *format);
            break;
        }
    }
    if (size > 0)
        buffer[output.length < size ? output.length : size - 1] = '\0';
    return output.length;
}

size_t format_string(char *buffer, size_t size, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_string_va(buffer, size, format, arguments);
    va_end(arguments);
    return length;
}

bool console_hold(void) {
    bool irq = spin_lock_irq(&console_lock);
    __atomic_store_n(&printing_cpu, this_cpu->index + 1, __ATOMIC_RELAXED);
    return irq;
}

void console_release(bool irq) {
    __atomic_store_n(&printing_cpu, 0, __ATOMIC_RELAXED);
    spin_unlock_irq(&console_lock, irq);
}

static void write_line(const char *text, size_t length, bool logged) {
    const bool held = __atomic_load_n(&printing_cpu, __ATOMIC_RELAXED) == this_cpu->index + 1;
    bool irq = held || console_hold();
    console_write(text, length);
    if (logged)
        log_append(text, length);
    if (!held)
        console_release(irq);
}

void console_print(const char *text, size_t bytes) {
    if (bytes > 0)
        write_line(text, bytes, false);
}

void screen_print(const char *text, size_t bytes) {
    bool irq = console_hold();
    screen_write(text, bytes);
    console_release(irq);
}

void screen_leave_to_server(bool leave) {
    bool irq = console_hold();
    screen_leave(leave);
    console_release(irq);
}

void kprintf(const char *format, ...) {
    char line[LINE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_string_va(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length >= sizeof(line)) {
        length = sizeof(line) - 1;
        line[length - 1] = '\n'; /* cut off, but still a line of its own */
    }
    write_line(line, length, true);
}
