// SPDX-License-Identifier: LGPL-2.1-or-later
//
// oneTBB: concurrent_hash_map from ids to streams, the streams in its nodes.
// An accessor is a reader-writer spinlock on the node, taken under one on the
// bucket.  A stream has a spinlock of its own for its contexts, which find
// takes before it lets go of the accessor, so that an erase cannot free the
// stream in between.  (A shared_ptr in the node would do it as well, at the
// price of one more allocation and two more atomic operations.)

#include <oneapi/tbb/concurrent_hash_map.h>

#include "stream-lock.h"

namespace
{

struct HashCompare {
	static std::size_t hash(const sctx_id &id)
	{
		return compact_hash(&id);
	}

	static bool equal(const sctx_id &a, const sctx_id &b)
	{
		return id_equal(&a, &b);
	}
};

using Node = std::pair<const sctx_id, bench_stream>;
using Map = tbb::concurrent_hash_map<sctx_id, bench_stream, HashCompare, std::allocator<Node>>;

Map *map_of(bench_table *table)
{
	return reinterpret_cast<Map *>(table);
}

bench_table *table_create(uint64_t streams)
{
	(void)streams;
	return reinterpret_cast<bench_table *>(new Map);
}

void table_destroy(bench_table *table)
{
	delete map_of(table);
}

uint64_t table_count(bench_table *table)
{
	return map_of(table)->size();
}

// What an accessor protects; the open count and the lock are changed by all.
bench_stream *stream_of(const Map::const_accessor &at)
{
	return const_cast<bench_stream *>(&at->second);
}

void find_or_insert(Map *map, Map::const_accessor *at, const sctx_id *id)
{
	bench_stream fresh;

	stream_init(&fresh, id);
	fresh.opens = 0;
	map->insert(*at, Node(*id, fresh));
}

inline bench_stream *stream_open(bench_table *table, const sctx_id *id)
{
	Map *map = map_of(table);
	Map::const_accessor at;

	if (!map->find(at, *id))
		find_or_insert(map, &at, id);
	__atomic_fetch_add(&stream_of(at)->opens, 1, __ATOMIC_RELAXED);
	return stream_of(at);
}

// The last reference goes under the accessor that erases the node.
void close_slow(Map *map, bench_stream *stream)
{
	Map::accessor at;

	if (!map->find(at, stream->id))
		bench_die("an open stream is not in the map");
	if (__atomic_sub_fetch(&stream->opens, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	// A thread that found it before may still be inside: wait.
	stream_enter(stream);
	stream_clear(stream);
	map->erase(at);
}

inline void stream_close(bench_table *table, bench_stream *stream)
{
	if (!stream_close_not_last(stream))
		close_slow(map_of(table), stream);
}

inline bench_stream *stream_find(bench_table *table, const sctx_id *id)
{
	Map::const_accessor at;

	if (!map_of(table)->find(at, *id))
		return nullptr;
	stream_enter(stream_of(at));
	return stream_of(at);
}

const struct backend_ops ops = {
	.name = "tbb",
	.lacks = "frees at once: no grace period, nothing stays valid outside the stream's lock",
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.find = stream_find,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = entries_lookup,
	.insert = context_insert,
	.del = context_del,
	.bump = context_bump,
};

} // namespace

BENCH_BACKEND(ops);
