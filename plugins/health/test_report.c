/* SPDX-License-Identifier: Apache-2.0 */
/* test_report.c - the bodies of the probes, byte by byte, and what a probe's query and Accept mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "report.h"

static char buf[4096];
static struct ch_jw w;

static void begin(void)
{
	ch_jw_init(&w, buf, sizeof(buf) - 1);
}

static const char *text(void)
{
	assert_false(w.failed);
	buf[w.len] = 0;
	return buf;
}

#define REPORT(...) \
	const struct health_component v[] = { __VA_ARGS__ }; \
	const struct health_report r = { .version = "1.2", .uptime = 12.34567, .v = v, .n = sizeof(v) / sizeof(v[0]) }

#define OK(id) { .name = id, .health = CH_HEALTHY, .message = "fine", .duration_ms = 0.5 }
#define SLOW(id) { .name = id, .health = CH_DEGRADED, .message = "slow", .duration_ms = 2 }
#define DOWN(id, req) { .name = id, .health = CH_UNHEALTHY, .required = req, .message = "down", .duration_ms = 3 }

static void only_a_required_component_makes_the_whole_unhealthy(void **state)
{
	(void)state;
	{
		REPORT(OK("a"), DOWN("b", false));
		assert_int_equal(health_judge(&r), CH_DEGRADED);
	}
	{
		REPORT(OK("a"), SLOW("b"), DOWN("c", true));
		assert_int_equal(health_judge(&r), CH_UNHEALTHY);
	}
	{
		REPORT(OK("a"));
		const struct health_report none = { .v = v };

		assert_int_equal(health_judge(&r), CH_HEALTHY);
		assert_int_equal(health_judge(&none), CH_HEALTHY);
	}
}

static void the_json_form_lists_components(void **state)
{
	REPORT(OK("a"), DOWN("b.x", false));

	(void)state;
	begin();
	health_write(&w, &r);
	assert_string_equal(text(), "{\"status\":\"degraded\",\"version\":\"1.2\",\"uptime\":12.345,\"components\":["
	                            "{\"name\":\"a\",\"status\":\"healthy\",\"message\":\"fine\",\"check_duration_ms\":0.5},"
	                            "{\"name\":\"b.x\",\"status\":\"unhealthy\",\"message\":\"down\",\"check_duration_ms\":3}]}");
}

static void the_summary_without_storage_and_gpu_says_null(void **state)
{
	REPORT(OK("health.disk"), OK("kv"), DOWN("health.memory", false));

	(void)state;
	const struct health_instance ids[] = { { "health", false }, { "ask", false }, { "kv", false } };
	struct health_report summary = r;

	summary.instances = ids;
	summary.ninstances = 3;
	begin();
	health_write_summary(&w, &summary, NULL);
	assert_string_equal(text(), "{\"status\":\"degraded\",\"version\":\"1.2\",\"uptime\":12.345,\"db_ok\":null,\"gpu\":null,"
	                            "\"capabilities\":{\"health\":false,\"ask\":true,\"kv\":true}}");
}

static void what_instances_offer_stands_behind_them(void **state)
{
	static const struct health_instance ids[] = { { "llama", false }, { "model_registry", false } };
	static const struct health_capability capabilities[] = { { "model_registry.gemma3:latest", true }, { "model_registry.a\"b", false } };
	struct health_report r = { .version = "1.2", .instances = ids, .ninstances = 2, .capabilities = capabilities, .ncapabilities = 2 };

	(void)state;
	begin();
	health_write_summary(&w, &r, NULL);
	assert_non_null(strstr(text(), "\"capabilities\":{\"llama\":true,\"model_registry\":true,"
				       "\"model_registry.gemma3:latest\":true,\"model_registry.a\\\"b\":false}}"));
}

static void db_ok_is_false_if_one_storage_is_down(void **state)
{
	static const struct health_instance all[] = { { "storage_sqlite", true }, { "kv", false }, { "main", true } };

	(void)state;
	{
		REPORT(OK("storage_sqlite"), SLOW("main.pool"), DOWN("kv", true));
		struct health_report with = r;
		with.instances = all;
		with.ninstances = 3;
		assert_int_equal(health_of_storage(&with), 1);
	}
	{
		REPORT(OK("storage_sqlite"), DOWN("main.pool", false), OK("main"));
		struct health_report with = r;
		with.instances = all;
		with.ninstances = 3;
		assert_int_equal(health_of_storage(&with), 0);
		begin();
		health_write_summary(&w, &with, NULL);
		assert_non_null(strstr(text(), "\"db_ok\":false"));
	}
	{
		REPORT(DOWN("kv", true), DOWN("mainly", true));
		struct health_report with = r;
		with.instances = all;
		with.ninstances = 3;
		assert_int_equal(health_of_storage(&with), -1);
	}
}

static void the_summary_lists_gpus(void **state)
{
	const struct gpu_list gpus = { .n = 2, .v = { { "A100", 37, 1024, 4096 }, { "old", -1, 1, 2 } } };
	REPORT(OK("kv"));

	(void)state;
	begin();
	health_write_summary(&w, &r, &gpus);
	assert_non_null(strstr(text(), "\"status\":\"ok\""));
	assert_non_null(
		strstr(text(), "\"gpu\":[{\"name\":\"A100\",\"utilization\":0.37,\"memory_used_bytes\":1024,\"memory_total_bytes\":4096},"
			       "{\"name\":\"old\",\"utilization\":null,\"memory_used_bytes\":1,\"memory_total_bytes\":2}]"));
}

static void the_draft_says_pass_warn_fail_and_outputs_only_what_does_not_pass(void **state)
{
	REPORT(OK("a"), DOWN("b", true));

	(void)state;
	begin();
	health_write_draft(&w, &r, false);
	assert_string_equal(text(),
		"{\"status\":\"fail\",\"version\":\"1\",\"releaseId\":\"1.2\",\"checks\":{"
		"\"a:responseTime\":[{\"status\":\"pass\",\"observedValue\":0.5,\"observedUnit\":\"ms\"}],"
		"\"b:responseTime\":[{\"status\":\"fail\",\"observedValue\":3,\"observedUnit\":\"ms\",\"output\":\"down\"}]}}");
	begin();
	health_write_draft(&w, &r, true);
	assert_ptr_equal(strstr(text(), "{\"status\":\"warn\""), buf);
}

static void verbose_is_one_line_a_component_and_a_verdict(void **state)
{
	REPORT(OK("a"), SLOW("b"), DOWN("c", false), { .name = "d", .health = CH_UNHEALTHY, .required = true, .message = "two\nlines" });

	(void)state;
	begin();
	health_write_lines(&w, &r, "ready");
	assert_string_equal(
		text(), "[+]a ok\n[+]b degraded: slow\n[-]c failed, not required: down\n[-]d failed: two lines\nready check failed\n");
}

static void a_parameter_counts_with_and_without_a_value(void **state)
{
	(void)state;
	assert_true(health_query_has(CH_STR("verbose"), "verbose"));
	assert_true(health_query_has(CH_STR("a=b&&verbose=1"), "verbose"));
	assert_false(health_query_has(CH_STR("xverbose&verbos"), "verbose"));
	assert_false(health_query_has((struct ch_str){ NULL, 0 }, "verbose"));
}

static void exclude_may_come_more_than_once_and_encoded(void **state)
{
	const struct ch_str q = CH_STR("exclude=kv&exclude=health%2Edisk&exclude");

	(void)state;
	assert_true(health_excluded(q, "kv"));
	assert_true(health_excluded(q, "health.disk"));
	assert_false(health_excluded(q, "health"));
	assert_false(health_excluded(q, "kv2"));
	assert_false(health_excluded(q, ""));
	assert_false(health_excluded(CH_STR("exclude=kv%2"), "kv"));
	assert_false(health_excluded(CH_STR("exclude=kv%00"), "kv"));
}

static void accept_is_searched_for_the_media_type(void **state)
{
	(void)state;
	assert_true(health_wants_draft(CH_STR("application/health+json")));
	assert_true(health_wants_draft(CH_STR("text/html, Application/Health+JSON;q=0.9")));
	assert_false(health_wants_draft(CH_STR("application/json, */*")));
	assert_false(health_wants_draft(CH_STR("application/health+jsonx")));
	assert_false(health_wants_draft((struct ch_str){ NULL, 0 }));
}

static void thresholds_are_healthy_themselves(void **state)
{
	(void)state;
	assert_int_equal(health_if_low(0.10, 0.10, 0.05), CH_HEALTHY);
	assert_int_equal(health_if_low(0.09, 0.10, 0.05), CH_DEGRADED);
	assert_int_equal(health_if_low(0.05, 0.10, 0.05), CH_DEGRADED);
	assert_int_equal(health_if_low(0.04, 0.10, 0.05), CH_UNHEALTHY);
	assert_int_equal(health_if_high(0.85, 0.85, 0.95), CH_HEALTHY);
	assert_int_equal(health_if_high(0.86, 0.85, 0.95), CH_DEGRADED);
	assert_int_equal(health_if_high(0.96, 0.85, 0.95), CH_UNHEALTHY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_required_component_makes_the_whole_unhealthy),
		cmocka_unit_test(the_json_form_lists_components),
		cmocka_unit_test(the_summary_without_storage_and_gpu_says_null),
		cmocka_unit_test(what_instances_offer_stands_behind_them),
		cmocka_unit_test(db_ok_is_false_if_one_storage_is_down),
		cmocka_unit_test(the_summary_lists_gpus),
		cmocka_unit_test(the_draft_says_pass_warn_fail_and_outputs_only_what_does_not_pass),
		cmocka_unit_test(verbose_is_one_line_a_component_and_a_verdict),
		cmocka_unit_test(a_parameter_counts_with_and_without_a_value),
		cmocka_unit_test(exclude_may_come_more_than_once_and_encoded),
		cmocka_unit_test(accept_is_searched_for_the_media_type),
		cmocka_unit_test(thresholds_are_healthy_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
