/*
 * Debug builds: a second opinion on tags, from what happens to page-table entries and to translations, and from nothing
 * that mm/tags.c goes by. On a CPU without PCID, too, where the tags are only imagined.
 */
#ifndef MM_TAG_CHECK_H
#define MM_TAG_CHECK_H

#include <stdbool.h>

#include "mm/types.h"

struct process;

#if defined(DEBUG) && !__STDC_HOSTED__ /* not in tests/host */
#define TAG_CHECK       1
#define TAG_CHECK_TAGS  6 /* at least those of mm/tags.c */
#define TAG_CHECK_ROOTS 2 /* of enum space */

/*
 * A page-table entry of the process was cleared, or leads elsewhere, or allows less: the translation of `page` is to be
 * flushed. To be called where that is done, not where the flush is asked for. Any context.
 */
void tag_check_weakened(const struct process *process, vaddr_t page);

/* This CPU is about to load a root of the process under a tag. Panics if it keeps what was to be flushed. */
void tag_check_load(const struct process *process, unsigned tag, unsigned root, bool keep);

/* This CPU has forgotten a page in the present root; a page in another; everything in the present one. */
void tag_check_forget(vaddr_t page);
void tag_check_forget_in(unsigned tag, unsigned root, vaddr_t page);
void tag_check_forget_all(void);
#else
#define TAG_CHECK                                0
#define tag_check_weakened(process, page)        ((void)0)
#define tag_check_load(process, tag, root, keep) ((void)(keep))
#define tag_check_forget(page)                   ((void)0)
#define tag_check_forget_in(tag, root, page)     ((void)0)
#define tag_check_forget_all()                   ((void)0)
#endif

#endif
