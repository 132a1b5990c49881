/*
 * What a block driver is asked: by file servers, on an endpoint that the name server hands out as "block/0" and so on.
 *
 * The data is never in the message: it is a grant (kernel/ipc_abi.h), which the driver gives to its device. Answer:
 * label 0 or an errno (EIO, EINVAL). Plain C types only.
 */
#ifndef DRIVERS_BLOCK_ABI_H
#define DRIVERS_BLOCK_ABI_H

#include <stdint.h>

#define BLOCK_SECTOR 512U

enum block_label {
    BLOCK_INFO = 0x200, /* → words: sectors, largest bytes of one request, 1 if read-only */
    BLOCK_READ,         /* words: first sector, offset in the grant (bytes), bytes. A FILL grant */
    BLOCK_WRITE,        /* … a STORE grant */
    BLOCK_FLUSH,        /* what was written before is durable */
};

#endif
