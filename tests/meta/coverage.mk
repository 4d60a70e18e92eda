# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make coverage    which lines and branches of the library the unit,
#                  conformance and fault tests reach, by file; fails if a line
#                  that none reaches is not explained in tests/meta/coverage.txt
#
# The default flavour runs all, on libc and on jemalloc; the others
# and a DEBUG build what they have of their own.

LONG_PARTS += coverage
DEPS_EXTRA += $(if $(filter coverage,$(MAKECMDGOALS)),gcovr)

COVERAGE := $(B)/coverage
COVERAGE_FLAGS := -O0 -g --coverage -fprofile-update=atomic -include $(abspath tests/meta/coverage.h)
COVERAGE_ALL = $(TEST_PLAIN) $(TEST_CXX) $(TEST_FLAVOUR) $(TEST_POOL) $(FAULTS)
COVERAGE_FEW := unit/context unit/teardown unit/insert unit/barrier unit/callbacks unit/limits unit/limits_wait unit/threads unit/fork unit/fork_callbacks unit/fork_busy unit/fork_waits unit/exit unit/pool unit/mode_rules unit/mode_changes unit/inline unit/by_host
coverage_make = $(sub_make) RCU=$(1) B=$(COVERAGE)/$(1) SAN=1 CFLAGS="$(COVERAGE_FLAGS)" CXXFLAGS="$(COVERAGE_FLAGS)"
coverage_run = $(2) SCTX_TEST_RCU=$(1) tests/run.sh run coverage.$(1)$(3) $(LOGS) $(4:%=$(COVERAGE)/$(1)/tests/%);

check-build-coverage: lib
	$(call need_program,gcovr,gcovr)
	@+$(call coverage_make,$(RCU)) $(COVERAGE_ALL:%=$(COVERAGE)/$(RCU)/tests/%)
	@+$(foreach f,$(FLAVOURS),$(call coverage_make,$(f)) $(COVERAGE_FEW:%=$(COVERAGE)/$(f)/tests/%) &&) true
	@find $(COVERAGE) -name '*.gcda' -delete; rm -rf build/debug

# tests/debug.sh makes a build of its own, in build/debug.
run_coverage = export SCTX_TEST_TIMEOUT=$${SCTX_TEST_TIMEOUT:-600}; \
	$(call coverage_run,$(RCU),,,$(COVERAGE_ALL)) \
	$(call coverage_run,$(RCU),LD_PRELOAD=$(abspath $(B)/libstreamctx-jemalloc.so),.jemalloc,$(TEST_JEMALLOC)) \
	$(foreach f,$(FLAVOURS),$(call coverage_run,$(f),,,$(COVERAGE_FEW))) \
	SCTX_TEST_SO=$(abspath $(COVERAGE)/$(RCU)/libstreamctx.so) tests/run.sh run coverage $(LOGS) tests/stats.sh; \
	CFLAGS="-O0 -g" SCTX_TEST_CC="$(CC) $(COVERAGE_FLAGS)" tests/run.sh run coverage $(LOGS) tests/debug.sh; \
	SCTX_COVERAGE="$(COVERAGE)/$(RCU) $(FLAVOURS:%=$(COVERAGE)/%) build/debug" \
	tests/run.sh run coverage $(LOGS) tests/meta/coverage.py; \
	rm -rf build/debug; cat $(LOGS)/coverage/meta/coverage.py.log

coverage: check-build-coverage test-logs
	@$(run_coverage)
	@tests/run.sh summary $(LOGS)

.PHONY: coverage check-build-coverage
