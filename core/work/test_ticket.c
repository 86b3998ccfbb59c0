/* SPDX-License-Identifier: Apache-2.0 */
/* Suspensions: what a ticket brings, when, how often, and how long its ctx lives. */
#include "core/work/test_script.h"

/* ---- suspending ---- */

static void a_resume_brings_its_result_and_the_request_goes_on(void **state)
{
	struct ch_test *t = begin(wait_long);
	struct ch_test_answer *a = get(t);

	(void)state;
	assert_false(a->done);
	assert_int_equal(ends, 0);
	ch_test_on_loop(t, resume, &number);
	assert_true(resumed);
	assert_int_equal(heard, CH_READY);
	assert_ptr_equal(heard_result, &number);
	assert_int_equal(drops, 0);
	assert_int_equal(a->status, 200);
	assert_int_equal(ends, 1);
	ch_test_free(t);
}

static int resume_inside(struct ch_ctx *c)
{
	ticket = ch_suspend(c, 0, on_heard, "data");
	assert_true(ch_resume(ticket, &number, on_drop));
	assert_int_equal(heard, 0);
	return CH_AGAIN;
}

static void a_resume_inside_the_call_is_heard_after_it(void **state)
{
	struct ch_test *t = begin(resume_inside);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	assert_int_equal(heard, CH_READY);
	ch_test_free(t);
}

static void a_timeout_comes_at_its_time(void **state)
{
	struct ch_test *t = begin(wait_a_second);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_advance(t, 999);
	assert_int_equal(heard, 0);
	ch_test_advance(t, 1);
	assert_int_equal(heard, CH_TIMEOUT);
	assert_int_equal(a->status, 200);
	assert_int_equal(ends, 1);
	ch_test_on_loop(t, resume, &number); /* the holder's word, late */
	assert_false(resumed);
	assert_int_equal(drops, 1);
	assert_ptr_equal(heard_result, &number);
	ch_test_free(t);
}

static int wait_with_deadline(struct ch_ctx *c)
{
	ch_deadline_set(c, ch_now() + 300000);
	ch_deadline_set(c, ch_now() + 900000); /* only ever nearer */
	assert_int_equal(ch_deadline(c), ch_now() + 300000);
	return wait_a_second(c);
}

static void a_deadline_of_the_ctx_is_a_timeout(void **state)
{
	struct ch_test *t = begin(wait_with_deadline);

	(void)state;
	get(t);
	ch_test_advance(t, 299);
	assert_int_equal(heard, 0);
	ch_test_advance(t, 1);
	assert_int_equal(heard, CH_TIMEOUT);
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

static void a_client_that_leaves_is_heard_once(void **state)
{
	struct ch_test *t = begin(wait_a_second);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_leave(a);
	assert_int_equal(heard, CH_GONE);
	assert_int_equal(ends, 1);
	assert_int_equal(end_status, 499);
	ch_test_advance(t, 5000); /* no timeout any more */
	assert_int_equal(heard, CH_GONE);
	ch_test_on_loop(t, resume, &number);
	assert_false(resumed);
	assert_int_equal(drops, 1);
	ch_test_free(t);
}

static int inner_heard; /* how an inner ticket ended; 0: not yet */
static ch_ticket inner;

static int on_inner(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	assert_int_equal(inner_heard, 0);
	assert_null(result);
	inner_heard = why;
	return CH_DONE;
}

/* As a service does that asks another one: who asked has a second to wait, the other one has all the time. */
static int wait_with_an_inner_ticket(struct ch_ctx *c)
{
	inner = ch_suspend(c, 0, on_inner, NULL);
	ticket = ch_suspend(c, 1000, on_heard, "data");
	return CH_AGAIN;
}

static void resume_inner(void *drop)
{
	assert_true(ch_resume(inner, &number, drop ? on_drop : NULL));
}

static void what_is_ready_when_its_ctx_has_ended_goes_to_drop_or_its_function_hears_gone(void **state)
{
	(void)state;
	for (int drop = 0; drop < 2; drop++) {
		struct ch_test *t = begin(wait_with_an_inner_ticket);
		struct ch_test_answer *a = get(t);

		inner_heard = 0;
		ch_test_advance(t, 1000);
		assert_int_equal(heard, CH_TIMEOUT);
		assert_int_equal(a->status, 200);
		ch_test_on_loop(t, resume_inner, drop ? &number : NULL);
		assert_int_equal(inner_heard, drop ? 0 : CH_GONE);
		assert_int_equal(drops, drop);
		ch_test_on_loop(t, resume, NULL); /* which the service can say now */
		ch_test_free(t);
	}
}

static void resume_both(void *unused)
{
	(void)unused;
	assert_true(ch_resume(ticket, NULL, NULL));
	assert_true(ch_resume(inner, NULL, NULL));
}

static void what_is_ready_when_its_ctx_has_ended_and_is_owed_by_nobody_is_dropped(void **state)
{
	struct ch_test *t = begin(wait_with_an_inner_ticket);

	(void)state;
	inner_heard = 0;
	assert_false(get(t)->done);
	ch_test_on_loop(t, resume_both, NULL);
	assert_int_equal(heard, CH_READY);
	assert_int_equal(inner_heard, 0);
	ch_test_free(t);
}

static void a_second_resume_is_too_late(void **state)
{
	struct ch_test *t = begin(wait_long);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_expect_misuse(t);
	ch_test_on_loop(t, resume, &number);
	assert_true(a->complete);
	ch_test_on_loop(t, resume, &drops);
	assert_false(resumed);
	assert_int_equal(drops, 1);
	assert_ptr_equal(heard_result, &drops);
	assert_int_equal(ends, 1);
	ch_test_free(t);
}

static void resume_twice(void *result)
{
	assert_true(ch_resume(ticket, result, on_drop));
	assert_false(ch_resume(ticket, &drops, on_drop));
}

static void two_resumes_in_one_turn_are_one(void **state)
{
	struct ch_test *t = begin(wait_long);

	(void)state;
	ch_test_expect_misuse(t);
	get(t);
	ch_test_on_loop(t, resume_twice, &number);
	assert_int_equal(heard, CH_READY);
	assert_ptr_equal(heard_result, &number);
	assert_int_equal(drops, 1);
	ch_test_free(t);
}

static void nonsense_tickets_are_too_late_too(void **state)
{
	static const ch_ticket bad[] = { 0, 1, 255, 0x100, UINT64_MAX, (uint64_t)1 << 32 | 0x7f00, (uint64_t)9 << 32 | 0x100 };
	struct ch_test *t = begin(wait_long);

	(void)state;
	ch_test_expect_misuse(t);
	get(t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(ch_resume(bad[i], &number, on_drop));
		assert_int_equal(drops, i + 1);
		ch_unsuspend(bad[i]);
	}
	assert_int_equal(heard, 0);
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

/* The ctx dies only with the holder's word: until then its memory is good. */
static void the_arena_is_kept_until_the_holder_confirms(void **state)
{
	struct ch_test *t = begin(wait_a_second);
	char *data;

	(void)state;
	ch_test_leave(get(t));
	assert_int_equal(ends, 1);
	data = ch_dup(ctx, "still here", 10); /* ASan would tell */
	assert_string_equal(data, "still here");
	ch_test_advance(t, 3600000);
	assert_string_equal(data, "still here");
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

static void take_back(void *data)
{
	(void)data;
	ch_unsuspend(ticket);
}

static void a_ticket_taken_back_confirms_too(void **state)
{
	struct ch_test *t = begin(wait_a_second);

	(void)state;
	ch_test_leave(get(t));
	ch_test_on_loop(t, take_back, NULL);
	ch_test_free(t);
}

static int take_back_at_once(struct ch_ctx *c)
{
	ch_unsuspend(ch_suspend(c, 1000, on_heard, "data"));
	return answer_ok(c);
}

static void a_ticket_taken_back_at_once_is_nothing(void **state)
{
	struct ch_test *t = begin(take_back_at_once);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	ch_test_advance(t, 5000);
	assert_int_equal(heard, 0);
	ch_test_free(t);
}

static int resume_and_take_back(struct ch_ctx *c)
{
	ch_ticket t = ch_suspend(c, 1000, on_heard, "data");

	assert_true(ch_resume(t, &number, on_drop));
	ch_unsuspend(t);
	return answer_ok(c);
}

static void a_ticket_taken_back_after_its_resume_drops_the_result(void **state)
{
	struct ch_test *t = begin(resume_and_take_back);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	assert_int_equal(heard, 0);
	assert_int_equal(drops, 1);
	assert_ptr_equal(heard_result, &number);
	ch_test_free(t);
}

/* One wait after the other. */
static unsigned rounds;
static int on_round(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)result;
	assert_int_equal(why, CH_READY);
	if (++rounds == 3)
		return answer_ok(c);
	ticket = ch_suspend(c, 0, on_round, data);
	return CH_AGAIN;
}

static int wait_three_times(struct ch_ctx *c)
{
	ticket = ch_suspend(c, 0, on_round, "data");
	return CH_AGAIN;
}

static void a_resumed_function_may_wait_again(void **state)
{
	struct ch_test *t = begin(wait_three_times);
	struct ch_test_answer *a = get(t);

	(void)state;
	rounds = 0;
	for (int i = 0; i < 3; i++) {
		assert_false(a->done);
		ch_test_on_loop(t, resume, NULL);
	}
	assert_int_equal(a->status, 200);
	assert_int_equal(ends, 1);
	ch_test_free(t);
}

static int suspend_hook(struct ch_ctx *c)
{
	after = CH_OK;
	ctx = c;
	return wait_long(c);
}

static void a_suspended_hook_goes_on_with_the_next(void **state)
{
	struct ch_test *t = begin(answer_ok);
	struct ch_test_answer *a;

	(void)state;
	limit = suspend_hook;
	a = get(t);
	assert_false(a->done);
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "ok");
	ch_test_free(t);
}

/* Two tickets of one hook: the first lets the ctx go on, the second is a straggler's. */
static ch_ticket first, straggler;
static unsigned straggled;

static int go_on(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	return CH_OK;
}

static int straggle(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	straggled++;
	return CH_DONE; /* what a straggler says does not count */
}

static int suspend_twice(struct ch_ctx *c)
{
	ctx = c;
	straggled = 0;
	first = ch_suspend(c, 0, go_on, NULL);
	straggler = ch_suspend(c, 0, straggle, NULL);
	return CH_AGAIN;
}

static void resume_first(void *data)
{
	assert_true(ch_resume(first, data, NULL));
}

static void resume_straggler(void *data)
{
	assert_true(ch_resume(straggler, data, NULL));
}

static void a_straggler_does_not_end_the_next_hooks_wait(void **state)
{
	struct ch_test *t = begin(wait_long);
	struct ch_test_answer *a;

	(void)state;
	limit = suspend_twice;
	a = get(t);
	ch_test_on_loop(t, resume_first, NULL); /* LIMIT is over; the handler waits now */
	ch_test_on_loop(t, resume_straggler, NULL);
	assert_int_equal(straggled, 1);
	assert_false(a->done);
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	ch_test_free(t);
}

static void a_straggler_may_come_between_two_phases(void **state)
{
	static const char head[] = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n";
	struct ch_test *t = begin(answer_ok);
	struct chi_peer *peer = chi_peer_new(t, CHI_L_PUBLIC);
	struct ch_test_answer *a;

	(void)state;
	limit = suspend_twice;
	chi_peer_send(peer, head, sizeof(head) - 1);
	ch_test_advance(t, 0);
	a = chi_peer_answer(peer, "POST");
	ch_test_on_loop(t, resume_first, NULL); /* no hook runs: the body is awaited */
	ch_test_on_loop(t, resume_straggler, NULL);
	assert_int_equal(straggled, 1);
	chi_peer_send(peer, "ok", 2);
	ch_test_advance(t, 0);
	assert_int_equal(a->status, 200);
	ch_test_free(t);
}

static void unsuspend_own(void *data)
{
	(void)data;
	ch_unsuspend(straggler);
}

static int take_own_back(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	straggled++;
	assert_int_equal(why, CH_TIMEOUT);
	unsuspend_own(NULL);
	return CH_DONE;
}

static int leave_one_behind(struct ch_ctx *c)
{
	ctx = c;
	straggled = 0;
	straggler = ch_suspend(c, 100, take_own_back, NULL);
	return answer_ok(c);
}

static void a_function_may_take_its_own_ticket_back_after_the_end(void **state)
{
	struct ch_test *t = begin(leave_one_behind);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	assert_int_equal(ends, 1);
	ch_test_advance(t, 100); /* the timeout comes to a ctx that lives for this ticket alone */
	assert_int_equal(straggled, 1);
	ch_test_free(t);
}

static int answer_split(struct ch_ctx *c)
{
	assert_int_equal(ch_respond(c, 200, "text/plain\r\nX-Evil: 1", "ok", 2), CH_ERROR);
	return answer_ok(c);
}

static void a_media_type_cannot_split_the_answer(void **state)
{
	struct ch_test *t = begin(answer_split);
	struct ch_test_answer *a = get(t);

	(void)state;
	assert_int_equal(a->status, 200);
	assert_null(ch_test_header(a, "x-evil"));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_resume_brings_its_result_and_the_request_goes_on),
		cmocka_unit_test(a_resume_inside_the_call_is_heard_after_it),
		cmocka_unit_test(a_timeout_comes_at_its_time),
		cmocka_unit_test(a_deadline_of_the_ctx_is_a_timeout),
		cmocka_unit_test(a_client_that_leaves_is_heard_once),
		cmocka_unit_test(what_is_ready_when_its_ctx_has_ended_goes_to_drop_or_its_function_hears_gone),
		cmocka_unit_test(what_is_ready_when_its_ctx_has_ended_and_is_owed_by_nobody_is_dropped),
		cmocka_unit_test(a_second_resume_is_too_late),
		cmocka_unit_test(two_resumes_in_one_turn_are_one),
		cmocka_unit_test(nonsense_tickets_are_too_late_too),
		cmocka_unit_test(the_arena_is_kept_until_the_holder_confirms),
		cmocka_unit_test(a_ticket_taken_back_confirms_too),
		cmocka_unit_test(a_ticket_taken_back_at_once_is_nothing),
		cmocka_unit_test(a_ticket_taken_back_after_its_resume_drops_the_result),
		cmocka_unit_test(a_resumed_function_may_wait_again),
		cmocka_unit_test(a_suspended_hook_goes_on_with_the_next),
		cmocka_unit_test(a_straggler_does_not_end_the_next_hooks_wait),
		cmocka_unit_test(a_straggler_may_come_between_two_phases),
		cmocka_unit_test(a_function_may_take_its_own_ticket_back_after_the_end),
		cmocka_unit_test(a_media_type_cannot_split_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
