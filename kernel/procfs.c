/*
 * /proc and /sys: files that tell of the whole system, for programs that look there at their start. What tells of one
 * process is in proc_process.c and proc_own.c; what isolation does, in proc_asi.c.
 *
 * Class discipline: only metadata (counts, ids, program names, the kernel's own command line), so texts are GLOBAL.
 * Locks: processes_lock while threads are counted. Runs in the caller's space.
 */
#include "kernel/procfs.h"
#include "arch/cpu.h"
#include "arch/cpuid.h"
#include "arch/smp.h"
#include "kernel/device.h"
#include "kernel/inotify.h"
#include "kernel/load.h"
#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/options.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/random.h"
#include "kernel/string.h"
#include "kernel/system_name.h"
#include "kernel/time.h"
#include "mm/frame.h"
#include "mm/heap.h"

#define KIB_PER_PAGE (PAGE_SIZE / 1024)
#define USER_HZ      100UL
#define NS_PER_TICK  (NS_PER_SECOND / USER_HZ)

static void cmdline_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "%s\n", kernel_command_line);
}

static void version_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "Linux version 6.1.0-penumbra (Penumbra) #1 SMP\n");
}

static const char *or_none(const char *text) { return text[0] != '\0' ? text : "none"; }

void mounts_text(struct text *text, const struct inode *inode) {
    struct mount_state state;
    struct mount *mount;
    (void)inode;
    text_add(text, "proc /proc proc rw 0 0\n");
    for (unsigned index = 0; (mount = mount_at(index)) != NULL; index++) {
        mount_describe(mount, &state);
        mount_unref(mount);
        text_add(text, "%s %s %s %s 0 0\n", or_none(state.source), state.path, or_none(state.type),
                 state.flags & MOUNT_READ_ONLY ? "ro" : "rw");
    }
}

void mount_information_text(struct text *text, const struct inode *inode) {
    struct mount_state state;
    struct mount *mount;
    (void)inode;
    text_add(text, "1 0 0:1 / /proc rw - proc proc rw\n");
    for (unsigned index = 0; (mount = mount_at(index)) != NULL; index++) {
        mount_describe(mount, &state);
        mount_unref(mount);
        const char *access = state.flags & MOUNT_READ_ONLY ? "ro" : "rw";
        text_add(text, "%u 0 0:%u / %s %s - %s %s %s\n", index + 2, index + 2, state.path, access, or_none(state.type),
                 or_none(state.source), access);
    }
}

static void filesystems_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "nodev\ttmpfs\nnodev\tproc\n\text4\n");
}

static void partitions_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "major minor  #blocks  name\n\n"); /* disks are a driver's */
}

/* What idle had of each CPU, up to now. */
static uint64_t idle_ticks(unsigned cpu) {
    const struct thread *idle = cpus[cpu].idle;
    const uint64_t start = __atomic_load_n(&idle->started_at, __ATOMIC_RELAXED), now = time_monotonic();
    const uint64_t run = cpus[cpu].current == idle && now > start ? now - start : 0;
    return (__atomic_load_n(&idle->cpu_time, __ATOMIC_RELAXED) + run) / NS_PER_TICK;
}

static void uptime_text(struct text *text, const struct inode *inode) {
    uint64_t hundredths = time_monotonic() / NS_PER_TICK, idle = 0;
    (void)inode;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        idle += idle_ticks(cpu);
    text_add(text, "%lu.%02lu %lu.%02lu\n", hundredths / 100, hundredths % 100, idle / 100, idle % 100);
}

static unsigned running_threads(void) {
    unsigned count = 0;
    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(process_link, &all_processes) {
        const struct process *process = container_of(process_link, struct process, all_link);
        list_for_each(link, &process->threads) {
            const struct thread *thread = container_of(link, struct thread, process_link);
            count += thread->state == THREAD_RUNNING || thread->state == THREAD_RUNNABLE;
        }
    }
    spin_unlock_irq(&processes_lock, irq);
    return count;
}

static void loadavg_text(struct text *text, const struct inode *inode) {
    enum { ONE = 1 << LOAD_SHIFT };
    const unsigned running = running_threads();
    uint64_t averages[3];
    (void)inode;
    load_sample(time_monotonic(), running - 1); /* but for who asks */
    load_averages(averages);
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t rounded = averages[i] + ONE / 200;
        text_add(text, "%lu.%02lu ", rounded / ONE, rounded % ONE * 100 / ONE);
    }
    text_add(text, "%u/%u %u\n", running, thread_count(), process_current()->id);
}

static void meminfo_text(struct text *text, const struct inode *inode) {
    struct frame_counts frames;
    (void)inode;
    frame_count(&frames);
    uint64_t free = (frames.by_class[FRAME_FREE] + frames.by_class[FRAME_DIRTY]) * KIB_PER_PAGE;
    text_add(
        text,
        "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\nBuffers:               0 kB\n"
        "Cached:         %8lu kB\nSwapCached:            0 kB\nActive:         %8lu kB\nInactive:              0 kB\n",
        frames.total * KIB_PER_PAGE, free, free, frames.by_class[FRAME_SECRET] * KIB_PER_PAGE,
        frames.by_class[FRAME_USER] * KIB_PER_PAGE);
    text_add(
        text,
        "SwapTotal:             0 kB\nSwapFree:              0 kB\nDirty:                 0 kB\n"
        "AnonPages:      %8lu kB\nMapped:                0 kB\nShmem:                 0 kB\nSlab:           %8lu kB\n"
        "KernelStack:           0 kB\nPageTables:            0 kB\nCommitLimit:    %8lu kB\nCommitted_AS:          0 "
        "kB\n",
        frames.by_class[FRAME_USER] * KIB_PER_PAGE, global_heap_in_use() / 1024, frames.total * KIB_PER_PAGE);
}

static void vmstat_text(struct text *text, const struct inode *inode) {
    struct frame_counts frames;
    uint64_t faults = 0;
    (void)inode;
    frame_count(&frames);
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        faults += cpus[cpu].counters.page_faults;
    text_add(text, "nr_free_pages %lu\nnr_anon_pages %lu\nnr_file_pages %lu\npgfault %lu\npswpin 0\npswpout 0\n",
             frames.by_class[FRAME_FREE] + frames.by_class[FRAME_DIRTY], frames.by_class[FRAME_USER],
             frames.by_class[FRAME_SECRET], faults);
}

static void cpuinfo_text(struct text *text, const struct inode *inode) {
    const struct cpuid_result vendor = cpuid(0, 0), version = cpuid(1, 0);
    const uint32_t words[] = {vendor.ebx, vendor.edx, vendor.ecx};
    char name[sizeof words + 1] = "";
    (void)inode;
    memcpy(name, words, sizeof words);
    for (unsigned i = 0; i < cpu_count; i++)
        text_add(text,
                 "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nstepping\t: %u\n"
                 "cpu MHz\t\t: %lu.%03lu\napicid\t\t: %lu\nclflush size\t: 64\ncache_alignment\t: 64\n\n",
                 i, name, version.eax >> 8 & 15, (version.eax >> 4 & 15) | (version.eax >> 12 & 0xf0), version.eax & 15,
                 tsc_hz / 1000000, tsc_hz / 1000 % 1000, (unsigned long)cpus[i].apic_id);
}

static void add_cpu_line(struct text *text, uint64_t all, uint64_t idle) {
    text_add(text, " %lu 0 0 %lu 0 0 0 0 0 0\n", all > idle ? all - idle : 0, idle);
}

static void stat_text(struct text *text, const struct inode *inode) {
    uint64_t ticks = time_monotonic() / NS_PER_TICK, idle = 0, switches = 0;
    (void)inode;
    for (unsigned i = 0; i < cpu_count; i++) {
        const struct cpu_counters *counters = &cpus[i].counters;
        idle += idle_ticks(i);
        switches += counters->process_switches + counters->thread_switches + counters->idle_switches;
    }
    text_add(text, "cpu ");
    add_cpu_line(text, ticks * cpu_count, idle);
    for (unsigned i = 0; i < cpu_count; i++) {
        text_add(text, "cpu%u", i);
        add_cpu_line(text, ticks, idle_ticks(i));
    }
    text_add(text, "intr 0\nctxt %lu\nbtime %lu\nprocesses %u\nprocs_running %u\nprocs_blocked 0\n", switches,
             (time_realtime() - time_monotonic()) / NS_PER_SECOND, process_count(), running_threads());
}

static void cpu_list_text(struct text *text, const struct inode *inode) {
    unsigned last = cpu_count - 1;
    (void)inode;
    if (last > 0)
        text_add(text, "0-%u\n", last);
    else
        text_add(text, "0\n");
}

/* --- /proc/sys ---------------------------------------------------------------------------------------------------- */

#define CONSTANT_TEXT(name, value)                                                                                     \
    static void name(struct text *text, const struct inode *inode) {                                                   \
        (void)inode;                                                                                                   \
        text_add(text, "%s\n", value);                                                                                 \
    }
CONSTANT_TEXT(ostype_text, system_name.system)
CONSTANT_TEXT(osrelease_text, system_name.release)
CONSTANT_TEXT(osversion_text, system_name.version)
CONSTANT_TEXT(hostname_text, system_name.node)
CONSTANT_TEXT(domainname_text, system_name.domain)
CONSTANT_TEXT(zero_text, "0")
CONSTANT_TEXT(one_text, "1")
CONSTANT_TEXT(shmall_text, "18446744073692774399")
CONSTANT_TEXT(shmmax_text, "18446744073692774399")
CONSTANT_TEXT(shmmni_text, "4096")
CONSTANT_TEXT(map_count_text, "65530")
CONSTANT_TEXT(file_max_text, "1048576")
CONSTANT_TEXT(nr_open_text, "4096")
CONSTANT_TEXT(pipe_max_text, "1048576")
CONSTANT_TEXT(coherency_text, "64")
CONSTANT_TEXT(clocksource_text, "tsc")
CONSTANT_TEXT(ngroups_text, "65536")
CONSTANT_TEXT(core_text, "core")

static void pid_max_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "%u\n", 32768U);
}

static void threads_max_text(struct text *text, const struct inode *inode) {
    (void)inode;
    text_add(text, "%u\n", THREADS_MAX);
}

#define NUMBER_TEXT(name, value)                                                                                       \
    static void name(struct text *text, const struct inode *inode) {                                                   \
        (void)inode;                                                                                                   \
        text_add(text, "%u\n", value);                                                                                 \
    }
NUMBER_TEXT(inotify_queue_text, INOTIFY_QUEUE_MAX)
NUMBER_TEXT(inotify_instances_text, INOTIFY_INSTANCES_MAX)
NUMBER_TEXT(inotify_watches_text, INOTIFY_WATCHES_MAX)

/* A UUID of version 4. */
static void add_uuid(struct text *text, const uint8_t bytes[16]) {
    for (unsigned i = 0; i < 16; i++) {
        unsigned byte = i == 6 ? (bytes[i] & 0x0fU) | 0x40 : i == 8 ? (bytes[i] & 0x3fU) | 0x80 : bytes[i];
        text_add(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", byte);
    }
    text_add(text, "\n");
}

/* Random bytes are nobody's but the reader's, so this one is written at each read (own_text_operations' way). */
static void uuid_text(struct text *text, const struct inode *inode) {
    uint8_t bytes[16];
    (void)inode;
    random_bytes(bytes, sizeof(bytes));
    add_uuid(text, bytes);
}

/* Names this boot, and is told to everybody: from the time of boot, not from the generator. */
static void boot_id_text(struct text *text, const struct inode *inode) {
    uint8_t bytes[16];
    uint64_t state = (time_realtime() - time_monotonic()) / NS_PER_SECOND;
    (void)inode;
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        state = state * 6364136223846793005UL + 1442695040888963407UL;
        bytes[i] = (uint8_t)(state >> 56);
    }
    add_uuid(text, bytes);
}

#define TEXT_FILE(path_, generate_)                                                                                    \
    {                                                                                                                  \
        (path_), { .operations = &text_operations, .generate = (generate_) }                                           \
    }

static const struct {
    const char *path;
    struct special_file special;
} files[] = {
    TEXT_FILE("/proc/cmdline", cmdline_text),
    TEXT_FILE("/proc/version", version_text),
    TEXT_FILE("/proc/filesystems", filesystems_text),
    TEXT_FILE("/proc/partitions", partitions_text),
    TEXT_FILE("/proc/uptime", uptime_text),
    TEXT_FILE("/proc/loadavg", loadavg_text),
    TEXT_FILE("/proc/meminfo", meminfo_text),
    TEXT_FILE("/proc/vmstat", vmstat_text),
    TEXT_FILE("/proc/cpuinfo", cpuinfo_text),
    TEXT_FILE("/proc/stat", stat_text),
    TEXT_FILE("/proc/sys/kernel/ostype", ostype_text),
    TEXT_FILE("/proc/sys/kernel/osrelease", osrelease_text),
    TEXT_FILE("/proc/sys/kernel/version", osversion_text),
    TEXT_FILE("/proc/sys/kernel/hostname", hostname_text),
    TEXT_FILE("/proc/sys/kernel/domainname", domainname_text),
    TEXT_FILE("/proc/sys/kernel/pid_max", pid_max_text),
    TEXT_FILE("/proc/sys/kernel/threads-max", threads_max_text),
    TEXT_FILE("/proc/sys/kernel/ngroups_max", ngroups_text),
    TEXT_FILE("/proc/sys/kernel/core_pattern", core_text),
    TEXT_FILE("/proc/sys/kernel/shmall", shmall_text),
    TEXT_FILE("/proc/sys/kernel/shmmax", shmmax_text),
    TEXT_FILE("/proc/sys/kernel/shmmni", shmmni_text),
    TEXT_FILE("/proc/sys/kernel/random/boot_id", boot_id_text),
    {"/proc/sys/kernel/random/uuid", {.operations = &fresh_text_operations, .generate = uuid_text}},
    TEXT_FILE("/proc/sys/vm/overcommit_memory", one_text),
    TEXT_FILE("/proc/sys/vm/max_map_count", map_count_text),
    TEXT_FILE("/proc/sys/vm/swappiness", zero_text),
    TEXT_FILE("/proc/sys/fs/file-max", file_max_text),
    TEXT_FILE("/proc/sys/fs/nr_open", nr_open_text),
    TEXT_FILE("/proc/sys/fs/pipe-max-size", pipe_max_text),
    TEXT_FILE("/proc/sys/fs/inotify/max_queued_events", inotify_queue_text),
    TEXT_FILE("/proc/sys/fs/inotify/max_user_instances", inotify_instances_text),
    TEXT_FILE("/proc/sys/fs/inotify/max_user_watches", inotify_watches_text),
    TEXT_FILE("/sys/devices/system/cpu/online", cpu_list_text),
    TEXT_FILE("/sys/devices/system/cpu/possible", cpu_list_text),
    TEXT_FILE("/sys/devices/system/cpu/present", cpu_list_text),
    TEXT_FILE("/sys/devices/system/cpu/cpu0/cache/index0/coherency_line_size", coherency_text),
    TEXT_FILE("/sys/devices/system/clocksource/clocksource0/current_clocksource", clocksource_text),
    TEXT_FILE("/sys/devices/system/clocksource/clocksource0/available_clocksource", clocksource_text),
};

static const char *const directories[] = {
    "/proc/sys/kernel/random",
    "/proc/sys/vm",
    "/proc/sys/fs/inotify",
    "/sys/devices/system/cpu/cpu0/cache/index0",
    "/sys/devices/system/clocksource/clocksource0",
    "/sys/block",
    "/sys/class",
    "/sys/kernel",
};

/* A directory for each CPU: programs count them. */
static enum status make_cpu_directories(void) {
    char path[48];
    enum status status = OK;
    for (unsigned i = 0; i < cpu_count && status == OK; i++) {
        format_string(path, sizeof(path), "/sys/devices/system/cpu/cpu%u", i);
        status = names_make_directories(path);
    }
    return status;
}

enum status procfs_init(void) {
    enum status status = live_init();
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]) && status == OK; i++)
        status = names_make_directories(directories[i]);
    if (status == OK)
        status = make_cpu_directories();
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && status == OK; i++)
        status = names_make_special(files[i].path, S_IFREG | 0444, &files[i].special);
    if (status == OK)
        status = names_make_symlink("/proc/mounts", "self/mounts");
    return status == OK ? proc_asi_init() : status;
}
