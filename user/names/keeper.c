/*
 * Calls on init as the keeper. See keeper.h.
 */
#include "user/names/keeper.h"

#include <stdint.h>
#include <stdio.h>

#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/service_abi.h"

static bool call(struct ipc *ipc) {
    int keeper = handle_from_environment("PENUMBRA_KEEPER");
    if (keeper < 0) {
        return false;
    }
    if (ipc_call(keeper, ipc) < 0) {
        perror("names: keeper");
        return false;
    }
    return ipc->label == 0;
}

void keeper_put(unsigned number, const void *record, size_t length, int handle) {
    struct ipc_extra extra = {.bytes = (uint64_t)(uintptr_t)record,
                              .length = (uint32_t)length,
                              .timeout_ns = IPC_FOREVER,
                              .handle_count = 1,
                              .handles = {handle}};
    struct ipc ipc = {.label = KEEPER_PUT, .word = {number}, .extra = &extra};
    call(&ipc);
}

void keeper_drop(unsigned number) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER};
    struct ipc ipc = {.label = KEEPER_DROP, .word = {number}, .extra = &extra};
    call(&ipc);
}

bool keeper_get(unsigned number, void *record, size_t room, int *handle) {
    struct ipc_extra extra = {
        .buffer = (uint64_t)(uintptr_t)record, .room = (uint32_t)room, .timeout_ns = IPC_FOREVER, .handle_room = 1};
    struct ipc ipc = {.label = KEEPER_GET, .word = {number}, .extra = &extra};
    if (!call(&ipc) || extra.handle_room != 1) {
        return false;
    }
    *handle = extra.taken_handles[0];
    return true;
}
