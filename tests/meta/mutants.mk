# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make mutants                       each breakage of mutants.txt is noticed by a test
# make mutants MUTANTS='reclaim-*'   some of them
# make torture-planted fuzz-planted explore-planted PLANTED='name*'
#                                    those that such a tool must notice, by it alone
#
# In `make check` only a few, quickly, so that the script stays alive; that each could be
# made is looked at for all.

CHECK_PARTS += mutants-few
LONG_PARTS += mutants

MUTANTS ?=
MUTANTS_FEW := get-unreferenced existing-made retired-twice count-release-relaxed get-outside
PLANTED ?=

check-build-mutants: check-build-default check-build-flavours check-build-asan check-build-tsan \
	check-build-faults check-build-linear check-build-explore check-build-model check-build-torture check-build-fuzz

mutants_run = B=$(B) MAKE='$(MAKE) CC=$(CC) RCU=$(RCU)' MUTANTS="$(1)"
run_mutants = SCTX_TEST_TIMEOUT=14400 $(call mutants_run,$(MUTANTS)) \
	tests/run.sh run mutants $(LOGS) tests/meta/mutants.py; cat $(LOGS)/mutants/meta/mutants.py.log
mutants: check-build-mutants
	@$(call mutants_run,$(MUTANTS)) tests/meta/mutants.py
torture-planted fuzz-planted explore-planted: %-planted: check-build-default check-build-%
	@$(call mutants_run,--way=$* $(PLANTED)) tests/meta/mutants.py

check-build-mutants-few: check-build-default check-build-tsan check-build-explore
run_mutants-few = $(call mutants_run,--quick $(MUTANTS_FEW)) \
	tests/run.sh run mutants-few $(LOGS) tests/meta/mutants.py

# In a mutant's tree: PROGRAMS (all, if not said), built and run in one of check's ways.
PROGRAMS ?=
MUTANT_ALL := $(TEST_ALL) $(TEST_POOL) $(FAULTS)
MUTANT_ASAN := $(TEST_PLAIN) $(TEST_CXX) $(TEST_FLAVOUR) $(FAULTS)
mutant_sub = +$(sub_make) $(1) $(patsubst %,$(2)/tests/%,$(or $(PROGRAMS),$(3)))

mutant-build-default:
	@$(call mutant_sub,,$(B),$(MUTANT_ALL))
mutant-run-default:
	@$(call run_default,,$(or $(PROGRAMS),$(MUTANT_ALL)))
mutant-build-jemalloc: $(B)/libstreamctx-jemalloc.so
	@$(call mutant_sub,,$(B),$(TEST_JEMALLOC))
mutant-run-jemalloc:
	@$(call run_jemalloc,,$(or $(PROGRAMS),$(TEST_JEMALLOC)))
mutant-build-asan:
	@$(call mutant_sub,B=$(B)/asan SAN=1 CFLAGS="$(ASAN)" CXXFLAGS="$(ASAN)",$(B)/asan,$(MUTANT_ASAN))
mutant-run-asan:
	@$(call run_asan,,$(or $(PROGRAMS),$(MUTANT_ASAN)))
# $(call mutant_tsan,FLAVOUR)
mutant_tsan = $(call mutant_sub,B=$(B)/tsan/$(1) SAN=1 RCU=$(1) CFLAGS="$(TSAN)" CXXFLAGS="$(TSAN)",$(B)/tsan/$(1),$(TEST_TSAN))
mutant-build-tsan:
	@$(call mutant_tsan,c11)
mutant-run-tsan:
	@$(call tsan_run,,c11,$(or $(PROGRAMS),$(TEST_TSAN)))
mutant-build-tsan-memb:
	@$(call mutant_tsan,memb)
mutant-run-tsan-memb:
	@$(call tsan_run,,memb,$(or $(PROGRAMS),$(TEST_TSAN)))
$(FLAVOURS:%=mutant-build-%): mutant-build-%:
	@+$(sub_make) RCU=$* B=$(B)/$* test-programs-flavour
$(FLAVOURS:%=mutant-run-%): mutant-run-%:
	@$(call run_flavour,,$(or $(PROGRAMS),$(TEST_ALL)),$*)
mutant-build-linear:
	@+$(call linear_jitter,$(RCU))
mutant-run-linear:
	@$(call linear_run,linear.jitter,$(RCU),$(LINEAR_JITTER)/$(RCU)/standin,$(or $(PROGRAMS),scan linear))
mutant-build-jitter: mutant-build-linear
mutant-run-jitter:
	@SCTX_TEST_RCU=$(RCU) LD_LIBRARY_PATH=$(abspath $(LINEAR_JITTER)/$(RCU)/standin) \
		tests/run.sh run jitter $(LOGS) $(PROGRAMS:%=$(T)/%)
mutant-build-script:
	@+$(sub_make) $(SO) $(T)/unit/stats
mutant-run-script:
	@SCTX_TEST_SO=$(abspath $(SO)) SCTX_TEST_CC=$(CC) SCTX_TEST_TIMEOUT=600 \
		tests/run.sh run script $(LOGS) $(PROGRAMS)
# EXPLORE_ARGS, from the environment: programs or suites.
mutant-build-explore:
	@+$(sub_make) explore-program
mutant-run-explore:
	@mkdir -p $(LOGS) && eval "timeout 1800 $(E)/explore --quiet $$EXPLORE_ARGS" \
		>$(LOGS)/explore.log 2>&1; case $$? in \
	0) echo "ok   explore (no schedule fails)" ;; \
	1) echo "FAIL explore ($(LOGS)/explore.log)" ;; \
	*) tail -3 $(LOGS)/explore.log ;; esac

# PROGRAMS: asan or nothing.  From five seeds, as what is rare may not come in one.
TORTURE_SECONDS ?= 12
mutant-build-torture:
	@+$(sub_make) $(if $(PROGRAMS),B=$(B)/asan SAN=1 CFLAGS="$(ASAN)" CXXFLAGS="$(ASAN)") torture-program
mutant-run-torture:
	@mkdir -p $(LOGS) && for seed in 1 2 3 4 5; do \
		timeout -k 5 $$(($(TORTURE_SECONDS) + 130)) $(if $(PROGRAMS),$(B)/asan/tests,$(T))/stress/torture \
			--seconds=$(TORTURE_SECONDS) --seed=$$seed >$(LOGS)/torture.log 2>&1 || \
		{ echo "FAIL torture ($(LOGS)/torture.log)"; exit 0; }; \
	done; echo "ok   torture (nothing is wrong)"
# PROGRAMS: the fuzzer.
mutant-build-fuzz:
	@+$(sub_make) RCU=memb $(PROGRAMS:%=$(FUZZ_B)/check/%.sh)
mutant-run-fuzz:
	@FUZZ_SECONDS=30 SCTX_TEST_TIMEOUT=120 tests/run.sh run fuzz $(LOGS) $(PROGRAMS:%=$(FUZZ_B)/check/%.sh)

.PHONY: mutants torture-planted fuzz-planted explore-planted check-build-mutants check-build-mutants-few
