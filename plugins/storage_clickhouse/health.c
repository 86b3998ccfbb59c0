/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - the health check: does the server answer SELECT 1 within a second, and is its schema what this version expects? */
#include <stdio.h>

#include "health.h"
#include "migrations.h"
#include "query.h"

#define SLOW_US 1000000

struct look {
	struct click_query q;
	struct ch_check_result *out;
};

static void say(struct ch_check_result *out, int health, const char *text)
{
	out->health = health;
	snprintf(out->message, sizeof(out->message), "%s", text);
}

static int on_one(struct click_query *q)
{
	struct look *look = q->arg;
	struct click *k = q->k;
	struct ch_migrate_status schema;
	char text[160];

	if (q->error.kind || q->n < 1 || q->text[0] != '1') {
		say(look->out, CH_UNHEALTHY, q->error.kind ? q->detail : "What answers at the option url is not ClickHouse.");
		ch_degraded(k->self, "server", true, "%s", look->out->message);
		click_query_free(q);
		return CH_OK;
	}
	click_query_free(q);
	pthread_mutex_lock(&k->lock);
	schema = k->schema;
	pthread_mutex_unlock(&k->lock);
	look->out->health = ch_migrate_health(&schema, text, sizeof(text));
	snprintf(look->out->message, sizeof(look->out->message), "%s", text);
	if (q->took <= SLOW_US)
		return CH_OK;
	snprintf(text, sizeof(text), "SELECT 1 took %.1f s, it should take less than 1 s", (double)q->took / 1e6);
	if (look->out->health == CH_HEALTHY)
		say(look->out, CH_DEGRADED, text);
	return CH_OK;
}

int click_check(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	struct look *look = ch_alloc(c, sizeof(*look));
	struct click_text sql = { .c = c };
	struct click *k = self->state;

	click_migrations_begin(k);
	if (!look) {
		say(out, CH_DEGRADED, "No memory is left to ask.");
		return CH_OK;
	}
	look->out = out;
	look->q.k = k;
	look->q.c = c;
	look->q.done = on_one;
	look->q.arg = look;
	look->q.due = ch_now() + click_conf_of(k)->timeout * 1000;
	click_text_print(&sql, "SELECT 1");
	return click_query_read(&look->q, &sql);
}
