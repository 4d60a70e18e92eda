/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See ledger.h. */
#include "ledger.h"

#include "memory.h"
#include "readers.h"

#include <stddef.h>

#define RECORDS 64

/* A module's structure around its context. */
struct item {
	struct sctx_context ctx;
	struct record *record;
};

struct record {
	struct item *item;
	int held; /* references, by threads of the program */
	bool called_back;
	struct sections put_in; /* open when the last reference was put */
};

static struct record records[RECORDS];
static int count;

void ledger_reset(void)
{
	count = 0;
}

static int number_of(const struct record *r)
{
	return (int)(r - records);
}

static struct record *record_of(const struct sctx_context *ctx)
{
	struct record *r = records;

	while (r < records + count && &r->item->ctx != ctx)
		r++;
	explore_check(r < records + count, "%p is no context", (const void *)ctx);
	return r;
}

static void free_callback(struct sctx_context *ctx)
{
	struct record *r = record_of(ctx);
	int left;

	engine_judge(r, true); /* references only read it: they meet callbacks */
	explore_check(!r->called_back, "context %d is called back twice", number_of(r));
	explore_check(!r->held, "context %d is called back and %d references are held",
		      number_of(r), r->held);
	explore_check(!current->nesting, "context %d is called back inside a section",
		      number_of(r));
	left = sections_left(&r->put_in);
	explore_check(left < 0,
		      "context %d is called back in a section of %s that could have borrowed it",
		      number_of(r), left < 0 ? "" : threads[left].name);
	r->called_back = true;
	memory_free(r->item, sizeof(*r->item));
}

struct sctx_context *ledger_new(const void *owner, const void *instance)
{
	struct record *r = &records[count++];

	explore_check(count <= RECORDS, "more contexts than there is room for");
	*r = (struct record){ .item = memory_alloc(sizeof(*r->item), "context"), .held = 1 };
	r->item->record = r;
	if (sctx_context_init(&r->item->ctx, owner, instance, free_callback))
		explore_fail("a context cannot be initialised");
	return &r->item->ctx;
}

void ledger_gets(struct sctx_context *ctx)
{
	struct record *r = record_of(ctx);

	engine_judge(r, false);
	explore_check(!r->called_back, "a reference on context %d, which was called back",
		      number_of(r));
	r->held++;
}

void ledger_gives(struct sctx_context *ctx)
{
	struct record *r = record_of(ctx);

	engine_judge(r, false);
	r->held--;
}

void ledger_put(struct sctx_context *ctx)
{
	int error;

	ledger_gives(ctx);
	error = sctx_put(ctx);
	explore_check(!error, "put of context %d: %d", number_of(record_of(ctx)), error);
}

void ledger_use(struct sctx_context *ctx)
{
	for (int i = 0; i < 2; i++) {
		struct record *r;

		explore_check(memory_live(ctx), "use of %p, which was called back", (void *)ctx);
		r = ((struct item *)ctx)->record;
		explore_check(!r->called_back, "use of context %d, which was called back",
			      number_of(r));
		if (i == 0)
			engine_judge(r, false);
	}
}

void ledger_check_end(void)
{
	for (struct record *r = records; r < records + count; r++) {
		explore_check(!r->held, "%d references on context %d are still held", r->held,
			      number_of(r));
		explore_check(r->called_back, "context %d was never called back", number_of(r));
	}
}

bool ledger_called_back(const struct sctx_context *ctx)
{
	return record_of(ctx)->called_back;
}

/* @in_limbo is set while the reference that goes to limbo is the only one. */
void ledger_stored(const volatile void *p, uintptr_t value)
{
	if (!value)
		return;
	for (struct record *r = records; r < records + count; r++)
		if (!r->called_back && p == &r->item->ctx.in_limbo)
			sections_now(&r->put_in);
}
