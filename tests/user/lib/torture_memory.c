/*
 * The torture's steps on memory: areas mapped, moved, protected and unmapped against a plain model of them, pages
 * copied on write, memory that processes share, much memory at once, registers that must survive, CPUs that are
 * chosen. See torture.h.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { AREA_PAGES = 32, AREA_DEEDS = 40, SHARERS = 3, SHARED_TURNS = 300, COW_PAGES = 48 };

/* --- An area against its model --------------------------------------------------------------------------------- */

enum page_state { PAGE_ABSENT, PAGE_OPEN, PAGE_READ_ONLY, PAGE_CLOSED };

struct area {
    struct step *step;
    char *start;
    uint8_t state[AREA_PAGES];
    uint64_t word[AREA_PAGES]; /* what each page begins and ends with */
    int probe[2];              /* a pipe: the kernel says EFAULT where a touch would be a signal */
};

static uint64_t *word_of(const struct area *area, unsigned page, bool last) {
    return (uint64_t *)(void *)(area->start + page * TORTURE_PAGE + (last ? TORTURE_PAGE - 8 : 0));
}

static void check_page(const struct area *area, unsigned page) {
    uint64_t word;
    bool readable = area->state[page] == PAGE_OPEN || area->state[page] == PAGE_READ_ONLY;
    bool last = page % 2;
    if (readable) {
        STEP_CHECK_EQ(area->step, *word_of(area, page, last), area->word[page]);
    }
    ssize_t written = write(area->probe[1], word_of(area, page, last), sizeof(word));
    if (!readable) {
        STEP_CHECK(area->step, written == -1 && errno == EFAULT);
        return;
    }
    STEP_CHECK_EQ(area->step, written, sizeof(word));
    written = read(area->probe[0], word_of(area, page, last), sizeof(word)); /* what was there comes back, or EFAULT */
    if (area->state[page] == PAGE_READ_ONLY) {
        STEP_CHECK(area->step, written == -1 && errno == EFAULT);
        STEP_CHECK_EQ(area->step, read(area->probe[0], &word, sizeof(word)), sizeof(word));
    } else {
        STEP_CHECK_EQ(area->step, written, sizeof(word));
    }
}

static void set_state(struct area *area, unsigned first, unsigned count, enum page_state state, bool cleared) {
    for (unsigned page = first; page < first + count; page++) {
        area->state[page] = (uint8_t)state;
        if (cleared) {
            area->word[page] = 0;
        }
    }
}

static bool all_present(const struct area *area, unsigned first, unsigned count) {
    for (unsigned page = first; page < first + count; page++) {
        if (area->state[page] == PAGE_ABSENT) {
            return false;
        }
    }
    return true;
}

static void write_words(struct area *area, unsigned first, unsigned count) {
    for (unsigned page = first; page < first + count; page++) {
        if (area->state[page] == PAGE_OPEN) {
            area->word[page] = step_random(area->step);
            *word_of(area, page, false) = *word_of(area, page, true) = area->word[page];
        }
    }
}

/* Moves what is there out of the way and back. */
static void move_there_and_back(struct area *area, unsigned first, unsigned count) {
    char *from = area->start + first * TORTURE_PAGE;
    size_t bytes = (size_t)count * TORTURE_PAGE;
    for (unsigned page = first; page < first + count; page++) {
        if (area->state[page] != area->state[first]) {
            return; /* several areas cannot be moved at once */
        }
    }
    char *elsewhere = mremap(from, bytes, 2 * bytes, MREMAP_MAYMOVE);
    if (elsewhere == MAP_FAILED) {
        return; /* several areas after all, by their history */
    }
    STEP_CHECK(area->step, mremap(elsewhere, 2 * bytes, bytes, 0) == elsewhere);
    if (elsewhere != from) {
        STEP_CHECK(area->step, mremap(elsewhere, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, from) == from);
    }
}

static void change_area(struct area *area) {
    struct step *step = area->step;
    unsigned first = (unsigned)step_below(step, AREA_PAGES);
    unsigned count = (unsigned)step_between(step, 1, AREA_PAGES - first);
    char *start = area->start + first * TORTURE_PAGE;
    size_t bytes = (size_t)count * TORTURE_PAGE;
    switch (step_below(step, 8)) {
    case 0:
        STEP_CHECK_EQ(step, munmap(start, bytes), 0);
        STEP_CHECK(step, mmap(start, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == start);
        set_state(area, first, count, PAGE_CLOSED, true);
        break;
    case 1:
        STEP_CHECK(step,
                   mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == start);
        set_state(area, first, count, PAGE_OPEN, true);
        break;
    case 2:
    case 3: {
        static const int rights[] = {PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE};
        static const enum page_state states[] = {PAGE_OPEN, PAGE_READ_ONLY, PAGE_CLOSED};
        unsigned which = (unsigned)step_below(step, 3);
        if (all_present(area, first, count)) {
            STEP_CHECK_EQ(step, mprotect(start, bytes, rights[which]), 0);
            set_state(area, first, count, states[which], false);
        }
        break;
    }
    case 4:
        STEP_CHECK_EQ(step, madvise(start, bytes, MADV_DONTNEED), 0);
        for (unsigned page = first; page < first + count; page++) {
            area->word[page] = 0;
        }
        break;
    case 5:
        move_there_and_back(area, first, count);
        break;
    default:
        write_words(area, first, count);
        break;
    }
}

static void change_and_check(struct step *step) {
    struct area area = {.step = step};
    area.start = step_map(step, AREA_PAGES * TORTURE_PAGE, MAP_PRIVATE);
    if (area.start == NULL) {
        return;
    }
    step_pipe_open(step, area.probe);
    set_state(&area, 0, AREA_PAGES, PAGE_OPEN, true);
    for (int i = 0; i < AREA_DEEDS; i++) {
        change_area(&area);
        check_page(&area, (unsigned)step_below(step, AREA_PAGES));
    }
    for (unsigned page = 0; page < AREA_PAGES; page++) {
        check_page(&area, page);
    }
    close(area.probe[0]);
    close(area.probe[1]);
    step_unmap(step, area.start, AREA_PAGES * TORTURE_PAGE);
}

/* In a process of its own: what is moved away leaves a hole, in which another thread could map something. */
void step_anonymous(struct step *step) { step_in_own_process(step, change_and_check); }

/* --- Copy on write --------------------------------------------------------------------------------------------- */

static uint64_t page_word(uint64_t seed, unsigned page, unsigned word) { return torture_mix(seed + page * 512 + word); }

static void check_pages(struct step *step, const uint64_t *memory, unsigned pages, const uint64_t *seeds) {
    for (unsigned page = 0; page < pages; page++) {
        for (unsigned word = 0; word < 512; word += 73) {
            STEP_CHECK_EQ(step, memory[page * 512 + word], page_word(seeds[page], page, word));
        }
    }
}

static void write_pages(struct step *step, uint64_t *memory, unsigned pages, uint64_t *seeds) {
    unsigned count = (unsigned)step_between(step, 1, pages);
    for (unsigned i = 0; i < count; i++) {
        unsigned page = (unsigned)step_below(step, pages);
        seeds[page] = step_random(step);
        for (unsigned word = 0; word < 512; word++) {
            memory[page * 512 + word] = page_word(seeds[page], page, word);
        }
    }
}

/* Parent, child and grandchild write what they share, and see nothing of each other. */
static void share_and_write(struct step *step, uint64_t *memory, unsigned pages, uint64_t *seeds, int depth) {
    struct step own = step_split(step);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        check_pages(&own, memory, pages, seeds);
        write_pages(&own, memory, pages, seeds);
        if (depth > 0) {
            share_and_write(&own, memory, pages, seeds, depth - 1);
        }
        check_pages(&own, memory, pages, seeds);
        _exit(3);
    }
    write_pages(step, memory, pages, seeds);
    check_pages(step, memory, pages, seeds);
    if (pid > 0) {
        step_reap(step, pid, 3);
    }
    check_pages(step, memory, pages, seeds);
}

void step_cow(struct step *step) {
    unsigned pages = (unsigned)step_between(step, 1, COW_PAGES);
    uint64_t seeds[COW_PAGES];
    uint64_t *memory = step_map(step, (size_t)pages * TORTURE_PAGE, MAP_PRIVATE);
    if (memory == NULL) {
        return;
    }
    for (unsigned page = 0; page < pages; page++) {
        seeds[page] = step_random(step);
        for (unsigned word = 0; word < 512; word++) {
            memory[page * 512 + word] = page_word(seeds[page], page, word);
        }
    }
    share_and_write(step, memory, pages, seeds, (int)step_below(step, 3));
    step_unmap(step, memory, (size_t)pages * TORTURE_PAGE);
}

/* --- Memory that processes share ------------------------------------------------------------------------------- */

struct shared_page {
    _Atomic uint64_t sum;
    _Atomic uint64_t mine[SHARERS + 1];
};

static void add_up(struct step *step, struct shared_page *page, unsigned who) {
    for (unsigned i = 0; i < SHARED_TURNS; i++) {
        uint64_t value = step_below(step, 100);
        atomic_fetch_add(&page->sum, value);
        atomic_fetch_add(&page->mine[who], value);
        if (value == 0) {
            sched_yield();
        }
    }
}

void step_shared_memory(struct step *step) {
    struct shared_page *page = step_map(step, TORTURE_PAGE, MAP_SHARED);
    pid_t pids[SHARERS];
    if (page == NULL) {
        return;
    }
    for (unsigned i = 0; i < SHARERS; i++) {
        struct step own = step_split(step);
        pids[i] = step_fork(step);
        if (pids[i] == 0) {
            add_up(&own, page, i);
            _exit(0);
        }
    }
    add_up(step, page, SHARERS);
    for (unsigned i = 0; i < SHARERS; i++) {
        if (pids[i] > 0) {
            step_reap(step, pids[i], 0);
        }
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i <= SHARERS; i++) {
        sum += page->mine[i];
    }
    STEP_CHECK_EQ(step, page->sum, sum);
    step_unmap(step, page, TORTURE_PAGE);
}

/* --- Much memory ----------------------------------------------------------------------------------------------- */

/* One lane at a time, so that how much is taken at once has a bound. */
void step_pressure(struct step *step) {
    size_t bytes = step_between(step, 1, torture->pressure_bytes / TORTURE_PAGE) * TORTURE_PAGE;
    if (atomic_exchange(&torture->pressure, 1) != 0) {
        return;
    }
    uint64_t *words = step_map(step, bytes, MAP_PRIVATE);
    if (words != NULL) {
        for (size_t i = 0; i < bytes / 8; i += 512) {
            STEP_CHECK_EQ(step, words[i + i / 512 % 512], 0);
            words[i + i / 512 % 512] = i + 1;
        }
        for (size_t i = 0; i < bytes / 8; i += 512) {
            STEP_CHECK_EQ(step, words[i + i / 512 % 512], i + 1);
        }
        step_unmap(step, words, bytes);
    }
    atomic_store(&torture->pressure, 0);
}

/* --- Which CPU ------------------------------------------------------------------------------------------------- */

static uint64_t all_cpus(void) { return torture->cpus >= 64 ? UINT64_MAX : (1ul << torture->cpus) - 1; }

/* On the calling thread; whoever is moved by this returns on a CPU of the set. */
void step_affinity(struct step *step) {
    for (int i = 0; i < 10; i++) {
        uint64_t wanted = step_random(step) & all_cpus(), got = 0;
        unsigned cpu = 64;
        if (wanted == 0) {
            wanted = all_cpus();
        }
        STEP_CHECK_EQ(step, syscall(SYS_sched_setaffinity, 0, sizeof(wanted), &wanted), 0);
        STEP_CHECK(step, syscall(SYS_sched_getaffinity, 0, sizeof(got), &got) > 0);
        STEP_CHECK_EQ(step, got, wanted);
        if (step_below(step, 2) == 0) {
            sched_yield();
        }
        STEP_CHECK_EQ(step, syscall(SYS_getcpu, &cpu, NULL, NULL), 0);
        STEP_CHECK(step, cpu < 64 && (wanted >> cpu & 1) != 0);
    }
    uint64_t all = all_cpus();
    STEP_CHECK_EQ(step, syscall(SYS_sched_setaffinity, 0, sizeof(all), &all), 0);
}

/* --- Registers ------------------------------------------------------------------------------------------------- */

/* Sums in vector registers while the processor is taken away, given up, and entered by system calls. */
void step_registers(struct step *step) {
    typedef double vector __attribute__((vector_size(16)));
    vector sums[6];
    uint64_t seed = step_random(step) >> 40, turns = step_between(step, 100, 4000);
    for (int i = 0; i < 6; i++) {
        sums[i] = (vector){(double)(seed + (uint64_t)i), 1};
    }
    for (uint64_t turn = 0; turn < turns; turn++) {
        for (int i = 0; i < 6; i++) {
            sums[i] += (vector){1, 2};
        }
        if (turn % 512 == 0) {
            sched_yield();
        } else if (turn % 64 == 0) {
            getppid();
        }
    }
    for (int i = 0; i < 6; i++) {
        STEP_CHECK_EQ(step, (uint64_t)sums[i][0], seed + (uint64_t)i + turns);
        STEP_CHECK_EQ(step, (uint64_t)sums[i][1], 1 + 2 * turns);
    }
}
