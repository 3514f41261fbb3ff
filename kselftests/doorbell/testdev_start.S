/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The firmware of a machine that does nothing but ring QEMU's pci-testdev: from
 * the reset vector into 32-bit code, and on to testdev_main(). It takes the place
 * of a BIOS, so nothing has to be booted.
 */
	.section .text.start, "ax"
	.globl	start
	.code16
start:	cli
	lgdtl	%cs:gdtr_offset	/* the segment starts where the ROM does */
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$8, $protected

	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x8000, %esp
	call	testdev_main
1:	hlt
	jmp	1b

	/* The accessed bits are set, for the processor could not set them in a ROM */
	.balign	8
gdt:	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
	.globl	gdtr
gdtr:	.word	. - gdt - 1
	.long	gdt

	.section .reset, "ax"
	.code16
	jmp	start
	.balign	16

	.section .note.GNU-stack, "", @progbits
