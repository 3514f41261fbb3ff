# The compiler that the Makefiles of the tree's own selftests call. Lines before these set
# "compiler", a program on the PATH, and "shared", the flags with which a program finds its loader
# and its libraries in the guest's copy of the suite.
#
# A guest may have no libc, so a program is linked statically unless it asks for another mode. What
# cannot be linked so, or not without a warning that it needs shared libraries all the same, is
# linked with them. Everything else goes to the compiler as it is.

linking=yes mode=static word_size= piped= source=
for word; do
	case $word in
	-c | -S | -E | -M | -MM | -fsyntax-only) linking= ;;
	-r | -shared | -static | -static-pie) linking= ;;
	--version | --help | --help=* | -### | -dump* | -print-* | --print-*) linking= ;;
	# With -static as well, either may link without an error and give what does not run.
	-pie | -fsanitize=*) mode=shared ;;
	-no-pie) mode=static ;;
	-m32 | -mx32) word_size=other ;;
	-m64) word_size= ;;
	-) piped=yes ;;
	esac
done
[ "$linking" ] || exec "$compiler" "$@"
[ ! "$word_size" ] || shared= # the loader there is not for such a program
# shellcheck disable=SC2086 # several flags
[ $mode = static ] || exec "$compiler" $shared "$@"

# What is piped in can be read once, and may be compiled twice.
[ ! "$piped" ] || source=$(cat)
link() {
	if [ "$piped" ]; then
		printf '%s\n' "$source" | "$compiler" "$@"
	else
		"$compiler" "$@"
	fi
}

# The compiler's standard output stays what it is; what it complains of is shown only if it stands.
if { complaint=$(link -static "$@" 2>&1 >&3 3>&-); } 3>&1; then
	case $word_size:$complaint in
	# glibc, through the linker, of dlopen() and of what calls it.
	:*' in statically linked applications requires at runtime the shared libraries '*) ;;
	*)
		[ ! "$complaint" ] || printf '%s\n' "$complaint" >&2
		exit 0
		;;
	esac
fi
# shellcheck disable=SC2086
link $shared "$@"
