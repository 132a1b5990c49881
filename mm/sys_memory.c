/*
 * System calls on memory: decode Linux's arguments and flags, check them, and act through mm/vm.h.
 *
 * What Linux allows a kernel to do nothing about (locking, most advice) does nothing here.
 * Locks: none of its own. Runs in whatever space was loaded; may sleep.
 */
#include "kernel/file.h"
#include "kernel/syscall_table.h"
#include "mm/region.h"
#include "mm/vm.h"

/* Linux's numbers. */
enum {
    MAP_TYPE = 0x0f,
    MAP_TYPE_SHARED = 1,
    MAP_TYPE_PRIVATE = 2,
    MAP_TYPE_SHARED_VALIDATE = 3,
    MAP_FIXED = 0x10,
    MAP_ANONYMOUS = 0x20,
    MAP_32BIT = 0x40,
    MAP_GROWSDOWN = 0x100,
    MAP_POPULATE = 0x8000,
    MAP_HUGETLB = 0x40000,
    MAP_FIXED_NOREPLACE = 0x100000,

    MREMAP_MAYMOVE = 1,
    MREMAP_FIXED = 2,

    MS_ASYNC = 1,
    MS_INVALIDATE = 2,
    MS_SYNC = 4,

    MADV_DONTNEED = 4,
    MADV_FREE = 8,
    MADV_POPULATE_READ = 22,
    MADV_POPULATE_WRITE = 23,
    MADV_DONTNEED_LOCKED = 24,
};

/*
 * Advice that changes nothing a program can see here. Not in it, so EINVAL as from a Linux built without: REMOVE (9),
 * WIPEONFORK (18) and KEEPONFORK (19), which programs rely on; HWPOISON (100), SOFT_OFFLINE (101), COLLAPSE (25).
 */
#define MADV_BIT(advice) (1UL << (advice))
static const uint64_t harmless_advice = MADV_BIT(0) | MADV_BIT(1) | MADV_BIT(2) | MADV_BIT(3) | /* NORMAL … WILLNEED */
                                        MADV_BIT(10) | MADV_BIT(11) |                           /* DONTFORK, DOFORK */
                                        MADV_BIT(12) | MADV_BIT(13) |                           /* (UN)MERGEABLE */
                                        MADV_BIT(14) | MADV_BIT(15) |                           /* (NO)HUGEPAGE */
                                        MADV_BIT(16) | MADV_BIT(17) |                           /* DONTDUMP, DODUMP */
                                        MADV_BIT(20) | MADV_BIT(21);                            /* COLD, PAGEOUT */

/* Linux ignores protection bits it does not know in mmap. */
static unsigned known_protection(uint64_t bits) { return bits & (VM_READ | VM_WRITE | VM_EXECUTE); }

static enum status map_file(int fd, struct vm_map_request *request, vaddr_t *address) {
    bool readable, writable;
    struct file *file;
    enum status status = handle_get(fd, &file);

    if (status != OK)
        return status;
    request->region = region_of(file, &readable, &writable);
    if (!request->region)
        status = file_mappable(file, &request->object, &readable, &writable);
    if (status == OK && !readable)
        status = ERR_ACCESS;
    request->writable_file = writable;
    if (status == OK)
        status = vm_map(request, address);
    file_unref(file);
    return status;
}

enum status sys_mmap(struct syscall *call) {
    uint64_t flags = call->arg[3], type = flags & MAP_TYPE;
    struct vm_map_request request = {
        .address = call->arg[0],
        .bytes = call->arg[1],
        .protection = known_protection(call->arg[2]),
        .fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE),
        .no_replace = flags & MAP_FIXED_NOREPLACE,
        .shared = type == MAP_TYPE_SHARED || type == MAP_TYPE_SHARED_VALIDATE,
        .grows_down = flags & MAP_GROWSDOWN,
        .populate = flags & MAP_POPULATE,
        .offset = call->arg[5],
    };
    vaddr_t address = 0;
    enum status status;

    if (page_offset(request.offset) || request.bytes == 0 || (!request.shared && type != MAP_TYPE_PRIVATE) ||
        (request.grows_down && request.shared))
        return ERR_INVALID;
    if (flags & (MAP_HUGETLB | MAP_32BIT)) /* what a Linux without such memory to spare says */
        return ERR_NO_MEMORY;
    if (flags & MAP_ANONYMOUS) {
        request.offset = 0;
        status = vm_map(&request, &address);
    } else {
        status = map_file((int)call->arg[4], &request, &address);
    }
    call->result = (int64_t)address;
    return status;
}

enum status sys_munmap(struct syscall *call) { return vm_unmap(call->arg[0], call->arg[1]); }

enum status sys_mprotect(struct syscall *call) {
    if (call->arg[2] != known_protection(call->arg[2]))
        return ERR_INVALID;
    return vm_protect(call->arg[0], call->arg[1], (unsigned)call->arg[2]);
}

enum status sys_brk(struct syscall *call) {
    call->result = (int64_t)vm_break(call->arg[0]);
    return OK;
}

enum status sys_mremap(struct syscall *call) {
    uint64_t flags = call->arg[3];
    struct vm_remap_request request = {
        .address = call->arg[0],
        .bytes = call->arg[1],
        .new_bytes = call->arg[2],
        .may_move = flags & MREMAP_MAYMOVE,
        .fixed = flags & MREMAP_FIXED,
    };
    vaddr_t address = call->arg[4];
    enum status status;

    if (flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED))
        return ERR_INVALID;
    status = vm_remap(&request, &address);
    call->result = (int64_t)address;
    return status;
}

/* Rounds a length up to pages; false on overflow. */
static bool round_length(uint64_t *bytes) {
    if (*bytes > UINT64_MAX - PAGE_SIZE)
        return false;
    *bytes = page_ceil(*bytes);
    return true;
}

/* Mappings show the object's own pages: only with MS_SYNC, and a pager, there is something to do. */
enum status sys_msync(struct syscall *call) {
    uint64_t address = call->arg[0], bytes = call->arg[1], flags = call->arg[2];

    if (page_offset(address) || flags & ~(uint64_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
        (flags & MS_ASYNC && flags & MS_SYNC))
        return ERR_INVALID;
    if (!round_length(&bytes) || !vm_range_mapped(address, bytes))
        return ERR_NO_MEMORY;
    return flags & MS_SYNC ? vm_sync(address, bytes) : OK;
}

enum status sys_madvise(struct syscall *call) {
    uint64_t address = call->arg[0], bytes = call->arg[1];
    int advice = (int)call->arg[2];

    if (page_offset(address) || !round_length(&bytes))
        return ERR_INVALID;
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        return vm_discard(address, bytes, false);
    case MADV_FREE: /* the pages may go at any time from now on: they go at once */
        return vm_discard(address, bytes, true);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return vm_populate(address, bytes, advice == MADV_POPULATE_WRITE);
    default:
        if (advice < 0 || advice >= 64 || !(harmless_advice & MADV_BIT(advice)))
            return ERR_INVALID;
        return vm_range_mapped(address, bytes) ? OK : ERR_NO_MEMORY;
    }
}

/* What is mapped is not evicted, so locked is what present is. */
enum status sys_mlock(struct syscall *call) {
    uint64_t start = page_floor(call->arg[0]), bytes = call->arg[1];

    if (bytes > USER_END)
        return ERR_NO_MEMORY;
    bytes = page_ceil(bytes + page_offset(call->arg[0]));
    return vm_populate(start, bytes, false) == OK ? OK : ERR_NO_MEMORY;
}

enum status sys_munlock(struct syscall *call) {
    uint64_t start = page_floor(call->arg[0]), bytes = call->arg[1];

    if (bytes > USER_END)
        return ERR_NO_MEMORY;
    bytes = page_ceil(bytes + page_offset(call->arg[0]));
    return vm_range_mapped(start, bytes) ? OK : ERR_NO_MEMORY;
}
