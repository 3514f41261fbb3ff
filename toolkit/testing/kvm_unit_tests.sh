#!/usr/bin/env bash
# Runs what is below, one of kvm-unit-tests' standalone tests, with the KVM of this machine, and
# ends as a kernel selftest does: 4 for a skip, which they say in words and with 2 or 77
# (scripts/runtime.bash). How long it may take is the toolkit's to say. What comes over the serial
# line has carriage returns, and its environment is no output of a test.
if [ -z "$KVM_UNIT_TEST" ]; then
	qemu=qemu-system-$(uname -m)
	if ! command -v "$qemu" >/dev/null; then
		echo "env: '$qemu': No such file or directory" >&2
		exit 127
	fi
	if [ ! -c /dev/kvm ]; then
		echo "SKIP: needs /dev/kvm, and the machine's CPU has no virtualization"
		exit 4
	fi
	# Some ask QEMU for more memory than the machine has, and use little of it.
	echo 1 >/proc/sys/vm/overcommit_memory
	KVM_UNIT_TEST=yes QEMU=$qemu ACCEL=kvm TIMEOUT=0 bash "$0" </dev/null 2>&1 |
		sed -u 's/\x1b\[[0-9;]*m//g; s/\r$//; /^declare -x /d' | tee /tmp/kvm-unit-test
	status=${PIPESTATUS[0]}
	case $status in
	0) exit 0 ;;
	2 | 77) tail -n 1 /tmp/kvm-unit-test | grep -q '^SKIP ' && exit 4 ;;
	esac
	echo "the test exited with $status" >&2
	grep -m 20 '^FAIL: ' /tmp/kvm-unit-test >&2
	exit 1
fi
