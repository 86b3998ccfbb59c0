/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_lame_sink.c - a test plugin: a provider of sink/1 that hands everything on to `target` and breaks one rule of chimera/sink.h, which its
 * option `fault` names, so that the conformance suite shows that it notices.
 *
 * Threads and ownership: everything on the ctx's loop; a call lives in the ctx's arena; KNOWN_BATCH's list is the instance's, under a lock.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include <chimera/sink.h>

enum fault {
	NONE, DONE_UNASKED, HALF_BATCH, NEW_IDS, KNOWN_BATCH, ALL_NEW, NAN_AS_NULL, TAKES_OTHERS, WRONG_ROW, NO_WHY, NO_COLUMN, TELLS_VALUE,
	REFUSES_TABLE, NO_LIMIT, ROW_TWICE, ROW_AFTER_DONE, ROW_INSIDE, TEXT_CUT, EMPTY_AS_NULL, NO_ROWS, EXPIRES_MORE, EXPIRES_NOTHING,
	NO_CANCEL, CHANGED_LATE, NEVER, WITH_RESULT, NO_DETAIL, NO_FIGURES
};
static const char *const faults[] = {
	"none", "done_unasked", "half_batch", "new_ids", "known_batch", "all_new", "nan_as_null", "takes_others", "wrong_row", "no_why",
	"no_column", "tells_value", "refuses_table", "no_limit", "row_twice", "row_after_done", "row_inside", "text_cut", "empty_as_null",
	"no_rows", "expires_more", "expires_nothing", "no_cancel", "changed_late", "never", "with_result", "no_detail", "no_figures", NULL
};

struct t_lame_sink_conf {
	const struct ch_svc *target;
	int fault;
};
enum { KNOWN = 1000 };
struct state {
	pthread_mutex_t lock;
	unsigned char ids[KNOWN][16];
	unsigned n;
};

struct call {
	const struct t_lame_sink_conf *conf;
	struct ch_ctx *c;
	struct ch_sink_batch batch;
	struct ch_sink_find asked, find;
	struct ch_sink_result *out, inner;
	struct ch_sink_refusal refusal;
	bool appending, others, over;
	ch_ticket ticket, mine;
};

static const struct ch_sink_v1 *target_of(const struct call *k)
{
	return k->conf->target->vt;
}

/* ---- the end ---- */

static void spoil_refused(struct call *k)
{
	struct ch_sink_result *out = k->out;
	const struct ch_sink_refusal *first = out->refused.rows;

	if (!out->refused.n)
		return;
	k->refusal = *first;
	switch (k->conf->fault) {
	case WRONG_ROW: k->refusal.row++; break;
	case NO_WHY: k->refusal.why = NULL; break;
	case NO_COLUMN: k->refusal.why = "It is not liked."; break;
	case TELLS_VALUE: k->refusal.why = "Column t is \"caf? au lait\"."; break;
	default: return;
	}
	out->refused = (struct ch_table){ &k->refusal, 1, sizeof(k->refusal) };
}

static void fill(struct call *k)
{
	struct ch_sink_result *out = k->out;
	int fault = k->conf->fault;

	if (!k->others)
		*out = k->inner;
	out->call = NULL;
	if (out->outcome == CH_SINK_REFUSED)
		spoil_refused(k);
	if (fault == ALL_NEW && k->appending && out->outcome == CH_SINK_DONE)
		out->rows = k->batch.nrows;
	if (fault == NO_ROWS)
		out->rows = 0;
	if (fault == REFUSES_TABLE && k->appending && out->outcome == CH_SINK_RETRY)
		out->outcome = CH_SINK_REFUSED;
	if (fault == NO_DETAIL)
		out->detail = NULL;
}

static void finish(struct call *k)
{
	if (k->conf->fault == NEVER)
		return;
	k->over = true;
	fill(k);
	ch_resume(k->ticket, k->conf->fault == WITH_RESULT ? k : NULL, NULL);
}

static int append_others(struct call *k);

static int on_inner(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;

	(void)result;
	if (why != CH_READY) /* the caller is told by its own ticket */
		target_of(k)->cancel(k->conf->target, c, &k->inner);
	if (why != CH_READY && !k->over)
		ch_resume(k->ticket, NULL, NULL);
	if (why != CH_READY)
		k->over = true;
	if (k->over)
		return CH_AGAIN;
	if (k->conf->fault == TAKES_OTHERS && k->inner.outcome == CH_SINK_REFUSED && !k->others && append_others(k) == CH_AGAIN)
		return CH_AGAIN;
	finish(k);
	return CH_AGAIN;
}

/* ---- the calls ---- */

static struct call *new_call(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sink_result *out, ch_ticket ticket)
{
	struct call *k = ch_alloc(c, sizeof(*k));

	if (!k)
		return NULL;
	*k = (struct call){ .conf = svc->self->conf, .c = c, .out = out, .ticket = ticket, .inner = { .size = sizeof(k->inner) } };
	k->mine = ch_suspend(c, 0, on_inner, k);
	out->call = k;
	return k->mine ? k : NULL;
}

static int end_call(struct call *k, int rc)
{
	if (rc == CH_AGAIN)
		return rc;
	ch_unsuspend(k->mine);
	if (rc == CH_OK)
		fill(k);
	return rc;
}

static int give_done(struct ch_sink_result *out, uint64_t rows)
{
	out->outcome = CH_SINK_DONE;
	out->rows = rows;
	return CH_OK;
}

static struct ch_value *copied(struct call *k)
{
	size_t n = k->batch.nrows * k->batch.table->columns.n;
	struct ch_value *v = ch_alloc(k->c, n * sizeof(*v));

	if (v)
		memcpy(v, k->batch.values, n * sizeof(*v));
	return v;
}

/* The same batch but for the rows that were refused, under the same id. */
static int append_others(struct call *k)
{
	const struct ch_sink_refusal *first = k->inner.refused.rows;
	size_t columns = k->batch.table->columns.n;
	struct ch_value *v = copied(k);

	if (!v || k->inner.refused.n != 1)
		return CH_ERROR;
	*k->out = k->inner;
	k->refusal = *first;
	k->out->refused = (struct ch_table){ &k->refusal, 1, sizeof(k->refusal) };
	k->others = true;
	memmove(v + first->row * columns, v + (first->row + 1) * columns, (k->batch.nrows - first->row - 1) * columns * sizeof(*v));
	k->batch.values = v;
	k->batch.nrows--;
	k->inner = (struct ch_sink_result){ .size = sizeof(k->inner) };
	k->mine = ch_suspend(k->c, 0, on_inner, k);
	return target_of(k)->append(k->conf->target, k->c, &k->batch, &k->inner, k->mine);
}

static void spoil_batch(struct call *k)
{
	int fault = k->conf->fault;
	struct ch_value *v;

	if (fault == HALF_BATCH)
		k->batch.nrows = (k->batch.nrows + 1) / 2;
	if ((fault != NEW_IDS || !k->batch.again) && fault != NAN_AS_NULL)
		return;
	if (fault == NEW_IDS)
		k->batch.batch_id[0] ^= 1;
	v = copied(k);
	for (size_t i = 0; v && i < k->batch.nrows * k->batch.table->columns.n; i++) {
		if (fault == NEW_IDS && i % k->batch.table->columns.n == 0)
			v[i].u.uuid[9] ^= 1;
		if (fault == NAN_AS_NULL && v[i].type == CH_V_REAL && !v[i].null && !isfinite(v[i].u.d))
			v[i] = ch_v_null(CH_V_REAL);
	}
	if (v)
		k->batch.values = v;
}

static bool known(struct state *s, const unsigned char *id)
{
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->n; i++)
		found = found || !memcmp(s->ids[i], id, 16);
	if (!found && s->n < KNOWN)
		memcpy(s->ids[s->n++], id, 16);
	pthread_mutex_unlock(&s->lock);
	return found;
}

static int append(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_batch *b, struct ch_sink_result *out, ch_ticket ticket)
{
	const struct t_lame_sink_conf *conf = svc->self->conf;
	struct call *k;

	if (conf->fault == DONE_UNASKED)
		return give_done(out, b->nrows);
	if (conf->fault == KNOWN_BATCH && known(svc->self->state, b->batch_id) && b->again)
		return give_done(out, 0);
	k = new_call(svc, c, out, ticket);
	if (!k)
		return CH_ERROR;
	k->batch = *b;
	k->appending = true;
	spoil_batch(k);
	return end_call(k, target_of(k)->append(conf->target, c, &k->batch, &k->inner, k->mine));
}

static int on_row(struct ch_ctx *c, void *arg, const struct ch_value *row)
{
	struct call *k = arg;
	struct ch_value v[64];
	size_t n = k->find.table->columns.n;
	int rc;

	memcpy(v, row, n * sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		struct ch_str s = ch_v_as_text(&v[i]);

		if (k->conf->fault == TEXT_CUT && s.n > 20 && i > 2)
			v[i].u.s.n = 20;
		if (k->conf->fault == EMPTY_AS_NULL && s.p && !s.n)
			v[i] = ch_v_null(v[i].type);
	}
	rc = k->asked.row(c, k->asked.arg, v);
	if (k->conf->fault == ROW_TWICE || (k->conf->fault == ROW_AFTER_DONE && rc == CH_DONE))
		rc = k->asked.row(c, k->asked.arg, v);
	return rc;
}

static int find(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_find *f, struct ch_sink_result *out, ch_ticket ticket)
{
	struct call *k = new_call(svc, c, out, ticket);
	struct ch_value none[64] = { { 0 } };

	if (!k)
		return CH_ERROR;
	k->asked = k->find = *f;
	k->find.row = on_row;
	k->find.arg = k;
	if (k->conf->fault == NO_LIMIT)
		k->find.limit = 1000;
	if (k->conf->fault == ROW_INSIDE)
		f->row(c, f->arg, none);
	return end_call(k, target_of(k)->find(k->conf->target, c, &k->find, &k->inner, k->mine));
}

static int expire(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_relation *r, int64_t before, struct ch_sink_result *out,
                  ch_ticket ticket)
{
	struct call *k = new_call(svc, c, out, ticket);
	int64_t day = INT64_C(86400000000);

	if (!k)
		return CH_ERROR;
	if (k->conf->fault == EXPIRES_MORE)
		before += day;
	if (k->conf->fault == EXPIRES_NOTHING)
		before -= 100 * day;
	return end_call(k, target_of(k)->expire(k->conf->target, c, r, before, &k->inner, k->mine));
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sink_result *out)
{
	const struct t_lame_sink_conf *conf = svc->self->conf;
	struct call *k = out->call;

	if (!k && conf->fault == CHANGED_LATE)
		out->rows++;
	if (!k || conf->fault == NO_CANCEL)
		return;
	target_of(k)->cancel(conf->target, c, &k->inner);
	if (k->over)
		return;
	if (!k->inner.outcome) { /* not told yet, and when the ctx ends nobody is told any more */
		k->inner.outcome = CH_SINK_RETRY;
		k->inner.detail = "It was given up.";
	}
	finish(k);
}

static void about(const struct ch_svc *svc, struct ch_sink_about *out)
{
	const struct t_lame_sink_conf *conf = svc->self->conf;
	const struct ch_sink_v1 *sink = conf->target->vt;

	sink->about(conf->target, out);
	if (conf->fault == NO_FIGURES)
		out->rows = 0;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct state *s = self->state;

	(void)prev;
	pthread_mutex_init(&s->lock, NULL);
	return CH_OK;
}

static void stop(struct ch_self *self)
{
	struct state *s = self->state;

	pthread_mutex_destroy(&s->lock);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_lame_sink_conf, target, SERVICE, .flags = CH_O_REQUIRED, .iface = "sink/1", .help = "Who does the work"),
	CH_OPT(struct t_lame_sink_conf, fault, ENUM, .def = "none", .values = faults, .help = "The rule that it breaks"),
};
static const struct ch_sink_v1 sink = { .size = sizeof(sink), .append = append, .find = find, .expire = expire, .cancel = cancel,
	.about = about };
static const struct ch_provide provides[] = { { .iface = "sink/1", .vt = &sink, .rank = -20 } };

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_lame_sink",
	.version = "0.1",
	.summary = "Test: a provider of sink/1 that breaks a rule",
	.conf_size = sizeof(struct t_lame_sink_conf),
	.state_size = sizeof(struct state),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
	.start = start,
	.stop = stop,
};

CH_PLUGIN(t_lame_sink, plugin)
