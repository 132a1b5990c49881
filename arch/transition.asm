; The crossings between address spaces. The only code, with the entry code's split path, that writes CR3.
;
; Invariants: GATE, FLUSH-CONTROL, FLUSH-DATA, RESIDUE, NEST. All run with interrupts off; an NMI may strike anywhere:
; it has a stack of its own and leaves CR3 and %gs as it found them.
;
; In the unrestricted root the frames of the restricted stack are visible at STACK_ALIAS_OFFSET, so the stack is copied
; by one rep movs, with nothing pushed while it is half copied.

%include "offsets.inc"
%include "arch/transition.inc"

extern asi_flush, flush_verw_instruction, flush_ibpb_instruction, verw_operand

global transition_exit, transition_enter, transition_load, transition_flush, context_switch, context_die
; Between these cpu->space and CR3 may disagree (asi/nest_check.c).
global exit_root, exit_root_noted, enter_root, enter_root_noted, switch_root, switch_root_noted

section .text.transition progbits alloc exec nowrite align=16

; IBPB as far as asked for, its price, and 32 return-stack entries that lead nowhere. Clobbers rax, rcx, rdx, r10.
control_flush:
    cmp byte [rel flush_ibpb_instruction], 0
    je .charge
    mov ecx, MSR_PRED_CMD
    mov eax, PRED_CMD_IBPB
    xor edx, edx
    wrmsr
.charge:
    charge FLUSH_IBPB_TICKS
    mov ecx, 16
.stuff:
    call .second
.first_trap:
    pause
    lfence
    jmp .first_trap
.second:
    call .discard
.second_trap:
    pause
    lfence
    jmp .second_trap
.discard:
    add rsp, 16
    dec ecx
    jnz .stuff
    ret

; The flushes alone. In: edi = CROSS_* flags.
transition_flush:
    test edi, CROSS_CONTROL_FLUSH
    jz .control_done
    call control_flush
.control_done:
    test edi, CROSS_DATA_FLUSH
    jz .data_done
    data_flush
.data_done:
    ret

; Restricted → unrestricted. In: rdi = root to load, esi = CROSS_* flags. The live part of the stack moves along, if it
; is a thread's; the idle thread's stack is the same in both.
transition_exit:
    test esi, CROSS_CONTROL_FLUSH
    jz .flushed
    call control_flush
.flushed:
exit_root:
    load_root rdi
    mov byte [gs:CPU_SPACE], SPACE_UNRESTRICTED
exit_root_noted:
    mov rdi, rsp
    lea rsi, [rsp + STACK_ALIAS_OFFSET]
    mov rcx, [gs:CPU_STACK_TOP]
    sub rcx, rsp
    cmp rcx, STACK_SIZE
    ja .moved
    shr rcx, 3
    rep movsq
.moved:
    charge FLUSH_CR3_TICKS
    ret

; Unrestricted → restricted, on the way back to user code. In: rdi = root to load, esi = CROSS_* flags; above the return
; address there is the user's frame and nothing else. Only the frame goes back; nothing else of the stack does.
transition_enter:
    mov r8, rdi
    mov r9d, esi
    pop r11
    mov rsi, rsp
    lea rdi, [rsp + STACK_ALIAS_OFFSET]
    mov ecx, FRAME_SIZE / 8
    rep movsq
    charge FLUSH_CR3_TICKS
    test r9d, CROSS_DATA_FLUSH
    jz .flushed
    data_flush
.flushed:
enter_root:
    load_root r8
    mov byte [gs:CPU_SPACE], SPACE_RESTRICTED
enter_root_noted:
    jmp r11

; Loads a root (or the same again, to flush the TLB) without leaving the stack: both map it alike. In: rdi = root.
transition_load:
    load_root rdi
    charge FLUSH_CR3_TICKS
    ret

; To another thread. In: rdi = struct thread from, rsi = to, rdx = root to load or 0, ecx = CROSS_* flags; with
; CROSS_MESSAGE, r8 = the user's frame of `from`: label and words of a message cross from it into the frame of `to`, in
; registers alone. Returns when `from` runs again.
context_switch:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [rdi + THREAD_STACK_POINTER], rsp
    mov r12, rsi
    mov r14d, ecx
    test ecx, CROSS_MESSAGE
    jz .taken
    mov ebx, [r8 + FRAME_RSI]
    mov rbp, [r8 + FRAME_RDX]
    mov r15, [r8 + FRAME_R10]
    mov r9, [r8 + FRAME_R8]
.taken:
    test rdx, rdx
    jz on_stack
    mov r13, rdx
    test r14d, CROSS_CONTROL_FLUSH
    jz .control_done
    call control_flush
.control_done:
    test r14d, CROSS_DATA_FLUSH
    jz .data_done
    data_flush
.data_done:
    charge FLUSH_CR3_TICKS
resume_in_root:
    ; r12 = thread, r13 = root, r14d = flags; no stack from here to the load of rsp.
switch_root:
    load_root r13
    test r14d, CROSS_UNRESTRICTED
    setnz [gs:CPU_SPACE]
switch_root_noted:
on_stack:
    mov rsp, [r12 + THREAD_STACK_POINTER]
    test r14d, CROSS_MESSAGE
    jz .delivered
    mov rax, [r12 + THREAD_STACK_TOP]
    sub rax, FRAME_SIZE
    mov [rax + FRAME_RSI], rbx
    mov [rax + FRAME_RDX], rbp
    mov [rax + FRAME_R10], r15
    mov [rax + FRAME_R8], r9
.delivered:
    xor eax, eax                        ; RESIDUE: nothing of `from` stays in a register
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

; Like context_switch, from a thread that will never run again: its stack is cleared first (CLEAN, RESIDUE).
; In: rdi = thread to, rsi = root to load or 0, edx = CROSS_* flags, rcx = lowest address of the stack.
context_die:
    mov r12, rdi
    mov r13, rsi
    mov r14d, edx
    mov r15, rcx
    test r14d, CROSS_CONTROL_FLUSH
    jz .control_done
    call control_flush
.control_done:
    charge FLUSH_CR3_TICKS
    xor eax, eax
%ifndef MUTANT_stack_left_dirty
    mov rdi, r15
    mov ecx, STACK_SIZE / 8
    rep stosq
%endif
    test r14d, CROSS_SCRUB_ALIAS
    jz .scrubbed
    lea rdi, [r15 + STACK_ALIAS_OFFSET]
    mov ecx, STACK_SIZE / 8
    rep stosq
.scrubbed:
    ; FLUSH-DATA: last, for writing to the stack's lines brings in what they hold. No stack from here on.
    test r14d, CROSS_DATA_FLUSH
    jz .data_done
    data_flush
.data_done:
    test r13, r13
    jnz resume_in_root
    jmp on_stack
