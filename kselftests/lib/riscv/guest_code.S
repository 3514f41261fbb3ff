/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's whole program: one loop for each kind of access. It is copied to
 * GUEST_CODE_GPA, so it must not depend on where it runs.
 *
 * In:  a0 data, a1 added to a0 after every access, a2 how many accesses, a3
 *      memory address, a4 GUEST_DONE_PORT, a5 GUEST_DATA_GPA.
 * Out: a0 as the last access left it; then one byte to GUEST_DONE_PORT.
 */
	.section .rodata
	.balign	16

	.globl	guest_code
guest_code:

	/* ACCESS: one loop around one instruction */
	.macro	ACCESS name:req, insn:vararg
	.balign	4
	.globl	\name
\name:	\insn
	add	a0, a0, a1
	addi	a2, a2, -1
	bnez	a2, \name
	j	done
	.endm

	ACCESS	guest_nothing
	ACCESS	guest_store1, sb a0, 0(a3)
	ACCESS	guest_store2, sh a0, 0(a3)
	ACCESS	guest_store4, sw a0, 0(a3)
	ACCESS	guest_store8, sd a0, 0(a3)
	ACCESS	guest_load1, lbu a0, 0(a3)
	ACCESS	guest_load2, lhu a0, 0(a3)
	ACCESS	guest_load4, lwu a0, 0(a3)
	ACCESS	guest_load8, ld a0, 0(a3)

	.balign	4
	.globl	guest_store4_wait
guest_store4_wait:
	addw	a0, a0, a1
	sw	a0, 0(a3)
1:	lw	a6, 0(a5)
	bne	a6, a0, 1b
	addi	a2, a2, -1
	bnez	a2, guest_store4_wait

done:	sb	a0, 0(a4)
	ebreak			/* nobody runs the vCPU past its end */

	.globl	guest_code_end
guest_code_end:

	.section .note.GNU-stack, "", %progbits
