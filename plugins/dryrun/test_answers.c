/* SPDX-License-Identifier: Apache-2.0 */
/* What dryrun answers beside plain words: JSON, calls of tools, vectors, models; and what it refuses. */
#include <math.h>

#include <chimera/kit/json.h>

#include "test_caller.h"

/* A request as api_openai reads it: the places of `tools` and `response_format` in the body are looked up. */
static struct ch_openai openai;

static void place(const char *body, const char *name, size_t *at, size_t *n)
{
	const char *key = strstr(body, name);
	struct ch_json_tok tok;
	struct ch_json j;

	if (!key)
		return;
	*at = (size_t)(key - body) + strlen(name);
	ch_json_init(&j, body + *at, strlen(body) - *at, 0, 0);
	ch_json_next(&j, &tok);
	assert_int_equal(ch_json_skip(&j, &tok), 0);
	*n = tok.end;
}

static void say(struct caller *k, const char *body, unsigned needs)
{
	openai = (struct ch_openai){ .size = sizeof(openai), .path = "chat/completions", .body = { body, strlen(body) } };
	assert_true(ch_json_valid(body, strlen(body), 0, 0, NULL, NULL));
	place(body, "\"tools\":", &openai.tools_at, &openai.tools_n);
	place(body, "\"response_format\":", &openai.format_at, &openai.format_n);
	k->args.openai = &openai;
	k->args.needs = needs;
}

/* Asks once more, with nothing left of before. */
static void again(struct ch_test *t, struct caller *k)
{
	*k = (struct caller){ .svc = k->svc, .args = k->args, .stream = k->stream };
	ch_test_task(t, "dryrun", 0, call, k);
}

#define WEATHER "{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":\"object\",\"properties\":{" \
	"\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},\"unit\":{\"enum\":[\"celsius\",\"kelvin\"]}," \
	"\"say\\\"so\":{\"type\":\"boolean\"}}}}}"
#define CLOCK "{\"type\":\"function\",\"function\":{\"name\":\"clock\"}}"
#define TOOLS "\"tools\":[" WEATHER "," CLOCK "]"

static const struct ch_message names_clock = { .role = CH_STR("user"), .content = CH_STR("what does the clock say?") };

static void a_tool_is_called_when_the_last_message_names_it(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "");

	(void)state;
	say(&k, "{" TOOLS "}", CH_I_TOOLS);
	again(t, &k);
	assert_int_equal(k.ncalls, 0); /* "hello there" names none */
	assert_string_equal(k.out.finish_reason, "stop");
	k.args.messages = &names_clock;
	again(t, &k);
	assert_int_equal(k.out.code, 0);
	assert_string_equal(k.out.finish_reason, "tool_calls");
	assert_int_equal(k.out.text.n, 0);
	assert_non_null(strstr(k.calls[0], "\"type\":\"function\",\"function\":{\"name\":\"clock\",\"arguments\":\"{}\"}}]"));
	ch_test_free(t);
}

/* The value of a member of an object, as it stands there; p NULL: it is not there. */
static struct ch_str get(struct ch_str object, const char *name)
{
	struct ch_json_tok tok;
	struct ch_json j;

	ch_json_init(&j, object.p, object.n, 0, 0);
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_OBJECT);
	while (ch_json_next(&j, &tok) == CH_JSON_KEY) {
		bool found = ch_json_eq(&tok, name);

		ch_json_next(&j, &tok);
		assert_int_equal(ch_json_skip(&j, &tok), 0);
		if (found)
			return (struct ch_str){ object.p + tok.start, tok.end - tok.start };
	}
	return (struct ch_str){ NULL, 0 };
}

/* A JSON string's text, decoded. */
static struct ch_str decoded(struct ch_str string, char *out)
{
	struct ch_json_tok tok;
	struct ch_json j;

	ch_json_init(&j, string.p, string.n, 0, 0);
	assert_int_equal(ch_json_next(&j, &tok), CH_JSON_STRING);
	return (struct ch_str){ out, ch_json_unescape(&tok, out) };
}

/* [ object ] */
static struct ch_str only(const char *array)
{
	size_t n = strlen(array);

	assert_true(ch_json_valid(array, n, 0, 0, NULL, NULL));
	assert_true(array[0] == '[' && array[n - 1] == ']');
	return (struct ch_str){ array + 1, n - 2 };
}

static void a_tools_arguments_are_what_its_schema_asks_for(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "tool_calls = offered\n");
	char text[256];
	struct ch_str args;

	(void)state;
	say(&k, "{" TOOLS "}", CH_I_TOOLS);
	again(t, &k);
	args = decoded(get(get(only(k.calls[0]), "function"), "arguments"), text);
	assert_true(ch_json_valid(args.p, args.n, 0, 0, NULL, NULL));
	assert_int_equal(get(args, "city").p[0], '"');
	assert_true(get(args, "days").p[0] >= '0' && get(args, "days").p[0] <= '9');
	assert_memory_equal(get(args, "unit").p, "\"celsius\"", 9);
	assert_true(get(args, "say\"so").p[0] == 't' || get(args, "say\"so").p[0] == 'f');
	ch_test_free(t);
}

static void a_streamed_call_has_the_whole_ones_bytes_in_pieces(void **state)
{
	struct caller whole, k;
	struct ch_test *t = begin(&whole, "tool_calls = offered\n");
	char text[256], all[512];
	struct ch_str args, piece;
	size_t n = 0;

	(void)state;
	say(&whole, "{" TOOLS "}", CH_I_TOOLS);
	again(t, &whole);
	args = decoded(get(get(only(whole.calls[0]), "function"), "arguments"), text);
	k = (struct caller){ .svc = whole.svc, .args = whole.args, .stream = true };
	again(t, &k);
	assert_true(k.ncalls > 2);
	assert_int_equal(k.n, 0);
	assert_int_equal(k.out.tool_calls.n, 0);
	assert_string_equal(k.out.finish_reason, "tool_calls");
	assert_memory_equal(get(only(k.calls[0]), "id").p, get(only(whole.calls[0]), "id").p, 23);
	for (unsigned i = 0; i < k.ncalls; i++) {
		assert_memory_equal(get(only(k.calls[i]), "index").p, "0", 1);
		piece = decoded(get(get(only(k.calls[i]), "function"), "arguments"), all + n);
		n += piece.n;
	}
	assert_int_equal(n, args.n);
	assert_memory_equal(all, args.p, n);
	assert_int_equal(k.out.tokens_out, k.ncalls);
	ch_test_free(t);
}

static void tool_choice_decides_before_the_option(void **state)
{
	static const struct { const char *options, *choice, *name; } rows[] = {
		{ "tool_calls = offered\n", "\"none\"", NULL },
		{ "tool_calls = never\n", "\"auto\"", NULL },
		{ "tool_calls = never\n", "\"required\"", "get_weather" },
		{ "tool_calls = never\n", "{\"type\":\"function\",\"function\":{\"name\":\"clock\"}}", "clock" },
		{ "tool_calls = offered\n", "\"auto\"", "get_weather" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct caller k;
		struct ch_test *t = begin(&k, rows[i].options);
		char body[1024], name[64];

		snprintf(body, sizeof(body), "{\"tool_choice\":%s," TOOLS "}", rows[i].choice);
		say(&k, body, CH_I_TOOLS);
		again(t, &k);
		assert_int_equal(k.ncalls, rows[i].name != NULL);
		if (rows[i].name) {
			snprintf(name, sizeof(name), "\"name\":\"%s\"", rows[i].name);
			assert_non_null(strstr(k.calls[0], name));
		}
		ch_test_free(t);
	}
}

static void a_tools_result_is_answered_with_words(void **state)
{
	static const struct ch_message talk[] = { { .role = CH_STR("user"), .content = CH_STR("clock?") },
		{ .role = CH_STR("assistant") }, { .role = CH_STR("tool"), .content = CH_STR("noon") } };
	struct caller k;
	struct ch_test *t = begin(&k, "tool_calls = offered\n");

	(void)state;
	say(&k, "{" TOOLS "}", CH_I_TOOLS);
	k.args.messages = talk;
	k.args.nmessages = 3;
	again(t, &k);
	assert_int_equal(k.ncalls, 0);
	assert_true(k.out.text.n > 0);
	ch_test_free(t);
}

static void json_object_is_one_whole_or_streamed_and_a_schema_is_refused(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "");

	(void)state;
	say(&k, "{\"response_format\":{\"type\":\"json_object\"}}", CH_I_FORMAT);
	for (int i = 0; i < 2; i++) {
		k.stream = i;
		k.args.max_tokens = 3;
		again(t, &k);
		assert_true(ch_json_valid(k.text, strlen(k.text), 0, 0, NULL, NULL));
		assert_memory_equal(k.text, "{\"answer\":\"dryrun: ", 19);
		assert_int_equal(k.out.tokens_out, 3);
	}
	say(&k, "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}}", CH_I_FORMAT);
	again(t, &k);
	assert_int_equal(k.out.code, CH_E_BAD_REQUEST);
	assert_non_null(strstr(k.detail, "json_object"));
	ch_test_free(t);
}

static void what_it_cannot_do_is_a_bad_request_that_says_what(void **state)
{
	static const struct { unsigned need; const char *word; } rows[] = { { CH_I_IMAGES, "no text" }, { CH_I_LOGPROBS, "logprobs" },
		{ CH_I_MANY, "several answers" }, { CH_I_OTHER, "does not know" } };
	struct caller k;
	struct ch_test *t = begin(&k, "");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		k.args.needs = rows[i].need;
		again(t, &k);
		assert_int_equal(k.out.code, CH_E_BAD_REQUEST);
		assert_non_null(strstr(k.detail, rows[i].word));
	}
	k.args.needs = 0;
	k.args.op = CH_I_PASS;
	again(t, &k);
	assert_int_equal(k.out.code, CH_E_NOT_IMPLEMENTED);
	ch_test_free(t);
}

static void a_text_of_stop_ends_the_words_before_it(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "");
	struct ch_str stop[2] = { { "no such text", 12 }, { NULL, 0 } };
	char whole[4096], cut[64];

	(void)state;
	again(t, &k);
	memcpy(whole, k.text, sizeof(whole));
	memcpy(cut, whole + 20, 5); /* lies across the third word's beginning, or the end of it */
	stop[1] = (struct ch_str){ cut, 5 };
	k.args.stop = stop;
	k.args.nstop = 2;
	for (int i = 0; i < 2; i++) {
		size_t at = (size_t)((char *)memmem(whole, strlen(whole), cut, 5) - whole);

		k.stream = i;
		again(t, &k);
		assert_int_equal(strlen(k.text), at);
		assert_memory_equal(k.text, whole, at);
		assert_string_equal(k.out.finish_reason, "stop");
	}
	ch_test_free(t);
}

static void a_seed_of_the_request_changes_the_answer(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "");
	char first[4096];

	(void)state;
	again(t, &k);
	memcpy(first, k.text, sizeof(first));
	k.args.has_seed = true;
	k.args.seed = 7;
	again(t, &k);
	assert_string_not_equal(k.text, first);
	ch_test_free(t);
}

static void embeddings_are_of_length_1_and_those_of_their_text(void **state)
{
	static const struct ch_message texts[] = { { .content = CH_STR("one") }, { .content = CH_STR("two") }, { .content = CH_STR("one") } };
	struct caller k;
	struct ch_test *t = begin(&k, "dimensions = 20\n");

	(void)state;
	k.args.op = CH_I_EMBEDDINGS;
	k.args.messages = texts;
	k.args.nmessages = 3;
	again(t, &k);
	assert_int_equal(k.out.nvectors, 3);
	assert_int_equal(k.out.dimensions, 20);
	assert_int_equal(k.out.tokens_in, 3);
	for (int i = 0; i < 3; i++) {
		double sum = 0;

		for (int d = 0; d < 20; d++)
			sum += (double)k.vectors[20 * i + d] * (double)k.vectors[20 * i + d];
		assert_true(fabs(sum - 1) < 1e-6);
	}
	assert_memory_equal(k.vectors, k.vectors + 40, 20 * sizeof(float));
	assert_memory_not_equal(k.vectors, k.vectors + 20, 20 * sizeof(float));
	ch_test_free(t);
}

static void completions_are_answered_too(void **state)
{
	static const struct ch_message prompt = { .content = CH_STR("Once upon a time") };
	struct caller k;
	struct ch_test *t = begin(&k, "");

	(void)state;
	k.args.op = CH_I_COMPLETION;
	k.args.messages = &prompt;
	again(t, &k);
	assert_int_equal(k.out.code, 0);
	assert_int_equal(k.out.tokens_in, 4);
	assert_memory_equal(k.text, "dryrun: ", 8);
	ch_test_free(t);
}

static void models_are_those_with_a_name_and_the_default_one(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "models = small, big*, large\ndefault_model = main\n");

	(void)state;
	k.args = (struct ch_inference_args){ .size = sizeof(k.args), .op = CH_I_MODELS };
	again(t, &k);
	assert_string_equal(k.models, "small of dryrun; large of dryrun; main of dryrun; ");
	k.args.op = CH_I_PROBE;
	again(t, &k);
	assert_int_equal(k.rc, CH_OK);
	assert_int_equal(k.out.code, 0);
	ch_test_free(t);
}

/* Each allocation fails once: there is a whole answer, or a code, or no call at all. */
static void without_memory_it_is_a_code(void **state)
{
	static const struct ch_str stop = { "no such text", 12 };
	static const struct { int op; const char *body; unsigned needs; } rows[] = {
		{ CH_I_CHAT, "{" TOOLS "}", CH_I_TOOLS }, { CH_I_CHAT, "{}", 0 }, { CH_I_EMBEDDINGS, "{}", 0 }, { CH_I_MODELS, "{}", 0 } };
	struct caller k;
	struct ch_test *t = begin(&k, "tool_calls = offered\ndimensions = 4\n");

	(void)state;
	k.args.stop = &stop;
	k.args.nstop = 1;
	for (size_t i = 0; i < 8; i++) {
		bool struck = true;

		k.args.op = rows[i / 2].op;
		k.stream = i % 2 && k.args.op == CH_I_CHAT;
		say(&k, rows[i / 2].body, rows[i / 2].needs);
		for (unsigned long n = 1; struck; n++) {
			assert_true(n < 50);
			ch_test_fail_alloc(t, n);
			again(t, &k);
			struck = ch_test_fail_alloc(t, 0);
			assert_true(!k.out.code || (struck && k.out.code == CH_E_OVERLOADED));
		}
		assert_true(k.began != 0);
	}
	ch_test_free(t);
}

/* ---- luck ---- */

static unsigned failures(struct ch_test *t, struct caller *k, unsigned calls, char *which)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < calls; i++) {
		again(t, k);
		ch_test_advance(t, 100);
		which[i] = k->out.code ? '!' : '.';
		failed += k->out.code != 0;
	}
	which[calls] = 0;
	return failed;
}

/* 30 % of 1,000: 300, with a standard deviation of 14.5; five of them either way. */
static void so_many_fail_as_the_share_says_and_the_same_ones_each_time(void **state)
{
	char first[1001], second[1001];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct caller k;
		struct ch_test *t = begin(&k, "fail = 30%\nfail_code = upstream_rate_limited\n");
		unsigned n = failures(t, &k, 1000, i ? second : first);

		assert_in_range(n, 228, 372);
		ch_test_free(t);
	}
	assert_string_equal(first, second);
}

static void how_it_fails_is_said_by_its_code_status_and_wait(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "fail = 100%\nfail_code = upstream_rate_limited\n");

	(void)state;
	again(t, &k);
	assert_int_equal(k.out.code, CH_E_UPSTREAM_RATE_LIMITED);
	assert_int_equal(k.out.status, 429);
	assert_int_equal(k.out.retry_after_ms, 1000);
	assert_int_equal(k.out.text.n, 0);
	ch_test_free(t);
}

static void a_stream_breaks_behind_so_many_tokens(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "fail = 100%\nfail_after = 3\n");

	(void)state;
	k.stream = true;
	again(t, &k);
	assert_int_equal(k.deltas, 3);
	assert_int_equal(k.out.code, CH_E_UPSTREAM_ERROR);
	assert_int_equal(k.resumed, 1);
	ch_test_free(t);
}

static void only_faulty_models_fail(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "models = bad*\nfail = 100%\nfaulty_models = bad-*\n");

	(void)state;
	again(t, &k);
	assert_int_equal(k.out.code, 0);
	k.args.model = (struct ch_str)CH_STR("bad-one");
	again(t, &k);
	assert_int_equal(k.out.code, CH_E_UPSTREAM_ERROR);
	ch_test_free(t);
}

static void a_call_that_hangs_ends_with_the_callers_timeout(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "hang = 100%\n");

	(void)state;
	for (int i = 0; i < 2; i++) {
		k.stream = i;
		k.args.timeout_ms = 700;
		k.args.first_token_timeout_ms = 300;
		again(t, &k);
		assert_int_equal(k.rc, CH_AGAIN);
		ch_test_advance(t, i ? 299 : 699);
		assert_int_equal(k.resumed, 0);
		ch_test_advance(t, 1);
		assert_int_equal(k.resumed, 1);
		assert_int_equal(k.why, CH_READY);
		assert_int_equal(k.out.code, CH_E_UPSTREAM_TIMEOUT);
	}
	ch_test_free(t);
}

/* 10 tokens a second are 100 ms apart; the options' timeouts hold where the caller has none. */
static void a_pace_below_the_idle_timeout_breaks_the_stream(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "tokens_per_second = 10\nidle_timeout = 50ms\n");

	(void)state;
	k.stream = true;
	again(t, &k);
	ch_test_advance(t, 49);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(t, 1);
	assert_int_equal(k.deltas, 1);
	assert_int_equal(k.out.code, CH_E_UPSTREAM_TIMEOUT);
	ch_test_free(t);
}

static void a_stream_that_is_held_is_not_idle_but_ends_with_its_time(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "idle_timeout = 50ms\ntimeout = 10s\n");

	(void)state;
	k.stream = true;
	again(t, &k);
	assert_int_equal(k.out.code, 0);
	k = (struct caller){ .svc = k.svc, .args = k.args, .stream = true, .refuse_more = true };
	ch_test_task(t, "dryrun", 0, call, &k);
	ch_test_advance(t, 9999);
	assert_int_equal(k.resumed, 0);
	ch_test_advance(t, 1);
	assert_int_equal(k.deltas, 1);
	assert_int_equal(k.out.code, CH_E_UPSTREAM_TIMEOUT);
	ch_test_free(t);
}

static void jitter_makes_calls_later_by_different_times_up_to_it(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "latency = 10ms\nlatency_jitter = 100ms\n");
	int64_t took[20], least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		again(t, &k);
		ch_test_advance(t, 111);
		assert_int_equal(k.resumed, 1);
		took[i] = k.ended - k.began;
		least = took[i] < least ? took[i] : least;
		most = took[i] > most ? took[i] : most;
	}
	assert_true(least >= 10000 && most <= 111000 && most - least > 50000);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tool_is_called_when_the_last_message_names_it),
		cmocka_unit_test(a_tools_arguments_are_what_its_schema_asks_for),
		cmocka_unit_test(a_streamed_call_has_the_whole_ones_bytes_in_pieces),
		cmocka_unit_test(tool_choice_decides_before_the_option),
		cmocka_unit_test(a_tools_result_is_answered_with_words),
		cmocka_unit_test(json_object_is_one_whole_or_streamed_and_a_schema_is_refused),
		cmocka_unit_test(what_it_cannot_do_is_a_bad_request_that_says_what),
		cmocka_unit_test(a_text_of_stop_ends_the_words_before_it),
		cmocka_unit_test(a_seed_of_the_request_changes_the_answer),
		cmocka_unit_test(embeddings_are_of_length_1_and_those_of_their_text),
		cmocka_unit_test(completions_are_answered_too),
		cmocka_unit_test(models_are_those_with_a_name_and_the_default_one),
		cmocka_unit_test(without_memory_it_is_a_code),
		cmocka_unit_test(so_many_fail_as_the_share_says_and_the_same_ones_each_time),
		cmocka_unit_test(how_it_fails_is_said_by_its_code_status_and_wait),
		cmocka_unit_test(a_stream_breaks_behind_so_many_tokens),
		cmocka_unit_test(only_faulty_models_fail),
		cmocka_unit_test(a_call_that_hangs_ends_with_the_callers_timeout),
		cmocka_unit_test(a_pace_below_the_idle_timeout_breaks_the_stream),
		cmocka_unit_test(a_stream_that_is_held_is_not_idle_but_ends_with_its_time),
		cmocka_unit_test(jitter_makes_calls_later_by_different_times_up_to_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
