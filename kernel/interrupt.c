/*
 * Owns: the vectors that devices interrupt at, and whom each notifies.
 *
 * An interrupt is never lost: its bits stay set in the endpoint until a receiver takes them. It is never delivered
 * after its handle is closed: the look-up and the notification are under one lock with the end. All go to the boot CPU.
 * Vectors are given out in turn, so that a late message of a closed interrupt seldom meets a new owner; who shares the
 * machine with a device that sends at random gets notifications without a reason, nothing more.
 *
 * Locks: interrupts_lock, interrupts off; inside it what endpoint_notify() takes. GLOBAL metadata; any space.
 */
#include "kernel/interrupt.h"

#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/spinlock.h"
#include "kernel/endpoint.h"
#include "kernel/open_file.h"
#include "mm/heap.h"

#define VECTORS (VECTOR_DEVICE_END - VECTOR_DEVICE_FIRST)

struct interrupt {
    struct endpoint *endpoint; /* with a reference; constant */
    uint64_t bits;             /* constant */
    unsigned slot;             /* vector - VECTOR_DEVICE_FIRST; constant */
    bool is_line;              /* constant */
    struct acpi_line line;     /* constant */
};

static struct spinlock interrupts_lock = SPINLOCK_INIT(RANK_INTERRUPTS);
static struct interrupt *slots[VECTORS]; /* by vector. Protected by interrupts_lock */
static unsigned next_slot;               /* where the search for a free one begins. Likewise */

/* interrupts_lock held. */
static bool line_in_use(uint32_t input) {
    for (unsigned i = 0; i < VECTORS; i++)
        if (slots[i] != NULL && slots[i]->is_line && slots[i]->line.input == input)
            return true;
    return false;
}

static enum status claim_slot(struct interrupt *interrupt) {
    if (interrupt->is_line && line_in_use(interrupt->line.input))
        return ERR_BUSY;
    for (unsigned i = 0; i < VECTORS; i++) {
        const unsigned slot = (next_slot + i) % VECTORS;
        if (slots[slot] != NULL)
            continue;
        slots[slot] = interrupt;
        interrupt->slot = slot;
        next_slot = slot + 1;
        return OK;
    }
    return ERR_NO_SPACE;
}

/* It arrives from here on. */
static enum status begin(struct interrupt *interrupt) {
    const bool irq = spin_lock_irq(&interrupts_lock);
    enum status status = claim_slot(interrupt);
    if (status == OK && interrupt->is_line)
        io_apic_connect(&interrupt->line, VECTOR_DEVICE_FIRST + interrupt->slot);
    spin_unlock_irq(&interrupts_lock, irq);
    return status;
}

static void end(struct interrupt *interrupt) {
    const bool irq = spin_lock_irq(&interrupts_lock);
    if (interrupt->is_line)
        io_apic_mask(&interrupt->line, true);
    slots[interrupt->slot] = NULL;
    spin_unlock_irq(&interrupts_lock, irq);
}

static void destroy(struct interrupt *interrupt) {
    endpoint_unref(interrupt->endpoint);
    global_free(interrupt, sizeof *interrupt);
}

void interrupt_arrived(unsigned vector) {
    const bool irq = spin_lock_irq(&interrupts_lock);
    const struct interrupt *interrupt = slots[vector - VECTOR_DEVICE_FIRST];
    if (interrupt != NULL && interrupt->is_line && interrupt->line.level)
        io_apic_mask(&interrupt->line, true);
    apic_end_of_interrupt();
    if (interrupt != NULL)
        endpoint_notify(interrupt->endpoint, interrupt->bits);
    spin_unlock_irq(&interrupts_lock, irq);
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static void interrupt_release(struct file *file) {
    end(file->target);
    destroy(file->target);
}

static const struct file_operations interrupt_operations = {.release = interrupt_release};

static enum status create(const struct interrupt *wanted, struct interrupt **created, struct file **out) {
    struct interrupt *interrupt = global_alloc(sizeof *interrupt);
    if (interrupt == NULL) {
        endpoint_unref(wanted->endpoint);
        return ERR_NO_MEMORY;
    }
    *interrupt = *wanted;
    enum status status = begin(interrupt);
    if (status != OK) {
        destroy(interrupt);
        return status;
    }
    status = file_create_on(&interrupt_operations, interrupt, RIGHT_TRANSFER, out);
    if (status != OK) {
        end(interrupt);
        destroy(interrupt);
        return status;
    }
    *created = interrupt;
    return OK;
}

enum status interrupt_create_message(struct endpoint *endpoint, uint64_t bits, struct interrupt_message *message,
                                     struct file **out) {
    const struct interrupt wanted = {.endpoint = endpoint, .bits = bits};
    struct interrupt *interrupt;
    if (!apic_message_address(&message->address)) {
        endpoint_unref(endpoint);
        return ERR_NOT_SUPPORTED;
    }
    enum status status = create(&wanted, &interrupt, out);
    if (status == OK)
        message->data = VECTOR_DEVICE_FIRST + interrupt->slot;
    return status;
}

enum status interrupt_create_line(uint64_t line, struct endpoint *endpoint, uint64_t bits, struct file **out) {
    struct interrupt wanted = {.endpoint = endpoint, .bits = bits, .is_line = true}, *interrupt;
    if (!io_apic_find(line, &wanted.line)) {
        endpoint_unref(endpoint);
        return ERR_INVALID;
    }
    return create(&wanted, &interrupt, out);
}

enum status interrupt_done(int fd) {
    struct file *file;
    enum status status = handle_get_kind(fd, &interrupt_operations, 0, &file);
    if (status != OK)
        return status;
    const struct interrupt *interrupt = file->target;
    const bool irq = spin_lock_irq(&interrupts_lock);
    if (interrupt->is_line)
        io_apic_mask(&interrupt->line, false);
    spin_unlock_irq(&interrupts_lock, irq);
    file_unref(file);
    return OK;
}
