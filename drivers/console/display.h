/*
 * The screen: the terminal's lines (drivers/console/vt.h) and below them a status line, drawn into the framebuffer that
 * the loader left.
 */
#ifndef DRIVERS_CONSOLE_DISPLAY_H
#define DRIVERS_CONSOLE_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

struct vt;

/*
 * Maps the framebuffer of the console's `terminal` and takes it from the kernel. False, and errno: there is none, of a
 * kind that is not drawn, or no font. *columns and *lines: how much of it is the terminal's.
 */
bool display_open(int authority, int terminal, uint32_t *columns, uint32_t *lines);

/* Draws what has changed since the last time. */
void display_draw(struct vt *vt);

/* The status line's text, ASCII, cut off or padded, and its paper: a colour's number as in vt.h. */
void display_status(const char *text, uint8_t paper);

#endif
