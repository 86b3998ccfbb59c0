/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - a batch to sql/1 with a ticket of its own, and what its errors mean here. */
#include "identity.h"
#include "store.h"

enum { TRIES = 4 }; /* of a batch that others were quicker than */

static const struct ch_svc *svc_of(const struct id_call *k)
{
	return ((const struct identity_conf *)k->self->conf)->store;
}

static const struct ch_sql_v1 *sql_of(const struct id_call *k)
{
	return svc_of(k)->vt;
}

/* ---- gathering ---- */

void *id_call(struct ch_self *self, struct ch_ctx *c, size_t size, size_t statements, size_t values, struct id_result *out,
	ch_ticket ticket)
{
	struct id_call *k = ch_alloc(c, size);
	struct ch_sql_statement *s = ch_alloc(c, (statements + 1) * sizeof(*s));
	struct ch_value *v = ch_alloc(c, (values + 2) * sizeof(*v));

	if (!k || !s || !v) {
		out->error = ID_AWAY;
		out->detail = "The server has no memory for this now; try again later.";
		ch_resume(ticket, NULL, NULL);
		return NULL;
	}
	k->self = self;
	k->c = c;
	k->out = out;
	k->outer = ticket;
	k->statements = s;
	k->values = v;
	k->most = statements + 1;
	k->most_values = values + 2;
	id_clear(k);
	out->call = k;
	return k;
}

void id_clear(struct id_call *k)
{
	k->n = k->nvalues = 0;
	k->raise_at = k->most;
	k->tries = 0;
}

void id_add(struct id_call *k, const char *text, int64_t want, const struct ch_value *values, size_t n)
{
	struct ch_value *v = k->values + k->nvalues;

	if (k->n == k->most || n > k->most_values - k->nvalues) { /* our own mistake: the batch as it is would do something else */
		k->no_memory = true;
		return;
	}
	if (n)
		memcpy(v, values, n * sizeof(*v));
	k->nvalues += n;
	k->statements[k->n++] = (struct ch_sql_statement){ .text = text, .values = v, .nvalues = n, .want = want };
}

void id_raise(struct id_call *k, bool keys, bool tokens)
{
	k->raise_at = k->n;
	id_add(k, "UPDATE identity_revision SET keys = keys + $1, tokens = tokens + $2 WHERE id = 1 RETURNING keys, tokens", 1,
		ID_VALUES(ch_v_int(keys), ch_v_int(tokens)));
}

/* ---- rows ---- */

const char *id_text(struct id_call *k, const struct ch_value *v)
{
	struct ch_str s = ch_v_as_text(v);

	return s.n ? ch_dup(k->c, s.p, s.n) : "";
}

bool id_bytes(struct id_call *k, const struct ch_value *v, struct ch_str *to)
{
	struct ch_str s = ch_v_as_text(v);

	to->n = s.n;
	to->p = s.p ? ch_dup(k->c, s.p, s.n) : NULL;
	return !s.p || to->p;
}

/* Room for one more row, zeroed. NULL: no memory. */
static void *next_row(struct id_call *k)
{
	struct id_result *out = k->out;

	if (out->n == k->cap) {
		size_t cap = k->cap ? k->cap * 2 : 8;
		char *rows = ch_alloc(k->c, cap * k->row_size);

		if (!rows)
			return NULL;
		if (out->n)
			memcpy(rows, out->rows, out->n * k->row_size);
		out->rows = rows;
		k->cap = cap;
	}
	return (char *)out->rows + out->n * k->row_size;
}

static int on_row(struct ch_ctx *c, void *arg, size_t statement, const struct ch_value *row, size_t n)
{
	struct id_call *k = arg;
	void *to;

	(void)c;
	if (statement == k->raise_at) {
		k->raised[0] = n > 1 ? ch_v_as_int(&row[0]) : 0;
		k->raised[1] = n > 1 ? ch_v_as_int(&row[1]) : 0;
		return CH_OK;
	}
	if (!k->row || k->no_memory)
		return CH_OK;
	to = next_row(k);
	if (to && k->row(k, to, row, n))
		k->out->n++;
	else
		k->no_memory = true;
	return CH_OK;
}

/* ---- the run ---- */

void id_end(struct id_call *k)
{
	if (k->over)
		return;
	k->over = true;
	k->out->call = NULL;
	ch_resume(k->outer, NULL, NULL);
}

/* What an error of the store's means to us. */
static void judge(struct id_call *k)
{
	struct id_result *out = k->out;
	const struct ch_sql_result *r = &k->r;

	out->error = ID_OK;
	out->detail = NULL;
	switch (r->error) {
	case CH_SQL_OK:
		break;
	case CH_SQL_COUNT: /* the data access knows what it has demanded */
		out->error = r->at == k->raise_at ? ID_BROKEN : ID_NONE;
		break;
	case CH_SQL_CONSTRAINT:
		out->error = ID_EXISTS;
		break;
	case CH_SQL_VALUE:
		out->error = ID_BAD;
		break;
	case CH_SQL_UNKNOWN:
		out->error = ID_UNSURE;
		break;
	default:
		out->error = ID_AWAY;
	}
	if (!r->error && k->no_memory) { /* of a read: the rows are not all there */
		out->error = ID_AWAY;
		out->detail = "The server has no memory for this now; try again later.";
	} else if (out->error == ID_BROKEN) {
		out->detail = ID_NO_REVISION;
	} else if (out->error) {
		out->detail = r->detail ? r->detail : "The database did not do what it was asked for.";
	}
	if (r->error == CH_SQL_BAD_REQUEST) /* a bug of ours, or of the store's */
		ch_log(k->self, k->c, CH_ERR, "the store refuses statement %zu: %s", r->at + 1, out->detail);
	if (out->error >= ID_AWAY)
		id_store_failed(k->self, out->error);
	if (!out->error && k->raise_at < k->n)
		id_revision_seen(k->self, k->raised[0], k->raised[1], 0);
}

static void run(struct id_call *k);

static void came(struct id_call *k)
{
	if (k->r.error == CH_SQL_CONFLICT && ++k->tries < TRIES) {
		run(k);
		return;
	}
	judge(k);
	k->then(k);
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct id_call *k = data;

	(void)c, (void)result;
	k->inner = 0;
	if (why != CH_READY) {
		sql_of(k)->cancel(svc_of(k), k->c, &k->r);
		k->out->error = ID_UNSURE;
		k->out->detail = "It was given up before the database had answered.";
		id_end(k);
		return CH_AGAIN;
	}
	if (!k->over)
		came(k);
	return CH_AGAIN; /* the caller's ticket is, or will be, resumed */
}

/* In place of a call that could not even begin. */
static void fail(struct id_call *k, int error, const char *detail)
{
	k->r.error = error;
	k->r.detail = detail;
	came(k);
}

static void run(struct id_call *k)
{
	int rc;

	memset(&k->r, 0, sizeof(k->r));
	k->r.size = sizeof(k->r);
	k->args = (struct ch_sql_args){ .size = sizeof(k->args), .statements = CH_SQL(k->statements, k->n), .row = on_row, .arg = k,
		.timeout_ms = ((const struct identity_conf *)k->self->conf)->store_timeout };
	k->inner = k->no_memory ? 0 : ch_suspend(k->c, 0, on_resumed, k);
	if (!k->inner) {
		fail(k, CH_SQL_NO_MEMORY, "The server has no memory for this now; try again later.");
		return;
	}
	rc = sql_of(k)->run(svc_of(k), k->c, &k->args, &k->r, k->inner);
	if (rc == CH_AGAIN)
		return;
	ch_unsuspend(k->inner);
	k->inner = 0;
	if (rc == CH_OK)
		came(k);
	else
		fail(k, CH_SQL_UNAVAILABLE, "The store's plugin is broken; see the server's log.");
}

void id_run(struct id_call *k, void (*then)(struct id_call *))
{
	k->then = then;
	run(k);
}

void id_cancel(struct id_result *out)
{
	struct id_call *k = out->call;

	if (!k || k->over)
		return;
	out->error = ID_UNSURE;
	out->detail = "It was given up.";
	if (k->inner)
		sql_of(k)->cancel(svc_of(k), k->c, &k->r);
	id_end(k);
}
