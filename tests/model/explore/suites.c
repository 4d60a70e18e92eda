/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See suites.h.  Long ones come first, so that the workers end at one time. */
#include "suites.h"

#include "search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct jobs *jobs;

/* Each "-" in front: with one preemption less than the bound. */

static const char *const reclaim_programs[] = {
	/* Somebody uses what another one drops. */
	"stream/one: lookup | delete | reclaimer",
	"stream/one: lookup | remove | sleeper",
	"stream/one: lookup | teardown | reclaimer",
	"stream/one: lookup | retire | reclaimer",
	"stream/one: lookup | teardown_sync",
	"-stream/one: lookup | replace | reclaimer",
	"-stream/nine: lookup | insert | reclaimer",
	"-stream/full: lookup | insert | sleeper",
	"-stream/one: get | remove | reclaimer",
	"-stream/one: get | teardown | reclaimer",
	"-stream/one: get | retire | reclaimer",
	"-stream/one: get | delete | sleeper",
	"-stream/one: detach | retire | reclaimer",
	"-stream/one: detach | teardown | reclaimer",
	"-stream/one: detach_found | delete | reclaimer",
	"-stream/one: insert_unique | delete | reclaimer",
	"-stream/one: get_or_create | delete | reclaimer",
	"-stream/empty: get_or_create | get_or_create | reclaimer",
	"-stream/one: insert | teardown | reclaimer",
	"-stream/one: insert | retire | reclaimer",
	"-stream/one: put | delete | reclaimer",
	"-stream/one: put | detach | reclaimer",
	"-slot/there: lookup | drop | reclaimer",
	"-slot/there: insert | drop | reclaimer",
	/* What limbo holds is hung up nowhere. */
	"-stream/one: move | delete | reclaimer",
	"-stream/one: move | remove | sleeper",
	"-stream/one: move | recreate | reclaimer",
	"-stream/one: get_hold | recreate | reclaimer",
	"--stream/one: get_hold | move | delete | reclaimer",
	"--stream/one: move, delete_other | delete | reclaimer",
	"-stream/one: stay_other | delete_move, delete_other | reclaimer",
	/* Work that must not be forgotten. */
	"stream/one: delete | sleeper",
	"stream/one: remove | reclaimer",
	"stream/one: delete_barrier | reclaimer",
	"-stream/one: barrier | delete | sleeper",
	"stream/one: delete, thread_detach | reclaimer",
	"stream/one: delete, barrier | sleeper",
	"stream/limit: delete, insert | sleeper",
	"-stream/limit: delete | insert | sleeper",
	"-stream/limit: delete, get_or_create | reclaimer",
	/* Nodes, arrays, buckets and tables that are used again. */
	"-registry/closed: close_a, open_b | find_a | reclaimer",
	"-registry/closed: close_a | existing_a | reclaimer",
	"-registry/closed: close_a | find_a | sleeper",
	"-registry/growing: find_a | open_c | reclaimer",
	"-registry/chained: find_a | open_c | reclaimer",
	"-registry/growing: existing_a | open_c | reclaimer",
	"-registry/growing: walk | open_c | reclaimer",
	NULL,
};

/* Who reclaims: the threads that retire, whoever polls, and the change to another. */
static const char *const mode_programs[] = {
	"stream/poll: lookup | delete, poll, poll",
	"stream/poll: delete | poll, poll",
	"stream/poll: poll | poll",
	"stream/poll: delete | barrier",
	"stream/poll: delete | poll | barrier",
	"stream/poll: delete, poll | to_thread",
	"stream/one: delete | to_poll",
	"stream/one: barrier | to_poll",
	"stream/one: to_thread | to_poll",
	"stream/nine: teardown_sync | to_poll, poll, poll, poll",
	NULL,
};

static const char *const triples[] = {
	"stream/one: lookup | remove | insert_unique",
	"stream/one: detach | remove | teardown",
	"stream/empty: insert | lookup | teardown",
	"stream/empty: insert_unique | get_or_create | delete",
	"stream/one: unique_blind | remove_free | insert",
	"stream/one: replace | lookup | delete",
	"stream/full: insert | lookup | remove",
	"stream/one: replace | replace | get",
	"stream/one: get_hold | detach | put",
	"stream/one: move | delete | insert",
	"stream/one: disable | insert | teardown",
	"stream/one: insert_loose | insert_loose_other | teardown",
	"slot/none: insert | lookup | drop",
	"slot/there: insert | drop | drop",
	"list/nine: lookup_1, lookup | insert_1, remove",
	"list/nine: lookup_any, lookup | insert_1",
	"list/eight: lookup_any, lookup | insert_1",
	"list/one: lookup_any, lookup | insert_2",
	"list/empty: lookup, lookup_any | insert_1",
	"list/eight: lookup | insert_1 | remove",
	"list/eight: lookup_1 | replace | delete_2",
	"list/two: create_1 | create_1 | remove_1",
	"list/nine: lookup_1, lookup | remove_any, remove_any, remove_any, remove_any, remove",
	"list/nine: insert_1 | remove_any, remove_any, remove_any, remove_any, remove_1",
	"-list/nine: remove_any, remove_any, remove_any | remove_any, remove_any | lookup, insert_b",
	"list/three: lookup, lookup_1 | replace_1, remove",
	"list/two: insert_1 | lookup, lookup_2 | disable",
	"-registry/closed: open_close_a | open_close_a | find_a",
	"registry/closed: open_close_a | close_a | open_a",
	"-registry/growing: open_b | open_c | find_a",
	"registry/brink: open_b | close_a | walk",
	NULL,
};

/* A module that leaves, among others at their work. */
static const char *const owner_programs[] = {
	"owner/open: delete | unregister | sleeper",
	"-owner/closed: close | unregister | sleeper",
	"-owner/open: insert | unregister | sleeper",
	"--owner/closed: open_only | unregister | reclaimer",
	"-owner/tracked: teardown | unregister | reclaimer",
	"-owner/tracked: teardown_found | retire | reclaimer",
	"--owner/tracked: teardown_found | retire | unregister",
	"-owner/open: move | delete | reclaimer",
	"--owner/tracked: move | delete | unregister",
	"-owner/open: unregister | hold | delete",
	"-owner/closed: unregister | open_close | open_close",
	"-owner/closed: unregister | close | keep",
	"-owner/closed: unregister | unregister | open_only",
	"-owner/tracked: unregister | teardown | insert",
	"-owner/tracked: unregister | track | insert",
	"-owner/open: unregister | insert | remove",
	"-owner/closed: open_close | open_close | find",
	"-owner/closed: register | open_close | unregister",
	"-owner/open: unregister | owners | reclaimer",
	NULL,
};

/* Streams that outlive their last close. */
static const char *const idle_programs[] = {
	"-idle/open: close_a | open_a | open_close_b",
	"-idle/idle: open_close_a | open_close_a | open_close_b",
	"-idle/open: forget_a | open_close_a | close_a",
	"-idle/idle: forget_a | open_close_a | find_a",
	"-idle/asked: open_close_a | open_close_b | find_a",
	"-idle/idle: open_close_a | trim | find_a",
	"-idle/open: close_a | limit_0 | open_close_a",
	"-idle/open: close_a | limit_0 | open_close_b",
	"-idle/idle: open_close_a | find_a | walk",
	"-idle/open: close_two_a | close_a | find_a",
	"-idle/open: close_forget_a | open_close_a | find_a",
	"-idle/idle: open_close_b | find_a | reclaimer",
	"-idle/idle: trim | find_a | reclaimer",
	"-idle/full: open_close_a | forget_a | trim",
	"-idle/idle: close_all | look_a",
	"-idle/idle: close_all | trim",
	"-idle/idle: unregister | open_close_a",
	"-idle/idle: unregister | trim",
	"-idle/idle: unregister | forget_a",
	"-idle/open: unregister | close_a",
	"--idle/idle: unregister | open_close_a | reclaimer",
	NULL,
};

/* Too large for all schedules: at random. */
static const char *const large_programs[] = {
	"stream/one: stay_other, stay_other, stay_other | move | delete, stay, stay, delete_other "
	"| reclaimer",
	"stream/one: stay | stay_other | move, stay | delete, delete_other | reclaimer",
	"stream/one: move | move | delete, delete_other | get_hold, stay_other | reclaimer",
	"stream/nine: stay | replace, insert | remove, insert | teardown_report | reclaimer",
	"stream/limit: delete, insert | replace, delete | stay, stay | teardown | sleeper",
	"stream/one: stay, stay | replace, replace | get_hold, put | delete_barrier | reclaimer | "
	"delay",
	"stream/full: delete, barrier | to_poll, poll, poll | insert, delete | to_thread",
	"list/two: lookup, lookup_1, lookup_2 | insert_1, remove | replace_2, remove_1 | insert_2, "
	"delete_2",
	"list/eight: lookup, lookup_any | replace, insert_1 | remove_1, remove | create_1, disable",
	"registry/chained: open_close_a, find_a | open_c, open_b | walk | close_a, existing_a | "
	"reclaimer",
	"registry/closed: open_close_a, open_close_b | open_close_b, open_close_a | find_a, find_a "
	"| close_a | sleeper | delay",
	"owner/open: unregister | open_close, insert | register, track | hold, remove | reclaimer",
	"owner/tracked: unregister | insert, delete | teardown, open_close | lookup, owners | "
	"sleeper",
	"slot/there: insert, lookup | drop, insert | lookup, delete | drop, create | reclaimer",
	NULL,
};

void jobs_init(void)
{
	jobs = mmap(NULL, sizeof(*jobs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (jobs == MAP_FAILED)
		abort();
}

void jobs_add(const char *suite, const char *text, int less, uint64_t seed)
{
	struct job *job = &jobs->job[jobs->count++];

	if (jobs->count > JOBS_MAX)
		abort();
	job->suite = suite;
	job->less = less;
	job->seed = seed;
	job->bound = -1;
	snprintf(job->text, sizeof(job->text), "%s", text);
}

static void list(const char *suite, const char *const *text)
{
	for (; *text; text++) {
		int less = (int)strspn(*text, "-");

		jobs_add(suite, *text + less, less, 0);
	}
}

/* ------------------------------------------------------------------- pairs */

static bool makes_sense(const struct kind *kind, int start, const struct op *a, const struct op *b)
{
	unsigned int either = a->flags | b->flags, both = a->flags & b->flags;

	/* The one frees what the other was called with. */
	if (both & OP_ONCE || either & (OP_MODES | OP_OTHER))
		return false;
	return !(either & OP_STREAM && strcmp(kind->starts[start], "closed") == 0);
}

static void pairs(const char *suite, const struct kind *kind)
{
	char text[sizeof(program.text)];

	for (int start = 0; start < kind->starts_for_pairs; start++)
		for (const struct op *a = kind->ops; a->name; a++)
			for (const struct op *b = a; b->name; b++) {
				if (!makes_sense(kind, start, a, b))
					continue;
				snprintf(text, sizeof(text), "%s/%s: %s | %s", kind->name,
					 kind->starts[start], a->name, b->name);
				jobs_add(suite, text, (a->flags | b->flags) & OP_LONG ? 1 : 0, 0);
			}
}

/*
 * Whoever looks while another does one thing and then a second: what is there
 * all the time must be found, and what was never the newest must not.
 */
static void steps_list(void)
{
	static const char *const lookup[] = { "lookup", "lookup_1", "lookup_any", NULL };
	static const char *const change[] = { "insert_1",   "insert_2", "insert_b", "replace_1",
					      "replace_2",  "replace",  "remove",   "remove_1",
					      "remove_any", "delete_2", "disable",  NULL };
	char text[sizeof(program.text)];

	for (int start = 0; start < list_kind.starts_for_pairs; start++)
		for (const char *const *l = lookup; *l; l++)
			for (const char *const *a = change; *a; a++)
				for (const char *const *b = change; *b; b++) {
					snprintf(text, sizeof(text), "list/%s: %s | %s, %s",
						 list_kind.starts[start], *l, *a, *b);
					jobs_add("steps-list", text, 1, 0);
				}
}

/* ------------------------------------------------------------------ random */

static const struct op *random_op(const struct kind *kind, uint64_t *state)
{
	unsigned int n = 0;

	while (kind->ops[n].name)
		n++;
	return &kind->ops[search_random(state) % n];
}

/* Four threads of three operations, which may all meet. */
static void random_text(const struct kind *kind, uint64_t seed, char *text, size_t size)
{
	uint64_t state = seed;
	unsigned int start =
		(unsigned int)(search_random(&state) % (unsigned int)kind->starts_for_pairs);
	const char *name = kind->starts[start];
	size_t n = (size_t)snprintf(text, size, "%s/%s: ", kind->name, name);

	for (int i = 0; i < PROGRAM_MAX * 3;) {
		const struct op *op = random_op(kind, &state);

		if (op->flags & OP_FREES || !makes_sense(kind, (int)start, op, op))
			continue;
		n += (size_t)snprintf(text + n, size - n, "%s%s", op->name,
				      ++i % 3               ? ", "
				      : i < PROGRAM_MAX * 3 ? " | "
							    : "");
	}
	snprintf(text + n, size - n, " | %s", seed % 2 ? "reclaimer" : "sleeper");
}

static void random_suite(long programs, uint64_t seed)
{
	static const struct kind *const kinds[] = { &stream_kind, &registry_kind, &owner_kind,
						    &list_kind, &idle_kind };
	char text[sizeof(program.text)];

	for (long i = 0; i < programs; i++, seed++) {
		random_text(kinds[seed % 5], seed, text, sizeof(text));
		jobs_add("random", text, 0, seed << 32);
	}
}

static bool wanted(const char *name, const char *suite)
{
	return strcmp(name, suite) == 0 || strcmp(name, "all") == 0;
}

static void large_suite(uint64_t seed)
{
	for (const char *const *text = large_programs; *text; text++)
		jobs_add("large", *text, 0, seed++ << 32);
}

bool suite_add(const char *name, long random_programs, uint64_t seed)
{
	int before = jobs->count;

	if (wanted(name, "owners"))
		list("owners", owner_programs);
	if (wanted(name, "reclaim"))
		list("reclaim", reclaim_programs);
	if (wanted(name, "modes"))
		list("modes", mode_programs);
	if (wanted(name, "triples"))
		list("triples", triples);
	if (wanted(name, "pairs-owner"))
		pairs("pairs-owner", &owner_kind);
	if (wanted(name, "idle"))
		list("idle", idle_programs);
	if (wanted(name, "pairs-idle"))
		pairs("pairs-idle", &idle_kind);
	if (wanted(name, "pairs-registry"))
		pairs("pairs-registry", &registry_kind);
	if (wanted(name, "pairs-stream"))
		pairs("pairs-stream", &stream_kind);
	if (wanted(name, "pairs-slot"))
		pairs("pairs-slot", &slot_kind);
	if (wanted(name, "pairs-list"))
		pairs("pairs-list", &list_kind);
	if (wanted(name, "steps-list"))
		steps_list();
	if (wanted(name, "large"))
		large_suite(seed);
	if (wanted(name, "random"))
		random_suite(random_programs, seed);
	return jobs->count > before;
}
