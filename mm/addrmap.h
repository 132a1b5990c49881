/*
 * The virtual address map: the one place where an address is written down.
 *
 * An address tells its class: the PML4 slot says what kind of memory it is and whether speculation in the restricted
 * space may reach it. The two roots of a process differ in STACK and PHYSMAP and in nothing else.
 *
 *   slot     region     restricted             unrestricted       holds
 *   0–255    USER       yes                    same tables        the process's own memory
 *   256      EPHMAP     yes                    same tables        views of secret frames that this process may see
 *   257      LOCAL      yes                    same tables        kernel objects of this process alone
 *   258      STACK      restricted frames      other frames       kernel stacks
 *   259      PTWINDOW   yes                    same entry         the page tables themselves (recursive: restricted)
 *   260      GLOBAL     yes                    same tables        kernel objects with no user data
 *   320      PHYSMAP    absent                 yes                all of RAM, linearly
 *   511      IMAGE      yes                    same tables        kernel text, read-only data, plain data
 *
 * Plain numbers only: the assembler gets them from here through arch/offsets.c.
 */
#ifndef MM_ADDRMAP_H
#define MM_ADDRMAP_H

#define PAGE_SHIFT    12
#define PAGE_SIZE     4096UL
#define TABLE_ENTRIES 512UL

#define PAGE_TABLE_SPAN     (PAGE_SIZE * TABLE_ENTRIES)           /* what one PT maps: 2 MiB */
#define PAGE_DIRECTORY_SPAN (PAGE_TABLE_SPAN * TABLE_ENTRIES)     /* what one PD maps: 1 GiB */
#define PDPT_SPAN           (PAGE_DIRECTORY_SPAN * TABLE_ENTRIES) /* what one PML4 slot maps: 512 GiB */

/* The canonical address at which a slot of the upper half begins. */
#define SLOT_BASE(slot) (0xffff000000000000UL | ((unsigned long)(slot) << 39))

#define USER_SLOTS    256
#define SLOT_EPHMAP   256
#define SLOT_LOCAL    257
#define SLOT_STACK    258
#define SLOT_PTWINDOW 259
#define SLOT_GLOBAL   260
#define SLOT_PHYSMAP  320
#define SLOT_IMAGE    511

/* USER. The first page stays unmapped; the last too, so that no user instruction ends at the canonical boundary. */
#define USER_START     0x10000UL
#define USER_END       0x7ffffffff000UL
#define USER_STACK_TOP 0x7ffffffde000UL
#define USER_MMAP_TOP  0x7ffff0000000UL /* mmap places from here downwards */

/*
 * EPHMAP: a lasting window at (frame number) pages from the start; in the last GiB the scratch slots, divided per
 * CPU.
 */
#define EPHMAP_BASE          SLOT_BASE(SLOT_EPHMAP)
#define EPHMAP_SCRATCH_BASE  (EPHMAP_BASE + PDPT_SPAN - PAGE_DIRECTORY_SPAN)
#define EPHMAP_WINDOW_FRAMES ((EPHMAP_SCRATCH_BASE - EPHMAP_BASE) / PAGE_SIZE)

/* LOCAL: `struct local` first, its heap behind it. */
#define LOCAL_BASE SLOT_BASE(SLOT_LOCAL)
#define LOCAL_END  (LOCAL_BASE + 64 * 1024 * 1024UL)

/*
 * STACK. Thread stacks of this process in the first GiB. In the unrestricted root only, their restricted frames are
 * visible again in the second, at STACK_ALIAS_OFFSET, so that a transition can copy from one to the other. In the third
 * the stacks that belong to a CPU: the same tables in every restricted root, other frames in every unrestricted one.
 */
#define STACK_BASE         SLOT_BASE(SLOT_STACK)
#define STACK_PAGES        4UL
#define STACK_SIZE         (STACK_PAGES * PAGE_SIZE)
#define STACK_STRIDE       (2 * STACK_SIZE) /* the lower half of each stride is a guard */
#define STACK_THREADS_MAX  (PAGE_DIRECTORY_SPAN / STACK_STRIDE)
#define STACK_ALIAS_OFFSET PAGE_DIRECTORY_SPAN
#define CPU_STACK_BASE     (STACK_BASE + 2 * PAGE_DIRECTORY_SPAN)

/* PTWINDOW: entry i of the PML4 that maps it leads back to that PML4. */
#define PTWINDOW_BASE SLOT_BASE(SLOT_PTWINDOW)

/* GLOBAL: the frame table, then the heap, then device registers that the kernel itself uses. */
#define GLOBAL_BASE      SLOT_BASE(SLOT_GLOBAL)
#define FRAME_TABLE_BASE GLOBAL_BASE
#define GLOBAL_HEAP_BASE (GLOBAL_BASE + 64 * PAGE_DIRECTORY_SPAN)
#define GLOBAL_HEAP_END  (GLOBAL_BASE + 128 * PAGE_DIRECTORY_SPAN)
#define DEVICE_BASE      (GLOBAL_BASE + 128 * PAGE_DIRECTORY_SPAN)
#define DEVICE_END       (GLOBAL_BASE + 129 * PAGE_DIRECTORY_SPAN)

/* Where the other CPUs' first instructions are copied to: the first page of RAM in this range of physical memory. */
#define AP_START_LOWEST 0x8000UL
#define AP_START_END    0xa0000UL

#define PHYSMAP_BASE SLOT_BASE(SLOT_PHYSMAP)
#define PHYSMAP_END  SLOT_BASE(SLOT_IMAGE)

#define IMAGE_BASE 0xffffffff80000000UL /* virtual = physical + IMAGE_BASE */

#endif
