#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Run test programs, several at a time: a line for each, a log for each.
#
#   tests/run.sh run LABEL LOGS PROGRAM...  ok NAME | FAIL NAME (log) | skip NAME (why)
#   tests/run.sh summary LOGS               N passed, N failed, N skipped; fails if one did
#
# A program passes with exit status 0 and is skipped with 77.  JOBS run at a
# time; two more than there are processors by default, as some only wait.
#
# A program that takes longer than SCTX_TEST_TIMEOUT seconds is killed and has
# failed.  The limit is for an idle machine: while more threads are ready to run
# than there are processors, a second counts as the share of it that each gets.

set -u
verb=$1
shift

# Wait for process $1, and kill it if it takes longer than $2 seconds.
watch()
{
	cpus=$(nproc)
	left=$(($2 * 100))
	while [ -d "/proc/$1" ] && [ "$left" -gt 0 ]; do
		sleep 0.5
		read -r load _ </proc/loadavg
		load=$((${load%.*} + 1))
		left=$((left - 50 * cpus / (load > cpus ? load : cpus) - 1))
	done
	[ -d "/proc/$1" ] || return
	echo "killed: it took longer than $2 s"
	kill "$1"
}

# Tenths of a second, out of what times(1) prints.
processor_time()
{
	awk 'NR == 2 { split($1, u, /[ms]/); split($2, s, /[ms]/)
		printf "%d\n", 600 * (u[1] + s[1]) + 10 * (u[2] + s[2]) }' "$1"
}

run_one() # label logs program
{
	name=$1/$(basename "$(dirname "$3")")/$(basename "$3" .sh)
	log=$2/$name.log
	mkdir -p "$(dirname "$log")"
	begin=$(date +%s)
	case $3 in *.sh) emulator= ;; *) emulator=${SCTX_TEST_EMULATOR:-} ;; esac
	# timeout(1) makes a process group of the program and all that it starts.
	timeout -k 5 0 $emulator "$3" >"$log" 2>&1 </dev/null &
	program=$!
	watch "$program" "${SCTX_TEST_TIMEOUT:-120}" >"$log.killed" &
	watcher=$!
	wait "$program" 2>/dev/null
	status=$?
	kill "$watcher" 2>/dev/null
	[ -s "$log.killed" ] && cat "$log.killed" >>"$log" && status=timeout
	took=$(($(date +%s) - begin))
	times >"$log.times"
	cpu=$(processor_time "$log.times")
	rm -f "$log.killed" "$log.times"
	echo "exit status $status after $took s, $((cpu / 10)).$((cpu % 10)) s of processor time" >>"$log"
	inside=$(grep '^\[  SKIPPED \] [a-z]' "$log" | sort -u | wc -l)
	[ "$inside" = 0 ] && inside= || inside=", $inside of its cases skipped"
	case $status in
	0) line="ok   $name ($took s$inside)" ;;
	77) line="skip $name ($(grep '^skip:' "$log" | head -1 | sed 's/^skip: *//'))" ;;
	timeout) line="FAIL $name (timed out; $log)" ;;
	*) line="FAIL $name ($log)" ;;
	esac
	echo "$line"
	echo "$line" >>"$2/results"
	echo "$cpu $name" >>"$2/times"
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
	sort -rn "$1/times" | awk '{ sum += $1 } NR <= 3 { most = most sprintf(" %s %d s", $2, $1 / 10) }
		END { printf "%d s of processor time; most of it:%s\n", sum / 10, most }'
	if [ "$skipped" = 0 ]; then
		echo "$passed passed, $failed failed"
	else
		echo "$passed passed, $failed failed, $skipped skipped"
	fi
	[ "$failed" = 0 ] && [ "$passed" != 0 ]
	;;
esac
