// SPDX-License-Identifier: GPL-2.0-only
/* Several vCPUs at one socket: each gets the answer to what it asked. */
#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(stream_pio, SOCK_STREAM, BUS_PIO);
SOCKET_VARIANT(seqpacket_mmio, SOCK_SEQPACKET, BUS_MMIO);

#define VCPUS	4
#define ROUNDS	50

struct many {
	struct vcpu vcpus[VCPUS];
	struct run runs[VCPUS];
};

static void start_all(struct __test_metadata *_metadata,
		      FIXTURE_DATA(mmio_socket) *self, struct many *many,
		      struct guest_io io, bool keep_going)
{
	int i;

	for (i = 0; i < VCPUS; i++) {
		ASSERT_RET(0, vcpu_init(&many->vcpus[i], &self->vm, i + 1));
	}
	for (i = 0; i < VCPUS; i++, io.addr += 8) {
		many->runs[i].keep_going = keep_going;
		ASSERT_RET(0, run_start(&many->runs[i], &many->vcpus[i], &io));
	}
}

static void destroy_all(struct many *many)
{
	int i;

	for (i = 0; i < VCPUS; i++)
		vcpu_destroy(&many->vcpus[i]);
}

/* All orders of four, each of which is asked for at an address of its own */
TEST_F(mmio_socket, out_of_order)
{
	static const int orders[][VCPUS] = {
		{ 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 3, 0, 2 }, { 2, 0, 3, 1 },
	};
	struct kvm_mmio_socket_request requests[VCPUS];
	struct region region = a_region(self);
	struct guest_io io = read_at(self, 0, 4);
	struct many many = {};
	size_t order;
	int i;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	start_all(_metadata, self, &many, io, false);
	for (order = 0; order < ARRAY_SIZE(orders); order++) {
		for (i = 0; order && i < VCPUS; i++) {
			ASSERT_RET(0, run_start(&many.runs[i], &many.vcpus[i],
						&many.runs[i].io));
		}
		for (i = 0; i < VCPUS; i++) {
			ASSERT_RET(0, peer_receive(self->peer, &requests[i],
						   PATIENCE));
		}
		for (i = 0; i < VCPUS; i++) {
			int j = orders[order][i];

			EXPECT_RET(0, peer_answer(self->peer, requests[j].cookie,
						  requests[j].addr + order));
		}
		for (i = 0; i < VCPUS; i++) {
			EXPECT_DONE(&many.runs[i], 0);
			EXPECT_EQ(self->base + 8 * i + order, many.runs[i].rax);
		}
	}
	destroy_all(&many);
}

/* The one that could receive goes; what it leaves is for the others */
TEST_F(mmio_socket, one_is_interrupted)
{
	struct kvm_mmio_socket_request requests[VCPUS];
	struct region region = a_region(self);
	struct many many = {};
	int i, j;

	ASSERT_RET(0, region_assign(&self->vm, &region));
	start_all(_metadata, self, &many, read_at(self, 0, 4), false);
	for (i = 0; i < VCPUS; i++) {
		ASSERT_RET(0, peer_receive(self->peer, &requests[i], PATIENCE));
	}
	for (i = 0; i < VCPUS; i++) {
		j = (requests[i].addr - self->base) / 8;
		ASSERT_GT(VCPUS, j);
		ASSERT_RET(0, run_signal(&many.runs[j]));
		EXPECT_RET(0, peer_answer(self->peer, requests[i].cookie,
					  requests[i].addr));
		if (run_end(&many.runs[j]) == -EINTR)
			ASSERT_RET(0, run_resume(&many.runs[j]));
	}
	for (i = 0; i < VCPUS; i++) {
		if (many.runs[i].interruptions)
			EXPECT_RET(GUEST_DONE, run_end(&many.runs[i]));
		EXPECT_EQ(self->base + 8 * i, many.runs[i].rax);
		EXPECT_EQ(0, many.runs[i].nr_exits);
	}
	destroy_all(&many);
}

/* All as fast as they can, with signals; the peer answers two at a time, swapped */
TEST_F(mmio_socket, many)
{
	struct kvm_mmio_socket_request pair[2];
	struct region region = a_region(self);
	struct guest_io io = read_at(self, 0, 4);
	struct many many = {};
	int i, n = 0, served = 0;

	use_every_cpu();
	ASSERT_RET(0, region_assign(&self->vm, &region));
	io.times = ROUNDS;
	start_all(_metadata, self, &many, io, true);
	while (served < VCPUS * ROUNDS) {
		/* With one vCPU left, there is never a second one */
		int ret = peer_receive(self->peer, &pair[n], n ? 20 : PATIENCE);

		if (!ret)
			n++;
		else
			ASSERT_RET(-ETIMEDOUT, ret);
		if (ret || n == 2) {
			ASSERT_LT(0, n);
			run_signal(&many.runs[served % VCPUS]);
			while (n) {
				n--;
				EXPECT_RET(0, peer_answer(self->peer,
							  pair[n].cookie,
							  pair[n].addr));
				served++;
			}
		}
	}
	for (i = 0; i < VCPUS; i++) {
		EXPECT_DONE(&many.runs[i], 0);
		EXPECT_EQ(self->base + 8 * i, many.runs[i].rax);
	}
	EXPECT_NO_REQUEST(self->peer);
	destroy_all(&many);
}

/* What waits at one socket does not keep the other one waiting */
TEST_F(mmio_socket, two_sockets)
{
	struct guest_io io = read_at(self, 0, 4), other = read_at(self, SIZE, 4);
	struct region region = a_region(self), second = region;
	struct kvm_mmio_socket_request request, later;
	struct run run = {};
	struct vcpu vcpu;
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	second.addr += SIZE;
	second.fd = pair[0];
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, region_assign(&self->vm, &second));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	ASSERT_RET(0, run_start(&run, &vcpu, &other));
	EXPECT_REQUEST(pair[1], &later, other);
	EXPECT_RET(0, peer_answer(pair[1], later.cookie, 2));
	EXPECT_DONE(&run, 0);
	EXPECT_EQ(2, run.rax);
	EXPECT_FALSE(run_ends_within(&self->run, 0));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 1));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(1, self->run.rax);
	vcpu_destroy(&vcpu);
	close(pair[0]);
	close(pair[1]);
}

/* A vCPU waits, and the VM is not held up: others run, ioctls are done */
TEST_F(mmio_socket, the_vm_goes_on)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self), second = region;
	struct kvm_mmio_socket_request request;
	struct vcpu vcpu;
	int i;

	ASSERT_RET(0, vcpu_init(&vcpu, &self->vm, 1));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);

	/* Slots and buses change only where no SRCU section is in the way */
	second.addr += SIZE;
	for (i = 0; i < 5; i++) {
		struct kvm_coalesced_mmio_zone zone = { .addr = 0xd0000000, .size = 8 };
		void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_RET(0, region_assign(&self->vm, &second));
		ASSERT_RET(0, region_deassign(&self->vm, &second));
		ASSERT_RET(0, sys_ioctl(self->vm.fd, KVM_REGISTER_COALESCED_MMIO,
					&zone));
		ASSERT_RET(0, sys_ioctl(self->vm.fd,
					KVM_UNREGISTER_COALESCED_MMIO, &zone));
		ASSERT_RET(0, vm_set_memory(&self->vm, 1, 0, 0x100000, 4096, page));
		ASSERT_RET(0, vm_set_memory(&self->vm, 1, 0, 0x100000, 0, page));
		munmap(page, 4096);
		EXPECT_EXIT(&vcpu, write_at(self, 2 * SIZE, 4, 0x44332211));
	}
	EXPECT_FALSE(run_ends_within(&self->run, 0));
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 1));
	EXPECT_DONE(&self->run, 0);
	vcpu_destroy(&vcpu);
}

TEST_HARNESS_MAIN
