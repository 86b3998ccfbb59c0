/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token, its claims and a set of keys, each read from the same bytes: what is taken lies inside of them and is what was promised; a token
 * that was read is no other one's encoding; and nothing that the fuzzer makes is signed by keys whose other half it does not have.
 */
#include <openssl/err.h>

#include "fuzz.h"
#include "plugins/auth/jwks.h"

#define X_EC "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y_EC "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define X_ED "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
/* RFC 7515, appendix A.3, and RFC 8037, appendix A.2. */
static const char known[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X_EC "\",\"y\":\"" Y_EC "\"},"
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X_ED "\"}]}";
/* What was signed with them: the examples, which are among the seeds. */
static const char *const examples[] = {
	"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
};

static const struct ch_str audiences[] = { { "gw", 2 } }, tiers[] = { { "api_key", 7 }, { "premium", 7 } };
static const struct jwt_rules rules = { .issuer = "joe", .audiences = { audiences, 1 }, .tiers = { tiers, 2 }, .owner_claim = "sub",
	.tier_claim = "tier", .role_claim = "role", .models_claim = "models", .tier = "api_key", .leeway = 30000000 };

static bool inside(const void *at, size_t len, const void *p, size_t n)
{
	const char *a = at, *from = p;

	return a >= from && len <= n && (size_t)(a - from) <= n - len;
}

static bool is_example(const struct jwt *t)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
		if (t->said.n == strlen(examples[i]) && !memcmp(t->said.p, examples[i], t->said.n))
			return true;
	return false;
}

static void try_token(const struct jwks *keys, const char *p, size_t n)
{
	char *token = fuzz_copy(p, n), *room = malloc(n + 1);
	const char *why = NULL;
	struct jwt t;

	FUZZ_CHECK(room != NULL);
	if (!jwt_read((struct ch_str){ token, n }, room, &t)) {
		FUZZ_CHECK(t.alg == JWT_RS256 || t.alg == JWT_ES256 || t.alg == JWT_EDDSA);
		FUZZ_CHECK(inside(t.said.p, t.said.n, token, n) && inside(t.claims.p, t.claims.n, room, n));
		FUZZ_CHECK(inside(t.signature, t.nsignature, room, n) && t.nsignature && t.nsignature <= JWT_SIGNATURE_MAX);
		FUZZ_CHECK(!t.kid.p || (t.kid.n && t.kid.n <= JWT_TEXT_MAX));
		FUZZ_CHECK(jwks_verify(keys, &t, &why) != JWKS_GOOD || is_example(&t));
		FUZZ_CHECK(!ERR_peek_error());
	}
	free(room);
	free(token);
}

static void try_claims(const char *p, size_t n)
{
	char *json = fuzz_copy(p, n);
	struct jwt_who who;
	const int64_t now = INT64_C(1300819000000000);

	if (!jwt_claims((struct ch_str){ json, n }, &rules, now, &who)) {
		FUZZ_CHECK(who.expires > now && who.role == CH_ROLE_USER && who.owner[0] && strlen(who.owner) <= JWT_TEXT_MAX);
		FUZZ_CHECK(who.tier == tiers[0].p || who.tier == tiers[1].p);
		FUZZ_CHECK(strlen(who.models) <= JWT_MODELS_MAX && !strpbrk(who.owner, "\r\n") && !strpbrk(who.models, "\r\n"));
	}
	free(json);
}

static void try_set(const char *p, size_t n)
{
	char *json = fuzz_copy(p, n), why[200];
	struct jwks *set = jwks_read(json, n, JWT_RS256 | JWT_ES256 | JWT_EDDSA, why, sizeof(why));

	free(json); /* a set keeps nothing of it */
	FUZZ_CHECK(set ? jwks_count(set) > 0 : why[0] != 0);
	FUZZ_CHECK(!ERR_peek_error());
	jwks_let(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jwks *keys;
	const char *p = (const char *)data;
	char why[200];

	if (!keys)
		keys = jwks_read(known, strlen(known), JWT_RS256 | JWT_ES256 | JWT_EDDSA, why, sizeof(why));
	FUZZ_CHECK(keys && jwks_count(keys) == 2);
	try_token(keys, p, size);
	try_claims(p, size);
	try_set(p, size);
	return 0;
}
