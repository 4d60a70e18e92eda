/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A registry, for the files of this room and for owners.
 */
#ifndef SCTX_REGISTRY_H
#define SCTX_REGISTRY_H

#include "registry/idle.h"
#include "registry/table.h"

struct sctx__attach;
struct sctx__tracked;

#define SCTX__SECRET_SIZE 136 /* XXH3 asks for this much, and reads 32 bytes of it for an id */

struct sctx_registry {
	/* Read by every open and close, written rarely. */
	struct sctx__table *table;
	uint64_t keeps;                           /* the limit of idle streams, or 0 */
	uint32_t idle_age;                        /* the present, in sctx_stream.age */
	uint32_t attachers;                       /* slots below it may be in use: owner.c */
	void (*told)(struct sctx_stream *stream); /* tell owners: idle or revived */
	uint8_t secret[SCTX__SECRET_SIZE];        /* of its hash; random */
	struct sctx__block block;
	uint32_t owners;                   /* registered: owner.c */
	const struct sctx__attach *attach; /* set before @attachers */
	struct sctx_owner *attacher[SCTX_ATTACH_MAX];
	/* Embedded streams: track.c. */
	uint32_t tracked_lock;
	uint64_t tracked_count;
	struct sctx__tracked *tracked;
	struct sctx__idle idle;
};

/*
 * If the count of @node is still @opens, make it dead, remove it from the table, tear it
 * down and retire it.  Inside an update.
 */
bool sctx__node_kill(struct sctx_registry *registry, struct sctx__node *node, uint32_t opens);

/* Inside an update.  Errors: -ENOENT. */
int sctx__forget_id(struct sctx_registry *registry, const struct sctx_id *id, uint64_t hash);

/*
 * Call @fn for each stream, inside updates of a few buckets each, with no lock held; @fn may
 * change anything.  Call @between, unless it is NULL, after each of these updates, outside
 * them.  A value other than 0 of either ends the walk and is returned.
 */
int sctx__registry_walk(struct sctx_registry *registry, sctx__node_fn fn, void *arg,
			int (*between)(void *arg));

/* Between updates that retire: waits while limbo is at its limit. */
int sctx__walk_throttle(void *arg);

/* Walk the table: fills streams, buckets, overflows, longest_chain. */
void sctx__registry_table_stats(struct sctx_registry *registry, struct sctx_registry_stats *stats);

/* In a section. */
static inline size_t sctx__table_buckets(const struct sctx_registry *registry)
{
	/* Pairs with the release in table.c's finish(). */
	return sctx__load_acquire(&registry->table)->mask + 1;
}

/* Write the current age into @stream, which the caller is about to leave idle. */
SCTX__INLINE void sctx__idle_note(struct sctx_registry *registry, struct sctx_stream *stream)
{
	uint32_t present = sctx__load(&registry->idle_age) & 0xff;
	uint32_t periods = sctx__load(&stream->age) >> 8;

	if (periods < SCTX__PERIODS_MAX)
		periods++;
	sctx__store(&stream->age, (uint16_t)(periods << 8 | present));
}

static inline struct sctx__node *sctx__node_of(const struct sctx_stream *stream)
{
	return (struct sctx__node *)((char *)(uintptr_t)stream -
				     offsetof(struct sctx__node, stream));
}

/* Outside the library's sections: notify owners that @stream is idle, or open again. */
static inline void sctx__registry_tell(struct sctx_registry *registry, struct sctx_stream *stream)
{
	void (*told)(struct sctx_stream *) = sctx__load(&registry->told);

	if (sctx__unlikely(told != NULL))
		told(stream);
}

#endif /* SCTX_REGISTRY_H */
