/*
 * The torture's steps on processes: trees of forks, programs executed with arguments that are checked, lent memory,
 * trees killed while they are busy, pages copied on write. See torture.h.
 *
 * Nothing survives a step: a tree that is killed has a pipe whose other end is seen to close.
 */
#include "torture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TREE_WORDS = 64, MOST_WORDS = 24, WORD_BYTES = 3000, LEFT_NAME = 90, LEFT_NAMES = 8 };

/* --- A tree of forks: each process finds what its parent had, and changes its own ------------------------------- */

static int grow(struct step *step, uint64_t *words, unsigned depth) {
    uint64_t expected = words[0];
    unsigned children = depth == 0 ? 0 : (unsigned)step_between(step, 1, 3);
    pid_t pids[3];
    for (unsigned i = 0; i < children; i++) {
        struct step own = step_split(step);
        pids[i] = step_fork(step);
        if (pids[i] == 0) {
            for (unsigned j = 0; j < TREE_WORDS; j++) {
                STEP_CHECK_EQ(&own, words[j], expected + j);
                words[j] += depth * 1000;
            }
            _exit(grow(&own, words, depth - 1));
        }
        words[TREE_WORDS + i] = i;
    }
    for (unsigned i = 0; i < children; i++) {
        if (pids[i] > 0) {
            step_reap(step, pids[i], (int)(depth - 1));
        }
    }
    for (unsigned j = 0; j < TREE_WORDS; j++) {
        STEP_CHECK_EQ(step, words[j], expected + j);
    }
    return (int)depth;
}

void step_fork_tree(struct step *step) {
    uint64_t words[TREE_WORDS + 3];
    uint64_t first = step_random(step);
    for (unsigned i = 0; i < TREE_WORDS; i++) {
        words[i] = first + i;
    }
    grow(step, words, (unsigned)step_between(step, 1, 3));
}

/* --- Programs with arguments ----------------------------------------------------------------------------------- */

static uint64_t hash_words(char *const *words, uint64_t hash) {
    for (; *words != NULL; words++) {
        for (const char *at = *words; *at != '\0'; at++) {
            hash = (hash ^ (uint8_t)*at) * 0x100000001b3;
        }
        hash = hash * 31 + 7;
    }
    return hash;
}

static int status_of(uint64_t hash) { return (int)(hash >> 20 & 63); }

extern char **environ;

int torture_child(int argc, char **argv) {
    static char zeros[3 * TORTURE_PAGE];
    (void)argc;
    for (size_t i = 0; i < sizeof(zeros); i++) {
        if (zeros[i] != 0) {
            return TORTURE_FAILED;
        }
        zeros[i] = (char)i;
    }
    return status_of(hash_words(environ, hash_words(argv, 1)));
}

/* Words of letters, their number and lengths at random, in `text`; NULL at the end. */
static void make_words(struct step *step, char **words, unsigned count, char *text, size_t size) {
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t length = step_below(step, 4) == 0 ? step_below(step, 600) : step_below(step, 20);
        words[i] = text + used;
        for (size_t j = 0; j < length && used + 2 < size; j++) {
            text[used++] = (char)('a' + step_below(step, 26));
        }
        text[used] = '\0';
        used += used + 1 < size;
    }
    words[count] = NULL;
}

struct execution {
    char *argv[MOST_WORDS + 3], *envp[MOST_WORDS + 1];
    char text[2][WORD_BYTES];
    int status;
};

static void plan_execution(struct step *step, struct execution *plan) {
    static char option[] = "--child";
    plan->argv[0] = torture->program;
    plan->argv[1] = option;
    make_words(step, plan->argv + 2, (unsigned)step_below(step, MOST_WORDS), plan->text[0], WORD_BYTES);
    make_words(step, plan->envp, (unsigned)step_below(step, MOST_WORDS), plan->text[1], WORD_BYTES);
    plan->status = status_of(hash_words(plan->envp, hash_words(plan->argv, 1)));
}

static void execute(struct step *step, struct execution *plan) {
    execve(plan->argv[0], plan->argv, plan->envp);
    step_fail(step, __FILE__, __LINE__, "execve returned");
}

void step_exec(struct step *step) {
    struct execution plan;
    plan_execution(step, &plan);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        execute(step, &plan);
    }
    if (pid > 0) {
        step_reap(step, pid, plan.status);
    }
}

struct thread_execution {
    struct step *step;
    struct execution *plan;
};

static void *execute_in_thread(void *argument) {
    struct thread_execution *both = argument;
    execute(both->step, both->plan);
    return NULL;
}

static void *spin_for_ever(void *argument) {
    for (volatile uint64_t turns = 0;; turns++) {
    }
    return argument;
}

static void *sleep_for_ever(void *argument) {
    for (;;) {
        pause();
    }
    return argument;
}

/* One thread executes while others spin, sleep, or execute as well. */
void step_exec_in_thread(struct step *step) {
    struct execution plan;
    plan_execution(step, &plan);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        struct thread_execution both = {step, &plan};
        unsigned long thread;
        bool enough = step_thread(step, spin_for_ever, NULL, &thread) &&
                      step_thread(step, sleep_for_ever, NULL, &thread) &&
                      step_thread(step, execute_in_thread, &both, &thread);
        if (!enough || step_below(step, 2) == 0) {
            execute(step, &plan);
        }
        sleep_for_ever(NULL);
    }
    if (pid > 0) {
        step_reap(step, pid, plan.status);
    }
}

/* --- Lent memory ----------------------------------------------------------------------------------------------- */

void step_vfork(struct step *step) {
    struct execution plan;
    plan_execution(step, &plan);
    volatile uint64_t word = 1, wanted = step_random(step);
    bool with_program = step_below(step, 2) == 0;
    pid_t pid = vfork();
    if (pid == 0) {
        word = wanted;
        if (with_program) {
            execve(plan.argv[0], plan.argv, plan.envp);
        }
        _exit(plan.status);
    }
    if (pid < 0) {
        atomic_fetch_add(&step->lane->refused, 1);
        return;
    }
    /* The child of a process with other threads has a copy of the memory (kernel/fork.c). */
    if (step->lane_number < torture->first_in_threads) {
        STEP_CHECK_EQ(step, word, wanted);
    }
    step_reap(step, pid, plan.status);
}

/* --- A busy tree, killed --------------------------------------------------------------------------------------- */

static _Noreturn void fork_for_ever(void) {
    for (;;) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        if (pid > 0) {
            waitpid(pid, NULL, 0);
        }
    }
}

static _Noreturn void map_for_ever(void) {
    for (;;) {
        size_t bytes = 16 * TORTURE_PAGE;
        char *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; start != MAP_FAILED && i < bytes; i += TORTURE_PAGE) {
            start[i] = 1;
        }
        munmap(start, bytes);
    }
}

static _Noreturn void write_for_ever(struct step *step) {
    char path[64], block[TORTURE_PAGE];
    step_path(step, LEFT_NAME + (unsigned)step_below(step, LEFT_NAMES), path);
    memset(block, 0x77, sizeof(block));
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        unlink(path);
        for (int i = 0; i < 8; i++) {
            (void)!pwrite(fd, block, sizeof(block), i * 3000);
        }
        close(fd);
    }
}

static _Noreturn void be_busy(struct step *step) {
    unsigned long thread;
    switch (step_below(step, 6)) {
    case 0:
        fork_for_ever();
    case 1:
        map_for_ever();
    case 2:
        write_for_ever(step);
    case 3:
        for (int i = 0; i < 3; i++) {
            step_thread(step, spin_for_ever, NULL, &thread);
        }
        spin_for_ever(NULL);
        break;
    case 4:
        if (vfork() == 0) {
            spin_for_ever(NULL);
        }
        break;
    default:
        break;
    }
    sleep_for_ever(NULL);
    _exit(0);
}

/* Who was killed between making a file and unlinking it has left it. */
static void remove_left_files(const struct step *step) {
    char path[64];
    for (unsigned i = 0; i < LEFT_NAMES; i++) {
        step_path(step, LEFT_NAME + i, path);
        unlink(path);
    }
}

void step_kill_tree(struct step *step) {
    int ends[2];
    char byte;
    step_pipe_open(step, ends);
    unsigned size = (unsigned)step_between(step, 1, 4);
    pid_t pid = step_fork(step);
    if (pid == 0) {
        setpgid(0, 0);
        for (unsigned i = 1; i < size; i++) {
            struct step own = step_split(step);
            if (fork() == 0) {
                be_busy(&own);
            }
        }
        be_busy(step);
    }
    close(ends[1]);
    if (pid > 0) {
        setpgid(pid, pid);
        step_nap(step, 0, 12000);
        STEP_CHECK_EQ(step, kill(-pid, SIGKILL), 0);
        int status = step_wait(step, pid);
        STEP_CHECK(step, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        STEP_CHECK_EQ(step, read(ends[0], &byte, 1), 0); /* none of the tree has the other end any more */
        remove_left_files(step);
    }
    close(ends[0]);
}
