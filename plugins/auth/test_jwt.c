/* SPDX-License-Identifier: Apache-2.0 */
/* test_jwt.c - tokens on their way through the harness: an issuer that answers, rotates, is away or talks nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include <chimera/http.h>
#include <chimera/kit/hash.h>
#include <chimera/test.h>

#include "jwks_source.h"
#include "jwt.h"

/* ---- a plugin that asks as auth does: GET /who ---- */

struct who_conf {
	struct ch_list tiers;
	struct auth_jwt_conf jwt;
};
struct who_state {
	struct auth_jwt *jwt;
};
struct asked {
	struct ch_self *self;
	struct ch_keys_result out;
};

static int tell(struct ch_ctx *c, const struct asked *a)
{
	const struct ch_key *k = &a->out.key;
	char *text;

	if (a->out.error == CH_KEYS_UNAVAILABLE)
		return ch_refuse(c, CH_E_UNAVAILABLE, 1000, "%s", a->out.detail);
	if (a->out.error)
		return ch_refuse(c, CH_E_UNAUTHORIZED, 0, "%s", a->out.detail);
	text = ch_print(c, "%s %s %d %s %.4s", k->owner, k->tier, k->role, k->models, k->id);
	return text ? ch_respond(c, 200, "text/plain", text, strlen(text)) : ch_refuse(c, CH_E_OVERLOADED, 1000, "no memory");
}

static int on_known(struct ch_ctx *c, void *data, int why, void *result)
{
	struct asked *a = data;
	struct who_state *s = a->self->state;

	(void)result;
	if (why == CH_READY)
		return tell(c, a);
	auth_jwt_cancel(s->jwt, c, &a->out);
	return CH_DONE;
}

static int on_who(struct ch_self *self, struct ch_ctx *c)
{
	struct who_state *s = self->state;
	struct asked *a = ch_alloc(c, sizeof(*a));
	struct ch_str token = ch_header(c, "X-Token");
	unsigned char sha256[CH_SHA256];
	ch_ticket t;
	int rc;

	ch_sha256(&token, 1, sha256);
	if (ch_header(c, "X-Known").p && !auth_jwt_knew(s->jwt, sha256))
		return ch_refuse(c, CH_E_RATE_LIMITED, 1000, "not known");
	t = a ? ch_suspend(c, 0, on_known, a) : 0;
	if (!t)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "no memory");
	a->self = self;
	a->out.size = sizeof(a->out);
	a->out.key.size = sizeof(a->out.key);
	rc = auth_jwt_find(s->jwt, c, token, &a->out, t);
	if (rc == CH_AGAIN)
		return rc;
	ch_unsuspend(t);
	return rc ? ch_refuse(c, CH_E_OVERLOADED, 1000, "no memory") : tell(c, a);
}

static int check(struct ch_self *self)
{
	const struct who_conf *conf = self->conf;

	return auth_jwt_check(self, &conf->jwt, &conf->tiers) ? CH_OK : CH_ERROR;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct who_conf *conf = self->conf;
	struct who_state *s = self->state;

	(void)prev;
	return auth_jwt_start(self, &conf->jwt, &conf->tiers, &s->jwt);
}

static void adopt(struct ch_self *self, struct ch_self *prev)
{
	struct who_state *s = self->state, *old = prev->state;

	auth_jwt_adopt(s->jwt, old->jwt);
}

static void stop(struct ch_self *self)
{
	struct who_state *s = self->state;

	auth_jwt_free(s->jwt);
}

static int loop_start(struct ch_self *self, struct ch_loop *loop)
{
	struct who_state *s = self->state;

	return auth_jwt_loop_start(s->jwt, loop);
}

static void loop_stop(struct ch_self *self, struct ch_loop *loop)
{
	struct who_state *s = self->state;

	auth_jwt_loop_stop(s->jwt, loop);
}

static const struct ch_option options[] = {
	CH_OPT(struct who_conf, tiers, LIST, .def = "api_key, premium", .help = "tiers"),
	AUTH_JWT_OPTIONS(struct who_conf, jwt),
};
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/who", .fn = on_who, .summary = "Whose token is it" } };
static const struct ch_metric metrics[] = { AUTH_JWT_METRICS };
static const struct ch_plugin who = {
	.size = sizeof(who), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "who", .version = "0", .summary = "asks",
	.conf_size = sizeof(struct who_conf), .state_size = sizeof(struct who_state), .options = CH_TABLE(options), .routes = CH_TABLE(routes),
	.metrics = CH_TABLE(metrics),
	.check = check, .start = start, .adopt = adopt, .stop = stop, .loop_start = loop_start, .loop_stop = loop_stop,
};

CH_PLUGIN(who, who)
CH_TEST_PLUGIN(who);

/* ---- an issuer: the last request that http/1 was asked for, and keys of it ---- */

static struct issuer {
	struct ch_http_result *out;      /* of the request that waits; NULL: none */
	ch_ticket ticket;
	unsigned fetches;
	char url[128];
	bool refuses;                    /* at once */
} issuer;

static int request(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_http_args *args, const struct ch_http_sink *sink,
	struct ch_http_result *out, ch_ticket t)
{
	(void)svc, (void)c;
	assert_null(sink);
	assert_null(issuer.out);
	issuer.fetches++;
	snprintf(issuer.url, sizeof(issuer.url), "%.*s", (int)args->url.n, args->url.p);
	if (issuer.refuses) {
		out->error = CH_HTTP_CONNECT;
		out->detail = "issuer.example: refused";
		return CH_OK;
	}
	issuer.out = out;
	issuer.ticket = t;
	return CH_AGAIN;
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c, (void)out;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c;
	if (issuer.out != out)
		return;
	issuer.out = NULL;
	out->error = CH_HTTP_CANCELLED;
	ch_resume(issuer.ticket, NULL, NULL);
}

static const struct ch_http_v1 http = { sizeof(http), request, go_on, cancel };

static struct ch_http_field cache_control = { { "Cache-Control", 13 }, { "public, max-age=600", 19 } };

static void answer(struct ch_test *t, int status, const char *body)
{
	struct ch_http_result *out = issuer.out;

	assert_non_null(out);
	issuer.out = NULL;
	out->status = status;
	out->body = (struct ch_str){ body, strlen(body) };
	out->fields = &cache_control;
	out->nfields = 1;
	ch_resume(issuer.ticket, NULL, NULL);
	ch_test_advance(t, 0);
}

/* ---- tokens ---- */

/* base64url without padding. */
static void encode(const void *p, size_t n, char *out)
{
	int len = EVP_EncodeBlock((unsigned char *)out, p, (int)n);

	while (len && out[len - 1] == '=')
		len--;
	out[len] = 0;
	for (char *c = out; *c; c++)
		*c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
}

static EVP_PKEY *key_of(unsigned char seed)
{
	unsigned char bytes[32];

	memset(bytes, seed, sizeof(bytes));
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, sizeof(bytes));
}

/* The set of the keys with these seeds; the kid is the seed, a letter. */
static const char *set_of(const char *seeds)
{
	static char text[4096];
	size_t n = (size_t)snprintf(text, sizeof(text), "{\"keys\":[");

	for (const char *s = seeds; *s; s++) {
		unsigned char x[32];
		size_t len = sizeof(x);
		char b64[64];
		EVP_PKEY *key = key_of((unsigned char)*s);

		EVP_PKEY_get_raw_public_key(key, x, &len);
		EVP_PKEY_free(key);
		encode(x, len, b64);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"%c\",\"x\":\"%s\"}", s > seeds ? "," : "", *s, b64);
	}
	snprintf(text + n, sizeof(text) - n, "]}");
	return text;
}

/* The harness's wall clock stands at 2026-01-01T00:00:00Z, 1767225600. "X-Token: ", ready to be sent. */
static const char *token_of(char seed, const char *sub, int64_t exp)
{
	static char line[2048];
	char header[64], claims[512], h[128], p[768], said[1024], s[128];
	unsigned char signature[64];
	size_t len = sizeof(signature);
	EVP_PKEY *key = key_of((unsigned char)seed);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	snprintf(header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"%c\"}", seed);
	snprintf(claims, sizeof(claims), "{\"iss\":\"https://issuer.example\",\"aud\":\"gw\",\"sub\":\"%s\",\"exp\":%lld,\"models\":[\"m\"]}", sub, (long long)exp);
	encode(header, strlen(header), h);
	encode(claims, strlen(claims), p);
	snprintf(said, sizeof(said), "%s.%s", h, p);
	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &len, (unsigned char *)said, strlen(said)), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	encode(signature, len, s);
	snprintf(line, sizeof(line), "X-Token: %s.%s\n", said, s);
	return line;
}

#define WALL INT64_C(1767225600)
#define CONF "[who]\njwt_issuer = https://issuer.example\njwt_audiences = gw\n"

static struct ch_test *world(const char *conf)
{
	struct ch_test *t = ch_test_new();

	issuer = (struct issuer){ 0 };
	ch_test_plugin(t, CH_TEST_ENTRY(who));
	ch_test_service(t, "http", "http/1", &http, NULL);
	ch_test_config(t, conf);
	return t;
}

static struct ch_test *started(void)
{
	struct ch_test *t = world(CONF "jwks = https://issuer.example/keys\n");

	assert_true(ch_test_start(t));
	ch_test_advance(t, 0);
	assert_int_equal(issuer.fetches, 1);
	assert_string_equal(issuer.url, "https://issuer.example/keys");
	return t;
}

static struct ch_test_answer *get(struct ch_test *t, const char *headers)
{
	return ch_test_request(t, "GET", "/who", headers, NULL, 0);
}

/* ---- what happens ---- */

static void a_good_token_says_whose_it_is(void **state)
{
	struct ch_test *t = started();
	struct ch_test_answer *a;

	(void)state;
	answer(t, 200, set_of("a"));
	a = get(t, token_of('a', "mary", WALL + 100));
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "jwt:mary api_key 1 m jwt:");
	assert_int_equal(get(t, token_of('a', "mary", WALL - 100))->status, 401);
	assert_int_equal(issuer.fetches, 1);
	ch_test_free(t);
}

/* Known tokens are good to the second of their exp and leeway, and no longer. */
static void a_known_token_ends_with_its_exp(void **state)
{
	struct ch_test *t = started();

	(void)state;
	answer(t, 200, set_of("a"));
	assert_int_equal(get(t, token_of('a', "mary", WALL + 100))->status, 200);
	ch_test_wall(t, 129999);
	assert_int_equal(get(t, token_of('a', "mary", WALL + 100))->status, 200);
	ch_test_wall(t, 1);
	assert_int_equal(get(t, token_of('a', "mary", WALL + 100))->status, 401);
	ch_test_free(t);
}

/* What auth asks about whoever has failed too often: was it good, by whatever keys? */
static void a_token_that_was_good_is_known_until_its_exp(void **state)
{
	struct ch_test *t = started();
	char line[2100];

	(void)state;
	answer(t, 200, set_of("a"));
	snprintf(line, sizeof(line), "X-Known: 1\n%s", token_of('a', "mary", WALL + 100));
	assert_int_equal(get(t, line)->status, 429);
	assert_int_equal(get(t, strchr(line, '\n') + 1)->status, 200);
	assert_int_equal(get(t, line)->status, 200);
	ch_test_advance(t, 30000);
	get(t, token_of('b', "mary", WALL + 1000));
	answer(t, 200, set_of("ab")); /* other keys from now on, its own among them */
	assert_int_equal(get(t, line)->status, 200);
	ch_test_wall(t, 129999 - 30000);
	assert_int_equal(get(t, line)->status, 200);
	ch_test_wall(t, 1);
	assert_int_equal(get(t, line)->status, 429);
	snprintf(line, sizeof(line), "X-Known: 1\n%s", token_of('c', "mary", WALL + 1000));
	assert_int_equal(get(t, line)->status, 429);
	assert_int_equal(issuer.fetches, 2);
	ch_test_free(t);
}

static void a_request_waits_for_the_first_keys(void **state)
{
	struct ch_test *t = started();
	struct ch_test_answer *a = get(t, token_of('a', "mary", WALL + 100)), *b = get(t, token_of('a', "anne", WALL + 100));

	(void)state;
	assert_false(a->done);
	answer(t, 200, set_of("a"));
	assert_int_equal(a->status, 200);
	assert_int_equal(b->status, 200);
	assert_int_equal(issuer.fetches, 1);
	ch_test_free(t);
}

static void a_request_does_not_wait_for_ever(void **state)
{
	struct ch_test *t = started();
	struct ch_test_answer *a = get(t, token_of('a', "mary", WALL + 100)), *b;

	(void)state;
	ch_test_advance(t, 2999);
	assert_false(a->done);
	ch_test_advance(t, 2);
	assert_int_equal(a->status, 503);
	b = get(t, token_of('a', "mary", WALL + 100));
	ch_test_leave(b);
	ch_test_advance(t, 0);
	ch_test_advance(t, 12000); /* the fetch itself is given up */
	assert_null(issuer.out);
	assert_true(ch_test_logged(t, "keys cannot be fetched"));
	ch_test_free(t);
}

static void a_new_key_is_fetched_at_once(void **state)
{
	struct ch_test *t = started();
	struct ch_test_answer *a, *b;

	(void)state;
	answer(t, 200, set_of("a"));
	assert_int_equal(get(t, token_of('a', "mary", WALL + 1000))->status, 200);
	ch_test_advance(t, 30000);
	a = get(t, token_of('b', "anne", WALL + 1000));
	b = get(t, token_of('c', "eve", WALL + 1000));
	assert_false(a->done);
	assert_int_equal(get(t, token_of('a', "mary", WALL + 1000))->status, 200); /* the old keys are good meanwhile */
	answer(t, 200, set_of("b"));
	assert_int_equal(a->status, 200);
	assert_int_equal(b->status, 401);
	assert_int_equal(get(t, token_of('a', "mary", WALL + 1000))->status, 401); /* its key is gone, known or not */
	assert_int_equal(issuer.fetches, 2);
	ch_test_free(t);
}

static void unknown_kids_fetch_every_30_s_at_most(void **state)
{
	struct ch_test *t = started();
	struct ch_test_answer *a;

	(void)state;
	answer(t, 200, set_of("a"));
	ch_test_advance(t, 29998);
	assert_int_equal(get(t, token_of('x', "eve", WALL + 1000))->status, 401);
	assert_int_equal(issuer.fetches, 1);
	ch_test_advance(t, 2);
	a = get(t, token_of('x', "eve", WALL + 1000));
	assert_int_equal(issuer.fetches, 2);
	answer(t, 200, set_of("a"));
	assert_int_equal(a->status, 401);
	assert_int_equal(get(t, token_of('y', "eve", WALL + 1000))->status, 401);
	/* What is wrong in another way fetches nothing at all. */
	ch_test_advance(t, 30000);
	assert_int_equal(get(t, token_of('x', "eve", WALL - 1000))->status, 401);
	assert_int_equal(issuer.fetches, 2);
	ch_test_free(t);
}

static void the_set_is_fetched_again_when_it_is_no_longer_fresh(void **state)
{
	struct ch_test *t = started();

	(void)state;
	answer(t, 200, set_of("a"));
	ch_test_advance(t, 600000);
	assert_int_equal(issuer.fetches, 1);
	ch_test_advance(t, 2);
	assert_int_equal(issuer.fetches, 2);
	answer(t, 200, set_of("a"));
	ch_test_free(t);
}

static void old_keys_are_good_for_a_day_while_the_issuer_is_away(void **state)
{
	struct ch_test *t = started();

	(void)state;
	answer(t, 200, set_of("a"));
	issuer.refuses = true;
	ch_test_advance(t, 86399000);
	assert_true(issuer.fetches > 1000);
	assert_int_equal(get(t, token_of('a', "mary", WALL + 200000))->status, 200);
	assert_int_equal(get(t, token_of('b', "mary", WALL + 200000))->status, 503); /* nobody knows */
	ch_test_advance(t, 1001);
	assert_int_equal(get(t, token_of('a', "mary", WALL + 200000))->status, 503);
	issuer.refuses = false;
	while (!issuer.out)
		ch_test_advance(t, 1000);
	answer(t, 200, set_of("a"));
	assert_int_equal(get(t, token_of('a', "mary", WALL + 200000))->status, 200);
	ch_test_advance(t, 3000);
	assert_true(ch_test_logged(t, "issuer.example: refused"));
	ch_test_free(t);
}

static void a_bad_document_changes_nothing(void **state)
{
	struct ch_test *t = started();

	(void)state;
	answer(t, 200, set_of("a"));
	ch_test_advance(t, 600002);
	answer(t, 200, "<html>we will be back</html>");
	assert_int_equal(get(t, token_of('a', "mary", WALL + 2000))->status, 200);
	assert_true(ch_test_logged(t, "what the issuer sent is no set of keys, and those that are known stay: it is no JSON object"));
	ch_test_advance(t, 2002);
	answer(t, 404, set_of("b"));
	assert_int_equal(get(t, token_of('a', "mary", WALL + 2000))->status, 200);
	ch_test_free(t);
}

static double fetches(struct ch_test *t, const char *result)
{
	return ch_test_metric(t, "chimera_auth_jwks_fetches_total", result, NULL);
}

static void fetches_and_the_age_of_the_keys_are_told(void **state)
{
	struct ch_test *t = started();
	double when;

	(void)state;
	ch_test_advance(t, 2000);
	answer(t, 200, set_of("a"));
	when = ch_test_metric(t, "chimera_auth_jwks_timestamp_seconds", NULL);
	assert_true(when == (double)WALL + 2);
	ch_test_advance(t, 600002);
	answer(t, 200, "<html>we will be back</html>");
	ch_test_advance(t, 2002);
	answer(t, 404, set_of("b"));
	assert_true(ch_test_metric(t, "chimera_auth_jwks_timestamp_seconds", NULL) == when);
	assert_int_equal(fetches(t, "ok"), 1);
	assert_int_equal(fetches(t, "invalid"), 1);
	assert_int_equal(fetches(t, "status"), 1);
	assert_int_equal(fetches(t, "away"), 0);
	issuer.refuses = true;
	while (issuer.fetches < 5)
		ch_test_advance(t, 1000);
	assert_int_equal(fetches(t, "away"), issuer.fetches - 3);
	ch_test_config(t, CONF "jwks = https://issuer.example/keys\njwt_leeway = 1s\n");
	assert_true(ch_test_start(t));
	assert_true(ch_test_metric(t, "chimera_auth_jwks_timestamp_seconds", NULL) == when); /* the successor has the same keys */
	ch_test_free(t);
}

static void a_reload_keeps_the_keys(void **state)
{
	struct ch_test *t = started();

	(void)state;
	answer(t, 200, set_of("a"));
	ch_test_config(t, CONF "jwks = https://issuer.example/keys\njwt_leeway = 1s\n");
	assert_true(ch_test_start(t));
	assert_int_equal(get(t, token_of('a', "mary", WALL + 100))->status, 200);
	assert_int_equal(get(t, token_of('a', "mary", WALL - 2))->status, 401);
	ch_test_free(t);
}

static void keys_can_come_from_a_file(void **state)
{
	char path[] = "/tmp/test_jwt.XXXXXX", conf[512];
	int fd = mkstemp(path);
	struct ch_test *t;

	(void)state;
	assert_true(fd >= 0 && write(fd, set_of("a"), strlen(set_of("a"))) > 0);
	snprintf(conf, sizeof(conf), CONF "jwks_file = %s\n", path);
	t = world(conf);
	assert_true(ch_test_start(t));
	assert_int_equal(get(t, token_of('a', "mary", WALL + 100))->status, 200);
	assert_int_equal(get(t, token_of('b', "mary", WALL + 100))->status, 401);
	assert_int_equal(issuer.fetches, 0);
	assert_int_equal(ftruncate(fd, 20), 0);
	ch_test_config(t, strcat(conf, "jwt_leeway = 1s\n"));
	assert_false(ch_test_start(t)); /* a bad file refuses the reload */
	assert_non_null(strstr(ch_test_errors(t), "is no set of keys that can be used"));
	assert_int_equal(get(t, token_of('a', "mary", WALL + 100))->status, 200);
	ch_test_free(t);
	close(fd);
	unlink(path);
}

static void a_config_that_would_let_anyone_in_is_refused(void **state)
{
	static const struct { const char *conf, *says; } bad[] = {
		{ "[who]\njwks = https://i/keys\njwt_audiences = gw\n", "jwt_issuer" },
		{ "[who]\njwks = https://i/keys\njwt_issuer = i\n", "jwt_audiences" },
		{ CONF "jwks = http://issuer.example/keys\n", "is http" },
		{ CONF "jwks = http://127.evil.example/keys\n", "is http" },
		{ CONF "jwks = file:///etc/keys\n", "no URL" },
		{ CONF "jwks = https://i/keys\njwt_algorithms = RS256, HS256\n", "nothing else" },
		{ CONF "jwks = https://i/keys\njwt_algorithms = none\n", "nothing else" },
		{ CONF "jwks = https://i/keys\njwt_tier = gold\n", "none of tiers" },
		{ CONF "jwks = https://i/keys\njwt_owner_prefix = \"a b\"\n", "jwt_owner_prefix" },
		{ CONF "jwks = https://i/keys\njwks_file = /nowhere/keys\n", "keep one of both" },
		{ CONF "jwks_file = /nowhere/keys\n", "cannot be read" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ch_test *t = world(bad[i].conf);

		assert_false(ch_test_start(t));
		assert_non_null(strstr(ch_test_errors(t), bad[i].says));
		ch_test_free(t);
	}
}

/* Whatever allocation fails: 200, or 503, and nothing is left over. */
static void no_memory_is_no_wrong_token(void **state)
{
	struct ch_test *t = started();
	bool struck = true;

	(void)state;
	answer(t, 200, set_of("a"));
	for (unsigned long n = 1; struck; n++) {
		ch_test_fail_alloc(t, n);
		int status = get(t, token_of('a', "mary", WALL + 100))->status;

		struck = ch_test_fail_alloc(t, 0);
		assert_true(status == 200 || status == 503 || status == 0);
	}
	ch_test_free(t);
}

static void a_cache_control_says_how_long(void **state)
{
	static const struct { const char *text; int64_t seconds; } v[] = { { "", -1 }, { "public", -1 }, { "max-age=600", 600 }, { "public, MAX-AGE=7 , x", 7 },
		{ "no-store", 0 }, { "private, no-cache", 0 }, { "max-age=", -1 }, { "max-age=x", 0 }, { "s-maxage=5", -1 },
		{ "max-age=99999999999999999999", 31536000 }, { ",,max-age=1", 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		assert_int_equal(jwks_lifetime((struct ch_str){ v[i].text, strlen(v[i].text) }), v[i].seconds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_token_says_whose_it_is),
		cmocka_unit_test(a_known_token_ends_with_its_exp),
		cmocka_unit_test(a_token_that_was_good_is_known_until_its_exp),
		cmocka_unit_test(a_request_waits_for_the_first_keys),
		cmocka_unit_test(a_request_does_not_wait_for_ever),
		cmocka_unit_test(a_new_key_is_fetched_at_once),
		cmocka_unit_test(unknown_kids_fetch_every_30_s_at_most),
		cmocka_unit_test(the_set_is_fetched_again_when_it_is_no_longer_fresh),
		cmocka_unit_test(old_keys_are_good_for_a_day_while_the_issuer_is_away),
		cmocka_unit_test(a_bad_document_changes_nothing),
		cmocka_unit_test(fetches_and_the_age_of_the_keys_are_told),
		cmocka_unit_test(a_reload_keeps_the_keys),
		cmocka_unit_test(keys_can_come_from_a_file),
		cmocka_unit_test(a_config_that_would_let_anyone_in_is_refused),
		cmocka_unit_test(no_memory_is_no_wrong_token),
		cmocka_unit_test(a_cache_control_says_how_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
