/*
 * The one place where a status becomes an errno. Read-only data; no locks; any space.
 */
#include "kernel/status.h"

int status_to_errno(enum status status) {
    static const short errnos[] = {
#define STATUS_ERRNO(name, errno_value) [name] = errno_value,
        STATUS_LIST(STATUS_ERRNO)
#undef STATUS_ERRNO
    };
    return errnos[status];
}

const char *status_name(enum status status) {
    static const char *const names[] = {
#define STATUS_NAME(name, errno_value) [name] = #name,
        STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    };
    return names[status];
}
