#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The models and their variants: a line for each, as tests/run.sh has them.
#
#   tests/model/run.sh list check|long|both      names of runs, MODEL.VARIANT.SCENE
#   tests/model/run.sh build RUN DIR             DIR/pan, from spin and the compiler
#   tests/model/run.sh run LABEL PANS LOGS RUN...
#
# A model's header says its scenes ("scene N check" or "scene N long"), and its
# variants stand in it as "#define NAME N /* scene N: what is broken */"; "scene
# N reversed" or "scene N shortest" finds the counterexample sooner.
# Variant 0 is the library: it passes if the whole state space was searched and
# no error found.  The others pass if a counterexample was found.
#
# MODEL_MEMORY is what a search may take, in MiB; JOBS run at a time.

set -u
here=$(dirname "$0")

list() # check|long|both
{
	for model in list table reclaim; do
		file=$here/$model.pml
		sed -n 's/^ \*   scene \([0-9]*\) \([a-z]*\) .*/\2 '$model'.0.\1/p' "$file"
		sed -n 's/^#define [A-Z_]* \([0-9]*\) \/\* scene \([0-9]*\)[ a-z]*: .*/check '$model'.\1.\2/p' "$file"
	done | while read -r when run; do
		case $1 in both | "$when") echo "$run" ;; esac
	done
}

# To $model, $variant, $scene, $file, $title.
split() # run
{
	model=${1%%.*} scene=${1##*.}
	variant=${1#*.} variant=${variant%.*}
	file=$here/$model.pml
	title=$(sed -n "s/^#define \([A-Z_]*\) $variant \/\* scene .*/\1/p" "$file")
	[ "$variant" != 0 ] || title=library-$scene
}

# The library is searched to the end, so it pays to optimise; variants stop early.
build() # run directory
{
	split "$1"
	options=-O0
	how=$(sed -n "s/^#define $title $variant .* scene [0-9]* \([a-z]*\):.*/\1/p" "$file")
	case $variant$how in
	0) options=-O2 ;;
	*reversed) options="-O0 -DT_REVERSE" ;;
	*shortest) options="-O0 -DBFS" ;;
	esac
	source=$(realpath "$file")
	mkdir -p "$2" && cd "$2" && rm -f pan pan.* ./*.trail || return
	if ! spin -a -DBROKEN="$variant" -DSCENE="$scene" "$source" >spin.log 2>&1; then
		cat spin.log
		return 1
	fi
	${CC:-cc} -w $options -DSAFETY -DCOLLAPSE -DVECTORSZ=512 \
		-DMEMLIM="${MODEL_MEMORY:-3000}" -o pan pan.c
}

# Why the search in $log proves nothing; nothing if it does.
truncated() # log
{
	grep -i -m1 -e 'max search depth too small' -e 'out of memory' -e 'reached -DMEMLIM' \
		-e 'search not completed' -e 'vectorsz' "$1"
	grep -q '^Full statespace search' "$1" || echo "no full search"
	grep -q '^State-vector.*errors: ' "$1" || echo "no result"
}

# The line that says how it went; $log has the details.
verdict() # exit status, log
{
	errors=$(sed -n 's/^State-vector.*errors: \([0-9]*\).*/\1/p' "$2")
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$2")
	seconds=$(sed -n 's/^pan: elapsed time \([0-9.e+-]*\) seconds.*/\1/p' "$2")
	steps=$(sed -n 's/.*(at depth \([0-9]*\)).*/\1/p' "$2" | head -1)
	why=$(truncated "$2" | head -1)
	if [ "$1" = 124 ] || [ "$1" = 137 ]; then
		echo "FAIL $name (timed out; $2)"
	elif [ "$variant" != 0 ] && [ "${errors:-0}" != 0 ]; then
		echo "ok   $name (counterexample found, $steps steps; $states states, ${seconds:-0} s)"
	elif [ "$variant" != 0 ]; then
		echo "FAIL $name (no counterexample; $2)"
	elif [ "${errors:-1}" != 0 ]; then
		echo "FAIL $name (counterexample, ${steps:-?} steps; $2)"
	elif [ -n "$why" ]; then
		echo "FAIL $name ($why; $2)"
	else
		echo "ok   $name (verified; $states states, ${seconds:-0} s)"
	fi
}

run_one() # label pans logs run
{
	split "$4"
	name=$1/$model/$title
	log=$3/$name.log
	mkdir -p "$(dirname "$log")"
	(cd "$2/$4" && exec timeout -k 5 "${SCTX_TEST_TIMEOUT:-600}" ./pan -m100000 -n) \
		>"$log" 2>&1 </dev/null
	line=$(verdict $? "$log")
	if [ -e "$2/$4/$model.pml.trail" ]; then
		echo "replay: spin -t -p -g -k $2/$4/$model.pml.trail" \
			"-DBROKEN=$variant -DSCENE=$scene $file" >>"$log"
	fi
	echo "$line"
	echo "$line" >>"$3/results"
}

case $1 in
list) list "$2" ;;
build) build "$2" "$3" ;;
run)
	label=$2 pans=$3 logs=$4
	shift 4
	mkdir -p "$logs"
	printf '%s\n' "$@" | xargs -P "${JOBS:-$(nproc)}" -I RUN "$0" one "$label" "$pans" "$logs" RUN
	;;
one) run_one "$2" "$3" "$4" "$5" ;;
esac
