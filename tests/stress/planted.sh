#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Whether torture finds bugs: plants them, one at a time, in copies of the
# library's sources below $B/planted, and runs torture with each.  All must be
# found, and the copy without a bug must pass.
#
#   make torture-planted [PLANTED="name name..."]
#   PLANT_ONLY=1 tests/stress/planted.sh    only whether each can be planted: in `make check`
#
# SECONDS_EACH  how long a bug may hide, in each of five runs (12)
#
# ASAN=1 before plant: what only a sanitizer sees.  ASAN_CFLAGS has its flags,
# and the test's objects are then those below $B/asan.

set -u
B=${B:-build}
CC=${CC:-gcc}
CFLAGS=${CFLAGS:--O2 -g}
SECONDS_EACH=${SECONDS_EACH:-12}
PLANTED=${PLANTED:-}
PLANT_ONLY=${PLANT_ONLY:-}
out=$B/planted
missed=0 found=0 ASAN=

build() # name
{
	objects=$B/tests flags=$CFLAGS
	[ -z "$ASAN" ] || objects=$B/asan/tests flags=$ASAN_CFLAGS
	for source in "$out/$1"/lib/*/*.c; do
		$CC -std=gnu11 -pthread -Iinclude -I"$out/$1/lib" -D_GNU_SOURCE -fvisibility=hidden $flags -w \
			-c -o "${source%.c}.o" "$source" || exit 1
	done
	$CC -pthread $flags -o "$out/$1/torture" "$objects"/stress/*.o "$objects/test.o" \
		"$out/$1"/lib/*/*.o -lurcu-memb -lcmocka || exit 1
}

copy() # name
{
	mkdir -p "$out/$1/lib" && rm -rf "$out/$1"/lib/* && cp -r lib/* "$out/$1/lib"
}

# What the first line of a failure says; nothing if it passed.
run() # name seed
{
	timeout -k 5 $((SECONDS_EACH + 130)) "$out/$1/torture" --seconds="$SECONDS_EACH" \
		--seed="$2" >"$out/$1/log.$2" 2>&1
	status=$?
	[ $status = 0 ] && return 1
	line=$(grep -a -m1 -e WRONG -e ERROR: -e ': .* is ' "$out/$1/log.$2")
	echo "${line:-exit status $status}"
}

# plant NAME SED-EXPRESSION: on all of the sources, wherever its function is
plant()
{
	name=$1 edit=$2
	if [ -n "$PLANTED" ]; then
		case " $PLANTED " in *" $name "*) ;; *) return ;; esac
	fi
	copy "$name"
	sed -i "$edit" "$out/$name"/lib/*/*.[ch]
	if diff -qr lib "$out/$name/lib" | grep -q differ; then
		diff -ur lib "$out/$name/lib" >"$out/$name/planted.diff"
	else
		echo "MISSED $name: the sources have changed, nothing was planted"
		missed=$((missed + 1))
		return
	fi
	[ -z "$PLANT_ONLY" ] || return
	build "$name"
	for seed in 1 2 3 4 5; do
		begin=$(date +%s)
		if line=$(run "$name" $seed); then
			echo "found  $name ($(($(date +%s) - begin)) s): $line"
			found=$((found + 1))
			return
		fi
	done
	echo "MISSED $name"
	missed=$((missed + 1))
}

in_function() # its beginning, command
{
	printf '%s\n' "/^$1/,/^}/$2"
}

if [ -z "$PLANT_ONLY" ]; then
	copy sound
	build sound
	if line=$(run sound 1); then
		echo "FAIL   without a bug: $line"
		exit 1
	fi
	echo "ok     without a bug"
fi

# Grace periods and limbo
plant no_grace_period "$(in_function 'static void grace_period' 's/^\tsctx__synchronize();//')"
plant open_set_taken \
	"$(in_function 'void sctx__limbo_take_closed' 's/sctx__shared.phase ^ 1/sctx__shared.phase/')"
plant barrier_too_short 's/reclaimer.started + 2/reclaimer.started + 1/'
plant node_reused_at_once \
	's/sctx__retire_node(&r, stream, bytes);/(void)bytes, sctx__link_of(\&stream->next)->next = sctx__self.magazine.loaded, sctx__self.magazine.loaded = sctx__link_of(\&stream->next);/'
ASAN=1
plant array_freed_at_once 's/sctx__retire_block(&array->block, .*/array_free(\&array->block);/'
ASAN=
plant bytes_not_accounted \
	's/sctx__account_freed(callbacks, bytes);/sctx__account_freed(callbacks, bytes - bytes \/ 1024);/'

# References
plant get_without_reference \
	's/ctx = ref(sctx__lookup(stream, owner, instance));/ctx = sctx__lookup(stream, owner, instance);/'
plant puts_not_atomic \
	"$(in_function 'static inline bool sctx__put_if_others_hold' \
		's/if (sctx__cas_acq_rel(&ctx->refs, &refs, refs - 1))/if ((sctx__store(\&ctx->refs, refs - 1), 1))/')"
plant called_back_for_holders \
	's/if (sctx__unlikely(sctx__load_acquire(&ctx->refs) != 1)) {/if (sctx__unlikely(sctx__load_acquire(\&ctx->refs) > 2)) {/'
plant losers_lost \
	"$(in_function 'static int insert_created' '{/^\tput(created);/{N;s/\n.*//}}')"

# The list
plant remove_without_lock \
	"$(in_function 'static struct sctx_context \*unlink_match' \
		'{s/state = stream_lock(stream)/state = 0/;s/stream_unlock(stream, state);/(void)state;/}')"
plant teardown_without_lock \
	's/stream_lock(stream), /sctx__load(\&stream->state) \& ~1u, /'
plant teardown_keeps_stream \
	"$(in_function 'SCTX__INLINE void drop_all' 's/sctx__store_release(&ctx->stream, NULL);//')"
plant insert_after_teardown \
	's/return state & SCTX__TORN ? -ESHUTDOWN : -EOPNOTSUPP;/return state \& SCTX__TORN ? 0 : -EOPNOTSUPP;/'
plant unique_without_match \
	"$(in_function 'SCTX__INLINE enum step insert_locked' 's/if (ins->mode != INSERT /if (ins->mode == REPLACE /')"

# The table
plant readers_do_not_follow \
	"$(in_function 'static inline struct sctx__node \*sctx__table_find' \
		's/if (sctx__likely(!(sctx__load_acquire(&head->chain) & SCTX__MOVED)))//')"
plant chains_left_behind \
	"$(in_function 'static int copy_chain' 's/\&\& !error; bucket = chain_next(bucket)/\&\& !error; bucket = NULL/')"
plant walk_in_order \
	's/index = next_index(index, table->mask);/index = (index + 1) \& table->mask;/'
plant open_of_a_dead_one \
	"$(in_function 'static int node_open' 's/return -ESTALE;/return 0;/')"

# Modules
plant module_gone_before_its_callbacks \
	"$(in_function 'static int leave' 's/error = wait_for_callbacks(owner, &left);/left = 0;/')"
plant module_not_told_of_teardown \
	"$(in_function 'SCTX__INLINE void drop_all' 's/sctx__owned_unlinked(ctx, stream);//')"

# Forks
plant updates_during_fork \
	"$(in_function 'static inline struct sctx__thread \*sctx__update_begin' \
		's/sctx__load(&sctx__shared.gate)/0/')"
plant child_waits_for_the_dead 's/sctx__rcu_forget(t->reader);/continue;/'

echo "$found found, $missed missed"
[ $missed = 0 ]
