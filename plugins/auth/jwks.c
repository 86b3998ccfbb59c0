/* SPDX-License-Identifier: Apache-2.0 */
/* jwks.c - a JWK set: read strictly, kept as it is, counted by its holders (RFC 7517). */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include <chimera/kit/hash.h>
#include <chimera/kit/json.h>

#include "jwks.h"

struct key {
	int alg;
	EVP_PKEY *pkey;
	size_t nkid;                      /* 0: it has none */
	char kid[JWT_TEXT_MAX];
};
struct jwks {
	atomic_uint holders;
	unsigned char hash[CH_SHA256];
	int algs;
	size_t n;
	struct key keys[JWKS_KEYS];
};

/* ---- one JWK ---- */

enum { M_KTY, M_CRV, M_KID, M_USE, M_OPS, M_ALG, M_N, M_E, M_X, M_Y, M_D, M_NAMES };
static const char *const names[M_NAMES] = { "kty", "crv", "kid", "use", "key_ops", "alg", "n", "e", "x", "y", "d" };

static bool is(const struct ch_json_tok *tok, const char *text)
{
	return tok->type == CH_JSON_STRING && ch_json_eq(tok, text);
}

static struct ch_str plain(const struct ch_json_tok *tok)
{
	return tok->type == CH_JSON_STRING && !tok->escaped ? (struct ch_str){ tok->s, tok->len } : (struct ch_str){ "", 0 };
}

/* The kind of key is its kty and crv; alg, if there is one, must say the same. 0: none of ours. */
static int kind(const struct ch_json_tok m[M_NAMES])
{
	struct ch_str alg = plain(&m[M_ALG]);
	int kind = 0;

	if (is(&m[M_KTY], "RSA"))
		kind = JWT_RS256;
	else if (is(&m[M_KTY], "EC") && is(&m[M_CRV], "P-256"))
		kind = JWT_ES256;
	else if (is(&m[M_KTY], "OKP") && is(&m[M_CRV], "Ed25519"))
		kind = JWT_EDDSA;
	return !m[M_ALG].type || jwt_alg_read(alg.p, alg.n) == kind ? kind : 0;
}

/* key_ops: is "verify" one of them? */
static bool may_verify(const char *doc, const struct ch_json_tok *ops)
{
	struct ch_json j;
	struct ch_json_tok tok;
	bool found = false;

	if (!ops->type)
		return true;
	ch_json_init(&j, doc + ops->start, ops->end - ops->start, 4, 0);
	if (ch_json_next(&j, &tok) != CH_JSON_ARRAY)
		return false;
	while (ch_json_next(&j, &tok) == CH_JSON_STRING)
		found |= ch_json_eq(&tok, "verify");
	return found && tok.type == CH_JSON_ARRAY_END;
}

/* The members of a JWK whose '{' was read. False: bad JSON. */
static bool read_members(struct ch_json *j, struct ch_json_tok m[M_NAMES], bool *twice)
{
	struct ch_json_tok key, tok;

	memset(m, 0, M_NAMES * sizeof(*m));
	*twice = false;
	while (ch_json_next(j, &key) == CH_JSON_KEY) {
		ch_json_next(j, &tok);
		if (ch_json_skip(j, &tok))
			return false;
		for (int i = 0; i < M_NAMES; i++) {
			if (!ch_json_eq(&key, names[i]))
				continue;
			*twice |= m[i].type != 0;
			m[i] = tok;
		}
	}
	return key.type == CH_JSON_OBJECT_END;
}

/* Makes *out of its members; else why it is left out. */
static const char *make_key(const char *doc, const struct ch_json_tok m[M_NAMES], int algs, struct key *out)
{
	struct jwks_numbers k = { kind(m), plain(&m[M_N]), plain(&m[M_E]), plain(&m[M_X]), plain(&m[M_Y]) };
	const char *why = "";

	*out = (struct key){ .alg = k.alg };
	if (!k.alg)
		return "it is none of RSA, P-256 and Ed25519 for RS256, ES256 and EdDSA";
	if (!(algs & k.alg))
		return "jwt_algorithms has not its kind";
	if (m[M_D].type)
		return "it is a private key: whoever reads this document can sign with it";
	if ((m[M_USE].type && !is(&m[M_USE], "sig")) || !may_verify(doc, &m[M_OPS]))
		return "it is not for signatures";
	if (m[M_KID].type && (m[M_KID].type != CH_JSON_STRING || !m[M_KID].len || m[M_KID].len > JWT_TEXT_MAX))
		return "its kid is no text of 1 to 255 bytes";
	if (m[M_KID].type)
		out->nkid = ch_json_unescape(&m[M_KID], out->kid);
	out->pkey = jwks_key_read(&k, &why);
	return out->pkey ? NULL : why;
}

/* ---- the set ---- */

static bool is_kid(const struct key *k, struct ch_str kid)
{
	return k->nkid == kid.n && !memcmp(k->kid, kid.p, kid.n);
}

static bool is_there(const struct jwks *set, const struct key *key)
{
	for (size_t i = 0; i < set->n; i++)
		if (key->nkid && set->keys[i].alg == key->alg && is_kid(&set->keys[i], (struct ch_str){ key->kid, key->nkid }))
			return true;
	return false;
}

/* `index` counts from 0, all keys of the document. */
static void add_key(struct jwks *set, const char *doc, const struct ch_json_tok m[M_NAMES], bool twice, size_t index, char *why, size_t cap)
{
	struct key key = { 0 };
	const char *reason = twice ? "a member stands there twice" : make_key(doc, m, set->algs, &key);

	if (!reason && is_there(set, &key)) {
		EVP_PKEY_free(key.pkey);
		reason = "its kid is that of another one before it";
	}
	if (!reason)
		set->keys[set->n++] = key;
	else if (!why[0])
		snprintf(why, cap, "key %zu cannot be used: %s", index + 1, reason);
}

/* The list of keys, whose '[' was read. NULL: fine; else what is wrong. */
static const char *read_keys(struct jwks *set, struct ch_json *j, char *why, size_t cap)
{
	struct ch_json_tok tok, m[M_NAMES];
	bool twice;

	for (size_t i = 0; ch_json_next(j, &tok) != CH_JSON_ARRAY_END; i++) {
		if (tok.type != CH_JSON_OBJECT)
			return "its keys are no list of objects";
		if (i == JWKS_KEYS)
			return "it has more than 100 keys";
		if (!read_members(j, m, &twice))
			return "it is no valid JSON";
		add_key(set, j->p, m, twice, i, why, cap);
	}
	return NULL;
}

static const char *read_document(struct jwks *set, const char *p, size_t n, char *why, size_t cap)
{
	struct ch_json j;
	struct ch_json_tok key, tok;
	const char *bad = NULL;
	bool seen = false;

	ch_json_init(&j, p, n, 16, 20000);
	if (ch_json_next(&j, &tok) != CH_JSON_OBJECT)
		return "it is no JSON object";
	while (!bad && ch_json_next(&j, &key) == CH_JSON_KEY) {
		bool keys = ch_json_eq(&key, "keys");

		ch_json_next(&j, &tok);
		if (keys && (seen || tok.type != CH_JSON_ARRAY))
			return "its keys are no list, or there are two";
		seen |= keys;
		if (keys)
			bad = read_keys(set, &j, why, cap);
		else if (ch_json_skip(&j, &tok))
			bad = "it is no valid JSON";
	}
	if (bad)
		return bad;
	if (key.type != CH_JSON_OBJECT_END || ch_json_next(&j, &tok) != CH_JSON_END)
		return "it is no valid JSON";
	return seen ? NULL : "it has no list of keys";
}

struct jwks *jwks_read(const char *p, size_t n, int algs, char *why, size_t cap)
{
	struct jwks *set = n <= JWKS_MAX ? calloc(1, sizeof(*set)) : NULL;
	const char *bad = n > JWKS_MAX ? "it is longer than 256 KiB" : "no memory is left";

	why[0] = 0;
	if (set) {
		atomic_init(&set->holders, 1);
		set->algs = algs;
		ch_sha256(&(struct ch_str){ p, n }, 1, set->hash);
		bad = read_document(set, p, n, why, cap);
	}
	if (!bad && !set->n && !why[0])
		bad = "it has no key";
	if (bad)
		snprintf(why, cap, "%s", bad);
	if (bad || !set->n) {
		jwks_let(set);
		return NULL;
	}
	return set;
}

struct jwks *jwks_hold(struct jwks *set)
{
	if (set)
		atomic_fetch_add_explicit(&set->holders, 1, memory_order_relaxed);
	return set;
}

void jwks_let(struct jwks *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->holders, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < set->n; i++)
		EVP_PKEY_free(set->keys[i].pkey);
	free(set);
}

bool jwks_same(const struct jwks *a, const struct jwks *b)
{
	return a && b && a->algs == b->algs && !memcmp(a->hash, b->hash, sizeof(a->hash));
}

size_t jwks_count(const struct jwks *set)
{
	return set->n;
}

/* ---- tokens ---- */

static const struct key *find(const struct jwks *set, const struct jwt *t, int *rc, const char **why)
{
	const struct key *found = NULL;
	bool known = false;

	*rc = JWKS_BAD;
	for (size_t i = 0; i < set->n; i++) {
		const struct key *k = &set->keys[i];

		if (t->kid.p && !is_kid(k, t->kid))
			continue;
		known = true;
		if (k->alg != t->alg)
			continue;
		if (found) {
			*why = "it has no kid, and more than one key fits its alg";
			return NULL;
		}
		found = k;
	}
	if (found)
		return found;
	if (t->kid.p && !known)
		*rc = JWKS_UNKNOWN_KID;
	*why = t->kid.p && !known ? "its kid is not known" : "its alg does not fit the key";
	return NULL;
}

int jwks_verify(const struct jwks *set, const struct jwt *t, const char **why)
{
	int rc;
	const struct key *k = find(set, t, &rc, why);

	if (!k)
		return rc;
	if (jwks_key_verify(k->pkey, k->alg, t->said, t->signature, t->nsignature))
		return JWKS_GOOD;
	*why = "its signature is not that of the key";
	return JWKS_BAD;
}
