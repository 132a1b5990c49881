/*
 * Owns: the twins of the traced functions, which record and do what the original does, by calling it.
 *
 * Invariants: those of the originals; what is recorded is metadata (asi/trace.c). A twin is called from where its
 * original was, in assembly too (arch/entry.asm), so it has the original's type and leaves what the caller relies on:
 * stack, interrupts, space. Nothing here runs unless trace=on.
 * Locks: none but the original's. Space: the caller's.
 */
#include "asi/trace_points.h"

#include "arch/return.h"
#include "arch/transition.h"
#include "arch/traps.h"
#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "asi/trace.h"
#include "asi/trace_table.h"
#include "kernel/call.h"
#include "kernel/call_direct.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "kernel/thread_create.h"
#include "mm/ephmap.h"
#include "mm/view_set.h"

#define DECLARE(function, least) __typeof__(function) traced_##function;
TRACE_POINTS(DECLARE)
#undef DECLARE

/* Behind arch/trace_thunks.asm: these have callers in their own files. */
__typeof__(asi_leave) twin_asi_leave;
__typeof__(ephmap_scratch) twin_ephmap_scratch;
__typeof__(ephmap_scratch_put) twin_ephmap_scratch_put;
__typeof__(ephmap_scrub) twin_ephmap_scrub;

const struct trace_point trace_points[] = {
#define PAIR(function, least) {(uint64_t)(function), (uint64_t)traced_##function},
    TRACE_POINTS(PAIR)
#undef PAIR
};

/* For twins of what only copies or clears: an exit is its caller's, so these lie among the copies (arch/traps.c). */
#define COPY_TEXT __attribute__((section(".text.copy")))

/* What a twin knows for another one on the same CPU. Interrupts may come between; they leave it or are told nothing. */
static struct hint {
    vaddr_t fresh;     /* the window that was mapped last, until it is used */
    uint32_t exit_for; /* number of the frame whose touch is about to exit */
} hints[CPU_MAX];

static struct hint *hint(void) { return &hints[this_cpu->index]; }

/* --- Entry and return --------------------------------------------------------------------------------------------- */

enum {
#define NUMBER(number, name) CALL_##name = number,
    SYSCALLS(NUMBER) SYSCALLS_NATIVE(NUMBER)
#undef NUMBER
};

static bool is_known(uint64_t number) {
    switch (number) {
#define CASE(number, name) case number:
        SYSCALLS(CASE)
        SYSCALLS_NATIVE(CASE)
#undef CASE
    case SYS_ASI:
        return true;
    default:
        return false;
    }
}

static void record_name(void) {
    uint64_t half[PROCESS_NAME_SIZE / sizeof(uint64_t)];
    memcpy(half, process_current()->name, sizeof half);
    for (unsigned i = 0; i < sizeof half / sizeof half[0]; i++)
        trace_record(TRACE_NAME, i * sizeof half[0], half[i], 0);
}

/* Mode classic's entry has no function, but what it has executed is known. */
static void record_split_entry(void) {
    if (this_cpu->split)
        trace_record(TRACE_FLUSH, TRACE_CR3, 0, 0);
}

static void record_split_return(void) {
    if (this_cpu->split)
        trace_record(TRACE_FLUSH, asi_flush.kind == ASI_FLUSH_OFF ? TRACE_CR3 : TRACE_CR3 | TRACE_VERW, 0, 0);
}

/* Likewise its return, before which entry code turns interrupts off. One with work to do comes by
 * asi_prepare_return(), or never returns. */
static void record_quick_return(void) {
    irq_disable();
    if (thread_current()->work == 0)
        record_split_return();
}

void traced_syscall_dispatch(struct trap_frame *frame) {
    const uint64_t number = is_known(frame->error) ? frame->error : TRACE_UNKNOWN;
    record_split_entry();
    hint()->fresh = 0;
    trace_record(TRACE_SYSCALL, 0, mutant(trace_keeps_argument) ? frame->rdi : 0, number);
    syscall_dispatch(frame);
    if (number == CALL_execve || number == CALL_execveat || number == CALL_prctl)
        record_name();
    trace_record(TRACE_SYSCALL_END, 0, 0, number);
    record_quick_return();
}

void traced_trap_dispatch(struct trap_frame *frame) {
    const bool from_user = frame_from_user(frame);
    const uint16_t vector = frame_vector(frame);
    if (from_user)
        record_split_entry();
    trace_record(TRACE_TRAP, vector, from_user ? 0 : frame->rip, 0);
    trap_dispatch(frame);
    trace_record(TRACE_TRAP_END, vector, 0, 0);
    if (from_user)
        record_quick_return();
}

struct trap_frame *traced_trap_dispatch_nested(struct trap_frame *frame, uint64_t user_root, uint64_t gs_base) {
    const uint16_t vector = frame_vector(frame);
    trace_record(TRACE_TRAP, vector, frame->rip, 0);
    frame = trap_dispatch_nested(frame, user_root, gs_base);
    trace_record(TRACE_TRAP_END, vector, 0, 0);
    return frame;
}

void traced_thread_first_run(struct trap_frame *frame) {
    trace_record(TRACE_RESUME, 0, 0, 0);
    record_name();
    thread_first_run(frame);
    record_quick_return();
}

/* --- Crossings ---------------------------------------------------------------------------------------------------- */

static unsigned flushes_of(uint32_t flags) {
    return (flags & CROSS_CONTROL_FLUSH ? TRACE_IBPB : 0U) | (flags & CROSS_DATA_FLUSH ? TRACE_VERW : 0U);
}

static void record_flush(unsigned flushes) {
    if (flushes != 0)
        trace_record(TRACE_FLUSH, flushes, 0, 0);
}

void traced_asi_physmap_fault(uint64_t address, uint64_t site) {
    hint()->exit_for = frame_of(address - PHYSMAP_BASE).number;
    asi_physmap_fault(address, site);
}

void twin_asi_leave(enum asi_cause cause, uint64_t site) {
    trace_record(TRACE_EXIT, cause, site, hint()->exit_for);
    hint()->exit_for = 0;
    asi_leave(cause, site);
    trace_record(TRACE_EXIT_END, cause, 0, 0);
}

uint64_t traced_asi_prepare_return(uint32_t *flags) {
    const uint64_t root = asi_prepare_return(flags);
    record_split_return();
    if (root != 0) {
        trace_record(TRACE_ENTER, 0, 0, 0);
        record_flush(TRACE_CR3 | flushes_of(*flags));
    }
    return root;
}

void traced_transition_exit(uint64_t root, uint32_t flags) {
    record_flush(TRACE_CR3 | flushes_of(flags));
    transition_exit(root, flags);
}

void traced_transition_flush(uint32_t flags) {
    record_flush(flushes_of(flags));
    transition_flush(flags);
}

void traced_transition_load(uint64_t root) {
    record_flush(TRACE_CR3);
    transition_load(root);
}

/* --- Switches ----------------------------------------------------------------------------------------------------- */

/* The CPU is the next thread's already, and so are the records. */
static void record_switch(const struct thread *from, uint64_t root, uint32_t flags) {
    const unsigned why = from == this_cpu->idle           ? TRACE_WAS_IDLE
                         : from->state == THREAD_SLEEPING ? TRACE_SLEEPS
                         : from->state == THREAD_DEAD     ? TRACE_ENDS
                                                          : TRACE_GIVES_WAY;
    trace_record(TRACE_SWITCH, why, 0, from->id);
    record_flush((root != 0 ? TRACE_CR3 : 0U) | flushes_of(flags));
}

void traced_context_switch(struct thread *from, struct thread *to, uint64_t root, uint32_t flags,
                           const struct trap_frame *message) {
    record_switch(from, root, flags);
    context_switch(from, to, root, flags, message);
    trace_record(TRACE_RESUME, 0, 0, 0);
}

_Noreturn void traced_context_die(struct thread *to, uint64_t root, uint32_t flags, uint64_t stack_bottom) {
    record_switch(this_cpu->dead_thread, root, flags);
    context_die(to, root, flags, stack_bottom);
}

/* --- Views -------------------------------------------------------------------------------------------------------- */

static bool is_window(vaddr_t address) {
    return address >= EPHMAP_BASE && address < EPHMAP_BASE + EPHMAP_WINDOW_FRAMES * PAGE_SIZE;
}

static bool is_scratch(vaddr_t address) {
    return address >= EPHMAP_SCRATCH_BASE && address < EPHMAP_SCRATCH_BASE + PAGE_DIRECTORY_SPAN;
}

static uint64_t slot_of(vaddr_t address) { return (address - EPHMAP_SCRATCH_BASE) / PAGE_SIZE; }

void *traced_ephmap_map_window(frame_t frame, struct memory_object *object) {
    void *view = ephmap_map_window(frame, object);
    if (is_window((vaddr_t)view)) { /* else it was a scratch view's work, which is recorded */
        trace_record(TRACE_MAP, TRACE_WINDOW, frame_address(frame), 0);
        hint()->fresh = (vaddr_t)view;
    }
    return view;
}

void *twin_ephmap_scratch(frame_t frame) {
    void *view = ephmap_scratch(frame);
    if (is_scratch((vaddr_t)view))
        trace_record(TRACE_MAP, TRACE_SCRATCH, frame_address(frame), slot_of((vaddr_t)view));
    return view;
}

void twin_ephmap_scratch_put(void *view) {
    if (is_scratch((vaddr_t)view))
        trace_record(TRACE_UNMAP, TRACE_SCRATCH, 0, slot_of((vaddr_t)view));
    ephmap_scratch_put(view);
}

COPY_TEXT void twin_ephmap_scrub(frame_t frame) {
    if (ephmap_enabled)
        trace_record(TRACE_MAP, TRACE_SCRUB, frame_address(frame), 0);
    ephmap_scrub(frame);
    if (ephmap_enabled)
        trace_record(TRACE_UNMAP, TRACE_SCRUB, frame_address(frame), 0);
}

COPY_TEXT void traced_ephmap_copy_frame(frame_t to, frame_t from) {
    if (ephmap_enabled) {
        trace_record(TRACE_MAP, TRACE_COPIED_FROM, frame_address(from), 0);
        trace_record(TRACE_MAP, TRACE_COPIED_TO, frame_address(to), 0);
    }
    ephmap_copy_frame(to, from);
    if (ephmap_enabled) {
        trace_record(TRACE_UNMAP, TRACE_COPIED_FROM, frame_address(from), 0);
        trace_record(TRACE_UNMAP, TRACE_COPIED_TO, frame_address(to), 0);
    }
}

static void record_revoked(const struct memory_object *object, uint64_t before) {
    const uint64_t revoked = this_cpu->counters.views_revoked - before;
    if (revoked != 0)
        trace_record(TRACE_REVOKE, 0, (uint64_t)object, revoked);
}

void traced_view_set_revoke(struct object_view_set *set) {
    const uint64_t before = this_cpu->counters.views_revoked;
    view_set_revoke(set);
    record_revoked(set->object, before);
}

void traced_ephmap_revoke_frame(struct memory_object *object, frame_t frame) {
    const uint64_t before = this_cpu->counters.views_revoked;
    ephmap_revoke_frame(object, frame);
    record_revoked(object, before);
}

/* --- Copies: where a window is used ------------------------------------------------------------------------------- */

static __attribute__((noinline)) void record_copy(const void *kernel, unsigned direction, size_t bytes) {
    const vaddr_t view = (vaddr_t)kernel & ~(PAGE_SIZE - 1);
    if (is_window(view) && view != hint()->fresh)
        trace_record(TRACE_REUSE, TRACE_WINDOW, view - EPHMAP_BASE, 0);
    hint()->fresh = 0;
    trace_record(TRACE_COPY, direction, 0, bytes);
}

COPY_TEXT size_t traced_copy_to_user_held(vaddr_t to, const void *from, size_t bytes) {
    record_copy(from, 0, bytes);
    const size_t left = copy_to_user_held(to, from, bytes);
    trace_record(TRACE_COPY_END, 0, 0, left);
    return left;
}

COPY_TEXT size_t traced_copy_from_user_held(void *to, vaddr_t from, size_t bytes) {
    record_copy(to, 1, bytes);
    const size_t left = copy_from_user_held(to, from, bytes);
    trace_record(TRACE_COPY_END, 1, 0, left);
    return left;
}

/* --- Messages ----------------------------------------------------------------------------------------------------- */

enum status traced_call_send(struct endpoint *endpoint, uint64_t badge, struct parcel *parcel,
                             const struct call_terms *terms) {
    trace_record(TRACE_CALL, 0, (uint64_t)endpoint, parcel->buffer == NULL ? 0 : parcel->buffer->length);
    const enum status status = call_send(endpoint, badge, parcel, terms);
    trace_record(TRACE_CALL_END, 0, thread_current()->call.token, status);
    return status;
}

bool traced_call_directly(struct endpoint *endpoint, uint64_t badge, struct trap_frame *frame) {
    trace_record(TRACE_CALL, 1, (uint64_t)endpoint, 0);
    const bool done = call_directly(endpoint, badge, frame);
    trace_record(TRACE_CALL_END, 1, done ? thread_current()->call.token : 0, done ? OK : TRACE_NOT_DIRECT);
    return done;
}

static void record_received(void) {
    const struct reception *reception = &thread_current()->reception;
    trace_record(TRACE_RECEIVE, 0, reception->bits != 0 ? 0 : reception->token, 0);
}

enum status traced_call_receive(struct endpoint *endpoint, const struct call_terms *terms) {
    const enum status status = call_receive(endpoint, terms);
    if (status == OK)
        record_received();
    return status;
}

enum status traced_call_receive_wait(const struct call_terms *terms) {
    const enum status status = call_receive_wait(terms);
    if (status == OK)
        record_received();
    return status;
}

enum status traced_call_answer(uint64_t token, struct parcel *parcel, const struct endpoint *receives_next) {
    const enum status status = call_answer(token, parcel, receives_next);
    trace_record(TRACE_REPLY, 0, token, status);
    return status;
}

void traced_call_refuse(uint64_t token, enum status status) {
    trace_record(TRACE_REPLY, 0, token, status);
    call_refuse(token, status);
}

bool traced_call_answer_directly(struct endpoint *endpoint, struct trap_frame *frame) {
    const uint64_t token = thread_current()->unanswered;
    trace_record(TRACE_REPLY, 1, token, OK);
    const bool done = call_answer_directly(endpoint, frame);
    if (!done)
        trace_record(TRACE_REPLY, 1, token, TRACE_NOT_DIRECT);
    else if (!thread_current()->reception.waiting && thread_current()->reception.status == OK)
        record_received();
    return done;
}
