/* SPDX-License-Identifier: Apache-2.0 */
/* END holds the answer: nothing more leaves before it is let go, and what comes of it then. */
#include "core/work/test_script.h"

static struct ch_ctx *held[4];
static unsigned nheld;

static void hold(struct ch_ctx *c)
{
	held[nheld++] = c;
	ch_hold(c);
}

static void hold_twice(struct ch_ctx *c)
{
	hold(c);
	ch_hold(c);
}

static void let_first_go(void *data)
{
	(void)data;
	inside = true;
	ch_let_go(held[0], true);
	inside = false;
}

static void cut_first(void *data)
{
	(void)data;
	ch_let_go(held[0], false);
}

static void cut_and_let_go(void *data)
{
	(void)data;
	ch_let_go(held[0], false);
	ch_let_go(held[0], true);
}

static void let_all_go(void *data)
{
	(void)data;
	for (unsigned i = 0; i < nheld; i++)
		ch_let_go(held[i], true);
}

static int stream_three(struct ch_ctx *c)
{
	ch_begin(c, 200);
	ch_write(c, "one", 3, NULL, NULL);
	ch_write(c, "two", 3, NULL, NULL);
	ch_end(c);
	return CH_DONE;
}

static int stream_six_known(struct ch_ctx *c)
{
	ch_length(c, 6);
	return stream_three(c);
}

static struct ch_test *begin_held(int (*fn)(struct ch_ctx *), void (*ender)(struct ch_ctx *))
{
	struct ch_test *t = begin(fn);

	nheld = 0;
	end = ender;
	return t;
}

static void nothing_of_a_whole_answer_leaves_before_it_is_let_go(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(answer_ok, hold);
	struct ch_test_answer *a = get(t);

	ch_test_advance(t, 60000);
	assert_int_equal(ends, 1);
	assert_int_equal(a->status, 0);
	ch_test_on_loop(t, let_first_go, NULL);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "ok");
	assert_true(a->complete);
	ch_test_free(t);
}

static void a_stream_ends_only_when_it_is_let_go(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(stream_three, hold);
	struct ch_test_answer *a = get(t);

	assert_string_equal(a->body, "onetwo");
	assert_false(a->complete);
	ch_test_on_loop(t, let_first_go, NULL);
	assert_true(a->complete);
	ch_test_free(t);
}

static void the_last_bytes_of_a_known_length_wait(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(stream_six_known, hold);
	struct ch_test_answer *a = get(t);

	assert_string_equal(a->body, "one");
	ch_test_on_loop(t, let_first_go, NULL);
	assert_string_equal(a->body, "onetwo");
	assert_true(a->complete);
	ch_test_free(t);
}

static void a_promise_that_fails_cuts_the_answer(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct ch_test *t = begin_held(i ? stream_three : answer_ok, hold);
		struct ch_test_answer *a = get(t);
		ch_test_on_loop(t, cut_first, NULL);
		assert_true(a->done);
		assert_false(a->complete);
		assert_int_equal(a->status, i ? 200 : 0);
		ch_test_free(t);
	}
}

static void two_holds_want_two_letting_go_and_one_no_cuts(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(answer_ok, hold_twice);
	struct ch_test_answer *a = get(t);

	ch_test_on_loop(t, let_first_go, NULL);
	assert_int_equal(a->status, 0);
	ch_test_on_loop(t, let_first_go, NULL);
	assert_int_equal(a->status, 200);
	nheld = 0;
	a = get(t);
	ch_test_on_loop(t, cut_and_let_go, NULL);
	assert_true(a->done);
	assert_int_equal(a->status, 0);
	ch_test_free(t);
}

static void a_client_that_leaves_meanwhile_does_no_harm(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(answer_ok, hold);
	struct ch_test_answer *a = get(t);

	ch_test_leave(a);
	ch_test_advance(t, 1000);
	ch_test_on_loop(t, let_first_go, NULL);
	assert_int_equal(a->status, 0);
	ch_test_free(t);
}

static void held_answers_are_let_go_together(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(answer_ok, hold);
	struct ch_test_answer *a = get(t), *b = get(t);

	ch_test_on_loop(t, let_all_go, NULL);
	assert_int_equal(a->status, 200);
	assert_int_equal(b->status, 200);
	ch_test_free(t);
}

static void hold_and_let_go(struct ch_ctx *c)
{
	ch_hold(c);
	ch_let_go(c, true);
}

static void hold_and_cut(struct ch_ctx *c)
{
	ch_hold(c);
	ch_hold(c);
	ch_let_go(c, false);
	ch_let_go(c, true);
}

static void a_hold_may_be_let_go_inside_end(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(answer_ok, hold_and_let_go);
	assert_int_equal(get(t)->status, 200);
	handler = stream_three;
	assert_true(get(t)->complete);
	handler = answer_ok;
	end = hold_and_cut;
	struct ch_test_answer *a = get(t);
	assert_true(a->done);
	assert_int_equal(a->status, 0);
	ch_test_free(t);
}

static int task_done(struct ch_ctx *c, void *data)
{
	(void)c;
	(void)data;
	return CH_DONE;
}

static void a_task_is_held_too(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(answer_ok, hold);

	assert_true(ch_test_task(t, "script", 0, task_done, NULL));
	assert_int_equal(nheld, 1);
	ch_test_on_loop(t, let_first_go, NULL);
	ch_test_free(t); /* which fails if the task is still there */
}

static int hold_too_early(struct ch_ctx *c)
{
	ch_hold(c);
	return answer_ok(c);
}

static void hold_outside_of_end_is_misuse(void **state)
{
	(void)state;
	struct ch_test *t = begin_held(hold_too_early, NULL);

	ch_test_expect_misuse(t);
	assert_int_equal(get(t)->status, 200);
	assert_true(ch_test_logged(t, "ch_hold outside of an END hook"));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_of_a_whole_answer_leaves_before_it_is_let_go),
		cmocka_unit_test(a_stream_ends_only_when_it_is_let_go),
		cmocka_unit_test(the_last_bytes_of_a_known_length_wait),
		cmocka_unit_test(a_promise_that_fails_cuts_the_answer),
		cmocka_unit_test(two_holds_want_two_letting_go_and_one_no_cuts),
		cmocka_unit_test(a_client_that_leaves_meanwhile_does_no_harm),
		cmocka_unit_test(held_answers_are_let_go_together),
		cmocka_unit_test(a_hold_may_be_let_go_inside_end),
		cmocka_unit_test(a_task_is_held_too),
		cmocka_unit_test(hold_outside_of_end_is_misuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
