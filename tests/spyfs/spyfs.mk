# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make spyfs-check    bench/spyfs: used, and attacked by a second user
# make spyfs-long     real programs through it, both registries: a table (15 minutes)
# make spyfs-suites   other people's test suites, as a second user (MINUTES=10 of stress-ng)
#
# Where /dev/fuse or libfuse3-dev is missing, or the user is not root, the tests
# are skipped visibly.

CHECK_PARTS += spyfs-check

# Expanded when the recipe runs: `make deps check` installs them first.
spyfs_have = $(shell pkg-config --exists fuse3 && [ -e /usr/include/uthash.h ] && echo yes)

# Not at the same time as other builds with ASan in the same folder.
check-build-spyfs-check: lib | $(if $(filter check,$(MAKECMDGOALS)),check-build-asan check-build-faults)
	@+$(if $(spyfs_have),$(sub_make) spyfs && \
	  $(sub_make) B=$(B)/asan SAN=1 CFLAGS="$(ASAN)" CXXFLAGS="$(ASAN)" spyfs,true)

SPYFS_TESTS := $(patsubst %,tests/spyfs/%.py,check rights exhaust output)

# $(call spyfs_run,LABEL,FOLDER OF THE BUILD,REGISTRY)
spyfs_run = SPYFS=$(abspath $(2)/spyfs/spyfs) SPYFS_REGISTRY=$(3) PYTHONDONTWRITEBYTECODE=1 \
	tests/run.sh run spyfs.$(1) $(LOGS) $(SPYFS_TESTS)

run_spyfs-check = $(call spyfs_run,streamctx,$(B),streamctx); \
	$(call spyfs_run,mutex,$(B),mutex); \
	$(call spyfs_run,asan,$(B)/asan,streamctx)

# fio, git, make, tar, sqlite3 and stress-ng, on both registries in turn.
spyfs-long: lib spyfs
	@SPYFS=$(abspath $(B)/spyfs/spyfs) SPYFS_OUT=$(abspath $(B)/spyfs.txt) \
		PYTHONDONTWRITEBYTECODE=1 tests/spyfs/long.py
	@echo "the table is in $(B)/spyfs.txt"

# fio, stress-ng and CPython's tests, on a folder and on spyfs.
spyfs-suites: lib spyfs
	@SPYFS=$(abspath $(B)/spyfs/spyfs) SPYFS_MINUTES=$(MINUTES) \
		PYTHONDONTWRITEBYTECODE=1 tests/spyfs/suites.py

.PHONY: spyfs-long spyfs-suites
