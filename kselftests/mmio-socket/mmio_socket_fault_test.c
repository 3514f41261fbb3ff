// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation on the way fails once: the ioctl returns ENOMEM and has done
 * nothing, and an access without memory for its message is user space's.
 *
 * That of a node of the maple tree is no reason to fail: mtree_insert_range() and
 * mtree_store_range() try it with GFP_NOWAIT first, under the tree's lock, and again
 * without the lock (mas_nomem(), lib/maple_tree.c). Only where memory stays short
 * does the tree give up, so each ioctl is also made while everything from some
 * point on fails.
 *
 * Needs CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and debugfs; skips without them.
 */
#include "debug_kernel.h"
#include "fault.h"
#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define DATA		0x44332211
#define FAULTS_MAX	60
#define OTHERS		40	/* regions, for which the tree has several nodes */
#define BYTES_STEP	32	/* no object of the slabs in question is smaller */
#define BYTES_MAX	8192	/* no ioctl here takes more */

/* A posted write says without any thread whether a region is there */
static void expect_there(struct __test_metadata *_metadata,
			 FIXTURE_DATA(mmio_socket) *self, bool there)
{
	struct kvm_mmio_socket_request request;
	struct guest_io io = write_at(self, 0, 4, DATA);

	if (there) {
		EXPECT_NO_EXIT(&self->vcpu, io);
		EXPECT_REQUEST(self->peer, &request, io);
	} else {
		EXPECT_EXIT(&self->vcpu, io);
	}
	EXPECT_NO_REQUEST(self->peer);
}

/* Returns how often it was refused */
static int assign_while_each_fails(struct __test_metadata *_metadata,
				   FIXTURE_DATA(mmio_socket) *self)
{
	struct region region = a_region(self);
	int nth, failed = 1, refused = 0, ret;

	region.posted = true;
	for (nth = 1; failed && nth < FAULTS_MAX; nth++) {
		ASSERT_RET(0, fault_arm(nth));
		ret = region_assign(&self->vm, &region);
		failed = fault_disarm();
		ASSERT_LE(0, failed);
		EXPECT_TRUE(!ret || (failed && ret == -ENOMEM))
			TH_LOG("wanted 0 or ENOMEM, got %s", result_name(ret));
		refused += ret != 0;
		expect_there(_metadata, self, !ret);
		if (!ret)
			ASSERT_RET(0, region_deassign(&self->vm, &region));
	}
	EXPECT_EQ(0, failed);
	return refused;
}

TEST_F(mmio_socket, assign)
{
	SKIP_WITHOUT_FAULTS();
	EXPECT_LT(0, assign_while_each_fails(_metadata, self));

	/* What failed kept no reference */
	close(self->sock);
	self->sock = -1;
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

/* So many that the tree of regions has to grow for another one */
static void assign_others(struct __test_metadata *_metadata,
			  FIXTURE_DATA(mmio_socket) *self)
{
	struct region other = a_region(self);
	int i;

	other.size = 1;
	for (i = 0; i < OTHERS; i++) {
		other.addr = 0x1000 + 2 * i;
		ASSERT_RET(0, region_assign(&self->vm, &other));
	}
}

/* Beside many others, where the tree of them has to grow */
TEST_F(mmio_socket, assign_beside_others)
{
	SKIP_WITHOUT_FAULTS();
	assign_others(_metadata, self);
	assign_while_each_fails(_metadata, self);
}

/* A deassign that fails leaves the region as it was */
TEST_F(mmio_socket, deassign)
{
	struct region region = a_region(self);
	int nth, failed = 1, ret;

	SKIP_WITHOUT_FAULTS();
	region.posted = true;
	assign_others(_metadata, self);
	for (nth = 1; failed && nth < FAULTS_MAX; nth++) {
		ASSERT_RET(0, region_assign(&self->vm, &region));
		ASSERT_RET(0, fault_arm(nth));
		ret = region_deassign(&self->vm, &region);
		failed = fault_disarm();
		ASSERT_LE(0, failed);
		EXPECT_TRUE(!ret || (failed && ret == -ENOMEM))
			TH_LOG("wanted 0 or ENOMEM, got %s", result_name(ret));
		expect_there(_metadata, self, ret);
		if (ret)
			ASSERT_RET(0, region_deassign(&self->vm, &region));
	}
	EXPECT_EQ(0, failed);
}

static void assign_while_memory_runs_out(struct __test_metadata *_metadata,
					 FIXTURE_DATA(mmio_socket) *self)
{
	struct region region = a_region(self);
	int bytes, failed = 1, refused = 0, ret;

	region.posted = true;
	for (bytes = 0; failed && bytes < BYTES_MAX; bytes += BYTES_STEP) {
		ASSERT_RET(0, fault_exhaust(bytes));
		ret = region_assign(&self->vm, &region);
		failed = fault_replenish();
		ASSERT_LE(0, failed);
		if (ret || !debug_kernel())
			EXPECT_RET(failed ? -ENOMEM : 0, ret);
		refused += ret != 0;
		expect_there(_metadata, self, !ret);
		if (!ret)
			ASSERT_RET(0, region_deassign(&self->vm, &region));
	}
	EXPECT_LT(0, refused);
	EXPECT_EQ(0, failed);
}

TEST_F(mmio_socket, assign_while_memory_runs_out)
{
	SKIP_WITHOUT_FAULTS();
	assign_while_memory_runs_out(_metadata, self);

	/* What failed kept no reference */
	close(self->sock);
	self->sock = -1;
	EXPECT_TRUE(peer_sees_the_end(self->peer, PATIENCE));
}

TEST_F(mmio_socket, assign_beside_others_while_memory_runs_out)
{
	SKIP_WITHOUT_FAULTS();
	assign_others(_metadata, self);
	assign_while_memory_runs_out(_metadata, self);
}

TEST_F(mmio_socket, deassign_while_memory_runs_out)
{
	struct region region = a_region(self);
	int bytes, failed = 1, refused = 0, ret;

	SKIP_WITHOUT_FAULTS();
	region.posted = true;
	assign_others(_metadata, self);
	for (bytes = 0; failed && bytes < BYTES_MAX; bytes += BYTES_STEP) {
		ASSERT_RET(0, region_assign(&self->vm, &region));
		ASSERT_RET(0, fault_exhaust(bytes));
		ret = region_deassign(&self->vm, &region);
		failed = fault_replenish();
		ASSERT_LE(0, failed);
		if (ret || !debug_kernel())
			EXPECT_RET(failed ? -ENOMEM : 0, ret);
		refused += ret != 0;
		expect_there(_metadata, self, ret);
		if (ret)
			ASSERT_RET(0, region_deassign(&self->vm, &region));
	}
	EXPECT_LT(0, refused);
	EXPECT_EQ(0, failed);
}

/* A registration that failed for want of memory takes no place of the limit */
TEST_F(mmio_socket, failures_do_not_count)
{
	int limit = vm_check_extension(&self->vm, KVM_CAP_MMIO_SOCKET), i, failed;
	struct region region = a_region(self);

	SKIP_WITHOUT_FAULTS();
	region.addr = 0x1000;
	region.size = 1;
	for (i = 0; i < limit - 1; i++, region.addr++)
		ASSERT_RET(0, region_assign(&self->vm, &region));
	for (i = 0; i < 3; i++) {
		ASSERT_RET(0, fault_arm(1));
		EXPECT_RET(-ENOMEM, region_assign(&self->vm, &region));
		failed = fault_disarm();
		ASSERT_EQ(1, failed);
	}
	EXPECT_RET(0, region_assign(&self->vm, &region));
	region.addr++;
	EXPECT_RET(-ENOSPC, region_assign(&self->vm, &region));
}

/* One KVM_RUN up to the end of the guest, or the exit that comes before */
static int run_under_fault(FIXTURE_DATA(mmio_socket) *self, struct guest_io io,
			   int nth, struct guest_exit *exit, uint16_t *flags)
{
	int ret = vcpu_start(&self->vcpu, &io), failed;

	if (!ret)
		ret = fault_arm(nth);
	if (ret)
		return ret;
	ret = vcpu_run(&self->vcpu, exit);
	*flags = self->vcpu.run->flags;
	failed = fault_disarm();
	if (ret == GUEST_EXIT) {
		struct guest_exit end;

		ret = vcpu_run(&self->vcpu, &end) == GUEST_DONE ? GUEST_EXIT
								: -EPROTO;
	}
	return failed < 0 ? failed : ret;
}

/* No message without memory; the next one finds the connection as it was */
TEST_F(mmio_socket, access)
{
	struct guest_io io = write_at(self, 0, 4, DATA);
	struct region region = a_region(self);
	struct kvm_mmio_socket_request request;
	struct guest_exit exit = {};
	int nth, ret, refused = 0;
	uint16_t flags = 0;

	SKIP_WITHOUT_FAULTS();
	region.posted = true;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	expect_there(_metadata, self, true);
	for (nth = 1; nth < 10; nth++) {
		ret = run_under_fault(self, io, nth, &exit, &flags);
		if (ret == GUEST_EXIT) {
			refused++;
			EXPECT_TRUE(exit_matches(&exit, &io));
			EXPECT_EQ(FAILED, flags & (FAILED | ASKED));
			EXPECT_NO_REQUEST(self->peer);
		} else if (ret == GUEST_DONE) {
			EXPECT_REQUEST(self->peer, &request, io);
		} else {
			/* An allocation of KVM_RUN's own */
			EXPECT_RET(-ENOMEM, ret);
			EXPECT_NO_REQUEST(self->peer);
		}
		expect_there(_metadata, self, true);
	}
	EXPECT_LT(0, refused);
}

/* The same for what awaits an answer, which then nobody awaits */
TEST_F(mmio_socket, awaited_access)
{
	struct guest_io io = read_at(self, 0, 4);
	struct region region = a_region(self);
	struct guest_exit exit = {};
	struct kvm_mmio_socket_request request;
	uint16_t flags = 0;
	int ret;

	SKIP_WITHOUT_FAULTS();
	ASSERT_RET(0, region_assign(&self->vm, &region));
	/* Touch what the guest needs, so that the message is the first to want memory */
	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 1));
	EXPECT_DONE(&self->run, 0);

	ret = run_under_fault(self, io, 1, &exit, &flags);
	EXPECT_RET(GUEST_EXIT, ret);
	EXPECT_EQ(FAILED, flags & (FAILED | ASKED));
	EXPECT_NO_REQUEST(self->peer);

	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 2));
	EXPECT_DONE(&self->run, 0);
	EXPECT_EQ(2, self->run.rax);
}

TEST_HARNESS_MAIN
