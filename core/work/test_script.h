/* SPDX-License-Identifier: Apache-2.0 */
/* core/work/test_script.h - what the tests of units of work share: a plugin whose route and hook run what the test says. */
#ifndef CHI_TEST_SCRIPT_H
#define CHI_TEST_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/test/harness.h"

/* Not every test uses every helper. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"

/* ---- the plugin ---- */

static int (*handler)(struct ch_ctx *);  /* GET /x */
static int (*limit)(struct ch_ctx *);    /* LIMIT, NULL: CH_OK */
static void (*end)(struct ch_ctx *);     /* END, NULL: nothing more */
static unsigned ends, responses, stops, starts;
static int end_status;
static bool end_aborted;
static size_t end_got;                   /* bytes that the newest client had by then */
static struct ch_ctx *ctx;               /* of the call that waits */
static ch_ticket ticket;
static int heard;                        /* enum ch_why; 0: nothing yet */
static void *heard_result;
static unsigned drops;
static char tapped[64];                  /* what the taps heard of bodies, and "!" (complete) or "?" (not) at an end */
static bool inside;                      /* a function of ours is on the stack */
static struct ch_self *self_seen;
static int after;                        /* what a resumed function returns */

static int on_limit(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return limit && ch_is_http(c) ? limit(c) : CH_OK;
}

static int on_response(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	(void)c;
	responses++;
	return CH_OK;
}

static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ends++;
	end_status = ch_facts(c)->status;
	end_aborted = ch_facts(c)->aborted;
	end_got = chi_test->peers ? chi_test->peers->ngot : 0;
	if (end)
		end(c);
	return CH_OK;
}

static void on_tap(struct ch_self *self, struct ch_ctx *c, const void *p, size_t n, bool complete)
{
	(void)self;
	(void)c;
	size_t room = sizeof(tapped) - 1 - strlen(tapped);

	if (!n) {
		p = complete ? "!" : "?";
		n = 1;
	}
	strncat(tapped, p, n < room ? n : room);
}

static int on_x(struct ch_self *self, struct ch_ctx *c)
{
	int rc;

	self_seen = self;
	ctx = c;
	inside = true;
	rc = handler(c);
	inside = false;
	return rc;
}

static int on_start(struct ch_self *self, const struct ch_self *prev)
{
	(void)prev;
	(void)self;
	starts++;
	return CH_OK;
}

static void on_stop(struct ch_self *self)
{
	(void)self;
	stops++;
}

static const struct ch_hook hooks[] = { { .phase = CH_P_LIMIT, .fn = on_limit }, { .phase = CH_P_RESPONSE, .fn = on_response },
	{ .phase = CH_P_END, .fn = on_end } };
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/x", .fn = on_x },
	{ .method = "POST", .pattern = "/x", .fn = on_x, .body = CH_BODY_BUFFER } };
static const struct ch_tap taps[] = { { on_tap } };
struct script_conf {
	const char *word; /* for configs that differ */
};
static const struct ch_option options[] = { CH_OPT(struct script_conf, word, STR, .help = "Nothing") };
static const struct ch_plugin script = { .size = sizeof(script), .conf_size = sizeof(struct script_conf), .options = CH_TABLE(options), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "script",
	.version = "0", .summary = "Does what the test says", .hooks = CH_TABLE(hooks), .taps = CH_TABLE(taps), .routes = CH_TABLE(routes), .start = on_start,
	.stop = on_stop };

static const struct ch_plugin *script_entry(const struct ch_host *host)
{
	(void)host;
	return &script;
}

static struct ch_test *begin(int (*fn)(struct ch_ctx *))
{
	struct ch_test *t = ch_test_new();

	handler = fn;
	limit = NULL;
	end = NULL;
	ends = responses = stops = starts = drops = 0;
	end_status = heard = 0;
	end_aborted = false;
	ctx = NULL;
	tapped[0] = 0;
	ticket = 0;
	heard_result = NULL;
	after = CH_DONE;
	ch_test_plugin(t, script_entry);
	ch_test_config(t, "[script]\n");
	assert_true(ch_test_start(t));
	return t;
}

static struct ch_test_answer *get(struct ch_test *t)
{
	return ch_test_request(t, "GET", "/x", NULL, NULL, 0);
}

/* ---- what handlers do ---- */

static int answer_ok(struct ch_ctx *c)
{
	return ch_respond(c, 200, "text/plain", "ok", 2);
}

static int on_heard(struct ch_ctx *c, void *data, int why, void *result)
{
	assert_false(inside); /* never inside a call */
	assert_ptr_equal(c, ctx);
	assert_string_equal(data, "data");
	assert_int_equal(heard, 0); /* once */
	heard = why;
	heard_result = result;
	if (after == CH_DONE && why != CH_GONE)
		return answer_ok(c);
	return after;
}

static void on_drop(void *result)
{
	heard_result = result;
	drops++;
}

/* The data lies in the arena, so the sanitizer sees if it is used too long. */
static int wait_long(struct ch_ctx *c)
{
	ticket = ch_suspend(c, 0, on_heard, ch_dup(c, "data", 4));
	return ticket ? CH_AGAIN : CH_ERROR;
}

static int wait_a_second(struct ch_ctx *c)
{
	ticket = ch_suspend(c, 1000, on_heard, ch_dup(c, "data", 4));
	return CH_AGAIN;
}

static bool resumed;
static void resume(void *result)
{
	resumed = ch_resume(ticket, result, on_drop);
}

static int number = 7;

#endif
