/*
 * The disk: a queue of requests, each an indirect descriptor on a table of its own in DMA memory: header, the parts of
 * the data, status.
 *
 * The data is where the client's grant says; this process has only addresses that its device understands.
 * Source: Virtual I/O Device (VIRTIO) Version 1.1, section 5.2.
 */
#include "drivers/virtio_blk/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/lib/virtio.h"

#define FEATURE_SIZE_MAX  (1ULL << 1)
#define FEATURE_SEG_MAX   (1ULL << 2)
#define FEATURE_READ_ONLY (1ULL << 5)
#define FEATURE_FLUSH     (1ULL << 9)

enum { PAGE = 4096, SECTOR = 512, PARTS_MAX = DISK_PAGES_MAX };
enum { CONFIG_SECTORS = 0, CONFIG_SIZE_MAX = 8, CONFIG_SEG_MAX = 12 };
enum { KIND_READ = 0, KIND_WRITE = 1, KIND_FLUSH = 4 };
enum { STATUS_OK = 0, STATUS_NONE = 0xff };

/* One request's part of the DMA memory. */
struct request {
    struct {
        uint32_t kind, reserved;
        uint64_t sector;
    } header;
    volatile uint8_t status;
    uint8_t padding[15];
    struct virtio_buffer table[PARTS_MAX + 2];
};
enum { REQUEST_BYTES = 2048, REQUESTS_OF_PAGE = PAGE / REQUEST_BYTES, MEMORY_PAGES = 16 };
_Static_assert(sizeof(struct request) <= REQUEST_BYTES, "a request has its place");

uint64_t disk_sectors;
uint32_t disk_bytes_max;
bool disk_read_only;
uint16_t disk_requests;
int disk_dma;

static struct virtio_device device;
static struct virtio_queue queue;
static struct request *requests[DISK_REQUESTS_MAX];
static uint64_t request_address[DISK_REQUESTS_MAX]; /* as the device sees it; 0: not usable */
static bool in_flight[DISK_REQUESTS_MAX];
static uint32_t part_bytes_max, parts_max;

/* --- Start-up ----------------------------------------------------------------------------------------------------- */

static uint32_t config32(unsigned offset) { return *(volatile uint32_t *)(volatile void *)(device.config + offset); }

static int learn_limits(void) {
    disk_sectors = config32(CONFIG_SECTORS) | (uint64_t)config32(CONFIG_SECTORS + 4) << 32;
    disk_read_only = device.features & FEATURE_READ_ONLY;
    part_bytes_max = device.features & FEATURE_SIZE_MAX ? config32(CONFIG_SIZE_MAX) : UINT32_MAX;
    parts_max = device.features & FEATURE_SEG_MAX ? config32(CONFIG_SEG_MAX) : 1;
    parts_max = parts_max < PARTS_MAX ? parts_max : PARTS_MAX;
    disk_bytes_max = parts_max * PAGE;
    if (part_bytes_max < PAGE || parts_max == 0) {
        errno = EOPNOTSUPP; /* a page must be one part */
        return -1;
    }
    return 0;
}

static int make_requests(void) {
    uint64_t addresses[MEMORY_PAGES];
    disk_requests = queue.size < DISK_REQUESTS_MAX ? queue.size : DISK_REQUESTS_MAX;
    for (uint16_t first = 0; first < disk_requests; first += MEMORY_PAGES * REQUESTS_OF_PAGE) {
        char *memory = virtio_memory(&device, MEMORY_PAGES, addresses);
        if (memory == NULL) {
            return -1;
        }
        for (uint16_t i = 0; i < MEMORY_PAGES * REQUESTS_OF_PAGE && first + i < disk_requests; i++) {
            requests[first + i] = (struct request *)(void *)(memory + (size_t)i * REQUEST_BYTES);
            request_address[first + i] = addresses[i / REQUESTS_OF_PAGE] + i % REQUESTS_OF_PAGE * REQUEST_BYTES;
        }
    }
    return 0;
}

int disk_open(int function, int endpoint, uint64_t bits) {
    const uint64_t wanted = FEATURE_SIZE_MAX | FEATURE_SEG_MAX | FEATURE_READ_ONLY | FEATURE_FLUSH;
    if (virtio_open(&device, function, wanted, VIRTIO_F_INDIRECT_DESC) < 0 || learn_limits() < 0 ||
        virtio_queue_open(&device, &queue, 0, endpoint, bits) < 0 || make_requests() < 0) {
        return -1;
    }
    disk_dma = device.dma;
    return virtio_start(&device);
}

/* --- Requests ----------------------------------------------------------------------------------------------------- */

static void add(struct request *request, unsigned *count, uint64_t address, uint32_t length, uint16_t flags) {
    request->table[*count] = (struct virtio_buffer){
        .address = address, .length = length, .flags = flags | VIRTIO_NEXT, .next = (uint16_t)(*count + 1)};
    ++*count;
}

static unsigned begin(uint16_t slot, uint32_t kind, uint64_t sector) {
    struct request *request = requests[slot];
    unsigned count = 0;
    request->header.kind = kind;
    request->header.reserved = 0;
    request->header.sector = sector;
    request->status = STATUS_NONE;
    add(request, &count, request_address[slot] + offsetof(struct request, header), sizeof(request->header), 0);
    return count;
}

static void submit(uint16_t slot, unsigned count) {
    struct request *request = requests[slot];
    add(request, &count, request_address[slot] + offsetof(struct request, status), 1, VIRTIO_DEVICE_WRITES);
    request->table[count - 1].flags = VIRTIO_DEVICE_WRITES; /* the last */
    struct virtio_buffer whole = {
        .address = request_address[slot] + offsetof(struct request, table),
        .length = count * (uint32_t)sizeof(request->table[0]),
        .flags = VIRTIO_INDIRECT,
    };
    in_flight[slot] = true;
    virtio_put(&queue, slot, &whole);
    virtio_kick(&queue);
}

/* Adds what lies at one address; a part that goes on where the last one ended becomes one with it. */
static bool add_part(struct request *request, unsigned *count, uint64_t address, uint32_t length, uint16_t flags) {
    struct virtio_buffer *last = &request->table[*count - 1];
    if (*count > 1 && last->address + last->length == address && last->length <= part_bytes_max - length) {
        last->length += length;
        return true;
    }
    if (*count - 1 == parts_max) {
        return false;
    }
    add(request, count, address, length, flags);
    return true;
}

bool disk_transfer(uint16_t slot, const struct disk_transfer *transfer) {
    uint16_t flags = transfer->write ? 0 : VIRTIO_DEVICE_WRITES;
    unsigned count = begin(slot, transfer->write ? KIND_WRITE : KIND_READ, transfer->sector);
    for (uint32_t done = 0, part; done < transfer->bytes; done += part) {
        uint32_t at = transfer->offset + done, left = transfer->bytes - done;
        part = PAGE - at % PAGE < left ? PAGE - at % PAGE : left;
        if (!add_part(requests[slot], &count, transfer->pages[at / PAGE] + at % PAGE, part, flags)) {
            return false;
        }
    }
    submit(slot, count);
    return true;
}

bool disk_flush(uint16_t slot) {
    if (!(device.features & FEATURE_FLUSH)) {
        return false;
    }
    submit(slot, begin(slot, KIND_FLUSH, 0));
    return true;
}

bool disk_take(uint16_t *slot, int *error) {
    uint32_t written;
    if (!virtio_take(&queue, slot, &written)) {
        if (virtio_is_broken(&device)) {
            fprintf(stderr, "virtio_blk: the device asks to be reset\n");
            exit(1);
        }
        return false;
    }
    if (*slot >= disk_requests || !in_flight[*slot]) {
        fprintf(stderr, "virtio_blk: the device has done what nobody asked\n");
        exit(1);
    }
    in_flight[*slot] = false;
    *error = requests[*slot]->status == STATUS_OK ? 0 : EIO;
    return true;
}
