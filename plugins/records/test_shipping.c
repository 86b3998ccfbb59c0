/* SPDX-License-Identifier: Apache-2.0 */
/* From the journal to sinks: batches, attempts, refusals, crashes. Each test is named after the fact it states. */
#include "test_world.h"

/* ---- plain ---- */

static int never(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	(void)s;
	(void)b;
	(void)out;
	return 0;
}

static void rows_reach_each_sink_once_and_in_order(void **state)
{
	struct sink *a = sink_new(), *b = sink_new();
	struct ch_test *t = world(a, b, NULL);

	(void)state;
	append_rows(t, 0, 5000);
	wait_rows(t, a, 5000);
	wait_rows(t, b, 5000);
	each_once(a, 5000);
	each_once(b, 5000);
	ch_test_advance(t, 2000);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lag_rows", NULL), 0);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_shipped_total", "alpha", NULL), 5000);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_rows_total", "other", NULL), 5000);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lost_total", NULL), 0);
	ch_test_free(t);
	sink_free(a);
	sink_free(b);
}

static void a_batch_waits_for_its_age_or_its_rows(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->about.age_ms = 5000;
	a->about.rows = 100;
	append_rows(t, 0, 99);
	ch_test_advance(t, 4500);
	assert_int_equal(a->rows, 0);
	ch_test_advance(t, 1000);
	assert_int_equal(a->rows, 99);
	append_rows(t, 99, 299);
	ch_test_advance(t, 1000);
	assert_int_equal(a->rows, 299); /* two whole batches need not wait */
	assert_int_equal(a->calls, 3);
	ch_test_free(t);
	sink_free(a);
}

static void a_batch_has_rows_of_one_table(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	append_rows(t, 0, 10);
	for (int64_t n = 10; n < 20; n++)
		append_to(t, &others, n);
	append_rows(t, 20, 30);
	wait_rows(t, a, 30);
	each_once(a, 30);
	assert_int_equal(a->calls, 3);
	ch_test_free(t);
	sink_free(a);
}

static void a_batch_is_cut_by_bytes(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->about.bytes = 1000;
	append_rows(t, 0, 100);
	wait_rows(t, a, 100);
	each_once(a, 100);
	assert_in_range(a->calls, 4, 20);
	ch_test_free(t);
	sink_free(a);
}

static void a_slow_sink_does_not_hold_the_other(void **state)
{
	struct sink *a = sink_new(), *b = sink_new();
	struct ch_test *t = world(a, b, NULL);
	struct ch_check_result r = { .size = sizeof(r) };

	(void)state;
	a->decide = never;
	append_rows(t, 0, 10);
	wait_rows(t, b, 10);
	append_rows(t, 10, 20);
	wait_rows(t, b, 20);
	each_once(b, 20);
	assert_true(ch_test_check(t, "records.ledger", &r));
	assert_int_equal(r.health, CH_HEALTHY);
	ch_test_advance(t, 61000);
	assert_true(ch_test_check(t, "records.ledger", &r));
	assert_int_equal(r.health, CH_DEGRADED);
	assert_string_equal(r.message, "1 of 2 sinks are behind; alpha by 61 s");
	a->decide = NULL;
	answer_call(t, a, CH_SINK_RETRY);
	wait_rows(t, a, 20);
	ch_test_free(t);
	sink_free(a);
	sink_free(b);
}

/* ---- later ---- */

static int fails_some_times(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	(void)b;
	if (s->fails-- <= 0)
		return CH_SINK_DONE;
	out->detail = "The database is down.";
	return CH_SINK_RETRY;
}

static void a_batch_that_is_sent_again_is_the_same_byte_for_byte(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	char *first;
	size_t n;

	(void)state;
	a->decide = fails_some_times;
	a->fails = 3;
	append_rows(t, 0, 1000);
	for (int i = 0; i < 100 && !a->calls; i++)
		ch_test_advance(t, 20);
	assert_int_equal(a->agains, 0);
	first = memcpy(malloc(a->nlast), a->last, a->nlast);
	n = a->nlast;
	append_rows(t, 1000, 2000); /* they must not get into it */
	for (int i = 0; i < 3000 && a->calls < 4; i++)
		ch_test_advance(t, 20);
	assert_int_equal(a->calls, 4);
	assert_int_equal(a->agains, 3);
	assert_int_equal(a->nlast, n);
	assert_memory_equal(a->last, first, n);
	wait_rows(t, a, 2000);
	each_once(a, 2000);
	assert_true(ch_test_logged(t, "rows wait in the journal for alpha: The database is down."));
	assert_int_equal(ch_test_metric(t, "chimera_ledger_batches_total", "alpha", "retry", NULL), 3);
	free(first);
	ch_test_free(t);
	sink_free(a);
}

static int says_when(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	(void)b;
	out->retry_ms = 7000;
	return s->fails-- > 0 ? CH_SINK_RETRY : CH_SINK_DONE;
}

static void a_sink_that_says_when_is_asked_then(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->decide = says_when;
	a->fails = 1;
	append_rows(t, 0, 1);
	for (int i = 0; i < 100 && !a->calls; i++)
		ch_test_advance(t, 20);
	ch_test_advance(t, 6900);
	assert_int_equal(a->calls, 1);
	ch_test_advance(t, 300);
	assert_int_equal(a->calls, 2);
	each_once(a, 1);
	ch_test_free(t);
	sink_free(a);
}

/* ---- refused ---- */

static bool has(const struct ch_sink_batch *b, int64_t n)
{
	for (size_t i = 0; i < b->nrows; i++)
		if (b->values[i * 4 + 2].u.i == n)
			return true;
	return false;
}

static int hates_one(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	out->detail = "A value is out of range.";
	return has(b, s->poison) ? CH_SINK_REFUSED : CH_SINK_DONE;
}

static size_t letters(void)
{
	char path[128];
	size_t n = 0;
	FILE *f;
	int ch;

	snprintf(path, sizeof(path), "%s/journal/dlq.jsonl", folder);
	f = fopen(path, "r");
	while (f && (ch = getc(f)) != EOF)
		n += ch == '\n';
	if (f)
		fclose(f);
	return n;
}

static void the_poison_row_among_ten_thousand_is_found_by_halving(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->decide = hates_one;
	a->poison = 7321;
	append_rows(t, 0, 10000);
	wait_rows(t, a, 9999);
	each_once(a, 10000);
	assert_int_equal(letters(), 1);
	/* ceil(log2(10000)) = 14 levels, two calls each at most, and the first */
	assert_in_range(a->calls, 15, 29);
	ch_test_advance(t, 2000);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_dead_letters_total", "alpha", NULL), 1);
	assert_true(ch_test_logged(t, "1 row was refused by alpha and kept in dlq.jsonl; look with `chimeractl dlq list`"));
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lag_rows", "alpha", NULL), 0);
	ch_test_free(t);
	sink_free(a);
}

/* Each n that ends in 7 is refused by its name. */
static int names_sevens(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	size_t n = 0;

	for (size_t i = 0; i < b->nrows && n < 100; i++)
		if (b->values[i * 4 + 2].u.i % 10 == 7)
			s->refusals[n++] = (struct ch_sink_refusal){ i, "ends in 7" };
	out->refused = (struct ch_table){ s->refusals, n, sizeof(s->refusals[0]) };
	out->detail = "Some rows end in 7.";
	return n ? CH_SINK_REFUSED : CH_SINK_DONE;
}

static size_t count_in(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, part)); p++)
		n++;
	return n;
}

/* What all the lines say together. */
static int sum_told(const char *log)
{
	int sum = 0;

	for (const char *p = log; (p = strstr(p, " refused by alpha and kept")); p++) {
		const char *digit = p;

		while (digit > log && !(digit[-1] >= '0' && digit[-1] <= '9'))
			digit--;
		while (digit > log && digit[-1] >= '0' && digit[-1] <= '9')
			digit--;
		sum += atoi(digit);
	}
	return sum;
}

static void rows_that_a_sink_names_are_dead_letters_and_the_others_arrive(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->decide = names_sevens;
	append_rows(t, 0, 1000);
	wait_rows(t, a, 900);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(a->copies[i], i % 10 == 7 ? 0 : 1);
	assert_int_equal(letters(), 100);
	ch_test_free(t);
	sink_free(a);
}

static void dead_letters_are_told_ten_seconds_at_a_time_and_degrade_the_check_for_minutes(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	struct ch_check_result r = { .size = sizeof(r) };

	(void)state;
	a->decide = names_sevens;
	for (int i = 0; i < 100; i++) { /* a batch each: 20 s in all */
		append_rows(t, i * 10, i * 10 + 10);
		ch_test_advance(t, 200);
	}
	wait_rows(t, a, 900);
	ch_test_advance(t, 11000);
	assert_int_equal(letters(), 100);
	assert_in_range(count_in(ch_test_log(t), "refused by alpha and kept"), 3, 4);
	assert_int_equal(sum_told(ch_test_log(t)), 100);
	assert_true(ch_test_check(t, "records.ledger", &r));
	assert_int_equal(r.health, CH_DEGRADED);
	assert_string_equal(r.message, "alpha refused rows in the last 5 minutes, 100 since the start: see chimeractl dlq list");
	ch_test_advance(t, 300000);
	assert_true(ch_test_check(t, "records.ledger", &r));
	assert_int_equal(r.health, CH_HEALTHY);
	ch_test_free(t);
	sink_free(a);
}

static void a_batch_of_nothing_but_refused_rows_is_passed(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->decide = names_sevens;
	assert_int_equal(append_to(t, &numbers, 7), CH_OK);
	assert_int_equal(append_to(t, &numbers, 17), CH_OK);
	for (int i = 0; i < 100 && letters() < 2; i++)
		ch_test_advance(t, 20);
	ch_test_advance(t, 1000);
	append_rows(t, 20, 25);
	wait_rows(t, a, 5);
	ch_test_free(t);
	sink_free(a);
}

/* ---- crashes ---- */

#define CRASHES 80

static struct crash { /* the folder and the sink as they were */
	struct sink sink;
	char dir[128];
} *crashes[CRASHES];
static size_t ncrashes;

static void crash_here(struct sink *s)
{
	struct crash *c;
	char command[512];

	if (ncrashes == CRASHES)
		return;
	c = crashes[ncrashes] = calloc(1, sizeof(*c));
	c->sink = *s;
	c->sink.last = NULL;
	c->sink.before = c->sink.after = NULL;
	snprintf(c->dir, sizeof(c->dir), "%s.%zu", folder, ncrashes++);
	snprintf(command, sizeof(command), "mkdir '%s' && cp -a --sparse=always '%s/journal' '%s/'", c->dir, folder, c->dir);
	assert_int_equal(system(command), 0);
}

/* Fails now and then, and hates one row: all that can be between two steps. */
static int all_at_once(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	if (s->calls % 3 == 1 && s->calls < 40) {
		out->retry_ms = 1;
		return CH_SINK_RETRY;
	}
	return hates_one(s, b, out);
}

/* The same, and sevens are refused by their names, as long as the poison row is not among them. */
static int names_and_halves(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	int outcome = all_at_once(s, b, out);

	return outcome == CH_SINK_DONE ? names_sevens(s, b, out) : outcome;
}

static void each_arrived(const struct sink *s, bool sevens)
{
	for (int i = 0; i < 500; i++)
		if (s->copies[i] != (i == 300 || (sevens && i % 10 == 7) ? 0 : 1))
			fail_msg("row %d is there %d times", i, s->copies[i]);
}

/* The folder and the sink are kept at each call, before and behind it; from each of these moments a server goes on. */
static void crash_everywhere(int (*decide)(struct sink *, const struct ch_sink_batch *, struct ch_sink_result *), bool sevens)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	size_t rows = sevens ? 449 : 499;

	a->decide = decide;
	a->poison = 300;
	a->about.rows = 128;
	a->before = a->after = crash_here;
	append_rows(t, 0, 500);
	wait_rows(t, a, rows);
	each_arrived(a, sevens);
	ch_test_free(t);
	assert_in_range(ncrashes, 20, CRASHES);
	for (size_t i = 0; i < ncrashes; i++) {
		struct crash *c = crashes[i];

		t = world_in(c->dir, &c->sink, NULL, NULL);
		wait_rows(t, &c->sink, rows);
		each_arrived(&c->sink, sevens);
		ch_test_free(t);
		free(c->sink.last);
		free(c);
	}
	ncrashes = 0;
	sink_free(a);
}

static void a_crash_between_any_two_steps_loses_nothing_and_doubles_nothing(void **state)
{
	(void)state;
	crash_everywhere(all_at_once, false);
}

static void a_crash_while_rows_are_left_out_loses_nothing_and_doubles_nothing(void **state)
{
	(void)state;
	crash_everywhere(names_and_halves, true);
}

static void after_a_crash_the_batch_under_way_is_sent_again_as_it_was(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	char *first;
	size_t n;

	(void)state;
	a->decide = fails_some_times;
	a->fails = 1 << 30;
	a->about.rows = 100;
	append_rows(t, 0, 100);
	for (int i = 0; i < 100 && !a->calls; i++)
		ch_test_advance(t, 20);
	first = memcpy(malloc(a->nlast), a->last, a->nlast);
	n = a->nlast;
	crash_here(a);
	ch_test_free(t);
	t = world_in(crashes[0]->dir, a, NULL, NULL);
	a->fails = 0;
	a->agains = 0;
	for (int i = 0; i < 100 && !a->rows; i++)
		ch_test_advance(t, 20);
	assert_int_equal(a->agains, 1);
	assert_int_equal(a->nlast, n);
	assert_memory_equal(a->last, first, n);
	append_rows(t, 100, 200);
	wait_rows(t, a, 200);
	each_once(a, 200);
	ch_test_free(t);
	free(crashes[0]);
	ncrashes = 0;
	free(first);
	sink_free(a);
}

/* ---- life ---- */

static void a_reload_under_load_loses_nothing_and_doubles_nothing(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	char ini[512];
	int64_t n = 0;

	(void)state;
	a->about.rows = 50;
	for (int i = 0; i < 200; i++) {
		append_rows(t, n, n + 20);
		n += 20;
		snprintf(ini, sizeof(ini), "[dryrun]\n[ask]\n[records]\ndir = %s/journal\nmax_bytes = 8m\nretention = %dd\n", folder,
			i % 7 + 1);
		ch_test_config(t, ini);
		if (!ch_test_start(t))
			fail_msg("%s", ch_test_errors(t));
		ch_test_advance(t, i % 40);
	}
	wait_rows(t, a, (size_t)n);
	each_once(a, n);
	ch_test_free(t);
	sink_free(a);
}

static void a_sink_that_is_added_gets_what_is_still_in_the_journal_and_all_that_follows(void **state)
{
	struct sink *a = sink_new(), *b = sink_new();
	struct ch_test *t = world(a, b, "sinks = alpha");
	char ini[512];

	(void)state;
	append_rows(t, 0, 10);
	wait_rows(t, a, 10);
	snprintf(ini, sizeof(ini), "[dryrun]\n[ask]\n[records]\ndir = %s/journal\nmax_bytes = 8m\nsinks = alpha, beta\n", folder);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	append_rows(t, 10, 20);
	wait_rows(t, b, 20);
	wait_rows(t, a, 20);
	each_once(a, 20);
	ch_test_free(t);
	sink_free(a);
	sink_free(b);
}

static void a_draining_server_does_not_wait_for_age(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->about.age_ms = 60000;
	append_rows(t, 0, 3);
	ch_test_advance(t, 1000);
	assert_int_equal(a->rows, 0);
	ch_test_server(t)->draining = true;
	ch_test_advance(t, 300);
	assert_int_equal(a->rows, 3);
	ch_test_free(t);
	sink_free(a);
}

static void a_batch_that_was_not_answered_is_sent_again_by_the_next_server(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->decide = never;
	append_rows(t, 0, 3);
	ch_test_advance(t, 500);
	assert_int_equal(a->calls, 1);
	answer_call(t, a, CH_SINK_RETRY);
	ch_test_free(t);
	a->decide = NULL;
	t = world(a, NULL, NULL);
	wait_rows(t, a, 3);
	assert_int_equal(a->agains, 1);
	ch_test_free(t);
	sink_free(a);
}

static void a_sink_that_hangs_holds_up_no_end_and_its_rows_are_sent_after_the_next_start(void **state)
{
	struct sink *a = sink_new(), *b = sink_new();
	struct ch_test *t = world(a, b, NULL);
	struct ch_self *self = ch_test_self(t, "records");

	(void)state;
	a->decide = never;
	append_rows(t, 0, 3);
	ch_test_advance(t, 500);
	assert_int_equal(a->calls, 1);
	assert_int_equal(b->rows, 3);
	ch_test_server(t)->draining = true;
	ch_test_advance(t, 4000);
	assert_false(self->plugin->drained(self)); /* it may be slow */
	ch_test_advance(t, 1000);
	assert_true(self->plugin->drained(self));
	ch_test_free(t);
	assert_int_equal(a->cancels, 1);
	assert_int_equal(a->calls, 1); /* and not asked anew, which nobody would cancel */
	a->decide = NULL;
	t = world(a, b, NULL);
	wait_rows(t, a, 3);
	each_once(a, 3);
	assert_int_equal(a->agains, 1);
	ch_test_free(t);
	sink_free(a);
	sink_free(b);
}

static int fails(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	(void)b;
	(void)out;
	return s->fails ? CH_SINK_RETRY : CH_SINK_DONE;
}

/* The sink that is down leaves the journal first, and the journal's threads must not take what only it needs for no longer needed. */
static void a_stop_keeps_what_a_sink_that_is_down_has_not_got(void **state)
{
	struct sink *a = sink_new(), *b = sink_new();
	struct ch_test *t = world(a, b, NULL);

	(void)state;
	a->decide = fails;
	a->fails = 1;
	append_rows(t, 0, 1000);
	for (int i = 1; i <= 20; i++) { /* each start begins a segment */
		wait_rows(t, b, (size_t)i * 1000);
		ch_test_free(t);
		t = world(a, b, NULL);
		if (i < 20)
			append_rows(t, i * 1000, (i + 1) * 1000);
	}
	a->fails = 0;
	wait_rows(t, a, 20000);
	each_once(a, 20000);
	each_once(b, 20000);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lost_total", NULL), 0);
	ch_test_free(t);
	sink_free(a);
	sink_free(b);
}

static void retention_asks_until_nothing_is_left(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->expired = 95;
	ch_test_wall(t, 3600000);
	ch_test_advance(t, 3700000);
	assert_int_equal(a->expired, 0);
	ch_test_free(t);
	sink_free(a);
}

/* A table that nothing was appended to since the start: its rows at the sinks are as old as any. */
static void retention_and_show_know_tables_from_before_the_restart(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	char command[256];
	const char *text;

	(void)state;
	append_rows(t, 0, 10);
	wait_rows(t, a, 10);
	ch_test_free(t);
	snprintf(command, sizeof(command), "cd '%s/journal' && rm -f *.segment *.checkpoint", folder);
	assert_int_equal(system(command), 0);

	a->asked[0] = 0;
	t = world(a, NULL, NULL);
	ch_test_advance(t, 3700000);
	assert_non_null(strstr(a->asked, " expire:inference_records expire:numbers"));
	a->asked[0] = 0;
	assert_int_equal(ch_test_command(t, &text, "records", "records", "show", "some-request", NULL), 1);
	assert_string_equal(a->asked, " find:inference_records"); /* `numbers` has no req_id */
	ch_test_free(t);
	sink_free(a);
}

static void a_file_of_tables_that_is_damaged_is_told_and_written_anew(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	char command[256];

	(void)state;
	append_rows(t, 0, 10);
	wait_rows(t, a, 10);
	ch_test_free(t);
	snprintf(command, sizeof(command), "printf x | dd of='%s/journal/tables' bs=1 seek=12 conv=notrunc status=none", folder);
	assert_int_equal(system(command), 0);
	t = world(a, NULL, NULL);
	assert_true(ch_test_logged(t, "the file `tables` is damaged"));
	append_rows(t, 10, 20);
	wait_rows(t, a, 20);
	ch_test_free(t);
	t = world(a, NULL, NULL);
	assert_false(ch_test_logged(t, "the file `tables` is damaged"));
	a->asked[0] = 0;
	ch_test_advance(t, 3700000);
	assert_non_null(strstr(a->asked, " expire:inference_records expire:numbers"));
	ch_test_free(t);
	sink_free(a);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(rows_reach_each_sink_once_and_in_order),
		T(a_batch_waits_for_its_age_or_its_rows),
		T(a_batch_has_rows_of_one_table),
		T(a_batch_is_cut_by_bytes),
		T(a_slow_sink_does_not_hold_the_other),
		T(a_batch_that_is_sent_again_is_the_same_byte_for_byte),
		T(a_sink_that_says_when_is_asked_then),
		T(the_poison_row_among_ten_thousand_is_found_by_halving),
		T(rows_that_a_sink_names_are_dead_letters_and_the_others_arrive),
		T(dead_letters_are_told_ten_seconds_at_a_time_and_degrade_the_check_for_minutes),
		T(a_batch_of_nothing_but_refused_rows_is_passed),
		T(a_crash_between_any_two_steps_loses_nothing_and_doubles_nothing),
		T(a_crash_while_rows_are_left_out_loses_nothing_and_doubles_nothing),
		T(after_a_crash_the_batch_under_way_is_sent_again_as_it_was),
		T(a_reload_under_load_loses_nothing_and_doubles_nothing),
		T(a_sink_that_is_added_gets_what_is_still_in_the_journal_and_all_that_follows),
		T(a_draining_server_does_not_wait_for_age),
		T(a_batch_that_was_not_answered_is_sent_again_by_the_next_server),
		T(a_sink_that_hangs_holds_up_no_end_and_its_rows_are_sent_after_the_next_start),
		T(a_stop_keeps_what_a_sink_that_is_down_has_not_got),
		T(retention_asks_until_nothing_is_left),
		T(retention_and_show_know_tables_from_before_the_restart),
		T(a_file_of_tables_that_is_damaged_is_told_and_written_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
