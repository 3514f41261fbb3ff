/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's whole program: one loop for each kind of access. It is copied to
 * GUEST_CODE_GPA, so it must not depend on where it runs.
 *
 * In:  %rax data, %rbx added to %rax after every access, %rcx how many accesses,
 *      %rdx port, %rdi memory address, %rsi upper half of a 16-byte store,
 *      number of a hypercall, or where "rep outs" reads from; %rdi where
 *      "rep ins" writes to.
 * Out: %rax as the last access left it; then one byte to GUEST_DONE_PORT. Not
 *      HLT: with an in-kernel irqchip that would wait inside KVM.
 */
#include "guest_layout.h"

	.section .rodata
	.balign	16

	.globl	guest_code
guest_code:

	/* ACCESS: one loop around one instruction */
	.macro	ACCESS name:req, insn:vararg
	.globl	\name
\name:	\insn
	add	%rbx, %rax
	dec	%rcx
	jnz	\name
	jmp	done
	.endm

	/* REPEAT: the processor's own loop over %rcx */
	.macro	REPEAT name:req, insn:vararg
	.globl	\name
\name:	cld
	\insn
	jmp	done
	.endm

	/*
	 * HYPERCALL: number from %rsi, arguments the address and the data. Which
	 * registers a hypervisor looks at is its own affair, see vm.h.
	 */
	.macro	HYPERCALL name:req, insn:vararg
	.globl	\name
\name:	mov	%rcx, %r8
	mov	%rbx, %r9
	mov	%rdx, %rbx
	mov	%rax, %rcx
1:	mov	%rsi, %rax
	\insn
	add	%r9, %rcx
	dec	%r8
	jnz	1b
	jmp	done
	.endm

	/* HYPERCALL32: the same once, for a code segment of 32 bits */
	.macro	HYPERCALL32 name:req, insn:vararg
	.globl	\name
	.code32
\name:	mov	%edx, %ebx
	mov	%eax, %ecx
	mov	%esi, %eax
	\insn
	jmp	done		/* which is the same code in 32 bits */
	.code64
	.endm

	HYPERCALL guest_vmcall, vmcall
	HYPERCALL guest_vmmcall, vmmcall
	HYPERCALL guest_no_call
	HYPERCALL32 guest_vmcall32, vmcall
	HYPERCALL32 guest_vmmcall32, vmmcall
	ACCESS	guest_nothing
	ACCESS	guest_out1, outb %al, %dx
	ACCESS	guest_out2, outw %ax, %dx
	ACCESS	guest_out4, outl %eax, %dx
	ACCESS	guest_in1, inb %dx, %al
	ACCESS	guest_in2, inw %dx, %ax
	ACCESS	guest_in4, inl %dx, %eax
	ACCESS	guest_store1, movb %al, (%rdi)
	ACCESS	guest_store2, movw %ax, (%rdi)
	ACCESS	guest_store4, movl %eax, (%rdi)
	ACCESS	guest_store8, movq %rax, (%rdi)
	ACCESS	guest_load1, movb (%rdi), %al
	ACCESS	guest_load2, movw (%rdi), %ax
	ACCESS	guest_load4, movl (%rdi), %eax
	ACCESS	guest_load8, movq (%rdi), %rax
	REPEAT	guest_outs1, rep outsb
	REPEAT	guest_outs2, rep outsw
	REPEAT	guest_outs4, rep outsl
	REPEAT	guest_ins1, rep insb
	REPEAT	guest_ins2, rep insw
	REPEAT	guest_ins4, rep insl

	.globl	guest_store16
guest_store16:
	movq	%rax, %xmm0
	movq	%rsi, %xmm1
	punpcklqdq %xmm1, %xmm0
	movups	%xmm0, (%rdi)
	dec	%rcx
	jnz	guest_store16
	jmp	done

	.globl	guest_out4_wait
guest_out4_wait:
	add	%rbx, %rax
	outl	%eax, %dx
1:	cmpl	%eax, GUEST_DATA_GPA
	je	2f
	pause
	jmp	1b
2:	dec	%rcx
	jnz	guest_out4_wait

done:	movw	$GUEST_DONE_PORT, %dx
	outb	%al, %dx
	ud2			/* nobody runs the vCPU past its end */

	.globl	guest_code_end
guest_code_end:

	.section .note.GNU-stack, "", @progbits
