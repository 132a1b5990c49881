/* Several processors: whoever says how many there are says the same. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

/* The text of a file that is a page long at most. */
static const char *text_of(const char *path) {
    static char text[TEST_PAGE];
    int fd = (int)CHECK_OK(open(path, O_RDONLY));
    size_t length = 0;
    for (long got = 1; got > 0 && length < sizeof text - 1; length += (size_t)got) {
        got = CHECK_OK(read(fd, text + length, sizeof text - 1 - length));
    }
    text[length] = '\0';
    CHECK_OK(close(fd));
    return text;
}

/* Its lines that begin with these words. */
static int lines_with(const char *path, const char *words) {
    int count = 0;
    for (const char *line = text_of(path); line != NULL && *line != '\0';) {
        count += strncmp(line, words, strlen(words)) == 0;
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return count;
}

static int usable_cpus(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CHECK_OK(sched_getaffinity(0, sizeof set, &set));
    return CPU_COUNT(&set);
}

static void affinity_names_cpus(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CHECK_OK(sched_getaffinity(0, sizeof set, &set));
    CHECK(CPU_COUNT(&set) >= 1);
    CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN), CPU_COUNT(&set));
    int cpu = sched_getcpu();
    CHECK(cpu >= 0 && CPU_ISSET((unsigned)cpu, &set));
}

static void all_counts_agree(void) {
    test_needs_penumbra();
    const int cpus = (int)penumbra_state().cpus;
    CHECK_EQ(usable_cpus(), cpus);
    CHECK_EQ(lines_with("/proc/cpuinfo", "processor\t"), cpus);
    CHECK_EQ(lines_with("/proc/cpuinfo", "apicid\t"), cpus);
    CHECK_EQ(lines_with("/proc/stat", "cpu"), cpus + 1); /* one line for all together */
    char want[16];
    snprintf(want, sizeof want, cpus == 1 ? "0\n" : "0-%d\n", cpus - 1);
    CHECK(strcmp(text_of("/sys/devices/system/cpu/online"), want) == 0);
}

static void absent_cpus_cannot_be_chosen(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(1023, &set);
    CHECK_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
}

static const struct test_case cases[] = {
    {"affinity-names-cpus", affinity_names_cpus},
    {"all-counts-agree", all_counts_agree},
    {"absent-cpus-cannot-be-chosen", absent_cpus_cannot_be_chosen},
};

TEST_MAIN(cases)
