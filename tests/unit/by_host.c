/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon that registers its threads with the same liburcu flavour by itself,
 * and says so before any has used the library.  A program of its own, since
 * that must come first.  liburcu dies of a second registration (memb, qsbr).
 */
#include "test.h"

#if defined(SCTX_RCU_BP)
#include <urcu/urcu-bp.h>
#define host_register()   urcu_bp_register_thread()
#define host_unregister() ((void)0)
#elif defined(SCTX_RCU_QSBR)
#include <urcu/urcu-qsbr.h>
#define host_register()   urcu_qsbr_register_thread()
#define host_unregister() urcu_qsbr_unregister_thread()
#elif defined(SCTX_RCU_C11)
#define host_register()   ((void)0)
#define host_unregister() ((void)0)
#else
#include <urcu/urcu-memb.h>
#define host_register()   urcu_memb_register_thread()
#define host_unregister() urcu_memb_unregister_thread()
#endif

static struct sctx_registry *registry;

static void *host_main(void *arg)
{
	struct sctx_id id = id_of((uintptr_t)arg);
	struct sctx_context *ctx;
	struct sctx_stream *s;

	/* The library registers nobody: not even who asks to be attached first. */
	CHECK_EQ(sctx_thread_attach(), 0);
	host_register();
	for (unsigned int i = 0; i < 200; i++) {
		CHECK_EQ(sctx_open(registry, &id, 0, &s), 0);
		CHECK_EQ(sctx_get_or_create(s, OWNER(1), NULL, item_create, NULL, &ctx), 0);
		sctx_read_lock();
		CHECK(sctx_find(registry, &id) == s);
		CHECK(sctx_lookup(s, OWNER(1), NULL) == ctx);
		item_check(item_of(ctx));
		sctx_read_unlock();
		CHECK_EQ(sctx_put(ctx), 0);
		CHECK_EQ(sctx_close(s), 0);
	}
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(sctx_synchronize(), 0);
	/* The library must not have unregistered what it did not register. */
	CHECK_EQ(sctx_thread_detach(), 0);
	host_unregister();
	return NULL;
}

static void the_host_registers_its_threads(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&registry), 0);
	for (uintptr_t round = 0; round < 4; round++) {
		pthread_t threads[3];

		for (uintptr_t i = 0; i < 3; i++)
			threads[i] = thread_start(host_main, (void *)(i / 2));
		for (unsigned int i = 0; i < 3; i++)
			thread_join(threads[i]);
	}
	assert_rc(sctx_registry_destroy(registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());

	/* The main thread's sections are seen by grace periods. */
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	sctx_read_lock();
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	nap_ms(50);
	assert_int_equal(item_called(a), 0);
	sctx_read_unlock();
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* liburcu knows it still, so that a section begins as it did before. */
static void a_detached_thread_is_attached_by_its_next_open(void **state)
{
	struct sctx_stats before = { .size = sizeof(before) }, after = before;
	const struct sctx_id id = id_of(1);
	struct sctx_stream *s;

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_stats_get(&before), 0);
	for (unsigned int i = 0; i < 6; i++) {
		if (i >= 3)
			assert_rc(sctx_thread_detach(), 0);
		assert_rc(sctx_open(registry, &id, 0, &s), 0);
	}
	assert_rc(sctx_stats_get(&after), 0);
	assert_u64(after.opens - before.opens, ==, 6);
	for (unsigned int i = 0; i < 6; i++)
		assert_rc(sctx_close(s), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_registers_its_threads),
		cmocka_unit_test(a_detached_thread_is_attached_by_its_next_open),
	};
	int status;

#if defined(SCTX_RCU_C11)
	puts("skip: c11 has no registration that a host could do");
	return EXIT_SKIP;
#endif
	host_register();
	CHECK_EQ(sctx_threads_registered_by_host(), 0);
	CHECK_EQ(sctx_threads_registered_by_host(), 0);
	status = TEST_RUN(tests);
	host_unregister();
	return status;
}
