/*
 * Handles, messages, memory objects and devices: the system calls that Penumbra has and Linux has not.
 *
 * Shared by the kernel and user programs (servers, drivers, tests), so it holds plain C types only. A handle is a file
 * descriptor: dup(), close(), fork(), exec() and a process's death do with it what they do with any other. Failures are
 * negative errno values as everywhere.
 */
#ifndef KERNEL_IPC_ABI_H
#define KERNEL_IPC_ABI_H

#include <stdint.h>

/* --- Messages -----------------------------------------------------------------------------------------------------
 *
 * A message is a label, three words, up to IPC_BYTES_MAX bytes and up to IPC_HANDLES_MAX handles. Label and words
 * travel in registers, the same for all four calls, in and out:
 *
 *     in   rax number   rdi handle           rsi label   rdx, r10, r8 words   r9 struct ipc_extra * or 0
 *     out  rax status   rdi badge            rsi label   rdx, r10, r8 words   r9 token (of a received call)
 *
 * What comes with a notification: label IPC_NOTIFICATION, badge 0, token 0, the first word the bits.
 */
enum ipc_call_number {
    SYS_IPC_CALL = 1001,          /* sends, waits for the answer. RIGHT_CALL */
    SYS_IPC_RECEIVE = 1002,       /* waits for a call or a notification. RIGHT_RECEIVE */
    SYS_IPC_REPLY = 1003,         /* rdi: the token of a call that was received and not answered yet. Never waits */
    SYS_IPC_REPLY_RECEIVE = 1004, /* answers the call that this thread received last, if it is not answered; receives */
    SYS_IPC_NOTIFY = 1005,        /* rsi: bits, which a receiver gets at once or next. RIGHT_NOTIFY. Never waits */
};

#define IPC_BYTES_MAX    65536U
#define IPC_HANDLES_MAX  4U
#define IPC_NOTIFICATION 0xffffffffU /* no caller can send this label */
#define IPC_FOREVER      UINT64_MAX

/*
 * The part of a message that does not fit in registers. Both directions in one: what is sent, and room for what comes.
 * More bytes than there is room for: EMSGSIZE for the sender, the receiver never sees it. Handles that come without
 * room are dropped.
 */
struct ipc_extra {
    uint64_t bytes;                   /* in: address of the bytes to send */
    uint64_t buffer;                  /* in: where bytes that come go */
    uint32_t length;                  /* in: how many to send */
    uint32_t room;                    /* in: how many fit. Out: how many came */
    uint64_t timeout_ns;              /* in: from now; IPC_FOREVER: none. 0: only what can be done at once. ETIMEDOUT */
    uint32_t handle_count;            /* in: how many of handles[] to send (the sender keeps its own; RIGHT_TRANSFER) */
    uint32_t handle_room;             /* in: how many may come. Out: how many came */
    int32_t handles[IPC_HANDLES_MAX]; /* in */
    int32_t taken_handles[IPC_HANDLES_MAX]; /* out: new descriptors, close-on-exec */
};

/*
 * Errors of a call: EBADF, EACCES (the handle has not the right), EPIPE (nobody can receive any more, or the process
 * that received it died before it answered: at once, never a hang), ETIMEDOUT, EINTR (a signal; the call is abandoned),
 * EMSGSIZE, EFAULT, ENOMEM, EMFILE. Of a reply: ENOENT (the caller has gone).
 */

/* --- Handles ------------------------------------------------------------------------------------------------------ */

enum handle_right {
    RIGHT_READ = 0x1,        /* files, memory objects, device registers, ports: read, map readable. Grants: copy out */
    RIGHT_WRITE = 0x2,       /* … write, map writable. Grants: copy in */
    RIGHT_CALL = 0x4,        /* endpoint */
    RIGHT_RECEIVE = 0x8,     /* endpoint: receive and reply */
    RIGHT_NOTIFY = 0x10,     /* endpoint */
    RIGHT_TRANSFER = 0x20,   /* may be sent in a message and minted from */
    RIGHT_DMA = 0x40,        /* grant: a device may do it */
    RIGHT_DEVICES = 0x100,   /* authority: PCI, device registers, ports, interrupts */
    RIGHT_NAMESPACE = 0x200, /* authority: mounts, terminals */
    RIGHT_ARCHIVE = 0x400,   /* authority: the boot archive */
    RIGHT_ALL = 0x77f,
};

enum handle_call_number {
    SYS_AUTHORITY = 1010,       /* () → handle with every right of an authority. pid 1 only: EPERM */
    SYS_ENDPOINT_CREATE = 1011, /* () → handle with CALL, RECEIVE, NOTIFY, TRANSFER */
    SYS_HANDLE_MINT = 1012,     /* (handle, rights to keep, badge) → new handle on the same. TRANSFER. The badge tells
                                   the receiver which handle was used; only one whose badge is 0 can be given one */
    SYS_HANDLE_RIGHTS = 1013,   /* (handle) → its rights */
    SYS_ENDPOINT_WATCH = 1014,  /* (handle to watch, endpoint to tell, bits): notified when nobody can receive on the
                                   first any more; at once if so already. The second needs NOTIFY */
};

/* --- Memory objects and pagers ------------------------------------------------------------------------------------
 *
 * A memory object can be read, written, mapped, truncated like a file. With a pager, pages that are not resident are
 * asked of it by a call on its endpoint, and modified ones given back. The handle in the call is a grant: the right to
 * have a device move these pages, not the pages.
 */
enum object_call_number {
    SYS_OBJECT_CREATE = 1020, /* (bytes, endpoint or -1, id for the pager) → handle with READ, WRITE, TRANSFER */
    SYS_OBJECT_MOVE = 1021, /* (to, to page, from, from page, pages): whole pages change objects; what was at `to` goes.
                                 WRITE on both, and READ on `from`. EBUSY: a grant holds some of them */
    SYS_GRANT_CREATE = 1022,  /* (object, first page, pages, enum grant_direction) → handle with DMA, TRANSFER and, of
                                 READ and WRITE, what the object's handle has */
    SYS_GRANT_COPY = 1023,    /* (grant, byte offset, buffer, bytes, 1: into the grant): for pagers without a device.
                                 RIGHT_WRITE into it, RIGHT_READ out of it */
    SYS_PAGER_TIMEOUT = 1024, /* (object, ns): how long its pager may take. Default PAGER_TIMEOUT_NS */
};

#define PAGER_TIMEOUT_NS 30000000000ULL
#define GRANT_PAGES_MAX  64U /* of one grant: 256 KiB */

enum grant_direction { GRANT_FILL, GRANT_STORE }; /* device → memory, memory → device */

/* Calls of the kernel on a pager. Words: the object's id, first page, pages. Answer: label 0 or an errno. */
enum pager_label {
    PAGER_FILL = 0x100, /* handle: a FILL grant of clean pages. Pages that are not touched read as zero */
    PAGER_STORE,        /* handle: a STORE grant. Answered when the device has it (not: when it is durable). Bytes, of
                           a mount's: uint64_t, the file's size as it is now, which FS_SETATTR may only tell later */
    PAGER_SYNC,         /* what was stored before becomes durable */
    PAGER_GONE,         /* nobody refers to the object any more */
};

/* --- Devices ------------------------------------------------------------------------------------------------------ */

enum device_call_number {
    SYS_PCI_CONFIG =
        1030, /* (authority, bus << 8 | device << 3 | function, offset, width 1/2/4, 1: write, value) → value.
                              DEVICES. The bus-master bit is the kernel's: writes leave it alone */
    SYS_REGION_CREATE = 1031,    /* (authority, physical address, bytes) → handle to map, uncached. Not RAM: EPERM */
    SYS_PORTS_CREATE = 1032,     /* (authority, first port, count) → handle for SYS_PORTS_IO */
    SYS_PORTS_IO = 1033,         /* (ports, enum port_operation, offset, value or buffer, bytes) → value or count */
    SYS_INTERRUPT_CREATE = 1034, /* (authority, IRQ line or -1: message-signalled, uint64_t[2] out: address, data,
                                    endpoint, bits) → handle; closing it ends it. NOTIFY on the endpoint */
    SYS_INTERRUPT_DONE = 1035,   /* (interrupt): a line may fire again */
    SYS_DMA_CREATE = 1036,  /* (authority, PCI address) → handle: the function's right to reach memory. One at a time:
                                    EBUSY. When it is closed or its owner dies the device is cut off, then grants end */
    SYS_DMA_ENABLE = 1037,  /* (dma, 0 or 1): bus mastering; off at first */
    SYS_DMA_MEMORY = 1038,  /* (dma, pages ≤ 16, uint64_t out[pages]: device addresses) → memory object, resident
                                    and granted in both directions as long as the dma handle is open */
    SYS_DMA_GRANT = 1039,   /* (dma, grant, uint64_t out[]: device addresses, the direction that it must have: EINVAL)
                                    → pages: the device may reach them until SYS_DMA_REVOKE. RIGHT_DMA. The grant is
                                    held meanwhile */
    SYS_DMA_REVOKE = 1040,  /* (dma, grant): the device has finished */
    SYS_DMA_FAULTS = 1041,  /* (dma) → how often the device tried to reach what it may not. EOPNOTSUPP: no IOMMU */
    SYS_RANDOM_SEED = 1042, /* (authority, buffer, bytes): mixed into every process's random numbers. DEVICES */
};

enum port_operation {
    PORT_READ8,
    PORT_WRITE8,
    PORT_READ16,
    PORT_WRITE16,
    PORT_READ32,
    PORT_WRITE32,
    PORT_WRITE_BYTES
}; /* the last: all bytes of a buffer to one port */

/* --- Names -------------------------------------------------------------------------------------------------------- */

enum name_call_number {
    SYS_MOUNT = 1050, /* (authority, path of a directory or "/", endpoint, struct mount_options *) → mount handle.
                                NAMESPACE. Closing it takes the mount out */
    SYS_MOUNT_ATTACH = 1051, /* (mount, endpoint): its server has been started again; calls in progress go on there */
    SYS_MOUNT_FORGET = 1052, /* (mount, node, name or 0): the server takes back what it let be cached of it: of that
                                name, or of the node all names and the attributes. Node 0: all of the mount is saved and
                                forgotten; EBUSY when something of it is in use */
    SYS_MOUNT_ADOPT = 1053,  /* (mount, node, object, bytes): the object's pages become the file's (MOUNT_MEMORY) */
    SYS_ARCHIVE = 1054,      /* (authority) → the boot archive as a memory object. ARCHIVE */
    SYS_MOUNT_TABLE = 1055,  /* (index, struct mount_state *): for /proc/mounts' readers. ENOENT behind the last */
    SYS_CACHE_DROP = 1056,   /* (): forgets names, attributes and clean pages that can be had again. uid 0 */
};

/*
 * Terminals (kernel/terminal_abi.h). The handle of one serves it (RIGHT_RECEIVE) or opens it (RIGHT_CALL). With the
 * last handle gone a terminal without a name hangs up; the console waits for the next one.
 */
enum terminal_call_number {
    SYS_TERMINAL_CREATE = 1057, /* (authority, "console") → handle with RECEIVE, CALL, TRANSFER. NAMESPACE.
                                   (-1, 0): a terminal without a name, like a pseudo-terminal; no right needed */
    SYS_TERMINAL_ATTACH = 1058, /* (terminal, endpoint, struct terminal_state *): calls go there from now on. In: the
                                   state of a terminal nobody served before; out: what it has. EBUSY: it is served; EIO:
                                   it has hung up */
    SYS_TERMINAL_OPEN = 1059,   /* (terminal) → descriptor of the terminal, as from open() */
    SYS_TERMINAL_EVENTS = 1060, /* (terminal, POLL bits): what would not wait now; wakes all who wait, so that the
                                   kernel asks again. EIO: it has hung up */
    SYS_TERMINAL_SIGNAL = 1061, /* (terminal, SIGINT, SIGQUIT, SIGTSTP or SIGHUP): to the foreground group */
    SYS_TERMINAL_STATE = 1062,  /* (terminal, struct terminal_state *): from now on. SIGWINCH for another size */
    SYS_TERMINAL_SHOW = 1063,   /* (terminal, bytes, count): on the screen. ENXIO: not the console, or no screen */
    SYS_TERMINAL_PTYS = 1064,   /* (authority, endpoint): serves all pseudo-terminals from now on. NAMESPACE; CALL on
                                   the endpoint. EBUSY: another does, and lives */
    SYS_TERMINAL_SCREEN = 1065, /* (terminal, struct terminal_screen *, 1: take it): what the screen is. From when it is
                                   taken until the terminal is closed the kernel draws nothing but a panic. ENXIO:
                                   not the console, or no framebuffer */
};

enum mount_flag {
    MOUNT_MEMORY = 1, /* no pager: the pages have no other home than the kernel, and stay */
    MOUNT_READ_ONLY = 2,
};

struct mount_options {
    char type[16];       /* "memfs", "ext4", … */
    char source[48];     /* what it is of, for people */
    uint64_t root;       /* the server's node number of its root */
    uint32_t flags;      /* enum mount_flag */
    uint32_t timeout_ms; /* how long a call may take; 0: PAGER_TIMEOUT_NS */
};

struct mount_state {
    char path[256], type[16], source[48];
    uint32_t flags, attached;                            /* 0: its server is gone */
    uint64_t calls, names, negative_names, hits, misses; /* messages sent; entries cached; look-ups in the cache */
};

#endif
