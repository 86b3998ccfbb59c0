/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_claims.c - what a token's claims say, held against the rules (RFC 7519, section 4.1). */
#include <chimera/kit/json.h>

#include "jwt_read.h"

enum { C_EXP, C_NBF, C_IAT, C_ISS, C_AUD, C_OWNER, C_TIER, C_ROLE, C_MODELS, C_NAMES };

struct claims {
	const char *json;
	const char *names[C_NAMES];       /* "" and NULL: nobody asks */
	struct ch_json_tok at[C_NAMES];   /* type 0: absent; a list's `end` is behind it */
};

/* ---- finding them ---- */

/* One name may be asked for twice: the owner may be iss. A claim that stands there twice could be read in two ways. */
static const char *note(struct claims *c, const struct ch_json_tok *key, const struct ch_json_tok *value)
{
	for (int i = 0; i < C_NAMES; i++) {
		if (!c->names[i] || !c->names[i][0] || !ch_json_eq(key, c->names[i]))
			continue;
		if (c->at[i].type)
			return "a claim stands there twice";
		c->at[i] = *value;
	}
	return NULL;
}

static const char *find(struct claims *c, struct ch_str json)
{
	struct ch_json j;
	struct ch_json_tok key, tok;
	const char *why;

	ch_json_init(&j, json.p, json.n, 16, 4000);
	if (ch_json_next(&j, &tok) != CH_JSON_OBJECT)
		return "its claims are no JSON object";
	while (ch_json_next(&j, &key) == CH_JSON_KEY) {
		ch_json_next(&j, &tok);
		if (ch_json_skip(&j, &tok))
			return "its claims are no valid JSON";
		why = note(c, &key, &tok);
		if (why)
			return why;
	}
	return key.type == CH_JSON_OBJECT_END && ch_json_next(&j, &tok) == CH_JSON_END ? NULL : "its claims are no valid JSON";
}

/* Calls fn for a text, or for each text of a list, until it returns false. False: there is something else, or fn said so. */
static bool each_text(const struct claims *c, int name, bool (*fn)(void *, const struct ch_json_tok *), void *arg)
{
	const struct ch_json_tok *at = &c->at[name];
	struct ch_json j;
	struct ch_json_tok tok;

	if (at->type == CH_JSON_STRING)
		return fn(arg, at);
	if (at->type != CH_JSON_ARRAY)
		return false;
	ch_json_init(&j, c->json + at->start, at->end - at->start, 16, 0);
	ch_json_next(&j, &tok);
	while (ch_json_next(&j, &tok) == CH_JSON_STRING)
		if (!fn(arg, &tok))
			return false;
	return tok.type == CH_JSON_ARRAY_END;
}

/* Without anything that could end a line or a field, in a log or elsewhere. */
static bool is_plain(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)p[i], next = i + 1 < n ? (unsigned char)p[i + 1] : 0;

		if (ch < 0x20 || ch == 0x7f || (ch == 0xc2 && next < 0xa0))
			return false;
	}
	return true;
}

/* The token's text and a NUL; false: it is empty, too long, or not plain. */
static bool copy_text(const struct ch_json_tok *tok, char *out, size_t cap)
{
	size_t n;

	if (tok->type != CH_JSON_STRING || !tok->len || tok->len >= cap)
		return false;
	n = ch_json_unescape(tok, out);
	out[n] = 0;
	return is_plain(out, n);
}

/* ---- times ---- */

/* A NumericDate, in microseconds; false: it is none between 1970 and 9999. */
static bool read_time(const struct ch_json_tok *tok, int64_t *us)
{
	double s;

	if (tok->type != CH_JSON_NUMBER || !ch_json_double(tok, &s) || !(s >= 0) || s > 253402300799.0)
		return false;
	*us = (int64_t)(s * 1e6);
	return true;
}

static const char *check_times(const struct claims *c, const struct jwt_rules *r, int64_t now, int64_t *expires)
{
	int64_t exp, at;

	if (!read_time(&c->at[C_EXP], &exp))
		return "it has no exp that is a time";
	*expires = exp + r->leeway;
	if (now >= *expires)
		return "it has expired";
	for (int i = C_NBF; i <= C_IAT; i++) {
		if (!c->at[i].type)
			continue;
		if (!read_time(&c->at[i], &at))
			return "its nbf or iat is no time";
		if (now < at - r->leeway)
			return i == C_NBF ? "its nbf has not come" : "it was issued in the future";
	}
	return NULL;
}

/* ---- iss and aud ---- */

struct audience {
	const struct ch_list *ours;
	bool found;
};

static bool is_ours(void *arg, const struct ch_json_tok *tok)
{
	struct audience *a = arg;

	for (size_t i = 0; i < a->ours->n && !a->found; i++)
		a->found = ch_json_eq(tok, a->ours->v[i].p);
	return true;
}

static const char *check_parties(const struct claims *c, const struct jwt_rules *r)
{
	struct audience a = { &r->audiences, false };

	if (c->at[C_ISS].type != CH_JSON_STRING || !ch_json_eq(&c->at[C_ISS], r->issuer))
		return "its iss is another one";
	return each_text(c, C_AUD, is_ours, &a) && a.found ? NULL : "its aud names others";
}

/* ---- who it is ---- */

static const char *read_tier(const struct claims *c, const struct jwt_rules *r, struct jwt_who *out)
{
	out->tier = r->tier;
	if (!c->at[C_TIER].type)
		return NULL;
	for (size_t i = 0; i < r->tiers.n; i++) {
		if (c->at[C_TIER].type == CH_JSON_STRING && ch_json_eq(&c->at[C_TIER], r->tiers.v[i].p)) {
			out->tier = r->tiers.v[i].p;
			return NULL;
		}
	}
	return "its tier is none of ours";
}

static bool is_admin(void *arg, const struct ch_json_tok *tok)
{
	bool *admin = arg;

	*admin |= ch_json_eq(tok, "admin");
	return true;
}

struct joined {
	char *text;
	size_t n;
	bool list;
};

static bool add_model(void *arg, const struct ch_json_tok *tok)
{
	struct joined *m = arg;
	char *to = m->text + m->n + (m->n > 0);

	if (m->n + 1 >= JWT_MODELS_MAX || !copy_text(tok, to, JWT_MODELS_MAX + 1 - m->n - 1) || (m->list && strchr(to, ',')))
		return false;
	if (m->n)
		m->text[m->n] = ',';
	m->n = (size_t)(to - m->text) + strlen(to);
	return true;
}

/* A list that names nothing must not become one that allows all. */
static const char *read_models(const struct claims *c, struct jwt_who *out)
{
	struct joined m = { out->models, 0, c->at[C_MODELS].type == CH_JSON_ARRAY };

	out->models[0] = 0;
	if (!c->at[C_MODELS].type)
		return NULL;
	if (each_text(c, C_MODELS, add_model, &m) && out->models[strspn(out->models, " ,")])
		return NULL;
	return "its models are no list of names";
}

const char *jwt_claims(struct ch_str json, const struct jwt_rules *r, int64_t now, struct jwt_who *out)
{
	struct claims c = { .json = json.p,
		.names = { "exp", "nbf", "iat", "iss", "aud", r->owner_claim, r->tier_claim, r->role_claim, r->models_claim } };
	const char *why = find(&c, json);
	bool admin = false;

	if (!why)
		why = check_parties(&c, r);
	if (!why)
		why = check_times(&c, r, now, &out->expires);
	if (!why && !copy_text(&c.at[C_OWNER], out->owner, sizeof(out->owner)))
		why = "it names no owner, or no plain text of up to 255 bytes";
	if (!why)
		why = read_tier(&c, r, out);
	if (!why)
		why = read_models(&c, out);
	if (!why && c.at[C_ROLE].type && !each_text(&c, C_ROLE, is_admin, &admin))
		why = "its role is neither a text nor a list of them";
	out->role = admin && r->admin ? CH_ROLE_ADMIN : CH_ROLE_USER;
	return why;
}
