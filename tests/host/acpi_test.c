/*
 * Host test of arch/acpi.c: a machine's tables as firmware writes them, and then 200,000 times with some bytes changed.
 * Whatever a table says, nothing outside the sizes that were asked for is read: each view is an allocation of its own,
 * and the address sanitizer looks on.
 *
 * Build and run: tests/host/run
 */
#include "arch/acpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/boot_info.h"

enum { MEMORY = 4096, RSDT = 0x100, XSDT = 0x180, OTHER = 0x200, MADT = 0x240, ROUNDS = 200000, VIEWS_MAX = 4096 };
enum { HEADER = 36, CHECKSUM = 9, RSDP_CHECKSUM = 8, RSDP_EXTENDED_CHECKSUM = 32 };

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint8_t memory[MEMORY];
static void *views[VIEWS_MAX];
static unsigned view_count;
static uint64_t seed = 1;

static unsigned random_below(unsigned limit) {
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (unsigned)(seed >> 33) % limit;
}

const void *boot_view(uint64_t physical, uint64_t bytes) {
    if (bytes > MEMORY || physical > MEMORY - bytes)
        return NULL;
    CHECK(view_count < VIEWS_MAX);
    void *view = malloc(bytes);
    views[view_count++] = view;
    return memcpy(view, memory + physical, bytes);
}

static void drop_views(void) {
    while (view_count > 0)
        free(views[--view_count]);
}

static void fix_sum(uint8_t *bytes, size_t count, size_t at) {
    uint8_t sum = 0;
    bytes[at] = 0;
    for (size_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[at] = (uint8_t)-sum;
}

static void put32(unsigned at, uint32_t value) { memcpy(memory + at, &value, sizeof value); }

static void make_table(unsigned at, const char *signature, const void *body, uint32_t bytes) {
    memset(memory + at, 0, HEADER);
    memcpy(memory + at, signature, 4);
    put32(at + 4, HEADER + bytes);
    memcpy(memory + at + HEADER, body, bytes);
    fix_sum(memory + at, HEADER + bytes, CHECKSUM);
}

static const uint8_t madt_body[] = {
    0,  0,  0xe0, 0xfe, 1,  0,    0,    0,                              /* local APIC address, flags */
    0,  8,  0,    0,    1,  0,    0,    0,                              /* APIC 0 */
    0,  8,  1,    2,    1,  0,    0,    0,                              /* APIC 2 */
    0,  8,  2,    4,    0,  0,    0,    0,                              /* APIC 4: not enabled */
    0,  8,  3,    6,    2,  0,    0,    0,                              /* APIC 6: may only be plugged in */
    1,  12, 9,    0,    0,  0,    0xc0, 0xfe, 0,   0, 0, 0,             /* I/O APIC from input 0 */
    1,  12, 10,   0,    0,  0x10, 0xc0, 0xfe, 24,  0, 0, 0,             /* another from input 24 */
    2,  10, 0,    0,    2,  0,    0,    0,    0,   0,                   /* ISA 0 is input 2 */
    2,  10, 0,    4,    26, 0,    0,    0,    0xf, 0,                   /* ISA 4 is input 26, active low, level */
    9,  16, 0,    0,    0,  1,    0,    0,    1,   0, 0, 0, 0, 0, 0, 0, /* x2APIC 256 */
    9,  16, 0,    0,    2,  0,    0,    0,    1,   0, 0, 0, 0, 0, 0, 0, /* x2APIC 2: seen already */
    42, 3,  0,                                                          /* unknown */
};

static struct boot_info make_machine(unsigned revision) {
    struct boot_info info = {.rsdp_present = true};
    const uint32_t rsdt[] = {OTHER, MADT};
    const uint64_t xsdt[] = {1UL << 40, OTHER, MADT};
    memset(memory, 0, sizeof memory);
    make_table(RSDT, "RSDT", rsdt, sizeof rsdt);
    make_table(XSDT, "XSDT", xsdt, sizeof xsdt);
    make_table(OTHER, "FACP", "", 0);
    make_table(MADT, "APIC", madt_body, sizeof madt_body);
    memcpy(info.rsdp, "RSD PTR ", 8);
    info.rsdp[15] = (uint8_t)revision;
    info.rsdp[16] = RSDT & 0xff;
    info.rsdp[17] = RSDT >> 8;
    info.rsdp[20] = BOOT_RSDP_SIZE;
    info.rsdp[24] = XSDT & 0xff;
    info.rsdp[25] = XSDT >> 8;
    fix_sum(info.rsdp, 20, RSDP_CHECKSUM);
    fix_sum(info.rsdp, BOOT_RSDP_SIZE, RSDP_EXTENDED_CHECKSUM);
    return info;
}

static void reads_a_machine(unsigned revision) {
    struct boot_info info = make_machine(revision);
    struct acpi_machine machine;
    CHECK(acpi_read(&info, &machine));
    CHECK(machine.processor_count == 3 && machine.processors_left_out == 0);
    CHECK(machine.apic_ids[0] == 0 && machine.apic_ids[1] == 2 && machine.apic_ids[2] == 256);
    CHECK(machine.isa[ACPI_ISA_SERIAL].input == 26 && machine.isa[ACPI_ISA_SERIAL].active_low &&
          machine.isa[ACPI_ISA_SERIAL].level);
    CHECK(machine.io_apic == 0xfec01000U && machine.io_apic_first_input == 24);
    drop_views();
}

/* As on every PC. */
static void check_usual(const struct acpi_machine *machine) {
    CHECK(machine->processor_count == 0 && machine->isa[ACPI_ISA_SERIAL].input == 4 &&
          !machine->isa[ACPI_ISA_SERIAL].level);
    CHECK(machine->io_apic == 0xfec00000U && machine->io_apic_first_input == 0);
}

static void wants_right_sums(void) {
    struct acpi_machine machine;
    struct boot_info info = make_machine(2);
    memory[MADT + HEADER + 20]++;
    CHECK(!acpi_read(&info, &machine));
    check_usual(&machine);
    info = make_machine(0);
    info.rsdp[RSDP_CHECKSUM]++;
    CHECK(!acpi_read(&info, &machine));
    check_usual(&machine);
    info = make_machine(0);
    info.rsdp_present = false;
    CHECK(!acpi_read(&info, &machine));
    check_usual(&machine);
    drop_views();
}

static void counts_what_has_no_room(void) {
    uint8_t body[8 + 70 * 8] = {0};
    for (unsigned i = 0; i < 70; i++)
        memcpy(body + 8 + i * 8, (uint8_t[]){0, 8, (uint8_t)i, (uint8_t)i, 1, 0, 0, 0}, 8);
    struct boot_info info = make_machine(2);
    struct acpi_machine machine;
    make_table(MADT, "APIC", body, sizeof body);
    CHECK(acpi_read(&info, &machine));
    CHECK(machine.processor_count == CPU_MAX && machine.processors_left_out == 70 - CPU_MAX);
    drop_views();
}

/* Bytes anywhere in the tables; the sums are made right again, or nearly nothing would be read. */
static void survives(void) {
    struct boot_info info = make_machine(random_below(3));
    struct acpi_machine machine;
    for (unsigned changes = random_below(6); changes > 0; changes--)
        memory[RSDT + random_below(MADT + HEADER + sizeof madt_body - RSDT)] = (uint8_t)random_below(256);
    const unsigned tables[] = {RSDT, XSDT, OTHER, MADT};
    for (unsigned i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        uint32_t length;
        memcpy(&length, memory + tables[i] + 4, sizeof length);
        if (length >= HEADER && length <= MEMORY - tables[i])
            fix_sum(memory + tables[i], length, CHECKSUM);
    }
    acpi_read(&info, &machine);
    CHECK(machine.processor_count <= CPU_MAX && machine.io_apic != 0);
    CHECK(machine.io_apic_first_input <= machine.isa[ACPI_ISA_SERIAL].input);
    drop_views();
}

int main(void) {
    reads_a_machine(0);
    reads_a_machine(2);
    wants_right_sums();
    counts_what_has_no_room();
    for (unsigned round = 0; round < ROUNDS; round++)
        survives();
    puts("acpi: a machine, wrong sums, too many processors, 200000 changed tables: ok");
    return 0;
}
