# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `make bench-selftest`, as a part of bench/run: the drivers report known costs, every
# workload runs and passes its own checks on every backend, and the checks find planted
# bugs.  `make bench-check` leaves out the first, which needs a quiet machine.

failed=0
log=$B/selftest.log
: >"$log"

# expect NAME COMMAND...: it succeeds.
expect() {
	what=$1
	shift
	if "$@" >>"$log" 2>&1; then
		echo "ok  $what"
	else
		echo "BAD $what: see $log"
		failed=$((failed + 1))
	fi
}

say "numbers"
"$B/sctx-selftest" || failed=$((failed + 1))
python3 bench/selftest/selftest.py || failed=$((failed + 1))

known_costs() {
	say "known costs"
	"$P/sctx-gbench" --benchmark_filter=known_cost --benchmark_out="$B/selftest.json" \
		--benchmark_repetitions=5 --benchmark_min_time=0.1 >>"$log"
	for threads in 1 2; do
		"$P/sctx-bench" known_cost floor --threads $threads --seconds 0.5 --json \
			>"$B/selftest-$threads.json"
	done
	python3 bench/report/report.py --check-known "$B/selftest.json" "$B"/selftest-[12].json ||
		failed=$((failed + 1))

}

# 1000 ns each: on time at a fifth of what that allows; at twice of it, half is
# done and what is done has waited for a quarter of the time, in the median.
paced_costs() {
	say "paced"
	"$P/sctx-bench" known_cost floor --rate 200000 --seconds 0.5 --json >"$B/selftest-slow.json"
	"$P/sctx-bench" known_cost floor --rate 2000000 --seconds 0.5 --json >"$B/selftest-fast.json"
	python3 bench/report/report.py --check-paced "$B/selftest-slow.json" "$B/selftest-fast.json" ||
		failed=$((failed + 1))
}

[ "$1" = check ] || { known_costs; paced_costs; }

say "every workload on every backend, checking itself"
trace=$(ls bench/traces/*.trace | head -n 1)
for workload in $(workloads); do
	case $workload in
	known_cost | bare_clock) continue ;;
	replay) options="--ops 1 --trace $trace" ;;
	unload) options="--ops 1000" ;;
	growth) options= ;;
	stall) options="--seconds 0.02" ;;
	open_cached) options="--ops 20000 --resident 300" ;;
	*) options="--ops 20000" ;;
	esac
	for backend in $(backends); do
		if supported "$workload" "$backend"; then
			expect "$workload $backend" "$P/sctx-bench" "$workload" "$backend" \
				--threads 2 --streams 3000 --contexts 17 $options
		else
			echo "-   $workload $backend: not supported"
		fi
	done
done
for backend in $(backends); do
	if supported open_cached "$backend"; then
		expect "replay with idle streams on $backend" "$P/sctx-bench" replay "$backend" \
			--threads 2 --trace "$trace" --resident 300 --create-ns 100 --seconds 0.02
	fi
	if supported open_cold "$backend"; then
		expect "free latency of open_cold $backend" "$P/sctx-bench" open_cold "$backend" \
			--threads 2 --rate 100000 --seconds 0.3 --frees
	fi
done

say "planted bugs"
# planted FAULT WORKLOAD: the harness stops with its own message.
planted() {
	case $2 in
	growth) options= ;;
	stall) options="--seconds 0.02" ;;
	replay) options="--ops 1" ;;
	open_cached) options="--ops 20000 --resident 300" ;;
	*) options="--ops 20000" ;;
	esac
	if BENCH_FAULT=$1 "$B/sctx-broken" "$2" broken $options --streams 3000 --threads 2 \
		--trace "$trace" >>"$log" 2>"$B/planted.txt"; then
		echo "BAD not found: $2 that $1"
		failed=$((failed + 1))
	elif grep -q "^$2/broken\|^broken, closing" "$B/planted.txt"; then
		echo "ok  $2 that $1: $(sed 's/^[^:]*:[^ ]* //' "$B/planted.txt" | head -n 1)"
	else
		echo "BAD $2 that $1: $(head -n 1 "$B/planted.txt")"
		failed=$((failed + 1))
	fi
}

# Without a fault, nothing is found.
for workload in open_warm open_cold mixed update_contended unload open_cached; do
	expect "$workload, no bug" "$B/sctx-broken" $workload broken --ops 20000 --streams 3000
done
planted "finds nothing" lookup_hot
planted "finds nothing" lookup_cold
for workload in open_warm open_many open_zipf open_hot open_cold mixed update_contended; do
	planted "finds nothing" $workload
	planted "finds another" $workload
done
for workload in open_warm open_many open_zipf open_cold mixed unload growth stall; do
	planted "opens twice" $workload
done
for workload in open_cold mixed stall; do
	planted "loses an insert" $workload
	planted "inserts twice" $workload
	planted leaks $workload
	planted "frees twice" $workload
done
planted "does not remove" update_contended
planted "counts wrong" replay
planted "counts wrong" open_cached
planted "keeps one" open_cached
planted "opens twice" open_cached
planted leaks open_cached
planted "does not leave" unload

if [ $failed -ne 0 ]; then
	echo "$failed failed"
	exit 1
fi
echo "all passed"
