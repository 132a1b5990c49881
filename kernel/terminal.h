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
#include "kernel/status.h"
#include "kernel/terminal_abi.h"
#include "kernel/wait.h"
#include "mm/types.h"

struct endpoint;
struct file;
struct file_operations;
struct server;

/* Class GLOBAL: settings and numbers, never a byte that was typed or written. */
struct terminal {
    struct list link;      /* all terminals. Protected by terminals_lock */
    uint32_t refs;         /* likewise: files on it; the console has one more */
    bool is_console;       /* constant */
    struct spinlock lock;  /* rank PIPE; protects all below. Nothing else is taken with it but wait queues */
    uint32_t holders;      /* handles of those who serve it */
    struct server *server; /* NULL before the first one is attached; then constant */
    bool hung_up;          /* nobody can serve it any more */
    uint32_t events;       /* POLL* bits: what its server said last */
    uint32_t changes;      /* counts what the server said: a change between an answer and a sleep is not lost */
    struct terminal_state state;
    uint32_t foreground, session; /* process group, session; 0: of nobody */
    struct wait_queue changed;
};

/* A terminal as programs see it: file->target. For inodes of /dev by their number, and for SYS_TERMINAL_OPEN. */
extern const struct file_operations terminal_operations;

/* Calls its server may make take it from the handle: file->target. */
extern const struct file_operations terminal_handle_operations;

/* Once, at boot. */
void terminal_init(void);

/* One that has no name, with one reference. ERR_NO_MEMORY. */
MUST_USE enum status terminal_create(struct terminal **out);
/* The one of /dev/console, with a reference more. */
struct terminal *terminal_console(void);
/* The one of the caller's session, with a reference, or NULL. */
struct terminal *terminal_of_caller(void);
void terminal_ref(struct terminal *terminal);
void terminal_unref(struct terminal *terminal);

/* One more file, or one less, by which the terminal can be served. Without any, one without a name hangs up. */
void terminal_hold(struct terminal *terminal);
void terminal_release(struct terminal *terminal);

/*
 * A server answers from now on; calls that wait go there. *state: what the terminal begins with if this is the first
 * one; then what it has. ERR_BUSY: there is one that lives. ERR_NO_MEMORY.
 */
MUST_USE enum status terminal_attach(struct terminal *terminal, struct endpoint *endpoint,
                                     struct terminal_state *state);

/* What would not wait now. Wakes everybody who waits. */
void terminal_set_events(struct terminal *terminal, uint32_t events);
/* Other settings; another size is told the foreground group. */
void terminal_set_state(struct terminal *terminal, const struct terminal_state *state);
/* To the foreground group, if there is one. */
void terminal_signal(struct terminal *terminal, int number);

/* ioctl. */
MUST_USE enum status terminal_control(struct file *file, uint32_t command, uint64_t argument, int64_t *result);

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
 * Asks until the server has an answer. While it says EAGAIN, and before there is one: sleeps until something changes,
 * or, without `may_wait`, ERR_WOULD_BLOCK. ERR_RESTART: a signal. ERR_IO: hung up, or no answer in time. Or what the
 * server says. May sleep.
 */
MUST_USE enum status terminal_ask(struct terminal *terminal, struct question *question, bool may_wait);

#endif
