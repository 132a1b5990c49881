/*
 * Owns: the attacks, a byte at a time. All but the real one learn it by the line of the simulated cache that is quick.
 */
#include "user/demo/attacker.h"

#include "asi/abi.h"
#include "mm/addrmap.h"
#include "user/demo/fail.h"

#include <sys/random.h>
#include <x86intrin.h>

enum { MARKER_BYTES = 8, THRESHOLD = (DEMO_HIT + DEMO_MISS) / 2 };

static int reports;

static void report(const struct attack_report *what) {
    if (write(reports, what, sizeof *what) != sizeof *what) {
        _exit(1);
    }
}

static long demo(long operation, uint64_t argument, void *buffer, uint64_t size) {
    return syscall(SYS_ASI, operation, argument, buffer, size);
}

/* --- The channel: what all attacks with the simulated cache have in common ---------------------------------------- */

static void forget_lines(void) { demo(DEMO_OP_FORGET, 0, NULL, 0); }

/* Which line of the probe array is quick; -1: none. */
static int quick_line(void) {
    uint16_t ticks[DEMO_LINES];
    if (demo(DEMO_OP_TIME, 0, ticks, sizeof ticks) < 0) {
        return -1;
    }
    for (int i = 0; i < DEMO_LINES; i++) {
        if (ticks[i] < THRESHOLD) {
            return i;
        }
    }
    return -1;
}

static int read_byte(uint64_t address) {
    forget_lines();
    demo(DEMO_OP_READ, address, NULL, 0);
    return quick_line();
}

/* --- The attacks: a byte each ------------------------------------------------------------------------------------- */

static int through_branch(const struct victim *victim, unsigned index) {
    demo(DEMO_OP_TRAIN, 0, NULL, 0);
    forget_lines();
    victim_use(victim, (unsigned char)index);
    return quick_line();
}

static int through_own_branch(uint64_t address) {
    demo(DEMO_OP_TRAIN, 0, NULL, 0);
    forget_lines();
    demo(DEMO_OP_BRANCH, address, NULL, DEMO_OUTSIDE);
    return quick_line();
}

static int through_buffer(const struct victim *victim, unsigned index) {
    victim_use(victim, (unsigned char)index);
    forget_lines();
    demo(DEMO_OP_SAMPLE, MARKER_BYTES + index, NULL, 0);
    return quick_line();
}

static int through_residue(uint64_t address, unsigned index) {
    demo(DEMO_OP_LOAD, address, NULL, DEMO_OUTSIDE);
    forget_lines();
    demo(DEMO_OP_SAMPLE, index, NULL, 0);
    return quick_line();
}

/* A real line is quick when it takes less than half of what one takes that is in no cache. */
static unsigned char real_probe[DEMO_LINES * DEMO_STRIDE] __attribute__((aligned(4096)));

static uint64_t time_load(const volatile unsigned char *at) {
    unsigned unused;
    uint64_t start = __rdtscp(&unused);
    (void)*at;
    return __rdtscp(&unused) - start;
}

static void flush_probe(void) {
    for (int i = 0; i < DEMO_LINES; i++) {
        _mm_clflush(&real_probe[i * DEMO_STRIDE]);
    }
    _mm_mfence();
}

static uint64_t uncached_ticks(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 1; i < DEMO_LINES; i++) {
        flush_probe();
        uint64_t ticks = time_load(&real_probe[i * DEMO_STRIDE]);
        least = ticks < least ? ticks : least;
    }
    return least;
}

/* The line that was quick most often, in at least half of the rounds. Line 0 is what the gadget touches rightly. */
static int through_cpu(uint64_t address) {
    enum { ROUNDS = 40 };
    unsigned hits[DEMO_LINES] = {0};
    struct demo_spectre what = {.address = address, .probe = (uint64_t)(uintptr_t)real_probe};
    const uint64_t limit = uncached_ticks() / 2;
    int best = 1;
    for (int round = 0; round < ROUNDS; round++) {
        flush_probe();
        demo(DEMO_OP_SPECTRE, 0, &what, sizeof what);
        for (int i = 1; i < DEMO_LINES; i++) {
            const int line = (i * 167 + 13) % DEMO_LINES; /* no prefetcher likes this order */
            hits[line] += time_load(&real_probe[line * DEMO_STRIDE]) < limit;
        }
    }
    for (int i = 1; i < DEMO_LINES; i++) {
        best = hits[i] > hits[best] ? i : best;
    }
    return hits[best] >= ROUNDS / 2 ? best : -1;
}

/* --- Plans -------------------------------------------------------------------------------------------------------- */

static bool has_marker(uint64_t address, uint64_t marker, uint64_t *reads) {
    for (unsigned i = 0; i < MARKER_BYTES; i++) {
        ++*reads;
        if (read_byte(address + i) != (int)(marker >> 8 * i & 0xff)) {
            return false;
        }
    }
    return true;
}

/* Where the secret is, by the marker before it; 0: nowhere. */
static uint64_t scan(const struct attack_plan *plan) {
    const uint64_t marker = marker_masked(plan->victim->place) ^ marker_mask();
    struct attack_report said = {.kind = REPORT_SCANNED};
    for (uint64_t page = 0; page < plan->pages && said.address == 0; page++) {
        const uint64_t address = PHYSMAP_BASE + page * PAGE_SIZE;
        if (has_marker(address, marker, &said.reads)) {
            said.address = address + MARKER_BYTES;
        }
    }
    report(&said);
    return said.address;
}

static int attack_once(const struct attack_plan *plan, uint64_t from, unsigned index) {
    switch (plan->attack) {
    case ATTACK_BRANCH:
        return through_branch(plan->victim, index);
    case ATTACK_TRAINED:
        return through_own_branch(from + index);
    case ATTACK_BUFFER:
        return through_buffer(plan->victim, index);
    case ATTACK_RESIDUE:
        return through_residue(from, index);
    case ATTACK_SPECTRE:
        return through_cpu(from + index);
    default:
        return read_byte(from + index);
    }
}

/* Once more where nothing came: somebody else may have run between two of its steps, and with him a flush. */
static int attack_byte(const struct attack_plan *plan, uint64_t from, unsigned index) {
    int value = -1;
    for (unsigned tries = 0; tries < 3 && value < 0; tries++) {
        value = attack_once(plan, from, index);
    }
    return value;
}

static _Noreturn void be_attacker(const struct attack_plan *plan) {
    static unsigned char own[SECRET_BYTES];
    uint64_t from = plan->address;
    int right = 0;
    struct attack_report walk = {.kind = REPORT_WALK, .walk.address = plan->address};
    if (setgid(ATTACKER_UID) < 0 || setuid(ATTACKER_UID) < 0) {
        fail("setuid");
    }
    for (unsigned i = 0; i < sizeof real_probe; i += 4096) {
        real_probe[i] = 1;
    }
    if (plan->attack == ATTACK_OWN) {
        from = (uint64_t)(uintptr_t)own;
        if (getrandom(own, sizeof own, 0) != sizeof own) {
            fail("getrandom");
        }
        for (unsigned i = 0; i < sizeof own; i++) {
            own[i] = (unsigned char)('a' + own[i] % 26);
        }
    }
    if (plan->attack == ATTACK_SCAN) {
        const uint64_t found = scan(plan);
        from = found != 0 ? found : from;
    }
    for (unsigned i = 0; i < SECRET_BYTES; i++) {
        const struct attack_report byte = {.kind = REPORT_BYTE, .value = attack_byte(plan, from, i)};
        right += byte.value == own[i];
        report(&byte);
    }
    if (demo(DEMO_OP_WALK, 0, &walk.walk, sizeof walk.walk) == 0) {
        report(&walk);
    }
    report(&(struct attack_report){.kind = REPORT_END, .value = right});
    _exit(0);
}

pid_t attack_start(const struct attack_plan *plan, int *from) {
    int ends[2];
    if (pipe(ends) < 0) {
        fail("pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        reports = ends[1];
        be_attacker(plan);
    }
    close(ends[1]);
    *from = ends[0];
    if (pid < 0) {
        fail("fork");
    }
    return pid;
}
