# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make check-aarch64  the tests, cross-compiled with Debian's toolchain and run
#                     under qemu-user; RCU=... as everywhere.  check-long has it, too
# make deps-aarch64   what that needs: packages of a foreign architecture, and so
#                     no part of make deps

LONG_PARTS   += aarch64
AARCH64      := aarch64-linux-gnu
DEPS_AARCH64 := crossbuild-essential-arm64 qemu-user-static liburcu-dev:arm64 libcmocka-dev:arm64

# Not those that load or start other programs, nor those that want jemalloc.
TEST_AARCH64 := $(TEST_PLAIN) $(TEST_CXX) $(TEST_FLAVOUR)

deps-aarch64:
	$(if $(filter 0,$(shell id -u)),,sudo) dpkg --add-architecture arm64
	@$(MAKE) --no-print-directory deps DEPS_EXTRA="$(DEPS_AARCH64)"

aarch64_missing = $(strip $(shell \
	for p in $(AARCH64)-gcc qemu-aarch64-static; do command -v $$p >/dev/null || echo $$p; done; \
	for l in libcmocka $(if $(filter c11,$(RCU)),,liburcu-$(RCU)); do \
		[ -e /usr/lib/$(AARCH64)/$$l.so ] || echo $$l:arm64; done))

test-programs-aarch64: $(TEST_AARCH64:%=$(T)/%) $(T)/aarch64/wide

$(T)/aarch64/wide: $(T)/aarch64/wide.o $(SO)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< -L$(B) -lstreamctx -Wl,-rpath,$(abspath $(B)) $(RCU_LIB)

check-build-aarch64:
ifeq ($(aarch64_missing),)
	@+$(sub_make) B=$(B)/aarch64 CC=$(AARCH64)-gcc CXX=$(AARCH64)-g++ AR=$(AARCH64)-ar test-programs-aarch64
endif

# One after another: emulated threads are slow, and some tests race against the clock.
run_aarch64 = $(if $(aarch64_missing), \
	echo "skip aarch64 (missing: $(aarch64_missing); make deps-aarch64)" | tee -a $(LOGS)/results, \
	SCTX_TEST_RCU=$(RCU) SCTX_TEST_EMULATOR="qemu-aarch64-static -cpu max" \
	SCTX_TEST_TIMEOUT=$${SCTX_TEST_TIMEOUT:-600} SCTX_TEST_WIDE=$(B)/aarch64/tests/aarch64/wide \
	JOBS=1 tests/run.sh run aarch64$(1) $(LOGS) $(TEST_AARCH64:%=$(B)/aarch64/tests/%) tests/aarch64/wide.sh)

check-aarch64: check-build-aarch64 test-logs
	@mkdir -p $(LOGS) && $(call run_aarch64,)
	@tests/run.sh summary $(LOGS)

.PHONY: check-aarch64 check-build-aarch64 deps-aarch64 test-programs-aarch64
