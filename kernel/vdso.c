/*
 * Owns: the memory object with the vDSO's pages: data (struct vdso_data), then code.
 *
 * It is mapped like a file's pages, shared and never writable, so that neither the audits nor fork know of it. Whoever
 * maps it may see all of it: it holds how a TSC becomes a time, and nothing else. That is every process, so any may
 * write the data through a scratch view when root sets the clock (LOGICAL ACCESS).
 * Locks: none of its own; time_lock keeps updates apart. Space: the caller's.
 */
#include "kernel/vdso.h"

#include "kernel/assert.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "kernel/vdso_data.h"
#include "mm/ephmap.h"
#include "mm/object.h"
#include "mm/vm.h"

extern const char vdso_image[], vdso_image_end[]; /* arch/vdso_image.asm */

static struct memory_object *object; /* constant after vdso_init() */
static frame_t data_frame;           /* of its first page, with a reference; likewise */

void vdso_init(void) {
    const size_t bytes = (size_t)(vdso_image_end - vdso_image);
    struct vdso_data data = {.sequence = 0};

    ensure(bytes <= PAGE_SIZE);
    time_describe(&data);
    ensure(object_create(&object) == OK && object_write_kernel(object, 0, &data, sizeof(data)) == OK &&
           object_write_kernel(object, PAGE_SIZE, vdso_image, bytes) == OK &&
           object_page(object, 0, PAGE_IF_RESIDENT, &data_frame) == OK);
}

enum status vdso_map(vaddr_t *address) {
    /* One area for both: data that only root's clock changes may as well be executable. */
    const struct vm_map_request request = {
        .bytes = 2 * PAGE_SIZE, .protection = VM_READ | VM_EXECUTE, .shared = true, .object = object};
    vaddr_t place;
    enum status status = vm_map(&request, &place);

    *address = place + PAGE_SIZE;
    return status;
}

bool vdso_is(const struct memory_object *other) { return other == object; }

/* Readers on other CPUs see an odd sequence before the first change, and an even one after the last. */
void vdso_update(void) {
    struct vdso_data *data = ephmap_scratch(data_frame), now = {.sequence = 0};
    const uint32_t sequence = data->sequence;

    time_describe(&now);
    __atomic_store_n(&data->sequence, sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&data->realtime, now.realtime, __ATOMIC_RELAXED);
    __atomic_store_n(&data->tai, now.tai, __ATOMIC_RELAXED);
    __atomic_store_n(&data->sequence, sequence + 2, __ATOMIC_RELEASE);
    ephmap_scratch_put(data);
}
