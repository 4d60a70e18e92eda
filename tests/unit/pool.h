/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of pools share.
 */
#ifndef TEST_POOL_H
#define TEST_POOL_H

#include "test.h"

#define TAG(n) SCTX_TAG('T', 's', 't', n)

__attribute__((unused)) static const enum sctx_pool pools[] = { SCTX_POOL_PAGED, SCTX_POOL_LOCKED };

/* Without jemalloc each block of locked memory has pages of its own. */
static inline bool with_jemalloc(void)
{
	return strstr(sctx_version(), "jemalloc") != NULL;
}

static inline struct sctx_tag_stats tag_stats(uint32_t tag)
{
	static struct sctx_tag_stats all[SCTX_TAGS_MAX];
	size_t n = (size_t)sctx_tag_stats_get(all, sizeof(*all), ARRAY_SIZE(all));

	CHECK(n <= ARRAY_SIZE(all));
	for (size_t i = 0; i < n; i++)
		if (all[i].tag == tag)
			return all[i];
	return (struct sctx_tag_stats){ .tag = tag };
}

#define assert_in_use(tag_, bytes_, objects_)                   \
	do {                                                    \
		struct sctx_tag_stats stats_ = tag_stats(tag_); \
		assert_u64(stats_.bytes, ==, (bytes_));         \
		assert_u64(stats_.objects, ==, (objects_));     \
		assert_u64(stats_.peak, >=, stats_.bytes);      \
	} while (0)

static inline void *must_alloc(enum sctx_pool pool, size_t size, uint32_t tag)
{
	void *memory = sctx_alloc(pool, size, tag);

	if (!memory)
		test_die(__FILE__, __LINE__, "%zu bytes of pool %d: errno %d", size, pool, errno);
	CHECK((uintptr_t)memory % 16 == 0);
	memset(memory, 0x5a, size);
	return memory;
}

#endif /* TEST_POOL_H */
