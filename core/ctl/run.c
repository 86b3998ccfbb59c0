/* SPDX-License-Identifier: Apache-2.0 */
/* run, and commands that are verbs of their own: in the running server or, without one, in this process. */
#include "core/ctl/bar.h"
#include "core/ctl/client.h"
#include "core/ctl/commands.h"
#include "core/ctl/ctl.h"
#include "core/ctl/doc.h"

#include "core/conf/ini.h"
#include "core/log/log.h"

#include <chimera/kit/json.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void show_progress(struct ch_str far)
{
	char *what = ctl_text(ctl_member(far, "what"));

	if (what)
		ctl_bar((uint64_t)ctl_number(ctl_member(far, "done")), (uint64_t)ctl_number(ctl_member(far, "total")), what);
	free(what);
}

static bool on_line(void *arg, const char *p, size_t n)
{
	struct live *l = arg;
	struct ch_str doc = { p, n }, code, far;

	if (!ch_json_valid(p, n, 0, 0, NULL, NULL)) {
		l->over = true;
		l->code = ctl_fail(CHI_EXIT_UNAVAILABLE, "the server's answer is no JSON: it is one of another version");
		return false;
	}
	code = ctl_member(doc, "exit");
	far = ctl_member(doc, "progress");
	if (l->ctl->json)
		printf("%.*s\n", (int)n, p);
	else if (far.n)
		show_progress(far);
	else
		ctl_bar(0, 0, NULL);
	if (!l->ctl->json && !code.n && !far.n)
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

/* The first -o that a running server does not hear of, and that does not only help to find it; NULL: none. */
static const char *unheard(void)
{
	static const char *const finders[] = { "server.plugin_dir=", "server.state_dir=", "server.control=" };
	for (const char *const *o = chi_daemon.overrides; o && *o; o++) {
		bool finds = false;
		for (size_t i = 0; i < sizeof(finders) / sizeof(*finders); i++)
			finds = finds || !strncmp(*o, finders[i], strlen(finders[i]));
		if (!finds)
			return *o;
	}
	return NULL;
}

static int run_live(const struct ctl *ctl)
{
	struct live l = { .ctl = ctl };
	struct ctl_answer a;
	char target[256];
	const char *lost = unheard();

	if (lost)
		return ctl_fail(CHI_EXIT_USAGE,
			"-o %.*s: the command would run in the server, which has a config of its own: leave the option out, or add --offline "
			"to run beside the server with it", (int)strcspn(lost, "="), lost);
	char *body = array_of(ctl->args + 2, ctl->nargs - 2);

	if (!body)
		return CHI_EXIT_USAGE;
	snprintf(target, sizeof(target), "/control/run/%.64s/%.64s", ctl->args[0], ctl->args[1]);
	int code = ctl_post_for_lines(ctl->socket, target, body, on_line, &l, &a);
	free(body);
	ctl_bar(0, 0, NULL); /* if it was cut */
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
	int code = chi_tool_run(ctl->args[0], ctl->args[1], (size_t)ctl->nargs - 2, words, ctl->json, ctl->verbose ? NULL : ctl_bar, why, sizeof(why));
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
		return ctl_commands_list(ctl, ctl->nargs ? ctl->args[0] : NULL);
	if (ctl->nargs == 3 && !strcmp(ctl->args[2], "--help"))
		return ctl_commands_explain(ctl, ctl->args[0], ctl->args[1]);
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

/* What it is given is looked at no more closely than `run` does: the name of the command is known to be one. */
static int run_as_verb(struct ctl *ctl, char *instance)
{
	char **args = calloc((size_t)ctl->nargs + 2, sizeof(*args));
	int code;

	if (!args)
		return ctl_fail(CHI_EXIT_OSERR, "there is not enough memory");
	args[0] = instance;
	memcpy(args + 1, ctl->args, (size_t)ctl->nargs * sizeof(*args));
	ctl->args = args;
	ctl->nargs++;
	code = run(ctl);
	free(args);
	return code;
}

/* In a process of its own if there is no server: what starts the instance's part of the config does so once a process. */
static int run_apart(struct ctl *ctl, char *instance)
{
	int status = 0;

	if (ctl->socket)
		return run_as_verb(ctl, instance);
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		return ctl_fail(CHI_EXIT_OSERR, "no process can be started: %s", strerror(errno));
	if (!pid) {
		int code = run_as_verb(ctl, instance);
		fflush(stdout);
		_exit(code);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : ctl_fail(CHI_EXIT_OSERR, "%s ended by signal %d", instance, WTERMSIG(status));
}

/* The first failure's code; the others are run all the same. */
static int run_in_each(const struct ctl *given, char *const *instances)
{
	int code = 0;

	for (size_t i = 0; instances[i]; i++) {
		struct ctl ctl = *given;
		if (!ctl.json)
			printf("%s%s:\n", i ? "\n" : "", instances[i]);
		int rc = run_apart(&ctl, instances[i]);
		code = code ? code : rc;
	}
	return code;
}

int ctl_run_verb(const struct ctl *given, struct ch_near *near)
{
	struct ctl ctl = *given;
	char *instances[CTL_OWNERS] = { NULL };
	bool help = ctl.nargs == 2 && !strcmp(ctl.args[1], "--help");

	if (!chi_ini_is_id(ctl.args[0], strlen(ctl.args[0])) || (!ctl.socket && !chi_config_default(NULL)))
		return CTL_NO_VERB;
	int code = find_server(&ctl);
	code = code ? code : ctl_commands_owners(&ctl, ctl.args[0], instances, near);
	if (!code && instances[0] && instances[1] && !help)
		code = run_in_each(&ctl, instances);
	else if (!code)
		code = instances[0] ? run_as_verb(&ctl, instances[0]) : CTL_NO_VERB;
	else if (!instances[0] && *near->best)
		code = CTL_NO_VERB; /* what there is cannot be told, but it looks like one of ours */
	for (size_t i = 0; i < CTL_OWNERS; i++)
		free(instances[i]);
	if (!given->socket)
		free((char *)ctl.socket);
	return code;
}
