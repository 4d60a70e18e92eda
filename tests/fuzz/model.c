/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sequential model: see model.h. */
#include "model.h"

#include <errno.h>
#include <string.h>

uint64_t m_now;
unsigned int m_due;

/* ---------------------------------------------------------------- contexts */

void m_context_init(struct m_context *c, const void *owner, const void *instance)
{
	*c = (struct m_context){ .owner = owner, .instance = instance, .held = 1 };
}

bool m_context_due(const struct m_context *c)
{
	return c->put;
}

static void last_put(struct m_context *c)
{
	c->put = true;
	c->put_again = m_now;
	if (!c->revived)
		c->put_at = m_now;
	m_due++;
}

void m_context_freed(struct m_context *c)
{
	c->put = false;
	m_due--;
}

void m_ref(struct m_context *c)
{
	if (c->put) {
		c->put = false;
		c->revived = true;
		m_due--;
	}
	c->held++;
}

int m_put(struct m_context *c)
{
	if (!c->held)
		return c->on ? -EBUSY : -EBADF;
	c->held--;
	if (!c->held && !c->on)
		last_put(c);
	return 0;
}

/* The stream's reference is the caller's from now on. */
static void unlink_at(struct m_stream *s, size_t i)
{
	struct m_context *c = s->list[i];

	s->count--;
	memmove(&s->list[i], &s->list[i + 1], (s->count - i) * sizeof(s->list[0]));
	c->on = NULL;
	c->held++;
	c->unlinked++;
}

static size_t place_of(const struct m_stream *s, const struct m_context *c)
{
	size_t i = 0;

	while (s->list[i] != c)
		i++;
	return i;
}

int m_detach(struct m_context *c)
{
	if (!c->on)
		return -ENOENT;
	unlink_at(c->on, place_of(c->on, c));
	return m_put(c);
}

/* ----------------------------------------------------------------- streams */

void m_stream_init(struct m_stream *s)
{
	*s = (struct m_stream){ .ready = true };
}

void m_disable(struct m_stream *s)
{
	s->ready = false;
}

void m_teardown(struct m_stream *s)
{
	s->ready = false;
	s->torn = true;
	s->tracked = NULL;
	while (s->count) {
		struct m_context *c = s->list[0];

		unlink_at(s, 0);
		m_put(c);
	}
}

int m_retire(struct m_stream *s)
{
	m_teardown(s);
	if (s->retired)
		return -EALREADY;
	s->retired = true;
	return 0;
}

int m_track(struct m_stream *s, const void *registry)
{
	int error = m_stream_error(s);

	if (s->tracked)
		return -EALREADY;
	if (!error)
		s->tracked = registry;
	return error;
}

static bool matches(const struct m_context *c, const void *owner, const void *instance)
{
	if (!owner)
		return !instance;
	return c->owner == owner && (!instance || c->instance == instance);
}

struct m_context *m_lookup(const struct m_stream *s, const void *owner, const void *instance)
{
	for (size_t i = s->ready ? s->count : 0; i > 0; i--)
		if (matches(s->list[i - 1], owner, instance))
			return s->list[i - 1];
	return NULL;
}

int m_stream_error(const struct m_stream *s)
{
	if (s->torn)
		return -ESHUTDOWN;
	return s->ready ? 0 : -EOPNOTSUPP;
}

/* The caller's reference becomes the stream's. */
static void hang(struct m_stream *s, struct m_context *c, size_t i)
{
	s->list[i] = c;
	c->on = s;
	c->revived = false; /* or it would not hang here */
	c->held--;
}

int m_insert(struct m_stream *s, struct m_context *c, enum m_mode mode, struct m_context **found)
{
	struct m_context *match = mode == M_INSERT ? NULL : m_lookup(s, c->owner, c->instance);
	int error = m_stream_error(s);
	size_t at = s->count;

	*found = NULL;
	if (error)
		return error;
	if (match && mode == M_INSERT_UNIQUE) {
		m_ref(match);
		*found = match;
		return -EEXIST;
	}
	if (c->put)
		return -EBADF;
	if (c->on)
		return -EBUSY;
	if (match) {
		at = place_of(s, match);
		match->on = NULL;
		match->held++;
		match->unlinked++;
		*found = match;
	} else {
		s->count++;
	}
	hang(s, c, at);
	return 0;
}

struct m_context *m_remove(struct m_stream *s, const void *owner, const void *instance)
{
	struct m_context *c = m_lookup(s, owner, instance);

	if (c)
		unlink_at(s, place_of(s, c));
	return c;
}
