#!/bin/sh
# Run the KUnit suites of one module, and print their results as KTAP.
#
#   load MODULE GLOB [SUITE...]   load the module; without names, every suite that then appears
#   boot MODULE GLOB [SUITE...]   the suites are built in, and ran when the kernel booted
#   skip REASON
#
# The kernel runs the suites of a module while it is loaded, those that kunit.filter_glob lets
# through, and keeps what they printed below debugfs (lib/kunit/debugfs.c).
debugfs=/sys/kernel/debug
results=$debugfs/kunit
filter=/sys/module/kunit/parameters/filter_glob

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

print() {
	for suite in "$@"; do
		[ -r "$results/$suite/results" ] && cat "$results/$suite/results" && printed=yes
	done
}

# The folders below $results that were not in $before.
print_new() {
	for path in "$results"/*/; do
		suite=${path%/}
		suite=${suite##*/}
		echo "$before" | grep -qxF -e "$suite" || print "$suite"
	done
}

how=$1
shift
[ "$how" = skip ] && skip "$@"
module=$1 glob=$2
shift 2
grep -q " $debugfs debugfs" /proc/mounts || mount -t debugfs debugfs $debugfs || exit 1

if [ "$how" = load ]; then
	modprobe kunit 2>/dev/null # where it is a module, its parameter is not there before
	before=$(ls "$results" 2>/dev/null)
	pattern=$(echo "$module" | sed 's/[-_]/[-_]/g')
	grep -q "/$pattern\.ko[.:]" "/lib/modules/$(uname -r)/modules.dep" ||
		skip "this kernel has no module $module"
	if ! grep -q "^$pattern " /proc/modules; then
		if [ "$glob" != '*' ]; then
			# Kernels before 6.6 cannot filter a module's suites: all of them run.
			[ -w $filter ] && printf %s "$glob" >$filter
		fi
		if ! modprobe "$module"; then
			echo "the module $module could not be loaded" >&2
			dmesg | tail -n 5 >&2
			exit 1
		fi
	fi
fi

print "$@"
[ "$how" = load ] && [ $# = 0 ] && print_new
[ "$printed" ] && exit 0
case $glob in
*.*) skip "no test of $module matches $glob" ;;
esac
echo "KUnit has no results of $module in $results: is kunit.enable=0?" >&2
exit 1
