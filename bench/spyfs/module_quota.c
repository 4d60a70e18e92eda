/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * quota: how many bytes each user may write while the module is loaded:
 * quota=64M, and EDQUOT beyond.  Without a number it only counts.
 *
 * A stream's context remembers the account of its last writer, so that the
 * table of accounts and its lock are left alone.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "module.h"

struct account {
	uid_t uid;
	atomic_ullong used;
	atomic_ullong refused; /* writes */
	UT_hash_handle hh;
};

struct quota {
	_Atomic(struct account *) last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the table */
static struct account *accounts;
static uint64_t limit = UINT64_MAX;

static int quota_start(const char *arg)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	if (!arg)
		return 0;
	limit = strtoull(arg, &end, 10);
	if (end == arg)
		return -EINVAL;
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		limit <<= 10 * (unit - units + 1);
		end++;
	}
	return *end ? -EINVAL : 0;
}

static void quota_stop(void)
{
	struct account *account, *next;

	HASH_ITER(hh, accounts, account, next)
	{
		HASH_DEL(accounts, account);
		free(account);
	}
}

static struct account *account_of(uid_t uid)
{
	struct account *account;

	pthread_mutex_lock(&lock);
	HASH_FIND(hh, accounts, &uid, sizeof(uid), account);
	if (!account) {
		account = calloc(1, sizeof(*account));
		if (account) {
			account->uid = uid;
			HASH_ADD(hh, accounts, uid, sizeof(uid), account);
		}
	}
	pthread_mutex_unlock(&lock);
	return account;
}

static int quota_event(void *context, const struct spy_event *event)
{
	struct quota *quota = context;
	struct account *account;

	if (event->type != SPY_WRITE && event->type != SPY_WROTE)
		return 0;
	account = atomic_load_explicit(&quota->last, memory_order_acquire);
	if (!account || account->uid != event->uid) {
		account = account_of(event->uid);
		if (!account)
			return -ENOMEM;
		atomic_store_explicit(&quota->last, account, memory_order_release);
	}
	if (event->type == SPY_WROTE) { /* what was not written after all */
		atomic_fetch_sub(&account->used, event->asked - event->bytes);
		return 0;
	}
	if (atomic_fetch_add(&account->used, event->asked) + event->asked <= limit)
		return 0;
	atomic_fetch_sub(&account->used, event->asked);
	atomic_fetch_add(&account->refused, 1);
	return -EDQUOT;
}

static void quota_metrics(FILE *to)
{
	struct account *account, *next;

	pthread_mutex_lock(&lock);
	fputs("# HELP spyfs_quota_used_bytes Bytes written, by user.\n"
	      "# TYPE spyfs_quota_used_bytes gauge\n",
	      to);
	HASH_ITER(hh, accounts, account, next)
	fprintf(to, "spyfs_quota_used_bytes{uid=\"%u\"} %llu\n", account->uid, account->used);
	fputs("# HELP spyfs_quota_refused_total Writes refused, by user.\n"
	      "# TYPE spyfs_quota_refused_total counter\n",
	      to);
	HASH_ITER(hh, accounts, account, next)
	fprintf(to, "spyfs_quota_refused_total{uid=\"%u\"} %llu\n", account->uid, account->refused);
	pthread_mutex_unlock(&lock);
}

const struct spy_module spy_module = {
	.name = "quota",
	.tag = SCTX_TAG('Q', 'u', 't', 'a'),
	.context_size = sizeof(struct quota),
	.start = quota_start,
	.stop = quota_stop,
	.event = quota_event,
	.metrics = quota_metrics,
};
