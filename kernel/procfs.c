/*
 * /proc and /sys: a few files whose text is made when they are opened, for programs that look there at their start.
 *
 * Class discipline: only metadata (counts, ids, program names, the kernel's own command line), so the text is GLOBAL.
 * Locks: processes_lock while a process's family is read. Runs in the caller's space.
 */
#include "arch/cpu.h"
#include "arch/cpuid.h"
#include "arch/smp.h"
#include "arch/uaccess.h"
#include "kernel/device.h"
#include "kernel/mount.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/options.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "kernel/time.h"
#include "mm/frame.h"
#include "mm/heap.h"

#define TEXT_SIZE    PAGE_SIZE
#define KIB_PER_PAGE (PAGE_SIZE / 1024)
#define USER_HZ      100UL

static size_t cmdline_text(char *to, size_t size) { return format_string(to, size, "%s\n", kernel_command_line); }

static size_t version_text(char *to, size_t size) {
    return format_string(to, size, "Linux version 6.1.0-penumbra (Penumbra) #1 SMP\n");
}

static size_t mounts_text(char *to, size_t size) {
    struct mount_state state;
    struct mount *mount;
    size_t used = format_string(to, size, "proc /proc proc rw 0 0\n");
    for (unsigned index = 0; (mount = mount_at(index)) != NULL; index++) {
        mount_describe(mount, &state);
        mount_unref(mount);
        if (used < size)
            used += format_string(to + used, size - used, "%s %s %s %s 0 0\n", state.source[0] ? state.source : "none",
                                  state.path, state.type[0] ? state.type : "none",
                                  state.flags & MOUNT_READ_ONLY ? "ro" : "rw");
    }
    return used;
}

static size_t filesystems_text(char *to, size_t size) { return format_string(to, size, "nodev\ttmpfs\nnodev\tproc\n"); }

static size_t uptime_text(char *to, size_t size) {
    uint64_t hundredths = time_monotonic() / (NS_PER_SECOND / 100);
    return format_string(to, size, "%lu.%02lu 0.00\n", hundredths / 100, hundredths % 100);
}

static size_t loadavg_text(char *to, size_t size) {
    return format_string(to, size, "0.00 0.00 0.00 1/%u %u\n", thread_count(), process_current()->id);
}

static size_t meminfo_text(char *to, size_t size) {
    struct frame_counts frames;
    frame_count(&frames);
    uint64_t free = (frames.by_class[FRAME_FREE] + frames.by_class[FRAME_DIRTY]) * KIB_PER_PAGE;
    return format_string(to, size,
                         "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n"
                         "Buffers:               0 kB\nCached:         %8lu kB\nSwapTotal:             0 kB\n"
                         "SwapFree:              0 kB\n",
                         frames.total * KIB_PER_PAGE, free, free, frames.by_class[FRAME_SECRET] * KIB_PER_PAGE);
}

/* A few words for each CPU: 64 of them fit in TEXT_SIZE. */
static size_t cpuinfo_text(char *to, size_t size) {
    const struct cpuid_result vendor = cpuid(0, 0);
    const uint32_t words[] = {vendor.ebx, vendor.edx, vendor.ecx};
    char name[sizeof words + 1] = "";
    memcpy(name, words, sizeof words);
    size_t used = 0;
    for (unsigned i = 0; i < cpu_count && used < size; i++)
        used += format_string(to + used, size - used, "processor\t: %u\nvendor_id\t: %s\napicid\t\t: %lu\n\n", i, name,
                              (unsigned long)cpus[i].apic_id);
    return used;
}

static size_t stat_text(char *to, size_t size) {
    uint64_t ticks = time_monotonic() / (NS_PER_SECOND / USER_HZ);
    uint64_t booted = (time_realtime() - time_monotonic()) / NS_PER_SECOND;
    size_t used = format_string(to, size, "cpu  %lu 0 0 0 0 0 0 0 0 0\n", ticks * cpu_count);
    for (unsigned i = 0; i < cpu_count && used < size; i++)
        used += format_string(to + used, size - used, "cpu%u %lu 0 0 0 0 0 0 0 0 0\n", i, ticks);
    if (used < size)
        used += format_string(to + used, size - used, "btime %lu\nprocesses %u\nprocs_running 1\nprocs_blocked 0\n",
                              booted, process_count());
    return used;
}

static size_t self_status_text(char *to, size_t size) {
    const struct process *process = process_current();
    uint32_t parent = 0;
    bool irq = spin_lock_irq(&processes_lock);
    if (process->parent != NULL)
        parent = process->parent->id;
    unsigned threads = process->thread_count;
    spin_unlock_irq(&processes_lock, irq);
    return format_string(to, size,
                         "Name:\t%s\nState:\tR (running)\nTgid:\t%u\nPid:\t%u\nPPid:\t%u\nUid:\t%u\t%u\t%u\t%u\n"
                         "Gid:\t%u\t%u\t%u\t%u\nVmRSS:\t%lu kB\nThreads:\t%u\n",
                         process->name, process->id, process->id, parent, process->uid, process->uid, process->uid,
                         process->uid, process->gid, process->gid, process->gid, process->gid,
                         process->user_space->resident * KIB_PER_PAGE, threads);
}

static size_t cpu_list_text(char *to, size_t size) {
    unsigned last = cpu_count - 1;
    return last > 0 ? format_string(to, size, "0-%u\n", last) : format_string(to, size, "0\n");
}

static enum status text_open(struct file *file) {
    char *text = global_alloc_pages(bytes_to_pages(TEXT_SIZE));
    if (text == NULL)
        return ERR_NO_MEMORY;
    size_t bytes = file->inode->special->generate(text, TEXT_SIZE);
    file->content = text;
    file->content_size = TEXT_SIZE;
    file->content_bytes = bytes < TEXT_SIZE ? bytes : TEXT_SIZE - 1;
    return OK;
}

static void text_release(struct file *file) { global_free_pages(file->content, bytes_to_pages(file->content_size)); }

static enum status text_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    if (*offset >= file->content_bytes)
        return OK;
    if (bytes > file->content_bytes - *offset)
        bytes = file->content_bytes - *offset;
    enum status status = copy_to_user(to, file->content + *offset, bytes);
    if (status == OK) {
        *done = bytes;
        *offset += bytes;
    }
    return status;
}

static const struct file_operations text_operations = {
    .seekable = true, .open = text_open, .release = text_release, .read = text_read};

#define TEXT_FILE(path_, generate_)                                                                                    \
    {                                                                                                                  \
        path_, { .operations = &text_operations, .generate = (generate_) }                                             \
    }

static const struct {
    const char *path;
    struct special_file special;
} files[] = {
    TEXT_FILE("/proc/cmdline", cmdline_text),
    TEXT_FILE("/proc/version", version_text),
    TEXT_FILE("/proc/filesystems", filesystems_text),
    TEXT_FILE("/proc/uptime", uptime_text),
    TEXT_FILE("/proc/loadavg", loadavg_text),
    TEXT_FILE("/proc/meminfo", meminfo_text),
    TEXT_FILE("/proc/cpuinfo", cpuinfo_text),
    TEXT_FILE("/proc/stat", stat_text),
    TEXT_FILE("/proc/self/status", self_status_text),
    TEXT_FILE("/proc/self/mounts", mounts_text),
    TEXT_FILE("/sys/devices/system/cpu/online", cpu_list_text),
    TEXT_FILE("/sys/devices/system/cpu/possible", cpu_list_text),
    TEXT_FILE("/sys/devices/system/cpu/present", cpu_list_text),
};

/* /proc/self/exe: a link without a target of its own; see link_target(). */
static enum status make_executable_link(void) {
    enum status status = names_make_symlink("/proc/self/exe", "");
    if (status != OK)
        return status;
    struct path_walk walk;
    spin_lock(&names_lock);
    status = path_walk(root_inode, "/proc/self/exe", NULL, 0, &walk);
    if (status == OK) {
        global_free(walk.inode->target, 1);
        walk.inode->target = NULL;
    }
    spin_unlock(&names_lock);
    return status;
}

enum status procfs_init(void) {
    enum status status = handle_files_init();
    if (status == OK)
        status = names_make_directories("/sys/devices/system/cpu");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && status == OK; i++)
        status = names_make_special(files[i].path, S_IFREG | 0444, &files[i].special);
    if (status == OK)
        status = names_make_symlink("/proc/mounts", "self/mounts");
    return status == OK ? make_executable_link() : status;
}
