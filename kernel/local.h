/*
 * struct local: the kernel objects of one process alone, at one address in every process (class LOCAL). At fork the
 * region is copied page by page, so pointers inside it stay valid.
 */
#ifndef KERNEL_LOCAL_H
#define KERNEL_LOCAL_H

#include "kernel/file.h"
#include "kernel/random.h"
#include "kernel/signal.h"
#include "mm/heap.h"
#include "mm/vm.h"

struct local {
    struct local_heap heap;        /* first: mm/local.c knows */
    struct vm vm;                  /* protected by user_space.lock */
    struct handle_table handles;   /* protected by process.handle_lock */
    struct signal_actions signals; /* protected by process.signal_lock */
    struct random_state random;    /* protected by process.local_lock */
};

/* The current process's. */
#define LOCAL ((struct local *)LOCAL_BASE)

#endif
