/* SPDX-License-Identifier: Apache-2.0 */
/* The probes in a running core (WIRE.md, section 5): a status decides, and it comes from cached results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

CH_TEST_PLUGIN(health);

/* A plugin with a critical check and a route, so that clients need it. */
static int store_health = CH_HEALTHY;

static int check_ping(struct ch_self *self, struct ch_ctx *c, struct ch_check_result *out)
{
	(void)self;
	(void)c;
	out->health = store_health;
	snprintf(out->message, sizeof(out->message), "the store says %d", store_health);
	return CH_OK;
}

static int on_store(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_respond(c, 204, NULL, NULL, 0);
}

static const struct ch_check checks[] = { { .name = "ping", .critical = 1, .fn = check_ping } };
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/store", .fn = on_store } };
static const struct ch_plugin store = { .size = sizeof(store), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "store",
	.version = "0", .summary = "A dependency", .checks = CH_TABLE(checks), .routes = CH_TABLE(routes) };

static const struct ch_plugin *store_entry(const struct ch_host *host)
{
	(void)host;
	return &store;
}

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	store_health = CH_HEALTHY;
	ch_test_plugin(t, CH_TEST_ENTRY(health));
	ch_test_plugin(t, store_entry);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return t;
}

static int get(struct ch_test *t, const char *target)
{
	return ch_test_request(t, "GET", target, NULL, NULL, 0)->status;
}

static void run_checks(struct ch_test *t)
{
	assert_true(ch_test_check(t, "health.disk", NULL));
	assert_true(ch_test_check(t, "health.memory", NULL));
	assert_true(ch_test_check(t, "store.ping", NULL));
}

/* Thresholds that no machine is beyond. */
#define CALM "[health]\ndisk_free_warn = 0%\ndisk_free_critical = 0%\nmemory_used_warn = 100%\nmemory_used_critical = 100%\n"

static void before_its_first_check_nobody_is_ready(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_test_answer *a;

	(void)state;
	assert_int_equal(get(t, "/ready"), 503);
	a = ch_test_request(t, "GET", "/ready?verbose", NULL, NULL, 0);
	assert_non_null(strstr(a->body, "[-]store.ping failed: not checked yet\n"));
	assert_int_equal(get(t, "/health/live"), 200);
	assert_int_equal(get(t, "/health"), 200);
	ch_test_free(t);
}

static void with_all_checks_healthy_it_is_ready(void **state)
{
	static const char *const names[] = { "/ready", "/health/ready", "/readyz", "/health/live", "/livez", "/health/startup", "/startupz",
		"/health" };
	struct ch_test *t = begin(CALM "[store]\n");

	(void)state;
	run_checks(t);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(get(t, names[i]), 200);
	ch_test_free(t);
}

static void the_body_names_each_component(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_test_answer *a;

	(void)state;
	run_checks(t);
	a = ch_test_request(t, "GET", "/ready", NULL, NULL, 0);
	assert_string_equal(ch_test_header(a, "content-type"), "application/json");
	assert_string_equal(ch_test_header(a, "cache-control"), "no-store");
	assert_memory_equal(a->body, "{\"status\":\"healthy\",\"version\":\"0.0.0\",\"uptime\":", 47);
	assert_non_null(strstr(
		a->body, "{\"name\":\"store.ping\",\"status\":\"healthy\",\"message\":\"the store says 0\",\"check_duration_ms\":0}"));
	assert_non_null(strstr(a->body, "{\"name\":\"server\",\"status\":\"healthy\",\"message\":\"serving\""));
	ch_test_free(t);
}

static void a_critical_dependency_that_is_down_is_unready_and_alive(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");

	(void)state;
	store_health = CH_UNHEALTHY;
	run_checks(t);
	assert_int_equal(get(t, "/ready"), 503);
	assert_int_equal(get(t, "/livez"), 200);
	assert_int_equal(get(t, "/health"), 200);
	store_health = CH_HEALTHY;
	run_checks(t);
	assert_int_equal(get(t, "/ready"), 200);
	ch_test_free(t);
}

static void a_degraded_dependency_stays_ready(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_test_answer *a;

	(void)state;
	store_health = CH_DEGRADED;
	run_checks(t);
	a = ch_test_request(t, "GET", "/ready", NULL, NULL, 0);
	assert_int_equal(a->status, 200);
	assert_memory_equal(a->body, "{\"status\":\"degraded\"", 20);
	ch_test_free(t);
}

static void ready_requires_decides_alone_where_it_is_set(void **state)
{
	struct ch_test *t = begin(CALM "ready_requires = health.disk\n[store]\n");

	(void)state;
	store_health = CH_UNHEALTHY;
	run_checks(t);
	assert_int_equal(get(t, "/ready"), 200);
	ch_test_free(t);
}

static void exclude_leaves_one_out_and_never_the_server(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");

	(void)state;
	store_health = CH_UNHEALTHY;
	run_checks(t);
	assert_int_equal(get(t, "/ready?exclude=store.ping"), 200);
	ch_test_server(t)->ready = false;
	assert_int_equal(get(t, "/ready?exclude=store.ping&exclude=server"), 503);
	ch_test_free(t);
}

static void draining_is_unready_at_once_and_alive(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_test_answer *a;

	(void)state;
	run_checks(t);
	ch_test_server(t)->draining = true;
	a = ch_test_request(t, "GET", "/ready", NULL, NULL, 0);
	assert_int_equal(a->status, 503);
	assert_string_equal(ch_test_header(a, "connection"), "close");
	assert_int_equal(get(t, "/livez"), 200);
	assert_int_equal(get(t, "/startupz"), 200);
	ch_test_free(t);
}

static void a_stalled_loop_is_dead(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");

	(void)state;
	ch_test_server(t)->stalled = 1;
	assert_int_equal(get(t, "/health/live"), 503);
	assert_int_equal(get(t, "/livez"), 503);
	assert_int_equal(get(t, "/health"), 200);
	ch_test_free(t);
}

static void starting_is_not_started(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");

	(void)state;
	ch_test_server(t)->ready = false;
	assert_int_equal(get(t, "/startupz"), 503);
	assert_int_equal(get(t, "/ready"), 503);
	assert_int_equal(get(t, "/livez"), 200);
	ch_test_free(t);
}

static void the_draft_media_type_is_given_to_who_asks(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_test_answer *a;

	(void)state;
	run_checks(t);
	a = ch_test_request(t, "GET", "/ready", "Accept: application/health+json", NULL, 0);
	assert_string_equal(ch_test_header(a, "content-type"), "application/health+json");
	assert_memory_equal(a->body, "{\"status\":\"pass\"", 16);
	ch_test_free(t);
}

static void the_disk_check_reads_state_dir_on_the_pool(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_check_result r;

	(void)state;
	ch_test_server(t)->state_dir = "/nonexistent/folder";
	ch_test_offload(t, CH_TEST_MANUAL);
	assert_false(ch_test_check(t, "health.disk", &r)); /* it waits for the pool */
	assert_int_equal(ch_test_offload_run(t), 1);
	ch_test_offload(t, CH_TEST_AUTO);
	assert_true(ch_test_check(t, "health.disk", &r));
	assert_int_equal(r.health, CH_DEGRADED);
	assert_string_equal(r.message, "state_dir cannot be read: No such file or directory");
	ch_test_server(t)->state_dir = "/";
	assert_true(ch_test_check(t, "health.disk", &r));
	assert_int_equal(r.health, CH_HEALTHY);
	ch_test_free(t);
}

static void a_file_system_that_hangs_is_degraded_and_no_more(void **state)
{
	struct ch_test *t = begin("[server]\nstartup_check_timeout = 5s\n" CALM "[store]\n");
	struct ch_test_answer *a;

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	ch_test_check(t, "health.disk", NULL);
	ch_test_advance(t, 5000);
	a = ch_test_request(t, "GET", "/ready?verbose", NULL, NULL, 0);
	assert_non_null(strstr(a->body, "[+]health.disk degraded: state_dir gave no answer in time\n"));
	ch_test_free(t); /* the work comes back late, and its ctx with it */
}

static void a_full_pool_is_degraded(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_check_result r;

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	assert_true(ch_test_check(t, "health.disk", &r));
	assert_int_equal(r.health, CH_DEGRADED);
	ch_test_free(t);
}

static void the_interval_is_the_configs(void **state)
{
	struct ch_test *t = begin("[health]\ncheck_interval = 250ms\n");

	(void)state;
	assert_int_equal(ch_test_checks_interval(t), 250);
	ch_test_free(t);
}

static void thresholds_the_wrong_way_round_are_config_errors(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(health));
	ch_test_config(t, "[health]\ndisk_free_warn = 1%\ndisk_free_critical = 2%\nmemory_used_warn = 90%\nmemory_used_critical = 80%\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:3: error: [health] disk_free_critical = 2%: is above disk_free_warn"));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:5: error: [health] memory_used_critical = 80%: is below memory_used_warn"));
	ch_test_free(t);
}

static void what_works_worse_is_degraded_and_takes_traffic_on(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_test_answer *a;

	(void)state;
	run_checks(t);
	ch_degraded(ch_test_self(t, "store"), "replica", true, "it answers nothing");
	a = ch_test_request(t, "GET", "/ready?verbose", NULL, NULL, 0);
	assert_int_equal(a->status, 200);
	assert_non_null(strstr(a->body, "store.replica"));
	assert_non_null(strstr(a->body, "it answers nothing"));
	assert_true(ch_test_logged(t, "replica is degraded now: it answers nothing"));
	ch_degraded(ch_test_self(t, "store"), "replica", false, "it answers");
	ch_test_advance(t, 1900);
	assert_non_null(strstr(ch_test_request(t, "GET", "/ready?verbose", NULL, NULL, 0)->body, "store.replica"));
	ch_test_advance(t, 100);
	assert_null(strstr(ch_test_request(t, "GET", "/ready?verbose", NULL, NULL, 0)->body, "store.replica"));
	ch_test_free(t);
}

static void health_shows_what_instances_offer_and_not_too_much_of_it(void **state)
{
	struct ch_test *t = begin(CALM "[store]\n");
	struct ch_test_answer *a;
	char name[16];
	unsigned n = 0;

	(void)state;
	run_checks(t);
	ch_capability(ch_test_self(t, "store"), "a", true);
	ch_capability(ch_test_self(t, "store"), "b", false);
	a = ch_test_request(t, "GET", "/health", NULL, NULL, 0);
	assert_non_null(strstr(a->body, "\"status\":\"ok\"")); /* what is not there is no reason to be degraded */
	assert_non_null(strstr(a->body, "\"capabilities\":{\"health\":true,\"store\":true,\"store.a\":true,\"store.b\":false}}"));
	for (int i = 0; i < 1022; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		ch_capability(ch_test_self(t, "store"), name, true);
	}
	a = ch_test_request(t, "GET", "/health", NULL, NULL, 0);
	assert_true(a->complete);
	for (const char *p = a->body; (p = strstr(p, "\"store.")); p++)
		n++;
	assert_int_equal(n, 1000);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_its_first_check_nobody_is_ready),
		cmocka_unit_test(with_all_checks_healthy_it_is_ready),
		cmocka_unit_test(what_works_worse_is_degraded_and_takes_traffic_on),
		cmocka_unit_test(the_body_names_each_component),
		cmocka_unit_test(a_critical_dependency_that_is_down_is_unready_and_alive),
		cmocka_unit_test(a_degraded_dependency_stays_ready),
		cmocka_unit_test(ready_requires_decides_alone_where_it_is_set),
		cmocka_unit_test(exclude_leaves_one_out_and_never_the_server),
		cmocka_unit_test(draining_is_unready_at_once_and_alive),
		cmocka_unit_test(a_stalled_loop_is_dead),
		cmocka_unit_test(starting_is_not_started),
		cmocka_unit_test(the_draft_media_type_is_given_to_who_asks),
		cmocka_unit_test(the_disk_check_reads_state_dir_on_the_pool),
		cmocka_unit_test(a_file_system_that_hangs_is_degraded_and_no_more),
		cmocka_unit_test(a_full_pool_is_degraded),
		cmocka_unit_test(health_shows_what_instances_offer_and_not_too_much_of_it),
		cmocka_unit_test(the_interval_is_the_configs),
		cmocka_unit_test(thresholds_the_wrong_way_round_are_config_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
