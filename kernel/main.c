/*
 * Start-up, in order, from the loader's hands to the first program. Boot CPU; unrestricted until the first process
 * runs.
 */
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/descriptors.h"
#include "arch/features.h"
#include "arch/iommu.h"
#include "arch/smp.h"
#include "asi/asi.h"
#include "asi/control.h"
#include "asi/trace.h"
#include "boot/boot_info.h"
#include "drivers/console.h"
#include "drivers/pit.h"
#include "drivers/power.h"
#include "kernel/archive.h"
#include "kernel/exec.h"
#include "kernel/file.h"
#include "kernel/futex.h"
#include "kernel/layout.h"
#include "kernel/local.h"
#include "kernel/mistakes.h"
#include "kernel/node.h"
#include "kernel/options.h"
#include "kernel/panic.h"
#include "kernel/pci_config.h"
#include "kernel/print.h"
#include "kernel/process_life.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/thread_create.h"
#include "kernel/time.h"
#include "kernel/vdso.h"
#include "mm/boot.h"
#include "mm/device.h"
#include "mm/ephmap.h"
#include "mm/local.h"
#include "mm/pager.h"
#include "mm/region.h"
#include "mm/tags.h"

#define INIT_PATH "/sbin/init"

static void stop(const char *why, const char *what) {
    kprintf("penumbra: %s%s\n", why, what);
    power_off(POWER_STATUS_BOOT);
}

static void apply_options(void) {
    char value[64];
    struct asi_flush flush = {.kind = ASI_FLUSH_AUTO};
    enum asi_mode mode = ASI_MODE_ASI;
    if (option_get("flush", value, sizeof value) && asi_parse_flush(value, &flush) != OK)
        stop("flush= must be auto, off or cost:IBPB,VERW,CR3, not ", value);
    if (option_get("mode", value, sizeof value) && asi_parse_mode(value, &mode) != OK)
        stop("mode= must be none, classic, naive or asi, not ", value);
    if (asi_set_flush(&flush) != OK || asi_set_mode(mode) != OK)
        panic("options that were parsed cannot be set");
}

static void start_trace(void) {
    enum status status = trace_init();
    if (status == ERR_INVALID)
        stop("trace= must be on or off, trace.records= a number from 16 to 1048576", "");
    if (status != OK)
        stop("no memory for so large a trace: ", "trace.records=");
}

static void calibrate_timer(void) {
    const unsigned ms = 10;
    pit_start(ms);
    apic_timer_calibrate_begin();
    pit_wait();
    apic_timer_calibrate_end(ms);
}

static void map_screen(const struct boot_info *info) {
    const struct boot_framebuffer *screen = &info->framebuffer;
    if (screen->present)
        console_map_video(device_map(screen->phys, (uint64_t)screen->pitch * screen->height));
}

/* pid 1, first in kernel code: it has its own space, where only it can set up what is LOCAL. */
static void init_thread(void) {
    char path[128] = INIT_PATH;
    option_get("init", path, sizeof path);
    local_init();
    thread_current()->local = thread_local_create();
    if (thread_current()->local == NULL || handles_init() != OK)
        panic("no memory for the first process");
    mistake_make();
    enum status status = exec_first(path, archive_take_program());
    if (status != OK)
        stop("the first program cannot be run: ", status_name(status));
    asi_note_first_user();
}

void init_has_exited(int status) {
    bool killed = status & 0x7f;
    power_off(killed ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

/* The kernel's own names. What is in the archive a file server makes files of. */
static void make_names(const struct boot_info *info) {
    char program[128] = INIT_PATH;
    option_get("init", program, sizeof program);
    if (names_init() != OK || archive_keep(info, program) != OK)
        stop("no first program: the archive is unusable", "");
}

void kernel_main(const struct boot_info *info) {
    boot_entry_tsc = info->entry_tsc;
    options_init(info->cmdline);
    layout_init();
    features_detect();
    tags_init();
    idt_init();
    cpu_init(0);
    smp_find_cpus(info);
    process_init(&kernel_process);
    sched_init_cpu();
    mm_init(info);
    regions_init(info);
    local_init();
    map_screen(info);
    smp_init_apic();
    pci_cut_off_all();
    iommu_init(smp_machine());
    time_init(info->entry_tsc);
    calibrate_timer();
    futex_init();
    futex_pi_init();
    start_trace();
    smp_start(info);
    kprintf("Penumbra: %lu MiB, %u CPU%s, booted by %s\n", (unsigned long)(frame_free_count() >> (20 - PAGE_SHIFT)),
            cpu_count, cpu_count == 1 ? "" : "s", info->protocol);
    vdso_init();
    make_names(info);
    apply_options();
    if (process_create_kernel("init", init_thread, &init_process) != OK)
        panic("no memory for the first process");
    pager_start();
    nodes_start();
    sched_idle();
}
