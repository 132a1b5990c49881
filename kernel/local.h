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

/* What links of /proc say to this process: kernel/proc_names.c. Protected by names_lock. */
struct live_text {
    char self[12], thread[32], directory[256];
};

struct local {
    struct local_heap heap;        /* first: mm/local.c knows */
    struct vm vm;                  /* protected by user_space.lock */
    struct handle_table handles;   /* protected by process.handle_lock */
    struct signal_actions signals; /* protected by process.signal_lock */
    uint64_t *timer_values;        /* of POSIX timers; local_alloc, kept by a fork. Protected by process.timers_mutex */
    struct random_state random;    /* protected by process.local_lock */
    uint32_t personality;          /* of personality(2); survives fork and exec. One word, stored whole */
    struct live_text *live;        /* made when it is first needed, or NULL */
    vaddr_t stack_start; /* where exec left the stack: argc is there, then argv, the environment and the auxiliary
                            vector. Written by exec alone */
};

/* The current process's. */
#define LOCAL ((struct local *)LOCAL_BASE)

#endif
