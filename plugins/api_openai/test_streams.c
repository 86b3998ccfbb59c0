/* SPDX-License-Identifier: Apache-2.0 */
/* test_streams.c - the plugin over a backend of the test's own: streams, what leaves compared byte by byte (WIRE.md, section 2). */
#include "test_world.h"

#define PATH "/v1/chat/completions"
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"
#define STREAM "{\"stream\":true," MESSAGES "}"
#define USAGE "{\"stream\":true,\"stream_options\":{\"include_usage\":true}," MESSAGES "}"

/* A stream of our own making without what is random in it: the ids, which must be the same in all chunks. */
static const char *without_ids(const char *body)
{
	static char out[1 << 14];
	const char *id = strstr(body, "{\"id\":\"");
	size_t n = 0;

	while (*body) {
		if (id && !strncmp(body, "{\"id\":\"", 7)) {
			assert_memory_equal(body, id, 48);
			body += 50;
			out[n++] = '{';
		}
		out[n++] = *body++;
	}
	out[n] = 0;
	return out;
}

#define C(rest) "data: {\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"m1\",\"choices\":[" rest "\n\n"

static void texts_become_chunks(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	assert_int_equal(a->status, 0); /* the head waits for the first piece */
	assert_true(f.openai.stream);
	send_text(t, &f, "one\n");
	assert_int_equal(f.sent, CH_OK);
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "content-type"), "text/event-stream");
	assert_string_equal(ch_test_header(a, "cache-control"), "no-cache");
	assert_string_equal(ch_test_header(a, "x-accel-buffering"), "no");
	assert_string_equal(ch_test_header(a, "x-chimera-backend"), "fake");
	assert_non_null(ch_test_header(a, "openai-processing-ms"));
	assert_string_equal(without_ids(a->body),
		C("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"one\\n\"},\"logprobs\":null,\"finish_reason\":null}]}"));
	send_text(t, &f, "two");
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	assert_string_equal(without_ids(a->body),
		C("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"one\\n\"},\"logprobs\":null,\"finish_reason\":null}]}")
			C("{\"index\":0,\"delta\":{\"content\":\"two\"},\"logprobs\":null,\"finish_reason\":null}]}")
				C("{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}") "data: [DONE]\n\n");
	assert_true(ch_test_metric(t, "chimera_openai_streams_total", "chat", "done", NULL) == 1);
	ch_test_free(t);
}

static void usage_comes_in_a_chunk_of_its_own_if_asked_for(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, USAGE);

	(void)state;
	send_text(t, &f, "one");
	ch_test_on_loop(t, end, &f);
	assert_string_equal(without_ids(a->body),
		C("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"one\"},\"logprobs\":null,\"finish_reason\":null}],"
		  "\"usage\":null}") C("{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}")
			C("],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"total_tokens\":5}}") "data: [DONE]\n\n");
	ch_test_free(t);
}

static void calls_of_tools_become_chunks(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	f.delta = (struct ch_inference_delta){ .size = sizeof(f.delta), .tool_calls = CH_STR("[{\"index\":0,\"id\":\"c\"}]") };
	ch_test_on_loop(t, send, &f);
	f.give.finish_reason = "tool_calls";
	ch_test_on_loop(t, end, &f);
	assert_string_equal(without_ids(a->body),
		C("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"index\":0,\"id\":\"c\"}]},\"logprobs\":null,\"finish_"
		  "reason\":null}]}")
			C("{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}") "data: [DONE]\n\n");
	ch_test_free(t);
}

static void completions_stream_too(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, "/v1/completions", "{\"prompt\":\"x\",\"stream\":true}");

	(void)state;
	send_text(t, &f, "one");
	ch_test_on_loop(t, end, &f);
	assert_non_null(strstr(a->body, "{\"index\":0,\"text\":\"one\",\"logprobs\":null,\"finish_reason\":null}]}\n\n"));
	assert_non_null(strstr(a->body, "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"));
	assert_true(ch_test_metric(t, "chimera_openai_streams_total", "completion", "done", NULL) == 1);
	ch_test_free(t);
}

static void frames_of_the_same_dialect_go_out_as_they_came(void **state)
{
	static char large[10000];
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, USAGE);
	char expected[10200];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	large[0] = large[sizeof(large) - 2] = '"';
	send_frame(t, &f, "{ \"a\": 1 }");
	assert_string_equal(a->body, "data: { \"a\": 1 }\n\n");
	send_frame(t, &f, "{\n\"b\":\r\n2}");
	send_frame(t, &f, large);
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	snprintf(expected, sizeof(expected), "data: { \"a\": 1 }\n\ndata: { \"b\":  2}\n\ndata: %s\n\ndata: [DONE]\n\n", large);
	assert_string_equal(a->body, expected);
	ch_test_free(t);
}

static void a_stream_without_a_piece_is_still_one(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	ch_test_on_loop(t, end, &f);
	assert_string_equal(without_ids(a->body),
		C("{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]}") "data: [DONE]\n\n");
	ch_test_free(t);
}

static void a_hook_that_answers_is_a_stream(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, "[api_openai]\n[hooked]\n");
	struct ch_test_answer *a;

	(void)state;
	hook_text = (struct ch_str)CH_STR("from the cache");
	a = post(t, PATH, STREAM);
	assert_true(a->complete);
	assert_non_null(strstr(a->body, "\"delta\":{\"role\":\"assistant\",\"content\":\"from the cache\"}"));
	assert_string_equal(a->body + a->n - 14, "data: [DONE]\n\n");
	assert_int_equal(f.calls, 0);
	ch_test_free(t);
}

/* ---- failures ---- */

static void a_stream_that_fails_before_its_first_piece_is_a_plain_refusal(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	f.give.code = CH_E_UPSTREAM_TIMEOUT;
	f.give.detail = "Too slow.";
	ch_test_on_loop(t, end, &f);
	assert_int_equal(a->status, 503);
	assert_string_equal(ch_test_header(a, "content-type"), "application/problem+json");
	assert_null(ch_test_header(a, "cache-control"));
	assert_non_null(strstr(a->body, "\"code\":\"upstream_timeout\""));
	f.rc = CH_OK;
	f.give.code = CH_E_MODEL_NOT_FOUND;
	a = post(t, PATH, STREAM);
	assert_int_equal(a->status, 404);
	assert_true(ch_test_metric(t, "chimera_openai_streams_total", NULL) == 0);
	ch_test_free(t);
}

static void a_stream_that_fails_later_ends_with_an_error_and_no_done(void **state)
{
	static const char error[] = "{\"message\":\"Own words.\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}";
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	send_frame(t, &f, "{}");
	f.give.code = CH_E_UPSTREAM_ERROR;
	f.give.detail = "The line was cut.";
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	assert_int_equal(a->status, 200);
	assert_string_equal(a->body,
		"data: {}\n\ndata: {\"error\":{\"message\":\"The line was cut.\",\"type\":\"server_error\",\"param\":null,"
		"\"code\":\"upstream_error\"}}\n\n");
	assert_true(ch_test_metric(t, "chimera_openai_streams_total", "chat", "error", NULL) == 1);
	a = post(t, PATH, STREAM);
	f.give.code = 0;
	send_frame(t, &f, "{}");
	f.give.code = CH_E_UPSTREAM_ERROR;
	f.give.error = (struct ch_str){ error, strlen(error) };
	ch_test_on_loop(t, end, &f);
	assert_string_equal(
		a->body, "data: {}\n\ndata: {\"error\":{\"message\":\"Own words.\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}\n\n");
	ch_test_free(t);
}

static void a_client_that_leaves_a_stream_is_told_to_the_backend(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	send_frame(t, &f, "{}");
	ch_test_sweep_off(t); /* it would judge the ticket that is kept back */
	f.deaf = true;
	ch_test_leave(a);
	assert_int_equal(f.cancelled, 1);
	ch_test_advance(t, 60000); /* the pings' timer finds nobody */
	ch_test_on_loop(t, confirm, &f);
	assert_true(ch_test_metric(t, "chimera_openai_streams_total", "chat", "gone", NULL) == 1);
	a = post(t, PATH, STREAM);
	f.deaf = false;
	send_frame(t, &f, "{}");
	ch_test_half_close(a); /* FIN while an answer streams is gone at once (FAULTS H24) */
	assert_int_equal(f.cancelled, 2);
	ch_test_free(t);
}

/* ---- pace ---- */

static void pump(void *data)
{
	struct fake *f = data;
	static char text[1000];

	memset(text, '1', sizeof(text));
	f->delta = (struct ch_inference_delta){ .size = sizeof(f->delta), .frame = { text, sizeof(text) } };
	for (int i = 0; i < 1000 && f->sent == CH_OK; i++)
		send(f);
}

static void a_client_that_does_not_read_holds_the_backend_back(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, "[server]\nstream_high = 16k\nstream_low = 4k\n[api_openai]\n");
	struct ch_test_answer *a = post(t, PATH, STREAM);
	size_t n;

	(void)state;
	ch_test_unread(a, true);
	ch_test_on_loop(t, pump, &f);
	assert_int_equal(f.sent, CH_AGAIN);
	assert_int_equal(f.went_on, 0);
	n = a->n;
	ch_test_advance(t, 20000); /* no ping to a client that does not read */
	assert_int_equal(a->n, n);
	ch_test_unread(a, false);
	assert_int_equal(f.went_on, 1);
	assert_null(strstr(a->body, "ping"));
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	ch_test_free(t);
}

static void silence_is_filled_with_pings(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	ch_test_advance(t, 60000);
	assert_int_equal(a->status, 0); /* none before the head */
	send_frame(t, &f, "1");
	ch_test_advance(t, 14999);
	assert_string_equal(a->body, "data: 1\n\n");
	send_frame(t, &f, "2");
	ch_test_advance(t, 14999);
	assert_string_equal(a->body, "data: 1\n\ndata: 2\n\n");
	ch_test_advance(t, 1);
	assert_string_equal(a->body, "data: 1\n\ndata: 2\n\n: ping\n\n");
	ch_test_advance(t, 15000);
	assert_string_equal(a->body, "data: 1\n\ndata: 2\n\n: ping\n\n: ping\n\n");
	ch_test_on_loop(t, end, &f);
	assert_string_equal(a->body, "data: 1\n\ndata: 2\n\n: ping\n\n: ping\n\ndata: [DONE]\n\n");
	ch_test_free(t);
}

static void pings_can_be_off(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, "[api_openai]\nping = off\n");
	struct ch_test_answer *a = post(t, PATH, STREAM);

	(void)state;
	send_frame(t, &f, "1");
	ch_test_advance(t, 3600000);
	assert_string_equal(a->body, "data: 1\n\n");
	ch_test_on_loop(t, end, &f);
	ch_test_free(t);
}

/* ---- passing on ---- */

static void bytes_that_are_passed_on_are_not_touched(void **state)
{
	static const char mp3[] = "ID3\0\n\n\r\ndata: x";
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.give.content_type = "audio/mpeg";
	a = post(t, "/v1/audio/speech", "{\"model\":\"tts-1\",\"input\":\"x\"}");
	assert_int_equal(f.args.op, CH_I_PASS);
	assert_string_equal(f.path, "audio/speech");
	assert_string_equal(f.model, "tts-1");
	assert_false(f.openai.stream);
	f.delta = (struct ch_inference_delta){ .size = sizeof(f.delta), .frame = { mp3, sizeof(mp3) } };
	ch_test_on_loop(t, send, &f);
	ch_test_advance(t, 60000);
	ch_test_on_loop(t, send, &f);
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	assert_string_equal(ch_test_header(a, "content-type"), "audio/mpeg");
	assert_null(ch_test_header(a, "cache-control"));
	assert_int_equal(a->n, 2 * sizeof(mp3));
	assert_memory_equal(a->body, mp3, sizeof(mp3));
	assert_memory_equal(a->body + sizeof(mp3), mp3, sizeof(mp3));
	ch_test_free(t);
}

static void an_event_stream_that_is_passed_on_gets_pings_between_frames_alone(void **state)
{
	static const char *const halves[] = { "event: a\r\ndata: 1\r", "\n", "\r\n" };
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.give.content_type = "text/event-stream; charset=utf-8";
	a = post(t, "/v1/responses", "{\"model\":\"m\",\"stream\":true}");
	assert_true(f.openai.stream);
	for (size_t i = 0; i < 3; i++) {
		send_frame(t, &f, halves[i]);
		assert_null(strstr(a->body, "ping"));
		ch_test_advance(t, 15000);
	}
	assert_string_equal(a->body, "event: a\r\ndata: 1\r\n\r\n: ping\n\n");
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	assert_string_equal(ch_test_header(a, "content-type"), "text/event-stream; charset=utf-8");
	assert_string_equal(a->body, "event: a\r\ndata: 1\r\n\r\n: ping\n\n"); /* nothing is added */
	ch_test_free(t);
}

static void what_is_passed_on_keeps_its_status(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.give.status = 201;
	a = post(t, "/v1/responses", "{\"model\":\"m\"}");
	send_frame(t, &f, "{}");
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	assert_int_equal(a->status, 201);
	assert_string_equal(a->body, "{}");
	f.give.status = 204;
	f.rc = CH_OK;
	a = post(t, "/v1/responses", "{\"model\":\"m\"}");
	assert_true(a->complete);
	assert_int_equal(a->status, 204);
	assert_null(ch_test_header(a, "transfer-encoding"));
	ch_test_free(t);
}

static void what_is_passed_on_and_breaks_is_told_where_it_can_be(void **state)
{
	struct fake f;
	struct ch_test *t = begin(&f, NULL);
	struct ch_test_answer *a;

	(void)state;
	f.give.content_type = "text/event-stream";
	a = post(t, "/v1/responses", "{\"model\":\"m\"}");
	send_frame(t, &f, "data: 1\n\n");
	f.give.code = CH_E_UPSTREAM_ERROR;
	f.give.detail = "Cut.";
	ch_test_on_loop(t, end, &f);
	assert_true(a->complete);
	assert_non_null(strstr(a->body, "data: 1\n\ndata: {\"error\":{\"message\":\"Cut.\""));
	a = post(t, "/v1/responses", "{\"model\":\"m\"}");
	send_frame(t, &f, "data: 1\n");
	ch_test_on_loop(t, end, &f);
	assert_true(a->done && !a->complete); /* in the middle of a frame: cut */
	f.give.content_type = NULL;
	a = post(t, "/v1/responses", "{\"model\":\"m\"}");
	send_frame(t, &f, "{\"a\":");
	assert_string_equal(ch_test_header(a, "content-type"), "application/json");
	ch_test_on_loop(t, end, &f);
	assert_true(a->done && !a->complete);
	a = post(t, "/v1/responses", "{\"model\":\"m\"}");
	ch_test_on_loop(t, end, &f);
	assert_int_equal(a->status, 503);
	assert_true(ch_test_metric(t, "chimera_openai_streams_total", "pass", "error", NULL) == 3);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_chunks),
		cmocka_unit_test(usage_comes_in_a_chunk_of_its_own_if_asked_for),
		cmocka_unit_test(calls_of_tools_become_chunks),
		cmocka_unit_test(completions_stream_too),
		cmocka_unit_test(frames_of_the_same_dialect_go_out_as_they_came),
		cmocka_unit_test(a_stream_without_a_piece_is_still_one),
		cmocka_unit_test(a_hook_that_answers_is_a_stream),
		cmocka_unit_test(a_stream_that_fails_before_its_first_piece_is_a_plain_refusal),
		cmocka_unit_test(a_stream_that_fails_later_ends_with_an_error_and_no_done),
		cmocka_unit_test(a_client_that_leaves_a_stream_is_told_to_the_backend),
		cmocka_unit_test(a_client_that_does_not_read_holds_the_backend_back),
		cmocka_unit_test(silence_is_filled_with_pings),
		cmocka_unit_test(pings_can_be_off),
		cmocka_unit_test(bytes_that_are_passed_on_are_not_touched),
		cmocka_unit_test(an_event_stream_that_is_passed_on_gets_pings_between_frames_alone),
		cmocka_unit_test(what_is_passed_on_keeps_its_status),
		cmocka_unit_test(what_is_passed_on_and_breaks_is_told_where_it_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
