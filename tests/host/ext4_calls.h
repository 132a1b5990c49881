/*
 * Calls on a volume as the kernel would send them, and operations that are carried out on a volume and on the model.
 */
#ifndef TESTS_HOST_EXT4_CALLS_H
#define TESTS_HOST_EXT4_CALLS_H

#include "kernel/fs_abi.h"
#include "tests/host/ext4_disk.h"
#include "tests/host/ext4_model.h"
#include "user/ext4/operations.h"

enum { CALL_EXTRA = 16384 };

struct answer {
    uint32_t label;
    struct fs_reply reply;
    uint8_t extra[CALL_EXTRA];
};

struct answer *call(struct volume *volume, uint32_t label, const struct fs_request *request, const char *name,
                    const char *name2);

enum operation {
    OP_CREATE,
    OP_MKDIR,
    OP_SYMLINK,
    OP_FIFO,
    OP_LINK,
    OP_UNLINK,
    OP_RMDIR,
    OP_RENAME,
    OP_CHMOD,
    OP_SIZE,
    OP_STORE,
    OP_FORGET,
    OP_SYNC,
    OP_COUNT,
};

/* Chosen before it is carried out, so that it can be carried out again. */
struct op {
    enum operation operation;
    uint64_t request;
    unsigned node, node2; /* indices of the model */
    unsigned name, name2;
    uint64_t value;
    unsigned page, pages;
};

struct op choose_operation(const struct model *model, uint64_t request);
/* Carries it out on both; ends the program with a message when the volume does something else than the model. */
void run_operation(struct volume *volume, struct model *model, const struct op *op);

/* NULL, or what is different. */
const char *compare_names(struct volume *volume, const struct model *model);
/* `strict`: exactly what was stored last. Otherwise what was stored since the last sync may be missing. */
const char *compare_content(struct volume *volume, const struct model *model, bool strict);

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
