/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the library promises, for one caller after the other: lists per stream,
 * open counts, references, and which contexts are to be called back.  Written
 * from streamctx.h alone, in the plainest way; knows nothing of the library.
 *
 * Each function does what the call of the same name should and returns what
 * it should return.  Errors that only the surroundings decide (memory, limbo's
 * limit) are the caller's to know: then it does not call the model.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define M_CONTEXTS 64 /* that there can be */

struct m_stream;

struct m_context {
	const void *owner;
	const void *instance;
	struct m_stream *on; /* where it hangs */
	unsigned int held;   /* references of callers */
	bool put;            /* the last one was put, at @put_again, and no other taken since */
	bool revived;        /* one was taken since: limbo may hold one still, */
	uint64_t put_at;     /* put then, and go by that */
	uint64_t put_again;
	unsigned int unlinked; /* how often */
};

struct m_stream {
	struct m_context *list[M_CONTEXTS]; /* oldest first */
	size_t count;
	bool ready; /* initialised, not disabled, not torn down */
	bool torn;
	bool retired;
	unsigned int opens;
	const void *tracked; /* by this registry */
};

enum m_mode { M_INSERT, M_INSERT_UNIQUE, M_REPLACE };

/* Counts up at every step: when something happened. */
extern uint64_t m_now;
/* Contexts that are to be called back and have not been. */
extern unsigned int m_due;

void m_context_init(struct m_context *c, const void *owner, const void *instance);
bool m_context_due(const struct m_context *c);
/* It is being called back. */
void m_context_freed(struct m_context *c);
void m_ref(struct m_context *c);
int m_put(struct m_context *c);
int m_detach(struct m_context *c);

void m_stream_init(struct m_stream *s);
void m_disable(struct m_stream *s);
void m_teardown(struct m_stream *s);
int m_retire(struct m_stream *s);
int m_track(struct m_stream *s, const void *registry);

struct m_context *m_lookup(const struct m_stream *s, const void *owner, const void *instance);
/* *@found: what is in the way (-EEXIST, referenced), or was replaced (now the caller's). */
int m_insert(struct m_stream *s, struct m_context *c, enum m_mode mode, struct m_context **found);
/* The error that an insert of anything would meet in the stream itself. */
int m_stream_error(const struct m_stream *s);
struct m_context *m_remove(struct m_stream *s, const void *owner, const void *instance);

#endif /* FUZZ_MODEL_H */
