/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns and paths, one a line; an empty line stands between them. Whatever is found is what a slow matcher finds too, which tries every
 * pattern on every path: the exact one, else the one with the longest beginning before its first part.
 */
#include "chimera/kit/http1.h"
#include "core/http/route.h"
#include "core/plugin/gen.h"
#include "fuzz.h"

#define PATTERNS 32
#define PATHS 64

struct line { const char *p; size_t n; };

static int on_any(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	(void)c;
	return CH_DONE;
}

/* The next line of *p; false at the end. */
static int take_line(const char **p, const char *end, struct line *line)
{
	const char *nl;

	if (*p >= end)
		return 0;
	nl = memchr(*p, '\n', (size_t)(end - *p));
	*line = (struct line){ *p, (size_t)((nl ? nl : end) - *p) };
	*p = nl ? nl + 1 : end;
	return 1;
}

/* Is there a part at p? Its length with braces, and whether it is a rest. */
static size_t part_len(const char *p, int *rest)
{
	const char *end = strchr(p, '}');

	if (*p != '{' || !end)
		return 0;
	*rest = end - p > 3 && !memcmp(end - 3, "...", 3);
	return (size_t)(end - p) + 1;
}

/* By recursion, character by character: a part is what stands up to the next slash, a rest is what is left; neither is empty. */
static int matches(const char *pattern, const char *path, size_t n, struct line *parts, size_t *nparts)
{
	int rest;
	size_t len = part_len(pattern, &rest), take = 0;

	if (!*pattern)
		return n == 0;
	if (!len)
		return n && *pattern == *path && matches(pattern + 1, path + 1, n - 1, parts, nparts);
	while (take < n && (rest || path[take] != '/'))
		take++;
	if (!take)
		return 0;
	FUZZ_CHECK(*nparts < CHI_PARAMS);
	parts[(*nparts)++] = (struct line){ path, take };
	return matches(pattern + len, path + take, n - take, parts, nparts);
}

static size_t beginning(const char *pattern)
{
	return strcspn(pattern, "{");
}

static void check_path(const struct chi_routes *r, const struct line *path)
{
	struct chi_route_match m;
	struct line parts[CHI_PARAMS];
	size_t nparts = 0;
	char *copy = fuzz_copy(path->p, path->n);

	chi_routes_find(r, copy, path->n, &m);
	for (size_t i = 0; i < chi_routes_count(r); i++) {
		const char *pattern = chi_routes_at(r, i)->pattern;

		nparts = 0;
		if (!matches(pattern, copy, path->n, parts, &nparts))
			continue;
		FUZZ_CHECK(m.path != NULL);
		FUZZ_CHECK(beginning(pattern) <= beginning(m.path->pattern));
		if (!strchr(pattern, '{'))
			FUZZ_CHECK(m.path == chi_routes_at(r, i));
	}
	if (m.path) {
		nparts = 0;
		FUZZ_CHECK(matches(m.path->pattern, copy, path->n, parts, &nparts));
		FUZZ_CHECK(nparts == m.nparams);
		for (size_t i = 0; i < nparts; i++)
			FUZZ_CHECK(parts[i].p == m.params[i].value.p && parts[i].n == m.params[i].value.n);
		FUZZ_CHECK(m.path->methods[CH_H1_GET] && strstr(m.path->allow, "GET, HEAD") == m.path->allow);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct chi_inst inst = { .self = { .id = "fuzz" } };
	struct ch_route rows[PATTERNS];
	const char *p = (const char *)data, *end = p + size;
	struct chi_routes *r = chi_routes_new();
	struct line line;
	static char buf[70000]; /* no sentence is cut */

	FUZZ_CHECK(r != NULL);
	for (size_t i = 0; i < PATTERNS && take_line(&p, end, &line) && line.n; i++) {
		char *pattern = calloc(1, line.n + 1);
		const char *why;

		memcpy(pattern, line.p, line.n);
		rows[i] = (struct ch_route){ .method = "GET", .fn = on_any };
		why = chi_routes_add(r, &inst, &rows[i], pattern, buf, sizeof(buf));
		FUZZ_CHECK(!why || *why);
		if (!why) {
			why = chi_routes_add(r, &inst, &rows[i], pattern, buf, sizeof(buf));
			FUZZ_CHECK(why && strstr(why, "already"));
		}
		free(pattern);
	}
	for (size_t i = 0; i < PATHS && take_line(&p, end, &line); i++)
		check_path(r, &line);
	chi_routes_free(r);
	return 0;
}
