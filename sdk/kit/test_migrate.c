/* SPDX-License-Identifier: MIT */
/* The migration engine over SQLite: names of files, the way up and down, what fails, where it stands. The others are tried end to end. */
#include "test_migrate.h"

static struct ch_migrate_error error;
static sqlite3 *db;
static struct ch_migrate_engine engine;

static int begin(void **state)
{
	if (new_folder(state) || sqlite3_open(":memory:", &db))
		return -1;
	engine = lite(db);
	*said = *error.text = '\0';
	return 0;
}

static int end(void **state)
{
	sqlite3_close(db);
	return drop_folder(state);
}

static bool up(int to)
{
	*said = '\0';
	return ch_migrate_up(&engine, folder, NULL, to, 0, &report, &error);
}

static bool down(int to)
{
	*said = '\0';
	return ch_migrate_down(&engine, folder, NULL, to, 0, &report, &error);
}

static struct ch_migrate_status look(void)
{
	struct ch_migrate_status s;

	*said = '\0';
	if (!ch_migrate_status(&engine, folder, &report, &s, &error))
		fail_msg("%s", error.text);
	return s;
}

static void is_said(const char *text)
{
	if (!strstr(said, text))
		fail_msg("\"%s\" was not said, but:\n%s", text, said);
}

static void is_wrong(bool ok, const char *text)
{
	assert_false(ok);
	if (!strstr(error.text, text))
		fail_msg("\"%s\" is not in: %s", text, error.text);
}

#define TABLES "SELECT group_concat(name) FROM (SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name)"
#define APPLIED "SELECT group_concat(owner || number) FROM (SELECT owner, number FROM chimera_migrations ORDER BY owner, number)"

/* ---- the folder ---- */

static void names_count_from_1_without_holes_in_pairs(void **state)
{
	(void)state;
	is_wrong(up(CH_MIGRATE_ALL), "/sqlite cannot be read: No such file or directory");
	put("sqlite/0002_b.up.sql", "SELECT 1");
	put("sqlite/0002_b.down.sql", "SELECT 1");
	is_wrong(up(CH_MIGRATE_ALL), "a migration 0002_b and none with the number 0001");
	put("sqlite/0001_a.up.sql", "SELECT 1");
	is_wrong(up(CH_MIGRATE_ALL), "0001_a.down.sql is missing");
	put("sqlite/0001_a.down.sql", "SELECT 1");
	put("sqlite/0002_c.up.sql", "SELECT 1");
	is_wrong(up(CH_MIGRATE_ALL), "two migrations of one number, 0002_b and 0002_c");
	take_away("sqlite/0002_c.up.sql");
	put("sqlite/0003-dash.up.sql", "SELECT 1");
	is_wrong(up(CH_MIGRATE_ALL), "0003-dash.up.sql has no name of a migration");
	take_away("sqlite/0003-dash.up.sql");
	put("sqlite/chimera/0001_a.up.sql", "SELECT 1");
	is_wrong(up(CH_MIGRATE_ALL), "sqlite/chimera is no plugin's folder");
	take_away("sqlite/chimera/0001_a.up.sql");
	take_away("sqlite/chimera");
	put("sqlite/README.md", "Not looked at.");
	put("sqlite/.hidden.sql", "Nor this.");
	assert_true(up(CH_MIGRATE_ALL));
	assert_string_equal(ask(db, APPLIED), "chimera1,chimera2");
}

static void files_that_cannot_be_run_are_refused_before_anything_is(void **state)
{
	(void)state;
	put_three();
	put("sqlite/0002_second.up.sql", "CREATE TABLE b (y TEXT);\nINSERT INTO b VALUES ('x);\n");
	is_wrong(up(CH_MIGRATE_ALL), "0002_second.up.sql: the quoted text that begins in line 2 is never closed");
	put("sqlite/0002_second.up.sql", "CREATE TABLE b (y TEXT);\nCOMMIT;\n");
	is_wrong(up(CH_MIGRATE_ALL), "0002_second.up.sql: statement 2 (line 2: COMMIT) begins or ends a transaction");
	put("sqlite/0002_second.up.sql", "-- What it does, and why.\n");
	is_wrong(up(CH_MIGRATE_ALL), "0002_second.up.sql holds no statement");
	assert_string_equal(ask(db, TABLES), "");
	engine.name = "oracle";
	is_wrong(up(CH_MIGRATE_ALL), "no engine \"oracle\"");
}

/* ---- up and down ---- */

static void up_applies_all_owners_once(void **state)
{
	struct ch_migrate_status s;

	(void)state;
	put_three();
	assert_true(up(CH_MIGRATE_ALL));
	is_said("applying 0001_first of chimera\n  done: 2 statements in ");
	is_said("applying 0001_begin of own\n");
	assert_string_equal(ask(db, APPLIED), "chimera1,chimera2,own1");
	assert_string_equal(ask(db, TABLES), "a,b,chimera_migrations,own_things");
	assert_string_equal(ask(db, "SELECT min(abs(applied_at / 1000000 - unixepoch())) < 100 FROM chimera_migrations"), "1");
	assert_true(up(CH_MIGRATE_ALL));
	assert_string_equal(said, "nothing to do: chimera is at revision 2\n");
	s = look();
	assert_true(s.known && ch_migrate_good(&s) && s.current == 2 && s.expected == 2);
	assert_string_equal(said, "chimera: revision 2 of 2 (0002_second)\nown: revision 1 of 1 (0001_begin)\n");
}

static void a_number_is_the_revision_to_end_at(void **state)
{
	(void)state;
	put_three();
	assert_true(up(1));
	assert_string_equal(ask(db, APPLIED), "chimera1");
	is_wrong(up(0), "use `migrate down 0`");
	is_wrong(up(3), "there is no migration 0003 of chimera");
	is_wrong(down(2), "use `migrate up 2`");
	assert_true(up(CH_MIGRATE_ALL));
	assert_true(down(CH_MIGRATE_ALL));
	assert_string_equal(ask(db, APPLIED), "chimera1,own1");
	assert_true(up(2));
	assert_true(down(0));
	is_said("taking back 0002_second of chimera\n  done: 1 statement in ");
	assert_string_equal(ask(db, APPLIED), "own1");
	assert_string_equal(ask(db, TABLES), "chimera_migrations,own_things");
	assert_true(down(0));
	assert_string_equal(said, "nothing to do: chimera is at revision 0\n");
	assert_true(down(CH_MIGRATE_ALL));
	assert_true(ch_migrate_down(&engine, folder, "own", 0, 0, NULL, &error));
	assert_string_equal(ask(db, TABLES), "chimera_migrations");
	assert_true(up(CH_MIGRATE_ALL));
	assert_string_equal(ask(db, APPLIED), "chimera1,chimera2,own1");
	is_wrong(ch_migrate_up(&engine, folder, "nobody", CH_MIGRATE_ALL, 0, NULL, &error), "there are no migrations of nobody");
}

static void a_dry_run_tells_the_statements_and_changes_nothing(void **state)
{
	(void)state;
	put_three();
	assert_true(ch_migrate_up(&engine, folder, NULL, 1, CH_MIGRATE_DRY_RUN, &report, &error));
	is_said("/sqlite/0001_first.up.sql\nCREATE TABLE a (x INTEGER NOT NULL);\nCREATE INDEX a_x ON a (x);\n-- a dry run");
	assert_string_equal(ask(db, TABLES), "");
	assert_true(up(CH_MIGRATE_ALL));
	*said = '\0';
	assert_true(ch_migrate_down(&engine, folder, NULL, 0, CH_MIGRATE_DRY_RUN, &report, &error));
	is_said("/sqlite/0002_second.down.sql\nDROP TABLE b;\n-- ");
	assert_string_equal(ask(db, APPLIED), "chimera1,chimera2,own1");
}

static void a_migration_that_fails_half_way_leaves_nothing_behind(void **state)
{
	(void)state;
	put_three();
	put("sqlite/0002_second.up.sql",
		"CREATE TABLE b (y TEXT);\n\n-- why\nINSERT INTO a\n  VALUES (1);\nINSERT INTO nowhere VALUES (1);\n");
	is_wrong(up(CH_MIGRATE_ALL),
		"/sqlite/0002_second.up.sql: statement 3 (line 6: INSERT INTO nowhere VALUES (1)) failed: no such table: nowhere. "
		"Nothing of it was kept: the schema is at revision 1 of chimera, as before");
	assert_string_equal(ask(db, TABLES), "a,chimera_migrations");
	assert_string_equal(ask(db, "SELECT count(*) FROM a"), "0");
	assert_string_equal(ask(db, APPLIED), "chimera1");
	put("sqlite/0002_second.up.sql", "CREATE TABLE b (y TEXT);\n");
	assert_true(up(CH_MIGRATE_ALL));
	put("sqlite/0002_second.down.sql", "DROP TABLE b;\nDROP TABLE b;\n");
	is_wrong(down(CH_MIGRATE_ALL), "0002_second.down.sql: statement 2 (line 2: DROP TABLE b) failed: no such table: b. "
		"Nothing of it was kept: the schema is at revision 2");
	assert_string_equal(ask(db, TABLES), "a,b,chimera_migrations,own_things");
}

static void an_applied_file_that_was_changed_is_an_error_with_both_checksums(void **state)
{
	struct ch_migrate_status s;
	char before[65], *found;

	(void)state;
	put_three();
	assert_true(up(1));
	snprintf(before, sizeof(before), "%.64s", ask(db, "SELECT checksum FROM chimera_migrations"));
	put("sqlite/0001_first.up.sql", "CREATE TABLE a (x INTEGER);\n");
	is_wrong(up(CH_MIGRATE_ALL), "/sqlite/0001_first.up.sql was applied to this database with SHA-256 ");
	assert_non_null(found = strstr(error.text, before));
	assert_null(strstr(found + 64, before));
	assert_non_null(strstr(error.text, ", and the file has "));
	is_wrong(down(0), "was applied to this database with SHA-256 ");
	assert_string_equal(ask(db, APPLIED), "chimera1");
	s = look();
	assert_true(s.changed == 1 && s.pending == 2 && !ch_migrate_good(&s));
	is_said("  changed ");
}

/* Another server does it first: seen inside of the transaction. */
static bool meanwhile(void *arg, const char *sql, struct ch_migrate_error *e)
{
	if (!strcmp(sql, "BEGIN IMMEDIATE")) {
		engine.exec = lite_exec;
		assert_true(ch_migrate_up(&engine, folder, NULL, CH_MIGRATE_ALL, 0, NULL, e));
	}
	return lite_exec(arg, sql, e);
}

static void what_another_server_has_done_meanwhile_is_not_done_again(void **state)
{
	(void)state;
	put_three();
	engine.exec = meanwhile;
	assert_true(up(CH_MIGRATE_ALL));
	is_said("applying 0001_first of chimera\n  another server has done it meanwhile\n");
	assert_string_equal(ask(db, APPLIED), "chimera1,chimera2,own1");
}

static bool stop_at_second(void *arg, const char *line)
{
	(void)arg;
	return !strstr(line, "applying 0002");
}

static void whoever_listens_can_stop_it_between_two_migrations(void **state)
{
	const struct ch_migrate_report stopping = { .line = stop_at_second };

	(void)state;
	put_three();
	is_wrong(ch_migrate_up(&engine, folder, NULL, CH_MIGRATE_ALL, 0, &stopping, &error), "stopped before 0002_second of chimera");
	assert_string_equal(ask(db, APPLIED), "chimera1");
}

/* ---- engines that are not at hand here: what they are asked ---- */

static char asked[4000];

/* Whatever holds "nowhere" fails; nothing has rows. */
static bool no_exec(void *arg, const char *sql, struct ch_migrate_error *e)
{
	size_t n = strlen(asked);

	(void)arg;
	snprintf(asked + n, sizeof(asked) - n, "%.30s|", sql);
	return !strstr(sql, "nowhere") || ch_migrate_fail(e, "its words. \n");
}

static bool no_rows(void *arg, const char *sql, ch_migrate_row row, void *row_arg, struct ch_migrate_error *e)
{
	size_t n = strlen(asked);

	(void)arg;
	(void)row;
	(void)row_arg;
	(void)e;
	snprintf(asked + n, sizeof(asked) - n, "%.30s|", sql);
	return true;
}

static void clickhouse_is_told_what_stays_of_a_migration_that_fails(void **state)
{
	(void)state;
	engine = (struct ch_migrate_engine){ .name = "clickhouse", .exec = no_exec, .rows = no_rows, .sha256 = lite_digest };
	put("clickhouse/0001_a.up.sql", "one;\ntwo;\n  nowhere\n;\nfour;\n");
	put("clickhouse/0001_a.down.sql", "back;nowhere;\n");
	*asked = '\0';
	is_wrong(up(CH_MIGRATE_ALL), "0001_a.up.sql: statement 3 (line 3: nowhere) failed: its words. "
		"Statements 1 to 2 of its 4 stay: when the cause is gone, run `migrate up` again");
	assert_non_null(strstr(asked, "|CREATE TABLE chimera_migrating|")); /* the lock … */
	assert_non_null(strstr(asked, "|one|two|nowhere|DROP TABLE IF EXISTS chimera_m|")); /* … is given back, and nothing is recorded */
	put("clickhouse/0001_a.up.sql", "one; nowhere;\n");
	is_wrong(up(CH_MIGRATE_ALL), "Statement 1 of its 2 stays: when");
	put("clickhouse/0001_a.up.sql", "nowhere;\n");
	is_wrong(up(CH_MIGRATE_ALL), "failed: its words. Nothing of it was applied");
}

static void a_lock_that_another_server_keeps_is_not_waited_for_without_end(void **state)
{
	(void)state;
	engine = (struct ch_migrate_engine){ .name = "postgresql", .exec = no_exec, .rows = no_rows, .sha256 = lite_digest, .lock_ms = 1 };
	put("postgresql/0001_a.up.sql", "one");
	put("postgresql/0001_a.down.sql", "back");
	*asked = '\0';
	is_wrong(up(CH_MIGRATE_ALL), "another server has been migrating this database for over 0 s");
	is_said("waiting for another server that is migrating this database\n");
	assert_null(strstr(asked, "one|"));
}

/* ---- where it stands ---- */

static void a_newer_version_or_a_plugin_that_is_gone_is_unknown(void **state)
{
	struct ch_migrate_status s;
	char text[200];

	(void)state;
	put_three();
	assert_true(up(CH_MIGRATE_ALL));
	take_away("sqlite/0002_second.up.sql");
	take_away("sqlite/0002_second.down.sql");
	take_away("sqlite/own/0001_begin.up.sql");
	take_away("sqlite/own/0001_begin.down.sql");
	take_away("sqlite/own");
	s = look();
	assert_true(s.current == 2 && s.expected == 1 && s.unknown == 2 && s.pending == 0 && s.drift == 0);
	assert_true(ch_migrate_usable(&s) && !ch_migrate_good(&s));
	is_said("unknown 0002_second of chimera");
	is_said("unknown 0001_begin of own");
	assert_int_equal(ch_migrate_health(&s, text, sizeof(text)), CH_DEGRADED);
	assert_non_null(strstr(text, "schema revision 2 of 1, see chimeractl schema status: unknown 0002_second"));
	assert_true(up(CH_MIGRATE_ALL));
	is_wrong(down(0), "0002_second of chimera was applied, and ");
}

static void a_version_table_with_holes_is_not_believed(void **state)
{
	struct ch_migrate_status s;

	(void)state;
	put_three();
	assert_true(up(CH_MIGRATE_ALL));
	ask(db, "DELETE FROM chimera_migrations WHERE owner = 'chimera' AND number = 1");
	is_wrong(ch_migrate_status(&engine, folder, NULL, &s, &error), "chimera_migrations has a hole");
	assert_false(s.known);
	is_wrong(up(CH_MIGRATE_ALL), "chimera_migrations has a hole");
}

static void drift_is_told_by_object(void **state)
{
	struct ch_migrate_status s;
	char text[60];

	(void)state;
	put_three();
	assert_true(up(CH_MIGRATE_ALL));
	ask(db, "CREATE TABLE not_ours (x)");
	s = look();
	assert_int_equal(s.drift, 0);
	ask(db, "ALTER TABLE a ADD COLUMN more TEXT");
	ask(db, "DROP INDEX a_x");
	ask(db, "DROP TABLE b");
	ask(db, "CREATE TABLE b (y INTEGER)");
	s = look();
	assert_int_equal(s.drift, 3);
	is_said("  drift: changed column b.y: expected \"text\", found \"integer\"\n");
	is_said("  drift: extra column a.more text\n");
	is_said("  drift: missing index a_x on a (x)\n");
	assert_int_equal(ch_migrate_health(&s, text, sizeof(text)), CH_DEGRADED);
	assert_int_equal(strlen(text), 59);
}

static void health_says_what_to_do(void **state)
{
	struct ch_migrate_status s;
	char text[100];

	(void)state;
	put_three();
	s = look();
	assert_int_equal(ch_migrate_health(&s, text, sizeof(text)), CH_UNHEALTHY);
	assert_string_equal(text, "schema revision 0 of 2: run chimeractl migrate up");
	assert_true(up(CH_MIGRATE_ALL));
	s = look();
	assert_int_equal(ch_migrate_health(&s, text, sizeof(text)), CH_HEALTHY);
	assert_string_equal(text, "schema revision 2 of 2");
}

static void ensure_does_as_its_mode_says(void **state)
{
	struct ch_migrate_status s;

	(void)state;
	put_three();
	assert_true(ch_migrate_ensure(&engine, folder, CH_MIGRATE_OFF, NULL, &s, &error));
	assert_false(s.known);
	assert_true(ch_migrate_ensure(&engine, folder, CH_MIGRATE_CHECK, NULL, &s, &error));
	assert_true(s.known && s.pending == 3 && !ch_migrate_usable(&s));
	assert_string_equal(ask(db, TABLES), "");
	put("sqlite/own/0001_begin.up.sql", "CREATE TABLE a (x);\n");
	is_wrong(ch_migrate_ensure(&engine, folder, CH_MIGRATE_AUTO, NULL, &s, &error),
		"own/0001_begin.up.sql: statement 1 (line 1: CREATE TABLE a (x)) failed");
	assert_true(s.known && s.current == 2 && s.pending == 1);
	put("sqlite/own/0001_begin.up.sql", "CREATE TABLE own_things (x);\n");
	assert_true(ch_migrate_ensure(&engine, folder, CH_MIGRATE_AUTO, NULL, &s, &error));
	assert_true(ch_migrate_good(&s));
}

/* ---- the rest ---- */

static void new_writes_the_next_pair_and_overwrites_none(void **state)
{
	struct ch_migrate_status s;

	(void)state;
	put_three();
	assert_true(ch_migrate_new(&engine, folder, NULL, "third", &report, &error));
	is_said("/sqlite/0003_third.up.sql\n");
	is_said("/sqlite/0003_third.down.sql\n");
	assert_true(ch_migrate_new(&engine, folder, "fresh", "first_one", &report, &error));
	is_said("/sqlite/fresh/0001_first_one.up.sql\n");
	s = look();
	assert_int_equal(s.expected, 3);
	assert_int_equal(s.pending, 5);
	is_wrong(up(CH_MIGRATE_ALL), "0003_third.up.sql holds no statement");
	is_wrong(ch_migrate_new(&engine, folder, NULL, "No", NULL, &error), "\"No\" is no name of a migration");
	is_wrong(ch_migrate_new(&engine, folder, NULL, "../x", NULL, &error), "is no name of a migration");
	is_wrong(ch_migrate_new(&engine, folder, "../x", "y", NULL, &error), "is no plugin's name");
}

static void show_prints_what_a_schema_txt_holds(void **state)
{
	char path[300];

	(void)state;
	put_three();
	assert_true(up(1));
	*said = '\0';
	assert_true(ch_migrate_show(&engine, &report, &error));
	is_said("column a.x integer not null\n");
	is_said("index a_x on a (x)\nkey chimera_migrations (owner, number)\ntable a\ntable chimera_migrations strict\n");
	assert_true(up(CH_MIGRATE_ALL));
	*said = '\0';
	assert_true(ch_migrate_show(&engine, &report, &error));
	put("sqlite/schema.txt", said);
	assert_int_equal(look().drift, 0);
	snprintf(path, sizeof(path), "%s/sqlite/schema.txt", folder);
	assert_int_equal(remove(path), 0);
	assert_int_equal(look().drift, 0); /* without the file nothing is expected */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_count_from_1_without_holes_in_pairs),
		TEST(files_that_cannot_be_run_are_refused_before_anything_is),
		TEST(up_applies_all_owners_once),
		TEST(a_number_is_the_revision_to_end_at),
		TEST(a_dry_run_tells_the_statements_and_changes_nothing),
		TEST(a_migration_that_fails_half_way_leaves_nothing_behind),
		TEST(an_applied_file_that_was_changed_is_an_error_with_both_checksums),
		TEST(what_another_server_has_done_meanwhile_is_not_done_again),
		TEST(whoever_listens_can_stop_it_between_two_migrations),
		TEST(clickhouse_is_told_what_stays_of_a_migration_that_fails),
		TEST(a_lock_that_another_server_keeps_is_not_waited_for_without_end),
		TEST(a_newer_version_or_a_plugin_that_is_gone_is_unknown),
		TEST(a_version_table_with_holes_is_not_believed),
		TEST(drift_is_told_by_object),
		TEST(health_says_what_to_do),
		TEST(ensure_does_as_its_mode_says),
		TEST(new_writes_the_next_pair_and_overwrites_none),
		TEST(show_prints_what_a_schema_txt_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
