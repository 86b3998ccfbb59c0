/* SPDX-License-Identifier: MIT */
/*
 * inference.c - the conformance suite of "inference/1" as a plugin, conform_inference: makes the provider that [conform_inference] target
 * names answer, refuse, stream, wait and give up, and judges what comes of it. docs/conformance.md tells how to run it.
 *
 *   POST /conform/inference              all cases, one after the other; the answer is a report in TAP, written as the cases end
 *   POST /conform/inference?case=a,b     only those whose name begins with a or b: "cancel/", "time/whole"
 *
 * The cases stand in inference_cases.c. What holds for every call is judged for each: submit returns OK or AGAIN; the ticket is resumed,
 * with NULL, in time, and not inside a call; no delta comes before submit has returned, while the sink is paused, after a cancel or after
 * the end; text is whole UTF-8, frames and results in OpenAI's dialect are JSON and come only for a request in that dialect, usage only for
 * who asked; *out is filled as the op and the sink say, with a code of the table and a sentence or with an answer and its usage; cancel is
 * called twice, is over within a turn of the loop, and like go_on does nothing behind the end; the sink's struct is gone when submit has
 * returned.
 *
 * What it needs to know stands in options: a model that answers with some pieces, one for embeddings, one that never answers and one that
 * breaks off; a case whose model is not named is skipped, as is one about what the provider does not claim to do (or does).
 *
 * What cannot be seen from outside: a second ch_resume of a ticket, which the host ignores; run the suite under AddressSanitizer too. What
 * is not tried: CH_I_PASS, a client that leaves, and what an upstream may send: each provider tests that for itself.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "inference_run.h"

enum { GROWTH = 128 << 10 }; /* bytes that the process may use more after the last round than after the first */

static void next_case(struct run *r);

/* ---- the end ---- */

static void free_run(void *data)
{
	struct run *r = data;
	struct call *k = r->calls;

	while (k && !r->broken) {
		struct call *older = k->older;

		free(k->body);
		free(k->messages);
		free(k);
		k = older;
	}
	if (!r->broken)
		free(r);
}

static void end_run(struct run *r)
{
	tap_end(&r->tap, r->gone ? "the server stops or replaces its config" : r->broken ? "the provider holds a ticket for ever" : NULL);
	ch_resume(r->ticket, NULL, NULL);
	ch_post(r->loop, free_run, r);
}

/* ---- the cases ---- */

static size_t memory_in_use(void)
{
	return mallinfo2().uordblks;
}

/* So many calls as the row says. Returns how many there are. */
static void make_calls(struct run *r)
{
	unsigned n = r->row->at_once ? r->row->at_once : 1, loops = 0;

	while (ch_loop_at(loops))
		loops++;
	r->running = n;
	for (unsigned i = 0; i < n; i++)
		if (!call_make(r, r->row->at_once ? ch_loop_at(i % loops) : r->loop)) {
			complain_run(r, "there is no memory for the call");
			r->running--;
		}
	if (!r->running) {
		tap_case(&r->tap, false, r->row->name, "", r->notes);
		next_case(r);
	}
}

/* What the run itself has taken meanwhile is not the provider's. */
static void judge_memory(struct run *r)
{
	size_t own = (size_t)(r->row->rounds - 1) * r->row->at_once * (sizeof(struct call) + sizeof(struct ch_message) + 64);
	size_t now = memory_in_use();

	if (now > r->memory + own + GROWTH)
		complain_run(r, "after %u more rounds %zu bytes more are in use", r->row->rounds - 1, now - r->memory - own);
}

void call_over(struct run *r, struct call *k)
{
	if (k->noted && sizeof(r->notes) - r->noted > k->noted) {
		memcpy(r->notes + r->noted, k->notes, k->noted + 1);
		r->noted += k->noted;
	}
	r->failed = r->failed || k->noted;
	r->gone = r->gone || k->gone;
	r->broken = r->broken || k->broken;
	if (--r->running)
		return;
	r->round++;
	if (r->row->rounds && r->round == 1)
		r->memory = memory_in_use();
	if (r->round < r->row->rounds && !r->failed && !r->gone) {
		make_calls(r);
		return;
	}
	if (r->row->rounds && !r->failed)
		judge_memory(r);
	tap_case(&r->tap, !r->failed, r->row->name, "", r->notes);
	next_case(r);
}

/* Why a case says nothing about this provider; NULL: it does. */
static const char *skipped(const struct run *r, const struct row *w)
{
	const struct ch_inference_about *a = about_of(r);
	int op = op_of(w);
	bool can = a && op > 0 && op < 32 && a->ops & 1u << op;

	if (w->op == ABOUT || !a)
		return NULL;
	if (w->codes == CODE(CH_E_NOT_IMPLEMENTED))
		return can ? "it does that" : NULL;
	if (!can)
		return "it does not do that";
	if (w->needs && !w->codes != !(w->needs & ~a->can))
		return w->codes ? "it can do that" : "it cannot do that";
	if (w->somebody && !a->conf)
		return "it stands before backends, and may look for that one";
	if (w->model > EMBEDDING && !*model_of(r, w))
		return "no option names such a model";
	return NULL;
}

/* Does the query's case= name it? */
static bool chosen(const struct run *r, const char *name)
{
	for (const char *p = r->filter; *p; p += *p == ',') {
		size_t n = strcspn(p, ",&");

		if (n && !strncmp(name, p, n))
			return true;
		p += n;
		if (*p == '&')
			return false;
	}
	return !*r->filter;
}

static void next_case(struct run *r)
{
	for (;;) {
		const char *why;

		while (r->next < nrows && !chosen(r, rows[r->next].name))
			r->next++;
		if (r->gone || r->broken || r->next == nrows) {
			end_run(r);
			return;
		}
		r->row = &rows[r->next++];
		r->failed = false;
		r->noted = r->round = 0;
		r->notes[0] = 0;
		why = skipped(r, r->row);
		if (!why && r->row->op != ABOUT)
			break;
		if (why) {
			tap_skip(&r->tap, r->row->name, why);
			continue;
		}
		judge_about(r);
		tap_case(&r->tap, !r->failed, r->row->name, "", r->notes);
	}
	make_calls(r);
}

/* ---- the plugin ---- */

static int on_report_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct run *r = data;

	(void)c, (void)result;
	if (why != CH_READY) { /* end_run resumes the ticket still */
		r->gone = true;
		r->tap.c = NULL;
	}
	return CH_DONE;
}

static int post_conform(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str q = ch_query(c);
	struct run *r = calloc(1, sizeof(*r));

	if (!r)
		return CH_ERROR;
	*r = (struct run){ .self = self, .loop = ch_loop(c) };
	r->filter = ch_dup(c, q.p, q.n);
	r->ticket = ch_suspend(c, 0, on_report_over, r);
	if (!r->filter || !r->ticket || tap_begin(&r->tap, c) != CH_OK) {
		ch_unsuspend(r->ticket);
		free(r);
		return CH_ERROR;
	}
	if (!strncmp(r->filter, "case=", 5))
		r->filter += 5;
	next_case(r);
	return CH_AGAIN;
}

static const struct ch_option options[] = {
	CH_OPT(struct conform_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "inference/1", .help = "The provider under test"),
	CH_OPT(struct conform_conf, model, STR, .flags = CH_O_REQUIRED, .help = "A model that answers with some pieces"),
	CH_OPT(struct conform_conf, embedding_model, STR, .help = "One that makes embeddings; empty: model does"),
	CH_OPT(struct conform_conf, unknown_model, STR, .def = "conform-no-such-model",
		.help = "A name that no model has; empty: it serves every name"),
	CH_OPT(struct conform_conf, hanging_model, STR, .help = "A model that never answers; empty: there is none"),
	CH_OPT(struct conform_conf, breaking_model, STR, .help = "A model whose answer breaks off, or is none; empty: there is none"),
	CH_OPT(struct conform_conf, slack, DURATION, .def = "500ms", .help = "How much later than its time an event may come"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/conform/inference", .fn = post_conform, .response_type = "text/plain; charset=utf-8",
		.summary = "Runs the conformance suite of inference/1", .budget_us = 1000000 },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "conform_inference",
	.version = "0.1",
	.summary = "The conformance suite of inference/1",
	.conf_size = sizeof(struct conform_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(conform_inference, plugin)
