/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_command.c - a test plugin: commands of every kind. Paths are its arguments: what a test waits for is a file.
 *
 *   echo ARGUMENT...      prints each
 *   slow GATE             prints "waiting" and goes on when the file GATE is there; on GONE makes GATE.gone
 *   refuse SENTENCE       ends with it
 *   broken [later]        returns CH_ERROR, at once or after a wait
 *   big MIB [WORD]        lines of 64 bytes, so many MiB, going on when it is told to
 *   flood FILE            writes until nobody reads any more, and then how much that was to FILE
 *   live, offline         each in its mode alone
 *   twice NUMBER MS       asks tsvc/1
 *   loops                 how many there are, and on which it runs
 *   ticks                 waits for 100 ms, then prints how often its task by the clock has run
 *   deaf                  does not stop when it hears GONE
 *   all [ID]              runs in each instance, and is refused in the one of that id
 *   far STEPS GATE        tells how far it is, STEPS times and 5 ms apart, then goes on when the file GATE is there
 *
 * `mark` names a file that start makes and stop takes away again.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tsvc.h"

struct t_command_conf {
	const struct ch_svc *service;
	const char *mark;
};

struct t_command_state {
	atomic_uint ticks;
};

static void touch(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return;
	fputs(text, f);
	fclose(f);
}

static int echo(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	for (size_t i = 0; i < argc; i++)
		if (ch_out(c, "%s\n", argv[i]) != CH_OK)
			return CH_ERROR;
	return CH_OK;
}

/* ---- slow ---- */

struct slow {
	const char *gate;
	struct ch_timer *timer;
	ch_ticket ticket;
};

static void on_time(void *data)
{
	struct slow *s = data;

	if (access(s->gate, F_OK)) {
		ch_timer_set(s->timer, 2);
		return;
	}
	ch_resume(s->ticket, NULL, NULL);
}

static int on_slow(struct ch_ctx *c, void *data, int why, void *result)
{
	struct slow *s = data;

	(void)result;
	ch_timer_free(s->timer);
	if (why == CH_READY)
		return ch_out(c, "done\n") == CH_OK ? CH_DONE : CH_ERROR;
	touch(ch_print(c, "%s.gone", s->gate), "");
	ch_unsuspend(s->ticket);
	return CH_DONE;
}

static int slow(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	struct slow *s = ch_alloc(c, sizeof(*s));

	(void)self;
	(void)argc;
	*s = (struct slow){ argv[0], ch_timer(ch_loop(c), on_time, s), ch_suspend(c, 0, on_slow, s) };
	ch_timer_set(s->timer, 0);
	ch_out(c, "waiting\n");
	return CH_AGAIN;
}

/* ---- far ---- */

struct far {
	struct slow slow; /* first */
	struct ch_ctx *c;
	long at, steps;
};

static void on_step(void *data)
{
	struct far *f = data;

	if (f->at < f->steps) {
		ch_progress(f->c, (uint64_t)++f->at, (uint64_t)f->steps, "steps");
		ch_timer_set(f->slow.timer, 5);
	} else {
		on_time(&f->slow);
	}
}

static int far(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	struct far *f = ch_alloc(c, sizeof(*f));

	(void)self;
	(void)argc;
	*f = (struct far){ .slow = { argv[1], ch_timer(ch_loop(c), on_step, f), 0 }, .c = c, .steps = atol(argv[0]) };
	f->slow.ticket = ch_suspend(c, 0, on_slow, &f->slow);
	ch_timer_set(f->slow.timer, 0);
	return CH_AGAIN;
}

/* ---- ends that are not good ---- */

static int refuse(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	ch_out(c, "before\n");
	return ch_refuse(c, CH_E_CONFLICT, 0, "%s", argv[0]);
}

static int on_broken(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	return CH_ERROR;
}

static int broken(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argv;
	if (!argc)
		return CH_ERROR;
	ch_resume(ch_suspend(c, 0, on_broken, NULL), NULL, NULL);
	return CH_AGAIN;
}

static int on_deaf(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)result;
	return why == CH_GONE ? CH_AGAIN : CH_DONE;
}

static int deaf(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)self;
	(void)argc;
	(void)argv;
	ch_suspend(c, 0, on_deaf, NULL);
	ch_suspend(c, 0, on_deaf, NULL);
	ch_out(c, "deaf\n");
	return CH_AGAIN;
}

/* ---- much output ---- */

struct big {
	struct ch_ctx *c;
	ch_ticket ticket;
	long at, lines;
	const char *word;
};

/* Writes until it is to wait. True: that was all, or nobody reads. */
static bool pump(struct big *b)
{
	int rc = CH_OK;

	while (b->at < b->lines && rc == CH_OK)
		rc = ch_out(b->c, "%-48s%015ld\n", b->word, b->at++);
	return b->at == b->lines || rc == CH_DONE;
}

static void on_writable(void *data)
{
	struct big *b = data;

	if (b->ticket && pump(b)) {
		ch_resume(b->ticket, NULL, NULL);
		b->ticket = 0;
	}
}

static int on_big(struct ch_ctx *c, void *data, int why, void *result)
{
	struct big *b = data;

	(void)c;
	(void)result;
	if (why != CH_READY && b->ticket)
		ch_unsuspend(b->ticket);
	b->ticket = 0;
	return CH_DONE;
}

static int big(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	struct big *b = ch_alloc(c, sizeof(*b));

	(void)self;
	*b = (struct big){ .c = c, .lines = atol(argv[0]) * (1 << 14), .word = argc > 1 ? argv[1] : "line" };
	ch_on_writable(c, on_writable, b);
	if (pump(b))
		return CH_OK;
	b->ticket = ch_suspend(c, 0, on_big, b);
	return CH_AGAIN;
}

static int flood(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	long n = 0;

	(void)self;
	(void)argc;
	while (n < 1 << 20 && ch_out(c, "%-1023s\n", "flood") == CH_OK)
		n++;
	touch(argv[0], ch_print(c, "%ld", n));
	return CH_OK;
}

/* ---- modes, services, loops ---- */

static int here(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	(void)argc;
	(void)argv;
	ch_out(c, "%s\n", self->id);
	return CH_OK;
}

static int all(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	ch_out(c, "%s\n", self->id);
	return argc && !strcmp(argv[0], self->id) ? ch_refuse(c, CH_E_CONFLICT, 0, "not in %s", self->id) : CH_OK;
}

struct asked {
	const struct ch_svc *svc;
	struct tsvc_result result;
};

static int on_twice(struct ch_ctx *c, void *data, int why, void *result)
{
	struct asked *a = data;

	(void)result;
	if (why != CH_READY)
		((const struct tsvc_v1 *)a->svc->vt)->cancel(a->svc, c, &a->result);
	else
		ch_out(c, "%lld\n", (long long)a->result.number);
	return CH_DONE;
}

static int twice(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	const struct t_command_conf *conf = self->conf;
	struct asked *a = ch_alloc(c, sizeof(*a));

	(void)argc;
	if (!conf->service)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0, "[%s] service is bound to nothing: add [t_service]", self->id);
	*a = (struct asked){ .svc = conf->service, .result = { .size = sizeof(a->result) } };
	ch_ticket t = ch_suspend(c, 0, on_twice, a);
	int rc = ((const struct tsvc_v1 *)a->svc->vt)->twice(a->svc, c, atol(argv[0]), atol(argv[1]), &a->result, t);
	if (rc == CH_AGAIN)
		return rc;
	ch_unsuspend(t);
	if (rc == CH_OK)
		ch_out(c, "%lld\n", (long long)a->result.number);
	return rc;
}

static int loops(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	unsigned n = 0;

	(void)self;
	(void)argc;
	(void)argv;
	while (ch_loop_at(n))
		n++;
	ch_out(c, "%u %u\n", n, ch_loop_index(ch_loop(c)));
	return CH_OK;
}

struct waited {
	struct t_command_state *state;
	ch_ticket ticket;
};

static int on_tick(struct ch_self *self, struct ch_ctx *c)
{
	struct t_command_state *state = self->state;

	(void)c;
	atomic_fetch_add(&state->ticks, 1);
	return CH_OK;
}

static int on_ticks(struct ch_ctx *c, void *data, int why, void *result)
{
	struct waited *w = data;

	(void)why;
	(void)result;
	ch_unsuspend(w->ticket); /* nobody else has it */
	ch_out(c, "%u\n", atomic_load(&w->state->ticks));
	return CH_DONE;
}

static int ticks(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	struct waited *w = ch_alloc(c, sizeof(*w));

	(void)argc;
	(void)argv;
	*w = (struct waited){ self->state, ch_suspend(c, 100, on_ticks, w) };
	return CH_AGAIN;
}

/* ---- life ---- */

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct t_command_conf *conf = self->conf;

	(void)prev;
	if (*conf->mark)
		touch(conf->mark, self->id);
	return CH_OK;
}

static void stop(struct ch_self *self)
{
	const struct t_command_conf *conf = self->conf;

	if (*conf->mark)
		unlink(conf->mark);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_command_conf, service, SERVICE, .iface = "tsvc/1", .help = "The service that is asked"),
	CH_OPT(struct t_command_conf, mark, PATH, .help = "A file that is there while this runs"),
};

#define BOTH .modes = CH_LIVE | CH_OFFLINE

static const struct ch_command commands[] = {
	{ .name = "echo", BOTH, .args = "[ARGUMENT...]", .max_args = 100000, .summary = "Print the arguments", .fn = echo },
	{ .name = "slow", BOTH, .args = "GATE", .min_args = 1, .max_args = 1, .summary = "Wait for a file", .fn = slow },
	{ .name = "refuse", BOTH, .args = "SENTENCE", .min_args = 1, .max_args = 1, .summary = "Refuse", .fn = refuse },
	{ .name = "broken", BOTH, .args = "[later]", .max_args = 1, .summary = "Fail", .fn = broken },
	{ .name = "big", BOTH, .args = "MIB [WORD]", .min_args = 1, .max_args = 2, .summary = "Print much", .fn = big },
	{ .name = "flood", BOTH, .args = "FILE", .min_args = 1, .max_args = 1, .summary = "Print without an end", .fn = flood },
	{ .name = "live", .modes = CH_LIVE, .summary = "Run in the server alone", .fn = here },
	{ .name = "offline", .modes = CH_OFFLINE, .summary = "Run without the server alone", .fn = here },
	{ .name = "all", .modes = CH_LIVE | CH_OFFLINE | CH_EACH, .args = "[ID]", .max_args = 1, .summary = "Run in each instance", .fn = all },
	{ .name = "twice", BOTH, .args = "NUMBER MS", .min_args = 2, .max_args = 2, .summary = "Ask a service", .fn = twice },
	{ .name = "loops", BOTH, .summary = "Tell the loops", .fn = loops },
	{ .name = "ticks", BOTH, .summary = "Tell the tasks by the clock", .fn = ticks },
	{ .name = "deaf", BOTH, .summary = "Do not stop", .fn = deaf },
	{ .name = "far", BOTH, .args = "STEPS GATE", .min_args = 2, .max_args = 2, .summary = "Tell how far it is", .fn = far },
};

static const struct ch_cron crons[] = { { .name = "tick", .when = "2ms", .fn = on_tick } };

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_command",
	.version = "0.1",
	.summary = "Test: commands",
	.conf_size = sizeof(struct t_command_conf),
	.state_size = sizeof(struct t_command_state),
	.options = CH_TABLE(options),
	.crons = CH_TABLE(crons),
	.commands = CH_TABLE(commands),
	.start = start,
	.stop = stop,
};

CH_PLUGIN(t_command, plugin)
