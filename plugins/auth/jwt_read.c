/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_read.c - compact form and header. */
#include <strings.h>

#include <chimera/kit/json.h>

#include "jwt_read.h"

int jwt_alg_read(const char *name, size_t n)
{
	static const struct { struct ch_str name; int alg; } all[] = {
		{ { "RS256", 5 }, JWT_RS256 }, { { "ES256", 5 }, JWT_ES256 }, { { "EdDSA", 5 }, JWT_EDDSA } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (n == all[i].name.n && !memcmp(name, all[i].name.p, n))
			return all[i].alg;
	return 0;
}

static int six_bits(char ch)
{
	if (ch >= 'A' && ch <= 'Z')
		return ch - 'A';
	if (ch >= 'a' && ch <= 'z')
		return ch - 'a' + 26;
	if (ch >= '0' && ch <= '9')
		return ch - '0' + 52;
	return ch == '-' ? 62 : ch == '_' ? 63 : -1;
}

ssize_t jwt_base64url(const char *p, size_t n, void *out)
{
	unsigned char *to = out;
	uint32_t bits = 0;
	unsigned have = 0;
	ssize_t done = 0;

	if (n % 4 == 1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		int six = six_bits(p[i]);

		if (six < 0)
			return -1;
		bits = (bits << 6 | (uint32_t)six) & 0xffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			to[done++] = (unsigned char)(bits >> have);
		}
	}
	return bits & ((1u << have) - 1) ? -1 : done;
}

/* ---- header ---- */

enum { H_ALG, H_KID, H_TYP, H_CRIT, H_NAMES };
static const char *const header_names[H_NAMES] = { "alg", "kid", "typ", "crit" };

static const char *read_alg(const struct ch_json_tok *tok, struct jwt *out)
{
	if (tok->type != CH_JSON_STRING || tok->escaped)
		return "alg is no plain text";
	out->alg = jwt_alg_read(tok->s, tok->len);
	return out->alg ? NULL : "alg is none of RS256, ES256 and EdDSA";
}

static const char *read_kid(const struct ch_json_tok *tok, struct jwt *out)
{
	if (tok->type != CH_JSON_STRING || !tok->len || tok->len > JWT_TEXT_MAX)
		return "kid is no text of 1 to 255 bytes";
	out->kid = (struct ch_str){ tok->s, tok->len };
	if (tok->escaped) {
		out->kid.n = ch_json_unescape(tok, out->kid_text);
		out->kid.p = out->kid_text;
	}
	return NULL;
}

/* A token of another kind (a logout token, a proof of possession) says so, and is none to come in with (RFC 8725, section 3.11). */
static const char *read_typ(const struct ch_json_tok *tok)
{
	size_t cut = tok->len > 12 && !strncasecmp(tok->s, "application/", 12) ? 12 : 0;
	struct ch_str t = { tok->s + cut, tok->len - cut };

	if (tok->type == CH_JSON_STRING && ((t.n == 3 && !strncasecmp(t.p, "JWT", 3)) || (t.n == 6 && !strncasecmp(t.p, "at+jwt", 6))))
		return NULL;
	return "typ is neither JWT nor at+jwt";
}

static const char *read_header(struct ch_str json, struct jwt *out)
{
	struct ch_json j;
	struct ch_json_tok tok;
	unsigned seen = 0;
	const char *why = NULL;
	int i;

	ch_json_init(&j, json.p, json.n, 8, 200);
	if (ch_json_next(&j, &tok) != CH_JSON_OBJECT)
		return "the header is no JSON object";
	while (ch_json_next(&j, &tok) == CH_JSON_KEY) {
		for (i = 0; i < H_NAMES && !ch_json_eq(&tok, header_names[i]); i++)
			;
		ch_json_next(&j, &tok);
		if (i < H_NAMES && seen & 1u << i)
			return "a member of the header stands there twice";
		if (i < H_NAMES)
			seen |= 1u << i;
		if (i == H_ALG)
			why = read_alg(&tok, out);
		else if (i == H_KID)
			why = read_kid(&tok, out);
		else if (i == H_TYP)
			why = read_typ(&tok);
		else if (i == H_CRIT)
			why = "it has crit: an extension that must be understood, and none is";
		if (why || ch_json_skip(&j, &tok))
			break;
	}
	if (why)
		return why;
	if (tok.type != CH_JSON_OBJECT_END || ch_json_next(&j, &tok) != CH_JSON_END)
		return "the header is no valid JSON";
	return seen & 1u << H_ALG ? NULL : "the header has no alg";
}

/* ---- compact form ---- */

/* Decodes one part to *room, which it moves on. */
static const char *decode(const char *p, size_t n, char **room, struct ch_str *out)
{
	ssize_t got = jwt_base64url(p, n, *room);

	if (got <= 0)
		return "a part of it is empty, or not base64url without padding";
	*out = (struct ch_str){ *room, (size_t)got };
	*room += got;
	return NULL;
}

const char *jwt_read(struct ch_str token, char *room, struct jwt *out)
{
	const char *end = token.p + token.n, *first, *second, *why;
	struct ch_str header, signature;

	*out = (struct jwt){ 0 };
	if (token.n > JWT_MAX)
		return "it is longer than 8192 bytes";
	first = token.n ? memchr(token.p, '.', token.n) : NULL;
	second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
	if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
		return "it has not three parts";
	why = decode(token.p, (size_t)(first - token.p), &room, &header);
	if (!why)
		why = decode(first + 1, (size_t)(second - first - 1), &room, &out->claims);
	if (!why)
		why = decode(second + 1, (size_t)(end - second - 1), &room, &signature);
	if (why)
		return why;
	if (signature.n > JWT_SIGNATURE_MAX)
		return "its signature is longer than any";
	out->said = (struct ch_str){ token.p, (size_t)(second - token.p) };
	out->signature = (const unsigned char *)signature.p;
	out->nsignature = signature.n;
	return read_header(header, out);
}
