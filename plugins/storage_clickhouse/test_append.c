/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_append.c - the whole plugin over the harness, with an http/1 of the test's own that plays the server: what is asked, in which order,
 * and what is decided after an outcome that nobody knows. The real server is in tests/e2e/storage/test_clickhouse*.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <chimera/http.h>
#include <chimera/sink.h>
#include <chimera/test.h>
#include <cmocka.h>

#include "sql.h"

CH_TEST_PLUGIN(storage_clickhouse);

enum { STEPS = 16, ROWS = 3 };

/* What the server answers to the next request; error: enum ch_http_error. */
struct step {
	int status, error;
	bool sent;
	const char *body;
	size_t n;
};

struct fixture {
	struct ch_test *t;
	struct step script[STEPS];
	size_t nscript, asked;
	char urls[STEPS][2048];
	size_t sizes[STEPS];              /* of the bodies */
	bool held;                        /* requests are taken and never answered */
	bool clever;                      /* no script: each question gets the answer that fits it */
	ch_ticket waiting;
	struct ch_http_result *waiting_out;
	unsigned cancels;
	/* a call */
	struct ch_sink_batch batch;
	struct ch_value values[ROWS * 3];
	struct ch_sink_result out;
	ch_ticket ticket;
	int rc, why;
	bool over;
	int outcome;
	char detail[512];
	int64_t retry_ms;
	uint64_t rows;
	size_t nrefused;
	struct ch_sink_refusal refused;
	char refused_why[256];
};

static const struct ch_column columns[] = { { "row_id", CH_V_UUID, 0 }, { "time", CH_V_TIME, 0 }, { "note", CH_V_TEXT, CH_COLUMN_NULL } };
static const struct ch_relation relation = { sizeof(relation), "things", CH_TABLE(columns) };

/* ---- the server ---- */

static const char present[] = "\x08\x07\x06\x05\x04\x03\x02\x01" "\x01\x0f\x0e\x0d\x0c\x0b\x0a\x09"; /* the row with index 1 */

#define SHAPE "row_id\tUUID\ntime\tInt64\nbatch_id\tUUID\nnote\tNullable(String)\n"

static const struct step *clever(const char *url)
{
	static const struct step layout = { 200, 0, true, SHAPE, sizeof(SHAPE) - 1 }, none_runs = { 200, 0, true, "0\n", 2 },
		one_there = { 200, 0, true, present, 16 }, done = { 200, 0, true, "", 0 };

	return strstr(url, "system.columns") ? &layout : strstr(url, "system.processes") ? &none_runs : strstr(url, "DISTINCT") ? &one_there :
		&done;
}

static int request(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_http_args *a, const struct ch_http_sink *sink,
                   struct ch_http_result *out, ch_ticket ticket)
{
	struct fixture *f = ch_test_data(svc);
	const struct step *s;
	size_t n = f->asked++;

	assert_true(n < STEPS && a->url.n < sizeof(f->urls[0]));
	memcpy(f->urls[n], a->url.p, a->url.n);
	f->urls[n][a->url.n] = 0;
	f->sizes[n] = a->body.n;
	if (f->held) {
		f->waiting = ticket;
		f->waiting_out = out;
		return CH_AGAIN;
	}
	assert_true(f->clever || n < f->nscript);
	s = f->clever ? clever(f->urls[n]) : &f->script[n];
	out->status = s->status;
	out->error = s->error;
	out->detail = s->error ? "The server was lost." : NULL;
	out->sent = s->sent;
	if (s->n)
		sink->data(c, sink->arg, s->body, s->n);
	ch_resume(ticket, NULL, NULL);
	return CH_AGAIN;
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c, (void)out;
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	struct fixture *f = ch_test_data(svc);

	(void)c;
	f->cancels++;
	if (out != f->waiting_out)
		return;
	out->error = CH_HTTP_CANCELLED;
	out->detail = "cancelled";
	f->waiting_out = NULL;
	ch_resume(f->waiting, NULL, NULL);
}

static const struct ch_http_v1 fake = { sizeof(fake), request, go_on, cancel };

static void then_bytes(struct fixture *f, int status, const char *body, size_t n)
{
	f->script[f->nscript++] = (struct step){ .status = status, .body = body, .n = n, .sent = true };
}

static void then(struct fixture *f, int status, const char *body)
{
	then_bytes(f, status, body, strlen(body));
}

static void then_lost(struct fixture *f, int error, bool sent)
{
	f->script[f->nscript++] = (struct step){ .error = error, .sent = sent };
}

/* ---- the caller ---- */

static void keep(struct fixture *f)
{
	f->over = true;
	f->outcome = f->out.outcome;
	snprintf(f->detail, sizeof(f->detail), "%s", f->out.detail ? f->out.detail : "");
	f->retry_ms = f->out.retry_ms;
	f->rows = f->out.rows;
	f->nrefused = f->out.refused.n;
	if (f->nrefused) {
		f->refused = *(const struct ch_sink_refusal *)f->out.refused.rows;
		snprintf(f->refused_why, sizeof(f->refused_why), "%s", f->refused.why);
	}
}

static const struct ch_svc *sink_of(struct fixture *f)
{
	return ch_test_provided(f->t, "storage_clickhouse", "sink/1");
}

static int on_end(struct ch_ctx *c, void *data, int why, void *result)
{
	struct fixture *f = data;

	assert_null(result);
	f->why = why;
	if (why != CH_READY)
		((const struct ch_sink_v1 *)sink_of(f)->vt)->cancel(sink_of(f), c, &f->out);
	keep(f);
	return CH_DONE;
}

static int on_task(struct ch_ctx *c, void *data)
{
	struct fixture *f = data;

	f->ticket = ch_suspend(c, 0, on_end, f);
	if (!f->ticket) { /* of the test's own */
		f->over = true;
		f->outcome = CH_SINK_RETRY;
		return CH_DONE;
	}
	f->rc = ((const struct ch_sink_v1 *)sink_of(f)->vt)->append(sink_of(f), c, &f->batch, &f->out, f->ticket);
	if (f->rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(f->ticket);
	keep(f);
	return CH_DONE;
}

static void append(struct fixture *f, bool again)
{
	f->asked = f->nrefused = 0;
	f->over = false;
	f->out = (struct ch_sink_result){ .size = sizeof(f->out) };
	f->batch.again = again;
	ch_test_task(f->t, "storage_clickhouse", 0, on_task, f);
	ch_test_advance(f->t, 0);
	if (f->over && !f->clever)
		assert_int_equal(f->asked, f->nscript);
}

static int setup_with(void **state, const char *more)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char config[512];

	f->t = ch_test_new();
	ch_test_service(f->t, "web", "http/1", &fake, f);
	ch_test_plugin(f->t, CH_TEST_ENTRY(storage_clickhouse));
	snprintf(config, sizeof(config), "[storage_clickhouse]\nmigrate = off\nuser = u\npassword = p4ssw0rd\ncompress = off\n%s", more);
	ch_test_config(f->t, config);
	if (!ch_test_start(f->t))
		fail_msg("%s", ch_test_errors(f->t));
	f->batch = (struct ch_sink_batch){ .size = sizeof(f->batch), .table = &relation, .values = f->values, .nrows = ROWS };
	memset(f->batch.batch_id, 0xab, 16);
	for (int i = 0; i < ROWS; i++) {
		unsigned char id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, (unsigned char)i };

		f->values[i * 3] = ch_v_uuid(id);
		f->values[i * 3 + 1] = ch_v_time(INT64_C(1790000000000000) + i);
		f->values[i * 3 + 2] = ch_v_text("n");
	}
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, "");
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ch_test_free(f->t);
	free(f);
	return 0;
}

#define BATCH "abababab-abab-abab-abab-abababababab"
/* An id of 16 bytes, two of null flag and text, 8 of time, 16 of batch. */
#define ROW_BYTES (16 + 8 + 3 + 16)

/* ---- the first time ---- */

static void a_fresh_batch_is_sent_at_once_under_its_id_without_secrets_in_the_url(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then(f, 200, "");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_DONE);
	assert_int_equal(f->rows, 3);
	assert_non_null(strstr(f->urls[0], "system.columns"));
	assert_non_null(strstr(f->urls[1], "query_id=" BATCH "&query=INSERT%20INTO%20%60things%60%20%28%60row_id%60%2C%60time%60%2C"
		"%60note%60%2Cbatch_id%29%20FORMAT%20RowBinary"));
	assert_int_equal(f->sizes[1], 3 * ROW_BYTES);
	assert_null(strstr(f->urls[1], "p4ssw0rd"));
	assert_null(strstr(ch_test_log(f->t), "p4ssw0rd"));
	f->nscript = 0;
	then(f, 200, "");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_DONE); /* the layout is known: one request */
}

static void a_value_that_fits_no_column_is_refused_before_anything_is_sent(void **state)
{
	struct fixture *f = *state;

	f->values[5] = ch_v_bytes(CH_V_TEXT, "\xff", 1);
	then(f, 200, SHAPE);
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_REFUSED);
	assert_int_equal(f->nrefused, 1);
	assert_int_equal(f->refused.row, 1);
	assert_string_equal(f->refused_why, "The value of note is no UTF-8 text, or holds a NUL.");
}

/* ---- after an outcome that nobody knows ---- */

static void a_lost_answer_is_unknown_and_the_next_try_asks_first(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then_lost(f, CH_HTTP_TIMEOUT_FIRST_BYTE, true);
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
	assert_true(f->retry_ms > 0);
	f->nscript = 0;
	then(f, 200, "0\n");
	then_bytes(f, 200, present, 16);
	then(f, 200, "");
	append(f, true);
	assert_int_equal(f->outcome, CH_SINK_DONE);
	assert_non_null(strstr(f->urls[0], "system.processes%20WHERE%20query_id%3D%27" BATCH));
	assert_non_null(strstr(f->urls[1], "batch_id%3DtoUUID%28%27" BATCH));
	assert_non_null(strstr(f->urls[1], "time%60%3E%3DtoInt64%28%271790000000000000%27%29%20"
		"AND%20%60time%60%3C%3DtoInt64%28%271790000000000002%27%29"));
	assert_int_equal(f->sizes[2], 2 * ROW_BYTES);
	assert_int_equal(f->rows, 2);
}

static void a_query_that_still_runs_is_waited_for(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then(f, 200, "1\n");
	append(f, true);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
	assert_int_equal(f->retry_ms, 500);
	f->nscript = 0;
	then(f, 500, "Code: 216, e.displayText() = DB::Exception: Query with id = x is already running.");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
	assert_int_equal(f->retry_ms, 500);
}

static void a_batch_that_is_all_there_is_done_and_not_sent(void **state)
{
	struct fixture *f = *state;
	char all[48];

	for (int i = 0; i < 3; i++) {
		memcpy(all + 16 * i, present, 16);
		all[16 * i + 8] = (char)i;
	}
	then(f, 200, SHAPE);
	then(f, 200, "0\n");
	then_bytes(f, 200, all, 48);
	append(f, true);
	assert_int_equal(f->outcome, CH_SINK_DONE);
	assert_int_equal(f->rows, 0);
}

static void a_list_of_what_is_there_that_is_cut_is_not_believed(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then(f, 200, "0\n");
	then_bytes(f, 200, present, 15);
	append(f, true);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
}

static void a_token_goes_with_whole_batches_only_and_a_repeated_one_is_looked_for(void **state)
{
	struct fixture *f = *state;
	char all[48];

	for (int i = 0; i < 3; i++) {
		memcpy(all + 16 * i, present, 16);
		all[16 * i + 8] = (char)i;
	}
	then(f, 200, SHAPE "@insert_deduplication_token\tsetting\n@max_partitions_per_insert_block\tsetting\n@async_insert\tsetting\n");
	then(f, 200, "0\n");
	then(f, 200, ""); /* nothing is there */
	then(f, 200, ""); /* the insert, which the server may have dropped as a duplicate of one that was cut */
	then_bytes(f, 200, present, 16);
	then(f, 200, "");
	then_bytes(f, 200, all, 48);
	append(f, true);
	assert_int_equal(f->outcome, CH_SINK_DONE);
	assert_non_null(strstr(f->urls[3], "insert_deduplication_token=" BATCH));
	assert_non_null(strstr(f->urls[3], "max_partitions_per_insert_block=0"));
	assert_non_null(strstr(f->urls[3], "async_insert=0"));
	assert_null(strstr(f->urls[5], "insert_deduplication_token"));
	assert_int_equal(f->sizes[5], 2 * ROW_BYTES);
}

/* ---- what the server says ---- */

static void a_row_that_the_server_does_not_take_is_refused_when_the_layout_is_the_same_and_nothing_is_there(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then(f, 500, "Code: 72, e.displayText() = DB::Exception: Unexpected 'secret words': (at row 2), e.what() = DB::Exception");
	then(f, 200, SHAPE);
	then(f, 200, "");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_REFUSED);
	assert_int_equal(f->nrefused, 1);
	assert_int_equal(f->refused.row, 1);
	assert_null(strstr(f->detail, "secret"));
	assert_null(strstr(f->refused_why, "secret"));
}

static void a_row_that_is_not_named_leaves_the_list_empty(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then(f, 500, "Code: 6, e.displayText() = DB::Exception: Cannot parse, e.what() = DB::Exception");
	then(f, 200, SHAPE);
	then(f, 200, "");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_REFUSED);
	assert_int_equal(f->nrefused, 0);
}

static void a_layout_that_has_changed_under_us_is_tried_anew_and_no_row_is_blamed(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then(f, 500, "Code: 33, e.displayText() = DB::Exception: Cannot read all data: (at row 2), e.what() = DB::Exception");
	then(f, 200, "row_id\tUUID\ntime\tNullable(Int64)\nbatch_id\tUUID\nnote\tNullable(String)\n");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
}

static void an_exception_behind_a_head_that_said_200_is_none_the_less_one(void **state)
{
	struct fixture *f = *state;

	then(f, 200, SHAPE);
	then(f, 200, "Code: 241, e.displayText() = DB::Exception: Memory limit (total) exceeded, e.what() = DB::Exception");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
	assert_non_null(strstr(f->detail, "MEMORY_LIMIT_EXCEEDED (code 241)"));
}

/* ---- down, slow, given up ---- */

static void a_server_that_fails_three_times_is_left_alone_and_then_asked_once(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		f->nscript = 0;
		then_lost(f, CH_HTTP_CONNECT, false);
		append(f, false);
		assert_int_equal(f->outcome, CH_SINK_RETRY);
	}
	f->nscript = 0;
	append(f, false);
	assert_int_equal(f->rc, CH_OK);
	assert_int_equal(f->asked, 0);
	assert_true(f->retry_ms > 0 && f->retry_ms <= 2500);
	ch_test_advance(f->t, f->retry_ms);
	then(f, 200, SHAPE);
	then(f, 200, "");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_DONE);
	assert_int_equal((int)ch_test_metric(f->t, "chimera_db_errors_total", "storage_clickhouse", "unavailable", NULL), 3);
}

static void on_give_up(void *data)
{
	struct fixture *f = data;

	for (int i = 0; i < 2; i++)
		((const struct ch_sink_v1 *)sink_of(f)->vt)->cancel(sink_of(f), NULL, &f->out);
}

static void a_call_that_is_given_up_ends_at_once_wherever_it_is(void **state)
{
	struct fixture *f = *state;

	f->held = true;
	append(f, false);
	assert_false(f->over);
	ch_test_on_loop(f->t, on_give_up, f);
	assert_true(f->over);
	assert_int_equal(f->why, CH_READY);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
	assert_int_equal(f->cancels, 1);
}

static void large(struct fixture *f)
{
	static char big[1 << 20];

	memset(big, 'x', sizeof(big));
	f->values[2] = ch_v_bytes(CH_V_TEXT, big, sizeof(big));
}

static void a_large_batch_is_written_by_the_pool_and_given_up_only_when_the_pool_has_let_go(void **state)
{
	struct fixture *f = *state;

	large(f);
	ch_test_offload(f->t, CH_TEST_MANUAL);
	then(f, 200, SHAPE);
	append(f, false);
	assert_false(f->over);
	ch_test_on_loop(f->t, on_give_up, f);
	assert_false(f->over); /* a thread may be reading the rows */
	assert_int_equal(ch_test_offload_run(f->t), 1);
	assert_true(f->over);
	assert_int_equal(f->outcome, CH_SINK_RETRY);
	assert_int_equal(f->asked, 1);
}

static void a_ctx_that_ends_while_the_pool_works_is_kept_until_it_has_let_go(void **state)
{
	struct fixture *f = *state;

	large(f);
	ch_test_offload(f->t, CH_TEST_MANUAL);
	then(f, 200, SHAPE);
	f->out = (struct ch_sink_result){ .size = sizeof(f->out) };
	ch_test_task(f->t, "storage_clickhouse", 50, on_task, f);
	ch_test_advance(f->t, 100);
	assert_true(f->over);
	assert_int_equal(f->why, CH_TIMEOUT);
	assert_int_equal(f->out.outcome, 0); /* it may still be read */
	assert_int_equal(ch_test_offload_run(f->t), 1);
	ch_test_advance(f->t, 0);
	assert_int_equal(f->out.outcome, CH_SINK_RETRY);
	assert_null(f->out.call); /* and ch_test_free finds no ctx that is left */
}

static void a_pool_that_is_full_leaves_the_work_to_the_loop(void **state)
{
	struct fixture *f = *state;

	large(f);
	ch_test_offload(f->t, CH_TEST_FULL);
	then(f, 200, SHAPE);
	then(f, 200, "");
	append(f, false);
	assert_int_equal(f->outcome, CH_SINK_DONE);
	assert_true(f->sizes[1] > 1 << 20);
}

static void wherever_memory_runs_out_a_call_has_its_one_end(void **state)
{
	struct fixture *f = *state;
	bool struck = true;
	unsigned long n;

	f->clever = true;
	for (n = 1; struck; n++) {
		for (int big = 0; big < 2; big++) {
			if (big)
				large(f);
			f->over = true; /* in case the task itself does not come to be */
			f->outcome = CH_SINK_RETRY;
			ch_test_fail_alloc(f->t, n);
			append(f, true);
			struck = ch_test_fail_alloc(f->t, 0);
			ch_test_advance(f->t, 5000); /* a breaker that opened is half open again */
			if (!f->asked && !f->over)
				continue; /* the core had no memory for the task */
			assert_true(f->over);
			assert_true(f->outcome == CH_SINK_DONE || f->outcome == CH_SINK_RETRY);
			f->values[2] = ch_v_text("n");
		}
	}
	assert_true(n > 10);
	append(f, true);
	assert_int_equal(f->outcome, CH_SINK_DONE);
	assert_int_equal(f->rows, 2);
}

/* ---- options ---- */

static void assert_config(const char *line, const char *words)
{
	struct ch_test *t = ch_test_new();
	char config[256];

	ch_test_plugin(t, CH_TEST_ENTRY(storage_clickhouse));
	ch_test_service(t, "web", "http/1", &fake, NULL);
	snprintf(config, sizeof(config), "[storage_clickhouse]\n%s\n", line);
	ch_test_config(t, config);
	assert_false(ch_test_start(t));
	if (!strstr(ch_test_errors(t), words))
		fail_msg("expected '%s' in: %s", words, ch_test_errors(t));
	ch_test_free(t);
}

static void a_wrong_url_is_said_at_the_start(void **state)
{
	(void)state;
	assert_config("url = 127.0.0.1:8123", "must begin with http:// or https://");
	assert_config("url = http://", "names no host");
	assert_config("url = http://h:8123/?database=x", "the database stands in the option database");
	assert_config("url = http://u:p@h:8123", "options user and password");
}

/* ---- texts ---- */

static int on_text(struct ch_ctx *c, void *data)
{
	static const char evil[] = "'; DROP TABLE things; -- \\ \xf0\x9f\xa6\x84";
	struct ch_value v = ch_v_text(evil);
	struct click_text t = { .c = c };
	char *hex;

	(void)data;
	click_sql_find(&t, &relation, 2, &v, 5);
	assert_false(t.failed);
	hex = strstr(t.p, "unhex('");
	assert_non_null(hex);
	assert_int_equal(strspn(hex + 7, "0123456789ABCDEF"), 2 * strlen(evil));
	assert_memory_equal(hex + 7, "273B2044524F50", 14); /* '; DROP */
	assert_string_equal(hex + 7 + 2 * strlen(evil), "') ORDER BY `time` DESC, row_id DESC LIMIT 1 BY row_id LIMIT 5 FORMAT RowBinary");
	assert_int_equal(click_day(0), 19700101);
	assert_int_equal(click_day(-1), 19700101);
	assert_int_equal(click_day(INT64_C(1790000000000000)), 20260921);
	assert_int_equal(click_day(INT64_MAX), 21000101);
	return CH_DONE;
}

static void what_comes_from_outside_is_hex_digits_in_a_statement(void **state)
{
	struct fixture *f = *state;

	ch_test_task(f->t, "storage_clickhouse", 0, on_text, NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_fresh_batch_is_sent_at_once_under_its_id_without_secrets_in_the_url),
		T(a_value_that_fits_no_column_is_refused_before_anything_is_sent),
		T(a_lost_answer_is_unknown_and_the_next_try_asks_first),
		T(a_query_that_still_runs_is_waited_for),
		T(a_batch_that_is_all_there_is_done_and_not_sent),
		T(a_list_of_what_is_there_that_is_cut_is_not_believed),
		T(a_token_goes_with_whole_batches_only_and_a_repeated_one_is_looked_for),
		T(a_row_that_the_server_does_not_take_is_refused_when_the_layout_is_the_same_and_nothing_is_there),
		T(a_row_that_is_not_named_leaves_the_list_empty),
		T(a_layout_that_has_changed_under_us_is_tried_anew_and_no_row_is_blamed),
		T(an_exception_behind_a_head_that_said_200_is_none_the_less_one),
		T(a_server_that_fails_three_times_is_left_alone_and_then_asked_once),
		T(a_call_that_is_given_up_ends_at_once_wherever_it_is),
		T(a_large_batch_is_written_by_the_pool_and_given_up_only_when_the_pool_has_let_go),
		T(a_ctx_that_ends_while_the_pool_works_is_kept_until_it_has_let_go),
		T(a_pool_that_is_full_leaves_the_work_to_the_loop),
		T(wherever_memory_runs_out_a_call_has_its_one_end),
		T(what_comes_from_outside_is_hex_digits_in_a_statement),
		cmocka_unit_test(a_wrong_url_is_said_at_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
