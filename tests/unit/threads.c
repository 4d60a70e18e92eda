/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads: attaching, detaching, exiting with things in limbo, in great
 * numbers and at awkward moments.
 */
#include "test.h"

#include <signal.h>
#include <sys/resource.h>

/* ----------------------------------------------------------- attach, detach */

static void *attach_main(void *arg)
{
	struct sctx_stream *s = arg;

	CHECK_EQ(sctx_thread_attach(), 0);
	CHECK_EQ(sctx_thread_attach(), 0);
	sctx_read_lock();
	CHECK_EQ(sctx_thread_attach(), 0);
	CHECK(sctx_lookup(s, OWNER(1), NULL));
	CHECK_EQ(sctx_thread_detach(), -EDEADLK);
	CHECK(sctx_lookup(s, OWNER(1), NULL));
	sctx_read_unlock();
	CHECK_EQ(sctx_thread_detach(), 0);
	CHECK_EQ(sctx_thread_detach(), 0);

	/* Using the library again attaches again. */
	for (unsigned int i = 0; i < 3; i++) {
		sctx_read_lock();
		CHECK(sctx_lookup(s, OWNER(1), NULL));
		sctx_read_unlock();
		CHECK_EQ(sctx_thread_detach(), 0);
	}
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(sctx_synchronize(), 0);
	CHECK_EQ(sctx_thread_detach(), 0);
	return NULL;
}

static void threads_attach_and_detach(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	attach_main(&s);
	thread_join(thread_start(attach_main, &s));
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
}

/* A reader that has detached and come back is waited for like any other. */
static void *returned_main(void *arg)
{
	struct reader *r = arg;

	sctx_read_lock();
	sctx_read_unlock();
	CHECK_EQ(sctx_thread_detach(), 0);
	sctx_read_lock();
	r->borrowed = sctx_lookup(r->stream, OWNER(1), NULL);
	gate_open(&r->entered);
	gate_wait(&r->leave);
	CHECK_EQ(item_called(item_of(r->borrowed)), 0);
	sctx_read_unlock();
	return NULL;
}

static void a_thread_that_came_back_is_waited_for(void **state)
{
	struct reader r = { .borrowed = NULL };
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	r.stream = &s;
	gate_init(&r.entered);
	gate_init(&r.leave);
	r.thread = thread_start(returned_main, &r);
	gate_wait(&r.entered);
	CHECK_EQ(sctx_delete(&s, OWNER(1), NULL), 0);
	nap_ms(60);
	CHECK_EQ(item_called(a), 0);
	gate_open(&r.leave);
	thread_join(r.thread);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* ------------------------------------------------------- leaving with limbo */

static void *retire_main(void *arg)
{
	struct item **items = arg;

	for (unsigned int i = 0; i < 10; i++)
		CHECK_EQ(sctx_put(&items[i]->ctx), 0);
	return NULL;
}

static void *retire_and_detach_main(void *arg)
{
	struct item **items = arg;

	retire_main(arg);
	CHECK_EQ(sctx_thread_detach(), 0);
	for (unsigned int i = 0; i < 10; i++)
		WAIT_FOR(item_called(items[i]) == 1);
	return NULL;
}

static void what_a_thread_leaves_in_limbo_is_freed(void **state)
{
	struct item *items[10];
	struct reader *reader;

	(void)state;
	/* Exited. */
	for (unsigned int i = 0; i < 10; i++)
		items[i] = item_new(OWNER(1), NULL);
	thread_join(thread_start(retire_main, items));
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}

	/* Exited, while a reader holds it all up: counted meanwhile. */
	for (unsigned int i = 0; i < 10; i++)
		items[i] = item_new(OWNER(1), NULL);
	reader = reader_park(NULL, NULL, NULL);
	thread_join(thread_start(retire_main, items));
	assert_u64(stats_now().limbo_callbacks, ==, 10);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(item_called(items[i]), 0);
	reader_leave(reader);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	assert_u64(stats_now().limbo_callbacks, ==, 0);

	/* Detached, and going on without the library. */
	for (unsigned int i = 0; i < 10; i++)
		items[i] = item_new(OWNER(1), NULL);
	thread_join(thread_start(retire_and_detach_main, items));
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
}

/* ---------------------------------------------------------------- exit hooks */

/*
 * Hooks of the program's own that use the library, made before and after the
 * library's: run before and after it.
 */
static pthread_key_t early_key, late_key;
static struct sctx_registry *hook_registry;
static atomic_uint hooks_run;

static void use_in_hook(void *arg)
{
	struct sctx_id id = id_of(5);
	struct sctx_stream *s;

	(void)arg;
	CHECK_EQ(sctx_open(hook_registry, &id, 0, &s), 0);
	CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
	sctx_read_lock();
	CHECK(sctx_lookup(s, OWNER(1), NULL));
	sctx_read_unlock();
	CHECK_EQ(sctx_close(s), 0);
	atomic_fetch_add(&hooks_run, 1);
}

static void *hook_main(void *arg)
{
	uintptr_t which = (uintptr_t)arg;

	if (which & 1)
		CHECK_EQ(pthread_setspecific(early_key, &hooks_run), 0);
	if (which & 4)
		use_in_hook(NULL);
	if (which & 2)
		CHECK_EQ(pthread_setspecific(late_key, &hooks_run), 0);
	return NULL;
}

static void exit_hooks_may_use_the_library(void **state)
{
	unsigned int uses = 0;

	(void)state;
	items_reset();
	assert_int_equal(pthread_key_create(&late_key, use_in_hook), 0);
	assert_rc(sctx_registry_create(&hook_registry), 0);
	for (unsigned int round = 0; round < 5; round++)
		for (uintptr_t which = 0; which < 8; which++) {
			uses += (unsigned int)__builtin_popcountl(which);
			thread_join(thread_start(hook_main, (void *)which));
		}
	assert_int_equal(atomic_load(&hooks_run), uses);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, uses);
	assert_rc(sctx_registry_destroy(hook_registry), 0);
	assert_rc(sctx_barrier(), 0);
	pthread_key_delete(late_key);
}

/* ------------------------------------------------------- many short-lived ones */

struct brief {
	struct sctx_registry *registry;
	atomic_uint number;
};

static void *brief_main(void *arg)
{
	struct brief *b = arg;
	struct sctx_id id = id_of(atomic_fetch_add(&b->number, 1) % 4);
	struct sctx_context *ctx;
	struct sctx_stream *s;

	CHECK_EQ(sctx_open(b->registry, &id, 0, &s), 0);
	CHECK_EQ(sctx_get_or_create(s, OWNER(1), NULL, item_create, NULL, &ctx), 0);
	item_check(item_of(ctx));
	CHECK_EQ(sctx_close(s), 0);
	CHECK_EQ(sctx_put(ctx), 0);
	return NULL;
}

static void brief_batch(struct brief *b, unsigned int n)
{
	for (unsigned int i = 0; i < n; i += 8) {
		pthread_t threads[8];

		for (unsigned int j = 0; j < 8; j++)
			threads[j] = thread_start(brief_main, b);
		for (unsigned int j = 0; j < 8; j++)
			thread_join(threads[j]);
	}
}

static void many_short_lived_threads(void **state)
{
	const unsigned int n = TEST_ASAN || TEST_TSAN ? 400 : 3000;
	struct brief b = { .number = 0 };
	unsigned int tasks;
	size_t before;

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&b.registry), 0);
	brief_batch(&b, n / 4);
	assert_rc(sctx_barrier(), 0);
	before = resident_bytes();
	tasks = task_count();
	brief_batch(&b, n);
	assert_rc(sctx_barrier(), 0);
	/* Nothing is kept for those that are gone. */
	if (TEST_ALONE)
		assert_u64(resident_bytes(), <, before + (2u << 20));
	if (!TEST_EMULATED)
		assert_int_equal(task_count(), tasks);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
	assert_rc(sctx_registry_destroy(b.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

/* Threads come and go while others wait for grace periods and for callbacks. */
static void exit_and_barrier_thread(unsigned int index, void *arg)
{
	struct brief *b = arg;

	for (uint64_t end = test_deadline(400); !past(end);) {
		if (index < 2)
			brief_batch(b, 8);
		else if (index == 2)
			CHECK_EQ(sctx_barrier(), 0);
		else
			CHECK_EQ(sctx_synchronize(), 0);
	}
}

static void threads_exit_while_others_wait(void **state)
{
	struct brief b = { .number = 0 };

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&b.registry), 0);
	run_threads(4, exit_and_barrier_thread, &b);
	assert_rc(sctx_registry_destroy(b.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

/* The reclaimer's thread, and one for each CPU at most, whatever is retired. */
static void the_library_has_few_threads(void **state)
{
	const unsigned int most = 2 + (unsigned int)sysconf(_SC_NPROCESSORS_CONF);

	(void)state;
	items_reset();
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < 5000; i++)
			assert_rc(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
		assert_rc(sctx_barrier(), 0);
		/* The sanitizers have threads of their own at times. */
		if (TEST_ALONE)
			assert_true(task_count() <= most);
	}
	assert_u64(items_freed(), ==, items_created());
}

/* Too late to say that the host registers its threads: one has been by us. */
struct exiting {
	struct gate inside, leave;
};

static void *leaves(void *arg)
{
	struct exiting *e = arg;

	sctx_read_lock();
	gate_open(&e->inside);
	gate_wait(&e->leave);
	sctx_read_unlock();
	return NULL;
}

static void *exits_inside(void *arg)
{
	struct exiting *e = arg;

	sctx_read_lock();
	gate_open(&e->inside);
	gate_wait(&e->leave);
	return NULL;
}

/* How often it slept, and was woken. */
static void *synchronize(void *sleeps)
{
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	CHECK_EQ(sctx_synchronize(), 0);
	getrusage(RUSAGE_THREAD, &after);
	*(long *)sleeps = after.ru_nvcsw - before.ru_nvcsw;
	return NULL;
}

/* A grace period sleeps, for @reader, until somebody tells it; others have sections meanwhile. */
static long sleeps_with(void *(*reader)(void *arg), unsigned int sections)
{
	struct exiting e;
	pthread_t inside, waiter;
	long sleeps;

	gate_init(&e.inside);
	gate_init(&e.leave);
	inside = thread_start(reader, &e);
	gate_wait(&e.inside);
	waiter = thread_start(synchronize, &sleeps);
	nap_ms(200);
	for (unsigned int i = 0; i < sections; i++) {
		sctx_read_lock();
		sctx_read_unlock();
		usleep(100);
	}
	gate_open(&e.leave);
	thread_join(inside);
	thread_join(waiter);
	return sleeps;
}

static void an_exit_inside_a_section_ends_it(void **state)
{
	(void)state;
	sleeps_with(exits_inside, 0);
}

static void the_end_of_a_section_wakes_its_grace_period(void **state)
{
	(void)state;
	sleeps_with(leaves, 0);
}

/* bp and c11 do not sleep, but nap and yield. */
static void other_sections_wake_no_grace_period(void **state)
{
	long sleeps;

	(void)state;
	if (!strstr(sctx_version(), ", memb,"))
		skip();
	sleeps = sleeps_with(leaves, 2000);
	assert_true(sleeps < 200);
}

static void the_host_must_declare_itself_before_first_use(void **state)
{
	(void)state;
	sctx_read_lock();
	sctx_read_unlock();
	assert_rc(sctx_threads_registered_by_host(),
		  strstr(sctx_version(), ", c11,") ? -EOPNOTSUPP : -EBUSY);
	assert_rc(sctx_barrier(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_attach_and_detach),
		cmocka_unit_test(a_thread_that_came_back_is_waited_for),
		cmocka_unit_test(what_a_thread_leaves_in_limbo_is_freed),
		cmocka_unit_test(exit_hooks_may_use_the_library),
		cmocka_unit_test(many_short_lived_threads),
		cmocka_unit_test(threads_exit_while_others_wait),
		cmocka_unit_test(the_library_has_few_threads),
		cmocka_unit_test(an_exit_inside_a_section_ends_it),
		cmocka_unit_test(the_end_of_a_section_wakes_its_grace_period),
		cmocka_unit_test(other_sections_wake_no_grace_period),
		cmocka_unit_test(the_host_must_declare_itself_before_first_use),
	};

	/* Ahead of the library's own key. */
	if (pthread_key_create(&early_key, use_in_hook))
		return 1;
	return TEST_RUN(tests);
}
