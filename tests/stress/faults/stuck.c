/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stuck: a reader that stays in its section, or a callback that does not return,
 * while writers churn.  Limbo stays within its limit and the slack that the
 * header gives; creators wait, or get -EAGAIN; releases go on; and all goes on
 * when the reader or the callback lets go.
 *
 * It lets go when the releasers are done and the creators were refused many
 * times: a call that waits for it never returns, and the test dies.
 */
#include "test.h"

#define LIMIT     16384
#define CREATORS  3
#define RELEASERS 2
#define STOCK     400 /* that a releaser has to release */
#define REFUSED   100 /* times, at least */

struct stock; /* what a releaser has to release */

struct stuck {
	struct sctx_registry *registry;
	struct stock *stock[RELEASERS];
	struct reader *reader;
	bool nowait;
	atomic_bool stop, released; /* it has let go */
	atomic_ulong created, refused, late;
	atomic_uint releasing;
	struct gate entered, leave; /* of the callback */
};

/* ------------------------------------------------------------------ creators */

static void create_some(struct stuck *s, uint64_t *n)
{
	struct sctx_id id = id_of(1000000 + (*n)++);
	struct sctx_stream *stream;
	int rc = sctx_open(s->registry, &id, 0, &stream);

	if (rc) {
		CHECK_EQ(rc, -EAGAIN);
		CHECK(s->nowait);
		atomic_fetch_add(&s->refused, 1);
		nap_ms(1);
		return;
	}
	CHECK_EQ(sctx_close(stream), 0);
	atomic_fetch_add(atomic_load(&s->released) ? &s->late : &s->created, 1);
}

static void *creator_main(void *arg)
{
	struct stuck *s = arg;
	uint64_t n = (uint64_t)(uintptr_t)&n << 16; /* ids of one's own */

	while (!atomic_load(&s->stop))
		create_some(s, &n);
	return NULL;
}

/* ----------------------------------------------------------------- releasers */

struct stock {
	struct sctx_stream *open[STOCK];
	struct item *put[STOCK];
	struct sctx_stream own;
};

static struct stock *stock_make(struct stuck *s, unsigned int releaser)
{
	struct stock *stock = calloc(1, sizeof(*stock));

	CHECK(stock);
	CHECK_EQ(sctx_stream_init(&stock->own), 0);
	for (unsigned int i = 0; i < STOCK; i++) {
		struct sctx_id id = id_of(releaser * STOCK + i);

		CHECK_EQ(sctx_open(s->registry, &id, 0, &stock->open[i]), 0);
		CHECK_EQ(sctx_insert(stock->open[i], &item_churn(OWNER(1), NULL)->ctx), 0);
		CHECK_EQ(sctx_insert(&stock->own, &item_churn(OWNER(1), NULL)->ctx), 0);
		stock->put[i] = item_churn(OWNER(2), NULL);
	}
	return stock;
}

/* All of its stock, half of it with limbo near its limit or at it. */
static void release_stock(struct stock *stock)
{
	for (unsigned int i = 0; i < STOCK; i++) {
		struct sctx_context *ctx = NULL;

		CHECK_EQ(sctx_close(stock->open[i]), 0);
		CHECK_EQ(sctx_put(&stock->put[i]->ctx), 0);
		if (i % 2) {
			CHECK_EQ(sctx_delete(&stock->own, OWNER(1), NULL), 0);
		} else {
			ctx = sctx_remove(&stock->own, OWNER(1), NULL);
			CHECK(ctx);
			CHECK_EQ(sctx_put(ctx), 0);
		}
		if (i == STOCK / 2) {
			CHECK_EQ(sctx_stream_disable(&stock->own), 0);
			break;
		}
		if (i % 8 == 0)
			nap_ms(1);
	}
	WAIT_FOR(stats_now().limbo_callbacks >= LIMIT * 3 / 4);
	CHECK_EQ(sctx_teardown(&stock->own), 0);
	for (unsigned int i = STOCK / 2 + 1; i < STOCK; i++) {
		CHECK_EQ(sctx_close(stock->open[i]), 0);
		CHECK_EQ(sctx_put(&stock->put[i]->ctx), 0);
	}
}

struct releaser {
	struct stuck *stuck;
	struct stock *stock;
};

static void *releaser_main(void *arg)
{
	struct releaser *r = arg;

	release_stock(r->stock);
	atomic_fetch_sub(&r->stuck->releasing, 1);
	return NULL;
}

/* ------------------------------------------------------------------- the run */

/*
 * Threads that retire account in batches of 1/64 of the limit; what releasers
 * had in stock comes on top, and one that each creator was let in with.
 */
#define THREADS (CREATORS + RELEASERS + 3)
#define SLACK   (LIMIT / 64 * THREADS + RELEASERS * STOCK * 4 + CREATORS * 2)

static bool creators_stand_still(struct stuck *s)
{
	unsigned long before = atomic_load(&s->created);

	nap_ms(50);
	return atomic_load(&s->created) == before;
}

static void watch_limbo(struct stuck *s)
{
	uint64_t most = 0;

	for (uint64_t end = test_deadline(300); !past(end); nap_ms(2)) {
		uint64_t limbo = stats_now().limbo_callbacks;

		most = limbo > most ? limbo : most;
	}
	WAIT_FOR(atomic_load(&s->releasing) == 0);
	if (s->nowait)
		WAIT_FOR(atomic_load(&s->refused) >= REFUSED);
	WAIT_FOR(creators_stand_still(s));
	most = stats_now().limbo_callbacks > most ? stats_now().limbo_callbacks : most;
	printf("limbo at most %llu of %u (+ %u)\n", (unsigned long long)most, LIMIT, SLACK);
	CHECK(most <= LIMIT + SLACK);
	CHECK(most >= LIMIT / 2); /* it was put to the test */
}

static void run_stuck(struct stuck *s, void (*let_go)(struct stuck *s))
{
	pthread_t creator[CREATORS], releasing[RELEASERS];
	struct releaser releaser[RELEASERS];

	for (unsigned int i = 0; i < CREATORS; i++)
		creator[i] = thread_start(creator_main, s);
	for (unsigned int i = 0; i < RELEASERS; i++) {
		releaser[i] = (struct releaser){ s, s->stock[i] };
		releasing[i] = thread_start(releaser_main, &releaser[i]);
	}
	watch_limbo(s);
	atomic_store(&s->released, true);
	let_go(s);
	WAIT_FOR(atomic_load(&s->late) > 1000); /* and goes on */
	atomic_store(&s->stop, true);
	for (unsigned int i = 0; i < CREATORS; i++)
		thread_join(creator[i]);
	for (unsigned int i = 0; i < RELEASERS; i++)
		thread_join(releasing[i]);
}

static void stuck_begin(struct stuck *s, bool nowait)
{
	memset(s, 0, sizeof(*s));
	s->nowait = nowait;
	atomic_store(&s->releasing, RELEASERS);
	gate_init(&s->entered);
	gate_init(&s->leave);
	items_reset();
	CHECK_EQ(sctx_registry_create(&s->registry), 0);
	for (unsigned int i = 0; i < RELEASERS; i++)
		s->stock[i] = stock_make(s, i);
	CHECK_EQ(sctx_barrier(), 0);
	set_limits(0, LIMIT, nowait ? SCTX_RECLAIM_NOWAIT : 0);
}

static void stuck_end(struct stuck *s)
{
	CHECK_EQ(sctx_registry_destroy(s->registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), items_created());
	CHECK_EQ(stats_now().limbo_callbacks, 0);
	CHECK_EQ(stats_now().limbo_bytes, 0);
	for (unsigned int i = 0; i < RELEASERS; i++)
		free(s->stock[i]);
	set_limits(0, 0, 0);
}

/* -------------------------------------------------------------- who is stuck */

static void reader_lets_go(struct stuck *s)
{
	reader_leave(s->reader);
}

static void with_a_reader(bool nowait)
{
	struct stuck s;

	stuck_begin(&s, nowait);
	s.reader = reader_park(NULL, NULL, NULL);
	run_stuck(&s, reader_lets_go);
	stuck_end(&s);
}

static void a_reader_that_stays(void **state)
{
	(void)state;
	with_a_reader(false);
}

static void a_reader_that_stays_nowait(void **state)
{
	(void)state;
	with_a_reader(true);
}

static void stay(struct item *item)
{
	struct stuck *s = item->arg;

	gate_open(&s->entered);
	gate_wait(&s->leave);
}

static void callback_lets_go(struct stuck *s)
{
	/* Grace periods do not wait for it. */
	CHECK_EQ(sctx_synchronize(), 0);
	gate_open(&s->leave);
}

static void with_a_callback(bool nowait)
{
	struct item *item = item_new(OWNER(1), NULL);
	struct stuck s;

	stuck_begin(&s, nowait);
	item->hook = stay;
	item->arg = &s;
	CHECK_EQ(sctx_put(&item->ctx), 0);
	gate_wait(&s.entered);
	run_stuck(&s, callback_lets_go);
	stuck_end(&s);
	item_free(item);
}

static void a_callback_that_stays(void **state)
{
	(void)state;
	with_a_callback(false);
}

static void a_callback_that_stays_nowait(void **state)
{
	(void)state;
	with_a_callback(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_that_stays),
		cmocka_unit_test(a_reader_that_stays_nowait),
		cmocka_unit_test(a_callback_that_stays),
		cmocka_unit_test(a_callback_that_stays_nowait),
	};

	return TEST_RUN(tests);
}
