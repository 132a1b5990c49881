/* Lab 4: a note that a program leaves for itself in the kernel, and that nobody else's kernel maps. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/user/lib/penumbra.h"
#include "tests/user/lib/test.h"

enum { SYS_NOTE_SET = 1047, SYS_NOTE_GET = 1048, NOTE_MAX = 60 };

/* The canary is made after the fork, by the victim alone: residue.c does the same. */
static const volatile uint64_t mask = 0x71d5c2984be03fa6, masked = 0x71d5c2984be03fa6 ^ 0x4ce7b1a2f6d39588;

static long note_set(const void *text, size_t bytes) { return syscall(SYS_NOTE_SET, text, bytes); }
static long note_get(void *buffer, size_t size) { return syscall(SYS_NOTE_GET, buffer, size); }

static void set_and_get(void) {
    char text[NOTE_MAX];
    CHECK_OK(note_set("remember the milk", 17));
    CHECK_EQ(note_get(text, sizeof text), 17);
    CHECK(memcmp(text, "remember the milk", 17) == 0);
    CHECK_OK(note_set("", 0));
    CHECK_EQ(note_get(text, 0), 0);
}

static void bad_arguments(void) {
    char text[NOTE_MAX + 1] = "";
    CHECK_ERRNO(note_set(text, NOTE_MAX + 1), EINVAL);
    CHECK_ERRNO(note_set((void *)8, 4), EFAULT);
    CHECK_OK(note_set("four", 4));
    CHECK_ERRNO(note_get(text, 3), ERANGE);
    CHECK_ERRNO(note_get((void *)8, NOTE_MAX), EFAULT);
    CHECK_EQ(note_get(text, sizeof text), 4);
}

/* Two processes have two notes. */
static void own_note_each(void) {
    char text[NOTE_MAX];
    CHECK_OK(note_set("parent", 6));
    pid_t child = (pid_t)CHECK_OK(fork());
    if (child == 0) {
        CHECK_OK(note_set("a child's", 9));
        _exit(0);
    }
    CHECK_EXITED(test_wait(child));
    CHECK_EQ(note_get(text, sizeof text), 6);
}

static _Noreturn void be_victim(int ready) {
    uint64_t text[4];
    for (int i = 0; i < 4; i++) {
        text[i] = masked ^ mask;
    }
    CHECK_OK(note_set(text, sizeof text));
    CHECK_EQ(write(ready, "", 1), 1);
    for (;;) {
        pause();
    }
}

/* While the victim has a note, the attacker looks at every byte that its own restricted space maps. */
static void others_see_nothing(void) {
    int ready[2];
    char byte;
    CHECK_OK(pipe(ready));
    pid_t victim = (pid_t)CHECK_OK(fork());
    if (victim == 0) {
        be_victim(ready[1]);
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    struct asi_scan scan = {.masked = masked, .mask = mask};
    long status = penumbra_call(ASI_OP_SCAN, 0, &scan, sizeof scan);
    CHECK(status == 0 || errno == EOPNOTSUPP);
    if (status == 0) {
        CHECK_EQ(scan.found, 0);
    }
    CHECK_OK(kill(victim, 9));
    test_wait(victim);
}

static const struct test_case cases[] = {
    {"set-and-get", set_and_get},
    {"bad-arguments", bad_arguments},
    {"own-note-each", own_note_each},
    {"others-see-nothing", others_see_nothing},
};
TEST_MAIN(cases)
