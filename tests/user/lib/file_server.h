/*
 * A file server for tests: kernel/fs_abi.h over a small tree that lies in memory shared with the test, so that the test
 * can count messages, tell the server to misbehave, and start another one that goes on with the same tree.
 */
#ifndef TESTS_USER_LIB_FILE_SERVER_H
#define TESTS_USER_LIB_FILE_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "kernel/fs_abi.h"
#include "kernel/ipc_abi.h"

enum {
    SERVED_NODES = 256,
    SERVED_ENTRIES = 512,
    SERVED_OPS = FS_STATFS + 1,
    SERVED_ROOT = 1,
    SERVED_MANY_FIRST = 100000, /* node of the first file of the directory "many", which is not stored */
};

enum served_lie {
    LIE_NONE,
    LIE_SHORT_REPLY, /* fewer bytes than a reply */
    LIE_LONG_REPLY,  /* more than it says */
    LIE_COUNT,       /* a count that is not there */
    LIE_NODE_ZERO,
    LIE_TYPE_NONE,     /* a mode without a type */
    LIE_MODE_BITS,     /* bits that no mode has */
    LIE_SIZE,          /* larger than a file can be */
    LIE_NO_LINKS,      /* found, but it has no name */
    LIE_ERRNO,         /* an errno that there is not */
    LIE_ROOT_BELOW,    /* the root as its own child */
    LIE_OTHER_TYPE,    /* a directory today, a file tomorrow */
    LIE_SLASH_NAME,    /* an entry's name with a slash in it */
    LIE_ENTRY_LENGTH,  /* an entry longer than the reply */
    LIE_ENTRY_ZERO,    /* an entry of no length */
    LIE_HUGE_POSITION, /* an entry behind all positions */
    LIE_NUL_TARGET,    /* a link's target with a NUL in it */
    LIE_EMPTY_TARGET,
    LIES
};

struct served_node {
    struct fs_attributes attributes; /* node 0: free */
    uint64_t parent;                 /* of a directory */
    char target[256];
    bool forgotten;
};

struct served_entry {
    uint64_t directory, node; /* node 0: free */
    char name[64];
};

struct served {
    /* What the test may look at and change meanwhile. */
    _Atomic unsigned calls[SERVED_OPS];
    _Atomic unsigned tells_end;                   /* a list's last answer says that it is */
    _Atomic unsigned no_cache;                    /* nothing may be cached */
    _Atomic unsigned lie;                         /* enum served_lie, in every answer */
    _Atomic unsigned delay_ms;                    /* before each answer */
    _Atomic unsigned die_before;                  /* enum fs_op: on such a call it ends, before it does it */
    _Atomic unsigned die_after;                   /* … after it has done it */
    _Atomic unsigned many;                        /* files in "many" */
    _Atomic unsigned bad_forgets;                 /* FS_FORGET of what still has a name, or was forgotten before */
    _Atomic unsigned repeated;                    /* calls that had been done before */
    _Atomic unsigned fills, stores, stored_pages; /* pager's calls */
    _Atomic unsigned room;                        /* pages that it says it has, stored ones included */
    _Atomic unsigned hold;                        /* enum fs_op: such a call is not answered until this is cleared */
    _Atomic unsigned held;                        /* one is */

    struct served_node nodes[SERVED_NODES];
    struct served_entry entries[SERVED_ENTRIES];
    struct {
        uint64_t request;
        uint32_t label;
        struct fs_reply reply;
    } answers[FS_CHANGES_MAX];

    /* The test's side. */
    int mount;     /* the handle, or -1 */
    pid_t pid;     /* the server's process */
    char path[64]; /* where it is mounted */
    uint32_t flags;
};

/* A tree with nothing but the root; nothing runs yet. Skips the case where there is no SYS_ASI. */
struct served *served_create(void);
/* Adds a node and its name; returns its number. `target` of a symbolic link, else NULL. */
uint64_t served_add(struct served *served, uint64_t directory, const char *name, uint32_t mode, const char *target);

/* Starts the server and mounts it at a new directory of that name under /tmp; `flags`: enum mount_flag. */
void served_mount(struct served *served, const char *name, uint32_t flags, uint32_t timeout_ms);
/* The path of a name in it; the string lives until the next call but seven. */
const char *served_path(const struct served *served, const char *name);
/* Starts a new server after the old one has ended, and attaches it. */
void served_restart(struct served *served);
/* Waits for the server's end (it was told to die). */
void served_wait_dead(struct served *served);
/* Takes the mount out, stops the server, removes the directory. */
void served_end(struct served *served);

/* All messages so far. */
unsigned served_calls(const struct served *served);

#endif
