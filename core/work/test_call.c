/* SPDX-License-Identifier: Apache-2.0 */
/* Questions with hooks: the inner chain that CALL hooks are, its waits, its end, and what a plugin can do wrong with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/test/harness.h"

/* ---- three instances of a plugin that looks at questions, and one that asks ---- */

enum what { PASS, FILL, FAIL, WAIT, WAIT_A_SECOND, NO_TICKET, LEAVE_TICKET, ASK_TOO, END_IT };
enum { HOOKS = 3 };

static struct looker {
	enum what now;
	int after;                      /* what it returns when it is told */
	ch_ticket ticket;
	bool again;                     /* makes another ticket when it is told, and waits for that */
} lookers[HOOKS];

static char said[1024];                 /* all that happened, in order */
static int question;                    /* what ch_call shows */
static enum { ANSWERS, FORGETS, FORGETS_ALL, DROPS, ENDS_TWICE, ASKS_TWICE, ENDS_EARLY } asker;
static struct ch_ctx *asking;
static bool inside;                     /* a function of the asker's is on the stack */
static ch_ticket straggler;
static int (*before)(struct ch_ctx *);  /* LIMIT hook; NULL: none */
static int64_t deadline_ms;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + n, sizeof(said) - n, fmt, ap);
	va_end(ap);
	strncat(said, " ", sizeof(said) - strlen(said) - 1);
}

static const char *why_name(int why)
{
	return why == CH_READY ? "ready" : why == CH_TIMEOUT ? "timeout" : "gone";
}

static int told(struct ch_ctx *c, void *data, int why, void *result)
{
	struct looker *l = data;

	(void)result;
	assert_false(inside);
	say("%d.%s", (int)(l - lookers) + 1, why_name(why));
	if (l->again) {
		l->again = false;
		l->ticket = ch_suspend(c, 0, told, l);
		return CH_AGAIN;
	}
	return l->after;
}

static int on_call(struct ch_self *self, struct ch_ctx *c)
{
	struct looker *l = &lookers[self->id[1] - '1'];

	say("%c", self->id[1]);
	assert_ptr_equal(ch_call(c), &question);
	if (l->now == FILL)
		return CH_DONE;
	if (l->now == FAIL)
		return CH_ERROR;
	if (l->now == NO_TICKET)
		return CH_AGAIN;
	if (l->now == ASK_TOO)
		assert_int_equal(ch_call_hooks(c, &lookers, told, l), CH_ERROR);
	if (l->now == END_IT)
		ch_call_end(c);
	if (l->now != WAIT && l->now != WAIT_A_SECOND && l->now != LEAVE_TICKET)
		return CH_OK;
	l->ticket = ch_suspend(c, l->now == WAIT ? 0 : 1000, told, l);
	return l->now == LEAVE_TICKET ? CH_OK : CH_AGAIN;
}

static int on_call_end(struct ch_self *self, struct ch_ctx *c)
{
	say("%c.end", self->id[1]);
	assert_ptr_equal(ch_call(c), &question);
	if (lookers[self->id[1] - '1'].now == END_IT)
		ch_call_end(c);
	return CH_OK;
}

static const struct ch_hook look_hooks[] = { { .phase = CH_P_CALL, .fn = on_call }, { .phase = CH_P_CALL_END, .fn = on_call_end } };
static const struct ch_plugin look = { .size = sizeof(look), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "look", .version = "0",
	.summary = "Looks at questions", .hooks = CH_TABLE(look_hooks) };

static const struct ch_plugin *look_entry(const struct ch_host *host)
{
	(void)host;
	return &look;
}

static int finish(struct ch_ctx *c, int rc)
{
	say("asker=%d", rc);
	if (asker != FORGETS && asker != FORGETS_ALL)
		ch_call_end(c);
	if (asker == ENDS_TWICE)
		ch_call_end(c);
	if (asker == FORGETS_ALL)
		return CH_OK;
	assert_true(asker == FORGETS || !ch_call(c));
	return ch_is_http(c) ? ch_respond(c, 200, "text/plain", "ok", 2) : CH_DONE;
}

static int on_asked(struct ch_ctx *c, void *data, int why, void *result)
{
	assert_false(inside);
	assert_string_equal(data, "data");
	say("asker.%s", why_name(why));
	if (why == CH_READY)
		return finish(c, (int)(intptr_t)result);
	ch_call_end(c);
	return CH_DONE;
}

static int ask(struct ch_ctx *c)
{
	char *data = ch_dup(c, "data", 4);
	int rc;

	asking = c;
	if (!data)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "no memory");
	if (deadline_ms)
		ch_deadline_set(c, ch_now() + deadline_ms * 1000);
	inside = true;
	rc = ch_call_hooks(c, &question, on_asked, data);
	if (asker == ASKS_TWICE)
		assert_int_equal(ch_call_hooks(c, &question, on_asked, NULL), CH_ERROR);
	if (asker == ENDS_EARLY)
		ch_call_end(c);
	inside = false;
	if (rc == CH_AGAIN && asker == DROPS)
		return ch_respond(c, 200, "text/plain", "no", 2);
	return rc == CH_AGAIN ? CH_AGAIN : finish(c, rc);
}

static int on_x(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ask(c);
}

static int on_limit(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return before && ch_is_http(c) ? before(c) : CH_OK;
}

static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	assert_true(asker == FORGETS || asker == FORGETS_ALL || !ch_call(c));
	say("END");
	return CH_OK;
}

static const struct ch_hook ask_hooks[] = { { .phase = CH_P_LIMIT, .fn = on_limit }, { .phase = CH_P_END, .fn = on_end } };
static const struct ch_route ask_routes[] = { { .method = "GET", .pattern = "/x", .fn = on_x } };
static const struct ch_plugin asks = { .size = sizeof(asks), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "asks", .version = "0",
	.summary = "Asks", .hooks = CH_TABLE(ask_hooks), .routes = CH_TABLE(ask_routes) };

static const struct ch_plugin *asks_entry(const struct ch_host *host)
{
	(void)host;
	return &asks;
}

static struct ch_test *begin(const char *ini)
{
	struct ch_test *t = ch_test_new();

	memset(lookers, 0, sizeof(lookers));
	said[0] = 0;
	asker = ANSWERS;
	straggler = 0;
	before = NULL;
	deadline_ms = 0;
	inside = false;
	ch_test_plugin(t, look_entry);
	ch_test_plugin(t, asks_entry);
	ch_test_config(t, ini);
	assert_true(ch_test_start(t));
	return t;
}

static struct ch_test *begin3(enum what first, enum what second, enum what third)
{
	struct ch_test *t = begin("[asks]\n[look:h1]\n[look:h2]\n[look:h3]\n");

	lookers[0].now = first;
	lookers[1].now = second;
	lookers[2].now = third;
	return t;
}

static struct ch_test_answer *get(struct ch_test *t)
{
	return ch_test_request(t, "GET", "/x", NULL, NULL, 0);
}

static bool resumed;
static void resume(void *looker)
{
	resumed = ch_resume(((struct looker *)looker)->ticket, NULL, NULL);
}

static void said_only(const char *expected)
{
	assert_string_equal(said, expected);
}

#define ENDS "1.end 2.end 3.end "

/* ---- outcomes ---- */

static void without_hooks_a_question_passes(void **state)
{
	struct ch_test *t = begin("[asks]\n");

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("asker=0 END ");
	ch_test_free(t);
}

static void hooks_that_pass_run_in_the_order_of_the_config_and_cost_no_wait(void **state)
{
	struct ch_test *t = begin3(PASS, PASS, PASS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	assert_true(ch_test_metric(t, "chimera_hook_calls_total", "h2", "call", NULL) == 1);
	assert_true(ch_test_metric(t, "chimera_hook_calls_total", "h2", "call_end", NULL) == 1);
	ch_test_free(t);
}

static void a_hook_that_answers_spares_those_behind_it_and_all_hear_the_end(void **state)
{
	struct ch_test *t = begin3(PASS, FILL, PASS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 asker=1 " ENDS "END ");
	ch_test_free(t);
}

static void a_hook_that_fails_fails_the_question_and_is_counted(void **state)
{
	struct ch_test *t = begin3(PASS, FAIL, PASS);

	(void)state;
	ch_test_expect_misuse(t);
	assert_int_equal(get(t)->status, 200); /* what becomes of it is the asker's to say */
	said_only("1 2 asker=-1 " ENDS "END ");
	assert_true(ch_test_metric(t, "chimera_hook_errors_total", "h2", "call", NULL) == 1);
	ch_test_free(t);
}

static void a_second_question_goes_through_the_hooks_again(void **state)
{
	struct ch_test *t = begin3(PASS, PASS, FILL);

	(void)state;
	before = ask; /* LIMIT asks, answers and is DONE; so the handler does not ask: two requests, two questions */
	assert_int_equal(get(t)->status, 200);
	before = NULL;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=1 " ENDS "END 1 2 3 asker=1 " ENDS "END ");
	ch_test_free(t);
}

static int ask_and_pass(struct ch_ctx *c)
{
	assert_int_equal(ch_call_hooks(c, &question, on_asked, NULL), CH_OK);
	ch_call_end(c);
	return CH_OK;
}

static void one_request_may_ask_again_when_the_first_question_has_ended(void **state)
{
	struct ch_test *t = begin3(PASS, PASS, PASS);

	(void)state;
	before = ask_and_pass;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 " ENDS "1 2 3 asker=0 " ENDS "END ");
	ch_test_free(t);
}

static int ask_in_task(struct ch_ctx *c, void *data)
{
	(void)data;
	return ask(c);
}

static void a_task_may_ask(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, PASS);

	(void)state;
	assert_true(ch_test_task(t, "asks", 0, ask_in_task, NULL));
	said_only("1 2 ");
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 2.ready 3 asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

/* ---- waits ---- */

static void a_wait_holds_up_the_question_and_the_asker_hears_the_outcome(void **state)
{
	static const struct {
		int after;
		const char *said;
	} cases[] = { { CH_OK, "1 2 2.ready 3 asker.ready asker=0 " ENDS "END " }, { CH_DONE, "1 2 2.ready asker.ready asker=1 " ENDS "END " },
		{ CH_ERROR, "1 2 2.ready asker.ready asker=-1 " ENDS "END " } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ch_test *t = begin3(PASS, WAIT, PASS);
		struct ch_test_answer *a = get(t);

		ch_test_expect_misuse(t);
		assert_false(a->done);
		lookers[1].after = cases[i].after;
		ch_test_on_loop(t, resume, &lookers[1]);
		assert_true(resumed);
		assert_int_equal(a->status, 200);
		said_only(cases[i].said);
		assert_true(ch_test_metric(t, "chimera_hook_errors_total", "h2", "call", NULL) == (cases[i].after == CH_ERROR));
		ch_test_free(t);
	}
}

static void each_hook_may_wait_in_its_turn(void **state)
{
	struct ch_test *t = begin3(WAIT, WAIT, WAIT);
	struct ch_test_answer *a = get(t);

	(void)state;
	for (int i = 0; i < HOOKS; i++)
		ch_test_on_loop(t, resume, &lookers[i]);
	assert_int_equal(a->status, 200);
	said_only("1 1.ready 2 2.ready 3 3.ready asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void a_hook_may_go_on_waiting_for_another_ticket(void **state)
{
	struct ch_test *t = begin3(WAIT, PASS, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[0].again = true;
	ch_test_on_loop(t, resume, &lookers[0]);
	said_only("1 1.ready ");
	ch_test_on_loop(t, resume, &lookers[0]);
	assert_int_equal(a->status, 200);
	said_only("1 1.ready 1.ready 2 3 asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void a_timeout_of_the_hook_is_the_hooks_alone(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT_A_SECOND, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_advance(t, 999);
	said_only("1 2 ");
	ch_test_advance(t, 1);
	said_only("1 2 2.timeout 3 asker.ready asker=0 " ENDS "END ");
	assert_int_equal(a->status, 200);
	ch_test_on_loop(t, resume, &lookers[1]); /* its holder's word, late */
	assert_false(resumed);
	ch_test_free(t);
}

static void the_deadline_is_told_to_the_hook_and_not_to_the_asker(void **state)
{
	struct ch_test *t;
	struct ch_test_answer *a;

	(void)state;
	t = begin3(PASS, WAIT, PASS);
	deadline_ms = 300;
	a = get(t);
	lookers[1].after = CH_DONE; /* it answers from its memory, say */
	ch_test_advance(t, 299);
	said_only("1 2 ");
	ch_test_advance(t, 1);
	said_only("1 2 2.timeout asker.ready asker=1 " ENDS "END ");
	assert_int_equal(a->status, 200);
	ch_test_on_loop(t, resume, &lookers[1]);
	ch_test_free(t);
}

/* ---- the client leaves ---- */

static void gone_is_heard_innermost_first_and_the_end_once(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[1].after = CH_DONE;
	ch_test_leave(a);
	said_only("1 2 2.gone asker.gone " ENDS "END ");
	ch_test_on_loop(t, resume, &lookers[1]); /* the ctx waits for that word */
	assert_false(resumed);
	ch_test_free(t);
}

static void after_gone_no_further_hook_is_asked(void **state)
{
	struct ch_test *t = begin3(WAIT, WAIT, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[0].after = CH_OK; /* "go on": but with what? */
	ch_test_leave(a);
	said_only("1 1.gone asker.gone " ENDS "END ");
	ch_test_on_loop(t, resume, &lookers[0]);
	ch_test_free(t);
}

static void leave_and_resume(void *looker)
{
	ch_resume(((struct looker *)looker)->ticket, NULL, NULL);
	chi_ctx_gone(asking); /* in the same turn, before the delivery: GONE finds nothing that it could tell */
}

static void a_hook_that_is_resumed_as_the_client_leaves_ends_the_question(void **state)
{
	struct ch_test *t = begin3(WAIT, WAIT, PASS);
	struct ch_test_answer *a = get(t);

	(void)state;
	lookers[0].after = CH_OK;
	ch_test_on_loop(t, leave_and_resume, &lookers[0]);
	said_only("1 1.ready asker.gone " ENDS "END ");
	ch_test_leave(a);
	ch_test_free(t);
}

/* ---- tickets of others ---- */

static int heard_straggler(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	say("straggler.%s", why_name(why));
	return CH_DONE; /* counts for nobody */
}

static int heard_first(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	say("first.%s", why_name(why));
	return CH_OK;
}

/* Two ways at once, the first to be heard wins; the other is still under way. */
static int hedge(struct ch_ctx *c)
{
	straggler = ch_suspend(c, 0, heard_straggler, NULL);
	ch_resume(ch_suspend(c, 0, heard_first, NULL), NULL, NULL);
	return CH_AGAIN;
}

static void resume_straggler(void *data)
{
	(void)data;
	resumed = ch_resume(straggler, NULL, NULL);
}

static void a_straggler_of_an_earlier_hook_is_no_ticket_of_the_asker(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, PASS);
	struct ch_test_answer *a;

	(void)state;
	before = hedge;
	a = get(t);
	said_only("first.ready 1 2 ");
	ch_test_on_loop(t, resume_straggler, NULL);
	said_only("first.ready 1 2 straggler.ready "); /* heard, and it moves nothing */
	ch_test_on_loop(t, resume, &lookers[1]);
	assert_int_equal(a->status, 200);
	said_only("first.ready 1 2 straggler.ready 2.ready 3 asker.ready asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void a_straggler_does_not_hide_that_a_hook_waits_for_nothing(void **state)
{
	struct ch_test *t = begin3(PASS, NO_TICKET, PASS);

	(void)state;
	ch_test_expect_misuse(t);
	before = hedge;
	assert_int_equal(get(t)->status, 200);
	said_only("first.ready 1 2 asker=-1 " ENDS "END ");
	ch_test_on_loop(t, resume_straggler, NULL);
	ch_test_free(t);
}

static void a_straggler_of_a_call_hook_moves_nothing_later(void **state)
{
	struct ch_test *t = begin3(LEAVE_TICKET, WAIT, PASS);
	struct ch_test_answer *a;

	(void)state;
	ch_test_expect_misuse(t); /* OK with a ticket out */
	a = get(t);
	lookers[0].after = CH_DONE;
	ch_test_on_loop(t, resume, &lookers[0]);
	said_only("1 2 1.ready ");
	assert_false(a->done);
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 1.ready 2.ready 3 asker.ready asker=0 " ENDS "END ");
	assert_true(ch_test_logged(t, "its call hook returned OK with a ticket out"));
	ch_test_free(t);
}

/* ---- misuse: said with the plugin's name, counted, and survived ---- */

static void misused(struct ch_test *t, const char *plugin, const char *sentence)
{
	if (!ch_test_logged(t, sentence))
		fail_msg("\"%s\" is not in\n%s", sentence, ch_test_log(t));
	assert_true(ch_test_metric(t, "chimera_misuse_total", plugin, NULL) >= 1);
	ch_test_free(t);
}

static struct ch_test *begin_misuse(enum what first, enum what second, int how)
{
	struct ch_test *t = begin3(first, second, PASS);

	ch_test_expect_misuse(t);
	asker = how;
	return t;
}

static void again_without_a_ticket_is_an_error_of_the_hook(void **state)
{
	struct ch_test *t = begin_misuse(PASS, NO_TICKET, ANSWERS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 asker=-1 " ENDS "END ");
	misused(t, "h2", "plugin h2: its call hook returned AGAIN without a ticket");
}

static void again_without_a_ticket_after_a_wait_is_an_error_of_the_hook(void **state)
{
	struct ch_test *t = begin_misuse(PASS, WAIT, ANSWERS);

	(void)state;
	get(t);
	lookers[1].after = CH_AGAIN;
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 2.ready asker.ready asker=-1 " ENDS "END ");
	misused(t, "h2", "plugin h2: its call hook goes on waiting (AGAIN) with no ticket out");
}

static void take_back(void *looker)
{
	ch_unsuspend(((struct looker *)looker)->ticket);
}

static void a_ticket_taken_back_under_a_hook_that_waits_ends_the_question(void **state)
{
	struct ch_test *t = begin_misuse(PASS, WAIT, ANSWERS);
	struct ch_test_answer *a = get(t);

	(void)state;
	ch_test_on_loop(t, take_back, &lookers[1]);
	assert_int_equal(a->status, 200);
	said_only("1 2 asker.ready asker=-1 " ENDS "END ");
	misused(t, "h2", "plugin h2: its call hook goes on waiting (AGAIN) with no ticket out");
}

static void an_end_that_is_forgotten_is_made_up_for(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, FORGETS);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	assert_true(ch_test_logged(t, "asked a service with hooks and did not call ch_call_end"));
	assert_true(ch_test_metric(t, "chimera_misuse_total", NULL) == 1);
	ch_test_free(t);
}

static void an_end_and_an_answer_that_are_forgotten_are_500(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, FORGETS_ALL);

	(void)state;
	assert_int_equal(get(t)->status, 500);
	said_only("1 2 3 asker=0 " ENDS "END ");
	ch_test_free(t);
}

static void an_end_without_a_question_is_told_apart(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ENDS_TWICE);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it called ch_call_end without a question that ch_call_hooks began");
}

static void an_end_inside_of_the_end_does_not_go_round(void **state)
{
	struct ch_test *t = begin_misuse(PASS, END_IT, ANSWERS);

	(void)state;
	get(t);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "h2", "plugin h2: it called ch_call_end inside of a CALL_END hook");
}

static void an_end_while_hooks_are_at_work_is_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, END_IT, ANSWERS);

	(void)state;
	get(t);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "h2", "plugin h2: it called ch_call_end while CALL hooks are at work");
	t = begin_misuse(PASS, WAIT, ENDS_EARLY); /* the asker, told AGAIN */
	get(t);
	ch_test_on_loop(t, resume, &lookers[1]);
	said_only("1 2 2.ready 3 asker.ready asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it called ch_call_end while CALL hooks are at work");
}

static void two_questions_at_once_are_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ASKS_TWICE);

	(void)state;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it asked a service with hooks inside of another question");
	t = begin_misuse(PASS, ASK_TOO, ANSWERS);
	get(t);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "h2", "plugin h2: it asked a service with hooks inside of another question");
}

static int ask_with_a_ticket_out(struct ch_ctx *c)
{
	ch_ticket t = ch_suspend(c, 0, heard_straggler, NULL);

	assert_int_equal(ch_call_hooks(c, &question, on_asked, NULL), CH_ERROR);
	assert_null(ch_call(c));
	ch_unsuspend(t);
	return CH_OK;
}

static void a_question_with_a_ticket_out_is_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ANSWERS);

	(void)state;
	before = ask_with_a_ticket_out;
	assert_int_equal(get(t)->status, 200);
	said_only("1 2 3 asker=0 " ENDS "END ");
	misused(t, "asks", "plugin asks: it asked a service with hooks while a ticket was out");
}

static void ask_from_a_timer(void *data)
{
	(void)data;
	assert_int_equal(ch_call_hooks(asking, &question, on_asked, NULL), CH_ERROR);
}

static int wait_outside(struct ch_ctx *c)
{
	asking = c;
	straggler = ch_suspend(c, 0, heard_first, NULL);
	return CH_AGAIN;
}

static void a_question_outside_of_a_hook_is_refused(void **state)
{
	struct ch_test *t = begin_misuse(PASS, PASS, ANSWERS);
	struct ch_test_answer *a;

	(void)state;
	before = wait_outside;
	a = get(t);
	ch_test_on_loop(t, ask_from_a_timer, NULL);
	said_only("");
	ch_test_on_loop(t, resume_straggler, NULL);
	assert_int_equal(a->status, 200);
	assert_true(ch_test_logged(t, "it asked a service with hooks outside of a hook"));
	ch_test_free(t);
}

static void again_that_is_not_passed_on_is_said_and_nothing_hangs(void **state)
{
	struct ch_test *t = begin_misuse(PASS, WAIT, DROPS);
	struct ch_test_answer *a = get(t);

	(void)state;
	assert_true(a->complete);
	assert_string_equal(a->body, "no");
	ch_test_on_loop(t, resume, &lookers[1]); /* nothing comes of it */
	said_only("1 2 " ENDS "END ");
	misused(t, "asks", "got CH_AGAIN of ch_call_hooks and did not return it"); /* and no unit of work is left */
}

/* ---- no memory ---- */

static void without_memory_a_question_ends_all_the_same(void **state)
{
	struct ch_test *t = begin3(PASS, WAIT, WAIT);
	bool struck = true;

	(void)state;
	ch_test_expect_misuse(t);
	for (unsigned long n = 1; struck; n++) {
		struct ch_test_answer *a;

		said[0] = 0;
		ch_test_fail_alloc(t, n);
		a = get(t);
		for (int i = 1; i < HOOKS && !a->done; i++)
			ch_test_on_loop(t, resume, &lookers[i]);
		struck = ch_test_fail_alloc(t, 0);
		assert_true(a->done);
		if (a->status == 200 && a->complete)
			assert_non_null(strstr(said, ENDS));
	}
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_hooks_a_question_passes),
		cmocka_unit_test(hooks_that_pass_run_in_the_order_of_the_config_and_cost_no_wait),
		cmocka_unit_test(a_hook_that_answers_spares_those_behind_it_and_all_hear_the_end),
		cmocka_unit_test(a_hook_that_fails_fails_the_question_and_is_counted),
		cmocka_unit_test(a_second_question_goes_through_the_hooks_again),
		cmocka_unit_test(one_request_may_ask_again_when_the_first_question_has_ended),
		cmocka_unit_test(a_task_may_ask),
		cmocka_unit_test(a_wait_holds_up_the_question_and_the_asker_hears_the_outcome),
		cmocka_unit_test(each_hook_may_wait_in_its_turn),
		cmocka_unit_test(a_hook_may_go_on_waiting_for_another_ticket),
		cmocka_unit_test(a_timeout_of_the_hook_is_the_hooks_alone),
		cmocka_unit_test(the_deadline_is_told_to_the_hook_and_not_to_the_asker),
		cmocka_unit_test(gone_is_heard_innermost_first_and_the_end_once),
		cmocka_unit_test(after_gone_no_further_hook_is_asked),
		cmocka_unit_test(a_hook_that_is_resumed_as_the_client_leaves_ends_the_question),
		cmocka_unit_test(a_straggler_of_an_earlier_hook_is_no_ticket_of_the_asker),
		cmocka_unit_test(a_straggler_does_not_hide_that_a_hook_waits_for_nothing),
		cmocka_unit_test(a_straggler_of_a_call_hook_moves_nothing_later),
		cmocka_unit_test(again_without_a_ticket_is_an_error_of_the_hook),
		cmocka_unit_test(again_without_a_ticket_after_a_wait_is_an_error_of_the_hook),
		cmocka_unit_test(a_ticket_taken_back_under_a_hook_that_waits_ends_the_question),
		cmocka_unit_test(an_end_that_is_forgotten_is_made_up_for),
		cmocka_unit_test(an_end_and_an_answer_that_are_forgotten_are_500),
		cmocka_unit_test(an_end_without_a_question_is_told_apart),
		cmocka_unit_test(an_end_inside_of_the_end_does_not_go_round),
		cmocka_unit_test(an_end_while_hooks_are_at_work_is_refused),
		cmocka_unit_test(two_questions_at_once_are_refused),
		cmocka_unit_test(a_question_with_a_ticket_out_is_refused),
		cmocka_unit_test(a_question_outside_of_a_hook_is_refused),
		cmocka_unit_test(again_that_is_not_passed_on_is_said_and_nothing_hangs),
		cmocka_unit_test(without_memory_a_question_ends_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
