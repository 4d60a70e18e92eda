# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make packaging      what is installed, as its users find it: uninstall, CMake,
#                     Debian packages

CHECK_PARTS += packaging
DEPS_CHECK  += cmake $(DEPS_DEB)

PACKAGING_TESTS := $(patsubst %,tests/packaging/%.sh,uninstall cmake deb)

# Without debhelper the test says that it is skipped.
check-build-packaging: lib $(T)/stage/done
	@+! command -v dh >/dev/null || $(MAKE) --no-print-directory deb

run_packaging = SCTX_TEST_B=$(B) $(call run_default,,) $(PACKAGING_TESTS)
