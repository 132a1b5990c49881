/*
 * The table of services, and what keeps them going. See services.h.
 *
 * A service inherits its handles under fixed numbers, which its environment names. One that ends is started again, at
 * once at first, later after a pause that doubles; one that ends by itself DEATHS_MAX times within a second is given
 * up, and what it had mounted says EIO from then on. A kill counts as somebody's wish and not against it.
 */
#include "user/init/services.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "asi/abi.h"
#include "user/init/console.h"
#include "user/init/devices.h"
#include "user/init/keeper.h"
#include "user/lib/cpio.h"
#include "user/lib/mdwe.h"
#include "user/lib/names.h"
#include "user/lib/native.h"
#include "user/lib/objects.h"
#include "user/names_abi.h"
#include "user/service_abi.h"

enum {
    DEATHS_MAX = 5,
    FIRST_HANDLE = 20, /* of a service */
    FIRST_ASIDE = 200, /* above what init has open */
    CHILD_ENDED = 1,   /* bit of the notification */
    READY_MS = 20000,
    END_MS = 10000,
};

#define SECOND_NS 1000000000ULL
#define PAUSE_NS  10000000ULL /* after the second death; doubles */

enum handle { NAMES, AUTHORITY, STATE, KEEPER, LISTEN, END, ARCHIVE, HANDLES };

static const char *const variables[HANDLES] = {"PENUMBRA_NAMES",  "PENUMBRA_AUTHORITY", "PENUMBRA_STATE",
                                               "PENUMBRA_KEEPER", "PENUMBRA_LISTEN",    "PENUMBRA_END",
                                               "PENUMBRA_ARCHIVE"};

struct service {
    const char *name;         /* of the program in /sbin */
    const char *arguments[2]; /* or NULL */
    uint32_t rights;          /* of the authority */
    bool has_state, has_end;
    bool is_early;      /* runs in every run, also where all others do not */
    bool is_root;       /* serves the files that all others are started from, and is itself from the boot archive */
    enum device device; /* that must be there */

    /* From here on set while it runs. */
    int program, state, end; /* descriptors; 0: none */
    pid_t pid;               /* 0: it does not run */
    bool given_up, ending;
    unsigned deaths; /* within a second, by itself */
    uint64_t last_death, start_at;
};

static struct service services[] = {
    {.name = "names", .rights = RIGHT_NAMESPACE},
    {.name = "memfs", .has_state = true, .is_root = true},
    {.name = "pty", .rights = RIGHT_NAMESPACE, .is_early = true},
    {.name = "pci", .rights = RIGHT_DEVICES, .has_state = true, .device = DEVICE_ANY},
    {.name = "virtio_rng", .rights = RIGHT_DEVICES, .device = DEVICE_ENTROPY},
    {.name = "virtio_blk", .arguments = {"0"}, .rights = RIGHT_DEVICES, .device = DEVICE_DISK},
    {.name = "ext4", .arguments = {"0"}, .has_state = true, .has_end = true, .device = DEVICE_DISK},
};

enum { SERVICES = sizeof services / sizeof *services };

static int keeper, names, own_authority;
static int archive = -1; /* until the root is there */
static bool started, root_is_there;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* --- Starting ----------------------------------------------------------------------------------------------------- */

/* In the child: what the service may have stands where its environment says. */
static void place_handles(const struct service *service) {
    int given[HANDLES];
    uint64_t badge = (uint64_t)(service - services) + 1;
    bool is_names = service == services;
    given[NAMES] = handle_mint(names, RIGHT_CALL | RIGHT_TRANSFER, badge);
    given[AUTHORITY] = service->rights != 0 ? handle_mint(own_authority, service->rights | RIGHT_TRANSFER, 0) : -1;
    given[STATE] = service->state != 0 ? service->state : -1;
    given[KEEPER] = is_names ? handle_mint(keeper, RIGHT_CALL, 0) : -1;
    given[LISTEN] = is_names ? handle_mint(names, RIGHT_RECEIVE | RIGHT_NOTIFY, 0) : -1;
    given[END] = service->end != 0 ? handle_mint(service->end, RIGHT_RECEIVE, 0) : -1;
    given[ARCHIVE] = service->is_root ? archive : -1;
    for (int i = 0; i < HANDLES; i++) { /* first out of the way: one may have a number that another is to get */
        given[i] = given[i] >= 0 ? fcntl(given[i], F_DUPFD_CLOEXEC, FIRST_ASIDE) : -1;
    }
    for (int i = 0; i < HANDLES; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", FIRST_HANDLE + i);
        if (given[i] >= 0) {
            dup2(given[i], FIRST_HANDLE + i);
            setenv(variables[i], number, 1);
        }
    }
}

static _Noreturn void become(const struct service *service) {
    char path[64];
    snprintf(path, sizeof path, "/sbin/%s", service->name);
    char *words[] = {path, (char *)(uintptr_t)service->arguments[0], (char *)(uintptr_t)service->arguments[1], NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGCHLD, SIG_DFL);
    setpgid(0, 0);
    place_handles(service);
    prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0); /* a server has no code but its program's */
    fexecve(service->program, words, environ);
    fprintf(stderr, "init: %s: %s\n", path, strerror(errno));
    _exit(SERVICE_NOT_NEEDED);
}

/*
 * For people, and for tests of what happens when it is killed: /run/NAME.pid. By a child, since the file system may be
 * what init is about to start again.
 */
static void note_pid(const struct service *service) {
    char path[64];
    if (!root_is_there || service->pid == 0 || fork() != 0) {
        return;
    }
    mkdir("/run", 0755);
    snprintf(path, sizeof path, "/run/%s.pid", service->name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dprintf(file, "%d\n", service->pid);
    _exit(0);
}

static void start(struct service *service) {
    pid_t pid = fork();
    if (pid == 0) {
        become(service);
    }
    if (pid < 0) {
        service->start_at = now_ns() + SECOND_NS;
        return;
    }
    service->pid = pid;
    service->start_at = 0;
    note_pid(service);
}

static int closed_on_exec(int fd) {
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
}

/* A program of the archive, before there are files. -1 and errno. */
static int copy_from_archive(const char *path) {
    static struct cpio_entry entry;
    static char buffer[65536];
    if (cpio_find(archive, path + 1, &entry) < 0) {
        return -1;
    }
    int program = object_create(entry.bytes, -1, 0);
    for (uint64_t at = 0; program >= 0 && at < entry.bytes;) {
        size_t part = entry.bytes - at < sizeof buffer ? entry.bytes - at : sizeof buffer;
        if (pread(archive, buffer, part, (off_t)(entry.content + at)) != (ssize_t)part ||
            pwrite(program, buffer, part, (off_t)at) != (ssize_t)part) {
            close(program);
            return -1;
        }
        at += part;
    }
    return program;
}

/* The program is opened now: when it has to be started again its file system may be what has died. */
static bool prepare(struct service *service) {
    char path[64];
    snprintf(path, sizeof path, "/sbin/%s", service->name);
    int program = archive >= 0 ? copy_from_archive(path) : open(path, O_RDONLY | O_CLOEXEC);
    if (program < 0) {
        return false;
    }
    service->program = fcntl(program, F_DUPFD_CLOEXEC, FIRST_HANDLE + HANDLES);
    close(program);
    if (service->has_state) {
        service->state = closed_on_exec(object_create(0, -1, 0));
    }
    if (service->has_end) {
        service->end = closed_on_exec(endpoint_create());
    }
    return service->program >= 0 && service->state >= 0 && service->end >= 0;
}

/* --- Ends --------------------------------------------------------------------------------------------------------- */

/* A child that calls a service, so that init itself never waits for one. */
static pid_t call_in_child(int endpoint, uint32_t label, const char *text, uint64_t word, uint64_t ms) {
    pid_t pid = fork();
    if (pid == 0) {
        struct ipc_extra extra = {.bytes = (uint64_t)(uintptr_t)text,
                                  .length = text != NULL ? (uint32_t)strlen(text) + 1 : 0,
                                  .timeout_ns = ms * 1000000};
        struct ipc ipc = {.label = label, .word = {word}, .extra = &extra};
        _exit(ipc_call(endpoint, &ipc) < 0 || ipc.label != 0);
    }
    return pid;
}

static void give_up(struct service *service, const char *why) {
    char name[64];
    service->given_up = true;
    console_say("init: %s %s: it is not started again, what it served says EIO\n", service->name, why);
    snprintf(name, sizeof name, "%s/%s", service->name, service->arguments[0] != NULL ? service->arguments[0] : "");
    call_in_child(names, NAMES_ABANDON, name, 0, READY_MS);
}

static void plan_restart(struct service *service, bool by_itself) {
    uint64_t now = now_ns();
    if (now - service->last_death > SECOND_NS) {
        service->deaths = 0;
    }
    service->last_death = now;
    service->deaths += by_itself;
    if (service->deaths >= DEATHS_MAX) {
        give_up(service, "died too often");
    } else {
        service->start_at = now + (service->deaths > 1 ? PAUSE_NS << service->deaths : 0);
    }
}

/* False: the process was no service. */
static bool note_end(pid_t pid, int status) {
    for (unsigned i = 0; i < SERVICES; i++) {
        struct service *service = &services[i];
        if (service->pid != pid) {
            continue;
        }
        service->pid = 0;
        if (service->ending) {
            return true;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == SERVICE_NOT_NEEDED) {
            give_up(service, "has nothing to serve");
        } else {
            plan_restart(service, !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        }
        return true;
    }
    return false;
}

/* --- Waiting ------------------------------------------------------------------------------------------------------ */

static void child_ended(int signal_number) {
    int saved = errno;
    (void)signal_number;
    ipc_notify(keeper, CHILD_ENDED); /* so that none is missed between looking and waiting */
    errno = saved;
}

/* Starts what is due. How long until the next one is. */
static uint64_t start_what_is_due(void) {
    uint64_t now = now_ns(), next = IPC_FOREVER;
    for (unsigned i = 0; i < SERVICES; i++) {
        struct service *service = &services[i];
        if (service->program == 0 || service->pid != 0 || service->given_up || service->ending) {
            continue;
        }
        if (service->start_at <= now) {
            start(service);
        } else if (service->start_at - now < next) {
            next = service->start_at - now;
        }
    }
    return next;
}

static void receive(uint64_t timeout_ns) {
    static char bytes[KEEPER_RECORD_BYTES];
    struct ipc_extra extra = {
        .buffer = (uint64_t)(uintptr_t)bytes, .room = sizeof bytes, .timeout_ns = timeout_ns, .handle_room = 1};
    struct ipc ipc = {.extra = &extra};
    if (ipc_receive(keeper, &ipc) == 0 && ipc.label != IPC_NOTIFICATION) {
        keeper_serve(&ipc, bytes);
    }
}

int services_wait_for(pid_t child) {
    for (;;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended == child) {
            return status;
        }
        if (ended > 0) {
            console_note_end(ended);
            note_end(ended, status);
        } else if (ended < 0 && errno != EINTR) {
            console_say("init: wait: %s\n", strerror(errno));
            return 127 << 8;
        } else {
            receive(start_what_is_due());
        }
    }
}

/* --- The whole ---------------------------------------------------------------------------------------------------- */

static void wait_for_mount(const char *path) {
    pid_t child = call_in_child(names, NAMES_CONNECT, path, READY_MS, 2 * READY_MS);
    if (child > 0 && services_wait_for(child) != 0) {
        console_say("init: nothing is mounted at %s\n", path);
    }
}

static void catch_ends(void) {
    struct sigaction action = {.sa_handler = child_ended, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
}

/* What services need of init, once. */
static bool begin(void) {
    if (started) {
        return true;
    }
    keeper = closed_on_exec(endpoint_create());
    names = closed_on_exec(endpoint_create());
    own_authority = closed_on_exec(authority());
    if (keeper < 0 || names < 0 || own_authority < 0) {
        return false;
    }
    started = true;
    catch_ends();
    prctl(PR_ASI_DOMAIN_NEW, 0, 0, 0, 0); /* the services' and init's; without one all pay the price of distrust */
    return true;
}

/* What is not of the root, but runs whenever there is one. A run without it goes on. */
static void start_early(void) {
    for (unsigned i = 0; i < SERVICES; i++) {
        if (services[i].is_early) {
            prepare(&services[i]);
        }
    }
    start_what_is_due();
}

bool services_start_root(void) {
    if (!begin() || (archive = closed_on_exec(boot_archive(own_authority))) < 0) {
        return false;
    }
    bool prepared = prepare(&services[0]) && prepare(&services[1]);
    start_what_is_due();
    pid_t child = prepared ? call_in_child(names, NAMES_CONNECT, "root", READY_MS, 2 * READY_MS) : -1;
    root_is_there = child > 0 && services_wait_for(child) == 0;
    close(archive);
    archive = -1;
    note_pid(&services[0]);
    note_pid(&services[1]);
    if (root_is_there) {
        start_early();
    }
    return root_is_there;
}

bool services_start(const char *disk_path) {
    if (!begin()) {
        return false;
    }
    unsigned present = devices_present(own_authority);
    for (unsigned i = 0; i < SERVICES; i++) {
        struct service *service = &services[i];
        bool possible = service->device == DEVICE_NONE || present & 1U << service->device;
        if (!possible || service->is_root || service->program != 0) {
            continue;
        }
        if (service->device == DEVICE_DISK && service->has_state) {
            service->arguments[1] = disk_path;
        }
        prepare(service);
    }
    start_what_is_due();
    if (present & 1U << DEVICE_DISK) {
        wait_for_mount(disk_path);
    }
    return true;
}

void services_end(void) {
    sync();
    for (unsigned i = SERVICES; i-- > 0 && started;) {
        struct service *service = &services[i];
        service->ending = service->end != 0;
        if (service->ending && service->pid != 0) {
            pid_t child = call_in_child(service->end, SERVICE_END, NULL, 0, END_MS);
            if (child > 0 && services_wait_for(child) != 0) {
                console_say("init: %s did not end as it should\n", service->name);
            }
        }
    }
}

void services_leave(void) {
    if (started) {
        signal(SIGCHLD, SIG_DFL);
        prctl(PR_ASI_DOMAIN_LEAVE, 0, 0, 0, 0);
    }
}
