/* SPDX-License-Identifier: Apache-2.0 */
/* run: commands of plugins, in the running server or, without one, in this process. */
#include "core/ctl/client.h"
#include "core/ctl/ctl.h"
#include "core/ctl/doc.h"
#include "core/ctl/table.h"

#include "core/conf/ini.h"
#include "core/conf/near.h"
#include "core/log/log.h"
#include "core/plugin/command.h"

#include <stdlib.h>

/* ---- what there is ---- */

/* {"commands":[…]} of the running server, or of what the config makes. */
static int commands(const struct ctl *ctl, struct ctl_answer *out)
{
	if (ctl->socket)
		return ctl_ask(ctl->socket, "GET", "/control/commands", NULL, out);
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = chi_config_build(report);
	struct ch_jw w;

	if (!g)
		chi_report_print(report, stderr, false);
	chi_report_free(report);
	if (!g)
		return CHI_EXIT_CONFIG;
	ch_jw_init(&w, NULL, 0);
	w.grow = ctl_grow;
	chi_commands_json(g, &w);
	chi_gen_free(g);
	*out = (struct ctl_answer){ 200, w.buf, w.len };
	return w.failed ? ctl_fail(CHI_EXIT_OSERR, "there is not enough memory") : 0;
}

static bool is_text(struct ch_str value, const char *want)
{
	char *text = ctl_text(value);
	bool same = text && !strcmp(text, want);

	free(text);
	return same;
}

static bool wanted(struct ch_str row, const char *instance, const char *command)
{
	return (!instance || is_text(ctl_member(row, "instance"), instance)) && (!command || is_text(ctl_member(row, "name"), command));
}

static void show_table(const struct ctl *ctl, struct ch_str rows, const char *instance)
{
	static const char *const members[] = { "instance", "name", "args", "modes", "summary" };
	struct ctl_table t = { .columns = 5 };
	struct ch_str row;

	ctl_table_row(&t, (const char *const[]){ "instance", "command", "arguments", "runs", "summary" });
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);) {
		char *cells[CTL_COLUMNS] = { NULL };
		for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
			cells[i] = wanted(row, instance, NULL) ? ctl_text(ctl_member(row, members[i])) : NULL;
		if (cells[0])
			ctl_table_take(&t, cells);
	}
	ctl_table_print(&t, stdout, ctl->colour);
}

static void show_json(struct ch_str rows, const char *instance)
{
	struct ch_str row;
	const char *comma = "";

	fputs("{\"commands\":[", stdout);
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);)
		if (wanted(row, instance, NULL)) {
			printf("%s%.*s", comma, (int)row.n, row.p);
			comma = ",";
		}
	puts("]}");
}

static int no_instance(struct ch_str rows, const char *instance)
{
	struct chi_near near;
	struct ch_str row;

	chi_near_init(&near, instance);
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);) {
		char *id = ctl_text(ctl_member(row, "instance"));
		if (id)
			chi_near_offer(&near, id);
		free(id);
	}
	return ctl_fail(CHI_EXIT_USAGE, "no instance '%s' has commands%s%s: chimeractl run lists those that have", instance,
		*near.best ? "; did you mean " : "", near.best);
}

static int list(const struct ctl *ctl, const char *instance)
{
	struct ctl_answer doc;
	struct ch_str row;
	size_t n = 0;
	int code = commands(ctl, &doc);

	if (code)
		return code;
	struct ch_str rows = ctl_member((struct ch_str){ doc.body, doc.n }, "commands");
	for (size_t at = 0; ctl_each(rows, &at, NULL, &row);)
		n += wanted(row, instance, NULL);
	if (!n && instance)
		code = no_instance(rows, instance);
	else if (ctl->json)
		show_json(rows, instance);
	else if (n)
		show_table(ctl, rows, instance);
	else
		fputs("chimeractl: no enabled plugin has commands\n", stderr);
	free(doc.body);
	return code;
}

/* How one command is used. */
static int explain(const struct ctl *ctl, const char *instance, const char *command)
{
	struct ctl_answer doc;
	struct ch_str row, found = { NULL, 0 };
	int code = commands(ctl, &doc);

	if (code)
		return code;
	for (size_t at = 0; ctl_each(ctl_member((struct ch_str){ doc.body, doc.n }, "commands"), &at, NULL, &row);)
		found = wanted(row, instance, command) ? row : found;
	if (found.n) {
		char *args = ctl_text(ctl_member(found, "args")), *summary = ctl_text(ctl_member(found, "summary"));
		char *modes = ctl_text(ctl_member(found, "modes"));
		printf("usage: chimeractl run %s %s%s%s\n\n%s.\nRuns %s.\n", instance, command, args && *args ? " " : "", args ? args : "",
			summary ? summary : "", modes ? modes : "");
		free(args);
		free(summary);
		free(modes);
	} else {
		code = ctl_fail(CHI_EXIT_USAGE, "[%s] has no command '%s': chimeractl run lists what there is", instance, command);
	}
	free(doc.body);
	return code;
}

/* ---- in the server ---- */

struct live {
	const struct ctl *ctl;
	bool over;
	int code;
};

/* Text of a piece of output, as it is. */
static void print_text(struct ch_str value)
{
	struct ch_json j;
	struct ch_json_tok tok;
	char *text = malloc(value.n + 1);

	ch_json_init(&j, value.p, value.n, 0, 0);
	if (text && ch_json_next(&j, &tok) == CH_JSON_STRING)
		fwrite(text, 1, ch_json_unescape(&tok, text), stdout);
	free(text);
}

static bool on_line(void *arg, const char *p, size_t n)
{
	struct live *l = arg;
	struct ch_str doc = { p, n }, code;

	if (!ch_json_valid(p, n, 0, 0, NULL, NULL)) {
		l->over = true;
		l->code = ctl_fail(CHI_EXIT_UNAVAILABLE, "the server's answer is no JSON: it is one of another version");
		return false;
	}
	code = ctl_member(doc, "exit");
	if (l->ctl->json)
		printf("%.*s\n", (int)n, p);
	else if (!code.n)
		print_text(ctl_member(doc, "out"));
	if (code.n) {
		l->over = true;
		l->code = (int)ctl_number(code);
	}
	if (l->code && !l->ctl->json) {
		char *error = ctl_text(ctl_member(doc, "error"));
		fflush(stdout);
		ctl_fail(0, "%s", error ? error : "");
		free(error);
	}
	return !fflush(stdout) && !ferror(stdout) && !l->over;
}

/* The arguments as a JSON array. NULL: one is no UTF-8, told on stderr. */
static char *array_of(char **v, int n)
{
	struct ch_jw w;

	ch_jw_init(&w, NULL, 0);
	w.grow = ctl_grow;
	ch_jw_array(&w);
	for (int i = 0; i < n; i++) {
		if (!chi_ini_is_utf8(v[i], strlen(v[i]))) {
			ctl_fail(0, "argument %d is no UTF-8, which the control socket cannot carry", i + 1);
			free(w.buf);
			return NULL;
		}
		ch_jw_cstr(&w, v[i]);
	}
	ch_jw_array_end(&w);
	ch_jw_raw(&w, "", 1); /* its NUL */
	if (!w.failed)
		return w.buf;
	free(w.buf);
	ctl_fail(0, "there is not enough memory");
	return NULL;
}

static int refusal(const struct ctl *ctl, const struct ctl_answer *a)
{
	char *detail = ctl_detail(a);
	int code = a->status == 400 || a->status == 404 || a->status == 413 ? CHI_EXIT_USAGE : CHI_EXIT_UNAVAILABLE;

	if (detail)
		ctl_fail(0, "%s", detail);
	else
		code = ctl_fail(CHI_EXIT_UNAVAILABLE,
			"what answers on %s says %d to this: it is no chimera server, or one of another version", ctl->socket, a->status);
	free(detail);
	return code;
}

static int run_live(const struct ctl *ctl)
{
	struct live l = { .ctl = ctl };
	struct ctl_answer a;
	char target[256];
	char *body = array_of(ctl->args + 2, ctl->nargs - 2);

	if (!body)
		return CHI_EXIT_USAGE;
	snprintf(target, sizeof(target), "/control/run/%.64s/%.64s", ctl->args[0], ctl->args[1]);
	int code = ctl_post_for_lines(ctl->socket, target, body, on_line, &l, &a);
	free(body);
	if (code)
		return code;
	if (a.status != 200)
		code = refusal(ctl, &a);
	else if (l.over || ferror(stdout))
		code = l.code; /* what cannot be written is told at the end of main */
	else
		code = ctl_fail(CHI_EXIT_UNAVAILABLE, "the server's answer has no end: it is one of another version");
	free(a.body);
	return code;
}

/* ---- in this process ---- */

static int run_offline(const struct ctl *ctl)
{
	char why[1024];

	chi_log_level_set(!ctl->verbose ? CH_WARN : ctl->verbose == 1 ? CH_INFO : CH_DEBUG);
	const char *const *words = (const char *const *)ctl->args + 2;
	int code = chi_tool_run(ctl->args[0], ctl->args[1], (size_t)ctl->nargs - 2, words, ctl->json, why, sizeof(why));
	return *why ? ctl_fail(code, "%s", why) : code;
}

/* ---- which ---- */

/*
 * A server that runs has the data, so it is asked; only where nobody listens on its control socket is there none. Where that cannot be told
 * (no control socket in the config, one of another user) nothing is run beside it unless --offline says that it is known.
 */
static int find_server(struct ctl *ctl)
{
	char *control;

	if (ctl->offline && ctl->socket)
		return ctl_fail(CHI_EXIT_USAGE, "--offline asks no server: leave it out, or --socket");
	if (ctl->socket)
		return 0;
	if (!chi_config_default("chimeractl"))
		return CHI_EXIT_CONFIG;
	if (ctl->offline)
		return 0;
	if (!ctl_server(&control))
		return CHI_EXIT_CONFIG;
	if (*control && !ctl_nobody(control)) {
		ctl->socket = control;
		return 0;
	}
	bool told = *control;
	free(control);
	return told ? 0
		    : ctl_fail(CHI_EXIT_CONFIG, "the config has no control socket, so nobody can tell if the server runs: set [server] control, "
						"or if it does not run, use --offline");
}

static int run(const struct ctl *ctl)
{
	for (int i = 0; i < ctl->nargs && i < 2; i++)
		if (!chi_ini_is_id(ctl->args[i], strlen(ctl->args[i])))
			return ctl_fail(CHI_EXIT_USAGE, "'%s' is no name of %s: chimeractl run lists what there is", ctl->args[i],
				i ? "a command" : "an instance");
	if (ctl->nargs < 2)
		return list(ctl, ctl->nargs ? ctl->args[0] : NULL);
	if (ctl->nargs == 3 && !strcmp(ctl->args[2], "--help"))
		return explain(ctl, ctl->args[0], ctl->args[1]);
	return ctl->socket ? run_live(ctl) : run_offline(ctl);
}

int ctl_run(const struct ctl *given)
{
	struct ctl ctl = *given;
	int code = find_server(&ctl);

	code = code ? code : run(&ctl);
	if (!given->socket)
		free((char *)ctl.socket);
	return code;
}
