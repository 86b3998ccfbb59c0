/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.c - data access: how often each owner was here. A login is the first request behind login_gap of silence; the database knows
 * when the
 * last one was, whichever server had it.
 */
#include "identity.h"

void id_stats_add(struct ch_self *self, struct ch_ctx *c, const struct id_stat *v, size_t n, struct id_result *out, ch_ticket ticket)
{
	const struct identity_conf *conf = self->conf;
	struct id_call *k = id_call(self, c, sizeof(*k), n, n * 4, out, ticket);

	if (!k)
		return;
	for (size_t i = 0; i < n; i++)
		id_add(k,
		"INSERT INTO user_stats (user_id, logins, requests, last_seen) VALUES ($1, 1, $2, $3) ON CONFLICT (user_id) DO UPDATE SET "
			"logins = user_stats.logins + CASE WHEN user_stats.last_seen < $4 THEN 1 ELSE 0 END, "
			"requests = user_stats.requests + excluded.requests, "
			"last_seen = CASE WHEN user_stats.last_seen < excluded.last_seen THEN excluded.last_seen ELSE user_stats.last_seen END", 1,
			ID_VALUES(ch_v_text(v[i].owner), ch_v_int(v[i].requests), ch_v_time(v[i].last),
				ch_v_time(v[i].first - conf->login_gap * 1000)));
	id_run(k, id_end);
}
