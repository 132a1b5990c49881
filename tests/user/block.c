/*
 * The disk driver, from its clients' side: pci and virtio_blk are started by the case, on the machine's own disk
 * (tools/run DISK=…), which is written to. The data goes from memory objects to the device by grants.
 *
 * Skipped without a disk. The driver is killed under load a few times; block.kills=N on the kernel's command line: N
 * times.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/block_abi.h"
#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/services.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { DEVICE_BLOCK = 2, SECTORS_OF_PAGE = TEST_PAGE / BLOCK_SECTOR };

static pid_t pci_server, driver;

static void start_driver(void) { driver = service_start("/sbin/virtio_blk", "0"); }

/* Returns a handle on the disk. */
static int begin(void) {
    service_needs_virtio(DEVICE_BLOCK);
    services_begin();
    pci_server = service_start("/sbin/pci", NULL);
    start_driver();
    return service_connect("block/0");
}

static void end(int disk) {
    close(disk);
    service_kill(driver);
    service_kill(pci_server);
    services_end();
}

/* --- Requests ----------------------------------------------------------------------------------------------------- */

static int new_object(uint64_t pages) { return (int)CHECK_OK(syscall(SYS_OBJECT_CREATE, pages * TEST_PAGE, -1, 0)); }

static uint32_t *map_object(int object, uint64_t pages) {
    void *at = mmap(NULL, pages * TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static int new_grant(int object, uint64_t first, uint64_t pages, enum grant_direction direction) {
    return (int)CHECK_OK(syscall(SYS_GRANT_CREATE, object, first, pages, direction));
}

/* 0, an errno that the driver answered, or -1 with errno: the call did not come through. */
static int request(int disk, uint32_t label, uint64_t sector, uint64_t offset, uint64_t bytes, int grant) {
    struct ipc_extra extra = {.timeout_ns = IPC_FOREVER, .handle_count = grant >= 0, .handles = {grant}};
    struct ipc ipc = {.label = label, .word = {sector, offset, bytes}, .extra = &extra};
    return ipc_call(disk, &ipc) < 0 ? -1 : (int)ipc.label;
}

/* Moves whole pages of an object. */
static int move(int disk, uint32_t label, uint64_t sector, int object, uint64_t first, uint64_t pages) {
    int grant = new_grant(object, first, pages, label == BLOCK_READ ? GRANT_FILL : GRANT_STORE);
    int result = request(disk, label, sector, 0, pages * TEST_PAGE, grant);
    int error = errno;
    close(grant);
    errno = error;
    return result;
}

static uint64_t disk_size(int disk) {
    struct ipc ipc = {.label = BLOCK_INFO};
    CHECK_OK(ipc_call(disk, &ipc));
    CHECK_EQ(ipc.label, 0);
    CHECK(ipc.word[1] >= TEST_PAGE && ipc.word[2] == 0);
    return ipc.word[0];
}

/* What word `i` of a page is, of which this is the `version`th content. */
static uint32_t pattern(uint64_t page, uint32_t version, unsigned i) {
    return (uint32_t)page * 2654435761U ^ version * 40503U ^ i;
}

static void fill(uint32_t *words, uint64_t page, uint32_t version) {
    for (unsigned i = 0; i < TEST_PAGE / 4; i++) {
        words[i] = pattern(page, version, i);
    }
}

static bool has(const uint32_t *words, uint64_t page, uint32_t version) {
    for (unsigned i = 0; i < TEST_PAGE / 4; i++) {
        if (words[i] != pattern(page, version, i)) {
            return false;
        }
    }
    return true;
}

/* --- Cases -------------------------------------------------------------------------------------------------------- */

static void info(void) {
    int disk = begin();
    CHECK(disk_size(disk) >= 4096);
    end(disk);
}

/* What comes with a flush is nobody's business, whatever it is. Found by the fuzzer: the driver ended. */
static void flush_with_a_file(void) {
    int disk = begin(), pair[2];
    CHECK_OK(pipe(pair));
    CHECK_EQ(request(disk, BLOCK_FLUSH, 0, 0, 0, disk), 0);
    CHECK_EQ(request(disk, BLOCK_FLUSH, 0, 0, 0, new_grant(new_object(1), 0, 1, GRANT_STORE)), 0);
    request(disk, BLOCK_FLUSH, 0, 0, 0, pair[0]); /* a pipe cannot be sent: EACCES, or it can */
    CHECK_EQ(request(disk, BLOCK_FLUSH, 0, 0, 0, -1), 0);
    CHECK(disk_size(disk) > 0);
    end(disk);
}

static void write_and_read(void) {
    static const uint64_t sizes[] = {1, 2, 7, 32, 64};
    int disk = begin(), from = new_object(64), to = new_object(64);
    uint32_t *source = map_object(from, 64), *target = map_object(to, 64);
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint64_t pages = sizes[s], sector = 8 + 1000 * s;
        for (uint64_t page = 0; page < pages; page++) {
            fill(source + page * TEST_PAGE / 4, page, (uint32_t)s);
        }
        CHECK_EQ(move(disk, BLOCK_WRITE, sector, from, 0, pages), 0);
        memset(target, 0, 64 * TEST_PAGE);
        CHECK_EQ(move(disk, BLOCK_READ, sector, to, 0, pages), 0);
        for (uint64_t page = 0; page < pages; page++) {
            CHECK(has(target + page * TEST_PAGE / 4, page, (uint32_t)s));
        }
        if (pages < 64) {
            CHECK_EQ(target[pages * TEST_PAGE / 4], 0); /* and not a byte more */
        }
    }
    end(disk);
}

/* Single sectors at odd places in the grant. */
static void parts_of_pages(void) {
    int disk = begin(), from = new_object(3), to = new_object(3);
    uint32_t *source = map_object(from, 3), *target = map_object(to, 3);
    fill(source, 1, 1);
    fill(source + TEST_PAGE / 4, 2, 1);
    int store = new_grant(from, 0, 3, GRANT_STORE), into = new_grant(to, 0, 3, GRANT_FILL);
    CHECK_EQ(request(disk, BLOCK_WRITE, 100, TEST_PAGE - BLOCK_SECTOR, 2 * BLOCK_SECTOR, store), 0);
    CHECK_EQ(request(disk, BLOCK_READ, 100, 2 * TEST_PAGE - BLOCK_SECTOR, 2 * BLOCK_SECTOR, into), 0);
    CHECK_EQ(memcmp((char *)target + 2 * TEST_PAGE - BLOCK_SECTOR, (char *)source + TEST_PAGE - BLOCK_SECTOR,
                    2 * BLOCK_SECTOR),
             0);
    CHECK_EQ(((char *)target)[2 * TEST_PAGE - BLOCK_SECTOR - 1], 0);
    CHECK_EQ(((char *)target)[2 * TEST_PAGE + BLOCK_SECTOR], 0);
    close(store);
    close(into);
    end(disk);
}

static void refusals(void) {
    int disk = begin(), object = new_object(4);
    uint64_t sectors = disk_size(disk);
    int store = new_grant(object, 0, 2, GRANT_STORE), into = new_grant(object, 0, 2, GRANT_FILL);
    CHECK_EQ(request(disk, BLOCK_READ, sectors, 0, BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, sectors - 1, 0, 2 * BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, UINT64_MAX, 0, BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, 0, 0, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, 0, 100, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, 0, 3 * TEST_PAGE, into), EINVAL); /* more than the grant */
    CHECK_EQ(request(disk, BLOCK_READ, 0, 2 * TEST_PAGE - 100, BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, UINT32_MAX, BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, 1UL << 40, BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, 0, 1UL << 40, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, 0, BLOCK_SECTOR, store), EINVAL); /* the wrong direction */
    CHECK_EQ(request(disk, BLOCK_WRITE, 0, 0, BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, 0, 0, BLOCK_SECTOR, object), EINVAL); /* no grant at all */
    CHECK_EQ(request(disk, BLOCK_READ, 0, 0, BLOCK_SECTOR, -1), EINVAL);
    CHECK_EQ(request(disk, 0x9999, 0, 0, BLOCK_SECTOR, into), EINVAL);
    CHECK_EQ(request(disk, BLOCK_READ, sectors - 1, 0, BLOCK_SECTOR, into), 0); /* and it still works */
    CHECK_EQ(request(disk, BLOCK_FLUSH, 0, 0, 0, -1), 0);
    close(store);
    close(into);
    end(disk);
}

/* The driver has no way to the bytes: what it gets can neither be mapped nor read. */
static void grant_shows_nothing(void) {
    char buffer[16];
    int disk = begin(), object = new_object(1), grant = new_grant(object, 0, 1, GRANT_STORE);
    int sent = (int)CHECK_OK(handle_mint(object, RIGHT_TRANSFER, 0)); /* of it neither can be made */
    CHECK(mmap(NULL, TEST_PAGE, PROT_READ, MAP_SHARED, grant, 0) == MAP_FAILED && errno == ENODEV);
    CHECK_ERRNO(read(grant, buffer, sizeof(buffer)), EINVAL);
    CHECK_ERRNO(syscall(SYS_GRANT_CREATE, sent, 0, 1, GRANT_STORE), EACCES);
    close(sent);
    close(grant);
    end(disk);
}

/* One of many clients: its own sectors, read back and compared. Ends with 0 if all was right. */
static void be_a_client(int disk, uint64_t number, int rounds) {
    int object = new_object(4);
    uint32_t *words = map_object(object, 4);
    uint64_t sector = 10000 + number * 4 * SECTORS_OF_PAGE;
    for (int round = 0; round < rounds; round++) {
        for (unsigned page = 0; page < 4; page++) {
            fill(words + page * TEST_PAGE / 4, number * 4 + page, (uint32_t)round);
        }
        CHECK_EQ(move(disk, BLOCK_WRITE, sector, object, 0, 4), 0);
        memset(words, 0, 4 * TEST_PAGE);
        CHECK_EQ(move(disk, BLOCK_READ, sector, object, 0, 4), 0);
        for (unsigned page = 0; page < 4; page++) {
            CHECK(has(words + page * TEST_PAGE / 4, number * 4 + page, (uint32_t)round));
        }
    }
}

static void many_in_flight(void) {
    enum { CLIENTS = 32, ROUNDS = 20 };
    int disk = begin();
    pid_t clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (pid_t)CHECK_OK(fork());
        if (clients[i] == 0) {
            be_a_client(disk, (uint64_t)i, ROUNDS);
            _exit(0);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EXITED(test_wait(clients[i]));
    }
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
    end(disk);
}

/* A client that dies with requests in flight leaves nothing, and the driver goes on. */
static void clients_die(void) {
    int disk = begin();
    for (int i = 0; i < 20; i++) {
        pid_t client = (pid_t)CHECK_OK(fork());
        if (client == 0) {
            be_a_client(disk, 50, 1000000);
        }
        usleep((unsigned)(i * 700));
        service_kill(client);
    }
    be_a_client(disk, 50, 1);
    end(disk);
}

/* --- The driver is killed ----------------------------------------------------------------------------------------- */

enum { WRITERS = 6, PAGES_OF_WRITER = 16 };

/* What each writer knows to be on the disk: the version of a page that was answered last, and the one begun last. */
struct record {
    uint32_t answered[PAGES_OF_WRITER], begun[PAGES_OF_WRITER];
};

static uint64_t page_number(int writer, uint32_t page) { return 4000 + (uint64_t)writer * PAGES_OF_WRITER + page; }

/* Writes until the driver is gone. */
static void write_until_it_dies(int disk, int writer, struct record *record) {
    int object = new_object(1);
    uint32_t *words = map_object(object, 1);
    for (uint32_t i = 0;; i++) {
        uint32_t page = i * 7 % PAGES_OF_WRITER, version = record->begun[page] + 1;
        uint64_t number = page_number(writer, page);
        fill(words, number, version);
        record->begun[page] = version;
        int result = move(disk, BLOCK_WRITE, number * SECTORS_OF_PAGE, object, 0, 1);
        if (result < 0 && errno == EPIPE) {
            _exit(0);
        }
        CHECK_EQ(result, 0);
        record->answered[page] = version;
    }
}

/* Each page is as it was answered, or as it was begun after that. */
static void check_records(int disk, struct record *records) {
    int object = new_object(1);
    uint32_t *words = map_object(object, 1);
    for (int writer = 0; writer < WRITERS; writer++) {
        for (uint32_t page = 0; page < PAGES_OF_WRITER; page++) {
            struct record *record = &records[writer];
            uint64_t number = page_number(writer, page);
            if (record->begun[page] == 0) {
                continue;
            }
            CHECK_EQ(move(disk, BLOCK_READ, number * SECTORS_OF_PAGE, object, 0, 1), 0);
            bool begun = has(words, number, record->begun[page]);
            CHECK(begun || record->answered[page] == 0 || has(words, number, record->answered[page]));
            record->answered[page] = begun ? record->begun[page] : record->answered[page];
        }
    }
    munmap(words, TEST_PAGE);
    close(object);
}

static int kills_wanted(void) {
    static char text[4096];
    int fd = open("/proc/cmdline", O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[length < 0 ? 0 : length] = '\0';
    close(fd);
    const char *word = strstr(text, "block.kills=");
    return word == NULL ? 8 : atoi(word + 12);
}

static void kill_once(int disk, struct record *records, unsigned delay_us) {
    pid_t writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (pid_t)CHECK_OK(fork());
        if (writers[i] == 0) {
            write_until_it_dies(disk, i, &records[i]);
        }
    }
    usleep(delay_us);
    service_kill(driver);
    for (int i = 0; i < WRITERS; i++) {
        CHECK_EXITED(test_wait(writers[i]));
    }
}

static void killed_under_load(void) {
    int disk = begin(), kills = kills_wanted();
    struct record *records =
        mmap(NULL, sizeof(struct record) * WRITERS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(records != MAP_FAILED);
    unsigned random = 12345;
    for (int i = 0; i < kills; i++) {
        random = random * 1103515245 + 12345;
        kill_once(disk, records, (random >> 16) % 4000);
        close(disk);
        start_driver();
        disk = service_connect("block/0");
        check_records(disk, records);
    }
    struct asi_audit_report report = penumbra_audit(ASI_BREAK_NOTHING);
    CHECK_EQ(penumbra_violations(&report), 0);
    end(disk);
}

/* The pci server, too: what it has handed out goes on, and one that is started anew hands out again. */
static void pci_killed(void) {
    int disk = begin();
    for (int i = 0; i < 10; i++) {
        service_kill(pci_server);
        be_a_client(disk, 60, 2);
        pci_server = service_start("/sbin/pci", NULL);
        be_a_client(disk, 60, 2);
        if (i % 2) {
            close(disk);
            service_kill(driver);
            start_driver();
            disk = service_connect("block/0");
        }
    }
    end(disk);
}

/* In mode asi nothing of it leaves the restricted space: neither client nor driver nor the kernel in between. */
static void no_exits(void) {
    int disk = begin();
    be_a_client(disk, 70, 3);
    struct asi_counters before = penumbra_counters(ASI_SCOPE_ALL);
    int object = new_object(4);
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(move(disk, BLOCK_WRITE, 20000, object, 0, 4), 0);
        CHECK_EQ(move(disk, BLOCK_READ, 20000, object, 0, 4), 0);
        CHECK_EQ(request(disk, BLOCK_FLUSH, 0, 0, 0, -1), 0);
    }
    struct asi_counters after = penumbra_counters(ASI_SCOPE_ALL);
    if (penumbra_state().mode == ASI_MODE_ASI) {
        CHECK_EQ(penumbra_exits(&after) - penumbra_exits(&before), 0);
    }
    end(disk);
}

static const struct test_case cases[] = {
    {"info", info},
    {"flush-with-a-file", flush_with_a_file},
    {"write-and-read", write_and_read},
    {"parts-of-pages", parts_of_pages},
    {"refusals", refusals},
    {"grant-shows-nothing", grant_shows_nothing},
    {"many-in-flight", many_in_flight},
    {"clients-die", clients_die},
    {"no-exits", no_exits},
    {"pci-killed", pci_killed},
    {"killed-under-load", killed_under_load},
};

TEST_MAIN(cases)
