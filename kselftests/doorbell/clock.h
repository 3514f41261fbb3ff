/* SPDX-License-Identifier: GPL-2.0-only */
/* The processor's counter as a clock of instructions, or of time. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

/* One clock for everybody: the guest of a QEMU in this guest has it, too */
static inline uint64_t now(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks;

	/* Not before what comes before it (Arm ARM, "The Generic Timer") */
	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
	return ticks;
#elif defined(__riscv)
	uint64_t ticks;

	__asm__ volatile("rdtime %0" : "=r"(ticks) : : "memory");
	return ticks;
#endif
}

/* Print "clock NAME UNITS-PER-TICK", after a tenth of a second with @wall */
void print_clock(bool wall);

#endif /* BENCH_CLOCK_H */
