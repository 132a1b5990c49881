/*
 * Files of /proc that are a text: written by a function when the file is opened, or, where it is the reader's own
 * affair, at each read.
 *
 * Invariants: a GLOBAL text is metadata; a LOCAL one never leaves its reader, who is the process that it tells of, or
 * of the command line who may see it: both are asked at each read, whoever opened the file.
 * Locks: none here. Runs in the caller's space.
 */
#include "arch/uaccess.h"
#include "kernel/command_line.h"
#include "kernel/open_file.h"
#include "kernel/print.h"
#include "kernel/process.h"
#include "kernel/procfs.h"
#include "kernel/string.h"
#include "mm/heap.h"

#define TEXT_MAX (1UL << 20)

void text_add(struct text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = text->used < text->size ? text->size - text->used : 0;
    text->used += format_string_va(room > 0 ? text->to + text->used : NULL, room, format, arguments);
    va_end(arguments);
}

void text_add_bytes(struct text *text, const char *bytes, size_t count) {
    size_t room = text->used < text->size ? text->size - text->used : 0;
    memcpy(text->to + text->used, bytes, count < room ? count : room);
    text->used += count;
}

/* What the last try lacked, and half as much again: meanwhile it may have grown. */
static size_t next_size(size_t needed) {
    size_t size = (needed + needed / 2 + PAGE_SIZE) & ~(PAGE_SIZE - 1);
    return size < TEXT_MAX ? size : TEXT_MAX;
}

/* --- Made when it is opened --------------------------------------------------------------------------------------- */

static enum status text_open(struct file *file) {
    for (size_t size = PAGE_SIZE;;) {
        struct text text = {.to = global_alloc_pages(bytes_to_pages(size)), .size = size};
        if (text.to == NULL)
            return ERR_NO_MEMORY;
        file->inode->special->generate(&text, file->inode);
        if (text.used < size || size == TEXT_MAX) {
            file->content = text.to;
            file->content_size = size;
            file->content_bytes = text.used < size ? text.used : size - 1;
            return OK;
        }
        global_free_pages(text.to, bytes_to_pages(size));
        size = next_size(text.used);
    }
}

static void text_release(struct file *file) { global_free_pages(file->content, bytes_to_pages(file->content_size)); }

static enum status copy_out(vaddr_t to, size_t bytes, const char *from, size_t length, uint64_t *offset, size_t *done) {
    if (*offset >= length)
        return OK;
    if (bytes > length - *offset)
        bytes = length - *offset;
    enum status status = copy_to_user(to, from + *offset, bytes);
    if (status == OK) {
        *done = bytes;
        *offset += bytes;
    }
    return status;
}

static enum status text_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    return copy_out(to, bytes, file->content, file->content_bytes, offset, done);
}

const struct file_operations text_operations = {
    .seekable = true, .open = text_open, .release = text_release, .read = text_read};

/* --- Settings ----------------------------------------------------------------------------------------------------- */

/* A number, maybe with a minus sign or 0x, and a line's end. */
static bool is_number(const char *text, size_t length) {
    size_t at = length > 0 && text[0] == '-' ? 1 : 0;
    if (length > at + 2 && text[at] == '0' && text[at + 1] == 'x')
        at += 2;
    size_t first = at;
    while (at < length && ((text[at] >= '0' && text[at] <= '9') || (text[at] >= 'a' && text[at] <= 'f')))
        at++;
    return at > first && (at == length || (text[at] == '\n' && at + 1 == length));
}

static enum status setting_write(struct file *file, vaddr_t from, size_t bytes, uint64_t *offset, size_t *done) {
    char text[24];
    (void)file;
    if (bytes > sizeof(text))
        return ERR_INVALID;
    enum status status = copy_from_user(text, from, bytes);
    if (status == OK && !is_number(text, bytes))
        status = ERR_INVALID;
    if (status == OK) {
        *done = bytes;
        *offset += bytes;
    }
    return status;
}

const struct file_operations setting_operations = {
    .seekable = true, .open = text_open, .release = text_release, .read = text_read, .write = setting_write};

/* --- The reader's own --------------------------------------------------------------------------------------------- */

static enum status own_open(struct file *file) { return live_is_caller(file->inode) ? OK : ERR_ACCESS; }

static enum status fresh_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    for (size_t size = PAGE_SIZE;;) {
        struct text text = {.to = local_alloc(size), .size = size};
        if (text.to == NULL)
            return ERR_NO_MEMORY;
        file->inode->special->generate(&text, file->inode);
        enum status status = OK;
        bool whole = text.used < size || size == TEXT_MAX;
        if (whole)
            status = copy_out(to, bytes, text.to, text.used < size ? text.used : size - 1, offset, done);
        local_free(text.to, size);
        if (whole)
            return status;
        size = next_size(text.used);
    }
}

static enum status own_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    if (!live_is_caller(file->inode)) /* it was passed on, or inherited */
        return ERR_ACCESS;
    return fresh_read(file, to, bytes, offset, done);
}

static enum status shown_open(struct file *file) {
    return live_is_caller(file->inode) || command_line_permitted(file->inode) ? OK : ERR_ACCESS;
}

static enum status shown_read(struct file *file, vaddr_t to, size_t bytes, uint64_t *offset, size_t *done) {
    enum status status = shown_open(file);
    return status == OK ? fresh_read(file, to, bytes, offset, done) : status;
}

const struct file_operations shown_text_operations = {.seekable = true, .open = shown_open, .read = shown_read};
const struct file_operations fresh_text_operations = {.seekable = true, .read = fresh_read};
const struct file_operations own_text_operations = {.seekable = true, .open = own_open, .read = own_read};
