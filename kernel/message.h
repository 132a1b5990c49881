/*
 * Message buffers: where what a message says lies between its sender and its receiver.
 *
 * A buffer holds one message and nothing else, in SECRET frames, and has one holder at a time, who alone touches it: a
 * thread (its own, to write or to read), or the call that it waits in (kernel/call.h). The holder's process may see the
 * message, so its scratch views keep LOGICAL ACCESS. Neither words nor bytes are ever in GLOBAL memory; lengths are.
 */
#ifndef KERNEL_MESSAGE_H
#define KERNEL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/ipc_abi.h"
#include "kernel/status.h"
#include "mm/types.h"

struct file;

/* Label and words; on the kernel stack of a process that may see them. */
struct message_words {
    uint64_t label, word[3];
};

#define MESSAGE_FRAMES ((sizeof(struct message_words) + IPC_BYTES_MAX + PAGE_SIZE - 1) / PAGE_SIZE)

/* Class GLOBAL. Guarded by its holder. The frames hold struct message_words, then the bytes, then zeros. */
struct message_buffer {
    uint32_t length; /* of the bytes */
    uint16_t frame_count;
    bool written; /* false: nothing but zeros is in it */
    frame_t frames[MESSAGE_FRAMES];
};

/* What crosses: a buffer, and references to open files (metadata). All zero: nothing. */
struct parcel {
    struct message_buffer *buffer;
    unsigned file_count;
    struct file *files[IPC_HANDLES_MAX];
};

/* Bytes in user memory (may fault; within the user half), or in the caller's own kernel memory. */
struct message_place {
    vaddr_t user;
    char *kernel; /* NULL: user */
};

/* A buffer with room for `length` bytes, all zero. The calling thread's spare one, if it has one. ERR_NO_MEMORY. */
MUST_USE enum status message_alloc(size_t length, struct message_buffer **out);

/* Clears what it says, keeps the buffer as the calling thread's spare or frees it. The caller is its holder. */
void message_free(struct message_buffer *buffer);

/* The calling thread ends: its spare goes. */
void message_free_spare(void);

/* What all threads' spares take: SECRET frames, and bytes of the GLOBAL heap. */
struct message_spares {
    uint64_t frames, bytes;
};
struct message_spares message_spares(void);

/* The words, and all `length` bytes. ERR_FAULT. May sleep. */
MUST_USE enum status message_write(struct message_buffer *buffer, const struct message_words *words,
                                   struct message_place from);

/* The words, which stay. */
void message_get_words(const struct message_buffer *buffer, struct message_words *words);

/*
 * Takes all of it out of the buffer, which is zero then; with an error part of it is lost. ERR_FAULT: not if
 * message_prepare() said OK, but where another thread has taken the memory away meanwhile. May sleep.
 */
MUST_USE enum status message_take(struct message_buffer *buffer, struct message_words *words, struct message_place to);
/* Makes sure that what the buffer holds can be put there, and may write to it. ERR_FAULT. May sleep. */
MUST_USE enum status message_prepare(const struct message_buffer *buffer, struct message_place to);

/* A part of the bytes, without words: `bytes` from `offset` on. Within the user half. ERR_FAULT. May sleep. */
MUST_USE enum status message_write_part(struct message_buffer *buffer, size_t offset, struct message_place from,
                                        size_t bytes);
MUST_USE enum status message_read_part(const struct message_buffer *buffer, size_t offset, struct message_place to,
                                       size_t bytes);

/*
 * Before another process may become the holder: no CPU keeps a translation to it in the caller's EPHMAP once somebody
 * else writes to it (REVOKE).
 */
void message_settle(void);

/* Gives up everything in it. The caller is the holder. */
void parcel_drop(struct parcel *parcel);

#endif
