/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The checking twins: each says what was wanted and what came. They expand to
 * the harness's EXPECT_ and ASSERT_ forms, so they work in a TEST_F() and in a
 * helper that is handed _metadata. Those forms are two statements each: put braces
 * around one in a loop or an if. Include this once for each program.
 */
#ifndef KSELFTESTS_EXPECT_H
#define KSELFTESTS_EXPECT_H

#include "kselftest_harness.h"

#include "cpus.h"
#include "describe.h"
#include "doorbell.h"
#include "eventfd_util.h"
#include "kmsg.h"
#include "vm.h"

/*
 * Report a hang in the kernel under test while somebody still
 * waits; no case needs half of the harness's own 30 seconds.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 15

/* Before main(), so that the harness and all that it forks stay there together */
static void __attribute__((constructor)) settle_on_one_cpu(void)
{
	stay_on_one_cpu();
}

/*
 * A SKIP in FIXTURE_SETUP() must not run the case. The harness of 6.1 goes on
 * to it, unless the process ends there and then with that harness's number for
 * a skip; the one that knows KSELFTEST_PRIO_TEST needs a return only.
 */
#ifdef KSELFTEST_PRIO_TEST
#define SKIP_FIXTURE(fmt, ...)	SKIP(return, fmt, ##__VA_ARGS__)
#else
#define SKIP_FIXTURE(fmt, ...)	SKIP(_exit(255), fmt, ##__VA_ARGS__)
#endif

/* For a fixture that needs the ioctl @_request of @_vm, which @_cap called @_name stands for */
#define SKIP_FIXTURE_WITHOUT(_vm, _cap, _request, _name)		\
	do {								\
		int _has = vm_supports(_vm, _cap, _request);		\
									\
		if (!_has)						\
			SKIP_FIXTURE("kernel lacks %s", _name);		\
		ASSERT_RET(1, _has);					\
	} while (0)

/* What takes more than two seconds runs on request only */
#define SKIP_UNLESS_SLOW()						\
	do {								\
		const char *_slow = getenv("KSFT_SLOW");		\
									\
		if (!_slow || strcmp(_slow, "1"))			\
			SKIP(return, "slow: set KSFT_SLOW=1");		\
	} while (0)

/* An access that this architecture does not have, or KVM on it, is no failure */
#define SKIP_IF_GUEST_CANNOT(io)					\
	do {								\
		const struct guest_io _io = (io);			\
		const char *_why = guest_cannot(&_io);			\
									\
		if (_why)						\
			SKIP(return, "%s", _why);			\
	} while (0)

/* A call that returns 0, a count, or -errno */
#define __RET(check, want, call)					\
	do {								\
		int _want = (want), _got = (call);			\
									\
		check(_want, _got)					\
			TH_LOG("%s: wanted %s (%d), got %s (%d)", #call, \
			       result_name(_want), _want,		\
			       result_name(_got), _got);		\
	} while (0)
#define EXPECT_RET(want, call)	__RET(EXPECT_EQ, want, call)
#define ASSERT_RET(want, call)	__RET(ASSERT_EQ, want, call)

/* A call that returns a file descriptor or -errno; the value is in @fd */
#define ASSERT_FD(fd, call)						\
	do {								\
		(fd) = (call);						\
		ASSERT_LE(0, (fd))					\
			TH_LOG("%s: wanted a descriptor, got %s", #call, \
			       result_name(fd));			\
	} while (0)

/* Exactly @want signals since the last look */
#define EXPECT_SIGNALS(want, fd)					\
	do {								\
		int64_t _signals = efd_take(fd);			\
									\
		EXPECT_EQ((int64_t)(want), _signals)			\
			TH_LOG("%s: wanted %lld signals, got %lld", #fd, \
			       (long long)(want), (long long)_signals);	\
	} while (0)

/* All of @io stays in the kernel */
#define EXPECT_NO_EXIT(vcpu, io)					\
	do {								\
		const struct guest_io _io = (io);			\
		struct guest_exit _exit = {};				\
		int _exits = guest_do(vcpu, &_io, &_exit, 1);		\
									\
		EXPECT_EQ(0, _exits)					\
			TH_LOG("%s: wanted no exit, got %d (%s), first %s", \
			       io_name(&_io), _exits, result_name(_exits), \
			       exit_name(&_exit));			\
	} while (0)

/* A single access, that leaves for user space just as the guest made it */
#define EXPECT_EXIT(vcpu, io)						\
	do {								\
		const struct guest_io _io = (io);			\
		struct guest_exit _exit = {};				\
		int _exits = guest_do(vcpu, &_io, &_exit, 1);		\
									\
		EXPECT_EQ(1, _exits)					\
			TH_LOG("%s: wanted one exit, got %d (%s)",	\
			       io_name(&_io), _exits, result_name(_exits)); \
		if (_exits > 0) {					\
			EXPECT_TRUE(exit_matches(&_exit, &_io))		\
				TH_LOG("wanted %s as it was, got %s",	\
				       io_name(&_io), exit_name(&_exit)); \
		}							\
	} while (0)

/*
 * The kernel logged nothing that @watch does not expect. This is for teardown,
 * to which a failed ASSERT_ jumps with its handler still armed.
 */
#define EXPECT_SILENCE(watch)						\
	do {								\
		char _line[256] = "";					\
		int _said;						\
									\
		_metadata->trigger = 0;					\
		while ((_said = kmsg_next(watch, _line, sizeof(_line))) > 0) { \
			EXPECT_EQ(0, _said)				\
				TH_LOG("the kernel said: %s", _line);	\
		}							\
		EXPECT_RET(0, _said);					\
	} while (0)

#endif /* KSELFTESTS_EXPECT_H */
