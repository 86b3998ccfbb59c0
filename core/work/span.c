/* SPDX-License-Identifier: Apache-2.0 */
/* Spans of a ctx: recorded in its arena in the order begun, read by whoever shows them. */
#include <chimera/inspect.h>

#include "core/plugin/gen.h"

#include <string.h>

#define SPANS 64
#define NOTES 8 /* keys and values of one span */

struct span {
	const char *plugin, *name;
	int64_t begin, end;
	unsigned parent;
	bool failed;
	unsigned nnotes;
	const char *notes[2 * NOTES + 1]; /* a NULL behind the last */
};

struct chi_spans {
	unsigned n, open; /* open: the youngest that is */
	struct span *v[SPANS];
};

static struct span *at(struct ch_ctx *c, unsigned id)
{
	return c->spans && id && id <= c->spans->n ? c->spans->v[id - 1] : NULL;
}

static struct chi_spans *spans_new(struct ch_ctx *c)
{
	struct chi_spans *v = chi_arena_raw(&c->arena, sizeof *v);
	if (v)
		v->n = v->open = 0;
	return v;
}

unsigned chi_span_begin(struct ch_ctx *c, const char *name)
{
	bool room = chi_arena_has(&c->arena, sizeof(struct chi_spans) + sizeof(struct span) + 32);
	if (!c->spans && room)
		c->spans = spans_new(c);
	struct chi_spans *v = c->spans;
	struct span *s = v && v->n < SPANS && room ? chi_arena_raw(&c->arena, sizeof *s) : NULL;
	if (!s)
		return 0;
	s->plugin = c->running ? c->running->inst->self.id : NULL;
	s->name = name;
	s->begin = chi_clock();
	s->end = 0;
	s->parent = v->open;
	s->failed = false;
	s->nnotes = 0;
	s->notes[0] = NULL;
	v->v[v->n++] = s;
	return v->open = v->n;
}

void chi_span_note(struct ch_ctx *c, unsigned span, const char *key, const char *value)
{
	struct span *s = at(c, span);
	if (!s || s->nnotes == NOTES)
		return;
	size_t nk = strlen(key) + 1, nv = strlen(value) + 1;
	char *copy = chi_arena_has(&c->arena, nk + nv + 16) ? chi_arena_raw(&c->arena, nk + nv) : NULL;
	if (!copy)
		return;
	s->notes[2 * s->nnotes] = memcpy(copy, key, nk);
	s->notes[2 * s->nnotes + 1] = memcpy(copy + nk, value, nv);
	s->notes[2 * ++s->nnotes] = NULL;
}

void chi_span_end(struct ch_ctx *c, unsigned span, bool ok)
{
	struct span *s = at(c, span);
	if (!s || s->end)
		return;
	s->end = chi_clock();
	s->failed = !ok;
	while (c->spans->open && at(c, c->spans->open)->end)
		c->spans->open = at(c, c->spans->open)->parent;
}

void chi_spans_walk(struct ch_ctx *c, void (*fn)(void *, const struct ch_span *), void *data)
{
	for (unsigned i = 0; c->spans && i < c->spans->n; i++) {
		const struct span *s = c->spans->v[i];
		fn(data, &(struct ch_span){ .size = sizeof(struct ch_span),
				 .id = i + 1,
				 .parent = s->parent,
				 .plugin = s->plugin,
				 .name = s->name,
				 .begin = s->begin,
				 .end = s->end,
				 .failed = s->failed,
				 .notes = s->notes });
	}
}
