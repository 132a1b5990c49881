/*
 * System calls of drivers: PCI configuration, device registers, ports. Each decodes, asks for the right and acts
 * through the object's own header.
 *
 * Locks: none of its own. Runs in whatever space was loaded, without leaving it; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/authority.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/pci_config.h"
#include "kernel/ports.h"
#include "kernel/syscall_table.h"
#include "mm/region.h"

#define CHUNK 256U

enum status sys_pci_config(struct syscall *call) {
    const uint64_t address = call->arg[1], offset = call->arg[2], width = call->arg[3];
    enum status status = authority_check((int)call->arg[0], RIGHT_DEVICES);
    if (status != OK)
        return status;
    if (address > PCI_ADDRESS_MAX || (width != 1 && width != 2 && width != 4) || offset % width != 0 ||
        offset >= PCI_CONFIG_BYTES || call->arg[4] > 1)
        return ERR_INVALID;
    if (call->arg[4])
        pci_config_write((uint32_t)address, (uint32_t)offset, (uint32_t)width, (uint32_t)call->arg[5]);
    else
        call->result = pci_config_read((uint32_t)address, (uint32_t)offset, (uint32_t)width);
    return OK;
}

enum status sys_region_create(struct syscall *call) {
    struct file *file;
    enum status status = authority_check((int)call->arg[0], RIGHT_DEVICES);
    if (status == OK)
        status = region_create(call->arg[1], call->arg[2], RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &file);
    return status == OK ? handle_publish(file, &call->result) : status;
}

/* --- Ports -------------------------------------------------------------------------------------------------------- */

enum status sys_ports_create(struct syscall *call) {
    struct file *file;
    enum status status = authority_check((int)call->arg[0], RIGHT_DEVICES);
    if (status == OK)
        status = ports_create(call->arg[1], call->arg[2], &file);
    return status == OK ? handle_publish(file, &call->result) : status;
}

/* All bytes of a buffer to one port, by way of the stack. */
static enum status write_bytes(const struct file *ports, uint64_t offset, vaddr_t from, size_t bytes, int64_t *done) {
    uint8_t chunk[CHUNK];
    while (bytes > 0) {
        const size_t part = bytes < CHUNK ? bytes : CHUNK;
        enum status status = copy_from_user(chunk, from, part);
        if (status == OK)
            status = ports_write_bytes(ports, offset, chunk, part);
        if (status != OK)
            return *done > 0 ? OK : status;
        from += part;
        bytes -= part;
        *done += (int64_t)part;
    }
    return OK;
}

enum status sys_ports_io(struct syscall *call) {
    const uint64_t operation = call->arg[1];
    uint64_t value = call->arg[3];
    struct file *ports;
    if (operation > PORT_WRITE_BYTES)
        return ERR_INVALID;
    const bool reads = operation == PORT_READ8 || operation == PORT_READ16 || operation == PORT_READ32;
    enum status status = ports_get((int)call->arg[0], reads ? RIGHT_READ : RIGHT_WRITE, &ports);
    if (status != OK)
        return status;
    if (operation == PORT_WRITE_BYTES) {
        status = write_bytes(ports, call->arg[2], value, call->arg[4], &call->result);
    } else {
        status = ports_access(ports, (enum port_operation)operation, call->arg[2], &value);
        call->result = reads ? (int64_t)value : 0;
    }
    file_unref(ports);
    return status;
}
