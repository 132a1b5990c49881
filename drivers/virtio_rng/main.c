/*
 * The entropy driver: has a virtio-rng device fill a page, and seeds the kernel's random numbers with it, at the start
 * and from then on every PERIOD_NS.
 *
 * Environment: PENUMBRA_AUTHORITY, an authority with DEVICES; PENUMBRA_NAMES, the name server, which knows "pci".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/lib/pci.h"
#include "drivers/lib/virtio.h"
#include "drivers/pci_abi.h"
#include "user/lib/names.h"
#include "user/lib/native.h"

enum { DEVICE_ENTROPY = 4, SEED_BYTES = 64, DONE = 1, PCI_WAIT_MS = 10000 };
#define PERIOD_NS 60000000000ULL

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "virtio_rng: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* One request, waited for. The bytes leave this process and its page is cleared. */
static void seed_once(struct virtio_queue *queue, int endpoint, int authority_handle, uint8_t *page, uint64_t address) {
    struct virtio_buffer buffer = {.address = address, .length = SEED_BYTES, .flags = VIRTIO_DEVICE_WRITES};
    uint16_t slot;
    uint32_t written;
    virtio_put(queue, 0, &buffer);
    virtio_kick(queue);
    while (!virtio_take(queue, &slot, &written)) {
        struct ipc ipc = {.label = 0};
        if (ipc_receive(endpoint, &ipc) < 0 && errno != EINTR) {
            fail("receive");
        }
    }
    written = written < SEED_BYTES ? written : SEED_BYTES;
    if (written > 0 && random_seed(authority_handle, page, written) < 0) {
        fail("seed");
    }
    explicit_bzero(page, SEED_BYTES);
}

static void wait_for_period(int endpoint) {
    struct ipc_extra extra = {.timeout_ns = PERIOD_NS};
    struct ipc ipc = {.extra = &extra};
    ipc_receive(endpoint, &ipc); /* nobody has a handle to call it by: it times out, or a late interrupt came */
}

int main(void) {
    struct virtio_device device;
    struct virtio_queue queue;
    uint64_t address;
    int authority_handle = handle_from_environment("PENUMBRA_AUTHORITY"), pci = names_connect("pci", PCI_WAIT_MS);
    if (authority_handle < 0 || pci < 0) {
        fail("pci");
    }
    int function = pci_find(pci, VIRTIO_DEVICE_VENDOR(DEVICE_ENTROPY), PCI_ANY, 0);
    if (function < 0 && errno == ENOENT) {
        return 0; /* there is no such device, and nothing to do */
    }
    int endpoint = endpoint_create();
    if (function < 0 || endpoint < 0 || virtio_open(&device, function, 0, 0) < 0 ||
        virtio_queue_open(&device, &queue, 0, endpoint, DONE) < 0) {
        fail("device");
    }
    uint8_t *page = virtio_memory(&device, 1, &address);
    if (page == NULL || virtio_start(&device) < 0) {
        fail("start");
    }
    for (;;) {
        seed_once(&queue, endpoint, authority_handle, page, address);
        wait_for_period(endpoint);
    }
}
