/*
 * What /proc tells a process of itself alone: what is in its memory, and where. The texts are LOCAL.
 *
 * An environment is user memory, areas are LOCAL. To show them to another process would take a view of pages that hold
 * other things as well (LOGICAL ACCESS forbids it) or a copy that is GLOBAL; so nobody else sees them, user 0 neither.
 * Of the command line there is a copy for those who may see it (kernel/command_line.h); the process itself reads what
 * is in its memory now.
 * Locks: user_space->lock while areas are read. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/command_line.h"
#include "kernel/local.h"
#include "kernel/names.h"
#include "kernel/process.h"
#include "kernel/procfs.h"
#include "kernel/vdso.h"
#include "mm/object.h"
#include "mm/vma.h"

/* --- Strings ------------------------------------------------------------------------------------------------------ */

/* From user memory, as it is now, up to what cannot be read. */
static void add_user_bytes(struct text *text, vaddr_t from, vaddr_t end) {
    char part[256];
    while (from < end) {
        size_t bytes = end - from < sizeof(part) ? end - from : sizeof(part);
        if (copy_from_user(part, from, bytes) != OK)
            return;
        text_add_bytes(text, part, bytes);
        from += bytes;
    }
}

static vaddr_t word_at(vaddr_t address) {
    vaddr_t word = 0;
    return copy_from_user(&word, address, sizeof(word)) == OK ? word : 0;
}

/* The vectors that exec left: argc, argv, NULL, the environment, NULL, the auxiliary vector. */
struct vectors {
    vaddr_t arguments, environment, auxiliary;
};

static struct vectors find_vectors(void) {
    enum { WORDS_MAX = 1 << 18 }; /* as many pointers as fit into ARGUMENTS_MAX */
    struct vectors vectors = {.arguments = LOCAL->stack_start + sizeof(vaddr_t)};
    uint64_t count = word_at(LOCAL->stack_start);
    if (LOCAL->stack_start == 0 || count > WORDS_MAX)
        return (struct vectors){0};
    vectors.environment = vectors.auxiliary = vectors.arguments + (count + 1) * sizeof(vaddr_t);
    for (unsigned i = 0; i < WORDS_MAX && word_at(vectors.auxiliary) != 0; i++)
        vectors.auxiliary += sizeof(vaddr_t);
    vectors.auxiliary += sizeof(vaddr_t);
    return vectors;
}

/* The strings lie one behind the other: arguments, the environment, the path. */
static void command_text(struct text *text, const struct inode *inode) {
    if (!live_is_caller(inode)) {
        command_line_add(text, inode);
        return;
    }
    const struct vectors vectors = find_vectors();
    if (vectors.arguments == 0)
        return;
    const vaddr_t first = word_at(vectors.arguments), behind = word_at(vectors.environment);
    for (vaddr_t at = vectors.arguments; behind == 0 && at < vectors.environment - sizeof(vaddr_t);
         at += sizeof(vaddr_t)) {
        char byte = 1;
        for (vaddr_t from = word_at(at); byte != '\0' && copy_from_user(&byte, from, 1) == OK; from++)
            text_add_bytes(text, &byte, 1);
    }
    if (behind > first && behind - first <= (2UL << 20))
        add_user_bytes(text, first, behind);
}

static void environment_text(struct text *text, const struct inode *inode) {
    enum { AT_EXECFN = 31 };
    const struct vectors vectors = find_vectors();
    (void)inode;
    if (vectors.arguments == 0)
        return;
    const vaddr_t first = word_at(vectors.environment);
    vaddr_t end = 0;
    for (vaddr_t at = vectors.auxiliary; word_at(at) != 0; at += 2 * sizeof(vaddr_t)) {
        if (word_at(at) == AT_EXECFN)
            end = word_at(at + sizeof(vaddr_t));
    }
    if (first != 0 && end > first && end - first <= (2UL << 20))
        add_user_bytes(text, first, end);
}

static void auxiliary_text(struct text *text, const struct inode *inode) {
    const struct vectors vectors = find_vectors();
    (void)inode;
    if (vectors.arguments == 0)
        return;
    vaddr_t end = vectors.auxiliary;
    while (word_at(end) != 0 && end - vectors.auxiliary < PAGE_SIZE)
        end += 2 * sizeof(vaddr_t);
    add_user_bytes(text, vectors.auxiliary, end + 2 * sizeof(vaddr_t));
}

/* --- Areas -------------------------------------------------------------------------------------------------------- */

static const char *area_name(const struct vma *area) {
    const struct vm *vm = &LOCAL->vm;
    if (area->object != NULL && area->object == vm->executable)
        return LOCAL->handles.executable;
    if (area->grows_down)
        return "[stack]";
    if (area->start < vm->heap_end && area->end > vm->heap_start && area->object == NULL)
        return "[heap]";
    return NULL;
}

/* What one line says. */
struct line {
    vaddr_t start, end;
    unsigned protection;
    bool shared;
    uint64_t offset, inode;
    const char *name; /* or NULL */
};

static void add_line(struct text *text, const struct line *line) {
    text_add(text, "%08lx-%08lx %c%c%c%c %08lx 00:00 %lu", line->start, line->end,
             line->protection & VM_READ ? 'r' : '-', line->protection & VM_WRITE ? 'w' : '-',
             line->protection & VM_EXECUTE ? 'x' : '-', line->shared ? 's' : 'p', line->offset, line->inode);
    text_add(text, "%s%s\n", line->name != NULL ? "                          " : "", line->name ? line->name : "");
}

/* One area here, two on Linux, and no file there: programs know them by their names. */
static void add_vdso(struct text *text, const struct vma *area) {
    const vaddr_t code = area->offset == 0 ? area->start + PAGE_SIZE : area->start;
    if (area->start < code)
        add_line(text, &(struct line){area->start, code, VM_READ, .name = "[vvar]"});
    if (code < area->end)
        add_line(text, &(struct line){code, area->end, area->protection, .name = "[vdso]"});
}

static void add_area(struct text *text, const struct vma *area) {
    if (vdso_is(area->object)) {
        add_vdso(text, area);
        return;
    }
    add_line(text, &(struct line){.start = area->start,
                                  .end = area->end,
                                  .protection = area->protection,
                                  .shared = area->shared,
                                  .offset = vma_is_backed(area) ? area->offset : 0,
                                  .inode = area->object != NULL ? 1 : 0,
                                  .name = area_name(area)});
}

static void maps_text(struct text *text, const struct inode *inode) {
    struct user_space *space = process_current()->user_space;
    (void)inode;
    mutex_lock(&space->lock);
    for (const struct vma *area = vma_first(&LOCAL->vm); area != NULL; area = area->next)
        add_area(text, area);
    mutex_unlock(&space->lock);
}

#define OWN(name_, generate_)                                                                                          \
    {                                                                                                                  \
        (name_), 0444, { .operations = &own_text_operations, .generate = (generate_) }                                 \
    }

const struct live_file own_files[] = {
    {"cmdline", 0444, {.operations = &shown_text_operations, .generate = command_text}},
    OWN("environ", environment_text),
    OWN("auxv", auxiliary_text),
    OWN("maps", maps_text),
    {.name = NULL},
};
