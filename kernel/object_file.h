/*
 * Handles on memory objects: files without a name, to be read, written, mapped, cut, executed and sent in messages.
 */
#ifndef KERNEL_OBJECT_FILE_H
#define KERNEL_OBJECT_FILE_H

#include "kernel/open_file.h"

/*
 * A file on `object`, whose reference passes to it, also on error. `rights`: of RIGHT_READ, RIGHT_WRITE,
 * RIGHT_TRANSFER. One reference. ERR_NO_MEMORY, ERR_TOO_MANY_FILES.
 */
MUST_USE enum status object_file_create(struct memory_object *object, uint32_t rights, struct file **out);

#endif
