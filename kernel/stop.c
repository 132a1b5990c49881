/*
 * Owns: who is stopped. See the head of kernel/stop.h for where.
 * Locks: stop_mutex for the one that stops the others; the rest is atomic. Space: any.
 */
#include "kernel/stop.h"

#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/io.h"
#include "arch/smp.h"
#include "kernel/thread.h"
#include "kernel/wait.h"
#include "mm/tlb.h"

static struct mutex stop_mutex = {.queue = WAIT_QUEUE_INIT(stop_mutex.queue)};
static bool wanted;                   /* the others are to stand still. Atomic */
static uint64_t standing;             /* a bit for each CPU that does. Atomic */
static void (*before_going_on)(void); /* written while all stand */

void stop_here_if_asked(void) {
    const uint64_t self = 1UL << this_cpu->index;
    if (__builtin_expect(!__atomic_load_n(&wanted, __ATOMIC_ACQUIRE), 1) || stop_mutex.owner == thread_current())
        return;
    __atomic_or_fetch(&standing, self, __ATOMIC_SEQ_CST);
    /* Halted, not spinning: the one that works may be an emulator's thread, and want the host's CPU. */
    while (__atomic_load_n(&wanted, __ATOMIC_ACQUIRE))
        cpu_idle_wait();
    if (before_going_on != NULL)
        before_going_on();
    __atomic_and_fetch(&standing, ~self, __ATOMIC_RELEASE);
}

void stop_mark_thread(struct thread *thread) {
    if (__builtin_expect(__atomic_load_n(&wanted, __ATOMIC_RELAXED), 0))
        __atomic_or_fetch(&thread->work, WORK_STOP, __ATOMIC_RELAXED);
}

void stop_interrupt(bool holds_nothing) {
    if (__atomic_load_n(&standing, __ATOMIC_RELAXED) >> this_cpu->index & 1)
        return; /* it stands, and was woken to look whether it may go on */
    if (holds_nothing)
        stop_here_if_asked();
    else
        stop_mark_thread(thread_current());
}

static void await(uint64_t set) {
    while (__atomic_load_n(&standing, __ATOMIC_ACQUIRE) != set) {
        tlb_serve();
        cpu_relax();
    }
}

static void interrupt_others(void) {
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        if (cpu != this_cpu->index)
            apic_send(cpu, VECTOR_STOP);
}

void stop_others(void) {
    mutex_lock(&stop_mutex);
    const uint64_t others = cpus_running() & ~(1UL << this_cpu->index);
    if (others == 0)
        return;
    __atomic_store_n(&wanted, true, __ATOMIC_SEQ_CST);
    interrupt_others();
    await(others);
}

void resume_others(void (*on_each)(void)) {
    before_going_on = on_each;
    if (cpu_count > 1) {
        __atomic_store_n(&wanted, false, __ATOMIC_SEQ_CST);
        interrupt_others();
        await(0);
    }
    mutex_unlock(&stop_mutex);
}
