// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest's write costs, against how many devices are on the bus.
 *
 * No test: it prints nanoseconds, which mean something where the machine counts
 * instructions (QEMU's -icount). One line for each bus, number of devices and
 * whether the write hits one of them or exits: "pio 16 hit 2447.1".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "doorbell.h"
#include "eventfd_util.h"

#define STRIDE		8	/* from one device to the next */
#define LEN		4	/* so that the other half is free */
#define PLACES		16	/* spread over the bus: a search depends on where */
#define FEW		20
#define MANY		120

static void must(int ret, const char *what)
{
	if (ret < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-ret));
		exit(1);
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return 1e9 * time.tv_sec + time.tv_nsec;
}

/* How long the guest takes for @times writes, with what comes before and after */
static double duration(struct vcpu *vcpu, struct guest_io io, uint64_t times,
		       bool hit)
{
	double began = now();
	int exits;

	io.times = times;
	exits = guest_do(vcpu, &io, NULL, 0);
	must(exits, "KVM_RUN");
	if (exits != (hit ? 0 : (int)times)) {
		fprintf(stderr, "%d of %d writes exit\n", exits, (int)times);
		exit(1);
	}
	return now() - began;
}

static double one_write(struct vcpu *vcpu, enum guest_bus bus, uint64_t addr,
			bool hit)
{
	struct guest_io io = {
		.op = GUEST_WRITE, .bus = bus, .addr = addr, .len = LEN,
	};

	duration(vcpu, io, FEW, hit);
	return (duration(vcpu, io, MANY, hit) - duration(vcpu, io, FEW, hit)) /
	       (MANY - FEW);
}

static void measure(enum guest_bus bus, int devices)
{
	uint64_t base = bus == BUS_PIO ? 0x2000 : 0xe0000000;
	struct vcpu vcpu;
	struct vm vm;
	int fd, hit, i;

	fd = efd_create(0);
	must(fd, "eventfd");
	must(vm_init(&vm), "VM");
	must(vcpu_init(&vcpu, &vm, 0), "vCPU");
	for (i = 0; i < devices; i++) {
		struct doorbell bell = {
			.bus = bus, .addr = base + i * STRIDE, .len = LEN,
			.fd = fd,
		};

		must(doorbell_assign(&ioeventfd_api, vm.fd, &bell),
		     "KVM_IOEVENTFD");
	}

	for (hit = 1; hit >= 0; hit--) {
		double sum = 0;

		for (i = 0; i < PLACES; i++)
			sum += one_write(&vcpu, bus,
					 base + i * devices / PLACES * STRIDE +
					 (hit ? 0 : LEN), hit);
		printf("%s %d %s %.1f\n", bus == BUS_PIO ? "pio" : "mmio",
		       devices, hit ? "hit" : "miss", sum / PLACES);
	}
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	close(fd);
}

int main(void)
{
	static const int devices[] = { 1, 16, 256, 1000 };
	size_t i;

	for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		measure(BUS_PIO, devices[i]);
		measure(BUS_MMIO, devices[i]);
	}
	return 0;
}
