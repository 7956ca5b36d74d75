@ What the compiler calls to copy and to fill memory, and to divide 64 bits, as loops. Its own are unrolled, which takes 3 KiB
@ of flash; they give way to these. A signer spends its time in multiplications.

    .syntax unified
    .thumb

@ void __aeabi_memcpy(r0: to, r1: from, r2: bytes). Words where both places are aligned, then bytes.
    .section .text.__aeabi_memcpy, "ax", %progbits
    .global __aeabi_memcpy, __aeabi_memcpy4, __aeabi_memcpy8
    .type __aeabi_memcpy, %function
    .type __aeabi_memcpy4, %function
    .type __aeabi_memcpy8, %function
__aeabi_memcpy:
__aeabi_memcpy4:
__aeabi_memcpy8:
    orr r3, r0, r1
    lsls r3, r3, #30
    bne 2f
1:  subs r2, #4
    ittt hs
    ldrhs r3, [r1], #4
    strhs r3, [r0], #4
    bhs 1b
    adds r2, #4
2:  subs r2, #1
    ittt hs
    ldrbhs r3, [r1], #1
    strbhs r3, [r0], #1
    bhs 2b
    bx lr

@ void __aeabi_memclr(r0: to, r1: bytes), and __aeabi_memset(r0: to, r1: bytes, r2: value).
    .section .text.__aeabi_memset, "ax", %progbits
    .global __aeabi_memclr, __aeabi_memclr4, __aeabi_memclr8
    .global __aeabi_memset, __aeabi_memset4, __aeabi_memset8
    .type __aeabi_memclr, %function
    .type __aeabi_memclr4, %function
    .type __aeabi_memclr8, %function
    .type __aeabi_memset, %function
    .type __aeabi_memset4, %function
    .type __aeabi_memset8, %function
__aeabi_memclr:
__aeabi_memclr4:
__aeabi_memclr8:
    movs r2, #0
__aeabi_memset:
__aeabi_memset4:
__aeabi_memset8:
1:  subs r1, #1
    itt hs
    strbhs r2, [r0], #1
    bhs 1b
    bx lr

@ (r1:r0: quotient, r3:r2: remainder) __aeabi_uldivmod(r1:r0: dividend, r3:r2: divisor), bit by bit: the dividend goes out at the
@ top of r1:r0 and into the remainder, r5:r4, as the quotient comes in at the bottom.
    .section .text.__aeabi_uldivmod, "ax", %progbits
    .global __aeabi_uldivmod
    .type __aeabi_uldivmod, %function
__aeabi_uldivmod:
    push {r4, r5, r6, lr}
    movs r4, #0
    movs r5, #0
    movs r6, #64
1:  adds r0, r0, r0
    adcs r1, r1, r1
    adcs r4, r4, r4
    adcs r5, r5, r5
    bcs 2f                      @ 65 bits are more than any divisor
    cmp r5, r3
    it eq
    cmpeq r4, r2
    blo 3f
2:  subs r4, r4, r2
    sbc r5, r5, r3
    adds r0, r0, #1
3:  subs r6, r6, #1
    bne 1b
    mov r2, r4
    mov r3, r5
    pop {r4, r5, r6, pc}
