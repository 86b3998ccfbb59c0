/* SPDX-License-Identifier: Apache-2.0 */
/* `chimeractl dlq` and `records`: dead letters listed, shown, replayed, purged. Each test is named after the fact it states. */
#include "test_world.h"

/* Until it is healed: each n that ends in 7 is refused by its name. */
static bool healed;

static int names_sevens(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	size_t n = 0;

	for (size_t i = 0; i < b->nrows && n < 100 && !healed; i++)
		if (b->values[i * 4 + 2].u.i % 10 == 7)
			s->refusals[n++] = (struct ch_sink_refusal){ i, "ends in 7" };
	out->refused = (struct ch_table){ s->refusals, n, sizeof(s->refusals[0]) };
	out->detail = "Some rows end in 7.";
	return n ? CH_SINK_REFUSED : CH_SINK_DONE;
}

/* `n` rows, a tenth of them dead. */
static struct ch_test *world_with_letters(struct sink *a, int64_t n)
{
	struct ch_test *t = world(a, NULL, NULL);

	healed = false;
	a->decide = names_sevens;
	append_rows(t, 0, n);
	wait_rows(t, a, (size_t)(n - n / 10));
	ch_test_advance(t, 1000);
	return t;
}

/* Runs a command to its end, however long its pauses are. */
static int run(struct ch_test *t, const char **text, const char *verb, const char *arg)
{
	return ch_test_command(t, text, "records", "dlq", verb, arg, NULL);
}

static void letters_are_listed_and_shown(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 20);
	const char *text;

	(void)state;
	assert_int_equal(run(t, &text, "list", NULL), 0);
	assert_non_null(strstr(text, "01000000-0000-0000-0000-000000000007"));
	assert_non_null(strstr(text, "ends in 7"));
	assert_non_null(strstr(text, "2 dead letters, 0 replayed\n"));
	assert_int_equal(run(t, &text, "show", "01000000-0000-0000-0000-000000000008"), 1);
	assert_int_equal(run(t, &text, "show", "01000000-0000-0000-0000-000000000007"), 0);
	assert_non_null(strstr(text, "\"n\":7,\"what\":\"row \\\"7\\\"\""));
	assert_int_equal(run(t, &text, "show", "nonsense"), 1);
	assert_int_equal(run(t, &text, "eat", NULL), 1);
	ch_test_free(t);
	sink_free(a);
}

static void a_replay_brings_the_rows_to_the_sink_once(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 1000);
	const char *text;

	(void)state;
	healed = true;
	assert_int_equal(run(t, &text, "replay", NULL), 0);
	assert_string_equal(text, "100 of 100 rows were replayed\n");
	each_once(a, 1000);
	assert_int_equal(run(t, &text, "replay", "all"), 0);
	assert_string_equal(text, "0 of 0 rows were replayed\n");
	each_once(a, 1000);
	assert_int_equal(run(t, &text, "list", NULL), 0);
	assert_string_equal(text, "0 dead letters, 100 replayed\n");
	ch_test_free(t);
	sink_free(a);
}

static void one_letter_is_replayed_by_its_row(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 20);
	const char *text;

	(void)state;
	healed = true;
	assert_int_equal(run(t, &text, "replay", "01000000-0000-0000-0000-000000000011"), 0);
	assert_string_equal(text, "1 of 1 row was replayed\n");
	assert_int_equal(a->copies[17], 1);
	assert_int_equal(a->copies[7], 0);
	ch_test_free(t);
	sink_free(a);
}

/* The marks are lost, as after a crash behind the sink's answer: the same batch is sent under the same id, and the sink knows it. */
static void a_replay_that_a_crash_has_cut_short_doubles_nothing(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 1000);
	const char *text;
	char command[256];

	(void)state;
	healed = true;
	snprintf(command, sizeof(command), "cp '%s/journal/dlq.jsonl' '%s/kept'", folder, folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(run(t, &text, "replay", "all"), 0);
	snprintf(command, sizeof(command), "cp '%s/kept' '%s/journal/dlq.jsonl'", folder, folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(run(t, &text, "replay", "all"), 0);
	assert_string_equal(text, "100 of 100 rows were replayed\n");
	each_once(a, 1000);
	ch_test_free(t);
	sink_free(a);
}

static int hates_77(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	(void)s;
	out->detail = "A value is out of range.";
	for (size_t i = 0; i < b->nrows; i++)
		if (b->values[i * 4 + 2].u.i == 77)
			return CH_SINK_REFUSED;
	return CH_SINK_DONE;
}

static void what_is_refused_again_stays_a_letter(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 1000);
	const char *text;

	(void)state;
	a->decide = hates_77;
	assert_int_equal(run(t, &text, "replay", "all"), 1);
	assert_int_equal(a->copies[77], 0);
	assert_int_equal(a->copies[67], 1);
	assert_int_equal(run(t, &text, "list", NULL), 0);
	assert_non_null(strstr(text, "1 dead letter, 99 replayed\n"));
	ch_test_free(t);
	sink_free(a);
}

static void purge_takes_replayed_letters_and_all_only_when_told(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 30);
	const char *text;

	(void)state;
	healed = true;
	assert_int_equal(run(t, &text, "replay", "01000000-0000-0000-0000-000000000007"), 0);
	assert_int_equal(run(t, &text, "purge", NULL), 0);
	assert_int_equal(run(t, &text, "list", NULL), 0);
	assert_non_null(strstr(text, "2 dead letters, 0 replayed\n"));
	assert_int_equal(run(t, &text, "purge", "01000000-0000-0000-0000-000000000011"), 0);
	assert_int_equal(run(t, &text, "list", NULL), 0);
	assert_non_null(strstr(text, "1 dead letter, 0 replayed\n"));
	assert_int_equal(run(t, &text, "purge", "all"), 0);
	assert_int_equal(run(t, &text, "list", NULL), 0);
	assert_string_equal(text, "0 dead letters, 0 replayed\n");
	ch_test_free(t);
	sink_free(a);
}

/* A line without its end, as a power loss leaves it: readers leave it out, the next letter begins a line of its own. */
static void a_torn_last_line_is_left_out_and_the_next_letter_is_whole(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 10);
	const char *text;
	char path[128];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/journal/dlq.jsonl", folder);
	f = fopen(path, "a");
	fputs("{\"time\":\"2026-01-", f);
	fclose(f);
	append_rows(t, 10, 20);
	wait_rows(t, a, 18);
	ch_test_advance(t, 1000);
	assert_int_equal(run(t, &text, "list", NULL), 0);
	assert_non_null(strstr(text, "2 dead letters, 0 replayed, and lines that are none\n"));
	ch_test_free(t);
	sink_free(a);
}

static void status_says_how_far_each_sink_is(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world_with_letters(a, 20);
	const char *text;

	(void)state;
	assert_int_equal(ch_test_command(t, &text, "records", "records", "status", NULL), 0);
	assert_non_null(strstr(text, "20 rows so far"));
	assert_non_null(strstr(text, "alpha                    up to row 20, 0 waiting\n"));
	assert_non_null(strstr(text, "18 shipped, 2 dead letters\n"));
	assert_non_null(strstr(text, "Some rows end in 7."));
	ch_test_free(t);
	sink_free(a);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(letters_are_listed_and_shown),
		T(a_replay_brings_the_rows_to_the_sink_once),
		T(one_letter_is_replayed_by_its_row),
		T(a_replay_that_a_crash_has_cut_short_doubles_nothing),
		T(what_is_refused_again_stays_a_letter),
		T(purge_takes_replayed_letters_and_all_only_when_told),
		T(a_torn_last_line_is_left_out_and_the_next_letter_is_whole),
		T(status_says_how_far_each_sink_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
