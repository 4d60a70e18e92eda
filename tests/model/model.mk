# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make model       the protocols' models, and each with one rule broken (run.sh)
# make model-long  the same and larger ones: minutes, and up to 3 GB

CHECK_PARTS += model
DEPS_CHECK += spin tcc

$(B)/have-spin: | $(B)/lib
	$(call need_program,spin,spin)
	$(call need_program,tcc,tcc)
	@touch $@

check-build-model: $(B)/have-spin

run_model = tests/model/run.sh run $(LOGS) $(B)/model check

model-long: check-build-model test-logs
	@JOBS=1 SCTX_TEST_TIMEOUT=3600 MODEL_CC='$(CC) -O2 -DCOLLAPSE' \
		tests/model/run.sh run $(LOGS) $(B)/model both
	@tests/run.sh summary $(LOGS)

.PHONY: model-long
