/*
 * The kernel as a client: endpoint_call().
 *
 * What the caller hands over and gets back is its own memory (LOCAL, or metadata); between it and the server there is a
 * parcel, as between user processes. Runs in the caller's space; no lock held.
 */
#include "arch/cpu.h"
#include "kernel/call.h"
#include "kernel/endpoint.h"
#include "kernel/file.h"
#include "kernel/timespec.h"

static enum status make_parcel(const struct message *message, struct parcel *parcel) {
    const struct message_words words = {message->label, {message->word[0], message->word[1], message->word[2]}};
    *parcel = (struct parcel){0};
    enum status status = message_alloc(message->length, &parcel->buffer);
    if (status != OK)
        return status;
    const struct message_place from = {message->user_bytes, (char *)(uintptr_t)message->bytes};
    status = message_write(parcel->buffer, &words, from);
    if (status != OK) {
        parcel_drop(parcel);
        return status;
    }
    for (; parcel->file_count < message->handle_count; parcel->file_count++) {
        parcel->files[parcel->file_count] = message->handles[parcel->file_count];
        file_ref(parcel->files[parcel->file_count]);
    }
    return OK;
}

/* The answer's files pass to the caller, as many as it has room for; what is left in the parcel is dropped. */
static enum status take(struct message *message, struct parcel *parcel) {
    struct message_words words;
    const struct message_place to = {message->user_buffer, message->buffer};
    enum status status = message_prepare(parcel->buffer, to);
    if (status == OK)
        status = message_take(parcel->buffer, &words, to);
    if (status != OK)
        return status;
    message->label = (uint32_t)words.label;
    for (unsigned i = 0; i < 3; i++)
        message->word[i] = words.word[i];
    message->room = parcel->buffer->length;
    message->taken_count = 0;
    while (parcel->file_count > message->taken_room)
        file_unref(parcel->files[--parcel->file_count]);
    for (unsigned i = 0; i < parcel->file_count; i++)
        message->taken[message->taken_count++] = parcel->files[i];
    parcel->file_count = 0;
    return OK;
}

enum status endpoint_call(struct endpoint *endpoint, struct message *message, uint64_t timeout_ns) {
    const struct call_terms terms = {.room = (uint32_t)message->room,
                                     .only_killed = true,
                                     .binding = message->binding,
                                     .deadline = deadline_after(timeout_ns)};
    struct parcel parcel;
    enum status status = make_parcel(message, &parcel);
    if (status != OK)
        return status;
    status = call_send(endpoint, 0, &parcel, &terms);
    if (status == OK)
        status = take(message, &parcel);
    parcel_drop(&parcel);
    return status;
}
