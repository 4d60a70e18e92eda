/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds: the last operation on each object and its call site, and the end
 * of every report of misuse.
 */
#include "base/debug.h"

#include <stdbool.h>
#include <stdio.h>

/* A tag's four characters; in hexadecimal if one is unprintable, so no two tags look alike. */
void sctx__tag_text(uint32_t tag, char text[SCTX__TAG_TEXT])
{
	bool printable = true;

	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)(tag >> 8 * i);

		text[i] = (char)c;
		printable = printable && c >= 0x20 && c < 0x7f;
	}
	text[4] = '\0';
	if (!printable)
		snprintf(text, SCTX__TAG_TEXT, "0x%08x", (unsigned int)tag);
}

#ifdef SCTX_DEBUG

#include "base/sync.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Hashed by address.  A collision overwrites the older event. */
#define EVENTS 16384 /* 2^14: see event_of() */

static struct event {
	const void *object;
	const char *what;
	const void *site;
} events[EVENTS];

static uint32_t lock;
static __thread const void *called_from;

void (*sctx__debug_print_owner)(FILE *file, const struct sctx_context *ctx);

void sctx__debug_called_from(const void *site)
{
	called_from = site;
}

static struct event *event_of(const void *object)
{
	return &events[((uint64_t)(uintptr_t)object >> 4) * 0x9e3779b97f4a7c15 >> 50];
}

void sctx__debug_did(const void *object, const char *what)
{
	sctx__lock_u32(&lock);
	*event_of(object) = (struct event){ object, what, called_from };
	sctx__unlock_u32(&lock, 0);
}

void sctx__debug_before_fork(void)
{
	sctx__lock_u32(&lock);
}

void sctx__debug_after_fork(void)
{
	sctx__unlock_u32(&lock, 0);
}

static void say_site(const char *what, const void *site)
{
	void *address = (void *)(uintptr_t)site;

	fprintf(stderr, "  %-10s", what);
	fflush(stderr);
	backtrace_symbols_fd(&address, 1, STDERR_FILENO);
}

/* Print the site of this call and of the conflicting one, then abort. */
void sctx__debug_stop(const void *object)
{
	const struct event *before = event_of(object);

	say_site("called at", called_from);
	if (before->object == object)
		say_site(before->what, before->site);
	abort();
}

#endif
