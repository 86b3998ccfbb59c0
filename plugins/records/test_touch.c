/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal_touch: who reads afterwards need not wait for a page. Page faults of this thread are counted. And how many pages are ready for
 * rows that may come.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include "test_journal.h"
#include "journal_parts.h"

#define ROWS 4000

static long faults(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_THREAD, &u), 0);
	return u.ru_minflt + u.ru_majflt;
}

/* As if the rows had been written long ago: their pages are not in this process any more. */
static void forget(struct journal *j)
{
	for (struct segment *s = j->oldest; s; s = s->next)
		assert_int_equal(madvise(s->map, s->size, MADV_DONTNEED), 0);
}

static size_t read_all(struct journal_reader *r)
{
	struct journal_row row;
	size_t n = 0;

	while (journal_next(r, &row) == JOURNAL_ROW)
		n++;
	return n;
}

static void what_was_touched_is_read_without_a_page_fault(void **state)
{
	struct journal_conf conf = {
		.dir = folder, .max_bytes = 8 << 20, .segment_bytes = 256 * KIB, .sync_interval_us = 1000000, .log = hear
	};
	struct journal_pos start = { 0, 0, 0 };
	char err[200];
	struct journal *j = journal_open(&conf, err, sizeof(err));
	struct journal_reader *r;
	long before, cold, warm, least = 1000000;

	(void)state;
	assert_non_null(j);
	r = journal_reader(j, "one", &start);
	for (int i = 0; i < ROWS; i++)
		while (add_row(j, i, 400, NULL) == JOURNAL_FULL)
			assert_true(journal_step_ahead(j));
	journal_tell(r, &start);

	forget(j);
	before = faults();
	assert_int_equal(read_all(r), ROWS);
	cold = faults() - before;

	/* A machine in need may take pages back between the two, and a sanitizer has its own: the best of some tries counts. */
	for (int try = 0; try < 10 && least > 2; try++) {
		journal_seek(r, &start);
		forget(j);
		journal_touch(j, &start, ROWS * 600);
		before = faults();
		assert_int_equal(read_all(r), ROWS);
		warm = faults() - before;
		if (warm < least)
			least = warm;
	}

	/* 4000 rows of 400 bytes and more are 390 pages at least; a kernel maps some of them by one fault, mostly 16. */
	if (cold < 8 || least > 2)
		fail_msg("%ld page faults cold, %ld after a touch", cold, least);
	journal_reader_free(r);
	journal_close(j);
}

static void touching_more_than_there_is_or_what_is_gone_does_nothing(void **state)
{
	struct journal_conf conf = {
		.dir = folder, .max_bytes = 8 << 20, .segment_bytes = 256 * KIB, .sync_interval_us = 1000000, .log = hear
	};
	struct journal_pos nowhere = { 900, 5000, 0 }, start = { 0, 0, 0 }, behind = { 1, 200 * KIB, 0 };
	char err[200];
	struct journal *j = journal_open(&conf, err, sizeof(err));

	(void)state;
	assert_non_null(j);
	journal_touch(j, &nowhere, 1 << 30);
	journal_touch(j, &start, 1 << 30);
	journal_touch(j, &behind, 1 << 30);
	for (struct segment *s = j->oldest; s; s = s->next)
		assert_int_equal(s->users, 0);
	journal_close(j);
}

/* A journal that nobody writes to costs little memory; one that rows come to has room for a tenth of a second of them. */
static void few_pages_are_ready_until_rows_come(void **state)
{
	struct journal_conf conf = {
		.dir = folder, .max_bytes = 64 << 20, .segment_bytes = 4 << 20, .sync_interval_us = 1000000, .log = hear
	};
	char err[200];
	struct journal *j = journal_open(&conf, err, sizeof(err));

	(void)state;
	assert_non_null(j);
	assert_int_equal(j->window, 1 << 20);
	for (int i = 0; i < 4; i++)
		assert_true(journal_step_ahead(j));
	assert_non_null(j->spare);
	assert_in_range(j->current->touched, 256 * KIB, 256 * KIB + j->page); /* behind the header */
	assert_int_equal(j->spare->touched, 0);

	/* The first row asks for more, as it finds less than half of what is wanted. */
	j->ahead_asked = false;
	assert_int_equal(add_row(j, 0, 400, NULL), JOURNAL_OK);
	assert_true(j->ahead_asked);
	assert_int_equal(j->status.page_waits, 0);
	assert_true(journal_step_ahead(j));
	assert_in_range(j->current->touched, 1 << 20, (1 << 20) + 64 * KIB);
	assert_int_equal(j->spare->touched, 256 * KIB);
	assert_int_equal(j->current->users + j->spare->users, 0);
	journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_touched_is_read_without_a_page_fault, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(touching_more_than_there_is_or_what_is_gone_does_nothing, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(few_pages_are_ready_until_rows_come, new_folder, no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
