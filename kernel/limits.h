/*
 * Resource limits of processes. Metadata, class GLOBAL: in struct process, inherited at fork, kept by exec.
 *
 * Written with processes_lock by the process or by who may; read without, either value being right.
 */
#ifndef KERNEL_LIMITS_H
#define KERNEL_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/status.h"

struct process;
struct thread;

enum resource {
    RLIMIT_CPU,
    RLIMIT_FSIZE,
    RLIMIT_DATA,
    RLIMIT_STACK,
    RLIMIT_CORE,
    RLIMIT_RSS,
    RLIMIT_NPROC,
    RLIMIT_NOFILE,
    RLIMIT_MEMLOCK,
    RLIMIT_AS,
    RLIMIT_LOCKS,
    RLIMIT_SIGPENDING,
    RLIMIT_MSGQUEUE,
    RLIMIT_NICE,
    RLIMIT_RTPRIO,
    RLIMIT_RTTIME,
    RLIMIT_COUNT,
};

#define RLIM_INFINITY UINT64_MAX

struct rlimit {
    uint64_t current, maximum;
};

struct limits {
    struct rlimit of[RLIMIT_COUNT];
    uint32_t finite; /* a bit for each whose current value is not infinite: the quick look */
};

/* What the first processes have. */
void limits_init(struct limits *limits);

/* The current limit of the calling process. */
uint64_t limit_current(enum resource resource);

/* Whether the calling process may have one more thread or child (RLIMIT_NPROC, of its real user). */
bool limits_permit_task(void);

/* Whether it may have so many more bytes mapped, `data` of them private, writable. Locks its user half; may sleep. */
bool limits_permit_memory(uint64_t bytes, uint64_t data);

/*
 * How many of `bytes` may be written at `offset` of a file. 0: none, and the caller has been sent SIGXFSZ
 * (ERR_FILE_TOO_BIG).
 */
uint64_t limits_permit_file(uint64_t offset, uint64_t bytes);

/* Whether RLIMIT_NICE of the process lets its threads be as urgent as that nice value. processes_lock held. */
bool limits_permit_nice(const struct process *process, int nice);

/* From the timer interrupt: the thread has run. RLIMIT_RTTIME, when it has a real-time policy. */
void limits_check_realtime(struct thread *thread);

/* From the timer interrupt: a thread of a process with RLIMIT_CPU has run. SIGXCPU each second behind it; SIGKILL. */
void limits_check_cpu(struct process *process);

#endif
