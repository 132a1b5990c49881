/*
 * Every way in which a kernel function can fail. The names say what went wrong, not which errno a caller of read()
 * sees: that is decided in one place, status_to_errno().
 */
#ifndef KERNEL_STATUS_H
#define KERNEL_STATUS_H

#define MUST_USE __attribute__((warn_unused_result))

/* X(name, errno) – errno values are Linux's for x86-64. */
#define STATUS_LIST(X)                                                                                                 \
    X(OK, 0)                                                                                                           \
    X(ERR_NOT_PERMITTED, 1)                                                                                            \
    X(ERR_NO_ENTRY, 2)                                                                                                 \
    X(ERR_NO_PROCESS, 3)                                                                                               \
    X(ERR_INTERRUPTED, 4)                                                                                              \
    X(ERR_IO, 5)                                                                                                       \
    X(ERR_NO_DEVICE_ADDRESS, 6)                                                                                        \
    X(ERR_TOO_BIG, 7)                                                                                                  \
    X(ERR_NOT_EXECUTABLE, 8)                                                                                           \
    X(ERR_BAD_HANDLE, 9)                                                                                               \
    X(ERR_NO_CHILD, 10)                                                                                                \
    X(ERR_WOULD_BLOCK, 11)                                                                                             \
    X(ERR_NO_MEMORY, 12)                                                                                               \
    X(ERR_ACCESS, 13)                                                                                                  \
    X(ERR_FAULT, 14)                                                                                                   \
    X(ERR_BUSY, 16)                                                                                                    \
    X(ERR_EXISTS, 17)                                                                                                  \
    X(ERR_CROSS_DEVICE, 18)                                                                                            \
    X(ERR_NO_DEVICE, 19)                                                                                               \
    X(ERR_NOT_DIRECTORY, 20)                                                                                           \
    X(ERR_IS_DIRECTORY, 21)                                                                                            \
    X(ERR_INVALID, 22)                                                                                                 \
    X(ERR_TOO_MANY_FILES, 23)                                                                                          \
    X(ERR_TOO_MANY_HANDLES, 24)                                                                                        \
    X(ERR_NOT_TERMINAL, 25)                                                                                            \
    X(ERR_TEXT_BUSY, 26)                                                                                               \
    X(ERR_FILE_TOO_BIG, 27)                                                                                            \
    X(ERR_NO_SPACE, 28)                                                                                                \
    X(ERR_NOT_SEEKABLE, 29)                                                                                            \
    X(ERR_READ_ONLY, 30)                                                                                               \
    X(ERR_TOO_MANY_LINKS, 31)                                                                                          \
    X(ERR_BROKEN_PIPE, 32)                                                                                             \
    X(ERR_RANGE, 34)                                                                                                   \
    X(ERR_DEADLOCK, 35)                                                                                                \
    X(ERR_NAME_TOO_LONG, 36)                                                                                           \
    X(ERR_NO_SYSCALL, 38)                                                                                              \
    X(ERR_NOT_EMPTY, 39)                                                                                               \
    X(ERR_TOO_MANY_SYMLINKS, 40)                                                                                       \
    X(ERR_NO_MESSAGE, 42)                                                                                              \
    X(ERR_REMOVED, 43)                                                                                                 \
    X(ERR_OVERFLOW, 75)                                                                                                \
    X(ERR_BAD_LIBRARY, 80)                                                                                             \
    X(ERR_NOT_SOCKET, 88)                                                                                              \
    X(ERR_NO_DESTINATION, 89)                                                                                          \
    X(ERR_SOCKET_KIND, 91)                                                                                             \
    X(ERR_NO_SUCH_OPTION, 92)                                                                                          \
    X(ERR_PROTOCOL, 93)                                                                                                \
    X(ERR_SOCKET_TYPE, 94)                                                                                             \
    X(ERR_ADDRESS_FAMILY, 97)                                                                                          \
    X(ERR_ADDRESS_IN_USE, 98)                                                                                          \
    X(ERR_ADDRESS_NOT_HERE, 99)                                                                                        \
    X(ERR_UNREACHABLE, 101)                                                                                            \
    X(ERR_CONNECTION_RESET, 104)                                                                                       \
    X(ERR_CONNECTED, 106)                                                                                              \
    X(ERR_NOT_CONNECTED, 107)                                                                                          \
    X(ERR_TOO_MANY_REFERENCES, 109)                                                                                    \
    X(ERR_CONNECTION_REFUSED, 111)                                                                                     \
    X(ERR_CANCELED, 125)                                                                                               \
    X(ERR_MESSAGE_SIZE, 90)                                                                                            \
    X(ERR_NOT_SUPPORTED, 95)                                                                                           \
    X(ERR_TIMED_OUT, 110)                                                                                              \
    X(ERR_AGAIN, 11)                                                                                                   \
    /* Internal: never seen by user space. */                                                                          \
    X(ERR_NOT_CACHED, 5) /* a walk came to a name that a file server has to be asked for */                            \
    X(ERR_RESTART, 512)  /* a signal arrived; the call is started again if the handler says SA_RESTART, else EINTR */

enum status {
#define STATUS_ENUM(name, errno_value) name,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
};

/* Linux's errno (positive) for a status. */
int status_to_errno(enum status status);

/* The name of the enumerator, for messages. */
const char *status_name(enum status status);

#endif
