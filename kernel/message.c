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
    struct thread *self = thread_current();
    struct message_buffer *buffer = self->spare_message;
    if (buffer != NULL)
        self->spare_message = NULL;
    else if ((buffer = global_alloc(sizeof(*buffer))) == NULL)
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

void message_free(struct message_buffer *buffer) {
    struct thread *self = thread_current();
    size_t used = sizeof(struct message_words) + buffer->length;
    for (size_t at = 0, part; at < used; at += part) {
        part = within_frame(at, used - at);
        char *view = view_of(buffer, at);
        if (!mutant(message_not_cleared))
            memset(view, 0, part);
        ephmap_scratch_put(view);
    }
    if (self->spare_message != NULL) {
        destroy(buffer);
        return;
    }
    free_frames(buffer, 1);
    self->spare_message = buffer;
}

void message_free_spare(void) {
    struct thread *self = thread_current();
    if (self->spare_message != NULL)
        destroy(self->spare_message);
    self->spare_message = NULL;
}

void message_put_words(struct message_buffer *buffer, const struct message_words *words) {
    char *view = view_of(buffer, 0);
    if (mutant(message_in_thread))
        thread_current()->reception.bits = words->word[0];
    memcpy(view, words, sizeof(*words));
    ephmap_scratch_put(view);
}

void message_get_words(const struct message_buffer *buffer, struct message_words *words) {
    char *view = view_of(buffer, 0);
    memcpy(words, view, sizeof(*words));
    ephmap_scratch_put(view);
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

/* A page fault may need a pager, and so a call of its own: no view is held across it. */
static enum status copy(const struct message_buffer *buffer, struct message_place place, bool to_buffer) {
    if (place.kernel == NULL && !user_range_ok(place.user, buffer->length))
        return ERR_FAULT;
    for (size_t done = 0; done < buffer->length;) {
        size_t at = sizeof(struct message_words) + done, part = within_frame(at, buffer->length - done);
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

enum status message_write(struct message_buffer *buffer, struct message_place from) { return copy(buffer, from, true); }

enum status message_read(const struct message_buffer *buffer, struct message_place to) {
    return copy(buffer, to, false);
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
