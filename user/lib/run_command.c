/*
 * One run of asirun's command. It is started by vfork: what asirun itself has in memory adds nothing to the
 * measurement, and a failed exec leaves its reason where the parent reads it, without a pipe between the two.
 */
#include "user/lib/run.h"
#include "user/lib/ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Set by the child of vfork, who shares this memory; 0: the command runs. */
static volatile int exec_error;

static void become(const struct run_plan *plan, int input, int output) {
    signal(SIGINT, SIG_DFL);
    if (dup2(input, STDIN_FILENO) >= 0 &&
        (output < 0 || (dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0))) {
        execvp(plan->command[0], plan->command);
    }
    exec_error = errno;
    _exit(127);
}

__attribute__((noinline)) static pid_t start(const struct run_plan *plan, int input, int output) {
    pid_t child = vfork();
    if (child == 0) {
        become(plan, input, output);
    }
    return child;
}

uint64_t run_command(const struct run_plan *plan, int output, int *status) {
    int input = open(plan->input, O_RDONLY | O_CLOEXEC);
    if (input < 0) {
        return 0;
    }
    exec_error = 0;
    uint64_t begin = ticks_now();
    pid_t child = start(plan, input, output);
    while (child > 0 && waitpid(child, status, 0) < 0 && errno == EINTR) {
    }
    uint64_t ticks = ticks_now() - begin;
    int reason = child < 0 ? errno : exec_error;
    close(input);
    errno = reason;
    return reason != 0 ? 0 : ticks;
}

bool run_before(const struct run_plan *plan) { return plan->before == NULL || system(plan->before) == 0; }
