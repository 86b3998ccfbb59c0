/* SPDX-License-Identifier: MIT */
/*
 * test_fetcher.c - the plugin over a provider of "http/1" that the test plays itself: it says what comes from the other server, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/http.h>
#include <chimera/test.h>

CH_TEST_PLUGIN(fetcher);

/* ---- the provider ---- */

static struct {
	int calls, cancels, go_ons;
	bool running, paused, at_once, broken;
	struct ch_ctx *c;
	struct ch_http_sink sink;
	struct ch_http_result *out;
	ch_ticket ticket;
	/* what on_loop does */
	int status;
	const char *type, *text, *retry_after;
	int error;
	bool end;
} net;

static int request(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_http_args *args, const struct ch_http_sink *sink,
                   struct ch_http_result *out, ch_ticket ticket)
{
	(void)svc;
	assert_int_equal(args->url.n, strlen("http://other/events"));
	assert_string_equal(args->fields[0].value.p, "text/event-stream");
	assert_false(net.running);
	net.calls++;
	if (net.broken)
		return CH_ERROR;
	if (net.at_once) {
		out->error = CH_HTTP_BUSY;
		out->detail = "too many calls to other";
		return CH_OK;
	}
	net.running = true;
	net.c = c;
	net.sink = *sink;
	net.out = out;
	net.ticket = ticket;
	return CH_AGAIN;
}

static void finish(int error, const char *detail)
{
	net.running = net.paused = false;
	net.out->error = error;
	net.out->detail = detail;
	ch_resume(net.ticket, NULL, NULL);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c;
	if (!net.running)
		return;
	assert_ptr_equal(out, net.out);
	net.cancels++;
	finish(CH_HTTP_CANCELLED, "given up");
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_http_result *out)
{
	(void)svc, (void)c, (void)out;
	assert_true(net.paused);
	net.paused = false;
	net.go_ons++;
}

static const struct ch_http_v1 http = { .size = sizeof(http), .request = request, .go_on = go_on, .cancel = cancel };

/* What the other server does, on the loop as a provider would. */
static void on_loop(void *data)
{
	static struct ch_http_field fields[2];
	int rc = CH_OK;

	(void)data;
	if (!net.running)
		return;
	if (net.status) {
		fields[0] = (struct ch_http_field){ CH_STR("Content-Type"), { net.type, strlen(net.type) } };
		if (net.retry_after)
			fields[1] = (struct ch_http_field){ CH_STR("retry-after"), { net.retry_after, strlen(net.retry_after) } };
		net.out->status = net.status;
		net.out->fields = fields;
		net.out->nfields = net.retry_after ? 2 : 1;
		rc = net.sink.head(net.c, net.sink.arg, net.out);
	}
	if (rc == CH_OK && net.text)
		rc = net.sink.data(net.c, net.sink.arg, net.text, strlen(net.text));
	net.paused = rc == CH_AGAIN;
	if (rc == CH_DONE)
		finish(CH_HTTP_CANCELLED, "enough");
	else if (net.end)
		finish(net.error, net.error ? "other: connection reset" : NULL);
}

static void head(struct ch_test *t, int status, const char *type)
{
	net.status = status;
	net.type = type;
	net.text = NULL;
	net.end = false;
	ch_test_on_loop(t, on_loop, NULL);
	net.status = 0;
}

static void text(struct ch_test *t, const char *bytes)
{
	net.text = bytes;
	net.end = false;
	ch_test_on_loop(t, on_loop, NULL);
}

static void end(struct ch_test *t, int error)
{
	net.text = NULL;
	net.end = true;
	net.error = error;
	ch_test_on_loop(t, on_loop, NULL);
}

#define STREAM "text/event-stream; charset=utf-8"

static struct ch_test *begin_with(const char *more)
{
	struct ch_test *t = ch_test_new();
	char ini[256] = "[fetcher]\nurl = http://other/events\n";

	memset(&net, 0, sizeof(net));
	ch_test_plugin(t, CH_TEST_ENTRY(fetcher));
	ch_test_service(t, "net", "http/1", &http, NULL);
	ch_test_config(t, strcat(ini, more));
	assert_true(ch_test_start(t));
	return t;
}

static struct ch_test_answer *ask(struct ch_test *t)
{
	return ch_test_request(t, "GET", "/v1/events", NULL, NULL, 0);
}

/* ---- the tests ---- */

static void events_are_handed_on_however_they_are_cut(void **state)
{
	struct ch_test *t = begin_with("");
	struct ch_test_answer *a = ask(t);

	(void)state;
	head(t, 200, STREAM);
	text(t, ": hello\n\ndata: one\n\nda");
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "Content-Type"), "text/event-stream");
	assert_string_equal(a->body, "data: one\n\n");
	text(t, "ta: two\r\nevent: x\r\n");
	text(t, "data: lines\r\n\r\nid: 7\n\n");
	assert_string_equal(a->body, "data: one\n\nevent: x\ndata: two\ndata: lines\n\n");
	assert_false(a->done);
	end(t, CH_HTTP_OK);
	assert_true(a->complete);
	ch_test_free(t);
}

static void a_stream_without_an_event_is_an_empty_stream(void **state)
{
	struct ch_test *t = begin_with("");
	struct ch_test_answer *a = ask(t);

	(void)state;
	head(t, 200, STREAM);
	end(t, CH_HTTP_OK);
	assert_true(a->complete);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body, "");
	ch_test_free(t);
}

static void a_stream_that_breaks_is_cut(void **state)
{
	struct ch_test *t = begin_with("");
	struct ch_test_answer *a = ask(t);

	(void)state;
	head(t, 200, STREAM);
	text(t, "data: one\n\n");
	end(t, CH_HTTP_CLOSED);
	assert_true(a->done);
	assert_false(a->complete);
	assert_int_equal(net.calls, 1); /* the client has seen an event: it is not begun anew */
	ch_test_free(t);
}

static void a_client_that_does_not_read_holds_up_the_other_server(void **state)
{
	struct ch_test *t = begin_with("[server]\nstream_high = 4k\nstream_low = 1k\n");
	struct ch_test_answer *a = ask(t);
	char big[8192] = "data: ";

	(void)state;
	memset(big + 6, 'x', 8000);
	strcpy(big + 8006, "\n\n");
	head(t, 200, STREAM);
	ch_test_unread(a, true);
	text(t, big);
	assert_true(net.paused);
	ch_test_unread(a, false);
	ch_test_advance(t, 0);
	assert_int_equal(net.go_ons, 1);
	end(t, CH_HTTP_OK);
	assert_true(a->complete);
	assert_int_equal(a->n, 8008);
	ch_test_free(t);
}

static void a_client_that_leaves_ends_the_call(void **state)
{
	struct ch_test *t = begin_with("");
	struct ch_test_answer *a = ask(t);

	(void)state;
	head(t, 200, STREAM);
	text(t, "data: one\n\n");
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(net.cancels, 1);
	assert_false(net.running);
	ch_test_free(t);
}

static void what_failed_is_tried_again_with_growing_pauses(void **state)
{
	struct ch_test *t = begin_with("retries = 2\n");
	struct ch_test_answer *a = ask(t);

	(void)state;
	end(t, CH_HTTP_CONNECT);
	assert_int_equal(net.calls, 1);
	ch_test_advance(t, 501); /* 0 to 500 ms, and 1 for what was rounded off */
	assert_int_equal(net.calls, 2);
	end(t, CH_HTTP_TIMEOUT_FIRST_BYTE);
	ch_test_advance(t, 1001);
	assert_int_equal(net.calls, 3);
	end(t, CH_HTTP_CONNECT);
	assert_int_equal(a->status, 503);
	assert_non_null(strstr(a->body, "other: connection reset"));
	ch_test_free(t);
}

static void the_other_servers_retry_after_is_followed(void **state)
{
	struct ch_test *t = begin_with("");
	struct ch_test_answer *a = ask(t);

	(void)state;
	net.retry_after = "7";
	head(t, 503, "text/html");
	ch_test_advance(t, 6999);
	assert_int_equal(net.calls, 1);
	ch_test_advance(t, 2);
	assert_int_equal(net.calls, 2);
	head(t, 200, STREAM);
	end(t, CH_HTTP_OK);
	assert_int_equal(a->status, 200);
	ch_test_free(t);
}

static void what_is_no_event_stream_is_refused_at_once(void **state)
{
	static const struct {
		int status;
		const char *type;
	} heads[] = { { 200, "text/html" }, { 200, "text/event" }, { 404, STREAM }, { 302, STREAM } };

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct ch_test *t = begin_with("");
		struct ch_test_answer *a = ask(t);

		head(t, heads[i].status, heads[i].type);
		assert_int_equal(a->status, 503);
		assert_non_null(strstr(a->body, "did not answer with an event stream"));
		assert_int_equal(net.calls, 1);
		ch_test_free(t);
	}
}

static void an_event_without_end_is_no_reason_to_hoard(void **state)
{
	struct ch_test *t = begin_with("retries = 0\n");
	struct ch_test_answer *a = ask(t);
	char chunk[4097];

	(void)state;
	memset(chunk, 'x', 4096);
	chunk[4096] = 0;
	head(t, 200, STREAM);
	text(t, "data: ");
	for (int i = 0; i < 20 && net.running; i++)
		text(t, chunk);
	assert_false(net.running);
	assert_int_equal(a->status, 503);
	ch_test_free(t);
}

static void a_server_that_fails_five_times_is_left_alone_for_a_while(void **state)
{
	struct ch_test *t = begin_with("retries = 0\n");
	struct ch_test_answer *a = NULL;

	(void)state;
	for (int i = 0; i < 6; i++) {
		a = ask(t);
		end(t, CH_HTTP_CONNECT);
	}
	assert_int_equal(net.calls, 5);
	assert_int_equal(a->status, 503);
	assert_non_null(strstr(a->body, "left alone"));
	assert_true(ch_test_metric(t, "chimera_degraded", "fetcher", NULL) == 1);
	ch_test_advance(t, 6000); /* 5 s, and up to a fifth more */
	a = ask(t);
	head(t, 200, STREAM);
	end(t, CH_HTTP_OK);
	assert_int_equal(a->status, 200);
	ch_test_advance(t, 3000);
	assert_true(ch_test_metric(t, "chimera_degraded", "fetcher", NULL) == 0);
	ch_test_free(t);
}

static void an_open_circuit_outlives_a_reload(void **state)
{
	struct ch_test *t = begin_with("retries = 0\n");

	(void)state;
	for (int i = 0; i < 5; i++) {
		ask(t);
		end(t, CH_HTTP_CONNECT);
	}
	ch_test_config(t, "[fetcher]\nurl = http://other/events\nretries = 1\n");
	assert_true(ch_test_start(t));
	assert_int_equal(ask(t)->status, 503);
	assert_int_equal(net.calls, 5);
	ch_test_free(t);
}

/*
 * The bank holds 10 and is full; a request brings 0.1, a retry costs 1. So 11 requests are retried (10 - 1 - 10 * 0.9 = 0 is left), and the
 * next 9 bring 0.9, which is not enough for one more.
 */
static void retries_are_a_share_of_the_requests(void **state)
{
	struct ch_test *t = begin_with("retries = 1\n");

	(void)state;
	for (int i = 0; i < 20; i++) {
		net.at_once = true;
		ask(t);
		net.at_once = false;
		ch_test_advance(t, 501);
		head(t, 200, STREAM);
		end(t, CH_HTTP_OK);
		ch_test_advance(t, 20000); /* those that fail open the circuit: it is closed, or tried, at the next */
	}
	assert_int_equal(net.calls, 31);
	ch_test_free(t);
}

static void a_provider_that_is_broken_or_busy_is_a_clear_answer(void **state)
{
	struct ch_test *t = begin_with("retries = 0\n");
	struct ch_test_answer *a;

	(void)state;
	net.at_once = true;
	a = ask(t);
	assert_int_equal(a->status, 503);
	assert_non_null(strstr(a->body, "too many calls to other"));
	net.broken = true;
	a = ask(t);
	assert_int_equal(a->status, 503);
	assert_non_null(strstr(a->body, "HTTP client is broken"));
	ch_test_free(t);
}

static void head_requests_are_answered_without_a_call(void **state)
{
	struct ch_test *t = begin_with("");
	struct ch_test_answer *a = ch_test_request(t, "HEAD", "/v1/events", NULL, NULL, 0);

	(void)state;
	assert_int_equal(a->status, 200);
	assert_int_equal(net.calls, 0);
	ch_test_free(t);
}

static void without_memory_nothing_breaks(void **state)
{
	struct ch_test *t = begin_with("retries = 0\n");
	bool struck = true;

	(void)state;
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		ch_test_fail_alloc(t, n);
		a = ask(t);
		head(t, 200, STREAM);
		text(t, "data: o");
		text(t, "ne\n\n");
		end(t, CH_HTTP_OK);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		assert_true(!a->status || a->status == 200 || a->status == 503);
		assert_false(net.running);
		ch_test_advance(t, 10000);
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_handed_on_however_they_are_cut),
		cmocka_unit_test(a_stream_without_an_event_is_an_empty_stream),
		cmocka_unit_test(a_stream_that_breaks_is_cut),
		cmocka_unit_test(a_client_that_does_not_read_holds_up_the_other_server),
		cmocka_unit_test(a_client_that_leaves_ends_the_call),
		cmocka_unit_test(what_failed_is_tried_again_with_growing_pauses),
		cmocka_unit_test(the_other_servers_retry_after_is_followed),
		cmocka_unit_test(what_is_no_event_stream_is_refused_at_once),
		cmocka_unit_test(an_event_without_end_is_no_reason_to_hoard),
		cmocka_unit_test(a_server_that_fails_five_times_is_left_alone_for_a_while),
		cmocka_unit_test(an_open_circuit_outlives_a_reload),
		cmocka_unit_test(retries_are_a_share_of_the_requests),
		cmocka_unit_test(a_provider_that_is_broken_or_busy_is_a_clear_answer),
		cmocka_unit_test(head_requests_are_answered_without_a_call),
		cmocka_unit_test(without_memory_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
