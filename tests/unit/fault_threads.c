/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faults of threads: the reclaimer cannot be started, the exit hook finds no
 * memory.
 */
#include "stress/faults/inject.h"

/* ------------------------------------------------------------------ threads */

/* No thread for the reclaimer: who creates hears of it, nothing changes. */
static void no_reclaimer(void *unused)
{
	struct sctx_context *out = (void *)1;
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_registry *registry;
	struct sctx_stream s, *open = (void *)1;
	struct sctx_id id = id_of(1);

	(void)unused;
	items_reset();
	sctx_stream_init(&s);
	CHECK_EQ(sctx_registry_create(&registry), 0);
	atomic_store(&no_threads, 1000);
	CHECK_EQ(sctx_insert(&s, &a->ctx), -EAGAIN);
	CHECK_EQ(sctx_insert_unique(&s, &a->ctx, &out), -EAGAIN);
	CHECK(out == NULL);
	out = (void *)1;
	CHECK_EQ(sctx_replace(&s, &a->ctx, &out), -EAGAIN);
	CHECK(out == NULL);
	out = (void *)1;
	CHECK_EQ(sctx_get_or_create(&s, OWNER(1), NULL, item_create, NULL, &out), -EAGAIN);
	CHECK(out == NULL);
	CHECK_EQ(items_created(), items_freed());
	CHECK_EQ(sctx_open(registry, &id, 0, &open), -EAGAIN);
	CHECK(open == NULL);
	CHECK(peek(&s, NULL, NULL) == NULL);
	CHECK_EQ(sctx_detach(&a->ctx), -ENOENT);
	CHECK_EQ(sctx_barrier(), -EAGAIN);
	/* A grace period needs none. */
	CHECK_EQ(sctx_synchronize(), 0);

	/* Releasing works, and waits for better times. */
	CHECK_EQ(sctx_put(&a->ctx), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	/* Its own callbacks run here; what an earlier teardown led to needs the thread. */
	CHECK_EQ(sctx_teardown_sync(&s), 0);
	CHECK_EQ(sctx_teardown_sync(&s), -EAGAIN);
	CHECK(!sctx_stream_supports_contexts(&s));
	CHECK_EQ(item_called(a), 0);

	atomic_store(&no_threads, 0);
	CHECK_EQ(sctx_teardown_sync(&s), 0);
	CHECK_EQ(item_called(a), 1);
	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK_EQ(sctx_open(registry, &id, 0, &open), 0);
	CHECK_EQ(sctx_insert(open, &item_churn(OWNER(1), NULL)->ctx), 0);
	CHECK_EQ(sctx_close(open), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), items_created());
	item_free(a);
}
IN_CHILD(no_reclaimer)

/* After a fork the child's first release cannot start a thread; a later can. */
struct afterwards {
	struct sctx_registry *registry;
	struct sctx_stream *open[3];
};

static void no_reclaimer_in_the_child(void *arg)
{
	struct afterwards *a = arg;
	struct item *later = item_new(OWNER(1), NULL);

	atomic_store(&no_threads, 1000);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(sctx_close(a->open[i]), 0);
	CHECK_EQ(items_freed(), 0);
	CHECK_EQ(sctx_barrier(), -EAGAIN);
	atomic_store(&no_threads, 0);
	/* Nobody asks for it but the next release. */
	CHECK_EQ(sctx_put(&later->ctx), 0);
	WAIT_FOR(items_freed() == 3 && item_called(later) == 1);
	CHECK_EQ(sctx_registry_destroy(a->registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	item_free(later);
}

static void no_reclaimer_after_a_fork(void *unused)
{
	struct afterwards a;

	(void)unused;
	items_reset();
	CHECK_EQ(sctx_registry_create(&a.registry), 0);
	for (unsigned int i = 0; i < 3; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(a.registry, &id, 0, &a.open[i]), 0);
		CHECK_EQ(sctx_insert(a.open[i], &item_churn(OWNER(1), NULL)->ctx), 0);
	}
	CHECK_EQ(child_wait(child_start(no_reclaimer_in_the_child, &a)), 0);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(sctx_close(a.open[i]), 0);
	CHECK_EQ(sctx_registry_destroy(a.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), 3);
	items_reset();
}
IN_CHILD(no_reclaimer_after_a_fork)

static void *attach_main(void *unused)
{
	(void)unused;
	atomic_store(&no_hooks, 2);
	CHECK_EQ(sctx_thread_attach(), -ENOMEM);
	CHECK_EQ(sctx_thread_attach(), -ENOMEM);
	CHECK_EQ(sctx_thread_attach(), 0);
	CHECK_EQ(sctx_thread_detach(), 0);
	return NULL;
}

/* A section cannot fail: it retries until there is memory. */
static void *section_main(void *unused)
{
	(void)unused;
	atomic_store(&no_hooks, 5);
	sctx_read_lock();
	CHECK_EQ(atomic_load(&no_hooks), 0);
	CHECK_EQ(sctx_barrier(), -EDEADLK);
	sctx_read_unlock();
	return NULL;
}

static void no_memory_for_the_exit_hook(void *unused)
{
	(void)unused;
	thread_join(thread_start(attach_main, NULL));
	thread_join(thread_start(section_main, NULL));
	CHECK_EQ(sctx_barrier(), 0);
}
IN_CHILD(no_memory_for_the_exit_hook)

/* No thread-specific key is left in the process, for a while. */
static void no_key_for_the_exit_hook(void *unused)
{
	(void)unused;
	atomic_store(&no_keys, 2);
	CHECK_EQ(sctx_thread_attach(), -ENOMEM);
	atomic_store(&no_keys, 0);
	CHECK_EQ(sctx_thread_attach(), 0);
	CHECK_EQ(sctx_barrier(), 0);
}
IN_CHILD(no_key_for_the_exit_hook)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_child_no_reclaimer),
		cmocka_unit_test(in_child_no_reclaimer_after_a_fork),
		cmocka_unit_test(in_child_no_memory_for_the_exit_hook),
		cmocka_unit_test(in_child_no_key_for_the_exit_hook),
	};

	return TEST_RUN(tests);
}
