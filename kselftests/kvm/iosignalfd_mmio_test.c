// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only memory has: stores across a page, stores wider than a bus access,
 * and memory slots over, under and beside a registration.
 */
#include "doorbell_fixture.h"

DOORBELL_VARIANT(iosignalfd, iosignalfd_api, BUS_MMIO);
DOORBELL_VARIANT(ioeventfd, ioeventfd_api, BUS_MMIO);

#define DATA	0x8877665544332211ull
#define PAGE	0x1000
#define SLOT	1

static struct guest_io store_16(const FIXTURE_DATA(doorbell) *self)
{
	struct guest_io io = write_at(self, 0, 16, DATA);

	io.data_high = ~DATA;
	return io;
}

/*
 * KVM's emulator cuts a store at the page boundary (arch/x86/kvm/x86.c,
 * emulator_read_write()), so no registration of the whole can ever see it ...
 */
TEST_F(doorbell, store_across_pages_is_two_writes)
{
	uint64_t edge = PAGE - (self->base & (PAGE - 1)) - 2;
	const struct guest_io io = write_at(self, edge, 4, DATA);
	struct guest_exit exits[2] = {};

	SKIP_IF_GUEST_CANNOT(io);
	ASSERT_RET(0, assign(self, any_data(self, edge, 4, self->fd)));
	EXPECT_RET(2, guest_do(&self->vcpu, &io, exits, 2));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_EQ(io.addr, exits[0].addr);
	EXPECT_EQ(2, exits[0].len);
	EXPECT_EQ(0x2211, exits[0].data);
	EXPECT_EQ(io.addr + 2, exits[1].addr);
	EXPECT_EQ(2, exits[1].len);
	EXPECT_EQ(0x4433, exits[1].data);
}

/* ... but each half is a write of its own */
TEST_F(doorbell, each_half_across_pages_signals)
{
	uint64_t edge = PAGE - (self->base & (PAGE - 1)) - 2;
	const struct guest_io io = write_at(self, edge, 4, DATA);
	struct guest_exit exit = {};

	SKIP_IF_GUEST_CANNOT(io);
	ASSERT_RET(0, assign(self, any_data(self, edge, 2, self->fd)));
	EXPECT_RET(1, guest_do(&self->vcpu, &io, &exit, 1));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_EQ(io.addr + 2, exit.addr);
	EXPECT_EQ(0x4433, exit.data);

	ASSERT_RET(0, assign(self, only_data(self, edge + 2, 2, 0x4433, self->fd)));
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(2, self->fd);
}

/* vcpu_mmio_write() offers a wide store to the bus in parts of up to eight */
TEST_F(doorbell, store_of_sixteen_is_two_writes)
{
	int high;

	SKIP_IF_GUEST_CANNOT(store_16(self));
	ASSERT_FD(high, efd_create(0));
	ASSERT_RET(0, assign(self, only_data(self, 0, 8, DATA, self->fd)));
	ASSERT_RET(0, assign(self, only_data(self, 8, 8, ~DATA, high)));
	EXPECT_NO_EXIT(&self->vcpu, store_16(self));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_SIGNALS(1, high);
	close(high);
}

TEST_F(doorbell, rest_of_sixteen_leaves)
{
	const struct guest_io io = store_16(self);
	struct guest_exit exit = {};

	SKIP_IF_GUEST_CANNOT(io);
	ASSERT_RET(0, assign(self, any_data(self, 0, 8, self->fd)));
	EXPECT_RET(1, guest_do(&self->vcpu, &io, &exit, 1));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_EQ(io.addr + 8, exit.addr);
	EXPECT_EQ(8, exit.len);
	EXPECT_EQ(~DATA, exit.data);
}

/* Once a part has to leave, all after it leave as well: KVM looks no further */
TEST_F(doorbell, sixteen_leaves_whole_if_its_start_does)
{
	const struct guest_io io = store_16(self);
	struct guest_exit exits[2] = {};

	SKIP_IF_GUEST_CANNOT(io);
	ASSERT_RET(0, assign(self, any_data(self, 8, 8, self->fd)));
	EXPECT_RET(2, guest_do(&self->vcpu, &io, exits, 2));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_EQ(DATA, exits[0].data);
	EXPECT_EQ(~DATA, exits[1].data);
}

/* The guest's write to memory never becomes I/O, whatever is registered there */
TEST_F(doorbell, ram_slot_hides_registration)
{
	struct doorbell bell = any_data(self, 0, 4, self->fd);
	struct guest_io io = write_at(self, 0, 4, DATA);
	uint32_t *ram = (uint32_t *)(self->vm.ram + GUEST_DATA_GPA);

	bell.addr = GUEST_DATA_GPA;
	io.addr = GUEST_DATA_GPA;
	ASSERT_RET(0, assign(self, bell));
	EXPECT_NO_EXIT(&self->vcpu, io);
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_EQ((uint32_t)DATA, *ram);
}

/* A write to read-only memory is I/O: it signals, and the memory stays */
TEST_F(doorbell, readonly_slot_signals)
{
	uint64_t gpa = self->base & ~(PAGE - 1ull);
	uint32_t offset = self->base - gpa;
	uint8_t *page;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	memset(page, 0x5a, PAGE);
	ASSERT_RET(0, vm_set_memory(&self->vm, SLOT, KVM_MEM_READONLY, gpa,
				    PAGE, page));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));

	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_EXIT(&self->vcpu, write_at(self, 4, 4, DATA));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_EQ(0x5a, page[offset]);
	EXPECT_EQ(0x5a, page[offset + 4]);
}

/*
 * A slot comes and goes over a live registration. The guest's write must follow
 * at once: KVM caches that a page is MMIO and has to forget it.
 */
TEST_F(doorbell, slot_added_and_removed_live)
{
	uint64_t gpa = self->base & ~(PAGE - 1ull);
	uint32_t *word;
	uint8_t *page;
	int i;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	word = (uint32_t *)(page + (self->base - gpa));
	ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));

	for (i = 1; i <= 5; i++) {
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
		EXPECT_SIGNALS(1, self->fd);
		ASSERT_RET(0, vm_set_memory(&self->vm, SLOT, 0, gpa, PAGE, page));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, i));
		EXPECT_SIGNALS(0, self->fd);
		EXPECT_EQ(i, *word);
		ASSERT_RET(0, vm_set_memory(&self->vm, SLOT, 0, gpa, 0, page));
	}
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
	EXPECT_SIGNALS(1, self->fd);
	EXPECT_EQ(5, *word);
}

/*
 * The other way about: the page is known as MMIO with nobody at home before the
 * registration comes, and goes back to that.
 */
TEST_F(doorbell, registration_on_a_page_known_as_mmio)
{
	int i;

	for (i = 0; i < 5; i++) {
		EXPECT_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
		ASSERT_RET(0, assign(self, any_data(self, 0, 4, self->fd)));
		EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0, 4, DATA));
		EXPECT_SIGNALS(1, self->fd);
		ASSERT_RET(0, deassign(self, any_data(self, 0, 4, self->fd)));
	}
}

TEST_HARNESS_MAIN
