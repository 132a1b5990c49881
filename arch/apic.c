/*
 * Owns: the interrupt controllers. Registers are GLOBAL mappings, uncached. Calibration is constant after start-up; the
 * timer is each CPU's own, used with interrupts off. Source: Intel SDM volume 3, chapter 11; 82093AA (I/O APIC) data
 * sheet.
 */
#include "arch/apic.h"

#include "arch/io.h"
#include "arch/msr.h"
#include "kernel/panic.h"
#include "mm/device.h"

enum {
    APIC_ID = 0x20,
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
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
#define APIC_DIVIDE_BY_16    3
#define APIC_GLOBAL_ENABLE   (1UL << 11)
#define APIC_X2_ENABLE       (1UL << 10)
#define IO_APIC_ADDRESS      0xfec00000UL /* where every PC chip set has the first one */
#define ISA_SERIAL_LINE      4

static volatile uint32_t *local_apic;
static volatile uint32_t *io_apic;
static uint64_t timer_hz; /* after the divider */

static uint32_t apic_read(unsigned offset) { return local_apic[offset / 4]; }
static void apic_write(unsigned offset, uint32_t value) { local_apic[offset / 4] = value; }

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

void apic_init(void) {
    silence_8259();
    uint64_t base = msr_read(MSR_APIC_BASE);
    if (!(base & APIC_GLOBAL_ENABLE) || (base & APIC_X2_ENABLE))
        panic("no xAPIC: the local APIC is off or in x2APIC mode (IA32_APIC_BASE %#lx)", (unsigned long)base);
    local_apic = device_map(base & 0xfffff000UL, PAGE_SIZE);
    io_apic = device_map(IO_APIC_ADDRESS, PAGE_SIZE);

    apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
    apic_write(APIC_LVT_ERROR, APIC_LVT_MASKED);
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_16);
    apic_write(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | VECTOR_SPURIOUS);

    /* ISA lines are edge-triggered and active high on the input of the same number. */
    const uint32_t redirection = 0x10 + 2 * ISA_SERIAL_LINE;
    io_apic_write(redirection + 1, apic_read(APIC_ID));
    io_apic_write(redirection, VECTOR_SERIAL);
}

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
