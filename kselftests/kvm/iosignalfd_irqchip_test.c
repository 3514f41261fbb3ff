// SPDX-License-Identifier: GPL-2.0-only
/*
 * Beside KVM's own devices: the IOAPIC's window, the PIC's ports, and an
 * eventfd that is at once a doorbell and an interrupt line; on arm64 the windows of
 * the vGIC's distributor and of its ITS.
 */
#include "doorbell_fixture.h"

#ifndef IOEVENTFD_ONLY
DOORBELL_VARIANT(iosignalfd, iosignalfd_api, BUS_MMIO);
#endif
DOORBELL_VARIANT(ioeventfd, ioeventfd_api, BUS_MMIO);

#ifdef __x86_64__

#define DATA		0x44332211
#define IOAPIC		0xfec00000ull	/* IOAPIC_DEFAULT_BASE_ADDRESS */
#define IOAPIC_SIZE	0x100		/* IOAPIC_MEM_LENGTH */
#define IOREGSEL	0x00
#define IOWIN		0x10
#define PIC_IMR		0x21
#define GSI		5

/* The irqchip has to be there before the vCPU: so another VM than self->vm */
struct machine {
	struct vm vm;
	struct vcpu vcpu;
};

static int machine_init(struct machine *machine)
{
	int ret = vm_init(&machine->vm);

	if (ret)
		return ret;
	ret = sys_ioctl(machine->vm.fd, KVM_CREATE_IRQCHIP, NULL);
	if (ret)
		return ret;
	return vcpu_init(&machine->vcpu, &machine->vm, 0);
}

static void machine_destroy(struct machine *machine)
{
	vcpu_destroy(&machine->vcpu);
	vm_destroy(&machine->vm);
}

static struct doorbell bell_at(uint64_t addr, int fd)
{
	return (struct doorbell){
		.bus = BUS_MMIO, .addr = addr, .len = 4, .fd = fd,
	};
}

static struct guest_io store_at(uint64_t addr, uint64_t data)
{
	return (struct guest_io){
		.op = GUEST_WRITE, .bus = BUS_MMIO, .addr = addr, .len = 4,
		.data = data,
	};
}

/*
 * The IOAPIC takes every write to its window, whether or not there is a register.
 * An entry within must not hide what lies beyond it: mainline's search of the
 * bus misses the IOAPIC for an access above the entry.
 */
TEST_F(doorbell, entry_in_ioapic_window_hides_nothing)
{
	struct doorbell bell = bell_at(IOAPIC + 0x20, self->fd);
	struct machine machine;
	uint64_t offset;

	ASSERT_RET(0, machine_init(&machine));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &bell));
	for (offset = 0; offset < IOAPIC_SIZE; offset += 0x10)
		if (offset != 0x20)
			EXPECT_NO_EXIT(&machine.vcpu,
				       store_at(IOAPIC + offset, 0));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_EXIT(&machine.vcpu, store_at(IOAPIC + IOAPIC_SIZE, DATA));
	machine_destroy(&machine);
}

/* Both want the write to the entry itself; at least it does not get lost */
TEST_F(doorbell, entry_in_ioapic_window_does_not_leave)
{
	struct doorbell bell = bell_at(IOAPIC + 0x20, self->fd);
	struct machine machine;

	ASSERT_RET(0, machine_init(&machine));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &bell));
	EXPECT_NO_EXIT(&machine.vcpu, store_at(IOAPIC + 0x20, DATA));
	EXPECT_GE(1, efd_take(self->fd));
	machine_destroy(&machine);
}

/* The guest can still program the IOAPIC around an entry in its window */
TEST_F(doorbell, ioapic_works_beside_an_entry)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct doorbell bell = bell_at(IOAPIC + 4, self->fd);
	struct machine machine;

	ASSERT_RET(0, machine_init(&machine));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &bell));
	/* Vector 0x31 for pin GSI, masked */
	EXPECT_NO_EXIT(&machine.vcpu, store_at(IOAPIC + IOREGSEL, 0x10 + 2 * GSI));
	EXPECT_NO_EXIT(&machine.vcpu, store_at(IOAPIC + IOWIN, 0x10031));
	ASSERT_RET(0, sys_ioctl(machine.vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(0x10031, chip.chip.ioapic.redirtbl[GSI].bits);
	machine_destroy(&machine);
}

TEST_F(doorbell, pic_works_beside_an_entry)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct doorbell bell = {
		.bus = BUS_PIO, .addr = PIC_IMR + 1, .len = 1, .fd = self->fd,
	};
	struct guest_io io = {
		.op = GUEST_WRITE, .bus = BUS_PIO, .addr = PIC_IMR, .len = 1,
		.data = 0xa5,
	};
	struct machine machine;
	uint64_t rax;

	ASSERT_RET(0, machine_init(&machine));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &bell));
	EXPECT_NO_EXIT(&machine.vcpu, io);
	EXPECT_SIGNALS(0, self->fd);
	ASSERT_RET(0, sys_ioctl(machine.vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(0xa5, chip.chip.pic.imr);

	/* The PIC is the first device of the bus, and asked for reads as well */
	io.op = GUEST_READ;
	io.data = 0;
	EXPECT_NO_EXIT(&machine.vcpu, io);
	ASSERT_RET(0, vcpu_read_data(&machine.vcpu, &rax));
	EXPECT_EQ(0xa5, rax & 0xff);

	io.op = GUEST_WRITE;
	io.addr = PIC_IMR + 1;
	EXPECT_NO_EXIT(&machine.vcpu, io);
	EXPECT_SIGNALS(1, self->fd);
	machine_destroy(&machine);
}

/* The irqfd may hand over to a worker, so give the line a while to go up */
static uint8_t wait_for_irr(const struct machine *machine, uint8_t want)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	int ms;

	for (ms = 0; ms < 2000; ms++) {
		if (sys_ioctl(machine->vm.fd, KVM_GET_IRQCHIP, &chip))
			break;
		if (chip.chip.pic.irr & want)
			break;
		usleep(1000);
	}
	return chip.chip.pic.irr & want;
}

/*
 * The guest rings, and its own interrupt line goes up, with no user space on the
 * way: irqfd_wakeup() takes the count when the doorbell signals it.
 */
TEST_F(doorbell, doorbell_and_irqfd)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct kvm_irqfd irqfd = { .fd = self->fd, .gsi = GSI };
	struct doorbell bell = bell_at(self->base, self->fd);
	struct machine machine;

	ASSERT_RET(0, machine_init(&machine));
	ASSERT_RET(0, sys_ioctl(machine.vm.fd, KVM_IRQFD, &irqfd));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &bell));

	ASSERT_RET(0, sys_ioctl(machine.vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_EQ(0, chip.chip.pic.irr & (1 << GSI));
	EXPECT_NO_EXIT(&machine.vcpu, store_at(self->base, DATA));
	EXPECT_EQ(1 << GSI, wait_for_irr(&machine, 1 << GSI));
	EXPECT_SIGNALS(0, self->fd);

	/* The doorbell goes, the line stays, and the other way about */
	ASSERT_RET(0, doorbell_deassign(self->api, machine.vm.fd, &bell));
	EXPECT_EXIT(&machine.vcpu, store_at(self->base, DATA));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &bell));
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	ASSERT_RET(0, sys_ioctl(machine.vm.fd, KVM_IRQFD, &irqfd));
	EXPECT_NO_EXIT(&machine.vcpu, store_at(self->base, DATA));
	EXPECT_SIGNALS(1, self->fd);
	machine_destroy(&machine);
}

#elif defined(__aarch64__)

#define DATA		0x44332211
#define DIST		0x08000000ull
#define DIST_SIZE	0x10000			/* KVM_VGIC_V3_DIST_SIZE */
#define ITS		0x08080000ull		/* KVM_VGIC_V3_ITS_SIZE: up to ... */
#define ITS_TRANSLATER	(ITS + 0x10040)		/* GITS_TRANSLATER: where an MSI goes */
#define REDIST		0x080a0000ull		/* ... here */

/* The vGIC has to be there before the vCPU runs: so another VM than self->vm */
struct machine {
	struct vm vm;
	struct vcpu vcpu;
	int gic;
};

static int device_set(int device, uint32_t group, uint64_t attr,
		      const uint64_t *value)
{
	const struct kvm_device_attr args = {
		.group = group, .attr = attr, .addr = (uintptr_t)value,
	};

	return sys_ioctl(device, KVM_SET_DEVICE_ATTR, &args);
}

static int machine_init(struct machine *machine)
{
	struct kvm_create_device gic = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	const uint64_t dist = DIST, redist = REDIST;
	int ret;

	ret = vm_init(&machine->vm);
	if (!ret)
		ret = sys_ioctl(machine->vm.fd, KVM_CREATE_DEVICE, &gic);
	if (ret)
		return ret;
	machine->gic = gic.fd;
	ret = device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
			 KVM_VGIC_V3_ADDR_TYPE_DIST, &dist);
	if (!ret)
		ret = device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
				 KVM_VGIC_V3_ADDR_TYPE_REDIST, &redist);
	if (!ret)
		ret = vcpu_init(&machine->vcpu, &machine->vm, 0);
	if (!ret)
		ret = device_set(gic.fd, KVM_DEV_ARM_VGIC_GRP_CTRL,
				 KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
	return ret;
}

static void machine_destroy(struct machine *machine)
{
	vcpu_destroy(&machine->vcpu);
	close(machine->gic);
	vm_destroy(&machine->vm);
}

static struct guest_io store_at(uint64_t addr, uint64_t data)
{
	return (struct guest_io){
		.op = GUEST_WRITE, .bus = BUS_MMIO, .addr = addr, .len = 4,
		.data = data,
	};
}

/*
 * The distributor takes every write to its window, whether or not there is a
 * register. It comes to the bus when a vCPU first runs (kvm_vgic_map_resources()
 * of arch/arm64/kvm/vgic/vgic-init.c): before an entry in the window, or after.
 */
static void expect_hidden_nothing(struct __test_metadata *_metadata,
				  FIXTURE_DATA(doorbell) *self, bool entry_first)
{
	struct doorbell bell = {
		.bus = BUS_MMIO, .addr = DIST + 0x420, .len = 4, .fd = self->fd,
	};
	const struct guest_io nothing = { .op = GUEST_NOTHING };
	struct machine machine;
	uint64_t offset;

	ASSERT_RET(0, machine_init(&machine));
	if (!entry_first)
		EXPECT_RET(0, guest_do(&machine.vcpu, &nothing, NULL, 0));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &bell));
	/* GICD_IPRIORITYR: a register for each four interrupts, all harmless */
	for (offset = 0x400; offset < 0x480; offset += 4)
		if (DIST + offset != bell.addr)
			EXPECT_NO_EXIT(&machine.vcpu, store_at(DIST + offset, 0));
	EXPECT_SIGNALS(0, self->fd);
	EXPECT_NO_EXIT(&machine.vcpu, store_at(bell.addr, DATA));
	EXPECT_LE(1, efd_take(self->fd));
	EXPECT_EXIT(&machine.vcpu, store_at(DIST + DIST_SIZE, DATA));
	machine_destroy(&machine);
}

TEST_F(doorbell, entry_in_distributor_window_hides_nothing)
{
	expect_hidden_nothing(_metadata, self, false);
}

TEST_F(doorbell, distributor_over_an_entry_hides_nothing)
{
	expect_hidden_nothing(_metadata, self, true);
}

/*
 * User space sends an MSI, and KVM looks for the ITS behind its address
 * (vgic_msi_to_its() of arch/arm64/kvm/vgic/vgic-its.c). -EBUSY is that of an ITS
 * which the guest has not enabled yet, and -EINVAL says that there is none.
 */
static int signal_msi(const struct machine *machine, uint64_t addr)
{
	const struct kvm_msi msi = {
		.address_lo = addr, .address_hi = addr >> 32,
		.flags = KVM_MSI_VALID_DEVID,
	};

	return sys_ioctl(machine->vm.fd, KVM_SIGNAL_MSI, &msi);
}

static void expect_its_is_found(struct __test_metadata *_metadata,
				FIXTURE_DATA(doorbell) *self, bool entry_first)
{
	struct doorbell inside = {
		.bus = BUS_MMIO, .addr = ITS_TRANSLATER, .len = 4, .fd = self->fd,
	}, elsewhere = inside;
	struct kvm_create_device its = { .type = KVM_DEV_TYPE_ARM_VGIC_ITS };
	const uint64_t addr = ITS;
	struct machine machine;

	elsewhere.addr = self->base;
	ASSERT_RET(0, machine_init(&machine));
	ASSERT_RET(0, sys_ioctl(machine.vm.fd, KVM_CREATE_DEVICE, &its));
	if (entry_first)
		ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &inside));
	EXPECT_RET(-EINVAL, signal_msi(&machine, ITS_TRANSLATER));
	ASSERT_RET(0, device_set(its.fd, KVM_DEV_ARM_VGIC_GRP_ADDR,
				 KVM_VGIC_ITS_ADDR_TYPE, &addr));
	EXPECT_RET(-EBUSY, signal_msi(&machine, ITS_TRANSLATER));
	if (!entry_first)
		ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &inside));
	ASSERT_RET(0, doorbell_assign(self->api, machine.vm.fd, &elsewhere));
	/* An entry is no ITS, neither in its place nor before or behind it */
	EXPECT_RET(-EBUSY, signal_msi(&machine, ITS_TRANSLATER));
	EXPECT_RET(-EBUSY, signal_msi(&machine, ITS_TRANSLATER + 4));
	EXPECT_RET(-EBUSY, signal_msi(&machine, ITS));
	EXPECT_RET(-EINVAL, signal_msi(&machine, self->base));
	EXPECT_RET(-EINVAL, signal_msi(&machine, self->base + 8));
	EXPECT_SIGNALS(0, self->fd);
	close(its.fd);
	machine_destroy(&machine);
}

TEST_F(doorbell, msi_finds_the_its_around_an_entry)
{
	expect_its_is_found(_metadata, self, false);
}

TEST_F(doorbell, msi_finds_an_its_that_came_after_an_entry)
{
	expect_its_is_found(_metadata, self, true);
}

#else

TEST(without_irqchip)
{
	SKIP(return, "the AIA, which is KVM's irqchip on riscv, has no case here");
}

#endif

TEST_HARNESS_MAIN
