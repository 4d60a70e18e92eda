/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fork that gives up on a callback, as in unit/fork_waits, with limbo at its
 * limit: apart from it, so that the two wait side by side.
 */
#include "test.h"

/* The child has room again. */
static void a_callback_that_waits_while_limbo_is_full(void **state)
{
	struct sctx_stream s;
	struct item *a;
	pid_t child;

	(void)state;
	sctx_stream_init(&s);
	gate_init(&callback_begun);
	set_limits(0, 64, SCTX_RECLAIM_NOWAIT);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = callback_takes_lock;
	pthread_mutex_lock(&callback_lock);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	gate_wait(&callback_begun);
	for (int rc = 0; !rc;) {
		struct item *b = item_churn(OWNER(2), NULL);

		rc = sctx_insert(&s, &b->ctx);
		if (rc)
			item_churn_free(b);
		else
			CHECK_EQ(sctx_delete(&s, OWNER(2), NULL), 0);
	}
	child = child_start(child_reclaims, NULL);
	pthread_mutex_unlock(&callback_lock);
	assert_child_ok(child);
	stream_end(&s);
	set_limits(0, 0, 0);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_callback_that_waits_while_limbo_is_full),
	};

	return TEST_RUN(tests);
}
