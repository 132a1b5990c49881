/*
 * execve: decode everything about the new program while the old one can still be returned to, then commit.
 *
 * The commit's line is process_begin_exec(): what fails behind it ends the process. Path and strings are user bytes:
 * LOCAL memory or this stack. An open executable counts for LOGICAL ACCESS until vm_destroy() closes it; the
 * interpreter is open until it is mapped. No locks of its own. Runs in either space; may sleep.
 */
#include "kernel/exec.h"

#include "arch/cpu.h"
#include "arch/fpu.h"
#include "arch/selectors.h"
#include "arch/trap_frame.h"
#include "arch/uaccess.h"
#include "arch/user_segments.h"
#include "kernel/command_line.h"
#include "kernel/elf.h"
#include "kernel/exec_arguments.h"
#include "kernel/exec_stack.h"
#include "kernel/file.h"
#include "kernel/file_abi.h"
#include "kernel/futex.h"
#include "kernel/layout.h"
#include "kernel/local.h"
#include "kernel/posix_timer.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/signal_abi.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/ephmap.h"
#include "mm/object.h"
#include "mm/vm.h"

enum { PATH_SIZE = 4096, SCRIPT_HEAD = 256 };
#define RFLAGS_INITIAL 0x202UL /* interrupts on */

/* One execve in progress: LOCAL. An object here is open, with a reference; NULL: not, or given away. */
struct exec {
    char *path;                   /* as given */
    const char *file;             /* what is run: path or the script's interpreter */
    char name[PROCESS_NAME_SIZE]; /* last component of `path` */
    bool by_handle;               /* it has no path */
    bool secure;                  /* it runs as somebody else than who started it */
    struct program_owner owner;   /* of what is run */
    struct memory_object *object;
    struct memory_object *interpreter; /* PT_INTERP's; NULL also: the program has none */
    struct exec_arguments arguments;
    struct elf_image image, interpreter_image;
    struct layout layout;
    char script[SCRIPT_HEAD + 1]; /* first line, cut into interpreter and argument */
};
_Static_assert(sizeof(struct exec) <= PAGE_SIZE, "one chunk of the LOCAL heap");

static void close_object(struct memory_object **object) {
    if (*object != NULL) {
        ephmap_close(*object);
        object_end_run(*object);
        object_unref(*object);
        *object = NULL;
    }
}

static void exec_free(struct exec *exec) {
    close_object(&exec->object);
    close_object(&exec->interpreter);
    arguments_free(&exec->arguments);
    local_free(exec->path, PATH_SIZE);
    local_free(exec, sizeof(*exec));
}

static enum status exec_alloc(struct exec **out) {
    struct exec *exec = local_alloc(sizeof(*exec));

    if (exec == NULL)
        return ERR_NO_MEMORY;
    exec->path = local_alloc(PATH_SIZE);
    if (exec->path == NULL || arguments_init(&exec->arguments) != OK) {
        if (exec->path != NULL)
            local_free(exec->path, PATH_SIZE);
        local_free(exec, sizeof(*exec));
        return ERR_NO_MEMORY;
    }
    exec->file = exec->path;
    *out = exec;
    return OK;
}

static const char *last_component(const char *path) {
    const char *last = path;

    for (; *path != '\0'; path++)
        if (*path == '/' && path[1] != '\0')
            last = path + 1;
    return last;
}

static char *skip_blanks(char *at) {
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

/*
 * Cuts "#! interpreter argument\n" in place: the argument is the rest of the line, or NULL. False: not a script's first
 * line.
 */
static bool cut_script_line(char *line, char **interpreter, char **argument) {
    char *end = line + 2, *at;

    while (*end != '\n' && *end != '\0')
        end++;
    if (*end == '\0') /* longer than what was read, or not ended */
        return false;
    while (end > line + 2 && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    *interpreter = at = skip_blanks(line + 2);
    while (*at != ' ' && *at != '\t' && *at != '\0')
        at++;
    *argument = NULL;
    if (*at != '\0') {
        *at = '\0';
        *argument = skip_blanks(at + 1);
    }
    return **interpreter != '\0';
}

/* If the file is a script: opens its interpreter instead, with the arguments that go before the script's own. */
static enum status resolve_script(struct exec *exec, bool *is_script) {
    char *interpreter, *argument, ignored_name[PROCESS_NAME_SIZE];
    size_t done = 0;
    enum status status = object_read_kernel(exec->object, 0, exec->script, SCRIPT_HEAD, &done);

    *is_script = status == OK && done > 2 && exec->script[0] == '#' && exec->script[1] == '!';
    if (!*is_script)
        return status;
    if (!cut_script_line(exec->script, &interpreter, &argument))
        return ERR_NOT_EXECUTABLE;
    close_object(&exec->object);
    exec->file = interpreter;
    if ((status = file_open_executable(AT_FDCWD, interpreter, true, &exec->object, ignored_name, &exec->owner)) != OK) {
        exec->object = NULL;
        return status;
    }
    exec->arguments.argc = argument != NULL ? 3 : 2;
    if ((status = arguments_add(&exec->arguments, interpreter)) != OK ||
        (argument != NULL && (status = arguments_add(&exec->arguments, argument)) != OK))
        return status;
    return arguments_add(&exec->arguments, exec->path);
}

/* What was found from a directory is called by way of its descriptor, as on Linux. */
static enum status name_by_directory(struct exec *exec, int dirfd) {
    char *name = local_alloc(PATH_SIZE);

    if (name == NULL)
        return ERR_NO_MEMORY;
    size_t length = format_string(name, PATH_SIZE, "/dev/fd/%d/%s", dirfd, exec->path);
    if (length < PATH_SIZE)
        memcpy(exec->path, name, length + 1);
    local_free(name, PATH_SIZE);
    exec->by_handle = true;
    return length < PATH_SIZE ? OK : ERR_NAME_TOO_LONG;
}

static enum status open_program(struct exec *exec, int dirfd, bool follow, bool *is_script) {
    enum status status = file_open_executable(dirfd, exec->path, follow, &exec->object, exec->name, &exec->owner);

    if (status != OK) {
        exec->object = NULL;
        return status;
    }
    if (dirfd != AT_FDCWD && exec->path[0] != '/' && (status = name_by_directory(exec, dirfd)) != OK)
        return status;
    return resolve_script(exec, is_script);
}

/* The program is what a handle is on: its name is what it is called in its arguments. */
static enum status open_program_handle(struct exec *exec, int fd, vaddr_t argv) {
    vaddr_t text = 0;
    size_t length;
    enum status status = file_executable(fd, &exec->object, &exec->owner);

    exec->by_handle = true;
    if (status != OK) {
        exec->object = NULL;
        return status;
    }
    if (argv == 0 || copy_from_user(&text, argv, sizeof(text)) != OK || text == 0)
        return OK;
    status = copy_string_from_user(exec->path, text, PATH_SIZE, &length);
    if (status == OK)
        strlcpy(exec->name, last_component(exec->path), sizeof(exec->name));
    return status;
}

/* What is wrong with a program that is all right itself. */
static enum status as_interpreter(enum status status) {
    return status == ERR_NOT_EXECUTABLE ? ERR_BAD_LIBRARY : status;
}

static enum status open_interpreter(struct exec *exec, char *path) {
    char ignored_name[PROCESS_NAME_SIZE];
    struct program_owner ignored_owner;
    enum status status = elf_read_interpreter(exec->object, &exec->image, path);

    if (status != OK)
        return status;
    if ((status = file_open_executable(AT_FDCWD, path, true, &exec->interpreter, ignored_name, &ignored_owner)) != OK) {
        exec->interpreter = NULL;
        return status;
    }
    if (exec->interpreter->size < ELF_HEADER_BYTES)
        return ERR_IO; /* as Linux says of what it could not read whole */
    return as_interpreter(elf_read(exec->interpreter, &exec->interpreter_image));
}

/* Reads the headers of what is to run: the program, and the interpreter that it asks for. */
static enum status read_images(struct exec *exec) {
    enum status status = elf_read(exec->object, &exec->image);
    char *path;

    if (status == OK && exec->image.writable_code && process_current()->refuses_exec_gain)
        return ERR_ACCESS;
    if (status != OK || exec->image.interpreter_bytes == 0)
        return status;
    if ((path = local_alloc(ELF_INTERPRETER_MAX)) == NULL)
        return ERR_NO_MEMORY;
    status = open_interpreter(exec, path);
    local_free(path, ELF_INTERPRETER_MAX);
    return status;
}

static enum status collect_user_arguments(struct exec *exec, vaddr_t argv, vaddr_t envp, bool is_script) {
    struct exec_arguments *arguments = &exec->arguments;
    enum status status = arguments_add_array(arguments, argv, is_script ? 1 : 0, &arguments->argc);

    if (status == OK && arguments->argc == 0) { /* as Linux: no program starts without a name */
        arguments->argc = 1;
        status = arguments_add(arguments, "");
    }
    return status != OK ? status : arguments_add_array(arguments, envp, 0, &arguments->envc);
}

static void reset_registers(vaddr_t rip, vaddr_t rsp) {
    struct thread *thread = thread_current();
    struct trap_frame *frame = thread_user_frame();

    *frame = (struct trap_frame){.rip = rip, .cs = USER_CS, .rflags = RFLAGS_INITIAL, .rsp = rsp, .ss = USER_DS};
    thread->local->fs_base = thread->local->gs_base = 0;
    user_fs_set(0);
    user_gs_set(0);
    fpu_reset(thread->local->fpu);
    fpu_restore(thread->local->fpu);
}

/* Whichever thread called: it is the process's first now, and has that one's id. */
static void become_first_thread(void) {
    struct thread *thread = thread_current();
    bool irq = spin_lock_irq(&processes_lock);

    thread->id = thread->process->id;
    spin_unlock_irq(&processes_lock, irq);
}

/* Its pages are the mappings' from here on, as those of any library; only the program itself stays open. */
static enum status map_interpreter(struct exec *exec) {
    struct elf_image *image = &exec->interpreter_image;
    enum status status = OK;

    if (exec->interpreter == NULL)
        return OK;
    if (image->movable)
        status = elf_place(image, vm_free_place(elf_span(image)));
    return status == OK ? elf_map(exec->interpreter, image) : status;
}

/* Maps stack, program and interpreter into the empty user half, and fills the stack. */
static enum status map_program(struct exec *exec, vaddr_t *rsp) {
    struct exec_stack stack = {.arguments = &exec->arguments,
                               .image = &exec->image,
                               .layout = &exec->layout,
                               .path = exec->path,
                               .secure = exec->secure};
    enum status status = exec_stack_map(&exec->layout, exec->image.executable_stack);

    if (status == OK && exec->image.movable)
        status = elf_place(&exec->image, exec->layout.program_base);
    if (status == OK)
        status = elf_map(LOCAL->vm.executable, &exec->image);
    if (status == OK)
        status = map_interpreter(exec);
    if (status != OK)
        return status;
    stack.interpreter_bias = exec->interpreter_image.bias;
    return exec_stack_fill(&stack, rsp);
}

/* Builds the new program in the empty user half. The executable is given away to it. */
static enum status build_program(struct exec *exec) {
    struct process *process = process_current();
    struct vm *vm = &LOCAL->vm;
    vaddr_t rsp;
    enum status status;

    vm->executable = exec->object;
    exec->object = NULL;
    layout_choose(&exec->layout);
    vm->mmap_shift = exec->layout.mmap_shift;
    vm->address_secret = exec->layout.address_secret;
    if ((status = map_program(exec, &rsp)) != OK)
        return status;
    vm->heap_start = vm->heap_end = exec->image.end + exec->layout.heap_gap;
    strlcpy(process->name, exec->name, sizeof(process->name));
    command_line_set(&exec->arguments);
    file_set_executable_path(exec->by_handle ? "" : exec->file);
    LOCAL->stack_start = rsp;
    reset_registers(exec->interpreter != NULL ? exec->interpreter_image.entry : exec->image.entry, rsp);
    return OK;
}

/* What is to be run: a path, or with AT_EMPTY_PATH and an empty one a handle. */
static enum status open_what(struct exec *exec, int fd, vaddr_t path, vaddr_t argv, unsigned flags, bool *is_script) {
    size_t length;
    enum status status = copy_string_from_user(exec->path, path, PATH_SIZE, &length);

    *is_script = false;
    if (status != OK)
        return status;
    if (length == 0 && flags & AT_EMPTY_PATH)
        return open_program_handle(exec, fd, argv);
    return open_program(exec, fd, !(flags & AT_SYMLINK_NOFOLLOW), is_script);
}

static enum status execute(int fd, vaddr_t path, vaddr_t argv, vaddr_t envp, unsigned flags) {
    struct exec *exec;
    bool is_script;
    enum status status = exec_alloc(&exec);

    if (status != OK)
        return status;
    if ((status = open_what(exec, fd, path, argv, flags, &is_script)) != OK ||
        (status = collect_user_arguments(exec, argv, envp, is_script)) != OK || (status = read_images(exec)) != OK) {
        exec_free(exec);
        return status;
    }

    futex_thread_exit(); /* while the old words are still there */
    if ((status = process_begin_exec()) != OK) {
        exec_free(exec);
        return status;
    }
    become_first_thread();
    posix_timers_forget();
    handles_close_on_exec();
    signal_exec();
    exec->secure = identity_exec(&exec->owner);
    if (exec->secure) /* who started it is not to say where it lies */
        LOCAL->personality = 0;
    status = build_program(exec);
    exec_free(exec);
    if (status != OK)
        process_exit(SIGKILL);
    return OK;
}

enum status sys_execve(struct syscall *call) { return execute(AT_FDCWD, call->arg[0], call->arg[1], call->arg[2], 0); }

enum status sys_execveat(struct syscall *call) {
    unsigned flags = (unsigned)call->arg[4];

    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return ERR_INVALID;
    return execute((int)call->arg[0], call->arg[1], call->arg[2], call->arg[3], flags);
}

/* What has a name only for its arguments. */
static enum status open_program_object(struct exec *exec, struct memory_object *object) {
    enum status status = file_open_to_run(object);

    object_unref(object);
    if (status != OK)
        return status;
    exec->object = object;
    exec->by_handle = true;
    strlcpy(exec->name, last_component(exec->path), sizeof(exec->name));
    return OK;
}

enum status exec_first(const char *path, struct memory_object *program) {
    static const char *const environment[] = {"HOME=/", "PATH=/sbin:/bin:/usr/sbin:/usr/bin", "TERM=linux"};
    struct exec *exec;
    bool is_script = false;
    enum status status = exec_alloc(&exec);

    if (status != OK)
        return status;
    strlcpy(exec->path, path, PATH_SIZE);
    status = program != NULL ? open_program_object(exec, program) : open_program(exec, AT_FDCWD, true, &is_script);
    if (status == OK && !is_script) {
        exec->arguments.argc = 1;
        status = arguments_add(&exec->arguments, path);
    }
    for (size_t i = 0; i < sizeof(environment) / sizeof(environment[0]) && status == OK; i++) {
        exec->arguments.envc++;
        status = arguments_add(&exec->arguments, environment[i]);
    }
    if (status == OK && (status = read_images(exec)) == OK)
        status = build_program(exec);
    exec_free(exec);
    return status;
}
