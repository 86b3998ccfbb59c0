/* SPDX-License-Identifier: Apache-2.0 */
/* test_admin.c - what the operator asks for by routes and commands; what is counted; what is cleaned up. */
#include "test_world.h"

CH_TEST_PLUGIN(t_owner);

#define ADMIN "X-Role: admin\n"

static void begin_all(const char *more)
{
	char ini[1024];

	memset(&store, 0, sizeof(store));
	assert_int_equal(sqlite3_open(":memory:", &store.db), SQLITE_OK);
	migrate("0002_identity.up.sql");
	t = ch_test_new();
	ch_test_plugin(t, CH_TEST_ENTRY(identity));
	ch_test_plugin(t, CH_TEST_ENTRY(t_owner));
	ch_test_service(t, "store", "sql/1", &sql, NULL);
	snprintf(ini, sizeof(ini), "[t_owner]\nkeys = identity\n[identity]\nencryption_key = " KEY_A "\n%s", more);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	ch_test_advance(t, 0);
}

static const struct ch_test_answer *request(const char *method, const char *target, const char *body)
{
	return ch_test_request(t, method, target, ADMIN, body, body ? strlen(body) : 0);
}

/* The status, and a text that the body holds. */
static void expect(const char *method, const char *target, const char *body, int status, const char *holds)
{
	const struct ch_test_answer *a = request(method, target, body);

	if (a->status != status || (holds && !strstr(a->body, holds)))
		fail_msg("%s %s: %d %s", method, target, a->status, a->body);
}

/* The value of a member of the last answer, a string. */
static const char *member(const struct ch_test_answer *a, const char *name)
{
	static char value[200];
	char with[64];
	const char *p;

	snprintf(with, sizeof(with), "\"%s\":\"", name);
	p = strstr(a->body, with);
	if (!p)
		fail_msg("no %s in %s", name, a->body);
	p += strlen(with);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(p, "\""), p);
	return value;
}

/* ---- routes ---- */

static void the_routes_are_the_operators(void **state)
{
	static const char *const routes[] = { "/admin/users", "/admin/keys", "/admin/tokens", "/admin/users/alice" };

	(void)state;
	begin_all("");
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		assert_int_equal(ch_test_request(t, "GET", routes[i], NULL, NULL, 0)->status, 403);
	finish();
}

static void a_user_is_made_shown_changed_and_removed(void **state)
{
	(void)state;
	begin_all("");
	expect("POST", "/admin/users", "{\"id\":\"a/b@c:d\",\"name\":\"O'Brien \\\"\\ud83d\\ude00\\\"\",\"email\":\"o@b\"}", 201,
		"\"role\":\"user\"");
	assert_string_equal(value_of("SELECT name FROM users"), "O'Brien \"\xF0\x9F\x98\x80\"");
	expect("GET", "/admin/users/a/b@c:d", NULL, 200, "\"name\":\"O'Brien \\\"\xF0\x9F\x98\x80\\\"\",\"email\":\"o@b\"");
	expect("POST", "/admin/users", "{\"id\":\"a/b@c:d\"}", 409, "\"param\":\"id\"");
	expect("PATCH", "/admin/users/a/b@c:d", "{\"role\":\"admin\",\"email\":null}", 200,
		"\"email\":\"\",\"role\":\"admin\",\"disabled\":false");
	assert_string_equal(value_of("SELECT email FROM users"), "NULL");
	expect("PATCH", "/admin/users/a/b@c:d", "{\"disabled\":true}", 200, "\"name\":\"O'Brien");
	expect("PATCH", "/admin/users/nobody", "{\"disabled\":true}", 404, "there is no user nobody");
	expect("DELETE", "/admin/users/a/b@c:d", NULL, 204, NULL);
	expect("GET", "/admin/users/a/b@c:d", NULL, 404, NULL);
	expect("DELETE", "/admin/users/a/b@c:d", NULL, 404, NULL);
	finish();
}

static void what_is_wrong_is_refused_by_its_field(void **state)
{
	static char longer[400];
	static const struct { const char *method, *target, *body, *param; } rows[] = {
		{ "POST", "/admin/users", "{}", "id" }, { "POST", "/admin/users", "{\"id\":\"\"}", "id" },
		{ "POST", "/admin/users", "{\"id\":\"a b\"}", "id" }, { "POST", "/admin/users", "{\"id\":7}", "id" },
		{ "POST", "/admin/users", "{\"id\":\"a\",\"name\":\"x\\u0000y\"}", "name" },
		{ "POST", "/admin/users", "{\"id\":\"a\",\"name\":\"x\\ny\"}", "name" }, { "POST", "/admin/users", longer, "name" },
		{ "POST", "/admin/users", "{\"id\":\"a\",\"role\":\"king\"}", "role" },
		{ "POST", "/admin/users", "{\"id\":\"a\",\"disabled\":\"yes\"}", "disabled" },
		{ "POST", "/admin/users", "{\"id\":\"a\",\"disabled\":null}", "disabled" },
		{ "POST", "/admin/users", "{\"id\":\"a\",\"name\":true}", "name" },
		{ "POST", "/admin/users", "{\"id\":\"a\",\"nmae\":\"x\"}", "nmae" }, { "POST", "/admin/users",
		"{\"id\":\"a\",\"id\":\"b\"}", "id" },
		{ "PATCH", "/admin/users/a", "{\"id\":\"b\"}", "id" }, { "POST", "/admin/keys",
		"{\"owner\":\"a\",\"expires\":\"soon\"}", "expires" },
		{ "POST", "/admin/tokens", "{\"user\":\"a\",\"provider\":\"b\"}", "access" },
		{ "POST", "/admin/tokens", "{\"user\":\"a\",\"provider\":\"b\",\"access\":\"x\\u0000\"}", "access" },
		{ "PATCH", "/admin/tokens/a", "{\"revoked\":false}", "revoked" }, { "GET", "/admin/users?limit=0", NULL, "limit" },
		{ "GET", "/admin/users?limit=1001", NULL, "limit" }, { "GET", "/admin/users?limit=x", NULL, "limit" },
		{ "GET", "/admin/keys?owner=%27", NULL, "owner" }, { "GET", "/admin/keys?after=%00", NULL, "after" },
	};

	(void)state;
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "{\"id\":\"a\",\"name\":\"", 18);
	memcpy(longer + 300, "\"}", 3);
	begin_all("");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ch_test_answer *a = request(rows[i].method, rows[i].target, rows[i].body);
		char param[64];

		snprintf(param, sizeof(param), "\"param\":\"%s\"", rows[i].param);
		if (a->status != 400 || !strstr(a->body, param))
			fail_msg("%s %s %s: %d %s", rows[i].method, rows[i].target, rows[i].body, a->status, a->body);
	}
	expect("POST", "/admin/users", "[]", 400, "JSON object");
	expect("POST", "/admin/users", "{\"id\":\"a\"", 400, "no valid JSON");
	expect("POST", "/admin/users", "{\"id\":\"a\"} x", 400, "no valid JSON");
	expect("PATCH", "/admin/users/a", "{}", 400, "nothing would change");
	assert_string_equal(value_of("SELECT COUNT(*) FROM users"), "0");
	finish();
}

static void a_key_is_shown_once_and_works(void **state)
{
	const struct ch_test_answer *a;
	char secret[64], header[100], id[64], path[100];

	(void)state;
	begin_all("");
	expect("POST", "/admin/users", "{\"id\":\"alice\"}", 201, NULL);
	a = request("POST", "/admin/keys",
		"{\"owner\":\"alice\",\"tier\":\"gold\",\"expires\":\"2027-01-31T12:00:00Z\",\"models\":\"gpt-*\"}");
	assert_int_equal(a->status, 201);
	strcpy(secret, member(a, "key"));
	strcpy(id, member(a, "id"));
	assert_int_equal(strlen(secret), 46);
	assert_memory_equal(secret, "ck_", 3);
	assert_non_null(strstr(a->body, "\"expires\":\"2027-01-31T12:00:00Z\""));
	assert_int_equal(strlen(member(a, "prefix")), 7);
	assert_memory_equal(member(a, "prefix"), secret, 7);
	snprintf(path, sizeof(path), "/admin/keys/%s", id);
	a = request("GET", path, NULL);
	assert_int_equal(a->status, 200);
	assert_null(strstr(a->body, secret));
	snprintf(header, sizeof(header), "X-Key: %s\n", secret);
	a = ch_test_request(t, "GET", "/t/key", header, NULL, 0);
	assert_string_equal(member(a, "owner"), "alice");
	/* A local change is obeyed at once. */
	expect("PATCH", path, "{\"disabled\":true}", 200, "\"disabled\":true");
	a = ch_test_request(t, "GET", "/t/key", header, NULL, 0);
	assert_non_null(strstr(a->body, "\"disabled\":true"));
	/* A rotation keeps all but the secret. */
	a = request("POST", path, NULL);
	assert_int_equal(a->status, 201);
	assert_string_not_equal(member(a, "key"), secret);
	assert_string_equal(member(a, "tier"), "gold");
	a = ch_test_request(t, "GET", "/t/key", header, NULL, 0);
	assert_non_null(strstr(a->body, "\"error\":\"unknown\""));
	expect("DELETE", path, NULL, 204, NULL);
	expect("POST", path, NULL, 404, NULL);
	assert_null(strstr(ch_test_log(t), secret + 7));
	finish();
}

static void lists_come_in_pages(void **state)
{
	char body[64];
	const struct ch_test_answer *a;

	(void)state;
	begin_all("");
	for (int i = 0; i < 5; i++) {
		snprintf(body, sizeof(body), "{\"id\":\"u%d\"}", i);
		expect("POST", "/admin/users", body, 201, NULL);
	}
	a = request("GET", "/admin/users?limit=2", NULL);
	assert_non_null(strstr(a->body, "\"u1\"") );
	assert_null(strstr(a->body, "\"u2\""));
	assert_string_equal(member(a, "next"), "u1");
	a = request("GET", "/admin/users?limit=2&after=u3", NULL);
	assert_non_null(strstr(a->body, "\"u4\""));
	assert_non_null(strstr(a->body, "\"next\":null"));
	expect("POST", "/admin/keys", "{\"owner\":\"u1\"}", 201, NULL);
	expect("POST", "/admin/keys", "{\"owner\":\"u2\"}", 201, NULL);
	a = request("GET", "/admin/keys?owner=u%31", NULL);
	assert_non_null(strstr(a->body, "\"owner\":\"u1\""));
	assert_null(strstr(a->body, "\"owner\":\"u2\""));
	finish();
}

static void a_tokens_secret_is_shown_to_nobody(void **state)
{
	const struct ch_test_answer *a;
	char path[100];

	(void)state;
	begin_all("");
	a = request("POST", "/admin/tokens",
		"{\"user\":\"alice\",\"provider\":\"openai\",\"access\":\"sk-canary\",\"refresh\":\"rf-canary\",\"expires\":\"1h\"}");
	assert_int_equal(a->status, 201);
	assert_null(strstr(a->body, "canary"));
	snprintf(path, sizeof(path), "/admin/tokens/%s", member(a, "id"));
	assert_null(strstr(request("GET", path, NULL)->body, "canary"));
	assert_null(strstr(request("GET", "/admin/tokens?user=alice&provider=openai", NULL)->body, "canary"));
	expect("PATCH", path, "{\"revoked\":true}", 200, "\"revoked\":\"20");
	expect("DELETE", path, NULL, 204, NULL);
	assert_null(strstr(ch_test_log(t), "canary"));
	finish();
}

static void a_store_that_is_away_is_a_503_that_says_when_to_come_again(void **state)
{
	static const char *const rows[][3] = { { "GET", "/admin/users", NULL }, { "GET", "/admin/users/a", NULL }, { "POST",
		"/admin/users", "{\"id\":\"a\"}" },
		{ "PATCH", "/admin/keys/a", "{\"note\":\"x\"}" }, { "POST", "/admin/keys", "{\"owner\":\"a\"}" }, { "DELETE",
		"/admin/tokens/a", NULL } };

	(void)state;
	begin_all("");
	for (int error = CH_SQL_BUSY; error <= CH_SQL_UNKNOWN; error++) {
		store.fails = error;
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			const struct ch_test_answer *a = request(rows[i][0], rows[i][1], rows[i][2]);

			if (a->status != 503 || !ch_test_header(a, "Retry-After"))
				fail_msg("%s %s: %d %s", rows[i][0], rows[i][1], a->status, a->body);
		}
	}
	finish();
}

/* ---- commands ---- */

static const char *said;

static void commands_do_the_same(void **state)
{
	char id[64], was[80];

	(void)state;
	begin_all("");
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "add", "alice", "name=O'Brien", "role=admin", NULL), 0);
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "add", "alice", NULL), 1);
	assert_non_null(strstr(said, "there is a user alice already"));
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "list", NULL), 0);
	assert_non_null(strstr(said, "alice  O'Brien  -      admin  no"));
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "create", "alice", "expires=30d", NULL), 0);
	assert_non_null(strstr(said, "key  ck_"));
	sscanf(said, "id %63s", id);
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "create", "alice", "models=", NULL), 1);
	assert_non_null(strstr(said, "models= has no value"));
	strcpy(was, value_of("SELECT hex(sha256) FROM api_keys"));
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "rotate", id, NULL), 0);
	assert_string_not_equal(value_of("SELECT hex(sha256) FROM api_keys"), was);
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "revoke", id, NULL), 0);
	assert_string_equal(value_of("SELECT disabled FROM api_keys"), "1");
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "list", "owner=bob", NULL), 0);
	assert_null(strstr(said, "alice"));
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "disable", "alice", NULL), 0);
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "show", "alice", NULL), 0);
	assert_non_null(strstr(said, "disabled   yes"));
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "enable", "alice", NULL), 0);
	assert_int_equal(ch_test_command(t, &said, "identity", "tokens", "revoke", "alice", "openai", NULL), 0);
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "remove", "alice", NULL), 0);
	assert_string_equal(value_of("SELECT COUNT(*) FROM api_keys"), "0");
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "shwo", "alice", NULL), 1);
	assert_non_null(strstr(said, "did you mean show?"));
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "create", "alice", "teir=gold", NULL), 1);
	assert_non_null(strstr(said, "did you mean tier?"));
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "show", NULL), 1);
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "list", "user=bob", NULL), 1);
	store.fails = CH_SQL_UNAVAILABLE;
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "list", NULL), 1);
	finish();
}

static void rows_are_objects_for_programs(void **state)
{
	char id[64];

	(void)state;
	begin_all("");
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "add", "alice", "name=O'Brien \"x\"", NULL), 0);
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "add", "bob", NULL), 0);
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "list", "--json", NULL), 0);
	assert_string_equal(said, "{\"id\":\"alice\",\"name\":\"O'Brien \\\"x\\\"\",\"email\":\"\",\"role\":\"user\",\"disabled\":false,"
		"\"created\":\"2026-01-01T00:00:00Z\",\"logins\":0,\"requests\":0,\"last_seen\":null}\n"
		"{\"id\":\"bob\",\"name\":\"\",\"email\":\"\",\"role\":\"user\",\"disabled\":false,"
		"\"created\":\"2026-01-01T00:00:00Z\",\"logins\":0,\"requests\":0,\"last_seen\":null}\n");
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "show", "--json", "bob", NULL), 0);
	assert_memory_equal(said, "{\"id\":\"bob\",", 12);
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "create", "alice", "tier=premium", "expires=30d", NULL), 0);
	sscanf(said, "id %63s", id);
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "list", "--json", "owner=bob", NULL), 0);
	assert_string_equal(said, "");
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "list", "owner=alice", "--json", NULL), 0);
	assert_memory_equal(said, "{\"id\":\"", 7);
	assert_memory_equal(said + 7, id, strlen(id));
	assert_non_null(strstr(said, "\"owner\":\"alice\",\"tier\":\"premium\",\"role\":\"user\""));
	assert_non_null(strstr(said, "\"expires\":\"2026-01-31T00:00:00Z\""));
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "revoke", "--json", id, NULL), 1); /* it shows no rows */
	finish();
}

static void a_key_of_nobody_is_refused_with_the_nearest_user(void **state)
{
	char path[64], body[64];

	(void)state;
	begin_all("");
	expect("POST", "/admin/users", "{\"id\":\"alice\"}", 201, NULL);
	expect("POST", "/admin/users", "{\"id\":\"bob\"}", 201, NULL);
	expect("POST", "/admin/keys", "{\"owner\":\"alcie\"}", 400, "\"param\":\"owner\"");
	expect("POST", "/admin/keys", "{\"owner\":\"alcie\"}", 400, "there is no user alcie (did you mean alice?): ");
	expect("POST", "/admin/keys", "{\"owner\":\"somebody-else\"}", 400, "there is no user somebody-else: ");
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "create", "bbo", NULL), 1);
	assert_non_null(strstr(said, "did you mean bob?"));
	assert_non_null(strstr(said, "users add"));
	assert_string_equal(value_of("SELECT COUNT(*) FROM api_keys"), "0");
	/* It can be meant. */
	expect("POST", "/admin/keys", "{\"owner\":\"robot\",\"any_owner\":true}", 201, "\"owner\":\"robot\"");
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "create", "robot2", "--any-owner", NULL), 0);
	/* A key that is given away. */
	snprintf(path, sizeof(path), "/admin/keys/%s", value_of("SELECT id FROM api_keys WHERE owner = 'robot'"));
	expect("PATCH", path, "{\"owner\":\"alcie\"}", 400, "did you mean alice?");
	expect("PATCH", path, "{\"owner\":\"alice\"}", 200, "\"owner\":\"alice\"");
	snprintf(body, sizeof(body), "{\"owner\":\"robot3\",\"any_owner\":true}");
	expect("PATCH", path, body, 200, "\"owner\":\"robot3\"");
	expect("PATCH", "/admin/keys/key_none", "{\"owner\":\"alice\"}", 404, "there is no key key_none");
	finish();
}

static void a_revision_that_is_not_there_is_not_a_user_that_is_not_there(void **state)
{
	(void)state;
	begin_all("");
	ch_test_sweep_off(t);
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "add", "ann", NULL), 0);
	direct("DELETE FROM identity_revision");
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "disable", "ann", NULL), 1);
	assert_non_null(strstr(said, "Nothing was done: there is no row in the table identity_revision"));
	assert_int_equal(ch_test_command(t, &said, "identity", "keys", "create", "ann", NULL), 1);
	assert_non_null(strstr(said, "identity_revision"));
	expect("POST", "/admin/tokens", "{\"user\":\"ann\",\"provider\":\"p\",\"access\":\"a\"}", 503, "identity_revision");
	finish();
}

static void a_list_longer_than_a_page_is_whole(void **state)
{
	size_t n = 0;

	(void)state;
	begin_all("");
	ch_test_sweep_off(t);
	direct("INSERT INTO users SELECT printf('u%05d', value), '', NULL, 'user', 0, 1 FROM "
		"(WITH RECURSIVE s(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM s WHERE value < 20000) SELECT value FROM s)"); /* more than fits into one request's memory */
	assert_int_equal(ch_test_command(t, &said, "identity", "users", "list", NULL), 0);
	for (const char *p = said; *p; p++)
		n += *p == '\n';
	assert_int_equal(n, 20002);
	finish();
}

/* ---- counts ---- */

static void requests_are_counted_for_their_owner_and_written_now_and_then(void **state)
{
	(void)state;
	begin_all("");
	for (int i = 0; i < 3; i++)
		ch_test_request(t, "GET", "/t/revision", "X-Owner: alice\n", NULL, 0);
	ch_test_request(t, "GET", "/t/key", "X-Owner: bob\n", NULL, 0); /* a 400 counts, too */
	ch_test_request(t, "GET", "/t/revision", NULL, NULL, 0);
	assert_string_equal(value_of("SELECT COUNT(*) FROM user_stats"), "0");
	ch_test_advance(t, 11000);
	assert_string_equal(value_of("SELECT requests || ' ' || logins FROM user_stats WHERE user_id = 'alice'"), "3 1");
	assert_string_equal(value_of("SELECT requests FROM user_stats WHERE user_id = 'bob'"), "1");
	assert_string_equal(value_of("SELECT COUNT(*) FROM user_stats"), "2");
	/* The first request behind half an hour of silence is a login. */
	ch_test_request(t, "GET", "/t/revision", "X-Owner: alice\n", NULL, 0);
	ch_test_advance(t, 11000);
	assert_string_equal(value_of("SELECT requests || ' ' || logins FROM user_stats WHERE user_id = 'alice'"), "4 1");
	ch_test_advance(t, 1800000);
	ch_test_request(t, "GET", "/t/revision", "X-Owner: alice\n", NULL, 0);
	ch_test_advance(t, 11000);
	assert_string_equal(value_of("SELECT requests || ' ' || logins FROM user_stats WHERE user_id = 'alice'"), "5 2");
	finish();
}

static void counts_wait_while_the_store_is_away(void **state)
{
	(void)state;
	begin_all("");
	store.fails = CH_SQL_UNAVAILABLE;
	ch_test_request(t, "GET", "/t/revision", "X-Owner: alice\n", NULL, 0);
	ch_test_advance(t, 11000);
	ch_test_request(t, "GET", "/t/revision", "X-Owner: alice\n", NULL, 0);
	ch_test_advance(t, 11000);
	store.fails = 0;
	ch_test_advance(t, 11000);
	assert_string_equal(value_of("SELECT requests FROM user_stats"), "2");
	store.fails = CH_SQL_UNKNOWN; /* it happened, and nobody said so: it is not counted twice */
	store.lies = true;
	ch_test_request(t, "GET", "/t/revision", "X-Owner: alice\n", NULL, 0);
	ch_test_advance(t, 11000);
	store.fails = 0;
	ch_test_advance(t, 22000);
	assert_string_equal(value_of("SELECT requests FROM user_stats"), "3");
	assert_int_equal(ch_test_metric(t, "chimera_identity_uncounted_total", NULL), 0);
	finish();
}

/* ---- cleaning up ---- */

static void what_is_over_goes_and_the_rest_stays(void **state)
{
	/* The harness' now is 2026-01-01; a day before is 1767139200, 31 days before 1764547200, a day after 1767312000. */
	static const struct { const char *id, *columns, *values; bool stays; } rows[] = {
		{ "live", "expires", "1767312000000000", true }, { "forever", "refresh", "x'00'", true },
		{ "expired", "expires", "1767139200000000", false }, { "refreshable", "expires, refresh", "1767139200000000, x'00'", true },
		{ "long expired", "expires, refresh", "1764547200000000, x'00'", false }, { "spent", "spent", "1767139200000000", true },
		{ "long spent", "spent", "1764547200000000", false }, { "revoked", "revoked", "1767139200000000", true },
		{ "long revoked", "revoked", "1764547200000000", false },
	};
	char text[512];

	(void)state;
	begin_all("");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "INSERT INTO provider_tokens (id, family, user_id, provider, access, key_id, created, %s) "
			"VALUES ('%s', 'f', 'u', 'p', x'00', 'none', 1, %s)", rows[i].columns, rows[i].id, rows[i].values);
		direct(text);
	}
	ch_test_advance(t, 600000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "SELECT COUNT(*) FROM provider_tokens WHERE id = '%s'", rows[i].id);
		if ((*value_of(text) == '1') != rows[i].stays)
			fail_msg("\"%s\" %s", rows[i].id, rows[i].stays ? "is gone" : "is still there");
	}
	assert_int_equal(ch_test_metric(t, "chimera_identity_tokens_cleaned_total", NULL), 4);
	assert_true(ch_test_logged(t, "4 that were over have been removed"));
	finish();
}

static void rows_of_an_old_key_are_encrypted_anew(void **state)
{
	char body[128], first[32];
	const char *text;

	(void)state;
	begin_all("");
	ch_test_sweep_off(t);
	for (int i = 0; i < 60; i++) { /* more than a step takes */
		snprintf(body, sizeof(body), "{\"user\":\"u%d\",\"provider\":\"p\",\"access\":\"sk-%d\"}", i, i);
		expect("POST", "/admin/tokens", body, 201, NULL);
	}
	direct("UPDATE provider_tokens SET key_id = 'lost' WHERE user_id = 'u7'"); /* nobody has that key: it stays as it is */
	strcpy(first, value_of("SELECT key_id FROM provider_tokens WHERE user_id = 'u1'"));
	ch_test_config(t, "[t_owner]\nkeys = identity\n[identity]\nencryption_key = " KEY_B "\nencryption_keys_old = " KEY_A "\n");
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	assert_int_equal(ch_test_command(t, &text, "identity", "tokens", "cleanup", NULL), 0);
	assert_non_null(strstr(text, "more are being encrypted in the background"));
	ch_test_advance(t, 10);
	snprintf(body, sizeof(body), "SELECT COUNT(*) FROM provider_tokens WHERE key_id = '%s'", first);
	assert_string_equal(value_of(body), "0");
	assert_string_equal(value_of("SELECT COUNT(DISTINCT key_id) FROM provider_tokens"), "2");
	assert_int_equal(ch_test_metric(t, "chimera_identity_tokens_rekeyed_total", NULL), 59);
	assert_int_equal(ch_test_command(t, &text, "identity", "tokens", "cleanup", NULL), 0);
	assert_non_null(strstr(text, "1 token cannot be read: put the key of key_id lost into encryption_keys_old, or revoke it\n"));
	finish();
}

static const char *health(int is)
{
	static struct ch_check_result r;

	r = (struct ch_check_result){ .size = sizeof(r) };
	assert_true(ch_test_check(t, "identity", &r));
	assert_int_equal(r.health, is);
	return r.message;
}

static void restart_with(const char *more)
{
	char ini[512];

	snprintf(ini, sizeof(ini), "[t_owner]\nkeys = identity\n[identity]\n%s", more);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	ch_test_advance(t, 0); /* the first poll, … */
	ch_test_advance(t, 0); /* … and the look that it begins */
}

static void tokens_that_no_key_opens_are_told_from_the_start_on(void **state)
{
	char key_id[32], want[160];

	(void)state;
	begin_all("");
	ch_test_sweep_off(t);
	assert_string_equal(health(CH_HEALTHY), "");
	expect("POST", "/admin/tokens", "{\"user\":\"u\",\"provider\":\"p\",\"access\":\"a\"}", 201, NULL);
	expect("POST", "/admin/tokens", "{\"user\":\"v\",\"provider\":\"p\",\"access\":\"a\"}", 201, NULL);
	strcpy(key_id, value_of("SELECT key_id FROM provider_tokens"));
	restart_with("encryption_key = " KEY_B "\n"); /* KEY_A was not kept as an old one */
	snprintf(want, sizeof(want), "2 tokens cannot be read: put the key of key_id %s into encryption_keys_old, or revoke them", key_id);
	assert_string_equal(health(CH_DEGRADED), want);
	assert_true(ch_test_logged(t, want));
	assert_int_equal(ch_test_command(t, &said, "identity", "tokens", "cleanup", NULL), 0);
	assert_non_null(strstr(said, want));
	direct("UPDATE provider_tokens SET key_id = 'k' || user_id");
	direct("INSERT INTO provider_tokens SELECT 'x', family, user_id, provider, access, refresh, 'kw', expires, created, spent, revoked "
		"FROM provider_tokens LIMIT 1");
	ch_test_advance(t, 600000); /* the clock's cleanup looks, too */
	assert_string_equal(health(CH_DEGRADED), "3 tokens cannot be read: put the keys of key_id ku, kv and 1 more into encryption_keys_old, or "
		"revoke them");
	direct("UPDATE provider_tokens SET revoked = created"); /* nobody wants to read these */
	assert_int_equal(ch_test_command(t, &said, "identity", "tokens", "cleanup", NULL), 0);
	assert_null(strstr(said, "cannot be read"));
	assert_string_equal(health(CH_HEALTHY), "");
	finish();
}

static void without_any_key_all_tokens_are_told(void **state)
{
	(void)state;
	begin_all("");
	ch_test_sweep_off(t);
	expect("POST", "/admin/tokens", "{\"user\":\"u\",\"provider\":\"p\",\"access\":\"a\"}", 201, NULL);
	restart_with("");
	assert_non_null(strstr(health(CH_DEGRADED), "1 token cannot be read: put the key of key_id "));
	assert_non_null(strstr(health(CH_DEGRADED), " into encryption_key, or revoke it"));
	finish();
}

static struct ch_fault fault;

static bool strike(struct ch_self *self, struct ch_ctx *c, struct ch_fault *out)
{
	(void)self, (void)c;
	out->delay_ms = fault.delay_ms;
	out->fail = fault.fail;
	return fault.delay_ms || fault.fail;
}

static const struct ch_seam seams[] = { { CH_S_TOKEN_CLEANUP, strike } };
static const struct ch_plugin striker = { .size = sizeof(striker), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "striker",
	.version = "1", .summary = "faults", .seams = CH_TABLE(seams) };

static const struct ch_plugin *striker_entry(const struct ch_host *host)
{
	(void)host;
	return &striker;
}

static void a_fault_at_the_seam_delays_or_fails_the_cleanup(void **state)
{
	(void)state;
	memset(&store, 0, sizeof(store));
	assert_int_equal(sqlite3_open(":memory:", &store.db), SQLITE_OK);
	migrate("0002_identity.up.sql");
	t = ch_test_new();
	ch_test_plugin(t, CH_TEST_ENTRY(identity));
	ch_test_plugin(t, striker_entry);
	ch_test_service(t, "store", "sql/1", &sql, NULL);
	ch_test_config(t, "[striker]\n[identity]\n");
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	direct("INSERT INTO provider_tokens (id, family, user_id, provider, access, key_id, created, expires) VALUES "
		"('a', 'f', 'u', 'p', x'00', 'none', 1, 1)");
	fault.fail = true;
	assert_int_equal(ch_test_command(t, &said, "identity", "tokens", "cleanup", NULL), 1);
	assert_non_null(strstr(said, "on purpose"));
	fault = (struct ch_fault){ .delay_ms = 700 };
	assert_int_equal(ch_test_command(t, &said, "identity", "tokens", "cleanup", NULL), -1);
	ch_test_advance(t, 699);
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens"), "1");
	ch_test_advance(t, 1);
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens"), "0");
	fault = (struct ch_fault){ 0 };
	finish();
}

/* ---- life ---- */

static void a_key_that_is_none_is_refused_with_the_command_that_makes_one(void **state)
{
	static const char *const rows[] = { "encryption_key = secret\n", "encryption_key = " KEY_A "\nencryption_keys_old = short\n",
		"encryption_keys_old = " KEY_A "\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char ini[256];

		t = ch_test_new();
		ch_test_plugin(t, CH_TEST_ENTRY(identity));
		ch_test_service(t, "store", "sql/1", &sql, NULL);
		snprintf(ini, sizeof(ini), "[identity]\n%s", rows[i]);
		ch_test_config(t, ini);
		assert_false(ch_test_start(t));
		assert_non_null(strstr(ch_test_errors(t), "openssl rand -hex 32"));
		assert_null(strstr(ch_test_errors(t), "secret,"));
		ch_test_free(t);
	}
}

static void the_check_tells_when_the_store_is_late(void **state)
{
	struct ch_check_result r = { .size = sizeof(r) };

	(void)state;
	begin_all("");
	assert_true(ch_test_check(t, "identity", &r));
	assert_int_equal(r.health, CH_HEALTHY);
	store.fails = CH_SQL_UNAVAILABLE;
	ch_test_advance(t, 3000);
	assert_true(ch_test_check(t, "identity", &r));
	assert_int_equal(r.health, CH_DEGRADED);
	store.fails = 0;
	ch_test_advance(t, 3000);
	assert_true(ch_test_check(t, "identity", &r));
	assert_int_equal(r.health, CH_HEALTHY);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_routes_are_the_operators),
		cmocka_unit_test(a_user_is_made_shown_changed_and_removed),
		cmocka_unit_test(what_is_wrong_is_refused_by_its_field),
		cmocka_unit_test(a_key_is_shown_once_and_works),
		cmocka_unit_test(lists_come_in_pages),
		cmocka_unit_test(a_tokens_secret_is_shown_to_nobody),
		cmocka_unit_test(a_store_that_is_away_is_a_503_that_says_when_to_come_again),
		cmocka_unit_test(commands_do_the_same),
		cmocka_unit_test(rows_are_objects_for_programs),
		cmocka_unit_test(a_key_of_nobody_is_refused_with_the_nearest_user),
		cmocka_unit_test(a_revision_that_is_not_there_is_not_a_user_that_is_not_there),
		cmocka_unit_test(a_list_longer_than_a_page_is_whole),
		cmocka_unit_test(requests_are_counted_for_their_owner_and_written_now_and_then),
		cmocka_unit_test(counts_wait_while_the_store_is_away),
		cmocka_unit_test(what_is_over_goes_and_the_rest_stays),
		cmocka_unit_test(rows_of_an_old_key_are_encrypted_anew),
		cmocka_unit_test(tokens_that_no_key_opens_are_told_from_the_start_on),
		cmocka_unit_test(without_any_key_all_tokens_are_told),
		cmocka_unit_test(a_fault_at_the_seam_delays_or_fails_the_cleanup),
		cmocka_unit_test(a_key_that_is_none_is_refused_with_the_command_that_makes_one),
		cmocka_unit_test(the_check_tells_when_the_store_is_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
