/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See ledger.h. */
#include "ledger.h"

#include "memory.h"
#include "readers.h"

#include <errno.h>
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
	bool owned;
	int linked;
	bool perhaps;           /* one time of them */
	int detached;           /* as its owner was told */
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

void ledger_free(struct sctx_context *ctx)
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

static struct item *item_new(void)
{
	struct record *r = &records[count++];

	explore_check(count <= RECORDS, "more contexts than there is room for");
	*r = (struct record){ .item = memory_alloc(sizeof(*r->item), "context"), .held = 1 };
	r->item->record = r;
	return r->item;
}

struct sctx_context *ledger_new(const void *owner, const void *instance)
{
	struct item *item = item_new();

	if (sctx_context_init(&item->ctx, owner, instance, ledger_free))
		explore_fail("a context cannot be initialised");
	return &item->ctx;
}

struct sctx_context *ledger_new_owned(struct sctx_owner *owner, const void *instance)
{
	struct item *item = item_new();
	int error = sctx_owner_context_init(owner, &item->ctx, instance);

	item->record->owned = true;
	if (!error)
		return &item->ctx;
	explore_check(error == -ESHUTDOWN, "context_init: %d", error);
	item->record->held = 0;
	item->record->called_back = true;
	memory_free(item, sizeof(*item));
	return NULL;
}

/* The owner is told before the call that unlinks returns. */
void ledger_detached(struct sctx_context *ctx)
{
	struct record *r = record_of(ctx);

	explore_check(!r->called_back, "context %d is unlinked after its callback", number_of(r));
	explore_check(current->nesting, "an owner is told of an unlinking outside a section");
	r->detached++;
}

void ledger_linked(struct sctx_context *ctx)
{
	record_of(ctx)->linked++;
}

void ledger_linked_perhaps(struct sctx_context *ctx)
{
	ledger_linked(ctx);
	record_of(ctx)->perhaps = true;
}

void ledger_unlinked(struct sctx_context *ctx)
{
	explore_check(record_of(ctx)->detached, "context %d was unlinked, and its owner not told",
		      number_of(record_of(ctx)));
}

int ledger_live(const void *owner)
{
	int live = 0;

	for (struct record *r = records; r < records + count; r++)
		live += !r->called_back && r->item->ctx.owner == owner;
	return live;
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

void ledger_free_handed(struct sctx_context *ctx)
{
	struct record *r = record_of(ctx);

	engine_judge(&ctx->refs, true); /* it meets what should not touch it any more */
	explore_check(!r->called_back && !r->held, "context %d is handed back, and not free",
		      number_of(r));
	r->called_back = true;
	memory_free(r->item, sizeof(*r->item));
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
		explore_check(!r->owned || r->detached == r->linked ||
				      (r->perhaps && r->detached == r->linked - 1),
			      "context %d was linked %d times, and its owner told of %d unlinkings",
			      number_of(r), r->linked, r->detached);
	}
}

bool ledger_called_back(const struct sctx_context *ctx)
{
	return record_of(ctx)->called_back;
}

/* The mark is set while the reference that goes to limbo is the only one. */
void ledger_stored(const volatile void *p, uintptr_t value)
{
	if (value != (uintptr_t)SCTX__IN_LIMBO)
		return;
	for (struct record *r = records; r < records + count; r++)
		if (!r->called_back && p == &r->item->ctx.stream)
			sections_now(&r->put_in);
}
