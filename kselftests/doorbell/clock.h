/* SPDX-License-Identifier: GPL-2.0-only */
/* The processor's counter as a clock of instructions, or of time. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <x86intrin.h>

/* One clock for everybody: the guest of a QEMU in this guest has it, too */
static inline uint64_t now(void)
{
	return __rdtsc();
}

/* Print "clock NAME UNITS-PER-TICK", after a tenth of a second with @wall */
void print_clock(bool wall);

#endif /* BENCH_CLOCK_H */
