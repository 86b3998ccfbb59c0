/* SPDX-License-Identifier: MIT */
/*
 * test: the unit tests of a plugin under sanitizers, with CH_TEST_SWEEP set, at which the harness makes every allocation fail once.
 *
 * A plugin of its own is built by its Makefile (`make unit SANITIZE=…`), one of chimera's tree by the tree's build, in build/plugin-test.
 */
#include "sdk/tools/tool.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SANITIZE "address,undefined"

static void prepare_environment(void)
{
	setenv("CH_TEST_SWEEP", "1", 0);
	setenv("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1", 0);
	setenv("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1", 0);
}

static int verdict(int rc)
{
	if (!rc)
		printf("all tests pass, with sanitizers (" SANITIZE ") and with each allocation failing once\n");
	return rc ? TOOL_WRONG : TOOL_OK;
}

/* ---- a plugin of its own ---- */

static int test_alone(const char *dir)
{
	char *const argv[] = { "make", "-s", "unit", "SANITIZE=" SANITIZE, "CFLAGS=-g -O1", NULL };

	return verdict(tool_call(argv, dir));
}

/* ---- in chimera's tree ---- */

/* The tree that dir lies in. False: none. */
static bool find_tree(const char *dir, char tree[PATH_MAX])
{
	snprintf(tree, PATH_MAX, "%s", dir);
	while (*tree) {
		if (tool_exists(tree, "core/chi.h") && tool_exists(tree, "sdk/include/chimera/plugin.h"))
			return true;
		*strrchr(tree, '/') = '\0';
	}
	return false;
}

static int shell(const char *script, const char *dir)
{
	char *const argv[] = { "sh", "-c", (char *)script, NULL };

	return tool_call(argv, dir);
}

static int test_in_tree(const char *dir, const char *tree)
{
	char *pattern = tool_print("%s/test_*.c", dir), *programs = tool_print("%s", ""), *script;
	const char *name = strrchr(dir, '/') + 1;
	glob_t g;
	int rc;

	if (glob(pattern, 0, NULL, &g))
		return tool_fail(TOOL_WRONG, "there is no test in %s: a test is a file test_*.c", dir);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		const char *file = strrchr(g.gl_pathv[i], '/') + 1;
		char *more = tool_print("%s plugins/%s/%.*s", programs, name, (int)strlen(file) - 2, file);

		free(programs);
		programs = more;
	}
	script = tool_print("if [ -x configure ] && [ -f Makefile.in ]; then ./autogen.sh lists; else ./autogen.sh; fi && "
			    "mkdir -p build/plugin-test && cd build/plugin-test && { test -f Makefile || ../../configure -q --enable-sanitizers=" SANITIZE " CFLAGS='-g -O1'; } && "
			    "make -s core/commit.h%s && for t in%s; do echo \"$t\"; srcdir=../.. ../../tests/run ./$t || exit 1; done",
		programs, programs);
	rc = shell(script, tree);
	globfree(&g);
	free(pattern);
	free(programs);
	free(script);
	return verdict(rc);
}

int tool_test(int argc, char **argv)
{
	char dir[PATH_MAX], tree[PATH_MAX];
	const char *given = argc ? argv[0] : ".";

	if (argc > 1 || *given == '-')
		return tool_fail(TOOL_USAGE, "test takes the folder of one plugin: chimera-plugin test [DIR]");
	if (!realpath(given, dir) || !tool_exists(dir, "."))
		return tool_fail(TOOL_USAGE, "there is no folder %s: name the one that holds the plugin's sources", given);
	prepare_environment();
	if (tool_exists(dir, "plugin.am") && find_tree(dir, tree))
		return test_in_tree(dir, tree);
	if (tool_exists(dir, "Makefile"))
		return test_alone(dir);
	return tool_fail(TOOL_USAGE, "%s holds neither a Makefile nor a plugin.am: chimera-plugin-new makes a folder that does", dir);
}
