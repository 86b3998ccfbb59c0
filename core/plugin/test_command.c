/* SPDX-License-Identifier: Apache-2.0 */
/* Commands over the control socket: what is asked, what is refused, pieces of output, slow readers, askers that leave, reloads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/plugin/command.h"
#include "sdk/test/harness.h"

/* ---- a plugin whose verbs the test looks into ---- */

static char seen[1024];     /* arguments, each with its brackets */
static ch_ticket ticket;    /* of `wait` */
static int heard;           /* enum ch_why; 0: nothing yet */
static struct ch_ctx *runs; /* `wait` */
static int out_rc;          /* what the last ch_out gave */
static long written;        /* calls of ch_out by `flood` and `pump` */
static int told;            /* that it may go on */

static int on_show(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)c;
	seen[0] = 0;
	for (size_t i = 0; i < argc; i++)
		strcat(strcat(strcat(seen, "<"), argv[i]), ">");
	assert_null(argv[argc]);
	return CH_OK;
}

static int on_waited(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	heard = why;
	runs = NULL;
	if (why == CH_GONE)
		ch_unsuspend(ticket);
	else
		ch_out(c, "%s", "late");
	return CH_DONE;
}

static int on_wait(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	(void)argv;
	heard = 0;
	runs = c;
	ticket = ch_suspend(c, 0, on_waited, NULL);
	ch_out(c, "%s", "early");
	return CH_AGAIN;
}

static int on_refuse(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	(void)argv;
	return ch_refuse(c, CH_E_CONFLICT, 0, "it is %s", "\"so\"");
}

static int on_error(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)c;
	(void)argc;
	(void)argv;
	return CH_ERROR;
}

static int on_resumed_error(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	return CH_ERROR;
}

static int on_error_later(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	(void)argv;
	ch_resume(ch_suspend(c, 0, on_resumed_error, NULL), NULL, NULL);
	return CH_AGAIN;
}

static int on_long(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	char *text = calloc(1, 3 * 50000 + 1); /* of a character of three bytes */
	for (int i = 0; i < 50000; i++)
		memcpy(text + 3 * i, "\xe2\x82\xac", 3);
	out_rc = ch_out(c, "%s%s", *argv, text);
	free(text);
	return CH_OK;
}

static int on_flood(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	static char kib[1024];
	(void)self;
	(void)argc;
	(void)argv;
	memset(kib, 'x', sizeof kib - 1);
	for (written = 0; written < 1 << 20 && (out_rc = ch_out(c, "%s", kib)) == CH_OK;)
		written++;
	return CH_DONE;
}

static void go_on(void *data)
{
	struct ch_ctx *c = data;
	told++;
	do
		out_rc = ch_out(c, "%s", "some bytes");
	while (++written < 100000 && out_rc == CH_OK);
	if (written == 100000 && ticket) {
		ch_resume(ticket, NULL, NULL);
		ticket = 0;
	}
}

static int on_pumped(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	heard = why;
	if (why == CH_GONE)
		ch_unsuspend(ticket);
	return CH_DONE;
}

static int on_pump(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	(void)argv;
	written = told = heard = 0;
	ticket = ch_suspend(c, 0, on_pumped, NULL);
	ch_on_writable(c, go_on, c);
	go_on(c);
	told = 0;
	return CH_AGAIN;
}

#define BOTH .modes = CH_LIVE | CH_OFFLINE, .summary = "A verb"
static const struct ch_command good[] = {
	{ .name = "show", BOTH, .args = "[WORD...]", .max_args = 5000, .fn = on_show },
	{ .name = "pair", BOTH, .args = "ONE TWO", .min_args = 2, .max_args = 2, .fn = on_show },
	{ .name = "none", BOTH, .fn = on_show },
	{ .name = "wait", BOTH, .fn = on_wait },
	{ .name = "refuse", BOTH, .fn = on_refuse },
	{ .name = "error", BOTH, .fn = on_error },
	{ .name = "error_later", BOTH, .fn = on_error_later },
	{ .name = "long", BOTH, .args = "BEFORE", .min_args = 1, .max_args = 1, .fn = on_long },
	{ .name = "flood", BOTH, .fn = on_flood },
	{ .name = "pump", BOTH, .fn = on_pump },
	{ .name = "offline", .modes = CH_OFFLINE, .summary = "A verb", .fn = on_show },
};

struct conf { const char *word; };
static const struct ch_option options[] = { CH_OPT(struct conf, word, STR, .help = "A word") };

static struct ch_plugin plugin = {
	.size = sizeof plugin, .abi_major = CH_ABI_MAJOR, .abi_minor = CH_ABI_MINOR, .name = "verbs", .version = "0", .summary = "Verbs",
	.conf_size = sizeof(struct conf), .options = CH_TABLE(options), .commands = CH_TABLE(good),
};

static const struct ch_plugin *entry(const struct ch_host *host)
{
	(void)host;
	return &plugin;
}

/* ---- asking ---- */

static struct ch_test *begin(void)
{
	struct ch_test *t = ch_test_new();
	ch_test_plugin(t, entry);
	ch_test_config(t, "[verbs]\n[server]\nstream_high = 64k\nstream_low = 16k\nwrite_timeout = 1h\n");
	if (!ch_test_start(t))
		fail_msg("%s", ch_test_errors(t));
	return t;
}

static struct chi_peer *control(struct ch_test *t, const char *method, const char *target, const char *body)
{
	struct chi_peer *p = chi_peer_new(t, CHI_L_CONTROL);
	char head[256];
	snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", method, target,
		strlen(body));
	chi_peer_send(p, head, strlen(head));
	chi_peer_send(p, body, strlen(body));
	return p;
}

static struct ch_test_answer *ask(struct ch_test *t, const char *method, const char *target, const char *body)
{
	struct chi_peer *p = control(t, method, target, body);
	ch_test_advance(t, 0);
	return chi_peer_answer(p, method);
}

static struct ch_test_answer *run(struct ch_test *t, const char *verb, const char *body)
{
	char target[128];
	snprintf(target, sizeof target, "/control/run/verbs/%s", verb);
	return ask(t, "POST", target, body);
}

#define FIRST "{\"out\":\"\"}\n"

static void assert_lines(const struct ch_test_answer *a, const char *lines)
{
	assert_true(a->complete);
	assert_int_equal(a->status, 200);
	assert_string_equal(ch_test_header(a, "Content-Type"), "application/x-ndjson");
	assert_string_equal(a->body, lines);
}

static void assert_refused(const struct ch_test_answer *a, int status, const char *words)
{
	assert_true(a->complete);
	assert_int_equal(a->status, status);
	if (!strstr(a->body, words))
		fail_msg("'%s' is not in %s", words, a->body);
}

/* ---- what is asked ---- */

static void arguments_come_as_they_were_sent(void **state)
{
	struct ch_test *t = begin();
	(void)state;
	assert_lines(run(t, "show", "[]"), FIRST "{\"exit\":0}\n");
	assert_string_equal(seen, "");
	assert_lines(run(t, "show", ""), FIRST "{\"exit\":0}\n");
	assert_string_equal(seen, "");
	assert_lines(run(t, "show", " [ \"a\" , \"\", \"b,c\",\"\\u00e4\\n\\\"\" ] "), FIRST "{\"exit\":0}\n");
	assert_string_equal(seen, "<a><><b,c><\xc3\xa4\n\">");
	ch_test_free(t);
}

static void a_body_that_is_no_array_of_strings_is_400(void **state)
{
	static const char *const wrong[] = { "{}", "\"a\"", "[1]", "[[\"a\"]]", "[\"a\"", "[\"a\",]", "[\"a\"]x", "[null]", "a",
		"[\"a\\u0000b\"]", "\xff" };
	struct ch_test *t = begin();
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_refused(run(t, "show", wrong[i]), 400, "the body must be a JSON array of strings");
	ch_test_free(t);
}

static void arguments_are_counted(void **state)
{
	struct ch_test *t = begin();
	(void)state;
	assert_refused(run(t, "pair", "[]"), 400, "'pair' takes ONE TWO, and none was given");
	assert_refused(run(t, "pair", "[\"1\"]"), 400, "'pair' takes ONE TWO, and one argument was given");
	assert_refused(run(t, "pair", "[\"1\",\"2\",\"3\"]"), 400, "'pair' takes ONE TWO, and 3 arguments were given");
	assert_refused(run(t, "none", "[\"1\"]"), 400, "'none' takes no arguments, and one argument was given");
	assert_lines(run(t, "pair", "[\"1\",\"2\"]"), FIRST "{\"exit\":0}\n");
	assert_lines(run(t, "none", "[]"), FIRST "{\"exit\":0}\n");
	ch_test_free(t);
}

static void what_there_is_not_is_404_and_the_nearest_is_named(void **state)
{
	struct ch_test *t = begin();
	(void)state;
	assert_refused(run(t, "shwo", "[]"), 404, "[verbs] has no command 'shwo': did you mean show?");
	assert_refused(run(t, "zzzzzz", "[]"), 404, "it has show, pair, ");
	assert_refused(ask(t, "POST", "/control/run/other/show", "[]"), 404, "has no instance 'other'");
	assert_refused(ask(t, "POST", "/control/run/core/show", "[]"), 404, "[core] has no commands");
	assert_refused(run(t, "offline", "[]"), 409, "stop the server first");
	ch_test_free(t);
}

static void other_listeners_run_nothing(void **state)
{
	struct ch_test *t = begin();
	(void)state;
	seen[0] = 0;
	assert_int_equal(ch_test_request(t, "POST", "/control/run/verbs/show", NULL, "[\"x\"]", 5)->status, 404);
	assert_int_equal(ch_test_request(t, "GET", "/control/commands", NULL, NULL, 0)->status, 404);
	assert_string_equal(seen, "");
	ch_test_free(t);
}

static void all_verbs_are_listed(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = ask(t, "GET", "/control/commands", "");
	(void)state;
	assert_int_equal(a->status, 200);
	assert_true(ch_json_valid(a->body, a->n, 0, 0, NULL, NULL));
	assert_non_null(strstr(a->body, "{\"instance\":\"verbs\",\"plugin\":\"verbs\",\"name\":\"pair\",\"args\":\"ONE TWO\","
					"\"min_args\":2,\"max_args\":2,\"summary\":\"A verb\",\"modes\":[\"live\",\"offline\"]}"));
	assert_non_null(strstr(a->body, "\"name\":\"offline\",\"args\":\"\",\"min_args\":0,\"max_args\":0,\"summary\":\"A verb\","
					"\"modes\":[\"offline\"]}"));
	ch_test_free(t);
}

/* ---- what comes of it ---- */

static void output_comes_before_the_end(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = run(t, "wait", "[]");
	(void)state;
	assert_false(a->done);
	assert_string_equal(a->body, FIRST "{\"out\":\"early\"}\n");
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	assert_lines(a, FIRST "{\"out\":\"early\"}\n{\"out\":\"late\"}\n{\"exit\":0}\n");
	ch_test_free(t);
}

static void a_refusal_is_1_and_says_its_sentence(void **state)
{
	struct ch_test *t = begin();
	(void)state;
	assert_lines(run(t, "refuse", "[]"), FIRST "{\"exit\":1,\"error\":\"it is \\\"so\\\"\"}\n");
	assert_true(ch_test_logged(t, "verbs: command refuse: exit 1 after 0.000 s: it is \"so\""));
	ch_test_free(t);
}

static void an_error_is_70_at_once_and_later(void **state)
{
	static const char *const verbs[] = { "error", "error_later" };
	struct ch_test *t = begin();
	(void)state;
	ch_test_expect_misuse(t);
	for (int i = 0; i < 2; i++) {
		struct ch_test_answer *a = run(t, verbs[i], "[]");
		assert_true(a->complete);
		assert_non_null(strstr(a->body, "{\"exit\":70,\"error\":\"'error"));
		assert_non_null(strstr(a->body, "of [verbs] failed, which is a bug in the plugin"));
	}
	ch_test_free(t);
}

/* Takes the pieces of a text out of the lines; the longest piece's bytes. */
static size_t unpack(const char *body, char *text)
{
	size_t longest = 0, n = 0;
	for (const char *line = body, *end; (end = strchr(line, '\n')); line = end + 1) {
		struct ch_json j;
		struct ch_json_tok tok;
		ch_json_init(&j, line, (size_t)(end - line), 0, 0);
		ch_json_next(&j, &tok);
		ch_json_next(&j, &tok);
		bool piece = ch_json_eq(&tok, "out");
		ch_json_next(&j, &tok);
		size_t len = piece ? ch_json_unescape(&tok, text + n) : 0;
		n += len;
		longest = len > longest ? len : longest;
	}
	text[n] = 0;
	return longest;
}

static void long_output_comes_in_pieces_of_whole_characters(void **state)
{
	static const char *const before[] = { "", "a", "aa" };
	struct ch_test *t = begin();
	char body[8], *text = calloc(1, 400000);
	(void)state;
	for (int i = 0; i < 3; i++) {
		snprintf(body, sizeof body, "[\"%s\"]", before[i]);
		struct ch_test_answer *a = run(t, "long", body);
		assert_true(a->complete);
		size_t longest = unpack(a->body, text), skip = strlen(before[i]);
		assert_true(longest <= 65536 && longest > 65536 - 4);
		assert_int_equal(strlen(text), skip + 3 * 50000);
		for (size_t k = skip; text[k]; k += 3)
			assert_memory_equal(text + k, "\xe2\x82\xac", 3);
	}
	free(text);
	ch_test_free(t);
}

/* ---- how far it is ---- */

struct far {
	uint64_t done, total;
	const char *what;
};

static void on_far(void *data)
{
	struct far *f = data;
	ch_progress(runs, f->done, f->total, f->what);
}

/* `wait`, which runs, is so far. */
static void be_far(struct ch_test *t, uint64_t done, uint64_t total, const char *what)
{
	ch_test_on_loop(t, on_far, &(struct far){ done, total, what });
}

/* Of `wait` while it runs: `steps` of 10 ms, each told of. */
static struct ch_test_answer *go_far(struct ch_test *t, unsigned steps)
{
	struct ch_test_answer *a = run(t, "wait", "[]");
	for (unsigned i = 1; i <= steps; i++) {
		be_far(t, i, steps, "the \"steps\"");
		ch_test_advance(t, 10);
	}
	return a;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;
	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void how_far_it_is_comes_at_once_then_ten_times_a_second_and_at_the_end(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = go_far(t, 1);
	(void)state;
	assert_string_equal(a->body,
		FIRST "{\"out\":\"early\"}\n{\"progress\":{\"done\":1,\"total\":1,\"what\":\"the \\\"steps\\\"\"}}\n");
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	a = go_far(t, 1000); /* in 10 s */
	assert_in_range(count(a->body, "{\"progress\":"), 99, 101);
	assert_null(strstr(a->body, "\"done\":1000,"));
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	assert_true(a->complete);
	assert_non_null(strstr(a->body, "{\"progress\":{\"done\":1000,\"total\":1000,\"what\":\"the \\\"steps\\\"\"}}\n{\"exit\":0}\n"));
	ch_test_free(t);
}

static void what_is_told_of_is_cut_between_characters(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = run(t, "wait", "[]");
	char what[301], want[300];
	(void)state;
	for (int i = 0; i < 100; i++)
		memcpy(what + 3 * i, "\xe2\x82\xac", 4);
	be_far(t, 0, 0, what);
	snprintf(want, sizeof want, "\"what\":\"%.*s\"}}\n", 255, what); /* 85 of three bytes */
	assert_non_null(strstr(a->body, want));
	ch_test_advance(t, 100);
	be_far(t, UINT64_MAX, UINT64_MAX, NULL);
	assert_non_null(strstr(a->body, "{\"done\":18446744073709551615,\"total\":18446744073709551615,\"what\":\"\"}}\n"));
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	ch_test_free(t);
}

static void who_does_not_read_is_not_told_how_far_it_is(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = control(t, "POST", "/control/run/verbs/wait", "[]");
	(void)state;
	p->unread = true;
	p->most_out = 1;
	ch_test_advance(t, 0);
	for (int i = 0; i < 10000; i++) {
		be_far(t, 1, 2, "x");
		ch_test_advance(t, 100);
	}
	assert_in_range(p->conn->out_bytes, 64 << 10, (64 << 10) + 200); /* stream_high, and what went beyond it */
	p->unread = false;
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	assert_true(chi_peer_answer(p, "POST")->complete);
	ch_test_free(t);
}

static void outside_of_a_command_nothing_can_be_far(void **state)
{
	struct ch_test *t = begin();
	(void)state;
	ch_test_expect_misuse(t);
	struct ch_test_answer *a = run(t, "wait", "[]");
	struct chi_command *cmd = runs->command;
	runs->command = NULL;
	be_far(t, 1, 2, "x");
	runs->command = cmd;
	assert_null(strstr(a->body, "progress"));
	assert_true(ch_test_logged(t, "it called ch_progress outside of a command"));
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	ch_test_free(t);
}

/* ---- readers ---- */

static void a_verb_that_asks_to_be_told_waits_for_a_slow_reader(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = control(t, "POST", "/control/run/verbs/pump", "[]");
	(void)state;
	p->unread = true;
	p->most_out = 1000;
	ch_test_advance(t, 0);
	assert_int_equal(out_rc, CH_AGAIN);
	assert_int_equal(told, 0);
	assert_in_range(p->conn->out_bytes, 64 << 10, (64 << 10) + 200); /* stream_high, and what went beyond it */
	p->unread = false;
	ch_test_advance(t, 0);
	struct ch_test_answer *a = chi_peer_answer(p, "POST");
	assert_true(a->complete);
	assert_true(told > 0);
	assert_int_equal(heard, CH_READY);
	assert_int_equal(a->n, strlen(FIRST) + 100000 * strlen("{\"out\":\"some bytes\"}\n") + strlen("{\"exit\":0}\n"));
	ch_test_free(t);
}

static void a_verb_that_does_not_is_cut_at_8_mib(void **state)
{
	struct ch_test *t = begin();
	struct chi_peer *p = control(t, "POST", "/control/run/verbs/flood", "[]");
	(void)state;
	p->unread = true;
	p->most_out = 1;
	ch_test_advance(t, 0);
	assert_int_equal(out_rc, CH_DONE);
	assert_null(p->conn);
	assert_in_range(written, 8121, 8122); /* 8 MiB + 64 KiB in pieces of 1023 bytes, whose JSON and chunk take 18 more */
	assert_true(ch_test_logged(t, "command flood: its asker does not read, "));
	assert_true(ch_test_logged(t, "command flood: given up by its asker"));
	ch_test_free(t);
}

static void a_verb_hears_that_its_asker_left(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = run(t, "wait", "[]");
	(void)state;
	assert_int_equal(heard, 0);
	ch_test_leave(a);
	ch_test_advance(t, 0);
	assert_int_equal(heard, CH_GONE);
	assert_true(ch_test_logged(t, "verbs: command wait: given up by its asker"));
	ch_test_free(t);
}

static void a_request_s_ctx_and_a_task_s_write_nowhere(void **state)
{
	struct ch_test *t = begin();
	(void)state;
	ch_test_expect_misuse(t);
	run(t, "wait", "[]");
	struct ch_ctx *c = runs;
	assert_int_equal(ch_out(c, "%s", "x"), CH_OK);
	struct chi_command *cmd = c->command;
	c->command = NULL;
	assert_int_equal(ch_out(c, "%s", "x"), CH_ERROR);
	ch_on_writable(c, go_on, c);
	c->command = cmd;
	assert_null(cmd->on_writable);
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	ch_test_free(t);
}

/* ---- reloads, memory, tables ---- */

static void a_verb_goes_on_while_its_instance_is_replaced(void **state)
{
	struct ch_test *t = begin();
	struct ch_test_answer *a = run(t, "wait", "[]");
	struct ch_self *old = ch_test_self(t, "verbs");
	(void)state;
	ch_test_config(t, "[verbs]\nword = other\n");
	assert_true(ch_test_start(t));
	assert_ptr_not_equal(ch_test_self(t, "verbs"), old);
	assert_int_equal(heard, 0);
	ch_resume(ticket, NULL, NULL);
	ch_test_advance(t, 0);
	assert_lines(a, FIRST "{\"out\":\"early\"}\n{\"out\":\"late\"}\n{\"exit\":0}\n");
	ch_test_free(t);
}

static void without_memory_an_answer_is_whole_or_cut(void **state)
{
	struct ch_test *t = begin();
	bool struck = true;
	(void)state;
	for (unsigned long n = 1; struck; n++) {
		ch_test_fail_alloc(t, n);
		struct ch_test_answer *a = run(t, "pair", "[\"1\",\"2\"]");
		struck = ch_test_fail_alloc(t, 0);
		if (a->complete && a->status == 200)
			assert_non_null(strstr(a->body, "{\"exit\":"));
		else
			assert_true(a->status == 503 || !a->complete);
		assert_true(n < 1000);
	}
	ch_test_free(t);
}

static void mistakes_in_the_table_are_told(void **state)
{
	static const struct ch_command bad[] = {
		{ BOTH, .fn = on_show },
		{ .name = "Show", BOTH, .fn = on_show },
		{ .name = "a", BOTH },
		{ .name = "b", .modes = CH_LIVE, .fn = on_show },
		{ .name = "c", BOTH, .fn = on_show },
		{ .name = "c", BOTH, .fn = on_show },
		{ .name = "d", .summary = "No mode", .fn = on_show },
		{ .name = "e", BOTH, .min_args = 1, .fn = on_show },
	};
	static const char *const words[] = { "command 0, '', has no name", "command 1, 'Show', has no name",
		"command 2, 'a', has no function", "command 3, 'b', has no function or no summary", "command 5, 'c', is there twice",
		"command 6, 'd', is neither LIVE nor OFFLINE", "command 7, 'e', wants more arguments than it takes" };
	enum { N = sizeof words / sizeof *words };
	struct ch_test *t = begin();
	struct chi_build b = { .gen = t->gen, .report = chi_report_new() };
	char line[512];
	size_t n = 0;
	(void)state;
	chi_commands_check(&b, chi_inst_of(ch_test_self(t, "verbs")));
	assert_int_equal(chi_report_errors(b.report), 0);
	plugin.commands = (struct ch_table)CH_TABLE(bad);
	chi_commands_check(&b, chi_inst_of(ch_test_self(t, "verbs")));
	plugin.commands = (struct ch_table)CH_TABLE(good);
	for (const struct chi_problem *p = chi_report_first(b.report); p; p = p->next, n++) {
		chi_report_format(p, line, sizeof line);
		assert_true(n < N);
		if (!strstr(line, words[n]))
			fail_msg("'%s' is not in %s", words[n], line);
	}
	assert_int_equal(n, N);
	chi_report_free(b.report);
	ch_test_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_come_as_they_were_sent),
		cmocka_unit_test(a_body_that_is_no_array_of_strings_is_400),
		cmocka_unit_test(arguments_are_counted),
		cmocka_unit_test(what_there_is_not_is_404_and_the_nearest_is_named),
		cmocka_unit_test(other_listeners_run_nothing),
		cmocka_unit_test(all_verbs_are_listed),
		cmocka_unit_test(output_comes_before_the_end),
		cmocka_unit_test(a_refusal_is_1_and_says_its_sentence),
		cmocka_unit_test(an_error_is_70_at_once_and_later),
		cmocka_unit_test(long_output_comes_in_pieces_of_whole_characters),
		cmocka_unit_test(how_far_it_is_comes_at_once_then_ten_times_a_second_and_at_the_end),
		cmocka_unit_test(what_is_told_of_is_cut_between_characters),
		cmocka_unit_test(who_does_not_read_is_not_told_how_far_it_is),
		cmocka_unit_test(outside_of_a_command_nothing_can_be_far),
		cmocka_unit_test(a_verb_that_asks_to_be_told_waits_for_a_slow_reader),
		cmocka_unit_test(a_verb_that_does_not_is_cut_at_8_mib),
		cmocka_unit_test(a_verb_hears_that_its_asker_left),
		cmocka_unit_test(a_request_s_ctx_and_a_task_s_write_nowhere),
		cmocka_unit_test(a_verb_goes_on_while_its_instance_is_replaced),
		cmocka_unit_test(without_memory_an_answer_is_whole_or_cut),
		cmocka_unit_test(mistakes_in_the_table_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
