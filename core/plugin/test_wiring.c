/* SPDX-License-Identifier: Apache-2.0 */
/* Services: who is bound to whom, in which order they start, and the sentences for what can be wrong about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

/* low and high provide thing/1 by rank; each may use another (for circles); `user` and `many` use. */
struct conf { const struct ch_svc *thing; };
struct many_conf { struct ch_svcs things; };
static const size_t vtable[] = { sizeof(size_t) };
static char started[128];

static int on_start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	strcat(strcat(started, self->id), " ");
	return CH_OK;
}

static int on_fail(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	ch_log(self, NULL, CH_ERR, "no");
	return CH_ERROR;
}

static void on_stop(struct ch_self *self)
{
	strcat(strcat(strcat(started, "-"), self->id), " ");
}

static const struct ch_option wants[] = { CH_OPT(struct conf, thing, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "thing/1",
	.help = "What is used") };
static const struct ch_option may_want[] = { CH_OPT(
	struct conf, thing, SERVICE, .def = "auto", .iface = "thing/1", .help = "What is used") };
static const struct ch_option wants_many[] = { CH_OPT(struct many_conf, things, SERVICES, .flags = CH_O_REQUIRED, .def = "*",
	.iface = "thing/1", .help = "What is used") };
static const struct ch_option may_want_low[] = { CH_OPT(struct many_conf, things, SERVICES, .def = "low", .iface = "thing/1",
	.help = "What is used") };
static const struct ch_provide low[] = { { .iface = "thing/1", .vt = vtable, .rank = 1 } };
static const struct ch_provide high[] = { { .iface = "thing/1", .vt = vtable, .rank = 2 } };
static const struct ch_provide another[] = { { .iface = "another/1", .vt = vtable } };

#define PLUGIN(var, ...)                                                                                                                   \
	static const struct ch_plugin var##_plugin = { .size = sizeof(struct ch_plugin),                                                   \
		.abi_major = CH_ABI_MAJOR,                                                                                                 \
		.abi_minor = CH_ABI_MINOR,                                                                                                 \
		.name = #var,                                                                                                              \
		.version = "0",                                                                                                            \
		.summary = "For wiring",                                                                                                   \
		.start = on_start,                                                                                                         \
		.stop = on_stop,                                                                                                           \
		__VA_ARGS__ };                                                                                                             \
	static const struct ch_plugin *var##_entry(const struct ch_host *host)                                                             \
	{                                                                                                                                  \
		(void)host;                                                                                                                \
		return &var##_plugin;                                                                                                      \
	}

PLUGIN(low, .provides = CH_TABLE(low))
PLUGIN(high, .provides = CH_TABLE(high))
PLUGIN(other, .provides = CH_TABLE(another))
PLUGIN(user, .conf_size = sizeof(struct conf), .options = CH_TABLE(wants))
PLUGIN(maybe, .conf_size = sizeof(struct conf), .options = CH_TABLE(may_want))
PLUGIN(many, .conf_size = sizeof(struct many_conf), .options = CH_TABLE(wants_many))
PLUGIN(hopes, .conf_size = sizeof(struct many_conf), .options = CH_TABLE(may_want_low))
PLUGIN(relay, .conf_size = sizeof(struct conf), .options = CH_TABLE(wants), .provides = CH_TABLE(high))
static const struct ch_plugin broken_plugin = { .size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "broken",
	.version = "0",
	.summary = "Does not start",
	.start = on_fail,
	.conf_size = sizeof(struct conf),
	.options = CH_TABLE(wants) };
static const struct ch_plugin *broken_entry(const struct ch_host *host)
{
	(void)host;
	return &broken_plugin;
}

static struct ch_test *begin(const char *ini)
{
	static const ch_plugin_entry all[] = { low_entry, high_entry, other_entry, user_entry, maybe_entry, many_entry, hopes_entry,
		relay_entry, broken_entry };
	struct ch_test *t = ch_test_new();

	started[0] = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		ch_test_plugin(t, all[i]);
	ch_test_config(t, ini);
	return t;
}

static const struct ch_svc *bound(struct ch_test *t, const char *id)
{
	return ((const struct conf *)ch_test_self(t, id)->conf)->thing;
}

static void bound_to(const char *ini, const char *expected)
{
	struct ch_test *t = begin(ini);

	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	assert_string_equal(bound(t, "user")->id, expected);
	assert_ptr_equal(bound(t, "user")->vt, vtable);
	assert_ptr_equal(bound(t, "user")->self, ch_test_self(t, expected));
	ch_test_free(t);
}

static void fails_with(const char *ini, const char *sentence)
{
	struct ch_test *t = begin(ini);

	assert_false(ch_test_start(t));
	if (!strstr(ch_test_errors(t), sentence))
		fail_msg("\"%s\" is not in\n%s", sentence, ch_test_errors(t));
	assert_string_equal(started, ""); /* nothing starts with a config that is wrong */
	ch_test_free(t);
}

static void auto_takes_the_highest_rank(void **state)
{
	(void)state;
	bound_to("[low]\n[high]\n[user]\n", "high");
	bound_to("[high]\n[low]\n[user]\nthing = auto\n", "high");
	bound_to("[low]\n[user]\n", "low");
}

static void a_name_is_a_name(void **state)
{
	(void)state;
	bound_to("[low]\n[high]\n[user]\nthing = low\n", "low");
	bound_to("[low:mine]\n[high]\n[user]\nthing = mine\n", "mine");
}

static void providers_start_before_their_users_and_stop_after_them(void **state)
{
	struct ch_test *t = begin("[user]\nthing = relay\n[relay]\nthing = low\n[low]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(started, "low relay user ");
	ch_test_free(t);
	assert_string_equal(started, "low relay user -user -relay -low ");
}

static void auto_never_takes_the_asking_instance(void **state)
{
	struct ch_test *t = begin("[relay]\n[low]\n[user]\nthing = relay\n");

	(void)state;
	assert_true(ch_test_start(t)); /* relay has the higher rank and would take itself */
	assert_string_equal(bound(t, "relay")->id, "low");
	ch_test_free(t);
}

static void a_tie_is_an_error_that_names_both_and_the_key(void **state)
{
	(void)state;
	fails_with("[low:one]\n[low:two]\n[user]\n", "error: [user] thing");
	fails_with("[low:one]\n[low:two]\n[user]\n", "both [one] and [two] provide thing/1: set thing = one or thing = two");
}

static void a_tie_below_the_highest_rank_is_none(void **state)
{
	(void)state;
	bound_to("[low:one]\n[low:two]\n[high]\n[user]\n", "high");
}

static void nothing_that_provides_is_an_error_if_required(void **state)
{
	struct ch_test *t;

	(void)state;
	fails_with("[user]\n", "nothing that is enabled provides thing/1: add the section of a plugin that does");
	fails_with("[other]\n[user]\n", "nothing that is enabled provides thing/1");
	t = begin("[maybe]\n");
	assert_true(ch_test_start(t));
	assert_null(bound(t, "maybe"));
	ch_test_free(t);
}

static void wrong_names_have_sentences(void **state)
{
	(void)state;
	fails_with("[low]\n[user]\nthing = lwo\n", "test.ini:3: error: [user] thing = lwo: no enabled section has the id 'lwo'");
	fails_with("[other]\n[user]\nthing = other\n", "[other] provides no thing/1");
	fails_with("[low]\n[relay]\nthing = relay\n", "[relay] cannot use itself");
}

static void a_circle_is_named(void **state)
{
	(void)state;
	fails_with("[relay:a]\nthing = b\n[relay:b]\nthing = a\n", "use each other, directly or by others: break the circle");
	fails_with("[relay:a]\nthing = b\n[relay:b]\nthing = c\n[relay:c]\nthing = a\n[low]\n", "break the circle");
}

static void a_list_takes_all_or_those_named_in_order(void **state)
{
	const struct many_conf *conf;
	struct ch_test *t = begin("[low]\n[high]\n[other]\n[many]\n");

	(void)state;
	assert_true(ch_test_start(t));
	conf = ch_test_self(t, "many")->conf;
	assert_int_equal(conf->things.n, 2);
	assert_string_equal(conf->things.v[0]->id, "low");
	assert_string_equal(conf->things.v[1]->id, "high");
	ch_test_free(t);
	t = begin("[low]\n[high]\n[many]\nthings = high, low\n");
	assert_true(ch_test_start(t));
	conf = ch_test_self(t, "many")->conf;
	assert_int_equal(conf->things.n, 2);
	assert_string_equal(conf->things.v[0]->id, "high");
	ch_test_free(t);
	fails_with("[many]\n", "nothing that is enabled provides thing/1: add the section of a plugin that does");
	fails_with("[low]\n[many]\nthings =\n", "at least one provider of thing/1 is needed: name instances, or * for all");
	fails_with("[low]\n[many]\nthings = low, nobody\n", "no enabled section has the id 'nobody'");
}

static void hopes_for(const char *ini, const char *expected)
{
	struct ch_test *t = begin(ini);
	const struct many_conf *conf;

	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	conf = ch_test_self(t, "hopes")->conf;
	assert_int_equal(conf->things.n, expected ? 1 : 0);
	if (expected)
		assert_string_equal(conf->things.v[0]->id, expected);
	ch_test_free(t);
}

static void what_a_lists_default_names_need_not_be_there(void **state)
{
	(void)state;
	hopes_for("[low]\n[hopes]\n", "low");
	hopes_for("[high]\n[hopes]\n", NULL);
	hopes_for("[low]\n[hopes]\nthings = none\n", NULL);
	hopes_for("[low]\n[hopes]\nthings =\n", NULL);
	hopes_for("[low]\n[high]\n[hopes]\nthings = high\n", "high");
	fails_with("[high]\n[hopes]\nthings = low\n", "no enabled section has the id 'low'");
	fails_with("[low]\n[many]\nthings = none\n", "at least one provider of thing/1 is needed");
}

static void who_is_used_by_nobody_is_warned_about(void **state)
{
	struct ch_test *t = begin("[low]\n[high]\n[user]\n");

	(void)state;
	assert_true(ch_test_start(t));
	assert_string_equal(
		ch_test_errors(t), "test.ini:1: warning: [low]: nothing uses [low]: bind it to an option or take the section away\n");
	ch_test_free(t);
}

static void a_start_that_fails_stops_what_has_started(void **state)
{
	struct ch_test *t = begin("[low]\n[broken]\n");

	(void)state;
	assert_false(ch_test_start(t));
	assert_string_equal(started, "low -low ");
	assert_non_null(strstr(ch_test_errors(t), "[broken] did not start"));
	assert_true(ch_test_logged(t, "ERROR broken: no"));
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auto_takes_the_highest_rank),
		cmocka_unit_test(a_name_is_a_name),
		cmocka_unit_test(providers_start_before_their_users_and_stop_after_them),
		cmocka_unit_test(auto_never_takes_the_asking_instance),
		cmocka_unit_test(a_tie_is_an_error_that_names_both_and_the_key),
		cmocka_unit_test(a_tie_below_the_highest_rank_is_none),
		cmocka_unit_test(nothing_that_provides_is_an_error_if_required),
		cmocka_unit_test(wrong_names_have_sentences),
		cmocka_unit_test(a_circle_is_named),
		cmocka_unit_test(a_list_takes_all_or_those_named_in_order),
		cmocka_unit_test(what_a_lists_default_names_need_not_be_there),
		cmocka_unit_test(who_is_used_by_nobody_is_warned_about),
		cmocka_unit_test(a_start_that_fails_stops_what_has_started),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
