/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Limbo: retired objects that wait for a grace period.
 *
 * Each thread has two sets of lists, selected by the phase bit.  It adds to the
 * set of the current phase, inside a read section, without an atomic operation
 * and without touching memory that another thread writes.  The reclaimer closes
 * a set by flipping the phase and waiting for a grace period: every thread that
 * read the old phase has then left its section, nothing is added to the old set,
 * and the reclaimer may take it.
 */
#ifndef SCTX_LIMBO_H
#define SCTX_LIMBO_H

#include "base/sync.h"

#include <stddef.h>

/* The link field of an object in limbo, whatever its type calls it. */
struct sctx__link {
	struct sctx__link *next;
} __attribute__((may_alias));

#define sctx__link_of(field)               ((struct sctx__link *)(field))
#define sctx__linked(link, type, field)    ((type *)((char *)(link) - offsetof(type, field)))

/* A stack.  Other threads load the head only to see whether it is NULL. */
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

/* Move all of @from to the front of @to. */
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

/* In the order in which a set is freed: an owner may embed a context in a stream's structure. */
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
 * Objects that return to the thread that retired them, which frees a few at the end of each
 * update, into its own allocator cache.  The lock covers @ready, since the reclaimer takes
 * it from a thread that does not come back.
 */
struct sctx__home {
	struct sctx__list waiting[2]; /* contexts, blocks: ready after the next grace period */
	uint32_t turns;               /* cycles since the thread freed any */
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

/* The registry's functions for nodes, set before any thread uses the library. */
struct sctx__node_hooks {
	void (*rest)(struct sctx__link *nodes);  /* DEBUG builds: they must not be accessed */
	void (*free)(struct sctx__list *nodes);
	size_t size; /* of one */
};

extern struct sctx__node_hooks sctx__node_hooks;

void sctx__limbo_move(struct sctx__limbo *to, struct sctx__limbo *from);
/* Move @from to the orphans, to wait for a grace period that begins from now on. */
void sctx__limbo_leave(struct sctx__limbo *from);

/* ------------------------------------------------------- for the reclaimer */

void sctx__limbo_turn_phase(void);

/*
 * Move the sets that the last phase flip closed to @closed; a grace period has passed
 * since.  Objects that return to their threads wait there for the next one.  Objects that
 * a thread has no room for or does not come back for, or with @all all of them, are added
 * to @ripe.  Returns the number of nodes that left limbo.
 */
size_t sctx__limbo_take_closed(struct sctx__limbo *closed, struct sctx__limbo *ripe, bool all);
bool sctx__limbo_any(const struct sctx__limbo *limbo);
/*
 * In a fork's child, if a phase flip was not followed by its grace period: move what it
 * closed back to the set of the current phase.
 */
void sctx__limbo_reopen(void);
bool sctx__limbo_is_empty(void);

/* Limbo's account: what threads have flushed so far, minus what was freed. */
struct sctx__account {
	int64_t callbacks;
	int64_t bytes;
} __attribute__((aligned(64)));

extern struct sctx__account sctx__account;

/* Adds to @pending.  Returns when the oldest set of a thread began to fill, or 0. */
uint64_t sctx__limbo_pending(struct sctx__account *pending);

/* @t exits: what it retired becomes orphans.  sctx__threads_lock held. */
void sctx__limbo_orphan(struct sctx__thread *t);

#endif /* SCTX_LIMBO_H */
