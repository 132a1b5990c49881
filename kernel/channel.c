/*
 * The pages of a channel and who may see them.
 *
 * Invariants: LOGICAL ACCESS – a window on a page of a channel is had only by processes that may read the channel, and
 * by the one process whose bytes the page holds. Hence:
 *  - bytes are cleared as they are read: a page holds unread bytes and zeros, so a reader's window shows what it may
 *    read;
 *  - a page remembers its writer. Whoever may not read the channel does not append behind another's bytes but begins
 *    the next page; when a page passes to another writer, the former's window is revoked;
 *  - CLEAN: an emptied page is all zero and goes back to the free list as it is.
 * With one writer and one reader in turns nothing is revoked, allocated or mapped: both keep their windows on one page.
 *
 * Locks: channel.object->lock, held by the callers. Stays in the restricted space, but for
 * a writer who finds all slots taken and must append behind another's bytes after all (view_for_writing).
 */
#include "kernel/channel.h"
#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/assert.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/object.h"

static struct channel_page *slot(struct channel *channel, uint32_t n) {
    return &channel->pages[(channel->first + n) % CHANNEL_SLOTS];
}

/* The page that holds the newest bytes. used > 0. */
static const struct channel_page *tail(const struct channel *channel) {
    return &channel->pages[(channel->first + channel->used - 1) % CHANNEL_SLOTS];
}

static uint32_t end_of(const struct channel_page *page) { return (uint32_t)page->start + page->length; }

bool channel_behind_other(const struct channel *channel, uint64_t writer) {
    return channel->used > 0 && tail(channel)->writer != writer;
}

/* Bytes that fit behind the newest ones. */
static size_t room_in_tail(const struct channel *channel, uint64_t writer, bool reads) {
    if (channel->used == 0 || (channel_behind_other(channel, writer) && !reads && channel->used < channel->slots))
        return 0;
    return PAGE_SIZE - end_of(tail(channel));
}

size_t channel_room(const struct channel *channel, uint64_t writer, bool reads) {
    size_t fresh = channel->used < channel->slots ? (channel->slots - channel->used) * PAGE_SIZE : 0;
    return fresh + room_in_tail(channel, writer, reads);
}

/* No process keeps a window on the frame. */
static void revoke(struct channel *channel, frame_t frame) {
    const vaddr_t window = ephmap_window_address(frame);
    ephmap_revoke_frame(channel->object, frame);
    ephmap_flush_windows(channel->object, &window, 1);
}

static void set_writer(struct channel *channel, struct channel_page *page, uint64_t writer) {
    if (page->writer == writer)
        return;
    if (page->writer != CHANNEL_WRITER_NONE)
        revoke(channel, page->frame);
    page->writer = writer;
}

/* Gives an empty slot a clean frame that `writer` may see. */
static enum status ready_page(struct channel *channel, struct channel_page *page, uint64_t writer) {
    if (frame_is_none(page->frame) && channel->spare_count > 0)
        *page = channel->spares[--channel->spare_count];
    if (frame_is_none(page->frame)) {
        enum status status = frame_alloc(FRAME_SECRET, 0, &page->frame);
        if (status != OK)
            return status;
        frame_info(page->frame)->object = channel->object;
        page->writer = CHANNEL_WRITER_NONE;
    }
    page->start = page->length = 0;
    set_writer(channel, page, writer);
    return OK;
}

/* Returns an empty frame that is not needed. */
static void free_page(struct channel *channel, struct channel_page *page) {
    revoke(channel, page->frame);
    frame_info(page->frame)->object = NULL;
    frame_free_clean(page->frame);
    *page = (struct channel_page){0};
}

/* `page` is empty now and was not the only one. */
static void retire_page(struct channel *channel, struct channel_page *page) {
    if (channel->spare_count == CHANNEL_SPARES) {
        free_page(channel, page);
        return;
    }
    channel->spares[channel->spare_count++] = *page;
    *page = (struct channel_page){0};
}

/* A view for a writer. Who may not see the page writes outside the restricted space. Put it. */
static char *view_for_writing(struct channel *channel, struct channel_page *page, bool may_see) {
    if (may_see) {
        asi_expect(ASI_CAUSE_IPC);
        return ephmap_window(page->frame, channel->object);
    }
    asi_exit(ASI_CAUSE_IPC);
    this_cpu->views_held++; /* a fault on the user side must stop the copy, as with any view */
    return physmap(page->frame);
}

static void put_view(bool may_see) {
    if (may_see)
        ephmap_window_put();
    else
        this_cpu->views_held--;
}

/* Copies behind what the page holds, without saying so yet. Returns how many bytes were not copied: then it cleared all
 * again. */
static size_t fill(struct channel *channel, struct channel_page *page, bool may_see, struct channel_source from,
                   size_t bytes) {
    size_t left = 0;
    char *to = view_for_writing(channel, page, may_see) + end_of(page);
    if (from.kernel != NULL)
        memcpy(to, from.kernel, bytes);
    else
        left = copy_from_user_held(to, from.user, bytes);
    if (left > 0)
        memset(to, 0, bytes);
    put_view(may_see);
    return left;
}

static void unfill(struct channel *channel, struct channel_page *page, bool may_see, size_t bytes) {
    memset(view_for_writing(channel, page, may_see) + end_of(page), 0, bytes);
    put_view(may_see);
}

enum status channel_append(struct channel *channel, uint64_t writer, bool reads, struct channel_source from,
                           size_t bytes, vaddr_t *fault) {
    struct channel_page *old = NULL, *fresh = NULL;
    bool may_see = true;
    size_t head = room_in_tail(channel, writer, reads), left = 0;
    if (head > bytes)
        head = bytes;
    if (head < bytes) {
        fresh = slot(channel, channel->used);
        enum status status = ready_page(channel, fresh, writer);
        if (status != OK)
            return status;
    }
    if (head > 0) {
        old = slot(channel, channel->used - 1);
        if (old->writer != writer && !mutant(page_is_taken_for_own)) {
            may_see = reads || mutant(stranger_writes_by_view);
            set_writer(channel, old, CHANNEL_WRITERS_MIXED);
        }
        left = fill(channel, old, may_see, from, head);
        if (left > 0) {
            *fault = from.user + (head - left);
            return ERR_FAULT;
        }
    }
    if (fresh != NULL) {
        struct channel_source rest = {from.user + head, from.kernel != NULL ? from.kernel + head : NULL};
        left = fill(channel, fresh, true, rest, bytes - head);
        if (left > 0) {
            if (head > 0)
                unfill(channel, old, may_see, head);
            *fault = from.user + (bytes - left);
            return ERR_FAULT;
        }
        fresh->length = (uint16_t)(bytes - head);
        channel->used++;
    }
    if (old != NULL)
        old->length = (uint16_t)(old->length + head);
    channel->bytes += (uint32_t)bytes;
    return OK;
}

/* Copies out of a page from `offset` on; returns how many bytes were not. */
static size_t copy_out(struct channel *channel, const struct channel_page *page, uint32_t offset,
                       struct channel_target to, size_t bytes, bool clear) {
    size_t left = 0;
    asi_expect(ASI_CAUSE_IPC);
    char *view = (char *)ephmap_window(page->frame, channel->object) + offset;
    if (to.kernel != NULL)
        memcpy(to.kernel, view, bytes);
    else
        left = copy_to_user_held(to.user, view, bytes);
    if (clear)
        memset(view, 0, bytes - left);
    ephmap_window_put();
    return left;
}

/* The first page has lost `bytes`. */
static void consume(struct channel *channel, size_t bytes) {
    struct channel_page *page = slot(channel, 0);
    page->start = (uint16_t)(page->start + bytes);
    page->length = (uint16_t)(page->length - bytes);
    channel->bytes -= (uint32_t)bytes;
    if (page->length > 0)
        return;
    page->start = 0;
    if (--channel->used > 0) { /* else the writer goes on in this page */
        channel->first = (channel->first + 1) % CHANNEL_SLOTS;
        retire_page(channel, page);
    }
}

static struct channel_target target_at(struct channel_target to, size_t offset) {
    return (struct channel_target){to.user + offset, to.kernel != NULL ? to.kernel + offset : NULL};
}

size_t channel_take(struct channel *channel, struct channel_target to, size_t bytes) {
    size_t done = 0, left = 0;
    while (done < bytes && channel->used > 0 && left == 0) {
        const struct channel_page *page = slot(channel, 0);
        size_t part = bytes - done < page->length ? bytes - done : page->length;
        left = copy_out(channel, page, page->start, target_at(to, done), part, true);
        consume(channel, part - left);
        done += part - left;
    }
    return done;
}

size_t channel_peek(struct channel *channel, size_t skip, struct channel_target to, size_t bytes) {
    size_t done = 0, left = 0;
    for (uint32_t n = 0; n < channel->used && done < bytes && left == 0; n++) {
        const struct channel_page *page = slot(channel, n);
        if (skip >= page->length) {
            skip -= page->length;
            continue;
        }
        size_t part = page->length - skip < bytes - done ? page->length - skip : bytes - done;
        left = copy_out(channel, page, (uint32_t)(page->start + skip), target_at(to, done), part, false);
        done += part - left;
        skip = 0;
    }
    return done;
}

void channel_revoke(struct channel *channel) {
    for (unsigned i = 0; i < CHANNEL_SLOTS; i++) {
        if (!frame_is_none(channel->pages[i].frame))
            revoke(channel, channel->pages[i].frame);
    }
    for (unsigned i = 0; i < channel->spare_count; i++)
        revoke(channel, channel->spares[i].frame);
}

/* An unread page, which no process has a window on any more. */
static void discard(frame_t frame, bool may_see) {
    if (may_see) {
        ephmap_scrub_and_free(frame);
        return;
    }
    asi_exit(ASI_CAUSE_IPC);
    if (!mutant(fifo_not_cleared))
        memset(physmap(frame), 0, PAGE_SIZE);
    frame_free_clean(frame);
}

void channel_drop_pages(struct channel *channel, bool may_see) {
    frame_t unread[CHANNEL_SLOTS];
    unsigned count = 0;
    for (unsigned i = 0; i < CHANNEL_SLOTS; i++) {
        struct channel_page *page = &channel->pages[i];
        if (frame_is_none(page->frame))
            continue;
        if (page->length == 0) {
            free_page(channel, page);
            continue;
        }
        revoke(channel, page->frame);
        frame_info(page->frame)->object = NULL;
        unread[count++] = page->frame;
        *page = (struct channel_page){0};
    }
    while (channel->spare_count > 0)
        free_page(channel, &channel->spares[--channel->spare_count]);
    channel->used = channel->bytes = 0;
    spin_unlock(&channel->object->lock);
    for (unsigned i = 0; i < count; i++)
        discard(unread[i], may_see);
}

/* Ids come round again, and the next process of that id must not pass for this one. */
uint64_t channel_writer(void) {
    const struct process *process = process_current();
    return (process->start_time << 22) + process->id;
}

void channel_init(struct channel *channel, struct memory_object *object) {
    channel->object = object;
    channel->slots = CHANNEL_SLOTS;
}
