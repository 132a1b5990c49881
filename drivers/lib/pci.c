/* Calls on the PCI server. See pci.h. */
#include "drivers/lib/pci.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "drivers/pci_abi.h"
#include "user/lib/native.h"

static int ask(int endpoint, struct ipc *ipc) {
    if (ipc_call(endpoint, ipc) < 0) {
        return -1;
    }
    if (ipc->label != 0) {
        errno = (int)ipc->label;
        return -1;
    }
    return 0;
}

/* The one handle that comes with the answer. */
static int ask_for_handle(int endpoint, struct ipc *ipc) {
    if (ask(endpoint, ipc) < 0) {
        return -1;
    }
    if (ipc->extra->handle_room != 1) {
        errno = EIO;
        return -1;
    }
    return ipc->extra->taken_handles[0];
}

int pci_find(int server, uint32_t device_vendor, uint32_t class_subclass, uint32_t skip) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_room = 1};
    struct ipc ipc = {.label = PCI_FIND, .word = {device_vendor, class_subclass, skip}, .extra = &extra};
    return ask_for_handle(server, &ipc);
}

int64_t pci_read(int function, uint32_t offset, uint32_t width) {
    struct ipc ipc = {.label = PCI_READ, .word = {offset, width}};
    return ask(function, &ipc) < 0 ? -1 : (int64_t)ipc.word[0];
}

int pci_write(int function, uint32_t offset, uint32_t width, uint32_t value) {
    struct ipc ipc = {.label = PCI_WRITE, .word = {offset, width, value}};
    return ask(function, &ipc);
}

int pci_capability(int function, uint32_t capability, uint32_t after) {
    struct ipc ipc = {.label = PCI_CAPABILITY, .word = {capability, after}};
    return ask(function, &ipc) < 0 ? -1 : (int)ipc.word[0];
}

volatile void *pci_map(int function, unsigned bar, size_t *bytes) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_room = 1};
    struct ipc ipc = {.label = PCI_REGION, .word = {bar}, .extra = &extra};
    int region = ask_for_handle(function, &ipc);
    if (region < 0) {
        return NULL;
    }
    void *at = mmap(NULL, ipc.word[0] + ipc.word[1], PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
    close(region); /* the mapping holds it */
    *bytes = ipc.word[1];
    return at == MAP_FAILED ? NULL : (volatile char *)at + ipc.word[0];
}

int pci_interrupt(int function, unsigned entry, int endpoint, uint64_t bits) {
    int notifier = handle_mint(endpoint, RIGHT_NOTIFY | RIGHT_TRANSFER, 0); /* and cannot receive in our place */
    if (notifier < 0) {
        return -1;
    }
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_count = 1, .handles = {notifier}, .handle_room = 1};
    struct ipc ipc = {.label = PCI_INTERRUPT, .word = {entry, bits}, .extra = &extra};
    int interrupt = ask_for_handle(function, &ipc), error = errno;
    close(notifier);
    errno = error;
    return interrupt;
}

int pci_dma(int function) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_room = 1};
    struct ipc ipc = {.label = PCI_DMA, .extra = &extra};
    return ask_for_handle(function, &ipc);
}
