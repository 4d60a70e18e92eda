# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make explore          every pair of operations, chosen programs, random ones:
#                       all schedules with at most 2 preemptions (of some, 1)
# make explore-long     the same with one preemption more, more at random
# make explore-planted  the mutants that it must notice (tests/meta/mutants.txt)
#
# build/explore/explore runs a program by hand, and replays what failed:
# tests/model/explore/main.c.  tests/model/explore/engine.h says what it is.
#
# The library's sources are compiled as they are, with lib/base/sync.h exchanged for
# explore_sync.h, into a shared object that the explorer saves and restores;
# rcu.c and pool.c are the explorer's own (readers.c, memory.c).

CHECK_PARTS += explore

E := $(B)/explore
EXPLORE_SRCS := $(sort $(wildcard tests/model/explore/*.c))
EXPLORE_LIB  := $(filter-out lib/rcu/rcu.c lib/base/pool.c,$(LIB_SRCS))
EXPLORE_LINEAR := history spec check
EXPLORE_CPPFLAGS := -Iinclude -Ilib -Itests/model/explore -D_GNU_SOURCE -DSCTX_RCU_C11
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

$(E)/o/%.o: tests/model/explore/%.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXPLORE_CFLAGS) -O2 -U_FORTIFY_SOURCE -MMD -MP -c -o $@ $<

# The checker of histories is tests/stress/linear's.
$(E)/o/linear/%.o: tests/stress/linear/%.c $(B)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EXPLORE_CFLAGS) -O2 -MMD -MP -c -o $@ $<

$(E)/explore: $(EXPLORE_SRCS:tests/model/explore/%.c=$(E)/o/%.o) $(EXPLORE_LINEAR:%=$(E)/o/linear/%.o) $(E)/libexplored.so
	$(call say,LINK,$@)
	$(Q)$(CC) -rdynamic -o $@ $(filter %.o,$^) -L$(E) -lexplored -Wl,-rpath,'$$ORIGIN' -Wl,-z,now

explore-program: $(E)/explore
check-build-explore:
	@+$(sub_make) explore-program

# A line for each program in the log, and a table of the suites on the screen.
explore_table = sed -n '/^suite /,/^all /p' $(LOGS)/$(1)/explore/explore.log
explore_env = EXPLORE_DIR=$(E)

run_explore = $(explore_env) SCTX_TEST_TIMEOUT=$${SCTX_TEST_TIMEOUT:-600} \
	tests/run.sh run explore $(LOGS) $(E)/explore tests/model/explore/covered.sh \
		tests/model/explore/reductions.sh; \
	$(call explore_table,explore)

# The same with one preemption more, more at random.  Of the few programs that
# would take hours not all: the table says which.
LONG_PARTS += explore-long
check-build-explore-long: check-build-explore
run_explore-long = $(explore_env) EXPLORE_LONG=1 SCTX_TEST_TIMEOUT=7200 \
	tests/run.sh run explore-long $(LOGS) $(E)/explore; \
	$(call explore_table,explore-long)
explore-long: check-build-explore-long test-logs
	@$(run_explore-long)
	@tests/run.sh summary $(LOGS)

.PHONY: explore-program explore-long check-build-explore-long

-include $(EXPLORE_SRCS:tests/model/explore/%.c=$(E)/o/%.d) $(EXPLORE_LIB:lib/%.c=$(E)/lib/%.d) \
	$(EXPLORE_LINEAR:%=$(E)/o/linear/%.d)
