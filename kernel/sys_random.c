/*
 * getrandom, and the seed that a device's driver brings. The bytes pass through this thread's stack (LOCAL) and
 * nowhere else. Any space; may sleep.
 */
#include "arch/uaccess.h"
#include "kernel/authority.h"
#include "kernel/ipc_abi.h"
#include "kernel/random.h"
#include "kernel/signal.h"
#include "kernel/syscall_table.h"

enum { GRND_ALL_FLAGS = 7, CHUNK = 256 };
#define REQUEST_MAX 33554431UL

enum status sys_getrandom(struct syscall *call) {
    uint64_t left = call->arg[1] < REQUEST_MAX ? call->arg[1] : REQUEST_MAX;
    vaddr_t to = call->arg[0];
    uint8_t chunk[CHUNK];

    if (call->arg[2] & ~(uint64_t)GRND_ALL_FLAGS)
        return ERR_INVALID;
    while (left > 0) {
        size_t part = left < CHUNK ? left : CHUNK;

        random_bytes(chunk, part);
        if (copy_to_user(to, chunk, part) != OK)
            return call->result > 0 ? OK : ERR_FAULT;
        to += part;
        left -= part;
        call->result += (int64_t)part;
        if (signal_pending())
            break;
    }
    return OK;
}

/* One seed for every RANDOM_SEED_BYTES, the last filled up with zeros. */
enum status sys_random_seed(struct syscall *call) {
    vaddr_t from = call->arg[1];
    uint64_t left = call->arg[2];
    enum status status = authority_check((int)call->arg[0], RIGHT_DEVICES);

    if (status == OK && (left == 0 || left > CHUNK))
        status = ERR_INVALID;
    while (status == OK && left > 0) {
        uint8_t seed[RANDOM_SEED_BYTES] = {0};
        size_t part = left < sizeof(seed) ? left : sizeof(seed);

        status = copy_from_user(seed, from, part);
        if (status == OK)
            random_seed(seed);
        from += part;
        left -= part;
    }
    return status;
}
