# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make mutants                 each breakage of mutants.txt is noticed by a test
# make mutants MUTANTS='reclaim-*'   some of them

# In `make check` only a few, quickly, so that the script stays alive; that each could be
# made is looked at for all.

CHECK_PARTS += mutants-few
LONG_PARTS += mutants

MUTANTS ?=
MUTANTS_FEW := get-unreferenced existing-made retired-twice

check-build-mutants: check-build-default check-build-flavours check-build-asan check-build-tsan \
	check-build-faults check-build-linear check-build-explore check-build-model

mutants_run = B=$(B) MAKE='$(MAKE) CC=$(CC) RCU=$(RCU)' MUTANTS="$(1)"
run_mutants = SCTX_TEST_TIMEOUT=14400 $(call mutants_run,$(MUTANTS)) \
	tests/run.sh run mutants $(LOGS) tests/mutants/run.py; cat $(LOGS)/mutants/mutants/run.py.log
mutants: check-build-mutants
	@$(call mutants_run,$(MUTANTS)) tests/mutants/run.py

check-build-mutants-few: check-build-default
run_mutants-few = $(call mutants_run,--quick $(MUTANTS_FEW)) \
	tests/run.sh run mutants-few $(LOGS) tests/mutants/run.py

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
mutant-build-tsan:
	@$(call mutant_sub,B=$(B)/tsan/c11 SAN=1 RCU=c11 CFLAGS="$(TSAN)" CXXFLAGS="$(TSAN)",$(B)/tsan/c11,$(TEST_TSAN))
mutant-run-tsan:
	@$(call tsan_run,,c11,$(or $(PROGRAMS),$(TEST_TSAN)))
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

.PHONY: mutants check-build-mutants check-build-mutants-few
