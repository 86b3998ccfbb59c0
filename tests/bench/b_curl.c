/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b_curl.c - for tests/bench alone: what b_proxy.c's /whole does, by transfers of libcurl's instead of http/1: POST /multi. An easy handle
 * per request, set up once and kept in a pool, on a multi handle that is driven by the loop's watches and timers.
 *
 * Threads and ownership: a hub and its transfers belong to one loop. A transfer is in use from the request until its answer was copied, or
 * the client left; a watch belongs to curl's socket and is freed when curl says REMOVE.
 */
#include <stdlib.h>

#include <curl/curl.h>

#include <chimera/plugin.h>

struct curl_conf {
	const char *url, *ca_file;
};

struct hub { /* of one loop */
	const struct curl_conf *conf;
	CURLM *multi;
	struct curl_slist *fields;
	struct ch_loop *loop;
	struct ch_timer *timer;
	struct transfer *idle;
};

struct socket {
	struct hub *hub;
	struct ch_watch *watch;
	curl_socket_t fd;
};

struct transfer {
	struct transfer *next; /* idle */
	struct hub *hub;
	CURL *easy;
	char *body;
	size_t n, cap;
	ch_ticket ticket;
	CURLcode code;
};

/* ---- curl on a loop ---- */

static void collect(struct hub *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct transfer *t;

		if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t) != CURLE_OK)
			continue;
		t->code = m->data.result;
		ch_resume(t->ticket, NULL, NULL);
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

/* ---- transfers ---- */

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	n *= size;
	if (t->n + n > t->cap) {
		size_t cap = (t->n + n) * 2;
		char *more = realloc(t->body, cap);

		if (!more)
			return 0;
		t->body = more;
		t->cap = cap;
	}
	memcpy(t->body + t->n, p, n);
	t->n += n;
	return n;
}

static struct transfer *transfer_new(struct hub *h)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->hub = h;
	t->easy = curl_easy_init();
	if (!t->easy) {
		free(t);
		return NULL;
	}
	curl_easy_setopt(t->easy, CURLOPT_URL, h->conf->url);
	curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, h->fields);
	curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	if (*h->conf->ca_file) {
		curl_easy_setopt(t->easy, CURLOPT_CAINFO, h->conf->ca_file);
		curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
	}
	return t;
}

static struct transfer *transfer_get(struct hub *h)
{
	struct transfer *t = h->idle;

	if (!t)
		return transfer_new(h);
	h->idle = t->next;
	t->n = 0;
	return t;
}

static void transfer_put(struct transfer *t)
{
	struct hub *h = t->hub;

	curl_multi_remove_handle(h->multi, t->easy);
	t->next = h->idle;
	h->idle = t;
}

/* ---- a request ---- */

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct transfer *t = data;
	const char *type = NULL;
	long status = 0;
	int rc;

	(void)result;
	if (why == CH_READY && t->code == CURLE_OK) {
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
		rc = ch_respond(c, (int)status, type, t->body, t->n);
	} else if (why == CH_READY) {
		rc = ch_refuse(c, CH_E_UPSTREAM_UNAVAILABLE, 1000, "the other server cannot be asked: %s", curl_easy_strerror(t->code));
	} else {
		ch_unsuspend(t->ticket);
		rc = why == CH_GONE ? CH_DONE : ch_refuse(c, CH_E_UPSTREAM_TIMEOUT, 1000, "the other server did not answer in time");
	}
	transfer_put(t);
	return rc;
}

static int post_curl(struct ch_self *self, struct ch_ctx *c)
{
	struct hub *h = *ch_loop_state(self, ch_loop(c));
	struct transfer *t = transfer_get(h);
	struct ch_str body = ch_body(c);

	if (!t)
		return CH_ERROR;
	t->ticket = ch_suspend(c, 0, on_answer, t);
	if (!t->ticket) {
		t->next = h->idle;
		h->idle = t;
		return CH_ERROR;
	}
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, body.n ? body.p : "");
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long)body.n);
	curl_multi_add_handle(h->multi, t->easy); /* the timer does the rest */
	return CH_AGAIN;
}

/* ---- life ---- */

static int loop_start(struct ch_self *self, struct ch_loop *l)
{
	struct hub *h = calloc(1, sizeof(*h));

	if (!h)
		return CH_ERROR;
	*ch_loop_state(self, l) = h;
	h->conf = self->conf;
	h->loop = l;
	h->multi = curl_multi_init();
	h->fields = curl_slist_append(NULL, "Content-Type: application/json");
	h->timer = ch_timer(l, on_time, h);
	if (!h->multi || !h->fields || !h->timer)
		return CH_ERROR;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 64L);
	return CH_OK;
}

static void loop_stop(struct ch_self *self, struct ch_loop *l)
{
	struct hub *h = *ch_loop_state(self, l);

	if (!h)
		return;
	for (struct transfer *t = h->idle, *next; t; t = next) {
		next = t->next;
		curl_easy_cleanup(t->easy);
		free(t->body);
		free(t);
	}
	curl_multi_cleanup(h->multi);
	curl_slist_free_all(h->fields);
	ch_timer_free(h->timer);
	free(h);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	(void)self;
	(void)prev;
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? CH_OK : CH_ERROR;
}

static void stop(struct ch_self *self)
{
	(void)self;
	curl_global_cleanup();
}

static const struct ch_option options[] = {
	CH_OPT(struct curl_conf, url, STR, .flags = CH_O_REQUIRED, .help = "Where to"),
	CH_OPT(struct curl_conf, ca_file, PATH, .help = "PEM file of the authorities that the server's certificate is checked against"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/multi", .cls = CH_PUBLIC, .body = CH_BODY_BUFFER, .fn = post_curl, .summary = "Relays a whole answer" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "b_curl",
	.version = "0.1",
	.summary = "A proxy by transfers of libcurl's, for the benchmark",
	.conf_size = sizeof(struct curl_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
	.start = start,
	.stop = stop,
	.loop_start = loop_start,
	.loop_stop = loop_stop,
};

CH_PLUGIN(b_curl, plugin)
