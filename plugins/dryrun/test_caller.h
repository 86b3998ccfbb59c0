/* SPDX-License-Identifier: Apache-2.0 */
/* test_caller.h - who asks dryrun in its tests: a task over the harness that keeps what came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/inference.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(dryrun);

/* A caller in a task: it keeps what came. */
struct caller {
	const struct ch_svc *svc;
	struct ch_inference_args args;
	struct ch_inference_result out;
	bool stream, refuse_more;
	int rc;             /* of the call */
	int64_t began, ended;
	unsigned deltas, resumed;
	int why;
	char text[4096];    /* all of it */
	char calls[16][256]; /* of tools: the deltas, or the whole */
	unsigned ncalls;
	float vectors[64];
	char detail[256], models[256]; /* their ids and owners */
	int64_t at[16];     /* when they came, microseconds after the call */
	size_t n;
	struct ch_ctx *c;
};

static const struct ch_message hello = { .role = CH_STR("user"), .content = CH_STR("hello there") };

static const struct ch_inference_v1 *vt(const struct caller *k)
{
	return k->svc->vt;
}

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct caller *k = arg;
	const char *text = d->text.p;
	size_t n = d->text.n;

	(void)c;
	if (k->deltas < 16)
		k->at[k->deltas] = ch_now() - k->began;
	k->deltas++;
	if (d->tool_calls.n) {
		assert_true(d->tool_calls.n < sizeof(k->calls[0]));
		if (k->ncalls < 16)
			memcpy(k->calls[k->ncalls++], d->tool_calls.p, d->tool_calls.n);
	}
	assert_true(k->n + n < sizeof(k->text));
	if (n)
		memcpy(k->text + k->n, text, n);
	k->n += n;
	return k->refuse_more ? CH_AGAIN : CH_OK;
}

/* What is the ctx's dies with it. */
static void keep(struct caller *k)
{
	const struct ch_inference_result *o = &k->out;

	assert_true(o->text.n < sizeof(k->text) && o->tool_calls.n < sizeof(k->calls[0]));
	if (o->text.n)
		memcpy(k->text, o->text.p, o->text.n);
	if (o->tool_calls.n)
		memcpy(k->calls[k->ncalls++], o->tool_calls.p, o->tool_calls.n);
	if (o->nvectors) {
		assert_true(o->nvectors * o->dimensions <= 64);
		memcpy(k->vectors, o->vectors, o->nvectors * o->dimensions * sizeof(float));
	}
	for (size_t i = 0; i < o->nmodels; i++) {
		size_t n = strlen(k->models);

		snprintf(k->models + n, sizeof(k->models) - n, "%.*s of %.*s; ", (int)o->models[i].id.n, o->models[i].id.p,
			(int)o->models[i].owned_by.n, o->models[i].owned_by.p);
	}
	if (o->code)
		snprintf(k->detail, sizeof(k->detail), "%s", o->detail);
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct caller *k = data;

	assert_null(result);
	k->resumed++;
	k->why = why;
	k->ended = ch_now();
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

	assert_true(ticket != 0);
	k->c = c;
	k->began = ch_now();
	k->out.size = sizeof(k->out);
	k->rc = vt(k)->submit(k->svc, c, &k->args, k->stream ? &sink : NULL, &k->out, ticket);
	assert_int_equal(k->deltas, 0); /* nothing is called back inside the call */
	if (k->rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	keep(k);
	return CH_OK;
}

static struct ch_test *begin(struct caller *k, const char *options)
{
	struct ch_test *t = ch_test_new();
	char ini[512] = "[dryrun]\n";

	ch_test_plugin(t, CH_TEST_ENTRY(dryrun));
	strcat(ini, options);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	memset(k, 0, sizeof(*k));
	k->svc = ch_test_provided(t, "dryrun", "inference/1");
	assert_non_null(k->svc);
	k->args = (struct ch_inference_args){ .size = sizeof(k->args), .op = CH_I_CHAT, .messages = &hello, .nmessages = 1, .temperature = -1 };
	return t;
}
