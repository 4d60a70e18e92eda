/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks that wait as long as the library is patient for, seconds: apart from
 * unit/fork, so that they run beside others.
 */
#include "test.h"

struct held_fork {
	struct sctx_stream stream;
	struct sctx_registry *registry;
	void (*update)(struct held_fork *h);
	atomic_ulong updates;
	atomic_bool stop;
};

static void delete_what_is_not_there(struct held_fork *h)
{
	CHECK_EQ(sctx_delete(&h->stream, OWNER(1), NULL), -ENOENT);
}

/* And nothing else: a close would wait by itself. */
static void open_another(struct held_fork *h)
{
	const struct sctx_id id = id_of(atomic_load(&h->updates));
	struct sctx_stream *s;

	CHECK_EQ(sctx_open(h->registry, &id, 0, &s), 0);
}

static int close_it(struct sctx_stream *stream, void *unused)
{
	(void)unused;
	return sctx_close(stream);
}

static void *updates_main(void *arg)
{
	struct held_fork *h = arg;

	while (!atomic_load(&h->stop)) {
		h->update(h);
		atomic_fetch_add(&h->updates, 1);
		nap_ms(1);
	}
	return NULL;
}

static void *fork_main(void *arg)
{
	(void)arg;
	CHECK_EQ(child_wait(child_start(child_reclaims, NULL)), 0);
	return NULL;
}

static bool updates_stand_still(struct held_fork *h)
{
	unsigned long before = atomic_load(&h->updates);

	nap_ms(200);
	return atomic_load(&h->updates) == before;
}

/*
 * While the fork waits for a section, no update begins: it would be cut in two.
 * In poll mode the fork has no reclaimer to be patient with first.
 */
static void wait_for_a_fork_that_waits(void (*update)(struct held_fork *h))
{
	struct held_fork h = { .update = update };
	struct reader *reader;
	pthread_t updater, forker;
	bool still = false;

	set_mode(SCTX_RECLAIM_POLL);
	assert_rc(sctx_registry_create(&h.registry), 0);
	assert_rc(sctx_stream_init(&h.stream), 0);
	reader = reader_park(&h.stream, OWNER(1), NULL);
	updater = thread_start(updates_main, &h);
	WAIT_FOR(atomic_load(&h.updates) >= 20);
	forker = thread_start(fork_main, NULL);
	for (unsigned int i = 0; i < 30 && !still; i++)
		still = updates_stand_still(&h);
	reader_leave(reader);
	thread_join(forker);
	atomic_store(&h.stop, true);
	thread_join(updater);
	assert_true(still);
	assert_rc(sctx_registry_for_each(h.registry, close_it, NULL), 0);
	assert_rc(sctx_registry_destroy(h.registry), 0);
	assert_rc(sctx_teardown(&h.stream), 0);
}

static void updates_wait_for_a_fork_that_waits(void **state)
{
	(void)state;
	wait_for_a_fork_that_waits(delete_what_is_not_there);
}

static void new_streams_wait_for_a_fork_that_waits(void **state)
{
	(void)state;
	wait_for_a_fork_that_waits(open_another);
}

/* A callback that waits for a lock of the forking thread: fork goes on. */
static void a_callback_that_waits_for_the_forking_thread(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	uint64_t begin;
	pid_t pid;

	(void)state;
	gate_init(&callback_begun);
	a->hook = callback_takes_lock;
	pthread_mutex_lock(&callback_lock);
	assert_rc(sctx_put(&a->ctx), 0);
	gate_wait(&callback_begun);
	begin = now_ns();
	pid = child_start(child_reclaims, NULL);
	assert_u64(now_ns() - begin, <, loaded_ns(10000));
	pthread_mutex_unlock(&callback_lock);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_child_ok(pid);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(updates_wait_for_a_fork_that_waits),
		cmocka_unit_test(new_streams_wait_for_a_fork_that_waits),
		cmocka_unit_test(a_callback_that_waits_for_the_forking_thread),
	};

	return TEST_RUN(tests);
}
