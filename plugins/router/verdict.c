/* SPDX-License-Identifier: Apache-2.0 */
/* verdict.c - what the caller gets in the end, and the line in the log when nobody answered, or not to the end. */
#include <stdio.h>

#include "way.h"

#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 120000

/* A result of a backend's, with what only the router knows. */
static void give(struct router_call *k, const struct ch_inference_result *in)
{
	struct ch_inference_result *out = k->out;
	size_t size = out->size;
	int64_t first = k->committed ? out->first_delta : 0;

	*out = *in;
	out->size = size;
	out->first_delta = first;
	out->attempts = k->attempts;
}

static void name_backend(struct router_call *k, const struct router_entry *e)
{
	k->out->backend = e->backend->id;
	if (!k->out->model)
		k->out->model = e->model;
	k->out->rule = e->rule->name;
}

/* ---- failures, told ---- */

/* When to come again: when the first of the open circuits may let a call through; soon, if one is closed. */
static int64_t retry_after(const struct router_call *k)
{
	int64_t now = k->now, soonest = INT64_MAX;

	for (size_t i = 0; i < k->plan.nequals + k->plan.nfallbacks; i++) {
		const struct router_entry *e = i < k->plan.nequals ? &k->plan.equals[i] : &k->plan.fallbacks[i - k->plan.nequals];
		int64_t until = ROUTER_GET(e->backend->state->refuses_until);

		if (until < soonest && !ROUTER_GET(e->backend->state->disabled))
			soonest = until;
	}
	if (soonest == INT64_MAX || soonest <= now + RETRY_MIN_MS * 1000)
		return RETRY_MIN_MS;
	return soonest - now > RETRY_MAX_MS * 1000 ? RETRY_MAX_MS : (soonest - now + 999) / 1000;
}

/* A text of limited length; what does not fit is left out. */
struct line {
	char text[1024];
	size_t n;
};

CH_PRINTF_(2, 3) static void say(struct line *l, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(l->text + l->n, sizeof(l->text) - l->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->n = l->n + (size_t)n < sizeof(l->text) ? l->n + (size_t)n : sizeof(l->text) - 1;
}

static bool same(const struct router_failure *a, const struct router_failure *b)
{
	return b && a->entry == b->entry && a->code == b->code && a->status == b->status;
}

/* "openai upstream_timeout after 3.0 s, vllm upstream_error (500) twice", and what a backend says of the reason behind it */
static void say_failures(struct line *l, const struct router_call *k)
{
	unsigned times = 1;

	for (const struct router_failure *f = k->last ? &k->failure : NULL; f; f = f->next) {
		if (same(f, f->next)) {
			times++;
			continue;
		}
		say(l, "%s%s %s", l->n ? ", " : "", f->entry->backend->id, ch_code_info((enum ch_code)f->code)->name);
		if (f->status)
			say(l, " (%d)", f->status);
		if (f->code == CH_E_UPSTREAM_TIMEOUT)
			say(l, " after %.1f s", (double)f->took_us / 1e6);
		if (times > 1)
			say(l, times == 2 ? " twice" : " %u times", times);
		if (f->reason)
			say(l, ": %.200s", f->reason);
		times = 1;
	}
}

static bool was_asked(const struct router_call *k, const struct router_backend *b)
{
	for (const struct router_failure *f = k->last ? &k->failure : NULL; f; f = f->next)
		if (f->entry->backend == b)
			return true;
	return false;
}

/* Of a backend that was not asked. */
static const char *why_not(const struct router_call *k, const struct router_backend *b)
{
	int64_t now = k->now;

	if (!router_left(k))
		return "no time left";
	if (ROUTER_GET(b->state->disabled))
		return "disabled";
	if (!router_backend_usable(b, now))
		return "circuit open";
	return b->conf->max_in_flight ? "no place" : "no retry left";
}

/* "openai not asked (circuit open)"; true: some had no place. */
static bool say_unasked(struct line *l, const struct router_call *k)
{
	int64_t now = k->now;
	bool full = false;

	for (size_t i = 0; i < k->plan.nequals + k->plan.nfallbacks; i++) {
		const struct router_entry *e = i < k->plan.nequals ? &k->plan.equals[i] : &k->plan.fallbacks[i - k->plan.nequals];

		if (was_asked(k, e->backend))
			continue;
		full |= router_backend_usable(e->backend, now);
		say(l, "%s%s not asked (%s)", l->n ? ", " : "", e->backend->id, why_not(k, e->backend));
	}
	return full;
}

static void tell(const struct router_call *k, const char *what, const struct line *l)
{
	const struct ch_str m = k->args->model;

	ch_log(k->r->self, k->c, CH_WARN, "%s for model \"%.*s\": %s", what, (int)(m.n > 128 ? 128 : m.n), m.n ? m.p : "", l->text);
}

/* Why nobody could be asked, for the client. */
static const char *nobody(const struct router_call *k)
{
	const struct router_backend *b = k->plan.equals[0].backend;
	const char *alone = NULL;

	if (k->plan.nequals + k->plan.nfallbacks == 1)
		alone = ch_print(k->c, ROUTER_GET(b->state->disabled) ? "The backend \"%s\" is switched off; try again later."
			: "The backend \"%s\" has failed too often and is left in peace for a while; try again later.", b->id);
	return alone ? alone : "No backend for this model can be asked now: they failed too often, or are switched off; try again later.";
}

/* ---- entries ---- */

void router_answered(struct router_call *k)
{
	give(k, &k->inner);
	name_backend(k, k->entry);
	if (k->out->code && k->committed) {
		struct line l = { .n = 0 };

		say_failures(&l, k);
		tell(k, "a broken answer", &l);
	}
}

void router_unanswered(struct router_call *k)
{
	struct ch_inference_result *out = k->out;
	struct line l = { .n = 0 };

	say_failures(&l, k);
	bool full = say_unasked(&l, k);
	tell(k, "no answer", &l);
	if (k->failed.code) {
		give(k, &k->failed);
		name_backend(k, k->failed_entry);
	} else if (full) {
		out->code = CH_E_UPSTREAM_BUSY;
		out->detail = "All backends for this model have as many requests as they may; try again later.";
	} else {
		out->code = CH_E_UPSTREAM_UNAVAILABLE;
		out->detail = nobody(k);
	}
	if (!out->retry_after_ms && out->code != CH_E_UPSTREAM_AUTH)
		out->retry_after_ms = retry_after(k);
}

void router_cancelled(struct router_call *k)
{
	give(k, &k->inner);
	if (k->attempts)
		name_backend(k, k->entry);
	k->out->code = CH_E_UPSTREAM_ERROR;
	k->out->detail = "The question was given up before its answer was whole.";
}
