/*
 * What a file system should hold: names, attributes, and which version of which file is in each sector. A flat
 * structure, so that a state is copied by assignment.
 */
#ifndef TESTS_HOST_EXT4_MODEL_H
#define TESTS_HOST_EXT4_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { MODEL_NODES = 192, MODEL_ENTRIES = 384, MODEL_NAMES = 48, MODEL_PAGES = 24, MODEL_SECTORS = 8 };

struct model_page {
    uint32_t version; /* 0: never stored */
    uint8_t sectors;  /* that were in the file when it was stored */
    bool touched;     /* since the last sync */
};

struct model_node {
    bool used;
    uint32_t mode, links;
    uint64_t number; /* the server's */
    uint32_t id;     /* of this file, never used again */
    uint64_t size;
    uint8_t target; /* a symbolic link's length */
    struct model_page pages[MODEL_PAGES];
};

struct model_entry {
    bool used;
    uint8_t name;
    uint16_t directory, node; /* index of the nodes */
};

struct model {
    struct model_node nodes[MODEL_NODES]; /* 0: the root */
    struct model_entry entries[MODEL_ENTRIES];
    uint32_t next_id, next_version;
};

const char *model_name(unsigned name);
int model_find(const struct model *model, unsigned directory, unsigned name); /* index of the entry, or -1 */
bool model_is_empty(const struct model *model, unsigned directory);
bool model_is_below(const struct model *model, unsigned directory, unsigned above);
int model_free_node(const struct model *model);
int model_free_entry(const struct model *model);

#endif
