/*
 * The console's input: a kernel thread in a process of its own, because input bytes are somebody's secret: the
 * interrupt handler, which runs in anybody's space, never touches them.
 */
#ifndef KERNEL_TTY_THREAD_H
#define KERNEL_TTY_THREAD_H

/* Makes and starts the thread. Panics when memory is short: start-up only. */
void tty_thread_start(void);

/* From the serial interrupt: bytes wait in the port. Interrupts off. */
void tty_interrupt(void);

#endif
