/*
 * A disk for tests of the ext4 server on this machine: memory that a killed process leaves behind, and that can lose
 * power, when writes since the last flush arrive or not, a kilobyte here and there, at random.
 */
#ifndef TESTS_HOST_EXT4_DISK_H
#define TESTS_HOST_EXT4_DISK_H

#include "user/ext4/disk.h"

struct test_disk {
    struct disk disk;
    uint8_t *now;     /* what reads see; shared with children */
    uint8_t *durable; /* what a power cut leaves for sure */
    uint8_t *pending; /* of each sector: written since the last flush */
    long writes_left; /* until the power goes; negative: it stays */
    bool cut;
    uint64_t moved; /* bytes of file content */
};

/* Of a file system in a file. */
struct test_disk *test_disk_load(const char *path);
void test_disk_save(const struct test_disk *disk, const char *path);
/* The power was cut and is back: what survived is there. */
void test_disk_power_cycle(struct test_disk *disk);
void test_disk_free(struct test_disk *disk);

/* The memory that a grant of this number stands for. */
enum { TEST_GRANTS = 8, TEST_GRANT_BYTES = 64 * 4096 };
uint8_t *test_grant(unsigned number);

#endif
