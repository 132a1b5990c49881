/*
 * From the RSDP, which the loader has found, by way of RSDT or XSDT to the MADT and the DMAR.
 *
 * Tables are not trusted to be well formed: no byte outside a table's stated size is read, and none at all of a table
 * whose sum is wrong. Owns nothing. Early space, boot CPU, once; no locks.
 * Source: ACPI specification 6.4, sections 5.2.5 to 5.2.8 and 5.2.12.
 */
#include "arch/acpi.h"

#include "boot/boot_info.h"
#include "kernel/string.h"

enum { ENTRY_LOCAL_APIC = 0, ENTRY_IO_APIC = 1, ENTRY_OVERRIDE = 2, ENTRY_LOCAL_X2APIC = 9 };
enum { RSDP_OLD_SIZE = 20, IO_APIC_INPUTS_MAX = 240, DMAR_UNIT = 0 };
#define IO_APIC_USUAL   0xfec00000U /* where every PC chip set has the first one */
#define TABLE_SIZE_MAX  0x100000U   /* a MADT with 64 entries has 1 KiB: more than this is nonsense */
#define PROCESSOR_READY 1U          /* "enabled"; those that only may be plugged in are left alone */
#define POLARITY(flags) ((flags)&3U)
#define TRIGGER(flags)  ((flags) >> 2 & 3U)
#define POLARITY_LOW    3U
#define TRIGGER_LEVEL   3U

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length; /* this and the rest from revision 2 on */
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct rsdp) == BOOT_RSDP_SIZE, "the loader's copy");

struct table {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct madt {
    struct table head;
    uint32_t local_apic; /* IA32_APIC_BASE knows better */
    uint32_t flags;
} __attribute__((packed));

struct entry {
    uint8_t type, length;
} __attribute__((packed));

struct local_apic {
    struct entry head;
    uint8_t processor, apic_id;
    uint32_t flags;
} __attribute__((packed));

struct local_x2apic {
    struct entry head;
    uint16_t reserved;
    uint32_t apic_id, flags, processor;
} __attribute__((packed));

struct io_apic {
    struct entry head;
    uint8_t id, reserved;
    uint32_t address, first_input;
} __attribute__((packed));

struct override {
    struct entry head;
    uint8_t bus, source;
    uint32_t input;
    uint16_t flags;
} __attribute__((packed));

struct dmar {
    struct table head;
    uint8_t address_bits, flags, reserved[10];
} __attribute__((packed));

struct dmar_structure {
    uint16_t type, length;
} __attribute__((packed));

struct dmar_unit {
    struct dmar_structure head;
    uint8_t flags, reserved;
    uint16_t segment;
    uint64_t registers;
} __attribute__((packed));

static bool sum_is_zero(const void *bytes, uint64_t count) {
    uint8_t sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
    return sum == 0;
}

/* The table at a physical address, whole and with the right sum, or NULL. */
static const struct table *table_at(uint64_t physical, const char signature[4]) {
    const struct table *table = physical == 0 ? NULL : boot_view(physical, sizeof *table);
    if (table == NULL || memcmp(table->signature, signature, sizeof table->signature) != 0)
        return NULL;
    const uint32_t length = table->length;
    if (length < sizeof *table || length > TABLE_SIZE_MAX)
        return NULL;
    table = boot_view(physical, length);
    return table != NULL && sum_is_zero(table, length) ? table : NULL;
}

/* RSDT and XSDT differ in nothing but how wide the addresses are. */
static const struct table *find_in(const struct table *root, unsigned width, const char signature[4]) {
    const char *addresses = (const char *)(root + 1);
    const uint64_t count = (root->length - sizeof *root) / width;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t physical = 0;
        memcpy(&physical, addresses + i * width, width);
        const struct table *found = table_at(physical, signature);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static const struct table *find_table(const struct boot_info *info, const char signature[4]) {
    struct rsdp rsdp;
    memcpy(&rsdp, info->rsdp, sizeof rsdp);
    if (!info->rsdp_present || memcmp(rsdp.signature, "RSD PTR ", sizeof rsdp.signature) != 0 ||
        !sum_is_zero(&rsdp, RSDP_OLD_SIZE))
        return NULL;
    const bool has_xsdt = rsdp.revision >= 2 && rsdp.length >= sizeof rsdp && sum_is_zero(&rsdp, sizeof rsdp);
    const struct table *xsdt = has_xsdt ? table_at(rsdp.xsdt, "XSDT") : NULL;
    if (xsdt != NULL)
        return find_in(xsdt, sizeof(uint64_t), signature);
    const struct table *rsdt = table_at(rsdp.rsdt, "RSDT");
    return rsdt == NULL ? NULL : find_in(rsdt, sizeof(uint32_t), signature);
}

/* --- The MADT's entries ------------------------------------------------------------------------------------------- */

static void add_processor(struct acpi_machine *machine, uint32_t apic_id, uint32_t flags) {
    if (!(flags & PROCESSOR_READY))
        return;
    for (unsigned i = 0; i < machine->processor_count; i++)
        if (machine->apic_ids[i] == apic_id)
            return; /* firmware may list one both as local APIC and as x2APIC */
    if (machine->processor_count < CPU_MAX)
        machine->apic_ids[machine->processor_count++] = apic_id;
    else
        machine->processors_left_out++;
}

/* ISA lines are edge-triggered and active high unless it is said otherwise. */
static void note_override(struct acpi_machine *machine, const struct override *override) {
    if (override->bus != 0 || override->source >= ACPI_ISA_LINES)
        return;
    machine->isa[override->source] = (struct acpi_line){
        .input = override->input,
        .active_low = POLARITY(override->flags) == POLARITY_LOW,
        .level = TRIGGER(override->flags) == TRIGGER_LEVEL,
    };
}

/* Of those that begin at or below the input the nearest has it. Needs the overrides. */
static void note_io_apic(struct acpi_machine *machine, const struct io_apic *io_apic) {
    const uint32_t first = io_apic->first_input, serial = machine->isa[ACPI_ISA_SERIAL].input;
    if (first > serial || serial - first >= IO_APIC_INPUTS_MAX || io_apic->address == 0)
        return;
    if (machine->io_apic != 0 && first < machine->io_apic_first_input)
        return;
    machine->io_apic = io_apic->address;
    machine->io_apic_first_input = first;
}

static void read_entry(struct acpi_machine *machine, const struct entry *entry) {
    const void *whole = entry;
    if (entry->type == ENTRY_LOCAL_APIC && entry->length >= sizeof(struct local_apic)) {
        const struct local_apic *apic = whole;
        add_processor(machine, apic->apic_id, apic->flags);
    } else if (entry->type == ENTRY_LOCAL_X2APIC && entry->length >= sizeof(struct local_x2apic)) {
        const struct local_x2apic *apic = whole;
        add_processor(machine, apic->apic_id, apic->flags);
    } else if (entry->type == ENTRY_OVERRIDE && entry->length >= sizeof(struct override)) {
        note_override(machine, whole);
    }
}

static void read_io_apic(struct acpi_machine *machine, const struct entry *entry) {
    const void *whole = entry;
    if (entry->type == ENTRY_IO_APIC && entry->length >= sizeof(struct io_apic))
        note_io_apic(machine, whole);
}

static void for_each_entry(const struct table *madt, struct acpi_machine *machine,
                           void (*visit)(struct acpi_machine *, const struct entry *)) {
    uint32_t at = sizeof(struct madt);
    while (at <= madt->length && madt->length - at >= sizeof(struct entry)) {
        const struct entry *entry = (const void *)((const char *)madt + at);
        if (entry->length < sizeof *entry || entry->length > madt->length - at)
            return;
        visit(machine, entry);
        at += entry->length;
    }
}

/* --- The DMAR's units: whose devices each serves does not matter, all get the same tables --------------------- */

static void read_dmar(struct acpi_machine *machine, const struct table *dmar) {
    uint32_t at = sizeof(struct dmar);
    while (dmar != NULL && at <= dmar->length && dmar->length - at >= sizeof(struct dmar_structure)) {
        const struct dmar_structure *structure = (const void *)((const char *)dmar + at);
        if (structure->length < sizeof *structure || structure->length > dmar->length - at)
            return;
        const struct dmar_unit *unit = (const void *)structure;
        if (structure->type == DMAR_UNIT && structure->length >= sizeof *unit && unit->registers != 0 &&
            machine->iommu_count < ACPI_IOMMUS_MAX)
            machine->iommus[machine->iommu_count++] = unit->registers;
        at += structure->length;
    }
}

bool acpi_read(const struct boot_info *info, struct acpi_machine *machine) {
    *machine = (struct acpi_machine){.processor_count = 0};
    for (uint32_t line = 0; line < ACPI_ISA_LINES; line++)
        machine->isa[line].input = line;
    read_dmar(machine, find_table(info, "DMAR"));
    const struct table *madt = find_table(info, "APIC");
    if (madt != NULL) {
        for_each_entry(madt, machine, read_entry);
        for_each_entry(madt, machine, read_io_apic);
    }
    if (machine->io_apic == 0)
        machine->io_apic = IO_APIC_USUAL;
    return madt != NULL;
}
