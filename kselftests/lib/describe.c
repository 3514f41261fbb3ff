// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "describe.h"

const char *result_name(int result)
{
	const char *name;

	if (!result)
		return "0";
	if (result > 0)
		return "a count";
	name = strerrorname_np(-result);
	return name ? name : "an unknown error";
}

static const char *bus_name(enum guest_bus bus)
{
	switch (bus) {
	case BUS_PIO:
		return "PIO";
	case BUS_MMIO:
		return "MMIO";
	case BUS_HYPERCALL:
		return "hypercall";
	}
	return "?";
}

static const char *op_name(enum guest_op op)
{
	switch (op) {
	case GUEST_NOTHING:
		return "nothing";
	case GUEST_WRITE:
		return "write";
	case GUEST_READ:
		return "read";
	case GUEST_STRING_WRITE:
		return "string write";
	case GUEST_STRING_READ:
		return "string read";
	case GUEST_WRITE_AND_WAIT:
		return "write and wait";
	}
	return "?";
}

const char *io_name(const struct guest_io *io)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s %s of %u at %#llx, data %#llx",
		 bus_name(io->bus), op_name(io->op), io->len,
		 (unsigned long long)io->addr, (unsigned long long)io->data);
	return text;
}

const char *exit_name(const struct guest_exit *exit)
{
	static char text[128];

	if (!exit->len)
		return "none";
	snprintf(text, sizeof(text), "%s %s of %u at %#llx, data %#llx",
		 bus_name(exit->bus), exit->is_write ? "write" : "read",
		 exit->len, (unsigned long long)exit->addr,
		 (unsigned long long)exit->data);
	return text;
}

static uint64_t low_bytes(uint64_t value, uint32_t len)
{
	return len < 8 ? value & ((1ull << (8 * len)) - 1) : value;
}

bool exit_matches(const struct guest_exit *exit, const struct guest_io *io)
{
	bool is_write = io->op != GUEST_READ && io->op != GUEST_STRING_READ;

	return exit->bus == io->bus && exit->is_write == is_write &&
	       exit->addr == io->addr && exit->len == io->len &&
	       (!is_write || exit->data == low_bytes(io->data, io->len));
}
