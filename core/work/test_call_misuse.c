/* SPDX-License-Identifier: Apache-2.0 */
/* Questions with hooks: what a plugin can do wrong with one, and what becomes of it. */
#include "core/work/test_question.h"

/* ---- misuse: said with the plugin's name, counted, and survived ---- */

static void misused(struct ch_test *t, const char *plugin, const char *sentence)
{
	if (!ch_test_logged(t, sentence))
		fail_msg("\"%s\" is not in\n%s", sentence, ch_test_log(t));
	assert_true(ch_test_metric(t, "chimera_misuse_total", plugin, NULL) >= 1);
	ch_test_free(t);
}

static struct ch_test *begin_misuse(enum what first, enum what second, int how)
{
	struct ch_test *t = begin3(first, second, PASS);

	ch_test_expect_misuse(t);
	asker = how;
	return t;
}

static void again_without_a_ticket_is_an_error_of_the_hook(void **state)
{
	struct ch_test *t = begin_misuse(PASS, NO_TICKET, ANSWERS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 asker=-1 " ENDS "END ");
	misused(t, "h2", "plugin h2: its call hook returned AGAIN without a ticket");
}

static void again_without_a_ticket_after_a_wait_is_an_error_of_the_hook(void **state)
{
	struct ch_test *t = begin_misuse(PASS, WAIT, ANSWERS);

	(void)state;
	get(t);
	lookers[1].after = CH_AGAIN;
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 2.ready asker.ready asker=-1 " ENDS "END ");
	misused(t, "h2", "plugin h2: its call hook goes on waiting (AGAIN) with no ticket out");
}

static void take_back(void *looker)
{
	ch_unsuspend(((struct looker *)looker)->ticket);
}

static void a_ticket_taken_back_under_a_hook_that_waits_ends_the_question(void **state)
{
	struct ch_test *t = begin_misuse(PASS, WAIT, ANSWERS);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_on_loop(t, take_back, &lookers[1]);
	assert_int_equal(a->status, 200);
	said_only("1 2 asker.ready asker=-1 " ENDS "END ");
	misused(t, "h2", "plugin h2: its call hook goes on waiting (AGAIN) with no ticket out");
}

static void an_end_that_is_forgotten_is_made_up_for(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, FORGETS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	assert_true(ch_test_logged(t, "asked a service with hooks and did not call ch_call_end"));
	assert_true(ch_test_metric(t, "chimera_misuse_total", NULL) == 1);
	ch_test_free(t);
}

static void an_end_and_an_answer_that_are_forgotten_are_500(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, FORGETS_ALL);

	(void)state;
	assert_int_equal(get(t)->status, 500);
	said_only("1 2 3 asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void an_end_without_a_question_is_told_apart(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ENDS_TWICE);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it called ch_call_end without a question that ch_call_hooks began");
}

static void an_end_inside_of_the_end_does_not_go_round(void **state)
{
	struct ch_test *t = begin_misuse(PASS, END_IT, ANSWERS);

	(void)state;
	get(t);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "h2", "plugin h2: it called ch_call_end inside of a CALL_END hook");
}

static void an_end_while_hooks_are_at_work_is_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, END_IT, ANSWERS);

	(void)state;
	get(t);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "h2", "plugin h2: it called ch_call_end while CALL hooks are at work");
	t = begin_misuse(PASS, WAIT, ENDS_EARLY); /* the asker, told AGAIN */
	get(t);
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 2.ready 3 asker.ready asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it called ch_call_end while CALL hooks are at work");
}

static void two_questions_at_once_are_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ASKS_TWICE);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it asked a service with hooks inside of another question");
	t = begin_misuse(PASS, ASK_TOO, ANSWERS);
	get(t);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "h2", "plugin h2: it asked a service with hooks inside of another question");
}

static int ask_with_a_ticket_out(struct ch_ctx *c)
{
	ch_ticket t = ch_suspend(c, 0, heard_straggler, NULL);

	assert_int_equal(ch_call_hooks(c, &question, on_asked, NULL), CH_ERROR);
	assert_null(ch_call(c));
	ch_unsuspend(t);
	return CH_OK;
}

static void a_question_with_a_ticket_out_is_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ANSWERS);

	(void)state;
	before = ask_with_a_ticket_out;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it asked a service with hooks while a ticket was out");
}

static void ask_from_a_timer(void *data)
{
	(void)data;
	assert_int_equal(ch_call_hooks(asking, &question, on_asked, NULL), CH_ERROR);
}

static int wait_outside(struct ch_ctx *c)
{
	asking = c;
	straggler = ch_suspend(c, 0, heard_first, NULL);
	return CH_AGAIN;
}

static void a_question_outside_of_a_hook_is_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ANSWERS);
	struct ch_test_answer *a;

	(void)state;
	before = wait_outside;
	a = get(t);
	ch_test_on_loop(t, ask_from_a_timer, NULL);
	said_only("");
	ch_test_on_loop(t, resume_straggler, NULL);
	assert_int_equal(a->status, 200);
	assert_true(ch_test_logged(t, "it asked a service with hooks outside of a hook"));
	ch_test_free(t);
}

static void again_that_is_not_passed_on_is_said_and_nothing_hangs(void **state)
{
	struct ch_test *t = begin_misuse(PASS, WAIT, DROPS);
	struct ch_test_answer *a = get(t);

	(void)state;
	assert_true(a->complete);
	assert_string_equal(a->body, "no");
	ch_test_on_loop(t, resume, &lookers[1]); /* nothing comes of it */
	said_only("1 2 " ENDS "END ");
	misused(t, "asks", "got CH_AGAIN of ch_call_hooks and did not return it"); /* and no unit of work is left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(again_without_a_ticket_is_an_error_of_the_hook),
		cmocka_unit_test(again_without_a_ticket_after_a_wait_is_an_error_of_the_hook),
		cmocka_unit_test(a_ticket_taken_back_under_a_hook_that_waits_ends_the_question),
		cmocka_unit_test(an_end_that_is_forgotten_is_made_up_for),
		cmocka_unit_test(an_end_and_an_answer_that_are_forgotten_are_500),
		cmocka_unit_test(an_end_without_a_question_is_told_apart),
		cmocka_unit_test(an_end_inside_of_the_end_does_not_go_round),
		cmocka_unit_test(an_end_while_hooks_are_at_work_is_refused),
		cmocka_unit_test(two_questions_at_once_are_refused),
		cmocka_unit_test(a_question_with_a_ticket_out_is_refused),
		cmocka_unit_test(a_question_outside_of_a_hook_is_refused),
		cmocka_unit_test(again_that_is_not_passed_on_is_said_and_nothing_hangs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
