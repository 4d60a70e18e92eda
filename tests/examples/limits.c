/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limbo at its limit: who releases goes on, who creates waits or is told. */
#include <errno.h>
#include <stdio.h>
#include <streamctx.h>

/* What a stream and a context cost; each is in addition to the owner's own. */
_Static_assert(sizeof(struct sctx_id) == 32, "");
_Static_assert(sizeof(struct sctx_stream) == 88, "");
_Static_assert(sizeof(struct sctx_context) == 48, "");
_Static_assert(sizeof(struct sctx_entry) == 24, "");

int main(void)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = 1 << 20,
		.limit_callbacks = 1000,
		.flags = SCTX_RECLAIM_NOWAIT, /* -EAGAIN rather than wait */
	};
	struct sctx_registry *registry;
	struct sctx_stream *stream;
	unsigned int cycles = 0;
	int error;

	if (sctx_reclaim_configure(&options) || sctx_registry_create(&registry))
		return 1;
	sctx_read_lock(); /* a reader that takes long: nothing can be freed */
	do {
		struct sctx_id id = { .volume = 1, .file = { cycles, 0 } };

		error = sctx_open(registry, &id, 0, &stream);
		if (!error && sctx_close(stream))
			return 1;
	} while (!error && ++cycles < 100000);
	sctx_read_unlock();
	printf("%u streams opened and closed, then %d\n", cycles, error);
	if (error != -EAGAIN || cycles < 900 || cycles > 1100)
		return 1;
	/* The reader has left: limbo empties, and opens succeed again. */
	if (sctx_barrier() || sctx_open(registry, &(struct sctx_id){ .volume = 2 }, 0, &stream))
		return 1;
	return sctx_close(stream) || sctx_registry_destroy(registry) || sctx_barrier();
}
