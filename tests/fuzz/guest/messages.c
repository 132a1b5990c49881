/*
 * Messages at random to the name server and to drivers, from somebody who has handles on them: labels that there are
 * and that there are not, words, text with and without its ends, handles of every kind. They answer, and live on.
 *
 * The servers are a set of their own, started for the round and ended after it. Functions that are asked for are virtio
 * devices only: others are the machine's, which is to be there afterwards.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/block_abi.h"
#include "drivers/pci_abi.h"
#include "kernel/fs_abi.h"
#include "tests/user/lib/penumbra.h"
#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/names_abi.h"

enum { SERVERS = 4, TARGETS = 8, GIFTS = 8, WAIT_MS = 10000, PATIENCE_MS = 40, CHECK_EACH = 100, BYTES = 4096 };

static const char *const programs[SERVERS] = {"/sbin/names", "/sbin/pci", "/sbin/virtio_rng", "/sbin/virtio_blk"};
static pid_t servers[SERVERS];
static int targets[TARGETS], target_count, gifts[GIFTS], gift_count;
static struct fuzz_random dice;

static uint64_t below(uint64_t limit) { return fuzz_below(&dice, limit); }
static bool one_in(uint64_t n) { return fuzz_one_in(&dice, n); }

/* --- The servers -------------------------------------------------------------------------------------------------- */

static void set_handle(const char *variable, int handle) {
    char number[16];
    snprintf(number, sizeof number, "%d", handle);
    setenv(variable, number, 1);
    fcntl(handle, F_SETFD, 0);
}

static pid_t start(const char *program) {
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, "0", NULL);
        _exit(127);
    }
    return pid;
}

static bool has_disk(void) {
    for (uint32_t function = 0; function < 8 << 8; function++) {
        if (pci_config_read(TEST_AUTHORITY, function, 0, 4) == 0x10421af4) {
            return true;
        }
    }
    return false;
}

static void add_target(int handle) {
    if (handle >= 0 && target_count < TARGETS) {
        targets[target_count++] = handle;
    }
}

/* A function's own handle, of the virtio device of that number. */
static void add_function(int pci, uint32_t device) {
    struct ipc_extra extra = {.timeout_ns = WAIT_MS * 1000000ul, .handle_room = 1};
    struct ipc ipc = {.label = PCI_FIND, .word = {device << 16 | 0x1af4, PCI_ANY, 0}, .extra = &extra};
    if (ipc_call(pci, &ipc) == 0 && ipc.label == 0 && extra.handle_room == 1) {
        add_target(extra.taken_handles[0]);
    }
}

/* What is sent along: an endpoint on which nobody is, an object, a file, a grant, a target itself. */
static void make_gifts(void) {
    int endpoint = endpoint_create(), object = (int)syscall(SYS_OBJECT_CREATE, 16 * FUZZ_PAGE, -1, 0);
    gift_count = 0;
    gifts[gift_count++] = handle_mint(endpoint, RIGHT_CALL | RIGHT_NOTIFY | RIGHT_TRANSFER, 7);
    gifts[gift_count++] = object;
    gifts[gift_count++] = open("/dev/null", O_RDWR);
    gifts[gift_count++] = (int)syscall(SYS_GRANT_CREATE, object, 0, 4, GRANT_FILL);
    gifts[gift_count++] = (int)syscall(SYS_GRANT_CREATE, object, 4, 4, GRANT_STORE);
    gifts[gift_count++] = targets[0];
    close(endpoint);
}

static void begin(void) {
    int listen = endpoint_create(), names = handle_mint(listen, RIGHT_CALL | RIGHT_TRANSFER, 1);
    set_handle("PENUMBRA_LISTEN", listen);
    set_handle("PENUMBRA_AUTHORITY", TEST_AUTHORITY);
    set_handle("PENUMBRA_NAMES", names);
    target_count = 0;
    add_target(names);
    for (unsigned i = 0; i < SERVERS; i++) {
        servers[i] = i < SERVERS - 1 || has_disk() ? start(programs[i]) : 0;
    }
    close(listen);
    add_target(names_connect("pci", WAIT_MS));
    add_function(targets[1], 0x1044);
    if (servers[SERVERS - 1] != 0) {
        add_function(targets[1], 0x1042);
        add_target(names_connect("block/0", WAIT_MS));
    }
    make_gifts();
}

static void end(void) {
    for (unsigned i = SERVERS; i-- > 0;) {
        if (servers[i] > 0) {
            kill(servers[i], SIGKILL);
            waitpid(servers[i], NULL, 0);
        }
    }
    for (int i = 0; i < target_count; i++) {
        close(targets[i]);
    }
    for (int i = 0; i < gift_count - 1; i++) {
        close(gifts[i]);
    }
}

/* --- Messages ----------------------------------------------------------------------------------------------------- */

static uint32_t label(void) {
    static const uint32_t labels[] = {NAMES_REGISTER, NAMES_CONNECT,  NAMES_MOUNT,   NAMES_UNMOUNT, NAMES_LIST,
                                      NAMES_ABANDON,  PCI_FIND,       PCI_INFO,      PCI_READ,      PCI_WRITE,
                                      PCI_REGION,     PCI_CAPABILITY, PCI_INTERRUPT, PCI_DMA,       BLOCK_INFO,
                                      BLOCK_READ,     BLOCK_WRITE,    BLOCK_FLUSH,   FS_LOOKUP,     PAGER_FILL};
    return one_in(12) ? (uint32_t)fuzz_next(&dice) : labels[below(sizeof labels / sizeof *labels)];
}

static uint64_t word(void) {
    static const uint64_t words[] = {0,    1,          2,       4,          7,         64,   512,
                                     4096, 0x10441af4, PCI_ANY, 0x7fffffff, 1ul << 32, ~0ul, ~511ul};
    return one_in(6) ? fuzz_next(&dice) : words[below(sizeof words / sizeof *words)];
}

static uint32_t text(char *to) {
    static const char *const texts[] = {"pci",       "names", "block/0", "x",  "",     "/",
                                        "/tmp/fuzz", "/mnt",  "ext4/0",  "..", "memfs"};
    static const char *const all[] = {"x\0/tmp/fuzz\0y", "pci\0/tmp/fuzz\0y", "pci\0relative\0y", "\0\0", "a\0b",
                                      "pci\0/tmp/fuzz"};
    if (one_in(4)) {
        memcpy(to, all[below(6)], 16);
        return (uint32_t)below(17);
    }
    if (one_in(8)) {
        memset(to, one_in(2) ? 'n' : '\0', BYTES);
        return (uint32_t)below(BYTES);
    }
    strcpy(to, texts[below(sizeof texts / sizeof *texts)]);
    return (uint32_t)(strlen(to) + below(2));
}

static void send(void) {
    static char bytes[BYTES], came[BYTES];
    struct ipc_extra extra = {.bytes = (uintptr_t)bytes,
                              .buffer = (uintptr_t)came,
                              .length = text(bytes),
                              .room = one_in(6) ? (uint32_t)below(64) : BYTES,
                              .handle_room = (uint32_t)below(5),
                              .timeout_ns = PATIENCE_MS * 1000000ul,
                              .handle_count = (uint32_t)(one_in(2) ? 0 : below(3))};
    struct ipc ipc = {.label = label(), .word = {word(), word(), word()}, .extra = &extra};
    for (uint32_t i = 0; i < extra.handle_count; i++) {
        extra.handles[i] = gifts[below((uint64_t)gift_count)];
    }
    if (ipc.label == NAMES_CONNECT && one_in(2)) {
        ipc.word[0] = 0; /* not waited for */
    }
    if (ipc_call(targets[below((uint64_t)target_count)], &ipc) == 0) {
        for (uint32_t i = 0; i < extra.handle_room && i < IPC_HANDLES_MAX; i++) {
            close(extra.taken_handles[i]);
        }
    }
}

/* They have not ended, and the two of them that keep nothing back say something. */
static bool are_well(uint64_t number) {
    int status;
    for (unsigned i = 0; i < SERVERS; i++) {
        bool may_end = strcmp(programs[i], "/sbin/virtio_rng") == 0; /* its device may have been taken from it */
        if (servers[i] > 0 && waitpid(servers[i], &status, WNOHANG) == servers[i]) {
            servers[i] = 0;
            if (!may_end || WIFSIGNALED(status)) {
                printf("fuzz: FAIL message %llu: %s has ended with wait status %#x\n", (unsigned long long)number,
                       programs[i], (unsigned)status);
                return false;
            }
        }
    }
    for (int i = 0; i < 2; i++) {
        static char list[BYTES * 4];
        struct ipc_extra extra = {.buffer = (uintptr_t)list, .room = sizeof list, .timeout_ns = WAIT_MS * 1000000ul};
        struct ipc ipc = {.label = i == 0 ? NAMES_LIST : PCI_FIND, .word = {PCI_ANY, PCI_ANY, 1000}, .extra = &extra};
        if (ipc_call(targets[i], &ipc) < 0) {
            printf("fuzz: FAIL message %llu: %s does not answer: %s\n", (unsigned long long)number, programs[i],
                   strerror(errno));
            return false;
        }
    }
    return true;
}

bool fuzz_messages(uint64_t first, uint64_t count, uint64_t seed) {
    bool good = true;
    begin();
    if (target_count < 2) {
        printf("fuzz: FAIL no servers to talk to\n");
        good = false;
    }
    for (uint64_t number = first; good && number < first + count; number++) {
        dice.state = fuzz_mix(seed) ^ fuzz_mix(number);
        send();
        good = number % CHECK_EACH != 0 || are_well(number);
    }
    good = good && are_well(first + count);
    end();
    return good;
}
