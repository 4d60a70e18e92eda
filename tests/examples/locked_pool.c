/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A write-back buffer that must not be swapped out, because writing it out is
 * what gets memory back; and how much of such memory there is.
 */
#include <stdio.h>
#include <string.h>
#include <streamctx.h>

#define TAG SCTX_TAG('W', 'b', 'u', 'f')

int main(void)
{
	const char text[] = "what a client wrote";
	struct sctx_tag_stats stats;
	char *buffer = sctx_alloc(SCTX_POOL_LOCKED, 4096, TAG);

	if (!buffer) { /* RLIMIT_MEMLOCK is reached: ordinary memory will do */
		perror("locked memory");
		buffer = sctx_alloc(SCTX_POOL_PAGED, 4096, TAG);
	}
	if (!buffer)
		return 1;
	memcpy(buffer, text, sizeof(text));

	if (sctx_tag_stats_get(&stats, sizeof(stats), 1) != 1)
		return 1;
	printf("%.4s: %lu bytes in %lu blocks, at most %lu\n", (const char *)&stats.tag,
	       (unsigned long)stats.bytes, (unsigned long)stats.objects, (unsigned long)stats.peak);

	return sctx_free(buffer, TAG) ? 1 : 0;
}
