/*
 * demo: an attacker reads another process's secret by speculation, or does not: it depends on the mode. `make demo`
 * runs it, on a kernel with a gadget made for it (asi/demo.h, docs/demo.md).
 *
 *     demo [--modes=none,asi,…] [--scenes=1234] [--pace=X] [--colour=1] [--real=always] [--report=1]
 *
 * --pace: 1 to be read, 0 for tests. --real=always tries the CPU's own speculation in an emulator, too. --report=1: the
 * outcome in lines "DEMO mode=… scene=… place=… flush=… read=N of=16 bytes=HEX", one for each attack.
 *
 * This process starts victims and attackers, and shows what they say. It never knows a secret: tools/demo, which made
 * them, compares at the end. Exit status: 0; 1 something did not work; 2 wrong usage or another kernel.
 */
#include "user/demo/scenes.h"
#include "user/demo/screen.h"
#include "user/lib/asi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asi/demo_abi.h"
#include "user/demo/attacker.h"

static char modes[64] = "none,classic,naive,asi", scenes[8] = "1234";
static double pace = 1;
static bool colours, report, real_always;

static int usage(void) {
    fputs("usage: demo [--modes=none,asi,...] [--scenes=1234] [--pace=X] [--colour=1] [--real=always]"
          " [--report=1]\n",
          stderr);
    return 2;
}

static bool take_option(const char *word) {
    if (strncmp(word, "--modes=", 8) == 0) {
        snprintf(modes, sizeof modes, "%s", word + 8);
    } else if (strncmp(word, "--scenes=", 9) == 0) {
        snprintf(scenes, sizeof scenes, "%s", word + 9);
    } else if (strncmp(word, "--pace=", 7) == 0) {
        pace = strtod(word + 7, NULL);
    } else if (strncmp(word, "--colour=", 9) == 0) {
        colours = word[9] == '1';
    } else if (strncmp(word, "--report=", 9) == 0) {
        report = word[9] == '1';
    } else if (strncmp(word, "--real=", 7) == 0) {
        real_always = strcmp(word + 7, "always") == 0;
    } else {
        return false;
    }
    return true;
}

static bool has_gadget(void) { return syscall(SYS_ASI, DEMO_OP_FORGET, 1L, NULL, 0L) == 0; }

static void introduce(void) {
    heading("Penumbra: the attack, shown");
    paragraph(
        "Two processes that have nothing to do with each other. The VICTIM (uid %d) has secrets of %d characters, "
        "which were drawn by the machine outside and which only the victim has read. The ATTACKER (uid %d) has "
        "no rights. It wants them.",
        VICTIM_UID, SECRET_BYTES, ATTACKER_UID);
    show(YELLOW, "What is simulated:\n");
    paragraph("The mistake of the CPU and what it leaves behind. This kernel has a gadget, made for the show and in no "
              "other build, that reads one byte at a kernel address of the attacker's choice as a mispredicted branch "
              "would: no result, no fault, only a line of a cache was touched. The cache is a table, and the attacker "
              "gets the time that each line would take.");
    show(YELLOW, "What is real:\n");
    paragraph("The kernel, its page tables, its flushes. The gadget reads what the loaded page tables map, where they "
              "map it, and nothing else, as speculation does.");
}

/* Each mode of the list, in turn. */
static void play_modes(void) {
    char *rest;
    for (char *word = strtok_r(modes, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        enum asi_mode mode;
        if (!asi_parse_mode(word, &mode)) {
            exit(usage());
        }
        if (asi_set_mode(mode) < 0) {
            perror("demo: mode");
            exit(1);
        }
        play(mode, scenes, report, real_always);
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (!take_option(argv[i])) {
            return usage();
        }
    }
    if (!has_gadget()) {
        fputs("demo: this kernel has no gadget to attack; `make demo` builds one that has\n", stderr);
        return 2;
    }
    if (chmod(SECRETS_FILE, 0600) < 0) {
        perror("demo: " SECRETS_FILE);
        return 1;
    }
    screen_init(pace, colours);
    introduce();
    play_modes();
    show_summary();
    return 0;
}
