# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make packaging   what is installed, as its users find it: pkg-config, CMake, Meson,
#                  manual pages, gdb's commands, flavours side by side, the ABI
# make check-deb   build the Debian packages, install, use and remove them
# make check-debian13  deps, check-unit, packaging and check-deb in a root made by
#                      debootstrap, as root

CHECK_PARTS += packaging
DEPS_CHECK  += abigail-tools castxml python3-cffi reuse cmake meson gdb man-db mandoc valgrind $(DEPS_DEB)

PACKAGING_TESTS := $(patsubst %,tests/packaging/%.sh,uninstall cmake meson man probes gdb abi headers grown flavours liburcu leaks reuse)

$(T)/packaging/watched: $(T)/packaging/watched.o $(SO)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $< -L$(B) -lstreamctx -Wl,-rpath,$(abspath $(B)) $(RCU_LIB)

check-build-packaging: lib check-build-flavours $(T)/stage/done $(T)/packaging/watched
run_packaging = SCTX_TEST_B=$(B) SCTX_TEST_WATCHED=$(T)/packaging/watched $(call run_default,,) $(PACKAGING_TESTS)

-include $(T)/packaging/watched.d

# The pair is built, installed and used: make check-deb, a step of .ci/run's.
# Without debhelper the test says that it is skipped.
LONG_PARTS += deb
check-build-deb:
	@+! command -v dh >/dev/null || $(MAKE) --no-print-directory deb
run_deb = SCTX_TEST_B=$(B) SCTX_TEST_CC=$(CC) tests/run.sh run packages $(LOGS) tests/packaging/deb.sh
check-deb: check-build-deb test-logs
	@$(run_deb)
	@tests/run.sh summary $(LOGS)
.PHONY: check-build-deb check-deb

# The bpftrace lines of streamctx-probes(7): seconds of tracing, as root.
LONG_PARTS += bpftrace
check-build-bpftrace: lib $(T)/packaging/watched
run_bpftrace = SCTX_TEST_BPFTRACE=1 SCTX_TEST_SO=$(abspath $(SO)) SCTX_TEST_WATCHED=$(T)/packaging/watched \
	tests/run.sh run bpftrace $(LOGS) tests/packaging/probes.sh
.PHONY: check-build-bpftrace

# The debugging aids under AddressSanitizer: a build of the library more.
LONG_PARTS += debug-asan
check-build-debug-asan:
run_debug-asan = SCTX_TEST_DEBUG_ASAN=1 SCTX_TEST_CC=$(CC) tests/run.sh run asan $(LOGS) tests/debug.sh
.PHONY: check-build-debug-asan

# gcc 14 and liburcu 0.15.
DEBIAN13_GOALS ?= deps check-unit packaging check-deb
check-debian13:
	@tests/packaging/debian.sh trixie $(abspath $(B))/debian13 WERROR=1 $(DEBIAN13_GOALS) || [ $$? = 77 ]
.PHONY: check-debian13
