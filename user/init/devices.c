/*
 * A look at the PCI functions behind the first bridges: the PCI server looks closer. See devices.h.
 */
#include "user/init/devices.h"

#include <stdint.h>

#include "user/lib/native.h"

enum {
    VIRTIO_VENDOR = 0x1af4,
    VIRTIO_DEVICE = 0x1040, /* and the device's number */
    VIRTIO_DISK = VIRTIO_DEVICE + 2,
    VIRTIO_ENTROPY = VIRTIO_DEVICE + 4,
    BUSES = 4,
    DEVICES_OF_BUS = 32,
};

unsigned devices_present(int authority_handle) {
    unsigned present = 0;
    for (uint32_t slot = 0; slot < BUSES * DEVICES_OF_BUS; slot++) {
        long value = pci_config_read(authority_handle, slot << 3, 0, 4);
        if (value == (VIRTIO_DISK << 16 | VIRTIO_VENDOR)) {
            present |= 1U << DEVICE_DISK;
        } else if (value == (VIRTIO_ENTROPY << 16 | VIRTIO_VENDOR)) {
            present |= 1U << DEVICE_ENTROPY;
        }
    }
    return present != 0 ? present | 1U << DEVICE_ANY : 0;
}
