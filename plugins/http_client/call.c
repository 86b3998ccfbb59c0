/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - a call's way from its beginning to its one end.
 *
 * finish() is the only end: it lets go of whatever the call holds, fills *out and resumes the ticket. While the sink runs nothing ends a
 * call under it: a cancel in there is noted, and done when the sink has returned.
 */
#include <stdlib.h>

#include "http_client.h"

const char *const hc_error_names[HC_ERRORS + 1] = { "none", "bad_request", "blocked", "busy", "resolve", "connect", "tls",
	"timeout_connect", "timeout_first_byte", "timeout_idle", "timeout_total", "closed", "invalid", "too_large", "cancelled", NULL };

static const char no_memory[] = "No memory is left for this call; ask for less at once, or raise what the request may use.";

/* ---- ends ---- */

static void finish(struct hc_call *call, int error, const char *detail)
{
	struct ch_http_result *out = call->out;
	struct hc_series *m = hc_m(call->pool);
	struct hc_conn *conn = call->conn;

	if (call->transfer)
		hc_h2_end(call);
	if (call->dialed)
		hc_dial_count(call, HC_DIALED_GIVEN_UP);
	if (conn) {
		conn->call = NULL;
		call->conn = NULL;
		hc_conn_free(conn);
	}
	hc_request_wipe(&call->request, call->args);
	hc_pool_unwait(call);
	hc_unlink(&call->link);
	hc_unlink(&call->look_link);
	hc_unlink(&call->again_link);
	hc_reply_free(&call->reply);
	free(call->gathered);
	hc_host_put(call->host);
	if (error && !call->has_sink) { /* half a body is none */
		out->body = (struct ch_str){ NULL, 0 };
		out->body_bytes = 0;
	}
	out->error = error;
	out->detail = detail;
	out->ended = call->pool->now;
	out->call = NULL;
	ch_add(m->requests[error], 1);
	ch_add(m->running, -1);
	ch_resume(call->ticket, NULL, NULL);
}

void hc_call_fail(struct hc_call *call, int error, const char *fmt, ...)
{
	const char *detail;
	va_list ap;

	va_start(ap, fmt);
	detail = ch_vprint(call->c, fmt, ap);
	va_end(ap);
	finish(call, error, detail ? detail : no_memory);
}

void hc_call_no_memory(struct hc_call *call)
{
	finish(call, CH_HTTP_BUSY, no_memory);
}

void hc_call_cancel(struct hc_call *call)
{
	hc_call_fail(call, CH_HTTP_CANCELLED, "The call to %s was given up by its caller.", call->host->name);
}

void hc_call_timeout(struct hc_call *call)
{
	const char *name = call->host->name;

	if (call->total_due <= call->phase_due) {
		hc_call_fail(call, CH_HTTP_TIMEOUT_TOTAL, "The whole call to %s took longer than it may: %lld ms.", name,
			(long long)((call->total_due - call->began) / 1000));
		return;
	}
	switch (call->phase) {
	case HC_WAITING:
		hc_call_fail(call, CH_HTTP_TIMEOUT_CONNECT,
			"All connections to %s were in use for %lld ms; raise max_connections_per_host, or ask less.", name,
			(long long)call->connect_ms);
		break;
	case HC_CONNECTING:
		if (call->dialed)
			hc_dial_count(call, HC_DIALED_TIMEOUT);
		hc_lookup_forget(call->host);
		hc_call_fail(call, CH_HTTP_TIMEOUT_CONNECT,
			"%s did not let us connect in time (%lld ms): is it up, and is the way to it open?", name,
			(long long)call->connect_ms);
		break;
	case HC_SENDING:
		hc_call_fail(call, CH_HTTP_TIMEOUT_FIRST_BYTE, "%s took no more of the request for %lld ms.", name,
			(long long)call->first_byte_ms);
		break;
	case HC_HEAD:
		hc_call_fail(call, CH_HTTP_TIMEOUT_FIRST_BYTE, "%s did not answer within %lld ms.", name, (long long)call->first_byte_ms);
		break;
	default:
		hc_call_fail(call, CH_HTTP_TIMEOUT_IDLE, "%s sent nothing for %lld ms in the middle of its answer.", name,
			(long long)call->idle_ms);
	}
}

void hc_call_bad(struct hc_call *call)
{
	const struct hc_reply *r = &call->reply;

	if (r->too_large)
		hc_call_fail(call, CH_HTTP_TOO_LARGE,
			"The answer of %s is larger than allowed: %s (max_header_bytes, max_header_line, max_header_fields).",
			call->host->name, r->error);
	else
		hc_call_fail(call, CH_HTTP_INVALID, "What %s sent is no valid HTTP answer: %s.", call->host->name, r->error);
}

static void body_too_large(struct hc_call *call)
{
	hc_call_fail(call, CH_HTTP_TOO_LARGE, "The answer of %s is larger than the %llu bytes that its body may have.", call->host->name,
		(unsigned long long)call->max_body);
}

static void cannot_gather(struct hc_call *call)
{
	hc_call_fail(call, CH_HTTP_TOO_LARGE,
		"The answer of %s does not fit into the memory of one request (4 MiB in all): take it piece by piece, with a sink.",
		call->host->name);
}

/* ---- the answer ---- */

/* After the sink has returned. False: the call is over. */
static bool heed(struct hc_call *call, int rc)
{
	call->in_sink = false;
	if (call->give_up || (rc != CH_OK && rc != CH_AGAIN)) {
		hc_call_cancel(call);
		return false;
	}
	if (rc == CH_AGAIN) {
		call->paused = true;
		call->phase_due = INT64_MAX;
		if (call->went_on)
			hc_pool_again(call);
	}
	call->went_on = false;
	return true;
}

/* The head's fields, copied into the ctx. False: no memory. */
static bool keep_fields(struct hc_call *call)
{
	const struct ch_h1_head *h = &call->reply.head;
	struct ch_http_field *f = ch_alloc(call->c, h->nfields * sizeof(*f));
	const char *p = ch_dup(call->c, call->reply.head_p, h->head_len);

	if (!f || !p)
		return false;
	for (uint32_t i = 0; i < h->nfields; i++) {
		f[i].name = (struct ch_str){ p + h->fields[i].name.off, h->fields[i].name.len };
		f[i].value = (struct ch_str){ p + h->fields[i].value.off, h->fields[i].value.len };
	}
	call->out->fields = f;
	call->out->nfields = h->nfields;
	return true;
}

static bool is_encoded(const struct ch_h1_head *h, const char *p)
{
	const struct ch_h1_field *f = ch_h1_find(h, p, "Content-Encoding", 16);

	return f && f->value.len && !(f->value.len == 8 && ch_h1_list_has(p + f->value.off, f->value.len, "identity"));
}

bool hc_call_head(struct hc_call *call)
{
	const struct ch_h1_head *h = &call->reply.head;
	struct ch_http_result *out = call->out;
	uint64_t length = h->body == CH_H1_BODY_LENGTH ? h->content_length : 0;

	out->status = h->status;
	if (!out->version)
		out->version = 10 + h->minor;
	ch_observe(hc_m(call->pool)->first_byte_seconds, (double)(out->first_byte - call->began) / 1e6);
	if (!keep_fields(call)) {
		cannot_gather(call);
		return false;
	}
	if (is_encoded(h, call->reply.head_p)) {
		hc_call_fail(call, CH_HTTP_INVALID, "The answer of %s has a Content-Encoding, though none was asked for.",
			call->host->name);
		return false;
	}
	if (length > call->max_body) {
		body_too_large(call);
		return false;
	}
	hc_call_phase(call, HC_BODY, call->idle_ms);
	if (!call->has_sink) {
		char *p = length && length <= HC_GATHER_MAX ? ch_alloc(call->c, (size_t)length) : NULL;

		if (length && !p) {
			cannot_gather(call);
			return false;
		}
		out->body.p = p;
		return true;
	}
	if (!call->sink.head)
		return true;
	call->in_sink = true;
	return heed(call, call->sink.head(call->c, call->sink.arg, out));
}

/* Of unknown length: memory that grows, until all is there. */
static bool gather(struct hc_call *call, const char *p, size_t n)
{
	size_t have = call->out->body.n;

	if (n > HC_GATHER_MAX - have)
		return false;
	if (have + n > call->gathered_cap) {
		size_t cap = call->gathered_cap ? call->gathered_cap : 4096;
		char *more;

		while (cap < have + n)
			cap *= 2;
		more = realloc(call->gathered, cap);
		if (!more)
			return false;
		call->gathered = more;
		call->gathered_cap = cap;
	}
	memcpy(call->gathered + have, p, n);
	return true;
}

bool hc_call_data(struct hc_call *call, const char *p, size_t n)
{
	struct ch_http_result *out = call->out;

	if (n > call->max_body - out->body_bytes) {
		body_too_large(call);
		return false;
	}
	if (call->has_sink) {
		out->body_bytes += n;
		call->in_sink = true;
		return heed(call, call->sink.data(call->c, call->sink.arg, p, n));
	}
	if (out->body.p) {
		memcpy((char *)out->body.p + out->body.n, p, n);
	} else if (!gather(call, p, n)) {
		cannot_gather(call);
		return false;
	}
	out->body.n += n;
	out->body_bytes += n;
	return true;
}

void hc_call_whole(struct hc_call *call)
{
	struct ch_http_result *out = call->out;

	if (call->paused) { /* its end waits for go_on, as its bytes would */
		call->phase = HC_WHOLE;
		return;
	}
	if (!out->body.p && out->body.n) {
		out->body.p = ch_dup(call->c, call->gathered, out->body.n);
		if (!out->body.p) {
			cannot_gather(call);
			return;
		}
	}
	finish(call, CH_HTTP_OK, NULL);
}

void hc_call_go_on(struct hc_call *call)
{
	if (call->paused) {
		call->paused = false;
		if (call->phase == HC_BODY)
			hc_call_phase(call, HC_BODY, call->idle_ms);
	}
	if (call->phase == HC_WHOLE)
		hc_call_whole(call);
	else if (call->transfer)
		hc_h2_go_on(call);
	else if (call->conn)
		hc_conn_go_on(call->conn);
}

/* ---- the beginning ---- */

void hc_call_phase(struct hc_call *call, enum hc_phase phase, int64_t ms)
{
	call->phase = phase;
	call->phase_due = call->pool->now + ms * 1000;
	hc_pool_due(call->pool, call->phase_due);
}

CH_PRINTF_(5, 6) static int refuse(struct hc_pool *p, struct ch_ctx *c, struct ch_http_result *out, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	out->detail = ch_vprint(c, fmt, ap);
	va_end(ap);
	if (!out->detail)
		out->detail = no_memory;
	out->error = error;
	out->ended = p->now;
	ch_add(hc_m(p)->requests[error], 1);
	return CH_OK;
}

static int64_t choose(int64_t own, const struct hc_pool *p, enum hc_setting s)
{
	const int64_t day = 86400000;

	if (own <= 0)
		own = hc_set(p, s);
	return own < day ? own : day;
}

static void set_times(struct hc_call *call, const struct ch_http_args *a)
{
	const struct hc_pool *p = call->pool;
	int64_t deadline = ch_deadline(call->c);

	call->connect_ms = choose(a->connect_timeout_ms, p, HC_CONNECT_TIMEOUT);
	call->first_byte_ms = choose(a->first_byte_timeout_ms, p, HC_FIRST_BYTE_TIMEOUT);
	call->idle_ms = choose(a->idle_timeout_ms, p, HC_IDLE_TIMEOUT);
	call->total_ms = choose(a->total_timeout_ms, p, HC_TOTAL_TIMEOUT);
	call->max_body = a->max_body ? a->max_body : (uint64_t)hc_set(p, HC_MAX_BODY);
	call->began = p->now;
	call->phase_due = p->now + call->connect_ms * 1000;
	call->total_due = call->began + call->total_ms * 1000;
	if (deadline && deadline < call->total_due)
		call->total_due = deadline;
}

static void set_limits(struct hc_call *call)
{
	const struct hc_pool *p = call->pool;
	const struct ch_h1_limits limits = {
		.max_line = (uint32_t)hc_set(p, HC_MAX_HEADER_LINE),
		.max_field = (uint32_t)hc_set(p, HC_MAX_HEADER_LINE),
		.max_head = (uint32_t)hc_set(p, HC_MAX_HEADER_BYTES),
		.max_fields = (uint32_t)hc_set(p, HC_MAX_HEADER_FIELDS),
	};

	hc_reply_init(&call->reply, call->request.kind, true, &limits);
	call->reply.head.fields = call->pool->fields;
	call->reply.head.fields_cap = HC_FIELDS_MAX;
}

int hc_call_begin(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_http_args *a, const struct ch_http_sink *sink,
                  struct ch_http_result *out, ch_ticket ticket)
{
	struct hc_pool *p = *ch_loop_state(svc->self, ch_loop(c));
	struct hc_request request = { 0 };
	struct hc_call *call;
	struct hc_url *url;
	const char *why;
	bool foreign;

	if (!p)
		return CH_ERROR;
	hc_clock(p);
	url = &p->url;
	why = hc_url_parse_next(url, a->url.p, a->url.n, &foreign);
	if (why)
		return refuse(p, c, out, foreign ? CH_HTTP_BLOCKED : CH_HTTP_BAD_REQUEST, "The URL cannot be asked for: %s.", why);
	why = hc_request_check(&request, c, a);
	if (why)
		return refuse(p, c, out, CH_HTTP_BAD_REQUEST, "%s", why);
	if (url->link_local && !hc_conf(p)->allow_link_local)
		return refuse(p, c, out, CH_HTTP_BLOCKED, HC_BLOCKED, url->host);
	call = ch_alloc(c, sizeof(*call));
	if (!call || !hc_request_write(&request, c, a, url))
		return refuse(p, c, out, CH_HTTP_BUSY, "%s", no_memory);
	call->host = hc_host_get(p, url);
	if (!call->host)
		return refuse(p, c, out, CH_HTTP_BUSY, "%s", no_memory);
	call->pool = p;
	call->self = svc->self;
	call->c = c;
	call->out = out;
	call->args = a;
	call->request = request;
	call->ticket = ticket;
	call->has_sink = sink != NULL;
	if (sink)
		call->sink = *sink;
	hc_link_last(&p->calls, &call->link);
	hc_link_init(&call->wait_link);
	hc_link_init(&call->look_link);
	hc_link_init(&call->again_link);
	set_times(call, a);
	set_limits(call);
	out->call = call;
	ch_add(hc_m(p)->running, 1);
	hc_pool_due(p, call->total_due);
	hc_pool_enter(call);
	return CH_AGAIN;
}
