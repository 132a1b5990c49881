/*
 * Programs with fields changed, executed: a small one that is all heads, and real ones. What still runs, runs as nobody
 * in particular, for a moment.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 256 * 1024, SMALL = 3 * FUZZ_PAGE, TEXT = 0x400000, LIMIT_POLLS = 100, POLL_US = 500 };

static struct fuzz_random dice;
static uint8_t image[ROOM];

static uint64_t below(uint64_t limit) { return fuzz_below(&dice, limit); }
static bool one_in(uint64_t n) { return fuzz_one_in(&dice, n); }

/* exit(42), an interpreter's name that is not among its heads yet, and some segments. */
static size_t make_small(void) {
    static const uint8_t code[] = {0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05};
    Elf64_Ehdr head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                       .e_type = one_in(3) ? ET_DYN : ET_EXEC,
                       .e_machine = EM_X86_64,
                       .e_version = EV_CURRENT,
                       .e_phoff = sizeof head,
                       .e_ehsize = sizeof head,
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = (Elf64_Half)(2 + below(4))};
    Elf64_Phdr segments[6] = {
        {.p_type = PT_LOAD,
         .p_flags = PF_R | PF_X,
         .p_vaddr = TEXT,
         .p_filesz = FUZZ_PAGE + sizeof code,
         .p_memsz = FUZZ_PAGE + sizeof code,
         .p_align = FUZZ_PAGE},
        {.p_type = PT_LOAD,
         .p_flags = PF_R | PF_W,
         .p_offset = 2 * FUZZ_PAGE,
         .p_vaddr = TEXT + 2 * FUZZ_PAGE,
         .p_filesz = 100,
         .p_memsz = 3 * FUZZ_PAGE,
         .p_align = FUZZ_PAGE},
        {.p_type = PT_LOAD,
         .p_flags = PF_R,
         .p_vaddr = TEXT + 16 * FUZZ_PAGE,
         .p_memsz = FUZZ_PAGE,
         .p_align = FUZZ_PAGE},
        {.p_type = one_in(2) ? PT_INTERP : PT_NOTE, .p_offset = FUZZ_PAGE + 64, .p_filesz = 10, .p_memsz = 10},
        {.p_type = PT_TLS, .p_flags = PF_R, .p_offset = 2 * FUZZ_PAGE, .p_vaddr = TEXT + 2 * FUZZ_PAGE, .p_memsz = 64},
        {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W}};
    if (head.e_type == ET_DYN) {
        for (unsigned i = 0; i < 6; i++) {
            segments[i].p_vaddr -= segments[i].p_vaddr != 0 ? TEXT : 0;
        }
    }
    head.e_entry = segments[0].p_vaddr + FUZZ_PAGE;
    memset(image, 0, SMALL);
    memcpy(image, &head, sizeof head);
    memcpy(image + sizeof head, segments, sizeof segments);
    memcpy(image + FUZZ_PAGE, code, sizeof code);
    memcpy(image + FUZZ_PAGE + 64, "/bin/true", 10);
    return SMALL;
}

static size_t load(const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t count = fd >= 0 ? read(fd, image, ROOM) : 0;
    close(fd);
    return count > 0 ? (size_t)count : make_small();
}

/* A field of the head or of a program head; seldom any byte. */
static void change(size_t size) {
    static const uint64_t values[] = {0,
                                      1,
                                      2,
                                      3,
                                      7,
                                      0xfff,
                                      0x1000,
                                      0x1001,
                                      0xffff,
                                      0x400000,
                                      0x7fffffff,
                                      0xffffffff,
                                      0x7ffffffff000,
                                      0x800000000000,
                                      1ul << 63,
                                      ~0ul,
                                      ~0xffful,
                                      0xffff800000000000};
    Elf64_Ehdr head;
    uint64_t value = values[below(sizeof values / sizeof *values)] + (one_in(4) ? below(3) - 1 : 0), old = 0;
    memcpy(&head, image, sizeof head);
    size_t place, width;
    if (one_in(12)) {
        place = below(size);
        width = 1;
    } else if (one_in(3) || head.e_phoff > size) {
        place = 16 + below((sizeof head - 16) / 2) * 2;
        width = (size_t)2 << below(3);
    } else {
        place = head.e_phoff + below(8) * sizeof(Elf64_Phdr) + below(sizeof(Elf64_Phdr) / 4) * 4;
        width = (size_t)4 << below(2);
    }
    if (place + width > size) {
        return;
    }
    memcpy(&old, image + place, width);
    value = one_in(3) ? old + below(5) - 2 : one_in(4) ? old ^ 1ul << below(width * 8) : value;
    memcpy(image + place, &value, width);
}

static size_t make_program(void) {
    static const char *const programs[] = {"/bin/true", "/bin/echo", "/bin/false", "/bin/cat"};
    size_t size = one_in(4) ? load(programs[below(4)]) : make_small();
    for (uint64_t i = below(5); i > 0; i--) {
        change(size);
    }
    return one_in(12) ? below(size + 1) : size;
}

static void trace(uint64_t number, size_t size) {
    Elf64_Ehdr head;
    memcpy(&head, image, sizeof head);
    printf("program %llu: %zu bytes, type %u, entry %#lx, heads %u at %#lx\n", (unsigned long long)number, size,
           head.e_type, head.e_entry, head.e_phnum, head.e_phoff);
    for (unsigned i = 0; i < head.e_phnum && i < 12 && head.e_phoff + (i + 1) * sizeof(Elf64_Phdr) <= size; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, image + head.e_phoff + i * sizeof segment, sizeof segment);
        printf("  type %#x flags %#x offset %#lx address %#lx file %#lx memory %#lx align %#lx\n", segment.p_type,
               segment.p_flags, segment.p_offset, segment.p_vaddr, segment.p_filesz, segment.p_memsz, segment.p_align);
    }
}

static void write_program(const char *path, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    for (size_t done = 0; fd >= 0 && done < size;) {
        ssize_t count = write(fd, image + done, size - done);
        if (count <= 0) {
            break;
        }
        done += (size_t)count;
    }
    close(fd);
}

static _Noreturn void execute(char *path) {
    char *words[] = {path, "a", "b", NULL}, *environment[] = {"A=B", NULL};
    for (int fd = 0; fd < 3; fd++) {
        close(fd);
        open("/dev/null", O_RDWR);
    }
    close(1000); /* the authority */
    setsid();
    if (setresgid(FUZZ_FIRST_UID, FUZZ_FIRST_UID, FUZZ_FIRST_UID) != 0 ||
        setresuid(FUZZ_FIRST_UID, FUZZ_FIRST_UID, FUZZ_FIRST_UID) != 0) {
        _exit(1);
    }
    execve(path, words, environment);
    _exit(100);
}

bool fuzz_elf(uint64_t number, uint64_t seed) {
    char path[] = FUZZ_DIRECTORY "/program";
    int status;
    dice.state = fuzz_mix(seed) ^ fuzz_mix(number);
    size_t size = make_program();
    if (settings.trace) {
        trace(number, size);
    }
    write_program(path, size);
    pid_t pid = fork();
    if (pid == 0) {
        execute(path);
    }
    for (unsigned polls = 0; pid > 0 && waitpid(pid, &status, WNOHANG) == 0; polls++) {
        if (polls == LIMIT_POLLS) {
            kill(pid, SIGKILL);
        }
        if (polls > 40 * LIMIT_POLLS) {
            printf("fuzz: FAIL HANG program %llu cannot be killed\n", (unsigned long long)number);
            return false;
        }
        usleep(POLL_US);
    }
    unlink(path);
    return true;
}
