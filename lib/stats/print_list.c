/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Printers for people: streams with their contexts, and leaks.
 */
#include "owner/owned.h"
#include "registry/opens.h"
#include "registry/registry.h"
#include "stats/print.h"
#include "base/sized.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

void sctx__print_id(FILE *file, const struct sctx_id *id)
{
	fprintf(file, "%016" PRIx64 ":%016" PRIx64 "%016" PRIx64 ":%" PRIx64, id->volume,
		id->file[1], id->file[0], id->stream);
}

void sctx__print_owner(struct sctx__printer *p, const struct sctx_context *ctx)
{
	const struct sctx_owner *owner = ctx->owner;
	char tag[SCTX__TAG_TEXT];

	if (!(sctx__load(&ctx->flags) & SCTX__OWNED)) {
		fprintf(p->file, " %p", ctx->owner);
		return;
	}
	sctx__tag_text(sctx_owner_tag(owner), tag);
	fputc(' ', p->file);
	sctx__print_quoted(p, sctx_owner_name(owner));
	fprintf(p->file, "[%s]", tag);
}

#ifdef SCTX_DEBUG
static void print_owner_text(FILE *file, const struct sctx_context *ctx)
{
	struct sctx__printer p = { .file = file, .format = SCTX_TEXT };

	sctx__print_owner(&p, ctx);
}

__attribute__((constructor(101))) static void print_init(void)
{
	sctx__debug_print_owner = print_owner_text;
}
#endif

/* @ctx is borrowed, and a registered owner outlives its contexts. */
static int print_context(struct sctx_context *ctx, void *printer)
{
	struct sctx__printer *p = printer;

	sctx__print_owner(p, ctx);
	if (ctx->instance)
		fprintf(p->file, "/%p", ctx->instance);
	return 0;
}

static const char *state_text(enum sctx_stream_state state)
{
	return state == SCTX_STREAM_IDLE ? " idle" : state == SCTX_STREAM_FORGOTTEN ? " forgotten" : "";
}

static int print_stream(struct sctx_stream *stream, void *printer)
{
	struct sctx__printer *p = printer;

	sctx__print_id(p->file, sctx_stream_id(stream));
	fprintf(p->file, "%s opens %" PRIu32, state_text(sctx_stream_state(stream)),
		sctx__references(sctx__load(&stream->opens)));
	sctx_stream_for_each(stream, print_context, p);
	fputc('\n', p->file);
	return ferror(p->file) ? -ENOMEM : 0;
}

/*
 * Streams are printed to memory inside the walk's updates, and memory is written to the
 * file between them: a file that blocks holds up no grace period.
 */
struct listing {
	struct sctx__printer p; /* to memory */
	FILE *file;
	char *text;
	size_t length;
};

static int print_node(struct sctx__node *node, void *arg)
{
	struct listing *l = arg;

	return print_stream(&node->stream, &l->p);
}

static int write_out(void *arg)
{
	struct listing *l = arg;

	if (fflush(l->p.file))
		return -ENOMEM;
	fwrite(l->text, 1, l->length, l->file);
	rewind(l->p.file);
	return ferror(l->file) ? -EIO : 0;
}

int sctx_registry_print(struct sctx_registry *registry, FILE *file)
{
	struct listing l = { .file = file };
	int error;

	if (!registry || !file)
		return -EINVAL;
	l.p.format = SCTX_TEXT;
	l.p.file = open_memstream(&l.text, &l.length);
	if (!l.p.file)
		return -ENOMEM;
	error = sctx__registry_walk(registry, print_node, &l, write_out);
	fclose(l.p.file);
	free(l.text);
	return error ? error : sctx__print_end(file);
}

static void print_leak(FILE *file, const struct sctx_leak *leak)
{
	fprintf(file, "  context %p", (const void *)leak->ctx);
	if (leak->instance)
		fprintf(file, " instance %p", leak->instance);
	if (leak->has_id) {
		fputs(" of stream ", file);
		sctx__print_id(file, &leak->id);
	}
	for (int i = 0; i < SCTX_LEAK_SITES && leak->taken_at[i]; i++)
		fprintf(file, "%s%p", i ? ", " : " taken at ", leak->taken_at[i]);
	fputc('\n', file);
}

int sctx_leaks_print(const struct sctx_leaks *given, FILE *file)
{
	struct sctx__printer p = { .file = file, .format = SCTX_TEXT };
	struct sctx_leaks copy, *leaks = &copy;
	char tag[SCTX__TAG_TEXT];
	int error;

	if (!given || !file)
		return -EINVAL;
	error = sctx__sized_read(leaks, sizeof(*leaks), SCTX__SIZE_TO(struct sctx_leaks, leak), given);
	if (error)
		return error;
	if (leaks->listed > SCTX_LEAKS_LISTED)
		return -EINVAL;
	sctx__tag_text(leaks->tag, tag);
	fputs("owner ", file);
	sctx__print_quoted(&p, leaks->name);
	fprintf(file, "[%s]: %" PRIu64 " contexts held\n", tag, leaks->held);
	for (unsigned int i = 0; i < leaks->listed; i++)
		print_leak(file, &leaks->leak[i]);
	return sctx__print_end(file);
}
