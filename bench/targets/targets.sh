# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the targets of bench/targets/targets.py need, as a part of bench/run: each stage
# writes into the folder T, results of sctx-gbench as NAME.json, and of
# sctx-bench as NAME.K.json, where K counts its repetitions.
#
# What is to be compared is measured together: one group, interleaved.

T=${T:-$B/targets}

# together NAME FILTER [OPTION...]
together() {
	what=$1 pattern=$2
	shift 2
	say "targets: $what"
	"$P/sctx-gbench" --together --benchmark_filter="$pattern" --benchmark_out="$T/$what.json" \
		--benchmark_repetitions="$repetitions" --benchmark_min_time="$min_time" \
		--benchmark_enable_random_interleaving=true "$@"
}

limited=

# once NAME K WORKLOAD BACKEND [OPTION...]
once() {
	into=$T/$1.$2.json
	shift 2
	$limited "$P/sctx-bench" "$@" --json >"$into"
}

targets_begin() {
	mkdir -p "$T"
	rm -f "$T"/*.json
}

targets_throughput() {
	together hot '^known_cost/|^lookup_hot/(streamctx|streamctx_so|floor|mutex)/contexts:1/'
	together scan '^lookup_hot/streamctx/' --threads=1
	together firstlast '^(lookup_first|lookup_last)/streamctx/' --threads=1 --streams="$big"
	together warm '^open_(warm|many)/' --streams="$big"
	together larger '^open_warm/streamctx/' --threads=1 --streams="$big,$large"
	together openhot '^open_hot/(streamctx|atomic)/'
	together cold '^open_cold/'
	together replay '^replay/(streamctx|mutex)/' --threads=2 --resident=0 --create-ns=0
}

# Opens that find their stream idle, beside those that throw it away: one group.
targets_resident() {
	together resident '^known_cost/|^replay/(streamctx|mutex|sharded|floor)/|^replay/(rwlock|urcu)/.*/create_ns:' \
		--resident=0,16384
	together cached '^open_cached/' --threads=2
	say "targets: latency of an open, and hit rates"
	for k in 1 2 3; do
		for backend in streamctx mutex sharded; do
			once cached-$backend $k open_cached $backend --threads 2 --latency \
				--seconds "$paced"
		done
	done
	for trace in build git search; do
		for limit in 256 1024 4096; do
			once hits-$trace-$limit 1 replay streamctx --trace bench/traces/$trace.trace \
				--resident $limit --ops 1
		done
	done
	python3 bench/traces/hitrate.py --policies LRU --limits 256,1024,4096 --json "$T/lru.hits" \
		bench/traces/build.trace bench/traces/git.trace bench/traces/search.trace >/dev/null
}

# The other flavour is another build of everything.
targets_qsbr() {
	[ -x "$QSBR/sctx-gbench" ] || return 0
	main=$P P=$QSBR
	together qsbr '^lookup_hot/(streamctx|floor)/contexts:1/' --threads=1
	P=$main
}

targets_oversubscribed() {
	together oversubscribed '^mixed/(streamctx|mutex)/' --threads=16
	rate=$(python3 bench/report/report.py --json "$T/oversubscribed.json" --rate mixed/16)
	say "targets: mixed, 16 threads, at $rate a second"
	for k in 1 2 3; do
		once oversubscribed-clock $k bare_clock floor --threads 16 --rate "$rate" \
			--seconds "$paced"
		for backend in streamctx mutex; do
			once oversubscribed-$backend $k mixed $backend --threads 16 --rate "$rate" \
				--seconds "$paced"
		done
	done
}

# The subject several times, the others once, to compare it with.
targets_stall() {
	say "targets: a reader stalls for $stall s"
	for backend in ${compared:-$(backends)}; do
		supported stall "$backend" || continue
		for k in 1 2 3; do
			[ $k = 1 ] || [ "$backend" = streamctx ] || continue
			once stall-$backend $k stall "$backend" --threads 2 --seconds "$stall"
		done
	done
}

targets_growth() {
	say "targets: growth to $growth_streams streams"
	for backend in ${compared:-$(backends)}; do
		supported growth "$backend" || continue
		[ "$backend" = floor ] && continue
		for k in 1 2 3; do
			[ $k = 1 ] || [ "$backend" = streamctx ] || continue
			# A table that does not grow takes hours.
			limited="timeout 100"
			once growth-$backend $k growth "$backend" --streams "$growth_streams" || {
				say "growth of $backend: not within 100 s, left out"
				rm "$T/growth-$backend.$k.json"
			}
			limited=
		done
	done
}

targets_memory() {
	say "targets: memory of $big streams, and of churn"
	for k in 1 2 3; do
		once memory-streamctx $k open_warm streamctx --streams "$big" --ops 1000
		once churn-streamctx $k open_cold streamctx --threads 2 --seconds "$churn"
	done
}
