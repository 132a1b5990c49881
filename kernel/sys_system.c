/*
 * The machine as a whole: its name, its memory, its end. Its name may be read while it is written. No locks. Any
 * space; may sleep.
 */
#include "arch/cpu.h"
#include "arch/uaccess.h"
#include "drivers/power.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/string.h"
#include "kernel/syscall_table.h"
#include "kernel/system_name.h"
#include "kernel/time.h"
#include "mm/frame.h"

/* "Linux", because that is the interface: programs and their build scripts ask for it. */
struct system_name system_name = {
    .system = "Linux",
    .node = "penumbra",
    .release = "6.1.0-penumbra",
    .version = "#1 Penumbra",
    .machine = "x86_64",
    .domain = "(none)",
};

/* Another name of the machine: by this call root publishes it. */
static enum status set_name(char name[SYSTEM_NAME_BYTES], const struct syscall *call) {
    char text[SYSTEM_NAME_BYTES] = "";
    const int64_t length = (int32_t)call->arg[1];
    if (!identity_is_root())
        return ERR_NOT_PERMITTED;
    if (length < 0 || length >= SYSTEM_NAME_BYTES)
        return ERR_INVALID;
    enum status status = copy_from_user(text, call->arg[0], (size_t)length);
    if (status == OK)
        memcpy(name, text, SYSTEM_NAME_BYTES);
    return status;
}

enum status sys_uname(struct syscall *call) { return copy_to_user(call->arg[0], &system_name, sizeof(system_name)); }

enum status sys_sethostname(struct syscall *call) { return set_name(system_name.node, call); }

enum status sys_setdomainname(struct syscall *call) { return set_name(system_name.domain, call); }

struct sysinfo {
    int64_t uptime;
    uint64_t loads[3], total_ram, free_ram, shared_ram, buffer_ram, total_swap, free_swap;
    uint16_t processes, padding;
    uint32_t more_padding;
    uint64_t total_high, free_high;
    uint32_t unit, tail;
};
_Static_assert(sizeof(struct sysinfo) == 112, "struct sysinfo");

enum status sys_sysinfo(struct syscall *call) {
    struct frame_counts frames;

    frame_count(&frames);
    struct sysinfo info = {
        .uptime = (int64_t)(time_monotonic() / NS_PER_SECOND),
        .total_ram = frames.total * PAGE_SIZE,
        .free_ram = (frames.by_class[FRAME_FREE] + frames.by_class[FRAME_DIRTY]) * PAGE_SIZE,
        .processes = (uint16_t)process_count(),
        .unit = 1,
    };
    return copy_to_user(call->arg[0], &info, sizeof(info));
}

#define REBOOT_MAGIC 0xfee1deadU
enum reboot_command {
    REBOOT_CAD_OFF = 0,
    REBOOT_RESTART = 0x01234567,
    REBOOT_POWER_OFF = 0x4321fedc,
};
#define REBOOT_CAD_ON 0x89abcdefU
#define REBOOT_HALT   0xcdef0123U

static bool second_magic_ok(uint32_t magic) {
    return magic == 672274793 || magic == 85072278 || magic == 369367448 || magic == 537993216;
}

enum status sys_reboot(struct syscall *call) {
    if (!identity_is_root())
        return ERR_NOT_PERMITTED;
    if ((uint32_t)call->arg[0] != REBOOT_MAGIC || !second_magic_ok((uint32_t)call->arg[1]))
        return ERR_INVALID;
    switch ((uint32_t)call->arg[2]) {
    case REBOOT_CAD_OFF:
    case REBOOT_CAD_ON:
        return OK;
    case REBOOT_RESTART: /* nothing on this machine restarts it */
    case REBOOT_HALT:
    case REBOOT_POWER_OFF:
        kprintf("power off\n");
        power_off(0);
    default:
        return ERR_INVALID;
    }
}
