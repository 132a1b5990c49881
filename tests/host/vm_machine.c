/*
 * The machine of the host tests: stands in for arch/, the frame allocator, the heaps, the loaded tables and EPHMAP.
 */
#include "tests/host/vm_machine.h"

#include <asm/prctl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/uaccess.h"
#include "asi/asi.h"
#include "kernel/limits.h"
#include "kernel/sysv_shm.h"
#include "mm/ephmap.h"
#include "mm/gather.h"
#include "mm/pager_state.h"

enum { FRAMES = 8192, TABLES = 64, TRANSLATIONS = 4096, PROCESSES = 16 };

/* A process's page tables: a list is enough. */
struct tables {
    vaddr_t base[TABLES];
    frame_t frame[TABLES];
    unsigned count;
};

static struct {
    struct process process;
    struct user_space space;
    struct tables tables, *loaded; /* a vfork child has the parent's loaded */
    struct thread thread;
    struct local local; /* while it does not run */
} slots[PROCESSES];

static struct cpu cpu;
static uint32_t next_id;
static bool frame_free[FRAMES];
static unsigned fail_after;
static long heap_bytes;
static struct {
    vaddr_t page; /* 0: none */
    pte_t entry;
} tlb[TRANSLATIONS];

bool ephmap_enabled;
unsigned cpu_count = 1, cpus_found = 1;
bool tags_in_use;

uint64_t limit_current(enum resource resource) { return resource == RLIMIT_STACK ? VM_STACK_LIMIT : RLIM_INFINITY; }

static unsigned running(void) { return (unsigned)((uint64_t)process_current()->id >> 16); }

static void tlb_clear(void) { memset(tlb, 0, sizeof(tlb)); }

_Noreturn void panic(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

/* --- Memory
 * ------------------------------------------------------------------------------------------------------------- */

static bool fails(void) { return fail_after && --fail_after == 0; }

void machine_fail_after(unsigned allocations) { fail_after = allocations; }

/* No device here: areas of regions do not occur. */
paddr_t region_address(const struct region *region) { return (paddr_t)(uintptr_t)region; }
uint64_t region_bytes(const struct region *region) { return (uint64_t)(uintptr_t)region; }
void region_ref(struct region *region) { (void)region; }
void region_unref(struct region *region) { (void)region; }

/* Nor segments of shared memory. */
void segment_attached(struct memory_object *object) { (void)object; }
void segment_detached(struct memory_object *object) { (void)object; }

/* Memory is short when a test says so, not by counting. */
void frame_count(struct frame_counts *out) { *out = (struct frame_counts){.total = FRAMES}; }
uint64_t frame_free_count(void) { return FRAMES; }

enum status frame_alloc(enum frame_class class, uint32_t owner, frame_t *out) {
    if (fails())
        return ERR_NO_MEMORY;
    for (uint32_t number = 1; number < FRAMES; number++) {
        if (!frame_free[number])
            continue;
        frame_free[number] = false;
        *out = (frame_t){number};
        *frame_info(*out) = (struct frame){.class = (uint8_t) class, .refs = 1, .owner = owner};
        return OK;
    }
    return ERR_NO_MEMORY;
}

void frame_free_clean(frame_t frame) {
    const uint64_t *word = physmap(frame);

    CHECK(!frame_free[frame.number] && frame_info(frame)->refs <= 1);
    for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
        CHECK(word[i] == 0); /* CLEAN */
    for (unsigned i = 0; i < TRANSLATIONS; i++)
        CHECK(!tlb[i].page || !frame_equal(pte_frame(tlb[i].entry), frame)); /* REVOKE */
    frame_free[frame.number] = true;
    frame_info(frame)->object = NULL;
}

void frame_free_dirty(frame_t frame) {
    memset(physmap(frame), 0, PAGE_SIZE);
    frame_free_clean(frame);
}

void frame_ref(frame_t frame) { frame_info(frame)->refs++; }

bool frame_unref(frame_t frame) {
    CHECK(frame_info(frame)->refs > 0 && !frame_free[frame.number]);
    return --frame_info(frame)->refs == 0;
}

static void *heap_alloc(size_t bytes) {
    void *memory = fails() ? NULL : calloc(1, bytes);

    if (memory)
        heap_bytes += (long)bytes;
    return memory;
}

static void heap_free(void *memory, size_t bytes) {
    heap_bytes -= (long)bytes;
    free(memory);
}

void *global_alloc(size_t bytes) { return heap_alloc(bytes); }
void global_free(void *memory, size_t bytes) { heap_free(memory, bytes); }
void *global_alloc_pages(size_t pages) { return heap_alloc(pages * PAGE_SIZE); }
void global_free_pages(void *memory, size_t pages) { heap_free(memory, pages * PAGE_SIZE); }

/* --- Page tables
 * -------------------------------------------------------------------------------------------------------- */

static pte_t *find_entry(const struct tables *tables, vaddr_t address) {
    for (unsigned i = 0; i < tables->count; i++)
        if (tables->base[i] == (address & ~(PAGE_TABLE_SPAN - 1)))
            return (pte_t *)physmap(tables->frame[i]) + table_index(address, 1);
    return NULL;
}

static enum status make_entry(struct tables *tables, vaddr_t address, pte_t **out) {
    enum status status;

    *out = find_entry(tables, address);
    if (*out)
        return OK;
    if (tables->count == TABLES)
        return ERR_NO_MEMORY;
    status = frame_alloc(FRAME_LOCAL, 1, &tables->frame[tables->count]);
    if (status != OK)
        return status;
    tables->base[tables->count++] = address & ~(PAGE_TABLE_SPAN - 1);
    *out = find_entry(tables, address);
    return OK;
}

pte_t *user_pte(vaddr_t address) { return find_entry(slots[running()].loaded, address); }

enum status user_pte_create(vaddr_t address, pte_t **out) { return make_entry(slots[running()].loaded, address, out); }

vaddr_t user_next_table(vaddr_t address, vaddr_t end) {
    const struct tables *tables = slots[running()].loaded;
    vaddr_t next = end;

    for (unsigned i = 0; i < tables->count; i++)
        if (tables->base[i] + PAGE_TABLE_SPAN > address && tables->base[i] < next)
            next = tables->base[i] > address ? tables->base[i] : address;
    return next < end ? next : end;
}

void user_free_tables(struct gather *gather, vaddr_t start, vaddr_t end) {
    struct tables *tables = slots[running()].loaded;

    for (unsigned i = 0; i < tables->count;) {
        if (tables->base[i] < start || tables->base[i] + PAGE_TABLE_SPAN > end) {
            i++;
            continue;
        }
        gather_clean_frame(gather, tables->frame[i]);
        tables->count--;
        tables->base[i] = tables->base[tables->count];
        tables->frame[i] = tables->frame[tables->count];
    }
}

void builder_begin(struct table_builder *builder, struct process *child) { builder->process = child; }
void builder_end(struct table_builder *builder) { builder->process = NULL; }
/* vm_fork_undo() walks real tables: what the builder makes hangs below the child's root, too, until the child runs. */
static enum status hang_table(frame_t root, vaddr_t base, frame_t leaf) {
    pte_t *table = physmap(root);

    for (unsigned level = 4; level > 2; level--) {
        pte_t *entry = &table[table_index(base, level)];
        frame_t frame;

        if (!*entry && frame_alloc(FRAME_LOCAL, 1, &frame) != OK)
            return ERR_NO_MEMORY;
        if (!*entry)
            *entry = pte_table(frame, true);
        table = physmap(pte_frame(*entry));
    }
    table[table_index(base, 2)] = pte_table(leaf, true);
    return OK;
}

static void take_off_tables(frame_t upper, unsigned level) {
    pte_t *table = physmap(upper);

    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        if (table[i] && level > 2) {
            take_off_tables(pte_frame(table[i]), level - 1);
            frame_free_clean(pte_frame(table[i]));
        }
        table[i] = 0;
    }
}

enum status builder_pte(struct table_builder *builder, vaddr_t address, pte_t **out) {
    struct tables *tables = slots[builder->process->id >> 16].loaded;
    unsigned before = tables->count;
    enum status status = make_entry(tables, address, out);

    if (status != OK || tables->count == before)
        return status;
    status = hang_table(builder->process->roots.restricted, tables->base[before], tables->frame[before]);
    if (status != OK)
        frame_free_clean(tables->frame[--tables->count]);
    return status;
}

/* --- TLB, views, locks
 * -------------------------------------------------------------------------------------------------- */

void tlb_forget(vaddr_t address) {
    for (unsigned i = 0; i < TRANSLATIONS; i++)
        if (tlb[i].page == page_floor(address))
            tlb[i].page = 0;
}

void tlb_flush_all(void) { tlb_clear(); }
void tlb_flush(struct process *process, const vaddr_t *pages, unsigned count) {
    CHECK(process == process_current() || process == this_cpu->loaded);
    if (count > TLB_PAGES_MAX)
        tlb_clear();
    else
        for (unsigned i = 0; i < count; i++)
            tlb_forget(pages[i]);
}

/* No translation may allow more than the tables do. */
static void check_translations(void) {
    for (unsigned i = 0; i < TRANSLATIONS; i++) {
        const pte_t *entry = tlb[i].page ? user_pte(tlb[i].page) : NULL;

        if (!tlb[i].page)
            continue;
        CHECK(entry && pte_present(*entry) && frame_equal(pte_frame(*entry), pte_frame(tlb[i].entry)));
        CHECK(!(tlb[i].entry & PTE_WRITE) || *entry & PTE_WRITE);
    }
}

void *ephmap_scratch(frame_t frame) { return physmap(frame); }
void ephmap_scratch_put(void *view) { (void)view; }
void ephmap_flush_pending(void) {}
void ephmap_flush_with(vaddr_t page) { tlb_forget(page); }
void ephmap_flush_windows(struct memory_object *object, const vaddr_t *pages, unsigned count) {
    (void)object, (void)pages, (void)count;
}
void ephmap_overflow_put(void) {}
void *ephmap_map_window(frame_t frame, struct memory_object *object) { return (void)object, physmap(frame); }
void ephmap_scrub(frame_t frame) { memset(physmap(frame), 0, PAGE_SIZE); }
void ephmap_copy_frame(frame_t to, frame_t from) { memcpy(physmap(to), physmap(from), PAGE_SIZE); }
void ephmap_close(struct memory_object *object) { (void)object; }
bool ephmap_has_open(struct process *process, struct memory_object *object) { return process && object; }
void ephmap_revoke_frame(struct memory_object *object, frame_t frame) { CHECK(frame_info(frame)->object == object); }
/* The one process there is has forgotten cut pages by itself: mm/vm_everywhere.c finds nobody else. */
struct list all_processes = {&all_processes, &all_processes};
void stop_others(void) {}
void resume_others(void (*on_each)(void)) { (void)on_each; }
void ephmap_scrub_and_free(frame_t frame) {
    ephmap_scrub(frame);
    frame_free_clean(frame);
}
void asi_exit(enum asi_cause cause) { (void)cause; }

void spin_init(struct spinlock *lock, enum lock_rank rank) { *lock = (struct spinlock){.rank = rank}; }
void spin_lock(struct spinlock *lock) {
    CHECK(!lock->locked);
    lock->locked = 1;
}
void spin_lock_exclusive(struct spinlock *lock, const uint32_t *sharers) {
    CHECK(*sharers == 0);
    spin_lock(lock);
}
void spin_lock_shared(struct spinlock *lock, uint32_t *sharers) {
    CHECK(!lock->locked);
    ++*sharers;
}
void spin_unlock_shared(struct spinlock *lock, uint32_t *sharers) {
    CHECK(!lock->locked && *sharers > 0);
    --*sharers;
}
void spin_unlock(struct spinlock *lock) { lock->locked = 0; }
void mutex_lock(struct mutex *mutex) {
    CHECK(!mutex->owner);
    mutex->owner = thread_current();
}
void mutex_unlock(struct mutex *mutex) { mutex->owner = NULL; }

/* --- Pagers: no object here has one ------------------------------------------------------------------------------- */

bool pager_make_room(struct memory_object *preferred) { return (void)preferred, false; }
enum status pager_page_in(struct memory_object *object, uint64_t page, uint64_t asked, bool visible) {
    panic("page %lu of %p is asked for (%lu, %d)", page, (void *)object, asked, visible);
}
enum status pager_throttle(struct memory_object *object) { panic("throttled for %p", (void *)object); }
enum status object_sync_range(struct memory_object *object, uint64_t first, uint64_t count) {
    panic("pages %lu + %lu of %p are stored", first, count, (void *)object);
}
bool pager_let_go(struct memory_object *object) { panic("%p is let go of", (void *)object); }
void pager_cut(struct memory_object *object) { panic("%p is cut", (void *)object); }
void pager_destroy(struct pager *pager) { panic("%p is destroyed", (void *)pager); }
void pager_note_clean(struct pager *pager) { panic("%p is clean", (void *)pager); }
void pager_note_write_entry(struct pager *pager, uint64_t *entry) {
    panic("%p is written to (%p)", (void *)pager, (void *)entry);
}
void pager_note_mapped_write(struct memory_object *object, uint64_t page) {
    panic("page %lu of %p is written to", page, (void *)object);
}

/* --- User code
 * ---------------------------------------------------------------------------------------------------------- */

/* What the hardware does: the TLB first, then the tables; NULL is a fault. */
static uint64_t *translate(vaddr_t address, bool write) {
    vaddr_t page = page_floor(address);
    unsigned slot = (unsigned)(page >> PAGE_SHIFT) % TRANSLATIONS;

    if (tlb[slot].page != page) {
        const pte_t *entry = user_pte(page);

        if (!entry || !pte_present(*entry))
            return NULL;
        CHECK(*entry & PTE_USER);
        tlb[slot].page = page;
        tlb[slot].entry = *entry;
    }
    if (write && !(tlb[slot].entry & PTE_WRITE)) {
        tlb[slot].page = 0; /* a fault drops the translation */
        return NULL;
    }
    return (uint64_t *)((char *)physmap(pte_frame(tlb[slot].entry)) + page_offset(address));
}

uint64_t *machine_touch(vaddr_t address, bool write, enum status *status, int *si_code) {
    for (unsigned tries = 0; tries < 3; tries++) {
        uint64_t *place = translate(address, write);

        if (place)
            return place;
        *status = vm_fault(address, write, false, si_code);
        if (*status != OK)
            return NULL;
    }
    CHECK(!"the fault comes again and again");
}

static size_t copy_held(vaddr_t user, char *kernel, size_t bytes, bool to_user) {
    CHECK(this_cpu->views_held > 0);
    for (; bytes; bytes--, user++, kernel++) {
        char *place = (char *)translate(user, to_user);

        if (!place)
            break;
        *(to_user ? place : kernel) = *(to_user ? kernel : place);
    }
    return bytes;
}

size_t copy_to_user_held(vaddr_t to, const void *from, size_t bytes) {
    return copy_held(to, (char *)from, bytes, true);
}
size_t copy_from_user_held(void *to, vaddr_t from, size_t bytes) { return copy_held(from, to, bytes, false); }
size_t clear_user_held(vaddr_t to, size_t bytes) {
    static char zeros[PAGE_SIZE];
    return copy_held(to, zeros, bytes, true);
}

/* --- Processes
 * ---------------------------------------------------------------------------------------------------------- */

/*
 * LOCAL heaps are copied at fork to the same addresses. Here only struct local moves; areas are copied one by one, as
 * the same bytes would stand at the same place: local_alloc() hands out from an arena at a fixed address.
 */
enum { ARENA_BYTES = 1 << 20, CHUNK = 128, CHUNKS = ARENA_BYTES / CHUNK };

struct arena {
    bool used[CHUNKS];
    unsigned char memory[CHUNKS][CHUNK];
};
#define ARENA ((struct arena *)(LOCAL_BASE + sizeof(struct local) + PAGE_SIZE))
static struct arena saved[PROCESSES];

void *local_alloc(size_t bytes) {
    CHECK(bytes <= CHUNK);
    for (unsigned i = 0; !fails() && i < CHUNKS; i++) {
        if (ARENA->used[i])
            continue;
        ARENA->used[i] = true;
        memset(ARENA->memory[i], 0, CHUNK);
        return ARENA->memory[i];
    }
    return NULL;
}

void local_free(void *memory, size_t bytes) {
    unsigned i = (unsigned)((unsigned char(*)[CHUNK])memory - ARENA->memory);

    CHECK(bytes <= CHUNK && i < CHUNKS && ARENA->used[i]);
    ARENA->used[i] = false;
}

static unsigned make_process(void) {
    unsigned slot = 0;

    while (slots[slot].process.id)
        CHECK(++slot < PROCESSES);
    memset(&slots[slot], 0, sizeof(slots[slot]));
    slots[slot].process.id = slot << 16 | (++next_id & 0xffff);
    slots[slot].process.user_space = &slots[slot].space;
    slots[slot].thread.process = &slots[slot].process;
    slots[slot].loaded = &slots[slot].tables;
    for (unsigned i = 0; i < 3; i++) /* roots, so that vm_fork_undo() has something to walk: empty ones */
        CHECK(frame_alloc(FRAME_LOCAL, 1, &(&slots[slot].process.roots.restricted)[i]) == OK);
    return slot;
}

void machine_switch(struct process *process) {
    unsigned old = running(), new = (unsigned)(process->id >> 16);

    slots[old].local = *LOCAL;
    saved[old] = *ARENA;
    *LOCAL = slots[new].local;
    *ARENA = saved[new];
    cpu.current = &slots[new].thread;
    tlb_clear();
}

static void free_process(unsigned slot) {
    for (unsigned i = 0; i < 3; i++)
        frame_free_clean((&slots[slot].process.roots.restricted)[i]);
    slots[slot].process.id = 0;
}

struct process *machine_fork(bool share) {
    unsigned armed = fail_after, parent = running(), child;
    enum status status = OK;

    fail_after = 0;
    child = make_process();
    slots[child].local = *LOCAL;
    saved[child] = *ARENA;
    if (share) {
        slots[child].process.user_space = process_current()->user_space;
        slots[child].process.vfork_parent = &slots[parent].thread;
        slots[child].loaded = slots[parent].loaded;
        vm_lend();
        return &slots[child].process;
    }
    fail_after = armed;
    status = vm_fork(&slots[child].process);
    fail_after = 0;
    check_translations();
    if (status == OK && rand() % 8 == 0) { /* something later went wrong */
        vm_fork_undo(&slots[child].process);
        status = ERR_NO_MEMORY;
    }
    if (status != OK) {
        CHECK(slots[child].space.resident == 0);
        free_process(child);
        return NULL;
    }
    take_off_tables(slots[child].process.roots.restricted, 4);
    return &slots[child].process;
}

void machine_end_process(struct process *next) {
    unsigned slot = running();

    CHECK(LOCAL->vm.root == NULL);
    CHECK(slots[slot].process.vfork_parent || (slots[slot].tables.count == 0 && slots[slot].space.resident == 0));
    for (unsigned i = 0; i < CHUNKS; i++)
        CHECK(!ARENA->used[i]);
    if (next)
        machine_switch(next);
    free_process(slot);
}

static void map_fixed(vaddr_t address, size_t bytes) {
    CHECK(mmap((void *)address, bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) == (void *)address);
}

void machine_start(void) {
    map_fixed(LOCAL_BASE, page_ceil(sizeof(struct local) + PAGE_SIZE + sizeof(struct arena)));
    map_fixed(FRAME_TABLE_BASE, page_ceil(FRAMES * sizeof(struct frame)));
    map_fixed(PHYSMAP_BASE, FRAMES * PAGE_SIZE);
    memset(frame_free + 1, true, FRAMES - 1);
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu) == 0);
    cpu.self = &cpu;
    cpu.current = &slots[make_process()].thread;
}

void machine_check_all_free(void) {
    for (unsigned number = 1; number < FRAMES; number++)
        CHECK(frame_free[number]);
    CHECK(heap_bytes == 0);
}
