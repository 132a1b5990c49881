; Copies between kernel and user memory. A fault inside goes to the landing named in the exception table: the copy stops
; and says how much is left. Runs in either space; SMAP is open for the copy only.

%include "offsets.inc"
%include "arch/transition.inc"

global user_copy, user_clear, user_load32_raw, user_cmpxchg32_raw, memory_scan

; extable FIRST, LAST, LANDING: a fault at an address in [FIRST, LAST) continues at LANDING.
%macro extable 3
    [section .extable progbits alloc noexec nowrite align=8]
    dq %1, %2, %3
    __?SECT?__
%endmacro

section .text.copy progbits alloc exec nowrite align=16 ; an exit from here is its caller's (arch/traps.c)

; In: rdi = to, rsi = from, rdx = bytes; either side may be user memory. Out: rax = bytes not copied.
user_copy:
    smap_site SMAP_STAC
    mov rcx, rdx
    shr rcx, 3
    and edx, 7
.words:
    rep movsq
    mov ecx, edx
.bytes:
    rep movsb
.done:
    mov eax, ecx
    smap_site SMAP_CLAC
    ret
.words_fault:                           ; rcx words left: let the byte copy find the exact end
    lea rcx, [rdx + rcx * 8]
.retry_bytes:
    rep movsb
.retry_done:
    mov rax, rcx
    smap_site SMAP_CLAC
    ret
    extable user_copy.words, user_copy.bytes, user_copy.words_fault
    extable user_copy.bytes, user_copy.done, user_copy.retry_done
    extable user_copy.retry_bytes, user_copy.retry_done, user_copy.retry_done

; In: rdi = to, rsi = bytes. Out: rax = bytes not cleared.
user_clear:
    smap_site SMAP_STAC
    xor eax, eax
    mov rcx, rsi
    shr rcx, 3
    and esi, 7
.words:
    rep stosq
    mov ecx, esi
.bytes:
    rep stosb
.done:
    mov rax, rcx
    smap_site SMAP_CLAC
    ret
.words_fault:
    lea rcx, [rsi + rcx * 8]
    mov rax, rcx
    smap_site SMAP_CLAC
    ret
    extable user_clear.words, user_clear.bytes, user_clear.words_fault
    extable user_clear.bytes, user_clear.done, user_clear.done

section .text progbits alloc exec nowrite align=16

; In: rdi = user address, rsi = where to store. Out: eax = 0, or 1 on a fault.
user_load32_raw:
    smap_site SMAP_STAC
.load:
    mov eax, [rdi]
.loaded:
    smap_site SMAP_CLAC
    mov [rsi], eax
    xor eax, eax
    ret
.fault:
    smap_site SMAP_CLAC
    mov eax, 1
    ret
    extable user_load32_raw.load, user_load32_raw.loaded, user_load32_raw.fault

; In: rdi = user address, esi = expected, edx = desired, rcx = where to store the old value. Out: eax = 0, or 1 on a
; fault.
user_cmpxchg32_raw:
    smap_site SMAP_STAC
    mov eax, esi
.exchange:
    lock cmpxchg [rdi], edx
.exchanged:
    smap_site SMAP_CLAC
    mov [rcx], eax
    xor eax, eax
    ret
.fault:
    smap_site SMAP_CLAC
    mov eax, 1
    ret
    extable user_cmpxchg32_raw.exchange, user_cmpxchg32_raw.exchanged, user_cmpxchg32_raw.fault

; Looks for a word of 8 bytes at each of rsi addresses from rdi on, in either half. In: rdx = the word with the mask rcx
; over it: in plain it is in no register, unless it is found. r8 = where the first address is stored.
; Out: rax = how many.
memory_scan:
    smap_site SMAP_STAC
    xor eax, eax
.next:
    mov r9, [rdi]
.loaded:
    xor r9, rcx
    cmp r9, rdx
    je .match
.on:
    inc rdi
    dec rsi
    jnz .next
.done:
    xor r9d, r9d
    smap_site SMAP_CLAC
    ret
.match:
    test rax, rax
    jnz .counted
    mov [r8], rdi
.counted:
    inc rax
    jmp .on
    extable memory_scan.next, memory_scan.loaded, memory_scan.done
