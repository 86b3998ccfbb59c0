/* SPDX-License-Identifier: Apache-2.0 */
/* test_journal.c - what is appended is read, in order, by every consumer, whatever the journal's size and however many write. */
#include <pthread.h>
#include <time.h>

#include "test_journal.h"

static void rows_are_read_as_they_were_written(void **state)
{
	struct journal *j = open_small();
	struct journal_reader *r = reader_at_start(j);

	(void)state;
	expect_nothing(r);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(add_row(j, i, i, NULL), JOURNAL_OK);
	expect_rows(r, 0, 99);
	expect_nothing(r);
	assert_int_equal(add_row(j, 100, 3, NULL), JOURNAL_OK);
	expect_rows(r, 100, 100);
	journal_reader_free(r);
	journal_close(j);
}

static void extreme_values_come_back(void **state)
{
	static const int64_t whole[] = { 0, -1, 1, 63, 64, -64, -65, 8191, 8192, INT64_MAX, INT64_MIN };
	struct journal *j = open_small();
	struct journal_reader *r = reader_at_start(j);
	struct journal_row row;
	unsigned char id[16];

	(void)state;
	memset(id, 0xff, 16);
	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct ch_value v[7] = { ch_v_uuid(id), ch_v_time(whole[i] == INT64_MIN ? INT64_MIN : -whole[i]), ch_v_int(whole[i]),
			ch_v_real(-0.0), ch_v_bool(false), ch_v_text(""), ch_v_blob("\0\xff\0", 3) };

		assert_int_equal(journal_append(j, &test_table, v, NULL), JOURNAL_OK);
		assert_int_equal(journal_next(r, &row), JOURNAL_ROW);
		assert_int_equal(row.values[2].u.i, whole[i]);
		assert_int_equal(row.values[1].u.i, v[1].u.i);
		assert_memory_equal(row.values[0].u.uuid, id, 16);
		assert_true(row.values[3].u.d == 0 && __builtin_signbit(row.values[3].u.d));
		assert_false(row.values[4].null || row.values[4].u.i);
		assert_false(row.values[5].null);
		assert_int_equal(row.values[5].u.s.n, 0);
		assert_int_equal(row.values[6].u.s.n, 3);
		assert_memory_equal(row.values[6].u.s.p, "\0\xff\0", 3);
	}
	journal_reader_free(r);
	journal_close(j);
}

static void what_does_not_fit_its_table_is_refused(void **state)
{
	static const struct ch_column wrong[] = { { "id", CH_V_UUID, 0 }, { "at", CH_V_TIME, 0 } };
	static const struct ch_column upper[] = { { "row_id", CH_V_UUID, 0 }, { "At", CH_V_TIME, 0 } };
	static const struct ch_relation first = { sizeof(first), "t", { wrong, 2, sizeof(wrong[0]) } };
	static const struct ch_relation name = { sizeof(name), "t", { upper, 2, sizeof(upper[0]) } };
	struct journal *j = open_small();
	struct ch_value v[7] = { ch_v_uuid((const unsigned char *)"0123456789abcdef"), ch_v_time(1), ch_v_int(1), ch_v_null(CH_V_REAL),
		ch_v_null(CH_V_BOOL), ch_v_null(CH_V_TEXT), ch_v_null(CH_V_BLOB) };

	(void)state;
	assert_int_equal(journal_append(j, &first, v, NULL), JOURNAL_BAD_TABLE);
	assert_int_equal(journal_append(j, &name, v, NULL), JOURNAL_BAD_TABLE);
	assert_int_equal(journal_append(j, &test_table, v, NULL), JOURNAL_OK);
	v[2] = ch_v_null(CH_V_INT);
	assert_int_equal(journal_append(j, &test_table, v, NULL), JOURNAL_BAD_ROW);
	v[2] = ch_v_text("1");
	assert_int_equal(journal_append(j, &test_table, v, NULL), JOURNAL_BAD_ROW);
	journal_close(j);
}

static void a_row_of_a_mebibyte_fits_and_a_larger_one_is_refused(void **state)
{
	struct journal_conf conf = small_conf();
	struct journal *j;
	struct journal_reader *r;

	(void)state;
	conf.segment_bytes = 2048 * KIB;
	j = open_with(&conf);
	r = reader_at_start(j);
	assert_int_equal(add_row(j, 7, JOURNAL_ROW_MAX - 100, NULL), JOURNAL_OK);
	assert_int_equal(add_row(j, 8, JOURNAL_ROW_MAX, NULL), JOURNAL_TOO_LARGE);
	expect_rows(r, 7, 7);
	journal_reader_free(r);
	journal_close(j);
}

static void rows_go_on_over_segments_and_passed_ones_are_removed(void **state)
{
	struct journal *j = open_small();
	struct journal_reader *a = reader_at_start(j), *b = reader_at_start(j);
	struct journal_status st;
	struct journal_pos pos;
	uint64_t n = 0;

	(void)state;
	for (int round = 0; round < 40; round++) {
		assert_true(journal_step_ahead(j));
		for (int i = 0; i < 100; i++)
			assert_int_equal(add_row(j, n++, 300, NULL), JOURNAL_OK);
		expect_rows(a, n - 100, n - 1);
		journal_tell(a, &pos);
		journal_passed(a, &pos);
		if (round < 20) {
			journal_status(j, &st);
			assert_true(st.used_bytes >= (uint64_t)round * 100 * 300);
			continue;
		}
		if (round == 20)
			expect_rows(b, 0, n - 1);
		else
			expect_rows(b, n - 100, n - 1);
		journal_tell(b, &pos);
		journal_passed(b, &pos);
	}
	assert_true(journal_step_ahead(j));
	journal_status(j, &st);
	assert_true(st.segments <= 2);
	assert_int_equal(st.end.row, n);
	assert_string_equal(st.error, "");
	journal_reader_free(a);
	journal_reader_free(b);
	journal_close(j);
}

/* 16 segments of 64 KiB, rows of about 1 KiB. */
static uint64_t fill_up(struct journal *j, int *rc)
{
	uint64_t n = 0;

	for (; n < 5000; n++) {
		journal_step_ahead(j);
		*rc = add_row(j, n, 1000, NULL);
		if (*rc)
			break;
	}
	return n;
}

static void a_full_journal_drops_its_oldest_rows_and_says_how_many(void **state)
{
	struct journal_conf conf = small_conf();
	struct journal *j;
	struct journal_reader *r;
	struct journal_status st;
	struct journal_row row;
	uint64_t n, lost;
	int rc;

	(void)state;
	conf.on_full = JOURNAL_DROP_OLDEST;
	j = open_with(&conf);
	r = reader_at_start(j);
	add_row(j, 0, 1000, NULL);
	expect_rows(r, 0, 0);
	n = fill_up(j, &rc);
	assert_int_equal(rc, JOURNAL_OK);
	assert_int_equal(n, 5000);
	journal_status(j, &st);
	assert_true(st.used_bytes <= (uint64_t)conf.max_bytes);
	assert_true(st.dropped_segments > 60);
	/* It has read the first; 5000 follow, of which about 15 segments of 56 rows are still there. */
	assert_int_equal(journal_next_loss(r, &row), JOURNAL_LOST);
	assert_int_equal(row.why, JOURNAL_WHY_FULL);
	lost = row.rows;
	assert_in_range(lost, 5000 - 16 * 64, 5000 - 12 * 56);
	assert_int_equal(journal_next_loss(r, &row), JOURNAL_NONE);
	expect_rows(r, lost, n - 1);
	expect_nothing(r);
	journal_reader_free(r);
	journal_close(j);
}

static void a_full_journal_takes_no_new_rows_until_old_ones_are_passed(void **state)
{
	struct journal_conf conf = small_conf();
	struct journal *j;
	struct journal_reader *r;
	struct journal_pos pos;
	uint64_t n;
	int rc;

	(void)state;
	conf.on_full = JOURNAL_DROP_NEW;
	j = open_with(&conf);
	r = reader_at_start(j);
	n = fill_up(j, &rc);
	assert_int_equal(rc, JOURNAL_FULL);
	assert_true(journal_takes(j));
	/* 16 segments of 60 KiB for rows of 1,080 bytes at most. */
	assert_in_range(n, 16 * 56 - 16, 16 * 60);
	expect_rows(r, 0, n - 1);
	journal_tell(r, &pos);
	journal_passed(r, &pos);
	journal_step_ahead(j);
	assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_OK);
	expect_rows(r, n, n);
	journal_reader_free(r);
	journal_close(j);
}

static void refusal_comes_before_the_reserve_is_touched(void **state)
{
	struct journal_conf conf = small_conf();
	struct journal *j;
	struct journal_reader *r;
	uint64_t n = 0, inside = 0;

	(void)state;
	conf.on_full = JOURNAL_REFUSE;
	conf.reserve_bytes = 100 * KIB;
	j = open_with(&conf);
	r = reader_at_start(j);
	for (; journal_takes(j); n++) {
		assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_OK);
		journal_step_ahead(j);
	}
	/* What is in flight then still finds room. */
	while (add_row(j, n + inside, 1000, NULL) == JOURNAL_OK) {
		inside++;
		journal_step_ahead(j);
	}
	assert_in_range(inside, 85, 105);
	expect_rows(r, 0, n + inside - 1);
	journal_reader_free(r);
	journal_close(j);
}

/* Appends rows of so many bytes while there is said to be room: each must find it. Prepares after each, or never. Returns how many. */
static uint64_t fill_while_taken(struct journal *j, uint64_t n, size_t text, bool prepare)
{
	uint64_t first = n;

	while (journal_takes(j)) {
		assert_int_equal(add_row(j, n++, text, NULL), JOURNAL_OK);
		if (prepare)
			journal_step_ahead(j);
	}
	return n - first;
}

/* Of a row of JOURNAL_TAKEN_MAX bytes, less the few of its other columns. */
#define LARGE_TEXT (JOURNAL_TAKEN_MAX - 60)

static struct journal_conf refusing_conf(void)
{
	struct journal_conf conf = small_conf();

	conf.on_full = JOURNAL_REFUSE;
	conf.max_bytes = 8192 * KIB; /* four segments of 2 MiB, a reserve of 512 KiB */
	conf.segment_bytes = 0;
	return conf;
}

static void large_rows_find_room_while_they_are_taken(void **state)
{
	static const size_t texts[] = { 1000, 100 * 1000, LARGE_TEXT };
	struct journal_conf conf = refusing_conf();

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct journal *j = open_with(&conf);
		/* A consumer that keeps all of it. */
		struct journal_reader *r = reader_at_start(j);
		uint64_t n = fill_while_taken(j, 0, texts[i], true);

		/* 7.5 MiB, less what is left free at the ends of three segments: no row, and no whole row, each. */
		assert_in_range(n, (7680 * KIB - 3 * texts[i]) / (texts[i] + 200) - 4, 7680 * KIB / texts[i] + 1);
		journal_reader_free(r);
		journal_close(j);
		remove_all(folder);
	}
}

/* What was cut at a start leaves less than a segment below max_bytes, which no row can use. */
static void room_for_no_whole_segment_is_none(void **state)
{
	struct journal_conf conf = refusing_conf();
	struct journal *j = open_with(&conf);
	struct journal_reader *r;
	uint64_t n;

	(void)state;
	assert_int_equal(add_row(j, 0, 100 * 1000, NULL), JOURNAL_OK);
	journal_close(j);
	j = open_with(&conf);
	r = reader_at_start(j);
	n = 1 + fill_while_taken(j, 1, 100 * 1000, true);
	/* Three segments of 20 rows, the last one up to the reserve. */
	assert_in_range(n, 54, 57);
	expect_rows(r, 0, n - 1);
	journal_reader_free(r);
	journal_close(j);
}

/* Nobody makes the next segment: the disk is slow. */
static void rows_are_refused_while_the_next_segment_is_late(void **state)
{
	struct journal_conf conf = refusing_conf();
	struct journal *j = open_with(&conf);
	uint64_t n = fill_while_taken(j, 0, 1000, false), before = n;

	(void)state;
	/* What is in flight has the rest of the segment: a row of JOURNAL_TAKEN_MAX bytes and a description of 8 KiB. */
	while (add_row(j, n, 1000, NULL) == JOURNAL_OK)
		n++;
	assert_in_range(n - before, 262144 / 1100, (262144 + 16384) / 1000);
	journal_step_ahead(j);
	assert_true(journal_takes(j));
	assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_OK);
	journal_close(j);
	remove_all(folder);
	/* The last one that is taken may be a large one. */
	j = open_with(&conf);
	for (n = 0; n < before - 1; n++)
		assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_OK);
	assert_true(journal_takes(j));
	assert_int_equal(add_row(j, n++, LARGE_TEXT, NULL), JOURNAL_OK);
	assert_false(journal_takes(j));
	journal_close(j);
}

static void a_batch_is_read_again_from_its_beginning(void **state)
{
	struct journal *j = open_small();
	struct journal_reader *r = reader_at_start(j);
	struct journal_pos begin, end;
	struct journal_row row;

	(void)state;
	for (uint64_t i = 0; i < 500; i++) {
		journal_step_ahead(j);
		assert_int_equal(add_row(j, i, 300, NULL), JOURNAL_OK);
	}
	expect_rows(r, 0, 49);
	journal_tell(r, &begin);
	expect_rows(r, 50, 449);
	journal_tell(r, &end);
	assert_int_equal(end.row - begin.row, 400);
	journal_seek(r, &begin);
	for (uint64_t i = 50; i < 450; i++) {
		assert_int_equal(journal_next(r, &row), JOURNAL_ROW);
		assert_int_equal(number_of_row(&row), i);
		assert_true(journal_pos_cmp(&row.next, &end) <= 0);
	}
	assert_int_equal(journal_pos_cmp(&row.next, &end), 0);
	expect_rows(r, 450, 499);
	journal_reader_free(r);
	journal_close(j);
}

static void a_sync_is_told_and_covers_what_was_appended(void **state)
{
	struct journal *j = open_small();
	struct journal_pos end;
	struct journal_status st;

	(void)state;
	for (uint64_t i = 0; i < 300; i++) {
		journal_step_ahead(j);
		assert_int_equal(add_row(j, i, i * 3, &end), JOURNAL_OK);
		assert_false(journal_is_synced(j, &end));
		if (i % 3 == 0) {
			assert_true(journal_step_sync(j));
			assert_true(journal_is_synced(j, &end));
		}
	}
	journal_status(j, &st);
	assert_int_equal(st.sync_failures, 0);
	journal_close(j);
}

static void the_folder_is_one_processs(void **state)
{
	struct journal_conf conf = small_conf();
	struct journal *j = open_with(&conf);
	char err[256];

	(void)state;
	assert_null(journal_open(&conf, err, sizeof(err)));
	assert_non_null(strstr(err, "another process uses the journal in"));
	journal_close(j);
	conf.dir = "/proc/nowhere";
	assert_null(journal_open(&conf, err, sizeof(err)));
	assert_non_null(strstr(err, "the folder /proc/nowhere of the journal cannot be made"));
}

/* ---- many at once ---- */

#define WRITERS 4
#define ROWS_EACH 20000

struct crowd {
	struct journal *j;
	_Atomic uint64_t synced;
};

static void *ahead(void *arg)
{
	journal_run_ahead(((struct crowd *)arg)->j);
	return NULL;
}

static void *syncing(void *arg)
{
	journal_run_sync(((struct crowd *)arg)->j);
	return NULL;
}

static struct crowd crowd;

static void on_synced(void *arg, const struct journal_pos *upto, bool ok)
{
	(void)arg;
	assert_true(ok);
	crowd.synced = upto->row;
}

static void *writer(void *arg)
{
	uint64_t base = (uint64_t)(uintptr_t)arg * ROWS_EACH;

	for (uint64_t i = 0; i < ROWS_EACH; i++) {
		struct journal_pos end;
		int rc;

		/* The consumer passes rows meanwhile, so that full is a wait. */
		while ((rc = add_row(crowd.j, base + i, 200, &end)) == JOURNAL_FULL)
			sched_yield();
		assert_int_equal(rc, JOURNAL_OK);
		if (i % 1000 == 0)
			journal_want_sync(crowd.j);
	}
	return NULL;
}

static void many_writers_readers_and_both_threads_lose_and_double_nothing(void **state)
{
	struct journal_conf conf = small_conf();
	struct journal_reader *r;
	pthread_t threads[WRITERS + 2];
	uint64_t next[WRITERS] = { 0 }, seen = 0;
	struct journal_pos pos;

	(void)state;
	conf.on_full = JOURNAL_DROP_NEW;
	conf.synced = on_synced;
	conf.max_bytes = 4096 * KIB;
	conf.segment_bytes = 256 * KIB;
	crowd.j = open_with(&conf);
	r = reader_at_start(crowd.j);
	pthread_create(&threads[WRITERS], NULL, ahead, &crowd);
	pthread_create(&threads[WRITERS + 1], NULL, syncing, &crowd);
	for (uintptr_t i = 0; i < WRITERS; i++)
		pthread_create(&threads[i], NULL, writer, (void *)i);
	while (seen < WRITERS * ROWS_EACH) {
		struct journal_row row;
		int found = journal_next(r, &row);
		uint64_t n;

		assert_int_not_equal(found, JOURNAL_LOST);
		if (found == JOURNAL_NONE) {
			sched_yield();
			continue;
		}
		n = number_of_row(&row);
		assert_int_equal(n % ROWS_EACH, next[n / ROWS_EACH]++);
		if (++seen % 500 == 0)
			journal_passed(r, &row.next);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	journal_tell(r, &pos);
	journal_passed(r, &pos);
	journal_stop(crowd.j);
	pthread_join(threads[WRITERS], NULL);
	pthread_join(threads[WRITERS + 1], NULL);
	assert_int_equal(crowd.synced, WRITERS * ROWS_EACH);
	journal_reader_free(r);
	journal_close(crowd.j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_are_read_as_they_were_written, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(extreme_values_come_back, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(what_does_not_fit_its_table_is_refused, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_row_of_a_mebibyte_fits_and_a_larger_one_is_refused, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(rows_go_on_over_segments_and_passed_ones_are_removed, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_full_journal_drops_its_oldest_rows_and_says_how_many, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_full_journal_takes_no_new_rows_until_old_ones_are_passed, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(refusal_comes_before_the_reserve_is_touched, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(large_rows_find_room_while_they_are_taken, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(room_for_no_whole_segment_is_none, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(rows_are_refused_while_the_next_segment_is_late, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_batch_is_read_again_from_its_beginning, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_sync_is_told_and_covers_what_was_appended, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(the_folder_is_one_processs, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(many_writers_readers_and_both_threads_lose_and_double_nothing, new_folder, no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
