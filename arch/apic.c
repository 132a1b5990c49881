/*
 * Owns: the interrupt controllers. Registers are MSRs or GLOBAL mappings, uncached. What is found at start-up is
 * constant afterwards; a local APIC is its CPU's own, used with interrupts off. Any space.
 * Source: Intel SDM volume 3, chapter 11; 82093AA (I/O APIC) data sheet.
 */
#include "arch/apic.h"

#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/cpuid.h"
#include "arch/features.h"
#include "arch/io.h"
#include "arch/msr.h"
#include "kernel/panic.h"
#include "kernel/string.h"
#include "mm/device.h"
#include "mm/region.h"

enum {
    APIC_ID = 0x20,
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_COMMAND = 0x300,
    APIC_COMMAND_TARGET = 0x310, /* x2APIC: the upper half of APIC_COMMAND */
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};
#define APIC_SOFTWARE_ENABLE 0x100
#define APIC_LVT_MASKED      0x10000
#define APIC_LVT_NMI         0x400
#define APIC_DIVIDE_BY_16    3
#define APIC_GLOBAL_ENABLE   (1UL << 11)
#define APIC_X2_ENABLE       (1UL << 10)
#define MSR_X2APIC           0x800 /* + the register's offset / 16 */
#define COMMAND_NMI          0x400U
#define COMMAND_INIT         0x500U
#define COMMAND_START        0x600U
#define COMMAND_PENDING      0x1000U
#define COMMAND_ASSERT       0x4000U
#define XAPIC_ID_SHIFT       24
#define XAPIC_ID_MAX         254U
#define REDIRECT_ACTIVE_LOW  0x2000U
#define REDIRECT_LEVEL       0x8000U
#define REDIRECT_MASKED      0x10000U
#define IO_APIC_VERSION      1U
#define MESSAGE_BASE         0xfee00000U
#define MESSAGE_ID_SHIFT     12

static volatile uint32_t *local_apic; /* NULL: x2APIC */
static volatile uint32_t *io_apic;
static struct acpi_line isa_lines[ACPI_ISA_LINES];
static uint32_t io_apic_first_input, io_apic_inputs; /* the I/O APIC's, from the first on */
static uint64_t timer_hz;                            /* after the divider */

static uint32_t apic_read(unsigned offset) {
    return local_apic == NULL ? (uint32_t)msr_read(MSR_X2APIC + offset / 16) : local_apic[offset / 4];
}
static void apic_write(unsigned offset, uint32_t value) {
    if (local_apic == NULL)
        msr_write(MSR_X2APIC + offset / 16, value);
    else
        local_apic[offset / 4] = value;
}

static uint32_t io_apic_read(uint32_t index) {
    io_apic[0] = index;
    return io_apic[4];
}

static void io_apic_write(uint32_t index, uint32_t value) {
    io_apic[0] = index;
    io_apic[4] = value;
}

/* The 8259s are remapped out of the exceptions' way and masked: nothing of theirs is used. */
static void silence_8259(void) {
    static const uint8_t masters[] = {0x11, 0xf0, 4, 1}, slaves[] = {0x11, 0xf8, 2, 1};
    for (unsigned i = 0; i < sizeof masters; i++) {
        io_write8(i == 0 ? 0x20 : 0x21, masters[i]);
        io_write8(i == 0 ? 0xa0 : 0xa1, slaves[i]);
    }
    io_write8(0x21, 0xff);
    io_write8(0xa1, 0xff);
}

/* --- Set-up ------------------------------------------------------------------------------------------------------- */

uint32_t apic_id_max(void) { return cpu_features.x2apic ? UINT32_MAX - 1 : XAPIC_ID_MAX; }

uint32_t apic_id_by_cpuid(void) {
    enum { LEAF_BASIC = 1, LEAF_TOPOLOGY = 0xb };
    if (cpu_features.x2apic && cpuid(0, 0).eax >= LEAF_TOPOLOGY && cpuid(LEAF_TOPOLOGY, 0).ebx != 0)
        return cpuid(LEAF_TOPOLOGY, 0).edx;
    return cpuid(LEAF_BASIC, 0).ebx >> XAPIC_ID_SHIFT;
}

void apic_init_cpu(void) {
    if (local_apic == NULL)
        msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | APIC_GLOBAL_ENABLE | APIC_X2_ENABLE);
    const uint32_t id = apic_read(APIC_ID);
    this_cpu->apic_id = local_apic == NULL ? id : id >> XAPIC_ID_SHIFT;
    apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
    apic_write(APIC_LVT_LINT1, APIC_LVT_NMI); /* where the platform's NMI arrives */
    apic_write(APIC_LVT_ERROR, APIC_LVT_MASKED);
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_16);
    apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | VECTOR_SPURIOUS);
}

/* The first word of an input's redirection; the second is behind it. */
static uint32_t redirection(const struct acpi_line *line) { return 0x10 + 2 * (line->input - io_apic_first_input); }

/* The boot CPU gets all lines, whose id fits in the field's eight bits on every machine but a very odd one. */
void io_apic_connect(const struct acpi_line *line, unsigned vector) {
    if (cpus[0].apic_id > XAPIC_ID_MAX)
        return;
    io_apic_write(redirection(line) + 1, (uint32_t)cpus[0].apic_id << XAPIC_ID_SHIFT);
    io_apic_write(redirection(line),
                  vector | (line->active_low ? REDIRECT_ACTIVE_LOW : 0) | (line->level ? REDIRECT_LEVEL : 0));
}

void io_apic_mask(const struct acpi_line *line, bool masked) {
    const uint32_t word = io_apic_read(redirection(line)) & ~REDIRECT_MASKED;
    io_apic_write(redirection(line), word | (masked ? REDIRECT_MASKED : 0));
}

bool io_apic_find(uint64_t line, struct acpi_line *out) {
    if (line < ACPI_ISA_LINES)
        *out = isa_lines[line];
    else
        *out = (struct acpi_line){.input = (uint32_t)line, .active_low = true, .level = true};
    return line <= UINT32_MAX && out->input >= io_apic_first_input && out->input - io_apic_first_input < io_apic_inputs;
}

bool apic_message_address(uint64_t *address) {
    *address = MESSAGE_BASE | (uint64_t)cpus[0].apic_id << MESSAGE_ID_SHIFT;
    return cpus[0].apic_id <= XAPIC_ID_MAX;
}

static void init_io_apic(const struct acpi_machine *machine) {
    io_apic = device_map(machine->io_apic, PAGE_SIZE);
    region_reserve(machine->io_apic, PAGE_SIZE);
    region_reserve(MESSAGE_BASE, 1UL << 20); /* local APICs, and where messages go */
    memcpy(isa_lines, machine->isa, sizeof isa_lines);
    io_apic_first_input = machine->io_apic_first_input;
    io_apic_inputs = (io_apic_read(IO_APIC_VERSION) >> 16 & 0xff) + 1;
}

void apic_init(const struct acpi_machine *machine) {
    silence_8259();
    const uint64_t base = msr_read(MSR_APIC_BASE);
    if (!(base & APIC_GLOBAL_ENABLE))
        panic("no local APIC, or the firmware switched it off (IA32_APIC_BASE %#lx)", (unsigned long)base);
    if (!cpu_features.x2apic)
        local_apic = device_map(base & 0xfffff000UL, PAGE_SIZE);
    apic_init_cpu();
    init_io_apic(machine);
}

/* --- Interrupts to other CPUs ------------------------------------------------------------------------------------- */

/* The command register is two words without x2APIC: no handler that sends may come between them. */
static void send(uint64_t apic_id, uint32_t command) {
    if (local_apic == NULL) {
        __asm__ volatile("mfence; lfence" ::: "memory"); /* the MSR write does not wait for stores */
        msr_write(MSR_X2APIC + APIC_COMMAND / 16, apic_id << 32 | command);
        return;
    }
    bool irq = irq_save();
    while (apic_read(APIC_COMMAND) & COMMAND_PENDING)
        cpu_relax();
    apic_write(APIC_COMMAND_TARGET, (uint32_t)apic_id << XAPIC_ID_SHIFT);
    apic_write(APIC_COMMAND, command);
    irq_restore(irq);
}

void apic_send(unsigned cpu, unsigned vector) { send(cpus[cpu].apic_id, COMMAND_ASSERT | vector); }
void apic_send_nmi(unsigned cpu) { send(cpus[cpu].apic_id, COMMAND_ASSERT | COMMAND_NMI); }
void apic_send_init(unsigned cpu) { send(cpus[cpu].apic_id, COMMAND_ASSERT | COMMAND_INIT); }
void apic_send_start(unsigned cpu, uint64_t page) {
    send(cpus[cpu].apic_id, COMMAND_ASSERT | COMMAND_START | (uint32_t)(page / PAGE_SIZE));
}

/* --- Receiving, and the timer ------------------------------------------------------------------------------------- */

void apic_end_of_interrupt(void) { apic_write(APIC_EOI, 0); }

void apic_timer_calibrate_begin(void) { apic_write(APIC_TIMER_INITIAL, UINT32_MAX); }

void apic_timer_calibrate_end(unsigned ms) {
    uint32_t elapsed = UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
    apic_write(APIC_TIMER_INITIAL, 0);
    timer_hz = (uint64_t)elapsed * 1000 / ms;
    if (timer_hz == 0)
        panic("the APIC timer does not count");
}

void apic_timer_arm(uint64_t ns) {
    const uint64_t longest_ns = 1000000000UL; /* keeps the product below 2^64 for any plausible rate */
    if (ns > longest_ns)
        ns = longest_ns;
    uint64_t ticks = ns * (timer_hz / 1000) / 1000000;
    if (ticks == 0 && ns != 0)
        ticks = 1;
    apic_write(APIC_TIMER_INITIAL, ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}
