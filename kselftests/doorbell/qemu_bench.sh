#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# qemu_bench.sh [-w] [-r ROUNDS] [GLOB...]: the rows whose VMM is a real QEMU. Its machine has
# testdev.bin for firmware, which rings and prints; this picks what was asked for.
# It prints no clock: in this guest, doorbell_bench does, whichever -w asks for.
rows='qemu-pio/none qemu-pio/any qemu-pio/match qemu-mmio/none qemu-mmio/any qemu-mmio/match'
rounds=15
while getopts wr: option; do
	case $option in
	r) rounds=$OPTARG ;;
	w) ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

wanted() {
	row=$1
	shift
	[ $# -gt 0 ] || return 0
	for glob; do
		# shellcheck disable=SC2254 # it is meant as a pattern
		case $row in $glob) return 0 ;; esac
	done
	return 1
}

if ! command -v qemu-system-x86_64 >/dev/null; then
	for row in $rows; do
		wanted "$row" "$@" && echo "skip $row no QEMU in this guest"
	done
	echo done
	exit 0
fi

out=/tmp/qemu_bench.out
timeout 60 qemu-system-x86_64 -accel kvm -cpu host -machine pc -m 16 \
	-nodefaults -no-user-config -display none -no-reboot \
	-global apic-common.vapic=off -bios testdev.bin -device pci-testdev \
	-chardev "file,id=out,path=$out" -device isa-debugcon,iobase=0xe9,chardev=out \
	-device isa-debug-exit,iobase=0x501,iosize=4 >&2
status=$?
while read -r what row rest; do
	wanted "$row" "$@" || continue
	eval "seen=\${seen_$(echo "$row" | tr -c 'a-z\n' _):-0}"
	[ "$seen" -lt "$rounds" ] || continue
	eval "seen_$(echo "$row" | tr -c 'a-z\n' _)=$((seen + 1))"
	echo "$what $row $rest"
done <"$out"
# 2 * EXIT_GOOD + 1
[ $status -eq 33 ] || exit 2
echo done
