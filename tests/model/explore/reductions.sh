#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The search leaves out steps that no other thread sees, and schedules that are
# the same as others.  Here it must see what a search sees that leaves out
# nothing: every value that every thread read (behaviour.h).

exec "${EXPLORE_DIR:?run by make}/explore" --bound=2 --behaviours \
	'stream/one: insert | remove' \
	'stream/one: replace | lookup' \
	'stream/full: insert | detach_found' \
	'stream/one: insert_loose | insert_loose_other' \
	'list/two: lookup | replace_1' \
	'slot/none: create | drop' \
	'registry/closed: existing_a | close_a' \
	'registry/brink: open_b | find_a'
