/* SPDX-License-Identifier: Apache-2.0 */
/* The router beside a question's way: its list of models, commands, health, pings, metrics, what a reload keeps, and the header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test_fakes.h"

static struct fake fakes[3];

static void begin_fakes(void)
{
	fake_is(&fakes[0], "openai", "gpt-*,o3", "gpt-4o-mini");
	fake_is(&fakes[1], "vllm", "Qwen/*", "");
	fake_is(&fakes[2], "plain", "gpt-4o", "");
}

static struct ch_test *begin(const char *ini)
{
	begin_fakes();
	return fakes_start(fakes, 3, ini);
}

static void end(struct ch_test *t)
{
	fakes_stop(t, fakes, 3);
}

static struct router *router_in(struct ch_test *t)
{
	return ch_test_self(t, "router")->state;
}

static struct router_backend *backend(struct ch_test *t, const char *id)
{
	return router_backend_find(router_in(t), (struct ch_str){ id, strlen(id) });
}

static void reports(struct fake *f, const char *id, const char *owned_by, int64_t created)
{
	f->reports[f->nreports++] = (struct ch_model){ { id, strlen(id) }, { owned_by, strlen(owned_by) }, created, 0 };
}

/* ---- models ---- */

/* What came of CH_I_MODELS: "gpt-4o(plain) o3(openai)", in the order of the list; "code 23". */
static struct listing {
	const struct ch_svc *svc;
	struct ch_inference_args args;
	struct ch_inference_result out;
	bool done, cancel, gone;
	char text[512];
	int64_t context[8]; /* of the first ones: the list itself goes with the ctx */
} listing;

static void write_models(void)
{
	size_t at = 0;

	listing.done = true;
	*listing.text = '\0';
	if (listing.out.code)
		snprintf(listing.text, sizeof(listing.text), "code %d", listing.out.code);
	for (size_t i = 0; i < listing.out.nmodels && at < sizeof(listing.text); i++) {
		const struct ch_model *m = &listing.out.models[i];

		if (i < 8)
			listing.context[i] = m->context;
		at += (size_t)snprintf(listing.text + at, sizeof(listing.text) - at, "%s%.*s(%.*s%s)", i ? " " : "", (int)m->id.n, m->id.p,
			(int)m->owned_by.n, m->owned_by.p, m->created ? ", dated" : "");
	}
}

static int on_models(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	if (why != CH_READY) {
		listing.gone = true;
		((const struct ch_inference_v1 *)listing.svc->vt)->cancel(listing.svc, c, &listing.out);
	}
	write_models();
	return CH_DONE;
}

static int list_models(struct ch_ctx *c, void *data)
{
	const struct ch_inference_v1 *vt = listing.svc->vt;
	ch_ticket ticket = ch_suspend(c, 0, on_models, NULL);

	(void)data;
	if (!ticket)
		return CH_DONE;
	if (vt->submit(listing.svc, c, &listing.args, NULL, &listing.out, ticket) == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(ticket);
	write_models();
	return CH_DONE;
}

static const char *models(struct ch_test *t, int64_t timeout_ms)
{
	listing = (struct listing){ .svc = ch_test_provided(t, "router", "inference/1"),
		.args = { .size = sizeof(listing.args), .op = CH_I_MODELS }, .out = { .size = sizeof(listing.out) } };
	ch_test_task(t, "router", timeout_ms, list_models, NULL);
	return listing.text;
}

static void models_are_those_of_the_config_and_those_that_backends_report(void **state)
{
	struct ch_test *t = begin("[router]\n[router.best]\nbackends = vllm/Qwen/x\n[router.o3*]\ntimeout = 1m\n");

	(void)state;
	reports(&fakes[0], "gpt-5", "openai-org", 1700000000);
	reports(&fakes[0], "whisper-1", "openai-org", 1700000000); /* no pattern lets it through */
	reports(&fakes[0], "gpt-4o", "", 0);
	reports(&fakes[0], "gpt 6", "", 0);
	assert_true(ch_test_start(t));
	assert_string_equal(models(t, 0), "best(vllm) gpt-4o(openai) gpt-4o-mini(openai) gpt-5(openai-org, dated) o3(openai)");
	assert_int_equal(fakes[2].asked, 0); /* it has no pattern: nothing to learn */
	end(t);
}

static void a_model_is_there_once_with_or_without_ollamas_tag(void **state)
{
	static const struct { const char *models, *standard, *listed; } rows[] = {
		{ "llama3*,gemma3*", "llama3.2", "gemma3:latest(up) llama3.2(up, dated)" },
		{ "llama3.2", "", "llama3.2(up)" }, /* no pattern: it is not asked */
		{ "*", "llama3.2:latest", "gemma3:latest(up) llama3.2:latest(up, dated)" },
		{ "llama3*", "", "llama3.2:latest(up, dated)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fake_is(&fakes[0], "up", rows[i].models, rows[i].standard);
		struct ch_test *t = fakes_start(fakes, 1, "[router]\n");

		reports(&fakes[0], "llama3.2:latest", "", 1700000000);
		reports(&fakes[0], "gemma3:latest", "", 0);
		if (!ch_test_start(t))
			fail_msg("%s", ch_test_errors(t));
		assert_string_equal(models(t, 0), rows[i].listed);
		fakes_stop(t, fakes, 1);
	}
}

/* 16 times 2,000 models with names of 128 bytes are twice what the arena of a request holds. */
static void lists_of_any_length_are_merged(void **state)
{
	enum { MANY = 16, MODELS = 2000 };
	static char names[MANY * MODELS][129], ids[MANY][16];
	static struct ch_model lists[MANY][MODELS];
	static struct fake many[MANY];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(ids[i], sizeof(ids[i]), "b%d", i);
		fake_is(&many[i], ids[i], "*", "");
		many[i].many = lists[i];
		many[i].nreports = MODELS;
		for (int k = 0; k < MODELS; k++) {
			char *name = names[i * MODELS + k];

			snprintf(name, 129, "%08d%0120d", i * MODELS + k, 0);
			lists[i][k].id = (struct ch_str){ name, 128 };
		}
	}
	struct ch_test *t = fakes_start(many, MANY, "[router]\n");

	assert_true(ch_test_start(t));
	models(t, 0);
	assert_int_equal(listing.out.code, 0);
	assert_int_equal(listing.out.nmodels, MANY * MODELS);
	fakes_stop(t, many, MANY);
}

static void a_list_is_remembered_for_models_ttl(void **state)
{
	struct ch_test *t = begin("[router]\nmodels_ttl = 30s\nbackends = openai\n");

	(void)state;
	reports(&fakes[0], "gpt-5", "x", 0);
	assert_true(ch_test_start(t));
	assert_string_equal(models(t, 0), "gpt-4o-mini(openai) gpt-5(x) o3(openai)");
	fakes[0].nreports = 0;
	ch_test_advance(t, 29999);
	assert_string_equal(models(t, 0), "gpt-4o-mini(openai) gpt-5(x) o3(openai)");
	assert_int_equal(fakes[0].asked, 1);
	ch_test_advance(t, 1);
	assert_string_equal(models(t, 0), "gpt-4o-mini(openai) o3(openai)");
	assert_int_equal(fakes[0].asked, 2);
	end(t);
}

static void a_backend_that_hangs_has_its_configured_names_and_holds_nobody_up(void **state)
{
	struct ch_test *t = begin("[router]\nmodels_timeout = 2s\n");

	(void)state;
	fakes[0].rc = CH_AGAIN;
	reports(&fakes[1], "Qwen/a", "", 0);
	assert_true(ch_test_start(t));
	models(t, 0);
	assert_false(listing.done);
	ch_test_advance(t, 1999);
	assert_false(listing.done);
	ch_test_advance(t, 1);
	assert_true(listing.done);
	assert_string_equal(listing.text, "Qwen/a(vllm) gpt-4o(plain) gpt-4o-mini(openai) o3(openai)");
	assert_int_equal(fakes[0].cancelled, 1);
	models(t, 0); /* it is left in peace for 10 s */
	assert_true(listing.done);
	assert_int_equal(fakes[0].asked, 1);
	ch_test_advance(t, 10000);
	models(t, 0);
	assert_int_equal(fakes[0].asked, 2);
	ch_test_advance(t, 2000);
	assert_true(listing.done);
	end(t);
}

static void backends_are_asked_at_the_same_time(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	fakes[0].rc = fakes[1].rc = CH_AGAIN;
	reports(&fakes[0], "gpt-5", "", 0);
	reports(&fakes[1], "Qwen/a", "", 0);
	assert_true(ch_test_start(t));
	models(t, 0);
	assert_int_equal(fakes[0].asked + fakes[1].asked, 2);
	ch_test_on_loop(t, fake_answers, &fakes[1]);
	assert_false(listing.done);
	ch_test_on_loop(t, fake_answers, &fakes[0]);
	assert_true(listing.done);
	assert_string_equal(listing.text, "Qwen/a(vllm) gpt-4o(plain) gpt-4o-mini(openai) gpt-5(openai) o3(openai)");
	end(t);
}

static void a_backend_that_fails_has_its_configured_names(void **state)
{
	struct ch_test *t = begin("[router]\nbackends = openai\n");

	(void)state;
	fakes[0].code = CH_E_UPSTREAM_AUTH;
	assert_true(ch_test_start(t));
	assert_string_equal(models(t, 0), "gpt-4o-mini(openai) o3(openai)");
	fakes[0].rc = CH_ERROR;
	ch_test_advance(t, 60000);
	assert_string_equal(models(t, 0), "gpt-4o-mini(openai) o3(openai)");
	assert_int_equal(fakes[0].asked, 2);
	end(t);
}

static void a_client_that_leaves_gives_all_lists_up(void **state)
{
	struct ch_test *t = begin("[router]\nmodels_timeout = 1m\n");

	(void)state;
	fakes[0].rc = fakes[1].rc = CH_AGAIN;
	assert_true(ch_test_start(t));
	models(t, 500); /* the task's own time is over first */
	assert_false(listing.done);
	ch_test_advance(t, 500);
	assert_true(listing.gone);
	assert_int_equal(fakes[0].cancelled, 1);
	assert_int_equal(fakes[1].cancelled, 1);
	end(t);
}

static void without_memory_there_is_a_list_or_a_code(void **state)
{
	struct ch_test *t = begin("[router]\nmodels_ttl = 0s\n");

	(void)state;
	reports(&fakes[0], "gpt-5", "", 0);
	fakes[1].rc = CH_AGAIN;
	assert_true(ch_test_start(t));
	for (unsigned long n = 1, struck = 1; struck; n++) {
		assert_true(n < 100);
		ch_test_fail_alloc(t, n);
		models(t, 0);
		if (fakes[1].ticket)
			ch_test_on_loop(t, fake_answers, &fakes[1]);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(struck || listing.done);
		assert_true(!listing.done || listing.out.code == CH_E_OVERLOADED || listing.out.nmodels >= 3);
	}
	assert_string_equal(listing.text, "gpt-4o(plain) gpt-4o-mini(openai) gpt-5(openai) o3(openai)");
	end(t);
}

/* ---- the registry's manifests ---- */

static const struct ch_manifest manifests[] = {
	{ .name = "local:1", .backend = "vllm", .path = "/x", .context = 8192, .created = 5 },
	{ .name = "gpt-local", .backend = "", .path = "/x", .created = 7 },
	{ .name = "nobodys", .backend = "", .path = "/x" },
	{ .name = "missing", .backend = "vllm", .path = "/x", .bytes = -1 },
	{ .name = "gpt-missing", .backend = "", .path = "/x", .bytes = -1 },
};

static bool manifest_at(const struct ch_svc *svc, size_t i, struct ch_manifest *out)
{
	(void)svc;
	if (i >= sizeof(manifests) / sizeof(manifests[0]))
		return false;
	*out = manifests[i];
	out->size = sizeof(*out);
	return true;
}

static const struct ch_models_v1 registry = { sizeof(registry), manifest_at };

static int resolve_local(struct ch_ctx *c, void *data)
{
	struct router *r = data;
	struct ch_inference_args args = { .size = sizeof(args), .op = CH_I_CHAT, .model = CH_STR("local:1") };
	struct ch_inference_result out = { .size = sizeof(out) };
	struct router_plan plan;

	assert_true(router_resolve(r, c, &args, &plan, &out));
	assert_string_equal(plan.equals[0].backend->id, "vllm");
	assert_string_equal(plan.equals[0].rule->name, "local:1");
	return CH_DONE;
}

static void manifests_are_models_of_the_backend_that_they_name(void **state)
{
	struct ch_test *t = begin("[router]\nmodels_ttl = 1m\n");

	(void)state;
	ch_test_service(t, "files", "models/1", &registry, NULL);
	assert_true(ch_test_start(t));
	assert_string_equal(models(t, 0), "gpt-4o(plain) gpt-4o-mini(openai) gpt-local(openai, dated) local:1(vllm, dated) o3(openai)");
	assert_int_equal(listing.context[3], 8192);
	assert_true(ch_test_task(t, "router", 0, resolve_local, router_in(t)));
	end(t);
}

/* ---- commands and health ---- */

static void the_command_shows_each_backend_on_a_line(void **state)
{
	struct ch_test *t = begin("[router]\n");
	const char *text;

	(void)state;
	fakes[1].conf.max_in_flight = 64;
	assert_true(ch_test_start(t));
	assert_int_equal(ch_test_command(t, &text, "router", "backends", NULL), 0);
	assert_non_null(strstr(text, "BACKEND"));
	assert_non_null(strstr(text, "\nopenai               enabled   closed                0            0            -"
				     "          0          0  -                           1  gpt-*, o3, gpt-4o-mini\n"));
	assert_non_null(strstr(text, "\nvllm                 enabled   closed             0/64            0"));
	end(t);
}

static void a_backend_is_disabled_until_it_is_enabled(void **state)
{
	struct ch_test *t = begin("[router]\n");
	struct ch_check_result health = { .size = sizeof(health) };
	const char *text;

	(void)state;
	assert_true(ch_test_start(t));
	assert_true(ch_test_check(t, "router.backends", &health));
	assert_int_equal(health.health, CH_HEALTHY);
	assert_string_equal(health.message, "3 backends");
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "disable", "vllm", NULL), 0);
	assert_non_null(strstr(text, "not a restart"));
	assert_false(router_backend_usable(backend(t, "vllm"), ch_now()));
	assert_true(ch_test_check(t, "router.backends", &health));
	assert_int_equal(health.health, CH_DEGRADED);
	assert_string_equal(health.message, "vllm: disabled by command");
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "enable", "vllm", NULL), 0);
	assert_true(router_backend_usable(backend(t, "vllm"), ch_now()));
	end(t);
}

static void fail_five_times(void *data)
{
	struct router_backend *b = data;
	uint32_t pass;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(router_backend_enter(b, NULL, ch_now(), &pass), ROUTER_IN);
		router_backend_leave(b, pass, ROUTER_V_FAILED, 1000, CH_E_UPSTREAM_ERROR, ch_now());
	}
}

static void probe_it(void *data)
{
	struct router_backend *b = data;
	uint32_t pass;

	assert_int_equal(router_backend_enter(b, NULL, ch_now(), &pass), ROUTER_IN);
	router_backend_leave(b, pass, ROUTER_V_UNKNOWN, 1000, 0, ch_now());
}

static void an_open_circuit_is_shown_kept_over_a_reload_and_closed_by_command(void **state)
{
	struct ch_test *t = begin("[router]\nbreaker_failures = 5\n");
	struct ch_check_result health = { .size = sizeof(health) };
	const char *text;

	(void)state;
	assert_true(ch_test_start(t));
	ch_test_on_loop(t, fail_five_times, backend(t, "openai"));
	assert_true(ch_test_metric(t, "chimera_breaker_state", "openai", NULL) == 1);
	ch_test_config(t, "[router]\nretries = 1\n");
	assert_true(ch_test_start(t));
	assert_true(ch_test_metric(t, "chimera_breaker_state", "openai", NULL) == 1);
	assert_true(ch_test_check(t, "router.backends", &health));
	assert_int_equal(health.health, CH_DEGRADED);
	assert_string_equal(health.message, "openai: circuit open");
	assert_int_equal(ch_test_command(t, &text, "router", "backends", NULL), 0);
	assert_non_null(strstr(text, "\nopenai               enabled   open "));
	assert_true(ch_test_logged(t, "too many failures or slow answers (last: upstream_error)"));
	assert_false(ch_test_logged(t, "next try"));
	ch_test_advance(t, 20000); /* over breaker_cooldown */
	ch_test_on_loop(t, probe_it, backend(t, "openai"));
	assert_true(ch_test_check(t, "router.backends", &health));
	assert_int_equal(health.health, CH_DEGRADED); /* until the probe has told */
	assert_string_equal(health.message, "openai: circuit half open");
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "reset", "openai", NULL), 0);
	assert_true(ch_test_metric(t, "chimera_breaker_state", "openai", NULL) == 0);
	assert_true(router_backend_usable(backend(t, "openai"), ch_now()));
	end(t);
}

static void what_is_hardly_meant_is_a_line_in_the_log(void **state)
{
	struct ch_test *t = begin("[router]\ntimeout = 1m\nbudget = 59s\n[router.nobodys]\ntimeout = 1m\n[router.gpt-5]\ntimeout = 1m\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_true(ch_test_logged(t, "budget is shorter than timeout"));
	assert_true(ch_test_logged(t, "[router.nobodys]: no backend lists this model"));
	assert_false(ch_test_logged(t, "[router.gpt-5]"));
	end(t);
}

static void what_the_command_does_not_know_it_says(void **state)
{
	struct ch_test *t = begin("[router]\n");
	const char *text;

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "disable", "vlm", NULL), 1);
	assert_non_null(strstr(text, "did you mean \"vllm\"?"));
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "stop", "vllm", NULL), 1);
	assert_non_null(strstr(text, "disable, enable and reset"));
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "reset", NULL), 1);
	assert_non_null(strstr(text, "backends reset BACKEND"));
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "vllm", NULL), 1);
	assert_non_null(strstr(text, "disable, enable and reset"));
	assert_int_equal(ch_test_command(t, &text, "router", "backends", "reset", "plain", NULL), 0);
	end(t);
}

static void a_disabled_backend_stays_so_over_a_reload(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(ch_test_command(t, NULL, "router", "backends", "disable", "vllm", NULL), 0);
	ch_test_config(t, "[router]\nretries = 1\n");
	assert_true(ch_test_start(t));
	assert_int_equal(router_in(t)->conf->retries, 1);
	assert_false(router_backend_usable(backend(t, "vllm"), ch_now()));
	assert_true(router_backend_usable(backend(t, "openai"), ch_now()));
	ch_test_config(t, "[router]\nbackends = openai\n"); /* it goes … */
	assert_true(ch_test_start(t));
	ch_test_config(t, "[router]\n"); /* … and comes as a new one */
	assert_true(ch_test_start(t));
	assert_true(router_backend_usable(backend(t, "vllm"), ch_now()));
	end(t);
}

static void a_reload_that_fails_changes_nothing(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_int_equal(ch_test_command(t, NULL, "router", "backends", "disable", "vllm", NULL), 0);
	ch_test_config(t, "[router]\ndefault = nobody\n");
	assert_false(ch_test_start(t));
	assert_false(router_backend_usable(backend(t, "vllm"), ch_now()));
	end(t);
}

/* ---- pings ---- */

static void startup_pings_tell_and_fail_nothing(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	ch_test_server(t)->vendor_pings = true;
	ch_test_server(t)->check_timeout_ms = 3000;
	fakes[1].code = CH_E_UPSTREAM_AUTH;
	fakes[2].rc = CH_AGAIN;
	assert_true(ch_test_start(t));
	ch_test_advance(t, 0);
	assert_true(ch_test_logged(t, "startup ping: openai lives"));
	assert_true(ch_test_logged(t, "startup ping: vllm does not answer well (upstream_auth): The fake is not well."));
	assert_false(ch_test_logged(t, "startup ping: plain"));
	ch_test_advance(t, 3000);
	assert_true(ch_test_logged(t, "startup ping: plain does not answer well (upstream_timeout)"));
	assert_int_equal(fakes[2].cancelled, 1);
	ch_test_config(t, "[router]\nretries = 1\n");
	assert_true(ch_test_start(t));
	ch_test_advance(t, 0);
	assert_int_equal(fakes[0].asked, 1); /* a reload is no start */
	end(t);
}

static void without_the_option_nobody_is_pinged(void **state)
{
	struct ch_test *t = begin("[router]\n");

	(void)state;
	assert_true(ch_test_start(t));
	ch_test_advance(t, 0);
	assert_int_equal(fakes[0].asked, 0);
	end(t);
}

/* ---- metrics ---- */

struct seen { const char *name; bool there; };

static void look(void *data, const struct ch_sample *s)
{
	struct seen *seen = data;

	for (; seen->name; seen++)
		seen->there |= !strcmp(seen->name, s->family->name);
}

static void series_are_there_from_the_start(void **state)
{
	struct seen seen[] = {
		{ "inference_requests_total", false }, { "inference_errors_total", false },
		{ "inference_latency_seconds", false }, { "llm_requests_total", false },
		{ "llm_request_duration_seconds", false }, { "llm_tokens_used_total", false },
		{ "chimera_time_to_first_token_seconds", false }, { "chimera_time_between_tokens_seconds", false },
		{ "chimera_cost_total", false }, { "chimera_retries_total", false },
		{ "chimera_fallbacks_total", false }, { "chimera_gateway_overhead_seconds", false },
		{ "chimera_breaker_state", false }, { "chimera_backend_in_flight", false },
		{ "chimera_backend_waiting", false },
		{ NULL, false },
	};
	struct ch_test *t = begin("[router]\nfallback = vllm/Qwen/x\n");

	(void)state;
	assert_true(ch_test_start(t));
	ch_metrics_walk(look, seen);
	for (size_t i = 0; seen[i].name; i++)
		if (!seen[i].there)
			fail_msg("%s is not there", seen[i].name);
	end(t);
}

static void note_way(void *data, const struct ch_sample *s)
{
	size_t *n = data;

	if (strcmp(s->family->name, "chimera_fallbacks_total"))
		return;
	++*n;
	assert_string_equal(s->labels[1], "vllm");
}

/* Backends that are nobody's fallback would have hundreds of series that say 0 for ever. */
static void ways_that_no_fallback_leads_have_no_series(void **state)
{
	struct ch_test *t = begin("[router]\nfallback = vllm/Qwen/x\n");
	size_t n = 0;

	(void)state;
	assert_true(ch_test_start(t));
	ch_metrics_walk(note_way, &n);
	assert_int_equal(n, 3);
	end(t);
}

/* ---- the header ---- */

static int resolve_request(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_inference_args args = { .size = sizeof(args), .op = CH_I_CHAT, .model = ch_query(c) };
	struct ch_inference_result out = { .size = sizeof(out) };
	struct router_plan plan;

	if (!router_resolve(*(struct router **)self->state, c, &args, &plan, &out))
		return ch_refuse(c, (enum ch_code)out.code, 0, "%s", out.detail);
	return ch_respond(c, 200, NULL, plan.equals[0].backend->id, strlen(plan.equals[0].backend->id));
}

static const struct ch_route asker_routes[] = {
	{ .method = "GET", .pattern = "/resolve", .body = CH_BODY_NONE, .fn = resolve_request, .summary = "Which backend" },
};
static const struct ch_plugin asker_plugin = {
	.size = sizeof(asker_plugin), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "asker", .version = "0.1",
	.summary = "Resolves what a request asks for", .state_size = sizeof(struct router *), .routes = CH_TABLE(asker_routes),
};
static const struct ch_plugin *asker(const struct ch_host *host)
{
	(void)host;
	return &asker_plugin;
}

static struct ch_test_answer *resolve_over_http(struct ch_test *t, const char *model, const char *headers)
{
	char target[64];

	*(struct router **)ch_test_self(t, "asker")->state = router_in(t);
	snprintf(target, sizeof(target), "/resolve?%s", model);
	return ch_test_request(t, "GET", target, headers, NULL, 0);
}

static void the_header_names_a_backend_if_that_is_allowed(void **state)
{
	struct ch_test *t = begin("[router]\nallow_backend_header = yes\n[asker]\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_plugin(t, asker);
	assert_true(ch_test_start(t));
	assert_string_equal(resolve_over_http(t, "gpt-4o", NULL)->body, "plain");
	assert_string_equal(resolve_over_http(t, "gpt-4o", "X-Chimera-Backend: openai")->body, "openai");
	a = resolve_over_http(t, "gpt-4o", "X-Chimera-Backend: opnai");
	assert_int_equal(a->status, 400);
	assert_non_null(strstr(a->body, "X-Chimera-Backend names \\\"opnai\\\", and there is no such backend; did you mean"));
	a = resolve_over_http(t, "gpt-4o", "X-Chimera-Backend:");
	assert_int_equal(a->status, 400);
	end(t);
}

static void the_header_is_refused_if_that_is_not_allowed(void **state)
{
	struct ch_test *t = begin("[router]\n[asker]\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_plugin(t, asker);
	assert_true(ch_test_start(t));
	a = resolve_over_http(t, "gpt-4o", "X-Chimera-Backend: openai");
	assert_int_equal(a->status, 400);
	assert_non_null(strstr(a->body, "allow_backend_header = no"));
	end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(models_are_those_of_the_config_and_those_that_backends_report),
		cmocka_unit_test(a_model_is_there_once_with_or_without_ollamas_tag),
		cmocka_unit_test(lists_of_any_length_are_merged),
		cmocka_unit_test(a_list_is_remembered_for_models_ttl),
		cmocka_unit_test(a_backend_that_hangs_has_its_configured_names_and_holds_nobody_up),
		cmocka_unit_test(backends_are_asked_at_the_same_time),
		cmocka_unit_test(a_backend_that_fails_has_its_configured_names),
		cmocka_unit_test(a_client_that_leaves_gives_all_lists_up),
		cmocka_unit_test(without_memory_there_is_a_list_or_a_code),
		cmocka_unit_test(manifests_are_models_of_the_backend_that_they_name),
		cmocka_unit_test(the_command_shows_each_backend_on_a_line),
		cmocka_unit_test(a_backend_is_disabled_until_it_is_enabled),
		cmocka_unit_test(an_open_circuit_is_shown_kept_over_a_reload_and_closed_by_command),
		cmocka_unit_test(what_is_hardly_meant_is_a_line_in_the_log),
		cmocka_unit_test(what_the_command_does_not_know_it_says),
		cmocka_unit_test(a_disabled_backend_stays_so_over_a_reload),
		cmocka_unit_test(a_reload_that_fails_changes_nothing),
		cmocka_unit_test(startup_pings_tell_and_fail_nothing),
		cmocka_unit_test(without_the_option_nobody_is_pinged),
		cmocka_unit_test(series_are_there_from_the_start),
		cmocka_unit_test(ways_that_no_fallback_leads_have_no_series),
		cmocka_unit_test(the_header_names_a_backend_if_that_is_allowed),
		cmocka_unit_test(the_header_is_refused_if_that_is_not_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
