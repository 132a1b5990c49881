/*
 * What the parts of the ext4 test share: images, mounting, the judge.
 */
#ifndef TESTS_HOST_EXT4_TEST_H
#define TESTS_HOST_EXT4_TEST_H

#include "tests/host/ext4_calls.h"

__attribute__((format(printf, 1, 2))) int shell(const char *format, ...);
/* The path of an image in the test's folder, until the next call. */
const char *image(const char *name);
struct test_disk *make_disk(const char *name, const char *options, unsigned megabytes);
/* Ends the program when e2fsck finds anything. */
void check_clean(const struct test_disk *disk, const char *what);
void mount_volume(struct volume *volume, struct test_disk *disk, void *memory);
void unmount_volume(struct volume *volume);
/* Memory that a child that is killed leaves behind. */
void *shared_memory(size_t size);

/* Single things, without a model (ext4_cases.c). */
void test_cases(void);

#endif
