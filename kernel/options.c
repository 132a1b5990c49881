/*
 * Owns: the command line. GLOBAL: anybody may read it in /proc/cmdline. Constant after start-up; any space.
 */
#include "kernel/options.h"

#include "boot/boot_info.h"
#include "kernel/string.h"

char kernel_command_line[BOOT_CMDLINE_SIZE];

void options_init(const char *text) { strlcpy(kernel_command_line, text, sizeof kernel_command_line); }

bool option_get(const char *key, char *value, size_t size) {
    const size_t key_length = strlen(key);
    bool found = false;
    for (const char *word = kernel_command_line; *word != '\0';) {
        while (*word == ' ')
            word++;
        size_t length = 0;
        while (word[length] != '\0' && word[length] != ' ')
            length++;
        if (length > key_length && word[key_length] == '=' && memcmp(word, key, key_length) == 0) {
            size_t bytes = length - key_length - 1;
            bytes = bytes < size - 1 ? bytes : size - 1;
            memcpy(value, word + key_length + 1, bytes);
            value[bytes] = '\0';
            found = true;
        }
        word += length;
    }
    return found;
}
