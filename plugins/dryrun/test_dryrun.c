/* SPDX-License-Identifier: Apache-2.0 */
/* The provider as its callers see it: at once, after a time, piece by piece, held back, given up. */
#include "test_caller.h"

static void without_latency_the_answer_is_there_at_once(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "");

	(void)state;
	ch_test_task(t, "dryrun", 0, call, &k);
	assert_int_equal(k.rc, CH_OK);
	assert_int_equal(k.out.code, 0);
	assert_int_equal(k.resumed, 0);
	assert_int_equal(k.out.tokens_in, 2); /* "hello there" */
	assert_int_equal(k.out.tokens_out, 16); /* answer_tokens */
	assert_string_equal(k.out.finish_reason, "stop");
	assert_true(k.out.text.n > 0);
	ch_test_free(t);
}

static void the_same_prompt_has_the_same_answer_and_another_seed_another(void **state)
{
	struct caller a, b;
	struct ch_test *t = begin(&a, "seed = 7\n");
	char first[4096];

	(void)state;
	ch_test_task(t, "dryrun", 0, call, &a);
	memcpy(first, a.text, sizeof(first));
	b = (struct caller){ .svc = a.svc, .args = a.args };
	ch_test_task(t, "dryrun", 0, call, &b);
	assert_string_equal(b.text, first);
	ch_test_free(t);
	t = begin(&b, "seed = 8\n");
	ch_test_task(t, "dryrun", 0, call, &b);
	assert_string_not_equal(b.text, first);
	ch_test_free(t);
}

static void a_limit_on_tokens_ends_the_answer_with_length(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "");

	(void)state;
	k.args.max_tokens = 3;
	ch_test_task(t, "dryrun", 0, call, &k);
	assert_int_equal(k.out.tokens_out, 3);
	assert_string_equal(k.out.finish_reason, "length");
	ch_test_free(t);
}

static void an_unknown_model_is_refused_with_the_names_that_exist(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "models = small, big*\ndefault_model = small\n");

	(void)state;
	k.args.model = (struct ch_str)CH_STR("huge");
	ch_test_task(t, "dryrun", 0, call, &k);
	assert_int_equal(k.rc, CH_OK);
	assert_int_equal(k.out.code, CH_E_MODEL_NOT_FOUND);
	assert_null(k.out.text.p);
	k = (struct caller){ .svc = k.svc, .args = k.args };
	k.args.model = (struct ch_str)CH_STR("bigger");
	ch_test_task(t, "dryrun", 0, call, &k);
	assert_int_equal(k.out.code, 0);
	ch_test_free(t);
}

/* 50 ms to the first token and nine more at 100 a second: 50 + 9 * 10 = 140 ms. */
static void latency_and_pace_make_the_whole_answers_time(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "latency = 50ms\ntokens_per_second = 100\nanswer_tokens = 10\n");

	(void)state;
	ch_test_task(t, "dryrun", 0, call, &k);
	assert_int_equal(k.rc, CH_AGAIN);
	ch_test_advance(t, 139);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(t, 1);
	assert_int_equal(k.resumed, 1);
	assert_int_equal(k.why, CH_READY);
	assert_int_equal(k.out.tokens_out, 10);
	ch_test_free(t);
}

static void a_streams_words_come_at_their_times(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "latency = 50ms\ntokens_per_second = 100\nanswer_tokens = 4\n");

	(void)state;
	k.stream = true;
	ch_test_task(t, "dryrun", 0, call, &k);
	ch_test_advance(t, 49);
	assert_int_equal(k.deltas, 0);
	ch_test_advance(t, 1000);
	assert_int_equal(k.deltas, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(k.at[i], 50000 + i * 10000);
	assert_int_equal(k.resumed, 1);
	assert_int_equal(k.ended - k.began, 80000);
	ch_test_free(t);
}

static void a_streams_text_is_the_whole_answers_text(void **state)
{
	struct caller whole, k;
	struct ch_test *t = begin(&whole, "answer_tokens = 200\n");

	(void)state;
	ch_test_task(t, "dryrun", 0, call, &whole);
	k = (struct caller){ .svc = whole.svc, .args = whole.args, .stream = true };
	ch_test_task(t, "dryrun", 0, call, &k);
	assert_int_equal(k.rc, CH_AGAIN);
	assert_int_equal(k.deltas, 200);
	assert_string_equal(k.text, whole.text);
	ch_test_free(t);
}

static void go_on(void *data)
{
	struct caller *k = data;

	vt(k)->go_on(k->svc, k->c, &k->out);
}

static void go_on_twice(void *data)
{
	go_on(data);
	go_on(data);
}

static void a_sink_that_is_full_gets_no_more_until_go_on(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "answer_tokens = 5\n");

	(void)state;
	k.stream = k.refuse_more = true;
	ch_test_task(t, "dryrun", 0, call, &k);
	ch_test_advance(t, 1000);
	assert_int_equal(k.deltas, 1);
	ch_test_on_loop(t, go_on, &k);
	assert_int_equal(k.deltas, 2);
	ch_test_on_loop(t, go_on_twice, &k);
	assert_int_equal(k.deltas, 3);
	k.refuse_more = false;
	ch_test_on_loop(t, go_on, &k);
	assert_int_equal(k.deltas, 5);
	assert_int_equal(k.why, CH_READY);
	ch_test_free(t);
}

static void a_call_that_is_given_up_confirms_at_once(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "latency = 1h\n");

	(void)state;
	ch_test_task(t, "dryrun", 200, call, &k); /* the task's deadline comes first */
	ch_test_advance(t, 200);
	assert_int_equal(k.why, CH_TIMEOUT);
	assert_int_not_equal(k.out.code, 0);
	assert_null(k.out.call);
	ch_test_free(t); /* fails if the ticket was not confirmed or the timer is left */
}

static void without_memory_a_call_is_refused_and_nothing_is_left(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "latency = 10ms\n");
	bool struck = true;
	unsigned refused = 0;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		k = (struct caller){ .svc = k.svc, .args = k.args };
		ch_test_fail_alloc(t, n);
		ch_test_task(t, "dryrun", 0, call, &k);
		ch_test_advance(t, 10);
		struck = ch_test_fail_alloc(t, 0);
		if (k.began && struck) { /* else there was not even a ctx */
			assert_int_equal(k.out.code, CH_E_OVERLOADED);
			refused++;
		}
	}
	assert_int_equal(refused, 3); /* the call, its timer, the text */
	assert_int_equal(k.out.code, 0);
	ch_test_free(t);
}

static void a_pattern_with_a_star_inside_is_an_error(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(dryrun));
	ch_test_config(t, "[dryrun]\nmodels = a, b*c\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:2: error: [dryrun] models = a, b*c: "));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_latency_the_answer_is_there_at_once),
		cmocka_unit_test(the_same_prompt_has_the_same_answer_and_another_seed_another),
		cmocka_unit_test(a_limit_on_tokens_ends_the_answer_with_length),
		cmocka_unit_test(an_unknown_model_is_refused_with_the_names_that_exist),
		cmocka_unit_test(latency_and_pace_make_the_whole_answers_time),
		cmocka_unit_test(a_streams_words_come_at_their_times),
		cmocka_unit_test(a_streams_text_is_the_whole_answers_text),
		cmocka_unit_test(a_sink_that_is_full_gets_no_more_until_go_on),
		cmocka_unit_test(a_call_that_is_given_up_confirms_at_once),
		cmocka_unit_test(without_memory_a_call_is_refused_and_nothing_is_left),
		cmocka_unit_test(a_pattern_with_a_star_inside_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
