/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_journal_crash.c - the usage ledger's journal over power losses: no row that a completed sync covered is lost, no row comes that was
 * never appended, a flipped bit is detected or harmless, a failed sync acknowledges nothing; and the harness sees it when syncs are left
 * out.
 */
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../plugins/records/checkpoint.h"
#include "../../plugins/records/journal.h"
#include "crash.h"

#define ROWS_MAX 20000

/* ---- rows ---- */

static const struct ch_column columns[] = {
	{ "row_id", CH_V_UUID, 0 },
	{ "at", CH_V_TIME, 0 },
	{ "number", CH_V_INT, 0 },
	{ "text", CH_V_TEXT, 0 },
};
static const struct ch_relation table = { sizeof(table), "crash_rows", { columns, 4, sizeof(columns[0]) } };

/* The text of a row follows from its number. */
static size_t text_of(uint64_t number, char *out)
{
	uint64_t seed = number;
	size_t n = (size_t)(crash_random(&seed) % 500);

	if (crash_random(&seed) % 50 == 0)
		n = n * 20;
	memset(out, 'a' + (int)(crash_random(&seed) % 26), n);
	return n;
}

static bool is_right(const struct journal_row *row, uint64_t *number)
{
	char text[10000];
	size_t n;

	if (strcmp(row->table->name, "crash_rows") || row->table->columns.n != 4)
		return false;
	*number = (uint64_t)row->values[2].u.i;
	n = text_of(*number, text);
	return !memcmp(row->values[0].u.uuid, number, 8) && row->values[1].u.i == (int64_t)*number * 7 && row->values[3].u.s.n == n &&
		!memcmp(row->values[3].u.s.p, text, n);
}

/* ---- the writer ---- */

static struct {
	struct journal *j;
	struct journal_reader *r;
	struct checkpoint *c;
	pthread_mutex_t lock;
	struct journal_pos ends[ROWS_MAX];
	uint64_t tried, appended, acknowledged;
	unsigned char taken[ROWS_MAX];    /* the consumer has it */
} w = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_synced(void *arg, const struct journal_pos *upto, bool ok)
{
	(void)arg;
	pthread_mutex_lock(&w.lock);
	while (ok && w.acknowledged < w.appended && journal_pos_cmp(&w.ends[w.acknowledged], upto) <= 0)
		w.acknowledged++;
	mark(TRACE_HAS, w.acknowledged);
	pthread_mutex_unlock(&w.lock);
}

static bool settle(void *arg)
{
	(void)arg;
	return checkpoint_sync(w.c);
}

static struct journal_conf conf_of(const char *folder)
{
	return (struct journal_conf){ .dir = folder, .max_bytes = 16 << 20, .segment_bytes = 64 << 10, .sync_interval_us = 2000,
		.on_full = JOURNAL_DROP_NEW, .synced = on_synced, .settle = settle };
}

/* False: not now. */
static bool append_one(void)
{
	char text[10000];
	unsigned char id[16] = { 0 };
	struct journal_pos end;
	struct ch_value v[4];
	uint64_t n = w.appended;
	bool good;

	if (n == ROWS_MAX)
		return false;
	memcpy(id, &n, 8);
	v[0] = ch_v_uuid(id);
	v[1] = ch_v_time((int64_t)n * 7);
	v[2] = ch_v_int((int64_t)n);
	v[3] = ch_v_bytes(CH_V_TEXT, text, text_of(n, text));
	if (w.tried <= n)
		mark(TRACE_TRIES, w.tried = n + 1);
	/* Under the lock, so that a sync that covers it finds its position. */
	pthread_mutex_lock(&w.lock);
	good = journal_append(w.j, &table, v, &end) == JOURNAL_OK;
	if (good) {
		w.ends[n] = end;
		w.appended++;
	}
	pthread_mutex_unlock(&w.lock);
	return good;
}

/*
 * What the consumer has, as it stands in a checkpoint: each batch is a run of such rows, from end.row up to `rows`, without it. Not only
 * the last one: rows whose file failed a sync come again behind newer ones, and who stands among them has the newer ones all the same.
 */
static void put_taken(struct checkpoint_data *d)
{
	for (uint64_t i = 0; i < ROWS_MAX; i++) {
		struct checkpoint_batch *last = d->nbatches ? &d->batches[d->nbatches - 1] : NULL;

		if (!w.taken[i])
			continue;
		if (!last || last->rows != i) {
			if (d->nbatches == CHECKPOINT_BATCHES_MAX)
				exit(5);
			last = &d->batches[d->nbatches++];
			last->end.row = i;
		}
		last->rows = i + 1;
	}
}

/* Takes up to n rows as a sink would, and says so in the checkpoint. */
static void consume(uint64_t n)
{
	struct checkpoint_data d = { 0 };
	struct journal_row row;
	uint64_t number = 0;
	bool any = false;

	while (n-- && journal_next(w.r, &row) == JOURNAL_ROW) {
		if (!is_right(&row, &number))
			exit(4);
		w.taken[number] = 1;
		any = true;
	}
	if (!any)
		return;
	journal_tell(w.r, &d.passed);
	put_taken(&d);
	mark(TRACE_PASSES, d.batches[d.nbatches - 1].rows);
	checkpoint_save(w.c, &d);
	journal_passed(w.r, &d.passed);
}

static void *run_ahead(void *arg)
{
	(void)arg;
	journal_run_ahead(w.j);
	return NULL;
}

static void *run_sync(void *arg)
{
	(void)arg;
	journal_run_sync(w.j);
	return NULL;
}

/* rarely: what is not synced is several segments long. */
static void work_in_steps(uint64_t *seed, bool rarely)
{
	for (int i = 0; i < 600; i++) {
		if (rarely && crash_random(seed) % 150 == 0)
			journal_step_sync(w.j);
		switch (crash_random(seed) % 8) {
		case 0:
		case 1:
			journal_step_ahead(w.j);
			break;
		case 2:
			if (!rarely)
				journal_step_sync(w.j);
			break;
		case 3:
			consume(crash_random(seed) % 60);
			break;
		default:
			for (uint64_t k = crash_random(seed) % 6; k; k--)
				append_one();
		}
	}
}

static void work_with_threads(uint64_t *seed)
{
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, run_ahead, NULL);
	pthread_create(&threads[1], NULL, run_sync, NULL);
	for (int i = 0; i < 120; i++) {
		for (uint64_t k = crash_random(seed) % 20; k; k--)
			while (!append_one()) /* the next segment is not ready */
				sched_yield();
		if (crash_random(seed) % 4 == 0)
			consume(crash_random(seed) % 60);
		if (crash_random(seed) % 3 == 0) {
			struct journal_pos end;

			journal_end(w.j, &end);
			journal_want_sync(w.j);
			while (!journal_is_synced(w.j, &end))
				sched_yield();
		}
	}
	journal_stop(w.j);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

/*
 * A file fails a sync when a newer one has rows, and the consumer has all of both. It takes a few of the repeated ones and stays there,
 * while the file goes and more rows are made durable.
 */
static void work_with_repetition(void)
{
	struct journal_status st;

	journal_step_ahead(w.j);
	do {
		append_one();
		journal_status(w.j, &st);
	} while (st.segments < 2);
	journal_step_ahead(w.j);
	for (int i = 0; i < 20; i++)
		append_one();
	consume(ROWS_MAX);
	journal_step_sync(w.j);
	journal_status(w.j, &st);
	if (!st.repeated_rows)
		exit(6);
	consume(5);
	for (int i = 0; i < 20; i++) {
		journal_step_ahead(w.j);
		append_one();
		journal_step_sync(w.j);
	}
}

static int writer(const char *folder, uint64_t seed, const char *word)
{
	struct journal_conf conf = conf_of(folder);
	struct checkpoint_data d;
	char err[256];

	w.j = journal_open(&conf, err, sizeof(err));
	w.c = w.j ? checkpoint_open(folder, "sink", &d, NULL, NULL, err, sizeof(err)) : NULL;
	w.r = w.c ? journal_reader(w.j, "sink", &d.passed) : NULL;
	if (!w.r) {
		/* The disk may fail at once, too. */
		if (getenv("CRASH_FAIL"))
			return 0;
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	if (!strcmp(word, "threads"))
		work_with_threads(&seed);
	else if (!strcmp(word, "repetition"))
		work_with_repetition();
	else
		work_in_steps(&seed, !strcmp(word, "rarely"));
	journal_reader_free(w.r);
	checkpoint_close(w.c);
	journal_close(w.j);
	return 0;
}

/* ---- the judge ---- */

static bool said_damaged;

static void hear(void *arg, int level, const char *line)
{
	(void)arg;
	(void)level;
	if (strstr(line, "damaged"))
		said_damaged = true;
}

/* Marks the rows that the consumer has; returns how many, UINT64_MAX: some that it never took. */
static uint64_t see_taken(const struct checkpoint_data *d, unsigned char *seen, const struct crash_known *known)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < d->nbatches; i++) {
		uint64_t from = d->batches[i].end.row, to = d->batches[i].rows;

		if (from >= to || to > known->passes)
			return UINT64_MAX;
		memset(seen + from, 1, to - from);
		n += to - from;
	}
	/* Whose checkpoint is damaged begins with the oldest row: those that it had passed may have gone. */
	if (!said_damaged)
		return n;
	memset(seen, 1, known->passes);
	return known->passes;
}

/* Reads all from there; false: a row that is wrong. */
static bool read_rows(struct journal *j, const struct journal_pos *from, unsigned char *seen, const struct crash_known *known, char *why,
	size_t n)
{
	struct journal_reader *r = journal_reader(j, "judge", from);
	struct journal_row row;
	uint64_t number;
	bool good = true;
	int found;

	while (good && (found = journal_next(r, &row)) != JOURNAL_NONE) {
		if (found == JOURNAL_LOST)
			continue;
		if (!is_right(&row, &number) || number >= known->tries) {
			snprintf(why, n, "row %" PRIu64 " at %" PRIu64 ":%" PRIu64 " was never appended, or otherwise", number, row.at.segment,
				 row.at.offset);
			good = false;
		} else {
			seen[number] = 1;
		}
	}
	journal_reader_free(r);
	return good;
}

static bool judge(const char *folder, const struct crash_known *known, bool flipped, char *why, size_t n)
{
	static unsigned char seen[ROWS_MAX];
	struct journal_conf conf = conf_of(folder);
	struct checkpoint_data d = { 0 };
	struct checkpoint *c;
	struct journal_status st;
	struct journal *j;
	uint64_t passed;
	bool good, detected;

	conf.log = hear;
	conf.synced = NULL;
	conf.settle = NULL;
	said_damaged = false;
	memset(seen, 0, sizeof(seen));
	c = checkpoint_open(folder, "sink", &d, hear, NULL, why, n);
	if (!c)
		return false;
	checkpoint_close(c);
	passed = see_taken(&d, seen, known);
	if (passed == UINT64_MAX) {
		snprintf(why, n, "the checkpoint says that the consumer has rows which it never took");
		return false;
	}
	j = journal_open(&conf, why, n);
	if (!j)
		return false;
	good = read_rows(j, &d.passed, seen, known, why, n);
	journal_status(j, &st);
	detected = said_damaged || st.damaged_bytes || st.torn_bytes || st.missing_segments;
	for (uint64_t i = 0; good && i < known->has && !(flipped && detected); i++)
		if (!seen[i]) {
			snprintf(why, n, "row %" PRIu64 " of %" PRIu64 " acknowledged ones is lost (%" PRIu64 " were passed; %" PRIu64
				 " bytes damaged, %" PRIu64 " torn)", i, known->has, passed, st.damaged_bytes, st.torn_bytes);
			good = false;
		}
	if (good)
		good = read_rows(j, &(struct journal_pos){ 0 }, seen, known, why, n);
	journal_close(j);
	return good;
}

/* ---- the tests ---- */

static struct crash_result expect_good(const struct crash_plan *plan)
{
	struct crash_result r = crash_run(plan);

	if (r.bad)
		fail_msg("%s", r.first);
	assert_true(plan->fail || (r.acknowledged > 50 && r.synced > 20));
	return r;
}

static void expect_bad(const struct crash_plan *plan)
{
	assert_true(crash_run(plan).bad > 0);
}

static void no_acknowledged_row_is_lost(void **state)
{
	(void)state;
	expect_good(&(struct crash_plan){ .word = "steps", .judge = judge });
	expect_good(&(struct crash_plan){ .word = "steps", .judge = judge });
}

static void no_acknowledged_row_is_lost_with_threads(void **state)
{
	(void)state;
	expect_good(&(struct crash_plan){ .word = "threads", .judge = judge });
}

static void flipped_bits_are_detected_or_harmless(void **state)
{
	(void)state;
	expect_good(&(struct crash_plan){ .word = "steps", .judge = judge, .flips = 100, .flip_in = ".segment" });
	expect_good(&(struct crash_plan){ .word = "steps", .judge = judge, .flips = 100, .flip_in = ".checkpoint" });
}

static void a_failed_sync_acknowledges_nothing(void **state)
{
	uint64_t seed = crash_seed();

	(void)state;
	for (int i = 0; i < 16; i++)
		expect_good(&(struct crash_plan){ .word = i % 2 ? "rarely" : "steps", .judge = judge,
			.fail = 1 + (unsigned)(crash_random(&seed) % (i % 2 ? 20 : 80)), .states = getenv("CHIMERA_CRASH_STATES") ? 0 : 30 });
}

/* The fourth sync of a file: two segments were made, and a third one before the first has its first sync of rows. */
static void rows_that_come_again_do_not_unmake_what_was_taken(void **state)
{
	(void)state;
	assert_true(expect_good(&(struct crash_plan){ .word = "repetition", .fail = 4, .judge = judge }).acknowledged > 100);
}

static void the_harness_sees_syncs_that_are_left_out(void **state)
{
	(void)state;
	expect_bad(&(struct crash_plan){ .word = "steps", .skip = "mapped", .judge = judge });
	expect_bad(&(struct crash_plan){ .word = "steps", .skip = "folder", .judge = judge });
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_acknowledged_row_is_lost),
		cmocka_unit_test(no_acknowledged_row_is_lost_with_threads),
		cmocka_unit_test(flipped_bits_are_detected_or_harmless),
		cmocka_unit_test(a_failed_sync_acknowledges_nothing),
		cmocka_unit_test(rows_that_come_again_do_not_unmake_what_was_taken),
		cmocka_unit_test(the_harness_sees_syncs_that_are_left_out),
	};

	if (argc == 5 && !strcmp(argv[1], "write"))
		return writer(argv[2], strtoull(argv[3], NULL, 10), argv[4]);
	if (!crash_possible())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
