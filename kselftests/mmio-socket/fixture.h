/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most cases run in: a VM with one vCPU, a pair of sockets, and a watch over
 * the kernel's log. A program says with SOCKET_VARIANT() on which bus and with
 * what kind of socket its cases run. Include this once for each program.
 */
#ifndef MMIO_SOCKET_FIXTURE_H
#define MMIO_SOCKET_FIXTURE_H

#include <sys/socket.h>

#include "expect.h"
#include "peer.h"
#include "run.h"

#define FAILED	KVM_RUN_X86_SOCKET_FAILED
#define ASKED	KVM_RUN_X86_SOCKET_ASKED

#define SIZE	0x100		/* of the region that most cases have */
#define TAG	0x7a6700000001ull

FIXTURE(mmio_socket) {
	enum guest_bus bus;
	int type;
	uint64_t base;		/* in mid-page on @bus, with nothing around it */
	uint32_t max_len;	/* the widest access that @bus has */
	struct vm vm;
	struct vcpu vcpu;
	struct run run;		/* of @vcpu */
	struct kmsg_watch kmsg;
	int sock;		/* KVM's end */
	int peer;
};

FIXTURE_VARIANT(mmio_socket) {
	int type;
	enum guest_bus bus;
};

#define SOCKET_VARIANT(name, _type, _bus)				\
	FIXTURE_VARIANT_ADD(mmio_socket, name) {			\
		.type = (_type), .bus = (_bus),				\
	}

#define EVERY_SOCKET_VARIANT()						\
	SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);		\
	SOCKET_VARIANT(stream_pio, SOCK_STREAM, BUS_PIO);		\
	SOCKET_VARIANT(seqpacket_mmio, SOCK_SEQPACKET, BUS_MMIO);	\
	SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO)

FIXTURE_SETUP(mmio_socket)
{
	int ret, socks[2];

	ASSERT_RET(0, kmsg_start(&self->kmsg));
	ret = vm_init(&self->vm);
	if (ret < 0)
		SKIP_FIXTURE(NO_KVM ": %s", result_name(ret));
	SKIP_FIXTURE_WITHOUT(&self->vm, KVM_CAP_MMIO_SOCKET, KVM_MMIO_SOCKET,
			     "KVM_CAP_MMIO_SOCKET");

	self->type = variant->type;
	self->bus = variant->bus;
	self->base = variant->bus == BUS_PIO ? 0xb400 : 0xe0000400;
	self->max_len = variant->bus == BUS_PIO ? 4 : 8;
	ASSERT_RET(0, vcpu_init(&self->vcpu, &self->vm, 0));
	ASSERT_EQ(0, socketpair(AF_UNIX, variant->type | SOCK_CLOEXEC, 0, socks));
	self->sock = socks[0];
	self->peer = socks[1];
	/* kvm_arch_vcpu_create() says this on a host without a stable TSC */
	kmsg_announce(&self->kmsg, "SMP vm created on host with unstable TSC");
}

FIXTURE_TEARDOWN(mmio_socket)
{
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	close(self->sock);
	close(self->peer);
	EXPECT_SILENCE(&self->kmsg);
	kmsg_stop(&self->kmsg);
}

static inline struct region a_region(const FIXTURE_DATA(mmio_socket) *self)
{
	return (struct region){
		.bus = self->bus, .addr = self->base, .size = SIZE, .tag = TAG,
		.fd = self->sock,
	};
}

static inline struct guest_io read_at(const FIXTURE_DATA(mmio_socket) *self,
				      uint64_t offset, uint32_t len)
{
	return (struct guest_io){
		.op = GUEST_READ, .bus = self->bus,
		.addr = self->base + offset, .len = len,
		.data = 0xbadbadbadbadbadb,
	};
}

static inline struct guest_io write_at(const FIXTURE_DATA(mmio_socket) *self,
				       uint64_t offset, uint32_t len,
				       uint64_t data)
{
	return (struct guest_io){
		.op = GUEST_WRITE, .bus = self->bus,
		.addr = self->base + offset, .len = len, .data = data,
	};
}

static inline uint64_t low_bytes(uint64_t value, uint32_t len)
{
	return len < 8 ? value & ((1ull << (8 * len)) - 1) : value;
}

/* The next request is that for @io, made in a region with TAG */
#define EXPECT_REQUEST(sock, request, io)				\
	do {								\
		const struct guest_io _io = (io);			\
		const struct kvm_mmio_socket_request *_r = (request);	\
									\
		EXPECT_RET(0, peer_receive(sock, request, PATIENCE));	\
		EXPECT_EQ(TAG, _r->tag);				\
		EXPECT_EQ(_io.addr, _r->addr);				\
		EXPECT_EQ(_io.len, _r->len);				\
		EXPECT_EQ(_io.op != GUEST_READ,				\
			  !!(_r->flags & KVM_MMIO_SOCKET_REQUEST_WRITE)); \
		EXPECT_EQ(_io.bus == BUS_PIO,				\
			  !!(_r->flags & KVM_MMIO_SOCKET_REQUEST_PIO));	\
		EXPECT_EQ(_io.op == GUEST_READ ? 0 :			\
			  low_bytes(_io.data, _io.len),			\
			  request_data(_r));				\
	} while (0)

/* ... and nothing else has been sent */
#define EXPECT_NO_REQUEST(sock)						\
	do {								\
		struct kvm_mmio_socket_request _unwanted;		\
									\
		EXPECT_RET(-ETIMEDOUT, peer_receive(sock, &_unwanted, 0)); \
	} while (0)

/* A region, and a vCPU that asks for @io, and waits for the answer to @request */
static inline void begin(struct __test_metadata *_metadata,
			 FIXTURE_DATA(mmio_socket) *self, struct guest_io io,
			 struct kvm_mmio_socket_request *request)
{
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, request, io);
}

/* The run has come to its end, and the guest has made @want exits */
#define EXPECT_DONE(run, want)						\
	do {								\
		EXPECT_RET(GUEST_DONE, run_end(run));			\
		EXPECT_EQ(want, (run)->nr_exits)			\
			TH_LOG("first exit: %s",			\
			       exit_name(&(run)->exits[0]));		\
	} while (0)

/* Exit @i of the run is that for @io, with @want of the socket's flags */
#define EXPECT_EXIT_FLAGS(run, i, _for, want)				\
	do {								\
		const struct guest_io _io = (_for);			\
									\
		EXPECT_LT(i, (run)->nr_exits);				\
		EXPECT_TRUE(exit_matches(&(run)->exits[i], &_io))	\
			TH_LOG("wanted %s, got %s", io_name(&_io),	\
			       exit_name(&(run)->exits[i]));		\
		EXPECT_EQ(want, (run)->flags[i] & (FAILED | ASKED));	\
	} while (0)

#endif /* MMIO_SOCKET_FIXTURE_H */
