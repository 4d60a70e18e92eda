#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every public function is called by an explored program, or is on the list
# below: a new one is put into a program, or there with the reason.

set -u
dir=${EXPLORE_DIR:?run by make}

# Not explored.
cat >"$dir/not-explored" <<LIST
sctx_alloc the library's own memory is: through sctx_context_alloc
sctx_free the same
sctx_tag_stats_get sums of counters
sctx_stats_print prints sums of counters
sctx_registry_print the same
sctx_stats_print_all the same
sctx_leaks_print prints its argument
sctx_version constant
sctx_version_number constant
sctx_open_arg what sctx_open calls for an absent stream
sctx_context_stream reads one pointer
sctx_context_data constant
sctx_owner_arg constant
sctx_owner_name constant
sctx_owner_tag constant
sctx_no_free does nothing
sctx_owner_drain sctx_barrier
sctx_thread_offline of the qsbr flavour
sctx_threads_registered_by_host before the first thread
LIST

called=" $(nm -u "$dir/explore" | sed -n 's/^ *U \(sctx_[a-z_]*\).*/\1/p' | tr '\n' ' ')"
missing=0
# shellcheck disable=SC2013
for name in $(sed -n 's/^SCTX_API .*[ *]\(sctx_[a-z_]*\)(.*/\1/p' include/streamctx.h); do
	case $called in
	*" $name "*) is=called ;;
	*) is=not ;;
	esac
	if grep -q "^$name " "$dir/not-explored"; then
		[ $is = called ] && echo "$name is explored, and on the list of what is not" && missing=1
	elif [ $is = not ]; then
		echo "$name is in no explored program" && missing=1
	fi
done
sed 's/ /: /' "$dir/not-explored"
exit $missing
