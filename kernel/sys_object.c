/*
 * System calls on memory objects and grants (kernel/ipc_abi.h): decode, check rights, act through mm/.
 *
 * Locks: none of its own. Runs in the caller's space; may sleep.
 */
#include "kernel/endpoint.h"
#include "kernel/object_file.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"
#include "mm/grant.h"
#include "mm/heap.h"
#include "mm/object.h"
#include "mm/pager.h"

/* The file behind a descriptor that is on a memory object, with a reference. As handle_get_kind(). */
static enum status get_memory(int fd, uint32_t rights, struct file **out) {
    enum status status = handle_get(fd, out);
    if (status != OK)
        return status;
    bool of_kind = (*out)->operations->memory;
    /* What can be sealed is written to by those only who look at the seals. */
    if (of_kind && rights & RIGHT_WRITE && file_memory(*out)->seals)
        of_kind = false;
    return file_expect(*out, of_kind, rights);
}

static enum status create_plain(uint64_t size, struct memory_object **out) {
    enum status status = object_create(out);
    if (status != OK)
        return status;
    status = object_resize(*out, size);
    if (status != OK)
        object_unref(*out);
    return status;
}

static enum status create_with_pager(int fd, uint64_t id, uint64_t size, struct memory_object **out) {
    struct endpoint *endpoint;
    enum status status = endpoint_get(fd, RIGHT_CALL, &endpoint, NULL);
    if (status != OK)
        return status;
    status = object_create_with_pager(endpoint, id, size, out);
    endpoint_unref(endpoint);
    return status;
}

enum status sys_object_create(struct syscall *call) {
    struct memory_object *object;
    struct file *file;
    int endpoint = (int)call->arg[1];
    enum status status = endpoint < 0 ? create_plain(call->arg[0], &object)
                                      : create_with_pager(endpoint, call->arg[2], call->arg[0], &object);
    if (status == OK)
        status = object_file_create(object, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &file);
    return status == OK ? handle_publish(file, &call->result) : status;
}

enum status sys_pager_timeout(struct syscall *call) {
    struct file *file;
    enum status status = get_memory((int)call->arg[0], RIGHT_WRITE, &file);
    if (status != OK)
        return status;
    status = pager_set_timeout(file_memory(file), call->arg[1]);
    file_unref(file);
    return status;
}

enum status sys_object_move(struct syscall *call) {
    struct file *to, *from;
    enum status status = get_memory((int)call->arg[0], RIGHT_WRITE, &to);
    if (status != OK)
        return status;
    /* Reading, too: the pages can be read in their new place. */
    status = get_memory((int)call->arg[2], RIGHT_READ | RIGHT_WRITE, &from);
    if (status == OK) {
        status = object_move(file_memory(to), call->arg[1], file_memory(from), call->arg[3], call->arg[4]);
        file_unref(from);
    }
    file_unref(to);
    return status;
}

static enum status resident_page(struct memory_object *object, uint64_t page, frame_t *out) {
    enum status status;
    while ((status = object_page(object, page, PAGE_USE, out)) == ERR_WOULD_BLOCK) {
        status = object_page_in(object, page);
        if (status != OK)
            return status;
    }
    return status;
}

/* The frames of whole pages, with a reference each; a device may read them, or write to them. */
static enum status take_frames(struct memory_object *object, uint64_t first, unsigned count, frame_t *frames) {
    for (unsigned i = 0; i < count; i++) {
        enum status status = resident_page(object, first + i, &frames[i]);
        if (status == OK)
            continue;
        while (i > 0)
            object_page_put(frames[--i]);
        return status;
    }
    return OK;
}

static enum status grant_on(const struct file *file, uint64_t first, unsigned count, enum grant_direction direction,
                            struct file **out) {
    uint32_t rights = RIGHT_DMA | RIGHT_TRANSFER | (file->rights & (RIGHT_READ | RIGHT_WRITE));
    frame_t *frames = local_alloc(count * sizeof(*frames));
    if (frames == NULL)
        return ERR_NO_MEMORY;
    enum status status = take_frames(file_memory(file), first, count, frames);
    if (status == OK) {
        status = grant_create(direction, frames, count, rights, out);
        for (unsigned i = 0; i < count; i++)
            object_page_put(frames[i]);
    }
    local_free(frames, count * sizeof(*frames));
    return status;
}

/* The pages lie in the object, whole if something is to come into them: what is behind its size stays zero. */
static enum status check_range(const struct memory_object *object, uint64_t first, uint64_t count, bool fill) {
    uint64_t pages = fill ? object->size >> PAGE_SHIFT : bytes_to_pages(object->size);
    if (count == 0 || count > GRANT_PAGES_MAX || first > pages || count > pages - first)
        return ERR_INVALID;
    return fill && object->pager != NULL ? ERR_NOT_SUPPORTED : OK;
}

enum status sys_grant_create(struct syscall *call) {
    struct file *file, *grant = NULL;
    uint64_t first = call->arg[1], count = call->arg[2], direction = call->arg[3];
    if (direction != GRANT_FILL && direction != GRANT_STORE)
        return ERR_INVALID;
    enum status status = get_memory((int)call->arg[0], direction == GRANT_FILL ? RIGHT_WRITE : RIGHT_READ, &file);
    if (status != OK)
        return status;
    status = check_range(file_memory(file), first, count, direction == GRANT_FILL);
    if (status == OK)
        status = grant_on(file, first, (unsigned)count, (enum grant_direction)direction, &grant);
    file_unref(file);
    return status == OK ? handle_publish(grant, &call->result) : status;
}

enum status sys_grant_copy(struct syscall *call) {
    struct file *file;
    bool into = call->arg[4] != 0;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (grant_of(file) == NULL)
        status = ERR_INVALID;
    else if (!(file->rights & (into ? RIGHT_WRITE : RIGHT_READ)))
        status = ERR_ACCESS;
    else
        status = grant_copy(file, call->arg[1], call->arg[2], call->arg[3], into);
    file_unref(file);
    return status;
}
