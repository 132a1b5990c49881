/*
 * Owns: which functions may reach memory, and what each of them reaches.
 *
 * What a function reaches lies in slots of GRANT_PAGES_MAX pages; each holds a grant, and so its frames. With an IOMMU
 * a slot is also a range of the function's own addresses; without, addresses are physical and it is the driver that is
 * trusted. The end of an object: bus mastering off, the function reset where it can be (an emulator goes on with what
 * it has begun), its domain gone; only then are the grants let go of. Invariant: CLEAN. Locks: dmas_lock for the list,
 * dma->lock (rank DMA) for slots. GLOBAL metadata; any space.
 */
#include "kernel/dma.h"

#include "arch/iommu.h"
#include "arch/spinlock.h"
#include "kernel/list.h"
#include "kernel/object_file.h"
#include "kernel/open_file.h"
#include "kernel/pci_config.h"
#include "mm/frame.h"
#include "mm/grant.h"
#include "mm/heap.h"
#include "mm/object.h"

#define SLOTS      (PAGE_SIZE / sizeof(struct file *))
#define SLOT_BYTES (GRANT_PAGES_MAX * PAGE_SIZE)
_Static_assert((SLOTS + 1) * SLOT_BYTES <= IOMMU_ADDRESS_END, "every slot has addresses, 0 is none");
_Static_assert(DMA_MEMORY_PAGES <= GRANT_PAGES_MAX, "memory is a slot");

struct dma {
    uint32_t refs;               /* atomic */
    uint32_t function;           /* constant */
    struct iommu_domain *domain; /* constant; its tables are protected by lock. NULL: no IOMMU */
    struct spinlock lock;        /* rank DMA */
    struct file **slots;         /* SLOTS of them: a grant, with a reference, or NULL. Protected by lock */
    struct list link;            /* protected by dmas_lock */
};

static struct spinlock dmas_lock = SPINLOCK_INIT(RANK_DMA);
static struct list dmas = {&dmas, &dmas}; /* of struct dma. Protected by dmas_lock */

/* --- Life --------------------------------------------------------------------------------------------------------- */

/* One at a time. */
static enum status claim_function(struct dma *dma) {
    enum status status = OK;
    spin_lock(&dmas_lock);
    list_for_each(link, &dmas) if (container_of(link, struct dma, link)->function == dma->function) status = ERR_BUSY;
    if (status == OK)
        list_push_back(&dmas, &dma->link);
    spin_unlock(&dmas_lock);
    return status;
}

static void free_dma(struct dma *dma) {
    if (dma->slots != NULL)
        global_free_pages(dma->slots, 1);
    global_free(dma, sizeof *dma);
}

/* A grant that the function may reach: its frames stay, whatever becomes of its other handles. */
static enum status hold_grant(struct file *file) {
    enum status status = grant_lend(grant_of(file));
    if (status == OK)
        file_ref(file);
    return status;
}

static void let_go_of_grant(struct file *file) {
    grant_take_back(grant_of(file));
    file_unref(file);
}

/* Nobody refers to it; the function still may. */
static void destroy(struct dma *dma) {
    pci_set_bus_master(dma->function, false);
    (void)pci_reset_function(dma->function);
    if (dma->domain != NULL)
        iommu_domain_destroy(dma->domain);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (dma->slots[slot] != NULL)
            let_go_of_grant(dma->slots[slot]);
    spin_lock(&dmas_lock);
    list_remove(&dma->link);
    spin_unlock(&dmas_lock);
    free_dma(dma);
}

static void dma_release(struct file *file) {
    struct dma *dma = file->target;
    if (__atomic_sub_fetch(&dma->refs, 1, __ATOMIC_ACQ_REL) == 0)
        destroy(dma);
}

static const struct file_operations dma_operations = {.release = dma_release};

enum status dma_create(uint32_t function, struct file **out) {
    if (function > PCI_ADDRESS_MAX || !pci_function_exists(function))
        return ERR_NO_DEVICE;
    struct dma *dma = global_alloc(sizeof *dma);
    if (dma == NULL)
        return ERR_NO_MEMORY;
    dma->refs = 1;
    dma->function = function;
    spin_init(&dma->lock, RANK_DMA);
    dma->slots = global_alloc_pages(1);
    enum status status = dma->slots == NULL ? ERR_NO_MEMORY : claim_function(dma);
    if (status != OK) {
        free_dma(dma);
        return status;
    }
    if (iommu_is_present())
        status = iommu_domain_create(function, &dma->domain);
    if (status == OK)
        status = file_create_on(&dma_operations, dma, RIGHT_TRANSFER, out);
    if (status != OK)
        destroy(dma);
    return status;
}

enum status dma_get(int fd, struct file **out) { return handle_get_kind(fd, &dma_operations, 0, out); }

void dma_enable(const struct file *file, bool on) {
    const struct dma *dma = file->target;
    pci_set_bus_master(dma->function, on);
}

/* --- Slots -------------------------------------------------------------------------------------------------------- */

static uint64_t slot_address(unsigned slot) { return (slot + 1) * SLOT_BYTES; }

/* dma->lock held, as for all of these. Returns SLOTS if there is none. */
static unsigned find_slot(const struct dma *dma, const struct grant *grant) {
    unsigned slot = 0;
    while (slot < SLOTS && (dma->slots[slot] == NULL ? NULL : grant_of(dma->slots[slot])) != grant)
        slot++;
    return slot;
}

static enum status map_slot(struct dma *dma, unsigned slot, const struct grant *grant, bool read, bool write) {
    for (unsigned i = 0; i < grant_count(grant); i++) {
        enum status status =
            iommu_map(dma->domain, slot_address(slot) + i * PAGE_SIZE, grant_frame(grant, i), read, write);
        if (status != OK) {
            iommu_unmap(dma->domain, slot_address(slot), i);
            return status;
        }
    }
    return OK;
}

/* The caller's hold on the grant passes to the slot. dma->lock held. */
static enum status fill_slot(struct dma *dma, struct file *file, bool read, bool write, uint64_t *addresses) {
    const struct grant *grant = grant_of(file);
    const unsigned slot = find_slot(dma, NULL);
    if (find_slot(dma, grant) != SLOTS)
        return ERR_BUSY;
    if (slot == SLOTS)
        return ERR_NO_SPACE;
    enum status status = dma->domain == NULL ? OK : map_slot(dma, slot, grant, read, write);
    if (status != OK)
        return status;
    dma->slots[slot] = file;
    for (unsigned i = 0; i < grant_count(grant); i++)
        addresses[i] = dma->domain == NULL ? frame_address(grant_frame(grant, i)) : slot_address(slot) + i * PAGE_SIZE;
    return OK;
}

static enum status give(struct dma *dma, struct file *file, bool read, bool write, uint64_t *addresses) {
    enum status status = hold_grant(file);
    if (status != OK)
        return status;
    spin_lock(&dma->lock);
    status = fill_slot(dma, file, read, write, addresses);
    spin_unlock(&dma->lock);
    if (status != OK)
        let_go_of_grant(file);
    return status;
}

enum status dma_grant(const struct file *file, struct file *grant_file, enum grant_direction direction,
                      uint64_t *addresses, unsigned *count) {
    struct dma *dma = file->target;
    const struct grant *grant = grant_of(grant_file);
    if (grant == NULL || grant_direction(grant) != direction)
        return ERR_INVALID;
    if (!(grant_file->rights & RIGHT_DMA))
        return ERR_ACCESS;
    *count = grant_count(grant);
    return give(dma, grant_file, direction == GRANT_STORE, direction == GRANT_FILL, addresses);
}

enum status dma_revoke(const struct file *file, const struct file *grant_file) {
    struct dma *dma = file->target;
    const struct grant *grant = grant_of(grant_file);
    struct file *held = NULL;
    if (grant == NULL)
        return ERR_INVALID;
    spin_lock(&dma->lock);
    const unsigned slot = find_slot(dma, grant);
    if (slot != SLOTS) {
        held = dma->slots[slot];
        if (dma->domain != NULL)
            iommu_unmap(dma->domain, slot_address(slot), grant_count(grant));
        dma->slots[slot] = NULL;
    }
    spin_unlock(&dma->lock);
    if (held == NULL)
        return ERR_NO_ENTRY;
    let_go_of_grant(held);
    return OK;
}

/* --- Memory of driver and function -------------------------------------------------------------------------------- */

/* A grant on all pages of an object, which are made: it holds them from here on, whatever becomes of the object. */
static enum status grant_object(struct memory_object *object, unsigned pages, struct file **grant) {
    frame_t frames[DMA_MEMORY_PAGES];
    unsigned taken = 0;
    enum status status = object_resize(object, pages * PAGE_SIZE);
    for (; status == OK && taken < pages; taken += status == OK)
        status = object_page(object, taken, true, &frames[taken]);
    if (status == OK)
        status = grant_create(GRANT_FILL, frames, pages, RIGHT_DMA, grant);
    while (taken > 0)
        object_page_put(frames[--taken]);
    return status;
}

static enum status give_object(struct dma *dma, struct memory_object *object, unsigned pages, uint64_t *addresses) {
    struct file *grant;
    enum status status = grant_object(object, pages, &grant);
    if (status != OK)
        return status;
    status = give(dma, grant, true, true, addresses);
    file_unref(grant); /* the slot has its own reference */
    return status;
}

enum status dma_memory(const struct file *file, unsigned pages, uint64_t *addresses, struct file **out) {
    struct memory_object *object;
    if (pages == 0 || pages > DMA_MEMORY_PAGES)
        return ERR_INVALID;
    enum status status = object_create(&object);
    if (status != OK)
        return status;
    status = give_object(file->target, object, pages, addresses);
    if (status == OK)
        return object_file_create(object, RIGHT_READ | RIGHT_WRITE, out);
    object_unref(object);
    return status;
}

enum status dma_faults(const struct file *file, uint64_t *count) {
    const struct dma *dma = file->target;
    if (dma->domain == NULL)
        return ERR_NOT_SUPPORTED;
    *count = iommu_faults(dma->domain);
    return OK;
}
