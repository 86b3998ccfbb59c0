/* SPDX-License-Identifier: Apache-2.0 */
/* test_call.c - a call's way back when no memory is left for the message: it is told late, and once. The host is the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage_postgres.h"

static bool no_memory;
static ch_fn posted;
static void *posted_data;
static int64_t timer;              /* ms it was set to; 0: not */
static int answers, resumed;

static bool post(struct ch_loop *l, ch_fn fn, void *data)
{
	(void)l;
	if (no_memory)
		return false;
	posted = fn;
	posted_data = data;
	return true;
}

static bool resume(ch_ticket t, void *result, ch_fn drop)
{
	(void)drop;
	assert_int_equal(t, 7);
	assert_null(result);
	resumed++;
	return true;
}

static int64_t now(void) { return 1; }
static void add(unsigned series, double v) { (void)series; (void)v; }
static void timer_set(struct ch_timer *t, int64_t ms) { (void)t; timer = ms; }
static void timer_free(struct ch_timer *t) { (void)t; }

static const struct ch_host host = { .size = sizeof(host), .now = now, .add = add, .post = post, .resume = resume, .timer_set = timer_set,
	.timer_free = timer_free };
CH_HOST_DEF_ CH_HIDDEN_ const struct ch_host *ch_host_ = &host;

void pg_pool_submit(struct pg_pool *p, struct pg_call *call) { (void)p; (void)call; }
void pg_conn_abandon(struct pg_conn *conn, int error, const char *detail) { (void)conn; (void)error; (void)detail; }

static void answer(struct pg_call *call)
{
	assert_int_equal(call->error, CH_SQL_UNAVAILABLE);
	answers++;
}

static void dispose(struct pg_call *call) { (void)call; }

static void a_call_that_cannot_be_handed_back_is_kept_until_it_can(void **state)
{
	struct pg_state s = { .again = (struct ch_timer *)&timer };
	struct ch_self self = { .size = sizeof(self), .state = &s };
	struct pg_call *call = calloc(1, sizeof(*call)); /* without a pool: it came when there was none */

	(void)state;
	assert_non_null(call);
	pg_link_init(&s.unsaid);
	atomic_init(&call->refs, 1);
	call->self = &self;
	call->ticket = 7;
	call->answer = answer;
	call->dispose = dispose;
	pg_link_init(&call->link);

	no_memory = true;
	pg_call_end(call, CH_SQL_UNAVAILABLE, "The server is about to stop.");
	assert_int_equal(timer, 10);
	timer = 0;
	assert_false(pg_calls_say(&s));
	assert_int_equal(timer, 10);
	assert_null(posted);

	no_memory = false;
	assert_true(pg_calls_say(&s));
	assert_non_null(posted);
	posted(posted_data);
	assert_int_equal(answers, 1);
	assert_int_equal(resumed, 1);
	posted = NULL;
	assert_true(pg_calls_say(&s));
	assert_null(posted);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_call_that_cannot_be_handed_back_is_kept_until_it_can) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
