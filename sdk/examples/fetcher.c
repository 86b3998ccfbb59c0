/* SPDX-License-Identifier: MIT */
/*
 * fetcher.c - what this one teaches: calling a service that takes its time, handing a stream on without buffering it, giving up in time.
 *
 *     [fetcher]
 *     url = http://127.0.0.1:9000/events
 *
 *     GET /v1/events   ->   the events of that server, for as long as both sides stay
 *
 * The pieces and who holds up whom:
 *
 *     other server -> http/1 -> on_data -> kit/sse -> ch_write -> client
 *                       ^                                 |
 *                       +---- AGAIN, until on_writable ---+         a client that reads slowly holds up the other server
 *
 * Threads and ownership: all of a fetch happens on its request's loop, in memory of its request. What fetches share (the breaker and the
 * budget of retries) is kept once for each loop, so that there is nothing to lock.
 */
#include <stdlib.h>
#include <strings.h>

#include <chimera/http.h>
#include <chimera/kit/backoff.h>
#include <chimera/kit/breaker.h>
#include <chimera/kit/sse.h>

struct fetcher_conf {
	const struct ch_svc *http; /* bound by the host before start, and as long as this instance: no NULL, no lookup on the way */
	const char *url;
	int64_t idle, retries;
};

struct per_loop {
	struct ch_breaker breaker;
	struct ch_retry_budget budget;
};

struct fetch {
	struct ch_self *self;
	struct ch_ctx *c;
	struct per_loop *shared;
	struct ch_http_field accept;
	struct ch_http_args args;
	struct ch_http_result out;
	struct ch_sse sse;
	ch_ticket pause;
	uint32_t pass;    /* the breaker's, of the call that runs */
	unsigned attempt; /* 0: the first */
	bool begun;       /* the client has our head: from here on there is no other status, and no retry */
	bool full;        /* the client reads slower than events come */
};

static const struct ch_breaker_conf breaker_conf = { .failures = 5, .cooldown_us = 5000000, .jitter = 0.2 };

static int attempt(struct fetch *f);

static const struct ch_http_v1 *http(const struct fetch *f, const struct ch_svc **svc)
{
	*svc = ((const struct fetcher_conf *)f->self->conf)->http;
	return (*svc)->vt;
}

/* ---- events to the client ---- */

/* The bytes are copied; nothing that comes with each event may come from the request's arena, which only grows. */
static void write_text(struct fetch *f, const char *p, size_t n)
{
	if (n && ch_write(f->c, p, n, NULL, NULL) == CH_AGAIN)
		f->full = true; /* taken all the same */
}

static void write_event(struct fetch *f, const struct ch_sse_event *ev)
{
	const char *p = ev->data, *end = p + ev->data_len;

	if (ev->name_len) {
		write_text(f, "event: ", 7);
		write_text(f, ev->name, ev->name_len);
		write_text(f, "\n", 1);
	}
	do {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((lf ? lf : end) - p);

		write_text(f, "data: ", 6);
		write_text(f, p, n);
		write_text(f, "\n", 1);
		p = lf ? lf + 1 : NULL;
	} while (p);
	write_text(f, "\n", 1);
}

static bool begin(struct fetch *f)
{
	ch_header_set(f->c, "Content-Type", "text/event-stream");
	ch_header_set(f->c, "Cache-Control", "no-cache");
	return f->begun = ch_begin(f->c, 200) == CH_OK;
}

static void on_writable(void *data)
{
	const struct ch_svc *svc;
	struct fetch *f = data;

	if (!f->full)
		return;
	f->full = false;
	http(f, &svc)->go_on(svc, f->c, &f->out);
}

/* ---- the other server's answer ---- */

static int on_head(struct ch_ctx *c, void *arg, const struct ch_http_result *out)
{
	struct ch_str type = ch_http_field(out, "Content-Type");

	(void)c, (void)arg;
	/* An error page is not read: DONE ends the call. */
	return out->status == 200 && type.n >= 17 && !strncasecmp(type.p, "text/event-stream", 17) ? CH_OK : CH_DONE;
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct fetch *f = arg;
	struct ch_sse_event ev;
	enum ch_sse_rc rc;
	size_t used;

	(void)c;
	while ((rc = ch_sse_next(&f->sse, p, n, &used, &ev)) == CH_SSE_EVENT) {
		if (ev.data && (f->begun || begin(f)))
			write_event(f, &ev);
		p += used;
		n -= used;
	}
	if (rc == CH_SSE_ERROR)
		return CH_DONE; /* what ended it stands in f->sse */
	return f->full ? CH_AGAIN : CH_OK; /* AGAIN: no more until go_on; the provider stops reading, so the other server waits */
}

/* ---- its end ---- */

/* What a failure was, for the client and for the breaker: NULL if the stream came to its proper end. */
static const char *failure(struct fetch *f)
{
	if (f->sse.fault)
		return f->sse.error;
	if (f->out.error && f->out.error != CH_HTTP_CANCELLED)
		return f->out.detail;
	return f->out.status == 200 && !f->out.error ? NULL : "The other server did not answer with an event stream.";
}

static int on_pause_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct fetch *f = data;

	(void)c, (void)result;
	ch_unsuspend(f->pause); /* it was ours alone: nobody else will resume it */
	return why == CH_GONE ? CH_DONE : attempt(f);
}

/* A ticket that nobody resumes is a pause: it ends by its timeout, and it hears when the client leaves. False: no retry. */
static bool retry_later(struct fetch *f)
{
	const struct fetcher_conf *conf = f->self->conf;
	struct ch_str after = ch_http_field(&f->out, "Retry-After");
	int64_t us = -1;

	if (f->out.status && f->out.status < 500 && f->out.status != 429)
		return false; /* it would say the same again */
	if (f->begun || f->attempt == conf->retries || !ch_retry_budget_take(&f->shared->budget))
		return false;
	if (after.n)
		us = ch_retry_after(after.p, after.n, ch_wall(), 0, 20000000);
	if (us < 0)
		us = ch_backoff_full(500000, 8000000, f->attempt, ch_random());
	f->attempt++;
	f->pause = ch_suspend(f->c, us / 1000 + 1, on_pause_over, f);
	return f->pause;
}

static int ended(struct fetch *f)
{
	struct ch_breaker *b = &f->shared->breaker;
	const char *why = failure(f);

	ch_breaker_report(b, &breaker_conf, f->pass, why ? CH_BREAKER_FAILED : CH_BREAKER_OK, ch_now(), (uint32_t)ch_random());
	ch_degraded(f->self, "url", b->state != CH_BREAKER_CLOSED, "%s", why ? why : "it answers"); /* logs what changes, not each time */
	if (why && retry_later(f))
		return CH_AGAIN;
	ch_on_writable(f->c, NULL, NULL);
	if (why && !f->begun)
		return ch_refuse(f->c, CH_E_UPSTREAM_UNAVAILABLE, 1000, "%s", why);
	if (why)
		ch_abort(f->c); /* the client must see that the stream was cut */
	else if (f->begun || begin(f))
		ch_end(f->c);
	return CH_DONE;
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	struct fetch *f = data;
	const struct ch_svc *svc;

	(void)result;
	if (why == CH_READY)
		return ended(f);
	/* The client has left, or the time is over. The provider still holds the ticket and our memory: it is told, and lets go of both. */
	http(f, &svc)->cancel(svc, c, &f->out);
	ch_breaker_cancelled(&f->shared->breaker, f->pass);
	if (why == CH_TIMEOUT && !f->begun)
		return ch_refuse(c, CH_E_UPSTREAM_TIMEOUT, 1000, "The other server did not answer in time.");
	if (why == CH_TIMEOUT)
		ch_abort(c);
	return CH_DONE;
}

/* ---- the call ---- */

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	void *p = ch_alloc(arg, want); /* the old one stays till the end; it is bounded: an event has 64 KiB at most */

	if (p && used)
		memcpy(p, old, used);
	return p;
}

/* What a hook, a handler or a resumed function returns. */
static int attempt(struct fetch *f)
{
	const struct ch_http_sink sink = { .size = sizeof(sink), .head = on_head, .data = on_data, .arg = f };
	const struct ch_svc *svc;
	const struct ch_http_v1 *vt = http(f, &svc);
	ch_ticket t;
	int rc;

	f->pass = ch_breaker_allow(&f->shared->breaker, &breaker_conf, ch_now());
	if (!f->pass) {
		int64_t us = ch_breaker_wait(&f->shared->breaker, &breaker_conf, ch_now());

		return ch_refuse(f->c, CH_E_UPSTREAM_UNAVAILABLE, us > 0 ? us / 1000 + 1 : 1000,
			"The other server fails, and is left alone for a while.");
	}
	ch_sse_init(&f->sse, f->sse.buf, f->sse.cap, 65536);
	f->sse.grow = grow;
	f->sse.arg = f->c;
	f->out = (struct ch_http_result){ .size = sizeof(f->out) };
	t = ch_suspend(f->c, 0, on_end, f);
	if (!t) {
		ch_breaker_cancelled(&f->shared->breaker, f->pass);
		return ch_refuse(f->c, CH_E_OVERLOADED, 1000, "Too much is waiting; try again.");
	}
	rc = vt->request(svc, f->c, &f->args, &sink, &f->out, t);
	if (rc == CH_AGAIN)
		return CH_AGAIN; /* *out, the args and the ticket are the provider's now, until it resumes */
	ch_unsuspend(t);
	if (rc == CH_OK)
		return ended(f); /* refused at once: *out says why */
	ch_breaker_cancelled(&f->shared->breaker, f->pass);
	return ch_refuse(f->c, CH_E_UPSTREAM_ERROR, 0, "The server's HTTP client is broken; see its log.");
}

static int on_events(struct ch_self *self, struct ch_ctx *c)
{
	const struct fetcher_conf *conf = self->conf;
	struct per_loop *shared = *ch_loop_state(self, ch_loop(c));
	struct fetch *f;

	if (!strcmp(ch_facts(c)->method, "HEAD")) /* a GET route answers HEAD too, and nobody would read these events */
		return ch_respond(c, 200, "text/event-stream", NULL, 0);
	f = shared ? ch_alloc(c, sizeof(*f)) : NULL;
	if (!f)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "No memory is left for this request; try again.");
	f->self = self;
	f->c = c;
	f->shared = shared;
	f->accept = (struct ch_http_field){ CH_STR("Accept"), CH_STR("text/event-stream") };
	f->args = (struct ch_http_args){
		.size = sizeof(f->args),
		.method = CH_STR("GET"),
		.url = { conf->url, strlen(conf->url) },
		.fields = &f->accept,
		.nfields = 1,
		.idle_timeout_ms = conf->idle,
		.total_timeout_ms = INT64_C(86400000), /* a stream is meant to last; 0 would be the provider's own limit, as is … */
		.max_body = UINT64_MAX,
	};
	ch_retry_budget_request(&shared->budget);
	ch_on_writable(c, on_writable, f);
	return attempt(f);
}

/* ---- life: what is kept for each loop ---- */

static int loop_start(struct ch_self *self, struct ch_loop *loop)
{
	struct per_loop *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return CH_ERROR;
	ch_retry_budget_init(&shared->budget, 0.1, 10);
	*ch_loop_state(self, loop) = shared;
	return CH_OK;
}

/* A reload must not close a circuit that is open. On the loop's own thread, where the predecessor does nothing meanwhile. */
static void loop_adopt(struct ch_self *self, struct ch_self *prev, struct ch_loop *loop)
{
	struct per_loop *mine = *ch_loop_state(self, loop), *old = *ch_loop_state(prev, loop);

	if (old)
		*mine = *old;
}

static void loop_stop(struct ch_self *self, struct ch_loop *loop)
{
	free(*ch_loop_state(self, loop));
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct fetcher_conf, http, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "http/1", .help = "Who makes the calls"),
	CH_OPT(struct fetcher_conf, url, STR, .flags = CH_O_REQUIRED, .help = "Where the events are"),
	CH_OPT(struct fetcher_conf, idle, DURATION, .def = "60s", .min = "1ms", .help = "It is given up after so long without a byte"),
	CH_OPT(struct fetcher_conf, retries, INT, .def = "3", .min = "0", .max = "10", .help = "Further tries before the first event"),
};

static const struct ch_route routes[] = {
	{
		.method = "GET",
		.pattern = "/v1/events",
		.fn = on_events,
		.response_type = "text/event-stream",
		.summary = "Events of the other server",
	},
};

static const struct ch_plugin fetcher = {
	.size = sizeof(fetcher),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "fetcher",
	.version = "0.1",
	.summary = "Hands the events of another server on",
	.conf_size = sizeof(struct fetcher_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.loop_start = loop_start,
	.loop_adopt = loop_adopt,
	.loop_stop = loop_stop,
};

CH_PLUGIN(fetcher, fetcher)
