/* SPDX-License-Identifier: Apache-2.0 */
/* Units of work: rules and their breaking, ends, tasks, services, the pool, generations. */
#include "core/work/test_script.h"

/* ---- misuse ---- */

static int say_again(struct ch_ctx *c)
{
	(void)c;
	return CH_AGAIN;
}

static int say_error(struct ch_ctx *c)
{
	(void)c;
	return CH_ERROR;
}

static int say_404(struct ch_ctx *c)
{
	(void)c;
	return 404;
}

static int say_done(struct ch_ctx *c)
{
	(void)c;
	return CH_DONE;
}

static void is_500_and_counted(int (*fn)(struct ch_ctx *), const char *sentence)
{
	struct ch_test *t = begin(fn);
	struct ch_test_answer *a;

	ch_test_expect_misuse(t);
	a = get(t);
	assert_int_equal(a->status, 500);
	assert_non_null(strstr(a->body, "\"code\":\"internal_error\""));
	assert_true(ch_test_metric(t, "chimera_hook_errors_total", "script", "content", NULL) == 1);
	assert_true(ch_test_logged(t, sentence));
	assert_true(ch_test_logged(t, "ERROR script: "));
	assert_int_equal(ends, 1);
	assert_int_equal(end_status, 500);
	ch_test_free(t);
}

static void again_without_a_ticket_is_500_and_counted(void **state)
{
	(void)state;
	is_500_and_counted(say_again, "content hook returned AGAIN without a ticket");
}

static void error_is_500_and_counted(void **state)
{
	(void)state;
	is_500_and_counted(say_error, "content hook returned ERROR");
}

static void a_status_is_no_return_code(void **state)
{
	(void)state;
	is_500_and_counted(say_404, "content hook returned a value that is none of CH_OK, CH_DONE, CH_AGAIN, CH_ERROR");
}

static int respond_too_much(struct ch_ctx *c)
{
	static char body[5 << 20]; /* the arena takes 4 MiB */

	assert_null(ch_alloc(c, sizeof(body)));
	assert_int_equal(ch_respond(c, 200, "text/plain", body, sizeof(body)), CH_ERROR);
	return ch_refuse(c, CH_E_OVERLOADED, 0, "too much");
}

static void what_a_ctx_cannot_hold_is_told_to_the_plugin(void **state)
{
	struct ch_test *t = begin(respond_too_much);
	struct ch_test_answer *a = get(t);

	(void)state;
	assert_int_equal(a->status, 503);
	assert_non_null(ch_test_header(a, "retry-after")); /* a 503 always says when to come back */
	ch_test_free(t);
}

static int use_all_up(struct ch_ctx *c)
{
	for (size_t n = 1 << 20; n; n /= 2)
		while (ch_alloc(c, n))
			;
	assert_null(ch_alloc(c, 1));
	assert_null(ch_print(c, "x"));
	assert_int_equal(ch_header_set(c, "X-Left", "nothing"), CH_OK);
	return ch_refuse(c, CH_E_OVERLOADED, 0, "all used up");
}

static void a_request_that_has_used_all_its_memory_is_still_answered(void **state)
{
	struct ch_test *t = begin(use_all_up);
	struct ch_test_answer *a = get(t);

	(void)state;
	assert_int_equal(a->status, 503);
	assert_true(a->complete);
	assert_string_equal(ch_test_header(a, "x-left"), "nothing");
	assert_non_null(strstr(a->body, "all used up"));
	ch_test_free(t);
}

static void done_without_an_answer_is_500(void **state)
{
	struct ch_test *t = begin(say_done);

	(void)state;
	ch_test_expect_misuse(t);
	assert_int_equal(get(t)->status, 500);
	assert_true(ch_test_logged(t, "/x was done without an answer"));
	assert_int_equal(ends, 1);
	ch_test_free(t);
}

static void error_after_a_wait_is_500_and_counted(void **state)
{
	static const int wrong[] = { CH_ERROR, CH_AGAIN };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct ch_test *t = begin(wait_long);
		struct ch_test_answer *a = get(t);

		ch_test_expect_misuse(t);
		after = wrong[i];
		ch_test_on_loop(t, resume, NULL);
		assert_int_equal(a->status, 500);
		assert_true(ch_test_metric(t, "chimera_hook_errors_total", "script", NULL) == 1);
		assert_int_equal(ends, 1);
		ch_test_free(t);
	}
}

static int stream_and_fail(struct ch_ctx *c)
{
	assert_int_equal(ch_begin(c, 200), CH_OK);
	assert_int_equal(ch_write(c, "half", 4, NULL, NULL), CH_OK);
	return CH_ERROR;
}

static void an_error_inside_a_stream_cuts_it(void **state)
{
	struct ch_test *t = begin(stream_and_fail);
	struct ch_test_answer *a;

	(void)state;
	ch_test_expect_misuse(t);
	a = get(t);
	assert_int_equal(a->status, 200);
	assert_true(a->done);
	assert_false(a->complete);
	assert_int_equal(ends, 1);
	assert_true(end_aborted);
	ch_test_free(t);
}

/* ---- END ---- */

static int refuse(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_RATE_LIMITED, 1500, "slow down");
}

static void end_runs_once_whatever_happened(void **state)
{
	struct ch_test *t = begin(answer_ok);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	assert_int_equal(ends, 1);
	assert_int_equal(end_status, 200);
	assert_int_equal(responses, 1);
	assert_int_equal(ch_test_request(t, "GET", "/none", NULL, NULL, 0)->status, 404);
	assert_int_equal(ends, 2);
	assert_int_equal(end_status, 404);
	assert_int_equal(ch_test_request(t, "DELETE", "/x", NULL, NULL, 0)->status, 405);
	assert_int_equal(ends, 3);
	limit = refuse;
	assert_int_equal(get(t)->status, 429);
	assert_int_equal(ends, 4);
	assert_int_equal(end_status, 429);
	assert_int_equal(ch_test_request(t, "GET", "/%zz", NULL, NULL, 0)->status, 400);
	assert_int_equal(ends, 5);
	assert_int_equal(responses, 5);
	ch_test_free(t);
}

static void end_runs_for_a_client_that_left_during_its_body(void **state)
{
	struct ch_test *t = begin(answer_ok);
	struct ch_test_answer *a = ch_test_request(t, "POST", "/x", "Content-Length: 100", "half", 4);

	(void)state;
	assert_false(a->done);
	assert_int_equal(ends, 0);
	ch_test_leave(a);
	assert_int_equal(ends, 1);
	assert_int_equal(end_status, 499);
	ch_test_free(t);
}

static int stream_chunks(struct ch_ctx *c)
{
	ch_begin(c, 200);
	ch_write(c, "abcd", 4, NULL, NULL);
	ch_end(c);
	return CH_DONE;
}

static int stream_length(struct ch_ctx *c)
{
	ch_length(c, 4);
	return stream_chunks(c);
}

/* What the client had at END: never the byte that completes its answer (DESIGN, section 3). */
static void end_comes_before_the_last_bytes(void **state)
{
	static int (*const handlers[])(struct ch_ctx *) = { answer_ok, stream_chunks, stream_length };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct ch_test *t = begin(handlers[i]);
		struct ch_test_answer *a = get(t);

		assert_true(a->complete);
		assert_int_equal(ends, 1);
		assert_true(end_got < chi_peer_of(a)->ngot);
		if (i == 0)
			assert_int_equal(end_got, 0);
		ch_test_free(t);
	}
}

/* ---- tasks ---- */

static unsigned task_runs;
static int on_task(struct ch_ctx *c, void *data)
{
	assert_false(ch_is_http(c));
	assert_null(ch_path(c).p);
	assert_null(ch_header(c, "Host").p);
	assert_int_equal(ch_begin(c, 200), CH_ERROR);
	task_runs++;
	ctx = c;
	return data ? wait_long(c) : CH_DONE;
}

static void a_task_runs_and_ends(void **state)
{
	struct ch_test *t = begin(answer_ok);

	(void)state;
	task_runs = 0;
	assert_true(ch_test_task(t, "script", 0, on_task, NULL));
	assert_int_equal(task_runs, 1);
	assert_int_equal(ends, 1);
	ch_test_free(t);
}

static void a_tasks_deadline_is_a_timeout(void **state)
{
	struct ch_test *t = begin(answer_ok);

	(void)state;
	after = CH_OK;
	ch_test_task(t, "script", 500, on_task, t);
	ch_test_advance(t, 499);
	assert_int_equal(heard, 0);
	ch_test_advance(t, 1);
	assert_int_equal(heard, CH_TIMEOUT);
	assert_int_equal(ends, 1);
	ch_test_on_loop(t, resume, NULL);
	ch_test_free(t);
}

/* ---- services ---- */

struct echo_v1 {
	size_t size;
	int (*echo)(const struct ch_svc *, struct ch_ctx *, const char *text, const char **out, ch_ticket);
};
struct user_conf { const struct ch_svc *echo; };

static bool echo_waits;
static const char **echo_out;
static ch_ticket echo_ticket;

static int echo(const struct ch_svc *svc, struct ch_ctx *c, const char *text, const char **out, ch_ticket t)
{
	(void)c;
	assert_string_equal(svc->id, "mirror");
	assert_string_equal(ch_test_data(svc), "mine");
	if (!echo_waits) {
		*out = text;
		return CH_OK;
	}
	echo_out = out;
	echo_ticket = t;
	return CH_AGAIN;
}

static const struct echo_v1 mirror = { sizeof(mirror), echo };

static int answer_echo(struct ch_ctx *c, const char *text)
{
	return ch_is_http(c) ? ch_respond(c, 200, "text/plain", text, strlen(text)) : (task_runs++, CH_DONE);
}

static int on_echo(struct ch_ctx *c, void *data, int why, void *result)
{
	const char **out = data;

	(void)result;
	assert_int_equal(why, CH_READY);
	assert_false(inside);
	return answer_echo(c, *out);
}

static int call_echo(struct ch_ctx *c, const struct ch_svc *svc)
{
	const char **out = ch_alloc(c, sizeof(*out));
	ch_ticket t = ch_suspend(c, 0, on_echo, out);
	int rc = ((const struct echo_v1 *)svc->vt)->echo(svc, c, "hi", out, t);

	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	return answer_echo(c, *out);
}

static int on_user(struct ch_self *self, struct ch_ctx *c)
{
	return call_echo(c, ((const struct user_conf *)self->conf)->echo);
}

static int user_task(struct ch_ctx *c, void *data)
{
	return call_echo(c, data);
}

static const struct ch_option user_options[] = { CH_OPT(struct user_conf, echo, SERVICE, .flags = CH_O_REQUIRED, .def = "auto",
	.iface = "echo/1", .help = "Who echoes") };
static const struct ch_route user_routes[] = { { .method = "GET", .pattern = "/echo", .fn = on_user } };
static const struct ch_plugin user = { .size = sizeof(user), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "user",
	.version = "0", .summary = "Uses a service", .conf_size = sizeof(struct user_conf), .options = CH_TABLE(user_options),
	.routes = CH_TABLE(user_routes) };

static const struct ch_plugin *user_entry(const struct ch_host *host)
{
	(void)host;
	return &user;
}

static struct ch_test *begin_echo(bool waits)
{
	struct ch_test *t = ch_test_new();

	echo_waits = waits;
	task_runs = 0;
	ch_test_plugin(t, user_entry);
	ch_test_service(t, "mirror", "echo/1", &mirror, "mine");
	ch_test_config(t, "[user]\n");
	assert_true(ch_test_start(t));
	return t;
}

static void echo_now(void *data)
{
	(void)data;
	*echo_out = "late";
	assert_true(ch_resume(echo_ticket, NULL, NULL));
}

static void a_service_answers_at_once_or_later_to_requests_and_tasks(void **state)
{
	struct ch_test *t = begin_echo(false);
	struct ch_test_answer *a = ch_test_request(t, "GET", "/echo", NULL, NULL, 0);

	(void)state;
	assert_string_equal(a->body, "hi");
	ch_test_task(t, "user", 0, user_task, (void *)ch_test_provided(t, "mirror", "echo/1"));
	assert_int_equal(task_runs, 1);
	ch_test_free(t);

	t = begin_echo(true);
	a = ch_test_request(t, "GET", "/echo", NULL, NULL, 0);
	assert_false(a->done);
	ch_test_on_loop(t, echo_now, NULL);
	assert_string_equal(a->body, "late");
	ch_test_task(t, "user", 0, user_task, (void *)ch_test_provided(t, "mirror", "echo/1"));
	assert_int_equal(task_runs, 0);
	ch_test_on_loop(t, echo_now, NULL);
	assert_int_equal(task_runs, 1);
	ch_test_free(t);
}

/* ---- the pool ---- */

static void *work(void *data)
{
	assert_string_equal(data, "data");
	return &number;
}

static int offload(struct ch_ctx *c)
{
	char *data = ch_dup(c, "data", 4);

	ticket = ch_suspend(c, 1000, on_heard, data);
	if (ch_offload(self_seen, work, data, ticket, on_drop))
		return CH_AGAIN;
	ch_unsuspend(ticket);
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "full");
}

static void offloaded_work_brings_its_result_to_the_loop(void **state)
{
	struct ch_test *t = begin(offload);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	assert_int_equal(heard, CH_READY);
	assert_ptr_equal(heard_result, &number);
	ch_test_free(t);
}

/* Its data lies in the arena of a request whose client is long gone. */
static void offloaded_work_may_use_the_ctxs_memory_to_its_end(void **state)
{
	struct ch_test *t = begin(offload);

	(void)state;
	ch_test_offload(t, CH_TEST_MANUAL);
	ch_test_leave(get(t));
	assert_int_equal(heard, CH_GONE);
	ch_test_advance(t, 60000);
	assert_int_equal(ch_test_offload_run(t), 1);
	assert_int_equal(drops, 1);
	ch_test_free(t);
}

static void a_full_pool_is_said_at_once(void **state)
{
	struct ch_test *t = begin(offload);

	(void)state;
	ch_test_offload(t, CH_TEST_FULL);
	assert_int_equal(get(t)->status, 503);
	assert_int_equal(heard, 0);
	ch_test_free(t);
}

/* ---- generations ---- */

static void a_reload_lets_old_requests_end_and_stops_their_plugins_after(void **state)
{
	struct ch_test *t = begin(wait_long);
	struct ch_test_answer *a = get(t), *b;
	struct ch_ctx *old = ctx;

	(void)state;
	ch_test_config(t, "[script]\nword = another\n");
	assert_true(ch_test_start(t)); /* the instance has a successor */
	assert_int_equal(starts, 2);
	assert_int_equal(stops, 0);
	handler = answer_ok;
	b = get(t);
	assert_int_equal(b->status, 200);
	assert_false(a->done);
	ctx = old;
	assert_int_equal(stops, 0);
	ch_test_on_loop(t, resume, NULL);
	assert_int_equal(a->status, 200);
	assert_int_equal(stops, 1);
	ch_test_free(t);
	assert_int_equal(stops, 2);
}

static void a_reload_that_fails_changes_nothing(void **state)
{
	struct ch_test *t = begin(answer_ok);

	(void)state;
	ch_test_config(t, "[script]\ncolour = red\n");
	assert_false(ch_test_start(t));
	assert_int_equal(get(t)->status, 200);
	assert_int_equal(starts, 1);
	assert_int_equal(stops, 0);
	ch_test_free(t);
}

/* ---- turns ---- */

static char order[16];
static void note(void *data)
{
	strcat(order, data);
}

static void post_and_note(void *data)
{
	(void)data;
	ch_turn_end(ch_loop_at(0), note, "c");
	ch_post(ch_loop_at(0), note, "a");
	ch_post(ch_loop_at(0), note, "b");
	note("-");
}

static void posts_run_in_order_and_turn_ends_behind_them(void **state)
{
	struct ch_test *t = begin(answer_ok);

	(void)state;
	*order = 0;
	ch_test_on_loop(t, post_and_note, NULL);
	assert_string_equal(order, "-abc");
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(again_without_a_ticket_is_500_and_counted),
		cmocka_unit_test(error_is_500_and_counted),
		cmocka_unit_test(a_status_is_no_return_code),
		cmocka_unit_test(what_a_ctx_cannot_hold_is_told_to_the_plugin),
		cmocka_unit_test(a_request_that_has_used_all_its_memory_is_still_answered),
		cmocka_unit_test(done_without_an_answer_is_500),
		cmocka_unit_test(error_after_a_wait_is_500_and_counted),
		cmocka_unit_test(an_error_inside_a_stream_cuts_it),
		cmocka_unit_test(end_runs_once_whatever_happened),
		cmocka_unit_test(end_runs_for_a_client_that_left_during_its_body),
		cmocka_unit_test(end_comes_before_the_last_bytes),
		cmocka_unit_test(a_task_runs_and_ends),
		cmocka_unit_test(a_tasks_deadline_is_a_timeout),
		cmocka_unit_test(a_service_answers_at_once_or_later_to_requests_and_tasks),
		cmocka_unit_test(offloaded_work_brings_its_result_to_the_loop),
		cmocka_unit_test(offloaded_work_may_use_the_ctxs_memory_to_its_end),
		cmocka_unit_test(a_full_pool_is_said_at_once),
		cmocka_unit_test(a_reload_lets_old_requests_end_and_stops_their_plugins_after),
		cmocka_unit_test(a_reload_that_fails_changes_nothing),
		cmocka_unit_test(posts_run_in_order_and_turn_ends_behind_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
