/*
 * Host tests: page-table entries as they are; forgetting a translation tells the test's own TLB.
 */
#ifndef TESTS_HOST_FAKE_ARCH_PAGING_H
#define TESTS_HOST_FAKE_ARCH_PAGING_H

#define tlb_forget cpu_tlb_forget
#include "../../../../arch/paging.h"
#undef tlb_forget

void tlb_forget(vaddr_t address);

#endif
