// SPDX-License-Identifier: GPL-2.0-only
/* What else can be where a region is, whichever comes first. */
#include "doorbell.h"
#include "fixture.h"

SOCKET_VARIANT(stream_mmio, SOCK_STREAM, BUS_MMIO);
SOCKET_VARIANT(seqpacket_pio, SOCK_SEQPACKET, BUS_PIO);

#define DATA	0x44332211

/* The peer gets @io and answers it */
static void expect_asked(struct __test_metadata *_metadata,
			 FIXTURE_DATA(mmio_socket) *self, struct guest_io io)
{
	struct kvm_mmio_socket_request request;

	ASSERT_RET(0, run_start(&self->run, &self->vcpu, &io));
	EXPECT_REQUEST(self->peer, &request, io);
	EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	EXPECT_DONE(&self->run, 0);
}

TEST_F(mmio_socket, regions_that_overlap)
{
	static const struct {
		int64_t offset;
		uint64_t size;
	} others[] = {
		{ 0, SIZE }, { 0, 1 }, { SIZE - 1, 1 }, { 8, 8 }, { -1, 2 },
		{ SIZE - 1, 2 }, { -8, SIZE + 16 }, { 0, SIZE + 1 },
	};
	struct region region = a_region(self), other;
	int pair[2];
	size_t i;

	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		other = region;
		other.addr += others[i].offset;
		other.size = others[i].size;
		ASSERT_RET(0, region_assign(&self->vm, &region));
		EXPECT_RET(-EEXIST, region_assign(&self->vm, &other));
		other.fd = pair[0];
		EXPECT_RET(-EEXIST, region_assign(&self->vm, &other));
		ASSERT_RET(0, region_deassign(&self->vm, &region));

		ASSERT_RET(0, region_assign(&self->vm, &other));
		EXPECT_RET(-EEXIST, region_assign(&self->vm, &region));
		ASSERT_RET(0, region_deassign(&self->vm, &other));
	}
	close(pair[0]);
	close(pair[1]);
}

TEST_F(mmio_socket, neighbours)
{
	struct region region = a_region(self), before = region, behind = region;
	int pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, self->type, 0, pair));
	before.addr -= 8;
	before.size = 8;
	before.fd = pair[0];
	behind.addr += SIZE;
	behind.fd = pair[0];
	ASSERT_RET(0, region_assign(&self->vm, &before));
	ASSERT_RET(0, region_assign(&self->vm, &behind));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	expect_asked(_metadata, self, write_at(self, 0, 4, DATA));
	expect_asked(_metadata, self, write_at(self, SIZE - 4, 4, DATA));
	EXPECT_NO_REQUEST(pair[1]);
	/* Not one access, and not one region */
	EXPECT_EXIT(&self->vcpu, write_at(self, -2, 4, DATA));
	close(pair[0]);
	close(pair[1]);
}

TEST_F(mmio_socket, both_buses)
{
	struct region region = a_region(self), other = region;

	other.bus = self->bus == BUS_PIO ? BUS_MMIO : BUS_PIO;
	region.addr = GUEST_HOLE_GPA;
	other.addr = GUEST_HOLE_GPA;
	other.tag++;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, region_assign(&self->vm, &other));
	self->base = GUEST_HOLE_GPA;
	expect_asked(_metadata, self, write_at(self, 0, 4, DATA));
	EXPECT_RET(0, region_deassign(&self->vm, &other));
	expect_asked(_metadata, self, write_at(self, 0, 4, DATA));
}

static struct kvm_coalesced_mmio_zone zone_at(const FIXTURE_DATA(mmio_socket) *self,
					      int64_t offset, uint32_t size)
{
	return (struct kvm_coalesced_mmio_zone){
		.addr = self->base + offset, .size = size,
		.pio = self->bus == BUS_PIO,
	};
}

static int zone_ioctl(const FIXTURE_DATA(mmio_socket) *self,
		      unsigned long request, struct kvm_coalesced_mmio_zone zone)
{
	return sys_ioctl(self->vm.fd, request, &zone);
}

TEST_F(mmio_socket, zone_then_region)
{
	struct kvm_coalesced_mmio_zone zone = zone_at(self, 0x10, 0x10);
	struct region region = a_region(self), part = region;

	ASSERT_RET(0, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO, zone));
	EXPECT_RET(-EEXIST, region_assign(&self->vm, &region));
	part.size = 0x11;
	EXPECT_RET(-EEXIST, region_assign(&self->vm, &part));
	part.addr += 0x1f;
	EXPECT_RET(-EEXIST, region_assign(&self->vm, &part));
	part.size = 1;
	EXPECT_RET(-EEXIST, region_assign(&self->vm, &part));
	/* Up to it, and behind it */
	part.addr = region.addr;
	part.size = 0x10;
	EXPECT_RET(0, region_assign(&self->vm, &part));
	part.addr += 0x20;
	EXPECT_RET(0, region_assign(&self->vm, &part));

	EXPECT_RET(0, region_deassign(&self->vm, &part));
	part.addr -= 0x20;
	EXPECT_RET(0, region_deassign(&self->vm, &part));
	ASSERT_RET(0, zone_ioctl(self, KVM_UNREGISTER_COALESCED_MMIO, zone));
	EXPECT_RET(0, region_assign(&self->vm, &region));
}

TEST_F(mmio_socket, region_then_zone)
{
	struct region region = a_region(self);

	ASSERT_RET(0, region_assign(&self->vm, &region));
	EXPECT_RET(-EEXIST, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO,
				       zone_at(self, 0x10, 0x10)));
	EXPECT_RET(-EEXIST, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO,
				       zone_at(self, -1, 2)));
	EXPECT_RET(-EEXIST, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO,
				       zone_at(self, SIZE - 1, 2)));
	EXPECT_RET(0, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO,
				 zone_at(self, SIZE, 4)));
	EXPECT_RET(0, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO,
				 zone_at(self, -4, 4)));
	/* A zone of no size takes nothing */
	EXPECT_RET(0, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO,
				 zone_at(self, 0x10, 0)));
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, SIZE, 4, DATA));
	expect_asked(_metadata, self, write_at(self, SIZE - 4, 4, DATA));
}

/* The other bus is another matter */
TEST_F(mmio_socket, zone_on_the_other_bus)
{
	struct kvm_coalesced_mmio_zone zone = zone_at(self, 0, 0x10);
	struct region region = a_region(self);

	zone.pio = !zone.pio;
	zone.addr = GUEST_HOLE_GPA;
	region.addr = GUEST_HOLE_GPA;
	ASSERT_RET(0, zone_ioctl(self, KVM_REGISTER_COALESCED_MMIO, zone));
	EXPECT_RET(0, region_assign(&self->vm, &region));
}

/* A doorbell inside of a device that somebody else serves: what both are for */
static void expect_eventfd_inside(struct __test_metadata *_metadata,
				  FIXTURE_DATA(mmio_socket) *self, int fd)
{
	EXPECT_NO_EXIT(&self->vcpu, write_at(self, 0x10, 4, DATA));
	EXPECT_SIGNALS(1, fd);
	EXPECT_NO_REQUEST(self->peer);
	expect_asked(_metadata, self, write_at(self, 0x10, 2, DATA));
	expect_asked(_metadata, self, write_at(self, 0x14, 4, DATA));
	expect_asked(_metadata, self, read_at(self, 0x10, 4));
	EXPECT_SIGNALS(0, fd);
}

TEST_F(mmio_socket, eventfd_then_region)
{
	struct region region = a_region(self);
	struct doorbell bell = {
		.bus = self->bus, .addr = self->base + 0x10, .len = 4,
	};

	ASSERT_FD(bell.fd, efd_create(0));
	ASSERT_RET(0, doorbell_assign(&ioeventfd_api, self->vm.fd, &bell));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	expect_eventfd_inside(_metadata, self, bell.fd);
	close(bell.fd);
}

TEST_F(mmio_socket, region_then_eventfd)
{
	struct region region = a_region(self);
	struct doorbell bell = {
		.bus = self->bus, .addr = self->base + 0x10, .len = 4,
	};

	ASSERT_FD(bell.fd, efd_create(0));
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, doorbell_assign(&ioeventfd_api, self->vm.fd, &bell));
	expect_eventfd_inside(_metadata, self, bell.fd);

	ASSERT_RET(0, doorbell_deassign(&ioeventfd_api, self->vm.fd, &bell));
	expect_asked(_metadata, self, write_at(self, 0x10, 4, DATA));
	close(bell.fd);
}

/* KVM's own devices come first: the PIC's mask register, the I/O APIC's index */
TEST_F(mmio_socket, irqchip_inside)
{
	uint64_t inside = self->bus == BUS_PIO ? 0x21 : 0xfec00000;
	uint64_t outside = self->bus == BUS_PIO ? 0x30 : 0xfec00200;
	struct region region = a_region(self);
	struct vcpu vcpu;
	struct vm vm;

	/* An irqchip has to be there before any vCPU is */
	ASSERT_RET(0, vm_init(&vm));
	region.addr = inside & ~0xfull;
	region.size = 0x1000;
	ASSERT_RET(0, region_assign(&vm, &region));
	ASSERT_RET(0, sys_ioctl(vm.fd, KVM_CREATE_IRQCHIP, NULL));
	ASSERT_RET(0, vcpu_init(&vcpu, &vm, 0));

	self->base = inside;
	EXPECT_NO_EXIT(&vcpu, read_at(self, 0, self->bus == BUS_PIO ? 1 : 4));
	EXPECT_NO_REQUEST(self->peer);

	self->base = outside;
	ASSERT_RET(0, run_start(&self->run, &vcpu,
				&(struct guest_io){ .op = GUEST_WRITE,
					.bus = self->bus, .addr = outside,
					.len = 4, .data = DATA }));
	{
		struct kvm_mmio_socket_request request;

		EXPECT_REQUEST(self->peer, &request,
			       write_at(self, 0, 4, DATA));
		EXPECT_RET(0, peer_answer(self->peer, request.cookie, 0));
	}
	EXPECT_DONE(&self->run, 0);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
}

/* RAM never exits, and where it is only readable, a write does */
TEST_F(mmio_socket, memory_inside)
{
	struct region region = a_region(self);
	size_t page = getpagesize();
	uint8_t *rom;

	if (self->bus == BUS_PIO)
		SKIP(return, "ports have no memory");
	rom = mmap(NULL, page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, rom);
	memset(rom, 0x5a, page);
	region.addr = 0xe0000000;
	region.size = 0x10000;
	ASSERT_RET(0, region_assign(&self->vm, &region));
	ASSERT_RET(0, vm_set_memory(&self->vm, 1, KVM_MEM_READONLY, 0xe0001000,
				    page, rom));

	self->base = 0xe0001000;
	EXPECT_NO_EXIT(&self->vcpu, read_at(self, 0x10, 4));
	EXPECT_NO_REQUEST(self->peer);
	expect_asked(_metadata, self, write_at(self, 0x10, 4, DATA));
	EXPECT_EQ(0x5a, rom[0x10]);
	expect_asked(_metadata, self, write_at(self, page, 4, DATA));
	ASSERT_RET(0, vm_set_memory(&self->vm, 1, KVM_MEM_READONLY, 0xe0001000,
				    0, rom));
	expect_asked(_metadata, self, read_at(self, 0x10, 4));
	munmap(rom, page);
}

TEST_HARNESS_MAIN
