# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make bench-cost           what an operation costs in atomic operations, fences,
#                           shared stores and instructions: figures that a busy
#                           machine does not blur
# make bench-cost-check     the same against bench/cost/cost.baseline: fails if one grew
# make bench-cost-baseline  writes that file anew

COST_B       := $(B)/cost
COST_DEFINES := -DSCTX_COUNT -DBENCH_COUNTED -Ibench/cost
COST_OBJS    := $(LIB_SRCS:lib/%.c=$(COST_B)/lib/%.o) \
		$(patsubst %,$(COST_B)/bench/%.o,$(BENCH_HARNESS) cost/counts harness/sctx-bench backends/streamctx)

$(COST_B)/lib/%.o: lib/%.c $(B)/flags $(B)/have-libs
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SCTX_CFLAGS) -Ilib $(LIB_CFLAGS) $(COST_DEFINES) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(COST_B)/bench/%.o: bench/%.c $(B)/flags $(B)/have-libs
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SCTX_CFLAGS) $(COST_DEFINES) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(COST_B)/sctx-bench: $(COST_OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljemalloc $(RCU_LIB) -lm

$(COST_B)/have-valgrind: | $(COST_B)/sctx-bench
	$(call need_program,valgrind,valgrind)
	@touch $@

COST_PROGRAMS := $(COST_B)/sctx-bench $(BENCH_PLAIN) $(COST_B)/have-valgrind

bench-cost bench-cost-check bench-cost-baseline: bench-%: $(COST_PROGRAMS)
	@B='$(B)' RCU='$(RCU)' CC='$(CC)' python3 bench/cost/cost.py $*

-include $(COST_OBJS:.o=.d)

.PHONY: bench-cost bench-cost-check bench-cost-baseline
