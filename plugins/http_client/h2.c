/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2.c - HTTP/2: a call as a transfer of libcurl's, which keeps the connections. Each host has a hub of its own for them.
 *
 * Whether a host speaks HTTP/2 is found out by the first connection to it (ALPN, see dial.c). What libcurl hands over is put into memory
 * of the transfer and read from there when libcurl has returned, by the same reader as HTTP/1.1: a head is written as one of HTTP/1.1
 * first. If the sink has no room, and HOLD bytes wait, libcurl is told to pause.
 *
 * libcurl before 8.2 does not take bytes of other streams from a connection while a paused one's lie in front of them, and spins. So with
 * http2 = auto a call with a sink goes over HTTP/1.1 there, where each has its own connection.
 */
#include <stdlib.h>

#include "address.h"
#include "h2.h"

#define HOLD (256u << 10)      /* bytes that wait for a sink before libcurl pauses */
#define KNOWN 600000000        /* microseconds that a host is believed to speak what it spoke */
#define SINKS_FROM 0x080200    /* libcurl that pauses a stream without harm to others */

/* ---- what is known of a host ---- */

static bool matters(const struct hc_call *call)
{
	const struct hc_conf *conf = hc_conf(call->pool);

	if (!call->host->tls || conf->http2 == HC_HTTP2_OFF)
		return false;
	return conf->http2 == HC_HTTP2_ALWAYS || !call->has_sink || curl_version_info(CURLVERSION_NOW)->version_num >= SINKS_FROM;
}

bool hc_h2_unknown(const struct hc_call *call)
{
	return matters(call) && call->host->known_until <= call->pool->now;
}

bool hc_h2_wanted(const struct hc_call *call)
{
	return call->host->tls && call->host->speaks_h2 && call->host->known_until > call->pool->now && matters(call);
}

void hc_h2_learn(struct hc_host *h, bool speaks_h2)
{
	h->speaks_h2 = speaks_h2;
	h->known_until = h->pool->now + KNOWN;
}

/* ---- libcurl's callbacks: none calls anybody ---- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct hc_transfer *t = arg;
	struct hc_pool *p = t->call->pool;

	(void)purpose;
	t->blocked = !hc_conf(p)->allow_link_local && hc_link_local(&a->addr);
	return t->blocked ? CURL_SOCKET_BAD : socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool keep(struct hc_transfer *t, const char *p, size_t n)
{
	if (t->in_n + n > t->in_cap) {
		size_t cap = t->in_cap ? t->in_cap : 4096;
		char *more;

		while (cap < t->in_n + n)
			cap *= 2;
		more = realloc(t->in, cap);
		if (!more)
			return false;
		t->in = more;
		t->in_cap = cap;
	}
	memcpy(t->in + t->in_n, p, n);
	t->in_n += n;
	hc_hub_moved(&t->job);
	return true;
}

/* A line of a head, or of trailers. "HTTP/2 200 \r\n" becomes "HTTP/1.1 200 \r\n". */
static size_t on_line(char *p, size_t size, size_t n, void *arg)
{
	struct hc_transfer *t = arg;
	bool ok = true;

	n *= size;
	if (t->stage == HC_STAGE_BODY)
		return n;
	if (n > 9 && !memcmp(p, "HTTP/2 ", 7)) {
		t->line_status = atoi(p + 7);
		ok = keep(t, "HTTP/1.1 ", 9) && keep(t, p + 7, n - 7);
	} else {
		if (n > 9 && !memcmp(p, "HTTP/1.", 7))
			t->line_status = atoi(p + 9);
		ok = keep(t, p, n);
	}
	if (n == 2 && t->line_status >= 200)
		t->stage = HC_STAGE_BODY;
	/* What waits is looked at only when libcurl has returned, which may read many lines before it does. */
	t->too_large = t->in_n > t->call->reply.limits.max_head + (256u << 10);
	return ok && !t->too_large ? n : 0;
}

static size_t on_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct hc_transfer *t = arg;

	n *= size;
	if (t->discard)
		return n;
	if (t->in_n >= HOLD) {
		t->stopped = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	return keep(t, p, n) ? n : 0;
}

/* The request is about to be sent: the first time, or again over another connection, which libcurl would do more often than it may. */
static int on_send(void *arg, char *from, char *to, int from_port, int to_port)
{
	struct hc_transfer *t = arg;

	(void)from;
	(void)to;
	(void)from_port;
	(void)to_port;
	hc_hub_moved(&t->job);
	if (t->attempts++ == 0)
		return CURL_PREREQFUNC_OK;
	if (t->attempts == 2 && t->call->request.idempotent) {
		ch_add(hc_m(t->call->pool)->repeated, 1);
		return CURL_PREREQFUNC_OK;
	}
	return CURL_PREREQFUNC_ABORT;
}

/* ---- what came, given to the call ---- */

static void note_sent(struct hc_transfer *t)
{
	struct hc_call *call = t->call;
	long made = 0;

	if (t->attempts && !t->begun) {
		t->begun = true;
		call->out->connected = call->pool->now;
		call->out->sent = true;
		curl_easy_getinfo(t->job.easy, CURLINFO_NUM_CONNECTS, &made);
		call->out->reused = made == 0;
		if (made)
			hc_dial_count(call, HC_DIALED_OK);
		else
			ch_add(hc_m(call->pool)->reused, 1);
		call->dialed = 0;
	}
	if (t->begun && (call->phase == HC_CONNECTING || call->phase == HC_SENDING || call->phase == HC_HEAD))
		hc_call_phase(call, t->uploaded < call->args->body.n ? HC_SENDING : HC_HEAD, call->first_byte_ms);
}

static void note_version(struct hc_transfer *t)
{
	long version = 0;

	curl_easy_getinfo(t->job.easy, CURLINFO_HTTP_VERSION, &version);
	t->call->out->version = version == CURL_HTTP_VERSION_2_0 ? 20 : version == CURL_HTTP_VERSION_1_0 ? 10 : 11;
	hc_h2_learn(t->call->host, version == CURL_HTTP_VERSION_2_0);
}

/* Gives p[0..n) to the call. False: it is over. */
static bool give(struct hc_call *call, char *p, size_t n)
{
	while (n && !call->paused) {
		switch (hc_reply_next(&call->reply, &p, &n)) {
		case HC_R_HEAD:
			if (!hc_call_head(call))
				return false;
			break;
		case HC_R_DATA:
			if (!hc_call_data(call, call->reply.data, call->reply.data_n))
				return false;
			break;
		case HC_R_BAD:
			hc_call_bad(call);
			return false;
		default:
			break;
		}
	}
	call->holds = n > 0;
	if (n && !hc_reply_hold(&call->reply, p, n)) {
		hc_call_no_memory(call);
		return false;
	}
	return true;
}

/* What waits. False: the call is over. */
static bool feed(struct hc_transfer *t)
{
	struct hc_call *call = t->call;
	char *p;
	size_t n = t->in_n;

	if (n && !call->out->first_byte) {
		call->out->first_byte = call->pool->now;
		note_version(t);
	}
	if (call->holds && !call->paused) {
		size_t held;

		hc_reply_held(&call->reply, &p, &held);
		if (!give(call, p, held))
			return false;
	}
	if (!n || call->paused)
		return true;
	t->in_n = 0;
	if (!give(call, t->in, n))
		return false;
	if (call->phase == HC_BODY && !call->paused)
		call->phase_due = call->pool->now + call->idle_ms * 1000;
	return true;
}

static void failed(struct hc_transfer *t)
{
	struct hc_call *call = t->call;
	const char *name = call->host->name, *text = *t->errors ? t->errors : curl_easy_strerror(t->code);

	if (t->too_large) {
		call->reply.error = "the head is over the limit";
		call->reply.too_large = true;
		hc_call_bad(call);
	} else if (!t->begun) {
		hc_dial_failed(call, t->job.easy, t->code, t->errors, t->blocked);
	} else if (t->code == CURLE_HTTP2 || t->code == CURLE_WEIRD_SERVER_REPLY || t->code == CURLE_UNSUPPORTED_PROTOCOL) {
		hc_call_fail(call, CH_HTTP_INVALID, "What %s sent is no valid HTTP answer: %s.", name, text);
	} else if (t->code == CURLE_ABORTED_BY_CALLBACK) {
		hc_call_fail(call, CH_HTTP_CLOSED, "%s closed the connection, which was an idle one, before it answered.", name);
	} else if (t->code == CURLE_OUT_OF_MEMORY || t->code == CURLE_WRITE_ERROR) {
		hc_call_no_memory(call);
	} else {
		hc_call_fail(call, CH_HTTP_CLOSED, "%s closed the connection or the stream before its answer was whole: %s.", name, text);
	}
}

/* All that can be done now. */
static void advance(struct hc_transfer *t)
{
	struct hc_call *call = t->call;

	note_sent(t);
	if (!feed(t))
		return;
	if (call->paused)
		return;
	if (t->stopped && !t->ended) {
		t->stopped = false;
		curl_easy_pause(t->job.easy, CURLPAUSE_CONT); /* may call on_bytes, which notes it */
		hc_pool_due(call->pool, call->phase_due);
		return;
	}
	if (!t->ended)
		return;
	if (t->code != CURLE_OK)
		failed(t);
	else if (!hc_reply_has_head(&call->reply))
		hc_call_fail(call, CH_HTTP_CLOSED, "%s closed the connection before it answered.", call->host->name);
	else
		hc_call_whole(call);
}

static void on_moved(struct hc_job *job)
{
	advance(HC_OF(job, struct hc_transfer, job));
}

static void on_done(struct hc_job *job, CURLcode code)
{
	struct hc_transfer *t = HC_OF(job, struct hc_transfer, job);

	t->ended = true;
	t->code = code;
	advance(t);
}

/* ---- beginning and end ---- */

static bool set_callbacks(struct hc_transfer *t)
{
	CURL *easy = t->job.easy;

	return curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HEADERDATA, t) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PREREQDATA, t) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t) == CURLE_OK;
}

static struct hc_hub *hub_of(struct hc_host *h)
{
	long most = (long)hc_share(h->pool, HC_MAX_CONNECTIONS_PER_HOST);

	if (h->h2)
		return h->h2;
	h->h2 = hc_hub_new(h->pool, h);
	if (h->h2)
		curl_multi_setopt(h->h2->multi, CURLMOPT_MAX_HOST_CONNECTIONS, most);
	return h->h2;
}

void hc_h2_resolved(struct hc_call *call, int error, const char *why)
{
	struct hc_transfer *t = call->transfer;
	struct hc_hub *hub = hub_of(call->host);

	if (error)
		hc_dial_no_address(call, error, why);
	else if (!hub || !hc_h2_request(t) || !set_callbacks(t) || !hc_hub_add(hub, &t->job))
		hc_call_no_memory(call);
}

void hc_h2_begin(struct hc_call *call)
{
	struct hc_transfer *t = calloc(1, sizeof(*t));

	call->phase = HC_CONNECTING;
	hc_pool_due(call->pool, call->phase_due);
	if (!t) {
		hc_call_no_memory(call);
		return;
	}
	call->transfer = t;
	call->dialed = call->pool->now;
	call->reply.framed = false;
	t->call = call;
	t->job.easy = curl_easy_init();
	t->job.done = on_done;
	t->job.moved = on_moved;
	if (!t->job.easy) {
		hc_call_no_memory(call);
		return;
	}
	switch (hc_lookup(call)) {
	case CH_OK:
		hc_h2_resolved(call, 0, NULL);
		break;
	case CH_AGAIN:
		break;
	default:
		hc_dial_no_address(call, CH_HTTP_BUSY, "the pool that asks for names is full");
	}
}

void hc_h2_go_on(struct hc_call *call)
{
	struct hc_host *h = call->host;

	h->refs++; /* the call may be the last that keeps it, and its hub */
	advance(call->transfer);
	if (h->h2)
		hc_hub_settle(h->h2);
	hc_host_put(h);
}

/*
 * The stream will be reset, but libcurl 7.88 keeps the frame that says so until it sends something else. Pausing another stream of the
 * connection, and letting it go on, makes it send; when no stream is left the connection goes.
 */
static void push_reset(struct hc_hub *hub)
{
	for (struct hc_link *l = hub->all.next; l != &hub->all; l = l->next) {
		struct hc_transfer *t = HC_OF(l, struct hc_transfer, job.link);

		if (!t->attempts || t->stopped || t->ended)
			continue;
		curl_easy_pause(t->job.easy, CURLPAUSE_RECV);
		curl_easy_pause(t->job.easy, CURLPAUSE_CONT);
	}
}

void hc_h2_end(struct hc_call *call)
{
	struct hc_transfer *t = call->transfer;
	struct hc_hub *hub = t->job.hub;
	bool reset;

	call->transfer = NULL;
	if (t->stopped) { /* libcurl 7.88 does not free what it holds of a stream that is removed while it is paused */
		t->discard = true;
		curl_easy_pause(t->job.easy, CURLPAUSE_CONT);
	}
	reset = hub && t->attempts && !t->ended;
	if (reset)
		hub->reset = true;
	hc_hub_remove(&t->job);
	if (reset)
		push_reset(hub);
	curl_easy_cleanup(t->job.easy);
	for (const struct curl_slist *f = t->fields; f; f = f->next)
		explicit_bzero(f->data, strlen(f->data));
	curl_slist_free_all(t->fields);
	curl_slist_free_all(t->resolve);
	free(t->in);
	free(t);
}
