# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make bench                      the whole comparison, a table and report.html
#   BENCH_FILTER=REGEX            only the benchmarks whose names match
#   BENCH_OUT=FILE                Google Benchmark's JSON goes there
#   BENCH_QUICK=1                 fewer repetitions and parameters (40 s)
# make bench-process              whole processes, timed by hyperfine
# make bench-selftest             the measurement itself: known costs, planted bugs
# make bench-check                the same but for the costs: on a busy machine, too
# make bench-study-selftest       both with the packaged peers
# make bench-study-check
# make bench-programs             build/bench/sctx-bench and sctx-gbench
# make bench-targets              each target of speed and memory: met or missed
# make bench-bounds               what no reclamation can give replay, and what counts, contexts
#                                 and sections take from open_warm: code not for use (4 min)
# make bench-study                everything, with the packaged peers: fifty minutes;
#                                 make deps-study first installs them

BENCH_B        := $(B)/bench
BENCH_GBENCH   := $(BENCH_B)/sctx-gbench
BENCH_PLAIN    := $(BENCH_B)/sctx-bench
BENCH_PROGRAMS := $(BENCH_GBENCH) $(BENCH_PLAIN)
BENCH_STUDY_PROGRAMS := $(BENCH_B)/study/sctx-gbench $(BENCH_B)/study/sctx-bench

# Peers that are packaged libraries: for the study alone.
BENCH_STUDY    := ck cds cuckoo glib gluster openssl tbb
DEPS_STUDY     := libck-dev libcds-dev libcuckoo-dev libglib2.0-dev libglusterfs-dev libssl-dev \
		  libtbb-dev

DEPS_BENCH     += valgrind	# bench-cost

BENCH_HARNESS  := $(addprefix harness/,base catalogue growth handover harness machine options plan runner samples \
		  site stall tally thread unload zipf) traces/trace
BENCH_CORE     := $(filter-out $(BENCH_STUDY),$(patsubst bench/backends/%.c,%,$(wildcard bench/backends/*.c)))
BENCH_OBJS     := $(patsubst %,$(BENCH_B)/%.o,$(BENCH_HARNESS) $(BENCH_CORE:%=backends/%))
BENCH_STUDY_OBJS := $(BENCH_STUDY:%=$(BENCH_B)/backends/%.o)
BENCH_ALL_OBJS := $(BENCH_OBJS) $(BENCH_STUDY_OBJS) $(patsubst %,$(BENCH_B)/%.o,harness/sctx-bench harness/gbench selftest/selftest selftest/broken)

# jemalloc comes first, so that malloc() is its own in every backend.  The
# shared library is found beside the programs, wherever the tree is moved to.
BENCH_LIBS := -L$(B) -lstreamctx -Wl,-rpath,'$$ORIGIN/..' -lurcu-memb -lurcu-cds $(RCU_LIB) -lm

BENCH_STUDY_LIBS = -lck -lcds -ltbb -lglusterfs -lcrypto $(shell pkg-config --libs glib-2.0 2>/dev/null) -ldl

BENCH_DEFINES = -DBENCH_RCU='"$(RCU)"' -DBENCH_FLAGS='"$(CFLAGS)"' \
	-DBENCH_COMPILER='"$(shell $(CC) --version 2>/dev/null | head -n 1)"' \
	-DBENCH_URCU_VERSION='"$(shell pkg-config --modversion liburcu 2>/dev/null)"' \
	-DBENCH_BENCHMARK_VERSION='"$(shell pkg-config --modversion benchmark 2>/dev/null)"'

include bench/cost/cost.mk

bench-programs: $(BENCH_PROGRAMS)

$(BENCH_B)/have-deps:
	@mkdir -p $(BENCH_B)
	$(call need_header,libbenchmark-dev,benchmark/export.h)
	$(call need_program,gnuplot-nox,gnuplot)
	$(call need_program,hyperfine,hyperfine)
	$(call need_program,python3,python3)
	@touch $@

# The libraries' own headers are not held to our warnings.
BENCH_SYSTEM = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(1) 2>/dev/null))
$(BENCH_B)/backends/glib.o: CPPFLAGS += $(call BENCH_SYSTEM,glib-2.0)

$(BENCH_B)/backends/gluster.o: CPPFLAGS += $(shell pkg-config --cflags glusterfs-api 2>/dev/null)

$(BENCH_B)/have-study-deps: $(BENCH_B)/have-deps
	$(call need_header,libck-dev,ck_hs.h)
	$(call need_header,libssl-dev,openssl/crypto.h)
	@pkg-config --exists glib-2.0 && [ -e /usr/include/cds/init.h ] && \
	 [ -e /usr/include/libcuckoo/cuckoohash_map.hh ] && [ -e /usr/include/glusterfs/inode.h ] && \
	 [ -e /usr/include/tbb/concurrent_hash_map.h ] || \
		{ echo "missing packages: run 'make deps-study'" >&2; exit 1; }
	@touch $@

$(BENCH_STUDY_OBJS): $(BENCH_B)/have-study-deps

deps-study:
	@$(MAKE) --no-print-directory deps DEPS_EXTRA='$(DEPS_STUDY)'

$(BENCH_B)/backends/%.o: bench/backends/%.cc $(B)/flags $(B)/have-libs
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(SCTX_CXXFLAGS) -Wno-missing-field-initializers $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(BENCH_B)/%.o: bench/%.c $(B)/flags $(B)/have-libs $(BENCH_B)/have-deps
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SCTX_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BENCH_B)/harness/gbench.o: bench/harness/gbench.cc $(B)/flags $(B)/have-libs $(BENCH_B)/have-deps
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(SCTX_CXXFLAGS) $(BENCH_DEFINES) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(BENCH_PLAIN): $(BENCH_B)/harness/sctx-bench.o $(BENCH_OBJS) $(SO)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS)

$(BENCH_GBENCH): $(BENCH_B)/harness/gbench.o $(BENCH_OBJS) $(SO)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -pthread $(CXXFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS) \
		-lbenchmark

$(BENCH_B)/study/sctx-bench: $(BENCH_B)/harness/sctx-bench.o $(BENCH_OBJS) $(BENCH_STUDY_OBJS) $(SO)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -pthread $(CXXFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS) \
		-Wl,-rpath,'$$ORIGIN/../..' $(BENCH_STUDY_LIBS)

$(BENCH_B)/study/sctx-gbench: $(BENCH_B)/harness/gbench.o $(BENCH_OBJS) $(BENCH_STUDY_OBJS) $(SO)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) -pthread $(CXXFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS) \
		-Wl,-rpath,'$$ORIGIN/../..' $(BENCH_STUDY_LIBS) -lbenchmark

bench: $(B)/have-libs $(BENCH_B)/have-deps
	@+$(sub_make) bench-programs
	@B='$(BENCH_B)' BENCH_FILTER='$(BENCH_FILTER)' BENCH_OUT='$(BENCH_OUT)' \
		BENCH_QUICK='$(BENCH_QUICK)' bench/run

bench-process: $(BENCH_PLAIN)
	@B='$(BENCH_B)' bench/run process

# What checks the checks: see bench/selftest/.
BENCH_SELFTEST := $(BENCH_B)/sctx-selftest $(BENCH_B)/sctx-broken

$(BENCH_B)/sctx-selftest: $(BENCH_B)/selftest/selftest.o $(BENCH_OBJS) $(SO)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS)

$(BENCH_B)/sctx-broken: $(BENCH_B)/harness/sctx-bench.o $(BENCH_HARNESS:%=$(BENCH_B)/%.o) $(BENCH_B)/selftest/broken.o $(SO)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -ljemalloc $(BENCH_LIBS)

bench-selftest: $(BENCH_PROGRAMS) $(BENCH_SELFTEST)
	@B='$(BENCH_B)' bench/run selftest

bench-check: $(BENCH_PROGRAMS) $(BENCH_SELFTEST) $(BENCH_B)/window
	@B='$(BENCH_B)' bench/run check
	@bench/selftest/layers.sh $(BENCH_B) $(filter-out $(BENCH_STUDY_OBJS),$(BENCH_ALL_OBJS))
	@B='$(B)' bench/targets/bounds.py check
	@$(BENCH_B)/window >/dev/null

bench-study-selftest bench-study-check: bench-study-%: $(BENCH_STUDY_PROGRAMS) $(BENCH_SELFTEST)
	@B='$(BENCH_B)' P='$(BENCH_B)/study' bench/run $*

bench-study: $(BENCH_STUDY_PROGRAMS) $(COST_PROGRAMS) qsbr-programs
	@B='$(BENCH_B)' P='$(BENCH_B)/study' QSBR='$(B)/qsbr/bench' BENCH_FILTER='$(BENCH_FILTER)' \
		BENCH_OUT='$(BENCH_OUT)' BENCH_QUICK='$(BENCH_QUICK)' bench/run study

# With the peers, and the qsbr flavour beside the main one: some ten minutes.
bench-targets: $(BENCH_STUDY_PROGRAMS) $(COST_PROGRAMS) qsbr-programs
	@B='$(BENCH_B)' P='$(BENCH_B)/study' QSBR='$(B)/qsbr/bench' \
		BENCH_QUICK='$(BENCH_QUICK)' bench/run targets

$(BENCH_B)/window: bench/targets/window.c $(B)/flags $(BENCH_B)/have-deps
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SCTX_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<

bench-bounds: $(BENCH_PLAIN) $(BENCH_B)/window
	@B='$(B)' MAKE='$(MAKE)' bench/targets/bounds.py

qsbr-programs:
	@$(MAKE) --no-print-directory RCU=qsbr B=$(B)/qsbr bench-programs

include bench/spyfs/spyfs.mk

-include $(BENCH_ALL_OBJS:.o=.d)

.PHONY: bench bench-process bench-programs bench-selftest bench-check bench-study bench-targets bench-bounds qsbr-programs bench-study-selftest bench-study-check deps-study
