/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/command.h"

#include <chimera/kit/near.h>
#include "core/log/log.h"
#include "core/plugin/misuse.h"

#include <stdio.h>

#define PIECE (64u << 10)
#define PROGRESS_US 100000 /* between two tellings */

/* ---- the table ---- */

static const struct ch_command *row_at(const struct chi_inst *i, size_t k)
{
	const struct ch_command *row = chi_row(&i->self.plugin->commands, k);
	return row && row->name && row->fn ? row : NULL;
}

/* What a path of the control socket and a shell take as it is. */
static bool is_name(const char *s)
{
	size_t n = strlen(s);
	return n && n < 32 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n && *s != '-';
}

static bool named_before(const struct ch_table *t, size_t k)
{
	const struct ch_command *row = chi_row(t, k), *other;
	for (size_t n = 0; n < k; n++)
		if ((other = chi_row(t, n))->name && !strcmp(other->name, row->name))
			return true;
	return false;
}

void chi_commands_check(struct chi_build *b, struct chi_inst *i)
{
	const struct ch_table *t = &i->self.plugin->commands;
	for (size_t k = 0; k < t->n; k++) {
		const struct ch_command *row = chi_row(t, k);
		const char *what = !row->name || !is_name(row->name)             ? "has no name of a-z, 0-9, _ and - (31 at most)"
				   : !row->fn || !row->summary                    ? "has no function or no summary"
				   : named_before(t, k)                           ? "is there twice"
				   : !(row->modes & (CH_LIVE | CH_OFFLINE))       ? "is neither LIVE nor OFFLINE"
				   : row->min_args > row->max_args                ? "wants more arguments than it takes"
										  : NULL;
		if (what)
			chi_build_error(b, i, NULL, NULL, "its command %zu, '%s', %s: this is a bug in the plugin", k,
				row->name ? row->name : "", what);
	}
}

static void write_row(struct ch_jw *w, const struct chi_inst *i, const struct ch_command *row)
{
	ch_jw_object(w);
	ch_jw_key(w, "instance");
	ch_jw_cstr(w, i->self.id);
	ch_jw_key(w, "plugin");
	ch_jw_cstr(w, i->self.plugin->name);
	ch_jw_key(w, "name");
	ch_jw_cstr(w, row->name);
	ch_jw_key(w, "args");
	ch_jw_cstr(w, row->args ? row->args : "");
	ch_jw_key(w, "min_args");
	ch_jw_uint(w, row->min_args);
	ch_jw_key(w, "max_args");
	ch_jw_uint(w, row->max_args);
	ch_jw_key(w, "summary");
	ch_jw_cstr(w, row->summary);
	ch_jw_key(w, "modes");
	ch_jw_array(w);
	if (row->modes & CH_LIVE)
		ch_jw_cstr(w, "live");
	if (row->modes & CH_OFFLINE)
		ch_jw_cstr(w, "offline");
	if (row->modes & CH_EACH)
		ch_jw_cstr(w, "each");
	ch_jw_array_end(w);
	ch_jw_object_end(w);
}

void chi_commands_json(const struct chi_gen *g, struct ch_jw *w)
{
	ch_jw_object(w);
	ch_jw_key(w, "commands");
	ch_jw_array(w);
	for (size_t k = 0; k < g->ninsts; k++)
		for (size_t n = 0; n < g->insts[k]->self.plugin->commands.n; n++)
			if (row_at(g->insts[k], n))
				write_row(w, g->insts[k], row_at(g->insts[k], n));
	ch_jw_array_end(w);
	ch_jw_object_end(w);
}

const struct ch_command *chi_command_find(const struct chi_inst *i, const char *name, char *why, size_t cap)
{
	char all[512] = "";
	struct ch_near near;
	ch_near_init(&near, name);
	for (size_t k = 0; k < i->self.plugin->commands.n; k++) {
		const struct ch_command *row = row_at(i, k);
		size_t used = strlen(all);
		if (!row)
			continue;
		if (!strcmp(row->name, name))
			return row;
		ch_near_offer(&near, row->name);
		snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", row->name);
	}
	if (!*all)
		snprintf(why, cap, "[%s] has no commands", i->self.id);
	else if (*near.best)
		snprintf(why, cap, "[%s] has no command '%.80s': did you mean %s? It has %s", i->self.id, name, near.best, all);
	else
		snprintf(why, cap, "[%s] has no command '%.80s': it has %s", i->self.id, name, all);
	return NULL;
}

bool chi_command_fits(const struct ch_command *row, size_t argc, char *why, size_t cap)
{
	if (argc >= row->min_args && argc <= row->max_args)
		return true;
	char number[48];
	snprintf(number, sizeof number, "%zu", argc);
	snprintf(why, cap, "'%s' takes %s, and %s given", row->name, row->args && *row->args ? row->args : "no arguments",
		!argc ? "none was" : argc == 1 ? "one argument was" : strcat(number, " arguments were"));
	return false;
}

/* ---- lines of JSON ---- */

void chi_command_line(struct ch_jw *w, const char *p, size_t n)
{
	ch_jw_object(w);
	ch_jw_key(w, "out");
	ch_jw_string(w, p, n);
	ch_jw_object_end(w);
	ch_jw_raw(w, "\n", 1);
}

void chi_command_far(struct ch_jw *w, uint64_t done, uint64_t total, const char *what)
{
	ch_jw_object(w);
	ch_jw_key(w, "progress");
	ch_jw_object(w);
	ch_jw_key(w, "done");
	ch_jw_uint(w, done);
	ch_jw_key(w, "total");
	ch_jw_uint(w, total);
	ch_jw_key(w, "what");
	ch_jw_cstr(w, what);
	ch_jw_object_end(w);
	ch_jw_object_end(w);
	ch_jw_raw(w, "\n", 1);
}

void chi_command_last(struct ch_jw *w, int code, const char *why)
{
	ch_jw_object(w);
	ch_jw_key(w, "exit");
	ch_jw_int(w, code);
	if (code) {
		ch_jw_key(w, "error");
		ch_jw_cstr(w, why);
	}
	ch_jw_object_end(w);
	ch_jw_raw(w, "\n", 1);
}

/* ---- while it runs ---- */

/* How much of the text one piece of `most` bytes takes: no character is cut in two. */
static size_t piece(const char *p, size_t n, size_t most)
{
	size_t k = most;
	if (n <= most)
		return n;
	while (k > most - 4 && ((unsigned char)p[k] & 0xC0) == 0x80)
		k--;
	return k;
}

void chi_command_gone(struct chi_command *cmd)
{
	cmd->gone = true;
	if (cmd->ctx)
		chi_ctx_gone(cmd->ctx);
}

int chi_command_out(struct ch_ctx *c, const char *p, size_t n)
{
	struct chi_command *cmd = c->command;
	int rc = CH_OK;
	if (!cmd)
		return CH_ERROR;
	while (n && rc != CH_DONE) {
		size_t k = piece(p, n, PIECE);
		int one = cmd->gone ? CH_DONE : cmd->out(cmd, p, k);
		rc = one == CH_OK ? rc : one;
		p += k;
		n -= k;
	}
	if (rc == CH_DONE)
		chi_command_gone(cmd);
	/* A verb that never asked to be told when to go on need not know that it is fast. */
	return rc == CH_AGAIN && !cmd->on_writable ? CH_OK : rc;
}

/* Tells the asker what is kept. */
static void tell_progress(struct chi_command *cmd, int64_t now)
{
	if (!cmd->far.kept)
		return;
	cmd->far.kept = false;
	cmd->far.at = now;
	if (!cmd->gone)
		cmd->progress(cmd, cmd->far.done, cmd->far.total, cmd->far.what);
}

void chi_command_progress(struct ch_ctx *c, uint64_t done, uint64_t total, const char *what)
{
	struct chi_command *cmd = c->command;
	if (!cmd) {
		chi_misuse(chi_ctx_who(c), c, "it called ch_progress outside of a command");
		return;
	}
	if (!cmd->progress)
		return;
	size_t n = what ? piece(what, strlen(what), CHI_COMMAND_WHAT - 1) : 0;
	int64_t now = chi_clock();
	cmd->far.kept = true;
	cmd->far.done = done;
	cmd->far.total = total;
	memcpy(cmd->far.what, what ? what : "", n);
	cmd->far.what[n] = 0;
	if (!cmd->far.at || now - cmd->far.at >= PROGRESS_US)
		tell_progress(cmd, now);
}

void chi_command_on_writable(struct ch_ctx *c, ch_fn fn, void *data)
{
	if (!c->command)
		return;
	c->command->on_writable = fn;
	c->command->on_writable_data = data;
}

void chi_command_writable(struct chi_command *cmd)
{
	if (cmd->ctx && cmd->on_writable)
		cmd->on_writable(cmd->on_writable_data);
}

void chi_command_refuse(struct ch_ctx *c, const char *detail)
{
	snprintf(c->command->why, sizeof c->command->why, "%s", detail);
	c->command->code = CHI_COMMAND_REFUSED;
}

/* ---- its life ---- */

static int call(struct ch_self *self, struct ch_ctx *c)
{
	struct chi_command *cmd = c->command;
	return cmd->row->fn(self, c, cmd->argc, cmd->argv);
}

/* Who ran what, without the arguments, which may be secrets. */
static void say(const struct chi_command *cmd, double seconds)
{
	struct chi_log_fields f = { .plugin = cmd->inst->self.id };
	if (cmd->gone)
		chi_log(CH_INFO, &f, "command %s: given up by its asker after %.3f s", cmd->row->name, seconds);
	else
		chi_log(CH_INFO, &f, "command %s: exit %d after %.3f s%s%s", cmd->row->name, cmd->code, seconds, *cmd->why ? ": " : "",
			cmd->why);
}

static void came(struct ch_ctx *c, int rc)
{
	struct chi_command *cmd = c->command;
	if (rc == CH_ERROR) {
		cmd->code = CHI_COMMAND_BROKEN;
		if (!*cmd->why)
			snprintf(cmd->why, sizeof cmd->why, "'%s' of [%s] failed, which is a bug in the plugin: the log may say more",
				cmd->row->name, cmd->inst->self.id);
	}
	tell_progress(cmd, chi_clock());
	say(cmd, (double)(chi_clock() - c->facts.started) / 1e6);
	c->command = NULL; /* what lingers of the ctx writes nowhere */
	cmd->ctx = NULL;
	chi_ctx_end(c);
	cmd->ended(cmd, cmd->code);
}

static const struct chi_owner owner = { .came = came };

/* The arguments live as long as the ctx, which may outlive the asker's. */
static bool copy_arguments(struct chi_command *cmd, struct ch_ctx *c)
{
	const char **v = chi_arena_raw(&c->arena, (cmd->argc + 1) * sizeof *v);
	bool ok = v != NULL;
	for (size_t k = 0; ok && k < cmd->argc; k++) {
		size_t n = strlen(cmd->argv[k]) + 1;
		char *p = chi_arena_raw(&c->arena, n);
		v[k] = p ? memcpy(p, cmd->argv[k], n) : NULL;
		ok = p != NULL;
	}
	if (ok)
		v[cmd->argc] = NULL;
	cmd->argv = v;
	return ok;
}

static void begin(void *data)
{
	struct chi_command *cmd = data;
	struct ch_ctx *c = cmd->gone ? NULL : chi_ctx_new(cmd->loop, cmd->gen, &owner, 0);
	if (!c || !copy_arguments(cmd, c)) {
		snprintf(cmd->why, sizeof cmd->why, "%s", cmd->gone ? "it was given up before it began" : "there is no memory for it: try again");
		if (c)
			chi_ctx_end(c);
		cmd->ended(cmd, CHI_COMMAND_NOT_RUN);
		return;
	}
	c->command = cmd;
	cmd->ctx = c;
	chi_ctx_run_one(c, &cmd->hook);
}

void chi_command_run(struct chi_command *cmd, struct ch_loop *l, struct chi_gen *gen, size_t argc, const char *const *argv)
{
	cmd->loop = l;
	cmd->gen = gen;
	cmd->argc = argc;
	cmd->argv = argv;
	cmd->hook = cmd->inst->task; /* accounted as the instance's tasks are */
	cmd->hook.fn = call;
	chi_loop_turn_end(l, begin, cmd);
}
