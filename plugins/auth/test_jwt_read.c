/* SPDX-License-Identifier: Apache-2.0 */
/* test_jwt_read.c - tokens, claims and key sets against the examples of RFC 7515, 7517, 7519 and 8037, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "jwks.h"
#include "jwt_cache.h"

#define ALL (JWT_RS256 | JWT_ES256 | JWT_EDDSA)

/* RFC 7515, appendix A.1 to A.3: one payload, {"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true} */
#define JOE "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RSA_N "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b3" \
	"2690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5" \
	"IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define RS256_SIG "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKB" \
	"YNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv" \
	"hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define ES256_SIG "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define RS256_JOE "eyJhbGciOiJSUzI1NiJ9." JOE "." RS256_SIG
#define ES256_JOE "eyJhbGciOiJFUzI1NiJ9." JOE "." ES256_SIG
/* RFC 8037, appendix A.2 and A.4: "Example of Ed25519 signing" */
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define EDDSA_EXAMPLE "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." \
	"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

#define RSA_KEY "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"
#define EC_KEY "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}"
#define ED_KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}"
#define SET(keys) "{\"keys\":[" keys "]}"

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

/* ---- tokens ---- */

static char room[2 * JWT_MAX];

static const char *read_token(const char *token, struct jwt *t)
{
	return jwt_read(str(token), room, t);
}

/* header.e30.AAAA, the header as JSON. */
static const char *with_header(const char *json)
{
	static char token[2 * JWT_MAX];
	char standard[JWT_MAX];
	int n = EVP_EncodeBlock((unsigned char *)standard, (const unsigned char *)json, (int)strlen(json));

	while (n && standard[n - 1] == '=')
		n--;
	for (int i = 0; i < n; i++)
		standard[i] = standard[i] == '+' ? '-' : standard[i] == '/' ? '_' : standard[i];
	snprintf(token, sizeof(token), "%.*s.e30.AAAA", n, standard);
	return token;
}

static void a_token_has_three_parts(void **state)
{
	struct jwt t;

	(void)state;
	assert_null(read_token(ES256_JOE, &t));
	assert_int_equal(t.alg, JWT_ES256);
	assert_null(t.kid.p);
	assert_int_equal(t.nsignature, 64);
	assert_int_equal(t.said.n, strlen(ES256_JOE) - strlen(ES256_SIG) - 1);
	assert_memory_equal(t.claims.p, "{\"iss\":\"joe\",\r\n \"exp\":1300819380,", 33);
}

static void what_is_no_compact_form_is_refused(void **state)
{
	static const char *const bad[] = { "", ".", "..", "...", "abc", "e30.e30", "e30.e30.", ".e30.AAAA", "e30..AAAA", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA.AAAA",
		"eyJhbGciOiJFUzI1NiJ9.e30.AAA=", "eyJhbGciOiJFUzI1NiJ9.e30.AA+A", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA\n", "eyJhbGciOiJFUzI1NiJ9.e30.A",
		" eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "eyJhbGciOiJFUzI1NiJ9.e3 0.AAAA", "eyJhbGciOiJFUzI1NiJ9.e30.AAB" };
	struct jwt t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(read_token(bad[i], &t));
	assert_null(read_token("eyJhbGciOiJFUzI1NiJ9.e30.AAA", &t)); /* the same without what was wrong */
	assert_null(read_token("eyJhbGciOiJFUzI1NiJ9.e30.AAAA", &t));
}

static void a_token_over_8_kib_is_refused(void **state)
{
	static char token[JWT_MAX + 2];
	struct jwt t;

	(void)state;
	memset(token, 'A', sizeof(token));
	memcpy(token, "eyJhbGciOiJFUzI1NiJ9.", 21);
	memcpy(token + JWT_MAX - 5, ".AAAA", 6);
	assert_int_equal(strlen(token), JWT_MAX);
	assert_null(read_token(token, &t));
	memcpy(token + JWT_MAX - 5, "A.AAAA", 7);
	assert_string_equal(read_token(token, &t), "it is longer than 8192 bytes");
}

/* RFC 7515, appendix A.1, and RFC 7519, section 6.1. */
static void hmac_and_none_are_never_taken(void **state)
{
	static const char *const bad[] = { "{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"HS256\"}", "{\"alg\":\"rs256\"}", "{\"alg\":\"PS256\"}",
		"{\"alg\":\"RS512\"}", "{\"alg\":\"\"}", "{\"alg\":null}", "{\"alg\":[\"ES256\"]}", "{\"typ\":\"JWT\"}", "{}" };
	struct jwt t;

	(void)state;
	assert_non_null(read_token("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", &t));
	assert_non_null(read_token("eyJhbGciOiJub25lIn0." JOE ".", &t));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(read_token(with_header(bad[i]), &t));
	assert_null(read_token(with_header("{\"alg\":\"ES256\"}"), &t));
}

static void a_header_is_read_strictly(void **state)
{
	static const char *const bad[] = { "{\"alg\":\"ES256\",\"alg\":\"RS256\"}", "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}",
		"{\"alg\":\"ES256\",\"crit\":[]}", "{\"alg\":\"ES256\",\"typ\":\"dpop+jwt\"}", "{\"alg\":\"ES256\",\"typ\":\"secevent+jwt\"}",
		"{\"alg\":\"ES256\",\"typ\":1}", "{\"alg\":\"ES256\",\"kid\":\"\"}", "{\"alg\":\"ES256\",\"kid\":7}", "{\"alg\":\"ES256\"} ,", "{\"alg\":\"ES256\"}{}",
		"{\"alg\":\"ES256\",}", "[\"alg\",\"ES256\"]", "{\"alg\":\"ES256\",\"x\":{\"a\":[}}", "{'alg':'ES256'}", "\xef\xbb\xbf{\"alg\":\"ES256\"}" };
	static const char *const good[] = { "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", "{\"typ\":\"at+jwt\",\"alg\":\"EdDSA\"}", "{\"typ\":\"application/AT+JWT\",\"alg\":\"ES256\"}",
		"{\"alg\":\"ES256\",\"jku\":\"https://evil.example/\",\"jwk\":{\"kty\":\"oct\"}}", " {\"alg\" : \"RS256\"} " };
	struct jwt t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(read_token(with_header(bad[i]), &t));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(read_token(with_header(good[i]), &t));
	assert_null(read_token(with_header("{\"alg\":\"ES256\",\"kid\":\"a\\/b\\u0041\"}"), &t));
	assert_int_equal(t.kid.n, 4);
	assert_memory_equal(t.kid.p, "a/bA", 4);
}

/* ---- claims ---- */

#define NOW INT64_C(1300819000)           /* 380 s before joe's exp */

static const struct ch_str audiences[] = { { "chimera", 7 }, { "https://gw.example/", 19 } };
static const struct ch_str tiers[] = { { "anonymous", 9 }, { "api_key", 7 }, { "premium", 7 }, { "admin", 5 } };
static const struct jwt_rules rules = { .issuer = "joe", .audiences = { audiences, 2 }, .tiers = { tiers, 4 }, .owner_claim = "sub",
	.tier_claim = "tier", .role_claim = "role", .models_claim = "models", .tier = "api_key", .leeway = 30000000 };

static const char *claims_under(const struct jwt_rules *r, const char *more, struct jwt_who *who)
{
	char json[8192];

	snprintf(json, sizeof(json), "{\"iss\":\"joe\",\"aud\":\"chimera\"%s}", more);
	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	return jwt_claims(str(json), r, NOW * 1000000, who);
}

static const char *claims(const char *more)
{
	struct jwt_who who;

	return claims_under(&rules, more, &who);
}

#define EXP ",'exp':1300819380,'sub':'mary'"

static void claims_say_who_it_is(void **state)
{
	struct jwt_who who;

	(void)state;
	assert_null(claims_under(&rules, EXP, &who));
	assert_string_equal(who.owner, "mary");
	assert_string_equal(who.tier, "api_key");
	assert_string_equal(who.models, "");
	assert_int_equal(who.role, CH_ROLE_USER);
	assert_int_equal(who.expires, INT64_C(1300819410000000));
	assert_null(claims_under(&rules, EXP ",'tier':'premium','models':['gpt-4o','a b'],'role':'admin'", &who));
	assert_string_equal(who.tier, "premium");
	assert_string_equal(who.models, "gpt-4o,a b");
	assert_int_equal(who.role, CH_ROLE_USER); /* no issuer makes admins unless jwt_admin allows it */
	assert_null(claims_under(&rules, EXP ",'models':'gpt-*, mini'", &who));
	assert_string_equal(who.models, "gpt-*, mini");
}

static void only_the_word_admin_makes_an_admin(void **state)
{
	struct jwt_rules r = rules;
	struct jwt_who who;

	(void)state;
	r.admin = true;
	assert_null(claims_under(&r, EXP ",'role':'admin'", &who));
	assert_int_equal(who.role, CH_ROLE_ADMIN);
	assert_null(claims_under(&r, EXP ",'role':['dev','admin']", &who));
	assert_int_equal(who.role, CH_ROLE_ADMIN);
	assert_null(claims_under(&r, EXP ",'role':'Admin'", &who));
	assert_int_equal(who.role, CH_ROLE_USER);
	assert_null(claims_under(&r, EXP ",'role':['administrator','']", &who));
	assert_int_equal(who.role, CH_ROLE_USER);
	assert_null(claims_under(&r, EXP ",'x':{'role':'admin'}", &who));
	assert_int_equal(who.role, CH_ROLE_USER);
	assert_non_null(claims_under(&r, EXP ",'role':true", &who));
	assert_non_null(claims_under(&r, EXP ",'role':['admin',1]", &who));
}

static void times_count_to_the_second_and_the_leeway(void **state)
{
	(void)state;
	assert_null(claims(",'sub':'m','exp':1300818971"));     /* 29 s ago */
	assert_non_null(claims(",'sub':'m','exp':1300818970")); /* 30 s ago */
	assert_null(claims(",'sub':'m','exp':1300819380.5"));
	assert_null(claims(",'sub':'m','exp':1.30081938e9"));
	assert_non_null(claims(",'sub':'m'"));
	assert_non_null(claims(",'sub':'m','exp':'1300819380'"));
	assert_non_null(claims(",'sub':'m','exp':-1"));
	assert_non_null(claims(",'sub':'m','exp':1e300"));
	assert_non_null(claims(",'sub':'m','exp':null"));
	assert_null(claims(EXP ",'nbf':1300819030"));
	assert_string_equal(claims(EXP ",'nbf':1300819031"), "its nbf has not come");
	assert_null(claims(EXP ",'iat':1300819030"));
	assert_string_equal(claims(EXP ",'iat':1300819031"), "it was issued in the future");
	assert_non_null(claims(EXP ",'nbf':'now'"));
}

static void iss_and_aud_are_ours_to_the_byte(void **state)
{
	struct jwt_rules r = rules;
	struct jwt_who who;

	(void)state;
	r.issuer = "Joe";
	assert_string_equal(claims_under(&r, EXP, &who), "its iss is another one");
	assert_null(jwt_claims(str("{\"iss\":\"joe\",\"aud\":[\"x\",\"https://gw.example/\"],\"exp\":1300819380,\"sub\":\"m\"}"), &rules, NOW * 1000000, &who));
	static const char *const bad[] = { "{\"iss\":\"joe\",\"exp\":1300819380,\"sub\":\"m\"}", "{\"aud\":\"chimera\",\"exp\":1300819380,\"sub\":\"m\"}",
		"{\"iss\":\"joe\",\"aud\":\"Chimera\",\"exp\":1300819380,\"sub\":\"m\"}", "{\"iss\":\"joe\",\"aud\":[],\"exp\":1300819380,\"sub\":\"m\"}",
		"{\"iss\":\"joe\",\"aud\":[\"chimera\",1],\"exp\":1300819380,\"sub\":\"m\"}", "{\"iss\":[\"joe\"],\"aud\":\"chimera\",\"exp\":1300819380,\"sub\":\"m\"}",
		"{\"iss\":\"joe\",\"aud\":{\"chimera\":1},\"exp\":1300819380,\"sub\":\"m\"}" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(jwt_claims(str(bad[i]), &rules, NOW * 1000000, &who));
}

static void what_could_be_read_in_two_ways_is_refused(void **state)
{
	(void)state;
	assert_string_equal(claims(EXP ",'sub':'root'"), "a claim stands there twice");
	assert_non_null(claims(EXP ",'s\\u0075b':'root'"));
	assert_non_null(claims(EXP ",'exp':9999999999"));
	assert_non_null(claims(EXP ",'iss':'joe'"));
	assert_non_null(claims(EXP ",'tier':'gold'"));
	assert_non_null(claims(EXP ",'tier':['premium']"));
	assert_non_null(claims(EXP ",'models':[]"));
	assert_non_null(claims(EXP ",'models':''"));
	assert_non_null(claims(EXP ",'models':' , '"));
	assert_non_null(claims(EXP ",'models':['a,b']"));
	assert_non_null(claims(EXP ",'models':[['a']]"));
	assert_non_null(claims(EXP ",'models':null"));
	assert_non_null(claims(EXP "}{"));
}

static void an_owner_cannot_carry_a_line_end(void **state)
{
	char text[600];

	(void)state;
	assert_non_null(claims(",'exp':1300819380"));
	assert_non_null(claims(",'exp':1300819380,'sub':''"));
	assert_non_null(claims(",'exp':1300819380,'sub':7"));
	assert_non_null(claims(",'exp':1300819380,'sub':'a\\r\\nX-Admin: 1'"));
	assert_non_null(claims(",'exp':1300819380,'sub':'a\\u0000b'"));
	assert_non_null(claims(",'exp':1300819380,'sub':'a\\u0085b'"));
	assert_null(claims(",'exp':1300819380,'sub':'M\xc3\xbcller \xe2\x82\xac'"));
	snprintf(text, sizeof(text), ",'exp':1300819380,'sub':'%0255d'", 7);
	assert_null(claims(text));
	snprintf(text, sizeof(text), ",'exp':1300819380,'sub':'%0256d'", 7);
	assert_non_null(claims(text));
}

/* ---- keys ---- */

static char said[300];

static struct jwks *set_of(const char *json)
{
	return jwks_read(json, strlen(json), ALL, said, sizeof(said));
}

static int verify(const char *set, const char *token)
{
	struct jwks *keys = set_of(set);
	const char *why = NULL;
	struct jwt t;
	int rc;

	assert_non_null(keys);
	assert_null(read_token(token, &t));
	rc = jwks_verify(keys, &t, &why);
	jwks_let(keys);
	assert_true((rc == JWKS_GOOD) == !why);
	assert_int_equal(ERR_peek_error(), 0); /* nothing for the next TLS connection to find */
	return rc;
}

static void the_rfcs_examples_verify(void **state)
{
	(void)state;
	assert_int_equal(verify(SET(RSA_KEY), RS256_JOE), JWKS_GOOD);
	assert_int_equal(verify(SET(EC_KEY), ES256_JOE), JWKS_GOOD);
	assert_int_equal(verify(SET(ED_KEY), EDDSA_EXAMPLE), JWKS_GOOD);
	assert_int_equal(verify(SET(RSA_KEY "," EC_KEY "," ED_KEY), ES256_JOE), JWKS_GOOD);
}

/* Each character of the token in turn is another one: never good, whatever else it is. */
static void no_character_of_a_token_can_be_changed(void **state)
{
	static const char *const tokens[] = { ES256_JOE, EDDSA_EXAMPLE };
	struct jwks *keys = set_of(SET(RSA_KEY "," EC_KEY "," ED_KEY));

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char *token = strdup(tokens[i]);

		for (size_t at = 0; token[at]; at++) {
			const char *why;
			char was = token[at];
			struct jwt t;

			token[at] = was == 'A' ? 'B' : was == '.' ? 'A' : 'A';
			if (!read_token(token, &t))
				assert_int_equal(jwks_verify(keys, &t, &why), JWKS_BAD);
			token[at] = was;
		}
		free(token);
	}
	jwks_let(keys);
}

/* A key of one kind is never used for the alg of another, and a public key never as a secret. */
static void an_alg_must_fit_its_key(void **state)
{
	(void)state;
	assert_int_equal(verify(SET(EC_KEY), RS256_JOE), JWKS_BAD);
	assert_int_equal(verify(SET(RSA_KEY), ES256_JOE), JWKS_BAD);
	assert_int_equal(verify(SET(ED_KEY), ES256_JOE), JWKS_BAD);
	assert_null(set_of(SET("{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}")));
	assert_null(set_of(SET("{\"kty\":\"RSA\",\"alg\":\"HS256\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}")));
	assert_null(set_of(SET("{\"kty\":\"RSA\",\"alg\":\"PS256\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}")));
	assert_null(set_of(SET("{\"kty\":\"RSA\",\"alg\":\"ES256\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}")));
}

static void a_kid_chooses_the_key(void **state)
{
	static const char set[] = SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"one\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"},"
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"t\\u0077o\",\"x\":\"" ED_X "\"}");

	(void)state;
	assert_int_equal(verify(set, ES256_JOE), JWKS_GOOD); /* no kid, and one key only that fits */
	assert_int_equal(verify(SET(EC_KEY "," EC_KEY), ES256_JOE), JWKS_BAD);
	assert_int_equal(verify(set, with_header("{\"alg\":\"ES256\",\"kid\":\"one\"}")), JWKS_BAD); /* found, and the signature is none */
	assert_int_equal(verify(set, with_header("{\"alg\":\"EdDSA\",\"kid\":\"one\"}")), JWKS_BAD);
	assert_int_equal(verify(set, with_header("{\"alg\":\"EdDSA\",\"kid\":\"two\"}")), JWKS_BAD);
	assert_int_equal(verify(set, with_header("{\"alg\":\"EdDSA\",\"kid\":\"on\"}")), JWKS_UNKNOWN_KID);
}

static void keys_that_cannot_be_used_are_left_out(void **state)
{
	struct jwks *keys;

	(void)state;
	keys = set_of(SET("{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"}," EC_KEY ",{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"));
	assert_int_equal(jwks_count(keys), 1);
	assert_string_equal(said, "key 1 cannot be used: it is none of RSA, P-256 and Ed25519 for RS256, ES256 and EdDSA");
	jwks_let(keys);
	assert_null(set_of(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}")));
	assert_non_null(strstr(said, "private"));
	assert_null(set_of(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_X "\"}")));
	assert_non_null(strstr(said, "not on the curve"));
	assert_null(set_of(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}")));
	assert_null(set_of(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"key_ops\":[\"sign\"],\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}")));
	assert_null(set_of(SET("{\"kty\":\"EC\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}")));
	assert_null(set_of(SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}")));   /* 1 */
	assert_null(set_of(SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"BA\"}")));   /* 4 */
	assert_null(set_of(SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}")));
	keys = set_of(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"ES256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}"));
	assert_non_null(keys);
	jwks_let(keys);
}

/* The example's modulus without its highest bit, 0x21 in front in place of 0xa1: 2046 bits. */
static void rsa_keys_have_2048_bits_at_least(void **state)
{
	char json[] = SET(RSA_KEY);

	(void)state;
	*strstr(json, "ofgWCuLjybRlzo0t") = 'I';
	assert_null(set_of(json));
	assert_string_equal(said, "key 1 cannot be used: it has less than 2048 bits");
}

static void what_is_no_set_is_refused(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[1]}", "{\"keys\":[" EC_KEY "]", SET(EC_KEY) "x",
		"{\"keys\":[" EC_KEY "],\"keys\":[]}", "{\"x\":" SET(EC_KEY) "}", "<html>", "{\"keys\":[" EC_KEY ",]}", "\xef\xbb\xbf" SET(EC_KEY) };
	char *large = malloc(JWKS_MAX + 1);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(set_of(bad[i]));
		assert_true(said[0]);
	}
	memset(large, ' ', JWKS_MAX + 1);
	memcpy(large, SET(EC_KEY), strlen(SET(EC_KEY)));
	assert_null(jwks_read(large, JWKS_MAX + 1, ALL, said, sizeof(said)));
	struct jwks *keys = jwks_read(large, JWKS_MAX, ALL, said, sizeof(said));

	assert_non_null(keys);
	jwks_let(keys);
	free(large);
	assert_null(jwks_read(SET(EC_KEY), strlen(SET(EC_KEY)), JWT_EDDSA, said, sizeof(said)));
}

/* ---- the cache ---- */

static void a_token_is_known_until_it_expires_or_the_keys_change(void **state)
{
	struct jwt_cache *x = jwt_cache_new(100);
	struct jwt_who who = { .owner = "mary", .tier = "premium", .role = CH_ROLE_USER, .models = "a,b", .expires = 1000 }, got = { 0 };
	unsigned char hash[CH_SHA256] = { 7 };

	(void)state;
	assert_false(jwt_cache_get(x, hash, 1, 0, &got));
	jwt_cache_put(x, hash, 1, &who, 0);
	assert_true(jwt_cache_get(x, hash, 1, 999, &got));
	assert_string_equal(got.owner, "mary");
	assert_string_equal(got.models, "a,b");
	assert_string_equal(got.tier, "premium");
	assert_int_equal(got.expires, 1000);
	assert_false(jwt_cache_get(x, hash, 1, 1000, &got));
	assert_false(jwt_cache_get(x, hash, 2, 0, &got));
	hash[31] = 1;
	assert_false(jwt_cache_get(x, hash, 1, 0, &got));
	jwt_cache_free(x);
}

static void a_full_set_gives_up_whoever_expires_first(void **state)
{
	struct jwt_cache *x = jwt_cache_new(1); /* one set of four */
	struct jwt_who who = { .owner = "o", .tier = "t" }, got;
	unsigned char hash[CH_SHA256] = { 0 };

	(void)state;
	for (unsigned char i = 1; i <= 5; i++) {
		hash[0] = i;
		who.expires = i == 3 ? 50 : 100 + i;
		jwt_cache_put(x, hash, 1, &who, 0);
	}
	for (unsigned char i = 1; i <= 5; i++) {
		hash[0] = i;
		assert_int_equal(jwt_cache_get(x, hash, 1, 0, &got), i != 3);
	}
	jwt_cache_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_has_three_parts),
		cmocka_unit_test(what_is_no_compact_form_is_refused),
		cmocka_unit_test(a_token_over_8_kib_is_refused),
		cmocka_unit_test(hmac_and_none_are_never_taken),
		cmocka_unit_test(a_header_is_read_strictly),
		cmocka_unit_test(claims_say_who_it_is),
		cmocka_unit_test(only_the_word_admin_makes_an_admin),
		cmocka_unit_test(times_count_to_the_second_and_the_leeway),
		cmocka_unit_test(iss_and_aud_are_ours_to_the_byte),
		cmocka_unit_test(what_could_be_read_in_two_ways_is_refused),
		cmocka_unit_test(an_owner_cannot_carry_a_line_end),
		cmocka_unit_test(the_rfcs_examples_verify),
		cmocka_unit_test(no_character_of_a_token_can_be_changed),
		cmocka_unit_test(an_alg_must_fit_its_key),
		cmocka_unit_test(a_kid_chooses_the_key),
		cmocka_unit_test(keys_that_cannot_be_used_are_left_out),
		cmocka_unit_test(rsa_keys_have_2048_bits_at_least),
		cmocka_unit_test(what_is_no_set_is_refused),
		cmocka_unit_test(a_token_is_known_until_it_expires_or_the_keys_change),
		cmocka_unit_test(a_full_set_gives_up_whoever_expires_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
