/*
 * Calls on the block driver. Metadata goes through pages of a memory object that the server has mapped and the driver
 * gets grants on; file content goes by grants that the kernel sent.
 *
 * A driver that dies is started again by init, and what it had not answered is asked again: reading and writing twice
 * does no harm, and what it answered the device has. Guards: `lock` for the connection; the pages belong to whoever
 * holds the volume's lock (disk.read and disk.write are called by no one else).
 */
#include "user/ext4/disk_driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "drivers/block_abi.h"
#include "user/lib/mounts.h"
#include "user/lib/names.h"
#include "user/lib/native.h"

enum { PAGE = 4096, BUFFER_PAGES = GRANT_PAGES_MAX, CONNECT_MS = 30000, TRIES = 10 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int driver = -1;      /* its endpoint */
static unsigned connections; /* counts them, so that one death is one new connection */
static char name[32];

static uint8_t *buffer;
static int buffer_grants[2]; /* by enum grant_direction */
static uint64_t request_max = BUFFER_PAGES * PAGE;

static int connect_again(unsigned seen) {
    pthread_mutex_lock(&lock);
    if (connections == seen) {
        int again = names_connect(name, CONNECT_MS);
        if (again >= 0) {
            if (driver >= 0) {
                close(driver);
            }
            driver = again;
            connections++;
        }
    }
    int error = connections != seen ? 0 : EIO;
    pthread_mutex_unlock(&lock);
    return error;
}

static int current_driver(unsigned *seen) {
    pthread_mutex_lock(&lock);
    int endpoint = driver >= 0 ? dup(driver) : -1; /* another thread may close it when the driver has died */
    *seen = connections;
    pthread_mutex_unlock(&lock);
    return endpoint;
}

/* Asks until there is an answer; the words come back in *ipc. */
static int ask(struct ipc *ipc, int grant) {
    for (unsigned tries = 0; tries < TRIES; tries++) {
        struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_count = grant >= 0, .handles = {grant}};
        struct ipc sent = *ipc;
        unsigned seen;
        int endpoint = current_driver(&seen);
        sent.extra = &extra;
        int error = ipc_call(endpoint, &sent) == 0 ? 0 : errno;
        close(endpoint);
        if (error == 0 && sent.label != EBUSY) {
            memcpy(ipc->word, sent.word, sizeof ipc->word);
            return (int)sent.label;
        }
        if (error != 0 && error != EINTR && (error != EPIPE || connect_again(seen) != 0)) {
            return EIO;
        }
    }
    return EIO;
}

static int transfer(uint32_t label, int grant, uint64_t grant_offset, uint64_t offset, uint64_t size) {
    for (uint64_t done = 0, part; done < size; done += part) {
        part = size - done < request_max ? size - done : request_max;
        struct ipc ipc = {.label = label, .word = {(offset + done) / BLOCK_SECTOR, grant_offset + done, part}};
        int error = ask(&ipc, grant);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int move(struct disk *disk, bool to_disk, int grant, uint64_t grant_offset, uint64_t offset, uint64_t size) {
    (void)disk;
    return transfer(to_disk ? BLOCK_WRITE : BLOCK_READ, grant, grant_offset, offset, size);
}

static int read_bytes(struct disk *disk, uint64_t offset, void *bytes, size_t size) {
    for (size_t done = 0, part; done < size; done += part) {
        part = size - done < BUFFER_PAGES * PAGE ? size - done : BUFFER_PAGES * PAGE;
        int error = move(disk, false, buffer_grants[GRANT_FILL], 0, offset + done, part);
        if (error != 0) {
            return error;
        }
        memcpy((uint8_t *)bytes + done, buffer, part);
    }
    return 0;
}

static int write_bytes(struct disk *disk, uint64_t offset, const void *bytes, size_t size) {
    for (size_t done = 0, part; done < size; done += part) {
        part = size - done < BUFFER_PAGES * PAGE ? size - done : BUFFER_PAGES * PAGE;
        memcpy(buffer, (const uint8_t *)bytes + done, part);
        int error = move(disk, true, buffer_grants[GRANT_STORE], 0, offset + done, part);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int flush(struct disk *disk) {
    struct ipc ipc = {.label = BLOCK_FLUSH};
    (void)disk;
    return ask(&ipc, -1);
}

static bool make_buffer(void) {
    int object = (int)syscall(SYS_OBJECT_CREATE, (long)BUFFER_PAGES * PAGE, -1L, 0L);
    buffer = object >= 0 ? object_map(object, BUFFER_PAGES * PAGE) : NULL;
    for (long direction = GRANT_FILL; direction <= GRANT_STORE && buffer != NULL; direction++) {
        buffer_grants[direction] = (int)syscall(SYS_GRANT_CREATE, object, 0L, (long)BUFFER_PAGES, direction);
        if (buffer_grants[direction] < 0) {
            return false;
        }
    }
    return buffer != NULL;
}

struct disk *disk_driver_open(unsigned which) {
    static struct disk disk = {.read = read_bytes, .write = write_bytes, .flush = flush, .move = move};
    snprintf(name, sizeof name, "block/%u", which);
    if (!make_buffer()) {
        return NULL;
    }
    struct ipc ipc = {.label = BLOCK_INFO};
    int error = connect_again(0);
    error = error != 0 ? error : ask(&ipc, -1);
    if (error != 0 || ipc.word[1] < BLOCK_SECTOR) {
        errno = error != 0 ? error : EIO;
        return NULL;
    }
    disk.size = ipc.word[0] * BLOCK_SECTOR;
    disk.read_only = ipc.word[2] != 0;
    request_max = ipc.word[1] / PAGE > 0 ? ipc.word[1] / PAGE * PAGE : ipc.word[1];
    request_max = request_max < BUFFER_PAGES * PAGE ? request_max : BUFFER_PAGES * PAGE;
    return &disk;
}
