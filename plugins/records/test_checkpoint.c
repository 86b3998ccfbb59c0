/* SPDX-License-Identifier: Apache-2.0 */
/* test_checkpoint.c - a checkpoint is what was saved last, after kill -9 and with one slot damaged too; else the beginning, told. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "checkpoint.h"
#include "test_journal.h"

static atomic_uint fail_msync;              /* which of the next ones fail: the lowest bit is the next one */
static atomic_uint fail_each, msyncs;       /* each so many-th fails; 0: none */

int msync(void *p, size_t n, int flags)
{
	unsigned next = atomic_load(&fail_msync), each = atomic_load(&fail_each);

	atomic_store(&fail_msync, next >> 1);
	if (next & 1 || (each && atomic_fetch_add(&msyncs, 1) % each == 0)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_msync, p, n, flags);
}

static struct checkpoint *open_one(struct checkpoint_data *d)
{
	char err[256] = "";
	struct checkpoint *c = checkpoint_open(folder, "sink.storage_sqlite", d, hear, NULL, err, sizeof(err));

	if (!c)
		fail_msg("%s", err);
	return c;
}

/* Everything in it follows from n. */
static struct checkpoint_data data_of(uint64_t n)
{
	struct checkpoint_data d = { .passed = { n + 1, n * 8, n }, .nbatches = (uint32_t)(n % (CHECKPOINT_BATCHES_MAX + 1)) };

	for (uint32_t i = 0; i < d.nbatches; i++) {
		d.batches[i] = (struct checkpoint_batch){ .end = { n + 1, n * 8 + i, n + i }, .rows = i, .flags = (uint32_t)n, .extra = i };
		memset(d.batches[i].id, (int)(n + i), 16);
	}
	return d;
}

static void what_was_saved_last_is_there(void **state)
{
	struct checkpoint_data d, want;
	struct checkpoint *c;

	(void)state;
	c = open_one(&d);
	want = (struct checkpoint_data){ 0 };
	assert_memory_equal(&d, &want, sizeof(d));
	for (uint64_t n = 0; n < 200; n++) {
		want = data_of(n);
		checkpoint_save(c, &want);
		if (n % 7)
			continue;
		assert_true(checkpoint_sync(c));
		checkpoint_close(c);
		c = open_one(&d);
		assert_memory_equal(&d, &want, sizeof(d));
	}
	checkpoint_close(c);
	assert_string_equal(said, "");
	checkpoint_remove(folder, "sink.storage_sqlite");
	c = open_one(&d);
	want = (struct checkpoint_data){ 0 };
	assert_memory_equal(&d, &want, sizeof(d));
	checkpoint_close(c);
}

static void it_is_whole_after_kill_9_at_any_moment(void **state)
{
	_Atomic uint64_t *saved = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct checkpoint_data d, want;
	struct checkpoint *c;

	(void)state;
	for (int round = 0; round < 20; round++) {
		uint64_t until = *saved + 500;
		pid_t child = fork();

		if (!child) {
			c = open_one(&d);
			for (;; ++*saved) {
				want = data_of(*saved + 1);
				checkpoint_save(c, &want);
			}
		}
		while (*saved < until)
			sched_yield();
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		c = open_one(&d);
		assert_in_range(d.passed.row, *saved, *saved + 1);
		want = data_of(d.passed.row);
		assert_memory_equal(&d, &want, sizeof(d));
		checkpoint_close(c);
	}
	munmap((void *)saved, 4096);
}

static void change(size_t at, unsigned char flip)
{
	char path[256];
	unsigned char b;
	int fd;

	snprintf(path, sizeof(path), "%s/sink.storage_sqlite.checkpoint", folder);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
	b ^= flip;
	assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
	close(fd);
}

/* A flip in the newer slot gives the older one, a flip in the older one nothing, and behind the used bytes it is harmless. */
static void every_flip_gives_one_of_the_last_two(void **state)
{
	struct checkpoint_data d, older = data_of(3), newer = data_of(4);
	struct checkpoint *c = open_one(&d);
	/* Magic, checksum, sequence, three numbers, a number, and 56 bytes for each of 4 batches. */
	size_t used = 16 + 8 + 24 + 8 + 4 * 56;

	(void)state;
	checkpoint_save(c, &older);
	checkpoint_save(c, &newer);
	checkpoint_close(c);
	for (size_t at = 0; at < 2 * 4096; at++) {
		if (at % 4096 > used + 64)
			continue;
		change(at, (unsigned char)(1u << at % 8));
		said[0] = 0;
		c = open_one(&d);
		if (at >= 4096 && at - 4096 < used) {
			assert_memory_equal(&d, &older, sizeof(d));
			assert_non_null(strstr(said, "the second slot is damaged, the other one is used"));
		} else {
			assert_memory_equal(&d, &newer, sizeof(d));
		}
		checkpoint_close(c);
		change(at, (unsigned char)(1u << at % 8));
	}
	change(20, 1);
	change(4096 + 20, 1);
	said[0] = 0;
	c = open_one(&d);
	assert_int_equal(d.passed.segment, 0);
	assert_int_equal(d.nbatches, 0);
	assert_non_null(strstr(said, "is damaged: its sink goes on with the oldest row"));
	checkpoint_close(c);
}

static void a_file_whose_sync_failed_is_replaced(void **state)
{
	struct checkpoint_data d, want = data_of(9);
	struct checkpoint *c = open_one(&d);

	(void)state;
	checkpoint_save(c, &want);
	atomic_store(&fail_msync, 1);
	assert_true(checkpoint_sync(c));
	assert_non_null(strstr(said, "another file takes its place"));
	want = data_of(10);
	checkpoint_save(c, &want);
	checkpoint_close(c);
	c = open_one(&d);
	assert_memory_equal(&d, &want, sizeof(d));
	/* Where that fails too nothing is said to be durable, and nothing is lost. */
	atomic_store(&fail_msync, 3);
	assert_false(checkpoint_sync(c));
	want = data_of(11);
	checkpoint_save(c, &want);
	checkpoint_close(c);
	c = open_one(&d);
	assert_memory_equal(&d, &want, sizeof(d));
	assert_true(checkpoint_sync(c));
	checkpoint_close(c);
}

static ino_t file_number(void)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/sink.storage_sqlite.checkpoint", folder);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

/* The kernel tells a file's error once: whatever a later sync of the same file says, its bytes may be nowhere. */
static void a_file_that_failed_is_never_said_to_be_durable(void **state)
{
	static const unsigned fails[] = { 3, 5 }; /* it and the new one before it has the name; it and the new one behind that */
	struct checkpoint_data d, want = data_of(5);
	struct checkpoint *c = open_one(&d);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		ino_t file;

		checkpoint_save(c, &want);
		atomic_store(&fail_msync, fails[i]);
		assert_false(checkpoint_sync(c));
		file = file_number();
		assert_true(checkpoint_sync(c));
		assert_int_not_equal(file_number(), file);
	}
	checkpoint_close(c);
	c = open_one(&d);
	assert_memory_equal(&d, &want, sizeof(d));
	checkpoint_close(c);
}

static void *sync_often(void *c)
{
	for (int i = 0; i < 300; i++)
		checkpoint_sync(c);
	return NULL;
}

static void several_may_sync_a_file_that_fails_beside_the_one_that_saves(void **state)
{
	struct checkpoint_data d, want;
	struct checkpoint *c = open_one(&d);
	pthread_t threads[2];

	(void)state;
	atomic_store(&fail_each, 3);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sync_often, c), 0);
	for (uint64_t n = 0; n < 20000; n++) {
		want = data_of(n);
		checkpoint_save(c, &want);
	}
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&fail_each, 0);
	assert_true(checkpoint_sync(c));
	checkpoint_close(c);
	c = open_one(&d);
	assert_memory_equal(&d, &want, sizeof(d));
	checkpoint_close(c);
}

static void a_name_that_is_no_files_is_refused(void **state)
{
	struct checkpoint_data d;
	char err[256];

	(void)state;
	assert_null(checkpoint_open(folder, "../etc", &d, hear, NULL, err, sizeof(err)));
	assert_string_equal(err, "\"../etc\" is no name of a checkpoint");
	assert_null(checkpoint_open(folder, "", &d, hear, NULL, err, sizeof(err)));
	assert_null(checkpoint_open("/proc/nowhere", "a", &d, hear, NULL, err, sizeof(err)));
	assert_string_equal(err, "/proc/nowhere/a.checkpoint cannot be used: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_saved_last_is_there, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(it_is_whole_after_kill_9_at_any_moment, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(every_flip_gives_one_of_the_last_two, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_file_whose_sync_failed_is_replaced, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_file_that_failed_is_never_said_to_be_durable, new_folder, no_folder),
		cmocka_unit_test_setup_teardown(several_may_sync_a_file_that_fails_beside_the_one_that_saves, new_quick_folder, no_folder),
		cmocka_unit_test_setup_teardown(a_name_that_is_no_files_is_refused, new_folder, no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
