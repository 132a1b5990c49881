/*
 * Families: each in a directory of its own, as a user of its own, in a session of its own. The supervisor watches how
 * many calls each thread has made: one that stands still is sent a signal, and ended when that does not help.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum {
    POLL_US = 2000,
    POKE_AFTER = 2,
    KILL_AFTER = 16,
    HIGHEST_DESCRIPTOR = 1100,
    SWEEP_LIMIT_MS = 20000,
    MEMORY_POLLS = 2
};

/* What the supervisor knows of a place where a family may be. */
static struct place {
    pid_t leader; /* 0: none */
    unsigned still[FUZZ_LANES];
    uint64_t seen[FUZZ_LANES];
    uint64_t killed_ns; /* 0: not killed */
} places[FUZZ_FAMILIES];

static uint64_t calls_done;

uint64_t fuzz_calls_done(void) { return calls_done; }

/* --- In the family ------------------------------------------------------------------------------------------------ */

static void wake(int number) { (void)number; }

static struct fuzz_process process;

static void run_thread(unsigned index) {
    unsigned lane = process.index * FUZZ_THREADS + index;
    struct fuzz_thread thread = {.process = &process, .lane = &process.family->lane[lane], .index = index};
    thread.random.state = fuzz_mix(fuzz_mix(settings.seed) + process.family->number * FUZZ_LANES + lane);
    thread.lane->tid = (int32_t)syscall(SYS_gettid);
    thread.lane->pid = getpid();
    for (unsigned i = 0; i < 8; i++) {
        thread.results[i] = -1;
    }
    fuzz_lane_run(&thread, settings.per_lane);
    thread.lane->tid = 0;
}

static void *run_in_thread(void *argument) {
    run_thread((unsigned)(uintptr_t)argument);
    return NULL;
}

/* A thread may end this process, or itself, at any call. */
static _Noreturn void run_process(unsigned threads) {
    for (unsigned i = 1; i < threads; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, run_in_thread, (void *)(uintptr_t)i);
    }
    run_thread(0);
    for (unsigned i = 1; i < threads; i++) { /* whoever is still at it has a moment */
        for (unsigned polls = 0; polls < 20 && process.family->lane[process.index * FUZZ_THREADS + i].tid != 0;
             polls++) {
            usleep(1000);
        }
    }
    fuzz_syscall3(SYS_exit_group, 0, 0, 0);
    abort();
}

/* What the supervisor has open is not a child's: a mount stays as long as anybody has it. */
static void drop_descriptors(int first) {
    for (int fd = first; fd < HIGHEST_DESCRIPTOR; fd++) {
        close(fd);
    }
}

/* Nothing of the supervisor's but a place to write to. */
static void enter(unsigned place, bool root) {
    char path[64];
    uid_t user = (uid_t)(FUZZ_FIRST_UID + place);
    const struct sigaction action = {.sa_handler = wake};
    snprintf(path, sizeof path, FUZZ_DIRECTORY "/%u", place);
    drop_descriptors(settings.trace ? 3 : 0);
    if (chdir(path) != 0) {
        _exit(1);
    }
    for (int fd = settings.trace ? 3 : 0; fd < 3; fd++) {
        open("output", O_RDWR | O_CREAT, 0600);
    }
    setsid();
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (!root && (setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0)) {
        _exit(1);
    }
}

static _Noreturn void lead(struct fuzz_family *family, unsigned place, bool root) {
    struct fuzz_random random = {fuzz_mix(settings.seed ^ fuzz_mix(family->number))};
    enter(place, root);
    process = (struct fuzz_process){.family = family, .root = root};
    fuzz_process_prepare(&process);
    /* What both have, so that they meet in it. */
    struct fuzz_thread maker = {.process = &process, .lane = &family->lane[0], .random = {fuzz_next(&random)}};
    for (unsigned i = 0; i < 10; i++) {
        fuzz_make_object(&maker);
    }
    unsigned threads = 1 + (unsigned)fuzz_below(&random, FUZZ_THREADS);
    if (fuzz_one_in(&random, 2)) {
        pid_t other = fork();
        if (other == 0) {
            process.index = 1;
            run_process(1 + (unsigned)fuzz_below(&random, FUZZ_THREADS));
        }
    }
    run_process(threads);
}

/* --- Starting and ending ------------------------------------------------------------------------------------------ */

void fuzz_remove_tree(const char *path) {
    char below_it[1200];
    struct dirent *entry;
    DIR *list = opendir(path);
    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(below_it, sizeof below_it, "%s/%s", path, entry->d_name);
            if (unlink(below_it) != 0) {
                fuzz_remove_tree(below_it);
            }
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    rmdir(path);
}

static void start(unsigned place, uint64_t number, bool root) {
    struct fuzz_family *family = &fuzz->family[place];
    char path[64];
    memset(family, 0, sizeof *family);
    memset(&places[place], 0, sizeof places[place]);
    family->number = number;
    snprintf(path, sizeof path, FUZZ_DIRECTORY "/%u", place);
    fuzz_remove_tree(path);
    mkdir(path, 0700);
    if (chown(path, root ? 0 : (uid_t)(FUZZ_FIRST_UID + place), 0) != 0) {
        perror("fuzz: chown");
    }
    if (settings.served) {
        fuzz_server_start(place, number, path);
    }
    pid_t leader = fork();
    if (leader == 0) {
        lead(family, place, root);
    }
    places[place].leader = leader > 0 ? leader : 0;
}

/* Everything of one user's. In a child that is that user, so that nobody else can be meant. */
static void kill_all_of(uid_t user) {
    pid_t killer = fork();
    if (killer == 0) {
        drop_descriptors(0);
        if (setresuid(user, user, user) == 0) {
            for (int i = 0; i < 1000 && kill(-1, SIGKILL) == 0; i++) {
                usleep(200);
            }
        }
        _exit(0);
    }
    while (killer > 0 && waitpid(killer, NULL, 0) < 0 && errno == EINTR) {
    }
}

/*
 * Of root's families there are two processes at most, and what they have forked, in a session that is a group. Others
 * may have left it, and a parent in vfork() ends only when its child has.
 */
static void kill_family(unsigned place) {
    pid_t leader = places[place].leader;
    if (leader > 1) {
        kill(-leader, SIGKILL);
        kill(leader, SIGKILL);
        kill_all_of((uid_t)(FUZZ_FIRST_UID + place));
    }
}

void fuzz_sweep(void) {
    for (unsigned place = 0; place < settings.at_once; place++) {
        kill_all_of((uid_t)(FUZZ_FIRST_UID + place));
    }
}

/* --- The watch ---------------------------------------------------------------------------------------------------- */

static void note_end(pid_t pid) {
    for (unsigned place = 0; place < settings.at_once; place++) {
        if (places[place].leader == pid) {
            kill(-pid, SIGKILL);
            kill_all_of((uid_t)(FUZZ_FIRST_UID + place));
            for (unsigned lane = 0; lane < FUZZ_LANES; lane++) {
                calls_done += fuzz->family[place].lane[lane].calls;
            }
            fuzz_server_end(place);
            places[place].leader = 0;
        }
    }
}

static _Noreturn void hang(unsigned place) {
    const struct fuzz_family *family = &fuzz->family[place];
    printf("fuzz: FAIL HANG family %llu cannot be killed: process %d", (unsigned long long)family->number,
           (int)places[place].leader);
    for (unsigned lane = 0; lane < FUZZ_LANES; lane++) {
        if (family->lane[lane].pid != 0) {
            printf(", lane %u (process %d, thread %d) in %s after %llu calls", lane, family->lane[lane].pid,
                   family->lane[lane].tid, fuzz_call_name(family->lane[lane].number),
                   (unsigned long long)family->lane[lane].calls);
        }
    }
    printf("\n");
    fflush(stdout);
    test_sleep_ms(3000);
    exit(3);
}

static void watch(unsigned place) {
    struct fuzz_family *family = &fuzz->family[place];
    struct place *known = &places[place];
    unsigned running = 0, standing = 0;
    for (unsigned lane = 0; lane < FUZZ_LANES; lane++) {
        uint64_t calls = family->lane[lane].calls;
        int32_t pid = family->lane[lane].pid, tid = family->lane[lane].tid;
        known->still[lane] = calls == known->seen[lane] ? known->still[lane] + 1 : 0;
        known->seen[lane] = calls;
        running += tid > 1;
        standing += tid > 1 && known->still[lane] > KILL_AFTER;
        if (tid > 1 && pid > 1 && known->still[lane] >= POKE_AFTER && known->still[lane] <= KILL_AFTER) {
            syscall(SYS_tgkill, pid, tid, SIGALRM);
        }
    }
    known->still[0] += running == 0; /* it ends, or has become another program */
    if (standing > 0 || (running == 0 && known->still[0] > 2 * KILL_AFTER)) {
        kill_family(place);
        known->killed_ns = known->killed_ns != 0 ? known->killed_ns : test_now_ns();
        if (test_now_ns() - known->killed_ns > SWEEP_LIMIT_MS * 1000000ull) {
            hang(place);
        }
    }
}

/*
 * Whoever needs a page when there is none is killed, and that may be the supervisor. So the families go before that.
 */
static void watch_memory(unsigned poll) {
    if (poll % MEMORY_POLLS != 0) {
        return;
    }
    struct asi_memory memory = penumbra_memory();
    if (memory.frames_free > memory.frames_total / 8) {
        return;
    }
    printf("fuzz: memory is short: %llu of %llu frames free, GLOBAL %llu, LOCAL %llu, USER %llu, SECRET %llu\n",
           (unsigned long long)memory.frames_free, (unsigned long long)memory.frames_total,
           (unsigned long long)memory.frames_global, (unsigned long long)memory.frames_local,
           (unsigned long long)memory.frames_user, (unsigned long long)memory.frames_secret);
    for (unsigned place = 0; place < settings.at_once; place++) {
        const struct fuzz_family *family = &fuzz->family[place];
        printf("fuzz: family %llu is killed; calls:", (unsigned long long)family->number);
        for (unsigned lane = 0; lane < FUZZ_LANES; lane++) {
            printf(" %s", family->lane[lane].pid != 0 ? fuzz_call_name(family->lane[lane].number) : "-");
        }
        printf("\n");
        kill_family(place);
    }
}

uint64_t fuzz_run_families(uint64_t first, uint64_t end, uint64_t calls, bool root) {
    uint64_t next = first, begun = calls_done;
    for (unsigned poll = 0;; poll++) {
        unsigned running = 0;
        watch_memory(poll);
        int status;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            if (!fuzz_server_note_end(pid)) {
                note_end(pid);
            }
        }
        bool more = next < end && calls_done - begun < calls;
        for (unsigned place = 0; place < settings.at_once; place++) {
            if (places[place].leader == 0 && more && next < end) {
                start(place, next++, root);
            } else if (places[place].leader != 0) {
                watch(place);
            }
            running += places[place].leader != 0;
        }
        if (running == 0 && !more) {
            return next;
        }
        usleep(POLL_US);
    }
}
