/*
 * The torture's steps on what all lanes share: one file of which each lane writes one block and reads all, and time,
 * which nobody sees going back. See torture.h.
 *
 * Every byte of a block tells owner, place and the number of the write that it comes from. A reader knows which writes
 * were complete before it began and which had begun when it ended: a byte from outside that window is a stale page, a
 * torn copy of something else, or somebody else's.
 */
#include "torture.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHARED_FILE TORTURE_DIRECTORY "/shared"

enum { BLOCK = 2 * TORTURE_PAGE - 512, PIECE = 1024, READS = 8 }; /* blocks share pages with their neighbours */

bool torture_shared_file_create(void) {
    int fd = open(SHARED_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    uint8_t block[BLOCK];
    for (unsigned lane = 0; lane < torture->lanes; lane++) {
        for (unsigned i = 0; i < BLOCK; i++) {
            block[i] = (uint8_t)(lane * 37 + i * 11);
        }
        torture->lane[lane].block_started = torture->lane[lane].block_completed = 0;
        if (pwrite(fd, block, BLOCK, (off_t)lane * BLOCK) != BLOCK) {
            return false;
        }
    }
    return close(fd) == 0;
}

/* The number, modulo 256, of the write that a byte comes from. */
static uint8_t write_of(unsigned lane, size_t offset, uint8_t byte) {
    return (uint8_t)(byte - (lane * 37 + offset * 11));
}

static void write_block(struct step *step, int fd) {
    uint8_t block[BLOCK];
    unsigned lane = step->lane_number;
    uint64_t number = atomic_load(&step->lane->block_completed) + 1;
    for (unsigned i = 0; i < BLOCK; i++) {
        block[i] = (uint8_t)(lane * 37 + i * 11 + number);
    }
    atomic_store(&step->lane->block_started, number);
    STEP_CHECK_EQ(step, pwrite(fd, block, BLOCK, (off_t)lane * BLOCK), BLOCK);
    atomic_store(&step->lane->block_completed, number);
}

static void read_block(struct step *step, int fd, const uint8_t *mapping) {
    uint8_t piece[PIECE];
    unsigned lane = (unsigned)step_below(step, torture->lanes);
    size_t offset = step_below(step, BLOCK - PIECE);
    struct torture_lane *owner = &torture->lane[lane];
    uint64_t oldest = atomic_load(&owner->block_completed);
    if (mapping != NULL) {
        memcpy(piece, mapping + (size_t)lane * BLOCK + offset, PIECE);
    } else {
        STEP_CHECK_EQ(step, pread(fd, piece, PIECE, (off_t)((size_t)lane * BLOCK + offset)), PIECE);
    }
    uint64_t window = atomic_load(&owner->block_started) - oldest;
    for (size_t i = 0; window < 255 && i < PIECE; i++) {
        uint8_t age = (uint8_t)(write_of(lane, offset + i, piece[i]) - (uint8_t)oldest);
        if (age > window) {
            step_fail(step, __FILE__, __LINE__,
                      "byte %zu of lane %u's block, %s, is %#x: write %u modulo 256 is not among %llu to %llu",
                      offset + i, lane, mapping != NULL ? "mapped" : "read", piece[i],
                      write_of(lane, offset + i, piece[i]), (unsigned long long)oldest,
                      (unsigned long long)(oldest + window));
        }
    }
}

void step_shared_file(struct step *step) {
    int fd = open(SHARED_FILE, O_RDWR | O_CLOEXEC);
    STEP_CHECK(step, fd >= 0);
    size_t bytes = (size_t)torture->lanes * BLOCK;
    bool mapped = step_below(step, 3) == 0;
    void *mapping = mapped ? mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    if (mapping != MAP_FAILED) {
        for (int i = 0; i < READS; i++) {
            if (step_below(step, 3) == 0) {
                write_block(step, fd);
            }
            read_block(step, fd, mapping);
        }
        if (mapping != NULL) {
            step_unmap(step, mapping, bytes);
        }
    }
    close(fd);
}

/* No clock goes back, whichever CPU and whoever reads it. */
void step_clock(struct step *step) {
    for (int i = 0; i < 50; i++) {
        uint64_t latest = atomic_load(&torture->latest_ns);
        uint64_t now = torture_now_ns();
        if (now < latest) {
            step_fail(step, __FILE__, __LINE__, "time went back by %llu ns", (unsigned long long)(latest - now));
        }
        while (latest < now && !atomic_compare_exchange_weak(&torture->latest_ns, &latest, now)) {
        }
    }
}
