/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the system refuses but for memory: the Nth thread (N = 1, 2, 3 ...),
 * the lock on memory that is not to be swapped out.
 * Each in a forked child, in which the library is fresh.  tests/unit/fault_*.c
 * has the reclaimer's own thread, keys, exit hooks and getrandom.
 */
#include "inject.h"

/* Until the reclaimer's thread starts, each wait returns the error, and nothing is lost. */
static void the_first_thread_n_times(void *unused)
{
	struct item *item = item_new(OWNER(1), NULL);

	(void)unused;
	CHECK_EQ(sctx_put(&item->ctx), 0); /* asks, too: it may be there now */
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(item_called(item), 1);
	item_free(item);
	for (unsigned int n = 1; n <= 5; n++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid) {
			CHECK_EQ(child_wait(pid), 0);
			continue;
		}
		/* A child starts its own. */
		atomic_store(&no_threads, n);
		for (unsigned int i = 0; i < n; i++)
			CHECK_EQ(sctx_barrier(), -EAGAIN);
		CHECK_EQ(sctx_barrier(), 0);
		_exit(0);
	}
}
IN_CHILD(the_first_thread_n_times)

/* ------------------------------------------------------------- locked memory */

static void no_locked_memory(void *unused)
{
	const uint32_t tag = SCTX_TAG('L', 'o', 'c', 'k');
	struct books before;
	struct sctx_tag_stats stats[8];
	void *memory = sctx_alloc(SCTX_POOL_PAGED, 1, tag); /* the tag's own books stay */

	(void)unused;
	CHECK_EQ(sctx_free(memory, tag), 0);
	before = books_now();
	for (unsigned int n = 1; n <= 3; n++) {
		atomic_store(&no_mlocks, n);
		for (unsigned int i = 0; i < n; i++) {
			errno = 0;
			CHECK(!sctx_alloc(SCTX_POOL_LOCKED, 100000, tag));
			CHECK_EQ(errno, ENOMEM);
		}
		CHECK_EQ(atomic_load(&no_mlocks), 0);
		books_compare(before);
		/* Ordinary memory does not care, nor does the next one. */
		memory = sctx_alloc(SCTX_POOL_PAGED, 100000, tag);
		CHECK(memory);
		CHECK_EQ(sctx_free(memory, tag), 0);
		memory = sctx_alloc(SCTX_POOL_LOCKED, 100000, tag);
		CHECK(memory);
		memset(memory, 1, 100000);
		CHECK_EQ(sctx_free(memory, tag), 0);
		before = books_now(); /* it may keep what it has locked once */
	}
	CHECK_EQ(sctx_tag_stats_get(stats, sizeof(*stats), 8), 1);
	CHECK_EQ(stats[0].bytes, 0);
	CHECK_EQ(stats[0].objects, 0);
}
IN_CHILD(no_locked_memory)

/* A module whose contexts are to be in locked memory. */
static void a_module_without_locked_memory(void *unused)
{
	const struct sctx_owner_ops ops = { .size = sizeof(ops),
					    .name = "locked",
					    .tag = SCTX_TAG('L', 'o', 'c', 'O'),
					    .flags = SCTX_OWNER_LOCKED,
					    .context_size = 50000 };
	struct sctx_context *ctx = (void *)1;
	struct sctx_registry *registry;
	struct sctx_owner *owner;

	(void)unused;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK_EQ(sctx_owner_register(registry, &ops, &owner), 0);
	atomic_store(&no_mlocks, 1);
	CHECK_EQ(sctx_context_alloc(owner, NULL, 0, &ctx), -ENOMEM);
	CHECK(!ctx);
	CHECK_EQ(atomic_load(&no_mlocks), 0);
	CHECK_EQ(sctx_context_alloc(owner, NULL, 0, &ctx), 0);
	CHECK_EQ(sctx_put(ctx), 0);
	CHECK_EQ(sctx_owner_unregister(owner, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
}
IN_CHILD(a_module_without_locked_memory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_child_the_first_thread_n_times),
		cmocka_unit_test(in_child_no_locked_memory),
		cmocka_unit_test(in_child_a_module_without_locked_memory),
	};

	return TEST_RUN(tests);
}
