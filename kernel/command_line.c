/*
 * Owns: the copies of command lines, and who holds them: processes that began with them, forks included, and readers.
 *
 * Invariants: LOGICAL ACCESS – a frame here holds one command line and zeros, and is viewed by holders only: who has it
 * for its own, and who was allowed to read it in the call that is under way; REVOKE – views end within the call, and
 * are flushed. CLEAN – the last holder clears the frames.
 * Locks: processes_lock for process.command_line and the count. Class of the record GLOBAL: lengths are metadata. Runs
 * in the caller's space.
 */
#include "kernel/command_line.h"

#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/exec_arguments.h"
#include "kernel/identity.h"
#include "kernel/process.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/heap.h"

enum { FRAMES_MAX = 4 };

struct command_line {
    unsigned holders; /* protected by processes_lock; the rest is constant */
    unsigned frame_count;
    size_t length;
    frame_t frames[FRAMES_MAX];
};

static size_t length_in_frame(const struct command_line *line, unsigned index) {
    const size_t left = line->length - index * PAGE_SIZE;
    return left < PAGE_SIZE ? left : PAGE_SIZE;
}

/* The caller held it last, or alone. */
static void destroy(struct command_line *line) {
    for (unsigned i = 0; i < line->frame_count; i++) {
        asi_expect(ASI_CAUSE_EXEC);
        if (!mutant(command_line_not_cleared))
            ephmap_scrub(line->frames[i]);
    }
    ephmap_flush();
    for (unsigned i = 0; i < line->frame_count; i++)
        frame_free_clean(line->frames[i]);
    global_free(line, sizeof(*line));
}

static void let_go(struct command_line *line) {
    if (line == NULL)
        return;
    bool irq = spin_lock_irq(&processes_lock);
    const bool last = --line->holders == 0;
    spin_unlock_irq(&processes_lock, irq);
    if (last)
        destroy(line);
}

/* --- Whose it is -------------------------------------------------------------------------------------------------- */

/* How many bytes the first argc strings take. */
static size_t length_of(const struct exec_arguments *arguments) {
    size_t length = 0;
    for (unsigned i = 0; i < arguments->argc && length < FRAMES_MAX * PAGE_SIZE; i++)
        length = arguments_next(arguments, length);
    return length < FRAMES_MAX * PAGE_SIZE ? length : FRAMES_MAX * PAGE_SIZE;
}

static struct command_line *copy(const struct exec_arguments *arguments) {
    struct command_line *line = global_alloc(sizeof(*line));
    if (line == NULL)
        return NULL;
    line->holders = 1;
    line->length = length_of(arguments);
    for (size_t at = 0; at < line->length; at += PAGE_SIZE) {
        frame_t *frame = &line->frames[line->frame_count];
        if (frame_alloc(FRAME_SECRET, 0, frame) != OK) {
            line->length = at;
            break;
        }
        asi_expect(ASI_CAUSE_EXEC);
        void *view = ephmap_scratch(*frame);
        memcpy(view, arguments->pages[line->frame_count], length_in_frame(line, line->frame_count));
        ephmap_scratch_put(view);
        line->frame_count++;
    }
    ephmap_flush();
    return line;
}

static void replace(struct process *process, struct command_line *line) {
    bool irq = spin_lock_irq(&processes_lock);
    struct command_line *before = process->command_line;
    process->command_line = line;
    spin_unlock_irq(&processes_lock, irq);
    let_go(before);
}

void command_line_set(const struct exec_arguments *arguments) { replace(process_current(), copy(arguments)); }
void command_line_forget(void) { replace(process_current(), NULL); }

void command_line_inherit(struct process *child) {
    bool irq = spin_lock_irq(&processes_lock);
    child->command_line = process_current()->command_line;
    if (child->command_line != NULL)
        child->command_line->holders++;
    spin_unlock_irq(&processes_lock, irq);
}

/* --- Who else may see it ------------------------------------------------------------------------------------------ */

/* If the caller may see its words; or NULL. processes_lock held. */
static const struct process *visible_process(const struct inode *inode) {
    const struct process *process = live_process(inode);
    return process != NULL && (mutant(command_line_to_all) || identity_is_same(process)) ? process : NULL;
}

bool command_line_permitted(const struct inode *inode) {
    bool irq = spin_lock_irq(&processes_lock);
    const bool permitted = visible_process(inode) != NULL;
    spin_unlock_irq(&processes_lock, irq);
    return permitted;
}

/* Held, if it may be seen; or NULL. */
static struct command_line *hold(const struct inode *inode) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = visible_process(inode);
    struct command_line *line = process != NULL ? process->command_line : NULL;
    if (line != NULL)
        line->holders++;
    spin_unlock_irq(&processes_lock, irq);
    return line;
}

void command_line_add(struct text *text, const struct inode *inode) {
    struct command_line *line = hold(inode);
    for (unsigned i = 0; line != NULL && i < line->frame_count; i++) {
        asi_expect(ASI_CAUSE_EXEC);
        void *view = ephmap_scratch(line->frames[i]);
        text_add_bytes(text, view, length_in_frame(line, i));
        ephmap_scratch_put(view);
    }
    ephmap_flush();
    let_go(line);
}
