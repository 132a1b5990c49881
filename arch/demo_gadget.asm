; A true Spectre-v1 gadget, for the kernel of `make demo` only (asi/demo.h); empty in any other. Runs in either space,
; on the caller's stack; touches user memory, which the caller has made present.

%include "offsets.inc"
%include "arch/transition.inc"

section .text

%ifdef MUTANT_demo

global demo_speculate, demo_array

section .rodata
demo_array:
    times DEMO_ARRAY db 0                ; what is read rightly touches line 0

section .data align=64
demo_array_size: dq DEMO_ARRAY           ; alone in its line
    times 7 dq 0

section .text

; In: rdi = index, rsi = probe array. Clobbers rax.
demo_speculate:
    smap_site SMAP_STAC
    clflush [rel demo_array_size]
    mfence
    cmp rdi, [rel demo_array_size]       ; late: from memory
    jae .beyond                          ; guessed by then
    lea rax, [rel demo_array]
    movzx eax, byte [rax + rdi]
    imul eax, DEMO_STRIDE
    mov al, [rsi + rax]
.beyond:
    smap_site SMAP_CLAC
    ret

%endif
