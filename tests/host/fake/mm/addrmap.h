/*
 * Host tests: the kernel's address map with its regions moved to where a user process can have memory.
 */
#include "../../../../mm/addrmap.h"
#undef SLOT_BASE
#define SLOT_BASE(slot) ((unsigned long)(slot) << 38)
