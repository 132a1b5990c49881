/*
 * Owns: the console thread. It sleeps until the port has input, reads it byte by byte and hands each to the line
 * discipline, in its own restricted space, with the terminal's buffer open.
 * Locks: the wait queue's. Invariant: LOGICAL ACCESS – nobody else's space ever holds the bytes on their way.
 */
#include "kernel/tty_thread.h"

#include "drivers/serial.h"
#include "kernel/assert.h"
#include "kernel/file.h"
#include "kernel/process_life.h"
#include "kernel/terminal.h"
#include "kernel/wait.h"
#include "mm/local.h"

static struct wait_queue input;

void tty_interrupt(void) { wake_all(&input); }

static void console_thread(void) {
    local_init();
    terminal_thread_begin();
    serial_enable_input_interrupt();
    for (;;) {
        struct waiter waiter;
        wait_begin(&input, &waiter);
        if (!serial_input_ready())
            wait_sleep_uninterruptible();
        wait_end(&waiter);
        while (serial_input_ready())
            terminal_input(serial_read_byte());
    }
}

void tty_thread_start(void) {
    struct process *process;
    wait_queue_init(&input);
    if (process_create_kernel("console", console_thread, &process) != OK)
        panic("no memory for the console thread");
}
