/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/http.h"

#include "core/log/log.h"
#include "core/plugin/gen.h"
#include "core/plugin/misuse.h"

#include <chimera/kit/json.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALL_BODY (64u << 10) /* bodies of known length up to this lie in the arena */

static void came(struct ch_ctx *c, int rc);
static void let_go(struct ch_ctx *c, bool ok);
const struct chi_owner chi_req_owner = { .came = came, .freed = chi_req_forget, .let_go = let_go };

static void next_stage(struct chi_req *r);

/* ---- work without a client, see ch_outlive ---- */

static void orphan_end(struct chi_req *r)
{
	if (!r->self_orphan)
		return;
	*r->self_orphan = r->next_orphan;
	if (r->next_orphan)
		r->next_orphan->self_orphan = r->self_orphan;
	r->self_orphan = NULL;
}

static void go_on(void *data)
{
	struct chi_req *r = data;
	if (r->self_orphan && r->on_writable)
		r->on_writable(r->on_writable_data);
	chi_ctx_unpin(r->ctx);
}

static bool outlives(struct chi_req *r)
{
	if (!r->outlive || r->stage >= CHI_S_ANSWERED || r->aborted || r->http->closed || !r->outlive(r->outlive_data))
		return false;
	r->orphan = true;
	r->next_orphan = r->http->orphans;
	r->self_orphan = &r->http->orphans;
	if (r->http->orphans)
		r->http->orphans->self_orphan = &r->next_orphan;
	r->http->orphans = r;
	if (r->paused && r->on_writable) { /* nobody's reading holds it up any more; not now: we may be inside a call of its own */
		r->ctx->pins++;
		chi_loop_turn_end(r->http->loop, go_on, r);
	}
	return true;
}

void chi_req_forsake(struct chi_req *r)
{
	if (!r->orphan || !r->self_orphan)
		return;
	orphan_end(r);
	r->orphan = false;
	chi_ctx_gone(r->ctx);
}

/* ---- the end ---- */

void chi_req_end(struct chi_req *r)
{
	if (r->stage == CHI_S_OVER)
		return;
	r->stage = CHI_S_OVER;
	struct ch_facts *f = &r->ctx->facts;
	f->aborted = f->aborted || (!r->conn && (r->begun || r->orphan));
	if (!r->conn && !r->begun && !r->orphan)
		f->status = 499;
	orphan_end(r);
	chi_resp_cut(r);
	chi_ctx_end_hooks(r->ctx);
	chi_stats_end(r);
}

/* Memory of the body that is not the arena's. */
void chi_req_forget(struct ch_ctx *c)
{
	struct chi_req *r = c->req;
	chi_resp_drop(r);
	if (r->body_cap)
		atomic_fetch_sub_explicit(&r->http->shared->buffered, (int64_t)r->body_cap, memory_order_relaxed);
	if (r->body_heap)
		free(r->body);
}

static void answer(struct chi_req *r)
{
	struct ch_ctx *c = r->ctx;
	bool heard = r->conn || r->orphan; /* by someone: the client, or taps alone */
	if (!r->answered && !r->begun && !r->aborted && heard) {
		const struct chi_hook *last = c->hook && c->hook == c->hook_end ? c->hook - 1 : c->hook; /* the chain may be through */
		if (!c->gone) /* who heard GONE need not answer */
			chi_misuse(last ? last->inst->self.id : NULL, c, "%s was done without an answer: the request ends with 500", c->facts.endpoint);
		if (chi_problem(r, CH_E_INTERNAL, 0, NULL, "the server has a bug: no answer was made; tell its operator the req_id") == CH_ERROR)
			r->aborted = true; /* no memory even for that */
	}
	r->stage = CHI_S_ANSWERED;
	if (r->conn && r->aborted && !r->begun)
		chi_conn_lost(r->conn);
	if (r->conn || r->orphan)
		chi_resp_finish(r);
	chi_req_end(r);
	if (!chi_ctx_held(c))
		let_go(c, !c->cut);
}

static void let_go(struct ch_ctx *c, bool ok)
{
	struct chi_req *r = c->req;
	if (r->conn && !ok)
		chi_conn_lost(r->conn);
	if (r->conn)
		chi_resp_leave(r);
	chi_ctx_end(c);
}

static void came(struct ch_ctx *c, int rc)
{
	struct chi_req *r = c->req;
	if (rc == CH_ERROR) {
		if (r->begun) {
			chi_resp_abort(r);
		} else {
			r->answered = false;
			chi_problem(r, CH_E_INTERNAL, 0, NULL, "a part of the server failed at this request; tell its operator the req_id");
		}
		answer(r);
	} else if (rc == CH_DONE || (!r->conn && !r->orphan) || r->answered || r->begun || r->aborted) {
		answer(r);
	} else {
		next_stage(r);
	}
}

static void refuse(struct chi_req *r, int code, const char *detail)
{
	chi_problem(r, code, 0, NULL, detail);
	answer(r);
}

/* ---- body ---- */

/* Room for `more` bytes; counted against the process's budget. */
static int body_room(struct chi_req *r, size_t more)
{
	struct chi_http_shared *s = r->http->shared;
	size_t need = r->body_len + more;
	if (need <= r->body_cap)
		return 0;
	bool known = r->head.body == CH_H1_BODY_LENGTH;
	size_t cap = r->body_cap ? r->body_cap * 2 : SMALL_BODY;
	while (cap < need)
		cap *= 2;
	if (known && cap > r->head.content_length)
		cap = (size_t)r->head.content_length;
	if (cap > r->max_body)
		cap = r->max_body;
	int64_t grown = (int64_t)(cap - r->body_cap);
	if (atomic_fetch_add_explicit(&s->buffered, grown, memory_order_relaxed) + grown > r->http->conf->max_buffered_bytes) {
		atomic_fetch_sub_explicit(&s->buffered, grown, memory_order_relaxed);
		return CH_E_OVERLOADED;
	}
	char *p;
	if (known && r->head.content_length <= SMALL_BODY) {
		p = chi_arena_raw(&r->ctx->arena, cap);
	} else {
		p = realloc(r->body, cap); /* never the arena's: that one is made whole at once */
		r->body_heap = r->body_heap || p;
	}
	if (!p) {
		atomic_fetch_sub_explicit(&s->buffered, grown, memory_order_relaxed);
		return CH_E_OVERLOADED;
	}
	r->body = p;
	r->body_cap = cap;
	return 0;
}

void chi_req_data(struct chi_req *r, const char *p, size_t n)
{
	if (n > r->max_body - r->body_len) {
		char text[120];
		snprintf(text, sizeof text, "the body is larger than the %zu bytes that this route takes", r->max_body);
		r->head.keep_alive = 0;
		refuse(r, CH_E_TOO_LARGE, text);
		return;
	}
	int code = body_room(r, n);
	if (code) {
		chi_problem(r, code, 1000, NULL, "the server holds as many request bodies as it may (max_buffered_bytes); try again");
		answer(r);
		return;
	}
	memcpy(r->body + r->body_len, p, n);
	r->body_len += n;
	r->ctx->facts.bytes_in = r->body_len;
}

void chi_req_data_end(struct chi_req *r)
{
	next_stage(r);
}

void chi_req_data_bad(struct chi_req *r, const char *why)
{
	r->head.keep_alive = 0;
	refuse(r, CH_E_BAD_REQUEST, why);
}

void chi_req_timeout(struct chi_req *r)
{
	r->head.keep_alive = 0;
	refuse(r, CH_E_REQUEST_TIMEOUT, "the body came too slowly or not at all: send it without pauses");
}

void chi_req_gone(struct chi_req *r)
{
	bool waits = r->stage == CHI_S_BODY_WAIT;
	r->conn = NULL;
	if (waits)
		answer(r);
	else if (!outlives(r))
		chi_ctx_gone(r->ctx); /* told at the end of the turn, or when the hook that runs now returns */
}

/* The body, if the route wants one. True: it is being read, and chi_req_data_end goes on. */
static bool read_body(struct chi_req *r)
{
	struct chi_conn *c = r->conn;
	if (r->route->def->body != CH_BODY_BUFFER || c->framing == CH_H1_BODY_NONE)
		return false;
	r->max_body = r->route->max_body ? r->route->max_body : (size_t)r->http->conf->max_body_bytes;
	if (r->head.body == CH_H1_BODY_LENGTH && r->head.content_length > r->max_body) {
		char text[160];
		snprintf(text, sizeof text, "the body has %llu bytes and this route takes %zu: send less",
			(unsigned long long)r->head.content_length, r->max_body);
		refuse(r, CH_E_TOO_LARGE, text);
		return true;
	}
	if (r->head.expect_continue) {
		static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
		r->continued = true;
		chi_conn_send(c, &(struct iovec){ (char *)go_on, sizeof go_on - 1 }, 1, -1, NULL, NULL);
		if (c->dead) /* and the request with it */
			return true;
	}
	chi_conn_want_body(c);
	return true;
}

/* ---- route ---- */

static void allow(struct chi_req *r, const char *methods)
{
	chi_resp_header(r, "Allow", 5, methods, strlen(methods));
}

/* The answers that need no handler. True: answered. */
static bool answered_by_route(struct chi_req *r)
{
	const struct chi_path *p = r->match.path;
	int m = r->head.method;
	bool read_only = r->cls == CHI_L_STATUS;
	const char *methods = !p          ? "GET, HEAD, POST, OPTIONS" /* what there is somewhere */
	                      : !read_only ? p->allow
	                      : p->methods[CH_H1_GET] ? "GET, HEAD, OPTIONS"
	                                              : "OPTIONS";
	if (m == CH_H1_OTHER) {
		chi_problem(r, CH_E_NOT_IMPLEMENTED, 0, NULL, "the method is not known here: see Allow of an OPTIONS request");
	} else if (m == CH_H1_OPTIONS && (r->path_len == 1 && *r->path == '*')) {
		allow(r, methods);
		chi_resp_whole(r, 204, NULL, NULL, 0);
	} else if (m == CH_H1_CONNECT || m == CH_H1_TRACE) {
		allow(r, methods);
		chi_problem(r, CH_E_METHOD_NOT_ALLOWED, 0, NULL, "CONNECT and TRACE are not served");
	} else if (!p) {
		chi_problem(r, CH_E_NOT_FOUND, 0, NULL, "no route has this path: GET /openapi.json lists those that exist");
	} else if (!p->methods[m] && m == CH_H1_OPTIONS) {
		allow(r, methods);
		chi_resp_whole(r, 204, NULL, NULL, 0);
	} else if (!p->methods[m] || (read_only && m != CH_H1_GET && m != CH_H1_HEAD)) {
		allow(r, methods);
		chi_problem(r, CH_E_METHOD_NOT_ALLOWED, 0, NULL,
			read_only ? "this listener is read-only and this path has no such method here: use the server's main address"
			          : "this path has other methods: see Allow");
	} else {
		return false;
	}
	return true;
}

/* Of its routes: of a path of the control socket all are of that class. */
static int class_of(const struct chi_path *p)
{
	for (int m = 0; m < CHI_METHODS; m++)
		if (p->methods[m])
			return p->methods[m]->def->cls;
	return CH_PUBLIC;
}

static bool find_route(struct chi_req *r)
{
	if (r->bad_target) {
		r->ctx->facts.endpoint = "none";
		refuse(r, CH_E_BAD_REQUEST, r->bad_target);
		return false;
	}
	if (*r->path == '/')
		chi_routes_find(r->ctx->gen->routes, r->path, r->path_len, &r->match);
	if (r->match.path && r->cls != CHI_L_CONTROL && class_of(r->match.path) > CH_OPEN)
		r->match.path = NULL; /* the control socket's own: elsewhere they are not there */
	r->ctx->facts.endpoint = r->match.path ? r->match.path->pattern : "none";
	if (answered_by_route(r)) {
		answer(r);
		return false;
	}
	r->route = r->match.path->methods[r->head.method];
	r->ctx->facts.ledger = r->route->def->ledger;
	return true;
}

static bool has_header(const struct chi_req *r, const char *name)
{
	return ch_h1_find(&r->head, r->raw, name, strlen(name)) != NULL;
}

static bool loopback(const struct chi_req *r)
{
	const struct in6_addr *a = &r->conn->addr;
	bool local = r->conn->is_unix || IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	return local && !has_header(r, "x-forwarded-for") && !has_header(r, "forwarded") && !has_header(r, "x-real-ip");
}

/* May this peer use a route of that class? After AUTH, so that an admin's key counts. */
static bool permitted(struct chi_req *r)
{
	bool admin = r->ctx->facts.role == CH_ROLE_ADMIN;
	if (r->cls == CHI_L_ADMIN)
		return admin || r->route->def->cls == CH_OPEN; /* an admin key always; who is open looks at none */
	switch (r->route->def->cls) {
	case CH_PUBLIC: /* AUTH has judged */
	case CH_OPEN:
		return true;
	case CH_OPS:
		return admin || r->cls != CHI_L_PUBLIC || loopback(r);
	case CH_ADMIN:
		return admin || r->cls == CHI_L_CONTROL;
	default:
		return r->cls == CHI_L_CONTROL;
	}
}

/* ---- the way ---- */

static void run_handler(struct chi_req *r)
{
	chi_ctx_run_one(r->ctx, &r->route->handler);
}

/* What follows a phase that ended with OK. Phases without hooks are passed over here, so that they cost nothing. */
static void next_stage(struct chi_req *r)
{
	static const uint8_t phase[] = {
		[CHI_S_HEADERS] = CH_P_HEADERS, [CHI_S_AUTH] = CH_P_AUTH, [CHI_S_LIMIT] = CH_P_LIMIT,
		[CHI_S_BODY] = CH_P_BODY, [CHI_S_CONTENT] = CH_P_CONTENT, [CHI_S_HANDLER] = 0,
	};
	for (;;) {
		if (r->stage == CHI_S_HEADERS && !find_route(r))
			return;
		if (r->stage == CHI_S_AUTH && !permitted(r)) {
			refuse(r, CH_E_FORBIDDEN,
				r->cls == CHI_L_ADMIN ? "this listener always wants an admin key"
				: r->route->def->cls == CH_ADMIN ? "this route is for admins: use an admin key, or the control socket"
				                      : "this route is for the operator: use status_listen, a loopback address, or an admin key");
			return;
		}
		if (r->stage == CHI_S_HANDLER) { /* it said OK and has answered nothing */
			answer(r);
			return;
		}
		r->stage++;
		if (r->stage == CHI_S_BODY_WAIT) {
			if (read_body(r))
				return;
			continue;
		}
		if (r->stage == CHI_S_HANDLER) {
			run_handler(r);
			return;
		}
		const struct chi_chain *chain = &r->ctx->gen->phases[phase[r->stage]];
		/* Who may open the control socket is the operator: no key, quota or plugin's mistake may keep him out. */
		bool spared = r->cls == CHI_L_CONTROL && (r->stage == CHI_S_AUTH || r->stage == CHI_S_LIMIT);
		if (chain->n && !spared) {
			chi_ctx_run(r->ctx, chain);
			return;
		}
	}
}

static bool copy_head(struct chi_req *r, const struct ch_h1_head *head, const char *raw)
{
	struct chi_arena *a = &r->ctx->arena;
	size_t fields = head->nfields * sizeof *head->fields;
	char *copy = chi_arena_raw(a, head->head_len + head->target.len + fields + 16);
	if (!copy)
		return false;
	r->head = *head;
	r->head.fields = (struct ch_h1_field *)(void *)copy;
	memcpy(copy, head->fields, fields);
	memcpy(copy + fields, raw, head->head_len);
	r->raw = copy + fields;
	r->path = copy + fields + head->head_len; /* room for the decoded path */
	return true;
}

void chi_req_start(struct chi_conn *c, const struct ch_h1_head *head, const char *raw)
{
	struct chi_http *h = c->http;
	struct ch_ctx *x = chi_ctx_new(h->loop, h->loop->gen, &chi_req_owner, sizeof(struct chi_req));
	struct chi_req *r = x ? (struct chi_req *)(x + 1) : NULL;
	if (!x) {
		chi_req_reject(c, 503, "the server is out of memory; try again");
		return;
	}
	x->req = r;
	r->ctx = x;
	r->http = h;
	r->cls = c->cls;
	if (!copy_head(r, head, raw)) {
		chi_ctx_end(x);
		chi_req_reject(c, 503, "the server is out of memory; try again");
		return;
	}
	r->conn = c;
	c->req = r;
	x->facts.started = h->loop->now;
	x->facts.method = chi_method_name(head->method);
	x->facts.client = chi_proxy_client(r);
	chi_stats_begin();
	const char *error = NULL;
	struct ch_h1_span query = { 0, 0 };
	if (head->method == CH_H1_CONNECT) {
		r->path = "*";
		r->path_len = 1;
	} else if (ch_h1_target(r->raw + head->target.off, head->target.len, (char *)r->path, &r->path_len, &query, &error)) {
		r->head.keep_alive = 0;
		r->path = ""; /* refused after HEADERS, which give the answer its ids */
		r->path_len = 0;
		r->bad_target = error;
	}
	r->query = (struct ch_str){ r->raw + head->target.off + query.off, query.len };
	const struct chi_chain *chain = &x->gen->phases[CH_P_HEADERS];
	if (chain->n)
		chi_ctx_run(x, chain);
	else
		next_stage(r);
}

struct ch_str chi_req_param(const struct chi_req *r, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < r->match.nparams; i++)
		if (r->match.params[i].name_len == n && !memcmp(r->match.params[i].name, name, n))
			return r->match.params[i].value;
	return (struct ch_str){ NULL, 0 };
}

static int code_of(int status)
{
	static const int codes[] = { CH_E_REQUEST_TIMEOUT, CH_E_URI_TOO_LONG, CH_E_EXPECTATION, CH_E_HEADERS_TOO_LARGE,
		CH_E_NOT_IMPLEMENTED, CH_E_VERSION, CH_E_OVERLOADED };
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (chi_problem_status(codes[i]) == status)
			return codes[i];
	return CH_E_BAD_REQUEST;
}

void chi_req_reject(struct chi_conn *c, int status, const char *detail)
{
	int code = code_of(status);
	char body[1024], head[256];
	struct ch_jw w;
	ch_jw_init(&w, body, sizeof body);
	chi_problem_body(&w, code, NULL, NULL, detail);
	size_t bn = w.failed ? 0 : w.len;
	int hn = snprintf(head, sizeof head,
		"HTTP/1.1 %d %s\r\n%.*sContent-Type: application/problem+json\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
		chi_status_text(status), CHI_DATE_LEN, chi_resp_date(c->http->loop), status == 503 ? "Retry-After: 1\r\n" : "", bn);
	chi_stats_reject(c->http, code, detail, c->peer);
	chi_conn_send(c, (struct iovec[]){ { head, (size_t)hn }, { body, bn } }, 2, -1, NULL, NULL);
	if (!c->dead)
		chi_conn_next(c, false);
}
