/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_sql.c - a test plugin: makes a call of "sql/1" from a description and tells what came of it. [t_sql] sql = an instance id.
 *
 * POST /t/sql with one JSON object:
 *
 *   statements         [{"text": "SELECT $1", "values": [["int", 5], …], "want": 1}, …]; values: a type (int real bool text blob time uuid)
 *                      and null, a number, true, false, or a text, which is hex digits for blob and uuid, "nan" or "inf" for real, and
 *                      for "text*" a piece and how often it is repeated: ["text*", "a\u0000b", 1000]
 *   rows               false: rows are not wanted; show: how many of them are repeated in the answer, 1000
 *   timeout_ms, max_bytes          as in struct ch_sql_args
 *   deadline_ms        of the ctx, from now; 0: none
 *   cancel_after_ms    cancel is called so long after run returned; 0: right behind it; -1: never
 *
 * The answer, always 200 and one object: rc (what run returned: 0 CH_OK, 2 CH_AGAIN, -1 CH_ERROR), error ("ok", "busy", …), detail, at,
 * value, constraint, counts ([n, …] or null), nrows, rows ([[statement, [["int", 5], ["text", null], …]], …]; blob and uuid as hex),
 * elapsed_us, why ("ready", "timeout", "gone", or null after rc 0), wrong (a rule that the provider broke, or null), engine, up.
 *
 * Threads and ownership: everything on the request's loop, in its ctx.
 */
#include <math.h>
#include <stdlib.h>

#include <chimera/json.h>
#include <chimera/kit/db.h>
#include <chimera/sql.h>

struct t_sql_conf {
	const struct ch_svc *sql;
};

struct call {
	const struct ch_svc *svc;
	struct ch_ctx *c;
	struct ch_json j;
	struct ch_json_tok tok;
	const char *fault;
	struct ch_sql_statement statements[CH_SQL_STATEMENTS_MAX + 1];
	struct ch_sql_args args;
	int64_t deadline_ms, cancel_after_ms, show, nrows;
	struct ch_sql_result out;
	struct ch_timer *timer;
	struct ch_jw rows;
	ch_ticket ticket;
	int64_t began, elapsed;
	int rc;
	bool over;
	const char *why, *wrong;
};

static const char *const types[] = { [CH_V_INT] = "int", [CH_V_REAL] = "real", [CH_V_BOOL] = "bool", [CH_V_TEXT] = "text",
	[CH_V_BLOB] = "blob", [CH_V_TIME] = "time", [CH_V_UUID] = "uuid" };

static const struct ch_sql_v1 *vt(const struct call *k)
{
	return k->svc->vt;
}

/* ---- the description ---- */

static bool bad(struct call *k, const char *fault)
{
	if (!k->fault)
		k->fault = fault;
	return false;
}

static bool next(struct call *k)
{
	return ch_json_next(&k->j, &k->tok) != CH_JSON_ERROR || bad(k, k->j.error);
}

static bool text(struct call *k, struct ch_str *out)
{
	char *copy = k->tok.type == CH_JSON_STRING ? ch_alloc(k->c, k->tok.len + 1) : NULL;

	if (!copy)
		return bad(k, "a string was expected, or no memory is left");
	*out = (struct ch_str){ copy, ch_json_unescape(&k->tok, copy) };
	return true;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: hex digits, dashes passed over. */
static size_t unhex(char *p, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i + 1 < n; i++)
		if (digit(p[i]) >= 0 && digit(p[i + 1]) >= 0) {
			p[out++] = (char)(digit(p[i]) << 4 | digit(p[i + 1]));
			i++;
		}
	return out;
}

static bool repeated(struct call *k, struct ch_str piece, struct ch_value *v)
{
	int64_t times;
	char *p;

	if (!next(k) || k->tok.type != CH_JSON_NUMBER || !ch_json_int(&k->tok, 0, 1 << 24, &times))
		return bad(k, "how often it is repeated was expected");
	p = ch_alloc(k->c, piece.n * (size_t)times + 1);
	if (!p)
		return bad(k, "no memory is left for the text");
	for (int64_t i = 0; i < times; i++)
		memcpy(p + i * (int64_t)piece.n, piece.p, piece.n);
	*v = ch_v_bytes(CH_V_TEXT, p, piece.n * (size_t)times);
	return true;
}

static bool string_value(struct call *k, int type, bool times, struct ch_value *v)
{
	struct ch_str s;

	if (!text(k, &s))
		return false;
	if (times)
		return repeated(k, s, v);
	if (type == CH_V_BLOB || type == CH_V_UUID)
		s.n = unhex((char *)(uintptr_t)s.p, s.n);
	if (type == CH_V_UUID && s.n != 16)
		return bad(k, "an id of 16 bytes was expected");
	if (type == CH_V_UUID)
		*v = ch_v_uuid((const unsigned char *)s.p);
	else if (type == CH_V_REAL)
		*v = ch_v_real(*s.p == 'n' ? NAN : *s.p == '-' ? -INFINITY : INFINITY);
	else
		*v = ch_v_bytes(type, s.p, s.n);
	return true;
}

static bool read_value(struct call *k, struct ch_value *v)
{
	struct ch_str name;
	int type = 0;
	bool times;

	if (!next(k) || !text(k, &name))
		return false;
	times = name.n && name.p[name.n - 1] == '*';
	for (int i = CH_V_INT; i <= CH_V_UUID; i++)
		if (strlen(types[i]) == name.n - times && !memcmp(types[i], name.p, name.n - times))
			type = i;
	if (!type || !next(k))
		return bad(k, "there is no such type");
	*v = ch_v_null(type);
	if (k->tok.type == CH_JSON_TRUE || k->tok.type == CH_JSON_FALSE) {
		*v = ch_v_of(type, k->tok.type == CH_JSON_TRUE);
	} else if (k->tok.type == CH_JSON_NUMBER) {
		v->null = 0;
		if (type == CH_V_REAL ? !ch_json_double(&k->tok, &v->u.d) : !ch_json_int(&k->tok, INT64_MIN, INT64_MAX, &v->u.i))
			return bad(k, "a number was expected");
	} else if (k->tok.type != CH_JSON_NULL && !string_value(k, type, times, v)) {
		return false;
	}
	return (next(k) && k->tok.type == CH_JSON_ARRAY_END) || bad(k, "a pair was expected");
}

static bool read_values(struct call *k, struct ch_sql_statement *s)
{
	struct ch_value *values = ch_alloc(k->c, (CH_SQL_VALUES_MAX + 1) * sizeof(*values));

	s->values = values;
	while (values && next(k) && k->tok.type == CH_JSON_ARRAY && s->nvalues <= CH_SQL_VALUES_MAX)
		if (!read_value(k, &values[s->nvalues++]))
			return false;
	return k->tok.type == CH_JSON_ARRAY_END || bad(k, "a list of pairs was expected, of 100 at most");
}

static bool read_statement(struct call *k, struct ch_sql_statement *s)
{
	struct ch_str t;

	*s = (struct ch_sql_statement){ .want = CH_SQL_ANY };
	while (next(k) && k->tok.type == CH_JSON_KEY) {
		struct ch_json_tok key = k->tok;

		if (!next(k))
			return false;
		if (ch_json_eq(&key, "text") && text(k, &t))
			s->text = t.p;
		else if (ch_json_eq(&key, "values") && k->tok.type == CH_JSON_ARRAY && read_values(k, s))
			continue;
		else if (!ch_json_eq(&key, "want") || k->tok.type != CH_JSON_NUMBER || !ch_json_int(&k->tok, -1, INT64_MAX, &s->want))
			return bad(k, "a statement has text, values and want");
	}
	return k->tok.type == CH_JSON_OBJECT_END;
}

static bool read_statements(struct call *k)
{
	size_t n = 0;

	while (next(k) && k->tok.type == CH_JSON_OBJECT && n <= CH_SQL_STATEMENTS_MAX)
		if (!read_statement(k, &k->statements[n++]))
			return bad(k, "a statement was expected");
	k->args.statements = (struct ch_table)CH_SQL(k->statements, n);
	return k->tok.type == CH_JSON_ARRAY_END || bad(k, "a list of statements was expected");
}

static int on_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n);

static bool member(struct call *k, const struct ch_json_tok *key)
{
	int64_t max_bytes = 0;
	const struct { const char *name; int64_t *to; } numbers[] = {
		{ "timeout_ms", &k->args.timeout_ms }, { "deadline_ms", &k->deadline_ms }, { "cancel_after_ms", &k->cancel_after_ms },
		{ "show", &k->show }, { "max_bytes", &max_bytes },
	};

	if (ch_json_eq(key, "statements"))
		return k->tok.type == CH_JSON_ARRAY && read_statements(k);
	if (ch_json_eq(key, "rows")) {
		k->args.row = k->tok.type == CH_JSON_TRUE ? on_row : NULL;
		return true;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!ch_json_eq(key, numbers[i].name))
			continue;
		if (k->tok.type != CH_JSON_NUMBER || !ch_json_int(&k->tok, INT64_MIN, INT64_MAX, numbers[i].to))
			return bad(k, "a whole number was expected");
		if (max_bytes)
			k->args.max_bytes = (size_t)max_bytes;
		return true;
	}
	return bad(k, "there is no such member: see the head of t_sql.c");
}

/* NULL: it is read; else what is wrong. */
static const char *describe(struct call *k)
{
	struct ch_str body = ch_body(k->c);

	ch_json_init(&k->j, body.p, body.n, 8, 0);
	if (!next(k) || k->tok.type != CH_JSON_OBJECT)
		return "one JSON object was expected";
	while (next(k) && k->tok.type == CH_JSON_KEY) {
		struct ch_json_tok key = k->tok;

		if (!next(k) || !member(k, &key))
			return ch_print(k->c, "%.*s: %s", (int)key.len, key.s, k->fault ? k->fault : "not as it should be");
	}
	return k->fault;
}

/* ---- the answer ---- */

static void write_hex(struct ch_jw *w, const unsigned char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	char *t = malloc(2 * n + 1);

	for (size_t i = 0; t && i < n; i++) {
		t[2 * i] = hex[p[i] >> 4];
		t[2 * i + 1] = hex[p[i] & 15];
	}
	ch_jw_string(w, t ? t : "", t ? 2 * n : 0);
	free(t);
}

static void write_value(struct ch_jw *w, const struct ch_value *v)
{
	ch_jw_array(w);
	ch_jw_cstr(w, v->type >= CH_V_INT && v->type <= CH_V_UUID ? types[v->type] : "none");
	if (v->null)
		ch_jw_null(w);
	else if (v->type == CH_V_REAL)
		ch_jw_double(w, v->u.d);
	else if (v->type == CH_V_TEXT)
		ch_jw_string(w, v->u.s.p, v->u.s.n);
	else if (v->type == CH_V_BLOB)
		write_hex(w, (const unsigned char *)v->u.s.p, v->u.s.n);
	else if (v->type == CH_V_UUID)
		write_hex(w, v->u.uuid, 16);
	else
		ch_jw_int(w, v->u.i);
	ch_jw_array_end(w);
}

static int on_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n)
{
	struct call *k = arg;

	if (c != k->c || k->over || k->rc != CH_AGAIN)
		k->wrong = "row is called with the ctx, behind run and before the ticket is resumed";
	if (k->nrows++ >= k->show)
		return CH_OK;
	ch_jw_array(&k->rows);
	ch_jw_uint(&k->rows, statement);
	ch_jw_array(&k->rows);
	for (size_t i = 0; i < n; i++)
		write_value(&k->rows, &row[i]);
	ch_jw_array_end(&k->rows);
	ch_jw_array_end(&k->rows);
	return CH_OK;
}

static void number(struct ch_jw *w, const char *name, int64_t v)
{
	ch_jw_key(w, name);
	ch_jw_int(w, v);
}

static void word(struct ch_jw *w, const char *name, const char *v)
{
	ch_jw_key(w, name);
	ch_jw_cstr(w, v);
}

static void judge(struct call *k)
{
	const struct ch_sql_result *r = &k->out;

	if (r->error < 0 || r->error > CH_SQL_CANCELLED)
		k->wrong = "out->error is one of enum ch_sql_error";
	else if (!r->detail != !r->error)
		k->wrong = "out->detail belongs to an error";
	else if (!r->counts == !r->error)
		k->wrong = "out->counts belongs to success";
	else if (r->error && k->nrows)
		k->wrong = "rows are given only when all went well";
	else if (r->call)
		k->wrong = "out->call is NULL when the call has ended";
}

static int tell(struct call *k)
{
	const struct ch_sql_result *r = &k->out;
	struct ch_sql_about about = { .size = sizeof(about) };
	struct ch_jw w;
	int rc;

	judge(k);
	vt(k)->about(k->svc, &about);
	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	ch_jw_object(&w);
	number(&w, "rc", k->rc);
	word(&w, "error", ch_db_error_name(r->error));
	word(&w, "detail", r->detail);
	number(&w, "at", (int64_t)r->at);
	number(&w, "value", (int64_t)r->value);
	word(&w, "constraint", r->constraint);
	ch_jw_key(&w, "counts");
	if (r->counts)
		ch_jw_array(&w);
	else
		ch_jw_null(&w);
	for (size_t i = 0; r->counts && i < k->args.statements.n; i++)
		ch_jw_uint(&w, r->counts[i]);
	if (r->counts)
		ch_jw_array_end(&w);
	number(&w, "nrows", k->nrows);
	ch_jw_key(&w, "rows");
	ch_jw_array_end(&k->rows);
	ch_jw_raw(&w, k->rows.buf, k->rows.len);
	number(&w, "elapsed_us", k->elapsed);
	word(&w, "why", k->why);
	word(&w, "wrong", k->wrong);
	word(&w, "engine", about.engine);
	ch_jw_key(&w, "up");
	ch_jw_bool(&w, about.up);
	ch_jw_object_end(&w);
	rc = w.failed || k->rows.failed ? CH_ERROR : ch_respond(k->c, 200, NULL, w.buf, w.len);
	free(w.buf);
	return rc == CH_ERROR ? ch_refuse(k->c, CH_E_OVERLOADED, 0, "the answer does not fit into memory") : rc;
}

static int finish(struct call *k)
{
	k->over = true;
	k->elapsed = ch_now() - k->began;
	return tell(k);
}

/* ---- the call ---- */

static void give_up(void *data)
{
	struct call *k = data;

	vt(k)->cancel(k->svc, k->c, &k->out);
}

static void let_go(void *data)
{
	struct call *k = data;

	ch_timer_free(k->timer);
	free(k->rows.buf);
}

static int on_done(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;

	(void)c;
	k->why = why == CH_READY ? "ready" : why == CH_TIMEOUT ? "timeout" : "gone";
	if (result)
		k->wrong = "the ticket is resumed with NULL";
	if (why == CH_READY)
		return finish(k);
	give_up(k);
	return CH_DONE;
}

static int run(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_sql_conf *conf = self->conf;
	struct call *k = ch_alloc(c, sizeof(*k));
	const char *fault;

	if (!k || !ch_keep(c, let_go, k))
		return CH_ERROR;
	*k = (struct call){ .svc = conf->sql, .c = c, .cancel_after_ms = -1, .show = 1000,
		.args = { .size = sizeof(k->args), .row = on_row, .arg = k }, .out = { .size = sizeof(k->out) } };
	ch_jw_init(&k->rows, NULL, 0);
	k->rows.grow = ch_jw_heap;
	ch_jw_array(&k->rows);
	fault = describe(k);
	if (fault)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", fault);
	k->began = ch_now();
	if (k->deadline_ms)
		ch_deadline_set(c, k->began + k->deadline_ms * 1000);
	k->ticket = ch_suspend(c, 0, on_done, k);
	k->rc = CH_AGAIN;
	k->rc = vt(k)->run(k->svc, c, &k->args, &k->out, k->ticket);
	if (k->rc != CH_AGAIN) {
		ch_unsuspend(k->ticket);
		return finish(k);
	}
	if (k->cancel_after_ms == 0)
		give_up(k);
	if (k->cancel_after_ms > 0) {
		k->timer = ch_timer(ch_loop(c), give_up, k);
		ch_timer_set(k->timer, k->cancel_after_ms);
	}
	return CH_AGAIN;
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct t_sql_conf, sql, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "sql/1",
		.help = "The provider that is called"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/t/sql", .body = CH_BODY_BUFFER, .max_body = 64 << 20, .fn = run, .summary = "A call of sql/1" },
};

static const struct ch_plugin t_sql = {
	.size = sizeof(t_sql),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_sql",
	.version = "0.1",
	.summary = "Calls of sql/1, for tests",
	.conf_size = sizeof(struct t_sql_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_sql, t_sql)
