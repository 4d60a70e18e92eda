# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make model       the protocols' models, and each with one rule broken (run.sh)
# make model-long  the same with more threads: minutes, and up to 3 GB
#
# A search is a program that spin writes and the compiler builds: built once,
# until a model changes.

CHECK_PARTS += model
DEPS_CHECK += spin

MODEL_CHECK := $(shell tests/model/run.sh list check)
MODEL_LONG := $(shell tests/model/run.sh list both)

$(B)/have-spin: | $(B)/lib
	$(call need_program,spin,spin)
	@touch $@

$(B)/model/%/pan: tests/model/run.sh $(wildcard tests/model/*.pml) $(B)/have-spin
	$(call say,SPIN,$@)
	$(Q)CC='$(CC)' tests/model/run.sh build $* $(@D)

model-programs: $(MODEL_CHECK:%=$(B)/model/%/pan)
model-programs-long: $(MODEL_LONG:%=$(B)/model/%/pan)

check-build-model:
	@+$(sub_make) model-programs

run_model = tests/model/run.sh run model $(B)/model $(LOGS) $(MODEL_CHECK)

model-long: test-logs
	@+$(sub_make) model-programs-long
	@SCTX_TEST_TIMEOUT=3600 JOBS=1 tests/model/run.sh run model $(B)/model $(LOGS) $(MODEL_LONG)
	@tests/run.sh summary $(LOGS)

.PHONY: model-programs model-programs-long model-long
.PRECIOUS: $(B)/model/%/pan
