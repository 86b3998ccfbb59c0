/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records.c - the usage ledger: each request of a route that names it leaves a row, which is in the journal before the answer's last byte
 * leaves, and at every sink later, exactly once.
 *
 *     worker loops                     journal (mapped files)          house loop                 sinks
 *     END ──row.c──> keep.c ──append──> [segment][segment][segment] ──> shipper: rows, batch ──> storage_sqlite …
 *     ingest ──ledger/1──────^              │ sync thread                 │ checkpoint
 *                                           v                             v refused
 *                                   answers that wait for the disk     dlq.jsonl
 *
 * Threads and ownership: hooks on the requests' loops; shippers, checks and commands on the house loop; two threads of the journal's own.
 * The ledger and the shippers are counted and go from an instance to its successor.
 */
#include <stdio.h>
#include <stdlib.h>

#include "records.h"

/* ---- the config ---- */

static int check(struct ch_self *self)
{
	const struct records_conf *conf = self->conf;
	int rc = CH_OK;
	char why[512];

	for (size_t i = 0; i < self->nrows; i++) {
		const struct records_rule_conf *rule = self->rows[i].conf;
		const char *bad = *rule->pattern ? redact_compile(rule->pattern, NULL, why, sizeof(why)) : NULL;

		if (bad) {
			ch_config_error(self, self->rows[i].name, "pattern", "%s", bad);
			rc = CH_ERROR;
		}
		if (strlen(rule->with) > REDACT_MORE / 2) {
			ch_config_error(self, self->rows[i].name, "with", "has %zu bytes; %zu are allowed", strlen(rule->with),
				REDACT_MORE / 2);
			rc = CH_ERROR;
		}
	}
	if (!conf->sinks.n)
		ch_log(self, NULL, CH_WARN, "no sink is there: rows stay in the journal until it is full; enable storage_sqlite, say");
	return rc;
}

static bool compile_rules(struct ch_self *self)
{
	struct records *state = self->state;
	char why[512];

	state->rules.v = calloc(self->nrows + 1, sizeof(*state->rules.v));
	for (size_t i = 0; state->rules.v && i < self->nrows; i++) {
		const struct records_rule_conf *row = self->rows[i].conf;
		struct redact_rule *rule = &state->rules.v[i];

		rule->with = row->with;
		rule->nwith = strlen(row->with);
		if (redact_compile(row->pattern, &rule->code, why, sizeof(why)))
			return false;
		state->rules.n++;
	}
	return state->rules.v != NULL;
}

/* ---- metrics ---- */

static void series(struct ch_self *self)
{
	struct records *state = self->state;
	const char *labels[2] = { records_inference.name, NULL };

	state->rows = ch_series(self, M_ROWS, labels);
	labels[0] = "other";
	state->others = ch_series(self, M_ROWS, labels);
	labels[1] = "all";
	for (int i = 0; i < 8; i++) {
		labels[0] = i && i <= JOURNAL_BAD_ROW ? journal_rc_name(i) : "other";
		state->lost[i] = ch_series(self, M_LOST, labels);
	}
	state->bytes = ch_series(self, M_BYTES, NULL);
	state->full = ch_series(self, M_FULL, NULL);
	state->sync_seconds = ch_series(self, M_SYNC_SECONDS, NULL);
	state->sync_failures = ch_series(self, M_SYNC_FAILURES, NULL);
	state->quarantined = ch_series(self, M_QUARANTINED, NULL);
	state->redaction_failures = ch_series(self, M_REDACTION, NULL);
	state->left_out = ch_series(self, M_LEFT_OUT, NULL);
}

static void sink_series(struct ch_self *self, struct shipper *s)
{
	static const char *const outcomes[SHIPPED_OUTCOMES] = { "done", "retry", "refused" };
	static const char *const lost[3] = { "dropped", "damaged", "missing" };
	const char *labels[2] = { s->id, NULL };

	s->series.lag_rows = ch_series(self, M_LAG_ROWS, labels);
	s->series.lag_seconds = ch_series(self, M_LAG_SECONDS, labels);
	s->series.shipped = ch_series(self, M_SHIPPED, labels);
	s->series.dead = ch_series(self, M_DEAD, labels);
	for (int i = 0; i < SHIPPED_OUTCOMES; i++) {
		labels[1] = outcomes[i];
		s->series.batches[i] = ch_series(self, M_BATCHES, labels);
	}
	labels[1] = s->id;
	for (int i = 0; i < 3; i++) {
		labels[0] = lost[i];
		s->series.lost[i] = ch_series(self, M_LOST, labels);
	}
}

/* ---- life ---- */

static struct shipper *find(const struct records *r, const char *id)
{
	for (size_t i = 0; r && i < r->nsinks; i++)
		if (!strcmp(r->sinks[i].shipper->id, id))
			return r->sinks[i].shipper;
	return NULL;
}

/* A shipper for each sink: the predecessor's, or a new one. */
static bool take_sinks(struct ch_self *self, const struct records *was)
{
	const struct records_conf *conf = self->conf;
	struct records *state = self->state;
	char err[400];

	state->sinks = calloc(conf->sinks.n + 1, sizeof(*state->sinks));
	for (size_t i = 0; state->sinks && i < conf->sinks.n; i++) {
		const struct ch_svc *svc = conf->sinks.v[i];
		struct shipper *kept = find(was, svc->id);
		struct shipper *s = kept ? shipper_hold(kept) : shipper_new(state->ledger, svc->id, err, sizeof(err));

		if (!s) {
			ch_log(self, NULL, CH_ERR, "%s", err);
			return false;
		}
		if (!kept) /* one that is at work reads them, and they hold as long as the process */
			sink_series(self, s);
		state->sinks[state->nsinks++] = (struct records_sink){ s, svc };
	}
	return state->sinks != NULL;
}

static void stop(struct ch_self *self)
{
	struct records *state = self->state;

	if (state->ledger)
		ledger_leave(state->ledger);
	for (size_t i = 0; i < state->nsinks; i++)
		shipper_put(state->sinks[i].shipper);
	free(state->sinks);
	for (size_t i = 0; i < state->rules.n; i++)
		redact_free(state->rules.v[i].code);
	free(state->rules.v);
	if (state->ledger)
		ledger_speaks_as(state->ledger, NULL, self);
	ledger_put(state->ledger);
	state->ledger = NULL;
}

static void open_ledger(struct ch_self *self)
{
	const struct records_conf *conf = self->conf;
	struct records *state = self->state;
	const struct ledger_conf l = { conf->dir, conf->max_bytes, conf->sync_interval, conf->on_full };
	char err[400];

	state->ledger = ledger_open(self, &l, err, sizeof(err));
	if (!state->ledger)
		ch_log(self, NULL, CH_ERR, "%s", err);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct records *was = prev ? prev->state : NULL;
	struct records *state = self->state;
	bool ok;

	series(self);
	if (was)
		state->ledger = ledger_hold(was->ledger); /* its keys cannot change in a running server: CH_O_RESTART */
	else
		open_ledger(self);
	if (state->ledger)
		ledger_enter(state->ledger);
	ok = state->ledger && compile_rules(self) && take_sinks(self, was);
	if (ok && !was && !ledger_run(state->ledger)) {
		ch_log(self, NULL, CH_ERR, "no thread can be had for the journal");
		ok = false;
	}
	if (!ok)
		stop(self);
	else
		tables_add(state->ledger->tables, &records_inference); /* its columns as they are now */
	return ok ? CH_OK : CH_ERROR;
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	const struct records *state = self->state;

	(void)prev;
	ledger_speaks_as(state->ledger, self, NULL);
}

static int loop_start(struct ch_self *self, struct ch_loop *loop)
{
	int rc = records_rooms_new(self, loop);

	return rc == CH_OK && loop == records_house() ? records_pulse_start(self, loop) : rc;
}

static void loop_stop(struct ch_self *self, struct ch_loop *loop)
{
	records_rooms_free(self, loop);
	if (loop == records_house())
		records_pulse_stop(self);
}

/* ---- tables ---- */

static const char *const durabilities[] = { "process", "disk", NULL };
static const char *const on_fulls[] = { "drop_oldest", "drop_new", "refuse_requests", NULL };

static const struct ch_option options[] = {
	CH_OPT(struct records_conf, sinks, SERVICES, .def = "*", .iface = "sink/1", .help = "Where rows go, each row to every one of them"),
	CH_OPT(struct records_conf, dir, DATA, .def = "journal", .flags = CH_O_REQUIRED | CH_O_RESTART,
		.help = "Folder of the journal, checkpoints and dead letters; one server's alone"),
	CH_OPT(struct records_conf, max_bytes, SIZE, .def = "1g", .min = "8m", .max = "1024g", .flags = CH_O_RESTART,
		.help = "Most bytes of rows that have not reached every sink"),
	CH_OPT(struct records_conf, durability, ENUM, .def = "process", .values = durabilities,
		.help = "When an answer's last byte may leave: its row survives kill -9 (process), or a power loss too (disk)"),
	CH_OPT(struct records_conf, sync_interval, DURATION, .def = "100ms", .min = "1ms", .max = "1m", .flags = CH_O_RESTART,
		.help = "How long a row may be in memory alone; with durability = disk answers do not wait so long"),
	CH_OPT(struct records_conf, on_full, ENUM, .def = "drop_oldest", .values = on_fulls, .flags = CH_O_RESTART,
		.help = "At max_bytes: the oldest rows go, new ones are not taken, or requests are refused with 503 before that"),
	CH_OPT(struct records_conf, store_content, BOOL, .def = "no",
		.help = "Keep prompts and answers, redacted by the rows of this section"),
	CH_OPT(struct records_conf, content_max, SIZE, .def = "16k", .min = "1k", .max = "256k",
		.help = "Most bytes of a prompt or answer that are kept"),
	CH_OPT(struct records_conf, retention, DURATION, .def = "30d", .min = "1d", .flags = CH_O_OFF,
		.help = "Rows older than this are removed from the sinks, every hour; off: never"),
};

static const struct ch_option rule_options[] = {
	CH_OPT(struct records_rule_conf, pattern, STR, .flags = CH_O_REQUIRED,
		.help = "What is taken out of prompts and answers: a pattern of PCRE2"),
	CH_OPT(struct records_rule_conf, with, STR, .def = "[redacted]", .help = "What stands there instead"),
};

#define SINK { "sink", CH_L_CONFIG, NULL }
static const struct ch_metric metrics[] = {
	[M_ROWS] = { .name = "chimera_ledger_rows_total", .kind = CH_COUNTER, .labels = { { "table", CH_L_CONFIG, NULL } },
		.help = "Rows that the journal has taken" },
	[M_LOST] = { .name = "chimera_ledger_lost_total", .kind = CH_COUNTER, .labels = { { "reason", CH_L_CONFIG, NULL }, SINK },
		.help = "Rows that the journal has not taken (sink: all), or that a sink will never get" },
	[M_BYTES] = { .name = "chimera_ledger_bytes", .kind = CH_GAUGE, .help = "Bytes of the journal that are in use" },
	[M_FULL] = { .name = "chimera_ledger_full_ratio", .kind = CH_GAUGE, .help = "The same as a share of max_bytes; alarm at 0.8" },
	[M_LAG_ROWS] = { .name = "chimera_ledger_lag_rows", .kind = CH_GAUGE, .labels = { SINK },
		.help = "Rows that are not at the sink yet" },
	[M_LAG_SECONDS] = { .name = "chimera_ledger_lag_seconds", .kind = CH_GAUGE, .labels = { SINK },
		.help = "Age of the oldest row that is not at the sink yet" },
	[M_SHIPPED] = { .name = "chimera_ledger_shipped_total", .kind = CH_COUNTER, .labels = { SINK },
		.help = "Rows that the sink has taken" },
	[M_DEAD] = { .name = "chimera_ledger_dead_letters_total", .kind = CH_COUNTER, .labels = { SINK },
		.help = "Rows that the sink has refused, kept in dlq.jsonl" },
	[M_BATCHES] = { .name = "chimera_ledger_batches_total", .kind = CH_COUNTER, .labels = { SINK, { "outcome", CH_L_CONFIG, NULL } },
		.help = "Batches sent, by what came of it" },
	[M_SYNC_SECONDS] = { .name = "chimera_ledger_sync_seconds", .kind = CH_GAUGE, .help = "How long the journal's last sync took" },
	[M_SYNC_FAILURES] = { .name = "chimera_ledger_sync_failures", .kind = CH_GAUGE,
		.help = "Times that the journal could not be made durable, since the start" },
	[M_QUARANTINED] = { .name = "chimera_ledger_quarantined_bytes", .kind = CH_GAUGE,
		.help = "Damaged bytes that were set aside, since the start" },
	[M_REDACTION] = { .name = "chimera_ledger_redaction_failures_total", .kind = CH_COUNTER,
		.help = "Texts that were taken away whole because a pattern needed too many steps" },
	[M_LEFT_OUT] = { .name = "chimera_ledger_left_out_total", .kind = CH_COUNTER,
		.help = "Requests that reached no backend and left no row, to keep what room the ledger had for those that did" },
};

static const struct ch_hook hooks[] = {
	{ .phase = CH_P_LIMIT, .band = CH_EARLY, .fn = records_on_limit },
	{ .phase = CH_P_END, .band = CH_LATE, .fn = records_on_end },
};
static const struct ch_tap taps[] = { { records_on_answer } };
static const struct ch_provide provides[] = { { .iface = "ledger/1", .vt = &records_ledger } };
static const struct ch_check checks[] = { { .name = "ledger", .critical = 1, .fn = records_on_check } };
static const struct ch_cron crons[] = { { .name = "retention", .when = "23 * * * *", .fn = records_on_retention } };
static const struct ch_command commands[] = {
	{ .name = "records", .modes = CH_LIVE | CH_OFFLINE, .args = "status | show REQ_ID", .min_args = 1, .max_args = 2,
	  .summary = "How far each sink is, or the rows of a request", .fn = records_command },
	{ .name = "dlq", .modes = CH_LIVE | CH_OFFLINE, .args = "list | show ROW_ID | replay [ROW_ID|all] | purge [ROW_ID|all]",
	  .min_args = 1, .max_args = 2, .summary = "Rows that a sink has refused", .fn = records_dlq },
};

static const struct ch_plugin records = {
	.size = sizeof(records),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "records",
	.version = "0.1",
	.summary = "The usage ledger: a row for each request, kept and passed on",
	.conf_size = sizeof(struct records_conf),
	.row_conf_size = sizeof(struct records_rule_conf),
	.state_size = sizeof(struct records),
	.options = CH_TABLE(options),
	.row_options = CH_TABLE(rule_options),
	.metrics = CH_TABLE(metrics),
	.hooks = CH_TABLE(hooks),
	.taps = CH_TABLE(taps),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.crons = CH_TABLE(crons),
	.commands = CH_TABLE(commands),
	.check = check,
	.start = start,
	.adopt = adopt,
	.stop = stop,
	.loop_start = loop_start,
	.loop_stop = loop_stop,
	.drained = records_drained,
};

CH_PLUGIN(records, records)
