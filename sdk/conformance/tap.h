/* SPDX-License-Identifier: MIT */
/* tap.h - a report in the Test Anything Protocol, streamed as the answer to a request; for the conformance suites. */
#ifndef CONFORM_TAP_H
#define CONFORM_TAP_H

#include <stdio.h>

#include <chimera/plugin.h>

struct tap {
	struct ch_ctx *c;                 /* the request's, which is suspended; the report is over before it ends */
	unsigned n, failed;
};

static inline void tap_write(struct tap *t, const char *text)
{
	if (t->c)
		ch_write(t->c, text, strlen(text), NULL, NULL); /* what a slow reader has not read is some KiB at most */
}

static inline int tap_begin(struct tap *t, struct ch_ctx *c)
{
	*t = (struct tap){ .c = c };
	ch_header_set(c, "Content-Type", "text/plain; charset=utf-8");
	if (ch_begin(c, 200) != CH_OK)
		return CH_ERROR;
	tap_write(t, "TAP version 13\n");
	return CH_OK;
}

/* One case. `notes`: whole lines that begin with "# ", or "". */
static inline void tap_case(struct tap *t, bool ok, const char *name, const char *what, const char *notes)
{
	char line[600];

	t->failed += !ok;
	snprintf(line, sizeof(line), "%sok %u - %s%s%s\n", ok ? "" : "not ", ++t->n, name, *what ? ": " : "", what);
	tap_write(t, line);
	tap_write(t, notes);
}

static inline void tap_skip(struct tap *t, const char *name, const char *why)
{
	char line[256];

	snprintf(line, sizeof(line), "ok %u - %s # SKIP %s\n", ++t->n, name, why);
	tap_write(t, line);
}

/* The plan, or why there can be none; no case follows. */
static inline void tap_end(struct tap *t, const char *bail)
{
	char line[1024];

	if (bail)
		snprintf(line, sizeof(line), "Bail out! %s\n", bail);
	else
		snprintf(line, sizeof(line), "1..%u\n# %u of %u failed\n", t->n, t->failed, t->n);
	tap_write(t, line);
	if (t->c)
		ch_end(t->c);
}

#endif
