/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture: what its files share.
 *
 *   torture.c  threads that come and go, the supervisor, the report
 *   ops.c      the operations on contexts          (tables: who does what,
 *   world.c    the operations on streams and all    how often, see struct op)
 *              else
 *   modules.c  owners that register, attach at open and leave
 *   places.c   where contexts hang: registries that are replaced, embedded
 *              streams that are torn down and made again
 *   record.c   the contexts' owner: canaries, states, ledger; what is wrong
 *
 * A worker is a thread's identity.  A thread may exit with streams open and
 * references held: the next thread of the same worker goes on with them.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include "test.h"

#define WORKERS_MAX  64
#define GUESTS_MAX   128 /* threads that run callbacks */
#define HANDLES_MAX  3000
#define HOLDS_MAX    64
#define HOSTS        12
#define HOT_IDS      16
#define BRIEF_IDS    4 /* more hot ones, whose last close is never far */
#define COLD_IDS     65536
#define TRACE        24
#define OPS_MAX      48
#define GENERATION_S 2

/* ---------------------------------------------------------------- records */

/*
 * Owners, by how their contexts may be got at.  What a remove hands back can
 * be freed
 */
enum owner {
	UNREAD,   /* at once: nobody looks it up */
	BORROWED, /* after sctx_synchronize(): nobody takes a reference */
	UNIQUE,   /* through sctx_put(); one of an instance on a stream */
	COUNTED,  /* through sctx_put(), and so all from here on */
	OWNERS = 6,
	MODULES = OWNERS /* a registered owner's; found by those who look for any */
};
#define INSTANCES 3 /* and NULL */

/* ALIVE to CALLED or HANDED, once. */
enum record_state { ALIVE = 0x51, CALLED, HANDED };

/* How long unlinked, as far as its holder knows.  AGED: a grace period. */
enum stage { FRESH, UNLINKED, AGED };

struct event {
	const char *what;
	int worker;
	long long result;
	uint64_t place;
};

struct record {
	uint64_t head; /* canaries, made of the serial number */
	struct sctx_context ctx;
	uint64_t serial;
	uint64_t payload; /* written before publishing and by the callback */
	enum owner owner;
	_Atomic(enum record_state) state;
	_Atomic(enum stage) stage;
	atomic_int readers;        /* inside, with it borrowed */
	atomic_int holds;          /* references in workers' hands */
	atomic_bool moved;         /* was on more than one stream */
	atomic_int links, unlinks; /* MODULES: that its module knows of */
	_Atomic uint64_t home;
	atomic_bool *told; /* set by the callback */
	struct event born, last;
	uint64_t tail;
};

struct worker;

#define RELAXED memory_order_relaxed

struct record *record_new(struct worker *w, enum owner owner, const void *instance, uint64_t home);
/* Of a registered owner, whose ops.free is record_callback(). */
int record_new_of(struct worker *w, struct sctx_owner *owner, uint64_t home, struct record **out);
void record_callback(struct sctx_context *ctx);
/* It goes elsewhere, its holder having got it back. */
void record_move(struct record *record, uint64_t home);
/* It came back: free it without a callback. */
void record_handed_back(struct worker *w, struct record *record);
struct record *record_of(struct sctx_context *ctx);
/* Something happened to it, for the dump. */
void record_note(struct worker *w, struct record *record, const char *what, long long result);

/* Looked up in the caller's section: what must be true now, and until record_leave(). */
struct borrow {
	struct record *record; /* or NULL */
	bool counted;
};
struct borrow record_borrow(struct worker *w, struct sctx_context *ctx, const void *owner,
			    const void *instance, uint64_t place);
void record_leave(struct worker *w, struct borrow borrow);
/* The caller has got a reference. */
void record_hold(struct worker *w, struct record *record);
void record_unhold(struct record *record);

struct ledger {
	unsigned long created, called, handed;
};
struct ledger ledger_now(void);
void quarantine_empty(void);

/* ----------------------------------------------------------------- places */

/* An open reference on a registry's stream. */
struct handle {
	struct sctx_stream *stream;
	uint64_t id, number;
	bool cold;
};

/* A stream in the program's own memory. */
struct host {
	uint64_t head;
	struct sctx_stream stream;
	uint64_t serial;
	unsigned int slot;
	atomic_int pins; /* users outside sections; even slots only */
	uint64_t tail;
};

/* A stream that an operation works on. */
struct place {
	struct sctx_stream *stream;
	uint64_t number;  /* which one, for the checks; never another's */
	uint64_t id;      /* a registry's stream's */
	bool section;     /* the caller is in a read section */
	enum owner least; /* owners from here on have contexts on it */
	struct host *host;
	struct host *pinned;
};

bool place_enter(struct worker *w, struct place *place);
void place_leave(struct worker *w, struct place *place);

struct sctx_registry *registry_hot(void);
void registries_start(void);
/* By the supervisor, now and then: replace the cold registry. */
void registries_tick(void);
void registries_stop(void);
/* Close what is left of the registry that is being replaced. */
void registries_follow(struct worker *w);
uint64_t registries_made(void);

struct hosts_ledger {
	unsigned long made, freed;
};
struct hosts_ledger hosts_now(void);
bool host_make(struct worker *w);
bool host_end(struct worker *w);
void hosts_stop(struct worker *w);

/* Open @id of one of the registries, count it; what sctx_open() said. */
int stream_open(struct worker *w, bool cold, uint64_t id, unsigned int flags,
		struct sctx_stream **stream);
void stream_close(struct worker *w, struct sctx_stream *stream);
uint64_t place_number(const struct worker *w, bool cold, uint64_t id);
void handle_add(struct worker *w, struct sctx_stream *stream, bool cold, uint64_t id);
void handle_close(struct worker *w, unsigned int index);
unsigned long streams_opened(void);
unsigned long streams_closed(void);

/* ---------------------------------------------------------------- workers */

/* What an operation came to: for the count. */
enum outcome { DONE, REFUSED, NOTHING };

struct op {
	const char *name;
	enum outcome (*fn)(struct worker *w);
	unsigned int weight; /* of a million */
	bool seldom;         /* a short run may do without */
};

extern const struct op context_ops[], world_ops[];
extern const size_t n_context_ops, n_world_ops;

/* Modules: see modules.c. */
enum outcome op_module_enter(struct worker *w);
enum outcome op_module_use(struct worker *w);
enum outcome op_module_leave(struct worker *w);
/* True if it is gone. */
bool module_leave(struct worker *w);
unsigned long modules_left(void);

/* A reference held; @back: the stream's, got back by a remove. */
struct hold {
	struct record *record;
	bool back;
};

struct worker {
	int number; /* from WORKERS_MAX on: guests, in callbacks */
	uint64_t seed;
	bool pinned, sleepy, mortal;
	atomic_bool taken; /* a guest, by a thread */
	const char *now;   /* the operation under way */
	atomic_ulong progress;
	pthread_t thread;
	atomic_bool exited;
	uint64_t cold_seen; /* generation of the cold registry */
	_Atomic uint64_t cold_left;
	struct sctx_registry *cold;
	struct module *module; /* registered, or about to leave */
	unsigned int n_handles, n_holds;
	struct hold hold[HOLDS_MAX];
	unsigned long count[OPS_MAX][3];
	struct event trace[TRACE];
	unsigned int n_trace;
	struct handle handle[HANDLES_MAX];
};

uint64_t roll(struct worker *w, uint64_t n); /* 0 .. n - 1 */
static inline bool one_in(struct worker *w, uint64_t n)
{
	return roll(w, n) == 0;
}

/* For the dump. */
void trace(struct worker *w, const char *what, uint64_t place, long long result);

/* The calling thread's worker; of one that runs callbacks, a guest. */
struct worker *guest(void);
static inline bool is_guest(const struct worker *w)
{
	return w->number >= WORKERS_MAX;
}
extern atomic_bool ending;      /* callbacks make nothing new any more */
extern atomic_bool nowait_used; /* -EAGAIN may come to those who can wait */
extern bool in_child;
extern struct worker *workers[WORKERS_MAX + GUESTS_MAX];
extern unsigned int n_workers;

/* Sleep, with qsbr told. */
void nap_us(unsigned int us);

void holds_drop(struct worker *w);
void work_in_callback(struct worker *w);
/* Open, use, close. */
enum outcome op_brief(struct worker *w);
/* Random limits; or the default ones. */
void limits_change(struct worker *w, bool usual);

/* ------------------------------------------------------------ what is wrong */

/* Prints what is known of it and everybody's last operations, and aborts. */
__attribute__((noreturn, format(printf, 3, 4))) void wrong(struct worker *w, struct record *record,
							   const char *format, ...);
void dump(void);

#define MUST(w, record, cond)                                                                  \
	do {                                                                                   \
		if (!(cond))                                                                   \
			wrong((w), (record), "%s:%d: %s is false", __FILE__, __LINE__, #cond); \
	} while (0)

/* A result is one of those given (up to four; 0 for none). */
#define ALLOW(w, record, rc, a, b, c, d)                                                         \
	do {                                                                                     \
		long long rc_ = (rc);                                                            \
		if (rc_ != (a) && rc_ != (b) && rc_ != (c) && rc_ != (d))                        \
			wrong((w), (record), "%s:%d: %s is %lld", __FILE__, __LINE__, #rc, rc_); \
	} while (0)

#endif /* TORTURE_H */
