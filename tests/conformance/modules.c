/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance cases of include/SEMANTICS.md about files, handles, several owners
 * and modules that leave; and what it says of the minifilter manager.
 */
#include "module.h"

static struct sctx_registry *registry;

static int setup(void **state)
{
	(void)state;
	return sctx_registry_create(&registry);
}

static int end(void **state)
{
	(void)state;
	return sctx_registry_destroy(registry) || sctx_barrier();
}

/* --------------------------------------------------------------------- 19 */

struct first {
	struct sctx_stream *slot;
	struct rendezvous start;
	struct sctx_stream *got[4];
	struct item *item[4];
};

static void first_insert(unsigned int index, void *arg)
{
	struct first *f = arg;

	f->item[index] = item_new(OWNER(index), NULL);
	rendezvous_wait(&f->start);
	CHECK_EQ(sctx_stream_create(&f->slot, &f->got[index]), 0);
	CHECK_EQ(sctx_insert(f->got[index], &f->item[index]->ctx), 0);
}

static void case_19_first_inserts_into_a_file_pointer_make_one_control_block(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct first f = { .slot = NULL };

		rendezvous_init(&f.start, 4);
		run_threads(4, first_insert, &f);
		for (unsigned int i = 0; i < 4; i++) {
			assert_ptr_equal(f.got[i], f.slot);
			assert_ptr_equal(peek(f.slot, OWNER(i), NULL), &f.item[i]->ctx);
		}
		assert_rc(sctx_stream_drop(&f.slot), 0);
		assert_null(f.slot);
		assert_rc(sctx_barrier(), 0);
		for (unsigned int i = 0; i < 4; i++) {
			assert_int_equal(item_called(f.item[i]), 1);
			item_free(f.item[i]);
		}
	}
}

/* --------------------------------------------------------------------- 20 */

static void see(struct sctx_context *ctx, void *seen)
{
	*(struct sctx_context **)seen = ctx;
}

static void case_20_what_a_handle_still_has_at_its_close_is_reported(void **state)
{
	struct sctx_stream handle;
	struct sctx_context kept, removed, *seen = NULL;

	(void)state;
	sctx_stream_init(&handle);
	sctx_context_init(&kept, OWNER(1), NULL, SCTX_NO_FREE);
	sctx_context_init(&removed, OWNER(2), NULL, SCTX_NO_FREE);
	assert_rc(sctx_insert(&handle, &kept), 0);
	assert_rc(sctx_insert(&handle, &removed), 0);
	assert_ptr_equal(sctx_remove(&handle, OWNER(2), NULL), &removed);
	assert_rc(sctx_teardown_report(&handle, see, &seen), 1);
	assert_ptr_equal(seen, &kept);
	assert_rc(sctx_barrier(), 0);
}

/* --------------------------------------------------------------------- 27 */

static void case_27_get_of_several_owners_with_missing_ones(void **state)
{
	struct module a, b, c;
	struct sctx_stream *s;
	struct sctx_context *got[3] = { (void *)1, (void *)1, (void *)1 };

	(void)state;
	module_init(&a);
	module_init(&b);
	module_init(&c);
	module_enter(&a, registry);
	module_enter(&b, registry);
	module_enter(&c, registry);
	s = stream_open(registry, 1);
	module_insert(&a, s);
	module_insert(&c, s);
	assert_rc(sctx_get_many(s, 3, (const void *[]){ a.owner, b.owner, c.owner }, got), 2);
	assert_ptr_equal(got[0]->owner, a.owner);
	assert_null(got[1]);
	assert_ptr_equal(got[2]->owner, c.owner);
	/* Each is a reference of its own, good after the stream is gone. */
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(module_data(got[0])->canary, ITEM_ALIVE);
	assert_rc(module_leave(&a, NULL), -EBUSY);
	assert_rc(sctx_put_many(3, got), 0);
	assert_rc(module_leave(&a, NULL), 0);
	assert_rc(module_leave(&b, NULL), 0);
	assert_rc(module_leave(&c, NULL), 0);
}

/* --------------------------------------------------------------------- 28 */

static void case_28_unregister_reports_a_leaked_reference_and_frees_nothing(void **state)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	struct module m;
	struct sctx_stream *s;
	struct sctx_context *leaked;

	(void)state;
	module_init(&m);
	m.ops.name = "leaky";
	module_enter(&m, registry);
	s = stream_open(registry, 42);
	module_insert(&m, s);
	leaked = sctx_get(s, m.owner, NULL);
	assert_rc(module_leave(&m, &leaks), -EBUSY);
	assert_string_equal(leaks.name, "leaky");
	assert_int_equal(leaks.tag, MODULE_TAG);
	assert_u64(leaks.held, ==, 1);
	assert_ptr_equal(leaks.leak[0].ctx, leaked);
	assert_u64(id_number(&leaks.leak[0].id), ==, 42);
	assert_u64(atomic_load(&m.freed), ==, 0);
	assert_int_equal(module_data(leaked)->canary, ITEM_ALIVE);
	assert_null(peek(s, m.owner, NULL));
	assert_rc(sctx_put(leaked), 0);
	assert_rc(module_leave(&m, NULL), 0);
	assert_u64(atomic_load(&m.freed), ==, 1);
	assert_rc(sctx_close(s), 0);
}

/* ------------------------------------------- what the minifilter manager says */

/* "Registration of context kinds: fixed sizes and one variable size." */
static void sizes_fixed_and_variable(void **state)
{
	struct module m;
	struct sctx_context *fixed, *variable;
	char *data;

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	fixed = module_context(&m, NULL);
	assert_rc(sctx_context_alloc(m.owner, NULL, 5000, &variable), 0);
	data = sctx_context_data(variable);
	memset(data + sizeof(struct module_data), 'x', 5000);
	module_data(variable)->canary = ITEM_ALIVE;
	assert_rc(sctx_put(fixed), 0);
	assert_rc(sctx_put(variable), 0);
	assert_rc(module_leave(&m, NULL), 0);
}

/* "Object teardown drops the link's reference; cleanup waits for the last holder." */
static void cleanup_waits_for_the_last_holder(void **state)
{
	struct module m;
	struct sctx_stream *s;
	struct sctx_context *ctx;

	(void)state;
	module_init(&m);
	m.ops.attach = module_attach;
	module_enter(&m, registry);
	s = stream_open(registry, 1);
	ctx = sctx_get(s, m.owner, NULL);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_owner_drain(m.owner), 0);
	assert_u64(atomic_load(&m.detached), ==, 1);
	assert_u64(atomic_load(&m.freed), ==, 0);
	assert_rc(sctx_put(ctx), 0);
	assert_rc(sctx_owner_drain(m.owner), 0);
	assert_u64(atomic_load(&m.freed), ==, 1);
	assert_rc(module_leave(&m, NULL), 0);
}

/* "A failed set leaves every count as it was." */
static void a_failed_set_leaves_every_count(void **state)
{
	struct module m;
	struct sctx_stream *s = stream_open(registry, 1);
	struct sctx_context *first, *second, *existing;

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	first = module_insert(&m, s);
	second = module_context(&m, NULL);
	assert_rc(sctx_insert_unique(s, second, &existing), -EEXIST);
	assert_ptr_equal(existing, first);
	assert_int_equal(second->refs, 1);
	assert_int_equal(first->refs, 2); /* the stream's and ours */
	assert_rc(sctx_insert_unique(s, second, NULL), -EEXIST);
	assert_int_equal(first->refs, 2);
	assert_int_equal(second->refs, 1);
	assert_rc(sctx_put(existing), 0);
	assert_rc(sctx_put(second), 0);
	assert_rc(sctx_close(s), 0);
	assert_rc(module_leave(&m, NULL), 0);
}

/* "Millions of contexts outstanding and no count of them by kind." */
static int contexts_of(const struct sctx_owner_stats *stats, void *contexts)
{
	*(uint64_t *)contexts = stats->contexts;
	return 0;
}

static void contexts_are_counted_by_owner(void **state)
{
	struct module m;
	struct sctx_stream *s = stream_open(registry, 1);
	uint64_t contexts;

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	for (unsigned int i = 1; i <= 10; i++) {
		module_insert(&m, s);
		assert_rc(sctx_registry_owners(registry, contexts_of, &contexts), 0);
		assert_u64(contexts, ==, i);
	}
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_owner_drain(m.owner), 0);
	assert_rc(sctx_registry_owners(registry, contexts_of, &contexts), 0);
	assert_u64(contexts, ==, 0);
	assert_rc(module_leave(&m, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, end)
		T(case_19_first_inserts_into_a_file_pointer_make_one_control_block),
		T(case_20_what_a_handle_still_has_at_its_close_is_reported),
		T(case_27_get_of_several_owners_with_missing_ones),
		T(case_28_unregister_reports_a_leaked_reference_and_frees_nothing),
		T(sizes_fixed_and_variable),
		T(cleanup_waits_for_the_last_holder),
		T(a_failed_set_leaves_every_count),
		T(contexts_are_counted_by_owner),
	};

	return TEST_RUN(tests);
}
