/*
 * Hostile input: malformed programs. A valid small ELF is broken in one way at a time and executed.
 *
 * execve says why not (ENOEXEC, EINVAL, ENOMEM, …), or the new program is killed; only what is odd but valid may run.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/user/lib/addresses.h"
#include "tests/user/lib/test.h"

enum { CODE_OFFSET = 0x1000, DATA_OFFSET = 0x2000, FILE_SIZE = 0x2100, TEXT_ADDRESS = 0x400000, EXIT_CODE = 42 };

struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[4]; /* text, data, and two that the header does not count yet */
    uint8_t rest[FILE_SIZE - sizeof(Elf64_Ehdr) - 4 * sizeof(Elf64_Phdr)];
};

enum outcome { MUST_RUN, MUST_NOT_RUN, MAY_RUN };

static struct image image;
static size_t image_size;
static int *exec_error; /* shared with the child: errno of execve, 0 when it went through */

static void make_valid(void) {
    static const uint8_t code[] = {0xb8, 60, 0, 0, 0, 0xbf, EXIT_CODE, 0, 0, 0, 0x0f, 0x05}; /* exit(EXIT_CODE) */
    memset(&image, 0, sizeof(image));
    memcpy(image.header.e_ident, ELFMAG, SELFMAG);
    image.header.e_ident[EI_CLASS] = ELFCLASS64;
    image.header.e_ident[EI_DATA] = ELFDATA2LSB;
    image.header.e_ident[EI_VERSION] = EV_CURRENT;
    image.header.e_type = ET_EXEC;
    image.header.e_machine = EM_X86_64;
    image.header.e_version = EV_CURRENT;
    image.header.e_entry = TEXT_ADDRESS + CODE_OFFSET;
    image.header.e_phoff = sizeof(Elf64_Ehdr);
    image.header.e_ehsize = sizeof(Elf64_Ehdr);
    image.header.e_phentsize = sizeof(Elf64_Phdr);
    image.header.e_phnum = 2;
    image.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                     .p_flags = PF_R | PF_X,
                                     .p_vaddr = TEXT_ADDRESS,
                                     .p_filesz = CODE_OFFSET + sizeof(code),
                                     .p_memsz = CODE_OFFSET + sizeof(code),
                                     .p_align = PAGE_SIZE};
    image.segments[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                     .p_flags = PF_R | PF_W,
                                     .p_offset = DATA_OFFSET,
                                     .p_vaddr = TEXT_ADDRESS + DATA_OFFSET,
                                     .p_filesz = 0x100,
                                     .p_memsz = 0x3000,
                                     .p_align = PAGE_SIZE};
    memcpy((uint8_t *)&image + CODE_OFFSET, code, sizeof(code));
    image_size = sizeof(image);
}

static const char *write_image(const char *name, mode_t mode) {
    const char *path = test_path(name);
    int fd = (int)CHECK_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
    CHECK_EQ(write(fd, &image, image_size), image_size);
    CHECK_OK(close(fd));
    return path;
}

static void execute(void *argument) {
    char *argv[] = {argument, NULL}, *envp[] = {NULL};
    execve(argument, argv, envp);
    *exec_error = errno;
}

static void try_image(const char *name, enum outcome outcome) {
    const char *path = write_image("elf", 0755);
    *exec_error = 0;
    int status = test_run_child(execute, (void *)(uintptr_t)path);
    CHECK_OK(unlink(path));

    bool ran = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CODE;
    int error = *exec_error, signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    bool refused = error == ENOEXEC || error == EINVAL || error == ENOMEM || error == ENOENT || error == ELIBBAD ||
                   error == EIO || error == EPERM || error == EACCES || error == EFAULT;
    bool killed = signal == SIGSEGV || signal == SIGKILL || signal == SIGBUS || signal == SIGILL || signal == SIGTRAP;
    bool good = (ran && outcome != MUST_NOT_RUN) || ((refused || killed) && outcome != MUST_RUN);
    if (!good) {
        test_fail(__FILE__, __LINE__, "%s: wait status %#x, execve's errno %d", name, status, error);
    }
}

static void begin(void) {
    exec_error = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(exec_error != MAP_FAILED);
    make_valid();
    try_image("the valid one", MUST_RUN);
}

/* Make it valid, break one thing, try. */
#define BREAK(outcome, change)                                                                                         \
    do {                                                                                                               \
        make_valid();                                                                                                  \
        change;                                                                                                        \
        try_image(#change, outcome);                                                                                   \
    } while (0)

static void truncated(void) {
    static const size_t sizes[] = {0, 1, 3, 4, 15, 16, 17, 24, 32, 52, 63, 64, 65, 119, 120, 121, 175, 176, 177, 4095};
    begin();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        BREAK(MUST_NOT_RUN, image_size = sizes[i]);
    }
    BREAK(MUST_NOT_RUN, image_size = CODE_OFFSET);
    BREAK(MUST_NOT_RUN, image_size = CODE_OFFSET + 4); /* what is missing of the page reads as zero: faults */
    BREAK(MAY_RUN, image_size = DATA_OFFSET);
    BREAK(MAY_RUN, image_size = DATA_OFFSET + 10);
}

static void wrong_header(void) {
    begin();
    for (int i = 0; i < 4; i++) {
        BREAK(MUST_NOT_RUN, image.header.e_ident[i] ^= 0xff);
    }
    BREAK(MAY_RUN, image.header.e_ident[EI_CLASS] = ELFCLASS32); /* Linux does not look */
    BREAK(MAY_RUN, image.header.e_ident[EI_DATA] = ELFDATA2MSB);
    BREAK(MAY_RUN, image.header.e_ident[EI_VERSION] = 99);
    static const uint16_t types[] = {ET_NONE, ET_REL, ET_CORE, 0xff00, 0xffff};
    for (size_t i = 0; i < COUNT(types); i++) {
        BREAK(MUST_NOT_RUN, image.header.e_type = types[i]);
    }
    static const uint16_t machines[] = {EM_NONE, EM_386, EM_ARM, EM_AARCH64, EM_RISCV, 0xffff};
    for (size_t i = 0; i < COUNT(machines); i++) {
        BREAK(MUST_NOT_RUN, image.header.e_machine = machines[i]);
    }
    BREAK(MUST_NOT_RUN, image.header.e_phentsize = 0);
    BREAK(MUST_NOT_RUN, image.header.e_phentsize = 55);
    BREAK(MUST_NOT_RUN, image.header.e_phentsize = 0xffff);
    BREAK(MUST_NOT_RUN, image.header.e_phnum = 0);
    BREAK(MAY_RUN, image.header.e_phnum = 4); /* two more, of type PT_NULL */
    BREAK(MUST_NOT_RUN, image.header.e_phnum = 0xffff);
    BREAK(MAY_RUN, image.header.e_phnum = 146);
    BREAK(MAY_RUN, image.header.e_shoff = ~0ul; image.header.e_shnum = 0xffff);
}

static void wrong_offsets(void) {
    static const uint64_t offsets[] = {0,         1,    FILE_SIZE - 1, FILE_SIZE, 1ul << 20,         1ul << 40,
                                       1ul << 63, ~0ul, ~0ul - 55,     -64ul,     0x7fffffffffffffc8};
    begin();
    for (size_t i = 0; i < COUNT(offsets); i++) {
        BREAK(MUST_NOT_RUN, image.header.e_phoff = offsets[i]);
        if (i > 0) {
            BREAK(MUST_NOT_RUN, image.segments[0].p_offset = offsets[i]);
        }
        BREAK(MAY_RUN, image.segments[1].p_offset = offsets[i]);
    }
    BREAK(MUST_NOT_RUN, image.segments[0].p_offset = 8); /* not congruent with the address */
    BREAK(MUST_NOT_RUN, image.segments[0].p_vaddr += 8);
}

static void wrong_entry(void) {
    static const uint64_t entries[] = {
        0, 1, TEXT_ADDRESS - 1, TEXT_ADDRESS + 0x100000, TEXT_ADDRESS + DATA_OFFSET, USER_END};
    begin();
    for (size_t i = 0; i < COUNT(entries); i++) {
        BREAK(MUST_NOT_RUN, image.header.e_entry = entries[i]);
    }
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        BREAK(MUST_NOT_RUN, image.header.e_entry = kernel_addresses[i]);
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        BREAK(MUST_NOT_RUN, image.header.e_entry = non_canonical_addresses[i]);
    }
}

static void wrong_addresses(void) {
    begin();
    for (size_t i = 0; i < COUNT(kernel_addresses); i++) {
        BREAK(MUST_NOT_RUN, image.segments[0].p_vaddr = kernel_addresses[i] & -PAGE_SIZE);
        BREAK(MUST_NOT_RUN, image.segments[1].p_vaddr = kernel_addresses[i] & -PAGE_SIZE);
    }
    for (size_t i = 0; i < COUNT(non_canonical_addresses); i++) {
        BREAK(MUST_NOT_RUN, image.segments[1].p_vaddr = non_canonical_addresses[i] & -PAGE_SIZE);
    }
    BREAK(MUST_NOT_RUN, image.segments[1].p_vaddr = USER_END);
    BREAK(MUST_NOT_RUN, image.segments[1].p_vaddr = USER_END - PAGE_SIZE); /* its end is over */
    BREAK(MUST_NOT_RUN, image.segments[1].p_vaddr = NON_CANONICAL_FIRST - PAGE_SIZE);
    BREAK(MUST_NOT_RUN, image.segments[1].p_vaddr = -PAGE_SIZE; image.segments[1].p_memsz = 2 * PAGE_SIZE); /* wraps */
    BREAK(MAY_RUN, image.segments[1].p_vaddr = 0);
    BREAK(MAY_RUN, image.segments[1].p_vaddr = 0x1000);
}

static void wrong_sizes(void) {
    static const uint64_t sizes[] = {1ul << 47, 1ul << 48, 1ul << 62, 1ul << 63, ~0ul, ~0ul - 0xfff, -0x402000ul};
    begin();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        BREAK(MUST_NOT_RUN, image.segments[0].p_memsz = sizes[i]);
        BREAK(MUST_NOT_RUN, image.segments[1].p_memsz = sizes[i]);
        BREAK(MUST_NOT_RUN, image.segments[1].p_filesz = sizes[i]);
        BREAK(MUST_NOT_RUN, image.segments[1].p_filesz = image.segments[1].p_memsz = sizes[i]);
    }
    BREAK(MUST_NOT_RUN, image.segments[1].p_memsz = 0xff); /* less than in the file */
    BREAK(MUST_NOT_RUN, image.segments[0].p_filesz = 0);
    BREAK(MAY_RUN, image.segments[1].p_filesz = image.segments[1].p_memsz = 0);
    BREAK(MAY_RUN, image.segments[1].p_memsz = 1ul << 40);
    BREAK(MAY_RUN, image.segments[1].p_align = 3);
    BREAK(MAY_RUN, image.segments[1].p_align = 0);
    BREAK(MAY_RUN, image.segments[1].p_align = ~0ul);
}

static void wrong_segments(void) {
    begin();
    BREAK(MAY_RUN, image.segments[1].p_vaddr = TEXT_ADDRESS); /* over the text */
    BREAK(MAY_RUN, image.segments[1].p_vaddr = TEXT_ADDRESS + CODE_OFFSET);
    BREAK(MAY_RUN, image.segments[1] = image.segments[0]);
    BREAK(MAY_RUN, image.segments[1] = image.segments[0]; image.segments[0].p_vaddr += 1 << 20); /* descending */
    BREAK(MUST_NOT_RUN, image.segments[0].p_flags = PF_R | PF_W); /* no text to execute */
    BREAK(MUST_NOT_RUN, image.segments[0].p_flags = 0);
    BREAK(MAY_RUN, image.segments[0].p_flags = PF_R | PF_W | PF_X);
    BREAK(MAY_RUN, image.segments[0].p_flags = PF_X);
    BREAK(MAY_RUN, image.segments[0].p_flags = ~0u);
    BREAK(MUST_NOT_RUN, image.segments[0].p_type = PT_NULL; image.segments[1].p_type = PT_NULL);
    BREAK(MAY_RUN, image.segments[1].p_type = PT_DYNAMIC);
    BREAK(MAY_RUN, image.segments[1].p_type = PT_TLS; image.segments[1].p_memsz = ~0ul);
    BREAK(MAY_RUN, image.segments[1].p_type = PT_GNU_STACK; image.segments[1].p_flags = PF_R | PF_W | PF_X);
    BREAK(MAY_RUN, image.segments[1].p_type = 0x6fffffff);
}

/* The program calls a `ret` that it has pushed: push 0xc3; call rsp; pop rax. */
static void use_stack_as_code(void) {
    static const uint8_t call_stack[] = {0x68, 0xc3, 0, 0, 0, 0xff, 0xd4, 0x58};
    uint8_t *code = (uint8_t *)&image + CODE_OFFSET;
    memmove(code + sizeof(call_stack), code, 16);
    memcpy(code, call_stack, sizeof(call_stack));
    image.segments[0].p_filesz = image.segments[0].p_memsz += sizeof(call_stack);
}

static void ask_for_stack(uint32_t rights) {
    use_stack_as_code();
    image.header.e_phnum = 3;
    image.segments[2].p_type = PT_GNU_STACK;
    image.segments[2].p_flags = rights;
}

static void executable_stack(void) {
    begin();
    BREAK(MUST_NOT_RUN, use_stack_as_code());
    BREAK(MUST_NOT_RUN, ask_for_stack(PF_R | PF_W));
    BREAK(MUST_RUN, ask_for_stack(PF_R | PF_W | PF_X));
    BREAK(MUST_RUN, image.segments[0].p_flags = PF_R | PF_W | PF_X);
}

static void interpreter(void) {
    begin();
    BREAK(MUST_NOT_RUN, image.segments[1].p_type = PT_INTERP); /* names "" */
    BREAK(MUST_NOT_RUN, image.segments[1].p_type = PT_INTERP; strcpy((char *)&image + DATA_OFFSET, "/no/such/ld.so");
          image.segments[1].p_filesz = 15);
    BREAK(MUST_NOT_RUN, image.segments[1].p_type = PT_INTERP; image.segments[1].p_filesz = 1);
    BREAK(MUST_NOT_RUN, image.segments[1].p_type = PT_INTERP; image.segments[1].p_filesz = 1ul << 40);
    BREAK(MUST_NOT_RUN, image.segments[1].p_type = PT_INTERP; image.segments[1].p_offset = ~0ul);
}

/* --- A program that is all right, and its interpreter ---------------------------------------------------------- */

enum { OTHER_ADDRESS = 0x800000, NAME_OFFSET = 0x2080 };

/* The program asks for the interpreter at `path`; `bytes` of the name count. */
static void make_dynamic(const char *path, size_t bytes) {
    make_valid();
    image.header.e_phnum = 3;
    image.segments[2] = (Elf64_Phdr){
        .p_type = PT_INTERP, .p_flags = PF_R, .p_offset = NAME_OFFSET, .p_filesz = bytes, .p_memsz = bytes};
    memcpy((uint8_t *)&image + NAME_OFFSET, path, strlen(path) + 1);
}

/* An interpreter that lies elsewhere and ends with EXIT_CODE + 1. */
static void make_interpreter(void) {
    make_valid();
    image.header.e_entry += OTHER_ADDRESS - TEXT_ADDRESS;
    image.segments[0].p_vaddr += OTHER_ADDRESS - TEXT_ADDRESS;
    image.segments[1].p_vaddr += OTHER_ADDRESS - TEXT_ADDRESS;
    ((uint8_t *)&image)[CODE_OFFSET + 6]++;
}

/* What becomes of a program whose interpreter is `image` as it is now. */
static int run_with_interpreter(mode_t mode) {
    char interpreter[100];
    strcpy(interpreter, write_image("interpreter", mode));
    make_dynamic(interpreter, strlen(interpreter) + 1);
    const char *path = write_image("dynamic", 0755);
    *exec_error = 0;
    int status = test_run_child(execute, (void *)(uintptr_t)path);
    CHECK_OK(unlink(path));
    CHECK_OK(unlink(interpreter));
    return status;
}

#define REFUSED(errno_wanted, mode, change)                                                                            \
    do {                                                                                                               \
        make_interpreter();                                                                                            \
        change;                                                                                                        \
        CHECK_EXITED(run_with_interpreter(mode));                                                                      \
        if (*exec_error != (errno_wanted)) {                                                                           \
            test_fail(__FILE__, __LINE__, "%s: errno %d, not %d", #change, *exec_error, errno_wanted);                 \
        }                                                                                                              \
    } while (0)

static void interpreter_runs(void) {
    begin();
    make_interpreter();
    CHECK_EXITED_WITH(run_with_interpreter(0755), EXIT_CODE + 1);
    make_interpreter();
    image.header.e_type = ET_DYN; /* goes where there is room, wherever it was linked */
    CHECK_EXITED_WITH(run_with_interpreter(0755), EXIT_CODE + 1);
    make_interpreter();
    image.header.e_phnum = 3; /* an interpreter's own interpreter does not count */
    image.segments[2] = (Elf64_Phdr){.p_type = PT_INTERP, .p_filesz = 3};
    CHECK_EXITED_WITH(run_with_interpreter(0755), EXIT_CODE + 1);
    make_interpreter(); /* over the program: refused, or killed */
    image.header.e_entry -= OTHER_ADDRESS - TEXT_ADDRESS;
    image.segments[0].p_vaddr -= OTHER_ADDRESS - TEXT_ADDRESS;
    int status = run_with_interpreter(0755);
    CHECK(*exec_error != 0 || WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_CODE + 1);
}

static void interpreter_refused(void) {
    begin();
    REFUSED(EACCES, 0644, (void)0);
    REFUSED(EIO, 0755, image_size = 0);
    REFUSED(EIO, 0755, image_size = 63);
    REFUSED(ELIBBAD, 0755, image_size = 64);
    REFUSED(ELIBBAD, 0755, image.header.e_ident[0] = 0);
    REFUSED(ELIBBAD, 0755, image.header.e_machine = EM_AARCH64);
    REFUSED(ELIBBAD, 0755, image.header.e_phentsize = 55);
    REFUSED(ELIBBAD, 0755, image.header.e_phnum = 0);
    REFUSED(ELIBBAD, 0755, image.header.e_phoff = 1ul << 62);
}

#define PROGRAM_REFUSED(errno_wanted, path, bytes, change)                                                             \
    do {                                                                                                               \
        make_dynamic(path, bytes);                                                                                     \
        change;                                                                                                        \
        const char *file = write_image("dynamic", 0755);                                                               \
        *exec_error = 0;                                                                                               \
        CHECK_EXITED(test_run_child(execute, (void *)(uintptr_t)file));                                                \
        CHECK_EQ(*exec_error, errno_wanted);                                                                           \
        CHECK_OK(unlink(file));                                                                                        \
    } while (0)

static void interpreter_name(void) {
    begin();
    PROGRAM_REFUSED(ENOENT, "/no/such/ld.so", 15, (void)0);
    PROGRAM_REFUSED(EACCES, "/tmp", 5, (void)0);
    PROGRAM_REFUSED(ENOTDIR, "/dev/null/ld.so", 16, (void)0);
    PROGRAM_REFUSED(ENOEXEC, "/no/such/ld.so", 14, (void)0); /* no terminator */
    PROGRAM_REFUSED(ENOEXEC, "/", 1, (void)0);
    PROGRAM_REFUSED(ENOEXEC, "/", 0, (void)0);
    PROGRAM_REFUSED(ENOEXEC, "/no/such/ld.so", 4097, (void)0);
    PROGRAM_REFUSED(ENOEXEC, "/no/such/ld.so", ~0ul, (void)0);
    PROGRAM_REFUSED(EIO, "/no/such/ld.so", 15, image.segments[2].p_offset = FILE_SIZE);
    PROGRAM_REFUSED(EIO, "/no/such/ld.so", 15, image.segments[2].p_offset = FILE_SIZE - 4);
}

/* Every byte of the headers, each set to 0x00, 0xff and with a bit turned: whatever comes, it is one of the three. */
static void every_header_byte(void) {
    begin();
    for (size_t i = 0; i < sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr); i++) {
        static const uint8_t flips[] = {0x01, 0x80};
        for (size_t j = 0; j < COUNT(flips) + 2; j++) {
            make_valid();
            uint8_t *byte = (uint8_t *)&image + i;
            *byte = j < COUNT(flips) ? *byte ^ flips[j] : j == COUNT(flips) ? 0 : 0xff;
            char name[40];
            snprintf(name, sizeof(name), "byte %zu = %#x", i, *byte);
            try_image(name, MAY_RUN);
        }
    }
}

static const struct test_case cases[] = {
    {"truncated", truncated},
    {"header", wrong_header},
    {"offsets", wrong_offsets},
    {"entry", wrong_entry},
    {"addresses", wrong_addresses},
    {"sizes", wrong_sizes},
    {"segments", wrong_segments},
    {"executable-stack", executable_stack},
    {"interpreter", interpreter},
    {"every-header-byte", every_header_byte},
    {"interpreter-runs", interpreter_runs},
    {"interpreter-refused", interpreter_refused},
    {"interpreter-name", interpreter_name},
};
TEST_MAIN(cases)
