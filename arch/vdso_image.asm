; The vDSO as it was linked (arch/vdso/), for kernel/vdso.c to copy into the pages that processes map.
;
; Constants: GLOBAL, never written.
bits 64

section .rodata
global vdso_image, vdso_image_end
align 16
vdso_image:
    incbin "vdso.so"
vdso_image_end:
