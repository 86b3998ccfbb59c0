/* SPDX-License-Identifier: MIT */
/* `migrate` and `schema` as an adapter has them: a plugin over a SQLite file, in the harness. */
#include "test_migrate.h"

#include <chimera/test.h>

/* ---- the adapter ---- */

struct conf { int migrate; const char *migrations; };
struct state { struct ch_migrate_status last; unsigned opened, closed; };

static bool open_lite(struct ch_self *self, struct ch_migrate_engine *out, struct ch_migrate_error *error)
{
	struct state *s = self->state;
	char path[300];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/test.db", folder);
	if (sqlite3_open(path, &db) || sqlite3_exec(db, "SELECT 1 FROM sqlite_master", NULL, NULL, NULL)) {
		ch_migrate_fail(error, "%s: %s", path, sqlite3_errmsg(db));
		sqlite3_close(db);
		return false;
	}
	*out = lite(db);
	s->opened++;
	return true;
}

static void close_lite(struct ch_self *self, struct ch_migrate_engine *e)
{
	struct state *s = self->state;

	sqlite3_close(e->arg);
	s->closed++;
}

static const char *dir_of(struct ch_self *self)
{
	return ((const struct conf *)self->conf)->migrations;
}

static void on_changed(struct ch_self *self, const struct ch_migrate_status *status)
{
	struct state *s = self->state;

	s->last = *status;
	ch_migrate_tell(self, 1, status);
}

static const struct ch_migrate_adapter adapter = {
	.engine = "sqlite", .open = open_lite, .close = close_lite, .dir = dir_of, .changed = on_changed
};

static int on_migrate(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return ch_migrate_command(self, c, argc, argv, &adapter);
}

static int on_schema(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return ch_schema_command(self, c, argc, argv, &adapter);
}

static const struct ch_option options[] = { CH_MIGRATE_OPTIONS(struct conf, "auto") };
static const struct ch_metric metrics[] = { { .name = "store_total", .kind = CH_COUNTER, .help = "Something else" }, CH_MIGRATE_METRICS };
static const struct ch_command commands[] = { CH_MIGRATE_COMMANDS(on_migrate, on_schema) };
static const struct ch_plugin store = { .size = sizeof(store),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "store",
	.version = "0",
	.summary = "Stores",
	.conf_size = sizeof(struct conf),
	.state_size = sizeof(struct state),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.commands = CH_TABLE(commands) };

static const struct ch_plugin *entry(const struct ch_host *host)
{
	(void)host;
	return &store;
}

/* ---- the tests ---- */

static struct ch_test *t;

static int begin(void **state)
{
	char ini[300];

	if (new_folder(state))
		return -1;
	put_three();
	t = ch_test_new();
	ch_test_plugin(t, entry);
	snprintf(ini, sizeof(ini), "[store]\nmigrations = %s\n", folder);
	ch_test_config(t, ini);
	return ch_test_start(t) ? 0 : -1;
}

static int end(void **state)
{
	struct state *s = ch_test_self(t, "store")->state;

	assert_int_equal(s->opened, s->closed);
	ch_test_free(t);
	return drop_folder(state);
}

#define RUN(...) ch_test_command(t, &text, "store", __VA_ARGS__, NULL)

static void is_in(const char *part, const char *text)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

static void the_whole_way_up_down_and_up(void **state)
{
	struct state *s = ch_test_self(t, "store")->state;
	const char *text;

	(void)state;
	ch_test_server(t)->profile = "dev";
	assert_int_equal(RUN("migrate", "status"), 0);
	is_in("chimera: revision 0 of 2\n  pending 0001_first of chimera\n", text);
	assert_int_equal(RUN("schema", "status"), 1);
	is_in("[store] the schema is not as this version expects it: 3 pending, 0 unknown, 0 changed, 0 drifted", text);
	assert_int_equal(RUN("migrate", "up"), 0);
	is_in("applying 0002_second of chimera\n", text);
	assert_true(ch_migrate_good(&s->last));
	assert_true(ch_test_metric(t, "chimera_schema_revision", "store", "current", NULL) == 2);
	assert_true(ch_test_metric(t, "chimera_schema_revision", "store", "expected", NULL) == 2);
	assert_true(ch_test_metric(t, "chimera_schema_drift", "store", NULL) == 0);
	assert_int_equal(RUN("schema", "status"), 0);
	assert_string_equal(text, "chimera: revision 2 of 2 (0002_second)\nown: revision 1 of 1 (0001_begin)\n");
	assert_int_equal(RUN("schema", "show"), 0);
	is_in("\ntable own_things\n", text);
	assert_int_equal(RUN("migrate", "down", "0"), 0);
	assert_true(ch_test_metric(t, "chimera_schema_revision", "store", "current", NULL) == 0);
	assert_int_equal(RUN("migrate", "up", "1"), 0);
	assert_int_equal(s->last.current, 1);
	assert_int_equal(RUN("migrate", "down", "--owner", "own"), 0);
	assert_int_equal(s->last.pending, 2);
	assert_int_equal(RUN("migrate", "up"), 0);
	assert_true(ch_migrate_good(&s->last));
}

static void down_in_prod_needs_a_yes(void **state)
{
	const char *text;

	(void)state;
	ch_test_server(t)->profile = "prod";
	assert_int_equal(RUN("migrate", "up"), 0);
	assert_int_equal(RUN("migrate", "down", "0"), 1);
	is_in("say --yes behind it", text);
	assert_int_equal(RUN("migrate", "down", "0", "--dry-run"), 0);
	is_in("DROP TABLE a;\n-- a dry run: nothing was changed\n", text);
	assert_int_equal(RUN("schema", "status"), 0);
	assert_int_equal(RUN("migrate", "down", "0", "--yes"), 0);
	assert_int_equal(RUN("schema", "status"), 1);
}

static void what_cannot_be_meant_is_refused_by_its_name(void **state)
{
	const char *text;

	(void)state;
	assert_int_equal(RUN("migrate", "sideways"), 1);
	is_in("'sideways' is none of status, up, down and new", text);
	assert_int_equal(RUN("migrate", "up", "one"), 1);
	is_in("'one' is no revision", text);
	assert_int_equal(RUN("migrate", "up", "1", "2"), 1);
	is_in("'2' cannot stand behind `migrate up`", text);
	assert_int_equal(RUN("migrate", "up", "--yes"), 1);
	is_in("'--yes' cannot stand behind `migrate up`", text);
	assert_int_equal(RUN("migrate", "up", "--owner", "../x"), 1);
	is_in("'../x' is no plugin's name", text);
	assert_int_equal(RUN("migrate", "new"), 1);
	is_in("takes the name of what it does", text);
	assert_int_equal(RUN("schema", "drop"), 1);
	is_in("'drop' is neither status nor show", text);
	assert_int_equal(RUN("migrate", "up", "7"), 1);
	is_in("[store] there is no migration 0007 of chimera", text);
}

static void new_writes_files_and_opens_no_database(void **state)
{
	struct state *s = ch_test_self(t, "store")->state;
	const char *text;

	(void)state;
	assert_int_equal(RUN("migrate", "new", "third"), 0);
	is_in("/sqlite/0003_third.up.sql\n", text);
	assert_int_equal(s->opened, 0);
}

static void a_database_that_cannot_be_opened_is_told(void **state)
{
	const char *text;

	(void)state;
	put("test.db", "This is no database, and long enough to be looked at as one: it has some sixteen bytes and more.");
	assert_int_equal(RUN("migrate", "status"), 1);
	is_in("/test.db: file is not a database", text);
	put("test.db", "");
}

static void a_pool_that_is_full_is_told(void **state)
{
	const char *text;

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	assert_int_equal(RUN("migrate", "up"), 1);
	is_in("too much work waits for a thread", text);
	ch_test_offload(t, CH_TEST_AUTO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_whole_way_up_down_and_up),
		TEST(down_in_prod_needs_a_yes),
		TEST(what_cannot_be_meant_is_refused_by_its_name),
		TEST(new_writes_files_and_opens_no_database),
		TEST(a_database_that_cannot_be_opened_is_told),
		TEST(a_pool_that_is_full_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
