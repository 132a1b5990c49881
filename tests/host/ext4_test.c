/*
 * The ext4 server's core on this machine: operations at random against a model, killed and cut off from power at
 * random, with e2fsck as the judge; full disks, large directories, damaged images.
 *
 * usage: ext4_test DIRECTORY [seconds]      DIRECTORY: for images. SEED in the environment.
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

static const char *place;
static unsigned seed;

const char *image(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s.img", place, name);
    return path;
}

int shell(const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

struct test_disk *make_disk(const char *name, const char *options, unsigned megabytes) {
    if (shell("rm -f %s; mke2fs -q -F -t ext4 %s %s %uM >/dev/null 2>&1", image(name), options, image(name),
              megabytes) != 0) {
        fail("mke2fs %s", options);
    }
    return test_disk_load(image(name));
}

void check_clean(const struct test_disk *disk, const char *what) {
    test_disk_save(disk, image("check"));
    if (shell("e2fsck -fn %s > %s/fsck.log 2>&1", image("check"), place) != 0) {
        shell("cat %s/fsck.log >&2; cp %s %s/failed.img", place, image("check"), place);
        fail("%s: e2fsck -fn is not content (seed %u)", what, seed);
    }
}

void mount_volume(struct volume *volume, struct test_disk *disk, void *memory) {
    char note[160];
    int error = volume_mount(volume, &disk->disk, memory, note);
    if (error != 0) {
        test_disk_save(disk, image("failed"));
        fail("mount: %s (seed %u)", strerror(error), seed);
    }
}

void unmount_volume(struct volume *volume) {
    if (volume_unmount(volume) != 0) {
        fail("unmount");
    }
    volume_destroy(volume);
}

void *shared_memory(size_t size) { return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }

static void fresh_model(struct model *model) {
    *model = (struct model){.next_id = 1, .next_version = 1};
    model->nodes[0] = (struct model_node){.used = true, .mode = S_IFDIR | 0755, .links = 3, .number = 2};
    model->nodes[1] = (struct model_node){.used = true, .mode = S_IFDIR | 0700, .links = 2, .number = 11};
}

/* Takes away lost+found, so that the model has all there is. */
static void start_empty(struct volume *volume, struct model *model) {
    struct fs_request request = {.node = 2, .request = 1};
    if (call(volume, FS_RMDIR, &request, "lost+found", NULL)->label != 0) {
        fail("rmdir lost+found");
    }
    fresh_model(model);
    model->nodes[0].links = 2;
    model->nodes[1].links = 0;
}

static void check_against(struct volume *volume, const struct model *model, bool strict, const char *what) {
    const char *error = compare_names(volume, model);
    error = error != NULL ? error : compare_content(volume, model, strict);
    if (error != NULL) {
        volume_unmount(volume);
        test_disk_save((struct test_disk *)volume->disk, image("failed"));
        fail("%s: %s (seed %u)", what, error, seed);
    }
}

/* Files that have no name any more are freed by a clean end, and by a mount after a power cut. */
static void forget_orphans(struct model *model) {
    for (unsigned node = 0; node < MODEL_NODES; node++) {
        if (model->nodes[node].links == 0) {
            model->nodes[node].used = false;
        }
    }
}

/* --- Kills -------------------------------------------------------------------------------------------------------- */

/* What a child was at when it was killed. */
struct progress {
    struct model models[2];
    volatile unsigned current;
    volatile uint64_t done; /* requests that are in the model */
    struct op op;           /* the next one, if `chosen` is its number */
    volatile uint64_t chosen;
    bool has_root;
};

static void run_until_killed(struct test_disk *disk, void *memory, struct progress *progress) {
    struct volume volume;
    mount_volume(&volume, disk, memory);
    for (;;) {
        struct model *next = &progress->models[!progress->current];
        *next = progress->models[progress->current];
        if (progress->chosen == progress->done) {
            progress->op = choose_operation(next, progress->done + 1);
            __sync_synchronize();
            progress->chosen = progress->done + 1;
        }
        run_operation(&volume, next, &progress->op);
        __sync_synchronize();
        /* Both at once: the low bit of `done` says which model counts. */
        progress->done++;
        progress->current = progress->done & 1;
    }
}

static void kill_at_random(struct test_disk *disk, void *memory, struct progress *progress) {
    pid_t child = fork();
    if (child == 0) {
        srand(seed);
        run_until_killed(disk, memory, progress);
    }
    struct timespec pause = {.tv_nsec = rand() % (seed % 2 == 0 ? 1500000 : 30000000)}; /* at its mount, too */
    nanosleep(&pause, NULL);
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail("the child ended by itself (seed %u)", seed);
    }
    progress->current = progress->done & 1;
}

static void test_kills(const char *options, unsigned rounds) {
    struct test_disk *disk = make_disk("kills", options, 24);
    void *memory = shared_memory(survivor_size(4096));
    struct progress *progress = shared_memory(sizeof *progress);
    struct volume volume;
    mount_volume(&volume, disk, memory);
    start_empty(&volume, &progress->models[1]);
    progress->done = progress->chosen = progress->current = 1;
    volume_destroy(&volume);
    for (unsigned round = 1; round <= rounds; round++, seed++) {
        kill_at_random(disk, memory, progress);
        mount_volume(&volume, disk, memory);
        struct model *model = &progress->models[progress->current];
        if (progress->chosen > progress->done) {
            run_operation(&volume, model, &progress->op);
            progress->chosen = progress->done; /* the number is used, though: go on behind it */
            progress->done++;
            progress->chosen = progress->done;
            progress->current = progress->done & 1;
            progress->models[progress->current] = *model;
            model = &progress->models[progress->current];
        }
        check_against(&volume, model, true, "after a kill");
        if (round % 10 == 0) {
            unmount_volume(&volume);
            forget_orphans(model);
            check_clean(disk, "after kills");
        } else {
            volume_destroy(&volume);
        }
    }
    printf("  %u kills, %llu operations: %s\n", rounds, (unsigned long long)progress->done, options);
    munmap(progress, sizeof *progress);
    munmap(memory, survivor_size(4096));
    test_disk_free(disk);
}

/* --- Power cuts --------------------------------------------------------------------------------------------------- */

enum { STATES_MAX = 600 };

/* Operations until the power goes. states[0] is what is promised; *count states may be found. */
static void run_until_cut(struct test_disk *disk, struct volume *volume, struct model *states, unsigned *count,
                          uint64_t *request) {
    *count = 1;
    for (unsigned extra = 0; !disk->cut || extra < 3; extra += disk->cut) {
        if (*count == STATES_MAX) {
            disk->writes_left = 0; /* long enough */
        }
        struct model *next = &states[*count < STATES_MAX ? *count : STATES_MAX - 1];
        *next = states[*count - 1 < STATES_MAX - 1 ? *count - 1 : STATES_MAX - 2];
        struct op op = choose_operation(next, ++*request);
        if (*count >= STATES_MAX - 1) {
            op.operation = OP_SYNC;
        }
        bool before = disk->cut;
        run_operation(volume, next, &op);
        if (op.operation == OP_SYNC && !disk->cut) {
            states[0] = *next;
            *count = 1;
        } else if (op.operation == OP_SYNC) {
            *next = next[-1]; /* it promised nothing */
        } else if (!before) {
            *count += *count < STATES_MAX;
        }
    }
}

static bool find_state(struct volume *volume, const struct model *states, unsigned count, unsigned *found) {
    for (unsigned i = count; i-- > 0;) {
        if (compare_names(volume, &states[i]) == NULL) {
            *found = i;
            return true;
        }
    }
    return false;
}

/* What was stored after the state that was found may be there all the same: content is not in the journal. */
static void note_later_stores(struct model *states, unsigned found, unsigned count) {
    for (unsigned later = found + 1; later < count; later++) {
        for (unsigned node = 1; node < MODEL_NODES; node++) {
            struct model_node *was = &states[found].nodes[node], *is = &states[later].nodes[node];
            for (unsigned page = 0; page < MODEL_PAGES && was->used && is->used && was->id == is->id; page++) {
                was->pages[page].touched |= is->pages[page].touched;
            }
        }
    }
}

/* What is there now counts, whatever was stored before the cut. */
static void store_all_again(struct volume *volume, struct model *model) {
    for (unsigned node = 1; node < MODEL_NODES; node++) {
        if (model->nodes[node].used && S_ISREG(model->nodes[node].mode)) {
            struct op op = {.operation = OP_STORE, .node2 = node, .page = 0, .pages = MODEL_PAGES};
            run_operation(volume, model, &op);
        }
    }
}

static void test_power_cuts(const char *options, unsigned rounds) {
    struct test_disk *disk = make_disk("cuts", options, 24);
    void *memory = shared_memory(survivor_size(4096));
    struct model *states = calloc(STATES_MAX, sizeof *states);
    struct volume volume;
    uint64_t request = 1;
    unsigned promised = 0;
    mount_volume(&volume, disk, memory);
    start_empty(&volume, &states[0]);
    volume_commit(&volume);
    for (unsigned round = 1; round <= rounds; round++, seed++) {
        unsigned count, found;
        srand(seed);
        disk->writes_left = rand() % (round % 3 == 0 ? 3000 : 300);
        run_until_cut(disk, &volume, states, &count, &request);
        volume_destroy(&volume);
        memset(memory, 0, survivor_size(4096));
        test_disk_power_cycle(disk);
        if (round % 5 == 0) { /* e2fsck replays what this journal has */
            test_disk_save(disk, image("cut"));
            if (shell("e2fsck -fy %s > %s/fsck.log 2>&1; e2fsck -fn %s >> %s/fsck.log 2>&1", image("cut"), place,
                      image("cut"), place) != 0 ||
                shell("grep -qE 'corrupt|checksum|WARNING' %s/fsck.log", place) == 0) {
                shell("cat %s/fsck.log >&2", place);
                fail("after a power cut e2fsck is not content (seed %u)", seed);
            }
        }
        mount_volume(&volume, disk, memory);
        if (!find_state(&volume, states, count, &found)) {
            fail("after a power cut: none of %u states is there; the promised one: %s (seed %u)", count,
                 compare_names(&volume, &states[0]), seed);
        }
        promised += found == 0;
        note_later_stores(states, found, count);
        const char *error = compare_content(&volume, &states[found], false);
        if (error != NULL) {
            fail("after a power cut: %s (seed %u)", error, seed);
        }
        states[0] = states[found];
        forget_orphans(&states[0]);
        store_all_again(&volume, &states[0]);
        struct op sync = {.operation = OP_SYNC};
        run_operation(&volume, &states[0], &sync);
        if (round % 10 == 0) {
            unmount_volume(&volume);
            forget_orphans(&states[0]);
            check_clean(disk, "after power cuts");
            mount_volume(&volume, disk, memory);
        }
    }
    volume_destroy(&volume);
    printf("  %u power cuts, %llu operations, %u came back just as promised: %s\n", rounds, (unsigned long long)request,
           promised, options);
    free(states);
    munmap(memory, survivor_size(4096));
    test_disk_free(disk);
}

int main(int argc, char **argv) {
    static const char *const kinds[] = {"-b 4096",
                                        "-b 1024",
                                        "-b 2048 -O ^metadata_csum",
                                        "-b 1024 -O ^64bit,^metadata_csum",
                                        "-b 4096 -I 128",
                                        "-b 1024 -O ^extent,^64bit,^flex_bg"};
    place = argc > 1 ? argv[1] : "/tmp";
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 20;
    seed = getenv("SEED") != NULL ? (unsigned)atoi(getenv("SEED")) : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_cases();
    for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        test_kills(kinds[kind], rounds);
        test_power_cuts(kinds[kind], rounds);
    }
    printf("ext4: all tests passed\n");
    return 0;
}
