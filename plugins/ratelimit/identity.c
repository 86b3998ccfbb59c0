/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.c - whose limits hold for a ctx, and the hash that names him outside of this process.
 *
 * All keys of an owner share his limits; a key without an owner, and one with limits of its own, has its own; who shows no key is limited
 * as his address, of which an IPv6 one counts by its /64, which is what one customer of a network has.
 */
#include <stdlib.h>

#include <chimera/kit/net.h>

#include "ratelimit.h"
#include "text.h"

/* ---- what each loop remembers ---- */

#define CACHED 512                        /* a power of two */
#define ID_MAX 62                         /* longer ones are hashed each time */
#define MODEL_MAX 128

struct identity {
	uint8_t n;                        /* 0: empty */
	char whose;
	char id[ID_MAX];
	char hex[2 * CH_SHA256];
};

struct loop {
	struct identity v[CACHED];
	char model[MODEL_MAX];            /* that answered a question without one */
	size_t nmodel;
};

static size_t place_of(char whose, struct ch_str id)
{
	uint64_t h = (uint64_t)whose + id.n, word;

	for (size_t i = 0; i < id.n; i += sizeof(word)) {
		word = 0;
		memcpy(&word, id.p + i, id.n - i < sizeof(word) ? id.n - i : sizeof(word));
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	return h & (CACHED - 1);
}

/* The hash is of a letter for the kind, and the id: an owner and a key of the same name are two. */
static void hash(char whose, struct ch_str id, char hex[2 * CH_SHA256 + 1])
{
	char kind[2] = { whose, ':' };
	struct ch_str parts[2] = { { kind, 2 }, id };
	unsigned char sum[CH_SHA256];

	ch_sha256(parts, 2, sum);
	ch_hex(sum, sizeof(sum), hex);
}

static char *put_hash(struct ratelimit_request *rq, char whose, struct ch_str id, char *at)
{
	struct loop *loop = *ch_loop_state(rq->self, ch_loop(rq->c));
	struct identity *e = loop && id.n && id.n <= ID_MAX ? &loop->v[place_of(whose, id)] : NULL;
	char hex[2 * CH_SHA256 + 1];

	if (e && e->n == id.n && e->whose == whose && !memcmp(e->id, id.p, id.n))
		return put_bytes(at, e->hex, sizeof(e->hex));
	hash(whose, id, hex);
	if (e) {
		e->n = (uint8_t)id.n;
		e->whose = whose;
		memcpy(e->id, id.p, id.n);
		memcpy(e->hex, hex, sizeof(e->hex));
	}
	return put_bytes(at, hex, sizeof(hex) - 1);
}

struct ch_str ratelimit_standard_model(struct ch_self *self, struct ch_ctx *c)
{
	const struct loop *loop = *ch_loop_state(self, ch_loop(c));

	return loop ? (struct ch_str){ loop->model, loop->nmodel } : (struct ch_str){ NULL, 0 };
}

void ratelimit_standard_model_is(struct ch_self *self, struct ch_ctx *c, const char *model)
{
	struct loop *loop = *ch_loop_state(self, ch_loop(c));
	size_t n = strlen(model);

	if (!loop || n > MODEL_MAX || (n == loop->nmodel && !memcmp(loop->model, model, n)))
		return;
	memcpy(loop->model, model, n);
	loop->nmodel = n;
}

int ratelimit_loop_start(struct ch_self *self, struct ch_loop *l)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	*ch_loop_state(self, l) = loop;
	return loop ? CH_OK : CH_ERROR;
}

void ratelimit_loop_stop(struct ch_self *self, struct ch_loop *l)
{
	free(*ch_loop_state(self, l));
	*ch_loop_state(self, l) = NULL;
}

/* ---- names ---- */

#define PREFIX "rate_limit:"

/* What of an address counts, in `room`; what is no address (a unix socket's peer) counts as it is. */
static struct ch_str network(struct ch_str address, char room[INET6_ADDRSTRLEN])
{
	struct in6_addr a;

	if (!memchr(address.p, ':', address.n) || !ch_addr_read(address.p, address.n, &a) || IN6_IS_ADDR_V4MAPPED(&a))
		return address;
	memset(a.s6_addr + 8, 0, 8);
	ch_addr_text(&a, room);
	return (struct ch_str){ room, strlen(room) };
}

bool ratelimit_name(struct ratelimit_request *rq)
{
	static const char letters[] = { [WHO_NOBODY] = 'n', [WHO_OWNER] = 'o', [WHO_KEY] = 'k', [WHO_ADDRESS] = 'a' };
	struct ch_str id = rq->who, tier = rq->tier->name;
	char room[INET6_ADDRSTRLEN], *name, *at;

	if (rq->prefix.n)
		return true;
	name = ch_alloc(rq->c, sizeof(PREFIX) + 2 * CH_SHA256 + 1 + tier.n);
	if (!name)
		return false;
	if (rq->whose == WHO_ADDRESS)
		id = network(id, room);
	at = put_text(name, PREFIX);
	at = put_hash(rq, letters[rq->whose], id, at);
	*at++ = ':';
	at = put_bytes(at, tier.p, tier.n);
	rq->prefix = (struct ch_str){ name, (size_t)(at - name) };
	return true;
}

/* ---- whose limits hold ---- */

static bool some(const char *text)
{
	return text && *text;
}

static void whose(struct ratelimit_request *rq, const struct ch_facts *f)
{
	const char *who = NULL;

	if (some(f->key) && (some(f->limits) || !some(f->owner))) {
		rq->whose = WHO_KEY;
		who = f->key;
	} else if (some(f->owner)) {
		rq->whose = WHO_OWNER;
		who = f->owner;
	} else if (some(f->client)) {
		rq->whose = WHO_ADDRESS;
		who = f->client;
	}
	if (who)
		rq->who = (struct ch_str){ who, strlen(who) };
}

/* The tier's limits with what the key says over them. NULL: no memory. */
static const struct ratelimit_rule *own(struct ratelimit_request *rq, const char *limits)
{
	const struct ratelimit_conf *conf = rq->self->conf;
	struct ratelimit_rule *rule = ch_alloc(rq->c, sizeof(*rule));

	if (!rule)
		return NULL;
	*rule = *rq->tier;
	rule->row = NULL;
	if (ratelimit_spec_read(limits, &rule->spec) && !ratelimit_limits_make(&rule->spec, conf->fallback_share, rule->at))
		return rule;
	if (ratelimit_news(rq->self->state, limits))
		ch_log(rq->self, rq->c, CH_WARN, "the limits of key \"%s\" cannot be read, its tier's hold: \"%.200s\"; write for instance "
			"\"requests=100/min burst=20 tokens=1000/min concurrent=5\"", ch_facts(rq->c)->key, limits);
	return rq->tier;
}

struct ratelimit_request *ratelimit_request_new(struct ch_self *self, struct ch_ctx *c)
{
	const struct ch_facts *f = ch_facts(c);
	struct ratelimit_request *rq = ch_alloc(c, sizeof(*rq));

	if (!rq)
		return NULL;
	rq->self = self;
	rq->c = c;
	whose(rq, f);
	rq->tier = ratelimit_tier(self, c, f->tier);
	if (rq->whose == WHO_KEY && some(f->limits)) {
		rq->tier = own(rq, f->limits);
		if (!rq->tier)
			return NULL;
	}
	if (some(f->endpoint))
		rq->endpoint = ratelimit_rule_by_endpoint(self->state, f->endpoint, rq->tier->name);
	*ch_slot(self, c) = rq;
	return rq;
}
