/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faults of contexts: inserting without memory changes nothing, releasing does
 * without.
 */
#include "stress/faults/inject.h"

/* ----------------------------------------------------- insert and the others */

struct hanging {
	struct sctx_stream stream;
	struct item *there[40];
	unsigned int n;
	struct item *item;
	struct sctx_context *out;
	enum { INSERT, UNIQUE, REPLACE_OTHER, CREATE } how;
	unsigned int created;
};

static void hanging_check(struct hanging *h)
{
	CHECK(h->out == NULL);
	CHECK(sctx_stream_supports_contexts(&h->stream));
	sctx_read_lock();
	for (unsigned int i = 0; i < h->n; i++)
		CHECK(sctx_lookup(&h->stream, OWNER(1), &h->there[i]->number) == &h->there[i]->ctx);
	CHECK(sctx_lookup(&h->stream, NULL, NULL) == (h->n ? &h->there[h->n - 1]->ctx : NULL));
	if (h->item)
		CHECK(sctx_lookup(&h->stream, h->item->ctx.owner, &h->item->number) == NULL);
	sctx_read_unlock();
	/* The refused one is the caller's, alive, and hangs nowhere. */
	if (h->item) {
		CHECK_EQ(item_called(h->item), 0);
		CHECK_EQ(sctx_detach(&h->item->ctx), -ENOENT);
	}
}

static void hanging_unchanged(void *arg)
{
	hanging_check(arg);
}

static int insert_one(void *arg)
{
	struct hanging *h = arg;

	h->out = NULL;
	switch (h->how) {
	case INSERT:
		return sctx_insert(&h->stream, &h->item->ctx);
	case UNIQUE:
		h->out = (void *)1;
		return sctx_insert_unique(&h->stream, &h->item->ctx, &h->out);
	default:
		h->out = (void *)1;
		return sctx_replace(&h->stream, &h->item->ctx, &h->out);
	}
}

/* Each insert into a growing list, by each call that inserts. */
static void insert_without_memory(void *unused)
{
	unsigned int failures = 0;

	(void)unused;
	for (unsigned int how = INSERT; how <= UNIQUE; how++) {
		struct hanging h = { .how = how };

		sctx_stream_init(&h.stream);
		for (unsigned int i = 0; i < 40; i++) {
			h.item = item_new(OWNER(1), NULL);
			sctx_context_init(&h.item->ctx, OWNER(1), &h.item->number,
					  h.item->ctx.free_callback);
			failures += until_it_succeeds(insert_one, hanging_unchanged, &h);
			h.there[h.n++] = h.item;
		}
		stream_end(&h.stream);
		for (unsigned int i = 0; i < 40; i++) {
			CHECK_EQ(item_called(h.there[i]), 1);
			item_free(h.there[i]);
		}
	}
	CHECK(failures >= 4);
}
IN_CHILD(insert_without_memory)

/* A replacement with another instance than the one it replaces. */
static void replace_without_memory(void *unused)
{
	(void)unused;
	for (unsigned int others = 0; others < 12; others++) {
		struct item *old, *new, *other[12];
		struct sctx_context *out;
		struct sctx_stream s;

		sctx_stream_init(&s);
		for (unsigned int i = 0; i < others; i++)
			other[i] = item_insert(&s, OWNER(2), INST(i));
		old = item_insert(&s, OWNER(1), INST(1));
		new = item_new(OWNER(1), NULL);
		for (unsigned int n = 1;; n++) {
			struct books before = books_now();
			int rc;

			out = (void *)1;
			arm(n, false);
			rc = sctx_replace(&s, &new->ctx, &out);
			disarm();
			if (rc == 0)
				break;
			CHECK_EQ(rc, -ENOMEM);
			CHECK(out == NULL);
			books_compare(before);
			CHECK(peek(&s, OWNER(1), INST(1)) == &old->ctx);
			CHECK(peek(&s, OWNER(1), NULL) == &old->ctx);
			CHECK_EQ(sctx_detach(&new->ctx), -ENOENT);
		}
		CHECK(out == &old->ctx);
		CHECK(peek(&s, OWNER(1), NULL) == &new->ctx);
		CHECK(peek(&s, OWNER(1), INST(1)) == NULL);
		stream_end(&s);
		CHECK_EQ(item_called(old), 0);
		CHECK_EQ(item_called(new), 1);
		item_free(old);
		item_free(new);
		for (unsigned int i = 0; i < others; i++) {
			CHECK_EQ(item_called(other[i]), 1);
			item_free(other[i]);
		}
	}
}
IN_CHILD(replace_without_memory)

/* The owner's create() has memory of its own. */
static unsigned int suspended;

static struct sctx_context *create_unharmed(const void *owner, const void *instance, void *arg)
{
	struct sctx_context *ctx;
	bool all = fail_all;

	suspended = fail_in;
	fail_in = 0;
	ctx = item_create(owner, instance, arg);
	fail_in = suspended;
	fail_all = all;
	return ctx;
}

static void get_or_create_without_memory(void *unused)
{
	unsigned int failures = 0;
	struct sctx_stream s;

	(void)unused;
	sctx_stream_init(&s);
	items_reset();
	for (unsigned int i = 0; i < 40; i++) {
		const void *instance = &test_names[i];
		struct sctx_context *ctx;

		for (unsigned int n = 1;; n++) {
			int rc;

			ctx = (void *)1;
			arm(n, n % 2);
			rc = sctx_get_or_create(&s, OWNER(1), instance, create_unharmed, NULL,
						&ctx);
			disarm();
			if (rc == 0)
				break;
			CHECK_EQ(rc, -ENOMEM);
			CHECK(ctx == NULL);
			CHECK(peek(&s, OWNER(1), instance) == NULL);
			failures++;
		}
		CHECK(ctx && ctx->instance == instance);
		CHECK_EQ(sctx_put(ctx), 0);
	}
	CHECK(failures > 0);
	/* What it created in vain went through its callback. */
	CHECK_EQ(sctx_barrier(), 0);
	CHECK(items_created() > 40 && items_created() <= 40 + failures);
	CHECK_EQ(items_freed(), items_created() - 40);
	stream_end(&s);
	CHECK_EQ(items_freed(), items_created());
}
IN_CHILD(get_or_create_without_memory)

/* ----------------------------------------------- what releases needs no memory */

static void nothing(struct sctx_stream *stream)
{
	(void)stream;
}

static void releasing_without_memory(void *unused)
{
	struct sctx_stream s[3], *open[100];
	struct sctx_registry *registry;
	struct sctx_context *ctx;
	struct books before = books_now();

	(void)unused;
	items_reset();
	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < 3; i++) {
		sctx_stream_init(&s[i]);
		for (unsigned int j = 0; j < 20; j++)
			CHECK_EQ(sctx_insert(&s[i], &item_churn(OWNER(1), INST(j))->ctx), 0);
	}
	for (unsigned int i = 0; i < 100; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(registry, &id, 0, &open[i]), 0);
		for (unsigned int j = 0; j < i % 5; j++)
			CHECK_EQ(sctx_insert(open[i], &item_churn(OWNER(2), NULL)->ctx), 0);
	}

	arm(1, true);
	CHECK_EQ(sctx_delete(&s[0], OWNER(1), NULL), 0);
	ctx = sctx_remove(&s[0], OWNER(1), NULL);
	CHECK(ctx);
	CHECK_EQ(sctx_put(ctx), 0);
	ctx = sctx_get(&s[0], OWNER(1), NULL);
	CHECK(ctx && sctx_ref(ctx) == ctx);
	CHECK_EQ(sctx_detach(ctx), 0);
	CHECK_EQ(sctx_put(ctx), 0);
	CHECK_EQ(sctx_put(ctx), 0);
	CHECK_EQ(sctx_stream_disable(&s[1]), 0);
	CHECK_EQ(sctx_teardown(&s[0]), 0);
	CHECK_EQ(sctx_stream_retire(&s[1], nothing), 0);
	for (unsigned int i = 0; i < 100; i++)
		CHECK_EQ(sctx_close(open[i]), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	stream_end(&s[2]);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(sctx_synchronize(), 0);
	disarm();
	CHECK_EQ(items_freed(), items_created());
	items_reset();
	books_compare(before);
}
IN_CHILD(releasing_without_memory)

/* One allocation in four fails, for a long time: it all adds up in the end. */
static void a_long_run_with_failures(void *unused)
{
	struct sctx_stream *open[400] = { NULL };
	struct sctx_registry *registry;
	unsigned int refused = 0;
	uint64_t seed = 1;

	(void)unused;
	items_reset();
	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int k = (unsigned int)test_random(&seed) % 400;
		struct sctx_id id = id_of(k);
		struct item *item;
		int rc;

		if (open[k] && seed % 3 == 0) {
			arm(1, true);
			CHECK_EQ(sctx_close(open[k]), 0);
			disarm();
			open[k] = NULL;
			continue;
		}
		if (!open[k]) {
			arm(1 + seed % 4, seed % 2);
			rc = sctx_open(registry, &id, 0, &open[k]);
			disarm();
			CHECK(rc == 0 || rc == -ENOMEM);
			CHECK((rc == 0) == (open[k] != NULL));
			refused += rc != 0;
		}
		if (!open[k])
			continue;
		item = item_churn(OWNER(seed % 4), NULL);
		arm(1 + seed / 4 % 2, seed % 2);
		rc = sctx_insert(open[k], &item->ctx);
		disarm();
		CHECK(rc == 0 || rc == -ENOMEM);
		if (rc) {
			refused++;
			item_churn_free(item);
		}
	}
	CHECK(refused > 100);
	for (unsigned int k = 0; k < 400; k++) {
		struct sctx_id id = id_of(k);

		sctx_read_lock();
		CHECK(sctx_find(registry, &id) == open[k]);
		sctx_read_unlock();
		if (open[k])
			CHECK_EQ(sctx_close(open[k]), 0);
	}
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), items_created());
	items_reset();
}
IN_CHILD(a_long_run_with_failures)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_child_insert_without_memory),
		cmocka_unit_test(in_child_replace_without_memory),
		cmocka_unit_test(in_child_get_or_create_without_memory),
		cmocka_unit_test(in_child_releasing_without_memory),
		cmocka_unit_test(in_child_a_long_run_with_failures),
	};

	return TEST_RUN(tests);
}
