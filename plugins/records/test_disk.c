/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_disk.c - a disk that fails, is full or hangs: what is acknowledged is on a file that never failed, and appending waits for nothing.
 * msync, posix_fallocate and fsync of the journal are this program's own.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "test_journal.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

/* ---- the disk ---- */

static struct {
	atomic_int fail_msync;             /* so many fail with EIO; below 0: all */
	atomic_uint fail_these;            /* the i-th one from now on fails where bit i is set */
	atomic_int msyncs;
	atomic_int fail_room;              /* posix_fallocate: ENOSPC; the same */
	atomic_int hang;                   /* 1: whoever asks for the disk waits, … */
	atomic_int hanging;                /* … these now */
} disk;

/* Counts one off; -1 is never used up. */
static bool use_one(atomic_int *left)
{
	int n = atomic_load(left);

	while (n > 0 && !atomic_compare_exchange_weak(left, &n, n - 1))
		;
	return n != 0;
}

static void maybe_hang(void)
{
	atomic_fetch_add(&disk.hanging, 1);
	while (atomic_load(&disk.hang))
		sched_yield();
	atomic_fetch_sub(&disk.hanging, 1);
}

int msync(void *p, size_t n, int flags)
{
	maybe_hang();
	if (n > 4096) { /* a header's sync is one page: a segment can be made */
		unsigned these = atomic_load(&disk.fail_these);

		atomic_store(&disk.fail_these, these >> 1);
		atomic_fetch_add(&disk.msyncs, 1);
		if ((these & 1) || use_one(&disk.fail_msync)) {
			errno = EIO;
			return -1;
		}
	}
	return (int)syscall(SYS_msync, p, n, flags);
}

int posix_fallocate(int fd, off_t at, off_t n)
{
	maybe_hang();
	if (use_one(&disk.fail_room))
		return ENOSPC;
	return syscall(SYS_fallocate, fd, 0, at, n) ? errno : 0;
}

int fsync(int fd)
{
	maybe_hang();
	return (int)syscall(SYS_fsync, fd);
}

/* ---- what the journal told ---- */

static struct {
	pthread_mutex_t lock;
	struct journal_pos synced;
	struct journal_pos wanted;         /* when it is told first that all before this is durable … */
	int wanted_at;                     /* … so many syncs had been */
	unsigned not_ok;
} told = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_synced(void *arg, const struct journal_pos *upto, bool ok)
{
	(void)arg;
	pthread_mutex_lock(&told.lock);
	if (ok && !told.wanted_at && journal_pos_cmp(upto, &told.wanted) >= 0)
		told.wanted_at = atomic_load(&disk.msyncs);
	if (ok)
		told.synced = *upto;
	else
		told.not_ok++;
	pthread_mutex_unlock(&told.lock);
}

static int setup(void **state)
{
	memset(&disk, 0, sizeof(disk));
	told.synced = (struct journal_pos){ 0 };
	told.not_ok = 0;
	told.wanted = (struct journal_pos){ UINT64_MAX, 0, 0 };
	told.wanted_at = 0;
	return new_folder(state);
}

static struct journal_conf disk_conf(void)
{
	struct journal_conf conf = small_conf();

	conf.synced = on_synced;
	conf.on_full = JOURNAL_DROP_NEW;
	return conf;
}

static struct journal_status status_of(struct journal *j)
{
	struct journal_status st;

	journal_status(j, &st);
	return st;
}

/* All rows 0 to n - 1, each at least once, in any order. */
static void expect_all(struct journal_reader *r, uint64_t n)
{
	unsigned char *seen = calloc(1, n);
	struct journal_row row;
	int found;

	while ((found = journal_next(r, &row)) != JOURNAL_NONE) {
		assert_int_equal(found, JOURNAL_ROW);
		seen[number_of_row(&row)] = 1;
	}
	for (uint64_t i = 0; i < n; i++)
		assert_true(seen[i]);
	free(seen);
}

/* ---- failing ---- */

static void rows_of_a_failed_sync_are_repeated_in_another_file(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal *j = open_with(&conf);
	struct journal_reader *r = reader_at_start(j);
	struct journal_pos first, second, third;
	uint64_t old;

	(void)state;
	journal_step_ahead(j);
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(add_row(j, i, 100, &first), JOURNAL_OK);
	assert_true(journal_step_sync(j));
	assert_true(journal_is_synced(j, &first));
	old = first.segment;
	for (uint64_t i = 50; i < 100; i++)
		assert_int_equal(add_row(j, i, 100, &second), JOURNAL_OK);
	disk.fail_msync = 1;
	/* The repetition is synced at once: on another file. */
	assert_true(journal_step_sync(j));
	assert_true(journal_is_synced(j, &second));
	assert_true(told.synced.segment > old);
	assert_int_equal(status_of(j).sync_failures, 1);
	assert_int_equal(status_of(j).repeated_rows, 50);
	assert_false(status_of(j).failed);
	assert_non_null(strstr(said, "cannot be made durable: Input/output error"));
	assert_int_equal(add_row(j, 100, 100, &third), JOURNAL_OK);
	assert_true(third.segment > old);
	expect_rows(r, 0, 100);
	expect_nothing(r);
	journal_reader_free(r);
	journal_close(j);
	/* The next process knows which ones count. */
	j = open_with(&conf);
	r = reader_at_start(j);
	expect_rows(r, 0, 100);
	expect_nothing(r);
	journal_reader_free(r);
	journal_close(j);
}

/* Three files: the first fails, the second is fine, what repeats the first one is in the third and that fails once more. */
static void a_later_file_does_not_vouch_for_an_earlier_one(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal *j = open_with(&conf);
	struct journal_reader *r = reader_at_start(j);
	struct journal_pos end;
	uint64_t n = 0, first;

	(void)state;
	journal_step_ahead(j);
	assert_int_equal(add_row(j, n++, 1000, &end), JOURNAL_OK);
	first = end.segment;
	while (end.segment == first) {
		told.wanted = end; /* the last one of the first file */
		assert_int_equal(add_row(j, n++, 1000, &end), JOURNAL_OK);
	}
	journal_step_ahead(j);
	for (int i = 0; i < 30; i++)
		assert_int_equal(add_row(j, n++, 1000, &end), JOURNAL_OK);
	assert_int_equal(end.segment, first + 1);
	disk.msyncs = 0;
	disk.fail_these = 1 | 4;
	while (!journal_step_sync(j))
		journal_step_ahead(j);
	assert_int_equal(status_of(j).sync_failures, 2);
	assert_true(told.wanted_at >= 4);
	expect_all(r, n);
	journal_reader_free(r);
	journal_close(j);
}

static void nothing_is_acknowledged_until_the_repetition_is_on_disk(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal *j = open_with(&conf);
	struct journal_reader *r = reader_at_start(j);
	struct journal_pos end;

	(void)state;
	/* No spare, and none can be made. */
	disk.fail_room = -1;
	disk.fail_msync = -1;
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(add_row(j, i, 100, &end), JOURNAL_OK);
	assert_false(journal_step_sync(j));
	assert_false(journal_is_synced(j, &end));
	assert_int_equal(told.not_ok, 1);
	assert_true(status_of(j).failed);
	/* The disk would take it now: that file is not asked again. */
	disk.fail_msync = 0;
	assert_false(journal_step_sync(j));
	assert_false(journal_is_synced(j, &end));
	expect_rows(r, 0, 49);
	disk.fail_room = 0;
	while (!status_of(j).segments || !journal_step_sync(j))
		journal_step_ahead(j);
	assert_true(journal_is_synced(j, &end));
	assert_false(status_of(j).failed);
	assert_int_equal(status_of(j).repeated_rows, 50);
	journal_reader_free(r);
	journal_close(j);
	j = open_with(&conf);
	r = reader_at_start(j);
	expect_rows(r, 0, 49);
	expect_nothing(r);
	journal_reader_free(r);
	journal_close(j);
}

static void files_that_fail_at_random_lose_no_acknowledged_row(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal *j;
	struct journal_reader *r;
	struct journal_pos end = { 0 };
	unsigned seed = (unsigned)time(NULL);
	uint64_t n = 0;

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	conf.max_bytes = 32 * 1024 * KIB;
	j = open_with(&conf);
	for (int round = 0; round < 300; round++) {
		journal_step_ahead(j);
		for (long k = random() % 60; k > 0; k--)
			assert_int_equal(add_row(j, n++, (size_t)(random() % 400), &end), JOURNAL_OK);
		disk.fail_msync = random() % 4 == 0 ? 1 + (int)(random() % 3) : 0;
		if (journal_step_sync(j))
			assert_true(journal_is_synced(j, &end));
	}
	disk.fail_msync = 0;
	while (!journal_step_sync(j))
		journal_step_ahead(j);
	assert_true(journal_is_synced(j, &end));
	r = reader_at_start(j);
	expect_all(r, n);
	journal_reader_free(r);
	journal_close(j);
	j = open_with(&conf);
	r = reader_at_start(j);
	expect_all(r, n);
	assert_int_equal(status_of(j).damaged_stretches, 0);
	journal_reader_free(r);
	journal_close(j);
}

/* ---- full ---- */

static void a_full_disk_is_told_and_over_when_there_is_room(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal *j = open_with(&conf);
	uint64_t n = 0;

	(void)state;
	disk.fail_room = -1;
	while (add_row(j, n, 1000, NULL) == JOURNAL_OK)
		n++;
	assert_in_range(n, 50, 60);
	assert_false(journal_step_ahead(j));
	assert_true(status_of(j).no_room);
	assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_FULL);
	assert_non_null(strstr(said, "No space left on device"));
	disk.fail_room = 0;
	while (status_of(j).no_room)
		journal_step_ahead(j);
	assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_OK);
	journal_close(j);
}

static void a_disk_that_is_full_at_the_start_is_waited_for(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal *j;

	(void)state;
	disk.fail_room = -1;
	j = open_with(&conf);
	assert_int_equal(add_row(j, 0, 10, NULL), JOURNAL_FULL);
	assert_true(status_of(j).no_room);
	disk.fail_room = 0;
	while (add_row(j, 0, 10, NULL) != JOURNAL_OK)
		journal_step_ahead(j);
	journal_close(j);
}

static void a_full_disk_makes_the_oldest_rows_go_where_that_is_wanted(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal *j;
	struct journal_reader *r;
	uint64_t n = 0;

	(void)state;
	conf.on_full = JOURNAL_DROP_OLDEST;
	j = open_with(&conf);
	r = reader_at_start(j);
	journal_step_ahead(j);
	for (; n < 100; n++)
		assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_OK);
	expect_rows(r, 0, 9);
	disk.fail_room = 1; /* room for one is there as soon as the oldest has gone */
	assert_true(journal_step_ahead(j));
	assert_int_equal(status_of(j).dropped_segments, 1);
	assert_in_range(expect_loss(r, JOURNAL_WHY_FULL), 40, 50);
	for (; n < 200; n++) {
		journal_step_ahead(j);
		assert_int_equal(add_row(j, n, 1000, NULL), JOURNAL_OK);
	}
	journal_reader_free(r);
	journal_close(j);
}

/* ---- slow ---- */

static void *ahead(void *j)
{
	journal_run_ahead(j);
	return NULL;
}

static void *syncing(void *j)
{
	journal_run_sync(j);
	return NULL;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Both threads hang in the disk for a second and more; what there is room for is appended meanwhile, no append waiting for them. */
static void appending_is_quick_while_the_disk_hangs(void **state)
{
	struct journal_conf conf = disk_conf();
	struct journal_pos end;
	struct journal *j;
	struct journal_reader *r;
	pthread_t threads[2];
	int64_t began, worst = 0;
	uint64_t n = 0, slow = 0;

	(void)state;
	conf.segment_bytes = 8192 * KIB;
	conf.max_bytes = 64 * 1024 * KIB;
	j = open_with(&conf);
	r = reader_at_start(j);
	pthread_create(&threads[0], NULL, ahead, j);
	pthread_create(&threads[1], NULL, syncing, j);
	assert_int_equal(add_row(j, n++, 300, NULL), JOURNAL_OK);
	disk.hang = 1;
	while (!disk.hanging) {
		assert_int_equal(add_row(j, n++, 300, &end), JOURNAL_OK);
		journal_want_sync(j);
		sched_yield();
	}
	began = now_us();
	while (now_us() - began < 1500000 && n < 20000) {
		int64_t before = now_us(), took;

		assert_int_equal(add_row(j, n++, 300, &end), JOURNAL_OK);
		took = now_us() - before;
		if (took > worst)
			worst = took;
		slow += took >= 500000;
		for (before = now_us(); now_us() - before < 70;)
			sched_yield();
	}
	assert_true(disk.hanging > 0);
	assert_false(journal_is_synced(j, &end));
	disk.hang = 0;
	while (!journal_is_synced(j, &end))
		sched_yield();
	print_message("the slowest of %" PRIu64 " appends while the disk hung took %" PRId64 " us\n", n, worst);
	/* One that waited for the disk would be there still; one or two may be what a busy machine makes us wait. */
	assert_true(slow <= 2);
	expect_rows(r, 0, n - 1);
	journal_stop(j);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	journal_reader_free(r);
	journal_close(j);
}

/* Pages are faulted in ahead, and a sync does not take them away again: that is where a writer would wait for the disk. */
static void write_and_count(long *faults, long *pages)
{
	struct journal_conf conf = disk_conf();
	struct journal *j;
	struct rusage before, after;

	*faults = *pages = 0;
	conf.segment_bytes = 2048 * KIB;
	conf.max_bytes = 32 * 1024 * KIB;
	j = open_with(&conf);
	for (uint64_t n = 0; n < 20000; n += 200) {
		journal_step_ahead(j);
		getrusage(RUSAGE_THREAD, &before);
		for (uint64_t i = n; i < n + 100; i++)
			assert_int_equal(add_row(j, i, 300, NULL), JOURNAL_OK);
		getrusage(RUSAGE_THREAD, &after);
		*faults += after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
		assert_true(journal_step_sync(j));
		getrusage(RUSAGE_THREAD, &before);
		for (uint64_t i = n + 100; i < n + 200; i++)
			assert_int_equal(add_row(j, i, 300, NULL), JOURNAL_OK);
		getrusage(RUSAGE_THREAD, &after);
		*faults += after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
		*pages += 200 * 380 / 4096;
	}
	journal_close(j);
}

static void writers_meet_no_page_fault(void **state)
{
	long faults, pages;

	for (int try = 0;; try++) { /* a machine in need takes pages back: the best of some tries counts */
		write_and_count(&faults, &pages);
		print_message("%ld page faults over %ld pages\n", faults, pages);
		if (faults < pages / 20 || SANITIZED) /* sanitizers fault in memory of their own for each page */
			break;
		assert_true(try < 4);
		no_folder(state);
		setup(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_of_a_failed_sync_are_repeated_in_another_file, setup, no_folder),
		cmocka_unit_test_setup_teardown(a_later_file_does_not_vouch_for_an_earlier_one, setup, no_folder),
		cmocka_unit_test_setup_teardown(nothing_is_acknowledged_until_the_repetition_is_on_disk, setup, no_folder),
		cmocka_unit_test_setup_teardown(files_that_fail_at_random_lose_no_acknowledged_row, setup, no_folder),
		cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_over_when_there_is_room, setup, no_folder),
		cmocka_unit_test_setup_teardown(a_disk_that_is_full_at_the_start_is_waited_for, setup, no_folder),
		cmocka_unit_test_setup_teardown(a_full_disk_makes_the_oldest_rows_go_where_that_is_wanted, setup, no_folder),
		cmocka_unit_test_setup_teardown(appending_is_quick_while_the_disk_hangs, setup, no_folder),
		cmocka_unit_test_setup_teardown(writers_meet_no_page_fault, setup, no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
