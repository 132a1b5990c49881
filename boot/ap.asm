; The first instructions of every CPU but the one that booted. arch/smp.c copies ap_start to a page below 1 MiB and
; sends the CPU there, one at a time; the rest runs where it lies.
;
; Owns: the way from real mode to ap_main(), and the stack on it. Like boot/entry.asm it runs in the early space, whose
; tables stay as they are in .boot (mm/boot.c claims them); so it writes CR3 and is not part of the kernel's text: GATE.

%include "offsets.inc"

CR0_PE          equ 1 << 0
CODE_SELECTOR   equ 0x08
DATA_SELECTOR   equ 0x10
STACK_BYTES     equ 4096

extern enter_early_space, ap_main, ap_ticket
global ap_start, ap_start_end

section .boot.text progbits alloc exec nowrite align=16
bits 16

; Runs at any page below 1 MiB: cs is the page, ip 0.
ap_start:
    cli
    mov ax, cs
    mov ds, ax
    o32 lgdt [ap_gdt_pointer - ap_start]
    mov eax, cr0
    or al, CR0_PE
    mov cr0, eax
    jmp dword CODE_SELECTOR:ap_protected
ap_gdt_pointer:
    dw ap_gdt_end - ap_gdt - 1
    dd ap_gdt
ap_start_end:

bits 32
ap_protected:
    mov eax, DATA_SELECTOR
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov ebp, ap_long_mode
    jmp enter_early_space

; There is one stack and one ticket, which holds the CPU's index. One that comes too late finds none.
bits 64
ap_long_mode:
    mov rax, ap_ticket
    xor edi, edi
    xchg [rax], edi
    test edi, edi
    jz .nobody_waits
    mov rsp, ap_stack_top
    xor ebp, ebp                        ; the end of every backtrace
    mov rax, ap_main
    call rax                            ; (index); never returns
.nobody_waits:
    cli
    hlt
    jmp .nobody_waits

section .boot.data progbits alloc noexec write align=8
ap_gdt:
    dq 0
    dq 0x00cf9a000000ffff               ; code: ring 0, 32 bits, 4 GiB
    dq 0x00cf92000000ffff               ; data: ring 0, writable, 4 GiB
ap_gdt_end:

section .init.bss nobits alloc noexec write align=16
    resb STACK_BYTES
ap_stack_top:
