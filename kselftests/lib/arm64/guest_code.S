/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's whole program: one loop for each kind of access. It is copied to
 * GUEST_CODE_GPA, so it must not depend on where it runs.
 *
 * In:  x0 data, x1 added to x0 after every access, x2 how many accesses, x3
 *      memory address, x4 GUEST_DONE_PORT, x5 GUEST_DATA_GPA.
 * Out: x0 as the last access left it; then one byte to GUEST_DONE_PORT.
 *
 * One register and no write-back: only for such an access does the processor
 * tell KVM what it was (ESR_EL2.ISV).
 */
	.section .rodata
	.balign	16

	.globl	guest_code
guest_code:

	/* ACCESS: one loop around one instruction */
	.macro	ACCESS name:req, insn:vararg
	.globl	\name
\name:	\insn
	add	x0, x0, x1
	subs	x2, x2, #1
	b.ne	\name
	b	done
	.endm

	ACCESS	guest_nothing
	ACCESS	guest_store1, strb w0, [x3]
	ACCESS	guest_store2, strh w0, [x3]
	ACCESS	guest_store4, str w0, [x3]
	ACCESS	guest_store8, str x0, [x3]
	ACCESS	guest_load1, ldrb w0, [x3]
	ACCESS	guest_load2, ldrh w0, [x3]
	ACCESS	guest_load4, ldr w0, [x3]
	ACCESS	guest_load8, ldr x0, [x3]

	.globl	guest_store4_wait
guest_store4_wait:
	add	w0, w0, w1
	str	w0, [x3]
1:	ldr	w6, [x5]
	cmp	w6, w0
	b.ne	1b
	subs	x2, x2, #1
	b.ne	guest_store4_wait

done:	strb	w0, [x4]
	brk	#0		/* nobody runs the vCPU past its end */

	.globl	guest_code_end
guest_code_end:

	.section .note.GNU-stack, "", %progbits
