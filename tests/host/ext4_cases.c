/*
 * Single things that the ext4 server has to get right: many names in a directory, one that Linux has indexed, a full
 * disk, a long file cut short, every kind of attribute, and images that are damaged at random.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/host/ext4_test.h"
#include "user/ext4/content.h"

enum { ROOT = 2, MANY = 100000 };

static uint64_t request_number = 1;

static uint32_t change(struct volume *volume, uint32_t label, struct fs_request request, const char *name,
                       const char *name2, struct fs_attributes *out) {
    request.request = ++request_number;
    const struct answer *answer = call(volume, label, &request, name, name2);
    if (out != NULL) {
        *out = answer->reply.attributes;
    }
    return answer->label;
}

static void must(uint32_t label, const char *what) {
    if (label != 0) {
        fail("%s: %s", what, strerror((int)label));
    }
}

static uint64_t make(struct volume *volume, uint64_t directory, const char *name, uint32_t mode, const char *target) {
    struct fs_attributes made;
    struct fs_request request = {.node = directory, .attributes = {.mode = mode, .device = 0x12345}};
    must(change(volume, FS_CREATE, request, name, target, &made), name);
    return made.node;
}

static uint32_t look_up(struct volume *volume, uint64_t directory, const char *name, struct fs_attributes *out) {
    return change(volume, FS_LOOKUP, (struct fs_request){.node = directory}, name, NULL, out);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned count_names(struct volume *volume, uint64_t directory) {
    struct fs_request request = {.node = directory};
    for (unsigned count = 0;;) {
        struct answer *answer = call(volume, FS_READDIR, &request, NULL, NULL);
        must(answer->label, "list");
        if (answer->reply.count == 0) {
            return count;
        }
        for (size_t at = 0; at < answer->reply.count; count++) {
            const struct fs_entry *entry = (const void *)(answer->extra + at);
            request.position = entry->next;
            at += entry->bytes;
        }
    }
}

/* Made, looked up, listed and removed, every third of them first. */
static void test_many_names(void) {
    struct test_disk *disk = make_disk("many", "-b 4096 -N 120000", 256);
    void *memory = shared_memory(survivor_size(4096));
    struct volume volume;
    char name[32];
    double start = seconds();
    mount_volume(&volume, disk, memory);
    uint64_t directory = make(&volume, ROOT, "many", S_IFDIR | 0755, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "name-%u", i);
        make(&volume, directory, name, S_IFREG | 0644, NULL);
    }
    double made = seconds();
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "name-%u", i);
        must(look_up(&volume, directory, name, NULL), name);
    }
    double found = seconds();
    if (count_names(&volume, directory) != MANY) {
        fail("a directory of %d names has %u", MANY, count_names(&volume, directory));
    }
    unmount_volume(&volume);
    check_clean(disk, "many names");
    mount_volume(&volume, disk, memory);
    for (unsigned step = 0; step < 3; step++) {
        for (unsigned i = step; i < MANY; i += 3) {
            struct fs_attributes gone;
            snprintf(name, sizeof name, "name-%u", i);
            must(change(&volume, FS_UNLINK, (struct fs_request){.node = directory}, name, NULL, &gone), name);
            must(change(&volume, FS_FORGET, (struct fs_request){.node = gone.node}, NULL, NULL, NULL), "forget");
        }
    }
    must(change(&volume, FS_RMDIR, (struct fs_request){.node = ROOT}, "many", NULL, NULL), "rmdir many");
    unmount_volume(&volume);
    check_clean(disk, "many names removed");
    printf("  %d names made in %.1f s, found in %.1f s\n", MANY, made - start, found - made);
    test_disk_free(disk);
}

/* A directory that e2fsck -D has indexed: read, names taken away and added. */
static void test_indexed(const char *options) {
    char command[512];
    snprintf(command, sizeof command,
             "d=$(mktemp -d); (cd $d; mkdir x; seq -f 'x/file-with-a-name-%%g' 3000 | xargs touch);"
             " mke2fs -q -F -t ext4 %s -d $d %s 32M >/dev/null 2>&1; rm -r $d;"
             " e2fsck -fyD %s >/dev/null 2>&1; true",
             options, image("indexed"), image("indexed"));
    shell("%s", command);
    struct test_disk *disk = test_disk_load(image("indexed"));
    void *memory = shared_memory(survivor_size(4096));
    struct volume volume;
    struct fs_attributes x, file;
    mount_volume(&volume, disk, memory);
    must(look_up(&volume, ROOT, "x", &x), "x");
    struct ext2_inode inode;
    if (ext2fs_read_inode(volume.fs, (ext2_ino_t)x.node, &inode) != 0 || !(inode.i_flags & EXT2_INDEX_FL)) {
        fail("the directory is not indexed");
    }
    if (count_names(&volume, x.node) != 3000) {
        fail("an indexed directory has %u names", count_names(&volume, x.node));
    }
    for (unsigned i = 1; i <= 3000; i += 7) {
        char name[64];
        snprintf(name, sizeof name, "file-with-a-name-%u", i);
        must(change(&volume, FS_UNLINK, (struct fs_request){.node = x.node}, name, NULL, &file), name);
        must(change(&volume, FS_FORGET, (struct fs_request){.node = file.node}, NULL, NULL, NULL), "forget");
    }
    unmount_volume(&volume);
    check_clean(disk, "names taken from an indexed directory");
    mount_volume(&volume, disk, memory);
    for (unsigned i = 0; i < 500; i++) {
        char name[64];
        snprintf(name, sizeof name, "new-%u", i);
        make(&volume, x.node, name, S_IFREG | 0600, NULL);
    }
    unmount_volume(&volume);
    check_clean(disk, "names added to an indexed directory");
    test_disk_free(disk);
}

/* Until nothing fits any more; then all is freed, and as much fits again. */
static uint64_t fill_up(struct volume *volume, uint64_t node) {
    int error = 0;
    uint64_t page = 0;
    for (; error == 0; page += 16) {
        error = content_store(volume, node, page, 16, (page + 16) * CONTENT_PAGE, 0);
    }
    if (error != ENOSPC) {
        fail("a full disk: %s", strerror(error));
    }
    return page;
}

static void test_full_disk(void) {
    struct test_disk *disk = make_disk("full", "-b 1024", 16);
    void *memory = shared_memory(survivor_size(4096));
    struct volume volume;
    uint64_t pages[2];
    mount_volume(&volume, disk, memory);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t node = make(&volume, ROOT, "large", S_IFREG | 0600, NULL);
        pages[round] = fill_up(&volume, node);
        struct fs_request directory = {.node = ROOT, .attributes = {.mode = S_IFDIR | 0755}};
        if (change(&volume, FS_CREATE, directory, "no-room", NULL, NULL) != ENOSPC && round == 0) {
            must(change(&volume, FS_RMDIR, (struct fs_request){.node = ROOT}, "no-room", NULL, NULL), "rmdir");
        }
        must(change(&volume, FS_UNLINK, (struct fs_request){.node = ROOT}, "large", NULL, NULL), "unlink");
        must(change(&volume, FS_FORGET, (struct fs_request){.node = node}, NULL, NULL, NULL), "forget");
    }
    if (pages[0] > pages[1] + 64) {
        fail("%llu pages fitted, then %llu", (unsigned long long)pages[0], (unsigned long long)pages[1]);
    }
    unmount_volume(&volume);
    check_clean(disk, "a full disk");
    test_disk_free(disk);
}

/* A sparse file of 20 GiB with a page each 40 MiB, cut in steps. */
static void test_long_file(void) {
    struct test_disk *disk = make_disk("long", "-b 4096", 64);
    void *memory = shared_memory(survivor_size(4096));
    struct volume volume;
    mount_volume(&volume, disk, memory);
    uint64_t node = make(&volume, ROOT, "sparse", S_IFREG | 0600, NULL);
    for (uint64_t page = 0; page < 512 * 10240ULL; page += 10240) {
        must((uint32_t)content_store(&volume, node, page, 1, (page + 1) * CONTENT_PAGE, 0), "store");
    }
    struct fs_request request = {.node = node, .set = FS_SET_SIZE, .attributes = {.size = 3 * 10240 * 4096ULL + 5}};
    struct fs_attributes left;
    must(change(&volume, FS_SETATTR, request, NULL, NULL, &left), "cut");
    if (left.size != request.attributes.size || left.blocks < 4 * 8 || left.blocks > 6 * 8) {
        fail("after the cut: %llu bytes, %llu blocks", (unsigned long long)left.size, (unsigned long long)left.blocks);
    }
    unmount_volume(&volume);
    check_clean(disk, "a long file");
    test_disk_free(disk);
}

static void test_attributes(void) {
    struct test_disk *disk = make_disk("attributes", "-b 1024", 16);
    void *memory = shared_memory(survivor_size(4096));
    struct volume volume;
    struct fs_attributes got;
    mount_volume(&volume, disk, memory);
    uint64_t node = make(&volume, ROOT, "file", S_IFREG | 04755, NULL);
    static const int64_t times[] = {1, -1, 1700000000123456789LL, 6000000000987654321LL, -2000000000000000001LL};
    for (unsigned i = 0; i < sizeof times / sizeof *times; i++) {
        struct fs_request request = {
            .node = node,
            .set = FS_SET_ACCESSED | FS_SET_MODIFIED | FS_SET_CHANGED | FS_SET_OWNER,
            .attributes = {.accessed = times[i], .modified = times[i] + 1, .changed = times[i]}};
        request.attributes.uid = 4000000000U;
        request.attributes.gid = 70000;
        must(change(&volume, FS_SETATTR, request, NULL, NULL, NULL), "utimens");
        must(look_up(&volume, ROOT, "file", &got), "file");
        if (got.accessed != times[i] || got.modified != times[i] + 1 || got.changed != times[i] ||
            got.uid != 4000000000U || got.gid != 70000 || got.mode != (S_IFREG | 04755)) {
            fail("time %lld came back as %lld", (long long)times[i], (long long)got.accessed);
        }
    }
    for (unsigned length = 1; length < 1024; length += length < 64 ? 1 : 120) {
        char target[1024], name[16];
        memset(target, 'a', length);
        target[length] = '\0';
        snprintf(name, sizeof name, "link%u", length);
        uint64_t link = make(&volume, ROOT, name, S_IFLNK | 0777, target);
        const struct answer *answer = call(&volume, FS_READLINK, &(struct fs_request){.node = link}, NULL, NULL);
        if (answer->label != 0 || answer->reply.count != length || memcmp(answer->extra, target, length) != 0) {
            fail("a link of %u bytes", length);
        }
    }
    make(&volume, ROOT, "device", S_IFCHR | 0600, NULL);
    must(look_up(&volume, ROOT, "device", &got), "device");
    if (got.device != 0x12345) {
        fail("a device comes back as %llx", (unsigned long long)got.device);
    }
    make(&volume, ROOT, "fifo", S_IFIFO | 0600, NULL);
    make(&volume, ROOT, "socket", S_IFSOCK | 0600, NULL);
    unmount_volume(&volume);
    check_clean(disk, "attributes");
    test_disk_free(disk);
}

/* Everything that a stranger's image could make go wrong: no call may crash, whatever it answers. */
static void use_damaged(struct test_disk *disk, void *memory) {
    struct volume volume;
    char note[160];
    if (volume_mount(&volume, &disk->disk, memory, note) != 0) {
        return;
    }
    for (uint64_t node = 1; node < 64; node++) {
        struct fs_request request = {.node = node, .request = 1000 + node * 10};
        call(&volume, FS_GETATTR, &request, NULL, NULL);
        call(&volume, FS_READDIR, &request, NULL, NULL);
        call(&volume, FS_READLINK, &request, NULL, NULL);
        content_fill(&volume, node, 0, 16, 1);
        content_store(&volume, node, 3, 4, 65536, 1);
        for (unsigned name = 0; name < 6; name++) {
            request.request++;
            request.attributes.mode = S_IFREG | 0600;
            call(&volume, name % 2 == 0 ? FS_UNLINK : FS_CREATE, &request, model_name(name), NULL);
        }
        request.request++;
        call(&volume, FS_FORGET, &request, NULL, NULL);
    }
    volume_unmount(&volume);
    volume_destroy(&volume);
}

static void test_damaged(const char *options, unsigned rounds) {
    struct test_disk *disk = make_disk("damaged", options, 8);
    void *memory = shared_memory(survivor_size(4096));
    struct volume volume;
    mount_volume(&volume, disk, memory);
    for (unsigned name = 0; name < MODEL_NAMES; name++) {
        make(&volume, ROOT, model_name(name), (name % 3 == 0 ? S_IFDIR : S_IFREG) | 0755, NULL);
    }
    volume_commit(&volume);
    volume_destroy(&volume); /* a journal to be replayed, too */
    for (unsigned round = 0; round < rounds; round++) {
        memset(memory, 0, survivor_size(4096));
        memcpy(disk->now, disk->durable, disk->disk.size);
        for (unsigned i = 0; i < 1 + round % 40; i++) { /* mostly where metadata is */
            size_t limit = i % 2 == 0 ? 300 << 10 : disk->disk.size;
            disk->now[(size_t)rand() % limit] = (uint8_t)rand();
        }
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            if (freopen("/dev/null", "w", stderr) == NULL) {
                _exit(1);
            }
            use_damaged(disk, memory);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            test_disk_save(disk, image("crashed"));
            fail("a damaged image, round %u: status %x", round, status);
        }
    }
    test_disk_free(disk);
}

void test_cases(void) {
    test_attributes();
    test_indexed("-b 1024");
    test_indexed("-b 4096 -O ^metadata_csum");
    test_full_disk();
    test_long_file();
    test_damaged("-b 1024", 60);
    test_damaged("-b 1024 -O ^metadata_csum,^64bit", 120);
    test_many_names();
}
