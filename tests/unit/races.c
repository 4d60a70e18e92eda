/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Races across the rooms.  Contexts are churn items: their callback overwrites
 * them, so that a reader who comes late dies, and in the end as many must have
 * been freed as were created.
 */
#include "test.h"

static int count_stream(struct sctx_stream *stream, void *arg)
{
	(void)stream;
	(*(unsigned long *)arg)++;
	return 0;
}

static void registry_end_empty(struct sctx_registry *registry)
{
	unsigned long open = 0;

	assert_rc(sctx_registry_for_each(registry, count_stream, &open), 0);
	assert_u64(open, ==, 0);
	assert_rc(sctx_registry_destroy(registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_created(), >, 0);
	assert_u64(items_freed(), ==, items_created());
	print_message("           %lu contexts\n", items_created());
}

/* ---------------------------------------------- few ids, opened and closed */

#define FEW 6

struct few {
	struct sctx_registry *registry;
};

static void few_thread(unsigned int index, void *arg)
{
	struct few *f = arg;
	uint64_t seed = index + 1;

	for (uint64_t end = test_deadline(800); !past(end);) {
		for (unsigned int turn = 0; turn < 64; turn++) {
			uint64_t n = test_random(&seed) % FEW;
			struct sctx_id id = id_of(n);
			struct sctx_context *ctx = NULL, *other;
			struct sctx_stream *s = NULL;

			CHECK_EQ(sctx_open(f->registry, &id, 0, &s), 0);
			CHECK(s && id_number(sctx_stream_id(s)) == n);

			/* We hold it: nobody can have torn it down or opened another. */
			CHECK(sctx_stream_supports_contexts(s));
			sctx_read_lock();
			CHECK(sctx_find(f->registry, &id) == s);
			sctx_read_unlock();
			CHECK_EQ(sctx_get_or_create(s, OWNER(index % 2), NULL, item_create, NULL,
						    &ctx),
				 0);
			item_check(item_of(ctx));
			if (turn % 8 == 0)
				sched_yield();
			sctx_read_lock();
			/* Only closes drop contexts here, so it hangs there still. */
			CHECK(sctx_lookup(s, OWNER(index % 2), NULL) == ctx);
			other = sctx_lookup(s, OWNER(!(index % 2)), NULL);
			if (other)
				item_check(item_of(other));
			CHECK(sctx_find(f->registry, &id) == s);
			sctx_read_unlock();
			if (turn % 2)
				CHECK_EQ(sctx_put(ctx), 0);
			CHECK_EQ(sctx_close(s), 0);
			if (turn % 2 == 0) {
				/* Ours still, though the stream may be gone. */
				item_check(item_of(ctx));
				CHECK_EQ(sctx_put(ctx), 0);
			}
		}
	}
}

static void few_ids_opened_and_closed_by_many_threads(void **state)
{
	struct few f = { .registry = NULL };

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&f.registry), 0);
	run_threads(4, few_thread, &f);
	registry_end_empty(f.registry);
}

/* --------------------------------------------- lookups by id against closes */

#define RANGE 64

struct churn {
	struct sctx_registry *registry;
	atomic_uint churning;
	atomic_ulong hits;
	atomic_ulong visits;
};

static void churn_part(struct churn *c, uint64_t seed)
{
	for (uint64_t end = test_deadline(800); !past(end);) {
		for (unsigned int turn = 0; turn < 64; turn++) {
			uint64_t n = test_random(&seed) % RANGE;
			struct sctx_id id = id_of(n);
			struct sctx_stream *s;
			struct item *item;

			CHECK_EQ(sctx_open(c->registry, &id, 0, &s), 0);
			for (unsigned int i = 0; i < n % 4; i++) {
				item = item_churn(OWNER(i), INST(n % 8));
				item->number = (unsigned int)n;
				CHECK_EQ(sctx_insert(s, &item->ctx), 0);
			}
			if (turn % 4 == 0)
				CHECK(sctx_delete(s, OWNER(turn % 3), NULL) <= 0);
			CHECK_EQ(sctx_close(s), 0);
		}
	}
	atomic_fetch_sub(&c->churning, 1);
}

static int visit(struct sctx_stream *stream, void *arg)
{
	struct churn *c = arg;
	struct sctx_context *ctx = sctx_lookup(stream, NULL, NULL);

	if (ctx) {
		item_check(item_of(ctx));
		CHECK_EQ(item_of(ctx)->number, id_number(sctx_stream_id(stream)));
	}
	atomic_fetch_add(&c->visits, 1);
	return 0;
}

static void read_part(struct churn *c, uint64_t seed)
{
	struct sctx_context *kept = NULL;

	while (atomic_load(&c->churning)) {
		uint64_t n = test_random(&seed) % RANGE;
		struct sctx_context *ctx[4] = { NULL };
		struct sctx_id id = id_of(n);
		struct sctx_stream *s;

		sctx_read_lock();
		s = sctx_find(c->registry, &id);
		if (s) {
			CHECK(memcmp(sctx_stream_id(s), &id, sizeof(id)) == 0);
			for (unsigned int i = 0; i < 4; i++)
				ctx[i] = sctx_lookup(s, OWNER(i), i % 2 ? INST(n % 8) : NULL);
			if (seed % 16 == 0)
				sched_yield();
			for (unsigned int i = 0; i < 4; i++) {
				if (!ctx[i])
					continue;
				item_check(item_of(ctx[i]));
				CHECK_EQ(item_of(ctx[i])->number, n);
				CHECK(ctx[i]->owner == OWNER(i));
				atomic_fetch_add(&c->hits, 1);
			}
			/* The stream is still that one, closed or not. */
			CHECK(memcmp(sctx_stream_id(s), &id, sizeof(id)) == 0);
			/* A borrowed one kept beyond the section, till the next. */
			if (!kept && ctx[1])
				kept = sctx_ref(ctx[1]);
		}
		sctx_read_unlock();
		if (kept && seed % 4 == 0) {
			item_check(item_of(kept));
			CHECK_EQ(sctx_put(kept), 0);
			kept = NULL;
		}
		if (seed % 512 == 0)
			CHECK_EQ(sctx_registry_for_each(c->registry, visit, c), 0);
	}
	if (kept)
		CHECK_EQ(sctx_put(kept), 0);
}

static void churn_thread(unsigned int index, void *arg)
{
	struct churn *c = arg;

	if (index < 2)
		churn_part(c, index + 1);
	else
		read_part(c, index + 1);
}

static void lookups_by_id_against_closes(void **state)
{
	struct churn c = { .churning = 2 };

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&c.registry), 0);
	run_threads(4, churn_thread, &c);
	print_message("           %lu hits, %lu visits\n", atomic_load(&c.hits),
		      atomic_load(&c.visits));
	assert_u64(atomic_load(&c.hits), >, 0);
	registry_end_empty(c.registry);
}

/* ------------------------------------------------------- get, put and delete */

struct one {
	struct sctx_stream stream;
	atomic_uint writing;
	atomic_ulong gets;
	atomic_ulong raced;
};

static void get_part(struct one *o, unsigned int index)
{
	while (atomic_load(&o->writing)) {
		struct sctx_context *ctx[8];
		unsigned int n = 0;

		for (unsigned int i = 0; i < 8; i++) {
			ctx[n] = sctx_get(&o->stream, OWNER(i % 2), NULL);
			if (ctx[n])
				item_check(item_of(ctx[n++]));
		}
		/* Some deletes are ours, by pointer. */
		if (n && index % 2) {
			int rc = sctx_detach(ctx[0]);

			CHECK(rc == 0 || rc == -ENOENT);
			if (rc == 0)
				atomic_fetch_add(&o->raced, 1);
		}
		for (unsigned int i = 0; i < n; i++) {
			item_check(item_of(ctx[i]));
			CHECK_EQ(sctx_put(ctx[i]), 0);
		}
		atomic_fetch_add(&o->gets, n);
	}
}

static void delete_part(struct one *o, unsigned int index)
{
	for (uint64_t end = test_deadline(700); !past(end);) {
		for (unsigned int turn = 0; turn < 64; turn++) {
			struct item *item = item_churn(OWNER(index), INST(turn % 8));
			struct sctx_context *existing = NULL;
			int rc;

			switch (turn % 4) {
			case 0:
				CHECK_EQ(sctx_insert(&o->stream, &item->ctx), 0);
				break;
			case 1:
				CHECK_EQ(sctx_replace(&o->stream, &item->ctx, NULL), 0);
				break;
			case 2:
				rc = sctx_insert_unique(&o->stream, &item->ctx, &existing);
				CHECK(rc == 0 || rc == -EEXIST);
				CHECK((rc == -EEXIST) == (existing != NULL));
				if (rc == -EEXIST) {
					item_check(item_of(existing));
					CHECK_EQ(sctx_put(existing), 0);
					CHECK_EQ(sctx_put(&item->ctx), 0);
				}
				break;
			default:
				item_churn_free(item);
			}
			if (turn % 4 == 3)
				while (sctx_delete(&o->stream, OWNER(index), NULL) == 0)
					;
		}
	}
	atomic_fetch_sub(&o->writing, 1);
}

static void one_thread(unsigned int index, void *arg)
{
	if (index < 2)
		delete_part(arg, index);
	else
		get_part(arg, index);
}

static void gets_and_puts_against_deletes(void **state)
{
	struct one o = { .writing = 2 };

	(void)state;
	items_reset();
	sctx_stream_init(&o.stream);
	run_threads(4, one_thread, &o);
	print_message("           %lu gets, %lu detached by readers\n", atomic_load(&o.gets),
		      atomic_load(&o.raced));
	assert_u64(atomic_load(&o.gets), >, 0);
	stream_end(&o.stream);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_created(), >, 0);
	assert_u64(items_freed(), ==, items_created());
}

/* ----------------------------------- the last put against a borrowed pointer */

/*
 * Writers delete and at once put; readers take a reference on what they
 * borrowed, at times after its last put, and drop it at all kinds of moments.
 */
static void revive_reader(struct one *o, unsigned int index)
{
	uint64_t seed = index;

	while (atomic_load(&o->writing)) {
		struct sctx_context *ctx;

		sctx_read_lock();
		ctx = sctx_lookup(&o->stream, OWNER(1), NULL);
		if (!ctx) {
			sctx_read_unlock();
			continue;
		}
		if (test_random(&seed) % 2)
			sched_yield();
		CHECK(sctx_ref(ctx) == ctx);
		if (seed % 4 == 0)
			CHECK_EQ(sctx_put(ctx), 0);
		sctx_read_unlock();
		if (seed % 4 == 0)
			continue;
		for (unsigned int i = 0; i < seed % 8; i++)
			sched_yield();
		item_check(item_of(ctx));
		CHECK_EQ(sctx_put(ctx), 0);
		atomic_fetch_add(&o->gets, 1);
	}
}

static void revive_thread(unsigned int index, void *arg)
{
	struct one *o = arg;

	if (index) {
		revive_reader(o, index);
		return;
	}
	for (uint64_t end = test_deadline(600); !past(end);) {
		CHECK_EQ(sctx_insert(&o->stream, &item_churn(OWNER(1), NULL)->ctx), 0);
		sched_yield();
		CHECK_EQ(sctx_delete(&o->stream, OWNER(1), NULL), 0);
	}
	atomic_fetch_sub(&o->writing, 1);
}

static void references_on_borrowed_contexts_against_the_last_put(void **state)
{
	struct one o = { .writing = 1 };

	(void)state;
	items_reset();
	sctx_stream_init(&o.stream);
	run_threads(4, revive_thread, &o);
	assert_u64(atomic_load(&o.gets), >, 0);
	stream_end(&o.stream);
	/* References dropped last came back to limbo on their own. */
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

/* -------------------------------------------------- removed, freed at once */

/*
 * Nobody looks it up and nobody asks insert_unique for what is there: then
 * nobody else may touch it once a remove has returned it (ASan sees who does).
 */

struct at_once {
	struct sctx_stream stream;
	atomic_ulong refused, removed;
};

static void at_once_thread(unsigned int index, void *arg)
{
	struct at_once *o = arg;

	for (uint64_t end = test_deadline(500); !past(end);) {
		for (unsigned int turn = 0; turn < 256; turn++) {
			struct item *item;
			struct sctx_context *ctx;

			if (index % 2) {
				ctx = sctx_remove(&o->stream, OWNER(1), NULL);
				if (!ctx)
					continue;
				item_churn_free(item_of(ctx));
				atomic_fetch_add(&o->removed, 1);
				continue;
			}
			item = item_churn(OWNER(1), INST(turn % 2));
			if (sctx_insert_unique(&o->stream, &item->ctx, NULL) == -EEXIST) {
				item_churn_free(item);
				atomic_fetch_add(&o->refused, 1);
			}
		}
	}
}

static void removed_and_freed_at_once(void **state)
{
	struct at_once o = { .refused = 0 };

	(void)state;
	items_reset();
	sctx_stream_init(&o.stream);
	run_threads(4, at_once_thread, &o);
	assert_true(atomic_load(&o.refused) > 0 && atomic_load(&o.removed) > 0);
	stream_end(&o.stream);
	assert_u64(items_freed(), ==, items_created());
}

/* -------------------------------------------- a table that churns and grows */

#define HELD 16384

static void hold_thread(unsigned int index, void *arg)
{
	struct sctx_registry *registry = arg;
	struct sctx_stream **held = calloc(HELD, sizeof(*held));
	uint64_t seed = index + 77;

	CHECK(held);
	for (uint64_t end = test_deadline(800); !past(end);) {
		for (unsigned int turn = 0; turn < 128; turn++) {
			unsigned int slot = (unsigned int)test_random(&seed) % HELD;
			/* Half of the ids are shared between the threads. */
			struct sctx_id id = id_of(slot % 2 ? slot : slot + (index + 1) * HELD);
			struct sctx_stream *s;

			sctx_read_lock();
			s = sctx_find(registry, &id);
			if (held[slot])
				CHECK(s == held[slot]);
			else if (slot % 2 == 0)
				CHECK(s == NULL);
			sctx_read_unlock();
			if (held[slot]) {
				CHECK_EQ(sctx_close(held[slot]), 0);
				held[slot] = NULL;
				continue;
			}
			CHECK_EQ(sctx_open(registry, &id, 0, &held[slot]), 0);
			CHECK_EQ(sctx_insert(held[slot], &item_churn(OWNER(index), NULL)->ctx), 0);
		}
	}
	for (unsigned int slot = 0; slot < HELD; slot++)
		if (held[slot])
			CHECK_EQ(sctx_close(held[slot]), 0);
	free(held);
}

static void many_ids_held_and_dropped_at_random(void **state)
{
	struct sctx_registry *registry;

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&registry), 0);
	run_threads(4, hold_thread, registry);
	registry_end_empty(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_ids_opened_and_closed_by_many_threads),
		cmocka_unit_test(lookups_by_id_against_closes),
		cmocka_unit_test(gets_and_puts_against_deletes),
		cmocka_unit_test(references_on_borrowed_contexts_against_the_last_put),
		cmocka_unit_test(removed_and_freed_at_once),
		cmocka_unit_test(many_ids_held_and_dropped_at_random),
	};

	return TEST_RUN(tests);
}
