/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b_sink.c - for tests/bench alone: GET /fill appends `rows` made rows to `target` in batches of `batch`, one after the other as a shipper
 * does, and answers how many microseconds that took. The rows are made before the clock starts.
 *
 * Threads and ownership: a run lies in its ctx's arena, its rows on the heap until the ctx goes.
 */
#include <chimera/sink.h>

#include <stdio.h>
#include <stdlib.h>

struct sink_conf {
	const struct ch_svc *target;
	int64_t rows, batch;
};

static const struct ch_column columns[] = {
	{ "row_id", CH_V_UUID, 0 }, { "time", CH_V_TIME, 0 }, { "req_id", CH_V_TEXT, 0 }, { "trace_id", CH_V_TEXT, CH_COLUMN_NULL },
	{ "endpoint", CH_V_TEXT, 0 }, { "method", CH_V_TEXT, 0 }, { "backend", CH_V_TEXT, CH_COLUMN_NULL },
	{ "model", CH_V_TEXT, CH_COLUMN_NULL }, { "asked", CH_V_TEXT, CH_COLUMN_NULL }, { "owner", CH_V_TEXT, CH_COLUMN_NULL },
	{ "tier", CH_V_TEXT, CH_COLUMN_NULL }, { "status", CH_V_INT, 0 }, { "error_type", CH_V_TEXT, CH_COLUMN_NULL },
	{ "tokens_in", CH_V_INT, 0 }, { "tokens_out", CH_V_INT, 0 }, { "cost", CH_V_REAL, CH_COLUMN_NULL }, { "latency_ms", CH_V_REAL, 0 },
	{ "first_byte_ms", CH_V_REAL, CH_COLUMN_NULL }, { "bytes_in", CH_V_INT, 0 }, { "bytes_out", CH_V_INT, 0 },
	{ "aborted", CH_V_BOOL, 0 }, { "prompt", CH_V_TEXT, CH_COLUMN_NULL }, { "answer", CH_V_TEXT, CH_COLUMN_NULL },
};
#define COLUMNS (sizeof(columns) / sizeof(*columns))
static const struct ch_relation table = { sizeof(table), "inference_records", CH_TABLE(columns) };

struct row {
	struct ch_value values[COLUMNS];
};
struct run {
	const struct sink_conf *conf;
	struct ch_ctx *c;
	struct row *rows;
	char *texts;
	size_t at;
	struct ch_sink_batch batch;
	struct ch_sink_result result;
	unsigned retries;
	int64_t began;
};

#define REQ_ID 37
#define TRACE_ID 33

/* A version 7 UUID: the time first, so that rows come in the order of their ids, as the ledger's do. */
static void new_id(unsigned char id[16], int64_t us)
{
	uint64_t head = (uint64_t)(us / 1000) << 16 | 0x7000 | (ch_random() & 0xfff), tail = (ch_random() >> 2) | (UINT64_C(2) << 62);

	for (int i = 0; i < 8; i++) {
		id[i] = (unsigned char)(head >> (56 - 8 * i));
		id[8 + i] = (unsigned char)(tail >> (56 - 8 * i));
	}
}

static void make_row(struct run *r, size_t i, int64_t us)
{
	static const char *const models[] = { "gpt-4o-mini", "Qwen/Qwen3-32B", "llama3.2", "gemma3:latest" };
	static const char *const owners[] = { "team-a", "team-b", "team-c", "search", "batch", "support", "research", "ops" };
	char *req_id = r->texts + i * (REQ_ID + TRACE_ID), *trace_id = req_id + REQ_ID;
	unsigned char id[16];
	uint64_t a = ch_random(), b = ch_random();

	new_id(id, us);
	snprintf(req_id, REQ_ID, "%02x%02x%02x%02x-%02x%02x-7%03x-8%03x-%012llx", id[0], id[1], id[2], id[3], id[4], id[5],
		(unsigned)(a & 0xfff), (unsigned)(a >> 12 & 0xfff), (unsigned long long)(b & 0xffffffffffff));
	snprintf(trace_id, TRACE_ID, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
	const struct row row = { {
		ch_v_uuid(id), ch_v_time(us), ch_v_text(req_id), ch_v_text(trace_id), ch_v_text("/v1/chat/completions"), ch_v_text("POST"),
		ch_v_text("openai"), ch_v_text(models[a % 4]), ch_v_text(models[a % 4]), ch_v_text(owners[b % 8]), ch_v_text("api_key"),
		ch_v_int(200), ch_v_null(CH_V_TEXT), ch_v_int((int64_t)(a % 4000)), ch_v_int((int64_t)(b % 900)),
		ch_v_real((double)(a % 100000) / 1e6), ch_v_real((double)(b % 9000000) / 1e3), ch_v_real((double)(a % 900000) / 1e3),
		ch_v_int((int64_t)(a % 20000)), ch_v_int((int64_t)(b % 9000)), ch_v_bool(false), ch_v_null(CH_V_TEXT), ch_v_null(CH_V_TEXT),
	} };
	r->rows[i] = row;
}

static int next(struct run *r);

static int on_appended(struct ch_ctx *c, void *data, int why, void *result)
{
	struct run *r = data;
	const struct ch_sink_v1 *sink = r->conf->target->vt;
	(void)c;
	(void)result;

	if (why != CH_READY) {
		sink->cancel(r->conf->target, r->c, &r->result);
		return CH_DONE;
	}
	r->at += r->result.outcome == CH_SINK_DONE ? r->batch.nrows : 0;
	return next(r);
}

static int next(struct run *r)
{
	const struct ch_sink_v1 *sink = r->conf->target->vt;
	char text[128];
	int rc = CH_OK;

	while (r->at < (size_t)r->conf->rows) {
		bool again = r->result.outcome == CH_SINK_RETRY && r->at; /* nothing is there at first: then say that it is not ready */
		if (r->result.outcome && r->result.outcome != CH_SINK_DONE && (!again || ++r->retries > 1000))
			return ch_refuse(r->c, CH_E_UNAVAILABLE, 0, "%s", r->result.detail ? r->result.detail : "no reason");
		size_t left = (size_t)r->conf->rows - r->at, most = (size_t)r->conf->batch;
		if (!again) {
			r->batch = (struct ch_sink_batch){ .size = sizeof(r->batch), .table = &table, .values = r->rows[r->at].values,
				.nrows = left < most ? left : most };
			new_id(r->batch.batch_id, ch_wall());
		}
		r->batch.again = again;
		r->result = (struct ch_sink_result){ .size = sizeof(r->result) };
		ch_ticket t = ch_suspend(r->c, 0, on_appended, r);
		if (!t)
			return CH_ERROR;
		rc = sink->append(r->conf->target, r->c, &r->batch, &r->result, t);
		if (rc == CH_AGAIN)
			return CH_AGAIN;
		ch_unsuspend(t);
		if (rc != CH_OK)
			return CH_ERROR;
		r->at += r->result.outcome == CH_SINK_DONE ? r->batch.nrows : 0;
	}
	snprintf(text, sizeof(text), "{\"rows\":%zu,\"us\":%lld,\"retries\":%u}", r->at, (long long)(ch_now() - r->began), r->retries);
	return ch_respond(r->c, 200, "application/json", text, strlen(text));
}

static int get_fill(struct ch_self *self, struct ch_ctx *c)
{
	const struct sink_conf *conf = self->conf;
	struct run *r = ch_alloc(c, sizeof(*r));
	size_t n = (size_t)conf->rows;
	int64_t from = ch_wall() - conf->rows * 100; /* 10,000 rows a second until now */

	if (!r)
		return CH_ERROR;
	r->conf = conf;
	r->c = c;
	r->rows = malloc(n * sizeof(*r->rows));
	r->texts = malloc(n * (REQ_ID + TRACE_ID));
	if (!ch_keep(c, free, r->rows) || !ch_keep(c, free, r->texts) || !r->rows || !r->texts)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory for %zu rows", n);
	for (size_t i = 0; i < n; i++)
		make_row(r, i, from + (int64_t)i * 100);
	r->began = ch_now();
	return next(r);
}

static int get_up(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_respond(c, 200, "text/plain", "up", 2);
}

static const struct ch_option options[] = {
	CH_OPT(struct sink_conf, target, SERVICE, .iface = "sink/1", .flags = CH_O_REQUIRED, .def = "auto", .help = "The sink"),
	CH_OPT(struct sink_conf, rows, INT, .def = "100000", .min = "1", .max = "10000000", .help = "Rows of one fill"),
	CH_OPT(struct sink_conf, batch, INT, .def = "10000", .min = "1", .max = "100000", .help = "Rows of one batch"),
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/fill", .fn = get_fill, .budget_us = 60000000, .summary = "Fill the sink" },
	{ .method = "GET", .pattern = "/up", .fn = get_up, .summary = "Say that it runs" },
};
static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "b_sink",
	.version = "0.1",
	.summary = "Rows into a sink, for the benchmark",
	.conf_size = sizeof(struct sink_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(b_sink, plugin)
