# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make explore          every pair of operations, chosen programs, random ones:
#                       all schedules with at most 2 preemptions (of some, 1)
# make explore-long     the same with one preemption more, and more at random
# make explore-planted  mistakes planted in the library are found
#
# build/explore/explore runs a program by hand, and replays what failed:
# tests/explore/main.c.  tests/explore/engine.h says what it is.
#
# The library's sources are compiled as they are, with lib/sync.h exchanged for
# explore_sync.h, into a shared object that the explorer saves and restores;
# rcu.c and pool.c are the explorer's own (readers.c, memory.c).

CHECK_PARTS += explore

E := $(B)/explore
EXPLORE_SRCS := $(sort $(wildcard tests/explore/*.c))
EXPLORE_LIB  := $(filter-out lib/rcu.c lib/pool.c,$(LIB_SRCS))
EXPLORE_LINEAR := history spec check
EXPLORE_CPPFLAGS := -Iinclude -Itests/explore -D_GNU_SOURCE -DSCTX_RCU_C11
EXPLORE_CFLAGS := -std=gnu11 $(WARNINGS) -Wstrict-prototypes -pthread $(EXPLORE_CPPFLAGS) -g
# The calls before plain accesses are wanted, not ThreadSanitizer itself.
EXPLORE_LIB_CFLAGS := $(EXPLORE_CFLAGS) -DSCTX_EXPLORE -fPIC -O1 -fsanitize=thread

$(E)/lib/%.o: lib/%.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXPLORE_LIB_CFLAGS) -MMD -MP -c -o $@ $<

$(E)/libexplored.so: $(EXPLORE_LIB:lib/%.c=$(E)/lib/%.o)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-soname,libexplored.so -Wl,-z,relro,-z,now -o $@ $^

$(E)/%.o: tests/explore/%.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXPLORE_CFLAGS) -O2 -U_FORTIFY_SOURCE -MMD -MP -c -o $@ $<

# The checker of histories is tests/linear's.
$(E)/linear/%.o: tests/linear/%.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXPLORE_CFLAGS) -O2 -MMD -MP -c -o $@ $<

$(E)/explore: $(EXPLORE_SRCS:tests/explore/%.c=$(E)/%.o) $(EXPLORE_LINEAR:%=$(E)/linear/%.o) $(E)/libexplored.so
	$(call say,LINK,$@)
	$(Q)$(CC) -rdynamic -o $@ $(filter %.o,$^) -L$(E) -lexplored -Wl,-rpath,'$$ORIGIN' -Wl,-z,now

explore-program: $(E)/explore
check-build-explore:
	@+$(sub_make) explore-program

run_explore = tests/run.sh run explore $(LOGS) $(E)/explore; \
	sed -n '/^suite /,/^all /p' $(LOGS)/explore/explore/explore.log

EXPLORE_LONG := --bound=3 --programs=2000 --runs=2000
explore-long: check-build-explore
	@$(E)/explore $(EXPLORE_LONG)

explore-planted: check-build-explore
	@EXPLORE_DIR=$(E) EXPLORE_CC="$(CC) $(filter-out -Iinclude,$(EXPLORE_LIB_CFLAGS))" tests/explore/planted.sh $(or $(PLANTED),all)

.PHONY: explore-program explore-long explore-planted

-include $(EXPLORE_SRCS:tests/explore/%.c=$(E)/%.d) $(EXPLORE_LIB:lib/%.c=$(E)/lib/%.d) \
	$(EXPLORE_LINEAR:%=$(E)/linear/%.d)
