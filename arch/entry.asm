; Kernel entry and exit: system calls, interrupts, exceptions.
;
; Owns: the way between ring 3 and C. No CR3 is written on it and nothing is flushed, but in mode classic (`split`),
; which changes roots here, and on the slow way back, where arch/transition.asm is asked.
; Invariants: GATE, NEST. Everything here runs with interrupts off until C is called. .entry.text is all the code that
; classic's user root maps; what needs more of the kernel comes after its load_root.

%include "offsets.inc"
%include "arch/transition.inc"

extern syscall_dispatch, trap_dispatch, trap_dispatch_nested, return_to_user_work
extern asi_flush, flush_verw_instruction, verw_operand
extern transition_enter

global syscall_entry, interrupt_stubs, return_to_user, return_to_new_thread
; For the checks of asi/nest_check.c, and for trap_dispatch_nested().
global syscall_on_stack, sysret_off_stack, syscall_split, syscall_split_on_stack
global interrupt_common, interrupt_swapped, nested_common, nested_return

; A frame on a stack that is not the thread's, with rax saved below it.
struc moved
    .rax resq 1
    .vector resq 1
    .error resq 1
    .rip resq 1
    .cs resq 1
    .rflags resq 1
    .rsp resq 1
    .ss resq 1
endstruc

; What iretq takes.
struc returning
    .rip resq 1
    .cs resq 1
    .rflags resq 1
    .rsp resq 1
    .ss resq 1
endstruc

; Where a stack of the CPU's, which is aligned to its size, keeps the address of its struct cpu: in its last word.
%define CPU_STACK_SELF (CPU_STACK_SIZE - 8)

; What the CPU and the stub have pushed, seen before push_registers.
struc pushed
    .vector resq 1
    .error resq 1
    .rip resq 1
    .cs resq 1
endstruc

; The frame of a system call, on the thread's stack, in the shape that an interrupt's has. What user code had in rsp
; does not stay in the CPU's page, which all CPUs and processes map (RESIDUE).
%macro push_system_call 0
    push qword USER_DS
    push qword [gs:CPU_USER_RSP]
%ifndef MUTANT_user_rsp_stays
    mov qword [gs:CPU_USER_RSP], 0
%endif
    push r11
    push qword USER_CS
    push rcx
    push rax
    push qword FRAME_SYSCALL
    push_registers
%endmacro

section .entry.text progbits alloc exec nowrite align=16

; System call. In: rcx = user rip, r11 = user rflags, rax = number; rsp still the user's. Same frame as an interrupt's.
syscall_entry:
    swapgs
    mov [gs:CPU_USER_RSP], rsp
    cmp byte [gs:CPU_SPLIT], 0
    jne syscall_split
    mov rsp, [gs:CPU_STACK_TOP]
syscall_on_stack:
    push_system_call
syscall_framed:
    mov rdi, rsp
    sti
    call syscall_dispatch
    cli
    mov rax, [gs:CPU_CURRENT]
    cmp dword [rax + THREAD_WORK], 0
    jne return_slow
    cmp byte [gs:CPU_SPLIT], 0
    jne return_split
    ; sysret only where the frame is still a system call's (not changed by sigreturn or exec) and rip is a user address.
    cmp word [rsp + FRAME_VECTOR], FRAME_SYSCALL
    jne return_by_iret
    mov rax, USER_END
    cmp [rsp + FRAME_RIP], rax
    jae return_by_iret
    pop_registers
    mov rcx, [rsp + FRAME_RIP - FRAME_VECTOR]
    mov r11, [rsp + FRAME_RFLAGS - FRAME_VECTOR]
    mov rsp, [rsp + FRAME_RSP - FRAME_VECTOR]
sysret_off_stack:
    swapgs
    o64 sysret
syscall_split:
    mov rsp, [gs:CPU_KERNEL_ROOT]
    load_root rsp
    mov rsp, [gs:CPU_STACK_TOP]
syscall_split_on_stack:
    push_system_call
    charge FLUSH_CR3_TICKS
    jmp syscall_framed

; Interrupts and exceptions. In: vector and error code pushed on what the CPU pushed.
interrupt_common:
    test byte [rsp + pushed.cs], 3
    jz interrupted_kernel
    swapgs
interrupt_swapped:
    cmp byte [gs:CPU_SPLIT], 0
    jne move_frame
    push_registers
interrupt_framed:
    cld
    smap_site SMAP_CLAC
    mov rdi, rsp
    call trap_dispatch
    cli
; The way back to user code: rsp = the frame at the top of the thread's stack, interrupts off.
return_to_user:
    mov rax, [gs:CPU_CURRENT]
    cmp dword [rax + THREAD_WORK], 0
    jne return_slow
    cmp byte [gs:CPU_SPLIT], 0
    jne return_split
return_by_iret:
    pop_registers
    add rsp, FRAME_RIP - FRAME_VECTOR
    swapgs
    iretq

interrupted_kernel:
    push_registers
    cld
    smap_site SMAP_CLAC
    mov rdi, rsp
    call trap_dispatch
    pop_registers
    add rsp, FRAME_RIP - FRAME_VECTOR
    iretq

; The frame is on a stack of the CPU (classic's entry stack, or an IST stack struck from user code): bring it to the
; thread's. %gs is the kernel's; in classic the user root is still loaded.
move_frame:
    push rax
    cmp byte [gs:CPU_SPLIT], 0
    je .loaded
    mov rax, [gs:CPU_KERNEL_ROOT]
    load_root rax
.loaded:
    mov rax, rsp
    mov rsp, [gs:CPU_STACK_TOP]
    push qword [rax + moved.ss]
    push qword [rax + moved.rsp]
    push qword [rax + moved.rflags]
    push qword [rax + moved.cs]
    push qword [rax + moved.rip]
    push qword [rax + moved.error]
    push qword [rax + moved.vector]
    push qword [rax + moved.rax]
    mov qword [rax + moved.rax], 0      ; RESIDUE: the stack is shared
    mov qword [rax + moved.rip], 0
    mov qword [rax + moved.rflags], 0
    mov qword [rax + moved.rsp], 0
    pop rax
    push_registers
    cmp byte [gs:CPU_SPLIT], 0
    je interrupt_framed
    charge FLUSH_CR3_TICKS
    jmp interrupt_framed

; Something is to be done before user code runs. C does it; it returns a root to load (or 0) in rax, CROSS_* in edx.
return_slow:
    mov rdi, rsp
    call return_to_user_work
    test rax, rax
    jz .same_space
    mov rdi, rax
    mov esi, edx
    call transition_enter
.same_space:
    cmp byte [gs:CPU_SPLIT], 0
    je return_by_iret
    jmp return_split

; Mode classic: VERW, then the user root. The last steps run on the entry stack, which both roots map.
return_split:
    data_flush
    charge FLUSH_CR3_TICKS
    mov rax, [gs:CPU_SELF]
    add rax, CPU_ENTRY_STACK_TOP - returning_size
%macro copy_for_return 2 ; field of the frame, field of what iretq takes
    mov rcx, [rsp + %1]
    mov [rax + %2], rcx
%endmacro
    copy_for_return FRAME_RIP, returning.rip
    copy_for_return FRAME_CS, returning.cs
    copy_for_return FRAME_RFLAGS, returning.rflags
    copy_for_return FRAME_RSP, returning.rsp
    copy_for_return FRAME_SS, returning.ss
    pop_registers
    mov rsp, [gs:CPU_SELF]
    add rsp, CPU_ENTRY_STACK_TOP - returning_size
    mov [gs:CPU_SCRATCH], rax
    mov rax, [gs:CPU_USER_ROOT]
    load_root rax
    mov rax, [gs:CPU_ROOT_KEEP]
    or [gs:CPU_USER_ROOT], rax          ; from now on its translations are good
    mov rax, [gs:CPU_SCRATCH]
    mov qword [gs:CPU_SCRATCH], 0       ; RESIDUE: the CPU's page is everyone's
    swapgs
    iretq

; A new thread's first steps: switch_to() returns here with the frame on the stack.
return_to_new_thread:
    extern thread_first_run
    mov rdi, rsp
    call thread_first_run
    cli
    jmp return_to_user

; Exceptions that may strike at any instruction (NMI, double fault, machine check, debug), each on a stack of the CPU's.
nested_common:
    test byte [rsp + pushed.cs], 3
    jz .from_kernel
    swapgs
    jmp move_frame
.from_kernel:
    push_registers
    cld
    smap_site SMAP_CLAC
    ; %gs may be the user's: the stack knows its CPU.
    mov rbx, rsp
    and rbx, -CPU_STACK_SIZE
    mov rbx, [rbx + CPU_STACK_SELF]
    mov ecx, MSR_GS_BASE
    rdmsr
    mov r12d, eax
    mov r13d, edx
    mov rax, rbx
    mov rdx, rbx
    shr rdx, 32
    wrmsr
    ; In classic the user root may still be (or again be) loaded.
    xor r14d, r14d
    cmp byte [gs:CPU_SPLIT], 0
    je .loaded
    mov r14, cr3
    mov rax, r14
    xor rax, [gs:CPU_USER_ROOT]
    shl rax, 1                          ; but for ROOT_KEEP, which is never read back
    jz .user_root
    xor r14d, r14d
    jmp .loaded
.user_root:
    mov rax, [gs:CPU_KERNEL_ROOT]
    load_root rax
.loaded:
    mov rdi, rsp
    mov rsi, r14
    mov rdx, r13
    shl rdx, 32
    or rdx, r12
    xor ebp, ebp                        ; RESIDUE: C pushes what it must keep; that shall not be the interrupted code's
    xor r15d, r15d
    call trap_dispatch_nested
    mov rsp, rax
    test r14, r14
    jz .restore
%ifndef MUTANT_nested_leaves_root
    load_root r14
%endif
.restore:
    mov ecx, MSR_GS_BASE
    mov eax, r12d
    mov edx, r13d
%ifndef MUTANT_nested_trusts_gs
    wrmsr
%endif
    pop_registers
%ifndef MUTANT_nested_frame_stays
%assign slot 1
%rep 15
    mov qword [rsp - 8 * slot], 0       ; RESIDUE: what push_registers left
%assign slot slot + 1
%endrep
%endif
    add rsp, FRAME_RIP - FRAME_VECTOR
nested_return:
    iretq

; One stub for each vector, 16 bytes apart: the IDT is built by arithmetic.
align 16
interrupt_stubs:
%assign vector 0
%rep 256
    align 16
%if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
%else
    push qword 0
%endif
    push qword vector
%if vector == 1 || vector == 2 || vector == 8 || vector == 18
    jmp nested_common
%else
    jmp interrupt_common
%endif
%assign vector vector + 1
%endrep
    align 16
