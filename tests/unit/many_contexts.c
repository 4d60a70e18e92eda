/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many contexts on one stream: lookups agree with a model, and lists that come
 * and go keep no memory.
 */
#include "module.h"
#include "test.h"

#include <time.h>

/* ------------------------------------------------------------ sizes, models */

static void a_thousand_contexts_on_a_stream(void **state)
{
	enum { N = 1000 };
	static char owners[N];
	struct item *items[N];
	unsigned int order[N];
	uint64_t seed = 42;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int i = 0; i < N; i++) {
		items[i] = item_insert(&s, &owners[i], NULL);
		order[i] = i;
	}
	for (unsigned int i = 0; i < N; i++)
		assert_ptr_equal(peek(&s, &owners[i], NULL), &items[i]->ctx);
	for (unsigned int i = N - 1; i > 0; i--) {
		unsigned int j = test_random(&seed) % (i + 1), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (unsigned int i = 0; i < N / 2; i++)
		assert_ptr_equal(sctx_remove(&s, &owners[order[i]], NULL), &items[order[i]]->ctx);
	for (unsigned int i = 0; i < N; i++) {
		struct sctx_context *want = i < N / 2 ? NULL : &items[order[i]]->ctx;

		assert_ptr_equal(peek(&s, &owners[order[i]], NULL), want);
	}
	stream_end(&s);
	for (unsigned int i = 0; i < N; i++) {
		assert_int_equal(item_called(items[order[i]]), i >= N / 2);
		item_free(items[order[i]]);
	}
}

/* Slots are not reused, arrays are: churn on one stream takes no more memory. */
static void churn_on_one_stream_takes_no_memory(void **state)
{
	const unsigned int turns = TEST_ASAN || TEST_TSAN ? 20000 : 300000;
	struct sctx_context ctx[3];
	struct sctx_stream s;
	size_t before = 0;

	(void)state;
	set_limits(1u << 20, 0, 0);
	sctx_stream_init(&s);
	sctx_context_init(&ctx[0], OWNER(0), NULL, SCTX_NO_FREE);
	assert_rc(sctx_insert(&s, &ctx[0]), 0);
	for (unsigned int i = 0; i < turns; i++) {
		unsigned int k = 1 + i % 2;

		sctx_context_init(&ctx[k], OWNER(k), NULL, SCTX_NO_FREE);
		assert_rc(sctx_insert(&s, &ctx[k]), 0);
		assert_ptr_equal(sctx_remove(&s, OWNER(k), NULL), &ctx[k]);
		if (i == turns / 10) {
			assert_rc(sctx_barrier(), 0);
			before = resident_bytes();
		}
	}
	assert_rc(sctx_barrier(), 0);
	assert_ptr_equal(peek(&s, NULL, NULL), &ctx[0]);
	if (TEST_ALONE)
		assert_u64(resident_bytes(), <, before + (8u << 20));
	stream_end(&s);
}

/*
 * Random operations on one stream against a plain array, newest last.  It
 * says what each call returns and in which order contexts are found.
 */
#define MODEL_MAX 24

struct model {
	struct item *item[MODEL_MAX];
	unsigned int n;
};

static int model_find(const struct model *m, const void *owner, const void *instance)
{
	for (unsigned int i = m->n; i-- > 0;) {
		const struct sctx_context *ctx = &m->item[i]->ctx;

		if (!owner && !instance)
			return (int)i;
		if (owner == ctx->owner && (!instance || instance == ctx->instance))
			return (int)i;
	}
	return -1;
}

static void model_take(struct model *m, int at)
{
	memmove(&m->item[at], &m->item[at + 1], (m->n - (unsigned int)at - 1) * sizeof(*m->item));
	m->n--;
}

static void model_compare(const struct model *m, struct sctx_stream *s)
{
	sctx_read_lock();
	for (unsigned int o = 0; o <= 3; o++)
		for (unsigned int i = 0; i <= 3; i++) {
			const void *owner = o ? OWNER(o) : NULL, *instance = i ? INST(i) : NULL;
			int at = model_find(m, owner, instance);

			if (!o && i)
				at = -1;
			assert_ptr_equal(sctx_lookup(s, owner, instance),
					 at < 0 ? NULL : &m->item[at]->ctx);
		}
	sctx_read_unlock();
}

static void random_operations_agree_with_a_model(void **state)
{
	const unsigned int steps = TEST_ASAN ? 3000 : 20000;
	struct model m = { .n = 0 };
	struct sctx_stream s;
	uint64_t seed = 20240607;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int step = 0; step < steps; step++) {
		unsigned int r = (unsigned int)test_random(&seed);
		const void *owner = OWNER(1 + r % 3),
			   *instance = (r >> 8) % 4 ? INST((r >> 8) % 4) : NULL;
		int at = model_find(&m, owner, instance);
		struct sctx_context *out = (void *)1;
		struct item *item;

		switch ((r >> 16) % 7) {
		case 0:
		case 1:
			if (m.n == MODEL_MAX)
				break;
			m.item[m.n++] = item_insert(&s, owner, instance);
			break;
		case 2:
			item = item_new(owner, instance);
			if (at >= 0) {
				assert_rc(sctx_insert_unique(&s, &item->ctx, &out), -EEXIST);
				assert_ptr_equal(out, &m.item[at]->ctx);
				assert_rc(sctx_put(out), 0);
				item_free(item);
			} else if (m.n < MODEL_MAX) {
				assert_rc(sctx_insert_unique(&s, &item->ctx, &out), 0);
				assert_null(out);
				m.item[m.n++] = item;
			} else {
				item_free(item);
			}
			break;
		case 3:
			if (at < 0)
				break;
			item = item_new(owner, instance);
			assert_rc(sctx_replace(&s, &item->ctx, &out), 0);
			assert_ptr_equal(out, &m.item[at]->ctx);
			item_free(m.item[at]);
			m.item[at] = item;
			break;
		case 4:
			if ((r >> 20) % 4 == 0) {
				owner = instance = NULL;
				at = model_find(&m, NULL, NULL);
			}
			out = sctx_remove(&s, owner, instance);
			assert_ptr_equal(out, at < 0 ? NULL : &m.item[at]->ctx);
			if (at >= 0) {
				item_free(m.item[at]);
				model_take(&m, at);
			}
			break;
		case 5:
			if (!m.n)
				break;
			at = (int)((r >> 20) % m.n);
			item = m.item[at];
			assert_non_null(sctx_ref(&item->ctx));
			assert_rc(sctx_detach(&item->ctx), 0);
			assert_rc(sctx_detach(&item->ctx), -ENOENT);
			item_free(item);
			model_take(&m, at);
			break;
		default:
			out = sctx_get(&s, owner, instance);
			assert_ptr_equal(out, at < 0 ? NULL : &m.item[at]->ctx);
			if (out)
				assert_rc(sctx_put(out), 0);
			break;
		}
		model_compare(&m, &s);
	}
	stream_end(&s);
	for (unsigned int i = 0; i < m.n; i++) {
		assert_int_equal(item_called(m.item[i]), 1);
		item_free(m.item[i]);
	}
}

/* ------------------------------------------------------ lists that have emptied */

static double thread_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double time_of_lookups(const struct sctx_stream *s, const void *owner)
{
	double begin = thread_seconds();

	sctx_read_lock();
	for (int i = 0; i < 2000; i++)
		assert_null(sctx_lookup(s, owner, NULL));
	sctx_read_unlock();
	return thread_seconds() - begin;
}

#define MANY 20000

/* @n contexts of one module on @s, each of an instance of its own. */
static struct sctx_context **fill(struct sctx_stream *s, struct module *m, size_t n)
{
	struct sctx_context **ctx = malloc(n * sizeof(*ctx));

	for (size_t i = 0; i < n; i++) {
		ctx[i] = module_context(m, (void *)(uintptr_t)(i + 1));
		assert_rc(sctx_insert(s, ctx[i]), 0);
	}
	return ctx;
}

static void an_emptied_list_is_short(void **state)
{
	struct sctx_stream s, few;
	struct sctx_context **ctx;
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	sctx_stream_init(&s);
	sctx_stream_init(&few);
	free(fill(&few, &m, 40));
	ctx = fill(&s, &m, MANY);
	for (size_t i = 0; i < MANY; i++) {
		assert_rc(sctx_detach(ctx[i]), 0);
		if (i < 40)
			assert_rc(sctx_delete(&few, m.owner, NULL), 0);
		if (i == MANY / 2)
			assert_ptr_equal(peek(&s, m.owner, (void *)(uintptr_t)MANY), ctx[MANY - 1]);
	}
	/* In proportion to its entries it would be 500 times. */
	assert_true(time_of_lookups(&s, m.owner) < 50 * time_of_lookups(&few, m.owner));
	free(ctx);
	stream_end(&s);
	stream_end(&few);
	assert_rc(module_leave(&m, NULL), 0);
}

static void a_disabled_list_stays_hidden(void **state)
{
	struct sctx_context **ctx;
	struct sctx_stream s;
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	sctx_stream_init(&s);
	ctx = fill(&s, &m, 100);
	assert_rc(sctx_stream_disable(&s), 0);
	for (size_t i = 0; i < 90; i++) {
		assert_rc(sctx_detach(ctx[i]), 0);
		assert_null(peek(&s, m.owner, NULL));
	}
	free(ctx);
	stream_end(&s);
	assert_u64(atomic_load(&m.freed), ==, 100);
	assert_rc(module_leave(&m, NULL), 0);
}

/* In proportion to the square it would be 400 times. */
static void a_module_leaves_in_linear_time(void **state)
{
	double took[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		size_t n = i ? MANY : MANY / 20;
		struct module m;
		struct sctx_stream s;
		double begin;

		module_init(&m);
		module_enter(&m, home);
		sctx_stream_init(&s);
		assert_rc(sctx_stream_track(home, &s), 0);
		free(fill(&s, &m, n));
		begin = thread_seconds();
		assert_rc(module_leave(&m, NULL), 0);
		took[i] = thread_seconds() - begin;
		assert_u64(atomic_load(&m.freed), ==, n);
		stream_end(&s);
	}
	assert_true(took[1] < 150 * took[0] + 0.01);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_contexts_on_a_stream),
		cmocka_unit_test(churn_on_one_stream_takes_no_memory),
		cmocka_unit_test(random_operations_agree_with_a_model),
		cmocka_unit_test_setup_teardown(an_emptied_list_is_short, home_setup,
						home_teardown),
		cmocka_unit_test_setup_teardown(a_disabled_list_stays_hidden, home_setup,
						home_teardown),
		cmocka_unit_test_setup_teardown(a_module_leaves_in_linear_time, home_setup,
						home_teardown),
	};

	return TEST_RUN(tests);
}
