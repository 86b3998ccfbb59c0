/* SPDX-License-Identifier: MIT */
/* test_backend.c - which model a backend serves, and the time a call may take. What upstreams' failures mean: plugins/openai. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/backend.h>

CH_HIDDEN_ const struct ch_host *ch_host_; /* nothing here calls the host */

static const struct ch_str models[] = { CH_STR("gpt-*"), CH_STR("gpt-4*"), CH_STR("gpt-4o"), CH_STR("Qwen/Qwen3"), CH_STR("") };
static const struct ch_backend_conf conf = { .models = { models, 5 }, .default_model = "std" };

static const char *rule(const char *model)
{
	return ch_backend_rule(&conf, (struct ch_str){ model, strlen(model) });
}

static void the_name_itself_goes_before_the_longest_pattern(void **state)
{
	(void)state;
	assert_string_equal(rule("gpt-4o"), "gpt-4o");
	assert_string_equal(rule("gpt-4.1"), "gpt-4*");
	assert_string_equal(rule("gpt-"), "gpt-*");
	assert_string_equal(rule("std"), "std");
	assert_null(rule("Qwen/Qwen3-32B"));
	assert_null(rule("gpt"));
	assert_null(rule(""));
}

static void a_star_alone_stands_for_all(void **state)
{
	(void)state;
	assert_true(ch_model_matches((struct ch_str)CH_STR("*"), (struct ch_str)CH_STR("x")));
	assert_true(ch_model_matches((struct ch_str)CH_STR("*"), (struct ch_str){ NULL, 0 }));
	assert_false(ch_model_matches((struct ch_str)CH_STR("x"), (struct ch_str){ NULL, 0 }));
	assert_false(ch_model_matches((struct ch_str){ "", 0 }, (struct ch_str){ NULL, 0 }));
	assert_false(ch_model_matches((struct ch_str)CH_STR("a"), (struct ch_str){ "a\0b", 3 }));
}

static void the_args_time_goes_before_the_configs_and_that_before_the_kits(void **state)
{
	struct ch_inference_args args = { .size = sizeof(args) };
	struct ch_backend_conf own = { .max_answer = 7, .max_stream = 8 };
	struct ch_http_args out = { .size = sizeof(out) };

	(void)state;
	ch_backend_timeouts(&args, &own, true, &out);
	assert_int_equal(out.connect_timeout_ms, CH_BACKEND_CONNECT_MS);
	assert_int_equal(out.total_timeout_ms, CH_BACKEND_TIMEOUT_MS);
	assert_int_equal(out.first_byte_timeout_ms, CH_BACKEND_FIRST_TOKEN_MS);
	assert_int_equal(out.idle_timeout_ms, CH_BACKEND_IDLE_MS);
	assert_int_equal(out.max_body, 8);
	own.timeout = 50000;
	own.first_token_timeout = 70000; /* no longer than all of it */
	args.idle_timeout_ms = 900;
	own.idle_timeout = 800;
	ch_backend_timeouts(&args, &own, true, &out);
	assert_int_equal(out.total_timeout_ms, 50000);
	assert_int_equal(out.first_byte_timeout_ms, 50000);
	assert_int_equal(out.idle_timeout_ms, 900);
	ch_backend_timeouts(&args, &own, false, &out);
	assert_int_equal(out.first_byte_timeout_ms, 50000);
	assert_int_equal(out.idle_timeout_ms, 50000);
	assert_int_equal(out.max_body, 7);
	args.budget_ms = 2000; /* what the client waits: for all of an answer, of a stream for its first piece */
	ch_backend_timeouts(&args, &own, false, &out);
	assert_int_equal(out.total_timeout_ms, 2000);
	ch_backend_timeouts(&args, &own, true, &out);
	assert_int_equal(out.total_timeout_ms, 50000);
	assert_int_equal(out.first_byte_timeout_ms, 2000);
	args.budget_ms = 90000;
	ch_backend_timeouts(&args, &own, false, &out);
	assert_int_equal(out.total_timeout_ms, 50000); /* never more than without it */
}

static void header_fields_are_split_at_the_first_colon(void **state)
{
	static const struct ch_str lines[] = { CH_STR("A: b:c "), CH_STR("X-Y:"), CH_STR("no field"), CH_STR("Bad Name: x"),
		CH_STR("Z:\t1") };
	struct ch_backend_conf own = { .extra_headers = { lines, 5 } };
	struct ch_http_field *f;
	size_t n;

	(void)state;
	f = ch_backend_fields(&own, &n);
	assert_int_equal(n, 3); /* ch_backend_check has refused the others */
	assert_memory_equal(f[0].value.p, "b:c", 3);
	assert_int_equal(f[0].value.n, 3);
	assert_int_equal(f[1].value.n, 0);
	assert_memory_equal(f[2].name.p, "Z", 1);
	assert_int_equal(f[2].value.n, 1);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_itself_goes_before_the_longest_pattern),
		cmocka_unit_test(a_star_alone_stands_for_all),
		cmocka_unit_test(the_args_time_goes_before_the_configs_and_that_before_the_kits),
		cmocka_unit_test(header_fields_are_split_at_the_first_colon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
