/*
 * QEMU's firmware configuration device: named files that the command line of QEMU provides (-fw_cfg name=…,string=…).
 */
#ifndef DRIVERS_FW_CFG_H
#define DRIVERS_FW_CFG_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads the file `name` as a string, cut off to fit and always terminated. False, and an empty string, where there is
 * no such file or no such device. size > 0. For what the kernel may know: the buffer may be GLOBAL. Boot CPU, at boot.
 */
bool fw_cfg_read_string(const char *name, char *buffer, size_t size);

#endif
