/*
 * Owns: the table of system calls, and the one place where a status becomes a result in rax.
 * Space: whatever the caller's thread is in. No locks.
 */
#include "kernel/syscall.h"

#include "arch/cpu.h"
#include "asi/control.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"

#define SYSCALL_NUMBERS 512

static const syscall_handler handlers[SYSCALL_NUMBERS] = {
#define SYSCALL_ENTRY(number, name) [number] = sys_##name,
    SYSCALLS(SYSCALL_ENTRY)
#undef SYSCALL_ENTRY
};

static const syscall_handler native_handlers[SYSCALL_NATIVE_END - SYSCALL_NATIVE_FIRST] = {
#define SYSCALL_ENTRY(number, name) [number - SYSCALL_NATIVE_FIRST] = sys_##name,
    SYSCALLS_NATIVE(SYSCALL_ENTRY)
#undef SYSCALL_ENTRY
        [SYS_ASI - SYSCALL_NATIVE_FIRST] = sys_asi,
};

/* What C libraries try at every start and do without: it would only be noise among the program's output. */
static bool is_only_tried(uint64_t number) {
    enum { RSEQ = 334 };
    return number == RSEQ;
}

/* The caller's name as a message may have it: it is what a program says, which must neither end a line of the log nor
 * command the terminal that shows it. */
static void printable_name(char to[PROCESS_NAME_SIZE]) {
    memcpy(to, process_current()->name, PROCESS_NAME_SIZE);
    for (unsigned i = 0; i < PROCESS_NAME_SIZE && to[i] != '\0'; i++)
        to[i] = to[i] >= ' ' && to[i] <= '~' ? to[i] : '?';
}

/* Each unknown call is logged once, so that a user sees what a program would want. */
static void log_unknown(uint64_t number) {
    static uint64_t seen[SYSCALL_NUMBERS / 64];
    this_cpu->counters.syscalls_unknown++;
    counter_add(&process_current()->counters.syscalls_unknown, 1);
    if (number >= SYSCALL_NUMBERS || is_only_tried(number))
        return;
    uint64_t bit = 1UL << (number % 64);
    if (__atomic_fetch_or(&seen[number / 64], bit, __ATOMIC_RELAXED) & bit)
        return;
    char name[PROCESS_NAME_SIZE];
    printable_name(name);
    kprintf("system call %lu is not implemented (%s): ENOSYS\n", (unsigned long)number, name);
}

static enum status unknown(struct syscall *call) {
    log_unknown(call->frame->error);
    return ERR_NO_SYSCALL;
}

void syscall_dispatch(struct trap_frame *frame) {
    struct syscall call = {
        .arg = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9},
        .frame = frame,
    };
    const uint64_t number = frame->error;
    syscall_handler handler = unknown;
    if (number < SYSCALL_NUMBERS && handlers[number] != NULL)
        handler = handlers[number];
    else if (number - SYSCALL_NATIVE_FIRST < SYSCALL_NATIVE_END - SYSCALL_NATIVE_FIRST &&
             native_handlers[number - SYSCALL_NATIVE_FIRST] != NULL)
        handler = native_handlers[number - SYSCALL_NATIVE_FIRST];
    enum status status = handler(&call);
    frame->rax = status == OK ? (uint64_t)call.result : (uint64_t) - (int64_t)status_to_errno(status);
}
