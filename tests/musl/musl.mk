# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make check-musl   the library and most unit programs built with musl, static;
#                   part of check-long, and skipped where there is no musl-gcc

LONG_PARTS += musl
DEPS_MUSL  := musl-tools

MUSL := $(B)/musl
# They use mallinfo2() or a kind of rwlock that is glibc's, or look at freed memory, which
# musl unmaps.
MUSL_LEFT_OUT := unit/registry_memory unit/unload_races unit/pool
MUSL_PROGRAMS := $(filter-out $(MUSL_LEFT_OUT),$(filter unit/% conformance/%,$(TEST_PLAIN))) unit/inline

# Headers of packages, without glibc's beside them.
MUSL_HEADERS := linux asm asm-generic urcu urcu.h urcu-bp.h urcu-call-rcu.h urcu-defer.h urcu-flavor.h urcu-pointer.h urcu-qsbr.h \
		jemalloc xxhash.h sys/sdt.h sys/sdt-config.h
MUSL_INCLUDE := $(MUSL)/include
MUSL_CC      := musl-gcc -static -no-pie -pthread -std=gnu11 -O2 -g -Wall -Wextra -Wno-clobbered -D_GNU_SOURCE \
		-Iinclude -Itests -Itests/musl -include tests/musl/glibc.h -isystem $(MUSL_INCLUDE)
MUSL_URCU    := $(patsubst %,/usr/lib/$(shell gcc -print-multiarch)/lib%.a,urcu-memb urcu-common)

$(MUSL_INCLUDE)/done:
	$(Q)mkdir -p $(@D)/sys
	$(Q)for h in $(MUSL_HEADERS); do for from in /usr/include /usr/include/$$(gcc -print-multiarch); do \
		[ ! -e $$from/$$h ] || ln -sfn $$from/$$h $(@D)/$$h; done; done
	@touch $@

$(MUSL)/library: $(MUSL_INCLUDE)/done force
	@+$(sub_make) CC=musl-gcc RCU=memb B=$(MUSL) CFLAGS="-O2 -g" CPPFLAGS="-isystem $(abspath $(MUSL_INCLUDE))" \
		$(MUSL)/libstreamctx.a

MUSL_SHARED := $(patsubst %,$(MUSL)/%.o,test module musl/glibc)
$(MUSL_SHARED): $(MUSL)/%.o: tests/%.c tests/musl/glibc.h $(MUSL_INCLUDE)/done
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(MUSL_CC) -c -o $@ $<

$(MUSL_PROGRAMS:%=$(MUSL)/%): $(MUSL)/%: tests/%.c $(MUSL_SHARED) $(MUSL)/library
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(MUSL_CC) -o $@ $< $(MUSL_SHARED) $(MUSL)/libstreamctx.a $(MUSL_URCU)

check-build-musl:
	@+! command -v musl-gcc >/dev/null || $(sub_make) $(MUSL_PROGRAMS:%=$(MUSL)/%)
run_musl = command -v musl-gcc >/dev/null || echo "skip musl: no musl-gcc (make deps DEPS_EXTRA=musl-tools)"; \
	! command -v musl-gcc >/dev/null || \
	$(BRIEF) SCTX_TEST_RCU=memb tests/run.sh run musl $(LOGS) $(MUSL_PROGRAMS:%=$(MUSL)/%)
check-musl: check-build-musl test-logs
	@$(run_musl)
	@! command -v musl-gcc >/dev/null || tests/run.sh summary $(LOGS)
.PHONY: check-build-musl check-musl
