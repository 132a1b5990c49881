/*
 * Virtio devices on PCI, as virtio 1.1 has them ("modern"): the transport and its queues. What the device is for is its
 * driver's.
 *
 * A driver is one thread. Everything that driver and device share lies in DMA memory (kernel/ipc_abi.h).
 * Source: Virtual I/O Device (VIRTIO) Version 1.1, sections 2.6, 3.1 and 4.1.
 */
#ifndef DRIVERS_LIB_VIRTIO_H
#define DRIVERS_LIB_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTIO_VENDOR                0x1af4U
#define VIRTIO_DEVICE_VENDOR(number) ((0x1040U + (number)) << 16 | VIRTIO_VENDOR) /* number: 2 block, 4 entropy … */
#define VIRTIO_F_INDIRECT_DESC       (1ULL << 28)
#define VIRTIO_F_VERSION_1           (1ULL << 32)
#define VIRTIO_F_ACCESS_PLATFORM     (1ULL << 33)

/* A part of memory as the device sees it. */
struct virtio_buffer {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
enum { VIRTIO_NEXT = 1, VIRTIO_DEVICE_WRITES = 2, VIRTIO_INDIRECT = 4 };

struct virtio_device {
    int function, dma;
    volatile uint8_t *common, *notify, *config; /* registers; config: the device's own */
    uint32_t notify_step;                       /* bytes between the places of two queues */
    uint64_t features;                          /* agreed on */
};

/* A split queue of up to VIRTIO_QUEUE_MAX requests, each of one (indirect) descriptor. */
enum { VIRTIO_QUEUE_MAX = 128 };
struct virtio_queue {
    struct virtio_buffer *descriptors;
    volatile uint16_t *available; /* flags, index, ring */
    volatile uint16_t *used;      /* flags, index, then ring of two 32-bit words */
    volatile uint16_t *doorbell;
    uint16_t number, size, next_available, last_used;
};

/*
 * Takes over the device behind a function's handle: finds its registers, resets it, agrees on those of `wanted` that it
 * offers, which must have all of `needed`. VIRTIO_F_VERSION_1 is always needed. -1 and errno.
 */
int virtio_open(struct virtio_device *device, int function, uint64_t wanted, uint64_t needed);

/* Sets up queue `number`, whose completions notify `endpoint` with `bits`. -1 and errno. */
int virtio_queue_open(struct virtio_device *device, struct virtio_queue *queue, uint16_t number, int endpoint,
                      uint64_t bits);

/* After the queues: the device may begin. -1 and errno. */
int virtio_start(struct virtio_device *device);

/* Whether the device has given up (DEVICE_NEEDS_RESET). */
bool virtio_is_broken(const struct virtio_device *device);

/* Puts request `slot` (< queue->size, not in the queue) in; the device sees it after virtio_kick(). */
void virtio_put(struct virtio_queue *queue, uint16_t slot, const struct virtio_buffer *buffer);
void virtio_kick(struct virtio_queue *queue);

/* Takes out one that is done: its slot and how many bytes the device wrote. False: there is none. */
bool virtio_take(struct virtio_queue *queue, uint16_t *slot, uint32_t *written);

/* Pages that driver and device share, mapped; addresses[] as the device has them. NULL and errno. */
void *virtio_memory(const struct virtio_device *device, unsigned pages, uint64_t *addresses);

#endif
