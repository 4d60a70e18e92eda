#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Whether the fuzzers find bugs: plants them, one at a time, in copies of the
# sources below build/fuzz/planted; replaying the corpus, or fuzzing from it for
# SECONDS_EACH, must end in a failure.  Without a bug nothing must be found.
#
#   make fuzz-planted [PLANTED="name name..."]
#   PLANT_ONLY=1 tests/fuzz/planted.sh    only whether each can be planted: in `make check`
set -u
out=${1:-${B:-build}/fuzz}/planted
PLANT_ONLY=${PLANT_ONLY:-}
SECONDS_EACH=${SECONDS_EACH:-30}
PLANTED=${PLANTED:-}
found=0 missed=0
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=0

# Of each target: the folder that bugs are planted in, other sources, flags, libraries.
target()
{
	target=$1 wraps='' libs=''
	case $target in
	api)
		folder=lib libs=-lurcu-memb
		others=$(ls tests/fuzz/*.c | grep -v -e trace -e options)
		for f in malloc aligned_alloc mmap getrandom; do wraps="$wraps -Wl,--wrap=$f"; done
		;;
	trace) folder=bench others="tests/fuzz/trace.c tests/fuzz/trace_valid.c" ;;
	options) folder=bench others=tests/fuzz/options.c ;;
	esac
}

compile() # source object: quotes are for headers of the sources' own folder first
{
	$FUZZ_CC -I"${3:-lib}" $FUZZ_FLAGS -w -DFIRST_BUCKETS=1 -c -o "$2" "$1" || exit 1
}

# Objects without a bug, made once.
sound_objects()
{
	mkdir -p "$out/$target"
	case $target in
	api) sources=$(ls lib/*/*.c) ;;
	trace) sources="bench/traces/trace.c bench/harness/plan.c" ;;
	options) sources=bench/harness/options.c ;;
	esac
	for source in $sources $others; do
		object=$out/$target/$(echo "$source" | tr / .).o
		[ -f "$object" ] && [ -z "$(find lib include bench tests/fuzz -name '*.[ch]' \
			-newer "$object")" ] && continue
		compile "$source" "$object"
	done
}

link() # objects
{
	$FUZZ_CC $FUZZ_FLAGS $wraps -o "$out/$target/fuzz" "$@" $libs || exit 1
}

# What the first line of a failure says; nothing if there was none.
run() # name
{
	log=$out/$target/$1.log
	set -- -timeout=20 -max_len=400 -artifact_prefix="$out/$target/$1-" -len_control=0
	[ ! -f "tests/fuzz/$target.dict" ] || set -- "$@" -dict="tests/fuzz/$target.dict"
	rm -rf "$out/$target/new" && mkdir "$out/$target/new"
	"$out/$target/fuzz" "$@" -runs=0 "tests/fuzz/corpus/$target" >"$log" 2>&1 &&
		"$out/$target/fuzz" "$@" -max_total_time="$SECONDS_EACH" "$out/$target/new" \
			"tests/fuzz/corpus/$target" >"$log" 2>&1 && return 1
	grep -a -m1 -e '\.c:[0-9]*: ' -e 'ERROR: [AL]' -e 'ERROR: lib' "$log" | cut -c 1-110
}

# plant NAME FILE.c SED-EXPRESSION [HEADER.h]: edits the file, or that header
plant()
{
	name=$1 file=$2 edit=$3 changed=${4:-$2}
	if [ -n "$PLANTED" ]; then
		case " $PLANTED " in *" $name "*) ;; *) return ;; esac
	fi
	copy=$out/$name/$folder
	rm -rf "${out:?}/$name" && mkdir -p "$out/$name"
	find "$folder" -name '*.[ch]' -exec cp --parents -t "$out/$name" {} +
	sed -i "$edit" "$copy/$changed"
	if cmp -s "$folder/$changed" "$copy/$changed"; then
		echo "MISSED $target/$name: $changed has changed, nothing was planted"
		missed=$((missed + 1))
		return
	fi
	[ -z "$PLANT_ONLY" ] || return
	compile "$copy/$file" "$out/$name/planted.o" "$copy"
	link $(ls "$out/$target"/*.o | grep -v "/$folder\.$(echo "$file" | tr / .)\.o$") "$out/$name/planted.o"
	begin=$(date +%s)
	if line=$(run "$name"); then
		echo "found  $target/$name ($(($(date +%s) - begin)) s): $line"
		found=$((found + 1))
	else
		echo "MISSED $target/$name"
		missed=$((missed + 1))
	fi
}

begin_target()
{
	target "$1"
	[ -z "$PLANT_ONLY" ] || return
	sound_objects
	[ -z "$PLANTED" ] || return
	link "$out/$target"/*.o
	if line=$(run sound); then
		echo "FAIL   $target without a bug: $line"
		exit 1
	fi
	echo "ok     $target without a bug"
}

in_function() # its beginning, command
{
	printf '%s\n' "/^$1/,/^}/$2"
}

begin_target options
plant number_unlimited harness/options.c 's/ || value > max)/)/'
plant number_with_sign harness/options.c "s/\*text < '0' || \*text > '9' || //"
plant not_a_number harness/options.c 's/!(value > 0 \&\& value < max)/value <= 0 || value >= max/'
plant trace_missing harness/options.c 's/w->param == PARAM_TRACE \&\& !o->trace/false/'

begin_target trace
plant number_overflows traces/trace.c 's/value > (max - digit) \/ 10/value > max/'
plant leading_zero traces/trace.c "s/\*first == '0' \&\& r->at - first > 1/false/"
plant handle_far_off traces/trace.c 's/e.handle > p->handles/false/'
plant file_one_too_far traces/trace.c 's/e.file >= t->files/e.file > t->files/'
plant closes_not_counted traces/trace.c "s/ += \*text == 'o' || \*text == 'c'/ += *text == 'o'/"
plant slots_shared harness/plan.c 's/share->slots += process\[i\].handles/share->slots += process[i].handles - 1/'

begin_target api
plant found_without_reference stream/context.c \
	's/ins->blind ? NULL : ref(ins->found)/ins->blind ? NULL : ins->found/'
plant torn_but_ready stream/stream.c 's/(state \& ~(SCTX__READY | SCTX__TRACKED))/(state \& ~SCTX__TRACKED)/'
plant copy_forgets_the_last stream/context.c \
	"$(in_function 'static inline struct sctx__array \*list_replace' 's/i < view.count/i + 1 < view.count/')" stream/list.h
plant chains_left_behind registry/table.c \
	"$(in_function 'static int copy_chain' 's/\&\& !error; bucket = chain_next(bucket)/\&\& !error; bucket = NULL/')"
plant called_back_for_holders reclaim/callbacks.c \
	's/if (sctx__unlikely(sctx__load_acquire(&ctx->refs) != 1)) {/if (sctx__unlikely(sctx__load_acquire(\&ctx->refs) > 2)) {/'
plant no_grace_period reclaim/reclaim.c "$(in_function 'static void grace_period' 's/^\tsctx__synchronize();//')"
plant losers_lost stream/context.c \
	"$(in_function 'static int insert_created' '{/^\tput(created);/{N;s/\n.*//}}')"
plant existing_created registry/registry.c 's/if (flags \& SCTX_OPEN_EXISTING)/if (flags \& SCTX_OPEN_EXISTING \&\& flags \& SCTX_OPEN_NOWAIT)/'
plant detached_in_place stream/stream.c 's/sctx__store_release(&ctx->stream, NULL);/;/'
plant wrong_tag_taken memory/tag.c 's/(tag \&\& block->tag != tag) || !account/!account/'
plant owner_not_told owner/owned.c 's/owner->ops.detached(ctx);/;/'
plant leaver_taken stream/context.c 's/sctx__owned_refused(ctx) ? -ESHUTDOWN : //'
plant leaver_let_go owner/unload.c 's/left == 0)/left <= 1)/'
plant limit_of_0 reclaim/lifecycle.c 's/options->limit_bytes > 0/true/'

echo "$found found, $missed missed"
[ $missed = 0 ]
