// SPDX-License-Identifier: GPL-2.0-only
/* Passes one case and dies in the second one, outside any child. */
#include <stdio.h>

int main(void)
{
	volatile int *nowhere = (int *)0x8;

	printf("TAP version 13\n1..2\nok 1 before\n");
	fflush(stdout);
	*nowhere = 1;
	printf("ok 2 after\n");
	return 0;
}
