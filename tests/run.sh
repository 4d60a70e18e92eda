#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Run test programs, several at a time: a line for each, a log for each.
#
#   tests/run.sh run LABEL LOGS PROGRAM...  ok NAME | FAIL NAME (log) | skip NAME (why)
#   tests/run.sh summary LOGS               N passed, N failed, N skipped; fails if one did
#
# A program passes with exit status 0 and is skipped with 77.  One that runs
# longer than SCTX_TEST_TIMEOUT seconds is killed and has failed.  JOBS run at
# a time; two more than there are processors by default, as some only wait.

set -u
verb=$1
shift

run_one() # label logs program
{
	name=$1/$(basename "$(dirname "$3")")/$(basename "$3" .sh)
	log=$2/$name.log
	mkdir -p "$(dirname "$log")"
	begin=$(date +%s)
	case $3 in *.sh) emulator= ;; *) emulator=${SCTX_TEST_EMULATOR:-} ;; esac
	timeout -k 5 "${SCTX_TEST_TIMEOUT:-120}" $emulator "$3" >"$log" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - begin))
	echo "exit status $status after $took s" >>"$log"
	inside=$(grep -c '^\[  SKIPPED \] [a-z]' "$log")
	[ "$inside" = 0 ] && inside= || inside=", $inside of its cases skipped"
	case $status in
	0) line="ok   $name ($took s$inside)" ;;
	77) line="skip $name ($(grep '^skip:' "$log" | head -1 | sed 's/^skip: *//'))" ;;
	124 | 137) line="FAIL $name (timed out; $log)" ;;
	*) line="FAIL $name ($log)" ;;
	esac
	echo "$line"
	echo "$line" >>"$2/results"
}

case $verb in
run)
	label=$1 logs=$2
	shift 2
	mkdir -p "$logs"
	printf '%s\n' "$@" | xargs -P "${JOBS:-$(($(nproc) + 2))}" -I PROGRAM "$0" one "$label" "$logs" PROGRAM
	;;
one)
	run_one "$@"
	;;
summary)
	passed=$(grep -c '^ok ' "$1/results")
	failed=$(grep -c '^FAIL ' "$1/results")
	skipped=$(grep -c '^skip ' "$1/results")
	if [ "$failed" != 0 ]; then
		grep '^FAIL ' "$1/results" | while read -r _ name _; do
			echo "---- $name"
			grep -v -e '^\[ RUN ' -e '^\[       OK ' "$1/$name.log" | tail -30
		done
		grep '^FAIL ' "$1/results"
	fi
	[ "$skipped" = 0 ] || grep '^skip ' "$1/results"
	if [ "$skipped" = 0 ]; then
		echo "$passed passed, $failed failed"
	else
		echo "$passed passed, $failed failed, $skipped skipped"
	fi
	[ "$failed" = 0 ] && [ "$passed" != 0 ]
	;;
esac
