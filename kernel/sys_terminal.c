/*
 * The calls by which a process serves a terminal (kernel/ipc_abi.h).
 *
 * Each is by a handle on the terminal: RIGHT_RECEIVE to serve it, RIGHT_CALL to open it.
 * Class discipline: SYS_TERMINAL_SHOW's bytes pass through the caller's kernel stack to the screen, as kernel/print.c's
 * do. Locks: see terminal.c. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "boot/boot_info.h"
#include "drivers/screen.h"
#include "kernel/authority.h"
#include "kernel/endpoint.h"
#include "kernel/open_file.h"
#include "kernel/print.h"
#include "kernel/pty.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "kernel/terminal.h"
#include "kernel/transfer.h"

#define SHOWN_AT_ONCE 128U
/* What keys do: SIGINT, SIGQUIT, SIGTSTP; and what a line that is cut does: SIGHUP. */
#define SIGNALS_OF_TERMINALS (1U << 1 | 1U << 2 | 1U << 3 | 1U << 20)

static struct terminal *terminal_of(const struct file *file) { return file->target; }

static void handle_release(struct file *file) { terminal_release(terminal_of(file)); }
static void handle_reference(struct file *file) { terminal_hold(terminal_of(file)); }

const struct file_operations terminal_handle_operations = {.release = handle_release, .reference = handle_reference};

static enum status get(const struct syscall *call, uint32_t rights, struct file **file) {
    return handle_get_kind((int)call->arg[0], &terminal_handle_operations, rights, file);
}

/* The console for who may have it, or one without a name, which needs no right: nobody comes upon it by chance. */
static enum status find_or_make(int authority, vaddr_t name, struct terminal **out) {
    char text[16];
    size_t length;
    if (name == 0)
        return terminal_create(out);
    enum status status = copy_string_from_user(text, name, sizeof(text), &length);
    if (status == OK)
        status = authority_check(authority, RIGHT_NAMESPACE);
    if (status == OK && strcmp(text, TERMINAL_CONSOLE) != 0)
        status = ERR_NO_ENTRY;
    if (status == OK)
        *out = terminal_console();
    return status;
}

enum status sys_terminal_create(struct syscall *call) {
    struct terminal *terminal;
    struct file *file;
    enum status status = find_or_make((int)call->arg[0], call->arg[1], &terminal);
    if (status != OK)
        return status;
    status = file_create_on(&terminal_handle_operations, terminal, RIGHT_RECEIVE | RIGHT_CALL | RIGHT_TRANSFER, &file);
    if (status == OK)
        terminal_hold(terminal); /* the file's reference; the one above is given back */
    terminal_unref(terminal);
    return status == OK ? handle_publish(file, &call->result) : status;
}

enum status sys_terminal_attach(struct syscall *call) {
    struct file *file;
    struct endpoint *endpoint;
    struct terminal_state state;
    enum status status = copy_from_user(&state, call->arg[2], sizeof(state));
    if (status == OK)
        status = get(call, RIGHT_RECEIVE, &file);
    if (status != OK)
        return status;
    status = endpoint_get((int)call->arg[1], RIGHT_CALL, &endpoint, NULL);
    if (status == OK) {
        status = terminal_attach(terminal_of(file), endpoint, &state);
        endpoint_unref(endpoint);
    }
    file_unref(file);
    return status == OK ? copy_to_user(call->arg[2], &state, sizeof(state)) : status;
}

enum status sys_terminal_open(struct syscall *call) {
    struct file *file, *opened;
    enum status status = get(call, RIGHT_CALL, &file);
    if (status != OK)
        return status;
    status = terminal_enter(terminal_of(file));
    if (status == OK) {
        status = file_create_on(&terminal_operations, file->target, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &opened);
        if (status == OK)
            terminal_ref(terminal_of(file));
        else
            terminal_leave(terminal_of(file));
    }
    file_unref(file);
    return status == OK ? handle_publish(opened, &call->result) : status;
}

enum status sys_terminal_events(struct syscall *call) {
    struct file *file;
    enum status status = get(call, RIGHT_RECEIVE, &file);
    if (status != OK)
        return status;
    status = terminal_set_events(terminal_of(file), (uint32_t)call->arg[1]);
    file_unref(file);
    return status;
}

enum status sys_terminal_signal(struct syscall *call) {
    struct file *file;
    const uint64_t number = call->arg[1];
    if (number >= 32 || !(SIGNALS_OF_TERMINALS >> number & 1))
        return ERR_INVALID;
    enum status status = get(call, RIGHT_RECEIVE, &file);
    if (status != OK)
        return status;
    terminal_signal(terminal_of(file), (int)number);
    file_unref(file);
    return OK;
}

enum status sys_terminal_state(struct syscall *call) {
    struct file *file;
    struct terminal_state state;
    enum status status = copy_from_user(&state, call->arg[1], sizeof(state));
    if (status == OK)
        status = get(call, RIGHT_RECEIVE, &file);
    if (status != OK)
        return status;
    terminal_set_state(terminal_of(file), &state);
    file_unref(file);
    return OK;
}

enum status sys_terminal_ptys(struct syscall *call) {
    struct endpoint *endpoint;
    enum status status = authority_check((int)call->arg[0], RIGHT_NAMESPACE);
    if (status == OK)
        status = endpoint_get((int)call->arg[1], RIGHT_CALL, &endpoint, NULL);
    if (status != OK)
        return status;
    status = pty_attach(endpoint);
    endpoint_unref(endpoint);
    return status;
}

static enum status show(vaddr_t from, size_t bytes) {
    char text[SHOWN_AT_ONCE];
    enum status status = OK;
    for (size_t done = 0; done < bytes && status == OK && !transfer_pause(); done += sizeof(text)) {
        size_t part = bytes - done < sizeof(text) ? bytes - done : sizeof(text);
        status = copy_from_user(text, from + done, part);
        if (status == OK)
            screen_print(text, part);
    }
    memset(text, 0, sizeof(text));
    return status;
}

enum status sys_terminal_show(struct syscall *call) {
    struct file *file;
    enum status status = get(call, RIGHT_RECEIVE, &file);
    if (status != OK)
        return status;
    if (!terminal_of(file)->is_console || !screen_is_there())
        status = ERR_NO_DEVICE_ADDRESS;
    else if (!user_range_ok(call->arg[1], call->arg[2]))
        status = ERR_FAULT;
    else
        status = show(call->arg[1], call->arg[2]);
    file_unref(file);
    return status;
}

enum status sys_terminal_screen(struct syscall *call) {
    struct file *file;
    enum status status = get(call, RIGHT_RECEIVE, &file);
    if (status != OK)
        return status;
    const struct boot_framebuffer *framebuffer = screen_framebuffer();
    if (!terminal_of(file)->is_console || framebuffer == NULL) {
        file_unref(file);
        return ERR_NO_DEVICE_ADDRESS;
    }
    const struct terminal_screen screen = {
        .address = framebuffer->phys,
        .width = framebuffer->width,
        .height = framebuffer->height,
        .pitch = framebuffer->pitch,
        .bits_per_pixel = framebuffer->bits_per_pixel,
        .red_position = framebuffer->red_position,
        .green_position = framebuffer->green_position,
        .blue_position = framebuffer->blue_position,
    };
    status = copy_to_user(call->arg[1], &screen, sizeof(screen));
    if (status == OK && call->arg[2])
        screen_leave_to_server(true);
    file_unref(file);
    return status;
}
