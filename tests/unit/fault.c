/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faults: the Nth allocation of a call fails, for N = 1, 2, 3 ... until the
 * call succeeds; no thread can be started; getrandom fails; the exit hook
 * finds no memory.  Nothing changes, nothing is lost, nothing is leaked.
 *
 * What must find the library fresh runs in a forked child; the parent has never
 * used it but to create nothing.
 */
#include "test.h"

#include "faults/inject.h"

/*
 * Run @call with its Nth allocation failing, N = 1, 2, 3 ... until none does.
 * A call that fails must say -ENOMEM and leave the books as they were; then
 * @check looks whether anything else has changed.  Returns how often it failed.
 */
static unsigned int until_it_succeeds(int (*call)(void *arg), void (*check)(void *arg), void *arg)
{
	unsigned int failures = 0;

	for (unsigned int n = 1;; n++) {
		struct books before = books_now();
		unsigned int hit;
		int rc;

		CHECK(n < 100);
		arm(n, n % 2);
		rc = call(arg);
		hit = disarm();
		if (rc == 0) {
			/* With fewer than N allocations: or it can do without. */
			if (hit == 0)
				return failures;
			continue;
		}
		CHECK_EQ(rc, -ENOMEM);
		CHECK(hit > 0);
		books_compare(before);
		check(arg);
		failures++;
	}
}

/* Run @fn in a child, in which the library is fresh. */
#define IN_CHILD(fn)                                    \
	static void in_child_##fn(void **state)         \
	{                                               \
		(void)state;                            \
		assert_child_ok(child_start(fn, NULL)); \
	}

/* ------------------------------------------------------------ registry_create */

struct creation {
	struct sctx_registry *registry;
};

static int create_registry(void *arg)
{
	struct creation *c = arg;

	/* It may succeed though an allocation failed: then start over. */
	if (c->registry) {
		fail_in = 0;
		CHECK_EQ(sctx_registry_destroy(c->registry), 0);
		CHECK_EQ(sctx_barrier(), 0);
	}
	c->registry = (void *)1;
	return sctx_registry_create(&c->registry);
}

static void no_registry(void *arg)
{
	struct creation *c = arg;

	CHECK(c->registry == NULL);
}

static void registry_create_without_memory(void *unused)
{
	struct creation c = { NULL };
	struct books before = books_now();

	(void)unused;
	CHECK(until_it_succeeds(create_registry, no_registry, &c) >= 2);
	CHECK(c.registry);
	CHECK_EQ(sctx_registry_destroy(c.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	books_compare(before);
}
IN_CHILD(registry_create_without_memory)

static void registry_create_without_getrandom(void *unused)
{
	const int errors[] = { ENOSYS, EIO, EPERM };
	struct sctx_registry *registry;
	struct books before = books_now();

	(void)unused;
	for (unsigned int i = 0; i < ARRAY_SIZE(errors); i++) {
		registry = (void *)1;
		random_error = errors[i];
		CHECK_EQ(sctx_registry_create(&registry), -errors[i]);
		CHECK(registry == NULL);
		books_compare(before);
	}
	random_error = 0;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
}
IN_CHILD(registry_create_without_getrandom)

/* What no slot of the table can name is refused before it is touched. */
static void addresses_too_wide(void *unused)
{
	const struct sctx_id id = { 1, { 2, 3 }, 4 }, other = { 1, { 2, 3 }, 5 };
	struct sctx_registry *registry, *none = (void *)1;
	struct sctx_stream *stream, *refused = (void *)1;
	struct books before;

	(void)unused;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK_EQ(sctx_open(registry, &id, 0, &stream), 0);
	before = books_now();
	for (unsigned int bit = 48; bit < 64; bit++) {
		address_bits = (uintptr_t)1 << bit;
		CHECK_EQ(sctx_registry_create(&none), -EOVERFLOW);
		CHECK_EQ(sctx_open(registry, &other, 0, &refused), -ENOMEM);
		address_bits = 0;
		CHECK(none == NULL && refused == NULL);
		books_compare(before);
	}
	CHECK_EQ(sctx_open(registry, &other, 0, &refused), 0);
	CHECK_EQ(sctx_close(refused), 0);
	CHECK_EQ(sctx_close(stream), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
}
IN_CHILD(addresses_too_wide)

/* An array's, whose tag (arm64's are in the upper byte) would say that it is hidden. */
static void an_array_that_would_say_hidden(void *unused)
{
	struct item *item[SCTX_INLINE_ENTRIES + 1];
	struct sctx_stream stream;

	(void)unused;
	CHECK_EQ(sctx_stream_init(&stream), 0);
	for (unsigned int i = 0; i <= SCTX_INLINE_ENTRIES; i++)
		item[i] = item_new(OWNER(i), NULL);
	for (unsigned int i = 0; i < SCTX_INLINE_ENTRIES; i++)
		CHECK_EQ(sctx_insert(&stream, &item[i]->ctx), 0);
	address_bits = (uintptr_t)1 << 63;
	CHECK_EQ(sctx_insert(&stream, &item[SCTX_INLINE_ENTRIES]->ctx), -ENOMEM);
	address_bits = 0;
	CHECK_EQ(sctx_insert(&stream, &item[SCTX_INLINE_ENTRIES]->ctx), 0);
	CHECK_EQ(sctx_teardown_sync(&stream), 0);
	for (unsigned int i = 0; i <= SCTX_INLINE_ENTRIES; i++) {
		CHECK_EQ(item_called(item[i]), 1);
		item_free(item[i]);
	}
}
IN_CHILD(an_array_that_would_say_hidden)

/* --------------------------------------------------------------------- open */

/* All of one hash where the secret is nought: its first step multiplies by the volume. */
static struct sctx_id colliding_id(uint64_t n)
{
	return (struct sctx_id){ .volume = 0, .file = { n, 1 }, .stream = 2 };
}

struct opening {
	struct sctx_registry *registry;
	struct sctx_id id;
	struct sctx_stream *stream;
	unsigned int open;
	bool again; /* after a success that did without */
};

static int count_stream(struct sctx_stream *stream, void *arg)
{
	(void)stream;
	(*(unsigned int *)arg)++;
	return 0;
}

static int open_stream(void *arg)
{
	struct opening *o = arg;

	if (o->again) {
		unsigned int armed = fail_in;

		fail_in = 0;
		CHECK_EQ(sctx_close(o->stream), 0);
		fail_in = armed;
	}
	o->stream = (void *)1;
	o->again = sctx_open(o->registry, &o->id, 0, &o->stream) == 0;
	return o->again ? 0 : -ENOMEM;
}

static void no_stream(void *arg)
{
	struct opening *o = arg;
	struct sctx_stream *s = (void *)1;
	unsigned int n = 0;

	CHECK(o->stream == NULL);
	CHECK_EQ(sctx_open(o->registry, &o->id, SCTX_OPEN_EXISTING, &s), -ENOENT);
	CHECK(s == NULL);
	CHECK_EQ(sctx_registry_for_each(o->registry, count_stream, &n), 0);
	CHECK_EQ(n, o->open);
}

static int close_stream(struct sctx_stream *stream, void *arg)
{
	(void)arg;
	return sctx_close(stream);
}

/*
 * One after another with the same hash: the bucket fills, gets a chain, and
 * then the table grows, again and again, though it does not help.
 */
static void open_without_memory(void *unused)
{
	struct opening o = { .open = 0 };
	unsigned int failures = 0, n = 0;

	(void)unused;
	random_zero = true;
	CHECK_EQ(sctx_registry_create(&o.registry), 0);
	for (unsigned int i = 0; i < 500; i++) {
		o.id = colliding_id(i);
		o.again = false;
		/* When the first chains come, and when the table starts to grow. */
		if (i < 20 || (i >= 445 && i < 465))
			failures += until_it_succeeds(open_stream, no_stream, &o);
		else
			CHECK_EQ(open_stream(&o), 0);
		o.open++;
		for (unsigned int j = 0; j <= i; j++) {
			struct sctx_id id = colliding_id(j);

			sctx_read_lock();
			CHECK(sctx_find(o.registry, &id));
			sctx_read_unlock();
		}
	}
	CHECK(failures >= 20);
	CHECK_EQ(sctx_registry_for_each(o.registry, count_stream, &n), 0);
	CHECK_EQ(n, 500);
	CHECK_EQ(sctx_registry_for_each(o.registry, close_stream, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(o.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
}
IN_CHILD(open_without_memory)

/* The secret is known: thousands of ids in one chain, slow and right. */
static void ids_that_collide_with_the_secret(void *unused)
{
	const unsigned int n = 1500;
	struct sctx_stream *s[1500];
	struct sctx_registry *registry;
	unsigned int count = 0;
	struct books before = books_now();

	(void)unused;
	random_zero = true;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < n; i++) {
		struct sctx_id id = colliding_id(i);

		CHECK_EQ(sctx_open(registry, &id, 0, &s[i]), 0);
	}
	for (unsigned int i = 0; i < n; i += 2)
		CHECK_EQ(sctx_close(s[i]), 0);
	CHECK_EQ(sctx_registry_for_each(registry, count_stream, &count), 0);
	CHECK_EQ(count, n / 2);
	sctx_read_lock();
	for (unsigned int i = 0; i < n; i++) {
		struct sctx_id id = colliding_id(i);

		CHECK(sctx_find(registry, &id) == (i % 2 ? s[i] : NULL));
	}
	sctx_read_unlock();

	/* A walk that finds no memory for a long chain says so; a destroy does without. */
	arm(1, true);
	CHECK_EQ(sctx_registry_for_each(registry, count_stream, &count), -ENOMEM);
	CHECK_EQ(sctx_registry_destroy(registry), -EBUSY);
	for (unsigned int i = 1; i < n; i += 2)
		CHECK_EQ(sctx_close(s[i]), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK(disarm() > 0);
	CHECK_EQ(sctx_barrier(), 0);
	books_compare(before);
}
IN_CHILD(ids_that_collide_with_the_secret)

/*
 * Chains that come and go under readers: all ids in one bucket, opened and
 * closed by some threads and looked up by others.
 */
#define CHAIN_WRITERS 2
#define CHAIN_IDS     40

struct chain_race {
	struct sctx_registry *registry;
	struct sctx_stream *held[CHAIN_IDS]; /* even numbers, throughout */
	atomic_uint writing;
	atomic_ulong finds;
};

static void chain_writer(struct chain_race *c, uint64_t seed, unsigned int index)
{
	struct sctx_stream *s[CHAIN_IDS] = { NULL };

	for (uint64_t end = test_deadline(500); !past(end);) {
		for (unsigned int turn = 0; turn < 64; turn++) {
			unsigned int k = (unsigned int)test_random(&seed) % CHAIN_IDS;
			struct sctx_id id = colliding_id(1000 * (index + 1) + k);

			if (s[k])
				CHECK_EQ(sctx_close(s[k]), 0);
			s[k] = s[k] ? NULL : (void *)1;
			if (s[k])
				CHECK_EQ(sctx_open(c->registry, &id, 0, &s[k]), 0);
		}
		/* All at once, so that chains get short again. */
		for (unsigned int k = 0; k < CHAIN_IDS; k++)
			if (s[k])
				CHECK_EQ(sctx_close(s[k]), 0);
		memset(s, 0, sizeof(s));
	}
	atomic_fetch_sub(&c->writing, 1);
}

static void chain_thread(unsigned int index, void *arg)
{
	struct chain_race *c = arg;
	uint64_t seed = index + 5;

	if (index < CHAIN_WRITERS) {
		chain_writer(c, seed, index);
		return;
	}
	while (atomic_load(&c->writing)) {
		struct sctx_id missing = colliding_id(999);

		sctx_read_lock();
		for (unsigned int k = 0; k < CHAIN_IDS; k++) {
			struct sctx_id id = colliding_id(k);

			CHECK(sctx_find(c->registry, &id) == c->held[k]);
			CHECK(sctx_find(c->registry, &missing) == NULL);
		}
		sctx_read_unlock();
		atomic_fetch_add(&c->finds, CHAIN_IDS);
	}
}

static void chains_that_come_and_go_under_readers(void *unused)
{
	struct chain_race c = { .writing = CHAIN_WRITERS };

	(void)unused;
	random_zero = true;
	CHECK_EQ(sctx_registry_create(&c.registry), 0);
	for (unsigned int k = 0; k < CHAIN_IDS; k += 2) {
		struct sctx_id id = colliding_id(k);

		CHECK_EQ(sctx_open(c.registry, &id, 0, &c.held[k]), 0);
	}
	run_threads(CHAIN_WRITERS + 2, chain_thread, &c);
	CHECK(atomic_load(&c.finds) > 0);
	CHECK_EQ(sctx_registry_for_each(c.registry, close_stream, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(c.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
}
IN_CHILD(chains_that_come_and_go_under_readers)

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
		CHECK_EQ(sctx_teardown_sync(&h.stream), 0);
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
		CHECK_EQ(sctx_teardown_sync(&s), 0);
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
	CHECK_EQ(sctx_teardown_sync(&s), 0);
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
	CHECK_EQ(sctx_teardown_sync(&s[2]), 0);
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

/* The table cannot grow: opens go on, and it grows when there is memory again. */
static void growing_without_memory(void *unused)
{
	struct sctx_registry *registry;
	struct sctx_stream *s;
	struct sctx_registry_stats stats = { .size = sizeof(stats) };
	struct books before = books_now();
	unsigned int n = 0;

	(void)unused;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < 12000; i++) {
		struct sctx_id id = id_of(i);
		int rc;

		/* Of what one open allocates, only the later ones fail: growing. */
		arm(2 + i % 3, true);
		rc = sctx_open(registry, &id, 0, &s);
		disarm();
		CHECK(rc == 0 || rc == -ENOMEM);
		if (rc)
			CHECK_EQ(sctx_open(registry, &id, 0, &s), 0);
	}
	for (unsigned int i = 0; i < 12000; i++) {
		struct sctx_id id = id_of(i);

		sctx_read_lock();
		CHECK(sctx_find(registry, &id));
		sctx_read_unlock();
	}
	CHECK_EQ(sctx_registry_for_each(registry, count_stream, &n), 0);
	CHECK_EQ(n, 12000);
	for (unsigned int i = 12000; i < 16000; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(registry, &id, 0, &s), 0);
	}
	CHECK_EQ(sctx_registry_stats_get(registry, &stats), 0);
	CHECK(stats.buckets >= 4096);
	CHECK_EQ(sctx_registry_for_each(registry, close_stream, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	books_compare(before);
}
IN_CHILD(growing_without_memory)

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

/* An id that occurs twice is found by its second open, which needs no memory. */
static void one_node_for_an_id_that_occurs_twice(void **state)
{
	struct sctx_registry *registry;
	struct sctx_stream *held[64], *both[2];
	struct sctx_id twice[2] = { id_of(1000), id_of(1000) };

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(held); i++) {
		struct sctx_id id = id_of(i);

		assert_rc(sctx_open(registry, &id, 0, &held[i]), 0);
	}
	arm(2, true);
	assert_rc(sctx_open_many(registry, twice, 2, 0, both), 0);
	assert_int_equal(disarm(), 0);
	assert_ptr_equal(both[0], both[1]);
	assert_rc(sctx_close(both[0]), 0);
	assert_rc(sctx_close(both[1]), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(held); i++)
		assert_rc(sctx_close(held[i]), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
	assert_rc(sctx_barrier(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_child_registry_create_without_memory),
		cmocka_unit_test(in_child_registry_create_without_getrandom),
		cmocka_unit_test(in_child_addresses_too_wide),
		cmocka_unit_test(in_child_an_array_that_would_say_hidden),
		cmocka_unit_test(in_child_open_without_memory),
		cmocka_unit_test(in_child_ids_that_collide_with_the_secret),
		cmocka_unit_test(in_child_chains_that_come_and_go_under_readers),
		cmocka_unit_test(in_child_insert_without_memory),
		cmocka_unit_test(in_child_replace_without_memory),
		cmocka_unit_test(in_child_get_or_create_without_memory),
		cmocka_unit_test(in_child_releasing_without_memory),
		cmocka_unit_test(in_child_a_long_run_with_failures),
		cmocka_unit_test(in_child_growing_without_memory),
		cmocka_unit_test(in_child_no_reclaimer),
		cmocka_unit_test(in_child_no_reclaimer_after_a_fork),
		cmocka_unit_test(in_child_no_memory_for_the_exit_hook),
		cmocka_unit_test(in_child_no_key_for_the_exit_hook),
		cmocka_unit_test(one_node_for_an_id_that_occurs_twice),
	};

	return TEST_RUN(tests);
}
