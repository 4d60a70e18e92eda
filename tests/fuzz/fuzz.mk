# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make fuzz                  replay each corpus, then fuzz each target for 2 s
# make fuzz-long MINUTES=10  each target for that long
# make fuzz-planted          the mutants that a fuzzer must notice (tests/meta/mutants.txt)
# make fuzz-merge            take over what fuzz-long found into the corpora
# make fuzz-coverage         what the corpora reach
#
# Targets: api (calls of the library against a model), trace (the reader of
# recorded traces, and the plan), options (those of the benchmarks).  libFuzzer
# with ASan and UBSan, so clang, whatever CC is.

FUZZ_B    := $(B)/fuzz
FUZZ_CC   ?= clang
FUZZ_SANS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_FLAGS = $(SCTX_CFLAGS) -O1 -g $(FUZZ_SANS)
DEPS_CHECK += clang libclang-rt-14-dev llvm
CHECK_PARTS += fuzz

FUZZ_TARGETS := api trace options

, := ,

# A first table of one bucket, so that a dozen streams make it grow.
FUZZ_api_SRCS  := $(LIB_SRCS) $(addprefix tests/fuzz/,api.c model.c ops_batch.c ops_context.c ops_memory.c ops_module.c ops_stream.c world.c)
FUZZ_api_FLAGS := -DFIRST_BUCKETS=1
FUZZ_api_WRAPS := $(addprefix -Wl$(,)--wrap=,malloc aligned_alloc mmap getrandom)
FUZZ_trace_SRCS   := tests/fuzz/trace.c tests/fuzz/trace_valid.c bench/traces/trace.c bench/harness/plan.c
FUZZ_options_SRCS := tests/fuzz/options.c bench/harness/options.c

define fuzz_target
$(FUZZ_B)/$(1): $$(FUZZ_$(1)_SRCS:%.c=$(FUZZ_B)/$(1).o/%.o)
	$$(call say,LINK,$$@)
	$$(Q)$$(FUZZ_CC) $$(FUZZ_FLAGS) $$(FUZZ_$(1)_WRAPS) -o $$@ $$^ -lurcu-memb

$(FUZZ_B)/$(1).o/%.o: %.c $$(B)/flags $$(B)/have-libs
	$$(call say,FUZZ,$$@)
	@mkdir -p $$(@D)
	$$(call need_program,clang,$$(FUZZ_CC))
	$$(Q)$$(FUZZ_CC) $$(FUZZ_FLAGS) -Ilib $$(FUZZ_$(1)_FLAGS) -MMD -MP -c -o $$@ $$<

-include $$(FUZZ_$(1)_SRCS:%.c=$(FUZZ_B)/$(1).o/%.d)

# run.sh wants programs without arguments: each target's has its name.
$(FUZZ_B)/check/$(1).sh: $(FUZZ_B)/$(1) tests/fuzz/check.sh
	@mkdir -p $$(@D) && ln -sf $$(abspath tests/fuzz/check.sh) $$@
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_target,$(t))))

check-build-fuzz:
	@+$(sub_make) RCU=memb fuzz-programs
fuzz-programs: $(FUZZ_TARGETS:%=$(FUZZ_B)/check/%.sh)

run_fuzz = FUZZ_SECONDS=2 tests/run.sh run fuzz $(LOGS) $(FUZZ_TARGETS:%=$(FUZZ_B)/check/%.sh)

fuzz-long: check-build-fuzz test-logs
	@FUZZ_SECONDS=$$((60 * $(MINUTES))) SCTX_TEST_TIMEOUT=$$((60 * $(MINUTES) + 120)) \
	tests/run.sh run fuzz $(LOGS) $(FUZZ_TARGETS:%=$(FUZZ_B)/check/%.sh)
	@tests/run.sh summary $(LOGS)

fuzz-merge: check-build-fuzz
	@for t in $(FUZZ_TARGETS); do tests/fuzz/merge.sh $(FUZZ_B) $$t || exit 1; done

# The same programs, counting lines instead of looking for errors.
fuzz-coverage:
	@+$(sub_make) RCU=memb FUZZ_B=$(FUZZ_B)/coverage \
		FUZZ_SANS='-fsanitize=fuzzer -fprofile-instr-generate -fcoverage-mapping' fuzz-programs
	@for t in $(FUZZ_TARGETS); do tests/fuzz/coverage.sh $(FUZZ_B)/coverage $$t || exit 1; done

.PHONY: fuzz-programs fuzz-long fuzz-planted fuzz-merge fuzz-coverage
