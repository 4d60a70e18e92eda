/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts that any thread may free: freed by the thread that retired them, or by
 * the reclaimer where that does not come by.
 */
#include "module.h"

#define DATA 200

static atomic_ulong here, elsewhere;
static __thread bool churns;

static void note(struct sctx_context *ctx)
{
	(void)ctx;
	atomic_fetch_add(churns ? &here : &elsewhere, 1);
}

static unsigned long freed(void)
{
	return atomic_load(&here) + atomic_load(&elsewhere);
}

static struct sctx_registry *registry;
static struct sctx_owner *owner;

static int begin(void **state)
{
	const struct sctx_owner_ops ops = {
		.size = sizeof(ops),
		.name = "home",
		.tag = SCTX_TAG('H', 'o', 'm', 'e'),
		.flags = SCTX_OWNER_FREE_ANYWHERE,
		.context_size = DATA,
		.free = note,
		.embedded_size = 4096,
	};

	(void)state;
	atomic_store(&here, 0);
	atomic_store(&elsewhere, 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK_EQ(sctx_owner_register(registry, &ops, &owner), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	CHECK_EQ(sctx_owner_unregister(owner, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(stats_now().limbo_callbacks, 0);
	CHECK_EQ(stats_now().limbo_bytes, 0);
	return 0;
}

static void retire(unsigned int n)
{
	while (n-- > 0) {
		struct sctx_context *ctx;

		CHECK_EQ(sctx_context_alloc(owner, NULL, 0, &ctx), 0);
		CHECK_EQ(sctx_put(ctx), 0);
	}
}

static void a_busy_thread_frees_what_it_retired(void **state)
{
	unsigned long n = 0;

	(void)state;
	churns = true;
	/* Not so much that the reclaimer has to help. */
	for (uint64_t stop = test_deadline(300); !past(stop); n += 100) {
		retire(100);
		nap_ms(1);
	}
	churns = false;
	assert_u64(freed(), <=, n);
	assert_u64(atomic_load(&here), >, n / 4);
	assert_rc(sctx_barrier(), 0);
	assert_u64(freed(), ==, n);
}

static void a_quiet_thread_leaves_them_to_the_reclaimer(void **state)
{
	(void)state;
	retire(1000);
	WAIT_FOR(freed() == 1000);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
}

static void *retire_and_exit(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20; i++) {
		retire(100);
		nap_ms(1);
	}
	return NULL;
}

static void a_thread_that_exits_leaves_them_to_the_reclaimer(void **state)
{
	(void)state;
	thread_join(thread_start(retire_and_exit, NULL));
	WAIT_FOR(freed() == 2000);
}

static void *retire_now_and_then(void *arg)
{
	for (int i = 0; i < 40; i++) {
		retire(1 + (unsigned int)i % 40);
		nap_ms(1);
	}
	gate_open(arg);
	return NULL;
}

static void a_barrier_covers_what_other_threads_have_at_home(void **state)
{
	struct gate done;
	pthread_t thread;

	(void)state;
	gate_init(&done);
	thread = thread_start(retire_now_and_then, &done);
	gate_wait(&done);
	assert_rc(sctx_barrier(), 0);
	assert_u64(freed(), ==, 40 * 41 / 2);
	thread_join(thread);
}

static void child_frees_them(void *unused)
{
	(void)unused;
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(freed(), 300);
}

static void a_child_frees_them_too(void **state)
{
	(void)state;
	if (TEST_TSAN)
		skip();
	retire(300);
	assert_child_ok(child_start(child_frees_them, NULL));
	assert_rc(sctx_barrier(), 0);
	assert_u64(freed(), ==, 300);
}

static void limbo_counts_their_bytes(void **state)
{
	const uint64_t before = stats_now().limbo_bytes;
	struct sctx_context embedded;
	uint64_t bytes;

	(void)state;
	sctx_read_lock();
	retire(100);
	bytes = stats_now().limbo_bytes - before;
	assert_u64(bytes, >=, 100 * (DATA + sizeof(struct sctx_context)));
	assert_u64(bytes, <=, 100 * (DATA + sizeof(struct sctx_context)) * 9 / 8);
	assert_rc(sctx_owner_context_init(owner, &embedded, NULL), 0);
	assert_rc(sctx_put(&embedded), 0);
	assert_u64(stats_now().limbo_bytes - before - bytes, ==, 4096);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
		T(a_busy_thread_frees_what_it_retired),
		T(a_quiet_thread_leaves_them_to_the_reclaimer),
		T(a_thread_that_exits_leaves_them_to_the_reclaimer),
		T(a_barrier_covers_what_other_threads_have_at_home),
		T(a_child_frees_them_too),
		T(limbo_counts_their_bytes),
	};

	return TEST_RUN(tests);
}
