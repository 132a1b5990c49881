/*
 * Endpoints: calls, answers, handles in messages, badges, rights, notifications, time-outs, and what each side sees of
 * the other's death. All of it is Penumbra's own (kernel/ipc_abi.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"
#include "user/lib/objects.h"

enum {
    ECHO = 1, /* answered with label 1000 + ECHO, the words + 1 each, the bytes turned round, the handles */
    STOP = 2, /* answered; the server ends */
    LIMIT_MS = 20000,
};

static int make_endpoint(void) {
    test_needs_penumbra();
    return (int)CHECK_OK(endpoint_create());
}

/* Nothing in a case waits longer, should something be lost. */
static struct ipc_extra extra_with(void *bytes, uint32_t length, void *buffer, uint32_t room) {
    return (struct ipc_extra){.bytes = (uintptr_t)bytes,
                              .buffer = (uintptr_t)buffer,
                              .length = length,
                              .room = room,
                              .timeout_ns = LIMIT_MS * 1000000ULL};
}

static struct ipc_extra limit(void) { return extra_with(NULL, 0, NULL, 0); }

static void reverse(uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count / 2; i++) {
        uint8_t byte = bytes[i];
        bytes[i] = bytes[count - 1 - i];
        bytes[count - 1 - i] = byte;
    }
}

static void close_taken(struct ipc_extra *extra) {
    for (uint32_t i = 0; i < extra->handle_room; i++) {
        CHECK_OK(close(extra->taken_handles[i]));
    }
}

/* Answers ECHO until STOP comes. */
static void serve(int endpoint) {
    static uint8_t buffer[IPC_BYTES_MAX];
    struct ipc_extra extra = extra_with(buffer, 0, buffer, sizeof(buffer));
    struct ipc ipc = {.extra = &extra};
    extra.handle_room = IPC_HANDLES_MAX;
    CHECK_OK(ipc_receive(endpoint, &ipc));
    while (ipc.label != STOP) {
        struct ipc_extra got = extra;
        reverse(buffer, got.room);
        extra = extra_with(buffer, got.room, buffer, sizeof(buffer));
        extra.handle_room = IPC_HANDLES_MAX;
        extra.handle_count = got.handle_room;
        memcpy(extra.handles, got.taken_handles, sizeof(extra.handles));
        ipc.label += 1000;
        for (int i = 0; i < 3; i++) {
            ipc.word[i]++;
        }
        CHECK_OK(ipc_reply(ipc.token, &ipc));
        close_taken(&got);
        extra.length = extra.handle_count = 0;
        CHECK_OK(ipc_receive(endpoint, &ipc));
    }
    CHECK_OK(ipc_reply(ipc.token, &ipc));
}

static pid_t start_server(int endpoint, void (*body)(int)) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        body(endpoint);
        _exit(0);
    }
    return pid;
}

/* So that the server is the only one who can receive. */
static int call_only(int endpoint) {
    int handle = (int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL | RIGHT_NOTIFY | RIGHT_TRANSFER, 0));
    CHECK_OK(close(endpoint));
    return handle;
}

static void stop_server(int endpoint, pid_t pid) {
    struct ipc_extra extra = limit();
    struct ipc ipc = {.label = STOP, .extra = &extra};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EXITED(test_wait(pid));
}

/* --- What is said ------------------------------------------------------------------------------------------------- */

static void words(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve);
    for (uint64_t i = 0; i < 100; i++) {
        struct ipc ipc = {.label = ECHO, .word = {i, i << 32, ~i}};
        CHECK_OK(ipc_call(endpoint, &ipc));
        CHECK_EQ(ipc.label, 1000 + ECHO);
        CHECK_EQ(ipc.word[0], i + 1);
        CHECK_EQ(ipc.word[1], (i << 32) + 1);
        CHECK_EQ(ipc.word[2], ~i + 1);
        CHECK_EQ(ipc.badge, 0);
        CHECK_EQ(ipc.token, 0);
    }
    stop_server(endpoint, pid);
}

static void echo_bytes(int endpoint, uint32_t length) {
    static uint8_t sent[IPC_BYTES_MAX], got[IPC_BYTES_MAX + 1];
    for (uint32_t i = 0; i < length; i++) {
        sent[i] = test_byte(i);
    }
    memset(got, 0xee, sizeof(got));
    struct ipc_extra extra = extra_with(sent, length, got, sizeof(got) - 1);
    struct ipc ipc = {.label = ECHO, .word = {length}, .extra = &extra};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(ipc.word[0], length + 1);
    CHECK_EQ(extra.room, length);
    reverse(got, length);
    CHECK(memcmp(got, sent, length) == 0);
    CHECK_EQ(got[length], 0xee);
}

static void bytes(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve);
    static const uint32_t lengths[] = {0, 1, 4063, 4064, 4065, 4096, 65536, 5000, 0, 65535};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        echo_bytes(endpoint, lengths[i]);
    }
    stop_server(endpoint, pid);
}

static void serve_with_little_room(int endpoint) {
    char buffer[10];
    struct ipc_extra extra = extra_with(buffer, 0, buffer, sizeof(buffer));
    struct ipc ipc = {.extra = &extra};
    CHECK_OK(ipc_receive(endpoint, &ipc)); /* those that are too long are not seen */
    CHECK_EQ(ipc.label, 7);
    CHECK_EQ(extra.room, 10);
    extra = extra_with(buffer, 10, buffer, sizeof(buffer));
    CHECK_ERRNO(ipc_reply(ipc.token, &ipc), EMSGSIZE); /* the caller takes 5: the call is still to be answered */
    extra.length = 5;
    CHECK_OK(ipc_reply(ipc.token, &ipc));
    CHECK_ERRNO(ipc_reply(ipc.token, &ipc), ENOENT);
}

static void message_size(void) {
    int endpoint = make_endpoint();
    char data[20] = "0123456789abcdefghi";
    pid_t pid = start_server(endpoint, serve_with_little_room);
    struct ipc_extra extra = extra_with(data, 11, data, 5);
    struct ipc ipc = {.label = 6, .extra = &extra};
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EMSGSIZE);
    extra = extra_with(data, IPC_BYTES_MAX + 1, data, 5);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EMSGSIZE);
    extra = extra_with(data, 10, data, 5);
    ipc.label = 7;
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(extra.room, 5);
    CHECK_EXITED(test_wait(pid));
    ipc = (struct ipc){.label = IPC_NOTIFICATION};
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EINVAL);
}

/* --- Faults ------------------------------------------------------------------------------------------------------- */

static char *page_that_is(int protection) {
    char *page = mmap(NULL, TEST_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    return page;
}

static void faults_of_the_caller(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve);
    char *nothing = page_that_is(PROT_NONE), *constant = page_that_is(PROT_READ);
    struct ipc_extra extra = extra_with(nothing, 10, NULL, 0);
    struct ipc ipc = {.label = ECHO, .extra = &extra};
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EFAULT);
    extra = extra_with((void *)0xffffffff80000000, 10, NULL, 0);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EFAULT);
    extra = extra_with(constant, 10, constant, 10); /* the answer cannot be written */
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EFAULT);
    extra = extra_with("0123456789", 10, nothing - TEST_PAGE + 4090, 10);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EFAULT);
    ipc.extra = (void *)(constant + 4090);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EFAULT);
    ipc.extra = (void *)0x123456789000000;
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EFAULT);
    stop_server(endpoint, pid);
}

static void server_with_faults(int endpoint) {
    char *nothing = page_that_is(PROT_NONE), *fresh = page_that_is(PROT_READ | PROT_WRITE);
    struct ipc_extra extra = extra_with(NULL, 0, nothing, 100);
    struct ipc ipc = {.extra = &extra};
    CHECK_ERRNO(ipc_receive(endpoint, &ipc), EFAULT);
    extra = extra_with(NULL, 0, fresh, 100); /* a page that was never touched */
    CHECK_OK(ipc_receive(endpoint, &ipc));   /* the call is still there */
    CHECK(memcmp(fresh, "hello", 5) == 0);
    extra = extra_with(nothing, 10, fresh, 100);
    CHECK_ERRNO(ipc_reply(ipc.token, &ipc), EFAULT);
    CHECK_ERRNO(ipc_reply_receive(endpoint, &ipc), EFAULT); /* … and not answered yet */
    extra = extra_with(fresh, 5, fresh, 100);
    CHECK_OK(ipc_reply(ipc.token, &ipc));
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EQ(ipc.label, STOP);
    extra = limit();
    CHECK_OK(ipc_reply(ipc.token, &ipc));
}

static void faults_of_the_server(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, server_with_faults);
    char got[5];
    struct ipc_extra extra = extra_with("hello", 5, got, 5);
    struct ipc ipc = {.label = ECHO, .extra = &extra};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(extra.room, 5);
    CHECK(memcmp(got, "hello", 5) == 0);
    stop_server(endpoint, pid);
}

/* --- Handles ------------------------------------------------------------------------------------------------------ */

static uint8_t *moving; /* two pages, the second there or not */

static void *move_memory(void *argument) {
    for (;;) {
        CHECK_OK(mprotect(moving + TEST_PAGE, TEST_PAGE, PROT_NONE));
        sched_yield();
        CHECK_OK(mprotect(moving + TEST_PAGE, TEST_PAGE, PROT_READ | PROT_WRITE));
        sched_yield();
    }
    return argument;
}

static void serve_in_moving_memory(int endpoint) {
    pthread_t thread;
    moving = mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(moving != MAP_FAILED);
    CHECK_EQ(pthread_create(&thread, NULL, move_memory, NULL), 0);
    struct ipc ipc = {.label = 0};
    do {
        struct ipc_extra extra = extra_with(NULL, 0, moving, 2 * TEST_PAGE);
        ipc.extra = &extra;
        if (ipc_receive(endpoint, &ipc) < 0) {
            CHECK_EQ(errno, EFAULT); /* the call is still there */
            continue;
        }
        CHECK(ipc.label == STOP || (extra.room == 2 * TEST_PAGE && moving[TEST_PAGE - 1] == ipc.word[0]));
        extra.length = 0;
        CHECK_OK(ipc_reply(ipc.token, &ipc));
    } while (ipc.label != STOP);
}

/* What is received into memory that another thread takes away is received, or stays, or its caller hears of it. */
static void memory_taken_away(void) {
    static uint8_t bytes[2 * TEST_PAGE];
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve_in_moving_memory);
    endpoint = call_only(endpoint);
    for (unsigned i = 0; i < 200; i++) {
        struct ipc_extra extra = extra_with(bytes, sizeof(bytes), NULL, 0);
        struct ipc ipc = {.label = ECHO, .word = {i % 256}, .extra = &extra};
        memset(bytes, (int)i, sizeof(bytes));
        CHECK(ipc_call(endpoint, &ipc) == 0 || errno == EPIPE);
    }
    stop_server(endpoint, pid);
    CHECK_OK(close(endpoint));
}

static void pass_a_pipe(int endpoint) {
    int ends[2];
    char data[5];
    CHECK_OK(pipe(ends));
    struct ipc_extra extra = limit();
    extra.handle_count = 1;
    extra.handles[0] = ends[1];
    extra.handle_room = 4;
    struct ipc ipc = {.label = ECHO, .extra = &extra};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(extra.handle_room, 1);
    CHECK_EQ(fcntl(extra.taken_handles[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(extra.taken_handles[0], "hello", 5), 5); /* it went there and back */
    CHECK_EQ(read(ends[0], data, 5), 5);
    CHECK_OK(close(ends[1]));
    close_taken(&extra);
    CHECK_EQ(read(ends[0], data, 5), 0); /* nobody has kept one */
    CHECK_OK(close(ends[0]));
}

static void handles(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve);
    for (int i = 0; i < 50; i++) {
        pass_a_pipe(endpoint);
    }
    stop_server(endpoint, pid);
}

static void serve_file_and_endpoint(int endpoint) {
    char data[4];
    struct ipc_extra extra = limit();
    struct ipc ipc = {.extra = &extra};
    extra.handle_room = 4;
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EQ(extra.handle_room, 3);
    CHECK_EQ(handle_rights(extra.taken_handles[0]), RIGHT_READ | RIGHT_TRANSFER);
    CHECK_EQ(pread(extra.taken_handles[0], data, 4, 8), 4);
    CHECK_EQ((uint8_t)data[0], test_byte(8));
    char *map = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, extra.taken_handles[0], 0);
    CHECK(map != MAP_FAILED);
    CHECK_EQ((uint8_t)map[9], test_byte(9));
    CHECK_EQ(handle_rights(extra.taken_handles[1]), RIGHT_CALL | RIGHT_TRANSFER);
    struct ipc_extra nothing = limit();
    struct ipc other = {.label = 5, .extra = &nothing};
    CHECK_OK(ipc_call(extra.taken_handles[1], &other));
    CHECK_EQ(other.label, 6);
    extra.handle_room = 0;
    CHECK_OK(ipc_reply(ipc.token, &ipc));
}

struct caller {
    int endpoint, file, minted;
};

static void *call_with_three(void *argument) {
    struct caller *caller = argument;
    struct ipc_extra extra = limit();
    struct ipc ipc = {.label = ECHO, .extra = &extra};
    extra.handle_count = 3;
    extra.handles[0] = caller->file;
    extra.handles[1] = caller->minted;
    extra.handles[2] = caller->file;
    CHECK_OK(ipc_call(caller->endpoint, &ipc));
    return NULL;
}

/* A file that is mapped where it arrives, and an endpoint that is called from there; a thread here answers. */
static void handles_of_other_kinds(void) {
    int endpoint = make_endpoint(), back = (int)CHECK_OK(endpoint_create());
    const char *path = test_path("ipc");
    CHECK_OK(close(test_file(path, 2 * TEST_PAGE)));
    int file = (int)CHECK_OK(open(path, O_RDONLY));
    struct caller caller = {endpoint, file, (int)CHECK_OK(handle_mint(back, RIGHT_CALL | RIGHT_TRANSFER, 0))};
    int weak = (int)CHECK_OK(handle_mint(back, RIGHT_CALL, 0));
    struct ipc_extra extra = limit();
    struct ipc ipc = {.extra = &extra};
    extra.handle_count = 1;
    extra.handles[0] = weak;
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EACCES); /* not to be passed on */
    extra.handles[0] = 999;
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EBADF);
    extra.handle_count = 5;
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EINVAL);
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(close(back));
        serve_file_and_endpoint(endpoint);
        _exit(0);
    }
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, call_with_three, &caller), 0);
    extra = limit();
    CHECK_OK(ipc_receive(back, &ipc));
    CHECK_EQ(ipc.label, 5);
    ipc.label = 6;
    CHECK_OK(ipc_reply(ipc.token, &ipc));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EXITED(test_wait(pid));
    CHECK_OK(unlink(path));
}

static void serve_without_handles_left(int endpoint) {
    struct ipc_extra extra = limit();
    struct ipc ipc = {.extra = &extra};
    struct rlimit none = {20, 4096};
    while (dup(0) >= 0 && dup(0) < 19) {
    }
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &none));
    extra.handle_room = 2;
    CHECK_OK(ipc_receive(endpoint, &ipc)); /* not those that bring what there is no room for */
    CHECK_EQ(ipc.label, STOP);
    CHECK_EQ(extra.handle_room, 0);
    CHECK_OK(ipc_reply(ipc.token, &ipc));
}

static void no_room_for_handles(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve_without_handles_left);
    struct ipc_extra extra = limit();
    struct ipc ipc = {.label = ECHO, .extra = &extra};
    extra.handle_count = 2;
    extra.handles[0] = extra.handles[1] = 0;
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EMFILE);
    stop_server(endpoint, pid);
    /* On the caller's side. */
    pid = start_server(endpoint, serve);
    while (dup(0) >= 0) {
    }
    extra.handle_room = 2;
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EMFILE);
    extra = limit(); /* without room they are dropped */
    extra.handle_count = 2;
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(extra.handle_room, 0);
    stop_server(endpoint, pid);
}

/* --- Badges and rights -------------------------------------------------------------------------------------------- */

static void serve_badges(int endpoint) {
    for (uint64_t badge = 0; badge < 3; badge++) {
        struct ipc ipc = {0};
        CHECK_OK(ipc_receive(endpoint, &ipc));
        CHECK_EQ(ipc.badge, badge * 0x1234567890);
        CHECK_OK(ipc_reply(ipc.token, &ipc));
    }
}

static void badges(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve_badges);
    for (uint64_t badge = 0; badge < 3; badge++) {
        int handle = (int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL, badge * 0x1234567890));
        struct ipc ipc = {0};
        CHECK_OK(ipc_call(handle, &ipc));
    }
    CHECK_EXITED(test_wait(pid));
}

static void rights(void) {
    int endpoint = make_endpoint();
    int call = (int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL, 0));
    int receive = (int)CHECK_OK(handle_mint(endpoint, RIGHT_RECEIVE, 0));
    int notify = (int)CHECK_OK(handle_mint(endpoint, RIGHT_NOTIFY, 0));
    struct ipc_extra extra = {.timeout_ns = 0};
    struct ipc ipc = {.extra = &extra};
    CHECK_EQ(handle_rights(endpoint), RIGHT_CALL | RIGHT_RECEIVE | RIGHT_NOTIFY | RIGHT_TRANSFER);
    CHECK_ERRNO(ipc_call(receive, &ipc), EACCES);
    CHECK_ERRNO(ipc_call(notify, &ipc), EACCES);
    CHECK_ERRNO(ipc_receive(call, &ipc), EACCES);
    CHECK_ERRNO(ipc_receive(notify, &ipc), EACCES);
    CHECK_ERRNO(ipc_reply_receive(call, &ipc), EACCES);
    CHECK_ERRNO(ipc_notify(call, 1), EACCES);
    CHECK_ERRNO(ipc_notify(receive, 1), EACCES);
    CHECK_ERRNO(endpoint_watch(call, receive, 1), EACCES);
    CHECK_ERRNO(handle_mint(call, RIGHT_CALL, 1), EACCES);
    CHECK_ERRNO(ipc_call(call, &ipc), ETIMEDOUT);
    CHECK_ERRNO(ipc_receive(receive, &ipc), ETIMEDOUT);
    CHECK_OK(ipc_notify(notify, 1));
    CHECK_ERRNO(ipc_call(0, &ipc), EINVAL); /* not an endpoint */
    CHECK_ERRNO(ipc_receive(0, &ipc), EINVAL);
    CHECK_ERRNO(ipc_notify(0, 1), EINVAL);
    CHECK_ERRNO(ipc_call(99, &ipc), EBADF);
    CHECK_ERRNO(ipc_reply(1234567, &ipc), ENOENT);
    CHECK_ERRNO(ipc_reply(0, &ipc), ENOENT);
    char byte;
    CHECK_ERRNO(read(endpoint, &byte, 1), EBADF);
}

/* --- Notifications ------------------------------------------------------------------------------------------------ */

static void notifications(void) {
    int endpoint = make_endpoint();
    struct ipc_extra extra = {.timeout_ns = 0};
    struct ipc ipc = {.extra = &extra};
    CHECK_OK(ipc_notify(endpoint, 1));
    CHECK_OK(ipc_notify(endpoint, 4));
    CHECK_OK(ipc_notify(endpoint, 4 | 1UL << 63));
    CHECK_OK(ipc_receive(endpoint, &ipc)); /* all at once */
    CHECK_EQ(ipc.label, IPC_NOTIFICATION);
    CHECK_EQ(ipc.word[0], 5 | 1UL << 63);
    CHECK_EQ(ipc.badge, 0);
    CHECK_EQ(ipc.token, 0);
    CHECK_EQ(extra.room, 0);
    CHECK_ERRNO(ipc_receive(endpoint, &ipc), ETIMEDOUT); /* and no more */
}

static void *call_once(void *argument) {
    struct ipc_extra extra = limit();
    struct ipc ipc = {.label = ECHO, .extra = &extra};
    CHECK_OK(ipc_call(*(int *)argument, &ipc));
    return NULL;
}

/* A receiver that waits gets it at once; it comes before calls that were there first. */
static void notifications_come_first(void) {
    int endpoint = make_endpoint();
    struct ipc_extra extra = limit();
    struct ipc ipc = {.extra = &extra};
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        CHECK_OK(ipc_notify(endpoint, 2));
        _exit(0);
    }
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EQ(ipc.word[0], 2);
    CHECK_EXITED(test_wait(pid));
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, call_once, &endpoint), 0);
    extra = limit();
    CHECK_OK(ipc_receive(endpoint, &ipc)); /* it has called */
    uint64_t first = ipc.token;
    pthread_t second;
    CHECK_EQ(pthread_create(&second, NULL, call_once, &endpoint), 0);
    CHECK_OK(ipc_notify(endpoint, 8));
    extra = limit();
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EQ(ipc.label, IPC_NOTIFICATION);
    CHECK_EQ(ipc.word[0], 8);
    extra = limit();
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EQ(ipc.label, ECHO);
    CHECK_OK(ipc_reply(ipc.token, &ipc));
    CHECK_OK(ipc_reply(first, &ipc));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pthread_join(second, NULL), 0);
}

/* --- Time and signals --------------------------------------------------------------------------------------------- */

static void timeouts(void) {
    int endpoint = make_endpoint();
    struct ipc_extra extra = {.timeout_ns = 20000000};
    struct ipc ipc = {.extra = &extra};
    uint64_t start = test_now_ns();
    CHECK_ERRNO(ipc_receive(endpoint, &ipc), ETIMEDOUT);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), ETIMEDOUT); /* queued, and taken out */
    CHECK(test_now_ns() - start >= 40000000);
    extra.timeout_ns = 0;
    CHECK_ERRNO(ipc_receive(endpoint, &ipc), ETIMEDOUT);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), ETIMEDOUT);
}

/* The call is received, its caller gives up; the answer comes too late. */
static void timeout_of_a_received_call(void) {
    int endpoint = make_endpoint();
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        struct ipc_extra extra = {.timeout_ns = 20000000};
        struct ipc ipc = {.extra = &extra};
        CHECK_ERRNO(ipc_call(endpoint, &ipc), ETIMEDOUT);
        _exit(0);
    }
    struct ipc ipc = {0};
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EXITED(test_wait(pid));
    CHECK_ERRNO(ipc_reply(ipc.token, &ipc), ENOENT);
    struct ipc_extra extra = {.timeout_ns = 0};
    ipc.extra = &extra;
    CHECK_ERRNO(ipc_reply_receive(endpoint, &ipc), ETIMEDOUT); /* does not mind that there is nothing to answer */
}

static void note_signal(int number) { (void)number; }

static pid_t interrupt_parent_until_told(int ready) {
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        char byte;
        while (read(ready, &byte, 1) < 0) {
        }
        for (;;) { /* the parent may not be in the call yet */
            CHECK_OK(kill(getppid(), SIGUSR1));
            test_sleep_ms(1);
        }
    }
    return pid;
}

static void interrupted(void) {
    int endpoint = make_endpoint(), ready[2];
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    CHECK_OK(pipe(ready));
    pid_t pid = interrupt_parent_until_told(ready[0]);
    struct ipc ipc = {0};
    CHECK_EQ(write(ready[1], "x", 1), 1);
    CHECK_ERRNO(ipc_receive(endpoint, &ipc), EINTR);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EINTR);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    struct ipc_extra extra = {.timeout_ns = 0};
    ipc.extra = &extra;
    while (ipc_receive(endpoint, &ipc) < 0 && errno == EINTR) {
    }
    CHECK_EQ(errno, ETIMEDOUT); /* the abandoned call is gone */
}

/* --- Death -------------------------------------------------------------------------------------------------------- */

static void take_and_die(int endpoint) {
    struct ipc ipc = {0};
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EQ(raise(SIGKILL), 0);
}

static void answer_and_die(int endpoint) {
    struct ipc ipc = {0};
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_OK(ipc_reply(ipc.token, &ipc));
    CHECK_EQ(raise(SIGKILL), 0);
}

static void die_when_told(int endpoint) {
    (void)endpoint;
    for (;;) {
        pause();
    }
}

static void server_dies_with_the_call(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, take_and_die);
    struct ipc ipc = {0};
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EPIPE); /* although this process could receive, too */
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    pid = start_server(endpoint, take_and_die);
    endpoint = call_only(endpoint);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EPIPE);
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EPIPE);
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

static void server_dies_after_its_answer(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, answer_and_die);
    endpoint = call_only(endpoint);
    struct ipc ipc = {0};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EPIPE);
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
}

/* The server never receives; a call is in the queue, or comes just afterwards. */
static void server_dies_with_calls_queued(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, die_when_told);
    endpoint = call_only(endpoint);
    pid_t killer = (pid_t)CHECK_OK(fork());
    if (killer == 0) {
        CHECK_OK(close(endpoint));
        test_sleep_ms(5);
        CHECK_OK(kill(pid, SIGKILL));
        _exit(0);
    }
    struct ipc ipc = {0};
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EPIPE);
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_EXITED(test_wait(killer));
}

/* exec closes the handle, and the calls that were received have nobody any more who knows of them. */
static void take_and_exec(int endpoint) {
    struct ipc ipc = {0};
    CHECK_OK(ipc_receive(endpoint, &ipc));
    execl("/bin/true", "true", NULL);
    _exit(1);
}

static void server_execs(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, take_and_exec);
    struct ipc ipc = {0};
    CHECK_ERRNO(ipc_call(endpoint, &ipc), EPIPE);
    CHECK_EXITED(test_wait(pid));
}

static void call_and_be_killed(int endpoint) {
    struct ipc_extra extra = extra_with("last words", 10, NULL, 0);
    struct ipc ipc = {.extra = &extra};
    extra.handle_count = 1;
    (void)ipc_call(endpoint, &ipc);
    _exit(1);
}

static void note_signal(int number);

static void touch_and_wait(int object) {
    struct sigaction action = {.sa_handler = note_signal};
    CHECK_OK(sigaction(SIGUSR1, &action, NULL));
    volatile char *map = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, object, 0);
    CHECK((void *)map != MAP_FAILED);
    (void)map[0]; /* the kernel calls the pager in this thread's name */
    _exit(1);
}

/* That wait is deaf to a signal that is caught, not to one that ends the process. */
static void killed_while_the_kernel_calls(void) {
    int endpoint = make_endpoint(), object = (int)CHECK_OK(object_create(TEST_PAGE, endpoint, 7));
    struct ipc_extra extra = limit();
    struct ipc ipc = {.extra = &extra};
    pid_t pid = start_server(object, touch_and_wait);
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK_EQ(ipc.label, PAGER_FILL);
    CHECK_EQ(ipc.word[0], 7);
    CHECK_OK(kill(pid, SIGUSR1));
    int status;
    test_sleep_ms(5);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_OK(kill(pid, SIGTERM));
    CHECK_SIGNALED(test_wait(pid), SIGTERM);
    extra = limit();
    CHECK_ERRNO(ipc_reply(ipc.token, &ipc), ENOENT);
}

static void client_dies_while_queued(void) {
    int endpoint = make_endpoint();
    for (int i = 0; i < 10; i++) {
        pid_t pid = start_server(endpoint, call_and_be_killed);
        test_sleep_ms(i);
        CHECK_OK(kill(pid, SIGKILL));
        CHECK_SIGNALED(test_wait(pid), SIGKILL);
    }
    struct ipc_extra extra = {.timeout_ns = 0};
    struct ipc ipc = {.extra = &extra};
    CHECK_ERRNO(ipc_receive(endpoint, &ipc), ETIMEDOUT);
}

static void client_dies_after_receipt(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, call_and_be_killed);
    char data[10];
    struct ipc_extra extra = extra_with(NULL, 0, data, 10);
    struct ipc ipc = {.extra = &extra};
    extra.handle_room = 1;
    CHECK_OK(ipc_receive(endpoint, &ipc));
    CHECK(memcmp(data, "last words", 10) == 0);
    CHECK_EQ(extra.handle_room, 1);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    CHECK_ERRNO(ipc_reply(ipc.token, &ipc), ENOENT);
}

static void *close_soon(void *argument) {
    test_sleep_ms(5);
    CHECK_OK(close(*(int *)argument));
    return NULL;
}

static void closed_while_receiving(void) {
    int endpoint = make_endpoint();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, close_soon, &endpoint), 0);
    struct ipc ipc = {0};
    CHECK_ERRNO(ipc_receive(endpoint, &ipc), EPIPE);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void watch(void) {
    int teller = make_endpoint(), watched = (int)CHECK_OK(endpoint_create());
    int second = (int)CHECK_OK(endpoint_create());
    pid_t pid = start_server(watched, take_and_die);
    watched = call_only(watched);
    CHECK_OK(endpoint_watch(watched, teller, 1));
    CHECK_OK(endpoint_watch(watched, teller, 4)); /* as well */
    CHECK_OK(endpoint_watch(watched, second, 2));
    CHECK_OK(close(second));        /* who would be told is gone first */
    for (int i = 0; i < 100; i++) { /* nor do such pile up */
        second = (int)CHECK_OK(endpoint_create());
        CHECK_OK(endpoint_watch(watched, second, 2));
        CHECK_OK(close(second));
    }
    struct ipc_extra extra = {.timeout_ns = 0};
    struct ipc ipc = {.extra = &extra};
    CHECK_ERRNO(ipc_receive(teller, &ipc), ETIMEDOUT);
    CHECK_ERRNO(ipc_call(watched, &(struct ipc){0}), EPIPE);
    extra = limit();
    CHECK_OK(ipc_receive(teller, &ipc));
    CHECK_EQ(ipc.label, IPC_NOTIFICATION);
    CHECK_EQ(ipc.word[0], 5);
    CHECK_OK(endpoint_watch(watched, teller, 8)); /* already so */
    extra = limit();
    CHECK_OK(ipc_receive(teller, &ipc));
    CHECK_EQ(ipc.word[0], 8);
    CHECK_SIGNALED(test_wait(pid), SIGKILL);
    int self = (int)CHECK_OK(endpoint_create());
    CHECK_OK(endpoint_watch(self, self, 1));
    CHECK_OK(endpoint_watch(self, teller, 1));
    CHECK_OK(endpoint_watch(teller, self, 1));
}

/* --- Many --------------------------------------------------------------------------------------------------------- */

enum { CLIENTS = 4, SERVERS = 3, CALLS = 100 };

static void *serve_in_thread(void *argument) {
    uint8_t buffer[100];
    struct ipc_extra extra = extra_with(NULL, 0, buffer, sizeof(buffer));
    struct ipc ipc = {.extra = &extra};
    CHECK_OK(ipc_receive(*(int *)argument, &ipc));
    while (ipc.label != STOP) {
        extra = extra_with(buffer, extra.room, buffer, sizeof(buffer));
        ipc.word[0] += ipc.badge;
        CHECK_OK(ipc_reply_receive(*(int *)argument, &ipc));
    }
    extra.length = 0;
    CHECK_OK(ipc_reply(ipc.token, &ipc));
    return NULL;
}

static void client(int endpoint) {
    for (uint64_t i = 0; i < CALLS; i++) {
        uint8_t sent[100], got[100];
        memset(sent, (int)i, sizeof(sent));
        struct ipc_extra extra = extra_with(sent, (uint32_t)i, got, sizeof(got));
        struct ipc ipc = {.label = ECHO, .word = {i, i}, .extra = &extra};
        CHECK_OK(ipc_call(endpoint, &ipc));
        CHECK_EQ(ipc.word[0], i + 77);
        CHECK_EQ(ipc.word[1], i);
        CHECK_EQ(extra.room, i);
        CHECK(memcmp(sent, got, i) == 0);
    }
}

static void many(void) {
    int endpoint = make_endpoint();
    pthread_t threads[SERVERS];
    pid_t clients[CLIENTS];
    int badged = (int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL, 77));
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = start_server(badged, client);
    }
    for (int i = 0; i < SERVERS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, serve_in_thread, &endpoint), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EXITED(test_wait(clients[i]));
    }
    for (int i = 0; i < SERVERS; i++) {
        struct ipc ipc = {.label = STOP};
        CHECK_OK(ipc_call(endpoint, &ipc));
    }
    for (int i = 0; i < SERVERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static void call_with_number(int endpoint) {
    struct ipc ipc = {.word = {(uint64_t)getpid()}};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(ipc.word[0], getpid() + 1);
}

/* All are received before the first is answered, the last one first. */
static void deferred_answers(void) {
    int endpoint = make_endpoint();
    pid_t clients[CLIENTS];
    struct ipc calls[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = start_server(endpoint, call_with_number);
    }
    for (int i = 0; i < CLIENTS; i++) {
        calls[i] = (struct ipc){0};
        CHECK_OK(ipc_receive(endpoint, &calls[i]));
        calls[i].word[0]++;
    }
    for (int i = CLIENTS - 1; i >= 0; i--) {
        CHECK_OK(ipc_reply(calls[i].token, &calls[i]));
        CHECK_ERRNO(ipc_reply(calls[i].token, &calls[i]), ENOENT);
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EXITED(test_wait(clients[i]));
    }
}

static int next_in_chain;

static void pass_on(int endpoint) {
    struct ipc ipc = {0};
    CHECK_OK(ipc_receive(endpoint, &ipc));
    while (ipc.label != STOP) {
        struct ipc inner = {.label = ECHO, .word = {ipc.word[0]}};
        CHECK_OK(ipc_call(next_in_chain, &inner));
        ipc.word[0] = inner.word[0] + 1;
        CHECK_OK(ipc_reply_receive(endpoint, &ipc));
    }
    CHECK_OK(ipc_reply(ipc.token, &ipc));
}

static void nested(void) {
    enum { DEPTH = 5 };
    int endpoints[DEPTH + 1];
    pid_t servers[DEPTH + 1];
    endpoints[0] = make_endpoint();
    servers[0] = start_server(endpoints[0], serve);
    for (int i = 1; i <= DEPTH; i++) {
        next_in_chain = endpoints[i - 1];
        endpoints[i] = (int)CHECK_OK(endpoint_create());
        servers[i] = start_server(endpoints[i], pass_on);
    }
    for (uint64_t i = 0; i < 20; i++) {
        struct ipc ipc = {.label = ECHO, .word = {i}};
        CHECK_OK(ipc_call(endpoints[DEPTH], &ipc));
        CHECK_EQ(ipc.word[0], i + DEPTH + 1);
    }
    for (int i = 0; i <= DEPTH; i++) {
        stop_server(endpoints[i], servers[i]);
    }
}

/* Both ends in one process. */
static void threads_of_one_process(void) {
    int endpoint = make_endpoint();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, serve_in_thread, &endpoint), 0);
    client((int)CHECK_OK(handle_mint(endpoint, RIGHT_CALL, 77)));
    struct ipc ipc = {.label = STOP};
    CHECK_OK(ipc_call(endpoint, &ipc));
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Everything that allocates, often: the runner finds what is lost. */
static void repeated(void) {
    int endpoint = make_endpoint();
    pid_t pid = start_server(endpoint, serve);
    for (int i = 0; i < 1000; i++) {
        int other = (int)CHECK_OK(endpoint_create());
        CHECK_OK(endpoint_watch(other, endpoint, 0));
        CHECK_OK(ipc_notify(other, 1));
        pass_a_pipe(endpoint);
        echo_bytes(endpoint, (uint32_t)i * 9);
        CHECK_OK(close(other));
    }
    stop_server(endpoint, pid);
}

/* --- Everything at once ------------------------------------------------------------------------------------------- */

/* By registers, by a parcel, in two steps. */
static void *serve_all_ways(void *argument) {
    uint8_t buffer[5000];
    const int endpoint = *(int *)argument;
    struct ipc ipc = {0};
    for (unsigned i = 0; ipc_receive(endpoint, &ipc) == 0; i++) {
        struct ipc_extra extra = extra_with(buffer, i % 3 == 0 ? 4500 : 0, buffer, sizeof(buffer));
        if (i % 2 == 0) {
            ipc.extra = i % 4 == 0 ? &extra : NULL;
            (void)ipc_reply_receive(endpoint, &ipc);
        }
        ipc.extra = NULL;
        (void)ipc_reply(ipc.token, &ipc);
        extra.length = 0;
        ipc.extra = i % 5 == 0 ? &extra : NULL;
    }
    return NULL;
}

static void serve_storm(int endpoint) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, serve_all_ways, &endpoint), 0);
    serve_all_ways(&endpoint);
}

/* Until nobody can receive any more, whatever becomes of a call. */
static void call_all_ways(int endpoint) {
    uint8_t buffer[5000] = {0};
    for (unsigned i = 0;; i++) {
        struct ipc_extra extra = extra_with(buffer, i % 7 * 700, buffer, sizeof(buffer));
        extra.timeout_ns = i % 11 == 0 ? i % 1000 * 1000 : LIMIT_MS * 1000000ULL;
        extra.handle_count = i % 13 == 0;
        struct ipc ipc = {.label = ECHO, .word = {i, i}, .extra = i % 3 == 0 ? &extra : NULL};
        if (ipc_call(endpoint, &ipc) < 0) {
            CHECK(errno == EPIPE || errno == EMSGSIZE || errno == EMFILE || (errno == ETIMEDOUT && i % 11 == 0));
            if (errno == EPIPE) {
                _exit(0);
            }
        }
    }
}

/* Kills at moments that are as good as random. No call hangs, and the runner finds nothing lost. */
static void storm(void) {
    enum { ROUNDS = 12 };
    test_needs_penumbra();
    for (int round = 0; round < ROUNDS; round++) {
        int endpoint = (int)CHECK_OK(endpoint_create());
        pid_t server = start_server(endpoint, serve_storm), clients[CLIENTS];
        endpoint = call_only(endpoint);
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = start_server(endpoint, call_all_ways);
        }
        test_sleep_ms(round * 2);
        for (int i = 0; i < round % CLIENTS; i++) {
            CHECK_OK(kill(clients[i], SIGKILL));
            int status = test_wait(clients[i]);
            CHECK(WIFSIGNALED(status) || status == 0);
            clients[i] = 0;
        }
        CHECK_OK(kill(server, SIGKILL));
        CHECK_SIGNALED(test_wait(server), SIGKILL);
        for (int i = 0; i < CLIENTS; i++) {
            if (clients[i] != 0) {
                CHECK_EXITED(test_wait(clients[i]));
            }
        }
        CHECK_OK(close(endpoint));
    }
}

/* --- Hostile arguments -------------------------------------------------------------------------------------------- */

static uint64_t lot;
static const char hostile_text[] = "constant";

static uint64_t draw(uint64_t below) {
    lot = lot * 6364136223846793005 + 1442695040888963407;
    return (lot >> 33) % below;
}

static uint64_t some_address(char *page) {
    const uint64_t choices[] = {(uintptr_t)page,    (uintptr_t)page + 4090,      0,          (uintptr_t)hostile_text,
                                0xffff800000000000, 0x7ffffffff000 - draw(8192), UINT64_MAX, 0xffffffff80200000};
    return choices[draw(sizeof(choices) / sizeof(choices[0]))];
}

static uint32_t some_count(void) {
    const uint32_t choices[] = {0, 1, 4, 5, 100, 4096, 4097, 65536, 65537, UINT32_MAX, UINT32_MAX - 31};
    return choices[draw(sizeof(choices) / sizeof(choices[0]))];
}

static void hostile_round(int endpoint, char *page) {
    static const int handles[] = {0, -1, 4096, INT32_MAX, INT32_MIN};
    struct ipc_extra extra = {.bytes = some_address(page),
                              .buffer = some_address(page),
                              .length = some_count(),
                              .room = some_count(),
                              .timeout_ns = draw(2) * 200000,
                              .handle_count = draw(3) == 0 ? some_count() : 0,
                              .handle_room = draw(3) == 0 ? some_count() : 0};
    for (unsigned i = 0; i < IPC_HANDLES_MAX; i++) {
        extra.handles[i] = draw(3) == 0 ? handles[draw(5)] : endpoint;
    }
    struct ipc ipc = {.label = (uint32_t)draw(3) - 1, .extra = draw(8) == 0 ? (void *)some_address(page) : &extra};
    if (ipc.extra == NULL) {
        return; /* that may take for ever */
    }
    switch (draw(4)) {
    case 0:
        (void)ipc_receive(endpoint, &ipc);
        break;
    case 1:
        (void)ipc_reply_receive(endpoint, &ipc);
        break;
    case 2:
        (void)ipc_reply(draw(1000), &ipc);
        break;
    default:
        (void)ipc_call(endpoint, &ipc);
    }
    CHECK_OK(syscall(SYS_close_range, endpoint + 1, 4095, 0));
}

static void hostile(int endpoint) {
    char *page = page_that_is(PROT_READ | PROT_WRITE);
    const struct itimerval often = {{0, 20000}, {0, 20000}}; /* what the kernel takes for a time-out may be long */
    struct sigaction action = {.sa_handler = note_signal};
    CHECK_OK(sigaction(SIGALRM, &action, NULL));
    CHECK_OK(setitimer(ITIMER_REAL, &often, NULL));
    for (int i = 0; i < 3000; i++) {
        hostile_round(endpoint, page);
    }
}

/* On both sides of the calls; nobody is harmed but they. */
static void hostile_arguments(void) {
    int endpoint = make_endpoint();
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        lot = (uint64_t)i + 1;
        pids[i] = start_server(endpoint, hostile);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EXITED(test_wait(pids[i]));
    }
}

static const struct test_case cases[] = {
    {"words", words},
    {"bytes", bytes},
    {"message-size", message_size},
    {"faults-of-the-caller", faults_of_the_caller},
    {"faults-of-the-server", faults_of_the_server},
    {"memory-taken-away", memory_taken_away},
    {"handles", handles},
    {"handles-of-other-kinds", handles_of_other_kinds},
    {"no-room-for-handles", no_room_for_handles},
    {"badges", badges},
    {"rights", rights},
    {"notifications", notifications},
    {"notifications-come-first", notifications_come_first},
    {"timeouts", timeouts},
    {"timeout-of-a-received-call", timeout_of_a_received_call},
    {"interrupted", interrupted},
    {"server-dies-with-the-call", server_dies_with_the_call},
    {"server-dies-after-its-answer", server_dies_after_its_answer},
    {"server-dies-with-calls-queued", server_dies_with_calls_queued},
    {"server-execs", server_execs},
    {"killed-while-the-kernel-calls", killed_while_the_kernel_calls},
    {"client-dies-while-queued", client_dies_while_queued},
    {"client-dies-after-receipt", client_dies_after_receipt},
    {"closed-while-receiving", closed_while_receiving},
    {"watch", watch},
    {"many", many},
    {"deferred-answers", deferred_answers},
    {"nested", nested},
    {"threads-of-one-process", threads_of_one_process},
    {"repeated", repeated},
    {"storm", storm},
    {"hostile-arguments", hostile_arguments},
};
TEST_MAIN(cases)
