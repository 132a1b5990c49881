/*
 * Penumbra's own system calls for C programs (kernel/ipc_abi.h says what they do). Like the C library's: -1 and errno.
 */
#ifndef USER_LIB_NATIVE_H
#define USER_LIB_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "kernel/ipc_abi.h"

/* A message in registers. `extra` may be NULL. */
struct ipc {
    uint32_t label;
    uint64_t word[3];
    uint64_t badge; /* of what was received */
    uint64_t token; /* of what was received: for ipc_reply() */
    struct ipc_extra *extra;
};

/* 0, or -1 with errno. They send what is in *ipc and leave there what came. */
int ipc_call(int endpoint, struct ipc *ipc);
int ipc_receive(int endpoint, struct ipc *ipc);
int ipc_reply_receive(int endpoint, struct ipc *ipc);
int ipc_reply(uint64_t token, struct ipc *ipc);

static inline int ipc_notify(int endpoint, uint64_t bits) { return (int)syscall(SYS_IPC_NOTIFY, endpoint, bits); }
static inline int endpoint_create(void) { return (int)syscall(SYS_ENDPOINT_CREATE); }
static inline int endpoint_watch(int watched, int endpoint, uint64_t bits) {
    return (int)syscall(SYS_ENDPOINT_WATCH, watched, endpoint, bits);
}
static inline int handle_mint(int handle, uint32_t keep, uint64_t badge) {
    return (int)syscall(SYS_HANDLE_MINT, handle, keep, badge);
}
static inline long handle_rights(int handle) { return syscall(SYS_HANDLE_RIGHTS, handle); }
static inline int authority(void) { return (int)syscall(SYS_AUTHORITY); }

/* --- Devices ------------------------------------------------------------------------------------------------------ */

static inline long pci_config_read(int authority_handle, uint32_t function, uint32_t offset, uint32_t width) {
    return syscall(SYS_PCI_CONFIG, authority_handle, function, offset, width, 0, 0);
}
static inline long pci_config_write(int authority_handle, uint32_t function, uint32_t offset, uint32_t width,
                                    uint32_t value) {
    return syscall(SYS_PCI_CONFIG, authority_handle, function, offset, width, 1, value);
}
static inline int region_create(int authority_handle, uint64_t address, uint64_t bytes) {
    return (int)syscall(SYS_REGION_CREATE, authority_handle, address, bytes);
}
static inline int ports_create(int authority_handle, uint64_t first, uint64_t count) {
    return (int)syscall(SYS_PORTS_CREATE, authority_handle, first, count);
}
static inline long ports_read(int ports, enum port_operation operation, uint64_t offset) {
    return syscall(SYS_PORTS_IO, ports, operation, offset, 0, 0);
}
static inline long ports_write(int ports, enum port_operation operation, uint64_t offset, uint64_t value) {
    return syscall(SYS_PORTS_IO, ports, operation, offset, value, 0);
}
static inline long ports_write_bytes(int ports, uint64_t offset, const void *bytes, size_t count) {
    return syscall(SYS_PORTS_IO, ports, PORT_WRITE_BYTES, offset, bytes, count);
}
/* Message-signalled: message[0] gets the address, message[1] the data that the device is to write there. */
static inline int interrupt_create(int authority_handle, uint64_t *message, int endpoint, uint64_t bits) {
    return (int)syscall(SYS_INTERRUPT_CREATE, authority_handle, -1L, message, endpoint, bits);
}
static inline int interrupt_create_line(int authority_handle, uint64_t line, int endpoint, uint64_t bits) {
    return (int)syscall(SYS_INTERRUPT_CREATE, authority_handle, line, NULL, endpoint, bits);
}
static inline int interrupt_done(int interrupt) { return (int)syscall(SYS_INTERRUPT_DONE, interrupt); }
static inline int dma_create(int authority_handle, uint32_t function) {
    return (int)syscall(SYS_DMA_CREATE, authority_handle, function);
}
static inline int dma_enable(int dma, int on) { return (int)syscall(SYS_DMA_ENABLE, dma, on); }
static inline int dma_memory(int dma, unsigned pages, uint64_t *addresses) {
    return (int)syscall(SYS_DMA_MEMORY, dma, pages, addresses);
}
static inline int dma_grant(int dma, int grant, uint64_t *addresses, enum grant_direction direction) {
    return (int)syscall(SYS_DMA_GRANT, dma, grant, addresses, direction);
}
static inline int dma_revoke(int dma, int grant) { return (int)syscall(SYS_DMA_REVOKE, dma, grant); }
static inline long dma_faults(int dma) { return syscall(SYS_DMA_FAULTS, dma); }
static inline int random_seed(int authority_handle, const void *bytes, size_t count) {
    return (int)syscall(SYS_RANDOM_SEED, authority_handle, bytes, count);
}

/* --- Names -------------------------------------------------------------------------------------------------------- */

/* → the mount's handle. */
static inline int mount_server(int authority_handle, const char *path, int endpoint,
                               const struct mount_options *options) {
    return (int)syscall(SYS_MOUNT, authority_handle, path, endpoint, options);
}
static inline int mount_attach(int mount, int endpoint) { return (int)syscall(SYS_MOUNT_ATTACH, mount, endpoint); }
/* `name` NULL: all that is cached of the node; node 0: of the mount. */
static inline int mount_forget(int mount, uint64_t node, const char *name) {
    return (int)syscall(SYS_MOUNT_FORGET, mount, node, name);
}
static inline int mount_adopt(int mount, uint64_t node, int object, uint64_t bytes) {
    return (int)syscall(SYS_MOUNT_ADOPT, mount, node, object, bytes);
}
static inline int mount_table(unsigned index, struct mount_state *state) {
    return (int)syscall(SYS_MOUNT_TABLE, index, state);
}
static inline int boot_archive(int authority_handle) { return (int)syscall(SYS_ARCHIVE, authority_handle); }
static inline int cache_drop(void) { return (int)syscall(SYS_CACHE_DROP); }

#endif
