/*
 * ELF64 programs: ET_EXEC, and ET_DYN without an interpreter (static-pie).
 *
 * elf_read() decodes and judges, elf_map() then has nothing left to doubt. The headers are bytes of a file: they stay
 * on the stack and in LOCAL memory. A segment that is writable and executable is refused (W^X). No locks. Runs in
 * either space.
 */
#include "kernel/elf.h"

#include "kernel/string.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/vm.h"

struct elf_header {
    uint8_t magic[4], class, encoding, version, abi, padding[8];
    uint16_t type, machine;
    uint32_t file_version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t size, program_header_size, program_header_count, section_header_size, section_header_count, names;
};
_Static_assert(sizeof(struct elf_header) == 64, "Elf64_Ehdr");

struct program_header {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_bytes, memory_bytes, align;
};
_Static_assert(sizeof(struct program_header) == 56, "Elf64_Phdr");

enum { CLASS_64 = 2, LITTLE_ENDIAN = 1, VERSION = 1, TYPE_EXEC = 2, TYPE_DYN = 3, MACHINE_X86_64 = 62 };
enum { PT_LOAD = 1, PT_INTERP = 3 };
enum { PF_EXECUTE = 1, PF_WRITE = 2, PF_READ = 4 };

/* As many as fit one page of LOCAL memory. */
#define PROGRAM_HEADERS_MAX (PAGE_SIZE / sizeof(struct program_header))
/* Where a position-independent program begins: far from the heap's and the mappings' ways. */
#define PIE_BASE page_floor(USER_END / 3 * 2)
/* Programs end below where mmap and the stack begin. */
#define IMAGE_LIMIT USER_MMAP_TOP

static enum status read_exactly(struct memory_object *object, uint64_t offset, void *to, size_t bytes) {
    size_t done = 0;
    enum status status = object_read_kernel(object, offset, to, bytes, &done);

    if (status != OK)
        return status;
    return done == bytes ? OK : ERR_NOT_EXECUTABLE;
}

static bool header_ok(const struct elf_header *header) {
    static const uint8_t magic[4] = {0x7f, 'E', 'L', 'F'};

    return memcmp(header->magic, magic, sizeof(magic)) == 0 && header->class == CLASS_64 &&
           header->encoding == LITTLE_ENDIAN && header->version == VERSION &&
           (header->type == TYPE_EXEC || header->type == TYPE_DYN) && header->machine == MACHINE_X86_64 &&
           header->program_header_size == sizeof(struct program_header) && header->program_header_count >= 1 &&
           header->program_header_count <= PROGRAM_HEADERS_MAX;
}

static unsigned protection_of(uint32_t flags) {
    return (flags & PF_READ ? VM_READ : 0) | (flags & PF_WRITE ? VM_WRITE : 0) | (flags & PF_EXECUTE ? VM_EXECUTE : 0);
}

/* Decodes one PT_LOAD; `end` is where the segments before it end. */
static bool decode_segment(const struct program_header *header, uint64_t file_size, uint64_t bias, vaddr_t end,
                           struct elf_segment *segment) {
    uint64_t first, last;

    if (header->file_bytes > header->memory_bytes || header->offset > file_size ||
        header->file_bytes > file_size - header->offset)
        return false;
    if (__builtin_add_overflow(header->address, bias, &first) ||
        __builtin_add_overflow(first, header->memory_bytes, &last) || first < USER_START || last > IMAGE_LIMIT)
        return false;
    if (page_offset(first) != page_offset(header->offset) || page_floor(first) < end)
        return false;
    if ((header->flags & PF_WRITE) && (header->flags & PF_EXECUTE))
        return false;
    *segment = (struct elf_segment){
        .address = page_floor(first),
        .bytes = page_ceil(last) - page_floor(first),
        .offset = page_floor(header->offset),
        .file_bytes = header->file_bytes == 0 ? 0 : page_offset(first) + header->file_bytes,
        .protection = protection_of(header->flags),
    };
    return true;
}

/* Where the program headers are in memory: a number for the auxiliary vector, which the kernel never follows. */
static vaddr_t find_program_headers(const struct elf_image *image, uint64_t offset, uint64_t bytes) {
    for (unsigned i = 0; i < image->count; i++) {
        const struct elf_segment *segment = &image->segments[i];

        if (offset >= segment->offset && offset - segment->offset <= segment->file_bytes &&
            bytes <= segment->file_bytes - (offset - segment->offset))
            return segment->address + (offset - segment->offset);
    }
    return 0;
}

static enum status decode(const struct elf_header *header, const struct program_header *program_headers,
                          uint64_t file_size, struct elf_image *image) {
    uint64_t bias = header->type == TYPE_DYN ? PIE_BASE : 0;
    uint64_t table_bytes = header->program_header_count * sizeof(struct program_header);

    image->count = 0;
    image->end = 0;
    for (unsigned i = 0; i < header->program_header_count; i++) {
        const struct program_header *program_header = &program_headers[i];
        struct elf_segment *segment = &image->segments[image->count];

        if (program_header->type == PT_INTERP)
            return ERR_NOT_EXECUTABLE; /* a dynamic program */
        if (program_header->type != PT_LOAD || program_header->memory_bytes == 0)
            continue;
        if (image->count == ELF_SEGMENTS_MAX || !decode_segment(program_header, file_size, bias, image->end, segment))
            return ERR_NOT_EXECUTABLE;
        image->end = segment->address + segment->bytes;
        image->count++;
    }
    if (image->count == 0 || __builtin_add_overflow(header->entry, bias, &image->entry) || image->entry >= IMAGE_LIMIT)
        return ERR_NOT_EXECUTABLE;
    image->program_headers = find_program_headers(image, header->program_headers, table_bytes);
    image->program_header_count = image->program_headers != 0 ? header->program_header_count : 0;
    return OK;
}

enum status elf_read(struct memory_object *object, struct elf_image *image) {
    struct elf_header header;
    enum status status = read_exactly(object, 0, &header, sizeof(header));

    if (status != OK)
        return status;
    if (!header_ok(&header))
        return ERR_NOT_EXECUTABLE;
    size_t bytes = header.program_header_count * sizeof(struct program_header);
    struct program_header *program_headers = local_alloc(bytes);
    if (program_headers == NULL)
        return ERR_NO_MEMORY;
    if (header.program_headers > OBJECT_SIZE_MAX)
        status = ERR_NOT_EXECUTABLE;
    else
        status = read_exactly(object, header.program_headers, program_headers, bytes);
    if (status == OK)
        status = decode(&header, program_headers, object->size, image);
    local_free(program_headers, bytes);
    return status;
}

/* The pages with bytes of the file, and those behind them, which are zero. */
static enum status map_segment(struct memory_object *object, const struct elf_segment *segment) {
    uint64_t file_part = page_ceil(segment->file_bytes);
    vaddr_t place;
    enum status status = OK;

    if (file_part > 0) {
        const struct vm_map_request request = {.address = segment->address,
                                               .bytes = file_part,
                                               .protection = segment->protection,
                                               .fixed = true,
                                               .object = object,
                                               .offset = segment->offset,
                                               .file_bytes = segment->file_bytes};
        status = vm_map(&request, &place);
    }
    if (status == OK && segment->bytes > file_part) {
        const struct vm_map_request request = {.address = segment->address + file_part,
                                               .bytes = segment->bytes - file_part,
                                               .protection = segment->protection,
                                               .fixed = true};
        status = vm_map(&request, &place);
    }
    return status;
}

enum status elf_map(struct memory_object *object, const struct elf_image *image) {
    enum status status = OK;

    for (unsigned i = 0; i < image->count && status == OK; i++)
        status = map_segment(object, &image->segments[i]);
    return status;
}
