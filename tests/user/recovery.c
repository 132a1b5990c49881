/*
 * Servers and drivers killed while they are in use: nothing that fsync promised is lost, each change is made once, and
 * no call fails. It needs the services that init starts (run=prog, services=1) and a disk at /mnt: tests/run's stage
 * disk boots it so, and looks at the disk with e2fsck afterwards.
 *
 * RECOVERY_KILLS: kills in each case [100].
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"
#include "user/lib/native.h"

enum { WRITERS = 3, RECORD = 512, FILE_RECORDS = 256, CHURN_NAMES = 40 };

/* What the writers, processes of their own, have done. Shared. */
struct board {
    volatile bool stop;
    volatile uint32_t written[WRITERS], promised[WRITERS], changes;
};

static struct board *board;

static unsigned kills_wanted(void) {
    const char *text = getenv("RECOVERY_KILLS");
    return text != NULL ? (unsigned)atoi(text) : 100;
}

static void needs_services(void) {
    struct stat file;
    test_needs_penumbra();
    if (stat("/run/ext4.pid", &file) < 0 || stat("/mnt/lost+found", &file) < 0) {
        test_skip("no services of init with a disk at /mnt");
    }
    signal(SIGINT, SIG_DFL);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    srand((unsigned)getpid());
}

/* --- Writers: records with a number and a sum, over and over, some of them synced --------------------------------- */

struct record {
    uint32_t writer, number, sum, words[RECORD / 4 - 3];
};

static void make_record(struct record *record, uint32_t writer, uint32_t number) {
    *record = (struct record){.writer = writer, .number = number};
    for (unsigned i = 0; i < sizeof record->words / 4; i++) {
        record->words[i] = (number + i) * 2654435761U + writer;
        record->sum += record->words[i];
    }
}

static const char *file_of(unsigned writer) {
    static char path[64];
    snprintf(path, sizeof path, "/mnt/recovery.%u", writer);
    return path;
}

static void write_records(unsigned writer) {
    int file = (int)CHECK_OK(open(file_of(writer), O_RDWR | O_CREAT | O_TRUNC, 0644));
    for (uint32_t number = 1; !board->stop; number++) {
        struct record record;
        make_record(&record, writer, number);
        CHECK_EQ(pwrite(file, &record, RECORD, (off_t)(number % FILE_RECORDS) * RECORD), RECORD);
        board->written[writer] = number;
        if (number % 8 == 0) {
            CHECK_OK(fsync(file));
            board->promised[writer] = number;
        }
    }
    CHECK_OK(close(file));
}

/* The last FILE_RECORDS numbers are there; `from_disk`: as far as they were promised. */
static void check_records(unsigned writer) {
    int file = (int)CHECK_OK(open(file_of(writer), O_RDONLY));
    uint32_t last = board->written[writer], first = last > FILE_RECORDS ? last - FILE_RECORDS + 1 : 1;
    CHECK(board->promised[writer] > 0);
    for (uint32_t number = first; number <= last; number++) {
        struct record record, wanted;
        make_record(&wanted, writer, number);
        CHECK_EQ(pread(file, &record, RECORD, (off_t)(number % FILE_RECORDS) * RECORD), RECORD);
        CHECK(memcmp(&record, &wanted, RECORD) == 0);
    }
    CHECK_OK(close(file));
}

/* --- Churn: each name is made, linked, renamed and removed; nothing may be done twice or not at all --------------- */

static void churn_once(unsigned number) {
    char name[64], other[64];
    struct stat file;
    snprintf(name, sizeof name, "/mnt/churn/%u", number % CHURN_NAMES);
    snprintf(other, sizeof other, "/mnt/churn/other-%u", number % CHURN_NAMES);
    int made = (int)CHECK_OK(open(name, O_WRONLY | O_CREAT | O_EXCL, 0600));
    CHECK_EQ(write(made, name, strlen(name)), (long)strlen(name));
    CHECK_OK(close(made));
    CHECK_OK(link(name, other));
    CHECK_OK(stat(other, &file));
    CHECK_EQ(file.st_nlink, 2);
    CHECK_OK(unlink(name));
    CHECK_OK(rename(other, name));
    CHECK_OK(chmod(name, 0640));
    CHECK_OK(unlink(name));
    CHECK_ERRNO(unlink(name), ENOENT);
    snprintf(other, sizeof other, "/mnt/churn/dir-%u", number % CHURN_NAMES);
    CHECK_OK(mkdir(other, 0700));
    CHECK_OK(rmdir(other));
}

static void churn(void) {
    CHECK(mkdir("/mnt/churn", 0755) == 0 || errno == EEXIST);
    while (!board->stop) {
        churn_once(board->changes);
        board->changes++;
    }
    CHECK_OK(rmdir("/mnt/churn"));
}

/* --- Killing ------------------------------------------------------------------------------------------------------ */

/* 0: it is not there yet. */
static pid_t pid_of(const char *service) {
    char path[64], text[16] = "";
    snprintf(path, sizeof path, "/run/%s.pid", service);
    int file = open(path, O_RDONLY);
    ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : 0;
    if (file >= 0) {
        close(file);
    }
    return length > 0 ? (pid_t)atoi(text) : 0;
}

/* Kills a service that was started since the last kill, after a moment at random. */
static void kill_again(const char *service, pid_t *last) {
    pid_t pid;
    do {
        test_sleep_ms(rand() % 30);
        pid = pid_of(service);
    } while (pid <= 1 || pid == *last);
    *last = pid;
    kill(pid, SIGKILL); /* it may have ended by itself: then init counts it, and gives up on one that does it often */
}

static void start_load(pid_t *children) {
    memset(board, 0, sizeof *board);
    for (unsigned writer = 0; writer <= WRITERS; writer++) {
        children[writer] = (pid_t)CHECK_OK(fork());
        if (children[writer] == 0) {
            if (writer < WRITERS) {
                write_records(writer);
            } else {
                churn();
            }
            _exit(0);
        }
    }
}

static void end_load(const pid_t *children) {
    board->stop = true;
    for (unsigned i = 0; i <= WRITERS; i++) {
        CHECK_EXITED(test_wait(children[i]));
    }
    for (unsigned writer = 0; writer < WRITERS; writer++) {
        check_records(writer);
        CHECK_OK((syscall(SYS_CACHE_DROP)));
        check_records(writer); /* from the disk */
        CHECK_OK(unlink(file_of(writer)));
    }
}

/* All that write and change names get on. */
static void wait_for_progress(void) {
    struct board before = *board;
    for (unsigned writer = 0; writer < WRITERS; writer++) {
        while (board->promised[writer] == before.promised[writer] || board->changes == before.changes) {
            test_sleep_ms(1);
        }
    }
}

static void kill_under_load(const char *const *services, unsigned count) {
    pid_t children[WRITERS + 1], last[8] = {0};
    needs_services();
    start_load(children);
    for (unsigned i = 0; i < kills_wanted(); i++) {
        unsigned which = count > 1 ? (unsigned)rand() % count : 0;
        kill_again(services[which], &last[which]);
        if (i % 4 != 0) { /* each fourth one may be killed before it serves anybody */
            wait_for_progress();
        }
    }
    wait_for_progress();
    end_load(children);
}

static const char *const all[] = {"ext4", "virtio_blk", "pci", "names", "virtio_rng"};

static void kill_ext4(void) { kill_under_load(&all[0], 1); }
static void kill_virtio_blk(void) { kill_under_load(&all[1], 1); }
static void kill_pci(void) { kill_under_load(&all[2], 1); }
static void kill_names(void) { kill_under_load(&all[3], 1); }
static void kill_virtio_rng(void) { kill_under_load(&all[4], 1); }
static void kill_any(void) { kill_under_load(all, sizeof all / sizeof *all); }

static const struct test_case cases[] = {
    {"kill_ext4", kill_ext4},   {"kill_virtio_blk", kill_virtio_blk}, {"kill_pci", kill_pci},
    {"kill_names", kill_names}, {"kill_virtio_rng", kill_virtio_rng}, {"kill_any", kill_any},
};

TEST_MAIN(cases)
