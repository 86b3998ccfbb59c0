/* SPDX-License-Identifier: Apache-2.0 */
/* test_caller.c - the openai backend: a caller's own token in place of the server's key. */
#include "test_world.h"

#include <chimera/tokens.h>

#define OWN BASE "caller_tokens = vault\n"

/* ---- tokens/1, played by the test ---- */

static struct vault {
	const char *access; /* NULL: none */
	int error;          /* else enum ch_tokens_error */
	bool waits;
	char user[128], provider[128];
	struct ch_tokens_result *out;
	ch_ticket ticket;
	int calls, cancels;
} vault;

static void fill(void)
{
	vault.out->error = vault.error ? vault.error : vault.access ? CH_TOKENS_OK : CH_TOKENS_NONE;
	vault.out->detail = vault.out->error ? "so it is" : NULL;
	if (!vault.out->error)
		vault.out->token.access = (struct ch_str){ vault.access, strlen(vault.access) };
}

static int vault_current(const struct ch_svc *svc, struct ch_ctx *c, const char *user, const char *provider, struct ch_tokens_result *out,
	ch_ticket t)
{
	(void)svc, (void)c;
	snprintf(vault.user, sizeof(vault.user), "%s", user);
	snprintf(vault.provider, sizeof(vault.provider), "%s", provider);
	vault.calls++;
	vault.out = out;
	vault.ticket = t;
	if (vault.waits)
		return CH_AGAIN;
	fill();
	return CH_OK;
}

static void vault_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_tokens_result *out)
{
	(void)svc, (void)c;
	assert_ptr_equal(out, vault.out);
	vault.cancels++;
	if (vault.ticket)
		ch_resume(vault.ticket, NULL, NULL);
	vault.ticket = 0;
}

static const struct ch_tokens_v1 tokens = { .size = sizeof(tokens), .current = vault_current, .cancel = vault_cancel };

static void step_token(void *data)
{
	(void)data;
	fill();
	ch_resume(vault.ticket, NULL, NULL);
	vault.ticket = 0;
}

static void add_vault(struct ch_test *t)
{
	ch_test_service(t, "vault", "tokens/1", &tokens, NULL);
}

static void begin_for(const char *ini, const char *owner, const char *access)
{
	memset(&vault, 0, sizeof(vault));
	vault.access = access;
	also = add_vault;
	begin_with(ini);
	me.owner = owner;
	body(CHAT);
}

/* ---- whose key ---- */

static void a_callers_token_takes_the_keys_place(void **state)
{
	(void)state;
	begin_for(OWN, "alice", "sk-canary-alice");
	ask();
	assert_string_equal(vault.user, "alice");
	assert_string_equal(vault.provider, "openai");
	assert_non_null(strstr(up.fields, "Authorization: Bearer sk-canary-alice\n"));
	assert_null(strstr(up.fields, "4711"));
	answered(ANSWER);
	over(0);
	assert_string_equal(me.json, ANSWER);
	finish();
}

static void the_provider_has_the_name_that_the_config_says(void **state)
{
	(void)state;
	begin_for(OWN "caller_provider = openai-eu\n", "alice", "sk-canary-alice");
	ask();
	assert_string_equal(vault.provider, "openai-eu");
	answered(ANSWER);
	over(0);
	finish();
}

static void without_a_token_or_an_owner_the_servers_key_is_sent(void **state)
{
	(void)state;
	begin_for(OWN, "bob", NULL);
	ask();
	assert_int_equal(vault.calls, 1);
	assert_non_null(strstr(up.fields, "Bearer canary-key-4711\n"));
	answered(ANSWER);
	over(0);
	me.owner = NULL;
	ask();
	assert_int_equal(vault.calls, 1);
	assert_non_null(strstr(up.fields, "Bearer canary-key-4711\n"));
	answered(ANSWER);
	over(0);
	finish();
}

static void who_has_no_caller_tokens_asks_nobody(void **state)
{
	(void)state;
	memset(&vault, 0, sizeof(vault));
	also = add_vault;
	begin();
	me.owner = "alice";
	body(CHAT);
	ask();
	assert_int_equal(vault.calls, 0);
	assert_non_null(strstr(up.fields, "Bearer canary-key-4711\n"));
	answered(ANSWER);
	over(0);
	finish();
}

static void where_only_tokens_count_nobody_is_lent_the_servers_key(void **state)
{
	(void)state;
	begin_for(OWN "caller_tokens_only = yes\n", "bob", NULL);
	ask();
	assert_int_equal(me.rc, CH_OK);
	assert_int_equal(me.code, CH_E_FORBIDDEN);
	assert_non_null(strstr(me.detail, "no token of openai"));
	me.owner = NULL;
	ask();
	assert_int_equal(me.code, CH_E_FORBIDDEN);
	assert_int_equal(up.calls, 0);
	finish();
}

static void models_and_probes_are_asked_with_the_servers_key(void **state)
{
	(void)state;
	begin_for(OWN "caller_tokens_only = yes\n", "alice", "sk-canary-alice");
	me.args.op = CH_I_MODELS;
	me.args.openai = NULL;
	ask();
	assert_int_equal(vault.calls, 0);
	assert_non_null(strstr(up.fields, "Bearer canary-key-4711\n"));
	answered("{\"data\":[]}");
	over(0);
	finish();
}

/* ---- when it goes wrong ---- */

static void a_store_that_is_away_is_no_wrong_key(void **state)
{
	static const struct { int error, code; } rows[] = {
		{ CH_TOKENS_UNAVAILABLE, CH_E_UNAVAILABLE }, { CH_TOKENS_UNKNOWN, CH_E_UNAVAILABLE }, { CH_TOKENS_UNREADABLE,
			CH_E_UNAVAILABLE },
	};

	(void)state;
	begin_for(OWN, "alice", "sk-canary-alice");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vault.error = rows[i].error;
		ask();
		assert_int_equal(me.code, rows[i].code);
	}
	assert_int_equal(up.calls, 0);
	finish();
}

static void a_token_that_would_split_the_head_is_not_sent(void **state)
{
	(void)state;
	begin_for(OWN, "alice", "sk-canary\r\nX-Evil: 1");
	ask();
	assert_int_equal(me.code, CH_E_FORBIDDEN);
	assert_int_equal(up.calls, 0);
	finish();
}

static void a_token_that_the_server_refuses_is_the_callers_to_mend(void **state)
{
	(void)state;
	begin_for(OWN, "alice", "sk-canary-alice");
	ask();
	head(401, "application/json");
	data("{\"error\":{\"message\":\"Incorrect API key provided: sk-canary-alice\",\"code\":\"invalid_api_key\"}}");
	end(0);
	over(CH_E_FORBIDDEN);
	assert_non_null(strstr(me.detail, "refused your own token (HTTP 401)"));
	assert_string_equal(me.error, "");
	me.owner = NULL; /* with the server's key it is the operator's */
	ask();
	head(401, "application/json");
	data("{}");
	end(0);
	over(CH_E_UPSTREAM_AUTH);
	finish();
}

/* ---- waiting ---- */

static void a_call_goes_on_when_the_token_comes(void **state)
{
	(void)state;
	begin_for(OWN, "alice", "sk-canary-alice");
	vault.waits = true;
	body("{\"model\":\"m\",\"stream\":true}");
	ask();
	assert_int_equal(me.rc, CH_AGAIN);
	assert_int_equal(up.calls, 0);
	ch_test_on_loop(me.t, step_token, NULL);
	assert_non_null(strstr(up.fields, "Bearer sk-canary-alice\n"));
	head(200, "text/event-stream");
	data("data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
	end(0);
	over(0);
	assert_int_equal(me.deltas, 1);
	finish();
}

static void a_refusal_may_come_late_too(void **state)
{
	(void)state;
	begin_for(OWN "caller_tokens_only = yes\n", "bob", NULL);
	vault.waits = true;
	ask();
	ch_test_on_loop(me.t, step_token, NULL);
	over(CH_E_FORBIDDEN);
	finish();
}

static void a_call_that_waits_for_its_token_can_be_given_up(void **state)
{
	(void)state;
	begin_for(OWN, "alice", "sk-canary-alice");
	vault.waits = true;
	ask();
	ch_test_on_loop(me.t, cancel_now, NULL);
	assert_int_equal(me.resumed, 1);
	assert_int_equal(me.why, CH_READY);
	assert_int_not_equal(me.code, 0);
	assert_int_equal(vault.cancels, 1);
	assert_int_equal(up.calls, 0);
	finish();
}

static void a_deadline_ends_the_wait_for_a_token(void **state)
{
	(void)state;
	begin_for(OWN, "alice", "sk-canary-alice");
	vault.waits = true;
	ch_test_task(me.t, "openai", 300, make, NULL);
	ch_test_advance(me.t, 300);
	assert_int_equal(me.resumed, 1);
	assert_int_not_equal(me.code, 0);
	assert_int_equal(up.calls, 0);
	finish();
}

/* ---- config ---- */

static void a_config_that_cannot_be_is_refused_by_its_key(void **state)
{
	static const char *const rows[][2] = {
		{ BASE "caller_tokens_only = yes\n", "caller_tokens_only = yes: it needs caller_tokens" },
		{ "[openai]\nmodels = m\ncaller_tokens = vault\nextra_headers = Authorization: x\n",
		"Authorization is made of the caller's token" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ch_test *t = ch_test_new();

		ch_test_plugin(t, CH_TEST_ENTRY(openai));
		ch_test_service(t, "http", "http/1", &http, NULL);
		add_vault(t);
		ch_test_config(t, rows[i][0]);
		assert_false(ch_test_start(t));
		if (!strstr(ch_test_errors(t), rows[i][1]))
			fail_msg("%s", ch_test_errors(t));
		ch_test_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_callers_token_takes_the_keys_place),
		cmocka_unit_test(the_provider_has_the_name_that_the_config_says),
		cmocka_unit_test(without_a_token_or_an_owner_the_servers_key_is_sent),
		cmocka_unit_test(who_has_no_caller_tokens_asks_nobody),
		cmocka_unit_test(where_only_tokens_count_nobody_is_lent_the_servers_key),
		cmocka_unit_test(models_and_probes_are_asked_with_the_servers_key),
		cmocka_unit_test(a_store_that_is_away_is_no_wrong_key),
		cmocka_unit_test(a_token_that_would_split_the_head_is_not_sent),
		cmocka_unit_test(a_token_that_the_server_refuses_is_the_callers_to_mend),
		cmocka_unit_test(a_call_goes_on_when_the_token_comes),
		cmocka_unit_test(a_refusal_may_come_late_too),
		cmocka_unit_test(a_call_that_waits_for_its_token_can_be_given_up),
		cmocka_unit_test(a_deadline_ends_the_wait_for_a_token),
		cmocka_unit_test(a_config_that_cannot_be_is_refused_by_its_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
