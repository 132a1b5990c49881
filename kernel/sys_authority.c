/*
 * Handles as such: minting with fewer rights, asking for rights; and the authority, from which every right over devices
 * and names comes.
 *
 * The first process gets the authority by asking and mints weaker ones for those it starts. It refers to nothing: what
 * counts is its rights. Locks: see handles.c. Runs in the caller's space.
 */
#include "kernel/authority.h"

#include "kernel/ipc_abi.h"
#include "kernel/open_file.h"
#include "kernel/process.h"
#include "kernel/syscall_table.h"

#define AUTHORITY_RIGHTS (RIGHT_TRANSFER | RIGHT_DEVICES | RIGHT_NAMESPACE | RIGHT_ARCHIVE)

static void nothing_to_refer_to(struct file *file) { (void)file; }

static const struct file_operations authority_operations = {.reference = nothing_to_refer_to};

enum status authority_check(int fd, uint32_t rights) {
    struct file *file;
    enum status status = handle_get_kind(fd, &authority_operations, rights, &file);
    if (status == OK)
        file_unref(file);
    return status == ERR_ACCESS ? ERR_NOT_PERMITTED : status;
}

enum status sys_authority(struct syscall *call) {
    struct file *file;
    if (process_current() != init_process)
        return ERR_NOT_PERMITTED;
    enum status status = file_create_on(&authority_operations, NULL, AUTHORITY_RIGHTS, &file);
    return status == OK ? handle_publish(file, &call->result) : status;
}

enum status sys_handle_mint(struct syscall *call) {
    struct file *file, *minted;
    uint32_t keep = (uint32_t)call->arg[1];
    uint64_t badge = call->arg[2];
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    if (!(file->rights & RIGHT_TRANSFER))
        status = ERR_ACCESS;
    else if (file->badge != 0 && badge != 0 && badge != file->badge)
        status = ERR_NOT_PERMITTED;
    if (status == OK)
        status = file_create_like(file, file->rights & keep, badge != 0 ? badge : file->badge, &minted);
    file_unref(file);
    return status == OK ? handle_publish(minted, &call->result) : status;
}

enum status sys_handle_rights(struct syscall *call) {
    struct file *file;
    enum status status = handle_get((int)call->arg[0], &file);
    if (status != OK)
        return status;
    call->result = file->rights;
    file_unref(file);
    return OK;
}
