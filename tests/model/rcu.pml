/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read sections and limbo, as list.pml and table.pml need them; reclaim.pml
 * models how limbo comes about.
 *
 * A section is a bit of @inside.  What is retired waits for the sections of
 * that moment, as if a grace period began at once: nothing that is called
 * back correctly under this could be called back too early by the library,
 * which begins its grace periods later.  The includer defines OBJECTS,
 * PLAIN and, for each process that has sections, a byte i_.
 *
 * BROKEN names the one rule that a variant breaks; 0 is the library.
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#define BIT(n)	   (1 << (n))
#define HAS(set, n) ((set) & BIT(n))

byte inside;	       /* processes in a section */
byte waits[OBJECTS];   /* sections that this object in limbo waits for */
bool limbo[OBJECTS];
bool freed[OBJECTS];

inline section_begin(p)
{
	inside = inside | BIT(p)
}

/* In one list of limbo at a time: they are linked through the object. */
inline retire(object)
{
	d_step {
		assert(!limbo[object] && !freed[object]);
		limbo[object] = true;
		waits[object] = inside
	}
}

/*
 * Objects that are just freed, from PLAIN on, are so as early as can be: that
 * is worst for who comes too late.  The others are called back by a process.
 */
inline section_end(p)
{
	d_step {
		inside = inside & ~BIT(p);
		i_ = 0;
		do
		:: i_ < OBJECTS ->
			waits[i_] = waits[i_] & ~BIT(p);
			if
			:: i_ >= PLAIN && limbo[i_] && waits[i_] == 0 ->
				limbo[i_] = false;
				freed[i_] = true
			:: else
			fi;
			i_++
		:: else -> break
		od;
		i_ = 0
	}
}

#define RIPE(object) (limbo[object] && waits[object] == 0)
