/*
 * Owns: pseudo-terminals as the kernel sees them: their numbers, their names in /dev/pts, their masters.
 *
 * The slave is a terminal like any other (kernel/terminal.c); its server has the line discipline and all bytes between
 * the two ends. When the master is closed the terminal hangs up and its name is gone; when the last file on the slave
 * is, the master reads what is left and then ERR_IO, until the slave is opened again.
 * Class discipline: GLOBAL: numbers and names, never a byte that one end wrote.
 * Locks: ptys_lock (rank PIPE) for numbers and the server; names_lock for names; terminal->lock for the rest. Runs in
 * the caller's space.
 */
#include "kernel/pty.h"

#include "arch/uaccess.h"
#include "kernel/endpoint.h"
#include "kernel/names.h"
#include "kernel/permission.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/server.h"
#include "kernel/signal_abi.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/heap.h"

#define PTYS           TERMINAL_PTYS_MAX
#define GROUP_OF_PTYS  5U /* tty */
#define MODE_OF_PTYS   0620U
#define DIRECTORY      "/dev/pts"
#define SERVER_TIMEOUT (10 * NS_PER_SECOND)
#define STARTS_WITHIN  (2 * NS_PER_SECOND) /* a server, while the machine boots */
#define BITS           64U

enum pty_command {
    TIOCGPGRP = 0x540f,
    TIOCNOTTY = 0x5422,
    TIOCGSID = 0x5429,
    TIOCGPTPEER = 0x5441,
    TIOCSPTLCK = 0x40045431,
    TIOCSIG = 0x40045436,
    TIOCGPTN = 0x80045430,
    TIOCGPTLCK = 0x80045439,
};

/* Class GLOBAL. */
struct pty {
    struct terminal terminal; /* of the slave; refs count files on both ends, and the server's handles */
    struct inode *inode;      /* of the slave, with a reference. Constant */
    uint32_t number;          /* N of /dev/pts/N. Constant */
    bool numbered;            /* it still occupies its number. Protected by terminal.lock */
};

static struct spinlock ptys_lock = SPINLOCK_INIT(RANK_PIPE);
static uint64_t numbers[PTYS / BITS]; /* bits: numbers in use. Protected by ptys_lock */
static struct server *ptys_server;    /* NULL before there was one; then constant */
static struct wait_queue served = WAIT_QUEUE_INIT(served);
static struct special_file devices[PTYS]; /* of the slaves. Constant after boot */
static struct inode *directory;           /* of their names. Constant after boot */

static struct pty *pty_of(const struct terminal *terminal) {
    return container_of((struct terminal *)(uintptr_t)terminal, struct pty, terminal);
}

const struct inode *pty_inode(const struct terminal *terminal) { return pty_of(terminal)->inode; }
uint32_t pty_device(const struct terminal *terminal) { return MAJOR_OF_PTYS << 8 | pty_of(terminal)->number; }

enum status pty_init(void) {
    struct path_walk walk;
    for (unsigned i = 0; i < PTYS; i++)
        devices[i] = (struct special_file){.operations = &terminal_operations, .major = MAJOR_OF_PTYS, .minor = i};
    spin_lock(&names_lock);
    enum status status = path_walk(root_inode, DIRECTORY, NULL, 0, &walk);
    if (status == OK)
        directory = walk.inode; /* for ever: the kernel's own names stay */
    spin_unlock(&names_lock);
    return status;
}

/* --- The server --------------------------------------------------------------------------------------------------- */

enum status pty_attach(struct endpoint *endpoint) {
    struct server *server;
    if (ptys_server != NULL) {
        if (server_is_attached(ptys_server))
            return ERR_BUSY;
        server_attach(ptys_server, endpoint);
        return OK;
    }
    enum status status = server_create(endpoint, SERVER_TIMEOUT, &server);
    if (status != OK)
        return status;
    spin_lock(&ptys_lock);
    const bool first = ptys_server == NULL;
    if (first)
        __atomic_store_n(&ptys_server, server, __ATOMIC_RELEASE);
    spin_unlock(&ptys_lock);
    if (!first)
        server_unref(server);
    wake_all(&served);
    return first ? OK : ERR_BUSY;
}

static bool is_served(void) { return __atomic_load_n(&ptys_server, __ATOMIC_ACQUIRE) != NULL; }

/* The first server may be on its way. */
static enum status wait_until_served(void) {
    const uint64_t deadline = time_monotonic() + STARTS_WITHIN;
    enum status status = OK;
    struct waiter waiter;
    if (is_served())
        return OK;
    wait_begin(&served, &waiter);
    while (status == OK && !is_served())
        status = wait_sleep(deadline);
    wait_end(&waiter);
    return status == ERR_TIMED_OUT ? ERR_NO_DEVICE_ADDRESS : status;
}

/* The server gets a handle on the terminal, attaches itself, and says by which id it will know it. */
static enum status introduce(struct terminal *terminal) {
    struct message message = {.label = TERMINAL_NEW, .handle_count = 1};
    struct file *handle;
    enum status status = file_create_on(&terminal_handle_operations, terminal, RIGHT_RECEIVE, &handle);
    if (status != OK)
        return status;
    terminal_hold(terminal);
    message.handles[0] = handle;
    status = server_call(ptys_server, &message);
    if (status == OK)
        status = server_verdict(message.label);
    if (status == OK)
        terminal->id = (uint32_t)message.word[0];
    file_unref(handle);
    return status;
}

/* --- Numbers and names -------------------------------------------------------------------------------------------- */

/* The lowest that is free. */
static enum status take_number(uint32_t *number) {
    enum status status = ERR_NO_SPACE;
    spin_lock(&ptys_lock);
    for (uint32_t i = 0; i < PTYS && status != OK; i++) {
        if (numbers[i / BITS] >> i % BITS & 1)
            continue;
        numbers[i / BITS] |= 1UL << i % BITS;
        *number = i;
        status = OK;
    }
    spin_unlock(&ptys_lock);
    return status;
}

static void give_number(uint32_t number) {
    spin_lock(&ptys_lock);
    numbers[number / BITS] &= ~(1UL << number % BITS);
    spin_unlock(&ptys_lock);
}

void pty_settle(struct terminal *terminal) {
    struct pty *pty = pty_of(terminal);
    spin_lock(&terminal->lock);
    const bool over = pty->numbered && terminal->hung_up && terminal->files == 0;
    if (over)
        pty->numbered = false;
    spin_unlock(&terminal->lock);
    if (over)
        give_number(pty->number);
}

static enum status make_inode(uint32_t number, struct inode **out) {
    const struct process *self = process_current();
    enum status status = inode_create(S_IFCHR | MODE_OF_PTYS, out);
    if (status != OK)
        return status;
    (*out)->operations = &terminal_operations;
    (*out)->special = &devices[number];
    (*out)->uid = self->user.file;
    (*out)->gid = GROUP_OF_PTYS;
    return OK;
}

static size_t name_of(const struct pty *pty, char *to, size_t size) {
    return format_string(to, size, "%u", pty->number);
}

static enum status add_name(struct pty *pty) {
    struct path_walk walk = {.directory = directory, .last = LAST_NAME};
    char name[12];
    walk.name = name;
    walk.length = name_of(pty, name, sizeof(name));
    spin_lock(&names_lock);
    enum status status = names_attach(&walk, pty->inode);
    spin_unlock(&names_lock);
    return status;
}

static void remove_name(const struct pty *pty) {
    char name[12];
    const size_t length = name_of(pty, name, sizeof(name));
    spin_lock(&names_lock);
    struct directory_entry *entry = directory_find(&directory->directory, name, length);
    struct inode *inode = entry != NULL ? directory_remove(&directory->directory, entry) : NULL;
    if (inode != NULL) {
        inode->links--;
        inode_touch_modified(directory);
    }
    spin_unlock(&names_lock);
    if (inode != NULL)
        inode_unref(inode);
}

/* --- Life --------------------------------------------------------------------------------------------------------- */

/* One that has a number, but neither a server nor a name yet. */
static enum status allocate(uint32_t number, struct pty **out) {
    struct pty *pty = global_alloc(sizeof(*pty));
    if (pty == NULL)
        return ERR_NO_MEMORY;
    enum status status = make_inode(number, &pty->inode);
    if (status != OK) {
        global_free(pty, sizeof(*pty));
        return status;
    }
    pty->number = number;
    pty->numbered = true;
    pty->terminal.is_pty = true;
    pty->terminal.locked = true;
    terminal_begin(&pty->terminal);
    *out = pty;
    return OK;
}

void pty_free(struct terminal *terminal) {
    struct pty *pty = pty_of(terminal);
    inode_unref(pty->inode);
    global_free(pty, sizeof(*pty));
}

static void end(struct pty *pty) {
    struct terminal *terminal = &pty->terminal;
    terminal_hang_up(terminal);
    pty_settle(terminal);
    terminal_unref(terminal);
}

enum status pty_open(struct file *file) {
    struct pty *pty;
    uint32_t number;
    enum status status = wait_until_served();
    if (status == OK)
        status = take_number(&number);
    if (status != OK)
        return status;
    status = allocate(number, &pty);
    if (status != OK) {
        give_number(number);
        return status;
    }
    status = introduce(&pty->terminal);
    if (status == OK)
        status = add_name(pty);
    if (status != OK) {
        end(pty);
        return status;
    }
    file->target = &pty->terminal;
    return OK;
}

void pty_close(struct file *file) {
    struct pty *pty = pty_of(file->target);
    remove_name(pty);
    end(pty);
}

/* --- ioctl -------------------------------------------------------------------------------------------------------- */

static enum status put_number(vaddr_t to, uint32_t number) { return copy_to_user(to, &number, sizeof(number)); }

static enum status set_locked(struct terminal *terminal, vaddr_t from) {
    int32_t locked;
    enum status status = copy_from_user(&locked, from, sizeof(locked));
    if (status != OK)
        return status;
    spin_lock(&terminal->lock);
    terminal->locked = locked != 0;
    spin_unlock(&terminal->lock);
    return OK;
}

/* The slave, opened without a walk to its name. */
static enum status open_peer(const struct pty *pty, uint64_t flags, int64_t *result) {
    struct file *file;
    int fd = 0;
    enum status status = file_create(pty->inode, (uint32_t)flags & (O_ACCMODE | O_NONBLOCK | O_NOCTTY), &file);
    if (status != OK)
        return status;
    status = handle_install(file, 0, flags & O_CLOEXEC, &fd);
    file_unref(file);
    *result = fd;
    return status;
}

/* Those that keys send. */
static enum status send_signal(struct terminal *terminal, uint64_t number) {
    if (number != SIGINT && number != SIGQUIT && number != SIGTSTP)
        return ERR_INVALID;
    terminal_signal(terminal, (int)number);
    return OK;
}

enum status pty_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result) {
    struct terminal *terminal = file->target;
    const struct pty *pty = pty_of(terminal);
    switch (command) {
    case TIOCGPTN:
        return put_number(argument, pty->number);
    case TIOCSPTLCK:
        return set_locked(terminal, argument);
    case TIOCGPTLCK:
        return put_number(argument, terminal->locked);
    case TIOCGPTPEER:
        return open_peer(pty, argument, result);
    case TIOCSIG:
        return send_signal(terminal, argument);
    case TIOCGPGRP: /* anybody's who has the master */
        return put_number(argument, terminal->foreground);
    case TIOCGSID:
        return terminal->session != 0 ? put_number(argument, terminal->session) : ERR_NOT_TERMINAL;
    case TIOCNOTTY: /* a master is nobody's */
        return ERR_NOT_TERMINAL;
    case TIOCPKT:
    case TIOCGPKT:
        return terminal_control_server(file, command, argument);
    default:
        return terminal_control(file, command, argument, result);
    }
}
