/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.c - every hour: rows that are old enough leave the sinks, sink by sink and table by table, until a sink says that none is left.
 *
 * Threads and ownership: a task on the house loop.
 */
#include "records.h"

struct sweep { /* in the task */
	struct ch_self *self;
	struct ch_ctx *c;
	size_t sink, table;
	int64_t before;
	uint64_t gone;
	struct ch_sink_result result;
};

static int go(struct sweep *w);

static const struct ch_svc *svc_of(const struct sweep *w)
{
	return ((const struct records *)w->self->state)->sinks[w->sink].svc;
}

/* What a call has brought: go on with the same, or with the next. */
static void look(struct sweep *w)
{
	if (w->result.outcome != CH_SINK_DONE)
		ch_log(w->self, w->c, CH_WARN, "rows older than `retention` stay in %s for an hour more: %s", svc_of(w)->id,
			w->result.detail ? w->result.detail : "it does not say why");
	else
		w->gone += w->result.rows;
	if (w->result.outcome == CH_SINK_DONE && w->result.rows)
		return;
	w->table++;
}

static int on_expired(struct ch_ctx *c, void *data, int why, void *result)
{
	struct sweep *w = data;

	(void)result;
	if (why != CH_READY) {
		((const struct ch_sink_v1 *)svc_of(w)->vt)->cancel(svc_of(w), c, &w->result);
		return CH_DONE;
	}
	look(w);
	return go(w);
}

static int go(struct sweep *w)
{
	const struct records *state = w->self->state;

	while (w->sink < state->nsinks) {
		const struct ch_relation *table = tables_at(state->ledger->tables, w->table);
		const struct ch_svc *svc = svc_of(w);
		ch_ticket ticket;
		int rc;

		if (!table) {
			if (w->gone)
				ch_log(w->self, w->c, CH_INFO, "%llu rows older than `retention` have left %s", (unsigned long long)w->gone,
					svc->id);
			w->sink++;
			w->table = w->gone = 0;
			continue;
		}
		ticket = ch_suspend(w->c, 0, on_expired, w);
		if (!ticket)
			return CH_DONE;
		w->result = (struct ch_sink_result){ .size = sizeof(w->result) };
		rc = ((const struct ch_sink_v1 *)svc->vt)->expire(svc, w->c, table, w->before, &w->result, ticket);
		if (rc == CH_AGAIN)
			return CH_AGAIN;
		ch_unsuspend(ticket);
		look(w);
	}
	return CH_DONE;
}

int records_on_retention(struct ch_self *self, struct ch_ctx *c)
{
	const struct records_conf *conf = self->conf;
	struct sweep *w = conf->retention < 0 ? NULL : ch_alloc(c, sizeof(*w));

	if (!w)
		return CH_DONE;
	w->self = self;
	w->c = c;
	w->before = ch_wall() - conf->retention * 1000;
	return go(w);
}
