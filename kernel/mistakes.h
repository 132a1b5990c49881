/*
 * Mistakes made on purpose, one by name on the command line (mistake=NAME), to show that a debug build notices them.
 * Compiled only for tests/debug (MUTANT=mistakes).
 */
#ifndef KERNEL_MISTAKES_H
#define KERNEL_MISTAKES_H

#ifdef MUTANT_mistakes
/* Makes the mistake that the command line names, if any. In a process that has its LOCAL heap; does not return then. */
void mistake_make(void);
#else
static inline void mistake_make(void) {}
#endif

#endif
