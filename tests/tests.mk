# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make check        everything: four flavours, ASan and UBSan, with jemalloc
# make check-fast   the default flavour but what waits for seconds, its races brief:
#                   20 seconds
# make check-unit   the default flavour
# make check-rounds once what is too long for check (LONG_PARTS), then the races
#                   again and again, longer: MINUTES=10
# make check-long   that, and all that is long by itself (LONG_TARGETS), each for
#                   MINUTES or as long as it takes: hours
#
# One program per file; SCTX_TEST_FILTER='name*' runs a part of one.  A line
# for each program, its output in $(B)/tests/log/SUITE/.  tests/run.sh has the
# rest of what can be set.
#
# The programs link the shared library and, but for a few, know no flavour:
# another flavour's suite is the same programs with LD_LIBRARY_PATH set
# (test_run() looks whether the right library was found).  The few, which have
# liburcu or the static library compiled in, are built once for each.

T := $(B)/tests
MINUTES ?= 10

TEST_CXX := unit/cxx
TEST_FAULT := unit/fault_registry unit/fault_contexts unit/fault_threads
TEST_FLAVOUR := $(TEST_FAULT) unit/by_host unit/inline unit/cxx_inline
TEST_DLOPEN := unit/dlopen unit/stays
TEST_POOL := unit/fault_pool unit/fault_pool_jemalloc
# All others, each linked with the library, test.c and module.c.
TEST_PLAIN := $(filter-out $(TEST_FLAVOUR) $(TEST_DLOPEN) $(TEST_POOL),$(patsubst tests/%.c,%, \
	      $(wildcard tests/unit/*.c tests/conformance/*.c))) \
	      fsrtl/spy fsrtl/mini fsrtl/watch fsrtl/wdk
# Complete programs for readers; each passes if it exits with 0.
TEST_EXAMPLES := $(patsubst tests/%.c,%,$(wildcard tests/examples/*.c))
TEST_SCRIPTS := tests/meta/layers.sh tests/install.sh tests/readme.sh tests/debug.sh tests/stats.sh tests/fsrtl/compile.sh

# Any flavour runs these; what races is run by check-long, too.
TEST_ANY := $(TEST_PLAIN) $(TEST_CXX) $(TEST_DLOPEN)
TEST_RACES := unit/races unit/mode_changes unit/pool conformance/teardown_races conformance/set_races unit/barrier unit/callbacks unit/limits_wait unit/threads unit/growth \
	      unit/fork unit/fork_busy unit/idle_races
TEST_JEMALLOC := unit/context unit/teardown unit/insert unit/many_contexts unit/registry unit/close unit/growth unit/registry_memory \
	      unit/pool unit/locked unit/barrier unit/callbacks unit/limits unit/limits_wait unit/threads unit/fork unit/fork_callbacks unit/fork_busy unit/races
# Not forks: ThreadSanitizer does not follow threads into a child.
TEST_TSAN := $(filter-out unit/fork unit/fork_callbacks unit/fork_busy unit/fork_waits unit/fork_full unit/teardown_fork unit/exit,$(TEST_PLAIN)) unit/inline

# ------------------------------------------------------------------ programs

TEST_CFLAGS := $(SCTX_CFLAGS) -Itests
TEST_CXXFLAGS := $(filter-out -std=%,$(SCTX_CXXFLAGS)) -std=c++11 -Itests
# inline.h ends a struct in an array, which C++ has only as an extension.
$(T)/unit/cxx.o: TEST_CXXFLAGS += -Wpedantic

# SAN=1: the library's sources and the test in one program, for the sanitizers.
TEST_LIBRARY := $(if $(SAN),$(B)/libstreamctx.a,$(SO))
TEST_LIBS := $(if $(SAN),$(B)/libstreamctx.a,-L$(B) -lstreamctx -Wl,-rpath,$(abspath $(B)))

# What stress/faults/inject.c stands in for.
FAULT_WRAPS := malloc calloc realloc aligned_alloc posix_memalign free mmap munmap mlock \
	       pthread_create pthread_setspecific pthread_key_create getrandom

FAULT_POOL_WRAPS := mmap munmap mlock

TEST_ALL := $(TEST_ANY) $(TEST_FLAVOUR)
# Not those that wait for as long as the library is patient, nor those with a build of their own.
TEST_FAST := $(filter-out unit/exit unit/fork_waits unit/fork_full unit/dlopen unit/cxx%,$(TEST_ALL))

$(B)/have-cmocka: | $(B)/lib
	$(call need_header,libcmocka-dev,cmocka.h)
	@touch $@

$(T)/%.o: tests/%.c $(B)/flags $(B)/have-cmocka
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(T)/%.o: tests/%.cc $(B)/flags
	$(call say,CXX,$@)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(TEST_CXXFLAGS) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(patsubst %,$(T)/%,$(TEST_PLAIN) unit/by_host unit/inline): $(T)/%: $(T)/%.o $(T)/test.o $(T)/module.o $(TEST_LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_LIBS) $(RCU_LIB) -lcmocka

$(T)/unit/cxx $(T)/unit/cxx_inline: $(T)/%: $(T)/%.o $(TEST_LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CXX) -pthread $(CXXFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_LIBS) $(RCU_LIB)

$(TEST_EXAMPLES:%=$(T)/%): $(T)/%: $(T)/%.o $(SO)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(B) -lstreamctx -Wl,-rpath,$(abspath $(B)) $(RCU_LIB)

$(TEST_FAULT:%=$(T)/%): $(T)/%: $(T)/%.o $(T)/stress/faults/inject.o $(T)/test.o $(B)/libstreamctx.a
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) $(FAULT_WRAPS:%=-Wl,--wrap=%) -o $@ $^ $(RCU_LIB) -lcmocka

$(T)/unit/fault_pool $(T)/unit/fault_pool_jemalloc: $(T)/unit/fault_pool.o $(T)/test.o $(B)/libstreamctx.a
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) $(FAULT_POOL_WRAPS:%=-Wl,--wrap=%) -o $@ $^ $(RCU_LIB) -lcmocka $(JEMALLOC_LIB)
$(T)/unit/fault_pool_jemalloc: JEMALLOC_LIB := -ljemalloc

$(TEST_DLOPEN:%=$(T)/%): $(T)/%: $(T)/%.o | $(STANDIN)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -rdynamic -o $@ $^ -ldl

# The clients of fsrtl.h, in files of their own.
FSRTL_FILTERS := spy mini watch
$(FSRTL_FILTERS:%=$(T)/fsrtl/%): $(T)/fsrtl/%: $(T)/fsrtl/%_filter.o

# A staged installation, for the scripts: one to use, and one as a packager's.
$(T)/stage/done: lib
	@rm -rf $(T)/stage && mkdir -p $(T)/stage
	@{ $(MAKE) --no-print-directory install DESTDIR= PREFIX=$(abspath $(T)/stage/here) && \
	   $(MAKE) --no-print-directory install DESTDIR="$(abspath $(T))/stage/a root" PREFIX=/opt/sctx; \
	} >$(T)/stage/log 2>&1 || { cat $(T)/stage/log; exit 1; }
	@touch $@

# -------------------------------------------------------------------- suites

LOGS := $(T)/log
FLAVOURS := $(filter-out $(RCU),memb bp qsbr c11)
ASAN := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
TSAN := -O1 -g -fsanitize=thread

# Parts with a folder of their own, tests/PART/PART.mk.  Each appends its name
# to CHECK_PARTS, has a target check-build-PART and says in run_PART how
# `make check` runs it, within seconds; `make PART` runs it alone.  Packages
# that it needs are appended to DEPS_CHECK.
CHECK_PARTS :=
LONG_PARTS  :=
include $(wildcard tests/*/*.mk tests/*/*/*.mk)

# Build in parallel even where make was not asked to.
sub_make = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

test-programs-default: $(STANDIN) $(patsubst %,$(T)/%,$(TEST_ALL) $(TEST_POOL) $(TEST_EXAMPLES)) $(T)/stage/done
test-programs-fast: $(TEST_FAST:%=$(T)/%)
test-programs-flavour: $(SO) $(STANDIN) $(TEST_FLAVOUR:%=$(T)/%)
test-programs-asan: $(patsubst %,$(T)/%,$(TEST_PLAIN) $(TEST_CXX) $(TEST_FLAVOUR))

check-build-default: lib
	@+$(sub_make) test-programs-default
check-build-flavours:
	@+$(foreach f,$(FLAVOURS),$(sub_make) RCU=$(f) B=$(B)/$(f) test-programs-flavour &&) true
check-build-asan:
	@+$(sub_make) B=$(B)/asan SAN=1 CFLAGS="$(ASAN)" CXXFLAGS="$(ASAN)" test-programs-asan

test-logs:
	@rm -rf $(LOGS) && mkdir -p $(LOGS)

# The handlers that cmocka installs are for the main thread: sanitizers keep theirs.
SAN_HANDLERS := handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2

# $(call run_...,LABEL'S END,PROGRAMS)
run_default = SCTX_TEST_RCU=$(RCU) SCTX_TEST_SO=$(abspath $(SO)) SCTX_TEST_CC=$(CC) \
	SCTX_TEST_UNLOADABLE=$(abspath $(STANDIN)) SCTX_TEST_B=$(B) \
	SCTX_TEST_STAGE=$(abspath $(T)/stage) \
	tests/run.sh run $(RCU)$(1) $(LOGS) $(2:%=$(T)/%)
# What the default flavour has raced through takes a quarter of the time elsewhere.
BRIEF = SCTX_TEST_SCALE=$${SCTX_TEST_SCALE:-0.25}
run_jemalloc = $(BRIEF) SCTX_TEST_RCU=$(RCU) LD_PRELOAD=$(abspath $(B)/libstreamctx-jemalloc.so) \
	tests/run.sh run jemalloc$(1) $(LOGS) $(2:%=$(T)/%)
run_asan = $(BRIEF) SCTX_TEST_RCU=$(RCU) UBSAN_OPTIONS=print_stacktrace=1 \
	ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=0:$(SAN_HANDLERS) \
	tests/run.sh run asan$(1) $(LOGS) $(2:%=$(B)/asan/tests/%)
# $(call run_flavour,LABEL'S END,PROGRAMS,FLAVOUR)
run_flavour = $(BRIEF) SCTX_TEST_RCU=$(3) SCTX_TEST_SO=$(abspath $(B)/$(3)/libstreamctx.so) \
	SCTX_TEST_UNLOADABLE=$(abspath $(B)/$(3)/standin/libstreamctx.so.$(SOVERSION)) \
	LD_LIBRARY_PATH=$(abspath $(B)/$(3)/standin) \
	tests/run.sh run $(3)$(1) $(LOGS) $(patsubst %,$(T)/%,$(filter-out $(TEST_FLAVOUR),$(2))) \
	$(patsubst %,$(B)/$(3)/tests/%,$(filter $(TEST_FLAVOUR),$(2)))

check-fast: test-logs
	@+$(sub_make) test-programs-fast
	@$(BRIEF) $(call run_default,,$(TEST_FAST))
	@tests/run.sh summary $(LOGS)

check-unit: check-build-default test-logs
	@$(call run_default,,$(TEST_ALL) $(TEST_POOL) $(TEST_EXAMPLES)) $(TEST_SCRIPTS)
	@tests/run.sh summary $(LOGS)

check: check-build-default check-build-flavours check-build-asan $(CHECK_PARTS:%=check-build-%) test-logs
	@$(call run_default,,$(TEST_ALL) $(TEST_POOL) $(TEST_EXAMPLES)) $(TEST_SCRIPTS)
	@$(call run_asan,,$(TEST_PLAIN) $(TEST_CXX) $(TEST_FLAVOUR))
	@$(foreach f,$(FLAVOURS),$(call run_flavour,,$(TEST_ALL),$(f));)
	@$(call run_jemalloc,,$(TEST_JEMALLOC))
	@$(foreach p,$(CHECK_PARTS),$(run_$(p));)
	@tests/run.sh summary $(LOGS)

$(CHECK_PARTS): %: check-build-% test-logs
	@$(run_$*)
	@tests/run.sh summary $(LOGS)

# Round after round of the suites in turn, each longer than check's.
check-rounds: check-build-default check-build-flavours check-build-asan check-build-tsan $(LONG_PARTS:%=check-build-%) test-logs
	@$(foreach p,$(LONG_PARTS),$(run_$(p));)
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); n=1; \
	more() { [ $$(date +%s) -lt $$end ]; }; \
	export SCTX_TEST_SCALE=$${SCTX_TEST_SCALE:-4} SCTX_TEST_TIMEOUT=$${SCTX_TEST_TIMEOUT:-900}; \
	while more; do \
		$(call run_default,.$$n,$(TEST_RACES)); \
		more || break; $(call run_asan,.$$n,$(TEST_RACES)); \
		$(foreach f,$(TSAN_FLAVOURS),more || break; $(call tsan_run,.$$n,$(f),$(filter $(TEST_TSAN),$(TEST_RACES)));) \
		$(foreach f,$(FLAVOURS),more || break; $(call run_flavour,.$$n,$(TEST_RACES),$(f));) \
		more || break; $(call run_jemalloc,.$$n,$(TEST_RACES)); \
		n=$$((n + 1)); \
	done
	@tests/run.sh summary $(LOGS)

LONG_TARGETS := tsan model-long fuzz-long linear-long torture-long spyfs-long spyfs-suites check-debian13

check-long:
	@failed=; for target in check-rounds $(LONG_TARGETS); do \
		echo "== make $$target"; \
		$(MAKE) --no-print-directory $$target MINUTES=$(MINUTES) || failed="$$failed $$target"; \
	done; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

.PHONY: check-rounds $(CHECK_PARTS) $(CHECK_PARTS:%=check-build-%) check check-fast check-unit check-long test-logs check-build-default check-build-flavours \
	check-build-asan test-programs-default test-programs-fast test-programs-flavour \
	test-programs-asan

-include $(patsubst %,$(T)/%.d,$(TEST_ALL) $(TEST_EXAMPLES) unit/fault_pool test module $(FSRTL_FILTERS:%=fsrtl/%_filter))
