/* SPDX-License-Identifier: MIT */
/* chimera-plugin: arguments and the table of verbs. */
#include "sdk/tools/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb {
	const char *name, *args, *summary;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ "run", "[FILE.so|DIR] [--set KEY=VALUE]...", "Start a server with the plugin, anew at each save", tool_run,
		"DIR (this folder) is built by make; its .ini is the plugin's config. The server listens on a free port of 127.0.0.1, which it\n"
		"keeps, and has the dryrun backend and /v1/ask beside the plugin. Saving a source builds and starts it anew, saving the .ini\n"
		"reloads it. Ctrl-C ends it and leaves nothing behind.\n\n"
		"  --set KEY=VALUE   a key of the plugin's section, or ROW.KEY of a row's\n"
		"  --port PORT       another port than a free one\n" },
	{ "test", "[DIR]", "Run the unit tests under sanitizers", tool_test,
		"Builds the tests in DIR (this folder) with the address and undefined-behaviour sanitizers and runs them. CH_TEST_SWEEP=1 is\n"
		"set: the harness tries each request, check and command of a test once more for every allocation that could fail, in a copy\n"
		"of the process.\n" },
	{ "check", "FILE.so...", "Load a plugin and tell what is wrong with it", tool_check,
		"Loads it in a process of its own and reads its tables. Exit code 1 if something is wrong; what is merely unwise leaves 0.\n\n"
		"  --timeout SECONDS   how long loading it may take (10)\n" },
};
#define VERBS (sizeof(verbs) / sizeof(*verbs))

int tool_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("chimera-plugin: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

char *tool_print(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		exit(tool_fail(TOOL_OSERR, "there is no memory"));
	return s;
}

static void usage(FILE *out)
{
	fputs("usage: chimera-plugin VERB ...\n\n", out);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(out, "  %-6s %-36s %s\n", verbs[i].name, verbs[i].args, verbs[i].summary);
	fputs("\n  -h, --help      this text; behind a verb: more about it\n  -V, --version   version and plugin interface\n"
	      "\nchimera-plugin-new makes a plugin to begin with.\n",
		out);
}

static bool is_help(const char *s)
{
	return !strcmp(s, "-h") || !strcmp(s, "--help");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return TOOL_USAGE;
	}
	if (is_help(argv[1])) {
		usage(stdout);
		return TOOL_OK;
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		printf("chimera-plugin %s, plugin interface %d.%d\n", CHIMERA_VERSION, CH_ABI_MAJOR, CH_ABI_MINOR);
		return TOOL_OK;
	}
	for (size_t i = 0; i < VERBS; i++) {
		if (strcmp(verbs[i].name, argv[1]))
			continue;
		if (argc > 2 && is_help(argv[2])) {
			printf("usage: chimera-plugin %s %s\n\n%s.\n%s", verbs[i].name, verbs[i].args, verbs[i].summary, verbs[i].help);
			return TOOL_OK;
		}
		return verbs[i].run(argc - 2, argv + 2);
	}
	return tool_fail(TOOL_USAGE, "'%s' is no verb: there are run, test and check; see chimera-plugin --help", argv[1]);
}
