/*
 * The name server that tests use, a process of a few names, and starting programs. See services.h.
 */
#include "services.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "penumbra.h"
#include "test.h"
#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/names_abi.h"

enum { NAMES_MAX = 8, NAME_BYTES = 32, WAITING_MAX = 64, CONNECT_MS = 20000 };

static struct {
    char name[NAME_BYTES];
    int endpoint;
    bool dead;
} names[NAMES_MAX];

static struct {
    char name[NAME_BYTES];
    uint64_t token;
} waiting[WAITING_MAX];

static size_t name_count, waiting_count;
static int callable = -1; /* the handle that services get */
static pid_t server;
static int own; /* in the server: where it receives */

/* --- The server --------------------------------------------------------------------------------------------------- */

static void answer(uint64_t token, int error, int handle) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_count = handle >= 0, .handles = {handle}};
    struct ipc ipc = {.label = (uint32_t)error, .extra = &extra};
    ipc_reply(token, &ipc);
}

/* The name's place, or name_count. */
static size_t find(const char *name) {
    size_t i = 0;
    while (i < name_count && strcmp(names[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void enter(const char *name, int endpoint) {
    size_t place = find(name);
    if (place == name_count) {
        snprintf(names[name_count++].name, NAME_BYTES, "%s", name);
    } else {
        close(names[place].endpoint);
    }
    names[place].endpoint = endpoint;
    names[place].dead = false;
    endpoint_watch(endpoint, own, 1UL << place);
    for (size_t i = 0; i < waiting_count;) {
        if (strcmp(waiting[i].name, name) == 0) {
            answer(waiting[i].token, 0, endpoint);
            waiting[i] = waiting[--waiting_count];
        } else {
            i++;
        }
    }
}

/* Names whose owners have died are nobody's until somebody registers. */
static void note_deaths(uint64_t places) {
    for (size_t i = 0; i < name_count; i++) {
        names[i].dead = names[i].dead || (places >> i & 1);
    }
}

static void serve(const struct ipc *ipc, const char *text) {
    size_t place = find(text);
    if (ipc->label == NAMES_REGISTER && ipc->extra->handle_room == 1 && place < NAMES_MAX) {
        enter(text, ipc->extra->taken_handles[0]);
        answer(ipc->token, 0, -1);
    } else if (ipc->label == NAMES_CONNECT && place < name_count && !names[place].dead) {
        answer(ipc->token, 0, names[place].endpoint);
    } else if (ipc->label == NAMES_CONNECT && ipc->word[0] > 0 && waiting_count < WAITING_MAX) {
        snprintf(waiting[waiting_count].name, NAME_BYTES, "%s", text);
        waiting[waiting_count++].token = ipc->token;
    } else {
        answer(ipc->token, ENOENT, -1);
    }
}

static _Noreturn void run_server(void) {
    char text[NAME_BYTES];
    for (;;) {
        struct ipc_extra extra = {
            .buffer = (uint64_t)(uintptr_t)text, .room = sizeof(text), .timeout_ns = IPC_FOREVER, .handle_room = 1};
        struct ipc ipc = {.extra = &extra};
        if (ipc_receive(own, &ipc) < 0) {
            continue;
        }
        if (ipc.label == IPC_NOTIFICATION) {
            note_deaths(ipc.word[0]);
        } else {
            text[extra.room < sizeof(text) ? extra.room : sizeof(text) - 1] = '\0';
            serve(&ipc, text);
        }
    }
}

/* --- The test's side ---------------------------------------------------------------------------------------------- */

/* Services and the test find the name server by it. */
static void enter_in_environment(void) {
    char number[16];
    snprintf(number, sizeof(number), "%d", callable);
    setenv("PENUMBRA_NAMES", number, 1);
    snprintf(number, sizeof(number), "%d", TEST_AUTHORITY);
    setenv("PENUMBRA_AUTHORITY", number, 1);
    CHECK_OK(fcntl(callable, F_SETFD, 0));
}

void services_begin(void) {
    int endpoint = (int)CHECK_OK(endpoint_create());
    callable = (int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL, 0));
    server = (pid_t)CHECK_OK(fork());
    if (server == 0) {
        close(callable);
        own = endpoint;
        run_server();
    }
    close(endpoint);
    enter_in_environment();
}

void services_end(void) {
    service_kill(server);
    close(callable);
}

pid_t service_start(const char *path, const char *argument) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        execl(path, path, argument, NULL);
        test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    }
    return pid;
}

void service_kill(pid_t pid) {
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

int service_connect(const char *name) { return (int)CHECK_OK(names_connect(name, CONNECT_MS)); }

void service_needs_virtio(unsigned number) {
    test_needs_penumbra();
    for (uint32_t function = 0; function < 8 << 8; function++) {
        if (pci_config_read(TEST_AUTHORITY, function, 0, 4) == ((0x1040L + number) << 16 | 0x1af4)) {
            return;
        }
    }
    test_skip(number == 2 ? "no virtio disk" : "no virtio device of that kind");
}
