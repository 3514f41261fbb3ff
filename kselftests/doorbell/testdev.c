// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings QEMU's pci-testdev (docs/specs/pci-testdev.txt there) from a bare machine,
 * and prints one line for each batch, as doorbell_bench does. There is no libc, no
 * memory but the stack, and no user space of ours: it is QEMU that answers.
 */
#include <stdbool.h>
#include <stdint.h>

#define DEBUG_PORT	0xe9		/* -device isa-debugcon */
#define EXIT_PORT	0x501		/* -device isa-debug-exit */
#define EXIT_GOOD	16		/* makes 33 of it */
#define EXIT_BAD	17

#define PCI_ADDRESS	0xcf8
#define PCI_DATA	0xcfc
#define TESTDEV_ID	0x00051b36
#define BAR_MMIO	0xe0000000
#define BAR_PIO		0xc000

/* The header at the start of either region */
#define HDR_TEST	0
#define HDR_OFFSET	4
#define HDR_DATA	8
#define HDR_COUNT	12

#define RINGS		16
#define ROUNDS		15
#define WARM_UP		2

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t now(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low;
}

static void print(const char *text)
{
	while (*text)
		outb(DEBUG_PORT, *text++);
}

static void print_number(uint32_t number)
{
	char digits[11], *p = digits + 10;

	*p = 0;
	do {
		*--p = '0' + number % 10;
		number /= 10;
	} while (number);
	print(p);
}

static uint32_t pci_read(uint32_t slot, uint32_t reg)
{
	outl(PCI_ADDRESS, 1u << 31 | slot << 11 | reg);
	return inl(PCI_DATA);
}

static void pci_write(uint32_t slot, uint32_t reg, uint32_t value)
{
	outl(PCI_ADDRESS, 1u << 31 | slot << 11 | reg);
	outl(PCI_DATA, value);
}

/* What firmware does for a device: give its regions a place and turn them on */
static bool find_testdev(void)
{
	uint32_t slot;

	for (slot = 0; slot < 32; slot++) {
		if (pci_read(slot, 0) != TESTDEV_ID)
			continue;
		pci_write(slot, 0x10, BAR_MMIO);
		pci_write(slot, 0x14, BAR_PIO);
		pci_write(slot, 0x04, 3);
		return true;
	}
	return false;
}

static uint8_t testdev_read(bool mmio, uint32_t offset)
{
	if (mmio)
		return *(volatile uint8_t *)(BAR_MMIO + offset);
	return inb(BAR_PIO + offset);
}

static uint32_t testdev_read_long(bool mmio, uint32_t offset)
{
	uint32_t value = 0;
	int i;

	/* It answers bytes only */
	for (i = 3; i >= 0; i--)
		value = value << 8 | testdev_read(mmio, offset + i);
	return value;
}

static void select(bool mmio, uint8_t test)
{
	if (mmio)
		*(volatile uint8_t *)(BAR_MMIO + HDR_TEST) = test;
	else
		outb(BAR_PIO + HDR_TEST, test);
}

static uint32_t time_idle(void)
{
	uint32_t count = RINGS, begin = now();

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(count));
	return now() - begin;
}

static uint32_t time_rings(bool mmio, uint32_t offset, uint8_t data)
{
	uint32_t count = RINGS, begin = now();

	if (mmio)
		__asm__ volatile("1: movb %b1, (%2); dec %0; jnz 1b"
				 : "+r"(count)
				 : "q"(data), "r"(BAR_MMIO + offset) : "memory");
	else
		__asm__ volatile("1: outb %b1, %w2; dec %0; jnz 1b"
				 : "+r"(count)
				 : "a"(data), "d"(BAR_PIO + offset));
	return now() - begin;
}

static const char *const ways[] = { "none", "any", "match" };

/* Whether the device counted what it should: all, or with an eventfd nothing */
static bool ring(bool mmio, uint8_t test, bool show)
{
	uint32_t offset, before, ticks, idle, count;
	uint8_t data;

	select(mmio, test);
	offset = testdev_read_long(mmio, HDR_OFFSET);
	data = testdev_read(mmio, HDR_DATA);
	before = testdev_read_long(mmio, HDR_COUNT);
	idle = time_idle();
	ticks = time_rings(mmio, offset, data);
	count = testdev_read_long(mmio, HDR_COUNT) - before;
	if (show) {
		print(mmio ? "sample qemu-mmio/" : "sample qemu-pio/");
		print(ways[test]);
		print(" ");
		print_number(RINGS);
		print(" ");
		print_number(ticks);
		print(" ");
		print_number(idle);
		print("\n");
	}
	return count == (test ? 0 : RINGS);
}

void testdev_main(void);
void testdev_main(void)
{
	int round, test;

	if (!find_testdev()) {
		print("fail qemu-pio/none no-pci-testdev\n");
		outb(EXIT_PORT, EXIT_BAD);
	}
	for (round = -WARM_UP; round < ROUNDS; round++) {
		for (test = 0; test < 6; test++) {
			if (ring(test & 1, test / 2, round >= 0))
				continue;
			print(test & 1 ? "fail qemu-mmio/" : "fail qemu-pio/");
			print(ways[test / 2]);
			print(" EBADMSG\n");
			outb(EXIT_PORT, EXIT_BAD);
		}
	}
	outb(EXIT_PORT, EXIT_GOOD);
}
