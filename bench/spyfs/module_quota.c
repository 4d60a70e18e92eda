/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * quota: how many bytes each user may write or allocate while the module is
 * loaded: quota=64M, and EDQUOT beyond.  Without a number it only counts.
 *
 * A stream's context remembers the account of its last writer.  Other accounts
 * are found without a lock, since events come inside a read section: an account
 * is pushed once and stays until the module leaves.
 */
#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "module.h"

#define BUCKETS 4096

struct account {
	uid_t uid;
	_Atomic uint64_t used;    /* bytes, never above the limit */
	_Atomic uint64_t refused; /* charges */
	struct account *next;
};

struct quota {
	_Atomic(struct account *) last;
};

static _Atomic(struct account *) buckets[BUCKETS];
static uint64_t limit = UINT64_MAX;
static uint64_t load; /* tells this load of the module from those before */

/* ------------------------------------------------------------- start, stop */

/* A number, and K, M, G or T. */
static int parse_limit(const char *arg)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	int shift = 0;

	if (!isdigit((unsigned char)*arg))
		return -EINVAL;
	errno = 0;
	limit = strtoull(arg, &end, 10);
	if (errno)
		return -ERANGE;
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		end++;
	}
	if (*end)
		return -EINVAL;
	if (limit > UINT64_MAX >> shift)
		return -ERANGE;
	limit <<= shift;
	return 0;
}

static int quota_start(const char *arg)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	load = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	return arg ? parse_limit(arg) : 0;
}

static void quota_stop(void)
{
	for (int i = 0; i < BUCKETS; i++) {
		struct account *account, *next;

		for (account = buckets[i]; account; account = next) {
			next = account->next;
			free(account);
		}
	}
}

/* ---------------------------------------------------------------- accounts */

static struct account *find(struct account *first, uid_t uid)
{
	while (first && first->uid != uid)
		first = first->next;
	return first;
}

/* NULL without memory. */
static struct account *account_of(uid_t uid)
{
	_Atomic(struct account *) *bucket = &buckets[uid % BUCKETS];
	struct account *first = atomic_load_explicit(bucket, memory_order_acquire);
	struct account *account = find(first, uid), *other;

	if (account)
		return account;
	account = calloc(1, sizeof(*account));
	if (!account)
		return NULL;
	account->uid = uid;
	do {
		other = find(first, uid); /* another thread was faster */
		if (other) {
			free(account);
			return other;
		}
		account->next = first;
	} while (!atomic_compare_exchange_weak_explicit(
		bucket, &first, account, memory_order_acq_rel, memory_order_acquire));
	return account;
}

static struct account *account_for(struct quota *quota, uid_t uid)
{
	struct account *account = atomic_load_explicit(&quota->last, memory_order_acquire);

	if (account && account->uid == uid)
		return account;
	account = account_of(uid);
	if (account)
		atomic_store_explicit(&quota->last, account, memory_order_release);
	return account;
}

/* -------------------------------------------------------------------- bytes */

/* Sums never go past the limit, so they cannot overflow. */
static bool add(struct account *account, uint64_t bytes, uint64_t most)
{
	uint64_t used = account->used;

	do {
		if (bytes > most || used > most - bytes)
			return false;
	} while (!atomic_compare_exchange_weak(&account->used, &used, used + bytes));
	return true;
}

static int charge(struct account *account, const struct spy_event *event)
{
	if (!add(account, event->asked, limit)) {
		account->refused++;
		return -EDQUOT;
	}
	*event->charge = (struct spy_charge){ .load = load, .bytes = event->asked };
	return 0;
}

/* Gives back what was not used after all. */
static void settle(struct account *account, const struct spy_event *event)
{
	uint64_t charged = event->charge->load == load ? event->charge->bytes : 0;

	if (charged > event->bytes)
		account->used -= charged - event->bytes;
	else /* it was charged to an earlier load of the module, if at all */
		add(account, event->bytes - charged, UINT64_MAX);
	event->charge->bytes = 0;
}

static int quota_event(void *context, const struct spy_event *event)
{
	struct account *account;

	if (!event->charge)
		return 0;
	account = account_for(context, event->uid);
	if (!account)
		return -ENOMEM;
	if (event->type == SPY_CHARGE)
		return charge(account, event);
	settle(account, event);
	return 0;
}

/* ----------------------------------------------------------------- metrics */

static void print_each(FILE *to, const char *name, uint64_t (*get)(const struct account *))
{
	for (int i = 0; i < BUCKETS; i++)
		for (const struct account *account = buckets[i]; account; account = account->next)
			fprintf(to, "%s{uid=\"%u\"} %llu\n", name, account->uid,
				(unsigned long long)get(account));
}

static uint64_t get_used(const struct account *account)
{
	return account->used;
}

static uint64_t get_refused(const struct account *account)
{
	return account->refused;
}

static void quota_metrics(FILE *to)
{
	fputs("# HELP spyfs_quota_used_bytes Bytes written or allocated, by user.\n"
	      "# TYPE spyfs_quota_used_bytes gauge\n",
	      to);
	print_each(to, "spyfs_quota_used_bytes", get_used);
	fputs("# HELP spyfs_quota_refused_total Writes refused, by user.\n"
	      "# TYPE spyfs_quota_refused_total counter\n",
	      to);
	print_each(to, "spyfs_quota_refused_total", get_refused);
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
