/*
 * Memory at start-up. Owns: the early allocator, and the tables that all roots share.
 *
 * Invariants: W^X (text is mapped executable and read-only, its PHYSMAP alias read-only, everything else not
 * executable),
 * REACH (`.secret` is in PHYSMAP only). The one place that decides the global bit is pte_kernel_data() and
 * image_entry(). Boot CPU, interrupts off, early space until the end of mm_init(); no locks.
 */
#include "mm/boot.h"

#include "arch/cpu_stacks.h"
#include "arch/features.h"
#include "arch/patch.h"
#include "arch/smp.h"
#include "arch/transition.h"
#include "asi/trace.h"
#include "boot/boot_info.h"
#include "drivers/console.h"
#include "kernel/panic.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/device.h"
#include "mm/ephmap.h"
#include "mm/heap_boot.h"
#include "mm/local.h"
#include "mm/object.h"
#include "mm/roots.h"

#define LOW_MEMORY_END 0x100000UL                /* firmware's and real mode's: left alone */
#define EARLY_END      (4 * PAGE_DIRECTORY_SPAN) /* what the early space maps */
#define SCRUB_AT_BOOT  (1UL << 32)               /* bytes cleared before the first process; the rest when idle */

extern char image_start[], image_end[], init_start[], init_end[], text_start[], text_end[], rodata_start[],
    rodata_end[];
extern char entry_text_start[], entry_text_end[], entry_data_start[], entry_data_end[], secret_start[], secret_end[];
extern char data_start[], data_end[], boot_start[];

static const struct boot_info *boot;
static paddr_t early_next; /* everything usable below it is taken */
static paddr_t ram_end;

static paddr_t image_physical(const char *address) { return (vaddr_t)address - IMAGE_BASE; }

/* --- Early frames: taken in order, before there is a frame table -------------------------------------------------- */

static bool is_taken(paddr_t address) {
    bool in_image = address >= (paddr_t)boot_start && address < page_ceil(image_physical(image_end));
    bool in_module = address >= page_floor(boot->module_base) && address < boot->module_base + boot->module_size;
    return address < LOW_MEMORY_END || in_image || in_module;
}

static bool is_usable(paddr_t address) {
    bool usable = false;
    for (uint32_t i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        bool overlaps = address < range->base + range->length && range->base < address + PAGE_SIZE;
        bool inside = address >= range->base && address + PAGE_SIZE <= range->base + range->length;
        if (overlaps && !range->usable)
            return false;
        usable = usable || (inside && range->usable);
    }
    return usable;
}

static frame_t early_frame(void) {
    for (; early_next < EARLY_END && early_next < ram_end; early_next += PAGE_SIZE) {
        if (is_usable(early_next) && !is_taken(early_next)) {
            frame_t frame = frame_of(early_next);
            early_next += PAGE_SIZE;
            memset(physmap(frame), 0, PAGE_SIZE);
            return frame;
        }
    }
    panic("too little memory for the kernel's tables");
}

static pte_t *early_table(frame_t table) { return physmap(table); }

static frame_t early_next_level(frame_t table, unsigned index) {
    pte_t *entry = &early_table(table)[index];
    if (!pte_present(*entry))
        *entry = pte_table(early_frame(), false);
    return pte_frame(*entry);
}

/* Maps one page below a PDPT. */
static void early_map(frame_t pdpt, vaddr_t address, pte_t leaf) {
    frame_t directory = early_next_level(pdpt, table_index(address, 3));
    frame_t table = early_next_level(directory, table_index(address, 2));
    early_table(table)[table_index(address, 1)] = leaf;
}

/* --- IMAGE -------------------------------------------------------------------------------------------------------- */

static pte_t image_entry(paddr_t address, bool write, bool execute, bool global) {
    return address | PTE_PRESENT | PTE_ACCESSED | (write ? PTE_WRITE | PTE_DIRTY : 0) | (execute ? 0 : PTE_NO_EXECUTE) |
           (global ? PTE_GLOBAL : 0);
}

static void map_section(frame_t pdpt, const char *start, const char *end, bool write, bool execute, bool global) {
    for (vaddr_t address = (vaddr_t)start; address < (vaddr_t)end; address += PAGE_SIZE)
        early_map(pdpt, address, image_entry(address - IMAGE_BASE, write, execute, global));
}

static void build_image(void) {
    shared_tables.image_pdpt = early_frame();
    map_section(shared_tables.image_pdpt, init_start, init_end, true, false,
                true); /* holds the boot CPU's idle stack */
    map_section(shared_tables.image_pdpt, text_start, text_end, false, true, true);
    map_section(shared_tables.image_pdpt, rodata_start, rodata_end, false, false, true);
    map_section(shared_tables.image_pdpt, entry_data_start, entry_data_end, true, false, true);
    map_section(shared_tables.image_pdpt, data_start, data_end, true, false, true);

    shared_tables.split_image_pdpt = early_frame();
    map_section(shared_tables.split_image_pdpt, entry_text_start, entry_text_end, false, true, false);
    map_section(shared_tables.split_image_pdpt, entry_data_start, entry_data_end, true, false, false);
}

/* --- PHYSMAP: 2 MiB pages, but 4 KiB ones where the image is, where text and constants are read-only, too ---- */

static bool is_constant(paddr_t address) {
    return address >= image_physical(text_start) && address < image_physical(rodata_end);
}

static void physmap_image_part(frame_t pdpt, paddr_t base) {
    for (paddr_t address = base; address < base + PAGE_TABLE_SPAN; address += PAGE_SIZE)
        early_map(pdpt, PHYSMAP_BASE + address, image_entry(address, !is_constant(address), false, false));
}

static void build_physmap(void) {
    paddr_t end = (ram_end + PAGE_TABLE_SPAN - 1) & ~(PAGE_TABLE_SPAN - 1);
    shared_tables.physmap_slots = (unsigned)((end + PDPT_SPAN - 1) / PDPT_SPAN);
    if (shared_tables.physmap_slots > SLOT_IMAGE - SLOT_PHYSMAP)
        panic("more memory than PHYSMAP has room for");
    for (unsigned slot = 0; slot < shared_tables.physmap_slots; slot++)
        shared_tables.physmap_pdpt[slot] = early_frame();
    for (paddr_t address = 0; address < end; address += PAGE_TABLE_SPAN) {
        frame_t pdpt = shared_tables.physmap_pdpt[address / PDPT_SPAN];
        vaddr_t target = PHYSMAP_BASE + address;
        bool has_image = address < image_physical(image_end) && address + PAGE_TABLE_SPAN > (paddr_t)boot_start;
        if (has_image) {
            physmap_image_part(pdpt, address);
            continue;
        }
        frame_t directory = early_next_level(pdpt, table_index(target, 3));
        early_table(directory)[table_index(target, 2)] = image_entry(address, true, false, false) | PTE_LARGE;
    }
}

/* --- GLOBAL: the frame table, and empty page tables for the heap -------------------------------------------------- */

static void build_tables_for(vaddr_t start, vaddr_t end) {
    for (vaddr_t address = start; address < end; address += PAGE_TABLE_SPAN)
        early_next_level(early_next_level(shared_tables.global_pdpt, table_index(address, 3)), table_index(address, 2));
}

static void build_global(void) {
    uint64_t bytes = ram_end / PAGE_SIZE * sizeof(struct frame);
    shared_tables.global_pdpt = early_frame();
    for (vaddr_t address = FRAME_TABLE_BASE; address < FRAME_TABLE_BASE + bytes; address += PAGE_SIZE)
        early_map(shared_tables.global_pdpt, address, pte_kernel_data(early_frame(), true));
    build_tables_for(GLOBAL_HEAP_BASE, GLOBAL_HEAP_BASE + ram_end);
    build_tables_for(HEAP_RUN_BASE, HEAP_RUN_BASE + HEAP_RUN_PAGES * PAGE_SIZE);
    build_tables_for(DEVICE_BASE, DEVICE_BASE + 16 * PAGE_TABLE_SPAN);
}

/* --- Stacks that belong to a CPU ---------------------------------------------------------------------------------- */

static void build_empty_windows(void) {
    shared_tables.window_gibs = (unsigned)((ram_end + PAGE_DIRECTORY_SPAN - 1) / PAGE_DIRECTORY_SPAN);
    shared_tables.empty_window_pt = early_frame();
    shared_tables.empty_window_pd = early_frame();
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        early_table(shared_tables.empty_window_pd)[i] = pte_empty_table(shared_tables.empty_window_pt);
}

/* The early entry of a CPU stack's page; tables are made where there are none. */
static pte_t *cpu_stack_entry(enum space space, vaddr_t address) {
    frame_t table = early_next_level(shared_tables.cpu_stacks_pd[space], table_index(address, 2));
    return &early_table(table)[table_index(address, 1)];
}

static void build_cpu_stack(enum space space, unsigned cpu, enum cpu_stack stack) {
    const vaddr_t top = CPU_STACK_TOP(cpu, stack);
    frame_t frame = FRAME_NONE;
    for (vaddr_t address = top - CPU_STACK_SIZE; address < top; address += PAGE_SIZE) {
        frame = early_frame();
        *cpu_stack_entry(space, address) = pte_kernel_data(frame, false);
    }
    ((struct cpu **)physmap(frame))[PAGE_SIZE / sizeof(struct cpu *) - 1] = &cpus[cpu];
}

static void build_cpu_stacks(void) {
    shared_tables.split_stack_pdpt = early_frame();
    for (enum space space = SPACE_RESTRICTED; space <= SPACE_UNRESTRICTED; space++) {
        shared_tables.cpu_stacks_pd[space] = early_frame();
        for (unsigned cpu = 0; cpu < cpus_found; cpu++)
            for (unsigned stack = 0; stack < CPU_STACKS; stack++)
                build_cpu_stack(space, cpu, (enum cpu_stack)stack);
    }
    early_table(shared_tables.split_stack_pdpt)[table_index(CPU_STACK_BASE, 3)] =
        pte_table(shared_tables.cpu_stacks_pd[SPACE_UNRESTRICTED], false);
}

/* --- The frame table ---------------------------------------------------------------------------------------------- */

static void claim(paddr_t start, paddr_t end, enum frame_class class) {
    for (paddr_t address = start; address < end; address += PAGE_SIZE)
        frame_claim_at_boot(frame_of(address), class);
}

/* Early frames are tables, the frame table and restricted CPU stacks: GLOBAL. */
static void claim_early_frames(void) {
    for (paddr_t address = LOW_MEMORY_END; address < early_next; address += PAGE_SIZE)
        if (is_usable(address) && !is_taken(address))
            frame_claim_at_boot(frame_of(address), FRAME_GLOBAL);
    for (unsigned cpu = 0; cpu < cpus_found; cpu++)
        for (unsigned stack = 0; stack < CPU_STACKS; stack++)
            for (unsigned page = 1; page <= CPU_STACK_PAGES; page++) {
                const vaddr_t address = CPU_STACK_TOP(cpu, stack) - page * PAGE_SIZE;
                frame_claim_at_boot(pte_frame(*cpu_stack_entry(SPACE_UNRESTRICTED, address)), FRAME_SECRET);
            }
}

static void claim_image(void) {
    claim((paddr_t)boot_start, image_physical(init_start), FRAME_RESERVED);
    claim(image_physical(init_start), page_ceil(image_physical(image_end)), FRAME_GLOBAL);
    claim(image_physical(secret_start), image_physical(secret_end), FRAME_SECRET);
    claim(page_floor(boot->module_base), boot->module_base + boot->module_size, FRAME_SECRET);
}

/* What is left is free, from the top down, so that low frames are handed out first. Nobody knows what is in it. */
static void free_the_rest(void) {
    uint64_t scrubbed = 0;
    for (paddr_t address = page_floor(ram_end - 1); address >= early_next; address -= PAGE_SIZE) {
        if (!is_usable(address) || is_taken(address))
            continue;
        frame_t frame = frame_of(address);
        frame_claim_at_boot(frame, FRAME_SECRET);
        if (scrubbed < SCRUB_AT_BOOT) {
            memset(physmap(frame), 0, PAGE_SIZE);
            frame_free_clean(frame);
            scrubbed += PAGE_SIZE;
        } else {
            frame_free_dirty(frame);
        }
    }
}

static void find_ram_end(void) {
    for (uint32_t i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        if (range->usable && range->base + range->length > ram_end)
            ram_end = page_floor(range->base + range->length);
    }
    if (ram_end / PAGE_SIZE >= UINT32_MAX || ram_end > EPHMAP_WINDOW_FRAMES * PAGE_SIZE)
        ram_end = EPHMAP_WINDOW_FRAMES * PAGE_SIZE;
}

static void *text_alias(void *address) { return physmap_address((vaddr_t)address - IMAGE_BASE); }

void mm_init(const struct boot_info *info) {
    boot = info;
    early_next = LOW_MEMORY_END;
    find_ram_end();
    smap_patch(text_alias); /* the early space maps text writable */
    trace_patch(text_alias);
    build_image();
    build_physmap();
    build_global();
    build_cpu_stacks();
    build_empty_windows();

    /*
     * A first root, by hand: enough to reach the frame table and the heap, from which the kernel process gets its
     * own.
     */
    frame_t root = early_frame();
    early_table(root)[SLOT_IMAGE] = pte_table(shared_tables.image_pdpt, false);
    early_table(root)[SLOT_GLOBAL] = pte_table(shared_tables.global_pdpt, false);
    for (unsigned slot = 0; slot < shared_tables.physmap_slots; slot++)
        early_table(root)[SLOT_PHYSMAP + slot] = pte_table(shared_tables.physmap_pdpt[slot], false);
    console_map_video(NULL);
    transition_load(frame_address(root));

    frames_init((uint32_t)(ram_end / PAGE_SIZE));
    claim_early_frames();
    claim_image();
    free_the_rest();
    global_heap_init();
    if (roots_create(&kernel_process.roots, 0) != OK || local_create_for(&kernel_process) != OK)
        panic("too little memory for the kernel process");
    transition_load(frame_address(kernel_process.roots.unrestricted));
    frame_claim_at_boot(root, FRAME_GLOBAL);
    frame_free_dirty(root);
    this_cpu->loaded = &kernel_process;
}

void mm_release_module(const struct boot_info *info) {
    for (paddr_t address = page_floor(info->module_base); address < info->module_base + info->module_size;
         address += PAGE_SIZE)
        if (address >= LOW_MEMORY_END && address < ram_end)
            frame_free_dirty(frame_of(address));
}

static bool module_is_whole(const struct boot_info *info) {
    return page_offset(info->module_base) == 0 && info->module_base >= LOW_MEMORY_END &&
           info->module_base + info->module_size <= ram_end;
}

enum status mm_keep_module(const struct boot_info *info, struct memory_object **out) {
    const frame_t first = frame_of(info->module_base);
    uint8_t *content = physmap(first);
    enum status status = object_create(out);
    if (status != OK)
        return status;
    if (module_is_whole(info)) {
        memset(content + info->module_size, 0, page_ceil(info->module_size) - info->module_size);
        status = object_take_frames(*out, first, info->module_size);
    } else {
        status = object_write_kernel(*out, 0, content + page_offset(info->module_base), info->module_size);
        mm_release_module(info);
    }
    return status;
}

void *device_map(paddr_t address, uint64_t bytes) {
    static vaddr_t next = DEVICE_BASE;
    vaddr_t base = next;
    uint64_t pages = bytes_to_pages(page_offset(address) + bytes);
    if (base + pages * PAGE_SIZE > DEVICE_BASE + 16 * PAGE_TABLE_SPAN)
        panic("no room to map device memory at %#lx", (unsigned long)address);
    for (uint64_t page = 0; page < pages; page++) {
        paddr_t at = page_floor(address) + page * PAGE_SIZE;
        *window_pte(base + page * PAGE_SIZE) = image_entry(at, true, false, true) | PTE_UNCACHED;
    }
    next = base + pages * PAGE_SIZE;
    return (void *)(base + page_offset(address));
}
