/* SPDX-License-Identifier: GPL-2.0-only */
/* The tiny guest's memory map; shared with assembler, so numbers only. */
#ifndef KSELFTESTS_GUEST_LAYOUT_H
#define KSELFTESTS_GUEST_LAYOUT_H

/*
 * RAM at 0: page tables, code, and a page of data for string instructions.
 * What lies above RAM and below 4 GiB is mapped one to one and has no memory
 * behind it, so an access to it is MMIO. arm64 needs one page of tables, riscv none.
 */
#define GUEST_PML4_GPA		0x1000
#define GUEST_PDPT_GPA		0x2000
#define GUEST_PD_GPA		0x3000	/* four pages, one for each GiB */
#define GUEST_BLOCKS_GPA	0x1000	/* arm64's: GiB by GiB */
#define GUEST_CODE_GPA		0x8000
#define GUEST_DATA_GPA		0x9000
#define GUEST_RAM_SIZE		0xa000

/* A number that is free as a port and, being above RAM, as an address */
#define GUEST_HOLE_GPA		0xe000

/* A byte written here says that the program has ended: a port, or an address */
#define GUEST_DONE_PORT		0xd09e

#endif /* KSELFTESTS_GUEST_LAYOUT_H */
