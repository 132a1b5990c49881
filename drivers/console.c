/*
 * Sends console output to the serial port and to the screen. Owns nothing but the order of the two.
 *
 * Locks: the caller's. Space: any; touches no memory but `text`, which may be a view of user data, and the screen.
 */
#include "drivers/console.h"

#include "boot/boot_info.h"
#include "drivers/screen.h"
#include "drivers/serial.h"

void console_init(const struct boot_info *info) {
    serial_init();
    screen_init(&info->framebuffer);
}

void console_map_video(void *video) { screen_map(video); }

void console_write(const char *text, size_t bytes) {
    size_t from = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '\n')
            continue;
        serial_write(text + from, i - from);
        serial_write("\r\n", 2);
        from = i + 1;
    }
    serial_write(text + from, bytes - from);
    screen_write(text, bytes);
}
