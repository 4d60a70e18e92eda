/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header from C++, as a C++ daemon would use it: cxx_inline.cc is the same
 * with SCTX_INLINE.
 */
#include <streamctx.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#define CHECK(cond)                                                                              \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			std::fprintf(stderr, "%s:%d: %s is false\n", __FILE__, __LINE__, #cond); \
			std::abort();                                                            \
		}                                                                                \
	} while (0)

namespace
{

const char module = 0;
std::atomic<int> alive{ 0 };

/* The owner's structure: a class with members that have destructors. */
class Audit
{
      public:
	static sctx_context *create(const void *owner, const void *instance, void *arg)
	{
		Audit *audit = new Audit(*static_cast<const std::string *>(arg));

		CHECK(sctx_context_init(&audit->ctx, owner, instance, &Audit::release) == 0);
		return &audit->ctx;
	}

	static Audit *of(sctx_context *ctx)
	{
		return reinterpret_cast<Audit *>(ctx);
	}

	const std::string &name() const
	{
		return path;
	}

      private:
	explicit Audit(const std::string &name_) : ctx(), path(name_)
	{
		++alive;
	}

	~Audit()
	{
		--alive;
	}

	static void release(sctx_context *ctx)
	{
		delete of(ctx);
	}

	sctx_context ctx;
	std::string path;
};

class Section
{
      public:
	Section()
	{
		sctx_read_lock();
	}
	~Section()
	{
		sctx_read_unlock();
	}
	Section(const Section &) = delete;
	Section &operator=(const Section &) = delete;
};

int count(sctx_stream *stream, void *arg)
{
	CHECK(sctx_stream_id(stream) != nullptr);
	++*static_cast<int *>(arg);
	return 0;
}

void work(sctx_registry *registry, unsigned int thread)
{
	for (unsigned int i = 0; i < 500; i++) {
		sctx_id id = {};
		sctx_stream *stream = nullptr;
		sctx_context *ctx = nullptr;
		std::string name = "file number " + std::to_string((i + thread) % 16);

		id.volume = (i + thread) % 16;
		CHECK(sctx_open(registry, &id, 0, &stream) == 0);
		CHECK(sctx_get_or_create(stream, &module, nullptr, Audit::create, &name, &ctx) ==
		      0);
		CHECK(Audit::of(ctx)->name() == name);
		{
			Section section;

			CHECK(sctx_find(registry, &id) == stream);
			CHECK(sctx_lookup(stream, &module, nullptr) == ctx);
		}
		CHECK(sctx_put(ctx) == 0);
		CHECK(sctx_close(stream) == 0);
	}
	sctx_thread_offline();
}

} // namespace

int main()
{
	sctx_registry *registry = nullptr;
	sctx_reclaim_options options = {};
	sctx_stats stats = {};
	std::vector<std::thread> threads;
	int streams = 0;

	options.size = sizeof(options);
	options.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT;
	options.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT;
	CHECK(sctx_reclaim_configure(&options) == 0);
	CHECK(std::string(sctx_version()).find(SCTX_VERSION) == 0);
	CHECK(sctx_registry_create(&registry) == 0);

	for (unsigned int i = 0; i < 3; i++)
		threads.emplace_back(work, registry, i);
	sctx_thread_offline();
	for (std::thread &thread : threads)
		thread.join();

	CHECK(sctx_registry_for_each(registry, count, &streams) == 0);
	CHECK(streams == 0);
	CHECK(sctx_registry_destroy(registry) == 0);
	CHECK(sctx_barrier() == 0);
	CHECK(alive == 0);
	stats.size = sizeof(stats);
	CHECK(sctx_stats_get(&stats) == 0);
	CHECK(stats.limbo_callbacks == 0);

	/* An embedded stream, and a context with nothing to free. */
	sctx_stream stream;
	sctx_context plain;

	CHECK(sctx_stream_init(&stream) == 0);
	CHECK(sctx_context_init(&plain, &module, nullptr, SCTX_NO_FREE) == 0);
	CHECK(sctx_insert(&stream, &plain) == 0);
	CHECK(sctx_insert(&stream, &plain) == -EBUSY);
	CHECK(sctx_teardown_sync(&stream) == 0);
	return 0;
}
