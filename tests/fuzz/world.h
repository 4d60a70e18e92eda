/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library and its model side by side: contexts, streams and registries in
 * numbered slots, each with the real thing and the model's, and those who act
 * on them.
 *
 * An actor is the fuzzer's thread or a callback.  Every step of either is made
 * with the world's lock held, in the library and in the model, so that there
 * is one order of events although the reclaimer runs when it likes.  A call
 * that waits for callbacks releases the lock meanwhile.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <errno.h>
#include <streamctx.h>

#include "model.h"

#define OWNERS     4
#define ITEMS      40
#define LISTS      4 /* streams of our own */
#define REGISTRIES 2
#define IDS        24 /* streams of each registry */
#define STREAMS    (LISTS + REGISTRIES * IDS)
#define GHOSTS     64
#define BLOCKS     8 /* of sctx_alloc() */
#define SCRIPT     6 /* bytes of input that a callback acts on */

/* A context in memory of its own, so that ASan sees who comes too late. */
struct body {
	struct sctx_context ctx;
	struct item *item;
};

struct item {
	struct m_context m;    /* first: the model's is ours */
	struct body *body;     /* NULL: no such item */
	bool module;           /* the registered owner's: */
	unsigned int detached; /* how often he was told */
	uint64_t borrowed_at;
	unsigned char script[SCRIPT];
	size_t script_length;
};

struct slot {
	struct m_stream m;
	struct sctx_stream *stream; /* NULL: not open */
	struct sctx_id id;
	struct sctx_registry *registry; /* NULL: a list of our own */
	unsigned int incarnation;
	bool blank;                  /* a list that may be initialised */
	struct sctx_stream *pointer; /* or one behind this, which the library allocated */
};

/* A stream gone from its slot, still good in a section that began before. */
struct ghost {
	struct sctx_stream *stream;
	struct sctx_id id;
	bool managed;
	uint64_t since;
};

struct block {
	unsigned char *memory; /* NULL: none */
	size_t size;
	uint32_t tag;
};

/* The registered owner. */
struct module {
	struct sctx_owner *owner; /* NULL: there is none */
	struct sctx_registry *registry;
	bool leaving;
	bool unregistering; /* just now */
};

struct actor {
	const unsigned char *in, *end;
	bool in_callback;
	unsigned int depth; /* of read sections */
	unsigned int floor; /* of depth: begun by others */
	uint64_t since;     /* of the outermost */
	bool walking;
	unsigned int fail; /* the how-manieth allocation of the next call fails */
};

struct world {
	struct item items[ITEMS];
	struct slot slots[STREAMS];
	struct ghost ghosts[GHOSTS];
	unsigned int next_ghost;
	struct sctx_registry *registries[REGISTRIES];
	struct sctx_registry *walked;
	struct block blocks[BLOCKS];
	struct module module;
	unsigned int retired_streams; /* handed to limbo, not freed */
	bool tight;                   /* limbo has a low limit */
	bool nowait;
	enum sctx_reclaim_mode mode;
	struct actor main;
};
extern struct world world;

typedef void (*op_fn)(struct actor *a);
struct ops {
	const op_fn *fn;
	size_t count;
};
extern const struct ops context_ops, stream_ops, batch_ops, memory_ops, other_ops;

/* One operation, taken from the actor's input.  False at its end. */
bool step(struct actor *a);

/* ------------------------------------------------------------------- checks */

#define DIE(...) world_die(__FILE__, __LINE__, __VA_ARGS__)
__attribute__((noreturn, format(printf, 3, 4))) void world_die(const char *file, int line,
							       const char *format, ...);
#define CHECK(cond)                               \
	do {                                      \
		if (!(cond))                      \
			DIE("not so: %s", #cond); \
	} while (0)
/* @got is what the library said, @want what the model does. */
#define EXPECT(got, want)                                                      \
	do {                                                                   \
		long got_ = (long)(got), want_ = (long)(want);                 \
		if (got_ != want_)                                             \
			DIE("%s is %ld, %s is %ld", #got, got_, #want, want_); \
	} while (0)

/* ------------------------------------------------------------------- actors */

unsigned int take(struct actor *a, unsigned int below);
/* NULL for 0, so that it comes up often. */
const void *take_owner(struct actor *a);
const void *take_instance(struct actor *a);

void section_begin(struct actor *a);
void section_end(struct actor *a);
/* Whether what went into limbo at @when cannot have left it: we are inside since. */
bool guarded(const struct actor *a, uint64_t when);
bool may_wait(const struct actor *a);

/* Let callbacks in, while the caller waits for them. */
void world_unlock(void);
void world_lock(void);
/* sctx_barrier(), and that until nothing is due; the actor may wait. */
void barrier(void);
void settle(void);
void check_settled(uint64_t before); /* what was due then is called back by now */
void limits_reset(void);
/* Who reclaims: the actor may wait. */
void mode_set(enum sctx_reclaim_mode mode);

/* Around a call that may allocate: fails what was asked for. */
void call_begin(struct actor *a);
/* Whether the call may be refused at limbo's limit. */
enum creates { CREATES_NOT, CREATES, CREATES_NOWAIT };
/* Whether @error is one that the surroundings explain, so that nothing happened. */
bool call_end(const struct actor *a, int error, enum creates creates);

/* --------------------------------------------------------- contexts, streams */

/* A new one, initialised, or NULL where there is no room. */
struct item *item_new(struct actor *a, const void *owner, const void *instance);
/* Any whose memory is certainly there, or NULL. */
struct item *take_item(struct actor *a);
struct item *item_of(struct sctx_context *ctx);
struct sctx_context *real(struct m_context *c);
/* Handed back to us by the library, and nobody else has it. */
void item_free_at_once(struct item *item);

/* Any open stream or list, or NULL. */
struct slot *take_slot(struct actor *a);
struct slot *take_managed(struct actor *a); /* open or not; its registry exists */
/* Put an open reference, the last of a stream's included. */
void slot_close(struct actor *a, struct slot *s);
/* Of a stream that was just created. */
void slot_opened(struct slot *s, struct sctx_stream *stream);
/* A list, if need be a new one: zeroed as the caller wants it. */
struct slot *take_list(struct actor *a);
void slot_gone(struct slot *s);
void list_free(struct sctx_stream *stream); /* for sctx_stream_retire() */
const struct ghost *take_ghost(struct actor *a);

/* The callback of all. */
void item_called_back(struct sctx_context *ctx);

void blocks_free(void);

void op_module(struct actor *a);
/* He leaves, or cannot; the actor may wait. */
void module_unregister(bool report);
/* He was told of each unlinking. */
void module_check(void);

void world_begin(const unsigned char *data, size_t size);
/* Put, close, tear down and destroy everything; nothing may be left. */
void world_end(void);

#endif /* FUZZ_WORLD_H */
