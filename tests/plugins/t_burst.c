/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_burst.c - a test plugin: many calls of "http/1" at once, and how they ended. [t_burst] http = an instance id.
 *
 * POST /t/burst with one JSON object:
 *
 *   total, in_flight   how many calls in all, and at a time
 *   seed               of the choice among `calls`
 *   calls              a list of objects; `name` and `url` are required, numbers that are left out are 0:
 *     name, url, method ("GET"), weight (1)
 *     body_bytes       of the request
 *     connect_ms, first_byte_ms, idle_ms, total_ms, max_body    as in struct ch_http_args
 *     sink             0: the body is gathered; 1: a sink takes it; 2: one that answers each piece with AGAIN, and go_on comes 1 ms later
 *     done_at          bytes after which the sink answers DONE; 0: never
 *     cancel_ms        cancel is called so long after request; 0: never
 *     bound_ms         the call must have ended so long after request; 0: 1,000
 *
 * The answer, when all have ended: {"seconds": …, "calls": [{"name", "n", "errors": {"ok": 5, …}, "late", "worst_ms", "reused"}, …],
 * "unresumed": tickets that nobody resumed, "refused": what request returned as neither OK nor AGAIN}.
 *
 * Threads and ownership: everything on the loop of the request; each call is a task with a ctx of its own. The burst outlives a client that
 * leaves, until its last call has ended.
 */
#include <stdlib.h>

#include <chimera/http.h>
#include <chimera/json.h>

enum { NAMES = CH_HTTP_CANCELLED + 1, PATIENCE = 180000 };

static const char *const names[NAMES] = { "ok", "bad_request", "blocked", "busy", "resolve", "connect", "tls", "timeout_connect",
	"timeout_first_byte", "timeout_idle", "timeout_total", "closed", "invalid", "too_large", "cancelled" };

struct t_burst_conf {
	const struct ch_svc *http;
};

struct order { /* one of `calls` */
	char name[64], url[256], method[16];
	int64_t weight, body_bytes, connect_ms, first_byte_ms, idle_ms, total_ms, max_body, sink, done_at, cancel_ms, bound_ms;
	int64_t n, errors[NAMES], late, worst_us, reused;
};

struct burst {
	struct ch_self *self;
	struct ch_loop *loop;
	ch_ticket ticket;
	struct order *orders;
	size_t norders;
	int64_t total, in_flight, seed;
	int64_t weights, started, running, began, unresumed, refused;
	uint64_t random;
	bool gone; /* the client has left, or the server stops: no new calls */
};

struct call { /* in its ctx */
	struct burst *b;
	struct order *o;
	struct ch_ctx *c;
	struct ch_http_args args;
	struct ch_http_result out;
	struct ch_timer *go_on, *cancel;
	ch_ticket ticket;
	int64_t began;
	uint64_t got;
};

static const struct ch_svc *http_of(const struct burst *b)
{
	return ((const struct t_burst_conf *)b->self->conf)->http;
}

static const struct ch_http_v1 *vt_of(const struct burst *b)
{
	return http_of(b)->vt;
}

/* ---- a call ---- */

static void pump(struct burst *b);

static int call_over(struct call *k)
{
	struct burst *b = k->b;
	struct order *o = k->o;
	int64_t took = ch_now() - k->began;

	ch_timer_free(k->go_on);
	ch_timer_free(k->cancel);
	o->n++;
	o->errors[k->out.error < NAMES ? k->out.error : 0]++;
	o->reused += k->out.reused;
	o->late += took > (o->bound_ms ? o->bound_ms : 1000) * 1000;
	if (took > o->worst_us)
		o->worst_us = took;
	b->running--;
	pump(b);
	return CH_DONE;
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct call *k = arg;

	(void)c, (void)p;
	k->got += n;
	if (k->o->done_at && k->got >= (uint64_t)k->o->done_at)
		return CH_DONE;
	if (k->o->sink != 2)
		return CH_OK;
	ch_timer_set(k->go_on, 1);
	return CH_AGAIN;
}

static void on_go_on(void *data)
{
	struct call *k = data;

	vt_of(k->b)->go_on(http_of(k->b), k->c, &k->out);
}

static void on_cancel(void *data)
{
	struct call *k = data;

	vt_of(k->b)->cancel(http_of(k->b), k->c, &k->out);
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;

	(void)c, (void)result;
	if (why != CH_READY) {
		vt_of(k->b)->cancel(http_of(k->b), k->c, &k->out);
		k->b->unresumed += why == CH_TIMEOUT;
		k->b->gone |= why == CH_GONE;
	}
	return call_over(k);
}

static int begin_call(struct ch_ctx *c, void *data)
{
	struct burst *b = data;
	struct call *k = ch_alloc(c, sizeof(*k));
	int64_t at = 0;
	int rc;

	if (!k) {
		b->running--;
		b->refused++;
		pump(b);
		return CH_DONE;
	}
	*k = (struct call){ .b = b, .o = b->orders, .c = c };
	b->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
	uint64_t z = (b->random ^ b->random >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	at = (int64_t)((z ^ z >> 31) % (uint64_t)b->weights);
	for (; at >= k->o->weight; k->o++)
		at -= k->o->weight;
	k->args = (struct ch_http_args){
		.size = sizeof(k->args),
		.method = { k->o->method, strlen(k->o->method) },
		.url = { k->o->url, strlen(k->o->url) },
		.body = { k->o->body_bytes ? ch_alloc(c, (size_t)k->o->body_bytes) : NULL, (size_t)k->o->body_bytes },
		.connect_timeout_ms = k->o->connect_ms,
		.first_byte_timeout_ms = k->o->first_byte_ms,
		.idle_timeout_ms = k->o->idle_ms,
		.total_timeout_ms = k->o->total_ms,
		.max_body = (uint64_t)k->o->max_body,
	};
	struct ch_http_sink sink = { .size = sizeof(sink), .data = on_data, .arg = k };
	k->out.size = sizeof(k->out);
	k->go_on = ch_timer(b->loop, on_go_on, k);
	k->cancel = ch_timer(b->loop, on_cancel, k);
	k->began = ch_now();
	k->ticket = ch_suspend(c, PATIENCE, on_resumed, k);
	if (!k->ticket || !k->go_on || !k->cancel || (k->o->body_bytes && !k->args.body.p)) {
		ch_unsuspend(k->ticket);
		b->refused++;
		return call_over(k);
	}
	rc = vt_of(b)->request(http_of(b), c, &k->args, k->o->sink ? &sink : NULL, &k->out, k->ticket);
	if (rc == CH_AGAIN) {
		if (k->o->cancel_ms)
			ch_timer_set(k->cancel, k->o->cancel_ms);
		return CH_AGAIN;
	}
	b->refused += rc != CH_OK;
	ch_unsuspend(k->ticket);
	return call_over(k);
}

static void drop_call(void *data)
{
	struct burst *b = data;

	b->gone = true;
	b->running--;
	pump(b);
}

/* Keeps in_flight calls going; resumes the request behind the last. */
static void pump(struct burst *b)
{
	while (!b->gone && b->running < b->in_flight && b->started < b->total) {
		if (!ch_task(b->self, b->loop, 0, begin_call, b, drop_call)) {
			b->gone = true;
			break;
		}
		b->started++;
		b->running++;
	}
	if (!b->running)
		ch_resume(b->ticket, b, free);
}

/* ---- the order ---- */

struct number { const char *name; size_t offset; };
#define NUMBER(s, field) { #field, offsetof(struct s, field) }

static const struct number burst_numbers[] = { NUMBER(burst, total), NUMBER(burst, in_flight), NUMBER(burst, seed), { NULL, 0 } };
static const struct number order_numbers[] = { NUMBER(order, weight), NUMBER(order, body_bytes), NUMBER(order, connect_ms),
	NUMBER(order, first_byte_ms), NUMBER(order, idle_ms), NUMBER(order, total_ms), NUMBER(order, max_body), NUMBER(order, sink),
	NUMBER(order, done_at), NUMBER(order, cancel_ms), NUMBER(order, bound_ms), { NULL, 0 } };
static const struct { const char *name; size_t offset, size; } order_texts[] = {
	{ "name", offsetof(struct order, name), sizeof(((struct order *)0)->name) },
	{ "url", offsetof(struct order, url), sizeof(((struct order *)0)->url) },
	{ "method", offsetof(struct order, method), sizeof(((struct order *)0)->method) },
};

/* Reads the number that follows the key; false: the key is none of these, or its value no number. */
static bool read_number(struct ch_json *j, const struct ch_json_tok *key, const struct number *numbers, void *into)
{
	struct ch_json_tok tok;

	for (; numbers->name; numbers++)
		if (ch_json_eq(key, numbers->name)) {
			int64_t *value = (int64_t *)((char *)into + numbers->offset);

			return ch_json_next(j, &tok) == CH_JSON_NUMBER && ch_json_int(&tok, 0, INT64_MAX, value);
		}
	return false;
}

static bool read_text(struct ch_json *j, const struct ch_json_tok *key, struct order *o)
{
	struct ch_json_tok tok;

	for (size_t i = 0; i < sizeof(order_texts) / sizeof(order_texts[0]); i++)
		if (ch_json_eq(key, order_texts[i].name)) {
			char *text = (char *)o + order_texts[i].offset;

			if (ch_json_next(j, &tok) != CH_JSON_STRING || tok.len >= order_texts[i].size)
				return false;
			text[ch_json_unescape(&tok, text)] = 0;
			return true;
		}
	return false;
}

static bool read_order(struct ch_json *j, struct order *o)
{
	struct ch_json_tok tok;

	*o = (struct order){ .weight = 1, .method = "GET" };
	while (ch_json_next(j, &tok) == CH_JSON_KEY)
		if (!read_number(j, &tok, order_numbers, o) && !read_text(j, &tok, o))
			return false;
	return tok.type == CH_JSON_OBJECT_END && *o->name && *o->url && o->weight > 0;
}

static bool read_burst(struct ch_ctx *c, struct burst *b, struct ch_str text)
{
	struct ch_json j;
	struct ch_json_tok tok;

	ch_json_init(&j, text.p, text.n, 8, 100000);
	b->orders = ch_alloc(c, 256 * sizeof(*b->orders)); /* the ctx lives as long as its ticket is out */
	if (!b->orders || ch_json_next(&j, &tok) != CH_JSON_OBJECT)
		return false;
	while (ch_json_next(&j, &tok) == CH_JSON_KEY) {
		if (!ch_json_eq(&tok, "calls")) {
			if (!read_number(&j, &tok, burst_numbers, b))
				return false;
			continue;
		}
		if (ch_json_next(&j, &tok) != CH_JSON_ARRAY)
			return false;
		while (ch_json_next(&j, &tok) == CH_JSON_OBJECT) {
			if (b->norders == 256 || !read_order(&j, &b->orders[b->norders]))
				return false;
			b->weights += b->orders[b->norders++].weight;
		}
		if (tok.type != CH_JSON_ARRAY_END)
			return false;
	}
	return tok.type == CH_JSON_OBJECT_END && ch_json_next(&j, &tok) == CH_JSON_END && b->norders && b->total > 0 && b->in_flight > 0;
}

/* ---- the route ---- */

static void write_order(struct ch_jw *w, const struct order *o)
{
	ch_jw_object(w);
	ch_jw_key(w, "name");
	ch_jw_cstr(w, o->name);
	ch_jw_key(w, "n");
	ch_jw_int(w, o->n);
	ch_jw_key(w, "errors");
	ch_jw_object(w);
	for (int i = 0; i < NAMES; i++)
		if (o->errors[i]) {
			ch_jw_key(w, names[i]);
			ch_jw_int(w, o->errors[i]);
		}
	ch_jw_object_end(w);
	ch_jw_key(w, "late");
	ch_jw_int(w, o->late);
	ch_jw_key(w, "worst_ms");
	ch_jw_double(w, (double)o->worst_us / 1000);
	ch_jw_key(w, "reused");
	ch_jw_int(w, o->reused);
	ch_jw_object_end(w);
}

static int on_burst_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct burst *b = data;
	struct ch_jw w;
	int rc;

	if (why != CH_READY) {
		b->gone = true; /* the last call frees it */
		return CH_DONE;
	}
	ch_jw_ctx(&w, c, 8192);
	ch_jw_object(&w);
	ch_jw_key(&w, "seconds");
	ch_jw_double(&w, (double)(ch_now() - b->began) / 1e6);
	ch_jw_key(&w, "unresumed");
	ch_jw_int(&w, b->unresumed);
	ch_jw_key(&w, "refused");
	ch_jw_int(&w, b->refused);
	ch_jw_key(&w, "calls");
	ch_jw_array(&w);
	for (size_t i = 0; i < b->norders; i++)
		write_order(&w, &b->orders[i]);
	ch_jw_array_end(&w);
	ch_jw_object_end(&w);
	rc = w.failed ? CH_ERROR : b->gone ? ch_refuse(c, CH_E_DRAINING, 1000, "the burst was ended: the server stops") :
		ch_respond(c, 200, "application/json", w.buf, w.len);
	free(result);
	return rc;
}

static int post_burst(struct ch_self *self, struct ch_ctx *c)
{
	struct burst *b = calloc(1, sizeof(*b));

	if (!b)
		return CH_ERROR;
	*b = (struct burst){ .self = self, .loop = ch_loop(c), .began = ch_now() };
	if (!read_burst(c, b, ch_body(c))) {
		free(b);
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "the order is none of those that t_burst.c describes: see the top of that file");
	}
	b->random = (uint64_t)b->seed;
	b->ticket = ch_suspend(c, 0, on_burst_over, b);
	if (!b->ticket) {
		free(b);
		return CH_ERROR;
	}
	pump(b);
	return CH_AGAIN;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_burst_conf, http, SERVICE, .flags = CH_O_REQUIRED, .iface = "http/1", .help = "Who makes the calls"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/t/burst", .body = CH_BODY_BUFFER, .fn = post_burst, .summary = "Makes many calls",
		.budget_us = 1000000 },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_burst",
	.version = "0.1",
	.summary = "Test: many calls of http/1 at once",
	.conf_size = sizeof(struct t_burst_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_burst, plugin)
