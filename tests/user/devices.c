/*
 * What the kernel gives to drivers: PCI configuration, device registers, ports, interrupts, DMA. Each call without its
 * right, with what must be refused, and as a driver uses it; and that nothing stays behind a driver that dies.
 *
 * Uses the video adapter or whatever else has memory behind a BAR: the first function that is found with one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum {
    CONFIG_VENDOR = 0,
    CONFIG_COMMAND = 4,
    CONFIG_BARS = 0x10,
    COMMAND_MEMORY = 2,
    COMMAND_BUS_MASTER = 4,
    HOST_BRIDGE = 0, /* q35's: 00:00.0 */
    NO_FUNCTION = 0xffff,
};

static uint32_t config(uint32_t function, uint32_t offset, uint32_t width) {
    long value = pci_config_read(TEST_AUTHORITY, function, offset, width);
    CHECK(value >= 0);
    return (uint32_t)value;
}

/* A function of bus 0 with memory behind a 32-bit BAR, switched on; -1 if there is none. */
static long find_memory(uint64_t *address) {
    for (uint32_t function = 0; function < 256; function++) {
        if (config(function, CONFIG_VENDOR, 2) == 0xffff || !(config(function, CONFIG_COMMAND, 2) & COMMAND_MEMORY)) {
            continue;
        }
        for (uint32_t bar = CONFIG_BARS; bar < CONFIG_BARS + 24; bar += 4) {
            uint32_t value = config(function, bar, 4);
            if ((value & 7) == 0 && value != 0) {
                *address = value & ~15U & ~(uint32_t)(TEST_PAGE - 1);
                return function;
            }
        }
    }
    return -1;
}

static int weak_authority(void) {
    return (int)CHECK_OK(handle_mint(TEST_AUTHORITY, RIGHT_NAMESPACE | RIGHT_TRANSFER, 0));
}

/* Everything by `handle` fails with `error`. */
static void check_all_refused(int handle, int error) {
    uint64_t message[2];
    int endpoint = endpoint_create();
    CHECK_ERRNO(pci_config_read(handle, HOST_BRIDGE, 0, 2), error);
    CHECK_ERRNO(pci_config_write(handle, HOST_BRIDGE, 0, 2, 0), error);
    CHECK_ERRNO(region_create(handle, 0xfd000000, TEST_PAGE), error);
    CHECK_ERRNO(ports_create(handle, 0x3f8, 8), error);
    CHECK_ERRNO(interrupt_create(handle, message, endpoint, 1), error);
    CHECK_ERRNO(interrupt_create_line(handle, 11, endpoint, 1), error);
    CHECK_ERRNO(dma_create(handle, HOST_BRIDGE), error);
    CHECK_ERRNO(random_seed(handle, "seed", 4), error);
    close(endpoint);
}

static void rights(void) {
    test_needs_penumbra();
    int weak = weak_authority(), file = open("/dev/null", O_RDWR);
    check_all_refused(weak, EPERM);
    check_all_refused(file, EINVAL);
    check_all_refused(-1, EBADF);
    CHECK_ERRNO(ports_read(file, PORT_READ8, 0), EINVAL);
    CHECK_ERRNO(interrupt_done(file), EINVAL);
    CHECK_ERRNO(dma_enable(file, 1), EINVAL);
    CHECK_ERRNO(dma_revoke(file, file), EINVAL);
    CHECK_ERRNO(dma_faults(-1), EBADF);
    close(file);
    close(weak);
}

static void pci_addresses(void) {
    test_needs_penumbra();
    CHECK(config(HOST_BRIDGE, CONFIG_VENDOR, 2) != 0xffff);
    CHECK_EQ(config(NO_FUNCTION, CONFIG_VENDOR, 2), 0xffff);
    CHECK_EQ(config(HOST_BRIDGE, 0, 4) & 0xffff, config(HOST_BRIDGE, 0, 2));
    CHECK_EQ(config(HOST_BRIDGE, 1, 1), config(HOST_BRIDGE, 0, 2) >> 8);
    CHECK_ERRNO(pci_config_read(TEST_AUTHORITY, 0x10000, 0, 2), EINVAL);
    CHECK_ERRNO(pci_config_read(TEST_AUTHORITY, HOST_BRIDGE, 256, 1), EINVAL);
    CHECK_ERRNO(pci_config_read(TEST_AUTHORITY, HOST_BRIDGE, 1, 2), EINVAL);
    CHECK_ERRNO(pci_config_read(TEST_AUTHORITY, HOST_BRIDGE, 2, 4), EINVAL);
    CHECK_ERRNO(pci_config_read(TEST_AUTHORITY, HOST_BRIDGE, 0, 3), EINVAL);
    CHECK_ERRNO(pci_config_read(TEST_AUTHORITY, HOST_BRIDGE, 0, 8), EINVAL);
}

/* By whatever width it is written, bus mastering stays as it is: off. */
static void bus_master_is_the_kernels(void) {
    uint64_t address;
    test_needs_penumbra();
    long function = find_memory(&address);
    if (function < 0) {
        test_skip("no function with memory");
    }
    uint32_t before = config((uint32_t)function, CONFIG_COMMAND, 2);
    CHECK_EQ(before & COMMAND_BUS_MASTER, 0);
    for (uint32_t width = 1; width <= 4; width *= 2) {
        uint32_t value = config((uint32_t)function, CONFIG_COMMAND, width) | COMMAND_BUS_MASTER;
        CHECK_OK(pci_config_write(TEST_AUTHORITY, (uint32_t)function, CONFIG_COMMAND, width,
                                  width == 4 ? value & 0xffff : value));
        CHECK_EQ(config((uint32_t)function, CONFIG_COMMAND, 2), before);
    }
}

static void region_refusals(void) {
    test_needs_penumbra();
    const uint64_t ram[] = {0x1000000, 0x200000, 0x100000};
    for (int i = 0; i < 3; i++) {
        CHECK_ERRNO(region_create(TEST_AUTHORITY, ram[i], TEST_PAGE), EPERM);
    }
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0xb8000, TEST_PAGE), EPERM);    /* below 1 MiB: all sorts */
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0xfec00000, TEST_PAGE), EPERM); /* I/O APIC */
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0xfee00000, TEST_PAGE), EPERM); /* local APIC */
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0xfeb00000, 0x200000), EPERM);  /* … inside a larger one */
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0, 1UL << 32), EPERM);
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0xfd000000, 0), EINVAL);
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0xfd000000, 100), EINVAL);
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 0xfd000010, TEST_PAGE), EINVAL);
    CHECK_ERRNO(region_create(TEST_AUTHORITY, 1UL << 60, TEST_PAGE), EINVAL);
    CHECK_ERRNO(region_create(TEST_AUTHORITY, UINT64_MAX & ~(uint64_t)(TEST_PAGE - 1), TEST_PAGE), EINVAL);
    CHECK_ERRNO(region_create(TEST_AUTHORITY, TEST_PAGE, UINT64_MAX & ~(uint64_t)(TEST_PAGE - 1)), EINVAL);
}

static int open_region(uint64_t *address) {
    test_needs_penumbra();
    if (find_memory(address) < 0) {
        test_skip("no function with memory");
    }
    return (int)CHECK_OK(region_create(TEST_AUTHORITY, *address, TEST_PAGE));
}

static void *map(int region, int protection) {
    void *at = mmap(NULL, TEST_PAGE, protection, MAP_SHARED, region, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static void region_mapping(void) {
    uint64_t address;
    int region = open_region(&address);
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ, MAP_PRIVATE, region, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, region, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(NULL, 2 * TEST_PAGE, PROT_READ, MAP_SHARED, region, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, region, TEST_PAGE) == MAP_FAILED && errno == EINVAL);
    volatile uint32_t *registers = map(region, PROT_READ | PROT_WRITE);
    uint32_t first = registers[0];
    CHECK_EQ(registers[0], first);
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
    CHECK_OK(mprotect((void *)(uintptr_t)registers, TEST_PAGE, PROT_NONE));
    CHECK_OK(mprotect((void *)(uintptr_t)registers, TEST_PAGE, PROT_READ));
    CHECK_EQ(registers[0], first);
    CHECK_ERRNO(mprotect((void *)(uintptr_t)registers, TEST_PAGE, PROT_READ | PROT_EXEC), EACCES);
    CHECK(mremap((void *)(uintptr_t)registers, TEST_PAGE, 2 * TEST_PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
    close(region);
    CHECK_EQ(registers[0], first); /* the mapping holds the region */
    CHECK_OK(madvise((void *)(uintptr_t)registers, TEST_PAGE, MADV_DONTNEED));
    CHECK_EQ(registers[0], first);
    CHECK_OK(munmap((void *)(uintptr_t)registers, TEST_PAGE));
}

static void region_without_write(void) {
    uint64_t address;
    int region = open_region(&address);
    int weak = (int)CHECK_OK(handle_mint(region, RIGHT_READ, 0)), none = (int)CHECK_OK(handle_mint(region, 0, 0));
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, weak, 0) == MAP_FAILED && errno == EACCES);
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, none, 0) == MAP_FAILED && errno == EACCES);
    void *at = map(weak, PROT_READ);
    CHECK_ERRNO(mprotect(at, TEST_PAGE, PROT_READ | PROT_WRITE), EACCES);
    close(region);
    close(weak);
    close(none);
}

static void read_registers(void *argument) {
    volatile uint32_t *registers = argument;
    (void)registers[0];
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
}

static void die_with_registers(void *argument) {
    read_registers(argument);
    raise(SIGKILL);
}

/* A child has the mapping, too, and takes it with it. */
static void region_fork(void) {
    uint64_t address;
    int region = open_region(&address);
    volatile uint32_t *registers = map(region, PROT_READ);
    (void)registers[0];
    CHECK_EXITED(test_run_child(read_registers, (void *)(uintptr_t)registers));
    CHECK_SIGNALED(test_run_child(die_with_registers, (void *)(uintptr_t)registers), SIGKILL);
    close(region);
}

/* Files that are cut search all user halves for the pages: device pages are none of theirs. */
static void region_and_truncate(void) {
    uint64_t address;
    int region = open_region(&address);
    volatile uint32_t *registers = map(region, PROT_READ);
    uint32_t first = registers[0];
    int fd = test_file(test_path("cut"), 2 * TEST_PAGE);
    volatile char *file = mmap(NULL, 2 * TEST_PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(file != MAP_FAILED);
    (void)file[TEST_PAGE];
    CHECK_OK(ftruncate(fd, 0));
    CHECK_EQ(registers[0], first);
    close(fd);
    close(region);
}

static void port_refusals(void) {
    static const uint16_t own[] = {0x20, 0x40, 0x61, 0x70, 0xa1, 0xf4, 0x510, 0x604, 0xcf8, 0xcfc};
    test_needs_penumbra();
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        CHECK_ERRNO(ports_create(TEST_AUTHORITY, own[i], 1), EPERM);
        CHECK_ERRNO(ports_create(TEST_AUTHORITY, own[i] - 1, 3), EPERM);
    }
    CHECK_ERRNO(ports_create(TEST_AUTHORITY, 0, 0x10000), EPERM);
    CHECK_ERRNO(ports_create(TEST_AUTHORITY, 0x3f8, 0), EINVAL);
    CHECK_ERRNO(ports_create(TEST_AUTHORITY, 0xffff, 2), EINVAL);
    CHECK_ERRNO(ports_create(TEST_AUTHORITY, UINT64_MAX, 2), EINVAL);
}

static void port_access(void) {
    enum { SCRATCH = 7 };
    test_needs_penumbra();
    int serial = (int)CHECK_OK(ports_create(TEST_AUTHORITY, 0x3f8, 8));
    long before = CHECK_OK(ports_read(serial, PORT_READ8, SCRATCH));
    CHECK_OK(ports_write(serial, PORT_WRITE8, SCRATCH, 0x5b));
    CHECK_EQ(ports_read(serial, PORT_READ8, SCRATCH), 0x5b);
    CHECK_EQ(ports_write_bytes(serial, SCRATCH, "abc", 3), 3);
    CHECK_EQ(ports_read(serial, PORT_READ8, SCRATCH), 'c');
    CHECK_OK(ports_write(serial, PORT_WRITE8, SCRATCH, (uint64_t)before));
    CHECK_ERRNO(ports_read(serial, PORT_READ8, 8), EINVAL);
    CHECK_ERRNO(ports_read(serial, PORT_READ16, 7), EINVAL);
    CHECK_ERRNO(ports_read(serial, PORT_READ32, 5), EINVAL);
    CHECK_ERRNO(ports_read(serial, PORT_READ8, UINT64_MAX), EINVAL);
    CHECK_ERRNO(ports_write_bytes(serial, 8, "a", 1), EINVAL);
    CHECK_ERRNO(ports_write_bytes(serial, SCRATCH, (void *)16, 4), EFAULT);
    CHECK_ERRNO(syscall(SYS_PORTS_IO, serial, 99, 0, 0, 0), EINVAL);
    int readable = (int)CHECK_OK(handle_mint(serial, RIGHT_READ, 0));
    CHECK_ERRNO(ports_write(readable, PORT_WRITE8, SCRATCH, 0), EACCES);
    CHECK_ERRNO(ports_write_bytes(readable, SCRATCH, "a", 1), EACCES);
    CHECK_EQ(ports_read(readable, PORT_READ8, SCRATCH), before);
    close(readable);
    close(serial);
}

/* Messages go to the APICs; vectors are few, and come back. */
static void interrupt_messages(void) {
    enum { VECTORS = 0xf0 - 0x30, MORE_THAN_THERE_ARE = 300 };
    static int handles[MORE_THAN_THERE_ARE];
    uint64_t message[2];
    test_needs_penumbra();
    int endpoint = (int)CHECK_OK(endpoint_create()), count = 0;
    while (count < MORE_THAN_THERE_ARE &&
           (handles[count] = interrupt_create(TEST_AUTHORITY, message, endpoint, 1)) >= 0) {
        CHECK_EQ(message[0] & ~0xff000UL, 0xfee00000);
        CHECK(message[1] >= 0x30 && message[1] < 0xf0);
        CHECK_OK(interrupt_done(handles[count])); /* nothing to do, and no harm */
        count++;
    }
    CHECK_EQ(errno, ENOSPC);
    CHECK(count <= VECTORS && count > VECTORS - 16); /* drivers that run have the others, the console's for one */
    while (count > 0) {
        close(handles[--count]);
    }
    CHECK_ERRNO(interrupt_create(TEST_AUTHORITY, (void *)16, endpoint, 1), EFAULT);
    int handle = (int)CHECK_OK(interrupt_create(TEST_AUTHORITY, message, endpoint, 1));
    CHECK_ERRNO(interrupt_create(TEST_AUTHORITY, message, handle, 1), EINVAL);
    int callable = (int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL, 0));
    CHECK_ERRNO(interrupt_create(TEST_AUTHORITY, message, callable, 1), EACCES);
    close(callable);
    close(handle);
    close(endpoint);
}

static void interrupt_lines(void) {
    enum { UNUSED_LINE = 13, PCI_LINE = 23, NO_LINE = 4000 };
    test_needs_penumbra();
    int endpoint = (int)CHECK_OK(endpoint_create());
    int isa = (int)CHECK_OK(interrupt_create_line(TEST_AUTHORITY, UNUSED_LINE, endpoint, 1));
    int pci = (int)CHECK_OK(interrupt_create_line(TEST_AUTHORITY, PCI_LINE, endpoint, 2));
    CHECK_ERRNO(interrupt_create_line(TEST_AUTHORITY, PCI_LINE, endpoint, 4), EBUSY);
    CHECK_ERRNO(interrupt_create_line(TEST_AUTHORITY, NO_LINE, endpoint, 4), EINVAL);
    CHECK_ERRNO(interrupt_create_line(TEST_AUTHORITY, 1UL << 40, endpoint, 4), EINVAL);
    CHECK_OK(interrupt_done(pci));
    close(pci);
    close(CHECK_OK(interrupt_create_line(TEST_AUTHORITY, PCI_LINE, endpoint, 4)));
    close(isa);
    close(endpoint);
}

/* A driver in the middle of its work, with all that it may have. */
static void die_as_a_driver(void *argument) {
    uint64_t message[2], addresses[16];
    uint32_t function = *(uint32_t *)argument;
    int endpoint = endpoint_create(), dma = dma_create(TEST_AUTHORITY, function);
    CHECK(interrupt_create(TEST_AUTHORITY, message, endpoint, 1) >= 0);
    CHECK(dma >= 0 && dma_enable(dma, 1) == 0);
    for (int i = 0; i < 20; i++) {
        int memory = dma_memory(dma, 16, addresses);
        char *at = mmap(NULL, 16 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        CHECK(at != MAP_FAILED);
        memset(at, 0x5a, 16 * TEST_PAGE);
    }
    int object = (int)syscall(SYS_OBJECT_CREATE, 64 * TEST_PAGE, -1, 0);
    for (int i = 0; i < 40; i++) {
        uint64_t pages[64];
        int grant = (int)syscall(SYS_GRANT_CREATE, object, i, 1, i % 2 ? GRANT_FILL : GRANT_STORE);
        CHECK_EQ(dma_grant(dma, grant, pages, i % 2 ? GRANT_FILL : GRANT_STORE), 1);
    }
    raise(SIGKILL);
}

static void driver_dies(void) {
    uint64_t address;
    test_needs_penumbra();
    long found = find_memory(&address);
    if (found < 0) {
        test_skip("no function with memory");
    }
    uint32_t function = (uint32_t)found;
    for (int i = 0; i < 10; i++) {
        CHECK_SIGNALED(test_run_child(die_as_a_driver, &function), SIGKILL);
        CHECK(!(config(function, CONFIG_COMMAND, 2) & COMMAND_BUS_MASTER));
    }
}

static int open_dma(void) {
    uint64_t address;
    test_needs_penumbra();
    long function = find_memory(&address);
    if (function < 0) {
        test_skip("no function with memory");
    }
    return (int)CHECK_OK(dma_create(TEST_AUTHORITY, (uint32_t)function));
}

static void dma_memory_pages(void) {
    uint64_t addresses[16] = {0};
    int dma = open_dma();
    CHECK_ERRNO(dma_memory(dma, 0, addresses), EINVAL);
    CHECK_ERRNO(dma_memory(dma, 17, addresses), EINVAL);
    CHECK_ERRNO(dma_memory(dma, 2, (void *)16), EFAULT);
    int memory = (int)CHECK_OK(dma_memory(dma, 2, addresses));
    CHECK(addresses[0] != 0 && addresses[1] != 0 && addresses[0] != addresses[1]);
    CHECK_EQ((addresses[0] | addresses[1]) % TEST_PAGE, 0);
    CHECK_EQ(addresses[2], 0);
    char *at = mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    CHECK(at != MAP_FAILED);
    for (int i = 0; i < 2 * TEST_PAGE; i++) {
        CHECK_EQ(at[i], 0);
    }
    at[0] = 1;
    CHECK_OK(ftruncate(memory, 0)); /* the device keeps the frames, nobody else does */
    close(memory);
    close(dma);
    dma = open_dma();
    int slots = 0;
    while ((memory = dma_memory(dma, 1, addresses)) >= 0) {
        close(memory);
        slots++;
    }
    CHECK_EQ(errno, ENOSPC);
    CHECK_EQ(slots, 512);
    close(dma);
}

static int make_grant(int object, uint64_t first, uint64_t pages, enum grant_direction direction) {
    return (int)CHECK_OK(syscall(SYS_GRANT_CREATE, object, first, pages, direction));
}

static void dma_grants(void) {
    uint64_t addresses[64];
    int dma = open_dma(), object = (int)CHECK_OK(syscall(SYS_OBJECT_CREATE, 64 * TEST_PAGE, -1, 0));
    int grant = make_grant(object, 0, 64, GRANT_FILL), other = make_grant(object, 3, 2, GRANT_STORE);
    CHECK_ERRNO(dma_grant(dma, object, addresses, GRANT_FILL), EINVAL);
    CHECK_ERRNO(dma_grant(dma, -1, addresses, GRANT_FILL), EBADF);
    CHECK_ERRNO(dma_grant(object, grant, addresses, GRANT_FILL), EINVAL);
    CHECK_ERRNO(dma_grant(dma, grant, (void *)16, GRANT_FILL), EFAULT);
    CHECK_ERRNO(dma_grant(dma, grant, addresses, GRANT_STORE), EINVAL);
    CHECK_ERRNO(dma_grant(dma, other, addresses, GRANT_FILL), EINVAL);
    CHECK_ERRNO(dma_revoke(dma, grant), ENOENT); /* the call that failed has left nothing */
    CHECK_EQ(dma_grant(dma, grant, addresses, GRANT_FILL), 64);
    for (int i = 0; i < 64; i++) {
        CHECK(addresses[i] != 0 && addresses[i] % TEST_PAGE == 0);
    }
    CHECK_ERRNO(dma_grant(dma, grant, addresses, GRANT_FILL), EBUSY);
    CHECK_EQ(dma_grant(dma, other, addresses, GRANT_STORE), 2); /* the same pages by another grant */
    CHECK_OK(dma_revoke(dma, grant));
    CHECK_ERRNO(dma_revoke(dma, grant), ENOENT);
    CHECK_OK(dma_revoke(dma, other));
    CHECK_EQ(dma_grant(dma, grant, addresses, GRANT_FILL), 64);
    close(grant);
    CHECK_OK(ftruncate(object, 0)); /* held all the same: nobody else gets these frames before the device is cut off */
    close(dma);
    close(other);
    close(object);
}

static void dma_object(void) {
    uint64_t address;
    test_needs_penumbra();
    long function = find_memory(&address);
    if (function < 0) {
        test_skip("no function with memory");
    }
    CHECK_ERRNO(dma_create(TEST_AUTHORITY, NO_FUNCTION), ENODEV);
    CHECK_ERRNO(dma_create(TEST_AUTHORITY, 0x10000), EINVAL);
    int dma = (int)CHECK_OK(dma_create(TEST_AUTHORITY, (uint32_t)function));
    CHECK_ERRNO(dma_create(TEST_AUTHORITY, (uint32_t)function), EBUSY);
    CHECK_ERRNO(dma_enable(dma, 2), EINVAL);
    CHECK_OK(dma_enable(dma, 1));
    CHECK(config((uint32_t)function, CONFIG_COMMAND, 2) & COMMAND_BUS_MASTER);
    CHECK_OK(dma_enable(dma, 0));
    CHECK(!(config((uint32_t)function, CONFIG_COMMAND, 2) & COMMAND_BUS_MASTER));
    CHECK_OK(dma_enable(dma, 1));
    close(dma);
    CHECK(!(config((uint32_t)function, CONFIG_COMMAND, 2) & COMMAND_BUS_MASTER));
    dma = (int)CHECK_OK(dma_create(TEST_AUTHORITY, (uint32_t)function));
    close(dma);
}

static void seed(void) {
    uint8_t bytes[64], before[32], after[32];
    test_needs_penumbra();
    memset(bytes, 0x5a, sizeof(bytes));
    CHECK_ERRNO(random_seed(TEST_AUTHORITY, bytes, 0), EINVAL);
    CHECK_ERRNO(random_seed(TEST_AUTHORITY, bytes, 100000), EINVAL);
    CHECK_ERRNO(random_seed(TEST_AUTHORITY, (void *)16, 32), EFAULT);
    CHECK_EQ(syscall(318, before, sizeof(before), 0), sizeof(before));
    CHECK_OK(random_seed(TEST_AUTHORITY, bytes, sizeof(bytes)));
    CHECK_OK(random_seed(TEST_AUTHORITY, bytes, 5));
    CHECK_EQ(syscall(318, after, sizeof(after), 0), sizeof(after));
    CHECK(memcmp(before, after, sizeof(before)) != 0);
}

static const struct test_case cases[] = {
    {"rights", rights},
    {"pci-addresses", pci_addresses},
    {"bus-master", bus_master_is_the_kernels},
    {"region-refusals", region_refusals},
    {"region-mapping", region_mapping},
    {"region-rights", region_without_write},
    {"region-fork", region_fork},
    {"region-truncate", region_and_truncate},
    {"port-refusals", port_refusals},
    {"port-access", port_access},
    {"interrupt-messages", interrupt_messages},
    {"interrupt-lines", interrupt_lines},
    {"dma-object", dma_object},
    {"dma-memory", dma_memory_pages},
    {"dma-grants", dma_grants},
    {"driver-dies", driver_dies},
    {"seed", seed},
};

TEST_MAIN(cases)
