/* SPDX-License-Identifier: Apache-2.0 */
/* test_diff.c - two configs: what a reload does with an instance, what is told of the difference, and the flags that say so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/conf/test_load.h"

/* ---- two plugins: one that takes any change of its rows, one that does not ---- */

struct live_conf {
	const char *url, *token, *pass, *keys_file, *ca_file;
	int64_t limit, port;
	struct ch_list names;
};
struct live_row { double requests; const char *key; };
struct firm_row { int64_t weight; const char *path; };

#define OPT(field, T, ...) CH_OPT(struct live_conf, field, T, __VA_ARGS__)
static const struct ch_option live_options[] = {
	OPT(url, STR, .def = "http://a"),
	OPT(limit, INT, .def = "1", .dev_def = "2", .flags = CH_O_RELOAD),
	OPT(token, STR, .flags = CH_O_SECRET | CH_O_RELOAD),
	OPT(pass, STR, .flags = CH_O_SECRET),
	OPT(keys_file, PATH, .flags = CH_O_WATCH | CH_O_RELOAD),
	OPT(ca_file, PATH, .flags = CH_O_WATCH),
	OPT(port, INT, .def = "80", .flags = CH_O_RESTART),
	OPT(names, LIST, .flags = CH_O_RELOAD),
};
#undef OPT
static const struct ch_option live_rows[] = {
	CH_OPT(struct live_row, requests, RATE, .def = "1/s", .flags = CH_O_RELOAD | CH_O_OFF),
	CH_OPT(struct live_row, key, STR, .flags = CH_O_SECRET | CH_O_RELOAD),
};
static const struct ch_option firm_rows[] = {
	CH_OPT(struct firm_row, weight, INT, .def = "1", .flags = CH_O_RELOAD),
	CH_OPT(struct firm_row, path, STR),
};
static const struct ch_plugin live = { .size = sizeof(live),
	.name = "live",
	.conf_size = sizeof(struct live_conf),
	.row_conf_size = sizeof(struct live_row),
	.options = CH_TABLE(live_options),
	.row_options = CH_TABLE(live_rows) };
static const struct ch_plugin firm = { .size = sizeof(firm),
	.name = "firm",
	.conf_size = sizeof(struct live_conf),
	.row_conf_size = sizeof(struct firm_row),
	.options = CH_TABLE(live_options),
	.row_options = CH_TABLE(firm_rows) };

/* ---- two loads ---- */

static struct chi_conf *was;              /* t.conf is what it is now */

static int setup(void **state)
{
	if (begin(state))
		return -1;
	t.plugins[0] = &live;
	t.plugins[1] = &firm;
	return 0;
}

static int teardown(void **state)
{
	chi_conf_free(was);
	was = NULL;
	return end(state);
}

/* What was loaded last is the old config. */
static void keep(void)
{
	chi_conf_free(was);
	was = t.conf;
	t.conf = NULL;
}

static void two(const char *before, const char *after)
{
	load_clean(before);
	keep();
	load_clean(after);
}

static int verdict(const char *id)
{
	return chi_conf_compare(chi_conf_find(was, id), chi_conf_find(t.conf, id));
}

static int verdict_of(const char *id, const char *before, const char *after)
{
	two(before, after);
	return verdict(id);
}

/* ---- what a reload does ---- */

static void the_options_that_differ_decide(void **state)
{
	static const char base[] = "[live]\nurl = x\ntoken = a\npass = b\n[firm]\n";

	(void)state;
	assert_int_equal(verdict_of("live", base, base), CHI_CONF_SAME);
	assert_int_equal(verdict_of("live", base, "[live]\nurl = x\ntoken = a\npass = b\nlimit = 2\n"), CHI_CONF_RELOAD);
	assert_int_equal(verdict_of("live", base, "[live]\nurl = x\ntoken = c\npass = b\n"), CHI_CONF_RELOAD);
	assert_int_equal(verdict_of("live", base, "[live]\nurl = x\ntoken = a\npass = c\n"), CHI_CONF_CHANGED);
	assert_int_equal(verdict_of("live", base, "[live]\nurl = y\ntoken = a\npass = b\n"), CHI_CONF_CHANGED);
	assert_int_equal(verdict_of("live", base, "[live]\nurl = x\ntoken = a\npass = b\nport = 81\n"), CHI_CONF_CHANGED);
	assert_int_equal(verdict_of("live", base, "[live]\nurl = y\ntoken = c\npass = b\nlimit = 2\n"), CHI_CONF_CHANGED);
	assert_int_equal(chi_conf_compare(chi_conf_find(was, "live"), chi_conf_find(was, "firm")), CHI_CONF_CHANGED);
	two("[live:x]\n", "[firm:x]\n[live:y]\n");
	assert_int_equal(verdict("x"), CHI_CONF_CHANGED);                                                         /* another plugin */
	assert_int_equal(chi_conf_compare(was->insts[0], chi_conf_find(t.conf, "y")), CHI_CONF_CHANGED);          /* another id */
	assert_int_equal(chi_conf_compare(chi_conf_find(t.conf, "x"), chi_conf_find(t.conf, "x")), CHI_CONF_SAME);
}

static void where_a_value_comes_from_does_not_count(void **state)
{
	(void)state;
	load_clean("[live]\nlimit = 2\nurl = x\n");
	keep();
	t.env[0] = "CHIMERA__LIVE__URL=x";
	load_clean("[server]\nprofile = dev\n[live]\nurl = y\n"); /* 2 is the default of dev */
	assert_int_equal(verdict("live"), CHI_CONF_SAME);
}

static void rows_may_come_go_and_move_only_if_all_their_options_may_change(void **state)
{
	static const char *const others[] = { "[%s.a]\n[%s.b]\n[%s.c]\n", "[%s.a]\n", "[%s.b]\n[%s.a]\n", "[%s.a]\n[%s.B]\n",
		"[%s.a]\n[%s.b]\nenabled = no\n", "[%s]\n" };
	char text[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		snprintf(text, sizeof(text), others[i], "live", "live", "live");
		assert_int_equal(verdict_of("live", "[live.a]\n[live.b]\n", text), CHI_CONF_RELOAD);
		snprintf(text, sizeof(text), others[i], "firm", "firm", "firm");
		assert_int_equal(verdict_of("firm", "[firm.a]\n[firm.b]\n", text), CHI_CONF_CHANGED);
	}
	assert_int_equal(verdict_of("live", "[live.a]\n", "[live]\nurl = y\n[live.b]\n"), CHI_CONF_CHANGED);
	assert_int_equal(verdict_of("live", "[live]\n", "[live.a]\n"), CHI_CONF_RELOAD);
	assert_int_equal(verdict_of("firm", "[firm]\n", "[firm.a]\n"), CHI_CONF_CHANGED);
}

static void options_of_rows_count_like_those_of_the_instance(void **state)
{
	(void)state;
	assert_int_equal(verdict_of("live", "[live.a]\n[live.b]\n", "[live.a]\n[live.b]\nrequests = 2/s\n"), CHI_CONF_RELOAD);
	assert_int_equal(verdict_of("firm", "[firm.a]\n[firm.b]\n", "[firm.a]\n[firm.b]\nweight = 2\n"), CHI_CONF_RELOAD);
	assert_int_equal(verdict_of("firm", "[firm.a]\n[firm.b]\n", "[firm.a]\n[firm.b]\npath = 2\n"), CHI_CONF_CHANGED);
}

static void what_a_file_holds_is_part_of_the_value(void **state)
{
	static const char text[] = "[live:k]\nkeys_file = keys\n[live:c]\nca_file = ca\n[live:t]\ntoken = @token\n[live:p]\npass = @pass\n";
	static const char *const files[] = { "keys", "ca", "token", "pass" }, *const ids[] = { "k", "c", "t", "p" };
	const int verdicts[] = { CHI_CONF_RELOAD, CHI_CONF_CHANGED, CHI_CONF_RELOAD, CHI_CONF_CHANGED };
	size_t i, k;

	(void)state;
	for (i = 0; i < 4; i++)
		write_file(files[i], "one");
	load_clean(text);
	for (i = 0; i < 4; i++) {
		keep();
		write_file(files[i], "two");
		load_clean(text);
		for (k = 0; k < 4; k++)
			assert_int_equal(verdict(ids[k]), k == i ? verdicts[i] : CHI_CONF_SAME);
	}
	keep();
	for (i = 0; i < 4; i++)
		write_file(files[i], "two"); /* touched, no more */
	load_clean(text);
	for (i = 0; i < 4; i++)
		assert_int_equal(verdict(ids[i]), CHI_CONF_SAME);
	keep();
	assert_int_equal(remove(path_of("ca")), 0); /* whether it may be missing is its plugin's business */
	load_clean(text);
	assert_int_equal(verdict("c"), CHI_CONF_CHANGED);
	keep();
	write_file("ca", ""); /* empty is not missing */
	load_clean(text);
	assert_int_equal(verdict("c"), CHI_CONF_CHANGED);
}

static void a_config_lives_as_long_as_one_owner_has_it(void **state)
{
	(void)state;
	load_clean("[live]\npass = hunter2\n");
	chi_conf_hold(t.conf);
	chi_conf_free(t.conf);
	assert_string_equal(chi_conf_text(chi_conf_find(t.conf, "live"), "pass"), "hunter2");
	chi_conf_hold(t.conf);
	chi_conf_hold(t.conf);
	chi_conf_free(t.conf);
	chi_conf_free(t.conf);
	assert_string_equal(chi_conf_text(chi_conf_find(t.conf, "live"), "pass"), "hunter2"); /* drop() frees the last */
	chi_conf_free(NULL);
}

/* ---- what is told ---- */

static struct told {                      /* what chi_conf_diff said, one line a change */
	char text[4096];
	char restart[64];                 /* the key to name, by the rule of conf.h; "": none */
	bool restart_written;
} told;

static void tell(void *arg, const struct chi_conf_change *c)
{
	size_t n = strlen(told.text);

	(void)arg;
	assert_true((c->key != NULL) || !c->flags);
	snprintf(told.text + n, sizeof(told.text) - n, "%s%s%s %s: %s -> %s%s%s%s%s\n", c->id, c->row ? "." : "", c->row ? c->row : "",
		c->key ? c->key : "*", c->was ? c->was : "nothing", c->now ? c->now : "nothing", c->flags & CH_O_RELOAD ? " reload" : "",
		c->flags & CH_O_RESTART ? " restart" : "", c->note ? "; " : "", c->note ? c->note : "");
	if ((c->flags & CH_O_RESTART) && (!*told.restart || (c->written && !told.restart_written))) {
		snprintf(told.restart, sizeof(told.restart), "%s.%s", c->id, c->key);
		told.restart_written = c->written;
	}
}

static const char *diff(const char *before, const char *after)
{
	two(before, after);
	memset(&told, 0, sizeof(told));
	chi_conf_diff(was, t.conf, tell, NULL);
	return told.text;
}

static void equal_configs_have_no_difference(void **state)
{
	(void)state;
	write_file("f", "x");
	assert_string_equal(
		diff("[live]\nca_file = f\npass = @f\n[live.r]\n", "; moved down\n\n[live]\npass = @f\nca_file = f\n[live.r]\n"), "");
}

static void changes_come_in_the_order_of_the_new_config(void **state)
{
	(void)state;
	assert_string_equal(diff("[live]\n[live.a]\n[live.b]\n[firm]\n[live:old]\n[live:older]\nurl = x\n",
				    "[live:new]\nurl = x\n[live.b]\n[live.c]\nrequests = 2/s\n[live]\nlimit = 2\nurl = z\nnames = b, a\n"
				    "[firm]\nport = 81\n[log]\nlevel = warn\nformat = text\n[server]\nmax_connections = 7\nworkers = 2\n"),
		"server workers: auto -> 2 restart\n"
		"server max_connections: 65536 -> 7 reload\n"
		"log level: info -> warn reload\n"
		"log format: json -> text restart\n"
		"new *: nothing -> live:new\n"
		"live url: http://a -> z\n"
		"live limit: 1 -> 2 reload\n"
		"live names:  -> b, a reload\n"
		"live.c *: nothing -> live.c\n"
		"live.a *: live.a -> nothing\n"
		"firm port: 80 -> 81 restart\n"
		"old *: live:old -> nothing\n"
		"older *: live:older -> nothing\n");
}

static void keys_of_rows_are_told_with_their_row(void **state)
{
	(void)state;
	assert_string_equal(diff("[live:x.a b]\n[live:x.b]\nkey = k\n", "[live:x.a b]\nrequests = off\n[live:x.b]\nkey = l\n"),
		"x.a b requests: 1/s -> off reload\n"
		"x.b key: *** -> *** reload\n");
}

static void another_order_is_told_once_by_the_first_that_moved(void **state)
{
	(void)state;
	assert_string_equal(diff("[live:a]\n[live:b]\n[live:c]\n", "[live:b]\n[live:c]\n[live:a]\n"),
		"a *: live:a -> live:a; its place in the order has changed\n");
	assert_string_equal(diff("[live:a]\n[live:b]\n[live:c]\n", "[live:c]\n[live:a]\n[live:b]\nurl = x\n"),
		"a *: live:a -> live:a; its place in the order has changed\n"
		"b url: http://a -> x\n");
	assert_string_equal(diff("[live.a]\n[live.b]\n", "[live.b]\n[live.a]\n"),
		"live.a *: live.a -> live.a; its place in the order has changed\n");
	/* what came and went is no other order */
	assert_string_equal(diff("[live:a]\n[live:b]\n", "[live:c]\n[live:b]\n"), "c *: nothing -> live:c\na *: live:a -> nothing\n");
}

static void an_id_may_pass_to_another_plugin(void **state)
{
	(void)state;
	assert_string_equal(diff("[live:x]\nlimit = 2\n[live:x.a]\n", "[firm:x]\n"), "x *: live:x -> firm:x\n");
	assert_string_equal(diff("[live]\n[firm]\n", "[live]\nenabled = no\n[firm]\n"), "live *: live -> nothing\n");
}

static void secrets_are_told_without_their_text(void **state)
{
	(void)state;
	write_file("u", "http://b");
	assert_string_equal(diff("[live]\npass = hunter2\n", "[live]\npass = hunter3\n"), "live pass: *** -> ***\n");
	assert_string_equal(diff("[live]\n", "[live]\npass = hunter3\n"), "live pass:  -> ***\n");
	assert_string_equal(diff("[live]\npass = hunter2\n", "[live]\n"), "live pass: *** -> \n");
	assert_string_equal(diff("[live]\n", "[live]\nurl = @u\n"), "live url: http://a -> ***\n"); /* read by @: hidden too */
	assert_string_equal(diff("[live]\nurl = http://b\n", "[live]\nurl = @u\n"), "");
}

static void a_file_that_changed_under_the_same_name_has_a_note(void **state)
{
	static const char text[] = "[live]\npass = @pass\nkeys_file = keys\nca_file = ca\n";
	char want[512];

	(void)state;
	write_file("pass", "one");
	write_file("keys", "one");
	write_file("ca", "one");
	load_clean(text);
	keep();
	write_file("pass", "two");
	write_file("keys", "two");
	load_clean(text);
	memset(&told, 0, sizeof(told));
	chi_conf_diff(was, t.conf, tell, NULL);
	snprintf(want, sizeof(want),
		"live pass: *** -> ***; the file has changed\nlive keys_file: %s -> %s reload; the file has changed\n", path_of("keys"),
		path_of("keys"));
	assert_string_equal(told.text, want);
	keep(); /* another name tells enough */
	write_file("more", "three");
	load_clean("[live]\npass = @more\nkeys_file = more\nca_file = ca\n");
	memset(&told, 0, sizeof(told));
	chi_conf_diff(was, t.conf, tell, NULL);
	snprintf(want, sizeof(want), "live pass: *** -> ***\nlive keys_file: %s -> %s reload\n", path_of("keys"), path_of("more"));
	assert_string_equal(told.text, want);
}

/* ---- what takes a restart ---- */

static void what_a_running_server_keeps_is_named_by_its_key(void **state)
{
	static const struct { const char *section, *key, *value; } keys[] = {
		{ "server", "profile", "ci" }, { "server", "state_dir", "/x" }, { "server", "listen", "127.0.0.1:1" },
		{ "server", "status_listen", "127.0.0.1:1" }, { "server", "admin_listen", "127.0.0.1:1" }, { "server", "control", "c" },
		{ "server", "workers", "3" }, { "server", "plugin_dir", "/x" }, { "server", "user", "x" },
		{ "server", "offload_threads", "3" }, { "server", "max_metric_series", "2000" }, { "server", "core_dumps", "yes" },
		{ "log", "target", "stdout" }, { "log", "format", "text" }, { "live", "port", "81" },
	};
	char text[128], want[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text), "[live]\n[%s]\n%s = %s\n", keys[i].section, keys[i].key, keys[i].value);
		snprintf(want, sizeof(want), "%s.%s", keys[i].section, keys[i].key);
		diff("[live]\n", text);
		assert_string_equal(told.restart, want);
		diff(text, "[live]\n"); /* a key taken away is a change of that key */
		assert_string_equal(told.restart, want);
	}
}

static void every_other_key_of_the_server_is_applied_on_reload(void **state)
{
	const struct ch_plugin *const sections[] = { &chi_server_section, &chi_log_section };
	size_t i, k, restart = 0;

	(void)state;
	for (i = 0; i < 2; i++) {
		const struct ch_option *o = sections[i]->options.rows;

		for (k = 0; k < sections[i]->options.n; k++) {
			unsigned f = o[k].flags & (CH_O_RELOAD | CH_O_RESTART);

			assert_true(f == CH_O_RELOAD || f == CH_O_RESTART);
			restart += f == CH_O_RESTART;
		}
	}
	assert_int_equal(restart, 14); /* those above, less the plugin's */
	diff("[live]\n", "[server]\ndrain_delay = 1s\ntrusted_proxies = 10.0.0.0/8\nhook_budget = 2ms\n[live]\nlimit = 2\n");
	assert_string_equal(told.restart, "");
}

static void the_cause_is_named_and_not_what_follows_from_it(void **state)
{
	(void)state;
	/* by hand: control and drain_delay have other defaults in dev; control stands before profile */
	assert_string_equal(diff("[server]\nprofile = prod\nstate_dir = /s\n", "[server]\nprofile = dev\nstate_dir = /s\n"),
		"server control: " CHIMERA_RUN_DIR "/control.sock -> /s/control.sock restart\n"
		"server profile: prod -> dev restart\n"
		"server drain_delay: 5s -> 0s reload\n");
	assert_string_equal(told.restart, "server.profile");
	diff("[server]\nstate_dir = /s\ncontrol = c\n", "[server]\nstate_dir = /t\ncontrol = c\n");
	assert_non_null(strstr(told.text, "server control: /s/c -> /t/c restart\n"));
	assert_string_equal(told.restart, "server.state_dir");
	t.env[0] = "STATE_DIRECTORY=/s"; /* only a default has changed: better named than nothing */
	load_clean("");
	keep();
	t.env[0] = "STATE_DIRECTORY=/t";
	load_clean("");
	memset(&told, 0, sizeof(told));
	chi_conf_diff(was, t.conf, tell, NULL);
	assert_string_equal(told.restart, "server.state_dir");
	assert_false(told.restart_written);
}

/* ---- tables and books ---- */

static void print_text(FILE *f)
{
	chi_conf_options(&live, f, false);
}

static void print_json(FILE *f)
{
	chi_conf_options(&live, f, true);
}

static void print_man(FILE *f)
{
	static const struct ch_plugin *const all[] = { &live };

	chi_conf_man(all, 1, f);
}

/* What stands from `key` on says all of it before `end`. */
static void holds(const char *book, const char *key, const char *end_of_key, const char *want)
{
	const char *at = strstr(book, key), *stop = at ? strstr(at, end_of_key) : NULL, *found = at ? strstr(at, want) : NULL;

	if (!stop || !found || found > stop)
		fail_msg("\"%s\" is not behind \"%s\" in: %s", want, key, book);
}

static void books_tell_what_a_reload_does_with_a_key(void **state)
{
	char *d = caught(print_text);

	(void)state;
	holds(d, "  limit ", "\n", "; applied on reload");
	holds(d, "  port ", "\n", "; takes a restart");
	holds(d, "  ca_file ", "\n", "; file is watched");
	free(d);
	d = caught(print_json);
	holds(d, "\"name\":\"limit\"", "}", "\"reload\":true,\"restart\":false,\"watch\":false");
	holds(d, "\"name\":\"port\"", "}", "\"reload\":false,\"restart\":true,\"watch\":false");
	holds(d, "\"name\":\"keys_file\"", "}", "\"reload\":true,\"restart\":false,\"watch\":true");
	free(d);
	d = caught(print_man);
	holds(d, ".B limit\n", ".TP", "\n.br\nApplied on reload.\n");
	holds(d, ".B port\n", ".TP", "\n.br\nA change takes a restart.\n");
	holds(d, ".B ca_file\n", ".TP", "\n.br\nThe file is watched: when it changes, the configuration is reloaded.\n");
	free(d);
}

static void budget_and_interval_have_their_bounds(void **state)
{
	(void)state;
	load_clean("");
	assert_int_equal(t.conf->server->hook_budget, 5);
	assert_int_equal(t.conf->server->watch_interval, 500);
	load_clean("[server]\nhook_budget = 0\nwatch_interval = 100ms\n");
	assert_int_equal(t.conf->server->hook_budget, 0);
	assert_int_equal(t.conf->server->watch_interval, 100);
	load_clean("[server]\nwatch_interval = off\n");
	assert_int_equal(t.conf->server->watch_interval, -1);
	load_wrong("[server]\nwatch_interval = 99ms\n", "[server] watch_interval = 99ms: is out of bounds");
	load_wrong("[server]\nhook_budget = off\n", "[server] hook_budget = off");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(the_options_that_differ_decide),
		T(where_a_value_comes_from_does_not_count),
		T(rows_may_come_go_and_move_only_if_all_their_options_may_change),
		T(options_of_rows_count_like_those_of_the_instance),
		T(what_a_file_holds_is_part_of_the_value),
		T(a_config_lives_as_long_as_one_owner_has_it),
		T(equal_configs_have_no_difference),
		T(changes_come_in_the_order_of_the_new_config),
		T(keys_of_rows_are_told_with_their_row),
		T(another_order_is_told_once_by_the_first_that_moved),
		T(an_id_may_pass_to_another_plugin),
		T(secrets_are_told_without_their_text),
		T(a_file_that_changed_under_the_same_name_has_a_note),
		T(what_a_running_server_keeps_is_named_by_its_key),
		T(every_other_key_of_the_server_is_applied_on_reload),
		T(the_cause_is_named_and_not_what_follows_from_it),
		T(books_tell_what_a_reload_does_with_a_key),
		T(budget_and_interval_have_their_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
