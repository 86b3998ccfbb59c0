/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_world.h - the whole plugin over the harness, with a folder of its own and sinks that do what the test says.
 *
 * A fake sink keeps each row it was given by its row_id and counts those that came twice. It takes a batch twice unless `again` is set, as
 * a database without a primary key would: so the tests see whether the caller keeps its word.
 */
#ifndef RECORDS_TEST_WORLD_H
#define RECORDS_TEST_WORLD_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <chimera/kit/uuid.h>
#include <chimera/ledger.h>
#include <chimera/sink.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(records);
CH_TEST_PLUGIN(ask);
CH_TEST_PLUGIN(dryrun);

#define ROWS_MAX 20000

static const struct ch_column columns[] = {
	{ "row_id", CH_V_UUID, 0 },
	{ "time", CH_V_TIME, 0 },
	{ "n", CH_V_INT, 0 },
	{ "what", CH_V_TEXT, CH_COLUMN_NULL },
};
static const struct ch_relation numbers = { sizeof(numbers), "numbers", CH_TABLE(columns) };
static const struct ch_relation others __attribute__((unused)) = { sizeof(others), "others", CH_TABLE(columns) };

struct sink {
	/* What comes of a call: enum ch_sink_outcome; 0: no answer yet. Fills `out` beyond the outcome. NULL: DONE. */
	int (*decide)(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out);
	struct ch_sink_about about;
	unsigned calls, agains, cancels;
	int copies[ROWS_MAX];             /* of the row whose n is the index */
	unsigned char batches[2000][16];  /* those that it has taken */
	size_t nbatches, rows;
	struct { unsigned char id[16]; uint64_t hash; } sent[2000]; /* each batch that came, whatever came of it */
	size_t nsent;
	char *last;                       /* the last batch, all of its bytes */
	size_t nlast;
	const struct ch_sink_batch *held; /* a call that waits */
	struct ch_sink_result *out;
	ch_ticket ticket;
	int64_t poison;                   /* the n of a row that is never taken; -1: none */
	int fails;                        /* calls left that are answered by RETRY */
	uint64_t expired;
	char asked[256];                  /* " find:TABLE expire:TABLE …" */
	void (*before)(struct sink *s), (*after)(struct sink *s); /* around taking a batch: where a crash may be */
	struct ch_sink_refusal refusals[100];
};

static char folder[64];
static int64_t worlds; /* of this test */

static bool knows_batch(const struct sink *s, const unsigned char id[16])
{
	for (size_t i = 0; i < s->nbatches; i++)
		if (!memcmp(s->batches[i], id, 16))
			return true;
	return false;
}

static void take(struct sink *s, const struct ch_sink_batch *b)
{
	size_t width = b->table->columns.n;

	if (b->again && knows_batch(s, b->batch_id))
		return;
	memcpy(s->batches[s->nbatches++], b->batch_id, 16);
	for (size_t i = 0; i < b->nrows; i++) {
		s->rows++;
		if (width == 4)
			s->copies[b->values[i * width + 2].u.i]++;
	}
}

/* A batch_id names the same rows with the same values for ever. */
static void same_under_its_id(struct sink *s, const unsigned char id[16])
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < s->nlast; i++)
		hash = (hash ^ (unsigned char)s->last[i]) * 1099511628211u;
	for (size_t i = 0; i < s->nsent; i++)
		if (!memcmp(s->sent[i].id, id, 16)) {
			assert_true(s->sent[i].hash == hash);
			return;
		}
	assert_true(s->nsent < 2000);
	memcpy(s->sent[s->nsent].id, id, 16);
	s->sent[s->nsent++].hash = hash;
}

/* The bytes of a batch, to be compared with those of another time. */
static void remember(struct sink *s, const struct ch_sink_batch *b)
{
	size_t width = b->table->columns.n, n = 0;

	free(s->last);
	for (size_t i = 0; i < b->nrows * width; i++)
		n += 64 + (b->values[i].type == CH_V_TEXT ? b->values[i].u.s.n : 0);
	s->last = malloc(n + 17);
	memcpy(s->last, b->batch_id, 16);
	n = 16;
	for (size_t i = 0; i < b->nrows * width; i++) {
		const struct ch_value *v = &b->values[i];

		if (v->type == CH_V_TEXT)
			n += (size_t)sprintf(s->last + n, "%d %.*s|", v->null, (int)v->u.s.n, v->u.s.p ? v->u.s.p : "");
		else
			n += (size_t)sprintf(s->last + n, "%d %llx|", v->null, (unsigned long long)v->u.i);
	}
	s->nlast = n;
	same_under_its_id(s, b->batch_id);
}

static int sink_append(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_batch *b, struct ch_sink_result *out, ch_ticket t)
{
	struct sink *s = ch_test_data(svc);

	(void)c;
	s->calls++;
	s->agains += b->again;
	remember(s, b);
	if (s->before)
		s->before(s);
	out->outcome = s->decide ? s->decide(s, b, out) : CH_SINK_DONE;
	if (out->outcome == CH_SINK_DONE)
		take(s, b);
	if (s->after)
		s->after(s);
	s->held = b;
	s->out = out;
	s->ticket = t;
	if (!out->outcome)
		return CH_AGAIN;
	ch_resume(t, NULL, NULL); /* never at once: most sinks answer later */
	return CH_AGAIN;
}

/* Answers the call that waits. */
static inline void answer_call(struct ch_test *t, struct sink *s, int outcome)
{
	s->out->outcome = outcome;
	ch_resume(s->ticket, NULL, NULL);
	ch_test_advance(t, 0);
}

static void was_asked(struct sink *s, const char *what, const struct ch_relation *table)
{
	size_t n = strlen(s->asked);

	snprintf(s->asked + n, sizeof(s->asked) - n, " %s:%s", what, table->name);
}

static int sink_find(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_sink_find *f, struct ch_sink_result *out, ch_ticket t)
{
	(void)c;
	(void)t;
	was_asked(ch_test_data(svc), "find", f->table);
	out->outcome = CH_SINK_DONE;
	return CH_OK;
}

static int sink_expire(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_relation *r, int64_t before, struct ch_sink_result *out,
	ch_ticket t)
{
	struct sink *s = ch_test_data(svc);

	(void)c;
	(void)before;
	(void)t;
	was_asked(s, "expire", r);
	out->outcome = CH_SINK_DONE;
	out->rows = s->expired > 10 ? 10 : s->expired;
	s->expired -= out->rows;
	return CH_OK;
}

static void sink_cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_sink_result *out)
{
	struct sink *s = ch_test_data(svc);

	(void)c;
	s->cancels++;
	if (out != s->out || out->outcome)
		return;
	out->outcome = CH_SINK_RETRY;
	ch_resume(s->ticket, NULL, NULL);
}

static void sink_about(const struct ch_svc *svc, struct ch_sink_about *out)
{
	*out = ((struct sink *)ch_test_data(svc))->about;
}

static const struct ch_sink_v1 sink_vt = {
	.size = sizeof(sink_vt), .append = sink_append, .find = sink_find, .expire = sink_expire, .cancel = sink_cancel, .about = sink_about
};

static struct sink *sink_new(void)
{
	struct sink *s = calloc(1, sizeof(*s));

	s->about = (struct ch_sink_about){ sizeof(s->about), 10000, 16 << 20, 100 };
	s->poison = -1;
	return s;
}

static void sink_free(struct sink *s)
{
	free(s->last);
	free(s);
}

static int make_folder(void **state)
{
	(void)state;
	worlds = 0;
	strcpy(folder, "/tmp/records-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[192];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s' '%s'.*", folder, folder);
	return system(command);
}

/* A server whose journal is in that folder; `more` stands in [records]. */
static struct ch_test *world_in(const char *dir, struct sink *a, struct sink *b, const char *more)
{
	struct ch_test *t = ch_test_new();
	char ini[2048];

	ch_test_plugin(t, CH_TEST_ENTRY(records));
	ch_test_plugin(t, CH_TEST_ENTRY(ask));
	ch_test_plugin(t, CH_TEST_ENTRY(dryrun));
	if (a)
		ch_test_service(t, "alpha", "sink/1", &sink_vt, a);
	if (b)
		ch_test_service(t, "beta", "sink/1", &sink_vt, b);
	snprintf(ini, sizeof(ini), "[dryrun]\n[ask]\n[records]\ndir = %s/journal\nmax_bytes = 8m\n%s\n", dir, more ? more : "");
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s\n%s", ch_test_errors(t), ch_test_log(t));
	ch_test_wall(t, worlds++ * 3600000); /* clock and chance begin anew in each harness: without this, ids would come twice */
	return t;
}

static struct ch_test *world(struct sink *a, struct sink *b, const char *more)
{
	return world_in(folder, a, b, more);
}

static inline int append_to(struct ch_test *t, const struct ch_relation *table, int64_t n)
{
	const struct ch_svc *svc = ch_test_provided(t, "records", "ledger/1");
	unsigned char id[16] = { 1 };
	char text[32];
	struct ch_value row[4];

	for (int i = 0; i < 8; i++)
		id[15 - i] = (unsigned char)(n >> 8 * i);
	snprintf(text, sizeof(text), "row \"%lld\"", (long long)n);
	row[0] = ch_v_uuid(id);
	row[1] = ch_v_time(1767225600000000 + n);
	row[2] = ch_v_int(n);
	row[3] = n % 3 ? ch_v_text(text) : ch_v_null(CH_V_TEXT);
	return ((const struct ch_ledger_v1 *)svc->vt)->append(svc, table, row);
}

static inline void append_rows(struct ch_test *t, int64_t from, int64_t to)
{
	for (int64_t n = from; n < to; n++)
		assert_int_equal(append_to(t, &numbers, n), CH_OK);
}

/* Lets time pass until the sink has that many rows, or a minute is over. */
static void wait_rows(struct ch_test *t, const struct sink *s, size_t rows)
{
	for (int i = 0; i < 3000 && s->rows < rows; i++)
		ch_test_advance(t, 20);
	assert_int_equal(s->rows, rows);
}

/* Another thread is waited for, in real time: until is(t, arg) says so. False: not within two minutes. */
static inline bool wait_real(struct ch_test *t, bool (*is)(struct ch_test *, void *), void *arg)
{
	time_t end = time(NULL) + 120;

	while (!is(t, arg)) {
		if (time(NULL) > end)
			return false;
		sched_yield();
	}
	return true;
}

static inline void each_once(const struct sink *s, int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		if (s->copies[i] != (i == s->poison ? 0 : 1))
			fail_msg("row %lld is there %d times", (long long)i, s->copies[i]);
}

#endif
