/* SPDX-License-Identifier: Apache-2.0 */
/* Questions with hooks: the inner chain that CALL hooks are, its waits and its end. */
#include "core/work/test_question.h"

/* ---- outcomes ---- */

static void without_hooks_a_question_passes(void **state)
{
	struct ch_test *t = begin("[asks]\n");

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("asker=0 END ");
	ch_test_free(t);
}

static void hooks_that_pass_run_in_the_order_of_the_config_and_cost_no_wait(void **state)
{
	struct ch_test *t = begin3(PASS, PASS, PASS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	assert_true(ch_test_metric(t, "chimera_hook_calls_total", "h2", "call", NULL) == 1);
	assert_true(ch_test_metric(t, "chimera_hook_calls_total", "h2", "call_end", NULL) == 1);
	ch_test_free(t);
}

static void a_hook_that_answers_spares_those_behind_it_and_all_hear_the_end(void **state)
{
	struct ch_test *t = begin3(PASS, FILL, PASS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 asker=1 " ENDS "END ");
	ch_test_free(t);
}

static void a_hook_that_fails_fails_the_question_and_is_counted(void **state)
{
	struct ch_test *t = begin3(PASS, FAIL, PASS);

	(void)state;
	ch_test_expect_misuse(t);
	assert_int_equal(get(t)->status, 200); /* what becomes of it is the asker's to say */
	said_only("1 2 asker=-1 " ENDS "END ");
	assert_true(ch_test_metric(t, "chimera_hook_errors_total", "h2", "call", NULL) == 1);
	ch_test_free(t);
}

static void a_second_question_goes_through_the_hooks_again(void **state)
{
	struct ch_test *t = begin3(PASS, PASS, FILL);

	(void)state;
	before = ask; /* LIMIT asks, answers and is DONE; so the handler does not ask: two requests, two questions */
	assert_int_equal(get(t)->status, 200);
	before = NULL;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=1 " ENDS "END 1 2 3 asker=1 " ENDS "END ");
	ch_test_free(t);
}

static int ask_and_pass(struct ch_ctx *c)
{
	assert_int_equal(ch_call_hooks(c, &question, on_asked, NULL), CH_OK);
	ch_call_end(c);
	return CH_OK;
}

static void one_request_may_ask_again_when_the_first_question_has_ended(void **state)
{
	struct ch_test *t = begin3(PASS, PASS, PASS);

	(void)state;
	before = ask_and_pass;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 " ENDS "1 2 3 asker=0 " ENDS "END ");
	ch_test_free(t);
}

static int ask_in_task(struct ch_ctx *c, void *data)
{
	(void)data;
	return ask(c);
}

static void a_task_may_ask(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, PASS);

	(void)state;
	assert_true(ch_test_task(t, "asks", 0, ask_in_task, NULL));
	said_only("1 2 ");
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 2.ready 3 asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

/* ---- waits ---- */

static void a_wait_holds_up_the_question_and_the_asker_hears_the_outcome(void **state)
{
	static const struct {
		int after;
		const char *said;
	} cases[] = { { CH_OK, "1 2 2.ready 3 asker.ready asker=0 " ENDS "END " },
		{ CH_DONE, "1 2 2.ready asker.ready asker=1 " ENDS "END " },
		{ CH_ERROR, "1 2 2.ready asker.ready asker=-1 " ENDS "END " } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ch_test *t = begin3(PASS, WAIT, PASS);
		struct ch_test_answer *a = get(t);

		ch_test_expect_misuse(t);
		assert_false(a->done);
		lookers[1].after = cases[i].after;
		ch_test_on_loop(t, resume, &lookers[1]);
		assert_true(resumed);
		assert_int_equal(a->status, 200);
		said_only(cases[i].said);
		assert_true(ch_test_metric(t, "chimera_hook_errors_total", "h2", "call", NULL) == (cases[i].after == CH_ERROR));
		ch_test_free(t);
	}
}

static void each_hook_may_wait_in_its_turn(void **state)
{
	struct ch_test *t = begin3(WAIT, WAIT, WAIT);
	struct ch_test_answer *a = get(t);

	(void)state;
	for (int i = 0; i < HOOKS; i++)
		ch_test_on_loop(t, resume, &lookers[i]);
	assert_int_equal(a->status, 200);
	said_only("1 1.ready 2 2.ready 3 3.ready asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void a_hook_may_go_on_waiting_for_another_ticket(void **state)
{
	struct ch_test *t = begin3(WAIT, PASS, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[0].again = true;
	ch_test_on_loop(t, resume, &lookers[0]);
	said_only("1 1.ready ");
	ch_test_on_loop(t, resume, &lookers[0]);
	assert_int_equal(a->status, 200);
	said_only("1 1.ready 1.ready 2 3 asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void a_timeout_of_the_hook_is_the_hooks_alone(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT_A_SECOND, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_advance(t, 999);
	said_only("1 2 ");
	ch_test_advance(t, 1);
	said_only("1 2 2.timeout 3 asker.ready asker=0 " ENDS "END ");
	assert_int_equal(a->status, 200);
	ch_test_on_loop(t, resume, &lookers[1]); /* its holder's word, late */
	assert_false(resumed);
	ch_test_free(t);
}

static void the_deadline_is_told_to_the_hook_and_not_to_the_asker(void **state)
{
	struct ch_test *t;
	struct ch_test_answer *a;

	(void)state;
	t = begin3(PASS, WAIT, PASS);
	deadline_ms = 300;
	a = get(t);
	lookers[1].after = CH_DONE; /* it answers from its memory, say */
	ch_test_advance(t, 299);
	said_only("1 2 ");
	ch_test_advance(t, 1);
	said_only("1 2 2.timeout asker.ready asker=1 " ENDS "END ");
	assert_int_equal(a->status, 200);
	ch_test_on_loop(t, resume, &lookers[1]);
	ch_test_free(t);
}

/* ---- the client leaves ---- */

static void gone_is_heard_innermost_first_and_the_end_once(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[1].after = CH_DONE;
	ch_test_leave(a);
	said_only("1 2 2.gone asker.gone " ENDS "END ");
	ch_test_on_loop(t, resume, &lookers[1]); /* the ctx waits for that word */
	assert_false(resumed);
	ch_test_free(t);
}

static void after_gone_no_further_hook_is_asked(void **state)
{
	struct ch_test *t = begin3(WAIT, WAIT, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[0].after = CH_OK; /* "go on": but with what? */
	ch_test_leave(a);
	said_only("1 1.gone asker.gone " ENDS "END ");
	ch_test_on_loop(t, resume, &lookers[0]);
	ch_test_free(t);
}

static void leave_and_resume(void *looker)
{
	ch_resume(((struct looker *)looker)->ticket, NULL, NULL);
	chi_ctx_gone(asking); /* in the same turn, before the delivery: GONE finds nothing that it could tell */
}

static void a_hook_that_is_resumed_as_the_client_leaves_ends_the_question(void **state)
{
	struct ch_test *t = begin3(WAIT, WAIT, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[0].after = CH_OK;
	ch_test_on_loop(t, leave_and_resume, &lookers[0]);
	said_only("1 1.ready asker.gone " ENDS "END ");
	ch_test_leave(a);
	ch_test_free(t);
}

/* ---- tickets of others ---- */

/* Two ways at once, the first to be heard wins; the other is still under way. */
static int hedge(struct ch_ctx *c)
{
	straggler = ch_suspend(c, 0, heard_straggler, NULL);
	ch_resume(ch_suspend(c, 0, heard_first, NULL), NULL, NULL);
	return CH_AGAIN;
}

static void a_straggler_of_an_earlier_hook_is_no_ticket_of_the_asker(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, PASS);
	struct ch_test_answer *a;

	(void)state;
	before = hedge;
	a = get(t);
	said_only("first.ready 1 2 ");
	ch_test_on_loop(t, resume_straggler, NULL);
	said_only("first.ready 1 2 straggler.ready "); /* heard, and it moves nothing */
	ch_test_on_loop(t, resume, &lookers[1]);
	assert_int_equal(a->status, 200);
	said_only("first.ready 1 2 straggler.ready 2.ready 3 asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void a_straggler_does_not_hide_that_a_hook_waits_for_nothing(void **state)
{
	struct ch_test *t = begin3(PASS, NO_TICKET, PASS);

	(void)state;
	ch_test_expect_misuse(t);
	before = hedge;
	assert_int_equal(get(t)->status, 200);
	said_only("first.ready 1 2 asker=-1 " ENDS "END ");
	ch_test_on_loop(t, resume_straggler, NULL);
	ch_test_free(t);
}

static void a_straggler_of_a_call_hook_moves_nothing_later(void **state)
{
	struct ch_test *t = begin3(LEAVE_TICKET, WAIT, PASS);
	struct ch_test_answer *a;

	(void)state;
	ch_test_expect_misuse(t); /* OK with a ticket out */
	a = get(t);
	lookers[0].after = CH_DONE;
	ch_test_on_loop(t, resume, &lookers[0]);
	said_only("1 2 1.ready ");
	assert_false(a->done);
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 1.ready 2.ready 3 asker.ready asker=0 " ENDS "END ");
	assert_true(ch_test_logged(t, "its call hook returned OK with a ticket out"));
	ch_test_free(t);
}

/* ---- no memory ---- */

static void without_memory_a_question_ends_all_the_same(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, WAIT);
	bool struck = true;

	(void)state;
	ch_test_expect_misuse(t);
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		said[0] = 0;
		ch_test_fail_alloc(t, n);
		a = get(t);
		for (int i = 1; i < HOOKS && !a->done; i++)
			ch_test_on_loop(t, resume, &lookers[i]);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		if (a->status == 200 && a->complete)
			assert_non_null(strstr(said, ENDS));
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_hooks_a_question_passes),
		cmocka_unit_test(hooks_that_pass_run_in_the_order_of_the_config_and_cost_no_wait),
		cmocka_unit_test(a_hook_that_answers_spares_those_behind_it_and_all_hear_the_end),
		cmocka_unit_test(a_hook_that_fails_fails_the_question_and_is_counted),
		cmocka_unit_test(a_second_question_goes_through_the_hooks_again),
		cmocka_unit_test(one_request_may_ask_again_when_the_first_question_has_ended),
		cmocka_unit_test(a_task_may_ask),
		cmocka_unit_test(a_wait_holds_up_the_question_and_the_asker_hears_the_outcome),
		cmocka_unit_test(each_hook_may_wait_in_its_turn),
		cmocka_unit_test(a_hook_may_go_on_waiting_for_another_ticket),
		cmocka_unit_test(a_timeout_of_the_hook_is_the_hooks_alone),
		cmocka_unit_test(the_deadline_is_told_to_the_hook_and_not_to_the_asker),
		cmocka_unit_test(gone_is_heard_innermost_first_and_the_end_once),
		cmocka_unit_test(after_gone_no_further_hook_is_asked),
		cmocka_unit_test(a_hook_that_is_resumed_as_the_client_leaves_ends_the_question),
		cmocka_unit_test(a_straggler_of_an_earlier_hook_is_no_ticket_of_the_asker),
		cmocka_unit_test(a_straggler_does_not_hide_that_a_hook_waits_for_nothing),
		cmocka_unit_test(a_straggler_of_a_call_hook_moves_nothing_later),
		cmocka_unit_test(without_memory_a_question_ends_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
