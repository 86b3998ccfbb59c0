/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_curl.c - a test plugin: libcurl's multi interface on the loop API. GET /curl?url=http://… fetches and relays, piece by
 * piece: when the client is slow the transfer pauses, when it leaves the transfer ends.
 *
 * Threads and ownership: one multi handle a loop, made in loop_start and freed in loop_stop; a fetch lives in its ctx. A watch belongs to
 * curl's socket and is freed when curl says REMOVE.
 */
#include <stdlib.h>

#include <curl/curl.h>

#include "query.h"

enum { M_FETCHES };

struct hub { /* of one loop */
	CURLM *multi;
	struct ch_loop *loop;
	struct ch_timer *timer;
};

struct socket {
	struct hub *hub;
	struct ch_watch *watch;
	curl_socket_t fd;
};

struct fetch {
	struct ch_ctx *c;
	struct hub *hub;
	CURL *easy;
	ch_ticket ticket;
	unsigned running;
	CURLcode code;
	bool begun, full, paused;
};

struct t_curl_state {
	unsigned fetches;
};

/* ---- curl on a loop ---- */

static void finished(struct fetch *f, CURLcode code)
{
	f->code = code;
	ch_resume(f->ticket, NULL, NULL);
}

static void collect(struct hub *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct fetch *f;

		if (m->msg == CURLMSG_DONE && curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f) == CURLE_OK)
			finished(f, m->data.result);
	}
}

static void on_socket(void *data, int events)
{
	struct socket *s = data;
	struct hub *h = s->hub;
	int running, mask = (events & CH_READ ? CURL_CSELECT_IN : 0) | (events & CH_WRITE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(h->multi, s->fd, mask, &running); /* may free s */
	collect(h);
}

static void on_time(void *data)
{
	struct hub *h = data;
	int running;

	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(h);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct hub *h = arg;
	struct socket *s = known;
	int events = (what & CURL_POLL_IN ? CH_READ : 0) | (what & CURL_POLL_OUT ? CH_WRITE : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s)
			ch_watch_free(s->watch);
		curl_multi_assign(h->multi, fd, NULL);
		free(s);
		return 0;
	}
	if (s) {
		ch_watch_set(s->watch, events);
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -1;
	*s = (struct socket){ h, ch_watch(h->loop, fd, events, on_socket, s), fd };
	curl_multi_assign(h->multi, fd, s);
	return s->watch ? 0 : -1;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct hub *h = arg;

	(void)multi;
	ch_timer_set(h->timer, ms);
	return 0;
}

/* ---- a fetch ---- */

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	long status = 0;
	int rc;

	if (f->full) {
		f->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (!f->begun) {
		curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
		f->begun = ch_begin(f->c, (int)status) == CH_OK;
		if (!f->begun)
			return 0;
	}
	rc = ch_write(f->c, p, size * n, NULL, NULL);
	f->full = rc == CH_AGAIN;
	return rc == CH_OK || rc == CH_AGAIN ? size * n : 0;
}

static void on_writable(void *data)
{
	struct fetch *f = data;

	f->full = false;
	if (!f->paused)
		return;
	f->paused = false;
	curl_easy_pause(f->easy, CURLPAUSE_CONT);
	collect(f->hub);
}

static void end_fetch(struct fetch *f)
{
	ch_on_writable(f->c, NULL, NULL);
	if (f->easy) {
		curl_multi_remove_handle(f->hub->multi, f->easy);
		curl_easy_cleanup(f->easy);
		ch_add(f->running, -1);
	}
	f->easy = NULL;
}

static int on_fetched(struct ch_ctx *c, void *data, int why, void *result)
{
	struct fetch *f = data;
	long status = 0;

	(void)result;
	if (f->easy)
		curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	end_fetch(f);
	if (why != CH_READY)
		ch_unsuspend(f->ticket);
	if (why == CH_GONE)
		return CH_DONE;
	if (f->begun && why == CH_READY && f->code == CURLE_OK)
		ch_end(c);
	else if (f->begun)
		ch_abort(c);
	else if (why == CH_TIMEOUT)
		return ch_refuse(c, CH_E_UPSTREAM_TIMEOUT, 1000, "the other server did not answer in time");
	else if (f->code == CURLE_OK)
		return ch_respond(c, (int)status, NULL, NULL, 0);
	else
		return ch_refuse(c, CH_E_UPSTREAM_UNAVAILABLE, 1000, "the other server cannot be fetched from: %s",
			curl_easy_strerror(f->code));
	return CH_DONE;
}

static int get_curl(struct ch_self *self, struct ch_ctx *c)
{
	struct t_curl_state *state = self->state;
	struct hub *h = *ch_loop_state(self, ch_loop(c));
	struct ch_str url = query_text(c, "url");
	const char *text = ch_dup(c, url.p, url.n);
	struct fetch *f = ch_alloc(c, sizeof(*f));

	if (!f || !text)
		return CH_ERROR;
	*f = (struct fetch){ .c = c, .hub = h, .easy = curl_easy_init(), .running = state->fetches };
	if (!f->easy)
		return CH_ERROR;
	f->ticket = ch_suspend(c, query_int(c, "timeout", 0), on_fetched, f);
	if (!f->ticket) {
		curl_easy_cleanup(f->easy);
		return CH_ERROR;
	}
	curl_easy_setopt(f->easy, CURLOPT_URL, text);
	curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f);
	curl_easy_setopt(f->easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(f->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(f->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
	ch_on_writable(c, on_writable, f);
	ch_add(f->running, 1);
	curl_multi_add_handle(h->multi, f->easy); /* the timer does the rest */
	return CH_AGAIN;
}

/* ---- life ---- */

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h)
		return CH_ERROR;
	*ch_loop_state(self, l) = h;
	h->loop = l;
	h->multi = curl_multi_init();
	h->timer = ch_timer(l, on_time, h);
	if (!h->multi || !h->timer)
		return CH_ERROR;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	return CH_OK;
}

static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	struct hub *h = *ch_loop_state(self, l);

	if (!h)
		return;
	curl_multi_cleanup(h->multi);
	ch_timer_free(h->timer);
	free(h);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_curl_state *state = self->state;

	(void)prev;
	state->fetches = ch_series(self, M_FETCHES, NULL);
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? CH_OK : CH_ERROR;
}

static void stop(struct ch_self *self)
{
	(void)self;
	curl_global_cleanup();
}

static const struct ch_metric metrics[] = {
	[M_FETCHES] = { .name = "t_curl_fetches", .kind = CH_GAUGE, .help = "Transfers under way." },
};

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/curl", .fn = get_curl, .response_type = "application/octet-stream", .summary = "Relays a fetch" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_curl",
	.version = "0.1",
	.summary = "Test: libcurl on the loop API",
	.state_size = sizeof(struct t_curl_state),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.start = start,
	.stop = stop,
	.loop_start = loop_start,
	.loop_stop = loop_stop,
};

CH_PLUGIN(t_curl, plugin)
