/*
 * System V IPC as Linux's user space sees it: numbers and structures of shm*, sem* and msg*.
 */
#ifndef KERNEL_SYSV_ABI_H
#define KERNEL_SYSV_ABI_H

#include <stdint.h>

#define IPC_PRIVATE 0

enum sysv_flag {
    IPC_CREAT = 01000,
    IPC_EXCL = 02000,
    IPC_NOWAIT = 04000,

    SHM_RDONLY = 010000,
    SHM_RND = 020000,
    SHM_REMAP = 040000,
    SHM_EXEC = 0100000,
    SHM_HUGETLB = 04000,

    SEM_UNDO = 0x1000,

    MSG_NOERROR = 010000,
    MSG_EXCEPT = 020000,
    MSG_COPY = 040000,
};

enum sysv_command {
    IPC_RMID = 0,
    IPC_SET = 1,
    IPC_STAT = 2,
    IPC_INFO = 3,

    SHM_LOCK = 11,
    SHM_UNLOCK = 12,
    SHM_STAT = 13,
    SHM_INFO = 14,
    SHM_STAT_ANY = 15,

    GETPID = 11,
    GETVAL = 12,
    GETALL = 13,
    GETNCNT = 14,
    GETZCNT = 15,
    SETVAL = 16,
    SETALL = 17,
    SEM_STAT = 18,
    SEM_INFO = 19,
    SEM_STAT_ANY = 20,

    MSG_STAT = 11,
    MSG_INFO = 12,
    MSG_STAT_ANY = 13,
};

/* Bits of shm_perm.mode above the rights. */
enum { SHM_DEST = 01000, SHM_LOCKED = 02000 };

struct ipc64_perm {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t sequence, padding[3];
    uint64_t unused[2];
};
_Static_assert(sizeof(struct ipc64_perm) == 48, "struct ipc64_perm");

struct shmid64_ds {
    struct ipc64_perm perm;
    uint64_t size;
    int64_t attach_time, detach_time, change_time;
    int32_t creator, last;
    uint64_t attached, unused[2];
};
_Static_assert(sizeof(struct shmid64_ds) == 112, "struct shmid64_ds");

struct shminfo64 {
    uint64_t max_bytes, min_bytes, max_ids, max_attached, max_pages, unused[4];
};
struct shm_info {
    int32_t used_ids, padding;
    uint64_t total, resident, swapped, swap_attempts, swap_successes;
};

struct semid64_ds {
    struct ipc64_perm perm;
    int64_t operation_time;
    uint64_t unused1;
    int64_t change_time;
    uint64_t unused2, count, unused[2];
};
_Static_assert(sizeof(struct semid64_ds) == 104, "struct semid64_ds");

struct seminfo {
    int32_t map, max_ids, max_all, max_undo_all, max_count, max_operations, max_undo, undo_bytes, max_value, max_adjust;
};

struct sembuf {
    uint16_t number;
    int16_t operation, flags;
};

struct msqid64_ds {
    struct ipc64_perm perm;
    int64_t send_time, receive_time, change_time;
    uint64_t bytes, messages, max_bytes;
    int32_t last_sender, last_receiver;
    uint64_t unused[2];
};
_Static_assert(sizeof(struct msqid64_ds) == 120, "struct msqid64_ds");

struct msginfo {
    int32_t pool, map, max_message, max_bytes, max_ids, segment, all;
    uint16_t segments;
};

#endif
