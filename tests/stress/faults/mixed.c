/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program of many calls with its Nth allocation failing, alone and with all
 * after it, for N = 1, 2, 3 ... until none is reached.  What it could make it
 * uses and releases; each time the books and the contexts add up.
 */
#include "inject.h"

static struct sctx_context *create(const void *owner, const void *instance, void *arg)
{
	struct sctx_context *ctx;

	UNHARMED(ctx = item_create(owner, instance, arg));
	return ctx;
}

#define PROGRAM_STEPS 2000
#define PROGRAM_IDS   96

struct program {
	struct sctx_registry *registry;
	struct sctx_stream *open[PROGRAM_IDS];
	struct sctx_stream own;
	uint64_t seed;
	unsigned int refused;
};

static void program_refused(struct program *p, int rc)
{
	CHECK(rc == 0 || rc == -ENOMEM || rc == -EEXIST);
	p->refused += rc == -ENOMEM;
}

static struct sctx_stream *program_stream(struct program *p, unsigned int k)
{
	return p->open[k] ? p->open[k] : &p->own;
}

static void program_insert(struct program *p, unsigned int k, unsigned int how)
{
	struct sctx_stream *s = program_stream(p, k);
	struct sctx_context *ctx = NULL;
	struct item *item;
	int rc;

	if (how == 3) {
		rc = sctx_get_or_create(s, OWNER(3), INST(k % 16), create, NULL, &ctx);
		program_refused(p, rc);
		if (ctx)
			CHECK_EQ(sctx_put(ctx), 0);
		return;
	}
	UNHARMED(item = item_churn(OWNER(how), INST(k % 16)));
	rc = how == 0   ? sctx_insert(s, &item->ctx)
	     : how == 1 ? sctx_insert_unique(s, &item->ctx, NULL)
			: sctx_replace(s, &item->ctx, NULL);
	program_refused(p, rc);
	if (rc)
		UNHARMED(item_churn_free(item));
}

static void program_open(struct program *p, unsigned int k)
{
	struct sctx_id id = id_of(k);

	if (p->open[k]) {
		CHECK_EQ(sctx_close(p->open[k]), 0);
		p->open[k] = NULL;
	} else {
		program_refused(p, sctx_open(p->registry, &id, 0, &p->open[k]));
	}
}

static void program_step(struct program *p)
{
	unsigned int dice = (unsigned int)(test_random(&p->seed) >> 20);
	unsigned int k = dice / 16 % PROGRAM_IDS;

	switch (dice % 16) {
	case 0 ... 3:
		program_open(p, k);
		break;
	case 4 ... 11:
		program_insert(p, k, dice % 4);
		break;
	case 12:
		CHECK(sctx_delete(program_stream(p, k), NULL, NULL) <= 0);
		break;
	case 13:
		CHECK_EQ(sctx_thread_detach(), 0);
		break;
	default:
		sctx_read_lock();
		if (sctx_lookup(program_stream(p, k), NULL, NULL))
			item_check(item_of(sctx_lookup(program_stream(p, k), NULL, NULL)));
		sctx_read_unlock();
	}
}

/* Returns how many calls failed. */
static unsigned int program_run(unsigned int fail_at, bool all)
{
	struct program p = { .seed = 42 };
	unsigned int hit;

	arm(fail_at, all);
	if (sctx_registry_create(&p.registry))
		return disarm();
	CHECK_EQ(sctx_stream_init(&p.own), 0);
	for (unsigned int i = 0; i < PROGRAM_STEPS; i++)
		program_step(&p);
	CHECK_EQ(sctx_teardown(&p.own), 0);
	for (unsigned int k = 0; k < PROGRAM_IDS; k++)
		if (p.open[k])
			CHECK_EQ(sctx_close(p.open[k]), 0);
	CHECK_EQ(sctx_registry_destroy(p.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	hit = disarm();
	CHECK(hit > 0 || p.refused == 0);
	CHECK_EQ(items_freed(), items_created());
	return hit;
}

static void a_mixed_program(void **state)
{
	unsigned int runs[2] = { 0 };

	(void)state;
	items_reset();
	program_run(0, false); /* what stays: a thread, its books */
	items_reset();
	for (unsigned int all = 0; all < 2; all++) {
		struct books before = books_now();

		/* With all failing from the first on little is allocated: steps differ. */
		while (program_run(++runs[all], all))
			CHECK(runs[all] < 2000);
		items_reset();
		books_compare(before);
	}
	printf("%u runs with one allocation failing, %u with all from one on\n", runs[0], runs[1]);
	assert_true(runs[0] > 30 && runs[1] > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mixed_program),
	};

	return TEST_RUN(tests);
}
