/* SPDX-License-Identifier: Apache-2.0 */
/* The order of hooks inside a phase: bands, then after and before, then the config's order; a circle is an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

/* Up to four plugins, xa to xd, with one HEADERS hook each, which writes down its letter (a plugin's name has two at least). */
static char seen[64];
static struct ch_hook hooks[4];
static struct ch_plugin plugins[4];
static int next;

static int on_headers(struct ch_self *self, struct ch_ctx *c)
{
	(void)c;
	strcat(seen, self->id + 1);
	return CH_OK;
}

static const struct ch_plugin *entry(const struct ch_host *host)
{
	(void)host;
	return &plugins[next];
}

/* Rows in the order of the config; the name is the plugin's. */
struct row { const char *name; int band; const char *after, *before; };

static struct ch_test *begin(const struct row *rows, size_t n)
{
	struct ch_test *t = ch_test_new();
	char ini[256] = "";

	for (next = 0; next < (int)n; next++) {
		hooks[next] = (struct ch_hook){ .phase = CH_P_HEADERS, .band = rows[next].band, .after = rows[next].after,
			.before = rows[next].before, .fn = on_headers };
		plugins[next] = (struct ch_plugin){ .size = sizeof(plugins[0]), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR,
			.name = rows[next].name, .version = "0", .summary = "A hook", .hooks = { &hooks[next], 1, sizeof(hooks[0]) } };
		ch_test_plugin(t, entry);
		strcat(strcat(strcat(ini, "["), rows[next].name), "]\n");
	}
	ch_test_config(t, ini);
	return t;
}

#define ORDER_IS(expected, ...)                                                                                                            \
	order_is(expected, (const struct row[]){ __VA_ARGS__ }, sizeof((const struct row[]){ __VA_ARGS__ }) / sizeof(struct row))

static void order_is(const char *expected, const struct row *rows, size_t n)
{
	struct ch_test *t = begin(rows, n);

	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	seen[0] = 0;
	ch_test_request(t, "GET", "/none", NULL, NULL, 0);
	assert_string_equal(seen, expected);
	ch_test_free(t);
}

static void without_wishes_the_configs_order_holds(void **state)
{
	(void)state;
	ORDER_IS("cab", { "xc", 0, NULL, NULL }, { "xa", 0, NULL, NULL }, { "xb", 0, NULL, NULL });
}

static void bands_come_first(void **state)
{
	(void)state;
	ORDER_IS("cadb", { "xb", CH_LATE, NULL, NULL }, { "xa", CH_NORMAL, NULL, NULL }, { "xd", CH_NORMAL, NULL, NULL },
		{ "xc", CH_EARLY, NULL, NULL });
}

static void after_and_before_move_inside_a_band(void **state)
{
	(void)state;
	ORDER_IS("ba", { "xa", 0, "xb", NULL }, { "xb", 0, NULL, NULL });
	ORDER_IS("ba", { "xa", 0, NULL, NULL }, { "xb", 0, NULL, "xa" });
	ORDER_IS("cbad", { "xa", 0, "xb, xc", NULL }, { "xb", 0, "xc", NULL }, { "xc", 0, NULL, NULL }, { "xd", 0, NULL, NULL });
}

static void a_chain_of_wishes_is_followed(void **state)
{
	(void)state;
	ORDER_IS("dcba", { "xa", 0, "xb", NULL }, { "xb", 0, "xc", NULL }, { "xc", 0, "xd", NULL }, { "xd", 0, NULL, NULL });
}

static void names_that_are_not_there_mean_nothing(void **state)
{
	(void)state;
	ORDER_IS("ab", { "xa", 0, "nobody", "xaa, xbb" }, { "xb", 0, NULL, "xab,xc" });
}

static void a_wish_does_not_leave_its_band(void **state)
{
	(void)state;
	ORDER_IS("ab", { "xa", CH_EARLY, "xb", NULL }, { "xb", CH_NORMAL, NULL, NULL });
}

static void a_circle_is_an_error_that_names_both(void **state)
{
	const struct row rows[] = { { "xa", 0, "xb", NULL }, { "xb", 0, "xa", NULL }, { "xc", 0, NULL, NULL } };
	struct ch_test *t = begin(rows, 3);

	(void)state;
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:1: error: [xa]: its headers hook must run both before and after others"));
	assert_non_null(strstr(ch_test_errors(t), "test.ini:2: error: [xb]: its headers hook must run both before and after others"));
	assert_null(strstr(ch_test_errors(t), "[xc]"));
	ch_test_free(t);
}

static void a_hook_without_a_phase_is_the_plugins_error(void **state)
{
	const struct row rows[] = { { "xa", 7, NULL, NULL } };
	struct ch_test *t = begin(rows, 1);

	(void)state;
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "[xa]: its hook 0 has phase 1, band 7 or no function"));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_wishes_the_configs_order_holds),
		cmocka_unit_test(bands_come_first),
		cmocka_unit_test(after_and_before_move_inside_a_band),
		cmocka_unit_test(a_chain_of_wishes_is_followed),
		cmocka_unit_test(names_that_are_not_there_mean_nothing),
		cmocka_unit_test(a_wish_does_not_leave_its_band),
		cmocka_unit_test(a_circle_is_an_error_that_names_both),
		cmocka_unit_test(a_hook_without_a_phase_is_the_plugins_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
