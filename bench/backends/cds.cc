// SPDX-License-Identifier: LGPL-2.1-or-later
//
// libcds: MichaelHashSet of streams, with hazard pointers (gc::DHP), which
// also guard what a lookup finds.  A thread keeps three guards: for a stream
// found by id, for the array of a stream's contexts and for the context.
//
// A stream's contexts are an array that only grows, changed under the
// stream's spinlock: two entries in the stream, a copy in its place when it is
// full.  A removed context leaves a NULL.  The set has a number of buckets
// that is given once, so it gets what it will need.

#include <cds/init.h>
#include <cds/gc/dhp.h>
#include <cds/intrusive/michael_list_dhp.h>
#include <cds/intrusive/michael_set.h>
#include <cds/sync/spinlock.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../harness/backend.h"

OPS_DECLARE;

namespace
{

using GC = cds::gc::DHP;
namespace ci = cds::intrusive;

struct Context {
	void (*free_callback)(Context *ctx);
	uint64_t word;
};

struct Entry {
	const void *owner;
	const void *instance;
	std::atomic<Context *> context;
};

struct Array {
	uint32_t capacity;
	std::atomic<uint32_t> count;
	Entry entry[2]; // @capacity of them
};

struct Stream : ci::michael_list::node<GC> {
	sctx_id id;
	std::atomic<uint32_t> opens;
	cds::sync::spin lock; // of changes to contexts
	std::atomic<Array *> contexts;
	Array first;
};

struct Guards {
	GC::Guard stream, array, context;
};

// Of a thread, and of another when it has ended: what was retired and freed,
// for drain to compare, outlives it.
struct alignas(64) Thread {
	std::atomic<uint64_t> retired{ 0 }, freed{ 0 };
	Thread *next = nullptr;
	bool used = true;
};

thread_local Thread *self;
thread_local Guards *guards;

Stream *stream_of(bench_stream *stream)
{
	return reinterpret_cast<Stream *>(stream);
}

bench_stream *stream_to(Stream *stream)
{
	return reinterpret_cast<bench_stream *>(stream);
}

// ---------------------------------------------------------- what is retired

pthread_mutex_t threads_lock = PTHREAD_MUTEX_INITIALIZER;
Thread *threads;

void count_one(std::atomic<uint64_t> &counter)
{
	counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void context_free(Context *ctx)
{
	bench_freed(&ops, ctx->word);
	free(ctx);
}

struct FreeContext {
	void operator()(Context *ctx)
	{
		count_one(self->freed);
		ctx->free_callback(ctx);
	}
};

struct FreeArray {
	void operator()(Array *array)
	{
		count_one(self->freed);
		free(array);
	}
};

// No open reference and no guard is left.
void stream_destroy(Stream *stream)
{
	Array *array = stream->contexts.load(std::memory_order_relaxed);

	for (uint32_t i = 0; i < array->count.load(std::memory_order_relaxed); i++)
		if (Context *ctx = array->entry[i].context.load(std::memory_order_relaxed))
			ctx->free_callback(ctx);
	if (array != &stream->first)
		free(array);
	stream->~Stream();
	free(stream);
}

struct FreeStream {
	void operator()(Stream *stream)
	{
		count_one(self->freed);
		stream_destroy(stream);
	}
};

// -------------------------------------------------------------------- table

uint64_t id_hash(const sctx_id &id)
{
	return XXH3_64bits_withSeed(&id, sizeof(id), 0x5eed);
}

const sctx_id &key_of(const sctx_id &id)
{
	return id;
}

const sctx_id &key_of(const Stream &stream)
{
	return stream.id;
}

struct Compare {
	template <class A, class B> int operator()(const A &a, const B &b) const
	{
		return memcmp(&key_of(a), &key_of(b), sizeof(sctx_id));
	}
};

struct Hash {
	template <class A> size_t operator()(const A &a) const
	{
		return id_hash(key_of(a));
	}
};

struct ListTraits : ci::michael_list::traits {
	using hook = ci::michael_list::base_hook<cds::opt::gc<GC>>;
	using compare = Compare;
	using disposer = FreeStream;
};

struct SetTraits : ci::michael_set::traits {
	using hash = Hash;
	using item_counter = cds::atomicity::cache_friendly_item_counter;
};

using List = ci::MichaelList<GC, Stream, ListTraits>;

struct Set : ci::MichaelHashSet<GC, List, SetTraits> {
	using Base = ci::MichaelHashSet<GC, List, SetTraits>;

	explicit Set(size_t streams) : Base(streams, 1), next(nullptr)
	{
	}

	// What an unlink only marked, the next search to pass takes out and
	// retires.  This passes everywhere.
	void search_all()
	{
		sctx_id last;

		memset(&last, 0xff, sizeof(last));
		for (size_t i = 0; i < bucket_count(); i++)
			m_Buckets[i].contains(last);
	}

	Set *next;
};

Set *sets; // under threads_lock

Set *set_of(bench_table *table)
{
	return reinterpret_cast<Set *>(table);
}

void library_start()
{
	cds::Initialize();
	cds::gc::dhp::smr::construct();
}

Thread *thread_get()
{
	Thread *thread;

	pthread_mutex_lock(&threads_lock);
	for (thread = threads; thread && __atomic_load_n(&thread->used, __ATOMIC_ACQUIRE);
	     thread = thread->next)
		continue;
	if (!thread) {
		thread = new Thread;
		thread->next = threads;
		threads = thread;
	}
	thread->used = true;
	pthread_mutex_unlock(&threads_lock);
	return thread;
}

void thread_enter()
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, library_start);
	cds::threading::Manager::attachThread();
	self = thread_get();
	guards = new Guards;
}

// Detaching frees what it can, and leaves the rest to other threads.
void thread_exit()
{
	delete guards;
	cds::threading::Manager::detachThread();
	__atomic_store_n(&self->used, false, __ATOMIC_RELEASE);
}

// 0 when everything retired is freed, by any thread.
int64_t pending()
{
	int64_t sum = 0;

	for (const Thread *t = threads; t; t = t->next)
		sum += static_cast<int64_t>(t->retired.load() - t->freed.load());
	return sum;
}

void thread_idle()
{
	GC::scan();
}

// The others are idle or gone, and leave to us what they could not free.
void drain()
{
	for (unsigned int tries = 1;; tries++) {
		bool done;

		GC::scan();
		cds::gc::dhp::smr::instance().help_scan(cds::gc::dhp::smr::tls());
		pthread_mutex_lock(&threads_lock);
		done = pending() == 0;
		if (!done && tries % 100 == 0)
			for (Set *set = sets; set; set = set->next)
				set->search_all();
		pthread_mutex_unlock(&threads_lock);
		if (done)
			return;
		if (tries == 20000)
			bench_die("libcds does not free all that was retired: %ld", (long)pending());
		sched_yield();
	}
}

bench_table *table_create(uint64_t streams)
{
	auto *set = new Set(streams < 4096 ? 4096 : streams);

	pthread_mutex_lock(&threads_lock);
	set->next = sets;
	sets = set;
	pthread_mutex_unlock(&threads_lock);
	return reinterpret_cast<bench_table *>(set);
}

void table_destroy(bench_table *table)
{
	Set **link = &sets;

	pthread_mutex_lock(&threads_lock);
	while (*link != set_of(table))
		link = &(*link)->next;
	*link = (*link)->next;
	pthread_mutex_unlock(&threads_lock);
	delete set_of(table);
}

uint64_t table_count(bench_table *table)
{
	return set_of(table)->size();
}

// One more open reference, unless none is left.
bool stream_reopen(Stream &stream)
{
	uint32_t opens = stream.opens.load(std::memory_order_relaxed);

	while (opens > 0)
		if (stream.opens.compare_exchange_weak(opens, opens + 1, std::memory_order_acquire))
			return true;
	return false;
}

Stream *stream_new(const sctx_id &id)
{
	auto *stream = new (bench_alloc_lines(sizeof(Stream))) Stream;

	stream->id = id;
	stream->opens.store(1, std::memory_order_relaxed);
	stream->first.capacity = 2;
	stream->first.count.store(0, std::memory_order_relaxed);
	stream->contexts.store(&stream->first, std::memory_order_relaxed);
	return stream;
}

// Take a stream that was closed for the last time out of the set, whose
// closer or helper does it first.  The caller guards it.
void stream_unlink(Set *set, Stream &stream)
{
	if (set->unlink(stream))
		count_one(self->retired);
}

Stream *open_slow(Set *set, const sctx_id &id)
{
	Stream *fresh = stream_new(id);

	while (!set->insert(*fresh)) {
		auto found = set->get(id);

		if (found && stream_reopen(*found)) {
			stream_destroy(fresh);
			return &*found;
		}
		if (found)
			stream_unlink(set, *found);
	}
	return fresh;
}

inline bench_stream *stream_open(bench_table *table, const sctx_id *id)
{
	Set *set = set_of(table);
	Stream *stream = nullptr;

	set->find(*id, [&](Stream &found, const sctx_id &) {
		if (stream_reopen(found))
			stream = &found;
	});
	return stream_to(stream ? stream : open_slow(set, *id));
}

// The guard first: once the count is 0, a helper may unlink and retire it.
void close_slow(Set *set, Stream *stream)
{
	guards->stream.assign(stream);
	if (stream->opens.fetch_sub(1, std::memory_order_acq_rel) == 1)
		stream_unlink(set, *stream);
	guards->stream.clear();
}

inline void stream_close(bench_table *table, bench_stream *s)
{
	Stream *stream = stream_of(s);
	uint32_t opens = stream->opens.load(std::memory_order_relaxed);

	while (opens > 1)
		if (stream->opens.compare_exchange_weak(opens, opens - 1,
							std::memory_order_release))
			return;
	close_slow(set_of(table), stream);
}

inline bench_stream *stream_find(bench_table *table, const sctx_id *id)
{
	Stream *stream = nullptr;

	set_of(table)->find(*id, [&](Stream &found, const sctx_id &) {
		stream = guards->stream.assign(&found);
	});
	return stream_to(stream);
}

inline void stream_enter(bench_stream *stream)
{
	(void)stream;
}

inline void stream_leave(bench_stream *stream)
{
	(void)stream;
	guards->context.clear();
	guards->array.clear();
	guards->stream.clear();
}

// ----------------------------------------------------------------- contexts

bool entry_matches(const Entry &entry, const void *owner, const void *instance)
{
	return entry.owner == owner && (!instance || entry.instance == instance);
}

// The newest match in @array, guarded; NULL if there is none.
inline Context *array_find(Array *array, const void *owner, const void *instance)
{
	for (uint32_t i = array->count.load(std::memory_order_acquire); i-- > 0;) {
		if (!entry_matches(array->entry[i], owner, instance))
			continue;
		if (Context *ctx = guards->context.protect(array->entry[i].context))
			return ctx;
	}
	return nullptr;
}

// In an array that has been replaced, an entry may name what was freed: so
// the array must still be the stream's after the guard on the context is set.
inline Context *context_find(Stream *stream, const void *owner, const void *instance)
{
	for (;;) {
		Array *array = stream->contexts.load(std::memory_order_acquire);

		if (array != &stream->first)
			array = guards->array.protect(stream->contexts);
		Context *ctx = array_find(array, owner, instance);
		if (stream->contexts.load(std::memory_order_acquire) == array)
			return ctx;
	}
}

inline uint64_t *context_lookup(bench_stream *stream, const void *owner, const void *instance)
{
	Context *ctx = context_find(stream_of(stream), owner, instance);

	return ctx ? &ctx->word : nullptr;
}

Context *context_new(uint64_t word)
{
	auto *ctx = static_cast<Context *>(bench_alloc(BENCH_CONTEXT_SIZE));

	ctx->free_callback = context_free;
	ctx->word = word;
	bench_created(&ops, word);
	return ctx;
}

// The rest under the stream's lock.

void array_add(Array *array, const void *owner, const void *instance, Context *ctx)
{
	uint32_t count = array->count.load(std::memory_order_relaxed);
	Entry *entry = &array->entry[count];

	entry->owner = owner;
	entry->instance = instance;
	entry->context.store(ctx, std::memory_order_relaxed);
	array->count.store(count + 1, std::memory_order_release);
}

// The live entries of @old, with as much room again.
Array *array_copy(const Array *old)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < old->capacity; i++)
		live += old->entry[i].context.load(std::memory_order_relaxed) != nullptr;
	uint32_t capacity = 2 * live < 8 ? 8 : 2 * live;
	auto *array = static_cast<Array *>(
		bench_alloc(offsetof(Array, entry) + capacity * sizeof(Entry)));
	array->capacity = capacity;
	array->count.store(0, std::memory_order_relaxed);
	for (uint32_t i = 0; i < old->capacity; i++)
		if (Context *ctx = old->entry[i].context.load(std::memory_order_relaxed))
			array_add(array, old->entry[i].owner, old->entry[i].instance, ctx);
	return array;
}

void stream_add(Stream *stream, const void *owner, const void *instance, Context *ctx)
{
	Array *array = stream->contexts.load(std::memory_order_relaxed);

	if (array->count.load(std::memory_order_relaxed) < array->capacity) {
		array_add(array, owner, instance, ctx);
		return;
	}
	Array *larger = array_copy(array);
	array_add(larger, owner, instance, ctx);
	stream->contexts.store(larger);
	if (array == &stream->first)
		return;
	count_one(self->retired);
	GC::retire<FreeArray>(array);
}

Context *stream_take(Stream *stream, const void *owner, const void *instance)
{
	Array *array = stream->contexts.load(std::memory_order_relaxed);

	for (uint32_t i = array->count.load(std::memory_order_relaxed); i-- > 0;)
		if (entry_matches(array->entry[i], owner, instance))
			if (Context *ctx = array->entry[i].context.exchange(nullptr))
				return ctx;
	return nullptr;
}

inline void context_insert(bench_stream *s, const void *owner, const void *instance, uint64_t word)
{
	Stream *stream = stream_of(s);
	Context *ctx = context_new(word);

	stream->lock.lock();
	stream_add(stream, owner, instance, ctx);
	stream->lock.unlock();
}

inline void context_del(bench_stream *s, const void *owner, const void *instance)
{
	Stream *stream = stream_of(s);

	stream->lock.lock();
	Context *ctx = stream_take(stream, owner, instance);
	stream->lock.unlock();
	if (!ctx)
		return;
	count_one(self->retired);
	GC::retire<FreeContext>(ctx);
}

// The caller holds the stream open and no thread removes, so the context stays.
void bump_slow(Stream *stream, const void *owner)
{
	stream->lock.lock();
	Context *ctx = context_find(stream, owner, nullptr);
	if (!ctx) {
		ctx = context_new(0);
		stream_add(stream, owner, nullptr, ctx);
	}
	__atomic_fetch_add(&ctx->word, 1, __ATOMIC_RELAXED);
	stream->lock.unlock();
}

inline void context_bump(bench_stream *s, const void *owner)
{
	Context *ctx = context_find(stream_of(s), owner, nullptr);

	if (ctx)
		__atomic_fetch_add(&ctx->word, 1, __ATOMIC_RELAXED);
	else
		bump_slow(stream_of(s), owner);
	stream_leave(s);
	bench_bumped(&ops);
}

const struct backend_ops ops = {
	.name = "cds",
	.lacks = "the table does not grow; a section guards the one context looked up last; "
		 "no counted references",
	.sized = true,
	.thread_enter = thread_enter,
	.thread_exit = thread_exit,
	.thread_idle = thread_idle,
	.drain = drain,
	.table_create = table_create,
	.table_destroy = table_destroy,
	.table_count = table_count,
	.open = stream_open,
	.close = stream_close,
	.find = stream_find,
	.enter = stream_enter,
	.leave = stream_leave,
	.lookup = context_lookup,
	.insert = context_insert,
	.del = context_del,
	.bump = context_bump,
};

} // namespace

BENCH_BACKEND(ops);
