#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Mistakes planted in copies of the library, each of which the explorer must
# find: fails if one is not found.
#
#   planted.sh all        as many at a time as there are processors
#   planted.sh few        those of `make check`, and whether all can be planted
#   planted.sh NAME       one of them, with the failure's trace
#   planted.sh            what EXPLORE_PLANTED says
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
	# ---- lists
	lookup-once) # a lookup does not look again after it passed what was gone
		plant inline.h 's/} while (gone && .*);/} while (0);/
			s/if (!gone || .*)$/if (1)/' \
			steps-list ;;
	only-kept) # a second entry comes, and the first is still said to be the only one
		plant list.h '/if (stream->only)/s/.*/	if (0)/' \
			pairs-list ;;
	only-cleared-late) # for a moment the list has two, and one is said to be the only one
		plant list.h '/if (stream->only)/,/NULL);/d
			/sctx__store_release(&stream->list, list);/a\	sctx__store(\&stream->only, NULL);' \
			triples ;;
	only-early) # an entry is the only one before it is in the list
		plant list.h '/sctx__store_release(&stream->list, list);/i\	if (only) sctx__store_release(\&stream->only, only);' \
			triples ;;
	replace-behind) # in place, though a newer one of the owner's is in front
		plant context.c '/entry == list_match(ins->stream/s/entry == list_match/list_match/' \
			steps-list ;;
	replace-gap) # neither the old nor the new for a moment
		plant context.c 's/sctx__store_release(entry_context(entry), ins->ctx);/{ sctx__store(entry_context(entry), NULL); & }/' \
			pairs-stream ;;
	tag-late) # an entry is published before its tag
		plant list.h '/^static inline void list_append/,/^}/{
			s/entry_write(array_next(array, ctx->owner), ctx);/uint32_t n = array->count; entry_write(\&array_entry(array)[n], ctx);/
			s/sctx__store_release(&array->count, .*/& sctx__store(\&array_tag(array)[n \/ 8], array_tag(array)[n \/ 8] | sctx__tag(ctx->owner) << n % 8 * 8);/}' \
			triples ;;
	array-freed) # a list's old array does not go through limbo
		plant list.h 's/sctx__retire_block(&array->block, .*);/array_free(\&array->block);/' \
			pairs-stream ;;
	# ---- contexts and streams
	teardown-unlocked)
		plant stream.c 's/stream_lock(stream), /sctx__load(\&stream->state), /
			/^SCTX__INLINE int teardown_locked/,/^}/s/stream_unlock(stream, \(.*\));/sctx__store(\&stream->state, \1);/' \
			pairs-stream ;;
	disable-unlocked)
		plant stream.c '/^int sctx_stream_disable/,/^}/{
			s/stream_lock(stream)/sctx__load(\&stream->state)/
			s/stream_unlock(stream, \(.*\));/sctx__store(\&stream->state, \1);/}' \
			pairs-stream ;;
	detach-unlocked)
		plant context.c '/^int sctx_detach/,/^}/{
			s/uint32_t state = stream_lock(stream);//
			/stream_unlock/d}' \
			pairs-stream ;;
	claim-unchecked) # one context hangs on two streams
		plant context.c 's/if (!sctx__cas_acq_rel(&ctx->stream, &nowhere, stream))/sctx__store(\&ctx->stream, stream); if (0)/' \
			pairs-stream ;;
	remove-keeps-stream) # an unlinked context still says where it hung
		plant context.c '/^static void entry_unlink/,/^}/{/sctx__store_release(&ctx->stream/d}' \
			pairs-stream ;;
	detach-outside) # the stream is read from the context outside the section
		plant context.c '/^int sctx_detach/,/^}/{
			/sctx__update_begin/d
			s/stream = sctx__load_acquire.*/& sctx__update_begin();/}' \
			'stream/one: detach | retire | reclaimer' ;;
	get-outside) # sctx_get() without its section
		plant context.c '/^struct sctx_context \*sctx_get/,/^}/{/sctx__rcu_read_/d}' \
			'stream/one: get | delete | reclaimer' ;;
	torn-early) # whether the stream takes contexts is looked at before the lock
		plant context.c '/insert_attempt(struct insertion/,/^}/{
			s/sctx__update_begin();/uint32_t early = sctx__load(\&ins->stream->state); &/
			s/insert_locked(ins, state/insert_locked(ins, early/}' \
			pairs-stream ;;
	exists-late) # what exists is referenced after the section
		plant context.c '/insert_attempt(struct insertion/,/^}/{
			/if (ins->error == -EEXIST)/d
			/ins->found = ins->blind/d
			s/sctx__update_end();/& if (ins->error == -EEXIST) ins->found = ref(ins->found);/}' \
			'stream/one: insert_unique | delete | reclaimer' ;;
	put-lost) # two puts at once count as one
		plant reclaim.h 's/if (sctx__cas_acq_rel(&ctx->refs, &refs, refs - 1))/sctx__store(\&ctx->refs, refs - 1); if (1)/' \
			pairs-stream ;;
	slot-twice) # two who create a stream behind one pointer
		plant stream.c 's/if (sctx__cas_acq_rel(slot, &there, created))/sctx__store(slot, created); if (1)/' \
			pairs-slot ;;
	slot-dropped-twice)
		plant stream.c 's/stream = sctx__exchange_acq_rel(slot, NULL);/stream = sctx__load(slot); sctx__store(slot, NULL);/' \
			pairs-slot ;;
	# ---- limbo
	put-outside) # retiring without a section
		plant context.c '/^static int put(/,/^}/{/sctx__update_/d}' \
			'stream/one: remove | reclaimer' ;;
	no-grace-period) # a cycle turns the phase and does not wait
		plant reclaim.c '/^size_t sctx__cycle(/,/^}/{/grace_period();/d}' \
			'stream/one: lookup | delete | reclaimer' ;;
	phase-late) # the phase is turned behind the grace period
		plant reclaim.c '/^size_t sctx__cycle(/,/^}/{
			/begin();/d
			s/grace_period();/& begin();/}' \
			reclaim ;;
	ripe-early) # called back in the cycle that collected it
		plant callbacks.c '/^bool sctx__callbacks_turn/,/^}/{
			/sctx__limbo_take_closed/d
			s/bool any = any_closed();/bool any; sctx__limbo_take_closed(\&closed, \&ripe.list[SCTX__NODES]); any = any_closed();/}' \
			'stream/one: stay | delete | reclaimer | delay' ;;
	sleep-early) # asleep without the cycle after saying so
		plant reclaim.c '/^static void run_cycles/,/^}/s/sctx__store(&sctx__shared.sleeping, 1);/& sleep_until_work();/' \
			reclaim ;;
	barrier-short) # a barrier waits for one cycle
		plant wait.c 's/reclaimer.started + 2/reclaimer.started + 1/' \
			'stream/one: delete_barrier | reclaimer' ;;
	barrier-ripe) # a cycle counts though it left something ripe
		plant wait.c '/^static void cycle_release/,/^}/s/if (sctx__callbacks_are_ripe())/if (0)/' \
			'stream/nine: teardown_sync | to_poll, poll, poll, poll' ;;
	held-freed) # called back while others hold it
		plant callbacks.c '/^static void context_drop(/,/^}/s/if (sctx__unlikely(.*/if (0) {/' \
			'stream/one: get_hold | delete | reclaimer' ;;
	held-late) # the holders let go meanwhile: called back without another round
		plant callbacks.c '/^static void context_drop_held/,/^}/s/context_drop_again(ctx, links);/ctx->free_callback(ctx);/' \
			--bound=1 'stream/one: stay_other | delete_move, delete_other | reclaimer' ;;
	limbo-late) # limbo says that it has let go after it did
		plant callbacks.c '/^static void context_drop_held/,/^}/{
			/sctx__store(&ctx->in_limbo, 0);/d
			s/if (sctx__put_if_others_hold(ctx))/if (sctx__put_if_others_hold(ctx)) { sctx__store(\&ctx->in_limbo, 0); return; } if (0)/}' \
			'stream/one: get_hold | delete | reclaimer' ;;
	limbo-inserted) # what limbo has may be hung up again
		plant context.c '/int context_claim(/,/^}/s/if (sctx__load(&ctx->in_limbo))/if (0)/' \
			--bound=1 'stream/one: stay_other | delete_move, delete_other | reclaimer' ;;
	# ---- the registry
	moved-late) # MOVED only with the unlock, after the slots were cleared
		plant table.c '/sctx__store_release(&head->chain, chain | SCTX__MOVED | SCTX__LOCKED)/d' \
			pairs-registry ;;
	find-stays) # a lookup that misses in a bucket that has moved gives up
		plant table.h 's/if (sctx__likely(!(sctx__load_acquire(&head->chain) & SCTX__MOVED)))/if (1)/' \
			pairs-registry ;;
	finish-early) # who moves the last bucket finishes, not who is the last to move one
		plant table.c 's/if (sctx__add_acq_rel(&m->from->moved, 1) + 1 == buckets)/if (index + 1 == buckets)/' \
			pairs-registry ;;
	grow-twice) # two successors to one table
		plant table.c 's/if (!sctx__cas_acq_rel(&table->next, &none, next))/sctx__store(\&table->next, next); if (0)/' \
			pairs-registry ;;
	table-freed) # the old table does not go through limbo
		plant table.c '/^static void finish/,/^}/s/sctx__retire_block(.*);/sctx__table_free(m->from);/' \
			pairs-registry ;;
	overflow-freed) # nor a chained bucket
		plant table.c '/^static void overflow_retire/,/^}/s/sctx__retire_block(.*);/overflow_free(\&overflow->block);/' \
			pairs-registry ;;
	magazine-early) # nodes are used again one grace period early
		plant limbo.c '/^static void magazine_turn/,/^}/{
			s/&magazine->waiting, magazine->waiting_count/\&closed->list[SCTX__NODES], closed->nodes/
			s/sctx__list_move(surplus, &magazine->waiting)/sctx__list_move(surplus, \&closed->list[SCTX__NODES])/}' \
			'registry/closed: close_a, open_b | find_a | reclaimer | delay' ;;
	close-unchecked) # the last close does not look whether someone opened
		plant registry.c 's/return .locked || sctx__cas_acq_rel(&stream->opens, &one, DEAD);/if (!*locked) sctx__store(\&stream->opens, DEAD); return true;/' \
			pairs-registry ;;
	dead-opened) # an open does not see that the last close was faster
		plant registry.c '/^static int node_open/,/^}/s/if (sctx__likely(opens < OPENS_MAX))/if (1)/' \
			pairs-registry ;;
	open-unchecked) # two openers of one id do not look again under the lock
		plant registry.c '/^SCTX__INLINE int open_locked/,/^}/s/there = sctx__chain_find(.*);/there = NULL;/' \
			pairs-registry ;;
	# ---- owners
	leaving-unseen) # an insert does not look whether its owner is leaving
		plant owned.h '/^static inline bool sctx__owned_refused/,/^}/s/return .*/(void)owner; return false;/' \
			pairs-owner ;;
	pin-outside) # an open is going to attach, counted without the section that unregister waits for
		plant owner.c '/^void sctx__attachers_pin/,/^}/{/sctx__update_/d}' \
			--bound=1 'owner/closed: open_only | unregister | reclaimer' ;;
	pins-ignored) # unregister does not wait for attach
		plant unload.c '/^static int leave/,/^}/{/wait_for_pins/d}' \
			pairs-owner ;;
	leave-early) # unregister sweeps without the grace period after saying so
		plant unload.c '/^static int leave/,/wait_for_pins/{/sctx__synchronize();/d}' \
			--bound=1 'owner/closed: open_only | unregister | reclaimer' ;;
	leave-late) # it waits for callbacks that are in no limbo yet
		plant unload.c '/a barrier knows of/d' \
			owners ;;
	owner-freed) # an owner that has left is freed while somebody reads the list
		plant owner.c '/^void sctx__owner_forget/,/^}/{/sctx__synchronize/d}' \
			owners ;;
	track-unlocked)
		plant track.c '/^static int track/,/^}/{/tracked_lock/d}' \
			pairs-owner ;;
	esac
}

only_change=
few='lookup-once torn-early get-outside moved-late pins-ignored close-unchecked'
all=$(sed -n '/^mistakes()/,/^}/s/^	\([a-z-]*\)).*/\1/p' "$0")

# The sources with the mistake in $at.
change() # file, sed script
{
	file=$(echo lib/*/"$1")
	[ "$1" = inline.h ] && file=include/streamctx/inline.h
	rm -rf "$at" && mkdir -p "$at" && cp -r lib include "$at" && sed -e "$2" "$file" >"$at/$file" || exit 2
	if cmp -s "$file" "$at/$file"; then
		echo "FAIL $name: its script changes nothing in $file"
		return 1
	fi
}

# Its library there.  A header is compiled into all.
build() # file
{
	for object in "$dir"/lib/*/*.o; do
		source=$(basename "$object" .o).c room=$(basename "$(dirname "$object")")
		case $1 in
		*.h | "$source") $cc -I"$at/include" -I"$at/lib" -w -c -o "$at/lib/${source%.c}.o" "$at/lib/$room/$source" || return 1 ;;
		*) cp "$object" "$at/lib" ;;
		esac
	done
	$cc -shared -Wl,-soname,libexplored.so -Wl,-z,relro,-z,now -o "$at/libexplored.so" "$at"/lib/*.o \
		-nostartfiles -fno-sanitize=thread
}

plant() # file, sed script, suites or programs
{
	at=$dir/planted/$name
	change "$1" "$2" || return 1
	[ -n "$only_change" ] && return 0
	build "$1" || { echo "FAIL $name: no library of it"; return 1; }
	shift 2
	LD_LIBRARY_PATH=$at "$dir/explore" --quiet "$@" >"$at/log" 2>&1
	status=$?
	if [ $status = 1 ] && grep -q '^FAILED' "$at/log"; then
		printf 'ok   %-20s %s\n' "$name" "$(sed -n 's/^FAILED //p' "$at/log" | head -1)"
		printf '     %-20s%s\n' '' "$(grep ', at step ' "$at/log" | head -1 | sed 's/^ *//')"
	else
		echo "FAIL $name: not found (exit status $status; $at/log)"
		return 1
	fi
}

case ${1:-${EXPLORE_PLANTED:-all}} in
all) names=$all ;;
few)
	names=$few
	only_change=yes
	for name in $all; do
		mistakes "$name" || exit 1
	done
	;;
*)
	name=$1
	mistakes "$1"
	exit $?
	;;
esac
# shellcheck disable=SC2086
printf '%s\n' $names | xargs -P "$(nproc)" -n 1 "$0" >"$dir/planted.log"
status=$?
cat "$dir/planted.log"
found=$(grep -c '^ok' "$dir/planted.log")
count=$(echo "$names" | wc -w)
echo "$found of $count planted mistakes found"
[ "$status" = 0 ] && [ "$found" = "$count" ]
