/* SPDX-License-Identifier: Apache-2.0 */
/* A reload: which instances go on, which get a successor, which are told of new values, and that a config which fails changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sdk/test/harness.h"

/* ---- plugins that say what is done with them ---- */

static char said[4096];
static const char *fails; /* the id whose start fails */

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
	strncat(said, " ", sizeof(said) - strlen(said) - 1);
}

struct conf {
	int64_t fixed, live;
	struct ch_svcs links;
	const char *file;
};
struct user_conf {
	int64_t fixed;
	const struct ch_svc *thing;
};
struct row_conf { int64_t n; };
struct many_conf { struct ch_svcs things; };

/* Each instance has a number, the how many-th it is of all; its id and number name it. */
struct state { int number; };
static int born;

static const char *name(const struct ch_self *s)
{
	static char text[4][64];
	static unsigned turn;
	char *p = text[turn++ % 4];

	snprintf(p, sizeof(text[0]), "%s%d", s->id, ((struct state *)s->state)->number);
	return p;
}

static int on_start(struct ch_self *self, const struct ch_self *prev)
{
	((struct state *)self->state)->number = ++born;
	say("start(%s%s%s)", name(self), prev ? "," : "", prev ? name(prev) : "");
	if (fails && !strcmp(fails, self->id)) {
		ch_log(self, NULL, CH_ERR, "not today");
		return CH_ERROR;
	}
	return CH_OK;
}

static void on_adopt(struct ch_self *self, struct ch_self *prev)
{
	say("adopt(%s,%s)", name(self), name(prev));
}

static void on_reload(struct ch_self *self, const struct ch_self *fresh)
{
	const struct conf *was = self->conf, *now = fresh->conf;

	assert_string_equal(fresh->id, self->id);
	assert_ptr_not_equal(fresh, self);
	say("reload(%s:%lld->%lld", name(self), (long long)was->live, (long long)now->live);
	for (size_t i = 0; i < fresh->nrows; i++)
		say("%s=%lld", fresh->rows[i].name, (long long)((const struct row_conf *)fresh->rows[i].conf)->n);
	assert_int_equal(was->links.n, now->links.n);
	for (size_t i = 0; i < now->links.n; i++)
		assert_ptr_equal(was->links.v[i], now->links.v[i]);
	said[strlen(said) - 1] = 0;
	say(")");
}

static void on_retire(struct ch_self *self)
{
	say("retire(%s)", name(self));
}

static void on_stop(struct ch_self *self)
{
	say("stop(%s)", name(self));
}

static int on_loop_start(struct ch_self *self, struct ch_loop *l)
{
	assert_null(*ch_loop_state(self, l));
	*ch_loop_state(self, l) = self;
	say("loop%u(%s)", ch_loop_index(l), name(self));
	return CH_OK;
}

static void on_loop_adopt(struct ch_self *self, struct ch_self *prev, struct ch_loop *l)
{
	assert_ptr_equal(*ch_loop_state(prev, l), prev);
	assert_ptr_equal(*ch_loop_state(self, l), self);
	say("loop_adopt%u(%s,%s)", ch_loop_index(l), name(self), name(prev));
}

static void on_loop_stop(struct ch_self *self, struct ch_loop *l)
{
	assert_ptr_equal(*ch_loop_state(self, l), self);
	say("loop_stop%u(%s)", ch_loop_index(l), name(self));
}

static ch_ticket held;

static int heard(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", "held", 4) : CH_DONE;
}

static int on_hold(struct ch_self *self, struct ch_ctx *c)
{
	*ch_slot(self, c) = self;
	held = ch_suspend(c, 0, heard, self);
	return CH_AGAIN;
}

static int on_who(struct ch_self *self, struct ch_ctx *c)
{
	const char *text = name(self);

	assert_null(*ch_slot(self, c));
	*ch_slot(self, c) = self;
	return ch_respond(c, 200, "text/plain", text, strlen(text));
}

static void count(void *data, const struct ch_instance *i)
{
	(void)i;
	++*(int *)data;
}

static const struct ch_option options[] = {
	CH_OPT(struct conf, fixed, INT, .help = "What takes a new instance"),
	CH_OPT(struct conf, live, INT, .flags = CH_O_RELOAD, .help = "What does not"),
	CH_OPT(struct conf, links, SERVICES, .flags = CH_O_RELOAD, .iface = "link/1", .help = "Whom it uses"),
	CH_OPT(struct conf, file, PATH, .flags = CH_O_WATCH, .help = "A file that it reads"),
};
static const struct ch_option auto_options[] = {
	CH_OPT(struct user_conf, fixed, INT, .help = "What takes a new instance"),
	CH_OPT(struct user_conf, thing, SERVICE, .def = "auto", .iface = "thing/1", .help = "Whom it uses"),
};
static const struct ch_option row_options[] = { CH_OPT(struct row_conf, n, INT, .flags = CH_O_RELOAD, .help = "A number") };
static const struct ch_option many_options[] = { CH_OPT(struct many_conf, things, SERVICES, .def = "*", .iface = "thing/1",
	.help = "All") };
static const size_t vtable[] = { sizeof(size_t) };
static const struct ch_provide low[] = { { .iface = "thing/1", .vt = vtable, .rank = 1 }, { .iface = "link/1", .vt = vtable } };
static const struct ch_provide high[] = { { .iface = "thing/1", .vt = vtable, .rank = 2 } };
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/hold", .fn = on_hold },
	{ .method = "GET", .pattern = "/who", .fn = on_who } };

#define BASE(what) .size = sizeof(struct ch_plugin), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = #what, .version = "0", \
	.summary = "For carrying", .state_size = sizeof(struct state), .start = on_start, .adopt = on_adopt, .retire = on_retire, \
	.stop = on_stop, .loop_start = on_loop_start, .loop_adopt = on_loop_adopt, .loop_stop = on_loop_stop
#define PLUGIN(what, ...) \
	static const struct ch_plugin what##_plugin = { BASE(what), __VA_ARGS__ }; \
	static const struct ch_plugin *what##_entry(const struct ch_host *host) \
	{ \
		(void)host; \
		return &what##_plugin; \
	}

PLUGIN(low, .conf_size = sizeof(struct conf), .options = CH_TABLE(options), .row_options = CH_TABLE(row_options),
       .row_conf_size = sizeof(struct row_conf), .provides = CH_TABLE(low), .reload = on_reload)
PLUGIN(high, .conf_size = sizeof(struct conf), .options = CH_TABLE(options), .provides = CH_TABLE(high), .reload = on_reload)
PLUGIN(stiff, .conf_size = sizeof(struct conf), .options = CH_TABLE(options), .provides = CH_TABLE(low)) /* has no reload() */
PLUGIN(user, .conf_size = sizeof(struct user_conf), .options = CH_TABLE(auto_options), .routes = CH_TABLE(routes))
PLUGIN(quiet, .conf_size = sizeof(struct user_conf), .options = CH_TABLE(auto_options))
PLUGIN(many, .conf_size = sizeof(struct many_conf), .options = CH_TABLE(many_options))

static struct ch_test *begin(const char *ini)
{
	static const ch_plugin_entry all[] = { low_entry, high_entry, stiff_entry, user_entry, quiet_entry, many_entry };
	struct ch_test *t = ch_test_new();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		ch_test_plugin(t, all[i]);
	born = 0;
	fails = NULL;
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	said[0] = 0;
	return t;
}

/* A reload: what was said meanwhile, and whether it was taken. */
static void reload(struct ch_test *t, const char *ini)
{
	said[0] = 0;
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
}

static void becomes(const char *first, const char *second, const char *expected)
{
	struct ch_test *t = begin(first);

	reload(t, second);
	assert_string_equal(said, expected);
	ch_test_free(t);
}

#define REPLACED(id, new, old) \
	"start(" id new "," id old ") adopt(" id new "," id old ") " \
	"loop0(" id new ") loop_adopt0(" id new "," id old ") loop_stop0(" id old ") " \
	"loop1(" id new ") loop_adopt1(" id new "," id old ") loop_stop1(" id old ") retire(" id old ") stop(" id old ") "

/* ---- what goes on ---- */

static void what_is_the_same_goes_on_and_hears_nothing(void **state)
{
	struct ch_test *t = begin("[low]\nlive = 1\n[low.a]\nn = 1\n[user]\n");
	struct ch_self *low_self = ch_test_self(t, "low"), *user_self = ch_test_self(t, "user");

	(void)state;
	for (int i = 0; i < 20; i++) {
		reload(t, i % 2 ? "[low]\nlive = 1\n[low.a]\nn = 1\n[user]\n"
		                : "# a comment\n[low]\n  live   =   1\n[low.a]\nn = 1\n\n[user]\n");
		assert_string_equal(said, "");
		assert_ptr_equal(ch_test_self(t, "low"), low_self);
		assert_ptr_equal(ch_test_self(t, "user"), user_self);
	}
	assert_string_equal(ch_test_request(t, "GET", "/who", NULL, NULL, 0)->body, "user2");
	assert_int_equal(t->ngens, 1);
	said[0] = 0;
	ch_test_free(t);
	assert_string_equal(said,
		"loop_stop0(user2) loop_stop0(low1) loop_stop1(user2) loop_stop1(low1) retire(user2) stop(user2) retire(low1) stop(low1) ");
}

static void a_changed_section_is_a_new_instance(void **state)
{
	(void)state;
	becomes("[low]\n", "[low]\nfixed = 1\n", REPLACED("low", "2", "1"));
	becomes("[low]\nfixed = 1\n", "[low]\n", REPLACED("low", "2", "1"));
}

static void only_what_changed_is_replaced(void **state)
{
	(void)state;
	becomes("[low]\n[high]\n[stiff]\n", "[low]\n[high]\nfixed = 1\n[stiff]\n", REPLACED("high", "4", "2"));
	becomes("[low]\n[user]\n", "[low]\n[user]\nfixed = 1\n", REPLACED("user", "3", "2"));
}

static void a_removed_section_is_retired_and_one_that_comes_back_is_new(void **state)
{
	struct ch_test *t = begin("[low]\n[stiff]\n");

	(void)state;
	reload(t, "[low]\n");
	assert_string_equal(said, "loop_stop0(stiff2) loop_stop1(stiff2) retire(stiff2) stop(stiff2) ");
	assert_null(ch_test_self(t, "stiff"));
	reload(t, "[low]\n[stiff]\n");
	assert_string_equal(said, "start(stiff3) loop0(stiff3) loop1(stiff3) ");
	ch_test_free(t);
}

static void a_section_that_became_another_plugins_has_no_predecessor(void **state)
{
	(void)state;
	becomes("[low:a]\n", "[high:a]\n", "start(a2) loop0(a2) loop_stop0(a1) loop1(a2) loop_stop1(a1) retire(a1) stop(a1) ");
}

static void the_order_of_sections_is_nobodys_change(void **state)
{
	(void)state;
	becomes("[low]\n[high]\n[user]\n", "[user]\n[high]\n[low]\n", "");
}

static void a_variable_of_the_environment_counts_as_the_section(void **state)
{
	struct ch_test *t = begin("[low]\n[high]\n");

	(void)state;
	ch_test_env(t, "CHIMERA__LOW__FIXED=7");
	reload(t, "[low]\n[high]\n");
	assert_string_equal(said, REPLACED("low", "3", "1"));
	assert_int_equal(((const struct conf *)ch_test_self(t, "low")->conf)->fixed, 7);
	ch_test_free(t);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void a_watched_file_with_other_bytes_is_a_change(void **state)
{
	char path[] = "/tmp/chimera-carry-XXXXXX", ini[256];
	int fd = mkstemp(path);
	struct ch_test *t;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path, "one");
	snprintf(ini, sizeof(ini), "[low]\nfile = %s\n[high]\n", path);
	t = begin(ini);
	write_file(path, "one"); /* written, and the same */
	reload(t, ini);
	assert_string_equal(said, "");
	write_file(path, "two");
	reload(t, ini);
	assert_string_equal(said, REPLACED("low", "3", "1"));
	unlink(path);
	ch_test_free(t);
}

/* ---- RELOAD keys ---- */

static void a_reload_key_is_told_and_nothing_is_replaced(void **state)
{
	struct ch_test *t = begin("[low]\nlive = 1\n[user]\n");
	struct ch_self *self = ch_test_self(t, "low");

	(void)state;
	reload(t, "[low]\nlive = 2\n[user]\n");
	assert_string_equal(said, "reload(low1:1->2) ");
	assert_ptr_equal(ch_test_self(t, "low"), self);
	assert_int_equal(((const struct conf *)self->conf)->live, 1); /* its own never changes */
	reload(t, "[low]\nlive = 2\n[user]\n");
	assert_string_equal(said, ""); /* compared with the config before, not with that of its birth */
	reload(t, "[low]\nlive = 1\n[user]\n");
	assert_string_equal(said, "reload(low1:1->1) ");
	ch_test_free(t);
}

static void rows_of_reload_keys_are_told_too(void **state)
{
	struct ch_test *t = begin("[low]\n[low.a]\nn = 1\n");

	(void)state;
	reload(t, "[low]\n[low.a]\nn = 5\n[low.b]\nn = 6\n");
	assert_string_equal(said, "reload(low1:0->0 a=5 b=6) ");
	reload(t, "[low]\n");
	assert_string_equal(said, "reload(low1:0->0) ");
	ch_test_free(t);
}

static void a_reload_key_beside_a_fixed_one_is_a_new_instance(void **state)
{
	(void)state;
	becomes("[low]\n", "[low]\nlive = 2\nfixed = 1\n", REPLACED("low", "2", "1"));
}

static void without_reload_a_reload_key_is_a_new_instance(void **state)
{
	(void)state;
	becomes("[stiff]\n", "[stiff]\nlive = 2\n", REPLACED("stiff", "2", "1"));
}

/* ---- bindings ---- */

static const struct ch_svc *bound(struct ch_test *t, const char *id)
{
	return ((const struct user_conf *)ch_test_self(t, id)->conf)->thing;
}

static const struct ch_svc *linked(struct ch_test *t, const char *id)
{
	return ((const struct conf *)ch_test_self(t, id)->conf)->links.v[0];
}

static void a_replaced_provider_replaces_its_users(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\nthing = low\n[low:apart]\n[quiet]\nthing = apart\n");
	struct ch_self *apart = ch_test_self(t, "apart"), *quiet = ch_test_self(t, "quiet");

	(void)state;
	reload(t, "[low]\nfixed = 1\n[user]\nthing = low\n[low:apart]\n[quiet]\nthing = apart\n");
	assert_string_equal(said, "start(low5,low1) start(user6,user2) adopt(low5,low1) adopt(user6,user2) "
		"loop0(low5) loop_adopt0(low5,low1) loop0(user6) loop_adopt0(user6,user2) loop_stop0(user2) loop_stop0(low1) "
		"loop1(low5) loop_adopt1(low5,low1) loop1(user6) loop_adopt1(user6,user2) loop_stop1(user2) loop_stop1(low1) "
		"retire(user2) retire(low1) stop(user2) stop(low1) ");
	assert_ptr_equal(bound(t, "user")->self, ch_test_self(t, "low"));
	assert_ptr_equal(ch_test_self(t, "apart"), apart);
	assert_ptr_equal(ch_test_self(t, "quiet"), quiet);
	ch_test_free(t);
}

static void a_provider_that_goes_on_keeps_its_users(void **state)
{
	struct ch_test *t = begin("[low]\nlive = 1\n[user]\n");

	(void)state;
	reload(t, "[low]\nlive = 2\n[user]\n"); /* told, not replaced */
	assert_string_equal(said, "reload(low1:1->2) ");
	assert_ptr_equal(bound(t, "user")->self, ch_test_self(t, "low"));
	ch_test_free(t);
}

static void a_user_that_changes_is_bound_to_the_provider_that_goes_on(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\n");
	struct ch_self *low_self = ch_test_self(t, "low");

	(void)state;
	reload(t, "[low]\n[user]\nfixed = 1\n");
	assert_string_equal(said, REPLACED("user", "3", "2"));
	assert_ptr_equal(bound(t, "user")->self, low_self);
	assert_string_equal(bound(t, "user")->id, "low");
	ch_test_free(t);
}

static void a_better_provider_replaces_who_asked_for_the_best(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\n[quiet:named]\nthing = low\n");

	(void)state;
	reload(t, "[low]\n[user]\n[quiet:named]\nthing = low\n[high]\n");
	assert_string_equal(bound(t, "user")->id, "high");
	assert_string_equal(bound(t, "named")->id, "low");
	assert_non_null(strstr(said, "start(high4) "));
	assert_non_null(strstr(said, "adopt(user5,user2) "));
	assert_null(strstr(said, "named"));
	assert_null(strstr(said, "low"));
	ch_test_free(t);
}

static void a_list_of_all_providers_follows_them(void **state)
{
	struct ch_test *t = begin("[low]\n[many]\n");

	(void)state;
	reload(t, "[low]\n[many]\n[stiff]\n");
	assert_non_null(strstr(said, "adopt(many4,many2) "));
	assert_int_equal(((const struct many_conf *)ch_test_self(t, "many")->conf)->things.n, 2);
	reload(t, "[low]\n[stiff]\n[many]\n"); /* the same two, in another order */
	assert_int_equal(((const struct many_conf *)ch_test_self(t, "many")->conf)->things.n, 2);
	assert_string_equal(((const struct many_conf *)ch_test_self(t, "many")->conf)->things.v[0]->id, "low");
	ch_test_free(t);
}

static void a_reload_key_that_binds_to_another_is_a_new_instance(void **state)
{
	struct ch_test *t = begin("[low:a]\nlinks = b\n[low:b]\n[low:c]\n");

	(void)state;
	reload(t, "[low:a]\nlinks = c\n[low:b]\n[low:c]\n");
	assert_string_equal(said, REPLACED("a", "4", "2")); /* b was the first: providers start before their users */
	assert_string_equal(linked(t, "a")->id, "c");
	ch_test_free(t);
}

static void a_chain_of_users_is_replaced_from_its_first_link(void **state)
{
	struct ch_test *t = begin("[low:a]\nlinks = b\n[low:b]\nlinks = c\n[low:c]\n[low:d]\n");
	struct ch_self *d = ch_test_self(t, "d");

	(void)state;
	reload(t, "[low:a]\nlinks = b\n[low:b]\nlinks = c\n[low:c]\nfixed = 1\n[low:d]\n");
	assert_non_null(strstr(said, "start(c5,c1) start(b6,b2) start(a7,a3) adopt(c5,c1) adopt(b6,b2) adopt(a7,a3) "));
	assert_non_null(strstr(said, "retire(a3) retire(b2) retire(c1) stop(a3) stop(b2) stop(c1) "));
	assert_ptr_equal(ch_test_self(t, "d"), d);
	reload(t, "[low:a]\nlinks = b\n[low:b]\nlinks = c\nfixed = 1\n[low:c]\nfixed = 1\n[low:d]\n");
	assert_null(strstr(said, "(c"));
	assert_non_null(strstr(said, "start(b8,b6) start(a9,a7) adopt(b8,b6) adopt(a9,a7) "));
	assert_ptr_equal(linked(t, "a")->self, ch_test_self(t, "b"));
	assert_ptr_equal(linked(t, "b")->self, ch_test_self(t, "c"));
	ch_test_free(t);
}

static void a_reload_key_below_a_replaced_provider_is_no_reload(void **state)
{
	struct ch_test *t = begin("[low:a]\nlinks = b\n[low:b]\n");

	(void)state;
	reload(t, "[low:a]\nlinks = b\nlive = 1\n[low:b]\nfixed = 1\n");
	assert_null(strstr(said, "reload("));
	assert_non_null(strstr(said, "adopt(b3,b1) adopt(a4,a2) "));
	assert_int_equal(((const struct conf *)ch_test_self(t, "a")->conf)->live, 1);
	ch_test_free(t);
}

/* ---- what fails changes nothing ---- */

static void refused(struct ch_test *t, const char *ini, const char *why, const char *expected)
{
	uint64_t generation = ch_test_server(t)->generation;
	struct chi_gen *g = t->gen;

	said[0] = 0;
	ch_test_config(t, ini);
	assert_false(ch_test_start(t));
	if (!strstr(ch_test_errors(t), why))
		fail_msg("\"%s\" is not in\n%s", why, ch_test_errors(t));
	assert_string_equal(said, expected);
	assert_ptr_equal(t->gen, g);
	assert_int_equal(ch_test_server(t)->generation, generation);
}

static void a_start_that_fails_stops_what_was_started_and_nothing_else(void **state)
{
	static const char first[] = "[low]\nlive = 1\n[high]\n[user]\n[stiff]\n";
	static const char second[] = "[low]\nlive = 2\n[high]\nfixed = 1\n[user]\n[stiff]\nfixed = 1\n";
	struct ch_test *t = begin(first);
	struct ch_self *high_self = ch_test_self(t, "high"), *user_self = ch_test_self(t, "user");

	(void)state;
	fails = "stiff";
	refused(t, second, "[stiff] did not start", "start(high5,high2) start(user6,user3) start(stiff7,stiff4) stop(user6) stop(high5) ");
	assert_ptr_equal(ch_test_self(t, "high"), high_self);
	assert_ptr_equal(ch_test_self(t, "user"), user_self);
	assert_ptr_equal(bound(t, "user")->self, high_self);
	assert_string_equal(ch_test_request(t, "GET", "/who", NULL, NULL, 0)->body, "user3");
	reload(t, first);
	assert_string_equal(said, "");
	fails = NULL;
	reload(t, second);
	assert_non_null(strstr(said, "adopt(high8,high2) "));
	assert_non_null(strstr(said, "reload(low1:1->2) "));
	assert_non_null(strstr(said, "adopt(stiff10,stiff4) "));
	ch_test_free(t);
}

static void a_config_that_is_wrong_starts_nothing(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\n");

	(void)state;
	refused(t, "[low]\nfixed = 1\n[user]\nthing = nobody\n", "no enabled section has the id 'nobody'", "");
	refused(t, "[low]\nfixed = many\n[user]\n", "fixed", "");
	refused(t, "[low]\nfixed = 1\n[user]\n[nosuch]\n", "nosuch", "");
	refused(t, "[low:a]\nlinks = b\n[low:b]\nlinks = a\n", "use each other", "");
	assert_string_equal(ch_test_request(t, "GET", "/who", NULL, NULL, 0)->body, "user2");
	ch_test_free(t);
}

static void hundreds_of_reloads_that_fail_leave_no_slot_behind(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\n");
	unsigned slots;

	(void)state;
	reload(t, "[low]\nfixed = 1\n[user]\n");
	slots = t->gen->nslots;
	for (int i = 0; i < 300; i++) {
		fails = i % 3 ? "user" : NULL;
		ch_test_config(t, i % 3 == 1 ? "[low]\nfixed = 2\n[user]\nfixed = 1\n" : i % 3 ? "[low]\nfixed = 1\n[user]\nthing = x\n" :
			i % 2 ? "[low]\nfixed = 1\n[user]\n" : "[low]\nfixed = 3\n[user]\n");
		assert_int_equal(ch_test_start(t), i % 3 == 0);
	}
	assert_true(t->gen->nslots <= 2 * slots);
	ch_test_free(t);
}

/* ---- while requests run ---- */

static void resume(void *data)
{
	(void)data;
	ch_resume(held, NULL, NULL);
}

static void what_a_request_holds_is_stopped_when_it_ends(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\n");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/hold", NULL, NULL, 0);

	(void)state;
	reload(t, "[low]\n[user]\nfixed = 1\n");
	assert_string_equal(said, "start(user3,user2) adopt(user3,user2) loop0(user3) loop_adopt0(user3,user2) "
		"loop1(user3) loop_adopt1(user3,user2) loop_stop1(user2) retire(user2) ");
	said[0] = 0;
	assert_string_equal(ch_test_request(t, "GET", "/who", NULL, NULL, 0)->body, "user3");
	ch_test_on_loop(t, resume, NULL);
	assert_string_equal(a->body, "held");
	assert_string_equal(said, "loop_stop0(user2) stop(user2) ");
	ch_test_free(t);
}

static void walk_of_held(void *self)
{
	int n = 0;

	ch_instances_walk(self, count, &n);
	assert_true(n == 2 || n == 3);
}

static void an_old_instance_may_ask_who_is_there(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\n");
	struct ch_self *first = ch_test_self(t, "user");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/hold", NULL, NULL, 0); /* holds the first config */

	(void)state;
	reload(t, "[low]\n[user]\n[quiet]\n");           /* carries user: the second config has it, too … */
	reload(t, "[low]\n[user]\nfixed = 1\n[quiet]\n"); /* … and goes first */
	assert_int_equal(t->ngens, 2);
	ch_test_on_loop(t, walk_of_held, first);
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	ch_test_free(t);
}

static void what_two_configs_share_stops_with_the_last_of_them(void **state)
{
	struct ch_test *t = begin("[low]\n[user]\n");
	struct ch_test_answer *a = ch_test_request(t, "GET", "/hold", NULL, NULL, 0);

	(void)state;
	reload(t, "[low]\n[user]\nfixed = 1\n"); /* low is carried, user2 held */
	reload(t, "[low]\nfixed = 1\n[user]\nfixed = 1\n");
	assert_null(strstr(said, "stop(low1)"));
	assert_non_null(strstr(said, " stop(user3)"));
	said[0] = 0;
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	assert_string_equal(said, "loop_stop0(user2) loop_stop0(low1) stop(user2) stop(low1) ");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_the_same_goes_on_and_hears_nothing),
		cmocka_unit_test(a_changed_section_is_a_new_instance),
		cmocka_unit_test(only_what_changed_is_replaced),
		cmocka_unit_test(a_removed_section_is_retired_and_one_that_comes_back_is_new),
		cmocka_unit_test(a_section_that_became_another_plugins_has_no_predecessor),
		cmocka_unit_test(the_order_of_sections_is_nobodys_change),
		cmocka_unit_test(a_variable_of_the_environment_counts_as_the_section),
		cmocka_unit_test(a_watched_file_with_other_bytes_is_a_change),
		cmocka_unit_test(a_reload_key_is_told_and_nothing_is_replaced),
		cmocka_unit_test(rows_of_reload_keys_are_told_too),
		cmocka_unit_test(a_reload_key_beside_a_fixed_one_is_a_new_instance),
		cmocka_unit_test(without_reload_a_reload_key_is_a_new_instance),
		cmocka_unit_test(a_replaced_provider_replaces_its_users),
		cmocka_unit_test(a_provider_that_goes_on_keeps_its_users),
		cmocka_unit_test(a_user_that_changes_is_bound_to_the_provider_that_goes_on),
		cmocka_unit_test(a_better_provider_replaces_who_asked_for_the_best),
		cmocka_unit_test(a_list_of_all_providers_follows_them),
		cmocka_unit_test(a_reload_key_that_binds_to_another_is_a_new_instance),
		cmocka_unit_test(a_chain_of_users_is_replaced_from_its_first_link),
		cmocka_unit_test(a_reload_key_below_a_replaced_provider_is_no_reload),
		cmocka_unit_test(a_start_that_fails_stops_what_was_started_and_nothing_else),
		cmocka_unit_test(a_config_that_is_wrong_starts_nothing),
		cmocka_unit_test(hundreds_of_reloads_that_fail_leave_no_slot_behind),
		cmocka_unit_test(what_a_request_holds_is_stopped_when_it_ends),
		cmocka_unit_test(an_old_instance_may_ask_who_is_there),
		cmocka_unit_test(what_two_configs_share_stops_with_the_last_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
