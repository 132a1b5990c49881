/*
 * Owns: what is tried in each scene, what is said about it, and what came out.
 */
#include "user/demo/scenes.h"

#include "mm/addrmap.h"
#include "user/demo/attacker.h"
#include "user/demo/fail.h"
#include "user/demo/screen.h"
#include "user/lib/asi.h"

#include <cpuid.h>
#include <inttypes.h>
#include <sys/wait.h>

static bool reporting, told; /* told: what a scene is was said in the mode before */
static enum asi_mode mode;
static const char *const mode_titles[ASI_MODES] = {
    "none: one kernel address space, no mitigation",
    "classic: one kernel address space, page-table split, IBPB at a process switch, VERW at each return",
    "naive: two kernel address spaces; what is secret is reached by leaving the restricted one",
    "asi: two kernel address spaces; what a process may see is viewed inside",
};

/* --- What came out: the table at the end -------------------------------------------------------------------------- */

static struct row {
    const char *title;
    int scene;
    const char *place, *flush;
    int read[ASI_MODES]; /* bytes, and one; 0: not tried */
} rows[] = {
    {.title = "1  anonymous page", .scene = 1, .place = "page", .flush = "-"},
    {.title = "   page of a file, mode 0600", .scene = 1, .place = "file", .flush = "-"},
    {.title = "   bytes in a pipe", .scene = 1, .place = "pipe", .flush = "-"},
    {.title = "   registers, on a kernel stack", .scene = 1, .place = "registers", .flush = "-"},
    {.title = "   message under way", .scene = 1, .place = "message", .flush = "-"},
    {.title = "2  the victim's branch, flushes on", .scene = 2, .place = "victim", .flush = "on"},
    {.title = "   the victim's branch, flushes off", .scene = 2, .place = "victim", .flush = "off"},
    {.title = "   the kernel's branch, flushes on", .scene = 2, .place = "outside", .flush = "on"},
    {.title = "   the kernel's branch, flushes off", .scene = 2, .place = "outside", .flush = "off"},
    {.title = "3  the victim's buffer, flushes on", .scene = 3, .place = "victim", .flush = "on"},
    {.title = "   the victim's buffer, flushes off", .scene = 3, .place = "victim", .flush = "off"},
    {.title = "   the kernel's buffer, flushes on", .scene = 3, .place = "outside", .flush = "on"},
    {.title = "   the kernel's buffer, flushes off", .scene = 3, .place = "outside", .flush = "off"},
    {.title = "4  anonymous page, by the CPU itself", .scene = 4, .place = "page", .flush = "-"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void note(int scene, const char *place, const char *flush, unsigned read) {
    for (struct row *row = rows; row < rows + ROWS; row++) {
        if (row->scene == scene && strcmp(row->place, place) == 0 && strcmp(row->flush, flush) == 0) {
            row->read[mode] = (int)read + 1;
        }
    }
}

static bool was_tried(const struct row *row) {
    int tried = 0;
    for (int i = 0; i < ASI_MODES; i++) {
        tried |= row->read[i];
    }
    return tried != 0;
}

void show_summary(void) {
    heading("What the attacker has read, of %d bytes", SECRET_BYTES);
    show(DIM, "  %-40s", "scene");
    for (int i = 0; i < ASI_MODES; i++) {
        show(DIM, "%9s", asi_mode_name((enum asi_mode)i));
    }
    printf("\n");
    for (const struct row *row = rows; row < rows + ROWS; row++) {
        if (!was_tried(row)) {
            continue;
        }
        printf("  %-40s", row->title);
        for (int i = 0; i < ASI_MODES; i++) {
            if (row->read[i] == 0) {
                printf("%9s", "");
            } else {
                show(row->read[i] == 1 ? GREEN : RED, "%9d", row->read[i] - 1);
            }
        }
        printf("\n");
    }
    wait_ms(3000);
}

/* --- An attack, and what it says ---------------------------------------------------------------------------------- */

struct outcome {
    unsigned char bytes[SECRET_BYTES];
    unsigned count, read; /* asked for; of which something came */
    int right;            /* ATTACK_OWN */
    struct demo_walk walk;
    uint64_t scan_reads, scan_found;
};

static void show_byte(int value) {
    if (value < 0) {
        show(DIM, ".");
    } else {
        show(RED, "%c", value >= ' ' && value <= '~' ? value : '?');
    }
    wait_ms(told ? 25 : 90);
}

static void take_report(struct outcome *outcome, const struct attack_report *said) {
    switch (said->kind) {
    case REPORT_SCANNED:
        outcome->scan_reads = said->reads;
        outcome->scan_found = said->address;
        if (said->address != 0) {
            show(DIM, "found by itself, %" PRIu64 " reads\n%31s", said->reads, "");
        } else {
            show(DIM, "%" PRIu64 " reads, nothing found; told\n%31s", said->reads, "");
        }
        return;
    case REPORT_BYTE:
        if (outcome->count < SECRET_BYTES) {
            outcome->bytes[outcome->count++] = said->value < 0 ? 0 : (unsigned char)said->value;
            outcome->read += said->value >= 0;
            show_byte(said->value);
        }
        return;
    case REPORT_WALK:
        outcome->walk = said->walk;
        return;
    default:
        outcome->right = said->value;
    }
}

/* Runs it to its end. The title stands before what it reads, the score behind. */
static struct outcome attack(const struct attack_plan *plan, const char *title) {
    struct outcome outcome = {0};
    struct attack_report said = {.kind = REPORT_BYTE};
    int from;
    show(PLAIN, "  %-29s", title);
    pid_t pid = attack_start(plan, &from);
    while (said.kind != REPORT_END && read(from, &said, sizeof said) == sizeof said) {
        take_report(&outcome, &said);
    }
    close(from);
    waitpid(pid, NULL, 0);
    if (outcome.count != SECRET_BYTES) {
        errno = EIO;
        fail(title);
    }
    return outcome;
}

/* scene, place, flush: as the report names them. */
static void score(const struct outcome *outcome, int scene, const char *place, const char *flush) {
    show(outcome->read == 0 ? GREEN : RED, "  %2u of %d\n", outcome->read, SECRET_BYTES);
    note(scene, place, flush, outcome->read);
    if (!reporting) {
        return;
    }
    printf("DEMO mode=%s scene=%d place=%s flush=%s read=%u of=%d bytes=", asi_mode_name(mode), scene, place, flush,
           outcome->read, SECRET_BYTES);
    for (unsigned i = 0; i < SECRET_BYTES; i++) {
        printf("%02x", outcome->bytes[i]);
    }
    printf("\n");
    fflush(stdout);
}

/* --- Why: the walk of the page tables ----------------------------------------------------------------------------- */

static void show_walk(const struct demo_walk *walk) {
    static const char *const tables[] = {"PML4", "PDPT", "PD", "PT"};
    show(DIM, "      0x%016" PRIx64 "  ", walk->address);
    for (uint32_t i = 0; i < walk->levels; i++) {
        const bool last = i + 1 == walk->levels;
        show(DIM, "%s[%" PRIu32 "]", tables[i], walk->index[i]);
        if (!last) {
            show(DIM, " > ");
        } else if (walk->mapped) {
            show(RED, i == 3 ? " mapped" : " mapped, a large page");
        } else {
            show(GREEN, " not present: no translation");
        }
    }
    printf("\n");
    wait_ms(500);
}

static void show_class(const struct demo_walk *walk) {
    static const char *const names[] = {"FREE", "GLOBAL", "LOCAL", "USER", "SECRET", "DIRTY", "RESERVED"};
    const char *name = walk->class < sizeof names / sizeof names[0] ? names[walk->class] : "?";
    char owner[32] = "";
    if (walk->owner != 0) {
        snprintf(owner, sizeof owner, " of process %" PRIu32, walk->owner);
    }
    show(DIM, "      frame 0x%" PRIx64 ": class %s%s\n", (walk->address - PHYSMAP_BASE) / PAGE_SIZE, name, owner);
}

/* --- Scene one: the direct map of physical memory ----------------------------------------------------------------- */

static uint64_t ram_pages(void) {
    struct asi_memory memory;
    return asi_get_memory(&memory) < 0 ? 0 : memory.frames_total;
}

static void attack_place(enum place place) {
    static const char *const titles[] = {"anonymous page", "page of a file, mode 0600", "bytes in a pipe",
                                         "registers, on a kernel stack", "message under way"};
    struct victim victim;
    victim_start(&victim, place);
    const uint64_t physical = victim_locate(&victim);
    if (physical == 0) {
        errno = ENOENT;
        fail(titles[place]);
    }
    const struct attack_plan plan = {.attack = place == PLACE_PAGE ? ATTACK_SCAN : ATTACK_TOLD,
                                     .address = PHYSMAP_BASE + physical,
                                     .pages = ram_pages(),
                                     .victim = &victim};
    struct outcome outcome = attack(&plan, titles[place]);
    score(&outcome, 1, place_slugs[place], "-");
    show_walk(&outcome.walk);
    show_class(&outcome.walk);
    victim_end(&victim);
}

static void scene_one(void) {
    heading("Scene 1. A gadget reads what is mapped");
    if (!told) {
        paragraph(
            "The attacker makes the kernel mispredict during its own system call and gives it addresses in the direct "
            "map, where a kernel has all of RAM for its convenience. It looks for the page itself, by a marker that "
            "it knows; for the other places the demonstration tells it the address, to save time.");
    }
    const struct attack_plan own = {.attack = ATTACK_OWN};
    struct outcome outcome = attack(&own, "control: its own memory");
    show(PLAIN, "  %2d of %d right: it works\n", outcome.right, SECRET_BYTES);
    if (reporting) {
        printf("DEMO mode=%s scene=1 place=own flush=- read=%d of=%d bytes=-\n", asi_mode_name(mode), outcome.right,
               SECRET_BYTES);
    }
    for (enum place place = 0; place < SCENE1_PLACES; place++) {
        attack_place(place);
    }
    if (mode >= ASI_MODE_NAIVE) {
        paragraph(
            "Nothing: the attacker's kernel runs in a restricted space, which has no direct map. It maps memory of "
            "the classes GLOBAL (metadata), LOCAL and USER of the attacker itself, and views of files that it has "
            "open. There is no translation, so there is nothing to load, whatever the branch predictor thinks.");
    } else if (mode == ASI_MODE_CLASSIC) {
        paragraph(
            "All of it: the page-table split takes the kernel's memory out of what *user code* maps. The gadget "
            "is in the kernel, whose tables have everything. IBPB and VERW are about other holes: scenes 2 and 3.");
    } else {
        paragraph("All of it. One gadget in millions of lines is enough, and the attacker reads the whole machine.");
    }
}

/* --- Scenes two and three: with the kernel's flushes, and without ------------------------------------------------- */

static void set_flush(enum asi_flush_kind kind) {
    const struct asi_flush flush = {.kind = kind};
    if (asi_set_flush(&flush) < 0) {
        fail("flush");
    }
}

/* An attack with the victim taking turns, or on the address of its secret. */
static void attack_scene(int scene, enum attack how, enum place place, const char *title, const char *flush,
                         const char *report_as) {
    struct victim victim;
    syscall(SYS_ASI, DEMO_OP_FORGET, 1L, NULL, 0L);
    victim_start(&victim, place);
    const struct attack_plan plan = {
        .attack = how, .address = PHYSMAP_BASE + victim_locate(&victim), .victim = &victim};
    struct outcome outcome = attack(&plan, title);
    score(&outcome, scene, report_as, flush);
    victim_end(&victim);
}

/* Both attacks of a scene, with flush=auto and flush=off; mode none never flushes. */
static void with_and_without(int scene, enum attack victims, enum attack own, enum place place,
                             const char *const titles[2]) {
    for (int on = mode == ASI_MODE_NONE ? 0 : 1; on >= 0; on--) {
        const char *flush = on ? "on" : "off";
        set_flush(on ? ASI_FLUSH_AUTO : ASI_FLUSH_OFF);
        show(on ? GREEN : YELLOW, on ? "  with the flushes of this mode\n" : "  without flushes\n");
        attack_scene(scene, victims, place, titles[0], flush, "victim");
        attack_scene(scene, own, place, titles[1], flush, "outside");
    }
    set_flush(ASI_FLUSH_AUTO);
}

static void scene_two(void) {
    static const char *const titles[2] = {"the victim's branch", "the kernel's branch"};
    heading("Scene 2. What IBPB is for: a branch predictor that others have trained");
    if (!told) {
        paragraph("In software: one entry of a branch target buffer, which all processes of a CPU share. The attacker "
                  "trains it to lead to the gadget. First the victim takes a branch with its own secret's address in a "
                  "register, in its own space, where its secret is mapped of course. Then the kernel takes one on the "
                  "attacker's behalf, where it has all of RAM mapped: outside the restricted space, if there is one. "
                  "An entry lives until the CPU's next IBPB; the kernel decides by its own rules when to pay for one.");
    }
    with_and_without(2, ATTACK_BRANCH, ATTACK_TRAINED, PLACE_SCENE2, titles);
    if (mode == ASI_MODE_CLASSIC) {
        paragraph("The IBPB at the process switch saves the victim. A system call is no switch: here a real kernel "
                  "would need retpolines or IBRS as well, which this mode has not.");
    } else if (mode >= ASI_MODE_NAIVE) {
        paragraph("With the flushes, the predictor has forgotten the attacker at both crossings: the switch between "
                  "processes that do not trust each other, and the exit from the restricted space.");
    }
}

static void scene_three(void) {
    static const char *const titles[2] = {"what the victim loaded", "what the kernel loaded"};
    heading("Scene 3. What VERW is for: a buffer that still holds what others loaded");
    if (!told) {
        paragraph(
            "In software: one line of a fill buffer. The victim uses its secret, then the attacker runs and makes a "
            "load that cannot be answered; the CPU answers it from the stale buffer, for a moment. Then the same with "
            "a line that the kernel loaded where it has all mapped. No page table is asked, so address spaces do not "
            "help. The line lives until the CPU's next VERW.");
    }
    with_and_without(3, ATTACK_BUFFER, ATTACK_RESIDUE, PLACE_SCENE3, titles);
}

/* --- The CPU's own ------------------------------------------------------------------------------------------------ */

/* Who runs this machine, as CPUID says: "TCGTCGTCGTCG", "KVMKVMKVM". */
static const char *hypervisor(void) {
    static char name[13];
    unsigned eax, regs[3];
    __cpuid(0x40000000, eax, regs[0], regs[1], regs[2]);
    memcpy(name, regs, 12);
    return name;
}

static void scene_four(bool always) {
    struct victim victim;
    heading("Scene 4. The real thing: a bounds-check bypass by the CPU itself (Spectre v1)");
    if (strncmp(hypervisor(), "TCG", 3) == 0) {
        paragraph("This machine is QEMU's emulator (TCG). It executes one instruction after the other and has no "
                  "speculation, so there is nothing to see%s With KVM (make demo ACCEL=kvm) it is tried.",
                  always ? "; it is tried all the same." : ", and it is not tried.");
        if (!always) {
            return;
        }
    } else {
        paragraph("No model now: a true gadget in the kernel, the CPU's own branch predictor and cache, and the "
                  "attacker's own clock (rdtscp). What comes is what this CPU does; noise and new CPUs may make it "
                  "less than everything in any mode.");
    }
    victim_start(&victim, PLACE_PAGE);
    const struct attack_plan plan = {
        .attack = ATTACK_SPECTRE, .address = PHYSMAP_BASE + victim_locate(&victim), .victim = &victim};
    struct outcome outcome = attack(&plan, "anonymous page, for real");
    score(&outcome, 4, place_slugs[PLACE_PAGE], "-");
    victim_end(&victim);
}

void play(enum asi_mode new_mode, const char *scenes, bool report, bool real_always) {
    mode = new_mode;
    reporting = report;
    set_flush(ASI_FLUSH_AUTO);
    printf("\n");
    show(CYAN, "==== Mode %s\n", mode_titles[mode]);
    wait_ms(1500);
    if (strchr(scenes, '1') != NULL) {
        scene_one();
    }
    if (strchr(scenes, '2') != NULL) {
        scene_two();
    }
    if (strchr(scenes, '3') != NULL) {
        scene_three();
    }
    if (strchr(scenes, '4') != NULL && (!told || strncmp(hypervisor(), "TCG", 3) != 0 || real_always)) {
        scene_four(real_always);
    }
    told = true;
}
