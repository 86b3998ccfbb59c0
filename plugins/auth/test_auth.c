/* SPDX-License-Identifier: Apache-2.0 */
/* The whole plugin: what a request shows, and what becomes of it. FAULTS.md rows A1, A3, A4 and A6. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "test_door.h"

#include "auth.h"
#include "file.h"

#define KEY "api_key = the-key-of-the-house-of-auth\n"
#define SHOWN "Authorization: Bearer the-key-of-the-house-of-auth\n"

/* ---- what is shown ---- */

static void a_key_may_stand_in_three_headers(void **state)
{
	static const char *const good[] = {
		SHOWN, "authorization: bearer   the-key-of-the-house-of-auth\n", "X-API-KEY: the-key-of-the-house-of-auth\n",
		"api-key: the-key-of-the-house-of-auth  \n", SHOWN "x-api-key: the-key-of-the-house-of-auth\n",
		"x-api-key: the-key-of-the-house-of-auth\napi-key: the-key-of-the-house-of-auth\n" SHOWN,
	};
	struct ch_test *t = door_open(KEY);

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_string_equal(door_body(t, "/in", good[i]), "api_key - api_key 1 -");
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "key", "ok", NULL), 6);
	ch_test_free(t);
}

static void what_contradicts_itself_is_400(void **state)
{
	static const char *const bad[] = {
		SHOWN "x-api-key: another\n", "x-api-key: a\napi-key: b\n", "x-api-key: a\nx-api-key: a\n", SHOWN SHOWN,
		"Authorization: Basic dTpw\nx-api-key: the-key-of-the-house-of-auth\n", SHOWN "api-key:\n",
	};
	struct ch_test *t = door_open(KEY);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(door_status(t, "/in", bad[i]), 400);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "none", "malformed", NULL), 6);
	ch_test_free(t);
}

static void a_key_in_the_address_is_400_and_not_logged(void **state)
{
	static const char *const bad[] = { "/in?api_key=canary-1234", "/in?a=b&key=canary-1234", "/in?access_token=canary-1234",
		"/in?API-KEY=canary-1234", "/in?x%2Dapi%2dkey=canary-1234", "/in?apikey", "/in?&&%61pi_key=canary-1234&" };
	static const char *const good[] = { "/in?monkey=1", "/in?keys=1", "/in?a=key", "/in?=key", "/in?k%65ys=1", "/in?api_keys_of_all=3",
		"/in?%", "/in?key%" };
	struct ch_test *t = door_open(KEY "[log]\nlevel = debug\naccess = all\n");

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(door_status(t, bad[i], SHOWN), 400);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_not_equal(door_status(t, good[i], SHOWN), 401);
	assert_int_equal(door_status(t, "/in?monkey=1", SHOWN), 200);
	assert_false(ch_test_logged(t, "canary"));
	ch_test_free(t);
}

/* ---- who is let in ---- */

static void every_wrong_key_gets_the_same_answer(void **state)
{
	static char headers[11][12000];
	struct ch_test_answer *a, *first = NULL;
	struct ch_test *t;
	char big[9001];
	size_t n = 0;

	(void)state;
	memset(big, 'x', 9000);
	big[9000] = 0;
	snprintf(headers[n++], sizeof(headers[0]), "x-api-key: unknown\n");
	snprintf(headers[n++], sizeof(headers[0]), "x-api-key:\n");
	snprintf(headers[n++], sizeof(headers[0]), "Authorization: Bearer\n");
	snprintf(headers[n++], sizeof(headers[0]), "Authorization: Basic dTpw\n");
	snprintf(headers[n++], sizeof(headers[0]), "Authorization: Bearerthe-key-of-the-house-of-auth\n");
	snprintf(headers[n++], sizeof(headers[0]), "Authorization: the-key-of-the-house-of-auth\n");
	snprintf(headers[n++], sizeof(headers[0]), "api-key: \xc3\xa9\xff\n");
	snprintf(headers[n++], sizeof(headers[0]), "x-api-key: %s\n", big);
	snprintf(headers[n++], sizeof(headers[0]), "Authorization: Bearer expired\n");
	snprintf(headers[n++], sizeof(headers[0]), "Authorization: Bearer disabled\n");
	snprintf(headers[n++], sizeof(headers[0]), "Authorization: Bearer the-key-of-the-house-of-auti\n");
	char file[4096];

	snprintf(file, sizeof(file), "%s%s", door_section("e", "expired", "expires = 2025-12-31\n"),
		door_section("d", "disabled", "disabled = yes\n"));
	door_write(file);
	t = door_with_file(KEY "failures = unlimited\n");
	for (size_t i = 0; i < n; i++) {
		a = ch_test_request(t, "GET", "/in", headers[i], NULL, 0);
		first = first ? first : a;
		assert_int_equal(a->status, 401);
		assert_string_equal(a->body, first->body);
		assert_string_equal(ch_test_header(a, "WWW-Authenticate"), "Bearer realm=\"chimera\", error=\"invalid_token\"");
		assert_string_equal(ch_test_header(a, "Content-Length"), ch_test_header(first, "Content-Length"));
	}
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "key", "unknown", NULL), 9);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "key", "expired", NULL), 1);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "key", "disabled", NULL), 1);
	ch_test_free(t);
}

static void a_key_ends_with_its_time(void **state)
{
	struct ch_test *t;

	(void)state;
	door_write(door_section("e", "soon", "expires = 2026-01-01T00:00:10Z\n"));
	t = door_with_file("");
	ch_test_wall(t, 9000);
	assert_int_equal(door_status(t, "/in", "x-api-key: soon\n"), 200);
	ch_test_wall(t, 1000);
	assert_int_equal(door_status(t, "/in", "x-api-key: soon\n"), 401);
	ch_test_free(t);
}

static void without_a_key_it_is_401_unless_anonymous_is_let_in(void **state)
{
	struct ch_test *t = door_open(KEY);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/in", NULL, NULL, 0);

	(void)state;
	assert_int_equal(a->status, 401);
	assert_string_equal(ch_test_header(a, "WWW-Authenticate"), "Bearer realm=\"chimera\"");
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "none", "missing", NULL), 1);
	ch_test_free(t);
	t = door_open(KEY "anonymous = yes\n");
	assert_string_equal(door_body(t, "/in", NULL), "- - anonymous 0 -");
	assert_string_equal(door_body(t, "/basic", NULL), "- - anonymous 0 -");
	assert_int_equal(door_status(t, "/premium", NULL), 401); /* a key would help */
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong\n"), 401);
	assert_int_equal(door_status(t, "/in", "x-api-key:\n"), 401);
	assert_string_equal(door_body(t, "/in", SHOWN), "api_key - api_key 1 -");
	ch_test_free(t);
}

static void an_empty_key_in_the_config_matches_nothing(void **state)
{
	struct ch_test *t = door_open("api_key =\n");

	(void)state;
	assert_int_equal(door_status(t, "/in", "x-api-key:\n"), 401);
	assert_int_equal(door_status(t, "/in", "Authorization: Bearer \n"), 401);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_keys", NULL), 0);
	ch_test_free(t);
}

static void open_routes_are_never_asked_and_others_by_their_class(void **state)
{
	struct ch_test *t;
	char file[4096];

	(void)state;
	snprintf(file, sizeof(file), "%s%s", door_section("boss", "boss", "role = admin\n"), door_section("user", "user", ""));
	door_write(file);
	t = door_with_file("anonymous = yes\n");
	assert_string_equal(door_body(t, "/open", "x-api-key: wrong\nx-api-key: twice\n"), "- - - 0 -");
	assert_int_equal(door_status(t, "/open?key=x", NULL), 200);
	assert_int_equal(door_status(t, "/admin", NULL), 401);
	assert_int_equal(door_status(t, "/admin", "x-api-key: user\n"), 403);
	assert_int_equal(door_status(t, "/admin", "x-api-key: boss\n"), 200);
	assert_string_equal(door_body(t, "/ops", NULL), "- - - 0 -"); /* from this machine */
	assert_int_equal(door_status(t, "/ops", "x-api-key: wrong\n"), 401);
	ch_test_peer(t, "192.0.2.1");
	assert_int_equal(door_status(t, "/ops", NULL), 403);
	assert_int_equal(door_status(t, "/ops", "x-api-key: user\n"), 403);
	assert_int_equal(door_status(t, "/ops", "x-api-key: boss\n"), 200);
	assert_int_equal(door_status(t, "/nowhere", NULL), 404);
	ch_test_free(t);
}

/* ---- what a key may do ---- */

static void facts_say_who_it_is(void **state)
{
	struct ch_test *t;

	(void)state;
	door_write(door_section("team-a", "secret", "owner = ann\ntier = premium\nrole = none\nlimits = requests=5/min\n"));
	t = door_with_file("");
	assert_string_equal(door_body(t, "/in", "x-api-key: secret\n"), "team-a ann premium 0 requests=5/min");
	ch_test_free(t);
}

static void tiers_stand_in_an_order(void **state)
{
	struct ch_test *t;
	char file[4096];

	(void)state;
	snprintf(file, sizeof(file), "%s%s%s", door_section("a", "low", ""), door_section("b", "premium", "tier = premium\n"),
		door_section("c", "high", "tier = admin\n"));
	door_write(file);
	t = door_with_file("");
	assert_int_equal(door_status(t, "/premium", "x-api-key: low\n"), 403);
	assert_int_equal(door_status(t, "/premium", "x-api-key: premium\n"), 200);
	assert_int_equal(door_status(t, "/premium", "x-api-key: high\n"), 200);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "key", "forbidden", NULL), 1);
	ch_test_free(t);
}

static void a_route_of_a_tier_that_there_is_not_is_closed(void **state)
{
	struct ch_test *t;
	char file[4096];

	(void)state;
	snprintf(file, sizeof(file), "%s%s", door_section("a", "low", "tier = free\n"), door_section("b", "high", "tier = pro\nrole = admin\n"));
	door_write(file);
	t = door_with_file("anonymous = yes\ntiers = free, pro\n");
	assert_int_equal(door_status(t, "/in", NULL), 200);
	assert_int_equal(door_status(t, "/premium", NULL), 401);
	assert_int_equal(door_status(t, "/basic", NULL), 401);
	assert_int_equal(door_status(t, "/premium", "x-api-key: low\n"), 403);
	assert_int_equal(door_status(t, "/premium", "x-api-key: high\n"), 403);
	assert_non_null(strstr(door_body(t, "/premium", "x-api-key: high\n"), "a tier that [auth] tiers does not have, so it is closed"));
	ch_test_free(t);
}

static void a_key_may_be_for_some_routes_and_networks(void **state)
{
	struct ch_test *t;
	char file[4096];

	(void)state;
	snprintf(file, sizeof(file), "%s%s", door_section("r", "routes", "routes = /bas*, /models\n"),
		door_section("n", "networks", "networks = 10.1.0.0/16 , 2001:db8::/32\n"));
	door_write(file);
	t = door_with_file("");
	assert_int_equal(door_status(t, "/in", "x-api-key: routes\n"), 403);
	assert_int_equal(door_status(t, "/basic", "x-api-key: routes\n"), 200);
	assert_int_equal(door_status(t, "/in", "x-api-key: networks\n"), 403);
	ch_test_peer(t, "10.1.2.3");
	assert_int_equal(door_status(t, "/in", "x-api-key: networks\n"), 200);
	ch_test_peer(t, "10.2.2.3");
	assert_int_equal(door_status(t, "/in", "x-api-key: networks\n"), 403);
	ch_test_peer(t, "2001:db8:7::1");
	assert_int_equal(door_status(t, "/in", "x-api-key: networks\n"), 200);
	ch_test_free(t);
}

/* ---- models and backends ---- */

static struct ch_inference_args asked;
static char only[2][256];
static unsigned questions;

static int answer(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket ticket)
{
	static const struct ch_model models[] = { { .id = CH_STR("gpt-4o") }, { .id = CH_STR("o3") }, { .id = CH_STR("gpt-5") } };

	(void)svc, (void)c, (void)sink, (void)ticket;
	asked = *args;
	questions++;
	snprintf(only[0], sizeof(only[0]), "%.*s", (int)args->only_models.n, args->only_models.n ? args->only_models.p : "");
	snprintf(only[1], sizeof(only[1]), "%.*s", (int)args->only_backends.n, args->only_backends.n ? args->only_backends.p : "");
	out->backend = svc->id;
	out->model = "m";
	if (args->op == CH_I_MODELS) {
		out->models = models;
		out->nmodels = 3;
	} else {
		out->text = (struct ch_str)CH_STR("text");
	}
	return CH_OK;
}

static void nothing(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc, (void)c, (void)out;
}

static bool routes;

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	static const struct ch_backend_conf conf = { .default_model = "gpt-4o" };
	static const struct ch_inference_about backend = { .size = sizeof(backend), .provider = "fake", .ops = ~0u, .conf = &conf };
	static const struct ch_inference_about router = { .size = sizeof(router), .provider = "router", .ops = ~0u };

	(void)svc;
	return routes ? &router : &backend;
}

static const struct ch_inference_v1 inference = { sizeof(inference), answer, nothing, nothing, about };

static struct ch_test *with_backend(const char *more)
{
	char lines[256];
	struct ch_test *t;

	door_write(door_section("k", "key", more));
	snprintf(lines, sizeof(lines), "keys_file = %s\n", door_file);
	t = door_begin(lines);
	ch_test_service(t, "fake", "inference/1", &inference, NULL);
	ch_test_sweep_off(t); /* as in door_with_file */
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	questions = 0;
	return t;
}

static void a_key_may_be_for_some_models(void **state)
{
	struct ch_test *t = with_backend("models = gpt-*, o1\n");

	(void)state;
	routes = false;
	assert_int_equal(door_status(t, "/ask/gpt-5", "x-api-key: key\n"), 200);
	assert_string_equal(only[0], "gpt-*, o1");
	assert_int_equal(door_status(t, "/ask/none", "x-api-key: key\n"), 200); /* the default is allowed */
	assert_int_equal(questions, 2);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/ask/o3", "x-api-key: key\n", NULL, 0);

	assert_int_equal(a->status, 403);
	assert_int_equal(questions, 2);
	assert_string_equal(door_body(t, "/models", "x-api-key: key\n"), "gpt-4o;gpt-5;");
	ch_test_free(t);
	t = with_backend("models = o3\n");
	assert_int_equal(door_status(t, "/ask/none", "x-api-key: key\n"), 403);
	assert_int_equal(questions, 0);
	assert_string_equal(door_body(t, "/models", "x-api-key: key\n"), "o3;");
	ch_test_free(t);
}

static void a_router_is_told_what_a_key_may_use(void **state)
{
	struct ch_test *t = with_backend("models = o3\nbackends = a, b\n");

	(void)state;
	routes = true;
	assert_int_equal(door_status(t, "/ask/none", "x-api-key: key\n"), 200); /* its default is the router's business */
	assert_string_equal(only[0], "o3");
	assert_string_equal(only[1], "a, b");
	ch_test_free(t);
}

static void a_key_may_be_for_some_backends(void **state)
{
	struct ch_test *t = with_backend("backends = other\n");

	(void)state;
	routes = false;
	assert_int_equal(door_status(t, "/ask/gpt-5", "x-api-key: key\n"), 403);
	assert_int_equal(questions, 0);
	ch_test_free(t);
	t = with_backend("backends = fa*\n");
	assert_int_equal(door_status(t, "/ask/gpt-5", "x-api-key: key\n"), 200);
	assert_string_equal(only[0], "");
	ch_test_free(t);
}

/* ---- failed attempts ---- */

static void who_fails_too_often_is_429_and_good_keys_pass(void **state)
{
	struct ch_test *t = door_open(KEY "failures = 20/min\nfailures_burst = 3\n");
	struct ch_test_answer *a;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(door_status(t, "/in", "x-api-key: wrong\n"), 401);
	a = ch_test_request(t, "GET", "/in", "x-api-key: wrong\n", NULL, 0);
	assert_int_equal(a->status, 429);
	assert_string_equal(ch_test_header(a, "Retry-After"), "4"); /* 3 s and the rest of a second */
	assert_int_equal(door_status(t, "/in", SHOWN), 200);
	assert_int_equal(door_status(t, "/in", NULL), 401); /* no attempt */
	ch_test_peer(t, "192.0.2.1");
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong\n"), 401);
	ch_test_peer(t, "127.0.0.1");
	ch_test_advance(t, 3001);
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong\n"), 401);
	assert_int_equal(door_status(t, "/in", "x-api-key: wrong\n"), 429);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_requests_total", "key", "limited", NULL), 2);
	ch_test_free(t);
}

/* ---- the file ---- */

static void a_file_is_read_again_when_it_has_changed(void **state)
{
	struct ch_test *t;
	struct auth *a;

	(void)state;
	door_write(door_section("a", "one", ""));
	t = door_with_file("");
	a = ch_test_self(t, "auth")->state;
	assert_int_equal(door_status(t, "/in", "x-api-key: one\n"), 200);
	assert_int_equal(door_status(t, "/in", "x-api-key: two\n"), 401);
	auth_file_end(a->file); /* its thread looks no more: the test does */
	door_write(door_section("a", "two", ""));
	auth_file_look(a->file);
	auth_file_look(a->file);
	assert_int_equal(door_status(t, "/in", "x-api-key: one\n"), 401);
	assert_int_equal(door_status(t, "/in", "x-api-key: two\n"), 200);
	ch_test_free(t);
}

static void a_wrong_file_leaves_the_old_keys_and_says_so(void **state)
{
	struct ch_test *t;
	struct auth *a;

	(void)state;
	door_write(door_section("a", "one", ""));
	t = door_with_file("");
	a = ch_test_self(t, "auth")->state;
	auth_file_end(a->file);
	door_write("[a]\nhsah = x\n");
	for (unsigned i = 0; i < 5; i++)
		auth_file_look(a->file);
	assert_int_equal(door_status(t, "/in", "x-api-key: one\n"), 200);
	assert_true(ch_test_logged(t, "keys.ini:2: [a] there is no 'hsah', did you mean hash?"));
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_keys_file_errors_total", NULL), 1); /* told once, not each time */
	assert_int_equal(unlink(door_file), 0);
	auth_file_look(a->file);
	auth_file_look(a->file);
	assert_int_equal(door_status(t, "/in", "x-api-key: one\n"), 200);
	assert_true(ch_test_logged(t, "it is not there any more"));
	door_write(door_section("a", "three", ""));
	auth_file_look(a->file);
	auth_file_look(a->file);
	assert_int_equal(door_status(t, "/in", "x-api-key: three\n"), 200);
	ch_test_free(t);
}

static void the_thread_looks_by_itself(void **state)
{
	time_t end = time(NULL) + 120;    /* its time is the real one */
	const struct auth *a;
	struct ch_test *t;
	uint64_t before;

	(void)state;
	door_write(door_section("a", "one", ""));
	t = door_with_file("failures = unlimited\n");
	a = ch_test_self(t, "auth")->state;
	before = atomic_load(&a->revision);
	door_write(door_section("a", "two", ""));
	while (atomic_load(&a->revision) == before && time(NULL) < end)
		sched_yield();
	assert_int_equal(door_status(t, "/in", "x-api-key: two\n"), 200);
	assert_int_equal(door_status(t, "/in", "x-api-key: one\n"), 401);
	ch_test_free(t);
}

static void without_any_key_a_warning_is_said(void **state)
{
	static const struct { const char *lines; bool warned; } kinds[] = {
		{ "", true }, { "api_key =\n", true }, { "anonymous = yes\n", false }, { KEY, false }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char lines[256];
		struct ch_test *t;

		snprintf(lines, sizeof(lines), "anonymous = no\n%s", kinds[i].lines);
		t = door_open(strstr(kinds[i].lines, "anonymous") ? kinds[i].lines : lines);
		assert_int_equal(ch_test_logged(t, "no key is known, so nobody comes in: set api_key or keys_file"), kinds[i].warned);
		ch_test_free(t);
	}
	struct ch_test *t = door_with_file("anonymous = no\n");

	assert_true(ch_test_logged(t, "no key is known, so nobody comes in: make one by `chimeractl keys create OWNER`"));
	ch_test_free(t);
}

static void a_file_that_is_wrong_at_the_start_is_an_error_of_the_config(void **state)
{
	char lines[256];
	struct ch_test *t;

	(void)state;
	door_write("[a]\n\n[b\n");
	snprintf(lines, sizeof(lines), "keys_file = %s\n", door_file);
	t = door_begin(lines);
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "keys.ini:1: [a] has no hash"));
	assert_non_null(strstr(ch_test_errors(t), "keys.ini:3: a section is written [name]"));
	ch_test_free(t);
}

static void mistakes_of_the_config_are_told(void **state)
{
	struct ch_test *t = door_begin("api_key = two words\nstores =\ntiers = a, b, a\n[auth:second]\nstores =\n");

	(void)state;
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "byte 4 is none that a header carries well"));
	assert_non_null(strstr(ch_test_errors(t), "'a' is there twice"));
	assert_non_null(strstr(ch_test_errors(t), "there are 2 instances of auth"));
	ch_test_free(t);
}

static void a_reload_keeps_whom_it_should(void **state)
{
	struct ch_test *t = door_open(KEY);

	(void)state;
	ch_test_config(t, "[auth]\napi_key = quite-another-key-than-before\n[door]\n");
	assert_true(ch_test_start(t));
	assert_int_equal(door_status(t, "/in", SHOWN), 401);
	assert_int_equal(door_status(t, "/in", "x-api-key: quite-another-key-than-before\n"), 200);
	assert_int_equal((int)ch_test_metric(t, "chimera_auth_keys", NULL), 1);
	ch_test_free(t);
}

/* ---- keys/1 ---- */

static struct ch_keys_result found;
static const struct ch_svc *own;

static int find(struct ch_ctx *c, void *data)
{
	unsigned char sha256[CH_SHA256];
	struct ch_str s = { data, strlen(data) };

	ch_sha256(&s, 1, sha256);
	found = (struct ch_keys_result){ .size = sizeof(found) };
	assert_int_equal(((const struct ch_keys_v1 *)own->vt)->find(own, c, sha256, &found, 0), CH_OK);
	if (!found.error) {
		assert_string_equal(found.key.id, "a");
		assert_string_equal(found.key.owner, "ann");
		assert_string_equal(found.key.models, "");
	}
	return CH_DONE;
}

static void it_provides_its_keys_to_others(void **state)
{
	struct ch_test *t;
	uint64_t before;

	(void)state;
	door_write(door_section("a", "one", "owner = ann\ndisabled = yes\n"));
	t = door_with_file("");
	own = ch_test_provided(t, "auth", "keys/1");
	assert_true(ch_test_task(t, "auth", 0, find, "one"));
	assert_int_equal(found.error, CH_KEYS_OK);
	assert_true(found.key.disabled);
	assert_true(ch_test_task(t, "auth", 0, find, "two"));
	assert_int_equal(found.error, CH_KEYS_UNKNOWN);
	before = ((const struct ch_keys_v1 *)own->vt)->revision(own);
	struct auth *a = ch_test_self(t, "auth")->state;

	auth_file_end(a->file);
	door_write(door_section("a", "two", "owner = ann\n"));
	auth_file_look(a->file);
	auth_file_look(a->file);
	assert_int_not_equal(((const struct ch_keys_v1 *)own->vt)->revision(own), before);
	ch_test_free(t);
}

int main(void)
{
#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, door_setup, door_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_may_stand_in_three_headers),
		cmocka_unit_test(what_contradicts_itself_is_400),
		cmocka_unit_test(a_key_in_the_address_is_400_and_not_logged),
		WITH_FILE(every_wrong_key_gets_the_same_answer),
		WITH_FILE(a_key_ends_with_its_time),
		cmocka_unit_test(without_a_key_it_is_401_unless_anonymous_is_let_in),
		cmocka_unit_test(an_empty_key_in_the_config_matches_nothing),
		WITH_FILE(open_routes_are_never_asked_and_others_by_their_class),
		WITH_FILE(facts_say_who_it_is),
		WITH_FILE(tiers_stand_in_an_order),
		WITH_FILE(a_route_of_a_tier_that_there_is_not_is_closed),
		WITH_FILE(a_key_may_be_for_some_routes_and_networks),
		WITH_FILE(a_key_may_be_for_some_models),
		WITH_FILE(a_router_is_told_what_a_key_may_use),
		WITH_FILE(a_key_may_be_for_some_backends),
		cmocka_unit_test(who_fails_too_often_is_429_and_good_keys_pass),
		WITH_FILE(a_file_is_read_again_when_it_has_changed),
		WITH_FILE(a_wrong_file_leaves_the_old_keys_and_says_so),
		WITH_FILE(the_thread_looks_by_itself),
		WITH_FILE(without_any_key_a_warning_is_said),
		WITH_FILE(a_file_that_is_wrong_at_the_start_is_an_error_of_the_config),
		cmocka_unit_test(mistakes_of_the_config_are_told),
		cmocka_unit_test(a_reload_keeps_whom_it_should),
		WITH_FILE(it_provides_its_keys_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
