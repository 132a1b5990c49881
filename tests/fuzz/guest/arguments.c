/*
 * A value for a kind of argument: mostly one that the call can use, else one that is nearly right or wrong. Structures
 * are built in the thread's scratch page, sometimes in another thread's, who writes there at the same time; pointers
 * may also be to the window, whose pages come and go, across a page's end, or to nowhere.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

#include "asi/abi.h"
#include "kernel/ipc_abi.h"

enum { MUCH = 8 << 20 };

#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint64_t below(struct fuzz_thread *thread, uint64_t limit) { return fuzz_below(&thread->random, limit); }
static bool one_in(struct fuzz_thread *thread, uint64_t n) { return fuzz_one_in(&thread->random, n); }

static long one_of(struct fuzz_thread *thread, const long *values, size_t count) {
    return values[below(thread, count)];
}
#define ONE_OF(thread, ...)                                                                                            \
    one_of((thread), (const long[]){__VA_ARGS__}, sizeof((const long[]){__VA_ARGS__}) / sizeof(long))

/* Up to three bits, of 64, 32, or few. */
static uint64_t bits(struct fuzz_thread *thread) {
    static const unsigned widths[] = {4, 8, 12, 24, 32, 64};
    uint64_t value = 0, width = widths[below(thread, COUNT(widths))];
    for (uint64_t i = below(thread, 4); i > 0; i--) {
        value |= 1ul << below(thread, width);
    }
    return value;
}

/* Numbers at which something may turn over. */
static uint64_t corner(struct fuzz_thread *thread) {
    static const uint64_t corners[] = {0,
                                       1,
                                       2,
                                       7,
                                       8,
                                       4095,
                                       4096,
                                       4097,
                                       65536,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       1ul << 32,
                                       1ul << 40,
                                       1ul << 46,
                                       0x7fffffffe000,
                                       0x7ffffffff000,
                                       0x800000000000,
                                       1ul << 62,
                                       0x7fffffffffffffff,
                                       1ul << 63,
                                       0xffff800000000000,
                                       0xffff888000000000,
                                       0xffffffff80200000,
                                       0xfffffffffffff000,
                                       0xffffffffffffffff};
    return corners[below(thread, COUNT(corners))] + (one_in(thread, 3) ? below(thread, 3) - 1 : 0);
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

static uint8_t *window_page(struct fuzz_thread *thread) {
    return thread->process->window + below(thread, WINDOW_PAGES) * FUZZ_PAGE;
}

static uint8_t *scratch(struct fuzz_thread *thread, size_t bytes) {
    unsigned whose = one_in(thread, 4) ? (unsigned)below(thread, FUZZ_THREADS) : thread->index;
    thread->used = (thread->used + 15) & ~(size_t)15;
    if (thread->used + bytes > SCRATCH_BYTES) {
        thread->used = 0;
    }
    uint8_t *place = thread->process->scratch[whose] + thread->used;
    thread->used += bytes;
    return place;
}

/* Where something can be written to or read from, or not. */
static uint8_t *pointer(struct fuzz_thread *thread) {
    switch (below(thread, 12)) {
    case 0:
        return window_page(thread) + FUZZ_PAGE - below(thread, 64); /* across a page's end */
    case 1:
        return NULL;
    case 2:
        return (uint8_t *)corner(thread);
    case 3:
    case 4:
    case 5:
        return window_page(thread) + (below(thread, FUZZ_PAGE) & ~7ul);
    case 6:
        return window_page(thread) + below(thread, FUZZ_PAGE);
    default:
        return scratch(thread, 256);
    }
}

/* Scratch memory with a structure in it; sometimes elsewhere, where there may be one or not. */
static uint8_t *structure(struct fuzz_thread *thread, const void *bytes, size_t count) {
    if (one_in(thread, 12)) {
        return pointer(thread);
    }
    uint8_t *place = scratch(thread, count);
    memcpy(place, bytes, count);
    if (one_in(thread, 16)) {
        place[below(thread, count)] ^= (uint8_t)(1u << below(thread, 8));
    }
    return place;
}

/* Mostly small: what is large costs time and says no more. */
static uint64_t size(struct fuzz_thread *thread) {
    switch (below(thread, 12)) {
    case 0:
        return corner(thread);
    case 1:
        return below(thread, 8) * FUZZ_PAGE;
    case 2:
        return FUZZ_PAGE - 1 + below(thread, 3);
    case 3:
        return below(thread, 20000);
    case 4:
        return 0;
    default:
        return below(thread, 600);
    }
}

/* Not so much that a call could take all memory there is: the next to need a page is killed, whoever it is. */
static uint64_t length(struct fuzz_thread *thread) {
    uint64_t value;
    switch (below(thread, 10)) {
    case 0:
        value = corner(thread);
        return value > MUCH && value < 1ul << 40 ? value | 1ul << 46 : value;
    case 1:
        return below(thread, 3 * FUZZ_PAGE);
    case 2:
        return below(thread, 1024) * FUZZ_PAGE;
    default:
        return (1 + below(thread, 8)) * FUZZ_PAGE;
    }
}

/* What is copied in the kernel, and does not end where a buffer does. */
static uint64_t count_to_copy(struct fuzz_thread *thread) { return size(thread) % (1ul << 18); }

/* Near where a heap may be: what brk() said before, or behind a program that lies low. */
static uint64_t heap_end(struct fuzz_thread *thread) {
    uint64_t before = (uint64_t)thread->results[below(thread, COUNT(thread->results))];
    return one_in(thread, 3) ? before + below(thread, 64) * 1000 : 0x400000 + below(thread, 2048) * FUZZ_PAGE;
}

static uint64_t address(struct fuzz_thread *thread) {
    switch (below(thread, 10)) {
    case 0:
        return 0;
    case 1:
        return corner(thread);
    case 2:
        return (uint64_t)window_page(thread) + below(thread, FUZZ_PAGE);
    case 3:
        return (uint64_t)thread->results[below(thread, COUNT(thread->results))];
    default:
        return (uint64_t)window_page(thread);
    }
}

/* --- Numbers ------------------------------------------------------------------------------------------------------ */

static uint64_t any(struct fuzz_thread *thread);

static uint64_t descriptor(struct fuzz_thread *thread) {
    switch (below(thread, 16)) {
    case 0:
        return corner(thread);
    case 1:
        return (uint64_t)thread->results[below(thread, COUNT(thread->results))];
    case 2:
        return below(thread, 1100);
    default:
        return 3 + below(thread, thread->process->top);
    }
}

static uint64_t process_id(struct fuzz_thread *thread) {
    const struct fuzz_lane *other = &thread->process->family->lane[below(thread, FUZZ_LANES)];
    switch (below(thread, 8)) {
    case 0:
        return 0;
    case 1: /* never everybody, and not init, when root asks */
        return thread->process->root ? 0 : corner(thread);
    case 2:
        return thread->process->root ? 0 : 1 + below(thread, 40);
    case 3:
        return (uint64_t)other->tid;
    case 4:
        return thread->process->root ? (uint64_t)other->pid : (uint64_t) - (int64_t)other->pid;
    default:
        return (uint64_t)other->pid;
    }
}

static uint64_t signal_number(struct fuzz_thread *thread) {
    /* One in many ends the family; that must be tried, but not in each. */
    return one_in(thread, 8)
               ? below(thread, 66)
               : (uint64_t)ONE_OF(thread, 0, SIGCHLD, SIGURG, SIGWINCH, SIGCONT, SIGALRM, SIGUSR1, SIGUSR1);
}

static uint64_t offset(struct fuzz_thread *thread) {
    switch (below(thread, 6)) {
    case 0:
        return corner(thread);
    case 1:
        return below(thread, 64) * FUZZ_PAGE;
    default:
        return below(thread, 20000);
    }
}

static uint64_t user_id(struct fuzz_thread *thread) {
    return (uint64_t)(one_in(thread, 2) ? -1 : ONE_OF(thread, 0, 1, 1000, FUZZ_FIRST_UID, 65534, 0xffffffff));
}

static uint64_t open_flags(struct fuzz_thread *thread) {
    uint64_t flags = below(thread, 3);
    flags |= one_in(thread, 2) ? O_CREAT : 0;
    flags |= (uint64_t)ONE_OF(thread, 0, 0, O_NONBLOCK, O_CLOEXEC, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_EXCL,
                              O_PATH, O_DIRECT, O_NONBLOCK | O_CLOEXEC, O_TMPFILE | O_WRONLY, O_NOCTTY);
    return one_in(thread, 10) ? flags ^ bits(thread) : flags;
}

static uint64_t mapping_flags(struct fuzz_thread *thread) {
    uint64_t flags = (uint64_t)ONE_OF(thread, MAP_PRIVATE, MAP_SHARED, 3);
    flags |= one_in(thread, 2) ? MAP_ANONYMOUS : 0;
    flags |= one_in(thread, 2) ? MAP_FIXED : 0;
    flags |= one_in(thread, 8)
                 ? (uint64_t)ONE_OF(thread, MAP_POPULATE, MAP_NORESERVE, MAP_GROWSDOWN, 0x100000, MAP_LOCKED)
                 : 0;
    return one_in(thread, 12) ? flags ^ bits(thread) : flags;
}

static uint64_t protection(struct fuzz_thread *thread) {
    return one_in(thread, 10)
               ? any(thread)
               : (uint64_t)ONE_OF(thread, 0, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
                                  PROT_READ | PROT_EXEC, PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static uint64_t at_flags(struct fuzz_thread *thread) {
    return one_in(thread, 6) ? bits(thread)
                             : (uint64_t)ONE_OF(thread, 0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_REMOVEDIR, 0x400);
}

static uint64_t futex_operation(struct fuzz_thread *thread) {
    uint64_t operation =
        one_in(thread, 12) ? bits(thread) : (uint64_t)ONE_OF(thread, 0, 1, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13);
    return operation | (uint64_t)ONE_OF(thread, 0, 128, 256);
}

static uint64_t ioctl_request(struct fuzz_thread *thread) {
    return one_in(thread, 8)
               ? any(thread)
               : (uint64_t)ONE_OF(thread, 0x5401, 0x5402, 0x5403, 0x5404, 0x5409, 0x540b, 0x540e, 0x540f, 0x5410,
                                  0x5411, 0x5413, 0x5414, 0x541b, 0x5420, 0x5421, 0x5422, 0x5429, 0x5450, 0x5451,
                                  0x5405, 0x5406, 0x5408, 0x540c, 0x540d, 0x5423, 0x5424, 0x5441, 0x5456, 0x80045430,
                                  0x40045431, 0x40045436, 0x80045439, 0x80045440);
}

/* What mknod() is to make: a type and permissions. */
static uint64_t node_mode(struct fuzz_thread *thread) {
    return (uint64_t)ONE_OF(thread, S_IFIFO, S_IFIFO, S_IFREG, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFDIR, 0) | 0600 |
           below(thread, 0100);
}

/* What inotify is to tell of. */
static uint64_t watch_mask(struct fuzz_thread *thread) {
    const uint64_t events = one_in(thread, 2) ? 0xfff : 1 + below(thread, 0xfff);
    return events | (uint64_t)ONE_OF(thread, 0, 0, 0, 0x1000000, 0x2000000, 0x10000000, 0x20000000, 0x80000000);
}

static uint64_t clone_flags(struct fuzz_thread *thread) {
    uint64_t flags = (uint64_t)ONE_OF(thread, SIGCHLD, 0, SIGUSR1);
    flags |= (uint64_t)ONE_OF(thread, 0, 0, CLONE_FILES, CLONE_FS, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
                              CLONE_PARENT_SETTID, CLONE_VM | CLONE_VFORK, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD,
                              0x1000 /* a descriptor */, CLONE_PARENT);
    return one_in(thread, 10) ? flags ^ bits(thread) : flags;
}

static uint64_t asi_operation(struct fuzz_thread *thread) {
    return one_in(thread, 4) ? corner(thread) : below(thread, 25);
}

static uint64_t prctl_operation(struct fuzz_thread *thread) {
    return one_in(thread, 2) ? below(thread, 70)
                             : (uint64_t)ONE_OF(thread, PR_ASI_DOMAIN_NEW, PR_ASI_DOMAIN_GET, PR_ASI_DOMAIN_LEAVE,
                                                PR_ASI_TRUST, PR_ASI_TRUSTS, 0x53564d41);
}

static uint64_t any(struct fuzz_thread *thread) {
    switch (below(thread, 8)) {
    case 0:
        return below(thread, 24);
    case 1:
        return (uint64_t)pointer(thread);
    case 2:
        return bits(thread);
    case 3:
        return below(thread, 16) * FUZZ_PAGE;
    case 4:
        return (uint64_t) - (int64_t)below(thread, 128);
    case 5:
        return (uint64_t)thread->results[below(thread, COUNT(thread->results))];
    case 6:
        return fuzz_next(&thread->random);
    default:
        return corner(thread);
    }
}

/* --- Structures --------------------------------------------------------------------------------------------------- */

/* Mostly what has passed by the next moment: who sleeps has to be woken, and that takes long. */
static struct timespec short_time(struct fuzz_thread *thread) {
    struct timespec time = {.tv_nsec = (long)below(thread, 200000)};
    if (one_in(thread, 12)) {
        time = (struct timespec){.tv_sec = (time_t)any(thread), .tv_nsec = (long)any(thread)};
    }
    return time;
}

static uint8_t *time_structure(struct fuzz_thread *thread) {
    const struct timespec times[2] = {short_time(thread), short_time(thread)};
    return structure(thread, times, sizeof times);
}

static uint8_t *interval_timer(struct fuzz_thread *thread) {
    const struct timespec times[2] = {{0}, short_time(thread)};
    return structure(thread, times, sizeof times);
}

static uint8_t *vectors(struct fuzz_thread *thread) {
    struct iovec vector[8];
    for (size_t i = 0; i < COUNT(vector); i++) {
        vector[i] = (struct iovec){pointer(thread), size(thread)};
    }
    return structure(thread, vector, sizeof vector);
}

static uint8_t *poll_set(struct fuzz_thread *thread) {
    struct pollfd set[8];
    for (size_t i = 0; i < COUNT(set); i++) {
        set[i] = (struct pollfd){.fd = (int)descriptor(thread), .events = (short)bits(thread)};
    }
    return structure(thread, set, sizeof set);
}

static uint8_t *descriptor_set(struct fuzz_thread *thread) {
    uint64_t set[16] = {bits(thread), one_in(thread, 8) ? bits(thread) : 0};
    return one_in(thread, 3) ? NULL : structure(thread, set, sizeof set);
}

/* SIGALRM stays: it is what wakes who sleeps. Now and then it does not. */
static uint8_t *signal_set(struct fuzz_thread *thread) {
    uint64_t set = one_in(thread, 2) ? bits(thread) : fuzz_next(&thread->random);
    if (!one_in(thread, 8)) {
        set &= ~(1ul << (SIGALRM - 1));
    }
    return structure(thread, &set, sizeof set);
}

static uint8_t *signal_action(struct fuzz_thread *thread) {
    const uint64_t action[4] = {(uint64_t)ONE_OF(thread, 0, 1, 1, (long)pointer(thread)), bits(thread) | 0x04000000,
                                (uint64_t)pointer(thread), bits(thread)};
    return structure(thread, action, sizeof action);
}

static uint8_t *message(struct fuzz_thread *thread) {
    struct ipc_extra extra = {
        .bytes = (uint64_t)pointer(thread),
        .buffer = (uint64_t)pointer(thread),
        .length = (uint32_t)size(thread),
        .room = (uint32_t)size(thread),
        .timeout_ns = one_in(thread, 10) ? any(thread) : below(thread, 300000),
        .handle_count = (uint32_t)(one_in(thread, 10) ? any(thread) : below(thread, IPC_HANDLES_MAX + 1)),
        .handle_room = (uint32_t)(one_in(thread, 10) ? any(thread) : below(thread, IPC_HANDLES_MAX + 1)),
    };
    for (size_t i = 0; i < IPC_HANDLES_MAX; i++) {
        extra.handles[i] = (int32_t)descriptor(thread);
    }
    return one_in(thread, 20) ? NULL : structure(thread, &extra, sizeof extra);
}

static uint8_t *socket_address(struct fuzz_thread *thread) {
    struct sockaddr_un name = {.sun_family = one_in(thread, 6) ? (sa_family_t)any(thread) : AF_UNIX};
    strncpy(name.sun_path + (one_in(thread, 3) ? 1 : 0), fuzz_name(thread), sizeof name.sun_path - 2);
    return structure(thread, &name, sizeof name);
}

static uint8_t *socket_message(struct fuzz_thread *thread) {
    uint8_t control[64] = {0};
    struct cmsghdr head = {.cmsg_len = (socklen_t)ONE_OF(thread, 20, 24, 16, 64, 0, (long)size(thread)),
                           .cmsg_level = SOL_SOCKET,
                           .cmsg_type = (int)ONE_OF(thread, 1, 1, 2, 3)};
    memcpy(control, &head, sizeof head);
    for (size_t i = 0; i < 4; i++) {
        int fd = (int)descriptor(thread);
        memcpy(control + sizeof head + i * sizeof fd, &fd, sizeof fd);
    }
    struct msghdr header = {.msg_name = one_in(thread, 2) ? NULL : socket_address(thread),
                            .msg_namelen = (socklen_t)size(thread),
                            .msg_iov = (struct iovec *)(void *)vectors(thread),
                            .msg_iovlen = (int)below(thread, 9),
                            .msg_control = one_in(thread, 2) ? NULL : structure(thread, control, sizeof control),
                            .msg_controllen = (socklen_t)ONE_OF(thread, 0, 20, 24, 64, (long)size(thread)),
                            .msg_flags = (int)bits(thread)};
    return structure(thread, &header, sizeof header);
}

static uint8_t *words(struct fuzz_thread *thread) {
    uint64_t list[8] = {0};
    for (uint64_t i = below(thread, 7); i > 0; i--) {
        list[i - 1] = one_in(thread, 6) ? any(thread) : (uint64_t)fuzz_name(thread);
    }
    return structure(thread, list, sizeof list);
}

static uint8_t *epoll_event(struct fuzz_thread *thread) {
    const uint32_t event[3] = {(uint32_t)bits(thread) | (uint32_t)ONE_OF(thread, 1, 4, 5, (long)0x80000001, 0x40000001),
                               (uint32_t)any(thread), 0};
    return structure(thread, event, sizeof event);
}

static uint8_t *clone_arguments(struct fuzz_thread *thread) {
    const uint64_t arguments[11] = {clone_flags(thread) & ~0xfful,
                                    (uint64_t)pointer(thread),
                                    (uint64_t)pointer(thread),
                                    (uint64_t)pointer(thread),
                                    signal_number(thread),
                                    one_in(thread, 4) ? address(thread) : 0,
                                    one_in(thread, 4) ? length(thread) : 0,
                                    any(thread)};
    return structure(thread, arguments, sizeof arguments);
}

static uint8_t *file_lock(struct fuzz_thread *thread) {
    const struct flock lock = {.l_type = (short)below(thread, 4),
                               .l_whence = (short)below(thread, 4),
                               .l_start = (off_t)offset(thread),
                               .l_len = (off_t)offset(thread),
                               .l_pid = one_in(thread, 4) ? (pid_t)process_id(thread) : 0};
    return one_in(thread, 2) ? (uint8_t *)below(thread, 64) : structure(thread, &lock, sizeof lock);
}

static uint8_t *limit(struct fuzz_thread *thread) {
    const uint64_t limits[2] = {any(thread), any(thread)};
    return one_in(thread, 3) ? NULL : structure(thread, limits, sizeof limits);
}

/* In and out: some words of every kind. */
static uint8_t *mixed(struct fuzz_thread *thread) {
    if (one_in(thread, 3)) {
        return pointer(thread);
    }
    uint64_t list[12];
    for (size_t i = 0; i < COUNT(list); i++) {
        list[i] = one_in(thread, 2) ? below(thread, 64) : any(thread);
    }
    return structure(thread, list, sizeof list);
}

/* --- By kind ------------------------------------------------------------------------------------------------------ */

static long value_of(struct fuzz_thread *thread, enum fuzz_kind kind) {
    switch (kind) {
    case K_NONE:
        return 0;
    case K_FD:
        return (long)descriptor(thread);
    case K_DIRFD:
        return one_in(thread, 2) ? AT_FDCWD : (long)descriptor(thread);
    case K_PATH:
        return one_in(thread, 16) ? (long)pointer(thread) : (long)fuzz_name(thread);
    case K_OUT:
        return (long)pointer(thread);
    case K_SIZE:
        return (long)size(thread);
    case K_BREAK:
        return (long)heap_end(thread);
    case K_COUNT:
        return (long)count_to_copy(thread);
    case K_SMALL:
        return (long)below(thread, one_in(thread, 4) ? 40 : 6);
    case K_FLAGS:
        return (long)bits(thread);
    case K_SIGNAL:
        return (long)signal_number(thread);
    case K_PID:
        return (long)process_id(thread);
    case K_ADDRESS:
        return (long)address(thread);
    case K_LENGTH:
        return (long)length(thread);
    case K_PROTECTION:
        return (long)protection(thread);
    case K_MAP:
        return (long)mapping_flags(thread);
    case K_OFFSET:
        return (long)offset(thread);
    case K_MODE: /* the owner keeps his rights, mostly */
        return (long)(one_in(thread, 4) ? bits(thread) : 0700 | below(thread, 0100));
    case K_OPEN:
        return (long)open_flags(thread);
    case K_UID:
        return (long)user_id(thread);
    case K_TIME:
        return (long)time_structure(thread);
    case K_MS:
        return one_in(thread, 12) ? (long)any(thread) : (long)below(thread, 2);
    case K_AT:
        return (long)at_flags(thread);
    case K_CLOCK:
        return one_in(thread, 8) ? (long)any(thread) : (long)below(thread, 12);
    case K_FUTEX:
        return (long)futex_operation(thread);
    case K_IOCTL:
        return (long)ioctl_request(thread);
    case K_FCNTL:
        return one_in(thread, 4) ? (long)(1024 + below(thread, 16)) : (long)below(thread, 40);
    case K_RIGHTS:
        return one_in(thread, 4) ? (long)bits(thread) : RIGHT_ALL;
    case K_IOV:
        return (long)vectors(thread);
    case K_SIGSET:
        return (long)signal_set(thread);
    case K_ACTION:
        return (long)signal_action(thread);
    case K_EXTRA:
        return (long)message(thread);
    case K_POLL:
        return (long)poll_set(thread);
    case K_FDSET:
        return (long)descriptor_set(thread);
    case K_SOCKADDR:
        return (long)socket_address(thread);
    case K_MSGHDR:
        return (long)socket_message(thread);
    case K_WORDS:
        return (long)words(thread);
    case K_ITIMER:
        return (long)interval_timer(thread);
    case K_EVENT:
        return (long)epoll_event(thread);
    case K_WORD:
        return one_in(thread, 2) ? thread->results[below(thread, COUNT(thread->results))] : (long)any(thread);
    case K_CLONE:
        return (long)clone_flags(thread);
    case K_CLONE3:
        return (long)clone_arguments(thread);
    case K_FAMILY:
        return ONE_OF(thread, AF_UNIX, AF_UNIX, AF_UNIX, AF_INET, 16, 0);
    case K_SOCKTYPE:
        return ONE_OF(thread, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM | SOCK_NONBLOCK,
                      SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, SOCK_RAW);
    case K_SETSIZE:
        return one_in(thread, 10) ? (long)any(thread) : ONE_OF(thread, 8, 8, 8, 24, 64, 88);
    case K_FLOCK:
        return (long)file_lock(thread);
    case K_ADVICE:
        return one_in(thread, 6) ? (long)any(thread) : (long)below(thread, 26);
    case K_PRCTL:
        return (long)prctl_operation(thread);
    case K_ARCH:
        return ONE_OF(thread, 0x1001, 0x1003, 0x1004, 0x1011, 0x1012);
    case K_MREMAP:
        return one_in(thread, 8) ? (long)bits(thread) : (long)below(thread, 8);
    case K_RLIMIT:
        return (long)limit(thread);
    case K_EPOLL_OP:
        return (long)(1 + below(thread, one_in(thread, 8) ? 5 : 3));
    case K_WAIT:
        return one_in(thread, 6) ? (long)bits(thread) : ONE_OF(thread, 1, 1, 1, 3, 9, 5, 0x1000001);
    case K_LABEL:
        return one_in(thread, 4) ? (long)any(thread)
                                 : ONE_OF(thread, 0, 1, 0x100, 0x101, 0x300, 0x301, 0x304, 0xffffffff);
    case K_ASI_OP:
        return (long)asi_operation(thread);
    case K_NODE:
        return one_in(thread, 8) ? (long)bits(thread) : (long)node_mode(thread);
    case K_WATCH:
        return one_in(thread, 8) ? (long)bits(thread) : (long)watch_mask(thread);
    case K_PRIORITY:
        return (long)below(thread, 44) - 22;
    case K_INOUT:
        return (long)mixed(thread);
    case K_ANY:
        break;
    }
    return (long)any(thread);
}

long fuzz_argument(struct fuzz_thread *thread, enum fuzz_kind kind) {
    bool else_any = kind != K_NONE && kind != K_LENGTH && kind != K_BREAK && one_in(thread, 24);
    return value_of(thread, else_any ? K_ANY : kind);
}
