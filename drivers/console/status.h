/*
 * What the status line says: mode, how often the restricted space was left, CR3 writes, CPUs, processes.
 */
#ifndef DRIVERS_CONSOLE_STATUS_H
#define DRIVERS_CONSOLE_STATUS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writes the line as it is at `now` (ns): rates are since the last call. Returns its paper, a colour's number as in
 * drivers/console/vt.h, which tells the mode.
 */
uint8_t status_line(char *text, size_t size, uint64_t now);

#endif
