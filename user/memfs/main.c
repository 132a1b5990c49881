/*
 * memfs, the file system in memory, which the root is: names and attributes are here, a file's pages are the kernel's
 * (MOUNT_MEMORY), which has no other place to put them.
 *
 * usage: memfs [path]     where it is mounted: /
 * Environment: PENUMBRA_STATE (a memory object that outlives this process), PENUMBRA_NAMES, and the first time
 * PENUMBRA_ARCHIVE, the boot archive, whose files it takes over (user/service_abi.h).
 *
 * It is known as "memfs", and as "root" when all the archive's files are there. The first thread answers the kernel.
 * Another fills it meanwhile: mounting asks for the root's attributes. A mutex guards the state.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/mounts.h"
#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/lib/objects.h"
#include "user/memfs/archive.h"
#include "user/memfs/operations.h"
#include "user/service_abi.h"

enum {
    PAGE = 4096,
    CELLS = 1 << 24,     /* 2 GiB of them, of which memory is behind those in use */
    RESERVE_SHARE = 32,  /* one part in so many of the memory is not for names … */
    RESERVE_LEAST = 512, /* … nor are so many pages */
};

#define SECOND_NS 1000000000LL
#define IDLE_NS   2000000ULL /* without a call for so long it tidies up */

static struct state state;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int endpoint;
static const char *path = "/";

static _Noreturn void fail(const char *what, int error, int status) {
    fprintf(stderr, "memfs: %s: %s\n", what, strerror(error));
    exit(status);
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

static struct memory_space memory_space(void) {
    struct sysinfo info;
    if (sysinfo(&info) < 0) {
        return (struct memory_space){0};
    }
    uint64_t total = info.totalram * info.mem_unit / PAGE, free = info.freeram * info.mem_unit / PAGE;
    uint64_t reserve = total / RESERVE_SHARE + RESERVE_LEAST;
    return (struct memory_space){.total = total, .free = free > reserve ? free - reserve : 0};
}

/* Memory is had by writing to the object: to touch what is not there would be this process's end. */
static bool size_to(struct state *of, uint64_t from, uint64_t to) {
    static const char zero[PAGE];
    if (to < from) {
        return ftruncate(of->object, (off_t)to) == 0 && ftruncate(of->object, (off_t)state_size(CELLS)) == 0;
    }
    if (memory_space().free < (to - from) / PAGE) {
        return false;
    }
    for (; from < to; from = (from / PAGE + 1) * PAGE) {
        size_t part = PAGE - from % PAGE;
        if (pwrite(of->object, zero, part, (off_t)from) != (ssize_t)part) {
            return false;
        }
    }
    return true;
}

static void open_state(void) {
    uint64_t seed = 0;
    int object = handle_from_environment("PENUMBRA_STATE");
    if (object < 0) {
        object = object_create(0, -1, 0);
    }
    if (object < 0 || ftruncate(object, (off_t)state_size(CELLS)) < 0) {
        fail("memory", errno, 1);
    }
    void *memory = object_map(object, state_size(CELLS));
    if (memory == NULL || getrandom(&seed, sizeof seed, 0) != sizeof seed ||
        !state_open(&state, memory, CELLS, seed, size_to, object)) {
        fail("memory", errno != 0 ? errno : ENOMEM, 1);
    }
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void answer(struct ipc *ipc, const void *request, void *reply) {
    struct ipc_extra *extra = ipc->extra;
    size_t size = 0;
    const struct memory_space space = ipc->label == FS_STATFS ? memory_space() : (struct memory_space){0};
    pthread_mutex_lock(&lock);
    ipc->label = operation_call(&state, ipc->label, request, extra->room, now_ns(), &space, reply, &size);
    pthread_mutex_unlock(&lock);
    extra->bytes = (uint64_t)(uintptr_t)reply;
    extra->length = (uint32_t)size;
}

static void tidy(void) {
    pthread_mutex_lock(&lock);
    while (state_tidy(&state)) {
        continue;
    }
    pthread_mutex_unlock(&lock);
}

static _Noreturn void serve(void) {
    static uint8_t request[OPERATION_BYTES], reply[OPERATION_BYTES];
    struct ipc_extra extra = {0};
    struct ipc ipc = {.extra = &extra};
    for (;;) {
        extra.buffer = (uint64_t)(uintptr_t)request;
        extra.room = sizeof request;
        extra.handle_room = 0;
        extra.timeout_ns = state_is_tidy(&state) ? IPC_FOREVER : IDLE_NS;
        if (ipc_reply_receive(endpoint, &ipc) == 0) {
            if (ipc.label != IPC_NOTIFICATION) {
                answer(&ipc, request, reply);
            }
            continue;
        }
        if (errno == ETIMEDOUT) {
            tidy();
        } else if (errno != EINTR) {
            fail("receive", errno, 1);
        }
        extra.length = 0;
    }
}

/* --- Start -------------------------------------------------------------------------------------------------------- */

static void become_known(const char *name) {
    int callable = handle_mint(endpoint, RIGHT_CALL | RIGHT_TRANSFER, 0);
    if (callable < 0 || names_register(name, callable) < 0) {
        fail(name, errno, 1);
    }
    close(callable);
}

static void *fill(void *unused) {
    become_known("memfs");
    int mount = names_mount_handle("memfs", path, "memory", MOUNT_MEMORY, ROOT_NODE);
    if (mount < 0) {
        fail(path, errno, 1);
    }
    if (!state.cells[0].header.filled) {
        pthread_mutex_lock(&lock);
        int archive = handle_from_environment("PENUMBRA_ARCHIVE");
        int error = archive_give_pages(&state, archive, mount);
        pthread_mutex_unlock(&lock);
        if (error != 0) {
            fail("the archive", error, SERVICE_NOT_NEEDED);
        }
        close(archive);
    }
    become_known("root");
    close(mount);
    return unused;
}

static void make_first_names(void) {
    int archive = handle_from_environment("PENUMBRA_ARCHIVE");
    if (archive < 0 || state.cells[0].header.nodes > 1) {
        fail("it ended before its files were there", EIO, SERVICE_NOT_NEEDED);
    }
    int error = archive_make_names(&state, archive);
    if (error != 0) {
        fail("the archive", error, SERVICE_NOT_NEEDED);
    }
}

int main(int argc, char **argv) {
    pthread_t thread;
    path = argc > 1 ? argv[1] : path;
    open_state();
    if (!state.cells[0].header.filled) {
        make_first_names();
    }
    endpoint = endpoint_create();
    int error = endpoint < 0 ? errno : pthread_create(&thread, NULL, fill, NULL);
    if (error != 0) {
        fail("start", error, 1);
    }
    serve();
}
