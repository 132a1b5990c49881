/*
 * stty: shows or changes the settings of the terminal that is standard input.
 *
 *     stty                     how it is set
 *     stty size                rows and columns
 *     stty WORD…               raw, sane, [-]FLAG, rows N, columns N, min N, time N, KEY CHARACTER (^X, or undef)
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios settings;
static struct winsize size;

/* Where a flag is among the settings. */
static const struct flag {
    const char *name;
    tcflag_t *word;
    tcflag_t bit;
} flags[] = {
    {"icrnl", &settings.c_iflag, ICRNL},     {"inlcr", &settings.c_iflag, INLCR},
    {"igncr", &settings.c_iflag, IGNCR},     {"ixon", &settings.c_iflag, IXON},
    {"ixany", &settings.c_iflag, IXANY},     {"istrip", &settings.c_iflag, ISTRIP},
    {"imaxbel", &settings.c_iflag, IMAXBEL}, {"iutf8", &settings.c_iflag, IUTF8},
    {"opost", &settings.c_oflag, OPOST},     {"onlcr", &settings.c_oflag, ONLCR},
    {"ocrnl", &settings.c_oflag, OCRNL},     {"isig", &settings.c_lflag, ISIG},
    {"icanon", &settings.c_lflag, ICANON},   {"echo", &settings.c_lflag, ECHO},
    {"echoe", &settings.c_lflag, ECHOE},     {"echok", &settings.c_lflag, ECHOK},
    {"echoke", &settings.c_lflag, ECHOKE},   {"echonl", &settings.c_lflag, ECHONL},
    {"echoctl", &settings.c_lflag, ECHOCTL}, {"noflsh", &settings.c_lflag, NOFLSH},
    {"iexten", &settings.c_lflag, IEXTEN},
};

static const struct {
    const char *name;
    int index;
} keys[] = {
    {"intr", VINTR},   {"quit", VQUIT}, {"erase", VERASE}, {"kill", VKILL},     {"eof", VEOF},       {"eol", VEOL},
    {"start", VSTART}, {"stop", VSTOP}, {"susp", VSUSP},   {"rprnt", VREPRINT}, {"werase", VWERASE}, {"lnext", VLNEXT},
};

enum { FLAGS = sizeof flags / sizeof flags[0], KEYS = sizeof keys / sizeof keys[0] };

static void print_key(const char *name, cc_t key) {
    if (key == 0) {
        printf("%s = undef; ", name);
    } else if (key < ' ' || key == 0x7f) {
        printf("%s = ^%c; ", name, key ^ 0x40);
    } else {
        printf("%s = %c; ", name, key);
    }
}

static void show(void) {
    printf("rows %d; columns %d; min = %d; time = %d;\n", size.ws_row, size.ws_col, settings.c_cc[VMIN],
           settings.c_cc[VTIME]);
    for (unsigned i = 0; i < KEYS; i++) {
        print_key(keys[i].name, settings.c_cc[keys[i].index]);
    }
    for (unsigned i = 0; i < FLAGS; i++) {
        printf("%s%s%s", i == 0 ? "\n" : " ", *flags[i].word & flags[i].bit ? "" : "-", flags[i].name);
    }
    putchar('\n');
}

static void make_sane(void) {
    settings.c_iflag = ICRNL | IXON | IUTF8 | IMAXBEL;
    settings.c_oflag = OPOST | ONLCR;
    settings.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
}

static bool set_flag(const char *word) {
    bool on = *word != '-';
    for (unsigned i = 0; i < FLAGS; i++) {
        if (strcmp(word + !on, flags[i].name) == 0) {
            *flags[i].word = on ? *flags[i].word | flags[i].bit : *flags[i].word & ~flags[i].bit;
            return true;
        }
    }
    return false;
}

static cc_t parse_key(const char *text) {
    if (strcmp(text, "undef") == 0) {
        return 0;
    }
    return (cc_t)(text[0] == '^' && text[1] != '\0' ? text[1] ^ 0x40 : text[0]);
}

/* A word with a value behind it. */
static bool set_value(const char *word, const char *value) {
    if (strcmp(word, "rows") == 0) {
        size.ws_row = (unsigned short)atoi(value);
        return true;
    }
    if (strcmp(word, "columns") == 0 || strcmp(word, "cols") == 0) {
        size.ws_col = (unsigned short)atoi(value);
        return true;
    }
    if (strcmp(word, "min") == 0 || strcmp(word, "time") == 0) {
        settings.c_cc[*word == 'm' ? VMIN : VTIME] = (cc_t)atoi(value);
        return true;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        if (strcmp(word, keys[i].name) == 0) {
            settings.c_cc[keys[i].index] = parse_key(value);
            return true;
        }
    }
    return false;
}

/* Changes what the words say; false at the first that is not known. */
static bool change(char **words) {
    for (; *words != NULL; words++) {
        if (strcmp(*words, "raw") == 0) {
            cfmakeraw(&settings);
        } else if (strcmp(*words, "sane") == 0) {
            make_sane();
        } else if (!set_flag(*words)) {
            if (words[1] == NULL || !set_value(words[0], words[1])) {
                fprintf(stderr, "stty: %s?\n", *words);
                return false;
            }
            words++;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    if (tcgetattr(STDIN_FILENO, &settings) < 0 || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0) {
        perror("stty");
        return 1;
    }
    if (argc == 1) {
        show();
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "size") == 0) {
        printf("%d %d\n", size.ws_row, size.ws_col);
        return 0;
    }
    if (!change(argv + 1)) {
        return 1;
    }
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &settings) < 0 || ioctl(STDIN_FILENO, TIOCSWINSZ, &size) < 0) {
        perror("stty");
        return 1;
    }
    return 0;
}
