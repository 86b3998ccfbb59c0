/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - see query.h. */
#include <stdlib.h>

#include "query.h"

static const char no_memory[] = "No memory is left for this call to ClickHouse; it is tried again.";

static const struct ch_http_v1 *http(const struct click_query *q, const struct ch_svc **svc)
{
	*svc = click_conf_of(q->k)->http;
	return (*svc)->vt;
}

static void count(struct click *k, int by)
{
	pthread_mutex_lock(&k->lock);
	k->running += by;
	ch_db_gauges_say(&k->gauges, k->running, 0, 0);
	pthread_mutex_unlock(&k->lock);
}

/* ---- the answer's bytes ---- */

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	struct click_query *q = arg;
	size_t cap = q->cap ? q->cap : 4096;
	char *grown;

	(void)c;
	if (n > q->max - q->n)
		q->overflow = true;
	if (q->overflow)
		return CH_DONE;
	while (cap - q->n <= n)
		cap *= 2;
	if (cap != q->cap) {
		grown = realloc(q->text, cap);
		if (!grown) {
			q->overflow = true;
			return CH_DONE;
		}
		q->text = grown;
		q->cap = cap;
	}
	memcpy(q->text + q->n, p, n);
	q->n += n;
	q->text[q->n] = 0;
	return CH_OK;
}

/* ---- what it means ---- */

static int fail(struct click_query *q, int kind, const char *detail)
{
	q->error.kind = kind;
	q->detail = detail ? detail : no_memory;
	return q->done(q);
}

static int kind_of_transport(const struct ch_http_result *out)
{
	switch (out->error) {
	case CH_HTTP_CANCELLED: return CLICK_CANCELLED;
	case CH_HTTP_BUSY: return CLICK_BUSY;
	case CH_HTTP_BAD_REQUEST: case CH_HTTP_BLOCKED: return CLICK_OTHER;
	default: return out->sent ? CLICK_UNKNOWN : CLICK_AWAY;
	}
}

static int refused(struct click_query *q)
{
	const struct click_error *e = &q->error;

	if (!e->code)
		q->detail = ch_print(q->c, "ClickHouse, or what stands before it, answered with status %d: %s.", q->out.status, e->advice);
	else if (e->name)
		q->detail = ch_print(q->c, "ClickHouse says %s (code %u): %s.", e->name, e->code, e->advice);
	else
		q->detail = ch_print(q->c, "ClickHouse refused it with code %u: %s.", e->code, e->advice);
	if (!q->detail)
		q->detail = no_memory;
	return q->done(q);
}

static int answered(struct click_query *q)
{
	const struct ch_http_result *out = &q->out;
	struct ch_str code = ch_http_field(out, "X-ClickHouse-Exception-Code");

	q->running = false;
	q->took = ch_now() - q->began;
	count(q->k, -1);
	if (q->overflow)
		return fail(q, CLICK_OTHER, "The answer of ClickHouse is larger than this server keeps; ask for fewer rows.");
	if (out->error)
		return fail(q, kind_of_transport(out), out->detail);
	/* An exception may stand behind a head with status 200, which had left before. What an INSERT answers is empty otherwise. */
	if ((out->status != 200 || code.n || (q->args.body.n && q->n)) && click_error_read(q->text ? q->text : "", q->n, &q->error))
		return refused(q);
	if (out->status != 200) {
		click_error_of_status(out->status, &q->error);
		return refused(q);
	}
	return q->done(q);
}

void click_query_cancel(struct click_query *q)
{
	const struct ch_svc *svc;

	if (!q->running)
		return;
	http(q, &svc)->cancel(svc, q->c, &q->out);
	q->running = false;
	q->took = ch_now() - q->began;
	count(q->k, -1);
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	struct click_query *q = data;

	(void)result;
	if (!q->running)
		return CH_AGAIN;
	if (why == CH_READY)
		return answered(q);
	(void)c;
	click_query_cancel(q);
	if (why == CH_TIMEOUT)
		return fail(q, CLICK_UNKNOWN, "ClickHouse did not answer in time; what was sent may have been done.");
	return fail(q, CLICK_CANCELLED, "The call to ClickHouse was given up.");
}

/* ---- asking ---- */

static void restart(struct click_query *q)
{
	const struct click *k = q->k;

	click_query_free(q);
	q->error = (struct click_error){ .kind = CLICK_FINE };
	q->detail = NULL;
	q->took = 0;
	q->overflow = false;
	if (!q->max)
		q->max = CLICK_ANSWER_SMALL;
	q->url = (struct click_text){ .c = q->c };
	click_text_add(&q->url, k->base, strlen(k->base));
}

static struct ch_http_field field(const char *name, const char *value)
{
	return (struct ch_http_field){ { name, strlen(name) }, { value, strlen(value) } };
}

static int run(struct click_query *q, const char *method, struct ch_str body, bool gzip)
{
	const struct click_conf *conf = click_conf_of(q->k);
	const struct ch_http_sink sink = { .size = sizeof(sink), .data = on_data, .arg = q };
	const struct ch_svc *svc;
	const struct ch_http_v1 *vt = http(q, &svc);
	int64_t left;
	int rc;

	q->began = ch_now();
	left = (q->due - q->began) / 1000;
	if (left <= 0)
		return fail(q, CLICK_BUSY, "The time for this call to ClickHouse was over before all was asked; raise the option timeout.");
	if (q->url.failed)
		return fail(q, CLICK_OTHER, NULL);
	q->fields[0] = field("X-ClickHouse-User", conf->user);
	q->fields[1] = field("X-ClickHouse-Key", conf->password);
	q->fields[2] = field("Content-Encoding", "gzip");
	q->args = (struct ch_http_args){
		.size = sizeof(q->args),
		.method = { method, strlen(method) },
		.url = { q->url.p, q->url.n },
		.fields = q->fields,
		.nfields = gzip ? 3 : 2,
		.body = body,
		.connect_timeout_ms = conf->connect_timeout < left ? conf->connect_timeout : left,
		.first_byte_timeout_ms = left,
		.idle_timeout_ms = left,
		.total_timeout_ms = left,
		.max_body = UINT64_MAX,
	};
	q->out = (struct ch_http_result){ .size = sizeof(q->out) };
	q->ticket = ch_suspend(q->c, 0, on_end, q);
	if (!q->ticket)
		return fail(q, CLICK_OTHER, NULL);
	count(q->k, 1);
	q->running = true;
	rc = vt->request(svc, q->c, &q->args, &sink, &q->out, q->ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(q->ticket);
	if (rc == CH_OK)
		return answered(q);
	q->running = false;
	count(q->k, -1);
	return fail(q, CLICK_OTHER, "The HTTP client of this server is broken; see the log.");
}

int click_query_read(struct click_query *q, const struct click_text *sql)
{
	int64_t left = (q->due - ch_now()) / 1000000;
	struct ch_str none = { NULL, 0 }, text = { sql->p, sql->n };

	restart(q);
	q->url.failed |= sql->failed;
	/* So that a status tells of all of the answer, and that nothing runs on for which nobody waits. */
	click_text_print(&q->url, "&wait_end_of_query=1&max_execution_time=%lld", (long long)(left > 0 ? left + 1 : 1));
	if (sql->n > 4096) {
		click_text_print(&q->url, "&max_query_size=%zu", sql->n + 4096);
		return run(q, "POST", text, false);
	}
	click_text_print(&q->url, "&query=");
	click_text_encode(&q->url, sql->p, sql->n);
	return run(q, "GET", none, false);
}

int click_query_write(struct click_query *q, const struct click_text *sql)
{
	struct ch_str text = { sql->p, sql->n };

	restart(q);
	q->url.failed |= sql->failed;
	click_text_print(&q->url, "&wait_end_of_query=1");
	return run(q, "POST", text, false);
}

int click_query_insert(struct click_query *q, const struct click_text *sql, const char *query_id, const char *more, struct ch_str body,
	bool gzip)
{
	restart(q);
	q->url.failed |= sql->failed;
	click_text_print(&q->url, "&query_id=%s%s&query=", query_id, more ? more : "");
	click_text_encode(&q->url, sql->p, sql->n);
	return run(q, "POST", body, gzip);
}

void click_query_free(struct click_query *q)
{
	free(q->text);
	q->text = NULL;
	q->n = q->cap = 0;
}
