# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make spyfs        build/spyfs/spyfs, and its modules beside it
# make deps-spyfs   packages that `make spyfs-long` and `make spyfs-suites` run

SPYFS         := $(B)/spyfs
SPYFS_OBJS    := $(patsubst %,$(SPYFS)/%.o,main session names attr dir io caller inode handle shares ctl ctl_client text top modules store_streamctx store_mutex)
SPYFS_MODULES := $(patsubst %,$(SPYFS)/%.so,audit quota heat)

DEPS_SPYFS      := fuse3 libfuse3-dev uthash-dev
DEPS_SPYFS_LONG  = $(DEPS_SPYFS) fio git stress-ng sqlite3 linux-perf \
		   libpython$(shell /usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')-testsuite
DEPS_CHECK      += $(DEPS_SPYFS)

spyfs: $(SPYFS)/spyfs $(SPYFS_MODULES)

deps-spyfs:
	@$(MAKE) --no-print-directory deps DEPS_EXTRA='$(DEPS_SPYFS_LONG)'

$(SPYFS)/have-deps:
	@mkdir -p $(SPYFS)
	$(call need_header,libfuse3-dev,fuse3/fuse_opt.h)
	$(call need_header,uthash-dev,uthash.h)
	@touch $@

SPYFS_CFLAGS = $(SCTX_CFLAGS) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags fuse3))

$(SPYFS)/%.o: bench/spyfs/%.c $(B)/flags $(B)/have-libs $(SPYFS)/have-deps
	$(call say,CC,$@)
	$(Q)$(CC) $(SPYFS_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The list of what the compiler read names the last of the sources alone.
$(SPYFS)/audit.so: bench/spyfs/audit_log.c bench/spyfs/audit_log.h

$(SPYFS_MODULES): $(SPYFS)/%.so: bench/spyfs/module_%.c $(B)/flags $(B)/have-libs $(SPYFS)/have-deps
	$(call say,LINK,$@)
	$(Q)$(CC) $(SCTX_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -MMD -MP -fPIC -shared -o $@ $(filter %.c,$^) -lm

# As pkg-config would have an installed one linked: with jemalloc.
SPYFS_LIBS = $(if $(SAN),$(B)/libstreamctx.a,-L$(B) -lstreamctx -Wl,--push-state,--no-as-needed \
	-lstreamctx-jemalloc -Wl,--pop-state -Wl,-rpath,'$$ORIGIN/..') $(RCU_LIB)

$(SPYFS)/spyfs: $(SPYFS_OBJS) $(if $(SAN),$(B)/libstreamctx.a,$(SO) $(B)/libstreamctx-jemalloc.so)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $(SPYFS_OBJS) $(SPYFS_LIBS) \
		$(shell pkg-config --libs fuse3) -ldl

.PHONY: spyfs deps-spyfs

-include $(SPYFS_OBJS:.o=.d) $(SPYFS_MODULES:.so=.d)
