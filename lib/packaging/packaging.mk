# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make install     to PREFIX, below DESTDIR; RCU=bp and RCU=qsbr install beside it
# make uninstall   removes what install put there, with the same settings
# make man         manual pages from the header's comments, in build/man/
# make check-abi   compare the library's ABI with lib/packaging/libstreamctx.abi
# make abi         write that file anew
# make deb         Debian packages, in build/deb/

# The names that GNU's conventions give them work as well.
LIBDIR     ?= $(or $(libdir),$(PREFIX)/lib)
INCLUDEDIR ?= $(or $(includedir),$(PREFIX)/include)
MANDIR     ?= $(or $(mandir),$(PREFIX)/share/man)
GDBDIR     ?= $(PREFIX)/share/gdb/auto-load
INSTALL    ?= install

# Files of one flavour, and files that all flavours share.
INSTALL_HEADERS := $(notdir $(wildcard include/streamctx/*.h))
INSTALL_CMAKE   := streamctxConfig.cmake streamctxConfigVersion.cmake
LIB_FILES        = $(NAME).a $(NAME).so $(NAME).so.$(SOVERSION) $(NAME).so.$(VERSION)
JEMALLOC_FILES  := libstreamctx-jemalloc.so libstreamctx-jemalloc.so.$(SOVERSION)

# gdb looks for it under the library's full name, in a folder that it trusts.
INSTALL_GDB = $(GDBDIR)$(LIBDIR)/$(NAME).so.$(VERSION)-gdb.py

INSTALLED_FLAVOUR = $(LIB_FILES:%=$(LIBDIR)/%) $(LIBDIR)/pkgconfig/$(NAME:lib%=%).pc $(INSTALL_GDB)
INSTALLED_SHARED  = $(INCLUDEDIR)/streamctx.h $(INSTALL_HEADERS:%=$(INCLUDEDIR)/streamctx/%) \
	$(JEMALLOC_FILES:%=$(LIBDIR)/%) $(LIBDIR)/pkgconfig/streamctx-jemalloc.pc \
	$(INSTALL_CMAKE:%=$(LIBDIR)/cmake/streamctx/%) \
	$(MAN3:%=$(MANDIR)/man3/%) $(MAN7:%=$(MANDIR)/man7/%)

# Each public function has a page, or a link to one.
MAN7 := streamctx.7 streamctx-probes.7
MAN3  = $(addsuffix .3,$(shell python3 lib/man/man.py --list))

$(B)/man/done: lib/man/man.py lib/man/streamctx-probes.7 include/streamctx.h README.md lib/packaging/debian/changelog $(wildcard tests/examples/*.c)
	$(call need_program,python3,python3)
	$(Q)python3 lib/man/man.py $(B)/man
	$(Q)cp lib/man/streamctx-probes.7 $(B)/man/man7
	@touch $@

man: $(B)/man/done

# Paths below the prefix are written relative to it, so that it can be moved.
below_prefix = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))
fill = sed -e 's|@NAME@|$(NAME:lib%=%)|g' -e 's|@RCU@|$(RCU)|g' -e 's|@PREFIX@|$(PREFIX)|g' \
	-e 's|@LIBDIR@|$(call below_prefix,$(LIBDIR))|g' \
	-e 's|@INCLUDEDIR@|$(call below_prefix,$(INCLUDEDIR))|g' \
	-e "s|@INCLUDE_FROM_LIB@|$$(realpath -m --relative-to=$(LIBDIR) $(INCLUDEDIR))|g" \
	-e 's|@VERSION@|$(VERSION)|g' -e 's|@SOVERSION@|$(SOVERSION)|g' \
	-e 's|@RCU_DEFINE@|$(RCU_DEFINE)|g' -e 's|[[:space:]]*$$||'

D = "$(DESTDIR)"
install: lib man
	for d in $(sort $(dir $(INSTALLED_FLAVOUR) $(INSTALLED_SHARED))); do $(INSTALL) -d $(D)$$d || exit 1; done
	$(INSTALL) -m 644 include/streamctx.h $(D)$(INCLUDEDIR)
	$(INSTALL) -m 644 $(INSTALL_HEADERS:%=include/streamctx/%) $(D)$(INCLUDEDIR)/streamctx
	$(INSTALL) -m 644 $(B)/libstreamctx.a $(D)$(LIBDIR)/$(NAME).a
	$(INSTALL) -m 755 $(SO_REAL) $(B)/libstreamctx-jemalloc.so.$(SOVERSION) $(D)$(LIBDIR)
	ln -sf $(NAME).so.$(VERSION) $(D)$(LIBDIR)/$(NAME).so.$(SOVERSION)
	ln -sf $(NAME).so.$(SOVERSION) $(D)$(LIBDIR)/$(NAME).so
	ln -sf libstreamctx-jemalloc.so.$(SOVERSION) $(D)$(LIBDIR)/libstreamctx-jemalloc.so
	$(fill) lib/packaging/streamctx.pc.in >$(D)$(LIBDIR)/pkgconfig/$(NAME:lib%=%).pc
	$(fill) lib/packaging/streamctx-jemalloc.pc.in >$(D)$(LIBDIR)/pkgconfig/streamctx-jemalloc.pc
	for f in $(INSTALL_CMAKE); do \
		$(fill) lib/packaging/$$f.in >$(D)$(LIBDIR)/cmake/streamctx/$$f || exit 1; \
	done
	$(INSTALL) -m 644 $(MAN7:%=$(B)/man/man7/%) $(D)$(MANDIR)/man7
	for f in $(MAN3); do \
		if [ -L $(B)/man/man3/$$f ]; then cp -P $(B)/man/man3/$$f $(D)$(MANDIR)/man3; \
		else $(INSTALL) -m 644 $(B)/man/man3/$$f $(D)$(MANDIR)/man3; fi || exit 1; \
	done
	$(INSTALL) -m 644 lib/gdb/libstreamctx-gdb.py $(D)$(INSTALL_GDB)

# What the flavours share goes with the last of them, folders with the last file.
uninstall:
	for f in $(INSTALLED_FLAVOUR); do rm -f $(D)$$f; done
	@for f in libstreamctx.a libstreamctx-bp.a libstreamctx-qsbr.a libstreamctx-c11.a; do \
		[ ! -e $(D)$(LIBDIR)/$$f ] || exit 0; \
	done; \
	for f in $(INSTALLED_SHARED); do rm -f $(D)$$f; done; \
	for d in $(INCLUDEDIR)/streamctx $(LIBDIR)/cmake/streamctx; do \
		[ ! -d $(D)$$d ] || rmdir --ignore-fail-on-non-empty $(D)$$d; \
	done
	-@[ ! -d $(D)$(GDBDIR)$(LIBDIR) ] || { cd $(D)$(GDBDIR) && \
		rmdir -p --ignore-fail-on-non-empty $(LIBDIR:/%=%); }

# --------------------------------------------------------------------- ABI

# Of memb on x86-64.
check-abi: $(SO)
	$(call need_program,abigail-tools,abidiff)
	$(Q)python3 lib/packaging/abi.py $(SO)

abi: $(SO)
	$(call need_program,abigail-tools,abidw)
	$(Q)python3 lib/packaging/abi.py $(SO) --update

# ------------------------------------------------------------------ Debian

DEPS_DEB := architecture-properties debhelper dpkg-dev build-essential fakeroot lintian

# debhelper wants its folder at the top of the sources: of a copy, there.  The times
# in the archive are the changelog's, so that the same sources give the same files.
DEB := $(abspath $(B))/deb
deb:
	$(call need_program,debhelper,dh)
	$(Q)rm -rf $(DEB) && mkdir -p $(DEB)/streamctx
	$(Q)cp -r include lib bench tests Makefile README.md LICENSE $(DEB)/streamctx
	$(Q)find $(DEB)/streamctx -name __pycache__ -prune -exec rm -r {} +
	$(Q)tar -C $(DEB) --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s \
		--mtime="$$(dpkg-parsechangelog -l lib/packaging/debian/changelog -S Date)" \
		-c streamctx | gzip -9n >$(DEB)/streamctx_$(VERSION).orig.tar.gz
	$(Q)cp -r lib/packaging/debian $(DEB)/streamctx/debian
	$(call say,DEB,$(DEB))
	$(Q)cd $(DEB)/streamctx && env -u MAKEFLAGS -u MAKELEVEL -u B -u RCU -u WERROR dpkg-buildpackage -uc -us \
		$(DEB_FLAGS) >$(DEB)/log 2>&1 || { tail -30 $(DEB)/log; exit 1; }
	$(Q)rm -rf $(DEB)/streamctx && ls $(DEB)/*.deb

.PHONY: man install uninstall check-abi abi deb
