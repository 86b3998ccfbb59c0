/* SPDX-License-Identifier: MIT */
/*
 * test_skeleton.c - the backend as its callers see it, in a core without a server: see chimera/test.h. A caller here is a task that asks
 * once and keeps what came.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/inference.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(skeleton);

struct caller {
	const struct ch_svc *svc;
	struct ch_message message;
	struct ch_inference_args args;
	struct ch_inference_result out;
	bool stream, hold; /* hold: want no more after each delta */
	unsigned deltas, resumed;
	char text[512], detail[256];
	size_t n;
	struct ch_ctx *c;
};

static const struct ch_inference_v1 *vt(const struct caller *k)
{
	return k->svc->vt;
}

static void append(struct caller *k, struct ch_str s)
{
	assert_true(k->n + s.n < sizeof(k->text));
	memcpy(k->text + k->n, s.p, s.n);
	k->n += s.n;
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct caller *k = arg;

	(void)c;
	append(k, d->text);
	k->deltas++;
	return k->hold ? CH_AGAIN : CH_OK;
}

/* What is the ctx's dies with it: keep a copy. */
static void keep(struct caller *k)
{
	if (k->out.text.n)
		append(k, k->out.text);
	if (k->out.code)
		strncpy(k->detail, k->out.detail, sizeof(k->detail) - 1);
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct caller *k = data;

	(void)result;
	k->resumed++;
	if (why != CH_READY) {
		vt(k)->cancel(k->svc, c, &k->out);
		vt(k)->cancel(k->svc, c, &k->out); /* idempotent */
	}
	keep(k);
	return CH_OK;
}

static int call(struct ch_ctx *c, void *data)
{
	struct caller *k = data;
	struct ch_inference_sink sink = { .size = sizeof(sink), .delta = on_delta, .arg = k };
	ch_ticket ticket = ch_suspend(c, 0, on_answer, k);
	int rc;

	k->c = c;
	k->out = (struct ch_inference_result){ .size = sizeof(k->out) };
	if (!ticket)
		return CH_OK;
	rc = vt(k)->submit(k->svc, c, &k->args, k->stream ? &sink : NULL, &k->out, ticket);
	assert_int_equal(k->deltas, 0); /* nothing is called back inside the call */
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	keep(k);
	return CH_OK;
}

static struct ch_test *begin(struct caller *k, const char *said)
{
	struct ch_test *t = ch_test_new();

	ch_test_plugin(t, CH_TEST_ENTRY(skeleton));
	ch_test_config(t, "[skeleton]\n");
	assert_true(ch_test_start(t));
	memset(k, 0, sizeof(*k));
	k->svc = ch_test_provided(t, "skeleton", "inference/1");
	assert_non_null(k->svc);
	k->message = (struct ch_message){ .role = CH_STR("user"), .content = { said, strlen(said) } };
	k->args = (struct ch_inference_args){ .size = sizeof(k->args), .op = CH_I_CHAT, .messages = &k->message, .nmessages = 1, .temperature = -1 };
	return t;
}

static void it_says_what_it_was_told(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "hello there");

	(void)state;
	assert_true(ch_test_task(t, "skeleton", 0, call, &k));
	assert_int_equal(k.out.code, 0);
	assert_string_equal(k.text, "You said: hello there");
	assert_int_equal(k.out.tokens_in, 2);
	assert_int_equal(k.out.tokens_out, 4);
	assert_int_equal(k.resumed, 0); /* answered at once */
	ch_test_free(t);
}

static void a_stream_has_the_same_text_in_pieces(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "one two three four five six seven");

	(void)state;
	k.stream = true;
	assert_true(ch_test_task(t, "skeleton", 0, call, &k));
	assert_string_equal(k.text, "You said: one two three four five six seven");
	assert_int_equal(k.deltas, 2); /* 43 bytes */
	assert_int_equal(k.resumed, 1);
	ch_test_free(t);
}

static void give_up(void *data)
{
	struct caller *k = data;

	vt(k)->cancel(k->svc, k->c, &k->out);
}

static void go_on(void *data)
{
	struct caller *k = data;

	vt(k)->go_on(k->svc, k->c, &k->out);
}

static void no_piece_ends_inside_a_character(void **state)
{
	struct caller k;
	/* With the intro's 10 bytes the first piece would end in the euro sign, of 3. */
	struct ch_test *t = begin(&k, "1234567890123\xe2\x82\xac!");

	(void)state;
	k.stream = k.hold = true;
	assert_true(ch_test_task(t, "skeleton", 0, call, &k));
	assert_string_equal(k.text, "You said: 1234567890123\xe2\x82\xac");
	ch_test_on_loop(t, give_up, &k);
	assert_int_equal(k.resumed, 1);
	ch_test_free(t);
}

static void a_stream_waits_when_it_is_held(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "one two three four five six seven");

	(void)state;
	k.stream = k.hold = true;
	assert_true(ch_test_task(t, "skeleton", 0, call, &k));
	ch_test_advance(t, 60000);
	assert_int_equal(k.deltas, 1);
	ch_test_on_loop(t, go_on, &k);
	assert_int_equal(k.deltas, 2);
	assert_int_equal(k.resumed, 0);
	k.hold = false;
	ch_test_on_loop(t, go_on, &k);
	assert_int_equal(k.resumed, 1);
	ch_test_free(t);
}

static void a_caller_that_gives_up_is_resumed(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "one two three four five six seven");

	(void)state;
	k.stream = k.hold = true;
	assert_true(ch_test_task(t, "skeleton", 5000, call, &k));
	ch_test_advance(t, 5000); /* the deadline: on_answer cancels */
	assert_int_equal(k.resumed, 1);
	assert_int_equal(k.out.code, CH_E_UPSTREAM_UNAVAILABLE);
	ch_test_free(t);
}

static void another_model_is_not_found(void **state)
{
	struct caller k;
	struct ch_test *t = begin(&k, "hello");

	(void)state;
	k.args.model = CH_STR("gpt-17");
	assert_true(ch_test_task(t, "skeleton", 0, call, &k));
	assert_int_equal(k.out.code, CH_E_MODEL_NOT_FOUND);
	assert_string_equal(k.detail, "[skeleton] has the model parrot and no other.");
	ch_test_free(t);
}

/* Each allocation fails once: there is the whole text, or a code, or no call at all. */
static void without_memory_nothing_breaks(void **state)
{
	(void)state;
	for (int stream = 0; stream < 2; stream++) {
		struct caller k;
		struct ch_test *t = begin(&k, "hello");
		bool struck = true;

		k.stream = stream;
		for (unsigned long n = 1; struck; n++) {
			k.n = k.deltas = 0;
			k.out.code = -1; /* no call */
			memset(k.text, 0, sizeof(k.text));
			ch_test_fail_alloc(t, n);
			ch_test_task(t, "skeleton", 0, call, &k);
			struck = ch_test_fail_alloc(t, 0);
			assert_true(k.out.code || struck || !strcmp(k.text, "You said: hello"));
			assert_true(!k.n || !strcmp(k.text, "You said: hello"));
		}
		ch_test_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_what_it_was_told),
		cmocka_unit_test(a_stream_has_the_same_text_in_pieces),
		cmocka_unit_test(no_piece_ends_inside_a_character),
		cmocka_unit_test(a_stream_waits_when_it_is_held),
		cmocka_unit_test(a_caller_that_gives_up_is_resumed),
		cmocka_unit_test(another_model_is_not_found),
		cmocka_unit_test(without_memory_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
