/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers.c - RESPONSE: what an answer says about limits, in three dialects that agree: X-RateLimit-*, the IETF's RateLimit fields (draft
 * 11), and on OpenAI's routes x-ratelimit-*-requests and -tokens.
 *
 * A bucket is told as a quota of its burst in a window of the time that it takes to fill: the same rate, and what is left is never more
 * than the quota. The figures are those of the decision.
 */
#include "ratelimit.h"
#include "text.h"

static const char *const units[] = { [REQUESTS] = "requests", [TOKENS] = "tokens", [CONCURRENT] = "concurrent-requests" };

#define ITEM_MAX (NAME_LIMIT + 11 + 4 * NUMBER_MAX + 40)
#define FIELD_MAX (2 * PARTS_MAX * ITEM_MAX)

struct figures {
	char policy[FIELD_MAX], limit[FIELD_MAX];
	char *at_policy, *at_limit;
	/* The tightest limit of each unit: what has the least left. */
	const struct ch_kv_level *least[3];
	int64_t quota[3];
};

static int64_t seconds(int64_t ms)
{
	return (ms + 999) / 1000;
}

char *ratelimit_policy_name(const struct ratelimit_part *part, char *at)
{
	static const char *const names[] = { [REQUESTS] = "requests", [TOKENS] = "tokens", [CONCURRENT] = "concurrent" };
	const struct ratelimit_row_conf *row = part->rule->row;

	if (!row || !(row->endpoint.n || row->model.n))
		return put_text(at, names[part->unit]);
	at = put_bytes(at, part->rule->name.p, part->rule->name.n);
	if (part->unit != REQUESTS)
		at = put_text(put_text(at, "-"), names[part->unit]);
	return at;
}

static void add(struct figures *f, const struct ratelimit_take *t, size_t i)
{
	const struct ratelimit_part *part = &t->parts[i];
	const struct ch_kv_level *level = ratelimit_level(t, i), *least = f->least[part->unit];
	const struct ratelimit_shape *shape = ratelimit_shape_of(t, i);
	int64_t quota = part->unit == CONCURRENT ? ratelimit_numbers(t, i)->concurrent : shape->burst;
	bool flows = part->unit != CONCURRENT && shape->count;
	char *at = f->at_policy, name[NAME_LIMIT + 12];
	size_t n = (size_t)(ratelimit_policy_name(part, name) - name);

	if (!level)
		return;
	at = put_text(at, at == f->policy ? "\"" : ", \"");
	at = put_number(put_text(put_bytes(at, name, n), "\";q="), quota);
	if (flows)
		at = put_number(put_text(at, ";w="), shape->window_s);
	f->at_policy = put_text(put_text(put_text(at, ";qu=\""), units[part->unit]), "\"");
	at = f->at_limit;
	at = put_text(at, at == f->limit ? "\"" : ", \"");
	at = put_number(put_text(put_bytes(at, name, n), "\";r="), level->left);
	f->at_limit = flows ? put_number(put_text(at, ";t="), seconds(level->full_ms)) : at;
	if (!least || level->left < least->left || (level->left == least->left && level->full_ms > least->full_ms)) {
		f->least[part->unit] = level;
		f->quota[part->unit] = quota;
	}
}

static void set_number(struct ch_ctx *c, const char *name, int64_t v)
{
	char text[NUMBER_MAX + 1];

	*put_number(text, v) = '\0';
	ch_header_set(c, name, text);
}

static void set_openai(struct ch_ctx *c, const struct figures *f)
{
	static const struct { int unit; const char *limit, *remaining, *reset; } sets[] = {
		{ REQUESTS, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests" },
		{ TOKENS, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens" },
	};
	char text[40];

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		const struct ch_kv_level *level = f->least[sets[i].unit];

		if (!level)
			continue;
		set_number(c, sets[i].limit, f->quota[sets[i].unit]);
		set_number(c, sets[i].remaining, level->left);
		*put_duration(text, level->full_ms) = '\0';
		ch_header_set(c, sets[i].reset, text);
	}
}

int ratelimit_on_response(struct ch_self *self, struct ch_ctx *c)
{
	const struct ratelimit_request *rq = *ch_slot(self, c);
	const struct ratelimit_take *takes[2];
	struct figures f;

	if (!rq || (!rq->entry && !rq->reserved))
		return CH_OK;
	takes[0] = rq->entry;
	takes[1] = rq->reserved;
	f.at_policy = f.policy;
	f.at_limit = f.limit;
	memset(f.least, 0, sizeof(f.least));
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; takes[k] && i < takes[k]->n; i++)
			add(&f, takes[k], i);
	for (size_t k = 0; rq->degraded && k < 2; k++)
		if (takes[k] && takes[k]->passes && takes[k]->at == NOWHERE)
			ch_header_set(c, "X-RateLimit-Degraded", "pass");
		else if (takes[k] && takes[k]->at == FALLBACK)
			ch_header_set(c, "X-RateLimit-Degraded", "fallback");
	if (f.at_limit == f.limit)
		return CH_OK;
	*f.at_policy = *f.at_limit = '\0';
	if (f.least[REQUESTS]) {
		set_number(c, "X-RateLimit-Limit", f.quota[REQUESTS]);
		set_number(c, "X-RateLimit-Remaining", f.least[REQUESTS]->left);
		set_number(c, "X-RateLimit-Reset", seconds(f.least[REQUESTS]->full_ms));
	}
	ch_header_set(c, "RateLimit-Policy", f.policy);
	ch_header_set(c, "RateLimit", f.limit);
	if (ch_route(c) && ch_route(c)->dialect == CH_D_OPENAI)
		set_openai(c, &f);
	return CH_OK;
}
