/*
 * Owns: the rings of the trace, and the branches that lead to it.
 *
 * Class GLOBAL, mapped in every restricted space, because an NMI and the last step before user code must be able to
 * write a record wherever they are. So REACH allows metadata only, and a record has nothing else: which system call,
 * not its arguments or its result; which exception, not the user address that it was about, for that is a number which
 * user code has computed, perhaps from a secret (a table index), and a record of it would be the leak that isolation is
 * there to prevent. Kernel addresses, frame numbers, ids, names of programs and lengths are metadata
 * (docs/security.md).
 *
 * Invariants: REACH; NEST: a place in the ring is taken by one instruction, so a record that an NMI interrupts is
 * finished afterwards, beside the NMI's own. RESIDUE: nothing but records is left behind.
 * Locks: none; a ring is its CPU's. Space: any.
 */
#include "asi/trace.h"

#include "arch/msr.h"
#include "arch/patch.h"
#include "arch/smp.h"
#include "asi/trace_table.h"
#include "kernel/options.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "mm/heap.h"

struct trace_ring trace_rings[CPU_MAX];
struct trace_info trace_info;
static unsigned lap_shift; /* log2(trace_info.records) */

/* --- Records ------------------------------------------------------------------------------------------------------ */

void trace_record(enum trace_kind kind, unsigned cause, uint64_t address, uint64_t value) {
    const struct cpu *cpu = cpu_self();
    struct trace_ring *ring = &trace_rings[cpu->index];
    if (cpu->current == NULL || ring->records == NULL) /* a CPU that starts may not have the heap mapped yet */
        return;
    const uint64_t index = __atomic_fetch_add(&ring->next, 1, __ATOMIC_RELAXED);
    if (index == 0 && ring->before.cr3_writes == 0) /* no CPU gets here without; trace_init() was before the boot CPU */
        ring->before = cpu->counters;
    struct trace_record *record = &ring->records[index & (trace_info.records - 1)];
    record->time = tsc_read();
    record->address = address;
    record->value = (uint32_t)value;
    record->thread = cpu->current->id;
    record->process = cpu->current->process->id;
    record->kind = (uint8_t)kind;
    record->cause = (uint8_t)cause;
    record->space = cpu->space;
    __atomic_store_n(&record->lap, (uint8_t)((index >> lap_shift) + 1), __ATOMIC_RELEASE);
}

/* --- Branches ----------------------------------------------------------------------------------------------------- */

extern const char text_start[]; /* linker.ld */

static bool wanted(void) {
    char value[8];
    return option_get("trace", value, sizeof value) && strcmp(value, "on") == 0;
}

void trace_patch(void *(*writable)(void *)) {
    if (!wanted())
        return;
    for (uint32_t i = 0; i < trace_site_count; i++) {
        const char *displacement = text_start + trace_sites[i].offset;
        const struct trace_point *point = &trace_points[trace_sites[i].point];
        patch_branch(displacement, writable((void *)(uintptr_t)displacement), point->original, point->traced);
    }
    trace_info.sites = trace_site_count;
}

/* --- Start-up ----------------------------------------------------------------------------------------------------- */

enum { RECORDS_DEFAULT = 4096, RECORDS_LEAST = 16, RECORDS_MOST = 1 << 20, ROUNDS = 8 };

/* What `trace.records=` says, as a power of two; 0: nothing that makes sense. */
static uint64_t records_wanted(void) {
    char value[12];
    uint64_t number = 0, records = RECORDS_LEAST;
    if (!option_get("trace.records", value, sizeof value))
        return RECORDS_DEFAULT;
    for (const char *digit = value; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9' || number > RECORDS_MOST)
            return 0;
        number = number * 10 + (uint64_t)(*digit - '0');
    }
    if (number < RECORDS_LEAST || number > RECORDS_MOST)
        return 0;
    while (records < number)
        records *= 2;
    return records;
}

static bool value_is_understood(void) {
    char value[8];
    return !option_get("trace", value, sizeof value) || strcmp(value, "on") == 0 || strcmp(value, "off") == 0;
}

/* The best of some rounds, in ticks for a record: on hardware the first finds cold caches. */
static uint64_t measure(void) {
    uint64_t best = UINT64_MAX;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint64_t start = tsc_read();
        for (unsigned i = 0; i < RECORDS_LEAST; i++)
            trace_record(TRACE_NONE, 0, 0, 0);
        const uint64_t ticks = (tsc_read() - start) / RECORDS_LEAST;
        best = ticks < best ? ticks : best;
    }
    return best;
}

/* Interrupts are off: nobody else records here. */
static void begin_anew(void) {
    struct trace_ring *ring = &trace_rings[this_cpu->index];
    memset(ring->records, 0, trace_info.records * sizeof *ring->records);
    ring->next = 0;
    ring->before = cpu_self()->counters;
}

enum status trace_init(void) {
    const uint64_t records = records_wanted();
    if (!value_is_understood() || records == 0)
        return ERR_INVALID;
    if (trace_info.sites == 0)
        return OK;
    trace_info.records = records;
    lap_shift = (unsigned)__builtin_ctzl(records);
    for (unsigned cpu = 0; cpu < cpus_found; cpu++) {
        trace_rings[cpu].records = global_alloc_pages(bytes_to_pages(records * sizeof(struct trace_record)));
        if (trace_rings[cpu].records == NULL)
            return ERR_NO_MEMORY;
    }
    trace_info.ticks = measure();
    begin_anew();
    trace_info.begin = tsc_read();
    kprintf("trace: %lu branches redirected, %lu records for each CPU, %lu ticks a record\n",
            (unsigned long)trace_info.sites, (unsigned long)records, (unsigned long)trace_info.ticks);
    return OK;
}
