/*
 * Which calls there are: those of kernel/syscall_table.h, each with what is known here of its arguments. A call that
 * the kernel has and this table has not gets numbers of every kind, so a new one is tried from the day it is there.
 * What only this table has waits for the kernel to have it.
 */
#include "tests/fuzz/guest/fuzz.h"

#include <string.h>

#include "asi/abi.h"
#include "kernel/ipc_abi.h"
#include "kernel/syscall_table.h"

enum { OFTEN = 48, USUAL = 16, SELDOM = 4, RARE = 1, ROWS = 480 };

struct known {
    const char *name;
    uint16_t weight;
    bool alone;
    uint8_t kinds[6];
};

/* Those that wait, end something or cost much are seldom. */
static const struct known known[] = {
    /* Files */
    {"read", OFTEN, false, {K_FD, K_OUT, K_SIZE}},
    {"write", OFTEN, false, {K_FD, K_INOUT, K_SIZE}},
    {"open", USUAL, false, {K_PATH, K_OPEN, K_MODE}},
    {"close", USUAL, false, {K_FD}},
    {"stat", USUAL, false, {K_PATH, K_OUT}},
    {"fstat", USUAL, false, {K_FD, K_OUT}},
    {"lstat", USUAL, false, {K_PATH, K_OUT}},
    {"poll", SELDOM, false, {K_POLL, K_SMALL, K_MS}},
    {"lseek", USUAL, false, {K_FD, K_OFFSET, K_SMALL}},
    {"ioctl", USUAL, false, {K_FD, K_IOCTL, K_INOUT}},
    {"pread64", OFTEN, false, {K_FD, K_OUT, K_SIZE, K_OFFSET}},
    {"pwrite64", OFTEN, false, {K_FD, K_INOUT, K_SIZE, K_OFFSET}},
    {"readv", USUAL, false, {K_FD, K_IOV, K_SMALL}},
    {"writev", USUAL, false, {K_FD, K_IOV, K_SMALL}},
    {"preadv", USUAL, false, {K_FD, K_IOV, K_SMALL, K_OFFSET, K_SMALL}},
    {"pwritev", USUAL, false, {K_FD, K_IOV, K_SMALL, K_OFFSET, K_SMALL}},
    {"preadv2", USUAL, false, {K_FD, K_IOV, K_SMALL, K_OFFSET, K_SMALL, K_FLAGS}},
    {"pwritev2", USUAL, false, {K_FD, K_IOV, K_SMALL, K_OFFSET, K_SMALL, K_FLAGS}},
    {"access", USUAL, false, {K_PATH, K_SMALL}},
    {"pipe", USUAL, false, {K_OUT}},
    {"select", SELDOM, false, {K_SMALL, K_FDSET, K_FDSET, K_FDSET, K_TIME}},
    {"dup", USUAL, false, {K_FD}},
    {"dup2", USUAL, false, {K_FD, K_FD}},
    {"dup3", USUAL, false, {K_FD, K_FD, K_OPEN}},
    {"sendfile", USUAL, false, {K_FD, K_FD, K_INOUT, K_COUNT}},
    {"splice", USUAL, false, {K_FD, K_INOUT, K_FD, K_INOUT, K_COUNT, K_FLAGS}},
    {"tee", USUAL, false, {K_FD, K_FD, K_COUNT, K_FLAGS}},
    {"vmsplice", USUAL, false, {K_FD, K_IOV, K_SMALL, K_FLAGS}},
    {"copy_file_range", USUAL, false, {K_FD, K_INOUT, K_FD, K_INOUT, K_COUNT, K_FLAGS}},
    {"fcntl", USUAL, false, {K_FD, K_FCNTL, K_FLOCK}},
    {"flock", SELDOM, false, {K_FD, K_SMALL}},
    {"fsync", SELDOM, false, {K_FD}},
    {"fdatasync", SELDOM, false, {K_FD}},
    {"truncate", USUAL, false, {K_PATH, K_OFFSET}},
    {"ftruncate", USUAL, false, {K_FD, K_OFFSET}},
    {"fallocate", USUAL, false, {K_FD, K_SMALL, K_OFFSET, K_COUNT}},
    {"getcwd", USUAL, false, {K_OUT, K_SIZE}},
    {"chdir", SELDOM, false, {K_PATH}},
    {"fchdir", SELDOM, false, {K_FD}},
    {"chroot", RARE, false, {K_PATH}},
    {"rename", USUAL, false, {K_PATH, K_PATH}},
    {"mkdir", USUAL, false, {K_PATH, K_MODE}},
    {"rmdir", USUAL, false, {K_PATH}},
    {"creat", USUAL, false, {K_PATH, K_MODE}},
    {"link", USUAL, false, {K_PATH, K_PATH}},
    {"unlink", USUAL, false, {K_PATH}},
    {"symlink", USUAL, false, {K_PATH, K_PATH}},
    {"readlink", USUAL, false, {K_PATH, K_OUT, K_SIZE}},
    {"chmod", SELDOM, false, {K_PATH, K_MODE}},
    {"fchmod", SELDOM, false, {K_FD, K_MODE}},
    {"chown", SELDOM, false, {K_PATH, K_UID, K_UID}},
    {"fchown", SELDOM, false, {K_FD, K_UID, K_UID}},
    {"lchown", SELDOM, false, {K_PATH, K_UID, K_UID}},
    {"umask", SELDOM, false, {K_MODE}},
    {"mknod", USUAL, false, {K_PATH, K_NODE, K_SMALL}},
    {"mknodat", USUAL, false, {K_DIRFD, K_PATH, K_NODE, K_SMALL}},
    {"statfs", USUAL, false, {K_PATH, K_OUT}},
    {"fstatfs", USUAL, false, {K_FD, K_OUT}},
    {"sync", RARE, false, {K_NONE}},
    {"syncfs", RARE, false, {K_FD}},
    {"getdents64", USUAL, false, {K_FD, K_OUT, K_SIZE}},
    {"getdents", USUAL, false, {K_FD, K_OUT, K_SIZE}},
    {"fadvise64", USUAL, false, {K_FD, K_OFFSET, K_OFFSET, K_SMALL}},
    {"readahead", USUAL, false, {K_FD, K_OFFSET, K_SIZE}},
    {"sync_file_range", SELDOM, false, {K_FD, K_OFFSET, K_OFFSET, K_FLAGS}},
    {"openat", OFTEN, false, {K_DIRFD, K_PATH, K_OPEN, K_MODE}},
    {"openat2", USUAL, false, {K_DIRFD, K_PATH, K_INOUT, K_SETSIZE}},
    {"mkdirat", USUAL, false, {K_DIRFD, K_PATH, K_MODE}},
    {"fchownat", SELDOM, false, {K_DIRFD, K_PATH, K_UID, K_UID, K_AT}},
    {"newfstatat", USUAL, false, {K_DIRFD, K_PATH, K_OUT, K_AT}},
    {"statx", USUAL, false, {K_DIRFD, K_PATH, K_AT, K_FLAGS, K_OUT}},
    {"unlinkat", USUAL, false, {K_DIRFD, K_PATH, K_AT}},
    {"renameat", USUAL, false, {K_DIRFD, K_PATH, K_DIRFD, K_PATH}},
    {"renameat2", USUAL, false, {K_DIRFD, K_PATH, K_DIRFD, K_PATH, K_SMALL}},
    {"linkat", USUAL, false, {K_DIRFD, K_PATH, K_DIRFD, K_PATH, K_AT}},
    {"symlinkat", USUAL, false, {K_PATH, K_DIRFD, K_PATH}},
    {"readlinkat", USUAL, false, {K_DIRFD, K_PATH, K_OUT, K_SIZE}},
    {"fchmodat", SELDOM, false, {K_DIRFD, K_PATH, K_MODE}},
    {"faccessat", USUAL, false, {K_DIRFD, K_PATH, K_SMALL}},
    {"faccessat2", USUAL, false, {K_DIRFD, K_PATH, K_SMALL, K_AT}},
    {"fchmodat2", SELDOM, false, {K_DIRFD, K_PATH, K_MODE, K_AT}},
    {"pselect6", SELDOM, false, {K_SMALL, K_FDSET, K_FDSET, K_FDSET, K_TIME, K_INOUT}},
    {"ppoll", SELDOM, false, {K_POLL, K_SMALL, K_TIME, K_SIGSET, K_SETSIZE}},
    {"utimensat", USUAL, false, {K_DIRFD, K_PATH, K_TIME, K_AT}},
    {"utime", USUAL, false, {K_PATH, K_INOUT}},
    {"utimes", USUAL, false, {K_PATH, K_TIME}},
    {"futimesat", USUAL, false, {K_DIRFD, K_PATH, K_TIME}},
    {"pipe2", USUAL, false, {K_OUT, K_OPEN}},
    {"close_range", RARE, false, {K_FD, K_FD, K_SMALL}},
    {"memfd_create", USUAL, false, {K_PATH, K_SMALL}},
    {"eventfd", USUAL, false, {K_SMALL}},
    {"eventfd2", USUAL, false, {K_SMALL, K_OPEN}},
    {"epoll_create", USUAL, false, {K_SMALL}},
    {"epoll_create1", USUAL, false, {K_OPEN}},
    {"epoll_ctl", OFTEN, false, {K_FD, K_EPOLL_OP, K_FD, K_EVENT}},
    {"epoll_wait", SELDOM, false, {K_FD, K_OUT, K_SMALL, K_MS}},
    {"epoll_pwait", SELDOM, false, {K_FD, K_OUT, K_SMALL, K_MS, K_SIGSET, K_SETSIZE}},
    {"epoll_pwait2", SELDOM, false, {K_FD, K_OUT, K_SMALL, K_TIME, K_SIGSET, K_SETSIZE}},
    {"timerfd_create", USUAL, false, {K_CLOCK, K_OPEN}},
    {"timerfd_settime", USUAL, false, {K_FD, K_SMALL, K_ITIMER, K_OUT}},
    {"timerfd_gettime", USUAL, false, {K_FD, K_OUT}},
    {"signalfd", USUAL, false, {K_FD, K_SIGSET, K_SETSIZE}},
    {"signalfd4", USUAL, false, {K_FD, K_SIGSET, K_SETSIZE, K_OPEN}},
    {"inotify_init", USUAL, false, {K_NONE}},
    {"inotify_init1", USUAL, false, {K_OPEN}},
    {"inotify_add_watch", USUAL, false, {K_FD, K_PATH, K_WATCH}},
    {"inotify_rm_watch", USUAL, false, {K_FD, K_SMALL}},
    /* Sockets */
    {"socket", USUAL, false, {K_FAMILY, K_SOCKTYPE, K_SMALL}},
    {"socketpair", USUAL, false, {K_FAMILY, K_SOCKTYPE, K_SMALL, K_OUT}},
    {"bind", USUAL, false, {K_FD, K_SOCKADDR, K_SIZE}},
    {"connect", SELDOM, false, {K_FD, K_SOCKADDR, K_SIZE}},
    {"listen", USUAL, false, {K_FD, K_SMALL}},
    {"accept", SELDOM, false, {K_FD, K_SOCKADDR, K_INOUT}},
    {"accept4", SELDOM, false, {K_FD, K_SOCKADDR, K_INOUT, K_OPEN}},
    {"sendto", USUAL, false, {K_FD, K_INOUT, K_SIZE, K_FLAGS, K_SOCKADDR, K_SIZE}},
    {"recvfrom", SELDOM, false, {K_FD, K_OUT, K_SIZE, K_FLAGS, K_SOCKADDR, K_INOUT}},
    {"sendmsg", USUAL, false, {K_FD, K_MSGHDR, K_FLAGS}},
    {"recvmsg", USUAL, false, {K_FD, K_MSGHDR, K_FLAGS}},
    {"sendmmsg", USUAL, false, {K_FD, K_MSGHDR, K_SMALL, K_FLAGS}},
    {"recvmmsg", SELDOM, false, {K_FD, K_MSGHDR, K_SMALL, K_FLAGS, K_TIME}},
    {"shutdown", USUAL, false, {K_FD, K_SMALL}},
    {"getsockname", USUAL, false, {K_FD, K_OUT, K_INOUT}},
    {"getpeername", USUAL, false, {K_FD, K_OUT, K_INOUT}},
    {"setsockopt", USUAL, false, {K_FD, K_SMALL, K_SMALL, K_INOUT, K_SIZE}},
    {"getsockopt", USUAL, false, {K_FD, K_SMALL, K_SMALL, K_OUT, K_INOUT}},
    /* Memory */
    {"mmap", OFTEN, false, {K_ADDRESS, K_LENGTH, K_PROTECTION, K_MAP, K_FD, K_LENGTH}},
    {"mprotect", USUAL, false, {K_ADDRESS, K_LENGTH, K_PROTECTION}},
    {"munmap", USUAL, false, {K_ADDRESS, K_LENGTH}},
    {"mremap", USUAL, false, {K_ADDRESS, K_LENGTH, K_LENGTH, K_MREMAP, K_ADDRESS}},
    {"brk", USUAL, false, {K_BREAK}},
    {"msync", USUAL, false, {K_ADDRESS, K_LENGTH, K_SMALL}},
    {"mincore", USUAL, false, {K_ADDRESS, K_LENGTH, K_OUT}},
    {"madvise", USUAL, false, {K_ADDRESS, K_LENGTH, K_ADVICE}},
    {"mlock", SELDOM, false, {K_ADDRESS, K_LENGTH}},
    {"mlock2", SELDOM, false, {K_ADDRESS, K_LENGTH, K_SMALL}},
    {"munlock", SELDOM, false, {K_ADDRESS, K_LENGTH}},
    {"mlockall", RARE, false, {K_SMALL}},
    {"munlockall", RARE, false, {K_NONE}},
    {"shmget", USUAL, false, {K_SMALL, K_LENGTH, K_MODE}},
    {"shmat", USUAL, false, {K_SMALL, K_ADDRESS, K_FLAGS}},
    {"shmdt", USUAL, false, {K_ADDRESS}},
    {"shmctl", USUAL, true, {K_SMALL, K_SMALL, K_OUT}},
    {"semget", USUAL, false, {K_SMALL, K_SMALL, K_MODE}},
    {"semop", SELDOM, false, {K_SMALL, K_INOUT, K_SMALL}},
    {"semtimedop", SELDOM, false, {K_SMALL, K_INOUT, K_SMALL, K_TIME}},
    {"semctl", USUAL, true, {K_SMALL, K_SMALL, K_SMALL, K_INOUT}},
    {"msgget", USUAL, false, {K_SMALL, K_MODE}},
    {"msgsnd", SELDOM, false, {K_SMALL, K_INOUT, K_SIZE, K_FLAGS}},
    {"msgrcv", SELDOM, false, {K_SMALL, K_OUT, K_SIZE, K_SMALL, K_FLAGS}},
    {"msgctl", USUAL, true, {K_SMALL, K_SMALL, K_OUT}},
    /* Processes, signals, time */
    {"rt_sigaction", SELDOM, false, {K_SIGNAL, K_ACTION, K_OUT, K_SETSIZE}},
    {"rt_sigprocmask", SELDOM, false, {K_SMALL, K_SIGSET, K_OUT, K_SETSIZE}},
    {"rt_sigreturn", RARE, false, {K_NONE}},
    {"rt_sigpending", USUAL, false, {K_OUT, K_SETSIZE}},
    {"rt_sigtimedwait", SELDOM, false, {K_SIGSET, K_OUT, K_TIME, K_SETSIZE}},
    {"rt_sigsuspend", RARE, false, {K_SIGSET, K_SETSIZE}},
    {"rt_sigqueueinfo", SELDOM, true, {K_PID, K_SIGNAL, K_INOUT}},
    {"rt_tgsigqueueinfo", SELDOM, true, {K_PID, K_PID, K_SIGNAL, K_INOUT}},
    {"sigaltstack", SELDOM, false, {K_INOUT, K_OUT}},
    {"sched_yield", USUAL, false, {K_NONE}},
    {"pause", RARE, false, {K_NONE}},
    {"nanosleep", SELDOM, false, {K_TIME, K_OUT}},
    {"clock_nanosleep", SELDOM, false, {K_CLOCK, K_SMALL, K_TIME, K_OUT}},
    {"getitimer", USUAL, false, {K_SMALL, K_OUT}},
    {"setitimer", USUAL, false, {K_SMALL, K_ITIMER, K_OUT}},
    {"alarm", SELDOM, false, {K_SMALL}},
    {"timer_create", USUAL, false, {K_CLOCK, K_INOUT, K_OUT}},
    {"timer_settime", USUAL, false, {K_SMALL, K_SMALL, K_ITIMER, K_OUT}},
    {"timer_gettime", USUAL, false, {K_SMALL, K_OUT}},
    {"timer_getoverrun", USUAL, false, {K_SMALL}},
    {"timer_delete", USUAL, false, {K_SMALL}},
    {"getpid", SELDOM, false, {K_NONE}},
    {"getppid", SELDOM, false, {K_NONE}},
    {"gettid", SELDOM, false, {K_NONE}},
    {"getpgrp", SELDOM, false, {K_NONE}},
    {"getuid", SELDOM, false, {K_NONE}},
    {"geteuid", SELDOM, false, {K_NONE}},
    {"getgid", SELDOM, false, {K_NONE}},
    {"getegid", SELDOM, false, {K_NONE}},
    {"adjtimex", SELDOM, true, {K_INOUT}},
    {"clone", SELDOM, true, {K_CLONE, K_ADDRESS, K_OUT, K_OUT, K_ANY}},
    {"clone3", SELDOM, true, {K_CLONE3, K_SETSIZE}},
    {"fork", RARE, false, {K_NONE}},
    {"vfork", RARE, true, {K_NONE}},
    {"execve", RARE, true, {K_PATH, K_WORDS, K_WORDS}},
    {"execveat", RARE, true, {K_DIRFD, K_PATH, K_WORDS, K_WORDS, K_AT}},
    {"exit", RARE, false, {K_SMALL}},
    {"exit_group", RARE, false, {K_SMALL}},
    {"wait4", SELDOM, false, {K_PID, K_OUT, K_WAIT, K_OUT}},
    {"waitid", SELDOM, false, {K_SMALL, K_PID, K_OUT, K_WAIT, K_OUT}},
    {"kill", SELDOM, true, {K_PID, K_SIGNAL}},
    {"tkill", SELDOM, true, {K_PID, K_SIGNAL}},
    {"tgkill", SELDOM, true, {K_PID, K_PID, K_SIGNAL}},
    {"pidfd_open", USUAL, false, {K_PID, K_SMALL}},
    {"pidfd_send_signal", SELDOM, true, {K_FD, K_SIGNAL, K_INOUT, K_SMALL}},
    {"pidfd_getfd", USUAL, true, {K_FD, K_FD, K_SMALL}},
    {"uname", USUAL, false, {K_OUT}},
    {"gettimeofday", USUAL, false, {K_OUT, K_OUT}},
    {"settimeofday", SELDOM, true, {K_TIME, K_INOUT}},
    {"getrlimit", USUAL, false, {K_SMALL, K_OUT}},
    {"setrlimit", SELDOM, false, {K_SMALL, K_RLIMIT}},
    {"prlimit64", USUAL, true, {K_PID, K_SMALL, K_RLIMIT, K_OUT}},
    {"getrusage", USUAL, false, {K_SMALL, K_OUT}},
    {"sysinfo", USUAL, false, {K_OUT}},
    {"syslog", SELDOM, false, {K_SMALL, K_OUT, K_SIZE}},
    {"times", USUAL, false, {K_OUT}},
    {"setuid", RARE, true, {K_UID}},
    {"setgid", RARE, true, {K_UID}},
    {"setreuid", RARE, true, {K_UID, K_UID}},
    {"setregid", RARE, true, {K_UID, K_UID}},
    {"setresuid", RARE, true, {K_UID, K_UID, K_UID}},
    {"setresgid", RARE, true, {K_UID, K_UID, K_UID}},
    {"setfsuid", RARE, true, {K_UID}},
    {"setfsgid", RARE, true, {K_UID}},
    {"getresuid", USUAL, false, {K_OUT, K_OUT, K_OUT}},
    {"getresgid", USUAL, false, {K_OUT, K_OUT, K_OUT}},
    {"getgroups", USUAL, false, {K_SMALL, K_OUT}},
    {"setgroups", RARE, true, {K_SMALL, K_INOUT}},
    {"setpgid", SELDOM, true, {K_PID, K_PID}},
    {"setsid", SELDOM, true, {K_NONE}},
    {"getpgid", SELDOM, false, {K_PID}},
    {"getsid", SELDOM, false, {K_PID}},
    {"getpriority", SELDOM, false, {K_SMALL, K_PID}},
    {"setpriority", SELDOM, true, {K_SMALL, K_PID, K_PRIORITY}},
    {"prctl", USUAL, true, {K_PRCTL, K_ANY, K_ANY, K_ANY, K_ANY}},
    {"arch_prctl", RARE, false, {K_ARCH, K_OUT}},
    {"reboot", SELDOM, true, {K_ANY, K_ANY, K_ANY, K_ANY}},
    {"time", USUAL, false, {K_OUT}},
    {"futex", USUAL, false, {K_INOUT, K_FUTEX, K_SMALL, K_TIME, K_INOUT, K_SMALL}},
    {"futex_waitv", SELDOM, false, {K_INOUT, K_SMALL, K_SMALL, K_TIME, K_CLOCK}},
    {"sched_setaffinity", SELDOM, true, {K_PID, K_SIZE, K_INOUT}},
    {"sched_getaffinity", SELDOM, false, {K_PID, K_SIZE, K_OUT}},
    {"sched_setscheduler", SELDOM, true, {K_PID, K_SMALL, K_INOUT}},
    {"sched_getscheduler", SELDOM, false, {K_PID}},
    {"sched_setparam", SELDOM, true, {K_PID, K_INOUT}},
    {"sched_getparam", SELDOM, false, {K_PID, K_OUT}},
    {"sched_rr_get_interval", SELDOM, false, {K_PID, K_OUT}},
    {"set_tid_address", SELDOM, false, {K_OUT}},
    {"clock_gettime", USUAL, false, {K_CLOCK, K_OUT}},
    {"clock_settime", SELDOM, true, {K_CLOCK, K_TIME}},
    {"clock_adjtime", SELDOM, true, {K_CLOCK, K_INOUT}},
    {"clock_getres", USUAL, false, {K_CLOCK, K_OUT}},
    {"set_robust_list", SELDOM, false, {K_INOUT, K_SIZE}},
    {"get_robust_list", SELDOM, false, {K_PID, K_OUT, K_OUT}},
    {"getcpu", USUAL, false, {K_OUT, K_OUT, K_OUT}},
    {"getrandom", USUAL, false, {K_OUT, K_SIZE, K_SMALL}},
    {"rseq", SELDOM, false, {K_INOUT, K_SMALL, K_SMALL, K_ANY}},
    {"membarrier", SELDOM, false, {K_SMALL, K_SMALL, K_SMALL}},
    {"vhangup", RARE, true, {K_NONE}},
    {"sethostname", RARE, true, {K_INOUT, K_SIZE}},
    {"setdomainname", RARE, true, {K_INOUT, K_SIZE}},
    /* Penumbra's own */
    {"asi", SELDOM, true, {K_ASI_OP, K_ANY, K_INOUT, K_SIZE}},
    {"ipc_call", USUAL, false, {K_FD, K_LABEL, K_WORD, K_WORD, K_WORD, K_EXTRA}},
    {"ipc_receive", USUAL, false, {K_FD, K_LABEL, K_WORD, K_WORD, K_WORD, K_EXTRA}},
    {"ipc_reply", USUAL, false, {K_WORD, K_LABEL, K_WORD, K_WORD, K_WORD, K_EXTRA}},
    {"ipc_reply_receive", USUAL, false, {K_FD, K_LABEL, K_WORD, K_WORD, K_WORD, K_EXTRA}},
    {"ipc_notify", USUAL, false, {K_FD, K_FLAGS}},
    {"authority", RARE, false, {K_NONE}},
    {"endpoint_create", USUAL, false, {K_NONE}},
    {"handle_mint", USUAL, false, {K_FD, K_RIGHTS, K_SMALL}},
    {"handle_rights", USUAL, false, {K_FD}},
    {"endpoint_watch", USUAL, false, {K_FD, K_FD, K_FLAGS}},
    {"object_create", USUAL, false, {K_LENGTH, K_FD, K_WORD}},
    {"object_move", USUAL, false, {K_FD, K_SMALL, K_FD, K_SMALL, K_SMALL}},
    {"grant_create", USUAL, false, {K_FD, K_SMALL, K_SMALL, K_SMALL}},
    {"grant_copy", USUAL, false, {K_FD, K_OFFSET, K_INOUT, K_SIZE, K_SMALL}},
    {"pager_timeout", SELDOM, false, {K_FD, K_ANY}},
    {"pci_config", SELDOM, true, {K_FD, K_SMALL, K_SMALL, K_SMALL, K_SMALL, K_ANY}},
    {"region_create", SELDOM, true, {K_FD, K_ANY, K_LENGTH}},
    {"ports_create", SELDOM, true, {K_FD, K_ANY, K_SMALL}},
    {"ports_io", SELDOM, true, {K_FD, K_SMALL, K_SMALL, K_INOUT, K_SIZE}},
    {"interrupt_create", SELDOM, true, {K_FD, K_SMALL, K_OUT, K_FD, K_FLAGS}},
    {"interrupt_done", SELDOM, false, {K_FD}},
    {"dma_create", SELDOM, true, {K_FD, K_SMALL}},
    {"dma_enable", SELDOM, false, {K_FD, K_SMALL}},
    {"dma_memory", SELDOM, false, {K_FD, K_SMALL, K_OUT}},
    {"dma_grant", SELDOM, false, {K_FD, K_FD, K_OUT, K_SMALL}},
    {"dma_revoke", SELDOM, false, {K_FD, K_FD}},
    {"dma_faults", SELDOM, false, {K_FD}},
    {"random_seed", SELDOM, false, {K_FD, K_INOUT, K_SIZE}},
    {"mount", SELDOM, false, {K_FD, K_PATH, K_FD, K_INOUT}},
    {"mount_attach", SELDOM, false, {K_FD, K_FD}},
    {"mount_forget", SELDOM, false, {K_FD, K_SMALL, K_PATH}},
    {"mount_adopt", SELDOM, false, {K_FD, K_SMALL, K_FD, K_SIZE}},
    {"archive", SELDOM, true, {K_FD}},
    {"mount_table", USUAL, false, {K_SMALL, K_OUT}},
    {"cache_drop", RARE, false, {K_NONE}},
    {"terminal_create", USUAL, true, {K_FD, K_PATH}},
    {"terminal_attach", SELDOM, false, {K_FD, K_FD, K_INOUT}},
    {"terminal_open", USUAL, false, {K_FD}},
    {"terminal_events", SELDOM, false, {K_FD, K_FLAGS}},
    {"terminal_signal", SELDOM, false, {K_FD, K_SIGNAL}},
    {"terminal_state", SELDOM, false, {K_FD, K_INOUT}},
    {"terminal_show", SELDOM, false, {K_FD, K_INOUT, K_SIZE}},
    {"terminal_ptys", SELDOM, true, {K_FD, K_FD}},
    {"terminal_screen", SELDOM, false, {K_FD, K_OUT, K_SMALL}},
};

/* The kernel's. */
#define ROW(call_number, call_name) {.number = (call_number), .name = #call_name},
static struct fuzz_call rows[ROWS] = {SYSCALLS(ROW) SYSCALLS_NATIVE(ROW){.number = SYS_ASI, .name = "asi"}};
#undef ROW

static unsigned row_count;
static uint32_t total, total_root;

static const struct known *find_known(const char *name) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

static bool in_list(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)) != NULL; at++) {
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static void fill(struct fuzz_call *row, const char *only) {
    const struct known *found = find_known(row->name);
    row->weight = SELDOM;
    memset(row->kinds, K_ANY, sizeof row->kinds);
    if (found != NULL) {
        row->weight = found->weight;
        row->alone = found->alone;
        memcpy(row->kinds, found->kinds, sizeof row->kinds);
    }
    if (only != NULL && !in_list(only, row->name)) {
        row->weight = 0;
    }
}

bool fuzz_calls_start(const char *only) {
    for (row_count = 0; row_count < ROWS && rows[row_count].name != NULL; row_count++) {
        struct fuzz_call *row = &rows[row_count];
        fill(row, only);
        total += row->weight;
        total_root += row->alone ? 0 : row->weight;
    }
    return total > 0 && total_root > 0;
}

const struct fuzz_call *fuzz_choose_call(struct fuzz_random *random, bool root) {
    static const struct fuzz_call unknown = {.number = 0, .name = "unknown", .kinds = {K_ANY, K_ANY, K_ANY, K_ANY}};
    if (!root && fuzz_one_in(random, 400)) {
        return &unknown; /* a number that may be none */
    }
    uint64_t at = fuzz_below(random, root ? total_root : total);
    for (unsigned i = 0; i < row_count; i++) {
        uint64_t weight = root && rows[i].alone ? 0 : rows[i].weight;
        if (at < weight) {
            return &rows[i];
        }
        at -= weight;
    }
    return &unknown;
}

const char *fuzz_call_name(uint32_t number) {
    for (unsigned i = 0; i < row_count; i++) {
        if (rows[i].number == number) {
            return rows[i].name;
        }
    }
    return "unknown";
}
