/*
 * Pagers: a process of the test's own serves an object's pages by SYS_GRANT_COPY, well or badly, from memory that it
 * shares with the test, so that each message is counted and every byte can be compared on both sides.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/objects.h"

enum { PAGES = 256, DISK = PAGES * TEST_PAGE, ID = 77, MS = 1000000 };

enum manners {
    GOOD,
    FAILS,     /* answers EIO */
    SILENT,    /* takes a call, and does not answer while it has these manners */
    TWICE,     /* answers twice */
    KEEPS,     /* keeps each grant, and tries it when it is called again */
    DIES,      /* when asked */
    READS_OWN, /* reads its own object before it answers */
    ENDLESS,   /* any page has its number in it; what is stored is thrown away */
    SLOW,      /* likewise, and storing takes a while */
};

/* Between test and pager. */
static struct shared {
    _Atomic int manners;
    _Atomic unsigned fills, filled, stores, stored, syncs, gone; /* messages and pages */
    _Atomic int result;                                          /* errno of what was tried on the side */
    _Atomic bool waiting, hole[PAGES];
    _Atomic int kept; /* a grant, or 0 */
    uint8_t disk[DISK];
} * shared;

static int full_endpoint, endpoint, own_object = -1;
static pid_t pager;

/* --- The pager ---------------------------------------------------------------------------------------------------- */

static int fill_endless(int grant, uint64_t first, uint64_t pages) {
    static uint64_t data[TEST_PAGE / 8];

    for (uint64_t i = 0; i < pages; i++) {
        data[0] = data[TEST_PAGE / 8 - 1] = first + i;
        if (grant_write(grant, i * TEST_PAGE, data, TEST_PAGE) != 0) {
            return errno;
        }
    }
    return 0;
}

static bool is_endless(void) { return shared->manners == ENDLESS || shared->manners == SLOW; }

static int fill(int grant, uint64_t first, uint64_t pages) {
    if (is_endless()) {
        return fill_endless(grant, first, pages);
    }
    for (uint64_t page = first; page < first + pages; page++) {
        if (!shared->hole[page] &&
            grant_write(grant, (page - first) * TEST_PAGE, shared->disk + page * TEST_PAGE, TEST_PAGE) != 0) {
            return errno;
        }
    }
    return 0;
}

static int store(int grant, uint64_t first, uint64_t pages) {
    if (shared->manners == SLOW) {
        test_sleep_ms(3);
    }
    if (is_endless()) {
        return 0;
    }
    return grant_read(grant, 0, shared->disk + first * TEST_PAGE, pages * TEST_PAGE) == 0 ? 0 : errno;
}

static void wait_for_better_manners(void) {
    shared->waiting = true;
    while (shared->manners == SILENT) {
        sched_yield();
    }
    shared->waiting = false;
}

/* Serves one call; returns the label of the answer. */
static int serve(const struct ipc *call, int grant) {
    char byte;

    if (shared->kept > 0) {
        shared->result = grant_write(shared->kept, 0, "late", 4) == 0 ? 0 : errno;
    }
    if (shared->manners == DIES) {
        _exit(0);
    }
    if (shared->manners == FAILS && call->label != PAGER_GONE) {
        return EIO;
    }
    switch (call->label) {
    case PAGER_FILL:
        shared->fills++;
        shared->filled += (unsigned)call->word[2];
        if (shared->manners == SILENT) {
            wait_for_better_manners();
        }
        if (shared->manners == READS_OWN) {
            shared->result = pread(own_object, &byte, 1, 0) == 1 ? 0 : errno;
        }
        return fill(grant, call->word[1], call->word[2]);
    case PAGER_STORE:
        shared->stores++;
        shared->stored += (unsigned)call->word[2];
        if (shared->manners == SILENT) {
            wait_for_better_manners();
        }
        return store(grant, call->word[1], call->word[2]);
    case PAGER_SYNC:
        shared->syncs++;
        return 0;
    case PAGER_GONE:
        shared->gone++;
        return 0;
    default:
        return EINVAL;
    }
}

static void answer(uint64_t token, struct ipc *call, int verdict, int grant) {
    struct ipc reply = {.label = (uint32_t)verdict};
    const bool twice = shared->manners == TWICE; /* whoever is answered may ask for better manners at once */

    CHECK(ipc_reply(token, &reply) == 0 || errno == ENOENT); /* the caller may have gone */
    if (twice) {
        shared->result = ipc_reply(token, &reply) == 0 ? 0 : errno;
    }
    if (shared->manners == KEEPS && call->label == PAGER_FILL) {
        shared->kept = grant;
    } else if (call->extra->handle_room > 0) {
        CHECK_OK(close(grant));
    }
}

static void pager_main(void) {
    for (;;) {
        struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_room = 1};
        struct ipc call = {.extra = &extra};

        CHECK_EQ(ipc_receive(full_endpoint, &call), 0);
        CHECK_EQ(call.word[0], ID);
        int verdict = serve(&call, extra.taken_handles[0]);
        answer(call.token, &call, verdict, extra.taken_handles[0]);
    }
}

/* --- Setting up --------------------------------------------------------------------------------------------------- */

static void start_pager(void) {
    test_needs_penumbra();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (size_t i = 0; i < DISK; i++) {
        shared->disk[i] = test_byte(i);
    }
    full_endpoint = endpoint_create();
    endpoint = handle_mint(full_endpoint, RIGHT_CALL | RIGHT_TRANSFER, 0);
    CHECK(full_endpoint >= 0 && endpoint >= 0);
}

/* Forks the pager, which inherits what is open. */
static void run_pager(void) {
    pager = fork();
    if (pager == 0) {
        CHECK_OK(close(endpoint));
        pager_main();
    }
    CHECK_OK(close(full_endpoint));
}

static int new_object(size_t bytes) {
    int object = object_create(bytes, endpoint, ID);

    CHECK(object >= 0);
    return object;
}

/* A pager that runs, and an object of its. */
static int begin(size_t bytes) {
    start_pager();
    run_pager();
    return new_object(bytes);
}

static void stop_pager(void) {
    CHECK_OK(kill(pager, SIGKILL));
    int status = test_wait(pager);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/*
 * The object's last handle goes: the pager is told, once all is stored. With several CPUs pageout may be looking at the
 * object just then, and be the last to let go of it.
 */
static void end(int object) {
    CHECK_OK(close(object));
    sync();
    for (int tries = 0; tries < 200 && shared->gone == 0; tries++) {
        test_sleep_ms(10);
    }
    CHECK_EQ(shared->gone, 1);
    stop_pager();
}

static void drop_cache(void) { CHECK_OK(syscall(SYS_CACHE_DROP)); }

static void check_read(int object, size_t offset, size_t bytes) {
    static uint8_t data[DISK];

    CHECK_EQ(pread(object, data, bytes, (off_t)offset), bytes);
    CHECK(memcmp(data, shared->disk + offset, bytes) == 0);
}

static unsigned fills_of(void (*touch)(int), int object) {
    unsigned before = shared->fills;

    touch(object);
    return shared->fills - before;
}

/* --- Content ------------------------------------------------------------------------------------------------------ */

static void content(void) {
    const size_t bytes = 20 * TEST_PAGE + 100;
    int object = begin(bytes);
    static uint8_t data[DISK];

    check_read(object, 0, 16 * TEST_PAGE); /* all of a read is asked for at once */
    CHECK_EQ(shared->fills, 1);
    CHECK_EQ(shared->filled, 16);
    check_read(object, 3000, 5000);
    CHECK_EQ(shared->fills, 1);
    CHECK_EQ(pread(object, data, DISK, 0), bytes);
    CHECK(memcmp(data, shared->disk, bytes) == 0);
    CHECK_EQ(shared->filled, 21);
    CHECK_EQ(pread(object, data, 10, (off_t)bytes), 0);
    CHECK_EQ(shared->fills, 2);
    drop_cache();
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0); /* no window is left on what was forgotten */
    check_read(object, 5 * TEST_PAGE, 1);
    CHECK_EQ(shared->filled, 22);
    end(object);
}

static void mapped(void) {
    int object = begin(8 * TEST_PAGE);
    uint8_t *private = mmap(NULL, 8 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, object, 0);
    uint8_t *shares = mmap(NULL, 8 * TEST_PAGE, PROT_READ, MAP_SHARED, object, 0);

    CHECK(private != MAP_FAILED && shares != MAP_FAILED);
    CHECK_EQ(shares[5 * TEST_PAGE + 1], test_byte(5 * TEST_PAGE + 1));
    CHECK_EQ(shared->filled, 1);
    private[5 * TEST_PAGE] = (uint8_t)~test_byte(5 * TEST_PAGE);
    CHECK_EQ(shares[5 * TEST_PAGE], test_byte(5 * TEST_PAGE));
    CHECK_EQ(private[2 * TEST_PAGE], test_byte(2 * TEST_PAGE));
    CHECK(memcmp(shares, shared->disk, 8 * TEST_PAGE) == 0);
    drop_cache(); /* what is mapped stays */
    unsigned before = shared->fills;
    CHECK(memcmp(shares, shared->disk, 8 * TEST_PAGE) == 0);
    CHECK_EQ(shared->fills, before);
    CHECK_EQ(shared->stores, 0);
    CHECK_OK(munmap(private, 8 * TEST_PAGE));
    CHECK_OK(munmap(shares, 8 * TEST_PAGE));
    uint8_t *populated = mmap(NULL, 8 * TEST_PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, object, 0);
    CHECK(populated != MAP_FAILED);
    CHECK_OK(munmap(populated, 8 * TEST_PAGE));
    end(object);
}

/* Pages that the pager leaves alone are zero, and so is what it puts behind the end. */
static void holes_and_tail(void) {
    const size_t bytes = 4 * TEST_PAGE + 10;
    int object = begin(bytes);
    static const uint8_t zero[TEST_PAGE];

    shared->hole[1] = true;
    uint8_t *map = mmap(NULL, 5 * TEST_PAGE, PROT_READ, MAP_SHARED, object, 0);
    CHECK(map != MAP_FAILED);
    CHECK(memcmp(map + TEST_PAGE, zero, TEST_PAGE) == 0);
    CHECK(memcmp(map + 4 * TEST_PAGE, shared->disk + 4 * TEST_PAGE, 10) == 0);
    CHECK(memcmp(map + 4 * TEST_PAGE + 10, zero, TEST_PAGE - 10) == 0);
    CHECK_OK(munmap(map, 5 * TEST_PAGE));

    /* Cut, and long again: the pager still has the old bytes, but nobody gets them. */
    CHECK_OK(ftruncate(object, TEST_PAGE / 2));
    CHECK_OK(ftruncate(object, 4 * TEST_PAGE));
    static uint8_t data[4 * TEST_PAGE];
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(pread(object, data, sizeof(data), 0), sizeof(data));
        CHECK(memcmp(data, shared->disk, TEST_PAGE / 2) == 0);
        CHECK(memcmp(data + TEST_PAGE / 2, zero, TEST_PAGE / 2) == 0);
        CHECK(memcmp(data + 2 * TEST_PAGE, zero, TEST_PAGE) == 0);
        CHECK_OK(fsync(object));
        drop_cache();
    }
    end(object);
}

static void execute(void) {
    int object, file = open("/bin/psh", O_RDONLY); /* smaller than busybox, which echo is */

    start_pager();
    ssize_t bytes = read(file, shared->disk, DISK);
    CHECK(bytes > 0 && bytes < DISK);
    CHECK_OK(close(file));
    run_pager();
    object = new_object((size_t)bytes);
    pid_t child = fork();
    if (child == 0) {
        char *argv[] = {"psh", "-c", "echo paged in", NULL}, *envp[] = {NULL};
        syscall(SYS_execveat, object, "", argv, envp, AT_EMPTY_PATH);
        _exit(99);
    }
    CHECK_EQ(test_wait(child), 0);
    end(object);
}

/* --- Read-ahead --------------------------------------------------------------------------------------------------- */

static void read_on(int object) {
    for (size_t page = 0; page < 200; page++) {
        check_read(object, page * TEST_PAGE, TEST_PAGE);
    }
}

static void read_here_and_there(int object) {
    for (size_t i = 0; i < 60; i++) {
        check_read(object, (i * 37 % 200) * TEST_PAGE + 1000, 100);
    }
}

static void two_readers(int object) {
    for (size_t page = 0; page < 96; page++) {
        check_read(object, page * TEST_PAGE, TEST_PAGE);
        check_read(object, (100 + page) * TEST_PAGE, TEST_PAGE);
    }
}

static void read_ahead(void) {
    int object = begin(200 * TEST_PAGE);

    CHECK_EQ(fills_of(read_on, object), 8); /* 1, 4, 8, 16, 32, 64, 64 pages, and the rest */
    CHECK_EQ(shared->filled, 200);
    CHECK_EQ(fills_of(read_on, object), 0);
    drop_cache();
    CHECK_EQ(fills_of(read_here_and_there, object), 60);
    CHECK_EQ(shared->filled, 260);
    drop_cache();
    CHECK(fills_of(two_readers, object) <= 16);
    end(object);
}

/* --- Writing ------------------------------------------------------------------------------------------------------ */

static void write_and_sync(void) {
    int object = begin(16 * TEST_PAGE);

    CHECK_EQ(pwrite(object, "part", 4, 2 * TEST_PAGE + 5), 4);
    CHECK_EQ(shared->fills, 1); /* the rest of the page is the pager's */
    static uint8_t data[3 * TEST_PAGE];
    memset(data, 'w', sizeof(data));
    CHECK_EQ(pwrite(object, data, sizeof(data), 4 * TEST_PAGE), sizeof(data));
    CHECK_EQ(shared->fills, 1); /* nothing of these pages is */
    CHECK_EQ(shared->stores, 0);
    drop_cache(); /* dirty pages stay */
    CHECK_OK(fsync(object));
    CHECK_EQ(shared->stores, 2);
    CHECK_EQ(shared->stored, 4);
    CHECK_EQ(shared->syncs, 1);
    CHECK(memcmp(shared->disk + 2 * TEST_PAGE + 5, "part", 4) == 0);
    CHECK_EQ(shared->disk[2 * TEST_PAGE + 9], test_byte(2 * TEST_PAGE + 9));
    CHECK(memcmp(shared->disk + 4 * TEST_PAGE, data, sizeof(data)) == 0);
    CHECK_OK(fsync(object));
    CHECK_EQ(shared->stores, 2);
    CHECK_EQ(shared->syncs, 1);
    drop_cache();
    check_read(object, 0, 16 * TEST_PAGE);

    /* From memory that was never touched, and from some of which only the first half is there. */
    char *from = mmap(NULL, 2 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    drop_cache();
    CHECK_EQ(pwrite(object, from + 100, TEST_PAGE, 8 * TEST_PAGE), TEST_PAGE);
    CHECK_OK(munmap(from + TEST_PAGE, TEST_PAGE));
    CHECK_EQ(pwrite(object, from + 100, TEST_PAGE, 9 * TEST_PAGE), TEST_PAGE - 100);
    CHECK_EQ(pread(object, data, 2 * TEST_PAGE, 8 * TEST_PAGE), 2 * TEST_PAGE);
    CHECK_EQ(data[TEST_PAGE - 1] + data[2 * TEST_PAGE - 101], 0);
    CHECK(memcmp(data + 2 * TEST_PAGE - 100, shared->disk + 10 * TEST_PAGE - 100, 100) == 0);
    CHECK_ERRNO(pwrite(object, (void *)8, TEST_PAGE, 10 * TEST_PAGE), EFAULT);

    /* Longer: the pager never had the new pages, and is not asked for them. */
    unsigned fills = shared->fills;
    CHECK_EQ(pwrite(object, "far", 3, 20 * TEST_PAGE), 3);
    CHECK_EQ(pread(object, data, 10, 18 * TEST_PAGE), 10);
    CHECK_EQ(data[0], 0);
    CHECK_EQ(shared->fills, fills);
    CHECK_EQ(pwrite(object, "last", 4, 3 * TEST_PAGE), 4);
    end(object); /* what is written and not stored is stored before the object goes */
    CHECK(memcmp(shared->disk + 3 * TEST_PAGE, "last", 4) == 0);
    CHECK(memcmp(shared->disk + 20 * TEST_PAGE, "far", 3) == 0);
}

static void write_mapped(void) {
    int object = begin(8 * TEST_PAGE);
    uint8_t *map = mmap(NULL, 8 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);

    CHECK(map != MAP_FAILED);
    CHECK_EQ(map[TEST_PAGE], test_byte(TEST_PAGE)); /* read first: the write is seen all the same */
    map[TEST_PAGE] = 'a';
    map[3 * TEST_PAGE + 1] = 'b';
    CHECK_OK(msync(map, 8 * TEST_PAGE, MS_ASYNC));
    CHECK_EQ(shared->stores, 0);
    CHECK_OK(msync(map + TEST_PAGE, TEST_PAGE, MS_SYNC));
    CHECK_EQ(shared->stored, 1);
    CHECK_EQ(shared->disk[TEST_PAGE], 'a');
    CHECK_OK(fsync(object));
    CHECK_EQ(shared->disk[3 * TEST_PAGE + 1], 'b');
    map[TEST_PAGE] = 'c'; /* no fault tells the kernel: the page counts as dirty while it is mapped */
    CHECK_OK(mprotect(map, 8 * TEST_PAGE, PROT_READ));
    drop_cache();
    CHECK_OK(munmap(map, 8 * TEST_PAGE));
    CHECK_EQ(shared->disk[TEST_PAGE], 'a');
    CHECK_OK(fsync(object));
    CHECK_EQ(shared->disk[TEST_PAGE], 'c');
    unsigned stored = shared->stored;
    CHECK_OK(fsync(object));
    CHECK_EQ(shared->stored, stored);
    drop_cache();
    check_read(object, 0, 8 * TEST_PAGE);

    /* Made writable after it was mapped. */
    map = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, object, 0);
    CHECK_EQ(map[0], test_byte(0));
    CHECK_OK(mprotect(map, TEST_PAGE, PROT_READ | PROT_WRITE));
    map[0] = 'd';
    CHECK_OK(munmap(map, TEST_PAGE));
    CHECK_OK(fdatasync(object));
    CHECK_EQ(shared->disk[0], 'd');
    end(object);
}

static void move_in(void) {
    int object = begin(4 * TEST_PAGE), other = object_create(TEST_PAGE, -1, 0);

    CHECK_EQ(pwrite(other, "moved", 5, 0), 5);
    check_read(object, 0, 4 * TEST_PAGE);
    CHECK_OK(object_move(object, 1, other, 0, 1));
    CHECK_OK(fsync(object));
    CHECK(memcmp(shared->disk + TEST_PAGE, "moved", 6) == 0);
    CHECK_ERRNO(object_move(other, 0, object, 0, 1), EOPNOTSUPP);
    CHECK_ERRNO(grant_create(object, 0, 1, GRANT_FILL), EOPNOTSUPP);
    int grant = grant_create(object, 2, 1, GRANT_STORE);
    static uint8_t data[TEST_PAGE];
    CHECK_OK(grant_read(grant, 0, data, sizeof(data)));
    CHECK(memcmp(data, shared->disk + 2 * TEST_PAGE, TEST_PAGE) == 0);
    CHECK_OK(close(grant));
    end(object);
}

static void store_fails(void) {
    int object = begin(4 * TEST_PAGE);

    CHECK_EQ(pwrite(object, "kept", 4, 0), 4);
    shared->manners = FAILS;
    CHECK_ERRNO(fsync(object), EIO);
    CHECK_ERRNO(fsync(object), EIO); /* the page is dirty, and was tried again */
    sync();                          /* tries, too, and has nobody to tell */
    shared->manners = GOOD;
    CHECK_ERRNO(fsync(object), EIO); /* of that one: it is told once */
    CHECK(memcmp(shared->disk, "kept", 4) == 0);
    CHECK_OK(fsync(object));
    end(object);
}

/* --- Several at once ---------------------------------------------------------------------------------------------- */

static void read_page_zero(void *object) { check_read(*(int *)object, 0, TEST_PAGE); }

static void wait_until_asked(void) {
    while (!shared->waiting) {
        sched_yield();
    }
}

static void one_page_two_clients(void) {
    int object = begin(4 * TEST_PAGE);
    pid_t clients[2];

    shared->manners = SILENT;
    for (int i = 0; i < 2; i++) {
        clients[i] = fork();
        if (clients[i] == 0) {
            read_page_zero(&object);
            _exit(0);
        }
    }
    wait_until_asked();
    shared->manners = GOOD;
    CHECK_EQ(test_wait(clients[0]), 0);
    CHECK_EQ(test_wait(clients[1]), 0);
    CHECK_EQ(shared->fills, 1);
    end(object);
}

/* The file becomes shorter while a page of it is on its way. */
static void cut_while_filling(void) {
    int object = begin(4 * TEST_PAGE);

    shared->manners = SILENT;
    pid_t client = fork();
    if (client == 0) {
        char byte;
        CHECK_EQ(pread(object, &byte, 1, 2 * TEST_PAGE), 0);
        _exit(0);
    }
    wait_until_asked();
    CHECK_OK(ftruncate(object, TEST_PAGE));
    shared->manners = GOOD;
    CHECK_EQ(test_wait(client), 0);
    CHECK_OK(ftruncate(object, 4 * TEST_PAGE));
    char byte = 1;
    CHECK_EQ(pread(object, &byte, 1, 2 * TEST_PAGE), 1);
    CHECK_EQ(byte, 0);
    end(object);
}

/* Written again while it is being stored: the later bytes are not lost. */
static void write_while_storing(void) {
    int object = begin(4 * TEST_PAGE);

    CHECK_EQ(pwrite(object, "first", 5, 0), 5);
    shared->manners = SILENT;
    pid_t client = fork();
    if (client == 0) {
        CHECK_OK(fsync(object));
        _exit(0);
    }
    wait_until_asked();
    CHECK_EQ(pwrite(object, "later", 5, 0), 5);
    CHECK_OK(ftruncate(object, 2 * TEST_PAGE));
    shared->manners = GOOD;
    CHECK_EQ(test_wait(client), 0);
    CHECK_OK(fsync(object));
    CHECK(memcmp(shared->disk, "later", 5) == 0);
    drop_cache();
    check_read(object, 0, 2 * TEST_PAGE);
    end(object);
}

/* --- Bad pagers --------------------------------------------------------------------------------------------------- */

static void touch_mapping(void *object) {
    volatile uint8_t *map = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, *(int *)object, 0);
    uint8_t byte = map[0];
    (void)byte;
}

static void read_into_mapping(void *object) {
    void *map = mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, *(int *)object, 0);
    int file = test_file(test_path("out"), 0);
    CHECK_ERRNO(write(file, map, 10), EFAULT);
}

static void answers_with_errors(void) {
    int object = begin(64 * TEST_PAGE);
    char byte;

    shared->manners = FAILS;
    CHECK_ERRNO(pread(object, &byte, 1, 0), EIO);
    int status = test_run_child(touch_mapping, &object);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    CHECK_EQ(test_run_child(read_into_mapping, &object), 0);
    CHECK_ERRNO(pwrite(object, "x", 1, 5), EIO);
    shared->manners = GOOD;
    check_read(object, 0, 64 * TEST_PAGE);
    end(object);
}

static void never_answers(void) {
    int object = begin(4 * TEST_PAGE);
    char byte;

    CHECK_OK(pager_timeout(object, 50 * MS));
    shared->manners = SILENT;
    CHECK_ERRNO(pread(object, &byte, 1, 0), EIO);
    int status = test_run_child(touch_mapping, &object);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
    CHECK_OK(kill(pager, SIGKILL));
    test_wait(pager);
    CHECK_ERRNO(pread(object, &byte, 1, 0), EIO);
    CHECK_OK(close(object));
    sync();
}

static void answers_late(void) {
    int object = begin(4 * TEST_PAGE);
    char byte;

    CHECK_OK(pager_timeout(object, 50 * MS));
    shared->manners = SILENT;
    CHECK_ERRNO(pread(object, &byte, 1, 0), EIO);
    CHECK_OK(pager_timeout(object, PAGER_TIMEOUT_NS));
    wait_until_asked();
    shared->manners = GOOD; /* the grant has ended: nothing can be put into it */
    while (shared->waiting) {
        sched_yield();
    }
    check_read(object, 0, 4 * TEST_PAGE);
    CHECK_ERRNO(pager_timeout(object_create(1, -1, 0), 1), EOPNOTSUPP);
    end(object);
}

static void answers_twice(void) {
    int object = begin(4 * TEST_PAGE);

    shared->manners = TWICE;
    check_read(object, 0, 4 * TEST_PAGE);
    shared->manners = GOOD;
    check_read(object, 0, 4 * TEST_PAGE);
    CHECK_OK(fsync(object));
    end(object);
    CHECK_EQ(shared->result, ENOENT);
}

static void keeps_grants(void) {
    int object = begin(4 * TEST_PAGE);

    shared->manners = KEEPS;
    check_read(object, 0, TEST_PAGE);
    CHECK_EQ(pwrite(object, "mine", 4, 0), 4);
    CHECK_OK(fsync(object));
    CHECK_EQ(shared->result, EPIPE);
    CHECK(memcmp(shared->disk, "mine", 4) == 0);
    drop_cache(); /* the page goes, whoever keeps a grant on it */
    unsigned fills = shared->fills;
    check_read(object, 0, TEST_PAGE);
    CHECK_EQ(shared->fills, fills + 1);
    shared->manners = GOOD;
    end(object);
}

static void dies_when_asked(void) {
    int object = begin(4 * TEST_PAGE);
    char byte;

    shared->manners = DIES;
    uint64_t start = test_now_ns();
    CHECK_ERRNO(pread(object, &byte, 1, 0), EIO);
    CHECK_ERRNO(pread(object, &byte, 1, 0), EIO);
    CHECK(test_now_ns() - start < PAGER_TIMEOUT_NS / 3); /* at once, not when it would be late */
    CHECK_EQ(test_wait(pager), 0);
    CHECK_OK(close(object));
    sync();
}

/* Many wait for it when it is killed; each has an error, and the pages that were there are there. */
static void is_killed_with_many_clients(void) {
    enum { CLIENTS = 8 };
    int object = begin(16 * TEST_PAGE);
    pid_t clients[CLIENTS];

    check_read(object, 15 * TEST_PAGE, TEST_PAGE);
    shared->manners = SILENT;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = fork();
        if (clients[i] == 0) {
            char byte;
            CHECK_ERRNO(pread(object, &byte, 1, i / 2 * TEST_PAGE), EIO);
            _exit(0);
        }
    }
    wait_until_asked();
    stop_pager();
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQ(test_wait(clients[i]), 0);
    }
    check_read(object, 15 * TEST_PAGE, TEST_PAGE);
    CHECK_OK(close(object));
    sync();
}

static void client_is_killed(void) {
    int object = begin(4 * TEST_PAGE);

    shared->manners = SILENT;
    pid_t client = fork();
    if (client == 0) {
        read_page_zero(&object);
        _exit(0);
    }
    wait_until_asked();
    pid_t second = fork(); /* waits for what the first has asked for */
    if (second == 0) {
        read_page_zero(&object);
        _exit(0);
    }
    CHECK_OK(kill(client, SIGKILL));
    int status = test_wait(client);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    shared->manners = GOOD;
    CHECK_EQ(test_wait(second), 0);
    end(object);
}

static void reads_its_own(void) {
    start_pager();
    own_object = new_object(4 * TEST_PAGE);
    CHECK_OK(pager_timeout(own_object, 50 * MS));
    run_pager();
    char byte;
    shared->manners = READS_OWN;
    CHECK_ERRNO(pread(own_object, &byte, 1, 0), EIO);
    shared->manners = GOOD;
    CHECK_OK(pager_timeout(own_object, PAGER_TIMEOUT_NS));
    check_read(own_object, 0, TEST_PAGE);
    CHECK_EQ(shared->result, EIO);
    stop_pager();
    CHECK_OK(close(own_object));
    sync();
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

/* Reads a file that is larger than the memory, and changes some of it. */
static void larger_than_memory(void) {
    struct asi_memory memory;
    int object;

    start_pager();
    shared->manners = ENDLESS;
    run_pager();
    memory = penumbra_memory();
    uint64_t pages = memory.frames_total + memory.frames_total / 4;
    object = new_object(pages * TEST_PAGE);
    static uint64_t data[16 * TEST_PAGE / 8];
    for (uint64_t page = 0; page < pages; page += 16) {
        ssize_t bytes = pread(object, data, sizeof(data), (off_t)(page * TEST_PAGE));
        CHECK(bytes > 0 && bytes % TEST_PAGE == 0);
        for (uint64_t i = 0; i < (uint64_t)bytes / TEST_PAGE; i++) {
            CHECK_EQ(data[i * TEST_PAGE / 8], page + i);
            CHECK_EQ(data[(i + 1) * TEST_PAGE / 8 - 1], page + i);
        }
        if (page % 1024 == 0) {
            CHECK_EQ(pwrite(object, "dirty", 5, (off_t)(page * TEST_PAGE)), 5);
        }
    }
    CHECK(shared->filled >= pages);
    end(object);
}

/* What an endless file has at the beginning and the end of a page. */
static void check_page(const volatile uint64_t *data, uint64_t page) {
    CHECK_EQ(data[page * TEST_PAGE / 8], page);
    CHECK_EQ(data[(page + 1) * TEST_PAGE / 8 - 1], page);
}

static uint64_t *map_more_than_memory(int *object, uint64_t *pages, int protection) {
    start_pager();
    shared->manners = ENDLESS;
    run_pager();
    *pages = penumbra_memory().frames_total * 5 / 4;
    *object = new_object(*pages * TEST_PAGE);
    uint64_t *data = mmap(NULL, *pages * TEST_PAGE, protection, MAP_SHARED, *object, 0);
    CHECK((void *)data != MAP_FAILED);
    return data;
}

enum { WATCHED = 64 };
static volatile bool watching;

/* Another thread keeps some pages in use all the time: whatever is evicted, it never sees anything else there. */
static void *watch_pages(void *data) {
    while (watching) {
        for (uint64_t page = 0; page < WATCHED; page++) {
            check_page(data, page);
        }
    }
    return NULL;
}

/* A mapping of a file that is larger than the memory: what is mapped is evicted in the end. */
static void maps_more_than_memory(void) {
    uint64_t pages;
    int object;
    pthread_t watcher;
    const uint64_t *data = map_more_than_memory(&object, &pages, PROT_READ);
    watching = true;
    CHECK_EQ(pthread_create(&watcher, NULL, watch_pages, (void *)(uintptr_t)data), 0);
    for (uint64_t page = 0; page < pages; page++) {
        check_page(data, page);
        check_page(data, page / 2);
    }
    watching = false;
    CHECK_EQ(pthread_join(watcher, NULL), 0);
    for (uint64_t page = 0; page < pages / 8; page++) { /* the first to go */
        check_page(data, page);
    }
    CHECK(shared->filled > pages);
    CHECK_OK(munmap((void *)(uintptr_t)data, pages * TEST_PAGE));
    end(object);
}

/* The same, written through the mapping: each page is stored before it goes. */
static void writes_more_than_memory(void) {
    uint64_t pages;
    int object;
    uint64_t *data = map_more_than_memory(&object, &pages, PROT_READ | PROT_WRITE);
    for (uint64_t page = 0; page < pages; page++) {
        check_page(data, page);
        data[page * TEST_PAGE / 8 + 1] = page;
    }
    CHECK(shared->stored > 0);
    CHECK_OK(msync(data, pages * TEST_PAGE, MS_SYNC));
    CHECK(shared->stored >= pages);
    CHECK_OK(munmap(data, pages * TEST_PAGE));
    end(object);
}

static void map_and_read(void *argument) {
    const int object = *(const int *)argument;
    const uint64_t pages = penumbra_memory().frames_total * 5 / 4;
    const uint64_t *data = mmap(NULL, pages * TEST_PAGE, PROT_READ, MAP_SHARED, object, 0);
    CHECK((const void *)data != MAP_FAILED);
    for (uint64_t page = 0; page < pages; page++) {
        check_page(data, page);
    }
}

/* What a process has locked stays, whatever another one does to the memory; after munlockall() it goes. */
static void locked_stays(void) {
    uint64_t pages, resident = 0;
    unsigned char present[WATCHED];
    int object;
    uint64_t *data = map_more_than_memory(&object, &pages, PROT_READ);
    CHECK_OK(mlock(data, WATCHED * TEST_PAGE));
    CHECK_EXITED(test_run_child(map_and_read, &object));
    CHECK_OK(mincore(data, WATCHED * TEST_PAGE, present));
    for (unsigned i = 0; i < WATCHED; i++) {
        CHECK_EQ(present[i] & 1, 1);
    }
    CHECK_OK(munlockall());
    CHECK_EXITED(test_run_child(map_and_read, &object));
    CHECK_OK(mincore(data, WATCHED * TEST_PAGE, present));
    for (unsigned i = 0; i < WATCHED; i++) {
        resident += present[i] & 1;
    }
    CHECK(resident < WATCHED);
    CHECK_OK(munmap(data, pages * TEST_PAGE));
    end(object);
}

/* Writes more than may be dirty at once. */
static void write_much(void) {
    enum { PIECE = 256 * 1024 };
    static char data[PIECE];
    int object;

    start_pager();
    shared->manners = ENDLESS;
    run_pager();
    object = new_object(0);
    uint64_t bytes = penumbra_memory().frames_total / 2 * TEST_PAGE;
    for (uint64_t done = 0; done < bytes; done += PIECE) {
        CHECK_EQ(pwrite(object, data, PIECE, (off_t)done), PIECE);
    }
    CHECK(shared->stored > 0);
    CHECK_OK(fsync(object));
    CHECK(shared->stored >= bytes / TEST_PAGE);
    end(object);
}

/*
 * All of the memory is in use for files, clean and dirty: programs get what they ask for all the same. From a slow
 * pager they get it late: then nothing is free while pages are stored, and that takes memory, too.
 */
static void make_room(int manners) {
    enum { PIECE = 256 * 1024 };
    static char data[PIECE];
    int object;

    start_pager();
    shared->manners = manners;
    run_pager();
    uint64_t total = penumbra_memory().frames_total * TEST_PAGE, dirty = total / 5;
    object = new_object(2 * total);
    for (uint64_t done = 0; done < dirty; done += PIECE) {
        CHECK_EQ(pwrite(object, data, PIECE, (off_t)done), PIECE);
    }
    for (uint64_t done = dirty; done < dirty + total; done += PIECE) {
        CHECK_EQ(pread(object, data, PIECE, (off_t)done), PIECE);
    }
    size_t bytes = total * 7 / 10 / TEST_PAGE * TEST_PAGE;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (size_t at = 0; at < bytes; at += TEST_PAGE) {
        memory[at] = 1;
    }
    CHECK_OK(munmap(memory, bytes));
    end(object);
}

static void makes_room(void) { make_room(ENDLESS); }
static void makes_room_slowly(void) { make_room(SLOW); }

static void no_exits(void) {
    int object = begin(64 * TEST_PAGE);
    struct asi_counters before, after;

    check_read(object, 60 * TEST_PAGE, TEST_PAGE);
    before = penumbra_counters(0);
    check_read(object, 0, 16 * TEST_PAGE);
    read_page_zero(&object);
    volatile uint8_t *map = mmap(NULL, 64 * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    CHECK_EQ(map[40 * TEST_PAGE], test_byte(40 * TEST_PAGE));
    map[41 * TEST_PAGE] = 'm';
    CHECK_EQ(pwrite(object, "xyz", 3, 50 * TEST_PAGE), 3);
    CHECK_OK(fsync(object));
    after = penumbra_counters(0);
    struct asi_counters pagers = penumbra_counters(pager);
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
        CHECK_EQ(penumbra_exits(&pagers), 0);
    }
    CHECK_OK(munmap((void *)map, 64 * TEST_PAGE));
    end(object);
}

static const struct test_case cases[] = {
    {"content", content},
    {"mapped", mapped},
    {"holes_and_tail", holes_and_tail},
    {"execute", execute},
    {"read_ahead", read_ahead},
    {"write_and_sync", write_and_sync},
    {"write_mapped", write_mapped},
    {"move_in", move_in},
    {"store_fails", store_fails},
    {"one_page_two_clients", one_page_two_clients},
    {"cut_while_filling", cut_while_filling},
    {"write_while_storing", write_while_storing},
    {"answers_with_errors", answers_with_errors},
    {"never_answers", never_answers},
    {"answers_late", answers_late},
    {"answers_twice", answers_twice},
    {"keeps_grants", keeps_grants},
    {"dies_when_asked", dies_when_asked},
    {"is_killed_with_many_clients", is_killed_with_many_clients},
    {"client_is_killed", client_is_killed},
    {"reads_its_own", reads_its_own},
    {"larger_than_memory", larger_than_memory},
    {"maps_more_than_memory", maps_more_than_memory},
    {"writes_more_than_memory", writes_more_than_memory},
    {"locked_stays", locked_stays},
    {"write_much", write_much},
    {"makes_room", makes_room},
    {"makes_room_slowly", makes_room_slowly},
    {"no_exits", no_exits},
};
TEST_MAIN(cases)
