/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slots, actors, callbacks, and what is checked whatever happens: see world.h. */
#include "world.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

struct world world;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char names[2 * OWNERS];

void world_die(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

void world_lock(void)
{
	pthread_mutex_lock(&lock);
	m_now++;
}

void world_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

/* ------------------------------------------- what the library is linked with */

static __thread unsigned int fail_in;
static __thread bool failed;

static bool fails_now(void)
{
	if (!fail_in || --fail_in)
		return false;
	failed = true;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails_now() ? NULL : __real_aligned_alloc(align, size);
}

void *__real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return fails_now() ? MAP_FAILED : __real_mmap(addr, length, prot, flags, fd, offset);
}

/* The same input is to take the same way through the table. */
ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned int flags);
ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned int flags)
{
	(void)flags;
	memset(buffer, 0x5c, length);
	return (ssize_t)length;
}

void call_begin(struct actor *a)
{
	failed = false;
	fail_in = a->fail;
	a->fail = 0;
}

bool call_end(const struct actor *a, int error, enum creates creates)
{
	bool refused = world.tight && creates != CREATES_NOT &&
		       (world.nowait || world.mode == SCTX_RECLAIM_POLL ||
			creates == CREATES_NOWAIT || !may_wait(a));

	fail_in = 0;
	return (error == -ENOMEM && failed) || (error == -EAGAIN && refused);
}

/* ------------------------------------------------------------------- actors */

unsigned int take(struct actor *a, unsigned int below)
{
	return a->in < a->end ? *a->in++ % below : 0;
}

const void *take_owner(struct actor *a)
{
	unsigned int n = take(a, OWNERS);

	if (n == OWNERS - 1 && world.module.owner)
		return world.module.owner;
	return n ? &names[n] : NULL;
}

const void *take_instance(struct actor *a)
{
	unsigned int n = take(a, OWNERS);

	return n ? &names[OWNERS + n] : NULL;
}

void section_begin(struct actor *a)
{
	sctx_read_lock();
	if (a->depth++ == 0)
		a->since = ++m_now;
}

void section_end(struct actor *a)
{
	a->depth--;
	sctx_read_unlock();
}

bool guarded(const struct actor *a, uint64_t when)
{
	return a->depth && when >= a->since;
}

bool may_wait(const struct actor *a)
{
	return !a->in_callback && !a->depth && !a->walking;
}

/* What was due at @before has been called back. */
void check_settled(uint64_t before)
{
	for (size_t i = 0; i < ITEMS; i++) {
		struct item *item = &world.items[i];

		if (!item->body || item->m.put_at > before)
			continue;
		if (m_context_due(&item->m) && item->m.put_again <= before)
			DIE("context %zu, put before, is not called back", i);
		/* What limbo held since @put_at it has let go. */
		item->m.put_at = item->m.put_again;
		item->m.revived = false;
	}
}

void barrier(void)
{
	uint64_t before = m_now;
	int error;

	world_unlock();
	error = sctx_barrier();
	world_lock();
	EXPECT(error, 0);
	check_settled(before);
}

/* Callbacks that act may each put one more that acts, but what they make does not act. */
void settle(void)
{
	for (int i = 0; m_due || world.retired_streams; i++) {
		CHECK(i < ITEMS + 2);
		barrier();
	}
}

bool step(struct actor *a)
{
	const struct ops *const all[] = { &context_ops, &stream_ops, &other_ops, &batch_ops,
					  &memory_ops };
	size_t total = 0, op;

	if (a->in == a->end)
		return false;
	if (world.tight && !world.nowait && may_wait(a))
		settle(); /* else it would wait for callbacks that wait for us */
	m_now++;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		total += all[i]->count;
	op = take(a, (unsigned int)total);
	for (size_t i = 0;; op -= all[i++]->count)
		if (op < all[i]->count) {
			all[i]->fn[op](a);
			module_check();
			return true;
		}
}

/* ---------------------------------------------------------------- callbacks */

static void act(struct item *item)
{
	struct actor a = {
		.in = item->script,
		.end = item->script + item->script_length,
		.in_callback = true,
	};

	while (step(&a))
		continue;
	while (a.depth)
		section_end(&a);
}

void item_called_back(struct sctx_context *ctx)
{
	struct item *item, gone;

	world_lock();
	item = item_of(ctx);
	if (!m_context_due(&item->m))
		DIE("called back, but held %u times and %s", item->m.held,
		    item->m.on ? "on a stream" : "nowhere");
	if (guarded(&world.main, item->m.put_at) || guarded(&world.main, item->borrowed_at))
		DIE("called back under a reader");
	m_context_freed(&item->m);
	gone = *item;
	item->body = NULL;
	act(&gone);
	memset(gone.body, 0xdd, sizeof(*gone.body));
	free(gone.body);
	world_unlock();
}

void list_free(struct sctx_stream *stream)
{
	world_lock();
	for (size_t i = 0; i < GHOSTS; i++) {
		struct ghost *ghost = &world.ghosts[i];

		if (ghost->stream != stream || ghost->managed)
			continue;
		if (guarded(&world.main, ghost->since))
			DIE("stream freed under a reader");
		ghost->stream = NULL;
	}
	CHECK(world.retired_streams-- > 0);
	memset(stream, 0xdd, sizeof(*stream));
	free(stream);
	world_unlock();
}

/* ----------------------------------------------------------------- contexts */

static bool is_there(const struct actor *a, const struct item *item)
{
	return item->body && (item->m.held || item->m.on || guarded(a, item->m.put_at));
}

struct item *item_of(struct sctx_context *ctx)
{
	struct body *body = (struct body *)ctx;

	CHECK(body->item >= world.items && body->item < world.items + ITEMS);
	CHECK(body->item->body == body);
	return body->item;
}

struct sctx_context *real(struct m_context *c)
{
	return c ? &((struct item *)c)->body->ctx : NULL;
}

/* False if the module takes no new ones. */
static bool context_init(struct item *item, const void *owner, const void *instance)
{
	struct sctx_context *ctx = &item->body->ctx;

	item->module = owner == world.module.owner;
	if (!item->module) {
		EXPECT(sctx_context_init(ctx, owner, instance, item_called_back), 0);
		return true;
	}
	EXPECT(sctx_owner_context_init(world.module.owner, ctx, instance),
	       world.module.leaving ? -ESHUTDOWN : 0);
	return !world.module.leaving;
}

struct item *item_new(struct actor *a, const void *owner, const void *instance)
{
	struct item *item = world.items;

	while (item->body)
		if (++item == world.items + ITEMS)
			return NULL;
	*item = (struct item){ .body = calloc(1, sizeof(*item->body)) };
	CHECK(item->body);
	item->body->item = item;
	m_context_init(&item->m, owner, instance);
	if (!context_init(item, owner, instance)) {
		item_free_at_once(item);
		return NULL;
	}
	if (!a->in_callback)
		item->script_length = take(a, 4) ? 0 : take(a, SCRIPT + 1);
	for (size_t i = 0; i < item->script_length; i++)
		item->script[i] = (unsigned char)take(a, 256);
	return item;
}

struct item *take_item(struct actor *a)
{
	unsigned int first = take(a, ITEMS);

	for (unsigned int i = 0; i < ITEMS; i++) {
		struct item *item = &world.items[(first + i) % ITEMS];

		if (is_there(a, item))
			return item;
	}
	return NULL;
}

void item_free_at_once(struct item *item)
{
	struct body *body = item->body;

	item->body = NULL;
	memset(body, 0xdd, sizeof(*body));
	free(body);
}

/* ------------------------------------------------------------------ streams */

struct slot *take_slot(struct actor *a)
{
	unsigned int first = take(a, STREAMS);

	for (unsigned int i = 0; i < STREAMS; i++) {
		struct slot *s = &world.slots[(first + i) % STREAMS];

		if (s->stream)
			return s;
	}
	return NULL;
}

/* Bytes that differ in one place only, and none at all. */
static struct sctx_id id_of(unsigned int n)
{
	struct sctx_id id = { 0, { 0, 0 }, 0 };

	if (n == 1)
		memset(&id, 0xff, sizeof(id));
	else if (n)
		((unsigned char *)&id)[n * 5 % sizeof(id)] = (unsigned char)n;
	return id;
}

struct slot *take_managed(struct actor *a)
{
	unsigned int n = take(a, REGISTRIES * IDS);
	struct slot *s = &world.slots[LISTS + n];

	s->registry = world.registries[n / IDS];
	s->id = id_of(n % IDS);
	return s->registry ? s : NULL;
}

struct slot *take_list(struct actor *a)
{
	struct slot *s = &world.slots[take(a, LISTS)];

	if (s->stream)
		return s->pointer ? NULL : s;
	s->stream = calloc(1, sizeof(*s->stream));
	CHECK(s->stream);
	s->m = (struct m_stream){ .ready = false };
	s->registry = NULL;
	s->blank = true;
	s->incarnation++;
	return s;
}

void slot_gone(struct slot *s)
{
	world.ghosts[world.next_ghost++ % GHOSTS] = (struct ghost){
		.stream = s->stream,
		.id = s->id,
		.managed = s->registry != NULL,
		.since = m_now,
	};
	s->stream = NULL;
	s->m = (struct m_stream){ .ready = false };
}

const struct ghost *take_ghost(struct actor *a)
{
	const struct ghost *ghost = &world.ghosts[take(a, GHOSTS)];

	for (int i = 0; i < GHOSTS; i++) {
		if (ghost->stream && guarded(a, ghost->since))
			return ghost;
		if (++ghost == world.ghosts + GHOSTS)
			ghost = world.ghosts;
	}
	return NULL;
}

/* --------------------------------------------------------------- begin, end */

void world_begin(const unsigned char *data, size_t size)
{
	memset(&world, 0, sizeof(world));
	world.main.in = data;
	world.main.end = data + size;
	world_lock();
}

static void put_all(void)
{
	for (size_t i = 0; i < ITEMS; i++)
		while (world.items[i].body && world.items[i].m.held) {
			EXPECT(sctx_put(&world.items[i].body->ctx), 0);
			m_put(&world.items[i].m);
		}
}

static void close_all(void)
{
	for (struct slot *s = world.slots; s < world.slots + STREAMS; s++) {
		if (!s->stream)
			continue;
		m_teardown(&s->m);
		if (s->registry) {
			for (; s->m.opens; s->m.opens--)
				EXPECT(sctx_close(s->stream), 0);
			s->stream = NULL;
		} else if (s->pointer) {
			s->stream = NULL;
			EXPECT(sctx_stream_drop(&s->pointer), 0);
		} else {
			struct sctx_stream *stream = s->stream;

			EXPECT(sctx_teardown(stream), 0);
			s->stream = NULL;
			barrier();
			free(stream);
		}
	}
}

static void destroy_all(void)
{
	for (int i = 0; i < REGISTRIES; i++) {
		if (world.registries[i])
			EXPECT(sctx_registry_destroy(world.registries[i]), 0);
		world.registries[i] = NULL;
	}
}

static void check_empty(void)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	for (size_t i = 0; i < ITEMS; i++)
		CHECK(!world.items[i].body);
	barrier();
	EXPECT(sctx_stats_get(&stats), 0);
	EXPECT(stats.limbo_callbacks, 0);
	EXPECT(stats.limbo_bytes, 0);
}

void limits_reset(void)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
		.mode = world.mode,
	};

	EXPECT(sctx_reclaim_configure(&options), 0);
	world.tight = false;
}

/* The thread that ends may be in a callback. */
void mode_set(enum sctx_reclaim_mode mode)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
		.mode = mode,
	};
	int error;

	world_unlock();
	error = sctx_reclaim_configure(&options);
	world_lock();
	EXPECT(error, 0);
	world.mode = mode;
	world.tight = false;
}

/* Callbacks that act may have made more: those act no further. */
void world_end(void)
{
	struct actor *a = &world.main;

	while (a->depth)
		section_end(a);
	mode_set(SCTX_RECLAIM_THREAD);
	for (int i = 0; i < 3; i++) {
		settle();
		put_all();
		close_all();
		settle();
	}
	if (world.module.owner)
		module_unregister(true);
	CHECK(!world.module.owner);
	destroy_all();
	blocks_free();
	limits_reset(); /* a callback may have changed them */
	check_empty();
	world_unlock();
}
