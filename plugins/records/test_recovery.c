/* SPDX-License-Identifier: Apache-2.0 */
/* test_recovery.c - what is in the folder is served again: after kill -9, torn, flipped, truncated, zeroed and with files missing. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "segment.h"
#include "test_journal.h"

/* ---- the files ---- */

struct file {
	char path[512];
	unsigned char *p;
	size_t n;
};

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_segment(const struct dirent *e)
{
	return strstr(e->d_name, ".segment") != NULL;
}

/* The i-th segment of the folder; p NULL: there are not as many. */
static struct file load(int i)
{
	struct file f = { .p = NULL };
	struct dirent **e;
	int n = scandir(folder, &e, is_segment, by_name);
	FILE *in;

	for (int k = 0; k < n; k++) {
		if (k == i)
			snprintf(f.path, sizeof(f.path), "%s/%s", folder, e[k]->d_name);
		free(e[k]);
	}
	free(e);
	if (!f.path[0])
		return f;
	in = fopen(f.path, "rb");
	assert_non_null(in);
	fseek(in, 0, SEEK_END);
	f.n = (size_t)ftell(in);
	rewind(in);
	f.p = malloc(f.n + 1);
	assert_int_equal(fread(f.p, 1, f.n, in), f.n);
	fclose(in);
	return f;
}

static void store(const struct file *f)
{
	FILE *out = fopen(f->path, "wb");

	assert_int_equal(fwrite(f->p, 1, f->n, out), f->n);
	fclose(out);
}

static void done(struct file *f)
{
	free(f->p);
	f->p = NULL;
}

/* The offset of row `nth` (from 0) of a segment. */
static size_t offset_of(const struct file *f, uint64_t nth, struct segment_record *r)
{
	struct segment_header h;
	size_t at = SEGMENT_PAGE;

	assert_true(segment_get_header(f->p, f->n, &h));
	for (;; at = r->next) {
		assert_true(segment_get(&(struct segment_view){ f->p, h.number, f->n }, at, r));
		if (r->kind == SEGMENT_ROW && !nth--)
			return at;
	}
}

static unsigned quarantined(void)
{
	char path[256];
	struct dirent **e;
	int n, files = 0;

	snprintf(path, sizeof(path), "%s/quarantine", folder);
	n = scandir(path, &e, NULL, NULL);
	for (int i = 0; i < n; i++) {
		files += e[i]->d_name[0] != '.';
		free(e[i]);
	}
	if (n >= 0)
		free(e);
	return (unsigned)files;
}

/* Rows 0 to n - 1 with texts of `text` bytes, in as many segments as they need; what a process leaves that was killed then. */
static void make(uint64_t n, size_t text)
{
	struct journal *j = open_small();

	for (uint64_t i = 0; i < n; i++) {
		journal_step_ahead(j);
		assert_int_equal(add_row(j, i, text, NULL), JOURNAL_OK);
	}
	journal_close(j);
	said[0] = 0;
}

static struct journal_status status_of(struct journal *j)
{
	struct journal_status st;

	journal_status(j, &st);
	return st;
}

/* ---- */

static void rows_are_there_after_closing_and_opening(void **state)
{
	struct journal_reader *r;
	struct journal *j;

	(void)state;
	make(1000, 100);
	j = open_small();
	r = reader_at_start(j);
	expect_rows(r, 0, 999);
	expect_nothing(r);
	assert_int_equal(add_row(j, 1000, 0, NULL), JOURNAL_OK);
	expect_rows(r, 1000, 1000);
	assert_int_equal(status_of(j).damaged_stretches, 0);
	assert_int_equal(status_of(j).torn_bytes, 0);
	assert_int_equal(status_of(j).end.row, 1001);
	journal_reader_free(r);
	journal_close(j);
}

static void every_row_that_append_took_is_there_after_kill_9(void **state)
{
	struct journal_conf conf = small_conf();
	_Atomic uint64_t *appended = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct journal_reader *r;
	struct journal_row row;
	struct journal *j;
	uint64_t want, at = 0;
	pid_t child;

	(void)state;
	conf.max_bytes = 64 * 1024 * KIB; /* nothing is dropped */
	for (int round = 0; round < 5; round++) {
		child = fork();
		if (!child) {
			j = open_with(&conf);
			for (;;) {
				journal_step_ahead(j);
				if (add_row(j, *appended, 50, NULL) != JOURNAL_OK)
					_exit(1);
				++*appended;
			}
		}
		for (want = *appended + 300; *appended < want;)
			sched_yield();
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		j = open_with(&conf);
		r = reader_at_start(j);
		/* The one that was being appended may be there too; then the next child appends it again. */
		for (at = 0; journal_next(r, &row) == JOURNAL_ROW; at++)
			if (number_of_row(&row) != at)
				at--;
		assert_in_range(at, *appended, *appended + 1);
		assert_int_equal(status_of(j).damaged_stretches, 0);
		journal_reader_free(r);
		journal_close(j);
	}
	munmap((void *)appended, 4096);
}

static void a_torn_tail_is_cut_and_told(void **state)
{
	struct segment_record rec;
	struct journal_reader *r;
	struct journal *j;
	struct file f;
	size_t at;

	(void)state;
	make(10, 100);
	f = load(0);
	at = offset_of(&f, 9, &rec);
	memset(f.p + at + 50, 0, f.n - at - 50);
	store(&f);
	done(&f);
	j = open_small();
	assert_non_null(strstr(said, "cut off"));
	assert_in_range(status_of(j).torn_bytes, 40, 50);
	assert_int_equal(status_of(j).damaged_stretches, 0);
	r = reader_at_start(j);
	expect_rows(r, 0, 8);
	expect_nothing(r);
	/* Numbers go on; nobody was promised the row that was cut. */
	assert_int_equal(add_row(j, 9, 1, NULL), JOURNAL_OK);
	expect_rows(r, 9, 9);
	journal_reader_free(r);
	journal_close(j);
	/* It is told once. */
	said[0] = 0;
	j = open_small();
	assert_null(strstr(said, "cut off"));
	journal_close(j);
}

static void a_flipped_row_is_quarantined_and_the_rest_served(void **state)
{
	struct segment_record rec;
	struct journal_reader *r;
	struct journal *j;
	struct file f;
	size_t at;

	(void)state;
	make(1000, 100);
	f = load(1);
	at = offset_of(&f, 7, &rec);
	f.p[at + 60] ^= 4;
	store(&f);
	done(&f);
	j = open_small();
	assert_int_equal(status_of(j).damaged_stretches, 1);
	assert_int_equal(status_of(j).damaged_bytes, rec.next - at);
	assert_int_equal(quarantined(), 1);
	assert_non_null(strstr(said, "damaged, no row can be read there"));
	r = reader_at_start(j);
	expect_rows(r, 0, rec.row - 1);
	assert_int_equal(expect_loss(r, JOURNAL_WHY_DAMAGED), 1);
	expect_rows(r, rec.row + 1, 999);
	expect_nothing(r);
	journal_reader_free(r);
	journal_close(j);
}

/* Each byte of a segment in turn, one bit of it: no row is wrong, and none is missing without a word. */
static void every_flip_is_detected_or_harmless(void **state)
{
	struct journal_row row;
	struct file f;
	size_t content;

	(void)state;
	make(6, 20);
	f = load(0);
	content = f.n;
	while (!f.p[content - 1])
		content--;
	done(&f);
	no_folder(NULL);
	for (size_t at = 0; at < content + 8; at += at < 64 || at >= SEGMENT_PAGE ? 1 : 512) {
		struct journal_reader *r;
		struct journal *j;
		uint64_t rows = 0, lost = 0;
		int found;

		new_quick_folder(NULL);
		make(6, 20);
		f = load(0);
		f.p[at] ^= (unsigned char)(1u << at % 8);
		store(&f);
		done(&f);
		j = open_small();
		r = reader_at_start(j);
		/* One more, so that a loss at the end shows as a gap. */
		assert_int_equal(add_row(j, 6, 20, NULL), JOURNAL_OK);
		for (uint64_t next = 0; (found = journal_next(r, &row)) != JOURNAL_NONE;) {
			if (found == JOURNAL_LOST) {
				lost += row.rows;
				next += row.rows;
				continue;
			}
			/* Before the first row that is left nobody knows how many there were. */
			assert_true(number_of_row(&row) >= next);
			next = number_of_row(&row) + 1;
			rows++;
		}
		if (rows + lost != 7)
			assert_true(status_of(j).damaged_stretches + (status_of(j).torn_bytes > 0) > 0);
		if (rows != 7)
			assert_true(status_of(j).damaged_bytes + status_of(j).torn_bytes > 0);
		journal_reader_free(r);
		journal_close(j);
		no_folder(NULL);
	}
	new_quick_folder(NULL);
}

static void a_zeroed_page_costs_its_rows_only(void **state)
{
	struct journal_reader *r;
	struct journal *j;
	struct journal_row row;
	uint64_t rows = 0, lost = 0, next = 0;
	struct file f;
	int found;

	(void)state;
	make(1000, 100);
	f = load(0);
	memset(f.p + 5 * SEGMENT_PAGE, 0, SEGMENT_PAGE);
	store(&f);
	done(&f);
	j = open_small();
	r = reader_at_start(j);
	while ((found = journal_next(r, &row)) != JOURNAL_NONE) {
		if (found == JOURNAL_LOST) {
			assert_int_equal(row.why, JOURNAL_WHY_DAMAGED);
			lost += row.rows;
			next += row.rows;
			continue;
		}
		assert_int_equal(number_of_row(&row), next++);
		rows++;
	}
	assert_int_equal(rows + lost, 1000);
	/* 4,096 bytes of rows of about 190. */
	assert_in_range(lost, 4096 / 200, 4096 / 180 + 2);
	journal_reader_free(r);
	journal_close(j);
}

static void a_truncated_segment_costs_what_was_cut(void **state)
{
	struct journal_reader *r;
	struct journal *j;
	struct journal_row row;
	uint64_t lost;
	struct file f;

	(void)state;
	make(1000, 100);
	f = load(1);
	f.n = 20000;
	store(&f);
	done(&f);
	j = open_small();
	r = reader_at_start(j);
	for (uint64_t next = 0;; next++) {
		int found = journal_next(r, &row);

		if (found == JOURNAL_LOST) {
			lost = row.rows;
			expect_rows(r, next + lost, 999);
			break;
		}
		assert_int_equal(found, JOURNAL_ROW);
		assert_int_equal(number_of_row(&row), next);
	}
	/* 65,536 - 20,000 bytes. */
	assert_in_range(lost, 45536 / 200, 45536 / 180);
	expect_nothing(r);
	journal_reader_free(r);
	journal_close(j);
}

static void a_missing_segment_is_told_and_counted(void **state)
{
	struct segment_record first, behind;
	struct journal_reader *r;
	struct journal *j;
	struct file f;

	(void)state;
	make(1000, 100);
	f = load(1);
	offset_of(&f, 0, &first);
	unlink(f.path);
	done(&f);
	f = load(1);
	offset_of(&f, 0, &behind);
	done(&f);
	j = open_small();
	assert_int_equal(status_of(j).missing_segments, 1);
	assert_non_null(strstr(said, "missing: their rows are lost"));
	r = reader_at_start(j);
	expect_rows(r, 0, first.row - 1);
	assert_int_equal(expect_loss(r, JOURNAL_WHY_MISSING), behind.row - first.row);
	expect_rows(r, behind.row, 999);
	journal_reader_free(r);
	journal_close(j);
}

/* The description of a table is in every segment; one of them is enough. */
static void a_lost_description_is_found_in_another_segment(void **state)
{
	struct journal_reader *r;
	struct journal *j;
	struct file f;

	(void)state;
	make(1000, 100);
	f = load(0);
	f.p[SEGMENT_PAGE + SEGMENT_RECORD + 3] ^= 1;
	memset(f.p, 0, SEGMENT_PAGE); /* and its header */
	store(&f);
	done(&f);
	j = open_small();
	r = reader_at_start(j);
	expect_rows(r, 0, 999);
	journal_reader_free(r);
	journal_close(j);
}

static void a_consumer_goes_on_where_it_was(void **state)
{
	struct journal_pos passed;
	struct journal_reader *r;
	struct journal *j;

	(void)state;
	make(1000, 100);
	j = open_small();
	r = reader_at_start(j);
	expect_rows(r, 0, 612);
	journal_tell(r, &passed);
	journal_reader_free(r);
	journal_close(j);
	for (int i = 0; i < 3; i++) {
		j = open_small();
		r = journal_reader(j, "test", &passed);
		expect_rows(r, 613, 999 + (uint64_t)i);
		expect_nothing(r);
		assert_int_equal(add_row(j, 1000 + (uint64_t)i, 3, NULL), JOURNAL_OK);
		journal_reader_free(r);
		journal_close(j);
	}
}

/* The numbers of a new journal are the seconds of its beginning; a position of a later one cannot be its own. */
static void a_position_of_another_journal_is_the_oldest_row(void **state)
{
	struct journal_pos passed = { UINT64_C(1) << 40, 5000, 700 };
	struct journal_reader *r;
	struct journal *j;

	(void)state;
	make(10, 100);
	j = open_small();
	r = journal_reader(j, "elsewhere", &passed);
	assert_non_null(strstr(said, "elsewhere is at segment 1099511627776 of the journal"));
	expect_rows(r, 0, 9);
	journal_reader_free(r);
	/* One of an earlier journal, whose rows are no more. */
	passed.segment = 1000;
	r = journal_reader(j, "before", &passed);
	expect_rows(r, 0, 9);
	journal_reader_free(r);
	journal_close(j);
}

static void many_restarts_use_little_room(void **state)
{
	struct journal_reader *r;
	struct journal *j;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		j = open_small();
		assert_int_equal(add_row(j, i, 10, NULL), JOURNAL_OK);
		assert_true(status_of(j).used_bytes < 102 * 8192);
		journal_close(j);
	}
	j = open_small();
	r = reader_at_start(j);
	expect_rows(r, 0, 99);
	journal_reader_free(r);
	journal_close(j);
}

static void other_files_in_the_folder_are_left_alone(void **state)
{
	struct journal *j;
	struct file f;
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/notes.segment.txt", folder);
	f = (struct file){ .p = (unsigned char *)"x", .n = 1 };
	strcpy(f.path, path);
	store(&f);
	snprintf(f.path, sizeof(f.path), "%s/000000000000.segment", folder);
	store(&f);
	make(10, 10);
	j = open_small();
	assert_int_equal(status_of(j).missing_segments, 0);
	assert_int_equal(access(path, F_OK), 0);
	journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_are_there_after_closing_and_opening, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(every_row_that_append_took_is_there_after_kill_9, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_torn_tail_is_cut_and_told, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_flipped_row_is_quarantined_and_the_rest_served, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(every_flip_is_detected_or_harmless, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_zeroed_page_costs_its_rows_only, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_truncated_segment_costs_what_was_cut, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_missing_segment_is_told_and_counted, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_lost_description_is_found_in_another_segment, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_consumer_goes_on_where_it_was, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_position_of_another_journal_is_the_oldest_row, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(many_restarts_use_little_room, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(other_files_in_the_folder_are_left_alone, new_quick_folder, no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
