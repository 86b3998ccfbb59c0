/* SPDX-License-Identifier: MIT */
/* The harness must be able to fail: what a plugin leaves behind or does wrongly is told, with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <chimera/test.h>

/* ---- a plugin that does what the test says ---- */

static int (*handler)(struct ch_ctx *);
static ch_ticket ticket;
static struct ch_timer *timer;
static struct ch_watch *watch;
static char order[64];

static int on_x(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return handler(c);
}

/* Without a handler it makes a timer, which is not for start to do. */
static int on_start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	if (!handler)
		ch_timer_free(ch_timer(ch_loop_at(0), NULL, self));
	return CH_OK;
}

static const struct ch_metric metrics[] = { { .name = "odd_things_total", .kind = CH_COUNTER, .help = "Things",
	.labels = { { "kind", CH_L_CONFIG, NULL }, { "size", CH_L_CONFIG, NULL } } } };
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/x", .fn = on_x } };
static const struct ch_plugin odd = { .size = sizeof(odd),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "odd",
	.version = "0",
	.summary = "Odd",
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.start = on_start };

static const struct ch_plugin *odd_entry(const struct ch_host *host)
{
	(void)host;
	return &odd;
}

static int answer(struct ch_ctx *c)
{
	return ch_respond(c, 200, "text/plain", "ok", 2);
}

/* ---- what is told on failure ---- */

static char told[2048];
static void keep(const char *sentence)
{
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", sentence);
}

static struct ch_test *begin(int (*fn)(struct ch_ctx *))
{
	struct ch_test *t;

	told[0] = order[0] = 0;
	timer = NULL;
	watch = NULL;
	handler = fn;
	ch_test_on_failure(keep);
	t = ch_test_new();
	ch_test_plugin(t, odd_entry);
	ch_test_config(t, "[odd]\n");
	assert_true(ch_test_start(t));
	return t;
}

static void end(struct ch_test *t, const char *sentence)
{
	ch_test_free(t);
	ch_test_on_failure(NULL);
	if (*sentence ? !strstr(told, sentence) : *told)
		fail_msg("told was \"%s\" instead of \"%s\"", told, sentence);
}

static struct ch_test_answer *get(struct ch_test *t)
{
	return ch_test_request(t, "GET", "/x", NULL, NULL, 0);
}

static void a_clean_test_is_told_nothing(void **state)
{
	struct ch_test *t = begin(answer);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	end(t, "");
}

/* ---- tickets ---- */

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	return CH_DONE;
}

static int forget_ticket(struct ch_ctx *c)
{
	ticket = ch_suspend(c, 0, on_resumed, NULL);
	return CH_AGAIN;
}

/* The test's way out of a leak: the ticket is confirmed when the harness has said so. */
static void keep_and_confirm(const char *sentence)
{
	keep(sentence);
	ch_resume(ticket, NULL, NULL);
}

static void a_ticket_that_nobody_resumes_is_told(void **state)
{
	struct ch_test *t = begin(forget_ticket);

	(void)state;
	get(t);
	ch_test_on_failure(keep_and_confirm);
	end(t, "1 units of work are still suspended, 1 tickets are out");
}

/* ---- timers and watches ---- */

static void never(void *data)
{
	(void)data;
}

static void never_io(void *data, int events)
{
	(void)data;
	(void)events;
}

static int forget_timer(struct ch_ctx *c)
{
	timer = ch_timer(ch_loop(c), never, NULL);
	return answer(c);
}

static int forget_watch(struct ch_ctx *c)
{
	watch = ch_watch(ch_loop(c), 5, CH_READ, never_io, NULL);
	return answer(c);
}

static void free_both(void *data)
{
	(void)data;
	ch_timer_free(timer);
	ch_watch_free(watch);
	timer = NULL;
	watch = NULL;
}

static struct ch_test *current;
static void keep_and_free(const char *sentence)
{
	keep(sentence);
	ch_test_on_loop(current, free_both, NULL);
}

static void a_timer_that_is_left_is_told_with_its_maker(void **state)
{
	struct ch_test *t = current = begin(forget_timer);

	(void)state;
	get(t);
	ch_test_on_failure(keep_and_free);
	end(t, "1 timers are left after stop, the oldest was made by odd: ");
}

static void a_watch_that_is_left_is_told_with_its_maker(void **state)
{
	struct ch_test *t = current = begin(forget_watch);

	(void)state;
	get(t);
	ch_test_on_failure(keep_and_free);
	end(t, "1 watches are left after stop, the oldest was made by odd: ");
}

/* ---- misuse ---- */

static int say_error(struct ch_ctx *c)
{
	(void)c;
	return CH_ERROR;
}

static void an_error_of_a_hook_is_told_unless_expected(void **state)
{
	struct ch_test *t = begin(say_error);

	(void)state;
	get(t);
	end(t, "1 calls into plugins ended with ERROR or broke the rules");
	t = begin(say_error);
	ch_test_expect_misuse(t);
	get(t);
	end(t, "");
}

static void a_timer_made_off_its_loop_is_told(void **state)
{
	struct ch_test *t = begin(NULL); /* start makes one */

	(void)state;
	end(t, "ch_timer was called off the loops (in start, check, stop or offloaded work)");
}

static int call_the_harness(struct ch_ctx *c)
{
	ch_test_advance(current, 1);
	return answer(c);
}

static void a_call_of_the_harness_from_inside_is_told(void **state)
{
	struct ch_test *t = current = begin(call_the_harness);

	(void)state;
	get(t);
	end(t, "a function of the harness was called from inside a callback of the core");
}

static void post_again(void *data)
{
	(void)data;
	ch_timer_set(timer, 0);
}

static int spin(struct ch_ctx *c)
{
	timer = ch_timer(ch_loop(c), post_again, NULL);
	ch_timer_set(timer, 0);
	return answer(c);
}

static void a_plugin_that_spins_is_told(void **state)
{
	struct ch_test *t = current = begin(spin);

	(void)state;
	get(t);
	assert_non_null(strstr(told, "turns at one moment of the clock and no end"));
	ch_test_on_loop(t, free_both, NULL);
	end(t, "no end");
}

/* ---- time and descriptors ---- */

static void note(void *data)
{
	strcat(order, data);
}

static struct ch_timer *timers[3];
static void set_three(void *data)
{
	(void)data;
	for (int i = 0; i < 3; i++)
		timers[i] = ch_timer(ch_loop_at(0), note, (void *)(i == 0 ? "c" : i == 1 ? "a" : "b"));
	ch_timer_set(timers[0], 30);
	ch_timer_set(timers[1], 10);
	ch_timer_set(timers[2], 10);
}

static void free_three(void *data)
{
	(void)data;
	for (int i = 0; i < 3; i++)
		ch_timer_free(timers[i]);
}

static void timers_fire_in_the_order_of_their_times(void **state)
{
	struct ch_test *t = begin(answer);
	int64_t now;

	(void)state;
	now = ch_now();
	ch_test_on_loop(t, set_three, NULL);
	ch_test_advance(t, 9);
	assert_string_equal(order, "");
	ch_test_advance(t, 1);
	assert_string_equal(order, "ab");
	ch_test_advance(t, 1000);
	assert_string_equal(order, "abc");
	assert_int_equal(ch_now() - now, 1010000);
	ch_test_wall(t, -3600000);
	assert_int_equal(ch_now() - now, 1010000); /* the monotonic clock knows nothing of it */
	ch_test_on_loop(t, free_three, NULL);
	end(t, "");
}

static int seen_events;
static void on_io(void *data, int events)
{
	(void)data;
	seen_events |= events;
	ch_watch_set(watch, CH_WRITE);
}

static void watch_both(void *data)
{
	(void)data;
	watch = ch_watch(ch_loop_at(0), 77, CH_READ, on_io, NULL);
}

static void watches_fire_for_what_they_wait_for(void **state)
{
	struct ch_test *t = begin(answer);

	(void)state;
	seen_events = 0;
	ch_test_on_loop(t, watch_both, NULL);
	assert_int_equal(ch_test_fd_watched(t, 77), CH_READ);
	assert_false(ch_test_fd_ready(t, 77, CH_WRITE));
	assert_false(ch_test_fd_ready(t, 78, CH_READ));
	assert_int_equal(seen_events, 0);
	assert_true(ch_test_fd_ready(t, 77, CH_READ));
	assert_int_equal(seen_events, CH_READ);
	assert_int_equal(ch_test_fd_watched(t, 77), CH_WRITE);
	ch_test_on_loop(t, free_both, NULL);
	end(t, "");
}

/* ---- metrics, environment ---- */

static void metrics_count_from_the_start_of_the_test(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) { /* the registry lives as long as the process: the second round begins at 0 all the same */
		struct ch_test *t = begin(answer);
		struct ch_self *self = ch_test_self(t, "odd");

		ch_add(ch_series(self, 0, (const char *const[]){ "red", "big" }), 2);
		ch_add(ch_series(self, 0, (const char *const[]){ "red", "small" }), 3);
		ch_add(ch_series(self, 0, (const char *const[]){ "blue", "big" }), 4);
		assert_true(ch_test_metric(t, "odd_things_total", "red", "big", NULL) == 2);
		assert_true(ch_test_metric(t, "odd_things_total", "red", NULL) == 5);
		assert_true(ch_test_metric(t, "odd_things_total", NULL) == 9);
		assert_true(ch_test_metric(t, "odd_things_total", "green", NULL) == 0);
		end(t, "");
	}
}

static void the_environment_is_the_tests(void **state)
{
	struct ch_test *t = begin(answer);

	(void)state;
	ch_test_env(t, "CHIMERA__LOG__LEVEL=loud");
	assert_false(ch_test_start(t));
	assert_non_null(strstr(ch_test_errors(t), "CHIMERA__LOG__LEVEL"));
	end(t, "");
}

static void the_same_seed_gives_the_same_numbers(void **state)
{
	uint64_t first = 0;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct ch_test *t = begin(answer);
		uint64_t n = ch_random();

		assert_int_not_equal(n, ch_random());
		if (i)
			assert_true(n == first);
		first = n;
		end(t, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clean_test_is_told_nothing),
		cmocka_unit_test(a_ticket_that_nobody_resumes_is_told),
		cmocka_unit_test(a_timer_that_is_left_is_told_with_its_maker),
		cmocka_unit_test(a_watch_that_is_left_is_told_with_its_maker),
		cmocka_unit_test(an_error_of_a_hook_is_told_unless_expected),
		cmocka_unit_test(a_timer_made_off_its_loop_is_told),
		cmocka_unit_test(a_call_of_the_harness_from_inside_is_told),
		cmocka_unit_test(a_plugin_that_spins_is_told),
		cmocka_unit_test(timers_fire_in_the_order_of_their_times),
		cmocka_unit_test(watches_fire_for_what_they_wait_for),
		cmocka_unit_test(metrics_count_from_the_start_of_the_test),
		cmocka_unit_test(the_environment_is_the_tests),
		cmocka_unit_test(the_same_seed_gives_the_same_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
