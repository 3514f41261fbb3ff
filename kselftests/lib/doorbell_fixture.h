/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixture that most cases run in: a VM with one vCPU, an eventfd, and a
 * watch over the kernel's log. A program says with DOORBELL_VARIANT() on which
 * bus and through which interface its cases run. The harness binds a fixture to
 * one translation unit, so include this once for each program.
 */
#ifndef KSELFTESTS_DOORBELL_FIXTURE_H
#define KSELFTESTS_DOORBELL_FIXTURE_H

#include "expect.h"

FIXTURE(doorbell) {
	const struct doorbell_api *api;
	enum guest_bus bus;
	uint64_t base;		/* in mid-page on @bus, with nothing around it */
	uint32_t max_len;	/* the widest access that @bus has */
	struct vm vm;
	struct vcpu vcpu;
	struct kmsg_watch kmsg;
	int fd;
};

FIXTURE_VARIANT(doorbell) {
	const struct doorbell_api *api;
	enum guest_bus bus;
};

#define DOORBELL_VARIANT(name, _api, _bus)				\
	FIXTURE_VARIANT_ADD(doorbell, name) {				\
		.api = &(_api), .bus = (_bus),				\
	}

/* For a program that one bus is enough for */
#ifdef __x86_64__
#define ONE_BUS	BUS_PIO
#else
#define ONE_BUS	BUS_MMIO
#endif

FIXTURE_SETUP(doorbell)
{
	const struct guest_io write = any_write(variant->bus);
	int ret;

	ASSERT_RET(0, kmsg_start(&self->kmsg));
	if (guest_cannot(&write))
		SKIP_FIXTURE("%s", guest_cannot(&write));
	ret = vm_init(&self->vm);
	if (ret < 0)
		SKIP_FIXTURE(NO_KVM ": %s", result_name(ret));
	SKIP_FIXTURE_WITHOUT(&self->vm, variant->api->cap, variant->api->request,
			     variant->api->cap_name);

	self->api = variant->api;
	self->bus = variant->bus;
	self->base = variant->bus == BUS_PIO ? 0xb400 : 0xe0000400;
	self->max_len = variant->bus == BUS_PIO ? 4 : 8;
	ASSERT_RET(0, vcpu_init(&self->vcpu, &self->vm, 0));
	ASSERT_FD(self->fd, efd_create(0));
}

FIXTURE_TEARDOWN(doorbell)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	close(self->fd);
	EXPECT_SILENCE(&self->kmsg);
	kmsg_stop(&self->kmsg);
}

/* A registration @offset above the base, for any data */
static inline struct doorbell any_data(const FIXTURE_DATA(doorbell) *self,
				       uint64_t offset, uint32_t len, int fd)
{
	return (struct doorbell){
		.bus = self->bus, .addr = self->base + offset, .len = len,
		.fd = fd,
	};
}

/* ... and one for @data alone */
static inline struct doorbell only_data(const FIXTURE_DATA(doorbell) *self,
					uint64_t offset, uint32_t len,
					uint64_t data, int fd)
{
	return (struct doorbell){
		.bus = self->bus, .addr = self->base + offset, .len = len,
		.match = true, .datamatch = data, .fd = fd,
	};
}

static inline struct guest_io write_at(const FIXTURE_DATA(doorbell) *self,
				       uint64_t offset, uint32_t len,
				       uint64_t data)
{
	return (struct guest_io){
		.op = GUEST_WRITE, .bus = self->bus,
		.addr = self->base + offset, .len = len, .data = data,
	};
}

static inline int assign(const FIXTURE_DATA(doorbell) *self,
			 struct doorbell bell)
{
	return doorbell_assign(self->api, self->vm.fd, &bell);
}

static inline int deassign(const FIXTURE_DATA(doorbell) *self,
			   struct doorbell bell)
{
	return doorbell_deassign(self->api, self->vm.fd, &bell);
}

#endif /* KSELFTESTS_DOORBELL_FIXTURE_H */
