/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Limbo: what was retired and waits for a grace period.
 *
 * Each thread has two sets of lists, named by the phase bit.  A thread adds to
 * the set of the present phase, inside a read section, without an atomic
 * operation and without touching memory that another thread writes.  The
 * reclaimer closes a set by turning the phase and waiting for a grace period:
 * every thread that read the old phase has left its section by then, so nobody
 * adds to the old set any more and the reclaimer may take it.
 */
#ifndef SCTX_LIMBO_H
#define SCTX_LIMBO_H

#include "base/sync.h"

#include <stddef.h>

/* The field by which limbo links an object, whatever the object's type calls it. */
struct sctx__link {
	struct sctx__link *next;
} __attribute__((may_alias));

#define sctx__link_of(field)               ((struct sctx__link *)(field))
#define sctx__linked(link, type, field)    ((type *)((char *)(link) - offsetof(type, field)))

/* A stack.  The head is read by others, who want to know only whether there is one. */
struct sctx__list {
	struct sctx__link *head, *last;
};

static inline void sctx__list_push(struct sctx__list *list, struct sctx__link *link)
{
	link->next = list->head;
	if (!link->next)
		list->last = link;
	sctx__store(&list->head, link);
}

static inline struct sctx__link *sctx__list_pop(struct sctx__list *list)
{
	struct sctx__link *link = list->head;

	if (link)
		sctx__store(&list->head, link->next);
	return link;
}

/* All of @from to the front of @to. */
static inline void sctx__list_move(struct sctx__list *to, struct sctx__list *from)
{
	if (!from->head)
		return;
	if (!to->head)
		to->last = from->last;
	from->last->next = to->head;
	sctx__store(&to->head, from->head);
	sctx__store(&from->head, NULL);
}

/* In the order in which a set's callbacks run: an owner may embed a context in a stream. */
enum sctx__kind {
	SCTX__CONTEXTS,
	SCTX__STREAMS, /* embedded ones */
	SCTX__BLOCKS,  /* the library's own memory */
	SCTX__HOME_CONTEXTS, /* that any thread may free: see struct sctx__home */
	SCTX__HOME_BLOCKS,   /* likewise; plain memory of the pool */
	SCTX__NODES,         /* the registry's streams */
	SCTX__KINDS
};

struct sctx__limbo {
	struct sctx__list list[SCTX__KINDS];
	size_t nodes;                /* in the list of nodes */
	size_t block_bytes;          /* of the blocks */
	size_t freed, freed_bytes;  /* while its callbacks run: not yet taken out of the account */
	uint64_t since; /* when the first was retired: sctx__now_coarse(), 0 if there is none */
};

/*
 * What goes back to the thread that retired it, which frees a few at a time at the end of
 * its updates: the allocator's caches there get them back.  @ready is under the lock,
 * since the reclaimer takes it from a thread that does not come for it.
 */
struct sctx__home {
	struct sctx__list waiting[2]; /* contexts, blocks: ready after the next grace period */
	uint32_t turns;               /* cycles since the thread took any */
	uint32_t lock __attribute__((aligned(64)));
	struct sctx__list ready[2];
};

/* Free nodes for the next opens.  See lib/registry/magazine.h. */
struct sctx__magazine {
	struct sctx__link *loaded;  /* the thread's own */
	struct sctx__list waiting;  /* collected, to be used again after the next grace period */
	size_t waiting_count;
	size_t returned_count; /* in returned when it was last added to */
	struct sctx__link *returned __attribute__((aligned(64)));
};

struct sctx__thread;

/* What the registry does with nodes: set before any thread uses the library. */
struct sctx__node_hooks {
	void (*rest)(struct sctx__link *nodes);  /* DEBUG builds: nobody may touch them */
	void (*free)(struct sctx__list *nodes);
	size_t size; /* of one */
};

extern struct sctx__node_hooks sctx__node_hooks;

void sctx__limbo_move(struct sctx__limbo *to, struct sctx__limbo *from);
/* To nobody's limbo, where it waits for a grace period that begins from now on. */
void sctx__limbo_leave(struct sctx__limbo *from);

/* ------------------------------------------------------- for the reclaimer */

void sctx__limbo_turn_phase(void);

/*
 * Move the sets that the last turn of the phase closed to @closed; a grace period
 * has passed since.  What goes back to the threads waits with them for the next
 * one.  What they have no room for or do not come for, or with @all everything, is
 * added to @ripe.  Returns how many nodes left limbo.
 */
size_t sctx__limbo_take_closed(struct sctx__limbo *closed, struct sctx__limbo *ripe, bool all);
bool sctx__limbo_any(const struct sctx__limbo *limbo);
/*
 * In a fork's child, where a turn of the phase is not followed by its grace period: back
 * to the set of the present phase with all that it closed.
 */
void sctx__limbo_reopen(void);
bool sctx__limbo_is_empty(void);

/* Limbo's account: what threads have flushed so far, minus what was freed. */
struct sctx__account {
	int64_t callbacks;
	int64_t bytes;
} __attribute__((aligned(64)));

extern struct sctx__account sctx__account;

/* Adds to @pending; returns since when something is in the threads' sets, or 0. */
uint64_t sctx__limbo_pending(struct sctx__account *pending);

/* @t exits, with sctx__threads_lock held: what it retired becomes an orphan. */
void sctx__limbo_orphan(struct sctx__thread *t);

#endif /* SCTX_LIMBO_H */
