/*
 * Terminals: files whose reads, writes and settings are messages to the process that serves them
 * (kernel/terminal_abi.h). What stays here are facts about processes: whose terminal it is, which group is in the
 * foreground, who waits.
 */
#ifndef KERNEL_TERMINAL_H
#define KERNEL_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/spinlock.h"
#include "kernel/list.h"
#include "kernel/open_file.h"
#include "kernel/status.h"
#include "kernel/terminal_abi.h"
#include "kernel/wait.h"
#include "mm/types.h"

struct endpoint;
struct server;

/* Class GLOBAL: settings and numbers, never a byte that was typed or written. */
struct terminal {
    struct list link;      /* all terminals. Protected by terminals_lock */
    uint32_t refs;         /* likewise: files on it; the console has one more */
    bool is_console;       /* constant */
    bool is_pty;           /* constant: struct pty.terminal */
    uint32_t id;           /* of a pseudo-terminal: what its server calls it; 0: it did not say yet. Set before anybody
                              else knows the terminal */
    struct spinlock lock;  /* rank PIPE; protects all below. Nothing else is taken with it but wait queues */
    uint32_t holders;      /* handles of those who serve it */
    struct server *server; /* NULL before the first one is attached; then constant */
    bool hung_up;          /* nobody can serve it any more */
    uint32_t events;       /* POLL* bits: what its server said last */
    uint32_t changes;      /* counts what the server said: a change between an answer and a sleep is not lost */
    struct terminal_state state;
    uint32_t foreground, session; /* process group, session; 0: of nobody */
    uint32_t files;               /* that are open on it; its master's are none of them */
    bool was_opened;              /* there has been one */
    bool exclusive;               /* as long as it is open nobody but root opens it again */
    bool locked;                  /* a pseudo-terminal's, at first: it cannot be opened */
    uint32_t master_events;       /* of a pseudo-terminal: as `events`, for its master */
    struct wait_queue changed;
};

/*
 * A terminal as programs see it: file->target. For inodes of /dev by their number, and for SYS_TERMINAL_OPEN. And the
 * other end of a pseudo-terminal, its master: struct pty.terminal likewise.
 */
extern const struct file_operations terminal_operations, pty_master_operations;
static inline bool terminal_file_is_master(const struct file *file) {
    return file->operations == &pty_master_operations;
}

/* Calls its server may make take it from the handle: file->target. */
extern const struct file_operations terminal_handle_operations;

/* Once, at boot. */
void terminal_init(void);

/* What is zero but for what says of which kind it is becomes a terminal, with one reference. */
void terminal_begin(struct terminal *terminal);
/* One that has no name, with one reference. ERR_NO_MEMORY. */
MUST_USE enum status terminal_create(struct terminal **out);
/* The one of /dev/console, with a reference more. */
struct terminal *terminal_console(void);
/* The one of the caller's session, with a reference, or NULL. */
struct terminal *terminal_of_caller(void);
void terminal_ref(struct terminal *terminal);
void terminal_unref(struct terminal *terminal);

/* One with an inode of its own, that can be opened by a name, with a reference; or NULL. */
struct terminal *terminal_find_pty(const struct inode *inode);

/* One more file is open on it. ERR_IO: it has hung up, or is locked; ERR_BUSY: it is exclusive. And one less. */
MUST_USE enum status terminal_enter(struct terminal *terminal);
void terminal_leave(struct terminal *terminal);
/* Nobody has it open any more: what its master reads is what was written before. */
bool terminal_is_left(const struct terminal *terminal);

/* It can never be used again; its server and its session are told. */
void terminal_hang_up(struct terminal *terminal);

/* One more file, or one less, by which the terminal can be served. Without any, one without a name hangs up. */
void terminal_hold(struct terminal *terminal);
void terminal_release(struct terminal *terminal);

/*
 * A server answers from now on; calls that wait go there. *state: what the terminal begins with if this is the first
 * one; then what it has. ERR_BUSY: there is one that lives. ERR_IO: it has hung up. ERR_NO_MEMORY.
 */
MUST_USE enum status terminal_attach(struct terminal *terminal, struct endpoint *endpoint,
                                     struct terminal_state *state);

/* What would not wait now. Wakes everybody who waits. ERR_IO: it has hung up. */
MUST_USE enum status terminal_set_events(struct terminal *terminal, uint32_t events);
/* Other settings; another size is told the foreground group. */
void terminal_set_state(struct terminal *terminal, const struct terminal_state *state);
/* To the foreground group, if there is one. */
void terminal_signal(struct terminal *terminal, int number);

/* --- kernel/terminal_jobs.c: sessions and groups --- */

/* Whether it is the one of the caller's session. */
bool terminal_is_own(const struct terminal *terminal);
/*
 * Before the caller does what only the foreground may: SIGTTIN's is to read, SIGTTOU's to change settings, or to write
 * with TOSTOP. ERR_RESTART: its group was sent the signal. ERR_IO: it would not stop for it (SIGTTOU: OK, if it ignores
 * or blocks that).
 */
MUST_USE enum status terminal_check_background(const struct terminal *terminal, int number);
/* TIOCSPGRP's errors. */
MUST_USE enum status terminal_set_foreground(struct terminal *terminal, int32_t group);
/* It becomes that of the session which the caller leads. `steal`: also if it is another's. ERR_NOT_PERMITTED. */
MUST_USE enum status terminal_take_over(struct terminal *terminal, bool steal);
/* The caller, or if it leads the session all of it, has it no more. ERR_NOT_TERMINAL: it had not. */
MUST_USE enum status terminal_give_up(struct terminal *terminal);
/* The caller ends: if it leads a session, that loses its terminal, and the foreground is told. */
void terminal_leader_ends(void);
/* The terminal's end: the leader and the foreground are told, and have it no more. */
void terminal_hang_up_session(struct terminal *terminal);

/* The number of the device that is the terminal of a session, as in stat(); 0: it has none. */
uint32_t terminal_device_of(uint32_t session);

/* ioctl. */
MUST_USE enum status terminal_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result);

/* Commands of both kernel/terminal_control.c and kernel/pty.c. */
enum packet_command { TIOCPKT = 0x5420, TIOCGPKT = 0x80045438 };

/* What of ioctl is the server's to answer. */
MUST_USE enum status terminal_control_server(const struct file *file, uint32_t command, uint64_t argument);

/* A call of the kernel on the server, and room for its answer. Buffers as struct message's. */
struct question {
    uint32_t label;
    uint64_t word[3];
    const void *bytes;
    vaddr_t user_bytes; /* where `bytes` is NULL */
    size_t length;
    vaddr_t user_buffer;
    size_t room;     /* in: how many bytes fit. Out: how many came */
    uint64_t number; /* out: word 0 of the answer */
};

/*
 * Asks the server of a file's terminal until it has an answer. While it says EAGAIN, and before there is one: sleeps
 * until something changes, or, without `may_wait`, ERR_WOULD_BLOCK. ERR_RESTART: a signal. ERR_IO: hung up, or no
 * answer in time, or a master reads what nobody will write. Or what the server says. May sleep.
 */
MUST_USE enum status terminal_ask(const struct file *file, struct question *question, bool may_wait);

#endif
