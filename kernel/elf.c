/*
 * ELF64 programs and their interpreters: ET_EXEC and ET_DYN.
 *
 * elf_read() decodes and judges, elf_place() says where, elf_map() then has nothing left to doubt. The headers are
 * bytes of a file: they stay on the stack and in LOCAL memory. No locks. Runs in either space.
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
_Static_assert(sizeof(struct elf_header) == ELF_HEADER_BYTES, "Elf64_Ehdr");

struct program_header {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_bytes, memory_bytes, align;
};
_Static_assert(sizeof(struct program_header) == 56, "Elf64_Phdr");

enum { CLASS_64 = 2, LITTLE_ENDIAN = 1, VERSION = 1, TYPE_EXEC = 2, TYPE_DYN = 3, MACHINE_X86_64 = 62 };
enum { PT_LOAD = 1, PT_INTERP = 3, PT_GNU_STACK = 0x6474e551 };
enum { PF_EXECUTE = 1, PF_WRITE = 2, PF_READ = 4 };

/* As many as fit one page of LOCAL memory. */
#define PROGRAM_HEADERS_MAX (PAGE_SIZE / sizeof(struct program_header))
/* Programs end below where mmap begins when nothing is at random. */
#define IMAGE_LIMIT USER_MMAP_TOP
/* What alignment is heeded: more only makes a place predictable. */
#define ALIGNMENT_MAX PAGE_DIRECTORY_SPAN

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

/* Decodes one PT_LOAD; `start` is where it may begin: behind the segments before it. */
static bool decode_segment(const struct program_header *header, uint64_t file_size, vaddr_t start,
                           struct elf_segment *segment) {
    uint64_t first = header->address, last;

    if (header->file_bytes > header->memory_bytes || header->offset > file_size ||
        header->file_bytes > file_size - header->offset)
        return false;
    if (__builtin_add_overflow(first, header->memory_bytes, &last) || last > IMAGE_LIMIT)
        return false;
    if (page_offset(first) != page_offset(header->offset) || page_floor(first) < start)
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

/* Adds a program header to what is known of the image. */
static bool decode_header(const struct program_header *header, uint64_t file_size, struct elf_image *image) {
    struct elf_segment *segment = &image->segments[image->count];

    if (header->type == PT_INTERP && image->interpreter_bytes == 0) { /* the first counts */
        image->interpreter_offset = header->offset;
        image->interpreter_bytes = header->file_bytes;
        return header->file_bytes >= 2 && header->file_bytes <= ELF_INTERPRETER_MAX;
    }
    if (header->type == PT_GNU_STACK && header->flags & PF_EXECUTE)
        image->executable_stack = image->writable_code = true;
    if (header->type != PT_LOAD || header->memory_bytes == 0)
        return true;
    if (image->count == ELF_SEGMENTS_MAX || !decode_segment(header, file_size, image->end, segment))
        return false;
    image->writable_code |= segment->protection & VM_WRITE && segment->protection & VM_EXECUTE;
    image->end = segment->address + segment->bytes;
    image->count++;
    if (header->align <= ALIGNMENT_MAX && (header->align & (header->align - 1)) == 0 &&
        header->align > image->alignment)
        image->alignment = header->align;
    return true;
}

static enum status decode(const struct elf_header *header, const struct program_header *program_headers,
                          uint64_t file_size, struct elf_image *image) {
    uint64_t table_bytes = header->program_header_count * sizeof(struct program_header);
    bool movable = header->type == TYPE_DYN;

    *image = (struct elf_image){.movable = movable,
                                .alignment = PAGE_SIZE,
                                .entry = header->entry,
                                .end = movable ? 0 : USER_START}; /* so far: where the first segment may begin */
    for (unsigned i = 0; i < header->program_header_count; i++)
        if (!decode_header(&program_headers[i], file_size, image))
            return ERR_NOT_EXECUTABLE;
    if (image->count == 0 || image->entry < image->segments[0].address || image->entry >= IMAGE_LIMIT)
        return ERR_NOT_EXECUTABLE; /* also: nowhere in the user half, once the image has been placed */
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

enum status elf_read_interpreter(struct memory_object *object, const struct elf_image *image, char *path) {
    enum status status = ERR_IO;

    if (image->interpreter_offset <= OBJECT_SIZE_MAX)
        status = read_exactly(object, image->interpreter_offset, path, image->interpreter_bytes);
    if (status != OK)
        return status == ERR_NOT_EXECUTABLE ? ERR_IO : status;
    return path[image->interpreter_bytes - 1] == '\0' ? OK : ERR_NOT_EXECUTABLE;
}

uint64_t elf_span(const struct elf_image *image) { return image->end - image->segments[0].address; }

enum status elf_place(struct elf_image *image, vaddr_t base) {
    vaddr_t bias = (base & ~(image->alignment - 1)) - image->segments[0].address;

    image->movable = false;
    if (base > IMAGE_LIMIT || elf_span(image) > IMAGE_LIMIT - base || bias + image->segments[0].address < USER_START)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < image->count; i++)
        image->segments[i].address += bias;
    image->bias = bias;
    image->entry += bias;
    image->end += bias;
    if (image->program_headers != 0)
        image->program_headers += bias;
    return OK;
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
                                               .no_replace = true,
                                               .object = object,
                                               .offset = segment->offset,
                                               .file_bytes = segment->file_bytes};
        status = vm_map(&request, &place);
    }
    if (status == OK && segment->bytes > file_part) {
        const struct vm_map_request request = {.address = segment->address + file_part,
                                               .bytes = segment->bytes - file_part,
                                               .protection = segment->protection,
                                               .fixed = true,
                                               .no_replace = true};
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
