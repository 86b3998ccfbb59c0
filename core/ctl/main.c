/* SPDX-License-Identifier: Apache-2.0 */
/* chimeractl: arguments and the table of verbs. */
#include "core/ctl/ctl.h"

#include <chimera/kit/near.h>

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define OVERRIDES_MAX 256

enum needs { NOTHING, CONFIG, SERVER }; /* a verb needs: no file; the config file; a running server's socket */

struct verb {
	const char *name, *args;
	int least, most; /* arguments */
	enum needs needs;
	int (*run)(const struct ctl *);
	const char *summary; /* NULL: not shown */
	const char *help;
};

static int help(const struct ctl *ctl);

static const struct verb verbs[] = {
	{ "check", "", 0, 0, CONFIG, ctl_check, "Check the config and tell all its errors",
		"Loads the config as the daemon would and starts nothing. Exit code 78 if it has errors.\nWith --json: an array of objects "
		"with level, file, line, section, key, value, message." },
	{ "dump", "", 0, 0, CONFIG, ctl_dump, "Print the effective config with the origin of each value",
		"Secrets are shown as ***. With --json: the same as one object." },
	{ "plugins", "[--live]", 0, 0, CONFIG, ctl_plugins, "Show plugins, hooks in the order of their chains, services and routes",
		"What the config makes of it, without a server; with --live what the running server has." },
	{ "options", "[PLUGIN]", 0, 1, NOTHING, ctl_options, "Show what a plugin can be told; also `server` and `log`",
		"Name, type, default, what is allowed, environment variables; without PLUGIN: the plugins that there are." },
	{ "status", "", 0, 0, SERVER, ctl_status, "Show how the running server is",
		"Asks the server over its control socket. Exit code 69 if it does not answer within 5 s." },
	{ "run", "[INSTANCE [COMMAND [ARGUMENT...]]]", 0, INT_MAX, NOTHING, ctl_run, "Run a command of a plugin, or list what there is",
		"In the running server; without one in this process, which starts the instance and what it uses, if the command allows\n"
		"it. --offline does so without asking whether a server runs: two that work on the same data do it harm. -v, -vv: more\n"
		"of the log.\n"
		"Behind COMMAND all words are its arguments; --help alone tells how it is used. Exit code: the command's, 0 or 1;\n"
		"64 it is used wrongly, 69 it cannot run here and now, 70 it is broken, 130 a signal ended it.\n"
		"With --json: lines of JSON, {\"out\": text}, {\"progress\": {\"done\": n, \"total\": n, \"what\": text}} and at last\n"
		"{\"exit\": code, \"error\": text}.\n\n"
		"A command is a verb of its own, `chimeractl COMMAND [ARGUMENT...]`, if no verb of chimeractl has its name and one\n"
		"instance alone has it." },
	{ "reload", "", 0, 0, SERVER, ctl_reload, "Make the running server read its config again",
		"Waits for it, and shows what has changed. Exit code 78 if the new config has errors: then the old one goes on." },
	{ "log", "level [LEVEL]", 1, 2, SERVER, ctl_log_level, "Show or set the running server's log level",
		"LEVEL is debug, info, warn or error, and holds until the next one, a reload that names another, or the end." },
	{ "version", "", 0, 0, NOTHING, ctl_version, "Print version, commit and plugin interface", "" },
	{ "help", "[VERB]", 0, 1, NOTHING, help, "Print this text, or more about a verb or a command", "" },
	{ "man", "", 0, 0, NOTHING, ctl_man, NULL, "Prints the generated part of chimera.ini(5) for all plugins in plugin_dir." },
};
#define VERBS (sizeof(verbs) / sizeof(*verbs))

static const char *overrides[OVERRIDES_MAX];
enum { JSON = 256, SOCKET, LIVE, OFFLINE };

int ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("chimeractl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

void *ctl_grow(void *arg, void *old, size_t used, size_t want)
{
	(void)arg;
	(void)used;
	return realloc(old, want);
}

static void usage(FILE *out)
{
	fputs("usage: chimeractl [-c FILE] [-o SECTION.KEY=VALUE]... [--json] VERB\n\n", out);
	for (size_t i = 0; i < VERBS; i++)
		if (verbs[i].summary)
			fprintf(out, "  %-8s %-34s %s\n", verbs[i].name, verbs[i].args, verbs[i].summary);
	fputs("\n  COMMAND [ARGUMENT...]   a command of a plugin, as `run INSTANCE COMMAND`: `run` alone lists them\n"
	      "\nSo the commands of plugins are verbs where their section is enabled: `backends` of [router] shows who answers what,\n"
	      "`backends disable|enable|reset BACKEND` takes one out or back; `models list|verify` of [model_registry] looks at files;\n"
	      "`migrate` and `schema` of storages, `records` and `dlq` of [records], `users` and `tokens` of [identity],\n"
	      "`keys` of [auth] and [identity].\n"
	      "\n  -c, --config FILE   the server's config file (default: the daemon's)\n"
	      "  -o, --option S.K=V  set a key; stronger than environment and file\n"
	      "      --socket PATH   the control socket (default: the config's)\n"
	      "      --json          for programs\n"
	      "      --offline       for run and commands: without the server; -v: with more of the log\n"
	      "  -h, --help          this text; behind a verb: more about it\n"
	      "  -V, --version       as the verb\n",
		out);
}

static void usage_of(const struct verb *v)
{
	printf("usage: chimeractl [-c FILE] [-o S.K=V]... [--json] %s%s%s%s\n\n", v->needs == SERVER ? "[--socket PATH] " : "", v->name,
		*v->args ? " " : "", v->args);
	printf("%s.\n%s%s", v->summary ? v->summary : "For the build", v->help, *v->help ? "\n" : "");
}

static const struct verb *find(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

/* What is no verb here may be a command of a plugin; else the nearest of both is named. */
static int run_command(const struct ctl *ctl)
{
	struct ch_near near;

	ch_near_init(&near, ctl->args[0]);
	for (size_t i = 0; i < VERBS; i++)
		if (verbs[i].summary)
			ch_near_offer(&near, verbs[i].name);
	int code = ctl_run_verb(ctl, &near);
	if (code != CTL_NO_VERB)
		return code;
	return ctl_fail(CHI_EXIT_USAGE, "'%s' is no verb%s%s: see chimeractl --help", ctl->args[0], *near.best ? "; did you mean " : "",
		near.best);
}

static int help(const struct ctl *ctl)
{
	static char more[] = "--help";
	const struct verb *v = ctl->nargs ? find(ctl->args[0]) : NULL;

	if (!ctl->nargs) {
		usage(stdout);
		return 0;
	}
	if (v) {
		usage_of(v);
		return 0;
	}
	struct ctl command = *ctl;
	command.args = (char *[]){ ctl->args[0], more, NULL };
	command.nargs = 2;
	return run_command(&command);
}

static bool wants_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb");
}

struct flags {
	bool help, live, version;
};

/* One option; false: it is wrong, which was told (by getopt, or here), and *code is set. */
static bool take(int opt, struct ctl *ctl, struct flags *f, int *code)
{
	static int n;

	if (opt == 'c')
		chi_daemon.file = optarg;
	else if (opt == 'o' && n < OVERRIDES_MAX - 1)
		overrides[n++] = optarg;
	else if (opt == 'o')
		*code = ctl_fail(CHI_EXIT_USAGE, "there are more than %d options -o: use a file", OVERRIDES_MAX - 1);
	else if (opt == JSON)
		ctl->json = true;
	else if (opt == SOCKET)
		ctl->socket = optarg;
	else if (opt == LIVE)
		f->live = true;
	else if (opt == OFFLINE)
		ctl->offline = true;
	else if (opt == 'v')
		ctl->verbose++;
	else if (opt == 'h')
		f->help = true;
	else if (opt == 'V')
		f->version = true;
	else
		*code = CHI_EXIT_USAGE;
	return !*code;
}

/* Is the last of these words the name of a command? */
static bool names_command(char *const *words, int n)
{
	return (n == 3 && !strcmp(words[0], "run")) || (n == 1 && !find(words[0]));
}

/*
 * Options may stand anywhere, but behind the name of a command, of `run` or as a verb, every word is the command's own. `words`: room for
 * argc + 1, gets those that are no options, NULL-ended.
 */
static int parse(int argc, char **argv, struct ctl *ctl, struct flags *f, char **words)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "option", required_argument, NULL, 'o' },
		{ "json", no_argument, NULL, JSON },
		{ "socket", required_argument, NULL, SOCKET },
		{ "live", no_argument, NULL, LIVE },
		{ "offline", no_argument, NULL, OFFLINE },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int opt = 0, n = 0, code = 0;

	while (!names_command(words, n) && (opt = getopt_long(argc, argv, "-c:o:vhV", longs, NULL)) != -1)
		if (opt == 1)
			words[n++] = optarg;
		else if (!take(opt, ctl, f, &code))
			return code;
	if (opt != -1 && optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	while (optind < argc)
		words[n++] = argv[optind++];
	words[n] = NULL;
	chi_daemon.overrides = overrides;
	return 0;
}

/* The control socket of the config, unless --socket names one. */
static int find_socket(struct ctl *ctl)
{
	char *control;

	if (ctl->socket)
		return 0;
	if (!chi_config_default("chimeractl") || !ctl_server(&control))
		return CHI_EXIT_CONFIG;
	ctl->socket = control;
	return *control ? 0
			: ctl_fail(CHI_EXIT_CONFIG,
				  "the config has no control socket: set [server] control, or name one with --socket PATH");
}

static int finish(int code)
{
	if (fflush(stdout) || ferror(stdout))
		return ctl_fail(CHI_EXIT_OSERR, "the output cannot be written");
	return code;
}

static int run(const struct verb *v, struct ctl *ctl, const struct flags *f)
{
	int (*fn)(const struct ctl *) = v->run;
	enum needs needs = v->needs;
	int code = 0;

	if (f->live && fn == ctl_plugins) {
		fn = ctl_plugins_live;
		needs = SERVER;
	} else if (f->live) {
		return ctl_fail(CHI_EXIT_USAGE, "--live is for plugins, not for %s", v->name);
	}
	if ((ctl->offline || ctl->verbose) && fn != ctl_run)
		return ctl_fail(CHI_EXIT_USAGE, "%s is for run and commands, not for %s", ctl->offline ? "--offline" : "-v", v->name);
	if (needs == SERVER)
		code = find_socket(ctl);
	else if (needs == CONFIG && !chi_config_default("chimeractl"))
		code = CHI_EXIT_CONFIG;
	return finish(code ? code : fn(ctl));
}

static int serve(struct ctl *ctl, const struct flags *f, char **words)
{
	if (f->version)
		return ctl_version(ctl);
	if (!words[0]) {
		usage(f->help ? stdout : stderr);
		return f->help ? 0 : CHI_EXIT_USAGE;
	}
	const struct verb *v = find(words[0]);
	if (f->help && v) {
		usage_of(v);
		return 0;
	}
	ctl->colour = wants_colour();
	ctl->args = v ? words + 1 : words;
	while (ctl->args[ctl->nargs])
		ctl->nargs++;
	if (!v && f->live)
		return ctl_fail(CHI_EXIT_USAGE, "--live is for plugins, not for %s", words[0]);
	if (!v)
		return finish(f->help ? help(ctl) : run_command(ctl));
	if (ctl->nargs < v->least || ctl->nargs > v->most)
		return ctl_fail(
			CHI_EXIT_USAGE, "%s takes %s: see chimeractl %s --help", v->name, *v->args ? v->args : "no arguments", v->name);
	return run(v, ctl, f);
}

int main(int argc, char **argv)
{
	static struct ctl ctl;
	struct flags f = { false, false, false };
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	int code = words ? parse(argc, argv, &ctl, &f, words) : ctl_fail(CHI_EXIT_OSERR, "there is not enough memory");

	code = code ? code : serve(&ctl, &f, words);
	free(words);
	return code;
}
