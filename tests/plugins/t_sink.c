/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_sink.c - a test plugin: makes a call of "sink/1" from a description and tells what came of it. [t_sink] sink = an instance id.
 *
 * POST /t/sink with one JSON object, members in this order where they need each other:
 *
 *   op                 "append", "find", "expire", "about"
 *   table, columns     "ingestion_records", [["row_id", "uuid"], ["time", "time"], ["note", "text?"], …]; types int real bool text blob
 *                      time uuid, with a question mark: may be null
 *   batch, again       append: "00112233-…", and whether it may have been sent before
 *   rows               append: [[value, …], …]: null, numbers, true and false, texts, {"hex": "00ff"} for bytes of any kind
 *   make               in place of rows: so many, made up; `seed` (before it) makes others, `from` (before it) is the first one's time
 *   column, value      find: which column, from 0, and what it must be; `limit`: 1000
 *   before             expire
 *   timeout_ms         of the call; 0: the provider's own. deadline_ms: of the ctx, from now; 0: none
 *   cancel_after_ms    cancel is called so long after; -1: never
 *
 * The answer, always 200 and one object: rc, outcome ("done", "retry", "refused", null), detail, retry_ms, rows, refused: [[row, why], …],
 * found: rows as above, elapsed_us; why: "ready", "timeout", "gone", or null after rc 0; wrong: rules that the provider broke. Of about:
 * rows, bytes, age_ms.
 *
 * Threads and ownership: everything on the request's loop, in its ctx, but for values, which are many: they are freed with it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <chimera/json.h>
#include <chimera/sink.h>

enum { COLUMNS_MAX = 64 };

struct t_sink_conf {
	const struct ch_svc *sink;
};

struct call {
	const struct ch_svc *svc;
	struct ch_ctx *c;
	struct ch_json j;
	struct ch_json_tok tok;
	const char *fault;
	/* the description */
	char op[8];
	struct ch_column columns[COLUMNS_MAX];
	struct ch_relation table;
	struct ch_sink_batch batch;
	struct ch_sink_find find;
	struct ch_value *values;
	size_t nvalues, cap;
	int64_t before, deadline_ms, cancel_after_ms, seed, from;
	/* what came of it */
	struct ch_sink_result out;
	struct ch_timer *timer;
	struct ch_jw found;
	ch_ticket ticket;
	int64_t began, elapsed;
	int rc;
	bool over;
	const char *why, *wrong;
};

static const char *const types[] = { [CH_V_INT] = "int", [CH_V_REAL] = "real", [CH_V_BOOL] = "bool", [CH_V_TEXT] = "text",
	[CH_V_BLOB] = "blob", [CH_V_TIME] = "time", [CH_V_UUID] = "uuid" };

static const struct ch_sink_v1 *vt(const struct call *k)
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

/* Hex digits, dashes passed over; how many bytes. */
static size_t unhex(struct ch_str s, unsigned char *out, size_t most)
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < s.n && n < most; i++)
		if (digit(s.p[i]) >= 0 && digit(s.p[i + 1]) >= 0) {
			out[n++] = (unsigned char)(digit(s.p[i]) << 4 | digit(s.p[i + 1]));
			i++;
		}
	return n;
}

static bool bytes(struct call *k, struct ch_str *out)
{
	struct ch_str hex;
	unsigned char *p;

	if (!next(k) || k->tok.type != CH_JSON_KEY || !next(k) || !text(k, &hex))
		return bad(k, "{\"hex\": \"00ff\"} was expected");
	p = ch_alloc(k->c, hex.n / 2 + 1);
	if (!p || !next(k) || k->tok.type != CH_JSON_OBJECT_END)
		return bad(k, "no memory, or more than one member");
	*out = (struct ch_str){ (char *)p, unhex(hex, p, hex.n / 2) };
	return true;
}

/* The value at k->tok for a column of that type. What does not fit its type is made all the same: sinks must refuse it. */
static bool value(struct call *k, int type, struct ch_value *v)
{
	struct ch_str s;

	*v = ch_v_null(type);
	switch (k->tok.type) {
	case CH_JSON_NULL:
		return true;
	case CH_JSON_TRUE: case CH_JSON_FALSE:
		*v = ch_v_of(type, k->tok.type == CH_JSON_TRUE);
		return true;
	case CH_JSON_NUMBER:
		v->null = 0;
		if (type == CH_V_REAL)
			return ch_json_double(&k->tok, &v->u.d) || bad(k, "a number was expected");
		return ch_json_int(&k->tok, INT64_MIN, INT64_MAX, &v->u.i) || bad(k, "a whole number was expected");
	case CH_JSON_OBJECT:
		if (!bytes(k, &s))
			return false;
		*v = ch_v_bytes(type, s.p, s.n);
		return true;
	default:
		if (!text(k, &s))
			return false;
		*v = ch_v_bytes(type, s.p, s.n);
		if (type == CH_V_UUID && unhex(s, v->u.uuid, 16) != 16)
			return bad(k, "an id of 16 bytes was expected");
		if (type == CH_V_REAL)
			v->u.d = s.n && *s.p == 'n' ? NAN : INFINITY;
		return true;
	}
}

static bool read_columns(struct call *k)
{
	size_t n = 0;

	while (next(k) && k->tok.type == CH_JSON_ARRAY && n < COLUMNS_MAX) {
		struct ch_str name, type;

		if (!next(k) || !text(k, &name) || !next(k) || !text(k, &type) || !next(k))
			return false;
		k->columns[n] = (struct ch_column){ .name = ch_dup(k->c, name.p, name.n) };
		if (type.n && type.p[type.n - 1] == '?') {
			k->columns[n].flags = CH_COLUMN_NULL;
			type.n--;
		}
		for (int i = CH_V_INT; i <= CH_V_UUID; i++)
			if (strlen(types[i]) == type.n && !memcmp(types[i], type.p, type.n))
				k->columns[n].type = i;
		if (!k->columns[n++].type)
			return bad(k, "there is no such type");
	}
	k->table.columns = (struct ch_table){ k->columns, n, sizeof(k->columns[0]) };
	return k->tok.type == CH_JSON_ARRAY_END;
}

static struct ch_value *more(struct call *k, size_t n)
{
	if (k->nvalues + n > k->cap) {
		size_t cap = (k->nvalues + n) * 2;
		struct ch_value *grown = realloc(k->values, cap * sizeof(*grown));

		if (!grown)
			return NULL;
		k->values = grown;
		k->cap = cap;
	}
	k->nvalues += n;
	return k->values + k->nvalues - n;
}

static bool read_rows(struct call *k)
{
	while (next(k) && k->tok.type == CH_JSON_ARRAY) {
		struct ch_value *row = more(k, k->table.columns.n);

		for (size_t i = 0; i < k->table.columns.n; i++)
			if (!row || !next(k) || !value(k, k->columns[i].type, &row[i]))
				return bad(k, "a row has too few values, or no memory is left");
		if (!next(k) || k->tok.type != CH_JSON_ARRAY_END)
			return bad(k, "a row has too many values");
	}
	return k->tok.type == CH_JSON_ARRAY_END;
}

/* A row like those of a busy gateway: mostly short texts out of few, numbers, some nulls. */
static bool make_row(struct call *k, int64_t at)
{
	struct ch_value *row = more(k, k->table.columns.n);
	uint64_t x = ((uint64_t)k->seed << 32 | (uint64_t)at) + 1;

	for (size_t i = 0; row && i < k->table.columns.n; i++) {
		const struct ch_column *col = &k->columns[i];
		unsigned char id[16];

		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		row[i] = ch_v_of(col->type, (int64_t)(x >> 50));
		if (col->type == CH_V_TIME)
			row[i].u.i = k->from + at * 1000;
		else if (col->type == CH_V_REAL)
			row[i].u.d = (double)(x >> 45) / 1000;
		else if (col->type == CH_V_BOOL)
			row[i].u.i = x >> 63;
		else if (col->type == CH_V_TEXT)
			row[i] = ch_v_text(ch_print(k->c, "%s-%u", col->name, (unsigned)(x >> 32) % (i % 4 ? 7 : 100000)));
		memcpy(id, &x, 8);
		memcpy(id + 8, &at, 8);
		if (col->type == CH_V_UUID)
			row[i] = ch_v_uuid(id);
		if (col->type == CH_V_BLOB)
			row[i] = ch_v_blob("blob", 4);
		if ((col->flags & CH_COLUMN_NULL) && x >> 62 == 0)
			row[i] = ch_v_null(col->type);
	}
	return row;
}

static bool member(struct call *k, const struct ch_json_tok *key)
{
	int64_t column = 0, limit = 0, n = 0;
	struct ch_str s;
	const struct { const char *name; int64_t *to; } numbers[] = {
		{ "timeout_ms", &k->batch.timeout_ms }, { "deadline_ms", &k->deadline_ms }, { "cancel_after_ms", &k->cancel_after_ms },
		{ "before", &k->before }, { "column", &column }, { "limit", &limit }, { "make", &n },
		{ "seed", &k->seed }, { "from", &k->from },
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!ch_json_eq(key, numbers[i].name))
			continue;
		if (k->tok.type != CH_JSON_NUMBER || !ch_json_int(&k->tok, INT64_MIN, INT64_MAX, numbers[i].to))
			return bad(k, "an integer was expected");
		if (numbers[i].to == &column)
			k->find.column = (size_t)column;
		if (limit)
			k->find.limit = (size_t)limit;
		for (int64_t at = 0; at < n; at++)
			if (!make_row(k, at))
				return bad(k, "no memory is left");
		return true;
	}
	if (ch_json_eq(key, "columns"))
		return read_columns(k) || bad(k, "a list of pairs was expected");
	if (ch_json_eq(key, "rows"))
		return read_rows(k) || bad(k, "a list of lists was expected");
	if (ch_json_eq(key, "value"))
		return k->find.column < COLUMNS_MAX && value(k, k->columns[k->find.column].type, &k->find.value);
	if (ch_json_eq(key, "again"))
		return k->batch.again = k->tok.type == CH_JSON_TRUE, true;
	if (!text(k, &s))
		return false;
	if (ch_json_eq(key, "op"))
		snprintf(k->op, sizeof(k->op), "%.*s", (int)s.n, s.p);
	else if (ch_json_eq(key, "table"))
		k->table.name = s.p;
	else if (ch_json_eq(key, "batch"))
		return unhex(s, k->batch.batch_id, 16) == 16 || bad(k, "an id of 16 bytes was expected");
	else
		return bad(k, "there is no such member: see the head of t_sink.c");
	return true;
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
	if (!k->fault && (!k->table.name || !k->table.columns.n) && strcmp(k->op, "about"))
		return "table and columns are missing";
	return k->fault;
}

/* ---- the answer ---- */

static void write_value(struct ch_jw *w, const struct ch_value *v)
{
	static const char hex[] = "0123456789abcdef";
	char id[33];

	if (v->null) {
		ch_jw_null(w);
	} else if (v->type == CH_V_REAL) {
		ch_jw_double(w, v->u.d);
	} else if (v->type == CH_V_TEXT) {
		ch_jw_string(w, v->u.s.p, v->u.s.n);
	} else if (v->type == CH_V_BLOB || v->type == CH_V_UUID) {
		const unsigned char *p = v->type == CH_V_UUID ? v->u.uuid : (const unsigned char *)v->u.s.p;
		size_t n = v->type == CH_V_UUID ? 16 : v->u.s.n;
		char *text = n <= 16 ? id : malloc(2 * n);

		for (size_t i = 0; text && i < n; i++) {
			text[2 * i] = hex[p[i] >> 4];
			text[2 * i + 1] = hex[p[i] & 15];
		}
		ch_jw_string(w, text, text ? 2 * n : 0);
		if (text != id)
			free(text);
	} else {
		ch_jw_int(w, v->u.i);
	}
}

static int on_row(struct ch_ctx *c, void *arg, const struct ch_value *row)
{
	struct call *k = arg;

	if (c != k->c || k->over)
		k->wrong = "row is called with the ctx, before the ticket is resumed";
	ch_jw_array(&k->found);
	for (size_t i = 0; i < k->table.columns.n; i++)
		write_value(&k->found, &row[i]);
	ch_jw_array_end(&k->found);
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

static int tell(struct call *k)
{
	static const char *const outcomes[] = { NULL, "done", "retry", "refused" };
	const struct ch_sink_result *r = &k->out;
	struct ch_jw w;
	int rc;

	if (k->why && *k->why != 'r')
		; /* the ctx's deadline: the provider has been told, and may still hold *out */
	else if (r->outcome < 1 || r->outcome > 3)
		k->wrong = "out->outcome is one of enum ch_sink_outcome";
	else if (!r->detail != (r->outcome == CH_SINK_DONE))
		k->wrong = "out->detail belongs to an outcome that is not DONE";
	else if (r->call)
		k->wrong = "out->call is NULL when the call has ended";
	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	ch_jw_object(&w);
	number(&w, "rc", k->rc);
	word(&w, "outcome", r->outcome < 1 || r->outcome > 3 ? NULL : outcomes[r->outcome]);
	word(&w, "detail", r->detail);
	number(&w, "retry_ms", r->retry_ms);
	number(&w, "rows", (int64_t)r->rows);
	number(&w, "elapsed_us", k->elapsed);
	word(&w, "why", k->why);
	word(&w, "wrong", k->wrong);
	ch_jw_key(&w, "refused");
	ch_jw_array(&w);
	for (size_t i = 0; i < r->refused.n; i++) {
		const struct ch_sink_refusal *f = (const void *)((const char *)r->refused.rows + i * r->refused.row_size);

		ch_jw_array(&w);
		ch_jw_uint(&w, f->row);
		ch_jw_cstr(&w, f->why);
		ch_jw_array_end(&w);
	}
	ch_jw_array_end(&w);
	ch_jw_key(&w, "found");
	ch_jw_array_end(&k->found);
	ch_jw_raw(&w, k->found.buf, k->found.len);
	ch_jw_object_end(&w);
	rc = w.failed || k->found.failed ? CH_ERROR : ch_respond(k->c, 200, NULL, w.buf, w.len);
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

	if (!k->over)
		vt(k)->cancel(k->svc, k->c, &k->out);
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;

	(void)c;
	if (result)
		k->wrong = "the ticket is resumed with NULL";
	k->why = why == CH_READY ? "ready" : why == CH_TIMEOUT ? "timeout" : "gone";
	if (why != CH_READY)
		give_up(k);
	if (why == CH_GONE) {
		k->over = true;
		return CH_DONE;
	}
	return finish(k);
}

static int ask(struct call *k)
{
	k->batch.size = sizeof(k->batch);
	k->batch.table = k->find.table = &k->table;
	k->batch.values = k->values;
	k->batch.nrows = k->table.columns.n ? k->nvalues / k->table.columns.n : 0;
	k->find.size = sizeof(k->find);
	k->find.timeout_ms = k->batch.timeout_ms;
	k->find.row = on_row;
	k->find.arg = k;
	if (!strcmp(k->op, "append"))
		return vt(k)->append(k->svc, k->c, &k->batch, &k->out, k->ticket);
	if (!strcmp(k->op, "find"))
		return vt(k)->find(k->svc, k->c, &k->find, &k->out, k->ticket);
	return vt(k)->expire(k->svc, k->c, &k->table, k->before, &k->out, k->ticket);
}

static int tell_about(struct call *k)
{
	struct ch_sink_about about = { .size = sizeof(about) };
	char *text;

	vt(k)->about(k->svc, &about);
	text = ch_print(k->c, "{\"rows\":%zu,\"bytes\":%zu,\"age_ms\":%lld}", about.rows, about.bytes, (long long)about.age_ms);
	return ch_respond(k->c, 200, NULL, text, strlen(text));
}

static void release(void *data)
{
	struct call *k = data;

	ch_timer_free(k->timer);
	free(k->values);
	free(k->found.buf);
}

static int on_sink(struct ch_self *self, struct ch_ctx *c)
{
	struct call *k = ch_alloc(c, sizeof(*k));
	const char *fault;

	if (!k || !ch_keep(c, release, k))
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
	k->svc = ((const struct t_sink_conf *)self->conf)->sink;
	k->c = c;
	k->cancel_after_ms = -1;
	k->from = ch_wall();
	k->find.limit = 1000;
	k->table.size = sizeof(k->table);
	k->out.size = sizeof(k->out);
	ch_jw_init(&k->found, NULL, 0);
	k->found.grow = ch_jw_heap;
	ch_jw_array(&k->found);
	fault = describe(k);
	if (fault)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", fault);
	if (!strcmp(k->op, "about"))
		return tell_about(k);
	if (k->deadline_ms)
		ch_deadline_set(c, ch_now() + k->deadline_ms * 1000);
	k->timer = ch_timer(ch_loop(c), give_up, k);
	k->began = ch_now();
	k->ticket = ch_suspend(c, 0, on_end, k);
	if (!k->ticket || !k->timer)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
	k->rc = ask(k);
	if (k->rc == CH_AGAIN) {
		if (k->cancel_after_ms >= 0)
			ch_timer_set(k->timer, k->cancel_after_ms);
		return CH_AGAIN;
	}
	ch_unsuspend(k->ticket);
	return finish(k);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_sink_conf, sink, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "sink/1", .help = "Which sink"),
};

static const struct ch_route routes[] = {
	{
		.method = "POST",
		.pattern = "/t/sink",
		.body = CH_BODY_BUFFER,
		.max_body = 64 << 20,
		.fn = on_sink,
		.summary = "A call to a sink",
	},
};

static const struct ch_plugin t_sink = {
	.size = sizeof(t_sink),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_sink",
	.version = "0.1",
	.summary = "Calls a sink as it is told",
	.conf_size = sizeof(struct t_sink_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_sink, t_sink)
