/* SPDX-License-Identifier: Apache-2.0 */
/* test_services.c - keys/1 and tokens/1: what they answer, from the database and from memory, and what they say while it is away. */
#include <openssl/sha.h>

#include "test_world.h"

/* ---- asking ---- */

static struct asked {
	/* what is asked */
	const char *secret, *id, *user, *provider, *family, *access, *refresh;
	int64_t expires;
	bool cancel;
	/* what came */
	struct ch_ctx *c;
	struct ch_keys_result *keys;
	struct ch_tokens_result *tokens;
	bool over, at_once;
	int error;
	char detail[300], key_id[64], owner[64], models[64], limits[64], tid[64], tfamily[64], taccess[64], trefresh[64];
	int role;
	bool disabled, revoked;
	int64_t key_expires;
	uint64_t revision, count;
} q;

#define COPY(to, from) snprintf(to, sizeof(to), "%s", (from) ? (from) : "")

static void keep_key(void)
{
	const struct ch_key *k = &q.keys->key;

	assert_null(q.keys->call);
	q.error = q.keys->error;
	q.revision = q.keys->revision;
	COPY(q.detail, q.keys->detail);
	COPY(q.key_id, k->id);
	COPY(q.owner, k->owner);
	COPY(q.models, k->models);
	COPY(q.limits, k->limits);
	q.role = k->role;
	q.disabled = k->disabled;
	q.key_expires = k->expires;
	q.over = true;
}

static void keep_token(void)
{
	const struct ch_token *k = &q.tokens->token;

	assert_null(q.tokens->call);
	q.error = q.tokens->error;
	COPY(q.detail, q.tokens->detail);
	COPY(q.tid, k->id);
	COPY(q.tfamily, k->family);
	snprintf(q.taccess, sizeof(q.taccess), "%.*s", (int)k->access.n, k->access.n ? k->access.p : "");
	snprintf(q.trefresh, sizeof(q.trefresh), "%.*s", (int)k->refresh.n, k->refresh.n ? k->refresh.p : "");
	q.revoked = k->revoked;
	q.count = q.tokens->revoked;
	q.over = true;
}

static const struct ch_svc *keys_svc(void) { return ch_test_provided(t, "identity", "keys/1"); }
static const struct ch_svc *tokens_svc(void) { return ch_test_provided(t, "identity", "tokens/1"); }
static const struct ch_keys_v1 *keys(void) { return keys_svc()->vt; }
static const struct ch_tokens_v1 *tokens(void) { return tokens_svc()->vt; }
static uint64_t revision(void) { return keys()->revision(keys_svc()); }

static int on_key(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data, (void)result;
	if (why != CH_READY)
		keys()->cancel(keys_svc(), c, q.keys);
	keep_key();
	return CH_DONE;
}

static int ask_key(struct ch_ctx *c, void *data)
{
	unsigned char sha[32];
	ch_ticket ticket;
	int rc;

	(void)data;
	q.c = c;
	q.keys = ch_alloc(c, sizeof(*q.keys));
	q.keys->size = sizeof(*q.keys);
	q.keys->key.size = sizeof(q.keys->key);
	SHA256((const unsigned char *)q.secret, strlen(q.secret), sha);
	ticket = ch_suspend(c, 0, on_key, NULL);
	rc = keys()->find(keys_svc(), c, sha, q.keys, ticket);
	memset(sha, 0, sizeof(sha)); /* the caller's, gone when the call has returned */
	q.at_once = rc == CH_OK;
	if (rc == CH_AGAIN) {
		if (q.cancel)
			keys()->cancel(keys_svc(), c, q.keys);
		return CH_AGAIN;
	}
	assert_int_equal(rc, CH_OK);
	ch_unsuspend(ticket);
	keep_key();
	return CH_DONE;
}

static int find(const char *secret)
{
	q = (struct asked){ .secret = secret, .cancel = q.cancel };
	ch_test_task(t, NULL, 0, ask_key, NULL);
	return q.over ? q.error : -1;
}

enum op { PERSIST, GET, CURRENT, ROTATE, REVOKE };

static int on_token(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data, (void)result;
	if (why != CH_READY)
		tokens()->cancel(tokens_svc(), c, q.tokens);
	keep_token();
	return CH_DONE;
}

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, s ? strlen(s) : 0 };
}

static int ask_token(struct ch_ctx *c, void *data)
{
	const enum op *op = data;
	const struct ch_svc *s = tokens_svc();
	struct ch_token *k = ch_alloc(c, sizeof(*k));
	ch_ticket ticket = ch_suspend(c, 0, on_token, NULL);
	int rc = CH_ERROR;

	q.tokens = ch_alloc(c, sizeof(*q.tokens));
	q.tokens->size = sizeof(*q.tokens);
	q.tokens->token.size = sizeof(q.tokens->token);
	*k = (struct ch_token){ .size = sizeof(*k), .family = q.family, .user = q.user, .provider = q.provider, .access = str(q.access),
		.refresh = str(q.refresh), .expires = q.expires };
	if (*op == PERSIST)
		rc = tokens()->persist(s, c, k, q.tokens, ticket);
	else if (*op == GET)
		rc = tokens()->get_by_id(s, c, q.id, q.tokens, ticket);
	else if (*op == CURRENT)
		rc = tokens()->current(s, c, q.user, q.provider, q.tokens, ticket);
	else if (*op == ROTATE)
		rc = tokens()->rotate(s, c, q.id, k, q.tokens, ticket);
	else
		rc = tokens()->revoke_family(s, c, q.user, q.provider, q.tokens, ticket);
	q.at_once = rc == CH_OK;
	if (rc == CH_AGAIN) {
		if (q.cancel)
			tokens()->cancel(s, c, q.tokens);
		return CH_AGAIN;
	}
	assert_int_equal(rc, CH_OK);
	ch_unsuspend(ticket);
	keep_token();
	return CH_DONE;
}

static int ask(enum op op, struct asked what)
{
	static enum op now;

	now = op;
	q = what;
	ch_test_task(t, NULL, 0, ask_token, &now);
	return q.over ? q.error : -1;
}

static int current(const char *user)
{
	return ask(CURRENT, (struct asked){ .user = user, .provider = "openai" });
}

/* A token of alice's at openai; its id. */
static const char *persist(const char *access, const char *refresh)
{
	static char id[64];

	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .access = access, .refresh = refresh }),
		CH_TOKENS_OK);
	strcpy(id, q.tid);
	return id;
}

/* A key, made past the plugin. */
static void add_key(const char *secret, const char *id, const char *owner)
{
	unsigned char sha[32];
	char hex[65], text[512];

	SHA256((const unsigned char *)secret, strlen(secret), sha);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sha[i]);
	snprintf(text, sizeof(text),
		"INSERT INTO api_keys VALUES ('%s', x'%s', 'ck_x', '%s', 'gold', 'admin', 'requests=5/s', 'gpt-*', '', '', '', "
		"1893456000000000, 0, 1, '')", id, hex, owner);
	elsewhere(text);
	ch_test_advance(t, 500);
}

/* ---- keys/1 ---- */

static void a_key_is_found_by_its_hash_and_then_from_memory(void **state)
{
	int calls;

	(void)state;
	begin();
	add_key("ck_one", "key_1", "alice");
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_false(q.at_once);
	assert_string_equal(q.key_id, "key_1");
	assert_string_equal(q.owner, "alice");
	assert_string_equal(q.models, "gpt-*");
	assert_string_equal(q.limits, "requests=5/s");
	assert_int_equal(q.role, CH_ROLE_ADMIN);
	assert_true(q.key_expires == INT64_C(1893456000000000));
	assert_false(q.disabled);
	assert_true(q.revision == revision());
	calls = store.calls;
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_true(q.at_once);
	assert_string_equal(q.key_id, "key_1");
	assert_int_equal(find("ck_two"), CH_KEYS_UNKNOWN);
	assert_false(q.at_once);
	assert_int_equal(find("ck_two"), CH_KEYS_UNKNOWN);
	assert_true(q.at_once);
	assert_int_equal(store.calls, calls + 1);
	assert_int_equal(ch_test_metric(t, "chimera_identity_cache_hits_total", "keys", NULL), 2);
	assert_int_equal(ch_test_metric(t, "chimera_identity_cache_misses_total", "keys", NULL), 2);
	finish();
}

static void a_change_elsewhere_is_seen_with_the_next_poll(void **state)
{
	uint64_t before;

	(void)state;
	begin();
	add_key("ck_one", "key_1", "alice");
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	before = revision();
	elsewhere("UPDATE api_keys SET disabled = 1");
	assert_true(revision() == before);
	ch_test_advance(t, 500);
	assert_true(revision() != before);
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_true(q.disabled);
	elsewhere("DELETE FROM api_keys");
	ch_test_advance(t, 500);
	assert_int_equal(find("ck_one"), CH_KEYS_UNKNOWN);
	finish();
}

static void a_disabled_owner_disables_the_key(void **state)
{
	(void)state;
	begin();
	elsewhere("INSERT INTO users VALUES ('alice', 'Alice', NULL, 'user', 1, 1)");
	add_key("ck_one", "key_1", "alice");
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_true(q.disabled);
	finish();
}

static void an_answer_that_a_change_has_overtaken_is_not_kept(void **state)
{
	uint64_t before;

	(void)state;
	begin();
	add_key("ck_one", "key_1", "alice");
	before = revision();
	store.holds = true;
	assert_int_equal(find("ck_one"), -1);
	elsewhere("UPDATE api_keys SET disabled = 1");
	ch_test_advance(t, 500);
	assert_true(revision() != before);
	release();
	assert_true(q.over && q.error == CH_KEYS_OK && q.revision == before);
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_false(q.at_once);
	finish();
}

static void away(void)
{
	store.fails = CH_SQL_UNAVAILABLE;
	ch_test_advance(t, 500);
}

static void while_the_store_is_away_known_keys_are_served_and_others_are_unavailable(void **state)
{
	uint64_t before;

	(void)state;
	begin();
	add_key("ck_one", "key_1", "alice");
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_int_equal(find("ck_two"), CH_KEYS_UNKNOWN);
	before = revision();
	away();
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_int_equal(find("ck_two"), CH_KEYS_UNAVAILABLE); /* it may have been made since */
	assert_true(q.at_once);
	assert_int_equal(find("ck_three"), CH_KEYS_UNAVAILABLE);
	assert_true(*q.detail);
	assert_true(revision() == before);
	ch_test_advance(t, 299000);
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	ch_test_advance(t, 2000);
	assert_int_equal(find("ck_one"), CH_KEYS_UNAVAILABLE); /* key_cache_grace is over */
	store.fails = 0;
	ch_test_advance(t, 500);
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_true(revision() == before);
	assert_true(ch_test_metric(t, "chimera_identity_store_errors_total", "unavailable", NULL) > 0);
	finish();
}

static void a_store_that_fails_is_never_a_wrong_key(void **state)
{
	static const int errors[] = { CH_SQL_SCHEMA, CH_SQL_FULL, CH_SQL_BUSY, CH_SQL_UNAVAILABLE, CH_SQL_UNKNOWN, CH_SQL_NO_MEMORY,
		CH_SQL_TOO_LARGE, CH_SQL_BAD_REQUEST, CH_SQL_VALUE };

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		store.fails = errors[i];
		if (find("ck_one") != CH_KEYS_UNAVAILABLE)
			fail_msg("error %d gives %d", errors[i], q.error);
	}
	store.fails = CH_SQL_CONFLICT; /* others were quicker: tried anew at once */
	store.times = 2;
	assert_int_equal(find("ck_one"), CH_KEYS_UNKNOWN);
	finish();
}

static void a_question_can_be_given_up(void **state)
{
	(void)state;
	begin();
	store.hangs = true;
	q.cancel = true;
	assert_int_equal(find("ck_one"), CH_KEYS_UNAVAILABLE);
	assert_int_equal(store.cancels, 1);
	assert_int_equal(ask(CURRENT, (struct asked){ .user = "a", .provider = "b", .cancel = true }), CH_TOKENS_UNKNOWN);
	assert_int_equal(store.cancels, 2);
	q.cancel = false;
	store.hangs = false;
	finish();
}

/* ---- tokens/1 ---- */

static void a_token_is_kept_encrypted_and_given_back(void **state)
{
	const char *id;

	(void)state;
	begin();
	id = persist("sk-canary-1", "rf-canary-1");
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens WHERE instr(access, 'canary') OR instr(refresh, 'canary')"),
		"0");
	assert_string_equal(value_of("SELECT length(access) FROM provider_tokens"), "39"); /* 12 + 11 + 16 */
	assert_int_equal(ask(GET, (struct asked){ .id = id }), CH_TOKENS_OK);
	assert_string_equal(q.taccess, "sk-canary-1");
	assert_string_equal(q.trefresh, "rf-canary-1");
	assert_false(q.revoked);
	assert_int_equal(current("alice"), CH_TOKENS_OK);
	assert_string_equal(q.taccess, "sk-canary-1");
	assert_false(q.at_once);
	assert_int_equal(current("alice"), CH_TOKENS_OK);
	assert_string_equal(q.taccess, "sk-canary-1");
	assert_true(q.at_once);
	assert_int_equal(current("bob"), CH_TOKENS_NONE);
	assert_int_equal(current("bob"), CH_TOKENS_NONE);
	assert_true(q.at_once); /* NONE is quick, too */
	assert_int_equal(ask(GET, (struct asked){ .id = "tok_x" }), CH_TOKENS_NONE);
	finish();
}

static void a_refresh_spends_the_token_before_it(void **state)
{
	char first[64], family[64];

	(void)state;
	begin();
	strcpy(first, persist("a1", "r1"));
	strcpy(family, q.tfamily);
	assert_int_equal(ask(ROTATE, (struct asked){ .id = first, .access = "a2", .refresh = "r2" }), CH_TOKENS_OK);
	assert_string_equal(q.tfamily, family);
	assert_string_not_equal(q.tid, first);
	assert_int_equal(current("alice"), CH_TOKENS_OK);
	assert_string_equal(q.taccess, "a2");
	assert_int_equal(ask(GET, (struct asked){ .id = first }), CH_TOKENS_OK);
	assert_true(q.revoked);
	finish();
}

static void a_spent_token_that_comes_again_revokes_its_family(void **state)
{
	char first[64];

	(void)state;
	begin();
	persist("other", NULL); /* another family of the same user */
	strcpy(first, persist("a1", "r1"));
	ask(ROTATE, (struct asked){ .id = first, .access = "a2" });
	assert_int_equal(ask(ROTATE, (struct asked){ .id = first, .access = "a3" }), CH_TOKENS_REUSED);
	assert_true(*q.detail);
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens WHERE revoked IS NOT NULL"), "2");
	assert_int_equal(current("alice"), CH_TOKENS_OK);
	assert_string_equal(q.taccess, "other");
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens"), "3"); /* a3 was not kept */
	finish();
}

static void of_two_refreshes_at_once_the_second_is_a_reuse(void **state)
{
	char first[64], text[256];

	(void)state;
	begin();
	strcpy(first, persist("a1", "r1"));
	snprintf(text, sizeof(text), "UPDATE provider_tokens SET spent = 1 WHERE id = '%s'", first);
	store.meanwhile = text;
	assert_int_equal(ask(ROTATE, (struct asked){ .id = first, .access = "a2" }), CH_TOKENS_REUSED);
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens WHERE revoked IS NULL"), "0");
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens"), "1");
	finish();
}

static void a_revoked_token_cannot_be_refreshed(void **state)
{
	char first[64];

	(void)state;
	begin();
	strcpy(first, persist("a1", "r1"));
	assert_int_equal(ask(REVOKE, (struct asked){ .user = "alice", .provider = "openai" }), CH_TOKENS_OK);
	assert_int_equal(q.count, 1);
	assert_int_equal(ask(ROTATE, (struct asked){ .id = first, .access = "a2" }), CH_TOKENS_NONE);
	assert_int_equal(current("alice"), CH_TOKENS_NONE);
	assert_int_equal(ask(REVOKE, (struct asked){ .user = "alice", .provider = "openai" }), CH_TOKENS_OK);
	assert_int_equal(q.count, 0);
	finish();
}

static void a_family_is_joined_by_its_own_alone(void **state)
{
	char family[64];

	(void)state;
	begin();
	persist("a1", NULL);
	strcpy(family, q.tfamily);
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .family = family, .access = "a2" }),
		CH_TOKENS_OK);
	assert_string_equal(q.tfamily, family);
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "bob", .provider = "openai", .family = family, .access = "b" }),
		CH_TOKENS_NONE);
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "vllm", .family = family, .access = "b" }),
		CH_TOKENS_NONE);
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .family = "fam_x", .access = "b" }),
		CH_TOKENS_NONE);
	ask(REVOKE, (struct asked){ .user = "alice", .provider = "openai" });
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .family = family, .access = "b" }),
		CH_TOKENS_NONE);
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens"), "2");
	finish();
}

static void the_newest_that_has_not_expired_is_current(void **state)
{
	int64_t wall = INT64_C(1767225600000000); /* the harness' 2026-01-01 */

	(void)state;
	begin();
	persist("old", NULL);
	ch_test_wall(t, 1000);
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .access = "new",
		.expires = wall + 60000000 }), CH_TOKENS_OK);
	assert_int_equal(current("alice"), CH_TOKENS_OK);
	assert_string_equal(q.taccess, "new");
	ch_test_wall(t, 60000);
	assert_int_equal(current("alice"), CH_TOKENS_OK); /* also though the cache holds the newer one */
	assert_string_equal(q.taccess, "old");
	finish();
}

static void a_revocation_elsewhere_is_obeyed_within_a_second(void **state)
{
	(void)state;
	begin();
	persist("a1", NULL);
	current("alice");
	elsewhere("UPDATE provider_tokens SET revoked = 1");
	ch_test_advance(t, 500);
	assert_int_equal(current("alice"), CH_TOKENS_NONE);
	persist("a2", NULL);
	assert_int_equal(current("alice"), CH_TOKENS_OK);
	away();
	ch_test_advance(t, 1000);
	assert_int_equal(current("alice"), CH_TOKENS_UNAVAILABLE); /* nobody knows whether it was revoked */
	finish();
}

static void another_users_row_does_not_open(void **state)
{
	(void)state;
	begin();
	persist("alices", NULL);
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "mallory", .provider = "openai", .access = "mine" }), CH_TOKENS_OK);
	elsewhere("UPDATE provider_tokens SET access = (SELECT access FROM provider_tokens WHERE user_id = 'alice') WHERE user_id = 'mallory'");
	ch_test_advance(t, 500);
	assert_int_equal(current("mallory"), CH_TOKENS_UNREADABLE);
	assert_non_null(strstr(q.detail, "changed in the database"));
	assert_string_equal(q.taccess, "");
	finish();
}

static void what_no_key_opens_is_unreadable_and_says_which_option(void **state)
{
	(void)state;
	begin();
	persist("a1", NULL);
	elsewhere("UPDATE provider_tokens SET key_id = '0123456789abcdef'");
	ch_test_advance(t, 500);
	assert_int_equal(current("alice"), CH_TOKENS_UNREADABLE);
	assert_non_null(strstr(q.detail, "encryption_keys_old"));
	finish();
}

static void without_a_key_there_are_no_tokens_and_all_else_works(void **state)
{
	(void)state;
	begin_with("");
	add_key("ck_one", "key_1", "alice");
	assert_int_equal(find("ck_one"), CH_KEYS_OK);
	assert_int_equal(current("alice"), CH_TOKENS_UNAVAILABLE);
	assert_non_null(strstr(q.detail, "encryption_key"));
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "a", .provider = "b", .access = "c" }), CH_TOKENS_UNAVAILABLE);
	assert_int_equal(ask(GET, (struct asked){ .id = "a" }), CH_TOKENS_UNAVAILABLE);
	finish();
}

static void what_is_wrong_is_refused_by_its_name(void **state)
{
	static char longer[ID_SECRET_MAX + 2];
	static const struct { const char *user, *provider, *access, *says; } rows[] = {
		{ "", "openai", "x", "user" }, { "a b", "openai", "x", "user" }, { "al\xC3\xA9", "openai", "x", "user" },
		{ "alice", "open'ai", "x", "provider" }, { "alice", "openai", "", "access" }, { "alice", "openai", longer, "access" },
	};

	(void)state;
	memset(longer, 'x', ID_SECRET_MAX + 1);
	begin();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(ask(PERSIST, (struct asked){ .user = rows[i].user, .provider = rows[i].provider,
			.access = rows[i].access }),
			CH_TOKENS_BAD_REQUEST);
		assert_memory_equal(q.detail, rows[i].says, strlen(rows[i].says));
	}
	longer[ID_SECRET_MAX] = 0;
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .access = longer }), CH_TOKENS_OK);
	finish();
}

static void a_write_that_may_have_happened_is_told_apart(void **state)
{
	(void)state;
	begin();
	store.fails = CH_SQL_UNKNOWN;
	store.lies = true;
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .access = "x" }), CH_TOKENS_UNKNOWN);
	store.lies = false;
	store.fails = CH_SQL_BUSY;
	assert_int_equal(ask(PERSIST, (struct asked){ .user = "alice", .provider = "openai", .access = "x" }), CH_TOKENS_UNAVAILABLE);
	assert_string_equal(value_of("SELECT COUNT(*) FROM provider_tokens"), "1");
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_found_by_its_hash_and_then_from_memory),
		cmocka_unit_test(a_change_elsewhere_is_seen_with_the_next_poll),
		cmocka_unit_test(a_disabled_owner_disables_the_key),
		cmocka_unit_test(an_answer_that_a_change_has_overtaken_is_not_kept),
		cmocka_unit_test(while_the_store_is_away_known_keys_are_served_and_others_are_unavailable),
		cmocka_unit_test(a_store_that_fails_is_never_a_wrong_key),
		cmocka_unit_test(a_question_can_be_given_up),
		cmocka_unit_test(a_token_is_kept_encrypted_and_given_back),
		cmocka_unit_test(a_refresh_spends_the_token_before_it),
		cmocka_unit_test(a_spent_token_that_comes_again_revokes_its_family),
		cmocka_unit_test(of_two_refreshes_at_once_the_second_is_a_reuse),
		cmocka_unit_test(a_revoked_token_cannot_be_refreshed),
		cmocka_unit_test(a_family_is_joined_by_its_own_alone),
		cmocka_unit_test(the_newest_that_has_not_expired_is_current),
		cmocka_unit_test(a_revocation_elsewhere_is_obeyed_within_a_second),
		cmocka_unit_test(another_users_row_does_not_open),
		cmocka_unit_test(what_no_key_opens_is_unreadable_and_says_which_option),
		cmocka_unit_test(without_a_key_there_are_no_tokens_and_all_else_works),
		cmocka_unit_test(what_is_wrong_is_refused_by_its_name),
		cmocka_unit_test(a_write_that_may_have_happened_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
