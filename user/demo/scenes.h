/*
 * The scenes: who attacks what, and what is said about it.
 */
#ifndef USER_DEMO_SCENES_H
#define USER_DEMO_SCENES_H

#include <stdbool.h>

#include "asi/abi.h"

/*
 * The scenes whose numbers are in `scenes`, in the mode that is in force. report: says the outcome for tools/demo, too;
 * real_always: scene 4 in an emulator as well.
 */
void play(enum asi_mode mode, const char *scenes, bool report, bool real_always);

/* What was read, by scene and mode. */
void show_summary(void);

#endif
