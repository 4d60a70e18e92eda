# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make install     to PREFIX, below DESTDIR
# make man         manual pages from the header's comments, in build/man/
# make uninstall   takes away what install gave, with the same settings
# make deb         libstreamctx0 and libstreamctx-dev, in build/deb/

LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
GDBDIR     ?= $(PREFIX)/share/gdb/auto-load
INSTALL    ?= install

# What is installed where: $(call put,FOLDER,FILES), and links.  One list, which
# install and uninstall both go by.
INSTALL_HEADERS := $(notdir $(wildcard include/streamctx/*.h))
INSTALL_REAL    := libstreamctx.so.$(VERSION) libstreamctx-jemalloc.so.$(SOVERSION)
INSTALL_LINKS   := libstreamctx.so.$(SOVERSION) libstreamctx.so libstreamctx-jemalloc.so
INSTALL_CMAKE   := streamctxConfig.cmake streamctxConfigVersion.cmake

INSTALLED = $(INCLUDEDIR)/streamctx.h $(INSTALL_HEADERS:%=$(INCLUDEDIR)/streamctx/%) \
	$(addprefix $(LIBDIR)/,libstreamctx.a $(INSTALL_REAL) $(INSTALL_LINKS)) \
	$(LIBDIR)/pkgconfig/streamctx.pc $(INSTALL_CMAKE:%=$(LIBDIR)/cmake/streamctx/%) \
	$(MAN3:%=$(MANDIR)/man3/%) $(MAN7:%=$(MANDIR)/man7/%) $(INSTALL_GDB)

# gdb looks for it under the library's full name, in the folder of those it trusts.
INSTALL_GDB = $(GDBDIR)$(LIBDIR)/libstreamctx.so.$(VERSION)-gdb.py

# Each public function has a page, or a link to one.
MAN7 := streamctx.7 streamctx-probes.7
MAN3 := $(addsuffix .3,$(shell sed -n -e 's/^[[:space:]]*\(sctx_[a-z][a-z_]*\);.*/\1/p' lib/libstreamctx.map; \
	sed -n 's/^static inline .*\b\(sctx_[a-z][a-z_]*\)\x28.*/\1/p' include/streamctx.h))

$(B)/man/done: lib/man/man.py lib/man/streamctx-probes.7 include/streamctx.h README.md
	$(call need_program,python3,python3)
	$(Q)python3 lib/man/man.py $(B)/man
	$(Q)cp lib/man/streamctx-probes.7 $(B)/man/man7
	@touch $@

man: $(B)/man/done

# Paths are known only now: what names them is written in place.
fill = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' \
	-e 's|@VERSION@|$(VERSION)|g' -e 's|@SOVERSION@|$(SOVERSION)|g' \
	-e 's|@RCU_DEFINE@|$(RCU_DEFINE)|g' -e 's|@RCU_LIB@|$(RCU_LIB)|g' -e 's|[[:space:]]*$$||'

install: lib man
	$(INSTALL) -d $(sort $(addprefix $(DESTDIR),$(dir $(INSTALLED))))
	$(INSTALL) -m 644 include/streamctx.h $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 644 $(INSTALL_HEADERS:%=include/streamctx/%) $(DESTDIR)$(INCLUDEDIR)/streamctx
	$(INSTALL) -m 644 $(B)/libstreamctx.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(INSTALL_REAL:%=$(B)/%) $(DESTDIR)$(LIBDIR)
	ln -sf libstreamctx.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libstreamctx.so.$(SOVERSION)
	ln -sf libstreamctx.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libstreamctx.so
	ln -sf libstreamctx-jemalloc.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libstreamctx-jemalloc.so
	$(fill) lib/packaging/streamctx.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/streamctx.pc
	$(INSTALL) -m 644 $(MAN7:%=$(B)/man/man7/%) $(DESTDIR)$(MANDIR)/man7
	cd $(B)/man/man3 && $(INSTALL) -m 644 $$(find * -type f) $(abspath $(DESTDIR)$(MANDIR)/man3) && \
		cp -P $$(find * -type l) $(abspath $(DESTDIR)$(MANDIR)/man3)
	$(INSTALL) -m 644 lib/gdb/libstreamctx-gdb.py $(DESTDIR)$(INSTALL_GDB)
	for f in $(INSTALL_CMAKE); do \
		$(fill) lib/packaging/$$f.in >$(DESTDIR)$(LIBDIR)/cmake/streamctx/$$f || exit 1; \
	done

# Folders that hold nothing but ours go as well, unless someone else used them.
uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	-@for d in $(INCLUDEDIR)/streamctx $(LIBDIR)/cmake/streamctx; do \
		[ ! -d $(DESTDIR)$$d ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$d; \
	done
	-@[ ! -d $(DESTDIR)$(GDBDIR)$(LIBDIR) ] || { cd $(DESTDIR)$(GDBDIR) && \
		rmdir -p --ignore-fail-on-non-empty $(LIBDIR:/%=%); }

# ------------------------------------------------------------------ Debian

DEPS_DEB := debhelper dpkg-dev build-essential fakeroot

define DEB_CHANGELOG
streamctx ($(VERSION)-1) unstable; urgency=medium

  * Built from upstream's sources.

 -- The streamctx authors <streamctx@localhost>  Thu, 01 Jan 1970 00:00:00 +0000
endef
export DEB_CHANGELOG

# debhelper wants its folder at the top of the sources: of a copy, there.
DEB := $(abspath $(B))/deb
deb:
	$(call need_program,debhelper,dh)
	$(Q)rm -rf $(DEB) && mkdir -p $(DEB)/source
	$(Q)cp -r include lib bench tests Makefile README.md LICENSE $(DEB)/source
	$(Q)cp -r lib/packaging/debian $(DEB)/source/debian
	$(Q)echo "$$DEB_CHANGELOG" >$(DEB)/source/debian/changelog
	$(call say,DEB,$(DEB))
	$(Q)cd $(DEB)/source && env -u MAKEFLAGS -u MAKELEVEL -u B RCU=$(RCU) dpkg-buildpackage -b -uc -us >$(DEB)/log 2>&1 || \
		{ tail -30 $(DEB)/log; exit 1; }
	$(Q)rm -rf $(DEB)/source && ls $(DEB)/*.deb

.PHONY: man install uninstall deb
