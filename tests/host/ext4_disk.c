/*
 * The disk that loses power. See ext4_disk.h.
 */
#include "tests/host/ext4_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint8_t grants[TEST_GRANTS][TEST_GRANT_BYTES];

uint8_t *test_grant(unsigned number) { return grants[number]; }

static struct test_disk *of(struct disk *disk) { return (struct test_disk *)disk; }

static bool is_inside(const struct disk *disk, uint64_t offset, uint64_t size) {
    return offset % DISK_SECTOR == 0 && size % DISK_SECTOR == 0 && offset <= disk->size && size <= disk->size - offset;
}

static int disk_read(struct disk *disk, uint64_t offset, void *bytes, size_t size) {
    if (!is_inside(disk, offset, size)) {
        return EINVAL;
    }
    memcpy(bytes, of(disk)->now + offset, size);
    return 0;
}

static int disk_write(struct disk *disk, uint64_t offset, const void *bytes, size_t size) {
    struct test_disk *test = of(disk);
    if (!is_inside(disk, offset, size)) {
        return EINVAL;
    }
    if (test->writes_left == 0) {
        test->cut = true;
        return 0;
    }
    test->writes_left -= test->writes_left > 0;
    memcpy(test->now + offset, bytes, size);
    memset(test->pending + offset / DISK_SECTOR, 1, size / DISK_SECTOR);
    return 0;
}

static int disk_flush(struct disk *disk) {
    struct test_disk *test = of(disk);
    if (test->writes_left == 0) {
        test->cut = true;
        return 0;
    }
    for (uint64_t sector = 0; sector < disk->size / DISK_SECTOR; sector++) {
        if (test->pending[sector]) {
            memcpy(test->durable + sector * DISK_SECTOR, test->now + sector * DISK_SECTOR, DISK_SECTOR);
        }
    }
    memset(test->pending, 0, disk->size / DISK_SECTOR);
    return 0;
}

static int disk_move(struct disk *disk, bool to_disk, int grant, uint64_t grant_offset, uint64_t offset,
                     uint64_t size) {
    if (grant < 0 || grant >= TEST_GRANTS || grant_offset > TEST_GRANT_BYTES ||
        size > TEST_GRANT_BYTES - grant_offset) {
        return EINVAL;
    }
    of(disk)->moved += size;
    return to_disk ? disk_write(disk, offset, grants[grant] + grant_offset, size)
                   : disk_read(disk, offset, grants[grant] + grant_offset, size);
}

static void *shared(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

struct test_disk *test_disk_load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file) / DISK_SECTOR * DISK_SECTOR;
    rewind(file);
    struct test_disk *disk = shared(sizeof *disk);
    *disk = (struct test_disk){.disk = {disk_read, disk_write, disk_flush, disk_move, size, false}, .writes_left = -1};
    disk->now = shared(size);
    disk->durable = shared(size);
    disk->pending = shared(size / DISK_SECTOR);
    if (fread(disk->now, 1, size, file) != size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    memcpy(disk->durable, disk->now, size);
    return disk;
}

void test_disk_save(const struct test_disk *disk, const char *path) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(disk->now, 1, disk->disk.size, file) != disk->disk.size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

void test_disk_power_cycle(struct test_disk *disk) {
    /* Two sectors share their fate: no ext4 survives a device that tears the superblock apart. */
    bool arrives = false;
    for (uint64_t sector = 0; sector < disk->disk.size / DISK_SECTOR; sector++) {
        arrives = sector % 2 == 0 ? rand() % 2 == 0 : arrives;
        if (disk->pending[sector] && arrives) {
            memcpy(disk->durable + sector * DISK_SECTOR, disk->now + sector * DISK_SECTOR, DISK_SECTOR);
        }
    }
    memset(disk->pending, 0, disk->disk.size / DISK_SECTOR);
    memcpy(disk->now, disk->durable, disk->disk.size);
    disk->writes_left = -1;
    disk->cut = false;
}

void test_disk_free(struct test_disk *disk) {
    size_t size = disk->disk.size;
    munmap(disk->now, size);
    munmap(disk->durable, size);
    munmap(disk->pending, size / DISK_SECTOR);
    munmap(disk, sizeof *disk);
}
