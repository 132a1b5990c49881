/*
 * The user half of an address space: areas (VMAs), demand paging, copy-on-write. Page tables are edited through the
 * window of the loaded space, so every function here works on the current process, but for vm_fork, which builds a
 * child.
 *
 * All take user_space->lock themselves unless they say otherwise, may sleep, and must be called with no view held.
 */
#ifndef MM_VM_H
#define MM_VM_H

#include "kernel/status.h"
#include "mm/types.h"

struct memory_object;
struct process;
struct region;
struct vma;

#define VM_AREAS_MAX   65530UL           /* areas of one process, as Linux has it */
#define VM_STACK_LIMIT (8UL << 20)       /* how far one that grows down may grow by default, bytes */
#define VM_STACK_MAX   (192UL << 20)     /* and whatever that is: between stack and mappings lies more */
#define VM_STACK_GUARD (256 * PAGE_SIZE) /* what stays free between it and the area below */

enum vm_protection { VM_READ = 1, VM_WRITE = 2, VM_EXECUTE = 4 }; /* as PROT_* */

/* State of the user half: LOCAL, in struct local; copied with it at fork. Protected by user_space->lock. */
struct vm {
    struct vma *root;             /* balanced tree by start address */
    struct vma *last;             /* the one the last fault hit */
    uint64_t areas;               /* how many */
    uint64_t mapped_pages;        /* sum of their sizes */
    uint32_t changer;             /* id of the vfork child that changed its copy of the areas; else something older */
    vaddr_t heap_start, heap_end; /* brk */
    uint64_t mmap_shift;          /* bytes below USER_MMAP_TOP where mmap begins (kernel/layout.h) */
    uint64_t address_secret; /* random, the program's: what GLOBAL memory keeps of its addresses is mixed with it */
    uint32_t adviser;        /* who said what a fork is to do, or 0; a child sees another's (vm_settle_fork) */
    bool populates;          /* mlockall: what is mapped from now on is made present */
    /*
     * The program's file, set by exec with a reference, an object_begin_run() and an ephmap_open(). vm_destroy() gives
     * all back; vm_fork() takes the child's reference and run (its open is counted by handles_fork()).
     */
    struct memory_object *executable;
};

/* What vm_fault() says of an address that user code may not touch: siginfo's codes for SIGSEGV. */
enum { VM_NOT_MAPPED = 1, VM_NOT_ALLOWED = 2 };

struct vm_map_request {
    vaddr_t address; /* hint, or the place itself with `fixed` */
    uint64_t bytes;
    unsigned protection; /* enum vm_protection bits */
    bool fixed, no_replace, shared, grows_down, populate;
    struct memory_object *object; /* NULL: anonymous. The area takes a reference of its own */
    struct region *region;        /* device registers instead: shared, not executable. Likewise */
    uint64_t offset;              /* in object or region, page-aligned */
    uint64_t file_bytes;          /* private file mappings by exec: bytes behind this are zero (0: no such limit) */
    bool writable_file;           /* a shared mapping may be made writable */
};

/*
 * Maps `bytes` (rounded up to pages); *address gets the place. ERR_NO_MEMORY (also: out of the user half), ERR_INVALID,
 * ERR_EXISTS (no_replace), ERR_NOT_PERMITTED (below USER_START), ERR_ACCESS (writable and executable at once, or a
 * shared writable mapping of a file not open for writing), ERR_OVERFLOW (offset). On error nothing has changed.
 */
MUST_USE enum status vm_map(const struct vm_map_request *request, vaddr_t *address);

/* Where vm_map() would put so many bytes if it were left to it; 0: nowhere. Of the only thread of a process. */
vaddr_t vm_free_place(uint64_t bytes);

/* Unmaps what there is in the range. ERR_INVALID (unaligned, empty or not in the user half), ERR_NO_MEMORY. */
MUST_USE enum status vm_unmap(vaddr_t address, uint64_t bytes);

/* Changes rights. ERR_INVALID, ERR_ACCESS (as vm_map), ERR_NO_MEMORY (also: not all of it is mapped). On error nothing
 * changed. */
MUST_USE enum status vm_protect(vaddr_t address, uint64_t bytes, unsigned protection);

/* Moves the end of the heap and returns where it is now: unchanged when that cannot be done. */
vaddr_t vm_break(vaddr_t end);

/*
 * mremap: `fixed` moves to *address, else it stays if it can, or moves if it may. `keep`: what it moves from stays
 * mapped, without its pages; *address is a hint. Of a shared area 0 bytes can be moved: it is mapped a second time.
 * *address gets the place. ERR_INVALID, ERR_FAULT (not one area), ERR_NO_MEMORY, ERR_NOT_PERMITTED (below USER_START).
 */
struct vm_remap_request {
    vaddr_t address;
    uint64_t bytes, new_bytes;
    bool may_move, fixed, keep;
};
MUST_USE enum status vm_remap(const struct vm_remap_request *request, vaddr_t *address);

/*
 * Drops the pages of a range: private ones are zero or the file's again, shared ones stay in their object.
 * ERR_NO_MEMORY: a hole. ERR_INVALID: `anonymous_only`, and there is an object.
 */
MUST_USE enum status vm_discard(vaddr_t address, uint64_t bytes, bool anonymous_only);

/*
 * What a fork does with the range: enum vma_fork bits, which are set or taken back. ERR_NO_MEMORY (a hole), ERR_INVALID
 * (WIPE, and not private anonymous).
 */
MUST_USE enum status vm_advise_fork(vaddr_t address, uint64_t bytes, unsigned set, unsigned clear);

/* mlockall: makes all that is mapped present, as far as it goes, and what is mapped from now on, or no more. */
void vm_populate_all(void);
void vm_populate_new(bool populate);

/*
 * Which of `count` pages (at most VM_RESIDENCY_MAX) from `address` on can be touched without waiting: a byte each, in
 * the caller's own memory. ERR_NO_MEMORY: a hole.
 */
#define VM_RESIDENCY_MAX 256U
MUST_USE enum status vm_residency(vaddr_t address, unsigned count, uint8_t *resident);

/*
 * Makes every page of a range present. ERR_NO_MEMORY (also: a hole, or little would be left for others), ERR_FAULT (not
 * allowed), ERR_IO.
 */
MUST_USE enum status vm_populate(vaddr_t address, uint64_t bytes, bool write);

/*
 * Whole pages: what was written to shared mappings of files with a pager is stored and durable. ERR_IO, ERR_NO_SPACE.
 */
MUST_USE enum status vm_sync(vaddr_t address, uint64_t bytes);

/*
 * Unmaps what is left of a segment of shared memory that was mapped at `address`, which is a page's. ERR_INVALID: there
 * is nothing of the kind.
 */
MUST_USE enum status vm_detach_segment(vaddr_t address);

/* Whether every page of [address, address + bytes) lies in some area. */
bool vm_range_mapped(vaddr_t address, uint64_t bytes);

/*
 * What a futex at `address` is waited for by: private memory gives OK and *object NULL (the key is space and address);
 * shared memory the object, with a reference, and the byte in it. ERR_FAULT: nothing readable there.
 */
MUST_USE enum status vm_futex_key(vaddr_t address, struct memory_object **object, uint64_t *offset);

/*
 * The object lost the pages from `page` on: takes them out of the calling process's mappings. The next touch is
 * ERR_IO.
 */
void vm_forget_pages(struct memory_object *object, uint64_t page);

/*
 * Takes pages that were cut off their object, and are mapped in some process still, out of all of them. Stops the other
 * CPUs: no lock held.
 */
void vm_forget_cut_pages(void);

/*
 * Takes every page that has a pager out of all user halves but those of processes that have locked memory: what is
 * mapped cannot be evicted. A page that was touched counts as used. Returns how many entries went. Stops the other
 * CPUs: no lock held but sleeping ones; may sleep.
 */
uint64_t vm_unmap_paged(void);

/*
 * A page fault of user code, or of the kernel on user memory. OK: try again. ERR_FAULT (*si_code gets VM_NOT_MAPPED or
 * VM_NOT_ALLOWED), ERR_IO (behind the end of the file, or its pager failed: SIGBUS), ERR_NO_MEMORY, ERR_RESTART (the
 * thread is being killed). May wait for a pager.
 */
MUST_USE enum status vm_fault(vaddr_t address, bool write, bool execute, int *si_code);

/*
 * Gives the child a copy-on-write copy of the caller's user half; the child's LOCAL region is copied already. On error
 * what was built of the child's user half is taken down. Called with the parent's user_space->lock held. ERR_NO_MEMORY.
 */
MUST_USE enum status vm_fork(struct process *child);

/* Takes back a vm_fork() that succeeded: the child's references, entries and user tables. Same lock, not given up
 * between. */
void vm_fork_undo(struct process *child);

/*
 * A child's first steps: areas that were not to be its are taken out; what mlockall() said is its parent's. Cheap if
 * nobody ever asked for either.
 */
void vm_settle_fork(void);

/* Takes down the user half: every frame and table is scrubbed and freed. No thread runs in it any more. */
void vm_destroy(void);

/*
 * Begin of a vfork share, in the parent, with its user_space->lock held: references for the areas that the child is to
 * have a copy of. And back, when there is no child after all: the lock was not given up between.
 */
void vm_lend(void);
void vm_lend_undo(void);

/*
 * End of a vfork share on the child's side, with the shared user half still loaded: forgets the areas, and leaves them
 * for the parent if they were changed. The parent's pages stay. Closes `executable` for this process. (Whichever
 * process is the last to have a user half calls vm_destroy() instead.)
 */
void vm_disown(void);

/* On the parent's side, before it goes back to user code: takes over what its vfork child changed. Cheap if nothing. */
void vm_rejoin(void);

/* After vm_destroy or vm_disown: an empty user half. */
void vm_reset(void);

#endif
