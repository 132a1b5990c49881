/*
 * The model of a file system. See ext4_model.h.
 */
#include "tests/host/ext4_model.h"

#include <stdio.h>
#include <string.h>

const char *model_name(unsigned name) {
    static char names[MODEL_NAMES][256];
    if (names[name][0] == '\0') { /* of all lengths, so that entries do not fit where others were */
        memset(names[name], 'x', 3 + name * name % 252);
        snprintf(names[name], 4, "%03u", name);
        names[name][3] = name * name % 252 > 0 ? 'x' : '\0';
    }
    return names[name];
}

int model_find(const struct model *model, unsigned directory, unsigned name) {
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        const struct model_entry *entry = &model->entries[i];
        if (entry->used && entry->directory == directory && entry->name == name) {
            return i;
        }
    }
    return -1;
}

bool model_is_empty(const struct model *model, unsigned directory) {
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        if (model->entries[i].used && model->entries[i].directory == directory) {
            return false;
        }
    }
    return true;
}

bool model_is_below(const struct model *model, unsigned directory, unsigned above) {
    while (directory != above && directory != 0) {
        for (int i = 0; i < MODEL_ENTRIES; i++) {
            if (model->entries[i].used && model->entries[i].node == directory) {
                directory = model->entries[i].directory;
                break;
            }
        }
    }
    return directory == above;
}

int model_free_node(const struct model *model) {
    for (int i = 1; i < MODEL_NODES; i++) {
        if (!model->nodes[i].used) {
            return i;
        }
    }
    return -1;
}

int model_free_entry(const struct model *model) {
    for (int i = 0; i < MODEL_ENTRIES; i++) {
        if (!model->entries[i].used) {
            return i;
        }
    }
    return -1;
}
