# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make packaging      what is installed, as its users find it: uninstall, CMake,
#                     Debian packages, manual pages, probes, gdb's commands

CHECK_PARTS += packaging
DEPS_CHECK  += cmake gdb man-db mandoc $(DEPS_DEB)

PACKAGING_TESTS := $(patsubst %,tests/packaging/%.sh,uninstall cmake deb man probes gdb)

$(T)/packaging/watched: $(T)/packaging/watched.o $(SO)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< -L$(B) -lstreamctx -Wl,-rpath,$(abspath $(B)) $(RCU_LIB)

# Without debhelper the test says that it is skipped.
check-build-packaging: lib $(T)/stage/done $(T)/packaging/watched
	@+! command -v dh >/dev/null || $(MAKE) --no-print-directory deb

run_packaging = SCTX_TEST_B=$(B) SCTX_TEST_WATCHED=$(T)/packaging/watched $(call run_default,,) $(PACKAGING_TESTS)

-include $(T)/packaging/watched.d

# The debugging aids under AddressSanitizer: a build of the library more.
LONG_PARTS += debug-asan
check-build-debug-asan:
run_debug-asan = SCTX_TEST_DEBUG_ASAN=1 SCTX_TEST_CC=$(CC) tests/run.sh run asan $(LOGS) tests/debug.sh
.PHONY: check-build-debug-asan
