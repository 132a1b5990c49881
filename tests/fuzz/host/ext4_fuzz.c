/*
 * Damaged ext4 images: real ones with bytes changed where they matter, given to the ext4 server's core. It may refuse
 * them, or serve what it finds; it must not crash, hang, or touch memory or disk that it has no business with (the
 * sanitizers and the disk below it look).
 *
 * usage: ext4_fuzz DIRECTORY [images] [seed] [first]      DIRECTORY: for images
 *
 * Image n of a seed is always the same. Each is tried in a child, so that one that crashes costs no other its turn.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/host/ext4_test.h"
#include "user/ext4/content.h"
#include "user/ext4/survivor.h"

enum { KINDS = 6, MEGABYTES = 16, NODES_KNOWN = 64, CALLS = 60, LIMIT_SECONDS = 20, BLOCK = 1024, MEMORY_BLOCK = 4096 };

static const char *place;
static uint64_t state;

static uint64_t next(void) {
    uint64_t value = state += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

static uint64_t below(uint64_t limit) { return next() % limit; }

/* What ext4_calls.c wants of its caller. */
const char *image(const char *name) {
    static char path[300];
    snprintf(path, sizeof path, "%s/%s.img", place, name);
    return path;
}

int shell(const char *format, ...) {
    char command[2000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* --- The images that are damaged ---------------------------------------------------------------------------------- */

/* Without checksums, mostly: with them nearly every change is noticed at once, and nothing behind that is tried. */
static const char *const options[KINDS] = {
    "-b 1024 -O ^metadata_csum,^64bit",
    "-b 4096 -O ^metadata_csum",
    "-b 1024 -O ^metadata_csum,^extents,^64bit",
    "-b 1024 -I 128 -O ^metadata_csum,^dir_index,^flex_bg",
    "-b 1024",
    "-b 1024 -O ^has_journal",
};

static void make_tree(void) {
    if (shell("rm -rf %s/tree; mkdir -p %s/tree/d/e/f %s/tree/many && cd %s/tree && for i in $(seq 200); do "
              "echo $i > many/a-file-with-a-longer-name-$i; done; ln -s /etc/passwd short; "
              "ln -s $(printf '%%0200d' 1) long; head -c 300000 /dev/zero | tr '\\0' x > big; truncate -s 2M sparse; "
              "for i in $(seq 0 2 60); do echo x | dd of=sparse bs=1024 seek=$((i*20)) conv=notrunc 2>/dev/null; done; "
              "ln big d/again; mkfifo fifo; echo text > d/e/f/file",
              place, place, place, place) != 0) {
        fail("the tree for the images cannot be made");
    }
}

/* The server has been at work and was ended in the middle: a journal to replay, a file that has no name. */
static void use(struct test_disk *disk) {
    struct volume volume;
    struct fs_request request = {.node = 2, .request = 1};
    char note[160];
    void *memory = calloc(1, survivor_size(MEMORY_BLOCK));
    if (volume_mount(&volume, &disk->disk, memory, note) != 0) {
        fail("a good image is not mounted: %s", note);
    }
    request.attributes.mode = S_IFREG | 0600;
    for (unsigned i = 0; i < 20; i++, request.request++) {
        char name[32];
        snprintf(name, sizeof name, "made-%u", i);
        call(&volume, FS_CREATE, &request, name, NULL);
    }
    call(&volume, FS_UNLINK, &request, "big", NULL);
    volume_commit(&volume);
    volume_destroy(&volume);
    free(memory);
}

static struct test_disk *make_image(unsigned kind) {
    char name[32];
    snprintf(name, sizeof name, "fuzz-%u", kind);
    if (shell("rm -f %s; mke2fs -q -F -t ext4 %s -d %s/tree %s %uM >/dev/null 2>&1", image(name), options[kind], place,
              image(name), MEGABYTES) != 0) {
        fail("mke2fs %s", options[kind]);
    }
    struct test_disk *disk = test_disk_load(image(name));
    if (kind < 4) { /* the last is read-only */
        use(disk);
    }
    return disk;
}

/* --- Damage ------------------------------------------------------------------------------------------------------- */

static bool is_empty(const uint8_t *block) {
    for (unsigned i = 1; i < BLOCK; i++) {
        if (block[i] != block[0]) {
            return false;
        }
    }
    return true;
}

/* The superblock often; else a block that says something. Content is one letter, so what says something is metadata. */
static uint64_t place_to_damage(const struct test_disk *disk) {
    if (below(6) == 0) {
        return 1024 + below(1024);
    }
    for (unsigned tries = 0; tries < 1000; tries++) {
        uint64_t block = below(disk->disk.size / BLOCK);
        if (!is_empty(disk->now + block * BLOCK)) {
            uint64_t offset = block * BLOCK;
            return offset + (below(3) == 0 ? below(BLOCK) : below(64) * 4);
        }
    }
    return 1024;
}

static void damage(struct test_disk *disk) {
    uint64_t offset = place_to_damage(disk);
    unsigned width = 1u << below(4);
    uint64_t value = 0, old = 0;
    offset &= ~(uint64_t)(width - 1);
    memcpy(&old, disk->now + offset, width);
    switch (below(8)) {
    case 0:
        value = old ^ 1ull << below(8 * width);
        break;
    case 1:
        value = 0;
        break;
    case 2:
        value = ~0ull;
        break;
    case 3:
        value = old + below(9) - 4;
        break;
    case 4: /* what stands elsewhere: a block, an inode, a length that there is */
        memcpy(&value, disk->now + (below(disk->disk.size / BLOCK) * BLOCK + below(BLOCK / 8) * 8), width);
        break;
    case 5:
        value = disk->disk.size / BLOCK + below(3) - 1;
        break;
    case 6:
        value = 1ull << below(64);
        break;
    default:
        value = next();
        break;
    }
    memcpy(disk->now + offset, &value, width);
}

/* A block in the place of another: two that both are what they seem. */
static void swap_blocks(struct test_disk *disk) {
    uint64_t from = place_to_damage(disk) / BLOCK * BLOCK, to = place_to_damage(disk) / BLOCK * BLOCK;
    memcpy(disk->now + to, disk->now + from, BLOCK);
}

/* --- Use ---------------------------------------------------------------------------------------------------------- */

static uint64_t known[NODES_KNOWN];

static uint64_t some_node(void) {
    return below(10) == 0 ? next() : below(6) == 0 ? below(600) : known[below(NODES_KNOWN)];
}

static void learn(uint64_t node) { known[below(NODES_KNOWN)] = node; }

static void read_directory(struct volume *volume, uint64_t node) {
    struct fs_request request = {.node = node};
    for (unsigned i = 0; i < 200; i++) {
        const struct answer *answer = call(volume, FS_READDIR, &request, NULL, NULL);
        if (answer->label != 0 || answer->reply.count == 0) {
            return;
        }
        for (uint32_t at = 0; at + sizeof(struct fs_entry) <= answer->reply.count;) {
            const struct fs_entry *entry = (const void *)(answer->extra + at);
            if (entry->bytes == 0 || entry->bytes > answer->reply.count - at ||
                entry->name_length > entry->bytes - sizeof *entry) {
                fail("an entry of a directory is not within the answer");
            }
            learn(entry->node);
            request.position = entry->next;
            at += entry->bytes;
        }
    }
}

static const char *some_name(void) {
    static const char *const names[] = {
        "d", "many", "sparse", "short", "long",  "fifo",      "a-file-with-a-longer-name-7", ".", "..", "made-3",
        "x", "e",    "f",      "file",  "again", "lost+found"};
    return names[below(sizeof names / sizeof *names)];
}

static void call_at_random(struct volume *volume, uint64_t number) {
    uint32_t label = 1 + (uint32_t)below(FS_STATFS);
    struct fs_request request = {
        .request = number, .node = some_node(), .node2 = some_node(), .position = below(4) * next()};
    request.set = (uint32_t)below(64);
    request.attributes = (struct fs_attributes){.size = below(3) == 0 ? next() : below(4000000),
                                                .mode = (uint32_t)(below(3) == 0 ? S_IFDIR : S_IFREG) | 0644};
    bool has_two = label == FS_RENAME || (label == FS_CREATE && below(4) == 0);
    const struct answer *answer = call(volume, label, &request, some_name(), has_two ? some_name() : NULL);
    if (answer->label == 0) {
        learn(answer->reply.attributes.node);
    }
}

static void use_damaged(struct test_disk *disk, void *memory) {
    struct volume volume;
    char note[160];
    if (volume_mount(&volume, &disk->disk, memory, note) != 0) {
        return;
    }
    for (unsigned i = 0; i < NODES_KNOWN; i++) {
        known[i] = i < 4 ? 2 : 11 + below(100);
    }
    read_directory(&volume, 2);
    for (unsigned i = 0; i < CALLS; i++) {
        switch (below(6)) {
        case 0:
            read_directory(&volume, some_node());
            break;
        case 1:
            content_fill(&volume, some_node(), below(8) == 0 ? next() : below(600), 1 + below(64),
                         (int)below(TEST_GRANTS));
            break;
        case 2:
            content_store(&volume, some_node(), below(8) == 0 ? next() : below(600), 1 + below(64), below(4000000),
                          (int)below(TEST_GRANTS));
            break;
        default:
            call_at_random(&volume, 1000 + i);
            break;
        }
    }
    if (below(2) == 0) {
        volume_unmount(&volume);
    }
    volume_destroy(&volume);
}

/* --- One image ---------------------------------------------------------------------------------------------------- */

static void prepare(struct test_disk *disk, uint64_t seed, uint64_t number) {
    state = seed * 0x2545f4914f6cdd1d ^ number * 0x9e3779b97f4a7c15;
    next();
    for (uint64_t i = 1 + below(below(4) == 0 ? 40 : 4); i > 0; i--) {
        if (below(20) == 0) {
            swap_blocks(disk);
        } else {
            damage(disk);
        }
    }
}

/* True when it went well. */
static bool try(struct test_disk *const *images, uint64_t seed, uint64_t number) {
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(LIMIT_SECONDS);
        struct test_disk *disk = images[number % KINDS];
        uint8_t *copy = malloc(disk->disk.size); /* what is shared stays as it is */
        memcpy(copy, disk->now, disk->disk.size);
        struct test_disk own = *disk;
        own.now = copy;
        prepare(&own, seed, number);
        use_damaged(&own, calloc(1, survivor_size(MEMORY_BLOCK)));
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (status == 0) {
        return true;
    }
    printf("FAIL ext4 image %llu of seed %llu: %s %d\n", (unsigned long long)number, (unsigned long long)seed,
           WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

int main(int argc, char **argv) {
    struct test_disk *images[KINDS];
    unsigned failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: ext4_fuzz DIRECTORY [images] [seed] [first]\n");
        return 2;
    }
    place = argv[1];
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000, seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    uint64_t first = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
    time_t began = time(NULL);
    make_tree();
    for (unsigned kind = 0; kind < KINDS; kind++) {
        images[kind] = make_image(kind);
    }
    for (uint64_t number = first; number < first + count; number++) {
        failed += !try(images, seed, number);
    }
    printf("ext4: %llu damaged images, seed %llu, %u failed, %lld s\n", (unsigned long long)count,
           (unsigned long long)seed, failed, (long long)(time(NULL) - began));
    return failed != 0;
}
