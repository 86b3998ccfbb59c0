/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model tokens: reserved, settled, given back, and the overshoot of a stream. A prompt of 16 bytes is guessed at 4 tokens, and 4 around the
 * message: 8.
 */
#include "test_world.h"

#define OWNER "owner: ann\nkey: k1\ntier: api_key\n"
#define PROMPT "sixteen bytes!!!"
#define TIER "[ratelimit.api_key]\ntokens = 3600/h\ntoken_burst = 1000\n"

/* What is left of the bucket, as an embedding of one token finds it. */
static int left(struct ch_test *t)
{
	bool at_once = model.at_once;
	struct ch_test_answer *a;

	model.at_once = true;
	model.code = 0;
	model.in = 1;
	model.out = 0;
	a = ask(t, OWNER "op: embeddings\n", "x");
	model.at_once = at_once;
	if (a->status != 200)
		fail_msg("%d: %s", a->status, a->body);
	return atoi(ch_test_header(a, "x-ratelimit-remaining-tokens")) + 1;
}

static void more_or_less_is_settled_when_it_is_known(void **state)
{
	struct ch_test *t = begin("assume_output = 100\n" TIER);
	struct ch_test_answer *a;

	(void)state;
	model.in = 10;
	model.out = 20;
	a = ask(t, OWNER "max-tokens: 200\n", PROMPT);
	assert_int_equal(a->status, 200);
	has(a, "x-ratelimit-limit-tokens", "1000");
	has(a, "x-ratelimit-remaining-tokens", "792"); /* 8 and 200 are reserved */
	has(a, "x-ratelimit-reset-tokens", "3m28s");
	has(a, "RateLimit", "\"tokens\";r=792;t=208");
	has(a, "RateLimit-Policy", "\"tokens\";q=1000;w=1000;qu=\"tokens\"");
	assert_int_equal(left(t), 970); /* 30 were used */
	model.in = 100;
	model.out = 300;
	a = ask(t, OWNER, PROMPT);
	has(a, "x-ratelimit-remaining-tokens", "861"); /* 969, less 8 and 100 that are assumed */
	assert_int_equal(left(t), 569);
	assert_true(ch_test_metric(t, "chimera_ratelimit_tokens_total", "api_key", "reserved", NULL) == 208 + 1 + 108 + 1);
	assert_true(ch_test_metric(t, "chimera_ratelimit_tokens_total", "api_key", "returned", NULL) == 178);
	assert_true(ch_test_metric(t, "chimera_ratelimit_tokens_total", "api_key", "more", NULL) == 292);
	ch_test_free(t);
}

static void a_failure_costs_nothing(void **state)
{
	struct ch_test *t = begin(TIER);

	(void)state;
	model.code = CH_E_UPSTREAM_ERROR;
	model.in = 8; /* a backend may have counted the prompt */
	assert_int_equal(ask(t, OWNER "max-tokens: 900\n", PROMPT)->status, 503);
	assert_int_equal(left(t), 1000);
	ch_test_free(t);
}

static void an_answer_without_usage_is_guessed(void **state)
{
	struct ch_test *t = begin(TIER);

	(void)state;
	model.in = model.out = 0;
	model.text = "twelve bytes"; /* 3 */
	assert_int_equal(ask(t, OWNER, PROMPT)->status, 200);
	assert_int_equal(left(t), 1000 - 8 - 3);
	ch_test_free(t);
}

static void what_is_not_there_is_refused_and_says_so(void **state)
{
	struct ch_test *t = begin(TIER);
	struct ch_test_answer *a;

	(void)state;
	model.in = 8;
	model.out = 492;
	assert_int_equal(ask(t, OWNER "max-tokens: 492\n", PROMPT)->status, 200); /* 500 are left */
	a = ask(t, OWNER "max-tokens: 502\n", PROMPT);
	assert_int_equal(a->status, 429);
	assert_int_equal(model.calls, 1);
	has(a, "Retry-After", "10"); /* 510 are needed, one flows in each second */
	has(a, "retry-after-ms", "10000");
	has(a, "x-ratelimit-remaining-tokens", "500");
	has(a, "RateLimit", "\"tokens\";r=500;t=500");
	has(a, "x-should-retry", NULL);
	assert_non_null(strstr(a->body, "#quota-exceeded\""));
	assert_non_null(strstr(a->body, "\"violated-policies\":[\"tokens\"]"));
	assert_non_null(strstr(a->body, "Too many tokens: the owner of this key may use 60 a minute, 1000 at once "
					"(tier \\\"api_key\\\"), and this request may need 510; "
					"try again in 10 s, or ask for fewer by max_tokens."));
	ch_test_advance(t, 10000);
	assert_int_equal(ask(t, OWNER "max-tokens: 502\n", PROMPT)->status, 200);
	assert_true(ch_test_metric(t, "rate_limiter_denials_total", "api_key", NULL) == 1);
	ch_test_free(t);
}

static void what_can_never_pass_says_so(void **state)
{
	struct ch_test *t = begin(TIER);
	struct ch_test_answer *a;

	(void)state;
	a = ask(t, OWNER "max-tokens: 1000\n", PROMPT);
	assert_int_equal(a->status, 429);
	has(a, "Retry-After", NULL);
	has(a, "x-should-retry", "false");
	assert_non_null(strstr(a->body, "may use 1000 at once (tier \\\"api_key\\\"), and this request may need 1008: "
					"send a shorter prompt"));
	assert_int_equal(ask(t, OWNER "max-tokens: 992\n", PROMPT)->status, 200);
	ch_test_free(t);
}

/* What we assume of an answer must not make a prompt that fits too much. */
static void an_assumed_length_never_refuses_for_good(void **state)
{
	struct ch_test *t = begin("assume_output = 1000\n" TIER);
	struct ch_test_answer *a = ask(t, OWNER, PROMPT);

	(void)state;
	assert_int_equal(a->status, 200);
	has(a, "x-ratelimit-remaining-tokens", "0");
	assert_int_equal(left(t), 992); /* the prompt alone was used */
	ch_test_free(t);
}

static void a_rule_for_a_model_counts_beside_the_tier(void **state)
{
	struct ch_test *t = begin(TIER "[ratelimit.big]\nmodel = gpt-4*\ntokens = 3600/h\ntoken_burst = 600\n"
				       "requests = 1/h\nburst = 3\nconcurrent = 1\n");
	struct ch_test_answer *a, *b;

	(void)state;
	model.in = 50;
	model.out = 50;
	a = ask(t, OWNER "max-tokens: 92\nmodel: gpt-4o\n", PROMPT);
	has(a, "RateLimit", "\"tokens\";r=900;t=100, \"big-tokens\";r=500;t=100, \"big\";r=2;t=3600, \"big-concurrent\";r=0");
	has(a, "x-ratelimit-remaining-tokens", "500"); /* the tighter one */
	assert_int_equal(ask(t, OWNER "max-tokens: 92\nmodel: other\n", PROMPT)->status, 200);
	/* one at a time: its place is free when the question has ended */
	model.at_once = false;
	a = ask(t, OWNER "max-tokens: 92\nmodel: gpt-4o\n", PROMPT);
	assert_false(a->done);
	b = ask(t, OWNER "max-tokens: 92\nmodel: gpt-4o\n", PROMPT);
	assert_int_equal(b->status, 429);
	assert_non_null(strstr(b->body, "\"violated-policies\":[\"big-concurrent\"]"));
	ends(t, 0, 50, 50);
	assert_int_equal(a->status, 200);
	model.at_once = true;
	assert_int_equal(ask(t, OWNER "max-tokens: 92\nmodel: gpt-4o\n", PROMPT)->status, 200);
	b = ask(t, OWNER "max-tokens: 92\nmodel: gpt-4o\n", PROMPT);
	assert_int_equal(b->status, 429);
	assert_non_null(strstr(b->body, "may make 1 an hour, 3 at once (limit \\\"big\\\" on this model)"));
	ch_test_free(t);
}

/* Which model that is, is known from its first answer on. */
static void who_names_no_model_has_the_standard_ones_limits(void **state)
{
	struct ch_test *t = begin("[ratelimit.big]\nmodel = gpt-4*\nrequests = 1/h\nburst = 2\n");

	(void)state;
	model.name = "gpt-4o-mini";
	assert_int_equal(ask(t, OWNER, PROMPT)->status, 200);
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask(t, OWNER, PROMPT)->status, 200);
	assert_int_equal(ask(t, OWNER, PROMPT)->status, 429);
	assert_int_equal(ask(t, OWNER "model: gpt-4o\n", PROMPT)->status, 429);
	assert_int_equal(ask(t, OWNER "model: other\n", PROMPT)->status, 200);
	ch_test_free(t);
}

static void other_questions_cost_what_they_need(void **state)
{
	struct ch_test *t = begin(TIER);
	struct ch_test_answer *a;

	(void)state;
	a = ask(t, OWNER "op: models\n", PROMPT);
	assert_int_equal(a->status, 200);
	has(a, "x-ratelimit-limit-tokens", NULL);
	model.in = 0;
	a = ask(t, OWNER "op: embeddings\n", PROMPT);
	has(a, "x-ratelimit-remaining-tokens", "996"); /* no role, no answer */
	a = ask(t, OWNER "op: completion\nmax-tokens: 100\n", PROMPT);
	has(a, "x-ratelimit-remaining-tokens", "892"); /* 996 - 4 - 100 */
	a = ask(t, OWNER "op: pass\n", PROMPT);
	has(a, "x-ratelimit-remaining-tokens", "988"); /* 992, less the 4 of its 16 bytes */
	ch_test_free(t);
}

/* ---- streams ---- */

#define STREAM "stream: yes\nmax-tokens: 10\n"

/* 8 and 10 are reserved. Each piece is guessed at 4 tokens; of what is over, charges go out in steps of 100 / 8 + 1 = 13. */
static void a_stream_pays_as_it_flows(void **state)
{
	struct ch_test *t = begin("stream_overshoot = 100\n" TIER);
	struct ch_test_answer *a;
	int used;

	(void)state;
	model.at_once = false;
	a = ask(t, OWNER STREAM, PROMPT);
	for (int i = 0; i < 50; i++)
		says(t, PROMPT);
	assert_int_equal(a->status, 200);
	has(a, "x-ratelimit-remaining-tokens", "982");
	/* 200 were said, 190 beyond the 10; what is not charged of them is less than a step */
	used = 1000 - left(t);
	assert_true(used > 18 + 190 - 13 && used <= 18 + 190);
	ends(t, 0, 8, 210); /* the backend counts 210 */
	assert_true(a->complete);
	assert_int_equal(left(t), 1000 - 218 - 1);
	assert_int_equal(model.cancels, 0);
	ch_test_free(t);
}

static void a_stream_over_its_reservation_ends_when_the_limit_is_overdrawn(void **state)
{
	struct ch_test *t = begin("stream_overshoot = 100\n" TIER);
	struct ch_test_answer *a;
	int said = 0;

	(void)state;
	/* 950 are used up; the stream reserves 18 of the 50 left, and may take 32 and 68 more. */
	model.in = 950;
	assert_int_equal(ask(t, OWNER "max-tokens: 942\n", PROMPT)->status, 200);
	model.at_once = false;
	a = ask(t, OWNER STREAM, PROMPT);
	while (model.running && said < 1000) {
		says(t, PROMPT);
		said += 4;
	}
	ch_test_advance(t, 0);
	assert_int_equal(model.cancels, 1);
	assert_true(a->done);
	assert_non_null(strstr(a->body, "!rate_limited"));
	/* bounded: over the reservation of 10 by the overshoot and one step at most */
	assert_true(said > 10 + 100 && said <= 10 + 100 + 13 + 4);
	/* what it took is paid: prompt 8, and what it said; nobody gets anything before */
	assert_int_equal(ask(t, OWNER "max-tokens: 1\n", "x")->status, 429);
	has(ask(t, OWNER "max-tokens: 1\n", "x"), "x-ratelimit-remaining-tokens", "0");
	ch_test_free(t);
}

static void a_stream_whose_limit_holds_out_is_left_alone(void **state)
{
	struct ch_test *t = begin("stream_overshoot = 100\n" TIER);
	struct ch_test_answer *a;

	(void)state;
	model.at_once = false;
	a = ask(t, OWNER STREAM, PROMPT);
	for (int i = 0; i < 200; i++) /* 800 of the 982 */
		says(t, PROMPT);
	assert_true(model.running);
	ends(t, 0, 8, 800);
	assert_true(a->complete);
	ch_test_free(t);
}

static void a_broken_stream_costs_what_it_said(void **state)
{
	struct ch_test *t = begin(TIER);
	struct ch_test_answer *a;

	(void)state;
	model.at_once = false;
	a = ask(t, OWNER "stream: yes\nmax-tokens: 500\n", PROMPT);
	for (int i = 0; i < 5; i++)
		says(t, PROMPT);
	ends(t, CH_E_UPSTREAM_ERROR, 0, 0);
	assert_non_null(strstr(a->body, "!upstream_error"));
	assert_int_equal(left(t), 1000 - 8 - 20);
	/* a client that leaves, too */
	a = ask(t, OWNER "stream: yes\nmax-tokens: 500\n", PROMPT);
	for (int i = 0; i < 5; i++)
		says(t, PROMPT);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(model.cancels, 1);
	assert_int_equal(left(t), 1000 - 28 - 1 - 28);
	ch_test_free(t);
}

static void who_leaves_before_the_answer_pays_for_the_prompt(void **state)
{
	struct ch_test *t = begin(TIER);
	struct ch_test_answer *a;

	(void)state;
	model.at_once = false;
	a = ask(t, OWNER "max-tokens: 500\n", PROMPT);
	assert_true(model.running);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(model.cancels, 1);
	assert_int_equal(left(t), 1000 - 8);
	ch_test_free(t);
}

static void a_store_that_answers_late_ends_a_stream_late(void **state)
{
	struct ch_test *t = begin("stream_overshoot = 0\n" TIER);
	struct ch_test_answer *a;

	(void)state;
	model.in = 982;
	assert_int_equal(ask(t, OWNER "max-tokens: 974\n", PROMPT)->status, 200); /* 18 are left */
	model.at_once = false;
	a = ask(t, OWNER STREAM, PROMPT); /* and reserved */
	net.mode = NET_LATER;
	for (int i = 0; i < 20; i++)
		says(t, PROMPT);
	assert_int_equal(net.settles, 1); /* one charge is out, and the next waits for it */
	assert_true(model.running);
	ch_test_on_loop(t, net_answers, NULL);
	assert_int_equal(model.cancels, 1);
	assert_non_null(strstr(a->body, "!rate_limited"));
	/* one that ends while a charge is out */
	ch_test_advance(t, 3600000);
	model.at_once = false;
	a = ask(t, OWNER STREAM, PROMPT);
	net.mode = NET_LATER;
	for (int i = 0; i < 20; i++)
		says(t, PROMPT);
	ends(t, 0, 8, 80);
	assert_true(a->complete);
	ch_test_on_loop(t, net_answers, NULL);
	ch_test_advance(t, 0);
	assert_int_equal(left(t), 1000 - 88); /* the charge that was out was counted once */
	/* and a client that leaves meanwhile */
	model.at_once = false;
	a = ask(t, OWNER STREAM, PROMPT);
	net.mode = NET_LATER;
	for (int i = 0; i < 20; i++)
		says(t, PROMPT);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	ch_test_on_loop(t, net_answers, NULL); /* to nobody */
	ch_test_advance(t, 0);
	assert_int_equal(left(t), 1000 - 88 - 1 - 88);
	ch_test_free(t);
}

static void a_store_that_goes_away_ends_no_stream(void **state)
{
	struct ch_test *t = begin("stream_overshoot = 0\n" TIER);
	struct ch_test_answer *a;

	(void)state;
	model.at_once = false;
	a = ask(t, OWNER STREAM, PROMPT);
	net.mode = NET_DOWN;
	for (int i = 0; i < 500; i++)
		says(t, PROMPT);
	assert_true(model.running);
	ends(t, 0, 8, 2000);
	assert_true(a->complete);
	ch_test_free(t);
}

/* ---- without a client ---- */

static struct {
	const char *owner;
	int code;
	const char *detail;
} job;

static int job_asked(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c, (void)data, (void)why, (void)result;
	return CH_DONE;
}

static int job_runs(struct ch_ctx *c, void *data)
{
	struct question *q = question_new(c, data, CH_STR(PROMPT));

	q->call.fn = job_asked;
	q->call.args.max_tokens = 492;
	ch_facts(c)->owner = job.owner;
	ch_facts(c)->tier = "api_key";
	assert_int_equal(ch_infer(c, &q->call), CH_OK);
	job.code = q->result.code;
	return CH_DONE;
}

static void jobs_pay_as_well(void **state)
{
	struct ch_test *t = begin(TIER);
	const struct ch_svc *svc = ch_test_provided(t, "model", "inference/1");

	(void)state;
	model.in = 500;
	job.owner = "ann";
	for (int i = 0; i < 2; i++) {
		assert_true(ch_test_task(t, "who", 0, job_runs, (void *)(uintptr_t)svc));
		assert_int_equal(job.code, 0);
	}
	assert_true(ch_test_task(t, "who", 0, job_runs, (void *)(uintptr_t)svc));
	assert_int_equal(job.code, CH_E_RATE_LIMITED);
	assert_int_equal(ask(t, OWNER "max-tokens: 10\n", PROMPT)->status, 429); /* the same owner's */
	job.owner = NULL; /* the server's own work */
	assert_true(ch_test_task(t, "who", 0, job_runs, (void *)(uintptr_t)svc));
	assert_int_equal(job.code, 0);
	ch_test_free(t);
}

/* Half of the burst must not refuse what fits into the whole. */
static void the_fallback_lets_through_what_the_limit_would(void **state)
{
	struct ch_test *t = begin("fallback = kv_memory\n" TIER);
	struct ch_test_answer *a;

	(void)state;
	net.mode = NET_DOWN;
	model.in = 30;
	a = ask(t, OWNER "max-tokens: 900\n", PROMPT);
	assert_int_equal(a->status, 200);
	has(a, "X-RateLimit-Degraded", "fallback");
	has(a, "x-ratelimit-limit-tokens", "500");
	has(a, "x-ratelimit-remaining-tokens", "0");
	a = ask(t, OWNER "max-tokens: 10\n", PROMPT);
	has(a, "x-ratelimit-remaining-tokens", "452"); /* 500 - 30 - 18 */
	ch_test_free(t);
}

static void nobody_decides_about_tokens_and_the_config_says_no(void **state)
{
	struct ch_test *t = begin("fallback = none\non_store_down = refuse\n" TIER);
	struct ch_test_answer *a;

	(void)state;
	net.mode = NET_DOWN;
	a = ask(t, OWNER, PROMPT);
	assert_int_equal(a->status, 503);
	has(a, "Retry-After", "1");
	has(a, "X-RateLimit-Degraded", NULL);
	assert_int_equal(model.calls, 0);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_or_less_is_settled_when_it_is_known),
		cmocka_unit_test(a_failure_costs_nothing),
		cmocka_unit_test(an_answer_without_usage_is_guessed),
		cmocka_unit_test(what_is_not_there_is_refused_and_says_so),
		cmocka_unit_test(what_can_never_pass_says_so),
		cmocka_unit_test(an_assumed_length_never_refuses_for_good),
		cmocka_unit_test(a_rule_for_a_model_counts_beside_the_tier),
		cmocka_unit_test(who_names_no_model_has_the_standard_ones_limits),
		cmocka_unit_test(other_questions_cost_what_they_need),
		cmocka_unit_test(a_stream_pays_as_it_flows),
		cmocka_unit_test(a_stream_over_its_reservation_ends_when_the_limit_is_overdrawn),
		cmocka_unit_test(a_stream_whose_limit_holds_out_is_left_alone),
		cmocka_unit_test(a_broken_stream_costs_what_it_said),
		cmocka_unit_test(who_leaves_before_the_answer_pays_for_the_prompt),
		cmocka_unit_test(a_store_that_answers_late_ends_a_stream_late),
		cmocka_unit_test(a_store_that_goes_away_ends_no_stream),
		cmocka_unit_test(jobs_pay_as_well),
		cmocka_unit_test(the_fallback_lets_through_what_the_limit_would),
		cmocka_unit_test(nobody_decides_about_tokens_and_the_config_says_no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
