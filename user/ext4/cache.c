/*
 * Buffers in a hash table and a list by use. A clean one that was not used for long makes way for others; one that is
 * being changed, runs in a transaction or is owed to the disk stays. Guard: the volume's lock.
 */
#include "user/ext4/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_SIZE = 4096, CACHE_BYTES = 8 << 20, HOME_RUN_BYTES = 256 << 10 };

static struct buffer **chain(struct cache *cache, uint64_t block) {
    return &cache->table[(block ^ block >> 12) % HASH_SIZE];
}

static struct buffer *find(struct cache *cache, uint64_t block) {
    struct buffer *buffer = *chain(cache, block);
    while (buffer != NULL && buffer->block != block) {
        buffer = buffer->next_of_hash;
    }
    return buffer;
}

static void unlink_use(struct cache *cache, struct buffer *buffer) {
    *(buffer->newer != NULL ? &buffer->newer->older : &cache->newest) = buffer->older;
    *(buffer->older != NULL ? &buffer->older->newer : &cache->oldest) = buffer->newer;
}

static void link_newest(struct cache *cache, struct buffer *buffer) {
    buffer->newer = NULL;
    buffer->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = buffer;
    cache->newest = buffer;
}

static void note_use(struct cache *cache, struct buffer *buffer) {
    if (cache->newest != buffer) {
        unlink_use(cache, buffer);
        link_newest(cache, buffer);
    }
}

static void drop(struct cache *cache, struct buffer *buffer) {
    struct buffer **link = chain(cache, buffer->block);
    while (*link != buffer) {
        link = &(*link)->next_of_hash;
    }
    *link = buffer->next_of_hash;
    unlink_use(cache, buffer);
    cache->count--;
    free(buffer->bytes);
    free(buffer->before);
    free(buffer);
}

static bool is_clean(const struct buffer *buffer) { return !buffer->changing && !buffer->running && !buffer->owed; }

static void make_room(struct cache *cache) {
    for (struct buffer *buffer = cache->oldest; buffer != NULL && cache->count >= cache->limit;) {
        struct buffer *newer = buffer->newer;
        if (is_clean(buffer)) {
            drop(cache, buffer);
        }
        buffer = newer;
    }
}

/* A new buffer whose bytes the caller fills. */
static struct buffer *add(struct cache *cache, uint64_t block) {
    make_room(cache);
    struct buffer *buffer = calloc(1, sizeof *buffer);
    uint8_t *bytes = malloc(cache->block_size);
    if (buffer == NULL || bytes == NULL) {
        free(buffer);
        free(bytes);
        return NULL;
    }
    *buffer = (struct buffer){.block = block, .bytes = bytes, .slot = SURVIVOR_NO_SLOT};
    buffer->next_of_hash = *chain(cache, block);
    *chain(cache, block) = buffer;
    link_newest(cache, buffer);
    cache->count++;
    return buffer;
}

static struct buffer *get(struct cache *cache, uint64_t block, int *error) {
    struct buffer *buffer = find(cache, block);
    if (buffer != NULL) {
        note_use(cache, buffer);
        return buffer;
    }
    if (block >= cache->blocks) {
        *error = EIO;
        return NULL;
    }
    buffer = add(cache, block);
    if (buffer == NULL) {
        *error = ENOMEM;
        return NULL;
    }
    *error = cache->disk->read(cache->disk, block * cache->block_size, buffer->bytes, cache->block_size);
    if (*error != 0) {
        drop(cache, buffer);
        return NULL;
    }
    return buffer;
}

const uint8_t *cache_peek(struct cache *cache, uint64_t block, int *error) {
    const struct buffer *buffer = get(cache, block, error);
    return buffer != NULL ? buffer->bytes : NULL;
}

/* Before the operation under way changes the buffer. */
static int start_change(struct cache *cache, struct buffer *buffer) {
    if (buffer->changing) {
        return 0;
    }
    if (cache->changing_count == SURVIVOR_CHANGE_MAX) {
        cache->too_large = true;
        return EFBIG;
    }
    if (!buffer->fresh) {
        buffer->before = malloc(cache->block_size);
        if (buffer->before == NULL) {
            return ENOMEM;
        }
        memcpy(buffer->before, buffer->bytes, cache->block_size);
    }
    buffer->changing = true;
    cache->changing[cache->changing_count++] = buffer;
    return 0;
}

static int write_part(struct cache *cache, uint64_t block, size_t start, const void *bytes, size_t size) {
    int error = 0;
    struct buffer *buffer = find(cache, block);
    if (buffer == NULL && size == cache->block_size && block < cache->blocks) {
        buffer = add(cache, block);
        if (buffer == NULL) {
            return ENOMEM;
        }
        buffer->fresh = true;
    } else {
        buffer = get(cache, block, &error);
        if (buffer == NULL || memcmp(buffer->bytes + start, bytes, size) == 0) {
            return error;
        }
    }
    error = start_change(cache, buffer);
    if (error == 0) {
        memcpy(buffer->bytes + start, bytes, size);
    } else if (buffer->fresh) {
        drop(cache, buffer);
    }
    return error;
}

static size_t part_size(const struct cache *cache, uint64_t offset, size_t size) {
    size_t rest = cache->block_size - (size_t)(offset % cache->block_size);
    return size < rest ? size : rest;
}

int cache_read(struct cache *cache, uint64_t offset, void *bytes, size_t size) {
    for (size_t done = 0, part; done < size; done += part) {
        int error = 0;
        part = part_size(cache, offset + done, size - done);
        const uint8_t *block = cache_peek(cache, (offset + done) / cache->block_size, &error);
        if (block == NULL) {
            return error;
        }
        memcpy((uint8_t *)bytes + done, block + (offset + done) % cache->block_size, part);
    }
    return 0;
}

int cache_write(struct cache *cache, uint64_t offset, const void *bytes, size_t size) {
    for (size_t done = 0, part; done < size; done += part) {
        part = part_size(cache, offset + done, size - done);
        int error = write_part(cache, (offset + done) / cache->block_size, (offset + done) % cache->block_size,
                               (const uint8_t *)bytes + done, part);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static void end_change(struct buffer *buffer) {
    free(buffer->before);
    buffer->before = NULL;
    buffer->changing = false;
    buffer->fresh = false;
}

void cache_abort(struct cache *cache) {
    for (unsigned i = 0; i < cache->changing_count; i++) {
        struct buffer *buffer = cache->changing[i];
        if (buffer->fresh) {
            drop(cache, buffer);
            continue;
        }
        memcpy(buffer->bytes, buffer->before, cache->block_size);
        end_change(buffer);
    }
    cache->changing_count = 0;
    cache->too_large = false;
}

void cache_accept(struct cache *cache) {
    for (unsigned i = 0; i < cache->changing_count; i++) {
        struct buffer *buffer = cache->changing[i];
        buffer->slot = survivor_put_block(cache->survivor, buffer->slot, buffer->block, buffer->bytes);
        end_change(buffer);
        cache->running += !buffer->running;
        buffer->running = true;
    }
    cache->changing_count = 0;
}

bool cache_forget(struct cache *cache, uint64_t block) {
    struct buffer *buffer = find(cache, block);
    if (buffer == NULL) {
        return false;
    }
    bool owed = buffer->owed;
    for (unsigned i = 0; i < cache->changing_count && buffer->changing; i++) {
        if (cache->changing[i] == buffer) {
            cache->changing[i] = cache->changing[--cache->changing_count];
            break;
        }
    }
    if (buffer->slot != SURVIVOR_NO_SLOT) {
        survivor_drop_block(cache->survivor, buffer->slot);
    }
    cache->running -= buffer->running;
    cache->owed -= owed;
    drop(cache, buffer);
    return owed;
}

int cache_restore(struct cache *cache, uint64_t block, const void *bytes, int slot) {
    struct buffer *buffer = find(cache, block);
    if (buffer == NULL) {
        buffer = block < cache->blocks ? add(cache, block) : NULL;
    }
    if (buffer == NULL) {
        return block < cache->blocks ? ENOMEM : EIO;
    }
    memcpy(buffer->bytes, bytes, cache->block_size);
    buffer->slot = slot;
    cache->running += !buffer->running;
    buffer->running = true;
    return 0;
}

static int by_block(const void *left, const void *right) {
    uint64_t one = (*(struct buffer *const *)left)->block, other = (*(struct buffer *const *)right)->block;
    return (one > other) - (one < other);
}

unsigned cache_collect(struct cache *cache, bool running, struct buffer **found) {
    unsigned count = 0;
    for (struct buffer *buffer = cache->newest; buffer != NULL; buffer = buffer->older) {
        if (running ? buffer->running : buffer->owed) {
            found[count++] = buffer;
        }
    }
    qsort(found, count, sizeof *found, by_block);
    return count;
}

void cache_committed(struct cache *cache) {
    for (struct buffer *buffer = cache->newest; buffer != NULL; buffer = buffer->older) {
        if (buffer->running) {
            buffer->running = false;
            buffer->slot = SURVIVOR_NO_SLOT;
            cache->owed += !buffer->owed;
            buffer->owed = true;
        }
    }
    cache->running = 0;
}

/* Neighbours on the disk go in one request. */
static int write_run(struct cache *cache, struct buffer **run, unsigned count, uint8_t *bytes) {
    for (unsigned i = 0; i < count; i++) {
        memcpy(bytes + (size_t)i * cache->block_size, run[i]->bytes, cache->block_size);
    }
    return cache->disk->write(cache->disk, run[0]->block * cache->block_size, bytes, (size_t)count * cache->block_size);
}

int cache_write_home(struct cache *cache) {
    struct buffer **owed = malloc((cache->owed + 1) * sizeof *owed);
    uint8_t *bytes = malloc(HOME_RUN_BYTES);
    int error = owed == NULL || bytes == NULL ? ENOMEM : 0;
    unsigned count = error == 0 ? cache_collect(cache, false, owed) : 0, longest = HOME_RUN_BYTES / cache->block_size;
    for (unsigned first = 0, end; first < count && error == 0; first = end) {
        end = first + 1;
        while (end < count && end - first < longest && owed[end]->block == owed[end - 1]->block + 1) {
            end++;
        }
        error = write_run(cache, owed + first, end - first, bytes);
    }
    for (unsigned i = 0; i < count && error == 0; i++) {
        owed[i]->owed = false;
    }
    cache->owed = error == 0 ? 0 : cache->owed;
    free(bytes);
    free(owed);
    return error;
}

int cache_create(struct cache *cache, struct disk *disk, struct survivor *survivor, uint32_t block_size) {
    *cache = (struct cache){.disk = disk, .survivor = survivor, .block_size = block_size};
    cache->blocks = disk->size / block_size;
    cache->limit = CACHE_BYTES / block_size;
    cache->table = calloc(HASH_SIZE, sizeof(struct buffer *));
    return cache->table != NULL ? 0 : ENOMEM;
}

void cache_destroy(struct cache *cache) {
    while (cache->newest != NULL) {
        drop(cache, cache->newest);
    }
    free(cache->table);
}
