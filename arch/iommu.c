/*
 * Owns: the remapping units (Intel VT-d), their root and context tables, and each domain's tables.
 *
 * All units get the same tables, so it does not matter which of them serves a device. The tables hold frame numbers and
 * rights, which are metadata: class GLOBAL. Invalidation is by registers and waited for.
 * Invariants: REVOKE, CLEAN – iommu_unmap() and iommu_domain_destroy() return after the hardware has forgotten.
 * Locks: iommu_lock (rank IOMMU) for registers, context tables and the list of domains; a domain's tables are its
 * caller's. Any space.
 * Source: Intel VT-d specification 3.3, chapters 3, 6, 9 and 11.
 */
#include "arch/iommu.h"

#include "arch/acpi.h"
#include "arch/io.h"
#include "arch/paging.h"
#include "arch/spinlock.h"
#include "kernel/list.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "mm/device.h"
#include "mm/heap.h"
#include "mm/region.h"

/* Registers, byte offsets. */
enum {
    CAPABILITIES = 0x08,
    EXTENDED = 0x10,
    COMMAND = 0x18,
    STATUS = 0x1c,
    ROOT_TABLE = 0x20,
    CONTEXT_COMMAND = 0x28,
    FAULT_STATUS = 0x34,
};
#define COMMAND_TRANSLATE  (1U << 31)
#define COMMAND_SET_ROOT   (1U << 30)
#define COMMAND_FLUSH      (1U << 27)
#define ALL_ENABLES        (COMMAND_TRANSLATE | 1U << 26 | 1U << 25) /* translation, queued invalidation, remapping */
#define CONTEXT_INVALIDATE (1UL << 63)
#define CONTEXT_GLOBAL     (1UL << 61)
#define IOTLB_INVALIDATE   (1UL << 63)
#define IOTLB_GLOBAL       (1UL << 60)
#define IOTLB_DOMAIN       (2UL << 60)
#define IOTLB_DRAIN        (3UL << 48)
#define FAULT_OVERFLOW     1U
#define FAULT_PRESENT      (1UL << 63)

#define CAPABILITY_DOMAINS(caps)   (1U << (4 + 2 * ((caps)&7)))
#define CAPABILITY_FLUSH(caps)     ((caps) >> 4 & 1)
#define CAPABILITY_CACHES(caps)    ((caps) >> 7 & 1) /* also what is not present: invalidate when mapping, too */
#define CAPABILITY_3_LEVELS(caps)  ((caps) >> 9 & 1)
#define CAPABILITY_FAULTS_AT(caps) (((caps) >> 24 & 0x3ff) * 16)
#define CAPABILITY_FAULTS(caps)    (((caps) >> 40 & 0xff) + 1)
#define EXTENDED_COHERENT(ext)     ((ext)&1)
#define EXTENDED_IOTLB_AT(ext)     (((ext) >> 8 & 0x3ff) * 16 + 8)

/* Entries. */
#define ENTRY_READ      1UL
#define ENTRY_WRITE     2UL
#define CONTEXT_PRESENT 1UL
#define WIDTH_3_LEVELS  1UL
#define WIDTH_4_LEVELS  2UL

#define BUSES       256U
#define DOMAINS_MAX 256U
#define LEAVES      (IOMMU_ADDRESS_END / PAGE_TABLE_SPAN)
#define PATIENCE    100000000U /* polls before a unit is given up as broken */

struct iommu_domain {
    uint32_t function;      /* constant */
    uint32_t id;            /* constant */
    uint64_t faults;        /* protected by iommu_lock */
    struct list link;       /* protected by iommu_lock */
    uint64_t *top[2];       /* what leads to the directory: one table, or two. The caller's, like those below */
    uint64_t *directory;    /* 1 GiB of addresses */
    uint64_t *leaf[LEAVES]; /* or NULL */
};

static volatile uint32_t *units[ACPI_IOMMUS_MAX]; /* registers. Constant after start-up, as the next */
static unsigned unit_count;
static bool three_levels, coherent, caches_absent, needs_flush;
static unsigned domain_ids;

static struct spinlock iommu_lock = SPINLOCK_INIT(RANK_IOMMU);
static uint64_t *root;                             /* constant after start-up */
static uint64_t *contexts[BUSES];                  /* or NULL. Protected by iommu_lock */
static bool id_used[DOMAINS_MAX];                  /* likewise */
static struct list domains = {&domains, &domains}; /* likewise */

bool iommu_is_present(void) { return unit_count != 0; }

/* --- Registers ---------------------------------------------------------------------------------------------------- */

static uint32_t read32(unsigned unit, uint64_t offset) { return units[unit][offset / 4]; }
static void write32(unsigned unit, uint64_t offset, uint32_t value) { units[unit][offset / 4] = value; }
static uint64_t read64(unsigned unit, uint64_t offset) {
    return *(volatile uint64_t *)((volatile char *)units[unit] + offset);
}
static void write64(unsigned unit, uint64_t offset, uint64_t value) {
    *(volatile uint64_t *)((volatile char *)units[unit] + offset) = value;
}

/* Without its answer nobody could say what devices reach. */
static _Noreturn void broken(unsigned unit) { panic("IOMMU %u does not answer", unit); }

static void wait32(unsigned unit, uint64_t offset, uint32_t mask, uint32_t wanted) {
    for (unsigned i = 0; (read32(unit, offset) & mask) != wanted; i++) {
        if (i == PATIENCE)
            broken(unit);
        cpu_relax();
    }
}

static void wait_clear64(unsigned unit, uint64_t offset, uint64_t bit) {
    for (unsigned i = 0; read64(unit, offset) & bit; i++) {
        if (i == PATIENCE)
            broken(unit);
        cpu_relax();
    }
}

static void command(unsigned unit, uint32_t bits, uint32_t done) {
    write32(unit, COMMAND, (read32(unit, STATUS) & ALL_ENABLES) | bits);
    wait32(unit, STATUS, done, done);
}

/* iommu_lock held, or start-up; as all below. */
static void forget_contexts(void) {
    for (unsigned unit = 0; unit < unit_count; unit++) {
        write64(unit, CONTEXT_COMMAND, CONTEXT_INVALIDATE | CONTEXT_GLOBAL);
        wait_clear64(unit, CONTEXT_COMMAND, CONTEXT_INVALIDATE);
    }
}

/* Of one domain, or of all (id 0). */
static void forget_translations(uint32_t id) {
    for (unsigned unit = 0; unit < unit_count; unit++) {
        const uint64_t at = EXTENDED_IOTLB_AT(read64(unit, EXTENDED));
        write64(unit, at,
                IOTLB_INVALIDATE | (id == 0 ? IOTLB_GLOBAL : IOTLB_DOMAIN) | IOTLB_DRAIN | (uint64_t)id << 32);
        wait_clear64(unit, at, IOTLB_INVALIDATE);
    }
}

/* --- Tables ------------------------------------------------------------------------------------------------------- */

static uint64_t *new_table(void) { return global_alloc_pages(1); }
static paddr_t table_address(const uint64_t *table) { return frame_address(pte_frame(*window_pte((vaddr_t)table))); }

static void set_entry(uint64_t *entry, uint64_t value) {
    *(volatile uint64_t *)entry = value;
    if (!coherent)
        cache_write_back(entry);
}

/* What was written is visible to the units. iommu_lock held. */
static void settle(uint32_t id) {
    for (unsigned unit = 0; needs_flush && unit < unit_count; unit++) {
        write32(unit, COMMAND, (read32(unit, STATUS) & ALL_ENABLES) | COMMAND_FLUSH);
        wait32(unit, STATUS, COMMAND_FLUSH, 0);
    }
    if (caches_absent) {
        forget_contexts();
        forget_translations(id);
    }
}

/* --- Domains ------------------------------------------------------------------------------------------------------ */

/* The two words of a function's context, or NULL where memory is short. iommu_lock held. */
static uint64_t *context_of(uint32_t function) {
    const uint32_t bus = function >> 8;
    if (contexts[bus] == NULL) {
        contexts[bus] = new_table();
        if (contexts[bus] == NULL)
            return NULL;
        set_entry(&root[2 * bus], table_address(contexts[bus]) | CONTEXT_PRESENT);
    }
    return &contexts[bus][2 * (function & 0xff)];
}

static enum status claim_id(uint32_t *id) {
    for (*id = 1; *id < domain_ids; ++*id) {
        if (!id_used[*id]) {
            id_used[*id] = true;
            return OK;
        }
    }
    return ERR_NO_SPACE;
}

static void free_tables(struct iommu_domain *domain) {
    uint64_t *const upper[] = {domain->top[0], domain->top[1], domain->directory};
    for (unsigned i = 0; i < 3; i++)
        if (upper[i] != NULL)
            global_free_pages(upper[i], 1);
    for (unsigned i = 0; i < LEAVES; i++)
        if (domain->leaf[i] != NULL)
            global_free_pages(domain->leaf[i], 1);
    global_free(domain, sizeof *domain);
}

static bool make_upper_tables(struct iommu_domain *domain) {
    const unsigned tops = three_levels ? 1 : 2;
    domain->directory = new_table();
    for (unsigned i = 0; i < tops; i++)
        domain->top[i] = new_table();
    if (domain->directory == NULL || domain->top[0] == NULL || domain->top[tops - 1] == NULL)
        return false;
    if (tops == 2)
        set_entry(domain->top[0], table_address(domain->top[1]) | ENTRY_READ | ENTRY_WRITE);
    set_entry(domain->top[tops - 1], table_address(domain->directory) | ENTRY_READ | ENTRY_WRITE);
    return true;
}

/* Leads the function to its tables. */
static enum status link_domain(struct iommu_domain *domain) {
    spin_lock(&iommu_lock);
    uint64_t *context = context_of(domain->function);
    enum status status = context == NULL ? ERR_NO_MEMORY : claim_id(&domain->id);
    if (status == OK) {
        set_entry(&context[1], (three_levels ? WIDTH_3_LEVELS : WIDTH_4_LEVELS) | (uint64_t)domain->id << 8);
        set_entry(&context[0], table_address(domain->top[0]) | CONTEXT_PRESENT);
        list_push_back(&domains, &domain->link);
        settle(domain->id);
    }
    spin_unlock(&iommu_lock);
    return status;
}

enum status iommu_domain_create(uint32_t function, struct iommu_domain **out) {
    struct iommu_domain *domain = global_alloc(sizeof *domain);
    if (domain == NULL)
        return ERR_NO_MEMORY;
    domain->function = function;
    enum status status = make_upper_tables(domain) ? link_domain(domain) : ERR_NO_MEMORY;
    if (status != OK)
        free_tables(domain);
    else
        *out = domain;
    return status;
}

void iommu_domain_destroy(struct iommu_domain *domain) {
    spin_lock(&iommu_lock);
    uint64_t *context = &contexts[domain->function >> 8][2 * (domain->function & 0xff)]; /* made with the domain */
    set_entry(&context[0], 0);
    set_entry(&context[1], 0);
    forget_contexts();
    forget_translations(domain->id);
    list_remove(&domain->link);
    id_used[domain->id] = false;
    spin_unlock(&iommu_lock);
    free_tables(domain);
}

enum status iommu_map(struct iommu_domain *domain, uint64_t address, frame_t frame, bool read, bool write) {
    uint64_t **leaf = &domain->leaf[address / PAGE_TABLE_SPAN];
    if (*leaf == NULL) {
        *leaf = new_table();
        if (*leaf == NULL)
            return ERR_NO_MEMORY;
        set_entry(&domain->directory[table_index(address, 2)], table_address(*leaf) | ENTRY_READ | ENTRY_WRITE);
    }
    set_entry(&(*leaf)[table_index(address, 1)],
              frame_address(frame) | (read ? ENTRY_READ : 0) | (write ? ENTRY_WRITE : 0));
    if (needs_flush || caches_absent) {
        spin_lock(&iommu_lock);
        settle(domain->id);
        spin_unlock(&iommu_lock);
    }
    return OK;
}

void iommu_unmap(struct iommu_domain *domain, uint64_t address, unsigned pages) {
    for (; pages > 0; pages--, address += PAGE_SIZE) {
        uint64_t *leaf = domain->leaf[address / PAGE_TABLE_SPAN];
        if (leaf != NULL)
            set_entry(&leaf[table_index(address, 1)], 0);
    }
    spin_lock(&iommu_lock);
    forget_translations(domain->id);
    spin_unlock(&iommu_lock);
}

/* --- Faults ------------------------------------------------------------------------------------------------------- */

static void note_fault(uint32_t function, uint64_t address) {
    list_for_each(link, &domains) {
        struct iommu_domain *domain = container_of(link, struct iommu_domain, link);
        if (domain->function != function)
            continue;
        if (domain->faults++ == 0)
            kprintf("IOMMU: device %02x:%02x.%u tried to reach %#lx, which is not granted\n", function >> 8,
                    function >> 3 & 31, function & 7, (unsigned long)address);
        return;
    }
}

/* Takes over what the units have recorded. iommu_lock held. */
static void collect_faults(void) {
    for (unsigned unit = 0; unit < unit_count; unit++) {
        const uint64_t caps = read64(unit, CAPABILITIES);
        for (uint64_t i = 0; i < CAPABILITY_FAULTS(caps); i++) {
            const uint64_t at = CAPABILITY_FAULTS_AT(caps) + 16 * i, source = read64(unit, at + 8);
            if (!(source & FAULT_PRESENT))
                continue;
            note_fault(source & 0xffff, read64(unit, at) & ~(PAGE_SIZE - 1));
            write64(unit, at + 8, FAULT_PRESENT);
        }
        write32(unit, FAULT_STATUS, FAULT_OVERFLOW);
    }
}

uint64_t iommu_faults(struct iommu_domain *domain) {
    spin_lock(&iommu_lock);
    collect_faults();
    const uint64_t faults = domain->faults;
    spin_unlock(&iommu_lock);
    return faults;
}

/* --- Start-up ----------------------------------------------------------------------------------------------------- */

/* What all units can do. */
static void learn(unsigned unit) {
    const uint64_t caps = read64(unit, CAPABILITIES), extended = read64(unit, EXTENDED);
    three_levels = CAPABILITY_3_LEVELS(caps) && (unit == 0 || three_levels);
    coherent = EXTENDED_COHERENT(extended) && (unit == 0 || coherent);
    caches_absent = caches_absent || CAPABILITY_CACHES(caps);
    needs_flush = needs_flush || CAPABILITY_FLUSH(caps);
    if (CAPABILITY_DOMAINS(caps) < domain_ids)
        domain_ids = CAPABILITY_DOMAINS(caps);
}

/* Whatever firmware had the unit do ends here. */
static void take_over(unsigned unit) {
    write32(unit, COMMAND, 0);
    wait32(unit, STATUS, ALL_ENABLES, 0);
    write64(unit, ROOT_TABLE, table_address(root));
    command(unit, COMMAND_SET_ROOT, COMMAND_SET_ROOT);
}

void iommu_init(const struct acpi_machine *machine) {
    domain_ids = DOMAINS_MAX;
    for (unsigned unit = 0; unit < machine->iommu_count; unit++) {
        units[unit] = device_map(machine->iommus[unit], PAGE_SIZE);
        region_reserve(machine->iommus[unit], PAGE_SIZE);
        learn(unit);
    }
    unit_count = machine->iommu_count;
    if (unit_count == 0)
        return;
    root = new_table();
    if (root == NULL)
        panic("no memory for the IOMMU's table");
    for (unsigned unit = 0; unit < unit_count; unit++)
        take_over(unit);
    forget_contexts();
    forget_translations(0);
    for (unsigned unit = 0; unit < unit_count; unit++)
        command(unit, COMMAND_TRANSLATE, COMMAND_TRANSLATE);
    kprintf("IOMMU: %u unit%s; devices reach what is granted to them\n", unit_count, unit_count == 1 ? "" : "s");
}
