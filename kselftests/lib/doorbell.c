// SPDX-License-Identifier: GPL-2.0-only
#include "doorbell.h"

const struct doorbell_api iosignalfd_api = {
	.name = "iosignalfd",
	.cap_name = "KVM_CAP_IOSIGNALFD",
	.cap = KVM_CAP_IOSIGNALFD,
	.request = KVM_IOSIGNALFD,
	.known_flags = KVM_IOSIGNALFD_FLAG_DATAMATCH |
		       KVM_IOSIGNALFD_FLAG_PIO |
		       KVM_IOSIGNALFD_FLAG_DEASSIGN,
	.strict = true,
	.limited = true,
};

const struct doorbell_api ioeventfd_api = {
	.name = "ioeventfd",
	.cap_name = "KVM_CAP_IOEVENTFD",
	.cap = KVM_CAP_IOEVENTFD,
	.request = KVM_IOEVENTFD,
	.known_flags = KVM_IOEVENTFD_VALID_FLAG_MASK,
	.len0_is_any_width = true,
};

struct kvm_iosignalfd doorbell_args(const struct doorbell *bell)
{
	struct kvm_iosignalfd args = {
		.addr = bell->addr,
		.len = bell->len,
		.fd = bell->fd,
	};

	if (bell->bus == BUS_PIO)
		args.flags |= KVM_IOSIGNALFD_FLAG_PIO;
	if (bell->bus == BUS_HYPERCALL)
		args.flags |= KVM_IOSIGNALFD_FLAG_HYPERCALL;
	if (bell->match) {
		args.flags |= KVM_IOSIGNALFD_FLAG_DATAMATCH;
		args.datamatch = bell->datamatch;
	}
	return args;
}

int doorbell_ioctl(const struct doorbell_api *api, int vm_fd,
		   const struct kvm_iosignalfd *args)
{
	return sys_ioctl(vm_fd, api->request, args);
}

int doorbell_assign(const struct doorbell_api *api, int vm_fd,
		    const struct doorbell *bell)
{
	struct kvm_iosignalfd args = doorbell_args(bell);

	return doorbell_ioctl(api, vm_fd, &args);
}

int doorbell_deassign(const struct doorbell_api *api, int vm_fd,
		      const struct doorbell *bell)
{
	struct kvm_iosignalfd args = doorbell_args(bell);

	args.flags |= KVM_IOSIGNALFD_FLAG_DEASSIGN;
	return doorbell_ioctl(api, vm_fd, &args);
}
