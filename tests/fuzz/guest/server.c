/*
 * A file server that answers as it likes: mostly something that could be meant, with a number changed or not; now and
 * then anything. It is also the pager of its files, and takes back what it let be cached. The family that lives in it
 * does what families do, so that what the kernel keeps of such answers is used, too.
 *
 * The authority to mount stays with the supervisor; the server has an endpoint and a copy of the mount's handle.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/fs_abi.h"
#include "tests/user/lib/penumbra.h"
#include "user/lib/native.h"

enum { ROOT_NODE = 1, NODES = 40, TIMEOUT_MS = 300, HONEST = 12, ROOM = 8192, HERE_IS_THE_MOUNT = 0x7777 };

static struct fuzz_server {
    pid_t pid; /* 0: none */
    int mount;
} servers[FUZZ_FAMILIES];

static struct fuzz_random dice;

static uint64_t below(uint64_t limit) { return fuzz_below(&dice, limit); }
static bool one_in(uint64_t n) { return fuzz_one_in(&dice, n); }

static uint64_t odd_number(void) {
    static const uint64_t numbers[] = {0,         1,         2,         255,         4095,
                                       4096,      65535,     1ul << 31, 1ul << 32,   1ul << 40,
                                       1ul << 62, 1ul << 63, ~0ul,      ~0ul - 4095, 0x7fffffffffffffff};
    return one_in(3) ? fuzz_next(&dice) : numbers[below(sizeof numbers / sizeof *numbers)];
}

/* --- Answers ------------------------------------------------------------------------------------------------------ */

/* A node keeps its type, mostly: its number says which. */
static struct fs_attributes attributes_of(uint64_t node) {
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFREG, S_IFLNK, S_IFREG, S_IFIFO, S_IFREG, S_IFCHR};
    uint32_t type = node == ROOT_NODE ? S_IFDIR : types[node % 8];
    struct fs_attributes attributes = {.node = node,
                                       .size = type == S_IFREG ? node * 1000 : 0,
                                       .blocks = 8,
                                       .mode = type | 0777,
                                       .links = 2,
                                       .modified = (int64_t)node};
    return attributes;
}

/* Some word or byte of it becomes something else. */
static void spoil(void *bytes, size_t count) {
    for (uint64_t i = 1 + below(2); i > 0 && count >= 8; i--) {
        size_t width = (size_t)1 << below(4), place = below(count / width) * width;
        uint64_t value = odd_number();
        memcpy((uint8_t *)bytes + place, &value, width);
    }
}

static uint32_t put_entries(uint8_t *to) {
    uint32_t used = 0;
    for (uint64_t i = below(8); i > 0; i--) {
        struct fs_entry entry = {.node = 2 + below(NODES),
                                 .next = odd_number() % 1000 + 1,
                                 .name_length = (uint16_t)(one_in(20) ? below(300) : 1 + below(3)),
                                 .mode = S_IFREG};
        size_t bytes = (sizeof entry + entry.name_length + 7) & ~(size_t)7;
        entry.bytes = (uint16_t)bytes;
        memset(to + used, 'a' + (int)below(4), bytes);
        if (one_in(8)) {
            spoil(&entry, sizeof entry);
        }
        memcpy(to + used, &entry, sizeof entry);
        used += (uint32_t)bytes;
    }
    return used;
}

static uint32_t put_behind(uint32_t label, uint8_t *to) {
    const struct fs_space space = {.blocks = odd_number(), .blocks_free = 5, .block_size = 4096, .name_max = 255};
    switch (label) {
    case FS_READDIR:
        return put_entries(to);
    case FS_READLINK:
        memcpy(to, "d/a/b", 5);
        return one_in(4) ? (uint32_t)below(5000) : 5;
    case FS_STATFS:
        memcpy(to, &space, sizeof space);
        return sizeof space;
    default:
        return one_in(20) ? (uint32_t)below(100) : 0;
    }
}

static void answer(struct ipc *ipc, bool honest) {
    static uint8_t sent[sizeof(struct fs_reply) + ROOM];
    static const uint32_t errors[] = {ENOENT, ENOENT, EIO, EEXIST, ENOTEMPTY, ENOSPC, EISDIR, 0x12345, 512, 0xffffffff};
    uint64_t node = ipc->label == FS_LOOKUP || ipc->label == FS_CREATE ? 2 + below(NODES) : ROOT_NODE + below(NODES);
    struct fs_reply reply = {.attributes = attributes_of(honest ? ROOT_NODE : node),
                             .caching = one_in(3) ? 0 : FS_MAY_CACHE};
    memset(sent, 0, sizeof sent);
    reply.count = honest ? 0 : put_behind(ipc->label, sent + sizeof reply);
    uint32_t length = (uint32_t)sizeof reply + reply.count;
    if (!honest && one_in(3)) {
        spoil(&reply, sizeof reply);
    }
    memcpy(sent, &reply, sizeof reply);
    if (!honest && one_in(12)) {
        length = (uint32_t)below(sizeof sent);
    }
    struct ipc_extra extra = {.bytes = (uintptr_t)sent,
                              .length = length,
                              .timeout_ns = IPC_FOREVER,
                              .handle_count = one_in(40) ? 1 : 0,
                              .handles = {(int)below(8)}};
    ipc->label = !honest && one_in(6) ? errors[below(sizeof errors / sizeof *errors)] : 0;
    ipc->extra = one_in(60) ? NULL : &extra;
    for (unsigned i = 0; i < 3 && one_in(4); i++) {
        ipc->word[i] = odd_number();
    }
    if (ipc_reply(ipc->token, ipc) < 0) { /* it did not fit, or was not to be sent: then without */
        ipc->extra = NULL;
        ipc_reply(ipc->token, ipc);
    }
}

/* The pages go in, or not, or some of them; then the answer. The grant is kept open now and then. */
static void page(struct ipc *ipc, int grant) {
    static uint8_t bytes[4 * FUZZ_PAGE];
    for (uint64_t i = below(4); i > 0 && grant >= 0; i--) {
        syscall(SYS_GRANT_COPY, grant, one_in(6) ? odd_number() : below(16) * 1000, bytes,
                one_in(6) ? odd_number() : below(sizeof bytes), below(2));
    }
    ipc->label = one_in(8) ? EIO : 0;
    ipc->extra = NULL;
    if (!one_in(50)) { /* else the kernel waits until the time is up */
        ipc_reply(ipc->token, ipc);
    }
}

static void take_back(int mount) {
    static const char *const names[] = {"a", "b", "d", "window", "output"};
    mount_forget(mount, one_in(6) ? odd_number() : 1 + below(NODES), one_in(2) ? names[below(5)] : NULL);
}

/* Other mounts' handles are not this one's to keep. */
static void keep_only(int endpoint, int mount) {
    for (int fd = 3; fd <= TEST_AUTHORITY; fd++) {
        if (fd != endpoint && fd != mount) {
            close(fd);
        }
    }
}

static _Noreturn void serve(int endpoint, int mount) {
    static uint8_t buffer[ROOM];
    keep_only(endpoint, mount);
    for (unsigned calls = 0;; calls++) {
        struct ipc_extra extra = {
            .buffer = (uintptr_t)buffer, .room = sizeof buffer, .timeout_ns = IPC_FOREVER, .handle_room = 4};
        struct ipc ipc = {.extra = &extra};
        if (ipc_receive(endpoint, &ipc) < 0) {
            _exit(1);
        }
        if (calls > HONEST && one_in(400)) {
            _exit(0);
        }
        int grant = extra.handle_room > 0 ? extra.taken_handles[0] : -1;
        if (ipc.label == HERE_IS_THE_MOUNT && mount < 0) {
            mount = grant;
            ipc.extra = NULL;
            ipc_reply(ipc.token, &ipc);
            continue;
        }
        if (ipc.label >= PAGER_FILL) {
            page(&ipc, grant);
        } else {
            answer(&ipc, calls < HONEST);
        }
        for (uint32_t i = 0; i < extra.handle_room && !one_in(100); i++) {
            close(extra.taken_handles[i]);
        }
        if (mount >= 0 && calls > HONEST && one_in(10)) {
            take_back(mount);
        }
    }
}

/* --- The supervisor's side ---------------------------------------------------------------------------------------- */

bool fuzz_server_start(unsigned place, uint64_t number, const char *path) {
    struct fuzz_server *server = &servers[place];
    struct fuzz_random random = {fuzz_mix(settings.seed) ^ fuzz_mix(number * 3 + 1)};
    struct mount_options options = {.type = "fuzz", .source = "nothing", .root = ROOT_NODE, .timeout_ms = TIMEOUT_MS};
    options.flags = fuzz_one_in(&random, 4) ? MOUNT_MEMORY : 0;
    int endpoint = endpoint_create();
    int handle = handle_mint(endpoint, RIGHT_CALL, 0);
    server->pid = fork();
    if (server->pid == 0) {
        dice = random;
        serve(endpoint, -1);
    }
    close(endpoint);
    server->mount = mount_server(TEST_AUTHORITY, path, handle, &options);
    if (server->mount < 0) {
        printf("fuzz: no mount at %s: %s\n", path, strerror(errno));
    } else {
        struct ipc_extra extra = {.handle_count = 1, .handles = {server->mount}, .timeout_ns = 1000000000};
        struct ipc ipc = {.label = HERE_IS_THE_MOUNT, .extra = &extra};
        ipc_call(handle, &ipc);
    }
    close(handle);
    return server->mount >= 0;
}

void fuzz_server_end(unsigned place) {
    struct fuzz_server *server = &servers[place];
    if (server->mount > 0) {
        close(server->mount); /* the server's own ends with it */
    }
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    *server = (struct fuzz_server){0};
}

/* One has ended by itself: its mount says EIO now, or another goes on. True: it was a server. */
bool fuzz_server_note_end(pid_t pid) {
    for (unsigned place = 0; place < FUZZ_FAMILIES; place++) {
        struct fuzz_server *server = &servers[place];
        if (server->pid != pid) {
            continue;
        }
        server->pid = 0;
        if (server->mount <= 0) {
            return true;
        }
        int endpoint = endpoint_create(), handle = handle_mint(endpoint, RIGHT_CALL, 0);
        server->pid = fork();
        if (server->pid == 0) {
            dice = (struct fuzz_random){fuzz_mix((uint64_t)pid)};
            serve(endpoint, server->mount);
        }
        mount_attach(server->mount, handle);
        close(endpoint);
        close(handle);
        return true;
    }
    return false;
}
