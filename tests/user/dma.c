/*
 * What a device can be made to reach, from the side of a driver that means harm: with an IOMMU (tools/run IOMMU=1)
 * what is granted at the moment, in its direction; without one whatever it is told to, as docs/drivers.md warns. The
 * device is the entropy device: it writes random bytes wherever its queue says.
 *
 * Also what its own driver does: the kernel's random numbers are seeded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/lib/pci.h"
#include "drivers/lib/virtio.h"
#include "drivers/pci_abi.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/services.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { DEVICE_ENTROPY = 4, DONE = 1, BYTES = 512, ANSWER_MS = 300 };

static pid_t pci_server;
static struct virtio_device device;
static struct virtio_queue queue;
static int endpoint;

/* The driver that means harm is the case itself. */
static void begin(void) {
    service_needs_virtio(DEVICE_ENTROPY);
    services_begin();
    pci_server = service_start("/sbin/pci", NULL);
    int function = (int)CHECK_OK(pci_find(service_connect("pci"), VIRTIO_DEVICE_VENDOR(DEVICE_ENTROPY), PCI_ANY, 0));
    endpoint = (int)CHECK_OK(endpoint_create());
    CHECK_OK(virtio_open(&device, function, 0, 0));
    CHECK_OK(virtio_queue_open(&device, &queue, 0, endpoint, DONE));
    CHECK_OK(virtio_start(&device));
}

static void end(void) {
    service_kill(pci_server);
    services_end();
}

/* Has the device write BYTES bytes to an address; whether it said that it had. */
static bool device_writes(uint64_t address) {
    struct virtio_buffer buffer = {.address = address, .length = BYTES, .flags = VIRTIO_DEVICE_WRITES};
    struct ipc_extra extra = {.timeout_ns = ANSWER_MS * 1000000ULL};
    struct ipc ipc = {.extra = &extra};
    uint16_t slot;
    uint32_t written;
    virtio_put(&queue, 0, &buffer);
    virtio_kick(&queue);
    return ipc_receive(endpoint, &ipc) == 0 && virtio_take(&queue, &slot, &written) && written == BYTES;
}

static bool has_iommu(void) { return dma_faults(device.dma) >= 0; }

static int victim;           /* an object of one page */
static volatile char *bytes; /* which the case can see */

static void make_victim(void) {
    victim = (int)CHECK_OK(syscall(SYS_OBJECT_CREATE, TEST_PAGE, -1, 0));
    void *at = mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, victim, 0);
    CHECK(at != MAP_FAILED);
    bytes = at;
}

static bool victim_is(char byte) {
    for (int i = 0; i < TEST_PAGE; i++) {
        if (bytes[i] != byte) {
            return false;
        }
    }
    return true;
}

static int grant_victim(enum grant_direction direction, uint64_t *address) {
    int grant = (int)CHECK_OK(syscall(SYS_GRANT_CREATE, victim, 0, 1, direction));
    CHECK_EQ(dma_grant(device.dma, grant, address, direction), 1);
    return grant;
}

static void granted(void) {
    uint64_t address;
    begin();
    make_victim();
    int grant = grant_victim(GRANT_FILL, &address);
    CHECK(device_writes(address));
    CHECK(!victim_is(0));
    CHECK(bytes[BYTES] == 0);
    CHECK_OK(dma_revoke(device.dma, grant));
    end();
}

/* What must be refused with an IOMMU, and cannot be without. */
static void check_refused(uint64_t address) {
    bool iommu = has_iommu();
    long before = iommu ? dma_faults(device.dma) : 0;
    bool done = device_writes(address);
    if (iommu) { /* whatever the device says of it */
        CHECK(victim_is(0));
        CHECK(dma_faults(device.dma) > before);
    } else {
        CHECK(done);
        CHECK(!victim_is(0)); /* the warning of docs/drivers.md is true */
    }
}

/* The grant has been taken back: the device is told to write there all the same. */
static void taken_back(void) {
    uint64_t address;
    begin();
    make_victim();
    int grant = grant_victim(GRANT_FILL, &address);
    CHECK_OK(dma_revoke(device.dma, grant));
    check_refused(address);
    end();
}

/* The grant was for reading. */
static void wrong_way(void) {
    uint64_t address;
    begin();
    make_victim();
    grant_victim(GRANT_STORE, &address);
    check_refused(address);
    end();
}

/* Behind the end of what is granted, and where the kernel lies: only where an IOMMU is in the way. */
static void elsewhere(void) {
    static const uint64_t places[] = {0x1000, 0x100000, 0x200000, 0x400000, 0x8000000, 0x20000000, 1UL << 38};
    uint64_t address;
    begin();
    if (!has_iommu()) {
        end();
        test_skip("no IOMMU");
    }
    make_victim();
    grant_victim(GRANT_FILL, &address);
    device_writes(address + TEST_PAGE - BYTES / 2);
    CHECK(dma_faults(device.dma) > 0);
    end();
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        pid_t child = (pid_t)CHECK_OK(fork());
        if (child == 0) {
            /* A device that has faulted must be reset: each place is a driver's life. */
            close(device.dma);
            begin();
            device_writes(places[i]);
            CHECK(dma_faults(device.dma) > 0);
            end();
            _exit(0);
        }
        close(device.dma);
        CHECK_EXITED(test_wait(child));
    }
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
}

/* Bus mastering off: the device reaches nothing at all. */
static void switched_off(void) {
    uint64_t address;
    begin();
    make_victim();
    grant_victim(GRANT_FILL, &address);
    CHECK_OK(dma_enable(device.dma, 0));
    device_writes(address);
    CHECK(victim_is(0));
    end();
}

/* The driver seeds at its start; seeding is the one thing here that leaves the restricted space, in the driver. */
static void entropy(void) {
    service_needs_virtio(DEVICE_ENTROPY);
    if (penumbra_state().mode != ASI_MODE_ASI) {
        test_skip("the seeding is seen by its exit, in mode asi");
    }
    struct asi_counters after;
    services_begin();
    pci_server = service_start("/sbin/pci", NULL);
    pid_t driver = service_start("/sbin/virtio_rng", NULL);
    do {
        usleep(1000);
        after = penumbra_counters(driver);
    } while (after.exits[ASI_CAUSE_OTHER] == 0);
    service_kill(driver);
    end();
}

static const struct test_case cases[] = {
    {"granted", granted},     {"taken-back", taken_back},     {"wrong-way", wrong_way},
    {"elsewhere", elsewhere}, {"switched-off", switched_off}, {"entropy", entropy},
};

TEST_MAIN(cases)
