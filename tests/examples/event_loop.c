/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An event loop that reclaims by hand: no thread of the library's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>
#include <sys/timerfd.h>
#include <unistd.h>

static const char loop_owner;
static int freed;

static void loop_free(struct sctx_context *ctx)
{
	freed++;
	free(ctx);
}

int main(void)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
		.mode = SCTX_RECLAIM_POLL,
	};
	const struct itimerspec every_ms = { { 0, 1000000 }, { 0, 1000000 } };
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t ticks;

	if (timer < 0 || sctx_reclaim_configure(&options) ||
	    timerfd_settime(timer, 0, &every_ms, NULL))
		return 1;
	for (int i = 0; i < 10; i++) { /* the daemon's requests */
		struct sctx_context *ctx = malloc(sizeof(*ctx));

		if (!ctx || sctx_context_init(ctx, &loop_owner, NULL, loop_free) || sctx_put(ctx))
			return 1;
	}
	while (freed < 10 && read(timer, &ticks, sizeof(ticks)) > 0)
		if (sctx_reclaim_poll(4) < 0) /* at most four callbacks a tick */
			return 1;
	printf("freed: %d\n", freed);
	return close(timer);
}
