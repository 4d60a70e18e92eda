/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "handle.h"
#include "table.h"

struct share {
	uid_t uid;
	unsigned long held;
	UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct share *shares; /* of users that hold some */
static unsigned long descriptors, held;

void shares_start(unsigned long n)
{
	descriptors = n;
}

/* The lock is held. */
static struct share *share_of(uid_t uid)
{
	struct share *share;

	HASH_FIND(hh, shares, &uid, sizeof(uid), share);
	if (share)
		return share;
	share = calloc(1, sizeof(*share));
	if (!share)
		return NULL;
	share->uid = uid;
	HASH_ADD(hh, shares, uid, sizeof(share->uid), share);
	if (TABLE_HAS(share))
		return share;
	free(share);
	return NULL;
}

/* The lock is held. */
static void share_free_if_unused(struct share *share)
{
	if (share->held)
		return;
	HASH_DEL(shares, share);
	free(share);
}

int share_take(uid_t uid)
{
	struct share *share;
	int error = 0;

	pthread_mutex_lock(&lock);
	share = share_of(uid);
	if (!share) {
		error = -ENOMEM;
	} else if (held >= descriptors || (uid != 0 && share->held >= descriptors - held)) {
		error = -ENFILE;
		share_free_if_unused(share);
	} else {
		share->held++;
		held++;
	}
	pthread_mutex_unlock(&lock);
	return error;
}

void share_give(uid_t uid)
{
	struct share *share;

	pthread_mutex_lock(&lock);
	share = share_of(uid);
	share->held--;
	held--;
	share_free_if_unused(share);
	pthread_mutex_unlock(&lock);
}
