/*
 * The disk driver: serves drivers/block_abi.h from a virtio disk. Requests of many clients are in flight at once and
 * are answered as the device finishes them.
 *
 * The data never comes here: a request brings a grant, which goes to the device and is taken back before the answer.
 * What finds no room in the device's queue waits its turn, up to WAITING_MAX; more is refused with EBUSY.
 *
 * usage: virtio_blk [which], 0 being the first disk: it is known as "block/WHICH".
 * Environment: PENUMBRA_NAMES, the name server, which knows "pci".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drivers/block_abi.h"
#include "drivers/lib/pci.h"
#include "drivers/lib/virtio.h"
#include "drivers/pci_abi.h"
#include "drivers/virtio_blk/disk.h"
#include "user/lib/names.h"
#include "user/lib/native.h"

enum { DEVICE_BLOCK = 2, DONE = 1, PCI_WAIT_MS = 10000, WAITING_MAX = 256, PAGE = 4096, NO_GRANT = -1 };

/* A call that is not answered yet. */
struct request {
    uint64_t token, sector;
    uint32_t label, offset, bytes;
    int grant; /* or NO_GRANT */
};

static struct request in_flight[DISK_REQUESTS_MAX];
static uint16_t free_slots[DISK_REQUESTS_MAX], free_count;
static struct request waiting[WAITING_MAX]; /* a ring */
static unsigned waiting_first, waiting_count;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "virtio_blk: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void answer(const struct request *request, int error) {
    struct ipc ipc = {.label = (uint32_t)error};
    if (request->grant != NO_GRANT) {
        close(request->grant);
    }
    ipc_reply(request->token, &ipc); /* a caller that has gone misses nothing */
}

/* --- One request -------------------------------------------------------------------------------------------------- */

/* 0 or an errno: whether the device can be asked for it at all. */
static int check(const struct request *request) {
    uint64_t sectors = request->bytes / BLOCK_SECTOR;
    if (request->label == BLOCK_FLUSH) {
        return 0;
    }
    if (request->grant == NO_GRANT || request->bytes == 0 || request->bytes % BLOCK_SECTOR != 0 ||
        request->bytes > disk_bytes_max || request->sector >= disk_sectors ||
        sectors > disk_sectors - request->sector) {
        return EINVAL;
    }
    return request->label == BLOCK_WRITE && disk_read_only ? EROFS : 0;
}

/* Gives the grant to the device and has it begin. 0 or an errno: then nothing of it is left. */
static int begin_transfer(uint16_t slot, const struct request *request) {
    uint64_t pages[GRANT_PAGES_MAX];
    bool write = request->label == BLOCK_WRITE;
    int count = dma_grant(disk_dma, request->grant, pages, write ? GRANT_STORE : GRANT_FILL);
    if (count < 0) {
        return errno;
    }
    struct disk_transfer transfer = {request->sector, write, request->offset, request->bytes, pages};
    uint64_t end = (uint64_t)request->offset + request->bytes;
    if (end <= (uint64_t)count * PAGE && disk_transfer(slot, &transfer)) {
        return 0;
    }
    dma_revoke(disk_dma, request->grant);
    return EINVAL;
}

/* Has the device begin with a checked request, or answers it. A slot is free. */
static void begin(const struct request *request) {
    uint16_t slot = free_slots[free_count - 1];
    int error = 0;
    if (request->label == BLOCK_FLUSH) {
        if (!disk_flush(slot)) {
            answer(request, 0); /* it has no cache: what was written is there */
            return;
        }
    } else {
        error = begin_transfer(slot, request);
    }
    if (error != 0) {
        answer(request, error);
        return;
    }
    in_flight[slot] = *request;
    free_count--;
}

static void finish(uint16_t slot, int error) {
    const struct request *request = &in_flight[slot];
    /* What came with a flush was given to nobody: it may be anything. */
    if (request->label != BLOCK_FLUSH && dma_revoke(disk_dma, request->grant) < 0) {
        fail("a grant that was in use is gone");
    }
    free_slots[free_count++] = slot;
    answer(request, error);
}

/* What the device has done goes out, what waits goes in. */
static void device_has_done(void) {
    uint16_t slot;
    int error;
    while (disk_take(&slot, &error)) {
        finish(slot, error);
    }
    while (waiting_count > 0 && free_count > 0) {
        struct request request = waiting[waiting_first];
        waiting_first = (waiting_first + 1) % WAITING_MAX;
        waiting_count--;
        begin(&request);
    }
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static void answer_info(uint64_t token) {
    struct ipc ipc = {.word = {disk_sectors, disk_bytes_max, disk_read_only}};
    ipc_reply(token, &ipc);
}

static void take_call(const struct ipc *ipc) {
    struct request request = {
        .token = ipc->token,
        .label = ipc->label,
        .sector = ipc->word[0],
        .offset = (uint32_t)ipc->word[1],
        .bytes = (uint32_t)ipc->word[2],
        .grant = ipc->extra->handle_room > 0 ? ipc->extra->taken_handles[0] : NO_GRANT,
    };
    bool known = ipc->label >= BLOCK_INFO && ipc->label <= BLOCK_FLUSH;
    bool fits = (ipc->word[1] | ipc->word[2]) <= UINT32_MAX || ipc->label == BLOCK_INFO || ipc->label == BLOCK_FLUSH;
    int error = known && fits ? 0 : EINVAL;
    if (error == 0 && ipc->label == BLOCK_INFO) {
        if (request.grant != NO_GRANT) {
            close(request.grant);
        }
        answer_info(ipc->token);
        return;
    }
    if (error == 0) {
        error = check(&request);
    }
    if (error != 0) {
        answer(&request, error);
    } else if (free_count > 0 && waiting_count == 0) {
        begin(&request);
    } else if (waiting_count < WAITING_MAX) {
        waiting[(waiting_first + waiting_count++) % WAITING_MAX] = request;
    } else {
        answer(&request, EBUSY);
    }
}

static int find_function(uint32_t which) {
    int pci = names_connect("pci", PCI_WAIT_MS);
    int function = pci < 0 ? -1 : pci_find(pci, VIRTIO_DEVICE_VENDOR(DEVICE_BLOCK), PCI_ANY, which);
    if (function < 0) {
        fail("no such disk");
    }
    close(pci);
    return function;
}

static void register_as(uint32_t which, int service) {
    char name[32];
    int callable = handle_mint(service, RIGHT_CALL | RIGHT_TRANSFER, 0);
    snprintf(name, sizeof(name), "block/%u", which);
    if (callable < 0 || names_register(name, callable) < 0) {
        fail(name);
    }
    close(callable);
}

int main(int argc, char **argv) {
    uint32_t which = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;
    int function = find_function(which), service = endpoint_create();
    if (service < 0 || disk_open(function, service, DONE) < 0) {
        fail("the device cannot be used");
    }
    while (free_count < disk_requests) {
        free_slots[free_count] = free_count;
        free_count++;
    }
    register_as(which, service);
    for (;;) {
        struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_room = 1};
        struct ipc ipc = {.extra = &extra};
        if (ipc_receive(service, &ipc) < 0) {
            if (errno != EINTR) {
                fail("receive");
            }
        } else if (ipc.label == IPC_NOTIFICATION) {
            device_has_done();
        } else {
            take_call(&ipc);
        }
    }
}
