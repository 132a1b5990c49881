/*
 * Owns: where each secret lies and how it comes there. What the victim needed on the way is cleared, so that the
 * place is the only one.
 */
#include "user/demo/victim.h"

#include "asi/abi.h"
#include "asi/demo_abi.h"
#include "user/demo/fail.h"
#include "user/lib/native.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { MARKER_BYTES = 8, PAGE = 4096, LINE = 64 };
enum { CLASS_LOCAL = 2, CLASS_USER = 3, CLASS_SECRET = 4 }; /* of mm/frame.h */

/* A line of a cache, as scenes 2 and 3 use it. */
struct kept {
    char marker[MARKER_BYTES];
    char secret[SECRET_BYTES];
    char rest[LINE - MARKER_BYTES - SECRET_BYTES];
};

const char *const place_slugs[PLACES] = {"page", "file", "pipe", "registers", "message", "branch", "buffer"};

/* Neither the marker nor a constant that the compiler could make of it is in the program: it would be found there. */
static volatile uint64_t mask = 0x5a3c96e1d2b4870f;
uint64_t marker_mask(void) { return mask; }
uint64_t marker_masked(enum place place) { return 0x8f1e2d3c4b5a6978 + (uint64_t)place * 0x0101010101010101; }

static void wipe(void *memory, size_t bytes) {
    volatile char *at = memory;
    while (bytes-- > 0) {
        *at++ = 0;
    }
}

/* The place's own line of the file. */
static void read_secret(enum place place, char secret[SECRET_BYTES]) {
    int file = open(SECRETS_FILE, O_RDONLY);
    if (file < 0 || pread(file, secret, SECRET_BYTES, (off_t)place * (SECRET_BYTES + 1)) != SECRET_BYTES) {
        fail(SECRETS_FILE);
    }
    close(file);
}

static void keep_in_page(const struct kept *kept) {
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        fail("mmap");
    }
    memcpy(page, kept, sizeof *kept);
}

static void keep_in_file(const struct kept *kept) {
    int file = open("/tmp/diary", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, kept, sizeof *kept) != sizeof *kept) {
        fail("/tmp/diary");
    }
}

static void keep_in_pipe(const struct kept *kept) {
    int ends[2];
    if (pipe(ends) < 0 || write(ends[1], kept, sizeof *kept) != sizeof *kept) {
        fail("pipe");
    }
}

/* The marker in r15, the secret in r14 and r13; their memory is cleared before the call that does not return. */
static _Noreturn void keep_in_registers(struct kept *kept, int ready) {
    char done = 1;
    __asm__ volatile("movq 0(%1), %%r15\n movq 8(%1), %%r14\n movq 16(%1), %%r13\n"
                     "movq $0, 0(%1)\n movq $0, 8(%1)\n movq $0, 16(%1)\n"
                     "movl $1, %%eax\n syscall\n"     /* write: ready */
                     "1: movl $34, %%eax\n syscall\n" /* pause */
                     "jmp 1b"
                     :
                     : "D"((long)ready), "r"(kept), "S"(&done), "d"(1L)
                     : "rax", "rcx", "r11", "r13", "r14", "r15", "memory");
    __builtin_unreachable();
}

/* A call to somebody who does not come to receive it. */
static _Noreturn void keep_in_message(struct kept *kept, int ready) {
    static char bytes[PAGE];
    const char done = 1;
    int endpoint = endpoint_create();
    struct ipc_extra extra = {.bytes = (uint64_t)(uintptr_t)bytes, .length = sizeof bytes, .timeout_ns = IPC_FOREVER};
    struct ipc ipc = {.label = 1, .extra = &extra};
    memcpy(bytes, kept, sizeof *kept);
    wipe(kept, sizeof *kept);
    if (endpoint < 0 || write(ready, &done, 1) != 1 || ipc_call(endpoint, &ipc) < 0) {
        fail("message");
    }
    _exit(0);
}

/* Scene 2: a branch of its own, with the address of a byte of the secret in a register. Scene 3: it reads the line. */
static _Noreturn void serve(struct kept *kept, enum place place, int command, int answer) {
    unsigned char index = 0;
    do {
        if (place == PLACE_SCENE2) {
            syscall(SYS_ASI, DEMO_OP_BRANCH, &kept->secret[index % SECRET_BYTES], NULL, 0L);
        } else if (place == PLACE_SCENE3) {
            syscall(SYS_ASI, DEMO_OP_LOAD, kept, NULL, 0L);
        }
        if (write(answer, &index, 1) != 1) {
            break;
        }
    } while (read(command, &index, 1) == 1);
    _exit(0);
}

static _Noreturn void be_victim(enum place place, int command, int answer) {
    static struct kept kept __attribute__((aligned(LINE)));
    const uint64_t marker = marker_masked(place) ^ marker_mask();
    read_secret(place, kept.secret);
    if (setgid(VICTIM_UID) < 0 || setuid(VICTIM_UID) < 0) {
        fail("setuid");
    }
    memcpy(kept.marker, &marker, sizeof marker);
    switch (place) {
    case PLACE_PAGE:
        keep_in_page(&kept);
        break;
    case PLACE_FILE:
        keep_in_file(&kept);
        break;
    case PLACE_PIPE:
        keep_in_pipe(&kept);
        break;
    case PLACE_REGISTERS:
        keep_in_registers(&kept, answer);
    case PLACE_MESSAGE:
        keep_in_message(&kept, answer);
    default:
        serve(&kept, place, command, answer);
    }
    wipe(&kept, sizeof kept);
    serve(&kept, place, command, answer);
}

static void wait_for_answer(const struct victim *victim) {
    char byte;
    if (read(victim->answer, &byte, 1) != 1) {
        fail("victim");
    }
}

void victim_start(struct victim *victim, enum place place) {
    const struct timespec moment = {.tv_nsec = 30 * 1000 * 1000};
    int command[2], answer[2];
    if (pipe(command) < 0 || pipe(answer) < 0) {
        fail("pipe");
    }
    victim->place = place;
    victim->pid = fork();
    if (victim->pid == 0) {
        close(command[1]);
        close(answer[0]);
        be_victim(place, command[0], answer[1]);
    }
    close(command[0]);
    close(answer[1]);
    victim->command = command[1];
    victim->answer = answer[0];
    if (victim->pid < 0) {
        fail("fork");
    }
    wait_for_answer(victim);
    nanosleep(&moment, NULL); /* until it is in the call that it waits in */
}

void victim_use(const struct victim *victim, unsigned char index) {
    if (write(victim->command, &index, 1) != 1) {
        fail("victim");
    }
    wait_for_answer(victim);
}

void victim_end(struct victim *victim) {
    kill(victim->pid, SIGKILL);
    waitpid(victim->pid, NULL, 0);
    close(victim->command);
    close(victim->answer);
}

/*
 * Of several places with the marker, the one with the secret behind it. Memory of the victim's: what begins a line; the
 * rest is its stack. On a kernel stack the registers of user code are at the top; what kernel code has saved is below.
 */
static bool is_better(enum place place, uint32_t class, uint64_t found, uint64_t best) {
    if (class == 1 << CLASS_USER && found % LINE != 0) {
        return false;
    }
    return best == 0 || (place == PLACE_REGISTERS && found % PAGE > best % PAGE);
}

uint64_t victim_locate(const struct victim *victim) {
    static const uint32_t classes[PLACES] = {
        [PLACE_PAGE] = 1 << CLASS_USER,       [PLACE_FILE] = 1 << CLASS_SECRET,    [PLACE_PIPE] = 1 << CLASS_SECRET,
        [PLACE_REGISTERS] = 1 << CLASS_LOCAL, [PLACE_MESSAGE] = 1 << CLASS_SECRET, [PLACE_SCENE2] = 1 << CLASS_USER,
        [PLACE_SCENE3] = 1 << CLASS_USER,
    };
    const enum place place = victim->place;
    struct demo_find find = {.masked = marker_masked(place), .mask = marker_mask(), .classes = classes[place]};
    uint64_t best = 0;
    if (syscall(SYS_ASI, DEMO_OP_FIND, 0L, &find, sizeof find) < 0) {
        return 0;
    }
    for (uint32_t i = 0; i < find.count; i++) {
        if (is_better(place, find.classes, find.physical[i], best)) {
            best = find.physical[i];
        }
    }
    /* The frame has them as r15, r14, r13 from lower addresses on: the secret is behind the marker here, too. */
    return best == 0 ? 0 : best + MARKER_BYTES;
}
