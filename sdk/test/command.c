/* SPDX-License-Identifier: MIT */
#include "sdk/test/harness.h"

#include "core/plugin/command.h"

#include <stdio.h>
#include <stdlib.h>

enum { NOT_OVER = -1, USAGE = 64, WORDS = 32 };

struct chi_ran { /* a command that ran, or still does: what it wrote is the harness's as long as the test */
	struct chi_ran *next;
	struct chi_command cmd;
	const char *words[WORDS];
	char *text;
	size_t n;
	int code;
	bool over;
};

static struct chi_ran *ran_of(struct chi_command *cmd)
{
	return (struct chi_ran *)((char *)cmd - offsetof(struct chi_ran, cmd));
}

static int out(struct chi_command *cmd, const char *p, size_t n)
{
	struct chi_ran *r = ran_of(cmd);
	chi_test_append(&r->text, &r->n, p, n);
	return CH_OK;
}

static void ended(struct chi_command *cmd, int code)
{
	ran_of(cmd)->code = code;
	ran_of(cmd)->over = true;
}

struct again {
	const char *id, *name;
	const char *const *words;
	size_t n;
};

static int run(struct ch_test *t, const struct again *a, const char **text)
{
	struct ch_self *self = ch_test_self(t, a->id);
	if (!self) {
		chi_test_fail("there is no instance \"%s\": a section of the config enables one", a->id);
		return NOT_OVER;
	}
	struct chi_ran *r = chi_test_alloc(sizeof *r);
	r->next = t->ran;
	t->ran = r;
	r->text = chi_test_copy("");
	r->cmd = (struct chi_command){ .inst = chi_inst_of(self), .out = out, .ended = ended };
	*text = r->cmd.why;
	r->cmd.row = chi_command_find(chi_inst_of(self), a->name, r->cmd.why, sizeof r->cmd.why);
	if (!r->cmd.row || !chi_command_fits(r->cmd.row, a->n, r->cmd.why, sizeof r->cmd.why))
		return USAGE;
	for (size_t i = 0; i < a->n; i++)
		r->words[i] = chi_test_copy(a->words[i]);
	struct ch_loop *old = chi_world_enter(t->house);
	chi_command_run(&r->cmd, t->house, t->gen, a->n, r->words);
	chi_world_enter(old);
	chi_test_run(t);
	*text = r->over && r->code ? r->cmd.why : r->text;
	return r->over ? r->code : NOT_OVER;
}

static void command_again(struct ch_test *t, void *arg)
{
	const char *text;
	run(t, arg, &text);
}

int ch_test_command(struct ch_test *t, const char **text, const char *id, const char *name, ...)
{
	const char *words[WORDS], *none;
	struct again a = { id, name, words, 0 };
	va_list ap;
	va_start(ap, name);
	while (a.n < WORDS && (words[a.n] = va_arg(ap, const char *)))
		a.n++;
	va_end(ap);
	if (a.n == WORDS) {
		chi_test_fail("a command has %d arguments at most here", WORDS - 1);
		return NOT_OVER;
	}
	chi_sweep(t, command_again, &a, "command %s of [%s]", name, id);
	return run(t, &a, text ? text : &none);
}

void chi_commands_free(struct ch_test *t)
{
	while (t->ran) {
		struct chi_ran *r = t->ran;
		t->ran = r->next;
		for (size_t i = 0; i < WORDS; i++)
			free((char *)r->words[i]);
		free(r->text);
		free(r);
	}
}
