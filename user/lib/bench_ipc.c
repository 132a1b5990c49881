/*
 * asibench rows on messages: a call to another process and its answer, which is two process switches.
 *
 * Each in a pair: between processes of one trust domain, which owe each other no flush, and between strangers. Short: a
 * label and three words there and back. 4 KiB: as many bytes there, words back. A handle: on an endpoint; the server
 * closes what it got, so there is a close() in it.
 */
#include "user/lib/bench.h"
#include "user/lib/native.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { LABEL = 1 };

static int endpoint = -1;
static pid_t server;
static uint8_t page[BENCH_PAGE];

static void serve(void) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .buffer = (uintptr_t)page, .room = sizeof page};
    struct ipc ipc = {.extra = &extra};
    extra.handle_room = 1;
    while (ipc_reply_receive(endpoint, &ipc) == 0) {
        if (extra.handle_room == 1) {
            close(extra.taken_handles[0]);
        }
        extra.room = sizeof page;
        extra.handle_room = 1;
    }
    _exit(1);
}

static void serve_short(void) {
    struct ipc ipc = {0};
    while (ipc_reply_receive(endpoint, &ipc) == 0) {
    }
    _exit(1);
}

static int start(void (*body)(void)) {
    endpoint = endpoint_create();
    if (endpoint < 0) {
        return -1;
    }
    server = fork();
    if (server == 0) {
        body();
    }
    return server < 0 ? -1 : 0;
}

static int join_domain(void) { return prctl(PR_ASI_DOMAIN_NEW, 0L, 0L, 0L, 0L) < 0 ? -1 : 0; }
static int short_setup(void) { return start(serve_short); }
static int short_trusted_setup(void) { return join_domain() < 0 ? -1 : short_setup(); }
static int long_setup(void) { return start(serve); }
static int long_trusted_setup(void) { return join_domain() < 0 ? -1 : long_setup(); }

static void teardown(void) {
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        server = 0;
    }
    if (endpoint >= 0) {
        close(endpoint);
        endpoint = -1;
    }
}

static void trusted_teardown(void) {
    teardown();
    prctl(PR_ASI_DOMAIN_LEAVE, 0L, 0L, 0L, 0L);
}

static int short_run(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct ipc ipc = {.label = LABEL, .word = {i, i, i}};
        if (ipc_call(endpoint, &ipc) < 0 || ipc.word[2] != i) {
            return -1;
        }
    }
    return 0;
}

static int call_with(unsigned count, const struct ipc_extra *what) {
    for (unsigned i = 0; i < count; i++) {
        struct ipc_extra extra = *what;
        struct ipc ipc = {.label = LABEL, .extra = &extra};
        if (ipc_call(endpoint, &ipc) < 0) {
            return -1;
        }
    }
    return 0;
}

static int page_run(unsigned count) {
    return call_with(count,
                     &(struct ipc_extra){.bytes = (uintptr_t)page, .length = sizeof page, .timeout_ns = IPC_FOREVER});
}

static int handle_run(unsigned count) {
    return call_with(count, &(struct ipc_extra){.handle_count = 1, .handles = {endpoint}, .timeout_ns = IPC_FOREVER});
}

#define IPC_ROW(name_, title_, trust_, setup_, run_, teardown_)                                                        \
    const struct bench_row bench_##name_ = {.slug = #name_,                                                            \
                                            .title = title_,                                                           \
                                            .count = 800,                                                              \
                                            .trust = trust_,                                                           \
                                            .setup = setup_,                                                           \
                                            .run = run_,                                                               \
                                            .teardown = teardown_}

IPC_ROW(ipc, "IPC", BENCH_STRANGERS, short_setup, short_run, teardown);
IPC_ROW(ipctrust, "IPC, trusting", BENCH_FRIENDS, short_trusted_setup, short_run, trusted_teardown);
IPC_ROW(ipc4k, "IPC, 4 KiB", BENCH_STRANGERS, long_setup, page_run, teardown);
IPC_ROW(ipc4ktrust, "IPC, 4 KiB, trusting", BENCH_FRIENDS, long_trusted_setup, page_run, trusted_teardown);
IPC_ROW(ipchandle, "IPC, handle", BENCH_STRANGERS, long_setup, handle_run, teardown);
IPC_ROW(ipchandletrust, "IPC, handle, trusting", BENCH_FRIENDS, long_trusted_setup, handle_run, trusted_teardown);
