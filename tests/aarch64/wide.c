/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A registry where the allocator's addresses are what the platform makes them:
 * exits with 0 if it works, 3 if it is refused as the header says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>

int main(void)
{
	const struct sctx_id id = { 1, { 2, 3 }, 4 };
	struct sctx_registry *registry;
	struct sctx_stream *stream;
	void *block = malloc(100);
	int error = sctx_registry_create(&registry);

	printf("memory at %p: %d\n", block, error);
	free(block);
	if (error == -EOVERFLOW)
		return registry ? 4 : 3;
	if (error || sctx_open(registry, &id, 0, &stream) || sctx_close(stream) ||
	    sctx_registry_destroy(registry) || sctx_barrier())
		return 1;
	return 0;
}
