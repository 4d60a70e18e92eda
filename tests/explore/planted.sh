#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Mistakes planted in copies of the library, each of which the explorer must
# find: fails if one is not found.
#
#   planted.sh            all of them, as many at a time as there are processors
#   planted.sh NAME       one of them, with the failure's trace
#
# From make: EXPLORE_DIR (with explore and lib/*.o), EXPLORE_CC (compiler and
# flags).  Each mistake is a sed script for one file; a script that changes
# nothing is an error, so that the list follows the sources.

set -u
cd "$(dirname "$0")/../.." || exit 2
dir=${EXPLORE_DIR:?run by make}
cc=${EXPLORE_CC:?run by make}

# name, file, sed script, then the suites or programs that find it
mistakes()
{
	case $1 in
	moved-late) # MOVED only with the unlock, after the slots were cleared
		plant table.c '/sctx__store_release(&head->chain, chain | SCTX__MOVED | SCTX__LOCKED)/d' \
			pairs-registry ;;
	magazine-early) # nodes are used again one grace period early
		plant magazine.c 's/give(magazine, &magazine->waiting)/give(magazine, closed)/
			s/sctx__nodes_move(surplus, &magazine->waiting)/sctx__nodes_move(surplus, closed)/
			/magazine->waiting = \*closed;/d' \
			'registry/closed: close_a, open_b | find_a | reclaimer | delay' ;;
	teardown-unlocked)
		plant context.c '/^int sctx__stream_teardown/,/^}/{
			s/stream_lock(stream)/sctx__load(\&stream->state)/
			s/stream_unlock(stream, \(.*\));/sctx__store(\&stream->state, \1);/}' \
			pairs-stream ;;
	claim-unchecked) # one context hangs on two streams
		plant context.c 's/if (!sctx__cas_acq_rel(&ctx->stream, &nowhere, stream))/sctx__store(\&ctx->stream, stream); if (0)/' \
			pairs-stream ;;
	remove-keeps-stream) # an unlinked context still says where it hung
		plant context.c '/^static void entry_unlink/,/^}/{/sctx__store_release/d}' \
			pairs-stream ;;
	detach-outside) # the stream is read from the context outside the section
		plant context.c '/^int sctx_detach/,/^}/{
			/sctx__update_begin/d
			s/stream = sctx__load_acquire.*/& sctx__update_begin();/}' \
			'stream/one: detach | retire | reclaimer' ;;
	get-outside) # sctx_get() without its section
		plant context.c '/^struct sctx_context \*sctx_get/,/^}/{/sctx__rcu_read_/d}' \
			'stream/one: get | delete | reclaimer' ;;
	put-outside) # retiring without a section
		plant context.c '/^int sctx_put/,/^}/{/sctx__update_/d}' \
			--bound=1 'stream/one: insert, insert, delete, delete, delete | reclaimer' ;;
	close-unchecked) # the last close does not look whether someone opened
		plant registry.c 's/last = sctx__cas_acq_rel(&node->stream.opens, &one, DEAD)/sctx__store(\&node->stream.opens, DEAD); last = true/' \
			pairs-registry ;;
	open-unchecked) # two openers of one id do not look again under the lock
		plant registry.c '/^static int open_locked/,/^}/s/there = sctx__chain_find(.*);/there = NULL;/' \
			pairs-registry ;;
	find-stays) # a lookup that misses in a bucket that has moved gives up
		plant table.h 's/if (sctx__likely(!(sctx__load_acquire(&head->chain) & SCTX__MOVED)))/if (1)/' \
			pairs-registry ;;
	table-freed) # the old table does not go through limbo
		plant table.c '/^static void finish/,/^}/s/sctx__retire_block(.*);/sctx__table_free(m->from);/' \
			pairs-registry ;;
	overflow-freed) # nor a chained bucket
		plant table.c '/^static void overflow_retire/,/^}/s/sctx__retire_block(.*);/overflow_free(\&overflow->block);/' \
			pairs-registry ;;
	array-freed) # nor a list's old array
		plant list.h 's/sctx__retire_block(&array->block, .*);/array_free(\&array->block);/' \
			pairs-stream ;;
	no-grace-period) # a cycle turns the phase and does not wait
		plant reclaim.c '/^static bool cycle/,/^}/{/sctx__synchronize/d}' \
			'stream/one: lookup | delete | reclaimer' ;;
	ripe-early) # called back in the cycle that collected it
		plant callbacks.c '/^bool sctx__callbacks_turn/,/^}/{
			/sctx__limbo_take_closed/d
			s/bool ripe = any_closed();/bool ripe; sctx__limbo_take_closed(closed_of, \&runners[0].ripe.nodes); ripe = any_closed();/}' \
			'stream/one: lookup | teardown | reclaimer | delay' ;;
	sleep-early) # asleep without the cycle after saying so
		plant reclaim.c '/^static void \*reclaimer_main/,/^}/s/sctx__store(&sctx__shared.sleeping, 1);/& sleep_until_work();/' \
			reclaim ;;
	torn-early) # whether the stream takes contexts is looked at before the lock
		plant context.c '/^static void insert_admitted/,/^}/{
			s/sctx__update_begin();/uint32_t early = sctx__load(\&ins->stream->state); &/
			s/insert_locked(ins, state/insert_locked(ins, early/}' \
			pairs-stream ;;
	replace-gap) # neither the old nor the new for a moment
		plant context.c 's/sctx__store_release(entry_context(entry), ins->ctx);/{ sctx__store(entry_context(entry), NULL); & }/' \
			pairs-stream ;;
	put-lost) # two puts at once count as one
		plant context.c 's/if (sctx__cas_acq_rel(&ctx->refs, &refs, refs - 1))/sctx__store(\&ctx->refs, refs - 1); if (1)/' \
			pairs-stream ;;
	exists-late) # what exists is referenced after the section
		plant context.c '/^static void insert_admitted/,/^}/{
			/if (ins->error == -EEXIST)/d
			/ins->found = sctx_ref(ins->found);/d
			s/sctx__update_end();/& if (ins->error == -EEXIST) ins->found = sctx_ref(ins->found);/}' \
			'stream/one: insert_unique | delete | reclaimer' ;;
	limbo-late) # limbo says that it has let go after it did
		plant callbacks.c '/^static void context_drop/,/^}/{
			/sctx__store(&ctx->in_limbo, 0);/d
			s/ctx->free_callback(ctx);/& else sctx__store(\&ctx->in_limbo, 0);/}' \
			'stream/one: get_hold | delete | reclaimer' ;;
	esac
}

names='moved-late magazine-early teardown-unlocked claim-unchecked remove-keeps-stream detach-outside
get-outside put-outside close-unchecked open-unchecked find-stays table-freed overflow-freed array-freed
no-grace-period ripe-early sleep-early torn-early replace-gap put-lost exists-late limbo-late'

# The mistake's library in $at.  A header is compiled into all.
build() # file, sed script
{
	mkdir -p "$at/lib" && cp lib/* "$at/lib" && sed -e "$2" "lib/$1" >"$at/lib/$1" || exit 2
	if cmp -s "lib/$1" "$at/lib/$1"; then
		echo "FAIL $name: its script changes nothing in lib/$1"
		return 1
	fi
	rm -f "$at"/lib/*.o
	for object in "$dir"/lib/*.o; do
		source=$(basename "$object" .o).c
		case $1 in
		*.h | "$source") $cc -w -c -o "$at/lib/${source%.c}.o" "$at/lib/$source" || return 1 ;;
		*) cp "$object" "$at/lib" ;;
		esac
	done
	$cc -shared -Wl,-soname,libexplored.so -Wl,-z,relro,-z,now -o "$at/libexplored.so" "$at"/lib/*.o \
		-nostartfiles -fno-sanitize=thread
}

plant() # file, sed script, suites or programs
{
	at=$dir/planted/$name
	build "$1" "$2" || { echo "FAIL $name: does not compile"; return 1; }
	shift 2
	LD_LIBRARY_PATH=$at "$dir/explore" --quiet "$@" >"$at/log" 2>&1
	status=$?
	if [ $status = 1 ] && grep -q '^FAILED' "$at/log"; then
		printf 'ok   %-20s %s\n' "$name" "$(sed -n 's/^FAILED //p' "$at/log")"
		printf '     %-20s%s\n' '' "$(grep ', at step ' "$at/log" | tail -1)"
	else
		echo "FAIL $name: not found (exit status $status; $at/log)"
		return 1
	fi
}

if [ $# = 1 ]; then
	name=$1
	mistakes "$1"
	exit $?
fi
# shellcheck disable=SC2086
printf '%s\n' $names | xargs -P "$(nproc)" -n 1 "$0" >"$dir/planted.log"
status=$?
cat "$dir/planted.log"
echo "$(grep -c '^ok' "$dir/planted.log") of $(echo $names | wc -w) planted mistakes found"
exit $status
