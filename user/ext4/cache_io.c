/*
 * The cache as libext2fs sees it: an io_manager. The library names a device by a string: here the cache's address.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "user/ext4/cache.h"

const char *cache_name(const struct cache *cache, char name[32]) {
    snprintf(name, 32, "%" PRIxPTR, (uintptr_t)cache);
    return name;
}

static errcode_t open_channel(const char *name, int flags, io_channel *channel) {
    (void)flags;
    struct struct_io_channel *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return EXT2_ET_NO_MEMORY;
    }
    opened->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    opened->manager = &cache_io_manager;
    opened->block_size = 1024;
    opened->refcount = 1;
    opened->private_data = (void *)(uintptr_t)strtoumax(name, NULL, 16);
    *channel = opened;
    return 0;
}

static errcode_t close_channel(io_channel channel) {
    if (--channel->refcount == 0) {
        free(channel);
    }
    return 0;
}

static errcode_t set_block_size(io_channel channel, int size) {
    channel->block_size = size;
    return 0;
}

/* A negative count is one of bytes. */
static size_t size_of(io_channel channel, int count) {
    return count < 0 ? (size_t)-count : (size_t)count * (size_t)channel->block_size;
}

static errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void *bytes) {
    return cache_read(channel->private_data, block * (unsigned)channel->block_size, bytes, size_of(channel, count));
}

static errcode_t write_blocks(io_channel channel, unsigned long long block, int count, const void *bytes) {
    return cache_write(channel->private_data, block * (unsigned)channel->block_size, bytes, size_of(channel, count));
}

static errcode_t read_small(io_channel channel, unsigned long block, int count, void *bytes) {
    return read_blocks(channel, block, count, bytes);
}

static errcode_t write_small(io_channel channel, unsigned long block, int count, const void *bytes) {
    return write_blocks(channel, block, count, bytes);
}

static errcode_t write_byte(io_channel channel, unsigned long offset, int count, const void *bytes) {
    return cache_write(channel->private_data, offset, bytes, (size_t)count);
}

/* When what was changed becomes durable is the journal's business. */
static errcode_t flush(io_channel channel) {
    (void)channel;
    return 0;
}

struct struct_io_manager cache_io_manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "block cache",
    .open = open_channel,
    .close = close_channel,
    .set_blksize = set_block_size,
    .read_blk = read_small,
    .write_blk = write_small,
    .flush = flush,
    .write_byte = write_byte,
    .read_blk64 = read_blocks,
    .write_blk64 = write_blocks,
};
