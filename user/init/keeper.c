/*
 * The records. See keeper.h. One thread.
 */
#include "user/init/keeper.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "user/service_abi.h"

static struct {
    char bytes[KEEPER_RECORD_BYTES];
    uint32_t length;
    int handle; /* 0: no record. Init's descriptor 0 is the console */
} records[KEEPER_RECORDS];

static void drop(uint64_t number) {
    if (records[number].handle != 0) {
        close(records[number].handle);
    }
    records[number].handle = 0;
}

static uint32_t put(uint64_t number, const struct ipc_extra *extra, const char *bytes) {
    if (extra->handle_room != 1 || extra->room > KEEPER_RECORD_BYTES) {
        return EINVAL;
    }
    drop(number);
    memcpy(records[number].bytes, bytes, extra->room);
    records[number].length = extra->room;
    records[number].handle = extra->taken_handles[0];
    return 0;
}

void keeper_serve(struct ipc *ipc, const char *bytes) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER};
    struct ipc answer = {.label = EINVAL, .extra = &extra};
    uint64_t number = ipc->word[0] - 1;
    bool kept = false;
    if (number < KEEPER_RECORDS && ipc->label == KEEPER_PUT) {
        answer.label = put(number, ipc->extra, bytes);
        kept = answer.label == 0;
    } else if (number < KEEPER_RECORDS && ipc->label == KEEPER_DROP) {
        drop(number);
        answer.label = 0;
    } else if (number < KEEPER_RECORDS && ipc->label == KEEPER_GET) {
        answer.label = records[number].handle != 0 ? 0 : ENOENT;
        if (answer.label == 0) {
            extra.bytes = (uint64_t)(uintptr_t)records[number].bytes;
            extra.length = records[number].length;
            extra.handle_count = 1;
            extra.handles[0] = records[number].handle;
        }
    }
    ipc_reply(ipc->token, &answer);
    if (ipc->extra->handle_room > 0 && !kept) {
        close(ipc->extra->taken_handles[0]);
    }
}
