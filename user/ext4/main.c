/*
 * The ext4 server: mounts a disk and answers the kernel (kernel/fs_abi.h, the pager's calls of kernel/ipc_abi.h).
 *
 * usage: ext4 [which disk [path]]     0 and /mnt; the service is known as "ext4/WHICH"
 * Environment: PENUMBRA_NAMES, PENUMBRA_STATE, PENUMBRA_END (user/service_abi.h).
 *
 * Several threads take calls from one endpoint, so that content of many files is on its way at once. What operations
 * changed is committed when it was asked for, when the transaction is full, and COMMIT_SECONDS after the last commit.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/ext4/content.h"
#include "user/ext4/disk_driver.h"
#include "user/ext4/operations.h"
#include "user/lib/mounts.h"
#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/service_abi.h"

enum { THREADS = 4, COMMIT_SECONDS = 5, BYTES_MAX = 65536 };

static struct volume volume;
static int endpoint;

static _Noreturn void fail(const char *what, int error, int status) {
    fprintf(stderr, "ext4: %s: %s\n", what, strerror(error));
    exit(status);
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

/* Of the kernel as the pages' cache: words are the file, the first page, how many; the handle is a grant. */
static uint32_t answer_pager(const struct ipc *ipc, const void *bytes, int grant) {
    uint64_t node = ipc->word[0], first = ipc->word[1], pages = ipc->word[2], size = 0;
    if (ipc->extra->room == sizeof size) {
        memcpy(&size, bytes, sizeof size);
    }
    switch (ipc->label) {
    case PAGER_FILL:
        return (uint32_t)content_fill(&volume, node, first, pages, grant);
    case PAGER_STORE:
        return (uint32_t)content_store(&volume, node, first, pages, size, grant);
    case PAGER_SYNC:
        pthread_mutex_lock(&volume.lock);
        int error = volume_commit(&volume);
        pthread_mutex_unlock(&volume.lock);
        return (uint32_t)error;
    default: /* PAGER_GONE */
        return 0;
    }
}

static void answer(struct ipc *ipc, void *request, void *reply) {
    struct ipc_extra *extra = ipc->extra;
    int grant = extra->handle_room > 0 ? extra->taken_handles[0] : -1;
    size_t size = 0;
    if (ipc->label >= PAGER_FILL && ipc->label <= PAGER_GONE) {
        ipc->label = answer_pager(ipc, request, grant);
    } else {
        size = BYTES_MAX;
        ipc->label = operation_call(&volume, ipc->label, request, extra->room, reply, &size);
    }
    if (grant >= 0) {
        close(grant);
    }
    extra->bytes = (uint64_t)(uintptr_t)reply;
    extra->length = (uint32_t)size;
}

static void *serve(void *unused) {
    uint8_t *request = malloc(BYTES_MAX), *reply = malloc(BYTES_MAX);
    if (request == NULL || reply == NULL) {
        fail("memory", ENOMEM, 1);
    }
    struct ipc_extra extra = {0};
    struct ipc ipc = {.extra = &extra};
    for (;;) {
        extra.buffer = (uint64_t)(uintptr_t)request;
        extra.room = BYTES_MAX;
        extra.handle_room = 1;
        extra.timeout_ns = IPC_FOREVER;
        if (ipc_reply_receive(endpoint, &ipc) < 0) {
            if (errno != EINTR) {
                fail("receive", errno, 1);
            }
            extra.length = 0;
            continue;
        }
        if (ipc.label != IPC_NOTIFICATION) {
            answer(&ipc, request, reply);
        }
    }
    return unused;
}

/* --- Threads beside ----------------------------------------------------------------------------------------------- */

static void *commit_now_and_then(void *unused) {
    for (;;) {
        struct timespec pause = {.tv_sec = COMMIT_SECONDS};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&volume.lock);
        if (volume_is_dirty(&volume) && !volume.broken) {
            int error = volume_commit(&volume);
            if (error != 0) {
                fprintf(stderr, "ext4: the journal cannot be written: %s; nothing is changed any more\n",
                        strerror(error));
            }
        }
        pthread_mutex_unlock(&volume.lock);
    }
    return unused;
}

/* A call there ends the service: all goes home, the journal is left empty. */
static void wait_for_end(int end) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER};
    struct ipc ipc = {.extra = &extra};
    while (ipc_receive(end, &ipc) < 0 || ipc.label != SERVICE_END) {
        if (errno == EPIPE || errno == EBADF) {
            return;
        }
    }
    struct ipc done = {.label = (uint32_t)volume_unmount(&volume)};
    ipc_reply(ipc.token, &done);
    exit(0);
}

static void start(void *(*body)(void *)) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, body, NULL);
    if (error != 0) {
        fail("thread", error, 1);
    }
}

/* --- Start -------------------------------------------------------------------------------------------------------- */

static void mount(unsigned which) {
    char note[160];
    struct disk *disk = disk_driver_open(which);
    if (disk == NULL) {
        fail("the disk", errno, errno == ENOENT ? SERVICE_NOT_NEEDED : 1);
    }
    void *memory = state_memory(survivor_size(4096));
    if (memory == NULL) {
        fail("memory", ENOMEM, 1);
    }
    int error = volume_mount(&volume, disk, memory, note);
    if (error == EINVAL || error == EOPNOTSUPP || error == EUCLEAN || error == EROFS) {
        fail(error == EINVAL ? "the disk holds no ext4" : "the file system is not mounted", error, SERVICE_NOT_NEEDED);
    } else if (error != 0) {
        fail("mount", error, 1);
    }
    if (note[0] != '\0') {
        fprintf(stderr, "ext4: %s\n", note);
    }
}

static void become_known(unsigned which, const char *path) {
    char name[32], source[32];
    snprintf(name, sizeof name, "ext4/%u", which);
    snprintf(source, sizeof source, "block/%u", which);
    int callable = handle_mint(endpoint, RIGHT_CALL | RIGHT_TRANSFER, 0);
    if (callable < 0 || names_register(name, callable) < 0) {
        fail(name, errno, 1);
    }
    close(callable);
    if (names_mount(name, path, source, volume.read_only ? MOUNT_READ_ONLY : 0, EXT2_ROOT_INO) < 0) {
        fail(path, errno, SERVICE_NOT_NEEDED);
    }
}

int main(int argc, char **argv) {
    unsigned which = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    mount(which);
    endpoint = endpoint_create();
    if (endpoint < 0) {
        fail("endpoint", errno, 1);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        start(serve);
    }
    start(commit_now_and_then);
    become_known(which, argc > 2 ? argv[2] : "/mnt");
    int end = handle_from_environment("PENUMBRA_END");
    if (end >= 0) {
        wait_for_end(end);
    }
    for (;;) {
        pause();
    }
}
