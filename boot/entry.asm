; The kernel's first instructions, for both ways in: Multiboot2 (GRUB under BIOS and UEFI) and PVH (QEMU -kernel).
;
; Owns: the two headers by which a loader finds the entry, the early page tables and the boot stack.
; Both loaders come in 32-bit protected mode, flat segments, no paging, interrupts off. This file checks that the CPU
; can do what the kernel stands on, enters long mode in the higher half and calls boot_main() (boot/main.c).
;
; Early space (until mm/ loads the first real root): slot 0 and slot PHYSMAP both show physical 0–4 GiB; IMAGE shows the
; first GiB. Everything is writable and executable here: W^X and the restricted space begin with mm/. No user
; code runs and no secret is handled before that.

%include "offsets.inc"

MULTIBOOT2_MAGIC        equ 0xe85250d6
MULTIBOOT2_ARCH_I386    equ 0
TAG_END                 equ 0
TAG_INFORMATION         equ 1
TAG_CONSOLE             equ 4
TAG_FRAMEBUFFER         equ 5
TAG_MODULE_ALIGN        equ 6
TAG_OPTIONAL            equ 1
CONSOLE_TEXT_SUPPORTED  equ 2
INFO_CMDLINE            equ 1
INFO_MODULE             equ 3
INFO_MEMORY_MAP         equ 6
INFO_FRAMEBUFFER        equ 8
INFO_RSDP_OLD           equ 14
INFO_RSDP_NEW           equ 15

PVH_NOTE_TYPE           equ 18          ; XEN_ELFNOTE_PHYS32_ENTRY

CR0_WP                  equ 1 << 16
CR0_NW                  equ 1 << 29
CR0_CD                  equ 1 << 30
CR0_PG                  equ 1 << 31
CR4_PAE                 equ 1 << 5
MSR_EFER                equ 0xc0000080
EFER_LME                equ 1 << 8
EFER_NXE                equ 1 << 11
EFLAGS_ID               equ 1 << 21
CPUID_EXTENDED_MAX      equ 0x80000000
CPUID_EXTENDED_FEATURES equ 0x80000001
CPUID_EDX_NX            equ 20
CPUID_EDX_LONG_MODE     equ 29

ENTRY_SIZE              equ 8
TABLE_BYTES             equ TABLE_ENTRIES * ENTRY_SIZE
PTE_TABLE               equ 0x003       ; present, writable
PTE_LARGE_PAGE          equ 0x083       ; present, writable, 2 MiB
IMAGE_PDPT_INDEX        equ (IMAGE_BASE >> 30) & (TABLE_ENTRIES - 1)
EARLY_GIBS              equ 4

CODE_SELECTOR           equ 0x08
DATA_SELECTOR           equ 0x10
BOOT_STACK_SIZE         equ 16384

PORT_COM1               equ 0x3f8
PORT_COM1_STATUS        equ 0x3fd
COM1_CAN_SEND           equ 0x20
PORT_DEBUGCON           equ 0xe9
PORT_DEBUG_EXIT         equ 0xf4
VGA_TEXT                equ 0xb8000
VGA_WHITE_ON_BLACK      equ 0x0f
STATUS_BOOT_FAILED      equ 120         ; POWER_STATUS_BOOT in drivers/power.h

extern boot_main

; ---------------------------------------------------------------------------------------------------------------------
section .boot.header progbits alloc noexec nowrite align=8

multiboot2_header:
    dd MULTIBOOT2_MAGIC
    dd MULTIBOOT2_ARCH_I386
    dd multiboot2_end - multiboot2_header
    dd -(MULTIBOOT2_MAGIC + MULTIBOOT2_ARCH_I386 + (multiboot2_end - multiboot2_header)) & 0xffffffff

align 8
.information:
    dw TAG_INFORMATION, TAG_OPTIONAL
    dd .information_end - .information
    dd INFO_CMDLINE, INFO_MODULE, INFO_MEMORY_MAP, INFO_FRAMEBUFFER, INFO_RSDP_OLD, INFO_RSDP_NEW
.information_end:

align 8
.console:                               ; without it GRUB does not say that the screen is in text mode
    dw TAG_CONSOLE, TAG_OPTIONAL
    dd .console_end - .console
    dd CONSOLE_TEXT_SUPPORTED
.console_end:

align 8
.framebuffer:                           ; any size and depth will do; none at all, too
    dw TAG_FRAMEBUFFER, TAG_OPTIONAL
    dd .framebuffer_end - .framebuffer
    dd 0, 0, 0                          ; width, height, depth
.framebuffer_end:

align 8
    dw TAG_MODULE_ALIGN, 0
    dd 8

align 8
    dw TAG_END, 0
    dd 8
multiboot2_end:

section .note.pvh note alloc noexec nowrite align=4

    dd .name_end - .name
    dd .entry_end - .entry
    dd PVH_NOTE_TYPE
.name:
    db "Xen", 0
.name_end:
.entry:
    dq pvh_entry
.entry_end:

; ---------------------------------------------------------------------------------------------------------------------
section .boot.text progbits alloc exec nowrite align=16
bits 32

; in: eax = the loader's magic, ebx = physical address of the boot information
global multiboot2_entry
multiboot2_entry:
    mov edi, eax                        ; rdtsc wants eax
    rdtsc
    jmp enter_long_mode

; in: ebx = physical address of struct hvm_start_info, whose own magic tells that this is PVH
pvh_entry:
    xor edi, edi
    rdtsc

; in: edx:eax = TSC at the first instruction, edi = magic, ebx = information
enter_long_mode:
    cli
    cld
    mov [entry_tsc.low], eax
    mov [entry_tsc.high], edx
    mov esi, ebx                        ; cpuid wants ebx
    mov esp, boot_stack_top - IMAGE_BASE

    pushfd                              ; a CPU without cpuid keeps EFLAGS.ID as it is
    pop eax
    mov ecx, eax
    xor eax, EFLAGS_ID
    push eax
    popfd
    pushfd
    pop eax
    cmp eax, ecx
    mov ebp, message_no_long_mode
    je stop

    mov eax, CPUID_EXTENDED_MAX
    cpuid
    cmp eax, CPUID_EXTENDED_FEATURES
    jb stop
    mov eax, CPUID_EXTENDED_FEATURES
    cpuid
    bt edx, CPUID_EDX_LONG_MODE
    jnc stop
    mov ebp, message_no_nx
    bt edx, CPUID_EDX_NX
    jnc stop

    mov ebp, boot_cpu
; To long mode and the early space, for every CPU. In: ebp = where to go on, 64-bit code of this section.
; Keeps esi and edi.
global enter_early_space
enter_early_space:
    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov eax, early_pml4
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME | EFER_NXE
    wrmsr
    mov eax, cr0
    or eax, CR0_PG | CR0_WP
    and eax, ~(CR0_CD | CR0_NW)         ; another CPU comes out of its reset with its caches off
    mov cr0, eax
    lgdt [early_gdt_pointer]
    jmp CODE_SELECTOR:long_mode

; in: ebp = the one line to say. Serial port, VGA text, QEMU's debug console and exit device; then silence. No stack.
stop:
    mov ecx, VGA_TEXT
.next:
    mov dx, PORT_COM1_STATUS
    mov ebx, 0xffff                     ; a port that never gets ready must not hang us
.wait:
    in al, dx
    test al, COM1_CAN_SEND
    jnz .send
    dec ebx
    jnz .wait
.send:
    mov al, [ebp]
    test al, al
    jz .exit
    mov dx, PORT_COM1
    out dx, al
    mov ah, VGA_WHITE_ON_BLACK
    mov [ecx], ax
    inc ebp
    add ecx, 2
    jmp .next
.exit:
    mov ebp, exit_line
.exit_next:
    mov al, [ebp]
    test al, al
    jz .power
    out PORT_DEBUGCON, al
    inc ebp
    jmp .exit_next
.power:
    mov al, STATUS_BOOT_FAILED
    out PORT_DEBUG_EXIT, al
.forever:
    hlt
    jmp .forever

bits 64
long_mode:
    mov ax, DATA_SELECTOR
    mov ss, eax
    mov ds, eax
    mov es, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov ebp, ebp                        ; the upper half is anything after the switch
    jmp rbp

boot_cpu:
    mov rax, higher_half
    jmp rax

; ---------------------------------------------------------------------------------------------------------------------
section .init.text progbits alloc exec nowrite align=16

; in: edi = magic, esi = physical address of the boot information
higher_half:
    mov rsp, boot_stack_top
    xor ebp, ebp                        ; the end of every backtrace
    mov edi, edi
    mov esi, esi
    mov rdx, [abs entry_tsc]
    call boot_main                      ; (magic, information, tsc); never returns
.forever:
    hlt
    jmp .forever

; ---------------------------------------------------------------------------------------------------------------------
section .boot.data progbits alloc noexec write align=4096

early_pml4:
    dq early_pdpt + PTE_TABLE
    times SLOT_PHYSMAP - 1 dq 0
    dq early_pdpt + PTE_TABLE
    times SLOT_IMAGE - SLOT_PHYSMAP - 1 dq 0
    dq early_image_pdpt + PTE_TABLE

early_pdpt:
%assign gib 0
%rep EARLY_GIBS
    dq early_pds + gib * TABLE_BYTES + PTE_TABLE
%assign gib gib + 1
%endrep
    times TABLE_ENTRIES - EARLY_GIBS dq 0

early_image_pdpt:
    times IMAGE_PDPT_INDEX dq 0
    dq early_pds + PTE_TABLE
    times TABLE_ENTRIES - IMAGE_PDPT_INDEX - 1 dq 0

early_pds:
%assign page 0
%rep EARLY_GIBS * TABLE_ENTRIES
    dq page + PTE_LARGE_PAGE
%assign page page + PAGE_TABLE_SPAN
%endrep

early_gdt:
    dq 0
    dq 0x00209a0000000000               ; code: present, ring 0, long mode
    dq 0x0000920000000000               ; data: present, ring 0, writable
early_gdt_end:

early_gdt_pointer:
    dw early_gdt_end - early_gdt - 1
    dd early_gdt

align 8
entry_tsc:
.low:
    dd 0
.high:
    dd 0

message_no_long_mode:
    db "penumbra: this CPU has no 64-bit mode; stopped", 13, 10, 0
message_no_nx:
    db "penumbra: this CPU has no NX (no-execute pages), or the firmware switched it off; stopped", 13, 10, 0

%defstr STATUS_TEXT %eval(STATUS_BOOT_FAILED)
exit_line:
    db "exit ", STATUS_TEXT, 10, 0

; The boot CPU runs on it until its idle thread takes over; mm/ reclaims it with the rest of .init.
section .init.bss nobits alloc noexec write align=16
boot_stack:
    resb BOOT_STACK_SIZE
boot_stack_top:
