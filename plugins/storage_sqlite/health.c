/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - the check: does SELECT 1 come back within a second, can the disk be written, is the schema as it should be? */
#include <stdio.h>

#include "sqlite.h"

#define THRESHOLD_MS 1000

struct check {
	struct ch_self *self;
	struct ch_check_result *out;
	struct ch_sql_args args;
	struct ch_sql_result result;
};

static const struct ch_sql_statement select_one = { .text = "SELECT 1", .want = 1 };

static int set(struct ch_check_result *out, int health, const char *text)
{
	out->health = health;
	snprintf(out->message, sizeof(out->message), "%.*s", (int)sizeof(out->message) - 1, text);
	return CH_OK;
}

static int judge(struct check *k)
{
	struct sq_store *s = k->self->state;
	struct ch_migrate_status schema;
	char why[sizeof(s->why)];
	bool full;

	if (k->result.error)
		return set(k->out, CH_UNHEALTHY, k->result.detail);
	pthread_mutex_lock(&s->lock);
	schema = s->schema;
	full = s->full;
	snprintf(why, sizeof(why), "%s", s->full_why);
	pthread_mutex_unlock(&s->lock);
	k->out->health = ch_migrate_health(&schema, k->out->message, sizeof(k->out->message));
	if (full && k->out->health != CH_UNHEALTHY)
		return set(k->out, CH_DEGRADED, why);
	return CH_OK;
}

static int on_answer(struct ch_ctx *ctx, void *data, int why, void *result)
{
	struct check *k = data;

	(void)ctx;
	(void)result;
	if (why == CH_READY)
		return judge(k);
	sq_sql_cancel(&k->result);
	if (why == CH_GONE)
		return CH_DONE;
	return set(k->out, CH_UNHEALTHY, "SELECT 1 was not answered within 1 s: the disk is slow, or too many calls wait.");
}

int sq_check(struct ch_self *self, struct ch_ctx *ctx, struct ch_check_result *out)
{
	struct check *k = ch_alloc(ctx, sizeof(*k));
	ch_ticket ticket;
	int rc;

	if (!k)
		return set(out, CH_DEGRADED, "The server has no memory for the check.");
	k->self = self;
	k->out = out;
	k->args = (struct ch_sql_args){ .size = sizeof(k->args), .statements = CH_SQL(&select_one, 1) };
	k->result.size = sizeof(k->result);
	ticket = ch_suspend(ctx, THRESHOLD_MS, on_answer, k);
	if (!ticket)
		return set(out, CH_DEGRADED, "The server has no memory for the check.");
	rc = sq_sql_run(self, ctx, &k->args, &k->result, ticket);
	if (rc == CH_AGAIN)
		return rc;
	ch_unsuspend(ticket);
	return judge(k);
}
