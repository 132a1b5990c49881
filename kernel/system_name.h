/*
 * The machine's names as uname() and /proc/sys/kernel tell them. GLOBAL: root publishes them.
 */
#ifndef KERNEL_SYSTEM_NAME_H
#define KERNEL_SYSTEM_NAME_H

enum { SYSTEM_NAME_BYTES = 65 };

/* uname()'s structure: terminated strings. `node` and `domain` may be read while they are written (no lock). */
struct system_name {
    char system[SYSTEM_NAME_BYTES], node[SYSTEM_NAME_BYTES], release[SYSTEM_NAME_BYTES], version[SYSTEM_NAME_BYTES],
        machine[SYSTEM_NAME_BYTES], domain[SYSTEM_NAME_BYTES];
};

extern struct system_name system_name;

#endif
