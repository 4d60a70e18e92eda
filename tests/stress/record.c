/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture: the contexts' owner.  Every record is counted when made and when it
 * ends, and knows what it is, so that one that is seen, called back or handed
 * back when it must not be says so with its history.
 *
 * The counters in a record are relaxed: the checks are to see what the library
 * orders, not to order it themselves.
 */
#include "torture.h"

#define HEAD    0xfee1900d00000000ull
#define TAIL    0x0ddba11500000000ull
#define PAYLOAD 0xda7a000000000000ull
#define GONE    0xdddddddddddddddduLL

#define GET(field)    atomic_load_explicit(&(field), RELAXED)
#define SET(field, v) atomic_store_explicit(&(field), (v), RELAXED)
#define ADD(field, n) atomic_fetch_add_explicit(&(field), (n), RELAXED)

static atomic_ulong created, called, handed;
static _Atomic uint64_t serial;

struct ledger ledger_now(void)
{
	return (struct ledger){ GET(created), GET(called), GET(handed) };
}

struct record *record_of(struct sctx_context *ctx)
{
	return ctx ? container_of(ctx, struct record, ctx) : NULL;
}

void record_note(struct worker *w, struct record *r, const char *what, long long result)
{
	/* Two at a time may write: it is for reading by people. */
	if (!TEST_TSAN)
		r->last = (struct event){ what, w->number, result, GET(r->home) };
}

/* --------------------------------------------------------------- quarantine */

/*
 * What has ended is kept for a while, so that who comes late finds out what it
 * was.  Sanitizers know by themselves; a forked child must not take the lock.
 */
#define QUARANTINE 8192
static pthread_mutex_t quarantine_lock = PTHREAD_MUTEX_INITIALIZER;
static struct record *quarantine[QUARANTINE];
static unsigned int quarantine_next;

static void memory_free(struct record *r)
{
	struct record *oldest = r;

	r->head = r->tail = GONE;
	if (!TEST_ASAN && !TEST_TSAN && !in_child) {
		pthread_mutex_lock(&quarantine_lock);
		oldest = quarantine[quarantine_next];
		quarantine[quarantine_next] = r;
		quarantine_next = (quarantine_next + 1) % QUARANTINE;
		pthread_mutex_unlock(&quarantine_lock);
	}
	free(oldest);
}

void quarantine_empty(void)
{
	for (unsigned int i = 0; i < QUARANTINE; i++) {
		free(quarantine[i]);
		quarantine[i] = NULL;
	}
}

/* ------------------------------------------------------------ life and death */

static void check_canaries(struct worker *w, struct record *r, const char *when)
{
	if (r->head != (HEAD ^ r->serial) || r->tail != (TAIL ^ r->serial))
		wrong(w, r, "%s: the canaries are dead", when);
	if (r->payload != (PAYLOAD ^ r->serial))
		wrong(w, r, "%s: the payload is %#llx", when, (unsigned long long)r->payload);
}

/* Exactly one end. */
static void end(struct worker *w, struct record *r, enum record_state how)
{
	enum record_state before = atomic_exchange_explicit(&r->state, how, RELAXED);

	if (before != ALIVE)
		wrong(w, r, "%s after it was %s", how == CALLED ? "called back" : "handed back",
		      before == CALLED   ? "called back"
		      : before == HANDED ? "handed back"
					 : "who knows what");
	check_canaries(w, r, how == CALLED ? "in the callback" : "when handed back");
	/* A child has the counts of threads that it has not. */
	if (!in_child && GET(r->readers) != 0)
		wrong(w, r, "it ends with %d readers inside", GET(r->readers));
	if (!in_child && GET(r->holds) != 0)
		wrong(w, r, "it ends with %d references held", GET(r->holds));
}

void record_callback(struct sctx_context *ctx)
{
	struct record *r = record_of(ctx);
	struct worker *w = guest();

	end(w, r, CALLED);
	if (r->owner == UNREAD || one_in(w, 64)) {
		int rc = sctx_synchronize();

		if (rc != -EDEADLK)
			wrong(w, r, "a callback may wait: %d", rc);
	}
	record_note(w, r, "callback", 0);
	r->payload = GONE;
	if (r->told)
		atomic_store(r->told, true);
	ADD(called, 1);
	memory_free(r);
	/* Not in the middle of a worker's own operation. */
	if (!in_child && !GET(ending) && is_guest(w))
		work_in_callback(w);
}

void record_handed_back(struct worker *w, struct record *r)
{
	end(w, r, HANDED);
	record_note(w, r, "handed back", 0);
	r->payload = GONE;
	ADD(handed, 1);
	memory_free(r);
}

static struct record *record_alloc(struct worker *w, enum owner owner, uint64_t home)
{
	struct record *r = calloc(1, sizeof(*r));

	CHECK(r);
	r->serial = ADD(serial, 1);
	r->head = HEAD ^ r->serial;
	r->tail = TAIL ^ r->serial;
	r->payload = PAYLOAD ^ r->serial;
	r->owner = owner;
	r->state = ALIVE;
	SET(r->home, home);
	r->born = (struct event){ w->now, w->number, 0, home };
	return r;
}

struct record *record_new(struct worker *w, enum owner owner, const void *instance, uint64_t home)
{
	struct record *r = record_alloc(w, owner, home);

	CHECK_EQ(sctx_context_init(&r->ctx, OWNER(owner), instance, record_callback), 0);
	ADD(created, 1);
	return r;
}

int record_new_of(struct worker *w, struct sctx_owner *owner, uint64_t home, struct record **out)
{
	struct record *r = record_alloc(w, MODULES, home);
	int rc = sctx_owner_context_init(owner, &r->ctx, NULL);

	*out = rc ? NULL : r;
	if (rc)
		free(r);
	else
		ADD(created, 1);
	return rc;
}

void record_move(struct record *r, uint64_t home)
{
	SET(r->stage, FRESH);
	SET(r->moved, true);
	atomic_store_explicit(&r->home, home, memory_order_release);
}

/* ------------------------------------------------------------------ readers */

static void check_borrowed(struct worker *w, struct record *r, const char *when)
{
	enum record_state state = GET(r->state);

	if (state != ALIVE)
		wrong(w, r, "%s: it was %s", when, state == CALLED ? "called back" : "handed back");
	check_canaries(w, r, when);
	if (GET(r->stage) == AGED)
		wrong(w, r, "%s: unlinked a grace period ago", when);
}

struct borrow record_borrow(struct worker *w, struct sctx_context *ctx, const void *owner,
			    const void *instance, uint64_t place)
{
	struct record *r = record_of(ctx);
	/* Not always: counting is a fence. */
	struct borrow borrow = { r, one_in(w, 2) };

	if (!ctx)
		return (struct borrow){ NULL, false };
	if (borrow.counted)
		ADD(r->readers, 1);
	check_borrowed(w, r, "found");
	if (owner && ctx->owner != owner)
		wrong(w, r, "found, but its owner is another");
	if (instance && ctx->instance != instance)
		wrong(w, r, "found, but its instance is another");
	/* Acquire: who sees the new home sees that it moved. */
	if (atomic_load_explicit(&r->home, memory_order_acquire) != place && !GET(r->moved))
		wrong(w, r, "found on %#llx", (unsigned long long)place);
	return borrow;
}

void record_leave(struct worker *w, struct borrow borrow)
{
	if (!borrow.record)
		return;
	check_borrowed(w, borrow.record, "at the end of the section");
	if (borrow.counted)
		ADD(borrow.record->readers, -1);
}

void record_hold(struct worker *w, struct record *r)
{
	ADD(r->holds, 1);
	if (GET(r->state) != ALIVE)
		wrong(w, r, "ended when a reference was got");
	check_canaries(w, r, "when a reference was got");
}

void record_unhold(struct record *r)
{
	ADD(r->holds, -1);
}

/* ------------------------------------------------------------ what is wrong */

static atomic_bool something_wrong;

static const char *name_of(enum record_state state)
{
	return state == ALIVE ? "alive" : state == CALLED ? "called back" : "handed back";
}

static void print_event(const char *label, const struct event *e)
{
	if (e->what)
		fprintf(stderr, "  %s: %s by worker %d, result %lld, place %#llx\n", label, e->what,
			e->worker, e->result, (unsigned long long)e->place);
}

static void print_record(const struct record *r)
{
	const struct sctx_context *c = &r->ctx;

	fprintf(stderr,
		"  record %p: number %llu, owner %d, %s, stage %d, readers %d, holds %d%s\n"
		"  context: owner %p instance %p stream %p next %p refs %u\n",
		(const void *)r, (unsigned long long)r->serial, r->owner, name_of(GET(r->state)),
		GET(r->stage), GET(r->readers), GET(r->holds), GET(r->moved) ? ", moved" : "",
		c->owner, c->instance, (void *)c->stream, (void *)c->next, c->refs);
	print_event("born", &r->born);
	print_event("last", &r->last);
}

static void print_trace(const struct worker *w)
{
	fprintf(stderr, "worker %d: in %s; %u handles, %u holds; last:\n", w->number,
		w->now ? w->now : "nothing", w->n_handles, w->n_holds);
	for (unsigned int i = 0; i < TRACE; i++) {
		const struct event *e = &w->trace[(w->n_trace + i) % TRACE];

		if (e->what)
			fprintf(stderr, "  %-16s place %#llx result %lld\n", e->what,
				(unsigned long long)e->place, e->result);
	}
}

void dump(void)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	for (unsigned int i = 0; i < ARRAY_SIZE(workers); i++)
		if (workers[i] && workers[i]->n_trace)
			print_trace(workers[i]);
	if (sctx_stats_get(&stats) == 0)
		fprintf(stderr, "limbo: %llu callbacks, %llu bytes; %llu run, %llu grace periods\n",
			(unsigned long long)stats.limbo_callbacks,
			(unsigned long long)stats.limbo_bytes,
			(unsigned long long)stats.callbacks_run,
			(unsigned long long)stats.grace_periods);
}

void wrong(struct worker *w, struct record *r, const char *format, ...)
{
	va_list args;

	/* The first to find something tells of it; others stand still. */
	if (atomic_exchange(&something_wrong, true))
		for (;;)
			pause();
	fflush(stdout);
	alarm(20); /* if the dump itself does not return */
	fprintf(stderr, "WRONG (worker %d, %s%s): ", w ? w->number : -1, w && w->now ? w->now : "-",
		in_child ? ", child" : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	if (r)
		print_record(r);
	dump();
	abort();
}
