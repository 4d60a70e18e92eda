/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A server that gets many requests at a time opens their streams together: what has
 * to come from memory comes for sixteen of them at once.
 */
#include <stdio.h>
#include <string.h>
#include <streamctx.h>

#define REQUESTS 40

int main(void)
{
	struct sctx_stream *stream[REQUESTS];
	struct sctx_id id[REQUESTS];
	struct sctx_registry *registry;
	unsigned int opened = 0;
	int error;

	memset(id, 0, sizeof(id));
	for (unsigned int i = 0; i < REQUESTS; i++)
		id[i].file[0] = i % 30; /* some requests are for the same file */
	if (sctx_registry_create(&registry))
		return 1;
	error = sctx_open_many(registry, id, REQUESTS, 0, stream);
	if (error) /* of the first that failed; the others are open */
		fprintf(stderr, "not all were opened: %s\n", strerror(-error));
	for (unsigned int i = 0; i < REQUESTS; i++) {
		if (!stream[i])
			continue;
		opened++;
		sctx_close(stream[i]);
	}
	printf("%u opened\n", opened);
	return opened != REQUESTS || sctx_registry_destroy(registry) || sctx_barrier();
}
