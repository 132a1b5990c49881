/*
 * The layout, and what keys without a character send: what Linux' console sends. See keys.h. The number pad has
 * digits.
 */
#include "drivers/console/keys.h"

#include <stdio.h>
#include <string.h>

enum { EXTENDED = 0xe0, PAUSE = 0xe1, RELEASED = 0x80, PAUSE_REST = 2 };
enum { CONTROL = 0x1d, LEFT_SHIFT = 0x2a, RIGHT_SHIFT = 0x36, ALT = 0x38, CAPS_LOCK = 0x3a, TAB = 0x0f };
enum { F1 = 0x3b, F10 = 0x44, PAD_7 = 0x47, PAD_PERIOD = 0x53, F11 = 0x57, F12 = 0x58 };
enum { ENTER = 0x1c, SLASH = 0x35, HOME = 0x47, DELETE = 0x53 };

static const char plain[] = "\0\033"
                            "1234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033"
                              "!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
static const char pad[] = "789-456+1230.";

/* From HOME on, with 0xe0 before them: a letter is an arrow's, a digit stands before "~". */
static const char extended[] = "1A5\0D\0C\0004B623";

static void note_modifier(struct keys *keys, uint8_t key, bool down) {
    bool *left = key == CONTROL ? &keys->left_control : key == ALT ? &keys->left_alt : NULL;
    bool *right = key == CONTROL ? &keys->right_control : key == ALT ? &keys->right_alt : NULL;
    if (left != NULL) {
        *(keys->extended ? right : left) = down;
    } else if (key == LEFT_SHIFT && !keys->extended) { /* with 0xe0 it is the keyboard's own invention */
        keys->left_shift = down;
    } else if (key == RIGHT_SHIFT && !keys->extended) {
        keys->right_shift = down;
    } else if (key == CAPS_LOCK && down) {
        keys->caps_lock = !keys->caps_lock;
    }
}

static size_t say(char *to, const char *text) {
    const size_t length = strlen(text);
    memcpy(to, text, length);
    return length;
}

static size_t function_key(unsigned number, char *to) {
    static const uint8_t codes[] = {17, 18, 19, 20, 21, 23, 24}; /* from F6 on */
    char text[KEYS_BYTES_MAX];
    if (number <= 5) {
        snprintf(text, sizeof text, "\033[[%c", 'A' + (int)number - 1);
    } else {
        snprintf(text, sizeof text, "\033[%u~", codes[number - 6]);
    }
    return say(to, text);
}

static size_t extended_key(uint8_t key, bool application, char *to) {
    char text[KEYS_BYTES_MAX] = "";
    const char what = key >= HOME && key <= DELETE ? extended[key - HOME] : '\0';
    if (key == ENTER || key == SLASH) {
        return say(to, key == ENTER ? "\r" : "/");
    }
    if (what >= 'A') {
        snprintf(text, sizeof text, "\033%c%c", application ? 'O' : '[', what);
    } else if (what != '\0') {
        snprintf(text, sizeof text, "\033[%c~", what);
    }
    return say(to, text);
}

static char with_control(char character) {
    if (character == ' ' || character == '2') {
        return '\0';
    }
    if (character == '/' || character == '-') {
        return '_' & 0x1f;
    }
    return character >= '@' && character <= '~' ? (char)(character & 0x1f) : character;
}

static char character_of(const struct keys *keys, uint8_t key) {
    const bool shift = keys->left_shift || keys->right_shift;
    char character;
    if (key >= PAD_7 && key <= PAD_PERIOD) {
        return pad[key - PAD_7];
    }
    if (key >= sizeof plain - 1) {
        return '\0';
    }
    character = plain[key];
    const bool letter = character >= 'a' && character <= 'z';
    return shift != (letter && keys->caps_lock) ? shifted[key] : character;
}

static size_t character_key(const struct keys *keys, uint8_t key, char *to) {
    const bool control = keys->left_control || keys->right_control;
    const char character = character_of(keys, key);
    size_t count = 0;
    if (key == TAB && (keys->left_shift || keys->right_shift)) {
        return say(to, "\033[Z");
    }
    if (character == '\0') {
        return 0;
    }
    if (keys->left_alt || keys->right_alt) {
        to[count++] = '\033';
    }
    to[count++] = control ? with_control(character) : character;
    return count;
}

static size_t pressed(const struct keys *keys, uint8_t key, bool application, char *to) {
    if (keys->extended) {
        return extended_key(key, application, to);
    }
    if (key >= F1 && key <= F10) {
        return function_key(key - F1 + 1U, to);
    }
    if (key == F11 || key == F12) {
        return function_key(key - F11 + 11U, to);
    }
    return character_key(keys, key, to);
}

size_t keys_scan(struct keys *keys, uint8_t code, bool application, char *to) {
    const uint8_t key = code & (uint8_t)~RELEASED;
    const bool down = !(code & RELEASED);
    size_t count;
    if (keys->skipped > 0) {
        keys->skipped--;
        return 0;
    }
    if (code == PAUSE || code == EXTENDED) {
        keys->skipped = code == PAUSE ? PAUSE_REST : 0;
        keys->extended = code == EXTENDED;
        return 0;
    }
    note_modifier(keys, key, down);
    count = down ? pressed(keys, key, application, to) : 0;
    keys->extended = false;
    return count;
}
