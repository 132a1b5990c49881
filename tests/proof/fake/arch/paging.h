/*
 * Proofs: page-table entries as they are; the window and the TLB are the proof's, for there is no MMU.
 */
#ifndef TESTS_PROOF_FAKE_ARCH_PAGING_H
#define TESTS_PROOF_FAKE_ARCH_PAGING_H

#define tlb_forget   cpu_tlb_forget
#define window_pte   cpu_window_pte
#define window_pde   cpu_window_pde
#define window_pdpte cpu_window_pdpte
#define window_pml4e cpu_window_pml4e
#include "../../../../arch/paging.h"
#undef tlb_forget
#undef window_pte
#undef window_pde
#undef window_pdpte
#undef window_pml4e

void tlb_forget(vaddr_t address);
pte_t *window_pte(vaddr_t address);
pte_t *window_pde(vaddr_t address);
pte_t *window_pdpte(vaddr_t address);
pte_t *window_pml4e(vaddr_t address);

#endif
