/*
 * The end of the machine's run, and the status that it leaves to whoever started it.
 */
#ifndef DRIVERS_POWER_H
#define DRIVERS_POWER_H

/* Statuses that are the kernel's own; pid 1's is any of 0–255. boot/entry.asm knows the first, too. */
enum power_status {
    POWER_STATUS_BOOT = 120, /* this machine, or what the loader gave, cannot run the kernel */
    POWER_STATUS_PANIC = 255,
};

/*
 * Switches the machine off, with the low 8 bits of `status` for the emulator's caller: as the line "exit N" on the
 * debug console (port 0xe9), and, for an emulator without, by the isa-debug-exit device. A real machine that has
 * neither that nor the power-off register of QEMU's q35 is left halted with its last message on the screen. Any
 * context.
 */
_Noreturn void power_off(int status);

#endif
