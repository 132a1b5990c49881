/*
 * Building a new program's stack in user memory, from the top down. The caller's alone: no locks. Runs in either space.
 */
#include "kernel/exec_stack.h"

#include "arch/cpu.h"
#include "arch/cpuid.h"
#include "arch/fpu.h"
#include "arch/uaccess.h"
#include "kernel/limits.h"
#include "kernel/process.h"
#include "kernel/random.h"
#include "kernel/signal_internal.h"
#include "kernel/string.h"
#include "kernel/vdso.h"
#include "mm/vm.h"

enum auxiliary {
    AT_NULL = 0,
    AT_PHDR = 3,
    AT_PHENT = 4,
    AT_PHNUM = 5,
    AT_PAGESZ = 6,
    AT_BASE = 7,
    AT_FLAGS = 8,
    AT_ENTRY = 9,
    AT_UID = 11,
    AT_EUID = 12,
    AT_GID = 13,
    AT_EGID = 14,
    AT_PLATFORM = 15,
    AT_HWCAP = 16,
    AT_CLKTCK = 17,
    AT_SECURE = 23,
    AT_RANDOM = 25,
    AT_HWCAP2 = 26,
    AT_EXECFN = 31,
    AT_SYSINFO_EHDR = 33,
    AT_MINSIGSTKSZ = 51,
};

enum { PROGRAM_HEADER_BYTES = 56, TICKS_PER_SECOND = 100, SIGNAL_FRAME_BYTES = 1024, RANDOM_BYTES = 16 };
#define STACK_LEAST (ARGUMENTS_LEAST + 32 * PAGE_SIZE) /* bytes that a program gets, whatever its limit */

/* Writes 64-bit words upwards, some at a time. */
struct word_writer {
    vaddr_t at;
    unsigned used;
    uint64_t words[32];
    enum status status; /* the first error */
};

static void flush(struct word_writer *writer) {
    size_t bytes = writer->used * sizeof(uint64_t);

    if (writer->status == OK)
        writer->status = copy_to_user(writer->at, writer->words, bytes);
    writer->at += bytes;
    writer->used = 0;
}

static void put(struct word_writer *writer, uint64_t word) {
    if (writer->used == sizeof(writer->words) / sizeof(writer->words[0]))
        flush(writer);
    writer->words[writer->used++] = word;
}

static void put_pair(struct word_writer *writer, enum auxiliary type, uint64_t value) {
    put(writer, type);
    put(writer, value);
}

/* Pointers to `count` strings, the first at `offset`; returns the offset behind them. */
static size_t put_pointers(struct word_writer *writer, const struct exec_arguments *arguments, vaddr_t strings,
                           size_t offset, unsigned count) {
    for (; count > 0; count--) {
        put(writer, strings + offset);
        offset = arguments_next(arguments, offset);
    }
    put(writer, 0);
    return offset;
}

/* Where the parts lie that the vectors point to. */
struct stack_places {
    vaddr_t path, strings, platform, random, vdso;
};

/* The number of words that put_auxiliary writes. */
enum { AUXILIARY_WORDS = 2 * 21 };

static void put_auxiliary(struct word_writer *writer, const struct exec_stack *stack,
                          const struct stack_places *places) {
    const struct process *process = process_current();
    const struct elf_image *image = stack->image;

    put_pair(writer, AT_SYSINFO_EHDR, places->vdso);
    put_pair(writer, AT_HWCAP, cpuid(1, 0).edx);
    put_pair(writer, AT_PAGESZ, PAGE_SIZE);
    put_pair(writer, AT_CLKTCK, TICKS_PER_SECOND);
    put_pair(writer, AT_PHDR, image->program_headers);
    put_pair(writer, AT_PHENT, PROGRAM_HEADER_BYTES);
    put_pair(writer, AT_PHNUM, image->program_header_count);
    put_pair(writer, AT_BASE, stack->interpreter_bias);
    put_pair(writer, AT_FLAGS, 0);
    put_pair(writer, AT_ENTRY, image->entry);
    put_pair(writer, AT_UID, process->user.real);
    put_pair(writer, AT_EUID, process->user.effective);
    put_pair(writer, AT_GID, process->group_id.real);
    put_pair(writer, AT_EGID, process->group_id.effective);
    put_pair(writer, AT_SECURE, stack->secure);
    put_pair(writer, AT_RANDOM, places->random);
    put_pair(writer, AT_HWCAP2, 0);
    put_pair(writer, AT_EXECFN, places->path);
    put_pair(writer, AT_PLATFORM, places->platform);
    put_pair(writer, AT_MINSIGSTKSZ, SIGNAL_FRAME_BYTES + fpu_area_size());
    put_pair(writer, AT_NULL, 0);
}

/* As large as it commonly may grow: pages come as they are touched, and faults extend it where RLIMIT_STACK is more. */
static uint64_t first_bytes(void) {
    const uint64_t limit = page_floor(limit_current(RLIMIT_STACK));
    return limit > VM_STACK_LIMIT ? VM_STACK_LIMIT : limit < STACK_LEAST ? STACK_LEAST : limit;
}

enum status exec_stack_map(const struct layout *layout, bool executable) {
    const uint64_t bytes = first_bytes();
    const struct vm_map_request request = {.address = layout->stack_top - bytes,
                                           .bytes = bytes,
                                           .protection = VM_READ | VM_WRITE | (executable ? VM_EXECUTE : 0U),
                                           .fixed = true,
                                           .grows_down = true};
    vaddr_t place;

    return vm_map(&request, &place);
}

/* What the pointers point to, from the top of the stack downwards; *end is where the pointers may end. */
static enum status put_contents(const struct exec_stack *stack, struct stack_places *places, vaddr_t *end) {
    const struct exec_arguments *arguments = stack->arguments;
    const char *path = stack->path;
    static const char platform[] = "x86_64";
    uint8_t random[RANDOM_BYTES];
    size_t path_bytes = strlen(path) + 1;
    enum status status;

    places->path = stack->layout->stack_top - sizeof(uint64_t) - path_bytes;
    places->strings = places->path - arguments->bytes;
    places->platform = places->strings - sizeof(platform);
    places->random = (places->platform - sizeof(random)) & ~15UL;
    *end = places->random - stack->layout->stack_gap;
    random_bytes(random, sizeof(random));
    if ((status = copy_to_user(places->path, path, path_bytes)) != OK ||
        (status = arguments_copy_out(arguments, places->strings)) != OK ||
        (status = copy_to_user(places->platform, platform, sizeof(platform))) != OK)
        return status;
    return copy_to_user(places->random, random, sizeof(random));
}

enum status exec_stack_fill(const struct exec_stack *stack, vaddr_t *rsp) {
    const struct exec_arguments *arguments = stack->arguments;
    struct stack_places places;
    vaddr_t end;
    enum status status = put_contents(stack, &places, &end);

    if (status == OK)
        status = vdso_map(&places.vdso);
    if (status != OK)
        return status;
    /* argc, argv and its NULL, envp and its NULL, auxiliary vector. */
    uint64_t words = 1 + arguments->argc + 1 + arguments->envc + 1 + AUXILIARY_WORDS;
    *rsp = (end - words * sizeof(uint64_t)) & ~15UL;

    struct word_writer writer = {.at = *rsp, .status = OK};
    put(&writer, arguments->argc);
    size_t environment = put_pointers(&writer, arguments, places.strings, 0, arguments->argc);
    put_pointers(&writer, arguments, places.strings, environment, arguments->envc);
    put_auxiliary(&writer, stack, &places);
    flush(&writer);
    return writer.status;
}
