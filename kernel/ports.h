/*
 * Ranges of I/O ports, for drivers in user space: they ask, the kernel reads and writes.
 */
#ifndef KERNEL_PORTS_H
#define KERNEL_PORTS_H

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/types.h"

struct file;
struct ports;

/*
 * A file with READ and WRITE on `count` ports. ERR_INVALID (none, or behind the last port), ERR_NOT_PERMITTED (one is
 * the kernel's own), ERR_NO_MEMORY.
 */
MUST_USE enum status ports_create(uint64_t first, uint64_t count, struct file **out);

/* The ports behind a descriptor, with a reference on the file. ERR_BAD_HANDLE, ERR_INVALID, ERR_ACCESS. */
MUST_USE enum status ports_get(int fd, uint32_t rights, struct file **out);

/*
 * Reads or writes one value; PORT_READ* give *value. ERR_INVALID (operation unknown, or not inside the range). Ports
 * that kernel messages leave by, too, are used under their lock.
 */
MUST_USE enum status ports_access(const struct file *file, enum port_operation operation, uint64_t offset,
                                  uint64_t *value);

/* Writes `bytes` bytes of LOCAL memory or the caller's stack to one port. ERR_INVALID. */
MUST_USE enum status ports_write_bytes(const struct file *file, uint64_t offset, const uint8_t *from, size_t bytes);

#endif
