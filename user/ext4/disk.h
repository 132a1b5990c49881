/*
 * The disk under the file system, as the server's core sees it: a block driver's endpoint (disk_driver.c), or, in tests
 * on the build machine, a file that loses power on demand (tests/host/ext4).
 *
 * Offsets and sizes are bytes, multiples of DISK_SECTOR. All return 0 or an errno. Any thread, several at a time.
 */
#ifndef USER_EXT4_DISK_H
#define USER_EXT4_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_SECTOR 512U

struct disk {
    int (*read)(struct disk *disk, uint64_t offset, void *bytes, size_t size);
    int (*write)(struct disk *disk, uint64_t offset, const void *bytes, size_t size);
    int (*flush)(struct disk *disk); /* what was written before is durable */
    /* Moves file content between the disk and memory that only a device reaches: `grant` is a handle. */
    int (*move)(struct disk *disk, bool to_disk, int grant, uint64_t grant_offset, uint64_t offset, uint64_t size);
    uint64_t size;
    bool read_only;
};

#endif
