/*
 * The PCI server: the one process that has the right over configuration space. It finds the functions and hands each
 * out by a handle of its own: registers, interrupts, the DMA object (drivers/pci_abi.h).
 *
 * The badge of a function's handle is its place in the table and one. The server keeps no copy of what it hands out: a
 * driver that dies takes its handles with it, and one that comes after it asks again.
 *
 * Environment: PENUMBRA_AUTHORITY, an authority with DEVICES; PENUMBRA_NAMES, the name server.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/pci/functions.h"
#include "drivers/pci_abi.h"
#include "user/lib/names.h"
#include "user/lib/native.h"

enum { CAPABILITY_MSIX = 0x11, STANDARD_HEADER = 0x40, CONFIG_BYTES = 256, PAGE = 4096 };
enum { MSIX_CONTROL = 2, MSIX_TABLE = 4, MSIX_BYTES = 12, MSIX_ENABLE = 0x8000, MSIX_ALL_MASKED = 0x4000 };
enum { MSIX_ENTRY_WORDS = 4, MSIX_ENTRIES_MASK = 0x7ff };

static int service; /* the endpoint on which everything is asked */

/* An answer in the making. */
struct answer {
    struct ipc *ipc;
    int handle; /* goes along, and is closed afterwards; or -1 */
};

static int page_floor(uint64_t address) { return (int)(address & (PAGE - 1)); }

/* --- What is asked ------------------------------------------------------------------------------------------------ */

static void describe(const struct function *function, struct ipc *ipc) {
    ipc->word[0] = function->address;
    ipc->word[1] = function->device_vendor;
    ipc->word[2] = function->class;
}

static bool matches(uint64_t wanted, uint32_t have) { return wanted == PCI_ANY || wanted == have; }

static int find(struct answer *answer) {
    struct ipc *ipc = answer->ipc;
    uint64_t skip = ipc->word[2];
    for (size_t i = 0; i < function_count; i++) {
        const struct function *function = &functions[i];
        if (!matches(ipc->word[0], function->device_vendor) || !matches(ipc->word[1], function->class) || skip-- > 0) {
            continue;
        }
        answer->handle = handle_mint(service, RIGHT_CALL | RIGHT_TRANSFER, i + 1);
        describe(function, ipc);
        return answer->handle < 0 ? errno : 0;
    }
    return ENOENT;
}

static bool is_config_place(uint64_t offset, uint64_t width) {
    return (width == 1 || width == 2 || width == 4) && offset % width == 0 && offset < CONFIG_BYTES;
}

static int read_config(const struct function *function, struct ipc *ipc) {
    if (!is_config_place(ipc->word[0], ipc->word[1])) {
        return EINVAL;
    }
    ipc->word[0] = config_read(function, (uint32_t)ipc->word[0], (uint32_t)ipc->word[1]);
    return 0;
}

static int write_config(const struct function *function, struct ipc *ipc) {
    uint64_t offset = ipc->word[0], width = ipc->word[1];
    if (!is_config_place(offset, width)) {
        return EINVAL;
    }
    uint32_t msix = function_capability(function, CAPABILITY_MSIX, 0);
    if (offset < STANDARD_HEADER || (msix != 0 && offset + width > msix && offset < msix + MSIX_BYTES)) {
        return EPERM;
    }
    config_write(function, (uint32_t)offset, (uint32_t)width, (uint32_t)ipc->word[2]);
    return 0;
}

/* A region of whole pages around [address, address + bytes). */
static int make_region(uint64_t address, uint64_t bytes) {
    uint64_t first = address - (uint64_t)page_floor(address),
             end = (address + bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    return region_create(devices_authority, first, end - first);
}

static int give_region(struct function *function, struct answer *answer) {
    const struct bar *bar;
    if (answer->ipc->word[0] >= BARS) {
        return EINVAL;
    }
    int error = function_bar(function, (unsigned)answer->ipc->word[0], &bar);
    if (error != 0 || !bar->memory) {
        return error != 0 ? error : ENODEV;
    }
    answer->handle = make_region(bar->address, bar->bytes);
    answer->ipc->word[0] = (uint64_t)page_floor(bar->address);
    answer->ipc->word[1] = bar->bytes;
    return answer->handle < 0 ? errno : 0;
}

static int find_capability(const struct function *function, struct ipc *ipc) {
    if (ipc->word[0] > 0xff || ipc->word[1] > 0xfc) {
        return EINVAL;
    }
    ipc->word[0] = function_capability(function, (uint32_t)ipc->word[0], (uint32_t)ipc->word[1]);
    return ipc->word[0] == 0 ? ENOENT : 0;
}

/* --- MSI-X -------------------------------------------------------------------------------------------------------- */

/* Maps the table. 0 or an errno. */
static int map_msix(struct function *function, uint32_t capability) {
    const struct bar *bar;
    uint32_t place = config_read(function, capability + MSIX_TABLE, 4), offset = place & ~7U;
    unsigned entries = (config_read(function, capability + MSIX_CONTROL, 2) & MSIX_ENTRIES_MASK) + 1;
    uint64_t bytes = entries * MSIX_ENTRY_WORDS * sizeof(uint32_t);
    if (function->msix != NULL) {
        return 0;
    }
    int error = (place & 7) >= BARS ? ENODEV : function_bar(function, place & 7, &bar);
    if (error != 0 || !bar->memory || offset + bytes > bar->bytes) {
        return error != 0 ? error : ENODEV;
    }
    int region = make_region(bar->address + offset, bytes);
    if (region < 0) {
        return errno;
    }
    size_t within = (size_t)page_floor(bar->address + offset);
    char *table = mmap(NULL, within + bytes, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
    close(region);
    if (table == MAP_FAILED) {
        return errno;
    }
    function->msix = (volatile uint32_t *)(void *)(table + within);
    function->msix_entries = entries;
    return 0;
}

static void set_entry(const struct function *function, unsigned entry, const uint64_t message[2]) {
    volatile uint32_t *words = function->msix + (size_t)entry * MSIX_ENTRY_WORDS;
    words[3] = 1; /* masked while it changes */
    words[0] = (uint32_t)message[0];
    words[1] = (uint32_t)(message[0] >> 32);
    words[2] = (uint32_t)message[1];
    words[3] = 0;
}

static int give_interrupt(struct function *function, struct answer *answer) {
    const struct ipc_extra *extra = answer->ipc->extra;
    uint32_t capability = function_capability(function, CAPABILITY_MSIX, 0);
    uint64_t message[2], entry = answer->ipc->word[0];
    if (extra->handle_room != 1) {
        return EINVAL;
    }
    int error = capability == 0 ? ENODEV : map_msix(function, capability);
    if (error != 0 || entry >= function->msix_entries) {
        return error != 0 ? error : ENODEV;
    }
    answer->handle = interrupt_create(devices_authority, message, extra->taken_handles[0], answer->ipc->word[1]);
    if (answer->handle < 0) {
        return errno;
    }
    /* Enabled first: until then the table may not take what is written to it. No entry that was not set is unmasked. */
    uint32_t control = config_read(function, capability + MSIX_CONTROL, 2);
    config_write(function, capability + MSIX_CONTROL, 2, (control | MSIX_ENABLE) & ~(uint32_t)MSIX_ALL_MASKED);
    set_entry(function, (unsigned)entry, message);
    return 0;
}

static int give_dma(const struct function *function, struct answer *answer) {
    answer->handle = dma_create(devices_authority, function->address);
    return answer->handle < 0 ? errno : 0;
}

/* --- Serving ------------------------------------------------------------------------------------------------------ */

static int serve_function(struct function *function, struct answer *answer) {
    switch (answer->ipc->label) {
    case PCI_INFO:
        describe(function, answer->ipc);
        return 0;
    case PCI_READ:
        return read_config(function, answer->ipc);
    case PCI_WRITE:
        return write_config(function, answer->ipc);
    case PCI_REGION:
        return give_region(function, answer);
    case PCI_CAPABILITY:
        return find_capability(function, answer->ipc);
    case PCI_INTERRUPT:
        return give_interrupt(function, answer);
    case PCI_DMA:
        return give_dma(function, answer);
    default:
        return EINVAL;
    }
}

static int serve(struct answer *answer) {
    uint64_t badge = answer->ipc->badge;
    if (badge == 0) {
        if (answer->ipc->label >= PCI_INFO && answer->ipc->label <= PCI_DMA) {
            return EACCES;
        }
        return answer->ipc->label == PCI_FIND ? find(answer) : EINVAL;
    }
    return badge <= function_count ? serve_function(&functions[badge - 1], answer) : EINVAL;
}

/* Handles the call in *ipc and answers it. What came along is closed. */
static void answer_call(struct ipc *ipc) {
    struct answer answer = {.ipc = ipc, .handle = -1};
    uint32_t came = ipc->extra->handle_room;
    ipc->label = (uint32_t)serve(&answer);
    for (uint32_t i = 0; i < came; i++) {
        close(ipc->extra->taken_handles[i]);
    }
    *ipc->extra = (struct ipc_extra){.timeout_ns = IPC_FOREVER};
    if (answer.handle >= 0) {
        ipc->extra->handle_count = 1;
        ipc->extra->handles[0] = answer.handle;
    }
    ipc_reply(ipc->token, ipc); /* a caller that has gone has lost nothing */
    if (answer.handle >= 0) {
        close(answer.handle);
    }
}

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(void) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_room = 1};
    struct ipc ipc = {.extra = &extra};
    devices_authority = handle_from_environment("PENUMBRA_AUTHORITY");
    service = endpoint_create();
    if (devices_authority < 0 || service < 0) {
        fail("pci: no authority over devices");
    }
    functions_find();
    int callable = handle_mint(service, RIGHT_CALL | RIGHT_TRANSFER, 0);
    if (callable < 0 || names_register("pci", callable) < 0) {
        fail("pci: cannot register");
    }
    close(callable);
    for (;;) {
        extra = (struct ipc_extra){.timeout_ns = IPC_FOREVER, .handle_room = 1};
        if (ipc_receive(service, &ipc) < 0) {
            if (errno == EINTR) {
                continue;
            }
            fail("pci: receive");
        }
        if (ipc.label != IPC_NOTIFICATION) {
            answer_call(&ipc);
        }
    }
}
