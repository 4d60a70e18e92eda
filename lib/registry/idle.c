/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Idle streams: the limit, the hand that drops the oldest, trimming.  See idle.h.
 * Called by users and by open.c, close.c and registry.c.
 *
 * idle.lock covers the replacement of the rules and of the registry's limit, which closes
 * read.  It is only taken inside updates, so a fork never finds it held.
 */
#include "registry/registry.h"

#include "base/pool.h"
#include "base/probe.h"
#include "base/sized.h"
#include "reclaim/reclaim.h"
#include "registry/opens.h"
#include "stream/context.h"

#include <string.h>

/* The most that an open which creates a stream does for the limit. */
#define BUCKETS_MAX 512
#define DROPS_MAX   32

/* Idle streams to compare for each that is dropped: the quality of the choice. */
#define LOOKS 3

/* Buckets visited together, so that the misses of their streams overlap. */
#define GROUP 8

#define NODES_MAX      (4 * GROUP * SCTX__SLOTS)
#define CANDIDATES_MAX 128
#define SCORES         64

/* ---------------------------------------------------------------- the age */

/*
 * Subtracted from a stream's age before ages are compared, by the number of its idle
 * periods.  On the recorded traces, a stream that was revived once is seldom opened again,
 * and one that was revived three times mostly is.  bench/TRIED.md has the hit rates.
 */
static const int8_t credit[SCTX__PERIODS_MAX + 1] = { 0, 0, -1, 0, 8 };

/* Streams of higher scores are dropped first. */
static unsigned int score_of(const struct sctx_registry *registry, const struct sctx_stream *stream)
{
	unsigned int age = sctx__load(&stream->age), periods = age >> 8;
	int score = (uint8_t)(sctx__load(&registry->idle_age) - age);

	score += credit[SCTX__PERIODS_MAX] - credit[periods];
	return score < SCORES ? (unsigned int)score : SCORES - 1;
}

/* Count @n drops, which advance the current age. */
static void idle_dropped(struct sctx_registry *registry, uint64_t limit, unsigned int n)
{
	struct sctx__idle *idle = &registry->idle;
	uint64_t dropped = sctx__add(&idle->dropped, n) + n;

	sctx__tally_add(&idle->streams, -(int64_t)n);
	sctx__count(SCTX__EVICTIONS, n);
	if (limit)
		sctx__store(&registry->idle_age,
			    (uint32_t)(dropped * SCTX__AGES_PER_TURN / limit));
}

/* ---------------------------------------------------------------- one pass */

struct candidate {
	struct sctx__node *node;
	unsigned int score;
};

struct pass {
	struct sctx_registry *registry;
	const struct sctx__idle_rules *rules;
	unsigned int buckets; /* visited */
	unsigned int nodes;   /* of the current group of buckets */
	unsigned int count;   /* of candidates */
	unsigned int dropped;
	size_t table_buckets;
	uint16_t with_score[SCORES];
	/* Not cleared at the beginning, from here on. */
	struct sctx__node *node[NODES_MAX];
	struct candidate candidate[CANDIDATES_MAX];
};

/* Collect the streams of bucket @index of @table, even if it has moved.  Takes no lock. */
static void meet_bucket(struct pass *p, const struct sctx__table *table, size_t index)
{
	const struct sctx__bucket *head = &table->bucket[index], *bucket = head;

	p->buckets++;
	do {
		for (int i = 0; i < SCTX__SLOTS && p->nodes < NODES_MAX; i++) {
			struct sctx__node *node = sctx__slot_node(sctx__slot_load(&bucket->slot[i]));

			if (!node)
				continue;
			sctx__prefetch_write(&node->stream.opens);
			p->node[p->nodes++] = node;
		}
		/* Pairs with the release that chained the next bucket. */
		bucket = sctx__bucket_chain(sctx__load_acquire(&bucket->chain));
	} while (bucket);
	if (!(sctx__load_acquire(&head->chain) & SCTX__MOVED) || p->nodes == NODES_MAX)
		return;
	/* Pairs with the release that published the successor. */
	index += (table->mask + 1) * (sctx__load(&p->registry->idle.laps) & 1);
	meet_bucket(p, sctx__load_acquire(&table->next), index);
}

/* A moving average; a lost update does no harm. */
static void note_bytes(struct pass *p, struct sctx_stream *stream)
{
	struct sctx__idle *idle = &p->registry->idle;
	uint64_t each = sctx__load(&idle->bytes_each);
	uint64_t bytes = sizeof(struct sctx__node) + sctx__stream_bytes(stream);

	sctx__store(&idle->bytes_each, each ? each - each / 32 + bytes / 32 : bytes);
}

static void judge(struct pass *p, struct sctx__node *node)
{
	struct candidate *c = &p->candidate[p->count];

	if (p->count == CANDIDATES_MAX || sctx__load(&node->stream.opens) != 0)
		return;
	if (p->rules->options.limit_bytes)
		note_bytes(p, &node->stream);
	*c = (struct candidate){ node, score_of(p->registry, &node->stream) };
	p->with_score[c->score]++;
	p->count++;
}

/* Move the hand until there are @want candidates or enough buckets were visited. */
static void look(struct pass *p, unsigned int want)
{
	struct sctx__idle *idle = &p->registry->idle;
	/* Pairs with the release in table.c's finish(). */
	const struct sctx__table *table = sctx__load_acquire(&p->registry->table);

	size_t group = table->mask < GROUP ? table->mask + 1 : GROUP;

	p->table_buckets = table->mask + 1;
	/* At most one lap. */
	for (size_t met = 0; p->count < want && p->buckets < BUCKETS_MAX && met <= table->mask;) {
		size_t hand = sctx__add(&idle->hand, group);

		if ((hand & table->mask) < group)
			sctx__add(&idle->laps, 1);
		p->nodes = 0;
		met += group;
		for (size_t i = hand; i < hand + group; i++)
			meet_bucket(p, table, i & table->mask);
		for (unsigned int i = 0; i < p->nodes; i++)
			judge(p, p->node[i]);
	}
}

/* may_drop keeps the stream, as if it had been closed just now. */
static void refuse(struct sctx_registry *registry, struct sctx_stream *stream)
{
	uint32_t present = sctx__load(&registry->idle_age) & 0xff;
	uint32_t periods = sctx__load(&stream->age) & ~0xffu, asked = SCTX__ASKED;

	sctx__store(&stream->age, (uint16_t)(periods | present));
	sctx__cas_acq_rel(&stream->opens, &asked, 0);
	sctx__count(SCTX__REFUSALS, 1);
}

static bool kill_idle(struct sctx_registry *registry, struct sctx__node *node, uint32_t opens)
{
	bool dropped = sctx__node_kill(registry, node, opens);

	if (dropped)
		sctx__probe2(evict, &node->stream, &node->id);
	return dropped;
}

static bool drop(struct pass *p, struct sctx__node *node)
{
	const struct sctx_idle_options *options = &p->rules->options;
	struct sctx_stream *stream = &node->stream;
	uint32_t idle = 0;

	if (!options->may_drop)
		return kill_idle(p->registry, node, 0);
	if (!sctx__cas_acq_rel(&stream->opens, &idle, SCTX__ASKED))
		return false;
	if (options->may_drop(stream, options->arg) == 0)
		return kill_idle(p->registry, node, SCTX__ASKED);
	refuse(p->registry, stream);
	return false;
}

/* Prefetch the bucket that will be locked, and the line with the id and the first context. */
static void fetch_victim(const struct sctx__table *table, struct sctx__node *node)
{
	sctx__prefetch_write(&node->id);
	sctx__table_fetch(table, node->hash);
}

/* Three rounds, each of which fetches what the next one reads. */
static void drop_all(struct pass *p, struct sctx__node *const *victim, unsigned int n)
{
	/* Pairs with the release in table.c's finish(). */
	const struct sctx__table *table = sctx__load_acquire(&p->registry->table);

	for (unsigned int i = 0; i < n; i++)
		fetch_victim(table, victim[i]);
	for (unsigned int i = 0; i < n; i++)
		sctx__node_fetch_context(victim[i]);
	for (unsigned int i = 0; i < n; i++)
		p->dropped += drop(p, victim[i]);
}

/* Drop the @want candidates with the highest scores. */
static void drop_oldest(struct pass *p, unsigned int want)
{
	unsigned int score = SCORES - 1, above = 0, n = 0;
	struct sctx__node **victim = p->node; /* the groups are done with */

	for (; score > 0 && above + p->with_score[score] < want; score--)
		above += p->with_score[score];
	/* All above @score, and as many with @score as are still wanted. */
	want = want > above ? want - above : 0;
	for (unsigned int i = 0; i < p->count; i++) {
		const struct candidate *c = &p->candidate[i];

		if (c->score < score || (c->score == score && want == 0))
			continue;
		want -= c->score == score;
		victim[n++] = c->node;
	}
	drop_all(p, victim, n);
}

/* Drop about @want idle streams of @registry. */
static void pass(struct pass *p, struct sctx_registry *registry, unsigned int want,
		 unsigned int looks)
{
	memset(p, 0, offsetof(struct pass, node));
	p->registry = registry;
	sctx__update_begin();
	/* Pairs with the release in rules_replace(). */
	p->rules = sctx__load_acquire(&registry->idle.rules);
	if (p->rules) {
		look(p, want ? want * looks : 1);
		drop_oldest(p, want);
	}
	if (p->dropped)
		idle_dropped(registry, sctx__load(&registry->keeps), p->dropped);
	sctx__update_end();
}

/* --------------------------------------------------------------- the limit */

/* The limit on idle streams: the configured one, or less if bytes are limited. */
static uint64_t limit_now(const struct sctx_registry *registry, size_t limit_bytes)
{
	uint64_t limit = sctx__load(&registry->keeps);
	uint64_t each = sctx__load(&registry->idle.bytes_each);

	if (limit_bytes && each && limit_bytes / each < limit)
		limit = limit_bytes / each;
	return limit;
}

static unsigned int at_most(uint64_t n, unsigned int most)
{
	return n < most ? (unsigned int)n : most;
}

__attribute__((noinline)) void sctx__idle_make_room_slow(struct sctx_registry *registry)
{
	struct sctx__idle *idle = &registry->idle;
	size_t bytes = sctx__load(&idle->limit_bytes);
	uint64_t there = sctx__tally_near(&idle->streams);
	uint64_t limit = limit_now(registry, bytes);
	struct pass p;

	if (there > limit && there - limit >= sctx__load(&idle->batch))
		pass(&p, registry, at_most(there - limit, DROPS_MAX), LOOKS);
	else if (bytes && sctx__self.event[SCTX__CREATES] % GROUP == 0)
		pass(&p, registry, 0, 0); /* to know what they take */
}

/* How many streams to trim in a pass, and to compare for each: one, if most are to go. */
static unsigned int trim_want(uint64_t there, uint64_t over, uint64_t max, unsigned int *looks)
{
	uint64_t want = over < max ? over : max;

	*looks = at_most(there / over, LOOKS);
	return at_most(want, CANDIDATES_MAX / *looks);
}

/*
 * Until @keep are left, or @max were dropped, or a whole lap of the hand finds no stream
 * that may be dropped.
 */
static uint64_t trim(struct sctx_registry *registry, uint64_t keep, uint64_t max)
{
	uint64_t total = 0, there;
	size_t in_vain = 0; /* buckets */
	struct pass p;

	while (total < max && (there = sctx__idle_count(&registry->idle)) > keep) {
		unsigned int looks, want = trim_want(there, there - keep, max - total, &looks);

		if (max == UINT64_MAX)
			sctx__admit(false); /* or not: what releases does not fail */
		pass(&p, registry, want, looks);
		total += p.dropped;
		in_vain = p.dropped ? 0 : in_vain + p.buckets;
		if (in_vain > 2 * p.table_buckets)
			break;
	}
	return total;
}

int64_t sctx_registry_trim(struct sctx_registry *registry, uint64_t keep, uint64_t max)
{
	uint64_t dropped;

	if (!registry)
		return -EINVAL;
	if (!sctx__load(&registry->idle.rules))
		return 0;
	dropped = trim(registry, keep, max ? max : UINT64_MAX);
	return (int64_t)dropped;
}

static void rules_free(struct sctx__block *block)
{
	sctx__pool_free((char *)block - offsetof(struct sctx__idle_rules, block),
			sizeof(struct sctx__idle_rules));
}

/* Small limits are exact; large ones have a slack. */
static uint32_t slack_of(uint64_t limit, uint32_t most)
{
	uint64_t slack = limit / 16;

	return slack == 0 ? 1 : slack > most ? most : (uint32_t)slack;
}

static void rules_replace(struct sctx_registry *registry, struct sctx__idle_rules *rules)
{
	struct sctx__idle *idle = &registry->idle;
	struct sctx__idle_rules *old;
	uint64_t limit = rules->options.limit_streams;

	sctx__update_begin();
	sctx__lock_u32(&idle->lock);
	old = idle->rules;
	sctx__store(&idle->batch, slack_of(limit, 16));
	sctx__store(&idle->streams.step, slack_of(limit, 32));
	/* Pairs with the acquire in pass(). */
	sctx__store_release(&idle->rules, rules);
	sctx__store(&registry->keeps, limit);
	sctx__store(&idle->limit_bytes, rules->options.limit_bytes);
	sctx__unlock_u32(&idle->lock, 0);
	if (old)
		sctx__retire_block(&old->block, sizeof(*old));
	sctx__update_end();
}

/* The counter of idle streams is created with the first limit. */
static int tally_create(struct sctx__idle *idle)
{
	struct sctx__tally *tally = &idle->streams;
	uint32_t slot, none = SCTX__NO_SLOT;
	int error;

	if (sctx__load_acquire(&tally->slot) != SCTX__NO_SLOT)
		return 0;
	error = sctx__tally_new(tally, &slot);
	if (!error && !sctx__cas_acq_rel(&tally->slot, &none, slot))
		sctx__counter_delete(slot);
	return error;
}

int sctx_registry_idle(struct sctx_registry *registry, const struct sctx_idle_options *given)
{
	struct sctx_idle_options options;
	struct sctx__idle_rules *rules;
	int error;

	if (!registry || !given)
		return -EINVAL;
	error = sctx__sized_read(&options, sizeof(options),
				 SCTX__SIZE_TO(struct sctx_idle_options, arg), given);
	if (!error && sctx__must_not_wait())
		error = -EDEADLK;
	if (!error)
		error = tally_create(&registry->idle);
	if (error)
		return error;
	rules = sctx__pool_alloc(sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	*rules = (struct sctx__idle_rules){ .options = options, .block.free_fn = rules_free };
	rules_replace(registry, rules);
	/* Wait for closes that read the old limit, and for calls of the old may_drop. */
	sctx__synchronize();
	trim(registry, options.limit_streams, UINT64_MAX);
	return 0;
}

/* -------------------------------------------------------------- the others */

uint64_t sctx__idle_count(const struct sctx__idle *idle)
{
	int64_t sum = sctx__tally_sum(&idle->streams);

	return sum > 0 ? (uint64_t)sum : 0;
}

uint64_t sctx__idle_bytes(const struct sctx__idle *idle)
{
	return sctx__idle_count(idle) * sctx__load(&idle->bytes_each);
}

void sctx__idle_free(struct sctx__idle *idle)
{
	if (idle->streams.slot != SCTX__NO_SLOT)
		sctx__counter_delete(idle->streams.slot);
	if (idle->rules)
		rules_free(&idle->rules->block);
}

struct drop_all {
	struct sctx_registry *registry;
	uint64_t open;
};

static int count_open(struct sctx__node *node, void *arg)
{
	struct drop_all *d = arg;

	d->open += !sctx__stream_is_idle(&node->stream);
	return 0;
}

static int drop_one(struct sctx__node *node, void *arg)
{
	struct drop_all *d = arg;

	if (kill_idle(d->registry, node, 0))
		idle_dropped(d->registry, 0, 1);
	return 0;
}

/* Drops nothing while a stream is open. */
uint64_t sctx__idle_drop_all(struct sctx_registry *registry)
{
	struct drop_all d = { .registry = registry };

	sctx__table_each(sctx__load_acquire(&registry->table), count_open, &d);
	if (!d.open)
		sctx__table_each(sctx__load_acquire(&registry->table), drop_one, &d);
	return d.open;
}
