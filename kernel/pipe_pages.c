/*
 * The pages of a pipe and who may see them.
 *
 * Invariants: LOGICAL ACCESS – a window on a page of a pipe is had only by processes that may read the pipe, and by the
 * one process whose bytes the page holds. Hence:
 *  - bytes are cleared as they are read: a page holds unread bytes and zeros, so a reader's window shows what it may
 * read;
 *  - a page remembers its writer. Whoever may not read the pipe does not append behind another's bytes but begins the
 * next page; when a page passes to another writer, the former's window is revoked;
 *  - CLEAN: an emptied page is all zero and goes back to the free list as it is.
 * With one writer and one reader in turns nothing is revoked, allocated or mapped: both keep their windows on one page.
 *
 * Locks: pipe.object->lock, held by the callers (not for pipe_drop_pages). Stays in the restricted space, but for a
 * writer who finds all slots taken and must append behind another's bytes after all (view_for_writing).
 */
#include "arch/uaccess.h"
#include "asi/asi.h"
#include "asi/mutant.h"
#include "kernel/assert.h"
#include "kernel/pipe.h"
#include "kernel/string.h"
#include "mm/ephmap.h"
#include "mm/object.h"

static struct pipe_page *slot(struct pipe *pipe, uint32_t n) { return &pipe->pages[(pipe->first + n) % PIPE_SLOTS]; }

/* The page that holds the newest bytes. used > 0. */
static const struct pipe_page *tail(const struct pipe *pipe) {
    return &pipe->pages[(pipe->first + pipe->used - 1) % PIPE_SLOTS];
}

static uint32_t end_of(const struct pipe_page *page) { return (uint32_t)page->start + page->length; }

bool pipe_behind_other(const struct pipe *pipe, uint64_t writer) {
    return pipe->used > 0 && tail(pipe)->writer != writer;
}

/* Bytes that fit behind the newest ones. */
static size_t room_in_tail(const struct pipe *pipe, uint64_t writer, bool reads) {
    if (pipe->used == 0 || (pipe_behind_other(pipe, writer) && !reads && pipe->used < pipe->slots))
        return 0;
    return PAGE_SIZE - end_of(tail(pipe));
}

size_t pipe_room(const struct pipe *pipe, uint64_t writer, bool reads) {
    size_t fresh = pipe->used < pipe->slots ? (pipe->slots - pipe->used) * PAGE_SIZE : 0;
    return fresh + room_in_tail(pipe, writer, reads);
}

/* No process keeps a window on the frame. */
static void revoke(struct pipe *pipe, frame_t frame) {
    const vaddr_t window = ephmap_window_address(frame);
    ephmap_revoke_frame(pipe->object, frame);
    ephmap_flush_windows(pipe->object, &window, 1);
}

static void set_writer(struct pipe *pipe, struct pipe_page *page, uint64_t writer) {
    if (page->writer == writer)
        return;
    if (page->writer != PIPE_WRITER_NONE)
        revoke(pipe, page->frame);
    page->writer = writer;
}

/* Gives an empty slot a clean frame that `writer` may see. */
static enum status ready_page(struct pipe *pipe, struct pipe_page *page, uint64_t writer) {
    if (frame_is_none(page->frame) && pipe->spare_count > 0)
        *page = pipe->spares[--pipe->spare_count];
    if (frame_is_none(page->frame)) {
        enum status status = frame_alloc(FRAME_SECRET, 0, &page->frame);
        if (status != OK)
            return status;
        frame_info(page->frame)->object = pipe->object;
        page->writer = PIPE_WRITER_NONE;
    }
    page->start = page->length = 0;
    set_writer(pipe, page, writer);
    return OK;
}

/* Returns an empty frame that is not needed. */
static void free_page(struct pipe *pipe, struct pipe_page *page) {
    revoke(pipe, page->frame);
    frame_info(page->frame)->object = NULL;
    frame_free_clean(page->frame);
    *page = (struct pipe_page){0};
}

/* `page` is empty now and was not the only one. */
static void retire_page(struct pipe *pipe, struct pipe_page *page) {
    if (pipe->spare_count == PIPE_SPARES) {
        free_page(pipe, page);
        return;
    }
    pipe->spares[pipe->spare_count++] = *page;
    *page = (struct pipe_page){0};
}

/* A view for a writer. Who may not see the page writes outside the restricted space. Put it. */
static char *view_for_writing(struct pipe *pipe, struct pipe_page *page, bool may_see) {
    if (may_see) {
        asi_expect(ASI_CAUSE_IPC);
        return ephmap_window(page->frame, pipe->object);
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
static size_t fill(struct pipe *pipe, struct pipe_page *page, bool may_see, struct pipe_source from, size_t bytes) {
    size_t left = 0;
    char *to = view_for_writing(pipe, page, may_see) + end_of(page);
    if (from.kernel != NULL)
        memcpy(to, from.kernel, bytes);
    else
        left = copy_from_user_held(to, from.user, bytes);
    if (left > 0)
        memset(to, 0, bytes);
    put_view(may_see);
    return left;
}

static void unfill(struct pipe *pipe, struct pipe_page *page, bool may_see, size_t bytes) {
    memset(view_for_writing(pipe, page, may_see) + end_of(page), 0, bytes);
    put_view(may_see);
}

enum status pipe_append(struct pipe *pipe, uint64_t writer, bool reads, struct pipe_source from, size_t bytes,
                        vaddr_t *fault) {
    struct pipe_page *old = NULL, *fresh = NULL;
    bool may_see = true;
    size_t head = room_in_tail(pipe, writer, reads), left = 0;
    if (head > bytes)
        head = bytes;
    if (head < bytes) {
        fresh = slot(pipe, pipe->used);
        enum status status = ready_page(pipe, fresh, writer);
        if (status != OK)
            return status;
    }
    if (head > 0) {
        old = slot(pipe, pipe->used - 1);
        if (old->writer != writer && !mutant(page_is_taken_for_own)) {
            may_see = reads || mutant(stranger_writes_by_view);
            set_writer(pipe, old, PIPE_WRITERS_MIXED);
        }
        left = fill(pipe, old, may_see, from, head);
        if (left > 0) {
            *fault = from.user + (head - left);
            return ERR_FAULT;
        }
    }
    if (fresh != NULL) {
        struct pipe_source rest = {from.user + head, from.kernel != NULL ? from.kernel + head : NULL};
        left = fill(pipe, fresh, true, rest, bytes - head);
        if (left > 0) {
            if (head > 0)
                unfill(pipe, old, may_see, head);
            *fault = from.user + (bytes - left);
            return ERR_FAULT;
        }
        fresh->length = (uint16_t)(bytes - head);
        pipe->used++;
    }
    if (old != NULL)
        old->length = (uint16_t)(old->length + head);
    pipe->bytes += (uint32_t)bytes;
    return OK;
}

size_t pipe_take(struct pipe *pipe, vaddr_t to, size_t bytes) {
    size_t done = 0;
    while (done < bytes && pipe->used > 0) {
        struct pipe_page *page = slot(pipe, 0);
        size_t part = bytes - done < page->length ? bytes - done : page->length;
        asi_expect(ASI_CAUSE_IPC);
        char *view = ephmap_window(page->frame, pipe->object);
        size_t left = copy_to_user_held(to + done, view + page->start, part);
        part -= left;
        memset(view + page->start, 0, part);
        ephmap_window_put();
        page->start = (uint16_t)(page->start + part);
        page->length = (uint16_t)(page->length - part);
        pipe->bytes -= (uint32_t)part;
        done += part;
        if (left > 0)
            break;
        if (page->length > 0)
            continue;
        page->start = 0;
        if (--pipe->used > 0) { /* else the writer goes on in this page */
            pipe->first = (pipe->first + 1) % PIPE_SLOTS;
            retire_page(pipe, page);
        }
    }
    return done;
}

void pipe_revoke(struct pipe *pipe) {
    for (unsigned i = 0; i < PIPE_SLOTS; i++) {
        if (!frame_is_none(pipe->pages[i].frame))
            revoke(pipe, pipe->pages[i].frame);
    }
    for (unsigned i = 0; i < pipe->spare_count; i++)
        revoke(pipe, pipe->spares[i].frame);
}

void pipe_drop_pages(struct pipe *pipe) {
    frame_t unread[PIPE_SLOTS];
    unsigned count = 0;
    spin_lock(&pipe->object->lock);
    if (pipe->readers != 0) {
        spin_unlock(&pipe->object->lock);
        return;
    }
    for (unsigned i = 0; i < PIPE_SLOTS; i++) {
        struct pipe_page *page = &pipe->pages[i];
        if (frame_is_none(page->frame))
            continue;
        if (page->length == 0) {
            free_page(pipe, page);
            continue;
        }
        revoke(pipe, page->frame);
        frame_info(page->frame)->object = NULL;
        unread[count++] = page->frame;
        *page = (struct pipe_page){0};
    }
    while (pipe->spare_count > 0)
        free_page(pipe, &pipe->spares[--pipe->spare_count]);
    pipe->used = pipe->bytes = 0;
    spin_unlock(&pipe->object->lock);
    /* The caller closes the last end for reading: it may see what it throws away. */
    for (unsigned i = 0; i < count; i++)
        ephmap_scrub_and_free(unread[i]);
}
