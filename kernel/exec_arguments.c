/*
 * The strings of an execve in LOCAL pages: user bytes, so nowhere else. The caller's alone: no locks. Runs in either
 * space; reading user memory may sleep.
 */
#include "kernel/exec_arguments.h"

#include "arch/uaccess.h"
#include "kernel/limits.h"
#include "kernel/string.h"
#include "mm/heap.h"

enum { CHUNK = 256, PAGES = ARGUMENTS_MAX / PAGE_SIZE };
_Static_assert(PAGES * sizeof(char *) <= PAGE_SIZE, "the page pointers fit one page");

enum status arguments_init(struct exec_arguments *arguments) {
    *arguments = (struct exec_arguments){.pages = local_alloc(PAGES * sizeof(char *))};
    return arguments->pages != NULL ? OK : ERR_NO_MEMORY;
}

void arguments_free(struct exec_arguments *arguments) {
    if (arguments->pages == NULL)
        return;
    for (unsigned i = 0; i < PAGES && arguments->pages[i] != NULL; i++)
        local_free(arguments->pages[i], PAGE_SIZE);
    local_free(arguments->pages, PAGES * sizeof(char *));
    arguments->pages = NULL;
}

/* What the strings so far and `pointers` to them take of the limit. */
static bool within_limit(size_t bytes, size_t pointers) {
    const uint64_t quarter = limit_current(RLIMIT_STACK) / 4;
    const uint64_t limit = quarter < ARGUMENTS_LEAST ? ARGUMENTS_LEAST : quarter;
    return bytes + pointers * sizeof(uint64_t) <= (limit < ARGUMENTS_MAX ? limit : ARGUMENTS_MAX);
}

/* The rest of the page that the next byte goes to. */
static enum status room(struct exec_arguments *arguments, char **to, size_t *bytes) {
    size_t page = arguments->bytes / PAGE_SIZE;

    if (page == PAGES)
        return ERR_TOO_BIG;
    if (arguments->pages[page] == NULL && (arguments->pages[page] = local_alloc(PAGE_SIZE)) == NULL)
        return ERR_NO_MEMORY;
    *to = arguments->pages[page] + page_offset(arguments->bytes);
    *bytes = PAGE_SIZE - page_offset(arguments->bytes);
    return OK;
}

enum status arguments_add(struct exec_arguments *arguments, const char *text) {
    size_t left = strlen(text) + 1;

    while (left > 0) {
        char *to;
        size_t part;
        enum status status = room(arguments, &to, &part);

        if (status != OK)
            return status;
        part = part < left ? part : left;
        memcpy(to, text, part);
        arguments->bytes += part;
        text += part;
        left -= part;
    }
    return OK;
}

/* Never reads beyond the page that the string's next byte is in: what follows may not be there. */
enum status arguments_add_from_user(struct exec_arguments *arguments, vaddr_t text) {
    const vaddr_t start = text;

    for (;;) {
        char *to;
        size_t part;
        enum status status = room(arguments, &to, &part);

        if (status != OK)
            return status;
        size_t in_page = PAGE_SIZE - page_offset(text);
        part = part < in_page ? part : in_page;
        part = part < CHUNK ? part : CHUNK;
        if ((status = copy_from_user(to, text, part)) != OK)
            return status;
        size_t length = 0;
        while (length < part && to[length] != '\0')
            length++;
        if (length < part) {
            arguments->bytes += length + 1;
            return OK;
        }
        arguments->bytes += part;
        text += part;
        if (text - start >= ARGUMENT_STRING_MAX)
            return ERR_TOO_BIG;
    }
}

enum status arguments_add_array(struct exec_arguments *arguments, vaddr_t array, unsigned skip, unsigned *count) {
    if (array == 0)
        return OK;
    for (unsigned i = 0;; i++) {
        vaddr_t text;
        enum status status = copy_from_user(&text, array + i * sizeof(text), sizeof(text));

        if (status != OK)
            return status;
        if (text == 0)
            return OK;
        if (i < skip)
            continue;
        if ((status = arguments_add_from_user(arguments, text)) != OK)
            return status;
        ++*count;
        if (!within_limit(arguments->bytes, arguments->argc + arguments->envc))
            return ERR_TOO_BIG;
    }
}

enum status arguments_copy_out(const struct exec_arguments *arguments, vaddr_t to) {
    for (size_t done = 0; done < arguments->bytes; done += PAGE_SIZE) {
        size_t left = arguments->bytes - done;
        enum status status =
            copy_to_user(to + done, arguments->pages[done / PAGE_SIZE], left < PAGE_SIZE ? left : PAGE_SIZE);

        if (status != OK)
            return status;
    }
    return OK;
}

size_t arguments_next(const struct exec_arguments *arguments, size_t offset) {
    while (arguments->pages[offset / PAGE_SIZE][page_offset(offset)] != '\0')
        offset++;
    return offset + 1;
}
