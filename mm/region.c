/*
 * Owns: the regions that there are, and the list of what no region may be of.
 *
 * Invariant: REACH – no region has a byte of RAM, of what firmware keeps, or of the kernel's own devices, so a device
 * page of a user half shows nothing but a device. Locks: regions_lock (rank HEAP_LOCAL) for the list. GLOBAL metadata.
 * Runs in any space without leaving it.
 */
#include "mm/region.h"

#include "arch/features.h"
#include "arch/spinlock.h"
#include "boot/boot_info.h"
#include "kernel/assert.h"
#include "kernel/list.h"
#include "kernel/open_file.h"
#include "mm/heap.h"

#define LOW_MEMORY_END 0x100000UL
#define RESERVED_MAX   16U

struct region {
    uint32_t refs;    /* atomic */
    paddr_t address;  /* constant */
    uint64_t bytes;   /* constant */
    struct list link; /* protected by regions_lock */
};

struct range {
    paddr_t start, end;
};

static struct spinlock regions_lock = SPINLOCK_INIT(RANK_REGIONS);
static struct list regions = {&regions, &regions}; /* of struct region. Protected by regions_lock */

/* What firmware has listed, and the kernel's registers. Constant after start-up. */
static const struct boot_info *boot;
static struct range reserved[RESERVED_MAX];
static unsigned reserved_count;

void regions_init(const struct boot_info *info) { boot = info; }

void region_reserve(paddr_t address, uint64_t bytes) {
    ensure(reserved_count < RESERVED_MAX);
    reserved[reserved_count++] = (struct range){page_floor(address), page_ceil(address + bytes)};
}

static bool overlaps(paddr_t start, paddr_t end, paddr_t other, paddr_t other_end) {
    return start < other_end && other < end;
}

/* All that the firmware's map mentions is memory in use or registers of the platform: devices' own are never in it. */
static bool is_taken(paddr_t start, paddr_t end) {
    if (start < LOW_MEMORY_END)
        return true;
    for (uint32_t i = 0; i < boot->range_count; i++)
        if (overlaps(start, end, boot->ranges[i].base, boot->ranges[i].base + boot->ranges[i].length))
            return true;
    for (unsigned i = 0; i < reserved_count; i++)
        if (overlaps(start, end, reserved[i].start, reserved[i].end))
            return true;
    return false;
}

/* --- The file ----------------------------------------------------------------------------------------------------- */

static void region_release(struct file *file) { region_unref(file->target); }
static void region_reference(struct file *file) { region_ref(file->target); }

static const struct file_operations region_operations = {.release = region_release, .reference = region_reference};

struct region *region_of(const struct file *file, bool *readable, bool *writable) {
    if (file->operations != &region_operations)
        return NULL;
    *readable = file->readable;
    *writable = file->writable;
    return file->target;
}

enum status region_create(paddr_t address, uint64_t bytes, uint32_t rights, struct file **out) {
    const paddr_t limit = (paddr_t)1 << cpu_features.physical_address_bits;
    if (bytes == 0 || page_offset(address) || page_offset(bytes) || bytes > limit || address > limit - bytes)
        return ERR_INVALID;
    if (is_taken(address, address + bytes))
        return ERR_NOT_PERMITTED;
    struct region *region = global_alloc(sizeof *region);
    if (region == NULL)
        return ERR_NO_MEMORY;
    *region = (struct region){.refs = 1, .address = address, .bytes = bytes};
    spin_lock(&regions_lock);
    list_push_back(&regions, &region->link);
    spin_unlock(&regions_lock);
    enum status status = file_create_on(&region_operations, region, rights, out);
    if (status != OK)
        region_unref(region);
    return status;
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

paddr_t region_address(const struct region *region) { return region->address; }
uint64_t region_bytes(const struct region *region) { return region->bytes; }

void region_ref(struct region *region) { __atomic_fetch_add(&region->refs, 1, __ATOMIC_RELAXED); }

void region_unref(struct region *region) {
    if (__atomic_sub_fetch(&region->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    spin_lock(&regions_lock);
    list_remove(&region->link);
    spin_unlock(&regions_lock);
    global_free(region, sizeof *region);
}

bool region_has_page(paddr_t page) {
    bool found = false;
    spin_lock(&regions_lock);
    list_for_each(link, &regions) {
        const struct region *region = container_of(link, struct region, link);
        found = found || (page >= region->address && page < region->address + region->bytes);
    }
    spin_unlock(&regions_lock);
    return found;
}
