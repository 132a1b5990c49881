/*
 * A virtio disk: requests go in and come out by number, in any order.
 */
#ifndef DRIVERS_VIRTIO_BLK_DISK_H
#define DRIVERS_VIRTIO_BLK_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum { DISK_REQUESTS_MAX = 64, DISK_PAGES_MAX = 64 };

extern uint64_t disk_sectors;   /* of 512 bytes */
extern uint32_t disk_bytes_max; /* of one request */
extern bool disk_read_only;
extern uint16_t disk_requests; /* how many may be in flight */
extern int disk_dma;

/* Takes over the device; its completions notify `endpoint` with `bits`. -1 and errno. */
int disk_open(int function, int endpoint, uint64_t bits);

/* What one request moves: whole sectors, within the pages. */
struct disk_transfer {
    uint64_t sector;
    bool write;
    uint32_t offset, bytes; /* in the pages */
    const uint64_t *pages;  /* as the device sees them */
};

/* Puts request `slot` (< disk_requests, not in flight) in. False: the transfer has more parts than the device takes. */
bool disk_transfer(uint16_t slot, const struct disk_transfer *transfer);
/* A flush of what was written before; without a cache in the device there is nothing to flush: false. */
bool disk_flush(uint16_t slot);

/* One that is done, with 0 or an errno; false: none is. The device is broken: ends the process. */
bool disk_take(uint16_t *slot, int *error);

#endif
