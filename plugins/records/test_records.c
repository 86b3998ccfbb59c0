/* SPDX-License-Identifier: Apache-2.0 */
/* END to journal: what a request's row says, content, the disk, a full journal. Each test is named after the fact it states. */
#include "letter.h"
#include "records.h"
#include "test_world.h"

#define JSON "Content-Type: application/json\n"
#define QUESTION "{\"prompt\":\"hello there\"}"
#define SEGMENT_BYTES ((uint64_t)2 << 20) /* of the journal's segments where max_bytes is 8m */

/* The last row of inference_records that the sink was given, as JSON by column. */
static char seen[65536];

static int look(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	struct ch_jw w;

	(void)s;
	(void)out;
	ch_jw_init(&w, seen, sizeof(seen) - 1);
	ch_jw_object(&w);
	for (size_t i = 0; i < b->table->columns.n; i++) {
		ch_jw_key(&w, ch_column_at(b->table, i)->name);
		letter_value(&w, &b->values[(b->nrows - 1) * b->table->columns.n + i]);
	}
	ch_jw_object_end(&w);
	assert_false(w.failed);
	seen[w.len] = 0;
	return CH_SINK_DONE;
}

static void assert_has(const char *part)
{
	if (!strstr(seen, part))
		fail_msg("no %s in %s", part, seen);
}

static struct ch_test_answer *ask(struct ch_test *t, const char *body)
{
	return ch_test_request(t, "POST", "/v1/ask", JSON, body, strlen(body));
}

static void an_answered_request_leaves_a_row_with_its_facts(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);
	struct ch_test_answer *answer;
	char part[64];

	(void)state;
	a->decide = look;
	ch_test_advance(t, 1000);
	answer = ask(t, QUESTION);
	assert_int_equal(answer->status, 200);
	wait_rows(t, a, 1);
	/* The harness's wall clock began at 2026-01-01T00:00:00Z, and a second went by. */
	assert_has("\"time\":\"2026-01-01T00:00:01.000000Z\"");
	assert_has("\"endpoint\":\"/v1/ask\",\"method\":\"POST\",\"backend\":\"dryrun\",\"model\":\"dryrun\"");
	assert_has("\"owner\":null,\"tier\":null,\"status\":200,\"error_type\":null");
	assert_has("\"tokens_in\":2,");
	assert_has("\"cost\":null,\"latency_ms\":0,\"first_byte_ms\":0,");
	snprintf(part, sizeof(part), "\"bytes_in\":%zu,\"bytes_out\":%zu,\"aborted\":false", strlen(QUESTION), answer->n);
	assert_has(part);
	assert_has("\"prompt\":null,\"answer\":null");
	ch_test_free(t);
	sink_free(a);
}

static void a_refused_request_leaves_a_row_with_its_error(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	a->decide = look;
	assert_int_equal(ask(t, "{\"prompt\":7}")->status, 400);
	wait_rows(t, a, 1);
	assert_has("\"backend\":null,\"model\":null");
	assert_has("\"status\":400,\"error_type\":\"bad_request\",\"tokens_in\":0,\"tokens_out\":0");
	ch_test_free(t);
	sink_free(a);
}

static void a_request_of_another_route_leaves_none(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, NULL);

	(void)state;
	assert_int_equal(ch_test_request(t, "GET", "/nothing", NULL, NULL, 0)->status, 404);
	ch_test_advance(t, 2000);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_rows_total", NULL), 0);
	ch_test_free(t);
	sink_free(a);
}

static void content_is_kept_when_the_operator_says_so(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL,
		"store_content = yes\n[records.names]\npattern = \"hel+o\"\n[records.ask]\npattern = there\nwith = here");
	struct ch_test_answer *answer;

	(void)state;
	a->decide = look;
	answer = ask(t, QUESTION);
	wait_rows(t, a, 1);
	assert_has("\"prompt\":\"{\\\"prompt\\\":\\\"[redacted] here\\\"}\"");
	assert_has("\"answer\":\"{\\\"backend\\\":\\\"dryrun\\\"");
	assert_true(answer->n > 50);
	ch_test_free(t);
	sink_free(a);
}

static void content_is_cut_at_content_max(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, "store_content = yes\ncontent_max = 1k\n");
	char body[4000], want[1100];

	(void)state;
	a->decide = look;
	memset(body, 'x', sizeof(body));
	memcpy(body, "{\"prompt\":\"", 11);
	strcpy(body + 3000, "\"}");
	ask(t, body);
	wait_rows(t, a, 1);
	snprintf(want, sizeof(want), "\"prompt\":\"{\\\"prompt\\\":\\\"%.*s\"", 1024 - 11, body + 11);
	assert_has(want);
	ch_test_free(t);
	sink_free(a);
}

static bool is_answered(struct ch_test *t, void *answer)
{
	ch_test_advance(t, 0);
	return ((const struct ch_test_answer *)answer)->done;
}

/* The harness's loops are the test's thread, the journal's are their own: real time passes here. */
static void with_durability_disk_the_answer_waits_for_the_sync(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, "durability = disk");
	struct ch_test_answer *answers[20];

	(void)state;
	for (int i = 0; i < 20; i++)
		answers[i] = ask(t, QUESTION);
	for (int i = 0; i < 20; i++) {
		assert_true(wait_real(t, is_answered, answers[i]));
		assert_int_equal(answers[i]->status, 200);
	}
	wait_rows(t, a, 20);
	ch_test_free(t);
	sink_free(a);
}

static int never(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	(void)s;
	(void)b;
	(void)out;
	return 0;
}

struct row {
	int n;
	size_t bytes;                     /* of its text */
	bool drops;                       /* on_full = drop_oldest: there will be room, but the journal's thread has to make it */
	bool taken;
	int refused;                      /* tries that came before there was room */
};

/* Taken, or never to be: there are as many segments as max_bytes holds. Else the journal's thread is about to make the next one. */
static bool is_decided(struct ch_test *t, void *data)
{
	const struct ch_svc *svc = ch_test_provided(t, "records", "ledger/1");
	const struct records *records = ch_test_self(t, "records")->state;
	struct row *r = data;
	unsigned char id[16] = { 9, (unsigned char)(r->n >> 8), (unsigned char)r->n };
	char *text = memset(malloc(r->bytes), 'x', r->bytes);
	struct ch_value values[4] = { ch_v_uuid(id), ch_v_time(0), ch_v_int(r->n), ch_v_bytes(CH_V_TEXT, text, r->bytes) };
	struct journal_status before;

	journal_status(records->ledger->journal, &before);
	r->taken = ((const struct ch_ledger_v1 *)svc->vt)->append(svc, &numbers, values) == CH_OK;
	r->refused += !r->taken;
	free(text);
	return r->taken || (!r->drops && before.segments >= before.max_bytes / SEGMENT_BYTES);
}

/* Rows of about 200 KB, until none is taken. */
static int fill_up(struct ch_test *t)
{
	struct row r = { .bytes = 200000, .taken = true };

	while (r.n < 1000 && r.taken) {
		assert_true(wait_real(t, is_decided, &r));
		r.n += r.taken;
	}
	return r.n;
}

static bool takes(struct ch_test *t, void *arg)
{
	const struct ch_svc *svc = ch_test_provided(t, "records", "ledger/1");

	(void)arg;
	return ((const struct ch_ledger_v1 *)svc->vt)->takes(svc);
}

/* The shipper's time goes on, too. */
static bool takes_in_time(struct ch_test *t, void *arg)
{
	ch_test_advance(t, 20);
	return takes(t, arg);
}

static void a_full_ledger_refuses_requests_if_it_is_to_lose_nothing(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, "on_full = refuse_requests");
	struct ch_check_result r = { .size = sizeof(r) };
	struct ch_test_answer *answer;
	double full;

	(void)state;
	a->decide = never;
	assert_true(wait_real(t, takes, NULL));
	assert_in_range(fill_up(t), 20, 50); /* 8 MiB */
	assert_false(takes(t, NULL));
	answer = ask(t, QUESTION);
	assert_int_equal(answer->status, 503);
	assert_string_equal(ch_test_header(answer, "Retry-After"), "5");
	assert_non_null(strstr(answer->body, "ledger is full"));
	/* What is left is for those that were let in: refusals take nothing of it, however many they are. */
	full = ch_test_metric(t, "chimera_ledger_lost_total", "full", NULL); /* fill_up's */
	for (int i = 0; i < 3000; i++)
		ask(t, QUESTION);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_rows_total", "inference_records", NULL), 0);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_left_out_total", NULL), 3001);
	assert_true(ch_test_metric(t, "chimera_ledger_lost_total", "full", NULL) == full);
	ch_test_advance(t, 2000);
	assert_true(ch_test_metric(t, "chimera_ledger_full_ratio", NULL) > 0.8);
	assert_true(ch_test_logged(t, "journal is degraded now"));
	assert_true(ch_test_check(t, "records.ledger", &r));
	assert_int_not_equal(r.health, CH_HEALTHY);
	a->decide = NULL;
	if (a->held)
		answer_call(t, a, CH_SINK_RETRY);
	assert_true(wait_real(t, takes_in_time, NULL));
	assert_int_equal(ask(t, QUESTION)->status, 200);
	ch_test_free(t);
	sink_free(a);
}

static int later(struct sink *s, const struct ch_sink_batch *b, struct ch_sink_result *out)
{
	(void)b;
	(void)out;
	return s->fails ? CH_SINK_RETRY : CH_SINK_DONE;
}

/* The batch under way is in memory and arrives, whatever becomes of its segments; what is neither there nor counted is lost in silence. */
static void a_ledger_that_drops_the_oldest_counts_each_row_that_does_not_arrive(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, "on_full = drop_oldest");
	struct row r = { .bytes = 99999, .drops = true };
	int there = 0;

	(void)state;
	a->decide = later;
	a->fails = 1;
	for (; r.n < 250; r.n++) {
		assert_true(wait_real(t, is_decided, &r));
		ch_test_advance(t, 100);
	}
	a->fails = 0;
	ch_test_advance(t, 60000);
	for (int n = 0; n < 250; n++)
		there += a->copies[n];
	assert_int_equal(a->copies[0], 1);
	assert_int_equal(a->rows, there);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lost_total", "dropped", NULL), 250 - there);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lost_total", "full", NULL), r.refused);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lag_rows", NULL), 0);
	ch_test_free(t);
	sink_free(a);
}

/* A sink that is new has seen no row when the first ones go already: they are counted from the number that the journal began with. */
static void what_is_dropped_before_a_new_sink_has_looked_is_counted(void **state)
{
	struct sink *a = sink_new();
	struct ch_test *t = world(a, NULL, "on_full = drop_oldest");
	struct row r = { .bytes = 99999, .drops = true };

	(void)state;
	for (; r.n < 250; r.n++) /* time stands still: no pulse */
		assert_true(wait_real(t, is_decided, &r));
	ch_test_advance(t, 60000);
	assert_in_range(a->rows, 20, 90);
	assert_int_equal(ch_test_metric(t, "chimera_ledger_lost_total", "dropped", NULL), 250 - (int)a->rows);
	ch_test_free(t);
	sink_free(a);
}

static void a_wrong_pattern_is_refused_by_its_place(void **state)
{
	struct ch_test *t = ch_test_new();

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(records));
	ch_test_config(t, "[records]\ndir = /nonexistent/journal\n[records.cards]\npattern = [0-9]{4\n[records.keys]\npattern = (a\n");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "at offset 2: \"(a<HERE>\""));
	ch_test_free(t);
}

static void a_second_server_in_the_same_folder_is_refused_in_one_sentence(void **state)
{
	struct ch_test *t = ch_test_new();
	char ini[512];

	(void)state;
	ch_test_plugin(t, CH_TEST_ENTRY(records));
	snprintf(ini, sizeof(ini), "[records:first]\ndir = %s/journal\n[records:second]\ndir = %s/journal\n", folder, folder);
	ch_test_config(t, ini);
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "journal"));
	ch_test_free(t);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_answered_request_leaves_a_row_with_its_facts),
		T(a_refused_request_leaves_a_row_with_its_error),
		T(a_request_of_another_route_leaves_none),
		T(content_is_kept_when_the_operator_says_so),
		T(content_is_cut_at_content_max),
		T(with_durability_disk_the_answer_waits_for_the_sync),
		T(a_full_ledger_refuses_requests_if_it_is_to_lose_nothing),
		T(a_ledger_that_drops_the_oldest_counts_each_row_that_does_not_arrive),
		T(what_is_dropped_before_a_new_sink_has_looked_is_counted),
		T(a_wrong_pattern_is_refused_by_its_place),
		T(a_second_server_in_the_same_folder_is_refused_in_one_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
