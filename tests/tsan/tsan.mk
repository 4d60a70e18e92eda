# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make tsan   ThreadSanitizer over the unit and conformance tests, twice: on c11
#             without a suppression, and on liburcu memb, which it cannot see
#             into, annotated in streamctx/inline.h and lib/rcu/rcu.h.  What both must
#             report is in tests/meta/mutants.txt
#
# `make check` runs the four programs with the most threads.

CHECK_PARTS += tsan

TSAN_FLAVOURS := c11 memb
TSAN_PROGRAMS := unit/races conformance/teardown_races conformance/set_races unit/threads unit/inline
tsan mutants check-rounds: TSAN_PROGRAMS := $(TEST_TSAN)

check-build-tsan:
	@+$(foreach f,$(TSAN_FLAVOURS),$(sub_make) B=$(B)/tsan/$(f) SAN=1 RCU=$(f) \
		CFLAGS="$(TSAN)" CXXFLAGS="$(TSAN)" $(TSAN_PROGRAMS:%=$(B)/tsan/$(f)/tests/%) &&) true

# $(call tsan_run,LABEL'S END,FLAVOUR,PROGRAMS)
tsan_run = $(BRIEF) SCTX_TEST_RCU=$(2) CC="$(CC)" CFLAGS="$(TSAN)" B=$(B)/tsan/$(2) \
	TSAN_OPTIONS=second_deadlock_stack=1:$(SAN_HANDLERS)$(if \
		$(filter memb,$(2)),:suppressions=$(abspath tests/tsan/liburcu.supp)) \
	tests/run.sh run tsan-$(2)$(1) $(LOGS) $(3:%=$(B)/tsan/$(2)/tests/%)

run_tsan = $(foreach f,$(TSAN_FLAVOURS),$(call tsan_run,,$(f),$(TSAN_PROGRAMS));) true
