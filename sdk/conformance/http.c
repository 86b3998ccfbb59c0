/* SPDX-License-Identifier: MIT */
/*
 * http.c - the conformance suite of "http/1" as a plugin, conform_http: lets the provider that [conform_http] target names call the
 * misbehaving server misbehave.py, and judges what comes of it. docs/conformance.md tells how to run it; the cases stand in http_cases.c.
 *
 *   POST /conform/http               all cases, one after the other; the answer is a report in TAP, written as the cases end
 *   POST /conform/http?case=a,b      only those whose name begins with a or b: "cancel/", "time/idle"
 *
 * What holds for every call is checked for every call: request returns OK with an error, or AGAIN; the ticket is resumed, with NULL, in
 * time; nothing is called back inside request, go_on or cancel; the sink's head comes once and before the data, no piece is empty, nothing
 * comes while it is paused, after a cancel or after the resume; a cancel is over within a turn of the loop, and does nothing behind the
 * end; what the header allows to go is gone (the sink after request, args and out with the ctx); error, detail, status, fields, body,
 * body_bytes and times fit to each other; the next call to the same server gets the right answer; idle connections that the server closes
 * do no harm (each case closes its port).
 *
 * What cannot be seen from outside: a second ch_resume of a ticket, which the host ignores, and what a provider writes where it no longer
 * may; run the suite under AddressSanitizer for that. What a single call at a time does not show: BUSY, and the pool's limits.
 *
 * A case: a port of its own is opened, so that nothing is left of others; `warm` is asked; the case's call is made; the server's counts are
 * compared; one more call is made; the port is closed. All of these go through the provider.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http_call.h"

enum { FOLLOW_BYTES = 7, CLOSING = 100, SOON = 10 }; /* tries to see a connection closed, milliseconds between them */

static const struct row asking = { .error = IS(OK), .status = 200 };
static const struct row opening = { .error = IS(OK) };
/* Not idempotent: it must not be sent over a connection that cannot be used again, for it must not be repeated either. */
static const struct row following = { .method = "POST", .body = 1, .error = IS(OK), .status = 200, .bytes = FOLLOW_BYTES,
	.hasnt = "X-Forged" };

static void next_case(struct run *r);

/* ---- the end ---- */

static void free_run(void *data)
{
	struct run *r = data;
	struct call *k = r->calls;

	while (k && !r->broken) {
		struct call *older = k->older;

		free(k->url);
		free(k);
		k = older;
	}
	if (!r->broken)
		free(r);
}

static void end_run(struct run *r)
{
	tap_end(&r->tap, r->bail ? r->bail : r->gone ? "the server stops or replaces its config" : NULL);
	ch_timer_free(r->timer);
	ch_resume(r->ticket, NULL, NULL);
	ch_post(r->loop, free_run, r); /* the call that ended last is still on the stack */
}

static void bail(struct run *r, const char *why)
{
	r->bail = why;
	end_run(r);
}

/* ---- a case, from its end to its beginning ---- */

static const char *scheme_of(const struct run *r)
{
	return r->row->port && !strncmp(r->row->port, "tls", 3) ? "https" : "http";
}

/* A path on the case's port. */
static void ask_port(struct run *r, const struct row *row, const char *path, next_fn next)
{
	char url[512];
	int n = snprintf(url, sizeof(url), "%s://127.0.0.1:%d%s" Q, scheme_of(r), r->port, path);

	call_make(r, row, url, (size_t)n, next);
}

static void ask_control(struct run *r, const struct row *row, const char *what, const char *kind, next_fn next)
{
	char url[512];
	int n = kind ? snprintf(url, sizeof(url), "%s/%s/%s", conf_of(r)->server, what, kind) :
		snprintf(url, sizeof(url), "%s/%s/%d", conf_of(r)->server, what, r->port);

	call_make(r, row, url, (size_t)n < sizeof(url) ? (size_t)n : sizeof(url) - 1, next);
}

static void on_gap_over(void *data)
{
	struct run *r = data;

	r->after_gap(r, NULL);
}

static void wait_for(struct run *r, int64_t ms, next_fn next)
{
	r->after_gap = next;
	ch_timer_set(r->timer, ms);
}

/* What the server does meanwhile by its own clock may be late. */
static void wait_gap(struct run *r, next_fn next)
{
	wait_for(r, r->row->gap + conf_of(r)->slack / 5, next);
}

static void report(struct run *r, struct call *k)
{
	if (!k && r->gone) {
		end_run(r);
		return;
	}
	tap_case(&r->tap, !r->failed, r->row->name, r->found, r->notes);
	r->row++;
	next_case(r);
}

static void close_port(struct run *r, struct call *k)
{
	(void)k;
	ask_control(r, &asking, "close", NULL, report);
}

static void follow_now(struct run *r, struct call *k)
{
	(void)k;
	ask_port(r, &following, "/length/7", close_port);
}

static void follow(struct run *r)
{
	if (r->row->alone)
		close_port(r, NULL);
	else if (r->row->gap && !r->row->warm)
		wait_gap(r, follow_now);
	else
		follow_now(r, NULL);
}

static int64_t count_of(const struct call *stats, const char *key)
{
	const char *p = strstr(stats->text, key);

	return p ? atoll(p + strlen(key)) : -1;
}

static void judge_count(struct run *r, const char *what, int want, int64_t found)
{
	if (want && found != (want == NONE ? 0 : want))
		complain(r, NULL, "expected that the server counts %d %s, found %lld", want == NONE ? 0 : want, what, (long long)found);
}

static void count_now(struct run *r, struct call *k);

/* How often the server is asked whether it has seen a connection's end. */
static int closing_of(const struct run *r)
{
	return CLOSING + (int)(conf_of(r)->slack / SOON);
}

static void on_counts(struct run *r, struct call *k)
{
	const struct row *w = r->row;
	int64_t sent;

	if (!k) {
		end_run(r);
		return;
	}
	if (w->closed && count_of(k, "\"open\": ") && ++r->tries < closing_of(r)) {
		wait_for(r, SOON, count_now);
		return;
	}
	if (w->closed && r->tries == closing_of(r))
		complain(r, NULL, "expected that the connection is closed, it is still open after %d ms", closing_of(r) * SOON);
	judge_count(r, "requests", w->requests, count_of(k, "\"requests\": "));
	judge_count(r, "connections", w->connections, count_of(k, "\"total\": "));
	sent = count_of(k, "\"sent\": ");
	if (w->at_most && sent > w->at_most)
		complain(r, NULL, "expected that the server can send %lld bytes at most, found %lld", (long long)w->at_most,
			(long long)sent);
	follow(r);
}

static void count_now(struct run *r, struct call *k)
{
	(void)k;
	ask_control(r, &asking, "stats", NULL, on_counts);
}

static void on_main(struct run *r, struct call *k)
{
	if (!k)
		end_run(r);
	else if (!r->port)
		report(r, k);
	else
		count_now(r, NULL);
}

static void main_now(struct run *r, struct call *k)
{
	char url[1024];
	size_t n = 0;

	(void)k;
	if (r->row->url.n && r->row->url.p[0] == '/' && !(r->row->url.n > 1 && r->row->url.p[1] == '/'))
		n = (size_t)snprintf(url, sizeof(url), "%s://127.0.0.1:%d", scheme_of(r), r->port);
	n += expand(r->row->url, r->port, url + n, sizeof(url) - n);
	if (r->row->url.n && r->row->url.p[0] == '/')
		n += (size_t)snprintf(url + n, sizeof(url) - n, Q);
	call_make(r, r->row, url, n, on_main);
}

static void on_warm(struct run *r, struct call *k)
{
	if (!k)
		end_run(r);
	else if (r->row->gap)
		wait_gap(r, main_now);
	else
		main_now(r, NULL);
}

static void on_opened(struct run *r, struct call *k)
{
	if (!k) {
		end_run(r);
		return;
	}
	r->port = k->status == 200 ? atoi(k->text) : 0;
	if (k->status == 404) {
		tap_skip(&r->tap, r->row->name, "misbehave.py has no such port: it needs the program openssl for that");
		r->row++;
		next_case(r);
	} else if (r->port <= 0) {
		bail(r, "option server names no control port of misbehave.py, or the provider cannot call it");
	} else if (r->row->warm) {
		ask_port(r, &opening, r->row->warm, on_warm);
	} else {
		main_now(r, NULL);
	}
}

/* Does the query's case= name it? */
static bool chosen(const char *filter, const char *name)
{
	if (!*filter)
		return true;
	for (const char *p = filter; *p; p += *p == ',') {
		size_t n = strcspn(p, ",&");

		if (n && !strncmp(name, p, n))
			return true;
		p += n;
		if (*p == '&')
			break;
	}
	return false;
}

static void next_case(struct run *r)
{
	while (r->row < rows + nrows && !r->gone) {
		const struct row *w = r->row;

		if (!chosen(r->filter, w->name)) {
			r->row++;
		} else if (w->trusted && !conf_of(r)->trusted) {
			tap_skip(&r->tap, w->name, "option trusted is off");
			r->row++;
		} else {
			break;
		}
	}
	if (r->row == rows + nrows || r->gone) {
		end_run(r);
		return;
	}
	r->port = r->tries = 0;
	r->noted = 0;
	r->failed = false;
	r->notes[0] = r->found[0] = 0;
	if (r->row->port && !strcmp(r->row->port, "-"))
		main_now(r, NULL);
	else
		ask_control(r, &opening, "open", r->row->port ? r->row->port : "http", on_opened);
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
	*r = (struct run){ .self = self, .loop = ch_loop(c), .row = rows };
	r->filter = ch_dup(c, q.p, q.n);
	r->timer = ch_timer(r->loop, on_gap_over, r);
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
	CH_OPT(struct conform_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "http/1", .help = "The provider under test"),
	CH_OPT(struct conform_conf, server, STR, .flags = CH_O_REQUIRED,
		.help = "What misbehave.py prints as \"control\": http://127.0.0.1:PORT"),
	CH_OPT(struct conform_conf, slack, DURATION, .def = "500ms", .help = "How much later than its time an event may come"),
	CH_OPT(struct conform_conf, trusted, BOOL, .help = "The provider trusts the certificate that misbehave.py prints as \"ca\""),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/conform/http", .fn = post_conform, .response_type = "text/plain; charset=utf-8",
		.summary = "Runs the conformance suite of http/1", .budget_us = 1000000 },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "conform_http",
	.version = "0.1",
	.summary = "The conformance suite of http/1",
	.conf_size = sizeof(struct conform_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(conform_http, plugin)
