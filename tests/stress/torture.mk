# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make torture             random operations by many threads, 2 times 6 s: the
#                          default flavour, and with ASan and UBSan
# make torture-long        all flavours in turn, memb and c11 with
#                          ThreadSanitizer too, a minute each: MINUTES=10
# make torture-planted     the mutants that it must notice (tests/meta/mutants.txt)
#
# build/tests/stress/torture --help says what a run by hand can be told.

CHECK_PARTS += torture

TORTURE_OBJS := $(patsubst tests/%.c,$(T)/%.o,$(sort $(wildcard tests/stress/*.c))) $(T)/test.o

$(T)/stress/torture: $(TORTURE_OBJS) $(TEST_LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(TEST_LIBS) $(RCU_LIB) -lcmocka

torture-program: $(T)/stress/torture

check-build-torture: lib
	@+$(sub_make) torture-program
	@+$(sub_make) B=$(B)/asan SAN=1 CFLAGS="$(ASAN)" CXXFLAGS="$(ASAN)" torture-program

torture-build-long: check-build-torture
	@+$(foreach f,$(FLAVOURS),$(sub_make) RCU=$(f) B=$(B)/$(f) $(B)/$(f)/standin/libstreamctx.so.$(SOVERSION) &&) true
	@+$(foreach f,$(TSAN_FLAVOURS),$(sub_make) B=$(B)/tsan/$(f) SAN=1 RCU=$(f) \
		CFLAGS="$(TSAN)" CXXFLAGS="$(TSAN)" torture-program &&) true

run_torture = $(call run_default,,stress/torture); $(call run_asan,,stress/torture)

torture-long: torture-build-long test-logs
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); n=1; \
	more() { [ $$(date +%s) -lt $$end ]; }; \
	export SCTX_TEST_SCALE=10 SCTX_TEST_TIMEOUT=$${SCTX_TEST_TIMEOUT:-900}; \
	while more; do \
		$(call run_default,.$$n,stress/torture); \
		more || break; $(call run_asan,.$$n,stress/torture); \
		$(foreach f,$(TSAN_FLAVOURS),more || break; $(call tsan_run,.$$n,$(f),stress/torture);) \
		$(foreach f,$(FLAVOURS),more || break; $(call run_flavour,.$$n,stress/torture,$(f));) \
		n=$$((n + 1)); \
	done
	@tests/run.sh summary $(LOGS)

.PHONY: torture-program torture-build-long torture-long

-include $(TORTURE_OBJS:.o=.d)
