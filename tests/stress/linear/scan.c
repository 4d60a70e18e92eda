/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lookup among changes, at every place: the reader's text is compiled in
 * here with loads that count, and at the loads of one's choice another
 * operation runs from begin to end.  What the lookup finds must be what a
 * lookup at one moment of its time would have found: before the first change,
 * after the last, or between two.
 */
static void before_load(void);
#define sctx__load_acquire(p) (before_load(), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define SCTX_INLINE
#include "test.h"

#define CHANGES 3
#define MOMENTS (CHANGES + 1)

/* Filler's owner, and the one that is looked for. */
#define OTHER OWNER(0)
#define O     OWNER(1)

struct scene {
	struct sctx_stream stream;
	/* Hang there at first, y is newer, or the same; referenced. */
	struct item *x, *y;
};

/* A sequence of changes, done to a scene; NULL ends it. */
typedef void (*change_fn)(struct scene *scene);

struct story {
	const char *name;
	change_fn change[CHANGES + 1];
};

static struct {
	bool counting;
	unsigned int loads;       /* so far in the lookup */
	unsigned int at[CHANGES]; /* the load before which a change comes */
	unsigned int done;        /* changes so far */
	const struct story *story;
	struct scene *scene;
	const void *owner, *instance; /* what is looked up */
	struct sctx_context *seen[MOMENTS];
} now;

/* The library's own lookup: not this file's. */
static void look(unsigned int moment)
{
	struct sctx_context *ctx = sctx_get(&now.scene->stream, now.owner, now.instance);

	now.seen[moment] = ctx;
	if (ctx)
		CHECK_EQ(sctx_put(ctx), 0);
}

static void change_next(void)
{
	now.story->change[now.done++](now.scene);
	look(now.done);
}

static void before_load(void)
{
	if (!now.counting)
		return;
	now.counting = false;
	while (now.story->change[now.done] && now.at[now.done] <= now.loads)
		change_next();
	now.loads++;
	now.counting = true;
}

/* ------------------------------------------------------------------ changes */

static void insert_newer(struct scene *scene)
{
	CHECK_EQ(sctx_insert(&scene->stream, &item_churn(O, INST(3))->ctx), 0);
}

static void insert_twin(struct scene *scene)
{
	CHECK_EQ(sctx_insert(&scene->stream, &item_churn(O, INST(1))->ctx), 0);
}

static void remove_newest(struct scene *scene)
{
	sctx_delete(&scene->stream, O, NULL);
}

static void detach_x(struct scene *scene)
{
	sctx_detach(&scene->x->ctx);
}

static void detach_y(struct scene *scene)
{
	sctx_detach(&scene->y->ctx);
}

static void replace_x(struct scene *scene)
{
	CHECK_EQ(sctx_replace(&scene->stream, &item_churn(O, INST(1))->ctx, NULL), 0);
}

static void tear_down(struct scene *scene)
{
	CHECK_EQ(sctx_teardown(&scene->stream), 0);
}

static void disable(struct scene *scene)
{
	CHECK_EQ(sctx_stream_disable(&scene->stream), 0);
}

static const struct story stories[] = {
	{ "a newer one, then the older goes", { insert_newer, detach_x } },
	{ "a newer one, then the newest of before goes", { insert_newer, detach_y } },
	{ "a newer one, then both go", { insert_newer, detach_y, detach_x } },
	{ "a twin, then the older goes", { insert_twin, detach_x } },
	{ "two newer ones, then the older goes", { insert_newer, insert_newer, detach_x } },
	{ "a newer one, then the older is replaced", { insert_newer, replace_x } },
	{ "both go, then a newer one", { detach_y, detach_x, insert_newer } },
	{ "the newest goes and comes", { remove_newest, insert_newer, remove_newest } },
	{ "a newer one, then teardown", { insert_newer, detach_x, tear_down } },
	{ "a newer one, then disabled", { insert_newer, detach_y, disable } },
};

/* ------------------------------------------------------------------ scenes */

static void fill(struct scene *scene, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		CHECK_EQ(sctx_insert(&scene->stream, &item_churn(OTHER, NULL)->ctx), 0);
}

static struct item *hang(struct scene *scene, const void *instance)
{
	struct item *item = item_churn(O, instance);

	CHECK(sctx_ref(&item->ctx));
	CHECK_EQ(sctx_insert(&scene->stream, &item->ctx), 0);
	return item;
}

/* Nothing but x hangs there. */
#define ALONE 99

static void scene_hang(struct scene *scene, unsigned int fillers)
{
	if (fillers == ALONE) {
		scene->x = scene->y = hang(scene, INST(1));
		CHECK(sctx_ref(&scene->y->ctx));
		return;
	}
	fill(scene, fillers / 2);
	scene->x = hang(scene, INST(1));
	fill(scene, fillers / 4);
	scene->y = hang(scene, INST(2));
	fill(scene, fillers - fillers / 2 - fillers / 4);
}

static void scene_begin(struct scene *scene, unsigned int fillers)
{
	CHECK_EQ(sctx_stream_init(&scene->stream), 0);
	scene_hang(scene, fillers);
	now.scene = scene;
	now.loads = now.done = 0;
	look(0);
}

static void scene_end(struct scene *scene)
{
	CHECK_EQ(sctx_teardown(&scene->stream), 0);
	CHECK_EQ(sctx_put(&scene->x->ctx), 0);
	CHECK_EQ(sctx_put(&scene->y->ctx), 0);
}

static bool was_seen(const struct sctx_context *found)
{
	for (unsigned int i = 0; i <= now.done; i++)
		if (now.seen[i] == found)
			return true;
	return false;
}

/* One lookup; returns how many loads it made. */
static unsigned int play(unsigned int fillers)
{
	struct scene scene;
	struct sctx_context *found;
	bool ok;

	scene_begin(&scene, fillers);
	sctx_read_lock();
	now.counting = true;
	found = sctx_lookup(&scene.stream, now.owner, now.instance);
	now.counting = false;
	ok = was_seen(found);
	sctx_read_unlock();
	scene_end(&scene);
	if (!ok)
		fail_msg("%s, before loads %u %u %u, among %u others: %s", now.story->name,
			 now.at[0], now.at[1], now.at[2], fillers,
			 found ? "found what never was the match"
			       : "found none, and there always was one");
	return now.loads;
}

/* With the changes before any loads of the lookup, in order. */
static void play_all(const struct story *story, unsigned int fillers)
{
	unsigned int loads = 1;

	now.story = story;
	for (now.at[0] = 0; now.at[0] <= loads; now.at[0]++)
		for (now.at[1] = now.at[0]; now.at[1] <= loads; now.at[1]++)
			for (now.at[2] = now.at[1]; now.at[2] <= loads; now.at[2]++) {
				unsigned int made = play(fillers);

				loads = made > loads ? made : loads;
				if (!story->change[2])
					break;
			}
}

static void play_stories(const void *owner, const void *instance)
{
	static const unsigned int fillers[] = { ALONE, 0, 1, 4, 9, 14 };

	now.owner = owner;
	now.instance = instance;
	items_reset();
	for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
		for (size_t j = 0; j < ARRAY_SIZE(fillers); j++)
			play_all(&stories[i], fillers[j]);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

static void newest_of_an_owner(void **state)
{
	(void)state;
	play_stories(O, NULL);
}

static void newest_of_all(void **state)
{
	(void)state;
	play_stories(NULL, NULL);
}

static void older_of_two_instances(void **state)
{
	(void)state;
	play_stories(O, INST(1));
}

static void newer_of_two_instances(void **state)
{
	(void)state;
	play_stories(O, INST(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newest_of_an_owner),
		cmocka_unit_test(newest_of_all),
		cmocka_unit_test(older_of_two_instances),
		cmocka_unit_test(newer_of_two_instances),
	};

	return TEST_RUN(tests);
}
