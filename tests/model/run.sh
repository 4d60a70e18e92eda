#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The models and their variants: a line for each, as tests/run.sh has them, with
# states, seconds and verdict.
#
#   tests/model/run.sh run LOGS DIR check|both   DIR: where searches and trails are left
#   tests/model/run.sh replay DIR list/LOOK_ONCE  the counterexample, step by step
#
# A model's header says its scenes ("scene N check" or "scene N long"), each of
# which is searched to the end: list/library-N.  Its variants stand in it as
#
#   #define NAME N /* scene N: what is broken */
#
# and pass if a counterexample was found; "scene N reversed" and "scene N
# shortest" find it sooner.  tcc compiles a search in no time; MODEL_CC runs it
# faster.  A search may take SCTX_TEST_TIMEOUT seconds of CPU and MODEL_MEMORY
# MiB; JOBS run at a time.

set -u
here=$(dirname "$0")

names() # check|both
{
	for model in list table idle reclaim wake; do
		sed -n "s/^ \*   scene \([0-9]*\) \([a-z]*\) .*/\2 $model\/library-\1/p
			s/^#define \([A-Z_]*\) [0-9]* \/\* scene [0-9].*/check $model\/\1/p" "$here/$model.pml"
	done | while read -r when name; do
		case $1 in both | "$when") echo "$name" ;; esac
	done
}

# To $model, $broken, $scene, $defines.
split() # name
{
	model=${1%/*} broken=0 scene=${1#*/library-} how=
	case $1 in
	*/library-*) ;;
	*)
		line=$(sed -n "s/^#define ${1#*/} \([0-9]*\) \/\* scene \([0-9]*\) *\([a-z]*\):.*/\1 \2 \3/p" "$here/$model.pml")
		read -r broken scene how <<-END
			$line
		END
		;;
	esac
	defines="-DBROKEN=$broken -DSCENE=$scene"
}

search() # dir
{
	case $how in
	reversed) order=-DT_REVERSE ;;
	shortest) order=-DBFS ;;
	*) order= ;;
	esac
	rm -rf "$1" && mkdir -p "$1" && cp "$here"/*.pml "$1" && cd "$1" || return
	# shellcheck disable=SC2086 # several words
	spin -a $defines "$model.pml" &&
		${MODEL_CC:-tcc} -w -DSAFETY -DVECTORSZ=512 $order \
			-DMEMLIM="${MODEL_MEMORY:-3000}" -o pan pan.c &&
		ulimit -t "${SCTX_TEST_TIMEOUT:-120}" && exec ./pan -m100000 -n
}

# Why a search proves nothing; nothing if it does.
truncated() # log
{
	grep -i -m1 -e 'max search depth too small' -e 'out of memory' -e 'reached -DMEMLIM' \
		-e 'search not completed' -e 'vectorsz' "$1"
	grep -q '^Full statespace search' "$1" || echo "no full search"
	grep -q '^State-vector.*errors: ' "$1" || echo "no result"
}

verdict() # exit status, log
{
	errors=$(sed -n 's/^State-vector.*errors: \([0-9]*\).*/\1/p' "$2")
	steps=$(sed -n 's/.*(at depth \([0-9]*\)).*/\1/p' "$2" | head -1)
	why=$(truncated "$2" | head -1)
	case $1 in 137 | 152) why="timed out" ;; esac
	if grep -q 'invalid array index' "$2"; then
		echo "FAIL the model itself is wrong ($2)"
	elif [ "$broken" != 0 ] && [ "${errors:-0}" != 0 ]; then
		echo "ok counterexample of $steps steps"
	elif [ "$broken" != 0 ]; then
		echo "FAIL no counterexample ($2)"
	elif [ "${errors:-0}" != 0 ]; then
		echo "FAIL counterexample of $steps steps ($2)"
	elif [ -n "$why" ]; then
		echo "FAIL $why ($2)"
	else
		echo "ok verified"
	fi
}

run_one() # logs dir name
{
	split "$3"
	log=$1/model/$3.log
	mkdir -p "$(dirname "$log")"
	(search "$2/$3") >"$log" 2>&1 </dev/null
	line=$(verdict $? "$log")
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$log" | head -1)
	seconds=$(sed -n 's/^pan: elapsed time \([0-9.e+-]*\) seconds.*/\1/p' "$log")
	[ ! -e "$2/$3/$model.pml.trail" ] || echo "replay: $0 replay $2 $3" >>"$log"
	line=$(printf '%-4s %-30s %9s states %7s s   %s' "${line%% *}" "model/$3" \
		"${states:--}" "${seconds:-0}" "${line#* }")
	echo "$line"
	echo "$line" >>"$1/results"
}

case $1 in
run)
	logs=$2 dir=$3
	mkdir -p "$logs"
	names "$4" | xargs -P "${JOBS:-$(nproc)}" -I NAME "$0" one "$logs" "$dir" NAME
	echo "     replay: $0 replay $dir MODEL/VARIANT"
	;;
one) run_one "$2" "$3" "$4" ;;
replay)
	split "$3"
	# shellcheck disable=SC2086
	cd "$2/$3" && exec spin -t -p -g $defines "$model.pml"
	;;
esac
