/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and places: whose, how many, what is said about it. The clock stands still unless a test moves it, so all figures are exact. */
#include "test_world.h"

#define OWNER "owner: ann\nkey: k1\ntier: api_key\n"

/* How many of n requests pass. */
static int passing(struct ch_test *t, const char *target, const char *headers, int n)
{
	int ok = 0;

	while (n--) {
		int status = get(t, target, headers)->status;

		assert_true(status == 200 || status == 429);
		ok += status == 200;
	}
	return ok;
}

/* ---- how many ---- */

static void exactly_the_burst_passes_and_then_the_rate(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 100/min\nburst = 20\n");

	(void)state;
	assert_int_equal(passing(t, "/v1/thing", OWNER, 50), 20);
	ch_test_advance(t, 599);
	assert_int_equal(passing(t, "/v1/thing", OWNER, 2), 0);
	ch_test_advance(t, 1);
	assert_int_equal(passing(t, "/v1/thing", OWNER, 2), 1);
	ch_test_advance(t, 6000);
	assert_int_equal(passing(t, "/v1/thing", OWNER, 50), 10);
	ch_test_advance(t, 3600000);
	assert_int_equal(passing(t, "/v1/thing", OWNER, 50), 20);
	assert_int_equal(net.takes, 50 + 2 + 2 + 50 + 50); /* one question to the store for each request */
	ch_test_free(t);
}

static void a_limit_of_0_never_passes(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 0\n");
	struct ch_test_answer *a;

	(void)state;
	a = get(t, "/v1/thing", OWNER);
	assert_int_equal(a->status, 429);
	has(a, "Retry-After", NULL);
	has(a, "x-should-retry", "false");
	has(a, "X-RateLimit-Limit", "0");
	has(a, "X-RateLimit-Remaining", "0");
	has(a, "RateLimit-Policy", "\"requests\";q=0;qu=\"requests\"");
	has(a, "RateLimit", "\"requests\";r=0");
	assert_non_null(strstr(a->body, "a limit of 0"));
	ch_test_advance(t, 86400000);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	ch_test_free(t);
}

static void a_rate_below_one_a_second_is_exact(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 3\n");
	struct ch_test_answer *a;

	(void)state;
	assert_int_equal(passing(t, "/v1/thing", OWNER, 5), 3);
	ch_test_advance(t, 3599999);
	a = get(t, "/v1/thing", OWNER);
	assert_int_equal(a->status, 429);
	has(a, "Retry-After", "1");
	ch_test_advance(t, 1);
	assert_int_equal(passing(t, "/v1/thing", OWNER, 2), 1);
	a = get(t, "/v1/thing", OWNER);
	has(a, "Retry-After", "3600");
	has(a, "x-should-retry", "false"); /* longer than a client would wait */
	has(a, "X-RateLimit-Reset", "10800");
	ch_test_free(t);
}

static void the_wall_clock_gives_and_takes_nothing(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 3\n");

	(void)state;
	assert_int_equal(passing(t, "/v1/thing", OWNER, 2), 2);
	ch_test_wall(t, -3600000);
	assert_int_equal(passing(t, "/v1/thing", OWNER, 3), 1);
	ch_test_wall(t, INT64_C(31536000000));
	assert_int_equal(passing(t, "/v1/thing", OWNER, 3), 0);
	ch_test_free(t);
}

/* ---- what is said ---- */

static void figures_agree_with_a_calculation_by_hand(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 100/min\nburst = 10\n");
	struct ch_test_answer *a;

	(void)state;
	/* A token takes 0.6 s, ten of them 6 s. */
	a = get(t, "/v1/thing", OWNER);
	has(a, "X-RateLimit-Limit", "10");
	has(a, "X-RateLimit-Remaining", "9");
	has(a, "X-RateLimit-Reset", "1");
	has(a, "RateLimit-Policy", "\"requests\";q=10;w=6;qu=\"requests\"");
	has(a, "RateLimit", "\"requests\";r=9;t=1");
	has(a, "x-ratelimit-limit-requests", NULL); /* no route of OpenAI's */
	assert_int_equal(passing(t, "/v1/thing", OWNER, 9), 9);
	a = ask(t, OWNER, "hi");
	assert_int_equal(a->status, 429);
	has(a, "X-RateLimit-Limit", "10");
	has(a, "X-RateLimit-Remaining", "0");
	has(a, "X-RateLimit-Reset", "6");
	has(a, "RateLimit", "\"requests\";r=0;t=6");
	has(a, "x-ratelimit-limit-requests", "10");
	has(a, "x-ratelimit-remaining-requests", "0");
	has(a, "x-ratelimit-reset-requests", "6s");
	has(a, "Retry-After", "1"); /* 0.6 s */
	has(a, "retry-after-ms", "1000");
	has(a, "x-should-retry", NULL);
	has(a, "Content-Type", "application/problem+json");
	assert_non_null(strstr(a->body, "\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\""));
	assert_non_null(strstr(a->body, "\"violated-policies\":[\"requests\"]"));
	assert_non_null(strstr(a->body, "\"code\":\"rate_limited\""));
	assert_non_null(strstr(a->body, "Too many requests: the owner of this key may make 100 a minute, 10 at once "
					"(tier \\\"api_key\\\"); try again in 1 s."));
	assert_non_null(strstr(a->body, "\"error\":{"));
	ch_test_advance(t, 590);
	a = ask(t, OWNER, "hi");
	has(a, "x-ratelimit-reset-requests", "5.41s");
	ch_test_advance(t, 10);
	a = ask(t, OWNER, "hi");
	assert_int_equal(a->status, 200);
	has(a, "x-ratelimit-reset-requests", "6s");
	ch_test_free(t);
}

static void who_is_not_limited_hears_no_figures(void **state)
{
	struct ch_test *t = begin("");
	struct ch_test_answer *a = get(t, "/v1/thing", "owner: root\ntier: admin\n");

	(void)state;
	assert_int_equal(a->status, 200);
	has(a, "RateLimit", NULL);
	has(a, "X-RateLimit-Limit", NULL);
	assert_int_equal(net.takes, 0);
	ch_test_free(t);
}

static void only_what_is_for_clients_is_limited(void **state)
{
	struct ch_test *t = begin("[ratelimit.anonymous]\nrequests = 0\n");

	(void)state;
	assert_int_equal(get(t, "/open", NULL)->status, 200);
	assert_int_equal(get(t, "/ops", NULL)->status, 200); /* the peer is 127.0.0.1 */
	assert_int_equal(get(t, "/nowhere", NULL)->status, 404);
	assert_int_equal(net.takes, 0);
	assert_int_equal(get(t, "/v1/thing", NULL)->status, 429);
	ch_test_free(t);
}

/* ---- whose ---- */

static void tiers_are_there_without_a_row(void **state)
{
	struct ch_test *t = begin("");

	(void)state;
	has(get(t, "/v1/thing", NULL), "X-RateLimit-Limit", "100");
	has(get(t, "/v1/thing", OWNER), "X-RateLimit-Limit", "1000");
	has(get(t, "/v1/thing", "owner: bob\ntier: premium\n"), "X-RateLimit-Limit", "5000");
	has(get(t, "/v1/thing", "owner: root\ntier: admin\n"), "X-RateLimit-Limit", NULL);
	ch_test_free(t);
}

static void a_strange_tier_is_the_default_one_and_said_once(void **state)
{
	struct ch_test *t = begin("default_tier = basic\n[ratelimit.basic]\nrequests = 7/min\n");
	const char *first;

	(void)state;
	for (int i = 0; i < 3; i++)
		has(get(t, "/v1/thing", "owner: x\ntier: gold\n"), "X-RateLimit-Limit", "7");
	first = strstr(ch_test_log(t), "tier \"gold\" has no limits of its own");
	assert_non_null(first);
	assert_null(strstr(first + 1, "tier \"gold\" has no limits"));
	assert_true(ch_test_metric(t, "rate_limiter_requests_total", "basic", NULL) == 3);
	ch_test_free(t);
}

static void keys_of_an_owner_share_and_others_do_not(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 4\n");

	(void)state;
	assert_int_equal(passing(t, "/v1/thing", OWNER, 3), 3);
	assert_int_equal(passing(t, "/v1/thing", "owner: ann\nkey: k2\ntier: api_key\n", 3), 1);
	assert_int_equal(passing(t, "/v1/thing", "owner: bob\nkey: k3\ntier: api_key\n", 6), 4);
	/* a key that is called as the owner, without an owner */
	assert_int_equal(passing(t, "/v1/thing", "key: ann\ntier: api_key\n", 6), 4);
	ch_test_free(t);
}

static void a_key_with_limits_of_its_own_has_its_own_bucket(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 4\nconcurrent = 9\n");
	struct ch_test_answer *a;

	(void)state;
	assert_int_equal(passing(t, "/v1/thing", OWNER, 6), 4);
	assert_int_equal(passing(t, "/v1/thing", OWNER "limits: requests=2/h burst=2\n", 6), 2);
	a = get(t, "/v1/thing", OWNER "limits: requests=2/h burst=2\n");
	assert_non_null(strstr(a->body, "this key may make 2 an hour, 2 at once (its own limits)"));
	has(a, "RateLimit-Policy", "\"requests\";q=2;w=3600;qu=\"requests\", \"concurrent\";q=9;qu=\"concurrent-requests\"");
	/* what cannot be read is the tier's, and said once */
	assert_int_equal(passing(t, "/v1/thing", "key: k9\nlimits: nonsense\n", 6), 4);
	assert_true(ch_test_logged(t, "the limits of key \"k9\" cannot be read"));
	ch_test_free(t);
}

static void an_address_is_itself_and_of_ipv6_its_64(void **state)
{
	struct ch_test *t = begin("[ratelimit.anonymous]\nrequests = 1/h\nburst = 4\n");

	(void)state;
	ch_test_peer(t, "192.0.2.1");
	assert_int_equal(passing(t, "/v1/thing", NULL, 5), 4);
	ch_test_peer(t, "192.0.2.2");
	assert_int_equal(passing(t, "/v1/thing", NULL, 5), 4);
	ch_test_peer(t, "2001:db8:0:1::1");
	assert_int_equal(passing(t, "/v1/thing", NULL, 3), 3);
	ch_test_peer(t, "2001:db8:0:1:ffff::2");
	assert_int_equal(passing(t, "/v1/thing", NULL, 3), 1);
	ch_test_peer(t, "2001:db8:0:2::1");
	assert_int_equal(passing(t, "/v1/thing", NULL, 5), 4);
	ch_test_free(t);
}

/* printf 'o:ann' | sha256sum */
#define ANN "rate_limit:db9f0282465a58d0fe730d8336932696fe4de65a4e89fe6df36818caccc68794:api_key"

static void what_leaves_the_process_is_a_hash(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 5/min\nconcurrent = 2\n"
				  "[ratelimit.slow]\nendpoint = /v1/w*\nrequests = 3/min\n");

	(void)state;
	ch_test_sweep_off(t); /* what waits here is let go by the test alone */
	for (int i = 0; i < 2; i++) { /* from the cache, too */
		net.nlast = 0;
		get(t, "/v1/wait", OWNER);
		assert_int_equal(net.nlast, 3);
		assert_string_equal(net.keys[0], ANN);
		assert_string_equal(net.keys[1], ANN ":concurrent");
		assert_string_equal(net.keys[2], ANN ":slow");
	}
	while (nwaiting)
		ch_test_on_loop(t, who_lets_go, NULL);
	ch_test_free(t);
}

/* ---- rules ---- */

static void a_rule_for_an_endpoint_counts_beside_the_tier(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 8\n"
				  "[ratelimit.slow]\nendpoint = /v1/thing\nrequests = 1/h\nburst = 3\n"
				  "[ratelimit.late]\nendpoint = /v1/*\nrequests = 0\ntiers = premium\n");
	struct ch_test_answer *a;

	(void)state;
	a = get(t, "/v1/thing", OWNER);
	has(a, "RateLimit", "\"requests\";r=7;t=3600, \"slow\";r=2;t=3600");
	has(a, "X-RateLimit-Limit", "3"); /* the tighter one */
	has(a, "X-RateLimit-Remaining", "2");
	assert_int_equal(passing(t, "/v1/thing", OWNER, 5), 2);
	a = get(t, "/v1/thing", OWNER);
	assert_non_null(strstr(a->body, "\"violated-policies\":[\"slow\"]"));
	assert_non_null(strstr(a->body, "(limit \\\"slow\\\" on /v1/thing)"));
	/* all or nothing: what the rule refused was not taken from the tier: 8 - 3 are left */
	assert_int_equal(passing(t, "/v1/other", OWNER, 9), 5);
	assert_int_equal(get(t, "/v1/other", "owner: z\ntier: premium\n")->status, 429);
	ch_test_free(t);
}

/* ---- places ---- */

static void so_many_run_at_a_time(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nconcurrent = 2\n");
	struct ch_test_answer *a, *first, *second;

	(void)state;
	ch_test_sweep_off(t); /* what waits here is let go by the test alone */
	first = get(t, "/v1/wait", OWNER);
	second = get(t, "/v1/wait", OWNER);
	a = get(t, "/v1/wait", OWNER);
	assert_int_equal(a->status, 429);
	has(a, "Retry-After", "1");
	has(a, "RateLimit", "\"concurrent\";r=0");
	has(a, "RateLimit-Policy", "\"concurrent\";q=2;qu=\"concurrent-requests\"");
	has(a, "X-RateLimit-Limit", NULL);
	assert_non_null(strstr(a->body, "\"violated-policies\":[\"concurrent\"]"));
	assert_non_null(strstr(a->body, "may have 2 (tier \\\"api_key\\\")"));
	ch_test_on_loop(t, who_lets_go, NULL);
	assert_true(first->done != second->done);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 200);
	ch_test_leave(first->done ? second : first); /* his place is free at once */
	ch_test_advance(t, 0);
	first = get(t, "/v1/wait", OWNER);
	second = get(t, "/v1/wait", OWNER);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	assert_false(first->done || second->done);
	while (nwaiting)
		ch_test_on_loop(t, who_lets_go, NULL);
	ch_test_free(t);
}

static void a_place_is_free_after_hold_at_the_latest(void **state)
{
	struct ch_test *t = begin("hold = 2m\n[ratelimit.api_key]\nconcurrent = 1\n");

	(void)state;
	ch_test_sweep_off(t); /* what waits here is let go by the test alone */
	get(t, "/v1/wait", OWNER);
	assert_true(net.last[0].hold_ms == 120000);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	ch_test_advance(t, 119999);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	ch_test_advance(t, 1);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 200);
	ch_test_on_loop(t, who_lets_go, NULL);
	ch_test_free(t);
}

/* ---- the store is away ---- */

#define WITH_FALLBACK "fallback = kv_memory\nfallback_share = 50%\n[ratelimit.api_key]\nrequests = 1/h\nburst = 8\n"

static void the_fallback_decides_with_its_share(void **state)
{
	struct ch_test *t = begin(WITH_FALLBACK);
	struct ch_test_answer *a;
	const char *log;

	(void)state;
	net.mode = NET_DOWN;
	a = get(t, "/v1/thing", OWNER);
	assert_int_equal(a->status, 200);
	has(a, "X-RateLimit-Degraded", "fallback");
	has(a, "X-RateLimit-Limit", "4");
	has(a, "RateLimit", "\"requests\";r=3;t=7200");
	assert_int_equal(passing(t, "/v1/thing", OWNER, 9), 3);
	assert_true(ch_test_metric(t, "chimera_ratelimit_store_away_total", "fallback", NULL) == 10);
	assert_true(ch_test_metric(t, "chimera_degraded", "ratelimit", NULL) == 1);
	log = strstr(ch_test_log(t), "store is degraded now");
	assert_non_null(log);
	assert_null(strstr(log + 1, "store is degraded now"));
	/* back by itself */
	net.mode = NET_WELL;
	a = get(t, "/v1/thing", "owner: eve\ntier: api_key\n");
	has(a, "X-RateLimit-Degraded", NULL);
	has(a, "X-RateLimit-Limit", "8");
	ch_test_advance(t, 5000);
	assert_true(ch_test_logged(t, "store works again"));
	assert_true(ch_test_metric(t, "chimera_degraded", "ratelimit", NULL) == 0);
	ch_test_free(t);
}

/* The real store behind `net` is the fallback here, too, so both charge the same bucket: the sum is what both have taken. */
static void a_decision_is_made_once_whatever_became_of_the_question(void **state)
{
	struct ch_test *t = begin(WITH_FALLBACK);

	(void)state;
	net.mode = NET_UNKNOWN;
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 200);
	assert_int_equal(net.takes, 1); /* not asked again */
	net.mode = NET_WELL;
	has(get(t, "/v1/thing", OWNER), "X-RateLimit-Remaining", "5"); /* 8, less one by the store, one by the fallback, and this one */
	net.mode = NET_BROKEN;
	ch_test_expect_misuse(t);
	assert_int_equal(get(t, "/v1/thing", "owner: eve\ntier: api_key\n")->status, 200);
	ch_test_free(t);
}

static void kv_memory_is_the_fallback_by_itself_unless_it_is_the_store(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 8\n");
	struct ch_test_answer *a;

	(void)state;
	net.mode = NET_DOWN;
	a = get(t, "/v1/thing", OWNER);
	has(a, "X-RateLimit-Degraded", "fallback");
	has(a, "X-RateLimit-Limit", "4");
	ch_test_free(t);
	t = prepare("");
	ch_test_config(t, "[kv_memory]\n[who]\n[ratelimit]\nstore = kv_memory\n");
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	has(get(t, "/v1/thing", OWNER), "X-RateLimit-Remaining", "999");
	ch_test_free(t);
	t = prepare("");
	ch_test_config(t, "[who]\n[ratelimit]\nstore = net\n"); /* no kv_memory at all */
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	net.mode = NET_DOWN;
	has(get(t, "/v1/thing", OWNER), "X-RateLimit-Degraded", "pass");
	ch_test_free(t);
}

/* Whose END comes while the store is away: nobody hears then that the place is still taken there. */
static void a_place_is_given_back_again_when_the_store_is_back(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nconcurrent = 1\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_sweep_off(t);
	a = get(t, "/v1/wait", OWNER);
	net.mode = NET_DOWN;
	get(t, "/v1/thing", "owner: eve\ntier: api_key\n"); /* who finds out that it is away */
	ch_test_on_loop(t, who_lets_go, NULL);
	assert_int_equal(a->status, 200);
	net.mode = NET_WELL;
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	net.mode = NET_DOWN;
	ch_test_advance(t, 5000); /* rounds that fail change nothing */
	net.mode = NET_WELL;
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	ch_test_advance(t, 1100);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 200);
	net.settles = 0;
	ch_test_advance(t, 5000);
	assert_int_equal(net.settles, 0); /* what is done is forgotten */
	ch_test_free(t);
}

/* A store that answers later may lose what nobody waits for, and nobody need have noticed. */
static void a_place_whose_leave_was_lost_in_silence_is_given_back_again(void **state)
{
	struct ch_test *t = begin("fallback = none\n[ratelimit.api_key]\nconcurrent = 2\n");
	struct ch_test_answer *a[2];

	(void)state;
	ch_test_sweep_off(t);
	for (int i = 0; i < 2; i++) { /* two of one key: they cannot be given back by one question */
		net.mode = NET_LATER;
		a[i] = get(t, "/v1/wait", OWNER);
		ch_test_on_loop(t, net_answers, NULL);
	}
	net.mode = NET_DOWN;
	ch_test_on_loop(t, who_lets_go, NULL);
	ch_test_on_loop(t, who_lets_go, NULL);
	assert_true(a[0]->done && a[1]->done);
	net.mode = NET_WELL;
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	net.mode = NET_LATER; /* the round waits for its answer, too */
	ch_test_advance(t, 1100);
	assert_non_null(net.out);
	ch_test_on_loop(t, net_answers, NULL);
	ch_test_advance(t, 0);
	net.mode = NET_WELL;
	ch_test_advance(t, 1100);
	get(t, "/v1/wait", OWNER);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 200); /* both are free */
	ch_test_on_loop(t, who_lets_go, NULL);
	ch_test_free(t);
}

static void a_reload_forgets_no_place(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nconcurrent = 1\n");

	(void)state;
	ch_test_sweep_off(t);
	get(t, "/v1/wait", OWNER);
	net.mode = NET_DOWN;
	get(t, "/v1/thing", "owner: eve\ntier: api_key\n");
	ch_test_on_loop(t, who_lets_go, NULL);
	reload(t, "hold = 10m\n[ratelimit.api_key]\nconcurrent = 1\n");
	net.mode = NET_WELL;
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 429);
	ch_test_advance(t, 1100);
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 200);
	ch_test_free(t);
}

static void without_a_fallback_the_config_decides(void **state)
{
	struct ch_test *t = begin("fallback = none\n[ratelimit.api_key]\nrequests = 0\n");
	struct ch_test_answer *a;

	(void)state;
	net.mode = NET_DOWN;
	a = get(t, "/v1/thing", OWNER);
	assert_int_equal(a->status, 200);
	has(a, "X-RateLimit-Degraded", "pass");
	has(a, "X-RateLimit-Limit", NULL);
	has(a, "RateLimit", NULL);
	ch_test_free(t);
	t = begin("fallback =\non_store_down = refuse\n[ratelimit.api_key]\nrequests = 10/s\n");
	net.mode = NET_DOWN;
	a = get(t, "/v1/thing", OWNER);
	assert_int_equal(a->status, 503);
	has(a, "Retry-After", "1");
	assert_non_null(strstr(a->body, "The limits cannot be checked now"));
	ch_test_free(t);
}

static void a_store_that_takes_its_time_suspends_the_request(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 3\nconcurrent = 1\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_sweep_off(t); /* what waits here is let go by the test alone */
	net.mode = NET_LATER;
	a = get(t, "/v1/thing", OWNER);
	assert_false(a->done);
	ch_test_on_loop(t, net_answers, NULL);
	assert_int_equal(a->status, 200);
	has(a, "RateLimit", "\"requests\";r=2;t=3600, \"concurrent\";r=0");
	/* a client that leaves meanwhile: the question is given up, and a place that it may have got is given back */
	net.mode = NET_LATER;
	a = get(t, "/v1/thing", OWNER);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(net.cancels, 1);
	assert_int_equal(net.last[0].kind, CH_KV_HOLDERS);
	assert_true(net.settling);
	net.mode = NET_WELL;
	assert_int_equal(get(t, "/v1/thing", OWNER)->status, 200);
	ch_test_free(t);
}

/* ---- config ---- */

static void refused(const char *ini, const char *why)
{
	struct ch_test *t = prepare(ini);

	if (ch_test_start(t))
		fail_msg("was accepted: %s", ini);
	if (!strstr(ch_test_errors(t), why))
		fail_msg("not said: %s; but: %s", why, ch_test_errors(t));
	ch_test_free(t);
}

static void a_config_that_cannot_hold_is_refused(void **state)
{
	(void)state;
	refused("fallback = net\n", "fallback = net: is the store itself, net");
	refused("[ratelimit.api_key]\ntokens = 600/min\ntoken_burst = 100\n", "fewer than the assume_output of 512");
	refused("[ratelimit.api_key]\nburst = 5\n", "limits nothing while requests is unlimited");
	refused("[ratelimit.api_key]\ntoken_burst = 5000\n", "limits nothing while tokens is unlimited");
	refused("[ratelimit.x]\nendpoint = /a\nmodel = b\n", "a rule is for endpoints or for models");
	refused("[ratelimit.x]\nrequests = 1/s\ntiers = premium\n", "this row is a tier");
	refused("[ratelimit.tokens]\nendpoint = /a\nrequests = 1/s\n", "stands for the tier's own limit");
	refused("[ratelimit.a:b]\nrequests = 1/s\n", "the name of a row");
	refused("[ratelimit.api_key]\nrequests = 0.0000001/h\n", "too slow for a bucket");
	refused("[ratelimit.api_key]\nrequests = -1/s\n", "requests");
	refused("[ratelimit.api_key]\nrequests = 100\n", "requests");
	refused("fallback_share = 0%\n", "fallback_share");
	refused("[ratelimit.x]\nendpoint = v1/ask\nrequests = 1/s\n", "\"v1/ask\" matches no route, since each begins with /");
	refused("[ratelimit.x]\nendpoint = /v1/ask\n", "this rule limits nothing");
	refused("[ratelimit.x]\nmodel = gpt-4*\ntiers = premium\n", "this rule limits nothing");
}

static void a_name_that_is_nearly_a_known_tier_is_said(void **state)
{
	struct ch_test *t = begin("default_tier = api_kee\n[ratelimit.premum]\nrequests = 9/min\n[ratelimit.gold]\nrequests = 9/min\n"
				  "[ratelimit.slow]\nendpoint = *\nrequests = 9/min\ntiers = glod, gold, free, premium\n");

	(void)state;
	assert_true(ch_test_logged(t, "[ratelimit.premum]: no tier \"premum\" is known; did you mean \"premium\"?"));
	assert_true(ch_test_logged(t, "[ratelimit] default_tier: no tier \"api_kee\" is known; did you mean \"api_key\"?"));
	assert_true(ch_test_logged(t, "[ratelimit.slow] tiers: no tier \"glod\" is known; did you mean \"gold\"?"));
	assert_false(ch_test_logged(t, "\"gold\" is known"));
	assert_false(ch_test_logged(t, "\"free\" is known"));
	assert_false(ch_test_logged(t, "\"premium\" is known"));
	ch_test_free(t);
	/* with a row for both, and as the default, it is meant */
	t = begin("default_tier = api_key2\n[ratelimit.premium]\n[ratelimit.premium2]\n[ratelimit.api_key2]\nrequests = 9/min\n");
	assert_false(ch_test_logged(t, "did you mean"));
	ch_test_free(t);
}

static void the_old_variable_sets_the_default_tier(void **state)
{
	struct ch_test *t = prepare("");

	(void)state;
	ch_test_env(t, "BANTER_RATE_LIMIT_MAX=42");
	assert_true(ch_test_start(t));
	net.svc = ch_test_provided(t, "kv_memory", "kv/1");
	assert_non_null(strstr(ch_test_errors(t), "deprecated"));
	has(get(t, "/v1/thing", OWNER), "X-RateLimit-Limit", "42");
	ch_test_free(t);
}

static void a_reload_keeps_what_was_used(void **state)
{
	struct ch_test *t = begin("[ratelimit.api_key]\nrequests = 1/h\nburst = 8\n");

	(void)state;
	assert_int_equal(passing(t, "/v1/thing", OWNER, 5), 5);
	reload(t, "[ratelimit.api_key]\nrequests = 2/h\nburst = 10\n");
	has(get(t, "/v1/thing", OWNER), "RateLimit", "\"requests\";r=4;t=10800"); /* 10 - 5 - 1; 6 lack, half an hour each */
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_the_burst_passes_and_then_the_rate),
		cmocka_unit_test(a_limit_of_0_never_passes),
		cmocka_unit_test(a_rate_below_one_a_second_is_exact),
		cmocka_unit_test(the_wall_clock_gives_and_takes_nothing),
		cmocka_unit_test(figures_agree_with_a_calculation_by_hand),
		cmocka_unit_test(who_is_not_limited_hears_no_figures),
		cmocka_unit_test(only_what_is_for_clients_is_limited),
		cmocka_unit_test(tiers_are_there_without_a_row),
		cmocka_unit_test(a_strange_tier_is_the_default_one_and_said_once),
		cmocka_unit_test(keys_of_an_owner_share_and_others_do_not),
		cmocka_unit_test(a_key_with_limits_of_its_own_has_its_own_bucket),
		cmocka_unit_test(an_address_is_itself_and_of_ipv6_its_64),
		cmocka_unit_test(what_leaves_the_process_is_a_hash),
		cmocka_unit_test(a_rule_for_an_endpoint_counts_beside_the_tier),
		cmocka_unit_test(so_many_run_at_a_time),
		cmocka_unit_test(a_place_is_free_after_hold_at_the_latest),
		cmocka_unit_test(the_fallback_decides_with_its_share),
		cmocka_unit_test(a_decision_is_made_once_whatever_became_of_the_question),
		cmocka_unit_test(kv_memory_is_the_fallback_by_itself_unless_it_is_the_store),
		cmocka_unit_test(a_place_is_given_back_again_when_the_store_is_back),
		cmocka_unit_test(a_place_whose_leave_was_lost_in_silence_is_given_back_again),
		cmocka_unit_test(a_reload_forgets_no_place),
		cmocka_unit_test(without_a_fallback_the_config_decides),
		cmocka_unit_test(a_store_that_takes_its_time_suspends_the_request),
		cmocka_unit_test(a_config_that_cannot_hold_is_refused),
		cmocka_unit_test(a_name_that_is_nearly_a_known_tier_is_said),
		cmocka_unit_test(the_old_variable_sets_the_default_tier),
		cmocka_unit_test(a_reload_keeps_what_was_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
