/*
 * System calls on interrupts and DMA of devices: each decodes, asks for the right and acts through the object's header.
 *
 * Locks: none of its own. Runs in whatever space was loaded, without leaving it; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/authority.h"
#include "kernel/dma.h"
#include "kernel/endpoint.h"
#include "kernel/interrupt.h"
#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/pci_config.h"
#include "kernel/syscall_table.h"

/* --- Interrupts --------------------------------------------------------------------------------------------------- */

static enum status create_interrupt(const struct syscall *call, struct endpoint *endpoint,
                                    struct interrupt_message *message, struct file **out) {
    const int64_t line = (int64_t)call->arg[1];
    return line < 0 ? interrupt_create_message(endpoint, call->arg[4], message, out)
                    : interrupt_create_line((uint64_t)line, endpoint, call->arg[4], out);
}

enum status sys_interrupt_create(struct syscall *call) {
    struct interrupt_message message = {0};
    struct endpoint *endpoint;
    struct file *file;
    enum status status = authority_check((int)call->arg[0], RIGHT_DEVICES);
    if (status == OK)
        status = endpoint_get((int)call->arg[3], RIGHT_NOTIFY, &endpoint, NULL);
    if (status == OK)
        status = create_interrupt(call, endpoint, &message, &file);
    if (status != OK)
        return status;
    const uint64_t out[2] = {message.address, message.data};
    status = (int64_t)call->arg[1] < 0 ? copy_to_user(call->arg[2], out, sizeof out) : OK;
    if (status != OK) {
        file_unref(file);
        return status;
    }
    return handle_publish(file, &call->result);
}

enum status sys_interrupt_done(struct syscall *call) { return interrupt_done((int)call->arg[0]); }

/* --- DMA ---------------------------------------------------------------------------------------------------------- */

enum status sys_dma_create(struct syscall *call) {
    struct file *file;
    enum status status = authority_check((int)call->arg[0], RIGHT_DEVICES);
    if (status == OK && call->arg[1] > PCI_ADDRESS_MAX)
        status = ERR_INVALID;
    if (status == OK)
        status = dma_create((uint32_t)call->arg[1], &file);
    return status == OK ? handle_publish(file, &call->result) : status;
}

enum status sys_dma_enable(struct syscall *call) {
    struct file *dma;
    if (call->arg[1] > 1)
        return ERR_INVALID;
    enum status status = dma_get((int)call->arg[0], &dma);
    if (status != OK)
        return status;
    dma_enable(dma, call->arg[1]);
    file_unref(dma);
    return OK;
}

enum status sys_dma_memory(struct syscall *call) {
    uint64_t addresses[DMA_MEMORY_PAGES];
    const uint64_t pages = call->arg[1];
    struct file *dma, *memory;
    if (pages == 0 || pages > DMA_MEMORY_PAGES)
        return ERR_INVALID;
    enum status status = dma_get((int)call->arg[0], &dma);
    if (status != OK)
        return status;
    status = dma_memory(dma, (unsigned)pages, addresses, &memory);
    file_unref(dma);
    if (status != OK)
        return status;
    status = copy_to_user(call->arg[2], addresses, pages * sizeof addresses[0]);
    if (status != OK) {
        file_unref(memory); /* the pages stay the DMA object's */
        return status;
    }
    return handle_publish(memory, &call->result);
}

/* The two files of a call about a grant. */
static enum status get_pair(const struct syscall *call, struct file **dma, struct file **grant) {
    enum status status = dma_get((int)call->arg[0], dma);
    if (status != OK)
        return status;
    status = handle_get((int)call->arg[1], grant);
    if (status != OK)
        file_unref(*dma);
    return status;
}

enum status sys_dma_grant(struct syscall *call) {
    uint64_t addresses[GRANT_PAGES_MAX];
    struct file *dma, *grant;
    unsigned pages = 0;
    if (call->arg[3] != GRANT_FILL && call->arg[3] != GRANT_STORE)
        return ERR_INVALID;
    enum status status = get_pair(call, &dma, &grant);
    if (status != OK)
        return status;
    status = dma_grant(dma, grant, (enum grant_direction)call->arg[3], addresses, &pages);
    if (status == OK) {
        status = copy_to_user(call->arg[2], addresses, pages * sizeof addresses[0]);
        if (status != OK && dma_revoke(dma, grant) != OK)
            status = ERR_FAULT; /* another thread was faster to take it back */
    }
    call->result = pages;
    file_unref(grant);
    file_unref(dma);
    return status;
}

enum status sys_dma_revoke(struct syscall *call) {
    struct file *dma, *grant;
    enum status status = get_pair(call, &dma, &grant);
    if (status != OK)
        return status;
    status = dma_revoke(dma, grant);
    file_unref(grant);
    file_unref(dma);
    return status;
}

enum status sys_dma_faults(struct syscall *call) {
    struct file *dma;
    uint64_t count = 0;
    enum status status = dma_get((int)call->arg[0], &dma);
    if (status != OK)
        return status;
    status = dma_faults(dma, &count);
    call->result = (int64_t)count;
    file_unref(dma);
    return status;
}
