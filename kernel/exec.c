/*
 * execve: decode everything about the new program while the old one can still be returned to, then commit.
 *
 * The commit's line is process_begin_exec(): what fails behind it ends the process. Path and strings are user bytes:
 * LOCAL memory or this stack. An open executable counts for LOGICAL ACCESS until vm_destroy() closes it. No locks of
 * its own. Runs in either space; may sleep.
 */
#include "kernel/exec.h"

#include "arch/cpu.h"
#include "arch/fpu.h"
#include "arch/selectors.h"
#include "arch/trap_frame.h"
#include "arch/uaccess.h"
#include "arch/user_segments.h"
#include "kernel/elf.h"
#include "kernel/exec_arguments.h"
#include "kernel/exec_stack.h"
#include "kernel/file.h"
#include "kernel/file_abi.h"
#include "kernel/futex.h"
#include "kernel/local.h"
#include "kernel/process.h"
#include "kernel/signal_abi.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "mm/ephmap.h"
#include "mm/object.h"

enum { PATH_SIZE = 4096, SCRIPT_HEAD = 256 };
#define RFLAGS_INITIAL 0x202UL /* interrupts on */

/* One execve in progress: LOCAL. */
struct exec {
    char *path;                   /* as given */
    const char *file;             /* what is run: path or the script's interpreter */
    char name[PROCESS_NAME_SIZE]; /* last component of `path` */
    bool by_handle;               /* it has no path */
    struct memory_object *object; /* open, with a reference; NULL: not, or given away */
    struct exec_arguments arguments;
    struct elf_image image;
    char script[SCRIPT_HEAD + 1]; /* first line, cut into interpreter and argument */
};
_Static_assert(sizeof(struct exec) <= PAGE_SIZE, "one chunk of the LOCAL heap");

static void close_object(struct exec *exec) {
    if (exec->object != NULL) {
        ephmap_close(exec->object);
        object_unref(exec->object);
        exec->object = NULL;
    }
}

static void exec_free(struct exec *exec) {
    close_object(exec);
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
    close_object(exec);
    exec->file = interpreter;
    if ((status = file_open_executable(interpreter, &exec->object, ignored_name)) != OK) {
        exec->object = NULL;
        return status;
    }
    exec->arguments.argc = argument != NULL ? 3 : 2;
    if ((status = arguments_add(&exec->arguments, interpreter)) != OK ||
        (argument != NULL && (status = arguments_add(&exec->arguments, argument)) != OK))
        return status;
    return arguments_add(&exec->arguments, exec->path);
}

static enum status open_program(struct exec *exec, bool *is_script) {
    enum status status = file_open_executable(exec->path, &exec->object, exec->name);

    if (status != OK) {
        exec->object = NULL;
        return status;
    }
    return resolve_script(exec, is_script);
}

/* The program is what a handle is on: its name is what it is called in its arguments. */
static enum status open_program_handle(struct exec *exec, int fd, vaddr_t argv) {
    vaddr_t text = 0;
    size_t length;
    enum status status = file_executable(fd, &exec->object);

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

/* Builds the new program in the empty user half. The executable is given away to it. */
static enum status build_program(struct exec *exec) {
    struct process *process = process_current();
    vaddr_t rsp;
    enum status status;

    LOCAL->vm.executable = exec->object;
    exec->object = NULL;
    if ((status = elf_map(LOCAL->vm.executable, &exec->image)) != OK ||
        (status = exec_stack_build(&exec->arguments, &exec->image, exec->path, &rsp)) != OK)
        return status;
    LOCAL->vm.heap_start = LOCAL->vm.heap_end = exec->image.end;
    strlcpy(process->name, exec->name, sizeof(process->name));
    file_set_executable_path(exec->by_handle ? "" : exec->file);
    reset_registers(exec->image.entry, rsp);
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
    if (fd != AT_FDCWD && length > 0 && exec->path[0] != '/')
        return ERR_NOT_SUPPORTED;
    return open_program(exec, is_script);
}

static enum status execute(int fd, vaddr_t path, vaddr_t argv, vaddr_t envp, unsigned flags) {
    struct exec *exec;
    bool is_script;
    enum status status = exec_alloc(&exec);

    if (status != OK)
        return status;
    if ((status = open_what(exec, fd, path, argv, flags, &is_script)) != OK ||
        (status = collect_user_arguments(exec, argv, envp, is_script)) != OK ||
        (status = elf_read(exec->object, &exec->image)) != OK) {
        exec_free(exec);
        return status;
    }

    futex_thread_exit(); /* while the old words are still there */
    if ((status = process_begin_exec()) != OK) {
        exec_free(exec);
        return status;
    }
    become_first_thread();
    handles_close_on_exec();
    signal_exec();
    status = build_program(exec);
    exec_free(exec);
    if (status != OK)
        process_exit(SIGKILL);
    return OK;
}

enum status sys_execve(struct syscall *call) { return execute(AT_FDCWD, call->arg[0], call->arg[1], call->arg[2], 0); }

/* Relative to a directory other than the working directory: not supported. */
enum status sys_execveat(struct syscall *call) {
    unsigned flags = (unsigned)call->arg[4];

    if (flags & ~AT_EMPTY_PATH)
        return ERR_INVALID;
    return execute((int)call->arg[0], call->arg[1], call->arg[2], call->arg[3], flags);
}

/* What has a name only for its arguments. */
static enum status open_program_object(struct exec *exec, struct memory_object *object) {
    enum status status = ephmap_open(object);

    if (status != OK) {
        object_unref(object);
        return status;
    }
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
    status = program != NULL ? open_program_object(exec, program) : open_program(exec, &is_script);
    if (status == OK && !is_script) {
        exec->arguments.argc = 1;
        status = arguments_add(&exec->arguments, path);
    }
    for (size_t i = 0; i < sizeof(environment) / sizeof(environment[0]) && status == OK; i++) {
        exec->arguments.envc++;
        status = arguments_add(&exec->arguments, environment[i]);
    }
    if (status == OK && (status = elf_read(exec->object, &exec->image)) == OK)
        status = build_program(exec);
    exec_free(exec);
    return status;
}
