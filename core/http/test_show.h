/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/http/test_show.h - what the tests of connections and requests share: a plugin whose routes show one thing each, and clients
 * byte by byte.
 */
#ifndef CHI_TEST_SHOW_H
#define CHI_TEST_SHOW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sdk/test/harness.h"

/* Not every test uses every helper. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define HOST "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* ---- the plugin: routes that show one thing each ---- */

static ch_ticket ticket;   /* of GET /wait */
static int heard;          /* enum ch_why; 0: nothing yet */
static unsigned echoes;    /* requests that reached POST /echo */
static struct ch_ctx *streaming; /* GET /pump */

static int on_hello(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ch_respond(c, 200, "text/plain", "hello", 5);
}

static int on_echo(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str body = ch_body(c);

	(void)self;
	echoes++;
	return ch_respond(c, 200, "text/plain", body.p, body.n);
}

static int on_stream(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_header_set(c, "Content-Type", "text/plain");
	ch_begin(c, 200);
	ch_write(c, "one", 3, NULL, NULL);
	ch_write(c, "", 0, NULL, NULL);
	ch_write(c, "twenty bytes of text", 20, NULL, NULL);
	ch_end(c);
	return CH_DONE;
}

static int on_sized(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_length(c, 6);
	if (ch_begin(c, 200) != CH_OK)
		return CH_DONE;
	ch_write(c, "abc", 3, NULL, NULL);
	assert_int_equal(ch_write(c, "defg", 4, NULL, NULL), CH_ERROR); /* more than was said */
	ch_write(c, "def", 3, NULL, NULL);
	ch_end(c);
	return CH_DONE;
}

static int on_short(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ch_length(c, 6);
	ch_begin(c, 200);
	ch_write(c, "abc", 3, NULL, NULL);
	assert_int_equal(ch_end(c), CH_ERROR);
	return CH_DONE;
}

static int on_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	heard = why;
	return why == CH_READY ? ch_respond(c, 200, "text/plain", "late", 4) : CH_DONE;
}

static int on_wait(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	ticket = ch_suspend(c, 0, on_waited, NULL);
	return CH_AGAIN;
}

static int on_pumped(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	heard = why;
	return CH_DONE;
}

/* A stream that the test feeds, and ends by a resume. */
static int on_pump(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	streaming = c;
	ticket = ch_suspend(c, 0, on_pumped, NULL);
	assert_int_equal(ch_begin(c, 200), CH_OK);
	return CH_AGAIN;
}

/* What ch_header_set takes and what not (FAULTS H28). */
static int on_headers(struct ch_self *self, struct ch_ctx *c)
{
	static const char *const bad_values[] = { "a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\x01", "a\x7f", "\x1b[31m" };
	static const char *const bad_names[] = { "", "X Y", "X:", "X\r\nY", "X\xc3\xa4", "(X)", "Connection", "content-length",
		"TRANSFER-ENCODING", "Date" };

	(void)self;
	for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++)
		assert_int_equal(ch_header_set(c, "X-Bad", bad_values[i]), CH_ERROR);
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
		assert_int_equal(ch_header_set(c, bad_names[i], "x"), CH_ERROR);
	assert_int_equal(ch_header_set(c, "X-One", "a"), CH_OK);
	assert_int_equal(ch_header_set(c, "x-one", "b\tc"), CH_OK); /* replaces */
	assert_int_equal(ch_header_set(c, "X-Two", "gone"), CH_OK);
	assert_int_equal(ch_header_set(c, "X-Two", ""), CH_OK); /* takes away */
	ch_respond(c, 200, "text/plain", "x", 1);
	assert_int_equal(ch_respond(c, 201, "text/plain", "y", 1), CH_ERROR); /* answered already */
	return CH_DONE;
}

static int on_big(struct ch_self *self, struct ch_ctx *c)
{
	static char big[100000];

	(void)self;
	memset(big, 'x', sizeof(big));
	return ch_respond(c, 200, "text/plain", big, sizeof(big));
}

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/hello", .fn = on_hello },
	{ .method = "POST", .pattern = "/echo", .fn = on_echo, .body = CH_BODY_BUFFER },
	{ .method = "POST", .pattern = "/small", .fn = on_echo, .body = CH_BODY_BUFFER, .max_body = 10 },
	{ .method = "GET", .pattern = "/stream", .fn = on_stream },
	{ .method = "GET", .pattern = "/sized", .fn = on_sized },
	{ .method = "GET", .pattern = "/short", .fn = on_short },
	{ .method = "GET", .pattern = "/headers", .fn = on_headers },
	{ .method = "GET", .pattern = "/pump", .fn = on_pump },
	{ .method = "GET", .pattern = "/wait", .fn = on_wait },
	{ .method = "GET", .pattern = "/big", .fn = on_big },
	{ .method = "GET", .pattern = "/ops", .fn = on_hello, .cls = CH_OPS },
	{ .method = "GET", .pattern = "/admin", .fn = on_hello, .cls = CH_ADMIN },
};
/* What a plugin for keys will do: the role comes from who asks. */
static int on_auth(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str who = ch_header(c, "X-Who");

	(void)self;
	if (who.n == 5 && !memcmp(who.p, "admin", 5))
		ch_facts(c)->role = CH_ROLE_ADMIN;
	return CH_OK;
}

static const struct ch_hook hooks[] = { { .phase = CH_P_AUTH, .fn = on_auth } };
static const struct ch_plugin show = { .size = sizeof(show), .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "show",
	.version = "0", .summary = "Routes to look at", .routes = CH_TABLE(routes), .hooks = CH_TABLE(hooks) };

static const struct ch_plugin *show_entry(const struct ch_host *host)
{
	(void)host;
	return &show;
}

static struct ch_test *begin_with(const char *server)
{
	struct ch_test *t = ch_test_new();
	char ini[1024];

	ticket = 0;
	heard = 0;
	echoes = 0;
	ch_test_plugin(t, show_entry);
	snprintf(ini, sizeof(ini), "[server]\n%s\n[show]\n", server);
	ch_test_config(t, ini);
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

static struct ch_test *begin(void)
{
	return begin_with("");
}

static void run(struct ch_test *t)
{
	ch_test_advance(t, 0);
}

/* A connection that has sent this. */
static struct chi_peer *raw_n(struct ch_test *t, const char *bytes, size_t n)
{
	struct chi_peer *p = chi_peer_new(t, CHI_L_PUBLIC);

	chi_peer_send(p, bytes, n);
	run(t);
	return p;
}

static struct chi_peer *raw(struct ch_test *t, const char *bytes)
{
	return raw_n(t, bytes, strlen(bytes));
}

static struct ch_test_answer *one(struct ch_test *t, const char *bytes)
{
	return chi_peer_answer(raw(t, bytes), "GET");
}

static void more(struct chi_peer *p, const char *bytes)
{
	chi_peer_send(p, bytes, strlen(bytes));
	run(p->t);
}

static void resume(void *data)
{
	(void)data;
	ch_resume(ticket, NULL, NULL);
}

/* Answers 400 (or `status`) and ends the connection. */
static void refused(struct ch_test *t, const char *bytes, size_t n, int status)
{
	struct chi_peer *p = raw_n(t, bytes, n);
	struct ch_test_answer *a = chi_peer_answer(p, "GET");

	if (a->status != status)
		fail_msg("%.60s: %d instead of %d", bytes, a->status, status);
	assert_true(a->complete);
	assert_true(p->finished);
	assert_string_equal(ch_test_header(a, "connection"), "close");
	assert_string_equal(ch_test_header(a, "content-type"), "application/problem+json");
}

#endif
