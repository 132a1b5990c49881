/*
 * The system console: the serial port and, where there is one, the screen. Output only: the kernel's
 * own messages, and programs' while drivers/console/ does not run.
 */
#ifndef DRIVERS_CONSOLE_H
#define DRIVERS_CONSOLE_H

#include <stddef.h>

struct boot_info;

/*
 * Sets up the serial port and learns about the screen. Early space: the screen shows from now on where its memory lies
 * below 4 GiB. Once, on the boot CPU.
 */
void console_init(const struct boot_info *info);

/*
 * From now on the screen's memory is at `video`, mapped uncached (see drivers/screen.c why); NULL turns the screen off.
 * To be called when mm/ leaves the early space. The bytes to map: boot_framebuffer.pitch * height, from .phys.
 */
void console_map_video(void *video);

/*
 * Writes text; a newline also returns the carriage. Keeps no copy. Never sleeps; any context.
 * One caller at a time: the caller holds the lock of rank RANK_CONSOLE, or is the last CPU alive.
 */
void console_write(const char *text, size_t bytes);

#endif
