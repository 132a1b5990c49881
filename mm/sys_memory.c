/*
 * System calls on memory: decode Linux's arguments and flags, check them, and act through mm/vm.h.
 *
 * What Linux allows a kernel to do nothing about (locking, most advice) does nothing here.
 * Locks: none of its own. Runs in whatever space was loaded; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/file.h"
#include "kernel/limits.h"
#include "kernel/local.h"
#include "kernel/syscall_table.h"
#include "mm/object.h"
#include "mm/region.h"
#include "mm/tlb.h"
#include "mm/vm.h"
#include "mm/vma.h"

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
    MREMAP_DONTUNMAP = 4,

    MS_ASYNC = 1,
    MS_INVALIDATE = 2,
    MS_SYNC = 4,

    MADV_DONTNEED = 4,
    MADV_FREE = 8,
    MADV_DONTFORK = 10,
    MADV_DOFORK = 11,
    MADV_WIPEONFORK = 18,
    MADV_KEEPONFORK = 19,
    MADV_POPULATE_READ = 22,
    MADV_POPULATE_WRITE = 23,
    MADV_DONTNEED_LOCKED = 24,

    MLOCK_ONFAULT = 1,
    MCL_CURRENT = 1,
    MCL_FUTURE = 2,
    MCL_ONFAULT = 4,
};

/*
 * Advice that changes nothing a program can see here. Not in it, so EINVAL as from a Linux built without: REMOVE (9),
 * which programs rely on; HWPOISON (100), SOFT_OFFLINE (101), COLLAPSE (25).
 */
#define MADV_BIT(advice) (1UL << (advice))
static const uint64_t harmless_advice = MADV_BIT(0) | MADV_BIT(1) | MADV_BIT(2) | MADV_BIT(3) | /* NORMAL … WILLNEED */
                                        MADV_BIT(12) | MADV_BIT(13) |                           /* (UN)MERGEABLE */
                                        MADV_BIT(14) | MADV_BIT(15) |                           /* (NO)HUGEPAGE */
                                        MADV_BIT(16) | MADV_BIT(17) |                           /* DONTDUMP, DODUMP */
                                        MADV_BIT(20) | MADV_BIT(21);                            /* COLD, PAGEOUT */

/* Linux ignores protection bits it does not know in mmap. */
static unsigned known_protection(uint64_t bits) { return bits & (VM_READ | VM_WRITE | VM_EXECUTE); }

/* A shared mapping of what can be sealed: whether it may ever be written to is decided now. */
static enum status map_sealed(struct vm_map_request *request, vaddr_t *address) {
    struct memory_object *object = request->object;
    enum status status = OK;

    object_writer_begins(object);
    if (__atomic_load_n(&object->seals, __ATOMIC_SEQ_CST) & (SEAL_WRITE | SEAL_FUTURE_WRITE)) {
        if (request->protection & VM_WRITE)
            status = ERR_NOT_PERMITTED;
        request->writable_file = false;
    }
    if (status == OK)
        status = vm_map(request, address);
    object_writer_ends(object);
    return status;
}

static enum status map_file(int fd, struct vm_map_request *request, vaddr_t *address) {
    bool readable = false, writable = false;
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
        status = request->shared && request->object && request->object->seals ? map_sealed(request, address)
                                                                              : vm_map(request, address);
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
    if (request.bytes < USER_END &&
        !limits_permit_memory(page_ceil(request.bytes),
                              !request.shared && (request.protection & VM_WRITE) ? page_ceil(request.bytes) : 0))
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
    const vaddr_t end = LOCAL->vm.heap_end, wanted = call->arg[0];
    const bool refused = wanted > end && wanted < USER_END && !limits_permit_memory(wanted - end, wanted - end);
    call->result = (int64_t)vm_break(refused ? 0 : wanted);
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
        .keep = flags & MREMAP_DONTUNMAP,
    };
    vaddr_t address = call->arg[4];
    enum status status;

    if (flags & ~(uint64_t)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return ERR_INVALID;
    if (request.new_bytes > request.bytes && request.new_bytes < USER_END &&
        !limits_permit_memory(request.new_bytes - request.bytes, 0))
        return ERR_NO_MEMORY;
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
    case MADV_DONTFORK:
        return vm_advise_fork(address, bytes, VMA_FORK_DROP, 0);
    case MADV_WIPEONFORK:
        return vm_advise_fork(address, bytes, VMA_FORK_WIPE, 0);
    case MADV_DOFORK:
        return vm_advise_fork(address, bytes, 0, VMA_FORK_DROP);
    case MADV_KEEPONFORK:
        return vm_advise_fork(address, bytes, 0, VMA_FORK_WIPE);
    default:
        if (advice < 0 || advice >= 64 || !(harmless_advice & MADV_BIT(advice)))
            return ERR_INVALID;
        return vm_range_mapped(address, bytes) ? OK : ERR_NO_MEMORY;
    }
}

/*
 * Locked is what is present, and all that the process has mapped from its first mlock() on: it is not taken out of its
 * user half (mm/vm_everywhere.c). munlock() leaves that as it is, munlockall() ends it.
 */
static void lock_all(bool locked) {
    __atomic_store_n(&process_current()->user_space->is_locked, locked, __ATOMIC_RELAXED);
}

static enum status lock_range(vaddr_t address, uint64_t bytes, bool populate) {
    const uint64_t start = page_floor(address);

    if (bytes > USER_END)
        return ERR_NO_MEMORY;
    bytes = page_ceil(bytes + page_offset(address));
    if (!vm_range_mapped(start, bytes))
        return ERR_NO_MEMORY;
    return !populate || vm_populate(start, bytes, false) == OK ? OK : ERR_NO_MEMORY;
}

enum status sys_mlock(struct syscall *call) {
    lock_all(true);
    return lock_range(call->arg[0], call->arg[1], true);
}

enum status sys_mlock2(struct syscall *call) {
    if (call->arg[2] & ~(uint64_t)MLOCK_ONFAULT)
        return ERR_INVALID;
    lock_all(true);
    return lock_range(call->arg[0], call->arg[1], !(call->arg[2] & MLOCK_ONFAULT));
}

enum status sys_mlockall(struct syscall *call) {
    const uint32_t flags = (uint32_t)call->arg[0];

    if (flags & ~(uint32_t)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || !(flags & (MCL_CURRENT | MCL_FUTURE)))
        return ERR_INVALID;
    lock_all(true);
    vm_populate_new(flags & MCL_FUTURE && !(flags & MCL_ONFAULT));
    if (flags & MCL_CURRENT && !(flags & MCL_ONFAULT))
        vm_populate_all();
    return OK;
}

enum status sys_munlockall(struct syscall *call) {
    (void)call;
    lock_all(false);
    vm_populate_new(false);
    return OK;
}

enum status sys_munlock(struct syscall *call) { return lock_range(call->arg[0], call->arg[1], false); }

enum status sys_mincore(struct syscall *call) {
    uint64_t address = call->arg[0], bytes = call->arg[1], to = call->arg[2];
    uint8_t resident[VM_RESIDENCY_MAX];

    if (page_offset(address))
        return ERR_INVALID;
    if (!round_length(&bytes) || bytes > USER_END || address > USER_END - bytes)
        return ERR_NO_MEMORY;
    if (!user_range_ok(to, bytes >> PAGE_SHIFT))
        return ERR_FAULT;
    while (bytes > 0) {
        const uint64_t pages = bytes >> PAGE_SHIFT;
        const unsigned count = pages < VM_RESIDENCY_MAX ? (unsigned)pages : VM_RESIDENCY_MAX;
        enum status status = vm_residency(address, count, resident);

        if (status == OK)
            status = copy_to_user(to, resident, count);
        if (status != OK)
            return status;
        address += count * PAGE_SIZE;
        bytes -= count * PAGE_SIZE;
        to += count;
    }
    return OK;
}

/* --- membarrier --------------------------------------------------------------------------------------------------- */

enum membarrier_command {
    MEMBARRIER_QUERY = 0,
    MEMBARRIER_GLOBAL = 1,
    MEMBARRIER_GLOBAL_EXPEDITED = 2,
    MEMBARRIER_REGISTER_GLOBAL_EXPEDITED = 4,
    MEMBARRIER_PRIVATE_EXPEDITED = 8,
    MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16,
};

/*
 * A CPU that is asked to forget a translation is interrupted, which orders all it does before and after; one that does
 * not have the process loaded has changed roots since. So it is asked to forget one, whichever. Nobody need register.
 */
enum status sys_membarrier(struct syscall *call) {
    static const vaddr_t global_page = GLOBAL_BASE, user_page = USER_START;

    if ((uint32_t)call->arg[1] != 0)
        return ERR_INVALID;
    switch ((uint32_t)call->arg[0]) {
    case MEMBARRIER_QUERY:
        call->result = MEMBARRIER_GLOBAL | MEMBARRIER_GLOBAL_EXPEDITED | MEMBARRIER_REGISTER_GLOBAL_EXPEDITED |
                       MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED;
        return OK;
    case MEMBARRIER_GLOBAL:
    case MEMBARRIER_GLOBAL_EXPEDITED:
        tlb_flush_global(&global_page, 1);
        return OK;
    case MEMBARRIER_PRIVATE_EXPEDITED:
        tlb_flush(process_current(), &user_page, 1);
        return OK;
    case MEMBARRIER_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED:
        return OK;
    default:
        return ERR_INVALID;
    }
}
