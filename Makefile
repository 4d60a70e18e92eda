# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make            the library, shared and static, in build/
# make deps       install the packages that building, testing and bench need
# make check      build and run the tests                (tests/tests.mk)
# make bench      run the benchmarks, print the table    (bench/bench.mk)
# make spyfs      a filesystem on it               (bench/spyfs/README.md)
# make install    to PREFIX, below DESTDIR     (lib/packaging/packaging.mk)
# make help       these goals and all others
# make clean      remove build/
#
# RCU=memb|bp|qsbr|c11  liburcu flavour (lib/rcu/rcu.h)     CC=gcc|clang
# V=1 shows commands    DEBUG=1 stops with a message at misuse (lib/base/debug.h)
# WERROR=1 makes warnings errors

VERSION  := $(shell sed -n 's/^.define SCTX_VERSION "\(.*\)"/\1/p' include/streamctx.h)
SOVERSION := 0

RCU      ?= memb
B        ?= build
PREFIX   ?= /usr/local

ifeq ($(origin CC),default)
CC       := gcc
endif
OPTIMISE ?= $(if $(DEBUG),-Og,-O2)
WARNINGS := -Wall -Wextra -Wshadow $(if $(WERROR),-Werror)
CFLAGS   ?= $(OPTIMISE) -g
CXXFLAGS ?= $(OPTIMISE) -g

RCU_DEFINE := $(if $(filter memb,$(RCU)),,-DSCTX_RCU_$(shell echo $(RCU) | tr a-z A-Z))
RCU_LIB    := $(if $(filter c11,$(RCU)),,-lurcu-$(RCU))
SCTX_CPPFLAGS := -Iinclude -D_GNU_SOURCE $(RCU_DEFINE) $(if $(DEBUG),-DSCTX_DEBUG)
SCTX_CFLAGS   := -std=gnu11 $(WARNINGS) -Wstrict-prototypes -pthread $(SCTX_CPPFLAGS)
SCTX_CXXFLAGS := -std=gnu++17 $(WARNINGS) -pthread $(SCTX_CPPFLAGS)
# bp's thread state may be reached directly; others: SCTX__TLS in inline.h.
# Where in a cache line a function begins is a fifth of what a lookup through the .so takes.
# What was stored as two words and is loaded as a vector waits until both are in the cache.
LIB_CFLAGS    := -fPIC -fvisibility=hidden -falign-functions=64 -fno-tree-slp-vectorize $(if $(filter bp,$(RCU)),-ftls-model=initial-exec)

# xxHash 0.8.1 asks gcc to inline what it cannot see to be one function at -Og.
LIB_CFLAGS    += $(if $(filter -Og,$(CFLAGS)),-DXXH_NO_INLINE_HINTS=1)

LIB_SRCS := $(sort $(wildcard lib/*/*.c))
LIB_OBJS := $(LIB_SRCS:lib/%.c=$(B)/lib/%.o)

# Each flavour is a library of its own.  In $(B), which has one, links name it
# libstreamctx.so, and the archive is libstreamctx.a.
NAME     := libstreamctx$(if $(filter memb,$(RCU)),,-$(RCU))
SO       := $(B)/libstreamctx.so
SO_REAL  := $(B)/$(NAME).so.$(VERSION)
STANDIN  := $(B)/standin/libstreamctx.so.$(SOVERSION)
MAP      := $(B)/lib/libstreamctx.map
MAP_NODE := $(if $(filter memb,$(RCU)),STREAMCTX_,STREAMCTX_$(shell echo $(RCU) | tr a-z A-Z)_)

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))
comma := ,

all: lib
lib: $(SO) $(B)/libstreamctx.a $(B)/libstreamctx-jemalloc.so

# ------------------------------------------------------------ packages

DEPS_BUILD := gcc g++ make pkg-config liburcu-dev libjemalloc-dev libxxhash-dev \
	      systemtap-sdt-dev python3
DEPS_CHECK := libcmocka-dev python3 python3-prometheus-client
DEPS_BENCH := libbenchmark-dev hyperfine gnuplot-nox strace python3
# Others, for a run: make deps DEPS_EXTRA=clang
# `make deps check` does without what only the benchmarks need.
DEPS_NO_BENCH := $(if $(filter-out deps check,$(MAKECMDGOALS)),,$(filter check,$(MAKECMDGOALS)))
DEPS        = $(sort $(DEPS_BUILD) $(DEPS_CHECK) $(if $(DEPS_NO_BENCH),,$(DEPS_BENCH)) $(DEPS_EXTRA))

deps:
	@missing=; for p in $(DEPS); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	[ -z "$$missing" ] && { echo "deps: all packages are installed"; exit 0; }; \
	command -v apt-get >/dev/null || { echo "deps: no apt-get; install by hand:$$missing"; exit 1; }; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "deps: installing with $${sudo:+sudo }apt-get (compiler, libraries, tools for tests$(if $(DEPS_NO_BENCH),, and benchmarks)):$$missing"; \
	$$sudo apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null

# $(call need,PACKAGE,FILE TO COMPILE AGAINST OR PROGRAM TO RUN)
need_header  = @printf '\#include <$(2)>\n' | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 || { echo "missing package $(1): run 'make deps'" >&2; exit 1; }
need_program = @command -v $(2) >/dev/null || { echo "missing package $(1): run 'make deps'" >&2; exit 1; }

$(B)/have-libs: | $(B)/lib
	$(call need_program,$(CC),$(CC))
	$(call need_header,liburcu-dev,urcu/urcu-memb.h)
	$(call need_header,libjemalloc-dev,jemalloc/jemalloc.h)
	$(call need_header,libxxhash-dev,xxhash.h)
	@touch $@

# ------------------------------------------------------------ library

$(B)/lib:
	@mkdir -p $@

# Changes when a compiler or a flag does, and only then.
FLAGS_NOW := $(CC) $(CXX) $(CFLAGS) $(CXXFLAGS) $(CPPFLAGS) $(LDFLAGS) $(SCTX_CFLAGS) $(LIB_CFLAGS)
$(B)/flags: force | $(B)/lib
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' >$@

$(B)/lib/%.o: lib/%.c $(B)/flags $(B)/have-libs
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SCTX_CFLAGS) -Ilib $(LIB_CFLAGS) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# $(call link_so,SONAME,SYMBOL MAP,MORE FLAGS)
link_so = $(CC) -shared -pthread $(CFLAGS) $(LDFLAGS) -Wl,-soname,$(1) -Wl,--version-script=$(2) \
	-Wl,-z,defs -Wl,-z,relro,-z,now $(3) -o $@ $(LIB_OBJS) $(RCU_LIB)

$(MAP): lib/libstreamctx.map $(B)/flags
	$(Q)sed 's/\bSTREAMCTX_/$(MAP_NODE)/g' $< >$@

# Never unloaded: its thread-local storage is static, which the loader does not
# take back, and threads may be inside.
$(SO_REAL): $(LIB_OBJS) $(MAP)
	$(call say,LINK,$@)
	$(Q)$(call link_so,$(NAME).so.$(SOVERSION),$(MAP),-Wl$(comma)-z$(comma)nodelete)

$(SO): $(SO_REAL)
	$(Q)ln -sf $(notdir $<) $(B)/$(NAME).so.$(SOVERSION) && ln -sf $(notdir $<) $@

# Any flavour under memb's name and versions, for test programs that are linked
# once; it can be unloaded, as can a plugin with the archive in it.
$(STANDIN): $(LIB_OBJS) lib/libstreamctx.map
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(call link_so,$(@F),lib/libstreamctx.map)

# One object: a program that needs any part of the library has its constructors and fork
# handlers, too.
$(B)/libstreamctx.a: $(LIB_OBJS)
	$(call say,AR,$@)
	$(Q)$(CC) -r -nostdlib $(filter -flto%,$(CFLAGS)) -o $(B)/streamctx.o $^
	$(Q)rm -f $@ && $(AR) rcs $@ $(B)/streamctx.o

# Holds nothing but its need of libjemalloc, which so comes after libc and
# libstdc++ in the order of symbol look-up: malloc stays the host's.
$(B)/libstreamctx-jemalloc.so: $(B)/flags $(B)/have-libs
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -nostdlib $(LDFLAGS) -Wl,-soname,libstreamctx-jemalloc.so.$(SOVERSION) \
		-Wl,--no-as-needed -o $@.$(SOVERSION) -x c /dev/null -ljemalloc
	$(Q)ln -sf $(notdir $@).$(SOVERSION) $@

clean:
	rm -rf $(B)

include lib/packaging/packaging.mk
-include tests/tests.mk bench/bench.mk
-include $(LIB_OBJS:.o=.d)

# The comments that begin the makefiles: each line about a goal, and what continues it.
help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile
	@for file in $(filter %.mk,$(MAKEFILE_LIST)); do \
		sed -n '/^[^#]/q; /^$$/q; /^# make /,/^#$$/{ /^#$$/d; s/^# //p; }' $$file; \
	done

.PHONY: all lib deps help clean force
.DELETE_ON_ERROR:
