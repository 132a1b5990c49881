/*
 * The calls of kernel/fs_abi.h on a volume: from a request's bytes to a reply's.
 *
 * A call that changes something and comes again after a restart is answered as before, by its request number.
 */
#ifndef USER_EXT4_OPERATIONS_H
#define USER_EXT4_OPERATIONS_H

#include "kernel/fs_abi.h"
#include "user/ext4/volume.h"

/*
 * Carries out a call: `request` is struct fs_request with its names, `reply` has room for struct fs_reply and what
 * follows: *reply_size bytes in, used bytes out. Returns the answer's label. Any thread; takes the volume's lock.
 */
uint32_t operation_call(struct volume *volume, uint32_t label, const void *request, size_t size, void *reply,
                        size_t *reply_size);

#endif
