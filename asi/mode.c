/*
 * Owns: the switch between modes, and what `flush=` means for the assembler.
 *
 * A mode switch moves nobody: each thread goes to its new home space the next time it returns to user code
 * (WORK_SPACE), or when it touches PHYSMAP. Windows on files made in mode asi stay recorded and revocable in every
 * mode.
 * Locks: none: all other CPUs stand still (kernel/stop.h). Space: any.
 */
#include "arch/cpu.h"
#include "arch/descriptors.h"
#include "arch/features.h"
#include "arch/patch.h"
#include "arch/transition.h"
#include "asi/asi.h"
#include "asi/trust.h"
#include "kernel/process.h"
#include "kernel/stop.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/tags.h"

/* Read by arch/transition.asm: whether the instruction itself is executed. */
uint8_t flush_ibpb_instruction, flush_verw_instruction;

static const char *const mode_names[ASI_MODES] = {"none", "classic", "naive", "asi"};

const char *asi_mode_name(enum asi_mode mode) { return mode_names[mode]; }

static void every_thread_passes_the_gate(void) {
    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(process_link, &all_processes) {
        struct process *process = container_of(process_link, struct process, all_link);
        list_for_each(link, &process->threads) {
            struct thread *thread = container_of(link, struct thread, process_link);
            __atomic_or_fetch(&thread->work, WORK_SPACE, __ATOMIC_RELAXED);
        }
    }
    spin_unlock_irq(&processes_lock, irq);
}

/* What the mode means for one CPU: each does it for itself. */
static void take_mode(void) {
    struct cpu *cpu = cpu_self();
    cpu->split = asi_mode == ASI_MODE_CLASSIC;
    cpu_set_global_pages(!cpu->split);
    tags_forget_all(); /* what was global is not any more */
    asi_note_roots(cpu, cpu->loaded);
    tss_set_stack(cpu);
}

enum status asi_set_mode(enum asi_mode mode) {
    if ((unsigned)mode >= ASI_MODES)
        return ERR_INVALID;
    stop_others();
    bool irq = irq_save();
    ephmap_flush();
    asi_mode = mode;
    trust_forget_histories(); /* not every mode pays all that these are about */
    ephmap_enabled = mode == ASI_MODE_ASI;
    take_mode();
    every_thread_passes_the_gate();
    irq_restore(irq);
    resume_others(take_mode);
    return OK;
}

/* Views made by another design stay, and go as every view does. */
enum status asi_set_views(enum asi_views design) {
    if ((unsigned)design >= ASI_VIEW_DESIGNS)
        return ERR_INVALID;
    stop_others();
    ephmap_flush();
    ephmap_design = design;
    resume_others(NULL);
    return OK;
}

enum status asi_set_flush(const struct asi_flush *flush) {
    if (flush->kind > ASI_FLUSH_COST)
        return ERR_INVALID;
    const struct asi_flush costs = *flush;
    const bool charges = flush->kind == ASI_FLUSH_COST;
    stop_others();
    bool irq = irq_save();
    asi_flush = (struct asi_flush){.kind = costs.kind};
    if (charges)
        asi_flush = costs;
    trust_forget_histories(); /* what went unpaid while flushes were off is owed, on every CPU */
    every_thread_passes_the_gate();
    flush_ibpb_instruction = costs.kind == ASI_FLUSH_AUTO && cpu_features.ibpb;
    flush_verw_instruction =
        costs.kind == ASI_FLUSH_AUTO; /* a CPU without MD_CLEAR executes it as the old segment check */
    irq_restore(irq);
    resume_others(NULL);
    return OK;
}

enum status asi_parse_mode(const char *text, enum asi_mode *mode) {
    for (unsigned i = 0; i < ASI_MODES; i++) {
        if (strcmp(text, mode_names[i]) == 0) {
            *mode = (enum asi_mode)i;
            return OK;
        }
    }
    return ERR_INVALID;
}

static bool parse_number(const char **text, char end, uint32_t *value) {
    uint64_t sum = 0;
    const char *at = *text;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        sum = sum * 10 + (uint64_t)(*at - '0');
        if (sum > 100000000) /* ticks: more is a slip of the pen */
            return false;
    }
    if (*at != end)
        return false;
    *value = (uint32_t)sum;
    *text = at + 1;
    return true;
}

enum status asi_parse_flush(const char *text, struct asi_flush *flush) {
    *flush = (struct asi_flush){0};
    if (strcmp(text, "off") == 0)
        return OK;
    if (strcmp(text, "auto") == 0) {
        flush->kind = ASI_FLUSH_AUTO;
        return OK;
    }
    static const char prefix[] = "cost:";
    if (strncmp(text, prefix, sizeof prefix - 1) != 0)
        return ERR_INVALID;
    text += sizeof prefix - 1;
    flush->kind = ASI_FLUSH_COST;
    bool ok = parse_number(&text, ',', &flush->ibpb_ticks) && parse_number(&text, ',', &flush->verw_ticks) &&
              parse_number(&text, '\0', &flush->cr3_ticks);
    return ok ? OK : ERR_INVALID;
}
