/* SPDX-License-Identifier: Apache-2.0 */
/* refuse.c - a refusal that says whose limit it was, how much that is, and when to come back. */
#include "ratelimit.h"
#include "text.h"

#define QUOTA_EXCEEDED "https://iana.org/assignments/http-problem-types#quota-exceeded"
#define LEAST_WAIT_MS 1000
#define PATIENCE_MS 60000                 /* OpenAI's clients wait as long as Retry-After says up to a minute, and as they like past it */

static bool passes(const struct ratelimit_take *t, size_t i)
{
	const struct ch_kv_level *level = ratelimit_level(t, i);

	return !level || level->passes;
}

/* Of those that do not pass the one that makes the client wait longest: for ever, then by time. */
static size_t worst(const struct ratelimit_take *t)
{
	size_t worst = t->n;

	for (size_t i = 0; i < t->n; i++) {
		if (passes(t, i))
			continue;
		int64_t wait = ratelimit_level(t, i)->wait_ms;

		if (worst == t->n || wait == CH_KV_NEVER ||
		    (ratelimit_level(t, worst)->wait_ms != CH_KV_NEVER && t->parts[i].unit != CONCURRENT &&
		     (t->parts[worst].unit == CONCURRENT || wait > ratelimit_level(t, worst)->wait_ms)))
			worst = i;
	}
	return worst;
}

/* "violated-policies":["requests"] */
static struct ch_str violated(const struct ratelimit_take *t)
{
	char *text = ch_alloc(t->rq->c, 32 + t->n * (NAME_LIMIT + 16)), *at = text;

	if (!text)
		return (struct ch_str){ NULL, 0 };
	at = put_text(at, "\"violated-policies\":[");
	for (size_t i = 0; i < t->n; i++) {
		if (passes(t, i))
			continue;
		at = put_text(at, at[-1] == '[' ? "\"" : ",\"");
		at = ratelimit_policy_name(&t->parts[i], at);
		*at++ = '"';
	}
	*at++ = ']';
	return (struct ch_str){ text, (size_t)(at - text) };
}

static const char *whose(const struct ratelimit_request *rq)
{
	switch (rq->whose) {
	case WHO_OWNER:
		return "the owner of this key";
	case WHO_KEY:
		return "this key";
	default:
		return ch_print(rq->c, "the address %.64s", rq->who.n ? rq->who.p : "of this connection");
	}
}

/* The limit's name in the config. */
static const char *which(const struct ratelimit_request *rq, const struct ratelimit_part *part)
{
	const struct ratelimit_row_conf *row = part->rule->row;

	if (part->rule == rq->tier)
		return !row && rq->whose == WHO_KEY && ch_facts(rq->c)->limits && *ch_facts(rq->c)->limits
			       ? "its own limits"
			       : ch_print(rq->c, "tier \"%s\"", part->rule->name.p);
	if (row->endpoint.n)
		return ch_print(rq->c, "limit \"%s\" on %s", part->rule->name.p, ch_facts(rq->c)->endpoint);
	return ch_print(rq->c, "limit \"%s\" on this model", part->rule->name.p);
}

static const char *detail(const struct ratelimit_take *t, size_t i, int64_t retry_after_ms)
{
	struct ch_ctx *c = t->rq->c;
	const struct ratelimit_part *part = &t->parts[i];
	const struct ratelimit_shape *shape = ratelimit_shape_of(t, i);
	const char *who = whose(t->rq), *of = which(t->rq, part), *unit = part->unit == TOKENS ? "tokens" : "requests";
	long long wait = (retry_after_ms + 999) / 1000, burst = shape->burst, cost = part->cost;
	long long places = ratelimit_numbers(t, i)->concurrent;
	char rate[40];

	if (!who || !of)
		return NULL;
	if (part->unit == CONCURRENT && places)
		return ch_print(c, "Too many requests at a time: %s may have %lld (%s); try again when one of them has ended.", who, places,
			of);
	if (part->unit == CONCURRENT || !shape->count)
		return ch_print(c, "No %s are allowed: %s has a limit of 0 (%s), and no wait changes that.", unit, who, of);
	ratelimit_rate_text(shape, rate);
	if (part->unit == REQUESTS)
		return ch_print(c, "Too many requests: %s may make %s, %lld at once (%s); try again in %lld s.", who, rate, burst, of,
			wait);
	if (!retry_after_ms)
		return ch_print(c, "Too many tokens: %s may use %lld at once (%s), and this request may need %lld: send a shorter prompt, "
			"or ask for fewer by max_tokens.", who, burst, of, cost);
	return ch_print(c, "Too many tokens: %s may use %s, %lld at once (%s), and this request may need %lld; try again in %lld s, or ask "
		"for fewer by max_tokens.", who, rate, burst, of, cost, wait);
}

static int64_t wait_of(const struct ratelimit_take *t, size_t i)
{
	int64_t wait = ratelimit_level(t, i)->wait_ms;

	if (wait == CH_KV_NEVER)
		return 0;
	/* When the next one leaves is known to nobody; that all have left, at the latest, helps nobody. */
	return t->parts[i].unit == CONCURRENT || wait < LEAST_WAIT_MS ? LEAST_WAIT_MS : wait;
}

struct ratelimit_no ratelimit_no(struct ratelimit_take *t)
{
	struct ratelimit_no no = { .code = CH_E_RATE_LIMITED, .type = QUOTA_EXCEEDED };
	size_t i = worst(t);

	ch_add(t->rq->tier->denials, 1);
	if (t->no_memory || i == t->n)
		return (struct ratelimit_no){
			.code = t->no_memory ? CH_E_OVERLOADED : CH_E_UNAVAILABLE,
			.retry_after_ms = LEAST_WAIT_MS,
			.detail = t->no_memory ? "No memory is left for this request; try again."
					       : "The limits cannot be checked now, because their store is away; try again later.",
		};
	no.retry_after_ms = wait_of(t, i);
	no.detail = detail(t, i, no.retry_after_ms);
	no.more = violated(t);
	if (ch_is_http(t->rq->c) && (!no.retry_after_ms || no.retry_after_ms > PATIENCE_MS))
		ch_header_set(t->rq->c, "x-should-retry", "false");
	return no;
}

int ratelimit_refuse(struct ratelimit_take *t)
{
	struct ratelimit_no no = ratelimit_no(t);

	return ch_refuse_as(t->rq->c, &(struct ch_refusal){
		.size = sizeof(struct ch_refusal),
		.code = no.code,
		.retry_after_ms = no.retry_after_ms,
		.detail = no.detail,
		.type = no.type,
		.more = no.more,
	});
}
