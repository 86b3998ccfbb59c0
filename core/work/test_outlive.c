/* SPDX-License-Identifier: Apache-2.0 */
/* Work that is worth more than its client: what goes on when the client leaves, and what ends it then. */
#include "core/work/test_script.h"

static bool wanted;
static unsigned questions;

static bool is_wanted(void *data)
{
	assert_string_equal(data, "data");
	questions++;
	return wanted;
}

static int wait_wanted(struct ch_ctx *c)
{
	ch_outlive(c, is_wanted, "data");
	return wait_long(c);
}

/* The head and a piece, then it waits. */
static int stream_wanted(struct ch_ctx *c)
{
	assert_int_equal(ch_begin(c, 200), CH_OK);
	assert_int_equal(ch_write(c, "one", 3, NULL, NULL), CH_OK);
	return wait_wanted(c);
}

static struct ch_test *begin_wanted(int (*fn)(struct ch_ctx *), bool is)
{
	wanted = is;
	questions = 0;
	return begin(fn);
}

static void forsake(void *data)
{
	ch_forsake(data);
}

static void begin_stream(void *data)
{
	assert_int_equal(ch_begin(data, 200), CH_OK);
}

static void write_the_rest(void *data)
{
	struct ch_ctx *c = data;

	assert_int_equal(ch_write(c, "two", 3, NULL, NULL), CH_OK);
	assert_int_equal(ch_end(c), CH_OK);
}

static void a_whole_answer_is_made_though_its_client_left(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(wait_wanted, true);
	struct ch_test_answer *a = get(t);

	ch_test_leave(a);
	ch_test_advance(t, 5000);
	assert_int_equal(questions, 1);
	assert_int_equal(heard, 0);
	assert_int_equal(ends, 0);
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(heard, CH_READY);
	assert_int_equal(ends, 1);
	assert_int_equal(responses, 1);
	assert_int_equal(end_status, 200);
	assert_true(end_aborted);
	assert_string_equal(tapped, "ok!");
	ch_test_free(t);
}

static void a_stream_goes_on_to_the_taps_alone(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(stream_wanted, true);
	struct ch_test_answer *a = get(t);

	ch_test_leave(a);
	ch_test_advance(t, 1000);
	assert_int_equal(heard, 0);
	ch_test_on_loop(t, write_the_rest, ctx);
	after = CH_OK;
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(ends, 1);
	assert_true(end_aborted);
	assert_string_equal(tapped, "onetwo!");
	ch_test_free(t);
}

static void what_nobody_wants_hears_gone_as_ever(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(wait_wanted, false);

	ch_test_leave(get(t));
	ch_test_advance(t, 5000);
	assert_int_equal(questions, 1);
	assert_int_equal(heard, CH_GONE);
	assert_int_equal(end_status, 499);
	ch_test_on_loop(t, resume, NULL);
	assert_false(resumed);
	ch_test_free(t);
}

static void what_is_forsaken_hears_gone_then(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(wait_wanted, true);

	ch_test_leave(get(t));
	ch_test_advance(t, 5000);
	assert_int_equal(heard, 0);
	ch_test_on_loop(t, forsake, ctx);
	assert_int_equal(heard, CH_GONE);
	assert_int_equal(ends, 1);
	assert_int_equal(end_status, 499);
	ch_test_on_loop(t, resume, NULL);
	assert_false(resumed);
	ch_test_free(t);
}

static void forsaking_what_has_a_client_does_nothing(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(wait_wanted, true);
	struct ch_test_answer *a = get(t);

	ch_test_on_loop(t, forsake, ctx);
	assert_int_equal(heard, 0);
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	assert_int_equal(questions, 0);
	assert_false(end_aborted);
	ch_test_free(t);
}

static void take_back(struct ch_ctx *c)
{
	(void)c;
	ch_unsuspend(ticket);
}

static void a_server_that_ends_forsakes_all(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(wait_wanted, true);

	ch_test_leave(get(t));
	ch_test_advance(t, 5000);
	assert_int_equal(heard, 0);
	end = take_back;
	ch_test_free(t);
	assert_int_equal(heard, CH_GONE);
	assert_int_equal(ends, 1);
}

/* Nobody is asked for a client that leaves when the answer is on its way. */
static void an_answer_that_is_made_needs_no_client(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(answer_ok, true);
	struct ch_test_answer *a = get(t);

	ch_test_leave(a);
	ch_test_advance(t, 1000);
	assert_int_equal(questions, 0);
	assert_int_equal(ends, 1);
	ch_test_free(t);
}

static unsigned drained;
static char large[1 << 20];

static void on_drained(void *data)
{
	assert_ptr_equal(data, ctx);
	assert_false(inside);
	drained++;
}

/* More than a client that does not read lets wait. */
static void write_much(void *data)
{
	drained = 0;
	ch_on_writable(data, on_drained, data);
	assert_int_equal(ch_write(data, large, sizeof(large), NULL, NULL), CH_AGAIN);
	assert_int_equal(ch_write(data, large, sizeof(large), NULL, NULL), CH_AGAIN);
}

static void who_waits_for_a_reader_goes_on_when_it_left(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(stream_wanted, true);
	struct ch_test_answer *a = get(t);

	ch_test_unread(a, true);
	ch_test_on_loop(t, write_much, ctx);
	ch_test_leave(a);
	ch_test_advance(t, 1);
	assert_int_equal(drained, 1);
	assert_int_equal(heard, 0);
	ch_test_on_loop(t, write_the_rest, ctx);
	after = CH_OK;
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(ends, 1);
	ch_test_free(t);
}

static void write_one(void *data)
{
	assert_int_equal(ch_write(data, "one", 3, NULL, NULL), CH_OK);
}

/* A half-closed client of a stream is found gone by the next write: what that one wrote is not lost. */
static void a_write_that_finds_its_client_gone_goes_on(void **state)
{
	(void)state;
	struct ch_test *t = begin_wanted(wait_wanted, true);
	struct ch_test_answer *a = get(t);

	ch_test_half_close(a);
	ch_test_on_loop(t, begin_stream, ctx);
	ch_test_advance(t, 10);
	ch_test_on_loop(t, write_one, ctx);
	ch_test_on_loop(t, write_the_rest, ctx);
	after = CH_OK;
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(questions, 1);
	assert_int_equal(ends, 1);
	assert_true(end_aborted);
	assert_string_equal(tapped, "onetwo!");
	ch_test_free(t);
}

static int look_at_headers(struct ch_ctx *c)
{
	struct ch_str name, value;

	assert_non_null(ch_route(c));
	assert_string_equal(ch_route(c)->pattern, "/x");
	assert_false(ch_answer_header_at(c, 0, &name, &value));
	ch_header_set(c, "X-One", "1");
	assert_int_equal(answer_ok(c), CH_DONE);
	assert_true(ch_answer_header_at(c, 0, &name, &value));
	assert_int_equal(name.n, 12);
	assert_memory_equal(name.p, "Content-Type", 12);
	assert_int_equal(value.n, 10);
	assert_memory_equal(value.p, "text/plain", 10);
	assert_true(ch_answer_header_at(c, 1, &name, &value));
	assert_memory_equal(name.p, "X-One", 5);
	assert_memory_equal(value.p, "1", 1);
	assert_false(ch_answer_header_at(c, 2, &name, &value));
	return CH_DONE;
}

static void the_answers_fields_and_the_route_can_be_read(void **state)
{
	(void)state;
	struct ch_test *t = begin(look_at_headers);

	assert_int_equal(get(t)->status, 200);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_is_made_though_its_client_left),
		cmocka_unit_test(a_stream_goes_on_to_the_taps_alone),
		cmocka_unit_test(what_nobody_wants_hears_gone_as_ever),
		cmocka_unit_test(what_is_forsaken_hears_gone_then),
		cmocka_unit_test(forsaking_what_has_a_client_does_nothing),
		cmocka_unit_test(a_server_that_ends_forsakes_all),
		cmocka_unit_test(an_answer_that_is_made_needs_no_client),
		cmocka_unit_test(who_waits_for_a_reader_goes_on_when_it_left),
		cmocka_unit_test(a_write_that_finds_its_client_gone_goes_on),
		cmocka_unit_test(the_answers_fields_and_the_route_can_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
