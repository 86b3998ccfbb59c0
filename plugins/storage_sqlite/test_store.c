/* SPDX-License-Identifier: Apache-2.0 */
/* The file's life: made, damaged, locked, moved, replaced; migrations; the check; reloads. */
#include <fcntl.h>
#include <sys/stat.h>

#include "test_world.h"

static struct sq_store *store(void)
{
	return ch_test_self(t, "storage_sqlite")->state;
}

static bool is_state(int state)
{
	bool is;

	pthread_mutex_lock(&store()->lock);
	is = store()->state == state;
	pthread_mutex_unlock(&store()->lock);
	return is;
}

static void write_file(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static const char *checked(void)
{
	static struct ch_check_result r;

	r = (struct ch_check_result){ .size = sizeof(r) };
	WAIT_FOR(ch_test_check(t, "storage_sqlite", &r) && (r.message[0] || r.health == CH_HEALTHY));
	return r.message;
}

static void file_and_folders_are_made_for_the_owner_alone(void **state)
{
	struct stat st;
	(void)state;
	make_folder();
	snprintf(file, sizeof(file), "%s/a/b/test.db", folder);
	begin_again(NULL);
	assert_string_equal(sql0("SELECT 1")->rows, "1;");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	strcat(file, "-wal");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(file, sizeof(file), "%s/a/b", folder);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	end();
}

static void the_log_is_in_the_file_when_the_server_has_stopped(void **state)
{
	struct stat st;
	(void)state;
	begin("CREATE TABLE x (a)", NULL);
	assert_int_equal(sql0("INSERT INTO x VALUES (1)")->error, CH_SQL_OK);
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_OK);
	ch_test_free(t);
	assert_string_equal(direct("SELECT count(*) FROM x"), "1");
	strcat(file, "-wal");
	assert_int_not_equal(stat(file, &st), 0);
	t = ch_test_new();
	end();
}

static void a_file_that_is_no_database_is_said_and_kept_and_healed(void **state)
{
	char text[8192], again[8192], aside[160];
	(void)state;
	make_folder();
	memset(text, 'x', sizeof(text));
	write_file(file, text, sizeof(text));
	begin_again(NULL);
	WAIT_FOR(is_state(SQ_DOWN));
	struct asked *a = sql0("SELECT 1");
	assert_int_equal(a->error, CH_SQL_UNAVAILABLE);
	assert_non_null(strstr(a->detail, "The database file is damaged: file is not a database"));
	assert_non_null(strstr(checked(), "damaged"));
	WAIT_FOR(ch_test_logged(t, "database is degraded now"));
	FILE *f = fopen(file, "r");
	assert_int_equal(fread(again, 1, sizeof(again), f), sizeof(again));
	fclose(f);
	assert_memory_equal(text, again, sizeof(text));
	snprintf(aside, sizeof(aside), "%s.aside", file);
	assert_int_equal(rename(file, aside), 0);
	WAIT_FOR(is_state(SQ_UP));
	assert_string_equal(sql0("SELECT 1")->rows, "1;");
	end();
}

static void a_page_damaged_while_it_is_open_is_unavailable_not_gone(void **state)
{
	char junk[4096];
	(void)state;
	begin("PRAGMA journal_mode=WAL; CREATE TABLE x (a); INSERT INTO x VALUES (1); CREATE TABLE y (a); INSERT INTO y VALUES (2);", NULL);
	memset(junk, 'z', sizeof(junk));
	int fd = open(file, O_WRONLY);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 4096), 4096); /* page 2: the table x */
	close(fd);
	struct asked *a = sql0("SELECT * FROM x");
	assert_int_equal(a->error, CH_SQL_UNAVAILABLE);
	assert_non_null(strstr(a->detail, "damaged"));
	WAIT_FOR(ch_test_logged(t, "database is degraded now"));
	WAIT_FOR(is_state(SQ_UP)); /* what is whole can be had */
	assert_string_equal(sql0("SELECT * FROM y")->rows, "2;");
	end();
}

static void a_log_without_its_file_is_not_deleted(void **state)
{
	char log[140];
	struct stat st;
	(void)state;
	make_folder();
	snprintf(log, sizeof(log), "%s-wal", file);
	write_file(log, "a log", 5);
	begin_again(NULL);
	WAIT_FOR(is_state(SQ_DOWN));
	struct asked *a = sql0("SELECT 1");
	assert_int_equal(a->error, CH_SQL_UNAVAILABLE);
	assert_non_null(strstr(a->detail, "put the file back, or move the log away"));
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(st.st_size, 5);
	unlink(log);
	WAIT_FOR(is_state(SQ_UP));
	end();
}

static void a_folder_in_the_way_is_said(void **state)
{
	(void)state;
	make_folder();
	assert_int_equal(mkdir(file, 0700), 0);
	begin_again(NULL);
	WAIT_FOR(is_state(SQ_DOWN));
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_UNAVAILABLE);
	rmdir(file);
	WAIT_FOR(is_state(SQ_UP));
	end();
}

static void a_file_moved_away_takes_its_rows_along_and_a_new_one_is_made(void **state)
{
	char aside[160];
	(void)state;
	begin("CREATE TABLE x (a)", "readers = 1\n");
	assert_int_equal(sql0("INSERT INTO x VALUES (1)")->error, CH_SQL_OK);
	assert_string_equal(sql0("SELECT a FROM x")->rows, "1;");
	snprintf(aside, sizeof(aside), "%s.aside", file);
	assert_int_equal(rename(file, aside), 0);
	struct asked *a = sql0("INSERT INTO x VALUES (2)");
	assert_int_equal(a->error, CH_SQL_SCHEMA); /* into the new one, which has no table: never into what is gone */
	assert_true(ch_test_logged(t, "was moved or deleted"));
	WAIT_FOR(is_state(SQ_UP));
	assert_int_equal(sql0("SELECT a FROM x")->error, CH_SQL_SCHEMA);
	strcpy(file, aside);
	assert_string_equal(direct("SELECT group_concat(a) FROM x"), "1");
	end();
}

static void a_locked_file_at_start_is_waited_for(void **state)
{
	sqlite3 *db;
	(void)state;
	make_folder();
	direct("PRAGMA journal_mode=WAL; CREATE TABLE x (a)");
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; INSERT INTO x VALUES (1)", NULL, NULL,
		NULL), SQLITE_OK);
	begin_again("busy_timeout = 50ms\n");
	WAIT_FOR(is_state(SQ_DOWN));
	struct asked *a = sql0("SELECT 1");
	assert_int_equal(a->error, CH_SQL_CONFLICT);
	assert_non_null(strstr(a->detail, "Another process"));
	sqlite3_close(db);
	WAIT_FOR(is_state(SQ_UP));
	assert_string_equal(sql0("SELECT count(*) FROM x")->rows, "0;");
	end();
}

static void a_lock_that_stays_is_a_conflict_for_those_that_wait(void **state)
{
	sqlite3 *db;
	(void)state;
	begin("CREATE TABLE x (a)", "busy_timeout = 0ms\n");
	assert_int_equal(sql0("SELECT 1")->error, CH_SQL_OK);
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	struct asked *a = sql0("INSERT INTO x VALUES (1)");
	assert_int_equal(a->error, CH_SQL_CONFLICT);
	assert_true(ch_test_logged(t, "lock is degraded now"));
	sqlite3_close(db);
	assert_int_equal(sql0("INSERT INTO x VALUES (1)")->error, CH_SQL_OK);
	end();
}

/* ---- migrations ---- */

static void migrate(const char *mode)
{
	char more[400];

	snprintf(more, sizeof(more), "migrate = %s\nmigrations = %s/migrations\n", mode, folder);
	begin_again(more);
}

static void make_migrations(const char *second)
{
	char path[200];

	make_folder();
	snprintf(path, sizeof(path), "%s/migrations", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/sqlite");
	assert_int_equal(mkdir(path, 0700), 0);
	const char *const names[] = { "0001_one.up.sql", "0001_one.down.sql", "0002_two.up.sql", "0002_two.down.sql" };
	const char *const texts[] = { "CREATE TABLE one (a INTEGER) STRICT;\n", "DROP TABLE one;\n", second, "DROP TABLE two;\n" };
	for (int i = 0; i < 4; i++) {
		char name[300];

		snprintf(name, sizeof(name), "%s/%s", path, names[i]);
		write_file(name, texts[i], strlen(texts[i]));
	}
}

static void auto_brings_the_schema_up_to_date_before_the_first_call(void **state)
{
	(void)state;
	make_migrations("CREATE TABLE two (a INTEGER) STRICT;\n");
	migrate("auto");
	assert_string_equal(sql0("SELECT COUNT(*) FROM two")->rows, "0;");
	assert_true(ch_test_metric(t, "chimera_schema_revision", "storage_sqlite", "current", NULL) == 2);
	struct ch_sql_about about = { .size = sizeof(about) };
	((const struct ch_sql_v1 *)service("sql/1")->vt)->about(service("sql/1"), &about);
	assert_true(about.up);
	assert_string_equal(about.engine, "sqlite");
	assert_non_null(strstr(checked(), "revision 2"));
	end();
}

static void check_says_what_is_missing_and_changes_nothing(void **state)
{
	(void)state;
	make_migrations("CREATE TABLE two (a INTEGER) STRICT;\n");
	migrate("check");
	WAIT_FOR(is_state(SQ_UP));
	struct asked *a = sql0("SELECT COUNT(*) FROM two");
	assert_int_equal(a->error, CH_SQL_SCHEMA);
	struct ch_sql_about about = { .size = sizeof(about) };
	((const struct ch_sql_v1 *)service("sql/1")->vt)->about(service("sql/1"), &about);
	assert_false(about.up);
	assert_true(ch_test_logged(t, "schema is degraded now"));
	struct ch_check_result r = { .size = sizeof(r) };
	WAIT_FOR(ch_test_check(t, "storage_sqlite", &r) && r.message[0]);
	assert_int_equal(r.health, CH_UNHEALTHY);
	end();
}

static void what_others_do_to_the_schema_is_noticed_within_five_minutes(void **state)
{
	(void)state;
	make_migrations("CREATE TABLE two (a INTEGER) STRICT;\n");
	migrate("auto");
	assert_string_equal(sql0("SELECT COUNT(*) FROM two")->rows, "0;");
	direct("DELETE FROM chimera_migrations WHERE number = 2");
	ch_test_advance(t, 5 * 60000);
	WAIT_FOR(ch_test_metric(t, "chimera_schema_revision", "storage_sqlite", "current", NULL) == 1);
	assert_non_null(strstr(checked(), "revision 1 of 2: run chimeractl migrate up"));
	assert_true(ch_test_logged(t, "schema is degraded now"));
	end();
}

static void a_migration_that_fails_is_said_and_tried_again(void **state)
{
	char name[200];
	(void)state;
	make_migrations("CREATE TABLE two (a INTEGER) STRICT;\nINSERT INTO nowhere VALUES (1);\n");
	migrate("auto");
	WAIT_FOR(is_state(SQ_DOWN));
	struct asked *a = sql0("SELECT 1");
	assert_int_equal(a->error, CH_SQL_UNAVAILABLE);
	assert_non_null(strstr(a->detail, "no such table: nowhere"));
	assert_string_equal(direct("SELECT group_concat(name) FROM sqlite_schema WHERE name IN ('one', 'two')"), "one");
	snprintf(name, sizeof(name), "%s/migrations/sqlite/0002_two.up.sql", folder);
	write_file(name, "CREATE TABLE two (a INTEGER) STRICT;\n", 37);
	WAIT_FOR(is_state(SQ_UP));
	assert_string_equal(sql0("SELECT COUNT(*) FROM two")->rows, "0;");
	end();
}

/* ---- reload ---- */

static void a_changed_instance_takes_over_without_losing_a_call(void **state)
{
	struct asked *a = calloc(40, sizeof(*a));
	const struct ch_sql_statement s = { "INSERT INTO x VALUES (1)", NULL, 0, 1 };
	char ini[300];
	(void)state;
	begin("CREATE TABLE x (a)", NULL);
	for (int i = 0; i < 20; i++) {
		a[i] = (struct asked){ .statements = &s, .n = 1 };
		ask(&a[i]);
	}
	snprintf(ini, sizeof(ini), "[storage_sqlite]\npath = %s\nmigrate = off\nreaders = 1\n", file);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	for (int i = 20; i < 40; i++) {
		a[i] = (struct asked){ .statements = &s, .n = 1 };
		ask(&a[i]);
	}
	for (int i = 0; i < 40; i++) {
		WAIT_FOR(a[i].done);
		assert_int_equal(a[i].error, CH_SQL_OK);
	}
	assert_string_equal(direct("SELECT count(*) FROM x"), "40");
	free(a);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_and_folders_are_made_for_the_owner_alone),
		cmocka_unit_test(the_log_is_in_the_file_when_the_server_has_stopped),
		cmocka_unit_test(a_file_that_is_no_database_is_said_and_kept_and_healed),
		cmocka_unit_test(a_page_damaged_while_it_is_open_is_unavailable_not_gone),
		cmocka_unit_test(a_log_without_its_file_is_not_deleted),
		cmocka_unit_test(a_folder_in_the_way_is_said),
		cmocka_unit_test(a_file_moved_away_takes_its_rows_along_and_a_new_one_is_made),
		cmocka_unit_test(a_locked_file_at_start_is_waited_for),
		cmocka_unit_test(a_lock_that_stays_is_a_conflict_for_those_that_wait),
		cmocka_unit_test(auto_brings_the_schema_up_to_date_before_the_first_call),
		cmocka_unit_test(check_says_what_is_missing_and_changes_nothing),
		cmocka_unit_test(what_others_do_to_the_schema_is_noticed_within_five_minutes),
		cmocka_unit_test(a_migration_that_fails_is_said_and_tried_again),
		cmocka_unit_test(a_changed_instance_takes_over_without_losing_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
