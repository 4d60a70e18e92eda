# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make bench                      the whole comparison, a table and report.html
#   BENCH_FILTER=REGEX            only the benchmarks whose names match
#   BENCH_OUT=FILE                Google Benchmark's JSON goes there
#   BENCH_QUICK=1                 fewer repetitions and parameters (40 s)
# make bench-process              whole processes, timed by hyperfine
# make bench-selftest             the measurement itself, against a known cost
# make bench-programs             build/bench/sctx-bench and sctx-gbench

BENCH_B        := $(B)/bench
BENCH_GBENCH   := $(BENCH_B)/sctx-gbench
BENCH_PLAIN    := $(BENCH_B)/sctx-bench
BENCH_PROGRAMS := $(BENCH_GBENCH) $(BENCH_PLAIN)

BENCH_BACKENDS := $(wildcard bench/backends/*.c)
BENCH_HARNESS  := catalogue harness machine plan runner samples site tally trace unload zipf
BENCH_OBJS     := $(patsubst %,$(BENCH_B)/%.o,$(BENCH_HARNESS) $(BENCH_BACKENDS:bench/%.c=%))
BENCH_ALL_OBJS := $(BENCH_OBJS) $(BENCH_B)/sctx-bench.o $(BENCH_B)/gbench.o

# jemalloc comes first, so that malloc() is its own in every backend.  The
# shared library is found beside the programs, wherever the tree is moved to.
BENCH_LIBS := -L$(B) -lstreamctx -Wl,-rpath,'$$ORIGIN/..' -lurcu-memb -lurcu-cds $(RCU_LIB) -lm

BENCH_DEFINES = -DBENCH_RCU='"$(RCU)"' -DBENCH_FLAGS='"$(CFLAGS)"' \
	-DBENCH_COMPILER='"$(shell $(CC) --version 2>/dev/null | head -n 1)"' \
	-DBENCH_URCU_VERSION='"$(shell pkg-config --modversion liburcu 2>/dev/null)"' \
	-DBENCH_BENCHMARK_VERSION='"$(shell pkg-config --modversion benchmark 2>/dev/null)"'

bench-programs: $(BENCH_PROGRAMS)

$(BENCH_B)/have-deps:
	@mkdir -p $(BENCH_B)/backends
	$(call need_header,libbenchmark-dev,benchmark/export.h)
	$(call need_program,gnuplot-nox,gnuplot)
	$(call need_program,hyperfine,hyperfine)
	$(call need_program,python3,python3)
	@touch $@

$(BENCH_B)/%.o: bench/%.c $(B)/flags $(B)/have-libs $(BENCH_B)/have-deps
	$(call say,CC,$@)
	$(Q)$(CC) $(SCTX_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BENCH_B)/gbench.o: bench/gbench.cc $(B)/flags $(B)/have-libs $(BENCH_B)/have-deps
	$(call say,CXX,$@)
	$(Q)$(CXX) $(SCTX_CXXFLAGS) $(BENCH_DEFINES) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(BENCH_PLAIN): $(BENCH_B)/sctx-bench.o $(BENCH_OBJS) $(SO)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS)

$(BENCH_GBENCH): $(BENCH_B)/gbench.o $(BENCH_OBJS) $(SO)
	$(call say,LINK,$@)
	$(Q)$(CXX) -pthread $(CXXFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS) \
		-lbenchmark

bench: $(BENCH_PROGRAMS)
	@B='$(BENCH_B)' BENCH_FILTER='$(BENCH_FILTER)' BENCH_OUT='$(BENCH_OUT)' \
		BENCH_QUICK='$(BENCH_QUICK)' bench/run

bench-process: $(BENCH_PLAIN)
	@B='$(BENCH_B)' bench/run process

bench-selftest: $(BENCH_PROGRAMS)
	@B='$(BENCH_B)' bench/run selftest

-include $(BENCH_ALL_OBJS:.o=.d)

.PHONY: bench bench-process bench-programs bench-selftest
