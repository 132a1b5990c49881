/*
 * Numbers of the Linux x86-64 socket interface.
 */
#ifndef KERNEL_SOCKET_ABI_H
#define KERNEL_SOCKET_ABI_H

#include <stdint.h>

#define AF_UNSPEC 0U
#define AF_UNIX   1U
#define AF_INET   2U

#define SOCK_STREAM    1U
#define SOCK_DGRAM     2U
#define SOCK_SEQPACKET 5U
#define SOCK_TYPE      0xfU
#define SOCK_NONBLOCK  04000U    /* O_NONBLOCK */
#define SOCK_CLOEXEC   02000000U /* O_CLOEXEC */

#define MSG_OOB          0x1U
#define MSG_PEEK         0x2U
#define MSG_CTRUNC       0x8U
#define MSG_TRUNC        0x20U
#define MSG_DONTWAIT     0x40U
#define MSG_WAITALL      0x100U
#define MSG_NOSIGNAL     0x4000U
#define MSG_WAITFORONE   0x10000U
#define MSG_CMSG_CLOEXEC 0x40000000U

#define SHUT_RD   0
#define SHUT_WR   1
#define SHUT_RDWR 2

#define SOL_IP     0
#define SOL_SOCKET 1
#define SOL_TCP    6

#define SCM_RIGHTS      1
#define SCM_CREDENTIALS 2
#define SCM_FILES_MAX   253U

#define SO_DEBUG       1
#define SO_REUSEADDR   2
#define SO_TYPE        3
#define SO_ERROR       4
#define SO_DONTROUTE   5
#define SO_BROADCAST   6
#define SO_SNDBUF      7
#define SO_RCVBUF      8
#define SO_KEEPALIVE   9
#define SO_OOBINLINE   10
#define SO_PRIORITY    12
#define SO_LINGER      13
#define SO_REUSEPORT   15
#define SO_PASSCRED    16
#define SO_PEERCRED    17
#define SO_RCVTIMEO    20
#define SO_SNDTIMEO    21
#define SO_ACCEPTCONN  30
#define SO_SNDBUFFORCE 32
#define SO_RCVBUFFORCE 33
#define SO_PROTOCOL    38
#define SO_DOMAIN      39

#define SOCKET_PATH_MAX 108U

struct socket_address { /* struct sockaddr_un */
    uint16_t family;
    char path[SOCKET_PATH_MAX];
};

struct message_header { /* struct msghdr */
    uint64_t name;
    uint32_t name_length, padding;
    uint64_t vectors, vector_count;
    uint64_t control, control_length;
    uint32_t flags, padding2;
};

struct control_header { /* struct cmsghdr */
    uint64_t length;    /* with the header */
    int32_t level, type;
};

struct credentials { /* struct ucred */
    uint32_t pid, uid, gid;
};

#endif
