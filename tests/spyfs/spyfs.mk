# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make spyfs-check    bench/spyfs: mounted, used, its modules unloaded, ended
# make spyfs-long     real programs through it, both registries: a table (15 minutes)
#
# Where /dev/fuse or libfuse3-dev is missing it is skipped, and says so.

CHECK_PARTS += spyfs-check

# Asked when it is built: `make deps check` installs them first.
spyfs_have = $(shell pkg-config --exists fuse3 && [ -e /usr/include/uthash.h ] && echo yes)

# Not at the same time as what else is built with ASan in the same folder.
check-build-spyfs-check: lib | $(if $(filter check,$(MAKECMDGOALS)),check-build-asan check-build-faults)
	@+$(if $(spyfs_have),$(sub_make) spyfs && \
	  $(sub_make) B=$(B)/asan SAN=1 CFLAGS="$(ASAN)" CXXFLAGS="$(ASAN)" spyfs,true)

# $(call spyfs_run,LABEL,FOLDER OF THE BUILD,REGISTRY)
spyfs_run = SPYFS=$(abspath $(2)/spyfs/spyfs) SPYFS_REGISTRY=$(3) PYTHONDONTWRITEBYTECODE=1 \
	tests/run.sh run spyfs.$(1) $(LOGS) tests/spyfs/check.py

run_spyfs-check = $(call spyfs_run,streamctx,$(B),streamctx); \
	$(call spyfs_run,mutex,$(B),mutex); \
	$(call spyfs_run,asan,$(B)/asan,streamctx)

# fio, git, make, tar, sqlite3 and stress-ng, on both registries in turn.
spyfs-long: lib spyfs
	@SPYFS=$(abspath $(B)/spyfs/spyfs) SPYFS_OUT=$(abspath $(B)/spyfs.txt) \
		PYTHONDONTWRITEBYTECODE=1 tests/spyfs/long.py
	@echo "the table is in $(B)/spyfs.txt"

.PHONY: spyfs-long
