/*
 * Memory objects and grants for C programs; kernel/ipc_abi.h says what the calls do. -1 and errno on failure.
 */
#ifndef USER_LIB_OBJECTS_H
#define USER_LIB_OBJECTS_H

#include "user/lib/native.h"

/* `endpoint` -1: without a pager. */
static inline int object_create(uint64_t bytes, int endpoint, uint64_t id) {
    return (int)syscall(SYS_OBJECT_CREATE, bytes, endpoint, id);
}
static inline int object_move(int to, uint64_t to_page, int from, uint64_t from_page, uint64_t pages) {
    return (int)syscall(SYS_OBJECT_MOVE, to, to_page, from, from_page, pages);
}
static inline int grant_create(int object, uint64_t first, uint64_t pages, enum grant_direction direction) {
    return (int)syscall(SYS_GRANT_CREATE, object, first, pages, direction);
}
static inline int grant_read(int grant, uint64_t offset, void *to, size_t bytes) {
    return (int)syscall(SYS_GRANT_COPY, grant, offset, to, bytes, 0);
}
static inline int grant_write(int grant, uint64_t offset, const void *from, size_t bytes) {
    return (int)syscall(SYS_GRANT_COPY, grant, offset, from, bytes, 1);
}
static inline int pager_timeout(int object, uint64_t ns) { return (int)syscall(SYS_PAGER_TIMEOUT, object, ns); }

#endif
