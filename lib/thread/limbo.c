/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Limbo's lists: see limbo.h.  sctx__threads_lock covers the orphans and every
 * closed set.
 */
#include "thread/thread.h"

struct sctx__account sctx__account;
struct sctx__node_hooks sctx__node_hooks;

static struct sctx__limbo orphans[2]; /* left behind by threads that exited */
static struct sctx__limbo collected;  /* of them: what a cycle had collected already */

void sctx__limbo_move(struct sctx__limbo *to, struct sctx__limbo *from)
{
	for (int i = 0; i < SCTX__KINDS; i++)
		sctx__list_move(&to->list[i], &from->list[i]);
	if (from->since && (!to->since || from->since < to->since))
		sctx__store(&to->since, from->since);
	sctx__store(&from->since, 0);
	to->nodes += from->nodes;
	to->block_bytes += from->block_bytes;
	from->nodes = 0;
	from->block_bytes = 0;
}

void sctx__limbo_leave(struct sctx__limbo *from)
{
	pthread_mutex_lock(&sctx__threads_lock);
	sctx__limbo_move(&orphans[sctx__shared.phase], from);
	pthread_mutex_unlock(&sctx__threads_lock);
}

/* Races with additions, which are complete only after a grace period. */
bool sctx__limbo_any(const struct sctx__limbo *limbo)
{
	bool any = false;

	for (int i = 0; i < SCTX__KINDS && !any; i++)
		any = sctx__load(&limbo->list[i].head) != NULL;
	return any;
}

/* The release pairs with the acquire in sctx__limbo_of(). */
void sctx__limbo_turn_phase(void)
{
	sctx__store_release(&sctx__shared.phase, sctx__shared.phase ^ 1);
}

/* ------------------------------------------------------------------- nodes */

/*
 * 8 MiB of nodes for each thread: what it may close during one slow grace period
 * on a crowded machine.
 */
#define RETURNED_MAX 65536

/* False if the thread has enough nodes.  Only the thread takes from returned: no ABA. */
static bool give(struct sctx__magazine *magazine, struct sctx__list *ripe, size_t n)
{
	struct sctx__link *top = sctx__load_acquire(&magazine->returned);
	size_t count = top ? magazine->returned_count : 0;

	if (!ripe->head)
		return true;
	if (count + n > RETURNED_MAX)
		return false;
	ripe->last->next = top;
	/* Pairs with the acquire in sctx__node_alloc(), as the store below does. */
	if (!sctx__cas_acq_rel(&magazine->returned, &top, ripe->head)) {
		/* The thread took all of it, and only the reclaimer adds. */
		ripe->last->next = NULL;
		sctx__store_release(&magazine->returned, ripe->head);
		count = 0;
	}
	magazine->returned_count = count + n;
	ripe->head = NULL;
	return true;
}

/*
 * After a grace period: return the waiting nodes, and let the nodes of @closed wait.
 * Returns the number of nodes returned.
 */
static size_t magazine_turn(struct sctx__magazine *magazine, struct sctx__limbo *closed,
			    struct sctx__limbo *ripe)
{
	size_t n = magazine->waiting_count;

#ifdef SCTX_DEBUG
	if (magazine->waiting.head)
		sctx__node_hooks.rest(magazine->waiting.head);
#endif
	if (!give(magazine, &magazine->waiting, n))
		sctx__list_move(&ripe->list[SCTX__NODES], &magazine->waiting);
	sctx__list_move(&magazine->waiting, &closed->list[SCTX__NODES]);
	magazine->waiting_count = closed->nodes;
	closed->nodes = 0;
	return n;
}

/* The thread exits: free its free nodes; the waiting ones become orphans. */
static void magazine_empty(struct sctx__magazine *magazine)
{
	struct sctx__list loaded = { .head = magazine->loaded };
	struct sctx__list returned = { .head = sctx__exchange_acq_rel(&magazine->returned, NULL) };

	if (loaded.head)
		sctx__node_hooks.free(&loaded);
	if (returned.head)
		sctx__node_hooks.free(&returned);
	magazine->loaded = NULL;
	sctx__list_move(&collected.list[SCTX__NODES], &magazine->waiting);
	collected.nodes += magazine->waiting_count;
	magazine->waiting_count = 0;
}

/* ---------------------------------------------------- contexts and blocks */

/* Cycles, of some 2 ms each, after which ready objects are taken from a thread. */
#define HOME_TURNS 16

static bool home_any(const struct sctx__home *home)
{
	return sctx__load(&home->ready[0].head) || sctx__load(&home->ready[1].head) ||
	       sctx__load(&home->waiting[0].head) || sctx__load(&home->waiting[1].head);
}

/* After a grace period.  The thread does not free what stays in @closed. */
static void home_turn(struct sctx__home *home, struct sctx__limbo *closed, struct sctx__limbo *ripe,
		      bool all)
{
	if (!home_any(home))
		sctx__store(&home->turns, 0);
	else if (sctx__add(&home->turns, 1) >= HOME_TURNS)
		all = true;
	sctx__lock_u32(&home->lock);
	for (int i = 0; i < 2; i++) {
		sctx__list_move(&home->ready[i], &home->waiting[i]);
		if (all)
			sctx__list_move(&ripe->list[SCTX__HOME_CONTEXTS + i], &home->ready[i]);
		else
			sctx__list_move(&home->waiting[i], &closed->list[SCTX__HOME_CONTEXTS + i]);
	}
	sctx__unlock_u32(&home->lock, 0);
}

static void home_empty(struct sctx__home *home)
{
	for (int i = 0; i < 2; i++) {
		sctx__list_move(&collected.list[SCTX__HOME_CONTEXTS + i], &home->ready[i]);
		sctx__list_move(&collected.list[SCTX__HOME_CONTEXTS + i], &home->waiting[i]);
	}
}

/* ----------------------------------------------------------- all threads' */

size_t sctx__limbo_take_closed(struct sctx__limbo *closed, struct sctx__limbo *ripe, bool all)
{
	uint32_t phase = sctx__shared.phase ^ 1;
	size_t nodes = 0;

	pthread_mutex_lock(&sctx__threads_lock);
	for (struct sctx__thread *t = sctx__threads; t; t = t->next) {
		nodes += magazine_turn(&t->magazine, &t->limbo[phase], ripe);
		home_turn(&t->home, &t->limbo[phase], ripe, all);
		sctx__limbo_move(closed, &t->limbo[phase]);
	}
	sctx__limbo_move(closed, &orphans[phase]);
	sctx__limbo_move(closed, &collected);
	pthread_mutex_unlock(&sctx__threads_lock);
	return nodes;
}

void sctx__limbo_reopen(void)
{
	uint32_t phase = sctx__shared.phase;

	sctx__limbo_move(&orphans[phase], &orphans[phase ^ 1]);
	sctx__limbo_move(&sctx__self.limbo[phase], &sctx__self.limbo[phase ^ 1]);
}

bool sctx__limbo_is_empty(void)
{
	bool empty;

	pthread_mutex_lock(&sctx__threads_lock);
	empty = !sctx__limbo_any(&orphans[0]) && !sctx__limbo_any(&orphans[1]) &&
		!sctx__limbo_any(&collected);
	for (struct sctx__thread *t = sctx__threads; t && empty; t = t->next)
		empty = !sctx__limbo_any(&t->limbo[0]) && !sctx__limbo_any(&t->limbo[1]) &&
			!home_any(&t->home) && !sctx__load(&t->magazine.waiting.head);
	pthread_mutex_unlock(&sctx__threads_lock);
	return empty;
}

static void note_oldest(const struct sctx__limbo *limbo, uint64_t *oldest)
{
	uint64_t since = sctx__load(&limbo->since);

	if (since && (!*oldest || since < *oldest))
		*oldest = since;
}

uint64_t sctx__limbo_pending(struct sctx__account *pending)
{
	uint64_t oldest = 0;

	pthread_mutex_lock(&sctx__threads_lock);
	for (struct sctx__thread *t = sctx__threads; t; t = t->next) {
		pending->callbacks += sctx__load(&t->pending_callbacks);
		pending->bytes += sctx__load(&t->pending_bytes);
		note_oldest(&t->limbo[0], &oldest);
		note_oldest(&t->limbo[1], &oldest);
	}
	note_oldest(&orphans[0], &oldest);
	note_oldest(&orphans[1], &oldest);
	pthread_mutex_unlock(&sctx__threads_lock);
	return oldest;
}

void sctx__limbo_orphan(struct sctx__thread *t)
{
	magazine_empty(&t->magazine);
	home_empty(&t->home);
	for (int phase = 0; phase < 2; phase++)
		sctx__limbo_move(&orphans[phase], &t->limbo[phase]);
	sctx__add(&sctx__account.callbacks, t->pending_callbacks);
	sctx__add(&sctx__account.bytes, t->pending_bytes);
	t->pending_callbacks = 0;
	t->pending_bytes = 0;
}
