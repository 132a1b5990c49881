/*
 * The fuzzer in the guest: system calls at random, in families of processes and threads that share what they make.
 *
 *   main.c       options, rounds, the report
 *   judge.c      what must hold after a round: nothing lost, the audit clean, nobody left who cannot be killed
 *   family.c     a family: two processes of up to three threads, and the watch that wakes or ends who sleeps
 *   lane.c       one thread's sequence of calls
 *   calls.c      which calls there are, how often each is made, and what kind each argument is
 *   arguments.c  a value for a kind: right, nearly right, or wrong
 *   server.c     file servers and pagers that answer as they like, for families to live in
 *   elf.c        programs with fields changed, executed
 *   messages.c   messages to the name server and to drivers
 *   objects.c    descriptors of every kind, the pages that calls are pointed at, names
 *
 * What a family does follows from the seed and its number, so that one alone can be had again. What is not replayed is
 * who runs when, and process ids.
 */
#ifndef TESTS_FUZZ_GUEST_FUZZ_H
#define TESTS_FUZZ_GUEST_FUZZ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FUZZ_DIRECTORY "/tmp/fuzz"

enum {
    FUZZ_PAGE = 4096,
    FUZZ_THREADS = 3,   /* of a process */
    FUZZ_PROCESSES = 2, /* of a family */
    FUZZ_LANES = FUZZ_THREADS * FUZZ_PROCESSES,
    FUZZ_FAMILIES = 32, /* at once */
    FUZZ_CALLS = 4096,  /* system-call numbers that are counted */
    FUZZ_FIRST_UID = 20000,
};

/* --- Random numbers ----------------------------------------------------------------------------------------------- */

struct fuzz_random {
    uint64_t state;
};

static inline uint64_t fuzz_mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

static inline uint64_t fuzz_next(struct fuzz_random *random) { return fuzz_mix(random->state++); }
/* 0 … limit − 1 */
static inline uint64_t fuzz_below(struct fuzz_random *random, uint64_t limit) { return fuzz_next(random) % limit; }
static inline bool fuzz_one_in(struct fuzz_random *random, uint64_t n) { return fuzz_below(random, n) == 0; }

/* --- What supervisor and families share --------------------------------------------------------------------------- */

struct fuzz_lane {
    _Atomic uint64_t calls;  /* made */
    _Atomic uint32_t number; /* of the call that it is in, for the report of a hang */
    _Atomic int32_t pid, tid;
};

struct fuzz_family {
    uint64_t number;
    struct fuzz_lane lane[FUZZ_LANES];
};

struct fuzz_shared {
    struct fuzz_family family[FUZZ_FAMILIES];
    _Atomic uint64_t errors[256];        /* by errno; 0: success */
    _Atomic uint32_t done[FUZZ_CALLS];   /* by number */
    _Atomic uint32_t useful[FUZZ_CALLS]; /* … that succeeded */
};
extern struct fuzz_shared *fuzz;

struct fuzz_settings {
    uint64_t seed, calls, first, families; /* families: 0: until there were enough calls */
    unsigned per_lane, at_once;
    bool trace;
    bool served; /* families live in file servers that answer as they like */
    const char *modes, *only_calls;
};
extern struct fuzz_settings settings;

/*
 * Where things are: far from each other, so that a call that is given too large a size at one comes to a hole and not
 * to the other. What is counted lies below all that calls are pointed at.
 */
#define FUZZ_SHARED_AT  0x100000000000ul
#define FUZZ_SCRATCH_AT 0x200000000000ul /* and a hole of this many bytes between two: */
#define FUZZ_APART      0x1000000000ul
#define FUZZ_WINDOW_AT  0x300000000000ul

/* --- A process ---------------------------------------------------------------------------------------------------- */

enum { WINDOW_PAGES = 64, SCRATCH_BYTES = 16384, FDS_KNOWN = 64 };

/* One for each process of a family; its threads race for it, on purpose. */
struct fuzz_process {
    struct fuzz_family *family;
    unsigned index;
    bool root;
    uint8_t *window;                /* pages of several kinds, which calls map, protect and unmap again */
    uint8_t *scratch[FUZZ_THREADS]; /* where structures for calls are built */
    unsigned top; /* about as many descriptors are open; threads race for it, and nothing hangs on it */
};

struct fuzz_thread {
    struct fuzz_process *process;
    struct fuzz_random random;
    struct fuzz_lane *lane;
    unsigned index;
    size_t used; /* of its scratch */
    long results[8];
};

/* --- calls.c ------------------------------------------------------------------------------------------------------ */

enum fuzz_kind {
    K_NONE,
    K_ANY,
    K_FD,
    K_DIRFD,
    K_PATH,
    K_OUT,
    K_SIZE,
    K_COUNT,
    K_BREAK,
    K_SMALL,
    K_FLAGS,
    K_SIGNAL,
    K_PID,
    K_ADDRESS,
    K_LENGTH,
    K_PROTECTION,
    K_MAP,
    K_OFFSET,
    K_MODE,
    K_OPEN,
    K_UID,
    K_TIME,
    K_MS,
    K_AT,
    K_CLOCK,
    K_FUTEX,
    K_IOCTL,
    K_FCNTL,
    K_RIGHTS,
    K_IOV,
    K_SIGSET,
    K_ACTION,
    K_EXTRA,
    K_POLL,
    K_FDSET,
    K_SOCKADDR,
    K_MSGHDR,
    K_WORDS,
    K_ITIMER,
    K_EVENT,
    K_WORD,
    K_CLONE,
    K_CLONE3,
    K_FAMILY,
    K_SOCKTYPE,
    K_SETSIZE,
    K_INOUT,
    K_FLOCK,
    K_ADVICE,
    K_PRCTL,
    K_ARCH,
    K_MREMAP,
    K_RLIMIT,
    K_EPOLL_OP,
    K_WAIT,
    K_LABEL,
    K_ASI_OP,
    K_PRIORITY,
    K_NODE,
    K_WATCH,
};

struct fuzz_call {
    uint32_t number;
    const char *name;
    uint16_t weight;
    bool alone; /* dangerous to others when root makes it */
    uint8_t kinds[6];
};

/* Builds the table. False when `only` (names with commas, or NULL) has a name that there is not. */
bool fuzz_calls_start(const char *only);
/* A call, by weight. */
const struct fuzz_call *fuzz_choose_call(struct fuzz_random *random, bool root);
const char *fuzz_call_name(uint32_t number);

/* --- arguments.c -------------------------------------------------------------------------------------------------- */

long fuzz_argument(struct fuzz_thread *thread, enum fuzz_kind kind);

/* --- objects.c ---------------------------------------------------------------------------------------------------- */

/* Makes the window and the scratch pages; in the child's own directory. */
void fuzz_process_prepare(struct fuzz_process *process);
/* Opens something new; its descriptor may be known afterwards. */
void fuzz_make_object(struct fuzz_thread *thread);
const char *fuzz_name(struct fuzz_thread *thread);

/* --- lane.c ------------------------------------------------------------------------------------------------------- */

/* The instruction itself: nothing of the C library, and all registers may come back changed. */
long fuzz_syscall(long number, const long arguments[6]);
static inline long fuzz_syscall3(long number, long a, long b, long c) {
    const long arguments[6] = {a, b, c, 0, 0, 0};
    return fuzz_syscall(number, arguments);
}
void fuzz_lane_run(struct fuzz_thread *thread, unsigned calls);

/* --- family.c ----------------------------------------------------------------------------------------------------- */

/* Runs families first … in turn, several at once, until `calls` have been made; returns the number behind the last. */
uint64_t fuzz_run_families(uint64_t first, uint64_t end, uint64_t calls, bool root);
uint64_t fuzz_calls_done(void);
/* Kills whatever families have left behind. */
void fuzz_sweep(void);
void fuzz_remove_tree(const char *path);

/* --- server.c, elf.c, messages.c -------------------------------------------------------------------------------- */

/* A file server for the family of that number, mounted at its place's directory. */
bool fuzz_server_start(unsigned place, uint64_t number, const char *path);
void fuzz_server_end(unsigned place);
bool fuzz_server_note_end(pid_t pid);

/* Makes program `number` and executes it. False: it cannot be killed. */
bool fuzz_elf(uint64_t number, uint64_t seed);

/* Messages first … to servers started for them. False, with a line: one has ended, or does not answer any more. */
bool fuzz_messages(uint64_t first, uint64_t count, uint64_t seed);

/* --- judge.c ------------------------------------------------------------------------------------------------------ */

struct asi_memory;

/* What is there before a round, and whether it is there again after it. */
void fuzz_take_stock(struct asi_memory *memory);
bool fuzz_stock_is_as(const struct asi_memory *before, char *words, size_t size);
bool fuzz_audit_is_clean(char *words, size_t size);

#endif
