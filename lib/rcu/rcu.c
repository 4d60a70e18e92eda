/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of the RCU seam that is not inline: slow paths, the flavour's symbol,
 * and the c11 flavour.
 */
#include "rcu/rcu.h"

const char SCTX__INLINE_ABI = 1;

static void (*attach_thread)(void);

void sctx__rcu_on_new_thread(void (*attach)(void))
{
	attach_thread = attach;
}

void sctx__reader_attach_slow(void)
{
	attach_thread();
	sctx__rcu_online();
}

#if defined(SCTX__MEMB_READY)

/* The counter of a thread that has not taken the slow path yet: never READY. */
static unsigned long not_ready;

SCTX__TLS unsigned long *sctx__memb_ctr = &not_ready;

/* This liburcu would not understand READY (lib/rcu/assumed.c). */
static bool differs;

void sctx__rcu_init(void)
{
	differs = !sctx__rcu_is_as_assumed();
}

/*
 * What a section adds to the counter.  Without a fast path it is twice as much, so
 * that inline.h never takes the end of a section for its own, and never stores READY.
 */
static unsigned long section(void)
{
	return urcu_memb_has_sys_membarrier && !differs ? URCU_GP_COUNT : 2 * URCU_GP_COUNT;
}

void sctx__memb_read_lock_slow(void)
{
	sctx__reader_attach_slow();
	sctx__memb_ctr = &URCU_TLS(urcu_memb_reader).ctr;
	urcu_memb_read_lock();
	if (section() != URCU_GP_COUNT)
		urcu_memb_read_lock();
}

void sctx__memb_read_unlock_slow(void)
{
	unsigned long added = section();

	if ((*sctx__memb_counter() & URCU_GP_CTR_NEST_MASK) == added)
		sctx__tsan_release(&urcu_memb_gp);
	urcu_memb_read_unlock();
	if (added != URCU_GP_COUNT)
		urcu_memb_read_unlock();
}

/*
 * Wake the grace period if it may be waiting for this section, that is, if the
 * section began before it flipped the phase.  liburcu's own sections always wake
 * it; it then scans the readers, runs two membarriers and sleeps again, and
 * while one reader is preempted inside, the others do little else.
 *
 *   section                         grace period
 *   E1 store ctr = READY            G1 flip the phase
 *   E2 load futex: -1               G2 store futex = -1
 *   E3 load the phase               G3 membarrier(2)
 *                                   G4 load ctr; old: sleep while futex is -1
 *
 * If G3 falls after E1, G4 sees that the reader is outside.  If it falls before
 * E1, then E2 and E3 see G2 and G1, and the reader wakes the grace period that
 * waits for its old phase; that grace period does not flip the phase again
 * meanwhile.  Checked by tests/model/wake.pml.
 */
void sctx__memb_section_ended(unsigned long section)
{
	if ((section ^ CMM_LOAD_SHARED(urcu_memb_gp.ctr)) & URCU_GP_CTR_PHASE)
		urcu_common_wake_up_gp(&urcu_memb_gp);
}

#elif defined(SCTX_RCU_QSBR)

/* The counter of a thread that was never online. */
static unsigned long offline;

SCTX__TLS unsigned int sctx__qsbr_nesting;
SCTX__TLS unsigned long *sctx__qsbr_ctr = &offline;

void sctx__qsbr_section_ended(void)
{
	if (sctx__qsbr_nesting == 0)
		urcu_qsbr_quiescent_state();
}

#elif defined(SCTX_RCU_C11)

#include <pthread.h>

/*
 * A reader publishes the grace-period number under which it began; 0 is
 * "outside".  A grace period takes the next number and waits for every reader
 * that shows an older one.
 *
 *   reader                          grace period
 *   R1 store ctr = gp               W1 (caller's unlink)
 *   R2 fence                        W2 fence
 *   R3 load pointers                W3 gp + 1, load each ctr
 *
 * Because of the fences, R3 and W3 cannot both miss the other side's store: a
 * reader that the grace period does not wait for sees the unlink.
 */
struct reader {
	uint64_t ctr;
	unsigned int nesting;
	bool registered;
	struct reader *next;
	struct reader **link;
};

static SCTX__TLS struct reader self;
static uint64_t gp = 1;
static struct reader *readers;
static pthread_mutex_t readers_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t gp_lock = PTHREAD_MUTEX_INITIALIZER;

void sctx__rcu_read_lock(void)
{
	if (!self.registered)
		sctx__reader_attach_slow();
	if (self.nesting++ == 0) {
		sctx__store(&self.ctr, sctx__load(&gp));
		sctx__fence(); /* R2, pairs with W2 */
	}
}

void sctx__rcu_read_unlock(void)
{
	/* Pairs with the acquire in wait_for(): the section is over. */
	if (--self.nesting == 0)
		sctx__store_release(&self.ctr, 0);
}

bool sctx__rcu_read_ongoing(void)
{
	return self.nesting != 0;
}

bool sctx__rcu_registered(void)
{
	return self.registered;
}

void *sctx__rcu_register(void)
{
	pthread_mutex_lock(&readers_lock);
	self.registered = true;
	self.next = readers;
	self.link = &readers;
	if (readers)
		readers->link = &self.next;
	readers = &self;
	pthread_mutex_unlock(&readers_lock);
	return &self;
}

void sctx__rcu_forget(void *gone)
{
	struct reader *reader = gone;

	*reader->link = reader->next;
	if (reader->next)
		reader->next->link = reader->link;
}

bool sctx__rcu_inside(void *reader)
{
	return sctx__load(&((struct reader *)reader)->ctr) != 0;
}

void sctx__rcu_unregister(void)
{
	pthread_mutex_lock(&readers_lock);
	self.registered = false;
	sctx__rcu_forget(&self);
	pthread_mutex_unlock(&readers_lock);
}

/* Whether a reader that began before grace period @number is still inside. */
static bool old_reader(uint64_t number)
{
	bool found = false;

	pthread_mutex_lock(&readers_lock);
	for (struct reader *r = readers; r && !found; r = r->next) {
		/* Pairs with the release in sctx__rcu_read_unlock(). */
		uint64_t ctr = sctx__load_acquire(&r->ctr);

		found = ctr != 0 && ctr < number;
	}
	pthread_mutex_unlock(&readers_lock);
	return found;
}

void sctx__rcu_synchronize(void)
{
	uint64_t number;

	pthread_mutex_lock(&gp_lock);
	sctx__fence(); /* W2, pairs with R2 */
	number = gp + 1;
	sctx__store(&gp, number);
	sctx__fence(); /* a reader that shows the new number began after W1 */
	while (old_reader(number))
		sched_yield();
	pthread_mutex_unlock(&gp_lock);
}

#endif
