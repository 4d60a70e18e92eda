/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture: where contexts hang.
 *
 * The hot registry stays; the cold one grows to tens of thousands of streams
 * and is replaced every few seconds, so that a table is growing most of the
 * time.  Who has seen the replacement and closed what he had of the old one
 * says so; when all have, it is destroyed, which must succeed.
 *
 * Embedded streams stand in slots.  Users find them in a read section, and may
 * pin those of even slots to use them outside.  Who takes one out of its slot
 * ends it: synchronously, through limbo, or to make another in its memory.
 */
#include "torture.h"

#define HOST_HEAD 0x5701ed0000000000ull
#define HOST_TAIL 0xb01dface00000000ull

/* --------------------------------------------------------------- registries */

static struct sctx_registry *hot, *old;
static _Atomic(struct sctx_registry *) cold;
static _Atomic uint64_t generation;
static uint64_t next_generation_at;
static atomic_ulong opened, closed;

struct sctx_registry *registry_hot(void)
{
	return hot;
}

uint64_t registries_made(void)
{
	return atomic_load(&generation) + 1;
}

static void cold_replace(void)
{
	struct sctx_registry *registry;

	CHECK_EQ(sctx_registry_create(&registry), 0);
	old = atomic_load(&cold);
	atomic_store(&cold, registry);
	atomic_fetch_add(&generation, 1);
	next_generation_at = now_ns() + GENERATION_S * 1000000000ull;
}

void registries_start(void)
{
	CHECK_EQ(sctx_registry_create(&hot), 0);
	cold_replace();
}

static bool everyone_has_left(void)
{
	for (unsigned int i = 0; i < n_workers; i++)
		if (atomic_load(&workers[i]->cold_left) != atomic_load(&generation))
			return false;
	return true;
}

void registries_tick(void)
{
	if (old && everyone_has_left()) {
		int rc = sctx_registry_destroy(old);

		if (rc)
			wrong(NULL, NULL, "destroy of a registry that all have left is %d", rc);
		old = NULL;
	}
	if (!old && now_ns() > next_generation_at)
		cold_replace();
}

void registries_follow(struct worker *w)
{
	uint64_t now = atomic_load(&generation);

	if (now == w->cold_seen)
		return;
	for (unsigned int i = w->n_handles; i-- > 0;)
		if (w->handle[i].cold)
			handle_close(w, i);
	w->cold = atomic_load(&cold);
	w->cold_seen = now;
	atomic_store(&w->cold_left, now);
}

static int must_be_empty(struct sctx_stream *stream, void *arg)
{
	(void)arg;
	wrong(NULL, NULL, "id %llu is open after all was closed",
	      (unsigned long long)id_number(sctx_stream_id(stream)));
}

/* All workers have closed all. */
void registries_stop(void)
{
	struct sctx_registry *last[] = { hot, atomic_load(&cold), old };

	for (unsigned int i = 0; i < ARRAY_SIZE(last); i++) {
		if (!last[i])
			continue;
		CHECK_EQ(sctx_registry_for_each(last[i], must_be_empty, NULL), 0);
		CHECK_EQ(sctx_registry_destroy(last[i]), 0);
	}
}

/* ------------------------------------------------------------------ handles */

unsigned long streams_opened(void)
{
	return atomic_load(&opened);
}

unsigned long streams_closed(void)
{
	return atomic_load(&closed);
}

/* A number for each stream's whole life in the world, for the checks. */
uint64_t place_number(const struct worker *w, bool is_cold, uint64_t id)
{
	return is_cold ? w->cold_seen << 32 | (1u << 20) | id : id + 1;
}

int stream_open(struct worker *w, bool is_cold, uint64_t id, unsigned int flags,
		struct sctx_stream **stream)
{
	struct sctx_id sctx_id = id_of(id);
	int rc = sctx_open(is_cold ? w->cold : hot, &sctx_id, flags, stream);

	MUST(w, NULL, (rc == 0) == (*stream != NULL));
	if (rc)
		return rc;
	atomic_fetch_add_explicit(&opened, 1, memory_order_relaxed);
	MUST(w, NULL, id_number(sctx_stream_id(*stream)) == id);
	return 0;
}

void stream_close(struct worker *w, struct sctx_stream *stream)
{
	int rc = sctx_close(stream);

	if (rc)
		wrong(w, NULL, "close of an open stream is %d", rc);
	atomic_fetch_add_explicit(&closed, 1, memory_order_relaxed);
}

void handle_add(struct worker *w, struct sctx_stream *stream, bool is_cold, uint64_t id)
{
	w->handle[w->n_handles++] =
		(struct handle){ stream, id, place_number(w, is_cold, id), is_cold };
}

void handle_close(struct worker *w, unsigned int index)
{
	struct sctx_stream *stream = w->handle[index].stream;

	MUST(w, NULL, id_number(sctx_stream_id(stream)) == w->handle[index].id);
	w->handle[index] = w->handle[--w->n_handles];
	stream_close(w, stream);
}

/* -------------------------------------------------------------------- hosts */

static _Atomic(struct host *) slot[HOSTS];
static atomic_ulong hosts_made, hosts_freed;
static _Atomic uint64_t host_serial;

struct hosts_ledger hosts_now(void)
{
	return (struct hosts_ledger){ atomic_load(&hosts_made), atomic_load(&hosts_freed) };
}

static void host_check(struct worker *w, const struct host *host, const char *when)
{
	if (host->head != (HOST_HEAD ^ host->serial) || host->tail != (HOST_TAIL ^ host->serial))
		wrong(w, NULL, "%s: the canaries of embedded stream %p are dead", when,
		      (const void *)host);
}

static void host_begin(struct host *host)
{
	host->serial = atomic_fetch_add(&host_serial, 1) | 1ull << 63;
	host->head = HOST_HEAD ^ host->serial;
	host->tail = HOST_TAIL ^ host->serial;
	CHECK_EQ(sctx_stream_init(&host->stream), 0);
	atomic_fetch_add(&hosts_made, 1);
}

static void host_free(struct host *host)
{
	host_check(NULL, host, "freed");
	memset(host, 0xdd, sizeof(*host));
	free(host);
	atomic_fetch_add(&hosts_freed, 1);
}

static void host_free_fn(struct sctx_stream *stream)
{
	host_free(container_of(stream, struct host, stream));
}

static bool host_publish(struct host *host)
{
	struct host *none = NULL;

	return atomic_compare_exchange_strong(&slot[host->slot], &none, host);
}

bool host_make(struct worker *w)
{
	unsigned int at = (unsigned int)roll(w, HOSTS);
	struct host *host;

	if (atomic_load(&slot[at]))
		return false;
	host = calloc(1, sizeof(*host));
	CHECK(host);
	host->slot = at;
	host_begin(host);
	if (host_publish(host))
		return true;
	host_free(host); /* nobody has seen it */
	return false;
}

/* Nobody is left in it: of UNIQUE contexts there is one of each, at most. */
static void check_unique(struct worker *w, struct host *host)
{
	for (unsigned int i = 0; i < INSTANCES; i++) {
		struct sctx_context *one = sctx_remove(&host->stream, OWNER(UNIQUE), INST(i));
		struct sctx_context *two = sctx_remove(&host->stream, OWNER(UNIQUE), INST(i));

		if (two)
			wrong(w, record_of(two), "two of one instance that is to be unique");
		if (one)
			CHECK_EQ(sctx_put(one), 0);
	}
}

/* Those who pinned it did so in sections that began before it left its slot. */
static void wait_for_pins(struct worker *w, struct host *host)
{
	CHECK_EQ(sctx_synchronize(), 0);
	while (atomic_load_explicit(&host->pins, memory_order_acquire))
		nap_us(20);
	check_unique(w, host);
}

static void check_torn(struct worker *w, struct host *host)
{
	struct record *r = record_new(w, COUNTED, NULL, host->serial);
	int rc;

	MUST(w, NULL, !sctx_stream_supports_contexts(&host->stream));
	sctx_read_lock();
	MUST(w, NULL, !sctx_lookup(&host->stream, NULL, NULL));
	rc = sctx_insert(&host->stream, &r->ctx);
	sctx_read_unlock();
	ALLOW(w, r, rc, -ESHUTDOWN, -EAGAIN, -ESHUTDOWN, -ESHUTDOWN);
	record_handed_back(w, r);
}

static void host_finish(struct worker *w, struct host *host)
{
	uint64_t how = roll(w, 4);

	host_check(w, host, "ended");
	if (how < 2) {
		CHECK_EQ(sctx_stream_retire(&host->stream, host_free_fn), 0);
		return;
	}
	CHECK_EQ(sctx_teardown_sync(&host->stream), 0);
	check_torn(w, host);
	if (how == 2) {
		host_free(host);
		return;
	}
	/* Another one in the same memory. */
	atomic_fetch_add(&hosts_freed, 1);
	host_begin(host);
	if (!host_publish(host))
		host_free(host);
}

bool host_end(struct worker *w)
{
	struct host *host = atomic_exchange(&slot[roll(w, HOSTS)], NULL);

	if (!host)
		return false;
	if (host->slot % 2 == 0)
		wait_for_pins(w, host);
	host_finish(w, host);
	return true;
}

void hosts_stop(struct worker *w)
{
	for (unsigned int i = 0; i < HOSTS; i++) {
		struct host *host = atomic_exchange(&slot[i], NULL);

		if (!host)
			continue;
		check_unique(w, host);
		CHECK_EQ(sctx_stream_retire(&host->stream, host_free_fn), 0);
	}
}

/* ------------------------------------------------------------------- places */

/* A stream that the worker has open: no section is needed. */
static bool enter_handle(struct worker *w, struct place *p)
{
	const struct handle *handle;

	if (w->n_handles == 0)
		return false;
	handle = &w->handle[roll(w, w->n_handles)];
	p->stream = handle->stream;
	p->number = handle->number;
	p->id = handle->id;
	p->least = handle->cold ? UNIQUE : handle->id % 2 ? UNREAD : BORROWED;
	p->section = one_in(w, 3);
	if (p->section)
		sctx_read_lock();
	return true;
}

/* Whoever may have it open, or close it now. */
static bool enter_found(struct worker *w, struct place *p)
{
	uint64_t n = roll(w, HOT_IDS + BRIEF_IDS);
	struct sctx_id id = id_of(n);

	sctx_read_lock();
	p->stream = sctx_find(hot, &id);
	if (!p->stream) {
		sctx_read_unlock();
		return false;
	}
	MUST(w, NULL, id_number(sctx_stream_id(p->stream)) == n);
	p->number = place_number(w, false, n);
	p->id = n;
	p->least = n % 2 ? UNREAD : BORROWED;
	p->section = true;
	return true;
}

static bool enter_host(struct worker *w, struct place *p)
{
	unsigned int at = (unsigned int)roll(w, HOSTS);
	struct host *host;

	sctx_read_lock();
	host = atomic_load_explicit(&slot[at], memory_order_acquire);
	if (!host) {
		sctx_read_unlock();
		return false;
	}
	host_check(w, host, "found");
	p->host = host;
	p->stream = &host->stream;
	p->number = host->serial;
	p->least = at % 2 ? UNREAD : BORROWED;
	p->section = true;
	if (at % 2 == 0 && one_in(w, 2)) {
		atomic_fetch_add(&host->pins, 1);
		p->pinned = host;
		p->section = false;
		sctx_read_unlock();
	}
	return true;
}

bool place_enter(struct worker *w, struct place *p)
{
	uint64_t kind = roll(w, 10);

	*p = (struct place){ .stream = NULL };
	if (kind < 4 && !is_guest(w))
		return enter_handle(w, p);
	return kind < 7 ? enter_found(w, p) : enter_host(w, p);
}

void place_leave(struct worker *w, struct place *p)
{
	if (p->host)
		host_check(w, p->host, "left");
	else
		MUST(w, NULL, id_number(sctx_stream_id(p->stream)) == p->id);
	if (p->section)
		sctx_read_unlock();
	if (p->pinned)
		atomic_fetch_sub_explicit(&p->pinned->pins, 1, memory_order_release);
}
