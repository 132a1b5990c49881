/*
 * Owns: how a branch is told to go elsewhere. Text is constant once user code runs; no locks.
 */
#include "arch/patch.h"

#include "kernel/assert.h"
#include "kernel/string.h"

/* A call or jump of five bytes, or a conditional jump of six: the operation is before its displacement. */
static bool is_branch(const uint8_t *displacement) {
    const uint8_t operation = displacement[-1];
    return operation == 0xe8 || operation == 0xe9 || (displacement[-2] == 0x0f && operation >> 4 == 8);
}

void patch_branch(const void *displacement, void *alias, uint64_t from, uint64_t to) {
    int32_t leads;
    memcpy(&leads, displacement, sizeof leads);
    const uint64_t next = (uint64_t)displacement + sizeof leads;
    ensure(is_branch(displacement) && next + (uint64_t)(int64_t)leads == from);
    leads = (int32_t)(to - next);
    memcpy(alias, &leads, sizeof leads);
}
