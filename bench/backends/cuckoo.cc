// SPDX-License-Identifier: LGPL-2.1-or-later
//
// libcuckoo: cuckoohash_map from ids to streams; every call holds the
// spinlocks of the key's two buckets.  A stream has a spinlock of its own for
// its contexts, which find takes before it lets go of the buckets', so that
// an erase cannot free the stream in between.

#include <libcuckoo/cuckoohash_map.hh>

#include "stream-lock.h"

namespace
{

struct Hash {
	std::size_t operator()(const sctx_id &id) const
	{
		return compact_hash(&id);
	}
};

struct Equal {
	bool operator()(const sctx_id &a, const sctx_id &b) const
	{
		return id_equal(&a, &b);
	}
};

using Map = libcuckoo::cuckoohash_map<sctx_id, bench_stream *, Hash, Equal>;

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

bench_stream *open_slow(Map *map, const sctx_id *id)
{
	auto *fresh = static_cast<bench_stream *>(bench_alloc(COMPACT_STREAM_SIZE));
	bench_stream *stream = fresh;
	auto count = [&](bench_stream *&found) {
		__atomic_fetch_add(&found->opens, 1, __ATOMIC_RELAXED);
		stream = found;
	};

	stream_init(fresh, id);
	if (!map->upsert(*id, count, fresh))
		free(fresh);
	return stream;
}

inline bench_stream *stream_open(bench_table *table, const sctx_id *id)
{
	bench_stream *stream = nullptr;

	map_of(table)->find_fn(*id, [&](bench_stream *const &found) {
		__atomic_fetch_add(&found->opens, 1, __ATOMIC_RELAXED);
		stream = found;
	});
	return stream ? stream : open_slow(map_of(table), id);
}

// The last reference goes under the locks that the entry is erased under.
void close_slow(Map *map, bench_stream *stream)
{
	bool last = false;

	map->erase_fn(stream->id, [&](bench_stream *&found) {
		last = __atomic_sub_fetch(&found->opens, 1, __ATOMIC_ACQ_REL) == 0;
		return last;
	});
	if (!last)
		return;
	// A thread that found it before may still be inside: wait.
	stream_enter(stream);
	stream_free(stream);
}

inline void stream_close(bench_table *table, bench_stream *stream)
{
	if (!stream_close_not_last(stream))
		close_slow(map_of(table), stream);
}

inline bench_stream *stream_find(bench_table *table, const sctx_id *id)
{
	bench_stream *stream = nullptr;

	map_of(table)->find_fn(*id, [&](bench_stream *const &found) {
		stream_enter(found);
		stream = found;
	});
	return stream;
}

const struct backend_ops ops = {
	.name = "cuckoo",
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
