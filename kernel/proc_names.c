/*
 * The directories of /proc whose names come and go: one for each process, and in it its threads and handles.
 *
 * Nothing is made for a process that nobody looks at, and processes know nothing of this: a name is made when it is
 * looked for or listed, and one whose process has gone is taken out when the next look finds it so. An inode knows its
 * process by id and time of start, so a file that is still open tells nothing of a later process of the same id.
 * Locks: names_lock for names; inside it processes_lock to see who is there, handle_lock for the caller's handles.
 * Runs in the caller's space.
 */
#include "kernel/device.h"
#include "kernel/local.h"
#include "kernel/names.h"
#include "kernel/open_file.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "mm/heap.h"

#define NUMBER_MAX 12 /* characters of a name that is a number, and its end */

static struct inode *processes_directory; /* /proc. Constant after live_init() */

struct process *live_process(const struct inode *inode) {
    struct process *process = process_find(inode->subject);
    return process != NULL && process->start_time == inode->born ? process : NULL;
}

bool live_is_caller(const struct inode *inode) {
    const struct process *self = process_current();
    return self->id == inode->subject && self->start_time == inode->born;
}

/* --- Making and removing ------------------------------------------------------------------------------------------ */

/* False: `name` is no number as these directories have them. */
static bool parse_number(const char *name, size_t length, uint32_t *number) {
    uint64_t value = 0;
    if (length == 0 || length >= NUMBER_MAX - 1 || (name[0] == '0' && length > 1))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(name[i] - '0');
    }
    *number = (uint32_t)value;
    return value <= INT32_MAX;
}

/* Gives the inode, with its one reference, a name; gives it up when that cannot be. */
static void enter(struct inode *directory, const char *name, struct inode *inode) {
    const struct path_walk walk = {.directory = directory, .name = name, .length = strlen(name), .last = LAST_NAME};
    (void)!names_attach(&walk, inode); /* without memory it is not there */
    inode_unref(inode);
}

/* Whose it is, and what it tells of. */
static void tell_of(struct inode *inode, uint32_t id, uint64_t born, uint32_t uid, uint32_t gid) {
    inode->subject = id;
    inode->born = born;
    inode->uid = uid;
    inode->gid = gid;
}

static void tell_of_same(struct inode *inode, const struct inode *directory) {
    tell_of(inode, directory->subject, directory->born, directory->uid, directory->gid);
}

static void add_file(struct inode *directory, const char *name, uint32_t mode, const struct special_file *special,
                     uint32_t part) {
    struct inode *inode;
    if (inode_create(S_IFREG | mode, &inode) != OK)
        return;
    inode->operations = special->operations;
    inode->special = special;
    inode->part = part;
    tell_of_same(inode, directory);
    enter(directory, name, inode);
}

static void add_link(struct inode *directory, const char *name, const struct file_operations *operations,
                     uint32_t part) {
    struct inode *inode;
    if (inode_create(S_IFLNK | 0777, &inode) != OK)
        return;
    inode->operations = operations;
    inode->part = part;
    tell_of_same(inode, directory);
    enter(directory, name, inode);
}

/* With its reference kept by the name alone: good as long as names_lock is held. */
static struct inode *add_directory(struct inode *directory, const char *name, uint32_t mode, enum live_directory live) {
    struct inode *inode;
    if (names_new_directory(mode, &inode) != OK)
        return NULL;
    inode->directory.live = (uint8_t)live;
    tell_of_same(inode, directory);
    enter(directory, name, inode);
    const struct directory_entry *entry = directory_find(&directory->directory, name, strlen(name));
    return entry != NULL ? entry->inode : NULL;
}

static void empty(struct inode *directory);

/* Takes a name out, and what is below it. Whoever has it open keeps an inode that leads nowhere. */
static void remove_entry(struct inode *directory, struct directory_entry *entry) {
    struct inode *inode = directory_remove(&directory->directory, entry);
    if (inode_is(inode, S_IFDIR)) {
        empty(inode); /* two levels, no more */
        inode->directory.self = NULL;
        inode->directory.live = LIVE_NOT;
        inode->links = 0;
        directory->links--;
    } else {
        inode->links = 0;
    }
    inode_unref(inode);
}

static void empty(struct inode *directory) {
    struct directory_entry *entry;
    while ((entry = directory_at(&directory->directory, 0)) != NULL)
        remove_entry(directory, entry);
}

/* --- Processes ---------------------------------------------------------------------------------------------------- */

/* What is asked about a process, copied while processes_lock is held. */
struct subject {
    bool found;
    uint32_t uid, gid;
    uint64_t born;
};

static struct subject identify(uint32_t id) {
    struct subject identity = {0};
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = id != 0 ? process_find(id) : NULL;
    if (process != NULL)
        identity = (struct subject){true, process->user.effective, process->group_id.effective, process->start_time};
    spin_unlock_irq(&processes_lock, irq);
    return identity;
}

static void prepare_process(uint32_t id) {
    char name[NUMBER_MAX];
    size_t length = format_string(name, sizeof(name), "%u", id);
    const struct subject identity = identify(id);
    struct directory_entry *entry = directory_find(&processes_directory->directory, name, length);
    if (entry != NULL && (!identity.found || entry->inode->born != identity.born)) {
        remove_entry(processes_directory, entry);
        entry = NULL;
    }
    if (!identity.found)
        return;
    struct inode *inode = entry != NULL ? entry->inode : add_directory(processes_directory, name, 0555, LIVE_PROCESS);
    if (inode != NULL)
        tell_of(inode, id, identity.born, identity.uid, identity.gid);
}

#define IDS_MAX (2 * THREADS_MAX)          /* more than process_create() gives */
static uint64_t present[IDS_MAX / 64 + 1]; /* a bit for each id. Protected by names_lock */

static void note_present(void) {
    memset(present, 0, sizeof(present));
    bool irq = spin_lock_irq(&processes_lock);
    list_for_each(link, &all_processes) {
        const struct process *process = container_of(link, struct process, all_link);
        if (process->id < IDS_MAX)
            present[process->id / 64] |= 1UL << process->id % 64;
    }
    spin_unlock_irq(&processes_lock, irq);
    present[0] &= ~1UL;
}

static bool is_present(uint32_t id) { return id < IDS_MAX && (present[id / 64] >> id % 64 & 1); }

/* Takes out those that are gone. `present` is noted. */
static void remove_gone(void) {
    struct directory *directory = &processes_directory->directory;
    struct directory_entry *entry;
    for (uint64_t slot = 0; (entry = directory_at(directory, slot)) != NULL;) {
        slot = entry->slot + 1;
        if (entry->inode->born != 0 && !is_present(entry->inode->subject))
            remove_entry(processes_directory, entry);
    }
}

static void prepare_all_processes(void) {
    note_present();
    remove_gone();
    for (uint32_t id = 1; id < IDS_MAX; id++) {
        if (present[id / 64] == 0)
            id |= 63;
        else if (is_present(id))
            prepare_process(id);
    }
}

void live_forget(void) {
    spin_lock(&names_lock);
    note_present();
    remove_gone();
    spin_unlock(&names_lock);
}

static void prepare_processes(const char *name, size_t length) {
    uint32_t id;
    if (name == NULL)
        prepare_all_processes();
    else if (parse_number(name, length, &id))
        prepare_process(id);
}

/* --- What the directory of a process has -------------------------------------------------------------------------- */

static void add_files(struct inode *directory, const struct live_file *files) {
    for (; files->name != NULL; files++)
        add_file(directory, files->name, files->mode, &files->special, 0);
}

static void fill_process(struct inode *directory) {
    if (directory->directory.count != 0)
        return;
    add_files(directory, process_files);
    add_files(directory, own_files);
    add_link(directory, "exe", &nothing_operations, LINK_EXECUTABLE);
    add_link(directory, "cwd", &nothing_operations, LINK_WORKING_DIRECTORY);
    add_link(directory, "root", &nothing_operations, LINK_ROOT);
    add_directory(directory, "fd", 0500, LIVE_HANDLES);
    struct inode *information = add_directory(directory, "fdinfo", 0555, LIVE_HANDLES);
    if (information != NULL)
        information->part = 1;
    add_directory(directory, "task", 0555, LIVE_THREADS);
}

/* The handle table is LOCAL: of another process nobody sees a name. */
static bool has_handle(uint32_t number) {
    if (number >= HANDLES_MAX || handle_borrow((int)number) == NULL)
        return false;
    handle_give_back();
    return true;
}

static void prepare_handle(struct inode *directory, uint32_t number) {
    char name[NUMBER_MAX];
    size_t length = format_string(name, sizeof(name), "%u", number);
    struct directory_entry *entry = directory_find(&directory->directory, name, length);
    bool there = live_is_caller(directory) && has_handle(number);
    if (entry != NULL && !there)
        remove_entry(directory, entry);
    if (entry != NULL || !there)
        return;
    if (directory->part == 1)
        add_file(directory, name, 0444, &handle_information, number);
    else
        add_link(directory, name, &handle_file_operations, number);
}

static void prepare_handles(struct inode *directory, const char *name, size_t length) {
    uint32_t number;
    if (name != NULL) {
        if (parse_number(name, length, &number))
            prepare_handle(directory, number);
        return;
    }
    for (number = 0; number < HANDLES_MAX; number++)
        prepare_handle(directory, number);
}

static bool has_thread(const struct inode *directory, uint32_t id) {
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = live_process(directory);
    const struct thread *thread = process != NULL ? thread_find(id) : NULL;
    bool found = thread != NULL && thread->process == process;
    spin_unlock_irq(&processes_lock, irq);
    return found;
}

static void prepare_thread(struct inode *directory, uint32_t id) {
    char name[NUMBER_MAX];
    size_t length = format_string(name, sizeof(name), "%u", id);
    struct directory_entry *entry = directory_find(&directory->directory, name, length);
    bool there = has_thread(directory, id);
    if (entry != NULL && !there)
        remove_entry(directory, entry);
    if (entry == NULL && there) {
        struct inode *inode = add_directory(directory, name, 0555, LIVE_THREAD);
        if (inode != NULL)
            inode->part = id;
    }
}

/* The ids of a process's threads, those from `from` on that fit. */
static unsigned thread_ids(const struct inode *directory, uint32_t *ids, unsigned room) {
    unsigned count = 0;
    bool irq = spin_lock_irq(&processes_lock);
    const struct process *process = live_process(directory);
    if (process != NULL) {
        list_for_each(link, &process->threads) {
            if (count < room)
                ids[count++] = container_of(link, struct thread, process_link)->id;
        }
    }
    spin_unlock_irq(&processes_lock, irq);
    return count;
}

static void prepare_threads(struct inode *directory, const char *name, size_t length) {
    static uint32_t ids[PROCESS_THREADS_MAX]; /* protected by names_lock */
    struct directory_entry *entry;
    uint32_t id;
    if (name != NULL) {
        if (parse_number(name, length, &id))
            prepare_thread(directory, id);
        return;
    }
    for (uint64_t slot = 0; (entry = directory_at(&directory->directory, slot)) != NULL;) {
        slot = entry->slot + 1;
        prepare_thread(directory, entry->inode->part);
    }
    unsigned count = thread_ids(directory, ids, PROCESS_THREADS_MAX);
    for (unsigned i = 0; i < count; i++)
        prepare_thread(directory, ids[i]);
}

/* Of a thread what tells of one; the others would say the same as its process's. */
static void fill_thread(struct inode *directory) {
    static const char *const names[] = {"stat", "status", "comm"};
    if (directory->directory.count != 0)
        return;
    for (const struct live_file *file = process_files; file->name != NULL; file++) {
        for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            if (strcmp(file->name, names[i]) == 0)
                add_file(directory, file->name, file->mode, &file->special, directory->part);
        }
    }
}

void live_prepare(struct inode *directory, const char *name, size_t length) {
    switch (directory->directory.live) {
    case LIVE_PROCESSES:
        prepare_processes(name, length);
        break;
    case LIVE_PROCESS:
        fill_process(directory);
        break;
    case LIVE_HANDLES:
        prepare_handles(directory, name, length);
        break;
    case LIVE_THREADS:
        prepare_threads(directory, name, length);
        break;
    case LIVE_THREAD:
        fill_thread(directory);
        break;
    default:
        break;
    }
}

/* --- Links -------------------------------------------------------------------------------------------------------- */

static const char *working_directory_path(struct live_text *text) {
    struct inode *directory = LOCAL->handles.working_directory;
    char *path;
    if (directory == NULL || names_path(directory, NULL, 0, text->directory, sizeof(text->directory), &path) != OK)
        return "";
    return path;
}

/* Texts are LOCAL: what one process is told is no other's. Who follows links to himself has one of each at a time. */
const char *live_link_target(const struct inode *link) {
    const struct thread *thread = thread_current();
    if (LOCAL->live == NULL)
        LOCAL->live = local_alloc(sizeof(*LOCAL->live));
    struct live_text *text = LOCAL->live;
    if (text == NULL)
        return "";
    if (link->part == LINK_SELF) {
        format_string(text->self, sizeof(text->self), "%u", thread->process->id);
        return text->self;
    }
    if (link->part == LINK_THREAD_SELF) {
        format_string(text->thread, sizeof(text->thread), "%u/task/%u", thread->process->id, thread->id);
        return text->thread;
    }
    if (!live_is_caller(link)) /* where another process is at, and what it runs, it alone knows */
        return "";
    if (link->part == LINK_EXECUTABLE)
        return LOCAL->handles.executable != NULL ? LOCAL->handles.executable : "";
    return link->part == LINK_WORKING_DIRECTORY ? working_directory_path(text) : "/";
}

enum status live_init(void) {
    struct path_walk walk;
    enum status status = names_make_directories("/proc");
    if (status != OK)
        return status;
    spin_lock(&names_lock);
    status = path_walk(root_inode, "/proc", NULL, 0, &walk);
    if (status == OK) {
        processes_directory = walk.inode;
        processes_directory->directory.live = LIVE_PROCESSES;
        add_link(processes_directory, "self", &nothing_operations, LINK_SELF);
        add_link(processes_directory, "thread-self", &nothing_operations, LINK_THREAD_SELF);
    }
    spin_unlock(&names_lock);
    return status;
}
