/*
 * The transport: registers found by capabilities, start-up, split queues. See virtio.h.
 *
 * What the device writes is not believed: a slot out of range ends the queue's use, lengths are the caller's to check.
 */
#include "drivers/lib/virtio.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/lib/pci.h"
#include "user/lib/native.h"

enum { PAGE = 4096, CAPABILITY_VENDOR = 9, BARS = 6 };
/* In a vendor capability. */
enum { CAPABILITY_KIND = 3, CAPABILITY_BAR = 4, CAPABILITY_OFFSET = 8, CAPABILITY_LENGTH = 12, CAPABILITY_STEP = 16 };
enum { KIND_COMMON = 1, KIND_NOTIFY = 2, KIND_DEVICE = 4 };
/* Common registers. */
enum {
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_FEATURE_SELECT = 8,
    DRIVER_FEATURE = 12,
    MSIX_CONFIG = 16,
    DEVICE_STATUS = 20,
    QUEUE_SELECT = 22,
    QUEUE_SIZE = 24,
    QUEUE_MSIX = 26,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY_OFFSET = 30,
    QUEUE_DESCRIPTORS = 32,
    QUEUE_AVAILABLE = 40,
    QUEUE_USED = 48,
    COMMON_BYTES = 56,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64, NO_VECTOR = 0xffff };
enum { USED_NO_NOTIFY = 1, RESET_POLLS = 1000000 };

/* --- Registers ---------------------------------------------------------------------------------------------------- */

static uint8_t read8(const struct virtio_device *device, unsigned at) { return device->common[at]; }
static void write8(const struct virtio_device *device, unsigned at, uint8_t value) { device->common[at] = value; }
static uint16_t read16(const struct virtio_device *device, unsigned at) {
    return *(volatile uint16_t *)(volatile void *)(device->common + at);
}
static void write16(const struct virtio_device *device, unsigned at, uint16_t value) {
    *(volatile uint16_t *)(volatile void *)(device->common + at) = value;
}
static uint32_t read32(const struct virtio_device *device, unsigned at) {
    return *(volatile uint32_t *)(volatile void *)(device->common + at);
}
static void write32(const struct virtio_device *device, unsigned at, uint32_t value) {
    *(volatile uint32_t *)(volatile void *)(device->common + at) = value;
}
static void write64(const struct virtio_device *device, unsigned at, uint64_t value) {
    write32(device, at, (uint32_t)value);
    write32(device, at + 4, (uint32_t)(value >> 32));
}

static void add_status(const struct virtio_device *device, uint8_t bits) {
    write8(device, DEVICE_STATUS, (uint8_t)(read8(device, DEVICE_STATUS) | bits));
}

/* --- Finding them ------------------------------------------------------------------------------------------------- */

/* What a capability says lies where. False: it is not one of ours, or says nonsense. */
static bool locate(struct virtio_device *device, uint32_t capability, volatile uint8_t *bars[BARS],
                   size_t sizes[BARS]) {
    uint32_t kind = (uint32_t)pci_read(device->function, capability + CAPABILITY_KIND, 1);
    uint32_t bar = (uint32_t)pci_read(device->function, capability + CAPABILITY_BAR, 1);
    uint32_t offset = (uint32_t)pci_read(device->function, capability + CAPABILITY_OFFSET, 4);
    uint32_t length = (uint32_t)pci_read(device->function, capability + CAPABILITY_LENGTH, 4);
    if ((kind != KIND_COMMON && kind != KIND_NOTIFY && kind != KIND_DEVICE) || bar >= BARS) {
        return false;
    }
    if (bars[bar] == NULL) {
        bars[bar] = pci_map(device->function, bar, &sizes[bar]);
    }
    if (bars[bar] == NULL || offset > sizes[bar] || length > sizes[bar] - offset) {
        return false;
    }
    volatile uint8_t *at = bars[bar] + offset;
    if (kind == KIND_COMMON && device->common == NULL && length >= COMMON_BYTES) {
        device->common = at;
    } else if (kind == KIND_NOTIFY && device->notify == NULL) {
        device->notify = at;
        device->notify_step = (uint32_t)pci_read(device->function, capability + CAPABILITY_STEP, 4);
    } else if (kind == KIND_DEVICE && device->config == NULL) {
        device->config = at;
    }
    return true;
}

static bool find_registers(struct virtio_device *device) {
    volatile uint8_t *bars[BARS] = {NULL};
    size_t sizes[BARS] = {0};
    for (int at = 0; (at = pci_capability(device->function, CAPABILITY_VENDOR, (uint32_t)at)) > 0;) {
        locate(device, (uint32_t)at, bars, sizes);
    }
    return device->common != NULL && device->notify != NULL;
}

/* --- Start-up ----------------------------------------------------------------------------------------------------- */

/* Whatever it did for a driver before ends here. */
static bool reset(const struct virtio_device *device) {
    write8(device, DEVICE_STATUS, 0);
    for (int i = 0; i < RESET_POLLS; i++) {
        if (read8(device, DEVICE_STATUS) == 0) {
            return true;
        }
    }
    return false;
}

static uint64_t offered_features(const struct virtio_device *device) {
    write32(device, DEVICE_FEATURE_SELECT, 0);
    uint64_t low = read32(device, DEVICE_FEATURE);
    write32(device, DEVICE_FEATURE_SELECT, 1);
    return low | (uint64_t)read32(device, DEVICE_FEATURE) << 32;
}

static bool agree(struct virtio_device *device, uint64_t wanted, uint64_t needed) {
    device->features = offered_features(device) & (wanted | needed);
    if ((device->features & needed) != needed) {
        return false;
    }
    write32(device, DRIVER_FEATURE_SELECT, 0);
    write32(device, DRIVER_FEATURE, (uint32_t)device->features);
    write32(device, DRIVER_FEATURE_SELECT, 1);
    write32(device, DRIVER_FEATURE, (uint32_t)(device->features >> 32));
    add_status(device, FEATURES_OK);
    return read8(device, DEVICE_STATUS) & FEATURES_OK;
}

int virtio_open(struct virtio_device *device, int function, uint64_t wanted, uint64_t needed) {
    *device = (struct virtio_device){.function = function, .dma = -1};
    if (!find_registers(device)) {
        errno = ENODEV;
        return -1;
    }
    device->dma = pci_dma(function);
    if (device->dma < 0) {
        return -1;
    }
    if (!reset(device)) {
        errno = EIO;
        return -1;
    }
    add_status(device, ACKNOWLEDGE);
    add_status(device, DRIVER);
    if (!agree(device, wanted | VIRTIO_F_ACCESS_PLATFORM, needed | VIRTIO_F_VERSION_1)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return 0;
}

int virtio_start(struct virtio_device *device) {
    if (dma_enable(device->dma, 1) < 0) {
        return -1;
    }
    write16(device, MSIX_CONFIG, NO_VECTOR);
    add_status(device, DRIVER_OK);
    return 0;
}

bool virtio_is_broken(const struct virtio_device *device) { return read8(device, DEVICE_STATUS) & NEEDS_RESET; }

void *virtio_memory(const struct virtio_device *device, unsigned pages, uint64_t *addresses) {
    int memory = dma_memory(device->dma, pages, addresses);
    if (memory < 0) {
        return NULL;
    }
    void *at = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory, 0);
    close(memory); /* the mapping holds it */
    return at == MAP_FAILED ? NULL : at;
}

/* --- Queues ------------------------------------------------------------------------------------------------------- */

_Static_assert(VIRTIO_QUEUE_MAX * sizeof(struct virtio_buffer) + 6 + 2 * VIRTIO_QUEUE_MAX <= PAGE,
               "descriptors and what is available share a page");
_Static_assert(6 + 8 * VIRTIO_QUEUE_MAX <= PAGE, "what is used has another");

int virtio_queue_open(struct virtio_device *device, struct virtio_queue *queue, uint16_t number, int endpoint,
                      uint64_t bits) {
    const size_t available = VIRTIO_QUEUE_MAX * sizeof(struct virtio_buffer);
    uint64_t addresses[2];
    write16(device, QUEUE_SELECT, number);
    uint16_t size = read16(device, QUEUE_SIZE);
    if (size == 0) {
        errno = ENODEV;
        return -1;
    }
    char *memory = virtio_memory(device, 2, addresses);
    if (memory == NULL || pci_interrupt(device->function, number, endpoint, bits) < 0) {
        return -1; /* the interrupt lasts as long as this process */
    }
    size = size < VIRTIO_QUEUE_MAX ? size : VIRTIO_QUEUE_MAX;
    *queue = (struct virtio_queue){
        .descriptors = (struct virtio_buffer *)(void *)memory,
        .available = (volatile uint16_t *)(void *)(memory + available),
        .used = (volatile uint16_t *)(void *)(memory + PAGE),
        .doorbell =
            (volatile uint16_t *)(volatile void *)(device->notify +
                                                   (size_t)read16(device, QUEUE_NOTIFY_OFFSET) * device->notify_step),
        .number = number,
        .size = size,
    };
    write16(device, QUEUE_SIZE, size);
    write64(device, QUEUE_DESCRIPTORS, addresses[0]);
    write64(device, QUEUE_AVAILABLE, addresses[0] + available);
    write64(device, QUEUE_USED, addresses[1]);
    write16(device, QUEUE_MSIX, number);
    if (read16(device, QUEUE_MSIX) != number) {
        errno = EIO;
        return -1;
    }
    write16(device, QUEUE_ENABLE, 1);
    return 0;
}

void virtio_put(struct virtio_queue *queue, uint16_t slot, const struct virtio_buffer *buffer) {
    queue->descriptors[slot] = *buffer;
    queue->available[2 + queue->next_available % queue->size] = slot;
    queue->next_available++;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    queue->available[1] = queue->next_available;
}

void virtio_kick(struct virtio_queue *queue) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was put is visible before it is asked whether to say so */
    if (!(queue->used[0] & USED_NO_NOTIFY)) {
        *queue->doorbell = queue->number;
    }
}

bool virtio_take(struct virtio_queue *queue, uint16_t *slot, uint32_t *written) {
    const volatile uint32_t *ring = (const volatile uint32_t *)(const volatile void *)(queue->used + 2);
    if (queue->last_used == queue->used[1]) {
        return false;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint32_t id = ring[2 * (queue->last_used % queue->size)];
    *written = ring[2 * (queue->last_used % queue->size) + 1];
    queue->last_used++;
    *slot = (uint16_t)(id < queue->size ? id : queue->size); /* the caller knows no such request */
    return true;
}
