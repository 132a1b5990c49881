/*
 * Owns: the breaking of invariants on purpose: each is broken in the smallest way, audited, and mended before anyone
 * else runs: the other CPUs stand still, and kernel code is not preempted. For tests, reachable by uid 0 through
 * SYS_ASI.
 * Space: unrestricted.
 */
#include "arch/cpu.h"
#include "arch/trap_frame.h"
#include "asi/asi.h"
#include "asi/audit.h"
#include "asi/gate.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/server.h"
#include "kernel/stop.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/grant.h"
#include "mm/pager.h"
#include "mm/paging.h"
#include "mm/roots.h"

/* A page in the first LOCAL table that the heap reaches last. */
#define PLANT_ADDRESS (LOCAL_BASE + PAGE_TABLE_SPAN - PAGE_SIZE)

static void audit_with_entry(vaddr_t address, frame_t frame, struct asi_audit_report *report) {
    pte_t *entry = window_pte(address);
    pte_t before = *entry;
    *entry = pte_kernel_data(frame, false);
    asi_audit(report);
    *entry = before;
    tlb_forget(address);
}

static enum status break_reach_secret(struct asi_audit_report *report) {
    frame_t secret;
    enum status status = frame_alloc(FRAME_SECRET, 0, &secret);
    if (status != OK)
        return status;
    audit_with_entry(PLANT_ADDRESS, secret, report);
    frame_free_clean(secret);
    return OK;
}

/* A table of the kernel process: LOCAL(0). */
static enum status break_reach_foreign(struct asi_audit_report *report) {
    audit_with_entry(PLANT_ADDRESS, kernel_process.roots.tables[0], report);
    return OK;
}

/* An object with one page, which the caller has no longer open; *frame gets it, with a reference. */
static enum status make_closed_object(struct memory_object *object, frame_t *frame) {
    enum status status = ephmap_open(object);
    if (status != OK)
        return status;
    status = object_write_kernel(object, 0, "secret", sizeof "secret");
    ephmap_close(object);
    return status == OK ? object_page(object, 0, PAGE_IF_RESIDENT, frame) : status;
}

/* Where the frame's window would be. Without a table there (modes without windows) a scratch slot serves. */
static vaddr_t place_for_view(frame_t frame) {
    vaddr_t address = EPHMAP_BASE + frame_address(frame);
    bool has_table = !frame_equal(pte_frame(*window_pde(address)), shared_tables.empty_window_pt);
    return has_table ? address : EPHMAP_SCRATCH_BASE;
}

static enum status break_reach_view(struct asi_audit_report *report) {
    struct memory_object *object;
    frame_t frame;
    enum status status = object_create(&object);
    if (status != OK)
        return status;
    status = make_closed_object(object, &frame);
    if (status == OK) {
        audit_with_entry(place_for_view(frame), frame, report);
        bool last = frame_unref(frame);
        (void)last; /* the object still has it */
    }
    object_unref(object);
    return status;
}

/* A frame of a grant that a pager would have been sent, and has not answered for. */
static enum status break_reach_filling(struct asi_audit_report *report) {
    struct file *grant;
    frame_t frame;
    enum status status = frame_alloc(FRAME_SECRET, 0, &frame);
    if (status != OK)
        return status;
    status = grant_create(GRANT_FILL, &frame, 1, RIGHT_DMA, &grant);
    if (status == OK) {
        audit_with_entry(place_for_view(frame), frame, report);
        file_unref(grant);
    }
    frame_free_clean(frame);
    return status;
}

/* An object with a pager that nobody calls, and one page, which gets a reference. */
static enum status make_paged_object(struct memory_object **object, frame_t *frame) {
    struct file *endpoint;
    struct server *server;
    enum status status = endpoint_create(&endpoint);
    if (status != OK)
        return status;
    status = server_create(endpoint->target, 0, &server);
    if (status == OK) {
        status = object_create_paged(server, 0, 0, object);
        server_unref(server);
    }
    file_unref(endpoint);
    if (status != OK)
        return status;
    status = object_resize(*object, PAGE_SIZE);
    if (status == OK)
        status = object_page(*object, 0, PAGE_USE, frame);
    if (status != OK)
        object_unref(*object);
    return status;
}

/* A page of the user half that has a table and nothing in it: near the stack. */
static vaddr_t absent_user_page(void) {
    vaddr_t address = thread_user_frame()->rsp & ~(PAGE_TABLE_SPAN - 1);
    while (*window_pte(address) != 0)
        address += PAGE_SIZE;
    return address;
}

static enum status break_reach_moved(struct asi_audit_report *report) {
    struct process *process = process_current();
    const bool before = process->moves_pages;
    struct memory_object *object;
    frame_t frame;
    enum status status = make_paged_object(&object, &frame);
    if (status != OK)
        return status;
    process->moves_pages = true;
    audit_with_entry(absent_user_page(), frame, report);
    process->moves_pages = before;
    object_page_put(frame);
    object_unref(object);
    return OK;
}

static enum status break_clean(struct asi_audit_report *report) {
    for (uint32_t number = frame_table_size() - 1; number > 0; number--) {
        frame_t frame = {number};
        if (frame_info(frame)->class != FRAME_FREE)
            continue;
        uint8_t *bytes = physmap(frame);
        bytes[PAGE_SIZE / 2] = 1;
        asi_audit(report);
        bytes[PAGE_SIZE / 2] = 0;
        return OK;
    }
    return ERR_NO_MEMORY;
}

/* As if an interrupt had found the unrestricted root in ring 3. */
static enum status break_gate(struct asi_audit_report *report) {
    struct cpu *cpu = cpu_self();
    if (asi_mode < ASI_MODE_NAIVE)
        return ERR_INVALID;
    uint64_t before = cpu->gate_violations;
    bool irq = irq_save();
    gate_check(); /* this thread is unrestricted now: were it ring 3, it would be a violation */
    irq_restore(irq);
    asi_audit(report);
    cpu->gate_violations = before;
    return OK;
}

static enum status break_and_audit(enum asi_break what, struct asi_audit_report *report) {
    switch (what) {
    case ASI_BREAK_NOTHING:
        asi_audit(report);
        return OK;
    case ASI_BREAK_REACH_SECRET:
        return break_reach_secret(report);
    case ASI_BREAK_REACH_FOREIGN:
        return break_reach_foreign(report);
    case ASI_BREAK_REACH_VIEW:
        return break_reach_view(report);
    case ASI_BREAK_REACH_FILLING:
        return break_reach_filling(report);
    case ASI_BREAK_REACH_MOVED:
        return break_reach_moved(report);
    case ASI_BREAK_CLEAN:
        return break_clean(report);
    case ASI_BREAK_GATE:
        return break_gate(report);
    default:
        return ERR_INVALID;
    }
}

enum status asi_audit_broken(enum asi_break what, struct asi_audit_report *report) {
    stop_others();
    asi_exit(ASI_CAUSE_DEBUG);
    enum status status = break_and_audit(what, report);
    resume_others(NULL);
    return status;
}
