# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make faults      what fails, gets stuck or comes at the wrong moment: memory,
#                  threads, locks, signals, exits, readers and callbacks that
#                  stay, loading and unloading; with ASan (leaks) too
#
# unit/fault_* and unit/dlopen are `make check`'s own, and run here as well.

CHECK_PARTS += faults

FAULTS_INJECTED := stress/faults/every_call stress/faults/mixed stress/faults/refusals
FAULTS_PLAIN := stress/faults/stuck stress/faults/exits
FAULTS := $(FAULTS_INJECTED) $(FAULTS_PLAIN)

$(FAULTS_INJECTED:%=$(T)/%): $(T)/%: $(T)/%.o $(T)/stress/faults/inject.o $(T)/test.o $(B)/libstreamctx.a
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) $(FAULT_WRAPS:%=-Wl,--wrap=%) -o $@ $^ $(RCU_LIB) -lcmocka

$(FAULTS_PLAIN:%=$(T)/%): $(T)/%: $(T)/%.o $(T)/test.o $(TEST_LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_LIBS) $(RCU_LIB) -lcmocka

fault-programs: $(FAULTS:%=$(T)/%) $(TEST_FAULT:%=$(T)/%)

check-build-faults: check-build-torture
	@+$(sub_make) fault-programs $(T)/unit/dlopen
	@+$(sub_make) B=$(B)/asan SAN=1 CFLAGS="$(ASAN)" CXXFLAGS="$(ASAN)" fault-programs

run_faults = SCTX_TEST_TORTURE=$(T)/stress/torture \
	$(call run_default,,$(FAULTS) $(TEST_FAULT) unit/dlopen) tests/stress/faults/signals.sh; \
	$(call run_asan,,$(FAULTS) $(TEST_FAULT))

.PHONY: fault-programs

-include $(FAULTS:%=$(T)/%.d) $(T)/stress/faults/inject.d
