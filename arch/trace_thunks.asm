; Ways into twins of asi/trace_points.c for functions that are also called from the file that they are in.
;
; There the compiler knows which registers the function leaves alone, and keeps values in them that it would have to
; save elsewhere (-fipa-ra). A twin may change what any function may; so these save it all for the twin. With trace=on
; only; any space; on the thread's stack, as what C saves there.

section .text.copy progbits alloc exec nowrite align=16 ; an exit from here is its caller's (arch/traps.c)

struc saved
    .rax resq 1
    .rcx resq 1
    .rdx resq 1
    .rsi resq 1
    .rdi resq 1
    .r8 resq 1
    .r9 resq 1
    .r10 resq 1
    .r11 resq 1
    .aligned resq 1
endstruc

; thunk NAME, RESULT: traced_NAME calls twin_NAME; with RESULT 1 that one's rax is returned, with 0 rax stays as it was.
%macro thunk 2
    global traced_%1
    extern twin_%1
traced_%1:
    push rbp
    mov rbp, rsp
    sub rsp, saved_size
    mov [rsp + saved.rax], rax
    mov [rsp + saved.rcx], rcx
    mov [rsp + saved.rdx], rdx
    mov [rsp + saved.rsi], rsi
    mov [rsp + saved.rdi], rdi
    mov [rsp + saved.r8], r8
    mov [rsp + saved.r9], r9
    mov [rsp + saved.r10], r10
    mov [rsp + saved.r11], r11
    call twin_%1
%if %2 == 0
    mov rax, [rsp + saved.rax]
%endif
    mov rcx, [rsp + saved.rcx]
    mov rdx, [rsp + saved.rdx]
    mov rsi, [rsp + saved.rsi]
    mov rdi, [rsp + saved.rdi]
    mov r8, [rsp + saved.r8]
    mov r9, [rsp + saved.r9]
    mov r10, [rsp + saved.r10]
    mov r11, [rsp + saved.r11]
    leave
    ret
%endmacro

thunk asi_leave, 0
thunk ephmap_scratch, 1
thunk ephmap_scratch_put, 0
thunk ephmap_scrub, 0
