/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program's text to threads, and one execution of it.  See ops.h. */
#include "ops.h"

#include "delay.h"
#include "ledger.h"
#include "memory.h"
#include "search.h"

#include <stdlib.h>
#include <string.h>

struct program program;
bool program_complete;
const char owner_a, owner_b;

static const struct kind *const kinds[] = { &stream_kind, &registry_kind, &owner_kind, &slot_kind,
					    &list_kind,   &idle_kind };

static int running;
static bool go, finishing;

/* -------------------------------------------------------------------- text */

static char *trim(char *text)
{
	size_t length;

	while (*text == ' ')
		text++;
	length = strlen(text);
	while (length && text[length - 1] == ' ')
		text[--length] = '\0';
	return text;
}

static bool parse_op(const char *name, const struct op **op)
{
	for (*op = program.kind->ops; (*op)->name; ++*op)
		if (strcmp((*op)->name, name) == 0) {
			program.flags |= (*op)->flags;
			return true;
		}
	return false;
}

static bool parse_thread(char *text)
{
	char *save, *name;
	int n = 0;

	text = trim(text);
	if (strcmp(text, "reclaimer") == 0 || strcmp(text, "sleeper") == 0) {
		program.reclaimer = *text == 'r' ? RECLAIMER_AWAKE : RECLAIMER_ASLEEP;
		return true;
	}
	if (strcmp(text, "delay") == 0)
		return program.delays = true;
	if (program.threads == PROGRAM_MAX)
		return false;
	for (name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save))
		if (n == OPS_MAX - 1 || !parse_op(trim(name), &program.op[program.threads][n++]))
			return false;
	program.threads++;
	return n > 0;
}

static bool parse_start(char *text)
{
	char *start = strchr(text, '/');

	if (!start)
		return false;
	*start++ = '\0';
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (int i = 0; i < STARTS_MAX && kinds[k]->starts[i]; i++)
			if (strcmp(kinds[k]->name, text) == 0 &&
			    strcmp(kinds[k]->starts[i], start) == 0) {
				program.kind = kinds[k];
				program.start = i;
				return true;
			}
	return false;
}

bool program_parse(const char *text)
{
	char copy[sizeof(program.text)], *threads_text, *save, *thread;

	memset(&program, 0, sizeof(program));
	snprintf(program.text, sizeof(program.text), "%s", text);
	memcpy(copy, program.text, sizeof(copy));
	threads_text = strchr(copy, ':');
	if (!threads_text)
		return false;
	*threads_text++ = '\0';
	if (!parse_start(trim(copy)))
		return false;
	for (thread = strtok_r(threads_text, "|", &save); thread;
	     thread = strtok_r(NULL, "|", &save))
		if (!parse_thread(thread))
			return false;
	return program.threads > 0;
}

int program_count(unsigned int flag)
{
	int n = 0;

	for (int t = 0; t < program.threads; t++)
		for (const struct op **op = program.op[t]; *op; op++)
			n += ((*op)->flags & flag) != 0;
	return n;
}

/* --------------------------------------------------------------- execution */

static bool may_go(struct thread *self)
{
	(void)self;
	return go;
}

static bool may_end(struct thread *self)
{
	(void)self;
	return finishing;
}

static bool all_ran(struct thread *self)
{
	(void)self;
	return running == 0;
}

static bool all_ended(struct thread *self)
{
	(void)self;
	for (int i = 0; i < program.threads; i++)
		if (!threads[PROGRAM_FIRST + i].done)
			return false;
	return true;
}

static bool others_wait(struct thread *self)
{
	return !others_can_run(self);
}

static void *program_thread(void *arg)
{
	const struct op **op = arg;

	if (sctx_thread_attach())
		explore_fail("a thread cannot attach");
	engine_wait(may_go, "the start");
	for (; *op; op++) {
		(*op)->run();
		if (op[1])
			engine_pause();
	}
	if (--running == 0)
		concurrent = false;
	engine_wait(may_end, "the end");
	return NULL;
}

static void spawn_threads(void)
{
	running = program.threads;
	go = finishing = false;
	for (int i = 0; i < program.threads; i++) {
		const struct op **op = program.op[i];
		char name[64] = "";

		for (; *op; op++)
			snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s%s",
				 *name ? ", " : "", (*op)->name);
		engine_spawn(name, PROGRAM_FIRST, program_thread, program.op[i]);
	}
}

/* Asleep, the reclaimer must have left nothing undone. */
static void check_sleep(void)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	engine_wait(others_wait, "the reclaimer to sleep");
	if (sctx_stats_get(&stats))
		explore_fail("stats fail");
	explore_check(!stats.limbo_callbacks && !stats.limbo_bytes,
		      "the reclaimer sleeps, and limbo holds %d callbacks, %d bytes",
		      (int)stats.limbo_callbacks, (int)stats.limbo_bytes);
}

static void *program_main(void *unused)
{
	ledger_reset();
	program.kind->set_up(program.start);
	spawn_threads();
	engine_wait(others_wait, "threads to attach");
	if (program.reclaimer == RECLAIMER_AWAKE)
		ledger_put(ledger_new(&owner_b, NULL));
	library_last = program.reclaimer == RECLAIMER_LAST;
	delays = program.delays;
	go = concurrent = true;
	engine_wait(all_ran, "the program");
	concurrent = library_last = false;
	if (!program.by_hand)
		check_sleep();

	program.kind->finish();
	finishing = true;
	engine_wait(all_ended, "threads to end");
	if (sctx_barrier())
		explore_fail("a barrier that fails");
	engine_wait(others_wait, "the reclaimer to sleep");
	program.kind->check_end();
	ledger_check_end();
	if (sctx_thread_detach())
		explore_fail("a thread cannot detach");
	library_end();
	memory_check_leaks();
	program_complete = true;
	return unused;
}

void program_run(void)
{
	program_complete = false;
	search_begin();
	engine_run(program_main);
}
