/*
 * Owns: the boot archive as a memory object, until the first process asks for it, and a copy of the first program.
 *
 * The kernel makes no file of the archive: a file server does, and gets the pages themselves. What the kernel reads is
 * the heads up to the first program, before there is any user space. Locks: none; boot, then pid 1 alone.
 */
#include "boot/boot_info.h"
#include "kernel/archive.h"
#include "kernel/authority.h"
#include "kernel/ipc_abi.h"
#include "kernel/object_file.h"
#include "kernel/print.h"
#include "kernel/syscall_table.h"
#include "mm/boot.h"
#include "mm/ephmap.h"
#include "mm/object.h"

static struct memory_object *archive_object, *program_object;

static enum status copy_program(const void *archive, size_t bytes, const char *program) {
    const void *content;
    size_t length;
    enum status status = archive_find(archive, bytes, program, &content, &length);
    if (status == OK)
        status = object_create(&program_object);
    if (status == OK)
        status = object_write_kernel(program_object, 0, content, length);
    return status;
}

enum status archive_keep(const struct boot_info *info, const char *program) {
    enum status status = copy_program(physmap_address(info->module_base), info->module_size, program);
    if (status == OK)
        status = mm_keep_module(info, &archive_object);
    if (status != OK)
        kprintf("archive: %s cannot be taken out of it: %s\n", program, status_name(status));
    return status;
}

struct memory_object *archive_take_program(void) {
    struct memory_object *object = program_object;
    program_object = NULL;
    return object;
}

enum status sys_archive(struct syscall *call) {
    struct file *file;
    enum status status = authority_check((int)call->arg[0], RIGHT_ARCHIVE);
    if (status != OK)
        return status;
    struct memory_object *object = __atomic_exchange_n(&archive_object, NULL, __ATOMIC_RELAXED);
    if (object == NULL)
        return ERR_NO_ENTRY; /* it was given away: whoever has it may pass it on */
    status = object_file_create(object, RIGHT_READ | RIGHT_WRITE | RIGHT_TRANSFER, &file);
    return status == OK ? handle_publish(file, &call->result) : status;
}
