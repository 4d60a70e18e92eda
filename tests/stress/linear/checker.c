/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The checker itself: histories that are wrong and must be refused, and some
 * that look wrong and must not be.  The text is history.h's.
 */
#include "check.h"
#include "test.h"

static enum verdict check(const char *text, struct finding *finding)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct history h;

	assert_non_null(file);
	assert_true(history_read(&h, file));
	fclose(file);
	return history_check(&h, finding);
}

static void must_be(const char *text, enum verdict want)
{
	static struct finding finding;
	enum verdict got = check(text, &finding);

	if (got != want)
		finding_print(&finding, stdout);
	assert_int_equal(got, want);
}

#define WRONG(name, text)                      \
	static void wrong_##name(void **state) \
	{                                      \
		(void)state;                   \
		must_be(text, NOT_LINEAR);     \
	}
#define RIGHT(name, text)                      \
	static void right_##name(void **state) \
	{                                      \
		(void)state;                   \
		must_be(text, LINEAR);         \
	}

#define ONE   "plain 1\ncontext c0 o1 n0\n"
#define TWO   "plain 1\ncontext c0 o1 n1\ncontext c1 o1 n2\n"
#define TWINS "plain 1\ncontext c0 o1 n1\ncontext c1 o1 n1\n"

/* ------------------------------------------------------------------- wrong */

WRONG(insert_is_lost, ONE "1 1 2 insert s0 c0 = 0\n"
			  "2 3 4 lookup s0 o1 n0 = -\n")
WRONG(lookup_finds_what_was_removed, ONE "1 1 2 insert s0 c0 = 0\n"
					 "1 3 4 remove s0 o1 n0 = c0\n"
					 "2 5 6 lookup s0 o1 n0 = c0\n")
WRONG(remove_hands_out_twice, ONE "1 1 2 insert s0 c0 = 0\n"
				  "1 3 6 remove s0 o1 n0 = c0\n"
				  "2 4 5 remove s0 o0 n0 = c0\n")
WRONG(remove_and_replace_hand_out_the_same, TWINS "1 1 2 insert s0 c0 = 0\n"
						  "1 3 6 remove s0 o1 n0 = c0\n"
						  "2 4 5 replace s0 c1 = 0 c0\n")
WRONG(insert_after_teardown, ONE "1 1 2 teardown s0 = 0\n"
				 "2 3 4 insert s0 c0 = 0\n")
WRONG(exists_and_nothing_is_there, TWINS "1 1 4 insert s0 c0 = 0\n"
					 "1 5 6 remove s0 o1 n1 = c0\n"
					 "2 7 8 unique s0 c1 = -EEXIST c0\n")
WRONG(two_unique_inserts_succeed, TWINS "1 1 4 unique s0 c0 = 0 -\n"
					"2 2 3 unique s0 c1 = 0 -\n")
WRONG(two_openers_get_two_streams, "1 1 4 open i0 = 0 s0\n"
				   "2 2 3 open i0 = 0 s1\n")
WRONG(two_ids_get_one_stream, "1 1 4 open i0 = 0 s0\n"
			      "2 2 3 open i1 = 0 s0\n")
WRONG(older_is_taken_for_newest, TWO "1 1 2 insert s0 c0 = 0\n"
				     "1 3 4 insert s0 c1 = 0\n"
				     "2 5 6 lookup s0 o1 n0 = c0\n")
WRONG(find_after_the_last_close, "1 1 2 open i0 = 0 s0\n"
				 "1 3 4 close s0 = 0\n"
				 "2 5 6 find i0 = s0\n")
WRONG(find_misses_what_another_holds_open, "1 1 2 open i0 = 0 s0\n"
					   "2 3 4 open i0 = 0 s0\n"
					   "2 5 7 close s0 = 0\n"
					   "1 6 8 find i0 = -\n")
WRONG(existing_is_not_found, "1 1 2 open i0 = 0 s0\n"
			     "2 3 4 open i0 existing = -ENOENT -\n")
WRONG(last_close_leaves_a_context, "context c0 o1 n0\n"
				   "1 1 2 open i0 = 0 s0\n"
				   "1 3 4 insert s0 c0 = 0\n"
				   "1 5 6 close s0 = 0\n"
				   "0 7 8 called c0 = 0\n")
WRONG(called_back_though_handed_out, ONE "1 1 2 insert s0 c0 = 0\n"
					 "1 3 4 remove s0 o1 n0 = c0\n"
					 "0 5 6 called c0 = 1\n")
WRONG(called_back_twice, ONE "1 1 2 insert s0 c0 = 0\n"
			     "1 3 6 delete s0 o1 n0 = 0\n"
			     "2 4 5 teardown s0 = 0\n"
			     "0 7 8 called c0 = 2\n")
WRONG(stranded_by_a_teardown, ONE "1 1 4 insert s0 c0 = 0\n"
				  "2 2 3 teardown s0 = 0\n"
				  "0 5 6 called c0 = 0\n")
WRONG(replace_moves_to_the_front, TWO "context c2 o1 n1\n"
				      "1 1 2 insert s0 c0 = 0\n"
				      "1 3 4 insert s0 c1 = 0\n"
				      "1 5 6 replace s0 c2 = 0 c0\n"
				      "2 7 8 lookup s0 o0 n0 = c2\n")
WRONG(replace_leaves_a_gap, TWINS "1 1 2 insert s0 c0 = 0\n"
				  "1 3 6 replace s0 c1 = 0 c0\n"
				  "2 4 5 lookup s0 o1 n1 = -\n")
WRONG(two_winners_of_get_or_create, "plain 1\ncontext c0 o1 n0 created\ncontext c1 o1 n0 created\n"
				    "1 1 4 create s0 c0 = 0 c0 made\n"
				    "2 2 3 create s0 c1 = 0 c1 made\n")
WRONG(loser_of_get_or_create_is_not_called_back,
      "plain 1\ncontext c0 o1 n0 created\ncontext c1 o1 n0 created\n"
      "1 1 4 create s0 c0 = 0 c0 made\n"
      "2 2 3 create s0 c1 = 0 c0 made\n"
      "0 5 6 called c1 = 0\n")
WRONG(readers_disagree_on_the_order, TWO "1 1 10 insert s0 c0 = 0\n"
					 "2 2 11 insert s0 c1 = 0\n"
					 "3 3 4 lookup s0 o1 n0 = c0\n"
					 "3 5 6 lookup s0 o1 n0 = c1\n"
					 "4 3 7 lookup s0 o1 n2 = c1\n"
					 "4 8 9 lookup s0 o1 n1 = -\n")
WRONG(missed_behind_the_reader, TWO "1 1 2 insert s0 c0 = 0\n"
				    "2 3 8 lookup s0 o1 n0 = -\n"
				    "1 4 5 insert s0 c1 = 0\n"
				    "1 6 7 detach c0 = 0\n")
WRONG(busy_and_hangs_nowhere, ONE "1 1 2 insert s0 c0 = 0\n"
				  "1 3 4 remove s0 o1 n0 = c0\n"
				  "1 5 6 insert s0 c0 = -EBUSY\n")
WRONG(on_two_streams_at_once, "plain 2\ncontext c0 o1 n0\n"
			      "1 1 2 ref c0 = 0\n"
			      "1 3 6 insert s0 c0 = 0\n"
			      "2 4 5 insert s1 c0 = 0\n")
WRONG(disabled_stream_shows_a_context, ONE "1 1 2 insert s0 c0 = 0\n"
					   "1 3 4 disable s0 = 0\n"
					   "2 5 6 get s0 o1 n0 = c0\n")
WRONG(nobody_s_pointer, ONE "1 1 2 lookup s0 o1 n0 = ?\n")
WRONG(reference_lost, ONE "1 1 2 insert s0 c0 = 0\n"
			  "1 3 6 get s0 o1 n0 = c0\n"
			  "2 4 5 delete s0 o1 n0 = 0\n"
			  "0 7 8 called c0 = 1\n")

/* ------------------------------------------------------------------- right */

RIGHT(lookup_beside_an_insert_finds_or_not, ONE "1 1 8 insert s0 c0 = 0\n"
						"2 2 3 lookup s0 o1 n0 = -\n"
						"2 4 5 lookup s0 o1 n0 = c0\n"
						"3 6 7 lookup s0 o1 n0 = c0\n")
RIGHT(called_later_took_effect_first, TWO "1 1 6 insert s0 c0 = 0\n"
					  "2 2 5 insert s0 c1 = 0\n"
					  "3 3 4 lookup s0 o1 n0 = -\n"
					  "3 7 8 lookup s0 o1 n0 = c0\n")
RIGHT(remove_of_an_insert_under_way, ONE "1 1 6 insert s0 c0 = 0\n"
					 "2 2 3 remove s0 o1 n0 = c0\n"
					 "2 4 5 lookup s0 o1 n0 = -\n"
					 "3 7 8 lookup s0 o0 n0 = -\n")
RIGHT(loser_gets_the_winner, "plain 1\ncontext c0 o1 n0 created\ncontext c1 o1 n0 created\n"
			     "1 1 4 create s0 c0 = 0 c1 made\n"
			     "2 2 3 create s0 c1 = 0 c1 made\n"
			     "0 5 6 called c0 = 1\n"
			     "0 7 8 called c1 = 0\n")
RIGHT(refused_and_called_back_once, TWINS "1 1 6 teardown s0 = 0\n"
					  "2 2 3 insert s0 c0 = 0\n"
					  "3 4 5 insert s0 c1 = -ESHUTDOWN\n"
					  "0 7 8 called c0 = 1\n")
RIGHT(address_comes_back_for_another_stream, "1 1 2 open i0 = 0 s0\n"
					     "1 3 4 close s0 = 0\n"
					     "2 5 6 open i1 = 0 s0\n"
					     "1 7 8 find i0 = -\n"
					     "1 9 10 find i1 = s0\n")
RIGHT(open_takes_over_from_a_close, "1 1 2 open i0 = 0 s0\n"
				    "1 3 6 close s0 = 0\n"
				    "2 4 5 open i0 = 0 s0\n"
				    "2 7 8 find i0 = s0\n")
RIGHT(last_close_is_seen_in_steps, "context c0 o1 n0\n"
				   "1 1 2 open i0 = 0 s0\n"
				   "1 3 16 close s0 = 0\n"
				   "2 4 5 open i0 existing = -ENOENT -\n"
				   "2 6 7 find i0 = s0\n"
				   "2 8 9 find i0 = -\n"
				   "2 10 11 insert s0 c0 = 0\n"
				   "2 12 13 lookup s0 o1 n0 = c0\n"
				   "2 14 15 lookup s0 o1 n0 = -\n"
				   "0 17 18 called c0 = 1\n")
RIGHT(opened_anew_while_the_old_is_torn_down, "1 1 2 open i0 = 0 s0\n"
					      "1 3 8 close s0 = 0\n"
					      "2 4 5 open i0 = 0 s1\n"
					      "2 6 7 find i0 = s1\n")
RIGHT(borrowed_and_taken_after_its_last_put, ONE "1 1 2 insert s0 c0 = 0\n"
						 "2 3 4 lookup s0 o1 n0 = c0\n"
						 "1 5 6 delete s0 o1 n0 = 0\n"
						 "2 7 8 ref c0 = 0\n"
						 "0 9 10 called c0 = 0\n")
RIGHT(removed_and_hung_up_elsewhere, "plain 2\ncontext c0 o1 n0\n"
				     "1 1 2 insert s0 c0 = 0\n"
				     "1 3 4 remove s0 o1 n0 = c0\n"
				     "1 5 8 insert s1 c0 = 0\n"
				     "2 6 7 lookup s0 o0 n0 = -\n"
				     "2 9 10 lookup s1 o0 n0 = c0\n")
RIGHT(busy_while_it_is_taken_down, "plain 2\ncontext c0 o1 n0\n"
				   "1 1 2 insert s0 c0 = 0\n"
				   "1 3 4 ref c0 = 0\n"
				   "1 5 10 teardown s0 = 0\n"
				   "2 6 7 lookup s0 o1 n0 = -\n"
				   "2 8 9 insert s1 c0 = -EBUSY\n")
RIGHT(replaced_in_its_place, TWO "context c2 o1 n1\n"
				 "1 1 2 insert s0 c0 = 0\n"
				 "1 3 4 insert s0 c1 = 0\n"
				 "1 5 8 replace s0 c2 = 0 c0\n"
				 "2 6 7 lookup s0 o1 n1 = c0\n"
				 "2 9 10 lookup s0 o1 n0 = c1\n"
				 "2 11 12 lookup s0 o1 n1 = c2\n")
RIGHT(no_owner_but_an_instance, ONE "1 1 2 insert s0 c0 = 0\n"
				    "2 3 4 lookup s0 o0 n1 = -\n")

/* ------------------------------------------------------------------ the rest */

/* Six times four at once: 24^6 orders, and without memory all of them. */
static void memory_bounds_the_search(void **state)
{
	static struct finding finding;
	char text[2048] = ONE;

	(void)state;
	for (unsigned int i = 0; i < 24; i++)
		sprintf(text + strlen(text), "%u %u %u ref c0 = 0\n", i % 4 + 1, i / 4 * 10 + i % 4,
			i / 4 * 10 + 5 + i % 4);
	strcat(text, "1 100 101 lookup s0 o1 n0 = c0\n");
	assert_int_equal(check(text, &finding), NOT_LINEAR);
	assert_u64(finding.length, ==, 24);
	assert_u64(finding.states, <, 100);
}

static void what_is_not_tied_is_checked_apart(void **state)
{
	static struct finding finding;

	(void)state;
	assert_int_equal(check("plain 2\ncontext c0 o1 n0\ncontext c1 o1 n0\n"
			       "1 1 4 insert s0 c0 = 0\n2 2 3 insert s1 c1 = 0\n"
			       "1 5 6 open i0 = 0 s2\n2 7 8 find i1 = -\n",
			       &finding),
			 LINEAR);
	assert_u64(finding.parts, ==, 4);
	assert_int_equal(check("plain 2\ncontext c0 o1 n0\n"
			       "1 1 2 insert s0 c0 = 0\n1 3 4 remove s0 o1 n0 = c0\n"
			       "1 5 6 insert s1 c0 = 0\n",
			       &finding),
			 LINEAR);
	assert_u64(finding.parts, ==, 1);
}

static void text_comes_back_as_it_was(void **state)
{
	static const char text[] = "plain 1\n"
				   "context c0 o1 n2\n"
				   "context c1 o1 n0 created\n"
				   "1 1 4 unique s0 c0 = -EEXIST c1\n"
				   "2 2 3 create s0 c1 = 0 c1 made\n"
				   "1 5 6 get s0 o1 n0 = ?\n"
				   "1 7 8 open i1 existing = -ENOENT -\n";
	char again[sizeof(text) + 64] = "";
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	FILE *out = fmemopen(again, sizeof(again), "w");
	struct history h;

	(void)state;
	assert_true(history_read(&h, in));
	history_write(&h, out);
	fclose(in);
	fclose(out);
	assert_string_equal(again, text);
}

static void nonsense_is_not_read(void **state)
{
	static const char *const bad[] = {
		"1 1 2 insert s0 c0 = 0\n",                /* no such context */
		ONE "1 2 1 lookup s0 o1 n0 = -\n",         /* back in time */
		ONE "1 1 2 lookup s0 o1 n0\n",             /* no result */
		ONE "1 1 2 lookup o1 n0 = -\n",            /* where? */
		ONE "1 1 2 put s0 = 0\n",                  /* not its operand */
		ONE "1 1 2 frob s0 = 0\n",                 /* what? */
		ONE "1 1 3 put c0 = 0\n1 2 4 put c0 = 0\n" /* two at a time */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		FILE *file = fmemopen((void *)(uintptr_t)bad[i], strlen(bad[i]), "r");
		struct history h;

		assert_false(history_read(&h, file));
		fclose(file);
	}
}

static void overlaps_are_counted(void **state)
{
	static const char text[] = "plain 2\ncontext c0 o1 n0\n"
				   "1 1 4 insert s0 c0 = 0\n"
				   "2 2 3 lookup s0 o1 n0 = -\n"
				   "3 5 8 lookup s0 o1 n0 = c0\n"
				   "2 6 7 lookup s1 o1 n0 = -\n"
				   "1 9 10 put c0 = 0\n";
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	struct overlap overlap;
	struct history h;

	(void)state;
	assert_true(history_read(&h, file));
	fclose(file);
	overlap = history_overlap(&h);
	assert_u64(overlap.ops, ==, 4);
	assert_u64(overlap.pairs, ==, 2);
	assert_u64(overlap.pairs_on_one, ==, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_insert_is_lost),
		cmocka_unit_test(wrong_lookup_finds_what_was_removed),
		cmocka_unit_test(wrong_remove_hands_out_twice),
		cmocka_unit_test(wrong_remove_and_replace_hand_out_the_same),
		cmocka_unit_test(wrong_insert_after_teardown),
		cmocka_unit_test(wrong_exists_and_nothing_is_there),
		cmocka_unit_test(wrong_two_unique_inserts_succeed),
		cmocka_unit_test(wrong_two_openers_get_two_streams),
		cmocka_unit_test(wrong_two_ids_get_one_stream),
		cmocka_unit_test(wrong_older_is_taken_for_newest),
		cmocka_unit_test(wrong_find_after_the_last_close),
		cmocka_unit_test(wrong_find_misses_what_another_holds_open),
		cmocka_unit_test(wrong_existing_is_not_found),
		cmocka_unit_test(wrong_last_close_leaves_a_context),
		cmocka_unit_test(wrong_called_back_though_handed_out),
		cmocka_unit_test(wrong_called_back_twice),
		cmocka_unit_test(wrong_stranded_by_a_teardown),
		cmocka_unit_test(wrong_replace_moves_to_the_front),
		cmocka_unit_test(wrong_replace_leaves_a_gap),
		cmocka_unit_test(wrong_two_winners_of_get_or_create),
		cmocka_unit_test(wrong_loser_of_get_or_create_is_not_called_back),
		cmocka_unit_test(wrong_readers_disagree_on_the_order),
		cmocka_unit_test(wrong_missed_behind_the_reader),
		cmocka_unit_test(wrong_busy_and_hangs_nowhere),
		cmocka_unit_test(wrong_on_two_streams_at_once),
		cmocka_unit_test(wrong_disabled_stream_shows_a_context),
		cmocka_unit_test(wrong_nobody_s_pointer),
		cmocka_unit_test(wrong_reference_lost),
		cmocka_unit_test(right_lookup_beside_an_insert_finds_or_not),
		cmocka_unit_test(right_called_later_took_effect_first),
		cmocka_unit_test(right_remove_of_an_insert_under_way),
		cmocka_unit_test(right_loser_gets_the_winner),
		cmocka_unit_test(right_refused_and_called_back_once),
		cmocka_unit_test(right_address_comes_back_for_another_stream),
		cmocka_unit_test(right_open_takes_over_from_a_close),
		cmocka_unit_test(right_last_close_is_seen_in_steps),
		cmocka_unit_test(right_opened_anew_while_the_old_is_torn_down),
		cmocka_unit_test(right_borrowed_and_taken_after_its_last_put),
		cmocka_unit_test(right_removed_and_hung_up_elsewhere),
		cmocka_unit_test(right_busy_while_it_is_taken_down),
		cmocka_unit_test(right_replaced_in_its_place),
		cmocka_unit_test(right_no_owner_but_an_instance),
		cmocka_unit_test(memory_bounds_the_search),
		cmocka_unit_test(what_is_not_tied_is_checked_apart),
		cmocka_unit_test(text_comes_back_as_it_was),
		cmocka_unit_test(nonsense_is_not_read),
		cmocka_unit_test(overlaps_are_counted),
	};

	return TEST_RUN(tests);
}
