/*
 * The end: message, registers, space, backtrace, status 255. Any context; takes no lock.
 */
#include "kernel/panic.h"

#include <stdarg.h>

#include "arch/apic.h"
#include "arch/backtrace.h"
#include "arch/cpu.h"
#include "arch/smp.h"
#include "arch/trap_frame.h"
#include "asi/asi.h"
#include "drivers/console.h"
#include "drivers/power.h"
#include "drivers/screen.h"
#include "kernel/print.h"
#include "kernel/process.h"

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_string_va(text, sizeof text, format, arguments);
    va_end(arguments);
    console_write(text, length < sizeof text ? length : sizeof text - 1);
}

static void say_registers(const struct trap_frame *frame) {
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", frame->rax}, {"rbx", frame->rbx}, {"rcx", frame->rcx},    {"rdx", frame->rdx}, {"rsi", frame->rsi},
        {"rdi", frame->rdi}, {"rbp", frame->rbp}, {"rsp", frame->rsp},    {"r8 ", frame->r8},  {"r9 ", frame->r9},
        {"r10", frame->r10}, {"r11", frame->r11}, {"r12", frame->r12},    {"r13", frame->r13}, {"r14", frame->r14},
        {"r15", frame->r15}, {"rip", frame->rip}, {"rfl", frame->rflags}, {"cs ", frame->cs},  {"err", frame->error},
    };
    for (unsigned i = 0; i < sizeof registers / sizeof registers[0]; i++)
        say("%s %016lx%s", registers[i].name, (unsigned long)registers[i].value, i % 4 == 3 ? "\n" : "  ");
}

static void say_where(void) {
    const struct thread *thread = this_cpu->current;
    say("cpu %u, mode %s, %s space, CR3 %#lx", this_cpu->index, asi_mode_name(asi_mode),
        this_cpu->space == SPACE_RESTRICTED ? "restricted" : "unrestricted", (unsigned long)this_cpu->loaded_root);
    if (thread != NULL && thread->process != NULL)
        say(", thread %u of process %u (%s)", thread->id, thread->process->id, thread->process->name);
    say("\n");
}

static const struct cpu *panicking; /* the first that did, or NULL. Atomic */

static _Noreturn void stand_still(void) {
    for (;;)
        cpu_halt();
}

void panic_join(void) {
    if (__builtin_expect(__atomic_load_n(&panicking, __ATOMIC_ACQUIRE) != NULL, 0))
        stand_still();
}

static void halt_others(void) {
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        if (cpu != this_cpu->index)
            apic_send_nmi(cpu);
}

static _Noreturn void finish(const struct trap_frame *frame, const char *format, va_list arguments) {
    char text[256];
    const struct cpu *nobody = NULL;
    irq_disable();
    if (!__atomic_compare_exchange_n(&panicking, &nobody, this_cpu->self, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        if (nobody != this_cpu->self)
            stand_still();
        power_off(POWER_STATUS_PANIC); /* the panic itself failed: say no more */
    }
    halt_others();
    screen_leave(false);
    format_string_va(text, sizeof text, format, arguments);
    say("\npenumbra: panic: %s\n", text);
    say_where();
    if (frame != NULL)
        say_registers(frame);
    backtrace(frame != NULL ? frame->rbp : (uint64_t)__builtin_frame_address(0), frame != NULL ? frame->rip : 0, say);
    power_off(POWER_STATUS_PANIC);
}

void panic(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    finish(NULL, format, arguments);
}

void panic_with_frame(const struct trap_frame *frame, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    finish(frame, format, arguments);
}
