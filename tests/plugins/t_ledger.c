/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_ledger.c - a test plugin: rows for "ledger/1" from another plugin than the ledger itself, and as bad as a test wants them.
 *
 * POST /t/ledger?n=100&first=0&bad=10&pad=0&thread=0 appends n rows to inference_records; the k-th, counted from `first`, has the req_id
 * "t-K". Of every `bad` rows one has a model that is no UTF-8, which a sink must refuse; `pad` bytes stand in its prompt. thread=1: from a
 * thread of the pool, as [any] promises. The answer is how many were taken. GET /t/ledger: would a row be kept now?
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/ledger.h>
#include <chimera/kit/uuid.h>

#include "query.h"

struct t_ledger_conf {
	const struct ch_svc *ledger;
};

static const struct ch_column columns[] = {
	{ "row_id", CH_V_UUID, 0 },
	{ "time", CH_V_TIME, 0 },
	{ "req_id", CH_V_TEXT, 0 },
	{ "trace_id", CH_V_TEXT, CH_COLUMN_NULL },
	{ "endpoint", CH_V_TEXT, 0 },
	{ "method", CH_V_TEXT, 0 },
	{ "backend", CH_V_TEXT, CH_COLUMN_NULL },
	{ "model", CH_V_TEXT, CH_COLUMN_NULL },
	{ "asked", CH_V_TEXT, CH_COLUMN_NULL },
	{ "owner", CH_V_TEXT, CH_COLUMN_NULL },
	{ "tier", CH_V_TEXT, CH_COLUMN_NULL },
	{ "status", CH_V_INT, 0 },
	{ "error_type", CH_V_TEXT, CH_COLUMN_NULL },
	{ "tokens_in", CH_V_INT, 0 },
	{ "tokens_out", CH_V_INT, 0 },
	{ "cost", CH_V_REAL, CH_COLUMN_NULL },
	{ "latency_ms", CH_V_REAL, 0 },
	{ "first_byte_ms", CH_V_REAL, CH_COLUMN_NULL },
	{ "bytes_in", CH_V_INT, 0 },
	{ "bytes_out", CH_V_INT, 0 },
	{ "aborted", CH_V_BOOL, 0 },
	{ "prompt", CH_V_TEXT, CH_COLUMN_NULL },
	{ "answer", CH_V_TEXT, CH_COLUMN_NULL },
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };
static const struct ch_relation table = { sizeof(table), "inference_records", CH_TABLE(columns) };

struct job {
	struct ch_self *self;
	int64_t n, first, bad, pad, taken;
	char *padding;
};

static int append(const struct job *job, int64_t k)
{
	const struct t_ledger_conf *conf = job->self->conf;
	const struct ch_svc *svc = conf->ledger;
	unsigned char id[16];
	char req_id[32];
	struct ch_value row[COLUMNS];

	ch_uuid7(id, ch_wall(), ch_random(), ch_random());
	snprintf(req_id, sizeof(req_id), "t-%lld", (long long)k);
	for (size_t i = 0; i < COLUMNS; i++)
		row[i] = columns[i].flags & CH_COLUMN_NULL ? ch_v_null(columns[i].type) : ch_v_of(columns[i].type, 0);
	row[0] = ch_v_uuid(id);
	row[1] = ch_v_time(ch_wall());
	row[2] = ch_v_text(req_id);
	row[4] = ch_v_text("/t/ledger");
	row[5] = ch_v_text("POST");
	row[7] = ch_v_text(job->bad && k % job->bad == job->bad - 1 ? "bad \xFF model" : "model");
	row[11] = ch_v_int(200);
	row[13] = ch_v_int(k);
	row[16] = ch_v_real(0.5);
	if (job->pad)
		row[21] = ch_v_bytes(CH_V_TEXT, job->padding, (size_t)job->pad);
	return ((const struct ch_ledger_v1 *)svc->vt)->append(svc, &table, row);
}

static void *work(void *data)
{
	struct job *job = data;

	for (int64_t i = 0; i < job->n; i++)
		job->taken += append(job, job->first + i) == CH_OK;
	return NULL;
}

static int tell(struct ch_ctx *c, const struct job *job)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%lld", (long long)job->taken);

	return ch_respond(c, 200, "text/plain", text, (size_t)n);
}

static int on_done(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)result;
	return why == CH_READY ? tell(c, data) : CH_DONE;
}

static int on_post(struct ch_self *self, struct ch_ctx *c)
{
	struct job *job = ch_alloc(c, sizeof(*job));
	ch_ticket ticket;

	job->self = self;
	job->n = query_int(c, "n", 1);
	job->first = query_int(c, "first", 0);
	job->bad = query_int(c, "bad", 0);
	job->pad = query_int(c, "pad", 0);
	job->padding = ch_alloc(c, (size_t)job->pad + 1);
	memset(job->padding, 'x', (size_t)job->pad);
	if (!query_int(c, "thread", 0)) {
		work(job);
		return tell(c, job);
	}
	ticket = ch_suspend(c, 0, on_done, job);
	ch_offload(self, work, job, ticket, NULL);
	return CH_AGAIN;
}

static int on_takes(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_svc *svc = ((const struct t_ledger_conf *)self->conf)->ledger;
	bool takes = ((const struct ch_ledger_v1 *)svc->vt)->takes(svc);

	return ch_respond(c, 200, "application/json", takes ? "true" : "false", takes ? 4 : 5);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_ledger_conf, ledger, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "ledger/1", .help = "Who keeps rows"),
};
static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/t/ledger", .cls = CH_PUBLIC, .body = CH_BODY_BUFFER, .fn = on_post, .summary = "Appends rows" },
	{ .method = "GET", .pattern = "/t/ledger", .fn = on_takes, .summary = "Would a row be kept" },
};
static const struct ch_plugin t_ledger = {
	.size = sizeof(t_ledger),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_ledger",
	.version = "0.1",
	.summary = "Test: rows for the ledger",
	.conf_size = sizeof(struct t_ledger_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_ledger, t_ledger)
