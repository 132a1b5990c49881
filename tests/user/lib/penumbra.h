/*
 * What the tests ask of SYS_ASI (asi/abi.h). user/lib/asi.h has more; the tests have their own, so that what they find
 * does not hang on what they test.
 */
#ifndef TESTS_USER_LIB_PENUMBRA_H
#define TESTS_USER_LIB_PENUMBRA_H

#include <stdbool.h>
#include <stddef.h>

#include "asi/abi.h"

/* The descriptor of an authority with every right, which init gives the tests. */
enum { TEST_AUTHORITY = 1000 };

extern const char *const penumbra_mode_names[ASI_MODES];

long penumbra_call(long op, long argument, void *buffer, size_t size);

/* True when the kernel answers SYS_ASI: Linux says ENOSYS. */
bool on_penumbra(void);

/* Each fails the test case when the call fails. */
struct asi_state penumbra_state(void);
struct asi_memory penumbra_memory(void);
struct asi_counters penumbra_counters(long scope);
struct asi_audit_report penumbra_audit(enum asi_break broken);
void penumbra_set_mode(enum asi_mode mode);

/* Frames that are free, that somebody keeps who is asked about them apart, or that the GLOBAL heap has. */
uint64_t penumbra_frames_accounted(const struct asi_memory *memory);

/* Bytes of the GLOBAL heap but for what is kept to be used again. */
uint64_t penumbra_heap_accounted(const struct asi_memory *memory);

/* Frames of message buffers that threads have come to keep; each has records, which may take a frame of the heap. */
uint64_t penumbra_frames_kept(const struct asi_memory *now, const struct asi_memory *before);

/*
 * Nothing is lost. The heap is exact in bytes. In frames it may be spread otherwise than before, by `spread` more, for
 * names that were cached later lie elsewhere.
 */
bool penumbra_memory_is_as(const struct asi_memory *now, const struct asi_memory *before, uint64_t spread);

unsigned long long penumbra_exits(const struct asi_counters *counters);
unsigned long long penumbra_violations(const struct asi_audit_report *report);

#endif
