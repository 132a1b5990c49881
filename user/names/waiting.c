/*
 * The list of those who wait. See waiting.h.
 */
#include "user/names/waiting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/lib/native.h"

enum { CALLERS = 64, WAITED_BYTES = 256, MS_MAX = 3600000, NS_PER_MS = 1000000 };

struct caller {
    char name[WAITED_BYTES];
    uint64_t token, until_ns; /* token 0: free */
};

static struct caller callers[CALLERS];

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool waiting_add(const char *name, uint64_t token, uint64_t ms) {
    for (unsigned i = 0; i < CALLERS && strlen(name) < WAITED_BYTES; i++) {
        if (callers[i].token == 0) {
            callers[i] = (struct caller){.token = token};
            callers[i].until_ns = now_ns() + (ms < MS_MAX ? ms : MS_MAX) * NS_PER_MS;
            snprintf(callers[i].name, WAITED_BYTES, "%s", name);
            return true;
        }
    }
    return false;
}

void waiting_give(uint64_t token, int endpoint) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_count = 1, .handles = {endpoint}};
    struct ipc ipc = {.extra = &extra};
    ipc_reply(token, &ipc);
}

void waiting_answer(const char *name, int endpoint) {
    for (unsigned i = 0; i < CALLERS; i++) {
        if (callers[i].token != 0 && strcmp(callers[i].name, name) == 0) {
            waiting_give(callers[i].token, endpoint);
            callers[i].token = 0;
        }
    }
}

void waiting_expire(void) {
    uint64_t now = now_ns();
    for (unsigned i = 0; i < CALLERS; i++) {
        if (callers[i].token != 0 && callers[i].until_ns <= now) {
            struct ipc ipc = {.label = ENOENT};
            ipc_reply(callers[i].token, &ipc);
            callers[i].token = 0;
        }
    }
}

uint64_t waiting_next_ns(void) {
    uint64_t now = now_ns(), next = IPC_FOREVER;
    for (unsigned i = 0; i < CALLERS; i++) {
        if (callers[i].token != 0) {
            uint64_t left = callers[i].until_ns > now ? callers[i].until_ns - now : 0;
            next = left < next ? left : next;
        }
    }
    return next;
}
