/*
 * Owns: the frames of messages under way.
 *
 * Invariants: LOGICAL ACCESS – a frame holds one message and zeros, and only its holder's process, which wrote it or is
 * to read it, makes a view of it. CLEAN – who gives a buffer up clears what it used, so that frames are zero when they
 * are used again or freed. REVOKE – the holder's translations are flushed before another process writes into the
 * frames: message_settle().
 * Locks: none; a buffer has one holder. Space: stays in the restricted one; in mode naive the touch exits.
 */
#include "kernel/message.h"

#include "arch/smp.h"
#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/file.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "mm/ephmap.h"
#include "mm/heap.h"

#define SPARE_FRAMES 2 /* a page of bytes and the words */

static uint64_t spares, spare_frames; /* atomic */

struct message_spares message_spares(void) {
    return (struct message_spares){.frames = __atomic_load_n(&spare_frames, __ATOMIC_RELAXED),
                                   .bytes = __atomic_load_n(&spares, __ATOMIC_RELAXED) *
                                            global_bytes(sizeof(struct message_buffer))};
}

static void set_spare(struct message_buffer *buffer) {
    thread_current()->spare_message = buffer;
    __atomic_fetch_add(&spares, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&spare_frames, buffer->frame_count, __ATOMIC_RELAXED);
}

/* NULL: there is none. */
static struct message_buffer *take_spare(void) {
    struct message_buffer *buffer = thread_current()->spare_message;
    if (buffer != NULL) {
        thread_current()->spare_message = NULL;
        __atomic_fetch_sub(&spares, 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(&spare_frames, buffer->frame_count, __ATOMIC_RELAXED);
    }
    return buffer;
}

static void free_frames(struct message_buffer *buffer, unsigned from) {
    if (buffer->frame_count > from)
        ephmap_flush();
    while (buffer->frame_count > from)
        frame_free_clean(buffer->frames[--buffer->frame_count]);
}

static enum status add_frames(struct message_buffer *buffer, unsigned count) {
    while (buffer->frame_count < count) {
        enum status status = frame_alloc(FRAME_SECRET, 0, &buffer->frames[buffer->frame_count]);
        if (status != OK)
            return status;
        buffer->frame_count++;
    }
    return OK;
}

static void destroy(struct message_buffer *buffer) {
    free_frames(buffer, 0);
    global_free(buffer, sizeof(*buffer));
}

enum status message_alloc(size_t length, struct message_buffer **out) {
    struct message_buffer *buffer = take_spare();
    if (buffer == NULL && (buffer = global_alloc(sizeof(*buffer))) == NULL)
        return ERR_NO_MEMORY;
    enum status status = add_frames(buffer, (unsigned)bytes_to_pages(sizeof(struct message_words) + length));
    if (status != OK) {
        destroy(buffer);
        return status;
    }
    buffer->length = (uint32_t)length;
    *out = buffer;
    return OK;
}

static char *view_of(const struct message_buffer *buffer, size_t offset) {
    asi_expect(ASI_CAUSE_IPC);
    return (char *)ephmap_scratch(buffer->frames[offset / PAGE_SIZE]) + offset % PAGE_SIZE;
}

/* How many bytes from `offset` on lie in the same frame, at most `bytes`. */
static size_t within_frame(size_t offset, size_t bytes) {
    size_t rest = PAGE_SIZE - offset % PAGE_SIZE;
    return bytes < rest ? bytes : rest;
}

/* Of a view, what was used. */
static void clear(char *view, size_t bytes) {
    if (!mutant(message_not_cleared))
        memset(view, 0, bytes);
}

static void clear_all(const struct message_buffer *buffer) {
    size_t used = sizeof(struct message_words) + buffer->length;
    for (size_t at = 0, part; at < used; at += part) {
        part = within_frame(at, used - at);
        char *view = view_of(buffer, at);
        clear(view, part);
        ephmap_scratch_put(view);
    }
}

void message_free(struct message_buffer *buffer) {
    if (buffer->written)
        clear_all(buffer);
    buffer->written = false;
    if (thread_current()->spare_message != NULL) {
        destroy(buffer);
        return;
    }
    free_frames(buffer, SPARE_FRAMES);
    set_spare(buffer);
}

void message_free_spare(void) {
    struct message_buffer *buffer = take_spare();
    if (buffer != NULL)
        destroy(buffer);
}

/* Between a view and the place; returns how many bytes a fault of the user's kept from being copied. */
static size_t copy_part(char *view, struct message_place place, size_t offset, size_t bytes, bool to_view) {
    if (place.kernel != NULL) {
        memcpy(to_view ? view : place.kernel + offset, to_view ? place.kernel + offset : view, bytes);
        return 0;
    }
    return to_view ? copy_from_user_held(view, place.user + offset, bytes)
                   : copy_to_user_held(place.user + offset, view, bytes);
}

/*
 * Words and bytes, frame by frame. A page fault may need a pager, and so a call of its own: no view is held across it.
 * What is taken is cleared under the same view.
 */
static enum status copy(const struct message_buffer *buffer, struct message_words *words, struct message_place place,
                        bool to_buffer) {
    const size_t used = sizeof(*words) + buffer->length;
    for (size_t at = 0, start = 0; at < used; start = at) {
        char *view = view_of(buffer, at);
        if (at == 0) {
            memcpy(to_buffer ? (void *)view : words, to_buffer ? (void *)words : view, sizeof(*words));
            at = sizeof(*words);
        }
        const size_t done = at - sizeof(*words), part = within_frame(at, used - at);
        size_t left = part > 0 ? copy_part(view + (at - start), place, done, part, to_buffer) : 0;
        at += part - left;
        if (!to_buffer)
            clear(view, at - start);
        ephmap_scratch_put(view);
        enum status status = left > 0 ? user_fault_in(place.user + done + part - left, !to_buffer) : OK;
        if (status != OK)
            return status;
    }
    return OK;
}

enum status message_write(struct message_buffer *buffer, const struct message_words *words, struct message_place from) {
    if (from.kernel == NULL && !user_range_ok(from.user, buffer->length))
        return ERR_FAULT;
    if (mutant(message_in_thread))
        thread_current()->reception.bits = words->word[0];
    buffer->written = true;
    return copy(buffer, (struct message_words *)(uintptr_t)words, from, true);
}

void message_get_words(const struct message_buffer *buffer, struct message_words *words) {
    char *view = view_of(buffer, 0);
    memcpy(words, view, sizeof(*words));
    ephmap_scratch_put(view);
}

enum status message_prepare(const struct message_buffer *buffer, struct message_place to) {
    static const char something = 0;
    enum status status = OK;
    if (to.kernel != NULL)
        return OK;
    if (!user_range_ok(to.user, buffer->length))
        return ERR_FAULT;
    for (vaddr_t at = to.user, end = at + buffer->length; at < end && status == OK; at = page_floor(at) + PAGE_SIZE)
        status = copy_to_user(at, &something, 1); /* the message will be there */
    return status;
}

enum status message_take(struct message_buffer *buffer, struct message_words *words, struct message_place to) {
    enum status status = copy(buffer, words, to, false);
    if (status == OK)
        buffer->written = false;
    return status;
}

/* The same of bytes alone, wherever they lie, which stay. */
static enum status copy_bytes(const struct message_buffer *buffer, size_t offset, struct message_place place,
                              size_t bytes, bool to_buffer) {
    for (size_t done = 0; done < bytes;) {
        size_t at = sizeof(struct message_words) + offset + done, part = within_frame(at, bytes - done);
        char *view = view_of(buffer, at);
        size_t left = copy_part(view, place, done, part, to_buffer);
        ephmap_scratch_put(view);
        done += part - left;
        enum status status = left > 0 ? user_fault_in(place.user + done, !to_buffer) : OK;
        if (status != OK)
            return status;
    }
    return OK;
}

enum status message_write_part(struct message_buffer *buffer, size_t offset, struct message_place from, size_t bytes) {
    buffer->written = true;
    return copy_bytes(buffer, offset, from, bytes, true);
}

enum status message_read_part(const struct message_buffer *buffer, size_t offset, struct message_place to,
                              size_t bytes) {
    return copy_bytes(buffer, offset, to, bytes, false);
}

/* On the only CPU nobody else runs before a switch has flushed them. */
void message_settle(void) {
    if (cpu_count > 1)
        ephmap_flush();
}

void parcel_drop(struct parcel *parcel) {
    while (parcel->file_count > 0)
        file_unref(parcel->files[--parcel->file_count]);
    if (parcel->buffer != NULL)
        message_free(parcel->buffer);
    parcel->buffer = NULL;
}
