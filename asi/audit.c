/*
 * Owns: the walk over restricted roots. It trusts the frame table's classes and the page tables as the CPU would read
 * them, and nothing else of the kernel's bookkeeping, but for the rule of windows, which is about handles.
 *
 * Invariants checked: REACH, CLEAN, GATE. Locks: none: all other CPUs stand still, where they hold none.
 * Space: unrestricted, by design.
 */
#include "asi/audit.h"

#include "arch/cpu.h"
#include "asi/asi.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/object.h"
#include "mm/region.h"
#include "mm/roots.h"
#include "mm/view_set.h"

struct audit {
    struct asi_audit_report *report;
    struct process *process;
};

extern const uint8_t text_start[], text_end[], entry_text_start[], entry_text_end[];
extern const uint8_t transition_text_start[], transition_text_end[];

static void violation(struct audit *audit, uint64_t *counter, const char *what, uint64_t address, frame_t frame) {
    struct asi_audit_report *report = audit->report;
    (*counter)++;
    if (report->first[0] != '\0')
        return;
    unsigned class = frame_exists(frame) ? frame_info(frame)->class : FRAME_RESERVED;
    static const char *const classes[] = {"FREE", "GLOBAL", "LOCAL", "USER", "SECRET", "DIRTY", "RESERVED"};
    uint32_t owner = frame_exists(frame) ? frame_info(frame)->owner : 0;
    format_string(report->first, sizeof report->first, "%s: process %u, address %#lx, frame %#x of class %s(%u)", what,
                  audit->process == NULL ? 0 : audit->process->id, (unsigned long)address, frame.number, classes[class],
                  owner);
}

static const pte_t *table(frame_t frame) { return physmap(frame); }

/* --- REACH -------------------------------------------------------------------------------------------------------- */

/*
 * Whether P may have an object's page in its user half, by a mapping. A process that moves pages which it may not see
 * (drivers, file servers) never does so with what it moves: pages of files with a pager, unless it has the file open.
 */
static bool mapping_allowed(const struct audit *audit, const struct frame *info) {
    if (info->class != FRAME_SECRET || info->object == NULL) /* without an object: a pager is about to fill it */
        return false;
    return !audit->process->moves_pages || info->object->pager == NULL ||
           view_set_find(audit->process, info->object) != NULL;
}

/* Whether P may have this page mapped here: the table of design.md, section 2. */
static bool leaf_allowed(const struct audit *audit, uint64_t address, pte_t entry) {
    frame_t frame = pte_frame(entry);
    const uint32_t id = audit->process->id;
    unsigned slot = table_index(address, 4);
    if (slot == SLOT_GLOBAL && address >= SLOT_BASE(SLOT_GLOBAL) + (DEVICE_BASE - GLOBAL_BASE) &&
        (entry & PTE_UNCACHED) == PTE_UNCACHED)
        return true;
    if (slot < USER_SLOTS && (entry & PTE_DEVICE))
        return (entry & PTE_UNCACHED) == PTE_UNCACHED && region_has_page(entry & PTE_ADDRESS);
    if (!frame_exists(frame))
        return false;
    const struct frame *info = frame_info(frame);
    if (slot < USER_SLOTS)
        return info->class == FRAME_USER || mapping_allowed(audit, info);
    switch (slot) {
    case SLOT_EPHMAP:
        /* Nobody holds a scratch view while an audit runs; a window is for an object that is open. */
        return address < EPHMAP_SCRATCH_BASE && info->class == FRAME_SECRET && info->object != NULL &&
               view_set_find(audit->process, info->object) != NULL;
    case SLOT_LOCAL:
        return info->class == FRAME_LOCAL && info->owner == id;
    case SLOT_STACK:
        return (info->class == FRAME_LOCAL && info->owner == id) ||
               (address >= CPU_STACK_BASE && info->class == FRAME_GLOBAL);
    default:
        return info->class == FRAME_GLOBAL;
    }
}

/* A table is reachable through PTWINDOW, so its frame must be the process's own or everyone's. */
static bool table_allowed(const struct audit *audit, frame_t frame, bool shared_user_half) {
    if (!frame_exists(frame))
        return false;
    const struct frame *info = frame_info(frame);
    return info->class == FRAME_GLOBAL ||
           (info->class == FRAME_LOCAL && (info->owner == audit->process->id || shared_user_half));
}

/* The shared empty window tables are walked once, in the kernel process; 262,144 absent entries for every GiB
 * elsewhere. */
static bool is_shared_empty(const struct audit *audit, frame_t frame, unsigned level) {
    frame_t empty = level == 1 ? shared_tables.empty_window_pt : shared_tables.empty_window_pd;
    return level <= 2 && frame_equal(frame, empty) && audit->process != &kernel_process;
}

/* During a vfork the child's user tables are its parent's. */
static bool shares_user_half(const struct audit *audit, unsigned slot) {
    const struct user_space *space = audit->process->user_space;
    return slot < USER_SLOTS && space != NULL && space->refs > 1;
}

static void walk(struct audit *audit, frame_t frame, unsigned level, uint64_t base) {
    struct asi_audit_report *report = audit->report;
    const pte_t *entries = table(frame);
    const bool shared = shares_user_half(audit, table_index(base, 4));
    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        pte_t entry = entries[i];
        uint64_t address = base + ((uint64_t)i << (PAGE_SHIFT + 9 * (level - 1)));
        if (!pte_present(entry))
            continue;
        if (level == 1 || (entry & PTE_LARGE)) {
            report->leaves_checked++;
            if (!leaf_allowed(audit, address, entry))
                violation(audit, &report->reach_violations, "REACH", address, pte_frame(entry));
            if ((entry & PTE_WRITE) && !(entry & PTE_NO_EXECUTE) && table_index(address, 4) >= USER_SLOTS)
                violation(audit, &report->reach_violations, "REACH (writable and executable)", address,
                          pte_frame(entry));
        } else if (!table_allowed(audit, pte_frame(entry), shared)) {
            violation(audit, &report->reach_violations, "REACH (table)", address, pte_frame(entry));
        } else if (!is_shared_empty(audit, pte_frame(entry), level - 1)) {
            walk(audit, pte_frame(entry), level - 1, address);
        }
    }
}

static bool slot_known(unsigned slot) {
    return slot < USER_SLOTS || slot == SLOT_EPHMAP || slot == SLOT_LOCAL || slot == SLOT_STACK ||
           slot == SLOT_GLOBAL || slot == SLOT_IMAGE;
}

/* Slots whose tables every root shares are walked for the kernel process only. */
static bool slot_shared(const struct audit *audit, unsigned slot, pte_t entry) {
    frame_t shared = slot == SLOT_GLOBAL ? shared_tables.global_pdpt : shared_tables.image_pdpt;
    return (slot == SLOT_GLOBAL || slot == SLOT_IMAGE) && audit->process != &kernel_process &&
           frame_equal(pte_frame(entry), shared);
}

static void audit_space(struct audit *audit) {
    frame_t root = audit->process->roots.restricted;
    const pte_t *entries = table(root);
    audit->report->spaces_walked++;
    for (unsigned slot = 0; slot < TABLE_ENTRIES; slot++) {
        pte_t entry = entries[slot];
        uint64_t base = slot < USER_SLOTS ? (uint64_t)slot << 39 : SLOT_BASE(slot);
        if (!pte_present(entry) || slot_shared(audit, slot, entry))
            continue;
        bool window_ok = slot == SLOT_PTWINDOW && frame_equal(pte_frame(entry), root) && !(entry & PTE_USER);
        if (window_ok)
            continue;
        if (!slot_known(slot) || (slot >= USER_SLOTS && (entry & PTE_USER)))
            violation(audit, &audit->report->reach_violations, "REACH (slot)", base, pte_frame(entry));
        else if (!table_allowed(audit, pte_frame(entry), shares_user_half(audit, slot)))
            violation(audit, &audit->report->reach_violations, "REACH (table)", base, pte_frame(entry));
        else
            walk(audit, pte_frame(entry), 3, base);
    }
}

static void audit_reach(struct asi_audit_report *report) {
    struct audit audit = {.report = report, .process = &kernel_process};
    audit_space(&audit);
    list_for_each(link, &all_processes) {
        audit.process = container_of(link, struct process, all_link);
        if (!frame_is_none(audit.process->roots.restricted))
            audit_space(&audit);
    }
}

/* --- CLEAN -------------------------------------------------------------------------------------------------------- */

static void audit_clean(struct asi_audit_report *report) {
    struct audit audit = {.report = report};
    uint32_t frames = frame_table_size();
    for (uint32_t number = 1; number < frames; number++) {
        frame_t frame = {number};
        if (frame_info(frame)->class != FRAME_FREE)
            continue;
        report->free_frames_checked++;
        if (!memory_is_zero(physmap(frame), PAGE_SIZE))
            violation(&audit, &report->clean_violations, "CLEAN", frame_address(frame), frame);
    }
}

/* --- GATE --------------------------------------------------------------------------------------------------------- */

static bool writes_cr3(const uint8_t *code) { return code[0] == 0x0f && code[1] == 0x22 && (code[2] & 0xf8) == 0xd8; }

static bool may_write_cr3(const uint8_t *code) {
    return (code >= entry_text_start && code < entry_text_end) ||
           (code >= transition_text_start && code < transition_text_end);
}

static void audit_gate(struct asi_audit_report *report) {
    struct audit audit = {.report = report};
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++)
        if (cpus[cpu].gate_violations != 0)
            violation(&audit, &report->gate_violations, "GATE (root seen in ring 3)", cpus[cpu].loaded_root,
                      FRAME_NONE);
    for (const uint8_t *code = text_start; code + 3 <= text_end; code++)
        if (writes_cr3(code) && !may_write_cr3(code))
            violation(&audit, &report->gate_violations, "GATE (CR3 written here)", (uint64_t)code, FRAME_NONE);
}

void asi_audit(struct asi_audit_report *report) {
    *report = (struct asi_audit_report){0};
    asi_exit(ASI_CAUSE_DEBUG);
    audit_reach(report);
    audit_clean(report);
    audit_gate(report);
}
