// SPDX-License-Identifier: GPL-2.0-only
/* What a tick of the processor's counter is, by another clock. */
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define CALIBRATION	10000		/* decrements, and as many jumps */
#define CALIBRATION_US	100000

/* Two instructions each time */
#if defined(__x86_64__)
#define COUNT_DOWN	"1: dec %0; jnz 1b"
#elif defined(__aarch64__)
#define COUNT_DOWN	"1: subs %0, %0, #1; b.ne 1b"
#elif defined(__riscv)
#define COUNT_DOWN	"1: addi %0, %0, -1; bnez %0, 1b"
#endif

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static double ns_per_tick(void)
{
	uint64_t ns = now_ns(), ticks = now();

	usleep(CALIBRATION_US);
	ticks = now() - ticks;
	return (double)(now_ns() - ns) / ticks;
}

/* The shortest of many tries, some of which the timer interrupts */
static uint64_t countdown_ticks(uint64_t from)
{
	uint64_t begin, ticks, count, best = UINT64_MAX;
	int i;

	for (i = 0; i < 100; i++) {
		count = from;
		begin = now();
		__asm__ volatile(COUNT_DOWN : "+r"(count) : : "cc");
		ticks = now() - begin;
		if (ticks < best)
			best = ticks;
	}
	return best;
}

/* By some instructions of which the number is known */
static double insns_per_tick(void)
{
	uint64_t once = countdown_ticks(CALIBRATION);

	return 2.0 * CALIBRATION / (countdown_ticks(2 * CALIBRATION) - once);
}

void print_clock(bool wall)
{
	printf("clock %s %.6f\n", wall ? "ns" : "insn",
	       wall ? ns_per_tick() : insns_per_tick());
}
