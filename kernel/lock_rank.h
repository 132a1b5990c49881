/*
 * The order of all locks: a lock is taken only while every lock already held has a lower rank. Those that interrupt
 * handlers take, and that are therefore held with interrupts off, come behind all others: an interrupt may strike while
 * any of the others is held.
 */
#ifndef KERNEL_LOCK_RANK_H
#define KERNEL_LOCK_RANK_H

enum lock_rank {
    RANK_NAMES = 1,  /* the name tree (kernel/names.c) */
    RANK_HANDLES,    /* a process's handle table */
    RANK_SPACE,      /* a user address space: VMAs and page tables */
    RANK_FILE,       /* an open file's position */
    RANK_PIPE,       /* a pipe or terminal: positions and readers/writers */
    RANK_SOCKETS,    /* sockets: names, connections, packets, files under way */
    RANK_FUTEX,      /* a futex bucket */
    RANK_SYSV,       /* System V IPC: ids, segments, semaphores, queues */
    RANK_INOTIFY,    /* who watches which inode, and what is to be read of it */
    RANK_TIME,       /* the wall clock is being set */
    RANK_OBJECT,     /* a memory object's page index and size */
    RANK_PAGERS,     /* which objects have pagers */
    RANK_VIEWS,      /* who has which object open (mm/ephmap.c) */
    RANK_DMA,        /* what a device reaches (kernel/dma.c) */
    RANK_IOMMU,      /* the IOMMUs' registers */
    RANK_REGIONS,    /* which device registers are whose (mm/region.c) */
    RANK_SERVER,     /* which endpoint is a server's */
    RANK_HEAP_LOCAL, /* a process's LOCAL heap */
    RANK_PROCESSES,  /* the process tree, pids, exit states. From here on: interrupts off */
    RANK_INTERRUPTS, /* which device interrupt goes to whom */
    RANK_SIGNAL,     /* pending signals and masks of one process */
    RANK_IPC,        /* who waits for whom at endpoints */
    RANK_ALARMS,     /* what is to ring when (kernel/alarm.c) */
    RANK_WAIT,       /* a wait queue */
    RANK_LINKS,      /* which epoll watches which file */
    RANK_READY,      /* an epoll's ready list, and its wait queue */
    RANK_TIMER,      /* sleepers */
    RANK_RUN_QUEUE,  /* a CPU's run queue */
    RANK_HEAP,       /* the GLOBAL heap */
    RANK_TABLES,     /* page tables of the GLOBAL region */
    RANK_FRAMES,     /* the free list */
    RANK_PCI,        /* the ports of PCI configuration space */
    RANK_CONSOLE,    /* the kernel's own messages */
    RANK_COUNT
};

#endif
