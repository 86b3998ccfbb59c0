/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c - rows into the journal: those of requests, and those that other plugins bring by ledger/1.
 *
 * Threads and ownership: any thread; the journal copies.
 */
#include "records.h"

static int keep(const struct ch_self *self, const struct ch_relation *table, const struct ch_value *row, struct journal_pos *end)
{
	const struct records *state = self->state;
	int rc = ledger_append(state->ledger, table, row, end);

	if (rc == JOURNAL_OK)
		ch_add(table == &records_inference ? state->rows : state->others, 1);
	else
		ch_add(state->lost[rc], 1);
	return rc;
}

void records_keep(struct ch_self *self, struct ch_ctx *c, const struct ch_value *row)
{
	const struct records_conf *conf = self->conf;
	const struct records *state = self->state;
	struct journal_pos end;

	if (keep(self, &records_inference, row, &end) == JOURNAL_OK && conf->durability == RECORDS_DISK)
		ledger_wait(state->ledger, c, &end);
}

int records_on_limit(struct ch_self *self, struct ch_ctx *c)
{
	const struct records *state = self->state;

	if (!ch_facts(c)->ledger || journal_takes(state->ledger->journal))
		return CH_OK;
	return ch_refuse(c, CH_E_OVERLOADED, 5000,
		"The usage ledger is full, and this server answers nothing that it cannot record; try again later.");
}

static int append(const struct ch_svc *svc, const struct ch_relation *table, const struct ch_value *row)
{
	return keep(svc->self, table, row, NULL) == JOURNAL_OK ? CH_OK : CH_ERROR;
}

static bool takes(const struct ch_svc *svc)
{
	return journal_takes(((const struct records *)svc->self->state)->ledger->journal);
}

const struct ch_ledger_v1 records_ledger = { .size = sizeof(records_ledger), .append = append, .takes = takes };
