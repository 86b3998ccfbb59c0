/* SPDX-License-Identifier: MIT */
/*
 * kv.c - the conformance suite of "kv/1" as a plugin, conform_kv: makes the provider that [conform_kv] target names go through all cases
 * and judges what comes of it.
 *
 *   POST /conform/kv                 all cases, one after the other; the answer is a report in TAP, written as the cases end
 *   POST /conform/kv?case=a,b        only those whose name begins with a or b: "ttl/", "race/take"
 *
 * The cases stand in kv_cases.c, those with many users at a time in kv_race.c. What holds for every operation is checked for each: it
 * returns OK or AGAIN; the ticket is resumed once, with NULL, in time, and not inside a call; error and detail fit to each other, and no
 * detail shows a key; a cancel is over within a turn of the loop, and does nothing behind the end; what was handed over is gone when the
 * call has returned.
 *
 * A case that fails while the machine is held up, so that its steps take longer than its pauses, is begun anew with other keys, a few
 * times: what it says of TTLs and of what flows in would be about another moment.
 *
 * What cannot be seen from outside: a second ch_resume of a ticket, which the host ignores; run the suite under AddressSanitizer too. What
 * is not tried: a store that is full, that cannot be reached, or whose clock jumps: each provider tests that for itself.
 *
 * Every run has keys of its own ("conform-…"), and leaves them behind: buckets and values without a TTL, some MiB in all.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kv_run.h"

enum { LATE_MS = 50, TRIES = 5 };

static void next_case(struct kv_run *r);

size_t kv_key(const struct kv_run *r, const char *name, size_t n, char *out, size_t cap)
{
	size_t len = (size_t)snprintf(out, cap, "conform-%llx-%zu-", (unsigned long long)r->id, r->next);

	if (len + n > cap)
		n = cap - len;
	memcpy(out + len, name, n);
	return len + n;
}

/* ---- the end ---- */

static void free_run(void *data)
{
	struct kv_run *r = data;

	if (!r->broken)
		free(r);
}

static void end_run(struct kv_run *r)
{
	tap_end(&r->tap, r->gone ? "the server stops or replaces its config" : r->broken ? "the provider holds a ticket for ever" : NULL);
	ch_timer_free(r->timer);
	ch_resume(r->ticket, NULL, NULL);
	ch_post(r->loop, free_run, r); /* the operation that ended last is still on the stack */
}

/* ---- the cases ---- */

static void begin_case(struct kv_run *r)
{
	r->failed = false;
	r->noted = 0;
	r->notes[0] = 0;
	r->step = 0;
	memset(r->versions, 0, sizeof(r->versions));
	r->began = ch_now();
	r->paused = 0;
}

/* Is a failure to be believed? Else the case is begun anew. */
static bool believed(const struct kv_run *r)
{
	return r->gone || r->broken || r->tries >= TRIES || (ch_now() - r->began) / 1000 - r->paused <= LATE_MS;
}

static void next_step(struct kv_run *r)
{
	const struct step *s;

	if (r->failed && !believed(r)) {
		r->tries++;
		r->id = ch_random();
		begin_case(r);
	}
	s = r->step < STEPS ? &r->c->steps[r->step] : NULL;
	if (r->gone || r->broken || !s || s->op == END || r->failed) { /* what comes behind a step that failed says nothing */
		tap_case(&r->tap, !r->failed, r->c->name, "", r->notes);
		next_case(r);
		return;
	}
	r->step++;
	if (s->op == WAIT) {
		r->paused += s->ttl;
		ch_timer_set(r->timer, s->ttl);
	} else {
		kv_step(r);
	}
}

void kv_step_over(struct kv_run *r)
{
	next_step(r);
}

static void on_pause_over(void *data)
{
	next_step(data);
}

/* Does the query's case= name it? */
static bool chosen(const struct kv_run *r, const char *name)
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

void kv_race_over(struct kv_run *r, const char *name)
{
	if (name)
		tap_case(&r->tap, !r->failed, name, "", r->notes);
	next_case(r);
}

static void next_case(struct kv_run *r)
{
	while (r->next < kv_ncases && !chosen(r, kv_cases[r->next].name))
		r->next++;
	r->tries = 1;
	begin_case(r);
	r->c = r->next < kv_ncases ? &kv_cases[r->next] : NULL;
	r->next++;
	if (r->gone || r->broken)
		end_run(r);
	else if (r->c)
		next_step(r);
	else if (!kv_race(r, r->next - 1 - kv_ncases, chosen))
		end_run(r);
}

/* ---- the plugin ---- */

static int on_report_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct kv_run *r = data;

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
	struct kv_run *r = calloc(1, sizeof(*r));

	if (!r)
		return CH_ERROR;
	*r = (struct kv_run){ .self = self, .loop = ch_loop(c), .id = ch_random() };
	r->filter = ch_dup(c, q.p, q.n);
	r->timer = ch_timer(r->loop, on_pause_over, r);
	r->ticket = ch_suspend(c, 0, on_report_over, r);
	if (!r->filter || !r->timer || !r->ticket || tap_begin(&r->tap, c) != CH_OK) {
		ch_unsuspend(r->ticket);
		ch_timer_free(r->timer);
		free(r);
		return CH_ERROR;
	}
	if (!strncmp(r->filter, "case=", 5))
		r->filter += 5;
	next_case(r);
	return CH_AGAIN;
}

static const struct ch_option options[] = {
	CH_OPT(struct conform_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "kv/1", .help = "The provider under test"),
	CH_OPT(struct conform_conf, slack, DURATION, .def = "500ms", .help = "How much later than its time an event may come"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/conform/kv", .fn = post_conform, .response_type = "text/plain; charset=utf-8",
		.summary = "Runs the conformance suite of kv/1", .budget_us = 1000000 },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "conform_kv",
	.version = "0.1",
	.summary = "The conformance suite of kv/1",
	.conf_size = sizeof(struct conform_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(conform_kv, plugin)
