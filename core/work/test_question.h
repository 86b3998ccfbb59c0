/* SPDX-License-Identifier: Apache-2.0 */
/* core/work/test_question.h - what the tests of questions with hooks share: who asks, and three who look at the question. */
#ifndef CHI_TEST_QUESTION_H
#define CHI_TEST_QUESTION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/test/harness.h"

/* Not every test uses every helper. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"

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
static const struct ch_plugin look = { .size = sizeof(look), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "look",
	.version = "0",
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
static const struct ch_plugin asks = { .size = sizeof(asks), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "asks",
	.version = "0",
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

/* ---- a ticket of somebody else's ---- */

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

static void resume_straggler(void *data)
{
	(void)data;
	resumed = ch_resume(straggler, NULL, NULL);
}

#endif
