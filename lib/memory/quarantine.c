/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The quarantine: see quarantine.h.  A ring whose lock is taken inside an
 * update, so a fork never finds it held.
 */
#include "memory/quarantine.h"

#ifdef SCTX_DEBUG

#include "base/debug.h"
#include "thread/thread.h"

#include <errno.h>
#include <string.h>

#define BLOCKS_MAX 256
#define BYTES_MAX  ((size_t)4 << 20) /* unless one block is larger */
#define FILL       0xdf

struct rest {
	void *memory;
	size_t header;
	size_t size;
	uint32_t tag;
};

static struct {
	uint32_t lock;
	unsigned int oldest;
	unsigned int blocks;
	size_t bytes;
	struct rest ring[BLOCKS_MAX];
} quarantine;

static void enter(void)
{
	sctx__update_begin();
	sctx__lock_u32(&quarantine.lock);
}

static void leave(void)
{
	sctx__unlock_u32(&quarantine.lock, 0);
	sctx__update_end();
}

static struct rest take_oldest(void)
{
	struct rest rest = quarantine.ring[quarantine.oldest];

	quarantine.oldest = (quarantine.oldest + 1) % BLOCKS_MAX;
	quarantine.blocks--;
	quarantine.bytes -= rest.size;
	return rest;
}

/* False if the ring is full; then the oldest block is in *@oldest. */
static bool add(const struct rest *rest, struct rest *oldest)
{
	bool full;

	enter();
	full = quarantine.blocks == BLOCKS_MAX ||
	       (quarantine.blocks && quarantine.bytes + rest->size > BYTES_MAX);
	if (full) {
		*oldest = take_oldest();
	} else {
		quarantine.ring[(quarantine.oldest + quarantine.blocks) % BLOCKS_MAX] = *rest;
		quarantine.blocks++;
		quarantine.bytes += rest->size;
	}
	leave();
	return !full;
}

static void let_go(const struct rest *rest, void (*release)(void *memory))
{
	unsigned char *fill = (unsigned char *)rest->memory + rest->header;

	sctx__unpoison(fill, rest->size);
	for (size_t i = 0; i < rest->size; i++)
		if (fill[i] != FILL)
			sctx__misuse_memory(-EBADF, "memory written after it was freed", fill,
					    rest->tag);
	release(rest->memory);
}

void sctx__quarantine_add(void *memory, size_t header, size_t size, uint32_t tag,
			  void (*release)(void *memory))
{
	struct rest rest = { memory, header, size, tag }, oldest;

	memset((char *)memory + header, FILL, size);
	sctx__poison((char *)memory + header, size);
	while (!add(&rest, &oldest))
		let_go(&oldest, release);
}

bool sctx__quarantine_empty(void (*release)(void *memory))
{
	struct rest rest;
	bool any = false, more;

	do {
		enter();
		more = quarantine.blocks > 0;
		if (more)
			rest = take_oldest();
		leave();
		if (more)
			let_go(&rest, release);
		any |= more;
	} while (more);
	return any;
}

#endif
