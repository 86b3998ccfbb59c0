/* SPDX-License-Identifier: Apache-2.0 */
/* Services: which instance uses which, in which order they start, and what can be wrong about it. */
#include "core/plugin/build.h"

#include <stdio.h>
#include <stdlib.h>

static const struct ch_svc *provides(const struct chi_inst *i, const char *iface, int *rank)
{
	const struct ch_provide *p;
	for (size_t k = 0; k < i->self.plugin->provides.n; k++)
		if ((p = chi_row(&i->self.plugin->provides, k)) && !strcmp(p->iface, iface)) {
			*rank = p->rank;
			return &i->provides[k];
		}
	return NULL;
}

static void tied(const struct chi_build *b, const struct chi_inst *self, const char *row, const struct ch_option *o, const struct ch_svc *one,
                 const struct ch_svc *other)
{
	const struct ch_plugin *p = one->self->plugin;
	char before[256], rows[256] = "";
	/* "[router:gpt-4]" where "[router.gpt-4]" was meant makes a second instance. */
	if (p == other->self->plugin && p->row_options.n && strcmp(other->id, p->name))
		snprintf(rows, sizeof rows, ", or write [%s.%s] if a row of [%s] was meant", p->name, other->id, p->name);
	if (chi_suggest_before_many(o->iface, before, sizeof before) && !*rows)
		chi_build_error(b, self, row, o->name, "both [%s] and [%s] provide %s: add a section %s, which chooses between them, or set %s = %s or %s = %s",
			one->id, other->id, o->iface, before, o->name, one->id, o->name, other->id);
	else
		chi_build_error(b, self, row, o->name, "both [%s] and [%s] provide %s: set %s = %s or %s = %s%s", one->id, other->id, o->iface,
			o->name, one->id, o->name, other->id, rows);
}

static void missing(const struct chi_build *b, const struct chi_inst *self, const char *row, const struct ch_option *o)
{
	char sections[512];
	if (chi_suggest_provider(o->iface, sections, sizeof sections))
		chi_build_error(b, self, row, o->name, "nothing that is enabled provides %s: add a section, %s", o->iface, sections);
	else
		chi_build_error(
			b, self, row, o->name, "nothing that is enabled provides %s: add the section of a plugin that does", o->iface);
}

/* The provider of highest rank that is not the asking instance itself. A tie is the operator's to decide. */
static const struct ch_svc *choose(const struct chi_build *b, const struct chi_inst *self, const char *row, const struct ch_option *o)
{
	const struct ch_svc *best = NULL, *tie = NULL;
	int best_rank = 0, rank;
	for (size_t k = 0; k < b->gen->ninsts; k++) {
		const struct ch_svc *s = k == self->index ? NULL : provides(b->gen->insts[k], o->iface, &rank);
		if (!s)
			continue;
		if (!best || rank > best_rank) {
			best = s;
			best_rank = rank;
			tie = NULL;
		} else if (rank == best_rank) {
			tie = s;
		}
	}
	if (tie)
		tied(b, self, row, o, best, tie);
	else if (!best && (o->flags & CH_O_REQUIRED))
		missing(b, self, row, o);
	return best;
}

/* "those that provide inference/1: dryrun, vllm" */
static const char *providers(const struct chi_build *b, const struct chi_inst *self, const char *iface, char *out, size_t cap)
{
	int rank, n = snprintf(out, cap, "those that provide %s: ", iface);
	size_t at = (size_t)n, none = at;
	for (size_t k = 0; k < b->gen->ninsts; k++)
		if (k != self->index && provides(b->gen->insts[k], iface, &rank) && at < cap)
			at += (size_t)snprintf(out + at, cap - at, "%s%s", at > none ? ", " : "", b->gen->insts[k]->self.id);
	if (at == none)
		snprintf(out, cap, "nothing that is enabled provides %s", iface);
	return out;
}

static const struct ch_svc *named(
	const struct chi_build *b, const struct chi_inst *self, const char *row, const struct ch_option *o, const char *id)
{
	struct chi_inst *i = chi_gen_find(b->gen, id);
	int rank;
	char list[256];
	const struct ch_svc *s = i ? provides(i, o->iface, &rank) : NULL;
	if (!i)
		chi_build_error(b, self, row, o->name, "no enabled section has the id '%s'; %s", id, providers(b, self, o->iface, list, sizeof list));
	else if (!s)
		chi_build_error(b, self, row, o->name, "[%s] provides no %s", id, o->iface);
	else if (i->index == self->index)
		chi_build_error(b, self, row, o->name, "[%s] cannot use itself", id);
	else
		return s;
	return NULL;
}

/* Does the option's own default say it? That may name what need not be there. */
static bool by_default(const struct chi_inst *self, const char *row, const struct ch_option *o)
{
	const char *origin = NULL;
	return chi_conf_where(self->conf, row, o->name, NULL, NULL, &origin) && origin && !strcmp(origin, "default");
}

static void depend(struct chi_inst *self, const struct ch_svc *s)
{
	struct chi_inst *p = chi_inst_of(s->self);
	struct chi_inst **v = realloc(self->bound, (self->nbound + 1) * sizeof(struct chi_inst *));
	if (!v)
		abort();
	self->bound = v;
	v[self->nbound++] = p;
}

static void bind_one(struct chi_build *b, struct chi_inst *i, const char *row, const struct ch_option *o, char *conf, const char *text)
{
	const struct ch_svc *s;
	if (!text || !*text || !strcmp(text, "auto"))
		s = choose(b, i, row, o);
	else
		s = named(b, i, row, o, text);
	*(const struct ch_svc **)(void *)(conf + o->offset) = s;
	if (s)
		depend(i, s);
}

static void bind_many(struct chi_build *b, struct chi_inst *i, const char *row, const struct ch_option *o, char *conf, const char *text)
{
	const struct ch_svc **v = calloc(b->gen->ninsts, sizeof *v);
	size_t n = 0;
	int rank;
	if (!v)
		return;
	chi_inst_keep(i, v);
	if (text && !strcmp(text, "*")) {
		for (size_t k = 0; k < b->gen->ninsts; k++)
			if (k != i->index && (v[n] = provides(b->gen->insts[k], o->iface, &rank)))
				depend(i, v[n++]);
	} else if (text && strcmp(text, "none")) {
		bool may_lack = by_default(i, row, o);
		char *copy = strdup(text), *save = NULL;
		for (char *id = copy ? strtok_r(copy, ", ", &save) : NULL; id && n < b->gen->ninsts; id = strtok_r(NULL, ", ", &save))
			if ((!may_lack || chi_gen_find(b->gen, id)) && (v[n] = named(b, i, row, o, id)))
				depend(i, v[n++]);
		free(copy);
	}
	if (!n && (o->flags & CH_O_REQUIRED) && text && !strcmp(text, "*"))
		missing(b, i, row, o);
	else if (!n && (o->flags & CH_O_REQUIRED))
		chi_build_error(b, i, row, o->name, "at least one provider of %s is needed: name instances, or * for all", o->iface);
	*(struct ch_svcs *)(void *)(conf + o->offset) = (struct ch_svcs){ v, n };
}

static void bind_table(struct chi_build *b, struct chi_inst *i, const char *row, const struct ch_table *options, const void *conf)
{
	for (size_t k = 0; k < options->n; k++) {
		const struct ch_option *o = chi_row(options, k);
		if (o->type != CH_T_SERVICE && o->type != CH_T_SERVICES)
			continue;
		const char *text = row ? chi_conf_row_text(i->conf, row, o->name) : chi_conf_text(i->conf, o->name);
		/* The config's memory is the core's to finish; plugins see it const. */
		(o->type == CH_T_SERVICE ? bind_one : bind_many)(b, i, row, o, (char *)conf, text);
	}
}

/* Depth first, providers before their users. A way back to an instance that is still open is a cycle. */
static bool visit(struct chi_build *b, struct chi_inst *i, uint8_t *mark, size_t *n)
{
	mark[i->index] = 1;
	for (size_t k = 0; k < i->nbound; k++) {
		struct chi_inst *p = i->bound[k];
		if (mark[p->index] == 2)
			continue;
		if (mark[p->index] == 1) {
			chi_build_error(b, i, NULL, NULL, "[%s] and [%s] use each other, directly or by others: break the circle", i->self.id,
			                p->self.id);
			return false;
		}
		if (!visit(b, p, mark, n))
			return false;
	}
	mark[i->index] = 2;
	b->gen->order[(*n)++] = i;
	return true;
}

void chi_wire_one(struct chi_build *b, struct chi_inst *i)
{
	i->nbound = 0;
	bind_table(b, i, NULL, &i->self.plugin->options, i->self.conf);
	for (size_t r = 0; r < i->self.nrows; r++)
		bind_table(b, i, i->self.rows[r].name, &i->self.plugin->row_options, i->self.rows[r].conf);
}

void chi_wire(struct chi_build *b)
{
	struct chi_gen *g = b->gen;
	for (size_t k = 0; k < g->ninsts; k++)
		chi_wire_one(b, g->insts[k]);
	uint8_t *mark = calloc(g->ninsts + 1, 1);
	size_t n = 0;
	for (size_t k = 0; mark && k < g->ninsts; k++)
		if (!mark[k] && !visit(b, g->insts[k], mark, &n))
			break;
	free(mark);
}

void chi_wire_needed(struct chi_build *b)
{
	struct chi_gen *g = b->gen;
	for (size_t k = g->ninsts; k-- > 0;) { /* users before providers */
		const struct chi_inst *user = g->order[k];
		for (size_t p = 0; p < user->nbound; p++) {
			b->used[user->bound[p]->index] = true;
			if (g->needed[user->index])
				g->needed[user->bound[p]->index] = true;
		}
	}
	for (size_t k = 0; k < g->ninsts; k++)
		if (!b->used[k])
			chi_build_warn(
				b, g->insts[k], "nothing uses [%s]: bind it to an option or take the section away", g->insts[k]->self.id);
}
