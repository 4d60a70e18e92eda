# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make explore        every pair of operations, chosen programs with the
#                     reclaimer, random ones; then planted mistakes
# make explore-long   the same with one preemption more, and more at random
#
# tests/explore/engine.h says what it is.  The library's sources are compiled
# as they are, with lib/sync.h exchanged for explore_sync.h, into a shared
# object that the explorer saves and restores; rcu.c and pool.c are the
# explorer's own (readers.c, memory.c).

CHECK_PARTS += explore

E := $(B)/explore
EXPLORE_SRCS := $(sort $(wildcard tests/explore/*.c))
EXPLORE_LIB  := $(filter-out lib/rcu.c lib/pool.c,$(LIB_SRCS))
EXPLORE_CPPFLAGS := -Iinclude -Itests/explore -D_GNU_SOURCE -DSCTX_RCU_C11
# The calls before plain accesses are wanted, not ThreadSanitizer itself.
EXPLORE_LIB_CFLAGS := -std=gnu11 $(WARNINGS) -pthread -DSCTX_EXPLORE $(EXPLORE_CPPFLAGS) -fPIC -O1 -g -fsanitize=thread

$(E)/lib/%.o: lib/%.c tests/explore/explore_sync.h tests/explore/seam.h $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXPLORE_LIB_CFLAGS) -MMD -MP -c -o $@ $<

$(E)/libexplored.so: $(EXPLORE_LIB:lib/%.c=$(E)/lib/%.o)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-soname,libexplored.so -Wl,-z,relro,-z,now -o $@ $^

$(E)/%.o: tests/explore/%.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARNINGS) -Wstrict-prototypes -pthread $(EXPLORE_CPPFLAGS) -O2 -g -U_FORTIFY_SOURCE -MMD -MP -c -o $@ $<

$(E)/explore: $(EXPLORE_SRCS:tests/explore/%.c=$(E)/%.o) $(E)/libexplored.so
	$(call say,LINK,$@)
	$(Q)$(CC) -rdynamic -o $@ $(filter %.o,$^) -L$(E) -lexplored -Wl,-rpath,'$$ORIGIN' -Wl,-z,now

check-build-explore: $(E)/explore

-include $(EXPLORE_SRCS:tests/explore/%.c=$(E)/%.d) $(EXPLORE_LIB:lib/%.c=$(E)/lib/%.d)
