// SPDX-License-Identifier: GPL-2.0-only
/* The list of rows. docs/doorbell.md says what each is for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define MAX_ROWS	80
#define VALUES		256		/* at one place */

struct list {
	struct row *rows;
	size_t count;
};

static const char *const bus_names[] = {
	[BUS_PIO] = "pio", [BUS_MMIO] = "mmio", [BUS_HYPERCALL] = "hc",
};

static struct row *add(struct list *list, const struct row_ops *ops,
		       enum guest_bus bus)
{
	struct row *row = &list->rows[list->count++];

	if (list->count > MAX_ROWS)
		abort();
	row->ops = ops;
	row->bus = bus;
	row->efd = row->vm.fd = row->vcpu.fd = row->sock = -1;
	return row;
}

static void add_eventfd(struct list *list, const struct doorbell_api *api,
			enum guest_bus bus, bool match, uint32_t registrations)
{
	struct row *row = add(list, &eventfd_ops, bus);

	row->api = api;
	row->match = match;
	row->registrations = registrations;
	snprintf(row->name, sizeof(row->name), "%s-%s/%s/%u", api->name,
		 bus_names[bus], match ? "match" : "any", registrations);
}

static void add_values(struct list *list, const struct doorbell_api *api,
		       enum guest_bus bus, bool first)
{
	struct row *row = add(list, &eventfd_ops, bus);

	row->api = api;
	row->match = row->one_place = true;
	row->first = first;
	row->registrations = VALUES;
	snprintf(row->name, sizeof(row->name), "%s-%s/values/%s", api->name,
		 bus_names[bus], first ? "first" : "last");
}

/* One interface on one bus, in every variant that both interfaces have */
static void add_peer(struct list *list, const struct doorbell_api *api,
		     enum guest_bus bus, uint32_t limit)
{
	const uint32_t counts[] = { 1, 16, 256, limit };
	int match;
	size_t i;

	for (match = 0; match < 2; match++)
		for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
			add_eventfd(list, api, bus, match, counts[i]);
	add_values(list, api, bus, true);
	add_values(list, api, bus, false);
}

static void add_named(struct list *list, const struct row_ops *ops,
		      enum guest_bus bus, const char *name)
{
	struct row *row = add(list, ops, bus);

	snprintf(row->name, sizeof(row->name), "%s", name);
}

static struct row *add_socket(struct list *list, const char *name, bool by_kvm,
			      bool posted, uint32_t batch)
{
	struct row *row;

	add_named(list, &kvm_socket_ops, BUS_MMIO, name);
	row = &list->rows[list->count - 1];
	row->by_kvm = by_kvm;
	row->posted = posted;
	row->batch = batch;
	return row;
}

static void add_call(struct list *list, enum bench_call call, const char *name)
{
	add_named(list, &call_ops, BUS_MMIO, name);
	list->rows[list->count - 1].call = call;
}

/* Whether a guest of this architecture can ring on @bus */
static bool has_bus(enum guest_bus bus)
{
	const struct guest_io io = {
		.op = GUEST_WRITE, .bus = bus, .len = bus == BUS_HYPERCALL ? 8 : 4,
	};

	return !guest_cannot(&io);
}

int make_rows(uint32_t limit, struct row **rows, size_t *count)
{
	struct list list = { .rows = calloc(MAX_ROWS, sizeof(**rows)) };
	size_t i, kept = 0;

	if (!list.rows)
		return -ENOMEM;
	add_named(&list, &null_ops, BUS_PIO, "null-pio");
	add_named(&list, &null_ops, BUS_MMIO, "null-mmio");
	add_named(&list, &null_ops, BUS_HYPERCALL, "null-hc");
	add_named(&list, &vmm_ops, BUS_PIO, "vmm-pio");
	add_named(&list, &vmm_ops, BUS_MMIO, "vmm-mmio");
	add_peer(&list, &iosignalfd_api, BUS_PIO, limit);
	add_peer(&list, &ioeventfd_api, BUS_PIO, limit);
	add_peer(&list, &iosignalfd_api, BUS_MMIO, limit);
	add_peer(&list, &ioeventfd_api, BUS_MMIO, limit);
	add_eventfd(&list, &iosignalfd_api, BUS_HYPERCALL, false, 1);
	add_eventfd(&list, &iosignalfd_api, BUS_HYPERCALL, true, 1);
	add_eventfd(&list, &iosignalfd_api, BUS_HYPERCALL, false, limit);
#ifdef __x86_64__
	add_named(&list, &hyperv_ops, BUS_HYPERCALL, "hyperv-eventfd");
#endif
	add_named(&list, &thread_ops, has_bus(BUS_PIO) ? BUS_PIO : BUS_MMIO,
		  "thread-eventfd");
	/* Before the next one, whose process ends with the last copy of its socket */
	add_socket(&list, "mmio-socket-read", true, false, 0)->reads = true;
	add_socket(&list, "mmio-socket-write", true, false, 0);
	add_socket(&list, "mmio-socket-posted/1", true, true, 0);
	add_socket(&list, "mmio-socket-posted/16", true, true, 16);
	add_socket(&list, "mmio-socket-posted/256", true, true, 256);
	add_socket(&list, "mmio-socket-posted/256/vcpu", true, true,
		   256)->vcpu_alone = true;
	add_socket(&list, "socketpair-user-posted/256", false, true, 256);
	add_socket(&list, "socketpair-user-posted/256/vcpu", false, true,
		   256)->vcpu_alone = true;
	add_named(&list, &socket_ops, BUS_MMIO, "socketpair-user");
	add_call(&list, CALL_GETPPID, "syscall");
	add_call(&list, CALL_IOCTL, "ioctl");
	add_call(&list, CALL_IOCTL_RING, "ioctl-ring");
	add_call(&list, CALL_IOCTL_VCPU, "ioctl-vcpu");
	add_call(&list, CALL_RUN_IMMEDIATE, "run-immediate");
	add_named(&list, &task_immediate_ops, BUS_PIO, "vcpu-run-syscall/immediate");
	add_named(&list, &task_pio_ops, BUS_PIO, "vcpu-run-syscall/pio");
	add_named(&list, &task_vm_ops, BUS_PIO, "vm-ioctl");
	add_named(&list, &task_vm_ops, BUS_PIO, "vm-syscall");
	list.rows[list.count - 1].bound = true;
	add_named(&list, &task_turns_ops, BUS_PIO, "vcpu-run/other-thread");
	for (i = 0; i < list.count; i++)
		if (has_bus(list.rows[i].bus))
			list.rows[kept++] = list.rows[i];
	*rows = list.rows;
	*count = kept;
	return 0;
}
