/*
 * Changes to memory that outlives its process: all of a change or nothing of it, whenever the process is killed.
 *
 * A server keeps what it must not forget in a memory object that its supervisor holds as well. A change is written down
 * behind the memory's end of the log first, then made valid by one store, then carried out. Whoever opens the memory
 * next carries out again what was valid and not finished; doing it twice does no harm. The memory is lost with the
 * machine: this is no journal of a disk.
 *
 * One thread at a time, by the caller's lock.
 */
#ifndef USER_LIB_REDO_H
#define USER_LIB_REDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redo {
    uint8_t *memory;
    size_t size;      /* of the memory, the log included */
    size_t log, room; /* where the log is in the memory, and how many bytes of entries it holds */
    size_t written;   /* of the change that is being put together */
};

/* Finishes what was valid. The log takes `bytes` at `offset` of the memory, both multiples of 8; zero at first. */
void redo_open(struct redo *redo, void *memory, size_t size, size_t offset, size_t bytes);

/* Adds `length` bytes that are to stand at `where`, an address in the memory. False: the log is full, or not there. */
bool redo_put(struct redo *redo, void *where, const void *bytes, size_t length);

/* From here on the change is done, whatever happens. */
void redo_commit(struct redo *redo);

/* Forgets what was put since the last commit. */
void redo_drop(struct redo *redo);

#endif
