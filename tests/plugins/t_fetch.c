/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_fetch.c - a test plugin: makes a call of "http/1" from a description and tells what came of it. [t_fetch] http = an instance id.
 *
 * POST /t/fetch with one JSON object. `url` is required; all else may be left out:
 *
 *   url, method ("GET"), headers ([["Name", "value"], …]), body (text)
 *   body_bytes         in place of body: so many bytes 'x'
 *   connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms, total_timeout_ms, max_body      as in struct ch_http_args; 0
 *   timeout_ms         of the ticket: after it the call is cancelled; 0: none
 *   deadline_ms        of the ctx, from now; 0: none
 *   sink               true: the answer comes piece by piece; false: it is gathered
 *   relay              true: a sink that hands the body on to the client of this request, held up when the client is slow; an error after
 *                      the first byte cuts the answer. The answer is then the body itself, unless the call fails before its first byte
 *   pause_head         milliseconds: the sink answers the head with AGAIN, and go_on comes so much later; 0: no pause
 *   pause_every        bytes: the sink answers AGAIN each time it has got so many more; 0: never
 *   pause_ms           how long such a pause is; 0: go_on is called at the end of the turn; -1: never
 *   done_at            bytes: the sink answers DONE once it has got so many; -1: never; 0: at the head
 *   cancel_after_ms    cancel is called so long after request returned; 0: right behind it; -1: never
 *   cancel_in          "head" or "data": cancel is called inside the sink's function
 *   show               bytes of the body that the answer repeats; 4096
 *
 * The answer, always 200 and one object:
 *
 *   rc                 what request returned: 0 CH_OK, 2 CH_AGAIN, -1 CH_ERROR
 *   error, error_name  enum ch_http_error as number and as "ok", "bad_request", … ; detail (null without an error)
 *   status, version, sent, reused, body_bytes; fields: [["Name", "value"], …]
 *   body_n, body, crc32   the body's length, first bytes as text, and CRC-32 as zlib has it: of the gathered body or of all sink pieces
 *   connected_us, first_byte_us, ended_us   since the call was made; -1: did not come to it
 *   elapsed_us         till the ticket was resumed; resumed: how often (0 after rc 0); why: "ready", "timeout", "gone", or null after rc 0
 *   heads, pieces      how often the sink was called; sizes: those of the first 64 pieces; pauses: how often it said AGAIN
 *   wrong              rules that the provider broke: a list of sentences; empty is right
 *
 * A client of /t/fetch that leaves cancels the call. Metrics: t_fetch_running, t_fetch_ended_total{error}, t_fetch_wrong_total.
 *
 * Threads and ownership: everything on the request's loop; a fetch lives in its ctx, its timers are freed before the answer.
 */
#include <chimera/http.h>
#include <chimera/json.h>

enum { M_RUNNING, M_ENDED, M_WRONG };
enum { SIZES = 64, WRONGS = 8, NAMES = CH_HTTP_CANCELLED + 1 };

static const char *const names[NAMES + 1] = { "ok", "bad_request", "blocked", "busy", "resolve", "connect", "tls", "timeout_connect",
	"timeout_first_byte", "timeout_idle", "timeout_total", "closed", "invalid", "too_large", "cancelled", NULL };

struct t_fetch_conf {
	const struct ch_svc *http;
};

struct t_fetch_state {
	unsigned running, wrong, ended[NAMES];
};

/* What the description says. */
struct order {
	struct ch_http_args args;
	int64_t body_bytes, timeout_ms, deadline_ms, pause_head, pause_every, pause_ms, done_at, cancel_after_ms, show;
	struct ch_str cancel_in;
	bool sink, relay;
};

struct fetch {
	struct order o;
	struct t_fetch_state *state;
	const struct ch_svc *svc;
	struct ch_ctx *c;
	struct ch_http_result out;
	struct ch_timer *go_timer, *cancel_timer;
	ch_ticket ticket;
	int64_t began, elapsed;
	const char *why;
	int rc, resumed;
	unsigned heads, pieces, pauses;
	uint32_t sizes[SIZES], crc;
	uint64_t got, next_pause;
	char *text;                /* the first o.show bytes */
	const char *wrong[WRONGS];
	unsigned nwrong;
	bool returned, paused, over, begun;
};

/* ---- the description ---- */

struct reader {
	struct ch_ctx *c;
	struct ch_json j;
	struct ch_json_tok tok;
	struct order *o;
	const char *fault;
};

static bool bad(struct reader *r, const char *fault)
{
	if (!r->fault)
		r->fault = fault;
	return false;
}

static bool next(struct reader *r)
{
	return ch_json_next(&r->j, &r->tok) != CH_JSON_ERROR || bad(r, r->j.error);
}

static bool text(struct reader *r, struct ch_str *out)
{
	char *copy = r->tok.type == CH_JSON_STRING ? ch_alloc(r->c, r->tok.len + 1) : NULL;

	if (!copy)
		return bad(r, "a string was expected, or no memory is left");
	*out = (struct ch_str){ copy, ch_json_unescape(&r->tok, copy) };
	return true;
}

static bool headers(struct reader *r)
{
	struct ch_http_field *fields = ch_alloc(r->c, 256 * sizeof(*fields));

	if (!fields || r->tok.type != CH_JSON_ARRAY)
		return bad(r, "headers: a list of pairs was expected");
	r->o->args.fields = fields;
	while (next(r) && r->tok.type == CH_JSON_ARRAY && r->o->args.nfields < 256) {
		struct ch_http_field *f = &fields[r->o->args.nfields++];

		if (!next(r) || !text(r, &f->name) || !next(r) || !text(r, &f->value) || !next(r) || r->tok.type != CH_JSON_ARRAY_END)
			return bad(r, "headers: a pair was expected");
	}
	return r->tok.type == CH_JSON_ARRAY_END || bad(r, "headers: a list of at most 256 pairs was expected");
}

static bool member(struct reader *r, const struct ch_json_tok *key)
{
	struct order *o = r->o;
	int64_t max_body = 0;
	const struct { const char *name; struct ch_str *to; } texts[] = {
		{ "url", &o->args.url }, { "method", &o->args.method }, { "body", &o->args.body }, { "cancel_in", &o->cancel_in },
	};
	const struct { const char *name; int64_t *to; } numbers[] = {
		{ "body_bytes", &o->body_bytes }, { "connect_timeout_ms", &o->args.connect_timeout_ms },
		{ "first_byte_timeout_ms", &o->args.first_byte_timeout_ms }, { "idle_timeout_ms", &o->args.idle_timeout_ms },
		{ "total_timeout_ms", &o->args.total_timeout_ms }, { "max_body", &max_body }, { "timeout_ms", &o->timeout_ms },
		{ "deadline_ms", &o->deadline_ms }, { "pause_head", &o->pause_head }, { "pause_every", &o->pause_every },
		{ "pause_ms", &o->pause_ms }, { "done_at", &o->done_at }, { "cancel_after_ms", &o->cancel_after_ms }, { "show", &o->show },
	};
	const struct { const char *name; bool *to; } flags[] = { { "sink", &o->sink }, { "relay", &o->relay } };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (ch_json_eq(key, texts[i].name))
			return text(r, texts[i].to);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!ch_json_eq(key, numbers[i].name))
			continue;
		if (r->tok.type != CH_JSON_NUMBER || !ch_json_int(&r->tok, INT64_MIN, INT64_MAX, numbers[i].to))
			return bad(r, "an integer was expected");
		if (max_body)
			o->args.max_body = (uint64_t)max_body;
		return true;
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!ch_json_eq(key, flags[i].name))
			continue;
		*flags[i].to = r->tok.type == CH_JSON_TRUE;
		return r->tok.type == CH_JSON_TRUE || r->tok.type == CH_JSON_FALSE || bad(r, "true or false was expected");
	}
	return ch_json_eq(key, "headers") ? headers(r) : bad(r, "there is no such member: see the head of t_fetch.c");
}

/* NULL: *o is filled; else what is wrong. */
static const char *describe(struct ch_ctx *c, struct order *o)
{
	struct ch_str body = ch_body(c);
	struct reader r = { .c = c, .o = o };

	*o = (struct order){ .args = { .size = sizeof(o->args), .method = CH_STR("GET") }, .done_at = -1, .cancel_after_ms = -1, .show = 4096 };
	ch_json_init(&r.j, body.p, body.n, 8, 4096);
	if (!next(&r) || r.tok.type != CH_JSON_OBJECT)
		return "one JSON object was expected";
	while (next(&r) && r.tok.type == CH_JSON_KEY) {
		struct ch_json_tok key = r.tok;

		if (!next(&r) || !member(&r, &key))
			return ch_print(c, "%.*s: %s", (int)key.len, key.s, r.fault);
	}
	if (r.fault || !next(&r))
		return r.fault;
	if (o->body_bytes > 0) {
		char *p = ch_alloc(c, (size_t)o->body_bytes);

		if (!p)
			return "body_bytes: more than the request's memory holds";
		memset(p, 'x', (size_t)o->body_bytes);
		o->args.body = (struct ch_str){ p, (size_t)o->body_bytes };
	}
	o->sink = o->sink || o->relay;
	return o->show < 0 ? "show: from 0" : NULL;
}

/* ---- the answer ---- */

static void gather(struct fetch *f, const char *p, size_t n)
{
	if (f->text && f->got < (uint64_t)f->o.show) {
		size_t room = (size_t)((uint64_t)f->o.show - f->got);

		memcpy(f->text + f->got, p, n < room ? n : room);
	}
	f->got += n;
	f->crc = ~f->crc;
	for (size_t i = 0; i < n; i++) {
		f->crc ^= (unsigned char)p[i];
		for (int k = 0; k < 8; k++)
			f->crc = f->crc >> 1 ^ (f->crc & 1 ? 0xedb88320 : 0);
	}
	f->crc = ~f->crc;
}

static void broken(struct fetch *f, const char *rule)
{
	ch_add(f->state->wrong, 1);
	if (f->nwrong < WRONGS)
		f->wrong[f->nwrong++] = rule;
}

static void time_of(struct ch_jw *w, const char *name, const struct fetch *f, int64_t at)
{
	ch_jw_key(w, name);
	ch_jw_int(w, at ? at - f->began : -1);
}

static void number(struct ch_jw *w, const char *name, int64_t v)
{
	ch_jw_key(w, name);
	ch_jw_int(w, v);
}

static void write_result(struct ch_jw *w, struct fetch *f)
{
	const struct ch_http_result *r = &f->out;

	number(w, "rc", f->rc);
	number(w, "error", r->error);
	ch_jw_key(w, "error_name");
	ch_jw_cstr(w, r->error >= 0 && r->error < NAMES ? names[r->error] : NULL);
	ch_jw_key(w, "detail");
	ch_jw_cstr(w, r->detail);
	number(w, "status", r->status);
	number(w, "version", r->version);
	ch_jw_key(w, "sent");
	ch_jw_bool(w, r->sent);
	ch_jw_key(w, "reused");
	ch_jw_bool(w, r->reused);
	number(w, "body_bytes", (int64_t)r->body_bytes);
	ch_jw_key(w, "fields");
	ch_jw_array(w);
	for (size_t i = 0; i < r->nfields; i++) {
		ch_jw_array(w);
		ch_jw_string(w, r->fields[i].name.p, r->fields[i].name.n);
		ch_jw_string(w, r->fields[i].value.p, r->fields[i].value.n);
		ch_jw_array_end(w);
	}
	ch_jw_array_end(w);
	time_of(w, "connected_us", f, r->connected);
	time_of(w, "first_byte_us", f, r->first_byte);
	time_of(w, "ended_us", f, r->ended);
}

static void write_sink(struct ch_jw *w, struct fetch *f)
{
	size_t shown = f->got < (uint64_t)f->o.show ? (size_t)f->got : (size_t)f->o.show;

	number(w, "body_n", (int64_t)f->got);
	ch_jw_key(w, "body");
	ch_jw_string(w, f->text, shown);
	number(w, "crc32", f->crc);
	number(w, "elapsed_us", f->elapsed);
	number(w, "resumed", f->resumed);
	ch_jw_key(w, "why");
	ch_jw_cstr(w, f->why);
	number(w, "heads", f->heads);
	number(w, "pieces", f->pieces);
	number(w, "pauses", f->pauses);
	ch_jw_key(w, "sizes");
	ch_jw_array(w);
	for (unsigned i = 0; i < f->pieces && i < SIZES; i++)
		ch_jw_int(w, f->sizes[i]);
	ch_jw_array_end(w);
	ch_jw_key(w, "wrong");
	ch_jw_array(w);
	for (unsigned i = 0; i < f->nwrong; i++)
		ch_jw_cstr(w, f->wrong[i]);
	ch_jw_array_end(w);
}

/* What must hold whenever a call has ended. */
static void judge(struct fetch *f)
{
	const struct ch_http_result *r = &f->out;

	if (r->error < 0 || r->error >= NAMES)
		broken(f, "out->error is none of enum ch_http_error");
	if (!!r->error != !!r->detail)
		broken(f, "out->detail belongs to an error, and to every error");
	if (r->call)
		broken(f, "out->call is NULL when the call has ended");
	if (!r->ended)
		broken(f, "out->ended is filled when the call has ended");
	if (r->body_bytes != (f->o.sink ? f->got : r->body.n) && !r->error)
		broken(f, "out->body_bytes counts what was delivered");
	if (f->o.sink && r->body.n)
		broken(f, "out->body is empty with a sink");
	if (r->size != sizeof(*r))
		broken(f, "out->size is the caller's");
}

static int finish(struct fetch *f)
{
	struct ch_jw w;

	f->over = true;
	f->elapsed = ch_now() - f->began;
	ch_timer_free(f->go_timer);
	ch_timer_free(f->cancel_timer);
	ch_on_writable(f->c, NULL, NULL);
	ch_add(f->state->running, -1);
	if (f->out.error >= 0 && f->out.error < NAMES)
		ch_add(f->state->ended[f->out.error], 1);
	judge(f);
	if (f->begun || (f->o.relay && !f->out.error && (f->begun = ch_begin(f->c, f->out.status) == CH_OK))) {
		if (f->out.error)
			ch_abort(f->c);
		else
			ch_end(f->c);
		return CH_DONE;
	}
	if (!f->o.sink && f->out.body.n)
		gather(f, f->out.body.p, f->out.body.n);
	ch_jw_ctx(&w, f->c, 4096 + (size_t)(f->got < (uint64_t)f->o.show ? f->got : (uint64_t)f->o.show) * 2);
	ch_jw_object(&w);
	write_result(&w, f);
	write_sink(&w, f);
	ch_jw_object_end(&w);
	if (w.failed)
		return ch_refuse(f->c, CH_E_OVERLOADED, 0, "the answer does not fit into the request's memory");
	return ch_respond(f->c, 200, NULL, w.buf, w.len);
}

/* ---- the call ---- */

static const struct ch_http_v1 *vt(const struct fetch *f)
{
	return f->svc->vt;
}

static void on_go(void *data)
{
	struct fetch *f = data;

	f->paused = false;
	vt(f)->go_on(f->svc, f->c, &f->out);
}

static void on_cancel(void *data)
{
	struct fetch *f = data;

	vt(f)->cancel(f->svc, f->c, &f->out);
}

static int pause_for(struct fetch *f, int64_t ms)
{
	f->paused = true;
	f->pauses++;
	if (ms >= 0)
		ch_timer_set(f->go_timer, ms);
	return CH_AGAIN;
}

static void look(struct fetch *f)
{
	if (!f->returned)
		broken(f, "nothing is called back inside request");
	if (f->over)
		broken(f, "nothing is called back after the ticket was resumed");
	if (f->paused)
		broken(f, "nothing is called back between AGAIN and go_on");
}

static int on_head(struct ch_ctx *c, void *arg, const struct ch_http_result *out)
{
	struct fetch *f = arg;

	look(f);
	if (c != f->c || out != &f->out || out->status < 200)
		broken(f, "head gets the ctx, and *out with its status");
	if (f->heads++ || f->pieces)
		broken(f, "head is called once, before the first piece");
	if (f->o.cancel_in.n == 4 && !memcmp(f->o.cancel_in.p, "head", 4))
		on_cancel(f);
	if (f->o.done_at == 0)
		return CH_DONE;
	return f->o.pause_head ? pause_for(f, f->o.pause_head) : CH_OK;
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct fetch *f = arg;

	look(f);
	if (c != f->c || !n)
		broken(f, "data gets the ctx, and at least one byte");
	if (f->heads != 1)
		broken(f, "data comes behind the head");
	if (f->pieces < SIZES)
		f->sizes[f->pieces] = (uint32_t)n;
	f->pieces++;
	gather(f, p, n);
	if (f->o.cancel_in.n == 4 && !memcmp(f->o.cancel_in.p, "data", 4))
		on_cancel(f);
	if (f->o.relay) {
		int rc;

		f->begun = f->begun || ch_begin(c, f->out.status) == CH_OK;
		rc = f->begun ? ch_write(c, p, n, NULL, NULL) : CH_ERROR;
		if (rc != CH_OK && rc != CH_AGAIN)
			return CH_DONE;
		return rc == CH_AGAIN ? pause_for(f, -1) : CH_OK;
	}
	if (f->o.done_at >= 0 && f->got >= (uint64_t)f->o.done_at)
		return CH_DONE;
	if (f->o.pause_every > 0 && f->got >= f->next_pause) {
		f->next_pause = f->got + (uint64_t)f->o.pause_every;
		return pause_for(f, f->o.pause_ms);
	}
	return CH_OK;
}

static void on_writable(void *data)
{
	struct fetch *f = data;

	if (f->paused)
		on_go(f);
}

static int on_fetched(struct ch_ctx *c, void *data, int why, void *result)
{
	struct fetch *f = data;
	int rc;

	f->resumed++;
	f->why = why == CH_READY ? "ready" : why == CH_TIMEOUT ? "timeout" : "gone";
	if (result)
		broken(f, "the ticket's result is NULL");
	if (why != CH_READY) {
		vt(f)->cancel(f->svc, c, &f->out);
		vt(f)->cancel(f->svc, c, &f->out); /* idempotent */
	}
	rc = finish(f);
	return why == CH_GONE ? CH_DONE : rc;
}

static int post_fetch(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_fetch_conf *conf = self->conf;
	struct fetch *f = ch_alloc(c, sizeof(*f));
	struct ch_http_sink sink = { .size = sizeof(sink), .head = on_head, .data = on_data, .arg = f };
	const char *fault = f ? describe(c, &f->o) : "no memory is left";

	if (fault)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", fault);
	f->state = self->state;
	f->svc = conf->http;
	f->c = c;
	f->out.size = sizeof(f->out);
	f->next_pause = (uint64_t)f->o.pause_every;
	f->text = ch_alloc(c, (size_t)f->o.show + 1);
	f->go_timer = ch_timer(ch_loop(c), on_go, f);
	f->cancel_timer = ch_timer(ch_loop(c), on_cancel, f);
	f->ticket = ch_suspend(c, f->o.timeout_ms, on_fetched, f);
	if (!f->text || !f->go_timer || !f->cancel_timer || !f->ticket) {
		ch_timer_free(f->go_timer);
		ch_timer_free(f->cancel_timer);
		ch_unsuspend(f->ticket);
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory is left");
	}
	if (f->o.deadline_ms > 0)
		ch_deadline_set(c, ch_now() + f->o.deadline_ms * 1000);
	if (f->o.relay)
		ch_on_writable(c, on_writable, f);
	ch_add(f->state->running, 1);
	f->began = ch_now();
	f->rc = vt(f)->request(f->svc, c, &f->o.args, f->o.sink ? &sink : NULL, &f->out, f->ticket);
	memset(&sink, 0, sizeof(sink)); /* it was copied */
	f->returned = true;
	if (f->rc != CH_AGAIN) {
		ch_unsuspend(f->ticket);
		if (f->rc == CH_OK && !f->out.error)
			broken(f, "CH_OK means that *out holds an error");
		return finish(f);
	}
	if (f->o.cancel_after_ms == 0)
		on_cancel(f);
	else if (f->o.cancel_after_ms > 0)
		ch_timer_set(f->cancel_timer, f->o.cancel_after_ms);
	return CH_AGAIN;
}

/* ---- tables ---- */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_fetch_state *state = self->state;

	(void)prev;
	state->running = ch_series(self, M_RUNNING, NULL);
	state->wrong = ch_series(self, M_WRONG, NULL);
	for (int i = 0; i < NAMES; i++)
		state->ended[i] = ch_series(self, M_ENDED, &names[i]);
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_fetch_conf, http, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "http/1", .help = "Who makes the calls"),
};

static const struct ch_metric metrics[] = {
	[M_RUNNING] = { .name = "t_fetch_running", .kind = CH_GAUGE, .help = "Calls under way." },
	[M_ENDED] = { .name = "t_fetch_ended_total", .kind = CH_COUNTER, .labels = { { "error", CH_L_FIXED, names } }, .help = "Calls ended." },
	[M_WRONG] = { .name = "t_fetch_wrong_total", .kind = CH_COUNTER, .help = "Rules of http/1 that the provider broke." },
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/t/fetch", .body = CH_BODY_BUFFER, .fn = post_fetch, .summary = "Makes a call of http/1" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_fetch",
	.version = "0.1",
	.summary = "Test: calls of http/1",
	.conf_size = sizeof(struct t_fetch_conf),
	.state_size = sizeof(struct t_fetch_state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.start = start,
};

CH_PLUGIN(t_fetch, plugin)
