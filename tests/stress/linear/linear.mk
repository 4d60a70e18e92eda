# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make linear                 concurrent histories against a specification
# make linear-long MINUTES=n  the same for longer, and on c11; bugs: see make mutants
#
# Twice: on the library as it is, and on one that pauses before its atomics
# (tests/stress/linear/jitter.h), where a short run meets far more overlaps.

CHECK_PARTS += linear

LINEAR := $(T)/stress/linear
LINEAR_JITTER := $(B)/linear-jitter
LINEAR_CHECKER := history spec check
LINEAR_SECONDS ?= 4

$(LINEAR)/linear: $(patsubst %,$(LINEAR)/%.o,linear program worker $(LINEAR_CHECKER)) $(T)/test.o $(SO)
$(LINEAR)/checker: $(patsubst %,$(LINEAR)/%.o,checker $(LINEAR_CHECKER)) $(T)/test.o $(SO)
$(LINEAR)/scan: $(LINEAR)/scan.o $(T)/test.o $(SO)
$(LINEAR)/linear $(LINEAR)/checker $(LINEAR)/scan:
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_LIBS) $(RCU_LIB) -lcmocka

# $(call linear_jitter,FLAVOUR)
linear_jitter = $(sub_make) RCU=$(1) B=$(LINEAR_JITTER)/$(1) \
	CPPFLAGS="-iquote lib -include tests/stress/linear/jitter.h" $(LINEAR_JITTER)/$(1)/standin/libstreamctx.so.$(SOVERSION)

check-build-linear: $(LINEAR)/linear $(LINEAR)/checker $(LINEAR)/scan
	@+$(call linear_jitter,$(RCU))

# $(call linear_run,LABEL,FLAVOUR,FOLDER OF THE LIBRARY,PROGRAMS)
linear_run = SCTX_TEST_RCU=$(2) SCTX_LINEAR_SAVE=$(LINEAR) LD_LIBRARY_PATH=$(abspath $(3)) \
	SCTX_LINEAR_SECONDS=$${SCTX_LINEAR_SECONDS:-$(LINEAR_SECONDS)} JOBS=1 \
	tests/run.sh run $(1) $(LOGS) $(4:%=$(LINEAR)/%)

run_linear = $(call linear_run,linear,$(RCU),$(B),checker scan linear); \
	$(call linear_run,linear.jitter,$(RCU),$(LINEAR_JITTER)/$(RCU)/standin,linear); \
	tail -qn 4 $(LOGS)/linear*/linear/linear.log | grep -v 'exit status'

linear-long: check-build-linear test-logs
	@+$(sub_make) RCU=c11 B=$(B)/c11 $(B)/c11/standin/libstreamctx.so.$(SOVERSION)
	@+$(call linear_jitter,c11)
	@export SCTX_LINEAR_SECONDS=$$((15 * $(MINUTES))) SCTX_TEST_TIMEOUT=$$((90 * $(MINUTES) + 60)); \
	$(call linear_run,linear,$(RCU),$(B),checker scan linear); \
	$(call linear_run,linear.jitter,$(RCU),$(LINEAR_JITTER)/$(RCU)/standin,linear); \
	$(call linear_run,linear-c11,c11,$(B)/c11/standin,linear); \
	$(call linear_run,linear-c11.jitter,c11,$(LINEAR_JITTER)/c11/standin,linear)
	@tests/run.sh summary $(LOGS)

.PHONY: linear-long

-include $(patsubst %,$(LINEAR)/%.d,linear program worker checker scan $(LINEAR_CHECKER))
